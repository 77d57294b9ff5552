"""NIfTI-1 and NIfTI-2, as one file or as a header with its values beside it.

The header's world is RAS millimetres; it is turned to LPS here. The sform is the place if it is
set, else the qform, as https://nifti.nimh.nih.gov asks; where both are set and differ by more
than 0.1 mm, a note says so. nibabel parses the header; the values are read when asked for.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from carna.doors.files import Blob
from carna.doors.volume.found import Volume, check_size, named_labels, neighbour, series, spaced
from carna.errors import InputError
from carna.space import EQUAL_MM, Floats, Grid, flip_ras
from carna.study import Lazy

_LABEL_INTENT = 1002
_MM = {"mm": 1.0, "unknown": 1.0, "micron": 1e-3, "meter": 1e3}
_MS = {"msec": 1.0, "sec": 1e3, "usec": 1e-3}


def is_nifti(blob: Blob) -> bool:
    """Whether the first bytes are a NIfTI header, of one file or of a pair; a cut .nii is one too."""
    head = blob.head
    return blob.suffix == ".nii" or head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


def read(blob: Blob) -> list[Volume]:
    """Return the volumes of a NIfTI file.

    Raises
    ------
    InputError
        If the header is broken, the file is shorter than it says, or the values are no volume.
    """
    import nibabel
    from nibabel.spatialimages import HeaderDataError, HeaderTypeError
    from nibabel.wrapstruct import WrapStructError

    second = blob.head[4:7] in (b"n+2", b"ni2")
    kind = nibabel.Nifti2Header if second else nibabel.Nifti1Header
    size = kind.sizeof_hdr
    try:
        header = kind(blob.head[:size], check=False)
        return _volumes(blob, header, single=blob.head[344:347] == b"n+1" or blob.head[4:7] == b"n+2")
    except (HeaderDataError, HeaderTypeError, WrapStructError, ValueError, OverflowError, KeyError) as error:
        raise InputError(f"a NIfTI header that makes no sense: {error}", needed="a valid header") from error


def _volumes(blob: Blob, header: Any, *, single: bool) -> list[Volume]:
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise InputError(f"NIfTI values of type {dtype}", needed="whole or real numbers")
    shape = tuple(int(n) for n in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 4:
        raise InputError(f"{len(shape)} axes", needed="three of space and one of time")
    shape = shape + (1,) * (3 - len(shape))
    store = blob if single else neighbour(blob, f"{blob.stem}.img")
    offset = int(header["vox_offset"]) if single or header["vox_offset"] > 0 else 0
    if not 0 <= offset <= store.size:
        raise InputError(f"values at byte {offset}", needed=f"0 to {store.size}")
    check_size(shape, dtype.itemsize, store.size - offset, "a volume")
    slope, inter = header.get_slope_inter()
    whole_labels = dtype.kind in "iu" and slope in (None, 1.0) and not inter
    is_labels = whole_labels and (named_labels(blob.stem) or int(header["intent_code"]) == _LABEL_INTENT)
    stored = shape[::-1]

    def load() -> npt.NDArray[Any]:
        count = int(np.prod(stored))
        raw = np.frombuffer(store.load(), dtype, count, offset).reshape(stored)
        return _scaled(raw, slope, inter)

    grid, notes = _place(header, stored[-3:])
    rest: dict[str, Any] = {"is_labels": is_labels, "facts": _facts(header), "notes": notes}
    if len(stored) == 3:
        return [Volume("", Lazy(stored, load), grid, **rest)]
    unit = header.get_xyzt_units()[1]
    step = float(header["pixdim"][4])
    if unit not in _MS or not step > 0:
        return series(load, stored, grid, **rest)
    return [
        Volume(
            "",
            Lazy(stored, load),
            grid,
            times_ms=np.arange(stored[0], dtype=float) * (step * _MS[unit]),
            **rest,
        )
    ]


def _scaled(raw: npt.NDArray[Any], slope: float | None, inter: float | None) -> npt.NDArray[Any]:
    """Return slope x raw + intercept; whole numbers stay whole when slope and intercept are."""
    if slope is None or (slope == 1 and not inter):
        return raw.astype(raw.dtype.newbyteorder("="), copy=False)
    inter = inter or 0.0
    small = raw.dtype.kind in "iu" and raw.dtype.itemsize <= 2 and abs(slope) * 65536 + abs(inter) < 2**31
    if small and slope == int(slope) and inter == int(inter):
        return raw.astype(np.int32) * int(slope) + int(inter)
    with np.errstate(over="ignore", invalid="ignore"):  # a value beyond float32 is infinite, and shows
        return (raw.astype(np.float64) * slope + inter).astype(np.float32)


def _place(header: Any, shape: tuple[int, ...]) -> tuple[Grid, tuple[str, ...]]:
    notes: list[str] = []
    unit = header.get_xyzt_units()[0]
    scale = _MM.get(unit, 1.0)
    if scale != 1.0:
        notes.append(f"the header counts in {unit}: turned to mm")
    elif unit == "unknown":
        notes.append("the header states no unit of length: read as mm")
    sform = header.get_sform() if header["sform_code"] > 0 else None
    qform = header.get_qform() if header["qform_code"] > 0 else None
    if sform is None and qform is None:
        zooms = [float(abs(z)) or 1.0 for z in header["pixdim"][1:4]]
        grid, note = spaced(shape, (zooms[2] * scale, zooms[1] * scale, zooms[0] * scale))
        return grid, (*notes, note)
    if sform is not None and qform is not None:
        apart = _apart(sform, qform, shape) * scale
        if apart > EQUAL_MM:
            notes.append(f"sform and qform differ by up to {apart:.3g} mm: the sform is taken")
    affine = np.array(sform if sform is not None else qform, float)
    affine[:3] *= scale
    # NIfTI counts columns, rows, slices.
    return Grid((shape[0], shape[1], shape[2]), flip_ras(affine)[:, (2, 1, 0, 3)]), tuple(notes)


def _apart(one: Floats, two: Floats, shape: tuple[int, ...]) -> float:
    ends = [(0, n - 1) for n in shape[::-1]]
    corners = np.array([(*corner, 1) for corner in itertools.product(*ends)], float)
    return float(np.linalg.norm((corners @ (one - two).T)[:, :3], axis=1).max())


def _facts(header: Any) -> dict[str, Any]:
    words = bytes(header["descrip"].item()).rstrip(b"\0 ").decode("latin-1")
    return {"descrip": words} if words else {}
