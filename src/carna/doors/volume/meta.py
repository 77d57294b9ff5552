"""MetaImage: MHA in one file, MHD with its values beside it, plain or packed by zlib.

Layout: https://itk.org/Wiki/ITK/MetaIO/Documentation. The world is LPS millimetres, as ITK has it;
the rows of TransformMatrix are the directions of the axes, the fastest axis first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from carna.doors.files import Blob
from carna.doors.volume.found import Volume, check_size, inflated, named_labels, neighbour, series
from carna.errors import InputError
from carna.space import Grid
from carna.study import Lazy

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
# Where each world axis of LPS comes from, as AnatomicalOrientation names it.
_FROM = (("R", "L"), ("A", "P"), ("I", "S"))


def is_meta(blob: Blob) -> bool:
    """Whether the file begins as a MetaImage header does."""
    first = blob.head[:200].split(b"\n", 1)[0].replace(b" ", b"")
    return first.startswith((b"ObjectType=Image", b"NDims=")) and b"ElementDataFile" in blob.head


def data_file(blob: Blob) -> str:
    """Return the name of the file that holds the values, as the header has it."""
    return _fields(blob)[0].get("ElementDataFile", "")


def read(blob: Blob) -> list[Volume]:
    """Return the volumes of a MetaImage.

    Raises
    ------
    InputError
        If the header is broken, values are missing or the image has several channels.
    """
    fields, end = _fields(blob)
    shape = tuple(int(n) for n in _numbers(fields, "DimSize", ""))[::-1]
    if not 2 <= len(shape) <= 4 or str(len(shape)) != fields.get("NDims", ""):
        raise InputError(f"{len(shape)} sizes, NDims {fields.get('NDims')!r}", needed="2 to 4 of each")
    kind = _TYPES.get(fields.get("ElementType", ""))
    if kind is None or fields.get("ElementNumberOfChannels", "1") != "1":
        raise InputError(
            f"{fields.get('ElementNumberOfChannels', '1')} channels of {fields.get('ElementType')!r}",
            needed=f"one channel of {', '.join(_TYPES)}",
        )
    if fields.get("BinaryData", "True").lower() != "true":
        raise InputError("MetaImage values as text", needed="BinaryData = True")
    most_first = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False"))
    dtype = np.dtype((">" if most_first.lower() == "true" else "<") + kind)
    name = fields["ElementDataFile"]
    if name == "LIST" or "%" in name:
        raise InputError(f"values in a {name[:40]!r} of files", needed="one file of values")
    store, offset = (blob, end) if name.upper() == "LOCAL" else (neighbour(blob, name), 0)
    packed = fields.get("CompressedData", "False").lower() == "true"
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if fields.get("HeaderSize", "0") != "0" and store is not blob and not packed:
        # -1: the values are the last bytes of the file.
        stated = fields["HeaderSize"]
        offset = store.size - size if stated == "-1" else int(_numbers(fields, "HeaderSize", "0")[0])
    if offset < 0 or offset > store.size:
        raise InputError(f"values at byte {offset}", needed=f"0 to {store.size}")

    def load() -> npt.NDArray[Any]:
        raw = store.load()[offset:]
        raw = inflated(raw, size, 47) if packed else raw[:size]
        return np.frombuffer(raw, dtype).astype(dtype.newbyteorder("="), copy=False).reshape(shape)

    check_size(shape, dtype.itemsize, (store.size - offset) * (1032 if packed else 1), "a volume")
    if packed:
        load()  # a packed stream shows only here that it is whole
    grid, notes = _place(fields, shape)
    labels = dtype.kind in "iu" and named_labels(blob.stem)
    facts = {"Modality": fields["Modality"]} if "Modality" in fields else {}
    rest: dict[str, Any] = {"is_labels": labels, "notes": notes, "facts": facts}
    if len(shape) == 4:
        return series(load, shape, grid, **rest)
    place = grid.shape
    return [Volume("", Lazy(place, lambda: load().reshape(place)), grid, **rest)]


def _fields(blob: Blob) -> tuple[dict[str, str], int]:
    """Return the header by key, and where it ends; ElementDataFile is its last line."""
    head = blob.head
    fields: dict[str, str] = {}
    at = 0
    while at < len(head):
        end = head.find(b"\n", at)
        if end < 0:
            end = len(head)
        key, sign, value = head[at:end].decode("latin-1").partition("=")
        at = end + 1
        if sign:
            fields[key.strip()] = value.strip()
        if sign and key.strip() == "ElementDataFile":
            return fields, at
    raise InputError("a MetaImage header without ElementDataFile", needed="its last line within 4096 bytes")


def _numbers(fields: dict[str, str], key: str, default: str) -> list[float]:
    words = fields.get(key, default).split()
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise InputError(f"{key} = {fields.get(key, '')[:60]!r}", needed="numbers") from error
    if not numbers or not np.isfinite(numbers).all():
        raise InputError(f"{key} = {fields.get(key, '')[:60]!r}", needed="finite numbers")
    return numbers


def _place(fields: dict[str, str], shape: tuple[int, ...]) -> tuple[Grid, tuple[str, ...]]:
    n = len(shape)
    notes: list[str] = []
    ones, zeros = " ".join("1" * n), " ".join("0" * n)
    spacing_key = "ElementSpacing" if "ElementSpacing" in fields else "ElementSize"
    if spacing_key not in fields:
        notes.append("the header states no spacing: MetaImage's 1 mm taken")
    spacing = _numbers(fields, spacing_key, ones)
    offset = _numbers(fields, next((k for k in ("Offset", "Position", "Origin") if k in fields), ""), zeros)
    key = next((k for k in ("TransformMatrix", "Rotation", "Orientation") if k in fields), "")
    turn = _numbers(fields, key, " ".join(str(int(v)) for v in np.eye(n).ravel()))
    if not key:
        notes.append("the header states no orientation: axes taken along L, P and S")
    if len(spacing) != n or len(offset) != n or len(turn) != n * n:
        raise InputError(
            "spacing, offset and matrix of different sizes", needed=f"{n}, {n} and {n * n} numbers"
        )
    if min(spacing) <= 0:
        raise InputError(f"a spacing of {spacing}", needed="lengths above 0")
    m = min(n, 3)
    directions = np.eye(3)
    directions[:m, :m] = np.array(turn).reshape(n, n)[:m, :m]  # one row an axis
    steps = np.ones(3)
    steps[:m] = spacing[:m]
    affine = np.eye(4)
    affine[:3, :3] = (directions * steps[:, None])[::-1].T
    affine[:m, 3] = offset[:m]
    stated = fields.get("AnatomicalOrientation", "").upper()
    if len(stated) == 3 and not set(stated) <= set("RLAPIS"):
        stated = ""
    for axis, letter in enumerate(stated if m == 3 and len(stated) == 3 else ""):
        main = int(np.abs(directions[axis]).argmax())
        if letter != _FROM[main][int(directions[axis, main] < 0)]:
            notes.append(f"AnatomicalOrientation {stated} does not fit the matrix: the matrix is taken")
            break
    size = shape[-3:] if n >= 3 else (1, *shape)
    return Grid((size[0], size[1], size[2]), affine), tuple(notes)
