"""The steady solver against the pulse waves of the rung above, and bands against truth from there.

Both rungs get the same tree, pressures and outlets; the wave solver adds elastic walls, a pulse of 40 mmHg,
kinetic energy and its own junctions. A lesion has one value, the time-mean pressure at its place of record
over that of the inlet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import SolverError
from carna.flow.blood import MMHG, Blood
from carna.flow.boundary import DEFAULTS, Boundary, Outlet
from carna.flow.ffr import ffr
from carna.flow.geometry.stenosis import reference_radius
from carna.flow.network import Network
from carna.flow.oned import from_network, solve
from carna.flow.oned.trees import mean_result
from carna.flow.result import FlowResult
from carna.flow.steady import losses
from carna.flow.uncertain import uncertain
from carna.flow.virtual import Forest, grow
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CELL_MM: Final = 1.0
BEATS: Final = 4  # outlets without compliance forget a beat in the next
MIDDLE: Final = (0.60, 0.90)


def waves(vessels: Network, boundary: Boundary, blood: Blood) -> FlowResult:
    """Return the means of a settled beat (`Forest.truth` takes this as its solver)."""
    arteries = from_network(vessels, boundary, blood)
    pulse = solve(arteries, blood, cell_mm=CELL_MM, beats=BEATS, tolerance=3e-3, samples=50)
    return mean_result(vessels, pulse)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Rungs:
    """One value a lesion from either rung.

    Attributes
    ----------
    tree : (k,) int
    steady, waves : (k,) float
        Computed FFR at the same place.
    kinetic : (k,) float
        Kinetic energy there over the inlet's mean pressure, from the steady flow: what the steady solver's
        pressure has on top of the static one.
    unsolved : tuple of int
        Trees that the wave solver gave up.
    """

    tree: Ints
    steady: Floats
    waves: Floats
    kinetic: Floats
    unsolved: tuple[int, ...]


def climb(trees: int, *, style: str = "itu2016", seed: int = 2026, progress: Progress = SILENT) -> Rungs:
    """Return both rungs' values of all lesions of 30 % and more in a forest; a third of a second a tree."""
    forest = grow(trees, style=style, seed=seed)
    rows, unsolved = [], list[int]()
    for n in range(trees):
        vessels, boundary = forest.network(n), forest.boundary(n)
        found = ffr(vessels, boundary)
        progress((n + 1) / trees, "pulse waves of a forest")
        if not any(read.value < 0.97 for read in found.lesions):
            continue
        try:
            above = waves(vessels, boundary, Blood()).ratio
        except SolverError:
            unsolved.append(n)
            continue
        for read in found.lesions:
            at = read.at
            segment = next(k for k, points in enumerate(vessels.segments) if at in points[1:])
            # mL/s over mm2 is m/s.
            speed = found.flow.flow_ml_s[segment] / (np.pi * vessels.radius_mm[at] ** 2)
            kinetic = 0.5 * Blood().density_kg_m3 * speed**2 / MMHG / forest.pressure_mmHg[n]
            rows.append((n, read.value, above[at], kinetic))
    table = np.array(rows)
    return Rungs(table[:, 0].astype(np.int64), table[:, 1], table[:, 2], table[:, 3], tuple(unsolved))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """A band and the truth of each lesion.

    Attributes
    ----------
    tree : (k,) int
    truth, low, median, high : (k,) float
    below : (k,) float
        Probability of 0.80 or less.
    """

    tree: Ints
    truth: Floats
    low: Floats
    median: Floats
    high: Floats
    below: Floats

    def score(self, chosen: npt.NDArray[np.bool_]) -> Mapping[str, float]:
        """Return coverage, mean width and interval score of a 90 % band, and the median's bias.

        The score (Gneiting & Raftery 2007, doi:10.1198/016214506000001437) is the width, and 20 times what
        a truth lies outside; less is better.
        """
        truth, low, high = self.truth[chosen], self.low[chosen], self.high[chosen]
        miss = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
        return MappingProxyType(
            {
                "coverage": float(np.mean(miss == 0)),
                "above": float(np.mean(truth > high)),
                "below": float(np.mean(truth < low)),
                "width": float(np.mean(high - low)),
                "score": float(np.mean(high - low + 20 * miss)),
                "bias": float(np.mean(self.median[chosen] - truth)),
            }
        )


def bands(trees: int, *, style: str = "stable", seed: int = 777, progress: Progress = SILENT) -> Bands:
    """Return bands of lesions as a scanner would see them, and the pulse waves' truth in the true vessels.

    What is wrong in the seen tree is of another kind than what `uncertain` draws: smooth noise of radii with
    heavy tails over 3 to 9 mm, a shared bias spread evenly within 6 %, narrowings that look up to 6 % too
    narrow; pressures, viscosity and outlets spread evenly within their ranges, jets of 1.1 to 1.9. Each
    lesion is read at the same point of the tree.
    """
    forest = grow(trees, style=style, seed=seed)
    draws = np.random.default_rng((seed, 1))
    rows = []
    for n in range(trees):
        vessels = forest.network(n)
        true = _true_boundary(vessels, forest, n, draws)
        blood = Blood(1060.0, float(draws.uniform(3.3, 4.8)))
        seen = vessels.with_radius(vessels.radius_mm * np.exp(_seen(vessels, draws)))
        guess = _guess(seen, true, draws)
        found = ffr(seen, guess)
        wide = [r for r in found.lesions if 0.4 < r.value < 0.99]
        if wide:
            at = np.array([r.at for r in wide])
            jet = float(draws.uniform(1.1, 1.9))
            truth = _waves_with_jet(vessels, true, blood, jet).ratio[at]
            sure = uncertain(seen, guess, points=at, reference_mm=found.reference_mm, tornado=False, seed=n)
            rows += [
                (n, *each) for each in zip(truth, sure.low, sure.median, sure.high, sure.below, strict=True)
            ]
        progress((n + 1) / trees, "bands of a forest")
    table = np.array(rows)
    return Bands(table[:, 0].astype(np.int64), *table[:, 1:].T)


def _waves_with_jet(vessels: Network, boundary: Boundary, blood: Blood, jet: float) -> FlowResult:
    """Return the waves' means with another coefficient of the jet's loss in every vessel."""
    arteries = from_network(vessels, boundary, blood)
    lost = losses(vessels, blood, expansion=jet)
    usual = losses(vessels, blood)
    tails = [at[-1] for at in vessels.segments]
    share = np.divide(lost.jet[tails], usual.jet[tails], out=np.ones(len(tails)), where=usual.jet[tails] > 0)
    changed = tuple(
        v if v.jet is None else replace(v, jet=v.jet * s)
        for v, s in zip(arteries.vessels, share, strict=True)
    )
    pulse = solve(
        replace(arteries, vessels=changed), blood, cell_mm=CELL_MM, beats=BEATS, tolerance=3e-3, samples=50
    )
    return mean_result(vessels, pulse)


def _true_boundary(vessels: Network, forest: Forest, tree: int, draws: np.random.Generator) -> Boundary:
    """Return outlets that share a hyperaemic flow by healthy radius, everything spread evenly."""
    velocity, power = DEFAULTS["velocity_m_s"], DEFAULTS["exponent"]
    pressure = float(forest.pressure_mmHg[tree])
    ends = vessels.outlets
    first = forest.points[forest.start[tree]]
    tails = forest.reference_mm[forest.points[forest.start[tree] + ends + 1] - 1]
    share = tails ** float(draws.uniform(power.low, power.high))
    area = np.pi * forest.reference_mm[first] ** 2
    flow = float(draws.uniform(velocity.low, velocity.high)) * area
    whole = (pressure - forest.venous_mmHg) / flow
    each = {
        int(n): Outlet(float(whole * share.sum() / s), forest.venous_mmHg, 0.32)
        for n, s in zip(ends, share, strict=True)
    }
    return Boundary(pressure, MappingProxyType(each))


def _guess(seen: Network, true: Boundary, draws: np.random.Generator) -> Boundary:
    """Return what would be assumed of the seen tree: a cuff within 7 % evenly, the rest by the presets."""
    from carna.flow.boundary import coronary

    cuff = float(true.pressure_mmHg or 0.0) * float(draws.uniform(0.93, 1.07))
    return coronary(seen, pressure_mmHg=cuff, reference_mm=reference_radius(seen))


def _seen(vessels: Network, draws: np.random.Generator) -> Floats:
    """Return the error of log radius at each point."""
    size, reach = draws.uniform(0.03, 0.09), draws.uniform(3.0, 9.0)
    error = np.zeros(len(vessels.points))
    far = vessels.from_inlet_mm
    for n, at in enumerate(vessels.segments):
        # Knots a few millimetres apart, joined by straight lines: smoother than the model's own noise.
        span = vessels.along_mm(n)
        knots = np.arange(0.0, span[-1] + 2 * reach, reach)
        heights = draws.standard_t(4, len(knots)) / np.sqrt(2.0)
        if vessels.parent[n] >= 0:
            heights[0] = error[at[0]] / size
        error[at] = size * np.interp(far[at] - far[at[0]], knots, heights)
    error += draws.uniform(-0.06, 0.06)
    healthy = reference_radius(vessels)
    lost = np.clip(1 - vessels.radius_mm / healthy, 0, 1)
    bloom = draws.uniform(0, 0.06)
    return np.asarray(error - bloom * np.clip(lost / 0.3, 0, 1))
