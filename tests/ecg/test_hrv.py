"""Heart rate variability against closed forms, brute force, and another program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from carna.ecg.hrv import DAY, SHORT, hrv, nn_intervals, sample_entropy, spectrum
from carna.ecg.kinds import NORMAL, UNKNOWN, VENTRICULAR
from carna.errors import InputError


def _beats(rr: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    at = np.concatenate([[0.0], np.cumsum(rr)])
    return at, np.full(len(at), NORMAL)


def _value(found: dict[str, float | None], name: str) -> float:
    value = found[name]
    assert value is not None
    return value


def test_alternating_intervals() -> None:
    """0.78, 0.82, 0.78 ...: SDNN 20, RMSSD 40, SD1 40/sqrt 2, no change above 50 ms."""
    rr = np.tile([0.78, 0.82], 200)
    found = dict(hrv(*_beats(rr)).values)
    n = _value(found, "sdnn_5min_ms")
    assert n == pytest.approx(20, rel=0.01)
    assert _value(found, "rmssd_ms") == pytest.approx(40)
    assert _value(found, "pnn50") == 0
    assert _value(found, "sd1_ms") == pytest.approx(40 / np.sqrt(2), rel=0.01)
    assert _value(found, "sd2_ms") == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize(
    ("hz", "band", "mean"), [(0.1, 1, 0.8), (0.25, 2, 0.8), (0.1, 1, 0.6), (0.3, 2, 1.0)]
)
def test_a_sine_has_the_power_of_a_sine(hz: float, band: int, mean: float) -> None:
    """Amplitude A gives A^2 / 2, all in its band; a little is lost by reading the sine at beats."""
    at = np.cumsum(np.full(round(300 / mean), mean))
    nn = mean + 0.02 * np.sin(2 * np.pi * hz * at)
    power = spectrum(np.cumsum(nn), nn)
    assert power[band] == pytest.approx(200, rel=0.08)
    assert sum(power) - power[band] < 10


def test_sample_entropy_is_what_counting_gives() -> None:
    x = np.random.default_rng(0).normal(0.8, 0.05, 60)
    r = 0.2 * x.std(ddof=1)

    def matches(m: int) -> int:
        n = len(x) - 2
        near = [np.abs(x[i : i + m] - x[j : j + m]).max() <= r for i in range(n) for j in range(n) if i != j]
        return sum(near)

    assert sample_entropy(x) == pytest.approx(-np.log(matches(3) / matches(2)))


def test_ectopy_takes_its_intervals_with_it() -> None:
    rr = np.full(400, 0.8)
    at, kind = _beats(rr)
    at[100] -= 0.1
    kind[100], kind[200] = VENTRICULAR, UNKNOWN
    good = nn_intervals(at, kind)
    assert np.flatnonzero(~good).tolist() == [99, 100, 199, 200]
    assert hrv(at, kind).values["sdnn_5min_ms"] == pytest.approx(0, abs=1e-6)


def test_a_missed_beat_is_an_outlier() -> None:
    at, kind = _beats(np.full(400, 0.8))
    at, kind = np.delete(at, 50), kind[1:]
    assert np.flatnonzero(~nn_intervals(at, kind)).tolist() == [49]


def test_nothing_is_said_of_what_is_too_short_or_too_broken() -> None:
    short = hrv(*_beats(np.full(100, 0.8)))
    assert all(short.values[name] is None for name in SHORT + DAY)
    assert short.why["rmssd_ms"] == "80 s, 300 s needed"
    at, kind = _beats(np.full(400, 0.8))
    kind[::4] = VENTRICULAR
    broken = hrv(at, kind)
    assert broken.why["sdnn_5min_ms"] == "no five minutes with 80 % NN intervals"
    assert broken.covered == pytest.approx(0.5, abs=0.01)


def test_a_day() -> None:
    """A slow swing between stretches gives SDANN, independent noise within them the SDNN index."""
    rng = np.random.default_rng(0)
    hours = 20
    n = round(hours * 3600 / 0.8)
    slow = 0.05 * np.sin(2 * np.pi * np.arange(n) * 0.8 / 7200)
    found = hrv(*_beats(0.8 + slow + rng.normal(0, 0.03, n)))
    assert found.why == {}
    values = dict(found.values)
    assert _value(values, "sdann_ms") == pytest.approx(50 / np.sqrt(2), rel=0.05)
    assert _value(values, "sdnn_index_ms") == pytest.approx(30, rel=0.05)
    assert _value(values, "sdnn_24h_ms") == pytest.approx(np.hypot(50 / np.sqrt(2), 30), rel=0.03)
    # a normal density of 46 ms: n / (n * bin * peak density)
    assert 10 < _value(values, "triangular_index") < 20


def test_times_and_kinds_must_agree() -> None:
    with pytest.raises(InputError, match="one kind a beat"):
        hrv(np.arange(5.0), np.zeros(4, np.int64))


@pytest.mark.data
def test_as_another_program_has_it(data: Callable[[str], Path]) -> None:
    """Five minutes of pyhrv's sample; figures computed with NeuroKit2 0.2.13 (spectra: its own estimator)."""
    nn = np.load(data("small-signals") / "SampleNNISeriesLong.npy") / 1000
    nn = nn[: np.searchsorted(np.cumsum(nn), 300.0)]
    change = np.diff(nn)
    assert 1000 * nn.std(ddof=1) == pytest.approx(76.798502)
    assert 1000 * np.sqrt(np.mean(change**2)) == pytest.approx(53.897326)
    assert sample_entropy(nn) == pytest.approx(1.484588, rel=1e-5)
    _, low, high = spectrum(np.cumsum(nn), nn)
    assert low == pytest.approx(3020, rel=0.2)
    assert high == pytest.approx(1274, rel=0.2)
    # seven intervals differ by more than 20 % from those around them: with them gone both are smaller
    found = dict(hrv(*_beats(nn)).values)
    assert 60 < _value(found, "sdnn_5min_ms") < 76.8
    assert 40 < _value(found, "rmssd_ms") < 53.9
