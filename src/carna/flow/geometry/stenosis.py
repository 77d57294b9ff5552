"""Narrowings of a vessel tree: what the lumen would be without them, how deep and how long they are.

The healthy radius is fitted along each vessel (a line of `Network.lines`) as log r = level + slope s + a step
at every bifurcation, by weighted least squares that let go of what lies far off: a residual of -20 % and
more counts nothing, nor does an ectasia of +30 %; with rough radii these limits widen. Slope and steps are
held near what arteries do (a few per cent a centimetre; -10 % a bifurcation; a branch near three quarters of
its parent), or a lesion as long as its segment would be its own reference.

Known failures: a vessel narrowed from end to end is its own reference (diffuse disease is invisible to any
percentage); the noise of radii deepens the minimum that is picked out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.flow.network import Network

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEAST: Final = 0.30  # share of the diameter that makes a lesion
EDGE: Final = 0.10  # a lesion ends where the narrowing is less than this
SCATTER: Final = 0.05  # of log radius about its healthy course
ROUGH: Final = 0.10  # the scatter of rough radii is estimated up to this
LETS_GO: Final = (4.0, 6.0)  # scatters below and above the course at which a point counts nothing
INDEPENDENT_MM: Final = 2.0  # radii this far apart count as separate measurements
SLOPE: Final = (-0.003, 0.004)  # of log radius per mm: mean and SD
BRANCH: Final = (-0.30, 0.25)  # of log radius of a branch, of its parent's healthy one: mean and SD
STEP: Final = (-0.10, 0.15)  # of log radius at a bifurcation: mean and SD


@final
@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """A narrowing.

    Attributes
    ----------
    line : tuple of int
        Segments of the vessel it lies in, from `Network.lines`.
    points : (m,) int
        Points of the network that it covers, from its head to its tail.
    throat : int
        Point of the smallest radius relative to the reference.
    segment : int
        Segment of the throat.
    start_mm, throat_mm, end_mm : float
        Distance from the inlet along the vessel.
    minimal_radius_mm, reference_radius_mm : float
        At the throat.
    """

    line: tuple[int, ...]
    points: Ints
    throat: int
    segment: int
    start_mm: float
    throat_mm: float
    end_mm: float
    minimal_radius_mm: float
    reference_radius_mm: float

    @property
    def length_mm(self) -> float:
        """From head to tail, mm."""
        return self.end_mm - self.start_mm

    @property
    def diameter_stenosis(self) -> float:
        """Share of the diameter that is lost, 0 to 1."""
        return 1 - self.minimal_radius_mm / self.reference_radius_mm

    @property
    def area_stenosis(self) -> float:
        """Share of the area that is lost, 0 to 1."""
        return 1 - (self.minimal_radius_mm / self.reference_radius_mm) ** 2


def reference_radius(vessels: Network) -> Floats:
    """Return the healthy radius at every point, mm: (n,)."""
    found = np.zeros(len(vessels.points))
    for line in vessels.lines:
        at = vessels.line_points(line)
        if vessels.parent[line[0]] < 0:
            found[at] = _course(vessels, line, at, None)
        else:
            # The first point is the parent's.
            found[at[1:]] = _course(vessels, line, at[1:], float(found[at[0]]))
    return found


def _course(vessels: Network, line: tuple[int, ...], at: Ints, parent_mm: float | None) -> Floats:
    along = vessels.from_inlet_mm[at]
    along = along - along[0]
    y = np.log(vessels.radius_mm[at])
    tails = [vessels.segments[n][-1] for n in line[:-1]]
    where = [float(along[at == t][0]) for t in tails]
    design = np.stack([np.ones_like(along), along, *((along > s).astype(float) for s in where)], 1)
    level = 0.0 if parent_mm is None else np.log(parent_mm) + BRANCH[0]
    prior = np.array([level, SLOPE[0], *(STEP[0] for _ in where)])
    hold = np.array(
        [0.0 if parent_mm is None else 1 / BRANCH[1], 1 / SLOPE[1], *(1 / STEP[1] for _ in where)]
    )
    # Each point stands for its share of the length, in units of independent measurements.
    step = np.gradient(along) if len(along) > 1 else np.ones(1)
    share = np.maximum(step, 1e-6) / INDEPENDENT_MM
    coefficients = prior.copy()
    coefficients[0] = np.percentile(y - design[:, 1:] @ prior[1:], 65)
    scatter = SCATTER
    for _ in range(40):
        off = (y - design @ coefficients) / scatter
        reach = np.where(off < 0, LETS_GO[0], LETS_GO[1])
        weight = share / scatter**2 * np.clip(1 - (off / reach) ** 2, 0, None) ** 2
        normal = (design.T * weight) @ design + np.diag(hold**2) + 1e-9 * np.eye(len(hold))
        new = np.linalg.solve(normal, design.T @ (weight * y) + hold**2 * prior)
        settled = bool(np.abs(new - coefficients).max() < 1e-6)
        coefficients = new
        # What lies above the course is free of narrowings: its spread is that of the measurement.
        above = (y - design @ coefficients)[(off > 0) & (off < LETS_GO[1])]
        spread = 1.48 * float(np.median(above)) if len(above) > 4 else SCATTER
        scatter = float(np.clip(0.5 * scatter + 0.5 * spread, SCATTER, ROUGH))
        if settled:
            break
    return np.asarray(np.exp(design @ coefficients))


def find_lesions(
    vessels: Network, *, reference_mm: npt.ArrayLike | None = None, least: float = LEAST
) -> tuple[Lesion, ...]:
    """Return the narrowings of a tree, nearest to the inlet first.

    Parameters
    ----------
    vessels : Network
    reference_mm : (n,) float, optional
        Healthy radius, mm; `reference_radius` if left out.
    least : float, 0 to 1
        Share of the diameter that must be lost. Two narrowings with less than 10 % between them are two.
    """
    healthy = reference_radius(vessels) if reference_mm is None else np.asarray(reference_mm, float)
    lost = 1 - vessels.radius_mm / healthy
    far = vessels.from_inlet_mm
    found = []
    for line in vessels.lines:
        at = vessels.line_points(line)
        if vessels.parent[line[0]] >= 0:
            at = at[1:]  # the first point is the parent's
        inside = np.flatnonzero(lost[at] > EDGE)
        for run in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1):
            if not len(run) or lost[at[run]].max() < least:
                continue
            covered = at[max(run[0] - 1, 0) : run[-1] + 2]
            throat = int(at[run[np.argmax(lost[at[run]])]])
            segment = next((n for n in line if throat in vessels.segments[n][1:]), line[0])
            found.append(
                Lesion(
                    line,
                    covered,
                    throat,
                    segment,
                    float(far[covered[0]]),
                    float(far[throat]),
                    float(far[covered[-1]]),
                    float(vessels.radius_mm[throat]),
                    float(healthy[throat]),
                )
            )
    return tuple(sorted(found, key=lambda lesion: lesion.start_mm))


def without(vessels: Network, lesions: tuple[Lesion, ...], reference_mm: npt.ArrayLike) -> Network:
    """Return the vessels with their healthy radius where the lesions are (no point gets narrower)."""
    healthy = np.asarray(reference_mm, float)
    radius = vessels.radius_mm.copy()
    for lesion in lesions:
        radius[lesion.points] = np.maximum(radius[lesion.points], healthy[lesion.points])
    return vessels.with_radius(radius)
