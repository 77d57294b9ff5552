"""Arrival times in tissue on a voxel grid: the anisotropic eikonal equation.

    grad T . D grad T = 1,   D = v_f^2 f f^T + v_s^2 s s^T + v_n^2 n n^T

T is the first arrival of an excitation that travels with v_f along the fibre f, v_s across it in the sheet
and v_n normal to the sheet. What it leaves out: curvature of the front, the source's strength against its
load, and everything after the first arrival (`carna.ep.reentry` adds refractoriness). Franzone 1990,
doi:10.1007/BF00163143. How it is discretised stands on the first page of `carna.ep.eikonal.stencil`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

if TYPE_CHECKING:
    from carna.ep.eikonal.network import Network

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FASTEST_M_S = 10.0  # nothing in a heart conducts faster; more is a slip of units
BALL_VOXELS = 6.0
BALLS = 500  # more sources than this are a region, whose front is not round


@dataclass(frozen=True, slots=True, eq=False)
class Medium:
    """Tissue made ready for any number of arrival maps; made by `medium`.

    Attributes
    ----------
    mask : (k, r, c) bool
    spacing_mm : (3,) float
    place : (n, 3) int
        Index of each tissue voxel, in the order of the list.
    cell, index, pad
        Flat place of each voxel in the padded grid, the padded grid of list numbers, and its margin.
    metric : (n, 6) float32
        D^-1 in voxels: kk, rr, cc, kr, kc, rc; ms2.
    first, to, weight, kind : arcs
        Whom each node wakes, as `carna.ep.eikonal.stencil.fill_arcs` says.
    extra : int
        Nodes of a line network behind the n voxels.
    """

    mask: Bools
    spacing_mm: Floats
    place: npt.NDArray[np.int32]
    cell: Ints
    index: npt.NDArray[np.int32]
    pad: int
    metric: npt.NDArray[np.float32]
    first: Ints
    to: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    kind: npt.NDArray[np.int8]
    bucket_ms: float
    extra: int = field(default=0)

    @property
    def voxels(self) -> int:
        """Number of tissue voxels."""
        return len(self.place)

    def number(self, voxels: npt.ArrayLike) -> Ints:
        """Return the list numbers of voxel indices (m, 3).

        Raises
        ------
        InputError
            If a voxel lies outside the tissue.
        """
        at = np.atleast_2d(np.asarray(voxels, np.int64))
        if at.ndim != 2 or at.shape[1] != 3:
            raise InputError(f"voxels of shape {at.shape}", needed="(m, 3) voxel indices k, r, c")
        inside = ((at >= 0) & (at < self.mask.shape)).all(axis=1)
        found = np.full(len(at), -1, np.int64)
        k, r, c = (at[inside] + self.pad).T
        found[inside] = self.index[k, r, c]
        if (found < 0).any():
            raise InputError(
                f"voxel {tuple(at[found < 0][0].tolist())} is not tissue",
                needed="voxels inside the mask",
                fix="move the site into the wall, or take the nearest voxel of the mask",
            )
        return found

    def spread(self, values: npt.NDArray[np.generic], outside: float = np.inf) -> Floats:
        """Return values of the list (n,) as an array (k, r, c)."""
        out = np.full(self.mask.shape, outside)
        out[tuple(self.place.T)] = values[: self.voxels]
        return out


def velocity_tensor(
    mask: Bools,
    velocity: npt.ArrayLike,
    fibres: Floats | None = None,
    sheet_normals: Floats | None = None,
) -> Floats:
    """Return D (n, 6), mm2/ms2, of the voxels of the mask: kk, rr, cc, kr, kc, rc.

    Parameters are those of `medium`.
    """
    n = int(mask.sum())
    speed = np.asarray(velocity, float)
    if speed.shape[: speed.ndim - 1] == mask.shape and speed.ndim == 4:
        speed = speed[mask]
    elif speed.shape == mask.shape:
        speed = speed[mask][:, None]
    elif speed.ndim == 0 or (speed.ndim == 1 and speed.shape[0] in (1, 2, 3)):
        speed = np.broadcast_to(np.atleast_1d(speed), (n, max(1, speed.size)))
    else:
        raise InputError(
            f"velocity of shape {speed.shape}", needed=f"one to three numbers, or {mask.shape} with them last"
        )
    if not ((speed > 0) & (speed <= FASTEST_M_S)).all():
        raise InputError(
            f"conduction velocities of {np.min(speed):.4g} to {np.max(speed):.4g}",
            needed=f"metres per second (millimetres per millisecond) above 0, at most {FASTEST_M_S:g}",
            fix="take blocked tissue out of the mask; divide cm/s by 100",
        )
    directions = speed.shape[1]
    if directions > 1 and fibres is None:
        raise InputError("velocities along and across fibres, but no fibres", needed="fibres (k, r, c, 3)")
    if directions == 3 and sheet_normals is None:
        raise InputError("a velocity normal to sheets, but no sheets", needed="sheet_normals (k, r, c, 3)")
    across = speed[:, min(1, directions - 1)] ** 2
    tensor = np.zeros((n, 6))
    tensor[:, :3] = across[:, None]
    vectors = ((fibres, 0), (sheet_normals if directions == 3 else None, 2))
    for vectors_of, which in vectors:
        if vectors_of is None or directions == 1:
            continue
        unit = _unit(vectors_of, mask)
        more = speed[:, which] ** 2 - across
        k, r, c = unit.T
        tensor += more[:, None] * np.stack([k * k, r * r, c * c, k * r, k * c, r * c], axis=1)
    return tensor


def _unit(vectors: Floats, mask: Bools) -> Floats:
    if np.shape(vectors) != (*mask.shape, 3):
        raise InputError(f"directions of shape {np.shape(vectors)}", needed=f"{(*mask.shape, 3)}")
    chosen = np.asarray(vectors, float)[mask]
    size = np.linalg.norm(chosen, axis=1)
    if not (np.abs(size - 1) < 0.01).all():
        raise InputError(
            f"directions of length {np.nanmin(size):.3g} to {np.nanmax(size):.3g} in the tissue",
            needed="unit vectors (k, r, c components)",
            fix="divide by their length; give every voxel of the mask a direction",
        )
    return np.asarray(chosen / size[:, None])


def medium(
    mask: Bools,
    spacing_mm: npt.ArrayLike,
    velocity: npt.ArrayLike,
    fibres: Floats | None = None,
    sheet_normals: Floats | None = None,
) -> Medium:
    """Make tissue ready for arrival maps.

    Parameters
    ----------
    mask : (k, r, c) bool
        Tissue that conducts; scar and cavity are outside.
    spacing_mm : (3,) float
        Distance of voxels along k, r, c.
    velocity : float, (1 to 3,) or (k, r, c) or (k, r, c, 1 to 3)
        Conduction velocity, m/s (= mm/ms): along the fibre, across it, normal to the sheet.
        One number is isotropic, two are the same in all directions across.
    fibres, sheet_normals : (k, r, c, 3), optional
        Unit vectors in the order of the grid's axes; read inside the mask only.

    Returns
    -------
    Medium

    Raises
    ------
    InputError
        If shapes, units or lengths are not as above.
    """
    from carna.ep.eikonal.stencil import count_arcs, fill_arcs, join, reduce_tensors

    mask = np.ascontiguousarray(mask, bool)
    spacing = np.asarray(spacing_mm, float)
    if mask.ndim != 3 or not mask.any():
        raise InputError(f"a mask of shape {mask.shape} with {int(mask.sum())} voxels", needed="tissue, 3-D")
    if spacing.shape != (3,) or not (spacing > 0).all():
        raise InputError(f"spacing_mm {spacing.tolist()}", needed="three distances above 0 mm")
    place, order = _bricks(mask)
    tensor = velocity_tensor(mask, velocity, fibres, sheet_normals)[order]
    tensor /= np.outer(spacing, spacing)[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    offsets, rho = reduce_tensors(tensor)
    pad = 2 * int(np.abs(offsets).max(initial=1))
    index = np.full(np.array(mask.shape) + 2 * pad, -1, np.int32)
    padded = place + np.int32(pad)
    index[tuple(padded.T)] = np.arange(len(place), dtype=np.int32)
    near = join(index, padded, offsets, rho)
    metric = _inverse(tensor)
    count, cut = count_arcs(index, padded, near, rho)
    first = np.concatenate([[0], np.cumsum(count)])
    to, weight, kind = fill_arcs(index, padded, near, offsets, rho, cut, metric, first)
    stride = np.array([index.shape[1] * index.shape[2], index.shape[2], 1])
    return Medium(
        mask=mask, spacing_mm=spacing, place=place, cell=padded @ stride, index=index, pad=pad,
        metric=metric, first=first, to=to, weight=weight, kind=kind,
        bucket_ms=float(0.25 / np.sqrt(np.median(tensor[:, :3].sum(axis=1)))),
    )  # fmt: skip


def _bricks(mask: Bools) -> tuple[npt.NDArray[np.int32], Ints]:
    """Return the voxels of the mask in bricks of 8 x 8 x 8, so that neighbours lie near in memory."""
    place = np.argwhere(mask).astype(np.int32)
    brick = place >> 3
    counts = np.array(mask.shape) // 8 + 1
    order = np.argsort((brick[:, 0] * counts[1] + brick[:, 1]) * counts[2] + brick[:, 2], kind="stable")
    return place[order], order


def _inverse(tensor: Floats) -> npt.NDArray[np.float32]:
    kk, rr, cc, kr, kc, rc = tensor.T
    minors = [
        rr * cc - rc * rc, kk * cc - kc * kc, kk * rr - kr * kr,
        kc * rc - kr * cc, kr * rc - kc * rr, kr * kc - kk * rc,
    ]  # fmt: skip
    determinant = kk * minors[0] + kr * minors[3] + kc * minors[4]
    return np.stack([minor / determinant for minor in minors], axis=1).astype(np.float32)


def arrival_times(
    tissue: Medium,
    sources: npt.ArrayLike,
    start_ms: npt.ArrayLike = 0.0,
    *,
    exact_mm: float | None = None,
    order: int = 2,
) -> Floats:
    """Return when the excitation first reaches every voxel.

    Parameters
    ----------
    tissue : Medium
    sources : (m, 3) int
        Voxels that start by themselves.
    start_ms : float or (m,) float
        When they do.
    exact_mm : float, optional
        Radius around every source in which the straight travel time is taken (its tensor halfway between
        source and voxel): a round front that leaves one voxel has no gradient there, and the error made
        would be carried everywhere. Default: 6 voxels for up to 500 sources, else 0.
    order : 1 or 2
        Order of the one-sided differences. 2 takes the second neighbour where it came before the first.

    Returns
    -------
    (k, r, c) float
        ms; infinity where nothing arrives and outside the tissue.
    """
    return tissue.spread(_march(tissue, tissue.number(sources), start_ms, exact_mm, order))


def _march(
    tissue: Medium, numbers: Ints, start_ms: npt.ArrayLike, exact_mm: float | None, order: int
) -> Floats:
    from carna.ep.eikonal.march import exact_balls, march

    if order not in (1, 2):
        raise InputError(f"order {order}", needed="1 or 2")
    times = np.array(np.broadcast_to(np.asarray(start_ms, float), numbers.shape))
    if not len(numbers) or not np.isfinite(times).all():
        raise InputError(
            f"{len(numbers)} sources, starts {times.tolist()[:4]} ms", needed="sources with finite times"
        )
    if exact_mm is None:
        exact_mm = BALL_VOXELS * float(tissue.spacing_mm.max()) if len(numbers) <= BALLS else 0.0
    u = np.full(tissue.voxels + tissue.extra, np.inf)
    np.minimum.at(u, numbers, times)
    given = np.zeros(len(u), np.float32)
    voxel = numbers < tissue.voxels
    inner = tuple(slice(tissue.pad, tissue.pad + size) for size in tissue.mask.shape)
    exact_balls(
        u, given, numbers[voxel], times[voxel], float(exact_mm), tissue.spacing_mm, tissue.metric,
        tissue.place, tissue.index[inner],
    )  # fmt: skip
    march(
        u, given, tissue.first, tissue.to, tissue.weight, tissue.kind, tissue.cell, tissue.index.ravel(),
        tissue.bucket_ms, order == 2,
    )  # fmt: skip
    return u


def arrival_with_network(
    tissue: Medium,
    network: Network,
    *,
    nodes: npt.ArrayLike = (),
    voxels: npt.ArrayLike = (),
    start_ms: float = 0.0,
    order: int = 2,
) -> tuple[Floats, Floats]:
    """Return arrival times in tissue (k, r, c) and on the nodes of a line network (p,), ms.

    The two wake each other at the network's junctions, in both directions, each with its own delay.

    Parameters
    ----------
    tissue : Medium
    network : carna.ep.eikonal.network.Network
    nodes : (a,) int
        Nodes of the network that start.
    voxels : (b, 3) int
        Voxels that start.
    start_ms : float
    order : 1 or 2
    """
    from carna.ep.eikonal.network import joined

    both = joined(tissue, network)
    at = np.asarray(voxels, np.int64).reshape(-1, 3)
    starts = np.concatenate([np.asarray(nodes, np.int64).reshape(-1) + tissue.voxels, tissue.number(at)])
    if starts.size and starts.max(initial=0) >= both.voxels + both.extra:
        raise InputError(f"node {int(starts.max()) - tissue.voxels}", needed=f"nodes below {both.extra}")
    u = _march(both, starts, start_ms, None, order)
    return both.spread(u), u[both.voxels :]
