"""The surrogates beside the steady solver that taught them, in error and in time, on trees never seen.

The forest is fixed: `COUNT` trees of style ``stable`` of which exactly `PREVALENCE` have a ratio of 0.80 or
less where the vessel is 1.5 mm wide. A lesion has one value, the ratio at the tail of its segment; a vessel,
which goes on where it stays widest, has one, at its last tail of 1.5 mm. Truth is the solver's, so its own
row is exact by definition, and the question is what a net would buy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.flow.surrogate import Segments, surrogate
from carna.flow.surrogate.models import NAMES
from carna.flow.virtual import Forest, grow
from carna.learn.evaluate import Row
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SET: Final = "virtual trees, stable, held out"
COUNT: Final = 2400
PREVALENCE: Final = 0.30
SEED: Final = 900
LEAST: Final = 0.30  # share of the diameter that makes a lesion
WIDE_MM: Final = 1.5
BAND: Final = (0.75, 0.85)
DRAWS: Final = 1000


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows; nothing under ``data`` is read."""
    test = held_out()
    found = answers(test)
    progress(0.3, "surrogates")
    rows = [row for name, ratio in found.items() for row in _errors(test, name, ratio)]
    progress(0.9, "intervals")
    return (*rows, *_times(test))


@final
@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Trees that no surrogate saw.

    Attributes
    ----------
    forest : Forest
    segments : Segments
        Of all its trees, more than `kept`.
    truth : (s,) float
    kept : (t,) bool
        Trees that count.
    units : mapping of str to (k,) int
        Segments whose tails are read: one a ``lesion``, one a ``vessel``.
    """

    forest: Forest
    segments: Segments
    truth: Floats
    kept: Bools
    units: Mapping[str, Ints]


def held_out() -> HeldOut:
    """Return the fixed forest."""
    forest = grow(COUNT * 3 // 2, style="stable", seed=SEED)
    truth = forest.ratio()
    segments = Segments.of_forest(forest)
    last = forest.points[1:] - 1
    wide = 2 * forest.reference_mm[last] >= WIDE_MM
    ill = np.minimum.reduceat(np.where(wide, truth, 1.0), forest.start[:-1]) <= 0.80
    wanted = round(PREVALENCE * COUNT)
    kept = np.zeros(len(forest), bool)
    kept[np.flatnonzero(ill)[:wanted]] = True
    kept[np.flatnonzero(~ill)[: COUNT - wanted]] = True
    owner = np.repeat(np.arange(len(forest)), np.diff(forest.start))
    narrowed = np.unique(forest.lesions.segment[forest.lesions.depth >= LEAST])
    units = {
        "lesion": narrowed[wide[narrowed] & kept[owner[narrowed]]],
        "vessel": np.flatnonzero(_last_wide(forest, segments, wide) & kept[owner]),
    }
    return HeldOut(forest, segments, truth, kept, MappingProxyType(units))


def _last_wide(forest: Forest, segments: Segments, wide: Bools) -> Bools:
    """Mark each vessel's last segment that is still wide."""
    head = forest.reference_mm[forest.points[:-1] + 1]
    inner = np.flatnonzero(segments.parent >= 0)
    # Of each parent's children the widest goes on; it is the last one written.
    inner = inner[np.argsort(head[inner], kind="stable")]
    after = np.full(len(segments), -1)
    after[segments.parent[inner]] = inner
    goes_on = (after >= 0) & wide[np.maximum(after, 0)]
    return np.asarray(wide & ~goes_on)


def answers(test: HeldOut) -> Mapping[str, Floats]:
    """Return every method's ratio at all tails, the formula's first."""
    found = {"one pass": test.segments.one_pass()}
    found |= {name: surrogate(name)(test.segments) for name in NAMES}
    return MappingProxyType(found)


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Unit:
    """Values of one kind of unit by one method, and how often each tree is drawn."""

    ours: Floats
    truth: Floats
    tree: Ints
    draws: npt.NDArray[np.int16]

    def sums(self, value: Floats | Bools) -> Floats:
        """Return a sum over all units, then over those of every draw: (1 + draws,)."""
        per_tree = np.bincount(self.tree, value, self.draws.shape[1])
        return np.concatenate([[per_tree.sum()], self.draws @ per_tree])


def _errors(test: HeldOut, name: str, ratio: Floats) -> Iterator[Row]:
    owner = np.repeat(np.arange(len(test.forest)), np.diff(test.forest.start))
    place = np.cumsum(test.kept) - 1
    random = np.random.default_rng(0)
    draws = random.multinomial(COUNT, np.full(COUNT, 1 / COUNT), DRAWS).astype(np.int16)
    for unit, at in test.units.items():
        truth = test.truth[at]
        for group, chosen in (("all", truth > -1), ("0.75-0.85", (truth >= BAND[0]) & (truth <= BAND[1]))):
            here = at[chosen]
            values = _Unit(ratio[here], test.truth[here], place[owner[here]], draws)
            for row in _unit(values, group):
                yield replace(row, task=f"ratio per {unit}, {name}")


def _unit(unit: _Unit, group: str) -> Iterator[Row]:
    trees = len(np.unique(unit.tree))
    count = unit.sums(np.ones(len(unit.truth)))

    def row(metric: str, values: Floats, positives: int | None = None) -> Row:
        good = values[1:][np.isfinite(values[1:])]
        low, high = np.percentile(good, (2.5, 97.5)) if len(good) else (np.nan, np.nan)
        return Row(
            SET, "P", "test", "", metric, float(values[0]),
            (float(low), float(high)), len(unit.truth), trees, "1", group, positives,
        )  # fmt: skip

    off = unit.ours - unit.truth
    bias = unit.sums(off) / count
    sd = np.sqrt(np.maximum(unit.sums(off**2) / count - bias**2, 0))
    yield row("bias", bias)
    yield row("limits_low", bias - 1.96 * sd)
    yield row("limits_high", bias + 1.96 * sd)
    yield row("mae", unit.sums(np.abs(off)) / count)
    for cut in (0.75, 0.80):
        ill, said = unit.truth <= cut, unit.ours <= cut
        positives = int(ill.sum())
        if positives in (0, len(ill)):
            continue
        with np.errstate(all="ignore"):
            yield row(f"sensitivity@{cut:.2f}", unit.sums(ill & said) / unit.sums(ill), positives)
            yield row(f"specificity@{cut:.2f}", unit.sums(~ill & ~said) / unit.sums(~ill), positives)
        yield row(f"accuracy@{cut:.2f}", unit.sums(ill == said) / count, positives)
        yield row(f"auroc@{cut:.2f}", _auroc(unit, ill), positives)


def _auroc(unit: _Unit, ill: Bools) -> Floats:
    """Return the share of pairs in order, ties half, of all trees and of every draw."""
    order = np.argsort(unit.ours, kind="stable")
    score, ill, tree = unit.ours[order], ill[order], unit.tree[order]
    # Equal scores share a place.
    group = np.cumsum(np.append(True, np.diff(score) > 0)) - 1
    found = []
    for weight in (np.ones(len(score)), *(drawn[tree].astype(float) for drawn in unit.draws)):
        sick, well = (np.bincount(group, weight * who) for who in (ill, ~ill))
        above = well.sum() - np.cumsum(well)
        pairs = sick.sum() * well.sum()
        found.append(float((sick * (above + 0.5 * well)).sum() / pairs) if pairs else np.nan)
    return np.array(found)


def _times(test: HeldOut) -> Iterator[Row]:
    """Yield the CPU time a tree costs, many at once, the description of its segments included."""
    some = grow(500, style="stable", seed=SEED + 1)
    count = len(some)
    some.ratio()

    def of(work: Callable[[], object]) -> float:
        best = np.inf
        for _ in range(3):
            began = time.process_time()
            work()
            best = min(best, time.process_time() - began)
        return best / count * 1e6

    methods: dict[str, Callable[[], object]] = {
        "steady solver": some.ratio,
        "one pass": lambda: Segments.of_forest(some).one_pass(),
        **{name: (lambda n=name: surrogate(n)(Segments.of_forest(some))) for name in NAMES},  # type: ignore[misc]
    }
    for name, work in methods.items():
        task = f"CPU time a tree, {name}"
        yield Row(SET, "P", "test", task, "mean", of(work), None, count, count, "us")
