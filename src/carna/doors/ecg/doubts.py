"""Doubts: what is wrong with a recording although its file can be read.

Lost samples, samples at the end of the recorder's range, a lead named twice and a lead in a unit
that is no voltage are read for what they are; whoever sent them is told once a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from carna.case import Problem
from carna.doors.ecg.leads import canonical, distinct
from carna.doors.ecg.recording import Recording, Wave
from carna.signal import runs

__all__ = ["clipped", "doubtful", "gaps", "told", "twice"]

# Fewer samples at the end of the range are a peak that just reaches it.
CLIPPED_FROM = 4

Doubt = tuple[str, str, str]


def gaps(missing: npt.NDArray[np.bool_]) -> int:
    """Return how many samples of a lead were lost: between recorded ones, or all of them.

    What is missing only before or after is a lead that was recorded for a part of the time, as in
    the 4 x 3 layout of a print.
    """
    if missing.all():
        return len(missing)
    found = runs(missing)
    inside = found[(found[:, 0] > 0) & (found[:, 1] < len(missing))]
    return int((inside[:, 1] - inside[:, 0]).sum())


def clipped(at_rail: npt.NDArray[np.bool_]) -> int:
    """Return how many samples stand at the end of the range in runs of at least four."""
    found = runs(at_rail)
    long = (found[:, 1] - found[:, 0]) >= CLIPPED_FROM
    return int((found[long, 1] - found[long, 0]).sum())


def told(lost: Sequence[tuple[str, int]], cut: Sequence[tuple[str, int]]) -> list[Doubt]:
    """Return the doubts (found, needed, fix) on leads with their numbers of lost and clipped samples."""
    doubts: list[Doubt] = []
    for some, what, needed, fix in (
        (lost, "not recorded", "a number for each", "kept as gaps; ask the sender for the whole recording"),
        (cut, "clipped", "samples inside the recorder's range", "record again with a lower gain"),
    ):
        if some:
            each = ", ".join(f"{lead} {n}" for lead, n in some)
            doubts.append((f"samples {what}: {each}", needed, fix))
    return doubts


def twice(sent: Sequence[str]) -> list[Doubt]:
    """Return the doubt on standard leads that come more than once; a name such as ECG says no lead."""
    plain = [canonical(name) or "" for name in sent]
    again = sorted({name for name in plain if name and plain.count(name) > 1})
    if not again:
        return []
    found = f"a lead name comes more than once: {', '.join(again)}"
    return [(found, "each lead once", f"read as {', '.join(distinct(sent))}; correct the names")]


def doubtful(recording: Recording, file: str, *, cheap: bool) -> list[Problem]:
    """Return the problems of a recording that was read.

    Parameters
    ----------
    cheap : bool
        Whether its samples may be looked at.
    """
    doubts: list[Doubt] = list(recording.doubts)
    for wave in recording.waves:
        doubts += twice(wave.leads)
    if cheap:
        lost: list[tuple[str, int]] = []
        cut: list[tuple[str, int]] = []
        for wave in recording.waves:
            one, two = _samples(wave)
            lost += one
            cut += two
            wave.values.release()
        doubts += told(lost, cut)
    return [Problem(file, *doubt) for doubt in dict.fromkeys(doubts)]


def _samples(wave: Wave) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Return the numbers of lost and of clipped samples of each lead that has any."""
    lost: Iterable[tuple[str, int]] = zip(wave.leads, map(gaps, np.isnan(wave.values.array)), strict=True)
    cut: list[tuple[str, int]] = []
    for lead, row, step, rail in zip(wave.leads, wave.values.array, wave.lsb_mV, wave.rails_mV, strict=False):
        low, high = rail
        with np.errstate(invalid="ignore"):
            # A sample beyond the rails shows that they are not where the header has them.
            if step > 0 and not ((row < low - step / 2) | (row > high + step / 2)).any():
                cut.append((lead, clipped((row < low + step / 2) | (row > high - step / 2))))
    return [x for x in lost if x[1]], [x for x in cut if x[1]]
