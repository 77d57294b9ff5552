"""The lattice's inner loops, compiled (imported only when a run is asked for).

One array holds the populations and is updated in place (the AA pattern, Bailey et al. 2009,
doi:10.1109/ICPP.2009.38): an even step reads and writes a node's own 19 slots, leaving each population in the
slot of its opposite; an odd step reads and writes its neighbours' through a table. Every slot is read and
written by one node only, so nothing is copied and the order of the nodes is free. After an even number of
steps slot (q, n) holds what arrives at node n with velocity q.

Nodes come in blocks of 128. A block is loaded into a small buffer, collided there with vector instructions
and stored; where 16 table entries are consecutive they move at once and the table is not read.

Populations are kept as deviations from rest, so that single precision keeps its digits, and the equilibrium
has the density at 1 in its velocity terms (He & Luo 1997, doi:10.1023/B:JOSS.0000015179.12689.e4): a steady
flow is then free of divergence, whatever its Mach number.

Two properties of the equilibrium decide whether a fast, coarse flow is right:

* Its fourth moments <cx cx cy cy> are those of an isotropic gas, (ux^2 + uy^2) / 3: edges (two components)
  know the velocities in their own plane, faces lose those across. The usual one has -uz^2 / 6 more: a flow
  along z then drives vortices across itself that grow with the Reynolds number of a cell (seen in nozzles by
  White & Chong, J Comput Phys 2011, 230:6367); at 53, a pipe of 8 cells per radius lost 12 % of its flow.
* The stress beyond equilibrium is kept, third moments follow from it and the velocity (recursive
  regularisation, Malaspinas 2015, arXiv:1505.06900), all else the lattice carries is dropped; so is the
  stress's trace, which is sound. Nodes with a force or thinning blood use two relaxation times instead.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from carna.flow.lattice.stencil import MAGIC

BLOCK: Final = 128
RUN: Final = 16
Array = npt.NDArray[Any]


@njit(cache=True, nogil=True, inline="always")
def _row(to: Array, a: Any, s: Array, b: Any) -> None:
    """Copy 16 neighbours: all are read before one is written, so that it becomes two instructions."""
    t0, t1, t2, t3 = s[b], s[b + np.uint64(1)], s[b + np.uint64(2)], s[b + np.uint64(3)]
    t4, t5, t6, t7 = s[b + np.uint64(4)], s[b + np.uint64(5)], s[b + np.uint64(6)], s[b + np.uint64(7)]
    t8, t9, t10, t11 = s[b + np.uint64(8)], s[b + np.uint64(9)], s[b + np.uint64(10)], s[b + np.uint64(11)]
    t12, t13, t14, t15 = (
        s[b + np.uint64(12)],
        s[b + np.uint64(13)],
        s[b + np.uint64(14)],
        s[b + np.uint64(15)],
    )
    to[a], to[a + np.uint64(1)], to[a + np.uint64(2)], to[a + np.uint64(3)] = t0, t1, t2, t3
    to[a + np.uint64(4)], to[a + np.uint64(5)], to[a + np.uint64(6)], to[a + np.uint64(7)] = t4, t5, t6, t7
    to[a + np.uint64(8)], to[a + np.uint64(9)], to[a + np.uint64(10)], to[a + np.uint64(11)] = (
        t8,
        t9,
        t10,
        t11,
    )
    to[a + np.uint64(12)], to[a + np.uint64(13)], to[a + np.uint64(14)], to[a + np.uint64(15)] = (
        t12,
        t13,
        t14,
        t15,
    )


@njit(cache=True, nogil=True)
def _load(slots: Array, table: Array, runs: Array, block: int, odd: int, buffer: Array) -> None:
    # Unsigned: an index that cannot be negative needs no test, and a row of 16 becomes one instruction.
    nodes, first = np.uint64(slots.size // 19), np.uint64(block * BLOCK)
    for q in range(19):
        to = np.uint64(q * BLOCK)
        if odd == 0 or q == 0:
            at = np.uint64(q) * nodes + first
            for n in range(np.uint64(BLOCK)):
                buffer[to + n] = slots[at + n]
            continue
        other = q + 1 if q & 1 else q - 1
        places, row = table[other], runs[other]
        for part in range(np.uint64(BLOCK // RUN)):
            start = row[first // np.uint64(RUN) + part]
            here = part * np.uint64(RUN)
            if start >= 0:
                _row(buffer, to + here, slots, np.uint64(start))
            else:
                for n in range(np.uint64(RUN)):
                    buffer[to + here + n] = slots[np.uint64(places[first + here + n])]


@njit(cache=True, nogil=True)
def _store(slots: Array, table: Array, runs: Array, block: int, odd: int, buffer: Array) -> None:
    nodes, first = np.uint64(slots.size // 19), np.uint64(block * BLOCK)
    for q in range(19):
        source = np.uint64(q * BLOCK)
        if odd == 0 or q == 0:
            other = q if q == 0 else (q + 1 if q & 1 else q - 1)
            at = np.uint64(other) * nodes + first
            for n in range(np.uint64(BLOCK)):
                slots[at + n] = buffer[source + n]
            continue
        places, row = table[q], runs[q]
        for part in range(np.uint64(BLOCK // RUN)):
            start = row[first // np.uint64(RUN) + part]
            here = part * np.uint64(RUN)
            if start >= 0:
                _row(slots, np.uint64(start), buffer, source + here)
            else:
                for n in range(np.uint64(RUN)):
                    slots[np.uint64(places[first + here + n])] = buffer[source + here + n]


@njit(cache=True, nogil=True, inline="always")
def _out(w: Any, even: Any, odd: Any) -> Any:
    """Return two opposite populations from their even and uneven parts."""
    return w * (even + odd), w * (even - odd)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _collide(f: Array, keeps: Array, k: Any) -> None:
    """Relax the stress of a block, node by node at its own rate; all else is at equilibrium afterwards."""
    b, face, edge = BLOCK, k[1], k[2]
    third, three = k[0], k[3]
    for n in range(BLOCK):
        keep = keeps[n]
        f0, f1, f2, f3, f4 = f[n], f[b + n], f[2 * b + n], f[3 * b + n], f[4 * b + n]
        f5, f6, f7, f8, f9 = f[5 * b + n], f[6 * b + n], f[7 * b + n], f[8 * b + n], f[9 * b + n]
        f10, f11, f12, f13 = f[10 * b + n], f[11 * b + n], f[12 * b + n], f[13 * b + n]
        f14, f15, f16 = f[14 * b + n], f[15 * b + n], f[16 * b + n]
        f17, f18 = f[17 * b + n], f[18 * b + n]
        d1, d3, d5 = f1 - f2, f3 - f4, f5 - f6
        d7, d9, d11, d13, d15, d17 = f7 - f8, f9 - f10, f11 - f12, f13 - f14, f15 - f16, f17 - f18
        x, y, z = d1 + d7 + d9 + d11 + d13, d3 + d7 - d9 + d15 + d17, d5 + d11 - d13 + d15 - d17
        s7, s9, s11, s13, s15, s17 = f7 + f8, f9 + f10, f11 + f12, f13 + f14, f15 + f16, f17 + f18
        sx, sy, sz = (
            f1 + f2 + s7 + s9 + s11 + s13,
            f3 + f4 + s7 + s9 + s15 + s17,
            f5 + f6 + s11 + s13 + s15 + s17,
        )
        rho = f0 + f1 + f2 + f3 + f4 + f5 + f6 + s7 + s9 + s11 + s13 + s15 + s17
        part = rho * third
        # Stress: what is beyond equilibrium is damped.
        nx, ny, nz = sx - part - x * x, sy - part - y * y, sz - part - z * z
        # Its trace is all gone in one step: no force on a flow without divergence, but the end of sound.
        bulk = third * (nx + ny + nz)
        xx, yy, zz = x * x + keep * (nx - bulk), y * y + keep * (ny - bulk), z * z + keep * (nz - bulk)
        xy = x * y + keep * (s7 - s9 - x * y)
        xz = x * z + keep * (s11 - s13 - x * z)
        yz = y * z + keep * (s15 - s17 - y * z)
        f[n] = third * (rho - (xx + yy + zz))
        # Third moments.
        xyy = y * (xy + xy - x * y) + x * (yy - y * y)
        xxy = x * (xy + xy - x * y) + y * (xx - x * x)
        xzz = z * (xz + xz - x * z) + x * (zz - z * z)
        xxz = x * (xz + xz - x * z) + z * (xx - x * x)
        yzz = z * (yz + yz - y * z) + y * (zz - z * z)
        yyz = y * (yz + yz - y * z) + z * (yy - y * y)
        o1, o3, o5 = (
            three * (x - three * (xyy + xzz)),
            three * (y - three * (xxy + yzz)),
            three * (z - three * (xxz + yyz)),
        )
        o7, o9 = three * (x + y + three * (xyy + xxy)), three * (x - y + three * (xyy - xxy))
        o11, o13 = three * (x + z + three * (xzz + xxz)), three * (x - z + three * (xzz - xxz))
        o15, o17 = three * (y + z + three * (yzz + yyz)), three * (y - z + three * (yzz - yyz))
        f[b + n], f[2 * b + n] = _out(face, rho + three * (xx - yy - zz), o1)
        f[3 * b + n], f[4 * b + n] = _out(face, rho + three * (yy - xx - zz), o3)
        f[5 * b + n], f[6 * b + n] = _out(face, rho + three * (zz - xx - yy), o5)
        f[7 * b + n], f[8 * b + n] = _out(edge, rho + three * (xx + yy + three * xy), o7)
        f[9 * b + n], f[10 * b + n] = _out(edge, rho + three * (xx + yy - three * xy), o9)
        f[11 * b + n], f[12 * b + n] = _out(edge, rho + three * (xx + zz + three * xz), o11)
        f[13 * b + n], f[14 * b + n] = _out(edge, rho + three * (xx + zz - three * xz), o13)
        f[15 * b + n], f[16 * b + n] = _out(edge, rho + three * (yy + zz + three * yz), o15)
        f[17 * b + n], f[18 * b + n] = _out(edge, rho + three * (yy + zz - three * yz), o17)


@njit(cache=True, nogil=True)
def _collide_forced(
    f: Array, first: int, tau: Array, drag: Array, push: Array, thin: Array, moves: Array, weights: Array
) -> None:
    """Collide with a force on each node and a viscosity that follows the shear.

    The drag is a u + b |u| u, taken at the new velocity (Guo & Zhao 2002, doi:10.1103/PhysRevE.66.036304).
    `thin` holds high, low, (time, n) of the Carreau law in lattice units, or nothing.
    """
    g = np.empty(19)
    for n in range(BLOCK):
        node = first + n
        rho = 0.0
        j = np.zeros(3)
        for q in range(19):
            g[q] = f[q * BLOCK + n]
            rho += g[q]
            for d in range(3):
                j[d] += moves[q, d] * g[q]
        for d in range(3):
            j[d] += 0.5 * push[d]
        half = 0.5 * (1 + 0.5 * drag[0, node])
        speed = np.sqrt(j[0] ** 2 + j[1] ** 2 + j[2] ** 2)
        u = j / (half + np.sqrt(half * half + 0.5 * drag[1, node] * speed))
        force = 2 * (u - j) + push
        uu = u[0] ** 2 + u[1] ** 2 + u[2] ** 2
        uf = u[0] * force[0] + u[1] * force[1] + u[2] * force[2]
        if thin.size:
            stress = np.zeros((3, 3))
            for q in range(19):
                cu = moves[q, 0] * u[0] + moves[q, 1] * u[1] + moves[q, 2] * u[2]
                off = g[q] - weights[q] * (rho + 3 * cu + 4.5 * cu * cu - 1.5 * uu)
                for d in range(3):
                    for e in range(3):
                        stress[d, e] += moves[q, d] * moves[q, e] * off
            rate = np.sqrt(2 * (stress**2).sum()) * 1.5 / tau[node]
            tau[node] = 0.5 + 3 * (
                thin[1] + (thin[0] - thin[1]) * (1 + (thin[2] * rate) ** 2) ** (0.5 * (thin[3] - 1))
            )
        even = 1 / tau[node]
        uneven = 1 / (0.5 + MAGIC / (tau[node] - 0.5))
        f[n] = g[0] - even * (g[0] - weights[0] * (rho - uu)) - (1 - 0.5 * even) * weights[0] * 3 * uf
        for q in range(1, 19, 2):
            cu = moves[q, 0] * u[0] + moves[q, 1] * u[1] + moves[q, 2] * u[2]
            cf = moves[q, 0] * force[0] + moves[q, 1] * force[1] + moves[q, 2] * force[2]
            w = weights[q]
            inside = 0.0
            for d in range(3):
                inside += moves[q, d] ** 2 * u[d] ** 2
            # Edges know the two velocities in their plane; faces lose those across twice.
            less = 1.5 * inside if q > 6 else 3 * uu - 1.5 * inside
            up = even * (0.5 * (g[q] + g[q + 1]) - w * (rho + 4.5 * cu * cu - less))
            up -= (1 - 0.5 * even) * w * (9 * cu * cf - 3 * uf)
            down = uneven * (0.5 * (g[q] - g[q + 1]) - w * 3 * cu) - (1 - 0.5 * uneven) * w * 3 * cf
            f[q * BLOCK + n] = g[q] - up - down
            f[(q + 1) * BLOCK + n] = g[q + 1] - up + down


@njit(cache=True, nogil=True, inline="always")
def _even(a: Any, b: Any, c: Any, x: Any, y: Any, z: Any) -> Any:
    """Return the part of the equilibrium that is quadratic in the velocity, for the direction (a, b, c)."""
    inside = a * a * x * x + b * b * y * y + c * c * z * z
    less = 1.5 * inside if a * a + b * b + c * c > 1 else 3 * (x * x + y * y + z * z) - 1.5 * inside
    return 4.5 * (a * x + b * y + c * z) ** 2 - less


@njit(cache=True, nogil=True)
def _walls(slots: Array, behind: Any, away: Any, wall: Array, share: Array) -> None:
    """Interpolate what comes back from walls.

    Central linear interpolation (Ginzburg, Verhaeghe & d'Humieres 2008). One of the two other slots holds
    what left for the wall from the second node, the other what left this node away from the wall: which is
    which changes with every step.
    """
    for n in range(np.uint64(len(wall))):
        at, rest = np.uint64(wall[n, 0]), np.uint64(wall[n, 3])
        near, far = np.uint64(wall[n, behind]), np.uint64(wall[n, away])
        back = share[n, 0] * slots[at] + share[n, 1] * slots[near] + share[n, 2] * slots[far]
        # Interpolation leaks a little mass; the population at rest takes it back, node by node.
        slots[rest] += slots[at] - back
        slots[at] = back


@njit(cache=True, nogil=True)
def _edges(
    slots: Array,
    table: Array,
    odd: int,
    wall: Array,
    share: Array,
    link: Array,
    node: Array,
    given: Array,
    drive: Array,
    flow: Array,
    moves: Array,
    weights: Array,
    u: Array,
    still: Array,
) -> None:
    """Put what comes back from walls and openings where the next step reads it.

    `still` (openings, 4) lets sound out of a steady run, which would otherwise ring for long: a held density
    gives way to a flow beyond its running mean. Columns: gain (0: none), how fast the mean follows, the mean,
    what is added now.
    """
    nodes = slots.size // 19
    for n in range(len(node)):
        for d in range(3):
            u[n, d] = 0
        for q in range(1, 19):
            other = q + 1 if q & 1 else q - 1
            f = slots[table[q, node[n]]] if odd else slots[other * nodes + node[n]]
            for d in range(3):
                u[n, d] += moves[q, d] * f
    _walls(slots, np.uint64(1 + odd), np.uint64(2 - odd), wall, share)
    flow[:] = 0
    # A driven flow: the odd parts are given, the even parts are at equilibrium (bouncing them back rings),
    # and the density is what lets exactly the given mass through each node.
    for n in range(len(node)):
        u[n, 3] = 0
        u[n, 4] = 1e-30
    for n in range(len(link)):
        at, q, opening, holds, who = link[n]
        if not holds:
            even = _even(moves[q, 0], moves[q, 1], moves[q, 2], u[who, 0], u[who, 1], u[who, 2])
            here = drive[opening] + still[opening, 3]
            u[who, 3] += slots[at] + 0.5 * given[n] * here - weights[q] * even
            u[who, 4] += weights[q]
    sounds, places = np.zeros((len(still), 2)), np.empty(19, np.int64)
    for n in range(len(link)):
        at, q, opening, holds, who = link[n]
        before = slots[at]
        even = _even(moves[q, 0], moves[q, 1], moves[q, 2], u[who, 0], u[who, 1], u[who, 2])
        here = drive[opening] + still[opening, 3]
        if holds:
            slots[at] = 2 * weights[q] * (here + even) - before
            sounds[opening, 0] -= slots[at] - before
            sounds[opening, 1] = 1
        else:
            density = u[who, 3] / u[who, 4]
            slots[at] = weights[q] * (even + density) + 0.5 * given[n] * here
            sounds[opening, 0] += density
            sounds[opening, 1] += 1
        flow[opening] += slots[at] - before
    for n in range(len(still)):
        sound = sounds[n, 0] / max(sounds[n, 1], 1)
        if np.isnan(still[n, 2]):
            still[n, 2] = sound
        still[n, 2] += still[n, 1] * (sound - still[n, 2])
        # Not at once: an answer within the same step would overshoot.
        still[n, 3] += 0.2 * (still[n, 0] * (sound - still[n, 2]) - still[n, 3])
    for n in range(len(node)):
        _regularise(slots, table, odd, node[n], moves, weights, places)


@njit(cache=True, nogil=True)
def _regularise(
    slots: Array, table: Array, odd: int, node: int, moves: Array, weights: Array, at: Array
) -> None:
    """Keep density, momentum and stress of what arrives at a node, drop the rest.

    Slow odd modes otherwise grow where blood is driven in (Latt & Chopard 2006,
    doi:10.1016/j.matcom.2006.05.017).
    """
    nodes = slots.size // 19
    rho = x = y = z = xx = yy = zz = xy = xz = yz = 0.0
    for q in range(19):
        other = q if q == 0 else (q + 1 if q & 1 else q - 1)
        # After an odd step the next one reads the node's own slots, after an even one its neighbours'.
        at[q] = q * nodes + node if odd or q == 0 else table[other, node]
        g, a, b, c = slots[at[q]], moves[q, 0], moves[q, 1], moves[q, 2]
        rho += g
        x += a * g
        y += b * g
        z += c * g
        xx += a * a * g
        yy += b * b * g
        zz += c * c * g
        xy += a * b * g
        xz += a * c * g
        yz += b * c * g
    trace = xx + yy + zz - rho
    for q in range(19):
        a, b, c = moves[q, 0], moves[q, 1], moves[q, 2]
        along = a * a * xx + b * b * yy + c * c * zz + 2 * (a * b * xy + a * c * xz + b * c * yz)
        size = a * a + b * b + c * c
        along -= size * rho / 3
        inside = a * a * xx + b * b * yy + c * c * zz - size * rho / 3
        less = 1.5 * inside if size > 1 else (3 * trace - 1.5 * inside if size == 1 else trace)
        slots[at[q]] = weights[q] * (rho + 3 * (a * x + b * y + c * z) + 4.5 * along - less)


@njit(cache=True, nogil=True)
def advance(
    slots: Array,
    table: Array,
    runs: Array,
    rate: float,
    k: Any,
    forced: Array,
    tau: Array,
    drag: Array,
    push: Array,
    thin: Array,
    wall: Array,
    share: Array,
    link: Array,
    node: Array,
    given: Array,
    drive: Array,
    flow: Array,
    moves: Array,
    weights: Array,
    still: Array,
) -> None:
    """Go on by as many steps as `drive` has rows (an even number), writing the openings' flows to `flow`."""
    buffer = np.empty(19 * BLOCK, slots.dtype)
    u = np.empty((len(node), 5))
    varied, plain = np.empty(BLOCK, slots.dtype), np.full(BLOCK, 1 - rate, slots.dtype)
    for step in range(len(drive)):
        odd = step & 1
        for block in range(len(forced)):
            _load(slots, table, runs, block, odd, buffer)
            first = block * BLOCK
            if forced[block] == 2:
                for n in range(BLOCK):
                    varied[n] = 1 - 1 / tau[first + n]
                _collide(buffer, varied, k)
            elif forced[block]:
                _collide_forced(buffer, first, tau, drag, push, thin, moves, weights)
            else:
                _collide(buffer, plain, k)
            _store(slots, table, runs, block, odd, buffer)
        _edges(slots, table, odd, wall, share, link, node, given, drive[step], flow[step],
               moves, weights, u, still)  # fmt: skip


@njit(cache=True, nogil=True)
def moments(
    slots: Array, drag: Array, push: Array, tau: Array, moves: Array, weights: Array
) -> tuple[Array, Array, Array]:
    """Return density less 1, velocity and rate of strain (xx, yy, zz, xy, xz, yz) in lattice units."""
    nodes = slots.size // 19
    rho, velocity, strain = np.zeros(nodes), np.zeros((nodes, 3)), np.zeros((nodes, 6))
    j, f = np.zeros(3), np.zeros(19)
    for n in range(nodes):
        j[:] = 0.5 * push
        for q in range(19):
            f[q] = slots[q * nodes + n]
            rho[n] += f[q]
            for d in range(3):
                j[d] += moves[q, d] * f[q]
        half = 0.5 * (1 + 0.5 * drag[0, n])
        speed = np.sqrt(j[0] ** 2 + j[1] ** 2 + j[2] ** 2)
        u = j / (half + np.sqrt(half * half + 0.5 * drag[1, n] * speed))
        velocity[n] = u
        uu = u[0] ** 2 + u[1] ** 2 + u[2] ** 2
        for q in range(19):
            x, y, z = moves[q, 0], moves[q, 1], moves[q, 2]
            cu = x * u[0] + y * u[1] + z * u[2]
            off = (f[q] - weights[q] * (rho[n] + 3 * cu + 4.5 * cu * cu - 1.5 * uu)) * -1.5 / tau[n]
            strain[n, 0] += x * x * off
            strain[n, 1] += y * y * off
            strain[n, 2] += z * z * off
            strain[n, 3] += x * y * off
            strain[n, 4] += x * z * off
            strain[n, 5] += y * z * off
    return rho, velocity, strain
