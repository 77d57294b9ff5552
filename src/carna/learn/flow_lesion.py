"""LesionNet against the lattice in lesions it was never taught with, the steady solver alone beside it.

FFR here is 1 - loss / 90 mmHg: one lesion, its flow fixed, 90 mmHg before it and nothing else lost, the loss
from one radius before the lesion to 10 mm beyond it, without its reversible part. All lesions are virtual;
the lattice's runs are stored beside `carna.learn.lesion_net_fit`. Branches are in none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.lesion_net import LesionNet, lesion_net
from carna.learn.evaluate import Row
from carna.learn.lesion_net import BLOOD
from carna.learn.lesion_net_fit import Run, finely, lessons, split, table, two_terms
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]

SET: Final = "virtual lesions, held out"
PRESSURE_MMHG: Final = 90.0
SEVERE_MMHG: Final = 10.0
FEWEST: Final = 5  # lesions that make a row
DRAWS: Final = 4000
INSIDE: Final = 1.645  # standard deviations of a 90 % interval


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows; nothing under ``data`` is read."""
    stored = table()
    taught, held = split(stored)
    rows: list[Row] = []
    for name, lesions in (
        (f"{SET}, coarse lattice made smaller", held),
        (f"{SET}, fine lattice", finely(stored)),
    ):
        if len(lesions) >= FEWEST:
            rows += [replace(row, set=name) for row in _score(taught, lesions)]
        progress(0.5, "lesions")
    return tuple(rows)


def _score(taught: tuple[Run, ...], held: tuple[Run, ...]) -> Iterator[Row]:
    truth = np.array([run.loss_mmHg for run in held])
    answered, found = answers(lesion_net(), taught, held)
    for name, loss in found.items():
        share = float(answered.mean()) if "LesionNet" in name else 1.0
        for group, chosen in (("all", truth > -np.inf), ("10 mmHg and more", truth >= SEVERE_MMHG)):
            if chosen.any():
                yield from _rows(f"FFR, {name}", group, (truth - loss)[chosen] / PRESSURE_MMHG, share)
    yield _interval(lesion_net(), held)


def answers(
    net: LesionNet, taught: tuple[Run, ...], held: tuple[Run, ...]
) -> tuple[npt.NDArray[np.bool_], Mapping[str, Floats]]:
    """Return which lesions the net answers, and each method's loss, mmHg; a refused one has the solver's.

    The factors are fitted to what taught the net.
    """
    x, y = lessons(taught)
    solver = np.array([run.solver_mmHg for run in held])
    terms = two_terms(x, y)(lessons(held)[0])
    factor = float(np.exp(y.mean()))
    net_loss, answered = solver.copy(), np.zeros(len(held), bool)
    for n, run in enumerate(held):
        try:
            law = net(run.lesion.vessel(), run.flow_ml_s, BLOOD).law
        except InputError:
            continue
        net_loss[n], answered[n] = law.drop_mmHg(run.flow_ml_s), True
    return answered, {
        "L1 alone": solver,
        "L1 and one factor": factor * solver,
        "L1 and a factor for friction, one for the jet": np.exp(terms) * solver,
        "L1 and LesionNet": net_loss,
    }


def _rows(task: str, group: str, off: Floats, answered: float) -> Iterator[Row]:
    """Yield mean and 95th percentile of the size of errors, and the bias, with intervals over lesions."""
    picks = np.random.default_rng(0).integers(0, len(off), (DRAWS, len(off)))
    size = np.abs(off)
    for metric, value, drawn in (
        ("mae", size.mean(), size[picks].mean(1)),
        ("p95", np.percentile(size, 95), np.percentile(size[picks], 95, axis=1)),
        ("bias", off.mean(), off[picks].mean(1)),
    ):
        low, high = np.percentile(drawn, (2.5, 97.5))
        yield Row(
            SET, "P", "test", task, metric, float(value), (float(low), float(high)),
            len(off), 0, group=group, answered=answered,
        )  # fmt: skip


def _interval(net: LesionNet, held: tuple[Run, ...]) -> Row:
    """Return how often the 90 % interval of the log ratio holds the lattice's, over what it answers."""
    from carna.intervals import wilson

    x, y = lessons(held)
    within = ((net.low <= x) & (x <= net.high)).all(1)
    mean, sd = net.predict(x[within])
    inside = np.abs(mean - y[within]) <= INSIDE * sd
    hits, count = int(inside.sum()), int(within.sum())
    return Row(
        SET, "P", "test", "90 % interval of LesionNet holds the lattice's loss", "rate",
        hits / count, wilson(hits, count), count, 0, answered=float(within.mean()),
    )  # fmt: skip
