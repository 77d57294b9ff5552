"""The electrocardiogram against Einthoven, Goldberger and its own clock."""

import numpy as np
import pytest

from carna.errors import InputError
from carna.phantom.ecg import LEADS, electrocardiogram


def test_einthoven_and_goldberger_hold_exactly_with_noise() -> None:
    i, ii, iii, avr, avl, avf = electrocardiogram(noise_mv=0.1, seed=4).mv[:6]
    assert np.abs(iii - (ii - i)).max() == 0.0
    assert np.abs(avr + (i + ii) / 2.0).max() == 0.0
    assert np.abs(avl - (i - iii) / 2.0).max() < 1e-14
    assert np.abs(avf - (ii + iii) / 2.0).max() < 1e-14
    assert np.abs(avr + avl + avf).max() < 1e-14


@pytest.mark.parametrize("rate", [42.0, 70.0, 140.0])
def test_r_waves_are_where_the_truth_says(rate: float) -> None:
    ecg = electrocardiogram(rate, seconds=20.0, noise_mv=0.0, variability=0.03, seed=2)
    assert ecg.heart_rate_bpm == pytest.approx(rate, rel=0.06)
    lead = ecg.mv[LEADS.index("V5")]
    for r in ecg.r_s[1:-1]:
        window = np.arange(round((r - 0.1) * ecg.hz), round((r + 0.1) * ecg.hz))
        assert (window[lead[window].argmax()] / ecg.hz) == pytest.approx(r, abs=0.008)


def test_waves_are_in_order_and_silent_between() -> None:
    ecg = electrocardiogram(65.0, noise_mv=0.0, seed=1)
    for p, qrs, t in zip(ecg.p_s, ecg.qrs_s, ecg.t_s, strict=True):
        assert p[0] < p[1] < qrs[0] < qrs[1] < t[0] < t[1]
        assert 0.08 < qrs[1] - qrs[0] < 0.11
        assert 0.12 < qrs[0] - p[0] < 0.20
        assert 0.34 < t[1] - qrs[0] < 0.46
    rest = (ecg.t_s[2, 1] + ecg.p_s[3, 0]) / 2.0
    assert np.abs(ecg.mv[:, round(rest * ecg.hz)]).max() < 0.01


def test_chest_leads_progress_from_s_to_r() -> None:
    ecg = electrocardiogram(noise_mv=0.0)
    v1, v5 = ecg.mv[LEADS.index("V1")], ecg.mv[LEADS.index("V5")]
    assert -v1.min() > 3 * v1.max()
    assert v5.max() > 3 * -v5.min()


def test_fibrillation_has_no_p_and_no_memory() -> None:
    ecg = electrocardiogram(85.0, seconds=300.0, rhythm="af", variability=0.2, seed=3)
    rr = np.diff(ecg.r_s)
    assert np.isnan(ecg.p_s).all()
    assert rr.std() / rr.mean() == pytest.approx(0.2, abs=0.03)
    assert abs(np.corrcoef(rr[:-1], rr[1:])[0, 1]) < 0.15


def test_premature_beats_are_early_wide_and_followed_by_a_pause() -> None:
    ecg = electrocardiogram(70.0, seconds=60.0, pvc_share=0.2, variability=0.0, seed=6)
    rr, at = np.diff(ecg.r_s), [n for n, kind in enumerate(ecg.kinds) if kind == "V"]
    assert len(at) >= 5
    for n in at[1:-1]:
        assert rr[n - 1] < 0.7 * 60 / 70 < 1.3 * 60 / 70 < rr[n]
        assert np.diff(ecg.qrs_s[n])[0] > 0.12
        assert np.isnan(ecg.p_s[n]).all()


def test_same_seed_same_recording_other_seed_other() -> None:
    one, two, other = (electrocardiogram(seed=s) for s in (1, 1, 2))
    assert (one.mv == two.mv).all()
    assert one.r_s.tolist() == two.r_s.tolist()
    assert not (one.mv == other.mv).all()


def test_impossible_recordings_are_refused() -> None:
    for wrong in ({"heart_rate_bpm": 5.0}, {"hz": 1.0}, {"rhythm": "vf"}, {"pvc_share": 0.9}):
        with pytest.raises(InputError, match="needed"):
            electrocardiogram(**wrong)
