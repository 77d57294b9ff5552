"""Myocardial motion and strain: on virtual hearts, on real pictures moved on purpose, on patients' outlines.

Virtual hearts of seeds that were not looked at while the method was made (truth P): the surfaces found
against where they are, and peak strain against the same strain of the true motion of the true wall: from
exact labels, from outlines that are off by a smooth 0.6 pixel, part of it different in every frame, and from
the outlines of the network, which learned from other virtual hearts of the same family. What the plane shows
is also compared with what the muscle does: the base descends through the slice.

Real ACDC slices moved by a known map (truth P, development): a contraction with twist, the model of most
phantoms, and the same with a random smooth swirl that belongs to no model of a heart.

Sunnybrook (truth H): is the shortening of the cavity less even around the wall in heart failure with infarct
than without, where the ejection fraction is the same? Outlines of end-diastole and end-systole only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.heart.short_axis import short_axis as find_segments
from carna.image.motion import MID, SPOKES, Motion, Strain, strain, track
from carna.image.motion.contours import contours, on_angles, waves
from carna.image.network import Network
from carna.image.ventricles import NETWORK, segment
from carna.learn.cmr_patients import Labelled, acdc, sunnybrook
from carna.learn.evaluate import Row, by_patient
from carna.phantom import mr
from carna.phantom.heart import ES_PHASE, Heart
from carna.phantom.in_plane import in_plane, of_muscle
from carna.phantom.labels import as_outlined
from carna.phantom.patient import short_axis
from carna.phantom.people import SHARES, draw_heart
from carna.progress import SILENT, Progress

__all__ = ["Warp", "evaluate", "heterogeneity", "slipped", "warped"]

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]

FRAMES: Final = 25
PIXEL_MM: Final = 1.4
SEEDS: Final = 500  # not those that the method was tuned on
HEARTS_EACH: Final = 2
SECTORS: Final = 24
_EVERY_FRAME, _ALWAYS = 0.5, 0.4  # pixels (sd) by which slipped outlines are off


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows of virtual hearts, and of the sets that are there."""
    rows = list(_virtual(progress.part(0.0, 0.8)))
    if (data / "acdc-cine-mri").exists():
        rows += _moved(acdc(data / "acdc-cine-mri"))
    progress(0.95, "ACDC, moved")
    if (data / "sunnybrook-cine-mri").exists():
        rows += _uneven(tuple(sunnybrook(data / "sunnybrook-cine-mri")))
    progress(1.0, "Sunnybrook")
    return tuple(rows)


# ---- virtual hearts ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    """What was found of one virtual heart, what its pictures show, and what its muscle does."""

    pattern: str
    found: Strain
    shown: Strain
    muscle: Strain
    normal_px: Floats
    turned_deg: tuple[float, float]


def _virtual(progress: Progress) -> Iterator[Row]:
    heard: dict[str, list[_Heard]] = {}
    patterns = [pattern for pattern in SHARES for _ in range(HEARTS_EACH)]
    network = Network(NETWORK)
    for n, pattern in enumerate(patterns):
        person = draw_heart(np.random.default_rng(SEEDS + n), pattern)
        plane = short_axis(person, int(np.ceil((person.length_mm + 5.0) / 10.0)), 128, PIXEL_MM)
        cine, drawn = mr.picture(person, plane, np.arange(FRAMES) / FRAMES, noise=0.04, seed=n)
        exact = as_outlined(drawn)
        moved = slipped(exact, PIXEL_MM, np.random.default_rng(n))
        truth = track(cine, exact, _spacing(plane))
        for name, labels in (
            ("virtual hearts", exact),
            ("virtual hearts, outlines off by 0.6 pixel", moved),
            ("virtual hearts, outlines of the network", _by_network(cine, plane, network)),
        ):
            if labels is not None:
                told = _heard(pattern, person, plane, cine, labels, truth)
                heard.setdefault(name, []).append(told)
        progress((n + 1) / len(patterns), "virtual hearts")
    for name, every in heard.items():
        for group in ("all", *SHARES):
            asked = sum(group in ("all", pattern) for pattern in patterns)
            yield from _strain_rows(name, group, [h for h in every if group in ("all", h.pattern)], asked)


def _by_network(cine: npt.NDArray[np.uint16], plane: mr.Plane, network: Network) -> Labels | None:
    """Outlines of the network; None where it finds no beating heart: a heart not answered."""
    try:
        return segment(cine, spacing_mm=_spacing(plane), network=network).labels
    except InputError:
        return None


def _spacing(plane: mr.Plane) -> tuple[float, float, float]:
    return float(np.linalg.norm(plane.affine[:3, 0])), PIXEL_MM, PIXEL_MM


def _heard(
    pattern: str, person: Heart, plane: mr.Plane, cine: npt.NDArray[np.uint16], labels: Labels, start: Motion
) -> _Heard:
    """Compare what is found from some labels with the true motion of the exact wall, ``start``."""
    phases = np.arange(FRAMES) / FRAMES
    motion = track(cine, labels, _spacing(plane))
    side = int(np.sign(np.linalg.det(plane.affine[:3, :3])))
    segments = find_segments(labels[0], _spacing(plane), handedness=side).segments(motion.angles)
    both = motion.followed & start.followed
    shown, muscle, mine = (np.full_like(motion.points_mm, np.nan) for _ in range(3))
    for k in np.flatnonzero(both):
        shown[:, k] = in_plane(person, plane, int(k), start.points_mm[0, k], phases)
        muscle[:, k] = of_muscle(person, plane, int(k), start.points_mm[0, k], phases)
        mine[:, k] = in_plane(person, plane, int(k), motion.points_mm[0, k], phases)
    es = round(ES_PHASE * FRAMES)
    across = motion.points_mm[es, :, :, -1] - motion.points_mm[es, :, :, 0]
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    off = ((motion.points_mm - mine)[es] * across[:, :, None]).sum(axis=-1) / PIXEL_MM
    turned = [replace(motion, points_mm=p).turning_deg[es] for p in (motion.points_mm, mine)]
    found, seen, true = (
        strain(replace(motion, points_mm=p, followed=both), segments, phases * 900.0)
        for p in (motion.points_mm, shown, muscle)
    )
    normal = np.abs(off[both]).ravel()
    return _Heard(
        pattern, found, seen, true, normal, (float(np.nanmean(turned[0])), float(np.nanmean(turned[1])))
    )


def _peaks_cc(of: Strain) -> Floats:
    """Peak circumferential strain at mid-wall (18,): of the ventricle, then of the segments."""
    return np.concatenate([of.peak_cc[MID : MID + 1], of.peaks_cc[MID]])


def _peaks_rr(of: Strain) -> Floats:
    return np.concatenate([of.peak_rr[MID : MID + 1], of.peaks_rr[MID]])


_PEAKS: Final = {"circumferential": _peaks_cc, "radial": _peaks_rr}


def _strain_rows(name: str, group: str, heard: Sequence[_Heard], asked: int) -> Iterator[Row]:
    if not heard:
        return
    answered = len(heard) / asked

    def row(task: str, metric: str, values: Sequence[Sequence[float]], unit: str) -> Row:
        count = sum(len(v) for v in values)
        mean = float(np.mean(np.concatenate([np.asarray(v, float) for v in values])))
        ci = by_patient(values) if len(values) > 2 else None
        return Row(
            name, "P", "test", task, metric, mean, ci, count, len(values), unit, group, answered=answered
        )

    def points(values: Floats) -> list[float]:
        kept = np.ravel(values)
        return [100.0 * float(v) for v in kept[np.isfinite(kept)]]

    yield row("displacement normal to the wall", "mae", [h.normal_px.tolist() for h in heard], "{pixel}")
    for kind, peak in _PEAKS.items():
        whole = [points(peak(h.found)[:1] - peak(h.shown)[:1]) for h in heard]
        parts = [points(peak(h.found)[1:] - peak(h.shown)[1:]) for h in heard]
        for task, values in ((f"peak global {kind} strain", whole), (f"peak segmental {kind} strain", parts)):
            yield row(task, "mae", [np.abs(v).tolist() for v in values], "%")
            yield row(task, "bias", values, "%")
            if group == "all":
                every = np.concatenate(values)
                sd = float(np.std(every, ddof=1))
                yield Row(
                    name, "P", "test", task, "sd", sd, None, len(every), len(heard), "%", answered=answered
                )
        if group == "all":
            through = [points(peak(h.shown)[:1] - peak(h.muscle)[:1]) for h in heard]
            yield row(f"peak global {kind} strain, plane less muscle", "bias", through, "%")
    if group == "all":
        turns = [[abs(h.turned_deg[0] - h.turned_deg[1])] for h in heard]
        yield row("rotation at end-systole (estimated)", "mae", turns, "deg")
        yield row("rotation at end-systole (true)", "mean", [[abs(h.turned_deg[1])] for h in heard], "deg")


def slipped(
    labels: Labels,
    pixel_mm: float,
    random: np.random.Generator,
    every_frame: float = _EVERY_FRAME,
    always: float = _ALWAYS,
) -> Labels:
    """Move the outlines of the left wall by smooth errors, as a network would.

    Parameters
    ----------
    labels : (t, k, r, c) uint8
        1 to 3, as `carna.image.motion.track` takes them.
    pixel_mm : float
    every_frame, always : float
        Standard deviation [pixel] of what is drawn anew in each frame, and of what stays in a slice. Defaults
        give Dice near .97 (cavity) and .90 (muscle).
    """
    found = contours(labels, (pixel_mm, pixel_mm))
    harmonic = (np.arange(13) + 1) // 2  # six harmonics
    spread = 1.0 / (1.0 + (harmonic / 3.0) ** 2)
    spread *= pixel_mm / np.sqrt(spread[0] ** 2 + (spread[1:] ** 2).sum() / 2.0)
    stays = random.standard_normal((labels.shape[1], 2, 13)) * spread * always
    grid = np.moveaxis(np.indices(labels.shape[2:], float), 0, -1) * pixel_mm
    out = labels.copy()
    for n, k in np.argwhere(found.known):
        arm = grid - found.centre_mm[n, k]
        wave = waves(np.arctan2(arm[..., 0], arm[..., 1]))
        off = stays[k] + random.standard_normal((2, 13)) * spread * every_frame
        r = np.sqrt(np.maximum(2.0 * wave @ found.area[n, k].T, 0.01)) + wave[..., :13] @ off.T
        away = np.hypot(arm[..., 0], arm[..., 1])
        outside = np.where(labels[n, k] == 1, 1, 0)
        inner, outer = r[..., 0], np.maximum(r[..., 1], r[..., 0] + 1.2 * pixel_mm)
        out[n, k] = np.select([away < inner, away < outer], [3, 2], outside)
    return out


# ---- real slices moved on purpose --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """A known motion of a slice: incompressible contraction and twist about a point, and a swirl.

    Parameters
    ----------
    centre : (row, column)
        Pixel.
    inner_px : float
        Mean radius of the cavity.
    shortening : float
        Fraction by which that radius falls at most, 0 to 0.4.
    twist_deg : float
        Turning of the inner surface at most; it fades outward.
    swirl : tuple of 4 floats
        Plane waves of a stream function: two wave numbers [rad/pixel], phase, amplitude [pixel]. The
        displacement is its curl, so areas are kept.
    """

    centre: tuple[float, float]
    inner_px: float
    shortening: float = 0.22
    twist_deg: float = 8.0
    swirl: tuple[tuple[float, float, float, float], ...] = ()

    def __call__(self, points: Floats, amount: float) -> Floats:
        """Where pixels (..., 2) go when the motion is done to ``amount``, 0 to 1."""
        arm = np.asarray(points, float) - self.centre
        square = (arm**2).sum(axis=-1)
        # Beyond twice the wall the motion fades, so that the rest of the chest stands still.
        fades = np.exp(-((square / (2.6 * self.inner_px) ** 2) ** 4))
        less = self.inner_px**2 * (1.0 - (1.0 - self.shortening * amount) ** 2)
        core = np.minimum(square / (0.6 * self.inner_px) ** 2, 1.0)
        r = np.sqrt(np.maximum(square - less * core * fades, 0.05 * square))
        turn = np.deg2rad(self.twist_deg) * amount * np.exp(-square / (2.0 * self.inner_px) ** 2)
        angle = np.arctan2(arm[..., 0], arm[..., 1]) + turn
        out = np.stack([r * np.sin(angle), r * np.cos(angle)], axis=-1) + self.centre
        for a, b, start, size in self.swirl:
            wave = np.cos(points[..., 0] * a + points[..., 1] * b + start) * size * amount * fades
            out = out + np.stack([b * wave, -a * wave], axis=-1) / max(np.hypot(a, b), 1e-9)
        return np.asarray(out)

    def undo(self, points: Floats, amount: float) -> Floats:
        """Where pixels (..., 2) came from, by fixed-point iteration to 0.01 pixel."""
        back = np.asarray(points, float)
        for _ in range(60):
            wrong = self(back, amount) - points
            back = back - 0.8 * wrong
            if np.abs(wrong).max() < 0.01:
                break
        return back


def warped(
    picture: Floats, labels: Labels, warp: Warp, frames: int, random: np.random.Generator
) -> tuple[Floats, Labels, Floats]:
    """Return a cine (t, 1, r, c) of a slice that moves as told, its labels, and the amount of each frame."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    amounts = np.sin(np.pi * np.arange(frames) / frames) ** 2
    grid = np.moveaxis(np.indices(picture.shape, float), 0, -1)
    noise = 0.02 * float(np.percentile(picture, 99))
    # Outlines move by fractions of a pixel: a hard-edged mask would stay where it is until it jumps.
    soft = [gaussian_filter((labels >= least).astype(float), 0.8) for least in (1, 2, 3)]
    shown, named = [], []
    for amount in amounts:
        back = np.moveaxis(warp.undo(grid, float(amount)), -1, 0)
        drawn = map_coordinates(picture, back, order=3, mode="nearest")
        shown.append(np.abs(drawn + noise * random.standard_normal(drawn.shape)))
        inside = [map_coordinates(one, back, order=1, mode="nearest") > 0.5 for one in soft]
        named.append(np.select([inside[2], inside[1], inside[0]], [3, 2, 1], 0))
    return np.stack(shown)[:, None], np.stack(named)[:, None].astype(np.uint8), amounts


def _moved(patients: Iterator[Labelled]) -> Iterator[Row]:
    errors: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    total = 0
    for n, patient in enumerate(patients):
        total += 1
        found = contours(patient.labels, (1.0, 1.0))
        ring = np.flatnonzero(found.known[0])
        if not len(ring):
            continue
        k = int(ring[len(ring) // 2])
        random = np.random.default_rng(n)
        y, x = found.centre_mm[0, k]
        inner = float(np.sqrt(2.0 * found.area[0, k, 0, 0]))
        plain = Warp((float(y), float(x)), inner)
        swirls = tuple(
            (*random.normal(0.0, 0.07, 2), random.uniform(0.0, 2 * np.pi), random.normal(0.0, 1.2))
            for _ in range(6)
        )
        cut = _around(patient.labels[0, k] > 0)
        here = patient.frames[0, k][cut].astype(float), patient.labels[0, k][cut]
        corner = (cut[0].start, cut[1].start)
        for family, swirl in (("contraction and twist", ()), ("with a random swirl", swirls)):
            warp = replace(plain, centre=(y - corner[0], x - corner[1]), swirl=swirl)
            cine, labels, amounts = warped(*here, warp, 20, random)
            first = np.where(np.arange(20)[:, None, None, None] == 0, labels, 0).astype(np.uint8)
            for told, given in (("labels in every frame", labels), ("labels at end-diastole only", first)):
                errors.setdefault((family, told), []).append(_off(cine, given, warp, amounts))
    for (family, told), values in errors.items():
        for m, (task, unit) in enumerate(
            (("displacement in the wall", "{pixel}"), ("displacement normal to the wall", "{pixel}"),
             ("peak global circumferential strain", "%"))
        ):  # fmt: skip
            each = [[v[m]] for v in values]
            yield Row(
                f"ACDC slices moved: {family}, {told}", "P", "development", task, "mae", float(np.mean(each)),
                by_patient(each), len(each), total, unit, answered=len(each) / max(total, 1),
            )  # fmt: skip


def _around(heart: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """A window of the picture around the heart, 24 pixels wider on every side."""
    rows, columns = np.nonzero(heart)
    return (
        slice(max(int(rows.min()) - 24, 0), int(rows.max()) + 25),
        slice(max(int(columns.min()) - 24, 0), int(columns.max()) + 25),
    )


def _off(cine: Floats, labels: Labels, warp: Warp, amounts: Floats) -> tuple[float, float, float]:
    """Errors at the greatest motion: all of it and normal to the wall [pixel], and peak strain [%]."""
    motion = track(cine, labels, (10.0, 1.0, 1.0))
    true = np.stack([warp(motion.points_mm[0], float(a)) for a in amounts])
    most = int(np.argmax(amounts))
    off = (motion.points_mm - true)[most, 0]
    across = true[most, 0, :, -1] - true[most, 0, :, 0]
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    ring = np.ones((1, SPOKES), np.uint8)
    cc = [
        strain(replace(motion, points_mm=p), ring, np.arange(len(cine)) * 40.0).peak_cc[MID]
        for p in (motion.points_mm, true)
    ]
    normal = float(np.abs((off * across[:, None]).sum(axis=-1)).mean())
    return float(np.linalg.norm(off, axis=-1).mean()), normal, 100.0 * abs(float(cc[0] - cc[1]))


# ---- patients ----------------------------------------------------------------------------------------------


def heterogeneity(labels: Labels) -> tuple[float, float, float]:
    """Ejection fraction by area, and how unevenly the cavity shortens around the wall.

    Parameters
    ----------
    labels : (2, k, r, c) uint8
        3 is the left cavity, at end-diastole and at end-systole.

    Returns
    -------
    ejection : float
        1 - area at end-systole / area at end-diastole, all slices summed.
    fixed, floating : float
        Standard deviation over `SECTORS` of the radial shortening ``1 - r_es / r_ed``, mean over the slices:
        radii about the end-diastolic middle (a cavity that moves aside counts as uneven), and about the
        middle of each frame (it does not).
    """
    cavity = labels == 3
    area = cavity.sum(axis=(2, 3))
    at = (np.arange(SECTORS) + 0.5) * (2 * np.pi / SECTORS)
    fine = np.arange(720) * (2 * np.pi / 720)
    away = np.stack([np.sin(fine), np.cos(fine)], axis=1)
    found = contours(labels, (1.0, 1.0))
    spread = []
    for k in np.flatnonzero((area >= 20).all(axis=0)):
        r = on_angles(found.area[:, k, 0], at)
        arm = found.centre_mm[1, k] - found.centre_mm[0, k]
        arm = arm + on_angles(found.area[1, k, 0], fine)[:, None] * away
        seen = np.arctan2(arm[:, 0], arm[:, 1])
        moved = np.interp(at, seen, np.hypot(arm[:, 0], arm[:, 1]), period=2 * np.pi)
        spread.append((np.std(1.0 - moved / r[0]), np.std(1.0 - r[1] / r[0])))
    fixed, floating = np.mean(spread, axis=0)
    return float(1.0 - area[1].sum() / area[0].sum()), float(fixed), float(floating)


def _uneven(patients: Sequence[Labelled]) -> Iterator[Row]:
    told = [p for p in patients if p.group in ("infarct", "no infarct")]
    ill = np.array([p.group == "infarct" for p in told])
    values = np.array([heterogeneity(p.labels) for p in told])
    ejection, fixed, floating = values.T
    apart = fixed - np.polyval(np.polyfit(ejection, fixed, 1), ejection)
    name = "Sunnybrook, infarct against none in heart failure"
    for task, score in (
        ("uneven shortening, fixed middle", fixed),
        ("uneven shortening, fixed middle, ejection fraction regressed out", apart),
        ("uneven shortening, floating middle", floating),
        ("ejection fraction alone", ejection),
    ):
        value, ci = _auroc(score, ill)
        n, some = len(told), int(ill.sum())
        yield Row(name, "H", "development", task, "auroc", value, ci, n, n, positives=some)
    for group, who in (("infarct", ill), ("no infarct", ~ill)):
        n, mean = int(who.sum()), float(ejection[who].mean())
        ci95 = by_patient([[e] for e in ejection[who]])
        yield Row(name, "H", "development", "ejection fraction", "mean", mean, ci95, n, n, group=group)


def _auroc(score: Floats, ill: npt.NDArray[np.bool_], draws: int = 2000) -> tuple[float, tuple[float, float]]:
    """Area under the curve, and its interval by bootstrap of the patients of both groups."""

    def area(a: Floats, b: Floats) -> float:
        return float(np.mean((a[:, None] > b) + 0.5 * (a[:, None] == b)))

    random = np.random.default_rng(0)
    a, b = score[ill], score[~ill]
    drawn = [area(random.choice(a, len(a)), random.choice(b, len(b))) for _ in range(draws)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return area(a, b), (float(low), float(high))
