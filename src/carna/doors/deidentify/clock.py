"""Dates and times as DICOM writes them (DA, TM, DT), moved to the past by one offset a patient.

The offset is whole seconds, so a time of day moves too and may cross midnight: a date is moved together
with the time that belongs to it, and a date that has none together with the time of the study. So every
interval between two moments of one patient stays what it was, to the precision in which they are written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, final

# ACR-NEMA wrote 1997.04.24 and 10:11:12; both are still met.
_DATE: Final = re.compile(r"(\d{4})[.\-/]?(\d{2})[.\-/]?(\d{2})")
_TIME: Final = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(\.\d{1,6})?")
_MOMENT: Final = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\.\d{1,6})?([+-]\d{4})?")
_DAY_S: Final = 86400


@final
@dataclass(frozen=True, slots=True)
class Shift:
    """How one patient's moments move.

    Parameters
    ----------
    by : timedelta
        Positive: to the past.
    study_s : float
        Time of day of the study, s: carries a date that has no time of its own.
    """

    by: timedelta
    study_s: int = 0

    def date(self, date: str, time: str = "") -> str | None:
        """Return a moved DA; None if it can't be read. ``time`` is the TM that belongs to it."""
        found = _DATE.fullmatch(date.strip())
        if found is None:
            return None
        seconds = seconds_of(time)
        try:
            day = datetime(int(found[1]), int(found[2]), int(found[3]))
            moved = day + timedelta(seconds=self.study_s if seconds is None else seconds) - self.by
        except (ValueError, OverflowError):
            return None
        return f"{moved:%Y%m%d}".rjust(8, "0")

    def time(self, time: str) -> str | None:
        """Return a moved TM in the precision it came in; None if it can't be read."""
        found = _TIME.fullmatch(time.strip())
        seconds = seconds_of(time)
        if found is None or seconds is None:
            return None
        moved = (seconds - int(self.by.total_seconds())) % _DAY_S
        whole = f"{moved // 3600:02d}{moved // 60 % 60:02d}{moved % 60:02d}"
        return whole[: 2 * sum(part is not None for part in found.groups()[:3])] + (found[4] or "")

    def moment(self, moment: str) -> str | None:
        """Return a moved DT in the precision it came in, without its zone; None if it can't be read.

        The offset from universal time says where on Earth the scanner stands; all moments of a study
        are written in local time, so the differences need it not.
        """
        found = _MOMENT.fullmatch(moment.strip())
        if found is None:
            return None
        year, month, day, hour, minute, second, fraction, _ = found.groups()
        try:
            at = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0))
            seconds = int(second or 0) if hour else self.study_s
            moved = at + timedelta(seconds=seconds) - self.by
        except (ValueError, OverflowError):
            return None
        given = sum(part is not None for part in (month, day, hour, minute, second))
        return f"{moved:%Y%m%d%H%M%S}".rjust(14, "0")[: 4 + 2 * given] + (fraction or "")


def seconds_of(time: str) -> int | None:
    """Return the seconds since midnight of a TM, fractions left out; None if it can't be read."""
    found = _TIME.fullmatch(time.strip())
    if found is None or int(found[1]) > 23 or int(found[2] or 0) > 59 or int(found[3] or 0) > 60:
        return None
    return int(found[1]) * 3600 + int(found[2] or 0) * 60 + int(found[3] or 0)


@lru_cache(maxsize=1024)
def time_of(date_tag: int) -> int | None:
    """Return the tag of the time that belongs to a date: Study Time to Study Date."""
    from pydicom.datadict import dictionary_keyword, dictionary_VR, tag_for_keyword

    try:
        tag = tag_for_keyword(dictionary_keyword(date_tag).replace("Date", "Time"))
    except KeyError:
        return None
    return tag if tag not in (None, date_tag) and dictionary_VR(tag) == "TM" else None
