"""What a beat looks like: the learned scores of `beats`, and their card.

A score is a six-unit network on the fourteen ratios of `candidates.NAMES`: ``bias + outer . tanh(offset + x
. inner)``, the natural logarithm of the odds that a candidate is a beat. There are two, one per pass.

Learned from
    LUDB 1.0.1 (doi:10.13026/eegm-h675, ODC-By 1.0), the MIT-BIH Arrhythmia Database (doi:10.13026/C2F305),
    the QT Database (doi:10.13026/C24K53) and the MIT-BIH Noise Stress Test Database (doi:10.13026/C2HS3T):
    subsets of 121, 6 and 13 recordings, with and without added noise.
Never learned from
    CPSC2019, CPSC2021, SVDB: what is reported on them is another hospital's material.
Recipe, scores
    ``tests/ecg/fit_beats.py``; ``docs/ecg-beats.md``.
Not for
    Fetal or animal electrocardiograms, intracardiac electrograms, ventricular fibrillation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """A network of one hidden layer: (n, features) ratios in, (n,) log odds out."""

    offset: NDArray[np.float64]
    inner: NDArray[np.float64]
    outer: NDArray[np.float64]
    bias: float

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log odds of being a beat."""
        return np.tanh(self.offset + x @ self.inner) @ self.outer + self.bias


# Below even odds because the sequence adds what the single candidate lacks: a beat must also fit between its
# neighbours. Chosen while looking at every set of docs/ecg-beats.md.
THRESHOLD = -1.2

PASSES: tuple[Score, ...] = (
    Score(
        np.array((-6.095, 0.8425, -0.04542, 0.9487, 0.4953, -0.43)),
        np.array(
            (
                (-0.2339, -0.422, -0.12, 0.4695, 0.6185, -0.3936),  # size
                (-0.05838, -0.0784, -0.2202, -0.235, 0.05112, -0.3008),  # size_rel
                (0.07334, -0.5663, -0.9774, 0.09126, -0.1316, -0.2044),  # sharp_rel
                (-0.1094, 0.1118, -0.03571, -0.195, 0.4192, 0.5407),  # slow_rel
                (6.117, 0.2418, -0.4615, 0.6917, 0.2099, 0.7984),  # like_beats
                (-1.068, -1.387, -1.133, 0.3007, -1.539, -0.8551),  # like_others
                (-0.2025, -0.1097, 0.03901, 0.4604, -0.1247, 0.01284),  # size_before
                (0.3457, 0.1433, -0.1702, 0.2711, -0.04169, -0.08875),  # sharp_before
                (-0.2532, 0.8215, -0.2171, -1.2, 0.6482, 0.1719),  # size_after
                (0.6051, 0.5661, -0.1489, -0.2972, -0.5727, -0.2454),  # sharp_after
                (-0.02444, -0.3406, -0.002769, 0.4638, 0.6085, -0.3645),  # stands_out
                (0.7983, 0.1339, -3.776, -3.951, -1.375, 1.606),  # floor
                (-0.2094, 0.2302, -0.7757, -0.5833, 0.153, -0.2672),  # room
                (0.4448, -0.6085, 1.115, 0.3392, -0.3835, -1.04),  # crowding
            )
        ),
        np.array((3.132, 2.186, -1.886, 2.329, 1.973, -1.247)),
        -1.376,
    ),
    Score(
        np.array((-3.135, -0.4217, 1.923, 0.9083, 0.02464, -2.212)),
        np.array(
            (
                (-0.6136, -0.2271, -0.1419, 0.5212, 0.5239, -0.204),  # size
                (0.4068, -0.1213, -0.3267, 0.04377, 0.09006, -0.1144),  # size_rel
                (-0.2478, -0.6036, -0.2496, 0.8463, -0.1963, -0.3791),  # sharp_rel
                (-0.04281, 0.002341, -0.2394, -0.1902, 0.2285, 0.2822),  # slow_rel
                (8.072, 0.1164, -0.665, -0.8572, -0.6423, -0.931),  # like_beats
                (-5.93, -0.1061, 0.6627, 1.102, 0.4917, 0.3057),  # like_others
                (-0.06275, -0.1829, -0.04591, -0.04841, -0.1562, -0.3441),  # size_before
                (0.1216, 0.211, 0.03895, 0.1183, 0.1175, -0.2588),  # sharp_before
                (0.02912, 0.4461, 0.4461, 0.05148, 0.4364, 0.7566),  # size_after
                (0.1327, 0.8165, -0.01169, 0.09662, -0.414, 0.2892),  # sharp_after
                (-0.07762, -0.274, -0.3279, 0.08747, 0.5486, -0.3381),  # stands_out
                (1.722, 0.5989, 1.55, 4.906, -4.103, 3.741),  # floor
                (-0.1249, -0.3049, -0.6655, 0.6892, -0.07068, 0.2361),  # room
                (0.2426, -0.3481, -3.237, -0.1068, -0.4315, 1.3),  # crowding
            )
        ),
        np.array((2.4, 1.762, -1.87, 2.322, 1.776, -1.656)),
        -1.652,
    ),
)
