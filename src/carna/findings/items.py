"""The eight kinds of finding, and what each must say.

Every item has a stable ``id`` (a path such as ``lv.edv``), a code, an optional site, the ids
it was derived from (``of``) and its evidence. A number has an uncertainty or the reason it has
none. What could not be obtained is an `Absent`, never a zero.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.codes import Concept
from carna.errors import ContractError
from carna.space import Floats, Grid, Mesh, Surface, VesselTree
from carna.units import dimension

# Planes further apart than their thickness times this leave a gap: a tenth of it is rounding and tilt.
GAPLESS = 1.1
_ID = re.compile(r"[a-z0-9][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)*")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a finding was seen in: a part of the study, and where in it.

    Parameters
    ----------
    part : str
        UID of the part.
    leads : tuple of str
    start_s, stop_s : float or None
        Half-open interval of the signal, s.
    frames : tuple of int
        Time indices of the part, from 0.
    planes : tuple of int
        Plane (slice) indices of the part, from 0.
    """

    part: str
    leads: tuple[str, ...] = ()
    start_s: float | None = None
    stop_s: float | None = None
    frames: tuple[int, ...] = ()
    planes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Sd:
    """One standard deviation, in the unit of the value."""

    sd: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sd) and self.sd >= 0):
            raise ContractError(f"a standard deviation of {self.sd}", needed="a finite number of at least 0")


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval that holds the true value with probability ``level`` (0 to 1)."""

    low: float
    high: float
    level: float = 0.95

    def __post_init__(self) -> None:
        if not (
            math.isfinite(self.low)
            and math.isfinite(self.high)
            and self.low <= self.high
            and 0 < self.level < 1
        ):
            raise ContractError(
                f"an interval {self.low} to {self.high} at {self.level}", needed="low <= high, 0 < level < 1"
            )


@dataclass(frozen=True, slots=True)
class Samples:
    """Draws from the distribution of the value."""

    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """No uncertainty is stated, and why."""

    why: str


Uncertainty = Sd | Interval | Samples | Unknown


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Common(ABC):
    """What every kind has; never instantiated itself."""

    id: str
    code: Concept
    site: Concept | None = None
    of: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ContractError(
                f"the item id {self.id!r}", needed="lower-case words joined by dots, such as lv.edv"
            )
        self._check()

    @abstractmethod
    def _check(self) -> None:
        """Refuse values that are no finding."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Measurement(_Common):
    """A number with its UCUM unit and its uncertainty."""

    value: float
    unit: str
    uncertainty: Uncertainty
    method: Concept | None = None

    def _check(self) -> None:
        if not math.isfinite(self.value):
            raise ContractError(
                f"{self.id} is {self.value}", needed="a finite number", fix="return Absent(code, why)"
            )
        dimension(self.unit)


@dataclass(frozen=True, slots=True)
class Segment:
    """What one label of a region means; ``label`` is at least 1, 0 is background."""

    label: int
    code: Concept


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Region(_Common):
    """Labels on planes, optionally over time.

    Parameters
    ----------
    labels : (k, r, c) or (t, k, r, c) uint8
        0 background, else one of ``segments``.
    planes : tuple of Grid
        One for each ``k``.
    times_ms : (t,) or None
        Needed when ``labels`` has a time axis.
    frames : tuple of int
        The time indices of the part the labels belong to, one for each ``t`` (one entry for
        labels without a time axis, empty when the part has no time).
    """

    labels: npt.NDArray[np.uint8]
    planes: tuple[Grid, ...]
    segments: tuple[Segment, ...]
    times_ms: Floats | None = None
    frames: tuple[int, ...] = ()

    def _check(self) -> None:
        labels = _readonly(np.asarray(self.labels, np.uint8))
        object.__setattr__(self, "labels", labels)
        place = (len(self.planes), *self.planes[0].shape[1:])
        if labels.shape[-3:] != place or labels.ndim not in (3, 4):
            raise ContractError(
                f"labels of shape {labels.shape}", needed=f"{place}, or that with a time axis before it"
            )
        if labels.ndim == 4 and (self.times_ms is None or np.shape(self.times_ms) != labels.shape[:1]):
            raise ContractError("labels over time without their times", needed=f"{labels.shape[0]} times_ms")
        unnamed = set(np.unique(labels).tolist()) - {0} - {s.label for s in self.segments}
        if unnamed:
            raise ContractError(
                f"labels {sorted(unnamed)} of {self.id} have no segment", needed="a code for each label"
            )

    def relabelled(self, meaning: Mapping[Concept, int]) -> npt.NDArray[np.uint8]:
        """Return labels (t, k, r, c) in an engine's numbers, by what each segment means; else 0."""
        numbers = np.zeros(256, np.uint8)
        for segment in self.segments:
            numbers[segment.label] = meaning.get(segment.code, 0)
        labels: npt.NDArray[np.uint8] = numbers[self.labels]
        return labels if labels.ndim == 4 else labels[None]

    @property
    def gapless(self) -> bool:
        """Whether the planes touch: only then is there a volume to speak of."""
        origins = np.array([p.origin for p in self.planes])
        steps = np.abs(np.diff(origins, axis=0) @ self.planes[0].normal)
        thick = np.array([p.spacing_mm[0] for p in self.planes[1:]])
        return bool((steps <= thick * GAPLESS).all())

    def volume_ml(self, label: int) -> npt.NDArray[np.float64] | None:
        """Return the volume of a label, mL: ``(t,)``, or ``()`` without a time axis; None between gaps.

        Each plane counts with its own voxel volume. What lies between planes that do not touch was not
        seen, so a sum over them is no volume of anything.
        """
        if not self.gapless:
            return None
        voxels = (self.labels == label).sum(axis=(-1, -2))
        return np.asarray(voxels @ np.array([p.voxel_ml for p in self.planes]))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Shape(_Common):
    """A surface, a mesh or a vessel tree."""

    shape: Surface | Mesh | VesselTree

    def _check(self) -> None:
        if not len(self.shape.points):
            raise ContractError(
                f"the shape {self.id} has no points", needed="at least one", fix="return Absent(code, why)"
            )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Field(_Common):
    """Values on the points of a `Shape`, or on the 17 segments, optionally over time.

    Parameters
    ----------
    values : (n,) or (t, n) float
    on : str
        The id of a `Shape` in the same findings, or ``AHA17``.
    times_ms : (t,) or None
    """

    values: Floats
    unit: str
    on: str
    times_ms: Floats | None = None

    def _check(self) -> None:
        dimension(self.unit)
        object.__setattr__(self, "values", _readonly(np.asarray(self.values, float)))
        if self.on == "AHA17" and self.values.shape[-1] != 17:
            raise ContractError(f"{self.values.shape[-1]} values on AHA17", needed="17 values")
        if self.values.ndim == 2 and (
            self.times_ms is None or np.shape(self.times_ms) != self.values.shape[:1]
        ):
            raise ContractError(
                "a field over time without its times", needed=f"{self.values.shape[0]} times_ms"
            )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Curve(_Common):
    """A quantity along another: ``x (n,)`` and ``y (n,)``, each with a UCUM unit."""

    x: Floats
    y: Floats
    x_unit: str
    y_unit: str

    def _check(self) -> None:
        x, y = _readonly(np.asarray(self.x, float)), _readonly(np.asarray(self.y, float))
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)
        if x.ndim != 1 or x.shape != y.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise ContractError(
                f"a curve of shapes {x.shape} and {y.shape}", needed="finite x and y of one length"
            )
        dimension(self.x_unit)
        dimension(self.y_unit)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Events(_Common):
    """Many things of a few types in time, column by column: the beats of a day are one item.

    Parameters
    ----------
    onset_s : (n,) float
        s from the start of the signal, ascending.
    offset_s : (n,) float or None
        None for instants.
    types : tuple of Concept
    type_index : (n,) int
        Index into ``types``.
    leads : tuple of str
        Empty when the events belong to all leads.
    lead_index : (n,) int or None
    """

    onset_s: Floats
    types: tuple[Concept, ...]
    type_index: npt.NDArray[np.int64]
    offset_s: Floats | None = None
    leads: tuple[str, ...] = ()
    lead_index: npt.NDArray[np.int64] | None = None

    def _check(self) -> None:
        columns: dict[str, tuple[Any, Any]] = {
            "onset_s": (self.onset_s, np.float64),
            "offset_s": (self.offset_s, np.float64),
            "type_index": (self.type_index, np.int64),
            "lead_index": (self.lead_index, np.int64),
        }
        for name, (column, dtype) in columns.items():
            if column is None:
                continue
            array = _readonly(np.asarray(column, dtype))
            if array.shape != (len(self.onset_s),):
                raise ContractError(
                    f"{name} has shape {array.shape}", needed=f"({len(self.onset_s)},) as onset_s"
                )
            object.__setattr__(self, name, array)
        if len(self.onset_s) and (np.diff(self.onset_s) < 0).any():
            raise ContractError(f"the events of {self.id} are not in order", needed="ascending onset_s")
        if len(self.type_index) and not 0 <= int(self.type_index.min()) <= int(self.type_index.max()) < len(
            self.types
        ):
            raise ContractError("an event has no type", needed=f"type_index from 0 to {len(self.types) - 1}")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Statement(_Common):
    """A coded conclusion: criteria met, not met or not assessable; ``of`` names what supports it.

    Parameters
    ----------
    verdict : "met", "not met" or "not assessable"
    rule : str
        The criterion in words, with its source.
    probability : float or None
        Only together with ``calibration``, the record that calibrates it.
    """

    verdict: Literal["met", "not met", "not assessable"]
    rule: str
    probability: float | None = None
    calibration: str = ""

    def _check(self) -> None:
        if self.verdict not in ("met", "not met", "not assessable"):
            raise ContractError(f"the verdict {self.verdict!r}", needed="met, not met or not assessable")
        if self.probability is not None and not (self.calibration and 0 <= self.probability <= 1):
            raise ContractError(
                f"a probability of {self.probability}", needed="0 to 1, with its calibration record"
            )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Absent(_Common):
    """What was asked for and could not be obtained.

    Parameters
    ----------
    why : str
        One sentence for a person.
    reason : Concept
        From DICOM CID 42; measurement not attempted by default.
    """

    why: str
    reason: Concept = codes.NOT_ATTEMPTED

    def _check(self) -> None:
        if not self.why.strip():
            raise ContractError(f"{self.id} is absent without a reason", needed="one sentence why")


Item = Measurement | Region | Shape | Field | Curve | Events | Statement | Absent


def _readonly(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
