"""What a disease or a drug does to a cell: factors and values of labelled parameters.

Models name their parameters as their papers do; a `Change` speaks of labels, ``g_Kr`` or ``K_o``, that every
model maps to its own names (a parameter's own name serves as well). It knows nothing of any one model, so one
ischaemia serves them all:

    ill = conditions.ischaemia_1a(8.0).on(load("tt2006", "epi"))

Changes that meet in one cell multiply where they scale and are refused where two set the same value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from carna.errors import InputError

if TYPE_CHECKING:
    from carna.ep.cell.model import CellModel


def _none() -> Mapping[str, float]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Change:
    """Factors and values of labelled parameters, with where they come from.

    Parameters
    ----------
    name : str
        As it would stand in a methods section.
    factors : mapping of label to float
        Multiply the parameter, >= 0.
    values : mapping of label to float
        Replace the parameter, in the label's unit: ``K_o`` and ``ATP_i`` mmol/L.
    conduction : float
        Multiplies the conductivity of tissue, > 0 (gap junctions); nothing to a single cell.
    optional : frozenset of str
        Labels that a model may lack: a drug blocks a channel only where there is one. `left_out` names them.
    source : str
        Where the numbers were published, with DOI.
    """

    name: str
    factors: Mapping[str, float] = field(default_factory=_none)
    values: Mapping[str, float] = field(default_factory=_none)
    conduction: float = 1.0
    optional: frozenset[str] = frozenset()
    source: str = ""

    def __post_init__(self) -> None:
        wrong = [f"{k} x {v:g}" for k, v in self.factors.items() if not v >= 0]
        if wrong or not self.conduction > 0:
            raise InputError(
                f"{self.name} scales {', '.join(wrong) or f'conduction by {self.conduction:g}'}",
                needed="factors of at least 0, and a conduction above 0",
            )

    def part(self, share: float, healthy: Mapping[str, float] | None = None) -> Change:
        """Return this change in part: 0 is health, 1 all of it, linear between.

        Parameters
        ----------
        share : float, 0 to 1
        healthy : mapping of label to float, optional
            What the values are in health; needed for each label of ``values``.
        """
        if not 0 <= share <= 1:
            raise InputError(f"a share of {share:g}", needed="0 (health) to 1")
        base = {} if healthy is None else healthy
        missing = [k for k in self.values if k not in base]
        if missing:
            raise InputError(
                f"no healthy value of {', '.join(missing)}",
                needed="one for each value that changes",
                fix="pass healthy={'K_o': 5.4}, or the model's own",
            )
        return replace(
            self,
            name=f"{share:.0%} of {self.name}",
            factors={k: 1 + share * (v - 1) for k, v in self.factors.items()},
            values={k: base[k] + share * (v - base[k]) for k, v in self.values.items()},
            conduction=1 + share * (self.conduction - 1),
        )

    def parameters(self, model: CellModel) -> dict[str, float]:
        """Return the parameters of a model that change, and their new values.

        Raises
        ------
        InputError
            If the model lacks a label that is not optional.
        """
        has = self._names(model)
        lacking = [k for k in (*self.factors, *self.values) if k not in has and k not in self.optional]
        if lacking:
            raise InputError(
                f"{model.name} has no {', '.join(lacking)}",
                needed=f"a model with them, for {self.name}",
                fix=f"its labels are {', '.join(sorted(dict(model.labels)))}",
            )
        changed = {has[k]: model[k].value * v for k, v in self.factors.items() if k in has}
        return changed | {has[k]: v for k, v in self.values.items() if k in has}

    def left_out(self, model: CellModel) -> tuple[str, ...]:
        """Return the labels this change speaks of and the model lacks."""
        has = self._names(model)
        return tuple(k for k in (*self.factors, *self.values) if k not in has)

    def _names(self, model: CellModel) -> Mapping[str, str]:
        return {p: p for p in model.parameter_names} | dict(model.labels)

    def on(self, model: CellModel) -> CellModel:
        """Return the model with this change."""
        return model.with_(**self.parameters(model))


def together(name: str, changes: Iterable[Change]) -> Change:
    """Return several changes as one: factors multiply, values may be set by one of them only.

    >>> slow = together("both", [Change("a", {"g_Na": 0.5}), Change("b", {"g_Na": 0.8, "g_Kr": 0.3})])
    >>> slow.factors["g_Na"], slow.factors["g_Kr"]
    (0.4, 0.3)
    """
    factors: dict[str, float] = {}
    values: dict[str, float] = {}
    conduction, needed, offered = 1.0, set[str](), set[str]()
    sources = []
    for change in changes:
        for label, factor in change.factors.items():
            factors[label] = factors.get(label, 1.0) * factor
        twice = [k for k in change.values if k in values and values[k] != change.values[k]]
        if twice:
            raise InputError(
                f"{change.name} sets {', '.join(twice)}, which another change has set",
                needed="one value for each",
                fix="give the value you mean in a change of its own",
            )
        values |= change.values
        conduction *= change.conduction
        offered |= change.optional
        needed |= {*change.factors, *change.values} - change.optional
        sources.append(change.source)
    return Change(
        name, factors, values, conduction, frozenset(offered - needed), "; ".join(filter(None, sources))
    )
