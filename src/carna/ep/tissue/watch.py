"""What is looked at in every step: kernels over the lanes (numba; imported only when a simulation runs)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

LANES = 512


@njit(cache=True, nogil=True, error_model="numpy")
def crossings(
    old: Any, new: Any, start_ms: float, dt_ms: float, threshold: Any, times: Any, lanes: Any, count: int
) -> int:
    """Append every upward crossing of the threshold in this step; return the new count.

    ``old``, ``new`` (lanes,) mV before and after; ``times`` float64 and ``lanes`` int32 have room for all.
    The moment is interpolated on a line between the two values.
    """
    for block in range(len(old) // LANES):
        first = block * LANES
        found = np.int32(0)
        for i in range(first, first + LANES):
            found += np.int32((old[i] < threshold) & (new[i] >= threshold))
        if found:
            for i in range(first, first + LANES):
                if old[i] < threshold and new[i] >= threshold:
                    part = (threshold - old[i]) / (new[i] - old[i])
                    times[count] = start_ms + dt_ms * part
                    lanes[count] = i
                    count += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def steepest(old: Any, new: Any, dt_ms: Any, peak: Any) -> None:
    """Raise ``peak`` (lanes,) mV/ms to this step's slope where that is steeper."""
    for i in range(len(old)):
        slope = (new[i] - old[i]) / dt_ms
        peak[i] = max(peak[i], slope)


@njit(cache=True, nogil=True, error_model="numpy")
def slopes(old: Any, new: Any, span_ms: Any, up: Any, down: Any) -> None:
    """Write each block's steepest rise and fall, mV/ms, between two moments ``span_ms`` apart."""
    for block in range(len(up)):
        first = block * LANES
        high = new[first] - old[first]
        low = high
        for i in range(first, first + LANES):
            d = new[i] - old[i]
            high = max(high, d)
            low = min(low, d)
        up[block] = high / span_ms
        down[block] = low / span_ms


@njit(cache=True, nogil=True, error_model="numpy")
def borders(halo: Any, home: Any, blocks: int) -> Any:
    """Return pairs (brick, block), int32, of a brick and each block that has a lane in its halo or home.

    A halo gives 0 where there is no node, so lane 0 counts only where it is at home.
    """
    last = np.full(blocks, -1, np.int32)
    count = 0
    brick_of = np.empty(0, np.int32)
    block_of = np.empty(0, np.int32)
    for filling in (False, True):
        if filling:
            brick_of, block_of = np.empty(count, np.int32), np.empty(count, np.int32)
            last[:] = -1
        count = 0
        for b in range(len(home)):
            for lanes, least in ((halo[b], 1), (home[b], 0)):
                for lane in lanes:
                    block = lane // LANES
                    if lane >= least and last[block] != b:
                        last[block] = b
                        if filling:
                            brick_of[count], block_of[count] = b, block
                        count += 1
    return brick_of, block_of


@njit(cache=True, nogil=True, error_model="numpy")
def durations(
    before: Any,
    v: Any,
    now_ms: float,
    every_ms: float,
    left: float,
    threshold: Any,
    low: Any,
    high: Any,
    began: Any,
    apd: Any,
) -> None:
    """Follow each lane's action potential by one sample.

    Arrays are (lanes,): ``before`` and ``v`` mV; ``low`` the deepest V since the last repolarisation,
    ``high`` the highest since the upstroke; ``began`` ms, NaN between action potentials; ``apd`` ms, of the
    last one.
    """
    for i in range(len(v)):
        if np.isnan(began[i]):
            if v[i] >= threshold and before[i] < threshold:
                part = (threshold - before[i]) / (v[i] - before[i])
                began[i] = now_ms - every_ms + every_ms * part
                high[i] = v[i]
            else:
                low[i] = min(low[i], v[i])
        else:
            high[i] = max(high[i], v[i])
            level = low[i] + left * (high[i] - low[i])
            if v[i] <= level:
                part = (before[i] - level) / max(before[i] - v[i], 1e-6)
                apd[i] = now_ms - every_ms + every_ms * min(max(part, 0.0), 1.0) - began[i]
                began[i] = np.nan
                low[i] = v[i]
        before[i] = v[i]
