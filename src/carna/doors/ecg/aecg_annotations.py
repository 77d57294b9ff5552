"""What annotations of an aECG file are called, and findings written as annotation sets.

Beats and waves have their place on the series' clock, s from its first sample; numbers have none. Waves
of the median beat belong to the derived series that holds it. What aECG has no name for is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from xml.sax.saxutils import quoteattr

from carna import codes
from carna.codes import Concept
from carna.findings import Curve, Events, Findings, Measurement
from carna.units import convert, dimension

__all__ = ["BEATS", "MEASURED", "MEDIAN_STEP_MV", "WAVES", "annotation_sets", "median_curves"]

# A median lies between the steps of its recording.
MEDIAN_STEP_MV = 0.0005

WAVES: Mapping[str, str] = MappingProxyType({"PWAVE": "p", "QRSWAVE": "qrs", "TWAVE": "t", "UWAVE": "u"})
MEASURED: Mapping[str, tuple[str, Concept, str]] = MappingProxyType(
    {
        "TIME_PD_P": ("p_duration", codes.P_DURATION, "ms"),
        "TIME_PD_PR": ("pr_interval", codes.PR_INTERVAL, "ms"),
        "TIME_PD_QRS": ("qrs_duration", codes.QRS_DURATION, "ms"),
        "TIME_PD_QT": ("qt_interval", codes.QT_INTERVAL, "ms"),
        "TIME_PD_QTC": ("qtc_interval", codes.QTC_INTERVAL, "ms"),
        "TIME_PD_QTCB": ("qtc_bazett", codes.QTC_BAZETT, "ms"),
        "TIME_PD_QTCF": ("qtc_fridericia", codes.QTC_FRIDERICIA, "ms"),
        "TIME_PD_RR": ("rr_interval", codes.RR_INTERVAL, "ms"),
        "HEART_RATE": ("heart_rate", codes.HEART_RATE, "/min"),
        "ANGLE_P_FRONT": ("p_axis", codes.P_AXIS, "deg"),
        "ANGLE_QRS_FRONT": ("qrs_axis", codes.QRS_AXIS, "deg"),
        "ANGLE_T_FRONT": ("t_axis", codes.T_AXIS, "deg"),
    }
)
BEATS: Mapping[str, Concept] = MappingProxyType(
    {
        "NORMAL": codes.NORMAL_BEAT,
        "ABNORMAL": codes.ABNORMAL_BEAT,
        "V_P_C": codes.VENTRICULAR_PREMATURE_BEAT,
        "ATR_P_C": codes.ATRIAL_PREMATURE_BEAT,
        "SV_P_C": codes.SUPRAVENTRICULAR_PREMATURE_BEAT,
    }
)
_LEAD_OF = {concept: name for name, concept in codes.LEADS.items()}
_WAVE_NAMES = {codes.P_WAVE: "PWAVE", codes.QRS_COMPLEX: "QRSWAVE", codes.T_WAVE: "TWAVE"}
_BEAT_NAMES = {concept: name for name, concept in BEATS.items()}
_NUMBER_NAMES = {concept: (name, unit) for name, (_, concept, unit) in MEASURED.items()} | {
    codes.VENTRICULAR_RATE: ("HEART_RATE", "/min")
}
_SYSTEM = 'codeSystem="2.16.840.1.113883.6.24"'


def median_curves(findings: Iterable[Findings], part: str) -> list[tuple[str, Curve]]:
    """Return the curves of a recording's median beat, ``median.<lead>`` in ms and mV, with their leads."""
    found = [
        (_LEAD_OF[item.code], item)
        for one in findings
        for item in one.items
        if isinstance(item, Curve)
        and item.id.startswith("median.")
        and item.code in _LEAD_OF
        and part in {e.part for e in item.evidence}
    ]
    return [(lead, c) for lead, c in found if len(c.x) == len(found[0][1].x) > 1]


def annotation_sets(findings: Iterable[Findings], part: str, *, median_starts_s: float | None = None) -> str:
    """Return what findings say of a recording, an annotation set each, as XML.

    Parameters
    ----------
    findings : iterable of Findings
    part : str
        UID of the recording.
    median_starts_s : float or None
        Given, the waves of the median beat are written, whose first sample lies this long after its
        fiducial point; else everything of the recording itself.
    """
    sets = []
    for one in findings:
        said = [
            f"<component>{annotation}</component>"
            for item in one.items
            if part in {e.part for e in item.evidence}
            for annotation in _annotations(item, median_starts_s)
        ]
        if said:
            name = quoteattr(f"{one.manifest.application} {one.manifest.version}")[1:-1]
            author = f"<assignedDevice><manufacturerModelName>{name}</manufacturerModelName></assignedDevice>"
            head = f"<author><assignedEntity>{author}</assignedEntity></author>"
            sets.append(f"<subjectOf><annotationSet>{head}{''.join(said)}</annotationSet></subjectOf>")
    return "".join(sets)


def _annotations(item: object, median_starts_s: float | None) -> Iterator[str]:
    in_median = median_starts_s is not None
    if isinstance(item, Events) and item.id.startswith("median.") == in_median:
        zero = -(median_starts_s or 0.0)
        for n, onset in enumerate(item.onset_s):
            offset = None if item.offset_s is None else zero + float(item.offset_s[n])
            lead = "" if item.lead_index is None else item.leads[int(item.lead_index[n])]
            yield from _mark(item.types[int(item.type_index[n])], zero + float(onset), offset, lead)
    elif isinstance(item, Measurement) and not in_median and item.site is None:
        name, unit = _NUMBER_NAMES.get(item.code, ("", ""))
        if name and dimension(item.unit) == dimension(unit):
            value = f'value="{convert(item.value, item.unit, unit):.12g}" unit="{unit}"'
            code = f'<code code="MDC_ECG_{name}" {_SYSTEM}/>'
            yield f'<annotation>{code}<value xsi:type="PQ" {value}/></annotation>'


def _mark(what: Concept, onset_s: float, offset_s: float | None, lead: str) -> Iterator[str]:
    if what in _WAVE_NAMES and offset_s is not None:
        code, name = "WAVC", f"WAVC_{_WAVE_NAMES[what]}"
    elif what in _BEAT_NAMES:
        code, name = "BEAT", f"BEAT_{_BEAT_NAMES[what]}"
    else:
        return
    high = "" if offset_s is None else f'<high value="{offset_s:.9g}" unit="s"/>'
    span = f'<value xsi:type="IVL_PQ"><low value="{onset_s:.9g}" unit="s"/>{high}</value>'
    where = f'<component><boundary><code code="TIME_RELATIVE"/>{span}</boundary></component>'
    if lead:
        named = f'<code code="MDC_ECG_LEAD_{lead.upper()}" {_SYSTEM}/>'
        where += f"<component><boundary>{named}</boundary></component>"
    yield (
        f'<annotation><code code="MDC_ECG_{code}" {_SYSTEM}/>'
        f'<value xsi:type="CE" code="MDC_ECG_{name}" {_SYSTEM}/>'
        f'<support><supportingROI><code code="ROIPS"/>{where}</supportingROI></support></annotation>'
    )
