"""Projection, its inverse, angles, and the scale or why there is none."""

import numpy as np
import pytest

from carna.errors import InputError
from carna.image.angiography import View, scale


def view(primary=0.0, secondary=0.0, **changes):
    given = {"sid_mm": 1000, "sod_mm": 750, "pitch_mm": 0.3, "shape": (512, 512)} | changes
    return View(primary, secondary, **given)


def test_the_isocentre_falls_in_the_middle_and_a_plane_there_has_the_scale():
    v = view(30, 20, isocentre=(5.0, -7.0, 11.0))
    np.testing.assert_allclose(v.project([5.0, -7.0, 11.0]), [255.5, 255.5])
    assert v.mm_per_px == pytest.approx(0.225)
    step = v.project(np.array([5.0, -7.0, 11.0]) + v.axes[:2]) - 255.5
    np.testing.assert_allclose(step, np.eye(2) / 0.225, atol=1e-9)


def test_left_is_right_in_the_picture_and_the_head_is_up():
    front = view()
    row, column = front.project([10.0, 0.0, 20.0]) - 255.5
    assert row < 0 < column
    # From the left side (LAO 90) the chest's front, -y, is on the viewer's left.
    assert view(90).project([0.0, -10.0, 0.0])[1] < 255.5
    # A cranial detector lies towards the head, an LAO one towards the left.
    assert view(0, 40).axes[2][2] > 0 and view(40, 0).axes[2][0] > 0


@pytest.mark.parametrize("angles", [(0, 0), (-35, 25), (60, -30), (120, 80)])
def test_axes_are_orthonormal_and_points_come_back(angles):
    v = view(*angles)
    np.testing.assert_allclose(v.axes @ v.axes.T, np.eye(3), atol=1e-12)
    points = np.random.default_rng(0).normal(0, 40, (20, 3))
    pixels = v.project(points)
    back = np.stack([v.on_plane(p, float(d)) for p, d in zip(pixels, v.depth_mm(points), strict=True)])
    np.testing.assert_allclose(back, points, atol=1e-8)


def test_what_is_nearer_to_the_source_is_larger():
    v = view()
    near, far = (np.linalg.norm(np.diff(v.project([[-5.0, y, 0], [5.0, y, 0]]), axis=0)) for y in (100, -100))
    assert near / far == pytest.approx(850 / 650)


def test_opposite_views_are_no_second_view():
    assert view(0).degrees_to(view(90)) == pytest.approx(90)
    assert view(-90).degrees_to(view(90)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sid_mm": 1.0}, "source to detector"),
        ({"sod_mm": 1050, "sid_mm": 1000}, "behind the patient"),
        ({"pitch_mm": 3.0}, "pixel of the detector"),
        ({"shape": (4, 4)}, "picture"),
    ],
)
def test_impossible_machines_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        view(**changes)


def test_points_behind_the_source_are_refused():
    with pytest.raises(InputError, match="behind"):
        view().project([0.0, 800.0, 0.0])


def test_scale_by_catheter_by_geometry_or_none_with_the_reason():
    assert scale(catheter=(6, 8.0)).mm_per_px == pytest.approx(0.25)
    assert scale(pitch_mm=0.3, sid_mm=1000, sod_mm=750).mm_per_px == pytest.approx(0.225)
    assert scale(pitch_mm=0.3, magnification=1.5).mm_per_px == pytest.approx(0.2)
    assert scale().mm_per_px is None and "neither" in scale().how
    assert scale(pitch_mm=0.3).mm_per_px is None and "magnified" in scale(pitch_mm=0.3).how
    for bad in ({"pitch_mm": 9.0}, {"pitch_mm": 0.3, "magnification": 0.5}, {"catheter": (60, 8.0)}):
        with pytest.raises(InputError):
            scale(**bad)
