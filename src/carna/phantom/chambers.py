"""A whole heart: the ventricles of `Heart` with atria, veins, aorta and pulmonary artery told apart.

Above the valve plane `Heart` has only scenery. Here each atrium is a body of its own: an ellipsoid that lies
in the chest as atria do (the left one flattened from front to back, behind and above the left ventricle; the
right one on its right), joined smoothly to a funnel that follows its valve, with an appendage and the ends
of its veins. The atria fill while the ventricles empty (`contraction`): largest at end-systole, smallest at
end-diastole, the atrial kick included. The aorta rises from between the two valves, arches and descends
before the spine; the pulmonary trunk rises in front of it and divides.

Shapes are distances to ellipsoids and to tubes along polygons, merged by a polynomial smooth
minimum, and the whole is bent by a smooth random field: no two hearts share an outline. Volumes are
therefore not closed forms: `WholeHeart.ml` counts them on a fine grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.phantom.heart import Heart, contraction
from carna.phantom.labels import (
    AORTA,
    ATRIAL_WALL,
    ATRIUM,
    BACKGROUND,
    EPICARDIAL_FAT,
    LEFT_ATRIUM,
    PULMONARY_ARTERY,
    PULMONARY_VEIN,
    RIGHT_ATRIUM,
    RV,
    RV_WALL,
    VENA_CAVA,
    VESSEL,
    Labels,
)
from carna.phantom.people import Pattern, draw_heart

Array = npt.NDArray[np.floating]

_NAMES = (LEFT_ATRIUM, PULMONARY_VEIN, RIGHT_ATRIUM, VENA_CAVA, AORTA, PULMONARY_ARTERY)
_SCENERY = (ATRIUM, ATRIAL_WALL, VESSEL)  # of `Heart`, replaced here
_HALF_MM = 95.0  # half the side of the cube in which volumes are counted
_VEIN_REACH_MM = 9.0  # a vein counts as atrium this far from the body: readers include the antrum


@dataclass(frozen=True)
class WholeHeart:
    """Four chambers and the great vessels of one person at every phase.

    Parameters
    ----------
    heart : Heart
        The ventricles.
    left_ml, right_ml : float
        Rough largest volumes of the atrial bodies at end-systole, 25 to 260 mL; `ml` gives the exact ones.
    left_emptying, right_emptying : float
        Share of it that an atrium gives away, 0.1 (fibrillation) to 0.7.
    flat : float
        Front-to-back diameter of the left atrium over its width, 0.55 to 1.0.
    appendage_mm : float
        Length of the left appendage, 15 to 45 mm.
    vein_mm, aorta_mm, trunk_mm : float
        Radius of pulmonary veins (4 to 9), ascending aorta (10 to 24), pulmonary trunk (9 to 20).
    rise : float
        How much more upwards the upper veins and the left appendage run, 0 to 1.
    bend_mm : float
        Size of the random bend of everything above the valves, 0 to 6 mm.
    seed : int
        Of that bend and of the courses of the veins.

    Raises
    ------
    InputError
        A value outside its range.
    """

    heart: Heart
    left_ml: float = 75.0
    right_ml: float = 85.0
    left_emptying: float = 0.5
    right_emptying: float = 0.45
    flat: float = 0.72
    appendage_mm: float = 30.0
    vein_mm: float = 6.0
    aorta_mm: float = 15.0
    trunk_mm: float = 13.0
    bend_mm: float = 2.0
    seed: int = 0
    rise: float = 0.0
    _kept: dict[float, dict[int, float]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what is no heart."""
        for name, low, high in (
            ("left_ml", 25.0, 260.0),
            ("right_ml", 25.0, 260.0),
            ("left_emptying", 0.1, 0.7),
            ("right_emptying", 0.1, 0.7),
            ("flat", 0.55, 1.0),
            ("appendage_mm", 15.0, 45.0),
            ("vein_mm", 4.0, 9.0),
            ("aorta_mm", 10.0, 24.0),
            ("trunk_mm", 9.0, 20.0),
            ("bend_mm", 0.0, 6.0),
            ("rise", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} = {value}", needed=f"{low:g} to {high:g}", fix=f"change {name}")

    def label_at(self, points_lps: Array, phase: float) -> Labels:
        """Return the label at points (..., 3) of LPS space [mm]: those of `Heart`, and 10 to 15 above it."""
        points = np.asarray(points_lps, dtype=np.float32)
        labels = self.heart.label_at(points, phase)
        labels[np.isin(labels, _SCENERY)] = BACKGROUND
        free = (labels == BACKGROUND) | (labels == EPICARDIAL_FAT) | (labels == RV_WALL)
        labels[free] = self._above(points[free], phase, labels[free])
        return labels

    def ml(self, label: int, phase: float, step_mm: float = 1.5) -> float:
        """Volume [mL] of a label at a phase, counted on a grid of ``step_mm``; within 1 % at 1.5 mm.

        The aorta, the pulmonary artery and the veins end where the drawing ends: theirs are no measure.
        """
        key = float(phase) + step_mm * 1e3
        if key not in self._kept:
            reach, counts = np.arange(-_HALF_MM, _HALF_MM, step_mm), np.zeros(256)
            x, y = np.meshgrid(reach, reach, indexing="ij")
            for z in reach:
                layer = self._middle_lps + np.stack([x, y, np.full_like(x, z)], axis=-1)
                counts += np.bincount(self.label_at(layer, phase).ravel(), minlength=256)
            self._kept[key] = {n: float(c) * step_mm**3 / 1e3 for n, c in enumerate(counts)}
        return self._kept[key][int(label)]

    # ---- where things are, LPS mm ----------------------------------------------------------------

    @cached_property
    def _middle_lps(self) -> Array:
        return self._lps(0.0, 0.0, 15.0)

    @cached_property
    def _size(self) -> float:
        return float((self.heart.edv_ml / 140.0) ** (1.0 / 3.0))

    def _lps(self, x: float, y: float, z: float) -> Array:
        """Return a place of the heart's own axes (mm from the middle of the valve plane) in LPS space."""
        return np.asarray(np.asarray(self.heart.base_lps) + np.array([x, y, z]) @ self.heart.axes_lps)

    @cached_property
    def _courses(self) -> dict[str, Array]:
        """Directions of the four veins (4, 3), and the bend's waves (8, 7)."""
        random = np.random.default_rng([self.seed, 10])
        veins = np.array([(0.80, 0.45, 0.40), (0.85, 0.45, -0.25), (-0.85, 0.25, 0.40), (-0.85, 0.40, -0.30)])
        veins = veins + random.normal(0.0, 0.15, veins.shape)
        wave = random.normal(0.0, 1.0, (8, 3))
        wave /= np.linalg.norm(wave, axis=1, keepdims=True) * random.uniform(35.0, 80.0, (8, 1)) / (2 * np.pi)
        amplitude = random.normal(0.0, 1.0, (8, 3)) / 2.0
        start = random.uniform(0.0, 2.0 * np.pi, (8, 1))
        veins /= np.linalg.norm(veins, axis=1, keepdims=True)
        return {"veins": veins, "bend": np.hstack([wave, amplitude, start])}

    def _bent(self, points: Array) -> Array:
        """Return where points (n, 3) lie in the unbent drawing."""
        if self.bend_mm == 0.0:
            return points
        bend = self._courses["bend"].astype(np.float32)
        moved = points.copy()
        for wave in bend:
            moved += self.bend_mm * np.sin(points @ wave[:3] + wave[6])[:, None] * wave[3:6]
        return moved

    # ---- the drawing -----------------------------------------------------------------------------

    def _above(self, points: Array, phase: float, before: Labels) -> Labels:
        """Label points (n, 3) that no muscle and no ventricle holds."""
        labels = before.copy()
        if not points.size:
            return labels
        valve = self.heart.span_mm * (1.0 - float(self.heart.along(phase)))
        at = self._bent(points)
        over = (points - self._lps(0.0, 0.0, 0.0)) @ self.heart.axes_lps[2] < valve
        left, left_veins = self._left(at, phase, valve)
        right, cavae = self._right(at, phase, valve)
        aorta, trunk, funnel = self._vessels(at, valve)
        # The nearest structure takes a point that two could claim; each has a thin wall between.
        shells = np.stack([left, left_veins, right, cavae, aorta, trunk])
        which, depth = shells.argmin(0), shells.min(0)
        names = np.array(_NAMES, np.uint8)
        second = np.partition(shells[[0, 2, 4, 5]], 1, axis=0)[1]
        inside = over & (depth < 0.0) & (second - depth > 1.5)
        wall = over & (depth < 2.0) & ~inside
        labels[wall] = ATRIAL_WALL
        labels[inside] = names[which[inside]]
        antrum = inside & (which == 1) & (left < _VEIN_REACH_MM)
        labels[antrum] = LEFT_ATRIUM
        outflow = (funnel < 0.0) & over & ~inside
        labels[outflow] = RV
        return labels

    def _left(self, at: Array, phase: float, valve: float) -> tuple[Array, Array]:
        """Signed distances [mm] to the left atrium with its appendage, and to its veins."""
        fill = 1.0 - self.left_emptying * (1.0 - float(contraction(phase, self.heart.atrial_share)))
        # The funnel to the valve holds about a seventh.
        mean = (0.86 * self.left_ml * 1e3 * fill / (4.0 / 3.0 * np.pi)) ** (1.0 / 3.0)
        wide = mean / self.flat ** (1.0 / 3.0) / 1.02
        radii = np.array([wide, self.flat * wide, 1.06 * wide])
        size = self._size
        most = (0.86 * self.left_ml * 1e3 / (4.0 / 3.0 * np.pi)) ** (1.0 / 3.0)
        # The back wall and the roof rest; the body grows towards the valve.
        centre = self._lps(-5.0 * size, 4.0 * size, -8.0 - 0.80 * most - 0.25 * (most - mean))
        body = _ellipsoid(at - centre, radii)
        mitral = self._lps(-4.0 * size, 4.0 * size, valve + 3.0)
        funnel = _tube(at, np.stack([centre, mitral]), 0.62 * mean, 15.0 * size)
        body = _merged(body, funnel, 8.0)
        up = self.rise
        start = centre + np.array([0.75, -0.45, 0.1 + 0.35 * up]) * radii
        tip = start + self.appendage_mm * np.array([0.45, -0.85 + 0.35 * up, 0.15 + 0.75 * up])
        middle = (start + tip) / 2.0 + np.array([4.0, 0.0, 5.0])
        body = _merged(body, _tube(at, np.stack([start, middle, tip]), 8.0, 4.5), 4.0)
        veins = np.full(len(at), 1e3, np.float32)
        for course in self._courses["veins"]:
            way = course + np.array([0.0, 0.0, 0.9 * up * (course[2] > 0.0)])
            way /= np.linalg.norm(way)
            ostium = centre + 0.80 * radii * way
            end = ostium + 55.0 * way + np.array([0.0, 8.0, 0.0])
            vein = _tube(at, np.stack([ostium, end]), 1.25 * self.vein_mm, 0.9 * self.vein_mm)
            veins = np.minimum(veins, vein)
        return body, veins

    def _right(self, at: Array, phase: float, valve: float) -> tuple[Array, Array]:
        """Signed distances [mm] to the right atrium with its appendage, and to the venae cavae."""
        fill = 1.0 - self.right_emptying * (1.0 - float(contraction(phase, self.heart.atrial_share)))
        mean = (0.82 * self.right_ml * 1e3 * fill / (4.0 / 3.0 * np.pi)) ** (1.0 / 3.0)
        most = (0.82 * self.right_ml * 1e3 / (4.0 / 3.0 * np.pi)) ** (1.0 / 3.0)
        radii = np.array([0.92 * mean, 0.98 * mean, 1.12 * mean])
        size = self._size
        centre = self._lps(48.0 * size, 6.0 * size, -4.0 - 0.80 * most) + np.array([-4.0, 0.0, 0.0])
        body = _ellipsoid(at - centre, radii)
        tricuspid = self._lps(42.0 * size, 4.0 * size, valve + 3.0)
        body = _merged(body, _tube(at, np.stack([centre, tricuspid]), 0.62 * mean, 16.0 * size), 8.0)
        ear = centre + np.array([0.2 * radii[0], -0.7 * radii[1], 0.5 * radii[2]])
        body = _merged(body, _tube(at, np.stack([ear, ear + np.array([14.0, -14.0, 8.0])]), 11.0, 7.0), 5.0)
        top, floor = centre + np.array([0.0, 0.2, 0.7]) * radii, centre + np.array([0.0, 0.3, -0.7]) * radii
        upper = _tube(at, np.stack([top, top + np.array([-4.0, 4.0, 75.0])]), 9.5, 9.0)
        lower = _tube(at, np.stack([floor, floor + np.array([-2.0, 8.0, -60.0])]), 11.5, 12.0)
        return body, np.minimum(upper, lower)

    def _vessels(self, at: Array, valve: float) -> tuple[Array, Array, Array]:
        """Signed distances [mm] to the aorta, the pulmonary artery, and the outflow tract of the right."""
        size, r = self._size, self.aorta_mm
        root = self._lps(16.0 * size, -15.0 * size, valve)
        rise = root + np.array([-8.0, -8.0, 38.0])
        top = root + np.array([-4.0, -2.0, 72.0])
        arch = np.array([14.0, 30.0, top[2] + 16.0])
        down = np.array([24.0, 52.0, top[2] - 8.0])
        path = np.stack([root, rise, top, (top + arch) / 2.0 + np.array([0.0, 0.0, 8.0]), arch, down])
        aorta = _tube(at, path, 1.05 * r, 0.78 * r)
        foot = down + np.array([2.0, 0.0, -190.0])
        aorta = np.minimum(aorta, _tube(at, np.stack([down, foot]), 0.78 * r, 0.7 * r))
        p = self.trunk_mm
        start = self._lps(25.0 * size, -42.0 * size, valve + 2.0)
        fork = start + np.array([8.0, 28.0, 34.0])
        trunk = _tube(at, np.stack([start, fork]), p, p)
        right = np.stack([fork, fork + np.array([-38.0, 14.0, 0.0]), fork + np.array([-75.0, 22.0, -8.0])])
        left = np.stack([fork, fork + np.array([28.0, 22.0, 6.0]), fork + np.array([45.0, 40.0, -8.0])])
        for branch in (right, left):
            trunk = _merged(trunk, _tube(at, branch, 0.78 * p, 0.6 * p), 3.0)
        inlet = self._lps(30.0 * size, -22.0 * size, valve + 6.0)
        return aorta, trunk, _tube(at, np.stack([inlet, start]), 13.0 * size, p)


def draw_whole(random: np.random.Generator, pattern: Pattern | None = None) -> WholeHeart:
    """Draw a whole heart: the ventricles of `draw_heart`, atria and vessels from small to much too large.

    Parameters
    ----------
    random : numpy.random.Generator
    pattern : str, optional
        Pattern of disease of the ventricles.

    Returns
    -------
    WholeHeart
        Lessons, not a population: normal left atria hold 26 to 52 mL/m2 at their largest
        (doi:10.1186/s12968-020-00683-3), these 35 to 190 mL.
    """
    between = random.uniform
    left = float(np.exp(between(np.log(35.0), np.log(190.0))))
    return WholeHeart(
        heart=draw_heart(random, pattern),
        left_ml=left,
        right_ml=float(np.clip(left * np.exp(random.normal(0.1, 0.3)), 30.0, 230.0)),
        left_emptying=between(0.12, 0.65),
        right_emptying=between(0.12, 0.6),
        flat=between(0.58, 0.95),
        appendage_mm=between(18.0, 42.0),
        vein_mm=between(4.2, 8.5),
        aorta_mm=between(11.0, 21.0),
        trunk_mm=between(10.0, 18.0),
        bend_mm=between(0.5, 5.0),
        seed=int(random.integers(2**31)),
    )


def _ellipsoid(offset: Array, radii: Array) -> Array:
    """Signed distance [mm] from points (n, 3) about its centre, first order: exact on the surface."""
    radii = radii.astype(np.float32)
    inner = np.linalg.norm(offset / radii, axis=-1)
    steep = np.linalg.norm(offset / radii**2, axis=-1)
    distance: Array = inner * (inner - 1.0) / np.maximum(steep, 1e-4)
    return distance


def _tube(at: Array, path: Array, begin_mm: float, end_mm: float) -> Array:
    """Signed distance [mm] from points (n, 3) to a tube along a polygon (m, 3) whose radius goes evenly."""
    path = path.astype(np.float32)
    radii = np.linspace(begin_mm, end_mm, len(path), dtype=np.float32)
    nearest = np.full(len(at), 1e3, np.float32)
    for a, b, r0, r1 in zip(path[:-1], path[1:], radii[:-1], radii[1:], strict=True):
        way = b - a
        share = np.clip((at - a) @ way / float(way @ way), 0.0, 1.0)
        gap = np.linalg.norm(at - a - share[:, None] * way, axis=-1) - (r0 + share * (r1 - r0))
        nearest = np.minimum(nearest, gap)
    return nearest


def _merged(a: Array, b: Array, soft_mm: float) -> Array:
    """Union of two signed distances whose crease is filled over ``soft_mm``."""
    near = np.maximum(soft_mm - np.abs(a - b), 0.0) / soft_mm
    union: Array = np.minimum(a, b) - near**2 * (soft_mm / 4.0)
    return union
