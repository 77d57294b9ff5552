"""Where waves begin and end, beside the open delineators: LUDB, every lead read as if it were alone.

Quality is the mean F1 of six boundaries (`carna.learn.ecg_waves.macro_f1`). Ours is read by weights that
never saw the person. openecg was learned from LUDB, QTDB and ISP, on which records is not known: its figure
may be flattered. Time is that of one strip of ten seconds of one lead; ours counts finding the beats.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from carna.bench import Row
from carna.learn.ecg_waves import Marked, extents, found, ludb, macro_f1, one_lead, unseen

Floats = npt.NDArray[np.float64]
Extents = Mapping[str, Sequence[Floats]]
Delineator = Callable[[Marked], Extents]
EVERY = 4  # of the recordings, of which all leads are read


def rows() -> Iterator[Row]:
    """Yield ours beside each delineator: lead II of all recordings, every lead of some, 12 leads together."""
    folder = Path(os.environ.get("CARNA_DATA", "../shared/data")) / "ludb/data"
    if not folder.exists():
        return
    marked = [m for m in ludb(folder) if unseen(m.person) is not None]
    cases = {
        "waves, lead II alone": [one_lead(m, 1) for m in marked],
        "waves, every lead alone": [one_lead(m, k) for m in marked[::EVERY] for k in range(len(m.ecg))],
    }
    peers = {name: make() for name, (needs, make) in _PEERS.items() if all(map(find_spec, needs))}
    for case, strips in cases.items():
        mine, quality = _measured(_ours, strips)
        for name in _PEERS:
            if name not in peers:
                yield Row(case, f"{name} (not installed)", mine, None, "CPU ms", f"macro-F1 {quality}")
                continue
            theirs, other = _measured(peers[name], strips)
            said = f"macro-F1 {quality} and {other}, {len(strips)} strips"
            yield Row(case, name, mine, theirs, "CPU ms", said)
    mine, quality = _measured(_ours, marked)
    said = f"macro-F1 {quality}, {len(marked)} recordings"
    yield Row("waves, 12 leads together", "none", mine, None, "CPU ms", said)


def _measured(read: Delineator, strips: list[Marked]) -> tuple[float, str]:
    """Return CPU ms a strip, and macro-F1 with its 95 % interval."""
    read(strips[0])  # warm
    begun = time.process_time()
    got = [read(m) for m in strips]
    spent = time.process_time() - begun
    value, (low, high) = macro_f1(zip(strips, got, strict=True))
    return 1000 * spent / len(strips), f"{value:.4f} ({low:.3f}-{high:.3f})"


def _ours(m: Marked) -> Extents:
    return extents(found(m, unseen(m.person)), m.rate_hz)


def _openecg_boundary() -> Delineator:
    from scipy.signal import resample_poly

    reader = import_module("openecg.deploy").Inference()

    def read(m: Marked) -> Extents:
        # its network knows 250 Hz and windows of ten seconds
        lead = resample_poly(m.ecg[0].astype(float), 250, int(m.rate_hz)).astype(np.float32)
        seen = [
            (b.name.lower(), b.start / 250 + 10 * k, b.end / 250 + 10 * k)
            for k, window in enumerate(reader.predict(lead))
            for b in window
        ]
        return _sorted(seen)

    return read


def _openecg_codec() -> Delineator:
    openecg = import_module("openecg")
    codec = openecg.load_codec_onnx()
    names = {1: "p", 2: "qrs", 3: "t", 4: "qrs"}

    def read(m: Marked) -> Extents:
        coded = openecg.encode(m.ecg[0].astype(np.float32), fs=int(m.rate_hz), model=codec)
        events = coded.events("frame", drop_class=0)
        return _sorted([(names[kind], a / m.rate_hz, b / m.rate_hz) for a, b, kind in events])

    return read


def _neurokit() -> Delineator:
    neurokit2 = import_module("neurokit2")

    def read(m: Marked) -> Extents:
        hz = int(m.rate_hz)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                clean = neurokit2.ecg_clean(m.ecg[0].astype(float), sampling_rate=hz)
                peaks = neurokit2.ecg_peaks(clean, sampling_rate=hz)[1]
                at = neurokit2.ecg_delineate(clean, peaks, sampling_rate=hz, method="dwt")[1]
            except (ValueError, IndexError, ZeroDivisionError):  # it raises on some leads: nothing found
                return _sorted([])
        edges = {
            "p": ("P_Onsets", "P_Offsets"),
            "qrs": ("R_Onsets", "R_Offsets"),
            "t": ("T_Onsets", "T_Offsets"),
        }
        return {
            wave: (np.stack([np.array(at[f"ECG_{e}"], float) / m.rate_hz for e in pair], axis=1),)
            for wave, pair in edges.items()
        }

    return read


def _sorted(seen: list[tuple[str, float, float]]) -> Extents:
    """Sort (wave, begin, end) into waves of one lead."""
    return {
        wave: (np.array([(a, b) for name, a, b in seen if name == wave]).reshape(-1, 2),)
        for wave in ("p", "qrs", "t")
    }


_PEERS: dict[str, tuple[tuple[str, ...], Callable[[], Delineator]]] = {
    "openecg boundary": (("openecg", "ai_edge_litert"), _openecg_boundary),
    "openecg codec": (("openecg", "onnxruntime"), _openecg_codec),
    "neurokit2 dwt": (("neurokit2",), _neurokit),
}
