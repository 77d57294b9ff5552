"""Kernels of the re-entry screening: the eikonal equation with tissue that recovers.

Every voxel may be excited again once it has recovered. An excitation at time t, d ms after the last recovery
(the diastolic interval), makes the voxel refractory for APD(d) and travelled into it at v CV(d), both tables
of its region. Otherwise this is the ordered pass of `carna.ep.eikonal.march` with its clock running on: a
neighbour's excitation counts for a voxel only if it comes when that voxel has recovered, or at most
``linger`` before (a front waits a moment at tissue about to recover, since it stays depolarised behind);
so fronts die on refractory tissue, on each other, and turn around what is blocked. The events are handled
in order of time: no time step, no iteration, the same answer every time.

Relatives, by iteration: Barrios Espinosa 2024 (arXiv:2406.18619), Gander 2024 (arXiv:2410.22583).
"""

from __future__ import annotations

import numpy as np

from carna.ep.eikonal.march import BUCKETS, add_term, link, unlink
from carna.ep.eikonal.stencil import Array, compiled, inlined
from carna.ep.reentry.state import State


@inlined
def _await(state: State, x: int, time: float, bucket_ms: float) -> None:
    """Queue voxel ``x`` for ``time``, or move it there."""
    if state.time[x] < np.inf:
        unlink(x, state.slot, state.head, state.after, state.before)
    else:
        state.clock[1] += 1
    state.time[x] = time
    state.slot[x] = max(state.clock[0], np.int64(np.floor(time / bucket_ms)))
    link(x, state.slot, state.head, state.after, state.before)


@compiled
def stimulate(state: State, voxels: Array, time: float, bucket_ms: float) -> int:
    """Excite those of ``voxels`` that have recovered by ``time``; return how many."""
    excited = 0
    for x in voxels:
        if state.ready[x] <= time < state.time[x]:
            state.parent[x] = -1
            _await(state, x, time, bucket_ms)
            excited += 1
    return excited


@compiled
def advance(
    state: State, first: Array, to: Array, weight: Array, kind: Array, region: Array,
    apd: Array, speed: Array, linger: float, bucket_ms: float, until: float,
) -> int:  # fmt: skip
    """Let time run to ``until`` (ms), in place; return how many excitations are still awaited.

    ``apd`` (regions, m) ms and ``speed`` (regions, m), a factor, are tables at 0, 1, 2 ... ms after recovery.
    """
    stop = np.int64(np.floor(until / bucket_ms))
    keep = state.log_time.shape[0]
    longest = apd.shape[1] - 1
    while state.clock[1] > 0:
        now = state.clock[0]
        x = state.head[now & (BUCKETS - 1)]
        while x >= 0 and state.slot[x] != now:
            x = state.after[x]
        if x < 0:
            if now >= stop:
                return int(state.clock[1])
            state.clock[0] += 1
            continue
        unlink(x, state.slot, state.head, state.after, state.before)
        here = state.time[x]
        rest = int(min(max(here - state.ready[x], 0.0), longest))
        state.previous[x] = state.act[x]
        state.act[x] = here
        state.ready[x] = here + apd[region[x], rest]
        state.time[x] = np.inf
        state.sums[x] = 0.0
        state.heard[x] = 0
        event = state.clock[2]
        at = event % keep
        state.log_voxel[at], state.log_time[at], state.log_parent[at] = x, here, state.parent[x]
        state.last_event[x] = event
        state.clock[1] -= 1
        state.clock[2] += 1
        for a in range(first[x], first[x + 1]):
            y = to[a]
            if here >= state.ready[y] - linger and here < state.time[y]:
                rest = int(min(max(here - state.ready[y], 0.0), longest))
                _hear(state, y, here, event, weight[a], kind[a], speed[region[y], rest], bucket_ms)
    state.clock[0] = max(state.clock[0], stop)
    return 0


@inlined
def _hear(
    state: State, y: int, here: float, event: int, weight: float, kind: int, speed: float, bucket_ms: float
) -> None:
    """Let voxel ``y`` take notice of a neighbour excited ``here`` (ms)."""
    if kind < 0:
        time = here + weight / speed
        strength = 1.0 / (weight * weight)
    else:
        bit = np.uint8(1 << kind)
        if state.heard[y] & bit:
            return
        state.heard[y] |= bit
        time = add_term(state.sums[y], weight, here, 1.0 / (speed * speed))
        strength = weight
    time = max(time, state.ready[y])
    if time < state.time[y]:
        best = state.strength[y]
        gain, had = strength * (time - here) ** 2, best[0] * (time - best[1]) ** 2
        if state.time[y] == np.inf or gain > had:
            best[0], best[1] = strength, here
            state.parent[y] = event
        _await(state, y, time, bucket_ms)
