"""The evaluation of motion: what it moves and what it counts, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from carna.learn.cmr_motion import Warp, _auroc, heterogeneity, slipped, warped

GRID = np.moveaxis(np.indices((96, 96), float), 0, -1)
SWIRL = ((0.08, -0.03, 1.0, 1.5), (0.02, 0.1, 2.0, 1.0))


def disc(radius: float, centre: tuple[float, float] = (48.0, 48.0)) -> np.ndarray:
    return np.hypot(GRID[..., 0] - centre[0], GRID[..., 1] - centre[1]) < radius


@pytest.mark.parametrize("swirl", [(), SWIRL])
def test_a_warp_is_undone(swirl):
    warp = Warp((48.0, 47.0), 15.0, swirl=swirl)
    wall = disc(24.0) & ~disc(12.0)
    points = GRID[wall]
    assert np.abs(warp(warp.undo(points, 1.0), 1.0) - points).max() < 0.02
    assert np.allclose(warp(points, 0.0), points)


def test_a_warp_shortens_as_told_and_keeps_area():
    warp = Warp((48.0, 48.0), 15.0, shortening=0.22, twist_deg=0.0)
    assert np.hypot(*(warp(np.array([48.0, 63.0]), 1.0) - 48.0)) == pytest.approx(15.0 * 0.78, rel=1e-3)
    step = 1e-4
    for point in np.array([[48.0, 64.0], [60.0, 60.0], [30.0, 44.0]]):
        columns = [(warp(point + e, 1.0) - warp(point - e, 1.0)) / (2 * step) for e in np.eye(2) * step]
        assert abs(np.linalg.det(np.array(columns))) == pytest.approx(1.0, abs=0.03)


def test_a_warped_cine_begins_still_and_its_labels_keep_their_area():
    labels = np.select([disc(15.0), disc(22.0)], [3, 2], 0).astype(np.uint8)
    picture = 100.0 + 400.0 * (labels == 3)
    warp = Warp((48.0, 48.0), 15.0)
    cine, moved, amounts = warped(picture, labels, warp, 10, np.random.default_rng(0))
    assert cine.shape == (10, 1, 96, 96) and amounts[0] == 0.0 and amounts[5] == 1.0
    wall = [(m == 2).sum() for m in moved[:, 0]]
    assert abs(wall[5] / wall[0] - 1) < 0.05
    assert (moved[5] == 3).sum() / (moved[0] == 3).sum() == pytest.approx(0.78**2, abs=0.03)


def test_even_shortening_is_even_and_a_still_side_is_not():
    both = np.stack([disc(20.0), disc(14.0)])[:, None]
    ejection, fixed, floating = heterogeneity((3 * both).astype(np.uint8))
    assert ejection == pytest.approx(1 - 0.49, abs=0.02) and fixed < 0.02 and floating < 0.02
    aside = np.stack([disc(20.0), disc(14.0, (48.0, 54.0))])[:, None]
    _, fixed, floating = heterogeneity((3 * aside).astype(np.uint8))
    assert fixed > 0.15 and floating < 0.02  # the left side went in by 12, the right side not at all


def test_area_under_the_curve_counts_pairs():
    value, (low, high) = _auroc(np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, True, False, False]))
    assert value == 0.75 and low <= value <= high
    assert _auroc(np.arange(6.0), np.arange(6) > 2)[0] == 1.0


def test_slipped_outlines_are_off_by_what_was_asked():
    labels = np.select([disc(15.0), disc(22.0)], [3, 2], 0).astype(np.uint8)[None, None]
    still = slipped(labels, 1.4, np.random.default_rng(0), every_frame=0.0, always=0.0)
    off = slipped(np.repeat(labels, 6, axis=0), 1.4, np.random.default_rng(0))
    assert (still != labels).mean() < 0.01
    assert len({off[n].tobytes() for n in range(6)}) == 6
    dice = [2 * ((o == 3) & (labels[0] == 3)).sum() / ((o == 3).sum() + (labels[0] == 3).sum()) for o in off]
    assert 0.93 < np.mean(dice) < 0.99
