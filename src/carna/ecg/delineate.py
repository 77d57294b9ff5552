"""Where each wave begins, peaks and ends: P, QRS and T of every beat in every lead.

1. The recording is brought to 250 Hz without its wander (`prepared`).
2. Around every beat two windows are cut in every lead: a wide one at 125 Hz for P and T, a narrow one at
   250 Hz for QRS (`windows`). Each holds the beat itself, the mean of the neighbouring beats that look like
   it, and what all leads together say: a boundary that one noisy beat hides is seen in its neighbours, and
   one that is flat in one lead is seen in the others.
3. Two small convolutional networks (`delineate_weights`, their card there) turn a window into a probability
   for each place of each boundary, and a probability that there is a P and a T wave at all.
4. The boundary is the mean of that probability around its maximum; its standard deviation is how uncertain
   the boundary is.
5. A P wave is kept when the beat, the other leads and the beats around agree on it (`_agreed`).

A wave is looked for from 480 ms before to 800 ms after the R peak. Long recordings are worked through in
stretches: memory is bounded. Known failures: P waves that no QRS follows are not looked for; QT longer than
about 750 ms; flutter waves may pass for P waves; only two people with a pacemaker were learned from.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from carna.ecg.delineate_weights import Network
from carna.ecg.delineate_weights import networks as shipped
from carna.ecg.traces import Bools, Float, Floats, Ints, bridged, checked
from carna.errors import InputError
from carna.progress import SILENT, Progress

FIDUCIALS = ("p_on", "p_peak", "p_off", "qrs_on", "qrs_peak", "qrs_off", "t_on", "t_peak", "t_off")
RATE_HZ = 250.0
WANDER_HZ = 0.5
WIDE = (60, 100)  # samples at 125 Hz before and after the beat: -0.48 to 0.80 s
NARROW = (38, 58)  # samples at 250 Hz: -0.15 to 0.23 s
NEIGHBOURS = 8  # beats on either side that a beat is averaged with
ALIKE = (0.80, 0.95)  # correlation at which a neighbour begins to count, and counts in full
MOST_IRREGULAR = 0.25  # median change of the interval between beats, of its median
SMALL_MV = 0.15  # a P wave of this height fills most of the compressed scale
LEAST_MV = 0.05  # smaller complexes are not magnified further: they would be noise
REACH_MS = 80.0  # a boundary is the mean of its probability this far around the maximum
NEAR_MS = 20.0  # the confidence of a boundary is its probability this close around
BLUR_MS = {
    "wide": 9.0,
    "narrow": 8.0,
}  # taken off the spread: most of the 12 and 8 ms the networks were taught
LEAST_SD_MS = 2.0
UNSEEN_MV = 0.02  # a lead in which the complex stays below this cannot be measured
AGREED, AGREED_ALONE = 0.43, 0.53  # below them a P wave is not agreed on by all leads, by the beats of one
STRETCH_S, OVERLAP_S = 600.0, 12.0
_WIDE_ROWS, _NARROW_ROWS = [0, 1, 2, 6, 7, 8], [3, 4, 5]
BATCH = 48  # windows a network reads at once: what stays in the processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class Waves:
    """The boundaries of every wave of every beat in every lead.

    Attributes
    ----------
    at : (9, leads, beats) float64
        Recorded samples, fractional, in the order of `FIDUCIALS`; NaN where there is no such wave or it could
        not be seen (not recorded, cut off at an end of the recording, complex below 0.02 mV).
    sd_ms : (9, leads, beats) float32
        Standard deviation of the boundary, ms; NaN with it.
    confidence : (9, leads, beats) float32, 0 to 1
        Probability that the wave is there and its boundary within 20 ms of ``at``; 0 where ``at`` is NaN.
    p, t : (leads, beats) float32, 0 to 1
        Probability that there is a P wave, a T wave; NaN where the beat could not be seen.
    """

    at: Floats
    sd_ms: Float
    confidence: Float
    p: Float
    t: Float

    def __getitem__(self, name: str) -> Floats:
        """Return ``at`` of one of `FIDUCIALS`, (leads, beats)."""
        return np.asarray(self.at[FIDUCIALS.index(name)])


def delineate(
    ecg: NDArray[np.floating],
    rate_hz: float,
    beats: Ints,
    *,
    by: tuple[Network, Network] | None = None,
    progress: Progress = SILENT,
) -> Waves:
    """Find where P, QRS and T begin, peak and end.

    Parameters
    ----------
    ecg : (leads, samples) float
        Millivolts; NaN where nothing was recorded.
    rate_hz : float
        Sampling rate, 100 Hz or more.
    beats : (n,) int64
        R peaks in samples, increasing, as `carna.ecg.find_beats` gives them.
    by : (wide, narrow), optional
        Other weights than the shipped ones.
    progress : Progress
        Told about every stretch of ten minutes.

    Returns
    -------
    Waves

    Raises
    ------
    InputError
        If the array is not (leads, samples), the rate is below 100 Hz, or the beats do not increase or lie
        outside.
    """
    ecg = checked(ecg, rate_hz)
    beats = np.asarray(beats, np.int64)
    if rate_hz < 100:
        raise InputError(f"a sampling rate of {rate_hz:g} Hz", needed="100 Hz or more to place boundaries")
    if len(beats) and (beats[0] < 0 or beats[-1] >= ecg.shape[1] or (np.diff(beats) <= 0).any()):
        raise InputError("beats that do not increase or lie outside", needed="samples of this recording")
    wide, narrow = by or shipped()
    shape = (len(ecg), len(beats))
    at = np.full((9, *shape), np.nan)
    sd, sure = np.full((9, *shape), np.nan, np.float32), np.zeros((9, *shape), np.float32)
    there = np.full((2, *shape), np.nan, np.float32)
    count = max(1, int(np.ceil(ecg.shape[1] / rate_hz / STRETCH_S)))
    edges = np.linspace(0, ecg.shape[1], count + 1).astype(int)
    overlap = int(OVERLAP_S * rate_hz)
    for k in progress.over(range(count), count, "delineating waves"):
        start, stop = max(0, edges[k] - overlap), min(ecg.shape[1], edges[k + 1] + overlap)
        low, first, last, high = np.searchsorted(beats, [start, edges[k], edges[k + 1], stop])
        if first == last:
            continue
        leads, missing = prepared(ecg[:, start:stop], rate_hz)
        local = np.round((beats[low:high] - start) * (RATE_HZ / rate_hz)).astype(np.int64)
        step = max(1, BATCH // len(ecg))
        for i in range(first, last, step):
            part = slice(i, min(i + step, last))
            seen = windows(leads, local, part.start - low, part.stop - low)
            at[..., part], sd[..., part], sure[..., part], there[..., part] = _placed(seen, wide, narrow)
        mine, here = slice(first, last), local[first - low : last - low]
        at[..., mine] += here
        at[_WIDE_ROWS, :, mine] -= here % 2  # wide windows begin at an even sample
        unseen = _unseen(leads, missing, here)
        at[:, :, mine] = np.where(unseen, np.nan, at[:, :, mine])
        there[:, :, mine] = np.where(unseen, np.nan, there[:, :, mine])
        at[..., mine] = _kept(at[..., mine], there[1][..., mine], missing) * (rate_hz / RATE_HZ) + start
    steady = _steady((at[3] - at[1]) * (1000 / rate_hz))
    at[:3, _agreed(sure[1], there[0], steady) < 0] = np.nan
    none = np.isnan(at)
    sd[none], sure[none] = np.nan, 0
    return Waves(at, sd, sure, there[0], there[1])


def _agreed(near: Float, p: Float, steady: Float) -> Float:
    """By how much more than the least a P wave is agreed on: by the beat, the other leads, the beats around.

    A P wave that is where the network thinks, in this lead, in most leads and in most beats, is one. In
    fibrillation a wave before the QRS complex now and then looks like P; neither leads nor beats agree. Where
    there is one lead and nobody to ask, the beats around decide: whether they show a wave, and whether it
    always goes as long before the QRS complex.
    """
    if not p.size:
        return p
    near = np.where(np.isnan(p), 0, near)
    leads = _row_medians(np.where(np.isnan(p), np.nan, near).T.astype(np.float64))
    around = _local_median(near)
    together = (near * 2 + leads + around) / 4 - AGREED
    single = 0.1 * near + 0.45 * around + 0.45 * steady - AGREED_ALONE
    alone = 1 / np.maximum(np.isfinite(p).sum(0), 1) ** 2
    return np.asarray((1 - alone) * together + alone * single)


def _steady(before_ms: Floats) -> Float:
    """Share of the beats around, itself too, in which P goes before QRS by the same time within 20 ms."""
    seen = np.isfinite(before_ms)
    same, among = seen.astype(np.float32), seen.astype(np.float32)
    for k in range(1, min(NEIGHBOURS, seen.shape[1] - 1) + 1):
        both = seen[:, k:] & seen[:, :-k]
        near = np.abs(before_ms[:, k:] - before_ms[:, :-k]) < NEAR_MS
        for side in (slice(k, None), slice(None, -k)):
            same[:, side] += near
            among[:, side] += both
    return np.asarray(same / np.maximum(among, 1))


def _placed(seen: tuple[Float, Float], wide: Network, narrow: Network) -> tuple[Floats, Float, Float, Float]:
    """Boundaries relative to the beat (250 Hz samples), their sd (ms) and confidence, presence of P and T."""
    leads, beats = seen[0].shape[:2]
    shape = (leads, beats)
    slow, presence = wide(seen[0].reshape(leads * beats, *seen[0].shape[2:]))
    fast, _ = narrow(seen[1].reshape(leads * beats, *seen[1].shape[2:]))
    at, sd, sure = np.empty((9, *shape)), np.empty((9, *shape), np.float32), np.empty((9, *shape), np.float32)
    for rows, logits, zero, step, blur in (
        (_WIDE_ROWS, slow, WIDE[0], 2, BLUR_MS["wide"]),
        (_NARROW_ROWS, fast, NARROW[0], 1, BLUR_MS["narrow"]),
    ):
        place, spread, near = _read(logits, step * 1000 / RATE_HZ, blur)
        at[rows] = ((place - zero) * step).T.reshape(-1, *shape)
        sd[rows] = spread.T.reshape(-1, *shape)
        sure[rows] = near.T.reshape(-1, *shape)
    there = (1 / (1 + np.exp(-presence))).T.reshape(2, *shape).astype(np.float32)
    sure[:3] *= there[0]
    sure[6:] *= there[1]
    return at, sd, sure, there


def _read(logits: Float, bin_ms: float, blur_ms: float) -> tuple[Float, Float, Float]:
    """Place (bins), standard deviation (ms) and nearby probability of each boundary, (n, heads) each."""
    x = np.ascontiguousarray(logits.transpose(0, 2, 1))
    top = x.argmax(2)[..., None]
    x -= np.take_along_axis(x, top, 2)
    np.exp(x, out=x)
    reach = round(REACH_MS / bin_ms)
    padded = np.pad(x, ((0, 0), (0, 0), (reach, reach)))
    offset = np.arange(-reach, reach + 1, dtype=np.float32)
    around = np.take_along_axis(padded, top + np.arange(2 * reach + 1), 2)
    mass = around.sum(2)
    shift = (around @ offset) / mass
    variance = (around @ (offset * offset)) / mass - shift**2
    near = np.abs(offset - shift[..., None]) * bin_ms <= NEAR_MS
    sd = np.sqrt(np.maximum(variance * bin_ms**2 - blur_ms**2, LEAST_SD_MS**2))
    return top[..., 0] + shift, sd, (around * near).sum(2) / x.sum(2)


def _unseen(leads: Float, missing: Bools, at: Ints) -> Bools:
    """Tell in which leads a beat cannot be seen: not recorded, or hardly any deflection; (leads, beats)."""
    near = np.clip(at[:, None] + np.arange(-12, 16), 0, leads.shape[1] - 1)
    cut = leads[:, near]
    return np.asarray((np.ptp(cut, axis=2) < UNSEEN_MV) | missing[:, near].any(2))


def _kept(at: Floats, t: Float, missing: Bools) -> Floats:
    """Leave out T waves that are not there and all that are cut off, not recorded or out of order."""
    n = missing.shape[1]
    at[6:, t < 0.5] = np.nan
    for wave in (at[:3], at[6:]):
        inside = np.clip(np.nan_to_num(wave), 0, n - 1).astype(np.int64)
        lost = np.take_along_axis(missing[None], inside.reshape(3, len(missing), -1), 2).any(0)
        # a wave that touches the end of the recording may go on beyond it
        cut = (wave[0] < 2) | (wave[2] > n - 3)
        unordered = ~((wave[0] < wave[1]) & (wave[1] < wave[2]))
        wave[:, lost | cut | unordered] = np.nan
    qrs = at[3:6]
    qrs[:, ~((qrs[0] < qrs[2]) & (qrs[0] > 0) & (qrs[2] < n - 1))] = np.nan
    qrs[1] = np.clip(qrs[1], qrs[0], qrs[2])
    at[2] = np.fmin(at[2], np.where(np.isnan(at[2]), np.nan, qrs[0]))
    at[6] = np.where(np.isnan(at[6]), np.nan, np.fmax(at[6], qrs[2]))
    return at


def prepared(ecg: NDArray[np.floating], rate_hz: float) -> tuple[Float, Bools]:
    """Return the leads at 250 Hz without wander, mV, and where they were not recorded; (leads, n) each."""
    from scipy.signal import butter, resample_poly, sosfiltfilt

    filled, missing = bridged(ecg)
    filled -= np.median(filled[:, :: max(1, int(rate_hz // 50))], axis=1, keepdims=True)
    ratio = Fraction(RATE_HZ / rate_hz).limit_denominator(500)
    if ratio != 1:
        filled = resample_poly(filled, ratio.numerator, ratio.denominator, axis=1, padtype="line")
        at = np.minimum((np.arange(filled.shape[1]) / float(ratio)).astype(np.int64), missing.shape[1] - 1)
        missing = missing[:, at]
    sos = butter(2, WANDER_HZ, "highpass", fs=RATE_HZ, output="sos").astype(np.float32)
    pad = min(filled.shape[1] - 1, int(2 * RATE_HZ))
    return np.asarray(sosfiltfilt(sos, filled, axis=1, padlen=pad), np.float32), missing


def windows(leads: Float, beats: Ints, first: int, last: int) -> tuple[Float, Float]:
    """Cut what the two networks see around the beats ``first`` to ``last``.

    Parameters
    ----------
    leads : (leads, n) float32
        As `prepared`.
    beats : (all,) int64
        All beats of the stretch, in samples of ``leads``; neighbours are taken from here.
    first, last : int
        The beats wanted, half open.

    Returns
    -------
    wide : (leads, last - first, 160, 8) float32
    narrow : (leads, last - first, 96, 6) float32
    """
    low, high = max(0, first - NEIGHBOURS), min(len(beats), last + NEIGHBOURS)
    mine = slice(first - low, last - low)
    fine = _cut(leads, beats[low:high], 1, NARROW)
    coarse = _cut(_halved(leads), beats[low:high] // 2, 2, WIDE)
    weight = _alike(coarse[:, :, WIDE[0] - 20 : WIDE[0] + 45], mine)
    # Height of the complex in this lead: the median over the beats around, so that one spike changes nothing.
    height = np.maximum(_local_median(np.abs(fine).max(2)), LEAST_MV)[:, mine, None]
    shapes = []
    for cut in (coarse, fine):
        mean = _averaged(cut, weight, mine)
        own = cut[:, mine]
        slope = np.abs(np.diff(mean, axis=2, prepend=mean[:, :, :1]))
        slope = np.sqrt(slope / np.maximum(slope.max(2, keepdims=True), 1e-3))
        shape = np.empty((*own.shape, 8 if cut is coarse else 6), np.float32)
        shape[..., 0] = own / height
        shape[..., 1] = np.tanh(own / SMALL_MV)
        shape[..., 2] = mean / height
        small = np.tanh(mean / SMALL_MV)
        shape[..., 3] = small
        shape[..., 4] = np.abs(small).mean(0)
        shape[..., 5] = slope.mean(0)
        if cut is coarse:
            shape[..., 6] = _comb(beats, first, last)
            shape[..., 7] = _irregularity(beats, first, last)[:, None]
        shapes.append(shape)
    return shapes[0], shapes[1]


def _halved(leads: Float) -> Float:
    """Every second sample after a binomial low-pass."""
    x = np.pad(leads, ((0, 0), (2, 2)), mode="edge")
    n = leads.shape[1]
    sums = x[:, 0:n:2] + x[:, 4 : n + 4 : 2] + 4 * (x[:, 1 : n + 1 : 2] + x[:, 3 : n + 3 : 2])
    return np.asarray((sums + 6 * x[:, 2 : n + 2 : 2]) / 16, np.float32)


def _cut(leads: Float, at: Ints, step: int, reach: tuple[int, int]) -> Float:
    """(leads, beats, samples) around each beat; zero beyond the ends."""
    before, after = reach
    padded = np.pad(leads, ((0, 0), (before, after)))
    return np.asarray(padded[:, np.clip(at, 0, leads.shape[1] - 1)[:, None] + np.arange(before + after)])


def _alike(cut: Float, mine: slice) -> Float:
    """Weight of each neighbour of each wanted beat by its correlation over all leads, (beats, 17)."""
    flat = cut.transpose(1, 0, 2).reshape(cut.shape[1], -1)
    unit = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    index = np.arange(mine.start, mine.stop)
    weight = np.zeros((len(index), 2 * NEIGHBOURS + 1), np.float32)
    for k in range(-NEIGHBOURS, NEIGHBOURS + 1):
        there = index + k
        ok = (there >= 0) & (there < len(unit))
        if k == 0:
            weight[:, NEIGHBOURS] = 1
        elif ok.any():
            r = np.einsum("bi,bi->b", unit[index[ok]], unit[there[ok]])
            weight[ok, k + NEIGHBOURS] = np.clip((r - ALIKE[0]) / (ALIKE[1] - ALIKE[0]), 0, 1)
    return np.asarray(weight / weight.sum(1, keepdims=True))


def _averaged(cut: Float, weight: Float, mine: slice) -> Float:
    """Weighted mean of each beat and its neighbours."""
    mean = np.zeros((cut.shape[0], len(weight), cut.shape[2]), np.float32)
    for k in range(weight.shape[1]):
        a, b = mine.start + k - NEIGHBOURS, mine.stop + k - NEIGHBOURS
        skip, over = max(0, -a), max(0, b - cut.shape[1])
        if skip < len(weight) - over:
            kept = slice(skip, len(weight) - over)
            mean[:, kept] += weight[kept, k, None] * cut[:, a + skip : b - over]
    return mean


def _local_median(values: Float) -> Float:
    from scipy.ndimage import median_filter

    return np.asarray(median_filter(values, (1, 2 * NEIGHBOURS + 1), mode="nearest"))


def _comb(beats: Ints, first: int, last: int) -> Float:
    """A bump at every neighbouring beat within the wide window, (beats, 160)."""
    place = np.arange(WIDE[0] + WIDE[1], dtype=np.float32) - WIDE[0]
    comb = np.zeros((last - first, len(place)), np.float32)
    for k in (-2, -1, 1, 2):
        other = np.arange(first, last) + k
        ok = (other >= 0) & (other < len(beats))
        gap = (beats[np.clip(other, 0, len(beats) - 1)] - beats[first:last]) / 2
        bump = np.maximum(0, 1 - np.abs(place - gap[:, None].astype(np.float32)) / 6)
        comb[ok] += bump[ok]
    return comb


def _irregularity(beats: Ints, first: int, last: int) -> Float:
    """How irregular the beats are around each one: in fibrillation there are no P waves, (beats,)."""
    edge = np.full(NEIGHBOURS, np.nan)
    rr = np.concatenate([edge, np.diff(beats), edge])
    near = np.lib.stride_tricks.sliding_window_view(rr, 2 * NEIGHBOURS)[first:last]
    usual, change = _row_medians(near), _row_medians(np.abs(np.diff(near, axis=1)))
    share = np.where(np.isfinite(near).sum(1) > 2, change / np.maximum(usual, 1), 0)
    return np.asarray(np.minimum(share, MOST_IRREGULAR) / MOST_IRREGULAR, np.float32)


def _row_medians(rows: Floats) -> Floats:
    """Median of each row without its NaN; 0 where there is nothing."""
    order = np.sort(rows, axis=1)  # NaN come last
    n = np.isfinite(rows).sum(1)
    each = np.arange(len(rows))
    middle = (order[each, np.maximum(n - 1, 0) // 2] + order[each, np.minimum(n // 2, rows.shape[1] - 1)]) / 2
    return np.asarray(np.where(n > 0, middle, 0.0))
