"""A circuit: blocks joined at nodes, and the equations that they make together.

Each node joins one block to the next and carries a flow and a pressure; each block writes equations between
the nodes at its ports and unknowns of its own. All of them together are

    E(t) dy/dt + F(t) y + c(t) + elements(y, dy/dt) = 0

with as many equations as unknowns. Nothing here knows a unit: a circuit is in whatever its numbers are in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.zerod.drive import Drive, Series

if TYPE_CHECKING:
    from carna.flow.zerod.kernel import System

Floats = npt.NDArray[np.float64]
Value = float | Drive

# Widths of an element's table: unknowns, rows, entries of the matrix, parameters.
_AT, _TO, _SLOTS, _PARS = 4, 4, 6, 5
_NOTHING: Final[Mapping[int, Value]] = MappingProxyType({})


@final
@dataclass(frozen=True, slots=True)
class Port:
    """The unknowns at a node, as indices."""

    p: int
    q: int


@final
@dataclass(frozen=True, slots=True)
class Ports:
    """What a block may write about: its nodes in the order they were joined, and its own unknowns."""

    inlets: tuple[Port, ...]
    outlets: tuple[Port, ...]
    inner: tuple[int, ...]


@final
@dataclass(frozen=True, slots=True)
class Block:
    """A part of a circuit.

    Attributes
    ----------
    name : str
    kind : str
    inlets, outlets : int or None
        How many nodes it needs; None for any number above 0.
    inner : tuple of str
        Its own unknowns.
    write : callable(Equations, Ports)
        Adds its equations.
    series : tuple of Series
        What must agree with the period of the circuit.
    time_constant_s : float or None
        R C of an outlet, which says how many cycles a periodic state takes.
    """

    name: str
    kind: str
    inlets: int | None
    outlets: int | None
    write: Callable[[Equations, Ports], None]
    inner: tuple[str, ...] = ()
    series: tuple[Series, ...] = ()
    time_constant_s: float | None = None


@final
@dataclass(frozen=True)
class Circuit:
    """Blocks, and the nodes that join them: (from, to) by name, in the order of the unknowns.

    Raises
    ------
    InputError
        If a node names no block, a block is there twice, or one has a port open.
    """

    blocks: tuple[Block, ...]
    nodes: tuple[tuple[str, str], ...]
    period_s: float
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        names = {b.name for b in self.blocks}
        if len(names) != len(self.blocks):
            double = next(n for n in names if sum(b.name == n for b in self.blocks) > 1)
            raise InputError(f"two blocks named {double!r}", needed="a name for each block")
        begins, ends = Counter(a for a, _ in self.nodes), Counter(b for _, b in self.nodes)
        for pair in self.nodes:
            for name in pair:
                if name not in names:
                    raise InputError(f"{' -> '.join(pair)}", needed=f"a block named {name!r}")
        if not self.period_s > 0:
            raise InputError(f"a period of {self.period_s:g}", needed="a period above 0")
        for block in self.blocks:
            for side, needed, wired in (
                ("inlet", block.inlets, ends[block.name]),
                ("outlet", block.outlets, begins[block.name]),
            ):
                if wired != needed if needed is not None else not wired:
                    wanted = "at least 1" if needed is None else needed
                    raise InputError(
                        f"{block.kind} {block.name!r} with {wired} of {wanted} {side}s joined",
                        needed="each port joined to one block",
                        fix=f"give it a boundary condition, a junction or a valve at its {side}",
                    )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every unknown, in order: flow and pressure of each node, then what blocks keep inside."""
        nodes = [f"{what}:{a}:{b}" for a, b in self.nodes for what in ("flow", "pressure")]
        return (*nodes, *(f"{what}:{b.name}" for b in self.blocks for what in b.inner))

    @cached_property
    def ports(self) -> Mapping[str, Ports]:
        """What each block may write about."""
        ins: dict[str, list[Port]] = {b.name: [] for b in self.blocks}
        outs: dict[str, list[Port]] = {b.name: [] for b in self.blocks}
        for n, (a, b) in enumerate(self.nodes):
            outs[a].append(Port(2 * n + 1, 2 * n))
            ins[b].append(Port(2 * n + 1, 2 * n))
        found, at = {}, 2 * len(self.nodes)
        for block in self.blocks:
            inner = tuple(range(at, at + len(block.inner)))
            at += len(inner)
            found[block.name] = Ports(tuple(ins[block.name]), tuple(outs[block.name]), inner)
        return found

    def equations(self, y: Floats, dy: Floats, *, steady: bool, started: bool) -> Equations:
        """Return the equations that hold from state y, dy on.

        Parameters
        ----------
        y, dy : (n,) float
        steady : bool
            For the steady start: series are their means, outlets have no compliance.
        started : bool
            Whether a steady start came before.
        """
        found = Equations(self, y, dy, steady=steady, started=started)
        for block in self.blocks:
            block.write(found, self.ports[block.name])
        if found.rows != len(self.names):
            raise InputError(f"{found.rows} equations for {len(self.names)} unknowns", needed="as many")
        return found


@final
class Equations:
    """Gathers what blocks write; `system` is what the kernel reads.

    Attributes
    ----------
    steady, started : bool
        See `Circuit.equations`.
    y, dy : (n,) float
        The state from which they hold.
    """

    def __init__(self, circuit: Circuit, y: Floats, dy: Floats, *, steady: bool, started: bool) -> None:
        self.circuit, self.y, self.dy = circuit, y, dy
        self.steady, self.started = steady, started
        self.rows = 0
        self.drives: list[Drive] = []
        self._slots: dict[tuple[int, int], int] = {}
        self._e: list[float] = []
        self._f: list[float] = []
        self._c: list[float] = []
        self._moving: dict[str, list[tuple[int, int]]] = {"e": [], "f": [], "c": []}
        self._elements: list[tuple[int, list[int], list[int], list[int], list[float], int]] = []

    def series(self, of: Series) -> Value:
        """Return a series as it counts now: itself, or its mean."""
        return of.mean if of.constant or self.steady else of.at

    def row(
        self, f: Mapping[int, Value], e: Mapping[int, Value] = _NOTHING, c: Value = 0.0, *, more: int = 0
    ) -> int:
        """Add sum(e dy/dt) + sum(f y) + c = 0 and return its row; ``more`` further empty rows may follow."""
        at = self.rows
        self.rows += 1 + more
        self._c += [0.0] * (1 + more)
        for terms, fixed, moving in ((f, self._f, "f"), (e, self._e, "e")):
            for unknown, value in terms.items():
                slot = self._slot(at, unknown)
                if callable(value):
                    self._moving[moving].append((slot, self._drive(value)))
                else:
                    fixed[slot] += value
        if callable(c):
            self._moving["c"].append((at, self._drive(c)))
        else:
            self._c[at] += c
        return at

    def element(
        self,
        kind: int,
        at: Sequence[int],
        rows: Sequence[int],
        entries: Sequence[tuple[int, int]],
        par: Sequence[float],
        by: Drive | None = None,
    ) -> None:
        """Add a nonlinear element; `carna.flow.zerod.kernel.elements` says what each kind reads."""
        slots = [self._slot(*e) for e in entries]
        drive = -1 if by is None else self._drive(by)
        self._elements.append((kind, list(at), list(rows), slots, list(par), drive))

    def _slot(self, row: int, unknown: int) -> int:
        slot = self._slots.setdefault((row, unknown), len(self._e))
        if slot == len(self._e):
            self._e.append(0.0)
            self._f.append(0.0)
        return slot

    def _drive(self, value: Drive) -> int:
        self.drives.append(value)
        return len(self.drives) - 1

    def drive(self, time_s: Floats) -> Floats:
        """Return all drives at some times: (times, drives)."""
        found = np.empty((len(time_s), len(self.drives)))
        for k, one in enumerate(self.drives):
            found[:, k] = one(time_s)
        return found

    def system(self) -> System:
        """Return the arrays of these equations in compressed columns."""
        from carna.flow.zerod.kernel import System

        places = np.array(list(self._slots), np.int64).reshape(-1, 2)
        order = np.lexsort((places[:, 0], places[:, 1]))
        to = np.empty(len(order), np.int64)
        to[order] = np.arange(len(order))
        start = np.searchsorted(places[order, 1], np.arange(self.rows + 1))
        moving = {
            k: np.array([(to[s] if k != "c" else s, d) for s, d in v], np.int64).reshape(-1, 2).T.copy()
            for k, v in self._moving.items()
        }
        m = self._elements
        return System(
            start.astype(np.int64),
            places[order, 0].copy(),
            np.array(self._e)[order],
            np.array(self._f)[order],
            np.array(self._c),
            moving["e"],
            moving["f"],
            moving["c"],
            np.array([x[0] for x in m], np.int64),
            np.array([_padded(x[1], _AT) for x in m], np.int64).reshape(-1, _AT),
            np.array([_padded(x[2], _TO) for x in m], np.int64).reshape(-1, _TO),
            np.array([_padded([int(to[s]) for s in x[3]], _SLOTS) for x in m], np.int64).reshape(-1, _SLOTS),
            np.array([x[4] + [0.0] * (_PARS - len(x[4])) for x in m], np.float64).reshape(-1, _PARS),
            np.array([x[5] for x in m], np.int64),
        )


def _padded(values: list[int], width: int) -> list[int]:
    return values + [-1] * (width - len(values))
