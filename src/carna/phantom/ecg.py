"""The electrocardiogram of the virtual patient: one dipole, twelve leads, every boundary known.

The heart's dipole is a sum of Gaussian waves in time around each R wave (McSharry, Clifford, Tarassenko and
Smith 2003, doi:10.1109/TBME.2003.808805; three-dimensional form: Sameni, Clifford, Jutten and Shamsollahi
2007, doi:10.1155/2007/43407). It is read by the leads I, II and V1 to V6 through Dower's matrix (Dower,
Machado and Osborne 1980, doi:10.1002/clc.1980.3.2.87); III, aVR, aVL and aVF are computed from I and II.
Noise is added before that step, so Einthoven's and Goldberger's relations hold exactly with noise too.

A wave begins 2.5 standard deviations before the centre of its first Gaussian and ends 2.5 after that of its
last; that is the definition of every onset and offset here. Times follow the heart rate: T moves with the
square root of RR (Bazett 1920). Known simplification: one dipole, so no regional ST change is possible.

`electrocardiogram` beats in sinus rhythm or fibrillates; `arrhythmia` lets atria and ventricles each keep
their own time (`RHYTHMS`): blocks of the AV node of every degree, and flutter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

Array = npt.NDArray[np.floating]

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
NORMAL, PVC = "N", "V"

# Rows I, II, V1 ... V6; columns x (left), y (foot), z (back).
DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)

# Wave: centre after R [s], standard deviation [s], dipole x, y, z [mV]. P, then QRS, then T.
_P = ((-0.165, 0.020, 0.055, 0.090, -0.030), (-0.140, 0.020, 0.060, 0.075, 0.030))
_QRS = (
    (-0.024, 0.008, -0.12, -0.06, -0.17),  # septum: to the right and forward
    (0.000, 0.011, 1.05, 0.75, 0.30),  # apex and free wall: to the left, down
    (0.024, 0.010, 0.02, -0.14, 0.52),  # base: backward
)
_T = ((0.245, 0.055, 0.13, 0.10, -0.08), (0.285, 0.032, 0.15, 0.11, -0.09))
_PVC_QRS = ((-0.030, 0.028, 0.55, 0.80, 0.55), (0.030, 0.030, 0.75, 1.00, 0.85))
_PVC_T = ((0.300, 0.060, -0.35, -0.45, -0.35),)
_SIGMAS = 2.5


@dataclass(frozen=True, slots=True, eq=False)
class Electrocardiogram:
    """A twelve-lead recording and its exact truth.

    Parameters
    ----------
    hz : float
        Samples per second.
    mv : (12, n) float64
        Potentials in the order of `LEADS`, mV.
    r_s : (b,) float64
        Time of every R wave, s after the first sample; those within the recording.
    kinds : (b,) of str
        ``"N"`` or ``"V"`` (ventricular premature).
    p_s, qrs_s, t_s : (b, 2) float64
        Onset and offset of each wave, s; NaN where there is none. They may lie outside the recording.
    rhythm : str
        ``"sinus"``, ``"af"``, or one of `RHYTHMS`.
    atria_s : (a,) float64
        Of `arrhythmia` only: the peak of every P wave, conducted or not, or the start of every flutter wave,
        s; those within the recording.
    """

    hz: float
    mv: Array
    r_s: Array
    kinds: tuple[str, ...]
    p_s: Array
    qrs_s: Array
    t_s: Array
    rhythm: str
    atria_s: Array = field(default_factory=lambda: np.zeros(0))

    @property
    def heart_rate_bpm(self) -> float:
        """60 over the mean RR interval of this recording."""
        return float(60.0 / np.diff(self.r_s).mean())


def electrocardiogram(
    heart_rate_bpm: float = 70.0,
    *,
    seconds: float = 10.0,
    hz: float = 500.0,
    rhythm: str = "sinus",
    variability: float = 0.04,
    pvc_share: float = 0.0,
    noise_mv: float = 0.02,
    seed: int = 0,
) -> Electrocardiogram:
    """Make a twelve-lead electrocardiogram.

    Parameters
    ----------
    heart_rate_bpm : float
        Mean rate, 30 to 200 per minute.
    seconds, hz : float
        Length, 2 to 3600 s, and sampling rate, 100 to 2000 Hz.
    rhythm : str
        ``"sinus"`` or ``"af"`` (no P waves, fibrillatory waves, RR without memory).
    variability : float
        Standard deviation of RR over its mean, 0 to 0.4. Around 0.04 at rest, 0.2 in fibrillation.
    pvc_share : float
        Chance of a beat to be a ventricular premature one, 0 to 0.5; two never follow each other.
    noise_mv : float
        Standard deviation of muscle noise, mV, 0 to 0.5; baseline wander and mains scale with it.
    seed : int
        Same seed, same recording.

    Returns
    -------
    Electrocardiogram

    Raises
    ------
    InputError
        A value outside its range.
    """
    for name, value, low, high in (
        ("heart_rate_bpm", heart_rate_bpm, 30.0, 200.0),
        ("seconds", seconds, 2.0, 3600.0),
        ("hz", hz, 100.0, 2000.0),
        ("variability", variability, 0.0, 0.4),
        ("pvc_share", pvc_share, 0.0, 0.5),
        ("noise_mv", noise_mv, 0.0, 0.5),
    ):
        if not low <= value <= high:
            raise InputError(f"{name} = {value}", needed=f"{low:g} to {high:g}", fix=f"change {name}")
    if rhythm not in ("sinus", "af"):
        raise InputError(f"rhythm {rhythm!r}", needed="'sinus' or 'af'", fix="choose one of the two")
    random = np.random.default_rng(seed)
    times, kinds = _beats(random, 60.0 / heart_rate_bpm, seconds, rhythm, variability, pvc_share)
    clock = np.arange(round(seconds * hz)) / hz
    dipole, spans = np.zeros((3, len(clock))), np.full((len(times), 3, 2), np.nan)
    before = np.diff(times, prepend=times[0] - 60.0 / heart_rate_bpm)
    for b, (r, kind, rr) in enumerate(zip(times, kinds, before, strict=True)):
        for w, waves in enumerate(_waves_of(kind, rhythm, float(rr))):
            for centre, width, *mv in waves:
                _add(dipole, clock, r + centre, width, mv)
            if waves:
                spans[b, w] = (
                    r + waves[0][0] - _SIGMAS * waves[0][1],
                    r + waves[-1][0] + _SIGMAS * waves[-1][1],
                )
    if rhythm == "af":
        dipole += _fibrillation(random, clock)
    eight = DOWER @ dipole + _noise(random, clock, noise_mv)
    inside = (times >= 0.0) & (times < seconds)
    spans = spans[inside]
    return Electrocardiogram(
        hz=hz,
        mv=twelve(eight),
        r_s=times[inside],
        kinds=tuple(k for k, ok in zip(kinds, inside, strict=True) if ok),
        p_s=spans[:, 0],
        qrs_s=spans[:, 1],
        t_s=spans[:, 2],
        rhythm=rhythm,
    )


def twelve(eight: Array) -> Array:
    """Return the twelve leads in the order of `LEADS` from I, II, V1 ... V6, shape (8, n), mV."""
    one, two = eight[0], eight[1]
    limb = [one, two, two - one, -(one + two) / 2.0, one - two / 2.0, two - one / 2.0]
    return np.concatenate([np.stack(limb), eight[2:]])


def _beats(
    random: np.random.Generator, rr: float, seconds: float, rhythm: str, variability: float, pvc_share: float
) -> tuple[Array, tuple[str, ...]]:
    """Times of R [s] and kinds of beat, from before the start to past the end of the recording."""
    now = float(-rr * random.uniform(0.2, 0.9))
    times: list[float] = []
    kinds: list[str] = []
    while now < seconds + rr:
        premature = bool(kinds) and kinds[-1] == NORMAL and random.uniform() < pvc_share
        if premature:  # early by a third, then the next sinus beat falls where it would have fallen
            times.append(times[-1] + 0.62 * rr)
            kinds.append(PVC)
            now = times[-2] + 2.0 * rr
        times.append(now)
        kinds.append(NORMAL)
        if rhythm == "sinus":
            # Breathing (0.25 Hz) carries two thirds of the variance.
            change = variability * (
                np.sqrt(4.0 / 3.0) * np.sin(2.0 * np.pi * 0.25 * now)
                + np.sqrt(1.0 / 3.0) * random.standard_normal()
            )
        else:
            change = variability * random.standard_normal()
        now += rr * max(1.0 + float(change), 0.55)
    return np.array(times), tuple(kinds)


def _waves_of(kind: str, rhythm: str, rr: float) -> tuple[tuple[tuple[float, ...], ...], ...]:
    """P, QRS and T of one beat; T later after a longer RR."""
    slow = float(np.sqrt(np.clip(rr, 0.35, 1.6)))
    repolarisation = _T if kind == NORMAL else _PVC_T
    late = tuple((centre * slow, width * slow, *mv) for centre, width, *mv in repolarisation)
    if kind == PVC:
        return (), _PVC_QRS, late
    # At fast rates P comes closer, or it would fall into the T wave before.
    near = tuple((centre * min(1.0, 0.5 + 0.5 * slow), width, *mv) for centre, width, *mv in _P)
    return (near if rhythm == "sinus" else ()), _QRS, late


def _add(dipole: Array, clock: Array, centre: float, width: float, mv: list[float]) -> None:
    """Add one Gaussian wave to the dipole, in place, where it is not negligible."""
    first, last = np.searchsorted(clock, (centre - 6.0 * width, centre + 6.0 * width))
    bell = np.exp(-0.5 * ((clock[first:last] - centre) / width) ** 2)
    dipole[:, first:last] += np.asarray(mv)[:, None] * bell


def _fibrillation(random: np.random.Generator, clock: Array) -> Array:
    """Fibrillatory waves, 5 to 7 per second with wandering rate, forward and right: largest in V1."""
    rate = 6.0 + 0.5 * np.sin(2.0 * np.pi * 0.17 * clock + random.uniform(0.0, 2.0 * np.pi))
    turn = 2.0 * np.pi * np.cumsum(rate) * (clock[1] - clock[0]) + random.uniform(0.0, 2.0 * np.pi)
    saw = np.sin(turn) + 0.35 * np.sin(2.0 * turn) + 0.15 * np.sin(3.0 * turn)
    waves: Array = np.array([-0.02, 0.04, -0.05])[:, None] * saw
    return waves


def _noise(random: np.random.Generator, clock: Array, noise_mv: float) -> Array:
    """Noise of the eight measured leads: muscle (white), breathing (slow), mains (50 Hz)."""
    muscle = random.standard_normal((8, len(clock)))
    slow = np.zeros((8, len(clock)))
    for hz in (0.07, 0.18, 0.27):
        slow += random.normal(0.0, 1.0, (8, 1)) * np.sin(
            2.0 * np.pi * hz * clock + random.uniform(0.0, 2.0 * np.pi, (8, 1))
        )
    mains = random.normal(0.0, 0.15, (8, 1)) * np.sin(
        2.0 * np.pi * 50.0 * clock + random.uniform(0.0, 2.0 * np.pi)
    )
    noise: Array = noise_mv * (muscle + 2.0 * slow + mains)
    return noise


# --- atria and ventricles, each in their own time ---------------------------------------------------------

ESCAPE = "E"  # a wide beat from below the block, on time
# Wide and notched, spreading from one ventricle; steeper than the smooth premature beat above.
_ESCAPE_QRS = (
    (-0.050, 0.014, 0.25, 0.35, 0.20),
    (-0.012, 0.016, 0.60, 0.80, 0.55),
    (0.035, 0.018, 0.50, 0.75, 0.70),
)
_P_PEAK = -0.152  # of _P, relative to the R wave it conducts to, s
_STEADY, _BREATH_HZ = 0.008, 0.22  # beat-to-beat noise of a pacemaker, over its interval; breathing
Times = tuple[Array, Array, bool]  # atria, R waves [s], whether QRS are wide


def arrhythmia(
    rhythm: str,
    *,
    seconds: float = 10.0,
    hz: float = 500.0,
    noise_mv: float = 0.02,
    variety: float = 1.0,
    seed: int = 0,
) -> Electrocardiogram:
    """Make a twelve-lead electrocardiogram of one of `RHYTHMS`, with the time of every atrial wave.

    Rates, PR and sizes of waves are drawn by the seed from ranges seen in adults.

    Parameters
    ----------
    rhythm : str
        One of `RHYTHMS`.
    seconds, hz : float
        Length, 2 to 3600 s, and sampling rate, 100 to 2000 Hz.
    noise_mv : float
        As in `electrocardiogram`, 0 to 0.5.
    variety : float
        How much waves differ from person to person, 0 to 1: sizes by a factor of exp(0.35 N(0, 1)), the
        frontal direction by 20 degrees N(0, 1), both times this number.
    seed : int
        Same seed, same recording.

    Returns
    -------
    Electrocardiogram

    Raises
    ------
    InputError
        A value outside its range, or an unknown rhythm.
    """
    if rhythm not in RHYTHMS:
        raise InputError(f"rhythm {rhythm!r}", needed="one of " + ", ".join(RHYTHMS), fix="choose one")
    for name, value, low, high in (
        ("seconds", seconds, 2.0, 3600.0),
        ("hz", hz, 100.0, 2000.0),
        ("noise_mv", noise_mv, 0.0, 0.5),
        ("variety", variety, 0.0, 1.0),
    ):
        if not low <= value <= high:
            raise InputError(f"{name} = {value}", needed=f"{low:g} to {high:g}", fix=f"change {name}")
    random = np.random.default_rng(seed)
    atria, times, wide = RHYTHMS[rhythm](random, seconds)
    clock = np.arange(round(seconds * hz)) / hz
    size = np.exp(0.35 * variety * np.clip(random.standard_normal(3), -2.0, 2.0))
    dipole = np.zeros((3, len(clock)))
    if rhythm.startswith("flutter"):
        dipole += size[0] * _flutter_waves(random, clock, atria)
    else:
        for p in atria:
            for centre, width, *mv in _P:
                _add(dipole, clock, p + centre - _P_PEAK, width, [size[0] * m for m in mv])
    spans = np.full((len(times), 3, 2), np.nan)
    before = np.diff(times, prepend=times[0] - 1.0)
    for b, (r, rr) in enumerate(zip(times, before, strict=True)):
        breath = 1.0 + 0.05 * variety * np.sin(2.0 * np.pi * _BREATH_HZ * r)
        _, qrs, t = _waves_of(PVC if wide else NORMAL, "af", float(rr))
        qrs = _ESCAPE_QRS if wide else qrs
        for w, (waves, gain) in enumerate(((qrs, size[1]), (t, size[2])), 1):
            for centre, width, *mv in waves:
                _add(dipole, clock, r + centre, width, [gain * breath * m for m in mv])
            spans[b, w] = r + waves[0][0] - _SIGMAS * waves[0][1], r + waves[-1][0] + _SIGMAS * waves[-1][1]
    turn = np.deg2rad(20.0) * variety * np.clip(random.standard_normal(), -2.0, 2.0)
    frontal = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    inside = (times >= 0.0) & (times < seconds)
    spans = spans[inside]
    return Electrocardiogram(
        hz=hz,
        mv=twelve(DOWER @ (frontal @ dipole) + _noise(random, clock, noise_mv)),
        r_s=times[inside],
        kinds=(ESCAPE if wide else NORMAL,) * int(inside.sum()),
        p_s=spans[:, 0],
        qrs_s=spans[:, 1],
        t_s=spans[:, 2],
        rhythm=rhythm,
        atria_s=atria[(atria >= 0.0) & (atria < seconds)],
    )


def _pacemaker(random: np.random.Generator, seconds: float, period: float, breathing: float) -> Array:
    """Times from three seconds before the recording to three after, s; intervals follow breathing."""
    start, phase = random.uniform(-3.0 - period, -3.0), random.uniform(0.0, 2.0 * np.pi)
    times = [start]
    while times[-1] < seconds + 3.0:
        swing = breathing * np.sin(2.0 * np.pi * _BREATH_HZ * times[-1] + phase)
        times.append(times[-1] + period * (1.0 + swing + _STEADY * random.standard_normal()))
    return np.array(times)


def _sinus(random: np.random.Generator, seconds: float, breathing: tuple[float, float]) -> Times:
    p = _pacemaker(random, seconds, 60.0 / random.uniform(55.0, 85.0), random.uniform(*breathing))
    return p, p + random.uniform(0.13, 0.19), False


def _early(random: np.random.Generator, seconds: float) -> Times:
    """Sinus rhythm with early atrial beats, every other one blocked."""
    p, r, _ = _sinus(random, seconds, (0.01, 0.03))
    pp = float(np.median(np.diff(p)))
    which = np.arange(random.integers(1, 4), len(p) - 1, random.integers(4, 7))
    shift = pp * random.uniform(0.38, 0.48)
    for k in which:  # the sinus node is reset by the early beat
        p[k:] -= shift
        r[k:] -= shift
    return p, np.delete(r, which[::2]), False


def _complete(random: np.random.Generator, seconds: float, bpm: tuple[float, float], wide: bool) -> Times:
    p = _pacemaker(random, seconds, 60.0 / random.uniform(62.0, 105.0), random.uniform(0.0, 0.03))
    return p, _pacemaker(random, seconds, 60.0 / random.uniform(*bpm), 0.0), wide


def _wenckebach(random: np.random.Generator, seconds: float, group: int) -> Times:
    """``group`` P waves, one beat less; the largest step of PR is the first (typical periods)."""
    p = _pacemaker(random, seconds, 60.0 / random.uniform(60.0, 95.0), random.uniform(0.0, 0.02))
    turn = (np.arange(len(p)) + random.integers(group)) % group
    step = random.uniform(0.06, 0.12)
    pr = random.uniform(0.15, 0.22) + step * np.array([0.0, 1.0, 1.5, 1.8, 2.0])[turn]
    return p, (p + pr)[turn < group - 1], False


def _mobitz(random: np.random.Generator, seconds: float) -> Times:
    p = _pacemaker(random, seconds, 60.0 / random.uniform(62.0, 100.0), random.uniform(0.0, 0.02))
    turn = (np.arange(len(p)) + random.integers(4)) % int(random.integers(3, 6))
    return p, (p + random.uniform(0.14, 0.22))[turn > 0], False


def _every(random: np.random.Generator, seconds: float, count: int) -> Times:
    p = _pacemaker(random, seconds, 60.0 / random.uniform(70.0, 105.0), random.uniform(0.0, 0.02))
    conducted = (np.arange(len(p)) + random.integers(count)) % count == 0
    return p, (p + random.uniform(0.14, 0.24))[conducted], False


def _flutter(random: np.random.Generator, seconds: float, counts: tuple[int, ...]) -> Times:
    f = _pacemaker(random, seconds, 60.0 / random.uniform(240.0, 330.0), 0.0)
    # the circuit is steadier than a sinus node: half the noise
    f = (f + np.linspace(f[0], f[-1], len(f))) / 2.0
    steps = random.choice(counts, size=len(f))
    which = np.cumsum(steps)
    which = which[which < len(f)]
    return f, f[which] + random.uniform(0.1, 0.2) + random.normal(0.0, 0.004, len(which)), False


def _flutter_waves(random: np.random.Generator, clock: Array, starts: Array) -> Array:
    """A saw down and to the foot, or in one heart of three a rounder wave of any direction (mV)."""
    turn = 2.0 * np.pi * np.interp(clock, starts, np.arange(len(starts)))
    typical = random.uniform() < 2 / 3
    saw = np.sin(turn) + (0.45 if typical else 0.15) * np.sin(2.0 * turn + (0.0 if typical else 1.0))
    saw += (0.2 if typical else 0.0) * np.sin(3.0 * turn)
    way = np.array([-0.15, -0.85, -0.5]) if typical else random.standard_normal(3)
    waves: Array = 0.09 * (way / np.linalg.norm(way))[:, None] * saw
    return waves


RHYTHMS: Mapping[str, Callable[[np.random.Generator, float], Times]] = {
    "sinus rhythm": partial(_sinus, breathing=(0.01, 0.04)),
    "sinus arrhythmia": partial(_sinus, breathing=(0.10, 0.22)),
    "early atrial beats": _early,
    "Wenckebach 3:2": partial(_wenckebach, group=3),
    "Wenckebach 4:3": partial(_wenckebach, group=4),
    "Wenckebach 5:4": partial(_wenckebach, group=5),
    "Mobitz II": _mobitz,
    "2:1 block": partial(_every, count=2),
    "3:1 block": partial(_every, count=3),
    "complete block, junctional escape": partial(_complete, bpm=(38.0, 55.0), wide=False),
    "complete block, ventricular escape": partial(_complete, bpm=(25.0, 40.0), wide=True),
    "flutter 2:1": partial(_flutter, counts=(2,)),
    "flutter 3:1": partial(_flutter, counts=(3,)),
    "flutter 4:1": partial(_flutter, counts=(4,)),
    "flutter, variable": partial(_flutter, counts=(2, 3, 4, 4)),
}
