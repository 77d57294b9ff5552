"""Fibrillation, flutter and P waves alone: virtual truth, and silence on what is none of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from tests.ecg.recordings import ludb
from tests.ecg.synthetic import P, lead, regular

from carna.ecg.arrest import FIBRILLATION, P_ALONE, Arrest, joined
from carna.ecg.beats import find_beats
from carna.ecg.criteria.urgent import NO_ALARM, look_now
from carna.ecg.kinds import UNKNOWN, beat_kinds

RATE = 250.0
Floats = NDArray[np.float64]


def fibrillation(seed: int, seconds: float, mv: float) -> Floats:
    """Three tones of 4 to 7 Hz that wander in rate and size."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)

    def wandering(width_s: float) -> Floats:
        x = gaussian_filter1d(rng.standard_normal(n), width_s * RATE, mode="wrap")
        return np.asarray(x / x.std())

    out = np.zeros(n)
    for size in (1.0, 0.6, 0.4):
        hz = rng.uniform(4.5, 6.0) * np.exp(0.18 * wandering(0.4))
        out += size * np.exp(0.5 * wandering(0.8)) * np.sin(2 * np.pi * np.cumsum(hz) / RATE)
    return np.asarray(out * mv / out.std() + rng.normal(0, 0.02, n))


def wide(bpm: float, seconds: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Smooth ventricular beats of 0.2 s, each with a discordant T wave, and their times."""
    at = np.arange(0.3, seconds, 60 / bpm)
    t = np.arange(round(seconds * RATE)) / RATE
    squeeze = np.sqrt(min(60 / bpm, 1.0))
    out = rng.normal(0, 0.02, len(t))
    for beat in at:
        for centre, width, mv in (
            (-0.03, 0.028, 0.9),
            (0.03, 0.03, 1.1),
            (0.3 * squeeze, 0.06 * squeeze, -0.4),
        ):
            out += mv * np.exp(-0.5 * ((t - beat - centre) / width) ** 2)
    return out, at


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mv", [0.2, 0.8])
def test_fibrillation_is_named_and_holds_no_beats(seed: int, mv: float) -> None:
    found = find_beats(fibrillation(seed, 30, mv)[None], RATE)
    spans = [a.stop_s - a.start_s for a in found.arrests if a.kind == FIBRILLATION]
    assert sum(spans) > 15
    for arrest in found.arrests:
        inside = (found.sample > arrest.start_s * RATE) & (found.sample < arrest.stop_s * RATE)
        assert not inside.any()


def test_flutter_faster_than_beats_is_named() -> None:
    t = np.arange(round(20 * RATE)) / RATE
    ecg = 0.8 * np.sin(2 * np.pi * 5.5 * t) + np.random.default_rng(0).normal(0, 0.02, len(t))
    found = find_beats(ecg[None], RATE)
    assert [a.kind for a in found.arrests] == [FIBRILLATION]
    assert found.arrests[0].per_minute == pytest.approx(330, abs=10)
    assert len(found.sample) == 0


@pytest.mark.parametrize("bpm", [20, 40, 100, 160, 180, 200, 220, 240, 260, 280])
def test_wide_beats_are_found_one_by_one(bpm: float) -> None:
    ecg, at = wide(bpm, 30, np.random.default_rng(1))
    found = find_beats(ecg[None], RATE)
    assert found.arrests == ()
    near = np.abs(found.sample[:, None] / RATE - at)
    assert (near.min(0) < 0.15).mean() > 0.97
    assert (near.min(1) < 0.15).mean() > 0.97


@pytest.mark.parametrize("bpm", [20, 200])
def test_a_rhythm_of_very_broad_beats_is_not_called_normal(bpm: float) -> None:
    ecg = wide(bpm, 60, np.random.default_rng(2))[0][None]
    kinds = beat_kinds(ecg, RATE, find_beats(ecg, RATE)).kind
    assert len(kinds) >= 19
    assert (kinds == UNKNOWN).mean() > 0.9


def test_p_waves_alone_are_no_beats() -> None:
    t = np.arange(round(20 * RATE)) / RATE
    at = np.arange(0.4, 19.8, 0.7)
    ecg = sum(P[1] * np.exp(-0.5 * ((t - p) / P[2]) ** 2) for p in at)
    ecg = ecg + np.random.default_rng(3).normal(0, 0.008, len(t))
    found = find_beats(np.asarray(ecg)[None], RATE)
    assert len(found.sample) == 0
    assert {a.kind for a in found.arrests} == {P_ALONE}
    assert found.arrests[0].per_minute == pytest.approx(60 / 0.7, rel=0.05)


def test_beats_before_and_after_stay() -> None:
    beats = regular(75, 60)
    ecg = lead(beats, 60, RATE) + np.random.default_rng(5).normal(0, 0.02, round(60 * RATE))
    a, b = round(20 * RATE), round(40 * RATE)
    ecg[a:b] = fibrillation(1, 20, 0.5)
    found = find_beats(ecg[None], RATE)
    assert [x.kind for x in found.arrests] == [FIBRILLATION]
    assert found.arrests[0].start_s == pytest.approx(20, abs=5)
    assert found.arrests[0].stop_s == pytest.approx(40, abs=5)
    outside = beats[(beats < 16) | (beats > 44)]
    assert np.mean([np.abs(found.sample / RATE - x).min() < 0.05 for x in outside]) > 0.97


def test_the_list_names_it_and_is_no_alarm() -> None:
    short, long = Arrest(FIBRILLATION, 0, 6, 300, 0.5), Arrest(FIBRILLATION, 10, 30, 320, 0.7)
    (urgent,) = look_now((), (long, short))
    assert urgent.verdict.name == FIBRILLATION
    assert "10.0 to 30.0 s" in urgent.verdict.why
    assert NO_ALARM in urgent.sentence
    assert look_now(()) == ()


def test_seams_are_joined() -> None:
    parts = [Arrest(FIBRILLATION, 598, 615, 300, 0.5), Arrest(FIBRILLATION, 585, 612, 310, 0.6)]
    (whole,) = joined(parts)
    assert (whole.start_s, whole.stop_s) == (585, 615)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_no_arrest_in_resting_recordings(
    data: Callable[[str], Path], library: Callable[[str], ModuleType]
) -> None:
    """All twelve leads and lead II alone of 121 people: no arrest."""
    library("wfdb")
    named = [
        r.name
        for r in ludb(data("ludb").parent)
        for ecg in (r.ecg, r.ecg[[r.lead]])
        if find_beats(ecg, r.rate_hz).arrests
    ]
    assert named == []
