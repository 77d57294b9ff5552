"""Run a lattice: from millimetres and pressures to lattice units, on to rest or round the beats, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError, SolverError
from carna.flow.blood import MMHG, Blood
from carna.flow.boundary import Wave
from carna.flow.lattice.domain import BLOCK, Domain
from carna.flow.lattice.stencil import MOVES, WEIGHTS
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]

FASTEST: Final = 0.3  # lattice speed, of a speed of sound of 0.577
COARSEST: Final = 62.0  # Reynolds number of one cell
DRIVEN: Final = 40.0  # the same where a flow enters: a drawn-in profile rings
BUFFER: Final = (4.0, 5.0)  # cells behind a driven opening that are thicker, and their Reynolds number
THICKEST: Final = 1.0  # relaxation time: slow flow is given a smaller time step
RAMPS: Final = 1.0  # radii over which the thick cells thin out
FOLLOWS: Final = 2e-3  # of a step: how fast an opening forgets what flow or pressure was usual
CHUNK: Final = 100  # steps between two looks at progress


@final
@dataclass(frozen=True, slots=True)
class Flow:
    """Blood driven through an opening: mL/s into the lumen (negative: out), steady or a wave."""

    ml_s: float | Wave
    profile: Literal["parabolic", "plug"] = "parabolic"


@final
@dataclass(frozen=True, slots=True)
class Held:
    """A pressure held at an opening, mmHg, steady or a wave."""

    mmHg: float | Wave


@final
@dataclass(frozen=True, slots=True)
class Scale:
    """Between the lattice, where a cell, a step and the density are 1, and the world.

    Attributes
    ----------
    dx_m, dt_s : float
    density_kg_m3 : float
    viscosity : float
        Of the lattice: nu dt / dx^2.
    """

    dx_m: float
    dt_s: float
    density_kg_m3: float
    viscosity: float

    @property
    def speed_m_s(self) -> float:
        """One cell per step."""
        return self.dx_m / self.dt_s

    @property
    def pressure_mmHg(self) -> float:
        """Pressure of a density that is higher by 1."""
        return self.density_kg_m3 * self.speed_m_s**2 / 3 / MMHG

    @property
    def flow_ml_s(self) -> float:
        """One unit of mass per step."""
        return self.dx_m**3 / self.dt_s * 1e6

    @property
    def tau(self) -> float:
        """Relaxation time of the even part."""
        return 0.5 + 3 * self.viscosity


def scale(dx_mm: float, blood: Blood, top_m_s: float, *, lattice_speed: float = 0.1) -> Scale:
    """Choose the time step from the fastest blood.

    Parameters
    ----------
    dx_mm : float
    blood : Blood
    top_m_s : float
        The highest speed expected anywhere.
    lattice_speed : float, up to 0.2
        What it becomes on the lattice: error and cost fall and rise with it.

    Raises
    ------
    SolverError
        If a cell is too coarse for the speed, with the dx that would do.
    """
    if not 0 < lattice_speed <= 0.2 or not top_m_s > 0 or not dx_mm > 0:
        raise InputError(
            f"a lattice speed of {lattice_speed:g}, a top speed of {top_m_s:g} m/s, dx {dx_mm:g} mm",
            needed="a lattice speed up to 0.2, the others positive",
        )
    nu = blood.viscosity_mPas * 1e-3 / blood.density_kg_m3
    dx = dx_mm * 1e-3
    cell = top_m_s * dx / nu
    if cell > COARSEST:
        raise SolverError(
            f"a Reynolds number of {cell:.0f} in one cell of {dx_mm:g} mm",
            needed=f"at most {COARSEST:g}",
            fix=f"dx_mm = {dx_mm * COARSEST / cell:.2g}",
        )
    dt = min(lattice_speed * dx / top_m_s, (THICKEST - 0.5) / 3 * dx * dx / nu)
    return Scale(dx, dt, blood.density_kg_m3, nu * dt / dx**2)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Drag:
    """Resistance of a device: pressure gradient = linear u + quadratic |u| u.

    Attributes
    ----------
    linear : (n,) float
        mu / k of each node, Pa s/m2.
    quadratic : (n,) float
        C2 rho / 2 of each node, kg/m4.
    """

    linear: Floats
    quadratic: Floats

    def __add__(self, other: Drag) -> Drag:
        return Drag(self.linear + other.linear, self.quadratic + other.quadratic)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """What a run left behind.

    Attributes
    ----------
    domain : Domain
    scale : Scale
    status : "steady", "periodic" or "ended"
    velocity_m_s : (n, 3) float
    pressure_mmHg : (n,) float
    strain_s : (n, 6) float
        Rate of strain xx, yy, zz, xy, xz, yz, 1/s.
    viscosity_mPas : (n,) float
    flow_ml_s : (openings,) float
        Into the lumen, mean over the last stretch or beat.
    opening_mmHg : (openings,) float
        Mean pressure on the nodes of each opening.
    shear_Pa, oscillation : (walls,) float or None
        Mean wall shear stress and oscillatory index (0 to 0.5) over the last beat at `wall_nodes`.
    steps : int
    change : float
        Relative change of the velocity over the last stretch.
    populations : (19, padded) float
    """

    domain: Domain
    scale: Scale
    status: str
    velocity_m_s: Floats
    pressure_mmHg: Floats
    strain_s: Floats
    viscosity_mPas: Floats
    flow_ml_s: Floats
    opening_mmHg: Floats
    shear_Pa: Floats | None
    oscillation: Floats | None
    steps: int
    change: float
    populations: npt.NDArray[np.float32] | Floats


def simulate(
    domain: Domain,
    blood: Blood,
    openings: Mapping[int, Flow | Held],
    *,
    top_m_s: float,
    end_s: float,
    settle: float = 1e-4,
    lattice_speed: float = 0.1,
    drag: Drag | None = None,
    push_Pa_m: tuple[float, float, float] = (0.0, 0.0, 0.0),
    period_s: float | None = None,
    precise: bool = False,
    start: Lattice | None = None,
    guess: tuple[Floats, Floats] | None = None,
    progress: Progress = SILENT,
) -> Lattice:
    """Solve the Navier-Stokes equations on a lattice.

    Parameters
    ----------
    domain : Domain
    blood : Blood
        With `thinning`, the Carreau law gives each node its viscosity.
    openings : mapping
        A condition for each opening of the domain.
    top_m_s : float
        Highest speed expected, m/s: it sets the time step.
    end_s : float
        Longest time to simulate; with a period, that many seconds of beats.
    settle : float
        A steady run ends when the velocity changes by less than this share while the fastest blood passes
        200 cells.
    lattice_speed : float
    drag : Drag, optional
        Of devices.
    push_Pa_m : (3,) float
        A uniform pressure gradient that drives the flow.
    period_s : float, optional
        Of the waves; the shear index is gathered over the last one.
    precise : bool
        Double precision, for tests.
    start : Lattice, optional
        Go on from here (same domain, same scale).
    guess : (n, 3) float and (n,) float, optional
        Velocity, m/s, and pressure, mmHg, to begin with instead of rest.
    progress : Progress

    Raises
    ------
    InputError
        An opening without a condition.
    SolverError
        Too coarse, too fast (with the setting that would work), or not a number.
    """
    from carna.flow.lattice.kernel import advance, moments
    from carna.flow.lattice.wall import Shear

    if set(openings) != set(range(len(domain.openings))):
        raise InputError(
            f"conditions for openings {sorted(openings)}", needed=f"one for each of {len(domain.openings)}"
        )
    units = scale(domain.dx_mm, blood, top_m_s, lattice_speed=lattice_speed)
    real: Any = np.float64 if precise else np.float32
    padded = domain.table.shape[1]
    slots = np.zeros(19 * padded, real) if start is None else start.populations.ravel().astype(real)
    if guess is not None:
        slots = _equilibrium(domain, units, *guess, _level(openings)).astype(real)
    state = _state(domain, blood, units, drag, push_Pa_m, real, _thickened(openings), lattice_speed)
    link, given = _links(domain, openings, units)
    moves, weights, still = MOVES.astype(np.float64), WEIGHTS, _still(domain, openings, units)
    total = int(np.ceil(end_s / units.dt_s / CHUNK)) * CHUNK
    beat = round(period_s / units.dt_s) if period_s else 0
    ramp = 0 if start is not None or guess is not None or beat else min(total // 4, int(200 / lattice_speed))
    stretch = CHUNK * max(1, round(200 / lattice_speed / CHUNK))
    shear = Shear(domain) if beat else None
    steps, change, status = 0, np.inf, "ended"
    before: Floats | None = None
    flows: list[Floats] = []
    while steps < total and status == "ended":
        count = min(CHUNK, total - steps)
        at = steps + np.arange(1, count + 1)
        drive = _drive(openings, at * units.dt_s, units, np.clip(at / ramp, 0, 1) if ramp else np.ones(count))
        flow = np.zeros((count, len(openings)))
        advance(slots, domain.table, domain.runs, *state, domain.wall, domain.share.astype(real), link,
                domain.edge, given, drive, flow, moves, weights, still)  # fmt: skip
        steps += count
        flows.append(flow)
        if shear is not None and steps > total - beat:
            rho, u, strain = moments(slots, state[4], state[5], state[3], moves, weights)
            _check(u, units, top_m_s, lattice_speed)
            shear.add(
                u[: len(domain)] * units.speed_m_s,
                strain[: len(domain)] / units.dt_s,
                _thick(state[3], units, blood),
            )
        if shear is None and steps % stretch == 0:
            u = moments(slots, state[4], state[5], state[3], moves, weights)[1]
            _check(u, units, top_m_s, lattice_speed)
            if before is not None and steps > ramp + stretch:
                change = float(np.linalg.norm(u - before)) / max(float(np.linalg.norm(u)), 1e-30)
                status = "steady" if change < settle else status
            before = u
        progress(steps / total, f"{steps} steps, change {change:.1e}")
    rho, u, strain = moments(slots, state[4], state[5], state[3], moves, weights)
    _check(u, units, top_m_s, lattice_speed)
    n = len(domain)
    flow = np.concatenate(flows)[-(beat or stretch) :].mean(axis=0) * units.flow_ml_s
    pressure = rho[:n] * units.pressure_mmHg + _level(openings)
    ends = [pressure[domain.edge[np.unique(link[link[:, 2] == o, 4])]].mean() for o in range(len(openings))]
    shear_Pa, oscillation = (None, None) if shear is None else shear.result()
    return Lattice(
        domain, units, "periodic" if beat else status, u[:n] * units.speed_m_s, pressure,
        strain[:n] / units.dt_s, _thick(state[3], units, blood)[:n], flow, np.array(ends), shear_Pa,
        oscillation, steps, change, slots.reshape(19, padded),
    )  # fmt: skip


def _equilibrium(
    domain: Domain, units: Scale, velocity_m_s: Floats, pressure_mmHg: Floats, level: float
) -> Floats:
    """Return populations at rest with their surroundings, in the layout of the kernel."""
    v = velocity_m_s / units.speed_m_s
    cu, size = v @ MOVES.T, (MOVES**2).sum(1)
    inside, whole = v**2 @ (MOVES**2).T, (v**2).sum(1)[:, None]
    less = np.where(size > 1, 1.5 * inside, np.where(size, 3 * whole - 1.5 * inside, whole))
    rho = (pressure_mmHg - level)[:, None] / units.pressure_mmHg
    slots = np.zeros((19, domain.table.shape[1]))
    slots[:, : len(domain)] = (WEIGHTS * (rho + 3 * cu + 4.5 * cu**2 - less)).T
    return slots.ravel()


def _thick(tau: Floats, units: Scale, blood: Blood) -> Floats:
    """Return the viscosity of each node, mPa s."""
    return (tau - 0.5) / (3 * units.viscosity) * blood.viscosity_mPas


def _state(
    domain: Domain,
    blood: Blood,
    units: Scale,
    drag: Drag | None,
    push_Pa_m: tuple[float, float, float],
    real: Any,
    driven: tuple[int, ...] = (),
    lattice_speed: float = 0.1,
) -> tuple[Any, ...]:
    """Return what each node's collision needs, in lattice units: the arguments of the kernel in order."""
    padded = domain.table.shape[1]
    k = tuple(real(v) for v in (1 / 3, 1 / 18, 1 / 36, 3.0))
    # A force in lattice units is an acceleration times dt^2 / dx.
    push = np.array(push_Pa_m) / units.density_kg_m3 * units.dt_s**2 / units.dx_m
    slow = np.zeros((2, padded))
    if drag is not None:
        slow[0, : len(domain)] = drag.linear / units.density_kg_m3 * units.dt_s
        slow[1, : len(domain)] = drag.quadratic / units.density_kg_m3 * units.dx_m
    thin = np.zeros(0)
    if blood.thinning is not None:
        law = blood.thinning
        to = units.viscosity / blood.viscosity_mPas
        thin = np.array([law.high_mPas * to, law.low_mPas * to, law.time_s / units.dt_s, law.n])
    tau = np.full(padded, units.tau)
    cell = lattice_speed / units.viscosity
    for n in driven:
        # Thick cells behind a driven opening damp what rings there; the pressure is right beyond them.
        depth = -domain.openings[n].beyond(domain.points_mm) / domain.dx_mm
        near = domain.openings[n].aside(domain.points_mm) < 1.5 * domain.openings[n].radius_mm
        fades = 1 - (depth - BUFFER[0]) / (RAMPS * domain.openings[n].radius_mm / domain.dx_mm)
        thicker = max(1.0, cell / BUFFER[1]) ** np.clip(fades, 0, 1)
        tau[: len(domain)][near] = np.maximum(tau[: len(domain)], 0.5 + 3 * units.viscosity * thicker)[near]
    everywhere = bool(push.any() or thin.size)
    # 0: one viscosity; 1: force or thinning; 2: only the viscosity varies.
    thick = 2 * (tau != units.tau).reshape(-1, BLOCK).any(axis=1)
    forced = np.where(slow.any(axis=0).reshape(-1, BLOCK).any(axis=1) | everywhere, 1, thick)
    return 1 / units.tau, k, forced, tau, slow, push, thin


def _links(
    domain: Domain, openings: Mapping[int, Flow | Held], units: Scale
) -> tuple[npt.NDArray[np.int32], Floats]:
    """Return the links with their kind, and what a flow of 1 mL/s adds to each."""
    link, given = domain.link.copy(), np.zeros(len(domain.link))
    padded = domain.table.shape[1]
    for n, condition in openings.items():
        mine = link[:, 2] == n
        if isinstance(condition, Held):
            link[mine, 3] = 1
            continue
        opening = domain.openings[n]
        # The velocity counts where a link crosses the plane, or the inlet pushes sideways.
        q = link[mine, 1]
        middle = domain.points_mm[link[mine, 0] % padded] - 0.5 * domain.dx_mm * MOVES[q]
        r = opening.aside(middle) / opening.radius_mm
        shape = np.maximum(1 - r**2, 0) if condition.profile == "parabolic" else np.ones(len(r))
        inward = -np.asarray(opening.outward, float)
        part = WEIGHTS[q] * (MOVES[q] @ inward) * shape
        given[mine] = part / part.sum() / units.flow_ml_s
        most = np.abs(condition.ml_s.value).max() if isinstance(condition.ml_s, Wave) else abs(condition.ml_s)
        # A link along the axis carries a third of the speed of its cell.
        cell = float(3 * given[mine].max() * most) / units.viscosity
        if cell > DRIVEN:
            raise SolverError(
                f"a Reynolds number of {cell:.0f} in a cell of opening {n}, where flow is driven",
                needed=f"at most {DRIVEN:g}",
                fix=f"dx_mm = {domain.dx_mm * DRIVEN / cell:.2g}, or a held pressure there",
            )
    return link, given


def _still(domain: Domain, openings: Mapping[int, Flow | Held], units: Scale) -> Floats:
    """Return what each opening does with sound: the impedance of its area, in a steady run only."""
    still = np.zeros((len(openings), 4))
    for n, condition in openings.items():
        if isinstance(condition.ml_s if isinstance(condition, Flow) else condition.mmHg, Wave):
            return np.zeros((len(openings), 4))
        area = len(np.unique(domain.link[domain.link[:, 2] == n, 4]))
        gain = 0.0 if isinstance(condition, Flow) else 3**0.5 / area
        still[n, :3] = gain, FOLLOWS, np.nan
    return still


def _thickened(openings: Mapping[int, Flow | Held]) -> tuple[int, ...]:
    """Return the openings with thick cells: driven ones, and in a steady run all."""
    steady = not any(isinstance(c.ml_s if isinstance(c, Flow) else c.mmHg, Wave) for c in openings.values())
    return tuple(n for n, condition in openings.items() if isinstance(condition, Flow) or steady)


def _level(openings: Mapping[int, Flow | Held]) -> float:
    """Return the pressure, mmHg, that the lattice calls none: only differences move blood."""
    held = [c.mmHg for c in openings.values() if isinstance(c, Held)]
    return float(np.mean([v.mean if isinstance(v, Wave) else v for v in held])) if held else 0.0


def _drive(
    openings: Mapping[int, Flow | Held], time_s: npt.NDArray[Any], units: Scale, ramp: npt.NDArray[Any]
) -> Floats:
    rows = np.empty((len(time_s), len(openings)))
    level = _level(openings)
    for n, condition in openings.items():
        value = condition.ml_s if isinstance(condition, Flow) else condition.mmHg
        wave = value.at(time_s) if isinstance(value, Wave) else np.full(len(time_s), float(value))
        rows[:, n] = ramp * (wave if isinstance(condition, Flow) else (wave - level) / units.pressure_mmHg)
    return rows


def _check(u: Floats, units: Scale, top_m_s: float, lattice_speed: float) -> None:
    top = float(np.sqrt(np.einsum("ij,ij->i", u, u).max()))
    if not top < FASTEST:
        found = (
            "the velocities are not numbers"
            if np.isnan(top) or top > 1
            else f"a speed of {top * units.speed_m_s:.3g} m/s"
        )
        better = top * units.speed_m_s if np.isfinite(top) and top < 1 else 2 * top_m_s
        raise SolverError(
            f"{found}: {top:.2g} cells per step",
            needed=f"at most {FASTEST:g}",
            fix=f"top_m_s = {better:.3g}, or a lower lattice_speed than {lattice_speed:g}, or a smaller dx",
        )
