"""The network on virtual patients in the physics' own pictures, whose volumes are known exactly."""

from importlib.util import find_spec

import numpy as np
import pytest

from carna.errors import InputError
from carna.image.network import Network
from carna.image.ventricles import LV, MYOCARDIUM, NETWORK, POOR, RV, segment, trust, volumes
from carna.phantom import VirtualPatient, make
from carna.phantom.faults import FAULTS
from carna.phantom.labels import PAPILLARY
from carna.phantom.slices import lesson


@pytest.fixture(scope="module")
def network():
    return Network(NETWORK)


@pytest.fixture(scope="module")
def virtual():
    case = make(VirtualPatient(), frames=10, long_axes=False)
    labels = case.sax.labels
    labels = np.where(labels == PAPILLARY, LV, np.where(labels <= LV, labels, 0))
    return case, labels


@pytest.fixture(scope="module")
def seen(virtual, network):
    return segment(virtual[0].sax.cine, spacing_mm=(10.0, 1.4, 1.4), network=network)


def test_both_ventricles_are_found(virtual, seen):
    truth = virtual[1]
    for label, least in ((LV, 0.92), (MYOCARDIUM, 0.85), (RV, 0.88)):
        a, b = seen.labels == label, truth == label
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > least


def test_volumes_and_ejection_fraction(virtual, seen):
    beat, truth = volumes(seen.labels, (10.0, 1.4, 1.4)), virtual[0].truth
    discs = volumes(virtual[1], (10.0, 1.4, 1.4))  # what exact outlines on the same slices and frames give
    assert abs(beat.ed - truth.ed) <= 1 and abs(beat.es - truth.es) <= 1
    assert beat.lv_ml[beat.ed] == pytest.approx(truth.lv_ml.max(), rel=0.08)
    assert 100 * beat.lvef == pytest.approx(100 * discs.lvef, abs=4)
    assert beat.mass_g == pytest.approx(truth.mass_g, rel=0.15)


def test_a_picture_turned_by_a_quarter_is_outlined_turned(virtual, seen, network):
    cine = virtual[0].sax.cine[[0, 4]]
    upright = segment(cine, spacing_mm=(10.0, 1.4, 1.4), network=network)
    turned = segment(np.rot90(cine, 1, (2, 3)), spacing_mm=(10.0, 1.4, 1.4), network=network)
    a, b = np.rot90(upright.labels, 1, (2, 3)) == LV, turned.labels == LV
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.9


def test_a_spoilt_picture_is_trusted_less(virtual, seen, network):
    frames = virtual[0].sax.cine.astype(np.float32)
    good = trust(frames, seen, network)
    assert not good.poor
    spoilt = FAULTS["ghost"](frames, 1.0, np.random.default_rng(0))
    found = segment(spoilt, spacing_mm=(10.0, 1.4, 1.4), network=network)
    worse = trust(spoilt, found, network)
    assert worse.dice[LV] < good.dice[LV]
    assert good.dice[LV] > POOR


def test_noise_has_no_heart(network):
    noise = np.random.default_rng(0).random((6, 5, 96, 96))
    with pytest.raises(InputError, match="no beating heart"):
        segment(noise, spacing_mm=(10.0, 1.4, 1.4), network=network)


def test_a_network_that_is_not_there_is_named():
    with pytest.raises(InputError, match="no network"):
        Network("no_such_network")


def test_pictures_of_another_size_are_refused(network):
    with pytest.raises(InputError, match="64"):
        network.shares(np.zeros((1, 64, 64), np.float32))


@pytest.mark.peer
def test_openvino_outlines_what_the_reference_outlines(library, monkeypatch):
    library("openvino")
    monkeypatch.setattr("carna.image.network.find_spec", find_spec)
    random = np.random.default_rng(1)
    pictures = np.stack([lesson(random).picture for _ in range(10)])
    reference, quick = Network(NETWORK, accelerate=False), Network(NETWORK)
    assert reference.engine == "ONNX Runtime, float32"
    assert quick.engine.startswith("OpenVINO")
    first, second = reference.shares(pictures), quick.shares(pictures)
    assert (first.argmax(1) == second.argmax(1)).mean() > 0.999
    assert np.abs(first - second).mean() < 2e-3


def test_no_ventricle_no_volume():
    with pytest.raises(InputError, match="no left ventricle"):
        volumes(np.zeros((2, 3, 8, 8), np.uint8), None)


def test_volumes_of_boxes_are_exact():
    labels = np.zeros((3, 4, 20, 20), np.uint8)
    labels[0, :, 2:12, 2:12], labels[1, :, 2:12, 2:7], labels[2, :, 2:12, 2:9] = LV, LV, LV
    labels[:, :, 14:16, :10] = MYOCARDIUM
    beat = volumes(labels, (10.0, 2.0, 2.0))
    assert beat.lv_ml == pytest.approx([16.0, 8.0, 11.2])
    assert (beat.ed, beat.es) == (0, 1)
    assert beat.lvef == pytest.approx(0.5)
    assert beat.mass_g == pytest.approx(1.05 * 3.2)
    assert np.isnan(beat.rvef)
