"""Four chambers on CT and MR: against fresh virtual hearts, and beside another program on one real CT.

Virtual hearts are drawn with seeds that no lesson had; their truth is exact. Real chambers outlined by a
person are not at hand. TotalSegmentator's masks of one patient's CT angiogram (heart as a whole, aorta,
pulmonary artery; truth "O") are a model's output: agreement with them is no accuracy. Beside the network
stand two baselines: a threshold on blood, and the usual virtual heart laid where the network finds the heart.
Three volumes without a heart (truth "H": they end below the diaphragm) must be refused.

The real volumes were looked at while the method was made: development figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.network import Network
from carna.image.whole_heart import (
    AORTA,
    LEFT_ATRIUM,
    LV,
    MYOCARDIUM,
    NETWORK,
    PULMONARY_ARTERY,
    RIGHT_ATRIUM,
    RV,
    Kind,
    segment,
)
from carna.intervals import wilson
from carna.learn.agreement import dice, measures
from carna.learn.evaluate import Row, by_patient
from carna.phantom import ct
from carna.phantom.chamber_slices import as_chambers
from carna.phantom.chambers import WholeHeart, draw_whole
from carna.phantom.heart import Heart
from carna.progress import SILENT, Progress
from carna.space import Floats, Grid

__all__ = ["STRUCTURES", "evaluate", "real_ct", "virtual"]

Labels = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.floating | np.integer]

STRUCTURES = {
    RV: "right ventricle",
    MYOCARDIUM: "left muscle",
    LV: "left ventricle",
    LEFT_ATRIUM: "left atrium",
    RIGHT_ATRIUM: "right atrium",
    AORTA: "aorta",
    PULMONARY_ARTERY: "pulmonary artery",
}
CHAMBERS = (RV, MYOCARDIUM, LV, LEFT_ATRIUM, RIGHT_ATRIUM)
HEARTS = 6
GROUPS = ("CT arterial", "CT pulmonary", "CT venous", "CT native", "MR balanced")
_FOLDER = "totalseg-ct-mr"
_CTA = "aorta_report/test_result/models/ct_cropped.nii.gz"
_MASKS = (
    ("whole heart", "pulmonary_report/models/heart.nii.gz", CHAMBERS),
    ("aorta", "aorta_report/test_result/models/aorta.nii.gz", (AORTA,)),
    ("pulmonary artery", "pulmonary_report/models/pulmonary_artery.nii.gz", (PULMONARY_ARTERY,)),
)
_HEARTLESS: tuple[tuple[str, Kind], ...] = (
    ("example_ct.nii.gz", "CT"),
    ("example_ct_sm.nii.gz", "CT"),
    ("example_mr_sm.nii.gz", "MR"),
)


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows; the virtual ones need no data. About four minutes of one core."""
    network = Network(NETWORK)
    rows = [*virtual(network, progress.part(0.0, 0.9))]
    if (data / _FOLDER).exists():
        rows += real_ct(data / _FOLDER, network)
        rows += heartless(data / _FOLDER, network)
    progress(1.0, "heart chambers")
    return tuple(rows)


# ---- virtual hearts ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Score:
    """What one virtual heart scored, by label: Dice, and volumes found and true [mL]."""

    dice: dict[int, float]
    ml: dict[int, tuple[float, float]]
    answered: bool


def virtual(network: Network, progress: Progress = SILENT, hearts: int = HEARTS) -> Iterator[Row]:
    """Yield the rows of fresh virtual hearts, one group a way of picturing."""
    for g, group in enumerate(GROUPS):
        scores = []
        for seed in range(hearts):
            scores.append(score(seed, group, network))
            progress((g + (seed + 1) / hearts) / len(GROUPS), group)
        yield from rows_of(group, scores)


def score(seed: int, group: str, network: Network) -> Score:
    """Return what a network scores on one virtual heart."""
    values, truth, grid = pictured(seed, group)
    kind: Kind = "MR" if group.startswith("MR") else "CT"
    try:
        seen = segment(values, grid.affine, kind=kind, network=network)
    except InputError:
        return Score(dict.fromkeys(STRUCTURES, 0.0), {}, False)
    voxel = grid.voxel_ml
    return Score(
        {n: dice(seen.labels == n, truth == n) for n in STRUCTURES},
        {n: (seen.ml.get(n, 0.0), voxel * float((truth == n).sum())) for n in CHAMBERS},
        True,
    )


def pictured(seed: int, group: str) -> tuple[Values, Labels, Grid]:
    """Return one virtual heart as a volume, its labels 1 to 7, and where it lies."""
    random = np.random.default_rng([7, 2000 + seed])
    person = draw_whole(random)
    grid = ct.axial(person, pixel_mm=2.5, spacing_mm=3.0, field_mm=235.0, length_mm=189.0)
    phase = float(random.choice([0.75, 0.35, 0.0]))
    noise_hu = float(random.uniform(15.0, 50.0))
    if group.startswith("MR"):
        return _as_mr(person, phase, grid, random)
    moments: dict[str, ct.Moment] = {
        "CT arterial": "arterial", "CT pulmonary": "pulmonary", "CT venous": "venous", "CT native": "native",
    }  # fmt: skip
    scan = ct.Scan(moments[group], noise_hu=noise_hu, thickness_mm=3.0, phase=phase)
    made = ct.volume(person, scan, grid, seed=seed)
    return made.hu, as_chambers(made.labels), grid


def _as_mr(
    person: WholeHeart, phase: float, grid: Grid, random: np.random.Generator
) -> tuple[Values, Labels, Grid]:
    """Return a balanced steady-state volume: the signals of `carna.phantom.mr`, blur and Rician noise."""
    from scipy.ndimage import gaussian_filter

    table = mr_table()
    labels = np.empty(grid.shape, np.uint8)
    drawn = np.empty(grid.shape, np.float32)
    for k in range(grid.shape[0]):
        points = ct.plane_points(grid, k)
        labels[k] = person.label_at(points, phase)
        around = np.where(labels[k] == 0, ct.chest_at(points), labels[k])
        drawn[k] = table[ct.in_its_sac(around, labels[k] != 0, grid.spacing_mm[1], 10.0)]
    drawn = gaussian_filter(drawn, 0.5)
    noise = random.uniform(0.03, 0.10) * random.standard_normal((2, *grid.shape)).astype(np.float32)
    return 600.0 * np.hypot(drawn + noise[0], noise[1]), as_chambers(labels), grid


def mr_table() -> npt.NDArray[np.float32]:
    """Return the balanced steady-state signal by label (256,), blood 1."""
    from carna.phantom import body, labels, mr

    table = np.asarray(mr.signals(), np.float32).copy()
    table[labels.LEFT_ATRIUM : labels.VENA_CAVA + 1] = 1.0
    table[ct.OESOPHAGUS], table[ct.LOWER_CAVA] = table[body.MUSCLE], 1.0
    return table


def rows_of(group: str, scores: Sequence[Score]) -> Iterator[Row]:
    """Yield Dice and volume errors of a group; a refusal is a Dice of 0 and has no volume."""
    n, answered = len(scores), float(np.mean([s.answered for s in scores]))
    for label, what in STRUCTURES.items():
        each = [s.dice[label] for s in scores]
        yield Row(
            "virtual hearts", "P", "test", what, "dice", float(np.mean(each)),
            by_patient([[d] for d in each]), n, n, "1", group, answered=answered,
        )  # fmt: skip
    for label in CHAMBERS:
        pairs = [s.ml[label] for s in scores if s.answered]
        found, true = [100.0 * a / b for a, b in pairs], [100.0] * len(pairs)
        for metric, value, ci95 in measures(found, true):
            if metric != "icc":  # the truth is 100 % everywhere
                yield Row(
                    "virtual hearts", "P", "test", f"{STRUCTURES[label]}, volume", metric, value, ci95,
                    len(pairs), len(pairs), "%", group, answered=answered,
                )  # fmt: skip


# ---- one real CT angiogram --------------------------------------------------------------------------------


def real_ct(folder: Path, network: Network) -> Iterator[Row]:
    """Yield the agreement with another model's masks of one patient, and that of the baselines."""
    values, affine = volume_of(folder / _CTA)
    seen = segment(values, affine, kind="CT", network=network)
    usual = _usual_heart(seen.labels, affine)
    for what, path, labels in _MASKS:
        mask, place = volume_of(folder / path)
        theirs = onto(mask > 0, place, values.shape, affine)
        ours = {"network": np.isin(seen.labels, labels), "usual heart at its place": np.isin(usual, labels)}
        if what == "whole heart":
            ours["blood above 150 HU, opened"] = _threshold(values, affine)
        for group, found in ours.items():
            yield Row(
                "TotalSegmentator CTA", "O", "development", what, "dice", dice(found, theirs), None, 1, 1,
                "1", "all" if group == "network" else group,
            )  # fmt: skip


def heartless(folder: Path, network: Network) -> Iterator[Row]:
    """Yield the share of volumes without a heart that are refused."""
    refused = 0
    for name, kind in _HEARTLESS:
        values, affine = volume_of(folder / name)
        try:
            segment(values, affine, kind=kind, network=network)
        except InputError:
            refused += 1
    n = len(_HEARTLESS)
    yield Row(
        "volumes without a heart",
        "H",
        "development",
        "refused",
        "rate",
        refused / n,
        wilson(refused, n),
        n,
        2,
    )


def volume_of(path: Path) -> tuple[Values, Floats]:
    """Return a NIfTI file's values (k, r, c) and its affine to LPS mm."""
    from carna.doors.files import walk
    from carna.doors.volume import nifti

    (blob,) = (b for b in walk([path])[0] if nifti.is_nifti(b))
    (found,) = nifti.read(blob)
    if found.grid is None:
        raise InputError(f"{path.name} has no place", needed="a NIfTI file with an orientation")
    return found.values.array, found.grid.affine


def onto(mask: Flags, place: Floats, shape: tuple[int, ...], affine: Floats) -> Flags:
    """Return a mask on another grid, by nearest voxel."""
    from scipy.ndimage import affine_transform

    to = np.linalg.inv(place) @ affine
    moved: Flags = affine_transform(mask.astype(np.uint8), to[:3, :3], to[:3, 3], shape, order=0) > 0
    return moved


def _usual_heart(found: Labels, affine: Floats) -> Labels:
    """Return the labels of the usual virtual heart, its middle where the found chambers have theirs."""
    person = WholeHeart(Heart())
    grid = ct.axial(person, pixel_mm=4.0, spacing_mm=4.0)
    middles = []
    slices = [as_chambers(person.label_at(ct.plane_points(grid, k), 0.75)) for k in range(grid.shape[0])]
    for labels, place in ((np.stack(slices), grid.affine), (found, affine)):
        index = np.argwhere(np.isin(labels, CHAMBERS)).mean(0)
        middles.append(place[:3, :3] @ index + place[:3, 3])
    moved = np.array(affine, float)
    moved[:3, 3] += middles[0] - middles[1]
    here = Grid((found.shape[0], found.shape[1], found.shape[2]), moved)
    return np.stack([as_chambers(person.label_at(ct.plane_points(here, k), 0.75)) for k in range(len(found))])


def _threshold(values: Values, affine: Floats) -> Flags:
    """Return the largest body of what is brighter than 150 HU after thin parts are opened away."""
    from scipy.ndimage import binary_closing, binary_opening, label

    steps = np.linalg.norm(affine[:3, :3], axis=0)
    reach = np.maximum(np.round(6.0 / steps), 1).astype(int)
    ball = np.ones(tuple(int(n) for n in reach), bool)
    bright = binary_opening(values > 150.0, ball)
    names, count = label(bright)
    sizes = np.bincount(names.ravel(), minlength=count + 1)
    sizes[0] = 0
    body: Flags = binary_closing(names == int(sizes.argmax()), ball, iterations=2)
    return body
