"""VTK legacy files, versions 1 to 5.1: POLYDATA and UNSTRUCTURED_GRID, in text or big-endian binary.

Up to version 4.2 a cell list reads ``size, point, point ...`` for each cell; version 5 holds
OFFSETS and CONNECTIVITY instead. Layout: "VTK File Formats", https://docs.vtk.org.
"""

from __future__ import annotations

import re
from typing import Any, final
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from carna.doors.geometry.cells import POLY_LINE, POLY_VERTEX, POLYGON, STRIP, Cells, Ints
from carna.errors import InputError
from carna.space import Floats

_TYPES = {
    "unsigned_char": ">u1", "char": ">i1", "unsigned_short": ">u2", "short": ">i2",
    "unsigned_int": ">u4", "int": ">i4", "unsigned_long": ">u8", "long": ">i8",
    "float": ">f4", "double": ">f8", "vtkidtype": ">i4",
    "vtktypeint64": ">i8", "vtktypeuint64": ">u8", "vtktypeint32": ">i4", "vtktypeuint32": ">u4",
}  # fmt: skip
# The order in which cell data counts the cells of a POLYDATA, whatever the order in the file.
_POLYDATA = {"VERTICES": POLY_VERTEX, "LINES": POLY_LINE, "POLYGONS": POLYGON, "TRIANGLE_STRIPS": STRIP}
_FIXED = {"VECTORS": 3, "NORMALS": 3, "TENSORS": 9, "TENSORS6": 6, "GLOBAL_IDS": 1, "PEDIGREE_IDS": 1}


def read(data: bytes) -> Cells:
    """Return the cells of a legacy VTK file.

    Raises
    ------
    InputError
        If the file is truncated, declares more values than it has bytes for, or holds a grid.
    """
    return _Reader(data).cells()


@final
class _Reader:
    """A cursor over the file, and what was read so far."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        version = re.match(rb"#\s*vtk\s+DataFile\s+Version\s+(\d+)\.(\d+)", self._raw_line(), re.IGNORECASE)
        if version is None:
            raise InputError("no VTK version line", needed='"# vtk DataFile Version x.y"')
        self._major = int(version[1])
        self._title = self._raw_line().decode("latin-1").strip()
        mode = self._line().upper()
        if mode not in ("ASCII", "BINARY"):
            raise InputError(f"the VTK data mode {mode!r}", needed="ASCII or BINARY")
        self._ascii = mode == "ASCII"
        self._points: Floats | None = None
        self._cells: dict[str, tuple[Ints, Ints]] = {}
        self._types: Ints | None = None
        self._fields: dict[str, dict[str, Floats]] = {"POINT_DATA": {}, "CELL_DATA": {}, "": {}}
        self._notes: list[str] = []

    # --- the cursor ---------------------------------------------------------------------------------------

    def _raw_line(self) -> bytes:
        end = self._data.find(b"\n", self._at)
        end = len(self._data) if end < 0 else end
        line = self._data[self._at : end]
        self._at = end + 1
        return line

    def _line(self) -> str:
        """Return the next line that is not blank, "" at the end of the file."""
        while self._at < len(self._data):
            line = self._raw_line().strip()
            if line:
                return line.decode("latin-1")
        return ""

    def _values(self, count: int, name: str) -> npt.NDArray[Any]:
        """Return ``count`` values of a VTK type; nothing is allocated before the bytes are seen."""
        dtype = _TYPES.get(name.lower())
        if dtype is None:
            raise InputError(f"VTK values of type {name!r}", needed=", ".join(_TYPES))
        left = len(self._data) - self._at
        width = np.dtype(dtype).itemsize
        if count < 0 or count * (1 if self._ascii else width) > left:
            raise InputError(
                f"{count} values are declared and {max(left, 0)} bytes are left", needed="the whole file"
            )
        if self._ascii:
            return self._text_values(count, dtype)
        start, self._at = self._at, self._at + count * width
        return np.frombuffer(self._data, dtype, count, start)

    def _text_values(self, count: int, dtype: str) -> npt.NDArray[Any]:
        words: list[bytes] = []
        while len(words) < count:
            if self._at >= len(self._data):
                raise InputError(
                    f"the file ends after {len(words)} of {count} values", needed="the whole file"
                )
            words += self._raw_line().split()
        if len(words) > count:
            raise InputError(f"{len(words)} values where {count} are declared", needed="the declared number")
        return numbers(words, dtype)

    # --- the parts ----------------------------------------------------------------------------------------

    def cells(self) -> Cells:
        """Read all sections."""
        kind, where = "", ""
        while line := self._line():
            words = line.split()
            key = words[0].upper()
            if key == "DATASET":
                kind = words[-1].upper()
                if kind not in ("POLYDATA", "UNSTRUCTURED_GRID"):
                    raise InputError(f"a VTK dataset {kind}", needed="POLYDATA or UNSTRUCTURED_GRID")
            elif key == "POINTS":
                self._points = self._values(3 * _int(words, 1), _word(words, 2)).reshape(-1, 3).astype(float)
            elif key in _POLYDATA or key == "CELLS":
                self._cells[key] = self._cell_list(_int(words, 1), _int(words, 2))
            elif key == "CELL_TYPES":
                self._types = self._values(_int(words, 1), "int").astype(np.int64)
            elif key in ("POINT_DATA", "CELL_DATA"):
                where = key
            elif key == "METADATA":
                while self._at < len(self._data) and self._raw_line().strip():
                    pass
            else:
                self._attribute(key, words, where)
        return self._assembled()

    def _cell_list(self, count: int, size: int) -> tuple[Ints, Ints]:
        """Return connectivity and offsets."""
        before = self._at
        words = self._line().split() if self._major >= 5 else []
        if words and words[0].upper() == "OFFSETS":
            offsets = self._values(count, _word(words, 1)).astype(np.int64)
            words = self._line().split()
            if not words or words[0].upper() != "CONNECTIVITY":
                raise InputError("OFFSETS without CONNECTIVITY", needed="both")
            return self._values(size, _word(words, 1)).astype(np.int64), offsets
        self._at = before
        return _unrolled(self._values(size, "int").astype(np.int64), count)

    def _attribute(self, key: str, words: list[str], where: str) -> None:
        fields = self._fields[where]
        count = self._count(where)
        if key == "FIELD":
            for _ in range(_int(words, 2)):
                self._field_array(fields)
            return
        if key == "LOOKUP_TABLE":  # colours for display, four bytes an entry
            self._values(4 * _int(words, 2), "float" if self._ascii else "unsigned_char")
            return
        name = unquote(_word(words, 1))
        if key == "SCALARS":
            width = int(words[3]) if len(words) > 3 and words[3].isdigit() else 1
            before = self._at
            if not self._line().upper().startswith("LOOKUP_TABLE"):
                self._at = before
            values = self._values(count * width, _word(words, 2))
        elif key == "COLOR_SCALARS":
            width = _int(words, 2)
            values = self._values(count * width, "float" if self._ascii else "unsigned_char")
        elif key == "TEXTURE_COORDINATES":
            width = _int(words, 2)
            values = self._values(count * width, _word(words, 3))
        elif key in _FIXED:
            width = _FIXED[key]
            values = self._values(count * width, _word(words, 2))
        else:
            raise InputError(f"the VTK section {key[:40]!r}", needed="a section of the legacy format")
        fields[name] = _columns(values, width)

    def _field_array(self, fields: dict[str, Floats]) -> None:
        words = self._line().split()
        if words and words[0].upper() == "METADATA":
            while self._at < len(self._data) and self._raw_line().strip():
                pass
            words = self._line().split()
        name, width, count, kind = unquote(_word(words, 0)), _int(words, 1), _int(words, 2), _word(words, 3)
        if kind.lower() == "string":
            if not self._ascii:
                raise InputError(f"the field {name!r} holds binary text", needed="numbers")
            for _ in range(min(width * count, len(self._data) - self._at)):
                self._raw_line()
            self._notes.append(f"the text field {name!r} was left out")
            return
        fields[name] = _columns(self._values(width * count, kind), width)

    def _count(self, where: str) -> int:
        if where == "POINT_DATA":
            return 0 if self._points is None else len(self._points)
        return sum(len(offsets) - 1 for _, offsets in self._cells.values())

    def _assembled(self) -> Cells:
        if self._points is None:
            raise InputError("no POINTS", needed="a VTK file with points")
        if "CELLS" in self._cells:
            connectivity, offsets = self._cells["CELLS"]
            if self._types is None or len(self._types) != len(offsets) - 1:
                raise InputError("CELLS without a CELL_TYPES for each", needed=f"{len(offsets) - 1} types")
            types = self._types
        else:
            lists = [(kind, self._cells[key]) for key, kind in _POLYDATA.items() if key in self._cells]
            connectivity, offsets, types = joined(lists)
        return Cells(
            self._points, connectivity, offsets, types,
            self._fields["POINT_DATA"], self._fields["CELL_DATA"], self._title, tuple(self._notes),
            {name: float(value.flat[0]) for name, value in self._fields[""].items() if value.size == 1},
        )  # fmt: skip


def joined(lists: list[tuple[int, tuple[Ints, Ints]]]) -> tuple[Ints, Ints, Ints]:
    """Return connectivity, offsets and types of cell lists of one VTK type each, put together."""
    none = np.zeros(0, np.int64)
    flat, sizes, types = [none], [none], [none]
    for kind, (connectivity, offsets) in lists:
        flat.append(connectivity)
        sizes.append(np.diff(offsets))
        types.append(np.full(len(offsets) - 1, kind, np.int64))
    ends = np.cumsum(np.concatenate(sizes))
    return np.concatenate(flat), np.concatenate([[0], ends]).astype(np.int64), np.concatenate(types)


def numbers(words: list[bytes], dtype: str) -> npt.NDArray[Any]:
    """Return words as numbers; integers are read as integers, so that a large index stays exact."""
    kind = np.dtype(dtype).kind
    try:
        return np.array(words).astype(np.float64 if kind == "f" else np.int64) if words else np.zeros(0)
    except (ValueError, OverflowError) as error:
        raise InputError(f"a word that is no number: {error}", needed="numbers") from error


def _unrolled(flat: Ints, count: int) -> tuple[Ints, Ints]:
    """Return connectivity and offsets of ``size, point, point ...`` lists."""
    width = 1 + int(flat[0]) if len(flat) else 0
    if width > 1 and len(flat) == count * width and (flat[::width] == flat[0]).all():
        rows = flat.reshape(count, width)[:, 1:]
        return rows.ravel(), np.arange(count + 1) * (width - 1)
    heads = np.zeros(max(min(count, len(flat)), 0), np.int64)
    at = 0
    for n in range(count):
        if at >= len(flat) or flat[at] < 0:
            raise InputError(f"the cell list ends after {n} of {count} cells", needed="all cells")
        heads[n] = at
        at += 1 + int(flat[at])
    if at != len(flat):
        raise InputError(f"cells of {at} numbers, {len(flat)} given", needed="the declared size")
    offsets = np.concatenate([[0], np.cumsum(flat[heads])]).astype(np.int64)
    return np.delete(flat, heads), offsets


def _columns(values: npt.NDArray[Any], width: int) -> Floats:
    table = values.astype(np.float64)
    return table.reshape(-1, width) if width > 1 else table


def _word(words: list[str], n: int) -> str:
    if n >= len(words):
        raise InputError(f"the VTK line {' '.join(words)[:60]!r} ends early", needed=f"{n + 1} words")
    return words[n]


def _int(words: list[str], n: int) -> int:
    word = _word(words, n)
    if not word.isdigit() or len(word) > 18:
        raise InputError(f"{word[:40]!r} where a count stands", needed="a whole number")
    return int(word)
