"""Real patients with outlined hearts: ACDC and Sunnybrook, in the layouts of their public copies.

Neither set states its pixel size. ACDC (Bernard 2018, doi:10.1109/TMI.2018.2837502) outlines both
ventricles at end-diastole and end-systole; Sunnybrook (Radau 2009) the left cavity, on the slices an expert
chose. Both may be looked at and scored on; no weight that ships has been taught with them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ASSUMED_MM = (10.0, 1.4, 1.4)
_ACDC_GROUPS = ("dilated", "hypertrophic", "infarct", "normal", "right ventricle")
_SUNNYBROOK_GROUPS = {"HF-I": "infarct", "HF-NI": "no infarct", "HYP": "hypertrophic", "N": "normal"}


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """One patient: end-diastole, then end-systole.

    Parameters
    ----------
    name, group : str
        The set's own name and disease group.
    frames : (2, k, r, c) float
    labels : (2, k, r, c) uint8
        0 outside, 1 right cavity, 2 left muscle, 3 left cavity.
    classes : tuple of int
        The labels this set draws at all.
    """

    name: str
    group: str
    frames: npt.NDArray[Any]
    labels: npt.NDArray[np.uint8]
    classes: tuple[int, ...]


def acdc(folder: Path) -> Iterator[Labelled]:
    """Yield each patient of ACDC."""
    import h5py

    for first in sorted((folder / "volumes").glob("*_frame01.h5")):
        frames, labels = [], []
        for path in (first, first.with_name(first.name.replace("frame01", "frame02"))):
            with h5py.File(path) as file:
                scale = file["image"].attrs.get("divide_by", file.attrs.get("divide_by", 1.0))
                frames.append(file["image"][()] / scale)
                labels.append(file["label"][()].astype(np.uint8))
        name = first.name.split("_")[0]
        number = re.search(r"(\d+)", name)
        group = _ACDC_GROUPS[min((int(number[1]) - 1) // 20, 4)] if number else ""
        yield Labelled(name, group, np.stack(frames), np.stack(labels), (1, 2, 3))


def sunnybrook(folder: Path) -> Iterator[Labelled]:
    """Yield each patient of Sunnybrook: the slices in which both phases are outlined."""
    from matplotlib.image import imread

    for patient in sorted(folder.glob("*/*")):
        slices: dict[int, list[Path]] = defaultdict(list)
        for mask in sorted(patient.glob("*_endo.png")):
            number = re.search(r"-(\d{4})_endo", mask.name)
            if number:
                slices[(int(number[1]) - 1) // 20].append(mask)  # twenty phases in each slice
        pairs = [pair for _, pair in sorted(slices.items()) if len(pair) == 2]
        if not pairs:
            continue
        masks = np.array([[imread(mask) > 0 for mask in pair] for pair in pairs]).swapaxes(0, 1)
        frames = np.array(
            [[imread(m.with_name(m.name.replace("_endo", ""))) for m in pair] for pair in pairs]
        ).swapaxes(0, 1)
        full = masks.sum((1, 2, 3))
        order = [int(full.argmax()), int(full.argmin())]
        kind = next((g for key, g in _SUNNYBROOK_GROUPS.items() if f"SC-{key}-" in f"{patient.name}-"), "")
        yield Labelled(patient.name, kind, frames[order], (3 * masks[order]).astype(np.uint8), (3,))
