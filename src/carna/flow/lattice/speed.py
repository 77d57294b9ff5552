"""How fast the lattice is, and how fast memory would let it be, measured in one run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from carna.flow.blood import Blood
from carna.flow.lattice.domain import Domain, domain
from carna.flow.lattice.kernel import advance
from carna.flow.lattice.shape import Shape, pipe
from carna.flow.lattice.simulate import _state, scale
from carna.flow.lattice.stencil import MOVES, WEIGHTS

POPULATIONS: Final = 2 * 19 * 4
"""Bytes an update must move in place: 19 populations in, 19 out."""
ENTRIES: Final = 18 * 4
"""Bytes of the neighbour table, read by odd steps where 16 nodes are not in a row."""
ROWS: Final = 18 * 4 / 16
"""Bytes of the list of rows, read by every odd step."""


@final
@dataclass(frozen=True, slots=True)
class Speed:
    """Speed of one case.

    Attributes
    ----------
    case : "dense" or "sparse"
    nodes : int
    mlups : float
        Million node updates per CPU second of one thread.
    bytes_per_update : float
        Populations in and out, and the share of the table that is read.
    stream_GB_s : float
        Scale kernel b = s a in place over an array of >= 2 GiB, CPU seconds, the mean of before and after.
    bound_mlups : float
        Bandwidth over bytes.
    """

    case: str
    nodes: int
    mlups: float
    bytes_per_update: float
    stream_GB_s: float
    bound_mlups: float


def stream(gib: float = 2.0, rounds: int = 2) -> float:
    """Return the best memory bandwidth of one thread, GB per CPU second, from a = s a over one array."""
    a = np.ones(int(gib * 2**30 / 4), np.float32)
    best = np.inf
    for _ in range(rounds):
        began = time.process_time()
        np.multiply(a, np.float32(1.0001), out=a)
        best = min(best, time.process_time() - began)
    return 2 * a.nbytes / best / 1e9


def speed(
    *, dense: int = 128, radius_cells: int = 36, length_cells: int = 512, gib: float = 2.0
) -> tuple[Speed, Speed]:
    """Measure a dense periodic box and a sparse pipe; neither fits in a cache.

    CPU time is counted, not the clock; on a shared machine memory itself is shared, which is why the bound is
    measured in the same run.
    """
    half = dense / 2
    box = domain(
        Shape(lambda at: np.full(len(at), -1.0)), 1.0, (-half,) * 3, (half,) * 3, periodic=(True,) * 3
    )
    r = radius_cells + 0.3
    tube = domain(
        pipe(r), 1.0, (-r - 1, -r - 1, 0), (r + 1, r + 1, length_cells), periodic=(False, False, True)
    )
    return _measure("dense", box, gib), _measure("sparse", tube, gib)


def _measure(case: str, lumen: Domain, gib: float) -> Speed:
    units = scale(1.0, Blood(), 0.01)
    state = _state(lumen, Blood(), units, None, (0.0, 0.0, 0.0), np.float32)
    slots = np.zeros(lumen.table.size, np.float32)
    share = lumen.share.astype(np.float32)

    def go(steps: int) -> float:
        none = np.zeros((steps, 0))
        began = time.process_time()
        advance(slots, lumen.table, lumen.runs, *state, lumen.wall, share, lumen.link, lumen.edge,
                np.zeros(0), none, none.copy(), MOVES.astype(float), WEIGHTS, np.zeros((0, 4)))  # fmt: skip
        return time.process_time() - began

    go(2)
    first = stream(gib)
    steps = 6
    taken = min(go(steps), go(steps))
    band = 0.5 * (first + stream(gib))
    # Half of the steps look at the table, twice per block without a run (once to load, once to store).
    scattered = float((lumen.runs[1:] < 0).mean())
    size = POPULATIONS + 0.5 * (scattered * ENTRIES + ROWS)
    return Speed(case, len(lumen), len(lumen) * steps / taken / 1e6, size, band, band * 1e3 / size)
