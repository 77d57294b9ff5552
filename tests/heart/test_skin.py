"""The surface for pictures: closed, facing outwards, of the right size, in either handedness."""

from __future__ import annotations

import numpy as np
import pytest

from carna.errors import InputError
from carna.heart.skin import skin
from carna.space import Grid


@pytest.mark.parametrize("hand", [1.0, -1.0])
def test_a_ball_keeps_its_volume(hand: float) -> None:
    grid = Grid((40, 40, 40), np.diag([1.0, 1.0, hand, 1.0]))
    ball = ((np.indices(grid.shape) - 19.5) ** 2).sum(axis=0) < 15.0**2
    surface = skin(ball, grid)
    assert surface.volume_ml == pytest.approx(4 / 3 * np.pi * 3.375, rel=0.03)
    assert surface.area_mm2 == pytest.approx(
        4 * np.pi * 225.0, rel=0.08
    )  # stairs would have 1.5 times as much
    edges = np.sort(np.concatenate([surface.triangles[:, [i, (i + 1) % 3]] for i in range(3)]), axis=1)
    _, count = np.unique(edges, axis=0, return_counts=True)
    assert (count == 2).all()
    assert np.abs(surface.points.mean(axis=0) - (19.5, 19.5, hand * 19.5)).max() < 0.05


def test_nothing_has_no_surface() -> None:
    with pytest.raises(InputError, match="nothing solid"):
        skin(np.zeros((3, 3, 3), bool), Grid((3, 3, 3), np.eye(4)))
