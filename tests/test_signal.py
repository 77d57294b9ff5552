"""Signals: what is refused, and that a signal can't be written to."""

import numpy as np
import pytest

from carna.errors import Cancelled, InputError
from carna.progress import Progress
from carna.signal import Signal, runs


def test_leads_by_name():
    signal = Signal(np.arange(12.0).reshape(3, 4), ("I", "II", "V1"), 500.0)
    assert signal.lead("II").tolist() == [4, 5, 6, 7]
    assert signal.pick(("V1", "I")).values[0].tolist() == [8, 9, 10, 11]
    assert signal.seconds == pytest.approx(0.008)
    with pytest.raises(InputError, match="no lead"):
        signal.lead("V6")
    with pytest.raises(ValueError, match="read-only"):
        signal.values[0, 0] = 1


def test_what_is_no_signal_is_refused():
    with pytest.raises(InputError, match="rate"):
        Signal(np.zeros((1, 4)), ("I",), -500.0)
    with pytest.raises(InputError, match="one row a lead"):
        Signal(np.zeros((2, 4)), ("I",), 500.0)
    with pytest.raises(InputError, match="named twice"):
        Signal(np.zeros((2, 4)), ("I", "I"), 500.0)


def test_runs_are_half_open():
    assert runs(np.array([True, False, True, True])).tolist() == [[0, 1], [2, 4]]
    assert runs(np.zeros(3, bool)).shape == (0, 2)


def test_progress_reports_and_stops():
    seen: list[float] = []
    progress = Progress(lambda done, what: seen.append(done))
    list(progress.part(0.5, 1.0).over(range(4), 4))
    assert seen == [0.625, 0.75, 0.875, 1.0]
    with pytest.raises(Cancelled):
        Progress(cancelled=lambda: True)(0.1)
