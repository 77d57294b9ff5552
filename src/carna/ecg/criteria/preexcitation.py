"""A second way from atria to ventricles."""

from __future__ import annotations

from carna.ecg.criteria.base import Criterion, Look, NotAssessable
from carna.ecg.criteria.shape import DELTA_MS, slow_start, start_share

WHO = "doi:10.1016/S0735-1097(85)80335-1"  # Willems et al. 1985, WHO/ISFC task force
LEADS = ("I", "II", "aVL", "aVF", "V2", "V3", "V4", "V5", "V6")


def _delta(look: Look, lead: str) -> bool:
    """A slow start that is a real part of the complex and goes the way of R."""
    return (
        slow_start(look, lead) >= DELTA_MS and start_share(look, lead) >= 0.1 and look.r(lead) > look.s(lead)
    )


def _preexcitation(look: Look) -> bool:
    look.adult()
    if look.fact("fibrillation") or look.tracing.flutter or not look.fact("p_present"):
        raise NotAssessable("no sinus P waves: PR is not there to judge")
    if look.tracing.paced:
        raise NotAssessable("paced rhythm")
    return (
        look.ms("pr") < 120 and look.ms("qrs") > 110 and look.some(lambda lead: _delta(look, lead), LEADS, 2)
    )


CRITERIA = (
    Criterion(
        "ventricular pre-excitation",
        WHO,
        "PR < 120 ms, QRS > 110 ms, delta wave (slope below half its steepest for the first 30 ms, "
        "approximated from the "
        "median beat) in two or more leads, adults",
        ("P waves before every QRS", "PR", "QRS", "median beat", "age"),
        _preexcitation,
    ),
)
