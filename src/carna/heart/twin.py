"""From ventricles with scar to re-entry screening: the substrate, the nineteen sites, lesions, borders.

Scar does not conduct and is taken out; grey zone conducts slower by a factor and recovers by its own table.
What is found is so in this model, with these tables and this scar, and says nothing about a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.heart.scar import GREY, HEALTHY, SCAR
from carna.heart.sites import pacing_sites
from carna.heart.ventricles import Ventricles

if TYPE_CHECKING:
    from carna.ep.reentry import Restitution, Substrate

__all__ = ["Velocity", "lesion", "moved", "site_voxels", "substrate"]


@dataclass(frozen=True, slots=True)
class Velocity:
    """How fast the muscle conducts.

    Parameters
    ----------
    along, across : float
        m/s in healthy muscle along and across the fibre, 0.05 to 2; by default those of a fine cable of ten
        Tusscher-Panfilov 2006 epicardium with the diffusion of Niederer 2011 (doi:10.1098/rsta.2011.0139).
    grey : float
        Factor on both in the grey zone, 0.05 to 1.

    Raises
    ------
    InputError
        A value outside its range.
    """

    grey: float
    along: float = 0.614
    across: float = 0.223

    def __post_init__(self) -> None:
        """Refuse velocities outside the ranges."""
        for name, low, high in (("along", 0.05, 2.0), ("across", 0.05, 2.0), ("grey", 0.05, 1.0)):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} = {getattr(self, name)}", needed=f"{low:g} to {high:g}")


def _velocity(heart: Ventricles, velocity: Velocity) -> npt.NDArray[np.float32]:
    """Return m/s along and across the fibre, (k, r, c, 2)."""
    factor = np.where(heart.region == GREY, velocity.grey, 1.0)[:, None]
    return heart.spread((factor * (velocity.along, velocity.across)).astype(np.float32))


def substrate(heart: Ventricles, velocity: Velocity, healthy: Restitution, grey: Restitution) -> Substrate:
    """Return the heart as tissue that conducts and recovers; region 0 is healthy, 1 is grey zone.

    Parameters
    ----------
    heart : Ventricles
    velocity : Velocity
    healthy, grey : carna.ep.reentry.Restitution
        How each recovers.
    """
    from carna.ep.eikonal import medium
    from carna.ep.reentry import Substrate

    mask = heart.mask & (heart.spread(heart.region) != SCAR)
    tissue = medium(mask, heart.spacing_mm, _velocity(heart, velocity), np.asarray(heart.fibres, float))
    region = heart.spread((heart.region == GREY).astype(np.uint8)).astype(np.int64)
    return Substrate(tissue, region, (healthy, grey))


def site_voxels(heart: Ventricles) -> dict[str, npt.NDArray[np.int64]]:
    """Return the nineteen pacing sites by name, (1, 3) voxels; one in scar moves to the nearest muscle left.

    Muscle left means the largest connected piece: an island within scar would excite nothing but itself.

    Raises
    ------
    InputError
        Nothing but scar.
    """
    from scipy.ndimage import label

    pieces, many = label(heart.mask & (heart.spread(heart.region) != SCAR))
    if not many:
        raise InputError("a heart of scar alone", needed="muscle that conducts")
    index = np.argwhere(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]))
    spacing = np.array(heart.spacing_mm)
    found = {}
    for site in pacing_sites(heart):
        away = (((index - site.index) * spacing) ** 2).sum(axis=1)
        found[site.name] = index[int(np.argmin(away))][None].astype(np.int64)
    return found


def lesion(heart: Ventricles, target: npt.NDArray[np.int64], radius_mm: float) -> npt.NDArray[np.bool_]:
    """Return the muscle within a distance of a target, a circuit's isthmus say: a virtual ablation.

    Made scar, it conducts no more:
    ``replace(heart, region=np.where(lesion(heart, isthmus, 4.0), SCAR, heart.region))``.

    Parameters
    ----------
    heart : Ventricles
    target : (i, 3) int
        Voxels k, r, c.
    radius_mm : float
        0 (the target alone) to 20 mm.

    Returns
    -------
    (n,) bool
        For the voxels of muscle.

    Raises
    ------
    InputError
        A radius outside its range or an empty target.
    """
    from scipy.ndimage import distance_transform_edt

    if not 0.0 <= radius_mm <= 20.0 or not len(target):
        raise InputError(f"{len(target)} voxels and {radius_mm} mm", needed="a target and 0 to 20 mm")
    rest = np.ones(heart.grid.shape, np.bool_)
    rest[tuple(np.asarray(target).T)] = False
    away = distance_transform_edt(rest, sampling=heart.spacing_mm)
    return np.asarray(away.ravel()[heart.at.where] <= radius_mm)


def moved(heart: Ventricles, border_mm: float) -> npt.NDArray[np.uint8]:
    """Return the regions with the borders of scar and of grey zone moved outwards (below 0: inwards).

    What a lower or higher threshold does to an image, where only its labels are known: the scar grows
    (channels through it narrow) and the grey zone's outer border moves by the same distance. Borders lie
    half a voxel from centres, so that shifts under half a voxel change nothing; nothing moves across 0.

    Parameters
    ----------
    heart : Ventricles
    border_mm : float
        -5 to 5.

    Returns
    -------
    (n,) uint8
        `carna.heart.scar.HEALTHY`, ``GREY``, ``SCAR``.

    Raises
    ------
    InputError
        A shift outside its range.
    """
    if not -5.0 <= border_mm <= 5.0:
        raise InputError(f"border_mm = {border_mm}", needed="-5 to 5 mm")
    region = np.full(len(heart.region), HEALTHY, np.uint8)
    for least in (GREY, SCAR):
        region[_within(heart, heart.region >= least, border_mm)] = least
    return region


def _within(heart: Ventricles, part: npt.NDArray[np.bool_], border_mm: float) -> npt.NDArray[np.bool_]:
    """Muscle within a signed distance of the border of a part of it."""
    from scipy.ndimage import distance_transform_edt

    if not part.any() or abs(border_mm) < 0.5 * min(heart.spacing_mm):
        return part
    inside, half = heart.spread(part), 0.5 * min(heart.spacing_mm)
    if border_mm > 0:
        away = distance_transform_edt(~inside, sampling=heart.spacing_mm) - half
        return np.asarray(away.ravel()[heart.at.where] <= border_mm)
    # Only muscle counts as outside: the cavity beside a scar is no border that could move.
    depth = distance_transform_edt(inside | ~heart.mask, sampling=heart.spacing_mm) - half
    return np.asarray(part & (depth.ravel()[heart.at.where] > -border_mm))
