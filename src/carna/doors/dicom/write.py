"""Writing: a study becomes DICOM files: images as MR or CT, electrocardiograms as waveforms.

Everything is Explicit VR Little Endian; UIDs come from the study or are made from names, so the
same study gives the same bytes. A virtual patient's files say so in the name, in Quality Control
Subject (0010,0200) and in Patient Comments.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat

from carna.doors.dicom.header import PHANTOM_NAME, named_uid
from carna.doors.dicom.write_ecg import ecg_class, fill_ecg
from carna.errors import InputError
from carna.findings import Findings
from carna.findings.wire import write_whole
from carna.space import Grid
from carna.study import Cine, Ecg, Image, Origin, Part, Planes, Record, Study

MR, CT = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2"
_UID: Final = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_SEX: Final = {"female": "F", "male": "M", "other": "O"}
SYNTHETIC: Final = "SYNTHETIC DATA: a computed phantom, no patient"
# How the picture was made, where the part knows it.
_PASSED_ON: Final = (
    "ProtocolName", "BodyPartExamined", "SequenceName", "MagneticFieldStrength", "EchoTime", "RepetitionTime",
    "InversionTime", "FlipAngle", "PatientPosition", "KVP", "ConvolutionKernel", "ContrastBolusAgent",
)  # fmt: skip


def write_study(study: Study, folder: str | PathLike[str]) -> list[Path]:
    """Write every part of a study as DICOM files, one folder a part, each file whole.

    Parameters
    ----------
    study : Study
        Of `Image`, `Cine` and `Planes` (MR or CT) and `Ecg` parts. A `Record` gives the patient's age,
        height and weight to all files; its other entries have no place in them.
    folder : path
        Made if missing; files of the same name are replaced.

    Returns
    -------
    list of Path
        In the order of the parts, planes and phases.

    Raises
    ------
    InputError
        If a part has no place in DICOM as written here; nothing is written then.
    """
    parts: list[Image | Cine | Planes | Ecg] = []
    for part in study.parts:
        if isinstance(part, Record):
            continue
        if not isinstance(part, Image | Cine | Planes | Ecg):
            raise InputError(
                f"a {type(part).__name__} ({part.origin.label or part.origin.uid})",
                needed="Image, Cine, Planes, Ecg or Record parts",
                fix="leave it out of the study that is written",
            )
        if not isinstance(part, Ecg) and part.origin.modality not in ("MR", "CT"):
            raise InputError(
                f"an image of modality {part.origin.modality!r}", needed="MR or CT", fix="set its origin"
            )
        if isinstance(part, Ecg):
            ecg_class(len(part.leads), part.values.shape[1], part.rate_hz)
            _ecg_time(part, study)
        parts.append(part)
    written: list[Path] = []
    for number, part in enumerate(parts, 1):
        place = Path(folder) / f"{number:03d}_{part.origin.modality or 'ECG'}"
        for n, ds in enumerate(datasets(part, study, number=number), 1):
            path = place / f"{n:05d}.dcm"
            write_whole(path, encode(ds))
            written.append(path)
    return written


def datasets(part: Image | Cine | Planes | Ecg, study: Study, *, number: int = 1) -> Iterator[Dataset]:
    """Yield the DICOM objects of one part: one for each plane and phase, or one electrocardiogram.

    Parameters
    ----------
    part : Image, Cine, Planes or Ecg
    study : Study
        Whose it is.
    number : int
        Series Number where the part has none.
    """
    if isinstance(part, Ecg):
        yield ecg_dataset(part, study, number=number)
        return
    lut = _Scale.of(part.values.array, part.origin.modality)
    # Planes without a frame of reference are of one place in Carna, so they share one in the files.
    frame = _planes(part)[0].frame or named_uid("frame", study.uid)
    for nth, shot in enumerate(_shots(part), 1):
        ds = _common(part, study, number, nth, MR if part.origin.modality == "MR" else CT)
        ds.FrameOfReferenceUID = frame if _is_uid(frame) else named_uid("frame", frame)
        ds.PositionReferenceIndicator = ""
        _place(ds, shot)
        if part.origin.modality == "MR":
            _mr(ds, part, shot)
        else:
            _ct(ds, part)
        lut.pixels(ds, shot.values, part)
        yield ds


def ecg_dataset(ecg: Ecg, study: Study, *, number: int = 1, findings: Iterable[Findings] = ()) -> Dataset:
    """Return an electrocardiogram as a DICOM waveform object, annotated with what findings say of it.

    It becomes a 12-Lead ECG if it fits (at most 13 channels, 16384 samples, 200 to 1000 Hz), else a
    General (24 channels, 200 to 1000 Hz) or an Ambulatory ECG (12 channels, 50 to 1000 Hz): PS3.3 A.34.
    Values are stored in whole steps of the lead's own smallest step, 1 uV where that is not known;
    a lead that does not fit into 16 bits gets a wider step. NaN becomes Waveform Padding Value.
    An annotated object is another than the one that arrived: its UID follows from the findings too.

    Parameters
    ----------
    ecg : Ecg
    study : Study
        Whose it is.
    number : int
        Series Number where the part has none.
    findings : iterable of Findings
        Beats, waves, numbers and met criteria become annotations, a median beat a group of its own.

    Raises
    ------
    InputError
        If no ECG object allows its rate or number of leads, or it has no time.
    """
    time = _ecg_time(ecg, study)
    ds = _common(ecg, study, number, 1, "")
    ds.Modality = "ECG"
    ds.AcquisitionDateTime = _digits(time).ljust(14, "0")
    ds.ContentDate, ds.ContentTime = _digits(time)[:8], _digits(time)[8:].ljust(6, "0")
    said = tuple(findings)
    if said:
        ds.SOPInstanceUID = named_uid("annotated", ds.SOPInstanceUID, *(one.uid for one in said))
        ds.SeriesInstanceUID = named_uid("annotated", ds.SeriesInstanceUID, *(one.uid for one in said))
    fill_ecg(ds, ecg, said)
    return ds


def _ecg_time(ecg: Ecg, study: Study) -> str:
    """Return when it was recorded: DICOM demands it of an electrocardiogram."""
    time = ecg.origin.time or study.time
    if len(_digits(time)) < 8:
        raise InputError(
            "an electrocardiogram without a time", needed="the date at least", fix="set the study's time"
        )
    return time


def encode(ds: Dataset) -> bytes:
    """Return a dataset as the bytes of a DICOM file (PS3.10), Explicit VR Little Endian."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.ImplementationClassUID = UID(named_uid("implementation"))
    ds.file_meta.ImplementationVersionName = "CARNA"
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


# What every object says ------------------------------------------------------------------------


def _uid(part: Part) -> str:
    return part.origin.uid if _is_uid(part.origin.uid) else named_uid("series", part.origin.uid)


def _is_uid(text: str) -> bool:
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def _digits(iso: str) -> str:
    """Return the digits of an ISO 8601 time as DICOM writes it, without the fraction of a second."""
    return re.sub(r"\D", "", re.split(r"[.+Z]", iso, maxsplit=1)[0])[:14]


def _common(
    part: Image | Cine | Planes | Ecg, study: Study, number: int, nth: int, sop_class: str
) -> Dataset:
    origin = part.origin
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = named_uid("instance", study.uid, origin.uid, str(nth))
    _study(ds, study)
    ds.Modality = origin.modality
    ds.SeriesInstanceUID = _uid(part)
    ds.SeriesNumber = str(number if origin.number is None else origin.number)
    ds.SeriesDescription = origin.label[:64]
    ds.InstanceNumber = str(nth)
    ds.Manufacturer = "Carna" if study.patient.synthetic else origin.device[:64]
    if study.patient.synthetic:
        ds.ManufacturerModelName = "phantom"
    if _digits(origin.time):
        ds.SeriesDate, ds.SeriesTime = _digits(origin.time)[:8], _clock(origin.time)
    return ds


def _clock(iso: str) -> str:
    return _digits(iso)[8:].ljust(6, "0") if len(_digits(iso)) > 8 else ""


def _study(ds: Dataset, study: Study) -> None:
    who = study.patient
    ds.StudyInstanceUID = study.uid if _is_uid(study.uid) else named_uid("study", study.uid)
    ds.StudyDate, ds.StudyTime = _digits(study.time)[:8], _clock(study.time)
    ds.StudyDescription = study.description[:64]
    ds.AccessionNumber = study.accession[:16]
    ds.StudyID = ""
    ds.ReferringPhysicianName = ""
    ds.PatientID = who.id
    if who.issuer:
        ds.IssuerOfPatientID = who.issuer
    ds.PatientName = PHANTOM_NAME if who.synthetic else who.name
    ds.PatientBirthDate = _digits(who.birth_date)
    ds.PatientSex = _SEX.get(who.sex or "", "")
    if who.synthetic:
        ds.QualityControlSubject = "YES"
        ds.PatientComments = SYNTHETIC
    for record in (p for p in study.parts if isinstance(p, Record)):
        if record.age_a is not None and 1 <= record.age_a < 1000:
            ds.PatientAge = f"{int(record.age_a):03d}Y"
        if record.height_cm is not None:
            ds.PatientSize = _ds(record.height_cm / 100.0)
        if record.weight_kg is not None:
            ds.PatientWeight = _ds(record.weight_kg)


def _ds(number: float) -> DSfloat:
    """Return a number in at most 16 characters, as a decimal string holds."""
    return DSfloat(float(number), auto_format=True)


# Images ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Shot:
    """One picture to be written: its plane, its pixels and, in a cine, its moment."""

    plane: Grid
    values: npt.NDArray[Any]
    k: int
    trigger_ms: float | None = None
    rr_ms: float | None = None
    phases: int = 0


def _planes(part: Image | Cine | Planes) -> tuple[Grid, ...]:
    if isinstance(part, Image):
        return tuple(part.grid.plane(k) for k in range(part.grid.shape[0]))
    return part.planes


def _shots(part: Image | Cine | Planes) -> Iterator[_Shot]:
    values = part.values.array
    for k, plane in enumerate(_planes(part)):
        if isinstance(part, Cine):
            for t in range(values.shape[0]):
                trigger, rr = float(part.times_ms[t, k]), float(part.rr_ms[k])
                yield _Shot(plane, values[t, k], k, trigger, rr, values.shape[0])
        else:
            times = part.times_ms if isinstance(part, Planes) else None
            yield _Shot(plane, values[k], k, None if times is None else float(times[k]))


def _place(ds: Dataset, shot: _Shot) -> None:
    plane = shot.plane
    row, column = plane.axes[:, 2], plane.axes[:, 1]
    if abs(float(row @ column)) > 1e-4:
        raise InputError("a plane with rows and columns that are not perpendicular", needed="a right angle")
    thickness, between_rows, between_columns = plane.spacing_mm
    ds.ImageOrientationPatient = [_ds(x) for x in (*row, *column)]
    ds.ImagePositionPatient = [_ds(x) for x in plane.origin]
    ds.PixelSpacing = [_ds(between_rows), _ds(between_columns)]
    ds.SliceThickness = _ds(thickness)
    ds.SliceLocation = _ds(float(plane.origin @ plane.normal))
    ds.AcquisitionNumber = str(shot.k + 1)
    ds.Laterality = ""


def _mr(ds: Dataset, part: Image | Cine | Planes, shot: _Shot) -> None:
    ds.SOPClassUID = MR
    ds.ImageType = ["DERIVED" if ds.get("QualityControlSubject") else "ORIGINAL", "PRIMARY", "M"]
    ds.ScanningSequence = "GR"
    ds.SequenceVariant = "NONE"
    ds.ScanOptions = "CG" if shot.trigger_ms is not None else ""
    ds.MRAcquisitionType = "2D"
    ds.RepetitionTime = ds.EchoTime = ds.EchoTrainLength = None
    ds.PatientPosition = ""
    _pass_on(ds, part.origin)
    if shot.trigger_ms is not None:
        ds.TriggerTime = _ds(shot.trigger_ms)
    if shot.rr_ms is not None:
        ds.NominalInterval = str(round(shot.rr_ms))
        ds.HeartRate = str(round(60000.0 / shot.rr_ms))
        ds.CardiacNumberOfImages = str(shot.phases)


def _ct(ds: Dataset, part: Image | Cine | Planes) -> None:
    ds.ImageType = ["DERIVED" if ds.get("QualityControlSubject") else "ORIGINAL", "PRIMARY", "AXIAL"]
    ds.KVP = None
    ds.PatientPosition = ""
    _pass_on(ds, part.origin)


def _pass_on(ds: Dataset, origin: Origin) -> None:
    for keyword in _PASSED_ON:
        told = origin.facts.get(keyword)
        if told is not None and not isinstance(told, tuple):
            setattr(ds, keyword, _ds(told) if isinstance(told, float) else told)


@dataclass(frozen=True, slots=True)
class _Scale:
    """value = stored * slope + intercept, with stored in 16 unsigned bits."""

    slope: float
    intercept: float

    @classmethod
    def of(cls, values: npt.NDArray[Any], modality: str) -> _Scale:
        """Return the scale that keeps whole numbers as they are, and else fills the range."""
        low, high = float(values.min()), float(values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InputError("pixels that are not finite", needed="a number in every pixel")
        is_whole = values.dtype.kind in "iub" or bool((values == np.round(values)).all())
        if is_whole and high - min(low, 0.0) <= 65535:
            usual = -1024.0 if modality == "CT" and low >= -1024 and high <= 64511 else min(low, 0.0)
            return cls(1.0, usual)
        slope = float(str(_ds((high - low) / 65535.0 * (1 + 1e-9)))) if high > low else 1.0
        return cls(slope, float(str(_ds(low))))

    def pixels(self, ds: Dataset, values: npt.NDArray[Any], part: Image | Cine | Planes) -> None:
        stored = np.clip(np.round((values.astype(np.float64) - self.intercept) / self.slope), 0, 65535)
        ds.SamplesPerPixel = 1
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.Rows, ds.Columns = values.shape
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit = 15
        ds.PixelRepresentation = 0
        plain = self.slope == 1.0 and self.intercept == 0.0
        if part.origin.modality == "CT" or not plain or part.unit != "1":
            ds.RescaleIntercept, ds.RescaleSlope = _ds(self.intercept), _ds(self.slope)
            ds.RescaleType = {"[hnsf'U]": "HU", "1": "US"}.get(part.unit, part.unit)
        low, high = np.percentile(values, (1, 99.5))
        ds.WindowCenter, ds.WindowWidth = _ds((low + high) / 2), _ds(max(high - low, 1.0))
        ds.PixelData = stored.astype("<u2").tobytes()
