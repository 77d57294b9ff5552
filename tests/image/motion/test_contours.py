"""Contours of labels: areas to the pixel, forms, and what is no ring."""

from __future__ import annotations

import numpy as np
import pytest

from carna.image.motion.contours import ORDER, contours, on_angles, waves

ANGLES = np.linspace(0, 2 * np.pi, 90, endpoint=False)


def ring(
    inner: float = 15.0, outer: float = 22.0, size: int = 64, centre: tuple[float, float] = (31.3, 32.8)
):
    r, c = np.indices((size, size))
    away = np.hypot(r - centre[0], c - centre[1])
    return np.select([away < inner, away < outer], [3, 2], 0).astype(np.uint8)[None, None]


@pytest.mark.parametrize("inner", [6.0, 11.5, 15.0])
def test_a_circle_has_its_radius(inner):
    found = contours(ring(inner), (1.5, 1.5))
    radius = found.radius(ANGLES)[0, 0]
    # A quarter of a pixel anywhere on the staircase of six pixels' radius, a thirtieth on the whole.
    assert np.abs(radius[0] - 1.5 * inner).mean() < 0.4 and np.abs(radius[1] - 33.0).mean() < 0.2
    assert radius[0].mean() == pytest.approx(1.5 * inner, abs=0.05)
    assert found.centre_mm[0, 0] == pytest.approx((31.3 * 1.5, 32.8 * 1.5), abs=0.2)
    assert found.known.all() and found.labelled.all()


def test_the_area_inside_is_that_of_the_pixels():
    r, c = np.indices((80, 80))
    blob = ((r - 40) / 20.0) ** 2 + ((c - 38) / 13.0) ** 2 < 1 + 0.2 * np.cos(3 * np.arctan2(r - 40, c - 38))
    found = contours(np.where(blob, 3, 0).astype(np.uint8)[None, None], (1.0, 1.0))
    assert 2 * np.pi * found.area[0, 0, 0, 0] == pytest.approx(blob.sum(), rel=1e-9)
    edge = on_angles(found.area[0, 0, 0], ANGLES)
    arm = np.stack([np.sin(ANGLES), np.cos(ANGLES)], 1) * edge[:, None] + found.centre_mm[0, 0]
    level = ((arm[:, 0] - 40) / 20) ** 2 + ((arm[:, 1] - 38) / 13) ** 2
    wanted = 1 + 0.2 * np.cos(3 * np.arctan2(arm[:, 0] - 40, arm[:, 1] - 38))
    assert np.abs(np.sqrt(level) - np.sqrt(wanted)).mean() < 0.03


def test_pixels_need_not_be_square():
    found = contours(ring(), (1.0, 2.0)).radius(np.array([0.0, np.pi / 2]))[0, 0]
    assert found[0] == pytest.approx((30.0, 15.0), abs=0.8)


def test_what_is_no_ring_is_not_known():
    open_ring = ring()
    open_ring[..., 40:, 28:37] = np.where(open_ring[..., 40:, 28:37] == 2, 0, open_ring[..., 40:, 28:37])
    no_cavity = np.where(ring() == 3, 2, ring()).astype(np.uint8)
    nothing = np.zeros_like(no_cavity)
    for labels in (open_ring, no_cavity, nothing):
        assert not contours(labels, (1.0, 1.0)).known.any()
    assert contours(open_ring, (1.0, 1.0)).labelled.all() and not contours(nothing, (1.0, 1.0)).labelled.any()


def test_waves_are_orthogonal():
    basis = waves(ANGLES)
    product = basis.T @ basis / len(ANGLES)
    assert np.allclose(product, np.diag([1.0] + [0.5] * 2 * ORDER), atol=1e-12)
