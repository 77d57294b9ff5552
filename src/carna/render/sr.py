"""Findings as a DICOM structured report: TID 1500 in a Comprehensive 3D SR.

One measurement group (TID 1501) for each number, conclusion and absence::

    Imaging Measurement Report                      root, TID 1500
      Document Title Modifier                       For Research, Synthetic, Preliminary report
      Observer Type, Device Observer ...            who says so
      Imaging Measurements
        Measurement Group                           one item
          Tracking Identifier, Unique Identifier    its id, stable through corrections
          Finding Site, Lead ID
          Algorithm Name, Version, Parameters       TID 4019
          the number | the verdict | no value and the reason (CID 42)
          Source of Measurement                     images and frames, waveform and seconds

A group names its images one by one as long as they are few. When an item was seen in a whole series,
it names the series, whose objects stand once in the evidence list: three hundred slices repeated in
every group would make a report larger than its findings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, assert_never

from carna import codes
from carna.codes import Concept
from carna.errors import RenderError
from carna.findings import (
    Absent,
    Curve,
    Events,
    Evidence,
    Field,
    Findings,
    Interval,
    Item,
    Measurement,
    Region,
    Samples,
    Sd,
    Shape,
    Statement,
    Uncertainty,
    Unknown,
)
from carna.render import content
from carna.render.dicom_common import Reference, algorithm, begin, examined, references, series_items

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from carna.case import Case
    from carna.study import Study

__all__ = ["CARRIES", "to_sr"]

CARRIES: frozenset[type] = frozenset({Measurement, Statement, Absent})
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
# A group refers to no more images than this one by one, then to their series.
FEW = 32


def _dcm(value: str, meaning: str) -> Concept:
    return Concept(value, "DCM", meaning)


# The skeleton of the templates; what is said of the heart has its codes in carna.codes.
_LANGUAGE = _dcm("121049", "Language of Content Item and Descendants")
_ENGLISH = Concept("en", "RFC5646", "English")
_TITLE_MODIFIER = _dcm("113011", "Document Title Modifier")
_OBSERVER_TYPE = _dcm("121005", "Observer Type")
_MANUFACTURER = _dcm("121014", "Device Observer Manufacturer")
_MODEL = _dcm("121015", "Device Observer Model Name")
_PROCEDURE = _dcm("121058", "Procedure reported")
_MEASUREMENTS = _dcm("126010", "Imaging Measurements")
_PARAMETERS = _dcm("111002", "Algorithm Parameters")
_COMMENT = _dcm("121106", "Comment")
_SERIES = _dcm("112002", "Series Instance UID")

_BELOW = Concept("371885007", "SCT", "-, range of lower measurement uncertainty")
_ABOVE = Concept("371886008", "SCT", "+, range of upper measurement uncertainty")
# CID 100, by the modality of what was examined.
_PROCEDURES = {
    "MR": Concept("25056-3", "LN", "MRI unspecified body region"),
    "CT": Concept("25045-6", "LN", "CT unspecified body region"),
    "XA": Concept("77343006", "SCT", "Angiography"),
    "US": Concept("40701008", "SCT", "Echocardiography"),
    "ECG": Concept("268400002", "SCT", "12-Lead ECG"),
}
_IMAGING = Concept("363679005", "SCT", "Imaging procedure")


def to_sr(findings: Findings, case: Case) -> Dataset:
    """Return the numbers, conclusions and absences of some findings as a DICOM report.

    Parameters
    ----------
    findings : Findings
    case : Case
        Holds the study the findings are on; its sources are what the evidence refers to.

    Returns
    -------
    Dataset
        A Comprehensive 3D SR with file meta information, ready for ``save_as``. Preliminary and
        unverified unless the findings are final, which takes a named reviewer. ``left_out(findings,
        CARRIES)`` names the items it does not hold.

    Raises
    ------
    RenderError
        If no item is of a kind it carries, or the case is not that of the findings.
    """
    study = examined(findings, case)
    used: dict[Reference, None] = {}
    groups = [group for item in findings.items for group in _groups(item, findings, study, used)]
    if not groups:
        raise RenderError(
            "no number, conclusion or absence in the findings",
            needed="at least one item a measurement report carries",
            fix="send regions as a segmentation",
        )
    out = begin(findings, case, sop_class=COMPREHENSIVE_3D_SR, modality="SR", what="sr", number=9001)
    _document(out, findings)
    if used:
        # One study, since findings never cross one.
        from pydicom.dataset import Dataset

        evidence = Dataset()
        evidence.StudyInstanceUID = out.StudyInstanceUID
        evidence.ReferencedSeriesSequence = series_items(used)
        out.CurrentRequestedProcedureEvidenceSequence = [evidence]
    root = content.container(
        codes.IMAGING_MEASUREMENT_REPORT,
        [
            content.code(_LANGUAGE, _ENGLISH, "HAS CONCEPT MOD"),
            *(content.code(_TITLE_MODIFIER, mark, "HAS CONCEPT MOD") for mark in _marks(findings)),
            *_observers(findings),
            content.code(_PROCEDURE, _procedure(findings, study), "HAS CONCEPT MOD"),
            content.container(_MEASUREMENTS, groups, relation="CONTAINS"),
            *(content.text(_COMMENT, f"Method: {cite}", "CONTAINS") for cite in findings.manifest.cites),
        ],
        template="1500",
    )
    out.update(root)
    return out


def _document(out: Dataset, findings: Findings) -> None:
    """Fill in the SR Document General module (PS3.3 C.17.2)."""
    from pydicom.dataset import Dataset

    final = findings.status == "final" and findings.review is not None
    out.ReferencedPerformedProcedureStepSequence = []
    out.PerformedProcedureCodeSequence = []
    out.CompletionFlag = "COMPLETE"
    out.PreliminaryFlag = "FINAL" if final else "PRELIMINARY"
    out.VerificationFlag = "VERIFIED" if final else "UNVERIFIED"
    if final and findings.review is not None:
        verifier = Dataset()
        verifier.VerifyingOrganization = out.get("InstitutionName", "") or "not stated"
        verifier.VerificationDateTime = out.ContentDate + out.ContentTime
        verifier.VerifyingObserverName = findings.review.author
        verifier.VerifyingObserverIdentificationCodeSequence = []
        out.VerifyingObserverSequence = [verifier]


def _marks(findings: Findings) -> list[Concept]:
    marks = [] if findings.validated else [codes.FOR_RESEARCH]
    marks += [codes.SYNTHETIC] if findings.synthetic else []
    return marks + ([] if findings.status == "final" else [codes.PRELIMINARY_REPORT])


def _observers(findings: Findings) -> list[Dataset]:
    """Return the device, and the person who reviewed it, as observers (TID 1001)."""
    manifest = findings.manifest
    device = [
        content.code(_OBSERVER_TYPE, codes.DEVICE, "HAS OBS CONTEXT"),
        content.uid(codes.DEVICE_OBSERVER_UID, findings.derived_uid("device"), "HAS OBS CONTEXT"),
        content.text(codes.DEVICE_OBSERVER_NAME, manifest.application, "HAS OBS CONTEXT"),
        content.text(_MANUFACTURER, "Carna", "HAS OBS CONTEXT"),
        content.text(_MODEL, f"{manifest.application} {manifest.version}", "HAS OBS CONTEXT"),
    ]
    if findings.review is None:
        return device
    return [
        *device,
        content.code(_OBSERVER_TYPE, codes.PERSON, "HAS OBS CONTEXT"),
        content.person(codes.PERSON_OBSERVER_NAME, findings.review.author, "HAS OBS CONTEXT"),
    ]


def _procedure(findings: Findings, study: Study) -> Concept:
    read = [part for i in findings.manifest.inputs if (part := study.part(i.uid)) is not None]
    modality = next((p.origin.modality for p in (*read, *study.parts)), "")
    return _PROCEDURES.get(modality, _IMAGING)


def _groups(item: Item, findings: Findings, study: Study, used: dict[Reference, None]) -> list[Dataset]:
    """Return the measurement group of an item, none for a kind the report does not carry."""
    match item:
        case Measurement():
            said = [_measured(item)]
        case Statement():
            said = [_stated(item)]
        case Absent():
            said = [_missing(item)]
        case Region() | Shape() | Field() | Curve() | Events():
            return []
        case _:
            assert_never(item)
    name, version, parameters = algorithm(findings)
    children = [
        content.text(codes.TRACKING_ID, item.id, "HAS OBS CONTEXT"),
        content.uid(codes.TRACKING_UID, findings.derived_uid(item.id), "HAS OBS CONTEXT"),
        *([content.code(codes.FINDING_SITE, item.site, "HAS CONCEPT MOD")] if item.site else []),
        *_leads(item.evidence),
        content.text(codes.ALGORITHM_NAME, name, "HAS CONCEPT MOD"),
        content.text(codes.ALGORITHM_VERSION, version, "HAS CONCEPT MOD"),
        *(content.text(_PARAMETERS, text, "HAS CONCEPT MOD") for text in parameters),
        *said,
        *(source for evidence in item.evidence for source in _sources(evidence, study, used)),
    ]
    if item.of:
        children.append(content.text(_COMMENT, f"Derived from: {', '.join(item.of)}", "CONTAINS"))
    return [content.container(codes.MEASUREMENT_GROUP, children, template="1501", relation="CONTAINS")]


def _measured(item: Measurement) -> Dataset:
    children = _spread(item.value, item.unit, item.uncertainty)
    if item.method is not None:
        children.insert(0, content.code(codes.MEASUREMENT_METHOD, item.method, "HAS CONCEPT MOD"))
    return content.number(item.code, item.value, item.unit, "CONTAINS", children)


def _spread(value: float, ucum: str, uncertainty: Uncertainty) -> list[Dataset]:
    """Return an uncertainty as properties of the number (CID 225), and in words what it means."""
    match uncertainty:
        case Sd():
            return [
                content.number(codes.UNCERTAINTY_RANGE, uncertainty.sd, ucum, "HAS PROPERTIES"),
                content.text(_COMMENT, "Uncertainty: one standard deviation", "HAS PROPERTIES"),
            ]
        case Interval():
            low, high, meaning = uncertainty.low, uncertainty.high, f"{100 * uncertainty.level:g} % interval"
        case Samples():
            if not uncertainty.values:
                return [content.text(_COMMENT, "Uncertainty not stated: no samples", "HAS PROPERTIES")]
            from numpy import quantile

            low, high = (float(q) for q in quantile(uncertainty.values, (0.025, 0.975)))
            meaning = f"95 % interval of {len(uncertainty.values)} samples"
        case Unknown():
            return [content.text(_COMMENT, f"Uncertainty not stated: {uncertainty.why}", "HAS PROPERTIES")]
        case _:
            assert_never(uncertainty)
    return [
        content.number(_BELOW, value - low, ucum, "HAS PROPERTIES"),
        content.number(_ABOVE, high - value, ucum, "HAS PROPERTIES"),
        content.text(_COMMENT, f"Uncertainty: {meaning}, {low:.6g} to {high:.6g}", "HAS PROPERTIES"),
    ]


def _stated(item: Statement) -> Dataset:
    children = [content.text(_COMMENT, item.rule, "HAS PROPERTIES")]
    if item.probability is not None:
        record = content.text(_COMMENT, f"Calibration: {item.calibration}", "HAS PROPERTIES")
        children.append(content.number(codes.PROBABILITY, item.probability, "1", "HAS PROPERTIES", [record]))
    return content.code(item.code, codes.VERDICTS[item.verdict], "CONTAINS", children)


def _missing(item: Absent) -> Dataset:
    why = [content.text(_COMMENT, item.why, "HAS PROPERTIES")]
    if item.code.unit:
        return content.absent(item.code, item.reason, "CONTAINS", why)
    # What would have been no number has no empty one: its answer is the reason.
    return content.code(item.code, item.reason, "CONTAINS", why)


def _leads(evidence: tuple[Evidence, ...]) -> list[Dataset]:
    """Return the leads an item was seen in: coded where the lead has a code."""
    names = dict.fromkeys(lead for seen in evidence for lead in seen.leads)
    items = []
    for name in names:
        concept = codes.LEADS.get(name)
        items.append(
            content.code(codes.LEAD_ID, concept, "HAS CONCEPT MOD")
            if concept
            else content.text(codes.LEAD_ID, name, "HAS CONCEPT MOD")
        )
    return items


def _sources(evidence: Evidence, study: Study, used: dict[Reference, None]) -> list[Dataset]:
    """Return what an item was seen in, and note each stored object in ``used``."""
    from carna.study import Cine, Ecg, Geometry, Image, Picture, Planes, Record, Slide

    part = study.part(evidence.part)
    found = references(evidence, study)
    if part is None or not found:
        return []
    used.update(dict.fromkeys(found))
    kind: Literal["IMAGE", "WAVEFORM", "COMPOSITE"]
    match part:
        case Image() | Planes() | Cine() | Picture() | Slide():
            kind = "IMAGE"
        case Ecg():
            kind = "WAVEFORM"
        case Geometry() | Record():
            kind = "COMPOSITE"
        case _:
            assert_never(part)
    source = codes.SOURCE_OF_MEASUREMENT
    if kind == "WAVEFORM" and evidence.start_s is not None and evidence.stop_s is not None:
        start, stop = evidence.start_s, evidence.stop_s
        waves = [content.composite(kind, None, one, (), "SELECTED FROM") for one in found]
        return [content.times(source, start, stop, wave, "CONTAINS") for wave in waves]
    frames: dict[str, list[Reference]] = {}
    for one in found:
        frames.setdefault(one.uid, []).append(one)
    if len(frames) > FEW:
        whole = [content.uid(_SERIES, uid, "CONTAINS") for uid in dict.fromkeys(r.series for r in found)]
        return whole + _which(evidence)
    return [
        content.composite(kind, source, same[0], [r.frame for r in same if r.frame], "CONTAINS")
        for same in frames.values()
    ]


def _which(evidence: Evidence) -> list[Dataset]:
    """Return in words which frames and slices were meant, where the series stands for them."""
    named = (("frames", evidence.frames), ("slices", evidence.planes))
    words = "; ".join(f"{what} {', '.join(str(n + 1) for n in index)}" for what, index in named if index)
    return [content.text(_COMMENT, f"Seen in {words}", "CONTAINS")] if words else []
