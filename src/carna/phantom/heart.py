"""A beating heart whose every volume and every displacement is known in closed form.

The left ventricle is a cavity of radius ``a`` in a muscular shell of radius ``b``, both functions of the
angle ``theta`` about the long axis and of the depth ``Z``, which runs from the valve plane (0) to the
epicardial apex (`Heart.span_mm`). A material point ``(r, theta, Z)`` of end-diastole moves to ::

    z = span - s (span - Z)                            the apex rests, the base descends
    R^2 = (r^2 - a^2) / s + k^2 a^2                    the wall keeps its volume
    theta' = theta + torsion (span - Z) / span

with long-axis stretch ``s`` of the phase and endocardial stretch ``k(theta, Z)`` of the phase. The Jacobian
determinant is ``(R dR/dr / r) s = 1`` whatever ``a`` and ``k`` are: the muscle is exactly incompressible,
also where a region moves less, later or outward. With ``w(theta, Z)`` the share of its contraction that a
place keeps (`Region`) and ``c`` the contraction of the phase (0 at end-diastole, 1 at end-systole)::

    k^2 = 1 - w E,    E = (1 - (1 - ef c) / s) / mean of w over the cavity

so that the cavity holds ``1 - ef c`` of its end-diastolic volume: an ejection fraction is reached exactly.
Where activation is late (`Heart.delay`), ``E`` is that of an earlier phase and the volume an integral.

The right ventricle is a crescent on the left one: its thickness is ``D h(Z) g(theta)``, its volume a
quadratic in ``D``; ``D`` is solved so that both ventricles eject the same volume. Papillary muscles count as
cavity, as in most labelled sets. Known simplifications: flat valve plane, straight long axis, atria and great
vessels only as scenery.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.phantom import wall
from carna.phantom.labels import (
    BACKGROUND,
    EPICARDIAL_FAT,
    LV,
    MYOCARDIUM,
    PAPILLARY,
    RV,
    RV_WALL,
    Labels,
)
from carna.phantom.scenery import above_the_valves
from carna.phantom.wall import Region

Array = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]

ES_PHASE = 0.35  # fraction of the beat at which the ventricles are smallest
MUSCLE_G_PER_ML = 1.05

_PAPILLARY_AT = np.deg2rad([130.0, 235.0])
_RINGS, _SPOKES = 241, 180  # of the integrals over the walls; exact to about 1e-5


def contraction(phase: Array | float, atrial_share: float = 0.25) -> Array:
    """How far the ventricles have emptied: 0 at end-diastole, 1 at end-systole (`ES_PHASE`).

    Parameters
    ----------
    phase : (...) float
        Fraction of the beat, taken modulo 1; 0 is end-diastole (the R wave).
    atrial_share : float
        Part of the filling due to the atrial kick, 0 (atrial fibrillation) to 0.5.
    """
    p = np.mod(np.asarray(phase, dtype=np.float64), 1.0)
    early = _smooth((p - ES_PHASE) / 0.27)
    late = _smooth((p - 0.82) / 0.18)
    if atrial_share == 0.0:  # without a kick filling goes on slowly to the end
        late, atrial_share = _smooth((p - 0.5) / 0.5), 0.15
    ejected: Array = _smooth(p / ES_PHASE) - (1.0 - atrial_share) * early - atrial_share * late
    return ejected


def _smooth(x: Array) -> Array:
    """Fifth-order step: 0 below 0, 1 above 1, two continuous derivatives."""
    x = np.clip(x, 0.0, 1.0)
    step: Array = x * x * x * (10.0 + x * (6.0 * x - 15.0))
    return step


@dataclass(frozen=True, slots=True)
class Sites:
    """Points of space in the coordinates of the heart, computed once for all phases.

    ``z`` mm from the end-diastolic valve plane to the apex, ``radius`` mm from the long axis, ``theta`` rad
    from the middle of the septum, ``crescent`` the profile g(theta); ``xyz`` (..., 3) mm: towards the right
    ventricle, across, along the axis. All of one shape, float32.
    """

    xyz: Array
    z: Array
    radius: Array
    theta: Array
    crescent: Array


@dataclass(frozen=True)
class Heart:
    """Both ventricles of one person at every phase.

    Parameters
    ----------
    edv_ml : float
        End-diastolic volume of the left ventricle, 60 to 350 mL.
    ef : float
        Ejection fraction of the left ventricle, 0.10 to 0.78.
    rv_edv_ml : float
        End-diastolic volume of the right ventricle, mL; must exceed the stroke volume by 20 mL.
    wall_mm : float
        End-diastolic wall thickness at the equator, 4 to 20 mm.
    torsion_deg : float
        Twist of the base against the apex at end-systole, 0 to 25 degrees.
    atrial_share : float
        See `contraction`.
    elongation : float
        Length of the left cavity over the usual one of that volume, 0.75 to 1.3; dilated hearts are rounder.
    oval, oval_deg : float
        How far the cross-section is from round (0 to 0.25: the radius varies by that share) and the angle of
        its long diameter.
    septal_mm, septal_deg : float
        How much thicker the wall is at an angle than at the equator on average, and thinner opposite, -3 to
        12 mm; 0 degrees is the middle of the septum.
    apical : float
        Thickness of the wall at the apex over that of an even shell, 0.4 to 1.5.
    regions : tuple of Region
        Patches that are thinner or move less or more: infarcts, an apex that closes.
    delay : float
        How much later the lateral wall is activated than the septum, 0 to 0.15 of the beat.
    rv_half_angle_deg, rv_blunt, rv_reach, rv_wall_mm : float
        Angle from the middle of the septum to the right ventricle's insertion (50 to 90), bluntness of the
        crescent's ends (0.4 to 1.5, lower is blunter), share of the long axis that it reaches down (0.6 to
        0.98), its free wall (1 to 8 mm).
    base_lps, axis_lps, septum_lps : 3 floats
        Centre of the end-diastolic valve plane (mm); unit vector from base to apex; direction from the left
        to the right ventricle (made perpendicular to the axis).

    Raises
    ------
    InputError
        A value outside its range, or regions so still that the rest cannot eject the volume.
    """

    edv_ml: float = 140.0
    ef: float = 0.60
    rv_edv_ml: float = 155.0
    wall_mm: float = 9.0
    torsion_deg: float = 12.0
    atrial_share: float = 0.25
    elongation: float = 1.0
    oval: float = 0.0
    oval_deg: float = 90.0
    septal_mm: float = 0.0
    septal_deg: float = 0.0
    apical: float = 1.0
    regions: tuple[Region, ...] = ()
    delay: float = 0.0
    rv_half_angle_deg: float = 72.0
    rv_blunt: float = 0.75
    rv_reach: float = 0.9
    rv_wall_mm: float = 3.0
    base_lps: tuple[float, float, float] = (12.0, -18.0, 10.0)
    axis_lps: tuple[float, float, float] = (0.66, -0.57, -0.49)
    septum_lps: tuple[float, float, float] = (-0.736, -0.411, -0.51)

    def __post_init__(self) -> None:
        """Refuse a heart that could not beat."""
        for name, low, high in (
            ("edv_ml", 60.0, 350.0),
            ("ef", 0.10, 0.78),
            ("wall_mm", 4.0, 20.0),
            ("torsion_deg", 0.0, 25.0),
            ("atrial_share", 0.0, 0.5),
            ("elongation", 0.75, 1.3),
            ("oval", 0.0, 0.25),
            ("septal_mm", -3.0, 12.0),
            ("apical", 0.4, 1.5),
            ("delay", 0.0, 0.15),
            ("rv_half_angle_deg", 50.0, 90.0),
            ("rv_blunt", 0.4, 1.5),
            ("rv_reach", 0.6, 0.98),
            ("rv_wall_mm", 1.0, 8.0),
            ("rv_edv_ml", self.edv_ml * self.ef + 20.0, 500.0),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} = {value}", needed=f"{low:g} to {high:g}", fix=f"change {name}")
        most = float(self._effort(ES_PHASE))
        if self.regions:
            depth, theta = self._walls
            most *= max(1.0, float(wall.motion(self.regions, theta, depth / self.span_mm).max()))
        if most >= 1.0:
            raise InputError(
                f"an ejection fraction of {self.ef:g} with regions that do not contract",
                needed="a rest of the wall that can eject so much",
                fix="lower ef, or make the regions smaller",
            )

    # ---- shape at end-diastole -------------------------------------------------------------------

    @property
    def length_mm(self) -> float:
        """Long axis of the cavity at end-diastole, valve plane to endocardial apex [mm]."""
        return float(90.0 * self.elongation * (self.edv_ml / 141.65) ** (1.0 / 3.0))

    @property
    def span_mm(self) -> float:
        """Valve plane to epicardial apex at end-diastole [mm]."""
        return self.length_mm + 0.9 * self.wall_mm

    @property
    def radius_mm(self) -> float:
        """Mean endocardial radius at the equator at end-diastole [mm], from the volume and the length."""
        return float(np.sqrt(self.edv_ml * 1e3 / _bowl(self.length_mm, self._equator)))

    @property
    def _equator(self) -> float:
        return 0.25 * self.length_mm

    def endocardium_mm(self, depth: Array, theta: Array | float = 0.0) -> Array:
        """Endocardial radius at end-diastole at material depth ``Z`` (mm) and angle (rad) [mm]."""
        round_mm = self.radius_mm * _arc(depth, self._equator, self.length_mm)
        if self.oval == 0.0:
            return round_mm + 0.0 * theta
        # The mean square of the factor over the angle is 1: an oval section holds what a round one holds.
        form = 1.0 + self.oval * np.cos(2.0 * (theta - np.deg2rad(self.oval_deg)))
        oval: Array = round_mm * form / np.sqrt(1.0 + self.oval**2 / 2.0)
        return oval

    def epicardium_mm(self, depth: Array, theta: Array | float = 0.0) -> Array:
        """Epicardial radius at end-diastole at material depth ``Z`` (mm) and angle (rad) [mm]."""
        even = (self.radius_mm + self.wall_mm) * _arc(depth, self._equator, self.span_mm)
        even = even - self.radius_mm * _arc(depth, self._equator, self.length_mm)
        down = np.clip(depth / self.span_mm, 0.0, 1.0)
        more = 1.0 + self.septal_mm / self.wall_mm * np.cos(theta - np.deg2rad(self.septal_deg))
        more = np.maximum(more, 0.25) * (1.0 + (self.apical - 1.0) * np.clip(2.0 * down - 1.0, 0.0, 1.0))
        if self.regions:
            more = more * wall.thickness(self.regions, np.asarray(theta), np.asarray(down))
        outer: Array = self.endocardium_mm(depth, theta) + even * more
        return outer

    # ---- motion ----------------------------------------------------------------------------------

    def along(self, phase: Array | float) -> Array:
        """Long-axis stretch ``s`` of a phase: 1 at end-diastole, below 1 as the base descends."""
        stretch: Array = 1.0 - 0.25 * self.ef * contraction(phase, self.atrial_share)
        return stretch

    def _effort(self, phase: Array | float) -> Array:
        """``E``: how much smaller the squared endocardial radius is where the wall moves as the rest."""
        left = 1.0 - self.ef * contraction(phase, self.atrial_share)
        effort: Array = (1.0 - left / self.along(phase)) / self._mean_motion
        return effort

    def across(self, theta: Array | float, depth: Array, phase: float) -> Array:
        """Endocardial stretch ``k`` at material angles (rad) and depths (mm) at a phase."""
        now = float(np.mod(phase, 1.0))
        late: Array | float = now
        if self.delay:
            # A late wall waits, then follows; what it lags fades out before the next beat begins.
            lag = self.delay * float(_smooth(np.asarray((1.0 - now) / 0.4)))
            late = np.maximum(now - lag * (1.0 - np.cos(theta)) / 2.0, 0.0)
        effort = self._effort(late)
        if self.regions:
            down = np.clip(depth / self.span_mm, 0.0, 1.0)
            effort = effort * wall.motion(self.regions, np.asarray(theta), np.asarray(down))
        stretch: Array = np.sqrt(np.maximum(1.0 - effort, 1e-4))
        return stretch

    def move(self, points_mm: Array, phase: float) -> Array:
        """Carry material points of end-diastole to a phase.

        Parameters
        ----------
        points_mm : (..., 3)
            Points of the left ventricular wall in the heart's own axes (septum, across, base to apex), mm.
        phase : float
            Fraction of the beat.

        Returns
        -------
        (..., 3) float64
            The same points at ``phase``; det F = 1.
        """
        x, y, depth = np.moveaxis(np.asarray(points_mm, dtype=np.float64), -1, 0)
        theta = np.arctan2(y, x)
        along = float(self.along(phase))
        inner = self.endocardium_mm(depth, theta)
        now = self.across(theta, depth, phase) * inner
        radius = np.sqrt(np.maximum((x**2 + y**2 - inner**2) / along + now**2, 0.0))
        angle = theta + self._twist(depth, phase)
        z = self.span_mm - along * (self.span_mm - depth)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=-1)

    def rest(self, points_mm: Array, phase: float) -> Array:
        """Return where the muscle now at points was at end-diastole: the inverse of `move`.

        Parameters
        ----------
        points_mm : (..., 3)
            Points in the heart's own axes at ``phase``, mm. In the wall the answer is exact; outside it the
            same formula is followed, and in the cavity, where no wall is, the radius grows with the cavity's.
        phase : float
            Fraction of the beat.
        """
        x, y, z = np.moveaxis(np.asarray(points_mm, dtype=np.float64), -1, 0)
        along = float(self.along(phase))
        depth = self.span_mm - (self.span_mm - z) / along
        theta = np.arctan2(y, x) - self._twist(depth, phase)
        inner = self.endocardium_mm(depth, theta)
        now = self.across(theta, depth, phase) * inner
        beyond = x**2 + y**2 - now**2
        inside = np.hypot(x, y) * inner / np.maximum(now, 1e-6)
        radius = np.where(beyond < 0.0, inside, np.sqrt(np.maximum(beyond * along + inner**2, 0.0)))
        return np.stack([radius * np.cos(theta), radius * np.sin(theta), depth], axis=-1)

    def _twist(self, depth: Array, phase: float) -> Array:
        turn = np.deg2rad(self.torsion_deg) * float(contraction(phase, self.atrial_share))
        twist: Array = turn * (self.span_mm - depth) / self.span_mm
        return twist

    # ---- exact truth -----------------------------------------------------------------------------

    def lv_ml(self, phase: Array | float) -> Array:
        """Left ventricular cavity volume [mL], papillary muscles included; an integral if ``delay``."""
        if self.delay == 0.0:
            left: Array = self.edv_ml * (1.0 - self.ef * contraction(phase, self.atrial_share))
            return left
        depth, theta = self._walls
        square = self.endocardium_mm(depth, theta) ** 2
        kept = [
            float(self.along(p) * np.sum(square * self.across(theta, depth, float(p)) ** 2) / np.sum(square))
            for p in np.ravel(phase)
        ]
        return self.edv_ml * np.reshape(kept, np.shape(phase))

    def rv_ml(self, phase: Array | float) -> Array:
        """Right ventricular cavity volume [mL]: it ejects what the left one ejects."""
        return self.rv_edv_ml - (self.edv_ml - self.lv_ml(phase))

    @cached_property
    def mass_g(self) -> float:
        """Mass of the left ventricular wall [g], papillary muscles excluded; the same at all phases."""
        depth, theta = self._walls
        outer = self.epicardium_mm(depth, theta) ** 2 - self.endocardium_mm(depth, theta) ** 2
        return MUSCLE_G_PER_ML * float(outer.mean()) * np.pi * self.span_mm / 1e3

    @property
    def _walls(self) -> tuple[Array, Array]:
        """Depths (m, 1) and angles (1, n) of the middles of equal cells of the wall."""
        depth = (np.arange(_RINGS) + 0.5) / _RINGS * self.span_mm
        theta = (np.arange(_SPOKES) + 0.5) / _SPOKES * 2 * np.pi - np.pi
        return depth[:, None], theta[None, :]

    @cached_property
    def _mean_motion(self) -> float:
        """Share of the contraction kept, over the cavity."""
        if not self.regions:
            return 1.0
        depth, theta = self._walls
        square = self.endocardium_mm(depth, theta) ** 2
        kept = wall.motion(self.regions, theta, depth / self.span_mm)
        mean = float(np.sum(kept * square) / np.sum(square))
        if mean <= 0.05:
            raise InputError("regions that leave nothing to contract", needed="a wall that moves")
        return mean

    def crescent_mm(self, phase: float) -> float:
        """Greatest thickness ``D`` of the right ventricular cavity [mm], from its volume.

        Solves ``V = s (D int int h g B + D^2/2 int int h^2 g^2)`` over angle and depth, ``B`` the wall.
        """
        along = float(self.along(phase))
        depth, theta = self._walls
        outer = self._outer(depth, theta - self._twist(depth, phase), phase)
        profile, taper = self.crescent(theta), self._taper(depth)
        cell = along * self.span_mm / _RINGS * 2 * np.pi / _SPOKES
        linear = cell * float(np.sum(taper * profile * outer))
        square = cell * 0.5 * float(np.sum(taper**2 * profile**2))
        volume = float(self.rv_ml(phase)) * 1e3
        return float((-linear + np.sqrt(linear**2 + 4.0 * square * volume)) / (2.0 * square))

    def crescent(self, theta: Array) -> Array:
        """Profile g of the right ventricle's thickness: 1 at mid-septum, 0 beyond the insertions."""
        half = np.deg2rad(self.rv_half_angle_deg)
        wave = np.cos(np.clip(theta / half, -1.0, 1.0) * (np.pi / 2.0))
        profile: Array = np.maximum(wave, 0.0) ** self.rv_blunt * (np.abs(theta) < half)
        return profile

    def _taper(self, depth: Array) -> Array:
        down = np.clip(depth / (self.rv_reach * self.span_mm), 0.0, 1.0)
        taper: Array = np.sqrt(1.0 - down**2)
        return taper

    def _outer(self, depth: Array, theta: Array, phase: float) -> Array:
        """Epicardial radius at a phase at material depths and angles [mm]."""
        inner = self.endocardium_mm(depth, theta)
        square = (self.epicardium_mm(depth, theta) ** 2 - inner**2) / self.along(phase)
        outer: Array = np.sqrt(square + (self.across(theta, depth, phase) * inner) ** 2)
        return outer

    # ---- labels ----------------------------------------------------------------------------------

    @cached_property
    def axes_lps(self) -> Array:
        """Unit vectors (3, 3): towards the right ventricle, across, base to apex; right-handed, LPS."""
        axis = np.asarray(self.axis_lps) / np.linalg.norm(self.axis_lps)
        septum = np.asarray(self.septum_lps) - np.dot(self.septum_lps, axis) * axis
        septum /= np.linalg.norm(septum)
        return np.stack([septum, np.cross(axis, septum), axis])

    def place(self, points_lps: Array) -> Sites:
        """Express points (..., 3) of LPS space [mm] in the coordinates of the heart."""
        local = (np.asarray(points_lps) - np.asarray(self.base_lps)) @ self.axes_lps.T
        x, y, z = (np.ascontiguousarray(local[..., i], dtype=np.float32) for i in range(3))
        theta = np.arctan2(y, x)
        crescent = self.crescent(theta).astype(np.float32)
        return Sites(local.astype(np.float32), z, np.hypot(x, y), theta, crescent)

    def label_at(self, points_lps: Array, phase: float) -> Labels:
        """Return the label (`BACKGROUND` ... `EPICARDIAL_FAT`) at points (..., 3) of LPS space [mm]."""
        return self.label(self.place(points_lps), phase)

    def label(self, sites: Sites, phase: float) -> Labels:
        """Return the label of every site at a phase; shape of ``sites.z``, uint8."""
        along = float(self.along(phase))
        span, thick = self.span_mm, self.crescent_mm(phase)
        depth = (span - (span - sites.z) / along).astype(np.float32)
        ventricles = (depth >= 0.0) & (depth <= span + 12.0)
        size = (self.edv_ml / 140.0) ** (1.0 / 3.0)
        labels = above_the_valves(sites.xyz, depth < 0.0, span * (1.0 - along), size, self.axes_lps)
        d, r, g = depth[ventricles], sites.radius[ventricles], sites.crescent[ventricles]
        theta = sites.theta[ventricles] - self._twist(d, phase)
        inner = self.across(theta, d, phase) * self.endocardium_mm(d, theta)
        outer = self._outer(d, theta, phase)
        below = d > span
        rv = outer + g * thick * self._taper(d)
        on_right = (g > 0.0) & (d < self.rv_reach * span)
        free_wall = rv + np.where(on_right, self.rv_wall_mm, 0.0)
        fat = free_wall + np.where(below, 0.0, np.where(g > 0.0, 4.0, 1.0))
        here = np.full(d.shape, BACKGROUND, dtype=np.uint8)
        here[(r < fat) & ~below] = EPICARDIAL_FAT
        here[r < free_wall] = RV_WALL
        here[(r < rv) & on_right] = RV
        here[r < outer] = MYOCARDIUM
        here[r < inner] = LV
        here[self._papillary(theta, r, inner, d) & (here == LV)] = PAPILLARY
        labels[ventricles] = here
        return labels

    def _papillary(self, theta: Array, r: Array, inner: Array, depth: Array) -> Flags:
        """Whether a point lies in one of the two papillary muscles."""
        inside = np.zeros(r.shape, dtype=bool)
        level = (depth > 0.32 * self.length_mm) & (depth < 0.72 * self.length_mm)
        for at in _PAPILLARY_AT:
            square = r**2 + (0.66 * inner) ** 2 - 2.0 * r * 0.66 * inner * np.cos(theta - at)
            inside |= level & (square < (0.07 * self.radius_mm + 0.11 * inner) ** 2)
        return inside


def _arc(depth: Array, equator: float, end: float) -> Array:
    """Profile of an ellipsoid: 1 at the equator, 0 at the end and beyond it."""
    arc: Array = np.sqrt(np.maximum(1.0 - ((depth - equator) / (end - equator)) ** 2, 0.0))
    return arc


def _bowl(end: float, equator: float) -> float:
    """Volume of ``pi arc^2`` from the valve plane (0) to ``end``, for radius 1 [mm]."""
    reach = end - equator
    return float(np.pi * (end - (reach**3 + equator**3) / (3.0 * reach**2)))
