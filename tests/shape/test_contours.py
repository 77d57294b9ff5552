"""Outlines from pixels against circles, ovals and a crescent that are known."""

import numpy as np
import pytest

from carna.errors import InputError
from carna.shape.contours import outlines
from carna.shape.template import ARC, angles
from carna.space import Grid, rotation

PIXEL = 1.5


def drawn(*, turned=0.0, reverse=False, tilt=0.0):
    """Labels of an oval wall with a crescent beside it, smaller from slice to slice, and their planes."""
    size, k = 120, 6
    r, c = np.indices((size, size))
    labels = np.zeros((1, k, size, size), np.uint8)
    planes = []
    for n in range(k):
        scale = 1.0 - 0.1 * n
        x, y = (c - 62.3) * PIXEL, (r - 58.6) * PIXEL
        radius, angle = np.hypot(x, y), np.arctan2(y, x)
        inner = scale * 22.0 * (1 + 0.1 * np.cos(2 * angle))
        right = (radius < scale * (34 + 20 * np.cos(1.2 * angle))) & (np.abs(angle) < 1.25)
        labels[0, n][right] = 1
        labels[0, n][radius < scale * 32.0] = 2
        labels[0, n][radius < inner] = 3
        affine = np.diag([8.0, PIXEL, PIXEL, 1.0])[[2, 1, 0, 3]]
        affine[:3, 3] = (0.0, 0.0, 10.0 * n)
        planes.append(Grid((1, size, size), rotation((1, 2, 3), turned) @ affine))
    if tilt:
        planes[-1] = planes[-1].moved(rotation((1, 0, 0), tilt))
    if reverse:
        return labels[:, ::-1], tuple(planes[::-1])
    return labels, tuple(planes)


def polygon_mm2(ring):
    x, y = ring.T
    return 0.5 * abs(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()))


def test_radii_and_areas():
    labels, planes = drawn()
    seen = outlines(labels, planes)
    for n in range(6):
        scale = 1.0 - 0.1 * n
        away = np.linalg.norm(seen.epi[0, n] - seen.centre[0, n], axis=1)
        np.testing.assert_allclose(away, 32.0 * scale, atol=0.6)
        for ring, own in ((seen.endo, (3,)), (seen.epi, (2, 3)), (seen.rv, (1,))):
            counted = np.isin(labels[0, n], own).sum() * PIXEL**2
            assert polygon_mm2(ring[0, n]) == pytest.approx(counted, rel=1e-6)
    # The oval: longest towards the crescent, which is where x points.
    away = np.linalg.norm(seen.endo[0, 0] - seen.centre[0, 0], axis=1)
    np.testing.assert_allclose(away, 22.0 * (1 + 0.1 * np.cos(2 * angles())), atol=0.6)


def test_the_crescent_lies_between_its_radii():
    seen = outlines(*drawn())
    ring = seen.rv[0, 0] - seen.centre[0, 0]
    outer, inner = ring[1 : ARC + 1], ring[ARC + 2 :][::-1]
    np.testing.assert_allclose(np.hypot(*inner.T), 32.0, atol=1.5)
    turn = np.arctan2(outer[:, 1], outer[:, 0])
    np.testing.assert_allclose(np.hypot(*outer.T), 34.0 + 20.0 * np.cos(1.2 * turn), atol=2.0)


def test_neither_the_order_of_slices_nor_the_patient_s_place_matters():
    plain, back = outlines(*drawn()), outlines(*drawn(reverse=True))
    np.testing.assert_array_equal(back.order, plain.order[::-1])
    np.testing.assert_allclose(back.endo, plain.endo, atol=1e-9)
    turned = outlines(*drawn(turned=33.0))
    np.testing.assert_allclose(turned.rv, plain.rv, atol=1e-6)
    # z grows towards the small slices, x towards the right ventricle.
    moved = rotation((1, 2, 3), 33.0)[:3, :3]
    np.testing.assert_allclose(turned.frame.matrix @ moved, plain.frame.matrix, atol=1e-9)
    np.testing.assert_allclose(plain.frame.matrix[2], (0, 0, 1), atol=1e-9)
    np.testing.assert_allclose(plain.frame.matrix[0], (1, 0, 0), atol=0.02)


@pytest.mark.parametrize("fault", ["tilted", "shape", "no right", "no left", "twice"])
def test_faults_are_named(fault):
    labels, planes = drawn(tilt=20.0 if fault == "tilted" else 0.0)
    if fault == "shape":
        labels = labels[:, :-1]
    elif fault == "no right":
        labels[labels == 1] = 0
    elif fault == "no left":
        labels[labels > 1] = 0
    elif fault == "twice":
        planes = (*planes[:-1], planes[-2])
    with pytest.raises(InputError):
        outlines(labels, planes)
