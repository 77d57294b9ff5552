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

from typing import TYPE_CHECKING, assert_never

from carna import codes
from carna.codes import Concept
from carna.errors import RenderError
from carna.findings import (
    Absent,
    Curve,
    Events,
    Field,
    Findings,
    Item,
    Measurement,
    Region,
    Shape,
    Statement,
)
from carna.render import content, sr_parts
from carna.render.dicom_common import Reference, algorithm, begin, examined

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from carna.case import Case
    from carna.study import Study

__all__ = ["CARRIES", "to_sr"]

CARRIES: frozenset[type] = frozenset({Measurement, Statement, Absent})
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"


# The skeleton of the template; what is said of the heart has its codes in carna.codes.
_MEASUREMENTS = Concept("126010", "DCM", "Imaging Measurements")
_PARAMETERS = Concept("111002", "DCM", "Algorithm Parameters")

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
    sr_parts.document(out, findings)
    sr_parts.list_evidence(out, used)
    root = content.container(
        codes.IMAGING_MEASUREMENT_REPORT,
        [
            sr_parts.language(),
            *sr_parts.marks(findings),
            *sr_parts.observers(findings),
            content.code(sr_parts.PROCEDURE, _procedure(findings, study), "HAS CONCEPT MOD"),
            content.container(_MEASUREMENTS, groups, relation="CONTAINS"),
            *(
                content.text(sr_parts.COMMENT, f"Method: {cite}", "CONTAINS")
                for cite in findings.manifest.cites
            ),
        ],
        template="1500",
    )
    out.update(root)
    return out


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
        *sr_parts.leads(item.evidence),
        content.text(codes.ALGORITHM_NAME, name, "HAS CONCEPT MOD"),
        content.text(codes.ALGORITHM_VERSION, version, "HAS CONCEPT MOD"),
        *(content.text(_PARAMETERS, text, "HAS CONCEPT MOD") for text in parameters),
        *said,
        *(source for evidence in item.evidence for source in sr_parts.sources(evidence, study, used)),
    ]
    if item.of:
        children.append(content.text(sr_parts.COMMENT, f"Derived from: {', '.join(item.of)}", "CONTAINS"))
    return [content.container(codes.MEASUREMENT_GROUP, children, template="1501", relation="CONTAINS")]


def _measured(item: Measurement) -> Dataset:
    children = sr_parts.spread(item.value, item.unit, item.uncertainty)
    if item.method is not None:
        children.insert(0, content.code(codes.MEASUREMENT_METHOD, item.method, "HAS CONCEPT MOD"))
    return content.number(item.code, item.value, item.unit, "CONTAINS", children)


def _stated(item: Statement) -> Dataset:
    return content.code(item.code, codes.VERDICTS[item.verdict], "CONTAINS", sr_parts.reasons(item))


def _missing(item: Absent) -> Dataset:
    why = [content.text(sr_parts.COMMENT, item.why, "HAS PROPERTIES")]
    if item.code.unit:
        return content.absent(item.code, item.reason, "CONTAINS", why)
    # What would have been no number has no empty one: its answer is the reason.
    return content.code(item.code, item.reason, "CONTAINS", why)
