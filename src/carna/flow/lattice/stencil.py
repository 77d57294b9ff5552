"""The 19 velocities of the lattice, in opposite pairs: 1 and 2, 3 and 4, ..., 17 and 18."""

from __future__ import annotations

from typing import Final

import numpy as np

PLUS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, -1, 0), (1, 0, 1), (1, 0, -1), (0, 1, 1), (0, 1, -1))
MOVES: Final = np.array([(0, 0, 0), *(sign * np.array(c) for c in PLUS for sign in (1, -1))], dtype=np.int64)
WEIGHTS: Final = np.array([1 / 3, *[1 / 18] * 6, *[1 / 36] * 12])
OPPOSITE: Final = np.array([0, *(q + 1 if q % 2 else q - 1 for q in range(1, 19))])
MAGIC: Final = 3 / 16
"""(tau+ - 1/2)(tau- - 1/2): halfway walls then lie exactly halfway in a parabolic flow, at any viscosity."""
