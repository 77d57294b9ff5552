"""The parts of a study, each with its own geometry or clock; pixels and samples stay lazy.

===========  =====================================================  ==========================
part         values                                                 place
===========  =====================================================  ==========================
`Image`      ``(k, r, c)`` one regular volume                       a `Grid`
`Cine`       ``(t, k, r, c)`` planes that beat                      a plane and an RR each
`Planes`     ``(n, r, c)`` frames anywhere                          a plane each
`Picture`    ``(t, r, c)`` or ``(t, r, c, 3)``                      none: echo, angiogram, photo
`Ecg`        ``(leads, samples)`` mV                                seconds
`Geometry`   a surface, a mesh or a vessel tree, with fields        LPS mm
`Record`     age, sex, size, pressures, laboratory                  dates
`Slide`      size and spacing only                                  the glass
===========  =====================================================  ==========================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.signal import Signal
from carna.space import Floats, Grid, Mesh, Surface, VesselTree, stack

Sex = Literal["female", "male", "other"]
EcgKind = Literal["rhythm", "median"]


class Lazy:
    """An array that is loaded when first asked for, then kept, and can't be written to.

    Parameters
    ----------
    shape : tuple of int
        Known before loading; the loaded array must have it.
    load : callable() -> array
        Called at most once.
    """

    __slots__ = ("_array", "_load", "shape")

    def __init__(self, shape: tuple[int, ...], load: Callable[[], npt.NDArray[Any]]) -> None:
        self.shape = shape
        self._load = load
        self._array: npt.NDArray[Any] | None = None

    @classmethod
    def of(cls, array: npt.ArrayLike) -> Lazy:
        """Return an array that is here already as a lazy one."""
        here = np.asarray(array)
        return cls(here.shape, lambda: here)

    @property
    def array(self) -> npt.NDArray[Any]:
        """The values, read-only.

        Raises
        ------
        InputError
            If what was loaded has another shape than was announced.
        """
        if self._array is None:
            array = np.asarray(self._load()).view()
            if array.shape != self.shape:
                raise InputError(f"pixels of shape {array.shape}", needed=f"{self.shape} as the headers say")
            array.flags.writeable = False
            self._array = array
        return self._array

    def release(self) -> None:
        """Forget the loaded array; the next use loads it again."""
        self._array = None


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One stored object a part was made from: what evidence in a report points at.

    Parameters
    ----------
    uid, sop_class : str
        SOP Instance UID and SOP Class UID; for a file that is no DICOM, a name-based UID and "".
    series : str
        Series Instance UID, "" if none.
    frames : tuple of int
        The frames used, from 1, empty for all.
    read : callable() -> object
        Returns the header (a pydicom ``Dataset`` without pixels); opaque above the doors.
    """

    uid: str
    sop_class: str = ""
    series: str = ""
    frames: tuple[int, ...] = ()
    read: Callable[[], Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where a part came from and what its header says.

    Parameters
    ----------
    uid : str
        Series Instance UID, or a name-based UID of the file's content.
    modality : str
        DICOM Modality: MR, CT, US, XA, ECG, SM ...
    label : str
        The sender's own words (Series Description, file name): evidence, never truth.
    number : int or None
        Series Number.
    time : str
        Start of the acquisition, ISO 8601 local time, "" if unknown.
    device : str
        Manufacturer and model.
    format : str
        The door it came through: DICOM, WFDB, aECG, NIfTI ...
    sources : tuple of Source
        The stored objects, in the order of the values.
    notes : tuple of str
        What a reader must know: gaps, duplicates left out, a header repaired.
    facts : mapping
        Header facts that fingerprints read, by DICOM keyword or the format's own name.
    """

    uid: str
    modality: str
    label: str = ""
    number: int | None = None
    time: str = ""
    device: str = ""
    format: str = ""
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One regular volume: ``values (k, r, c)`` in ``unit`` on a `Grid`."""

    origin: Origin
    grid: Grid
    values: Lazy
    unit: str = "1"

    def __post_init__(self) -> None:
        _agree(self.values.shape, self.grid.shape, "image")


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """Frames with their own geometry: ``values (n, r, c)``, one plane a frame.

    ``times_ms (n,)`` are the trigger times, None where the headers have none.
    """

    origin: Origin
    planes: tuple[Grid, ...]
    values: Lazy
    unit: str = "1"
    times_ms: Floats | None = None

    def __post_init__(self) -> None:
        _agree(self.values.shape, (len(self.planes), *self.planes[0].shape[1:]), "planes")


@dataclass(frozen=True, slots=True, eq=False)
class Cine:
    """Planes that beat: ``values (t, k, r, c)``.

    Parameters
    ----------
    planes : tuple of Grid
        One for each ``k``, sorted along the normal, equidistant or not.
    times_ms : (t, k) float
        Trigger times after each plane's own R wave.
    rr_ms : (k,) float
        The RR interval each plane was recorded in.
    """

    origin: Origin
    planes: tuple[Grid, ...]
    values: Lazy
    times_ms: Floats
    rr_ms: Floats
    unit: str = "1"

    def __post_init__(self) -> None:
        t, k = np.shape(self.times_ms)
        _agree(self.values.shape, (t, len(self.planes), *self.planes[0].shape[1:]), "cine")
        if k != len(self.planes) or np.shape(self.rr_ms) != (k,):
            raise InputError(
                "trigger times or RR for another number of planes", needed=f"{len(self.planes)} of each"
            )

    @property
    def phase(self) -> Floats:
        """Fraction of each plane's own RR, ``(t, k)``, 0 at the R wave."""
        return np.asarray(self.times_ms / self.rr_ms)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Median distance of the planes (the thickness of a single one), of rows and of columns, mm."""
        thick, row, column = self.planes[0].spacing_mm
        if len(self.planes) == 1:
            return thick, row, column
        along = [p.origin @ self.planes[0].normal for p in self.planes]
        return float(np.median(np.abs(np.diff(along)))), row, column

    @property
    def handedness(self) -> int:
        """Sign of the determinant of the directions of slices, rows and columns: 1 or -1."""
        directions = np.array(self.planes[0].affine[:3, :3], float)
        if len(self.planes) > 1:
            directions[:, 0] = self.planes[-1].origin - self.planes[0].origin
        return 1 if np.linalg.det(directions) > 0 else -1

    @property
    def grid(self) -> Grid | None:
        """The regular grid the planes fill, None if they are not equidistant."""
        return stack(self.planes)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Pixels with no place in the patient: an echo loop, an angiogram, a photograph.

    ``values`` is ``(t, r, c)`` or ``(t, r, c, 3)``; ``spacing_mm`` is (between rows, between
    columns) where the header has a calibration, None where not; ``times_ms (t,)`` or None.
    """

    origin: Origin
    values: Lazy
    unit: str = "1"
    spacing_mm: tuple[float, float] | None = None
    times_ms: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ecg:
    """An electrocardiogram: ``values (leads, samples)`` float32 in mV, NaN where not recorded.

    Parameters
    ----------
    leads : tuple of str
        I, II, III, aVR, aVL, aVF, V1 ... V9, V3R ..., X, Y, Z, or the sender's own name.
    rate_hz : float
    kind : "rhythm" or "median"
        The recording, or a cart's averaged beat.
    lsb_mV : tuple of float
        The smallest step of each lead; 0 where unknown.
    """

    origin: Origin
    values: Lazy
    leads: tuple[str, ...]
    rate_hz: float
    kind: EcgKind = "rhythm"
    lsb_mV: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.leads) != self.values.shape[0]:
            raise InputError(f"{len(self.leads)} lead names", needed=f"{self.values.shape[0]}, one a channel")
        if not self.rate_hz > 0:
            raise InputError(f"a sampling rate of {self.rate_hz} Hz", needed="a rate above 0")

    @property
    def seconds(self) -> float:
        """Length, s."""
        return float(self.values.shape[1] / self.rate_hz)

    @property
    def signal(self) -> Signal:
        """The samples as a signal in mV."""
        return Signal(self.values.array, self.leads, self.rate_hz)


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """A surface, a volume mesh or a vessel tree, with values on its points.

    ``fields`` maps a name to ``(points,)`` or ``(points, components)`` values, in the
    sender's own units: the formats carry none. ``cell_fields`` does the same for the
    triangles, cells or edges of the shape.
    """

    origin: Origin
    shape: Surface | Mesh | VesselTree
    fields: Mapping[str, Floats] = field(default_factory=dict)
    cell_fields: Mapping[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Slide:
    """A pathology slide, recognised but not decoded: ``size`` (rows, columns), ``spacing_mm`` or None."""

    origin: Origin
    size: tuple[int, int]
    spacing_mm: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a record: a laboratory value, a pressure, a diagnosis.

    ``codes`` are (scheme, value) pairs in the designators of `carna.codes`; ``value`` is a
    number with a UCUM ``unit``, or text; ``time`` is ISO 8601, "" if unknown.
    """

    name: str
    codes: tuple[tuple[str, str], ...] = ()
    value: float | str = ""
    unit: str = ""
    time: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What is known of the patient besides images and signals; None where it is not known."""

    origin: Origin
    age_a: float | None = None
    sex: Sex | None = None
    height_cm: float | None = None
    weight_kg: float | None = None
    entries: tuple[Entry, ...] = ()

    @property
    def surface_m2(self) -> float | None:
        """Body surface by Mosteller 1987 (doi:10.1056/NEJM198710223171717), m2; None without its size."""
        if not self.height_cm or not self.weight_kg:
            return None
        return float(np.sqrt(self.height_cm * self.weight_kg / 3600.0))


Part = Image | Planes | Cine | Picture | Ecg | Geometry | Slide | Record


@dataclass(frozen=True, slots=True)
class Patient:
    """Who was examined.

    ``birth_date`` is ISO 8601, "" if unknown; ``synthetic`` marks a virtual patient, whose
    results are refused as clinical ones everywhere.
    """

    id: str
    issuer: str = ""
    name: str = ""
    birth_date: str = ""
    sex: Sex | None = None
    synthetic: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What arrived at one examination.

    Parameters
    ----------
    uid : str
        Study Instance UID, or a name-based UID of the content.
    patient : Patient
    time : str
        ISO 8601 local time, "" if unknown.
    parts : tuple of Part
        In the order of their series numbers.
    """

    uid: str
    patient: Patient
    time: str = ""
    description: str = ""
    accession: str = ""
    parts: tuple[Part, ...] = ()

    def part(self, uid: str) -> Part | None:
        """Return the part with this UID, None if there is none."""
        return next((p for p in self.parts if p.origin.uid == uid), None)


def _agree(values: tuple[int, ...], place: tuple[int, ...], what: str) -> None:
    if values != place:
        raise InputError(f"{what} values of shape {values}", needed=f"{place}, the shape of their geometry")
