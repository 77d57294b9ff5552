"""Motion of the wall from tags: harmonic phase, unwrapped frame by frame, fitted smoothly.

Tags are a cosine of the place at which the muscle was at end-diastole, so the phase of the pattern at a pixel
*is* that place, but for whole tags (harmonic phase, HARP: Osman 1999,
doi:10.1002/(SICI)1522-2594(199912)42:6<1048::AID-MRM9>3.0.CO;2-M). In each frame:

1. The last frame's displacement predicts the pattern. Around each pixel of the wall the picture is fitted by
   ``a + c cos p + s sin p``, ``p`` the predicted phase, under a Gaussian window that sees the wall only.
   That is the band-pass of HARP, except that it follows the deformed tags and takes nothing from the blood.
2. ``atan2(s, c)`` is what the prediction missed, unwrapped as long as that is less than half a tag.
3. Displacement along each wave vector is a sum of ``cos n theta, sin n theta`` times powers of the radius,
   fitted to all pixels by least squares, weighted by their information on the phase, with a Gaussian prior
   that keeps high orders small. With the better prediction the frame is read again until nothing moves.

The result is the displacement of the muscle *now* at a pixel since the tags were made. It is exact for motion
through the plane too, which cannot be seen: tags are planes perpendicular to the slice.

Known failures. Motion of more than half a tag between frames locks on to the wrong tag; frames in which the
tags have faded say nothing. Both are looked for (`TagMotion.followed`), from the first such frame on nothing
is told. The wall must be given, in every frame, by a ring that holds no blood. Sharp steps of motion around
the wall, below about 30 degrees, are smoothed away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.progress import SILENT, Progress

Array = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]

_TAGS_MM = (3.5, 14.0)  # spacing that is looked for
_WINDOW = 0.45  # standard deviation of the window, in tags
_ORDERS, _POWERS = 7, 3  # harmonics around the wall, powers of the radius
_PRIOR_MM = 12.0  # standard deviation of the lowest coefficients
_ROUNDS, _STILL_MM = 8, 0.02
# What a frame must keep to be followed; where errors grow on virtual hearts is told in docs/cmr-tags.md.
_FADED, _MISSED_RAD, _STEP = 1.2, 0.15, 0.5
_NEAR_MM, _OUTSIDE = 2.0, 0.2


@dataclass(frozen=True, slots=True, eq=False)
class TagMotion:
    """Displacement of one slice.

    Attributes
    ----------
    moved_mm : (t, r, c, 2) float64
        How far the muscle now at a pixel of the wall has come since the tags were made, along (rows,
        columns); 0 elsewhere, and from the first frame that was not followed on.
    ecc : (t, r, c) float64
        Circumferential strain of the same muscle: Lagrangian, engineering, ``|F e| - 1`` with ``e`` around
        the wall's centre at the time of the tags, in the plane.
    turned_deg : (t,) float64
        Rotation of the wall about its centre, least squares over its pixels, positive from the columns'
        direction to the rows' (clockwise in a picture whose rows run down).
    followed : (t,) bool
        Whether the frame, and all before it, could be followed; `why` says what failed first.
    contrast : (t,) float64
        Amplitude of the tags over the noise of a pixel, median over the wall; 0 after the last frame read.
    waves : (2, 2) float64
        Wave vectors [rad/mm] along (rows, columns).
    why : str
    """

    moved_mm: Array
    ecc: Array
    turned_deg: Array
    followed: Flags
    contrast: Array
    waves: Array
    why: str


def wave_of(frame: Array, spacing_mm: tuple[float, float]) -> Array:
    """Return the wave vector (2,) [rad/mm] of one picture of line tags: the peak of its spectrum.

    Parameters
    ----------
    frame : (r, c)
        The first frame after the tags.
    spacing_mm : (rows, columns)

    Raises
    ------
    InputError
        No peak between 3.5 and 14 mm stands out.
    """
    from scipy.optimize import minimize

    shape = np.array(frame.shape)
    window = np.outer(np.hanning(shape[0] + 2)[1:-1], np.hanning(shape[1] + 2)[1:-1])
    signal = (frame - np.average(frame, weights=window)) * window
    size = [int(4 * n) for n in shape]
    power = np.abs(np.fft.fft2(signal, size))
    along = [2.0 * np.pi * np.fft.fftfreq(n, d) for n, d in zip(size, spacing_mm, strict=True)]
    length = np.hypot(along[0][:, None], along[1][None, :])
    band = (length > 2.0 * np.pi / _TAGS_MM[1]) & (length < 2.0 * np.pi / _TAGS_MM[0])
    best = np.unravel_index(np.argmax(np.where(band, power, -1.0)), power.shape)
    if power[best] < 8.0 * np.median(power[band]):
        raise InputError(
            "a first frame without tag lines",
            needed=f"lines {_TAGS_MM[0]:g} to {_TAGS_MM[1]:g} mm apart",
            fix="begin with the first frame after end-diastole",
        )
    place = [np.arange(n) * d for n, d in zip(shape, spacing_mm, strict=True)]

    def missed(wave: Array) -> float:
        turn = np.exp(-1j * wave[0] * place[0]) @ signal @ np.exp(-1j * wave[1] * place[1])
        return -float(np.abs(turn)) / float(power[best])

    start = np.array([along[0][best[0]], along[1][best[1]]])
    around = start + 0.01 * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = minimize(missed, start, method="Nelder-Mead", options={"initial_simplex": around, "xatol": 1e-5})
    wave: Array = found.x
    # A wave and its negative are the same lines: the one that points along rows, then columns.
    return wave if (wave[0], wave[1]) > (0.0, 0.0) else -wave


def track(
    frames: Array,
    wall: Flags,
    *,
    spacing_mm: tuple[float, float],
    waves: Array | None = None,
    progress: Progress = SILENT,
) -> TagMotion:
    """Follow the wall of one slice.

    Parameters
    ----------
    frames : (2, t, r, c)
        One cine for each direction of tags, the first frame just after they were made. For a grid, the same
        cine twice, with its ``waves``.
    wall : (t, r, c) bool
        Left ventricular muscle, a ring, in each frame.
    spacing_mm : (rows, columns)
        0.3 to 4 mm.
    waves : (2, 2), optional
        Wave vectors [rad/mm] along (rows, columns); by default those of the first frames.
    progress : Progress

    Raises
    ------
    InputError
        Shapes that do not fit, a frame with fewer than 60 pixels of wall, no tags, or parallel ones.
    """
    if frames.ndim != 4 or len(frames) != 2 or wall.shape != frames.shape[1:]:
        raise InputError(
            f"frames {frames.shape} and a wall {wall.shape}", needed="(2, t, r, c) and (t, r, c)"
        )
    if not np.isfinite(frames).all():
        raise InputError("frames with values that are no numbers", needed="finite values")
    if not all(0.3 <= step <= 4.0 for step in spacing_mm):
        raise InputError(f"pixels of {spacing_mm} mm", needed="0.3 to 4 mm")
    if wall.sum(axis=(1, 2)).min() < 60:
        raise InputError("a frame with less than 60 pixels of wall", needed="the wall's ring in every frame")
    if waves is None:
        waves = np.stack([wave_of(first, spacing_mm) for first in frames[:, 0]])
    lengths = np.linalg.norm(waves, axis=1)
    if abs(float(np.linalg.det(waves))) < 0.5 * float(np.prod(lengths)):
        raise InputError("tags of two directions less than 30 degrees apart", needed="crossing tags")
    return _follow(frames, wall, np.asarray(spacing_mm, float), waves, progress)


@dataclass(frozen=True, slots=True, eq=False)
class _Ring:
    """Where a wall lies: its centre (rows, columns), mean radius and half thickness, mm."""

    centre: Array
    radius: float
    half: float

    def basis(self, points_mm: Array) -> Array:
        """Functions (n, f) at points (n, 2): harmonics around the ring times powers of the radius."""
        away = points_mm - self.centre
        theta = np.arctan2(away[:, 0], away[:, 1])
        depth = np.clip((np.hypot(away[:, 0], away[:, 1]) - self.radius) / self.half, -2.5, 2.5)
        turns = np.arange(1, _ORDERS + 1) * theta[:, None]
        around = np.concatenate([np.ones((len(theta), 1)), np.cos(turns), np.sin(turns)], axis=1)
        return np.concatenate([around * depth[:, None] ** p for p in range(_POWERS)], axis=1)


def _prior() -> Array:
    """Expected size of each coefficient, mm."""
    orders = np.arange(1, _ORDERS + 1)
    around = np.concatenate([[1.0], 1.0 / orders**2, 1.0 / orders**2])
    return _PRIOR_MM * np.concatenate([around * 0.4**p for p in range(_POWERS)])


def _ring(points_mm: Array, pixel_mm2: float) -> _Ring:
    centre = points_mm.mean(axis=0)
    radius = float(np.hypot(*(points_mm - centre).T).mean())
    return _Ring(centre, radius, len(points_mm) * pixel_mm2 / (4.0 * np.pi * radius))


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    """Displacement along both wave vectors: coefficients (f, 2) of the functions of a ring.

    ``waves`` are those vectors (2, 2) [rad/mm].
    """

    ring: _Ring
    waves: Array
    coefficients: Array

    @property
    def tags_mm(self) -> Array:
        """Spacing (2,) of the tags."""
        return np.asarray(2.0 * np.pi / np.linalg.norm(self.waves, axis=1))

    @property
    def to_plane(self) -> Array:
        """Matrix (2, 2) from displacement along the two wave vectors to that along (rows, columns)."""
        return np.asarray(np.linalg.inv(self.waves / np.linalg.norm(self.waves, axis=1)[:, None]).T)

    def at(self, points_mm: Array) -> Array:
        """Displacement (n, 2) [mm] along the wave vectors' directions at points (n, 2)."""
        return np.asarray(self.ring.basis(points_mm) @ self.coefficients)


@dataclass(frozen=True, slots=True)
class Torsion:
    """How far the base has turned against the apex, frame by frame.

    Attributes
    ----------
    deg : (t,) float64
        Rotation of the slice nearer the base minus that of the slice nearer the apex, positive from the
        columns' direction to the rows'.
    deg_per_cm : (t,) float64
        The same over the distance of the slices.
    followed : (t,) bool
        Whether both slices were.
    """

    deg: Array
    deg_per_cm: Array
    followed: Flags


def torsion(base: TagMotion, apex: TagMotion, distance_mm: float) -> Torsion:
    """Return the torsion between two slices of the same phases.

    Parameters
    ----------
    base, apex : TagMotion
        Of the slice nearer the base and of that nearer the apex.
    distance_mm : float
        Between the slices' middles, 5 to 120 mm. The slices stand still in space, the muscle does not: where
        the long axis has shortened by a share, the same muscle was that much further apart at end-diastole.

    Raises
    ------
    InputError
        Another number of frames, or a distance outside the range.
    """
    if not 5.0 <= distance_mm <= 120.0:
        raise InputError(f"slices {distance_mm} mm apart", needed="5 to 120 mm")
    if base.turned_deg.shape != apex.turned_deg.shape:
        raise InputError(
            f"{len(base.turned_deg)} and {len(apex.turned_deg)} frames",
            needed="the same phases of both slices",
        )
    followed = base.followed & apex.followed
    deg = np.where(followed, base.turned_deg - apex.turned_deg, 0.0)
    return Torsion(deg, deg * 10.0 / distance_mm, followed)


def _follow(frames: Array, wall: Flags, pixel: Array, waves: Array, progress: Progress) -> TagMotion:
    times = len(wall)
    moved, ecc = np.zeros((*wall.shape, 2)), np.zeros(wall.shape)
    turned, contrast = np.zeros(times), np.zeros(times)
    followed = np.zeros(times, bool)
    offset: Array = np.zeros(2)
    why = ""
    last: _Field | None = None
    centre = _cavity(wall[0]) * pixel
    for t in range(times):
        progress(t / times, f"tags, frame {t + 1}")
        points = np.argwhere(wall[t]) * pixel
        ring = _ring(points, float(np.prod(pixel)))
        if last is None:
            offset = _offset(frames[:, 0], wall[0], points, pixel, waves)
        field, seen = _frame(frames[:, t], wall[t], points, ring, pixel, waves, offset, last)
        contrast[t] = seen.contrast
        why = _lost(seen, field, last, points, wall[0], pixel)
        if why:
            why = f"frame {t + 1}: {why}"
            break
        last, followed[t] = field, True
        shift = field.at(points) @ field.to_plane
        moved[t][wall[t]] = shift
        turned[t] = _rotation(points - shift, points)
        ecc[t][wall[t]] = _hoop(field, points, shift, centre)
    progress(1.0, "tags")
    return TagMotion(moved, ecc, turned, followed, contrast, waves, why)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """How well a frame was read."""

    contrast: float  # amplitude over noise
    missed_rad: float  # what the smooth field leaves of the phase, root mean square


def _frame(
    pictures: Array,
    wall: Flags,
    points: Array,
    ring: _Ring,
    pixel: Array,
    waves: Array,
    offset: Array,
    last: _Field | None,
) -> tuple[_Field, _Seen]:
    """Read one frame, from the last one's field to its own."""
    lengths = np.linalg.norm(waves, axis=1)
    basis, prior = ring.basis(points), _prior()
    here = last.at(points) if last is not None else np.zeros((len(points), 2))
    field = _Field(ring, waves, np.zeros((len(prior), 2)))
    strength, missed = np.zeros(2), np.zeros(2)
    for _ in range(_ROUNDS):
        coefficients = np.zeros((len(prior), 2))
        for d in range(2):
            phase = points @ waves[d] - lengths[d] * here[:, d] + offset[d]
            error, size, noise = _demodulated(pictures[d], wall, phase, pixel, lengths[d])
            # Information of one pixel on the displacement, 1/mm2.
            weight = (size * lengths[d] / noise) ** 2 / 2.0
            wanted = here[:, d] + error / lengths[d]
            normal = basis.T @ (weight[:, None] * basis) + np.diag(prior**-2)
            coefficients[:, d] = np.linalg.solve(normal, basis.T @ (weight * wanted))
            left = lengths[d] * (wanted - basis @ coefficients[:, d])
            strength[d] = float(np.median(size)) / noise
            missed[d] = float(np.sqrt(np.average(left**2, weights=weight)))
        field = _Field(ring, waves, coefficients)
        new = field.at(points)
        change = float(np.abs(new - here).mean())
        here = new
        if change < _STILL_MM:
            break
    return field, _Seen(float(strength.min()), float(missed.max()))


def _demodulated(
    picture: Array, wall: Flags, phase: Array, pixel: Array, length: float
) -> tuple[Array, Array, float]:
    """Return how far the tags lag behind a predicted phase (n,), their amplitude (n,), and the noise."""
    from scipy.ndimage import gaussian_filter

    width = _WINDOW * 2.0 * np.pi / length / pixel
    signal = picture[wall]
    box = tuple(
        slice(int(np.flatnonzero(a)[0]), int(np.flatnonzero(a)[-1]) + 1) for a in (wall.any(1), wall.any(0))
    )
    wall = wall[box]
    values = np.zeros((9, *wall.shape))
    terms = np.stack([np.ones_like(phase), np.cos(phase), np.sin(phase)])
    products = [terms[i] * terms[j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))]
    values[:, wall] = np.stack([*products, *(terms * signal)])
    sums = gaussian_filter(values, (0.0, *width), truncate=2.5, mode="constant")[:, wall]
    matrix = sums[[0, 1, 2, 1, 3, 4, 2, 4, 5]].T.reshape(-1, 3, 3)
    # Where a window sees hardly a tag, the amplitude goes to nought rather than anywhere.
    matrix = matrix + 1e-3 * sums[0][:, None, None] * np.eye(3)
    found = np.linalg.solve(matrix, sums[6:9].T[:, :, None])[:, :, 0]
    fitted = np.einsum("ni,in->n", found, terms)
    noise = float(np.sqrt(np.mean((signal - fitted) ** 2))) + 1e-9
    # I = a + m cos(p - e): the pattern lags by e, so the muscle has moved on by e along the wave.
    return np.arctan2(found[:, 2], found[:, 1]), np.hypot(found[:, 1], found[:, 2]), noise


def _offset(pictures: Array, wall: Flags, points: Array, pixel: Array, waves: Array) -> Array:
    """Return the phase of both patterns at the first frame, in which the wall as a whole has not moved."""
    out = np.zeros(2)
    for d in range(2):
        length = float(np.linalg.norm(waves[d]))
        lag, size, _ = _demodulated(pictures[d], wall, points @ waves[d], pixel, length)
        out[d] = -float(np.angle(np.sum(size**2 * np.exp(1j * lag))))
    return out


def _lost(
    seen: _Seen, field: _Field, last: _Field | None, points: Array, first_wall: Flags, pixel: Array
) -> str:
    """Return why a frame cannot be trusted, "" if it can."""
    from scipy.ndimage import distance_transform_edt

    if seen.contrast < _FADED:
        return f"the tags have faded to {seen.contrast:.1f} of the noise; {_FADED:g} is the least"
    if seen.missed_rad > _MISSED_RAD:
        return (
            f"a smooth motion leaves {seen.missed_rad:.2f} rad of the tags' phase, {_MISSED_RAD:g} at most:"
            " motion near half a tag between two frames, or a wall that holds blood"
        )
    here = field.at(points)
    before = last.at(points) if last is not None else here
    step = float(np.percentile(np.abs(here - before) / field.tags_mm, 95))
    if step > _STEP:
        return f"motion of {step:.2f} tags since the frame before, {_STEP:g} is the most"
    was = np.rint((points - here @ field.to_plane) / pixel).astype(int)
    was = np.clip(was, 0, np.array(first_wall.shape) - 1)
    away = distance_transform_edt(~first_wall, sampling=pixel)[tuple(was.T)]
    out = float(np.mean(away > _NEAR_MM))
    if out > _OUTSIDE:
        return f"{100 * out:.0f} % of the wall would have come from where no wall was in the first frame"
    return ""


def _cavity(wall: Flags) -> Array:
    """Middle (row, column) of what the ring encloses; of the ring, where it is not closed."""
    from scipy.ndimage import binary_fill_holes

    hole = binary_fill_holes(wall) & ~wall
    return np.asarray(np.argwhere(hole if hole.any() else wall).mean(axis=0))


def _rotation(was_mm: Array, now_mm: Array) -> float:
    """Angle [deg] that turns points onto others, both about their own centres, by least squares."""
    a, b = was_mm - was_mm.mean(axis=0), now_mm - now_mm.mean(axis=0)
    cross = float(np.sum(a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1]))
    return float(np.rad2deg(np.arctan2(cross, float(np.sum(a * b)))))


def _hoop(field: _Field, points: Array, shift: Array, centre: Array) -> Array:
    """Circumferential strain (n,): length of ``F e`` less one, from the derivative of where muscle was."""
    h = 0.05
    slopes = np.stack(
        [
            (field.at(points + h * e) - field.at(points - h * e)) @ field.to_plane / (2.0 * h)
            for e in np.eye(2)
        ],
        axis=-1,
    )
    gradient = np.linalg.inv(np.eye(2) - slopes)
    was = points - shift - centre
    around = np.stack([-was[:, 1], was[:, 0]], axis=-1) / np.linalg.norm(was, axis=1, keepdims=True)
    strain: Array = np.linalg.norm(np.einsum("nij,nj->ni", gradient, around), axis=1) - 1.0
    return strain
