"""The path of a re-entrant circuit, its isthmus and its exit, from the log of excitations.

Every excitation knows which one caused it. Going back from the latest, each chain of causes enters the
circuit that drives it and goes round; where it meets itself one cycle earlier the path closes. The isthmus is
where the front sweeps the least tissue per millisecond (cross-section times speed: narrow, slow, or both).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.ep.reentry.state import State
from carna.ep.reentry.substrate import Substrate

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CLOSE_VOXELS, CLOSE_MM = 2.0, 6.0
FRONTS = 40
MOST_LAPS = 3
NARROW = 2.0  # times the least: what belongs to the isthmus


@dataclass(frozen=True, slots=True, eq=False)
class Circuit:
    """A closed re-entrant path.

    Attributes
    ----------
    path : (m, 3) int
        Voxels k, r, c in the order of excitation, ``laps`` times round.
    times_ms : (m,) float
        When each was excited.
    cycle_ms : float
        Time once round.
    laps : int
        How often the path goes round before it closes: 2 where two loops take turns.
    swept_mm3_per_ms : (m,) float
        Tissue that the front through each voxel excites per millisecond.
    isthmus : (i, 3) int
        Voxels of the narrowest, slowest part of the circuit.
    exit_site : (3,) int
        The first voxel of the path behind the isthmus.
    """

    path: Ints
    times_ms: Floats
    cycle_ms: float
    laps: int
    swept_mm3_per_ms: Floats
    isthmus: Ints
    exit_site: Ints


def trace(state: State, substrate: Substrate, cycle_ms: float) -> Circuit | None:
    """Return the circuit behind the latest excitation, or None if its chain of causes does not close.

    ``cycle_ms`` is the usual interval between two excitations of a voxel: of all places where the chain
    comes back within 6 mm (two voxels if they are larger), the one taken is nearest to one cycle earlier,
    and within a fifth of it; failing that, two or three cycles: both loops of a figure of eight drive it.
    """
    voxels, times = _chain(state)
    known = times > times[0] - 4 * cycle_ms
    times, at = times[known], substrate.tissue.place[voxels[known]].astype(np.int64)
    lap = times[:, None] - times
    spacing = substrate.tissue.spacing_mm
    away = np.sqrt((((at[:, None] - at) * spacing) ** 2).sum(axis=2))
    close = max(CLOSE_MM, CLOSE_VOXELS * float(spacing.max()))
    laps = np.clip(np.rint(lap / cycle_ms), 1, MOST_LAPS)
    off = np.abs(lap / (laps * cycle_ms) - 1)
    wrong = laps + off + 0.01 * away
    wrong[(away > close) | (off > 0.2 / laps)] = np.inf
    late, early = np.unravel_index(np.argmin(wrong), wrong.shape)
    if not np.isfinite(wrong[late, early]):
        return None
    path, when = at[late:early][::-1], times[late:early][::-1]
    turns = int(laps[late, early])
    return _describe(state, substrate, path, when, float(lap[late, early]) / turns, turns)


def _chain(state: State) -> tuple[Ints, Floats]:
    """Return voxels and times from the latest event back along its causes, as far as the log goes."""
    keep, count = len(state.log_time), int(state.clock[2])
    event = count - 1
    voxels, times = [], []
    while event >= max(0, count - keep):
        voxels.append(int(state.log_voxel[event % keep]))
        times.append(float(state.log_time[event % keep]))
        event = int(state.log_parent[event % keep])
    return np.array(voxels, np.int64), np.array(times)


def _describe(
    state: State, substrate: Substrate, path: Ints, times: Floats, cycle_ms: float, laps: int
) -> Circuit:
    from scipy.ndimage import label, median_filter

    tissue = substrate.tissue
    act = tissue.spread(state.act, outside=-np.inf)
    recent = act > float(state.act.max()) - 1.5 * cycle_ms
    half = max(2.0, cycle_ms / 40)
    voxel_mm3 = float(np.prod(tissue.spacing_mm))
    # Fronts at forty places of the path are enough to find the narrowest.
    chosen = np.unique(np.linspace(0, len(path) - 1, FRONTS).astype(int))
    swept = np.zeros(len(chosen))
    parts = []
    phase = np.where(recent, act, 0.0)
    for n, (voxel, time) in enumerate(zip(path[chosen], times[chosen], strict=True)):
        apart = np.abs((phase - time + cycle_ms / 2) % cycle_ms - cycle_ms / 2)
        front, _ = label(recent & (apart <= half), structure=np.ones((3, 3, 3)))
        mine = front[tuple(voxel)]
        part = np.argwhere(front == mine) if mine else voxel[None]
        parts.append(part)
        swept[n] = len(part) * voxel_mm3 / (2 * half)
    # One front that happens to hold few voxels is no isthmus.
    swept = median_filter(swept, 3, mode="wrap")
    low = int(np.argmin(swept))
    narrow = swept <= NARROW * swept[low]
    # The stretch around the narrowest voxel, round the closed path.
    turned = np.roll(narrow, -low)
    ahead = int(np.argmin(turned)) if not turned.all() else len(turned)
    behind = int(np.argmin(turned[::-1])) if not turned.all() else 0
    stretch = (low + np.arange(-behind, ahead)) % len(chosen)
    isthmus = np.unique(np.concatenate([parts[n] for n in stretch]), axis=0)
    along = np.interp(np.arange(len(path)), chosen, swept)
    return Circuit(path, times, cycle_ms, laps, along, isthmus, path[chosen[(low + ahead) % len(chosen)]])
