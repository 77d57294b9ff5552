"""Pictures that may show a name, and what can be done about it.

Ultrasound, captures of a screen, scanned sheets and dose screens carry writing in their pixels. Which of
them an object is stands in its header; what an ultrasound machine wrote stands outside the regions it
declares (Sequence of Ultrasound Regions). Writing inside a region, or where there are no regions, is found by
a text detector only, where one is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from carna.errors import InputError

Box = tuple[int, int, int, int]  # first column, first row, last column, last row, all inclusive
Detector = Callable[[npt.NDArray[np.uint8]], Iterable[Box]]
_CARRIERS: Final = frozenset(("US", "IVUS", "OT", "SC", "XC", "ES", "GM", "DOC", "HC", "PX"))
_CAPTURES: Final = ("SCREEN", "DOSE", "REPORT", "CAPTURE", "PROT", "FUSED")
_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"


def may_show_text(ds: Dataset) -> str:
    """Return why a picture may show writing, "" if nothing in its header says so."""
    if "PixelData" not in ds:
        return ""
    burned = str(ds.get("BurnedInAnnotation") or "")
    if burned == "NO":
        return ""
    if burned == "YES":
        return "Burned In Annotation is YES"
    if str(ds.get("SOPClassUID", "")).startswith(_SECONDARY_CAPTURE):
        return "it is a secondary capture"
    if str(ds.get("Modality", "")) in _CARRIERS:
        return f"its modality is {ds.Modality}"
    kinds = " ".join(map(str, ds.get("ImageType") or ())).upper()
    return f"its image type is {kinds}" if any(word in kinds for word in _CAPTURES) else ""


def clean_pixels(ds: Dataset, detector: Detector | None = None) -> None:
    """Black out writing in every frame of an object, in place; its pixels are then not compressed.

    Parameters
    ----------
    ds : Dataset
        With file meta; Burned In Annotation becomes NO.
    detector : callable or None
        From one frame ``(rows, columns)`` or ``(rows, columns, 3)`` uint8 to the boxes of writing in
        it; by default the one that is installed.

    Raises
    ------
    InputError
        If there are neither regions nor a detector, or the pixels can't be decoded.
    """
    if "PixelData" not in ds:
        return
    regions = _regions(ds)
    find = detector or _installed()
    if not regions and find is None and not may_show_text(ds):
        # Nothing says that there is writing, and nothing can look for it.
        ds.BurnedInAnnotation = "NO"
        return
    if not regions and find is None:
        raise InputError(
            f"a picture that may show a name: {may_show_text(ds)}",
            needed="Sequence of Ultrasound Regions that fit the picture, or a text detector",
            fix="pip install rapidocr-onnxruntime, or look at it and use --option trust-pixels",
        )
    frames = _decoded(ds)
    shade = _black(ds, frames)
    if regions:
        outside = np.ones(frames.shape[1:3], bool)
        for left, top, right, bottom in regions:
            outside[top : bottom + 1, left : right + 1] = False
        frames[:, outside] = shade
    if find is not None:
        # What is written stays where it is; a frame in which it was missed is covered by the others.
        for left, top, right, bottom in [box for frame in frames for box in find(_grey(frame))]:
            frames[:, max(top, 0) : bottom + 1, max(left, 0) : right + 1] = shade
    ds.PixelData = frames.tobytes() + b"\0" * (frames.nbytes % 2)
    ds["PixelData"].VR = "OB" if frames.itemsize == 1 else "OW"
    ds.BurnedInAnnotation = "NO"


def clear_unused_bits(ds: Dataset) -> None:
    """Set the bits of each pixel beside its value to nothing: old overlays lie there.

    Raises
    ------
    InputError
        If the pixels are compressed, so that the bits can't be reached.
    """
    bits, stored = int(ds.get("BitsAllocated") or 0), int(ds.get("BitsStored") or 0)
    if bits not in (8, 16) or not 0 < stored < bits or "PixelData" not in ds:
        return
    if ds.file_meta.TransferSyntaxUID.is_compressed:
        raise InputError(
            "overlays within the bits of compressed pixels", needed="pixels that are not compressed",
            fix="decompress it first",
        )  # fmt: skip
    low = int(ds.get("HighBit") or stored - 1) + 1 - stored
    order = "<" if ds.file_meta.TransferSyntaxUID.is_little_endian else ">"
    values = np.frombuffer(ds.PixelData, f"{order}u{bits // 8}")
    ds.PixelData = (values & np.array(((1 << stored) - 1) << low, values.dtype)).tobytes()


def _regions(ds: Dataset) -> list[Box]:
    """Return the rectangles that an ultrasound machine says show the scan.

    None where one reaches beyond the picture: it was made smaller after the regions had been measured, and
    they lie elsewhere in it.
    """
    found: list[Box] = []
    for region in ds.get("SequenceOfUltrasoundRegions") or ():
        corners = [region.get(f"RegionLocation{corner}") for corner in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        if not all(isinstance(c, int) for c in corners):
            return []
        left, top, right, bottom = corners
        # Some machines count the last column and row from one.
        if not (0 <= left < right <= int(ds.Columns) and 0 <= top < bottom <= int(ds.Rows)):
            return []
        found.append((left, top, right, bottom))
    return found


def _decoded(ds: Dataset) -> npt.NDArray[Any]:
    """Return ``(frames, rows, columns[, samples])`` and make the header say that they are not compressed."""
    try:
        if ds.file_meta.TransferSyntaxUID.is_compressed:
            ds.decompress(generate_instance_uid=False)
        values = np.array(ds.pixel_array)
    except (ValueError, RuntimeError, NotImplementedError, AttributeError, KeyError) as error:
        raise InputError(
            f"pixels that can't be decoded: {error}",
            needed="pixels that can be looked at",
            fix="leave the object out",
        ) from error
    samples = int(ds.SamplesPerPixel)
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if samples > 1:
        ds.PlanarConfiguration = 0
        # Decoding turns the other colour spaces into this one.
        ds.PhotometricInterpretation = "RGB"
    shape = (int(ds.get("NumberOfFrames") or 1), int(ds.Rows), int(ds.Columns))
    return values.reshape(*shape, samples) if samples > 1 else values.reshape(shape)


def _black(ds: Dataset, frames: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the value of a black pixel in the picture's own colours."""
    kind = str(ds.PhotometricInterpretation)
    if kind == "MONOCHROME1":
        return np.array(frames.max(), frames.dtype)
    return np.array(min(0, int(frames.min())), frames.dtype)


def _grey(frame: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return a frame stretched to what a text detector takes."""
    values = frame.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) * (255.0 / max(high - low, 1e-6)), np.uint8)


def _installed() -> Detector | None:
    """Return RapidOCR's detector where that package is installed."""
    try:
        reader = import_module("rapidocr_onnxruntime").RapidOCR()
    except ImportError:
        return None

    def boxes(frame: npt.NDArray[np.uint8]) -> Iterable[Box]:
        found, _ = reader(frame, use_det=True, use_cls=False, use_rec=False)
        for corners in found or ():
            points = np.asarray(corners, float).reshape(-1, 2)
            # A little more than the letters: their edges are grey.
            left, top = (np.floor(points.min(axis=0)) - 2).astype(int)
            right, bottom = (np.ceil(points.max(axis=0)) + 2).astype(int)
            yield int(left), int(top), int(right), int(bottom)

    return boxes
