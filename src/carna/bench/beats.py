"""How fast beats are found, beside sleepecg, the fastest open detector."""

from __future__ import annotations

import numpy as np

from carna.bench import Row, cpu_seconds
from carna.learn.ecg_beats import TOLERANCE_S, matches

MINUTES = 30


def measure() -> tuple[Row, ...]:
    """Return one row: CPU seconds an hour of one lead, half an hour of a virtual patient with noise."""
    from carna.ecg import find_beats
    from carna.phantom.ecg import electrocardiogram

    truth = electrocardiogram(72.0, seconds=60.0 * MINUTES, hz=250.0, noise_mv=0.05, pvc_share=0.05, seed=1)
    lead = truth.mv[1:2].astype(np.float32)
    hours = MINUTES / 60

    def ours() -> np.ndarray:
        return np.asarray(find_beats(lead, truth.hz).sample / truth.hz)

    mine = cpu_seconds(ours) / hours
    quality = f"F1 {_f1(truth.r_s, ours()):.4f}"
    try:
        from sleepecg import detect_heartbeats
    except ImportError:
        return (Row("one lead, 250 Hz", "none", mine, None, "CPU s per hour", quality),)

    def peer() -> np.ndarray:
        return np.asarray(detect_heartbeats(lead[0].astype(float), truth.hz) / truth.hz)

    theirs = cpu_seconds(peer) / hours
    quality += f" and {_f1(truth.r_s, peer()):.4f}, virtual patient"
    return (Row("one lead, 250 Hz", "sleepecg", mine, theirs, "CPU s per hour", quality),)


def _f1(truth_s: np.ndarray, found_s: np.ndarray) -> float:
    """Return F1, each true beat matched to a found beat of its own within 150 ms."""
    truth, found = (np.round(1000 * np.sort(s)).astype(np.int64) for s in (truth_s, found_s))
    return 2 * matches(truth, found, 1000 * TOLERANCE_S) / (len(truth) + len(found))
