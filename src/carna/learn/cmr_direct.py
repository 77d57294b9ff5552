"""Does a network that never outlines measure a heart? Virtual hearts held out, ACDC and Sunnybrook.

What the second network (`carna.image.ventricles.direct`) says of areas, dimensions, wall thicknesses and
whether there is a ventricle, against exact labels and experts' outlines; and the left ejection fraction by
it alone, by outlines alone, and by the mean of both. No real patient taught either network; the real sets
were looked at while the method was written. Lengths and areas are in pixels of the pictures: no pixel size is
known. Of the real sets the outlines' window is used; a refusal has no estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.network import Network
from carna.image.ventricles import LV, NETWORK, segment
from carna.image.ventricles.direct import DIRECT, both, estimate
from carna.image.ventricles.indices import AREAS, indices
from carna.learn.agreement import measures
from carna.learn.cmr_patients import acdc, sunnybrook
from carna.learn.cmr_trust import stacks
from carna.learn.evaluate import Row, by_patient
from carna.phantom.heart import Heart
from carna.phantom.labels import as_outlined
from carna.phantom.mr import picture
from carna.phantom.patient import short_axis
from carna.phantom.people import draw_heart
from carna.phantom.slices import lesson
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]

LESSONS, PATIENTS, BEATING = 300, 30, 4
SEED = 7001  # of what taught nothing
_FEW = 12  # pixels of a cavity below which there is none


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One patient, or one lesson.

    Parameters
    ----------
    name : str
    said, true : (slices, 12) float64
        Indices of every slice, as `carna.image.ventricles.indices.indices`; NaN where not drawn.
    present : (slices, 2) bool
        Whether a left ventricle is said to be there, and is.
    ef : tuple of float, or None
        Left ejection fraction in percent: without outlines, by outlines, by both, true.
    """

    name: str
    said: Floats
    true: Floats
    present: npt.NDArray[np.bool_]
    ef: tuple[float, float, float, float] | None = None


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows of lessons and virtual patients, and of the real sets that are there."""
    network, second = Network(NETWORK), Network(DIRECT)
    rows = list(rows_of("virtual lessons", "P", "test", lessons(second)))
    progress(0.1, "lessons")
    found = [c for n in range(PATIENTS) for c in virtual(n, network, second)]
    rows += rows_of("virtual patients", "P", "test", found)
    right = np.concatenate([filling(n, network, second) for n in range(BEATING)])
    rows.append(
        Row("virtual patients", "P", "test", "filling or emptying", "accuracy", float(right.mean()), None,
            len(right), BEATING)
    )  # fmt: skip
    progress(0.5, "virtual patients")
    for name, folder, patients in (
        ("ACDC", "acdc-cine-mri", acdc),
        ("Sunnybrook", "sunnybrook-cine-mri", sunnybrook),
    ):
        if (data / folder).exists():
            seen = [case(p.name, p.frames, p.labels, network, second) for p in patients(data / folder)]
            rows += rows_of(name, "H", "development", [c for c in seen if c is not None])
        progress(0.75, name)
    return tuple(rows)


def lessons(second: Network) -> list[Case]:
    """Return lessons that taught nothing."""
    drawn = [lesson(np.random.default_rng([SEED, n]), second.side) for n in range(LESSONS)]
    said = second.numbers(np.stack([one.picture for one in drawn])).astype(np.float64)
    true = np.array([indices(one.labels) for one in drawn])
    there = np.column_stack([said[:, -1] > 0, true[:, 0] >= _FEW])
    return [Case(str(n), said[n : n + 1, :-1], true[n : n + 1], there[n : n + 1]) for n in range(LESSONS)]


def virtual(number: int, network: Network, second: Network) -> Iterator[Case]:
    """Yield the first look of a virtual patient, if it is answered."""
    _, frames, truth = stacks(number, SEED)[0]
    found = case(f"virtual {number}", frames, truth, network, second)
    if found is not None:
        yield found


def case(
    name: str,
    frames: npt.NDArray[np.floating | np.integer],
    truth: npt.NDArray[np.uint8],
    network: Network,
    second: Network,
) -> Case | None:
    """Return what is said of a patient's two frames; None where no heart is found.

    Parameters
    ----------
    frames : (2, k, r, c) real
        End-diastole, end-systole.
    truth : (2, k, r, c) uint8
    """
    try:
        seen = segment(frames, spacing_mm=None, network=network)
    except InputError:
        return None
    said = estimate(frames, seen.window, pixel_mm=None, network=second)
    true = np.array([[indices(one) for one in frame] for frame in truth])
    drawn = [bool((truth == label).any()) for label in (3, 2, 1)]
    true[..., :3][..., ~np.array(drawn)] = np.nan
    if not drawn[1]:
        true[..., 3:] = np.nan
    each = np.concatenate([said.areas, said.dimensions, said.walls], axis=-1)
    cavity = (seen.labels == LV).sum((2, 3)).astype(float)
    curves = (said.areas[..., 0], cavity, both(cavity, said.areas[..., 0]), true[..., 0])
    without, outlined, mean, real = (_ef(c) for c in curves)
    there = np.stack([said.present >= 0.5, true[..., 0] >= _FEW], axis=-1)
    return Case(
        name,
        each.reshape(-1, each.shape[-1]),
        true.reshape(-1, true.shape[-1]),
        there.reshape(-1, 2),
        (without, outlined, mean, real),
    )


def _ef(areas: Floats) -> float:
    """Return the percentage that leaves areas (2, k) between the frames; NaN without a first."""
    full, left = areas.sum(1)
    return float(100 * (1 - left / full)) if full > 0 else float("nan")


def filling(number: int, network: Network, second: Network, frames: int = 12) -> npt.NDArray[np.bool_]:
    """Return whether each frame of a virtual beat is rightly said to be filling or emptying.

    Frames at which the volume stays within 1 % of its range to both sides are neither, and left out.
    """
    person: Heart = draw_heart(np.random.default_rng([SEED, 10_000 + number]))
    plane = short_axis(person, int(person.length_mm / 10) + 1, 144, 1.5)
    phases = np.arange(frames) / frames
    cine, labels = picture(person, plane, phases, noise=0.04, seed=number)
    try:
        seen = segment(cine, spacing_mm=None, network=network)
    except InputError:
        return np.zeros(frames, np.bool_)
    volume = (as_outlined(labels) == LV).sum((1, 2, 3)).astype(float)
    slope = np.roll(volume, -1) - np.roll(volume, 1)
    clear = np.abs(slope) > 0.02 * np.ptp(volume)
    said = estimate(cine, seen.window, pixel_mm=None, network=second).phase
    return np.asarray((said == np.sign(slope))[clear])


def rows_of(name: str, truth: str, split: str, cases: Sequence[Case]) -> Iterator[Row]:
    """Yield the rows of a set."""
    said, true = (np.concatenate([getattr(c, what) for c in cases]) for what in ("said", "true"))
    many = len(cases)

    def row(
        task: str,
        metric: str,
        value: float,
        n: int,
        ci95: tuple[float, float] | None = None,
        unit: str = "1",
        patients: int = many,
    ) -> Row:
        return Row(name, truth, split, task, metric, value, ci95, n, patients, unit)  # type: ignore[arg-type]

    for n, what in enumerate(AREAS):
        known = np.isfinite(true[:, n])
        if known.any():
            off = np.abs(said[known, n] - true[known, n])
            yield row(f"{what}, area", "relative_error", float(off.sum() / true[known, n].sum()), len(off))
            r = float(np.corrcoef(said[known, n], true[known, n])[0, 1])
            yield row(f"{what}, area", "correlation", r, len(off))
    for what, which in (("left cavity, dimensions", slice(3, 6)), ("wall thickness", slice(6, 12))):
        off = np.abs(said[:, which] - true[:, which])
        if np.isfinite(off).any():
            yield row(what, "mae", float(np.nanmean(off)), int(np.isfinite(off).sum()), None, "{pixel}")
    there = np.concatenate([c.present for c in cases])
    each = [(c.present[:, 0] == c.present[:, 1]).astype(float).tolist() for c in cases]
    share = float((there[:, 0] == there[:, 1]).mean())
    yield row("left ventricle present", "accuracy", share, len(there), by_patient(each))
    pairs = [c.ef for c in cases if c.ef is not None and np.isfinite(c.ef).all()]
    for n, way in enumerate(("without outlines", "by outlines", "by both")):
        if pairs:
            for metric, value, ci95 in measures([p[n] for p in pairs], [p[3] for p in pairs]):
                unit = "1" if metric == "icc" else "%"
                task = f"left ejection fraction, {way}"
                yield row(task, metric, value, len(pairs), ci95, unit, len(pairs))
