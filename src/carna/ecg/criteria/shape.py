"""What the eye sees in a QRS complex and the wave amplitudes do not tell: notches, slurs, a slow start.

All on the median beat, low-passed by nothing but the median itself: what differs from beat to beat is gone.
These are approximations of words such as "notched" that their sources define by examples.
"""

from __future__ import annotations

import numpy as np

from carna.ecg.criteria.base import Look

NOTCH_MV = 0.05  # a dip of half a small square
SLUR = 0.25  # of the steepest slope of the complex
SLUR_MS = 10.0
DELTA_MS = 30.0


def notched(look: Look, lead: str, start: float = 0.0, stop: float = 1.0) -> bool:
    """Whether the complex has a notch or a slur between two fractions of its duration.

    A notch is a turn of the curve away from where it was going, by 0.05 mV or more, and back. A slur is a
    stretch of 10 ms or more flatter than a quarter of the steepest slope, away from peaks: the curve goes on
    in the same direction.
    """
    qrs = look.ms("qrs")
    wave, hz = look.wave(lead, 0.0, qrs)
    a, b = round(start * len(wave)), round(stop * len(wave))
    turns = sum(1 for at, depth in _turns(wave) if a <= at < b and depth >= NOTCH_MV)
    found = turns >= 2 or _slurred(wave, a, b, hz)
    look.note("notch or slur", float(found), "1", lead)
    return found


def turns(look: Look, lead: str) -> int:
    """How often the complex turns by 0.05 mV and more between its onset and end."""
    wave, _ = look.wave(lead, 0.0, look.ms("qrs"))
    return int(look.note("turns", len([1 for _, depth in _turns(wave) if depth >= NOTCH_MV]), "1", lead))


def _turns(wave: np.ndarray) -> list[tuple[int, float]]:
    """Inner extremes of a curve, each with the smaller of the two swings beside it, small ones merged "
    "away."""
    at = [0, *(np.flatnonzero(np.diff(np.sign(np.diff(wave))) != 0) + 1).tolist(), len(wave) - 1]
    while len(at) > 3:
        swings = np.abs(np.diff(wave[at]))
        k = int(swings.argmin())
        if swings[k] >= NOTCH_MV:
            break
        # a small swing inside joins its neighbours; at an end the end stays
        del at[max(1, k) : min(len(at) - 1, k + 2)]
    swings = np.abs(np.diff(wave[at]))
    return [(at[k], float(min(swings[k - 1], swings[k]))) for k in range(1, len(at) - 1)]


def _slurred(wave: np.ndarray, a: int, b: int, hz: float) -> bool:
    slope = np.gradient(wave)
    flat = np.abs(slope) < SLUR * np.abs(slope).max(initial=0.0)
    peaks = [at for at, _ in _turns(wave)]
    away = np.ones(len(wave), bool)
    for at in peaks:
        away[max(0, at - round(0.010 * hz)) : at + round(0.010 * hz) + 1] = False
    edge = round(0.012 * hz)
    away[:edge] = away[len(wave) - edge :] = False
    run = 0
    for k in range(a, b):
        run = run + 1 if flat[k] and away[k] else 0
        if run >= SLUR_MS * hz / 1000:
            return True
    return False


def slow_start(look: Look, lead: str) -> float:
    """Time from QRS onset until the slope first reaches half of its steepest, ms: a delta wave makes it "
    "long."""
    wave, hz = look.wave(lead, 0.0, look.ms("qrs"))
    slope = np.abs(np.gradient(wave))
    first = int(np.argmax(slope >= slope.max() / 2))
    return look.note("slow start", first * 1000 / hz, "ms", lead)


def start_share(look: Look, lead: str) -> float:
    """How far the curve has gone by the end of its slow start, of its largest deflection."""
    wave, hz = look.wave(lead, 0.0, look.ms("qrs"))
    first = round(slow_start(look, lead) * hz / 1000)
    return float(abs(wave[first]) / max(float(np.abs(wave).max()), 1e-9))


def tail_notch(look: Look, lead: str) -> float | None:
    """Height of a notch or slur on the last downstroke of an R wave, mV (MacFarlane's Jp); None without "
    "one."""
    qrs = look.ms("qrs")
    m = look.lead(lead)
    last = m.r2 or m.r
    if last is None or look.s(lead) > 0.05:
        return None
    wave, _ = look.wave(lead, last.peak_ms, min(qrs + 20, 200.0))
    if len(wave) < 6:
        return None
    for k in range(3, len(wave) - 2):  # a notch: the curve rises again
        if wave[k] > wave[k - 1] and wave[k] >= wave[k + 1] and wave[k] - wave[:k].min() >= 0.02:
            return look.note("J wave peak", float(wave[k]), "mV", lead)
    slope = -np.gradient(wave)
    steep = int(slope.argmax())
    for k in range(steep + 1, len(wave) - 1):
        # a slur: an abrupt bend while the curve is still clearly above the baseline
        if slope[k] < SLUR * slope[steep] and wave[k] >= 0.1 * wave[0] and slope[k] > 0:
            return look.note("J wave peak", float(wave[k]), "mV", lead)
    return None
