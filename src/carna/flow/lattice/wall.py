"""Stress of the blood on the wall, from the nodes next to it."""

from __future__ import annotations

from typing import final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.lattice.domain import Domain

Floats = npt.NDArray[np.float64]

NEAREST = 0.3  # of a cell: closer than this, the node's own rate is the wall's


@final
class Shear:
    """Gathers the wall shear stress over time.

    At a node a distance d from the wall with velocity u along it, a parabola through the wall gives the
    rate at the wall as 2 u / d - (rate at the node); in a developed pipe flow that is exact.
    """

    def __init__(self, domain: Domain) -> None:
        if domain.shape.halfway:
            raise InputError("a voxel mask", needed="a shape with distances, for stress on its wall")
        self.nodes = np.unique(domain.at)
        at, h = domain.points_mm[self.nodes], 0.05 * domain.dx_mm
        slope = np.stack(
            [domain.shape.distance(at + h * e) - domain.shape.distance(at - h * e) for e in np.eye(3)], axis=1
        )
        self.outward = slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12)
        self.gap_m = np.maximum(-domain.shape.distance(at), 1e-3 * domain.dx_mm) * 1e-3
        self.near = self.gap_m < NEAREST * domain.dx_mm * 1e-3
        self.sum, self.size, self.count = np.zeros((len(at), 3)), np.zeros(len(at)), 0

    def stress(self, velocity_m_s: Floats, strain_s: Floats, viscosity_mPas: Floats) -> Floats:
        """Return the stress vectors (walls, 3) on the wall, Pa, along the flow."""
        n, u, s = self.outward, velocity_m_s[self.nodes], strain_s[self.nodes]
        along = u - (u * n).sum(1, keepdims=True) * n
        full = s[:, [[0, 3, 4], [3, 1, 5], [4, 5, 2]]]
        pull = np.einsum("nij,nj->ni", full, n)
        here = -2 * (pull - (pull * n).sum(1, keepdims=True) * n)
        rate = np.where(self.near[:, None], here, 2 * along / self.gap_m[:, None] - here)
        return np.asarray(rate * viscosity_mPas[self.nodes, None] * 1e-3)

    def add(self, velocity_m_s: Floats, strain_s: Floats, viscosity_mPas: Floats) -> None:
        """Take one moment in."""
        t = self.stress(velocity_m_s, strain_s, viscosity_mPas)
        self.sum += t
        self.size += np.linalg.norm(t, axis=1)
        self.count += 1

    def result(self) -> tuple[Floats, Floats]:
        """Return the mean size, Pa, and the oscillatory index 1/2 (1 - |mean| / mean size)."""
        mean = np.linalg.norm(self.sum, axis=1)
        return self.size / max(self.count, 1), 0.5 * (1 - mean / np.maximum(self.size, 1e-30))
