"""Rotors on a sheet: phase, phase singularities, wave count, and the path of each tip.

The phase of V is its angle in the plane of V and V a little earlier, seen from a centre inside the loop of an
action potential; along a closed path round the tip of a spiral it turns by once 2 pi, the *topological
charge* (+1 or -1; the sum over a sheet without holes changes only at the edges).

Source: Gray, Pertsov and Jalife 1998, doi:10.1038/32164 (phase by delay embedding); Bray and Wikswo 2002,
doi:10.1109/TBME.2002.803516 (charge by the sum round a plaquette).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carna.errors import InputError

__all__ = ["Tip", "follow", "phase", "singularities", "wave_count"]

Floats = NDArray[np.floating]


def phase(v_mV: Floats, earlier_mV: Floats, centre_mV: float = -40.0) -> NDArray[np.float64]:
    """Return the phase of V, radians in (-pi, pi], same shape as V.

    Parameters
    ----------
    v_mV, earlier_mV : array
        V now and some milliseconds before (about the length of an upstroke plus a few: 5 to 20 ms).
    centre_mV : float
        A value that every action potential passes going up and going down.
    """
    return np.asarray(
        np.arctan2(np.asarray(earlier_mV, np.float64) - centre_mV, np.asarray(v_mV, np.float64) - centre_mV)
    )


def singularities(angle: Floats, mask: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Return the phase singularities ``(n, 3)``: row, column (centre of the plaquette, in nodes), charge.

    Parameters
    ----------
    angle : (rows, columns) float
        Phase, radians.
    mask : (rows, columns) bool, optional
        Tissue; a plaquette needs all four corners.
    """
    if angle.ndim != 2:
        raise InputError(f"a phase of shape {angle.shape}", needed="a sheet, rows x columns")

    def turn(a: Floats, b: Floats) -> Floats:
        return np.asarray((b - a + np.pi) % (2 * np.pi) - np.pi)

    corners = angle[:-1, :-1], angle[:-1, 1:], angle[1:, 1:], angle[1:, :-1]
    around = sum(turn(a, b) for a, b in zip(corners, (*corners[1:], corners[0]), strict=True))
    charge = np.rint(np.nan_to_num(np.asarray(around)) / (2 * np.pi))
    if mask is not None:
        charge *= mask[:-1, :-1] & mask[:-1, 1:] & mask[1:, 1:] & mask[1:, :-1]
    rows, columns = np.nonzero(charge)
    return np.stack([rows + 0.5, columns + 0.5, charge[rows, columns]], -1)


def wave_count(v_mV: Floats, threshold_mV: float = -40.0, smallest: int = 10) -> int:
    """Return how many separate excited regions there are (of at least ``smallest`` nodes), in 2-D or 3-D."""
    from scipy.ndimage import label

    parts, _ = label(np.nan_to_num(v_mV, nan=-100.0) > threshold_mV)
    return int((np.bincount(parts.reshape(-1))[1:] >= smallest).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Tip:
    """The path of one phase singularity.

    Attributes
    ----------
    charge : int
        +1 or -1.
    frame : (n,) int
        Frames in which it was seen.
    at : (n, 2) float
        Row and column, in nodes.
    """

    charge: int
    frame: NDArray[np.int64]
    at: NDArray[np.float64]


def follow(
    frames_mV: Floats, lag: int = 2, centre_mV: float = -40.0, reach: float = 8.0, shortest: int = 5
) -> tuple[Tip, ...]:
    """Follow the tips through pictures of V.

    A tip goes on to the nearest singularity of the same charge within ``reach`` nodes in the next picture;
    nearest pairs are joined first.

    Parameters
    ----------
    frames_mV : (n, rows, columns) float
        Evenly spaced in time; NaN outside the tissue.
    lag : int
        Frames between V and the earlier V.
    centre_mV, reach, shortest
        Centre of the phase; largest step, nodes a frame; fewest frames of a path that is returned.
    """
    done: list[tuple[int, list[int], list[NDArray[np.float64]]]] = []
    live: list[tuple[int, list[int], list[NDArray[np.float64]]]] = []
    for n in range(lag, len(frames_mV)):
        now = np.asarray(frames_mV[n], np.float64)
        seen = singularities(phase(now, frames_mV[n - lag], centre_mV), np.isfinite(now))
        free = list(range(len(seen)))
        pairs = sorted(
            (float(np.hypot(*(path[2][-1] - seen[j, :2]))), i, j)
            for i, path in enumerate(live)
            for j in free
            if path[0] == seen[j, 2]
        )
        went: set[int] = set()
        for distance, i, j in pairs:
            if distance <= reach and i not in went and j in free:
                live[i][1].append(n)
                live[i][2].append(seen[j, :2])
                went.add(i)
                free.remove(j)
        done += [path for i, path in enumerate(live) if i not in went]
        live = [path for i, path in enumerate(live) if i in went]
        live += [(int(seen[j, 2]), [n], [seen[j, :2]]) for j in free]
    kept = [path for path in (*done, *live) if len(path[1]) >= shortest]
    kept.sort(key=lambda path: (path[1][0], -len(path[1])))
    return tuple(Tip(charge, np.asarray(at), np.stack(where)) for charge, at, where in kept)
