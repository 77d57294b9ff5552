"""Long recordings: the same as in one piece, in bounded memory, honest about what was not analysable."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.ecg.synthetic import lead, regular

from carna.ecg import holter as holter_module
from carna.ecg.atrial import fibrillation
from carna.ecg.beats import find_beats
from carna.ecg.holter import OVERLAP_S, STRETCH_S, holter
from carna.errors import Cancelled, InputError
from carna.progress import Progress

RATE = 125.0
Array = NDArray[np.float32]


def _of(ecg: Array) -> Callable[[int, int], Array]:
    return lambda start, stop: ecg[:, start:stop]


def _minutes(
    minutes: float, bpm: float = 70, wide: float = 0.0, seed: int = 0
) -> tuple[Array, NDArray[np.float64]]:
    """Two leads; a share of the beats early and wide."""
    rng = np.random.default_rng(seed)
    seconds = 60 * minutes
    beats = regular(bpm, seconds)
    shape = np.zeros(len(beats), bool)
    shape[3:-3:5] = rng.random(len(shape[3:-3:5])) < 5 * wide
    beats[shape] -= 0.3
    one = lead(beats, seconds, RATE, shape)
    return np.stack([one, 0.6 * one]).astype(np.float32) + rng.normal(0, 0.01, (2, len(one))).astype(
        np.float32
    ), beats


def test_stretches_join_without_a_seam() -> None:
    ecg, beats = _minutes(95, wide=0.05)
    asked: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> Array:
        asked.append((start, stop))
        return ecg[:, start:stop]

    found = holter(read, ecg.shape[1], RATE)
    assert np.abs(found.beats.sample / RATE - beats).max() < 0.05
    assert max(b - a for a, b in asked) <= (1.5 * STRETCH_S + 2 * OVERLAP_S) * RATE
    assert [a for a, _ in asked] == sorted(a for a, _ in asked)
    wide = int((found.kinds.kind == 2).sum())
    assert wide == found.whole.ventricular == sum(h.ventricular for h in found.hours)
    assert found.whole.beats == len(beats) == sum(h.beats for h in found.hours)
    once = find_beats(ecg, RATE)
    assert np.abs(once.sample - found.beats.sample).max() <= 2
    assert found.noise.size == 0
    assert found.whole.analysable_min == pytest.approx(95, abs=0.1)
    assert found.whole.mean_bpm == pytest.approx(70, abs=0.2)


def test_hours_events_and_strips() -> None:
    slow, _ = _minutes(60, bpm=45)
    fast, _ = _minutes(30, bpm=120, seed=1)
    ecg = np.concatenate([slow, fast], axis=1)
    found = holter(_of(ecg), ecg.shape[1], RATE)
    first, second = found.hours
    assert first.mean_bpm == pytest.approx(45, abs=0.5) and second.mean_bpm == pytest.approx(120, abs=0.5)
    assert found.whole.lowest_bpm == pytest.approx(45, abs=1) and found.whole.highest_bpm == pytest.approx(
        120, abs=2
    )
    assert {e.kind for e in found.events} == {"slow rhythm", "fast rhythm"}
    assert {s.why for s in found.strips} == {"slow rhythm", "fast rhythm", "lowest rate", "highest rate"}
    assert all(0 <= s.start < s.stop <= ecg.shape[1] and s.stop - s.start == 10 * RATE for s in found.strips)
    assert found.whole.fibrillation_min == 0


def test_gaps_and_noise_are_not_analysable_and_no_pause() -> None:
    ecg, _ = _minutes(20)
    ecg[:, round(300 * RATE) : round(360 * RATE)] = np.nan
    rng = np.random.default_rng(1)
    a, b = round(700 * RATE), round(790 * RATE)
    ecg[:, a:b] = np.cumsum(rng.normal(0, 0.2, (2, b - a)), axis=1).astype(np.float32) * 0.2
    found = holter(_of(ecg), ecg.shape[1], RATE)
    assert not [
        e for e in found.events if e.kind in ("pause", "ventricular tachycardia", "atrial fibrillation")
    ]
    assert found.noise[0].tolist() == pytest.approx([300, 360], abs=1.5)
    assert 17.0 < found.whole.analysable_min < 18.2


def test_a_real_pause_is_one() -> None:
    seconds = 120.0
    beats = regular(70, seconds)
    beats = beats[(beats < 60) | (beats > 63.5)]
    ecg = (lead(beats, seconds, RATE) + np.random.default_rng(0).normal(0, 0.01, round(seconds * RATE)))[None]
    (pause,) = holter(_of(ecg.astype(np.float32)), ecg.shape[1], RATE).events
    assert pause.kind == "pause" and pause.start_s == pytest.approx(60, abs=1)


def test_a_recording_without_a_heart() -> None:
    flat = np.zeros((1, round(600 * RATE)), np.float32)
    found = holter(_of(flat), flat.shape[1], RATE)
    assert len(found.beats.sample) == 0 and found.events == () and found.strips == ()
    assert found.noise.tolist() == [[0.0, 600.0]]
    assert found.whole.mean_bpm is None and found.whole.analysable_min == 0
    with pytest.raises(InputError, match="one second"):
        holter(_of(flat), 10, RATE)


def test_it_can_be_cancelled_and_its_progress_rises() -> None:
    ecg, _ = _minutes(70)
    told: list[float] = []
    holter(_of(ecg), ecg.shape[1], RATE, progress=Progress(lambda done, _: told.append(done)))
    assert told == sorted(told) and told[-1] == 1
    with pytest.raises(Cancelled):
        holter(_of(ecg), ecg.shape[1], RATE, progress=Progress(cancelled=lambda: True))


@pytest.mark.slow
def test_memory_grows_by_beats_only() -> None:
    hour, _ = _minutes(60, wide=0.02)
    n = hour.shape[1]

    def peak(hours: int) -> float:
        tracemalloc.start()
        found = holter(lambda start, stop: hour[:, np.arange(start, stop) % n], hours * n, RATE)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(found.hours) == hours
        return most

    two, four = peak(2), peak(4)
    assert two < 100e6
    assert four - two < 2 * 4200 * 1500  # bytes: 1.5 kB a beat, not 3.6 MB an hour and lead


def test_fibrillation_in_pieces_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    n = 3000
    af = (np.arange(n) // 400) % 2 == 1
    rr = np.where(af, random.uniform(0.4, 1.1, n), 0.8 + 0.02 * random.standard_normal(n))
    at, before = np.cumsum(rr), random.standard_normal((n, 45)).astype(np.float32)
    plain, usable = random.random(n) > 0.15, random.random(n - 1) > 0.02
    whole = fibrillation(at, before, plain, usable)
    monkeypatch.setattr(holter_module, "PIECE", 170)
    pieces = holter_module._fibrillation(at, before, plain, usable)
    assert np.isfinite(whole).sum() > n / 2
    np.testing.assert_allclose(pieces, whole, atol=1e-9)
