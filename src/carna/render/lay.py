"""Findings on an electrocardiogram in plain words, for the person it was recorded from.

Sentences are templates filled from the findings: no number or conclusion stands in them that is no item, and
every number is rounded to a whole one. What was not found is not spoken of, since that would read as an
all-clear; what could not be judged is. Conclusions that can lead to treatment wait until a named person
accepted them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from carna import codes
from carna.codes import Concept, ecg_statements
from carna.findings import Absent, Findings, Measurement, Statement
from carna.render.words import Words
from carna.units import convert, dimension

__all__ = ["sentences"]

_EXTREMES = (codes.MINIMUM, codes.MAXIMUM)
_INTERVALS = ((codes.PR_INTERVAL, "lay_pr"), (codes.QRS_DURATION, "lay_qrs"), (codes.QT_INTERVAL, "lay_qt"))
# The rate has a sentence of its own; that there is no earlier recording is no fault of this one.
_NOT_MISSED = (codes.VENTRICULAR_RATE, ecg_statements.SINCE_EARLIER)
# Answers to questions about the recording, not about the heart.
_QUESTIONS = (
    codes.SIGNAL_QUALITY,
    codes.RHYTHM_REGULARITY,
    codes.RHYTHM,
    codes.IMAGE_QUALITY,
    ecg_statements.LEADS_REVERSED,
    ecg_statements.CHEST_LEADS_EXCHANGED,
    ecg_statements.LOOK_NOW,
    ecg_statements.SECOND_OPINION,
    *ecg_statements.CHANGES.values(),
)
# More than these that could not be judged are counted, not named.
MOST_OPEN = 3


def sentences(findings: Findings, in_words: Words) -> tuple[str, ...]:
    """Return findings in plain sentences, none if they are not on an electrocardiogram.

    Parameters
    ----------
    findings : Findings
    in_words : Words

    Returns
    -------
    tuple of str
        In the order they are read; the last says who can tell what they mean.
    """
    said = findings.coded(codes.VENTRICULAR_RATE)
    if not said:
        return ()
    text = in_words.text
    lines = [text("lay_synthetic")] if findings.synthetic else []
    if findings.review is None:
        lines.append(text("lay_unchecked"))
    else:
        lines.append(text("lay_checked").format(author=findings.review.author.replace("^", " ").strip()))
    lines += _rate(findings, in_words)
    lines += _counts(findings, in_words)
    lines += _intervals(findings, in_words)
    lines += _conclusions(findings, in_words)
    missing = [
        i for i in findings.items if isinstance(i, Absent) and i.site is None and i.code not in _NOT_MISSED
    ]
    if missing:
        lines.append(text("lay_absent").format(n=len(missing)))
    lines += _quality(findings, in_words)
    return (*lines, text("lay_end"))


def _whole(item: Measurement, unit: str) -> str:
    return f"{convert(item.value, item.unit, unit):.0f}"


def _measured(findings: Findings, code: Concept) -> list[Measurement]:
    """Return what was measured of the whole electrocardiogram."""
    return [i for i in findings.coded(code) if isinstance(i, Measurement) and i.site is None]


def _rate(findings: Findings, in_words: Words) -> Iterator[str]:
    rates = [i for i in _measured(findings, codes.VENTRICULAR_RATE) if dimension(i.unit) == dimension("/min")]
    mean = next((i for i in rates if i.method not in _EXTREMES), None)
    low, high = (next((i for i in rates if i.method == which), None) for which in _EXTREMES)
    if mean is not None:
        yield in_words.text("lay_rate").format(rate=_whole(mean, "/min"))
    elif not rates:
        yield in_words.text("lay_rate_absent")
    if low is not None and high is not None:
        given = {"low": _whole(low, "/min"), "high": _whole(high, "/min")}
        yield in_words.text("lay_rate_range").format(**given)


def _counts(findings: Findings, in_words: Words) -> Iterator[str]:
    for code, key in ((codes.BEAT_COUNT, "lay_beats"), (codes.ECTOPIC_BEAT_COUNT, "lay_ectopic")):
        for item in _measured(findings, code)[:1]:
            yield in_words.text(key).format(n=f"{item.value:.0f}")


def _intervals(findings: Findings, in_words: Words) -> Iterator[str]:
    for code, key in _INTERVALS:
        for item in _measured(findings, code)[:1]:
            yield in_words.text(key).format(value=_whole(item, "ms"))


def _conclusions(findings: Findings, in_words: Words) -> Iterator[str]:
    judged = [i for i in findings.items if isinstance(i, Statement) and i.code not in _QUESTIONS]
    if findings.high_stakes and findings.status != "final":
        if judged:
            yield in_words.text("lay_waiting")
        return
    comma = in_words.text("lay_list")
    met = dict.fromkeys(_name(i.code, in_words) for i in judged if i.verdict == "met")
    still = dict.fromkeys(_name(i.code, in_words) for i in judged if i.verdict == "not assessable")
    if met:
        yield in_words.text("lay_met").format(names=comma.join(met))
    if len(still) > MOST_OPEN:
        yield in_words.text("lay_open_count").format(n=len(still))
    elif still:
        yield in_words.text("lay_open").format(names=comma.join(still))


def _name(concept: Concept, in_words: Words) -> str:
    """Return what a person without training calls it, the doctor's word where there is no other."""
    key = f"lay_name_{concept.scheme}_{re.sub(r'[^0-9A-Za-z]', '_', concept.value)}".lower()
    return in_words.texts.get(key) or in_words.meaning(concept)


def _quality(findings: Findings, in_words: Words) -> Iterator[str]:
    leads = set(codes.LEADS.values())
    judged = [i for i in findings.coded(codes.SIGNAL_QUALITY) if isinstance(i, Statement) and i.site in leads]
    if judged:
        usable = sum(i.verdict == "met" for i in judged)
        yield in_words.text("lay_quality").format(n=len(judged), usable=usable)
