"""Beats: when in the heartbeat the frames of each plane were taken.

Several frames at one place are a cine only if the header tells them apart in time. Asked in
this order: trigger times (PS3.3 C.7.6.2.1, C.7.6.16.2.7), percentages of the RR interval,
temporal positions, the clock. A span of more than one long heartbeat is no cine but a
series in real time: perfusion, or a dynamic scan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from carna.doors.dicom.frames import Frame
from carna.space import Floats

# 24 to 300 beats a minute; outside it a header's RR is a mistake.
_RR_MS = (200.0, 2500.0)
_ASSUMED_RR_MS = 1000.0


@dataclass(frozen=True, slots=True, eq=False)
class Beat:
    """The frames of one place in the order of time.

    ``times_ms`` are after the R wave; for ``dynamic`` frames, after the first one.
    """

    frames: tuple[Frame, ...]
    times_ms: Floats
    rr_ms: float
    notes: tuple[str, ...] = ()
    dynamic: bool = False


def beat(frames: Sequence[Frame]) -> Beat | None:
    """Return the frames of one place in time, None where nothing tells them apart in time."""
    if len({f.inversion_ms for f in frames}) > 1:
        return None  # a recovery after inversion: the same phase of different beats
    stated, doubt = _stated_rr(frames)
    by_trigger = _distinct(frames, lambda f: f.trigger_ms)
    by_clock = _distinct(frames, lambda f: f.clock_s)
    seconds = 0.0 if by_clock is None else by_clock[1][-1] - by_clock[1][0]
    if by_trigger is not None:
        ordered, times = by_trigger
        if times[-1] - times[0] > _RR_MS[1]:
            return Beat(ordered, times - times[0], _ASSUMED_RR_MS, dynamic=True)
        return _in_rr(ordered, times, stated, doubt)
    by_percent = _distinct(frames, lambda f: f.percent)
    if by_percent is not None:
        ordered, percent = by_percent
        rr, notes = (stated, doubt) if stated else (_ASSUMED_RR_MS, (*doubt, _assumed()))
        return Beat(ordered, percent / 100.0 * rr, rr, notes)
    by_index = _distinct(frames, lambda f: f.temporal)
    if by_clock is not None and seconds * 1000.0 > _RR_MS[1]:
        ordered, clock = by_clock
        return Beat(ordered, (clock - clock[0]) * 1000.0, _ASSUMED_RR_MS, dynamic=True)
    if by_index is not None:
        return _evenly(by_index[0], stated, doubt, "temporal positions")
    if by_clock is not None:
        ordered, clock = by_clock
        return _in_rr(
            ordered, (clock - clock[0]) * 1000.0, stated, (*doubt, "frame times are from the clock")
        )
    if stated:
        ordered = tuple(sorted(frames, key=lambda f: f.order))
        return _evenly(ordered, stated, doubt, "instance numbers")
    return None


def _distinct(
    frames: Sequence[Frame], get: Callable[[Frame], float | None]
) -> tuple[tuple[Frame, ...], Floats] | None:
    """Return frames and values in rising order; None if one is missing or two are equal."""
    found = [(value, f) for f in frames if (value := get(f)) is not None]
    if len(found) < len(frames):
        return None
    found.sort(key=lambda pair: pair[0])
    values = np.array([value for value, _ in found], float)
    return (tuple(f for _, f in found), values) if (np.diff(values) > 0).all() else None


def _stated_rr(frames: Sequence[Frame]) -> tuple[float, tuple[str, ...]]:
    """Return the median RR that the headers state, 0 if they state none that a heart can have."""
    stated = [f.rr_ms for f in frames if f.rr_ms]
    if not stated:
        return 0.0, ()
    rr = float(np.median(stated))
    if not _RR_MS[0] <= rr <= _RR_MS[1]:
        return 0.0, (f"an RR interval of {rr:g} ms in the header is not used",)
    return rr, ()


def _in_rr(ordered: tuple[Frame, ...], times: Floats, rr: float, notes: tuple[str, ...]) -> Beat:
    if rr and rr >= times[-1]:
        return Beat(ordered, times, rr, notes)
    if rr:
        notes = (*notes, f"trigger times reach beyond the RR interval of {rr:g} ms in the header")
    step = float(np.median(np.diff(times)))
    return Beat(
        ordered, times, float(times[-1] + step), (*notes, "RR interval inferred: last trigger and one step")
    )


def _evenly(ordered: tuple[Frame, ...], rr: float, notes: tuple[str, ...], by: str) -> Beat:
    if not rr:
        rr, notes = _ASSUMED_RR_MS, (*notes, _assumed())
    times = np.arange(len(ordered)) * rr / len(ordered)
    return Beat(ordered, times, rr, (*notes, f"no trigger times; frames spread evenly by {by}"))


def _assumed() -> str:
    return f"no RR interval in the headers: {_ASSUMED_RR_MS:g} ms assumed, phases are relative"
