"""A cell model: states, parameters and equations, as data.

A :class:`CellModel` says what the cell *is* and knows no solver. Time is in ms, the membrane potential
``V`` in mV, currents in A/F, concentrations in mM. The applied current is the name ``stimulus`` (A/F,
positive depolarises), so that a model may also let it carry potassium, as ten Tusscher's does.

:meth:`CellModel.rhs` is the reference: the equations evaluated one by one in float64. The fast kernels
of :mod:`carna.ep.cell.kernel` are generated from the same object and tested against it.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import numpy as np
import numpy.typing as npt

from carna.ep.cell.expression import Expression, evaluate, names
from carna.errors import InputError

__all__ = ["STIMULUS", "CellModel", "Equation", "Parameter", "State", "in_order"]

STIMULUS = "stimulus"


@final
@dataclass(frozen=True)
class State:
    """One integrated quantity: its initial value and d/dt in units per ms."""

    name: str
    unit: str
    initial: float
    derivative: Expression
    doc: str = ""


@final
@dataclass(frozen=True)
class Parameter:
    """A constant of the model that may be changed, with the range in which it makes sense."""

    name: str
    value: float
    unit: str
    low: float = -np.inf
    high: float = np.inf
    doc: str = ""


@final
@dataclass(frozen=True)
class Equation:
    """An intermediate: a current, a flux, a steady state, a rate; ``unit`` None where none was given."""

    name: str
    expression: Expression
    unit: str | None = None
    doc: str = ""


@final
@dataclass(frozen=True)
class CellModel:
    """A cell model as data.

    Parameters
    ----------
    name, variant, title
        Short name, cell type such as ``epi`` ("" where there is one only), and name in words.
    doi
        The papers the equations come from, without ``https://``.
    states, parameters, equations
        ``equations`` in an order in which each uses earlier ones only (see :func:`in_order`).
    labels
        Common names (``I_Kr``, ``g_Kr``, ``Ca_i``) to the names in this model.
    pulse
        The stimulus it is usually paced with: A/F and ms, about twice the threshold.
    """

    name: str
    title: str
    doi: tuple[str, ...]
    states: tuple[State, ...]
    parameters: tuple[Parameter, ...]
    equations: tuple[Equation, ...]
    variant: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    pulse: tuple[float, float] = (60.0, 1.0)

    def __post_init__(self) -> None:
        if "V" not in self.state_names:
            raise InputError(
                f"the model {self.name!r} has no state V",
                needed="the membrane potential in mV as the state V",
                fix="name it V, or import the model with carna.ep.cell.imported",
            )
        known = {STIMULUS, *self.state_names, *self.parameter_names}
        for what, tree in [(e.name, e.expression) for e in self.equations] + [
            (s.name + "'", s.derivative) for s in self.states
        ]:
            if unknown := sorted(names(tree) - known):
                raise InputError(
                    f"{what} of {self.name!r} uses {unknown[0]!r}, which nothing defines before it",
                    needed="a state, a parameter or an earlier equation of that name",
                )
            known.add(what)

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the states, in the order of :meth:`rhs`."""
        return tuple(s.name for s in self.states)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(p.name for p in self.parameters)

    @property
    def initial(self) -> npt.NDArray[np.float64]:
        """Initial values of the states."""
        return np.array([s.initial for s in self.states])

    @cached_property
    def key(self) -> str:
        """A hash of everything that decides the model's behaviour."""
        told = repr((self.states, self.parameters, self.equations))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def __getitem__(self, name: str) -> Parameter:
        """Return the parameter ``name``, which may be a label such as ``g_Kr``."""
        name = dict(self.labels).get(name, name)
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise self._unknown(name, "parameter", self.parameter_names)

    def with_(self, **values: float) -> CellModel:
        """Return the model with these parameters set, in their own units.

        Raises
        ------
        InputError
            If a name is unknown or a value is outside the parameter's range.
        """
        return self._changed({self[name].name: float(value) for name, value in values.items()})

    def scaled(self, **factors: float) -> CellModel:
        """Return the model with these parameters multiplied: ``scaled(GKr=0.5)`` blocks half of IKr."""
        return self._changed({self[name].name: self[name].value * factor for name, factor in factors.items()})

    def starting(self, **values: float) -> CellModel:
        """Return the model with these initial values."""
        for name in values:
            if name not in self.state_names:
                raise self._unknown(name, "state", self.state_names)
        return replace(
            self, states=tuple(replace(s, initial=float(values.get(s.name, s.initial))) for s in self.states)
        )

    def _changed(self, values: Mapping[str, float]) -> CellModel:
        for name, value in values.items():
            p = self[name]
            if not p.low <= value <= p.high:
                raise InputError(
                    f"{name} = {value:g} {p.unit} is outside the range of {self.name!r}",
                    needed=f"{p.low:g} to {p.high:g} {p.unit}",
                )
        return replace(
            self, parameters=tuple(replace(p, value=values.get(p.name, p.value)) for p in self.parameters)
        )

    def _unknown(self, name: str, kind: str, have: Iterable[str]) -> InputError:
        have = sorted(have)
        near = difflib.get_close_matches(name, have, n=4, cutoff=0.4) or have
        return InputError(
            f"{self.name!r} has no {kind} {name!r}",
            needed="one of " + ", ".join(near),
            fix="check the spelling",
        )

    def values(
        self,
        states: npt.ArrayLike,
        *,
        stimulus: npt.ArrayLike = 0.0,
        parameters: Mapping[str, npt.ArrayLike] | None = None,
    ) -> dict[str, Any]:
        """Return the value of every state, parameter, equation and derivative (``V'``) by name.

        Parameters
        ----------
        states
            (n_states, ...) in the order of ``state_names``.
        stimulus
            A/F, positive depolarises.
        parameters
            Values or arrays that replace the model's own.
        """
        found: dict[str, Any] = {p.name: p.value for p in self.parameters}
        for name, value in (parameters or {}).items():
            found[self[name].name] = np.asarray(value, float)
        found[STIMULUS] = np.asarray(stimulus, float)
        found.update(zip(self.state_names, np.asarray(states, float), strict=True))
        for equation in self.equations:
            found[equation.name] = evaluate(equation.expression, found)
        for state in self.states:
            found[state.name + "'"] = evaluate(state.derivative, found)
        return found

    def rhs(
        self,
        states: npt.ArrayLike,
        *,
        stimulus: npt.ArrayLike = 0.0,
        parameters: Mapping[str, npt.ArrayLike] | None = None,
    ) -> npt.NDArray[np.float64]:
        """Return d(states)/dt in units per ms, float64, shape of ``states`` (see :meth:`values`)."""
        found = self.values(states, stimulus=stimulus, parameters=parameters)
        shape = np.shape(states)[1:]
        return np.stack([np.broadcast_to(found[s.name + "'"], shape) for s in self.states])


def in_order(equations: Iterable[Equation]) -> tuple[Equation, ...]:
    """Return the equations sorted so that each uses earlier ones only.

    Raises
    ------
    InputError
        If equations depend on each other in a circle.
    """
    waiting = {e.name: e for e in equations}
    done: dict[str, Equation] = {}

    def place(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise InputError(f"equations depend on each other in a circle: {circle}")
        if name in done:
            return
        for used in sorted(names(waiting[name].expression) & waiting.keys()):
            place(used, (*path, name))
        done[name] = waiting[name]

    for name in waiting:
        place(name, ())
    return tuple(done.values())
