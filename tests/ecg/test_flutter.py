"""Flutter against sinus rhythm, fibrillation, tremor and noise; virtual recordings and the labelled ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from carna.ecg.beats import find_beats
from carna.ecg.flutter import Flutter, flutter, repetition
from carna.phantom.ecg import LEADS, Electrocardiogram, arrhythmia, electrocardiogram, twelve

Floats = NDArray[np.float64]


def told(made: Electrocardiogram) -> Flutter:
    return flutter(made.mv, made.hz, made.r_s.astype(np.float64), LEADS)


@pytest.mark.parametrize("rhythm", ["flutter 4:1", "flutter, variable"])
def test_flutter_waves_are_found_at_their_rate(rhythm: str) -> None:
    found = 0
    for seed in range(12):
        made = arrhythmia(rhythm, noise_mv=0.02, seed=seed)
        got = told(made)
        if got.present:
            found += 1
            assert got.rate_bpm == pytest.approx(60 / np.diff(made.atria_s).mean(), rel=0.05)
        assert got.present is not False or (got.score or 0) < 0.42
    assert found >= 7


@pytest.mark.parametrize("rhythm", ["sinus rhythm", "sinus arrhythmia", "early atrial beats", "2:1 block"])
def test_sinus_rhythm_is_no_flutter(rhythm: str) -> None:
    said = [told(arrhythmia(rhythm, seed=seed)).present for seed in range(12)]
    assert True not in said
    assert said.count(False) >= 8


def test_fibrillation_is_no_flutter() -> None:
    made = [electrocardiogram(85.0, rhythm="af", variability=0.2, seed=s) for s in range(8)]
    assert True not in [told(m).present for m in made]


def test_two_to_one_is_suspected_at_most() -> None:
    for seed in range(12):
        got = told(arrhythmia("flutter 2:1", noise_mv=0.02, seed=seed))
        assert got.present is None
        assert got.why


def test_tremor_is_not_in_step_with_the_beats() -> None:
    random = np.random.default_rng(1)
    doubted = 0
    for seed in range(12):
        made = arrhythmia("sinus rhythm", noise_mv=0.02, seed=seed)
        t = np.arange(made.mv.shape[1]) / made.hz
        turn = 2 * np.pi * random.uniform(3.8, 5.8) * t + np.cumsum(random.normal(0, 0.02, len(t)))
        eight = made.mv[[0, 1, 6, 7, 8, 9, 10, 11]].copy()
        eight[:2] += 0.12 * (np.sin(turn) + 0.3 * np.sin(2 * turn))
        got = flutter(twelve(eight), made.hz, made.r_s.astype(np.float64), LEADS)
        assert got.present is not True
        doubted += "tremor" in got.why
    assert doubted >= 3  # without the test of phase these would be flutter


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_noise_and_nothing_are_no_flutter(level: float) -> None:
    noise = np.random.default_rng(2).normal(0, 1, (12, 5000)) * level
    assert flutter(noise, 500.0, np.arange(0.5, 9.5, 0.8), LEADS).present is not True
    assert flutter(noise, 500.0, np.array([1.0, 2.0]), LEADS).present is None
    assert flutter(noise, 500.0, np.arange(0.05, 9.9, 0.16), LEADS).present is not True


def test_repetition_of_a_sine_is_complete_and_of_noise_is_not() -> None:
    t = np.arange(5000) / 500.0
    r_s = np.arange(0.5, 9.5, 0.9)
    alike, repeats = repetition(np.sin(2 * np.pi * 5 * t), 500.0, r_s)
    assert alike > 0.95
    assert repeats > 0.95
    noise = np.random.default_rng(3).normal(0, 1, 5000)
    assert repetition(noise, 500.0, r_s)[1] < 0.3
    assert repetition(noise, 500.0, np.arange(0.05, 9.9, 0.16)) == (0.0, 0.0)


@pytest.mark.data
@pytest.mark.slow
def test_no_other_rhythm_of_ludb_is_called_flutter(data: Callable[[str], Path]) -> None:
    """Two flutters are labelled: 103 is found, 35 (a regular 142/min) left open; no other is called."""
    from carna.doors import read
    from carna.learn.ecg_statements import millivolts
    from carna.study import Ecg

    folder = data("ludb") / "data"
    said = {}
    for case in read(folder).cases:
        ecg = next(p for p in case.studies[0].parts if isinstance(p, Ecg))
        mv = millivolts(ecg, folder / f"{case.patient.id}.hea")
        beats = find_beats(mv, ecg.rate_hz)
        said[case.patient.id] = flutter(mv, ecg.rate_hz, beats.sample / ecg.rate_hz, ecg.leads).present
    assert [name for name, present in said.items() if present] == ["103"]
    assert said["35"] is None
    assert list(said.values()).count(False) >= 108
