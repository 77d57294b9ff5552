"""The ordered pass: fast marching with a bucket queue (numba kernels).

Voxels are finished in the order of their time, rounded to buckets finer than a step from voxel to voxel;
each that finishes lets those that listen to it look again (Sethian 1996, doi:10.1073/pnas.93.4.1591;
the untidy queue is Yatziv 2006, doi:10.1016/j.jcp.2005.08.005). Work is one look per neighbour: no iteration.
"""

from __future__ import annotations

import numpy as np

from carna.ep.eikonal.stencil import Array, compiled, length

BUCKETS = 4096


@compiled
def add_term(total: Array, w: float, v: float, right: float) -> float:
    """Add w (u - v)^2 to the sum of a voxel and return u where the sum is ``right`` (infinity: nowhere)."""
    total[0] += w
    total[1] += w * v
    total[2] += w * v * v
    root = total[1] * total[1] - total[0] * (total[2] - right)
    if root < 0:
        return np.inf
    return float((total[1] + np.sqrt(root)) / total[0])


@compiled
def march(
    u: Array, given: Array, first: Array, to: Array, weight: Array, kind: Array, cell: Array, index: Array,
    bucket_ms: float, second: bool,
) -> int:  # fmt: skip
    """Finish all times in place; ``u`` (n,) holds the given times and infinity elsewhere.

    A given time stands unless something arrives earlier by more than ``given`` (n,), ms: the stencil's own
    error next to a source is no arrival.

    Neighbours finish in the order of their times, so the sum of the stencil grows term by term: three
    numbers per voxel (sums of w, w v and w v^2) and the pairs already heard are all its memory.
    Returns the number of nodes reached.
    """
    n = u.shape[0]
    sums = np.zeros((n, 3))
    heard, done = np.zeros(n, np.uint8), np.zeros(n, np.bool_)
    head, after = np.full(BUCKETS, -1, np.int64), np.full(n, -1, np.int32)
    before, slot = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    now, waiting, reached = np.int64(1) << 60, 0, 0
    for x in range(n):
        if u[x] < np.inf:
            slot[x] = np.int64(np.floor(u[x] / bucket_ms))
            link(x, slot, head, after, before)
            now = min(now, slot[x])
            waiting += 1
    while waiting > 0:
        x = head[now & (BUCKETS - 1)]
        while x >= 0 and slot[x] != now:
            x = after[x]
        if x < 0:
            now += 1
            continue
        unlink(x, slot, head, after, before)
        done[x] = True
        waiting -= 1
        reached += 1
        here = u[x]
        for a in range(first[x], first[x + 1]):
            y = to[a]
            if done[y]:
                continue
            if kind[a] < 0:
                time = here + weight[a]
            else:
                bit = np.uint8(1 << kind[a])
                if heard[y] & bit or here >= u[y]:
                    continue
                heard[y] |= bit
                w, v = float(weight[a]), here
                if second:
                    behind = index[2 * cell[x] - cell[y]]
                    if behind >= 0 and done[behind] and u[behind] <= here:
                        ahead = here + (here - u[behind]) / 3.0
                        if ahead < u[y]:
                            w, v = 2.25 * w, ahead
                time = add_term(sums[y], w, v, 1.0)
            if time < u[y] - given[y]:
                if u[y] < np.inf:
                    unlink(y, slot, head, after, before)
                else:
                    waiting += 1
                u[y] = time
                slot[y] = max(now, np.int64(np.floor(time / bucket_ms)))
                link(y, slot, head, after, before)
    return reached


@compiled
def link(x: int, slot: Array, head: Array, after: Array, before: Array) -> None:
    """Put a node into the bucket of its slot."""
    bucket = slot[x] & (BUCKETS - 1)
    after[x], before[x] = head[bucket], -1
    if head[bucket] >= 0:
        before[head[bucket]] = x
    head[bucket] = x


@compiled
def unlink(x: int, slot: Array, head: Array, after: Array, before: Array) -> None:
    """Take a node out of the bucket of its slot."""
    if before[x] >= 0:
        after[before[x]] = after[x]
    else:
        head[slot[x] & (BUCKETS - 1)] = after[x]
    if after[x] >= 0:
        before[after[x]] = before[x]


@compiled
def exact_balls(
    u: Array, given: Array, sources: Array, times: Array, radius: float, spacing: Array,
    metric: Array, place: Array, index: Array,
) -> None:  # fmt: skip
    """Set ``u`` to the straight travel time near every source: a front is round there, a stencil is not.

    The velocity tensor is taken half from the source and half from the voxel reached; a voxel counts if
    the straight line to it stays in tissue. ``given`` becomes half the time that a voxel takes.
    """
    reach = np.ceil(radius / spacing)
    for s in range(sources.shape[0]):
        x = sources[s]
        k, r, c = place[x]
        u[x] = min(u[x], times[s])
        for dk in range(-reach[0], reach[0] + 1):
            for dr in range(-reach[1], reach[1] + 1):
                for dc in range(-reach[2], reach[2] + 1):
                    far = (dk * spacing[0]) ** 2 + (dr * spacing[1]) ** 2 + (dc * spacing[2]) ** 2
                    if far > radius * radius:
                        continue
                    kk, rr, cc = k + dk, r + dr, c + dc
                    if (
                        min(kk, rr, cc) < 0
                        or kk >= index.shape[0]
                        or rr >= index.shape[1]
                        or cc >= index.shape[2]
                    ):
                        continue
                    y = index[kk, rr, cc]
                    if y < 0 or not _straight(index, k, r, c, dk, dr, dc):
                        continue
                    time = 0.5 * (length(metric, x, dk, dr, dc) + length(metric, y, dk, dr, dc))
                    u[y] = min(u[y], times[s] + time)
                    given[y] = 0.5 * np.sqrt(metric[y, 0] + metric[y, 1] + metric[y, 2])


@compiled
def _straight(index: Array, k: int, r: int, c: int, dk: int, dr: int, dc: int) -> bool:
    steps = 2 * max(abs(dk), abs(dr), abs(dc))
    for n in range(1, steps):
        part = n / steps
        at_k, at_r, at_c = (
            k + int(np.floor(part * dk + 0.5)),
            r + int(np.floor(part * dr + 0.5)),
            c + int(np.floor(part * dc + 0.5)),
        )
        if index[at_k, at_r, at_c] < 0:
            return False
    return True
