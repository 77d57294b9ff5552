"""Kernel of `carna.ep.eikonal.surface`: vertices look again until nothing becomes earlier."""

from __future__ import annotations

import numpy as np

from carna.ep.eikonal.stencil import Array, compiled


@compiled
def through_edge(to_p: Array, edge: Array, metric: Array, at_p: float, at_q: float) -> float:
    """Return the time at x = p + ``to_p`` through the edge from p to q = p + ``edge``."""
    a = b = c = 0.0
    for i in range(3):
        for j in range(3):
            m = metric[i, j]
            a += edge[i] * m * edge[j]
            b += edge[i] * m * to_p[j]
            c += to_p[i] * m * to_p[j]
    best = min(at_p + np.sqrt(c), at_q + np.sqrt(max(a - 2 * b + c, 0.0)))
    late = at_q - at_p
    if np.isfinite(late) and late * late < a:
        height = max(c - b * b / a, 0.0)
        t = b / a - late * np.sqrt(height / (a * (a - late * late)))
        if 0 < t < 1:
            best = min(best, at_p + t * late + np.sqrt(max(a * t * t - 2 * b * t + c, 0.0)))
    return float(best)


@compiled
def surface_march(
    u: Array, points: Array, triangles: Array, metric: Array, first: Array, corner: Array
) -> None:
    """Finish all times in place; ``u`` (n,) holds sources and infinity elsewhere.

    ``corner[first[x] : first[x + 1]]`` are the corners (3 * triangle + which) that are vertex x.
    """
    n = u.shape[0]
    queue = np.empty(n + 1, np.int64)
    waits = np.zeros(n, np.bool_)
    begin, end = 0, 0
    order = np.argsort(u)
    for s in range(n):
        x = order[s]
        if np.isfinite(u[x]):
            queue[end] = x
            end += 1
            waits[x] = True
    while begin != end:
        x = queue[begin]
        begin = (begin + 1) % (n + 1)
        waits[x] = False
        for place in range(first[x], first[x + 1]):
            t, which = corner[place] // 3, corner[place] % 3
            for turn in range(1, 3):
                y = triangles[t, (which + turn) % 3]
                if u[y] <= u[x]:
                    continue
                time = u[y]
                for around in range(first[y], first[y + 1]):
                    s, mine = corner[around] // 3, corner[around] % 3
                    p, q = triangles[s, (mine + 1) % 3], triangles[s, (mine + 2) % 3]
                    if x in (p, q):
                        if not np.isfinite(u[p]):
                            p, q = q, p
                        time = min(
                            time,
                            through_edge(points[y] - points[p], points[q] - points[p], metric[s], u[p], u[q]),
                        )
                if time < u[y] - 1e-9:
                    u[y] = time
                    if not waits[y]:
                        waits[y] = True
                        queue[end] = y
                        end = (end + 1) % (n + 1)
