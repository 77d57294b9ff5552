"""Operations as a graph: every value once, quotients kept open, with an eye on the range of float32.

A :class:`Graph` holds operations on earlier operations; asking for one that exists returns it, so equal
subexpressions are computed once. Each node carries its value at a few hundred sample states, from which it
is known, when a product is formed, whether it stays inside the range of float32.

A :class:`Fraction` is a quotient not yet divided. Sums and products of fractions are fractions again, a
division by one is a swap, and ``1 / (1 + 1/E)`` becomes ``E / (E + 1)``: most of the divisions of a cell
model disappear, and those left are divided in groups (:func:`shared_division`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

__all__ = ["Fraction", "Graph", "Node", "in_use", "shared_division"]

Floats = npt.NDArray[np.float64]
_BIG, _SMALL = 1e28, 1e-28  # a product of two such is still a float32


@final
@dataclass(frozen=True, slots=True)
class Node:
    """One operation: its word, the nodes it works on, and a number or name where it has one."""

    op: str
    args: tuple[int, ...] = ()
    value: float = 0.0
    name: str = ""


@final
@dataclass(frozen=True, slots=True)
class Fraction:
    """A quotient of two nodes."""

    top: int
    bottom: int


_SAMPLE: Final[Mapping[str, Callable[..., Any]]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "neg": np.negative, "recip": lambda x: 1 / x,
    "exp2": np.exp2, "exp2_safe": np.exp2, "log": np.log, "sqrt": np.sqrt, "abs": np.abs, "floor": np.floor,
    "sin": np.sin, "cos": np.cos, "acos": np.arccos, "atan": np.arctan,
    "min": np.minimum, "max": np.maximum, "lt": np.less, "le": np.less_equal, "eq": np.equal,
    "and": np.logical_and, "or": np.logical_or, "not": np.logical_not,
    "select": np.where, "decay2": lambda z: -np.expm1(-z * np.log(2.0)),
}  # fmt: skip
_COMMUTES: Final = {"add", "mul", "min", "max", "eq", "and", "or"}


@final
class Graph:
    """Operations on earlier operations, each once; see the module's first lines."""

    def __init__(self, samples: Mapping[str, Floats]) -> None:
        self.nodes: list[Node] = []
        self.sample: list[Floats] = []
        self.reads: list[frozenset[str]] = []
        self.signature: list[int] = []
        self._known: dict[Node, int] = {}
        self.inputs = samples

    def number(self, value: float) -> int:
        """Return the node of a constant."""
        return self._node(Node("number", value=float(value)))

    def input(self, name: str) -> int:
        """Return the node of a state, a varied parameter, ``stimulus`` or ``dt``."""
        return self._node(Node("input", name=name))

    def is_number(self, node: int) -> float | None:
        """Return the value of a constant, None for anything else."""
        return self.nodes[node].value if self.nodes[node].op == "number" else None

    def apply(self, op: str, *args: int, value: float = 0.0) -> int:
        """Return the node of an operation, folded where its arguments are constants."""
        if op in _COMMUTES:
            args = tuple(sorted(args))
        if all(self.is_number(a) is not None for a in args):
            with np.errstate(all="ignore"):
                return self.number(float(_SAMPLE[op](*[np.float64(self.nodes[a].value) for a in args])))
        return self._node(Node(op, args, value))

    def copy(self, node: Node, args: tuple[int, ...]) -> int:
        """Return the node of another graph's operation on nodes of this one."""
        return self._node(Node(node.op, args, node.value, node.name))

    def _node(self, node: Node) -> int:
        if node in self._known:
            return self._known[node]
        match node.op:
            case "number":
                sample, reads = np.array([node.value]), frozenset[str]()
            case "input":
                sample, reads = self.inputs[node.name], frozenset({node.name})
            case _:
                with np.errstate(all="ignore"):
                    sample = np.asarray(_SAMPLE[node.op](*[self.sample[a] for a in node.args]))
                reads = frozenset[str]().union(*[self.reads[a] for a in node.args])
        self._known[node] = len(self.nodes)
        # Python's own hash of a text differs from process to process, and with it would the source.
        what = repr((node.op, node.value, node.name, *[self.signature[a] for a in node.args]))
        self.signature.append(int.from_bytes(blake2b(what.encode(), digest_size=8).digest()))
        self.nodes.append(node)
        self.sample.append(sample)
        self.reads.append(reads)
        return len(self.nodes) - 1

    # Arithmetic with the foldings that matter -------------------------------------------------

    def add(self, a: int, b: int) -> int:
        """Return a + b."""
        if self.is_number(a) == 0:
            return b
        if self.is_number(b) == 0:
            return a
        if self.nodes[b].op == "neg":
            return self.apply("sub", a, self.nodes[b].args[0])
        if self.nodes[a].op == "neg":
            return self.apply("sub", b, self.nodes[a].args[0])
        return self.apply("add", a, b)

    def neg(self, a: int) -> int:
        """Return -a."""
        node = self.nodes[a]
        if node.op == "neg":
            return node.args[0]
        if node.op == "sub":
            return self.apply("sub", node.args[1], node.args[0])
        if node.op == "mul" and (k := self.is_number(node.args[0])) is not None:
            return self.mul(self.number(-k), node.args[1])
        return self.apply("neg", a)

    def mul(self, a: int, b: int) -> int:
        """Return a * b, constants gathered in front."""
        x, y = self.is_number(a), self.is_number(b)
        if y is not None and x is None:
            return self.mul(b, a)
        if x == 1:
            return b
        if x == 0:
            return a
        if x == -1:
            return self.neg(b)
        for first, second in ((a, b), (b, a)):
            inner = self.nodes[second]
            if inner.op == "neg":
                return self.neg(self.mul(first, inner.args[0]))
            if inner.op == "mul" and (k := self.is_number(inner.args[0])) is not None:
                if x is not None and first == a:
                    return self.mul(self.number(x * k), inner.args[1])
                if x is None:
                    return self.mul(inner.args[0], self.mul(first, inner.args[1]))
        # Constants are stored first so that the look above finds them.
        if x is not None:
            return self._node(Node("mul", (a, b))) if y is None else self.number(x * y)
        return self.apply("mul", a, b)

    def power(self, a: int, exponent: int) -> int:
        """Return a to a positive whole power, by squaring."""
        if exponent == 1:
            return a
        half = self.power(a, exponent // 2)
        square = self.mul(half, half)
        return square if exponent % 2 == 0 else self.mul(square, a)

    # Fractions -------------------------------------------------------------------------------

    def whole(self, node: int) -> Fraction:
        """Return a node as a fraction."""
        return Fraction(node, self.number(1.0))

    def fits(self, *nodes: int) -> bool:
        """Whether the nodes stay inside the range of float32 at every sample."""
        return all(
            bool(
                np.all(np.isfinite(x))
                and np.max(np.abs(x)) < _BIG
                and np.min(np.abs(x[x != 0]), initial=1) > _SMALL
            )
            for x in (self.sample[n] for n in nodes)
        )

    def plus(self, a: Fraction, b: Fraction) -> Fraction:
        """Return a + b over one denominator, or divided first where that would overflow."""
        if a.bottom == b.bottom:
            return Fraction(self.add(a.top, b.top), a.bottom)
        tops = self.mul(a.top, b.bottom), self.mul(b.top, a.bottom)
        bottom = self.mul(a.bottom, b.bottom)
        if self.fits(*tops, bottom):
            return Fraction(self.add(*tops), bottom)
        return self.whole(self.add(self.divided(a), self.divided(b)))

    def times(self, a: Fraction, b: Fraction) -> Fraction:
        """Return a * b."""
        if a.top == b.bottom:
            return Fraction(b.top, a.bottom)
        if b.top == a.bottom:
            return Fraction(a.top, b.bottom)
        top, bottom = self.mul(a.top, b.top), self.mul(a.bottom, b.bottom)
        if self.fits(top, bottom):
            return Fraction(top, bottom)
        return self.whole(self.mul(self.divided(a), self.divided(b)))

    def over(self, a: Fraction, b: Fraction) -> Fraction:
        """Return a / b."""
        return self.times(a, Fraction(b.bottom, b.top))

    def minus(self, a: Fraction) -> Fraction:
        """Return -a."""
        return Fraction(self.neg(a.top), a.bottom)

    def divided(self, a: Fraction) -> int:
        """Return the node of the quotient."""
        value = self.is_number(a.bottom)
        if value is not None and value != 0 and math.isfinite(value):
            return self.mul(self.number(1 / value), a.top)
        return self.mul(a.top, self.apply("recip", a.bottom))


def shared_division(graph: Graph, outputs: list[int], size: int) -> tuple[Graph, list[int]]:
    """Rewrite reciprocals in groups: ``1/a`` and ``1/b`` from ``r = 1/(a b)`` as ``r b`` and ``r a``.

    Only reciprocals that do not need each other are grouped, and only while their product stays inside
    the range of float32.

    Parameters
    ----------
    size
        Reciprocals per division, 1 to leave them alone.

    Returns
    -------
    The new graph and the nodes of ``outputs`` in it.
    """
    used = in_use(graph, outputs)
    level: dict[int, int] = {}
    groups: dict[int, list[int]] = {}
    filling: dict[int, list[int]] = {}
    for node in used:
        at = graph.nodes[node]
        level[node] = max((level[a] for a in at.args), default=0) + (at.op == "recip")
        if at.op == "recip":
            group = filling.get(level[node], [])
            bottoms = [graph.sample[graph.nodes[n].args[0]] for n in (*group, node)]
            if not group or len(group) == size or not _in_range(bottoms):
                group = filling[level[node]] = []
            group.append(node)
            groups[node] = group
    return _rebuilt(graph, used, groups, outputs)


def _in_range(factors: list[Floats]) -> bool:
    with np.errstate(over="ignore"):
        x = math.prod(factors)
    return bool(np.all(np.isfinite(x)) and np.max(np.abs(x)) < _BIG and np.min(np.abs(x)) > _SMALL)


def _rebuilt(
    graph: Graph, used: list[int], groups: dict[int, list[int]], outputs: list[int]
) -> tuple[Graph, list[int]]:
    new = Graph(graph.inputs)
    made: dict[int, int] = {}

    def build(node: int) -> int:
        if node in made:
            return made[node]
        at = graph.nodes[node]
        if at.op == "number":
            made[node] = new.number(at.value)
        elif at.op == "input":
            made[node] = new.input(at.name)
        elif at.op == "recip" and len(groups[node]) > 1:
            bottoms = [build(graph.nodes[n].args[0]) for n in groups[node]]
            before = [bottoms[0]]  # products of the bottoms up to each
            for bottom in bottoms[1:]:
                before.append(new.mul(before[-1], bottom))
            rest = new.apply("recip", before[-1])
            for member, bottom, product in zip(
                reversed(groups[node]), reversed(bottoms), [*reversed(before[:-1]), None], strict=True
            ):
                made[member] = rest if product is None else new.mul(rest, product)
                rest = new.mul(rest, bottom)
        else:
            made[node] = new.copy(at, tuple(build(a) for a in at.args))
        return made[node]

    for node in used:
        build(node)
    return new, [made[o] for o in outputs]


def in_use(graph: Graph, outputs: list[int]) -> list[int]:
    """Return the nodes the outputs need, each after what it needs itself."""
    seen: dict[int, None] = {}
    for output in outputs:
        stack = [(output, False)]
        while stack:
            at, ready = stack.pop()
            if at in seen:
                continue
            if ready:
                seen[at] = None
                continue
            stack.append((at, True))
            stack.extend((a, False) for a in reversed(graph.nodes[at].args) if a not in seen)
    return list(seen)
