"""What every DICOM object Carna writes has in common: whose it is, when, from what, by whom.

`begin` returns an object with the modules Patient, General Study, Series, Equipment and SOP
Common filled in. Patient and study come from the header of a source where there is one, since a
PACS files a result by them, and from the case where there is none. `references` turns the
evidence of an item into stored objects and frames. Nothing here looks at a clock and no UID is
drawn by chance: the same findings are the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never, final

from carna.codes import Concept
from carna.errors import RenderError
from carna.units import dimension

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from carna.case import Case
    from carna.findings import Evidence, Findings
    from carna.study import Part, Study

__all__ = [
    "Reference",
    "algorithm",
    "banner",
    "begin",
    "coded",
    "equipment_version",
    "frame_references",
    "references",
    "series_items",
    "unit",
]

# Names the software that wrote the file, not the findings in it.
IMPLEMENTATION = "2.25.119978173345560836684099546396993374152"
_PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
_STUDY = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyID",
    "ReferringPhysicianName",
    "StudyDescription",
)
_SEX = {"female": "F", "male": "M", "other": "O", None: ""}


@final
@dataclass(frozen=True, slots=True)
class Reference:
    """A stored object that something was seen in, and the frame of it, from 1; 0 for all frames."""

    sop_class: str
    uid: str
    series: str
    frame: int = 0


def coded(concept: Concept) -> Dataset:
    """Return a concept as the item of a DICOM code sequence (PS3.3 8.8)."""
    from pydicom.dataset import Dataset

    item = Dataset()
    # A code of more than 16 characters has an attribute of its own.
    setattr(item, "CodeValue" if len(concept.value) <= 16 else "LongCodeValue", concept.value)
    item.CodingSchemeDesignator = concept.scheme
    item.CodeMeaning = concept.meaning[:64]
    return item


def unit(ucum: str) -> Dataset:
    """Return a UCUM unit as a code item; ``1`` reads "no units", as DICOM has it (CID 82).

    Raises
    ------
    UnitError
        If the string is no UCUM unit known here.
    """
    dimension(ucum)
    return coded(Concept(ucum, "UCUM", "no units" if ucum == "1" else ucum))


def begin(
    findings: Findings, case: Case, *, sop_class: str, modality: str, what: str, number: int
) -> Dataset:
    """Return a DICOM object that has everything but its content.

    Parameters
    ----------
    findings : Findings
    case : Case
        Holds the study the findings are on.
    sop_class : str
        SOP Class UID.
    modality : str
        SR, SEG, DOC ...
    what : str
        Names the object among those made from the same findings; its UIDs follow from it.
    number : int
        Series Number.

    Returns
    -------
    Dataset
        Explicit VR little endian, with file meta information.

    Raises
    ------
    RenderError
        If the case is of another patient, or does not hold the study.
    """
    from pydicom.dataset import Dataset

    study = examined(findings, case)
    uid = findings.uid
    day, clock = _moment(findings, study)
    out = Dataset()
    out.SpecificCharacterSet = "ISO_IR 192"
    out.SOPClassUID = sop_class
    out.SOPInstanceUID = findings.derived_uid(uid, what)
    out.CodingSchemeIdentificationSequence = [_own_scheme()]
    _patient_and_study(out, case, study)
    if findings.synthetic:
        out.QualityControlSubject = "YES"
    out.Modality = modality
    out.SeriesInstanceUID = findings.derived_uid(uid, what.split("/", 1)[0], "series")
    out.SeriesNumber = number
    out.SeriesDescription = f"{banner(findings)} {findings.manifest.application}".strip()[:64]
    out.SeriesDate, out.SeriesTime = day, clock
    out.InstanceNumber = 1
    out.ContentDate, out.ContentTime = day, clock
    out.Manufacturer = "Carna"
    out.ManufacturerModelName = findings.manifest.application[:64]
    out.DeviceSerialNumber = equipment_version(findings)
    out.SoftwareVersions = findings.manifest.version[:64]
    out.file_meta = _file_meta(sop_class, out.SOPInstanceUID)
    return out


def _own_scheme() -> Dataset:
    """Return who answers for the codes of 99CARNA."""
    from pydicom.dataset import Dataset

    scheme = Dataset()
    scheme.CodingSchemeDesignator = "99CARNA"
    scheme.CodingSchemeName = "Concepts of Carna"
    scheme.CodingSchemeResponsibleOrganization = "Carna"
    return scheme


def _file_meta(sop_class: str, uid: str) -> Any:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION
    meta.ImplementationVersionName = "CARNA"
    return meta


def examined(findings: Findings, case: Case) -> Study:
    """Return the study the findings are on.

    Raises
    ------
    RenderError
        If the case is of another patient, or does not hold the study.
    """
    if findings.patient != case.patient.id:
        raise RenderError(
            f"findings on patient {findings.patient!r} with the case of {case.patient.id!r}",
            needed="the case of the same patient",
        )
    for study in case.studies:
        if study.uid == findings.study:
            return study
    raise RenderError(f"the case has no study {findings.study}", needed="the study the findings are on")


def equipment_version(findings: Findings) -> str:
    """Return a serial number: software has none, so application and version stand in."""
    return f"{findings.manifest.application}-{findings.manifest.version}"[:64]


def banner(findings: Findings) -> str:
    """Return what must be seen before any number: SYNTHETIC, RESEARCH USE, or nothing."""
    marks = ["SYNTHETIC"] * findings.synthetic + ["RESEARCH USE"] * (not findings.validated)
    return " ".join(marks)


def algorithm(findings: Findings) -> tuple[str, str, tuple[str, ...]]:
    """Return name, version and parameters of the application: settings, seed and networks."""
    manifest = findings.manifest
    parameters = [f"{name} = {value}" for name, value in sorted(manifest.settings.items())]
    parameters += [f"model {name} sha256 {digest}" for name, digest in sorted(manifest.models.items())]
    if manifest.seed:
        parameters.append(f"seed = {manifest.seed}")
    return manifest.application, manifest.version, tuple(parameters)


def frame_references(part: Part) -> tuple[Reference, ...]:
    """Return one reference for each frame of a part's values, slowest axis first; () if not DICOM.

    A cine of ``(t, k, r, c)`` gives ``t * k`` references: frame ``(t, k)`` is number ``t * K + k``.
    A source stands for one frame, for the frames it lists, or, alone, for all of them in order; in
    a cine, objects that each hold the frames of one plane are taken plane by plane.
    """
    from carna.study import Cine, Ecg, Geometry, Image, Picture, Planes, Record, Slide

    match part:
        case Cine():
            count = part.values.shape[0] * part.values.shape[1]
        case Image() | Planes() | Picture():
            count = part.values.shape[0]
        case Ecg() | Geometry() | Slide() | Record():
            return ()
        case _:
            assert_never(part)
    sources = [s for s in part.origin.sources if s.sop_class]
    if len(sources) == count and all(len(s.frames) <= 1 for s in sources):
        spread = [(s, s.frames[0] if s.frames else 0) for s in sources]
    elif len(sources) == 1 and not sources[0].frames:
        spread = [(sources[0], n) for n in range(1, count + 1)]
    else:
        spread = [(s, n) for s in sources for n in s.frames]
        if isinstance(part, Cine) and len(sources) > 1:
            times, planes = part.values.shape[:2]
            by_plane = len(sources) == planes and all(len(s.frames) == times for s in sources)
            if by_plane and planes == times:
                return ()  # one object for each plane, or for each moment: it can't be told
            if by_plane:
                spread = [spread[k * times + t] for t in range(times) for k in range(planes)]
    if len(spread) != count:
        return ()
    return tuple(Reference(s.sop_class, s.uid, s.series or part.origin.uid, n) for s, n in spread)


def references(evidence: Evidence, study: Study) -> tuple[Reference, ...]:
    """Return the stored objects and frames that a piece of evidence points at; () if none are DICOM.

    Evidence without frames and planes means the whole part: each of its objects once.
    """
    from carna.study import Cine

    part = study.part(evidence.part)
    if part is None:
        return ()
    every = frame_references(part)
    if not every or not (evidence.frames or evidence.planes):
        whole = {
            s.uid: Reference(s.sop_class, s.uid, s.series or part.origin.uid)
            for s in part.origin.sources
            if s.sop_class
        }
        return tuple(whole.values())
    if isinstance(part, Cine):
        times, planes = part.values.shape[:2]
        chosen = [
            t * planes + k
            for t in evidence.frames or range(times)
            for k in evidence.planes or range(planes)
            if t < times and k < planes
        ]
    else:
        chosen = [n for n in evidence.planes or evidence.frames if n < len(every)]
    return tuple(every[n] for n in chosen)


def series_items(used: Iterable[Reference]) -> list[Dataset]:
    """Return references grouped by series (Referenced Series Sequence), each object once."""
    from pydicom.dataset import Dataset

    series: dict[str, dict[str, Dataset]] = {}
    for reference in used:
        item = Dataset()
        item.ReferencedSOPClassUID = reference.sop_class
        item.ReferencedSOPInstanceUID = reference.uid
        series.setdefault(reference.series, {}).setdefault(reference.uid, item)
    grouped = []
    for uid, objects in series.items():
        group = Dataset()
        group.SeriesInstanceUID = uid
        group.ReferencedSOPSequence = list(objects.values())
        grouped.append(group)
    return grouped


def _patient_and_study(out: Dataset, case: Case, study: Study) -> None:
    patient = case.patient
    header = _header(study)
    # A header of somebody else: the case was given another identity, which must not be undone here.
    if header is not None and str(header.get("PatientID", "") or "").strip() != patient.id:
        header = None
    own: dict[str, Any] = {
        "PatientName": patient.name,
        "PatientID": patient.id,
        "IssuerOfPatientID": patient.issuer,
        "PatientBirthDate": patient.birth_date.replace("-", ""),
        "PatientSex": _SEX[patient.sex],
        "StudyDate": _date(study.time),
        "StudyTime": _time(study.time),
        "AccessionNumber": study.accession[:16],
        "StudyID": "",
        "ReferringPhysicianName": "",
        "StudyDescription": study.description[:64],
    }
    for name in (*_PATIENT, *_STUDY):
        # Through text, since a header's own values are encoded in its own character set.
        value = str(header.get(name, "") or "") if header is not None else own[name]
        if value or name not in ("IssuerOfPatientID", "StudyDescription"):
            setattr(out, name, value)
    out.StudyInstanceUID = study.uid


def _header(study: Study) -> Any:
    """Return the header of the first source that has one, None if there is none."""
    for part in study.parts:
        for source in part.origin.sources:
            if source.sop_class and source.read is not None:
                return source.read()
    return None


def _moment(findings: Findings, study: Study) -> tuple[str, str]:
    """Return date and time of the content: the review, else the study, else the run; never now.

    The time of the run comes last: two runs that say the same have one UID, and one UID is one content.
    """
    reviewed = findings.review.time if findings.review else ""
    moment = reviewed or study.time or findings.manifest.started
    if not _date(moment):
        raise RenderError(
            "neither the run nor the study has a date",
            needed="the time the findings were made",
            fix="set started in their manifest, as ISO 8601",
        )
    return _date(moment), _time(moment) or "000000"


def _date(iso: str) -> str:
    digits = re.sub(r"\D", "", iso[:10])
    return digits if len(digits) == 8 else ""


def _time(iso: str) -> str:
    found = re.match(r"\d{4}-\d\d-\d\dT(\d\d):(\d\d)(?::(\d\d))?", iso)
    return "".join(found.groups(default="")) if found else ""
