"""Diffusion of V, brick by brick: the kernels (imported only when a simulation runs).

A brick is a box of 512 grid places that the operator's table describes; its nodes' values and those around
it are first gathered into a small padded box (the halo), where each neighbour lies a constant number of
places away. That turns 26 neighbours into plain vector arithmetic: constants in the index are what lets the
compiler prove that nothing overlaps. Only the gather and the scatter know how nodes are stored.

A step is ``V <- V + dt / mass * sum_j c_ij (V_j - V_i)`` with ``c_ij = c_ji``, so what leaves one node enters
the other. What the cells' own step made of V is added on the way out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit

LANES = 512
ROW = 16  # nodes of a row of a brick, one AVX-512 register of float32
BRICKS = {1: (1, 1, 512), 2: (1, 32, 16), 3: (4, 8, 16)}  # by the number of axes longer than one node

# The 26 neighbours, in the order of the table: 6 across a face, 12 across an edge, 8 across a corner.
NEIGHBOURS = tuple(
    sorted(
        ((k, r, c) for k in (-1, 0, 1) for r in (-1, 0, 1) for c in (-1, 0, 1) if k or r or c),
        key=lambda d: (abs(d[0]) + abs(d[1]) + abs(d[2]), d),
    )
)
FACES, EDGES, CORNERS = 6, 18, 26  # how much of the table a brick needs

Step = Callable[..., None]


def padded(brick: tuple[int, int, int], halo: int) -> tuple[int, int, int]:
    """Return the shape of a brick with its halo; an axis of one node has none."""
    k, r, c = (n + 2 * halo if n > 1 else n for n in brick)
    return k, r, c


def _places(brick: tuple[int, int, int], halo: int) -> tuple[tuple[int, int, int], int, int]:
    """Return (strides of the padded box, place of the first own node, places in all)."""
    k, r, c = padded(brick, halo)
    strides = (r * c if brick[0] > 1 else 0, c if brick[1] > 1 else 0, 1)
    first = sum(halo * s for s, n in zip(strides, brick, strict=True) if n > 1)
    return strides, first, k * r * c


@cache
def second_order(brick: tuple[int, int, int], reach: int) -> Step:
    """Return the kernel of one diffusion step over the bricks whose tables reach that far.

    Parameters
    ----------
    brick : (int, int, int)
        One of ``BRICKS``.
    reach : int
        ``FACES``, ``EDGES`` or ``CORNERS``.

    Returns
    -------
    callable(old, new, after, halo, home, table, weights, scale, dt_ms, bricks)
        ``old``, ``new``, ``after`` (lanes,) mV; ``halo`` (bricks, places) int32 lanes to read; ``home``
        (bricks, 512) int32 lanes to write, -1 for none; ``table`` (bricks,) row of ``weights`` (rows, 26,
        512) 1/ms; ``scale`` (rows, 512) 1/mass; ``bricks`` (m,) int32 those to do.
    """
    (sk, sr, _), first, places = _places(brick, 1)
    starts = tuple(
        k * sk + r * sr + c for k in range(brick[0]) for r in range(brick[1]) for c in range(0, brick[2], ROW)
    )
    rows = len(starts)
    o = tuple(first + k * sk + r * sr + c for k, r, c in NEIGHBOURS)
    o0, o1, o2, o3, o4, o5, o6, o7, o8, o9, o10, o11, o12 = o[:13]
    o13, o14, o15, o16, o17, o18, o19, o20, o21, o22, o23, o24, o25 = o[13:]

    @njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
    def step(
        old: Any,
        new: Any,
        after: Any,
        halo: Any,
        home: Any,
        table: Any,
        weights: Any,
        scale: Any,
        dt_ms: Any,
        bricks: Any,
    ) -> Any:
        u = np.zeros(places, old.dtype)
        out = np.empty(LANES, old.dtype)
        for b in bricks:
            lanes = halo[b]
            for p in range(places):
                u[p] = old[lanes[p]]
            w = weights[table[b]]
            f = scale[table[b]]
            for row in range(rows):
                p, q = starts[row], row * ROW
                for x in range(ROW):
                    i, j = p + x, q + x
                    v = u[i + first]
                    s = (
                        w[0, j] * (u[i + o0] - v)
                        + w[1, j] * (u[i + o1] - v)
                        + w[2, j] * (u[i + o2] - v)
                        + w[3, j] * (u[i + o3] - v)
                        + w[4, j] * (u[i + o4] - v)
                        + w[5, j] * (u[i + o5] - v)
                    )
                    if reach > FACES:
                        s += (
                            w[6, j] * (u[i + o6] - v)
                            + w[7, j] * (u[i + o7] - v)
                            + w[8, j] * (u[i + o8] - v)
                            + w[9, j] * (u[i + o9] - v)
                            + w[10, j] * (u[i + o10] - v)
                            + w[11, j] * (u[i + o11] - v)
                            + w[12, j] * (u[i + o12] - v)
                            + w[13, j] * (u[i + o13] - v)
                            + w[14, j] * (u[i + o14] - v)
                            + w[15, j] * (u[i + o15] - v)
                            + w[16, j] * (u[i + o16] - v)
                            + w[17, j] * (u[i + o17] - v)
                        )
                    if reach > EDGES:
                        s += (
                            w[18, j] * (u[i + o18] - v)
                            + w[19, j] * (u[i + o19] - v)
                            + w[20, j] * (u[i + o20] - v)
                            + w[21, j] * (u[i + o21] - v)
                            + w[22, j] * (u[i + o22] - v)
                            + w[23, j] * (u[i + o23] - v)
                            + w[24, j] * (u[i + o24] - v)
                            + w[25, j] * (u[i + o25] - v)
                        )
                    out[j] = v + dt_ms * f[j] * s
            into = home[b]
            for j in range(LANES):
                if into[j] >= 0:
                    new[into[j]] = out[j] + (after[into[j]] - old[into[j]])

    return step  # type: ignore[no-any-return]


@cache
def fourth_order(brick: tuple[int, int, int]) -> Step:
    """Return the kernel of one diffusion step of order 4 along the axes.

    Parameters
    ----------
    brick : (int, int, int)
        One of ``BRICKS``.

    Returns
    -------
    callable(old, new, after, halo, home, rates, dt_ms, bricks)
        As `second_order`; ``rates`` (3,) is ``D / spacing^2`` of each axis, 1/ms.
    """
    (sk, sr, sc), first, places = _places(brick, 2)
    starts = tuple(
        k * sk + r * sr + c for k in range(brick[0]) for r in range(brick[1]) for c in range(0, brick[2], ROW)
    )
    rows = len(starts)
    a0, a1, a2, a3 = first - 2 * sk, first - sk, first + sk, first + 2 * sk
    b0, b1, b2, b3 = first - 2 * sr, first - sr, first + sr, first + 2 * sr
    c0, c1, c2, c3 = first - 2 * sc, first - sc, first + sc, first + 2 * sc

    @njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
    def step(
        old: Any, new: Any, after: Any, halo: Any, home: Any, rates: Any, dt_ms: Any, bricks: Any
    ) -> Any:
        u = np.zeros(places, old.dtype)
        out = np.empty(LANES, old.dtype)
        twelfth = dt_ms / old.dtype.type(12)
        wk, wr, wc = rates[0] * twelfth, rates[1] * twelfth, rates[2] * twelfth
        near, far = old.dtype.type(16), old.dtype.type(30)
        for b in bricks:
            lanes = halo[b]
            for p in range(places):
                u[p] = old[lanes[p]]
            for row in range(rows):
                p, q = starts[row], row * ROW
                for x in range(ROW):
                    i = p + x
                    v = u[i + first]
                    out[q + x] = (
                        v
                        + wk * (near * (u[i + a1] + u[i + a2]) - u[i + a0] - u[i + a3] - far * v)
                        + wr * (near * (u[i + b1] + u[i + b2]) - u[i + b0] - u[i + b3] - far * v)
                        + wc * (near * (u[i + c1] + u[i + c2]) - u[i + c0] - u[i + c3] - far * v)
                    )
            into = home[b]
            for j in range(LANES):
                if into[j] >= 0:
                    new[into[j]] = out[j] + (after[into[j]] - old[into[j]])

    return step  # type: ignore[no-any-return]
