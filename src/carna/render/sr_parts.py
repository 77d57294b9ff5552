"""What every structured report of Carna has in common, whatever its template.

The document's state, its marks and observers, the uncertainty of a number, the leads and the stored
objects an item was seen in. `carna.render.sr` writes TID 1500 with it, `carna.render.ecg_sr` TID 3700.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, assert_never

from carna import codes
from carna.codes import Concept
from carna.findings import Evidence, Findings, Interval, Samples, Sd, Statement, Uncertainty, Unknown
from carna.render import content
from carna.render.dicom_common import Reference, references, series_items

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from carna.study import Study

__all__ = [
    "COMMENT",
    "PROCEDURE",
    "document",
    "language",
    "leads",
    "list_evidence",
    "marks",
    "observers",
    "reasons",
    "sources",
    "spread",
]

# A group refers to no more images than this one by one, then to their series.
FEW = 32

COMMENT = Concept("121106", "DCM", "Comment")
PROCEDURE = Concept("121058", "DCM", "Procedure reported")
_LANGUAGE = Concept("121049", "DCM", "Language of Content Item and Descendants")
_ENGLISH = Concept("en", "RFC5646", "English")
_TITLE_MODIFIER = Concept("113011", "DCM", "Document Title Modifier")
_OBSERVER_TYPE = Concept("121005", "DCM", "Observer Type")
_MANUFACTURER = Concept("121014", "DCM", "Device Observer Manufacturer")
_MODEL = Concept("121015", "DCM", "Device Observer Model Name")
_SERIES = Concept("112002", "DCM", "Series Instance UID")
_BELOW = Concept("371885007", "SCT", "-, range of lower measurement uncertainty")
_ABOVE = Concept("371886008", "SCT", "+, range of upper measurement uncertainty")


def document(out: Dataset, findings: Findings) -> None:
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


def language() -> Dataset:
    """Return the language of the document (TID 1204): the words in it are English."""
    return content.code(_LANGUAGE, _ENGLISH, "HAS CONCEPT MOD")


def marks(findings: Findings) -> list[Dataset]:
    """Return what must be known before any number: for research, synthetic, preliminary."""
    shown = (
        (codes.FOR_RESEARCH, not findings.validated),
        (codes.SYNTHETIC, findings.synthetic),
        (codes.PRELIMINARY_REPORT, findings.status != "final"),
    )
    return [content.code(_TITLE_MODIFIER, mark, "HAS CONCEPT MOD") for mark, on in shown if on]


def list_evidence(out: Dataset, used: dict[Reference, None]) -> None:
    """List the stored objects that items refer to; one study, since findings never cross one."""
    from pydicom.dataset import Dataset

    if not used:
        return
    evidence = Dataset()
    evidence.StudyInstanceUID = out.StudyInstanceUID
    evidence.ReferencedSeriesSequence = series_items(used)
    out.CurrentRequestedProcedureEvidenceSequence = [evidence]


def observers(findings: Findings) -> list[Dataset]:
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


def spread(value: float, ucum: str, uncertainty: Uncertainty) -> list[Dataset]:
    """Return an uncertainty as properties of the number (CID 225), and in words what it means."""
    match uncertainty:
        case Sd():
            return [
                content.number(codes.UNCERTAINTY_RANGE, uncertainty.sd, ucum, "HAS PROPERTIES"),
                content.text(COMMENT, "Uncertainty: one standard deviation", "HAS PROPERTIES"),
            ]
        case Interval():
            low, high, meaning = uncertainty.low, uncertainty.high, f"{100 * uncertainty.level:g} % interval"
        case Samples():
            if not uncertainty.values:
                return [content.text(COMMENT, "Uncertainty not stated: no samples", "HAS PROPERTIES")]
            from numpy import quantile

            low, high = (float(q) for q in quantile(uncertainty.values, (0.025, 0.975)))
            meaning = f"95 % interval of {len(uncertainty.values)} samples"
        case Unknown():
            return [content.text(COMMENT, f"Uncertainty not stated: {uncertainty.why}", "HAS PROPERTIES")]
        case _:
            assert_never(uncertainty)
    return [
        content.number(_BELOW, value - low, ucum, "HAS PROPERTIES"),
        content.number(_ABOVE, high - value, ucum, "HAS PROPERTIES"),
        content.text(COMMENT, f"Uncertainty: {meaning}, {low:.6g} to {high:.6g}", "HAS PROPERTIES"),
    ]


def reasons(item: Statement) -> list[Dataset]:
    """Return the rule of a conclusion, and its probability with the record that calibrates it."""
    children = [content.text(COMMENT, item.rule, "HAS PROPERTIES")]
    if item.probability is not None:
        record = content.text(COMMENT, f"Calibration: {item.calibration}", "HAS PROPERTIES")
        children.append(content.number(codes.PROBABILITY, item.probability, "1", "HAS PROPERTIES", [record]))
    return children


def leads(evidence: tuple[Evidence, ...]) -> list[Dataset]:
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


def sources(
    evidence: Evidence,
    study: Study,
    used: dict[Reference, None],
    relation: Literal["CONTAINS", "INFERRED FROM"] = "CONTAINS",
) -> list[Dataset]:
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
        return [content.times(source, start, stop, wave, relation) for wave in waves]
    frames: dict[str, list[Reference]] = {}
    for one in found:
        frames.setdefault(one.uid, []).append(one)
    if len(frames) > FEW:
        whole = [content.uid(_SERIES, uid, relation) for uid in dict.fromkeys(r.series for r in found)]
        return whole + _which(evidence, relation)
    return [
        content.composite(kind, source, same[0], [r.frame for r in same if r.frame], relation)
        for same in frames.values()
    ]


def _which(evidence: Evidence, relation: Literal["CONTAINS", "INFERRED FROM"]) -> list[Dataset]:
    """Return in words which frames and slices were meant, where the series stands for them."""
    named = (("frames", evidence.frames), ("slices", evidence.planes))
    words = "; ".join(f"{what} {', '.join(str(n + 1) for n in index)}" for what, index in named if index)
    return [content.text(COMMENT, f"Seen in {words}", relation)] if words else []
