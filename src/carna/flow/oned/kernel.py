"""The wave solver's inner loops, compiled (imported only when a solve is asked for). SI units throughout.

All vessels lie in one flat row of cells, each between two ghosts, so that one long loop without branches runs
over the whole tree and the compiler turns it into vector instructions. It works on pieces small enough for
the first-level cache, in a scratch table of fixed width: with fixed distances between its rows the compiler
knows that they do not overlap.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from carna.flow.oned.mesh import PIECE

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WIDTH = 128  # of a row of the scratch table: a piece and two cells on either side, rounded up
# All of fast mathematics but the promise that there are no NaN: a blown-up solve has to show.
FAST = {"nsz", "arcp", "contract", "afn", "reassoc"}


@njit(cache=True, nogil=True, inline="always")
def _slope(back: float, forth: float) -> float:
    """Monotonised-central slope: the mean of two differences, at most twice the smaller, 0 at an extremum."""
    middle = 0.5 * (back + forth)
    size = min(2.0 * min(abs(back), abs(forth)), abs(middle))
    size = size if middle > 0.0 else -size
    return size if back * forth > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def fluxes(area: Floats, speed: Floats, cell: Floats, face: Floats, density: float, flux: Floats) -> None:
    """Fill ``flux`` (2, n) at the face after each cell: of area, and of velocity.

    Pressure and velocity are carried to both sides of the face by limited slopes, and meet there as two
    sound waves do: the linear Riemann problem, exact to second order in a flow far below the wave speed.
    ``cell`` has rows stiffness and offset (p = stiffness sqrt(A) + offset), ``face`` the same and the inverse
    of stiffness.
    """
    count = len(area)
    w = np.empty((8, WIDTH))
    over = 1.0 / density
    half = 0.5 / density
    for start in range(1, count - PIECE - 2, PIECE):
        # Faces start .. start + PIECE - 1 need cells start - 1 .. start + PIECE + 1.
        a, v = area[start - 1 :], speed[start - 1 :]
        b, o = cell[0, start - 1 :], cell[1, start - 1 :]
        for j in range(PIECE + 3):
            w[0, j] = b[j] * math.sqrt(a[j]) + o[j]
        for j in range(PIECE + 3):
            w[1, j] = v[j]
        for j in range(PIECE + 1):
            w[2, j] = 0.5 * _slope(w[0, j + 1] - w[0, j], w[0, j + 2] - w[0, j + 1])
            w[3, j] = 0.5 * _slope(w[1, j + 1] - w[1, j], w[1, j + 2] - w[1, j + 1])
        fo, fi = face[1, start:], face[2, start:]
        for j in range(PIECE):
            w[6, j] = fo[j]
        for j in range(PIECE):
            w[7, j] = fi[j]
        for j in range(PIECE):
            left, right = w[0, j + 1] + w[2, j], w[0, j + 2] - w[2, j + 1]
            before, after = w[1, j + 1] + w[3, j], w[1, j + 2] - w[3, j + 1]
            mean = 0.5 * (left + right)
            wave = math.sqrt(half * (mean - w[6, j]))  # c^2 = stiffness sqrt(A) / (2 rho)
            p = mean + 0.5 * density * wave * (before - after)
            u = 0.5 * (before + after) + half * (left - right) / wave
            root = (p - w[6, j]) * w[7, j]
            w[4, j] = root * root * u
            w[5, j] = 0.5 * u * u + p * over
        f0, f1 = flux[0, start:], flux[1, start:]
        for j in range(PIECE):
            f0[j] = w[4, j]
        for j in range(PIECE):
            f1[j] = w[5, j]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def update(
    area: Floats,
    speed: Floats,
    old: Floats,
    cell: Floats,
    flux: Floats,
    dt: float,
    keep: float,
    out: Floats,
) -> None:
    """Set ``out`` (2, n) to keep * old + (1 - keep) * (state + dt * rate); friction and jets are in the rate.

    ``cell`` rows 2, 3, 4: 1 / length (0 in ghosts), friction, jet.
    """
    count = len(area)
    w = np.empty((9, WIDTH))
    take = 1.0 - keep
    for start in range(1, count - PIECE - 2, PIECE):
        f0, f1 = flux[0, start - 1 :], flux[1, start - 1 :]
        a, v = area[start:], speed[start:]
        inverse, friction, jet = cell[2, start:], cell[3, start:], cell[4, start:]
        for j in range(PIECE):
            w[0, j] = (f0[j + 1] - f0[j]) * inverse[j]
        for j in range(PIECE):
            w[1, j] = (f1[j + 1] - f1[j]) * inverse[j]
        for j in range(PIECE):
            w[2, j] = a[j]
        for j in range(PIECE):
            w[3, j] = friction[j] / w[2, j] + jet[j] * w[2, j] * w[2, j] * abs(v[j])
        for j in range(PIECE):
            # Drag faster than a step is slowed to it: the balance of both terms stays where it is, and what
            # is slow already is taken as it is, to third order.
            fast = dt * w[3, j]
            w[4, j] = v[j] - dt * (w[1, j] + v[j] * w[3, j]) / (1.0 + fast * fast)
            w[2, j] -= dt * w[0, j]
        o0, o1 = old[0, start:], old[1, start:]
        r0, r1 = out[0, start:], out[1, start:]
        for j in range(PIECE):
            r0[j] = keep * o0[j] + take * w[2, j]
        for j in range(PIECE):
            r1[j] = keep * o1[j] + take * w[4, j]


@njit(cache=True, nogil=True, error_model="numpy")
def nodes(
    state: Floats,
    cell: Floats,
    density: float,
    ends: Ints,
    end_face: Floats,
    star: Floats,
    first: Ints,
    node: Floats,
    driven: Floats,
    store: Floats,
    dt: float,
    flux: Floats,
) -> None:
    """Solve all nodes: what the vessels' outgoing waves, the sources and the outlets agree on.

    Every end i brings a flow Q and admittance Y = A / (rho c) at pressure p; at the common pressure H it
    passes Q + Y (p - H). The sum, an inflow and an outlet G (H - Pc) are in balance; Pc, behind the outlet's
    first resistance, is stepped implicitly with it.

    Parameters
    ----------
    ends : (e, 5) int
        Cell, its neighbour inside, ghost, face, direction (+1 where the vessel ends here); by node.
    end_face : (3, e)
        Stiffness, offset, inverse of stiffness at the end's face.
    star : (3, e)
        Pressure, velocity, area found before; overwritten.
    first : (m + 1,)
        Where each node's ends begin.
    node : (m, 5)
        G (0 without outlet), 1 / R2, C, 1 where total pressure is shared (0 static), venous pressure.
    driven : (m, 3)
        Inflow, given pressure (NaN without), muscle's pressure minus the one at the step's begin.
    store : (m, 2)
        Pc at the step's begin, and Pc found (overwritten).
    """
    for m in range(len(first) - 1):
        admittance, pushed = 0.0, driven[m, 0]
        for e in range(first[m], first[m + 1]):
            at, inside, ghost, direction = ends[e, 0], ends[e, 1], ends[e, 2], ends[e, 4]
            p = cell[0, at] * math.sqrt(state[0, at]) + cell[1, at]
            u = state[1, at]
            pin = cell[0, inside] * math.sqrt(state[0, inside]) + cell[1, inside]
            pout = cell[0, ghost] * math.sqrt(state[0, ghost]) + cell[1, ghost]
            pe = p + 0.5 * _slope(p - pin, pout - p)
            ue = u + 0.5 * _slope(u - state[1, inside], state[1, ghost] - u)
            root = (pe - end_face[1, e]) * end_face[2, e]
            wave = math.sqrt(0.5 / density * (pe - end_face[1, e]))
            y = root * root / (density * wave)
            q = direction * root * root * ue
            head = node[m, 3] * 0.5 * density * star[1, e] * star[1, e]
            star[2, e] = y
            star[0, e] = q + y * (pe + head)
            admittance += y
            pushed += star[0, e]
        g = node[m, 0]
        if g > 0.0:
            a, b = g * pushed / (admittance + g), g * admittance / (admittance + g)
            rate = node[m, 2] / dt
            top = rate * (store[m, 0] + driven[m, 2]) + a + node[m, 1] * node[m, 4]
            store[m, 1] = top / (rate + node[m, 1] + b)
            common = (pushed + g * store[m, 1]) / (admittance + g)
        else:
            common = pushed / admittance
        if not math.isnan(driven[m, 1]):
            common = driven[m, 1]
        for e in range(first[m], first[m + 1]):
            at, ghost, side, direction = ends[e, 0], ends[e, 2], ends[e, 3], ends[e, 4]
            q = direction * (star[0, e] - star[2, e] * common)
            p = common - node[m, 3] * 0.5 * density * star[1, e] * star[1, e]
            root = (p - end_face[1, e]) * end_face[2, e]
            u = q / (root * root)
            star[0, e], star[1, e], star[2, e] = p, u, root * root
            flux[0, side] = q
            flux[1, side] = 0.5 * u * u + p / density
            here = cell[0, at] * math.sqrt(state[0, at]) + cell[1, at]
            beyond = (2.0 * p - here - cell[1, ghost]) / cell[0, ghost]
            state[0, ghost] = beyond * beyond
            state[1, ghost] = 2.0 * u - state[1, at]


@njit(cache=True, nogil=True, error_model="numpy")
def _relax(state: Floats, cell: Floats, damping: Floats, bounds: Ints, flux: Floats, dt: float) -> None:
    """Let the wall's viscosity act on one step, implicitly: u_t = (1/rho) (damping (A u)_x)_x, ends held.

    ``damping`` (n,) is Gamma / rho at the cells.
    """
    widest = 0
    for s in range(len(bounds)):
        widest = max(widest, bounds[s, 1] - bounds[s, 0])
    upper, right = np.empty(widest), np.empty(widest)
    for s in range(len(bounds)):
        a, b = bounds[s, 0], bounds[s, 1]
        for i in range(a, b):
            here = cell[2, i] * cell[2, i] * dt * state[0, i]
            back = here * 0.5 * (damping[i] + damping[max(i - 1, a)]) * (2.0 if i == a else 1.0)
            forth = here * 0.5 * (damping[i] + damping[min(i + 1, b - 1)]) * (2.0 if i == b - 1 else 1.0)
            value = state[0, i] * state[1, i]
            if i == a:
                value += back * flux[0, a - 1]
                back_in = 0.0
            else:
                back_in = back
            if i == b - 1:
                value += forth * flux[0, i]
                forth_in = 0.0
            else:
                forth_in = forth
            pivot = 1.0 + back + forth
            if i > a:
                pivot -= back_in * upper[i - 1 - a]
                value += back_in * right[i - 1 - a]
            upper[i - a] = forth_in / pivot
            right[i - a] = value / pivot
        for i in range(b - 1, a - 1, -1):
            if i < b - 1:
                right[i - a] += upper[i - a] * right[i + 1 - a]
            state[1, i] = right[i - a] / state[0, i]


@njit(cache=True, nogil=True)
def _drive(time: float, waves: Floats, which: Ints, driven: Floats, store: Floats, muscle: Floats) -> None:
    """Look up what is imposed at each node; ``waves`` (k, n) are one period on an even grid, scaled by it."""
    n = waves.shape[1] - 1
    at = (time - math.floor(time)) * n
    low = min(int(at), n - 1)
    share = at - low
    for m in range(len(which)):
        for k in range(3):
            w = which[m, k]
            if w >= 0:
                value = waves[w, low] * (1.0 - share) + waves[w, low + 1] * share
                driven[m, k] = value - muscle[m] if k == 2 else value


@njit(cache=True, nogil=True, error_model="numpy")
def advance(
    time: float,
    period: float,
    dt: float,
    steps: int,
    state: Floats,
    spare: Floats,
    cell: Floats,
    face: Floats,
    damping: Floats,
    bounds: Ints,
    density: float,
    ends: Ints,
    end_face: Floats,
    star: Floats,
    first: Ints,
    node: Floats,
    driven: Floats,
    store: Floats,
    waves: Floats,
    which: Ints,
    flux: Floats,
) -> None:
    """Take ``steps`` steps of Heun's method in place."""
    muscle = np.zeros(len(which))
    viscous = damping.max() > 0.0
    for n in range(steps):
        now = time + n * dt
        _drive(now / period, waves, which, driven, store, np.zeros(len(which)))
        for m in range(len(which)):
            muscle[m] = driven[m, 2] if which[m, 2] >= 0 else 0.0
            store[m, 0] = store[m, 1]
            if which[m, 2] >= 0:
                driven[m, 2] = 0.0
        nodes(state, cell, density, ends, end_face, star, first, node, driven, store, dt, flux)
        fluxes_and_update(state, spare, cell, face, density, flux, dt, 0.0, ends)
        _drive((now + dt) / period, waves, which, driven, store, muscle)
        nodes(spare, cell, density, ends, end_face, star, first, node, driven, store, dt, flux)
        fluxes_and_update(spare, state, cell, face, density, flux, dt, 0.5, ends)
        if viscous:
            _relax(state, cell, damping, bounds, flux, dt)


@njit(cache=True, nogil=True, error_model="numpy")
def fluxes_and_update(
    state: Floats,
    out: Floats,
    cell: Floats,
    face: Floats,
    density: float,
    flux: Floats,
    dt: float,
    keep: float,
    ends: Ints,
) -> None:
    """Take one stage from ``state`` into ``out``, which holds the step's begin where ``keep`` is above 0."""
    count = len(ends)
    hold = np.empty((2, count))
    for e in range(count):
        hold[0, e], hold[1, e] = flux[0, ends[e, 3]], flux[1, ends[e, 3]]
    fluxes(state[0], state[1], cell, face, density, flux)
    for e in range(count):
        flux[0, ends[e, 3]], flux[1, ends[e, 3]] = hold[0, e], hold[1, e]
    update(state[0], state[1], out, cell, flux, dt, keep, out)
    for e in range(count):
        g = ends[e, 2]
        out[0, g], out[1, g] = state[0, g], state[1, g]


@njit(cache=True, nogil=True, error_model="numpy")
def fastest(state: Floats, cell: Floats, density: float, bounds: Ints) -> float:
    """Return the largest rate (|u| + c) / length, 1/s, NaN as soon as there is one."""
    top = 0.0
    for s in range(len(bounds)):
        for i in range(bounds[s, 0], bounds[s, 1]):
            wave = math.sqrt(0.5 / density * cell[0, i] * math.sqrt(state[0, i]))
            rate = max((abs(state[1, i]) + wave) * cell[2, i], 0.5 * cell[3, i] / state[0, i])
            if not rate <= top:
                top = rate
            if math.isnan(top) or abs(state[1, i]) >= wave:
                return math.nan
    return top
