"""A beating heart whose every volume and every displacement is known in closed form.

The left ventricle is a truncated ellipsoid in a muscular shell, in cylindrical coordinates about its long
axis: ``Z`` runs from the valve plane (0) to the epicardial apex (`Heart.span_mm`). A material point
``(r, theta, Z)`` of end-diastole moves to ::

    z = span - s (span - Z)                       the apex rests, the base descends
    R^2 = (r^2 - a(Z)^2) / s + (k a(Z))^2         the wall keeps its volume
    theta' = theta + torsion (span - Z) / span

with long-axis stretch ``s`` and endocardial stretch ``k`` of the phase, ``a(Z)`` the endocardial radius at
end-diastole. The Jacobian determinant is ``(R dR/dr / r) s = 1`` everywhere: the muscle is exactly
incompressible. The cavity holds ``s k^2`` times its end-diastolic volume, so an ejection fraction is
reached exactly with ``k^2 = (1 - ef c) / s``, ``c`` the contraction (0 at end-diastole, 1 at end-systole).

The right ventricle is a crescent on the left one: its thickness is ``D h(Z) g(theta)``, its volume a
quadratic in ``D``; ``D`` is solved so that both ventricles eject the same volume. Papillary muscles count as
cavity, as in most labelled sets. Known simplifications: round cross-sections, no regional disease, flat
valve plane, atria and great vessels only as scenery.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

Array = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]

# Labels. 1 to 3 follow the usual order of labelled short-axis sets.
BACKGROUND, RV, MYOCARDIUM, LV = 0, 1, 2, 3
PAPILLARY, RV_WALL, ATRIUM, ATRIAL_WALL, VESSEL, EPICARDIAL_FAT = 4, 5, 6, 7, 8, 9
LV_CAVITY = (LV, PAPILLARY)

ES_PHASE = 0.35  # fraction of the beat at which the ventricles are smallest
MUSCLE_G_PER_ML = 1.05

_RV_HALF_ANGLE = np.deg2rad(72.0)  # from the middle of the septum to the insertion
_RV_BLUNT = 0.75  # exponent of the crescent's profile; below 1 the ends are blunt
_RV_REACH = 0.9  # fraction of the long axis that the right ventricle reaches down
_PAPILLARY_AT = np.deg2rad([130.0, 235.0])
_ROOF_MM = -44.0  # z of the roof of the atria


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


@dataclass(frozen=True, slots=True)
class Heart:
    """Both ventricles of one person at every phase.

    Parameters
    ----------
    edv_ml : float
        End-diastolic volume of the left ventricle, 60 to 350 mL.
    ef : float
        Ejection fraction of the left ventricle, 0.20 to 0.75.
    rv_edv_ml : float
        End-diastolic volume of the right ventricle, mL; must exceed the stroke volume by 20 mL.
    wall_mm : float
        End-diastolic wall thickness at the equator, 5 to 20 mm.
    torsion_deg : float
        Twist of the base against the apex at end-systole, 0 to 25 degrees.
    atrial_share : float
        See `contraction`.
    base_lps, axis_lps, septum_lps : 3 floats
        Centre of the end-diastolic valve plane (mm); unit vector from base to apex; direction from the left
        to the right ventricle (made perpendicular to the axis).

    Raises
    ------
    InputError
        A value outside its range.
    """

    edv_ml: float = 140.0
    ef: float = 0.60
    rv_edv_ml: float = 155.0
    wall_mm: float = 9.0
    torsion_deg: float = 12.0
    atrial_share: float = 0.25
    base_lps: tuple[float, float, float] = (12.0, -18.0, 10.0)
    axis_lps: tuple[float, float, float] = (0.66, -0.57, -0.49)
    septum_lps: tuple[float, float, float] = (-0.736, -0.411, -0.51)

    def __post_init__(self) -> None:
        """Refuse a heart that could not beat."""
        for name, value, low, high in (
            ("edv_ml", self.edv_ml, 60.0, 350.0),
            ("ef", self.ef, 0.20, 0.75),
            ("wall_mm", self.wall_mm, 5.0, 20.0),
            ("torsion_deg", self.torsion_deg, 0.0, 25.0),
            ("atrial_share", self.atrial_share, 0.0, 0.5),
            ("rv_edv_ml", self.rv_edv_ml, self.edv_ml * self.ef + 20.0, 500.0),
        ):
            if not low <= value <= high:
                raise InputError(f"{name} = {value}", needed=f"{low:g} to {high:g}", fix=f"change {name}")

    # ---- shape at end-diastole -------------------------------------------------------------------

    @property
    def length_mm(self) -> float:
        """Long axis of the cavity at end-diastole, valve plane to endocardial apex [mm]."""
        return float(90.0 * (self.edv_ml / 141.65) ** (1.0 / 3.0))

    @property
    def span_mm(self) -> float:
        """Valve plane to epicardial apex at end-diastole [mm]."""
        return self.length_mm + 0.9 * self.wall_mm

    @property
    def radius_mm(self) -> float:
        """Endocardial radius at the equator at end-diastole [mm], from the volume and the length."""
        return float(np.sqrt(self.edv_ml * 1e3 / _bowl(self.length_mm, self._equator)))

    @property
    def _equator(self) -> float:
        return 0.25 * self.length_mm

    def endocardium_mm(self, depth: Array) -> Array:
        """Endocardial radius at end-diastole at material depth ``Z`` (mm below the valve plane) [mm]."""
        return self.radius_mm * _arc(depth, self._equator, self.length_mm)

    def epicardium_mm(self, depth: Array) -> Array:
        """Epicardial radius at end-diastole at material depth ``Z`` [mm]."""
        return (self.radius_mm + self.wall_mm) * _arc(depth, self._equator, self.span_mm)

    # ---- motion ----------------------------------------------------------------------------------

    def stretch(self, phase: Array | float) -> tuple[Array, Array]:
        """Return the long-axis stretch ``s`` and the endocardial stretch ``k`` of a phase."""
        c = contraction(phase, self.atrial_share)
        along = 1.0 - 0.25 * self.ef * c
        return along, np.sqrt((1.0 - self.ef * c) / along)

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
        along, across = (float(v) for v in self.stretch(phase))
        inner = self.endocardium_mm(depth)
        radius = np.sqrt(np.maximum((x**2 + y**2 - inner**2) / along + (across * inner) ** 2, 0.0))
        angle = np.arctan2(y, x) + self._twist(depth, phase)
        z = self.span_mm - along * (self.span_mm - depth)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=-1)

    def _twist(self, depth: Array, phase: float) -> Array:
        turn = np.deg2rad(self.torsion_deg) * float(contraction(phase, self.atrial_share))
        twist: Array = turn * (self.span_mm - depth) / self.span_mm
        return twist

    # ---- exact truth -----------------------------------------------------------------------------

    def lv_ml(self, phase: Array | float) -> Array:
        """Left ventricular cavity volume [mL], exact, papillary muscles included."""
        left: Array = self.edv_ml * (1.0 - self.ef * contraction(phase, self.atrial_share))
        return left

    def rv_ml(self, phase: Array | float) -> Array:
        """Right ventricular cavity volume [mL]: it ejects what the left one ejects."""
        return self.rv_edv_ml - (self.edv_ml - self.lv_ml(phase))

    @property
    def mass_g(self) -> float:
        """Mass of the left ventricular wall [g], papillary muscles excluded; the same at all phases."""
        outer = (self.radius_mm + self.wall_mm) ** 2 * _bowl(self.span_mm, self._equator) / 1e3
        return MUSCLE_G_PER_ML * (outer - self.edv_ml)

    def crescent_mm(self, phase: float) -> float:
        """Greatest thickness ``D`` of the right ventricular cavity [mm], from its volume.

        Solves ``V = s (D int h B dZ int g dtheta + D^2/2 int h^2 dZ int g^2 dtheta)``.
        """
        along, across = (float(v) for v in self.stretch(phase))
        depth = np.linspace(0.0, self.span_mm, 801)
        inner = self.endocardium_mm(depth)
        wall = np.sqrt((self.epicardium_mm(depth) ** 2 - inner**2) / along + (across * inner) ** 2)
        taper = self._taper(depth)
        angle = np.linspace(-_RV_HALF_ANGLE, _RV_HALF_ANGLE, 4001)
        profile = _crescent(angle)
        linear = along * np.trapezoid(taper * wall, depth) * np.trapezoid(profile, angle)
        square = along * 0.5 * np.trapezoid(taper**2, depth) * np.trapezoid(profile**2, angle)
        volume = float(self.rv_ml(phase)) * 1e3
        return float((-linear + np.sqrt(linear**2 + 4.0 * square * volume)) / (2.0 * square))

    def _taper(self, depth: Array) -> Array:
        down = np.clip(depth / (_RV_REACH * self.span_mm), 0.0, 1.0)
        taper: Array = np.sqrt(1.0 - down**2)
        return taper

    # ---- labels ----------------------------------------------------------------------------------

    @property
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
        return Sites(local.astype(np.float32), z, np.hypot(x, y), theta, _crescent(theta).astype(np.float32))

    def label_at(self, points_lps: Array, phase: float) -> Labels:
        """Return the label (`BACKGROUND` ... `EPICARDIAL_FAT`) at points (..., 3) of LPS space [mm]."""
        return self.label(self.place(points_lps), phase)

    def label(self, sites: Sites, phase: float) -> Labels:
        """Return the label of every site at a phase; shape of ``sites.z``, uint8."""
        along, across = (float(v) for v in self.stretch(phase))
        span, thick = self.span_mm, self.crescent_mm(phase)
        depth = (span - (span - sites.z) / along).astype(np.float32)
        ventricles = (depth >= 0.0) & (depth <= span + 12.0)
        labels = self._above_the_valves(sites, depth < 0.0, span * (1.0 - along))
        d, r, g = depth[ventricles], sites.radius[ventricles], sites.crescent[ventricles]
        inner0 = self.endocardium_mm(d)
        inner = across * inner0
        outer = np.sqrt((self.epicardium_mm(d) ** 2 - inner0**2) / along + inner**2)
        below = d > span
        rv = outer + g * thick * self._taper(d)
        on_right = (g > 0.0) & (d < _RV_REACH * span)
        free_wall = rv + np.where(on_right, 3.0, 0.0)
        fat = free_wall + np.where(below, 0.0, np.where(g > 0.0, 4.0, 1.0))
        here = np.full(d.shape, BACKGROUND, dtype=np.uint8)
        here[(r < fat) & ~below] = EPICARDIAL_FAT
        here[r < free_wall] = RV_WALL
        here[(r < rv) & on_right] = RV
        here[r < outer] = MYOCARDIUM
        here[r < inner] = LV
        here[self._papillary(sites.theta[ventricles], r, inner, d, phase) & (here == LV)] = PAPILLARY
        labels[ventricles] = here
        return labels

    def _papillary(
        self, theta: Array, r: Array, inner: Array, depth: Array, phase: float
    ) -> npt.NDArray[np.bool_]:
        """Whether a point lies in one of the two papillary muscles."""
        inside = np.zeros(r.shape, dtype=bool)
        level = (depth > 0.32 * self.length_mm) & (depth < 0.72 * self.length_mm)
        twist = self._twist(depth, phase)
        for at in _PAPILLARY_AT:
            square = r**2 + (0.66 * inner) ** 2 - 2.0 * r * 0.66 * inner * np.cos(theta - at - twist)
            inside |= level & (square < (0.07 * self.radius_mm + 0.11 * inner) ** 2)
        return inside

    def _above_the_valves(self, sites: Sites, above: npt.NDArray[np.bool_], valve_mm: float) -> Labels:
        """Atria and great vessels: scenery whose floor moves with the valve plane."""
        labels = np.full(sites.z.shape, BACKGROUND, dtype=np.uint8)
        x, y, z = np.moveaxis(sites.xyz[above], -1, 0)
        here = np.full(z.shape, BACKGROUND, dtype=np.uint8)
        size = (self.edv_ml / 140.0) ** (1.0 / 3.0)
        middle, half = (valve_mm + _ROOF_MM) / 2.0, (valve_mm - _ROOF_MM) / 2.0
        atria = ((-6.0, 6.0, 25.0, 30.0), (50.0, 10.0, 24.0, 28.0))
        for margin, label in ((3.0, ATRIAL_WALL), (0.0, ATRIUM)):
            for at_x, at_y, wide, deep in atria:
                # A fourth power makes the atrial floor broad where it meets the valve plane.
                form = ((x - at_x * size) / (wide * size + margin)) ** 2
                form += ((y - at_y * size) / (deep * size + margin)) ** 2
                form += ((z - middle) / (half + 2.0 + margin)) ** 4
                here[form < 1.0] = label
        septum, across, axis = self.axes_lps
        up_x, up_y, up_z = septum[2], across[2], axis[2]  # superior, in the heart's axes
        vessels = (
            ((17.0, -17.0, valve_mm), (up_x + 0.35, up_y, up_z - 0.45), 13.0),  # aorta
            ((26.0, -44.0, valve_mm + 4.0), (up_x - 0.5, up_y + 0.1, up_z - 0.2), 12.0),  # pulmonary trunk
        )
        for margin, label in ((2.0, ATRIAL_WALL), (0.0, VESSEL)):
            for foot, course, radius in vessels:
                way = np.asarray(course) / np.linalg.norm(course)
                rel = (x - foot[0] * size, y - foot[1] * size, z - foot[2])
                run = rel[0] * way[0] + rel[1] * way[1] + rel[2] * way[2]
                off = rel[0] ** 2 + rel[1] ** 2 + rel[2] ** 2 - run**2
                inside = (off < (radius * size + margin) ** 2) & (run > -6.0) & (run < 75.0)
                here[inside & ~((here == VESSEL) & (label == ATRIAL_WALL))] = label
        labels[above] = here
        return labels


def _arc(depth: Array, equator: float, end: float) -> Array:
    """Profile of an ellipsoid: 1 at the equator, 0 at the end and beyond it."""
    arc: Array = np.sqrt(np.maximum(1.0 - ((depth - equator) / (end - equator)) ** 2, 0.0))
    return arc


def _bowl(end: float, equator: float) -> float:
    """Volume of ``pi arc^2`` from the valve plane (0) to ``end``, for radius 1 [mm]."""
    reach = end - equator
    return float(np.pi * (end - (reach**3 + equator**3) / (3.0 * reach**2)))


def _crescent(theta: Array) -> Array:
    """Profile g(theta) of the right ventricle's thickness: 1 at mid-septum, 0 beyond the insertions."""
    wave = np.cos(np.clip(theta / _RV_HALF_ANGLE, -1.0, 1.0) * (np.pi / 2.0))
    profile: Array = np.maximum(wave, 0.0) ** _RV_BLUNT * (np.abs(theta) < _RV_HALF_ANGLE)
    return profile
