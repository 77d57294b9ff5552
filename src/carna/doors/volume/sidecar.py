"""The sidecar: ``NAME.json`` beside an array, saying what the array's format can't.

::

    {"spacing_mm": [slices, rows, columns],     distances along the array's own axes
     "affine": [[...], ...],                    or: index (k, r, c, 1) to LPS mm, 4 x 4
     "modality": "MR", "unit": "1",
     "labels": {"1": "LV_CAVITY"},              a name in the coded vocabulary, or words
     "patient": "id", "study": "uid"}           so that files of one person come together

Every key is optional; one that isn't known here is noted and left alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from carna.doors.files import Blob
from carna.doors.volume.found import spaced
from carna.errors import InputError, UnitError
from carna.space import Grid
from carna.units import dimension

_KEYS = ("spacing_mm", "affine", "modality", "unit", "labels", "patient", "study")
_MAX_BYTES = 1 << 20


@final
@dataclass(frozen=True, slots=True, eq=False)
class Sidecar:
    """What the sidecar says; empty where it says nothing."""

    spacing_mm: tuple[float, float, float] | None = None
    affine: Any = None
    modality: str = ""
    unit: str = ""
    labels: Mapping[int, str] = field(default_factory=dict)
    patient: str = ""
    study: str = ""
    notes: tuple[str, ...] = ()

    def grid(self, shape: tuple[int, ...]) -> tuple[Grid | None, tuple[str, ...]]:
        """Return the place of an array ``(k, r, c)`` and a note on what is not known of it."""
        if self.affine is not None:
            return Grid((shape[0], shape[1], shape[2]), self.affine), ()
        if self.spacing_mm is not None:
            grid, note = spaced(shape, self.spacing_mm)
            return grid, (note,)
        return None, ()


def beside(blob: Blob) -> Blob | None:
    """Return the sidecar of a file, None if it has none."""
    return blob.neighbours.get(f"{blob.stem}.json")


def read(blob: Blob) -> Sidecar:
    """Return what the sidecar of a file says, an empty one if there is none.

    Raises
    ------
    InputError
        If it's no JSON object, or a value is not of its kind.
    """
    side = beside(blob)
    if side is None:
        return Sidecar()
    if side.size > _MAX_BYTES:
        raise InputError(f"{side.file} of {side.size} bytes", needed="a small JSON object")
    try:
        given = json.loads(side.load())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{side.file} is no JSON: {error}", needed="a JSON object") from error
    if not isinstance(given, dict):
        raise InputError(f"{side.file} holds no object", needed="a JSON object")
    other = sorted(str(key)[:40] for key in given if key not in _KEYS)
    notes = (f"{side.file}: not understood: {', '.join(other[:10])}",) if other else ()
    affine = None if "affine" not in given else _numbers(given["affine"], (4, 4), "affine")
    spacing = None if "spacing_mm" not in given else _numbers(given["spacing_mm"], (3,), "spacing_mm")
    return Sidecar(
        None if spacing is None else (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        affine,
        _text(given, "modality"),
        _unit(_text(given, "unit")),
        _labels(given.get("labels", {})),
        _text(given, "patient"),
        _text(given, "study"),
        notes,
    )


def _numbers(given: Any, shape: tuple[int, ...], name: str) -> Any:
    try:
        array = np.array(given, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name} of {str(given)[:60]}", needed="numbers") from error
    if array.shape != shape or not np.isfinite(array).all():
        raise InputError(f"{name} of shape {array.shape}", needed=f"finite numbers of shape {shape}")
    return array


def _text(given: Mapping[str, Any], key: str) -> str:
    value = given.get(key, "")
    if not isinstance(value, str):
        raise InputError(f"{key} is {str(value)[:40]}", needed="text")
    return value


def _unit(unit: str) -> str:
    if unit:
        try:
            dimension(unit)
        except UnitError as error:
            raise InputError(error.found, needed=error.needed, fix=error.fix) from error
    return unit


def _labels(given: Any) -> dict[int, str]:
    whole = isinstance(given, dict) and all(str(k).isdigit() and isinstance(v, str) for k, v in given.items())
    if not whole:
        raise InputError(f"labels of {str(given)[:60]}", needed='an object such as {"1": "LV_CAVITY"}')
    return {int(key): words for key, words in given.items()}
