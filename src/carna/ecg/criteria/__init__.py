"""Diagnostic criteria of the electrocardiogram: named rules with their sources, judged on one tracing.

::

    base            Tracing, Criterion, Verdict; what is missing ends a rule
    rates           sinus rhythm, rate, fibrillation and flutter, ectopy, pauses, axis
    conduction      AV blocks, bundle branches, fascicles, pacing
    tachycardia     narrow and wide, Brugada's and Vereckei's steps
    preexcitation   short PR with a delta wave
    hypertrophy     ventricles, atria, low voltage
    ischaemia       ST, T, Q, R progression, fragmentation, Sgarbossa
    repolarisation  QT, Brugada pattern, early repolarisation
    urgent          what a person should see first
    serial          this tracing against an earlier one
    shape           notches, slurs, slow starts
    reading         from samples to a Tracing

A criterion is a name, never a diagnosis: codes, ranges of a laboratory and what to do about it live
elsewhere.
"""

from carna.ecg.criteria import (
    conduction,
    hypertrophy,
    ischaemia,
    preexcitation,
    rates,
    repolarisation,
    tachycardia,
)
from carna.ecg.criteria.base import Criterion, Tracing, Verdict
from carna.ecg.criteria.serial import Change, serial
from carna.ecg.criteria.urgent import Urgent, look_now

CRITERIA: tuple[Criterion, ...] = (
    *rates.CRITERIA,
    *conduction.CRITERIA,
    *preexcitation.CRITERIA,
    *tachycardia.CRITERIA,
    *hypertrophy.CRITERIA,
    *ischaemia.CRITERIA,
    *repolarisation.CRITERIA,
)

__all__ = ["CRITERIA", "Change", "Criterion", "Tracing", "Urgent", "Verdict", "judge", "look_now", "serial"]


def judge(tracing: Tracing) -> tuple[Verdict, ...]:
    """Return the verdict of every criterion, in the order of `CRITERIA`.

    Examples
    --------
    >>> from carna.ecg.measure import Matrix
    >>> empty = Matrix(None, None, None, None, None, None, {}, None, None, None, {}, 0)
    >>> {v.verdict for v in judge(Tracing(empty))}
    {'not assessable'}
    """
    return tuple(criterion.judge(tracing) for criterion in CRITERIA)
