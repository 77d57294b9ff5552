"""Saying: numbers, uncertainties, evidence and patients as a reader sees them, in any language.

Frames and slices count from 1 for a person, from 0 everywhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date
from typing import assert_never

import numpy as np

from carna import codes
from carna.case import Case
from carna.errors import InputError
from carna.findings import Evidence, Findings, Interval, Measurement, Samples, Sd, Uncertainty, Unknown
from carna.findings.items import Item
from carna.render.words import Words
from carna.study import Ecg, Part, Record, Study, fingerprint

__all__ = [
    "age",
    "both",
    "evidence",
    "kind",
    "name",
    "numbers",
    "part_name",
    "ranges",
    "spread",
    "study_of",
    "uncertainty",
    "value",
]


def both(findings: Findings | tuple[Findings, ...]) -> tuple[Findings, ...]:
    """Return one Findings or several as several."""
    return (findings,) if isinstance(findings, Findings) else tuple(findings)


def study_of(findings: Findings, case: Case) -> Study:
    """Return the study the findings speak of.

    Raises
    ------
    InputError
        If the case does not hold it.
    """
    found = next((s for s in case.studies if s.uid == findings.study), None)
    if found is None:
        raise InputError(
            f"findings on the study {findings.study}, which the case does not hold",
            needed=", ".join(s.uid for s in case.studies) or "a case with studies",
        )
    return found


def kind(item: Item) -> str:
    """Return the kind of an item as a key of the words: measurement, region ..."""
    return type(item).__name__.lower()


def numbers(values: Iterable[float], about: float = 0.0) -> tuple[str, ...]:
    """Return values with one number of decimals, set by the spread ``about`` or else by the largest.

    A spread shows one digit, two where the first is 1 or 2; values without one show three digits, or
    stay whole. The minus sign is the typographic one.
    """
    given = tuple(float(v) for v in values)
    largest = max((abs(v) for v in given), default=0.0)
    if about > 0:
        exponent = math.floor(math.log10(about))
        decimals = (1 if about < 3 * 10**exponent else 0) - exponent
    elif largest == 0 or all(v.is_integer() for v in given):
        decimals = 0
    else:
        decimals = 2 - math.floor(math.log10(largest))
    decimals = min(max(decimals, 0), 6)
    return tuple(f"{v:.{decimals}f}".replace("-", "\N{MINUS SIGN}") for v in given)


def name(item: Item, words: Words) -> str:
    """Return what an item is about; that a number is the lowest or highest belongs to its name."""
    extreme = item.method if isinstance(item, Measurement) else None
    meaning = words.meaning(item.code)
    if extreme not in (codes.MINIMUM, codes.MAXIMUM) or extreme is None:
        return meaning
    return f"{meaning}{'，' if words.language == 'zh' else ', '}{words.meaning(extreme).lower()}"


def value(measurement: Measurement) -> str:
    """Return the number of a measurement; a whole count stays whole whatever its spread."""
    counted = measurement.unit in ("1", "{beats}") and measurement.value.is_integer()
    # No angle of an electrocardiogram is known to a fraction of a degree.
    least = 3.0 if measurement.unit == "deg" else 0.0
    return numbers((measurement.value,), 0.0 if counted else spread(measurement.uncertainty) or least)[0]


def spread(uncertainty_: Uncertainty) -> float:
    """Return a length that says how many digits of a value mean something, 0 if not known."""
    match uncertainty_:
        case Sd(sd=sd):
            return sd
        case Interval(low=low, high=high):
            return (high - low) / 4
        case Samples(values=values):
            return float(np.std(values)) if values else 0.0
        case Unknown():
            return 0.0
        case _:
            assert_never(uncertainty_)


def uncertainty(uncertainty_: Uncertainty, words: Words) -> str:
    """Return an uncertainty in words, or the reason there is none."""
    about = spread(uncertainty_)
    match uncertainty_:
        case Sd(sd=sd):
            return words.text("sd").format(sd=numbers((sd,), about)[0])
        case Interval(low=low, high=high, level=level):
            whole = low.is_integer() and high.is_integer()
            least, most = numbers((low, high), 0.0 if whole else about)
            return words.text("interval").format(low=least, high=most, level=f"{100 * level:g}")
        case Samples(values=values):
            least, most = numbers(np.percentile(values, (2.5, 97.5)), about)
            return words.text("samples").format(low=least, high=most, n=len(values))
        case Unknown(why=why):
            return words.text("no_uncertainty").format(why=why)
        case _:
            assert_never(uncertainty_)


def ranges(indices: Iterable[int]) -> str:
    """Return indices from 0 as a person counts them, neighbours joined.

    >>> ranges((0, 1, 2, 7))
    '1-3, 8'
    """
    runs: list[list[int]] = []
    for index in sorted(set(indices)):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(str(a + 1) if a == b else f"{a + 1}-{b + 1}" for a, b in runs)


def part_name(part: Part, study: Study, words: Words) -> str:
    """Return what a part is in a few words: ``Cine, short axis``."""
    print_ = fingerprint(part, study)
    view = words.text(f"view_{print_.view}") if print_.view else ""
    ecg = words.text(f"ecg_{print_.ecg}") if f"ecg_{print_.ecg}" in words.texts else ""
    comma = "，" if words.language == "zh" else ", "
    return comma.join(filter(None, (words.text(f"kind_{print_.kind}"), view, ecg)))


def evidence(where: Evidence, study: Study, words: Words) -> str:
    """Return one evidence in a line: the part, and where in it."""
    part = study.part(where.part)
    pieces = [part_name(part, study, words) if part else where.part]
    if part is not None and part.origin.number is not None:
        pieces.append(words.text("series_number").format(number=part.origin.number))
    if isinstance(part, Ecg) and len(part.leads) > 1 and set(where.leads) == set(part.leads):
        pieces.append(words.text("all_leads"))
    elif where.leads and not (isinstance(part, Ecg) and len(part.leads) == 1):
        pieces.append(words.text("evidence_leads").format(leads=", ".join(where.leads)))
    if where.start_s is not None and where.stop_s is not None:
        pieces.append(words.text("evidence_time").format(start=where.start_s, stop=where.stop_s))
    for key, indices in (("frame", where.frames), ("slice", where.planes)):
        if len(indices) == 1:
            pieces.append(words.text(key).format(n=indices[0] + 1))
        elif indices:
            pieces.append(words.text(f"evidence_{key}s").format(indices=ranges(indices)))
    return " · ".join(pieces)


def age(case: Case, study: Study) -> float | None:
    """Return the age at the study in years: from the birth date, else from a record; None if unknown."""
    try:
        born, examined = date.fromisoformat(case.patient.birth_date), date.fromisoformat(study.time[:10])
    except ValueError:
        records = (p for p in study.parts if isinstance(p, Record))
        return next((r.age_a for r in records if r.age_a is not None), None)
    return float(examined.year - born.year - ((examined.month, examined.day) < (born.month, born.day)))
