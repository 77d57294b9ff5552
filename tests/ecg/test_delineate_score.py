"""How boundaries are scored, on made-up readings; and the scores on LUDB and QTDB, with floors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from carna.ecg.delineate import FIDUCIALS, Waves
from carna.learn.ecg_waves import Marked, evaluate, false_p, joined, match, one_lead, shared, tally

HZ = 500.0


def test_only_nearest_neighbours_pair() -> None:
    i, j = match(np.array([1.0, 2.0, 3.0]), np.array([1.05, 1.2, 2.9, 9.0]), 0.15)
    assert i.tolist() == [0, 2]
    assert j.tolist() == [0, 2]
    i, j = match(np.array([1.0]), np.array([0.95, 1.02]), 0.15)
    assert j.tolist() == [1]
    assert len(match(np.zeros(0), np.array([1.0]), 1.0)[0]) == 0
    assert len(match(np.array([1.0]), np.zeros(0), 1.0)[0]) == 0
    assert match(np.array([1.0]), np.array([1.15001]), 0.15)[0].tolist() == []


def reading(fibrillation: bool = False, **times: list[float]) -> Marked:
    at = {name: (np.array(v),) for name, v in times.items()}
    marks = np.concatenate([v[0] for v in at.values()])
    span = np.array([[marks.min(), marks.max()]])
    return Marked("a", np.zeros((1, 5000), np.float32), HZ, at, span, fibrillation)


def finding(leads: int = 1, **times: list[float]) -> Waves:
    n = len(next(iter(times.values())))
    at = np.full((9, leads, n), np.nan)
    for name, v in times.items():
        at[FIDUCIALS.index(name)] = np.array(v) * HZ
    sd = np.where(np.isnan(at), np.nan, 4.0).astype(np.float32)
    seen = np.ones((leads, n), np.float32)
    return Waves(at, sd, np.ones_like(sd), seen, seen)


def test_errors_misses_and_false_waves() -> None:
    truth = reading(qrs_on=[1.0, 2.0, 3.0], qrs_peak=[1.04, 2.04, 3.04], qrs_off=[1.1, 2.1, 3.1])
    found = finding(
        qrs_on=[0.5, 1.01, 2.5, 3.02], qrs_peak=[0.54, 1.04, 2.54, 3.04], qrs_off=[0.6, 1.1, 2.6, 3.1]
    )
    t = tally([(truth, found)])
    np.testing.assert_allclose(t["qrs_on"].errors, [10, 20])
    assert t["qrs_on"].missed == [1]
    assert t["qrs_on"].false == [1]  # 0.5 s lies before the marked span, 2.5 s does not
    np.testing.assert_allclose(t["qrs_on"].medians, [15])
    assert t["qrs_on"].people == 1


def test_a_wave_that_sticks_out_of_the_span_is_not_scored() -> None:
    truth = reading(t_on=[1.2], t_peak=[1.3], t_off=[1.4])
    found = finding(t_on=[1.2, 1.45], t_peak=[1.3, 1.5], t_off=[1.4, 1.6])
    assert tally([(truth, found)])["t_on"].false == [0]


def test_a_boundary_the_reader_left_out_is_not_false() -> None:
    truth = reading(qrs_on=[1.0, 3.0], qrs_peak=[1.04, 2.04, 3.04], qrs_off=[1.1, 2.1, 3.1])
    found = finding(qrs_on=[1.0, 2.0, 3.0], qrs_peak=[1.04, 2.04, 3.04], qrs_off=[1.1, 2.1, 3.1])
    assert tally([(truth, found)])["qrs_on"].false == [0]


def test_false_p_waves_are_counted_in_fibrillation_only() -> None:
    marks = {"qrs_on": [1.0, 2.0, 3.0]}
    found = finding(qrs_on=[1.0, 2.0, 3.0], p_on=[np.nan, 1.8, np.nan])
    assert false_p([(reading(True, **marks), found), (reading(False, **marks), found)]) == (1, 3, 1)


def test_leads_are_joined_by_their_certainty() -> None:
    found = finding(2, qrs_on=[1.0])
    found.at[3, 1] += 10
    found.sd_ms[3, 1] = 8.0
    one = joined(found)
    assert one.at.shape == (9, 1, 1)
    assert one["qrs_on"][0, 0] == pytest.approx(500 + 10 * (1 / 64) / (1 / 16 + 1 / 64))
    assert np.isnan(one["p_on"]).all()


def test_two_readers_on_the_same_beats() -> None:
    a, b = shared(reading(t_off=[1.0, 2.0, 3.0]), reading(t_off=[2.03, 3.5]))
    assert a.at["t_off"][0].tolist() == [2.0]
    assert b.at["t_off"][0].tolist() == [2.03]
    assert one_lead(a, 0).at["t_off"][0].tolist() == [2.0]


@pytest.mark.data
@pytest.mark.slow
def test_scores(data: Callable[[str], Path]) -> None:
    """LUDB taught the weights: its floors guard against regressions. QTDB did not."""
    data("ludb")
    rows = {(r.set, r.task, r.group, r.metric): r.value for r in evaluate(data("qtdb-subset").parent)}
    for name, sd in (("p_on", 15), ("p_off", 13), ("qrs_on", 9), ("qrs_off", 10), ("t_off", 22)):
        assert rows["LUDB", "boundary", name, "sd"] < sd
        assert abs(rows["LUDB", "boundary", name, "bias"]) < 3
    for name, least in (("p_peak", 0.98), ("qrs_peak", 0.999), ("t_peak", 0.985)):
        assert rows["LUDB", "boundary", name, "sensitivity"] >= least
        assert rows["LUDB", "boundary", name, "ppv"] >= 0.975
    assert rows["LUDB", "false P wave in fibrillation", "all", "rate"] <= 0.05
    for name in ("qrs_on", "t_off"):
        ours = rows["QTDB", "boundary, beats both readers marked", name, "sd"]
        assert ours < rows["QTDB", "second reader against first", name, "sd"]
