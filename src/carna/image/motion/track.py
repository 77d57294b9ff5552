"""The muscle of the left ventricle followed through a short-axis cine.

Two witnesses are heard. The *labels* of every frame say where the inner and the outer surface are: without
drift, but each frame on its own, with the staircase and the slips of a segmentation. The *optical flow*
says how the picture moves from frame to frame: smoothly, but too slowly, and its errors add up. So the
labels give the size of the motion and the flow its course. With ``y`` the Fourier coefficients of ``r^2 / 2``
of a surface (`contours`) over the closed beat, ``C`` those of the labels, ``G`` the change that the flow
predicts ::

    minimise  sum known (y - C)^2  +  mu sum (D (D y - G))^2,      D y = y[n + 1] - y[n]

A flow that is too slow by a constant share, or that drifts, leaves the second sum untouched; a frame without
labels is bridged by the course of the flow; and since the beat is closed, whatever drift is left is spread
over all of it. ``mu`` is set so that errors faster than a few cycles a beat are damped.

Inside the wall the muscle is incompressible: a point that has the share ``q`` of the wall's area within it
keeps that share ::

    R^2 = A^2 + q (B^2 - A^2),      q = (r^2 - a^2) / (b^2 - a^2)

Along the wall a cine of homogeneous muscle has next to no texture. The rotation is that of the flow; how the
turning differs around the wall is a compromise between the flow and muscle that keeps its area (`_turning`).
It is an estimate, and no torsion should be read from it.

Motion is that *in the plane of the picture*: the base descends, so at end-systole a plane shows muscle from
nearer the base. What that does to strain is measured in the docs; `carna.image.motion.through` undoes it
where the whole ventricle is covered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.motion.contours import MUSCLE, ORDER, Contours, contours, on_angles, resolved, waves
from carna.image.motion.flow import Flow, flow
from carna.progress import SILENT, Progress

__all__ = ["LAYERS", "SPOKES", "Motion", "dense", "track"]

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]

SPOKES: Final = 72
LAYERS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the thickness at the reference, inner surface to outer one
_CYCLES = (1.5, 4.5)  # a beat, above which a surface moves only as the flow does: for poor and exact labels
_BEND_MM = 0.08  # by which the flow is wrong about a bend of the course, at 25 frames a beat
_COARSE = 3.0  # harmonic around the wall from which its motion is held stiffer still
_GAPS = 0.1  # share of the frames that may lack a ring in a slice that is followed
_TURNS = 3  # harmonics of the turning along the wall
_KEPT_AREA = 1.0  # weight of keeping area against the turning of the flow
_FEWEST_FRAMES = 6
_APART_MM = 1.1  # between the labels and any smooth course: the labels are of something else in some frames


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Points of the muscle at every frame: a polar mesh in each slice that could be followed.

    Parameters
    ----------
    points_mm : (t, k, SPOKES, len(LAYERS), 2) float64
        Where the points of the reference frame are, (row, column) times the spacing; NaN in a slice that was
        not followed. Spokes are equal angles of the reference frame, from the columns towards the rows
        (clockwise on a screen); layers go from the inner to the outer surface.
    angles : (SPOKES,) float64
        Angle of each spoke at the reference frame [rad].
    centre_mm : (t, k, 2) float64
        Middle of the cavity.
    followed : (k,) bool
    why : tuple of str
        For each slice, why it was not followed; "" where it was.
    reference : int
        The frame at which displacement is zero: end-diastole.
    closed : bool
        Whether the last frame is taken to pass into the first.
    drift_mm : (k,) float64
        How far the flow alone is from closing the beat, root mean square over both surfaces; a measure of how
        well the picture could be followed.
    disagreement_mm : (k,) float64
        Root mean square distance between labels and the surfaces as followed: what was smoothed away.
    spacing_mm : (r, c)
    """

    points_mm: Floats
    angles: Floats
    centre_mm: Floats
    followed: npt.NDArray[np.bool_]
    why: tuple[str, ...]
    reference: int
    closed: bool
    drift_mm: Floats
    disagreement_mm: Floats
    spacing_mm: tuple[float, float]

    @property
    def displacement_mm(self) -> Floats:
        """Displacement from the reference frame (t, k, SPOKES, layers, 2) [mm], (row, column)."""
        return np.asarray(self.points_mm - self.points_mm[self.reference])

    @property
    def turning_deg(self) -> Floats:
        """Mean rotation of each slice about its middle (t, k) [degree], clockwise: estimated, see above."""
        arm = self.points_mm[:, :, :, len(LAYERS) // 2] - self.centre_mm[:, :, None]
        turn = np.arctan2(arm[..., 0], arm[..., 1]) - self.angles
        return np.asarray(np.rad2deg(np.angle(np.exp(1j * turn).mean(axis=-1))))


def track(
    frames: npt.NDArray[Any],
    labels: Labels,
    spacing_mm: tuple[float, float, float],
    *,
    reference: int = 0,
    closed: bool = True,
    progress: Progress = SILENT,
) -> Motion:
    """Follow the left ventricular muscle through a short-axis cine.

    Parameters
    ----------
    frames : (t, k, r, c) real
        Pictures of one beat at equal steps, any scale; t >= 6.
    labels : (t, k, r, c) uint8
        2 left ventricular muscle, 3 its cavity with papillary muscles. The reference frame must be labelled;
        others may be empty throughout: they are then followed by the picture alone.
    spacing_mm : (k, r, c)
        Distance between slices, rows and columns [mm].
    reference : int
        End-diastolic frame, 0 to t - 1.
    closed : bool
        Whether the cine covers the whole beat, so that after the last frame comes the first.
    progress : Progress
        Told the fraction done; may cancel.

    Returns
    -------
    Motion
        Slices in which the ring is not closed at the reference frame, or is lost in more than a tenth of the
        labelled frames (the base, which leaves the outermost slices in systole), or whose labels no smooth
        motion explains to 1.1 mm, are not followed.

    Raises
    ------
    InputError
        Shapes that do not agree, fewer than 6 frames, a reference frame without a left ventricle.
    """
    _check(frames, labels, reference)
    plane_mm = (float(spacing_mm[1]), float(spacing_mm[2]))
    found = contours(labels, plane_mm)
    if not found.known[reference].any():
        raise InputError(
            f"no slice with a closed ring of muscle in frame {reference}",
            needed="labels 2 (muscle) and 3 (cavity) at the reference frame",
        )
    t, k = labels.shape[:2]
    why = [_why_not(found, s, reference) for s in range(k)]
    angles = np.arange(SPOKES) * (2 * np.pi / SPOKES)
    points = np.full((t, k, SPOKES, len(LAYERS), 2), np.nan)
    centre = np.full((t, k, 2), np.nan)
    drift, disagreement = np.full(k, np.nan), np.full(k, np.nan)
    for s in range(k):
        if not why[s]:
            moved = flow(frames[:, s], np.asarray((labels[:, s] >= MUSCLE).any(axis=0)), plane_mm)
            one = _Slice(found, s, moved, reference, closed)
            drift[s], disagreement[s] = one.drift_mm(), one.disagreement_mm(found, s)
            if disagreement[s] > _APART_MM:
                why[s] = f"outlines and pictures are {disagreement[s]:.1f} mm apart"
            else:
                points[:, s], centre[:, s] = one.mesh(angles), one.centre
        progress((s + 1) / k, "motion")
    followed = np.array([not w for w in why])
    return Motion(
        points, angles, centre, followed, tuple(why), reference, closed, drift, disagreement, plane_mm
    )  # fmt: skip


def _check(frames: npt.NDArray[Any], labels: Labels, reference: int) -> None:
    if frames.ndim != 4 or frames.shape != labels.shape:
        raise InputError(
            f"pictures of shape {frames.shape} with labels of shape {labels.shape}",
            needed="(t, k, r, c) of both, the same",
        )
    if len(frames) < _FEWEST_FRAMES:
        raise InputError(
            f"{len(frames)} frames",
            needed=f"at least {_FEWEST_FRAMES} of one beat: between fewer, motion is a guess",
        )
    if not 0 <= reference < len(frames):
        raise InputError(f"reference frame {reference}", needed=f"0 to {len(frames) - 1}")


def _why_not(found: Contours, s: int, reference: int) -> str:
    if not found.known[reference, s]:
        return "no closed ring of muscle at end-diastole"
    labelled = found.labelled
    lost = labelled & ~found.known[:, s]
    if lost.sum() > _GAPS * labelled.sum():
        return f"the ring is open or gone in {int(lost.sum())} of {int(labelled.sum())} frames"
    return ""


class _Slice:
    """Both surfaces of one slice over the beat: ``area`` (t, 2, 2 * ORDER + 1), ``centre`` (t, 2)."""

    def __init__(self, found: Contours, s: int, moved: Flow, reference: int, closed: bool) -> None:
        self.moved, self.reference, self.closed = moved, reference, closed
        self.angles = np.arange(SPOKES) * (2 * np.pi / SPOKES)
        self.basis = waves(self.angles)
        self.away = np.stack([np.sin(self.angles), np.cos(self.angles)], axis=1)
        self.along = np.stack([np.cos(self.angles), -np.sin(self.angles)], axis=1)
        known = found.known[:, s]
        self.centre = _bridged(found.centre_mm[:, s], known, self._centre_step, reference, closed)
        self.area = _bridged(found.area[:, s], known, self._area_step, reference, closed)
        for _ in range(2):  # the flow is read where the surfaces are, which is better known the second time
            self.steps = np.stack([self._area_step(n, self.area[n]) for n in range(len(self.area))])
            fused = _fused(found.area[:, s], known, self.steps, closed)
            self.area = resolved(fused, float(np.prod(moved.spacing_mm)))

    def mesh(self, angles: Floats) -> Floats:
        """Points (t, SPOKES, layers, 2) [mm] of equal angles at the reference frame."""
        turn = self._turning()
        radius = on_angles(self.area[self.reference], angles)
        inner, outer = radius[0, :, None], radius[1, :, None]
        q = ((inner + np.array(LAYERS) * (outer - inner)) ** 2 - inner**2) / (outer**2 - inner**2)
        out = np.empty((len(self.area), len(angles), len(LAYERS), 2))
        for n, now in enumerate(self.area):
            at = angles + turn[n]
            square = np.maximum(2.0 * np.einsum("sm,am->as", now, waves(at)), 0.01)
            r = np.sqrt(square[:, :1] + q * (square[:, 1:] - square[:, :1]))
            out[n, ..., 0] = self.centre[n, 0] + r * np.sin(at)[:, None]
            out[n, ..., 1] = self.centre[n, 1] + r * np.cos(at)[:, None]
        return out

    def drift_mm(self) -> float:
        """How far the flow alone is from closing the beat."""
        radius = np.sqrt(np.maximum(2.0 * self.area[self.reference] @ self.basis.T, 0.01))
        return float(np.sqrt(np.mean((self.steps.sum(axis=0) @ self.basis.T / radius) ** 2)))

    def disagreement_mm(self, found: Contours, s: int) -> float:
        """Root mean square distance of the labels from the surfaces as followed."""
        known = found.known[:, s]
        off = on_angles(self.area[known], self.angles) - on_angles(found.area[known, s], self.angles)
        return float(np.sqrt(np.mean(off**2)))

    def _centre_step(self, n: int, centre: Floats) -> Floats:
        """How the middle moves from a frame to the next: as a small disc of blood and wall around it."""
        ring = np.concatenate([centre + mm * self.away for mm in (8.0, 14.0, 20.0)])
        return np.asarray(self.moved.at(n, ring).mean(axis=0))

    def _area_step(self, n: int, area: Floats) -> Floats:
        """Change (2, 2 * ORDER + 1) of both surfaces from a frame to the next, as the flow has it.

        At a fixed angle a surface moves outward by ``u_r - u_theta r' / r``.
        """
        after = (n + 1) % len(self.centre)
        out = np.empty_like(area)
        for surface, now in enumerate(area):
            r = on_angles(now, self.angles)
            u = self.moved.at(n, self.centre[n] + r[:, None] * self.away) - (
                self.centre[after] - self.centre[n]
            )
            # Where a small cavity is jagged its direction means nothing: there only what is radial counts.
            slope = np.clip((np.roll(r, -1) - np.roll(r, 1)) / (2.0 * self.angles[1] * r), -1.0, 1.0)
            step = np.sum(u * self.away, axis=1) - np.sum(u * self.along, axis=1) * slope
            out[surface] = _coefficients(r * step + step**2 / 2.0, self.basis)
        return out

    def _turning(self) -> Floats:
        """Turning (t, SPOKES) [rad] of the wall since the reference frame, about the middle of the cavity.

        The rotation is the flow's. Its variation around the wall is a compromise, in least squares, between
        the flow's first harmonics and muscle that keeps its area: turning by ``phi``, a material angle that
        held the wall's area ``W`` holds ``(1 + phi') W(theta + phi)``, and that grows everywhere by the same
        factor (the muscle thickens in the plane as it shortens across it).
        """
        turn = self._flow_turning()
        around = np.append(self.angles, 2 * np.pi)
        wall = np.maximum((self.area[:, 1] - self.area[:, 0]) @ self.basis.T, 1.0)
        harmonic = np.repeat(np.arange(1.0, _TURNS + 1), 2)
        wave = self.basis[:, 1 : 2 * _TURNS + 1]
        # d/dtheta of (cos, sin) of m theta is m (-sin, cos).
        slope = (wave.reshape(SPOKES, -1, 2)[..., ::-1] * (-1.0, 1.0)).reshape(SPOKES, -1) * harmonic
        gain = np.linalg.inv(slope.T @ slope * (1.0 + _KEPT_AREA)) @ slope.T
        for n in range(len(turn)):
            flowed = turn[n].copy()
            for _ in range(3):
                steep = (np.roll(turn[n], -1) - np.roll(turn[n], 1)) / (2.0 * self.angles[1])
                here = np.interp(
                    np.mod(self.angles + turn[n], 2 * np.pi), around, np.append(wall[n], wall[n, 0])
                )
                grown = np.log(here / wall[self.reference]) + np.log(np.maximum(1.0 + steep, 0.1))
                apart = (np.roll(turn[n] - flowed, -1) - np.roll(turn[n] - flowed, 1)) / (2 * self.angles[1])
                turn[n] -= wave @ (gain @ (_KEPT_AREA * (grown - grown.mean()) + apart))
        return np.asarray(turn - turn[self.reference])

    def _flow_turning(self) -> Floats:
        """Turning (t, SPOKES) [rad] of the middle of the wall by the flow: rotation and first harmonics."""
        away, along = self.away, self.along
        rate = np.zeros((len(self.area), 3))
        for n, now in enumerate(self.area):
            inner, outer = on_angles(now, self.angles)
            shift = self.centre[(n + 1) % len(self.centre)] - self.centre[n]
            for share in (0.3, 0.5, 0.7):
                r = inner + share * (outer - inner)
                u = self.moved.at(n, self.centre[n] + r[:, None] * away) - shift
                rate[n] += _coefficients(np.sum(u * along, axis=1) / r, self.basis)[:3] / 3.0
        if self.closed:
            rate -= rate.mean(axis=0)
        turn = np.concatenate([np.zeros((1, 3)), np.cumsum(rate, axis=0)[:-1]])
        return np.asarray((turn - turn[self.reference]) @ self.basis[:, :3].T)


def _coefficients(values: Floats, basis: Floats) -> Floats:
    """Fourier coefficients of values at equal angles; the inverse of ``basis @ coefficients``."""
    scale = np.full(basis.shape[1], 2.0 / len(values))
    scale[0] /= 2.0
    return np.asarray(values @ basis * scale)


def _bridged(
    values: Floats,
    known: npt.NDArray[np.bool_],
    step: Callable[[int, Floats], Floats],
    reference: int,
    closed: bool,
) -> Floats:
    """Fill frames without labels by adding up steps; the error at the next labelled one is shared out."""
    t = len(values)
    out = values.copy()
    n = reference
    while n < reference + t:
        stop = n + 1
        while stop < reference + t and not known[stop % t]:
            out[stop % t] = out[(stop - 1) % t] + step((stop - 1) % t, out[(stop - 1) % t])
            stop += 1
        gap = stop - n
        if gap > 1 and (closed or stop % t > n % t):
            end = out[(stop - 1) % t] + step((stop - 1) % t, out[(stop - 1) % t])
            error = values[stop % t] - end
            for m in range(1, gap):
                out[(n + m) % t] += error * (m / gap)
        n = stop
    return out


def _fused(labels: Floats, known: npt.NDArray[np.bool_], steps: Floats, closed: bool) -> Floats:
    """Solve for the surfaces over the beat: size by the labels, course by the flow (see the module)."""
    t = len(labels)
    first = np.roll(np.eye(t), 1, axis=1) - np.eye(t)
    second = np.roll(first, -1, axis=0) - first
    weight = known.astype(float)
    seen = np.where(known[:, None, None], labels, 0.0)
    bend = np.stack([_size(seen[:, i], steps[:, i], known) * steps[:, i] for i in (0, 1)], axis=1)
    bend = (np.roll(bend, -1, axis=0) - bend).reshape(t, -1)
    if not closed:  # no difference reaches over the end
        second, bend = second[:-2], bend[:-2]
    seen = seen.reshape(t, -1)
    mu = _stiffness(second, seen, bend, known)
    harmonic = np.tile((np.arange(2 * ORDER + 1) + 1) // 2, 2)
    out = np.empty_like(seen)
    for m in range(ORDER + 1):
        here = harmonic == m
        stiff = mu * (1.0 + (m / _COARSE) ** 4)
        system = np.diag(weight + 1e-9) + stiff * second.T @ second
        out[:, here] = np.linalg.solve(
            system, weight[:, None] * seen[:, here] + stiff * second.T @ bend[:, here]
        )
    return out.reshape(labels.shape)


def _size(seen: Floats, steps: Floats, known: npt.NDArray[np.bool_]) -> float:
    """How much larger the change of a surface's area is in the labels than in the flow."""
    course = np.cumsum(steps[:, 0] - steps[:, 0].mean())
    course = np.roll(course, 1)
    if known.sum() < _FEWEST_FRAMES:
        return 1.0
    off, of = seen[known, 0] - seen[known, 0].mean(), course[known] - course[known].mean()
    # Where the surface hardly moves there is nothing to compare: a ridge of 1 % of its area pulls to 1.
    ridge = len(of) * (0.01 * seen[known, 0].mean()) ** 2
    return float(np.clip((off @ of + ridge) / (of @ of + ridge), 0.6, 1.8))


def _stiffness(second: Floats, seen: Floats, bend: Floats, known: npt.NDArray[np.bool_]) -> float:
    """``mu``: the variance of the labels' slips over that of the flow's error, both as bends of the course.

    Slips that differ from frame to frame show as what no heart does: a bend that the flow has not, or a
    fourth difference. Either holds a little of the motion too, so the smaller counts. Independent slips have
    6 times their variance in the second and 70 times in the fourth difference.
    """
    t = len(seen)
    high, low = (float((2.0 * np.sin(np.pi * min(c, t / 4.0) / t)) ** -4) for c in _CYCLES)
    # A slip of the radius by dr moves r^2 / 2 by r dr, and r^2 is twice the mean.
    square_mm2 = 2.0 * seen.reshape(t, 2, -1)[known][:, :, 0].mean(axis=0)
    fourth = second.T @ second
    slips = []
    for rows, off, times in ((second, second @ seen - bend, 6.0), (fourth, fourth @ seen, 70.0)):
        whole = np.isclose((rows**2).sum(axis=1), times) & ~((rows != 0) & ~known).any(axis=1)
        if not whole.any():
            return low
        rough = (off[whole] ** 2).reshape(int(whole.sum()), 2, -1).mean(axis=0)
        slips.append(float(np.mean((rough[:, 0] + rough[:, 1:].sum(axis=-1) / 2.0) / square_mm2)) / times)
    return float(np.clip(min(slips) / (_BEND_MM * (25.0 / t) ** 2) ** 2, low, high))


def dense(motion: Motion, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Displacement of every pixel of muscle.

    Parameters
    ----------
    motion : Motion
    shape : (r, c)
        Of the pictures.

    Returns
    -------
    (t, k, r, c, 2) float32
        Displacement (row, column) [mm] of the muscle that is at a pixel in the reference frame; NaN outside
        the wall and in slices that were not followed.
    """
    t, k = motion.points_mm.shape[:2]
    out = np.full((t, k, *shape, 2), np.nan, np.float32)
    moved = motion.displacement_mm
    grid = np.moveaxis(np.indices(shape, float), 0, -1) * motion.spacing_mm
    for s in np.flatnonzero(motion.followed):
        arm = grid - motion.centre_mm[motion.reference, s]
        spoke = np.mod(np.arctan2(arm[..., 0], arm[..., 1]), 2 * np.pi) / (2 * np.pi) * SPOKES
        left = spoke.astype(int) % SPOKES
        right, part = (left + 1) % SPOKES, spoke - spoke.astype(int)
        ends = motion.points_mm[motion.reference, s][:, [0, -1]] - motion.centre_mm[motion.reference, s]
        inner, outer = np.linalg.norm(ends, axis=-1).T
        a = (1 - part) * inner[left] + part * inner[right]
        b = (1 - part) * outer[left] + part * outer[right]
        depth = (np.linalg.norm(arm, axis=-1) - a) / (b - a) * (len(LAYERS) - 1)
        rows, columns = np.nonzero((depth >= 0) & (depth <= len(LAYERS) - 1))
        here = depth[rows, columns]
        low = np.minimum(here.astype(int), len(LAYERS) - 2)
        up, around = (here - low)[:, None], part[rows, columns][:, None]
        one_side, other = left[rows, columns], right[rows, columns]
        for n in range(t):
            one = moved[n, s]
            near = (1 - up) * one[one_side, low] + up * one[one_side, low + 1]
            far = (1 - up) * one[other, low] + up * one[other, low + 1]
            out[n, s, rows, columns] = (1 - around) * near + around * far
    return out
