"""Median beats and global boundaries against what they must be."""

from __future__ import annotations

import numpy as np
import pytest

from carna.ecg import median as module
from carna.ecg.delineate import FIDUCIALS, Waves
from carna.ecg.median import MedianBeat, global_fiducials, median_beat
from carna.errors import InputError

HZ = 500.0


def train(
    shift: np.ndarray, noise: float = 0.0, leads: int = 2, odd: tuple[int, ...] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Equal beats a second apart, marked ``shift`` samples late; ``odd`` ones are wide and inverted."""
    n = len(shift)
    t = np.arange(int((n + 1.5) * HZ)) / HZ
    ecg = np.zeros((leads, len(t)))
    at = 1.0 + np.arange(n)
    for k, r in enumerate(at):
        if k in odd:
            ecg += -1.5 * np.exp(-0.5 * ((t - r) / 0.04) ** 2)
        else:
            wave = np.exp(-0.5 * ((t - r) / 0.012) ** 2) - 0.3 * np.exp(-0.5 * ((t - r - 0.03) / 0.01) ** 2)
            ecg += np.arange(1, leads + 1)[:, None] * wave
    ecg += noise * np.random.default_rng(0).standard_normal(ecg.shape)
    return ecg, np.round(at * HZ).astype(np.int64) + shift


def test_beats_marked_late_are_moved_back() -> None:
    shift = np.array([0, 3, -4, 5, -2, 0, 1, -1, 2])
    ecg, beats = train(shift)
    found = median_beat(ecg, HZ, beats)
    assert found is not None
    assert len(found.beats) == len(beats)
    # aligned with each other: where the alignment point lies differs from the true beat by one constant
    late = found.at - np.round((1.0 + np.arange(9)) * HZ)[found.beats]
    assert np.ptp(late) == 0
    # the wander filter takes a little of a train of narrow beats: the shape is what stays
    beat = found.mV[1] - np.median(found.mV[1])
    assert abs(beat.max() - 2.0) < 0.1
    assert abs(int(beat.argmax()) - found.r) <= 5


def test_a_strange_beat_changes_nothing() -> None:
    ecg, beats = train(np.zeros(9, np.int64), odd=(4,))
    found = median_beat(ecg, HZ, beats)
    assert found is not None
    assert found.beats.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]


def test_given_beats_are_kept() -> None:
    ecg, beats = train(np.zeros(9, np.int64), odd=(4,))
    keep = np.arange(9) == 4
    found = median_beat(ecg, HZ, beats, keep)
    assert found is not None
    assert found.beats.tolist() == [4]
    assert found.mV[0].min() < -1.2


def test_noise_falls_with_the_root_of_the_number() -> None:
    ecg, beats = train(np.zeros(60, np.int64), noise=0.02)
    found = median_beat(ecg, HZ, beats)
    assert found is not None
    clean = median_beat(train(np.zeros(60, np.int64))[0], HZ, beats)
    assert clean is not None
    actual = (found.mV - clean.mV).std(1)
    expected = 1.2533 * 0.02 / np.sqrt(len(found.beats))
    np.testing.assert_allclose(actual, expected, rtol=0.15)
    np.testing.assert_allclose(found.noise_mV, expected, rtol=0.1)


def test_a_lead_that_falls_off() -> None:
    ecg, beats = train(np.zeros(9, np.int64), leads=3)
    ecg[1] = np.nan
    ecg[2, : int(5.5 * HZ)] = np.nan
    found = median_beat(ecg, HZ, beats)
    assert found is not None
    assert np.isnan(found.mV[1]).all()
    assert np.isfinite(found.mV[2]).all()
    assert found.n[0] == len(found.beats)
    assert found.n[1] == 0
    assert 0 < found.n[2] < found.n[0]


def test_low_rates_are_raised() -> None:
    ecg, beats = train(np.zeros(9, np.int64))
    found = median_beat(ecg[:, ::4], HZ / 4, beats // 4)
    assert found is not None
    assert found.rate_hz == 500.0
    beat = found.mV[0] - np.median(found.mV[0])
    assert abs(beat.max() - 1.0) < 0.1


def test_long_recordings_are_read_in_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    ecg, beats = train(np.zeros(60, np.int64), noise=0.02)
    whole = median_beat(ecg, HZ, beats)
    monkeypatch.setattr(module, "STRETCH_S", 17.0)
    parts = median_beat(ecg, HZ, beats)
    assert whole is not None
    assert parts is not None
    assert whole.beats.tolist() == parts.beats.tolist()
    assert np.abs(whole.mV - parts.mV).max() < 0.005


def test_none_without_a_whole_beat() -> None:
    ecg, beats = train(np.zeros(3, np.int64))
    assert median_beat(ecg, HZ, np.zeros(0, np.int64)) is None
    assert median_beat(ecg[:, :400], HZ, np.array([100])) is None
    with pytest.raises(InputError):
        median_beat(ecg, HZ, beats, np.ones(2, bool))


def waves_with(**ms: list[float]) -> tuple[Waves, MedianBeat]:
    """Three equal beats in as many leads as values are given, boundaries in ms after the beat."""
    leads = len(next(iter(ms.values())))
    at = np.full((9, leads, 3), np.nan)
    beats = np.array([1000.0, 2000.0, 3000.0])
    for name, values in ms.items():
        at[FIDUCIALS.index(name)] = beats + np.array(values)[:, None]
    sd = np.where(np.isnan(at), np.nan, 5.0).astype(np.float32)
    seen = np.ones((leads, 3), np.float32)
    waves = Waves(at, sd, np.ones_like(sd), seen, seen)
    median = MedianBeat(
        np.zeros((leads, 1200)), 1000.0, 450, np.arange(3), beats, np.full(leads, 3), np.zeros(leads)
    )
    return waves, median


def test_the_second_lead_decides() -> None:
    waves, median = waves_with(
        qrs_on=[-60.0, -48, -46, -44, -40], qrs_off=[40.0, 44, 46, 48, 90], t_off=[300.0, 310, 320, 330, 400]
    )
    f = global_fiducials(waves, median, 1000.0)
    assert f.qrs_on == (-48.0, 4.5)
    assert f.qrs_off == (48.0, 4.5)
    assert f.t_off == (330.0, 4.5)
    assert f.p_on is None
    assert "second" in f.definition


def test_of_few_leads_the_first_and_last() -> None:
    waves, median = waves_with(qrs_on=[-50.0, -40.0], qrs_off=[40.0, 45.0])
    f = global_fiducials(waves, median, 1000.0)
    assert f.qrs_on == (-50.0, 4.5)
    assert f.qrs_off == (45.0, 4.5)
    assert "second" not in f.definition


def test_a_wave_in_few_beats_or_leads_is_none() -> None:
    waves, median = waves_with(p_on=[-150.0] * 12, p_off=[-60.0] * 12, qrs_on=[-40.0] * 12)
    waves.at[:2, 1:] = np.nan
    waves.at[2, :, 1:] = np.nan
    f = global_fiducials(waves, median, 1000.0)
    assert f.p_on is None  # one lead of twelve
    assert f.p_off is None  # one beat of three
    assert f.qrs_on == (-40.0, 4.5)


def test_scatter_between_beats_adds_uncertainty() -> None:
    waves, median = waves_with(qrs_on=[-40.0], qrs_off=[40.0])
    waves.at[3, 0] += [0, 20, -20]
    f = global_fiducials(waves, median, 1000.0)
    assert f.qrs_on is not None
    spread = 1.2533 * np.std([0, 20, -20]) / np.sqrt(3)
    assert f.qrs_on[1] == pytest.approx(np.hypot(4.5, spread))
