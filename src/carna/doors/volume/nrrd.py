"""NRRD: one file, or a header (.nhdr) with its values beside it; raw, gzip, bzip2 or text.

Layout: https://teem.sourceforge.net/nrrd/format.html. ``space`` names the world; LPS and RAS are read,
others are refused by name rather than guessed.
"""

from __future__ import annotations

import bz2
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from carna.doors.files import Blob
from carna.doors.volume.found import (
    MOST_PACKED,
    Volume,
    check_size,
    inflated,
    named_labels,
    neighbour,
    series,
    spaced,
)
from carna.errors import InputError
from carna.space import Floats, Grid, flip_ras
from carna.study import Lazy

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"), "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"), "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",), "f8": ("double",),
}  # fmt: skip
_BY_NAME = {name: kind for kind, names in _TYPES.items() for name in names}
_LPS = ("left-posterior-superior", "lps", "left-posterior-superior-time", "lpst")
_RAS = ("right-anterior-superior", "ras", "right-anterior-superior-time", "rast")
_ENCODINGS = {
    "raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2",
    "ascii": "text", "txt": "text", "text": "text",
}  # fmt: skip
_MAX_BYTES = 4 << 30


def is_nrrd(blob: Blob) -> bool:
    """Whether the file begins with NRRD's magic."""
    return blob.head[:7] == b"NRRD000"


def data_file(blob: Blob) -> str:
    """Return the name of the file that holds the values, "" if they follow the header."""
    fields, _ = _fields(blob)
    return fields.get("data file", fields.get("datafile", ""))


def read(blob: Blob) -> list[Volume]:
    """Return the volumes of an NRRD file.

    Raises
    ------
    InputError
        If the header is broken, the world is another than LPS or RAS, or values are missing.
    """
    fields, end = _fields(blob)
    shape = tuple(int(word) for word in _words(fields, "sizes", whole=True))[::-1]
    if fields.get("dimension") != str(len(shape)) or not 2 <= len(shape) <= 4:
        raise InputError(
            f"{len(shape)} sizes, dimension {fields.get('dimension')!r}", needed="2 to 4 of each"
        )
    kind = _BY_NAME.get(fields.get("type", "").lower())
    encoding = _ENCODINGS.get(fields.get("encoding", "").lower())
    if kind is None or encoding is None:
        raise InputError(
            f"type {fields.get('type')!r}, encoding {fields.get('encoding')!r}",
            needed=f"whole or real numbers in {', '.join(_ENCODINGS)}",
        )
    dtype = np.dtype((">" if fields.get("endian", "little").lower() == "big" else "<") + kind)
    name = fields.get("data file", fields.get("datafile", ""))
    if name.upper().startswith("LIST") or "%" in name:
        raise InputError(f"values in many files: {name[:40]!r}", needed="one file of values")
    store, offset = (neighbour(blob, name.removeprefix("./")), 0) if name else (blob, end)
    lines, skip = (int(_words(fields, key, "0")[0]) for key in ("line skip", "byte skip"))
    if lines or (skip < 0 and encoding != "raw") or skip < -1:
        raise InputError(
            f"line skip {lines}, byte skip {skip}", needed="no line skip, byte skip of at least 0"
        )
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    offset = store.size - size if skip == -1 else offset + skip
    if not 0 <= offset <= store.size:
        raise InputError(f"values at byte {offset}", needed=f"0 to {store.size}")
    room = {"raw": 1, "text": dtype.itemsize}.get(encoding, MOST_PACKED)
    check_size(shape, dtype.itemsize, min((store.size - offset) * room, _MAX_BYTES), "a volume")

    def load() -> npt.NDArray[Any]:
        raw = store.load()[offset:]
        values = _decoded(raw, encoding, dtype, size)
        return values.astype(dtype.newbyteorder("="), copy=False).reshape(shape)

    if encoding != "raw":
        load()  # packed values show only here that they are whole
    return _volumes(blob, fields, shape, load, kind)


def _decoded(raw: bytes, encoding: str, dtype: np.dtype[Any], size: int) -> npt.NDArray[Any]:
    if encoding == "text":
        words = raw.split()
        if len(words) != size // dtype.itemsize:
            raise InputError(f"{len(words)} values", needed=f"{size // dtype.itemsize} as the header says")
        try:
            return np.array(words).astype(np.float64 if dtype.kind == "f" else np.int64).astype(dtype)
        except (ValueError, OverflowError) as error:
            raise InputError(f"a value that is no number: {error}", needed="numbers") from error
    if encoding == "gzip":
        raw = inflated(raw, size, 47)
    elif encoding == "bzip2":
        try:
            unpack = bz2.BZ2Decompressor()
            raw = unpack.decompress(raw, size)
            raw += b"" if unpack.eof else unpack.decompress(b"", 1)
        except (OSError, ValueError) as error:
            raise InputError(f"damaged packed values: {error}", needed="an intact file") from error
        if not unpack.eof:
            raise InputError(f"{len(raw)} bytes unpacked and no end", needed=f"{size} and the end")
    if len(raw) < size:
        raise InputError(
            f"{len(raw)} bytes of values", needed=f"{size} as the header says", fix="send it again"
        )
    return np.frombuffer(raw[:size], dtype)


def _fields(blob: Blob) -> tuple[dict[str, str], int]:
    """Return the header's fields in lower case, and where its values begin."""
    head = blob.head
    fields: dict[str, str] = {}
    at = head.find(b"\n") + 1
    while 0 < at < len(head):
        end = head.find(b"\n", at)
        line = head[at : end if end >= 0 else len(head)].decode("latin-1").strip()
        at = end + 1 if end >= 0 else len(head)
        if not line:
            return fields, at
        key, sign, value = line.partition(":")
        # "key:=value" is the sender's own; a second colon belongs to the value.
        if sign and not value.startswith("=") and not line.startswith("#"):
            fields[key.strip().lower()] = value.strip()
    if "data file" in fields or "datafile" in fields:
        return fields, len(head)  # a detached header may end without a blank line
    raise InputError("an NRRD header without an end", needed="a blank line within 4096 bytes")


def _words(fields: dict[str, str], key: str, default: str = "", *, whole: bool = False) -> list[float]:
    try:
        numbers = [float(word) for word in fields.get(key, default).split()]
    except ValueError as error:
        raise InputError(f"{key}: {fields.get(key, '')[:60]!r}", needed="numbers") from error
    if not numbers or not np.isfinite(numbers).all() or (whole and any(n != int(n) for n in numbers)):
        raise InputError(f"{key}: {fields.get(key, '')[:60]!r}", needed="finite numbers")
    return numbers


def _vector(text: str) -> Floats | None:
    """Return ``(x,y,z)`` as three numbers, None for ``none``."""
    if text == "none":
        return None
    try:
        numbers = [float(word) for word in text.strip("()").split(",")]
    except ValueError as error:
        raise InputError(f"the direction {text[:60]!r}", needed="(x,y,z) or none") from error
    # "space: ...-time" adds a fourth component, which no direction of space uses.
    if len(numbers) not in (3, 4) or not np.isfinite(numbers).all():
        raise InputError(f"the direction {text[:60]!r}", needed="three finite numbers")
    return np.array(numbers[:3])


def _volumes(
    blob: Blob, fields: dict[str, str], shape: tuple[int, ...], load: Any, kind: str
) -> list[Volume]:
    n = len(shape)
    labels = kind[0] in "iu" and named_labels(blob.stem)
    texts = re.findall(r"\([^)]*\)|none", fields.get("space directions", ""))
    directions = [_vector(text) for text in texts]
    spatial = [axis for axis, direction in enumerate(directions) if direction is not None]
    notes: tuple[str, ...]
    if directions:
        if len(directions) != n or len(spatial) != min(n, 3) or any(directions[a] is None for a in spatial):
            raise InputError(
                f"{len(spatial)} directions for {n} axes", needed=f"{min(n, 3)}, and none for the rest"
            )
        other = [axis for axis in range(n) if axis not in spatial]
        size = tuple(shape[::-1][axis] for axis in spatial)[::-1]
        grid, notes = _placed(fields, [d for d in directions if d is not None], size)
        move = n - 1 - other[0] if other else 0  # where that axis lies, slowest axis first
        rest: dict[str, Any] = {"is_labels": labels, "notes": notes}
        if other:
            return series(lambda: np.moveaxis(load(), move, 0), (shape[move], *size), grid, **rest)
        return [Volume("", Lazy(grid.shape, lambda: load().reshape(grid.shape)), grid, **rest)]
    if n == 4:
        raise InputError(
            "four axes without space directions", needed="space directions", fix="say which axis is none"
        )
    volume = shape if n == 3 else (1, *shape)
    if "spacings" in fields:
        spacing = _words({"spacings": fields["spacings"].replace("nan", "1").replace("NaN", "1")}, "spacings")
        steps = [abs(s) for s in spacing[::-1]]
        if len(steps) != n:
            raise InputError(f"{len(steps)} spacings for {n} axes", needed="one each")
        placed, note = spaced(volume, tuple(steps if n == 3 else [1.0, *steps]))
        return [
            Volume("", Lazy(volume, lambda: load().reshape(volume)), placed, is_labels=labels, notes=(note,))
        ]
    note = "the file states no spacing: its slices are pictures, volumes in mL can't be computed"
    return [Volume("", Lazy(volume, lambda: load().reshape(volume)), None, is_labels=labels, notes=(note,))]


def _placed(
    fields: dict[str, str], directions: list[Floats], size: tuple[int, ...]
) -> tuple[Grid, tuple[str, ...]]:
    world = fields.get("space", "").lower()
    notes: tuple[str, ...] = ()
    if world and world not in (*_LPS, *_RAS):
        raise InputError(f"the space {world[:40]!r}", needed="LPS or RAS", fix="resave it in one of them")
    if not world:
        notes = ("the space is not named: taken as LPS",)
    if len(directions) == 2:
        normal = np.cross(directions[0], directions[1])
        directions = [*directions, normal / max(float(np.linalg.norm(normal)), 1e-12)]
        size = (1, *size)
    affine = np.eye(4)
    affine[:3, :3] = np.stack(directions[::-1], axis=1)
    origin = _vector(fields["space origin"]) if "space origin" in fields else None
    if origin is None:
        notes = (*notes, "the origin is not stated: taken as 0, 0, 0")
    else:
        affine[:3, 3] = origin
    return Grid((size[0], size[1], size[2]), flip_ras(affine) if world in _RAS else affine), notes
