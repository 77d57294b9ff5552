"""Where is the heart in a short-axis cine, and when is it full and empty? Without labels, without training.

Three facts about a short-axis cine are enough:

1. *Only the heart beats once per heart beat.* The amplitude of the first temporal harmonic of each pixel
   (the motion energy) is large on moving blood-muscle edges and small elsewhere. With two frames it is
   their absolute difference. (First-harmonic images: Lin, Cowan and Young,
   MICCAI 2006, LNCS 4190:728; with circle voting: PMC3982962.)
2. *The left ventricle is a bright disc in a closed dark ring.* Each moving edge votes along its own
   brightness gradient, which points into the cavity; votes are kept apart by direction and joined by
   their geometric mean, so that only a centre seen from all sides wins. The crescent of the right
   ventricle is not seen from all sides. (Voting along gradients: Kimme, Ballard and Sklansky 1975,
   doi:10.1145/360666.360677.) The best few candidates are then asked for the ring itself.
3. *At end-diastole there is more bright blood around that centre than at end-systole.*

Known failures: long-axis cines (no ring; frames are ranked by the wrong area), stacks tilted so far that
the left ventricle moves more than about 15 mm between the outer slices, black-blood pictures, bulk motion
between the frames, and right ventricles whose cross-section is round. Two frames give the order of ED and
ES, never the time. All thresholds below are one fixed set, chosen while looking at labelled development
data; the figures measured there are development figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.progress import SILENT, Progress

Array = npt.NDArray[np.floating]
Real = npt.NDArray[np.floating | np.integer]
Flags = npt.NDArray[np.bool_]
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

_WINDOW_MM = 100.0  # moving edges further than this from the centre of motion are not the heart
_DIRECTIONS = 8  # sectors of gradient direction kept apart while voting
_REACH_MM = (12.0, 40.0)  # distance from an endocardial edge to the centre of a left ventricle
_DISC_MM, _WALL_MM, _STEP_MM = 8.0, 7.0, 1.4  # bright rim inside, dark wall outside; step along a ray
_BLOOD_MM, _BEYOND_MM = 30.0, 6.0  # bright pixels count as blood within 30 mm, or 6 mm beyond the ring
_FEWEST = 16  # pixels per side below which nothing can be located
_CONCENTRATION = 2.5  # motion at the heart over motion in the body; below: noise, or all of it moved
_RING = 0.02  # contrast of the ring, as a fraction of the bright end of the slice
_FEW_SLICES, _MARGIN = 5, 0.4  # fewer slices must tell the best place from the second by this margin
_SWING = 0.02  # change of the bright-blood fraction below which ED and ES are not told apart
_SPREAD = 0.25  # of the beat: extremes less certain than this are not told


@dataclass(frozen=True, slots=True, eq=False)
class HeartRegion:
    """Where the heart is, and its fullest and emptiest frame.

    Parameters
    ----------
    status : str
        ``"located"`` (place and frames), ``"place only"`` (ED and ES cannot be told apart) or
        ``"not assessable"``; then ``reason`` says why and the fields concerned are ``None``.
    reason : str
        Empty when ``status`` is ``"located"``.
    centre : tuple of float or None
        Centre of the left ventricle (slice, row, column), in voxels, 0 = centre of the first voxel.
    box : ((k0, k1), (r0, r1), (c0, c1)) or None
        Half-open index ranges that hold the moving heart with a 15 mm margin in the plane.
    mask : (k, r, c) bool
        The moving heart (both ventricles where they move), filled; empty when not assessable.
    energy : (k, r, c) float32
        Amplitude of the first temporal harmonic, as a fraction of the slice's bright end, 0 upward.
    curve : (t,) float64
        Soft fraction of bright blood around the centre, 0 to 1; zeros when not assessable.
    ed, es : int or None
        Index of the end-diastolic (fullest) and end-systolic (emptiest) frame.
    ed_spread, es_spread : float
        Half-width of the frames that could also be meant, in frames: the frames within 5 % of the swing
        of the curve and the leave-one-slice-out extremes; 0 for two frames, NaN when ``None``.
    confidence : float
        0 to 1: margin of the best centre over the second best. An ordering, not a probability.
    concentration : float
        Motion energy at the heart over the median of the body, without unit; about 1 for noise.
    """

    status: str
    reason: str
    centre: tuple[float, float, float] | None
    box: Box | None
    mask: Flags
    energy: Array
    curve: Array
    ed: int | None
    es: int | None
    ed_spread: float
    es_spread: float
    confidence: float
    concentration: float


def locate_heart(
    frames: Real,
    *,
    spacing_mm: tuple[float, float, float],
    times_ms: Array | None = None,
    progress: Progress = SILENT,
) -> HeartRegion:
    """Locate the beating heart in a short-axis cine and tell its end-diastole and end-systole.

    Parameters
    ----------
    frames : (t, k, r, c) real
        Magnitude images, any positive scale, bright blood; t >= 2, k >= 1, r and c >= 16. Two frames
        are taken as ED and ES in unknown order; more frames as one heart beat.
    spacing_mm : (k, r, c)
        Distance between slice centres, rows and columns, mm. Pixels must be square within 5 %.
    times_ms : (t,), optional
        Time of each frame, ms, strictly rising; equal steps are assumed when absent.
    progress : Progress
        Told the fraction done; may cancel.

    Returns
    -------
    HeartRegion
        With ``status`` "not assessable" and a reason where nothing moves or only noise does.

    Raises
    ------
    InputError
        Wrong shape, values that are not finite, pixels that are not square, times that do not rise.
    """
    stack, pixel, turn = _checked(frames, spacing_mm, times_ms)
    progress(0.05, "motion energy")
    energy = _motion_energy(stack, turn, blur=2.0 / pixel)
    start, beat, concentration = _centre_of_motion(energy, stack.mean(axis=(0, 1)), pixel)
    if energy.max() < 1e-6:
        return _nothing("nothing moves between the frames", energy, len(stack), 0.0)
    if concentration < _CONCENTRATION:
        return _nothing(
            "motion is spread over the picture: noise, or everything moved", energy, len(stack), concentration
        )
    progress(0.2, "centre")
    places, votes = _candidates(stack.mean(axis=0), energy, start, pixel, progress.part(0.2, 0.7))
    rings = np.array([_ring(stack, place, pixel) for place in places]).reshape(-1, 2)
    # Where less than half the greatest motion is, a bright disc is a vessel at rest.
    beating = np.minimum(2.0 * beat[tuple(places.T)] / beat.max(), 1.0)
    scores = votes * rings[:, 0] * beating
    best = int(scores.argmax()) if len(scores) else 0
    if not len(scores) or rings[best, 0] < _RING:
        return _nothing("no bright disc in a dark ring where motion is", energy, len(stack), concentration)
    centre = places[best]
    others = np.delete(scores, best)
    confidence = 1.0 - float(others.max() / scores[best]) if len(others) else 1.0
    if stack.shape[1] < _FEW_SLICES and confidence < _MARGIN:
        reason = f"with {stack.shape[1]} slices two places look alike (margin {confidence:.2f})"
        return _nothing(reason, energy, len(stack), concentration)
    progress(0.85, "frames")
    mask, box, middle = _moving_heart(energy, centre, pixel)
    by_slice = _bright_blood(stack, centre, max(_BLOOD_MM, rings[best, 1] + _BEYOND_MM) / pixel)
    ed, es, ed_spread, es_spread = _extremes(by_slice)
    swing = float(np.ptp(by_slice.mean(axis=1)))
    apart = swing >= _SWING and max(ed_spread, es_spread) <= _SPREAD * len(stack)
    progress(1.0, "located")
    return HeartRegion(
        status="located" if apart else "place only",
        reason=""
        if apart
        else f"bright blood changes by {swing:.3f}, or at no certain time: ED and ES unknown",
        centre=(middle, float(centre[0]), float(centre[1])),
        box=box,
        mask=mask,
        energy=energy,
        curve=by_slice.mean(axis=1),
        ed=ed if apart else None,
        es=es if apart else None,
        ed_spread=ed_spread if apart else np.nan,
        es_spread=es_spread if apart else np.nan,
        confidence=confidence,
        concentration=concentration,
    )


def _checked(
    frames: Real, spacing_mm: tuple[float, float, float], times_ms: Array | None
) -> tuple[Array, float, Array]:
    """Return the frames scaled per slice, the pixel in mm, and the phase angle of each frame."""
    stack = np.asarray(frames, dtype=np.float32)
    if stack.ndim != 4 or stack.shape[0] < 2 or stack.shape[1] < 1 or min(stack.shape[2:]) < _FEWEST:
        raise InputError(
            f"frames of shape {stack.shape}",
            needed="(t, k, r, c) with t >= 2, k >= 1 and at least 16 rows and columns",
            fix="stack the frames of one short-axis cine",
        )
    if not np.isfinite(stack).all():
        raise InputError("frames hold NaN or infinity", needed="finite values")
    _, row, column = (float(x) for x in spacing_mm)
    if not (row > 0 and column > 0 and abs(row / column - 1.0) <= 0.05):
        raise InputError(
            f"pixels of {row} x {column} mm",
            needed="square pixels within 5 %",
            fix="resample the frames in the plane",
        )
    if times_ms is None:
        turn = np.arange(len(stack)) / len(stack)
    else:
        times = np.asarray(times_ms, dtype=np.float64)
        if times.shape != (len(stack),) or not (np.diff(times) > 0).all():
            raise InputError(
                f"times of shape {times.shape} for {len(stack)} frames",
                needed="one strictly rising time per frame",
                fix="sort the frames by trigger time",
            )
        # One mean step after the last frame the next beat begins.
        turn = (times - times[0]) / (times[-1] - times[0]) * (1.0 - 1.0 / len(times))
    # Outer slices are often darker; the 99th percentile is blood or fat in every slice.
    bright = np.percentile(stack, 99.0, axis=(0, 2, 3), keepdims=True)
    return np.clip(stack / np.maximum(bright, 1e-9), 0.0, 1.2), (row + column) / 2.0, turn


def _motion_energy(stack: Array, turn: Array, blur: float) -> Array:
    """Amplitude of the first temporal harmonic of the blurred frames, (k, r, c)."""
    from scipy.ndimage import gaussian_filter

    weights = 2.0 / len(stack) * np.exp(-2j * np.pi * turn)
    weights -= weights.mean()  # what does not move must give exactly nothing, also at unequal times
    real, imag = (
        gaussian_filter(np.tensordot(part.astype(np.float32), stack, axes=(0, 0)), (0, blur, blur))
        for part in (weights.real, weights.imag)
    )
    amplitude: Array = np.hypot(real, imag)
    return amplitude


def _centre_of_motion(energy: Array, mean: Array, pixel: float) -> tuple[Array, Array, float]:
    """Return the mode of the energy (row, column), the energy at the scale of a heart, its concentration."""
    from scipy.ndimage import gaussian_filter

    flat = energy.mean(axis=0)
    heart_scale = gaussian_filter(flat, 18.0 / pixel, mode="constant")
    body = mean > 0.1 * np.percentile(mean, 99.0)
    usual = float(np.median(heart_scale[body])) if body.any() else 0.0
    concentration = float(heart_scale.max()) / max(usual, 1e-9)
    rows, columns = np.indices(flat.shape)
    centre = np.array(np.unravel_index(heart_scale.argmax(), flat.shape), dtype=np.float64)
    above = np.maximum(flat - np.median(flat), 0.0)
    for _ in range(20):  # mean shift with a window of heart size
        square = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2
        weight = above * np.exp(-square / (2.0 * (30.0 / pixel) ** 2))
        total = float(weight.sum())
        if total <= 0.0:
            break
        moved = np.array([(weight * rows).sum(), (weight * columns).sum()]) / total
        if np.abs(moved - centre).max() < 0.05:
            break
        centre = moved
    return centre, heart_scale, concentration


def _candidates(
    mean: Array, energy: Array, start: Array, pixel: float, progress: Progress
) -> tuple[Array, Array]:
    """Return up to six centres (n, 2) that moving edges point at, and their votes (n,), best = 1."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    reach = int(np.ceil((_WINDOW_MM + _REACH_MM[1]) / pixel))
    low = np.maximum(np.rint(start).astype(int) - reach, 0)
    window = (slice(None), *(slice(a, a + 2 * reach + 1) for a in low))
    local = start - low
    ballot = np.zeros(energy[window].shape[1:])
    for z, (picture, motion) in enumerate(zip(mean[window], energy[window], strict=True)):
        ballot += _votes(picture, motion, local, pixel)
        progress((z + 1) / len(mean), "centre")
    ballot = gaussian_filter(ballot, 3.0 / pixel)
    tops = (ballot == maximum_filter(ballot, int(12.0 / pixel) | 1)) & (ballot > 0.1 * ballot.max())
    order = np.argsort(-ballot[tops], kind="stable")[:6]
    return np.argwhere(tops)[order] + low, ballot[tops][order] / max(float(ballot.max()), 1e-30)


def _votes(picture: Array, motion: Array, start: Array, pixel: float) -> Array:
    """Votes of one slice's moving edges for the centre of a bright disc, (r, c)."""
    from scipy.ndimage import gaussian_filter

    slope_r, slope_c = np.gradient(gaussian_filter(picture, 3.0 / pixel))
    slope = np.hypot(slope_r, slope_c) + 1e-9
    rows, columns = np.indices(picture.shape)
    square = (rows - start[0]) ** 2 + (columns - start[1]) ** 2
    near = square < (_WINDOW_MM / pixel) ** 2
    weight = np.sqrt(motion * slope) * near * np.exp(-square / (2.0 * (_WINDOW_MM / 1.5 / pixel) ** 2))
    edge = weight > np.quantile(weight[near], 0.6)
    r, c = np.nonzero(edge)
    w = weight[edge]
    step_r, step_c = slope_r[edge] / slope[edge], slope_c[edge] / slope[edge]
    turn = np.arctan2(step_r, step_c) / (2.0 * np.pi) + 0.5
    sector = np.floor(turn * _DIRECTIONS).astype(int) % _DIRECTIONS
    ballots = np.zeros((_DIRECTIONS, *picture.shape))
    for distance in np.arange(_REACH_MM[0], _REACH_MM[1], 2.8) / pixel:
        to_r = np.rint(r + distance * step_r).astype(int)
        to_c = np.rint(c + distance * step_c).astype(int)
        inside = (to_r >= 0) & (to_r < picture.shape[0]) & (to_c >= 0) & (to_c < picture.shape[1])
        np.add.at(ballots, (sector[inside], to_r[inside], to_c[inside]), w[inside] / np.sqrt(distance))
    ballots = gaussian_filter(ballots, (0.0, 5.0 / pixel, 5.0 / pixel))
    joined: Array = np.exp(np.log(ballots + 1e-3 * ballots.max() + 1e-30).mean(axis=0))
    return joined


def _ring(stack: Array, place: Array, pixel: float) -> tuple[float, float]:
    """Return contrast and radius [mm] of a bright disc in a closed dark ring around ``place``.

    The 15th percentile over 24 directions at one common radius: nearly all directions must agree. The
    contrast is the mean over slices and phases, the radius that of the wide slices (upper quartile).
    """
    from scipy.ndimage import map_coordinates

    angle = np.arange(24) * (2.0 * np.pi / 24)
    radius = np.arange(0.0, 48.0, _STEP_MM)
    r = place[0] + radius / pixel * np.sin(angle)[:, None]
    c = place[1] + radius / pixel * np.cos(angle)[:, None]
    disc, wall = int(_DISC_MM / _STEP_MM), int(_WALL_MM / _STEP_MM)
    edge = np.arange(disc + 2, len(radius) - wall)
    times = range(len(stack)) if len(stack) < 5 else range(0, len(stack), len(stack) // 4)
    contrast, radii = [], []
    for picture in (picture for t in times for picture in stack[t]):
        rays = map_coordinates(picture, [r, c], order=1, mode="nearest")
        sums = np.concatenate([np.zeros((24, 1)), np.cumsum(rays, axis=1)], axis=1)
        inner = (sums[:, edge] - sums[:, edge - disc]) / disc
        outer = (sums[:, edge + wall] - sums[:, edge]) / wall
        closed = np.quantile(inner - outer, 0.15, axis=0)
        contrast.append(max(0.0, float(closed.max())))
        if closed.max() >= _RING:
            radii.append(float(radius[edge[closed.argmax()]]))
    return float(np.mean(contrast)), float(np.quantile(radii, 0.75)) if radii else 0.0


def _moving_heart(energy: Array, centre: Array, pixel: float) -> tuple[Flags, Box, float]:
    """Return the mask of the moving heart, the box around it, and its middle slice."""
    from scipy.ndimage import binary_closing, binary_fill_holes, gaussian_filter, label

    rows, columns = np.indices(energy.shape[1:])
    far = np.hypot(rows - centre[0], columns - centre[1]) * pixel
    smooth = gaussian_filter(energy, (0.0, 4.0 / pixel, 4.0 / pixel)) * (far < 80.0)
    moving = smooth > 0.3 * np.percentile(smooth[:, far < 50.0], 95.0)
    across = np.arange(-4, 5)
    disc = np.hypot(across[:, None], across) <= 4.0
    mask = np.zeros(energy.shape, dtype=bool)
    for z, plane in enumerate(moving):
        parts, _ = label(binary_fill_holes(binary_closing(plane, disc)))
        kept = np.unique(parts[(far < 35.0) & (parts > 0)])
        mask[z] = np.isin(parts, kept)
    weight = (energy * mask).sum(axis=(1, 2))
    middle = float(weight @ np.arange(len(weight)) / weight.sum()) if weight.any() else (len(weight) - 1) / 2
    mask[round(middle)] |= far < 20.0
    margin = int(np.ceil(15.0 / pixel))
    spans = []
    for axis, rim in ((0, 0), (1, margin), (2, margin)):
        seen: Flags = np.asarray(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        hit = np.flatnonzero(seen)
        spans.append((max(int(hit[0]) - rim, 0), min(int(hit[-1]) + 1 + rim, mask.shape[axis])))
    return mask, (spans[0], spans[1], spans[2]), middle


def _bright_blood(stack: Array, centre: Array, reach: float) -> Array:
    """Soft fraction of bright pixels within ``reach`` pixels of the centre, (t, k)."""
    rows, columns = np.indices(stack.shape[2:])
    disc = np.hypot(rows - centre[0], columns - centre[1]) < reach
    pixels = stack[:, :, disc]
    curve = np.zeros(pixels.shape[:2])
    for z in range(pixels.shape[1]):
        threshold = _otsu(pixels[:, z].ravel())
        # A ramp of a quarter to either side of the threshold keeps partial volume in the count.
        curve[:, z] = np.clip(2.0 * pixels[:, z] / max(threshold, 1e-9) - 1.5, 0.0, 1.0).mean(axis=1)
    return curve


def _otsu(values: Array) -> float:
    """Threshold of greatest between-class variance (Otsu 1979, doi:10.1109/TSMC.1979.4310076)."""
    count, edge = np.histogram(values, 64)
    middle = (edge[1:] + edge[:-1]) / 2.0
    below, first = np.cumsum(count), np.cumsum(count * middle)
    between = (first[-1] * below - first * below[-1]) ** 2 / np.maximum(below * (below[-1] - below), 1)
    return float(middle[between.argmax()])


def _extremes(by_slice: Array) -> tuple[int, int, float, float]:
    """Return the fullest and emptiest frame, and the half-width of the frames that could also be meant."""
    frames, slices = by_slice.shape
    curve = by_slice.mean(axis=1)
    without = [np.delete(by_slice, z, axis=1).mean(axis=1) for z in range(slices)] if slices > 2 else []
    found = []
    for sign in (1.0, -1.0):
        top = int((sign * curve).argmax())
        alike = np.flatnonzero(sign * curve >= (sign * curve).max() - 0.05 * np.ptp(curve))
        rivals = np.concatenate([alike, [int((sign * one).argmax()) for one in without]])
        apart = np.abs(rivals - top)
        found.append((top, float(np.minimum(apart, frames - apart).max()) if frames > 2 else 0.0))
    (ed, ed_spread), (es, es_spread) = found
    return ed, es, ed_spread, es_spread


def _nothing(reason: str, energy: Array, frames: int, concentration: float) -> HeartRegion:
    """Say that nothing can be located, and why."""
    return HeartRegion(
        status="not assessable",
        reason=reason,
        centre=None,
        box=None,
        mask=np.zeros(energy.shape, dtype=bool),
        energy=energy,
        curve=np.zeros(frames),
        ed=None,
        es=None,
        ed_spread=np.nan,
        es_spread=np.nan,
        confidence=0.0,
        concentration=concentration,
    )
