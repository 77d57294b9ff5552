"""The patient's mean arterial pressure: what a person gives, else the newest in the record."""

from __future__ import annotations

from carna import codes
from carna.codes import Concept
from carna.study import Record
from carna.units import convert


def mean_pressure(given_mmHg: float, record: Record | None) -> tuple[float | None, str]:
    """Return mean pressure, mmHg, and where it comes from; None and "" where it is not known.

    A cuff's systolic s and diastolic d stand for (s + 2 d) / 3.
    """
    if given_mmHg > 0:
        return given_mmHg, f"mean pressure {given_mmHg:g} mmHg (given)"
    mean = _newest(record, codes.MEAN_PRESSURE, "mm[Hg]")
    if mean is not None:
        return mean, f"mean pressure {mean:.0f} mmHg (record)"
    high, low = (_newest(record, c, "mm[Hg]") for c in (codes.SYSTOLIC_PRESSURE, codes.DIASTOLIC_PRESSURE))
    if high is None or low is None:
        return None, ""
    mean = (high + 2 * low) / 3
    return mean, f"pressure {high:.0f}/{low:.0f} mmHg (record), mean {mean:.0f}"


def heart_rate(record: Record | None) -> str:
    """Return the heart rate in words, "" where none is known: a steady solver has no use for it."""
    rate = _newest(record, codes.HEART_RATE, "/min")
    return "" if rate is None else f"heart rate {rate:.0f}/min (record; not used by a steady solver)"


def _newest(record: Record | None, code: Concept, unit: str) -> float | None:
    names = {(code.scheme, code.value), *code.also}
    for entry in reversed(record.entries if record is not None else ()):
        if names & set(entry.codes) and isinstance(entry.value, float) and entry.unit:
            return convert(entry.value, entry.unit, unit)
    return None
