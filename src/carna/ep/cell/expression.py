"""Expressions: the trees every cell model is written in.

Three kinds of node are enough: a number, a name, and an operation on other nodes::

    exp((V + 80) / 6.8)   =   Apply("exp", (Apply("/", (Apply("+", (Name V, Number 80)), Number 6.8)),))

A tree can be evaluated on NumPy arrays (:func:`evaluate`), asked for its names, rewritten name by
name, and split into ``a + b x`` (:func:`linear`), which is how gates are recognised.

``bernoulli(u) = u / (e^u - 1)`` is an operation of its own: it is the voltage factor of every
Goldman-Hodgkin-Katz current and of many opening rates, and 0/0 at u = 0, where it is 1. Written
as one word each backend can compute it without the singularity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np

from carna.errors import InputError

__all__ = ["Apply", "Expression", "Name", "Number", "evaluate", "linear", "names", "substitute"]


@final
@dataclass(frozen=True, slots=True)
class Number:
    """A number; ``unit`` is a UCUM string, or None where the text gave no unit."""

    value: float
    unit: str | None = None


@final
@dataclass(frozen=True, slots=True)
class Name:
    """A state, a parameter, an intermediate or the stimulus."""

    id: str


@final
@dataclass(frozen=True, slots=True)
class Apply:
    """An operation of :data:`OPERATIONS` on its arguments."""

    op: str
    args: tuple[Expression, ...]


Expression = Number | Name | Apply


def _bernoulli(u: Any) -> Any:
    u = np.asarray(u, dtype=float)
    near = np.abs(u) < 1e-3
    safe = np.where(near, 1.0, u)
    return np.where(near, 1 - u / 2 + u * u / 12, safe / np.expm1(safe))


# operation: (number of arguments, what it does to float64 arrays)
OPERATIONS: Final[Mapping[str, tuple[int, Callable[..., Any]]]] = {
    "+": (2, np.add),
    "-": (2, np.subtract),
    "*": (2, np.multiply),
    "/": (2, np.divide),
    "^": (2, np.power),
    "neg": (1, np.negative),
    "exp": (1, np.exp),
    "log": (1, np.log),
    "sqrt": (1, np.sqrt),
    "abs": (1, np.abs),
    "floor": (1, np.floor),
    "sin": (1, np.sin),
    "cos": (1, np.cos),
    "acos": (1, np.arccos),
    "atan": (1, np.arctan),
    "min": (2, np.minimum),
    "max": (2, np.maximum),
    "bernoulli": (1, _bernoulli),
    "<": (2, np.less),
    "<=": (2, np.less_equal),
    ">": (2, np.greater),
    ">=": (2, np.greater_equal),
    "==": (2, np.equal),
    "!=": (2, np.not_equal),
    "and": (2, np.logical_and),
    "or": (2, np.logical_or),
    "not": (1, np.logical_not),
    "if": (3, np.where),
}


def evaluate(tree: Expression, values: Mapping[str, Any]) -> Any:
    """Return the value of ``tree`` in float64.

    Parameters
    ----------
    values
        A number or an array for every name; arrays broadcast against each other.

    Raises
    ------
    InputError
        If a name has no value.

    Notes
    -----
    Both branches of ``if`` are computed, as in the fast kernels; the floating-point warnings of
    the branch not taken are therefore silenced.
    """
    with np.errstate(all="ignore"):
        return _evaluate(tree, values)


def _evaluate(tree: Expression, values: Mapping[str, Any]) -> Any:
    match tree:
        case Number(value):
            return value
        case Name(name):
            if name not in values:
                raise InputError(f"{name!r} has no value", needed="a value for every name")
            return values[name]
        case Apply(op, args):
            return OPERATIONS[op][1](*[_evaluate(arg, values) for arg in args])


def names(tree: Expression) -> frozenset[str]:
    """Return every name in ``tree``."""
    return frozenset(_names(tree))


def _names(tree: Expression) -> Iterator[str]:
    match tree:
        case Name(name):
            yield name
        case Apply(_, args):
            for arg in args:
                yield from _names(arg)
        case Number():
            return


def substitute(tree: Expression, by: Mapping[str, Expression]) -> Expression:
    """Return ``tree`` with every name in ``by`` replaced, once and from the outside in."""
    match tree:
        case Name(name):
            return by.get(name, tree)
        case Apply(op, args):
            return Apply(op, tuple(substitute(arg, by) for arg in args))
        case Number():
            return tree


_ZERO, _ONE = Number(0.0), Number(1.0)


def linear(tree: Expression, name: str) -> tuple[Expression, Expression] | None:
    """Split ``tree`` into ``(a, b)`` with ``tree = a + b * name``; None if it is not linear in ``name``.

    ``a`` and ``b`` are free of ``name``; a factor of exactly zero comes back as ``Number(0)``.
    """
    if name not in names(tree):
        return tree, _ZERO
    match tree:
        case Name():
            return _ZERO, _ONE
        case Apply("neg", (arg,)):
            split = linear(arg, name)
            return split and (_neg(split[0]), _neg(split[1]))
        case Apply("+" | "-" as op, (left, right)):
            one, two = linear(left, name), linear(right, name)
            if one is None or two is None:
                return None
            join = _add if op == "+" else _subtract
            return join(one[0], two[0]), join(one[1], two[1])
        case Apply("*", (left, right)):
            if name in names(left) and name in names(right):
                return None
            factor, rest = (right, left) if name in names(left) else (left, right)
            split = linear(rest, name)
            return split and (_multiply(factor, split[0]), _multiply(factor, split[1]))
        case Apply("/", (left, right)):
            split = None if name in names(right) else linear(left, name)
            return split and (_divide(split[0], right), _divide(split[1], right))
    return None


def _neg(x: Expression) -> Expression:
    return Number(-x.value, x.unit) if isinstance(x, Number) else Apply("neg", (x,))


def _add(x: Expression, y: Expression) -> Expression:
    return y if x == _ZERO else x if y == _ZERO else Apply("+", (x, y))


def _subtract(x: Expression, y: Expression) -> Expression:
    return x if y == _ZERO else _neg(y) if x == _ZERO else Apply("-", (x, y))


def _multiply(x: Expression, y: Expression) -> Expression:
    if _ZERO in (x, y):
        return _ZERO
    return y if x == _ONE else x if y == _ONE else Apply("*", (x, y))


def _divide(x: Expression, y: Expression) -> Expression:
    return _ZERO if x == _ZERO else Apply("/", (x, y))
