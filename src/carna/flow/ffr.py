"""Computed fractional flow reserve: along every vessel, and as one number for each lesion.

FFR is the mean pressure beyond a narrowing over that of the aorta, in hyperaemia. Every point of a tree has
one, and it falls to the tip of every vessel, healthy ones too: the number of record is read 10 to 20 mm
beyond the lesion, not at the tip (Norgaard et al. 2014, doi:10.1016/j.jacc.2013.11.043; the tip makes false
positives). What a lesion itself costs is its drop, between its head and 10 mm beyond its tail.

The pull-back along a vessel says whether the loss is focal. Its index (Collet et al. 2019,
doi:10.1016/j.jacc.2019.07.072) is 1 for one step and 0 for an even slope.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.blood import Blood
from carna.flow.boundary import Boundary
from carna.flow.geometry.stenosis import Lesion, find_lesions, reference_radius, without
from carna.flow.network import Network
from carna.flow.result import FlowResult
from carna.flow.steady import steady

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CUT: Final = 0.80
UNSURE: Final = (0.75, 0.80)  # between these a wire is what decides
BEYOND_MM: Final = (10.0, 20.0)
LEAST_DIAMETER_MM: Final = 1.5  # narrower vessels are neither imaged nor treated well enough to speak of
FOCAL_MM: Final = 20.0
DISEASED_PER_MM: Final = 0.0015


@final
@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """One lesion's number of record.

    Attributes
    ----------
    lesion : Lesion
    at : int
        Point of the network where it is read.
    beyond_mm : float
        How far beyond the lesion's tail that is.
    value : float
        Computed FFR there (Pd/Pa for a renal artery).
    drop : float
        Of the ratio, from the lesion's head to the point read.
    gradient_mmHg : float
        Of mean pressure, over the same way.
    note : str
        Why it was not read 10 to 20 mm beyond, if it wasn't.
    """

    lesion: Lesion
    at: int
    beyond_mm: float
    value: float
    drop: float
    gradient_mmHg: float
    note: str = ""

    @property
    def indeterminate(self) -> bool:
        """Whether it lies from 0.75 to 0.80: measure."""
        return UNSURE[0] <= self.value <= UNSURE[1]


@final
@dataclass(frozen=True, slots=True, eq=False)
class PullBack:
    """The ratio along one vessel, from the inlet to where it becomes too narrow.

    Attributes
    ----------
    points : (m,) int
    along_mm : (m,) float
        From the inlet.
    ratio : (m,) float
    index : float or None
        PPG index, 0 diffuse to 1 focal; None where the whole loss is below 0.05 or the vessel is shorter
        than 20 mm.
    """

    points: Ints
    along_mm: Floats
    ratio: Floats
    index: float | None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Ffr:
    """Computed FFR of a tree.

    Attributes
    ----------
    flow : FlowResult
        Its ``ratio`` is the FFR at every point.
    reference_mm : (n,) float
        Healthy radius, mm.
    lesions : tuple of Read
    """

    flow: FlowResult
    reference_mm: Floats
    lesions: tuple[Read, ...]


def ffr(
    vessels: Network,
    boundary: Boundary,
    blood: Blood | None = None,
    *,
    lesions: tuple[Lesion, ...] | None = None,
    reference_mm: npt.ArrayLike | None = None,
    least_diameter_mm: float = LEAST_DIAMETER_MM,
) -> Ffr:
    """Return the ratio of pressures along a tree and at each lesion's place of record.

    Parameters
    ----------
    vessels : Network
    boundary : Boundary
        Of hyperaemia, for FFR; of rest, for a resting ratio.
    blood : Blood, optional
    lesions : tuple of Lesion, optional
        Those of `find_lesions` if left out.
    reference_mm : (n,) float, optional
        Healthy radius; `reference_radius` if left out.
    least_diameter_mm : float
        No number is read where the healthy vessel is narrower.
    """
    healthy = reference_radius(vessels) if reference_mm is None else np.asarray(reference_mm, float)
    if lesions is None:
        lesions = find_lesions(vessels, reference_mm=healthy)
    flow = steady(vessels, boundary, blood)
    return Ffr(
        flow, healthy, tuple(_read(vessels, flow, x, lesions, healthy, least_diameter_mm) for x in lesions)
    )


def _read(
    vessels: Network,
    flow: FlowResult,
    lesion: Lesion,
    every: tuple[Lesion, ...],
    healthy: Floats,
    least_mm: float,
) -> Read:
    at, beyond, note = place_of_record(vessels, lesion, healthy, others=every, least_diameter_mm=least_mm)
    head = lesion.points[0]
    return Read(
        lesion,
        at,
        beyond,
        float(flow.ratio[at]),
        float(flow.ratio[head] - flow.ratio[at]),
        float(flow.pressure_mmHg[head] - flow.pressure_mmHg[at]),
        note,
    )


def place_of_record(
    vessels: Network,
    lesion: Lesion,
    reference_mm: Floats,
    *,
    others: tuple[Lesion, ...] = (),
    least_diameter_mm: float = LEAST_DIAMETER_MM,
) -> tuple[int, float, str]:
    """Return the point where a lesion's FFR is read, how far beyond its tail (mm), and a note if it's near.

    The middle of 10 to 20 mm beyond, along the vessel the lesion lies in, before the next of the ``others``
    begins and while the healthy diameter is at least ``least_diameter_mm``; else the farthest such point.
    """
    line = vessels.line_points(lesion.line)
    far = vessels.from_inlet_mm
    beyond = far[line] - lesion.end_mm
    wide = 2 * reference_mm[line] >= least_diameter_mm
    follow = [x.start_mm for x in others if x.line == lesion.line and x.start_mm >= lesion.end_mm]
    fit = (beyond >= 0) & (np.cumsum(~wide & (beyond >= 0)) == 0)
    if follow:
        fit &= (far[line] <= min(follow)) | (beyond == 0)
    if not fit.any():
        last = int(line[np.flatnonzero(beyond >= 0)[0]])
        note = f"the vessel is narrower than {least_diameter_mm:g} mm beyond the lesion"
        return last, float(far[last] - lesion.end_mm), note
    middle = sum(BEYOND_MM) / 2
    best = int(np.argmin(np.where(fit, np.abs(beyond - middle), np.inf)))
    note = ""
    if beyond[best] < BEYOND_MM[0] - 0.5:
        narrow = f"where the vessel ends or is narrower than {least_diameter_mm:g} mm"
        why = "before the next lesion" if follow else narrow
        note = f"read {beyond[best]:.0f} mm beyond the lesion, {why}"
    return int(line[best]), float(beyond[best]), note


def pull_back(
    vessels: Network,
    flow: FlowResult,
    line: tuple[int, ...],
    *,
    least_diameter_mm: float = LEAST_DIAMETER_MM,
) -> PullBack:
    """Return the ratio from the inlet to the end of one vessel of `Network.lines`, with its PPG index."""
    whole = (*vessels.path(line[0])[:-1], *line)
    at = vessels.line_points(whole)
    far = vessels.from_inlet_mm[at]
    narrow = np.flatnonzero(2 * vessels.radius_mm[at] < least_diameter_mm)
    # A lesion may be narrower than that; a vessel that stays so is at its end.
    stop = len(at)
    while len(narrow) and narrow[-1] == stop - 1:
        stop -= 1
        narrow = narrow[:-1]
    stop = max(stop, 2)
    at, far = at[:stop], far[:stop]
    ratio = flow.ratio[at]
    return PullBack(at, far, ratio, pull_back_index(far, ratio))


def pull_back_index(along: Floats, ratio: Floats) -> float | None:
    """Return the PPG index of a ratio (m,) along a vessel (m,) mm, None as `PullBack` says."""
    length, loss = along[-1] - along[0], ratio[0] - ratio[-1]
    if loss < 0.05 or length < FOCAL_MM:
        return None
    even = np.arange(along[0], along[-1], 0.5)
    smooth = np.interp(even, along, ratio)
    window = int(FOCAL_MM / 0.5)
    steepest = float(np.max(smooth[: -window or None] - smooth[window:])) if len(even) > window else loss
    diseased = float(np.mean(-np.diff(smooth) / 0.5 >= DISEASED_PER_MM))
    return float(np.clip((min(steepest / loss, 1.0) + 1 - diseased) / 2, 0, 1))


def if_removed(
    vessels: Network,
    boundary: Boundary,
    removed: tuple[Lesion, ...],
    at: npt.ArrayLike,
    blood: Blood | None = None,
    *,
    reference_mm: npt.ArrayLike | None = None,
) -> Floats:
    """Return the ratio at points if these lesions had their reference radius, the rest as it is.

    The small vessels are left as they were: what the heart would do months later is another question.

    Parameters
    ----------
    vessels, boundary, blood
        As in `ffr`.
    removed : tuple of Lesion
    at : (k,) int
        Points, for instance where the lesions are read.
    reference_mm : (n,) float, optional
    """
    where = np.asarray(at)
    if where.size and (where.min() < 0 or where.max() >= len(vessels.points)):
        raise InputError(f"points up to {where.max()}", needed=f"0 to {len(vessels.points) - 1}")
    healthy = reference_radius(vessels) if reference_mm is None else np.asarray(reference_mm, float)
    return np.asarray(steady(without(vessels, removed, healthy), boundary, blood).ratio[where])
