"""From ventricles with scar to re-entry screening: the substrate, the nineteen sites, a virtual ablation.

Scar does not conduct and is taken out; grey zone conducts slower by a factor and recovers by its own table.
What is found is so in this model, with these tables and this scar, and says nothing about a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.heart.scar import GREY, SCAR
from carna.heart.sites import pacing_sites
from carna.heart.ventricles import Ventricles

if TYPE_CHECKING:
    from carna.ep.reentry import Restitution, Substrate

__all__ = ["Conduction", "ablated", "site_voxels", "substrate"]


@dataclass(frozen=True, slots=True)
class Conduction:
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


def _velocity(heart: Ventricles, conduction: Conduction) -> npt.NDArray[np.float32]:
    """Return m/s along and across the fibre, (k, r, c, 2)."""
    factor = np.where(heart.region == GREY, conduction.grey, 1.0)[:, None]
    return heart.spread((factor * (conduction.along, conduction.across)).astype(np.float32))


def substrate(
    heart: Ventricles, conduction: Conduction, healthy: Restitution, grey: Restitution
) -> Substrate:
    """Return the heart as tissue that conducts and recovers; region 0 is healthy, 1 is grey zone.

    Parameters
    ----------
    heart : Ventricles
    conduction : Conduction
    healthy, grey : carna.ep.reentry.Restitution
        How each recovers.
    """
    from carna.ep.eikonal import medium
    from carna.ep.reentry import Substrate

    mask = heart.mask & (heart.spread(heart.region) != SCAR)
    tissue = medium(mask, heart.spacing_mm, _velocity(heart, conduction), np.asarray(heart.fibres, float))
    region = heart.spread((heart.region == GREY).astype(np.uint8)).astype(np.int64)
    return Substrate(tissue, region, (healthy, grey))


def site_voxels(heart: Ventricles) -> dict[str, npt.NDArray[np.int64]]:
    """Return the nineteen pacing sites by name, (1, 3) voxels; one in scar moves to the nearest muscle left.

    Raises
    ------
    InputError
        Nothing but scar.
    """
    index = np.stack(np.unravel_index(heart.at.where, heart.grid.shape), axis=1)[heart.region != SCAR]
    if not len(index):
        raise InputError("a heart of scar alone", needed="muscle that conducts")
    spacing = np.array(heart.spacing_mm)
    found = {}
    for site in pacing_sites(heart):
        away = (((index - site.index) * spacing) ** 2).sum(axis=1)
        found[site.name] = index[int(np.argmin(away))][None].astype(np.int64)
    return found


def ablated(
    of: Substrate,
    heart: Ventricles,
    conduction: Conduction,
    target: npt.NDArray[np.int64],
    radius_mm: float,
) -> Substrate:
    """Return the substrate without the muscle within a distance of a target, a circuit's isthmus say.

    Parameters
    ----------
    of : Substrate
        As `substrate` made it of ``heart`` and ``conduction``.
    heart : Ventricles
    conduction : Conduction
    target : (i, 3) int
        Voxels k, r, c.
    radius_mm : float
        0 to 20 mm.

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
    burnt = distance_transform_edt(rest, sampling=heart.spacing_mm) <= radius_mm
    return of.without(burnt, _velocity(heart, conduction), np.asarray(heart.fibres, float))
