"""What a person should look at first. Carna is no alarm: it reads when it is asked, and an empty list says
nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from carna.ecg.criteria.base import Verdict

NO_ALARM = "Carna is no alarm and watches nobody; an empty list does not mean that nothing is urgent."
NAMES = (
    "ventricular tachycardia",
    "sustained ventricular tachycardia",
    "wide-complex tachycardia",
    "pause of 3 s",
    "second-degree AV block, Mobitz II",
    "high-grade AV block",
    "third-degree AV block",
    "ST elevation",
    "ST elevation, posterior leads",
    "ST elevation, right leads",
    "Sgarbossa criteria",
    "modified Sgarbossa criteria (Smith)",
    "QTc of 500 ms or more",
)


@dataclass(frozen=True, slots=True)
class Urgent:
    """One met criterion of `NAMES`.

    Attributes
    ----------
    verdict : Verdict
    sentence : str
        What was met, and that Carna is no alarm.
    """

    verdict: Verdict
    sentence: str


def look_now(verdicts: Sequence[Verdict]) -> tuple[Urgent, ...]:
    """Return the met criteria of `NAMES`, in that order.

    Ventricular fibrillation has no beats to judge and is not among them: a trace without beats is not
    assessable.
    """
    met = {v.name: v for v in verdicts if v.verdict == "met"}
    return tuple(Urgent(met[name], f"Criteria for {name} met. {NO_ALARM}") for name in NAMES if name in met)
