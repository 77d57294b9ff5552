"""Teach and judge the trees of `carna.ecg.second`: LUDB by person out of fold, CinC 2021 as shipped.

LUDB (doi:10.13026/eegm-h675, ODC-By 1.0; 121 of its 200 persons, one recording each) is the only set that
teaches: of the sets with labels for twelve leads it alone may train weights that are given away. Settings and
limits of the trees were fixed before anything was scored, so one ring of folds is enough; which fold a person
is in is a hash of the name. What cannot be described counts as missed. A class is offered when ten persons or
more have the label and the lower end of the interval of its out-of-fold AUROC is above `LEAST`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carna.ecg import second
from carna.ecg.criteria import judge
from carna.ecg.criteria.scored import FEWEST
from carna.ecg.second import FORMAT, NO, YES, Model, Trees, describe, models
from carna.intervals import wilson
from carna.learn import boosting
from carna.learn.boosting import fit_trees
from carna.learn.ecg_statements import SETS, Labelled, labelled
from carna.learn.evaluate import Row
from carna.progress import SILENT, Progress

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
FOLDS, LEAST = 10, 0.75
_LVH = tuple(
    f"left ventricular hypertrophy ({rule})"
    for rule in (
        *("Sokolow-Lyon", "Cornell voltage", "Cornell product", "Peguero-Lo Presti"),
        *("R aVL", "R I + S III", "Romhilt-Estes"),
    )
)
_LAE = ("left atrial abnormality (P terminal force)", "left atrial abnormality (P duration)")


@dataclass(frozen=True, slots=True)
class Class:
    """What is asked: how its labels begin (LUDB in words, CinC 2021 as codes), and the rules that say it."""

    name: str
    labels: tuple[str, ...]
    rules: tuple[str, ...]


CLASSES = (
    Class("sinus rhythm", ("rhythm: sinus rhythm", "snomed ct 426783006"), ("sinus rhythm",)),
    Class("sinus bradycardia", ("rhythm: sinus bradycardia", "snomed ct 426177001"), ("sinus bradycardia",)),
    Class("sinus tachycardia", ("rhythm: sinus tachycardia", "snomed ct 427084000"), ("sinus tachycardia",)),
    Class("atrial fibrillation", ("rhythm: atrial fibrillation", "snomed ct 164889003"),
          ("atrial fibrillation",)),
    Class("first-degree AV block", ("i degree av block", "snomed ct 270492004"), ("first-degree AV block",)),
    Class("left bundle branch block", ("complete left bundle", "snomed ct 164909002", "snomed ct 733534002"),
          ("left bundle branch block",)),
    Class("right bundle branch block", ("complete right bundle", "snomed ct 59118001", "snomed ct 713427006"),
          ("right bundle branch block",)),
    Class("incomplete right bundle branch block", ("incomplete right bundle", "snomed ct 713426002"),
          ("incomplete right bundle branch block",)),
    Class("left anterior fascicular block", ("left anterior hemiblock", "snomed ct 445118002"),
          ("left anterior fascicular block",)),
    Class("left axis deviation", ("electric axis of the heart: left axis", "snomed ct 39732003"),
          ("left axis deviation",)),
    Class("left ventricular hypertrophy", ("left ventricular hypertrophy", "snomed ct 164873001"), _LVH),
    Class("left atrial abnormality",
          ("left atrial hypertrophy", "left atrial overload", "snomed ct 67741000119109"), _LAE),
    Class("Q waves of prior infarction", ("scar formation",), ("Q waves of prior infarction",)),
    Class("ST elevation", ("stemi",), ("ST elevation",)),
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Persons with what is known of them; ``x`` only of those that could be described, ``at`` their rows."""

    records: tuple[Labelled, ...]
    at: NDArray[np.int64]
    x: Floats

    def labels(self, of: Class) -> Bools:
        """Return who has a label of the class, ``(persons,)``."""
        return np.array([any(said.startswith(of.labels) for said in r.labels) for r in self.records], bool)


def material(folder: Path) -> Material:
    """Read a set of labelled twelve-lead recordings."""
    records = tuple(labelled(folder))
    found = [None if r.tracing is None else describe(r.tracing) for r in records]
    at = np.array([k for k, x in enumerate(found) if x is not None], np.int64)
    return Material(records, at, np.array([x for x in found if x is not None]))


def out_of_fold(of: Class, known: Material) -> Floats:
    """Return the score of every person by trees that never saw the person, ``(persons,)``; NaN: none."""
    y = known.labels(of)[known.at]
    names = [known.records[k].person for k in known.at]
    fold = np.array([int(sha256(n.encode()).hexdigest(), 16) % FOLDS for n in names])
    score = np.full(len(known.records), np.nan)
    for k in range(FOLDS):
        taught = fold != k
        if 0 < y[taught].sum() < taught.sum() and not taught.all():
            score[known.at[~taught]] = fit_trees(known.x[taught], y[taught])(known.x[~taught])
    return score


def auroc(score: Floats, y: Bools) -> tuple[float, tuple[float, float]]:
    """Return the area under the ROC curve and its interval by bootstrap over persons, without NaN scores."""
    there = np.isfinite(score)
    s, y = score[there], y[there]
    random = np.random.default_rng(0)

    def area(a: Floats, b: Floats) -> float:
        return float(np.mean((a[:, None] > b) + 0.5 * (a[:, None] == b)))

    yes, no = s[y], s[~y]
    draws = [area(random.choice(yes, len(yes)), random.choice(no, len(no))) for _ in range(1000)]
    low, high = np.percentile(draws, (2.5, 97.5))
    return area(yes, no), (float(low), float(high))


def fit(data: Path) -> dict[str, Any]:
    """Return the file of models: every class with enough evidence, its out-of-fold figures, and the card."""
    known = material(data / SETS["LUDB"])
    out = []
    for of in CLASSES:
        y = known.labels(of)
        if y.sum() < FEWEST:
            continue
        score = out_of_fold(of, known)
        area, ci = auroc(score, y)
        if ci[0] <= LEAST:
            continue
        trees = fit_trees(known.x, y[known.at])
        out.append(
            {
                "name": of.name,
                "rules": list(of.rules),
                "score": _figures(score, y) | {"auroc": round(area, 3), "auroc95": [round(v, 3) for v in ci]},
                "bias": trees.bias,
                "feature": trees.feature.tolist(),
                "limit": [[float(f"{v:.5g}") for v in row] for row in trees.limit.tolist()],
                "leaf": [[float(f"{v:.4g}") for v in row] for row in trees.leaf.tolist()],
            }
        )
    recipe = "".join(inspect.getsource(m) for m in (boosting, second))
    return {
        "format": FORMAT,
        "card": {
            "what": "second opinion on statements of a resting twelve-lead electrocardiogram",
            "taught_with": "LUDB (doi:10.13026/eegm-h675), 121 of 200 persons, ODC-By 1.0",
            "described": len(known.at),
            "never_taught_with": "CinC 2021, CODE-15, and whatever is not named above",
            "scores": "out of fold by person, 10 folds; yes above 0.65, no below 0.35, else no opinion",
            "recipe": "carna.learn.ecg_second.fit",
            "recipe_sha256": sha256(recipe.encode()).hexdigest(),
            "licence": "Apache-2.0; contains information from LUDB, which is made available under the ODC "
            "Attribution License",
            "not_for": "paced rhythm, children, fewer than eight of I, II, V1 to V6; no probability",
        },
        "models": out,
    }


def written(body: Mapping[str, Any]) -> str:
    """Return the file of models as text, a model a line."""
    lines = ",\n  ".join(json.dumps(m, separators=(",", ":")) for m in body["models"])
    card = json.dumps(body["card"], indent=2).replace("\n", "\n ")
    return (
        f'{{\n "format": {json.dumps(body["format"])},\n "card": {card},\n "models": [\n  {lines}\n ]\n}}\n'
    )


def _figures(score: Floats, y: Bools) -> dict[str, int]:
    return {
        "positives": int(y.sum()),
        "negatives": int((~y).sum()),
        "hits": int((score[y] > YES).sum()),
        "kept": int((score[~y] < NO).sum()),
    }


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the figures of every class: out of fold on LUDB, and of what is shipped on CinC 2021."""
    rows: list[Row] = []
    if (data / SETS["LUDB"]).exists():
        known = material(data / SETS["LUDB"])
        rules = [_rules(r) for r in known.records]
        for of in CLASSES:
            if known.labels(of).sum() >= FEWEST:
                rows += _out_of_fold(of, known, rules)
    progress(0.7, "LUDB")
    if (data / SETS["CinC2021"]).exists():
        other = material(data / SETS["CinC2021"])
        for model in models():
            rows += _shipped(model, other)
    progress(1.0, "CinC2021")
    return tuple(rows)


def _rules(record: Labelled) -> dict[str, str]:
    return {} if record.tracing is None else {v.name: v.verdict for v in judge(record.tracing)}


def _out_of_fold(of: Class, known: Material, rules: Sequence[Mapping[str, str]]) -> Iterator[Row]:
    y, score = known.labels(of), out_of_fold(of, known)
    told, n = _figures(score, y), len(y)
    answered = float(np.isfinite(score).mean())
    area, ci = auroc(score, y)

    def row(metric: str, value: float, ci95: tuple[float, float] | None, total: int, unit: str = "1") -> Row:
        task = f"second opinion: {of.name}"
        return Row(
            "LUDB", "H", "development", task, metric, value, ci95, total, n, unit,
            positives=told["positives"], answered=answered,
        )  # fmt: skip

    yield row("auroc", area, ci, int(np.isfinite(score).sum()))
    for metric, hits, total in (
        ("sensitivity", told["hits"], told["positives"]),
        ("specificity", told["kept"], told["negatives"]),
    ):
        yield row(metric, hits / total, wilson(hits, total), total)
    # Where a rule and the trees contradict each other: how often, and how often the trees had the label.
    verdicts = [[r.get(name) for name in of.rules] for r in rules]
    met = np.array(["met" in v for v in verdicts])
    against = np.array(["not met" in v and "met" not in v for v in verdicts])
    apart = (met & (score < NO)) | (against & (score > YES))
    yield row("disagreements", float(apart.sum()), None, n, "{records}")
    yield row("trees_right", float((apart & ((score > YES) == y)).sum()), None, int(apart.sum()), "{records}")


def _shipped(model: Model, other: Material) -> Iterator[Row]:
    of = next(c for c in CLASSES if c.name == model.name)
    y = other.labels(of)
    if not y.any():
        return
    score = np.full(len(y), np.nan)
    score[other.at] = _trees(model.trees, other.x)
    for metric, value, total in (
        ("hits", int((score[y] > YES).sum()), int(y.sum())),
        ("false_positives", int((score[~y] > YES).sum()), int((~y).sum())),
    ):
        yield Row(
            "CinC2021", "H", "test", f"second opinion: {model.name}", metric, float(value), None, total,
            len(y), "{records}", positives=int(y.sum()), answered=float(np.isfinite(score).mean()),
        )  # fmt: skip


def _trees(trees: Trees, x: Floats) -> Floats:
    return trees(x) if len(x) else np.zeros(0)
