"""Tracking against hearts and pictures whose motion is known, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.image.motion.virtual import FRAMES, HEARTS, PIXEL_MM, SPACING, seen

from carna.errors import Cancelled, InputError
from carna.image.motion import LAYERS, MID, SPOKES, dense, strain, track
from carna.learn.cmr_motion import Warp, slipped, warped
from carna.progress import Progress

TIMES = np.arange(FRAMES) * 45.0
RING = np.ones((3, SPOKES), np.uint8)
ES = 7


def normal_px(points, truth) -> float:
    """Mean distance across the wall at end-systole [pixel]."""
    across = truth[ES, :, :, -1] - truth[ES, :, :, 0]
    across = across / np.linalg.norm(across, axis=-1, keepdims=True)
    return float(np.abs(((points - truth)[ES] * across[:, :, None]).sum(axis=-1)).mean() / PIXEL_MM)


@pytest.mark.parametrize("name", HEARTS)
def test_virtual_hearts_are_followed(name):
    heart = seen(name)
    assert heart.motion.followed.all() and normal_px(heart.motion.points_mm, heart.truth) < 0.4
    found = strain(heart.motion, RING, TIMES)
    true = strain(replace(heart.motion, points_mm=heart.truth), RING, TIMES)
    assert abs(found.peak_cc[MID] - true.peak_cc[MID]) < 0.005
    assert abs(found.peak_rr[MID] - true.peak_rr[MID]) < 0.02
    assert np.abs(found.circumferential - true.circumferential).max() < 0.02


def test_the_mean_error_across_the_wall_is_below_a_third_of_a_pixel():
    assert np.mean([normal_px(seen(n).motion.points_mm, seen(n).truth) for n in HEARTS]) < 0.3


@pytest.mark.parametrize(
    "swirl", [(), ((0.09, 0.03, 1.0, 1.5), (-0.05, 0.08, 4.0, 1.5), (0.02, -0.1, 2.0, 1.2))]
)
@pytest.mark.parametrize("labelled", ["every frame", "end-diastole only"])
def test_a_textured_slice_is_followed_whatever_moves_it(swirl, labelled):
    random = np.random.default_rng(3)
    still = seen("usual")
    from scipy.ndimage import gaussian_filter

    grain = gaussian_filter(random.standard_normal(still.cine.shape[2:]), 1.2)
    picture = still.cine[0, 1] * (1.0 + 0.25 * grain / grain.std())
    middle = still.motion.centre_mm[0, 1] / PIXEL_MM
    warp = Warp((float(middle[0]), float(middle[1])), 18.0, swirl=swirl)
    cine, labels, amounts = warped(picture, still.labels[0, 1], warp, FRAMES, random)
    if labelled != "every frame":
        labels = np.where(np.arange(FRAMES)[:, None, None, None] == 0, labels, 0).astype(np.uint8)
    motion = track(cine, labels, (10.0, 1.0, 1.0))
    truth = np.stack([warp(motion.points_mm[0], float(a)) for a in amounts])
    most = FRAMES // 2
    assert np.linalg.norm((motion.points_mm - truth)[most], axis=-1).mean() < 0.6
    found, true = (
        strain(replace(motion, points_mm=p), RING[:1], TIMES).peak_cc[MID] for p in (motion.points_mm, truth)
    )
    assert true < -0.1 and abs(found - true) < 0.007


@pytest.mark.data
def test_real_slices_moved_on_purpose(data):
    from carna.learn.cmr_motion import _moved
    from carna.learn.cmr_patients import acdc

    patients = (p for n, p in enumerate(acdc(data("acdc-cine-mri"))) if n % 5 == 0)
    rows = {(r.set, r.task): r for r in _moved(patients)}
    for (name, task), row in rows.items():
        limit = {"displacement normal to the wall": 0.3, "displacement in the wall": 0.6}.get(task, 0.8)
        assert row.value < limit and row.answered == 1.0, (name, task, row.value)


def test_frames_without_labels_are_bridged():
    heart = seen("usual")
    labels = heart.labels.copy()
    labels[[3, 4, 11]] = 0
    with_gaps = strain(track(heart.cine, labels, SPACING), RING, TIMES)
    whole = strain(heart.motion, RING, TIMES)
    assert np.abs(with_gaps.circumferential - whole.circumferential).max() < 0.02


def test_slips_of_the_outlines_are_damped():
    heart = seen("dilated")
    labels = slipped(heart.labels, PIXEL_MM, np.random.default_rng(1), every_frame=0.6, always=0.0)
    motion = track(heart.cine, labels, SPACING)
    true = strain(replace(heart.motion, points_mm=heart.truth), RING, TIMES)
    found = strain(motion, RING, TIMES)
    assert motion.disagreement_mm.min() > 0.4 > heart.motion.disagreement_mm.max()
    assert np.abs(found.circumferential[:, MID] - true.circumferential[:, MID]).max() < 0.015


def test_a_heart_that_only_shifts_has_no_strain():
    heart = seen("usual")
    still, labels = heart.cine[0, :1], heart.labels[0, :1]
    steps = np.rint(4.0 * np.sin(2 * np.pi * np.arange(12) / 12)).astype(int)
    cine = np.stack([np.roll(still, int(s), axis=1) for s in steps])
    moved = track(cine, np.stack([np.roll(labels, int(s), axis=1) for s in steps]), SPACING)
    assert np.allclose(moved.displacement_mm[3, 0, ..., 0], 4 * PIXEL_MM, atol=0.3)
    assert np.abs(moved.displacement_mm[..., 1]).max() < 0.4
    found = strain(moved, RING[:1], np.arange(12) * 70.0)
    assert np.abs(found.circumferential).max() < 0.005 and np.abs(found.radial).max() < 0.01


def test_turning_the_picture_turns_the_motion():
    heart = seen("infarct")
    turned = track(np.rot90(heart.cine, axes=(2, 3)), np.rot90(heart.labels, axes=(2, 3)), SPACING)
    one, other = (strain(m, RING, TIMES) for m in (heart.motion, turned))
    assert np.allclose(one.circumferential, other.circumferential, atol=0.004)


def test_the_dense_field_is_that_of_the_mesh():
    motion = seen("usual").motion
    field = dense(motion, (112, 112))
    assert field.shape == (FRAMES, 3, 112, 112, 2) and np.nanmax(np.abs(field[0])) == 0.0
    inside = np.isfinite(field[0, 1, ..., 0])
    assert abs(int(inside.sum()) - int((seen("usual").labels[0, 1] == 2).sum())) < 60
    # A mesh point's displacement is that of the pixel it lies in, to what a pixel is wide.
    point = motion.points_mm[0, 1, 10, 2]
    pixel = tuple(np.rint(point / PIXEL_MM).astype(int))
    assert np.allclose(field[ES, 1][pixel], motion.displacement_mm[ES, 1, 10, 2], atol=0.5)


def test_slices_that_lose_the_ring_are_told():
    heart = seen("usual")
    labels = heart.labels.copy()
    labels[5:10, 0] = 0
    labels[0, 2] = np.where(labels[0, 2] == 2, 0, labels[0, 2])
    motion = track(heart.cine, labels, SPACING)
    assert motion.followed.tolist() == [False, True, False]
    assert "5 of 20 frames" in motion.why[0] and "end-diastole" in motion.why[2] and not motion.why[1]
    assert np.isnan(motion.points_mm[:, 0]).all() and np.isfinite(motion.points_mm[:, 1]).all()


def test_labels_of_something_else_in_some_frames_are_told():
    heart = seen("usual")
    labels = heart.labels.copy()
    labels[6:9, 1] = np.roll(labels[6:9, 1], 12, axis=2)
    labels[[2, 12, 15], 1] = heart.labels[[ES, ES, ES], 1]
    motion = track(heart.cine, labels, SPACING)
    assert motion.followed.tolist() == [True, False, True] and "mm apart" in motion.why[1]


@pytest.mark.parametrize(
    ("frames", "reference", "why"),
    [(slice(0, 5), 0, "5 frames"), (slice(None), 20, "reference frame 20"), (slice(None), -1, "reference")],
)
def test_too_little_is_refused(frames, reference, why):
    heart = seen("usual")
    with pytest.raises(InputError, match=why):
        track(heart.cine[frames], heart.labels[frames], SPACING, reference=reference)


def test_labels_of_another_cine_or_without_a_heart_are_refused():
    heart = seen("usual")
    with pytest.raises(InputError, match="of both, the same"):
        track(heart.cine, heart.labels[:, :2], SPACING)
    with pytest.raises(InputError, match="closed ring"):
        track(heart.cine, heart.labels * 0, SPACING)


def test_it_can_be_cancelled():
    heart = seen("usual")
    with pytest.raises(Cancelled):
        track(heart.cine, heart.labels, SPACING, progress=Progress(cancelled=lambda: True))


def test_layers_are_in_order_and_the_mesh_begins_on_the_surfaces():
    motion = seen("usual").motion
    away = np.linalg.norm(motion.points_mm - motion.centre_mm[:, :, None, None], axis=-1)
    assert (np.diff(away, axis=-1) > 0).all() and away.shape[-1] == len(LAYERS)
    assert np.allclose(motion.displacement_mm[0], 0.0)
