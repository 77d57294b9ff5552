"""Virtual X-ray angiograms: a known coronary tree, filled by a bolus, seen by a C-arm.

A tree of `carna.flow.virtual` is laid around a heart and made tortuous. Rays of the view cross its vessels
over known lengths; contrast of known concentration and speed attenuates them (Beer and Lambert). In front and
behind lie ribs, spine, diaphragm, lung vessels and the catheter. The detector adds scattered light, blur and
quantum noise; the heart swings and shortens from frame to frame.

Truth is exact: places and radii in mm and in pixels, the healthy radius, the speed of the bolus, and the size
of a pixel by geometry. What it doesn't have: collaterals, blush of the muscle, streaming of contrast, motion
blur, calcium, a vessel's section that isn't round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.network import Network
from carna.flow.virtual import Style, grow
from carna.image.angiography.view import View
from carna.space import VesselTree

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

HEART_MM: Final = 46.0  # radius of the sphere that the tree is laid around
FINER: Final = 2  # rays a pixel and axis
STEEPEST: Final = 3.0  # longest way through a vessel, of its chord, where it runs along the beam
MOST_MB: Final = 2000


@final
@dataclass(frozen=True, slots=True, eq=False)
class Coronary:
    """A virtual coronary tree.

    Attributes
    ----------
    vessels : Network
        Laid around a heart at the isocentre, LPS mm.
    reference_mm : (n,) float
        Radius of each point without narrowings.
    """

    vessels: Network
    reference_mm: Floats

    @property
    def tree(self) -> VesselTree:
        """Points, edges and radii."""
        edges = np.concatenate([np.stack([s[:-1], s[1:]], 1) for s in self.vessels.segments])
        return VesselTree(self.vessels.points, edges, self.vessels.radius_mm)


@final
@dataclass(frozen=True, slots=True)
class Imaging:
    """How pictures are made; ranges of what differs from patient to patient are drawn by `imaging`.

    Attributes
    ----------
    fps : float
        Frames a second.
    velocity_mm_s : float
        Of the bolus.
    start_s, injection_s, front_s : float
        When contrast enters the artery, for how long, and over how long it rises.
    iodine_per_mm : float
        Attenuation of the filled lumen, 1/mm.
    photons : float
        A pixel, where nothing attenuates.
    veil : float
        Scattered light, of the unattenuated.
    blur_px : float
        SD of focal spot and detector.
    anatomy : float
        Strength of what lies before and behind; 0 is none.
    swing_px, shorten : float
        The heart's way from frame to frame, and its shortening, of its size.
    rate_per_min : float
    catheter : bool
    """

    fps: float = 15.0
    velocity_mm_s: float = 200.0
    start_s: float = 0.4
    injection_s: float = 2.0
    front_s: float = 0.15
    iodine_per_mm: float = 0.12
    photons: float = 4000.0
    veil: float = 0.25
    blur_px: float = 0.9
    anatomy: float = 1.0
    swing_px: float = 3.0
    shorten: float = 0.05
    rate_per_min: float = 70.0
    catheter: bool = True


@final
@dataclass(frozen=True, slots=True, eq=False)
class Angiogram:
    """A run with its truth.

    Attributes
    ----------
    frames : (t, rows, columns) uint8
        Dark vessels.
    imaging : Imaging
    view : View
    coronary : Coronary
    vessels : (rows, columns) bool
        The whole tree at rest.
    motion : (t, 2, 3) float
        Takes a pixel at rest to where it is in each frame.
    """

    frames: npt.NDArray[np.uint8]
    imaging: Imaging
    view: View
    coronary: Coronary
    vessels: Bools
    motion: Floats

    def pixels(self, frame: int) -> Floats:
        """Row and column of the tree's points in one frame: (n, 2)."""
        at = self.view.project(self.coronary.vessels.points)
        return np.asarray(at @ self.motion[frame, :, :2].T + self.motion[frame, :, 2])

    @property
    def radius_px(self) -> Floats:
        """Of the tree's points at rest: (n,)."""
        vessels = self.coronary.vessels
        depth = self.view.depth_mm(vessels.points)
        return np.asarray(vessels.radius_mm * self.view.sid_mm / depth / self.view.pitch_mm)

    def mask(self, frame: int) -> Bools:
        """Return the tree's pixels in one frame."""
        return np.asarray(_warped(self.vessels.astype(float), self.motion[frame], order=1) > 0.5)


def coronary(seed: int = 0, *, style: Style | str = "stable", heart_mm: float = HEART_MM) -> Coronary:
    """Return a tree around a heart.

    Parameters
    ----------
    seed : int
    style : Style or str
        Of `carna.flow.virtual`.
    heart_mm : float
        Radius of the heart, 30 to 70.
    """
    if not 30 <= heart_mm <= 70:
        raise InputError(f"a heart of {heart_mm:g} mm radius", needed="30 to 70")
    draws = np.random.default_rng(seed)
    forest = grow(1, style=style, seed=seed)
    straight = forest.network(0)
    bounds = forest.points
    reference = np.concatenate(
        [
            forest.reference_mm[bounds[s] + (forest.parent[s] >= 0) : bounds[s + 1]]
            for s in range(len(straight))
        ]
    )
    x, y, z = straight.points.T
    # Down the meridian from near the base; sideways along the surface.
    down = 0.5 - z / heart_mm
    side = draws.uniform(-np.pi, 0.3) + x / (heart_mm * np.maximum(np.sin(down), 0.5))
    far = heart_mm + 0.2 * y
    points = np.stack(
        [far * np.sin(down) * np.cos(side), far * np.sin(down) * np.sin(side), far * np.cos(down)], axis=1
    )
    points = points + _tortuous(points, draws)
    vessels = Network(points, straight.radius_mm, straight.segments, straight.parent, straight.names)
    return Coronary(vessels, reference)


def _tortuous(points: Floats, draws: np.random.Generator) -> Floats:
    """Return a smooth displacement, mm: waves of 60 to 12 mm, the shorter the smaller."""
    moved = np.zeros_like(points)
    for _ in range(24):
        length = float(np.exp(draws.uniform(np.log(12), np.log(60))))
        way = draws.standard_normal(3)
        size = draws.normal(0, 0.022 * length, 3)
        phase = points @ (way / np.linalg.norm(way)) * (2 * np.pi / length) + draws.uniform(0, 2 * np.pi)
        moved += np.sin(phase)[:, None] * size
    return moved


def imaging(seed: int = 0) -> Imaging:
    """Return one patient's pictures: contrast, dose, speed and anatomy as they vary in practice."""
    draws = np.random.default_rng(seed)
    return Imaging(
        velocity_mm_s=float(draws.uniform(120, 320)),
        iodine_per_mm=float(draws.uniform(0.07, 0.16)),
        photons=float(np.exp(draws.uniform(np.log(800), np.log(8000)))),
        veil=float(draws.uniform(0.1, 0.4)),
        blur_px=float(draws.uniform(0.7, 1.3)),
        anatomy=float(draws.uniform(0.4, 1.4)),
        swing_px=float(draws.uniform(1, 5)),
        shorten=float(draws.uniform(0.02, 0.08)),
        rate_per_min=float(draws.uniform(55, 95)),
    )


def angiogram(
    vessels: Coronary, view: View, how: Imaging | None = None, *, seconds: float = 2.0, seed: int = 0
) -> Angiogram:
    """Return a run of a tree.

    Parameters
    ----------
    vessels : Coronary
    view : View
    how : Imaging, optional
    seconds : float
        Length of the run; a single frame, fully filled and at rest, if 0.
    seed : int
        Of anatomy and noise.

    Raises
    ------
    InputError
        If the run would need more than 2 GB.
    """
    how = how or Imaging()
    count = max(1, round(seconds * how.fps))
    if count * view.shape[0] * view.shape[1] * 8 > MOST_MB * 1e6:
        raise InputError(f"{count} frames of {view.shape} pixels", needed=f"at most {MOST_MB:,} MB")
    draws = np.random.default_rng(seed)
    chords = _chords(vessels.vessels, view)
    still = seconds <= 0
    times = np.full(1, 1e6) if still else np.arange(count) / how.fps
    centre = view.project(vessels.vessels.points).mean(axis=0)
    motion = _motions(np.zeros(1) if still else times, how, centre, still)
    behind = how.anatomy * _scenery(view.shape, draws)
    tube = _catheter(vessels, view, draws) if how.catheter else np.zeros(view.shape)
    frames = np.empty((len(times), *view.shape), np.uint8)
    full = _attenuation(chords, view.shape, how, None)
    # The display's window holds for the whole run.
    window = np.percentile(_light(full + tube * how.iodine_per_mm + behind, how), (0.2, 99.8))
    for n, time in enumerate(times):
        contrast = full if still else _attenuation(chords, view.shape, how, time)
        # The catheter is dark by itself and darker while contrast runs through it.
        running = still or how.start_s - 0.3 <= time <= how.start_s + how.injection_s
        moving = contrast + tube * (1.0 if running else 0.35) * how.iodine_per_mm
        light = _light(_warped(moving, motion[n], order=1) + behind, how)
        frames[n] = _shown(light, window, how, draws)
    return Angiogram(frames, how, view, vessels, full > 0, motion)


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Chord:
    """One segment's rays: their places in the finer picture, ways through it, and distance from the inlet."""

    number: int
    parent: int
    at: Ints
    way_mm: Floats
    far_mm: Floats


def _chords(vessels: Network, view: View) -> list[_Chord]:
    from scipy.spatial import cKDTree

    far = vessels.from_inlet_mm
    rows, columns = (n * FINER for n in view.shape)
    found: list[_Chord] = []
    for number, line in enumerate(vessels.segments):
        points = vessels.points[line]
        pixels = view.project(points)
        steps = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(pixels, axis=0), axis=1))))
        fine = np.linspace(0, steps[-1], max(2, int(4 * steps[-1])))
        dense = np.stack([np.interp(fine, steps, pixels[:, k]) for k in range(2)], axis=1)
        depth = np.interp(fine, steps, view.depth_mm(points))
        radius = np.interp(fine, steps, vessels.radius_mm[line])
        along = np.gradient(points, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        slant = np.sqrt(1 - np.clip((along * view.rays(pixels)).sum(1), -1, 1) ** 2)
        longer = np.minimum(1 / np.maximum(np.interp(fine, steps, slant), 1e-3), STEEPEST)
        mm = depth / view.sid_mm * view.pitch_mm
        reach = float((radius / mm).max()) + 1
        low = np.maximum(np.floor((dense.min(0) - reach) * FINER), 0).astype(int)
        high = np.minimum(np.ceil((dense.max(0) + reach) * FINER), (rows, columns)).astype(int)
        if (high <= low).any():
            continue
        grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True))), -1)
        cells = grid.reshape(-1, 2)
        off, near = cKDTree(dense).query((cells + 0.5) / FINER - 0.5, distance_upper_bound=reach)
        hit = np.isfinite(off)
        hit[hit] = off[hit] * mm[near[hit]] < radius[near[hit]]
        cells, off, near = cells[hit], off[hit], near[hit]
        way = 2 * np.sqrt(radius[near] ** 2 - (off * mm[near]) ** 2) * longer[near]
        at, place = cells[:, 0] * columns + cells[:, 1], np.interp(fine, steps, far[line])[near]
        # At a bifurcation lumens are one: blood there isn't counted twice.
        head = far[line[0]]
        mouth = place - head < 3 * vessels.radius_mm[line[0]]
        for other in found:
            if other.number == vessels.parent[number] or other.parent == vessels.parent[number]:
                there = np.abs(other.far_mm - head) < 3 * vessels.radius_mm[line[0]]
                _, own, its = np.intersect1d(at, other.at[there], return_indices=True)
                shared = own[mouth[own]]
                way[shared] = np.maximum(way[shared] - other.way_mm[there][its][mouth[own]], 0)
        found.append(_Chord(number, int(vessels.parent[number]), at, way, place))
    return found


def _attenuation(chords: list[_Chord], shape: tuple[int, int], how: Imaging, time: float | None) -> Floats:
    """Return the attenuation of the filled lumen at one time, or all filled: (rows, columns)."""
    total = np.zeros(shape[0] * shape[1] * FINER**2)
    for chord in chords:
        filled = np.ones_like(chord.far_mm)
        if time is not None:
            since = time - how.start_s - chord.far_mm / how.velocity_mm_s
            filled = np.clip(since / how.front_s + 0.5, 0, 1)
            filled *= np.clip(1 - (since - how.injection_s) / (3 * how.front_s), 0, 1)
        # Vessels that lie one over the other add up.
        total[chord.at] += chord.way_mm * filled
    fine = total.reshape(shape[0], FINER, shape[1], FINER)
    return np.asarray(how.iodine_per_mm * fine.mean(axis=(1, 3)))


def _motions(times: Floats, how: Imaging, centre: Floats, still: bool) -> Floats:
    """Return the affine motion of each frame, (t, 2, 3): shortening towards the centre, and a swing."""
    beat = 2 * np.pi * how.rate_per_min / 60 * times
    size = 0.0 if still else 1.0
    shrink = 1 - size * how.shorten * 0.5 * (1 - np.cos(beat))
    breath = 2 * np.pi * times / 4.0
    swing = size * how.swing_px * np.stack([np.sin(beat) + np.sin(breath), 0.7 * np.cos(beat) - 0.7], axis=1)
    motion = np.zeros((len(times), 2, 3))
    motion[:, 0, 0] = motion[:, 1, 1] = shrink
    motion[:, :, 2] = centre * (1 - shrink)[:, None] + swing
    return motion


def _warped(picture: Floats, motion: Floats, *, order: int) -> Floats:
    from scipy.ndimage import affine_transform

    if np.array_equal(motion, np.eye(2, 3)):
        return picture
    back = np.linalg.inv(motion[:, :2])
    return np.asarray(affine_transform(picture, back, -back @ motion[:, 2], order=order, mode="nearest"))


def _light(attenuation: Floats, how: Imaging) -> Floats:
    """Return what reaches the detector, of what would without attenuation."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter((1 - how.veil) * np.exp(-attenuation) + how.veil, how.blur_px))


def _shown(light: Floats, window: Floats, how: Imaging, draws: np.random.Generator) -> npt.NDArray[np.uint8]:
    counts = draws.poisson(how.photons * light) / how.photons
    low, high = window
    shown = 20 + 215 * (counts - low) / max(high - low, 1e-9)
    return np.asarray(np.clip(np.round(shown), 0, 255).astype(np.uint8))


def _scenery(shape: tuple[int, int], draws: np.random.Generator) -> Floats:
    """Return the attenuation of what isn't heart: soft tissue, diaphragm, ribs, spine, lung vessels."""
    from scipy.ndimage import gaussian_filter

    size = max(shape)
    rows, columns = np.meshgrid(*(np.arange(n) / size for n in shape), indexing="ij")

    def cloud(width: float) -> Floats:
        field_ = gaussian_filter(draws.standard_normal(shape), width * size, mode="wrap")
        return np.asarray(field_ / field_.std())

    def step(distance: Floats, soft: float) -> Floats:
        return np.asarray(1 / (1 + np.exp(-np.clip(distance / soft, -30, 30))))

    total = 0.25 * cloud(0.2) + 0.08 * cloud(0.06) + 0.02 * cloud(0.012)
    # The liver's dome below, the lung's edge at one side.
    dome = rows - draws.uniform(0.6, 1.1) + 0.8 * (columns - draws.uniform(0.2, 0.8)) ** 2
    total = total + draws.uniform(0.1, 0.5) * step(dome, draws.uniform(0.004, 0.02))
    lung = draws.choice((-1, 1)) * (columns - draws.uniform(0.6, 0.95) + 0.3 * rows)
    total = total - draws.uniform(0.0, 0.4) * step(lung, draws.uniform(0.01, 0.04))
    slope, first = draws.uniform(-0.7, 0.7), draws.uniform(0, 0.25)
    for n in range(6):
        middle = first + 0.22 * n + slope * (columns - 0.5) + draws.uniform(-0.4, 0.4) * (columns - 0.5) ** 2
        thick = draws.uniform(0.03, 0.05)
        inside = step(thick - np.abs(rows - middle), 0.003)
        rim = np.exp(-(((np.abs(rows - middle) - thick) / 0.006) ** 2))
        total = total + draws.uniform(0.0, 0.1) * (inside + 0.4 * rim)
    if draws.random() < 0.5:
        spine = np.abs(columns - draws.uniform(-0.1, 1.1)) - 0.13
        total = total + draws.uniform(0.1, 0.3) * step(-spine, 0.01) * (0.85 + 0.15 * np.sin(rows * 40))
    # Lung vessels: thin crests of a random field, much fainter than a filled artery.
    crest = np.exp(-((cloud(0.03) / 0.12) ** 2))
    return np.asarray(total + 0.04 * crest * (cloud(0.1) > 0))


def _catheter(vessels: Coronary, view: View, draws: np.random.Generator) -> Floats:
    """Return the way of rays through a catheter of 2 mm, mm, that comes from the edge to the inlet."""
    inlet = vessels.vessels.segments[0][:2]
    first, next_ = view.project(vessels.vessels.points[inlet])
    size = max(view.shape)
    away = (first - next_) / max(float(np.linalg.norm(first - next_)), 1e-9)
    edge = np.array([-0.1 * size, first[1] + draws.uniform(-0.25, 0.25) * size])
    share = np.linspace(0, 1, 400)[:, None]
    bend = first + away * 0.25 * size * draws.uniform(0.3, 0.8)
    line = (1 - share) ** 2 * first + 2 * share * (1 - share) * bend + share**2 * edge
    from scipy.spatial import cKDTree

    rows, columns = np.meshgrid(*(np.arange(n) for n in view.shape), indexing="ij")
    off, _ = cKDTree(line).query(np.stack([rows, columns], -1).reshape(-1, 2), distance_upper_bound=12.0)
    mm = np.where(np.isfinite(off), off, 99.0) * view.mm_per_px
    return np.asarray(2 * np.sqrt(np.maximum(1.0 - mm**2, 0)).reshape(view.shape))
