"""The whole virtual patient: one heart in every picture, and truth that can be measured back."""

import time

import numpy as np
import pytest

from carna.errors import InputError
from carna.phantom import VirtualCase, VirtualPatient, draw, make
from carna.phantom.labels import LV, LV_CAVITY, MYOCARDIUM, RV
from carna.phantom.mr import bssfp, signals
from carna.phantom.patient import volume_ml


@pytest.fixture(scope="module")
def case() -> VirtualCase:
    return make(VirtualPatient(seed=1))


def test_shapes_and_geometry(case: VirtualCase) -> None:
    assert case.sax.cine.shape == case.sax.labels.shape == (25, 10, 160, 160)
    assert case.sax.cine.dtype == np.uint16
    affine = case.sax.plane.affine
    assert np.linalg.norm(affine[:3, :3], axis=0) == pytest.approx([10.0, 1.4, 1.4])
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    assert directions.T @ directions == pytest.approx(np.eye(3), abs=1e-9)
    assert directions[:, 0] == pytest.approx(case.patient.heart.axes_lps[2])
    assert [s.plane.name for s in case.long_axes] == ["4CH", "2CH", "3CH"]
    assert case.sax.trigger_ms[1] == pytest.approx(60_000 / 68 / 25)


def test_discs_measure_the_truth(case: VirtualCase) -> None:
    measured = volume_ml(case.sax)
    assert measured[case.truth.ed] == pytest.approx(case.truth.lv_ml[case.truth.ed], rel=0.03)
    assert measured[case.truth.es] == pytest.approx(case.truth.lv_ml[case.truth.es], rel=0.10)  # 10 mm discs
    assert 1 - measured.min() / measured.max() == pytest.approx(case.truth.lvef, abs=0.05)
    assert volume_ml(case.sax, (RV,))[0] == pytest.approx(case.truth.rv_ml[0], rel=0.03)


def test_stroke_volumes_agree_and_frames_are_named(case: VirtualCase) -> None:
    truth = case.truth
    assert truth.lv_ml - truth.lv_ml[0] == pytest.approx(truth.rv_ml - truth.rv_ml[0])
    assert (truth.ed, truth.es) == (0, 9)


def test_planes_cut_the_same_heart(case: VirtualCase) -> None:
    """A long-axis pixel, looked up in the short-axis stack, lies in the same tissue."""
    lax, sax = case.long_axes[0], case.sax
    points = lax.plane.points()[0].reshape(-1, 3)
    index = (points - sax.plane.affine[:3, 3]) @ np.linalg.inv(sax.plane.affine[:3, :3]).T
    at = np.rint(index).astype(int)
    on_plane = (np.abs(index - at)[:, 0] < 0.05) & (at >= 0).all(axis=1) & (at < sax.plane.shape).all(axis=1)
    for frame in (0, 9):
        here = lax.labels[frame, 0].ravel()[on_plane]
        there = sax.labels[frame][tuple(at[on_plane].T)]
        heart = (here > 0) & (here < 4)
        assert heart.sum() > 200
        assert (here[heart] == there[heart]).mean() > 0.88  # nearest pixel: edges differ


def test_blood_is_bright_and_muscle_dark(case: VirtualCase) -> None:
    frame, labels = case.sax.cine[0, 4], case.sax.labels[0, 4]
    blood, muscle = frame[labels == LV].mean(), frame[labels == MYOCARDIUM].mean()
    assert blood > 1.8 * muscle
    air = case.sax.cine[0, 9, :20, :80]
    assert air.mean() < 0.15 * blood


def test_rician_noise_has_its_mean_in_air(case: VirtualCase) -> None:
    """Without signal the magnitude is Rayleigh: mean = sigma sqrt(pi / 2)."""
    air = case.sax.cine[:, 9, :10, :60]
    assert air.mean() == pytest.approx(600.0 * 0.03 * np.sqrt(np.pi / 2.0), rel=0.03)


def test_signal_equation_at_its_known_limit() -> None:
    """With TR much shorter than T1 and T2 the signal is rho sin / (1 + cos + (1 - cos) T1 / T2)."""
    flip = np.deg2rad(50.0)
    limit = np.sin(flip) / (1.0 + np.cos(flip) + (1.0 - np.cos(flip)) * 4.0)
    assert bssfp(1.0, 4e6, 1e6) == pytest.approx(limit, rel=1e-4)
    assert signals()[LV] == 1.0


def test_same_seed_same_patient_bit_for_bit(case: VirtualCase) -> None:
    again = make(VirtualPatient(seed=1))
    assert (again.sax.cine == case.sax.cine).all()
    assert (again.ecg.mv == case.ecg.mv).all()
    assert all((a.cine == b.cine).all() for a, b in zip(again.long_axes, case.long_axes, strict=True))
    other = make(VirtualPatient(seed=2), long_axes=False)
    assert not (other.sax.cine == case.sax.cine).all()


def test_a_patient_is_made_within_five_seconds_of_work() -> None:
    start = time.process_time()
    make(VirtualPatient(seed=3))
    assert time.process_time() - start < 5.0


@pytest.mark.parametrize("seed", range(40))
def test_drawn_patients_are_possible_and_covered(seed: int) -> None:
    patient = draw(seed)
    assert 0.20 <= patient.ef <= 0.75
    assert draw(seed) == patient
    assert patient.heart.rv_edv_ml > patient.edv_ml * patient.ef


def test_large_hearts_get_more_slices() -> None:
    case = make(VirtualPatient(edv_ml=300.0, ef=0.3), frames=2, long_axes=False)
    assert case.sax.plane.shape[0] == 13
    assert volume_ml(case.sax, LV_CAVITY)[0] == pytest.approx(300.0, rel=0.03)


def test_impossible_patients_are_refused() -> None:
    for wrong in ({"ef": 0.05}, {"heart_rate_bpm": 500.0}, {"rhythm": "flutter"}):
        with pytest.raises(InputError, match="needed"):
            VirtualPatient(**wrong)
    with pytest.raises(InputError, match="frames"):
        make(VirtualPatient(), frames=1)
