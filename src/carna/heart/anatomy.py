"""An idealised pair of ventricles: shapes with known volumes, voxelised at any spacing.

In the heart's own coordinates (`carna.heart.axes`), ``z`` from the base plane (0) to the apex, every surface
is a truncated ellipsoid: its cross-sections are circles of radius ``R arc(z)``, where ``arc`` is 1 at the
equator (a quarter of the cavity's length below the base) and 0 at the surface's end::

    left cavity     radius R          ends at L             centre on the axis
    left wall       radius R + w      ends at L + 0.9 w     centre on the axis
    right cavity    radius B          ends at 0.92 (L + 0.9 w); what of it lies outside the left wall
    right wall      radius B + v      ends v deeper; what of it lies outside the left wall and the cavity

The right circles are centred on the septal side at ``d`` times the left wall's arc, so that the right
ventricle bends with the left one and closes before its apex. ``B`` and ``d`` follow from the volume and from
the angle at which the right ventricle inserts at the equator. Its outflow is a tube above the base plane,
against the anterior end of the septum. Volumes are integrals of areas of circles and their lenses over ``z``.

The default is a man's mean heart: left cavity 160 mL and 134 g of wall (Kawel-Boehm 2015,
doi:10.1186/s12968-015-0111-7), right cavity 190 mL (Hudsmith 2005, doi:10.1080/10976640500295516) about
45 g of wall (Doherty 1992, doi:10.1016/0002-9149(92)90940-Z). Simplifications: round cross-sections, an even
wall, flat base, no valves, papillary muscles or trabeculae; the right ventricle's shape is made to fit its
volume.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.heart.axes import Axes
from carna.space import Floats, Grid

__all__ = [
    "BACKGROUND", "LV_CAVITY", "LV_WALL", "OPENING", "RV_CAVITY", "RV_WALL", "SEPTUM", "Anatomy", "Labels",
]  # fmt: skip

Labels = npt.NDArray[np.uint8]

BACKGROUND, LV_WALL, SEPTUM, RV_WALL, LV_CAVITY, RV_CAVITY, OPENING = range(7)
# OPENING lies above the cut base: neither a cavity nor the outside, so no surface of the muscle is there.

MUSCLE_G_PER_ML = 1.05
_REACH = 0.92  # part of the left ventricle's length that the right cavity's ellipsoid reaches down


@dataclass(frozen=True)
class Anatomy:
    """Both ventricles at end-diastole.

    Parameters
    ----------
    lv_ml, rv_ml : float
        Cavity volumes, 60 to 400 mL; the right one includes its outflow.
    lv_wall_mm, rv_wall_mm : float
        Thickness of the walls at the equator: 4 to 25 and 1.5 to 12 mm.
    slenderness : float
        Length of the left cavity over its diameter at the equator, 1.2 to 2.6: dilated hearts are rounder.
    insertion_deg : float
        Angle from the middle of the septum to the right ventricle's insertion at the equator, 45 to 80.
    outflow_mm, outflow_radius_mm : float
        Length of the outflow above the base plane, 0 to 40 mm, and radius of its lumen, 6 to 18 mm
        (narrower where the right ventricle has no room for it).
    axes : Axes
        Where the heart lies.

    Raises
    ------
    InputError
        A value outside its range, or a right volume that no shape of this kind reaches.
    """

    lv_ml: float = 160.0
    rv_ml: float = 190.0
    lv_wall_mm: float = 8.0
    rv_wall_mm: float = 2.9
    slenderness: float = 1.75
    insertion_deg: float = 66.0
    outflow_mm: float = 20.0
    outflow_radius_mm: float = 12.0
    axes: Axes = field(default_factory=Axes)

    def __post_init__(self) -> None:
        """Refuse a heart outside the ranges."""
        for name, low, high in (
            ("lv_ml", 60.0, 400.0),
            ("rv_ml", 60.0, 400.0),
            ("lv_wall_mm", 4.0, 25.0),
            ("rv_wall_mm", 1.5, 12.0),
            ("slenderness", 1.2, 2.6),
            ("insertion_deg", 45.0, 80.0),
            ("outflow_mm", 0.0, 40.0),
            ("outflow_radius_mm", 6.0, 18.0),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} = {value}", needed=f"{low:g} to {high:g}", fix=f"change {name}")
        # Solved now, so that a heart that exists is a possible one.
        _ = self.rv_offset_mm

    # ---- sizes -----------------------------------------------------------------------------------

    @cached_property
    def length_mm(self) -> float:
        """Long axis of the left cavity, base plane to tip [mm]."""
        return float((self.lv_ml * 1e3 * 4 * self.slenderness**2 / _bowl(1.0, 0.25)) ** (1 / 3))

    @cached_property
    def equator_mm(self) -> float:
        """Depth of the widest level [mm]."""
        return 0.25 * self.length_mm

    @cached_property
    def radius_mm(self) -> float:
        """Radius of the left cavity at the equator [mm]."""
        return self.length_mm / (2 * self.slenderness)

    @cached_property
    def span_mm(self) -> float:
        """Base plane to the outside of the apex [mm]."""
        return self.length_mm + 0.9 * self.lv_wall_mm

    @cached_property
    def rv_offset_mm(self) -> float:
        """Distance ``d`` of the right circles' centre from the long axis at the equator [mm]."""
        low, high = 0.05 * self._outer, 6.0 * self._outer
        if not self._rv_ml_at(low) < self.rv_ml < self._rv_ml_at(high):
            raise InputError(
                f"a right ventricle of {self.rv_ml:g} mL beside a left one of {self.lv_ml:g} mL",
                needed="a volume that a crescent of this insertion can hold",
                fix="change rv_ml or insertion_deg",
            )
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self._rv_ml_at(middle) < self.rv_ml else (low, middle)
        return 0.5 * (low + high)

    @cached_property
    def rv_radius_mm(self) -> float:
        """Radius ``B`` of the right circles at the equator [mm]."""
        return self._rv_radius(self.rv_offset_mm)

    @property
    def _outer(self) -> float:
        return self.radius_mm + self.lv_wall_mm

    def _rv_radius(self, offset: float) -> float:
        square = (
            self._outer**2 + offset**2 - 2 * self._outer * offset * np.cos(np.radians(self.insertion_deg))
        )
        return float(np.sqrt(square))

    # ---- circles at a depth ----------------------------------------------------------------------

    def lv_radii_mm(self, z: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Inner and outer radius of the left wall at depths ``z`` mm; 0 beyond their ends."""
        inner = self.radius_mm * _arc(z, self.equator_mm, self.length_mm)
        return inner, self._outer * _arc(z, self.equator_mm, self.span_mm)

    def rv_circles_mm(self, z: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Centre (along ``x``), inner and outer radius of the right circles at depths ``z`` mm."""
        return self._rv_circles(z, self.rv_offset_mm)

    def _rv_circles(self, z: npt.ArrayLike, offset: float) -> tuple[Floats, Floats, Floats]:
        radius, end, wall = self._rv_radius(offset), _REACH * self.span_mm, self.rv_wall_mm
        centre = offset * _arc(z, self.equator_mm, self.span_mm)
        inner = radius * _arc(z, self.equator_mm, end)
        return centre, inner, (radius + wall) * _arc(z, self.equator_mm, end + wall)

    @cached_property
    def outflow_xy_mm(self) -> tuple[float, float]:
        """Where the outflow's axis stands on the base plane: beside the left rim, inside the right circle."""
        rim = float(self.lv_radii_mm(0.0)[1])
        centre, inner, _ = (float(v) for v in self.rv_circles_mm(0.0))
        near, far = rim + self.rv_wall_mm + self.lumen_mm, inner - self.lumen_mm
        x = (near**2 - far**2 + centre**2) / (2 * centre)
        return x, -float(np.sqrt(max(near**2 - x**2, 0.0)))

    @cached_property
    def lumen_mm(self) -> float:
        """Radius of the outflow's lumen [mm]: as asked for, or less where the right ventricle is narrow."""
        return self._lumen(self.rv_offset_mm)

    def _lumen(self, offset: float) -> float:
        centre, inner, _ = (float(v) for v in self._rv_circles(0.0, offset))
        room = centre + inner - float(self.lv_radii_mm(0.0)[1]) - self.rv_wall_mm
        return min(self.outflow_radius_mm, 0.4 * max(room, 0.0))

    # ---- volumes ---------------------------------------------------------------------------------

    @cached_property
    def lv_wall_ml(self) -> float:
        """Left wall, septum included [mL], closed form."""
        return float(self._outer**2 * _bowl(self.span_mm, self.equator_mm) / 1e3 - self.lv_ml)

    @cached_property
    def rv_wall_ml(self) -> float:
        """Right wall, outflow included [mL], by quadrature over the depth."""
        z, step = _levels(self.span_mm)
        centre, _, outer = self.rv_circles_mm(z)
        whole = float((_outside(self.lv_radii_mm(z)[1], outer, centre)).sum() * step / 1e3)
        return whole + self._tube_ml(self.lumen_mm + self.rv_wall_mm) - self._rv_ml_at(self.rv_offset_mm)

    @property
    def tissue_ml(self) -> float:
        """All muscle [mL]."""
        return self.lv_wall_ml + self.rv_wall_ml

    def _tube_ml(self, radius: float) -> float:
        return float(np.pi * radius**2 * self.outflow_mm / 1e3)

    def _rv_ml_at(self, offset: float) -> float:
        """Right cavity, outflow included [mL], for an offset of its circles."""
        z, step = _levels(self.span_mm)
        centre, inner, _ = self._rv_circles(z, offset)
        below = float(_outside(self.lv_radii_mm(z)[1], inner, centre).sum() * step / 1e3)
        return below + self._tube_ml(self._lumen(offset))

    # ---- voxels ----------------------------------------------------------------------------------

    def grid(self, spacing_mm: float = 0.4) -> Grid:
        """Return a grid along the heart's axes (k to the apex, r inferior, c to the right) that holds it."""
        if not 0.1 <= spacing_mm <= 3.0:
            raise InputError(f"a spacing of {spacing_mm} mm", needed="0.1 to 3 mm")
        pad = 3.0 * spacing_mm
        centre, _, outer = self.rv_circles_mm(self.equator_mm)
        across = max(self._outer, float(outer)) + pad
        low = np.array([-self._outer - pad, -across, -self.outflow_mm - pad])
        high = np.array([float(centre + outer) + pad, across, self.span_mm + pad])
        # Voxel faces, not centres, lie on the base plane: the cut is then exact at every spacing.
        low = (np.floor(low / spacing_mm) + 0.5) * spacing_mm
        sizes = np.ceil((high - low) / spacing_mm).astype(int)
        affine = np.eye(4)
        affine[:3, :3] = self.axes.matrix[::-1].T * spacing_mm
        affine[:3, 3] = self.axes.to_lps(low)
        return Grid((int(sizes[2]), int(sizes[1]), int(sizes[0])), affine)

    def labels(self, grid: Grid) -> Labels:
        """Return the label of every voxel's centre (`BACKGROUND` ... `OPENING`), shape of the grid, uint8."""
        to_heart = self.axes.of_index(grid).astype(np.float32)
        band = 1.8 * max(grid.spacing_mm)
        labels = np.empty(grid.shape, np.uint8)
        r, c = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in grid.shape[1:]), indexing="ij")
        across = [to_heart[i, 1] * r + to_heart[i, 2] * c + to_heart[i, 3] for i in range(3)]
        for k in range(grid.shape[0]):  # slice by slice: the memory of a few slices, whatever the spacing
            x, y, z = (across[i] + to_heart[i, 0] * np.float32(k) for i in range(3))
            labels[k] = self._label(x, y, z, band)
        return labels

    def _label(
        self, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], z: npt.NDArray[np.float32], band: float
    ) -> Labels:
        inner, outer = self.lv_radii_mm(z)
        centre, rv_inner, rv_outer = self.rv_circles_mm(z)
        radius, off = np.hypot(x, y), np.hypot(x - centre, y)
        here = np.zeros(z.shape, np.uint8)
        below = z >= 0.0
        here[below & (off < rv_outer)] = RV_WALL
        here[below & (off < rv_inner)] = RV_CAVITY
        left = below & (radius < outer)
        here[left] = LV_WALL
        ahead = outer / np.maximum(radius, 1e-6)  # the point of the left wall's surface straight outwards
        here[left & (np.hypot(x * ahead - centre, y * ahead) < rv_inner)] = SEPTUM
        here[below & (radius < inner)] = LV_CAVITY
        above = ~below & (z >= -band)
        here[above & ((radius < float(self.lv_radii_mm(0.0)[1]) + band) | (off < rv_outer + band))] = OPENING
        if self.outflow_mm > 0.0:
            at_x, at_y = self.outflow_xy_mm
            away = np.hypot(x - at_x, y - at_y)
            tube = ~below & (z >= -self.outflow_mm)
            wall = self.lumen_mm + self.rv_wall_mm
            here[tube & (away < wall)] = RV_WALL
            here[tube & (away < self.lumen_mm)] = RV_CAVITY
            here[(z < -self.outflow_mm) & (z >= -self.outflow_mm - band) & (away < wall + band)] = OPENING
        return here


def _arc(z: npt.ArrayLike, equator: float, end: float) -> Floats:
    """Profile of an ellipsoid: 1 at the equator, 0 at the end and beyond it."""
    return np.asarray(np.sqrt(np.maximum(1.0 - ((np.asarray(z) - equator) / (end - equator)) ** 2, 0.0)))


def _bowl(end: float, equator: float) -> float:
    """Integral of ``pi arc^2`` from the base plane to ``end``: the volume at radius 1."""
    reach = end - equator
    return float(np.pi * (end - (reach**3 + equator**3) / (3.0 * reach**2)))


def _levels(span: float, count: int = 2000) -> tuple[Floats, float]:
    """Midpoints for the integrals over the depth, and their distance."""
    return np.asarray((np.arange(count) + 0.5) * (span / count)), span / count


def _outside(left: Floats, right: Floats, distance: Floats) -> Floats:
    """Area of a circle of radius ``right`` outside one of radius ``left`` (the circle less their lens)."""
    a, b, d = (np.maximum(v, 1e-9) for v in (left, right, distance))
    at_a = np.clip((d**2 + a**2 - b**2) / (2 * d * a), -1.0, 1.0)
    at_b = np.clip((d**2 + b**2 - a**2) / (2 * d * b), -1.0, 1.0)
    half = np.maximum((a + b - d) * (d + a - b) * (d - a + b) * (d + a + b), 0.0)
    lens = a**2 * np.arccos(at_a) + b**2 * np.arccos(at_b) - 0.5 * np.sqrt(half)
    return np.asarray(np.pi * right**2 - np.where(right > 0.0, lens, 0.0))
