"""A second opinion on the criteria: small boosted trees that look at the raw shape of the median beat.

The rules of `carna.ecg.criteria` read boundaries, amplitudes and axes. The trees read none of these: they
see the median beat of eight leads as mean voltages of short bins around the R peak (10 ms within QRS, 40 ms
elsewhere, about the lead's own median), its spread in each lead, and seven numbers of the intervals between
beats. Beats and their alignment are the same for both; a fault there misleads both.

Each class has a model of its own that gives a score. Above `YES` it says yes, below `NO` no, between them it
has no opinion. Both limits were fixed before anything was scored. **A score is no probability**: no class has
the fifty never-fitted positives that would calibrate it.

Gradient boosting: J. H. Friedman, Ann. Stat. 2001, doi:10.1214/aos/1013203451. The models lie in
``models/ecg_second.json`` with their card; ``docs/ecg-criteria.md`` has the figures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from carna.ecg.criteria.base import Tracing
from carna.ecg.traces import Floats, Ints

LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
EDGES_MS = (*range(-280, -60, 40), *range(-60, 80, 10), *range(80, 441, 40))
INTERVALS = 4  # fewest, for the numbers of the rhythm
YES, NO = 0.65, 0.35
FORMAT = "carna.trees/1"

Answer = Literal["yes", "no", "no opinion"]


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Boosted trees of depth two: a score of 0 to 1 is the logistic of the sum of one leaf of each.

    Parameters
    ----------
    bias : float
    feature : (trees, 3) int
        Of the root, of the node below where the root's feature is not above its limit, of the other one.
    limit : (trees, 3) float
    leaf : (trees, 4) float
    """

    bias: float
    feature: Ints
    limit: Floats
    leaf: Floats

    def __call__(self, x: Floats) -> Floats:
        """Return the scores ``(n,)`` of ``x (n, features)``."""
        above = x[:, self.feature] > self.limit  # (n, trees, 3)
        below = np.where(above[..., 0], above[..., 2], above[..., 1])
        leaf = 2 * above[..., 0] + below
        total = self.bias + np.take_along_axis(self.leaf[None], leaf[..., None], axis=2)[..., 0].sum(1)
        return np.asarray(1 / (1 + np.exp(-total)))


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """The model of one class.

    Attributes
    ----------
    name : str
        What it says yes or no to.
    rules : tuple of str
        Criteria of `carna.ecg.criteria` that say the same; one met is enough.
    trees : Trees
    score : mapping
        Out-of-fold figures by person: positives, negatives, hits, kept, auroc and its interval.
    """

    name: str
    rules: tuple[str, ...]
    trees: Trees
    score: Mapping[str, Any]

    @property
    def persons(self) -> int:
        """How many persons its figures are of."""
        return int(self.score["positives"] + self.score["negatives"])

    @property
    def record(self) -> str:
        """Its out-of-fold figures in words."""
        s = self.score
        return (
            f"yes in {s['hits']} of {s['positives']} with the label, "
            f"no in {s['kept']} of {s['negatives']} without"
        )


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the model of a class says of a tracing."""

    model: Model
    answer: Answer
    score: float


@cache
def models() -> tuple[Model, ...]:
    """Return the models that come with the package.

    Raises
    ------
    ValueError
        If the file is of another format.
    """
    body = card()
    if body["format"] != FORMAT:
        raise ValueError(f"models/ecg_second.json is {body['format']}; needed: {FORMAT}")
    return tuple(
        Model(
            m["name"],
            tuple(m["rules"]),
            Trees(m["bias"], np.array(m["feature"]), np.array(m["limit"]), np.array(m["leaf"])),
            MappingProxyType(m["score"]),
        )
        for m in body["models"]
    )


@cache
def card() -> Mapping[str, Any]:
    """Return the file as it is: what the models were taught with, by which recipe, under which licence."""
    text = (files("carna") / "models" / "ecg_second.json").read_text(encoding="utf-8")
    body: dict[str, Any] = json.loads(text)
    return MappingProxyType(body)


def opinions(tracing: Tracing) -> tuple[Opinion, ...]:
    """Return what every model says of a tracing, nothing where it cannot be described.

    Examples
    --------
    >>> from carna.ecg.measure import Matrix
    >>> opinions(Tracing(Matrix(None, None, None, None, None, None, {}, None, None, None, {}, 0)))
    ()
    """
    x = describe(tracing)
    if x is None:
        return ()
    out = []
    for model in models():
        score = float(model.trees(x[None])[0])
        out.append(Opinion(model, "yes" if score > YES else "no" if score < NO else "no opinion", score))
    return tuple(out)


def describe(tracing: Tracing) -> Floats | None:
    """Return the features of a tracing, ``(8 * bins + 8 + 7,)``, mV and ratios.

    None without the eight leads, where one of them cannot be read or believed, when paced, or with fewer than
    four intervals.
    """
    median, told, rhythm = tracing.median, tracing.integrity, tracing.rhythm
    if median is None or rhythm is None or tracing.paced or not set(LEADS) <= set(tracing.leads):
        return None
    if told is not None and (told.channels == "met" or (told.suspect | told.unusable.keys()) & set(LEADS)):
        return None
    if rhythm.intervals < INTERVALS or rhythm.rr_ms is None:
        return None
    mv = median.mV[[tracing.leads.index(lead) for lead in LEADS]]
    at = median.r + np.round(np.array(EDGES_MS) * median.rate_hz / 1000).astype(np.int64)
    if at[0] < 0 or at[-1] > mv.shape[1] or not np.isfinite(mv[:, at[0] : at[-1]]).all():
        return None
    mv = mv - np.median(mv[:, at[0] : at[-1]], axis=1, keepdims=True)
    bins = np.add.reduceat(mv[:, : at[-1]], at[:-1], axis=1) / np.diff(at)
    within = mv[:, at[0] : at[-1]]
    ratios = [
        (value or 0.0) / rhythm.rr_ms for value in (rhythm.rr_sd_ms, rhythm.rmssd_ms, rhythm.longest_ms)
    ]
    rates = [rhythm.rate_bpm or 0.0, rhythm.slowest_bpm or 0.0, rhythm.fastest_bpm or 0.0]
    spread = within.max(1) - within.min(1)
    return np.concatenate([bins.ravel(), spread, ratios, rates, [rhythm.dispersion or 0.0]])
