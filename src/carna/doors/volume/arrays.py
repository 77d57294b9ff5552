"""NumPy arrays, NPY and NPZ: values without a word on space, which the sidecar must add."""

from __future__ import annotations

import ast
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from carna.doors.files import HEAD, Blob
from carna.doors.volume.found import MOST_PACKED, Volume, named_labels
from carna.doors.volume.sidecar import Sidecar, beside
from carna.errors import InputError
from carna.study import Lazy


def is_array(blob: Blob) -> bool:
    """Whether the file is an NPY or an NPZ by its first bytes."""
    return blob.head[:6] == b"\x93NUMPY" or (blob.head[:4] == b"PK\x03\x04" and blob.suffix == ".npz")


def read(blob: Blob, side: Sidecar) -> list[Volume]:
    """Return the volumes of an array file.

    Raises
    ------
    InputError
        If there is no sidecar, the values are no volume, or bytes are missing.
    """
    packed = blob.suffix == ".npz"
    shape, dtype, fortran, offset = (
        ((), np.dtype("u1"), False, 0) if packed else _header(blob.head, blob.file)
    )
    if not packed and len(shape) != 3:
        raise InputError(f"an array of shape {shape}", needed="three axes: slices, rows, columns")
    if beside(blob) is None or (side.affine is None and side.spacing_mm is None):
        raise InputError(
            f"{blob.file} says nothing of space",
            needed=f'{blob.stem}.json beside it with "spacing_mm": [slices, rows, columns] or "affine" '
            '(index to LPS mm, 4 x 4), and "modality"',
            fix="write that file",
        )
    if packed:
        return _archive(blob, side)
    if blob.size != offset + math.prod(shape) * dtype.itemsize:
        raise InputError(
            f"{blob.size} bytes for {' × '.join(map(str, shape))} values of {dtype}",
            needed=f"{offset + math.prod(shape) * dtype.itemsize} bytes",
            fix="send it again",
        )

    def load() -> npt.NDArray[Any]:
        return _values(blob.load()[offset:], shape, dtype, fortran=fortran)

    return [_volume("", shape, dtype, load, side, blob.stem)]


# zipfile answers a damaged directory with any of these.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
)


def _archive(blob: Blob, side: Sidecar) -> list[Volume]:
    found: list[Volume] = []
    try:
        with zipfile.ZipFile(blob.open()) as archive:
            for info in archive.infolist():
                with archive.open(info) as member:
                    head = member.read(HEAD)
                if head[:6] != b"\x93NUMPY":
                    raise InputError(f"{info.filename} in an NPZ", needed="arrays only")
                shape, dtype, fortran, offset = _header(head, info.filename)
                if len(shape) != 3:
                    continue
                size = offset + math.prod(shape) * dtype.itemsize
                if info.file_size != size or size > MOST_PACKED * max(info.compress_size, 1):
                    raise InputError(
                        f"{info.filename} of {info.file_size} bytes", needed=f"{size}, truly packed"
                    )
                loader = _member(blob, info.filename, shape, dtype, offset, fortran=fortran)
                loader()  # a packed member shows only here that it is whole
                name = info.filename.removesuffix(".npy")
                found.append(_volume(name, shape, dtype, loader, side, name))
    except _DAMAGED as error:
        raise InputError(f"a damaged NPZ: {error}", needed="an intact file", fix="send it again") from error
    if not found:
        raise InputError("an NPZ without a volume", needed="an array of three axes")
    return found


def _member(
    blob: Blob, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int, *, fortran: bool
) -> Callable[[], npt.NDArray[Any]]:
    def load() -> npt.NDArray[Any]:
        with zipfile.ZipFile(blob.open()) as archive:
            return _values(archive.read(name)[offset:], shape, dtype, fortran=fortran)

    return load


def _header(head: bytes, name: str) -> tuple[tuple[int, ...], np.dtype[Any], bool, int]:
    """Return shape, type, order and the byte at which the values begin."""
    wide = 2 if head[6:7] == b"\x01" else 4
    start = 8 + wide
    end = start + int.from_bytes(head[8:start], "little")
    try:
        fields = ast.literal_eval(head[start:end].decode("latin-1").strip())
        shape, dtype, fortran = tuple(fields["shape"]), np.dtype(fields["descr"]), fields["fortran_order"]
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise InputError(f"{name} has a broken header: {error}", needed="an NPY file") from error
    if dtype.kind not in "iufb" or dtype.hasobject:
        words = " (k-space is not reconstructed here)" if dtype.kind == "c" else ""
        raise InputError(f"{name} holds {dtype} values{words}", needed="whole or real numbers")
    if end > len(head) or not all(type(n) is int and n >= 0 for n in shape):
        raise InputError(f"{name} of shape {shape}", needed="sizes of at least 1")
    return shape, dtype, bool(fortran), end


def _values(raw: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], *, fortran: bool) -> npt.NDArray[Any]:
    flat = np.frombuffer(raw, dtype, math.prod(shape))
    values = flat.reshape(shape, order="F" if fortran else "C")
    return values.astype(dtype.newbyteorder("="), copy=False)


def _volume(
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    load: Callable[[], npt.NDArray[Any]],
    side: Sidecar,
    title: str,
) -> Volume:
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(f"an array of shape {shape}", needed="three axes: slices, rows, columns")
    grid, notes = side.grid(shape)
    labels = dtype.kind in "iub" and named_labels(title)
    return Volume(name, Lazy(shape, load), grid, is_labels=labels, notes=notes)
