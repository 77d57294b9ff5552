"""The left atrium on late enhancement: against outlined patients, and against fresh virtual hearts.

No real patient taught the network. The five outlined patients of the 2018 atrial segmentation challenge
(Xiong 2021, doi:10.1016/j.media.2020.101832) that are at hand were looked at while the method was written:
their figures are development figures. Their files state no voxel size and are cut around the atrium. Slices
1.25 mm apart with pixels of 0.625 mm are assumed: vertebrae follow each other every 17 to 20 slices, which is
22 to 25 mm so and half of what it is in anyone were slices as close as pixels. Only Dice, a ratio, is scored
on them. A refusal is a miss: Dice 0, and no volume.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.atrium import LeftAtrium, Reader, left_atrium
from carna.learn.agreement import dice, measures
from carna.learn.evaluate import Row, by_patient
from carna.phantom.atrium_lge import anatomy_of, lesson
from carna.phantom.chambers import draw_whole
from carna.progress import SILENT, Progress

__all__ = ["AtriumScore", "evaluate", "patients", "rows_of", "score", "virtual"]

FOLDER = "la-lge-mri-2018"
ASSUMED_MM = (1.25, 0.625, 0.625)
HEARTS = 30
SEED = 770_000  # lessons are drawn from other streams


@dataclass(frozen=True, slots=True, eq=False)
class AtriumVolume:
    """A volume with its truth, axes from feet to head, front to back, right to left."""

    name: str
    picture: npt.NDArray[np.float32]
    atrium: npt.NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class AtriumScore:
    """What one volume scored; ``seen`` is None where it was refused."""

    name: str
    dice: float
    true_ml: float
    seen: LeftAtrium | None


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows of the outlined patients, if they are there, and of virtual hearts."""
    rows: list[Row] = []
    if (data / FOLDER).exists():
        rows += rows_of("LA-LGE 2018", [score(one) for one in patients(data / FOLDER)])
    progress(0.3, FOLDER)
    rows += rows_of("virtual", [score(one) for one in virtual(HEARTS)])
    progress(1.0, "virtual atria")
    return tuple(rows)


def patients(folder: Path) -> Iterator[AtriumVolume]:
    """Yield the outlined patients of a folder of ``ID/mri_norm2.h5``, by name."""
    import h5py

    for path in sorted(folder.glob("*/mri_norm2.h5")):
        with h5py.File(path) as file:
            # Stored from right to left, front to back, feet to head.
            picture = np.asarray(file["image"], np.float32).transpose(2, 1, 0)
            atrium = np.asarray(file["label"]).transpose(2, 1, 0) > 0
        yield AtriumVolume(path.parent.name, picture, atrium, ASSUMED_MM)


def virtual(count: int, seed: int = SEED) -> Iterator[AtriumVolume]:
    """Yield fresh virtual volumes of many voxel sizes."""
    for n in range(count):
        random = np.random.default_rng([seed, n])
        slices, pixel = float(random.uniform(1.25, 3.0)), float(random.uniform(0.8, 1.6))
        shape = (round(110.0 / slices), round(105.0 / pixel), round(120.0 / pixel))
        made = lesson(anatomy_of(draw_whole(random), random), random, shape, (slices, pixel, pixel))
        yield AtriumVolume(f"virtual {n}", made.picture, made.labels > 0, (slices, pixel, pixel))


def score(one: AtriumVolume, reader: Reader | None = None) -> AtriumScore:
    """Return what the reader scores on one volume."""
    true_ml = float(one.atrium.sum() * np.prod(one.spacing_mm) / 1e3)
    try:
        seen = left_atrium(one.picture, one.spacing_mm, reader=reader)
    except InputError:
        return AtriumScore(one.name, 0.0, true_ml, None)
    return AtriumScore(one.name, dice(seen.labels > 0, one.atrium), true_ml, seen)


def rows_of(name: str, scores: Sequence[AtriumScore]) -> list[Row]:
    """Return the rows of a set; volumes only of virtual hearts, whose millimetres are known."""
    n, known = len(scores), name == "virtual"
    answered = float(np.mean([s.seen is not None for s in scores]))
    each = [s.dice for s in scores]

    def row(
        task: str, metric: str, value: float, ci95: tuple[float, float] | None = None, unit: str = "1"
    ) -> Row:
        return Row(
            name, "P" if known else "H", "development", task, metric, value, ci95, n, n, unit,
            answered=answered,
        )  # fmt: skip

    task = "left atrium, late enhancement"
    rows = [
        row(task, "dice", float(np.mean(each)), by_patient([[d] for d in each])),
        row(task, "dice_worst_decile", float(np.mean(sorted(each)[: max(1, n // 10)]))),
    ]
    if known:
        pairs = [(s.seen.ml, s.true_ml) for s in scores if s.seen is not None]
        for metric, value, ci95 in measures([f for f, _ in pairs], [t for _, t in pairs]):
            unit = "1" if metric == "icc" else "mL"
            rows.append(row("left atrial volume, late enhancement", metric, value, ci95, unit))
    return rows
