"""What a person should look at first. Carna is no alarm: it reads when it is asked, and an empty list says
nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from carna.ecg.arrest import Arrest
from carna.ecg.criteria.base import Verdict

SOURCE = "threshold crossing sample count, doi:10.1007/s11760-009-0136-1; limits of carna.ecg.arrest"
NO_ALARM = "Carna is no alarm and watches nobody; an empty list does not mean that nothing is urgent."
ARRESTS = {
    "ventricular fibrillation or flutter pattern": (
        "no flat line between deflections, one narrow frequency, nothing sharp; beats cannot be told. "
        "Artefact looks the same: look at the patient"
    ),
    "P waves without QRS": "a train of P waves and no QRS after any of them",
}
NAMES = (
    *ARRESTS,
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


def of_arrest(arrest: Arrest) -> Verdict:
    """Return an arrest as a met criterion: there are no beats for other criteria to judge."""
    span = f"{arrest.start_s:.1f} to {arrest.stop_s:.1f} s"
    values = (
        ("start", arrest.start_s, "s", ""),
        ("stop", arrest.stop_s, "s", ""),
        ("strongest frequency", arrest.per_minute, "/min", ""),
        ("largest lead", arrest.mV, "mV", ""),
    )
    return Verdict(arrest.kind, SOURCE, "met", f"{span}: {ARRESTS[arrest.kind]}", values, (), 0)


def look_now(verdicts: Sequence[Verdict], arrests: Sequence[Arrest] = ()) -> tuple[Urgent, ...]:
    """Return the met criteria of `NAMES`, in that order.

    Parameters
    ----------
    verdicts : sequence of Verdict
    arrests : sequence of Arrest, optional
        `Beats.arrests`: stretches without beats that could be told. Of each kind the longest is named.
    """
    longest = sorted(arrests, key=lambda a: a.stop_s - a.start_s)
    met = {v.name: v for v in (*verdicts, *(of_arrest(a) for a in longest)) if v.verdict == "met"}
    return tuple(Urgent(met[name], f"Criteria for {name} met. {NO_ALARM}") for name in NAMES if name in met)
