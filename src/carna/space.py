"""Space: grids, surfaces, meshes and vessel trees in the patient's frame.

Everything here lies in the DICOM patient frame, LPS: x grows to the patient's Left, y to
the Posterior, z to the Superior (towards the head), in millimetres. Arrays are indexed
``[k, r, c]``: slice, row, column. This is the only module that flips an axis or says RAS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from carna.errors import FrameError, InputError

__all__ = ["Floats", "Grid", "Mesh", "Surface", "VesselTree", "flip_ras", "rotation", "stack"]

Floats = npt.NDArray[np.float64]

# Two directions closer than this are the same plane; two steps closer than this are equal.
PARALLEL_DEG = 0.5
EQUAL_MM = 0.1


def _frozen(values: npt.ArrayLike, shape: tuple[int | None, ...], name: str, dtype: Any = np.float64) -> Any:
    """Return a read-only copy of ``values`` with the shape asked for."""
    array = np.array(values, dtype=dtype)
    if array.ndim != len(shape) or any(
        n is not None and n != m for n, m in zip(shape, array.shape, strict=True)
    ):
        raise InputError(f"{name} has shape {array.shape}", needed=f"shape {shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{name} has values that are not finite", needed="finite numbers")
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A regular grid of voxels in the patient; one slice deep, it is a plane.

    Parameters
    ----------
    shape : (k, r, c)
        Number of slices, rows and columns, each at least 1.
    affine : (4, 4) float
        Maps the index ``(k, r, c, 1)`` of a voxel's centre to LPS millimetres. The length of
        the first column is the distance between slices; for a single plane it is the slice
        thickness, along the normal.
    frame : str
        Frame of reference UID; two things with different frames are never compared.
    """

    shape: tuple[int, int, int]
    affine: Floats
    frame: str = ""

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise InputError(f"a grid of shape {self.shape}", needed="three sizes of at least 1")
        affine = _frozen(self.affine, (4, 4), "affine")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-9 or not np.array_equal(affine[3], (0, 0, 0, 1)):
            raise InputError(
                "the affine has no volume", needed="three independent axes and a last row 0 0 0 1"
            )
        object.__setattr__(self, "affine", affine)

    @classmethod
    def from_dicom(
        cls,
        *,
        size: tuple[int, int],
        position: npt.ArrayLike,
        orientation: npt.ArrayLike,
        spacing_mm: npt.ArrayLike,
        thickness_mm: float = 1.0,
        frame: str = "",
    ) -> Self:
        """Return the plane that a DICOM image lies in (PS3.3 C.7.6.2.1.1).

        Parameters
        ----------
        size : (rows, columns)
        position : (3,)
            Image Position (Patient): centre of the first voxel, LPS mm.
        orientation : (6,)
            Image Orientation (Patient): direction along a row (growing column index), then
            along a column (growing row index).
        spacing_mm : (2,)
            Pixel Spacing: distance between rows, distance between columns.
        thickness_mm : float
            Slice Thickness.
        """
        along_row, along_column = np.asarray(orientation, float).reshape(2, 3)
        between_rows, between_columns = np.asarray(spacing_mm, float)
        affine = np.eye(4)
        affine[:3, 0] = np.cross(along_row, along_column) * thickness_mm
        affine[:3, 1] = along_column * between_rows
        affine[:3, 2] = along_row * between_columns
        affine[:3, 3] = position
        return cls((1, *size), affine, frame)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between slices, rows and columns, mm."""
        k, r, c = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(k), float(r), float(c)

    @property
    def axes(self) -> Floats:
        """Unit vectors along slices, rows and columns, as columns of a (3, 3) matrix."""
        return np.asarray(self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def normal(self) -> Floats:
        """Unit normal of the slices (row direction x column direction, as DICOM has it)."""
        normal = np.cross(self.affine[:3, 2], self.affine[:3, 1])
        return np.asarray(normal / np.linalg.norm(normal))

    @property
    def origin(self) -> Floats:
        """Centre of the first voxel, LPS mm."""
        return np.asarray(self.affine[:3, 3])

    @property
    def centre(self) -> Floats:
        """Centre of the grid, LPS mm."""
        return self.to_world((np.array(self.shape) - 1) / 2)

    @property
    def orientation(self) -> tuple[float, ...]:
        """Image Orientation (Patient): along a row, then along a column."""
        return (*map(float, self.axes[:, 2]), *map(float, self.axes[:, 1]))

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel, mL."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def to_world(self, index: npt.ArrayLike) -> Floats:
        """Return LPS mm of voxel indices ``(..., 3)``; indices may be fractions."""
        return np.asarray(np.asarray(index, float) @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_index(self, points_mm: npt.ArrayLike) -> Floats:
        """Return fractional voxel indices of LPS points ``(..., 3)``."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(np.asarray(points_mm, float) @ inverse[:3, :3].T + inverse[:3, 3])

    def plane(self, k: int) -> Grid:
        """Return slice ``k`` as a grid one slice deep."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_world((k, 0, 0))
        return Grid((1, *self.shape[1:]), affine, self.frame)

    def crop(self, start: tuple[int, int, int], stop: tuple[int, int, int]) -> Grid:
        """Return the grid of ``array[start[0]:stop[0], start[1]:stop[1], start[2]:stop[2]]``."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_world(start)
        return Grid((stop[0] - start[0], stop[1] - start[1], stop[2] - start[2]), affine, self.frame)

    def moved(self, motion: npt.ArrayLike) -> Grid:
        """Return the grid after a rigid motion (4, 4) of the patient."""
        return Grid(self.shape, np.asarray(motion, float) @ self.affine, self.frame)

    def parallel(self, other: Grid) -> bool:
        """Whether the slices of both lie in parallel planes of one frame, within 0.5 degrees."""
        return self.frame == other.frame and abs(float(self.normal @ other.normal)) > np.cos(
            np.radians(PARALLEL_DEG)
        )

    def same(self, other: Grid) -> bool:
        """Whether both have the same voxels, within 0.1 mm at the far corner, in one frame."""
        if self.shape != other.shape or self.frame != other.frame:
            return False
        corners = np.array([[0, 0, 0], [n - 1 for n in self.shape]])
        return bool(
            np.abs(self.to_world(corners) - other.to_world(corners)).max() < EQUAL_MM and self.parallel(other)
        )


def stack(planes: tuple[Grid, ...]) -> Grid | None:
    """Return the one grid that the planes fill, or None if they are not equidistant.

    The planes must be sorted along their normal, each one slice deep.

    Raises
    ------
    FrameError
        If the planes lie in different frames of reference.
    """
    first = planes[0]
    if any(p.frame != first.frame for p in planes):
        raise FrameError("the planes lie in different frames of reference", needed="one frame")
    if len(planes) == 1:
        return first
    origins = np.array([p.origin for p in planes])
    steps = np.diff(origins, axis=0)
    alike = all(
        p.shape == first.shape and np.allclose(p.affine[:3, 1:3], first.affine[:3, 1:3], atol=1e-3)
        for p in planes
    )
    if (
        not alike
        or np.abs(steps - steps.mean(0)).max() > EQUAL_MM
        or np.linalg.norm(steps.mean(0)) < EQUAL_MM
    ):
        return None
    affine = first.affine.copy()
    affine[:3, 0] = steps.mean(0)
    return Grid((len(planes), *first.shape[1:]), affine, first.frame)


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """A triangulated surface.

    Parameters
    ----------
    points : (n, 3) float
        LPS mm.
    triangles : (m, 3) int
        Indices into ``points``; counter-clockwise seen from outside.
    frame : str
        Frame of reference UID.
    """

    points: Floats
    triangles: npt.NDArray[np.int64]
    frame: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", _frozen(self.points, (None, 3), "points"))
        object.__setattr__(self, "triangles", _frozen(self.triangles, (None, 3), "triangles", np.int64))
        _check_indices(self.triangles, len(self.points), "triangles")

    @property
    def area_mm2(self) -> float:
        """Area of the surface, mm2."""
        a, b, c = (self.points[self.triangles[:, n]] for n in range(3))
        return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)

    @property
    def volume_ml(self) -> float:
        """Signed volume enclosed, mL (divergence theorem); meaningful for a closed surface."""
        a, b, c = (self.points[self.triangles[:, n]] for n in range(3))
        return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6000.0)

    def moved(self, motion: npt.ArrayLike) -> Surface:
        """Return the surface after a rigid motion (4, 4)."""
        return Surface(_move(self.points, motion), self.triangles, self.frame)


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A volume mesh of one kind of cell.

    Parameters
    ----------
    points : (n, 3) float
        LPS mm.
    cells : (m, v) int
        Indices into ``points``; v = 4 tetrahedra, 8 hexahedra (VTK order).
    frame : str
        Frame of reference UID.
    """

    points: Floats
    cells: npt.NDArray[np.int64]
    frame: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", _frozen(self.points, (None, 3), "points"))
        object.__setattr__(self, "cells", _frozen(self.cells, (None, None), "cells", np.int64))
        if self.cells.shape[1] not in (4, 8):
            raise InputError(
                f"cells of {self.cells.shape[1]} points", needed="tetrahedra (4) or hexahedra (8)"
            )
        _check_indices(self.cells, len(self.points), "cells")

    def moved(self, motion: npt.ArrayLike) -> Mesh:
        """Return the mesh after a rigid motion (4, 4)."""
        return Mesh(_move(self.points, motion), self.cells, self.frame)


@dataclass(frozen=True, slots=True, eq=False)
class VesselTree:
    """Centrelines as a graph, with radii where they are known.

    Parameters
    ----------
    points : (n, 3) float
        LPS mm.
    edges : (m, 2) int
        Pairs of neighbouring points.
    radius_mm : (n,) float or None
        Inscribed radius at each point, mm, >= 0; None where the source has none.
    frame : str
        Frame of reference UID.
    """

    points: Floats
    edges: npt.NDArray[np.int64]
    radius_mm: Floats | None = None
    frame: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", _frozen(self.points, (None, 3), "points"))
        object.__setattr__(self, "edges", _frozen(self.edges, (None, 2), "edges", np.int64))
        _check_indices(self.edges, len(self.points), "edges")
        if self.radius_mm is not None:
            radius = _frozen(self.radius_mm, (len(self.points),), "radius_mm")
            if (radius < 0).any():
                raise InputError("a radius is negative", needed="radii of at least 0 mm")
            object.__setattr__(self, "radius_mm", radius)

    @property
    def length_mm(self) -> float:
        """Length of all edges together, mm."""
        a, b = self.points[self.edges[:, 0]], self.points[self.edges[:, 1]]
        return float(np.linalg.norm(b - a, axis=1).sum())

    def moved(self, motion: npt.ArrayLike) -> VesselTree:
        """Return the tree after a rigid motion (4, 4)."""
        return VesselTree(_move(self.points, motion), self.edges, self.radius_mm, self.frame)


def _check_indices(indices: npt.NDArray[np.int64], count: int, name: str) -> None:
    if indices.size and (indices.min() < 0 or indices.max() >= count):
        raise InputError(f"{name} point to {int(indices.max())}", needed=f"indices from 0 to {count - 1}")


def _move(points: Floats, motion: npt.ArrayLike) -> Floats:
    matrix = np.asarray(motion, float)
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])


def flip_ras(affine: npt.ArrayLike) -> Floats:
    """Return an affine or points of RAS space in LPS, or the other way round.

    Accepts a (4, 4) affine or points ``(..., 3)``; the first two world axes change sign, so
    applying it twice gives the input back.
    """
    given = np.asarray(affine, float)
    flip = np.array([-1.0, -1.0, 1.0])
    if given.shape == (4, 4):
        return np.asarray(np.diag([*flip, 1.0]) @ given)
    return np.asarray(given * flip)


def rotation(axis: npt.ArrayLike, degrees: float, about: npt.ArrayLike = (0, 0, 0)) -> Floats:
    """Return the rigid motion (4, 4) that turns by ``degrees`` about an axis through a point (Rodrigues)."""
    u = np.asarray(axis, float)
    u = u / np.linalg.norm(u)
    cross = np.array([[0, -u[2], u[1]], [u[2], 0, -u[0]], [-u[1], u[0], 0]])
    angle = np.radians(degrees)
    motion = np.eye(4)
    motion[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    motion[:3, 3] = np.asarray(about) - motion[:3, :3] @ np.asarray(about)
    return motion
