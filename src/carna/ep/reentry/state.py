"""Where every voxel of a re-entry screening stands, between two runs of the kernel."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class State(NamedTuple):
    """Where every voxel stands; copying its arrays is a checkpoint.

    Per voxel: ``time`` of the next excitation (infinity: none awaited), ``act`` and ``previous`` the last
    two, ``ready`` when it recovers, ``sums``, ``heard`` and ``parent`` of the excitation under way.
    ``slot``, ``head``, ``after``, ``before``: the queue. ``clock``: bucket now, waiting, events so far.
    ``log_*``: a ring of the last events: voxel, time, number of the event that caused it.
    """

    time: Array
    act: Array
    previous: Array
    ready: Array
    sums: Array
    heard: Array
    parent: Array
    strength: Array
    last_event: Array
    slot: Array
    head: Array
    after: Array
    before: Array
    clock: Array
    log_voxel: Array
    log_time: Array
    log_parent: Array


def fresh(n: int, log: int) -> State:
    """Return ``n`` voxels at rest and a log that keeps ``log`` events."""
    from carna.ep.eikonal.march import BUCKETS

    return State(
        time=np.full(n, np.inf),
        act=np.full(n, -np.inf),
        previous=np.full(n, -np.inf),
        ready=np.full(n, -np.inf),
        sums=np.zeros((n, 3)),
        heard=np.zeros(n, np.uint8),
        parent=np.full(n, -1, np.int64),
        strength=np.zeros((n, 2)),
        last_event=np.full(n, -1, np.int64),
        slot=np.full(n, -1, np.int32),
        head=np.full(BUCKETS, -1, np.int64),
        after=np.full(n, -1, np.int32),
        before=np.full(n, -1, np.int32),
        clock=np.zeros(3, np.int64),
        log_voxel=np.zeros(log, np.int32),
        log_time=np.zeros(log),
        log_parent=np.full(log, -1, np.int64),
    )
