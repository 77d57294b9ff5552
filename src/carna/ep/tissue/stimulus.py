"""Stimuli: where, when, how strong.

``where`` is a share of each voxel, (k, r, c), 0 to 1: a mask, `Tissue.box`, `entry_points`. Strength is in
A/F (= V/s added to dV/dt); 50 A/F for 2 ms is about twice the threshold of a strand of ventricular tissue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from carna.errors import InputError

if TYPE_CHECKING:
    from carna.ep.tissue.grid import Tissue

Share = NDArray[np.floating] | NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Stimulus:
    """The same pulse at the same place, at several times.

    Parameters
    ----------
    where : (k, r, c) float or bool
        Share of each voxel that is stimulated, 0 to 1.
    times_ms : tuple of float
        Beginnings, >= 0.
    duration_ms : float
        > 0.
    strength_A_per_F : float
        Positive depolarises.
    """

    where: Share
    times_ms: tuple[float, ...] = (0.0,)
    duration_ms: float = 2.0
    strength_A_per_F: float = 50.0

    def __post_init__(self) -> None:
        if not self.duration_ms > 0 or any(t < 0 for t in self.times_ms):
            raise InputError(
                f"a stimulus of {self.duration_ms} ms at {self.times_ms} ms",
                needed="a duration above 0, times of 0 or later",
            )
        share = np.asarray(self.where, np.float32)
        if not (share.min() >= 0 and 0 < share.max() <= 1):
            raise InputError(
                f"a stimulus that covers {share.min():g} to {share.max():g} of a voxel",
                needed="shares of 0 to 1, some above 0",
            )

    @property
    def last_ms(self) -> float:
        """Where the last pulse begins, ms."""
        return max(self.times_ms)


def entry_points(tissue: Tissue, points_mm: NDArray[np.floating], radius_mm: float) -> NDArray[np.bool_]:
    """Return the tissue within a radius of any point ``(n, 3)`` mm (axes k, r, c): endocardial breakthroughs.

    The points may lie a little outside the tissue (on its surface); one that reaches none is refused.
    """
    from scipy.spatial import cKDTree

    at = np.argwhere(tissue.mask)
    nodes_mm = at * np.asarray(tissue.spacing_mm) + tissue.origin_mm()
    near = cKDTree(nodes_mm).query_ball_point(np.atleast_2d(points_mm), radius_mm)
    where = np.zeros(tissue.mask.shape, bool)
    for n, found in enumerate(near):
        if not found:
            raise InputError(
                f"point {n} reaches no tissue within {radius_mm} mm", fix="move it or take a larger radius"
            )
        k, r, c = at[found].T
        where[k, r, c] = True
    return where


def programmed(
    where: Share,
    s1_ms: float,
    beats: int,
    extra_ms: tuple[float, ...] = (),
    *,
    start_ms: float = 0.0,
    duration_ms: float = 2.0,
    strength_A_per_F: float = 50.0,
) -> Stimulus:
    """Return programmed stimulation: a train of S1 at one cycle length, then S2, S3, S4.

    Parameters
    ----------
    s1_ms : float
        Cycle length of the train.
    beats : int
        Of the train, >= 1.
    extra_ms : tuple of float
        Coupling intervals, each from the stimulus before it.
    """
    if beats < 1 or s1_ms <= 0 or any(e <= 0 for e in extra_ms):
        raise InputError(
            f"{beats} beats of {s1_ms} ms, then {extra_ms}", needed="1 beat or more, intervals above 0"
        )
    times = [start_ms + s1_ms * n for n in range(beats)]
    for interval in extra_ms:
        times.append(times[-1] + interval)
    return Stimulus(where, tuple(times), duration_ms, strength_A_per_F)


def burst(
    where: Share, cycle_ms: float, beats: int, *, start_ms: float = 0.0, strength_A_per_F: float = 50.0
) -> Stimulus:
    """Return a burst: ``beats`` pulses of 2 ms at a short cycle length."""
    return programmed(where, cycle_ms, beats, start_ms=start_ms, strength_A_per_F=strength_A_per_F)


def cross_field(
    tissue: Tissue, s2_ms: float, *, width_mm: float = 2.0, strength_A_per_F: float = 50.0
) -> tuple[Stimulus, Stimulus]:
    """Return S1 along the first column of a sheet and S2, ``s2_ms`` later, on its first half of rows.

    When S2 falls on the tail of the first wave, its front can spread only where the tissue has recovered, and
    curls round the end of the block: the textbook induction of a spiral.
    """
    rows = tissue.mask.shape[1] * tissue.spacing_mm[1]
    far = 1e9
    line = tissue.box((0, 0, 0), (far, far, width_mm))
    half = tissue.box((0, 0, 0), (far, rows / 2, far))
    return (
        Stimulus(line, (0.0,), strength_A_per_F=strength_A_per_F),
        Stimulus(half, (s2_ms,), strength_A_per_F=strength_A_per_F),
    )
