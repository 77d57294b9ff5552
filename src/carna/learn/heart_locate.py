"""The heart in a cine against labelled patients: ACDC and Sunnybrook.

Neither set states its pixel size: 1.4 mm is assumed and errors are in pixels. Both sets were
looked at while the method was written, so their figures are development figures.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from carna.image import locate_heart
from carna.intervals import wilson
from carna.learn.evaluate import Row, by_patient
from carna.progress import SILENT, Progress

Stack = npt.NDArray[Any]
ASSUMED_MM = (10.0, 1.4, 1.4)
CROP_PX = 128
# Frames (2, k, r, c) and left ventricular masks of the same shape, one pair a patient.
Patients = Iterator[tuple[Stack, Stack]]


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows of every set that is there."""
    sets: tuple[tuple[str, str, Callable[[Path], Patients]], ...] = (
        ("ACDC", "acdc-cine-mri", acdc),
        ("Sunnybrook", "sunnybrook-cine-mri", sunnybrook),
    )
    rows: list[Row] = []
    for n, (name, folder, patients) in enumerate(sets):
        if (data / folder).exists():
            rows += _rows(name, patients(data / folder))
        progress((n + 1) / len(sets), name)
    return tuple(rows)


def _rows(name: str, patients: Patients) -> Iterator[Row]:
    errors, ordered, held, answered = [], 0, 0, 0
    for frames, masks in patients:
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


def acdc(folder: Path) -> Patients:
    """Yield each patient of ACDC; the first frame is end-diastole."""
    import h5py

    for first in sorted((folder / "volumes").glob("*_frame01.h5")):
        frames, masks = [], []
        for path in (first, first.with_name(first.name.replace("frame01", "frame02"))):
            with h5py.File(path) as file:
                scale = file["image"].attrs.get("divide_by", file.attrs.get("divide_by", 1.0))
                frames.append(file["image"][()] / scale)
                masks.append(file["label"][()] == 3)
        yield np.stack(frames), np.stack(masks)


def sunnybrook(folder: Path) -> Patients:
    """Yield each patient of Sunnybrook: the slices in which both phases are labelled."""
    from matplotlib.image import imread

    for patient in sorted(folder.glob("*/*")):
        slices: dict[int, list[Path]] = defaultdict(list)
        for mask in sorted(patient.glob("*_endo.png")):
            number = re.search(r"-(\d{4})_endo", mask.name)
            if number:
                slices[(int(number[1]) - 1) // 20].append(mask)  # twenty phases in each slice
        pairs = [pair for _, pair in sorted(slices.items()) if len(pair) == 2]
        masks = np.array([[imread(mask) > 0 for mask in pair] for pair in pairs])
        frames = np.array(
            [[imread(m.with_name(m.name.replace("_endo", ""))) for m in pair] for pair in pairs]
        )
        yield frames.swapaxes(0, 1), masks.swapaxes(0, 1)
