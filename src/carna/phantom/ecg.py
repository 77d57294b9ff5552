"""The electrocardiogram of the virtual patient: one dipole, twelve leads, every boundary known.

The heart's dipole is a sum of Gaussian waves in time around each R wave (McSharry, Clifford, Tarassenko and
Smith 2003, doi:10.1109/TBME.2003.808805; three-dimensional form: Sameni, Clifford, Jutten and Shamsollahi
2007, doi:10.1155/2007/43407). It is read by the leads I, II and V1 to V6 through Dower's matrix (Dower,
Machado and Osborne 1980, doi:10.1002/clc.1980.3.2.87); III, aVR, aVL and aVF are computed from I and II.
Noise is added before that step, so Einthoven's and Goldberger's relations hold exactly with noise too.

A wave begins 2.5 standard deviations before the centre of its first Gaussian and ends 2.5 after that of its
last; that is the definition of every onset and offset here. Times follow the heart rate: T moves with the
square root of RR (Bazett 1920). Known simplification: one dipole, so no regional ST change is possible.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        ``"sinus"`` or ``"af"``.
    """

    hz: float
    mv: Array
    r_s: Array
    kinds: tuple[str, ...]
    p_s: Array
    qrs_s: Array
    t_s: Array
    rhythm: str

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
