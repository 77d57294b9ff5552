"""The heart in a cine against labelled patients: ACDC and Sunnybrook.

Neither set states its pixel size: 1.4 mm is assumed and errors are in pixels. Both sets were
looked at while the method was written, so their figures are development figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from carna.image import locate_heart
from carna.intervals import wilson
from carna.learn.cmr_patients import ASSUMED_MM, Labelled, acdc, sunnybrook
from carna.learn.evaluate import Row, by_patient
from carna.progress import SILENT, Progress

CROP_PX = 128
LV = 3


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows of every set that is there."""
    sets: tuple[tuple[str, str, Callable[[Path], Iterator[Labelled]]], ...] = (
        ("ACDC", "acdc-cine-mri", acdc),
        ("Sunnybrook", "sunnybrook-cine-mri", sunnybrook),
    )
    rows: list[Row] = []
    for n, (name, folder, patients) in enumerate(sets):
        if (data / folder).exists():
            rows += _rows(name, patients(data / folder))
        progress((n + 1) / len(sets), name)
    return tuple(rows)


def _rows(name: str, patients: Iterator[Labelled]) -> Iterator[Row]:
    errors, ordered, held, answered = [], 0, 0, 0
    for patient in patients:
        frames, masks = patient.frames, patient.labels == LV
        found = locate_heart(frames, spacing_mm=ASSUMED_MM)
        if found.centre is None:
            # A refusal is a miss: as far off as the picture is wide.
            errors.append(float(max(frames.shape[2:])))
            continue
        answered += 1
        off = np.array(found.centre[1:]) - np.argwhere(masks)[:, 2:].mean(axis=0)
        area = masks.sum(axis=(1, 2, 3))
        errors.append(float(np.hypot(*off)))
        ordered += (found.ed, found.es) == (int(area.argmax()), int(area.argmin()))
        held += bool(np.abs(off).max() < CROP_PX / 2)
    n = len(errors)

    def row(task: str, metric: str, value: float, ci95: tuple[float, float] | None, unit: str) -> Row:
        return Row(name, "H", "development", task, metric, value, ci95, n, n, unit, answered=answered / n)

    centre = "centre of the left ventricle"
    yield row(centre, "mean_distance", float(np.mean(errors)), by_patient([[e] for e in errors]), "{pixel}")
    yield row(centre, "p95_distance", float(np.percentile(errors, 95)), None, "{pixel}")
    yield row(centre, "max_distance", float(np.max(errors)), None, "{pixel}")
    yield row(f"centre within a crop of {CROP_PX} pixels", "rate", held / n, wilson(held, n), "1")
    yield row("order of ED and ES", "rate", ordered / n, wilson(ordered, n), "1")
