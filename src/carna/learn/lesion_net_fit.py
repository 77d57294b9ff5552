"""Teach LesionNet from the lattice's runs: which lesions teach, what was compared, and the fit.

``python -m carna.learn.lesion_net_fit FOLDER [RUNS]`` writes ``lesion_net.npz`` and ``.json`` into FOLDER;
with RUNS, a folder of shards of `carna.learn.lesion_net`, the table of runs beside this module is made anew
first.

Lesions whose number divides by three are held out, the first fifty of them; nothing here reads what the
lattice says of those. What to use was chosen by `contest`, ten-fold, among the others alone.

All were run on a coarse lattice, which loses a little too much; some lessons on a fine one too, and by their
mean ratio, `fine_over_coarse`, every drop is made smaller. Of those held out some were run on the fine one as
well: `finely`.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Final, TypeAlias, final

import numpy as np
import numpy.typing as npt

from carna.flow.lesion_net import FEATURES, FORMAT, LesionNet, covariance, features, reversible_mmHg
from carna.learn.lesion_net import BLOOD, CELLS, Narrowing, draw

Floats = npt.NDArray[np.float64]
# Lessons (x, y) to what answers for other features.
Learner: TypeAlias = Callable[[Floats, Floats], Callable[[Floats], Floats]]

TABLE: Final = "lesion_net_runs.csv"
FINE: Final = 7.0  # cells per throat radius, where `CELLS` is coarse
HELD_OUT: Final = 50
FOLDS: Final = 10
FAMILY: Final = range(10_000, 10_600)  # lesions never run, drawn to know the family's bounds
CONSTANT: Final = 0.2  # sd of the mean log ratio, before anything is known
RESTLESS: Final = 0.3  # a drop that wanders by more than this share teaches nothing
COLUMNS: Final = (
    "number",
    "cells",
    *(field.name for field in fields(Narrowing)),
    "flow_ml_s",
    "drop_mmHg",
    "unsettled",
    "steps",
    "nodes",
    "dx_mm",
)


@final
@dataclass(frozen=True, eq=False)
class Run:
    """One lesion and what the lattice measured in it.

    Attributes
    ----------
    number : int
    lesion : Narrowing
    flow_ml_s, drop_mmHg : float
        Drop of static pressure, that of the fine lattice or what it would be.
    unsettled : float
        Range of the looks of which the drop is the mean, of the drop.
    """

    number: int
    lesion: Narrowing
    flow_ml_s: float
    drop_mmHg: float
    unsettled: float

    @cached_property
    def loss_mmHg(self) -> float:
        """Return the drop without its reversible part."""
        return self.drop_mmHg - reversible_mmHg(self.lesion.vessel(), self.flow_ml_s, BLOOD)

    @cached_property
    def solver_mmHg(self) -> float:
        """Return what the steady solver says."""
        return self.lesion.law().drop_mmHg(self.flow_ml_s)

    @cached_property
    def features(self) -> Floats:
        """Return what LesionNet reads, (11,)."""
        return features(self.lesion.vessel(), self.flow_ml_s, BLOOD)


def collect(shards: Path, table: Path) -> None:
    """Write the table of all runs that gave a drop, in order of their numbers."""
    lines = [line for shard in sorted(shards.glob("*.jsonl")) for line in shard.read_text().splitlines()]
    found = [row for row in map(json.loads, lines) if "drop_mmHg" in row]
    with table.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for row in sorted(found, key=lambda row: (int(row["number"]), float(row["cells"]))):
            values = {**row, **row["lesion"]}
            rows.writerow([f"{values[name]:.7g}" for name in COLUMNS])


def table() -> list[dict[str, float]]:
    """Return the lattice's runs that come with the package, a row each."""
    text = (files("carna") / "learn" / TABLE).read_text(encoding="utf-8")
    return [{key: float(v) for key, v in row.items()} for row in csv.DictReader(text.splitlines())]


def numbers_held_out(rows: list[dict[str, float]]) -> frozenset[int]:
    """Return the first fifty numbers that divide by three."""
    return frozenset(
        [int(r["number"]) for r in rows if r["cells"] == CELLS and r["number"] % 3 == 0][:HELD_OUT]
    )


def fine_over_coarse(rows: list[dict[str, float]]) -> Floats:
    """Return the log ratio of drops, fine lattice over coarse, of each lesson that was run on both."""
    apart = numbers_held_out(rows)
    drop = {(int(r["number"]), r["cells"]): r["drop_mmHg"] for r in rows}
    both = [n for n, cells in drop if cells == FINE and n not in apart and (n, CELLS) in drop]
    return np.log([drop[n, FINE] / drop[n, CELLS] for n in both])


def split(rows: list[dict[str, float]]) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """Return the runs that teach and those held out, all made smaller by the mean of `fine_over_coarse`."""
    apart = numbers_held_out(rows)
    times = float(np.exp(fine_over_coarse(rows).mean()))
    coarse = [_run(row, times) for row in rows if row["cells"] == CELLS]
    taught = tuple(run for run in coarse if run.number not in apart and run.unsettled <= RESTLESS)
    return taught, tuple(run for run in coarse if run.number in apart)


def finely(rows: list[dict[str, float]]) -> tuple[Run, ...]:
    """Return those held out that were run on the fine lattice, as it measured them."""
    apart = numbers_held_out(rows)
    return tuple(_run(row, 1.0) for row in rows if row["cells"] == FINE and row["number"] in apart)


def _run(row: dict[str, float], times: float) -> Run:
    lesion = Narrowing(**{field.name: row[field.name] for field in fields(Narrowing)})
    return Run(int(row["number"]), lesion, row["flow_ml_s"], times * row["drop_mmHg"], row["unsettled"])


def lessons(of: tuple[Run, ...]) -> tuple[Floats, Floats]:
    """Return features (n, 11) and log ratios of lattice over solver (n,)."""
    ratio = [run.loss_mmHg / run.solver_mmHg for run in of]
    return np.stack([run.features for run in of]), np.log(ratio)


def constant(x: Floats, y: Floats) -> Callable[[Floats], Floats]:
    """Answer with the mean."""
    return lambda to: np.full(len(to), y.mean())


def two_terms(x: Floats, y: Floats) -> Callable[[Floats], Floats]:
    """Give friction and jet a factor each, least squares of relative errors."""
    share = x[:, FEATURES.index("friction's share of the solver's loss")]
    basis = np.stack([share, 1 - share], 1)
    factor = np.linalg.lstsq(basis / np.exp(y)[:, None], np.ones(len(y)), rcond=None)[0]
    column = FEATURES.index("friction's share of the solver's loss")
    return lambda to: np.log(np.stack([to[:, column], 1 - to[:, column]], 1) @ factor)


def ridge(x: Floats, y: Floats) -> Callable[[Floats], Floats]:
    """Answer with a plane through standardised features, slopes held small."""
    centre, spread = x.mean(0), x.std(0)
    a = (x - centre) / spread
    slope = np.linalg.solve(a.T @ a + 2.0 * np.eye(x.shape[1]), a.T @ (y - y.mean()))
    return lambda to: np.asarray(y.mean() + (to - centre) / spread @ slope)


def process(x: Floats, y: Floats) -> Callable[[Floats], Floats]:
    """Answer with a Gaussian process."""
    net = fit(x, y)
    return lambda to: net.predict(to)[0]


LEARNERS: Final[Mapping[str, Learner]] = {
    "one factor": constant,
    "a factor for friction, one for the jet": two_terms,
    "plane": ridge,
    "Gaussian process": process,
}


def fit(x: Floats, y: Floats) -> LesionNet:
    """Return a process whose sizes and reach make the lessons most likely, with weak priors on them.

    Parameters
    ----------
    x : (n, 11) float
    y : (n,) float
    """
    from scipy.optimize import minimize

    z = (x - x.mean(0)) / x.std(0)

    def parts(theta: Floats) -> tuple[Floats, Floats]:
        return np.append(CONSTANT, np.exp(theta[:3])), np.exp(theta[3])

    # Linear part, curved part, noise, reach; the priors let each be some three times more or less.
    start = np.log([0.03, 0.05, 0.02, 4.0])

    def unlikely(theta: Floats) -> float:
        size, reach = parts(theta)
        root = np.linalg.cholesky(covariance(z, z, size, reach) + size[3] ** 2 * np.eye(len(z)))
        left = np.linalg.solve(root, y)
        return float(0.5 * left @ left + np.log(np.diag(root)).sum() + 0.5 * ((theta - start) ** 2).sum())

    bounds = [(low, high) for low, high in zip(start - 4, start + 4, strict=True)]
    size, reach = parts(minimize(unlikely, start, method="L-BFGS-B", bounds=bounds).x)
    everywhere = np.full(x.shape[1], np.inf)
    return LesionNet(x, y, size, reach, -everywhere, everywhere)


def contest(taught: tuple[Run, ...]) -> Iterator[tuple[str, Floats]]:
    """Yield each learner's errors of log ratio in lessons that it was not taught with, ten-fold."""
    x, y = lessons(taught)
    fold = np.arange(len(y)) % FOLDS
    for name, learner in LEARNERS.items():
        off = np.empty(len(y))
        for k in range(FOLDS):
            off[fold == k] = learner(x[fold != k], y[fold != k])(x[fold == k]) - y[fold == k]
        yield name, off


def bounds() -> tuple[Floats, Floats]:
    """Return the least and the most of each feature in the family that the lessons were drawn from."""
    of = [draw(number) for number in FAMILY]
    x = np.stack([features(lesion.vessel(), lesion.flow_ml_s, BLOOD) for lesion in of])
    return x.min(0), x.max(0)


def teach(folder: Path) -> LesionNet:
    """Fit the net that ships and write it with its card."""
    rows = table()
    taught, held = split(rows)
    x, y = lessons(taught)
    # Rounded as they are stored, so that what is scored is what ships.
    x, y = (np.round(v, 6) for v in (x, y))
    found = fit(x, y)
    low, high = bounds()
    ratio = fine_over_coarse(rows)
    net = LesionNet(x, y, found.size, found.reach, low, high)
    np.savez_compressed(
        folder / "lesion_net.npz",
        allow_pickle=False,
        **{field.name: getattr(net, field.name) for field in fields(LesionNet)},
    )
    compared = {
        name: {"rms_log_ratio": round(float(np.sqrt((off**2).mean())), 4)} for name, off in contest(taught)
    }
    card = {
        "format": FORMAT,
        "what": "Gaussian process for the loss of one narrowing, lattice over steady solver",
        "reads": list(FEATURES),
        "answers": "a law R q + S q|q| about one flow, and the standard deviation of its logarithm",
        "taught_with": f"{len(taught)} virtual lesions of carna.learn.lesion_net, run on the lattice",
        "truth": "carna.flow.lattice.lesion.measure, one flow each",
        "never_taught_with": f"patients; branches; pulses; {len(held)} lesions held out for evaluation",
        "fine_over_coarse_lattice": {
            "lessons": len(ratio),
            "mean_log_ratio": round(float(ratio.mean()), 4),
            "sd": round(float(ratio.std(ddof=1)), 4),
        },
        "ten_fold_in_the_lessons": compared,
        "size": [round(float(v), 5) for v in net.size],
        "refuses": {
            name: [round(float(a), 4), round(float(b), 4)]
            for name, a, b in zip(FEATURES, low, high, strict=True)
        },
        "use": "research; a lesion's law in the steady solver (carna.flow.lesion.put)",
        "recipe": "python -m carna.learn.lesion_net_fit",
        "licence": "Apache-2.0",
    }
    (folder / "lesion_net.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return net


if __name__ == "__main__":
    if len(sys.argv) > 2:
        collect(Path(sys.argv[2]), Path(__file__).with_name(TABLE))
    teach(Path(sys.argv[1]))
