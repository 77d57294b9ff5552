"""Local activation times against electrograms whose times are known, and what is refused."""

import numpy as np
import pytest

from carna.ep.mapping import (
    REASONS,
    annotate,
    bipoles,
    grid,
    linear,
    reference_time,
    synthetic_unipolar,
    vote,
    with_noise,
)
from carna.errors import InputError

RATE = 1000.0
WINDOW = (-100.0, 150.0)


def unipolar(n=400, seed=0):
    truth = np.random.default_rng(seed).uniform(-60, 110, n)
    return truth, synthetic_unipolar(200 + truth, RATE, 500)


def rms(found, truth):
    assert np.isfinite(found).mean() > 0.98
    return float(np.sqrt(np.nanmean((found - truth) ** 2)))


def find(signals, rule, **limits):
    return annotate(signals, RATE, reference_ms=200, window_ms=WINDOW, rule=rule, **limits)


@pytest.mark.parametrize(("snr_db", "limit_ms"), [(60, 0.05), (26, 0.3), (20, 0.5), (14, 1.0)])
def test_the_steepest_descent_of_noisy_unipoles(snr_db, limit_ms):
    truth, signals = unipolar()
    assert rms(find(with_noise(signals, snr_db, 1), "steepest_descent").lat_ms, truth) < limit_ms


@pytest.mark.parametrize(
    ("rule", "snr_db", "limit_ms"), [("peak", 20, 1), ("onset", 20, 1.5), ("energy", 20, 1)]
)
def test_bipolar_rules_of_noisy_bipoles(rule, snr_db, limit_ms):
    """A front under two electrodes 4 ms apart: each rule keeps one constant distance from the truth."""
    truth = np.random.default_rng(2).uniform(-60, 100, 300)
    first, second = (synthetic_unipolar(200 + truth + shift, RATE, 500) for shift in (-2, 2))
    signals = bipoles(np.concatenate([first, second]), np.c_[np.arange(300), np.arange(300) + 300])
    clean = find(signals, rule).lat_ms - truth
    assert np.std(clean) < 0.2
    noisy = find(with_noise(signals, snr_db, 3), rule).lat_ms
    assert rms(noisy, truth + np.median(clean)) < limit_ms
    assert abs(np.median(clean)) < 1 if rule != "onset" else -12 < np.median(clean) < -2


def test_what_cannot_be_annotated_says_why():
    truth, signals = unipolar(8)
    signals = with_noise(signals, 30, 0)
    signals[0] = 0
    signals[1, 5] = np.nan
    signals[2] *= 0.001
    signals[3] = np.random.default_rng(1).normal(size=signals.shape[1])
    signals[4] = synthetic_unipolar(np.array([350.4]), RATE, 500)[0]
    signals[5] = np.clip(signals[5], -2, 2)
    found = find(signals, "steepest_descent")
    why = [REASONS[n] for n in found.reason]
    assert why[:2] == ["flat or lost"] * 2
    assert why[2:6] == ["amplitude too low", "too noisy", "at the edge of the window", "saturated"]
    assert why[6:] == ["", ""]
    assert (np.isfinite(found.lat_ms) == (found.reason == 0)).all()
    np.testing.assert_allclose(found.lat_ms[6:], truth[6:], atol=0.5)


def test_another_beat_outside_the_window_is_neither_found_nor_noise():
    truth, signals = unipolar(20)
    later = synthetic_unipolar(np.full(20, 430.0), RATE, 500, amplitude_mv=20)
    found = find(signals + later, "steepest_descent")
    np.testing.assert_allclose(found.lat_ms, truth, atol=0.1)


def test_the_stated_signal_to_noise_ratio_is_recovered():
    _, signals = unipolar(300)
    # Smoothing below 250 Hz takes about half of the white noise's power away.
    found = find(with_noise(signals, 20, 4), "steepest_descent").snr_db
    assert 20 < np.median(found) < 26


def test_a_reference_and_what_is_measured_from_it():
    reference = synthetic_unipolar(np.array([300.0]), RATE, 800)[0]
    assert reference_time(reference, RATE, 280) == pytest.approx(300, abs=0.2)
    signals = synthetic_unipolar(np.array([325.0]), RATE, 800)
    found = annotate(signals, RATE, reference_ms=300, window_ms=(-50, 100), rule="steepest_descent")
    assert found.lat_ms[0] == pytest.approx(25, abs=0.1)


def test_a_sampling_rate_changes_nothing():
    truth = np.linspace(-50, 100, 50)
    at = [
        annotate(
            synthetic_unipolar(200 + truth, rate, 500), rate, reference_ms=200, window_ms=WINDOW,
            rule="steepest_descent",
        ).lat_ms
        for rate in (977.0, 1000.0, 2035.0)
    ]  # fmt: skip
    for found in at:
        np.testing.assert_allclose(found, truth, atol=0.1)


def test_catheters_place_their_bipoles():
    row = linear(4, 2.0)
    np.testing.assert_allclose(row.bipole_mm[:, 0], [1, 3, 5])
    motion = np.eye(4)
    motion[:3, 3] = (10, 20, 30)
    np.testing.assert_allclose(row.placed(motion).bipole_mm[0], [11, 20, 30])
    assert len(grid(4, 4, 3.0).pairs) == 24


def test_beats_that_disagree_have_no_time():
    truth, signals = unipolar(4)
    beats = [find(signals, "steepest_descent") for _ in range(5)]
    moved = truth + np.array([0, 0, 20, 0])
    for n in (1, 3):
        beats[n] = find(synthetic_unipolar(200 + moved, RATE, 500), "steepest_descent")
    times, spread = vote(np.zeros((4, 3)), tuple(beats), agree_ms=5)
    np.testing.assert_allclose(times, truth, atol=0.2)
    for n, shift in enumerate((0, 20, -20, 9, -9)):
        third = np.array([0, 0, shift, 0])
        beats[n] = find(synthetic_unipolar(200 + truth + third, RATE, 500), "steepest_descent")
    times, spread = vote(np.zeros((4, 3)), tuple(beats), agree_ms=5)
    assert np.isnan(times[2])
    assert spread[2] > 5
    assert np.isfinite(times[[0, 1, 3]]).all()


def test_wrong_arguments_are_refused_in_a_sentence():
    _, signals = unipolar(2)
    with pytest.raises(InputError, match="steepest_descent, peak"):
        find(signals, "steepest")
    with pytest.raises(InputError, match="500 Hz"):
        annotate(signals, 250, reference_ms=200, window_ms=WINDOW, rule="peak")
    with pytest.raises(InputError, match="inside the recording"):
        annotate(signals, RATE, reference_ms=400, window_ms=WINDOW, rule="peak")
