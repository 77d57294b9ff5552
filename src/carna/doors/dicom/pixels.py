"""Pixels: stored bytes of every transfer syntax to values in real units (PS3.3 C.7.6.3, C.11.1, PS3.5 §8).

Uncompressed monochrome frames are viewed in place; everything else goes through pydicom's
decoders (gdcm, pylibjpeg, pyjpegls, pillow: whichever is installed and succeeds first).

What can be known without decoding is checked when a file is read (`store`): sizes, that the
file holds all its pixels, that each fragment starts as its syntax must, that a decoder is
installed. One frame is decoded only where decoders are known to fail, 12-bit JPEG. So a
series is never announced that can't be opened for a foreseeable reason, and reading a
folder of compressed images stays a matter of headers.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder
from pydicom.uid import UID

from carna.doors.dicom import scan
from carna.doors.dicom.header import BROKEN, Extent, Header, item, items, number, numbers, quiet, text, whole
from carna.doors.dicom.sniff import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from carna.doors.files import Blob
from carna.errors import InputError, UnitError
from carna.units import dimension

Array = npt.NDArray[Any]

_NATIVE: Final = frozenset((IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED))
_JPEG_12_BIT: Final = "1.2.840.10008.1.2.4.51"
_RLE: Final = "1.2.840.10008.1.2.5"
_MAX_FRAME_BYTES = 1 << 30
_MAX_PART_BYTES = 1 << 36


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """Where and how one object keeps its frames (PS3.3 C.7.6.3): all that decoding needs.

    ``shape`` is (rows, columns); ``end`` is where encapsulated pixels end, 0 for others.
    """

    blob: Blob = field(repr=False)
    syntax: str
    extent: Extent
    shape: tuple[int, int]
    frames: int
    samples: int
    allocated: int
    stored: int
    signed: bool
    photometric: str
    planar: int
    end: int = 0

    @property
    def color(self) -> bool:
        """Whether a frame has three values a pixel once decoded."""
        return self.samples == 3 or self.photometric == "PALETTE COLOR"

    @property
    def frame_bits(self) -> int:
        """Bits of one frame, uncompressed."""
        values = self.shape[0] * self.shape[1] * self.samples
        # 4:2:2 keeps both chroma values for every second pixel only.
        return (
            values * self.allocated * 2 // 3
            if self.photometric == "YBR_FULL_422"
            else values * self.allocated
        )


@dataclass(frozen=True, slots=True)
class Scale:
    """From a stored value to a real one: ``slope * stored + intercept`` in a UCUM ``unit``.

    ``table`` tells that a Modality LUT Sequence takes the place of slope and intercept.
    """

    slope: float = 1.0
    intercept: float = 0.0
    unit: str = "1"
    table: bool = False


def store(header: Header) -> Store:
    """Return how an image keeps its frames, after every check that needs no decoding.

    Raises
    ------
    InputError
        With the reason why the pixels can't be read.
    """
    ds, extent = header.ds, header.pixels
    if extent is None:
        raise InputError(
            "an image without pixel data", needed="(7FE0,0010)", fix="send it again with its pixels"
        )
    made = Store(
        blob=header.blob,
        syntax=header.syntax,
        extent=extent,
        shape=(whole(ds, "Rows"), whole(ds, "Columns")),
        frames=max(whole(ds, "NumberOfFrames", 1), 1),
        samples=whole(ds, "SamplesPerPixel", 1),
        allocated=whole(ds, "BitsAllocated", {"PixelData": 16, "FloatPixelData": 32}.get(extent.keyword, 64)),
        stored=whole(ds, "BitsStored", whole(ds, "BitsAllocated", 16)),
        signed=whole(ds, "PixelRepresentation") == 1,
        photometric=text(ds, "PhotometricInterpretation").upper() or "MONOCHROME2",
        planar=whole(ds, "PlanarConfiguration"),
    )
    _check_sizes(made)
    if made.syntax in _NATIVE:
        _check_native(made)
    else:
        made = _check_encapsulated(made)
    return made


def _check_sizes(made: Store) -> None:
    bits = made.allocated
    if (
        min(made.shape) < 1
        or made.samples not in (1, 3)
        or (bits != 1 and bits not in (8, 16, 32, 64))
        or not (made.extent.keyword != "PixelData" or 1 <= made.stored <= bits)
    ):
        rows, columns = made.shape
        raise InputError(
            f"{rows} x {columns} pixels of {made.samples} samples of {made.stored} in {bits} bits",
            needed="at least one pixel, 1 or 3 samples, 1, 8, 16, 32 or 64 bits",
            fix="send it again",
        )
    if made.frame_bits // 8 > _MAX_FRAME_BYTES or made.frame_bits // 8 * made.frames > _MAX_PART_BYTES:
        raise InputError(
            f"{made.frames} frames of {made.frame_bits // 8} bytes",
            needed="at most 1 GiB a frame, 64 GiB in all",
        )


def _check_native(made: Store) -> None:
    needed = math.ceil(made.frame_bits * made.frames / 8)
    there = made.extent.length if made.extent.whole else made.blob.size - made.extent.start
    if made.extent.length < 0:
        raise InputError(
            "fragments in an uncompressed syntax", needed="plain pixel data", fix="send it again"
        )
    if not made.extent.whole or there < needed:
        raise InputError(
            f"the pixels end after {max(there, 0)} of {needed} bytes",
            needed="all of them",
            fix="send it again",
        )


def _check_encapsulated(made: Store) -> Store:
    """Return the store with as many frames as there are fragments for; check syntax and signature."""
    name = UID(made.syntax).name
    try:
        decoder = get_decoder(made.syntax)
    except NotImplementedError as error:
        raise InputError(
            f"pixels compressed as {name}", needed="a still-image syntax", fix="have the sender transcode it"
        ) from error
    if not decoder.is_available:
        raise InputError(
            f"pixels compressed as {name}, no decoder installed",
            needed=" or ".join(decoder.missing_dependencies),
            fix="pip install it",
        )
    if made.extent.length >= 0:
        raise InputError(
            f"pixels said to be {name} but not in fragments", needed="fragments", fix="send it again"
        )
    fragments, end, first = scan.fragments(made.blob, made.extent.start)
    # Several fragments may hold one frame, but one fragment never holds two.
    if fragments < made.frames:
        raise InputError(
            f"{fragments} fragments for {made.frames} frames", needed="at least one each", fix="send it again"
        )
    made = replace(made, end=end)
    _check_signature(made, first, name)
    inside = codestream(first)
    if made.syntax == _JPEG_12_BIT and (inside is None or inside[2] != 8):
        try:
            decoded(made, [0])
        except InputError as error:
            bits = made.stored if inside is None else inside[2]
            raise InputError(
                f"{name} with {bits} bits: no installed decoder reads it",
                needed="8 bits, or another syntax",
                fix="have the sender transcode it",
            ) from error
    return made


def _check_signature(made: Store, first: bytes, name: str) -> None:
    if made.syntax == _RLE:
        good = len(first) >= 64 and 1 <= struct.unpack_from("<I", first)[0] <= 15
    elif _is_jpeg_2000(made.syntax):
        good = first[:4] == b"\xff\x4f\xff\x51" or first[4:8] == b"jP  "
    else:
        good = first[:2] == b"\xff\xd8"
    if not good:
        raise InputError(
            f"pixels that do not start as {name} does", needed="the stated syntax", fix="send it again"
        )
    inside = None if made.syntax == _RLE else codestream(first)
    if inside is not None and inside[:2] != made.shape:
        raise InputError(
            f"a codestream of {inside[0]} x {inside[1]} pixels",
            needed=f"{made.shape[0]} x {made.shape[1]}, as the header says",
            fix="send it again",
        )


def _is_jpeg_2000(syntax: str) -> bool:
    return ".4.9" in syntax or ".4.20" in syntax


def codestream(data: bytes) -> tuple[int, int, int] | None:
    """Return rows, columns and bits a sample that the start of a JPEG, JPEG-LS or JPEG 2000 stream names.

    None if its frame header is not there (T.81 B.2.2, T.87 C.2.2, T.800 A.5.1).
    """
    size = data.find(b"\xff\x4f\xff\x51")
    if size >= 0 and len(data) >= size + 43:
        x1, y1, x0, y0 = struct.unpack_from(">4I", data, size + 8)
        return y1 - y0, x1 - x0, (data[size + 42] & 0x7F) + 1
    pos = 2
    while pos + 9 <= len(data) and data[pos] == 0xFF:
        marker = data[pos + 1]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            bits, rows, columns = struct.unpack_from(">BHH", data, pos + 4)
            return rows, columns, bits
        # A marker may be preceded by any number of fill bytes.
        pos += 1 if marker == 0xFF else 2 + int.from_bytes(data[pos + 2 : pos + 4], "big")
    return None


def decoded(made: Store, wanted: Sequence[int]) -> Array:
    """Return stored values of some frames (from 0), ``(n, r, c)`` or ``(n, r, c, 3)`` RGB.

    Raises
    ------
    InputError
        If they can't be decoded.
    """
    viewable = made.samples == 1 and made.syntax in _NATIVE and made.allocated > 1
    try:
        with quiet():
            values = _viewed(made, wanted) if viewable else _by_decoder(made, wanted)
            if made.photometric == "PALETTE COLOR":
                values = _painted(values, scan.header(made.blob).bare())
    except BROKEN as error:
        raise InputError(
            f"the pixels of {made.blob.name} can't be decoded: {error}",
            needed=f"valid {UID(made.syntax).name}",
            fix="send it again",
        ) from error
    return values


def _bytes(made: Store, start: int, length: int) -> bytes:
    """Return some bytes of the pixel data, counted from its start."""
    if made.syntax == DEFLATED:
        return scan.dataset_bytes(made.blob)[0][made.extent.start + start :][:length]
    with made.blob.open() as file:
        file.seek(made.extent.start + start)
        return file.read(length)


def _viewed(made: Store, wanted: Sequence[int]) -> Array:
    """Return uncompressed monochrome frames, unused high bits cut off (PS3.5 §8.1.1)."""
    size = made.frame_bits // 8
    first, last = min(wanted), max(wanted)
    data = _bytes(made, first * size, (last - first + 1) * size)
    kind = "u" if not made.signed else "i"
    if made.extent.keyword != "PixelData":
        kind = "f"
    order = ">" if made.syntax == BIG_ENDIAN else "<"
    values = np.frombuffer(data, f"{order}{kind}{made.allocated // 8}").reshape(-1, *made.shape)
    if list(wanted) != list(range(first, last + 1)):
        values = values[[n - first for n in wanted]]
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if kind != "f" and made.stored < made.allocated:
        shift = made.allocated - made.stored
        values = (values << shift) >> shift
    return values


def _by_decoder(made: Store, wanted: Sequence[int]) -> Array:
    length = made.extent.length if made.extent.length >= 0 else made.end - made.extent.start
    options: dict[str, Any] = {
        "rows": made.shape[0],
        "columns": made.shape[1],
        "number_of_frames": made.frames,
        "samples_per_pixel": made.samples,
        "photometric_interpretation": made.photometric,
        "bits_allocated": made.allocated,
        "bits_stored": made.stored,
        "pixel_representation": int(made.signed),
        "planar_configuration": made.planar,
        "pixel_keyword": made.extent.keyword,
        "pixel_vr": "OW" if made.allocated > 8 else "OB",
    }
    syntax = EXPLICIT if made.syntax == DEFLATED else made.syntax
    decoder = get_decoder(syntax)
    data = _bytes(made, 0, length)
    failed: Exception | None = None
    for plugin in _plugins(decoder.available_plugins) or ("",):  # uncompressed pixels need none
        frames = decoder.iter_array(data, indices=list(wanted), raw=False, decoding_plugin=plugin, **options)
        try:
            return np.stack([np.array(array) for array, _ in frames])
        except BROKEN as error:
            failed = failed or error
    assert failed is not None
    raise failed


def _plugins(available: Sequence[str]) -> Sequence[str]:
    """Return the decoders to try in turn.

    GDCM ends the whole process on some damaged JPEG streams (a C++ exception that nobody catches), so
    it is asked only where nobody else can.
    """
    return [name for name in available if name != "gdcm"] or available


def _painted(values: Array, ds: Dataset) -> Array:
    """Return palette indices as 8-bit RGB."""
    painted = np.stack([apply_color_lut(frame, ds) for frame in values])
    bits = whole(ds, "RedPaletteColorLookupTableDescriptor") and int(
        numbers(ds, "RedPaletteColorLookupTableDescriptor")[-1]
    )
    return (painted >> 8).astype(np.uint8) if bits == 16 and painted.dtype.itemsize > 1 else painted


# Real units ------------------------------------------------------------------------------------


def scale_of(ds: Dataset, shared: Dataset | None = None, frame: Dataset | None = None) -> Scale:
    """Return how stored values become real ones (PS3.3 C.11.1, C.7.6.16.2.9, C.7.6.16.2.11).

    A Real World Value Mapping comes first, since it names its unit; then slope and intercept,
    of the frame before those of the object. CT is in Hounsfield units if it is rescaled.

    Parameters
    ----------
    ds : Dataset
    shared, frame : Dataset, optional
        Items of the functional groups of an enhanced object.
    """
    levels = [level for level in (frame, shared, ds) if level is not None]
    for level in levels:
        for mapping in items(level, "RealWorldValueMappingSequence"):
            slope, intercept = (
                number(mapping, "RealWorldValueSlope"),
                number(mapping, "RealWorldValueIntercept"),
            )
            unit = ucum(text(item(mapping, "MeasurementUnitsCodeSequence") or Dataset(), "CodeValue"))
            if slope and intercept is not None and unit:
                return Scale(slope, intercept, unit)
    if items(ds, "ModalityLUTSequence"):
        return Scale(table=True)
    for level in [*(item(level, "PixelValueTransformationSequence") for level in levels[:-1]), ds]:
        slope = None if level is None else number(level, "RescaleSlope")
        if level is not None and slope:
            hounsfield = (
                text(level, "RescaleType").upper() in ("HU", "", "US") and text(ds, "Modality") == "CT"
            )
            unit = "[hnsf'U]" if hounsfield and "LOCALIZER" not in text(ds, "ImageType") else "1"
            return Scale(slope, number(level, "RescaleIntercept") or 0.0, unit)
    return Scale()


def ucum(unit: str) -> str:
    """Return the unit if Carna knows it, else ""."""
    try:
        dimension(unit)
    except UnitError:
        return ""
    return unit


def real(values: Array, scale: Scale, made: Store) -> Array:
    """Return stored values in real units: integers stay integers where nothing is lost, else float32."""
    if scale.table:
        return np.asarray(apply_modality_lut(values, scan.header(made.blob).bare()))
    if values.dtype.kind == "f" or not (
        float(scale.slope).is_integer() and float(scale.intercept).is_integer()
    ):
        scaled = values * np.float64(scale.slope) + scale.intercept
        return scaled.astype(np.float32 if values.dtype != np.float64 else np.float64)
    slope, intercept = int(scale.slope), int(scale.intercept)
    if (slope, intercept) == (1, 0):
        return values
    ends = sorted((int(values.min()) * slope + intercept, int(values.max()) * slope + intercept))
    kinds: tuple[Any, ...] = (np.int16, np.int32, np.int64)
    kind = next((k for k in kinds if np.iinfo(k).min <= ends[0] and ends[1] <= np.iinfo(k).max), np.float64)
    return np.asarray(values.astype(kind) * kind(slope) + kind(intercept))


def load(frames: Sequence[tuple[Store, int, Scale]], shape: tuple[int, ...]) -> Array:
    """Return the values of frames, in order, in real units, reshaped to ``shape``.

    Parameters
    ----------
    frames : sequence of (Store, frame from 0, Scale)
        Frames of one object are decoded together.
    shape : tuple of int
        The frames' axes first, then (r, c) or (r, c, 3).
    """
    tail = shape[-3:] if frames[0][0].color else shape[-2:]
    by_object: dict[int, list[int]] = {}
    for place, (made, _, _) in enumerate(frames):
        by_object.setdefault(id(made), []).append(place)
    out: Array | None = None
    for places in by_object.values():
        made = frames[places[0]][0]
        values = decoded(made, [frames[p][1] for p in places])
        if values.shape[1:] != tail:
            raise InputError(
                f"{made.blob.name} decodes to {values.shape[1:]}", needed=f"{tail}, as the header says"
            )
        for place, stored in zip(places, values, strict=True):
            one = stored if made.color else real(stored, frames[place][2], made)
            if out is None:
                out = np.empty((len(frames), *tail), one.dtype)
            elif out.dtype != one.dtype:
                out = out.astype(np.result_type(out.dtype, one.dtype), copy=False)
            out[place] = one
    if out is None:
        raise InputError("no frames", needed="at least one")
    return out.reshape(shape)


def padding_of(header: Header, scale: Scale) -> float | None:
    """Return the real value of pixels that were never imaged (Pixel Padding Value), None if not given."""
    stored = number(header.ds, "PixelPaddingValue")
    if stored is None or scale.table:
        return None
    bits = whole(header.ds, "BitsAllocated", 16)
    if whole(header.ds, "PixelRepresentation") == 1 and stored >= 1 << bits - 1:
        stored -= 1 << bits  # its VR follows the pixels' sign, which a raw US does not know
    return float(stored * scale.slope + scale.intercept)


def unit_of(scales: Iterable[Scale]) -> str:
    """Return the one unit of several scales, "1" if they differ."""
    units = {scale.unit for scale in scales}
    return units.pop() if len(units) == 1 else "1"
