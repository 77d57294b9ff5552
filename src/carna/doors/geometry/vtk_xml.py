"""VTK XML files: PolyData (VTP) and UnstructuredGrid (VTU).

Arrays stand as text, as base64 in the document, or appended behind it, raw or as base64;
each may be cut into blocks that zlib has packed. Layout: "VTK XML File Formats",
https://docs.vtk.org.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from carna.doors.geometry.cells import POLY_LINE, POLY_VERTEX, POLYGON, STRIP, Cells, Ints
from carna.doors.geometry.vtk_legacy import joined, numbers
from carna.errors import InputError
from carna.space import Floats

_TYPES = {
    "Int8": "i1", "UInt8": "u1", "Int16": "i2", "UInt16": "u2", "Int32": "i4", "UInt32": "u4",
    "Int64": "i8", "UInt64": "u8", "Float32": "f4", "Float64": "f8",
}  # fmt: skip
_LISTS = {"Verts": POLY_VERTEX, "Lines": POLY_LINE, "Polys": POLYGON, "Strips": STRIP}
_ZLIB = "vtkZLibDataCompressor"
# zlib can't pack better than this; a block that claims more is false.
_MOST_PACKED = 1032


def read(data: bytes) -> Cells:
    """Return the cells of all pieces of a VTP or VTU file.

    Raises
    ------
    InputError
        If the document is broken, a compressor is not zlib, an array has too few bytes, or the
        dataset is of another kind.
    """
    document, appended, encoding = _split(data)
    # A document type could pull in entities; VTK writes none.
    if b"<!DOCTYPE" in document or b"<!ENTITY" in document:
        raise InputError("an XML document type", needed="plain VTK XML")
    try:
        root = ElementTree.fromstring(document)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"broken XML: {error}", needed="a whole VTK file", fix="send it again") from error
    kind = root.get("type", "")
    if root.tag != "VTKFile" or kind not in ("PolyData", "UnstructuredGrid"):
        raise InputError(f"a VTK XML file of type {kind!r}", needed="PolyData or UnstructuredGrid")
    compressor = root.get("compressor", "")
    if compressor not in ("", _ZLIB):
        raise InputError(f"arrays packed by {compressor}", needed="zlib", fix="save it with zlib or unpacked")
    order = {"LittleEndian": "<", "BigEndian": ">"}.get(root.get("byte_order", "LittleEndian"))
    width = {"UInt32": "u4", "UInt64": "u8"}.get(root.get("header_type", "UInt32"))
    if order is None or width is None:
        raise InputError(
            f"byte order {root.get('byte_order')!r}, header {root.get('header_type')!r}",
            needed="LittleEndian or BigEndian, UInt32 or UInt64",
        )
    arrays = _Arrays(order, np.dtype(order + width), bool(compressor), appended, encoding)
    # Some senders, Carna among them, state frame and unit in a comment before the first element.
    comment = re.search(rb"<!--(.*?)-->", document[: document.find(b"<VTKFile")])
    header = comment[1].decode("latin-1").strip() if comment else ""
    pieces = [_piece(node, arrays, kind, header) for node in root.iterfind(f"{kind}/Piece")]
    if not pieces:
        raise InputError("no Piece in the VTK file", needed="at least one")
    whole = pieces[0] if len(pieces) == 1 else _together(pieces)
    single = _fields(root.find(f"{kind}/FieldData"), arrays, [])
    return replace(whole, facts={name: float(v.flat[0]) for name, v in single.items() if v.size == 1})


def _split(data: bytes) -> tuple[bytes, bytes, str]:
    """Return the document, closed before its appended bytes, those bytes, and their encoding."""
    start = re.search(rb"<AppendedData([^>]*)>\s*_", data)
    if start is None:
        return data, b"", ""
    encoding = re.search(rb"encoding\s*=\s*[\"'](\w+)[\"']", start[1])
    body = data[start.end() :]
    name = encoding[1].decode() if encoding else "raw"
    if name == "base64":
        body = body[: max(body.find(b"<"), 0)]
    elif name != "raw":
        raise InputError(f"appended data in {name!r}", needed="raw or base64")
    return data[: start.start()] + b"</VTKFile>", body, name


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Arrays:
    """How the arrays of one file are stored."""

    order: str
    header: np.dtype[Any]
    packed: bool
    appended: bytes
    encoding: str

    def read(self, node: ElementTree.Element) -> npt.NDArray[Any]:
        """Return the values of one DataArray, flat."""
        kind = _TYPES.get(node.get("type", ""))
        if kind is None:
            raise InputError(f"a DataArray of type {node.get('type')!r}", needed=", ".join(_TYPES))
        form, text = node.get("format", "ascii"), (node.text or "").strip()
        if form == "ascii":
            return numbers(text.encode().split(), kind)
        if form == "binary":
            raw = self._bytes(text.encode("ascii", "replace"), encoded=True)
        elif form == "appended":
            offset = node.get("offset", "")
            if not offset.isdigit() or int(offset) >= len(self.appended):
                raise InputError(
                    f"an array at offset {offset!r}", needed=f"{len(self.appended)} appended bytes"
                )
            raw = self._bytes(self.appended[int(offset) :], encoded=self.encoding == "base64")
        else:
            raise InputError(f"a DataArray in the format {form!r}", needed="ascii, binary or appended")
        dtype = np.dtype(self.order + kind)
        if len(raw) % dtype.itemsize:
            raise InputError(f"an array of {len(raw)} bytes", needed=f"whole values of {dtype.itemsize}")
        return np.frombuffer(raw, dtype)

    def _bytes(self, stored: bytes, *, encoded: bool) -> bytes:
        width = self.header.itemsize
        if not self.packed:
            return self._plain(stored, width, encoded=encoded)
        (blocks,) = self._numbers(stored, 1, encoded=encoded)
        if blocks * width > len(stored):
            raise InputError(f"{blocks} packed blocks are declared", needed="no more than the file holds")
        if blocks == 0:
            return b""
        _, size, last, *packed = self._numbers(stored, 3 + blocks, encoded=encoded)
        length = (3 + blocks) * width
        body = stored[_chars(length) :] if encoded else stored[length:]
        body = _decoded(body, sum(packed)) if encoded else body[: sum(packed)]
        if len(body) < sum(packed):
            raise InputError(
                f"{sum(packed)} packed bytes declared, {len(body)} given", needed="the whole file"
            )
        out, at = [], 0
        for n, count in enumerate(packed):
            whole = last if n == blocks - 1 and last else size
            if whole > _MOST_PACKED * max(count, 1):
                raise InputError(f"{whole} bytes packed in {count}", needed="a true size")
            out.append(_unpacked(body[at : at + count], whole))
            at += count
        return b"".join(out)

    def _plain(self, stored: bytes, width: int, *, encoded: bool) -> bytes:
        (size,) = self._numbers(stored, 1, encoded=encoded)
        if size > len(stored):
            raise InputError(f"{size} bytes declared, {len(stored)} given", needed="the whole file")
        if not encoded:
            found = stored[width : width + size]
        elif b"=" in stored[: _chars(width)] and size:  # the size was encoded apart from the values
            found = _decoded(stored[_chars(width) :], size)
        else:
            found = _decoded(stored, width + size)[width:]
        if len(found) < size:
            raise InputError(f"{size} bytes declared, {len(found)} given", needed="the whole file")
        return found

    def _numbers(self, stored: bytes, count: int, *, encoded: bool) -> list[int]:
        length = count * self.header.itemsize
        raw = _decoded(stored[: _chars(length)], length) if encoded else stored[:length]
        if len(raw) < length:
            raise InputError("an array ends inside its header", needed="the whole file")
        return [int(n) for n in np.frombuffer(raw, self.header, count)]


def _chars(length: int) -> int:
    """Return how many base64 characters stand for so many bytes."""
    return 4 * ((length + 2) // 3)


def _decoded(text: bytes, length: int) -> bytes:
    try:
        return base64.b64decode(text[: _chars(length)])[:length]
    except binascii.Error as error:
        raise InputError(f"broken base64: {error}", needed="the whole file") from error


def _unpacked(block: bytes, size: int) -> bytes:
    unpack = zlib.decompressobj()
    try:
        out = unpack.decompress(block, max(size, 1))
    except zlib.error as error:
        raise InputError(f"a damaged packed block: {error}", needed="an intact file") from error
    if len(out) != size:
        raise InputError(f"a packed block of {len(out)} bytes", needed=f"{size} as declared")
    return out


def _piece(node: ElementTree.Element, arrays: _Arrays, kind: str, header: str) -> Cells:
    count = node.get("NumberOfPoints", "")
    place = node.find("Points/DataArray")
    if place is None:
        raise InputError("a Piece without Points", needed="a Points array")
    values = arrays.read(place)
    if not count.isdigit() or len(values) != 3 * int(count):
        raise InputError(f"{len(values)} coordinates", needed=f"3 for each of {count[:20]} points")
    notes: list[str] = []
    if kind == "PolyData":
        parts = [(number, _cell_list(node.find(name), arrays)) for name, number in _LISTS.items()]
        connectivity, offsets, types = joined(parts)
    else:
        cells = node.find("Cells")
        connectivity, offsets = _cell_list(cells, arrays)
        types = _named(cells, arrays).get("types", np.zeros(0)).astype(np.int64)
    return Cells(
        values.reshape(-1, 3).astype(np.float64), connectivity, offsets, types,
        _fields(node.find("PointData"), arrays, notes), _fields(node.find("CellData"), arrays, notes),
        header, tuple(notes),
    )  # fmt: skip


def _named(node: ElementTree.Element | None, arrays: _Arrays) -> Mapping[str, npt.NDArray[Any]]:
    found = [] if node is None else node.findall("DataArray")
    return {array.get("Name", "").lower(): arrays.read(array) for array in found}


def _cell_list(node: ElementTree.Element | None, arrays: _Arrays) -> tuple[Ints, Ints]:
    named = _named(node, arrays)
    ends = named.get("offsets", np.zeros(0)).astype(np.int64)
    connectivity = named.get("connectivity", np.zeros(0)).astype(np.int64)
    return connectivity, np.concatenate([[0], ends]).astype(np.int64)


def _fields(node: ElementTree.Element | None, arrays: _Arrays, notes: list[str]) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for array in [] if node is None else list(node):
        name = array.get("Name", "")
        if array.get("type") not in _TYPES:
            notes.append(f"the field {name!r} of type {array.get('type')} was left out")
            continue
        width = array.get("NumberOfComponents", "1")
        values = arrays.read(array).astype(np.float64)
        if not width.isdigit() or int(width) < 1 or len(values) % int(width):
            raise InputError(f"{len(values)} values in the field {name!r}", needed=f"{width} for each point")
        found[name] = values if int(width) == 1 else values.reshape(-1, int(width))
    return found


def _together(pieces: list[Cells]) -> Cells:
    """Return one set of cells from several pieces; a field counts if every piece has it."""
    shift = np.cumsum([0, *(len(p.points) for p in pieces)])
    start = np.cumsum([0, *(len(p.connectivity) for p in pieces)])

    def fields(name: str) -> dict[str, Floats]:
        every = [getattr(piece, name) for piece in pieces]
        common = [n for n in every[0] if all(n in one for one in every)]
        alike = [n for n in common if len({one[n].shape[1:] for one in every}) == 1]
        return {n: np.concatenate([one[n] for one in every]) for n in alike}

    return Cells(
        np.concatenate([p.points for p in pieces]),
        np.concatenate([p.connectivity + shift[n] for n, p in enumerate(pieces)]),
        np.concatenate([[0], *(p.offsets[1:] + start[n] for n, p in enumerate(pieces))]).astype(np.int64),
        np.concatenate([p.types for p in pieces]),
        fields("point_fields"),
        fields("cell_fields"),
        pieces[0].header,
        tuple(dict.fromkeys(note for p in pieces for note in p.notes)),
    )
