"""The beats and their rate, and the P waves that none follows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from carna import codes
from carna.apps.ecg_reading.names import NO_BEATS, number
from carna.codes import ecg_statements
from carna.ecg.criteria import Tracing
from carna.ecg.criteria.reading import Reading
from carna.ecg.rhythm import Rhythm
from carna.findings import Absent, Events, Evidence, Item, Measurement, Sd, Unknown
from carna.study import Ecg

_KINDS = {
    "normal": codes.NORMAL_BEAT,
    "supraventricular": codes.SUPRAVENTRICULAR_PREMATURE_BEAT,
    "ventricular": codes.VENTRICULAR_PREMATURE_BEAT,
    "paced": ecg_statements.PACED_BEAT,
    "unknown": codes.UNCLASSIFIABLE_BEAT,
}


def beats(got: Reading, ecg: Ecg, seen: Evidence) -> Iterator[Item]:
    """Yield every trusted beat with its kind."""
    sample, kind = got.trusted_beats()
    if not len(sample):
        for id, code in (("beats", codes.QRS_COMPLEX), ("beats.count", codes.BEAT_COUNT)):
            yield Absent(id=id, code=code, why=NO_BEATS, reason=codes.VALUE_INDETERMINATE, evidence=(seen,))
        return
    yield Events(
        id="beats",
        code=codes.QRS_COMPLEX,
        onset_s=sample / ecg.rate_hz,
        types=tuple(_KINDS.values()),
        type_index=kind,
        evidence=(seen,),
    )
    why = "a count; the detector's error rates are in its documentation"
    yield Measurement(
        id="beats.count",
        code=codes.BEAT_COUNT,
        value=float(len(sample)),
        unit="{beats}",
        uncertainty=Unknown(why),
        of=("beats",),
        evidence=(seen,),
    )


def rate(told: Rhythm | None, seen: Evidence) -> Iterator[Item]:
    """Yield rate and mean interval."""
    rows = (("rate", codes.VENTRICULAR_RATE, "/min"), ("rr", codes.RR_INTERVAL, "ms"))
    for id, code, unit in rows:
        if told is None or told.mean_rate_bpm is None or told.rr_ms is None or told.rr_sd_ms is None:
            why = (
                NO_BEATS if told is None else f"{told.intervals} usable intervals between beats, fewer than 2"
            )
            yield Absent(id=id, code=code, why=why, reason=codes.VALUE_INDETERMINATE, evidence=(seen,))
            continue
        value = told.mean_rate_bpm if unit == "/min" else told.rr_ms
        sd = value * told.rr_sd_ms / told.rr_ms / float(np.sqrt(told.intervals))
        yield number(id, code, value, unit, Sd(sd), (seen,), of=("beats",), method=codes.MEAN)


def blocked(tracing: Tracing | None, seen: Evidence) -> Iterator[Item]:
    """Yield the P waves that no QRS follows, where there are any."""
    told = tracing.conduction if tracing is not None else None
    if told is None or not told.blocked:
        return
    yield Events(
        id="p.blocked",
        code=codes.BLOCKED_P_WAVE,
        onset_s=np.array(told.blocked),
        types=(codes.BLOCKED_P_WAVE,),
        type_index=np.zeros(len(told.blocked), np.int64),
        of=("beats",),
        evidence=(seen,),
    )
