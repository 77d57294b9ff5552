"""Evaluation: one row schema for every suite, rates as fractions, the patient as the unit.

A row is ``{set, truth, split, task, group, metric, value, ci95, n, patients, positives,
answered, unit}``. ``truth`` is H (human expert), P (physics or simulation) or O (other
software's output); ``split`` says whether the set taught the method (``fitted``: no
accuracy), was looked at while it was made (``development``), or neither (``test``). The
whole-set row has ``group: "all"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

import numpy as np

from carna.errors import InputError
from carna.progress import SILENT, Progress

# Suite name to the module that evaluates it: `evaluate(data, progress) -> tuple[Row, ...]`.
SUITES: Mapping[str, str] = {
    "angiography": "carna.learn.angiography",
    "cmr": "carna.learn.cmr",
    "cmr-atrium": "carna.learn.cmr_atrium",
    "cmr-long-axis": "carna.learn.cmr_long_axis",
    "echo": "carna.learn.echo",
    "heart-chambers": "carna.learn.heart_chambers",
    "cmr-direct": "carna.learn.cmr_direct",
    "cmr-scar": "carna.learn.cmr_scar",
    "cmr-motion": "carna.learn.cmr_motion",
    "cmr-pattern": "carna.learn.cmr_pattern",
    "cmr-quality": "carna.learn.cmr_quality",
    "ecg": "carna.learn.ecg",
    "ecg-beats": "carna.learn.ecg_beats",
    "ecg-rhythm": "carna.learn.ecg_rhythm",
    "ecg-second": "carna.learn.ecg_second",
    "ecg-statements": "carna.learn.ecg_statements",
    "ecg-waves": "carna.learn.ecg_waves",
    "ep": "carna.learn.ep",
    "ep-safety": "carna.learn.ep_safety",
    "flow": "carna.learn.flow",
    "flow-lesion": "carna.learn.flow_lesion",
    "flow-surrogate": "carna.learn.flow_compare",
    "heart-locate": "carna.learn.heart_locate",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One number of one task on one set, with its interval and its counts."""

    set: str
    truth: Literal["H", "P", "O"]
    split: Literal["fitted", "development", "test"]
    task: str
    metric: str
    value: float
    ci95: tuple[float, float] | None
    n: int
    patients: int
    unit: str = "1"
    group: str = "all"
    positives: int | None = None
    answered: float = 1.0


def evaluate(suite: str, data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows of a suite on the data under a folder.

    Raises
    ------
    InputError
        If there is no such suite, or the folder has none of its sets.
    """
    if suite not in SUITES:
        raise InputError(f"no suite {suite!r}", needed=", ".join(SUITES))
    rows: tuple[Row, ...] = import_module(SUITES[suite]).evaluate(data, progress)
    if not rows:
        raise InputError(f"{data} has none of the sets of {suite}", fix="give their folder with --data")
    return rows


def by_patient(values: Sequence[Sequence[float]], *, seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """Return the 95 % interval of a mean by bootstrap over patients.

    Parameters
    ----------
    values : one sequence of values a patient
    """
    sums = np.array([np.sum(v) for v in values], float)
    counts = np.array([len(v) for v in values], float)
    picks = np.random.default_rng(seed).integers(0, len(sums), (draws, len(sums)))
    means = sums[picks].sum(1) / np.maximum(counts[picks].sum(1), 1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
