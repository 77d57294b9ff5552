"""Header: what is known of one DICOM object before its pixels, and the nouns made from it.

Values are read here with plain functions (`text`, `number`, `numbers`, `items`) that never
raise and never warn: hospital headers are full of values that break their own rules, and one
of them must not cost the image.
"""

from __future__ import annotations

import io
import lzma
import math
import re
import struct
import tarfile
import uuid
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.tag import Tag

from carna.doors.arrive import Arrival
from carna.doors.files import Blob
from carna.errors import InputError
from carna.findings import Findings
from carna.findings.model import NAMESPACE
from carna.study import Origin, Part, Patient, Source
from carna.study.parts import Sex

# What opening and unpacking a file raise.
UNREADABLE: Final = (
    EOFError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
# What pydicom, the decoders and numpy raise on damaged or hostile content. A bug of ours
# would mostly show as one of these too, so it is caught only around single files and series.
BROKEN: Final = (
    *UNREADABLE,
    InputError,
    InvalidDicomError,
    BytesLengthException,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    struct.error,
)

# Header facts that fingerprints read.
FACTS: Final = (
    "ImageType", "SequenceName", "PulseSequenceName", "ScanningSequence", "SequenceVariant", "ScanOptions",
    "MRAcquisitionType", "SeriesDescription", "ProtocolName", "StudyDescription", "BodyPartExamined",
    "ContrastBolusAgent", "InversionTime", "EchoTime", "RepetitionTime", "FlipAngle", "TriggerTime",
    "MagneticFieldStrength", "SliceThickness", "SpacingBetweenSlices", "PatientPosition", "HeartRate",
    "CardiacNumberOfImages", "NominalInterval", "ViewName", "ViewPosition", "PhotometricInterpretation",
    "ConvolutionKernel", "KVP", "PositionerPrimaryAngle", "PositionerSecondaryAngle", "TransducerType",
    "ImageLaterality", "PixelPaddingValue", "LossyImageCompression", "BurnedInAnnotation",
    "Units", "RescaleType",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Extent:
    """Where the pixel data lies in its file.

    Parameters
    ----------
    keyword : str
        PixelData, FloatPixelData or DoubleFloatPixelData.
    start, length : int
        Bytes from the start of the (inflated) file; ``length`` is -1 for encapsulated data.
    whole : bool
        Whether the file reaches as far as the length says.
    """

    keyword: str
    start: int
    length: int
    whole: bool


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """One stored object without its bulk: no pixels, no waveforms, no private elements.

    Parameters
    ----------
    ds : pydicom.Dataset
        With ``file_meta``; a file without one has an empty one, and its syntax was guessed.
    blob : Blob
        The bytes it came from.
    name : str
        File name for problems.
    syntax : str
        Transfer Syntax UID.
    pixels : Extent or None
    notes : tuple of str
        What was repaired or guessed while reading.
    """

    ds: Dataset = field(repr=False)
    blob: Blob = field(repr=False)
    name: str
    syntax: str = ""
    pixels: Extent | None = None
    notes: tuple[str, ...] = ()

    @property
    def uid(self) -> str:
        """SOP Instance UID, of the dataset or of the file meta; a name-based one if there is none."""
        stored = text(self.ds, "SOPInstanceUID") or text(self.ds.file_meta, "MediaStorageSOPInstanceUID")
        # The folder is left out: the same file elsewhere is the same object.
        return stored or named_uid("instance", self.series, text(self.ds, "InstanceNumber"), self.blob.file)

    @property
    def sop_class(self) -> str:
        """SOP Class UID, of the dataset or of the file meta; "" if there is none."""
        return text(self.ds, "SOPClassUID") or text(self.ds.file_meta, "MediaStorageSOPClassUID")

    @property
    def series(self) -> str:
        """Series Instance UID; a name-based one if the header has none."""
        keywords = ("SeriesNumber", "Modality", "SeriesDescription", "SeriesTime", "FrameOfReferenceUID")
        return text(self.ds, "SeriesInstanceUID") or named_uid(
            "series", study_uid(self.ds), *(text(self.ds, k) for k in keywords)
        )

    def full(self) -> Dataset:
        """Return the whole dataset, bulk and private elements included, every value decoded.

        Elements that can't be decoded are left out.

        Raises
        ------
        InputError
            If the file can no longer be read.
        """
        return self._reread(stop_before_pixels=False)

    def bare(self) -> Dataset:
        """Return the whole dataset except the pixels, every value decoded (for `Source.read`)."""
        return self._reread(stop_before_pixels=True)

    def _reread(self, *, stop_before_pixels: bool) -> Dataset:
        from carna.doors.dicom.scan import repaired

        try:
            with quiet():
                ds = pydicom.dcmread(
                    io.BytesIO(repaired(self)), force=True, stop_before_pixels=stop_before_pixels
                )
                decode_all(ds)
        except BROKEN as error:
            raise InputError(
                f"{self.name} can't be read again: {error}", needed="the file as it was"
            ) from error
        return ds


def decode_all(ds: Dataset, depth: int = 0) -> None:
    """Decode every value in place, so that no later use warns; drop those that can't be decoded."""
    for tag in list(ds.keys()):
        try:
            element = ds[tag]
        except BROKEN:
            del ds[tag]
            continue
        if element.VR == "SQ" and depth < 32:
            for item in element.value:
                decode_all(item, depth + 1)


@contextmanager
def quiet() -> Iterator[Callable[[], tuple[str, ...]]]:
    """Keep pydicom's warnings inside; call what is yielded to get them as notes, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        def notes() -> tuple[str, ...]:
            return tuple(dict.fromkeys(" ".join(str(w.message).split()) for w in caught))

        yield notes


def named_uid(*names: str) -> str:
    """Return a UID that is always the same for the same names."""
    return f"2.25.{uuid.uuid5(NAMESPACE, '/'.join(names)).int}"


# Reading values --------------------------------------------------------------------------------

_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}


@cache
def _tag(keyword: str) -> Any:
    return Tag(keyword)


def value(ds: Dataset, keyword: str) -> Any:
    """Return pydicom's value, None if it is absent, empty or broken."""
    tag = _tag(keyword)
    if tag not in ds:
        return None
    try:
        got = ds[tag].value
    except BROKEN:
        return None
    return None if got is None or (isinstance(got, str | bytes | list) and not got) else got


_ESCAPE: Final = re.compile("\x1b[\x20-\x2f]+[\x30-\x7e]")


def _clean(text: str) -> str:
    """Return text without padding and without code-switching escapes that the decoder left (GB 2312)."""
    return _ESCAPE.sub("", text).strip(" \0") if "\x1b" in text else text.strip(" \0")


def texts(ds: Dataset, keyword: str) -> tuple[str, ...]:
    """Return all values of a text element, stripped; () if it is absent or broken."""
    raw = ds.get_item(_tag(keyword))
    if raw is None:
        return ()
    got = raw.value
    if isinstance(got, bytes) and getattr(raw, "is_raw", False) and got.isascii() and b"\x1b" not in got:
        return tuple(part.strip(" \0") for part in got.decode("ascii").split("\\")) if got else ()
    got = value(ds, keyword)
    if got is None:
        return ()
    many = got if isinstance(got, list | tuple) or hasattr(got, "append") else [got]
    return tuple(_clean(str(one)) for one in many)


def text(ds: Dataset, keyword: str) -> str:
    """Return the first value of a text element, "" if there is none."""
    got = texts(ds, keyword)
    return got[0] if got else ""


def numbers(ds: Dataset, keyword: str) -> tuple[float, ...]:
    """Return all values of a numeric element; () if it is absent or one of them is no finite number."""
    tag = _tag(keyword)
    raw = ds.get_item(tag)
    if raw is None:
        return ()
    got = raw.value
    try:
        if isinstance(got, bytes) and getattr(raw, "is_raw", False):
            code = _BINARY.get(raw.VR or dictionary_VR(tag))
            if code is None:
                values = tuple(float(part) for part in got.split(b"\\") if part.strip(b" \0"))
            else:
                count = len(got) // struct.calcsize(code)
                end = "<" if raw.is_little_endian else ">"
                values = struct.unpack_from(f"{end}{count}{code}", got)
        else:
            got = value(ds, keyword)
            if got is None:
                return ()
            many = got if hasattr(got, "__iter__") and not isinstance(got, str) else [got]
            values = tuple(float(one) for one in many)
    except BROKEN:
        return ()
    return values if all(map(math.isfinite, values)) else ()


def number(ds: Dataset, keyword: str) -> float | None:
    """Return the first value of a numeric element, None if there is none."""
    got = numbers(ds, keyword)
    return float(got[0]) if got else None


def whole(ds: Dataset, keyword: str, default: int = 0) -> int:
    """Return the first value of an integer element, ``default`` if there is none."""
    got = numbers(ds, keyword)
    return int(got[0]) if got else default


def items(ds: Dataset | None, keyword: str) -> tuple[Dataset, ...]:
    """Return the items of a sequence, () if it is absent or broken."""
    got = None if ds is None else value(ds, keyword)
    return tuple(i for i in got if isinstance(i, Dataset)) if isinstance(got, pydicom.Sequence) else ()


def item(ds: Dataset | None, *keywords: str) -> Dataset | None:
    """Return the first item down a path of sequences, None if one is absent."""
    for keyword in keywords:
        found = items(ds, keyword)
        if not found:
            return None
        ds = found[0]
    return ds


# Dates, patients, arrivals ---------------------------------------------------------------------

_DATE = re.compile(r"(\d{4})[.\-]?(\d{2})[.\-]?(\d{2})")
_TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(\.\d{1,6})?")


def iso_time(date: str, time: str = "") -> str:
    """Return ISO 8601 of a DICOM date and time; "" if the date is not one.

    >>> iso_time("20250514", "101502.5")
    '2025-05-14T10:15:02.500000'
    """
    found = _DATE.match(date)
    if found is None or not ("01" <= found[2] <= "12" and "01" <= found[3] <= "31"):
        return ""
    day = "-".join(found.groups())
    clock = _TIME.match(time)
    if clock is None or clock[1] > "23" or (clock[2] or "0") > "59":
        return day
    fraction = (clock[4] or "").ljust(7, "0") if clock[4] else ""
    return f"{day}T{clock[1]}:{clock[2] or '00'}:{clock[3] or '00'}{fraction}"


_SEX: Final[dict[str, Sex]] = {"F": "female", "M": "male", "O": "other"}
PHANTOM_NAME: Final = "CARNA^PHANTOM"


def patient_of(ds: Dataset) -> Patient:
    """Return who the object is of.

    A virtual patient is known by the name ``CARNA^PHANTOM``, by Quality Control Subject (0010,0200)
    or by the word SYNTHETIC in Patient Comments.
    """
    name = _clean(str(value(ds, "PatientName") or "")).strip("^=")
    synthetic = (
        name.upper().startswith(PHANTOM_NAME)
        or text(ds, "QualityControlSubject").upper() == "YES"
        or "SYNTHETIC" in text(ds, "PatientComments").upper()
    )
    return Patient(
        id=text(ds, "PatientID"),
        issuer=text(ds, "IssuerOfPatientID"),
        name=name,
        birth_date=iso_time(text(ds, "PatientBirthDate")),
        sex=_SEX.get(text(ds, "PatientSex").upper()),
        synthetic=synthetic,
    )


def study_uid(ds: Dataset) -> str:
    """Return the Study Instance UID; a name-based one if there is none.

    Without a patient id either, only what shares a frame of reference is one study: two
    anonymous patients of one day must not be mixed.
    """
    keywords = ["PatientID", "PatientBirthDate", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"]
    if not text(ds, "PatientID"):
        keywords.append("FrameOfReferenceUID")
    return text(ds, "StudyInstanceUID") or named_uid("study", *(text(ds, k) for k in keywords))


def arrival(ds: Dataset, part: Part | None = None, findings: Findings | None = None) -> Arrival:
    """Return a piece with its patient and its study."""
    return Arrival(
        patient=patient_of(ds),
        study=study_uid(ds),
        part=part,
        findings=findings,
        time=iso_time(text(ds, "StudyDate"), text(ds, "StudyTime")),
        description=text(ds, "StudyDescription"),
        accession=text(ds, "AccessionNumber"),
    )


def source_of(header: Header, frames: tuple[int, ...] = ()) -> Source:
    """Return the stored object as a source; its ``read`` gives the header without pixels.

    UIDs that the header lacks are filled in there with those that Carna goes by, so that a
    segmentation can refer to them.
    """
    blob = header.blob
    uids = {
        "SOPInstanceUID": header.uid,
        "SOPClassUID": header.sop_class,
        "SeriesInstanceUID": header.series,
        "StudyInstanceUID": study_uid(header.ds),
    }

    def read() -> Dataset:
        # Scanned again, so that a part of 5,000 slices does not keep 5,000 headers in memory.
        from carna.doors.dicom import scan

        ds = scan.header(blob).bare()
        for keyword, uid in uids.items():
            if uid and not text(ds, keyword):
                setattr(ds, keyword, uid)
        return ds

    return Source(header.uid, header.sop_class, header.series, frames, read)


def origin_of(
    headers: Sequence[Header],
    *,
    uid: str = "",
    sources: Sequence[Source] | None = None,
    notes: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
) -> Origin:
    """Return where a part came from, by the first of its headers.

    Parameters
    ----------
    headers : sequence of Header
        In the order of the values; at least one.
    uid : str
        UID of the part; the Series Instance UID if left out.
    sources : sequence of Source, optional
        One for each header if left out.
    notes : sequence of str
        After those of the headers, each once.
    facts : mapping, optional
        Facts that lie deeper than the top of the header.
    """
    ds = headers[0].ds
    told = dict.fromkeys([note for header in headers for note in header.notes] + list(notes))
    device = " ".join(filter(None, (text(ds, "Manufacturer"), text(ds, "ManufacturerModelName"))))
    series = number(ds, "SeriesNumber")
    return Origin(
        uid=uid or headers[0].series,
        modality=text(ds, "Modality"),
        label=text(ds, "SeriesDescription"),
        number=None if series is None else int(series),
        time=_acquired(ds),
        device=device,
        format="DICOM",
        sources=tuple(sources if sources is not None else (source_of(h) for h in headers)),
        notes=tuple(told),
        facts=facts_of(ds) | dict(facts or {}),
    )


def _acquired(ds: Dataset) -> str:
    stamp = text(ds, "AcquisitionDateTime")
    if stamp:
        return iso_time(stamp[:8], stamp[8:].split("+")[0].split("-")[0])
    for kind in ("Acquisition", "Content", "Series", "Study"):
        date = text(ds, f"{kind}Date") or text(ds, "StudyDate")
        time = text(ds, f"{kind}Time")
        if date and time:
            return iso_time(date, time)
    return iso_time(text(ds, "StudyDate"))


def facts_of(ds: Dataset) -> dict[str, Any]:
    """Return the facts fingerprints read: numbers as float, texts as str, several values as tuples."""
    facts: dict[str, Any] = {}
    for keyword in FACTS:
        if _tag(keyword) not in ds:
            continue
        got: tuple[Any, ...] = (
            numbers(ds, keyword)
            if dictionary_VR(_tag(keyword)) in ("DS", "IS", "US", "FD", "FL", "US or SS")
            else texts(ds, keyword)
        )
        got = tuple(one for one in got if one != "")
        if got:
            facts[keyword] = got[0] if len(got) == 1 else got
    return facts
