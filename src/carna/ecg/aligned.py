"""Beats laid over each other: one clean working trace, and windows of it around every beat.

All that compares beats (`kinds`) or averages them (`atrial`) works on the same picture: every lead between
0.5 and 40 Hz, thinned to 100-200 Hz, and around each R peak a window on a fixed 10 ms grid, so that
recordings of every rate are comparable sample by sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carna.ecg.traces import Float, Floats, band, bridged, thinned

GRID_HZ = 100.0
BAND_HZ = (0.5, 40.0)


def working(ecg: NDArray[np.floating], rate_hz: float) -> tuple[Float, float]:
    """Return the leads between 0.5 and 40 Hz and their working rate.

    Parameters
    ----------
    ecg : (leads, samples) float
        mV; NaN where nothing was recorded (bridged by straight lines).
    rate_hz : float
        50 Hz or more.

    Returns
    -------
    (leads, n) float32, mV, and the working rate, 100 to 200 Hz (lower only when the recording is).
    """
    filled, _ = bridged(ecg)
    filled -= np.median(filled, axis=1, keepdims=True)
    leads, step = thinned(filled, rate_hz)
    rate = rate_hz / step
    return band(leads, rate, BAND_HZ, 2.0), rate


def windows(trace: Float, rate_hz: float, at_s: Floats, from_s: float, to_s: float) -> Float:
    """Cut a window around every time, on the common grid.

    Parameters
    ----------
    trace : (leads, n) float32
        What to cut from, at ``rate_hz``.
    at_s : (beats,) float
        Times, s.
    from_s, to_s : float
        Window relative to each time, s; beyond the ends the last value is held.

    Returns
    -------
    (beats, leads, width) float32
    """
    offsets = np.arange(round(from_s * GRID_HZ), round(to_s * GRID_HZ) + 1) / GRID_HZ
    place = (np.asarray(at_s)[:, None] + offsets) * rate_hz
    place = np.clip(place, 0, trace.shape[1] - 1.001)
    below = place.astype(np.int64)
    share = (place - below).astype(np.float32)
    left, right = trace[:, below], trace[:, below + 1]
    return np.ascontiguousarray((left + share * (right - left)).transpose(1, 0, 2))
