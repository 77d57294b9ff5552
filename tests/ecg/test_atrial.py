"""Atrial fibrillation: features against brute force, synthetic rhythms, persons never learned from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.ecg.recordings import cinc_noise
from tests.ecg.synthetic import lead, regular

from carna.ecg.aligned import working
from carna.ecg.atrial import (
    IRREGULARITY,
    activity,
    entropy,
    fibrillation,
    irregularity,
    running_likeness,
    without_beats,
)
from carna.ecg.beats import find_beats
from carna.ecg.kinds import beat_kinds, trusted
from carna.ecg.strips import NAMES, read_strip
from carna.errors import InputError
from carna.learn.ecg_rhythm_data import ludb_strips

RATE = 250.0


def _fibrillating(
    seconds: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Random intervals, no P waves (their place is taken by a 6 Hz wave)."""
    beats = 0.5 + np.cumsum(rng.gamma(20, 0.7 / 20, round(seconds / 0.7)).clip(0.35, 1.6))
    beats = beats[beats < seconds - 0.5]
    ecg = lead(beats, seconds, RATE)
    t = np.arange(len(ecg)) / RATE
    for beat in beats:  # take the P waves away
        near = (t > beat - 0.25) & (t < beat - 0.06)
        ecg[near] *= 0.05
    return beats, ecg + 0.05 * np.sin(2 * np.pi * (6 * t + 0.3 * np.cumsum(rng.normal(0, 0.02, len(t)))))


def _chance(ecg: NDArray[np.float64]) -> NDArray[np.float64]:
    found = find_beats(ecg[None], RATE)
    kinds = beat_kinds(ecg[None], RATE, found)
    return fibrillation(found.sample / RATE, kinds.before, kinds.plain, trusted(found))


def test_entropy_is_what_counting_gives() -> None:
    rr = np.random.default_rng(0).normal(0.8, 0.05, 30)
    pairs = followed = 0
    for i in range(29):
        for j in range(i + 1, 29):
            near = abs(rr[i] - rr[j]) < 0.03
            pairs += near
            followed += near and abs(rr[i + 1] - rr[j + 1]) < 0.03
    want = -np.log((followed + 1) / (pairs + 1)) + np.log(0.06) - np.log(rr.mean())
    assert entropy(rr[None])[0] == pytest.approx(want)


def test_irregularity_of_simple_sequences() -> None:
    steady, alternating = np.full(20, 0.8), np.tile([0.6, 1.0], 10)
    got = irregularity(np.stack([steady, alternating]))
    col = IRREGULARITY.index
    assert got[0, col("changed")] == 0 and got[1, col("changed")] == 1
    assert got[1, col("turning")] == 1  # bigeminy turns at every beat, chance at two of three
    assert got[0, col("origin")] == 1 and got[1, col("origin")] == 0
    assert got[0, col("spread")] == pytest.approx(0) and got[1, col("spread")] == pytest.approx(0.5)
    assert got[1, col("memory")] == pytest.approx(-0.95, abs=0.01)


def test_running_likeness_is_the_mean_correlation_of_pairs() -> None:
    rows = np.random.default_rng(1).normal(size=(12, 9))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    got = running_likeness(rows.astype(np.float32), 5)
    for k in range(8):
        part = rows[k : k + 5]
        assert got[k] == pytest.approx((part @ part.T)[np.triu_indices(5, 1)].mean(), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_random_intervals_without_p_waves_fibrillate_and_sinus_rhythm_does_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    _, ecg = _fibrillating(60, rng)
    assert np.nanmin(_chance(ecg + rng.normal(0, 0.01, len(ecg)))) > 0.8
    sinus = lead(regular(75, 60), 60, RATE) + rng.normal(0, 0.01, round(60 * RATE))
    assert np.nanmax(_chance(sinus)) < 0.05


def test_ectopy_is_not_fibrillation() -> None:
    """Random ventricular ectopy makes intervals irregular; only plain intervals are asked."""
    rng = np.random.default_rng(3)
    beats = regular(70, 180)
    wide = np.zeros(len(beats), bool)
    wide[rng.choice(np.arange(5, len(beats) - 5, 2), 25, replace=False)] = True
    beats[wide] -= rng.uniform(0.15, 0.4, wide.sum())
    ecg = lead(beats, 180, RATE, wide) + rng.normal(0, 0.01, round(180 * RATE))
    assert np.nanmax(_chance(ecg)) < 0.5


def test_too_few_beats_are_not_assessable() -> None:
    assert np.isnan(_chance(lead(regular(70, 10), 10, RATE))).all()


def test_fibrillatory_waves_remain_when_beats_are_taken_away() -> None:
    beats, ecg = _fibrillating(30, np.random.default_rng(5))
    trace, rate = working(ecg[None], RATE)
    alike = np.ones(len(beats), bool)
    found = activity(trace[0], rate, beats, alike)
    assert found.f_hz == pytest.approx(6, abs=0.6)
    assert found.f_mV == pytest.approx(0.05 / np.sqrt(2), rel=0.4)
    assert found.p_likeness < 0.6
    rest = without_beats(trace[0], rate, beats, alike)
    assert np.abs(rest).max() < 0.3 * np.abs(trace[0]).max()


def test_sinus_p_waves_are_seen() -> None:
    beats = regular(70, 30)
    ecg = lead(beats, 30, RATE) + np.random.default_rng(0).normal(0, 0.01, round(30 * RATE))
    trace, rate = working(ecg[None], RATE)
    found = activity(trace[0], rate, beats, np.ones(len(beats), bool))
    assert found.p_likeness > 0.9
    assert found.p_before_s == pytest.approx(0.16, abs=0.02)
    assert found.p_mV == pytest.approx(0.12, rel=0.25)


def test_a_strip_of_noise_a_short_one_and_two_leads() -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, round(30 * RATE))
    strip = read_strip(noise, RATE)
    assert strip.kind == "noise" and strip.probability.sum() == pytest.approx(1)
    assert len(strip.features) == len(NAMES) and np.isfinite(strip.features).all()
    assert read_strip(np.zeros(round(30 * RATE)), RATE).kind == "noise"
    with pytest.raises(InputError, match=r"one lead of 8\.5 s"):
        read_strip(noise[:1000], RATE)
    with pytest.raises(InputError, match="one lead"):
        read_strip(noise[None], RATE)


@pytest.mark.data
def test_noise_does_not_fibrillate(data: Callable[[str], Path]) -> None:
    for kind, channels in cinc_noise(data("nstdb").parent).items():
        for channel in channels[:, 325_000:]:
            found = find_beats(channel[None], 360)
            kinds = beat_kinds(channel[None], 360, found)
            chance = fibrillation(found.sample / 360, kinds.before, kinds.plain, trusted(found))
            assert np.nansum(chance > 0.5) == 0, kind


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("snr_db", [None, 6.0])
def test_ten_seconds_of_lead_one_with_and_without_electrode_motion(
    data: Callable[[str], Path], snr_db: float | None
) -> None:
    """LUDB: 10 in fibrillation, 111 not (2 flutter); the strip score never learned from it."""
    noise = cinc_noise(data("nstdb").parent)["em"][:, 325_000:]
    rng = np.random.default_rng(0)
    hits = false = missed = 0
    for _, words, clean, rate in ludb_strips(data("ludb").parent):
        ecg = clean.astype(float)
        if snr_db is not None:  # by standard deviations; the noise is at 360 Hz
            start = rng.integers(noise.shape[1] - 4000)
            piece = np.interp(
                np.arange(len(ecg)) * 360 / rate, np.arange(4000), noise[0, start : start + 4000]
            )
            ecg = ecg + (piece - piece.mean()) / piece.std() * ecg.std() / 10 ** (snr_db / 20)
        found = read_strip(ecg, rate).kind == "fibrillation"
        true = "fibrillation" in words
        hits, false, missed = (
            hits + (found and true),
            false + (found and not true),
            missed + (true and not found),
        )
    assert hits >= 7 and hits + missed == 10 and false <= 4


@pytest.mark.data
@pytest.mark.slow
def test_persons_never_learned_from(data: Callable[[str], Path]) -> None:
    """CPSC2021, windows of 30 beats, all persons; strips are refitted out of fold."""
    from carna.ecg.atrial_weights import FIBRILLATION_SCORE
    from carna.ecg.kind_weights import VENTRICULAR_SCORE
    from carna.learn.ecg_rhythm import auc, strip_predictions, strip_scores
    from carna.learn.ecg_rhythm_fit import fibrillating_share, material, plain_windows

    root = data("cinc2017-300").parent
    for name in ("cinc2021-sample", "mitbih-9", "qtdb-subset"):
        data(name)
    found = material(root)
    chance, truth = [], []
    for d in found.recordings:
        if d.source.set == "CPSC2021" and d.reading == "all leads":
            seen = plain_windows(d.beats, d.features, d.before, d.source.rate_hz, VENTRICULAR_SCORE)
            share = fibrillating_share(d, seen)
            clear = (share >= 0.8) | (share <= 0.2)
            chance.append(FIBRILLATION_SCORE(seen.features)[clear, 1])
            truth.append(share[clear] > 0.5)
    assert auc(np.concatenate(chance), np.concatenate(truth)) > 0.99
    sinus, fibrillating, _, _, challenge = strip_scores(found.labels, strip_predictions(found))
    assert sinus > 0.86 and fibrillating > 0.82 and challenge > 0.76
