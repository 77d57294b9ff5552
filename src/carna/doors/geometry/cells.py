"""Cells as the files hold them, and the surfaces, meshes and trees they make.

Every reader of this door returns `Cells`: points, and cells of any kind in VTK's numbering
(https://docs.vtk.org, vtkCellType.h). `shapes` turns them into what Carna knows:

==================  ==================================================================
VTK cells           shape
==================  ==================================================================
3, 4                `VesselTree`: each polyline is a chain of edges
5, 6, 7, 8, 9       `Surface`: strips and polygons are cut into triangles
10, 11, 12          `Mesh` of tetrahedra, or of hexahedra
1, 2, or no cells   `VesselTree` without edges: places, such as muscle junctions
==================  ==================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.space import Floats, Mesh, Surface, VesselTree, flip_ras

Ints = npt.NDArray[np.int64]

VERTEX, POLY_VERTEX, LINE, POLY_LINE, TRIANGLE, STRIP, POLYGON, PIXEL, QUAD = 1, 2, 3, 4, 5, 6, 7, 8, 9
TETRA, VOXEL, HEXAHEDRON = 10, 11, 12
_FACES = (TRIANGLE, STRIP, POLYGON, PIXEL, QUAD)
_SIZES = {VERTEX: 1, LINE: 2, TRIANGLE: 3, PIXEL: 4, QUAD: 4, TETRA: 4, VOXEL: 8, HEXAHEDRON: 8}
# Not even micrometres reach as far: such a number is damage, and its square would overflow.
_FARTHEST = 1e9
_RADIUS_NAMES = ("maximuminscribedsphereradius", "radius", "radii", "radius_mm")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Points and the cells between them, before they're known to be a surface, a mesh or a tree.

    Parameters
    ----------
    points : (n, 3) float
        As the file has them.
    connectivity : (s,) int
        The points of all cells, one cell after the other.
    offsets : (m + 1,) int
        Cell ``i`` is ``connectivity[offsets[i]:offsets[i + 1]]``.
    types : (m,) int
        VTK cell type of each.
    point_fields, cell_fields : mapping
        Name to ``(n, ...)`` and ``(m, ...)`` values.
    header : str
        Free text of the file; some senders state the frame in it.
    notes : tuple of str
    facts : mapping
        Single numbers of the whole file, such as the time of a moving surface.
    """

    points: Floats
    connectivity: Ints
    offsets: Ints
    types: Ints
    point_fields: Mapping[str, Floats] = field(default_factory=dict)
    cell_fields: Mapping[str, Floats] = field(default_factory=dict)
    header: str = ""
    notes: tuple[str, ...] = ()
    facts: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, points: Floats, groups: list[tuple[int, npt.NDArray[Any]]], **rest: Any) -> Cells:
        """Return cells from groups of one kind and one size each: (VTK type, ``(m, v)`` indices)."""
        sizes = [np.full(len(rows), rows.shape[1], np.int64) for _, rows in groups]
        kinds = [np.full(len(rows), kind, np.int64) for kind, rows in groups]
        flat = [np.asarray(rows, np.int64).ravel() for _, rows in groups]
        none = np.zeros(0, np.int64)
        offsets = np.concatenate([[0], np.cumsum(np.concatenate([none, *sizes]))]).astype(np.int64)
        return cls(points, np.concatenate([none, *flat]), offsets, np.concatenate([none, *kinds]), **rest)

    def __post_init__(self) -> None:
        if len(self.points) == 0:
            raise InputError("a geometry without points", needed="at least one point")
        if not np.isfinite(self.points).all():
            bad = int((~np.isfinite(self.points).all(axis=1)).sum())
            raise InputError(
                f"{bad} of {len(self.points)} points are not finite", needed="finite coordinates"
            )
        if np.abs(self.points).max() > _FARTHEST:
            raise InputError(
                f"a coordinate of {np.abs(self.points).max():.3g}", needed=f"at most {_FARTHEST:g}"
            )
        used = self.connectivity
        if used.size and (used.min() < 0 or used.max() >= len(self.points)):
            worst = used.min() if used.min() < 0 else used.max()
            raise InputError(
                f"a cell points to {int(worst)}", needed=f"indices from 0 to {len(self.points) - 1}"
            )
        if len(self.types) + 1 != len(self.offsets) or (np.diff(self.offsets) < 0).any():
            raise InputError("the cell offsets do not grow", needed="one offset a cell, ascending")
        if self.offsets[0] != 0 or self.offsets[-1] != len(used):
            raise InputError(
                f"cells of {int(self.offsets[-1])} points in all, {len(used)} given", needed="the same number"
            )
        for fields, count, what in (
            (self.point_fields, len(self.points), "point"),
            (self.cell_fields, len(self.types), "cell"),
        ):
            for name, values in fields.items():
                if len(values) != count:
                    raise InputError(f"{what} field {name!r} has {len(values)} values", needed=f"{count}")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """One shape of a file, with the values on its points and on its own cells."""

    kind: str
    shape: Surface | Mesh | VesselTree
    fields: dict[str, Floats]
    cell_fields: dict[str, Floats]
    notes: tuple[str, ...]


def shapes(cells: Cells) -> list[Made]:
    """Return every shape the cells make, each with only the points it uses when there are several.

    Raises
    ------
    InputError
        If the cells are of kinds that make no shape here.
    """
    kinds = set(cells.types.tolist())
    sizes = np.diff(cells.offsets)
    for kind in kinds & set(_SIZES):
        wrong = sizes[cells.types == kind] != _SIZES[kind]
        if wrong.any():
            raise InputError(
                f"a cell of type {kind} with the wrong number of points", needed=str(_SIZES[kind])
            )
    found: list[tuple[str, Ints, Ints]] = []  # kind, rows of indices, the file's cell of each row
    found += [("tree", *_edges(cells))] if kinds & {LINE, POLY_LINE} else []
    found += [("surface", *_triangles(cells))] if kinds & set(_FACES) else []
    for name, types in (("tetrahedra", (TETRA,)), ("hexahedra", (VOXEL, HEXAHEDRON))):
        if kinds & set(types):
            found.append((name, *_volumes(cells, types)))
    known = {VERTEX, POLY_VERTEX, LINE, POLY_LINE, *_FACES, TETRA, VOXEL, HEXAHEDRON}
    notes = list(_left_out(cells, known))
    if not found:
        if kinds - {VERTEX, POLY_VERTEX}:
            raise InputError(
                f"cells of VTK type {', '.join(map(str, sorted(kinds)))}",
                needed="points, lines, triangles, polygons, tetrahedra or hexahedra",
            )
        notes.append("points without connections: kept as a tree without edges")
        found.append(("points", np.zeros((0, 2), np.int64), np.zeros(0, np.int64)))
    elif kinds & {VERTEX, POLY_VERTEX}:
        notes.append("single points beside the cells were left out")
    return [_made(cells, *one, alone=len(found) == 1, notes=tuple(notes)) for one in found]


def _left_out(cells: Cells, known: set[int]) -> list[str]:
    other = cells.types[~np.isin(cells.types, sorted(known))]
    counts = zip(*np.unique(other, return_counts=True), strict=True)
    return [f"{int(n)} cells of VTK type {int(kind)} were left out" for kind, n in counts]


def _made(cells: Cells, kind: str, rows: Ints, owner: Ints, *, alone: bool, notes: tuple[str, ...]) -> Made:
    points, fields = cells.points, dict(cells.point_fields)
    if not alone:
        used, rows = _compact(rows)
        points, fields = points[used], {name: values[used] for name, values in fields.items()}
    if "SPACE=RAS" in cells.header.upper():
        points = flip_ras(points)
        notes = (*notes, "the header states RAS: points were turned to LPS, vector fields were not")
    own = {name: values[owner] for name, values in cells.cell_fields.items()}
    shape: Surface | Mesh | VesselTree
    if kind in ("tree", "points"):
        shape = VesselTree(points, rows, _radius(fields, len(points)))
    elif kind == "surface":
        shape = Surface(points, rows)
        if _closed(rows, len(points)) and shape.volume_ml < 0:
            notes = (*notes, "a closed surface wound inwards: its volume is negative")
    else:
        shape = Mesh(points, rows)
    return Made(kind, shape, fields, own, notes)


def _closed(triangles: Ints, count: int) -> bool:
    """Whether each edge is met once in each direction."""
    a, b = triangles.ravel(), np.roll(triangles, -1, axis=1).ravel()
    return bool(np.array_equal(np.sort(a * count + b), np.sort(b * count + a)))


def _compact(rows: Ints) -> tuple[Ints, Ints]:
    used, inverse = np.unique(rows, return_inverse=True)
    return used, inverse.reshape(rows.shape).astype(np.int64)


def _radius(fields: dict[str, Floats], count: int) -> Floats | None:
    """Return the field that is a radius by its name, if every value can be one."""
    for name in _RADIUS_NAMES:
        for given, values in fields.items():
            usable = values.shape == (count,) and np.isfinite(values).all() and (values >= 0).all()
            if given.lower() == name and usable:
                return values
    return None


def _edges(cells: Cells) -> tuple[Ints, Ints]:
    owner = np.repeat(np.arange(len(cells.types)), np.diff(cells.offsets))
    line = np.isin(cells.types, (LINE, POLY_LINE))[owner]
    # A step inside one polyline: two neighbours in the list that belong to the same cell.
    step = np.flatnonzero((owner[1:] == owner[:-1]) & line[1:]) if len(owner) else np.zeros(0, np.int64)
    rows = np.stack([cells.connectivity[step], cells.connectivity[step + 1]], axis=1)
    return rows, owner[step]


def _triangles(cells: Cells) -> tuple[Ints, Ints]:
    """Cut faces into triangles: a polygon fans out from its first point, a strip turns over at each step."""
    sizes, start = np.diff(cells.offsets), cells.offsets[:-1]
    faces = np.flatnonzero(np.isin(cells.types, _FACES) & (sizes >= 3))
    per_face = sizes[faces] - 2
    owner = np.repeat(faces, per_face)
    first = np.cumsum(per_face) - per_face
    step = np.arange(len(owner)) - np.repeat(first, per_face)
    base = start[owner]
    a, b, c = base, base + step + 1, base + step + 2
    strip = np.isin(cells.types[owner], (STRIP, PIXEL))
    odd = strip & (step % 2 == 1)
    a = np.where(strip, base + step, a)
    b, c = np.where(odd, c, b), np.where(odd, b, c)
    rows = np.stack([cells.connectivity[i] for i in (a, b, c)], axis=1) if len(owner) else _NO_ROWS
    return rows, owner


_NO_ROWS: Ints = np.zeros((0, 3), np.int64)


def _volumes(cells: Cells, types: tuple[int, ...]) -> tuple[Ints, Ints]:
    chosen = np.flatnonzero(np.isin(cells.types, types))
    size = _SIZES[types[0]]
    rows = cells.connectivity[cells.offsets[chosen][:, None] + np.arange(size)]
    voxel = cells.types[chosen] == VOXEL
    # A voxel counts its corners row by row, a hexahedron goes round the face.
    rows[voxel] = rows[voxel][:, (0, 1, 3, 2, 4, 5, 7, 6)] if voxel.any() else rows[voxel]
    return rows, chosen
