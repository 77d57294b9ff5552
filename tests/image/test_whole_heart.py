"""Four chambers from a volume: agreement with virtual truth, any order of axes, and what is refused."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from carna.errors import InputError
from carna.image.whole_heart import (
    AORTA,
    LEFT_ATRIUM,
    LV,
    MYOCARDIUM,
    RIGHT_ATRIUM,
    RV,
    Chambers,
    kind_of,
    segment,
)
from carna.learn.agreement import dice
from carna.phantom import ct
from carna.phantom.chamber_slices import as_chambers
from carna.phantom.chambers import WholeHeart
from carna.phantom.heart import Heart
from carna.space import rotation

PERSON = WholeHeart(Heart())
GRID = ct.axial(PERSON, pixel_mm=2.5, spacing_mm=3.0, field_mm=230.0, length_mm=186.0)


@cache
def made() -> ct.Scanned:
    return ct.volume(PERSON, ct.Scan(thickness_mm=3.0, noise_hu=30.0), GRID)


@cache
def found() -> Chambers:
    return segment(made().hu, GRID.affine, kind="CT")


def test_chambers_agree_with_the_truth_and_so_do_their_volumes():
    truth = as_chambers(made().labels)
    for label, least in ((LV, 0.85), (MYOCARDIUM, 0.7), (RV, 0.75), (LEFT_ATRIUM, 0.7), (RIGHT_ATRIUM, 0.7)):
        assert dice(found().labels == label, truth == label) > least, label
    true_ml = GRID.voxel_ml * float((truth == LV).sum())
    assert found().ml[LV] == pytest.approx(true_ml, rel=0.15)
    assert found().ml[LV] == pytest.approx(GRID.voxel_ml * float((found().labels == LV).sum()))
    assert found().contrast > 150.0


def test_the_order_of_the_axes_does_not_matter():
    """Sagittal slices from right to left, rows upward: the same voxels get the same labels."""
    values, affine = made().hu, np.array(GRID.affine)
    turned = values.transpose(2, 0, 1)[:, ::-1]
    other = affine[:, [2, 0, 1, 3]]
    other[:3, 3] += other[:3, 1] * (turned.shape[1] - 1)
    other[:3, 1] *= -1.0
    again = segment(turned, other, kind="CT").labels[:, ::-1].transpose(1, 2, 0)
    assert (again != found().labels).mean() < 1e-4


def test_a_patient_who_lies_turned_gets_the_same_labels():
    motion = rotation((0.3, -0.5, 0.8), 23.0, about=(10.0, -20.0, 5.0))
    again = segment(made().hu, motion @ GRID.affine, kind="CT")
    assert np.array_equal(again.labels, found().labels)


def test_finer_voxels_change_little():
    fine = np.repeat(np.repeat(np.repeat(made().hu, 2, 0), 2, 1), 2, 2)
    affine = np.array(GRID.affine)
    affine[:3, 3] -= affine[:3, :3] @ np.full(3, 0.25)
    affine[:3, :3] /= 2.0
    again = segment(fine, affine, kind="CT")
    assert again.ml[LV] == pytest.approx(found().ml[LV], rel=0.06)


def test_a_volume_that_ends_within_the_heart_says_what_it_cut():
    assert not set(found().cut) & {LV, RV, LEFT_ATRIUM, RIGHT_ATRIUM, MYOCARDIUM}
    assert AORTA in found().cut  # it leaves through the floor of any chest
    begin = int(np.flatnonzero((made().labels > 0).any((1, 2)))[0])
    affine = np.array(GRID.affine)
    affine[:3, 3] += affine[:3, 0] * (begin + 20)
    part = segment(made().hu[begin + 20 :], affine, kind="CT")
    assert {LV, RV} & set(part.cut)


def test_what_holds_no_heart_is_refused():
    random = np.random.default_rng(0)
    grey = random.normal(40.0, 20.0, (60, 80, 80))
    with pytest.raises(InputError, match="heart"):
        segment(grey, np.diag([3.0, 3.0, 3.0, 1.0])[[2, 1, 0, 3]], kind="CT")
    legs = slice(0, 12)  # below the diaphragm
    with pytest.raises(InputError, match="heart"):
        segment(np.repeat(made().hu[legs][:1], 30, 0), GRID.affine, kind="CT")


@pytest.mark.parametrize(
    ("values", "affine", "says"),
    [
        (np.zeros((4, 40, 40)), np.eye(4), "shape"),
        (np.zeros((40, 40, 40)), np.diag([12.0, 1.0, 1.0, 1.0]), "voxels"),
        (np.full((40, 40, 40), np.nan), np.eye(4), "finite"),
        (
            np.zeros((40, 40, 40)),
            rotation((1.0, 0.0, 0.0), 45.0, about=(0, 0, 0)) @ np.diag([2.0, 2.0, 2.0, 1.0]),
            "turned",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(values, affine, says):
    with pytest.raises(InputError, match=says):
        segment(values, np.asarray(affine, float), kind="CT")


def test_a_ct_is_told_from_a_magnitude():
    assert kind_of(made().hu) == "CT"
    random = np.random.default_rng(1)
    assert kind_of(np.abs(random.normal(300.0, 200.0, (30, 40, 40)))) == "MR"
    assert kind_of(made().hu.astype(np.int32) + 1024) == "MR"


@pytest.mark.data
def test_real_volumes_are_told_apart(data):
    from carna.learn.heart_chambers import volume_of

    folder = data("totalseg-ct-mr")
    for name, kind in (("example_ct.nii.gz", "CT"), ("example_mr_sm.nii.gz", "MR")):
        values, affine = volume_of(folder / name)
        assert kind_of(values) == kind
        with pytest.raises(InputError, match="heart"):
            segment(values, affine, kind=kind)
