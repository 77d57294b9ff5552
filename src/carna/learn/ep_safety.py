"""28 drugs of the CiPA initiative ranked by net charge in a cell model, against an expert panel's classes.

The two thresholds stand in `carna.ep.safety` and were fixed on the 12 training drugs: their row is
``fitted``. The 16 validation drugs were classified once. An hour of one core at 1000 beats.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from carna.ep.drugs import cipa
from carna.ep.safety import responses, risk
from carna.intervals import wilson
from carna.learn.evaluate import Row
from carna.progress import SILENT, Progress


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return a row for each drug and one for each half of the set; needs no data."""
    drugs = sorted(cipa().values(), key=lambda d: d.group)
    found = responses(drugs, progress=progress)
    rows: list[Row] = []
    halves: tuple[tuple[str, Literal["fitted", "test"]], ...] = (("train", "fitted"), ("validation", "test"))
    for group, split in halves:
        told = [(d, r) for d, r in zip(drugs, found, strict=True) if d.group == group]
        for drug, response in told:
            task = f"mean net charge over 1 to 4 x peak concentration (panel: {drug.risk} risk)"
            rows.append(Row("CiPA", "P", split, task, "mean", response.measure, None, 4, 0, "C/F", drug.name))
        hits = sum(risk(r.measure) == d.risk for d, r in told)
        task = f"class by net charge, {group} drugs"
        share = hits / len(told)
        rows.append(Row("CiPA", "H", split, task, "rate", share, wilson(hits, len(told)), len(told), 0))
    return tuple(rows)
