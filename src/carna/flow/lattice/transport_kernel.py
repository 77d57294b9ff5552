"""The scalar's inner loops, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def carry(value: Array, came: Array, rate: Array, dt: float, source: float, steps: int) -> None:
    """Go on by explicit upwind steps; the last entry of `value` is the blood outside."""
    n = rate.shape[1]
    gain = np.empty(n)
    for _ in range(steps):
        gain[:] = source
        for q in range(18):
            for i in range(n):
                gain[i] += rate[q, i] * (value[came[q, i]] - value[i])
        for i in range(n):
            value[i] += dt * gain[i]


@njit(cache=True, nogil=True)
def settle(value: Array, came: Array, rate: Array, longest: float, sweeps: int) -> float:
    """Sweep the steady age up and down the nodes; return the largest change of the last sweep."""
    n = rate.shape[1]
    change = 0.0
    for sweep in range(sweeps):
        change = 0.0
        for m in range(n):
            i = m if sweep % 2 == 0 else n - 1 - m
            flow, brought = 1e-12, 1.0
            for q in range(18):
                flow += rate[q, i]
                brought += rate[q, i] * value[came[q, i]]
            new = min(brought / flow, longest)
            change = max(change, abs(new - value[i]))
            value[i] = new
    return change
