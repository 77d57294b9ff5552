"""Bad electrocardiograms: never an exception, never an invented number, "not assessable" with the reason."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from carna.app import Job, applications, run
from carna.case import Case
from carna.errors import Cancelled
from carna.findings import Absent, Curve, Findings, Measurement, Statement, from_json, to_json
from carna.phantom import virtual_holter
from carna.progress import Progress
from carna.study import Ecg, Lazy, Origin, Study

sys.path.insert(0, str(Path(__file__).parents[1] / "ecg"))
from synthetic import lead, regular, twelve

Array = NDArray[np.float64]
TWELVE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
HZ = 250.0
WHO = replace(virtual_holter().studies[0].patient, birth_date="", sex=None)


@cache
def heart(seconds: float, rate_hz: float = HZ, bpm: float = 70.0, wide: bool = False) -> Array:
    """Twelve leads that obey Einthoven."""
    beats = regular(bpm, seconds)
    one = lead(beats, seconds, rate_hz, np.full(len(beats), wide))
    x = twelve(one, np.random.default_rng(0))
    x[2], x[3], x[4], x[5] = x[1] - x[0], -(x[0] + x[1]) / 2, x[0] - x[1] / 2, x[1] - x[0] / 2
    return x


def reading(
    app: str, ecg: Array, leads: tuple[str, ...] = TWELVE, rate_hz: float = HZ, **settings: object
) -> Findings:
    """Run, with progress that only grows and findings that survive JSON."""
    part = Ecg(Origin("1.2.3.4", "ECG", "ecg", 1), Lazy.of(np.asarray(ecg, np.float32)), leads, rate_hz)
    seen: list[float] = []
    job = Job(progress=Progress(lambda done, _: seen.append(done)))
    case = Case(WHO, (Study("1.2.3", WHO, parts=(part,)),))
    found = run(applications()[app], case, "1.2.3", settings=settings, job=job)
    assert seen == sorted(seen) and all(0 <= s <= 1 for s in seen)
    text, blobs = to_json(found)
    assert to_json(from_json(text, blobs.__getitem__))[0] == text
    for item in found.items:
        if isinstance(item, Measurement):
            assert np.isfinite(item.value), item.id
        if isinstance(item, Curve):
            assert np.isfinite(item.y).all(), item.id
        if isinstance(item, Absent):
            assert item.why, item.id
    return found


def numbers(found: Findings) -> dict[str, float]:
    return {i.id: i.value for i in found.items if isinstance(i, Measurement)}


def verdicts(found: Findings, prefix: tuple[str, ...] = ("criteria.", "rhythm.")) -> dict[str, str]:
    return {i.id: i.verdict for i in found.items if isinstance(i, Statement) and i.id.startswith(prefix)}


def _vf(t: Array) -> Array:
    chance = np.random.default_rng(2)
    turn = np.cumsum(5 + 0.02 * np.cumsum(chance.normal(0, 0.4, len(t)))) / HZ
    wave = np.sin(2 * np.pi * turn) * (1 + 0.4 * np.sin(np.pi * t))
    return np.linspace(0.3, 1, 12)[:, None] * wave + chance.normal(0, 0.02, (12, len(t)))


def _noise(x: Array, size: float) -> Array:
    return np.asarray(np.random.default_rng(1).normal(0, size, x.shape))


# What nobody can read: no number of a beat, no criterion judged.
UNREADABLE: dict[str, Callable[[Array, Array], Array]] = {
    "flat": lambda x, t: x * 0,
    "flat, not at zero": lambda x, t: x * 0 + 1,
    "asystole": lambda x, t: _noise(x, 0.008) + 0.02 * np.sin(0.6 * np.pi * t),
    "noise": lambda x, t: _noise(x, 0.3),
    "mains alone": lambda x, t: x * 0 + np.sin(2 * np.pi * 50 * t),
    "ventricular fibrillation": lambda x, t: _vf(t),
    "ramp alone": lambda x, t: x * 0 + 5 * t,
    "nothing recorded": lambda x, t: x * np.nan,
    "one sample": lambda x, t: np.where(np.arange(len(t)) == 700, 1.0, np.nan) * np.ones((12, 1)),
    "infinite": lambda x, t: x * 0 + np.inf,
    "beyond any voltage": lambda x, t: x * 1e30 + 1e37,
    "microvolts said to be volts": lambda x, t: x / 1000,
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize(("app", "seconds"), [("ecg_reading", 10.0), ("holter_reading", 130.0)])
def test_nothing_is_read_from_nothing(app: str, seconds: float, name: str) -> None:
    x = heart(seconds)
    leads = TWELVE if app == "ecg_reading" else TWELVE[:3]
    found = reading(app, UNREADABLE[name](x, np.arange(x.shape[1]) / HZ)[: len(leads)], leads)
    assert {k: v for k, v in numbers(found).items() if k != "analysable"} == {}
    assert set(verdicts(found).values()) == {"not assessable"}
    if app == "ecg_reading":
        urgent = verdicts(found, ("look_now.",))
        assert urgent.pop("look_now.unread") == "met"
        told = {"look_now.ventricular_fibrillation_or_flutter_pattern": "met"}
        assert urgent == (told if name == "ventricular fibrillation" else {})


# What can be read in spite of all: the rate is right, and the page survives.
READABLE: dict[str, Callable[[Array, Array], Array]] = {
    "as it is": lambda x, t: x,
    "clipped": lambda x, t: np.clip(x, -0.2, 0.2),
    "noisy": lambda x, t: x + _noise(x, 0.2),
    "offset": lambda x, t: x + 3000,
    "slow ramp": lambda x, t: x + t,
    "gain unknown": lambda x, t: x * 1000,
    "three leads missing": lambda x, t: np.where(np.isin(np.arange(12), (0, 5, 8))[:, None], np.nan, x),
    "samples lost": lambda x, t: np.where(np.random.default_rng(3).random(x.shape) < 0.1, np.nan, x),
    "infinite now and then": lambda x, t: np.where(np.arange(len(t)) % 500 == 7, np.inf, x),
    "overflow now and then": lambda x, t: np.where(np.arange(len(t)) % 499 == 7, -163.84, x),
    "one lead twelve times": lambda x, t: np.repeat(x[1:2], 12, 0),
    "inverted": lambda x, t: -x,
}


@pytest.mark.parametrize("name", READABLE)
@pytest.mark.parametrize(("app", "seconds"), [("ecg_reading", 10.0), ("holter_reading", 130.0)])
def test_what_can_be_read_is_read(app: str, seconds: float, name: str) -> None:
    x = heart(seconds)
    leads = TWELVE if app == "ecg_reading" else TWELVE[:3]
    got = numbers(reading(app, READABLE[name](x, np.arange(x.shape[1]) / HZ)[: len(leads)], leads))
    assert got.get("rate", got.get("rate.mean")) == pytest.approx(70, abs=1)


@pytest.mark.parametrize("name", ["clipped", "gain unknown"])
def test_amplitudes_of_untrue_leads_are_kept_back(name: str) -> None:
    x = heart(10.0)
    found = reading("ecg_reading", READABLE[name](x, np.arange(x.shape[1]) / HZ))
    poor = {k for k, v in verdicts(found, ("lead.",)).items() if v == "not met"}
    assert len(poor) >= 11  # aVL is too small to be clipped: noisy, or good
    assert not [
        k
        for k in numbers(found)
        if k.startswith(("qrs", "qt", "axis.", *(f"{p}." for p in poor - {"lead.avl"})))
    ]
    heights = [v for k, v in verdicts(found).items() if "hypertrophy" in k or "st_elevation" in k]
    assert heights and set(heights) == {"not assessable"}
    assert not verdicts(found, ("look_now.",))


def test_hum_that_hides_the_waves_gives_no_interval() -> None:
    x = heart(10.0, 500.0)
    got = numbers(reading("ecg_reading", x + np.sin(2 * np.pi * 50 * np.arange(5000) / 500), rate_hz=500.0))
    assert got["rate"] == pytest.approx(70, abs=1) and "qrs" not in got and "qt" not in got


def test_limb_channels_that_contradict_give_no_axis_and_say_so() -> None:
    found = reading("ecg_reading", np.repeat(heart(10.0)[1:2], 12, 0))
    assert not [k for k in numbers(found) if k.startswith("axis.")]
    assert verdicts(found, ("look_now.",)) == {"look_now.channels": "met"}
    assert "contradict" in next(i.why for i in found.items if i.id == "axis.qrs" and isinstance(i, Absent))


@pytest.mark.parametrize(
    "leads",
    [
        ("V1",),
        ("MLII", "ECG1"),
        ("II", "ii", "II ", "Lead II"),
        ("V1", "v1", "V-1"),
        ("", "-", "\u00e9", "a" * 200),
        ("channel_2", "", "V9"),
    ],
)
def test_any_names_of_leads(leads: tuple[str, ...]) -> None:
    found = reading("ecg_reading", heart(10.0)[: len(leads)], leads)
    assert numbers(found)["rate"] == pytest.approx(70, abs=1)
    assert len(verdicts(found, ("lead.",))) == len(leads)


def test_a_lead_recorded_twice_is_refused() -> None:
    found = reading("ecg_reading", heart(10.0)[:2], ("II", "II"))
    assert all(isinstance(i, Absent) and "twice" in i.why for i in found.items)


@pytest.mark.parametrize("rate_hz", [100.0, 101.3, 2000.0])
def test_any_sampling_rate(rate_hz: float) -> None:
    got = numbers(reading("ecg_reading", heart(10.0, rate_hz), rate_hz=rate_hz))
    assert got["rate"] == pytest.approx(70, abs=1) and got["qrs"] == pytest.approx(106, abs=6)


@pytest.mark.parametrize(
    ("app", "seconds", "rate_hz"),
    [("ecg_reading", 10.0, 50.0), ("ecg_reading", 1.0, HZ), ("ecg_reading", 121.0, HZ),
     ("holter_reading", 1.0, HZ), ("holter_reading", 119.0, HZ)],
)  # fmt: skip
def test_what_is_no_such_recording_is_absent_with_the_reason(
    app: str, seconds: float, rate_hz: float
) -> None:
    found = reading(app, heart(seconds, rate_hz) if seconds > 1 else heart(2.0)[:, :250], rate_hz=rate_hz)
    assert all(isinstance(i, Absent) for i in found.items)


@pytest.mark.parametrize(("bpm", "wide"), [(20.0, True), (30.0, False), (200.0, False), (280.0, False)])
@pytest.mark.parametrize(("app", "seconds"), [("ecg_reading", 10.0), ("holter_reading", 130.0)])
def test_any_rate_is_right_or_absent(app: str, seconds: float, bpm: float, wide: bool) -> None:
    got = numbers(reading(app, heart(seconds, HZ, bpm, wide)))
    told = got.get("rate", got.get("rate.mean"))
    assert told is None or told == pytest.approx(bpm, abs=1)


def test_paced_spikes_and_fibrillation() -> None:
    x = heart(10.0, 500.0).copy()
    for beat in regular(70.0, 10.0):
        x[:, int((beat - 0.04) * 500) :][:, :2] += 5
    assert verdicts(reading("ecg_reading", x, rate_hz=500.0))["criteria.paced_rhythm"] == "met"
    chance = np.random.default_rng(1)
    beats = np.cumsum(chance.uniform(0.35, 1.1, 20))
    x = twelve(lead(beats[beats < 9.7], 10.0, HZ), chance)
    assert verdicts(reading("ecg_reading", x))["criteria.sinus_rhythm"] != "met"


@pytest.mark.parametrize(
    ("age", "adult"), [(-1.0, False), (0.0, False), (17.9, False), (18.0, True), (130.0, True)]
)
def test_limits_of_adults_hold_for_adults(age: float, adult: bool) -> None:
    found = verdicts(reading("ecg_reading", heart(10.0), age=age, sex="male"))
    told = found["criteria.left_ventricular_hypertrophy_sokolow_lyon"]
    assert (told == "not assessable") != adult


def test_a_holter_mostly_lost_says_not_assessable() -> None:
    x = heart(130.0).copy()
    x[:, x.shape[1] // 5 :] = 0
    found = reading("holter_reading", x)
    assert set(verdicts(found).values()) == {"not assessable"} and numbers(found)["analysable"] < 0.5


def test_a_printed_page_of_four_columns_is_read_or_left() -> None:
    x = heart(10.0).copy()
    for k in range(12):
        x[k, : 625 * (k // 3)], x[k, 625 * (k // 3 + 1) :] = np.nan, np.nan
    got = numbers(reading("ecg_reading", x))
    assert got["rate"] == pytest.approx(70, abs=3)
    assert "qrs" not in got or got["qrs"] == pytest.approx(106, abs=12)


def test_a_holter_stops_within_a_second_of_being_asked() -> None:
    x = np.tile(heart(60.0, 250.0)[:3], (1, 40))
    part = Ecg(Origin("1.2.3.4", "ECG", "ecg", 1), Lazy.of(x.astype(np.float32)), TWELVE[:3], 250.0)
    asked: list[float] = []

    def report(done: float, what: str) -> None:
        asked.append(time.perf_counter())

    begun = time.perf_counter()
    case = Case(WHO, (Study("1.2.3", WHO, parts=(part,)),))
    run(applications()["holter_reading"], case, "1.2.3", job=Job(progress=Progress(report)))
    assert np.diff([begun, *asked]).max() < 2.0  # the machine of the test may be busy
    with pytest.raises(Cancelled):
        run(
            applications()["holter_reading"],
            case,
            "1.2.3",
            job=Job(progress=Progress(cancelled=lambda: True)),
        )
