"""The electrocardiogram against Einthoven, Goldberger and its own clock."""

import numpy as np
import pytest

from carna.errors import InputError
from carna.phantom.ecg import LEADS, RHYTHMS, arrhythmia, electrocardiogram


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


@pytest.mark.parametrize("rhythm", list(RHYTHMS))
def test_virtual_rhythms_obey_einthoven_and_their_seed(rhythm: str) -> None:
    one, same, other = (arrhythmia(rhythm, seed=s) for s in (4, 4, 5))
    assert np.array_equal(one.mv, same.mv)
    assert not np.array_equal(one.mv, other.mv)
    assert np.abs(one.mv[2] - (one.mv[1] - one.mv[0])).max() == 0.0
    assert len(one.r_s) == len(one.kinds) == len(one.qrs_s)
    assert (np.diff(one.atria_s) > 0).all()


@pytest.mark.parametrize(
    ("rhythm", "group"), [("Wenckebach 3:2", 3), ("Wenckebach 4:3", 4), ("Wenckebach 5:4", 5)]
)
def test_wenckebach_loses_one_beat_a_period_and_pr_grows_to_it(rhythm: str, group: int) -> None:
    made = arrhythmia(rhythm, seconds=60.0, seed=2)
    assert len(made.r_s) / len(made.atria_s) == pytest.approx((group - 1) / group, abs=0.04)
    pr = made.r_s - made.atria_s[np.searchsorted(made.atria_s, made.r_s) - 1]
    dropped = np.flatnonzero(np.diff(made.r_s) > 1.3 * np.median(np.diff(made.atria_s)))
    assert len(dropped) >= 5
    assert (pr[dropped[1:]] > pr[dropped[:-1] + 1] + 0.05).all()


def test_complete_block_has_more_p_waves_than_beats_and_no_pr() -> None:
    made = arrhythmia("complete block, ventricular escape", seconds=60.0, seed=1)
    assert len(made.atria_s) > 1.5 * len(made.r_s)
    since = made.r_s[1:] - made.atria_s[np.searchsorted(made.atria_s, made.r_s[1:]) - 1]
    assert np.ptp(since) > 0.3
    assert (made.qrs_s[:, 1] - made.qrs_s[:, 0] > 0.13).all()
    assert set(made.kinds) == {"E"}


@pytest.mark.parametrize(("rhythm", "count"), [("flutter 2:1", 2), ("flutter 3:1", 3), ("flutter 4:1", 4)])
def test_flutter_conducts_every_so_many_waves(rhythm: str, count: int) -> None:
    made = arrhythmia(rhythm, seconds=30.0, seed=3)
    rate = 60 / np.diff(made.atria_s).mean()
    assert 235 < rate < 335
    assert np.diff(made.r_s).mean() == pytest.approx(count * 60 / rate, rel=0.02)


def test_unknown_rhythms_and_values_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="Wenckebach"):
        arrhythmia("torsades")
    with pytest.raises(InputError, match="variety"):
        arrhythmia("2:1 block", variety=2.0)
