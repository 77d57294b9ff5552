"""Which voxels lie inside a closed surface, compiled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]


@njit(cache=True, nogil=True)
def crossings(corners: Floats, shape: tuple[int, int, int]) -> npt.NDArray[np.int32]:
    """Count the crossings of every column of voxels with triangles, at the first voxel behind each.

    ``corners`` (t, 3, 3) are voxel indices (slice, row, column); columns run along slices. An odd running
    sum means inside.
    """
    found = np.zeros(shape, np.int32)
    for t in range(len(corners)):
        z0, y0, x0 = corners[t, 0]
        z1, y1, x1 = corners[t, 1]
        z2, y2, x2 = corners[t, 2]
        whole = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if whole == 0.0:
            continue
        for r in range(max(0, int(np.ceil(min(y0, y1, y2)))), min(shape[1], int(max(y0, y1, y2)) + 1)):
            for c in range(max(0, int(np.ceil(min(x0, x1, x2)))), min(shape[2], int(max(x0, x1, x2)) + 1)):
                a = ((x1 - c) * (y2 - r) - (x2 - c) * (y1 - r)) / whole
                b = ((x2 - c) * (y0 - r) - (x0 - c) * (y2 - r)) / whole
                if a < 0 or b < 0 or a + b > 1:
                    continue
                k = int(np.ceil(a * z0 + b * z1 + (1 - a - b) * z2))
                if k < shape[0]:
                    found[max(k, 0), r, c] += 1
    return found
