"""What speaks for a ventricular beat: the score of `kinds`, normal and ventricular, and its card.

Learned from
    MIT-BIH Arrhythmia Database (doi:10.13026/C2F305), 6 persons, and QT Database
    (doi:10.13026/C24K53), 13 persons: subsets, ODC-By 1.0
Never learned from
    CPSC2021, SVDB, and whatever is not named above.
Recipe, scores
    ``tests/ecg/fit_atrial.py``; ``docs/ecg-rhythm.md``.
Not for
    Paced rhythms; persons most of whose beats are ventricular; children.
"""

from __future__ import annotations

import numpy as np

from carna.ecg.logistic import Logistic

VENTRICULAR_SCORE = Logistic(
    np.array(
        (
            (-0.6586, 0.6586),  # unlike
            (1.201, -1.201),  # unlike^2
            (-1.968, 1.968),  # cluster unlike
            (0.8199, -0.8199),  # cluster unlike^2
            (-10.05, 10.05),  # unlike, early
            (-6.18, 6.18),  # unlike, pause
            (-0.04458, 0.04458),  # unlike, T unlike
            (-0.8401, 0.8401),  # unlike, wider
            (-3.189, 3.189),  # wider
            (2.903, -2.903),  # unlike, P
            (-3.506, 3.506),  # cluster unlike, early
            (-0.3971, 0.3971),  # cluster unlike, share
            (-3.092, 3.092),  # unlike, larger
            (-0.3538, 0.3538),  # T unlike
            (-0.6992, 0.6992),  # unlike, irregular
        )
    ),
    np.array((2.48, -2.48)),
)
