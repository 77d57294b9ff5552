"""One tree, judged as a whole: every lesion with its bands, every vessel's pull-back, and what matters most.

What `carna.flow.ffr` computes once, `carna.flow.uncertain` computes a thousand times; here both meet, so
that each number comes with its 90 % band from the same samples: the ratio of record, the lesion's drop, its
gradient, the index of a pull-back. The same samples go through the tree without a lesion: what the ratio
would be if that segment had its reference radius, all else as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.flow.boundary import Boundary
from carna.flow.ffr import LEAST_DIAMETER_MM, PullBack, Read, ffr, pull_back, pull_back_index
from carna.flow.geometry.stenosis import EDGE, Lesion, find_lesions, reference_radius, without
from carna.flow.network import Network
from carna.flow.result import FlowResult
from carna.flow.uncertain import RadiusError, Uncertain, Z, uncertain
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

INDEXED: Final = 200  # samples of which a pull-back's index is taken
OFTEN: Final = 0.9  # an index is given where this share of the samples has one


@final
@dataclass(frozen=True, slots=True)
class Band:
    """A number and its 90 % band: the 50th, 5th and 95th percentile of the samples."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: npt.ArrayLike) -> Band:
        """Return the band of samples (k,)."""
        low, median, high = np.percentile(np.asarray(samples, float), (5, 50, 95))
        return cls(float(median), float(low), float(high))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One lesion.

    Attributes
    ----------
    read : Read
        Where it is and where it is read; its numbers are without bands, those below count.
    value : Band
        Ratio at the place of record.
    below : float
        Probability of a ratio at or below the cut-off, a share of the samples.
    drop, gradient_mmHg : Band
        From the lesion's head to the place of record: of the ratio, and of mean pressure.
    opened : Band
        Ratio at the place of record if this lesion had its reference radius.
    stenosis : Band
        Share of the diameter lost at the throat.
    throat_mm : Band
        Diameter at the throat.
    length_mm : Band
        From head to tail.
    tornado : mapping of str to (low, high)
        The ratio with one input at either end of its range, widest first.
    """

    read: Read
    value: Band
    below: float
    drop: Band
    gradient_mmHg: Band
    opened: Band
    stenosis: Band
    throat_mm: Band
    length_mm: Band
    tornado: Mapping[str, tuple[float, float]]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Pulled:
    """One vessel's pull-back with its band, (m,) each, and the band of its index, None where it has none."""

    line: tuple[int, ...]
    curve: PullBack
    low: Floats
    median: Floats
    high: Floats
    index: Band | None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """A tree, judged.

    Attributes
    ----------
    vessels : Network
    flow : FlowResult
        Without uncertainty.
    reference_mm : (n,) float
        Healthy radius.
    sure : Uncertain
        At all points of the network.
    shown : (n,) bool
        Points to speak of: from the inlet on while the healthy vessel is wide enough.
    lesions : tuple of Judged
        Nearest to the inlet first.
    narrow : tuple of Lesion
        Found in vessels too narrow to speak of.
    pulled : tuple of Pulled
        One for each vessel that is shown over 10 mm or more.
    """

    vessels: Network
    flow: FlowResult
    reference_mm: Floats
    sure: Uncertain
    shown: npt.NDArray[np.bool_]
    lesions: tuple[Judged, ...]
    narrow: tuple[Lesion, ...]
    pulled: tuple[Pulled, ...]


def assess(
    vessels: Network,
    boundary: Boundary,
    *,
    reference_mm: npt.ArrayLike | None = None,
    radius: RadiusError | None = None,
    cut: float = 0.80,
    least_diameter_mm: float = LEAST_DIAMETER_MM,
    samples: int = 1000,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Assessment:
    """Return what is computed of a tree, each number with its band.

    Parameters
    ----------
    vessels, boundary
        As in `carna.flow.steady.steady`; the boundary must give a pressure.
    reference_mm : (n,) float, optional
        Healthy radius; `reference_radius` if left out.
    radius : RadiusError, optional
        Of the measurement of radii.
    cut : float, 0 to 1
        Ratio at or below which it is asked how probable it is.
    least_diameter_mm : float
        Healthy vessels narrower than this are not spoken of.
    samples, seed
        As in `uncertain`.
    progress : Progress

    Raises
    ------
    InputError, SolverError
        As `uncertain` and `steady`.
    """
    healthy = reference_radius(vessels) if reference_mm is None else np.asarray(reference_mm, float)
    error = radius or RadiusError()
    shown = _shown(vessels, healthy, least_diameter_mm)
    every = find_lesions(vessels, reference_mm=healthy)
    lesions = tuple(x for x in every if shown[x.throat])
    found = ffr(vessels, boundary, lesions=lesions, reference_mm=healthy, least_diameter_mm=least_diameter_mm)

    def sampled(tree: Network, part: Progress, *, points: list[int] | None = None) -> Uncertain:
        return uncertain(
            tree, boundary, points=points, radius=error, reference_mm=healthy, cut=cut, samples=samples,
            seed=seed, tornado=points is None, keep=True, progress=part,
        )  # fmt: skip

    share = 0.5 if lesions else 0.8
    sure = sampled(vessels, progress.part(0.0, share))
    judged = []
    for n, read in enumerate(found.lesions):
        part = progress.part(
            share + (0.8 - share) * n / len(lesions), share + (0.8 - share) * (n + 1) / len(lesions)
        )
        opened = sampled(without(vessels, (read.lesion,), healthy), part, points=[read.at])
        judged.append(_judged(vessels, read, sure, opened, error, healthy))
    pulled = []
    for line in vessels.lines:
        progress(0.8, "pull-backs")
        one = _pulled(vessels, found.flow, sure, line, shown, least_diameter_mm)
        pulled += [one] if one is not None else []
    progress(1.0, "pull-backs")
    narrow = tuple(x for x in every if not shown[x.throat])
    return Assessment(vessels, found.flow, healthy, sure, shown, tuple(judged), narrow, tuple(pulled))


def _shown(vessels: Network, healthy: Floats, least_mm: float) -> npt.NDArray[np.bool_]:
    """Walk out from the inlet: what lies beyond a narrow healthy vessel is not spoken of either."""
    shown = np.zeros(len(vessels.points), bool)
    shown[vessels.segments[0][0]] = 2 * healthy[vessels.segments[0][0]] >= least_mm
    for at in vessels.segments:
        wide = 2 * healthy[at[1:]] >= least_mm
        shown[at[1:]] = np.logical_and.accumulate(np.concatenate(([shown[at[0]]], wide)))[1:]
    return shown


def _judged(
    vessels: Network, read: Read, sure: Uncertain, opened: Uncertain, error: RadiusError, healthy: Floats
) -> Judged:
    assert sure.draws is not None and sure.inlet_mmHg is not None and opened.draws is not None
    lesion = read.lesion
    here = sure.draws[read.at].astype(float)
    drop = sure.draws[lesion.points[0]] - here
    # The reference is fitted through many points: its error is the part that all share.
    throat = Z * np.hypot(error.shared, error.local)
    depth = Z * error.local
    left = 1 - lesion.diameter_stenosis
    wide = 2 * lesion.minimal_radius_mm
    return Judged(
        read,
        Band.of(here),
        float(sure.below[read.at]),
        Band.of(drop),
        Band.of(drop * sure.inlet_mmHg),
        Band.of(opened.draws[0]),
        Band(1 - left, float(1 - min(left * np.exp(depth), 1.0)), float(1 - left * np.exp(-depth))),
        Band(wide, float(wide * np.exp(-throat)), float(wide * np.exp(throat))),
        _length(vessels, lesion, healthy),
        {name: (float(x[read.at].min()), float(x[read.at].max())) for name, x in _by_width(sure, read.at)},
    )


def _by_width(sure: Uncertain, at: int) -> list[tuple[str, Floats]]:
    return sorted(sure.tornado.items(), key=lambda item: -float(np.ptp(item[1][at])))


def _length(vessels: Network, lesion: Lesion, healthy: Floats) -> Band:
    """Return the length with its edges taken at half and at one and a half times the usual narrowing."""
    line = vessels.line_points(lesion.line)
    far = vessels.from_inlet_mm[line]
    lost = 1 - vessels.radius_mm[line] / healthy[line]
    throat = int(np.flatnonzero(line == lesion.throat)[0])

    def between(edge: float) -> float:
        before, after = np.flatnonzero(lost[:throat] <= edge), np.flatnonzero(lost[throat:] <= edge)
        start = far[before[-1]] if len(before) else far[0]
        return float((far[throat + after[0]] if len(after) else far[-1]) - start)

    ends = sorted((between(0.5 * EDGE), lesion.length_mm, between(1.5 * EDGE)))
    return Band(lesion.length_mm, ends[0], ends[-1])


def _pulled(
    vessels: Network,
    flow: FlowResult,
    sure: Uncertain,
    line: tuple[int, ...],
    shown: npt.NDArray[np.bool_],
    least_mm: float,
) -> Pulled | None:
    curve = pull_back(vessels, flow, line, least_diameter_mm=least_mm)
    keep = shown[curve.points]
    points, along = curve.points[keep], curve.along_mm[keep]
    own = along[np.isin(points, vessels.line_points(line))]
    if len(own) < 2 or np.ptp(own) < 10:
        return None
    assert sure.draws is not None
    draws = sure.draws[points]
    few = [pull_back_index(along, one.astype(float)) for one in draws[:, :INDEXED].T]
    known = [x for x in few if x is not None]
    index = Band.of(known) if len(known) >= OFTEN * len(few) else None
    return Pulled(
        line,
        PullBack(points, along, flow.ratio[points], pull_back_index(along, flow.ratio[points])),
        sure.low[points],
        sure.median[points],
        sure.high[points],
        index,
    )
