"""A tree of vessels as numbers without units: what the learned surrogates read.

With G the sum of the outlets' conductances, D the drive (inlet less venous pressure) and q a flow over D G, a
segment loses r q + s q^2 of the drive, r = R G and s = S G^2 D, and an outlet takes its share w of the flow
when nothing is lost. Pressures over D depend on r, s, w and the tree's shape alone, so a net that reads them
needs no pressures, millimetres or viscosities in its training.

`Segments.one_pass` is the formula that every surrogate has to beat: flows as if nothing were lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.blood import MMHG, Blood
from carna.flow.boundary import Boundary
from carna.flow.network import Network
from carna.flow.steady import EXPANSION, WIDER, losses, outlets
from carna.flow.virtual import Forest

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LOCAL: Final = ("friction", "jet", "share", "friction of one pass", "jet of one pass", "outlet")
PATH: Final = (
    "one pass",
    "friction above",
    "jet above",
    "largest loss above",
    "own friction",
    "own jet",
    "share",
    "own share over the parent's",
    "segments above",
    "loss below, weighted by flow",
    "loss of the tree, weighted by flow",
    "drive over pressure",
)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Trees laid end to end, without units.

    Attributes
    ----------
    start : (t + 1,) int
        Where each tree's segments begin.
    parent : (s,) int
        Of the whole row; -1 at an inlet.
    levels : tuple of (k,) int
        Segments by their distance from the inlet, 0 first.
    friction, jet : (s,) float
        r and s.
    share : (s,) float, 0 to 1
        Flow through the segment if nothing were lost, over all.
    leaf : (s,) bool
    drive : (s,) float
        Drive of its tree over its inlet pressure.
    """

    start: Ints
    parent: Ints
    levels: tuple[Ints, ...]
    friction: Floats
    jet: Floats
    share: Floats
    leaf: npt.NDArray[np.bool_]
    drive: Floats

    def __len__(self) -> int:
        return len(self.parent)

    @classmethod
    def of_forest(cls, forest: Forest, blood: Blood | None = None) -> Segments:
        """Describe virtual trees."""
        from carna.flow.steady_kernel import accumulate

        blood = blood or Blood()
        friction, jet = accumulate(
            forest.points,
            forest.step_mm,
            forest.radius_mm,
            8 * blood.viscosity_mPas / (np.pi * MMHG),
            EXPANSION * blood.density_kg_m3 / (2 * MMHG),
            WIDER,
        )
        last = forest.points[1:] - 1
        owner = np.repeat(forest.start[:-1], np.diff(forest.start))
        parent = np.where(forest.parent >= 0, forest.parent + owner, -1)
        return _segments(
            forest.start,
            parent,
            friction[last],
            jet[last],
            forest.outlet,
            forest.pressure_mmHg,
            np.full(len(forest), forest.venous_mmHg),
        )

    @classmethod
    def of_network(cls, vessels: Network, boundary: Boundary, blood: Blood | None = None) -> Segments:
        """Describe one tree.

        Raises
        ------
        InputError
            If the boundary gives a flow in place of a pressure, an outlet has no condition, or outlets end
            at different venous pressures.
        """
        if boundary.pressure_mmHg is None:
            raise InputError("a boundary with a flow at the inlet", needed="a pressure at the inlet")
        ends, veins = outlets(vessels, boundary)
        venous = np.unique(veins[ends > 0])
        if len(venous) > 1:
            raise InputError(
                f"outlets that end at {venous[0]:g} to {venous[-1]:g} mmHg", needed="one venous pressure"
            )
        lost = losses(vessels, blood or Blood())
        tails = np.array([at[-1] for at in vessels.segments])
        pressure = np.array([boundary.pressure_mmHg])
        start = np.array([0, len(vessels)])
        return _segments(start, vessels.parent, lost.friction[tails], lost.jet[tails], ends, pressure, venous)

    def down(self, loss: Floats) -> Floats:
        """Return the sum of a loss from the inlet to each tail, (s,)."""
        whole = loss.copy()
        for level in self.levels[1:]:
            whole[level] += whole[self.parent[level]]
        return whole

    def ratio(self, flow: Floats) -> Floats:
        """Return pressure over inlet pressure at each tail for flows over D G: the loss law itself, (s,)."""
        return 1 - self.drive * self.down(self.friction * flow + self.jet * flow**2)

    def one_pass(self) -> Floats:
        """Return 1 / (1 + loss), the loss of flows that nothing holds back: (s,)."""
        return 1 / (1 + self.drive * self.down(self.friction * self.share + self.jet * self.share**2))

    def local(self) -> Floats:
        """Return what a net reads of each segment, (s, 6), logarithms about 0 to 1: `LOCAL`."""
        w = self.share
        parts = (self.friction, self.jet, w, self.friction * w, self.jet * w * w)
        floors = (1e-3, 1e-3, 1e-3, 1e-4, 1e-5)
        logs = [np.log10(np.maximum(x, f)) - np.log10(f) for x, f in zip(parts, floors, strict=True)]
        return np.stack([*(x / 3 for x in logs), self.leaf.astype(float)], 1)

    def path(self) -> Floats:
        """Return what boosted trees read of each tail, (s, 12): `PATH`."""
        friction, jet = self.friction * self.share, self.jet * self.share**2
        own = friction + jet
        worst = own.copy()
        for level in self.levels[1:]:
            worst[level] = np.maximum(worst[level], worst[self.parent[level]])
        depth = np.empty(len(self))
        below, weight = np.zeros(len(self)), np.maximum(self.share, 1e-12)
        for n, level in enumerate(self.levels):
            depth[level] = n
        for level in self.levels[:0:-1]:
            # Flow-weighted mean over what lies below, its own loss included.
            np.add.at(below, self.parent[level], below[level] + weight[level] * own[level])
        below /= weight
        up = np.maximum(self.parent, 0)
        roots = np.repeat(self.start[:-1], np.diff(self.start))
        columns = (
            self.one_pass(),
            self.down(friction),
            self.down(jet),
            worst,
            friction,
            jet,
            self.share,
            np.where(self.parent >= 0, self.share / weight[up], 1.0),
            depth,
            below,
            (below + own)[roots],
            self.drive,
        )
        return np.stack(columns, 1)


def _segments(
    start: Ints, parent: Ints, friction: Floats, jet: Floats, outlet: Floats, pressure: Floats, venous: Floats
) -> Segments:
    sizes = np.diff(start)
    conduct = np.divide(1.0, outlet, out=np.zeros(len(outlet)), where=outlet > 0)
    whole = np.repeat(np.add.reduceat(conduct, start[:-1]), sizes)
    drive = np.repeat(pressure - venous, sizes)
    levels = [np.flatnonzero(parent < 0)]
    left = np.flatnonzero(parent >= 0)
    while len(left):
        # Parents stand before children, so a level's parents are known by the time it is asked for.
        ready = np.isin(parent[left], levels[-1])
        levels.append(left[ready])
        left = left[~ready]
    share = conduct / whole
    for level in levels[:0:-1]:
        np.add.at(share, parent[level], share[level])
    return Segments(
        start,
        np.asarray(parent, np.int64),
        tuple(levels),
        friction * whole,
        jet * whole**2 * drive,
        share,
        outlet > 0,
        drive / np.repeat(pressure, sizes),
    )
