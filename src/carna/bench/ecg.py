"""The electrocardiogram reader beside the open tools, on the same recordings in the same run.

Beats: half hours of MIT-BIH where ``CARNA_DATA`` has them, else a virtual patient; F1 within 150 ms
stands beside the time. Waves: `carna.bench.waves`. Peers that are not installed are left out and named.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from carna.bench import Row, cpu_seconds, waves
from carna.learn.ecg_beats import Recording, mitbih, score

Samples = npt.NDArray[np.int64]
Detector = Callable[[npt.NDArray[np.floating], float], Samples]


def measure() -> tuple[Row, ...]:
    """Return the rows: beats beside each installed peer, then what ours costs on longer work."""
    recordings = list(_recordings())
    hours = sum(r.ecg.shape[1] / r.rate_hz for r in recordings) / 3600
    mine, f1 = _time(_ours, recordings)
    rows = []
    for name, (package, peer) in _PEERS.items():
        if find_spec(package) is None:
            rows.append(
                Row("beats, one lead", f"{name} (not installed)", mine / hours, None, "CPU s per hour")
            )
            continue
        theirs, quality = _time(peer, recordings)
        said = f"F1 {f1:.4f} and {quality:.4f}, {len(recordings)} recordings{_TAUGHT}"
        rows.append(Row("beats, one lead", name, mine / hours, theirs / hours, "CPU s per hour", said))
    return (*rows, *waves.rows(), *_reading())


# Speed and quality of one run stand together, but this quality is no accuracy: see docs/ecg-beats.md.
_TAUGHT = "; MIT-BIH taught our detector"


def _recordings() -> Iterator[Recording]:
    """Yield ten minutes of each half hour of MIT-BIH, or a virtual patient."""
    folder = Path(os.environ.get("CARNA_DATA", "../shared/data")) / "mitbih-9"
    if folder.exists():
        for r in mitbih(folder):
            stop = int(600 * r.rate_hz)
            lead = r.ecg[r.lead : r.lead + 1, :stop]
            yield Recording(r.person, lead, r.rate_hz, r.beats[r.beats < stop], 0, stop)
        return
    from carna.phantom.ecg import electrocardiogram

    made = electrocardiogram(72.0, seconds=600.0, hz=250.0, noise_mv=0.05, pvc_share=0.05, seed=1)
    beats = np.round(made.r_s * made.hz).astype(np.int64)
    lead = made.mv[1:2].astype(np.float32)
    yield Recording("virtual", lead, made.hz, beats, 0, lead.shape[1])


def _time(detector: Detector, recordings: list[Recording]) -> tuple[float, float]:
    """Return CPU seconds over all recordings, and F1."""
    found: list[Samples] = []

    def work() -> None:
        found[:] = [np.asarray(detector(r.ecg[0], r.rate_hz), np.int64) for r in recordings]

    seconds = cpu_seconds(work, repeat=1)
    hits, false, missed = np.sum(
        [score(r, np.sort(f)) for r, f in zip(recordings, found, strict=True)], axis=0
    )
    return seconds, float(2 * hits / (2 * hits + false + missed))


def _reading() -> Iterator[Row]:
    """Time a whole 12-lead reading, and three hours of two leads."""
    from carna.ecg.criteria import judge
    from carna.ecg.criteria.reading import read
    from carna.ecg.holter import holter
    from carna.phantom.ecg import LEADS, electrocardiogram

    short = electrocardiogram(70.0, noise_mv=0.02, seed=1)

    def reading() -> int:
        tracing = read(short.mv, short.hz, LEADS, age_a=50.0, sex="male").tracing
        return 0 if tracing is None else len(judge(tracing))

    said = f"{reading()} criteria judged"
    yield Row("12 leads x 10 s, full reading", "none", 1000 * cpu_seconds(reading), None, "ms", said)
    long = electrocardiogram(70.0, seconds=3600.0, hz=250.0, noise_mv=0.03, pvc_share=0.03, seed=2).mv[:3]
    leads = long.astype(np.float32)
    hour = cpu_seconds(lambda: holter(lambda a, b: leads[:, a:b], leads.shape[1], 250.0), repeat=1)
    yield Row("Holter, 3 leads", "none", 24 * hour, None, "CPU s per 24 h", "from one hour, virtual patient")


def _ours(lead: npt.NDArray[np.floating], rate_hz: float) -> Samples:
    from carna.ecg import find_beats

    return find_beats(lead[None], rate_hz).sample


def _sleepecg(lead: npt.NDArray[np.floating], rate_hz: float) -> Samples:
    from sleepecg import detect_heartbeats

    return np.asarray(detect_heartbeats(lead.astype(float), rate_hz))


def _xqrs(lead: npt.NDArray[np.floating], rate_hz: float) -> Samples:
    from wfdb.processing import xqrs_detect

    return np.asarray(xqrs_detect(lead.astype(float), rate_hz, verbose=False))


def _neurokit(lead: npt.NDArray[np.floating], rate_hz: float) -> Samples:
    import neurokit2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clean = neurokit2.ecg_clean(lead.astype(float), sampling_rate=int(rate_hz))
        return np.asarray(neurokit2.ecg_peaks(clean, sampling_rate=int(rate_hz))[1]["ECG_R_Peaks"])


def _biosppy(lead: npt.NDArray[np.floating], rate_hz: float) -> Samples:
    from biosppy.signals.ecg import hamilton_segmenter

    return np.asarray(hamilton_segmenter(lead.astype(float), rate_hz)["rpeaks"])


_PEERS: dict[str, tuple[str, Detector]] = {
    "sleepecg": ("sleepecg", _sleepecg),
    "wfdb xqrs": ("wfdb", _xqrs),
    "neurokit2": ("neurokit2", _neurokit),
    "biosppy hamilton": ("biosppy", _biosppy),
}
