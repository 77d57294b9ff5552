"""What the steady solver lacks in one lesion, learned from the lattice: how much more or less it loses.

The steady solver gives a lesion friction of parabolas and one jet coefficient. The lattice
(`carna.flow.lattice.lesion`) knows that a throat's profile is flat where blood has just been squeezed into
it, that a slow jet recovers pressure and a steep one does not, and what an eccentric lumen or a bend does.
`lesion_net` is a Gaussian process of eleven numbers without units for the logarithm of lattice over
solver: it answers with a law R q + S q|q| about the flow it is asked for, with a standard deviation, and it
refuses a lesion that is not of the family it was taught.

Loss is without the reversible part: where the vessel is narrower behind than before, the kinetic energy of
two parabolas is taken off what the lattice has lost in static pressure. Branches, several narrowings in a row
and pulses were never in its lessons. Rasmussen & Williams 2006, Gaussian Processes for Machine Learning,
ISBN 026218253X, chapters 2 and 5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import as_file, files
from types import MappingProxyType
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.blood import MMHG, Blood
from carna.flow.lattice.lesion import Vessel
from carna.flow.lesion import Loss, profile
from carna.flow.network import Network

Floats = npt.NDArray[np.float64]

FORMAT: Final = "carna.lesion-net/1"
FEATURES: Final = (
    "log of the throat's Reynolds number",
    "log of the throat's radius over the healthy one",
    "friction's share of the solver's loss",
    "log of the throat's length over that of its entrance",
    "steepness before the throat",
    "steepness behind the throat",
    "log of the room behind, in throat radii",
    "log of the radius behind over that before",
    "eccentricity",
    "bend",
    "eccentricity to the outer side of the bend",
)
LEAST: Final = 0.1  # share of the radius lost: with less there is no throat to speak of
NEAR: Final = 0.8  # of the flow: the law goes through the losses at both


def features(vessel: Vessel, flow_ml_s: float, blood: Blood) -> Floats:
    """Return what the correction depends on, `FEATURES` in order, (11,), all without units.

    Parameters
    ----------
    vessel : Vessel
        From healthy lumen before the lesion to 10 mm beyond it.
    flow_ml_s : float, > 0
    blood : Blood
    """
    law = profile(vessel.along_mm, vessel.radius_mm, blood)
    s = np.linspace(0, float(vessel.along_mm[-1]), 500)
    radius = np.interp(s, vessel.along_mm, vessel.radius_mm)
    centre = np.interp(s, vessel.along_mm, vessel.shift_mm + vessel.course_mm)
    healthy = np.linspace(radius[0], radius[-1], len(s))
    lost = 1 - radius / healthy
    at = int(np.argmax(lost))
    if not lost[at] >= LEAST or not flow_ml_s > 0:
        raise InputError(
            f"a narrowing of {100 * lost[at]:.0f} % at {flow_ml_s:g} mL/s",
            needed=f"{100 * LEAST:.0f} % or more of the radius between two healthy ends, a positive flow",
            fix="let the stretch begin before the lesion and end 10 mm beyond it",
        )
    throat = float(radius[at])
    nu = blood.viscosity_mPas / blood.density_kg_m3 * 1e3  # mm2/s
    reynolds = 2 * flow_ml_s * 1e3 / (np.pi * throat * nu)
    step = s[1] - s[0]
    quarter, half, rest = (np.flatnonzero(lost > part * lost[at]) for part in (0.25, 0.5, 0.75))
    rise = 0.5 * lost[at] * healthy[at]
    friction = law.linear / (law.linear + law.quadratic * flow_ml_s)
    length = float(((throat / radius) ** 4).sum() * step)
    first, last = quarter[0], quarter[-1]
    straight = np.interp(at, (first, last), (centre[first], centre[last]))
    aside = float((centre[at] - straight) / (healthy[at] - throat))
    bend = float((centre[-1] - centre[0]) / (s[last] - s[first] + step))
    return np.array(
        [
            np.log(reynolds),
            np.log(throat / healthy[at]),
            friction,
            np.log(length / (0.12 * reynolds * throat)),
            rise / ((rest[0] - quarter[0] + 1) * step),
            rise / ((quarter[-1] - rest[-1] + 1) * step),
            np.log((s[-1] - s[half[-1]] + step) / throat),
            np.log(radius[-1] / radius[0]),
            abs(aside),
            abs(bend),
            aside * bend,
        ]
    )


def reversible_mmHg(vessel: Vessel, flow_ml_s: float, blood: Blood) -> float:
    """Return the static pressure that turns into the kinetic energy of a faster parabola behind."""
    speeds = flow_ml_s / (np.pi * vessel.radius_mm[[-1, 0]] ** 2)  # mL/s over mm2 is m/s
    # A parabola carries twice the energy of its mean speed.
    return float(blood.density_kg_m3 * (speeds[0] ** 2 - speeds[1] ** 2) / MMHG)


@final
@dataclass(frozen=True, slots=True)
class Corrected:
    """What a lesion loses about one flow.

    Attributes
    ----------
    law : Loss
        For `carna.flow.lesion.put`; good near the flow that was asked for.
    ratio : float
        Its loss over the steady solver's.
    sd : float
        Of the logarithm of the ratio: what the lattice may differ from this, about a share of the loss.
    """

    law: Loss
    ratio: float
    sd: float


@final
@dataclass(frozen=True, eq=False)
class LesionNet:
    """A Gaussian process with a constant, a linear and a squared-exponential part.

    Attributes
    ----------
    x, y : (n, 11), (n,) float
        Lessons: `features`, and the logarithm of the lattice's loss over the solver's.
    size : (4,) float
        Standard deviations: of the constant, of the linear part, of the curved one, of what no feature
        explains.
    reach : () float
        Over which distance the curved part forgets, in standard deviations of the features.
    low, high : (11,) float
        Beyond which it refuses.
    """

    x: Floats
    y: Floats
    size: Floats
    reach: Floats
    low: Floats
    high: Floats

    def __call__(self, vessel: Vessel, flow_ml_s: float, blood: Blood | None = None) -> Corrected:
        """Return the corrected law of a lesion at a flow.

        Parameters
        ----------
        vessel : Vessel
            From healthy lumen before the lesion to 10 mm beyond it.
        flow_ml_s : float, > 0
        blood : Blood, optional

        Raises
        ------
        InputError
            If there is no narrowing, or one unlike all that it was taught with.
        """
        blood = blood or Blood()
        x = features(vessel, flow_ml_s, blood)
        for value, low, high, name in zip(x, self.low, self.high, FEATURES, strict=True):
            if not low <= value <= high:
                raise InputError(
                    f"{name}: {value:.3g}",
                    needed=f"{low:.3g} to {high:.3g}, as in the lessons of LesionNet",
                    fix="keep the steady solver's law, or run the lesion on the lattice",
                )
        nearer = features(vessel, NEAR * flow_ml_s, blood)
        mean, sd = self.predict(np.stack([x, nearer]))
        usual = profile(vessel.along_mm, vessel.radius_mm, blood)
        # Resistance, loss over flow, at both flows: a straight line between them.
        flows = np.array([1.0, NEAR]) * flow_ml_s
        resistance = np.exp(mean) * (usual.linear + usual.quadratic * flows)
        quadratic = (resistance[0] - resistance[1]) / (flows[0] - flows[1])
        quadratic = float(np.clip(quadratic, 0.0, resistance[0] / flow_ml_s))
        law = Loss(float(resistance[0] - quadratic * flow_ml_s), quadratic)
        return Corrected(law, float(np.exp(mean[0])), float(sd[0]))

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of log ratios for features (k, 11), refusing none."""
        centre, spread, weights, root = self._solved
        to = (np.atleast_2d(x) - centre) / spread
        cross = covariance(to, (self.x - centre) / spread, self.size, self.reach)
        left = np.linalg.solve(root, cross.T)
        own = self.size[0] ** 2 + self.size[1] ** 2 * (to**2).sum(1) + self.size[2] ** 2 + self.size[3] ** 2
        return cross @ weights, np.sqrt(np.maximum(own - (left**2).sum(0), self.size[3] ** 2))

    @cached_property
    def _solved(self) -> tuple[Floats, Floats, Floats, Floats]:
        centre, spread = self.x.mean(0), self.x.std(0)
        x = (self.x - centre) / spread
        whole = covariance(x, x, self.size, self.reach) + self.size[3] ** 2 * np.eye(len(x))
        root = np.linalg.cholesky(whole)
        return centre, spread, np.linalg.solve(whole, self.y), root


def covariance(a: Floats, b: Floats, size: Floats, reach: Floats) -> Floats:
    """Return the prior covariance of features (n, k) and (m, k), standardised: (n, m)."""
    inner = a @ b.T
    away = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * inner
    return np.asarray(size[0] ** 2 + size[1] ** 2 * inner + size[2] ** 2 * np.exp(-0.5 * away / reach**2))


def stretch(vessels: Network, first: int, last: int) -> Vessel:
    """Return the lumen between two points of one segment, laid into the plane that holds most of its bend.

    Raises
    ------
    InputError
        If no segment holds both in this order, or the vessel turns back on itself.
    """
    for at in vessels.segments:
        place = {int(point): n for n, point in enumerate(at)}
        if place.get(first, len(at)) < place.get(last, -1):
            part = at[place[first] : place[last] + 1]
            break
    else:
        raise InputError(f"points {first} and {last}", needed="two points of one segment, the first upstream")
    points = vessels.points[part] - vessels.points[first]
    chord = points[-1] / np.linalg.norm(points[-1])
    z = points @ chord
    if (np.diff(z) <= 0).any():
        raise InputError(
            "a stretch that turns back on itself",
            needed="a vessel that bends by less than a right angle",
            fix="keep the steady solver's law there",
        )
    sideways = points - z[:, None] * chord
    course = sideways @ np.linalg.svd(sideways, full_matrices=False)[2][0]
    return Vessel(z, np.asarray(vessels.radius_mm[part], float), np.zeros(len(z)), course)


@cache
def lesion_net() -> LesionNet:
    """Return the one that comes with the package, ``models/lesion_net.npz``."""
    with (
        as_file(files("carna") / "models" / "lesion_net.npz") as path,
        np.load(path, allow_pickle=False) as kept,
    ):
        return LesionNet(**{key: kept[key].astype(float) for key in kept.files})


@cache
def card() -> Mapping[str, Any]:
    """Return what it is, what it was taught with, by which recipe, and what it is for."""
    text = (files("carna") / "models" / "lesion_net.json").read_text(encoding="utf-8")
    body: dict[str, Any] = json.loads(text)
    if body["format"] != FORMAT:
        raise InputError(f"models/lesion_net.json is {body['format']}", needed=FORMAT)
    return MappingProxyType(body)
