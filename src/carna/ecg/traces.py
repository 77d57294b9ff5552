"""From millivolts to one clean curve on which heartbeats stand up.

Every lead is low-passed and thinned to 100-200 Hz, then split into three bands: the QRS band (5-22 Hz),
what is sharper than a QRS (14-36 Hz: muscle, spikes, narrow beats) and what is slower (1-6 Hz: T and P
waves, wander). The running root mean square of each band is an *envelope*. Dividing by the lead's own beat
level (the median of two-second maxima) makes leads comparable, and a lead counts for as much as its level
stands above its own floor: twelve leads fuse into one envelope with no lead chosen by name, and a lead that
falls off stops counting within seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carna.errors import InputError

Float = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

QRS_HZ = (5.0, 22.0)
SHARP_HZ = (14.0, 36.0)
SLOW_HZ = (1.0, 6.0)
ENVELOPE_S = 0.09  # about one QRS: longer merges a beat with its T wave, shorter splits R from S
BLOCK_S = 2.0  # holds a beat at any rate above 30 per minute
LEVEL_BLOCKS = 9  # 18 s: a noise burst must be longer than 9 s to pass for a beat level
FLOOR_MV = 0.005  # a QRS of 0.03 mV still clears it; the rounding noise of a flat lead does not
LONG_KERNEL = 48  # beyond it a convolution by Fourier transforms is the faster one
CLEAN = 0.08  # floor / level of a clean lead; cleaner than this earns no further weight


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """The fused view of a stretch of electrocardiogram.

    Attributes
    ----------
    rate_hz : float
        Working rate, 100 to 200 Hz (lower only when the recording is).
    step : int
        Recorded samples per working sample.
    leads : (leads, n) float32
        What was recorded, thinned, mV above the median of the lead.
    qrs : (leads, n) float32
        QRS band of each lead, mV.
    level : (leads, n) float32
        Envelope height of a typical beat in each lead, mV.
    weight : (leads, n) float32
        Share of each lead in the fusion; sums to 1, or to 0 where no lead carries anything.
    envelope, sharp, slow : (n,) float32
        Fused envelopes, in units of a typical beat's QRS envelope.
    floor : (n,) float32
        Fused floor of the envelope between beats, same unit; 0.05 is clean, 0.4 is noise.
    """

    rate_hz: float
    step: int
    leads: Float
    qrs: Float
    level: Float
    weight: Float
    envelope: Float
    sharp: Float
    slow: Float
    floor: Float


def checked(ecg: NDArray[np.floating], rate_hz: float) -> NDArray[np.floating]:
    """Return ``ecg`` as (leads, samples) or say why it is no electrocardiogram.

    Raises
    ------
    InputError
        If the array is not (leads, samples) or the rate is below 50 Hz or not finite.
    """
    ecg = np.asarray(ecg)
    if ecg.ndim != 2 or ecg.shape[0] == 0:
        raise InputError(
            f"an ECG array of shape {ecg.shape}", needed="(leads, samples)", fix="use ecg[None] for one lead"
        )
    if not (np.isfinite(rate_hz) and rate_hz >= 50):
        raise InputError(f"a sampling rate of {rate_hz} Hz", needed="50 Hz or more")
    return ecg


def bridged(ecg: NDArray[np.floating]) -> tuple[Float, Bools]:
    """Fill what was not recorded by straight lines; return the filled leads and where it was missing."""
    missing = ~np.isfinite(ecg)
    filled = np.array(ecg, dtype=np.float32)
    for lead, gap in zip(filled, missing, strict=True):
        if gap.all():
            lead[:] = 0
        elif gap.any():
            lead[gap] = np.interp(np.flatnonzero(gap), np.flatnonzero(~gap), lead[~gap])
    return filled, missing


def filtered(leads: Float, kernel: Float, step: int = 1) -> Float:
    """Convolve with a symmetric ``kernel`` of odd length without delay and keep every ``step``-th sample."""
    from scipy.signal import oaconvolve, upfirdn

    half = len(kernel) // 2
    padded = np.pad(leads, ((0, 0), (half, half)), mode="reflect", reflect_type="odd")  # keeps the slope
    if step == 1 and len(kernel) > LONG_KERNEL:
        return np.asarray(oaconvolve(padded, kernel[None], mode="valid", axes=1), np.float32)
    full = upfirdn(kernel, padded, down=step) if 2 * half % step == 0 else None
    if full is None:
        return np.asarray(upfirdn(kernel, padded)[:, 2 * half : 2 * half + leads.shape[1] : step], np.float32)
    start = 2 * half // step
    return np.asarray(full[:, start : start + -(-leads.shape[1] // step)], np.float32)


def thinned(leads: Float, rate_hz: float) -> tuple[Float, int]:
    """Low-pass at 40 Hz and keep every ``step``-th sample so that 100 to 200 Hz remain."""
    from scipy.signal import firwin

    step = max(1, int(rate_hz // 100))
    if step == 1:
        return leads, 1
    return filtered(leads, firwin(8 * step + 1, 40.0, fs=rate_hz).astype(np.float32), step), step


def band(leads: Float, rate_hz: float, edges_hz: tuple[float, float], kernel_s: float) -> Float:
    """Band-pass without delay; the upper edge bends to what the rate can carry."""
    from scipy.signal import firwin

    edges = (edges_hz[0], min(edges_hz[1], 0.45 * rate_hz))
    kernel = firwin(2 * int(kernel_s * rate_hz / 2) + 1, edges, fs=rate_hz, pass_zero=False)
    # A band-pass by window lets a little of a constant through; of a baseline 100 mV away that is a wave.
    window = np.hamming(len(kernel))
    kernel -= window * (kernel.sum() / window.sum())
    return filtered(leads, kernel.astype(np.float32))


def envelope(signal: Float, rate_hz: float) -> Float:
    """Running root mean square over one QRS width."""
    from scipy.ndimage import uniform_filter1d

    width = max(1, round(ENVELOPE_S * rate_hz))
    return np.asarray(np.sqrt(np.maximum(uniform_filter1d(signal * signal, width, axis=-1), 0)))


def level_and_floor(env: Float, missing: Bools, rate_hz: float) -> tuple[Float, Float]:
    """Envelope height of a typical beat, and between beats, of every lead at every sample (mV)."""
    from scipy.ndimage import median_filter

    leads, n = env.shape
    width = min(int(BLOCK_S * rate_hz), n)
    count = n // width
    blocks = env[:, : count * width].reshape(leads, count, width)
    rank = int(0.4 * width)
    top, low = blocks.max(-1), np.partition(blocks, rank, -1)[..., rank]
    absent = missing[:, : count * width].reshape(leads, count, width).mean(-1) > 0.5
    centre = (np.arange(count) + 0.5) * width
    curves = np.zeros((2, leads, n), np.float32)
    at = np.arange(n)
    for k in range(leads):
        here = ~absent[k]
        if not here.any():
            continue
        level = median_filter(top[k, here], min(LEVEL_BLOCKS, 2 * int(here.sum()) - 1), mode="nearest")
        floor = median_filter(low[k, here], min(3, 2 * int(here.sum()) - 1), mode="nearest")
        curves[0, k] = np.interp(at, centre[here], level)
        curves[1, k] = np.interp(at, centre[here], floor)
    return curves[0], curves[1]


def trace(ecg: NDArray[np.floating], rate_hz: float) -> Trace:
    """Fuse a stretch of electrocardiogram into one view.

    Parameters
    ----------
    ecg : (leads, samples) float
        Millivolts; NaN where nothing was recorded.
    rate_hz : float
        Sampling rate, 50 Hz or more.

    Returns
    -------
    Trace
    """
    filled, gap = bridged(ecg)
    leads, step = thinned(filled - np.median(filled, axis=1, keepdims=True), rate_hz)
    rate = rate_hz / step
    missing = gap[:, ::step]
    qrs = band(leads, rate, QRS_HZ, 0.5)
    env = envelope(qrs, rate)
    level, floor = level_and_floor(env, missing, rate)
    carries = (level > FLOOR_MV) & ~missing
    level = np.maximum(level, FLOOR_MV)
    ratio = floor / level
    weight = np.where(carries, np.maximum(ratio, CLEAN) ** -2, 0).astype(np.float32)
    weight /= np.maximum(weight.sum(0), 1e-9)

    def fused(e: Float) -> Float:
        return np.asarray(np.sqrt((weight * (e / level) ** 2).sum(0)))

    sharp = envelope(band(leads, rate, SHARP_HZ, 0.3), rate)
    slow = envelope(band(leads, rate, SLOW_HZ, 1.0), rate)
    return Trace(
        rate, step, leads, qrs, level, weight, fused(env), fused(sharp), fused(slow), (weight * ratio).sum(0)
    )
