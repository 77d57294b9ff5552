"""The locator against the phantom's truth, and against what it must refuse."""

import dataclasses

import numpy as np
import pytest

from carna.errors import Cancelled, InputError
from carna.image import HeartRegion, locate_heart
from carna.phantom import VirtualCase, VirtualPatient, make
from carna.phantom.labels import LV_CAVITY
from carna.progress import Progress

SPACING = (10.0, 1.4, 1.4)


@pytest.fixture(scope="module")
def case() -> VirtualCase:
    return make(VirtualPatient(seed=1), long_axes=False)


@pytest.fixture(scope="module")
def found(case: VirtualCase) -> HeartRegion:
    return locate_heart(case.sax.cine, spacing_mm=SPACING, times_ms=case.sax.trigger_ms)


def _cavity(case: VirtualCase) -> np.ndarray:
    return np.isin(case.sax.labels, LV_CAVITY)


def _off(found: HeartRegion, case: VirtualCase) -> float:
    assert found.centre is not None
    truth = np.argwhere(_cavity(case))[:, 2:].mean(axis=0)
    return float(np.hypot(*(np.array(found.centre[1:]) - truth)))


def test_centre_is_the_left_ventricle(case: VirtualCase, found: HeartRegion) -> None:
    assert found.status == "located"
    assert _off(found, case) < 2.0


def test_end_diastole_and_end_systole_are_exact(case: VirtualCase, found: HeartRegion) -> None:
    assert (found.ed, found.es) == (case.truth.ed, case.truth.es)
    assert found.ed_spread <= 2
    assert found.es_spread <= 2


def test_box_and_mask_hold_the_ventricles(case: VirtualCase, found: HeartRegion) -> None:
    heart = np.isin(case.sax.labels, (1, 2, 3, 4)).any(axis=0)
    assert found.box is not None
    inside = np.zeros(heart.shape, dtype=bool)
    inside[tuple(slice(*span) for span in found.box)] = True
    assert (heart & inside).sum() / heart.sum() > 0.98
    assert (heart & found.mask).sum() / heart.sum() > 0.5


@pytest.mark.parametrize(("ef", "edv"), [(0.22, 300.0), (0.72, 95.0)])
def test_very_weak_and_very_strong_hearts(ef: float, edv: float) -> None:
    case = make(VirtualPatient(seed=5, ef=ef, edv_ml=edv), long_axes=False)
    found = locate_heart(case.sax.cine, spacing_mm=SPACING)
    assert _off(found, case) < 3.0
    assert found.ed is not None and found.es is not None
    assert min(found.ed, 25 - found.ed) <= found.ed_spread
    assert abs(found.es - case.truth.es) <= found.es_spread


def test_two_frames_in_either_order(case: VirtualCase) -> None:
    pair = case.sax.cine[[case.truth.ed, case.truth.es]]
    forward, backward = (locate_heart(p, spacing_mm=SPACING) for p in (pair, pair[::-1]))
    assert (forward.ed, forward.es) == (0, 1)
    assert (backward.ed, backward.es) == (1, 0)
    assert forward.ed_spread == 0.0


def test_one_slice_at_mid_ventricle(case: VirtualCase) -> None:
    middle = dataclasses.replace(case.sax, cine=case.sax.cine[:, 4:5], labels=case.sax.labels[:, 4:5])
    found = locate_heart(middle.cine, spacing_mm=SPACING)
    assert _off(found, dataclasses.replace(case, sax=middle)) < 3.0


def test_frames_keep_their_names_when_the_cine_starts_elsewhere(
    case: VirtualCase, found: HeartRegion
) -> None:
    later = locate_heart(np.roll(case.sax.cine, 7, axis=0), spacing_mm=SPACING)
    assert found.ed is not None and found.es is not None
    assert (later.ed, later.es) == ((found.ed + 7) % 25, (found.es + 7) % 25)


def test_turning_the_picture_turns_the_answer(case: VirtualCase, found: HeartRegion) -> None:
    turned = locate_heart(np.rot90(case.sax.cine, axes=(2, 3)), spacing_mm=SPACING)
    assert found.centre is not None and turned.centre is not None
    rows, columns = turned.centre[1:]
    assert (columns, 159 - rows) == pytest.approx(found.centre[1:], abs=1.5)


def test_brightness_scale_does_not_matter(case: VirtualCase, found: HeartRegion) -> None:
    scaled = locate_heart(case.sax.cine * 0.001, spacing_mm=SPACING)
    assert scaled.centre == pytest.approx(found.centre, abs=1e-3)
    assert (scaled.ed, scaled.es) == (found.ed, found.es)


@pytest.mark.parametrize("frames", [2, 12, 25])
def test_nothing_is_guessed(case: VirtualCase, frames: int) -> None:
    random = np.random.default_rng(0)
    still = np.repeat(case.sax.cine[:1].astype(float), frames, axis=0)
    empty = np.zeros((frames, 2, 64, 64))
    noisy = np.abs(still + random.normal(0.0, 20.0, still.shape))
    only_noise = np.abs(random.normal(0.0, 1.0, (frames, 4, 128, 128)))
    for picture in (still, empty, noisy, only_noise):
        found = locate_heart(picture, spacing_mm=SPACING)
        assert found.status == "not assessable"
        assert found.reason
        assert found.centre is None and found.box is None and found.ed is None and found.es is None
        assert not found.mask.any()


def test_a_patient_who_moved_between_two_frames_is_refused(case: VirtualCase) -> None:
    moved = np.stack([case.sax.cine[0], np.roll(case.sax.cine[0], 6, axis=1)])
    assert locate_heart(moved, spacing_mm=SPACING).status == "not assessable"


def test_bad_arrays_are_named(case: VirtualCase) -> None:
    cine = case.sax.cine
    holed = np.where(cine == cine.max(), np.nan, cine)
    for frames, spacing in (
        (cine[0], SPACING),
        (cine[:1], SPACING),
        (holed, SPACING),
        (cine, (10.0, 1.4, 2.8)),
    ):
        with pytest.raises(InputError, match="needed"):
            locate_heart(frames, spacing_mm=spacing)
    with pytest.raises(InputError, match="rising"):
        locate_heart(cine, spacing_mm=SPACING, times_ms=np.zeros(25))


def test_progress_rises_and_can_cancel(case: VirtualCase) -> None:
    seen: list[float] = []
    locate_heart(case.sax.cine, spacing_mm=SPACING, progress=Progress(lambda done, _: seen.append(done)))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    with pytest.raises(Cancelled):
        locate_heart(case.sax.cine, spacing_mm=SPACING, progress=Progress(cancelled=lambda: True))
