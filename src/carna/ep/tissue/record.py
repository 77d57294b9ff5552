"""Recorders: what a run writes down, and how often.

Each is a small declaration (`Activation`, `Durations`, ...) given to ``simulate(record=...)``; the run opens
a *sink* for it, which sees V and keeps arrays. A sink's arrays are all there is to save for a restart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from carna.errors import InputError

if TYPE_CHECKING:
    from carna.ep.tissue.grid import Tissue
    from carna.ep.tissue.layout import Layout

Floats = NDArray[np.floating]
Point = tuple[float, float, float]


@final
@dataclass(frozen=True, slots=True)
class Activation:
    """Moments of activation: each upward crossing of a threshold, interpolated between two steps."""

    threshold_mV: float = 0.0


@final
@dataclass(frozen=True, slots=True)
class Upstroke:
    """The steepest rise of V at each voxel, mV/ms (= V/s), from step to step."""


@final
@dataclass(frozen=True, slots=True)
class Durations:
    """Action potential durations: from the upward crossing of ``threshold_mV`` to ``percent`` repolarisation.

    Repolarisation is measured from the highest V of this action potential to the deepest V since the one
    before; V is looked at every ``every_ms`` and interpolated.
    """

    percent: float = 90.0
    every_ms: float = 0.5
    threshold_mV: float = -40.0


@final
@dataclass(frozen=True, slots=True)
class Probes:
    """V at named points (k, r, c in mm from the first wall; the nearest node), every ``every_ms``."""

    points_mm: Mapping[str, Point]
    every_ms: float = 0.1


@final
@dataclass(frozen=True, slots=True)
class Leads:
    """Extracellular potential at electrodes, by their lead field, every ``every_ms``.

    Parameters
    ----------
    electrodes_mm : mapping of str to (point, ...)
        One point is a unipolar lead against infinity; two are a bipolar lead, the first less the second.
        Points are k, r, c in mm from the first wall.
    conductivity_S_per_m : float
        Of the infinite volume around, > 0.
    source : Tissue, optional
        Tissue of the same voxels whose diffusion makes the current that the leads see; the run's own if left
        out. For a run that is `calibrated`, the tissue before calibration.
    """

    electrodes_mm: Mapping[str, tuple[Point, ...]]
    every_ms: float = 1.0
    conductivity_S_per_m: float = 0.2
    source: Tissue | None = field(default=None, repr=False)


@final
@dataclass(frozen=True, slots=True)
class Frames:
    """Pictures of V on the whole grid, every ``every_ms``, kept as float16 (0.06 mV)."""

    every_ms: float = 5.0


Recorder = Activation | Upstroke | Durations | Probes | Leads | Frames


class Sink(ABC):
    """What a recorder keeps during a run: a dictionary of arrays."""

    every: int  # steps between two looks; 0 looks at every step, with the step's first and last V

    def __init__(self, every: int) -> None:
        self.every = every
        self.kept: dict[str, NDArray[np.generic]] = {}

    @abstractmethod
    def take(self, old: Floats, new: Floats, end_ms: float, span_ms: float) -> None:
        """Look at V ``(lanes,)`` before and after; the step ends at ``end_ms`` and lasted ``span_ms``."""


@final
class ActivationSink(Sink):
    """Columns ``time`` ms and ``lane``, in the order of time steps."""

    def __init__(self, recorder: Activation) -> None:
        super().__init__(0)
        self.threshold = recorder.threshold_mV
        self.kept = {"time": np.empty(0), "lane": np.empty(0, np.int32), "count": np.zeros(1, np.int64)}

    def take(self, old: Floats, new: Floats, end_ms: float, span_ms: float) -> None:
        """Append this step's crossings."""
        from carna.ep.tissue.watch import crossings

        count = int(self.kept["count"][0])
        if count + len(old) > len(self.kept["time"]):
            room = count + 2 * len(old)
            for name in ("time", "lane"):
                grown = np.zeros(room, self.kept[name].dtype)
                grown[:count] = self.kept[name][:count]
                self.kept[name] = grown
        level = old.dtype.type(self.threshold)
        start = end_ms - span_ms
        args = (old, new, start, span_ms, level, self.kept["time"], self.kept["lane"], count)
        self.kept["count"][0] = crossings(*args)


@final
class UpstrokeSink(Sink):
    """Steepest rise by lane."""

    def __init__(self, lanes: int, dtype: np.dtype[np.floating]) -> None:
        super().__init__(0)
        self.kept = {"peak": np.zeros(lanes, dtype)}

    def take(self, old: Floats, new: Floats, end_ms: float, span_ms: float) -> None:
        """Keep the steeper of the two."""
        from carna.ep.tissue.watch import steepest

        steepest(old, new, old.dtype.type(span_ms), self.kept["peak"])


@final
class DurationSink(Sink):
    """The last action potential's duration by lane."""

    def __init__(self, recorder: Durations, every: int, v: Floats) -> None:
        super().__init__(every)
        self.left = 1 - recorder.percent / 100
        self.threshold = recorder.threshold_mV
        v = v.reshape(-1)
        nan = np.full(len(v), np.nan)
        self.kept = {
            "before": v.copy(),
            "low": v.copy(),
            "high": v.copy(),
            "began": nan.copy(),
            "apd": nan.astype(np.float32),
        }

    def take(self, old: Floats, new: Floats, end_ms: float, span_ms: float) -> None:
        """Follow each lane by one sample."""
        from carna.ep.tissue.watch import durations

        k = self.kept
        level = new.dtype.type(self.threshold)
        args = (end_ms, span_ms * self.every, self.left, level, k["low"], k["high"], k["began"], k["apd"])
        durations(k["before"], new, *args)


@final
class SampleSink(Sink):
    """Rows of samples: ``pick`` (n, lanes) weights, lane numbers, or everything."""

    def __init__(self, every: int, rows: int, width: int, dtype: type[np.floating]) -> None:
        super().__init__(every)
        self.kept = {"rows": np.zeros((rows, width), dtype), "count": np.zeros(1, np.int64)}
        self.lanes: NDArray[np.int64] | None = None
        self.weights: Floats | None = None

    def take(self, old: Floats, new: Floats, end_ms: float, span_ms: float) -> None:
        """Append a row."""
        if self.lanes is not None:
            row = new[self.lanes]
        elif self.weights is not None:
            # A lead's weights add up to nothing, so an offset is free; without it float32 would lose digits.
            row = self.weights @ (new + new.dtype.type(80.0))
        else:
            row = new
        n = int(self.kept["count"][0])
        self.kept["rows"][n] = row
        self.kept["count"][0] = n + 1


def steps_between(every_ms: float, dt_ms: float, what: str) -> int:
    """Return how many steps an interval is, which must be a whole number."""
    n = round(every_ms / dt_ms)
    if n < 1 or abs(n * dt_ms - every_ms) > 1e-6 * every_ms:
        raise InputError(
            f"{what} every {every_ms} ms with steps of {dt_ms} ms",
            needed="a whole number of steps",
            fix=f"use {max(n, 1) * dt_ms:g} ms",
        )
    return n


def open_sink(
    recorder: Recorder,
    tissue: Tissue,
    layout: Layout,
    v: Floats,
    dt_ms: float,
    steps: int,
) -> Sink:
    """Return the sink of a recorder."""
    match recorder:
        case Activation():
            return ActivationSink(recorder)
        case Upstroke():
            return UpstrokeSink(layout.lanes, v.dtype)
        case Durations():
            return DurationSink(recorder, steps_between(recorder.every_ms, dt_ms, "durations"), v)
        case Probes():
            every = steps_between(recorder.every_ms, dt_ms, "probes")
            sink = SampleSink(every, steps // every, len(recorder.points_mm), np.float32)
            sink.lanes = np.array([layout.lane_at(tissue.nearest(p)) for p in recorder.points_mm.values()])
            return sink
        case Leads():
            from carna.ep.ecg import lead_weights

            every = steps_between(recorder.every_ms, dt_ms, "leads")
            sink = SampleSink(every, steps // every, len(recorder.electrodes_mm), np.float64)
            points = list(recorder.electrodes_mm.values())
            sink.weights = lead_weights(
                recorder.source or tissue, layout, points, recorder.conductivity_S_per_m
            )
            return sink
        case Frames():
            every = steps_between(recorder.every_ms, dt_ms, "frames")
            return SampleSink(every, steps // every, layout.lanes, np.float16)
