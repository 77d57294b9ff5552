"""From the equations of a model to the few, cheap operations of one time step.

What happens to the equations, in this order:

1. Parameters that are not ``varied`` become numbers and fold away.
2. Quotients stay open (:class:`carna.ep.cell.graph.Fraction`).
3. Exponentials of one direction are shared: ``e^{(V+60)/20}``, ``e^{-(V-35)/10}`` and ``e^{V/5}`` are a
   constant times the 1st, -2nd and 4th power of one ``e^{V/20}``. A negative power is a swap of top and
   bottom.
4. Gates ``x' = (x_inf - x) / tau`` become Rush-Larsen steps ``x += (x_inf - x)(1 - e^{-dt/tau})``, exact at
   fixed V [1]_. Where tau depends on V alone and ``dt/tau`` is small at every V, ``1 - e^{-z}`` is its own
   series, cut where float32 (or float64) can't tell the difference.
5. Everything else becomes an Euler step, in float32 with the rounding error carried along (Kahan): near
   rest [K]i changes by 1e-6 of the last digit of 137 mM per step, and would stand still otherwise.
6. Markov chains ``x' = A(V) x`` step together by the implicit Euler method, the elimination written out:
   stable at any rate, and the sum of the states stays what it is.
7. Gates are stepped first, and the rest sees the new gates. Read as gates known half a step before V, this
   is the leapfrog: second order in the coupling that makes the upstroke, for nothing.

.. [1] Rush & Larsen, IEEE Trans Biomed Eng 1978, doi:10.1109/TBME.1978.326270.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from carna.ep.cell.expression import Apply, Expression, Name, Number, evaluate, linear, names, substitute
from carna.ep.cell.graph import Fraction, Graph, shared_division
from carna.ep.cell.model import STIMULUS, CellModel
from carna.errors import InputError

__all__ = ["Step", "lower", "rush_larsen"]

V_LOW, V_HIGH = -180.0, 140.0  # mV; exponentials see V held inside these
_SAMPLES = 1024
_POWER = 8  # the highest power of a shared exponential
_LOG2E = 1 / math.log(2)
_SHARE = 2  # reciprocals per division


@final
@dataclass(frozen=True)
class Step:
    """One time step: the graph, and for each thing stored per node the node of its new value."""

    graph: Graph
    slots: tuple[str, ...]
    new: Mapping[str, int]


def rush_larsen(model: CellModel) -> dict[str, tuple[Expression, Expression]]:
    """Return ``(x_inf, rate)`` for every state that is stepped as a gate.

    A gate is a state whose derivative is linear in itself and falling, and that is in no Markov chain.
    """
    chained = {name for chain in markov_chains(model) for name in chain}
    values = model.values(model.initial)
    found: dict[str, tuple[Expression, Expression]] = {}
    for state in model.states:
        if state.name != "V" and state.name not in chained:
            split = _gate(model, state.name, state.derivative)
            if split is not None and float(evaluate(split[1], values)) > 0:
                found[state.name] = split
    return found


def markov_chains(model: CellModel) -> list[tuple[str, ...]]:
    """Return the Markov chains: states without unit, linear in themselves, in each other's derivatives."""
    uses = {
        s.name: names(s.derivative)
        for s in model.states
        if s.name != "V" and s.unit == "1" and linear(s.derivative, s.name) is not None
    }
    chains: list[set[str]] = []
    for x, used in uses.items():
        near = {y for y in uses if y != x and y in used and x in uses[y]}
        if near:
            joined = [c for c in chains if c & (near | {x})]
            chains = [c for c in chains if c not in joined] + [near.union({x}, *joined)]
    return [tuple(n for n in model.state_names if n in chain) for chain in chains]


def _gate(model: CellModel, x: str, derivative: Expression) -> tuple[Expression, Expression] | None:
    about_x: dict[str, Expression] = {}
    for equation in model.equations:
        if names(equation.expression) & ({x} | about_x.keys()):
            about_x[equation.name] = substitute(equation.expression, about_x)
            if len(about_x) > 12:
                break  # a concentration: everything depends on it
    if names(derivative) & about_x.keys():
        if len(about_x) > 12:
            return None
        derivative = substitute(derivative, about_x)
    match derivative:
        case Apply("/", (Apply("-", (target, Name(id=name))), tau)) if name == x and x not in names(
            tau
        ) | names(target):
            return target, Apply("/", (Number(1.0), tau))
        case Apply("*", (Apply("-", (target, Name(id=name))), rate)) if name == x and x not in names(
            rate
        ) | names(target):
            return target, rate
    split = linear(derivative, x)
    if split is None or split[1] == Number(0.0):
        return None
    rate = _negated(split[1])
    return Apply("/", (split[0], rate)), rate


def _negated(tree: Expression) -> Expression:
    """Return minus a rate, as the sum of positive terms where it is one."""
    match tree:
        case Number(value):
            return Number(-value)
        case Apply("neg", (inner,)):
            return inner
        case Apply("-", (left, right)):
            return Apply("+", (_negated(left), right))
        case Apply("+", (left, right)):
            return Apply("-", (_negated(left), right))
    return Apply("neg", (tree,))


def lower(model: CellModel, varied: tuple[str, ...], precision: str, dt_max_ms: float) -> Step:
    """Return the operations of one step of ``model``.

    Parameters
    ----------
    varied
        Parameters that differ from node to node; all others become numbers.
    precision
        ``float32`` or ``float64``.
    dt_max_ms
        The longest step the result may be used with.
    """
    samples = _samples(model, varied, dt_max_ms)
    first = _Lowering(model, varied, precision, samples, {})
    first.run()
    second = _Lowering(model, varied, precision, samples, _generators(first.asked))
    step = second.run()
    outputs = list(step.new.values())
    graph, moved = shared_division(step.graph, outputs, _SHARE)
    return Step(graph, step.slots, dict(zip(step.new, moved, strict=True)))


def _samples(
    model: CellModel, varied: tuple[str, ...], dt_max_ms: float
) -> dict[str, npt.NDArray[np.float64]]:
    """Return states a cell may be found in, to know the range of every intermediate."""
    rng = np.random.default_rng(0)
    samples = {"dt": np.full(_SAMPLES, dt_max_ms), STIMULUS: np.zeros(_SAMPLES)}
    for state in model.states:
        if state.unit == "1":
            drawn = rng.uniform(0, 1, _SAMPLES)
        elif state.name == "V":
            drawn = np.linspace(V_LOW, V_HIGH, _SAMPLES)
        else:
            drawn = (state.initial or 1e-3) * np.exp(rng.uniform(-2, 2, _SAMPLES))
        samples[state.name] = drawn
        samples[state.name + ".rest"] = np.zeros(_SAMPLES)
    samples["Vx"] = samples["V"]
    for name in varied:
        value = model[name].value
        samples[name] = value * rng.uniform(0.2, 3, _SAMPLES) if value else rng.uniform(0, 1, _SAMPLES)
    return samples


# A direction is a combination of nodes with the first coefficient 1; exponentials along it share powers.
_Direction = tuple[tuple[int, float], ...]


def _generators(asked: Mapping[_Direction, set[float]]) -> dict[tuple[_Direction, float], tuple[float, int]]:
    """Choose for every exponential ``e^{c x}`` asked for the ``(g, k)`` with ``c = k g``."""
    chosen: dict[tuple[_Direction, float], tuple[float, int]] = {}
    for direction, wanted in asked.items():
        have: list[float] = []
        waiting = sorted(wanted)
        for i, c in enumerate(waiting):
            best = min(((k, g) for g in have if (k := _multiple(c, g))), default=None)
            if best is None:
                for other, p in itertools.product(waiting[i + 1 :], (2, 3, 4, 5)):
                    if not _multiple(other, c) and _multiple(other, c / p):
                        have.append(c / p)
                        chosen[direction, c / p] = (c / p, 1)
                        best = (p, c / p)
                        break
            chosen[direction, c] = (best[1], best[0]) if best else (c, 1)
            have.append(c)
    return chosen


def _multiple(c: float, g: float) -> int:
    """Return k if c is k times g, k at most ``_POWER``; else 0."""
    k = round(c / g)
    return k if 1 <= k <= _POWER and math.isclose(c, k * g, rel_tol=1e-9) else 0


@final
class _Lowering:
    def __init__(
        self,
        model: CellModel,
        varied: tuple[str, ...],
        precision: str,
        samples: Mapping[str, npt.NDArray[np.float64]],
        generators: Mapping[tuple[_Direction, float], tuple[float, int]],
    ) -> None:
        self.model, self.varied = model, varied
        self.single = precision == "float32"
        self.g = Graph(samples)
        self.generators = generators
        self.asked: dict[_Direction, set[float]] = {}
        self.known: dict[str, Fraction] = {}
        self.definition = {e.name: e.expression for e in model.equations}
        self.times_used = self._count()
        stepped = {*rush_larsen(model), *itertools.chain(*markov_chains(model)), "V"}
        self.carried = set(model.state_names) - stepped  # in float32, with their rounding errors

    def _count(self) -> dict[str, int]:
        count: dict[str, int] = {}
        trees = [s.derivative for s in self.model.states] + [e.expression for e in self.model.equations]
        for tree in trees:
            for name in names(tree):
                count[name] = count.get(name, 0) + 1
        return count

    def run(self) -> Step:
        g, model = self.g, self.model
        dt = g.whole(g.input("dt"))
        gates, chains = rush_larsen(model), markov_chains(model)
        new: dict[str, int] = {}
        for name, split in gates.items():
            x = g.input(name)
            target, rate = (self.tree(t) for t in split)
            share = self._decay(g.divided(g.times(dt, rate)))
            new[name] = g.add(x, g.mul(g.apply("sub", g.divided(target), x), share))
        for chain in chains:
            new |= self._implicit(chain, dt)
        self._see(new)
        rests: dict[str, int] = {}
        for state in sorted(model.states, key=lambda s: s.name != "V"):
            if state.name in new:
                continue
            x = g.input(state.name)
            change = g.mul(dt.top, g.divided(self.tree(state.derivative)))
            if state.name == "V" or not self.single:
                new[state.name] = g.add(x, change)
                continue
            owed = g.apply("sub", change, g.input(state.name + ".rest"))
            new[state.name] = total = g.apply("add", x, owed)
            rests[state.name + ".rest"] = g.apply("sub", g.apply("sub", total, x), owed)
        others = tuple(s.name for s in model.states if s.name != "V")
        return Step(g, (*others, *self.varied, *rests), {**new, **rests})

    def _see(self, new: Mapping[str, int]) -> None:
        """From here on read gates at their new values: forget what was known from the old ones."""
        stale = set(new)
        for equation in self.model.equations:
            if names(equation.expression) & stale:
                stale.add(equation.name)
        for name in stale:
            self.known.pop(name, None)
        self.known |= {name: self.g.whole(node) for name, node in new.items()}

    def _implicit(self, chain: tuple[str, ...], dt: Fraction) -> dict[str, int]:
        """Solve (1 - dt A) y = x + dt b for the states of a chain by elimination, few neighbours first."""
        g = self.g
        derivative = {s.name: s.derivative for s in self.model.states}
        matrix: dict[tuple[str, str], int] = {}
        right: dict[str, int] = {}
        for row in chain:
            rest: Expression = derivative[row]
            for column in chain:
                split = linear(rest, column)
                if split is None:
                    raise InputError(f"{row}' is not linear in {column}, another state of its Markov chain")
                rest, slope = split
                if slope != Number(0.0):
                    matrix[row, column] = g.neg(g.mul(dt.top, g.divided(self.tree(slope))))
            matrix[row, row] = g.add(g.number(1.0), matrix.get((row, row), g.number(0.0)))
            right[row] = g.add(g.input(row), g.mul(dt.top, g.divided(self.tree(rest))))
        order = sorted(chain, key=lambda n: sum(n in pair for pair in matrix))
        for i, pivot in enumerate(order):
            inverse = g.apply("recip", matrix[pivot, pivot])
            for row in order[i + 1 :]:
                if (row, pivot) not in matrix:
                    continue
                factor = g.mul(matrix[row, pivot], inverse)
                for column in order[i + 1 :]:
                    if (pivot, column) in matrix:
                        before = matrix.get((row, column), g.number(0.0))
                        matrix[row, column] = g.add(before, g.neg(g.mul(factor, matrix[pivot, column])))
                right[row] = g.add(right[row], g.neg(g.mul(factor, right[pivot])))
        solved: dict[str, int] = {}
        for i, row in reversed(list(enumerate(order))):
            total = right[row]
            for column in order[i + 1 :]:
                if (row, column) in matrix:
                    total = g.add(total, g.neg(g.mul(matrix[row, column], solved[column])))
            solved[row] = g.mul(total, g.apply("recip", matrix[row, row]))
        return self._kept(solved)

    def _kept(self, solved: dict[str, int]) -> dict[str, int]:
        """Scale the states of a closed chain to the sum they began with, or rounding would change it."""
        g = self.g
        values = self.model.values(self.model.initial)
        change = [float(values[name + "'"]) for name in solved]
        if abs(sum(change)) > 1e-9 * max(map(abs, change)):
            return solved
        total = g.number(0.0)
        for node in solved.values():
            total = g.add(total, node)
        whole = g.number(sum(float(values[name]) for name in solved))
        share = g.mul(whole, g.apply("recip", total))
        return {name: g.mul(node, share) for name, node in solved.items()}

    def _decay(self, z: int) -> int:
        """Return 1 - e^{-z}, by its series where z is small at every V."""
        g = self.g
        if g.reads[z] <= {"V", "Vx", "dt"}:
            most = float(np.max(np.abs(g.sample[z])))
            tolerance = 3e-8 if self.single else 1e-17
            for order in range(1, 9):
                if most**order / math.factorial(order + 1) < tolerance:
                    # z (1 - z/2 (1 - z/3 (...)))
                    inner = g.number(1.0)
                    for k in range(order, 1, -1):
                        inner = g.apply("sub", g.number(1.0), g.mul(g.number(1 / k), g.mul(z, inner)))
                    return g.mul(z, inner)
        return g.apply("decay2", g.mul(g.number(_LOG2E), z))

    # Trees -----------------------------------------------------------------------------------

    def tree(self, tree: Expression) -> Fraction:
        """Return the fraction of an expression."""
        g = self.g
        match tree:
            case Number(value):
                return g.whole(g.number(value))
            case Name(name):
                return self._name(name)
            case Apply("exp", (arg,)):
                return self._exp(g.divided(self.tree(arg)))
            case Apply("^", (base, exponent)):
                return self._power(self.tree(base), self.tree(exponent))
            case Apply("bernoulli", (arg,)):
                return self._bernoulli(g.divided(self.tree(arg)))
            case Apply("-", (Name(a), Name(b))) if self.single and {a, b} <= self.carried:
                # Two compartments of one ion: the difference of two nearly equal numbers, carries included.
                carry = g.apply("sub", g.input(a + ".rest"), g.input(b + ".rest"))
                return g.whole(g.apply("sub", g.apply("sub", g.input(a), g.input(b)), carry))
            case Apply(op, args):
                return self._apply(op, [self.tree(arg) for arg in args])

    def _name(self, name: str) -> Fraction:
        g = self.g
        if name not in self.known:
            if name in self.definition:
                found = self.tree(self.definition[name])
                if self.times_used.get(name, 0) > 1 and self._is_flow(name):
                    found = g.whole(g.divided(found))
            elif name in self.model.parameter_names and name not in self.varied:
                found = g.whole(g.number(self.model[name].value))
            else:
                found = g.whole(g.input(name))
            self.known[name] = found
        return self.known[name]

    def _is_flow(self, name: str) -> bool:
        """Whether a quantity used twice is divided once for all: currents and fluxes are, rates are not."""
        return not (names(self.definition[name]) <= {"V", *self.model.parameter_names})

    def _apply(self, op: str, args: list[Fraction]) -> Fraction:
        g = self.g
        match op, args:
            case "+", [a, b]:
                return g.plus(a, b)
            case "-", [a, b]:
                return g.plus(a, g.minus(b))
            case "*", [a, b]:
                return g.times(a, b)
            case "/", [a, b]:
                return g.over(a, b)
            case "neg", [a]:
                return g.minus(a)
            case "log", [a] if g.is_number(a.bottom) is None or g.is_number(a.top) is None:
                return g.whole(g.apply("sub", g.apply("log", a.top), g.apply("log", a.bottom)))
            case "if", [test, a, b]:
                bottom = g.apply("select", test.top, a.bottom, b.bottom) if a.bottom != b.bottom else a.bottom
                return Fraction(g.apply("select", test.top, a.top, b.top), bottom)
            case ((">" | ">="), [a, b]):
                return self._apply({">": "<", ">=": "<="}[op], [b, a])
            case "!=", [a, b]:
                return g.whole(g.apply("not", self._apply("==", [a, b]).top))
        word = {"<": "lt", "<=": "le", "==": "eq"}.get(op, op)
        return g.whole(g.apply(word, *[g.divided(a) for a in args]))

    def _power(self, base: Fraction, exponent: Fraction) -> Fraction:
        g = self.g
        value = g.is_number(g.divided(exponent))
        if value is not None and value == int(value) and 1 <= abs(value) <= 32:
            k = abs(int(value))
            top, bottom = g.power(base.top, k), g.power(base.bottom, k)
            if not g.fits(top, bottom):
                top, bottom = g.power(g.divided(base), k), g.number(1.0)
            return Fraction(top, bottom) if value > 0 else Fraction(bottom, top)
        if value == 0.5:
            return g.whole(g.apply("sqrt", g.divided(base)))
        if value == 0:
            return g.whole(g.number(1.0))
        log = self._apply("log", [base])
        return g.whole(g.apply("exp2_safe", g.mul(g.number(_LOG2E), g.divided(g.times(exponent, log)))))

    # Exponentials ----------------------------------------------------------------------------

    def _affine(self, node: int) -> tuple[dict[int, float], float]:
        """Split a node into a combination of nodes and a constant."""
        g = self.g
        at = g.nodes[node]
        match at.op:
            case "number":
                return {}, at.value
            case "neg":
                terms, constant = self._affine(at.args[0])
                return {n: -c for n, c in terms.items()}, -constant
            case "add" | "sub":
                sign = 1.0 if at.op == "add" else -1.0
                terms, constant = self._affine(at.args[0])
                more, extra = self._affine(at.args[1])
                for n, c in more.items():
                    terms[n] = terms.get(n, 0.0) + sign * c
                return {n: c for n, c in terms.items() if c != 0}, constant + sign * extra
            case "mul" if (k := g.is_number(at.args[0])) is not None:
                terms, constant = self._affine(at.args[1])
                return {n: k * c for n, c in terms.items()}, k * constant
        return {node: 1.0}, 0.0

    def _exp(self, argument: int) -> Fraction:
        g = self.g
        terms, constant = self._affine(argument)
        if not terms:
            return g.whole(g.number(math.exp(constant)))
        # V held inside its range: exponentials of V alone then need no guard of their own.
        held = {self._held(n): c for n, c in terms.items()}
        keyed = sorted((g.signature[n], n, c) for n, c in held.items())
        lead = keyed[0][2]
        direction = tuple((sign, c / lead) for sign, _, c in keyed)
        shared = self._shared(direction, {n: c / lead for _, n, c in keyed}, abs(lead))
        if shared is None or not -60 < constant < 60:
            total = g.number(_LOG2E * constant)
            for n, c in held.items():
                total = g.add(total, g.mul(g.number(_LOG2E * c), n))
            return g.whole(g.apply(self._guard(total), total))
        factor = g.number(math.exp(constant))
        whole = g.number(1.0)
        return Fraction(g.mul(factor, shared), whole) if lead > 0 else Fraction(factor, shared)

    def _held(self, node: int) -> int:
        return self.g.input("Vx") if node == self.g.input("V") else node

    def _guard(self, argument: int) -> str:
        """Return the exponential that is safe for an argument: of V alone the samples prove the range."""
        g = self.g
        bounded = g.reads[argument] <= {"Vx"} and float(np.max(np.abs(g.sample[argument]))) < 120
        return "exp2" if bounded else "exp2_safe"

    def _shared(self, direction: _Direction, terms: Mapping[int, float], c: float) -> int | None:
        """Return the node of e^{c x} as a power of a shared exponential, if that stays in range."""
        g = self.g

        def of(coefficient: float) -> int:
            total = g.number(0.0)
            for n, share in terms.items():
                total = g.add(total, g.mul(g.number(_LOG2E * coefficient * share), n))
            return g.apply(self._guard(total), total)

        if not g.fits(of(c)):
            return None
        self.asked.setdefault(direction, set()).add(c)
        generator, k = self.generators.get((direction, c), (c, 1))
        if k == 1:
            return of(c)
        if (direction, generator) in self.generators and self.generators[direction, generator][
            0
        ] != generator:
            inner = self._shared(direction, terms, generator)
            return None if inner is None else g.power(inner, k)
        return g.power(of(generator), k)

    def _bernoulli(self, u: int) -> Fraction:
        """Return u / (e^u - 1), by its series near u = 0."""
        g = self.g
        terms, _ = self._affine(u)
        flipped = bool(terms) and min((g.signature[self._held(n)], c) for n, c in terms.items())[1] < 0
        w = g.neg(u) if flipped else u  # so that B(u) and B(-u) share e^w - 1
        power = self._exp(w)
        if g.is_number(power.bottom) != 1 or not g.fits(power.top):
            power = g.whole(g.divided(power))
        edge = 0.15 if self.single else 2e-3
        near = g.apply("lt", g.apply("abs", w), g.number(edge))
        square = g.mul(w, w)
        even = g.apply("add", g.number(1.0), g.mul(g.number(1 / 12), square))
        if self.single:
            even = g.apply("sub", even, g.mul(g.number(1 / 720), g.mul(square, square)))
        half = g.mul(g.number(0.5), w)
        one = g.number(1.0)
        bottom = g.apply("select", near, one, g.apply("sub", power.top, one))
        if flipped:
            return Fraction(g.apply("select", near, g.add(even, half), g.mul(w, power.top)), bottom)
        return Fraction(g.apply("select", near, g.apply("sub", even, half), w), bottom)


def check_varied(model: CellModel, varied: tuple[str, ...]) -> tuple[str, ...]:
    """Return the parameters' own names for names or labels.

    Raises
    ------
    InputError
        If one is no parameter of the model or named twice.
    """
    own = tuple(model[name].name for name in varied)
    if len(set(own)) < len(own):
        raise InputError(f"varied={varied} names a parameter twice", needed="each once")
    return own
