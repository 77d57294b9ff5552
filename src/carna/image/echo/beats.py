"""End-diastole and end-systole of every beat of a clip, from the area of the cavity alone.

Without an electrocardiogram the frames are told by size: largest and smallest area (Lang 2015,
doi:10.1016/j.echo.2014.10.003). The curve is smoothed, its peaks and troughs are those that stand out by a
quarter of its swing. An end of the clip counts only where no beat is whole without it, and where it is as
high (or low) as the clip ever gets, because what went on before is not known. A peak is flat, and speckle
decides which of its frames is highest: the middle of those within 3 % of the swing is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

_STANDS_OUT = 0.25  # of the swing
_AT_AN_END = 0.15  # of the swing that an end may miss of the highest or lowest
SMOOTH_MS = 30.0
LEAST_RR_MS = 300.0
_FLAT = 0.03  # of the swing


@dataclass(frozen=True, slots=True)
class Beat:
    """Frames of end-diastole and end-systole of one beat, from 0."""

    ed: int
    es: int


def smoothed(area: Array, times_ms: Array) -> Array:
    """Return the curve (t,) smoothed over `SMOOTH_MS`, its ends mirrored."""
    from scipy.ndimage import gaussian_filter1d

    step = float(np.median(np.diff(times_ms))) or 1.0
    return np.asarray(gaussian_filter1d(np.asarray(area, float), max(SMOOTH_MS / step, 0.5), mode="nearest"))


def beats(area: Array, times_ms: Array) -> tuple[Beat, ...]:
    """Return the beats of a clip in order.

    Parameters
    ----------
    area : (t,) float
        Of the cavity, any unit.
    times_ms : (t,) float
        Growing.

    Returns
    -------
    tuple of Beat
        Each end-systole with the end-diastole before it, else the one after it; empty where neither is seen.
    """
    curve = smoothed(area, times_ms)
    swing = float(curve.max() - curve.min())
    if swing <= 0.0:
        return ()
    step = float(np.median(np.diff(times_ms)))
    apart = max(1, round(LEAST_RR_MS / step))
    for ends in (False, True):
        full, empty = _peaks(curve, swing, apart, ends), _peaks(-curve, swing, apart, ends)
        found = tuple(_pairs(full, empty))
        if found:
            return found
    return ()


def _pairs(full: list[int], empty: list[int]) -> Iterator[Beat]:
    for es in empty:
        before, after = [ed for ed in full if ed < es], [ed for ed in full if ed > es]
        if before or after:
            yield Beat(before[-1] if before else after[0], es)


def _peaks(curve: Array, swing: float, apart: int, ends: bool) -> list[int]:
    from scipy.signal import find_peaks

    if not ends:
        at = find_peaks(curve, prominence=_STANDS_OUT * swing, distance=apart)[0]
        return [_middle(curve, int(n), _FLAT * swing) for n in at]
    low, high = float(curve.min()), float(curve.max())
    # A frame of the lowest value beyond each end lets the ends be peaks.
    padded = np.concatenate([[low], curve, [low]])
    at = find_peaks(padded, prominence=_STANDS_OUT * swing, distance=apart)[0] - 1
    inner = range(1, len(curve) - 1)
    kept = [int(n) for n in at if n in inner or curve[n] >= high - _AT_AN_END * swing]
    return [_middle(curve, n, _FLAT * swing) for n in kept]


def _middle(curve: Array, peak: int, flat: float) -> int:
    """Return the middle of the frames lower than a peak by less than ``flat``; the peak, if one is an end."""
    first = last = peak
    while first > 0 and curve[first - 1] > curve[peak] - flat:
        first -= 1
    while last < len(curve) - 1 and curve[last + 1] > curve[peak] - flat:
        last += 1
    cut = first == 0 or last == len(curve) - 1
    return peak if cut else (first + last) // 2
