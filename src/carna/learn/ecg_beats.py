"""Beats found against beats annotated by cardiologists: six public sets, one lead as is usual, and all leads.

A found beat is right within 150 ms of an annotated one (75 ms in CPSC2019, its own rule), each
annotated beat once, inside the annotated span. MIT-BIH, QTDB and LUDB taught the detector
(`carna.ecg.beat_weights`): their split is ``fitted`` and are no accuracy; the cross-validated
figures stand in the documentation. All sets were looked at while the method was made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.doors import read
from carna.ecg import find_beats
from carna.findings import Events
from carna.learn.evaluate import Row
from carna.progress import SILENT, Progress
from carna.study import Ecg

Samples = npt.NDArray[np.int64]
TOLERANCE_S = 0.15
FITTED = ("MIT-BIH", "QTDB", "LUDB")
# The beats among the mnemonics of the text tables of MIT-BIH.
_BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A recording, its annotated beats, the span they cover, and the lead a single-lead reader is given."""

    person: str
    ecg: npt.NDArray[np.float32]
    rate_hz: float
    beats: Samples
    start: float
    stop: float
    lead: int = 0
    tolerance_s: float = TOLERANCE_S


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return sensitivity, positive predictive value and F1 of every set that is there."""
    sets: tuple[tuple[str, str, Callable[[Path], Iterator[Recording]]], ...] = (
        ("MIT-BIH", "mitbih-9", mitbih),
        ("QTDB", "qtdb-subset", annotated),
        ("LUDB", "ludb/data", ludb),
        ("CPSC2021", "cinc2021-sample/cpsc2021", annotated),
        ("CPSC2019", "cinc2021-sample/cpsc2019", cpsc2019),
        ("SVDB", "svdb-800", annotated),
    )
    rows: list[Row] = []
    for n, (name, folder, recordings) in enumerate(sets):
        if (data / folder).exists():
            there = list(recordings(data / folder))
            rows += _rows(name, there, "one lead")
            if max(len(r.ecg) for r in there) > 1:
                rows += _rows(name, there, "all leads")
        progress((n + 1) / len(sets), name)
    return tuple(rows)


def _rows(name: str, recordings: list[Recording], task: str) -> Iterator[Row]:
    """Count hits, false and missed beats by person; intervals are bootstrapped over people."""
    counts: dict[str, npt.NDArray[np.int64]] = defaultdict(lambda: np.zeros(3, np.int64))
    for r in recordings:
        leads = r.ecg if task == "all leads" else r.ecg[r.lead : r.lead + 1]
        counts[r.person] += score(r, find_beats(leads, r.rate_hz).sample)
    people = np.array(list(counts.values()))
    draws = np.random.default_rng(0).integers(0, len(people), (2000, len(people)))
    n = int(people[:, 0].sum() + people[:, 2].sum())
    for metric, of in (("sensitivity", (0, 2)), ("ppv", (0, 1)), ("f1", (0, 1, 2))):
        sums = people[draws].sum(1)
        spread = np.percentile([_rate(s, of) for s in sums], (2.5, 97.5))
        yield Row(
            name,
            "H",
            "fitted" if name in FITTED else "development",
            f"beats, {task}",
            metric,
            _rate(people.sum(0), of),
            (float(spread[0]), float(spread[1])) if len(people) > 1 else None,
            n,
            len(people),
            positives=n,
        )


def _rate(counts: npt.NDArray[np.int64], of: tuple[int, ...]) -> float:
    """Return hits over hits plus what ``of`` names; for F1 hits count twice."""
    hits, weight = int(counts[0]), 2 if len(of) == 3 else 1
    return weight * hits / max(1, weight * hits + int(sum(counts[i] for i in of if i)))


def score(r: Recording, found: Samples) -> tuple[int, int, int]:
    """Return hits, false and missed beats inside the annotated span."""
    truth = r.beats[(r.beats >= r.start) & (r.beats <= r.stop)]
    found = found[(found >= r.start) & (found <= r.stop)]
    hits = matches(truth, found, r.tolerance_s * r.rate_hz)
    return hits, len(found) - hits, len(truth) - hits


def matches(truth: Samples, found: Samples, tolerance: float) -> int:
    """Return how many true beats pair with a found one of their own within ``tolerance`` samples."""
    hits = i = j = 0
    while i < len(truth) and j < len(found):
        off = abs(int(found[j]) - int(truth[i]))
        if off > tolerance:
            if found[j] < truth[i]:
                j += 1
            else:
                i += 1
        elif j + 1 < len(found) and abs(int(found[j + 1]) - int(truth[i])) < off:
            j += 1
        else:
            hits, i, j = hits + 1, i + 1, j + 1
    return hits


def annotated(folder: Path) -> Iterator[Recording]:
    """Yield records whose annotator ``atr`` marks every beat; whole length, first lead."""
    for person, ecg, said in _records(folder):
        beats = said.get("WFDB annotator atr")
        if beats is not None:
            at = np.round(beats.onset_s * ecg.rate_hz).astype(np.int64)
            # Of CPSC2021's data_P_k, P is the person; of QTDB's selNNN, NNN is the MIT-BIH person.
            who = person.rsplit("_", 1)[0] if person.startswith("data_") else person.removeprefix("sel")
            yield Recording(who, ecg.values.array, ecg.rate_hz, at, 0, ecg.values.shape[1])


def mitbih(folder: Path) -> Iterator[Recording]:
    """Yield the half hours of MIT-BIH, lead MLII where there is one, beats from the text tables kept here."""
    for person, ecg, _ in _records(folder):
        table = folder / "annotations_txt" / f"{person}annotations.txt"
        rows = [row.split() for row in table.read_text().splitlines()[1:]]
        beats = np.array([int(row[1]) for row in rows if row[2] in _BEATS], np.int64)
        lead = next((n for n, name in enumerate(ecg.leads) if name.upper() in ("MLII", "II")), 0)
        yield Recording(person, ecg.values.array, ecg.rate_hz, beats, 0, ecg.values.shape[1], lead)


def ludb(folder: Path) -> Iterator[Recording]:
    """Yield the ten seconds of LUDB: beats of lead II, which are annotated between the outer waves only."""
    for person, ecg, said in _records(folder, waves=True):
        events = said["WFDB annotations lead by lead"]
        lead = ecg.leads.index("II")
        mine = events.lead_index == events.leads.index("II") if events.lead_index is not None else slice(None)
        beats = np.round(events.onset_s[mine] * ecg.rate_hz).astype(np.int64)
        span = said["span"].onset_s * ecg.rate_hz
        edge = 0.1 * ecg.rate_hz
        yield Recording(person, ecg.values.array, ecg.rate_hz, beats, span[0] - edge, span[-1] + edge, lead)


def cpsc2019(folder: Path) -> Iterator[Recording]:
    """Yield the hard ten-second strips of CPSC2019; their outer half seconds are not scored."""
    from scipy.io import loadmat

    for path in sorted((folder / "data").glob("*.mat")):
        beats = loadmat(folder / "ref" / path.name.replace("data", "R"))["R_peak"].ravel().astype(np.int64)
        ecg = loadmat(path)["ecg"].T.astype(np.float32)
        yield Recording(path.stem, ecg, 500.0, beats, 250, 4750, tolerance_s=0.075)


def _records(folder: Path, *, waves: bool = False) -> Iterator[tuple[str, Ecg, dict[str, Events]]]:
    """Yield patient, recording and the beats of each annotator; with ``waves`` the span of lead II too."""
    for case in read(folder).cases:
        ecg = next((p for p in case.studies[0].parts if isinstance(p, Ecg)), None)
        if ecg is None:
            continue
        said: dict[str, Events] = {}
        for findings in case.findings:
            for item in findings.items:
                if isinstance(item, Events) and item.id == "beats" and item.code == codes.QRS_COMPLEX:
                    said[findings.manifest.application] = item
            if waves:
                said |= _span(findings.items)
        yield case.patient.id, ecg, said


def _span(items: tuple[object, ...]) -> dict[str, Events]:
    """Return the waves of lead II, first to last, as the span that was annotated."""
    waves = [i for i in items if isinstance(i, Events) and i.id.startswith("waves.") and "II" in i.leads]
    edges = [
        edge[i.lead_index == i.leads.index("II")]
        for i in waves
        for edge in (i.onset_s, i.offset_s)
        if i.lead_index is not None and edge is not None
    ]
    if not edges:
        return {}
    at = np.sort(np.concatenate(edges))
    return {
        "span": Events(
            id="span",
            code=codes.QRS_COMPLEX,
            onset_s=at,
            types=(codes.QRS_COMPLEX,),
            type_index=np.zeros(len(at), np.int64),
        )
    }
