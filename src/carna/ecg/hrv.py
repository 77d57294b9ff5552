"""Heart rate variability: from intervals between normal sinus beats, and only at the length a number needs.

After the Task Force of 1996 (doi:10.1161/01.CIR.93.5.1043). NN intervals lie between two successive
*normal* beats; ectopic and unknown beats, noise and gaps take their intervals with them, and so does an
interval that differs by more than 20 % from the median of the eleven around it (a missed or false beat).
Nothing is replaced by interpolation in the time domain: what is not known is left out, and when less than
80 % of the time is left, nothing is said.

- **5 minutes**: SDNN, RMSSD, pNN50, SD1, SD2, sample entropy, and the spectrum (LF 0.04-0.15 Hz, HF
  0.15-0.40 Hz; NN intervals as a function of time, cubic spline at 4 Hz, Welch's average of Hann windows
  of 150 s with half overlap, line removed; VLF, 0.0033-0.04 Hz, is a rough figure at this length). In longer
  recordings these are medians over the five-minute stretches.
- **24 hours** (18 and more are accepted): SDNN, SDANN, SDNN index, triangular index (bins of 1/128 s).

An SDNN of five minutes and one of a day are different quantities: they have different names here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from carna.ecg.kinds import NORMAL
from carna.ecg.traces import Bools, Floats, Ints
from carna.errors import InputError

SHORT_S = 300.0
DAY_S = 18 * 3600.0
COVERED = 0.8
OUTLIER = 0.2
BIN_S = 1 / 128
RESAMPLED_HZ = 4.0
SECTION_S = 150.0  # half of five minutes: one window alone sees its middle only
BANDS_HZ = {"vlf": (0.0033, 0.04), "lf": (0.04, 0.15), "hf": (0.15, 0.40)}
SHORT = (
    "sdnn_5min_ms", "rmssd_ms", "pnn50", "sd1_ms", "sd2_ms", "sample_entropy", "vlf_ms2", "lf_ms2",
    "hf_ms2", "lf_hf",
)  # fmt: skip
DAY = ("sdnn_24h_ms", "sdann_ms", "sdnn_index_ms", "triangular_index")


@dataclass(frozen=True, slots=True)
class Hrv:
    """Heart rate variability; what cannot be told is None, with the reason in ``why``.

    Attributes
    ----------
    values : mapping of str to float or None
        Names in `SHORT` (medians over five-minute stretches) and `DAY`; milliseconds, ms2, fractions or
        ratios as the name says.
    why : mapping of str to str
        The reason for every None.
    nn : int
        NN intervals used.
    covered : float
        Their share of the time from first to last beat.
    stretches : int
        Five-minute stretches used.
    """

    values: Mapping[str, float | None]
    why: Mapping[str, str]
    nn: int
    covered: float
    stretches: int


def nn_intervals(at_s: Floats, kind: Ints, usable: Bools | None = None) -> Bools:
    """Tell which intervals between beats are NN intervals (see the top of the page).

    Parameters
    ----------
    at_s : (n,) float
        Beat times, s, increasing.
    kind : (n,) int
        `carna.ecg.kinds.KINDS`.
    usable : (n - 1,) bool, optional
        Which intervals may be used; all when absent.

    Returns
    -------
    (n - 1,) bool
    """
    from scipy.ndimage import median_filter

    at_s = np.asarray(at_s, np.float64)
    rr = np.diff(at_s)
    if len(kind) != len(at_s) or (rr <= 0).any():
        raise InputError(
            f"{len(at_s)} beat times and {len(kind)} kinds", needed="increasing times, one kind a beat"
        )
    normal = np.asarray(kind) == NORMAL
    good = normal[1:] & normal[:-1] & (True if usable is None else np.asarray(usable, bool))
    if good.sum() < 3:
        return np.asarray(good)
    usual = median_filter(rr[good], min(11, 2 * int(good.sum()) - 1), mode="nearest")
    near = np.abs(rr[good] / usual - 1) <= OUTLIER
    out = np.zeros(len(rr), bool)
    out[np.flatnonzero(good)[near]] = True
    return out


def hrv(at_s: Floats, kind: Ints, usable: Bools | None = None) -> Hrv:
    """Measure heart rate variability (parameters as in `nn_intervals`).

    The caller answers for the rhythm: in atrial fibrillation intervals are no NN intervals, and these
    numbers mean nothing.
    """
    at_s = np.asarray(at_s, np.float64)
    good = nn_intervals(at_s, kind, usable)
    rr = np.diff(at_s)
    seconds = float(at_s[-1] - at_s[0]) if len(at_s) > 1 else 0.0
    covered = float(rr[good].sum()) / seconds if seconds else 0.0
    values: dict[str, float | None] = dict.fromkeys(SHORT + DAY)
    why: dict[str, str] = {}
    parts = _stretches(at_s, good)
    if parts:
        each = [_short(at_s[a : b + 1], good[a:b]) for a, b in parts]
        values |= {name: float(np.median([e[name] for e in each])) for name in SHORT}
    else:
        said = (
            f"{seconds:.0f} s, 300 s needed"
            if seconds < SHORT_S
            else "no five minutes with 80 % NN intervals"
        )
        why |= dict.fromkeys(SHORT, said)
    if seconds >= DAY_S and covered >= COVERED:
        nn = rr[good]
        means, sds = _five_minutes(at_s[1:][good], nn)
        counts = np.bincount(np.floor(nn / BIN_S).astype(np.int64))
        values |= {
            "sdnn_24h_ms": 1000 * float(nn.std(ddof=1)),
            "sdann_ms": 1000 * float(means.std(ddof=1)),
            "sdnn_index_ms": 1000 * float(sds.mean()),
            "triangular_index": float(len(nn) / counts.max()),
        }
    else:
        said = (
            f"{seconds / 3600:.1f} h, 18 h needed"
            if seconds < DAY_S
            else f"NN intervals cover {covered:.0%}, 80 % needed"
        )
        why |= dict.fromkeys(DAY, said)
    return Hrv(values, why, int(good.sum()), covered, len(parts))


def _stretches(at_s: Floats, good: Bools) -> list[tuple[int, int]]:
    """Five-minute stretches, as beats a to b, of which NN intervals cover 80 %; the last may overlap none."""
    if len(at_s) < 2:
        return []
    out = []
    total = np.concatenate([[0.0], np.cumsum(np.diff(at_s) * good)])
    count = int((at_s[-1] - at_s[0] + 1.0) // SHORT_S)  # a second short of five minutes is five minutes
    for k in range(count):
        start = at_s[0] + k * SHORT_S
        a, b = int(np.searchsorted(at_s, start)), int(np.searchsorted(at_s, start + SHORT_S, "right")) - 1
        if total[b] - total[a] >= COVERED * SHORT_S:
            out.append((a, b))
    return out


def _short(at_s: Floats, good: Bools) -> dict[str, float]:
    """The numbers of five minutes."""
    nn = np.diff(at_s)
    both = good[1:] & good[:-1]
    change = np.diff(nn)[both]
    sdnn, sdsd = float(nn[good].std(ddof=1)), float(change.std(ddof=1))
    low, mid, high = spectrum(at_s[1:][good], nn[good])
    return {
        "sdnn_5min_ms": 1000 * sdnn,
        "rmssd_ms": 1000 * float(np.sqrt(np.mean(change**2))),
        "pnn50": float(np.mean(np.abs(change) > 0.05)),
        "sd1_ms": 1000 * sdsd / np.sqrt(2),
        "sd2_ms": 1000 * float(np.sqrt(max(2 * sdnn**2 - sdsd**2 / 2, 0.0))),
        "sample_entropy": sample_entropy(nn[good]),
        "vlf_ms2": low,
        "lf_ms2": mid,
        "hf_ms2": high,
        "lf_hf": mid / high if high > 0 else float("inf"),
    }


def spectrum(at_s: Floats, nn_s: Floats) -> tuple[float, float, float]:
    """Return the power of VLF, LF and HF, ms2, of NN intervals at the times they end.

    Parameters
    ----------
    at_s, nn_s : (n,) float
        s; gaps are crossed by the spline.
    """
    from scipy.interpolate import CubicSpline
    from scipy.signal import welch

    grid = np.arange(at_s[0], at_s[-1], 1 / RESAMPLED_HZ)
    curve = 1000 * CubicSpline(at_s, nn_s)(grid)
    # a spline swings in a long gap: a straight line does not
    wide = np.flatnonzero(np.diff(at_s) > 3 * np.median(nn_s))
    for k in wide:
        inside = (grid > at_s[k]) & (grid < at_s[k + 1])
        curve[inside] = 1000 * np.interp(grid[inside], at_s, nn_s)
    length = min(len(curve), round(SECTION_S * RESAMPLED_HZ))
    hz, density = welch(curve, RESAMPLED_HZ, nperseg=length, detrend="linear")
    power = [float(density[(hz >= a) & (hz < b)].sum() * (hz[1] - hz[0])) for a, b in BANDS_HZ.values()]
    return power[0], power[1], power[2]


def sample_entropy(nn_s: Floats, m: int = 2, r: float = 0.2) -> float:
    """Return the sample entropy of a series (Richman & Moorman, doi:10.1152/ajpheart.2000.278.6.H2039).

    Parameters
    ----------
    nn_s : (n,) float
        At most a few thousand: time and memory grow with the square.
    m : int
        Length of the templates.
    r : float
        Tolerance, in standard deviations (n - 1).

    Returns
    -------
    float
        Infinite when no template of length m + 1 recurs.
    """
    x = np.asarray(nn_s, np.float64)
    near = np.abs(x[:, None] - x[None, :]) <= r * x.std(ddof=1)
    n = len(x) - m
    alike = np.ones((n, n), bool)
    for k in range(m):
        alike &= near[k : k + n, k : k + n]
    longer = alike & near[m : m + n, m : m + n]
    pairs, kept = int(alike.sum()) - n, int(longer.sum()) - n
    return float(-np.log(kept / pairs)) if kept > 0 else float("inf")


def _five_minutes(at_s: Floats, nn: Floats) -> tuple[Floats, Floats]:
    """Means and standard deviations of all five-minute stretches with 30 intervals and more."""
    section = ((at_s - at_s[0]) // SHORT_S).astype(np.int64)
    means, sds = [], []
    for a, b in zip(*_edges(section), strict=True):
        if b - a >= 30:
            means.append(float(nn[a:b].mean()))
            sds.append(float(nn[a:b].std(ddof=1)))
    return np.array(means), np.array(sds)


def _edges(section: Ints) -> tuple[Ints, Ints]:
    cut = np.flatnonzero(np.diff(section)) + 1
    return np.concatenate([[0], cut]), np.concatenate([cut, [len(section)]])
