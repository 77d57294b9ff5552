"""Events from letters: every pattern, and what ends it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from carna.ecg.arrhythmia import (
    Event,
    burden,
    conduction,
    events,
    fibrillation_episodes,
    quiet_intervals,
)
from carna.errors import InputError

LETTERS = {"N": 0, "S": 1, "V": 2, "U": 4}


def _found(
    letters: str,
    rr: float | NDArray[np.float64] = 0.8,
    usable: NDArray[np.bool_] | None = None,
    quiet: NDArray[np.bool_] | None = None,
) -> list[Event]:
    at = np.concatenate([[0.0], np.cumsum(np.broadcast_to(rr, len(letters) - 1))])
    return list(events(at, np.array([LETTERS[x] for x in letters]), usable=usable, quiet=quiet))


def _kinds(letters: str, rr: float = 0.8) -> list[str]:
    return [e.kind for e in _found(letters, rr)]


@pytest.mark.parametrize(
    ("letters", "rr", "want"),
    [
        ("NNNVNNNN", 0.8, []),
        ("NNVVNN", 0.8, ["ventricular couplet"]),
        ("NNVVVNN", 0.5, ["ventricular tachycardia"]),
        ("NNVVVNN", 0.601, ["idioventricular rhythm"]),
        ("NNVVVNN", 0.6, ["ventricular tachycardia"]),  # 100 per minute is one
        ("NVNVNVN", 0.8, ["ventricular bigeminy"]),
        ("NVNVNN", 0.8, []),
        ("NNVNNVNNVNN", 0.8, ["ventricular trigeminy"]),
        ("NVUVNVN", 0.8, []),  # an unknown beat ends a pattern
        ("NVVUVVN", 0.8, ["ventricular couplet", "ventricular couplet"]),
        ("NSSN", 0.8, ["supraventricular couplet"]),
        ("NSSSSN", 0.8, ["supraventricular run"]),
        ("N", 0.8, []),
    ],
)
def test_patterns(letters: str, rr: float, want: list[str]) -> None:
    assert _kinds(letters, rr) == want


def test_a_run_says_where_it_is_and_how_fast() -> None:
    (run,) = _found("NNVVVVNN", 0.4)
    assert (run.first, run.last, run.beats) == (2, 5, 4)
    assert run.rate_bpm == pytest.approx(150)
    assert run.seconds == pytest.approx(1.2)


def test_an_interval_that_may_not_be_used_ends_everything() -> None:
    usable = np.ones(6, bool)
    usable[3] = False
    assert [e.kind for e in _found("NNVVVVN", 0.5, usable=usable)] == ["ventricular couplet"] * 2
    assert _found("NVNVNVN", 0.8, usable=usable) == []


def test_pauses_are_long_usable_and_quiet() -> None:
    rr = np.array([0.8, 2.0, 0.8, 3.1, 0.8])
    assert [(e.kind, round(e.seconds, 3)) for e in _found("NNNNNN", rr)] == [("pause", 2.0), ("pause", 3.1)]
    quiet = np.array([True, True, True, False, True])
    assert [round(e.seconds, 3) for e in _found("NNNNNN", rr, quiet=quiet)] == [2.0]
    assert _found("NNNNNN", rr * 0.99)[0].seconds > 3


def test_a_missed_beat_is_not_quiet() -> None:
    rate = 100.0
    trace = np.zeros(1000)
    beats = np.array([1.0, 2.0, 4.0, 6.0])
    for t in (*beats, 5.0):  # the beat at 5 s was missed
        trace[round(t * rate) - 1 : round(t * rate) + 2] = (0.5, 1.0, 0.5)
    assert quiet_intervals(trace, rate, beats).tolist() == [True, True, False]


def test_slow_and_fast_need_nine_intervals() -> None:
    assert _kinds("N" * 9, 1.5) == []
    assert _kinds("N" * 10, 1.5) == ["slow rhythm"]
    assert _kinds("N" * 10, 0.5) == ["fast rhythm"]
    (slow,) = _found("N" * 30, 1.5)
    assert slow.rate_bpm == pytest.approx(40)
    assert _kinds("N" * 30, 0.8) == []


def test_episodes_bridge_short_interruptions_and_last_30_s() -> None:
    at = np.arange(0, 300, 0.75)
    chance = np.full(len(at), 0.1)
    chance[(at >= 60) & (at < 90)] = 0.9
    chance[(at >= 100) & (at < 130)] = 0.9  # ten seconds later: one episode
    chance[(at >= 200) & (at < 220)] = 0.9  # twenty seconds: none
    (one,) = fibrillation_episodes(at, chance)
    assert (one.start_s, one.stop_s) == (60.0, 129.75)
    assert one.rate_bpm == pytest.approx(80)
    share = burden(at, chance)
    assert share == pytest.approx(69.75 / (at[-1] - at[0]))
    chance[at >= 200] = np.nan
    less = burden(at, chance)
    assert less is not None and share is not None and less > share
    assert burden(at[:10], chance[:10]) is None


def test_conduction() -> None:
    r = np.arange(1.0, 20.0)
    first_degree = conduction(r - 0.26, r)
    assert first_degree.pr_ms == pytest.approx(260)
    assert not first_degree.blocked and not first_degree.dissociated
    # Wenckebach: PR 0.16, 0.24, 0.30, dropped
    p = np.arange(0, 24, 0.8)
    pr = np.tile([0.16, 0.24, 0.30, np.nan], 8)[: len(p)]
    weak = conduction(p, (p + pr)[np.isfinite(pr)])
    assert len(weak.blocked) == weak.lengthening == 7
    # Mobitz: PR 0.16 always
    steady = np.tile([0.16, 0.16, 0.16, np.nan], 8)[: len(p)]
    assert conduction(p, (p + steady)[np.isfinite(steady)]).lengthening == 0
    # complete block: P at 80, R at 37 per minute, each regular
    assert conduction(np.arange(0, 40, 0.75), np.arange(0.3, 40, 1.62)).dissociated


def test_lengths_must_agree() -> None:
    with pytest.raises(InputError, match="one kind a beat"):
        events(np.arange(4.0), np.zeros(3, np.int64))
    with pytest.raises(InputError, match="increasing"):
        events(np.array([0.0, 2.0, 1.0]), np.zeros(3, np.int64))
