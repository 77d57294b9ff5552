"""Delineation: exact properties, virtual patients with known boundaries, and the network against loops."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from carna.ecg import delineate as module
from carna.ecg import find_beats
from carna.ecg.delineate import FIDUCIALS, Waves, delineate
from carna.ecg.delineate_weights import Network, networks
from carna.ecg.measure import measure
from carna.ecg.median import global_fiducials, median_beat
from carna.errors import InputError
from carna.phantom.ecg import Electrocardiogram, electrocardiogram


def read(ecg: np.ndarray, hz: float) -> Waves:
    return delineate(ecg, hz, find_beats(ecg, hz).sample)


def errors_ms(waves: Waves, truth: Electrocardiogram, name: str) -> np.ndarray:
    """Found minus true of the beats found, in all leads."""
    wave, edge = name.split("_")
    true = {"p": truth.p_s, "qrs": truth.qrs_s, "t": truth.t_s}[wave][:, ("on", "off").index(edge)]
    found = waves[name] / truth.hz
    off = found[..., None] - true
    nearest = np.take_along_axis(off, np.nanargmin(np.abs(np.nan_to_num(off, nan=9.0)), axis=2)[..., None], 2)
    error: np.ndarray = 1000 * nearest[np.isfinite(nearest)]
    return error


@pytest.fixture(scope="module")
def sinus() -> Electrocardiogram:
    return electrocardiogram(70.0, seconds=20.0, noise_mv=0.01, seed=3)


@pytest.mark.parametrize("rate_bpm", [55.0, 75.0, 100.0])
@pytest.mark.parametrize("noise_mv", [0.005, 0.03])
def test_boundaries_of_a_virtual_patient(rate_bpm: float, noise_mv: float) -> None:
    # A Gaussian has no end: the phantom's boundary is 2.5 standard deviations, a convention of its own, so
    # the mean error may be off by tens of ms; the scatter may not.
    truth = electrocardiogram(rate_bpm, seconds=20.0, noise_mv=noise_mv, seed=4)
    waves = read(truth.mv, truth.hz)
    for name, mean, sd in (("p_on", 25, 16), ("p_off", 25, 16), ("qrs_on", 20, 10), ("qrs_off", 25, 13),
                           ("t_off", 60, 30)):  # fmt: skip
        e = errors_ms(waves, truth, name)
        assert len(e) > 0.75 * waves.at[0].size, name
        assert abs(np.median(e)) < mean, (name, np.median(e))
        assert e.std() < sd, (name, e.std())


def test_no_p_waves_in_fibrillation() -> None:
    found = looked = 0
    for seed in range(4):
        truth = electrocardiogram(85.0, seconds=20.0, rhythm="af", variability=0.2, noise_mv=0.01, seed=seed)
        waves = read(truth.mv, truth.hz)
        found += int(np.isfinite(waves["p_on"]).sum())
        looked += waves["p_on"].size
    assert found / looked < 0.05


def test_p_waves_that_go_before_qrs_by_the_same_time_are_steady() -> None:
    before = np.array([[160.0, 161.0, 159.0, 250.0, np.nan, 160.0]])
    np.testing.assert_allclose(module._steady(before), [[0.8, 0.8, 0.8, 0.2, 0.0, 0.8]], rtol=1e-6)
    far = np.r_[np.full(9, 100.0), np.full(9, 200.0)][None]
    assert module._steady(far)[0, 0] == 1  # the ninth beat after it is no neighbour
    assert module._steady(np.zeros((2, 0))).shape == (2, 0)


def test_one_lead_asks_its_beats_and_many_leads_each_other() -> None:
    near, p = np.full((12, 9), 0.2, np.float32), np.ones((12, 9), np.float32)
    near[0] = 0.5  # half seen in one lead of twelve
    steady = np.ones_like(near)
    assert (module._agreed(near, p, steady)[0] < 0).all()
    assert (module._agreed(near[:1], p[:1], steady[:1]) > 0.15).all()
    assert (module._agreed(near[:1], p[:1], 0.2 * steady[:1]) < 0).all()  # now here, now there


def test_order_within_a_beat(sinus: Electrocardiogram) -> None:
    at = read(sinus.mv, sinus.hz).at
    whole = np.isfinite(at).all(0)
    assert whole.mean() > 0.7
    assert (np.diff(at[:, whole], axis=0) >= 0).all()


def test_a_later_recording_has_later_waves(sinus: Electrocardiogram) -> None:
    beats = find_beats(sinus.mv, sinus.hz).sample[2:-2]
    cut = 100  # a multiple of two samples at 250 Hz: the same windows
    a = delineate(sinus.mv, sinus.hz, beats).at
    b = delineate(sinus.mv[:, cut:], sinus.hz, beats - cut).at + cut
    inner = slice(2, -2)
    assert np.nanmax(np.abs(a - b)[..., inner]) < 1.5  # samples of 2 ms: the wander filter sees other ends


@pytest.mark.parametrize("hz", [128.0, 250.0, 360.0, 1000.0])
def test_the_sampling_rate_does_not_matter(hz: float, sinus: Electrocardiogram) -> None:
    other = electrocardiogram(70.0, seconds=20.0, noise_mv=0.0, hz=hz, seed=3)
    same = electrocardiogram(70.0, seconds=20.0, noise_mv=0.0, hz=500.0, seed=3)
    beats = np.round(same.r_s[2:-2] * 500).astype(np.int64)
    a = delineate(same.mv, 500.0, beats).at / 500
    b = delineate(other.mv, hz, np.round(beats * (hz / 500)).astype(np.int64)).at / hz
    gap = np.abs(a - b)[[0, 2, 3, 5, 8]] * 1000
    assert np.nanmedian(gap) < 3
    assert np.nanpercentile(gap, 99) < 15


def test_long_recordings_are_read_in_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = electrocardiogram(70.0, seconds=100.0, noise_mv=0.02, hz=250.0, seed=6)
    lead = truth.mv[1:2]
    beats = find_beats(lead, 250.0).sample
    whole = delineate(lead, 250.0, beats).at
    monkeypatch.setattr(module, "STRETCH_S", 30.0)
    parts = delineate(lead, 250.0, beats).at
    assert (np.isfinite(whole) == np.isfinite(parts)).mean() > 0.99
    assert np.nanpercentile(np.abs(whole - parts), 99) < 2


def test_what_was_not_recorded_has_no_waves(sinus: Electrocardiogram) -> None:
    ecg = sinus.mv.copy()
    ecg[3] = np.nan
    ecg[4] = 0.0
    ecg[5, : int(10 * sinus.hz)] = np.nan
    waves = read(ecg, sinus.hz)
    r = waves["qrs_peak"][1]
    assert np.isnan(waves.at[:, 3:5]).all()
    assert np.isnan(waves.p[3:5]).all()
    assert (waves.confidence[:, 3:5] == 0).all()
    assert np.isnan(waves.at[:, 5, r < 9.9 * sinus.hz]).all()
    assert np.isfinite(waves["qrs_on"][5, r > 10.5 * sinus.hz]).mean() > 0.9
    assert np.isfinite(waves["qrs_on"][1]).mean() > 0.9


def test_confidence_falls_with_noise() -> None:
    quiet, loud = (electrocardiogram(70.0, seconds=20.0, noise_mv=v, seed=5) for v in (0.005, 0.15))
    beats = np.round(quiet.r_s[1:-1] * quiet.hz).astype(np.int64)
    a, b = delineate(quiet.mv, quiet.hz, beats), delineate(loud.mv, loud.hz, beats)
    assert np.nanmean(a.confidence[0]) > np.nanmean(b.confidence[0]) + 0.05
    assert np.nanmean(a.sd_ms[8]) < np.nanmean(b.sd_ms[8])


def test_no_beats_no_waves(sinus: Electrocardiogram) -> None:
    waves = delineate(sinus.mv, sinus.hz, np.zeros(0, np.int64))
    assert waves.at.shape == (9, 12, 0)
    assert waves["t_off"].shape == (12, 0)


def test_one_beat_at_either_end() -> None:
    truth = electrocardiogram(60.0, seconds=3.0, noise_mv=0.0, seed=1)
    n = truth.mv.shape[1]
    waves = delineate(truth.mv, truth.hz, np.array([0, n - 1]))
    inside = waves.at[np.isfinite(waves.at)]
    assert ((inside >= 0) & (inside < n)).all()


@pytest.mark.parametrize(
    ("ecg", "hz", "beats"),
    [
        (np.zeros(500), 500.0, [100]),
        (np.zeros((1, 500)), 50.0, [100]),
        (np.zeros((1, 500)), 500.0, [500]),
        (np.zeros((1, 500)), 500.0, [-1]),
        (np.zeros((1, 500)), 500.0, [100, 100]),
    ],
)
def test_says_what_is_wrong(ecg: np.ndarray, hz: float, beats: list[int]) -> None:
    with pytest.raises(InputError):
        delineate(ecg, hz, np.array(beats))


def test_the_network_is_what_it_says() -> None:
    """Against a convolution written as loops."""
    rng = np.random.default_rng(0)

    def layer(taps: int, cin: int, cout: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.normal(size=(taps * cin, cout)).astype(np.float32), rng.normal(size=cout).astype(
            np.float32
        )

    net = Network(
        (layer(3, 2, 3), layer(3, 3, 4)), (layer(3, 7, 3),), layer(3, 3, 2), (layer(1, 8, 5), layer(1, 5, 1))
    )
    x = rng.normal(size=(2, 8, 2)).astype(np.float32)

    def convolved(v: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        taps = len(weight) // v.shape[1]
        out = np.tile(bias.astype(float), (len(v), 1))
        for t in range(len(v)):
            for k in range(taps):
                if 0 <= t + k - taps // 2 < len(v):
                    out[t] += v[t + k - taps // 2] @ weight[k * v.shape[1] : (k + 1) * v.shape[1]]
        return out

    places, waves = net(x)
    for n in range(2):
        top = np.maximum(convolved(x[n], *net.down[0]), 0)
        low = np.maximum(convolved((top[::2] + top[1::2]) / 2, *net.down[1]), 0)
        bottom = np.concatenate([low.mean(0), low.max(0)])
        hidden = np.maximum(bottom @ net.waves[0][0] + net.waves[0][1], 0)
        up = np.maximum(convolved(np.hstack([np.repeat(low, 2, axis=0), top]), *net.up[0]), 0)
        np.testing.assert_allclose(places[n], convolved(up, *net.places), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(waves[n], hidden @ net.waves[1][0] + net.waves[1][1], rtol=1e-4, atol=1e-4)


def test_shipped_weights_are_small_and_fit() -> None:
    assert (files("carna.ecg") / "delineate.npz").read_bytes().__len__() < 200_000
    wide, narrow = networks()
    places, waves = wide(np.zeros((1, 160, 8), np.float32))
    assert places.shape == (1, 160, 6)
    assert waves.shape == (1, 2)
    assert narrow(np.zeros((1, 96, 6), np.float32))[0].shape == (1, 96, 3)
    assert len(FIDUCIALS) == 9


@pytest.mark.parametrize("hz", [100.0, 257.0, 500.0])
@pytest.mark.parametrize("samples", [1, 2, 40, 1500])
@pytest.mark.parametrize("fate", ["noise", "flat", "lost", "cut off"])
def test_whatever_comes_is_read_to_the_end(hz: float, samples: int, fate: str) -> None:
    ecg = np.random.default_rng(0).normal(size=(3, samples))
    if fate == "flat":
        ecg[:] = 0
    elif fate != "noise":
        ecg[:, (samples // 2 if fate == "cut off" else 0) :] = np.nan
    beats = np.unique([0, samples // 2, samples - 1])
    waves = delineate(ecg, hz, beats)
    median = median_beat(ecg, hz, beats)
    if median is not None:
        matrix = measure(median, global_fiducials(waves, median, hz), ("I", "II", "V1"), rr_ms=800.0)
        assert fate in ("noise", "cut off") or matrix.qrs is None
