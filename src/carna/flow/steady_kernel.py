"""The steady solver's inner loops, compiled (imported only when a solve is asked for)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def accumulate(
    start: Ints, step: Floats, radius: Floats, viscous: float, inertial: float, wider: float
) -> tuple[Floats, Floats]:
    """Return friction and jet loss from each segment's head to each of its points.

    Parameters
    ----------
    start : (s + 1,) int
        Where each segment's points begin.
    step : (n,) float
        Distance from the point before, mm.
    radius : (n,) float
        mm.
    viscous, inertial : float
        8 mu / pi and K rho / 2, such that the results are mmHg s/mL and mmHg s2/mL2.
    wider : float
        Share of its radius by which a lumen must narrow to end a widening.
    """
    friction, jet = np.zeros(len(radius)), np.zeros(len(radius))
    for s in range(len(start) - 1):
        first = start[s]
        throat = top = np.pi * radius[first] ** 2
        done = 0.0
        for n in range(first + 1, start[s + 1]):
            a, b = radius[n - 1], radius[n]
            # The integral of ds / r^4 between two radii, linear between: exact.
            friction[n] = friction[n - 1] + viscous * step[n] * (a * a + a * b + b * b) / (3 * a**3 * b**3)
            area = np.pi * b * b
            if area < throat or area < top * (1 - wider) ** 2:
                done += inertial * (1 / throat - 1 / top) ** 2
                throat = top = area
            elif area > top:
                top = area
            jet[n] = done + inertial * (1 / throat - 1 / top) ** 2
    return friction, jet


@njit(cache=True, nogil=True, error_model="numpy")
def solve(
    parent: Ints,
    friction: Floats,
    jet: Floats,
    outlet: Floats,
    venous: Floats,
    inlet_pressure: float,
    inlet_flow: float,
    flow: Floats,
    pressure: Floats,
    tolerance: float,
    most: int,
) -> tuple[int, float]:
    """Solve one tree in place; return the steps taken and the last relative change of a flow.

    ``flow`` holds the first guess and ends as the answer; ``pressure`` is that at each segment's tail. An
    ``inlet_pressure`` of NaN means that the inlet's flow is given.
    """
    count = len(parent)
    slope, offset = np.empty(count), np.empty(count)
    conductance, driven = np.empty(count), np.empty(count)
    change = np.inf
    taken = 0
    while taken < most and change > tolerance:
        taken += 1
        conductance[:], driven[:] = 0.0, 0.0
        for n in range(count - 1, -1, -1):
            if outlet[n] > 0:
                below, push = outlet[n], venous[n]
            else:
                below = 1 / conductance[n]
                push = driven[n] * below
            slope[n] = below + friction[n] + 2 * jet[n] * abs(flow[n])
            offset[n] = push - jet[n] * flow[n] * abs(flow[n])
            up = parent[n]
            if up >= 0:
                conductance[up] += 1 / slope[n]
                driven[up] += offset[n] / slope[n]
        change = 0.0
        for n in range(count):
            up = parent[n]
            if up >= 0:
                above = pressure[up]
            elif np.isnan(inlet_pressure):
                above = slope[n] * inlet_flow + offset[n]
            else:
                above = inlet_pressure
            before = flow[n]
            flow[n] = (above - offset[n]) / slope[n]
            pressure[n] = (
                above - (friction[n] + 2 * jet[n] * abs(before)) * flow[n] + jet[n] * before * abs(before)
            )
            size = max(abs(flow[n]), 1e-30)
            off = abs(flow[n] - before) / size
            # Not `max`: a NaN has to show.
            if not off <= change:
                change = off
    return taken, change


@njit(cache=True, nogil=True, error_model="numpy")
def solve_all(
    start: Ints,
    parent: Ints,
    friction: Floats,
    jet: Floats,
    outlet: Floats,
    venous: Floats,
    inlet_pressure: Floats,
    flow: Floats,
    pressure: Floats,
    tolerance: float,
    most: int,
) -> Floats:
    """Solve many trees laid end to end, in place; return each one's last relative change.

    ``start`` (t + 1,) says where each tree begins; ``parent`` counts from its own tree's first segment.
    """
    change = np.empty(len(start) - 1)
    for t in range(len(start) - 1):
        a, b = start[t], start[t + 1]
        _, change[t] = solve(
            parent[a:b],
            friction[a:b],
            jet[a:b],
            outlet[a:b],
            venous[a:b],
            inlet_pressure[t],
            0.0,
            flow[a:b],
            pressure[a:b],
            tolerance,
            most,
        )
    return change
