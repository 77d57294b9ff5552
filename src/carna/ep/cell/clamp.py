"""Voltage clamp of one channel: hold, step, and read its current.

At a fixed potential a gate relaxes as one exponential and a Markov chain as a matrix exponential, so the
currents here are exact: no time step. Concentrations stay at their initial values, as a patch pipette and
a perfused bath keep them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from carna.ep.cell.expression import evaluate, linear
from carna.ep.cell.lowering import markov_chains, rush_larsen
from carna.ep.cell.model import CellModel
from carna.errors import InputError

__all__ = ["Clamped", "clamp"]

Floats = npt.NDArray[np.float64]


@final
@dataclass(frozen=True)
class Clamped:
    """A family of clamp steps.

    Parameters
    ----------
    step_mv
        (n_steps,) test potentials.
    time_ms
        (n_times,) since the step.
    current
        (n_steps, n_times) in the current's own unit, A/F for currents.
    """

    step_mv: Floats
    time_ms: Floats
    current: Floats

    @property
    def peak(self) -> Floats:
        """The current of largest size in each step, with its sign: the IV curve of a transient current."""
        at = np.argmax(np.abs(self.current), axis=1)
        found: Floats = self.current[np.arange(len(at)), at]
        return found

    @property
    def end(self) -> Floats:
        """The current at the end of each step: the IV curve of a sustained current."""
        return self.current[:, -1]


def clamp(
    model: CellModel, current: str, hold_mv: float, step_mv: npt.ArrayLike, time_ms: npt.ArrayLike
) -> Clamped:
    """Hold a cell until its gates are at rest, step to each potential, and return one current.

    Parameters
    ----------
    current
        An equation of the model, such as ``INa``, or its label ``I_Na``.
    hold_mv
        Holding potential.
    step_mv
        Test potentials (n_steps,).
    time_ms
        Times since the step (n_times,).

    Raises
    ------
    InputError
        If the model has no such equation.

    Examples
    --------
    >>> from carna.ep.cell import load
    >>> iv = clamp(load("tt2006"), "INa", -120, [-40, -20, 60], np.linspace(0, 10, 101))
    >>> [f"{x:.0f}" for x in iv.peak]
    ['-542', '-752', '-13']
    """
    name = dict(model.labels).get(current, current)
    if name not in {e.name for e in model.equations}:
        raise InputError(
            f"{model.name!r} has no equation {current!r}",
            needed="one of " + ", ".join(e.name for e in model.equations if e.unit == "A/F"),
        )
    steps, times = np.asarray(step_mv, float).ravel(), np.asarray(time_ms, float).ravel()
    held = _relaxed(model, model.initial[:, None], np.array([hold_mv]), np.array([np.inf]))[:, :, 0]
    start = np.repeat(held, len(steps), axis=1)
    states = _relaxed(model, start, steps, times)
    found = model.values(states)[name]
    return Clamped(steps, times, np.broadcast_to(found, (len(steps), len(times))).copy())


def _relaxed(model: CellModel, states: Floats, v: Floats, times: Floats) -> Floats:
    """Return the states (n_states, n_steps, n_times) after ``times`` at the potentials ``v``."""
    from scipy.linalg import expm, null_space

    order = {name: i for i, name in enumerate(model.state_names)}
    derivative = {s.name: s.derivative for s in model.states}
    states = states.copy()
    states[order["V"]] = v
    out = np.repeat(states[:, :, None], len(times), axis=2)
    # A gate may open with another one (ICaL's jca): those that the clamp settles are settled in turn.
    values = model.values(states)
    for name, (target, rate) in rush_larsen(model).items():
        end, speed = (np.broadcast_to(evaluate(t, values), v.shape)[:, None] for t in (target, rate))
        out[order[name]] = end + (states[order[name]][:, None] - end) * np.exp(-speed * times)
    for chain in markov_chains(model):
        rows = [order[name] for name in chain]
        for k in range(len(v)):
            here = {n: np.asarray(x)[..., k] if np.ndim(x) else x for n, x in values.items()}
            matrix = np.array([[_slope(derivative[a], b, here) for b in chain] for a in chain])
            for t, time in enumerate(times):
                if np.isfinite(time):
                    out[rows, k, t] = expm(matrix * time) @ states[rows, k]
                    continue
                rest = null_space(matrix, rcond=1e-12)[:, 0]
                out[rows, k, t] = rest * states[rows, k].sum() / rest.sum()
    return out


def _slope(tree: object, name: str, values: dict[str, object]) -> float:
    split = linear(tree, name)  # type: ignore[arg-type]
    return 0.0 if split is None else float(evaluate(split[1], values))
