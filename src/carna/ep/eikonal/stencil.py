"""Anisotropic neighbours of a voxel: Voronoi's first reduction of a tensor (numba kernels).

A squared-velocity tensor D (positive definite, in voxels per ms) is written as

    D = sum over i = 1..6 of rho_i e_i e_i^T,   rho_i >= 0,   e_i whole numbers of voxels,

by Selling's algorithm: begin with the superbase (e_1, e_2, e_3, -(e_1+e_2+e_3)) of the grid and turn it
until no two of its vectors make an acute angle under D. The eikonal equation, grad u . D grad u = 1, then
has the upwind (Godunov) form

    sum over i of rho_i max(0, u(x) - u(x + e_i), u(x) - u(x - e_i))^2 = 1,

which is monotone and causal for *every* fibre direction: a voxel depends on earlier ones only, so that one
ordered pass solves it. The six-neighbour scheme is its special case for an isotropic tensor.

Mirebeau 2019, SIAM J. Numer. Anal. 57 (hal-01507334).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

Call = TypeVar("Call", bound=Callable[..., Any])
Array = npt.NDArray[Any]


def compiled(function: Call) -> Call:
    """Return the function compiled at its first call, and kept in numba's cache."""
    return cast("Call", njit(cache=True, error_model="numpy")(function))


def inlined(function: Call) -> Call:
    """Return the function compiled into each caller: a tuple of arrays is slow to hand over."""
    return cast("Call", njit(inline="always", error_model="numpy")(function))


@compiled
def reduce_tensors(tensor: Array) -> tuple[Array, Array]:
    """Return offsets (n, 6, 3) int16 and weights (n, 6) float32 of tensors (n, 6).

    The six numbers of a tensor are kk, rr, cc, kr, kc, rc.
    """
    n = tensor.shape[0]
    offsets = np.zeros((n, 6, 3), np.int16)
    weights = np.zeros((n, 6), np.float32)
    base = np.zeros((4, 3), np.int64)
    for x in range(n):
        kk, rr, cc, kr, kc, rc = tensor[x]
        tiny = 1e-9 * (kk + rr + cc)
        base[:] = 0
        for a in range(3):
            base[a, a] = 1
            base[3, a] = -1
        turned = True
        while turned:
            turned = False
            for i in range(3):
                for j in range(i + 1, 4):
                    if _product(base, i, j, kk, rr, cc, kr, kc, rc) > tiny:
                        for other in range(4):
                            if other not in (i, j):
                                base[other] += base[i]
                        base[i] = -base[i]
                        turned = True
        pair = 0
        for i in range(3):
            for j in range(i + 1, 4):
                k = 0
                while k in (i, j):
                    k += 1
                m = 6 - i - j - k
                weight = -_product(base, i, j, kk, rr, cc, kr, kc, rc)
                if weight > tiny:
                    weights[x, pair] = weight
                    offsets[x, pair, 0] = base[k, 1] * base[m, 2] - base[k, 2] * base[m, 1]
                    offsets[x, pair, 1] = base[k, 2] * base[m, 0] - base[k, 0] * base[m, 2]
                    offsets[x, pair, 2] = base[k, 0] * base[m, 1] - base[k, 1] * base[m, 0]
                pair += 1
    return offsets, weights


@compiled
def _product(
    base: Array, i: int, j: int, kk: float, rr: float, cc: float, kr: float, kc: float, rc: float
) -> float:
    a, b, c = base[i, 0], base[i, 1], base[i, 2]
    p, q, s = base[j, 0], base[j, 1], base[j, 2]
    square = kk * a * p + rr * b * q + cc * c * s
    return float(square + kr * (a * q + b * p) + kc * (a * s + c * p) + rc * (b * s + c * q))


@compiled
def _open(index: Array, k: int, r: int, c: int, dk: int, dr: int, dc: int) -> bool:
    """Whether the straight step stays in tissue, passing an edge or a corner on at least one side."""
    steps = max(abs(dk), abs(dr), abs(dc))
    if steps == 1 and abs(dk) + abs(dr) + abs(dc) == 1:
        return True
    for side in (-1.0, 1.0):
        tilt = 1e-3 * side
        inside = True
        for n in range(1, 2 * steps):
            part = n / (2 * steps)
            at_k = k + int(np.floor(part * dk + 0.5 + tilt))
            at_r = r + int(np.floor(part * dr + 0.5 - tilt))
            at_c = c + int(np.floor(part * dc + 0.5 + 0.5 * tilt))
            if index[at_k, at_r, at_c] < 0:
                inside = False
                break
        if inside:
            return True
    return False


@compiled
def join(index: Array, place: Array, offsets: Array, weights: Array) -> Array:
    """Return the neighbours (n, 12) int32 of every voxel: + and - of each offset, -1 where blocked.

    Parameters
    ----------
    index : (K, R, C) int32
        Number of each voxel in the list, -1 outside; padded by the longest offset.
    place : (n, 3) int32
        Padded index of each voxel.
    offsets, weights : of `reduce_tensors`
    """
    n = place.shape[0]
    near = np.full((n, 12), -1, np.int32)
    for x in range(n):
        k, r, c = place[x]
        for i in range(6):
            if weights[x, i] > 0:
                dk, dr, dc = offsets[x, i]
                for side in range(2):
                    sign = 1 - 2 * side
                    other = index[k + sign * dk, r + sign * dr, c + sign * dc]
                    if other >= 0 and _open(index, k, r, c, sign * dk, sign * dr, sign * dc):
                        near[x, 2 * i + side] = other
    return near


@compiled
def count_arcs(index: Array, place: Array, near: Array, weights: Array) -> tuple[Array, Array]:
    """Return how many arcs leave each voxel (n,), and which voxels lack a neighbour (n,) bool."""
    n = place.shape[0]
    count = np.zeros(n, np.int64)
    cut = np.zeros(n, np.bool_)
    for x in range(n):
        for j in range(12):
            if near[x, j] >= 0:
                count[near[x, j]] += 1
            elif weights[x, j // 2] > 0:
                cut[x] = True
        if cut[x]:
            for j in range(12):
                if near[x, j] >= 0:
                    count[near[x, j]] += 1
            for axis in range(3):
                for sign in (-1, 1):
                    other = _face(index, place, x, axis, sign)
                    if other >= 0:
                        count[other] += 1
    return count, cut


@compiled
def _face(index: Array, place: Array, x: int, axis: int, sign: int) -> int:
    k, r, c = place[x]
    if axis == 0:
        return int(index[k + sign, r, c])
    if axis == 1:
        return int(index[k, r + sign, c])
    return int(index[k, r, c + sign])


@compiled
def fill_arcs(
    index: Array, place: Array, near: Array, offsets: Array, weights: Array, cut: Array, metric: Array,
    first: Array,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Return for every voxel whom it wakes: targets (m,) int32, weights (m,) float32 and kinds (m,) int8.

    A kind of 0 to 5 is the pair of neighbours in the target's stencil that the arc belongs to, its weight
    that pair's rho; the kind -1 is a straight step, its weight the time it takes. Voxels that lack a
    neighbour (``cut``) also listen to straight steps, of time sqrt(o . M o), M = D^-1: in a channel one
    voxel wide those alone are exact. ``metric`` (n, 6) is M, ordered as the tensors; ``first`` (n + 1,) is
    where each voxel's arcs begin.
    """
    n = place.shape[0]
    to = np.empty(first[n], np.int32)
    weight = np.empty(first[n], np.float32)
    kind = np.empty(first[n], np.int8)
    fill = first[:-1].copy()
    for x in range(n):
        for j in range(12):
            other = near[x, j]
            if other >= 0:
                at = fill[other]
                to[at], weight[at], kind[at] = x, weights[x, j // 2], j // 2
                fill[other] += 1
                if cut[x]:
                    a, b, c = offsets[x, j // 2]
                    to[at + 1], weight[at + 1], kind[at + 1] = x, length(metric, x, a, b, c), -1
                    fill[other] += 1
        if cut[x]:
            for axis in range(3):
                for sign in (-1, 1):
                    other = _face(index, place, x, axis, sign)
                    if other >= 0:
                        at = fill[other]
                        to[at], weight[at], kind[at] = x, np.sqrt(metric[x, axis]), -1
                        fill[other] += 1
    return to, weight, kind


@compiled
def length(metric: Array, x: int, a: float, b: float, c: float) -> float:
    """Return the travel time of an offset (voxels) in voxel ``x``'s constant metric."""
    m = metric[x]
    return float(
        np.sqrt(m[0] * a * a + m[1] * b * b + m[2] * c * c + 2 * (m[3] * a * b + m[4] * a * c + m[5] * b * c))
    )
