"""The estimate without outlines: units, regions of mirrored readings, phase, and a virtual heart."""

import numpy as np
import pytest

from carna.errors import InputError
from carna.image.network import Network
from carna.image.ventricles import LV, NETWORK, segment
from carna.image.ventricles.direct import DIRECT, both, estimate, phases
from carna.image.ventricles.indices import INDICES, indices
from carna.image.ventricles.window import Window
from carna.phantom.labels import as_outlined
from carna.phantom.patient import VirtualPatient, make


class Known:
    """A network whose answer follows from the picture: where its bright corner is."""

    side = 8

    def __init__(self, logit=4.0):
        self.logit = logit

    def numbers(self, pictures):
        out = np.tile(np.arange(13.0), (len(pictures), 1))
        out[:, 12] = self.logit
        # Seen clockwise, the corners follow one another; mirrored they do not.
        turned = [np.argmax([p[0, 0], p[0, -1], p[-1, -1], p[-1, 0]]) for p in pictures]
        second = [np.argsort([p[0, 0], p[0, -1], p[-1, -1], p[-1, 0]])[-2] for p in pictures]
        for n, (a, b) in enumerate(zip(turned, second, strict=True)):
            if (b - a) % 4 == 3:  # mirrored
                out[n, 3:6], out[n, 6:12] = out[n, 5:2:-1].copy(), out[n, 11:5:-1].copy()
        return out


@pytest.fixture
def frames():
    stack = np.zeros((2, 3, 8, 8))
    stack[..., 0, 0], stack[..., 0, -1] = 3.0, 2.0
    return stack


WINDOW = Window(3.5, 3.5, 1.0, 8)


def test_mirrored_readings_are_put_back(frames):
    found = estimate(frames, WINDOW, pixel_mm=None, network=Known())
    np.testing.assert_allclose(found.areas[1, 2], [0, 1, 2])
    np.testing.assert_allclose(found.dimensions[0, 0], [3, 4, 5])
    np.testing.assert_allclose(found.walls[0, 0], np.arange(6, 12))
    np.testing.assert_allclose(found.spread, 0.0)


def test_millimetres_follow_pixel_and_window(frames):
    coarse = Window(3.5, 3.5, 2.0, 8)
    found = estimate(np.kron(frames, np.ones((2, 2))), coarse, pixel_mm=1.5, network=Known())
    assert found.areas[0, 0, 1] == pytest.approx(9.0)
    assert found.walls[0, 0, 0] == pytest.approx(18.0)


def test_a_slice_without_a_ventricle_measures_nothing(frames):
    found = estimate(frames, WINDOW, pixel_mm=1.0, network=Known(logit=-4.0))
    assert not found.areas.any()
    assert np.isnan(found.dimensions).all()
    assert (found.present < 0.1).all()


def test_a_single_picture_is_refused(frames):
    with pytest.raises(InputError, match="frames of shape"):
        estimate(frames[0], WINDOW, pixel_mm=None, network=Known())


def test_phase_of_a_cosine():
    curve = 100 + 40 * np.cos(2 * np.pi * (np.arange(20) + 0.5) / 20)
    slope = -np.sin(2 * np.pi * (np.arange(20) + 0.5) / 20)
    np.testing.assert_array_equal(phases(curve), np.sign(slope))
    assert phases(curve[:4]).tolist() == [0, 0, 0, 0]


def test_both_lie_between():
    assert 1.0 <= both(1.0, 2.0) <= 2.0
    np.testing.assert_allclose(both([3.0, 4.0], [3.0, 4.0]), [3.0, 4.0])


@pytest.fixture(scope="module")
def virtual():
    case = make(VirtualPatient())
    return case, as_outlined(case.sax.labels)


def test_a_virtual_heart_is_measured(virtual):
    case, truth = virtual
    at = np.linspace(0, len(truth) - 1, 6).astype(int)
    frames = case.sax.cine[at]
    seen = segment(frames, spacing_mm=(10.0, 1.4, 1.4), network=Network(NETWORK))
    found = estimate(frames, seen.window, pixel_mm=1.4, network=Network(DIRECT))
    real = np.array([[indices(one) for one in frame] for frame in truth[at]])
    assert real.shape[-1] == len(INDICES)
    area = real[..., 0] * 1.4**2
    assert np.corrcoef(found.areas[..., 0].ravel(), area.ravel())[0, 1] > 0.9
    assert np.abs(found.areas[..., 0] - area).sum() < 0.25 * area.sum()
    assert ((found.present > 0.5) == (truth[at] == LV).any((2, 3))).mean() > 0.85
