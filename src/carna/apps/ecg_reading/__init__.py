"""A resting electrocardiogram read as a specialist reads it.

::

    __init__  the application
    beats     beats and rate
    measured  intervals, axes, the median beat, every lead
    judged    criteria, and what to look at first
    leads     quality, exchanged electrodes
    doubted   where a second method says otherwise
    compared  against the earlier electrocardiogram
    names     what these share
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np

from carna import codes
from carna.app import Job, Need, Setting, application
from carna.apps.ecg_reading import beats, judged, leads, measured
from carna.apps.ecg_reading.compared import apart_days, compared
from carna.apps.ecg_reading.doubted import doubted
from carna.apps.ecg_reading.names import CODE
from carna.codes import ecg_statements
from carna.ecg.criteria import CRITERIA, Tracing, judge
from carna.ecg.criteria.reading import read
from carna.ecg.quality import believed
from carna.errors import InputError
from carna.findings import Evidence, Item
from carna.study import Ecg, Record

LEAST_HZ = 100.0


@application(
    version="1.0",
    gives=(
        *(codes.QRS_COMPLEX, codes.BEAT_COUNT, codes.VENTRICULAR_RATE, codes.RR_INTERVAL),
        *measured.INTERVALS.values(),
        *measured.QTC.values(),
        *measured.AXES.values(),
        *dict.fromkeys(CODE[c.name] for c in CRITERIA),
        *(codes.SIGNAL_QUALITY, ecg_statements.LEADS_REVERSED, ecg_statements.CHEST_LEADS_EXCHANGED),
        *(ecg_statements.SINCE_EARLIER, ecg_statements.SECOND_OPINION),
    ),
    may_give=(
        *codes.LEADS.values(),
        *measured.LEAD.values(),
        *measured.WAVES.values(),
        ecg_statements.LOOK_NOW,
        codes.BLOCKED_P_WAVE,
        *ecg_statements.CHANGES.values(),
    ),
    cites=tuple(sorted({c.source for c in CRITERIA if c.source.startswith("doi:")})),
    stakes="low",
    models=("ecg_second.json",),
)
def ecg_reading(
    ecg: Annotated[Ecg, Need("a resting electrocardiogram of 5 s to 2 min", min_seconds=5, max_seconds=120)],
    record: Annotated[Record | None, Need("age and sex")],
    earlier: Annotated[
        Ecg | None,
        Need("the newest earlier electrocardiogram", min_seconds=5, max_seconds=120, earlier=True),
    ],
    *,
    age: Annotated[float, Setting("a", -1, 130, "age, where no record has it; -1 not known")] = -1.0,
    sex: Annotated[
        Literal["unknown", "female", "male"], Setting(doc="sex, where no record has it")
    ] = "unknown",
    job: Job,
) -> tuple[Item, ...]:
    """Read a resting electrocardiogram: intervals, every lead, criteria met and not met."""
    if ecg.rate_hz < LEAST_HZ:
        raise InputError(f"{ecg.rate_hz:g} samples a second", needed="100 Hz or more", fix="use the original")
    named = [lead for lead in ecg.leads if lead in codes.LEADS]
    if twice := sorted({lead for lead in named if named.count(lead) > 1}):
        raise InputError(f"lead {', '.join(twice)} twice", needed="each lead once", fix="name or drop one")
    years = record.age_a if record is not None and record.age_a is not None else (age if age >= 0 else None)
    known = record.sex if record is not None and record.sex in ("female", "male") else None
    given = sex if sex in ("female", "male") else None
    who = known or given
    job.progress(0.05, "beats")
    got = read(
        believed(np.asarray(ecg.values.array, float)),
        ecg.rate_hz,
        ecg.leads,
        age_a=years,
        sex=who,
        progress=job.progress.part(0.05, 0.6 if earlier is not None else 0.9),
    )
    seen = Evidence(ecg.origin.uid, ecg.leads, 0.0, round(ecg.seconds, 3))
    tracing = got.tracing
    before = _before(earlier, ecg, tracing, job) if earlier is not None else None
    job.progress(0.92, "criteria")
    verdicts = judge(tracing) if tracing is not None else ()
    job.progress(1.0, "criteria")
    return (
        *beats.beats(got, ecg, seen),
        *beats.rate(tracing.rhythm if tracing is not None else None, seen),
        *measured.whole(tracing, seen),
        *measured.medians(tracing, ecg, seen),
        *beats.blocked(tracing, seen),
        *judged.criteria(verdicts, seen),
        *judged.urgent(verdicts, got, seen),
        *doubted(got, verdicts, seen),
        *judged.unread(got, seen),
        *leads.electrodes(tracing, seen),
        *leads.usable(got, ecg),
        *measured.by_lead(got, ecg),
        *compared(before, tracing, earlier, ecg, seen),
    )


def _before(earlier: Ecg, ecg: Ecg, now: Tracing | None, job: Job) -> Tracing | None:
    """Return the tracing of the earlier recording, read by the same rules at the age of then."""
    days = apart_days(earlier, ecg)
    twice = len(set(earlier.leads)) < len(earlier.leads)
    if days is None or now is None or twice or earlier.rate_hz < LEAST_HZ:
        return None
    return read(
        believed(np.asarray(earlier.values.array, float)),
        earlier.rate_hz,
        earlier.leads,
        age_a=None if now.age_a is None else max(0.0, now.age_a - days / 365.25),
        sex=now.sex,
        progress=job.progress.part(0.6, 0.9),
    ).tracing
