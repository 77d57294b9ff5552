"""What a part is: the facts by which applications, rules and people choose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import assert_never

import numpy as np

from carna.space import Grid, Mesh, Surface, VesselTree
from carna.study.parts import Cine, Ecg, Geometry, Image, Origin, Part, Picture, Planes, Record, Slide, Study
from carna.study.views import Axis, View, axis_of, view_of

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
AMBULATORY_FROM_S = 600.0
# A step between two planes that differs from the median by more than this is a gap.
GAP_MM = 0.5

# A sender's words for a view; the first that matches, so the specific ones stand first.
_LABELS: tuple[tuple[View, str], ...] = (
    ("RVOT", r"rvot"),
    ("RV2CH", r"rv[ _-]*(2|two)[ _-]*ch|rv[ _-]*vla"),
    ("4CH", r"(4|four)[ _-]*ch|\bhla\b|4kk|4cv|四腔"),
    ("3CH", r"(3|three)[ _-]*ch|lvot|3kk|三腔"),
    ("2CH", r"(2|two)[ _-]*ch|\bvla\b|2kk|两腔"),
    ("SAX", r"\bsax\b|sa[x_ ]|short[ _-]*ax|\bkv\b|短轴"),
)
# Techniques by what the header's sequence facts and the label say.
_TECHNIQUES: tuple[tuple[str, str], ...] = (
    ("localiser", r"locali[sz]er|scout|survey|haste.*loc"),
    ("map", r"t1[ _*-]*map|t2\*?[ _-]*map|molli|shmolli|ecv"),
    ("LGE", r"\blge\b|psir|delayed|late[ _-]*(gad|enh)|\bde\b|viab"),
    ("perfusion", r"perf"),
    ("flow", r"flow|phase[ _-]*contrast|venc|\bpc\b"),
    ("tagging", r"tag"),
    ("angio", r"angio|\bcta\b|\bmra\b|ccta|coronar"),
)
_SHAPES: Mapping[type, str] = MappingProxyType({VesselTree: "vessel tree", Surface: "surface", Mesh: "mesh"})
# Which vessels a geometry is of, where its name or its header says so.
_VESSELS: tuple[tuple[str, str], ...] = (
    ("coronary", r"coronar|(?<![a-z])(lad|lcx|rca|lca)(?![a-z])|冠"),
    ("renal", r"(?<![a-z])renal|kidney|肾"),
    ("aorta", r"(?<![a-z])aort|主动脉"),
    ("cerebral", r"cerebr|carotid|intracran|脑|颈动脉"),
    ("aneurysm", r"aneurysm|动脉瘤"),
)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The facts of one part; an empty value means: does not apply or is not known.

    Parameters
    ----------
    part : str
        UID of the part.
    kind : str
        image, cine, planes, picture, ecg, geometry, record, slide.
    modality : str
        DICOM Modality.
    view : View or None
        From geometry alone.
    label_view : View or None
        What the sender's label says; when it differs from ``view`` a note says so.
    technique : str
        cine, LGE, map, angio, flow, perfusion, tagging, localiser or ""; of a geometry vessel tree, surface
        or mesh.
    vessel : str
        coronary, renal, aorta, cerebral or aneurysm, where a geometry's name or header says what it is of.
    phases, slices : int
    coverage_mm : float
        From the first plane's outer face to the last one's.
    spacing_mm : (slices, rows, columns) or ()
        Median distance between slices, and pixel spacing.
    thickness_mm : float
        Slice thickness; 0 where the header has none.
    leads : tuple of str
    seconds, rate_hz : float
    ecg : str
        12-lead, single-lead, ambulatory or other; median for an averaged beat.
    notes : tuple of str
        Gaps, disagreements, missing header fields.
    """

    part: str
    kind: str
    modality: str
    view: View | None = None
    label_view: View | None = None
    technique: str = ""
    vessel: str = ""
    phases: int = 0
    slices: int = 0
    coverage_mm: float = 0.0
    spacing_mm: tuple[float, ...] = ()
    thickness_mm: float = 0.0
    leads: tuple[str, ...] = ()
    seconds: float = 0.0
    rate_hz: float = 0.0
    ecg: str = ""
    notes: tuple[str, ...] = ()


def fingerprint(part: Part, study: Study | None = None) -> Fingerprint:
    """Return what a part is; the study around it gives the axis by which long-axis views are told apart."""
    origin = part.origin
    plain = Fingerprint(origin.uid, type(part).__name__.lower(), origin.modality, notes=origin.notes)
    match part:
        case Image():
            planes = tuple(part.grid.plane(k) for k in range(part.grid.shape[0]))
            return _placed(plain, origin, planes, _axis(study), phases=1)
        case Planes():
            return _placed(plain, origin, part.planes, _axis(study), phases=1)
        case Cine():
            return _placed(plain, origin, part.planes, _axis(study), phases=part.values.shape[0])
        case Picture():
            return replace(plain, phases=part.values.shape[0], technique=_technique(origin))
        case Ecg():
            return _ecg(plain, part)
        case Geometry():
            return replace(plain, technique=_SHAPES[type(part.shape)], vessel=_vessel(origin))
        case Slide() | Record():
            return plain
        case _:
            assert_never(part)


def label_view(label: str) -> View | None:
    """Return the view a sender's label names, None if it names none.

    >>> label_view("cine_trufi_retro 4CH")
    '4CH'
    """
    return next((view for view, words in _LABELS if re.search(words, label.lower())), None)


def _axis(study: Study | None) -> Axis:
    stacks = [p.planes for p in study.parts if isinstance(p, Cine | Planes)] if study is not None else []
    return axis_of(stacks)


def _placed(
    plain: Fingerprint, origin: Origin, planes: tuple[Grid, ...], axis: Axis, *, phases: int
) -> Fingerprint:
    """Fill in what the planes say."""
    first, last = planes[0], planes[-1]
    offsets = np.array([p.origin @ first.normal for p in planes])
    steps = np.abs(np.diff(offsets))
    thickness = float(origin.facts.get("SliceThickness") or 0.0)
    step = float(np.median(steps)) if len(steps) else thickness or first.spacing_mm[0]
    notes = list(origin.notes)
    parallel = all(p.parallel(first) for p in planes)
    if parallel and len(steps):
        notes += [
            f"{steps[k]:.1f} mm between planes {k + 1} and {k + 2}, {step:.1f} mm elsewhere"
            for k in np.flatnonzero(np.abs(steps - step) > GAP_MM)
        ]
        if 0 < thickness < step - GAP_MM:
            notes.append(
                f"planes {step:.1f} mm apart and {thickness:g} mm thick: {step - thickness:.1f} mm unseen"
            )
    view = view_of(planes, axis)
    says = label_view(origin.label)
    if view is not None and says is not None and view != says:
        notes.append(f"labelled {says}, lies like {view}")
    if view in ("2CH", "3CH", "4CH") and not axis.measured:
        notes.append("view told from a typical heart axis: no short-axis stack in the study")
    return replace(
        plain,
        view=view,
        label_view=says,
        technique="cine" if plain.kind == "cine" else _technique(origin),
        phases=phases,
        slices=len(planes),
        coverage_mm=round(abs(float(offsets[-1] - offsets[0])) + last.spacing_mm[0], 2) if parallel else 0.0,
        spacing_mm=(round(step, 3), *(round(s, 4) for s in first.spacing_mm[1:])),
        thickness_mm=thickness,
        notes=tuple(dict.fromkeys(notes)),
    )


def _vessel(origin: Origin) -> str:
    words = f"{origin.label} {origin.facts.get('Title', '')}".lower()
    told = [name for name, pattern in _VESSELS if re.search(pattern, words)]
    # An artery may be named beside what leaves it or sits on it; two organs are no answer.
    told = [name for name in told if name not in ("aorta", "cerebral")] or told
    return told[0] if len(told) == 1 else ""


def _technique(origin: Origin) -> str:
    facts = origin.facts
    words = " ".join(
        [
            origin.label,
            *(
                str(facts.get(k, ""))
                for k in ("ProtocolName", "SequenceName", "ImageType", "ContrastBolusAgent")
            ),
        ]
    ).lower()
    found = next((name for name, pattern in _TECHNIQUES if re.search(pattern, words)), "")
    if not found and origin.modality == "XA":
        return "angio"
    return found


def _ecg(plain: Fingerprint, part: Ecg) -> Fingerprint:
    if part.kind == "median":
        kind = "median"
    elif set(STANDARD_LEADS) <= set(part.leads):
        kind = "12-lead" if part.seconds < AMBULATORY_FROM_S else "ambulatory"
    elif part.seconds >= AMBULATORY_FROM_S:
        kind = "ambulatory"
    else:
        kind = "single-lead" if len(part.leads) == 1 else "other"
    return replace(plain, leads=part.leads, seconds=round(part.seconds, 3), rate_hz=part.rate_hz, ecg=kind)
