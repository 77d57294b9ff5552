"""Study: drugs on the ischaemic sheet: which early beats re-enter, conduction, duration, refractoriness.

    python examples/ep_drugs/run.py --small          one drug on a short cable, seconds
    python examples/ep_drugs/run.py                  all of it, some minutes of one core
    python examples/ep_drugs/run.py --shard 0/2      every second case; run 1/2 elsewhere, then once without

The sheet is that of ``examples/ep_sheet``, its bands. ``cables.csv`` has conduction velocity, APD90 and the
effective refractory period on cables at three severities, with 90 % ranges over draws of the IC50 values;
``window.csv`` every coupling on the sheet. Concentrations, and what glibenclamide leaves of the rise of [K]o,
are assumptions that are varied here. Hypotheses in a model: nothing here advises on a drug.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "ep_sheet"))
import sheet

from carna import ep
from carna.ep import drugs
from carna.ep.change import Change

HERE = Path(__file__).parent
COUPLINGS = tuple(range(280, 360, 10))
MINUTES = (0.0, 4.25, 6.375)
DRAWS = 12

# Measured together in canine atrial tissue at 5 umol/L; IKACh is left out. Not from IC50s: no draws.
AMIODARONE_TISSUE = Change(
    "amiodarone 5 umol/L, measured factors",
    {"g_Ks": 0.80, "g_Kr": 0.50, "g_Na": 0.90, "g_CaL": 0.50, "g_K1": 0.70},
    source="Varela et al. 2016, doi:10.1371/journal.pcbi.1005245",
)


def arms() -> list[tuple[str, str, float, float]]:
    """Return name, drug (of `drugs.named`), free concentration (nmol/L), share of the rise of [K]o left."""
    return [
        ("control", "", 0, 1),
        ("amiodarone, 0.5 nmol/L (free Cmax)", "amiodarone", 0.5, 1),
        ("amiodarone, 50 nmol/L", "amiodarone", 50, 1),
        (AMIODARONE_TISSUE.name, "", 0, 1),
        ("telmisartan as IKur blocker, 1 umol/L", "telmisartan (IKur)", 1000, 1),
        ("telmisartan as IKr blocker, 1 umol/L", "telmisartan (IKr)", 1000, 1),
        ("telmisartan as IKr blocker, 24 umol/L", "telmisartan (IKr)", 24350, 1),
        ("IKr block 50 %", "potassium-channel block", 4.87, 1),
        ("IKr block 80 %", "potassium-channel block", 21.6, 1),
        ("glibenclamide 10 umol/L, [K]o as in control", "glibenclamide", 10000, 1),
        ("glibenclamide 10 umol/L, 3/4 of the rise of [K]o", "glibenclamide", 10000, 0.75),
        ("glibenclamide 10 umol/L, 1/2 of the rise of [K]o", "glibenclamide", 10000, 0.5),
    ]


# On the sheet, where an arm takes a minute. Telmisartan as IKr blocker at its hERG IC50 is IKr block of 50 %;
# as IKur blocker it finds no target in a ventricular cell; what is left is the control to within 1 %.
# IKr block of 80 % and the glibenclamide arm between the two are on cables only, for time.
ON_SHEET = [n for n, *_ in arms() if not any(w in n for w in ("telmisartan", "Cmax", "80 %", "3/4"))]


def change(arm: tuple[str, str, float, float], rng: np.random.Generator | None = None) -> Change:
    """Return what an arm does to the cells; with ``rng``, with IC50 values drawn."""
    name, drug, concentration, _ = arm
    if not drug:
        return AMIODARONE_TISSUE if name == AMIODARONE_TISSUE.name else Change(name)
    found = drugs.named()[drug]
    found = found.drawn(rng) if rng is not None else found
    model = ep.load("tt2006_ischaemic", "epi")
    made = found.at(concentration)
    present = {k: v for k, v in made.factors.items() if k not in made.left_out(model)}
    return Change(name, present, source=made.source)


def cable_rows(arm: tuple[str, str, float, float]) -> list[dict[str, object]]:
    """Return an arm's rows of the table of cables."""
    point = sheet.cables([change(arm)], MINUTES, 2.0, potassium=arm[3])[0]
    rng = np.random.default_rng(4)
    drawn = (
        sheet.cables([change(arm, rng) for _ in range(DRAWS)], MINUTES, 10.0, potassium=arm[3])
        if arm[1]
        else None
    )
    rows = []
    for n, minute in enumerate(MINUTES):
        row: dict[str, object] = {"arm": arm[0], "minute": minute}
        for k, (name, digits) in enumerate((("cv_m_per_s", 3), ("apd90_ms", 0), ("erp_ms", 0))):
            row[name] = round(float(point[n, k]), digits)
            low, high = (None, None) if drawn is None else np.nanpercentile(drawn[:, n, k], (5, 95))
            row[f"{name}_p5"] = None if low is None else round(float(low), digits)
            row[f"{name}_p95"] = None if high is None else round(float(high), digits)
        rows.append(row)
    return rows


def sheet_rows(arm: tuple[str, str, float, float]) -> list[dict[str, object]]:
    """Return an arm's rows of the table of couplings."""
    tissue = sheet.build("bands", change(arm), potassium=arm[3])
    paced = sheet.train(tissue, "bands")
    rows = []
    for coupling in COUPLINGS:
        found = sheet.extra(tissue, "bands", paced, coupling)
        rows.append(
            {
                "arm": arm[0],
                "coupling_ms": coupling,
                "captured": found.captured,
                "lasted_ms": round(found.lasted_ms),
                "reentry": found.lasted_ms >= sheet.REENTRY_MS,
                "most_tips": int(found.tips.max()),
                "cpu_s": round(found.cpu_s, 1),
            }
        )
    return rows


def main() -> None:
    """Run the arms that are missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--shard", default="0/1")
    parser.add_argument("--work", type=Path, default=Path("ep_drugs_work"))
    args = parser.parse_args()
    if args.small:
        found = sheet.cables([change(arms()[0]), change(arms()[7])], MINUTES, 20.0)
        for name, of in zip(("control", "IKr block 50 %"), found, strict=True):
            sys.stdout.write(f"{name}: APD90 {of[:, 1].round()} ms at minutes {MINUTES}\n")
        return
    args.work.mkdir(parents=True, exist_ok=True)
    part, parts = map(int, args.shard.split("/"))
    jobs = [("cable", n, arm) for n, arm in enumerate(arms())]
    jobs += [("sheet", n, arm) for n, arm in enumerate(arms()) if arm[0] in ON_SHEET]
    for kind, n, arm in jobs[part::parts]:
        file = args.work / f"{kind}-{n}.json"
        if not file.exists():
            rows = sheet_rows(arm) if kind == "sheet" else cable_rows(arm)
            file.write_text(json.dumps(rows))
            sys.stdout.write(f"{kind}: {arm[0]}\n")
            sys.stdout.flush()
    for kind, name in (("sheet", "window.csv"), ("cable", "cables.csv")):
        files = [args.work / f"{kind}-{n}.json" for k, n, _ in jobs if k == kind]
        if all(f.exists() for f in files):
            rows = [row for f in files for row in json.loads(f.read_text())]
            with (HERE / name).open("w", newline="") as out:
                writer = csv.DictWriter(out, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)


if __name__ == "__main__":
    main()
