"""What a reader of this door finds in one file, before it becomes a part or a prior finding."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import numpy.typing as npt

from carna.doors.files import Blob
from carna.errors import InputError
from carna.space import Floats, Grid
from carna.study import Lazy

# deflate can't pack better than this: a size beyond it is false.
MOST_PACKED = 1032
_NO_ORIENTATION = "the file states no orientation: the axes are as stored, not the patient's"


@final
@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """One array of a file, with its place if it has one.

    Parameters
    ----------
    name : str
        Tells the arrays of one file apart, "" if there is only one.
    values : Lazy
        ``(k, r, c)``; ``(t, k, r, c)`` with ``times_ms``; ``(t, r, c[, 3])`` for a picture.
    grid : Grid or None
        None: pixels without a place, which become a `Picture`.
    times_ms : (t,) or None
    is_labels : bool
        The values are labels by their type and their name.
    meanings : mapping
        Label to words, where the sender gave them.
    """

    name: str
    values: Lazy
    grid: Grid | None
    unit: str = "1"
    times_ms: Floats | None = None
    is_labels: bool = False
    meanings: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def named_labels(*names: str) -> bool:
    """Whether a name says that its values are labels."""
    return any(word in name.lower() for name in names for word in ("seg", "mask", "label"))


def spaced(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> tuple[Grid, str]:
    """Return a grid of known spacing (slices, rows, columns) and unknown place, and the note that says so."""
    if not all(math.isfinite(mm) and mm > 0 for mm in spacing_mm):
        raise InputError(f"a spacing of {spacing_mm}", needed="three lengths above 0 mm")
    affine = np.zeros((4, 4))
    # Slices, rows and columns along z, y and x: LPS for an axial series, arbitrary for any other.
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *spacing_mm, 1.0
    return Grid((shape[0], shape[1], shape[2]), affine), _NO_ORIENTATION


def check_size(shape: tuple[int, ...], width: int, available: int, what: str) -> int:
    """Return the bytes of an array, refused if there are fewer.

    Raises
    ------
    InputError
        If a size is below 1, or more bytes are declared than are available.
    """
    if not shape or min(shape) < 1:
        raise InputError(
            f"{what} of size {' × '.join(map(str, shape)) or 'nothing'}", needed="sizes of at least 1"
        )
    need = math.prod(shape) * width
    if need > available:
        raise InputError(
            f"{what} of {' × '.join(map(str, shape))} takes {need} bytes, {available} are there",
            needed="the whole file",
            fix="send it again",
        )
    return need


def inflated(packed: bytes, size: int, window: int) -> bytes:
    """Return ``size`` bytes unpacked by deflate (``window`` as zlib's ``wbits``).

    Raises
    ------
    InputError
        If the stream is damaged or holds another number of bytes.
    """
    if size > MOST_PACKED * max(len(packed), 1):
        raise InputError(f"{size} bytes packed in {len(packed)}", needed="the whole file")
    unpack = zlib.decompressobj(window)
    try:
        out = unpack.decompress(packed, size)
        out += b"" if unpack.eof else unpack.decompress(unpack.unconsumed_tail, 1)
    except zlib.error as error:
        raise InputError(
            f"damaged packed values: {error}", needed="an intact file", fix="send it again"
        ) from error
    if len(out) != size or not unpack.eof:
        raise InputError(
            f"{len(out)} unpacked bytes", needed=f"{size} as the header says", fix="send it again"
        )
    return out


def series(
    values: Callable[[], npt.NDArray[Any]], shape: tuple[int, ...], grid: Grid, **rest: Any
) -> list[Volume]:
    """Return each volume of an array ``(n, k, r, c)`` whose first axis is no time."""

    def one(n: int) -> Lazy:
        return Lazy(shape[1:], lambda: values()[n])

    count = shape[0]
    notes = rest.pop("notes", ())
    if count == 1:
        return [Volume("", one(0), grid, notes=notes, **rest)]
    extra = "the first axis states no time: its volumes are kept apart"
    return [
        Volume(f"{n + 1}", one(n), grid, notes=(*notes, f"volume {n + 1} of {count}", extra), **rest)
        for n in range(count)
    ]


def neighbour(blob: Blob, name: str) -> Blob:
    """Return the file of the same folder that a header names.

    Raises
    ------
    InputError
        If it isn't there, or the header points outside the folder.
    """
    if "/" in name or "\\" in name:
        raise InputError(f"the header points to {name[:60]!r}", needed="a file in the same folder")
    found = blob.neighbours.get(name)
    if found is None:
        raise InputError(f"{blob.file} without its values", needed=f"{name[:60]} beside it", fix="send both")
    return found
