"""A pair of ventricles with everything an engine asks of them: one object, from an anatomy or from labels.

>>> from carna.heart.ventricles import ventricles
>>> heart = ventricles(spacing_mm=2.0)
>>> heart.mask.shape == heart.grid.shape and bool(heart.segment.max() == 17)
True

Values are held for the voxels of muscle only, in the order of the grid (a heart fills a fifth of its box);
`Ventricles.spread` puts any of them on the grid. Vectors are in grid axes (k, r, c), as the engines want
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.heart.anatomy import LV_WALL, RV_WALL, Anatomy, Labels
from carna.heart.axes import Axes
from carna.heart.coordinates import Coordinates, coordinates
from carna.heart.fibres import Angles, fibres
from carna.heart.scar import Infarct, regions
from carna.heart.segments import cavity_end, middle_of_septum, segments
from carna.space import Floats, Grid

__all__ = ["ENDO", "EPI", "MID", "Ventricles", "ventricles", "ventricles_of"]

Floats32 = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
T = TypeVar("T", bound=np.generic)

ENDO, MID, EPI = range(3)


@dataclass(frozen=True, slots=True, eq=False)
class Ventricles:
    """Both ventricles on a grid.

    Attributes
    ----------
    grid : Grid
    axes : Axes
    labels : (k, r, c) uint8
        `carna.heart.anatomy.BACKGROUND` ... ``OPENING``.
    at : Coordinates
        Place of each of the n voxels of muscle; ``at.where`` are their flat indices.
    fibre, sheet : (n, 3) float32
        Unit vectors in grid axes; the sheet normal is their cross product.
    segment : (n,) uint8
        1 to 17; 0 in the right ventricle's free wall.
    region : (n,) uint8
        `carna.heart.scar.HEALTHY`, ``GREY``, ``SCAR``.
    """

    grid: Grid
    axes: Axes
    labels: Labels
    at: Coordinates
    fibre: Floats32
    sheet: Floats32
    segment: Bytes
    region: Bytes

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Muscle, (k, r, c) bool; scar included."""
        return (self.labels >= LV_WALL) & (self.labels <= RV_WALL)

    @property
    def fibres(self) -> Floats32:
        """Fibre directions on the grid, (k, r, c, 3), 0 outside the muscle."""
        return self.spread(self.fibre)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Spacing along k, r, c [mm]."""
        return self.grid.spacing_mm

    @property
    def tissue_ml(self) -> float:
        """Volume of the muscle [mL]."""
        return len(self.at.where) * self.grid.voxel_ml

    @property
    def points_lps(self) -> Floats:
        """Centres of the voxels of muscle, (n, 3) LPS mm."""
        return self.grid.to_world(np.stack(np.unravel_index(self.at.where, self.grid.shape), axis=1))

    @property
    def cell_type(self) -> Bytes:
        """`ENDO`, `MID` or `EPI` by thirds of the wall, (n,) uint8; in the septum from left to right."""
        return np.asarray(np.minimum(self.at.transmural * 3.0, 2.0), np.uint8)

    def spread(self, values: npt.NDArray[T]) -> npt.NDArray[T]:
        """Return values (n, ...) of the voxels of muscle as an array (k, r, c, ...), 0 elsewhere."""
        if len(values) != len(self.at.where):
            raise InputError(f"{len(values)} values", needed=f"one for each of {len(self.at.where)} voxels")
        out = np.zeros((self.labels.size, *values.shape[1:]), values.dtype)
        out[self.at.where] = values
        return out.reshape(*self.grid.shape, *values.shape[1:])


def ventricles(
    anatomy: Anatomy | None = None,
    *,
    spacing_mm: float = 0.4,
    infarcts: tuple[Infarct, ...] = (),
    angles: Angles | None = None,
    grid: Grid | None = None,
) -> Ventricles:
    """Return idealised ventricles, voxelised, with coordinates, fibres, segments and scar.

    Parameters
    ----------
    anatomy : Anatomy, optional
        The shapes; a man's mean heart when absent.
    spacing_mm : float
        0.1 to 3 mm; the right wall wants two voxels at least (up to 1.5 mm at its default 2.9 mm).
    infarcts : tuple of Infarct
    angles : Angles, optional
        Of the fibres.
    grid : Grid, optional
        Any grid that holds the heart, instead of one along its axes at ``spacing_mm``.

    Raises
    ------
    InputError
        A value outside its range, or a grid that the heart does not fit into.
    """
    shape = anatomy or Anatomy()
    on = grid or shape.grid(spacing_mm)
    labels = shape.labels(on)
    found = int(np.count_nonzero((labels >= LV_WALL) & (labels <= RV_WALL))) * on.voxel_ml
    if abs(found / shape.tissue_ml - 1.0) > 0.2:
        raise InputError(
            f"a grid that holds {found:.0f} of {shape.tissue_ml:.0f} mL of muscle",
            needed="a grid around the whole heart, finer than its walls",
            fix="leave out grid, or choose a finer spacing",
        )
    return ventricles_of(labels, on, shape.axes, infarcts=infarcts, angles=angles)


def ventricles_of(
    labels: Labels,
    grid: Grid,
    axes: Axes,
    *,
    infarcts: tuple[Infarct, ...] = (),
    angles: Angles | None = None,
    region: Bytes | None = None,
) -> Ventricles:
    """Return ventricles from labels, of a patient's image or of an anatomy.

    Parameters
    ----------
    labels : (k, r, c) uint8
        `carna.heart.anatomy.BACKGROUND` ... ``OPENING``.
    grid : Grid
    axes : Axes
    infarcts : tuple of Infarct
    angles : Angles, optional
    region : (k, r, c) uint8, optional
        Scar and grey zone seen in an image (`carna.heart.scar.HEALTHY`, ``GREY``, ``SCAR``); infarcts are
        added to it.

    Raises
    ------
    InputError
        See `carna.heart.coordinates.coordinates` and `carna.heart.segments.insertions`.
    """
    at = coordinates(labels, grid, axes)
    fibre, sheet = fibres(at, grid, axes, angles)
    segment = segments(labels, grid, axes, at)
    seen = np.zeros(len(at.where), np.uint8) if region is None else region.ravel()[at.where]
    if infarcts:
        middle = middle_of_septum(labels, at)
        made = regions(infarcts, at, grid, axes, middle, cavity_end(labels, grid, axes, at))
        seen = np.maximum(seen, made)
    return Ventricles(grid, axes, labels, at, fibre, sheet, segment, seen.astype(np.uint8))
