"""Multi-electrode catheters: where electrodes are, which pairs are bipoles, what they would record.

The synthetic electrograms are for tests and teaching: a planar dipole layer that passes each electrode,
whose time is known exactly. No claim about a patient's signals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.ep.mapping.annotate import Annotation
from carna.errors import InputError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Catheter:
    """Electrodes and the pairs that make bipoles.

    Parameters
    ----------
    name : str
    electrodes_mm : (e, 3) float
        In the catheter's own frame.
    pairs : (b, 2) int
    """

    name: str
    electrodes_mm: Floats
    pairs: Ints

    def placed(self, motion: npt.ArrayLike) -> Catheter:
        """Return the catheter after a rigid motion (4, 4) into the patient's frame (LPS mm)."""
        matrix = np.asarray(motion, float)
        return Catheter(self.name, self.electrodes_mm @ matrix[:3, :3].T + matrix[:3, 3], self.pairs)

    @property
    def bipole_mm(self) -> Floats:
        """Where each bipole's value belongs: the middle of its pair, (b, 3) mm."""
        return np.asarray(self.electrodes_mm[self.pairs].mean(axis=1))


def linear(count: int, spacing_mm: float) -> Catheter:
    """Return a catheter of ``count`` electrodes in a row, neighbours paired."""
    at = np.zeros((count, 3))
    at[:, 0] = np.arange(count) * spacing_mm
    return Catheter(f"linear {count}", at, np.stack([np.arange(count - 1), np.arange(1, count)], axis=1))


def grid(rows: int, columns: int, spacing_mm: float) -> Catheter:
    """Return a grid catheter in its x-y plane, neighbours along rows and along columns paired."""
    number = np.arange(rows * columns).reshape(rows, columns)
    at = np.argwhere(number >= 0) * spacing_mm
    pairs = [
        np.c_[number[:, :-1].ravel(), number[:, 1:].ravel()],
        np.c_[number[:-1].ravel(), number[1:].ravel()],
    ]
    return Catheter(
        f"grid {rows} x {columns}",
        np.column_stack([at, np.zeros(len(at))]).astype(float),
        np.concatenate(pairs),
    )


def vote(points_mm: Floats, beats: tuple[Annotation, ...], *, agree_ms: float = 5.0) -> tuple[Floats, Floats]:
    """Return the median time (n,) of each site over several beats and their spread (n,), ms.

    A site whose beats spread (median absolute deviation) by more than ``agree_ms``, or of which fewer than
    half the beats have a time, gets NaN: an unstable contact or an alternating site is no activation time.
    """
    times = np.stack([beat.lat_ms for beat in beats])
    if times.shape[1] != len(points_mm):
        raise InputError(f"{times.shape[1]} times a beat", needed=f"one for each of {len(points_mm)} points")
    if len({beat.rule for beat in beats}) > 1:
        raise InputError("beats annotated by different rules", needed="one rule for all")
    some = np.isfinite(times).any(axis=0)
    middle, spread = np.full(times.shape[1], np.nan), np.full(times.shape[1], np.nan)
    middle[some] = np.nanmedian(times[:, some], axis=0)
    spread[some] = np.nanmedian(np.abs(times[:, some] - middle[some]), axis=0)
    steady = (np.isfinite(times).mean(axis=0) >= 0.5) & (spread <= agree_ms)
    return np.where(steady, middle, np.nan), spread


def synthetic_unipolar(
    times_ms: Floats, rate_hz: float, duration_ms: float, *, amplitude_mv: float = 5.0, width_ms: float = 4.0
) -> Floats:
    """Return unipolar electrograms (n, samples), mV: R then S, steepest descent exactly at each time.

    V(t) = -A e^(1/2) s exp(-s^2 / 2) with s = (t - T) / width, peak to peak 2 A.
    """
    at = np.arange(round(duration_ms * rate_hz / 1000)) * 1000 / rate_hz
    s = (at - np.asarray(times_ms, float)[:, None]) / width_ms
    return np.asarray(-amplitude_mv * np.exp(0.5) * s * np.exp(-(s**2) / 2))


def with_noise(signals_mv: Floats, snr_db: float, seed: int) -> Floats:
    """Return signals with white noise: 20 log10(peak to peak / six standard deviations) = ``snr_db``."""
    size = np.ptp(signals_mv, axis=1, keepdims=True) / 6 / 10 ** (snr_db / 20)
    return np.asarray(signals_mv + size * np.random.default_rng(seed).normal(size=signals_mv.shape))
