"""How sure a computed FFR is: the same tree a thousand times, with what isn't known drawn anew.

Radii carry the largest error: friction goes with the fourth power. Their error has a part that all share (a
threshold set a little high or low) and a part that varies along the vessel, alike over a few millimetres.
Conditions come from the ranges of `carna.flow.boundary.DEFAULTS`, read as 5th to 95th percentile of a
log-normal with another width on either side; a condition that was measured has its measurement's error.
What the equations themselves leave out enters as the range of the jet coefficient.

Given are the median, a 90 % band, the probability of 0.80 or less, and which input matters most, each input
alone moved over its range (the tornado). The band is about the *computed* number: errors that no input
carries, such as a branch that was not seen, are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError, SolverError
from carna.flow.blood import MMHG, Blood
from carna.flow.boundary import DEFAULTS, Boundary
from carna.flow.network import Network
from carna.flow.steady import EXPANSION, WIDER, outlets
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

Z: Final = 1.6448536269514722  # 5th and 95th percentile
CHUNK: Final = 1000
# Log radius is moved by this times the variance of its local error. Friction is convex in radius: an error of
# SD s raises its mean by exp(8 s^2), once in what was measured and once more in each sample.
TWICE: Final = 4.0


@final
@dataclass(frozen=True, slots=True)
class RadiusError:
    """Error of radii, as SD of the logarithm.

    The defaults (9 % at a point, 0.13 mm where the radius is 1.4) were set such that 90 % bands keep their
    promise on virtual scans whose narrowings bloom by up to 6 %, which no part of this model has.

    Attributes
    ----------
    shared : float
        The part that all points of the tree share.
    local : float
        The part that varies along the vessel.
    correlated_mm : float
        Over which distance the local part falls to 1/e of itself.
    """

    shared: float = 0.045
    local: float = 0.08
    correlated_mm: float = 5.0

    def __post_init__(self) -> None:
        if not (0 <= self.shared < 0.5 and 0 <= self.local < 0.5 and self.correlated_mm > 0):
            raise InputError(
                f"a radius error of {self.shared:g}, {self.local:g} over {self.correlated_mm:g} mm",
                needed="shares of 0 to 0.5 and a length above 0 mm",
            )


@final
@dataclass(frozen=True, slots=True)
class Spread:
    """A factor of an input: its 5th and 95th percentile, 1 being the value used."""

    low: float
    high: float

    def draw(self, normal: Floats) -> Floats:
        """Return factors for standard normal numbers."""
        return np.asarray(np.exp(np.where(normal < 0, -np.log(self.low), np.log(self.high)) * normal / Z))


# What a measurement leaves open, as factors; where nothing was measured the range of DEFAULTS holds.
MEASURED: Final[Mapping[str, Spread]] = MappingProxyType(
    {"pressure_mmHg": Spread(0.93, 1.07), "flow": Spread(0.80, 1.25)}
)


def spreads(boundary: Boundary) -> Mapping[str, Spread]:
    """Return what is open about a boundary and blood: a factor for each input.

    ``resistance`` joins perfusion, mass, velocity and hyperaemia, all of which only set the outlets'
    resistance; ``exponent`` is added, not multiplied.
    """
    known = boundary.assumed

    def ratio(name: str) -> Spread:
        it = DEFAULTS[name]
        return Spread(it.low / it.value, it.high / it.value)

    names = ("perfusion_ml_min_g", "velocity_m_s", "renal_flow_ml_s", "renal_reserve")
    flows = [n for n in names if n in known]
    parts = [ratio(n) for n in flows] or [MEASURED["flow"]]
    if "hyperaemia" in known:
        h = ratio("hyperaemia")
        parts.append(Spread(1 / h.high, 1 / h.low))
    low = np.exp(-np.sqrt(sum(np.log(p.low) ** 2 for p in parts)))
    high = np.exp(np.sqrt(sum(np.log(p.high) ** 2 for p in parts)))
    found = {
        "resistance": Spread(float(1 / high), float(1 / low)),
        "pressure_mmHg": ratio("pressure_mmHg") if "pressure_mmHg" in known else MEASURED["pressure_mmHg"],
        "viscosity_mPas": ratio("viscosity_mPas"),
        "expansion": ratio("expansion"),
    }
    if "exponent" in known:
        found["exponent"] = ratio("exponent")
    return MappingProxyType(found)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Uncertain:
    """What is known of the ratio at some points.

    Attributes
    ----------
    points : (w,) int
        Of the network.
    median, low, high : (w,) float
        The 50th, 5th and 95th percentile.
    sd : (w,) float
    below : (w,) float
        Probability of a ratio at or below ``cut``.
    cut : float
    samples : int
    tornado : mapping of str to (w, 2) float
        The ratio with one input at its 5th and 95th percentile, all else as given; widest first (of the
        lowest point).
    draws : (w, k) float32 or None
        Each sample's ratio, where they were asked to be kept: what a drop between two points or an index of a
        whole vessel is judged from.
    inlet_mmHg : (k,) float or None
        Each sample's pressure at the inlet, likewise.
    """

    points: Ints
    median: Floats
    low: Floats
    high: Floats
    sd: Floats
    below: Floats
    cut: float
    samples: int
    tornado: Mapping[str, Floats] = field(default_factory=dict)
    draws: npt.NDArray[np.float32] | None = None
    inlet_mmHg: Floats | None = None


def uncertain(
    vessels: Network,
    boundary: Boundary,
    blood: Blood | None = None,
    *,
    points: npt.ArrayLike | None = None,
    radius: RadiusError | None = None,
    inputs: Mapping[str, Spread] | None = None,
    reference_mm: npt.ArrayLike | None = None,
    cut: float = 0.80,
    samples: int = 1000,
    seed: int = 0,
    tornado: bool = True,
    keep: bool = False,
    progress: Progress = SILENT,
) -> Uncertain:
    """Return the distribution of the ratio at points of a tree.

    Parameters
    ----------
    vessels, boundary, blood
        As in `carna.flow.steady.steady`; the boundary must give a pressure.
    points : (w,) int, optional
        All if left out; fewer are faster.
    radius : RadiusError, optional
    inputs : mapping of str to Spread, optional
        Those of `spreads` if left out; {} leaves only the radii.
    reference_mm : (n,) float, optional
        Healthy radius, by which flow is shared; `Network.radius_mm` if left out.
    cut : float
        The ratio whose probability is asked for.
    samples : int, 100 to 1,000,000
    seed : int
    tornado : bool
    keep : bool
        Keep every sample. The same seed draws the same inputs: two trees can be compared pair by pair.
    progress : Progress

    Raises
    ------
    InputError
        If the boundary gives a flow in place of a pressure.
    SolverError
        If a sample does not converge.
    """
    if boundary.pressure_mmHg is None:
        raise InputError("a boundary with a flow at the inlet", needed="a pressure at the inlet")
    if not 100 <= samples <= 1_000_000:
        raise InputError(f"{samples} samples", needed="100 to 1,000,000")
    wanted = np.arange(len(vessels.points)) if points is None else np.asarray(points, np.int64)
    error, open_inputs = radius or RadiusError(), spreads(boundary) if inputs is None else inputs
    run = _Runner.of(vessels, boundary, blood or Blood(), wanted, error, reference_mm)
    rng = np.random.default_rng(seed)
    normal = {name: rng.standard_normal(samples) for name in (*open_inputs, "radius")}
    # One row a point, so that each point's samples sort where they lie.
    found = np.empty((len(wanted), samples), np.float32)
    for a in range(0, samples, CHUNK):
        part = {name: z[a : a + CHUNK] for name, z in normal.items()}
        found[:, a : a + CHUNK] = run(part, open_inputs, error.local, seed + a).T
        progress(min(a + CHUNK, samples) / samples, "samples")
    below = np.asarray((found <= np.float32(cut)).mean(1))
    sd = np.asarray(found.std(1, dtype=np.float64))
    draws = found.copy() if keep else None
    inlet = run.pressure * _factor("pressure_mmHg", open_inputs, normal) if keep else None
    found.sort(axis=1)
    rank = (samples - 1) * np.array([0.05, 0.5, 0.95])
    whole = rank.astype(int)
    low, median, high = (
        np.asarray(found[:, n] * (1 - r + n) + found[:, min(n + 1, samples - 1)] * (r - n), float)
        for n, r in zip(whole, rank, strict=True)
    )
    swings = _tornado(run, open_inputs, error) if tornado else {}
    return Uncertain(wanted, median, low, high, sd, below, cut, samples, swings, draws, inlet)


def _factor(name: str, inputs: Mapping[str, Spread], normal: Mapping[str, Floats]) -> Floats:
    return inputs[name].draw(normal[name]) if name in inputs else np.ones(len(normal["radius"]))


def _tornado(run: _Runner, inputs: Mapping[str, Spread], error: RadiusError) -> Mapping[str, Floats]:
    """Each input alone at its 5th and 95th percentile; radii as if all were wrong together."""
    names = (*inputs, "radius")
    both = np.array([-Z, Z])
    rows = {name: np.zeros(2 * len(names)) for name in names}
    for n, name in enumerate(names):
        rows[name][2 * n : 2 * n + 2] = both
    whole = np.hypot(error.shared, error.local)
    if error.shared > 0:
        rows["radius"] = rows["radius"] * whole / error.shared
    found = run(rows, inputs, 0.0, 0)
    lowest = int(np.argmin(found.mean(0)))
    swing = {name: found[2 * n : 2 * n + 2].T.astype(float) for n, name in enumerate(names)}
    order = sorted(names, key=lambda name: -abs(float(np.diff(swing[name][lowest])[0])))
    return MappingProxyType({name: swing[name] for name in order})


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Runner:
    """What stays the same from sample to sample."""

    start: Ints
    order: Ints
    step: Floats
    radius: Floats
    parent: Ints
    outlet: Floats
    venous: Floats
    width: Floats
    wanted: Ints
    pressure: float
    blood: Blood
    error: RadiusError

    @classmethod
    def of(
        cls,
        vessels: Network,
        boundary: Boundary,
        blood: Blood,
        wanted: Ints,
        error: RadiusError,
        reference_mm: npt.ArrayLike | None,
    ) -> _Runner:
        """Lay the segments end to end."""
        order = np.concatenate(vessels.segments)
        start = np.cumsum([0, *map(len, vessels.segments)])
        step = np.linalg.norm(
            np.diff(vessels.points[order], axis=0, prepend=vessels.points[order[:1]]), axis=1
        )
        step[start[:-1]] = 0.0
        ends, veins = outlets(vessels, boundary)
        healthy = vessels.radius_mm if reference_mm is None else np.asarray(reference_mm, float)
        tails = healthy[[at[-1] for at in vessels.segments]]
        leaf = ends > 0
        width = np.where(leaf, tails / np.exp(np.log(tails[leaf]).mean()), 1.0)
        place = np.empty(len(vessels.points), np.int64)
        # Back to front: a shared point is read where its parent ends.
        place[order[::-1]] = np.arange(len(order))[::-1]
        return cls(
            start,
            order,
            step,
            vessels.radius_mm[order],
            vessels.parent,
            ends,
            veins,
            width,
            place[wanted],
            float(boundary.pressure_mmHg or 0.0),
            blood,
            error,
        )

    def __call__(
        self, normal: Mapping[str, Floats], inputs: Mapping[str, Spread], local: float, seed: int
    ) -> npt.NDArray[np.float32]:
        """Return the ratio of each sample at the wanted points: (k, w)."""
        from carna.flow.uncertain_kernel import sample

        count = len(normal["radius"])

        def factor(name: str) -> Floats:
            return _factor(name, inputs, normal)

        pressure = self.pressure * factor("pressure_mmHg")
        # Flow is set by what the muscle asks for: another pressure comes with another resistance.
        veins = float(self.venous[self.outlet > 0].mean())
        drive = (pressure - veins) / (self.pressure - veins)
        power = DEFAULTS["exponent"].value
        out = np.empty((count, len(self.wanted)), np.float32)
        worst = sample(
            self.start,
            self.order,
            self.step,
            self.radius,
            self.parent,
            self.outlet,
            self.venous,
            self.width,
            self.error.shared * normal["radius"] + TWICE * local**2,
            np.full(count, local),
            self.error.correlated_mm,
            pressure,
            factor("resistance") * drive,
            power * (factor("exponent") - 1),
            8 * self.blood.viscosity_mPas / (np.pi * MMHG) * factor("viscosity_mPas"),
            EXPANSION * self.blood.density_kg_m3 / (2 * MMHG) * factor("expansion"),
            WIDER,
            np.random.default_rng((seed, 1)),
            self.wanted,
            out,
        )
        if not worst <= 1e-6:
            raise SolverError(
                f"a sample's flows still change by {worst:.1e}",
                needed="a change below 1e-6",
                fix="narrow the radius error",
            )
        return out
