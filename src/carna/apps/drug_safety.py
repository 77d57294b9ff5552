"""What the drugs in a record do to a model of a human ventricular cell, at the patient's potassium."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np

from carna import codes
from carna.app import Job, Need, Setting, application
from carna.ep.drugs import Drug, cipa
from carna.ep.safety import MEASURED, THRESHOLDS, counting_cell, last_beat, risk
from carna.findings import Absent, Evidence, Interval, Item, Measurement, Statement
from carna.study import Record

# Statuses of a prescription under which the drug is not being taken.
NOT_TAKEN = {
    "stopped",
    "cancelled",
    "not taken",
    "not done",
    "entered-in-error",
    "on-hold",
    "draft",
    "completed",
}
CYCLE_MS, BEATS, DT_MS = 1000.0, 30, 0.05
POTASSIUM_MM = (2.0, 8.0)  # in which the model was exercised
USUAL_MM = 5.4  # of the model's papers, where none was measured
LEVEL = 0.9


@application(
    version="1.0",
    gives=(codes.APD_CHANGE, codes.NET_CHARGE_CHANGE, codes.MODEL_RISK_CLASS),
    cites=("doi:10.1161/CIRCEP.116.004628", "doi:10.1002/cpt.1184", "doi:10.3389/fphys.2017.00616"),
    stakes="high",
)
def drug_safety(
    record: Annotated[
        Record, Need("what the patient takes, and a potassium where one was measured", arrived=True)
    ],
    *,
    dose: Annotated[
        float, Setting("1", 0.1, 10, "free concentration, as a multiple of the usual peak")
    ] = 1.0,
    draws: Annotated[int, Setting("1", 10, 30, "draws from the uncertainty of the drug's block")] = 14,
    job: Job,
) -> tuple[Item, ...]:
    """Simulate what drugs with measured channel block do to a ventricular cell, drug by drug.

    The cell is endocardial (O'Hara-Rudy, CiPA v1), beats once a second for half a minute from its resting
    state, and knows no sex, disease, metabolite or other drug. Slow blockers have not settled by then.
    """
    seen = Evidence(record.origin.uid)
    found, others = _known(record)
    if record.age_a is not None and record.age_a < 18:
        return tuple(_absent("the cell model is of adults", seen, codes.VALUE_UNKNOWN))
    potassium, said = _potassium(record)
    if not POTASSIUM_MM[0] <= potassium <= POTASSIUM_MM[1]:
        why = f"potassium is {said}, outside 2 to 8 mmol/L"
        return tuple(_absent(why, seen, codes.OUT_OF_RANGE))
    if not found:
        why = "no drug in the record has its block of six currents measured" + (
            f" (read: {', '.join(others[:5])}{' and more' if len(others) > 5 else ''})" if others else ""
        )
        return tuple(_absent(why, seen, codes.VALUE_UNKNOWN))
    items: list[Item] = []
    for n, drug in enumerate(found):
        progress = job.progress.part(n / len(found), (n + 1) / len(found))
        progress(0.0, drug.name)
        change_ms, change_percent = _simulate(drug, dose, potassium, draws, job.seed)
        conditions = (
            f"{drug.name} at {dose:g} x {drug.cmax_nM:g} nmol/L free, potassium {said}, "
            f"{BEATS} beats at 60/min, endocardial cell; {draws} draws"
        )
        items += _items(drug, change_ms, change_percent, conditions, seen)
        progress(1.0, drug.name)
    return tuple(items)


def _known(record: Record) -> tuple[tuple[Drug, ...], tuple[str, ...]]:
    """Return the drugs being taken that the tables know, and the names of the other entries of drugs."""
    found: dict[str, Drug] = {}
    others = []
    for entry in record.entries:
        if not isinstance(entry.value, str) or entry.value.lower() in NOT_TAKEN:
            continue
        words = set(re.findall(r"[a-z]+", entry.name.lower()))
        match = [d for d in cipa().values() if d.name in words]
        found |= {d.name: d for d in match}
        if not match and entry.value:
            others.append(entry.name)
    return tuple(found.values()), tuple(others)


def _potassium(record: Record) -> tuple[float, str]:
    """Return the newest potassium, mmol/L, and how it is known."""
    for entry in reversed(record.entries):
        named = (codes.POTASSIUM.scheme, codes.POTASSIUM.value) in entry.codes
        if named and isinstance(entry.value, float) and entry.unit == "mmol/L":
            return entry.value, f"{entry.value:g} mmol/L (measured)"
    return USUAL_MM, f"{USUAL_MM:g} mmol/L (the model's own; none was measured)"


def _simulate(
    drug: Drug, dose: float, potassium_mM: float, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the change of APD90 (ms) and of net charge (%) in each draw; NaN without repolarisation."""
    cell = counting_cell()
    rng = np.random.default_rng(seed)
    nM = dose * (drug.cmax_nM or 0.0)
    changes = [{}, *(drug.drawn(rng).at(nM, dynamic_hERG=True).parameters(cell) for _ in range(draws))]
    charge, apd = last_beat(cell, changes, CYCLE_MS, BEATS, everywhere={"Ko": potassium_mM}, dt_ms=DT_MS)
    return apd[1:] - apd[0], 100 * (charge[1:] / charge[0] - 1)


def _items(
    drug: Drug, change_ms: np.ndarray, change_percent: np.ndarray, conditions: str, seen: Evidence
) -> Iterator[Item]:
    name = re.sub(r"[^a-z0-9]+", "_", drug.name.lower())
    rows: tuple[tuple[str, codes.Concept, np.ndarray, str], ...] = (
        (f"drug.{name}.apd90", codes.APD_CHANGE, change_ms, "ms"),
        (f"drug.{name}.charge", codes.NET_CHARGE_CHANGE, change_percent, "%"),
    )
    ids = []
    for id, code, values, unit in rows:
        missing = int(np.isnan(values).sum())
        if missing:
            why = f"in {missing} of {len(values)} draws the modelled cell does not repolarise: {conditions}"
            yield Absent(id=id, code=code, why=why, reason=codes.VALUE_INDETERMINATE, evidence=(seen,))
            continue
        low, high = np.percentile(values, (50 * (1 - LEVEL), 50 * (1 + LEVEL)))
        middle = float(np.median(values))
        interval = Interval(float(low), float(high), LEVEL)
        ids.append(id)
        yield Measurement(id=id, code=code, value=middle, unit=unit, uncertainty=interval, evidence=(seen,))
    measure = MEASURED.get(drug.name)
    if measure is None:
        why = f"the published measure was not computed for {drug.name}"
        yield Absent(
            id=f"drug.{name}.class", code=codes.MODEL_RISK_CLASS, why=why, reason=codes.VALUE_UNKNOWN
        )
        return
    yield Statement(
        id=f"drug.{name}.class",
        code=codes.MODEL_RISK_CLASS,
        verdict="met" if risk(measure) == "high" else "not met",
        rule=f"in this model: net charge over 1 to 4 times the peak concentration {measure:.4f} C/F, class "
        f"{risk(measure)} (high below {THRESHOLDS[0]:.4f}, low from {THRESHOLDS[1]:.4f}); {conditions}",
        of=tuple(ids),
        evidence=(seen,),
    )


def _absent(why: str, seen: Evidence, reason: codes.Concept) -> Iterator[Item]:
    rows: Sequence[tuple[str, codes.Concept]] = (
        ("drug.apd90", codes.APD_CHANGE),
        ("drug.charge", codes.NET_CHARGE_CHANGE),
        ("drug.class", codes.MODEL_RISK_CLASS),
    )
    for id, code in rows:
        yield Absent(id=id, code=code, why=why, reason=reason, evidence=(seen,))
