"""What a part is: the facts by which applications, rules and people choose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, assert_never

from carna.study.parts import Cine, Ecg, Geometry, Image, Part, Picture, Planes, Record, Slide, Study

View = Literal["SAX", "2CH", "3CH", "4CH", "RVOT", "axial", "sagittal", "coronal"]


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
        cine, LGE, map, angio, flow, localiser ... or "".
    phases, slices : int
    coverage_mm : float
        From the first plane's outer face to the last one's.
    spacing_mm : (slices, rows, columns) or ()
        Median distance between slices, and pixel spacing.
    thickness_mm : float
    leads : tuple of str
    seconds, rate_hz : float
    ecg : str
        12-lead, single-lead, ambulatory, other; median for an averaged beat.
    notes : tuple of str
        Gaps, disagreements, missing header fields.
    """

    part: str
    kind: str
    modality: str
    view: View | None = None
    label_view: View | None = None
    technique: str = ""
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
    """Return what a part is; the study around it lets a long-axis view be told from the short axis."""
    origin = part.origin
    plain = Fingerprint(origin.uid, type(part).__name__.lower(), origin.modality, notes=origin.notes)
    match part:
        case Image() | Planes() | Cine():
            return plain
        case Picture():
            return replace(plain, phases=part.values.shape[0])
        case Ecg():
            return replace(plain, leads=part.leads, seconds=part.seconds, rate_hz=part.rate_hz)
        case Geometry() | Slide() | Record():
            return plain
        case _:
            assert_never(part)
