"""Where each node is kept: lanes for the cells, bricks for diffusion.

Cells react 512 at a time in *blocks*; nodes of one model follow each other without gaps, so no lane is
wasted on voxels that are not tissue. Diffusion works on *bricks* of the grid (see `stencil`), which may be
half empty. Both are sorted alike, so that a brick's nodes lie nearly in a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from carna.errors import InputError

if TYPE_CHECKING:
    from carna.ep.tissue.grid import Tissue

Ints = NDArray[np.int32]
LANES = 512


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Nodes, lanes, blocks and bricks of a tissue.

    Attributes
    ----------
    shape : (int, int, int)
        Of the grid.
    voxel : (lanes,) int64
        Flat grid index of a lane's node, -1 in the unused lanes at the end of each model's last block.
    blocks : tuple of (region, first block, end block)
        Which blocks belong to which model.
    lane : (k + 2, r + 2, c + 2) int32
        Lane of each voxel, -1 outside; one voxel of rim.
    brick : (int, int, int)
        Shape of a brick.
    corner : (bricks, 3) int64
        First voxel of each brick.
    home : (bricks, 512) int32
        Lane of each place of a brick, -1 where there is none.
    """

    shape: tuple[int, int, int]
    voxel: NDArray[np.int64]
    blocks: tuple[tuple[int, int, int], ...]
    lane: Ints
    brick: tuple[int, int, int]
    corner: NDArray[np.int64]
    home: Ints

    @property
    def lanes(self) -> int:
        """Lanes in all, a multiple of 512."""
        return len(self.voxel)

    @property
    def used(self) -> NDArray[np.bool_]:
        """Which lanes hold a node."""
        return self.voxel >= 0

    def spread(self, values: NDArray[np.generic], fill: float = np.nan) -> NDArray[np.generic]:
        """Return lanes' values on the grid, ``(k, r, c)``."""
        out = np.full(int(np.prod(self.shape)), fill, values.dtype)
        flat = values.reshape(-1)
        out[self.voxel[self.used]] = flat[self.used]
        return out.reshape(self.shape)

    def collect(self, field: NDArray[np.generic], fill: float = 0.0) -> NDArray[np.generic]:
        """Return a grid field's values by lane, ``(lanes,)``."""
        out = np.full(self.lanes, fill, field.dtype)
        out[self.used] = field.reshape(-1)[self.voxel[self.used]]
        return out

    def lane_at(self, voxel: tuple[int, int, int]) -> int:
        """Return the lane of a voxel."""
        k, r, c = voxel
        found = int(self.lane[k + 1, r + 1, c + 1])
        if found < 0:
            raise InputError(f"voxel {voxel} is no tissue", needed="a tissue voxel")
        return found

    def halo(self, width: int, *, mirror: bool = False) -> Ints:
        """Return the lanes that each brick reads, ``(bricks, places)``; 0 where there is no node.

        With ``mirror`` a full box is continued by reflection about its outermost nodes.
        """
        if mirror:
            inner = self.lane[1:-1, 1:-1, 1:-1]
            pad = [(width if n > 1 else 0,) * 2 for n in self.shape]
            lane = np.pad(inner, pad, mode="reflect")
            first = np.zeros(3, np.int64)
        else:
            if width != 1:
                raise ValueError("a rim of one voxel is kept")
            lane = self.lane
            first = np.array([0 if n > 1 else 1 for n in self.brick])
        sizes = [n + 2 * width if n > 1 else n for n in self.brick]
        # A brick may hang over the grid's end; what it would read there does not exist.
        room = [
            max(0, int(self.corner[:, a].max()) + int(first[a]) + sizes[a] - lane.shape[a]) for a in range(3)
        ]
        lane = np.pad(lane, [(0, n) for n in room], constant_values=-1)
        steps = np.meshgrid(*[np.arange(n) for n in sizes], indexing="ij")
        strides = np.array([lane.shape[1] * lane.shape[2], lane.shape[2], 1])
        inside = np.stack([s.reshape(-1) for s in steps], -1) @ strides
        start = (self.corner + first) @ strides
        flat, out = lane.reshape(-1), np.empty((len(start), len(inside)), np.int32)
        for first_row in range(0, len(start), 1024):  # indices of all at once would be twice as large
            some = slice(first_row, first_row + 1024)
            np.maximum(flat[start[some, None] + inside], 0, out=out[some])
        return out


def lay_out(tissue: Tissue) -> Layout:
    """Sort a tissue's nodes into blocks and bricks."""
    from carna.ep.tissue.stencil import BRICKS

    shape = tissue.mask.shape
    # A cable may run along any axis; only one along c fills its bricks.
    brick = BRICKS[3] if shape[0] > 1 else BRICKS[2] if shape[1] > 1 else BRICKS[1]
    flat = np.flatnonzero(tissue.mask)
    k, r, c = np.unravel_index(flat, shape)
    counts = [-(-n // b) for n, b in zip(shape, brick, strict=True)]
    of_brick = np.ravel_multi_index((k // brick[0], r // brick[1], c // brick[2]), counts)
    slot = np.ravel_multi_index((k % brick[0], r % brick[1], c % brick[2]), brick)
    region = np.zeros(len(flat), np.int64) if tissue.region is None else tissue.region.reshape(-1)[flat]
    order = np.lexsort((slot, of_brick, region))
    found, sizes = np.unique(region, return_counts=True)
    blocks, first, begin = [], 0, 0
    voxel = np.full(sum(-(-int(n) // LANES) for n in sizes) * LANES, -1, np.int64)
    lane_of = np.empty(len(flat), np.int64)
    for which, n in zip(found.tolist(), sizes.tolist(), strict=True):
        end = first + -(-n // LANES)
        mine = order[begin : begin + n]
        voxel[first * LANES : first * LANES + n] = flat[mine]
        lane_of[mine] = first * LANES + np.arange(n)
        blocks.append((int(which), first, end))
        first, begin = end, begin + n
    lane = np.full(tuple(n + 2 for n in shape), -1, np.int32)
    lane[1:-1, 1:-1, 1:-1].reshape(shape)[tissue.mask] = lane_of
    present, row = np.unique(of_brick, return_inverse=True)
    home = np.full((len(present), LANES), -1, np.int32)
    home[row, slot] = lane_of
    corner = np.stack(np.unravel_index(present, counts), -1) * np.array(brick)
    return Layout(shape, voxel, tuple(blocks), lane, brick, corner, home)
