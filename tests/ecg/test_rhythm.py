"""Rates and regularity against intervals written down by hand."""

from __future__ import annotations

import numpy as np
import pytest

from carna.ecg.rhythm import between_gaps, rhythm
from carna.errors import InputError

RNG = np.random.default_rng(5)


def test_hand_example() -> None:
    found = rhythm(np.array([0, 1.0, 1.8, 2.8, 3.8]))
    assert found.intervals == 4
    assert found.rate_bpm == pytest.approx(60)
    assert found.rr_ms == pytest.approx(950)
    assert found.mean_rate_bpm == pytest.approx(60 / 0.95)
    assert found.rr_sd_ms == pytest.approx(100)
    assert found.rmssd_ms == pytest.approx(1000 * np.sqrt((0.04 + 0.04 + 0) / 3))
    assert found.longest_ms == pytest.approx(1000)
    assert found.slowest_bpm == pytest.approx(60 / (2.8 / 3))
    assert found.regularity == "not assessable"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_beats_say_so(count: int) -> None:
    found = rhythm(np.arange(count) * 0.8)
    assert found.rate_bpm is None
    assert found.regularity == "not assessable"


def test_steady_and_fibrillating() -> None:
    assert rhythm(np.cumsum(0.8 + RNG.normal(0, 0.01, 30))).regularity == "regular"
    assert rhythm(np.cumsum(RNG.uniform(0.4, 1.0, 30))).regularity == "irregular"


def test_one_premature_beat_is_not_irregular() -> None:
    beats = np.arange(20) * 0.8
    beats[9] -= 0.3
    found = rhythm(beats)
    assert found.regularity == "regular"
    assert found.fastest_bpm is not None and found.fastest_bpm < 90


def test_scale_changes_rate_and_not_regularity() -> None:
    beats = np.cumsum(RNG.uniform(0.5, 0.9, 40))
    slow, fast = rhythm(beats), rhythm(beats / 2)
    assert fast.rate_bpm == pytest.approx(2 * slow.rate_bpm)
    assert fast.dispersion == pytest.approx(slow.dispersion)


def test_a_gap_is_no_pause() -> None:
    beats = np.concatenate([np.arange(10) * 0.8, 20 + np.arange(10) * 0.8])
    recorded = np.ones((2, 3000), bool)
    recorded[:, 800:1950] = False
    usable = between_gaps(np.round(beats * 100).astype(np.int64), recorded)
    assert (~usable).sum() == 1
    assert rhythm(beats, usable=usable).longest_ms == pytest.approx(800)
    assert rhythm(beats).longest_ms == pytest.approx(12800)


def test_doubtful_beats_are_left_out() -> None:
    sure = np.ones(20)
    sure[5] = 0.2
    assert rhythm(np.arange(20) * 0.8, confidence=sure).intervals == 17


def test_disorder_is_refused() -> None:
    with pytest.raises(InputError, match="increase"):
        rhythm(np.array([0, 1.0, 0.9]))
    with pytest.raises(InputError, match="marks"):
        rhythm(np.arange(5.0), usable=np.ones(5, bool))
