"""Which parameters move an action potential, and by how much: one at a time, by rank, and by variance.

``local``   the slope at the model's own values: percent of output per percent of parameter
``ranked``  partial rank correlation (PRCC) over a Latin hypercube: monotone effects, others held fixed
``sobol``   shares of variance, first order and total, which also see interactions (Saltelli 2010,
            doi:10.1016/j.cpc.2009.09.018)

All pace thousands of cells in one call. Outputs are those of `OUTPUTS`; a cell that does not fire or does
not repolarise has none, is counted in ``answered`` and left out of ranks; variance shares leave none out.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.ep.cell import CellModel
from carna.errors import InputError

Floats = npt.NDArray[np.float64]

OUTPUTS: Final[Mapping[str, str]] = {
    "apd90": "ms",
    "apd50": "ms",
    "triangulation": "ms",  # APD90 - APD30
    "upstroke": "V/s",
    "rest": "mV",
    "peak": "mV",
    "restitution": "1",  # slope of APD90 over diastolic interval between two cycle lengths
}
SHORT: Final = 0.5  # second cycle length, of the first, for the slope of restitution


@final
@dataclass(frozen=True, slots=True)
class Protocol:
    """How the cells are paced: cycle length (ms), beats (the last is measured), time step (ms)."""

    cycle_ms: float = 1000.0
    beats: int = 10
    dt_ms: float = 0.02


@final
@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """Effect of each parameter on each output.

    Attributes
    ----------
    parameters, outputs : tuple of str
    value : (parameters, outputs) float
        What the method gives; NaN where it could not be told.
    low, high : (parameters, outputs) float
        95 % interval; NaN for a method without one.
    answered : float
        Share of cells with an action potential.
    method : str
    """

    parameters: tuple[str, ...]
    outputs: tuple[str, ...]
    value: Floats
    low: Floats
    high: Floats
    answered: float
    method: str

    def of(self, parameter: str, output: str) -> float:
        """Return one effect."""
        return float(self.value[self.parameters.index(parameter), self.outputs.index(output)])


def outputs(
    model: CellModel, names: Sequence[str], factors: Floats, protocol: Protocol = Protocol()
) -> Floats:
    """Return the outputs of cells whose parameters are scaled.

    Parameters
    ----------
    names : sequence of str
        Parameters or labels, p of them.
    factors : (cells, p) float
        Multiply each cell's parameters.

    Returns
    -------
    (cells, outputs) float
        In the order of `OUTPUTS`; NaN without an action potential.
    """
    from carna.ep.cell.pace import pace

    values = {name: model[name].value * factors[:, n] for n, name in enumerate(names)}
    cycle, dt = protocol.cycle_ms, protocol.dt_ms
    long = pace(model, cycle, protocol.beats, parameters=values, dt_ms=dt)
    short = pace(model, cycle * SHORT, protocol.beats, parameters=values, dt_ms=dt)
    apd, fast = long.apd90_ms[-1], short.apd90_ms[-1]
    rested, hurried = cycle - apd, cycle * SHORT - fast
    slope = (apd - fast) / np.where(rested - hurried == 0, np.nan, rested - hurried)
    columns = (
        apd,
        long.apd50_ms[-1],
        apd - long.apd30_ms[-1],
        np.where(np.isfinite(apd), long.rise_v_per_s[-1], np.nan),
        np.where(np.isfinite(apd), long.rest_mv[-1], np.nan),
        np.where(np.isfinite(apd), long.peak_mv[-1], np.nan),
        slope,
    )
    return np.stack(columns, axis=1)


def local(
    model: CellModel, names: Sequence[str], *, step: float = 0.05, protocol: Protocol = Protocol()
) -> Effects:
    """Return percent of output per percent of parameter, by central differences.

    Parameters
    ----------
    step : float
        Share by which each parameter is moved both ways, above 0 and below 1.
    """
    _check(names, 0 < step < 1, f"a step of {step:g}")
    count = len(names)
    factors = np.ones((2 * count + 1, count))
    factors[np.arange(count), np.arange(count)] += step
    factors[count + np.arange(count), np.arange(count)] -= step
    found = outputs(model, names, factors, protocol)
    own = np.where(found[-1] == 0, np.nan, found[-1])  # no percent of nothing
    value = (found[:count] - found[count:-1]) / (2 * step) / own
    none = np.full_like(value, np.nan)
    answered = float(np.isfinite(found[:, 0]).mean())
    return Effects(tuple(names), tuple(OUTPUTS), value, none, none, answered, "local")


def ranked(
    model: CellModel,
    names: Sequence[str],
    *,
    spread: float = 0.3,
    cells: int = 1000,
    seed: int = 0,
    protocol: Protocol = Protocol(),
) -> Effects:
    """Return partial rank correlations over factors drawn evenly from 1 - spread to 1 + spread.

    Parameters
    ----------
    spread : float
        Above 0, below 1.
    cells : int
        Of the Latin hypercube; at least ten times the number of parameters.

    Returns
    -------
    Effects
        With 95 % intervals by Fisher's transform.
    """
    from scipy.stats import norm, qmc, rankdata

    count = len(names)
    _check(names, 0 < spread < 1 and cells >= 10 * count, f"a spread of {spread:g} over {cells} cells")
    drawn = qmc.LatinHypercube(count, rng=np.random.default_rng(seed)).random(cells)
    factors = 1 + spread * (2 * drawn - 1)
    found = outputs(model, names, factors, protocol)
    kept = np.isfinite(found).all(axis=1)
    x = rankdata(factors[kept], axis=0)
    value = np.full((count, len(OUTPUTS)), np.nan)
    for m in range(len(OUTPUTS)):
        y = rankdata(found[kept, m])
        for n in range(count):
            others = np.column_stack([np.ones(len(y)), np.delete(x, n, axis=1)])
            solve = np.linalg.lstsq(others, np.column_stack([x[:, n], y]), rcond=None)[0]
            a, b = (np.column_stack([x[:, n], y]) - others @ solve).T
            value[n, m] = float(a @ b / np.sqrt((a @ a) * (b @ b)))
    half = float(norm.ppf(0.975)) / np.sqrt(max(kept.sum() - count - 2, 1))
    z = np.arctanh(np.clip(value, -1 + 1e-12, 1 - 1e-12))
    return Effects(
        tuple(names), tuple(OUTPUTS), value, np.tanh(z - half), np.tanh(z + half), float(kept.mean()), "prcc"
    )


def sobol(
    model: CellModel,
    names: Sequence[str],
    *,
    spread: float = 0.3,
    base: int = 256,
    seed: int = 0,
    protocol: Protocol = Protocol(),
) -> tuple[Effects, Effects]:
    """Return first-order and total shares of variance, factors even from 1 - spread to 1 + spread.

    Paces ``base * (parameters + 2)`` cells.

    Parameters
    ----------
    base : int
        A power of two.

    Raises
    ------
    InputError
        If a cell within the spread has no action potential: shares of a variance with holes mean nothing.
    """
    from scipy.stats import DegenerateDataWarning, sobol_indices, uniform

    count = len(names)
    _check(names, 0 < spread < 1 and base & (base - 1) == 0, f"a spread of {spread:g} on {base} samples")

    def of(factors: Floats) -> Floats:
        flat = np.asarray(factors, float).reshape(count, -1).T
        found = outputs(model, names, flat, protocol)
        missing = int((~np.isfinite(found).all(axis=1)).sum())
        if missing:
            raise InputError(
                f"{missing} of {len(found)} cells have no action potential within +-{spread:.0%}",
                needed="one from each",
                fix="narrow the spread, or use ranked()",
            )
        return np.asarray(found.T.reshape(len(OUTPUTS), *np.shape(factors)[1:]))

    indices = sobol_indices(
        func=of, n=base, dists=[uniform(1 - spread, 2 * spread)] * count, rng=np.random.default_rng(seed)
    )
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        # What has no effect at all has no spread, and gets NaN.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        drawn = indices.bootstrap(confidence_level=0.95)
    first, total = np.asarray(indices.first_order).T, np.asarray(indices.total_order).T

    def effects(value: Floats, interval: object, method: str) -> Effects:
        low = np.asarray(interval.confidence_interval.low).T  # type: ignore[attr-defined]
        high = np.asarray(interval.confidence_interval.high).T  # type: ignore[attr-defined]
        return Effects(tuple(names), tuple(OUTPUTS), value, low, high, 1.0, method)

    return effects(first, drawn.first_order, "sobol first"), effects(total, drawn.total_order, "sobol total")


def _check(names: Sequence[str], fits: bool, what: str) -> None:
    if not names or len(set(names)) < len(names):
        raise InputError(f"parameters {', '.join(names) or 'none'}", needed="one or more, each once")
    if not fits:
        raise InputError(what, needed="a share between 0 and 1, and cells enough for the parameters")
