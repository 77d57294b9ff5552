"""Pacing spikes: deflections of a millisecond or two that no heart makes.

A spike rises and falls within 4 ms; a QRS needs ten times as long. The second difference of the signal over
2 ms, in units of its own usual size, stands out at a spike; it counts as one when it is the largest within
20 ms, many times larger than what is usual, and the signal is back where it was 6 ms later. A beat is
*paced* when a spike lies in the 120 ms before its R peak or 20 ms after it, and when such spikes precede at
least three beats in the recording: a single spike is an artefact.

Needs 250 Hz; many carts and all monitors remove spikes or redraw them, and bipolar pacing is often invisible:
no spikes found says nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carna.ecg.traces import Bools, Floats, Ints, bridged, checked

LOWEST_HZ = 250.0
STANDS_OUT = 12.0  # times the usual curvature
SMALLEST_MV = 0.15
BEFORE_S, AFTER_S = 0.12, 0.02
FEWEST = 3


def pacing_spikes(ecg: NDArray[np.floating], rate_hz: float) -> Ints:
    """Find pacing spikes in any lead.

    Parameters
    ----------
    ecg : (leads, samples) float
        mV; NaN where nothing was recorded.
    rate_hz : float
        Below 250 Hz no spike can be told: none are found.

    Returns
    -------
    (n,) int64
        Samples, increasing.
    """
    from scipy.ndimage import maximum_filter1d

    ecg = checked(ecg, rate_hz)
    if rate_hz < LOWEST_HZ:
        return np.zeros(0, np.int64)
    filled, missing = bridged(ecg)
    step = max(1, round(0.002 * rate_hz))
    found: list[Ints] = []
    for lead, gap in zip(filled, missing, strict=True):
        if len(lead) < 8 * step:
            continue
        bend = np.zeros(len(lead), np.float32)
        bend[step:-step] = np.abs(2 * lead[step:-step] - lead[: -2 * step] - lead[2 * step :]) / 2
        bend[gap] = 0
        usual = _usual(bend, rate_hz)
        peak = (bend == maximum_filter1d(bend, 2 * round(0.02 * rate_hz) + 1)) & (bend > SMALLEST_MV)
        at = np.flatnonzero(peak & (bend > STANDS_OUT * usual))
        at = at[(at >= 3 * step) & (at < len(lead) - 3 * step)]
        # back where it was: a steep QRS is not
        back = np.abs(lead[at + 3 * step] - lead[at - 3 * step]) < 0.6 * bend[at]
        found.append(at[back])
    at = np.unique(np.concatenate([np.zeros(0, np.int64), *found]))
    apart = np.concatenate([[True], np.diff(at) > 0.02 * rate_hz]) if len(at) else np.zeros(0, bool)
    return np.asarray(at[apart], np.int64)


def paced_beats(beats: Ints, spikes: Ints, rate_hz: float) -> Bools:
    """Tell which beats have a spike near (see the top of the page), ``(n,)``; none unless three have one."""
    first = np.searchsorted(spikes, beats - BEFORE_S * rate_hz)
    last = np.searchsorted(spikes, beats + AFTER_S * rate_hz, "right")
    paced = last > first
    return np.asarray(paced if paced.sum() >= FEWEST else np.zeros(len(paced), bool))


def _usual(bend: NDArray[np.float32], rate_hz: float) -> Floats:
    """Half the 99th percentile of the curvature: QRS waves reach it, spikes are rarer."""
    return np.asarray(np.percentile(bend[:: max(1, len(bend) // 200_000)], 99) / 2 + 1e-6)
