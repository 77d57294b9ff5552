"""What speaks for fibrillation in 30 beats: the score of `atrial`, no and yes, and its card.

Learned from
    MIT-BIH Arrhythmia Database (doi:10.13026/C2F305), 6 persons, and QT Database
    (doi:10.13026/C24K53), 13 persons: subsets, ODC-By 1.0;
    PhysioNet/CinC Challenge 2017 (doi:10.22489/CinC.2017.065-469), 201 one-lead strips,
    ODC-By 1.0
Never learned from
    CPSC2021, SVDB, and whatever is not named above.
Recipe, scores
    ``tests/ecg/fit_atrial.py``; ``docs/ecg-rhythm.md``.
Not for
    Paced rhythms, children, recordings without 16 trusted beats in a row.
"""

from __future__ import annotations

import numpy as np

from carna.ecg.logistic import Logistic

FIBRILLATION_SCORE = Logistic(
    np.array(
        (
            (0.5069, -0.5069),  # entropy
            (3.257, -3.257),  # origin
            (2.76, -2.76),  # interval
            (3.697, -3.697),  # p_likeness
        )
    ),
    np.array((-0.4881, 0.4881)),
)
