"""Centrelines as tables, and openCARP meshes: geometry that people write by hand.

A centreline table is a CSV file whose first line names the columns x, y and z with their unit,
such as ``x_mm,y_mm,z_mm,radius_mm,branch`` or ``x [cm]``. Rows that follow each other in one
branch are joined; rows with equal coordinates are one point, so that branches meet.

An openCARP mesh is three files: ``.pts`` (points), ``.elem`` (cells, each with a region tag) and
``.lon`` (a fibre direction for each cell, with or without a sheet direction).
"""

from __future__ import annotations

import csv
import io
import re

import numpy as np

from carna.doors.geometry.cells import HEXAHEDRON, LINE, QUAD, TETRA, TRIANGLE, Cells
from carna.doors.geometry.vtk_legacy import numbers
from carna.errors import InputError, UnitError
from carna.space import Floats
from carna.units import convert

_COLUMN = re.compile(
    r"\s*(x|y|z|radius|branch)\s*(?:[_\s]?[\[(]?\s*(um|µm|mm|cm|m)\s*[\])]?)?\s*", re.IGNORECASE
)
_OPENCARP = {"ln": (LINE, 2), "tr": (TRIANGLE, 3), "qd": (QUAD, 4), "tt": (TETRA, 4), "hx": (HEXAHEDRON, 8)}


def columns(first_line: bytes) -> dict[str, tuple[int, str]]:
    """Return column and unit ("" if not stated) by name; empty if the line names no x, y and z."""
    found: dict[str, tuple[int, str]] = {}
    for n, cell in enumerate(first_line.decode("utf-8-sig", "replace").strip().split(",")):
        match = _COLUMN.fullmatch(cell.strip().strip('"'))
        if match:
            found[match[1].lower()] = n, (match[2] or "").lower().replace("µ", "u")
    return found if {"x", "y", "z"} <= set(found) else {}


def read_table(data: bytes) -> Cells:
    """Return the lines of a centreline table, in mm.

    Raises
    ------
    InputError
        If the unit is not stated, a row is short or a cell is no number.
    """
    line, _, rest = data.partition(b"\n")
    where = columns(line)
    if not where:
        raise InputError(
            "no columns x, y and z", needed="a first line such as x_mm,y_mm,z_mm,radius_mm,branch"
        )
    for name in ("x", "y", "z", "radius"):
        if name in where and not where[name][1]:
            raise InputError(
                f"the column {name} states no unit", needed="mm, cm, m or um", fix=f"name it {name}_mm"
            )
    text = io.StringIO(rest.decode("utf-8", "replace"), newline="")
    rows = [row for row in csv.reader(text) if any(cell.strip() for cell in row)]
    if not rows or min(map(len, rows)) <= max(n for n, _ in where.values()):
        raise InputError("no rows, or a short one", needed="a value in each named column")

    def column(name: str) -> Floats:
        n, unit = where[name]
        try:
            scale = convert(1.0, unit, "mm")
        except UnitError as error:
            raise InputError(error.found, needed="mm, cm, m or um") from error
        return np.asarray(numbers([row[n].strip().encode() for row in rows], "f8") * scale, float)

    points = np.stack([column(axis) for axis in "xyz"], axis=1)
    branch = [row[where["branch"][0]].strip() for row in rows] if "branch" in where else [""] * len(rows)
    # A point named twice, by a branch and by its parent, is one point.
    _, first, inverse = np.unique(points, axis=0, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    index = rank[inverse.ravel()]
    keep = np.sort(first)
    joined = [
        (a, b) for a, b, one, two in zip(index, index[1:], branch, branch[1:], strict=False) if one == two
    ]
    edges = np.array(joined, np.int64).reshape(-1, 2)
    edges = edges[edges[:, 0] != edges[:, 1]]
    fields = {"radius": column("radius")[keep]} if "radius" in where else {}
    return Cells.of(points[keep], [(LINE, edges)], point_fields=fields)


def read_opencarp(points: bytes, elements: bytes, fibres: bytes | None) -> Cells:
    """Return the cells of an openCARP mesh, with ``region`` and, where given, ``fibre`` and ``sheet``.

    Raises
    ------
    InputError
        If a count does not hold, or a cell is of an unknown kind.
    """
    rows = _rows(points, "points")
    place = numbers([word for row in rows for word in row], "f8")
    if len(place) != 3 * len(rows):
        raise InputError(f"{len(place)} coordinates for {len(rows)} points", needed="3 a point")
    cells = _rows(elements, "elements")
    flat: list[bytes] = []
    sizes, types, regions = [], [], []
    for row in cells:
        name = row[0].decode("latin-1").lower() if row else ""
        if name not in _OPENCARP or not _OPENCARP[name][1] + 1 <= len(row) <= _OPENCARP[name][1] + 2:
            raise InputError(
                f"the element {b' '.join(row)[:40].decode('latin-1')!r}",
                needed="Ln, Tr, Qd, Tt or Hx and its points",
            )
        kind, size = _OPENCARP[name]
        types.append(kind)
        sizes.append(size)
        flat += row[1 : 1 + size]
        regions.append(row[1 + size] if len(row) > 1 + size else b"0")
    fields = {"region": numbers(regions, "f8").astype(float)}
    if fibres is not None:
        fields |= _fibres(fibres, len(cells))
    offsets = np.concatenate([[0], np.cumsum(np.array(sizes, np.int64))]).astype(np.int64)
    return Cells(
        place.reshape(-1, 3).astype(float), numbers(flat, "i8").astype(np.int64), offsets,
        np.array(types, np.int64), {}, fields,
    )  # fmt: skip


def _rows(data: bytes, what: str) -> list[list[bytes]]:
    """Return the rows behind the count in the first line."""
    lines = data.split(b"\n")
    count = lines[0].split()[0] if lines[0].split() else b""
    rows = [words for line in lines[1:] if (words := line.split())]
    if not count.isdigit() or int(count) != len(rows):
        raise InputError(
            f"{len(rows)} {what}, {count[:20].decode('latin-1')!r} declared", needed="the whole file"
        )
    return rows


def _fibres(data: bytes, count: int) -> dict[str, Floats]:
    words = data.split()
    axes = {b"1": 3, b"2": 6}.get(words[0] if words else b"")
    if axes is None or len(words) != 1 + axes * count:
        raise InputError(
            f"{max(len(words) - 1, 0)} fibre components", needed=f"3 or 6 for each of {count} cells"
        )
    table = numbers(words[1:], "f8").astype(float).reshape(count, axes)
    return {"fibre": table[:, :3]} | ({"sheet": table[:, 3:]} if axes == 6 else {})
