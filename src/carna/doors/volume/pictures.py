"""PNG and JPEG: pictures without a place, a scale or a time."""

from __future__ import annotations

import io
import struct
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from carna.doors.files import Blob
from carna.doors.volume.found import Volume
from carna.errors import InputError
from carna.study import Lazy

_MAX_PIXELS = 200_000_000
_GREY = ("L", "I;16", "I;16B", "I;16L", "I", "F")
_ORIENTATION = 0x0112
# Pillow answers a damaged file with any of these.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, TypeError, KeyError, IndexError, struct.error)


def is_picture(blob: Blob) -> bool:
    """Whether the first bytes are those of a PNG or a JPEG."""
    return blob.head[:8] == b"\x89PNG\r\n\x1a\n" or blob.head[:3] == b"\xff\xd8\xff"


def read(blob: Blob) -> list[Volume]:
    """Return the one picture of a file, ``(1, r, c)`` or ``(1, r, c, 3)``, upright as its EXIF says.

    Raises
    ------
    InputError
        If it is damaged or larger than 200 million pixels.
    """
    # Decoded once here and dropped: a cut picture shows only then.
    pixels, notes = _decoded(blob.load())
    values = Lazy(pixels.shape, lambda: _decoded(blob.load())[0])
    return [Volume("", values, None, notes=("a picture has no scale: lengths in it are pixels", *notes))]


def _decoded(data: bytes) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Return the pixels, and notes on what was changed."""
    from PIL import Image, ImageOps

    bombs = (Image.DecompressionBombWarning, Image.DecompressionBombError)
    notes: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # odd EXIF blocks are no concern here
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image: Image.Image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
            columns, rows = image.size
            if columns * rows > _MAX_PIXELS:
                raise InputError(f"a picture of {columns} × {rows}", needed=f"at most {_MAX_PIXELS} pixels")
            if image.getexif().get(_ORIENTATION, 1) != 1:
                notes.append("turned upright, as its EXIF orientation says")
            if image.mode in ("RGBA", "LA", "PA"):
                notes.append("the transparency was left out")
            image = ImageOps.exif_transpose(image)
            if image.mode not in _GREY:
                image = image.convert("L" if image.mode in ("1", "LA") else "RGB")
            return np.asarray(image)[None], tuple(notes)
    except (*_DAMAGED, *bombs) as error:
        raise InputError(
            f"a damaged picture: {error}", needed="a PNG or JPEG", fix="send it again"
        ) from error
