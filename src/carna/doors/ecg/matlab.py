"""Numeric arrays of MATLAB files, version 4 and version 5 to 7; version 7.3 is HDF5 and refused.

A reader of our own because the common one can crash the process on a damaged file. Every length
is checked against the bytes that are there; structures, cells, text and sparse arrays are passed
over. MathWorks, MAT-File Format (https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

__all__ = ["first_names", "matlab_arrays"]

Order = Literal["little", "big"]

_MATRIX, _COMPRESSED = 14, 15
# Storage type of an element -> NumPy's letters; class of an array -> the same.
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_VERSION_4 = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}
_MAX_BYTES = 1 << 30


def first_names(head: bytes) -> tuple[str, ...]:
    """Return the names of the variables that begin within the first bytes of a version 5 file."""
    if head[:10] != b"MATLAB 5.0" or len(head) < 128:
        return ()
    order = _order(head)
    names = []
    for body in _matrices(head, order, 256):
        parts = _elements(body, order)
        names += [data.decode("latin-1") for n, (_, data) in enumerate(parts) if n == 2]
    return tuple(names)


def matlab_arrays(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the real numeric arrays of a file, by name.

    Raises
    ------
    InputError
        If the file is of version 7.3, or holds no array that can be read.
    """
    if data[:10] == b"MATLAB 7.3" or data[:8] == b"\x89HDF\r\n\x1a\n":
        raise InputError("a MATLAB 7.3 file", needed="version 4 to 7", fix="save it with -v7")
    found = dict(_version_5(data) if data[:10] == b"MATLAB 5.0" else _version_4(data))
    if not found:
        raise InputError("a MATLAB file without a readable numeric array", needed="one", fix="send it again")
    return found


def _order(data: bytes) -> Order:
    return "little" if data[126:128] == b"IM" else "big"


def _matrices(data: bytes, order: Order, limit: int) -> Iterator[bytes]:
    """Yield the body of each array, unpacked, at most ``limit`` bytes of it; ends where damage begins."""
    at = 128
    while at + 8 <= len(data):
        kind, size = (int.from_bytes(data[at + k : at + k + 4], order) for k in (0, 4))
        body = data[at + 8 : at + 8 + size]
        if kind == _COMPRESSED:
            try:
                body = zlib.decompressobj().decompress(body, limit + 8)
            except zlib.error:
                return
            kind, body = int.from_bytes(body[:4], order), body[8:]
        if kind == _MATRIX:
            yield body
        at += 8 + size


def _elements(body: bytes, order: Order) -> Iterator[tuple[int, bytes]]:
    """Yield (storage type, bytes) of each part of an array; one of up to 4 bytes lies in its own tag."""
    at = 0
    while at + 8 <= len(body):
        first = int.from_bytes(body[at : at + 4], order)
        if first >> 16:
            yield first & 0xFFFF, body[at + 4 : at + 4 + min(first >> 16, 4)]
            at += 8
        else:
            size = int.from_bytes(body[at + 4 : at + 8], order)
            yield first, body[at + 8 : at + 8 + size]
            at += 8 + -(-size // 8) * 8


def _version_5(data: bytes) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield arrays: an array's parts are its flags, dimensions, name, and the real values."""
    order = _order(data)
    letter = "<" if order == "little" else ">"
    for body in _matrices(data, order, _MAX_BYTES):
        parts = _elements(body, order)
        flags, sizes, name, values = (next(parts, (0, b"")) for _ in range(4))
        cls = _CLASS.get(int.from_bytes(flags[1][:4], order) & 0xFF)
        stored = _STORED.get(values[0])
        if cls is None or stored is None or len(sizes[1]) % 4 or not name[1]:
            continue
        shape = tuple(int(n) for n in np.frombuffer(sizes[1], f"{letter}i4"))
        kind = np.dtype(letter + stored)
        if min(shape, default=0) < 1 or math.prod(shape) * kind.itemsize != len(values[1]):
            continue
        # MATLAB stores small whole numbers in fewer bytes than their class has.
        array = np.frombuffer(values[1], kind).astype(cls)
        yield name[1].decode("latin-1"), array.reshape(shape, order="F")


def _version_4(data: bytes) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield arrays: five words (type, rows, columns, imaginary, length of the name), name, values."""
    at = 0
    while at + 20 <= len(data):
        little = int.from_bytes(data[at : at + 4], "little") < 5000
        order: Order = "little" if little else "big"
        mopt, rows, columns, imaginary, length = (
            int.from_bytes(data[at + k : at + k + 4], order) for k in range(0, 20, 4)
        )
        stored = _VERSION_4.get(mopt // 10 % 10)
        if mopt >= 5000 or mopt // 100 % 10 or stored is None or not 1 <= length <= 256:
            return
        kind = np.dtype(("<" if little else ">") + stored)
        start = at + 20 + length
        size = rows * columns * kind.itemsize
        if start + size > len(data):
            return
        if mopt % 10 == 0 and not imaginary and size:
            name = data[at + 20 : start].split(b"\0")[0].decode("latin-1")
            values = np.frombuffer(data, kind, rows * columns, start).astype(kind.newbyteorder("="))
            yield name, values.reshape((rows, columns), order="F")
        at = start + size * (2 if imaginary else 1)
