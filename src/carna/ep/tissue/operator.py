"""The assembled diffusion operator: its table, its step and the largest time step it bears.

An explicit step ``V <- V + dt L V`` with ``L = -M^-1 A`` (A symmetric, positive semidefinite, M the volumes
of the nodes) does not raise ``V' M V`` as long as ``dt <= 2 / lambda_max(M^-1 A)``. Gershgorin's circles
bound the eigenvalue from above by the largest row sum ``(a_ii + sum |a_ij|) / m_i``, so the limit given here
is safe; where all weights are positive (fibres on the axes) it is also sharp.

Order 4 (full boxes, one tensor, fibres on an axis) takes the differences ``(-1, 16, -30, 16, -1) / 12`` on
each axis, with V reflected about the outermost nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carna.ep.tissue.layout import LANES, Ints, Layout
from carna.errors import InputError

if TYPE_CHECKING:
    from carna.ep.tissue.grid import Tissue

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """Diffusion, ready to step.

    Attributes
    ----------
    order : int
        2 or 4.
    limit_ms : float
        Largest stable time step, ms; infinite where nothing diffuses.
    volume : (lanes,) float64
        Share of a voxel that belongs to the node, 0 in unused lanes: weights of integrals.
    parts : tuple of (step, bricks, arguments)
        Kernels and the bricks they do.
    """

    order: int
    limit_ms: float
    volume: NDArray[np.float64]
    parts: tuple[tuple[Callable[..., None], Ints, tuple[Any, ...]], ...]

    def step(
        self,
        old: Array,
        new: Array,
        dt_ms: float,
        after: Array | None = None,
        share: tuple[int, int] = (0, 1),
        lists: tuple[Ints, ...] | None = None,
    ) -> None:
        """Write into ``new`` what ``old`` becomes in ``dt_ms``, and ``after - old`` besides.

        ``lists`` (as `chosen` makes them) does only those bricks, ``share`` (i, n) only the i-th of n parts.
        """
        i, n = share
        dt = old.dtype.type(dt_ms)
        for part, (kernel, every, arguments) in enumerate(self.parts):
            bricks = every if lists is None else lists[part]
            mine = bricks if n == 1 else bricks[len(bricks) * i // n : len(bricks) * (i + 1) // n]
            if len(mine):
                kernel(old, new, old if after is None else after, *arguments, dt, mine)

    def chosen(self, which: NDArray[np.bool_]) -> tuple[Ints, ...]:
        """Return the bricks of each part that are among some, ``which`` (bricks,)."""
        return tuple(bricks[which[bricks]] for _, bricks, _ in self.parts)

    def seen(self) -> tuple[Ints, Ints]:
        """Return pairs (brick, block): the blocks of cells whose V each brick reads or writes."""
        from carna.ep.tissue.watch import borders

        halo, home = self.parts[0][2][:2]
        brick, block = borders(halo, home, len(self.volume) // LANES)
        return brick, block

    def rate(self, v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``div(D grad V)`` at the lanes, mV/ms, for ``v`` (lanes,) float64."""
        new = v.copy()
        self.step(v, new, 1.0)
        return new - v


def tensors(
    along: Array, across: Array, normal: Array, fibres: Array, normals: Array | None
) -> tuple[Array, Array]:
    """Return (smallest diffusion, the rest as a tensor (n, 6)); inputs ``(n,)`` and ``(n, 3)``."""
    from carna.ep.tissue.assemble import PAIRS

    least = np.minimum(np.minimum(along, across), normal)
    f = np.asarray(fibres, np.float64)
    rest = np.empty((len(least), 6))
    if normals is None:
        s = np.zeros_like(f)
        first, second, ground = along - across, np.zeros_like(along), across
    else:
        s = np.asarray(normals, np.float64)
        first, second, ground = along - across, normal - across, across
    for p, (a, b) in enumerate(PAIRS):
        rest[:, p] = first * f[:, a] * f[:, b] + second * s[:, a] * s[:, b]
        if a == b:
            rest[:, p] += ground - least
    return least, rest


def _per_node(tissue: Tissue, field: Array, layout: Layout) -> NDArray[np.float64]:
    """Return a constant (3,) or a field (k, r, c, 3) as (lanes, 3)."""
    if np.ndim(field) == 1:
        return np.broadcast_to(np.asarray(field, np.float64), (layout.lanes, 3))
    out = np.zeros((layout.lanes, 3))
    out[layout.used] = field.reshape(-1, 3)[layout.voxel[layout.used]]
    return out


def _of_lanes(tissue: Tissue, layout: Layout, dtype: type[np.floating]) -> tuple[Array, Array, Array]:
    """Return (least (lanes,), rest (lanes, 6), coupling (lanes,)) of a tissue's tensors."""
    d = _per_node(tissue, tissue.diffusion_mm2_per_ms, layout)
    fibres = _per_node(tissue, tissue.fibres, layout)
    normals = None if tissue.normals is None else _per_node(tissue, tissue.normals, layout)
    least, rest = tensors(d[:, 0], d[:, 1], d[:, 2], fibres, normals)
    coupling = np.ones(layout.lanes)
    if tissue.coupling is not None:
        coupling = np.asarray(layout.collect(tissue.coupling, 1.0), np.float64)
    return least, rest.astype(dtype, copy=False), coupling


def flow_into(tissue: Tissue, layout: Layout, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the integral of ``div(D grad z)`` over each node, (lanes, columns), voxels x unit of z / ms.

    What ``operator.volume * operator.rate(z)`` is, in double precision and without the table of weights;
    ``z`` (lanes, columns) float64.
    """
    from carna.ep.tissue.assemble import product

    axes = np.array([n > 1 for n in layout.shape])
    out = np.zeros(z.shape)
    spacing = np.asarray(tissue.spacing_mm, np.float64)
    product(
        layout.lane, axes, spacing, *_of_lanes(tissue, layout, np.float64), tissue.walls == "node", z, out
    )
    return out


def second_order(tissue: Tissue, layout: Layout, dtype: type[np.floating]) -> Operator:
    """Assemble the operator of order 2 for any tissue."""
    from carna.ep.tissue import stencil
    from carna.ep.tissue.assemble import assemble

    least, rest, coupling = _of_lanes(tissue, layout, dtype)
    place = np.zeros(layout.lanes, np.int32)
    there = layout.home >= 0
    place[layout.home[there]] = np.flatnonzero(there)
    weights = np.zeros((len(layout.home), stencil.CORNERS, LANES), dtype)
    mass = np.zeros(layout.lanes)
    axes = np.array([n > 1 for n in layout.shape])
    if not axes.any():
        mass[layout.used] = 1
    spacing = np.asarray(tissue.spacing_mm, np.float64)
    whole = tissue.walls == "node"
    direction = np.full((3, 3, 3), -1)
    for column, step in enumerate(stencil.NEIGHBOURS):
        direction[tuple(np.add(step, 1))] = column
    assemble(layout.lane, place, axes, spacing, least, rest, coupling, whole, direction, weights, mass)
    del least, rest, coupling
    lost = int((mass[layout.used] == 0).sum())
    if lost:
        raise InputError(
            f"{lost} nodes lie in no complete cell of 2 x 2 x 2 nodes",
            needed="at least two nodes on each axis where walls pass through nodes",
            fix='use walls="voxel"',
        )
    scale = np.zeros((len(layout.home), LANES), dtype)
    scale[there] = 1 / mass[layout.home[there]]
    # Brick by brick: the table of a whole heart is too large to be copied.
    fastest = max(
        float(((np.abs(w).sum(0) + w.sum(0)) * f).max()) for w, f in zip(weights, scale, strict=True)
    )
    table, rows = _shared(weights, scale)
    if 2 * len(rows) < len(weights):  # a copy of most of it would cost more than it saves
        weights, scale = weights[rows], scale[rows]
    else:
        table, rows = np.arange(len(weights), dtype=np.int32), np.arange(len(weights))
    halo = layout.halo(1)
    arguments = (halo, layout.home, table, weights, scale)
    reach = np.full(len(rows), stencil.FACES)
    reach[[np.any(w[stencil.FACES :]) for w in weights]] = stencil.EDGES
    reach[[np.any(w[stencil.EDGES :]) for w in weights]] = stencil.CORNERS
    parts = tuple(
        (stencil.second_order(layout.brick, int(far)), bricks, arguments)
        for far in np.unique(reach)
        if len(bricks := np.flatnonzero(reach[table] == far).astype(np.int32))
    )
    return Operator(2, 2 / fastest if fastest > 0 else np.inf, mass, parts)


def _shared(weights: Array, scale: Array) -> tuple[Ints, NDArray[np.int64]]:
    """Return (row of each brick, first brick with that row): bricks of a uniform box share one table."""
    seen: dict[int, int] = {}
    table = np.empty(len(weights), np.int32)
    rows: list[int] = []
    for b in range(len(weights)):
        key = hash((weights[b].tobytes(), scale[b].tobytes()))
        row = seen.setdefault(key, len(rows))
        if row == len(rows):
            rows.append(b)
        table[b] = row
    return table, np.asarray(rows)


def fourth_order(tissue: Tissue, layout: Layout, dtype: type[np.floating]) -> Operator:
    """Return the operator of order 4, for a full box of one diagonal tensor with nodes on its walls."""
    from carna.ep.tissue import stencil

    d, f = np.asarray(tissue.diffusion_mm2_per_ms), np.asarray(tissue.fibres)
    plain = tissue.mask.all() and tissue.coupling is None and tissue.walls == "node"
    if not plain or d.ndim > 1 or f.ndim > 1 or tissue.normals is not None or np.abs(f).max() < 1 - 1e-9:
        raise InputError(
            "order 4 for tissue that is masked, uneven or has oblique fibres",
            needed="a full box, one tensor, fibres along an axis, walls through nodes",
            fix="use order=2",
        )
    if any(1 < n < 3 for n in layout.shape):
        raise InputError(f"order 4 on a grid of {layout.shape} nodes", needed="3 nodes on an axis")
    axis = int(np.argmax(np.abs(f)))
    rates = [
        (d[0] if a == axis else d[1]) / h**2 if n > 1 else 0.0
        for a, (h, n) in enumerate(zip(tissue.spacing_mm, layout.shape, strict=True))
    ]
    volume = np.ones(layout.shape)
    for a, n in enumerate(layout.shape):
        if n > 1:
            ends = np.moveaxis(volume, a, 0)
            ends[0] /= 2
            ends[-1] /= 2
    bricks = np.arange(len(layout.home), dtype=np.int32)
    arguments = (layout.halo(2, mirror=True), layout.home, np.asarray(rates, dtype))
    fastest = 16 / 3 * sum(rates)
    return Operator(
        4,
        2 / fastest if fastest > 0 else np.inf,
        np.asarray(layout.collect(volume), np.float64),
        ((stencil.fourth_order(layout.brick), bricks, arguments),),
    )
