"""Vessels with elastic walls between numbered nodes, what drives them and what drains them.

The wall is a thin elastic tube, p = p0 + beta (sqrt(A) - sqrt(A0)) with beta = 4/3 sqrt(pi) E h / A0 (Poisson
ratio 1/2; Alastruey et al. 2012, doi:10.1115/1.4007049 and the references there). A0 is the lumen at the
pressure p0: for a lumen measured in an image that is the pressure it was imaged at, not zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.boundary import Outlet, Wave

Floats = npt.NDArray[np.float64]

RADIUS_MM: Final = (0.02, 30.0)
LENGTH_MM: Final = (0.1, 1000.0)
RIGID_M_S: Final = 25.0  # wave speed that stands for a rigid wall: above it only the cost changes


@final
@dataclass(frozen=True, slots=True)
class Wall:
    """What a vessel's wall is made of.

    Parameters
    ----------
    young_kPa : float
        Elastic modulus, 10 to 20,000 kPa; 225 to 700 in the published networks of arteries.
    thickness : float, optional
        Of the wall, over the radius. By default the fit of the ADAN network (Boileau et al. 2015,
        doi:10.1002/cnm.2732): .2802 exp(-505.3 r) + .1324 exp(-11.14 r), r in m.
    viscous_kPa_s : float
        Viscosity of a Kelvin-Voigt wall, 0 to 50 kPa s; 0 is elastic. It damps within vessels; what joins or
        ends them feels the elastic pressure only.
    rigid : bool
        Stiff enough for waves of 25 m/s, whatever the modulus.
    """

    young_kPa: float = 400.0
    thickness: float | None = None
    viscous_kPa_s: float = 0.0
    rigid: bool = False

    def __post_init__(self) -> None:
        if not 10 <= self.young_kPa <= 20_000 or not 0 <= self.viscous_kPa_s <= 50:
            raise InputError(
                f"a wall of {self.young_kPa:g} kPa and {self.viscous_kPa_s:g} kPa s",
                needed="10 to 20,000 kPa, and 0 to 50 kPa s",
                fix="1 kPa is 1000 Pa or 10,000 dyn/cm2",
            )
        if self.thickness is not None and not 0.005 <= self.thickness <= 1:
            raise InputError(
                f"a wall {self.thickness:g} radii thick",
                needed="0.005 to 1",
                fix="give thickness over radius, not millimetres",
            )

    def stiffness(self, radius_m: Floats, density: float) -> Floats:
        """Return beta, Pa/m, for lumens of these radii, m."""
        if self.rigid:
            return np.asarray(2 * density * RIGID_M_S**2 / (np.sqrt(np.pi) * radius_m))
        stiff = 4 / 3 * np.sqrt(np.pi) * self.young_kPa * 1e3 * self.depth(radius_m)
        return np.asarray(stiff / (np.pi * radius_m**2))

    def depth(self, radius_m: Floats) -> Floats:
        """Return the wall's thickness, m."""
        if self.thickness is not None:
            return np.asarray(self.thickness * radius_m)
        return np.asarray(
            radius_m * (0.2802 * np.exp(-505.3 * radius_m) + 0.1324 * np.exp(-11.14 * radius_m))
        )


@final
@dataclass(frozen=True, slots=True, eq=False)
class Vessel:
    """A vessel from one node to another.

    Parameters
    ----------
    name : str
    head, tail : int
        Nodes, any numbers; flow is positive from head to tail.
    along_mm : (m,) float
        Growing from 0 to the length, m >= 2.
    radius_mm : (m,) float
        Of the lumen at ``reference_mmHg``, linear between points.
    wall : Wall
    reference_mmHg : float
    profile : float
        Exponent of the velocity profile, 2 (parabola) to 20 (plug); friction grows with it.
    jet : (m,) float, optional
        Pressure lost from the head beyond friction, over flow squared, mmHg s2/mL2, growing: a narrowing.
    """

    name: str
    head: int
    tail: int
    along_mm: Floats
    radius_mm: Floats
    wall: Wall = Wall()
    reference_mmHg: float = 0.0
    profile: float = 2.0
    jet: Floats | None = None

    def __post_init__(self) -> None:
        along, radius = np.asarray(self.along_mm, float), np.asarray(self.radius_mm, float)
        if along.ndim != 1 or along.shape != radius.shape or len(along) < 2:
            raise InputError(
                f"{self.name}: {along.shape} distances and {radius.shape} radii",
                needed="two points or more, one radius each",
            )
        if not np.isfinite(radius).all() or (radius <= 0).any():
            worst = float(radius[~(radius > 0)][0])
            raise InputError(
                f"{self.name}: a radius of {worst:g} mm", needed="radii above 0", fix="cut or repair it"
            )
        if along[0] != 0 or not (np.diff(along) > 0).all():
            raise InputError(
                f"{self.name}: distances that do not grow from 0", needed="growing distances, mm"
            )
        if not (RADIUS_MM[0] <= radius.min() and radius.max() <= RADIUS_MM[1]) or not (
            LENGTH_MM[0] <= along[-1] <= LENGTH_MM[1]
        ):
            raise InputError(
                f"{self.name}: radii {radius.min():.3g} to {radius.max():.3g} and length {along[-1]:.3g}",
                needed=f"millimetres: radii {RADIUS_MM[0]:g} to {RADIUS_MM[1]:g}, lengths {LENGTH_MM[0]:g} "
                f"to {LENGTH_MM[1]:g}",
                fix="convert radii and lengths to millimetres",
            )
        if not 2 <= self.profile <= 20:
            raise InputError(f"{self.name}: a velocity profile of {self.profile:g}", needed="2 to 20")
        if self.head == self.tail:
            raise InputError(
                f"{self.name} begins and ends at node {self.head}", needed="two nodes", fix="cut it in two"
            )

    @property
    def length_mm(self) -> float:
        """Length, mm."""
        return float(self.along_mm[-1])


@final
@dataclass(frozen=True, slots=True)
class Inlet:
    """What drives a node: one period of flow (mL/s, into the network) or of pressure (mmHg)."""

    wave: Wave
    kind: Literal["flow", "pressure"] = "flow"


@final
@dataclass(frozen=True, slots=True)
class Reflection:
    """An outlet that sends back a fixed share of every pressure wave.

    Parameters
    ----------
    share : float
        -1 (open end) to below 1 (closed); 0 lets all waves out.
    rest_mmHg : float
        Pressure without waves.
    """

    share: float = 0.0
    rest_mmHg: float = 0.0

    def __post_init__(self) -> None:
        if not -1 < self.share < 1:
            raise InputError(f"a reflection of {self.share:g}", needed="above -1 and below 1")


# An Outlet of the boundary's is a windkessel: its resistance, split by its compliance.
Drain: TypeAlias = Outlet | Reflection


@final
@dataclass(frozen=True, slots=True, eq=False)
class Arteries:
    """A network of vessels, loops allowed, with all its ends.

    Parameters
    ----------
    vessels : tuple of Vessel
        Different names.
    inlets : mapping of node to Inlet
        One or several, of the same period; also at nodes where vessels join.
    outlets : mapping of node to Drain
        Every node at which only one vessel ends needs an inlet or an outlet.
    notes : tuple of str
        What was assumed; passed on to the result.
    """

    vessels: tuple[Vessel, ...]
    inlets: Mapping[int, Inlet]
    outlets: Mapping[int, Drain]
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "inlets", MappingProxyType(dict(self.inlets)))
        object.__setattr__(self, "outlets", MappingProxyType(dict(self.outlets)))
        if not self.vessels or not self.inlets:
            raise InputError(
                f"{len(self.vessels)} vessels and {len(self.inlets)} inlets", needed="one of each at least"
            )
        names = [v.name for v in self.vessels]
        if len(set(names)) < len(names):
            twice = sorted({n for n in names if names.count(n) > 1})
            raise InputError(f"several vessels named {', '.join(twice)}", needed="different names")
        self._check_ends()
        self._check_reach()
        periods = {i.wave.period_s for i in self.inlets.values()}
        if max(periods) - min(periods) > 1e-9:
            raise InputError(
                f"inlets of periods {', '.join(f'{p:g}' for p in sorted(periods))} s", needed="one heart rate"
            )

    def _check_ends(self) -> None:
        met = [n for v in self.vessels for n in (v.head, v.tail)]
        lost = sorted((set(self.inlets) | set(self.outlets)) - set(met))
        if lost:
            raise InputError(f"a condition at node {lost[0]}, where no vessel ends", needed="a vessel's node")
        both = sorted(set(self.inlets) & set(self.outlets))
        if both:
            raise InputError(f"an inlet and an outlet at node {both[0]}", needed="one of the two")
        for v in self.vessels:
            for node in (v.head, v.tail):
                if met.count(node) == 1 and node not in self.inlets and node not in self.outlets:
                    raise InputError(
                        f"{v.name} ends at node {node} without an inlet or an outlet",
                        needed="a condition at every open end",
                        fix="give an outlet there, or join it to another vessel",
                    )

    def _check_reach(self) -> None:
        """All vessels hang together, and what flows in can flow out."""
        seen, waiting = set[int](), [self.vessels[0].head]
        beside: dict[int, list[int]] = {}
        for v in self.vessels:
            beside.setdefault(v.head, []).append(v.tail)
            beside.setdefault(v.tail, []).append(v.head)
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting += beside[node]
        apart = [v.name for v in self.vessels if v.head not in seen]
        if apart:
            raise InputError(
                f"{len(apart)} vessels apart from the others, {apart[0]} among them",
                needed="one connected network",
            )
        if not self.outlets and all(i.kind == "flow" for i in self.inlets.values()):
            raise InputError(
                "a network that blood enters and can't leave",
                needed="an outlet",
                fix="close the loop through an outlet's resistance",
            )

    @property
    def period_s(self) -> float:
        """Length of a beat, s."""
        return next(iter(self.inlets.values())).wave.period_s
