"""PLY, the Stanford triangle format: text, or binary of either byte order.

Layout: G. Turk, "The PLY Polygon File Format" (1994): a header names elements and their
properties, the values follow element by element. Vertices, faces and edges are read; other
scalar properties of a vertex become fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from carna.doors.geometry.cells import LINE, POLYGON, Cells, Ints
from carna.doors.geometry.vtk_legacy import joined, numbers
from carna.errors import InputError
from carna.space import Floats

_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@final
@dataclass(frozen=True, slots=True)
class _Property:
    """One column; a list has the type of its length, a scalar has none."""

    name: str
    kind: str
    length: str = ""


@final
@dataclass(frozen=True, slots=True)
class _Element:
    name: str
    count: int
    properties: tuple[_Property, ...]


def read(data: bytes) -> Cells:
    """Return the vertices, faces and edges of a PLY file.

    Raises
    ------
    InputError
        If the header is broken, or the file ends before its last value.
    """
    order, elements, comments, at = _header(data)
    scalars: dict[str, dict[str, Floats]] = {}
    lists: dict[str, tuple[Ints, Ints]] = {}
    words = iter(data[at:].splitlines()) if not order else None
    for element in elements:
        least = sum(1 if words else np.dtype(_TYPES[p.length or p.kind]).itemsize for p in element.properties)
        if element.count * max(least, 1) > len(data) - (0 if words else at):
            raise InputError(
                f"{element.count} elements {element.name!r} in {len(data)} bytes", needed="the whole file"
            )
        if words is not None:
            rows = [line.split() for _, line in zip(range(element.count), words, strict=False)]
            columns, cells = _from_text(rows, element)
        else:
            columns, cells, at = _from_bytes(data, at, element, order)
        scalars[element.name] = columns
        if cells is not None:
            lists[element.name] = cells
    return _cells(scalars, lists, comments)


def _cells(
    scalars: dict[str, dict[str, Floats]], lists: dict[str, tuple[Ints, Ints]], comments: str
) -> Cells:
    vertex = dict(scalars.get("vertex", {}))
    if not {"x", "y", "z"} <= set(vertex):
        raise InputError("no vertices with x, y and z", needed="an element vertex")
    points = np.stack([vertex.pop(axis) for axis in "xyz"], axis=1)
    groups = [(POLYGON, lists["face"])] if "face" in lists else []
    edge = scalars.get("edge", {})
    if {"vertex1", "vertex2"} <= set(edge):
        pairs = np.stack([edge["vertex1"], edge["vertex2"]], axis=1).astype(np.int64)
        groups.insert(0, (LINE, (pairs.ravel(), np.arange(len(pairs) + 1) * 2)))
    face = {} if "edge" in scalars else scalars.get("face", {})
    return Cells(points, *joined(groups), vertex, face if "face" in lists else {}, comments)


def _header(data: bytes) -> tuple[str, list[_Element], str, int]:
    end = data.find(b"end_header")
    newline = data.find(b"\n", end)
    if not data.startswith(b"ply") or end < 0 or newline < 0:
        raise InputError("no PLY header", needed='lines from "ply" to "end_header"')
    order: str | None = None
    elements: list[_Element] = []
    comments: list[str] = []
    for line in data[:end].decode("latin-1").splitlines()[1:]:
        words = line.split()
        match words:
            case [] | ["obj_info", *_]:
                pass
            case ["comment", *rest]:
                comments.append(" ".join(rest))
            case ["format", name, *_]:
                order = _ORDERS.get(name)
            case ["element", name, count] if count.isdigit() and len(count) < 19:
                elements.append(_Element(name, int(count), ()))
            case ["property", "list", length, kind, name] if elements and {length, kind} <= set(_TYPES):
                last = elements.pop()
                elements.append(
                    _Element(last.name, last.count, (*last.properties, _Property(name, kind, length)))
                )
            case ["property", kind, name] if elements and kind in _TYPES:
                last = elements.pop()
                elements.append(_Element(last.name, last.count, (*last.properties, _Property(name, kind))))
            case _:
                raise InputError(f"the PLY header line {line[:60]!r}", needed="element, property or comment")
    for element in elements:
        names = [p.name for p in element.properties]
        if len(set(names)) < len(names) or any(name.startswith("#") for name in names):
            raise InputError(f"the properties {', '.join(names)[:80]}", needed="each name once")
    if order is None:
        raise InputError("no PLY format line", needed=", ".join(_ORDERS))
    return order, elements, "; ".join(comments), newline + 1


def _from_text(
    rows: list[list[bytes]], element: _Element
) -> tuple[dict[str, Floats], tuple[Ints, Ints] | None]:
    if len(rows) < element.count:
        raise InputError(f"{len(rows)} of {element.count} rows of {element.name!r}", needed="the whole file")
    at = np.zeros(len(rows), np.int64)
    columns: dict[str, Floats] = {}
    cells: tuple[Ints, Ints] | None = None
    try:
        for one in element.properties:
            first = [row[i] for row, i in zip(rows, at, strict=True)]
            if not one.length:
                columns[one.name] = numbers(first, "f8")
                at += 1
                continue
            sizes = numbers(first, "i8").astype(np.int64)
            if (sizes < 0).any():
                raise InputError("a list of negative length", needed="at least 0")
            flat = [
                word for row, i, n in zip(rows, at, sizes, strict=True) for word in row[i + 1 : i + 1 + n]
            ]
            if len(flat) != sizes.sum():
                raise InputError(f"a short row of {element.name!r}", needed="as many values as its list says")
            if one.name in ("vertex_indices", "vertex_index"):
                cells = numbers(flat, "i8").astype(np.int64), _offsets(sizes)
            at += 1 + sizes
    except IndexError as error:
        raise InputError(f"a short row of {element.name!r}", needed="a value for each property") from error
    return columns, cells


def _from_bytes(
    data: bytes, at: int, element: _Element, order: str
) -> tuple[dict[str, Floats], tuple[Ints, Ints] | None, int]:
    """Read one element; rows whose lists all have the first row's lengths are read in one go."""
    sizes = _first_sizes(data, at, element, order)
    fields: list[Any] = []
    for one in element.properties:
        if one.length:
            fields += [(f"#{one.name}", order + _TYPES[one.length])]
            fields += [(one.name, order + _TYPES[one.kind], (sizes[one.name],))]
        else:
            fields.append((one.name, order + _TYPES[one.kind]))
    row = np.dtype(fields)
    if row.itemsize * element.count <= len(data) - at:
        table = np.frombuffer(data, row, element.count, at)
        if all((table[f"#{name}"] == size).all() for name, size in sizes.items()):
            columns = {p.name: table[p.name].astype(np.float64) for p in element.properties if not p.length}
            cells = None
            for name in sizes:
                if name in ("vertex_indices", "vertex_index"):
                    cells = _uniform(table[name])
            return columns, cells, at + row.itemsize * element.count
    if not sizes:
        raise InputError(f"the file ends inside {element.name!r}", needed="the whole file")
    return _row_by_row(data, at, element, order)


def _first_sizes(data: bytes, at: int, element: _Element, order: str) -> dict[str, int]:
    """Return the length of each list in the first row."""
    sizes: dict[str, int] = {}
    for one in element.properties if element.count else ():
        if one.length:
            sizes[one.name] = int(_take(data, at, order + _TYPES[one.length], 1)[0])
            at += np.dtype(_TYPES[one.length]).itemsize
            if sizes[one.name] < 0 or sizes[one.name] > len(data):
                raise InputError(f"a list of {sizes[one.name]} values", needed="the whole file")
        at += np.dtype(_TYPES[one.kind]).itemsize * sizes.get(one.name, 1)
    return sizes


def _row_by_row(
    data: bytes, at: int, element: _Element, order: str
) -> tuple[dict[str, Floats], tuple[Ints, Ints] | None, int]:
    columns: dict[str, list[float]] = {p.name: [] for p in element.properties if not p.length}
    rows: list[npt.NDArray[Any]] = []
    for _ in range(element.count):
        for one in element.properties:
            size = 1
            if one.length:
                size = int(_take(data, at, order + _TYPES[one.length], 1)[0])
                at += np.dtype(_TYPES[one.length]).itemsize
            values = _take(data, at, order + _TYPES[one.kind], size)
            at += values.nbytes
            if not one.length:
                columns[one.name].append(float(values[0]))
            elif one.name in ("vertex_indices", "vertex_index"):
                rows.append(values)
    flat = np.concatenate(rows).astype(np.int64) if rows else np.zeros(0, np.int64)
    cells = (flat, _offsets(np.array([len(r) for r in rows], np.int64))) if rows else None
    return {name: np.array(values) for name, values in columns.items()}, cells, at


def _take(data: bytes, at: int, dtype: str, count: int) -> npt.NDArray[Any]:
    if count < 0 or at + count * np.dtype(dtype).itemsize > len(data):
        raise InputError("the file ends inside a list", needed="the whole file")
    return np.frombuffer(data, dtype, count, at)


def _uniform(table: npt.NDArray[Any]) -> tuple[Ints, Ints]:
    return table.astype(np.int64).ravel(), np.arange(len(table) + 1) * table.shape[1]


def _offsets(sizes: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
