"""Lead quality against noise of known size; limb leads against their sums."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ecg.synthetic import lead, regular, twelve

from carna.ecg.quality import einthoven_residual, lead_quality
from carna.errors import InputError

RNG = np.random.default_rng(3)
RATE = 500.0
T = np.arange(int(20 * RATE)) / RATE
CLEAN = lead(regular(70, 20), 20, RATE)


def test_every_kind_is_named() -> None:
    clipped = np.clip(CLEAN, -0.05, 0.1)
    gone = CLEAN.copy()
    gone[: int(0.7 * len(gone))] = np.nan
    noise = RNG.normal(0, 0.8, len(T))
    ecg = np.stack([CLEAN + RNG.normal(0, 0.01, len(T)), noise, clipped, np.full(len(T), 0.3), gone])
    quality = lead_quality(ecg, RATE)
    assert quality.kind == ("good", "noisy", "clipped", "flat", "no signal")
    assert quality.recorded[4] == pytest.approx(0.3, abs=1e-3)
    assert quality.snr_db[0] > 20
    assert quality.snr_db[1] < 10


@pytest.mark.parametrize("mains_hz", [50, 60])
def test_amounts_are_measured(mains_hz: float) -> None:
    ecg = 0.3 * np.sin(2 * np.pi * 0.2 * T) + 0.1 * np.sin(2 * np.pi * mains_hz * T + 1)
    quality = lead_quality((CLEAN + ecg)[None], RATE)
    assert quality.mains_mV[0] == pytest.approx(0.1, rel=0.05)
    assert quality.wander_mV[0] == pytest.approx(0.3 / np.sqrt(2), rel=0.1)
    assert lead_quality(CLEAN[None], RATE).mains_mV[0] < 0.01


def test_white_noise_above_40_hz() -> None:
    quality = lead_quality((CLEAN + RNG.normal(0, 0.05, len(T)))[None], RATE)
    assert quality.noise_mV[0] == pytest.approx(0.05 * np.sqrt(1 - 40 / 250), rel=0.15)


def test_seconds_point_at_the_burst() -> None:
    ecg = CLEAN + RNG.normal(0, 0.01, len(T))
    ecg[5000:7500] += RNG.normal(0, 1, 2500)
    each = lead_quality(ecg[None], RATE).snr_each_second_db[0]
    assert each.shape == (20,)
    assert each[11:14].max() < 12 < np.median(each[:9])


def test_gain_changes_millivolts_and_nothing_else() -> None:
    ecg = (CLEAN + RNG.normal(0, 0.03, len(T)))[None]
    one, ten = lead_quality(ecg, RATE), lead_quality(10 * ecg, RATE)
    assert one.kind == ten.kind
    assert ten.noise_mV == pytest.approx(10 * one.noise_mV, rel=1e-3)
    assert ten.snr_db == pytest.approx(one.snr_db, abs=0.01)


def test_too_short_is_refused() -> None:
    with pytest.raises(InputError, match="s"):
        lead_quality(np.zeros((1, 100)), RATE)


def _limbs() -> tuple[np.ndarray, tuple[str, ...]]:
    ecg = twelve(CLEAN, RNG)
    i, ii = ecg[0], lead(regular(70, 20) + 0.008, 20, RATE) + 0.02 * RNG.normal(size=len(T))
    rows = np.stack([i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2, ecg[6]])
    return rows, ("I", "II", "III", "aVR", "aVL", "aVF", "V1")


def test_exact_limb_leads_have_no_residual() -> None:
    found = einthoven_residual(*(_limbs()[0], RATE, _limbs()[1]))
    assert found is not None
    assert set(found.residual_mV) == {"III", "aVR", "aVL", "aVF"}
    assert found.relative < 1e-3


def test_exchanged_and_inverted_channels_are_seen() -> None:
    rows, names = _limbs()
    inverted = rows.copy()
    inverted[2] *= -1
    for wrong in (rows[[1, 0, 2, 3, 4, 5, 6]], inverted, rows[[0, 1, 3, 2, 4, 5, 6]]):
        found = einthoven_residual(wrong, RATE, names)
        assert found is not None
        assert found.relative > 0.3


def test_two_limb_leads_prove_nothing() -> None:
    rows, names = _limbs()
    assert einthoven_residual(rows[[0, 1, 6]], RATE, ("I", "II", "V1")) is None
    assert einthoven_residual(np.zeros((3, 5000)), RATE, names[:3]) is None
