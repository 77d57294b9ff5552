"""What changes with time in a circuit: measured series, and the activation of muscle.

A drive is a function of an array of times, s, that gives as many values. All of them are evaluated before a
cycle is solved, so nothing here has to be compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

Floats = npt.NDArray[np.float64]
Drive = Callable[[Floats], Floats]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A value over time: linear between samples and, unless said otherwise, periodic.

    Parameters
    ----------
    time_s : (n,) float
        Growing; the last is the period.
    value : (n,) float
    periodic : bool
        False holds the first and the last value outside the samples.
    """

    time_s: Floats
    value: Floats
    periodic: bool = True

    def __post_init__(self) -> None:
        if not len(self.value) or len(self.time_s) != len(self.value):
            raise InputError(
                f"a series of {len(self.time_s)} times and {len(self.value)} values",
                needed="one value for each time",
            )
        if not (np.isfinite(self.time_s).all() and np.isfinite(self.value).all()):
            raise InputError("a series with missing numbers", needed="finite times and values")
        if (np.diff(self.time_s) <= 0).any():
            raise InputError("a series whose times do not grow", needed="each time after the one before")

    @property
    def constant(self) -> bool:
        """Whether there is only one value."""
        return len(self.value) == 1

    @property
    def period_s(self) -> float | None:
        """Length of the period, s; None for what does not repeat."""
        return None if self.constant or not self.periodic else float(self.time_s[-1] - self.time_s[0])

    @property
    def mean(self) -> float:
        """Plain mean of the samples, the repeated last one included: where a steady start begins."""
        return float(np.mean(self.value))

    def at(self, time_s: Floats) -> Floats:
        """Return the values at some times, s."""
        period = self.period_s
        local = np.asarray(time_s) if period is None else np.fmod(time_s, period)
        return np.asarray(np.interp(local, self.time_s, self.value))


# Normalised elastance of a ventricle as cosine and sine amplitudes (Sankaran et al. 2012,
# doi:10.1007/s10439-012-0579-3).
FOURIER: Final = np.array(
    [
        (0.283748803, 0.0),
        (0.031830626, -0.374299825),
        (-0.209472400, -0.018127770),
        (0.020520047, 0.073971113),
        (0.008316883, -0.047249597),
        (-0.041677660, 0.003212163),
        (0.000867323, 0.019441411),
        (-0.001675379, -0.005565534),
        (-0.011252277, 0.003401432),
        (-0.000414677, 0.008376795),
        (0.000253749, -0.000071880),
        (-0.002584966, 0.001566861),
        (0.000584752, 0.003143555),
        (0.000028502, -0.000024787),
        (0.000022961, -0.000007476),
        (0.000018735, -0.000001281),
        (0.000015573, 0.000001781),
        (0.000013133, 0.000003494),
        (0.000011199, 0.000004507),
        (0.000009634, 0.000005117),
        (0.000008343, 0.000005481),
        (0.000007265, 0.000005687),
        (0.000006354, 0.000005789),
        (0.000005575, 0.000005821),
        (0.000004903, 0.000005805),
    ]
)


def ventricle(period_s: float) -> Drive:
    """Return the elastance of a ventricle relative to its scale, from 25 harmonics of the heart rate."""

    def at(t: Floats) -> Floats:
        phase = 2 * np.pi * np.fmod(t, period_s) / period_s
        found = np.zeros_like(phase)
        for i, (a, b) in enumerate(FOURIER):
            found += a * np.cos(i * phase) - b * np.sin(i * phase)
        return found

    return at


def fourier(period_s: float) -> Drive:
    """Return `ventricle` scaled to 0..1 over a cycle."""
    shape = ventricle(period_s)
    cycle = shape(np.arange(10_000) * period_s / 10_000)
    low, high = float(cycle.min()), float(cycle.max())
    return lambda t: (shape(t) - low) / (high - low)


def half_cosine(period_s: float, t_active: float, t_twitch: float) -> Drive:
    """Return one hump of length ``t_twitch`` from ``t_active`` on, 0..1."""

    def at(t: Floats) -> Floats:
        x = np.maximum(0.0, np.fmod(t, period_s) - t_active)
        return np.where(x <= t_twitch, 0.5 - 0.5 * np.cos(2 * np.pi * x / t_twitch), 0.0)

    return at


def wrapping_cosine(period_s: float, Tsa: float, tpwave: float) -> Drive:
    """Return the activation of an atrium, which begins before the end of the cycle and ends in the next."""
    width, peak = period_s * Tsa, period_s / tpwave

    def at(t: Floats) -> Floats:
        x = np.fmod(t, period_s)
        early = 0.5 * (1 - np.cos(2 * np.pi * (x - peak + width) / width))
        late = 0.5 * (1 - np.cos(2 * np.pi * (x - peak - (period_s - width)) / width))
        return np.where(x <= peak, early, np.where(x >= period_s - width + peak, late, 0.0))

    return at


def piecewise_cosine(
    period_s: float,
    contract_start: float,
    relax_start: float,
    contract_duration: float,
    relax_duration: float,
) -> Drive:
    """Return a rise and a fall of different lengths, 0..1.

    Before either has begun for the first time the remainder is negative and counts as rest: kept, since
    stored results depend on it.
    """

    def at(t: Floats) -> Floats:
        x = np.fmod(t - contract_start, period_s)
        y = np.fmod(t - relax_start, period_s)
        rise = 0.5 * (1 - np.cos(np.pi * x / contract_duration))
        fall = 0.5 * (1 + np.cos(np.pi * y / relax_duration))
        falling = np.where((y >= 0) & (y < relax_duration), fall, 0.0)
        return np.where((x >= 0) & (x < contract_duration), rise, falling)

    return at


def two_hill(period_s: float, t_shift: float, tau_1: float, tau_2: float, m1: float, m2: float) -> Drive:
    """Return a rising times a falling Hill function of time, scaled to a peak of 1."""

    if not min(tau_1, tau_2, m1, m2) > 0:
        raise InputError(
            f"a two-hill activation of tau {tau_1:g}, {tau_2:g} and m {m1:g}, {m2:g}", needed="all above 0"
        )

    def shape(x: Floats) -> Floats:
        rise, fall = (x / tau_1) ** m1, (x / tau_2) ** m2
        return np.asarray(rise / (1 + rise) / (1 + fall))

    top = float(shape(np.arange(0.0, period_s, 1e-5)).max())

    def at(t: Floats) -> Floats:
        x = np.fmod(np.fmod(t, period_s) - t_shift, period_s)
        return shape(np.where(x < 0, x + period_s, x)) / top

    return at


def hump(period_s: float, rise_s: float, fall_s: float) -> Drive:
    """Return a cosine rise from the start of the cycle and a cosine fall after it, then 0."""

    def at(t: Floats) -> Floats:
        x = np.fmod(t, period_s)
        up = 0.5 * (1 - np.cos(np.pi * x / rise_s))
        down = 0.5 * (1 + np.cos(np.pi * (x - rise_s) / fall_s))
        return np.where(x <= rise_s, up, np.where(x <= rise_s + fall_s, down, 0.0))

    return at


def sphere_activation(
    period_s: float, tsys: float, tdias: float, steepness: float, alpha_max: float, alpha_min: float
) -> Drive:
    """Return the rate at which the wall of a spherical chamber takes up (> 0) or loses (< 0) tension, 1/s."""

    def at(t: Floats) -> Floats:
        x = np.fmod(t, period_s)
        on = 0.5 * (1 + np.tanh((x - tsys) / steepness)) * 0.5 * (1 - np.tanh((x - tdias) / steepness))
        return np.asarray(alpha_max * on + alpha_min * (1 - on))

    return at


_ACTIVATIONS: Mapping[str, Callable[..., Drive]] = {
    "half_cosine": half_cosine,
    "piecewise_cosine": piecewise_cosine,
    "two_hill": two_hill,
    "wrapping_cosine": wrapping_cosine,
    "fourier": fourier,
}


def activation(kind: str, period_s: float, values: Mapping[str, float]) -> Drive:
    """Return the activation function of a chamber by its name in a case file, 0..1.

    Raises
    ------
    InputError
        If the name or one of its numbers is unknown.
    """
    if kind not in _ACTIVATIONS:
        raise InputError(f"an activation function {kind!r}", needed=" or ".join(_ACTIVATIONS))
    try:
        return _ACTIVATIONS[kind](period_s, **values)
    except TypeError as bad:
        raise InputError(
            f"the activation {kind} with {', '.join(values) or 'nothing'}", needed=str(bad)
        ) from bad
