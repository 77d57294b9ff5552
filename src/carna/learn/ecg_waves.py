"""Boundaries of P, QRS and T against those cardiologists marked: LUDB lead by lead, QTDB by two readers.

A found boundary is paired with a marked one when each is the other's nearest and they lie within 150 ms.
Rows give, for each boundary, the mean error (``bias``, found minus marked), its standard deviation over
beats (``sd``) and over the medians of each recording and lead (``sd_of_medians``, what the limits of the
Common Standards for Electrocardiography bound), ``mae``, ``sensitivity`` and ``ppv``.

LUDB is marked between the outer beats only: what lies more than 100 ms outside the marks is not scored. In
QTDB only some beats are marked, and both leads together, so there is no predictive value; the two leads'
boundaries are joined by `joined`. The second reader is compared with the first on the same beats.

LUDB taught the shipped weights (`carna.ecg.delineate_weights`). Its people are therefore read by the weights
of the fold that never saw them (`unseen`), which `tests/ecg/fit_delineation.py` leaves beside this page;
anyone else is read as shipped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.doors import read
from carna.ecg import find_beats
from carna.ecg.delineate import FIDUCIALS, Waves, delineate
from carna.ecg.delineate_weights import Network, from_arrays, networks
from carna.ecg.measure import measure
from carna.ecg.median import global_fiducials, median_beat
from carna.findings import Events, Item, Statement
from carna.intervals import wilson
from carna.learn.evaluate import Row
from carna.progress import SILENT, Progress
from carna.study import Ecg

Split = Literal["fitted", "development", "test"]
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
TOLERANCE_S = 0.15
EDGE_S = 0.1
DRAWS = 2000
Z95 = 1.96
# what a boundary may be off to count as found (Martinez et al. 2004, doi:10.1109/TBME.2003.821031)
MARTINEZ_S = {"p_on": 0.05, "p_off": 0.05, "qrs_on": 0.04, "qrs_off": 0.04, "t_on": 0.05, "t_off": 0.1}
_PER_LEAD = "WFDB annotations lead by lead"
_WAVES = ("p", "qrs", "t")


@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """A recording and one reader's boundaries, seconds.

    Attributes
    ----------
    person : str
    ecg : (leads, samples) float32, mV
    rate_hz : float
    at : mapping of fiducial to one array a lead
        For example ``at["t_off"][3]``; sorted. Peaks are there where the reader marked them.
    span : (leads, 2) float
        First and last mark of each lead; NaN where nothing was marked.
    fibrillation : bool
        The record's header says atrial fibrillation.
    """

    person: str
    ecg: npt.NDArray[np.float32]
    rate_hz: float
    at: Mapping[str, tuple[Floats, ...]]
    span: Floats
    fibrillation: bool = False


@dataclass(slots=True, eq=False)
class Tally:
    """Errors of one boundary: one entry for each recording and lead that was marked."""

    person: list[str]
    error_ms: list[Floats]
    missed: list[int]
    false: list[int]

    @property
    def errors(self) -> Floats:
        """All errors, ms."""
        return np.concatenate([np.zeros(0), *self.error_ms])

    @property
    def medians(self) -> Floats:
        """Median error of each recording and lead with at least one pair, ms."""
        return np.array([np.median(e) for e in self.error_ms if len(e)])

    @property
    def people(self) -> int:
        """How many people had a pair."""
        return len({p for p, e in zip(self.person, self.error_ms, strict=True) if len(e)})


def match(
    truth: Floats, found: Floats, tolerance: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Pair values that are each other's nearest and at most ``tolerance`` apart.

    Parameters
    ----------
    truth, found : (n,), (m,) float
        Sorted.

    Returns
    -------
    (k,), (k,) int
        Indices into ``truth`` and ``found``.
    """
    if not len(truth) or not len(found):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    forth, back = _nearest(truth, found), _nearest(found, truth)
    mutual = (back[forth] == np.arange(len(truth))) & (np.abs(found[forth] - truth) <= tolerance)
    return np.flatnonzero(mutual), forth[mutual]


def _nearest(of: Floats, among: Floats) -> Indices:
    right = np.clip(np.searchsorted(among, of), 1, max(1, len(among) - 1))
    right = np.minimum(right, len(among) - 1)
    left = np.maximum(right - 1, 0)
    return np.where(np.abs(among[left] - of) <= np.abs(among[right] - of), left, right)


def _distance(of: Floats, among: Floats) -> Floats:
    return np.abs(among[_nearest(of, among)] - of) if len(among) else np.full(len(of), np.inf)


def tally(pairs: Iterable[tuple[Marked, Waves]]) -> dict[str, Tally]:
    """Score found boundaries lead by lead, of waves that lie inside the lead's marked span."""
    tallies: dict[str, Tally] = defaultdict(lambda: Tally([], [], [], []))
    for marked, waves in pairs:
        for name in marked.at:
            wave = name.split("_")[0]
            peak = f"{wave}_peak" if f"{wave}_peak" in marked.at else name
            found = waves[name] / marked.rate_hz
            first, last = waves[f"{wave}_on"] / marked.rate_hz, waves[f"{wave}_off"] / marked.rate_hz
            for lead, truth in enumerate(marked.at[name]):
                low, high = marked.span[lead]
                if not np.isfinite(low):
                    continue
                begins, ends = (np.where(np.isnan(v), found[lead], v) for v in (first[lead], last[lead]))
                inside = (begins >= low - EDGE_S) & (ends <= high + EDGE_S)
                there = np.sort(found[lead][inside & np.isfinite(found[lead])])
                i, j = match(truth, there, TOLERANCE_S)
                entry = tallies[name]
                entry.person.append(marked.person)
                entry.error_ms.append((there[j] - truth[i]) * 1000)
                entry.missed.append(len(truth) - len(i))
                # one whose wave was marked, but not this boundary of it, is not false
                spare = np.delete(there, j)
                entry.false.append(int((_distance(spare, marked.at[peak][lead]) > TOLERANCE_S).sum()))
    return dict(tallies)


def intervals95(t: Tally, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of every figure of a boundary, by bootstrap over people.

    Returns
    -------
    dict of str to (low, high)
        "bias", "sd", "sd_of_medians", "mae" (ms), "sensitivity" and "ppv" (fractions).
    """
    rows = {who: np.zeros(9) for who in t.person}
    for who, e, missed, false in zip(t.person, t.error_ms, t.missed, t.false, strict=True):
        m = float(np.median(e)) if len(e) else 0.0
        some = float(len(e) > 0)
        rows[who] += (len(e), e.sum(), (e * e).sum(), np.abs(e).sum(), some, m, m * m, missed, false)
    n, e, ee, size, leads, m, mm, missed, false = _drawn(np.stack(list(rows.values())), seed).T
    n, leads = np.maximum(n, 1), np.maximum(leads, 1)
    drawn = {
        "bias": e / n,
        "sd": np.sqrt(np.maximum(ee / n - (e / n) ** 2, 0)),
        "sd_of_medians": np.sqrt(np.maximum(mm / leads - (m / leads) ** 2, 0)),
        "mae": size / n,
        "sensitivity": n / (n + missed),
        "ppv": n / (n + false),
    }
    out = {name: _between(v) for name, v in drawn.items()}
    for name, errors in (("sensitivity", t.missed), ("ppv", t.false)):
        if not any(errors):
            out[name] = wilson(t.people, t.people)  # nobody with an error to draw
    return out


def _drawn(each: Floats, seed: int) -> Floats:
    """Sums over people drawn with replacement: (people, ...) to (draws, ...)."""
    people = len(each)
    times = np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), DRAWS)
    return np.asarray(np.tensordot(times.astype(float), each, 1))


def _between(drawn: Floats) -> tuple[float, float]:
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def macro_f1(
    pairs: Iterable[tuple[Marked, Mapping[str, Sequence[Floats]]]],
) -> tuple[float, tuple[float, float]]:
    """Score any reader's waves: the mean F1 of the boundaries of P, QRS and T, tolerances of Martinez.

    Parameters
    ----------
    pairs : iterable of (Marked, found)
        ``found["p"][lead]`` is (n, 2) float, where waves begin and end, s; NaN for what was not found. Only
        what lies within the marked span of the lead is scored.

    Returns
    -------
    F1, (low, high)
        With its 95 % interval by bootstrap over people.
    """
    counts: dict[str, Floats] = defaultdict(lambda: np.zeros((len(MARTINEZ_S), 3)))
    for marked, found in pairs:
        for row, (name, tolerance) in enumerate(MARTINEZ_S.items()):
            wave, edge = name.split("_")
            for truth, waves, (low, high) in zip(
                marked.at.get(name, ()), found[wave], marked.span, strict=False
            ):
                first, last = np.fmin(waves[:, 0], waves[:, 1]), np.fmax(waves[:, 0], waves[:, 1])
                there = waves[(first >= low - EDGE_S) & (last <= high + EDGE_S), int(edge == "off")]
                there = np.sort(there[np.isfinite(there)])
                hits = len(match(truth, there, tolerance)[0])
                counts[marked.person][row] += (hits, len(truth) - hits, len(there) - hits)

    def score(total: Floats) -> Floats:
        hits, missed, false = np.moveaxis(total, -1, 0)
        return np.asarray((2 * hits / np.maximum(2 * hits + missed + false, 1)).mean(-1))

    each = np.stack(list(counts.values()))
    each = each[:, each[:, :, :2].sum((0, 2)) > 0]
    return float(score(each.sum(0))), _between(score(_drawn(each, 0)))


def extents(waves: Waves, rate_hz: float) -> dict[str, tuple[Floats, ...]]:
    """Return where waves begin and end, seconds, as `macro_f1` takes them."""
    out = {}
    for wave in _WAVES:
        edges = np.stack([waves[f"{wave}_on"], waves[f"{wave}_off"]], axis=-1) / rate_hz
        out[wave] = tuple(e[np.isfinite(e).any(1)] for e in edges)
    return out


@cache
def _folds() -> tuple[dict[str, int], dict[int, tuple[Network, Network]]]:
    with np.load(str(files("carna.learn") / "ecg_waves_folds.npz")) as table:
        whose = dict(zip(table["people"].tolist(), table["fold"].tolist(), strict=True))
        arrays: dict[int, dict[str, npt.NDArray[np.floating]]] = defaultdict(dict)
        for key in table.files:
            fold, _, name = key.partition(".")
            if name:
                arrays[int(fold)][name] = table[key]
    return whose, {k: from_arrays(a) for k, a in arrays.items()}


def unseen(person: str) -> tuple[Network, Network] | None:
    """Return the weights learned without this person of LUDB, the shipped ones for anyone who taught none.

    None when there are no such weights: the fold was not learned.
    """
    whose, by = _folds()
    return by.get(whose[person]) if person in whose else networks()


def read_unseen(marked: Iterable[Marked]) -> Iterator[tuple[Marked, Waves]]:
    """Read recordings by weights that never saw the person; leave out those for whom there are none."""
    for m in marked:
        by = unseen(m.person)
        if by is not None:
            yield m, found(m, by)


def one_lead(marked: Marked, lead: int) -> Marked:
    """Return one lead as if it were all there is."""
    rows = slice(lead, lead + 1)
    at = {name: marks[rows] for name, marks in marked.at.items()}
    return Marked(marked.person, marked.ecg[rows], marked.rate_hz, at, marked.span[rows], marked.fibrillation)


def false_p(pairs: Iterable[tuple[Marked, Waves]]) -> tuple[int, int, int]:
    """Return P waves found, beats and leads looked at, and people, in records of atrial fibrillation."""
    false = looked = people = 0
    for marked, waves in pairs:
        if not marked.fibrillation:
            continue
        people += 1
        qrs = waves["qrs_on"] / marked.rate_hz
        inside = (qrs >= marked.span[:, :1]) & (qrs <= marked.span[:, 1:])
        looked += int(inside.sum())
        false += int((np.isfinite(waves["p_on"]) & inside).sum())
    return false, looked, people


def intervals(pairs: Iterable[tuple[Marked, Waves]]) -> dict[str, tuple[Floats, Floats]]:
    """Compare the global intervals of each recording with those that follow from its marks in the same way.

    Returns
    -------
    dict of str to (errors, sd), each (records,) float
        "P", "PR", "QRS" and "QT": found minus marked, and the standard deviation stated with it, ms; for the
        records in which both have the interval.
    """
    out: dict[str, list[tuple[float, float]]] = {"P": [], "PR": [], "QRS": [], "QT": []}
    for marked, every in pairs:
        waves = _of_beats(every, np.asarray(np.isfinite(every["qrs_peak"]).any(0)))
        beats = np.round(np.nanmedian(waves["qrs_peak"], axis=0)).astype(np.int64)
        median = median_beat(marked.ecg, marked.rate_hz, beats)
        if median is None:
            continue
        names = tuple(str(k) for k in range(len(marked.ecg)))
        ours = measure(median, global_fiducials(waves, median, marked.rate_hz), names)
        theirs = measure(
            median, global_fiducials(as_waves(marked, beats / marked.rate_hz), median, marked.rate_hz), names
        )
        for name, a, b in (
            ("P", ours.p, theirs.p),
            ("PR", ours.pr, theirs.pr),
            ("QRS", ours.qrs, theirs.qrs),
            ("QT", ours.qt, theirs.qt),
        ):
            if a is not None and b is not None:
                out[name].append((a.ms - b.ms, a.sd_ms))
    return {name: (np.array([e for e, _ in v]), np.array([s for _, s in v])) for name, v in out.items()}


def _of_beats(waves: Waves, kept: npt.NDArray[np.bool_]) -> Waves:
    return Waves(
        waves.at[..., kept],
        waves.sd_ms[..., kept],
        waves.confidence[..., kept],
        waves.p[..., kept],
        waves.t[..., kept],
    )


def joined(waves: Waves) -> Waves:
    """Join the leads: the mean of each boundary, weighted by its inverse variance; one row."""
    weight = np.where(np.isnan(waves.at), 0.0, 1.0 / np.nan_to_num(waves.sd_ms, nan=1.0) ** 2)
    # at least half the leads that see the beat must see the wave
    seen = np.isfinite(waves["qrs_on"]).sum(0)
    enough = np.isfinite(waves.at).sum(1) * 2 >= np.maximum(seen, 1)
    total = weight.sum(1)
    mean = (np.nan_to_num(waves.at) * weight).sum(1) / np.maximum(total, 1e-12)
    mean = np.where(enough & (total > 0), mean, np.nan)
    sd = np.where(np.isnan(mean), np.nan, 1 / np.sqrt(np.maximum(total, 1e-12)))
    return Waves(
        mean[:, None],
        sd[:, None].astype(np.float32),
        waves.confidence.max(1, keepdims=True),
        waves.p.mean(0, keepdims=True),
        waves.t.mean(0, keepdims=True),
    )


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the errors of every boundary in LUDB and QTDB."""
    rows: list[Row] = []
    if (data / "ludb/data").exists():
        rows += _ludb_rows(data / "ludb/data")
        progress(0.5, "LUDB")
    if (data / "qtdb-subset").exists():
        rows += _qtdb_rows(data / "qtdb-subset")
    progress(1.0, "QTDB")
    return tuple(rows)


def _ludb_rows(folder: Path) -> Iterator[Row]:
    """Every person read by weights that never saw them: all leads together, then each as if alone."""
    pairs = list(read_unseen(ludb(folder)))
    yield from _rows("LUDB", "development", "boundary", tally(pairs), ppv=True)
    for name, (e, sd) in intervals(pairs).items():
        values = {"bias": e.mean(), "sd": e.std(), "mae": np.abs(e).mean()}
        for metric, value in values.items():
            yield Row(
                "LUDB", "H", "development", "global interval", metric, float(value), None, len(e), len(e),
                "ms", name,
            )  # fmt: skip
        held = int((np.abs(e) < Z95 * sd).sum())
        yield Row(
            "LUDB", "H", "development", "global interval", "stated 95 % interval holds", held / len(e),
            wilson(held, len(e)), len(e), len(e), "1", name,
        )  # fmt: skip
    one = list(read_unseen(one_lead(m, k) for m, _ in pairs for k in range(len(m.ecg))))
    yield from _rows("LUDB", "development", "boundary, one lead alone", tally(one), ppv=True)
    yield from _false_p_rows("false P wave in fibrillation", pairs)
    yield from _false_p_rows("false P wave in fibrillation, one lead alone", one)
    for group, part in (("12 leads", pairs), ("one lead alone", one)):
        value, ci = macro_f1((m, extents(w, m.rate_hz)) for m, w in part)
        n, people = sum(len(v) for m, _ in part for v in m.at["qrs_on"]), len(pairs)
        yield Row("LUDB", "H", "development", "six boundaries", "macro_f1", value, ci, n, people, "1", group)


def _false_p_rows(task: str, pairs: Iterable[tuple[Marked, Waves]]) -> Iterator[Row]:
    false, n, people = false_p(pairs)
    if n:
        yield Row("LUDB", "H", "development", task, "rate", false / n, wilson(false, n), n, people)


def found(marked: Marked, by: tuple[Network, Network] | None = None) -> Waves:
    """Read a recording with the product's own beats."""
    beats = find_beats(marked.ecg, marked.rate_hz).sample
    return delineate(marked.ecg, marked.rate_hz, beats, by=by)


def _qtdb_rows(folder: Path) -> Iterator[Row]:
    """Compare with both readers, and the readers with each other on the beats both marked."""
    first = {m.person: m for m in qtdb(folder, "q1c")}
    second = {m.person: m for m in qtdb(folder, "q2c")}
    ours = {who: joined(found(m)) for who, m in first.items()}
    every = tally((m, ours[who]) for who, m in first.items())
    yield from _rows("QTDB", "development", "boundary", every, ppv=False)
    both = {who: shared(first[who], second[who]) for who in second if who in first}
    task = "boundary, beats both readers marked"
    twice = tally((m, ours[who]) for who, (m, _) in both.items())
    yield from _rows("QTDB", "development", task, twice, ppv=False)
    yield from _rows(
        "QTDB",
        "test",
        "second reader against first",
        tally((m, as_waves(o)) for m, o in both.values()),
        ppv=False,
    )


def shared(a: Marked, b: Marked) -> tuple[Marked, Marked]:
    """Keep of two readings the boundaries both have, paired."""
    kept_a, kept_b = {}, {}
    for name in a.at.keys() & b.at.keys():
        i, j = match(a.at[name][0], b.at[name][0], TOLERANCE_S)
        kept_a[name], kept_b[name] = (a.at[name][0][i],), (b.at[name][0][j],)
    return (
        Marked(a.person, a.ecg, a.rate_hz, kept_a, a.span),
        Marked(b.person, b.ecg, b.rate_hz, kept_b, b.span),
    )


def as_waves(marked: Marked, beats_s: Floats | None = None) -> Waves:
    """See a reader's boundaries as if they had been found, one column a mark or, if given, a beat.

    A mark belongs to the beat at most 0.5 s after a P wave, at most 0.15 s from a QRS mark, and at most 0.8 s
    before the end of T, that is nearest.
    """
    leads = len(next(iter(marked.at.values())))
    n = max((len(v[0]) for v in marked.at.values()), default=0) if beats_s is None else len(beats_s)
    at = np.full((9, leads, n), np.nan)
    reach = {"p": (-0.5, 0.0), "qrs": (-0.15, 0.25), "t": (0.0, 0.8)}
    for name, each in marked.at.items():
        low, high = reach[name.split("_")[0]]
        for lead, times in enumerate(each):
            row = at[FIDUCIALS.index(name), lead]
            if beats_s is None:
                row[: len(times)] = times * marked.rate_hz
                continue
            for time in times:
                after = time - beats_s
                mine = np.flatnonzero((after >= low) & (after <= high))
                if len(mine):
                    row[mine[np.argmin(np.abs(after[mine]))]] = time * marked.rate_hz
    ones = np.ones((9, leads, n), np.float32)
    seen = np.where(np.isfinite(at[3]), np.float32(1), np.float32(np.nan)) if beats_s is not None else ones[0]
    return Waves(at, ones, ones, seen, seen)


def _rows(set_: str, split: Split, task: str, tallies: dict[str, Tally], *, ppv: bool) -> Iterator[Row]:
    for name in FIDUCIALS:
        if name not in tallies or len(tallies[name].errors) < 2:
            continue
        t = tallies[name]
        e, people, ci = t.errors, t.people, intervals95(t)
        values = {
            "bias": float(e.mean()),
            "sd": float(e.std()),
            "sd_of_medians": float(t.medians.std()),
            "mae": float(np.abs(e).mean()),
        }
        for metric, value in values.items():
            yield Row(set_, "H", split, task, metric, value, ci[metric], len(e), people, "ms", name)
        marked, placed = len(e) + sum(t.missed), len(e) + sum(t.false)
        rates = {"sensitivity": marked} | ({"ppv": placed} if ppv else {})
        for metric, n in rates.items():
            yield Row(set_, "H", split, task, metric, len(e) / n, ci[metric], n, people, "1", name, marked)


def ludb(folder: Path) -> Iterator[Marked]:
    """Yield the recordings of LUDB, marked lead by lead."""
    for person, ecg, items in _records(folder, _PER_LEAD):
        by_id = {item.id: item for item in items if isinstance(item, Events)}
        at: dict[str, tuple[Floats, ...]] = {}
        for wave in _WAVES:
            whole, peaks = (
                by_id.get(f"waves.{wave}"),
                by_id.get("beats" if wave == "qrs" else f"peaks.{wave}"),
            )
            starts, ends = by_id.get(f"starts.{wave}"), by_id.get(f"ends.{wave}")
            at[f"{wave}_on"] = _by_lead(ecg.leads, (whole, "onset_s"), (starts, "onset_s"))
            at[f"{wave}_peak"] = _by_lead(ecg.leads, (peaks, "onset_s"))
            at[f"{wave}_off"] = _by_lead(ecg.leads, (whole, "offset_s"), (ends, "onset_s"))
        span = np.full((len(ecg.leads), 2), np.nan)
        for lead in range(len(ecg.leads)):
            marks = np.concatenate([v[lead] for v in at.values()])
            if len(marks):
                span[lead] = marks.min(), marks.max()
        af = any(isinstance(i, Statement) and i.code == codes.ATRIAL_FIBRILLATION for i in items)
        yield Marked(person, ecg.values.array, ecg.rate_hz, at, span, af)


def _by_lead(leads: tuple[str, ...], *edges: tuple[Events | None, str]) -> tuple[Floats, ...]:
    """Sort edges of events into the leads of the recording."""
    found: list[list[float]] = [[] for _ in leads]
    for events, edge in edges:
        if events is not None and events.lead_index is not None:
            for lead, time in zip(events.lead_index, getattr(events, edge), strict=True):
                found[leads.index(events.leads[lead])].append(float(time))
    return tuple(np.sort(np.array(times)) for times in found)


def qtdb(folder: Path, reader: str) -> Iterator[Marked]:
    """Yield the recordings of QTDB with the marks of one reader: ``q1c`` or ``q2c``."""
    for person, ecg, items in _records(folder, f"WFDB annotator {reader}"):
        by_id = {item.id: item for item in items if isinstance(item, Events)}
        at: dict[str, tuple[Floats, ...]] = {}
        for wave in _WAVES:
            on = [e.onset_s for k in ("waves", "starts") if (e := by_id.get(f"{k}.{wave}")) is not None]
            whole, ends = by_id.get(f"waves.{wave}"), by_id.get(f"ends.{wave}")
            off = [whole.offset_s] if whole is not None and whole.offset_s is not None else []
            off += [ends.onset_s] if ends is not None else []
            for name, parts in ((f"{wave}_on", on), (f"{wave}_off", off)):
                if parts:
                    at[name] = (np.sort(np.concatenate(parts)),)
        if at:
            marks = np.concatenate([v[0] for v in at.values()])
            yield Marked(person, ecg.values.array, ecg.rate_hz, at, np.array([[marks.min(), marks.max()]]))


def _records(folder: Path, annotator: str) -> Iterator[tuple[str, Ecg, list[Item]]]:
    """Yield patient, recording and the items of one annotator with those of the record's header."""
    for case in read(folder).cases:
        ecg = next((p for p in case.studies[0].parts if isinstance(p, Ecg)), None)
        said = {f.manifest.application: f.items for f in case.findings}
        if ecg is not None and annotator in said:
            yield case.patient.id, ecg, [*said[annotator], *said.get("WFDB header", ())]
