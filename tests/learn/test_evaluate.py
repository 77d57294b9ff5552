"""The evaluation frame: intervals against known values, and the suites on real data."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from carna.errors import InputError
from carna.learn.ecg_beats import matches
from carna.learn.evaluate import by_patient, evaluate


def test_the_patient_is_the_unit():
    """Many values of few patients are no more certain than the few patients."""
    few = by_patient([[0.0] * 50, [1.0] * 50])
    many = by_patient([[float(n % 2)] for n in range(100)])
    assert few == (0.0, 1.0)
    assert many[1] - many[0] < 0.25


def test_each_beat_is_matched_once():
    truth, found = np.array([100, 200, 300]), np.array([95, 104, 205, 380])
    assert matches(truth, found, 10) == 2
    assert matches(truth, found, 80) == 3
    assert matches(truth, np.zeros(0, int), 80) == 0


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="none of the sets"):
        evaluate("heart-locate", tmp_path)
    with pytest.raises(InputError, match="no suite"):
        evaluate("nothing", tmp_path)


@pytest.mark.data
@pytest.mark.slow
def test_beats(data: Callable[[str], Path]):
    """Floors a little under the measured figures; CPSC and SVDB never taught the detector."""
    rows = {(r.set, r.task, r.metric): r for r in evaluate("ecg-beats", data("ludb").parent)}
    floors = {
        "MIT-BIH": 0.997,
        "QTDB": 0.999,
        "LUDB": 0.999,
        "CPSC2021": 0.985,
        "CPSC2019": 0.965,
        "SVDB": 0.998,
    }
    for name, floor in floors.items():
        row = rows[name, "beats, one lead", "f1"]
        assert row.value > floor, name
        assert row.split == ("fitted" if name in ("MIT-BIH", "QTDB", "LUDB") else "development")
    assert rows["CPSC2021", "beats, all leads", "f1"].value > 0.995
