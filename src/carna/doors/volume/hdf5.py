"""HDF5: the arrays that research sets keep in it, such as ``image`` and ``label`` of one volume.

HDF5 says nothing of space. A spacing comes from the attribute ``spacing_mm`` (slices, rows,
columns), from a dataset ``dx`` (three numbers, as 4-D flow sets have it), or from the sidecar;
without one the slices are pictures. ``divide_by`` on a dataset scales its whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from carna.doors.files import Blob
from carna.doors.volume import sidecar
from carna.doors.volume.found import MOST_PACKED, Volume, check_size, named_labels, spaced
from carna.errors import InputError
from carna.space import Grid
from carna.study import Lazy

_SPACINGS = ("spacing_mm", "voxel_spacing", "spacing")
_MAX_SETS = 64
# h5py answers a damaged file with any of these.
_DAMAGED = (OSError, RuntimeError, LookupError, TypeError, ValueError, MemoryError, OverflowError)


def is_hdf5(blob: Blob) -> bool:
    """Whether the file begins with HDF5's signature."""
    return blob.head[:8] == b"\x89HDF\r\n\x1a\n"


def read(blob: Blob, side: sidecar.Sidecar) -> list[Volume]:
    """Return every dataset of three axes, or of four whose first is a count.

    Raises
    ------
    InputError
        If the file is damaged or holds no such dataset.
    """
    with _opened(blob) as file:
        sets = _datasets(file)
        if not sets:
            raise InputError("an HDF5 file without a volume", needed="a dataset of three axes, such as image")
        default = _dx(file)
        single = _single_numbers(file)
        found = [
            one for name, data in sets.items() for one in _volumes(blob, side, name, data, default, single)
        ]
        return found


@contextmanager
def _opened(blob: Blob) -> Iterator[Any]:
    """Open the file; whatever the library finds wrong with it is one kind of error here."""
    import h5py

    try:
        with blob.open() as stream, h5py.File(blob.path if blob.path is not None else stream, "r") as file:
            yield file
    except _DAMAGED as error:
        raise InputError(
            f"a damaged HDF5 file: {error}", needed="an intact file", fix="send it again"
        ) from error


def _datasets(file: Any) -> dict[str, Any]:
    import h5py

    found: dict[str, Any] = {}

    def visit(name: str, thing: Any) -> None:
        # Links out of the file are never followed: a file must not read another one.
        inside = isinstance(thing, h5py.Dataset) and not thing.is_virtual and not thing.external
        if inside and thing.dtype.kind in "iufb" and len(found) < _MAX_SETS:
            shape = thing.shape or ()
            if len(shape) in (3, 4) and min(shape) >= 1 and sum(n > 1 for n in shape[-3:]) >= 2:
                found[name] = thing

    file.visititems(visit)
    return found


def _single_numbers(file: Any) -> dict[str, float]:
    """Return the datasets of one number, such as the velocity encoding of a flow set."""
    import h5py

    found: dict[str, float] = {}
    for name in list(file)[:_MAX_SETS]:
        link = file.get(name, getlink=True)
        data = file[name] if isinstance(link, h5py.HardLink) else None
        if isinstance(data, h5py.Dataset) and data.size == 1 and data.dtype.kind in "iuf":
            found[name] = float(np.ravel(data[...])[0])
    return found


def _dx(file: Any) -> tuple[float, ...] | None:
    import h5py

    link = file.get("dx", getlink=True)
    data = file["dx"] if isinstance(link, h5py.HardLink) else None
    if isinstance(data, h5py.Dataset) and data.size in range(3, 1000) and data.shape[-1] == 3:
        rows = np.asarray(data[...], np.float64).reshape(-1, 3)
        return tuple(float(v) for v in rows[0]) if (rows == rows[0]).all() else None
    return None


def _spacing(
    data: Any, default: tuple[float, ...] | None
) -> tuple[tuple[float, ...] | None, tuple[str, ...]]:
    for holder in (data, data.file):
        for name in _SPACINGS:
            value = np.ravel(np.asarray(holder.attrs[name])) if name in holder.attrs else np.zeros(0)
            if value.size == 3 and value.dtype.kind in "iuf":
                return tuple(float(v) for v in value), ()
    return default, ("the unit of dx is not stated: read as mm",) if default else ()


def _volumes(
    blob: Blob,
    side: sidecar.Sidecar,
    name: str,
    data: Any,
    default: tuple[float, ...] | None,
    single: dict[str, float],
) -> list[Volume]:
    shape = tuple(int(n) for n in data.shape)
    stored = max(int(data.id.get_storage_size()), 1)
    check_size(
        shape, data.dtype.itemsize, stored * (MOST_PACKED if data.compression else 1), f"the dataset {name}"
    )
    divide = float(np.ravel(data.attrs["divide_by"])[0]) if "divide_by" in data.attrs else 1.0
    if not (np.isfinite(divide) and divide != 0):
        raise InputError(f"divide_by = {divide}", needed="a number other than 0")
    labels = named_labels(name) and data.dtype.kind in "iub"
    place, notes = _place(side, shape[-3:], data, default)
    facts = single | {
        key: float(np.ravel(v)[0])
        for key, v in data.attrs.items()
        if np.size(v) == 1 and np.asarray(v).dtype.kind in "iuf"
    }
    count = shape[0] if len(shape) == 4 else 1
    out = []
    for n in range(count):
        pick = (n,) if len(shape) == 4 else ()
        said = (*notes, f"volume {n + 1} of {count}: no time is stated") if count > 1 else notes
        title = f"{name}.{n + 1}" if count > 1 else name
        loader = _loader(blob, name, pick, divide, labels=labels)
        values = Lazy(shape[-3:], loader)
        out.append(Volume(title, values, place, is_labels=labels, notes=said, facts=facts))
    return out


def _place(
    side: sidecar.Sidecar, shape: tuple[int, ...], data: Any, default: tuple[float, ...] | None
) -> tuple[Grid | None, tuple[str, ...]]:
    place, notes = side.grid(shape)
    if place is not None:
        return place, notes
    spacing, said = _spacing(data, default)
    if spacing is None:
        return None, (
            "no spacing in the file: volumes in mL can't be computed",
            "the first axis is counted as slices: nothing in the file says which axis is which",
        )
    grid, note = spaced(shape, spacing)
    return grid, (*said, note)


def _loader(
    blob: Blob, name: str, pick: tuple[int, ...], divide: float, *, labels: bool
) -> Callable[[], npt.NDArray[Any]]:
    def load() -> npt.NDArray[Any]:
        with _opened(blob) as file:
            values = np.asarray(file[name][pick] if pick else file[name][...])
        if labels or divide == 1.0:
            return values
        return (values / divide).astype(np.float32)

    return load
