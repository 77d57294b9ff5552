"""The measurement matrix against closed forms and against a cart's own values."""

from __future__ import annotations

import numpy as np
import pytest

from carna.ecg import find_beats
from carna.ecg.delineate import FIDUCIALS, delineate
from carna.ecg.measure import Interval, corrected, measure
from carna.ecg.median import Fiducials, MedianBeat, global_fiducials, median_beat
from carna.errors import InputError

HZ, R = 1000.0, 450
LEADS = ("I", "II", "aVF")


def beat(rows: np.ndarray) -> MedianBeat:
    n = len(rows)
    return MedianBeat(rows, HZ, R, np.arange(5), np.arange(5) * 1000.0, np.full(n, 5), np.full(n, 0.001))


def fiducials(leads: int, **ms: float) -> Fiducials:
    each = np.full((9, leads), np.nan)
    for name, value in ms.items():
        each[FIDUCIALS.index(name)] = value
    both = {
        name: ((ms[name], 4.0) if name in ms else None)
        for name in ("p_on", "p_off", "qrs_on", "qrs_off", "t_off")
    }
    return Fiducials(each, np.where(np.isnan(each), np.nan, 4.0), **both, definition="as given")


def triangle(n: int, start: int, stop: int, height: float) -> np.ndarray:
    """A triangle whose feet are at ``start`` and ``stop`` ms after R: area height * width / 2."""
    out = np.zeros(n)
    t = np.arange(start, stop + 1)
    out[R + t] = height * (1 - np.abs(2 * (t - start) / (stop - start) - 1))
    return out


def simple() -> tuple[np.ndarray, Fiducials]:
    """One lead: P 0.15 mV, Q -0.1, R 1.0, S -0.3, ST +0.05, T 0.4 mV, on a level of 0.5 mV."""
    n = 1200
    wave = triangle(n, -160, -60, 0.15) + triangle(n, -40, -20, -0.1)
    wave += triangle(n, -20, 20, 1.0) + triangle(n, 20, 50, -0.3)
    wave[R + 50 : R + 200] = 0.05
    wave += triangle(n, 200, 360, 0.4)
    f = fiducials(
        1,
        p_on=-160,
        p_peak=-110,
        p_off=-60,
        qrs_on=-40,
        qrs_peak=0,
        qrs_off=50,
        t_on=200,
        t_peak=280,
        t_off=360,
    )
    return wave[None] + 0.5, f


def test_one_lead_measured() -> None:
    rows, f = simple()
    m = measure(beat(rows), f, ("V5",), rr_ms=1000.0)
    lead = m.leads["V5"]
    assert lead.p_mV == pytest.approx(0.15, abs=0.005)
    assert lead.p_ms == 100
    assert lead.p_area == pytest.approx(0.15 * 100 / 2, rel=0.02)
    assert lead.q is not None
    assert lead.q.mV == pytest.approx(-0.1, abs=0.01)
    assert lead.q.ms == pytest.approx(20, abs=2)
    assert lead.r is not None
    assert lead.r.mV == pytest.approx(1.0, abs=0.01)
    assert lead.r.ms == pytest.approx(40, abs=2)
    assert lead.r_peak_ms == pytest.approx(40, abs=1)
    assert lead.s is not None
    assert lead.s.mV == pytest.approx(-0.3, abs=0.01)
    assert lead.r2 is None
    assert lead.s2 is None
    assert not lead.qs
    assert lead.j_mV == pytest.approx(0.05, abs=0.005)
    assert lead.st60_mV == pytest.approx(0.05, abs=0.005)
    assert lead.st_slope_mV_per_s == pytest.approx(0, abs=0.01)
    assert lead.t_mV == pytest.approx(0.4, abs=0.01)
    assert lead.t_negative_mV == 0
    assert lead.t_area == pytest.approx(0.4 * 160 / 2, rel=0.02)
    assert lead.qrs_area == pytest.approx(-0.1 * 10 + 1.0 * 20 - 0.3 * 15, abs=0.1)
    assert m.qrs == Interval(90, pytest.approx(4 * np.sqrt(2)), "as given")
    assert m.pr is not None
    assert m.pr.ms == 120
    assert m.p is not None
    assert m.p.ms == 100
    assert m.qt is not None
    assert m.qt.ms == 400
    assert m.jt is None
    assert m.qrs_axis is None
    assert m.beats == 5


def test_wide_complexes_have_jt() -> None:
    rows, _ = simple()
    m = measure(beat(rows), fiducials(1, qrs_on=-60, qrs_off=70, t_off=360), ("V1",))
    assert m.jt is not None
    assert m.jt.ms == 290
    assert m.pr is None
    assert m.p is None
    assert m.qtc_ms == {}
    assert m.leads["V1"].p_mV is None
    assert m.leads["V1"].qrs_ms == 130


def test_waves_are_named() -> None:
    n = 1200

    def named(*parts: tuple[int, int, float]) -> object:
        rows = sum((triangle(n, *p) for p in parts), np.zeros(n))[None]
        return measure(beat(rows), fiducials(1, qrs_on=-60, qrs_off=80), ("V1",)).leads["V1"]

    qs = named((-50, 60, -1.2))
    assert qs.qs  # type: ignore[attr-defined]
    assert qs.q.mV == pytest.approx(-1.2, abs=0.01)  # type: ignore[attr-defined]
    assert qs.r is None  # type: ignore[attr-defined]
    rsr = named((-50, -20, 0.3), (-20, 20, -0.8), (20, 70, 0.6))
    assert rsr.q is None  # type: ignore[attr-defined]
    assert rsr.r.mV == pytest.approx(0.3, abs=0.01)  # type: ignore[attr-defined]
    assert rsr.s.mV == pytest.approx(-0.8, abs=0.01)  # type: ignore[attr-defined]
    assert rsr.r2.mV == pytest.approx(0.6, abs=0.01)  # type: ignore[attr-defined]
    assert rsr.r_peak_ms == pytest.approx(60 + 45, abs=1)  # type: ignore[attr-defined]
    speck = named((-50, -30, 0.015), (-30, 40, -1.0))  # 15 uV is no wave
    assert speck.qs  # type: ignore[attr-defined]


@pytest.mark.parametrize("degrees", [-120.0, -30.0, 0.0, 45.0, 60.0, 95.0, 170.0])
@pytest.mark.parametrize("leads", [("I", "II"), ("I", "aVF"), ("II", "III"), ("I", "III"), ("II", "aVF")])
def test_axes_of_a_known_dipole(degrees: float, leads: tuple[str, ...]) -> None:
    # Einthoven's triangle: the projection on lead axes at 0, 60 and 120 degrees; aVF = (II + III) / 2.
    n, pulse = 1200, triangle(1200, -40, 40, 1.0) + triangle(1200, 200, 360, 0.3)

    def on(axis: float) -> np.ndarray:
        return pulse * np.cos(np.radians(degrees - axis))

    rows = {"I": on(0), "II": on(60), "III": on(120), "aVF": (on(60) + on(120)) / 2}
    f = fiducials(2, qrs_on=-45, qrs_off=45, t_off=365)
    m = measure(beat(np.stack([rows[k] for k in leads])), f, leads)
    for axis in (m.qrs_axis, m.t_axis):
        assert axis is not None
        assert (axis - degrees + 180) % 360 - 180 == pytest.approx(0, abs=0.5)
    assert n == len(pulse)


def test_no_axis_without_direction() -> None:
    n = 1200
    rows = np.stack([triangle(n, -40, 0, 1.0) + triangle(n, 0, 40, -1.0)] * 2)
    f = fiducials(2, qrs_on=-45, qrs_off=45)
    assert measure(beat(rows), f, ("I", "aVF")).qrs_axis is None  # as much up as down
    assert measure(beat(rows), f, ("V1", "V2")).qrs_axis is None


def test_rate_corrections() -> None:
    qt = Interval(400.0, 10.0, "m")
    at_60 = corrected(qt, 1000.0)
    assert {k: v.ms for k, v in at_60.items()} == pytest.approx(
        {"Bazett": 400, "Fridericia": 400, "Framingham": 400, "Hodges": 400}
    )
    fast = corrected(qt, 600.0)
    assert fast["Bazett"].ms == pytest.approx(400 / np.sqrt(0.6))
    assert fast["Bazett"].sd_ms == pytest.approx(10 / np.sqrt(0.6))
    assert fast["Fridericia"].ms == pytest.approx(400 / np.cbrt(0.6))
    assert fast["Framingham"].ms == pytest.approx(400 + 154 * 0.4)
    assert fast["Hodges"].ms == pytest.approx(400 + 1.75 * 40)
    with pytest.raises(InputError):
        corrected(qt, 0.0)


def test_what_cannot_be_assessed_is_none() -> None:
    rows, f = simple()
    rows = np.vstack([rows, np.full_like(rows, np.nan)])
    wide = Fiducials(
        np.hstack([f.lead_ms, np.full((9, 1), np.nan)]),
        np.hstack([f.lead_sd_ms, np.full((9, 1), np.nan)]),
        f.p_on,
        f.p_off,
        f.qrs_on,
        f.qrs_off,
        f.t_off,
        "as given",
    )
    m = measure(beat(rows), wide, ("I", "II"))
    assert m.leads["II"].r is None
    assert m.leads["II"].j_mV is None
    assert m.leads["I"].r is not None
    nothing = measure(beat(rows), fiducials(2), ("I", "II"))
    assert nothing.qrs is None
    assert nothing.qt is None
    assert nothing.leads["I"].r is None
    with pytest.raises(InputError):
        measure(beat(rows), wide, ("I",))


def test_agrees_with_a_cart() -> None:
    """pydicom's recording: the cart says PR 161, QRS 75, QT 368 ms, axes 74, 52, 57 degrees (agreement)."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file

    ds = pydicom.dcmread(str(get_testdata_file("waveform_ecg.dcm")))
    group = ds.WaveformSequence[0]
    hz = float(group.SamplingFrequency)
    ecg = ds.waveform_array(0).T / 1000
    names = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    beats = find_beats(ecg, hz).sample
    median = median_beat(ecg, hz, beats)
    assert median is not None
    waves = delineate(ecg, hz, beats)
    m = measure(
        median, global_fiducials(waves, median, hz), names, rr_ms=float(np.diff(beats).mean() / hz * 1000)
    )
    assert m.pr is not None
    assert m.qrs is not None
    assert m.qt is not None
    assert m.pr.ms == pytest.approx(161, abs=20)
    assert m.qrs.ms == pytest.approx(75, abs=20)
    assert m.qt.ms == pytest.approx(368, abs=35)
    assert m.p_axis == pytest.approx(74, abs=10)
    assert m.qrs_axis == pytest.approx(52, abs=10)
    assert m.t_axis == pytest.approx(57, abs=10)
    assert m.rr_ms == pytest.approx(982, abs=3)
