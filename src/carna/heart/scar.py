"""A healed infarct as masks: a core of scar, a rim of grey zone, if wanted a channel of it through the core.

Infarcts begin at the endocardium and spread outwards (the wavefront of Reimer 1977,
doi:10.1161/01.CIR.56.5.786), so the core is an ellipse on the inner surface around a segment's centre, from
the endocardium to a given share of the wall. The grey zone is all muscle within the rim's width of the
core. A channel of surviving grey muscle through the core, open at both ends, is the usual substrate of
scar-related re-entry (de Bakker 1993, doi:10.1161/01.CIR.88.3.915). Edges are smooth: real ones are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.heart.axes import Axes
from carna.heart.coordinates import Coordinates
from carna.heart.segments import place_of
from carna.space import Grid

__all__ = ["GREY", "HEALTHY", "SCAR", "Infarct", "regions"]

HEALTHY, GREY, SCAR = range(3)


@dataclass(frozen=True, slots=True)
class Infarct:
    """One infarct of the left ventricle.

    Parameters
    ----------
    segment : int
        Its centre is the centre of this segment, 1 to 17.
    around_mm, along_mm : float
        Diameters of the core around and along the long axis, 5 to 150 mm.
    transmural : float
        Share of the wall that is scar, from the endocardium, 0.1 to 1.
    rim_mm : float
        Width of the grey zone around the core, 0 to 15 mm.
    channel_mm : float
        Width of a channel of grey zone through the middle of the core, over the whole depth; 0 for none.
    channel_deg : float
        Its direction: 0 along the long axis, 90 around it.

    Raises
    ------
    InputError
        A value outside its range.
    """

    segment: int = 8
    around_mm: float = 40.0
    along_mm: float = 35.0
    transmural: float = 1.0
    rim_mm: float = 3.0
    channel_mm: float = 0.0
    channel_deg: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an infarct outside the ranges."""
        for name, low, high in (
            ("segment", 1, 17),
            ("around_mm", 5.0, 150.0),
            ("along_mm", 5.0, 150.0),
            ("transmural", 0.1, 1.0),
            ("rim_mm", 0.0, 15.0),
            ("channel_mm", 0.0, 20.0),
            ("channel_deg", -180.0, 180.0),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} = {value}", needed=f"{low:g} to {high:g}", fix=f"change {name}")


def regions(
    infarcts: tuple[Infarct, ...], at: Coordinates, grid: Grid, axes: Axes, middle: float, end: float
) -> npt.NDArray[np.uint8]:
    """Return `HEALTHY`, `GREY` or `SCAR` of every voxel of muscle, (n,) uint8.

    Parameters
    ----------
    infarcts : tuple of Infarct
        Later ones lie over earlier ones; scar stays scar.
    at, grid, axes
        The heart.
    middle, end : float
        As in `carna.heart.segments.place_of`.

    Notes ----- Distances are taken at each voxel: ``radius x angle`` around, depth along the axis; a core
    near the apex is therefore longer along the wall than ``along_mm``.
    """
    region = np.zeros(len(at.where), np.uint8)
    to_heart = axes.of_index(grid).astype(np.float32)
    index = [i.astype(np.float32) for i in np.unravel_index(at.where, grid.shape)]
    x, y, z = (row[:3] @ np.stack(index) + row[3] for row in to_heart[:3])
    span = float(z[0] / (1.0 - at.apicobasal[0]))
    for one in infarcts:
        angle, height = place_of(one.segment, middle, end)
        turned = np.mod(at.rotational - np.float32(angle) + np.pi, 2 * np.pi) - np.pi
        around, along = np.hypot(x, y) * turned, z - np.float32((1.0 - height) * span)
        flat = (2 * around / one.around_mm) ** 2 + (2 * along / one.along_mm) ** 2
        core = (flat < 1.0) & (at.transmural <= one.transmural) & ~at.right
        if not core.any():
            raise InputError(f"an infarct of segment {one.segment} without a voxel", needed="a finer grid")
        grey = _within(core, at, grid, one.rim_mm)
        if one.channel_mm > 0.0:
            tilt = np.radians(one.channel_deg)
            aside = np.abs(around * np.cos(tilt) - along * np.sin(tilt))
            grey |= core & (aside < one.channel_mm / 2)
            core &= aside >= one.channel_mm / 2
        region[grey & (region == HEALTHY)] = GREY
        region[core] = SCAR
    return region


def _within(
    core: npt.NDArray[np.bool_], at: Coordinates, grid: Grid, reach_mm: float
) -> npt.NDArray[np.bool_]:
    """Muscle within a distance of the core: exact distances, in the core's own box only."""
    from scipy.ndimage import distance_transform_edt

    if reach_mm == 0.0:
        return np.zeros(len(core), np.bool_)
    index = np.stack(np.unravel_index(at.where, grid.shape))
    margin = np.ceil(reach_mm / np.array(grid.spacing_mm)).astype(int) + 1
    low = np.maximum(index[:, core].min(1) - margin, 0)
    high = np.minimum(index[:, core].max(1) + margin, np.array(grid.shape) - 1)
    box = np.ones(high - low + 1, np.bool_)
    box[tuple(index[:, core] - low[:, None])] = False
    distance = distance_transform_edt(box, sampling=grid.spacing_mm)
    inside = ((index >= low[:, None]) & (index <= high[:, None])).all(0)
    near = np.zeros(len(core), np.bool_)
    near[inside] = distance[tuple(index[:, inside] - low[:, None])] <= reach_mm
    return near & ~core
