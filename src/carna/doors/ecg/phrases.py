"""Sentences of carts and annotators that are exactly a known term, in any case.

A sentence with anything more in it ("probable", "cannot rule out", "with") is never matched:
its words stay in the statement, under the code for an ECG finding in general.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from carna import codes
from carna.codes import Concept

__all__ = ["concept_of"]

_TERMS: tuple[tuple[Concept, tuple[str, ...]], ...] = (
    (codes.SINUS_RHYTHM, ("sinus rhythm",)),
    (codes.NORMAL_SINUS_RHYTHM, ("normal sinus rhythm",)),
    (codes.SINUS_BRADYCARDIA, ("sinus bradycardia",)),
    (codes.SINUS_TACHYCARDIA, ("sinus tachycardia",)),
    (codes.SINUS_ARRHYTHMIA, ("sinus arrhythmia", "irregular sinus rhythm")),
    (codes.ATRIAL_FIBRILLATION, ("atrial fibrillation",)),
    (codes.ATRIAL_FLUTTER, ("atrial flutter", "atrial flutter typical")),
    (codes.ATRIAL_TACHYCARDIA, ("atrial tachycardia",)),
    (codes.SVT, ("supraventricular tachycardia",)),
    (codes.VT, ("ventricular tachycardia",)),
    (codes.VF, ("ventricular fibrillation",)),
    (
        codes.AV_BLOCK_1,
        ("first degree av block", "1st degree av block", "i degree av block", "av block i degree"),
    ),
    (codes.AV_BLOCK_2, ("second degree av block", "2nd degree av block")),
    (codes.AV_BLOCK_3, ("third degree av block", "3rd degree av block", "iii degree av block")),
    (codes.LBBB, ("left bundle branch block", "complete left bundle branch block")),
    (codes.RBBB, ("right bundle branch block", "complete right bundle branch block")),
    (codes.INCOMPLETE_LBBB, ("incomplete left bundle branch block",)),
    (codes.INCOMPLETE_RBBB, ("incomplete right bundle branch block",)),
    (codes.LAFB, ("left anterior fascicular block", "left anterior hemiblock")),
    (codes.LPFB, ("left posterior fascicular block", "left posterior hemiblock")),
    (codes.ECG_NORMAL, ("normal ecg",)),
    (codes.ECG_BORDERLINE, ("borderline ecg", "borderline normal ecg")),
    (codes.ECG_ABNORMAL, ("abnormal ecg",)),
)
_BY_TEXT: Mapping[str, Concept] = MappingProxyType({text: c for c, texts in _TERMS for text in texts})


def concept_of(sentence: str) -> Concept | None:
    """Return the concept a sentence is the name of, None if it says anything more or else.

    >>> concept_of("Rhythm: Sinus bradycardia.").meaning, concept_of("probable sinus rhythm")
    ('Sinus Bradycardia', None)
    """
    bare = re.sub(r"^rhythm:", "", sentence.strip().lower())
    return _BY_TEXT.get(" ".join(re.findall(r"[a-z0-9]+", bare)))
