"""Samples of one tree with other radii and conditions, compiled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from carna.flow.steady_kernel import accumulate, solve

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@njit(cache=True, nogil=True, error_model="numpy")
def sample(
    start: Ints,
    order: Ints,
    step: Floats,
    radius: Floats,
    parent: Ints,
    outlet: Floats,
    venous: Floats,
    width: Floats,
    shared: Floats,
    local: Floats,
    correlated_mm: float,
    pressure: Floats,
    resistance: Floats,
    exponent: Floats,
    viscous: Floats,
    inertial: Floats,
    wider: float,
    draws: np.random.Generator,
    wanted: Ints,
    out: npt.NDArray[np.float32],
) -> float:
    """Fill ``out`` (samples, wanted) with the ratio at the wanted places; return the worst residual.

    Parameters
    ----------
    start, order, step, radius
        Segments laid end to end: (s + 1,), and (n,) index of the network's point, mm from the one before, mm.
    parent, outlet, venous
        As in `carna.flow.steady_kernel.solve`.
    width : (s,) float
        Healthy radius at each outlet over the typical one, for other exponents; 1 elsewhere.
    shared, local : (k,) float
        Error of log radius that all points share, and SD of what varies along the vessel.
    pressure, resistance, exponent, viscous, inertial : (k,) float
        Of each sample: mmHg, factor, added exponent, and the two factors of `accumulate`.
    draws : Generator
    wanted : (w,) int
        Positions in ``order``.
    """
    count, points = len(parent), len(radius)
    other, friction, jet = np.empty(points), np.empty(count), np.empty(count)
    ends, noise = np.empty(count), np.empty(points)
    keep, fresh = np.exp(-step / correlated_mm), np.sqrt(1 - np.exp(-2 * step / correlated_mm))
    flow, tail = np.zeros(count), np.empty(count)
    whose = np.empty(points, np.int64)
    for s in range(count):
        whose[start[s] : start[s + 1]] = s
    worst = 0.0
    for k in range(len(pressure)):
        for s in range(count):
            first, up = start[s], parent[s]
            noise[first] = draws.standard_normal() if up < 0 else noise[start[up + 1] - 1]
            for n in range(first + 1, start[s + 1]):
                noise[n] = keep[n] * noise[n - 1] + fresh[n] * draws.standard_normal()
        for n in range(points):
            other[n] = radius[n] * np.exp(shared[k] + local[k] * noise[n])
        lost, jets = accumulate(start, step, other, viscous[k], inertial[k], wider)
        before, after = 0.0, 0.0
        for s in range(count):
            friction[s], jet[s] = lost[start[s + 1] - 1], jets[start[s + 1] - 1]
            ends[s] = 0.0
            if outlet[s] > 0:
                # Flow shares follow radius to another power; the whole conductance stays.
                ends[s] = outlet[s] * width[s] ** -exponent[k]
                before += 1 / outlet[s]
                after += 1 / ends[s]
        for s in range(count):
            ends[s] *= resistance[k] * after / before
        _, change = solve(parent, friction, jet, ends, venous, pressure[k], 0.0, flow, tail, 1e-6, 50)
        if not change <= worst:
            worst = change
        for w in range(len(wanted)):
            n = wanted[w]
            s = whose[n]
            above = pressure[k] if parent[s] < 0 else tail[parent[s]]
            out[k, w] = (above - lost[n] * flow[s] - jets[n] * flow[s] * abs(flow[s])) / pressure[k]
    return worst
