"""Views from geometry: planes built about an axis, and what a label says beside them."""

import numpy as np
import pytest

from carna.space import Grid, rotation
from carna.study import Cine, Lazy, Origin, Patient, Study, fingerprint
from carna.study.fingerprint import label_view
from carna.study.views import ASSUMED, TYPICAL_AXIS, axis_of, turn_deg, view_of

CENTRE = np.array([20.0, 10.0, -50.0])


def plane(normal, centre=CENTRE, shape=(100, 120)):
    normal = np.asarray(normal, float) / np.linalg.norm(normal)
    row = np.cross(normal, [0, 0, 1.0] if abs(normal[2]) < 0.9 else [0, 1.0, 0])
    row /= np.linalg.norm(row)
    column = np.cross(normal, row)
    corner = np.asarray(centre) - row * (shape[1] - 1) / 2 - column * (shape[0] - 1) / 2
    return Grid.from_dicom(
        size=shape, position=corner, orientation=[*row, *column], spacing_mm=(1, 1), thickness_mm=8, frame="f"
    )


def sax(axis, n=6, step=10.0):
    return [plane(axis, CENTRE + axis * step * (k - n / 2)) for k in range(n)]


def long_axis(axis, turn, tilt=0.0, off=0.0):
    """A plane through the axis, turned about it from the patient's right."""
    right = np.array([-1.0, 0, 0]) - (np.array([-1.0, 0, 0]) @ axis) * axis
    right /= np.linalg.norm(right)
    up = np.cross(axis, right)
    up = up if up @ (0, -1, 1) > 0 else -up
    across = np.cos(np.radians(turn)) * right + np.sin(np.radians(turn)) * up
    normal = np.cross(across, axis)
    normal = rotation(across, tilt)[:3, :3] @ normal
    return plane(normal, CENTRE + off * normal)


AXES = [TYPICAL_AXIS, *(rotation(d, 15)[:3, :3] @ TYPICAL_AXIS for d in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize(
    ("turn", "view"),
    [(0, "4CH"), (170, "4CH"), (12, "4CH"), (60, "3CH"), (48, "3CH"), (120, "2CH"), (108, "2CH")],
)
def test_long_axis_planes_about_any_heart(axis, turn, view):
    found = axis_of([sax(axis)])
    assert found.measured
    assert np.allclose(found.direction, axis, atol=1e-6)
    for tilt in (-10, 0, 10):
        assert view_of([long_axis(axis, turn, tilt)], found) == view
    assert turn_deg(long_axis(axis, turn), found) == pytest.approx(turn % 180, abs=0.01)


def test_the_short_axis_and_the_body_planes():
    axis = axis_of([sax(TYPICAL_AXIS)])
    assert view_of(sax(TYPICAL_AXIS), axis) == "SAX"
    assert view_of([plane((0, 0, 1.0))], axis) == "axial"
    assert view_of([plane((0, 1.0, 0))], axis) == "coronal"
    assert view_of([plane((0, 0, 1.0)), plane((1.0, 0, 0))], axis) is None


def test_a_two_chamber_plane_through_the_right_ventricle():
    axis = axis_of([sax(TYPICAL_AXIS)])
    beside = [long_axis(TYPICAL_AXIS, 115, off=s * 40.0) for s in (-1, 1)]
    to_the_right = min(beside, key=lambda p: p.centre[0])
    assert view_of([to_the_right], axis) == "RV2CH"
    assert view_of([max(beside, key=lambda p: p.centre[0])], axis) is None


def test_without_a_short_axis_the_axis_is_assumed_and_said_so():
    assert not axis_of([]).measured
    cine = Cine(
        Origin("u", "MR", "cine 2CH"),
        (long_axis(TYPICAL_AXIS, 60),),
        Lazy.of(np.zeros((2, 1, 100, 120))),
        np.array([[0.0], [400.0]]),
        np.array([800.0]),
    )
    seen = fingerprint(cine, Study("s", Patient("p"), parts=(cine,)))
    assert (seen.view, seen.label_view) == ("3CH", "2CH")
    assert any("labelled 2CH, lies like 3CH" in n for n in seen.notes)
    assert any("typical heart axis" in n for n in seen.notes)
    assert view_of([long_axis(TYPICAL_AXIS, 90)], ASSUMED) is None


@pytest.mark.parametrize(
    ("label", "view"),
    [
        ("cine_trufi_retro 4CH", "4CH"),
        ("CINE_SA_retro", "SAX"),
        ("bSSFP RVOT", "RVOT"),
        ("LVOT", "3CH"),
        ("T1 map", None),
        ("短轴", "SAX"),
    ],
)
def test_labels(label, view):
    assert label_view(label) == view


def test_a_gapped_stack_tells_its_gap():
    planes = tuple(sax(TYPICAL_AXIS, n=5, step=12.0))
    cine = Cine(
        Origin("u", "MR", "sax", facts={"SliceThickness": "8"}),
        (*planes[:2], *planes[3:]),
        Lazy.of(np.zeros((2, 4, 100, 120))),
        np.zeros((2, 4)),
        np.full(4, 800.0),
    )
    seen = fingerprint(cine)
    assert seen.slices == 4 and seen.phases == 2
    assert any("24.0 mm between planes 2 and 3" in n for n in seen.notes)
    assert any("4.0 mm unseen" in n for n in seen.notes)
    assert cine.grid is None
