"""Fit the three small models of rhythm: ventricular beats, fibrillating windows, one-lead strips.

What is fitted without whom is decided by the caller; `folds_of` says in which fold a strip is, by a hash of
its name, so that out-of-fold figures can be reproduced anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carna.ecg.atrial import Windows, rhythm_windows
from carna.ecg.beats import Beats, find_beats
from carna.ecg.kinds import (
    CONFIDENCE,
    TRUST,
    crossed,
    describe_kinds,
    told,
    trusted,
)
from carna.ecg.logistic import Logistic
from carna.ecg.strips import describe_strip
from carna.learn.ecg_rhythm_data import Labelled, recordings, strips
from carna.learn.logistic import fit_logistic
from carna.progress import SILENT, Progress

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FOLDS = 10
LABELS = "NAO~"  # in the order of `carna.ecg.strips.CLASSES`
FITTED = ("MIT-BIH", "QTDB")
READINGS: Mapping[str, slice] = {"all leads": slice(None), "one lead": slice(0, 1), "other lead": slice(1, 2)}
PER_READING = 2.0  # in the window model one reading of a long recording counts as much as so many strips
VENTRICULAR_RIDGE = 400.0  # 50,000 beats, but of 18 persons
# Every label once would make the common one too likely to find the rare ones, equal classes the reverse.
STRIP_WEIGHT = {"N": 1.0, "A": 1.6, "O": 2.0, "~": 1.5}


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """A labelled recording with the beats found in some of its leads (`READINGS`) and their description.

    ``classes`` are those of the found beats: N, S, V, F, Q, or "-" for a false one.
    """

    source: Labelled
    reading: str
    beats: Beats
    features: NDArray[np.float32]
    before: NDArray[np.float32]
    classes: NDArray[np.str_]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """All that is fitted and judged: recordings, windows of strips, strips."""

    recordings: tuple[Described, ...]
    names: tuple[str, ...]
    labels: Ints
    strips: Floats
    strip_beats: tuple[tuple[Beats, NDArray[np.float32], NDArray[np.float32], float], ...]


def folds_of(names: Sequence[str], labels: Ints, division: int = 0) -> Ints:
    """Return the fold 0 to 9 of every strip: dealt out within a label, in the order of a hash of the name.

    Other divisions put their number before the name.
    """
    salt = f"{division}:" if division else ""
    order = np.argsort([sha256((salt + n).encode()).hexdigest() for n in names])
    out = np.zeros(len(names), np.int64)
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        out[mine] = np.arange(len(mine)) % FOLDS
    return out


def material(data: Path, *, progress: Progress = SILENT) -> Material:
    """Read and describe everything once: recordings with all their leads, and each of two leads alone."""
    described = []
    for r in progress.part(0, 0.7).over(recordings(data), 32, "recordings"):
        for reading, rows_of in READINGS.items():
            ecg = r.ecg[rows_of]
            beats = find_beats(ecg, r.rate_hz)
            features, before = describe_kinds(ecg, r.rate_hz, beats)
            described.append(Described(r, reading, beats, features, before, found_classes(r, beats)))
    names, labels, rows, parts = [], [], [], []
    for name, label, lead, rate in progress.part(0.7, 1).over(strips(data), 201, "strips"):
        beats = find_beats(lead[None], rate)
        names.append(name)
        labels.append(LABELS.index(label))
        rows.append(describe_strip(lead, rate, beats))
        features, before = describe_kinds(lead[None], rate, beats)
        parts.append((beats, features, before, rate))
    return Material(tuple(described), tuple(names), np.array(labels), np.array(rows), tuple(parts))


def found_classes(r: Labelled, beats: Beats) -> NDArray[np.str_]:
    """Give each found beat the class of the annotated one within 150 ms, or "-"."""
    out = np.full(len(beats.sample), "-")
    if not len(beats.sample):
        return out
    right = np.clip(np.searchsorted(beats.sample, r.beats), 1, max(len(beats.sample) - 1, 1))
    near = np.where(
        np.abs(beats.sample[right - 1] - r.beats)
        <= np.abs(beats.sample[np.minimum(right, len(beats.sample) - 1)] - r.beats),
        right - 1,
        np.minimum(right, len(beats.sample) - 1),
    )
    close = np.abs(beats.sample[near] - r.beats) <= 0.15 * r.rate_hz
    out[near[close]] = r.classes[close]
    return out


def fit_ventricular(described: Iterable[Described]) -> Logistic:
    """Fit the score of `carna.ecg.kinds`: beats of a person and class count by the root of their number.

    Single leads teach what a poor lead looks like: without them noise passes for ventricular beats.
    """
    rows, truth, weight = [], [], []
    for d in described:
        kept = np.isin(d.classes, list("NSV")) & (d.beats.trust >= TRUST) & (d.beats.confidence >= CONFIDENCE)
        wide = d.classes[kept] == "V"
        count = np.array([max((~wide).sum(), 1), max(wide.sum(), 1)])
        rows.append(crossed(d.features[kept]))
        truth.append(wide.astype(np.int64))
        weight.append(count[truth[-1]] ** -0.5)
    return fit_logistic(
        np.concatenate(rows), np.concatenate(truth), 2, np.concatenate(weight), VENTRICULAR_RIDGE
    )


def fibrillating_share(d: Described, found: Windows) -> Floats:
    """Return the share of beats of every window that lie in annotated fibrillation."""
    inside = np.concatenate([[0], np.cumsum(d.source.fibrillates(d.beats.sample / d.source.rate_hz))])
    return np.asarray((inside[found.last + 1] - inside[found.first]) / (found.last + 1 - found.first))


def fit_fibrillation(
    described: Iterable[Described],
    found: Material,
    ventricular: Logistic,
    taught: NDArray[np.bool_] | None = None,
) -> Logistic:
    """Fit the window score: a strip counts once, a reading of a long recording two and a half times for each
    of its rhythms.

    Parameters
    ----------
    described : iterable of Described
        Long recordings to learn from.
    found : Material
        Where the strips are; ``taught`` says which to learn from, all when absent. Strips labelled noise
        teach nothing.
    ventricular : Logistic
        Which beats are left out.
    """
    rows, truth, weight = [], [], []

    def add(x: Floats, y: Ints, total: float) -> None:
        for c in (0, 1):
            n = int((y == c).sum())
            if n:
                rows.append(x[y == c])
                truth.append(np.full(n, c))
                weight.append(np.full(n, total / n))

    for d in described:
        seen = plain_windows(d.beats, d.features, d.before, d.source.rate_hz, ventricular)
        share = fibrillating_share(d, seen)
        pure = (share > 0.99) | (share < 0.01)
        add(seen.features[pure][::5], (share[pure][::5] > 0.5).astype(np.int64), PER_READING)
    for k, strip in enumerate(found.strip_beats):
        if LABELS[found.labels[k]] != "~" and (taught is None or taught[k]):
            x = plain_windows(*strip, ventricular).features
            add(x, np.full(len(x), int(LABELS[found.labels[k]] == "A")), 1.0)
    return fit_logistic(np.concatenate(rows), np.concatenate(truth), 2, np.concatenate(weight), 10.0)


def fit_strips(x: Floats, labels: Ints) -> Logistic:
    """Fit the four-class model of `carna.ecg.strips`."""
    weight = np.array([STRIP_WEIGHT[c] for c in LABELS])[labels]
    return fit_logistic(x, labels, len(LABELS), weight)


def plain_windows(
    beats: Beats, features: NDArray[np.float32], before: NDArray[np.float32], rate_hz: float, score: Logistic
) -> Windows:
    """Return the windows of plain intervals, ectopic beats found with ``score``."""
    kinds = told(features, before, beats, score)
    return rhythm_windows(beats.sample / rate_hz, before, kinds.plain, trusted(beats))
