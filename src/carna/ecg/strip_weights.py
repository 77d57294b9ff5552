"""Sinus rhythm, fibrillation, other, noise: the score of `strips`, and its card.

Learned from
    PhysioNet/CinC Challenge 2017 (doi:10.22489/CinC.2017.065-469), 201 one-lead strips,
    ODC-By 1.0
Never learned from
    CPSC2021, SVDB, and whatever is not named above.
Recipe, scores
    ``tests/ecg/fit_atrial.py``; ``docs/ecg-rhythm.md``.
Not for
    Strips below 8.5 s, children; any other lead than the hand-held one it was learned from.
"""

from __future__ import annotations

import numpy as np

from carna.ecg.logistic import Logistic

STRIP_SCORE = Logistic(
    np.array(
        (
            (-0.1135, -0.009607, 0.005859, 0.1173),  # entropy
            (-0.06204, 0.2699, -0.1896, -0.01829),  # change
            (0.03224, -0.04263, -0.06338, 0.07377),  # rmssd
            (-0.4756, 0.3284, -0.06553, 0.2127),  # changed
            (-0.4782, -0.542, 0.9659, 0.0543),  # spread
            (-0.188, 0.1149, 0.2686, -0.1956),  # diversity
            (-0.02254, -0.2001, -0.5071, 0.7297),  # cells
            (0.04106, -0.5992, 0.7143, -0.1561),  # origin
            (-3.017, 2.369, -0.03943, 0.6878),  # turning
            (0.1852, 0.2477, -0.2934, -0.1395),  # memory
            (1.457, -1.342, -0.5447, 0.4297),  # interval
            (1.062, 0.03712, -0.5151, -0.584),  # slow_run
            (0.5011, -0.5416, 0.2337, -0.1933),  # fast_run
            (-0.4353, 0.3316, 0.2412, -0.1375),  # longest
            (-6.245, 4.378, 4.275, -2.408),  # fast
            (-5.622, -3.606, 10.56, -1.33),  # slow
            (-0.3298, 0.04354, 0.2777, 0.00849),  # early
            (-0.8985, 0.1208, 1.037, -0.2589),  # early_odd
            (1.483, 0.4395, -1.226, -0.6969),  # earliest
            (-0.09202, 0.2578, -0.2914, 0.1256),  # rest_change
            (-0.1193, 0.05928, -0.03253, 0.09257),  # rest_upper
            (0.5661, -0.4605, 0.3708, -0.4764),  # p_alike
            (0.1228, -0.6638, 0.2974, 0.2436),  # p_share
            (0.294, -0.01979, -0.08623, -0.1879),  # p_explained
            (0.8552, -0.8139, 1.233, -1.275),  # p_likeness
            (0.416, -0.2702, 0.09415, -0.24),  # p_lower
            (-0.3805, 0.7506, -0.3393, -0.03079),  # p_before
            (-1.619, -0.1351, 0.8228, 0.9318),  # f_share
            (-1.686, 0.3142, 1.532, -0.1603),  # f_concentration
            (0.06116, -0.1587, 0.007553, 0.08996),  # f_size
            (-0.000638, -0.1838, 0.1645, 0.01991),  # p_over_f
            (-0.1034, -0.052, -0.1951, 0.3505),  # unlike
            (-0.4438, 0.3222, 0.2338, -0.1122),  # least_alike
            (-0.9962, 0.1981, 0.8162, -0.01811),  # alike
            (-5.267, 0.6746, 1.861, 2.731),  # qrs_spread
            (-6.142, -0.6619, 3.052, 3.752),  # qrs_width
            (0.3125, -0.3312, -0.5122, 0.5309),  # size_spread
            (0.6789, 0.2988, -0.2857, -0.692),  # t_explained
            (0.3522, -0.16, -0.2753, 0.08309),  # remainder
            (0.07167, 0.137, -0.03248, -0.1762),  # snr
            (-0.5501, 0.7238, -0.3802, 0.2065),  # bad
            (0.8242, 0.08828, 0.9347, -1.847),  # trust
            (0.902, -0.5838, 0.3502, -0.6684),  # least_trust
            (-0.0009186, -0.2995, -0.745, 1.045),  # unsure
            (0.8264, 0.573, 0.1147, -1.514),  # covered
        )
    ),
    np.array((3.469, -3.375, -5.01, 4.917)),
)
