"""When each voxel of the ventricles is excited: paced from a site, or as in sinus rhythm.

Times come from the eikonal equation (`carna.ep.eikonal`), a whole heart in a second. What drives a sinus
beat is the conduction system, here without a tree of its own: from the early sites of Durrer (`sites`) the
excitation runs along a thin shell under each endocardium with the speed of Purkinje fibres, and enters the
muscle wherever a junction lies, one to every centimetre. The left and the right shell do not touch.

Pacing starts in the muscle and stays there: the network is not entered backwards, so a paced beat is as
wide as it can be, wider than a patient's.

The sequence is Durrer's (1970, doi:10.1161/01.CIR.41.6.899); 3 m/s along the network is a round value within
the textbooks' 2 to 4 m/s, and the muscle conducts as a cable does with the conductivities of Niederer 2011.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.heart.anatomy import LV_CAVITY, RV_CAVITY
from carna.heart.scar import SCAR
from carna.heart.sites import Site, early_sites
from carna.heart.ventricles import Ventricles

if TYPE_CHECKING:
    from carna.ep.eikonal import Medium
    from carna.ep.tissue.stimulus import Stimulus

__all__ = ["MUSCLE_M_S", "Entries", "arrival", "muscle", "sinus_entries", "stimuli"]

MUSCLE_M_S = (0.614, 0.223)
"""Along and across: a fine cable of ten Tusscher-Panfilov 2006 with the conductivities of Niederer 2011."""

SHELL_MM = 1.2


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """Where excitation enters the muscle, and when.

    Attributes
    ----------
    index : (m, 3) int
        Voxels k, r, c.
    at_ms : (m,) float
    """

    index: npt.NDArray[np.int64]
    at_ms: npt.NDArray[np.float64]


def muscle(heart: Ventricles, velocity_m_s: tuple[float, float] = MUSCLE_M_S) -> Medium:
    """Return the muscle that conducts, ready for arrival maps; scar is left out."""
    from carna.ep.eikonal import medium

    mask = heart.mask & (heart.spread(heart.region) != SCAR)
    return medium(mask, heart.spacing_mm, velocity_m_s, np.asarray(heart.fibres, float))


def sinus_entries(
    heart: Ventricles,
    *,
    purkinje_m_s: float = 3.0,
    every_mm: float = 10.0,
    up_to: float = 1.0,
) -> Entries:
    """Return where and when the conduction system excites the endocardium.

    Parameters
    ----------
    heart : Ventricles
    purkinje_m_s : float
        Speed along the shell, 0.5 to 5.
    every_mm : float
        Distance of junctions, 2 to 30; the earliest voxel of every cube of that size.
    up_to : float
        Apicobasal coordinate at which the network ends, 0 (apex) to 1 (base).

    Raises
    ------
    InputError
        A value outside its range, or a heart without a right ventricle.
    """
    from scipy.ndimage import binary_dilation

    from carna.ep.eikonal import arrival_times, medium

    for name, value, low, high in (
        ("purkinje_m_s", purkinje_m_s, 0.5, 5.0),
        ("every_mm", every_mm, 2.0, 30.0),
        ("up_to", up_to, 0.2, 1.0),
    ):
        if not low <= value <= high:
            raise InputError(f"{name} = {value}", needed=f"{low:g} to {high:g}")
    low_enough = heart.mask & (heart.spread(heart.at.apicobasal) <= up_to)
    layers = max(1, round(SHELL_MM / min(heart.spacing_mm)))
    corner = np.ones((3, 3, 3), bool)
    index, times = [], []
    early = early_sites(heart)
    for cavity, sites in ((LV_CAVITY, early[:3]), (RV_CAVITY, early[3:])):
        inside = heart.labels == cavity
        shell = low_enough & binary_dilation(inside, corner, iterations=layers)
        surface = np.argwhere(low_enough & binary_dilation(inside, corner))
        seeds = [_onto(surface, site, heart.spacing_mm) for site in sites]
        tissue = medium(shell, heart.spacing_mm, purkinje_m_s)
        found = arrival_times(tissue, seeds, [site.at_ms for site in sites])[tuple(surface.T)]
        reached = np.isfinite(found)
        surface, found = surface[reached], found[reached]
        order = np.argsort(found, kind="stable")
        cube = (surface[order] * np.asarray(heart.spacing_mm) / every_mm).astype(np.int64)
        _, first = np.unique(cube, axis=0, return_index=True)
        index.append(surface[order[first]])
        times.append(found[order[first]])
    return Entries(np.concatenate(index), np.concatenate(times))


def _onto(surface: npt.NDArray[np.int64], site: Site, spacing_mm: tuple[float, float, float]) -> list[int]:
    """Return the voxel of a surface that is nearest to a site."""
    away = (((surface - site.index) * np.asarray(spacing_mm)) ** 2).sum(axis=1)
    return [int(i) for i in surface[int(np.argmin(away))]]


def arrival(tissue: Medium, source: Site | Entries) -> npt.NDArray[np.float64]:
    """Return when each voxel is reached, (k, r, c) ms; infinite outside the muscle.

    Parameters
    ----------
    tissue : Medium
        From `muscle`.
    source : Site or Entries
        A pacing site, or the entries of a sinus beat.
    """
    from carna.ep.eikonal import arrival_times

    if isinstance(source, Site):
        return arrival_times(tissue, [source.index], source.at_ms)
    return arrival_times(tissue, source.index, source.at_ms)


def stimuli(
    heart: Ventricles, source: Site | Entries, *, radius_mm: float = 2.0, within_ms: float = 5.0
) -> tuple[Stimulus, ...]:
    """Return what excites the muscle in a simulation: pulses in balls around the source's voxels.

    Parameters
    ----------
    heart : Ventricles
    source : Site or Entries
    radius_mm : float
        Of a ball, 0.5 to 10; one too small does not make its surroundings fire.
    within_ms : float
        Entries within this time of each other share a pulse in its middle: every pulse is a map of the grid.
    """
    from scipy.ndimage import binary_dilation

    from carna.ep.tissue.stimulus import Stimulus

    if not 0.5 <= radius_mm <= 10.0:
        raise InputError(f"radius_mm = {radius_mm}", needed="0.5 to 10")
    if isinstance(source, Site):
        index, group, times = np.asarray([source.index]), np.zeros(1, np.int64), np.array([source.at_ms])
    else:
        _, group = np.unique(np.floor(source.at_ms / within_ms), return_inverse=True)
        index = source.index
        times = (np.unique(np.floor(source.at_ms / within_ms)) + 0.5) * within_ms
    spacing = np.asarray(heart.spacing_mm)
    reach = np.ceil(radius_mm / spacing).astype(int)
    steps = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), -1) * spacing
    ball = (steps**2).sum(-1) <= radius_mm**2
    mask, made = heart.mask, []
    for n, at_ms in enumerate(times):
        where = np.zeros(mask.shape, bool)
        some = index[group == n]
        where[tuple(some.T)] = True
        cut = tuple(
            slice(max(0, int(a - m)), int(b + m + 1))
            for a, b, m in zip(some.min(0), some.max(0), reach, strict=True)
        )
        where[cut] = binary_dilation(where[cut], ball)
        made.append(Stimulus(where & mask, (float(at_ms),)))
    return tuple(made)
