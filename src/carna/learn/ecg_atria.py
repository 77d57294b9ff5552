"""Atria that do not lead one beat each: AV block and flutter, on virtual recordings and real ones.

There is no complete block in any set here, and there are three flutters: sensitivity is that on **virtual**
recordings (`carna.phantom.ecg.arrhythmia`, truth P: ten seconds, twelve leads, three levels of noise; with
noise of NSTDB's second half where it is there), specificity that on both. Real recordings (truth H) are read
as they are, long ones in pieces of 30 s, one piece every 90 s; a person counts as false when any piece does.
All limits were set while looking at these sets and at virtual recordings of other seeds: ``development``.
Recordings labelled as paced are left out: a pacemaker dissociates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carna.doors import read
from carna.ecg import find_beats
from carna.ecg.criteria import CRITERIA
from carna.ecg.criteria.base import Answer, Tracing
from carna.ecg.delineate import delineate
from carna.ecg.flutter import flutter
from carna.ecg.kinds import NORMAL, SUPRAVENTRICULAR, beat_kinds
from carna.ecg.measure import Matrix
from carna.ecg.p_waves import follow
from carna.ecg.rhythm import rhythm
from carna.findings import Statement
from carna.intervals import wilson
from carna.learn.ecg_rhythm_data import recordings
from carna.learn.ecg_statements import SETS, millivolts
from carna.learn.evaluate import Row
from carna.phantom.ecg import LEADS, RHYTHMS, arrhythmia, electrocardiogram, twelve
from carna.progress import SILENT, Progress
from carna.study import Ecg

Floats = NDArray[np.floating]
SECOND, WENCKEBACH, MOBITZ, HIGH, THIRD, FLUTTER = NAMES = (
    "second-degree AV block",
    "second-degree AV block, Wenckebach",
    "second-degree AV block, Mobitz II",
    "high-grade AV block",
    "third-degree AV block",
    "atrial flutter",
)
_RULES = {c.name: c for c in CRITERIA if c.name in NAMES}
FIBRILLATION = "atrial fibrillation"
EXPECTED = {
    **dict.fromkeys((r for r in RHYTHMS if r.startswith("Wenckebach")), frozenset({SECOND, WENCKEBACH})),
    "Mobitz II": frozenset({SECOND, MOBITZ}),
    "2:1 block": frozenset({SECOND}),
    "3:1 block": frozenset({SECOND, HIGH}),
    **dict.fromkeys((r for r in RHYTHMS if r.startswith("complete")), frozenset({THIRD})),
    **dict.fromkeys((r for r in RHYTHMS if r.startswith("flutter")), frozenset({FLUTTER})),
}
SEEDS = range(1000, 1040)
NOISE_MV = (0.02, 0.04, 0.06)
PIECE_S, EVERY_S = 30.0, 90.0
NEAR_S = 0.06
_NOTHING = Matrix(None, None, None, None, None, None, {}, None, None, None, {}, 0)
FEWEST = 10


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """Verdicts of `NAMES`, and the P waves of the train when there is one."""

    verdict: dict[str, Answer]
    train_s: NDArray[np.float64] | None


def told(ecg: Floats, rate_hz: float, leads: tuple[str, ...]) -> Told | None:
    """Judge AV block and flutter in a recording; None with fewer than three beats."""
    beats = find_beats(ecg, rate_hz)
    if len(beats.sample) < 3:
        return None
    kinds = beat_kinds(ecg, rate_hz, beats)
    waves = delineate(ecg, rate_hz, beats.sample)
    plain = np.isin(kinds.kind, (NORMAL, SUPRAVENTRICULAR))
    followed = follow(ecg, rate_hz, beats, waves, plain)
    at_s = beats.sample / rate_hz
    tracing = Tracing(
        _NOTHING,
        rhythm=rhythm(at_s, beats.confidence),
        conduction=followed.conduction,
        flutter=flutter(ecg, rate_hz, at_s, leads).present,
    )
    train = None if followed.train is None else followed.train.at_s
    return Told({name: rule.judge(tracing).verdict for name, rule in _RULES.items()}, train)


def evaluate(data: Path, progress: Progress = SILENT) -> Iterator[Row]:
    """Yield the rows of virtual and of real recordings."""
    yield from _real(data)
    progress(0.3, "real recordings")
    yield from _virtual("virtual", None)
    progress(0.6, "virtual rhythms")
    if (data / "nstdb/nstdb.h5").exists():
        yield from _virtual("virtual, NSTDB em at 12 dB", _nstdb(data / "nstdb/nstdb.h5", "em"))
    progress(1.0, "virtual rhythms in noise")


# --- virtual ------------------------------------------------------------------------------------------


def _nstdb(path: Path, kind: str) -> Floats:
    """Second half of a noise record, ``(channels, n)``, 360 Hz."""
    import h5py

    with h5py.File(path) as file:
        return np.asarray(file[kind], np.float64).T[:, 325_000:]


def noisy(mv: Floats, hz: float, noise: Floats, decibel: float, seed: int) -> Floats:
    """Add noise, another piece to each of the eight measured leads, at a ratio of standard deviations."""
    random = np.random.default_rng(seed)
    n = mv.shape[1]
    clock = np.arange(n) / hz * 360.0
    eight = mv[[0, 1, 6, 7, 8, 9, 10, 11]].astype(np.float64)
    for k in range(len(eight)):
        start = int(random.integers(noise.shape[1] - int(clock[-1]) - 2))
        part = noise[random.integers(len(noise)), start : start + int(clock[-1]) + 2]
        piece = np.interp(clock, np.arange(len(part)), part)
        piece -= piece.mean()
        eight[k] += piece * eight[k].std() / max(float(piece.std()), 1e-9) * 10 ** (-decibel / 20)
    return twelve(eight)


def _virtual(set_: str, noise: Floats | None) -> Iterator[Row]:
    given: dict[str, list[Told | None]] = {}
    hits = wrong = missed = 0
    for name in (*RHYTHMS, FIBRILLATION):
        given[name] = []
        for seed in SEEDS:
            mv = NOISE_MV[seed % 3] if noise is None else NOISE_MV[0]
            if name == FIBRILLATION:
                made = electrocardiogram(90.0, rhythm="af", variability=0.2, noise_mv=mv, seed=seed)
            else:
                made = arrhythmia(name, noise_mv=mv, seed=seed)
            ecg = made.mv if noise is None else noisy(made.mv, made.hz, noise, 12.0, seed)
            answer = told(ecg, made.hz, LEADS)
            given[name].append(answer)
            if answer is not None and answer.train_s is not None and not name.startswith("flutter"):
                a, b = answer.train_s[[0, -1]]
                truth = made.atria_s[(made.atria_s > a - NEAR_S) & (made.atria_s < b + NEAR_S)]
                near = np.abs(answer.train_s[:, None] - truth) <= NEAR_S
                hits, missed = hits + int(near.any(0).sum()), missed + int((~near.any(0)).sum())
                wrong += int((~near.any(1)).sum())
    for name, expected in EXPECTED.items():
        asked = max(expected, key=NAMES.index)
        yield _rate(set_, f"criterion: {asked}", "sensitivity", name, given[name], asked, "met")
    for asked in NAMES:
        others = [a for r, some in given.items() if asked not in EXPECTED.get(r, frozenset()) for a in some]
        yield _rate(set_, f"criterion: {asked}", "specificity", "all", others, asked, "met")
    task = f"P waves of a train within {1000 * NEAR_S:.0f} ms"
    n = hits + missed
    for metric, of in (("sensitivity", n), ("ppv", hits + wrong)):
        yield Row(
            set_, "P", "development", task, metric, hits / max(of, 1), wilson(hits, of), of, len(SEEDS),
            positives=n,
        )  # fmt: skip


def _rate(
    set_: str, task: str, metric: str, group: str, given: list[Told | None], asked: str, met: Answer
) -> Row:
    """Return Se (what cannot be judged is missed) or Sp (of all: what is not called is not false)."""
    said = [None if a is None else a.verdict[asked] for a in given]
    hits = sum(v == met for v in said)
    n = len(said)
    count = hits if metric == "sensitivity" else n - hits
    answered = sum(v not in (None, "not assessable") for v in said) / max(n, 1)
    return Row(
        set_, "P", "development", task, metric, count / max(n, 1), wilson(count, n), n, n, group=group,
        positives=n if metric == "sensitivity" else 0, answered=answered,
    )  # fmt: skip


# --- real ---------------------------------------------------------------------------------------------


def _real(data: Path) -> Iterator[Row]:
    """Counts of persons with and without a label, by criterion and set."""
    people: dict[str, dict[str, list[tuple[frozenset[str], Told]]]] = defaultdict(lambda: defaultdict(list))
    for set_, person, labels, ecg, hz, leads in (*_twelve(data), *_pieces(data)):
        answer = told(ecg, hz, leads)
        if answer is not None:
            people[set_][person].append((labels, answer))
    for set_, each in people.items():
        for asked in (SECOND, THIRD, FLUTTER):
            said = {
                label: [
                    [a.verdict[asked] for labels, a in pieces if (asked in labels) == label]
                    for pieces in each.values()
                ]
                for label in (True, False)
            }
            positives = [v for v in said[True] if v]
            negatives = [v for v, true in zip(said[False], said[True], strict=True) if v and not true]
            task = f"criterion: {asked}, by person"
            if positives:
                hits = sum("met" in v for v in positives)
                yield Row(
                    set_, "H", "development", task, "hits", float(hits), None, len(positives),
                    len(positives), unit="{persons}", positives=len(positives),
                )  # fmt: skip
            kept = sum("met" not in v for v in negatives)
            n = len(negatives)
            flat = [v for some in negatives for v in some]
            yield Row(
                set_, "H", "development", task, "specificity", kept / max(n, 1), wilson(kept, n), n, n,
                positives=len(positives), answered=1 - flat.count("not assessable") / max(len(flat), 1),
            )  # fmt: skip


Piece = tuple[str, str, frozenset[str], Floats, float, tuple[str, ...]]


def _twelve(data: Path) -> Iterator[Piece]:
    for set_, folder in SETS.items():
        if not (data / folder).exists():
            continue
        for case in read(data / folder).cases:
            ecg = next((p for s in case.studies for p in s.parts if isinstance(p, Ecg)), None)
            if ecg is None:
                continue
            said = " ".join(
                i.rule for f in case.findings for i in f.items if isinstance(i, Statement)
            ).lower()
            if "pacing" in said or "pacemaker presence" in said:
                continue
            labels = frozenset({FLUTTER} if "flutter" in said or "164890007" in said else ())
            values = millivolts(ecg, data / folder / f"{case.patient.id}.hea")
            yield set_, case.patient.id, labels, values, ecg.rate_hz, ecg.leads


def _pieces(data: Path) -> Iterator[Piece]:
    """Pieces of 30 s with one label; block of the second degree is "BII" in MIT-BIH."""
    words = {"AFL": FLUTTER, "BII": SECOND, "Atrial flutter": FLUTTER}
    for r in recordings(data):
        leads = tuple(str(k) for k in range(len(r.ecg)))
        seconds = r.ecg.shape[1] / r.rate_hz
        for start in np.arange(0.0, seconds - PIECE_S, EVERY_S if seconds > 600 else PIECE_S):
            stop = start + PIECE_S
            here = {w for a, b, w in r.rhythms if a < stop and b > start}
            if len(here) > 1 and here & set(words):
                continue  # the rhythm changes
            part = r.ecg[:, int(start * r.rate_hz) : int(stop * r.rate_hz)]
            labels = frozenset(words[w] for w in here if w in words)
            yield r.set, r.person, labels, part, r.rate_hz, leads
