"""P waves that keep their own time: places that are known, and rhythms that have no train."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from carna.ecg.aligned import working
from carna.ecg.arrhythmia import Conduction, conduction, since_last
from carna.ecg.p_train import Train, p_train
from carna.phantom.ecg import Electrocardiogram, arrhythmia, electrocardiogram


def train(made: Electrocardiogram) -> Train | None:
    trace, hz = working(made.mv, made.hz)
    return p_train(trace, hz, np.asarray(made.r_s, np.float64), np.asarray(made.t_s[:, 1], np.float64))


def paired(p_s: NDArray[np.floating], r_s: NDArray[np.floating]) -> Conduction:
    return conduction(np.asarray(p_s, np.float64), np.asarray(r_s, np.float64))


@pytest.mark.parametrize(
    "rhythm", ["complete block, junctional escape", "complete block, ventricular escape", "Wenckebach 3:2"]
)
def test_p_waves_are_where_they_were_put(rhythm: str) -> None:
    found = right = 0
    for seed in range(12):
        made = arrhythmia(rhythm, seed=seed)
        got = train(made)
        if got is None:
            continue
        found += 1
        inside = made.atria_s[(made.atria_s > got.at_s[0] - 0.1) & (made.atria_s < got.at_s[-1] + 0.1)]
        near = np.abs(got.at_s[:, None] - inside).min(1)
        right += np.median(near) < 0.02 and len(got.at_s) >= len(inside) - 1 and near[got.seen].max() < 0.08
        assert len(got.at_s) <= len(inside) + 1
    assert found >= 10
    assert right >= 9  # with P waves exactly half as often as T hides them, every second one is not known


def test_complete_block_is_dissociated_and_conduction_is_not() -> None:
    apart = [train(arrhythmia("complete block, junctional escape", seed=s)) for s in range(12)]
    made = [arrhythmia("complete block, junctional escape", seed=s) for s in range(12)]
    said = [paired(t.at_s, m.r_s) for t, m in zip(apart, made, strict=True) if t is not None]
    assert sum(c.dissociated for c in said) >= 8
    for seed in range(12):
        one = arrhythmia("sinus rhythm", seed=seed)
        assert not paired(one.atria_s, one.r_s).dissociated


def test_twice_the_rate_of_sinus_rhythm_is_no_train() -> None:
    """Every second place would be hidden by T: nothing may be inferred there."""
    for seed in range(20):
        made = arrhythmia("sinus rhythm", seed=seed)
        got = train(made)
        if got is not None:
            assert len(got.at_s) <= len(made.r_s) + 1


def test_fibrillation_and_noise_have_no_train() -> None:
    for seed in range(8):
        assert train(electrocardiogram(70.0, rhythm="af", variability=0.2, seed=seed)) is None
    noise = np.random.default_rng(0).normal(0, 0.05, (12, 2000)).astype(np.float32)
    r_s = np.arange(0.5, 9.5, 1.4)
    assert p_train(noise, 200.0, r_s, r_s + 0.4) is None
    assert p_train(np.zeros((2, 2000), np.float32), 200.0, r_s, r_s + 0.4) is None
    assert p_train(noise, 200.0, r_s[:2], r_s[:2] + 0.4) is None
    assert p_train(noise[:, :300], 200.0, r_s[:1], r_s[:1] + 0.4) is None


def test_time_since_the_last_p_wave_leaves_missed_ones_out() -> None:
    p: NDArray[np.float64] = np.arange(0.0, 10.0, 0.8)
    r = p + 0.2
    missing = np.delete(p, 4)
    assert np.allclose(since_last(missing, r), 0.2)
    assert len(since_last(missing, r)) == len(r) - 1
    assert len(since_last(p[:1], r)) == 0
