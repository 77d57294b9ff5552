"""Annotated recordings of the shared sets, and how detected beats are scored against them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Recording:
    """Signal in mV, expert beats, the span they cover, and the lead that single-lead detectors are given."""

    set: str
    name: str
    person: str
    rate_hz: float
    ecg: NDArray[np.floating]
    beats: Ints
    start: float
    stop: float
    lead: int

    def cut(self, rng: np.random.Generator, seconds: float, lead: int) -> Recording:
        """One lead of a random stretch."""
        n = int(seconds * self.rate_hz)
        a = int(rng.integers(self.ecg.shape[1] - n))
        beats = self.beats[(self.beats >= a) & (self.beats < a + n)] - a
        edge = 0.3 * self.rate_hz
        return replace(self, ecg=self.ecg[[lead], a : a + n], beats=beats, start=edge, stop=n - edge, lead=0)


def read_all(data: Path) -> Iterator[Recording]:
    """Yield every annotated recording below ``data``."""
    for reader in (mitbih, qtdb, ludb, cpsc2021, cpsc2019, svdb):
        yield from reader(data)


def _signal(path: Path) -> tuple[NDArray[np.floating], float, list[str]]:
    import wfdb

    record = wfdb.rdrecord(str(path))
    return record.p_signal.T.astype(np.float32), float(record.fs), list(record.sig_name)


def _beats(path: Path, extension: str) -> Ints:
    import wfdb

    marks = wfdb.rdann(str(path), extension)
    return np.array(
        [s for s, c in zip(marks.sample, marks.symbol, strict=True) if c in BEAT_SYMBOLS], np.int64
    )


def _whole(set_: str, path: Path, person: str, beats: Ints, lead: int = 0) -> Recording:
    ecg, rate, _ = _signal(path)
    return Recording(set_, f"{set_}/{path.name}", person, rate, ecg, beats, 0, ecg.shape[1], lead)


def mitbih(data: Path) -> Iterator[Recording]:
    """Six half hours, lead MLII, expert beats from the text tables."""
    for header in sorted((data / "mitbih-9").glob("*.hea")):
        path = header.with_suffix("")
        rows = (
            (data / "mitbih-9/annotations_txt" / f"{path.name}annotations.txt").read_text().splitlines()[1:]
        )
        beats = [int(row.split()[1]) for row in rows if row.split()[2] in BEAT_SYMBOLS]
        names = _signal(path)[2]
        lead = names.index("MLII") if "MLII" in names else 0
        yield _whole("mitbih", path, path.name, np.array(beats, np.int64), lead)


def qtdb(data: Path) -> Iterator[Recording]:
    """Thirteen quarter hours whose beats are all annotated."""
    for marks in sorted((data / "qtdb-subset").glob("*.atr")):
        path = marks.with_suffix("")
        yield _whole(
            "qtdb", path, path.name.removeprefix("sel"), _beats(path, "atr")
        )  # selNNN is MIT-BIH NNN


def ludb(data: Path) -> Iterator[Recording]:
    """Ten seconds of twelve leads, beats of lead II, annotated between the outer beats only."""
    import wfdb

    for header in sorted((data / "ludb/data").glob("*.hea"), key=lambda p: int(p.stem)):
        path = header.with_suffix("")
        ecg, rate, names = _signal(path)
        marks = wfdb.rdann(str(path), "ii")
        beats = np.array([s for s, c in zip(marks.sample, marks.symbol, strict=True) if c == "N"], np.int64)
        start, stop = marks.sample[0] - 0.1 * rate, marks.sample[-1] + 0.1 * rate
        name = f"ludb/{path.name}"
        yield Recording("ludb", name, name, rate, ecg, beats, start, stop, names.index("ii"))


def cpsc2021(data: Path) -> Iterator[Recording]:
    """Twelve Holter excerpts of four people, lead I."""
    for marks in sorted((data / "cinc2021-sample/cpsc2021").glob("*.atr")):
        path = marks.with_suffix("")
        yield _whole("cpsc2021", path, path.name.rsplit("_", 1)[0], _beats(path, "atr"))


def cpsc2019(data: Path) -> Iterator[Recording]:
    """Hard ten-second strips; the outer half seconds are not scored."""
    from scipy.io import loadmat

    folder = data / "cinc2021-sample/cpsc2019"
    for path in sorted((folder / "data").glob("*.mat")):
        beats = loadmat(folder / "ref" / path.name.replace("data", "R"))["R_peak"].ravel().astype(np.int64)
        name = f"cpsc2019/{path.stem}"
        yield Recording("cpsc2019", name, name, 500.0, loadmat(path)["ecg"].T, beats, 250, 4750, 0)


def svdb(data: Path) -> Iterator[Recording]:
    """One half hour at 128 Hz with supraventricular beats."""
    path = data / "svdb-800/800"
    yield _whole("svdb", path, "svdb800", _beats(path, "atr"))


def cinc_noise(data: Path) -> dict[str, NDArray[np.float64]]:
    """The three noise recordings of NSTDB, (2, 650000) each at 360 Hz."""
    import h5py

    with h5py.File(data / "nstdb/nstdb.h5") as file:
        return {kind: np.asarray(file[kind]).T for kind in ("em", "ma", "bw")}


def matched(truth: Ints, found: Ints, tolerance: float) -> tuple[int, list[int], list[int]]:
    """Pair each true beat with at most one found beat within ``tolerance`` samples: hits, false, missed."""
    i = j = hits = 0
    false: list[int] = []
    missed: list[int] = []
    while i < len(truth) and j < len(found):
        off = abs(int(found[j]) - int(truth[i]))
        if off > tolerance:
            if found[j] < truth[i]:
                false.append(int(found[j]))
                j += 1
            else:
                missed.append(int(truth[i]))
                i += 1
        elif j + 1 < len(found) and abs(int(found[j + 1]) - int(truth[i])) < off:
            false.append(int(found[j]))
            j += 1
        else:
            hits, i, j = hits + 1, i + 1, j + 1
    return hits, false + found[j:].tolist(), missed + truth[i:].tolist()


def score(r: Recording, found: Ints) -> tuple[int, int, int]:
    """Hits, false and missed beats inside the annotated span (+-150 ms; CPSC2019 +-75 ms, its own rule)."""
    inside = [b[(b >= r.start) & (b <= r.stop)] for b in (r.beats, found)]
    hits, false, missed = matched(*inside, (0.075 if r.set == "cpsc2019" else 0.15) * r.rate_hz)
    return hits, len(false), len(missed)


def counts(recordings: list[Recording], found: dict[str, Ints]) -> dict[str, Ints]:
    """Sum hits, false and missed beats by set."""
    total: dict[str, Ints] = {}
    for r in recordings:
        total[r.set] = total.get(r.set, np.zeros(3, np.int64)) + score(r, found[r.name])
    return total


def f1(hits: int, false: int, missed: int) -> float:
    """F1 in percent."""
    return 200 * hits / (2 * hits + false + missed)


def table(recordings: list[Recording], found: dict[str, Ints]) -> str:
    """The markdown table of `docs/ecg-beats.md`."""
    rows = ["| set | beats | F1 % | Se % | PPV % | hits / false / missed |", "|---|---|---|---|---|---|"]
    for name, (hits, false, missed) in counts(recordings, found).items():
        rows.append(
            f"| {name} | {hits + missed} | {f1(hits, false, missed):.2f} "
            f"| {100 * hits / (hits + missed):.2f} "
            f"| {100 * hits / (hits + false):.2f} | {hits} / {false} / {missed} |"
        )
    return "\n".join(rows)
