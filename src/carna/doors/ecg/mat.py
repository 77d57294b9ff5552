"""ECGs in general array files (MATLAB, NumPy), whose rate, unit and leads a sidecar must state.

The sidecar of ``NAME.mat``, ``.npy``, ``.npz`` or ``.csv`` is ``NAME.json`` in the same folder::

    {"rate_hz": 400, "unit": "mV", "leads": ["I", "II", "III"]}

with ``"array"`` for the variable's name where there are several. Nothing is guessed: without the
sidecar the file is refused with these words.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from carna.doors.ecg.leads import STANDARD, millivolts
from carna.doors.ecg.matlab import matlab_arrays
from carna.doors.ecg.recording import Recording, Wave, check_wave, number, scaled, study_uid
from carna.doors.files import Blob
from carna.errors import InputError
from carna.study import Lazy, Patient

__all__ = ["Sidecar", "mentions_rate", "read_arrays", "sidecar_of"]

HOW = 'beside NAME.mat put NAME.json: {"rate_hz": 400, "unit": "mV", "leads": ["I", "II", ...]}'
_RATES = ("rate_hz", "curr_sample_rate", "fs", "Fs")
_SIGNALS = ("feats", "ecg", "val", "ECG")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a person stated of a file that can't say it itself."""

    rate_hz: float | None
    unit: str
    leads: tuple[str, ...]
    array: str


def mentions_rate(head: bytes) -> bool:
    """Return True if some first bytes are those of a sidecar."""
    return head.lstrip()[:1] == b"{" and b'"rate_hz"' in head


def sidecar_of(blob: Blob) -> Sidecar | None:
    """Return what the sidecar of a file states, None if it has none.

    Raises
    ------
    InputError
        If the sidecar is there and is not what it should be.
    """
    beside = blob.neighbours.get(f"{blob.stem}.json")
    if beside is None or not mentions_rate(beside.head):
        return None
    try:
        said = json.loads(beside.load())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"the sidecar {beside.file} is no JSON: {error}", needed=HOW) from None
    leads = said.get("leads", []) if isinstance(said, dict) else None
    rate = said.get("rate_hz") if isinstance(said, dict) else None
    if (
        not isinstance(leads, list)
        or isinstance(rate, bool)
        or not isinstance(rate, int | float)
        or not rate > 0
    ):
        raise InputError(f"the sidecar {beside.file} without a usable rate", needed=HOW)
    return Sidecar(float(rate), str(said.get("unit", "")), tuple(map(str, leads)), str(said.get("array", "")))


def _numpy_arrays(blob: Blob) -> dict[str, npt.NDArray[Any]]:
    try:
        loaded = np.load(io.BytesIO(blob.load()), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"array": loaded}
        return {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        raise InputError(
            f"a damaged NumPy file: {error}", needed="a whole one", fix="send it again"
        ) from None


def read_arrays(blob: Blob) -> Recording:
    """Return the recording of a ``.mat``, ``.npy`` or ``.npz`` file with its sidecar.

    Raises
    ------
    InputError
        If rate, unit or leads are stated nowhere, or the array does not agree with them.
    """
    sidecar = sidecar_of(blob)
    data = blob.load()
    arrays = matlab_arrays(data) if blob.suffix == ".mat" else _numpy_arrays(blob)
    values, name = _signal(arrays, sidecar)
    rate = sidecar.rate_hz if sidecar else _stated_rate(arrays)
    unit = sidecar.unit if sidecar else ""
    factor = millivolts(unit)
    missing = [
        what for what, absent in (("the sampling rate", rate is None), ("the unit", not unit)) if absent
    ]
    if missing:
        raise InputError(
            f"{' and '.join(missing)} of {name} {values.shape} stated nowhere", needed="a statement", fix=HOW
        )
    if factor is None:
        raise InputError(f"the unit {unit!r}", needed="mV, uV or V")
    assert rate is not None
    leads = _leads(sidecar.leads if sidecar else (), values)
    rows = values if values.shape[0] == len(leads) else values.T
    check_wave(rows.shape[0], rows.shape[1], rate)
    beside = blob.neighbours.get(f"{blob.stem}.json") if sidecar else None
    study = study_uid(data, beside.load() if beside else b"")
    mV = scaled(rows, factor)
    form = "MATLAB" if blob.suffix == ".mat" else "NumPy"
    notes = () if sidecar is None else ("rate, unit and leads as the sidecar beside the file states them",)
    wave = Wave("rhythm", Lazy.of(mV), leads, rate)
    return Recording(study, form, blob.stem, (wave,), Patient(blob.stem), notes=notes)


def _signal(arrays: dict[str, npt.NDArray[Any]], sidecar: Sidecar | None) -> tuple[npt.NDArray[Any], str]:
    wanted = sidecar.array if sidecar else ""
    name = wanted or next((n for n in _SIGNALS if n in arrays), "")
    if not name:
        large = [n for n, a in arrays.items() if a.size > 1]
        name = large[0] if len(large) == 1 else ""
    if name not in arrays:
        raise InputError(
            f"arrays {', '.join(arrays) or 'none'}",
            needed="one signal",
            fix='name it in the sidecar: "array": "..."',
        )
    values = arrays[name]
    if values.ndim == 1:
        values = values[None, :]
    if values.ndim != 2 or not values.size:
        raise InputError(f"{name} of shape {arrays[name].shape}", needed="leads x samples")
    return values, name


def _stated_rate(arrays: dict[str, npt.NDArray[Any]]) -> float | None:
    for name in _RATES:
        if name in arrays and arrays[name].size == 1:
            return number(str(arrays[name].item()))
    return None


def _leads(named: Sequence[str], values: npt.NDArray[Any]) -> tuple[str, ...]:
    short = min(values.shape)
    if named:
        if len(named) not in values.shape:
            raise InputError(
                f"{len(named)} lead names for an array of shape {values.shape}", needed="one a row"
            )
        return tuple(named)
    if short == 1:
        return ("ECG",)
    raise InputError(
        f"{short} leads without names",
        needed="their names in order",
        fix=f"state them beside the file, such as {json.dumps({'leads': STANDARD[: min(short, 12)]})}",
    )
