"""The time loop of a circuit, compiled (imported only when one is solved).

The matrix of a circuit has a fixed pattern. Its pivots are chosen once; after that a factorisation is one
sweep over known places (left-looking, column by column), and none is needed at all where nothing in the
matrix changes. A tree of vessels fills in almost nothing, so each step costs what its entries cost.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from carna.flow.zerod.elements import (
    DONE,
    EXPONENTIAL,
    LAGGED,
    LOST,
    PIECEWISE,
    PIVOT,
    STENOSIS,
    STUCK,
    SWITCH,
    TANH,
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# A pivot this small beside the rest of its column asks for new pivots.
SMALL: Final = 1e-11

# After so many Newton steps a residual counts as settled where it is this many roundings of its own terms:
# a tolerance in absolute units can be finer than double precision carries at some pressure.
PATIENCE: Final = 4
ROUNDINGS: Final = 8.0


class System(NamedTuple):
    """E(t) dy/dt + F(t) y + c(t) + elements(y, dy/dt) = 0, in compressed columns."""

    start: Ints
    row: Ints
    e: Floats
    f: Floats
    c: Floats
    e_moves: Ints  # (2, k): entry of e, and the drive that is added to it
    f_moves: Ints
    c_moves: Ints
    kind: Ints
    at: Ints
    to: Ints
    slot: Ints
    par: Floats
    by: Ints


class Order(NamedTuple):
    """Where the entries of both triangular factors stand, for pivots chosen before."""

    column: Ints
    place: Ints  # of each row among the pivots
    l_start: Ints
    l_row: Ints
    u_start: Ints
    u_row: Ints


class Work(NamedTuple):
    """What the loop writes on."""

    e: Floats
    f: Floats
    c: Floats
    jac: Floats
    lower: Floats
    upper: Floats
    pivot: Floats  # zero until a factorisation stands
    left: Floats
    mid: Floats
    mid_rate: Floats
    new: Floats
    rate: Floats
    work: Floats
    open_: Ints


class Scheme(NamedTuple):
    """Generalised-alpha weights, the step and when Newton's method may stop."""

    alpha_m: float
    alpha_f: float
    gamma: float
    step_s: float
    tolerance: float
    most: int


@njit(cache=True, nogil=True, inline="always")
def _visit(i: int, k: int, mark: Ints, waiting: Ints, count: int, l_row: Ints, v: int) -> tuple[int, int]:
    """Note row ``i`` in column ``k`` once: above the pivot it waits to act, below it belongs to L."""
    if mark[i] != k:
        mark[i] = k
        if i < k:
            waiting[count] = i
            count += 1
        else:
            l_row[v] = i
            v += 1
    return count, v


@njit(cache=True, nogil=True)
def fill(start: Ints, row: Ints, column: Ints, place: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Return starts and rows of the lower and upper factor's entries, column by column."""
    n = len(column)
    l_start, u_start = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    size = max(4 * len(row), 16)
    l_row, u_row = np.empty(size, np.int64), np.empty(size, np.int64)
    mark = np.full(n, -1, np.int64)
    waiting = np.empty(n, np.int64)
    for k in range(n):
        u, v, count = u_start[k], l_start[k], 0
        mark[k] = k
        while len(u_row) < u + n:
            u_row = np.concatenate((u_row, np.empty_like(u_row)))
        while len(l_row) < v + n:
            l_row = np.concatenate((l_row, np.empty_like(l_row)))
        for p in range(start[column[k]], start[column[k] + 1]):
            count, v = _visit(place[row[p]], k, mark, waiting, count, l_row, v)
        while count:
            # Columns before this one act on it in their order; there are few, so the first is looked for.
            first = 0
            for m in range(1, count):
                if waiting[m] < waiting[first]:
                    first = m
            j = waiting[first]
            count -= 1
            waiting[first] = waiting[count]
            u_row[u] = j
            u += 1
            for p in range(l_start[j], l_start[j + 1]):
                count, v = _visit(l_row[p], k, mark, waiting, count, l_row, v)
        u_start[k + 1], l_start[k + 1] = u, v
    return l_start, l_row[: l_start[n]], u_start, u_row[: u_start[n]]


@njit(cache=True, nogil=True, error_model="numpy")
def factor(
    start: Ints,
    row: Ints,
    value: Floats,
    order: Order,
    lower: Floats,
    upper: Floats,
    pivot: Floats,
    work: Floats,
    small: float,
) -> bool:
    """Factorise in place; False where a pivot has become too small."""
    n = len(pivot)
    for k in range(n):
        column = order.column[k]
        for p in range(start[column], start[column + 1]):
            work[order.place[row[p]]] = value[p]
        for p in range(order.u_start[k], order.u_start[k + 1]):
            j = order.u_row[p]
            u = work[j]
            work[j] = 0.0
            upper[p] = u
            if u != 0.0:
                for s in range(order.l_start[j], order.l_start[j + 1]):
                    work[order.l_row[s]] -= lower[s] * u
        at = work[k]
        work[k] = 0.0
        largest = 0.0
        for p in range(order.l_start[k], order.l_start[k + 1]):
            i = order.l_row[p]
            largest = max(largest, abs(work[i]))
            lower[p] = work[i] / at
            work[i] = 0.0
        pivot[k] = at
        # Not `<`: a NaN has to show.
        if not abs(at) > small * largest:
            return False
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def solve(order: Order, lower: Floats, upper: Floats, pivot: Floats, right: Floats, work: Floats) -> None:
    """Replace a right side by the solution."""
    n = len(pivot)
    for i in range(n):
        work[order.place[i]] = right[i]
    for j in range(n):
        x = work[j]
        if x != 0.0:
            for p in range(order.l_start[j], order.l_start[j + 1]):
                work[order.l_row[p]] -= lower[p] * x
    for k in range(n - 1, -1, -1):
        x = work[k] / pivot[k]
        work[k] = 0.0
        right[order.column[k]] = x
        if x != 0.0:
            for p in range(order.u_start[k], order.u_start[k + 1]):
                work[order.u_row[p]] -= upper[p] * x


@njit(cache=True, nogil=True, error_model="numpy")
def elements(
    s: System,
    drive: Floats,
    y: Floats,
    dy: Floats,
    a: float,
    b: float,
    left: Floats,
    jac: Floats,
    open_: Ints,
) -> None:
    """Add the nonlinear elements to the left side and to a d/d(dy/dt) + b d/dy."""
    for m in range(len(s.kind)):
        kind, at, to, slot, par = s.kind[m], s.at[m], s.to[m], s.slot[m], s.par[m]
        if kind == STENOSIS:
            # Quadratic loss par[0] q|q| in the first row; what it delays before the capacitor in the second.
            q, dq, size = y[at[0]], dy[at[0]], abs(y[at[0]])
            left[to[0]] -= par[0] * size * q
            jac[slot[0]] -= b * 2 * par[0] * size
            if to[1] >= 0:
                left[to[1]] += par[1] * size * dq
                jac[slot[1]] += a * par[1] * size + b * par[1] * np.sign(q) * dq
        elif kind == EXPONENTIAL:
            rise = par[0] * np.exp(par[1] * (y[at[0]] - par[2]))
            left[to[0]] -= drive[s.by[m]] * (rise - par[0])
            jac[slot[0]] -= b * drive[s.by[m]] * par[1] * rise
        elif kind == SWITCH:
            q = y[at[2]]
            open_[m] = 0 if y[at[0]] <= y[at[1]] and q <= 0 else 1
            if open_[m]:
                for k in range(len(to)):
                    if to[k] >= 0:
                        left[to[k]] += par[k] * q
                        jac[slot[k]] += b * par[k]
        elif kind == LAGGED:
            left[to[0]] += par[0] * y[at[0]]
        elif kind == TANH:
            q, high, low, steep = y[at[2]], par[0], par[1], par[2]
            shut = np.tanh(steep * (y[at[1]] - y[at[0]]))
            slope = steep * (1 - shut * shut)
            half = 0.5 * (high - low)
            left[to[0]] -= half * shut * q
            left[to[1]] -= 0.5 * shut
            jac[slot[0]] += b * half * slope * q
            jac[slot[1]] -= b * half * slope * q
            jac[slot[2]] -= b * half * shut
            jac[slot[3]] += b * 0.5 * slope
            jac[slot[4]] -= b * 0.5 * slope
        elif kind == PIECEWISE:
            resistance = par[1] if y[at[1]] < y[at[0]] else par[0]
            left[to[0]] -= resistance * y[at[2]]
            jac[slot[0]] -= b * resistance
        else:
            sphere(at, to, slot, par, y, dy, a, b, left, jac)


@njit(cache=True, nogil=True, error_model="numpy")
def sphere(
    at: Ints,
    to: Ints,
    slot: Ints,
    par: Floats,
    y: Floats,
    dy: Floats,
    a: float,
    b: float,
    left: Floats,
    jac: Floats,
) -> None:
    """Add momentum, stress and volume of a thin spherical wall."""
    r, v, stress, p, rate = y[at[0]], y[at[1]], y[at[2]], y[at[3]], dy[at[0]]
    r0, thick, w1, w2, eta = par[0], par[1], par[2], par[3], par[4]
    now, r02 = r0 + r, r0 * r0
    left[to[0]] += now * (stress * thick - p * now) / r02
    jac[slot[0]] += b * (stress * thick - 2 * p * now) / r02
    jac[slot[1]] += b * now * thick / r02
    jac[slot[2]] -= b * now * now / r02
    stretch, grows = now * now / r02, 2 * now / r02
    passive, viscous = 4 * (1 - stretch**-3), eta * (1 + 2 * stretch**-6)
    left[to[1]] += passive * (w1 + stretch * w2) + viscous * grows * rate
    jac[slot[3]] += (
        b
        * grows
        * (12 * stretch**-4 * (w1 + stretch * w2) + passive * w2 - 12 * eta * stretch**-7 * grows * rate)
    )
    jac[slot[3]] += b * viscous * 2 * rate / r02 + a * viscous * grows
    left[to[2]] += 4 * np.pi * now * now * v
    jac[slot[4]] += b * 8 * np.pi * now * v
    jac[slot[5]] += b * 4 * np.pi * now * now


@njit(cache=True, nogil=True, error_model="numpy")
def at_floor(s: System, w: Work) -> bool:
    """Return whether every row's residual is within the rounding of its terms."""
    size = np.abs(w.c)
    for k in range(len(w.mid)):
        for p in range(s.start[k], s.start[k + 1]):
            size[s.row[p]] += abs(w.e[p] * w.mid_rate[k]) + abs(w.f[p] * w.mid[k])
    return bool(np.all(np.abs(w.left) <= ROUNDINGS * np.finfo(np.float64).eps * size))


@njit(cache=True, nogil=True, error_model="numpy")
def move(fixed: Floats, moves: Ints, now: Floats, to: Floats) -> None:
    """Set entries that change with time to their fixed part plus their drives."""
    for k in range(moves.shape[1]):
        to[moves[0, k]] = fixed[moves[0, k]]
    for k in range(moves.shape[1]):
        to[moves[0, k]] += now[moves[1, k]]


@njit(cache=True, nogil=True, error_model="numpy")
def evaluate(s: System, scheme: Scheme, now: Floats, y: Floats, dy: Floats, w: Work, jacobian: bool) -> float:
    """Fill the left side, and the matrix where asked; return the largest residual (NaN if any is)."""
    n = len(y)
    a, b = scheme.alpha_m, scheme.alpha_f * scheme.gamma * scheme.step_s
    for i in range(n):
        w.mid_rate[i] = dy[i] + scheme.alpha_m * (w.rate[i] - dy[i])
        w.mid[i] = y[i] + scheme.alpha_f * (w.new[i] - y[i])
        w.left[i] = w.c[i]
    for k in range(n):
        for p in range(s.start[k], s.start[k + 1]):
            w.left[s.row[p]] += w.e[p] * w.mid_rate[k] + w.f[p] * w.mid[k]
    if jacobian:
        for p in range(len(w.jac)):
            w.jac[p] = a * w.e[p] + b * w.f[p]
    elements(s, now, w.mid, w.mid_rate, a, b, w.left, w.jac, w.open_)
    residual = 0.0
    for i in range(n):
        # Not `max`: a NaN has to show.
        if not abs(w.left[i]) <= residual:
            residual = abs(w.left[i])
    return residual


@njit(cache=True, nogil=True, error_model="numpy")
def newton(
    s: System,
    order: Order,
    scheme: Scheme,
    now: Floats,
    y: Floats,
    dy: Floats,
    w: Work,
    known: bool,
    small: float,
) -> tuple[int, float]:
    """Solve one step from y, dy into ``w.new``, ``w.rate``; ``known`` says that the factors hold already."""
    n = len(y)
    residual = np.inf
    for turn in range(scheme.most):
        residual = evaluate(s, scheme, now, y, dy, w, not known)
        if np.isnan(residual):
            return LOST, residual
        if residual < scheme.tolerance or (turn >= PATIENCE and at_floor(s, w)):
            return DONE, residual
        if not known:
            chosen = len(order.column) == n
            if not chosen or not factor(
                s.start, s.row, w.jac, order, w.lower, w.upper, w.pivot, w.work, small
            ):
                return PIVOT, residual
        solve(order, w.lower, w.upper, w.pivot, w.left, w.work)
        for m in range(len(s.kind)):
            if s.kind[m] == SWITCH and not w.open_[m]:
                w.new[s.at[m, 2]] = 0.0
        for i in range(n):
            w.rate[i] -= w.left[i]
            w.new[i] -= scheme.gamma * scheme.step_s * w.left[i]
    return STUCK, residual


@njit(cache=True, nogil=True, error_model="numpy")
def march(
    s: System,
    order: Order,
    scheme: Scheme,
    drive: Floats,
    y: Floats,
    dy: Floats,
    first: int,
    out: Floats,
    out_rate: Floats,
    jac: Floats,
) -> tuple[int, int, float]:
    """Take steps ``first`` to the end of ``drive`` from y, dy in place.

    Returns
    -------
    status, step, residual
        ``PIVOT`` asks for another ``order`` for the matrix left in ``jac``, ``STUCK`` is no convergence,
        ``LOST`` is not a number. y and dy are then those before the failing step.
    """
    n = len(y)
    w = Work(
        s.e.copy(),
        s.f.copy(),
        s.c.copy(),
        jac,
        np.zeros(len(order.l_row)),
        np.zeros(len(order.u_row)),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.ones(len(s.kind), np.int64),
    )
    constant = len(s.kind) == 0 and s.e_moves.shape[1] == 0 and s.f_moves.shape[1] == 0
    known = False
    small = 0.0  # these pivots are fresh: take them as they are in the first step
    for step in range(first, len(drive)):
        now = drive[step]
        move(s.e, s.e_moves, now, w.e)
        move(s.f, s.f_moves, now, w.f)
        move(s.c, s.c_moves, now, w.c)
        for i in range(n):
            w.new[i] = y[i]
            w.rate[i] = dy[i] * (1 - 1 / scheme.gamma)
        status, residual = newton(s, order, scheme, now, y, dy, w, known, small)
        # The factors of a matrix that never changes stand from the first step that needed them.
        known = constant and bool(w.pivot.all())
        if status != DONE:
            return status, step, residual
        small = SMALL
        y[:], dy[:] = w.new, w.rate
        out[step], out_rate[step] = w.new, w.rate
    return DONE, len(drive), 0.0
