"""Rhythm against experts: short strips, episodes of fibrillation, kinds of beats.

Blocks of the AV node and flutter: `carna.learn.ecg_atria`, whose rows come with these.

Whoever is scored was not learned from: strips out of fold (ten folds by a hash of the name), persons of
MIT-BIH and QTDB one left out at a time, CPSC2021 and SVDB never learned from. All sets were looked at while
the method was made, so all splits are ``development``. The beat detector had seen MIT-BIH and QTDB
(`carna.learn.ecg_beats`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carna.ecg import arrhythmia
from carna.ecg.atrial import fibrillation, mean_log_odds
from carna.ecg.holter import holter
from carna.ecg.kind_weights import VENTRICULAR_SCORE
from carna.ecg.kinds import SUPRAVENTRICULAR, UNKNOWN, VENTRICULAR, told, trusted
from carna.ecg.logistic import Logistic
from carna.ecg.strips import read_strip, with_windows
from carna.intervals import wilson
from carna.learn import ecg_atria
from carna.learn.ecg_rhythm_data import ludb_strips
from carna.learn.ecg_rhythm_fit import (
    FITTED,
    FOLDS,
    LABELS,
    Described,
    Material,
    fibrillating_share,
    fit_fibrillation,
    fit_strips,
    fit_ventricular,
    folds_of,
    material,
    plain_windows,
)
from carna.learn.evaluate import Row
from carna.progress import SILENT, Progress

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
FEWEST = 10  # positives: with fewer, counts only
DIVISIONS = 6  # into ten folds: how much a figure owes to one of them
GROUPS = {"N": "sinus", "A": "fibrillation", "O": "other", "~": "noise"}


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows of every set that is there."""
    found = material(data, progress=progress.part(0, 0.6))
    rows: list[Row] = []
    if len(found.names):
        rows += _strip_rows(found)
    progress(0.7, "strips")
    if found.recordings:
        scores = left_out(found.recordings, progress.part(0.7, 0.85))
        for reading in ("all leads", "one lead"):
            rows += _kind_rows(reading, [d for d in found.recordings if d.reading == reading], scores)
        cpsc = [d for d in found.recordings if d.source.set == "CPSC2021" and d.reading == "all leads"]
        taught = [d for d in found.recordings if d.source.set in FITTED]
        if cpsc and taught:
            ventricular = fit_ventricular(taught)
            rows += _fibrillation_rows(cpsc, fit_fibrillation(taught, found, ventricular), ventricular)
    rows += _ludb_rows(data)
    rows += ecg_atria.evaluate(data, progress.part(0.9, 0.98))
    if (data / "nstdb/nstdb.h5").exists():
        rows += _noise_rows(data / "nstdb/nstdb.h5")
    progress(1.0, "noise")
    return tuple(rows)


def strip_predictions(found: Material, division: int = 0) -> Ints:
    """Return the out-of-fold class of every strip, both models fitted without its fold."""
    folds = folds_of(found.names, found.labels, division)
    taught = [d for d in found.recordings if d.source.set in FITTED]
    ventricular = fit_ventricular(taught) if taught else VENTRICULAR_SCORE
    out = np.zeros(len(folds), np.int64)
    for k in range(FOLDS):
        test = folds == k
        if test.any():
            chance = fit_strips(found.strips[~test], found.labels[~test])(found.strips[test])
            rhythm = fit_fibrillation(taught, found, ventricular, ~test)
            odds = [
                mean_log_odds(plain_windows(*found.strip_beats[i], ventricular), rhythm)
                for i in np.flatnonzero(test)
            ]
            out[test] = np.argmax(with_windows(chance, np.array(odds)), 1)
    return out


def strip_scores(truth: Ints, said: Ints) -> Floats:
    """Return F1 of sinus, fibrillation, other, noise, and the Challenge's score: the mean of the first
    three."""
    both = np.array([np.sum((truth == c) & (said == c)) for c in range(4)])
    sizes = np.array([np.sum(truth == c) + np.sum(said == c) for c in range(4)])
    f1 = 2 * both / np.maximum(sizes, 1)
    return np.append(f1, f1[:3].mean())


def _strip_rows(found: Material) -> Iterator[Row]:
    said = strip_predictions(found)
    draws = np.random.default_rng(0).integers(0, len(said), (2000, len(said)))
    spread = np.percentile([strip_scores(found.labels[d], said[d]) for d in draws], (2.5, 97.5), axis=0)
    n = len(said)
    for k, value in enumerate(strip_scores(found.labels, said)):
        yield Row(
            "CinC2017",
            "H",
            "development",
            "rhythm of a one-lead strip, out of fold",
            "f1" if k < 4 else "challenge_score",
            float(value),
            (float(spread[0, k]), float(spread[1, k])),
            n,
            n,
            group=GROUPS[LABELS[k]] if k < 4 else "all",
            positives=int((found.labels == k).sum()) if k < 4 else None,
        )
    for division in range(1, DIVISIONS):
        f1 = float(strip_scores(found.labels, strip_predictions(found, division))[1])
        yield Row(
            "CinC2017", "H", "development", f"rhythm of a one-lead strip, division {division}", "f1", f1,
            None, n, n, group=GROUPS["A"], positives=int((found.labels == LABELS.index("A")).sum()),
        )  # fmt: skip


def _ludb_rows(data: Path) -> Iterator[Row]:
    """Fibrillation in ten seconds of lead I, by the shipped scores: of LUDB they know the beats only."""
    said = [(words, read_strip(lead, rate).kind) for _, words, lead, rate in ludb_strips(data)]
    if not said:
        return
    truth = np.array(["fibrillation" in words for words, _ in said])
    found = np.array([kind == "fibrillation" for _, kind in said])
    n, positives = len(said), int(truth.sum())
    for metric, hits, of in (
        ("sensitivity", int((truth & found).sum()), positives),
        ("specificity", int((~truth & ~found).sum()), n - positives),
        ("ppv", int((truth & found).sum()), int(found.sum())),
    ):
        task = "fibrillation in 10 s of lead I"
        value = hits / max(of, 1)
        yield Row(
            "LUDB", "H", "development", task, metric, value, wilson(hits, of), n, n, positives=positives
        )


def left_out(described: tuple[Described, ...], progress: Progress = SILENT) -> dict[str, Logistic]:
    """Return for every person a ventricular score fitted without that person."""
    taught = [d for d in described if d.source.set in FITTED]
    people = sorted({d.source.person for d in described})
    everyone = fit_ventricular(taught)
    out = {}
    for person in progress.over(people, len(people), "ventricular beats"):
        rest = [d for d in taught if d.source.person != person]
        out[person] = everyone if len(rest) == len(taught) else fit_ventricular(rest)
    return out


def kind_counts(d: Described, score: Logistic) -> NDArray[np.int64]:
    """Return hits, false and missed of V, the same of S, unknown and all beats of a recording.

    Fusion beats and those of unknown class (F, Q) count for neither; a beat not found, or found and called
    unknown, is missed; a found beat where none is annotated is false.
    """
    kind = told(d.features, d.before, d.beats, score).kind
    out = []
    for name, which in (("V", VENTRICULAR), ("S", SUPRAVENTRICULAR)):
        hits = int(np.sum((kind == which) & (d.classes == name)))
        false = int(np.sum((kind == which) & ~np.isin(d.classes, [name, "F", "Q"])))
        out += [hits, false, int(np.sum(d.source.classes == name)) - hits]
    return np.array([*out, int((kind == UNKNOWN).sum()), len(kind)])


def _kind_rows(task: str, described: list[Described], scores: dict[str, Logistic]) -> Iterator[Row]:
    for set_ in sorted({d.source.set for d in described}):
        people: dict[str, NDArray[np.int64]] = {}
        for d in described:
            if d.source.set == set_:
                who = d.source.person
                people[who] = people.get(who, np.zeros(8, np.int64)) + kind_counts(d, scores[who])
        counts = np.array(list(people.values()))
        total = counts.sum(0)
        draws = np.random.default_rng(0).integers(0, len(counts), (2000, len(counts)))
        for k, group in ((0, "ventricular"), (3, "supraventricular")):
            hits, false, missed = (int(x) for x in total[k : k + 3])
            answered = 1 - float(total[6]) / max(1, int(total[7]))
            said = f"kind of beat, {task}, person unseen"
            if hits + missed < FEWEST:
                for metric, count in (("hits", hits), ("false", false), ("missed", missed)):
                    yield Row(
                        set_, "H", "development", said, metric, float(count), None, int(total[7]),
                        len(counts), unit="{beats}", group=group, positives=hits + missed, answered=answered,
                    )  # fmt: skip
                continue
            for metric, other in (("sensitivity", 2), ("ppv", 1)):
                sums = counts[draws].sum(1)
                rates = sums[:, k] / np.maximum(sums[:, k] + sums[:, k + other], 1)
                spread = np.percentile(rates, (2.5, 97.5))
                yield Row(
                    set_, "H", "development", said, metric,
                    hits / max(1, hits + (missed if other == 2 else false)),
                    (float(spread[0]), float(spread[1])) if len(counts) > 3 else None,
                    int(total[7]), len(counts), group=group, positives=hits + missed, answered=answered,
                )  # fmt: skip


def auc(score: Floats, truth: NDArray[np.bool_]) -> float:
    """Return the area under the receiver operating curve (rank sum; ties count half)."""
    from scipy.stats import rankdata

    positives = int(truth.sum())
    ranks = float(rankdata(score)[truth].sum())
    return (ranks - positives * (positives + 1) / 2) / (positives * (len(truth) - positives))


def _fibrillation_rows(cpsc: list[Described], score: Logistic, ventricular: Logistic) -> Iterator[Row]:
    """Windows of 30 beats, episodes, durations and burden of CPSC2021, scores fitted on the other sets."""
    chance, truth = [], []
    episodes = np.zeros(4, np.int64)  # true, of them found, found, of them true
    time = np.zeros(3)  # hit, false, missed seconds
    burdens: dict[str, list[float]] = {}
    for d in cpsc:
        windows = plain_windows(d.beats, d.features, d.before, d.source.rate_hz, ventricular)
        share = fibrillating_share(d, windows)
        clear = (share >= 0.8) | (share <= 0.2)
        chance.append(score(windows.features)[clear, 1])
        truth.append(share[clear] > 0.5)
        found, seconds = _episodes(d, score, ventricular), d.source.ecg.shape[1] / d.source.rate_hz
        real = _merged([(a, min(b, seconds)) for a, b, w in d.source.rhythms if w == "AFIB"])
        long = [r for r in real if r[1] - r[0] >= arrhythmia.FIBRILLATION_S]
        episodes += [
            len(long),
            sum(_overlap(r, found) > 0 for r in long),
            len(found),
            sum(_overlap(f, real) > 0 for f in found),
        ]
        hit = sum(_overlap(f, real) for f in found)
        all_found, all_real = sum(b - a for a, b in found), sum(b - a for a, b in real)
        time += [hit, all_found - hit, all_real - hit]
        burdens.setdefault(d.source.person, []).append(abs(all_found - all_real) / seconds)
    clear_truth = np.concatenate(truth)
    n, people = len(cpsc), len(burdens)

    def row(
        task: str, metric: str, value: float, ci95: tuple[float, float] | None, n: int, positives: int
    ) -> Row:
        return Row("CPSC2021", "H", "development", task, metric, value, ci95, n, people, positives=positives)

    area = auc(np.concatenate(chance), clear_truth)
    yield row(
        "fibrillation, windows of 30 beats", "auroc", area, None, len(clear_truth), int(clear_truth.sum())
    )
    task = "episodes of fibrillation of 30 s and more"
    real_n, hit_n, found_n, true_n = (int(x) for x in episodes)
    yield row(task, "sensitivity", hit_n / max(real_n, 1), wilson(hit_n, real_n), n, real_n)
    yield row(task, "ppv", true_n / max(found_n, 1), wilson(true_n, found_n), n, real_n)
    seconds_n = round(float(time[0] + time[2]))
    for metric, other in (("sensitivity", 2), ("ppv", 1)):
        rate = float(time[0] / max(time[0] + time[other], 1e-9))
        yield row("time in fibrillation, s", metric, rate, None, n, seconds_n)
    error = float(np.mean([np.mean(v) for v in burdens.values()]))
    yield row("burden of fibrillation", "mean_absolute_error", error, None, n, seconds_n)


def _episodes(d: Described, score: Logistic, ventricular: Logistic) -> list[tuple[float, float]]:
    at = d.beats.sample / d.source.rate_hz
    kinds = told(d.features, d.before, d.beats, ventricular)
    chance = fibrillation(at, d.before, kinds.plain, trusted(d.beats), score=score)
    return [(e.start_s, e.stop_s) for e in arrhythmia.fibrillation_episodes(at, chance)]


def _merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    out: list[tuple[float, float]] = []
    for a, b in spans:
        if out and a - out[-1][1] < 0.01:
            out[-1] = (out[-1][0], b)
        else:
            out.append((a, b))
    return out


def _overlap(one: tuple[float, float], others: list[tuple[float, float]]) -> float:
    return float(sum(max(0.0, min(one[1], b) - max(one[0], a)) for a, b in others))


def _noise_rows(path: Path) -> Iterator[Row]:
    """What is found where there is no heart: in the second half of NSTDB, channel by channel."""
    import h5py

    with h5py.File(path) as file:
        for kind, name in (("em", "electrode motion"), ("ma", "muscle"), ("bw", "baseline wander")):
            channels = np.asarray(file[kind]).T[:, 325_000:].astype(np.float32)
            wide = minutes = 0.0
            for lead in channels:
                found = holter(_reader(lead), len(lead), 360.0)
                wide += found.whole.ventricular
                minutes += found.whole.fibrillation_min
            length = channels.size / 360 / 60
            for task, value in (("ventricular beats in noise", wide), ("fibrillation in noise", minutes)):
                yield Row(
                    "NSTDB",
                    "P",
                    "development",
                    task,
                    "rate",
                    value / length,
                    None,
                    channels.shape[0],
                    channels.shape[0],
                    unit="/min" if task.startswith("v") else "1",
                    group=name,
                    positives=0,
                )


def _reader(lead: NDArray[np.float32]) -> Callable[[int, int], NDArray[np.float32]]:
    return lambda start, stop: lead[None, start:stop]
