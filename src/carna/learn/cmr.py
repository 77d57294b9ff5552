"""The ventricles of cine MRI against outlined patients: ACDC and Sunnybrook.

No real patient taught the network. The real sets were looked at while the method was written, so their
figures are development figures. A refusal is a miss: Dice 0, and no volume.

Each set is scored with one form of each picture, as the application reads where it trusts itself, and with
eight turned and mirrored forms. Dice is of the volume at one phase. The Hausdorff distance is in the plane,
in pixels (no spacing is known), the mean over the slices in which both see the structure. Real sets give
ratios alone. They hold two frames, so nothing here tests the choice of ED and ES, nor time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.network import Network
from carna.image.ventricles import segment
from carna.learn.agreement import dice, measures
from carna.learn.cmr_patients import Labelled, acdc, sunnybrook
from carna.learn.evaluate import Row, by_patient
from carna.progress import SILENT, Progress

Labels = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

STRUCTURES = {3: "left ventricle", 2: "left muscle", 1: "right ventricle"}
PHASES = ("end-diastole", "end-systole")
LEVELS = ("basal", "mid", "apical")
_SETS: tuple[tuple[str, str, Callable[[Path], Iterator[Labelled]]], ...] = (
    ("ACDC", "acdc-cine-mri", acdc),
    ("Sunnybrook", "sunnybrook-cine-mri", sunnybrook),
)


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """What one patient scored.

    Parameters
    ----------
    name, group : str
    dice, hausdorff_px : dict
        By (phase 0 or 1, label); Hausdorff NaN where no slice has both.
    level_dice : dict
        By (level 0 to 2, label): thirds of the slices that hold the true left ventricle, both phases.
    ef : dict
        By label 1 or 3: (found, true), shares.
    certainty : float
    answered : bool
    """

    name: str
    group: str
    dice: dict[tuple[int, int], float]
    hausdorff_px: dict[tuple[int, int], float]
    level_dice: dict[tuple[int, int], float]
    ef: dict[int, tuple[float, float]]
    certainty: float
    answered: bool


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows of every set that is there."""
    rows: list[Row] = []
    for n, (name, folder, patients) in enumerate(_SETS):
        if (data / folder).exists():
            for eightfold, forms in ((False, ""), (True, " (eight forms)")):
                scores = [score(one, eightfold=eightfold) for one in patients(data / folder)]
                rows += [replace(row, task=row.task + forms) for row in rows_of(name, scores)]
        progress((n + 1) / len(_SETS), name)
    return tuple(rows)


def score(patient: Labelled, network: Network | None = None, *, eightfold: bool = False) -> Score:
    """Return what a network scores on one patient."""
    truth = patient.labels
    try:
        seen = segment(patient.frames, spacing_mm=None, network=network, eightfold=eightfold)
        found, certainty, answered = seen.labels, float(np.nanmean(seen.certainty)), True
    except InputError:
        found, certainty, answered = np.zeros_like(truth), 0.0, False
    pairs = [(f, c) for f in (0, 1) for c in patient.classes]
    thirds = _thirds(truth == 3)
    return Score(
        patient.name,
        patient.group,
        {(f, c): dice(found[f] == c, truth[f] == c) for f, c in pairs},
        {(f, c): hausdorff_px(found[f] == c, truth[f] == c) for f, c in pairs},
        {
            (n, c): dice(found[:, third] == c, truth[:, third] == c)
            for n, third in enumerate(thirds)
            for c in patient.classes
        },
        {c: (_ef(found == c), _ef(truth == c)) for c in (3, 1) if c in patient.classes and answered},
        certainty,
        answered,
    )


def rows_of(name: str, scores: Sequence[Score]) -> list[Row]:
    """Return the rows of a set."""
    n, answered = len(scores), float(np.mean([s.answered for s in scores]))

    def row(
        task: str,
        metric: str,
        value: float,
        ci95: tuple[float, float] | None = None,
        unit: str = "1",
        group: str = "all",
        of: int = n,
    ) -> Row:
        return Row(
            name, "H", "development", task, metric, value, ci95, of, of, unit, group, answered=answered
        )

    rows: list[Row] = []
    for label in (c for c in STRUCTURES if (0, c) in scores[0].dice):
        what = STRUCTURES[label]
        both = [(s.dice[0, label] + s.dice[1, label]) / 2 for s in scores]
        rows.append(row(what, "dice", float(np.mean(both)), by_patient([[d] for d in both])))
        rows.append(row(what, "dice_worst_decile", float(np.mean(sorted(both)[: max(1, n // 10)]))))
        for f, phase in enumerate(PHASES):
            each = [s.dice[f, label] for s in scores]
            rows.append(
                row(f"{what}, {phase}", "dice", float(np.mean(each)), by_patient([[d] for d in each]))
            )
            far = [s.hausdorff_px[f, label] for s in scores]
            rows.append(row(f"{what}, {phase}", "hausdorff", float(np.nanmean(far)), None, "{pixel}"))
        for level, words in enumerate(LEVELS):
            here = [s.level_dice[level, label] for s in scores]
            rows.append(row(f"{what}, {words} slices", "dice", float(np.mean(here))))
        for group in sorted({s.group for s in scores}):
            some = [b for b, s in zip(both, scores, strict=True) if s.group == group]
            rows.append(row(what, "dice", float(np.mean(some)), None, "1", group, len(some)))
    for label, what in ((3, "left ejection fraction"), (1, "right ejection fraction")):
        for group in ("all", *sorted({s.group for s in scores})):
            pairs = [s.ef[label] for s in scores if label in s.ef and group in ("all", s.group)]
            for metric, value, ci95 in measures(*_percent(pairs)):
                rows.append(
                    row(what, metric, value, ci95, "1" if metric == "icc" else "%", group, len(pairs))
                )
    return rows


def hausdorff_px(found: Flags, truth: Flags) -> float:
    """Return the greatest in-plane distance of outlines [pixel], mean over slices with both, else NaN."""
    from scipy.ndimage import binary_erosion, distance_transform_edt

    far = []
    for a, b in zip(found, truth, strict=True):
        if a.any() and b.any():
            rims = [m & ~binary_erosion(m) for m in (a, b)]
            away = [distance_transform_edt(~rim) for rim in rims]
            far.append(max(float(away[1][rims[0]].max()), float(away[0][rims[1]].max())))
    return float(np.mean(far)) if far else float("nan")


def _thirds(truth: Flags) -> list[npt.NDArray[np.int64]]:
    """Return the slices of the basal, the mid and the apical third of the true left ventricle.

    The base is where the right ventricle's side of the stack is wider at end-diastole: the half with the
    greater left area.
    """
    area = truth.sum((0, 2, 3))
    held = np.flatnonzero(area)
    if area[held[: len(held) // 2]].sum() < area[held[-(len(held) // 2) :]].sum():
        held = held[::-1]
    return list(np.array_split(held, 3))


def _ef(mask: Flags) -> float:
    full, empty = (int(m.sum()) for m in mask)
    return 1.0 - empty / full if full else 0.0


def _percent(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [100 * found for found, _ in pairs], [100 * true for _, true in pairs]
