"""Findings on a resting electrocardiogram as a DICOM ECG report: TID 3700 in a Comprehensive SR.

::

    ECG Report                                      root, TID 3700
      Document Title Modifier, observers            as in every report of Carna
      Current Procedure Descriptions                TID 3708: when, and the waveform object
      Quantitative Analysis
        ECG Global Measurements                     TID 3713: rate, RR, PR, QRS, QT; QTc, axes, counts
          Measurement Method                        TID 3715, where all numbers below share it
        ECG Lead Measurements                       TID 3714, one a lead
        Measurement Group                           numbers the template has no row for
      Qualitative Analysis                          TID 3717: what criteria were met for
      Summary                                       TID 3719: the same in one sentence

The five rows TID 3713 demands are always there: a number that is absent is an empty one with its reason
(CID 42), never 0. A finding is named as *ECG Finding* only when its criteria were met; others are coded
answers ("criteria not met") to a coded question, so that no reader takes them for findings. Every item has
its id as Tracking Identifier. Rates are in heart beats a minute, as the template has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from carna import codes
from carna.codes import Concept, ecg_statements
from carna.errors import RenderError
from carna.findings import Absent, Findings, Measurement, Statement
from carna.render import content, say, sr_parts
from carna.render.dicom_common import Reference, begin, examined, references
from carna.render.words import words
from carna.study import Ecg, Study

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from carna.case import Case

__all__ = ["CARRIES", "to_ecg_sr", "wanted"]

CARRIES: frozenset[type] = frozenset({Measurement, Statement, Absent})
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"

# What makes findings those of an electrocardiogram: rates alone are those of any recording.
_INTERVALS = frozenset({codes.PR_INTERVAL, codes.QRS_DURATION, codes.QT_INTERVAL})
_REQUIRED = (
    codes.VENTRICULAR_RATE,
    codes.QT_INTERVAL,
    codes.PR_INTERVAL,
    codes.QRS_DURATION,
    codes.RR_INTERVAL,
)
_GLOBAL = frozenset(
    {*_REQUIRED, codes.ATRIAL_RATE, codes.PP_INTERVAL, codes.P_DURATION}
    | {codes.QTC_INTERVAL, codes.QTC_BAZETT, codes.QTC_FRIDERICIA, codes.QTC_FRAMINGHAM, codes.QTC_HODGES}
    | {codes.P_AXIS, codes.QRS_AXIS, codes.T_AXIS, codes.BEAT_COUNT, codes.ECTOPIC_BEAT_COUNT}
)
_FORMULAS = frozenset({codes.BAZETT, codes.FRIDERICIA, codes.FRAMINGHAM, codes.HODGES})
# Questions, not findings: that they are answered with yes names no finding.
_QUESTIONS = frozenset({codes.SIGNAL_QUALITY, codes.RHYTHM_REGULARITY, codes.RHYTHM, ecg_statements.LOOK_NOW})
_LEAD_OF = {concept: name for name, concept in codes.LEADS.items()}

_WAVEFORM_INFORMATION = Concept("55111-9", "LN", "Current Procedure Descriptions")
_WHEN = Concept("122146", "DCM", "Procedure DateTime")
_QUANTITATIVE = Concept("122144", "DCM", "Quantitative Analysis")
_QUALITATIVE = Concept("122145", "DCM", "Qualitative Analysis")

Sayable = Measurement | Statement | Absent


def wanted(findings: Findings) -> bool:
    """Whether findings are those of a resting electrocardiogram: they speak of PR, QRS or QT as a whole."""
    return any(
        isinstance(item, Measurement | Absent) and item.code in _INTERVALS and item.site is None
        for item in findings.items
    )


def to_ecg_sr(findings: Findings, case: Case) -> Dataset:
    """Return the numbers, conclusions and absences of an electrocardiogram as a DICOM ECG report.

    Parameters
    ----------
    findings : Findings
        With global measurements (PR, QRS, QT ...), leads by site, conclusions as statements.
    case : Case
        Holds the study the findings are on.

    Returns
    -------
    Dataset
        A Comprehensive SR with file meta information, ready for ``save_as``; preliminary and unverified
        unless the findings are final. ``left_out(findings, CARRIES)`` names what it does not hold.

    Raises
    ------
    RenderError
        If the findings have no global interval, or the case is not that of the findings.
    """
    study = examined(findings, case)
    if not wanted(findings):
        raise RenderError(
            "findings without a PR, QRS or QT of the whole electrocardiogram",
            needed="those of a resting electrocardiogram",
            fix="write them as a measurement report (TID 1500)",
        )
    used: dict[Reference, None] = {}
    said = [item for item in findings.items if isinstance(item, Measurement | Statement | Absent)]
    root = content.container(
        codes.ECG_REPORT,
        [
            sr_parts.language(),
            *sr_parts.marks(findings),
            *sr_parts.observers(findings),
            *_procedure(study),
            _recorded(findings, study, used),
            _quantitative(said, findings, study, used),
            *_qualitative(said, findings, study, used),
            _summary(said, findings),
            *(
                content.text(sr_parts.COMMENT, f"Method: {cite}", "CONTAINS")
                for cite in findings.manifest.cites
            ),
        ],
        template="3700",
    )
    out = begin(findings, case, sop_class=COMPREHENSIVE_SR, modality="SR", what="ecg-sr", number=9005)
    sr_parts.document(out, findings)
    sr_parts.list_evidence(out, used)
    out.update(root)
    return out


def _ecg(findings: Findings, study: Study) -> Ecg | None:
    """Return the recording that was read: the first input that is one, else the first of the study."""
    read = (study.part(given.uid) for given in findings.manifest.inputs)
    return next((p for p in (*read, *study.parts) if isinstance(p, Ecg) and p.kind == "rhythm"), None)


def _procedure(study: Study) -> list[Dataset]:
    full = any(isinstance(p, Ecg) and len(p.leads) == 12 for p in study.parts)
    return [content.code(sr_parts.PROCEDURE, codes.ECG_12_LEAD, "HAS CONCEPT MOD")] if full else []


def _recorded(findings: Findings, study: Study, used: dict[Reference, None]) -> Dataset:
    """Return when it was recorded, where that is known, and the object that holds it (TID 3708)."""
    from carna.findings import Evidence

    ecg = _ecg(findings, study)
    stamp = re.sub(r"\D", "", (ecg.origin.time if ecg else "")[:19] or study.time[:19])
    children = [content.moment(_WHEN, stamp, "CONTAINS")] if len(stamp) >= 8 else []
    if ecg is not None:
        found = references(Evidence(ecg.origin.uid), study)
        used.update(dict.fromkeys(found))
        source = codes.SOURCE_OF_MEASUREMENT
        children += [content.composite("WAVEFORM", source, one, (), "CONTAINS") for one in found]
    return content.container(_WAVEFORM_INFORMATION, children, template="3708", relation="CONTAINS")


def _quantitative(
    said: Sequence[Sayable], findings: Findings, study: Study, used: dict[Reference, None]
) -> Dataset:
    whole: list[Sayable] = []
    rest: list[Sayable] = []
    leads: dict[Concept, list[Sayable]] = {}
    for item in said:
        if item.site in _LEAD_OF and item.site is not None:
            leads.setdefault(item.site, []).append(item)
        elif isinstance(item, Measurement) or (isinstance(item, Absent) and item.code.unit):
            (whole if item.code in _GLOBAL and item.site is None else rest).append(item)
    whole.sort(key=lambda item: _REQUIRED.index(item.code) if item.code in _REQUIRED else len(_REQUIRED))
    spoken = {item.code for item in whole}
    children = [_section(codes.ECG_GLOBAL_MEASUREMENTS, "3713", whole, findings, study, used)]
    # The template demands them; that they were not asked for is a reason of its own.
    children[0].ContentSequence.extend(
        content.absent(code, codes.NOT_ATTEMPTED, "CONTAINS") for code in _REQUIRED if code not in spoken
    )
    for lead, items in leads.items():
        named = content.code(codes.LEAD_ID, lead, "HAS CONCEPT MOD")
        children.append(_section(codes.ECG_LEAD_MEASUREMENTS, "3714", items, findings, study, used, (named,)))
    if rest:
        children.append(_section(codes.MEASUREMENT_GROUP, "", rest, findings, study, used))
    return content.container(_QUANTITATIVE, children, relation="CONTAINS")


def _qualitative(
    said: Sequence[Sayable], findings: Findings, study: Study, used: dict[Reference, None]
) -> list[Dataset]:
    items = [
        item
        for item in said
        if item.site not in _LEAD_OF
        and (isinstance(item, Statement) or (isinstance(item, Absent) and not item.code.unit))
    ]
    return [_section(_QUALITATIVE, "3717", items, findings, study, used)] if items else []


def _section(
    heading: Concept,
    template: str,
    items: Sequence[Sayable],
    findings: Findings,
    study: Study,
    used: dict[Reference, None],
    children: Sequence[Dataset] = (),
) -> Dataset:
    """Return items below a heading; a method and evidence that all share stand once, before them."""
    methods = {item.method for item in items if isinstance(item, Measurement)}
    method = methods.pop() if len(methods) == 1 else None
    before = list(children)
    if method is not None:
        before.append(content.code(codes.MEASUREMENT_METHOD, method, "HAS OBS CONTEXT"))
    together = len({item.evidence for item in items}) == 1
    if together:
        before += [s for e in items[0].evidence for s in sr_parts.sources(e, study, used)]
    below = []
    for item in items:
        more = [content.text(codes.TRACKING_ID, item.id, "HAS OBS CONTEXT")]
        more.append(content.uid(codes.TRACKING_UID, findings.derived_uid(item.id), "HAS OBS CONTEXT"))
        if item.site is not None and item.site not in _LEAD_OF:
            more.append(content.code(codes.FINDING_SITE, item.site, "HAS CONCEPT MOD"))
        if isinstance(item, Measurement) and item.method is not None and method is None:
            more.append(content.code(codes.MEASUREMENT_METHOD, item.method, "HAS CONCEPT MOD"))
        if not together:
            inferred = (sr_parts.sources(e, study, used, "INFERRED FROM") for e in item.evidence)
            more += [source for several in inferred for source in several]
        below.append(_one(item, more))
    return content.container(heading, [*before, *below], template=template, relation="CONTAINS")


def _one(item: Sayable, more: list[Dataset]) -> Dataset:
    if isinstance(item, Measurement):
        # The template's unit of a rate; the same number in the same dimension.
        ucum = "{H.B.}/min" if item.unit == "/min" else item.unit
        if item.method in _FORMULAS:
            more.append(content.code(codes.ALGORITHM_NAME, item.method, "HAS PROPERTIES"))
        spread = sr_parts.spread(item.value, ucum, item.uncertainty)
        return content.number(item.code, item.value, ucum, "CONTAINS", [*more, *spread])
    if isinstance(item, Absent):
        why = content.text(sr_parts.COMMENT, item.why, "HAS PROPERTIES")
        if item.code.unit:
            return content.absent(item.code, item.reason, "CONTAINS", [*more, why])
        return content.code(item.code, item.reason, "CONTAINS", [*more, why])
    children = [*more, *sr_parts.reasons(item)]
    if item.verdict == "met" and item.code not in _QUESTIONS and item.site not in _LEAD_OF:
        return content.code(codes.ECG_FINDING, item.code, "CONTAINS", children)
    return content.code(item.code, codes.VERDICTS[item.verdict], "CONTAINS", children)


def _summary(said: Iterable[Sayable], findings: Findings) -> Dataset:
    """Return what was measured and met in one paragraph (TID 3719): nothing that is not below as an item."""
    text = words("en").text
    given = [item for item in said if item.site is None]
    lines = [
        f"{item.code.meaning} {say.value(item)} {words('en').unit(item.unit)}".rstrip()
        for code in _REQUIRED
        for item in given
        if isinstance(item, Measurement) and item.code == code
    ]
    met = [i.code.meaning for i in given if isinstance(i, Statement) and i.verdict == "met"]
    marks = (
        ("synthetic", findings.synthetic),
        ("research_use", not findings.validated),
        ("preliminary", findings.status != "final"),
        ("high_stakes", findings.high_stakes),
    )
    sentences = [text(key) for key, on in marks if on]
    sentences += [f"{'; '.join(lines)}."] if lines else []
    sentences += [f"Criteria met: {'; '.join(met)}."] if met else []
    paragraph = content.text(codes.SUMMARY, " ".join(sentences), "CONTAINS")
    return content.container(codes.SUMMARY, [paragraph], template="3719", relation="CONTAINS")
