"""An ensemble over what is not known: where scar ends, how fast the muscle conducts, how long it recovers.

>>> from carna.heart.ensemble import members
>>> one, *_ = members(8, seed=1)
>>> -1.5 <= one.border_mm <= 1.5
True

Each member is one draw of the uncertain inputs. All are screened alike (`screened`, a plain function that a
process or another machine can run), their circuits are put together by place, and each circuit has the share
of the members in which it could be induced, with its 95 % interval. The share is one of these members, with
these ranges and tables: no probability for a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.heart.executor import spread
from carna.heart.scar import SCAR
from carna.heart.twin import Velocity, moved, site_voxels, substrate
from carna.heart.ventricles import Ventricles
from carna.intervals import wilson
from carna.progress import SILENT, Progress

if TYPE_CHECKING:
    from carna.ep.reentry import Outcome, Protocol, Restitution
    from carna.space import Grid

__all__ = [
    "SAME_MM", "Induced", "Member", "Priors", "Screening", "Share", "TwinCircuit", "circuits", "inducible",
    "members", "screen_all", "screened", "unplaced",
]  # fmt: skip

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Range = tuple[float, float]

SAME_MM = 10.0  # two circuits are one where each one's isthmus lies within this of the other's path


@dataclass(frozen=True, slots=True)
class Member:
    """One draw of the uncertain inputs; without arguments the middle of the ranges.

    Parameters
    ----------
    border_mm : float
        By how much the borders of scar and of grey zone lie further out than labelled.
    along, across : float
        m/s in healthy muscle.
    grey : float
        Factor on both in the grey zone.
    apd_scale : float
        Factor on the recovery times of both tables.
    """

    border_mm: float = 0.0
    along: float = 0.6
    across: float = 0.25
    grey: float = 0.35
    apd_scale: float = 1.0

    @property
    def velocity(self) -> Velocity:
        """Its conduction."""
        return Velocity(self.grey, self.along, self.across)


@dataclass(frozen=True, slots=True)
class Priors:
    """Ranges, each drawn from evenly: what is thought possible before anything is measured.

    Parameters
    ----------
    border_mm : (low, high)
        -1.5 to 1.5: about a pixel of a scar image either way.
    along, across : (low, high)
        0.45 to 0.75 and 0.20 to 0.30 m/s: around the 0.6 and 0.2 to 0.3 m/s that tissue models of the
        ventricle are set to (Niederer 2011, doi:10.1098/rsta.2011.0139).
    grey : (low, high)
        0.2 to 0.5: measured border zones vary widely between stages and species (Mendonca Costa 2018,
        doi:10.3389/fphys.2018.00356); the ends are our choice.
    apd_scale : (low, high)
        0.9 to 1.1; our choice.

    Raises
    ------
    InputError
        A range whose ends are not in order.
    """

    border_mm: Range = (-1.5, 1.5)
    along: Range = (0.45, 0.75)
    across: Range = (0.20, 0.30)
    grey: Range = (0.2, 0.5)
    apd_scale: Range = (0.9, 1.1)

    def __post_init__(self) -> None:
        """Refuse ends that are not in order."""
        for one in fields(self):
            low, high = getattr(self, one.name)
            if not low <= high:
                raise InputError(f"{one.name} from {low} to {high}", needed="the lower end first")


@dataclass(frozen=True, slots=True, eq=False)
class Screening:
    """What is done with every member.

    Parameters
    ----------
    heart : Ventricles
        With its scar as labelled.
    healthy, grey : carna.ep.reentry.Restitution
        How each recovers.
    protocol : carna.ep.reentry.Protocol
    sites : tuple of str
        Names out of the nineteen; empty for all of them.
    lesion : (n,) bool, optional
        Muscle that is burnt (`carna.heart.twin.lesion`); its border is known and does not move.
    """

    heart: Ventricles
    healthy: Restitution
    grey: Restitution
    protocol: Protocol
    sites: tuple[str, ...] = ()
    lesion: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many members."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        """Between 0 and 1."""
        return self.hits / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval."""
        return wilson(self.hits, self.of)


@dataclass(frozen=True, slots=True)
class Induced:
    """One sustained re-entry: in which member, from where, how, and how fast."""

    member: int
    site: str
    couplings_ms: tuple[float, ...]
    cycle_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class TwinCircuit:
    """A circuit as the members have it.

    Attributes
    ----------
    share : Share
        Of the members in which it was induced from at least one site.
    induced : tuple of Induced
        Every time.
    place_lps_mm : 3 floats
        Middle of the isthmus, mean over ``induced``.
    spread_mm : float
        Largest distance of one member's from it.
    isthmus, exit_site, path : (i, 3), (3,), (m, 3) int
        Voxels k, r, c of the example, whose isthmus lies nearest to the mean place.
    example : Induced
    """

    share: Share
    induced: tuple[Induced, ...]
    place_lps_mm: tuple[float, float, float]
    spread_mm: float
    isthmus: Ints
    exit_site: Ints
    path: Ints
    example: Induced

    @property
    def sites(self) -> tuple[str, ...]:
        """Where it was induced from, the most frequent first."""
        names = [one.site for one in self.induced]
        return tuple(sorted(set(names), key=lambda name: (-names.count(name), name)))

    @property
    def cycles_ms(self) -> tuple[float, float, float]:
        """Shortest, median and longest cycle."""
        all_ms = [one.cycle_ms for one in self.induced]
        return min(all_ms), float(np.median(all_ms)), max(all_ms)


def members(n: int, seed: int, priors: Priors | None = None) -> tuple[Member, ...]:
    """Draw members: a Latin hypercube, so that every range is covered evenly however few they are.

    Parameters
    ----------
    n : int
        1 to 10,000.
    seed : int
        The same seed gives the same members.
    priors : Priors, optional

    Raises
    ------
    InputError
        A number outside its range.

    Notes
    -----
    McKay 1979, doi:10.1080/00401706.1979.10489755.
    """
    from scipy.stats.qmc import LatinHypercube

    if not 1 <= n <= 10_000:
        raise InputError(f"{n} members", needed="1 to 10,000")
    ranges = np.array([getattr(priors or Priors(), one.name) for one in fields(Member)], float)
    unit = LatinHypercube(len(ranges), rng=np.random.default_rng(seed)).random(n)
    return tuple(Member(*map(float, row)) for row in ranges[:, 0] + unit * np.ptp(ranges, axis=1))


def screened(screening: Screening, member: Member, progress: Progress = SILENT) -> tuple[Outcome, ...]:
    """Run programmed stimulation on one member, from every site.

    Returns
    -------
    tuple of carna.ep.reentry.Outcome
        One for every sequence tried, as `carna.ep.reentry.screen` gives them.
    """
    from carna.ep.reentry import screen

    region = moved(screening.heart, member.border_mm)
    if screening.lesion is not None:
        region[screening.lesion] = SCAR
    heart = replace(screening.heart, region=region)
    tables = (
        replace(table, apd_ms=np.asarray(table.apd_ms, float) * member.apd_scale)
        for table in (screening.healthy, screening.grey)
    )
    sites = site_voxels(heart)
    wrong = [name for name in screening.sites if name not in sites]
    if wrong:
        raise InputError(f"a site called {wrong[0]!r}", needed=f"one of {', '.join(sites)}")
    chosen = {name: sites[name] for name in screening.sites or sites}
    return screen(substrate(heart, member.velocity, *tables), chosen, screening.protocol, progress=progress)


def screen_all(
    screening: Screening,
    members: Sequence[Member],
    on: Executor | None = None,
    progress: Progress = SILENT,
) -> tuple[tuple[Outcome, ...], ...]:
    """Run every member; the same answer whoever does the work.

    Parameters
    ----------
    screening : Screening
    members : sequence of Member
    on : concurrent.futures.Executor, optional
        Worker processes or a cluster (`carna.heart.executor.executor`); absent, all is done here.
    progress : Progress
        Between members, and between sites where the work is done here.
    """
    if on is None:
        parts = (progress.part(i / len(members), (i + 1) / len(members)) for i in range(len(members)))
        return tuple(screened(screening, one, part) for one, part in zip(members, parts, strict=True))
    return spread(screened, [(screening, one) for one in members], on, progress, "members")


def inducible(outcomes: Sequence[tuple[Outcome, ...]]) -> Share:
    """Return in how many members any re-entry was sustained."""
    return Share(sum(any(one.sustained for one in tried) for tried in outcomes), len(outcomes))


def unplaced(outcomes: Sequence[tuple[Outcome, ...]]) -> Share:
    """Return in how many members a re-entry was sustained whose path did not close (it drifts, breaks up)."""
    open_ = (any(one.sustained and one.circuit is None for one in tried) for tried in outcomes)
    return Share(sum(open_), len(outcomes))


def circuits(
    outcomes: Sequence[tuple[Outcome, ...]], grid: Grid, same_mm: float = SAME_MM
) -> tuple[TwinCircuit, ...]:
    """Put the circuits of all members together by place; the one in most members first.

    Parameters
    ----------
    outcomes : sequence of tuple of Outcome
        By member.
    grid : Grid
        Of the heart.
    same_mm : float
        Two circuits are one where the middle of each one's isthmus lies within this of the other's path: so
        both directions through a channel, and both loops of a figure of eight through it, count once. Every
        two circuits of a group are one.

    Raises
    ------
    InputError
        A distance of 0 mm or less.
    """
    if not same_mm > 0.0:
        raise InputError(f"same_mm = {same_mm}", needed="more than 0 mm")
    found = [
        (Induced(n, one.site, one.couplings_ms, one.circuit.cycle_ms), one.circuit)
        for n, tried in enumerate(outcomes)
        for one in tried
        if one.sustained and one.circuit is not None
    ]
    if not found:
        return ()
    places = [_middle(grid.to_world(circuit.isthmus)) for _, circuit in found]
    paths = [grid.to_world(circuit.path) for _, circuit in found]
    made = []
    for chosen in _groups(places, paths, same_mm):
        own = np.stack([places[i] for i in chosen])
        middle = own.mean(axis=0)
        away = np.linalg.norm(own - middle, axis=1)
        example, circuit = found[chosen[int(np.argmin(away))]]
        induced = tuple(found[i][0] for i in chosen)
        x, y, z = (float(v) for v in middle)
        made.append(
            TwinCircuit(
                Share(len({one.member for one in induced}), len(outcomes)), induced, (x, y, z),
                float(away.max()), circuit.isthmus, circuit.exit_site, circuit.path, example,
            )
        )  # fmt: skip
    return tuple(sorted(made, key=lambda one: (-one.share.hits, -len(one.induced), one.place_lps_mm)))


def _middle(points: Floats) -> Floats:
    """Return the point nearest to the mean: the mean of a bent isthmus may lie beside it."""
    away = np.linalg.norm(points - points.mean(axis=0), axis=1)
    return np.asarray(points[int(np.argmin(away))])


def _groups(places: Sequence[Floats], paths: Sequence[Floats], same_mm: float) -> list[Ints]:
    """Return the indices of each group (complete linkage)."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(places) == 1:
        return [np.zeros(1, np.int64)]
    # Row i: how far every isthmus lies from path i.
    away = np.stack([[np.linalg.norm(path - place, axis=1).min() for place in places] for path in paths])
    group = fcluster(
        linkage(squareform(np.maximum(away, away.T), checks=False), "complete"), same_mm, "distance"
    )
    return [np.flatnonzero(group == g) for g in np.unique(group)]
