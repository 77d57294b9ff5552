"""Virtual CT: attenuation and iodine, noise, blur through the slice, and the way through DICOM files."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import carna
from carna.doors.dicom.write import write_study
from carna.errors import InputError
from carna.phantom import body, ct
from carna.phantom.chamber_slices import CLASSES, as_chambers, lesson
from carna.phantom.chambers import WholeHeart
from carna.phantom.heart import Heart
from carna.phantom.labels import EPICARDIAL_FAT, LV, MYOCARDIUM, PAPILLARY, RIGHT_ATRIUM, RV
from carna.space import Grid
from carna.study import Image

PERSON = WholeHeart(Heart())
GRID = ct.axial(PERSON, pixel_mm=2.0, spacing_mm=8.0, field_mm=200.0, length_mm=144.0)


@cache
def scanned(**change) -> ct.Scanned:
    return ct.volume(
        PERSON, ct.Scan(**{"noise_hu": 25.0, "thickness_mm": 1.0, "mixing": 0.0, **change}), GRID
    )


def inside(labels, label):
    """Return the voxels of a label whose whole neighbourhood is of it."""
    from scipy.ndimage import binary_erosion

    return binary_erosion(labels == label, np.ones((3, 5, 5), bool))


def test_iodine_adds_in_proportion_to_dose_and_voltage():
    native, at_120, at_80 = (
        ct.attenuation("native"),
        ct.attenuation("arterial"),
        ct.attenuation("arterial", 80),
    )
    left = ct.CONTRAST["arterial"][3]
    assert at_120[LV] - native[LV] == pytest.approx(ct.IODINE[120] * left)
    assert (at_80[LV] - native[LV]) / (at_120[LV] - native[LV]) == pytest.approx(41.0 / 26.0)
    assert at_80[body.FAT] == native[body.FAT] < native[LV] < native[MYOCARDIUM] < native[body.BONE]


@pytest.mark.parametrize(("moment", "label"), [("arterial", LV), ("pulmonary", RV), ("native", LV)])
def test_a_pool_of_blood_has_the_value_of_its_iodine(moment, label):
    made = scanned(moment=moment)
    pool = made.hu[inside(made.labels, label)]
    expected = ct.attenuation(moment)[label]
    assert pool.mean() == pytest.approx(expected, abs=4.0 * 25.0 / np.sqrt(len(pool) / 8))
    assert pool.std() == pytest.approx(25.0, rel=0.12)


def test_thicker_slices_are_less_noisy_and_blur_what_is_oblique_to_them():
    thin, thick = scanned(), scanned(thickness_mm=8.0)
    pools = [made.hu[inside(made.labels, LV)].std() for made in (thin, thick)]
    assert pools[0] / pools[1] == pytest.approx(np.sqrt(8.0), rel=0.15)
    # Where layers of a slice hold muscle and blood its value lies between: fewer voxels have a pure one.
    wall = [made.hu[made.labels == MYOCARDIUM].astype(float) for made in (thin, thick)]
    muscle = ct.attenuation("arterial")[MYOCARDIUM]
    assert np.abs(wall[1] - muscle).mean() > 0.8 * np.abs(wall[0] - muscle).mean()


def test_noise_of_a_sharp_kernel_is_finer_and_none_is_even():
    random = np.random.default_rng(0)
    middles = {}
    for kernel in ("soft", "sharp"):
        grain = ct.noise(random, (256, 256), (0.7, 0.7), kernel)
        assert grain.std() == pytest.approx(1.0, abs=1e-3)
        power = np.abs(np.fft.fft2(grain)) ** 2
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256, 0.7), np.fft.fftfreq(256, 0.7)))
        # The ramp: hardly any power at the lowest frequencies.
        assert power[(frequency > 0) & (frequency < 0.01)].mean() < 0.3 * power[frequency > 0].mean()
        middles[kernel] = (power * frequency).sum() / power.sum()
    assert middles["sharp"] > 1.3 * middles["soft"]


def test_labels_count_what_the_person_holds():
    grid = ct.axial(PERSON, pixel_mm=2.5, spacing_mm=3.0, field_mm=200.0, length_mm=180.0)
    labels = np.stack([PERSON.label_at(ct.plane_points(grid, k), 0.75) for k in range(grid.shape[0])])
    for label in (LV, RV, MYOCARDIUM):
        counted = grid.voxel_ml * float((labels == label).sum())
        assert counted == pytest.approx(PERSON.ml(label, 0.75, 2.5), rel=0.03)


def test_mixing_is_in_the_right_atrium_alone():
    even, mixed = scanned(moment="pulmonary"), scanned(moment="pulmonary", mixing=0.8)
    spread = [made.hu[inside(made.labels, RIGHT_ATRIUM)].std() for made in (even, mixed)]
    assert spread[1] > 2.0 * spread[0]
    assert mixed.hu[inside(mixed.labels, LV)].std() == pytest.approx(25.0, rel=0.12)


def test_without_gating_slices_meet_different_moments():
    gated, free = scanned(phase=0.35), scanned(phase=None, travel_mm_s=40.0)
    assert (gated.labels != free.labels).any()
    still = scanned(phase=0.35, rotation_s=0.2)
    assert np.array_equal(still.labels, gated.labels)


def test_lung_in_a_gap_of_the_heart_is_fat():
    heart = np.zeros((60, 60), bool)
    heart[10:50, 10:27] = heart[10:50, 33:50] = True
    tissue = np.full((60, 60), body.LUNG, np.uint8)
    out = ct.in_its_sac(tissue, heart, 1.0, 6.0)
    assert (out[20:40, 28:32] == EPICARDIAL_FAT).all() and (out[30, 58:] == body.LUNG).all()
    assert np.array_equal(out[heart], tissue[heart])


def test_the_study_comes_back_from_its_dicom_files(tmp_path):
    grid = Grid((10, *GRID.shape[1:]), GRID.affine)
    made = ct.volume(PERSON, ct.Scan(), grid)
    write_study(ct.study(made), tmp_path)
    reading = carna.read(tmp_path)
    assert not reading.problems
    (part,) = [p for c in reading.cases for s in c.studies for p in s.parts if isinstance(p, Image)]
    assert part.origin.modality == "CT" and part.unit == "[hnsf'U]"
    assert np.array_equal(part.values.array, made.hu)
    assert np.allclose(part.grid.affine, grid.affine, atol=1e-3)


def test_what_no_scanner_does_is_refused():
    for wrong in ({"kvp": 90}, {"thickness_mm": 0.0}, {"moment": "late"}, {"noise_hu": 200.0}):
        with pytest.raises(InputError):
            ct.Scan(**wrong)


def test_lessons_have_every_label_and_repeat_by_their_seed():
    seen = set()
    for seed in range(24):
        one = lesson(np.random.default_rng(seed), 96)
        assert one.picture.shape == one.labels.shape == (96, 96)
        assert one.picture.dtype == np.float32 and 0.0 <= one.picture.min() <= one.picture.max() <= 1.0
        seen |= set(np.unique(one.labels).tolist())
    assert seen == set(range(8))
    again = lesson(np.random.default_rng(23), 96)
    assert np.array_equal(again.picture, one.picture) and np.array_equal(again.labels, one.labels)


def test_papillary_muscles_count_as_cavity():
    assert as_chambers(np.array([PAPILLARY, LV, 0, EPICARDIAL_FAT], np.uint8)).tolist() == [3, 3, 0, 0]
    assert as_chambers(np.array(CLASSES, np.uint8)).tolist() == list(range(1, 8))
