"""What the tissue is: which voxels, how big, how well coupled, along which fibres, made of which cells.

Axis order is the grid's: every vector, spacing and size is (k, r, c), and V obeys the monodomain equation

    dV/dt = div(D grad V) - I_ion + I_stim,    D = d_along f f' + d_across s s' + d_normal n n'

with currents in A/F and diffusion in mm2/ms. From conductivities, ``D = sigma / (beta Cm)`` with
``sigma = sigma_i sigma_e / (sigma_i + sigma_e)`` (`diffusion`).

Where the tissue ends (no flux through its wall) is one of two conventions, half a voxel apart:

``node``
    the wall passes through the outermost nodes: a box of n nodes is ``(n - 1) * spacing`` long. Order 2 up to
    the wall. For cables, sheets and slabs whose size is given in millimetres.
``voxel``
    every voxel is tissue to its faces: a box of n voxels is ``n * spacing`` long. For segmentations; oblique
    walls are staircases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carna.errors import InputError

Mask = NDArray[np.bool_]
Floats = NDArray[np.floating]
Walls = Literal["node", "voxel"]


@runtime_checkable
class Kernel(Protocol):
    """A compiled cell model, 512 cells a block, as `carna.ep.cell` makes them."""

    @property
    def lanes(self) -> int:
        """512."""

    @property
    def slots(self) -> tuple[str, ...]:
        """What is stored of a cell besides V: the other states, then the varied parameters."""

    def start(self, n_blocks: int) -> tuple[Floats, Floats]:
        """Return V ``(n_blocks, 512)`` mV and the rest ``(n_blocks, slots, 512)`` at rest."""

    def advance(
        self, v: Floats, s: Floats, stimulus: Floats, dt_ms: float, blocks: NDArray[np.int32]
    ) -> None:
        """Let the cells of these blocks react for ``dt_ms``, in place; ``stimulus`` in A/F."""


def diffusion(
    intracellular_S_per_m: tuple[float, float, float],
    extracellular_S_per_m: tuple[float, float, float],
    *,
    surface_per_mm: float = 140.0,
    capacitance_uF_per_mm2: float = 0.01,
) -> tuple[float, float, float]:
    """Return the monodomain diffusion (along, across, normal), mm2/ms, of a pair of conductivities.

    The harmonic combination is exact where both domains are anisotropic in the same ratio.

    >>> [round(d, 4) for d in diffusion((0.17, 0.019, 0.019), (0.62, 0.24, 0.24))]
    [0.0953, 0.0126, 0.0126]
    """
    scale = surface_per_mm * capacitance_uF_per_mm2  # S/m is mS/mm; /(1/mm * uF/mm2) = mm2/ms
    i, e = np.asarray(intracellular_S_per_m), np.asarray(extracellular_S_per_m)
    along, across, normal = (i * e / (i + e) / scale).tolist()
    return along, across, normal


@dataclass(frozen=True, slots=True, eq=False)
class Tissue:
    """Excitable tissue on a voxel grid.

    Parameters
    ----------
    mask : (k, r, c) bool
        Where tissue is. Scar that does not conduct is simply not tissue.
    spacing_mm : (3,) float
        > 0, in axis order k, r, c.
    models : mapping of int to CellModel or Kernel
        The cells of each region.
    diffusion_mm2_per_ms : (3,) or (k, r, c, 3) float
        Along the fibre, across it in the sheet, normal to the sheet; each >= 0.
    fibres : (3,) or (k, r, c, 3) float
        Unit vectors in axis order.
    normals : (3,) or (k, r, c, 3) float, optional
        Unit normals of the sheets, at a right angle to the fibres; without them across and normal must agree.
    region : (k, r, c) int, optional
        Which model a voxel has; 0 everywhere if left out.
    coupling : (k, r, c) float, optional
        What is left of gap-junction coupling, 0 to 1; multiplies the diffusion. Between two voxels the
        harmonic mean counts, as for two resistors in series, so 0 isolates.
    varied : mapping of str to (k, r, c) float
        Cell parameters that differ from voxel to voxel, by name, in the model's unit.
    walls : {"node", "voxel"}
        See the top of the page.
    """

    mask: Mask
    spacing_mm: tuple[float, float, float]
    models: Mapping[int, object]
    diffusion_mm2_per_ms: Floats
    fibres: Floats
    normals: Floats | None = None
    region: NDArray[np.integer] | None = None
    coupling: Floats | None = None
    varied: Mapping[str, Floats] = field(default_factory=dict)
    walls: Walls = "voxel"

    def __post_init__(self) -> None:
        shape = self.mask.shape
        if self.mask.ndim != 3 or not self.mask.any():
            raise InputError(
                f"a mask of shape {shape} with {int(self.mask.sum())} voxels", needed="a 3-D mask with tissue"
            )
        if len(self.spacing_mm) != 3 or min(self.spacing_mm) <= 0:
            raise InputError(
                f"a spacing of {self.spacing_mm} mm", needed="three lengths above 0, axes k, r, c"
            )
        vectors = {"diffusion_mm2_per_ms": self.diffusion_mm2_per_ms, "fibres": self.fibres}
        if self.normals is not None:
            vectors["normals"] = self.normals
        for name, value in vectors.items():
            if np.shape(value) not in {(3,), (*shape, 3)}:
                raise InputError(f"{name} of shape {np.shape(value)}", needed=f"(3,) or {(*shape, 3)}")
        maps: dict[str, NDArray[np.generic]] = {**self.varied}
        if self.coupling is not None:
            maps["coupling"] = self.coupling
        if self.region is not None:
            maps["region"] = self.region
        for name, given in maps.items():
            if np.shape(given) != shape:
                raise InputError(f"{name} of shape {np.shape(given)}", needed=f"the mask's shape {shape}")
        self._check_values()

    def _check_values(self) -> None:
        d = self.of_nodes(self.diffusion_mm2_per_ms)
        if not np.isfinite(d).all() or d.min() < 0:
            raise InputError("a negative or missing diffusion", needed="mm2/ms >= 0 in every tissue voxel")
        if self.normals is None and not np.array_equal(d[..., 1], d[..., 2]):
            raise InputError(
                "different diffusion across and normal to the sheets, but no normals",
                fix="give normals, or the same value twice",
            )
        for name, field_ in (("fibres", self.fibres), ("normals", self.normals)):
            if field_ is None:
                continue
            lengths = np.linalg.norm(self.of_nodes(field_).astype(np.float64), axis=-1)
            if not np.abs(lengths - 1).max() < 1e-3:
                raise InputError(
                    f"{name} between {lengths.min():.3g} and {lengths.max():.3g} long", needed="unit vectors"
                )
        if self.coupling is not None:
            c = self.coupling[self.mask]
            if not (c.min() >= 0 and c.max() <= 1):
                raise InputError(f"a coupling between {c.min():g} and {c.max():g}", needed="0 to 1")
        known = set(self.models)
        found = {0} if self.region is None else set(np.unique(self.region[self.mask]).tolist())
        if found - known:
            raise InputError(
                f"regions {sorted(found - known)} without a cell model", needed=f"one of {sorted(known)}"
            )

    @property
    def nodes(self) -> int:
        """How many voxels are tissue."""
        return int(self.mask.sum())

    def of_nodes(self, value: Floats) -> Floats:
        """Return a field's values at the tissue voxels, ``(nodes, ...)``, or a constant as it is."""
        value = np.asarray(value)
        return value if value.ndim == 1 else value[self.mask]

    def origin_mm(self) -> tuple[float, float, float]:
        """Return where node (0, 0, 0) lies when the tissue's first wall lies at 0."""
        if self.walls == "node":
            return (0.0, 0.0, 0.0)
        k, r, c = (h / 2 for h in self.spacing_mm)
        return k, r, c

    def nearest(self, point_mm: tuple[float, float, float]) -> tuple[int, int, int]:
        """Return the voxel nearest to a point (k, r, c in mm from the first wall), which must be tissue."""
        at = (np.asarray(point_mm) - self.origin_mm()) / self.spacing_mm
        k, r, c = np.rint(at).astype(int).tolist()
        inside = all(0 <= i < n for i, n in zip((k, r, c), self.mask.shape, strict=True))
        if not inside or not self.mask[k, r, c]:
            raise InputError(
                f"{tuple(point_mm)} mm lies in no tissue voxel", needed="a point inside the tissue"
            )
        return k, r, c

    def box(self, low_mm: tuple[float, float, float], high_mm: tuple[float, float, float]) -> Floats:
        """Return what share of each node's own volume a box covers, ``(k, r, c)`` float32, 0 to 1.

        A stimulus of fixed size must not grow with the spacing: a node half inside is stimulated by half.
        An axis of one node is covered whole.
        """
        shares = []
        for n, h, low, high in zip(self.mask.shape, self.spacing_mm, low_mm, high_mm, strict=True):
            if n == 1:
                shares.append(np.ones(1))
                continue
            length = (n - 1) * h if self.walls == "node" else n * h
            at = np.arange(n) * h + (0 if self.walls == "node" else h / 2)
            a, b = np.maximum(at - h / 2, 0), np.minimum(at + h / 2, length)
            shares.append(np.clip((np.minimum(b, high) - np.maximum(a, low)) / (b - a), 0, 1))
        k, r, c = shares
        whole = k[:, None, None] * r[None, :, None] * c[None, None, :]
        return np.asarray(np.where(self.mask, whole, 0), np.float32)

    def scarred(self, scar: Mask) -> Self:
        """Return the tissue without the voxels that do not conduct."""
        return replace(self, mask=self.mask & ~scar)

    def uncoupled(self, factor: ArrayLike) -> Self:
        """Return the tissue with its coupling multiplied by a factor, 0 to 1, scalar or (k, r, c)."""
        before = np.ones(self.mask.shape, np.float32) if self.coupling is None else self.coupling
        return replace(self, coupling=np.asarray(before * np.asarray(factor), np.float32))

    def fibrotic(self, share: ArrayLike, seed: int) -> Self:
        """Return the tissue with a share (0 to 1, scalar or (k, r, c)) of its voxels replaced at random.

        Diffuse replacement fibrosis: each voxel is non-conducting with that chance, independently.
        """
        lost = np.random.default_rng(seed).random(self.mask.shape) < np.asarray(share)
        return self.scarred(lost)

    def with_cells(self, region: NDArray[np.integer], models: Mapping[int, object]) -> Self:
        """Return the tissue with other cells: transmural types, a grey zone, a border zone."""
        return replace(self, region=region, models=models)


def _whole(sizes_mm: tuple[float, ...], spacing_mm: float) -> tuple[int, ...]:
    counts = tuple(round(s / spacing_mm) + 1 for s in sizes_mm)
    for size, n in zip(sizes_mm, counts, strict=True):
        if abs((n - 1) * spacing_mm - size) > 1e-6 * max(size, spacing_mm):
            raise InputError(
                f"{size} mm is no whole number of steps of {spacing_mm} mm",
                fix=f"use {(n - 1) * spacing_mm:g} mm or another spacing",
            )
    return counts


def slab(
    size_mm: tuple[float, float, float],
    spacing_mm: float,
    model: object,
    diffusion_mm2_per_ms: tuple[float, float, float],
    fibre: tuple[float, float, float] = (0.0, 0.0, 1.0),
) -> Tissue:
    """Return a box of tissue, nodes on its walls; a size of 0 makes an axis of one node."""
    shape = _whole(size_mm, spacing_mm)
    return Tissue(
        np.ones(shape, bool),
        (spacing_mm,) * 3,
        {0: model},
        np.asarray(diffusion_mm2_per_ms, np.float64),
        np.asarray(fibre, np.float64),
        walls="node",
    )


def sheet(
    size_mm: tuple[float, float],
    spacing_mm: float,
    model: object,
    diffusion_mm2_per_ms: tuple[float, float],
    fibre_deg: float = 0.0,
) -> Tissue:
    """Return a 2-D sheet (rows, columns); the fibre's angle is measured from axis c towards axis r."""
    angle = np.deg2rad(fibre_deg)
    along, across = diffusion_mm2_per_ms
    fibre = (0.0, float(np.sin(angle)), float(np.cos(angle)))
    return slab((0.0, *size_mm), spacing_mm, model, (along, across, across), fibre)


def cable(length_mm: float, spacing_mm: float, model: object, diffusion_mm2_per_ms: float) -> Tissue:
    """Return a 1-D cable."""
    return slab((0.0, 0.0, length_mm), spacing_mm, model, (diffusion_mm2_per_ms,) * 3)


def organ(
    mask: Mask,
    spacing_mm: tuple[float, float, float],
    models: object | Mapping[int, object],
    diffusion_mm2_per_ms: ArrayLike,
    fibres: Floats,
    *,
    normals: Floats | None = None,
    region: NDArray[np.integer] | None = None,
) -> Tissue:
    """Return tissue in the voxels of a segmentation, every voxel tissue to its faces."""
    cells = models if isinstance(models, Mapping) else {0: models}
    return Tissue(mask, spacing_mm, cells, np.asarray(diffusion_mm2_per_ms), fibres, normals, region)
