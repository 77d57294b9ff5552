"""How a drug shifts the balance of currents: the CiPA measure of torsade risk, in one cell model.

The net charge of six currents over a beat (late sodium, L-type calcium, Ito, IKr, IKs, IK1) falls when a
drug removes repolarisation faster than it removes what opposes it. Averaged over one to four times the free
peak concentration, at steady state, once every two seconds, with IKr bound by the drug in its own time, it
ranks 28 drugs as an expert panel did (Dutta et al. 2017, doi:10.3389/fphys.2017.00616; Li et al. 2019,
doi:10.1002/cpt.1184). The two thresholds were fixed on the 12 training drugs and are not moved.

This is a statement about one model of an endocardial cell. It says nothing of a patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.ep.cell import CellModel
from carna.ep.cell.notation import parse
from carna.ep.drugs import Drug, Risk
from carna.errors import InputError
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]

CYCLE_MS: Final = 2000.0
BEATS: Final = 1000
MULTIPLES: Final = (1.0, 2.0, 3.0, 4.0)  # of the free peak concentration
# C/F; below the first a drug is of high risk, above the second of low. Halfway between the nearest training
# drugs of neighbouring classes: fixed before any validation drug was looked at.
THRESHOLDS: Final = (0.0722, 0.0822)

# Mean net charge of each drug of the CiPA set, C/F, from `carna evaluate ep-safety` (1000 beats).
MEASURED: Final[Mapping[str, float]] = MappingProxyType(
    {
        "astemizole": 0.0753,
        "azimilide": 0.0612,
        "bepridil": 0.0590,
        "chlorpromazine": 0.0800,
        "cisapride": 0.0753,
        "clarithromycin": 0.0782,
        "clozapine": 0.0808,
        "diltiazem": 0.0998,
        "disopyramide": 0.0739,
        "dofetilide": 0.0675,
        "domperidone": 0.0613,
        "droperidol": 0.0758,
        "ibutilide": 0.0376,
        "loratadine": 0.0839,
        "metoprolol": 0.0860,
        "mexiletine": 0.1032,
        "nifedipine": 0.0935,
        "nitrendipine": 0.0864,
        "ondansetron": 0.0760,
        "pimozide": 0.0624,
        "quinidine": 0.0386,
        "ranolazine": 0.0878,
        "risperidone": 0.0815,
        "sotalol": 0.0708,
        "tamoxifen": 0.0829,
        "terfenadine": 0.0735,
        "vandetanib": 0.0503,
        "verapamil": 0.0843,
    }
)

_CHARGE = """
model ohara_cipa_charge
title O'Hara-Rudy CiPA v1, counting the net charge of six currents
extends ohara_cipa
state net_charge = 0 [C/F]
net_charge' = (INaL + ICaL + Ito + IKr + IKs + IK1) / 1000
"""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """What one drug does to the cell at each concentration.

    Attributes
    ----------
    concentration_nM : (n,) float
    net_charge : (n,) float
        C/F over one beat at steady state; NaN where the cell did not repolarise.
    apd90_ms : (n,) float
    """

    drug: str
    concentration_nM: Floats
    net_charge: Floats
    apd90_ms: Floats

    @property
    def measure(self) -> float:
        """Mean net charge over the concentrations, C/F; NaN where a beat did not end."""
        return float(self.net_charge.mean())


@cache
def counting_cell(variant: str = "endo") -> CellModel:
    """Return the CiPA cell with its net charge as a state."""
    from importlib.resources import files

    def text(name: str) -> str:
        return (files("carna.ep.cell") / "models" / f"{name}.cell").read_text("utf-8")

    return parse(_CHARGE, variant, find=text)


def responses(
    drugs: Sequence[Drug],
    *,
    multiples: Sequence[float] = MULTIPLES,
    beats: int = BEATS,
    dt_ms: float = 0.04,
    variant: str = "endo",
    progress: Progress = SILENT,
) -> tuple[Response, ...]:
    """Return the response to each drug at multiples of its free peak concentration, all cells in one run.

    Parameters
    ----------
    drugs : sequence of Drug
        With a peak concentration and binding rates each.
    multiples : sequence of float
        Of the peak concentration; 0 is no drug.
    beats : int
        To steady state: 1000 as published; slow blockers have not settled after 100. Potassium settles as
        slowly, and the charge with it: hence double precision.
    dt_ms : float
        0.04 ms is within 0.1 % of the charge at 0.02 ms.

    Raises
    ------
    InputError
        If a drug has no peak concentration or no binding rates.
    """
    lacking = [d.name for d in drugs if d.cmax_nM is None]
    if lacking:
        raise InputError(f"no free peak concentration of {', '.join(lacking)}", needed="one for each drug")
    cell = counting_cell(variant)
    doses = [(d, (d.cmax_nM or 0.0) * m) for d in drugs for m in multiples]
    changes = [d.at(dose, dynamic_hERG=True).parameters(cell) for d, dose in doses]
    charge, apd90 = last_beat(cell, changes, CYCLE_MS, beats, dt_ms=dt_ms, progress=progress)
    size = len(multiples)
    return tuple(
        Response(
            d.name,
            np.array([dose for _, dose in doses[n * size : (n + 1) * size]]),
            charge[n * size : (n + 1) * size],
            apd90[n * size : (n + 1) * size],
        )
        for n, d in enumerate(drugs)
    )


def last_beat(
    cell: CellModel,
    changes: Sequence[Mapping[str, float]],
    cycle_ms: float,
    beats: int,
    *,
    everywhere: Mapping[str, float] = MappingProxyType({}),
    dt_ms: float,
    progress: Progress = SILENT,
) -> tuple[Floats, Floats]:
    """Return the net charge over the last beat, C/F, and its APD90, ms, of a cell changed in several ways.

    Parameters
    ----------
    cell : CellModel
        A `counting_cell`.
    changes : sequence of mapping of str to float, (n,)
        Parameters and their values; those of the model where one is left out.
    cycle_ms : float
    beats : int
    everywhere : mapping of str to float
        Parameters that every one of them shares.
    dt_ms : float
    progress : Progress

    Returns
    -------
    net_charge, apd90_ms : (n,) float
        Both NaN where the beat did not end.
    """
    from carna.ep.cell.pace import Cells, pace

    varied = sorted({name for c in changes for name in c})
    values = {name: np.array([c.get(name, cell[name].value) for c in changes]) for name in varied}
    values |= {name: np.full(len(changes), value) for name, value in everywhere.items()}
    now: Cells | None = None
    done = 0
    while done < beats - 1:
        some = min(50, beats - 1 - done)
        now = pace(cell, cycle_ms, some, parameters=values, dt_ms=dt_ms, precision="float64", start=now).cells
        done += some
        progress(done / beats, f"beat {done} of {beats}")
    if now is not None:
        now["net_charge"][:] = 0.0
    last = pace(cell, cycle_ms, 1, parameters=values, dt_ms=dt_ms, precision="float64", start=now)
    progress(1.0, "net charge")
    apd90 = last.apd90_ms[-1]
    return np.where(np.isfinite(apd90), last.cells["net_charge"], np.nan).astype(float), apd90


def risk(measure: float, thresholds: tuple[float, float] = THRESHOLDS) -> Risk:
    """Return the class a mean net charge falls in; one that is NaN (no repolarisation) is high."""
    low, high = thresholds
    if not measure >= low:
        return "high"
    return "intermediate" if measure < high else "low"


def thresholds_of(measures: Sequence[float], risks: Sequence[Risk]) -> tuple[float, float]:
    """Return the two thresholds halfway between neighbouring classes of training drugs.

    Raises
    ------
    InputError
        If the classes overlap: then no threshold separates them.
    """
    by = {
        r: [m for m, k in zip(measures, risks, strict=True) if k == r]
        for r in ("high", "intermediate", "low")
    }
    if not max(by["high"]) < min(by["intermediate"]) or not max(by["intermediate"]) < min(by["low"]):
        raise InputError(
            "classes overlap: " + ", ".join(f"{k} {min(v):.4f} to {max(v):.4f}" for k, v in by.items()),
            needed="three separate ranges",
        )
    return (
        (max(by["high"]) + min(by["intermediate"])) / 2,
        (max(by["intermediate"]) + min(by["low"])) / 2,
    )
