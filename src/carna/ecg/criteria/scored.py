"""How often each criterion agreed with cardiologists' labels: the counts that stand beside every verdict.

LUDB (121 recordings) and the CinC 2021 sample (32), one recording a person, each where it uses the label.
No limit was moved for these labels, but the sets were looked at: development figures. A label and a
criterion seldom mean the same (a person concluded hypertrophy from more than one voltage). Fewer than ten
recordings with the label: **unvalidated**. Counted by ``tests/ecg/fit_scored.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

FEWEST = 10


@dataclass(frozen=True, slots=True)
class Score:
    """Recordings with the label, met among them; without it and judged, met among them."""

    positives: int
    hits: int
    negatives: int
    false: int


def said(name: str) -> str:
    """Return how well a criterion, by its name, is known to agree with labels, in a sentence.

    Examples
    --------
    >>> said("Vereckei aVR step 1")
    'Unvalidated: no labelled recording.'
    """
    score = SCORES.get(name)
    if score is None:
        return "Unvalidated: no labelled recording."
    counts = (
        f"met in {score.hits} of {score.positives} with the label, "
        f"in {score.false} of {score.negatives} without"
    )
    if score.positives < FEWEST:
        return f"Unvalidated, fewer than {FEWEST} labelled recordings: {counts}."
    return f"Measured: {counts}."


SCORES: Mapping[str, Score] = MappingProxyType(
    {
        "sinus rhythm": Score(94, 69, 50, 9),
        "sinus bradycardia": Score(21, 21, 127, 18),
        "sinus bradycardia (< 50/min)": Score(21, 8, 128, 1),
        "sinus tachycardia": Score(16, 6, 133, 0),
        "sinus arrhythmia": Score(6, 0, 146, 1),
        "atrial fibrillation": Score(10, 7, 111, 2),
        "ventricular ectopic beats": Score(7, 7, 144, 11),
        "supraventricular ectopic beats": Score(16, 8, 134, 4),
        "left axis deviation": Score(42, 8, 74, 2),
        "right axis deviation": Score(2, 1, 114, 3),
        "first-degree AV block": Score(6, 3, 98, 3),
        "first-degree AV block (Minnesota 6-3)": Score(6, 2, 98, 1),
        "left bundle branch block": Score(3, 3, 113, 1),
        "left bundle branch block (Strauss)": Score(3, 3, 113, 2),
        "incomplete left bundle branch block": Score(4, 0, 112, 0),
        "right bundle branch block": Score(2, 2, 145, 2),
        "incomplete right bundle branch block": Score(19, 1, 128, 0),
        "left anterior fascicular block": Score(10, 1, 105, 0),
        "nonspecific intraventricular conduction delay": Score(9, 1, 140, 35),
        "paced rhythm": Score(3, 2, 0, 0),
        "left ventricular hypertrophy (Sokolow-Lyon)": Score(76, 10, 57, 8),
        "left ventricular hypertrophy (Cornell voltage)": Score(76, 8, 57, 1),
        "left ventricular hypertrophy (Cornell product)": Score(76, 17, 71, 10),
        "left ventricular hypertrophy (Peguero-Lo Presti)": Score(76, 12, 57, 13),
        "left ventricular hypertrophy (R aVL)": Score(76, 7, 57, 0),
        "left ventricular hypertrophy (R I + S III)": Score(76, 3, 58, 0),
        "left ventricular hypertrophy (Romhilt-Estes)": Score(76, 26, 49, 10),
        "right ventricular hypertrophy (R V1)": Score(4, 0, 128, 1),
        "right ventricular hypertrophy (R V1 + S V5 or V6)": Score(4, 1, 127, 4),
        "right ventricular hypertrophy (axis)": Score(4, 0, 127, 2),
        "left atrial abnormality (P terminal force)": Score(73, 39, 55, 12),
        "left atrial abnormality (P duration)": Score(73, 38, 55, 9),
        "right atrial abnormality": Score(9, 0, 95, 0),
        "ST elevation": Score(7, 1, 91, 1),
        "T inversion": Score(3, 1, 26, 2),
        "Q waves of prior infarction": Score(10, 4, 89, 17),
        "Q wave, Minnesota 1-1": Score(10, 7, 103, 20),
        "QTc prolonged": Score(1, 1, 29, 3),
        "QTc prolonged (480 ms)": Score(1, 1, 30, 1),
        "early repolarisation": Score(5, 2, 94, 17),
    }
)
