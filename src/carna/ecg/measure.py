"""The measurement matrix: intervals, axes, and what each lead shows, from a median beat and its boundaries.

Amplitudes are measured from the level of the last 16 ms before the global QRS onset. Every number is None
when it cannot be assessed: a wave not found, a lead not recorded, fewer leads than an axis needs.

**QRS waves.** Between global QRS onset and end the curve is cut where it crosses the level. A piece is a
wave when it is at least 20 uV high and 6 ms long (the limits of the Common Standards for
Electrocardiography, Willems et al. 1985, doi:10.1093/oxfordjournals.eurheartj.a061958, as handed down) and
no lower than 2 % of the complex. The first upward wave is R, what is down before it Q, after it S, the next
up R', down S'. A complex with no upward wave is QS.

**Rate correction.** QTc after Bazett 1920 (QT / RR^1/2), Fridericia 1920 (QT / RR^1/3), Framingham (QT +
154 ms (1 - RR); Sagie et al. 1992, doi:10.1016/0002-9149(92)90562-D) and Hodges (QT + 1.75 ms (HR - 60);
Hodges et al. 1983), RR in seconds, HR per minute.

**Axes** are those of the net area over the wave in the frontal plane: x from I, y from aVF times 2/sqrt 3,
since aVF is an augmented lead (Goldberger 1942). Where I or aVF is not recorded it follows from two other
limb leads. The T axis is that of the last two thirds of ST-T.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from carna.ecg.delineate import FIDUCIALS
from carna.ecg.median import Fiducials, MedianBeat
from carna.ecg.traces import Floats
from carna.errors import InputError

LEVEL_MS = 16.0
LEAST_WAVE_MV, LEAST_WAVE_MS, LEAST_SHARE = 0.02, 6.0, 0.02
LEAST_AREA_MV_MS = 0.2  # a smaller net area has no direction to speak of
LEAST_FLATNESS = 0.1  # of the largest absolute area: a net area below it is indeterminate
WIDE_QRS_MS = 120.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A duration, how certain it is, and how it was measured."""

    ms: float
    sd_ms: float
    method: str


@dataclass(frozen=True, slots=True)
class Deflection:
    """One wave of a QRS complex: signed height (mV), duration (ms), peak after the QRS onset (ms)."""

    mV: float
    ms: float
    peak_ms: float


@dataclass(frozen=True, slots=True)
class LeadMeasures:
    """What one lead shows; None where it cannot be assessed.

    Attributes
    ----------
    p_mV, p_negative_mV : float or None
        Highest and lowest point of P above the line from its onset to its end; None when P is not seen here.
    p_ms : float or None
        Duration of P in this lead.
    q, r, s, r2, s2 : Deflection or None
        Waves of the complex; ``r2`` is R', ``s2`` S'. None: no such wave.
    qs : bool
        There is no upward wave: what is given as ``q`` is the QS complex.
    qrs_ms : float or None
        Duration of QRS in this lead.
    r_peak_ms : float or None
        From the global QRS onset to the peak of the last R wave.
    j_mV, st20_mV, st40_mV, st60_mV, st80_mV : float or None
        Level at the global QRS end, and 20 to 80 ms after it.
    st_slope_mV_per_s : float or None
        From J to J + 80 ms.
    t_mV, t_negative_mV : float or None
        Highest and lowest point of T, above the QRS-onset level; 0 when the wave lies on the other side.
    p_area, qrs_area, t_area : float or None
        Net areas, mV ms.
    noise_mV : float
        Standard error of the median beat.
    """

    p_mV: float | None = None
    p_negative_mV: float | None = None
    p_ms: float | None = None
    q: Deflection | None = None
    r: Deflection | None = None
    s: Deflection | None = None
    r2: Deflection | None = None
    s2: Deflection | None = None
    qs: bool = False
    qrs_ms: float | None = None
    r_peak_ms: float | None = None
    j_mV: float | None = None
    st20_mV: float | None = None
    st40_mV: float | None = None
    st60_mV: float | None = None
    st80_mV: float | None = None
    st_slope_mV_per_s: float | None = None
    t_mV: float | None = None
    t_negative_mV: float | None = None
    p_area: float | None = None
    qrs_area: float | None = None
    t_area: float | None = None
    noise_mV: float | None = None


@dataclass(frozen=True, slots=True)
class Matrix:
    """The measurements of an electrocardiogram.

    Attributes
    ----------
    p, pr, qrs, qt, jt : Interval or None
        P duration, P onset to QRS onset, QRS duration, QRS onset to T end, and from QRS end to T end (only
        when QRS lasts 120 ms or more).
    rr_ms : float or None
        The RR interval the corrections use.
    qtc_ms : dict of str to Interval
        "Bazett", "Fridericia", "Framingham", "Hodges"; empty without QT or RR.
    p_axis, qrs_axis, t_axis : float or None
        Degrees in the frontal plane, -180 to 180, 0 to the left, 90 to the feet.
    leads : dict of str to LeadMeasures
    beats : int
        Beats in the median.
    """

    p: Interval | None
    pr: Interval | None
    qrs: Interval | None
    qt: Interval | None
    jt: Interval | None
    rr_ms: float | None
    qtc_ms: dict[str, Interval]
    p_axis: float | None
    qrs_axis: float | None
    t_axis: float | None
    leads: dict[str, LeadMeasures]
    beats: int


def measure(
    median: MedianBeat, fiducials: Fiducials, leads: tuple[str, ...], *, rr_ms: float | None = None
) -> Matrix:
    """Measure a median beat.

    Parameters
    ----------
    median, fiducials
        As from `carna.ecg.median`.
    leads : tuple of str
        Names of the rows; axes need two of I, II, III, aVF.
    rr_ms : float, optional
        RR interval at which the beats were recorded, ms: without it no QTc.

    Returns
    -------
    Matrix

    Raises
    ------
    InputError
        If there is not one name for each lead.
    """
    if len(leads) != len(median.mV):
        raise InputError(f"{len(median.mV)} leads with {len(leads)} names", needed="one name per lead")
    f = fiducials
    named = f.definition
    qrs, qt = _interval(f.qrs_on, f.qrs_off, named), _interval(f.qrs_on, f.t_off, named)
    each = {name: _lead(median, f, k) for k, name in enumerate(leads)}
    return Matrix(
        p=_interval(f.p_on, f.p_off, named),
        pr=_interval(f.p_on, f.qrs_on, named),
        qrs=qrs,
        qt=qt,
        jt=_interval(f.qrs_off, f.t_off, named) if qrs is not None and qrs.ms >= WIDE_QRS_MS else None,
        rr_ms=rr_ms,
        qtc_ms=corrected(qt, rr_ms) if qt is not None and rr_ms is not None else {},
        p_axis=_axis(median, leads, f.p_on, f.p_off, f.qrs_on),
        qrs_axis=_axis(median, leads, f.qrs_on, f.qrs_off, f.qrs_on),
        t_axis=_axis(median, leads, f.qrs_off, f.t_off, f.qrs_on, repolarisation=True),
        leads=each,
        beats=len(median.beats),
    )


def _interval(
    start: tuple[float, float] | None, stop: tuple[float, float] | None, method: str
) -> Interval | None:
    if start is None or stop is None or stop[0] <= start[0]:
        return None
    return Interval(stop[0] - start[0], float(np.hypot(start[1], stop[1])), method)


def corrected(qt: Interval, rr_ms: float) -> dict[str, Interval]:
    """Correct QT for rate in the four usual ways; the deviation scales with the formula.

    >>> round(corrected(Interval(400.0, 4.0, ""), 640.0)["Bazett"].ms)
    500
    """
    if not rr_ms > 0:
        raise InputError(f"an RR interval of {rr_ms} ms", needed="above 0")
    rr, ms = rr_ms / 1000, qt.ms
    values = {
        "Bazett": (ms / rr**0.5, rr**-0.5),
        "Fridericia": (ms / rr ** (1 / 3), rr ** (-1 / 3)),
        "Framingham": (ms + 154 * (1 - rr), 1.0),
        "Hodges": (ms + 1.75 * (60 / rr - 60), 1.0),
    }
    return {
        name: Interval(value, qt.sd_ms * scale, f"{name}; QT: {qt.method}")
        for name, (value, scale) in values.items()
    }


def _sample(median: MedianBeat, ms: float) -> int:
    return int(np.clip(round(median.r + ms * median.rate_hz / 1000), 0, median.mV.shape[1] - 1))


def _level(median: MedianBeat, lead: int, onset_ms: float) -> float:
    """Mean over the 16 ms before QRS onset, mV."""
    stop = _sample(median, onset_ms)
    start = max(0, stop - round(LEVEL_MS * median.rate_hz / 1000))
    return float(median.mV[lead, start : stop + 1].mean())


def _lead(median: MedianBeat, f: Fiducials, lead: int) -> LeadMeasures:
    """Measure one lead."""
    if f.qrs_on is None or f.qrs_off is None or not np.isfinite(median.mV[lead]).all():
        return LeadMeasures()
    rate, wave = median.rate_hz, median.mV[lead] - _level(median, lead, f.qrs_on[0])
    own = dict(zip(FIDUCIALS, f.lead_ms[:, lead].tolist(), strict=True))
    values: dict[str, object] = dict(_complex(wave, median, f.qrs_on[0], f.qrs_off[0]))
    j = _sample(median, f.qrs_off[0])
    values["qrs_area"] = float(wave[_sample(median, f.qrs_on[0]) : j + 1].sum() * 1000 / rate)
    if np.isfinite(own["qrs_on"]) and np.isfinite(own["qrs_off"]):
        values["qrs_ms"] = own["qrs_off"] - own["qrs_on"]
    values["j_mV"] = float(wave[j])
    for after in (20, 40, 60, 80):
        at = f.qrs_off[0] + after
        # ST must end before T does, and lie within the median beat
        if _sample(median, at) < len(wave) - 1 and (f.t_off is None or at < f.t_off[0]):
            values[f"st{after}_mV"] = float(wave[_sample(median, at)])
    if "st80_mV" in values:
        values["st_slope_mV_per_s"] = (
            float(wave[_sample(median, f.qrs_off[0] + 80)]) - float(wave[j])
        ) / 0.08
    a, b = (_sample(median, own[k]) if np.isfinite(own[k]) else 0 for k in ("p_on", "p_off"))
    if b > a > 0:
        p = median.mV[lead, a : b + 1]
        p = p - np.linspace(p[0], p[-1], len(p))
        values |= {
            "p_mV": float(p.max()),
            "p_negative_mV": float(p.min()),
            "p_ms": own["p_off"] - own["p_on"],
        }
        values["p_area"] = float(p.sum() * 1000 / rate)
    start = max(own["t_on"], f.qrs_off[0]) if np.isfinite(own["t_on"]) else f.qrs_off[0]
    if np.isfinite(own["t_off"]) and own["t_off"] > start:
        t = wave[_sample(median, start) : _sample(median, own["t_off"]) + 1]
        values |= {"t_mV": max(float(t.max()), 0.0), "t_negative_mV": min(float(t.min()), 0.0)}
        values["t_area"] = float(t.sum() * 1000 / rate)
    return LeadMeasures(noise_mV=_number(median.noise_mV[lead]), **values)  # type: ignore[arg-type]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _complex(wave: Floats, median: MedianBeat, on_ms: float, off_ms: float) -> dict[str, object]:
    """Cut QRS where it crosses its level and name the waves."""
    a, b = _sample(median, on_ms), _sample(median, off_ms)
    part, step = wave[a : b + 1], 1000 / median.rate_hz
    edges = np.flatnonzero(np.diff(np.sign(part)) != 0) + 1
    least = max(LEAST_WAVE_MV, LEAST_SHARE * float(np.abs(part).max(initial=0)))
    waves = []
    for start, stop in itertools.pairwise([0, *edges.tolist(), len(part)]):
        piece = part[start:stop]
        if not len(piece):
            continue
        top = int(np.abs(piece).argmax())
        if abs(piece[top]) >= least and len(piece) * step >= LEAST_WAVE_MS:
            waves.append(Deflection(float(piece[top]), len(piece) * step, float((start + top) * step)))
    return _named(_merged(waves))


def _merged(waves: list[Deflection]) -> list[Deflection]:
    """Join neighbours of one sign: what lay between them was no wave."""
    out: list[Deflection] = []
    for w in waves:
        if out and out[-1].mV * w.mV > 0:
            top = max(out[-1], w, key=lambda d: abs(d.mV))
            out[-1] = Deflection(top.mV, out[-1].ms + w.ms, top.peak_ms)
        else:
            out.append(w)
    return out


def _named(waves: list[Deflection]) -> dict[str, object]:
    """Name waves of alternating sign: Q before the first upward wave, then R, S, R', S'."""
    if not waves:
        return {}
    if all(w.mV < 0 for w in waves):
        return {"q": waves[0], "qs": True}
    named: dict[str, object] = {}
    if waves[0].mV < 0:
        named["q"], waves = waves[0], waves[1:]
    named |= dict(zip(("r", "s", "r2", "s2"), waves, strict=False))
    last = named.get("r2", named["r"])
    assert isinstance(last, Deflection)
    named["r_peak_ms"] = last.peak_ms
    return named


def _axis(
    median: MedianBeat,
    leads: tuple[str, ...],
    start: tuple[float, float] | None,
    stop: tuple[float, float] | None,
    level: tuple[float, float] | None,
    *,
    repolarisation: bool = False,
) -> float | None:
    """Direction of the net area in the frontal plane, degrees."""
    if start is None or stop is None or level is None:
        return None
    # of ST-T only the last two thirds: what comes before is the ST segment
    first = start[0] + (stop[0] - start[0]) / 3 if repolarisation else start[0]
    a, b = _sample(median, first), _sample(median, stop[0])
    rows = {name: k for k, name in enumerate(leads) if np.isfinite(median.mV[k]).all()}

    def area(name: str) -> tuple[float, float]:
        part = median.mV[rows[name], a : b + 1] - _level(median, rows[name], level[0])
        step = 1000 / median.rate_hz
        return float(part.sum() * step), float(np.abs(part).sum() * step)

    limb: tuple[str, ...] = ("I", "II", "III", "aVF")
    net = {name: area(name) for name in limb if name in rows}
    one = _first(
        net, {"I": 1.0}, {"II": 1.0, "III": -1.0}, {"II": 2.0, "aVF": -2.0}, {"aVF": 2.0, "III": -2.0}
    )
    foot = _first(net, {"aVF": 1.0}, {"II": 1.0, "I": -0.5}, {"III": 1.0, "I": 0.5}, {"II": 0.5, "III": 0.5})
    if one is None or foot is None:
        return None
    x, y = one, foot * 2 / np.sqrt(3)
    size = float(np.hypot(x, y))
    if size < max(LEAST_AREA_MV_MS, LEAST_FLATNESS * max(v[1] for v in net.values())):
        return None
    return float(np.degrees(np.arctan2(y, x)))


def _first(net: dict[str, tuple[float, float]], *ways: dict[str, float]) -> float | None:
    """Combine leads in the first way for which all are there."""
    for way in ways:
        if way.keys() <= net.keys():
            return sum(factor * net[name][0] for name, factor in way.items())
    return None
