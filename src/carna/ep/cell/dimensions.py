"""Are the units of an equation's two sides the same?

A number without a unit takes the one that makes its equation right, as in a printed paper: ``exp(V / 6.8)``
is accepted. Whatever can be decided is: sums of unlike units, an equation whose formula has another unit
than the one written behind it, an exponential of millivolts, a derivative that is not its state per ms.
Scales count too: a current in A/F added to one in mA/F is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from carna.ep.cell.expression import Apply, Expression, Name, Number
from carna.ep.cell.model import STIMULUS, CellModel
from carna.errors import InputError, UnitError
from carna.units import convert, dimension

__all__ = ["check_units"]

_BASE: Final = ("m", "kg", "s", "A", "K", "mol", "rad", "B")


@final
@dataclass(frozen=True)
class _Unit:
    """A factor to SI and the exponents of the base units."""

    factor: float
    powers: tuple[float, ...]

    def times(self, other: _Unit, sign: int = 1) -> _Unit:
        powers = tuple(a + sign * b for a, b in zip(self.powers, other.powers, strict=True))
        return _Unit(self.factor * other.factor**sign, powers)

    def raised(self, exponent: float) -> _Unit:
        return _Unit(self.factor**exponent, tuple(a * exponent for a in self.powers))

    def same(self, other: _Unit) -> bool:
        close = math.isclose(self.factor, other.factor, rel_tol=1e-6)
        return close and all(abs(a - b) < 1e-9 for a, b in zip(self.powers, other.powers, strict=True))

    def __str__(self) -> str:
        parts = [f"{n}{p:g}" if p != 1 else n for n, p in zip(_BASE, self.powers, strict=True) if p]
        scale = "" if math.isclose(self.factor, 1) else f"{self.factor:g} "
        return scale + (".".join(parts) or "1")


_PURE: Final = _Unit(1.0, (0.0,) * 8)


def _unit(text: str) -> _Unit:
    powers = dimension(text)
    # carna.units speaks of a unit relative to another of its dimension: take the one made of base units.
    base = ".".join(f"{n}{p}" if p != 1 else n for n, p in zip(_BASE, powers, strict=True) if p) or "1"
    return _Unit(convert(1.0, text, base) if "Cel" not in text else 1.0, tuple(map(float, powers)))


def check_units(model: CellModel) -> None:
    """Refuse a model whose equations join unlike units.

    Raises
    ------
    InputError
        Naming the equation, the units found and the unit needed.
    """
    known: dict[str, _Unit | None] = {STIMULUS: _unit("A/F")}
    try:
        known |= {p.name: _unit(p.unit) for p in model.parameters}
        known |= {s.name: _unit(s.unit) for s in model.states}
        declared = {e.name: _unit(e.unit) for e in model.equations if e.unit is not None}
    except UnitError as error:
        raise InputError(f"{model.name}: {error.found}", needed=error.needed, fix=error.fix) from error
    for equation in model.equations:
        found = _checked(f"{model.name}: {equation.name}", equation.expression, known)
        if equation.name in declared:
            _agree(f"{model.name}: {equation.name}", found, declared[equation.name])
            found = declared[equation.name]
        known[equation.name] = found
    per_ms = _unit("ms")
    for state in model.states:
        found = _checked(f"{model.name}: {state.name}'", state.derivative, known)
        _agree(f"{model.name}: {state.name}'", found, _unit(state.unit).times(per_ms, -1))


def _agree(where: str, found: _Unit | None, needed: _Unit) -> None:
    if found is not None and not found.same(needed):
        raise InputError(
            f"{where} has the unit {found}", needed=str(needed), fix="check its terms and constants"
        )


def _checked(where: str, tree: Expression, known: Mapping[str, _Unit | None]) -> _Unit | None:
    """Return the unit of a formula; None where a bare number leaves it open."""
    match tree:
        case Number(_, unit):
            return None if unit is None else _unit(unit)
        case Name(name):
            return known[name]
        case Apply(op, args):
            units = [_checked(where, arg, known) for arg in args]
    match op, units:
        case (("+" | "-" | "min" | "max" | "<" | "<=" | ">" | ">=" | "==" | "!="), [a, b]):
            joined = _same(where, op, a, b)
            return _PURE if op[0] in "<>=!" else joined
        case (("*" | "/"), [a, b]):
            return None if a is None or b is None else a.times(b, 1 if op == "*" else -1)
        case "^", [a, b]:
            _pure(where, op, b)
            exponent = args[1]
            if isinstance(exponent, Number):
                return None if a is None else a.raised(exponent.value)
            _pure(where, op, a)
            return _PURE
        case (("exp" | "log" | "bernoulli"), [a]):
            _pure(where, op, a)
            return _PURE
        case "sqrt", [a]:
            return None if a is None else a.raised(0.5)
        case (("neg" | "abs" | "floor"), [a]):
            return a
        case "if", [_, a, b]:
            return _same(where, op, a, b)
    return _PURE


def _same(where: str, op: str, a: _Unit | None, b: _Unit | None) -> _Unit | None:
    if a is not None and b is not None and not a.same(b):
        raise InputError(f"{where} joins {a} and {b} by {op!r}", needed="one unit on both sides")
    return b if a is None else a


def _pure(where: str, op: str, a: _Unit | None) -> None:
    if a is not None and not a.same(_PURE):
        raise InputError(f"{where} takes {op!r} of the unit {a}", needed="a pure number")
