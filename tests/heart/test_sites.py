from itertools import pairwise

import numpy as np
import pytest

from carna.errors import InputError
from carna.heart.anatomy import LV_CAVITY, LV_WALL, RV_CAVITY, RV_WALL, SEPTUM, Anatomy
from carna.heart.axes import Axes
from carna.heart.segments import NAMES
from carna.heart.sites import ELECTRODES_LPS, early_sites, pacing_sites
from carna.heart.ventricles import ventricles, ventricles_of
from carna.space import rotation


def test_nineteen_inner_sites(heart):
    from scipy.ndimage import binary_dilation

    sites = pacing_sites(heart)
    assert len(sites) == 19 == len({s.index for s in sites})
    assert [s.name for s in sites[:17]] == [f"{n} {name}" for n, name in enumerate(NAMES, 1)]
    segment = heart.spread(heart.segment)
    assert [segment[s.index] for s in sites] == [*range(1, 18), 0, 0]
    left = binary_dilation(heart.labels == LV_CAVITY, iterations=2)
    right = binary_dilation(heart.labels == RV_CAVITY, iterations=2)
    assert all(left[s.index] for s in sites[:17]) and all(right[s.index] for s in sites[17:])
    for s in sites:
        assert s.lps_mm == pytest.approx(heart.grid.to_world(s.index)) and s.at_ms == 0
    apex, outflow = (heart.axes.to_heart(s.lps_mm) for s in sites[17:])
    lowest = heart.axes.to_heart(heart.grid.to_world(np.argwhere(heart.labels == RV_CAVITY)))[:, 2].max()
    assert apex[2] == pytest.approx(lowest, abs=4)
    assert (
        outflow[2] < -5 and outflow[1] < 0 and outflow[0] > 0
    )  # above the base, anterior, on the right side


def test_early_sites_are_where_durrer_says(heart):
    anterior, septal, inferior, right = early_sites(heart)
    assert [s.at_ms for s in (anterior, septal, inferior, right)] == [0, 0, 0, 7.5]
    segment = heart.spread(heart.segment)
    height, depth = heart.spread(heart.at.apicobasal), heart.spread(heart.at.transmural)
    assert segment[anterior.index] == 1 and height[anterior.index] > 0.75
    assert segment[septal.index] in (8, 9) and heart.labels[septal.index] == SEPTUM
    assert segment[inferior.index] in (10, 15) and height[inferior.index] == pytest.approx(1 / 3, abs=0.03)
    assert heart.labels[right.index] == RV_WALL
    assert max(depth[s.index] for s in (anterior, septal, inferior, right)) < 0.35


def test_sites_move_with_the_heart(heart):
    motion = rotation((1, 1, 0), 40, (10, 20, 30))
    moved = ventricles(Anatomy(axes=Axes().moved(motion)), spacing_mm=1.0)
    for a, b in zip(pacing_sites(heart), pacing_sites(moved), strict=True):
        there = motion[:3, :3] @ a.lps_mm + motion[:3, 3]
        assert np.linalg.norm(there - b.lps_mm) < 2.5, a.name


def test_a_heart_without_a_right_ventricle_has_no_right_sites(heart):
    left = np.where(heart.labels == LV_CAVITY, LV_CAVITY, 0).astype(np.uint8)
    left[(heart.labels == LV_WALL) | (heart.labels == SEPTUM)] = LV_WALL
    with pytest.raises(InputError, match="right"):
        pacing_sites(ventricles_of(left, heart.grid, heart.axes))


def test_electrodes_lie_on_the_body_around_the_heart(heart):
    at = {name: np.array(p) for name, p in ELECTRODES_LPS.items()}
    chest = [at[f"V{n}"] for n in range(1, 7)]
    assert all(a[0] < b[0] for a, b in pairwise(chest))  # from right to left
    assert chest[0][0] < 0 < chest[1][0]
    assert at["RA"][0] < 0 < at["LA"][0] and at["LL"][2] < at["V4"][2] < at["RA"][2]
    for p in chest:
        assert (p[0] / 172) ** 2 + ((p[1] - 4) / 118) ** 2 == pytest.approx(1)
        away = np.linalg.norm(heart.points_lps - p, axis=1).min()
        assert 10 < away < 110
    near = [np.linalg.norm(heart.points_lps - p, axis=1).min() for p in chest]
    assert np.argmin(near) in (1, 2, 3)
