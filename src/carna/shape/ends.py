"""Where the ventricles begin and end along the long axis: what lies between two slices, told by the beat.

A slice shows a ventricle or does not. That bounds its base to the gap above its first slice, and its tip to
the gap below its last one; in 10 mm slices the base alone leaves +-5 mm, which is a tenth of a volume. But
the base descends as the ventricle empties, and slices leave it on the way at moments that are seen. With
``g`` the contraction (0 full, 1 emptiest) told by areas, ::

    base(t) = b + a g(t),    a of usual descent (30 mm times the share of the area ejected, sd 4 mm)

all ``(b, a)`` are weighed by how well they agree with every slice at every phase; the mean is taken, and the
spread is the error that is left. A tip of the left ventricle is where its area, a parabola of the depth in an
ellipsoid, ends; the outer one rests through the beat and is taken where the ventricle is full. The tip of the
right ventricle is bounded by its slices as the base is, with little motion of its own.

Known failure: with one phase, or where the stack begins inside the ventricle, the base is a guess within one
slice's distance, its descent is that of the slices that are left, and the spread says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from carna.shape.contours import Outlines

__all__ = ["Ends", "ends"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_DESCENT_MM: Final = 30.0  # of the base, for each share of the cavity's area that is ejected
_DESCENT_SD_MM: Final = 4.0
_LABEL_SD_MM: Final = 1.0  # how sharply a slice's label tells on which side of it the base is


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """Depths along z of the heart's frame, mm.

    Attributes
    ----------
    base, rv_base : (t,) float
    base_sd, rv_base_sd : (t,) float
    endo_tip, epi_tip, rv_tip : (t,) float
    base_seen : bool
        Whether a slice above the base shows no left ventricle at any phase.
    contraction : (t,) float
        0 where the left cavity is largest, the share of its area that is gone elsewhere.
    """

    base: Floats
    rv_base: Floats
    base_sd: Floats
    rv_base_sd: Floats
    endo_tip: Floats
    epi_tip: Floats
    rv_tip: Floats
    base_seen: bool
    contraction: Floats


def ends(seen: Outlines) -> Ends:
    """Return where both ventricles begin and end at every phase."""
    z, area = seen.z_mm, seen.area_mm2
    step = float(np.median(np.diff(z)))
    cavity, outer, right = area[..., 2], area[..., 1] + area[..., 2], area[..., 0]
    always = (cavity > 0.0).all(0)
    total = cavity[:, always if always.any() else slice(None)].sum(1)
    gone = 1.0 - total / float(total.max())
    base, base_sd, base_seen = _base(z, outer > 0.0, gone, step)
    rv_base, rv_base_sd, _ = _base(z, right > 0.0, gone, step)
    epi = np.array([_tip(z, a, step) for a in outer])
    endo = np.array([_tip(z, a, step) for a in cavity])
    sides = np.array([_window(z, a, step)[:2] for a in right])
    told = np.isfinite(sides[:, 0])
    rv, _ = _between(
        np.where(told, sides[:, 0], z[0]), np.where(told, sides[:, 1], z[-1] + step), gone, 2.0, 3.0
    )
    full = (1.0 - gone / max(float(gone.max()), 1e-3)) ** 2 * np.isfinite(epi)
    apex = float((full * np.nan_to_num(epi)).sum() / full.sum())
    window = np.array([_window(z, a, step)[:2] for a in outer])
    epi = np.clip(apex, np.fmin(window[:, 0] + 0.02 * step, apex + step), window[:, 1])
    epi, endo = _calm(epi), _calm(endo)
    endo = np.minimum(endo, epi - 1.5)
    return Ends(base, rv_base, base_sd, rv_base_sd, endo, epi, rv, base_seen, gone)


def _base(z: Floats, shown: Bools, gone: Floats, step: float) -> tuple[Floats, Floats, bool]:
    """Return a base's depth at every phase, its standard deviation, and whether a slice lies above it."""
    first = np.where(shown.any(1), shown.argmax(1), np.argmax(shown.any(0)))
    low = np.where(first > 0, z[np.maximum(first - 1, 0)], z[0] - step)
    seen = bool((first > 0).all())
    # A base above the whole stack gives no bounds; a usual descent would then be all that is told of it.
    usual, sd = (_DESCENT_MM * float(gone.max()), _DESCENT_SD_MM) if seen else (0.0, 2.0 * _DESCENT_SD_MM)
    mean, spread = _between(low, z[first], gone, usual, sd)
    return mean, spread, seen


def _between(low: Floats, high: Floats, gone: Floats, usual: float, sd: float) -> tuple[Floats, Floats]:
    """Return where ``b + a g`` lies between bounds (t,): mean and standard deviation (t,) over b and a."""
    share = gone / max(float(gone.max()), 1e-3)
    b = np.linspace(float(low.min()) - usual, float(high.max()) + sd, 101)[:, None, None]
    a = np.linspace(usual - 3.0 * sd, usual + 3.0 * sd, 41)[None, :, None]
    at = b + a * share
    wrong = np.maximum(low - at, 0.0) ** 2 + np.maximum(at - high, 0.0) ** 2
    # Any place within the bounds is as likely as another; labels that disagree are outvoted.
    cost = 0.5 * wrong.sum(-1) / _LABEL_SD_MM**2 + 0.5 * ((a[..., 0] - usual) / sd) ** 2
    weight = np.exp(cost.min() - cost)
    weight /= weight.sum()
    mean = np.asarray((weight[..., None] * at).sum((0, 1)))
    return mean, np.sqrt((weight[..., None] * (at - mean) ** 2).sum((0, 1)))


def _window(z: Floats, area: Floats, step: float) -> tuple[float, float, int]:
    """Return between which depths a ventricle ends, and how many slices show it."""
    shown = np.flatnonzero(area > 0.0)
    if not len(shown):
        return float("nan"), float("nan"), 0
    last = int(shown[-1])
    below = float(z[last + 1]) if last + 1 < len(z) else float(z[last]) + step
    return float(z[last]), below, len(shown)


def _tip(z: Floats, area: Floats, step: float) -> float:
    """Return where the area ends as a parabola of the depth, within the gap below the last slice."""
    low, high, count = _window(z, area, step)
    if count < 4:
        return 0.5 * (low + high)
    shown = area > 0.0
    x, y = z[shown] - low, area[shown]
    # The lower slices matter most for where it ends; the first one is often cut by the valve plane.
    weight = np.exp(0.5 * x / np.ptp(x))
    weight[0] *= 0.3
    curve, slope, there = np.polyfit(x, y, 2, w=weight)
    root = slope**2 - 4.0 * curve * there
    if curve >= 0.0 or root < 0.0:
        return 0.5 * (low + high)
    return float(np.clip(low + (-slope - np.sqrt(root)) / (2.0 * curve), low + 0.02 * step, high))


def _calm(values: Floats) -> Floats:
    """Return a curve over the beat without what is missing or jumps."""
    t = np.arange(len(values))
    known = np.isfinite(values)
    filled = np.interp(t, t[known], values[known])
    return np.asarray(whittaker(filled[:, None], 3.0)[:, 0])


def whittaker(values: Floats, strength: float) -> Floats:
    """Return values (t, n) smoothed along t: least squares with penalised third differences.

    Whittaker 1923, doi:10.1017/S0013091500077853. Third differences leave a parabola as it is, so the peak of
    the contraction is not cut; the ends are free, so a beat need not be whole. ``strength`` is for 25 phases;
    with fewer the same waves of the beat are kept.
    """
    t = len(values)
    if t < 6:
        return values
    bend = np.diff(np.eye(t), 3, axis=0)
    return np.asarray(np.linalg.solve(np.eye(t) + strength * (t / 25.0) ** 6 * bend.T @ bend, values))
