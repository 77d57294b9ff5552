"""Radii of virtual trees laid end to end, compiled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def fill(
    segment_start: Ints,
    head_mm: Floats,
    tail_mm: Floats,
    length_mm: Floats,
    lesion_segment: Ints,
    lesion_mm: Floats,
    lesion_length_mm: Floats,
    lesion_depth: Floats,
    radius: Floats,
    reference: Floats,
    step: Floats,
) -> None:
    """Fill healthy radii (linear taper), narrowings (cosine; the deeper wins where two meet) and steps."""
    for s in range(len(head_mm)):
        a, b = segment_start[s], segment_start[s + 1]
        part = length_mm[s] / (b - a - 1)
        for n in range(a, b):
            share = (n - a) / (b - a - 1)
            reference[n] = head_mm[s] + (tail_mm[s] - head_mm[s]) * share
            radius[n] = reference[n]
            step[n] = 0.0 if n == a else part
    for k in range(len(lesion_segment)):
        s = lesion_segment[k]
        a, b = segment_start[s], segment_start[s + 1]
        part = length_mm[s] / (b - a - 1)
        for n in range(a, b):
            off = abs((n - a) * part - lesion_mm[k]) / lesion_length_mm[k]
            if off < 0.5:
                narrow = reference[n] * (1 - lesion_depth[k] * 0.5 * (1 + np.cos(2 * np.pi * off)))
                radius[n] = min(radius[n], narrow)
