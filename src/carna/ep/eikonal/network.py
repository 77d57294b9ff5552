"""Line networks (Purkinje, cables): travel times along edges, and where they meet the tissue.

A junction wakes the tissue after ``delay_ms`` and is woken by it after ``delay_back_ms``: the small Purkinje
fibre drives the large muscle late, the muscle drives the fibre at once (Wiedmann 1996,
doi:10.1152/ajpheart.1996.271.4.H1507). A network without junctions is a cable.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

if TYPE_CHECKING:
    from carna.ep.eikonal.grid import Medium

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def _none() -> Ints:
    return np.zeros((0, 4), np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A line network.

    Parameters
    ----------
    points_mm : (p, 3) float
        In any frame; only distances are used.
    edges : (e, 2) int
    velocity_m_s : float or (e,) float
        Conduction velocity of each edge; human Purkinje fibres 2-4 m/s.
    junctions : (j, 4) int
        Node, then the voxel k, r, c it excites.
    delay_ms, delay_back_ms : float
        From node to voxel and from voxel to node, at least 0.
    reach_mm : float
        Radius around the voxel that the junction excites, each voxel after the straight travel time.
    """

    points_mm: Floats
    edges: Ints
    velocity_m_s: float | Floats = 2.5
    junctions: Ints = field(default_factory=_none)
    delay_ms: float = 4.0
    delay_back_ms: float = 2.0
    reach_mm: float = 1.0

    def __post_init__(self) -> None:
        edges = np.asarray(self.edges, np.int64).reshape(-1, 2)
        if edges.size and (edges.min() < 0 or edges.max() >= len(self.points_mm)):
            raise InputError(
                f"edges point to {edges.max()}", needed=f"nodes from 0 to {len(self.points_mm) - 1}"
            )
        if not (np.asarray(self.velocity_m_s) > 0).all() or min(self.delay_ms, self.delay_back_ms) < 0:
            raise InputError(
                "a velocity of 0 or a delay below 0", needed="velocities above 0, delays from 0 ms"
            )
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "junctions", np.asarray(self.junctions, np.int64).reshape(-1, 4))

    @property
    def edge_ms(self) -> Floats:
        """Travel time of each edge, ms."""
        points = np.asarray(self.points_mm, float)
        length = np.linalg.norm(points[self.edges[:, 0]] - points[self.edges[:, 1]], axis=1)
        return np.asarray(length / np.asarray(self.velocity_m_s, float))

    @property
    def terminals(self) -> Ints:
        """Nodes with one edge only."""
        return np.flatnonzero(np.bincount(self.edges.ravel(), minlength=len(self.points_mm)) == 1)


def network_times(network: Network, nodes: npt.ArrayLike, start_ms: float = 0.0) -> Floats:
    """Return arrival times (p,), ms, on a network by itself: shortest paths, exact (Dijkstra 1959)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import dijkstra

    n = len(network.points_mm)
    a, b = network.edges.T
    # An edge of no length would be read as no edge.
    cost = np.maximum(network.edge_ms, 1e-12)
    graph = coo_matrix((cost, (a, b)), shape=(n, n)).tocsr()
    found = dijkstra(graph, directed=False, indices=np.atleast_1d(np.asarray(nodes, np.int64)), min_only=True)
    return np.asarray(start_ms + found)


def attach(network: Network, index_points: npt.ArrayLike, tissue: Medium, within_mm: float = 2.0) -> Network:
    """Return the network with a junction at each terminal that lies in or near the tissue.

    Parameters
    ----------
    network : Network
    index_points : (p, 3) float
        Its points as fractional voxel indices (`carna.space.Grid.to_index`).
    tissue : Medium
    within_mm : float
        A terminal farther from every tissue voxel gets no junction.
    """
    from scipy.spatial import cKDTree

    ends = network.terminals
    where = np.asarray(index_points, float)[ends] * tissue.spacing_mm
    away, nearest = cKDTree(tissue.place * tissue.spacing_mm).query(where)
    close = away <= within_mm
    return replace(network, junctions=np.column_stack([ends[close], tissue.place[nearest[close]]]))


def joined(tissue: Medium, network: Network) -> Medium:
    """Return the tissue with the network's nodes behind its voxels, for `arrival_with_network`."""
    from carna.ep.eikonal.march import exact_balls

    n, extra = tissue.voxels, len(network.points_mm)
    a, b = network.edges.T + n
    cost = network.edge_ms
    leave, enter, time = [a, b], [b, a], [cost, cost]
    inner = tuple(slice(tissue.pad, tissue.pad + size) for size in tissue.mask.shape)
    for junction in network.junctions:
        voxel = tissue.number(junction[1:])
        u = np.full(n, np.inf)
        exact_balls(
            u, np.zeros(n, np.float32), voxel, np.zeros(1), float(network.reach_mm),
            tissue.spacing_mm, tissue.metric, tissue.place, tissue.index[inner],
        )  # fmt: skip
        ball = np.flatnonzero(np.isfinite(u))
        leave += [np.full(len(ball), junction[0] + n), voxel]
        enter += [ball, np.array([junction[0] + n])]
        time += [network.delay_ms + u[ball], np.array([network.delay_back_ms])]
    source, target, cost = (np.concatenate(parts) for parts in (leave, enter, time))
    old = np.concatenate([tissue.first, np.full(extra, tissue.first[-1])])
    order = np.argsort(source, kind="stable")
    at = old[source[order] + 1]
    first = old + np.concatenate([[0], np.cumsum(np.bincount(source, minlength=n + extra))])
    return replace(
        tissue,
        first=first,
        to=np.insert(tissue.to, at, target[order].astype(np.int32)),
        weight=np.insert(tissue.weight, at, cost[order].astype(np.float32)),
        kind=np.insert(tissue.kind, at, np.int8(-1)),
        cell=np.concatenate([tissue.cell, np.zeros(extra, np.int64)]),
        bucket_ms=float(np.clip(cost[cost > 0].min(initial=tissue.bucket_ms), 0.005, tissue.bucket_ms)),
        extra=extra,
    )
