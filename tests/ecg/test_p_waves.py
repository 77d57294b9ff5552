"""Blocked P waves put where we know them, pauses without any, and the blocked beats of MIT-BIH 231."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.ecg.synthetic import P, Q, R, S, T

from carna import applications, run
from carna.ecg.beats import Beats, find_beats
from carna.ecg.criteria import CRITERIA
from carna.ecg.criteria.reading import Reading, read
from carna.ecg.delineate import delineate
from carna.ecg.p_waves import PWaves, follow
from carna.findings import Events, Statement
from carna.phantom import virtual_case
from carna.phantom.ecg import LEADS, Electrocardiogram, arrhythmia
from carna.study import Ecg, Lazy

HZ = 250.0
GAIN = np.array([0.7, 1.0, 0.3, -0.85, 0.2, 0.65, -0.6, -0.3, 0.4, 0.9, 1.1, 0.9])  # obeys Einthoven
BLOCK, WENCKEBACH, MOBITZ, HIGH, THIRD = (
    "second-degree AV block",
    "second-degree AV block, Wenckebach",
    "second-degree AV block, Mobitz II",
    "high-grade AV block",
    "third-degree AV block",
)
Floats = NDArray[np.float64]


def traced(p_s: Floats, r_s: Floats, seconds: float, seed: int = 0) -> Floats:
    """Twelve leads with a P wave at each of ``p_s`` and QRS and T at each of ``r_s``."""
    t = np.arange(int(seconds * HZ)) / HZ
    one = np.zeros(len(t))
    for at in p_s:
        one += P[1] * np.exp(-0.5 * ((t - at) / P[2]) ** 2)
    for at in r_s:
        for centre, height, width in (Q, R, S, T):
            one += height * np.exp(-0.5 * ((t - at - centre) / width) ** 2)
    return GAIN[:, None] * one + np.random.default_rng(seed).normal(0, 0.01, (12, len(one)))


def atria(pp: float, seconds: float) -> Floats:
    return np.arange(0.5, seconds - 0.6, pp)


def reading(p_s: Floats, r_s: Floats, seconds: float) -> Reading:
    return read(traced(p_s, r_s, seconds), HZ, LEADS, age_a=60.0, sex="female")


def verdicts(got: Reading) -> dict[str, str]:
    assert got.tracing is not None
    return {c.name: c.judge(got.tracing).verdict for c in CRITERIA}


def blocked(got: Reading) -> tuple[float, ...]:
    assert got.tracing is not None
    assert got.tracing.conduction is not None
    return got.tracing.conduction.blocked


@pytest.mark.parametrize("pp", [0.6, 0.85, 1.3])
def test_one_to_one_has_no_blocked_p_wave(pp: float) -> None:
    p = atria(pp, 20.0)
    got = reading(p, p + 0.16, 20.0)
    assert blocked(got) == ()
    assert {verdicts(got)[name] for name in (BLOCK, WENCKEBACH, MOBITZ, HIGH, THIRD)} == {"not met"}


def test_every_third_beat_dropped_at_a_steady_pr() -> None:
    p = atria(0.9, 30.0)
    dropped = np.arange(len(p)) % 3 == 2
    dropped[-2:] = False
    got = reading(p, p[~dropped] + 0.18, 30.0)
    assert np.allclose(blocked(got), p[dropped], atol=0.03)
    said = verdicts(got)
    assert (said[BLOCK], said[MOBITZ], said[WENCKEBACH], said[HIGH]) == ("met", "met", "not met", "not met")


def test_wenckebach_five_to_four() -> None:
    p = atria(0.95, 30.0)
    turn = np.arange(len(p)) % 5
    conducted = (turn < 4) | (np.arange(len(p)) >= len(p) - 1)
    got = reading(p, (p + 0.16 + 0.025 * turn)[conducted], 30.0)
    assert np.allclose(blocked(got), p[~conducted], atol=0.04)
    said = verdicts(got)
    assert (said[BLOCK], said[WENCKEBACH], said[MOBITZ]) == ("met", "met", "not met")


def test_two_to_one_from_beginning_to_end_has_no_type() -> None:
    p = atria(0.8, 30.0)
    got = reading(p, p[::2] + 0.16, 30.0)
    assert np.allclose(blocked(got), p[1::2][: len(blocked(got))], atol=0.03)
    said = verdicts(got)
    assert (said[BLOCK], said[HIGH], said[THIRD]) == ("met", "not met", "not met")
    assert said[WENCKEBACH] == said[MOBITZ] == "not assessable"


def test_four_to_one_after_normal_conduction_is_of_high_grade() -> None:
    p = atria(0.8, 40.0)
    kept = np.arange(len(p)) % 4 == 0
    kept[:8] = True
    got = reading(p, p[kept] + 0.16, 40.0)
    assert len(blocked(got)) >= 24
    assert verdicts(got)[HIGH] == "met"


@pytest.mark.parametrize("pause", [2.0, 3.0])
def test_a_pause_without_p_waves_is_not_called_block(pause: float) -> None:
    p = np.concatenate([atria(0.9, 10.0), 10.0 - 0.5 + 0.9 * (pause - 1) + atria(0.9, 10.0)])
    got = reading(p, p + 0.16, 22.0)
    assert got.tracing is not None
    assert got.tracing.conduction is None
    assert verdicts(got)[BLOCK] == "not assessable"


def test_an_early_blocked_p_wave_on_t_is_not_called_av_block() -> None:
    p = atria(0.9, 20.0)
    gone = 9
    r = np.delete(p, gone) + 0.16
    p[gone] = p[gone - 1] + 0.45
    got = reading(p, r, 20.0)
    assert got.tracing is not None
    assert got.tracing.conduction is None or not got.tracing.conduction.blocked


def test_a_beat_that_was_not_found_is_no_block() -> None:
    p = atria(0.9, 20.0)
    ecg = traced(p, p + 0.16, 20.0)
    all_ = find_beats(ecg, HZ)
    keep = np.arange(len(all_.sample)) != 8
    fewer = Beats(all_.sample[keep], all_.confidence[keep], all_.trust[keep], all_.share)
    waves = delineate(ecg, HZ, fewer.sample)
    assert follow(ecg, HZ, fewer, waves, np.ones(keep.sum(), bool)).conduction is None


def test_without_p_waves_nothing_is_said() -> None:
    r = np.cumsum(np.random.default_rng(1).uniform(0.5, 1.1, 24))
    got = reading(np.zeros(0), r, float(r[-1]) + 1)
    assert got.p_waves is not None
    assert got.p_waves.share < 0.2
    assert got.p_waves.conduction is None
    assert got.p_waves.train is None
    assert verdicts(got)[THIRD] == "not assessable"


def followed(made: Electrocardiogram) -> PWaves:
    """P waves followed with the true beats, so that only the P waves are in question."""
    n = len(made.r_s)
    beats = Beats(np.round(made.r_s * made.hz).astype(np.int64), np.ones(n), np.ones(n), np.ones(12))
    waves = delineate(made.mv, made.hz, beats.sample)
    return follow(made.mv, made.hz, beats, waves, np.ones(n, bool))


def test_complete_block_is_followed_and_named() -> None:
    told = [followed(arrhythmia("complete block, junctional escape", seconds=20.0, seed=s)) for s in range(8)]
    known = [w.conduction for w in told if w.conduction is not None]
    assert sum(c.dissociated for c in known) >= 6
    assert all(w.train is not None for w in told if w.conduction is not None and w.conduction.dissociated)


def test_wenckebach_periods_with_large_steps_are_followed() -> None:
    for rhythm in ("Wenckebach 3:2", "Wenckebach 4:3"):
        told = [followed(arrhythmia(rhythm, seed=s)).conduction for s in range(8)]
        known = [c for c in told if c is not None]
        assert len(known) >= 6
        assert all(c.lengthening >= 1 and not c.dissociated for c in known)


def test_three_to_one_is_not_taken_for_slow_sinus_rhythm() -> None:
    told = [followed(arrhythmia("3:1 block", seed=s)).conduction for s in range(8)]
    assert all(c is None or len(c.blocked) >= 4 for c in told)
    assert sum(c is not None for c in told) >= 6


def test_early_beats_and_sinus_arrhythmia_are_no_block() -> None:
    for rhythm in ("early atrial beats", "sinus arrhythmia", "sinus rhythm"):
        for seed in range(6):
            got = followed(arrhythmia(rhythm, seed=seed))
            assert got.conduction is None or not got.conduction.blocked


def test_two_methods_that_disagree_are_told() -> None:
    p = atria(0.85, 20.0)
    got = reading(p, p + 0.16, 20.0)
    assert got.tracing is not None
    assert got.fibrillation_in_doubt() is None
    called = replace(got, tracing=replace(got.tracing, fibrillation=True))
    assert "P waves go before 100 %" in (called.fibrillation_in_doubt() or "")
    paced = replace(got, tracing=replace(got.tracing, fibrillation=True, paced=True))
    assert paced.fibrillation_in_doubt() is None


def test_sinus_rhythm_does_not_wait_for_flutter() -> None:
    p = atria(0.85, 20.0)
    said = verdicts(reading(p, p + 0.16, 20.0))
    assert said["sinus rhythm"] == "met"
    assert said["atrial flutter"] != "met"


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # wfdb under a new pandas
@pytest.mark.data
@pytest.mark.slow
def test_blocked_beats_of_record_231(data: Callable[[str], Path]) -> None:
    """Intervals of 1.35 s and more between annotated beats hold a P wave each, shorter ones none."""
    import wfdb

    folder = data("mitbih-9")
    ecg, about = wfdb.rdsamp(str(folder / "231"))
    hz = float(about["fs"])
    rows = [row.split() for row in (folder / "annotations_txt/231annotations.txt").read_text().splitlines()]
    beats = np.array([int(w[1]) / hz for w in rows if len(w) > 2 and w[1].isdigit() and w[2] in "NLRAVaJSEj"])
    hits = missed = wrong = 0
    for start in range(0, 1800, 30):
        part = ecg[int(start * hz) : int((start + 30) * hz)].T
        at = np.array(blocked(read(part, hz, tuple(about["sig_name"])))) + start
        known = beats[(beats > start + 0.3) & (beats < start + 29.7)]
        inside = at[(at > known[0]) & (at < known[-1])]
        long = np.flatnonzero(np.diff(known) > 1.35)
        held = np.isin(long, np.searchsorted(known, inside) - 1)
        hits, missed = hits + int(held.sum()), missed + int((~held).sum())
        wrong += int((~np.isin(np.searchsorted(known, inside) - 1, long)).sum())
    assert hits + missed == 403
    assert hits >= 395
    assert wrong == 0


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # wfdb under a new pandas
@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["100", "108"])
def test_no_block_where_none_is(data: Callable[[str], Path], name: str) -> None:
    import wfdb

    ecg, about = wfdb.rdsamp(str(data("mitbih-9") / name))
    hz = float(about["fs"])
    told = 0
    for start in range(0, 600, 30):
        got = read(ecg[int(start * hz) : int((start + 30) * hz)].T, hz, tuple(about["sig_name"]))
        if got.tracing is not None and got.tracing.conduction is not None:
            told += 1
            assert got.tracing.conduction.blocked == ()
    assert told >= 15


def test_the_application_lists_blocked_p_waves_and_doubts_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    p = atria(0.9, 30.0)
    dropped = np.arange(len(p)) % 3 == 2
    dropped[-2:] = False
    case = virtual_case()
    study = case.studies[0]
    ecg = next(part for part in study.parts if isinstance(part, Ecg))
    values = traced(p, p[~dropped] + 0.18, 30.0).astype(np.float32)
    made = replace(ecg, values=Lazy.of(values), rate_hz=HZ, leads=LEADS)
    parts = tuple(made if part is ecg else part for part in study.parts)
    changed = replace(case, studies=(replace(study, parts=parts), *case.studies[1:]))
    found = run(applications()["ecg_reading"], changed, study.uid)
    events = found["p.blocked"]
    assert isinstance(events, Events)
    assert np.allclose(events.onset_s, p[dropped], atol=0.03)
    assert "second_opinion.fibrillation" not in {i.id for i in found.items}
    monkeypatch.setattr("carna.ecg.criteria.reading._fibrillation", lambda *_: True)
    doubted = run(applications()["ecg_reading"], changed, study.uid)["second_opinion.fibrillation"]
    assert isinstance(doubted, Statement)
    assert doubted.verdict == "not assessable"
    assert "P waves go before" in doubted.rule
