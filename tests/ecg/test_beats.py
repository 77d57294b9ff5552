"""R peaks against known times, invariances, absence."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.ecg.synthetic import lead, regular, twelve

from carna.ecg.beats import best_sequence, find_beats
from carna.ecg.candidates import Candidates
from carna.errors import Cancelled, InputError
from carna.progress import Progress


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers for every test, in whatever order they run."""
    return np.random.default_rng(7)


def assert_found(
    found: NDArray[np.int64],
    beats: NDArray[np.float64],
    rate_hz: float,
    seconds: float,
    within_s: float = 0.02,
) -> None:
    """Every beat away from the edges is found once, within ``within_s``, and nothing else is."""
    times = found / rate_hz
    inner = beats[(beats > 0.3) & (beats < seconds - 0.3)]
    times = times[(times > 0.3 - within_s) & (times < seconds - 0.3 + within_s)]
    assert len(times) == len(inner)
    assert np.abs(times - inner).max() <= within_s


@pytest.mark.parametrize("bpm", [30, 45, 60, 75, 100, 150, 180, 220])
@pytest.mark.parametrize("rate_hz", [100, 250, 500, 1000])
def test_known_times(bpm: float, rate_hz: float, rng: np.random.Generator) -> None:
    seconds = 30.0
    beats = regular(bpm, seconds)
    ecg = lead(beats, seconds, rate_hz) + rng.normal(0, 0.02, int(seconds * rate_hz))
    assert_found(find_beats(ecg[None], rate_hz).sample, beats, rate_hz, seconds)


@pytest.mark.parametrize("rate_hz", [50.0, 128.0, 257.0, 360.0])
def test_odd_rates(rate_hz: float, rng: np.random.Generator) -> None:
    beats = regular(70, 30)
    ecg = lead(beats, 30, rate_hz) + rng.normal(0, 0.02, int(30 * rate_hz))
    assert_found(find_beats(ecg[None], rate_hz).sample, beats, rate_hz, 30, within_s=max(0.02, 1 / rate_hz))


def test_timing_is_exact_to_a_sample_at_500_hz() -> None:
    beats = regular(66, 60)
    found = find_beats(lead(beats, 60, 500)[None], 500).sample
    assert np.abs(found - np.round(beats * 500)).max() <= 1


def test_irregular_with_wide_beats(rng: np.random.Generator) -> None:
    rr = rng.uniform(0.45, 1.1, 60)
    beats = 0.5 + np.cumsum(rr)
    seconds = float(beats[-1] + 1)
    wide = np.arange(60) % 5 == 3
    ecg = lead(beats, seconds, 250, wide) + rng.normal(0, 0.03, int(seconds * 250))
    found = find_beats(ecg[None], 250)
    near = np.abs(found.sample[:, None] / 250 - beats).min(1)
    assert near.max() <= 0.06  # nothing but beats
    assert len(found.sample) >= 59  # one may drown in the T wave of a wide beat


def test_twelve_leads_with_two_dead_and_one_wild(rng: np.random.Generator) -> None:
    beats = regular(72, 10)
    ecg = twelve(lead(beats, 10, 500), rng)
    ecg[0] = 0
    ecg[1] = np.nan
    ecg[10] = rng.normal(0, 1.5, ecg.shape[1])
    found = find_beats(ecg, 500)
    assert_found(found.sample, beats, 500, 10)
    assert found.share[0] == found.share[1] == 0
    assert found.share[10] < 0.05
    assert found.share.sum() == pytest.approx(1, abs=1e-3)


def test_polarity_gain_and_order_do_not_matter(rng: np.random.Generator) -> None:
    beats = regular(72, 60) + rng.uniform(-0.05, 0.05, len(regular(72, 60)))
    ecg = twelve(lead(beats, 60, 250), rng)[[1, 6, 9]]
    found = find_beats(ecg, 250)
    for other in (-ecg, 10 * ecg, ecg[::-1], ecg + 3.0):
        again = find_beats(other, 250)
        assert np.abs(again.sample - found.sample).max() <= 1
        assert np.allclose(again.confidence, found.confidence, atol=0.02)


def test_later_by_a_second_is_found_a_second_later(rng: np.random.Generator) -> None:
    beats = regular(64, 60)
    ecg = lead(beats, 60, 250)[None] + rng.normal(0, 0.03, (1, 15000))
    whole, cut = find_beats(ecg, 250).sample, find_beats(ecg[:, 250:], 250).sample + 250
    whole, cut = whole[whole > 600], cut[cut > 600]
    assert np.array_equal(whole, cut)


def test_a_gap_has_no_beats_and_harms_none(rng: np.random.Generator) -> None:
    beats = regular(70, 60)
    ecg = lead(beats, 60, 250)[None] + rng.normal(0, 0.02, (1, 15000))
    ecg[0, 5000:7500] = np.nan
    found = find_beats(ecg, 250).sample / 250
    outside = beats[(beats < 19.7) | (beats > 30.3)]
    assert not ((found > 20) & (found < 30)).any()
    assert all(np.abs(found - b).min() < 0.02 for b in outside[:-1])


def test_a_pause_stays_empty(rng: np.random.Generator) -> None:
    beats = np.concatenate([regular(70, 20), 26 + regular(70, 20)])
    ecg = lead(beats, 46, 250)[None] + rng.normal(0, 0.02, (1, 46 * 250))
    assert_found(find_beats(ecg, 250).sample, beats, 250, 46)


def test_seams_of_a_long_recording_lose_and_double_nothing(rng: np.random.Generator) -> None:
    seconds = 3700
    beats = regular(77, seconds)
    ecg = lead(beats, seconds, 125)[None] + rng.normal(0, 0.03, (1, seconds * 125))
    assert_found(find_beats(ecg, 125).sample, beats, 125, seconds)


@pytest.mark.parametrize("ecg", [np.zeros((2, 5000)), np.full((1, 5000), np.nan), np.full((3, 5000), 1.7)])
def test_nothing_recorded_nothing_found(ecg: NDArray[np.float64]) -> None:
    found = find_beats(ecg, 500)
    assert len(found.sample) == len(found.confidence) == 0
    assert not found.share.any()


@pytest.mark.parametrize("size", [0, 1, 30, 400])
def test_too_short_is_empty(size: int) -> None:
    assert len(find_beats(np.ones((1, size)), 500).sample) == 0


def test_wander_and_hum_alone_have_few_beats(rng: np.random.Generator) -> None:
    t = np.arange(60 * 250) / 250
    for ecg in (0.5 * np.sin(2 * np.pi * 0.3 * t), 0.2 * np.sin(2 * np.pi * 50 * t)):
        assert len(find_beats(ecg[None], 250).sample) <= 2  # a tone that starts or ends is a step
    assert len(find_beats(rng.normal(0, 0.1, (1, 60 * 250)), 250).sample) < 20


@pytest.mark.parametrize("seconds", [10, 130])
def test_no_beat_is_found_twice(seconds: int) -> None:
    """On a steep ramp every wave is wide and smooth: both its slopes may pass for beats."""
    t = np.arange(seconds * 250) / 250
    for ecg in (5 * t, lead(regular(70, seconds), seconds, 250) + t):
        found = find_beats(ecg[None], 250).sample
        assert (np.diff(found) >= 0.09 * 250).all()


def test_what_is_no_ecg_is_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        find_beats(np.zeros(500), 500)
    with pytest.raises(InputError, match="sampling rate"):
        find_beats(np.zeros((1, 500)), 20)


def test_it_can_be_cancelled() -> None:
    with pytest.raises(Cancelled):
        find_beats(np.zeros((1, 5000)), 500, progress=Progress(cancelled=lambda: True))


def test_the_sequence_is_the_best_of_all(rng: np.random.Generator) -> None:
    """Against every subset of ten candidates."""
    for _ in range(20):
        time = np.cumsum(rng.uniform(0.1, 0.4, 10))
        sharp, score, usual = rng.normal(0, 1, 10), rng.normal(0, 2, 10), rng.uniform(0.5, 1.2, 10)
        cand = Candidates(np.arange(10), time, sharp, sharp, sharp, sharp, [])
        best = 0.0
        for subset in range(1, 1024):
            k = [i for i in range(10) if subset >> i & 1]
            best = max(best, _total(time, sharp, score, usual, k))
        chosen = np.flatnonzero(best_sequence(cand, score, usual)).tolist()
        assert (_total(time, sharp, score, usual, chosen) if chosen else 0) == pytest.approx(best)


def _total(
    t: NDArray[np.float64],
    sharp: NDArray[np.float64],
    score: NDArray[np.float64],
    usual: NDArray[np.float64],
    k: list[int],
) -> float:
    total = float(score[k].sum())
    for i, j in itertools.pairwise(k):
        gap = t[j] - t[i]
        if gap < 0.18:
            return -np.inf
        if gap <= 0.40:
            total -= 3.0 * max(0.0, abs(sharp[j] - sharp[i]) - 0.5)
            if gap < 0.38 * usual[j]:
                total -= 4.0 * min(1.0, (0.38 - gap / usual[j]) / 0.12)
    return total
