"""How healthy muscle and infarct border recover, by the engine's own default cell: three tables, kept.

>>> from carna.heart.recovery import recovery
>>> bool(recovery("subacute").apd_ms.max() > recovery("healthy").apd_ms.min())
True

The cell is ten Tusscher-Panfilov 2006 (epi, doi:10.1152/ajpheart.00109.2006); the border zones are
`carna.ep.conditions.border_zone_subacute` and ``border_zone_chronic`` on it. ``recovery.csv`` was written by
`measured`, which takes some 5 s a table, with S1 of 600 ms; a test writes it again and compares.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from carna.ep.cell import CellModel
    from carna.ep.reentry import Restitution

__all__ = ["TISSUES", "Tissue", "cell", "measured", "paced", "recovery"]

Tissue = Literal["healthy", "subacute", "chronic"]
TISSUES: tuple[Tissue, ...] = ("healthy", "subacute", "chronic")
S1_MS = 600.0


def cell(tissue: Tissue) -> CellModel:
    """Return the cell model of a tissue."""
    from carna.ep import conditions
    from carna.ep.cell import load

    healthy = load("tt2006", "epi")
    if tissue == "healthy":
        return healthy
    border = {"subacute": conditions.border_zone_subacute, "chronic": conditions.border_zone_chronic}
    return border[tissue]().on(healthy)


def paced(model: CellModel, cycle_ms: float) -> CellModel:
    """Return a cell as it is after fifty beats, at the moment of the next one."""
    from carna.ep.cell.pace import pace

    held = pace(model, cycle_ms, 50, dt_ms=0.02).cells
    return model.starting(**{name: float(held[name][0]) for name in model.state_names})


@cache
def recovery(tissue: Tissue) -> Restitution:
    """Return the kept table of a tissue."""
    from carna.ep.reentry import Restitution

    text = (files("carna.heart") / "recovery.csv").read_text(encoding="utf-8")
    rows = [row for row in csv.DictReader(text.splitlines()) if row["tissue"] == tissue]
    rest, apd, speed = (np.array([float(row[c]) for row in rows]) for c in ("rest_ms", "apd_ms", "speed"))
    return Restitution(rest, apd, speed)


def measured(tissue: Tissue) -> Restitution:
    """Return the table of a tissue, measured on a cable now."""
    from carna.ep.restitution import restitution

    return restitution(cell(tissue), s1_ms=S1_MS)
