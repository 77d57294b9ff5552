"""What one narrowed vessel costs, measured by the lattice: R q + S q|q| for the steady solver.

The vessel may be eccentric and bent as long as a plane of symmetry is left; half of it is run. A parabola
enters, the pressure of the wire is read where the profile begins and where it ends, so that a profile that
goes on for 10 mm beyond the lesion has the jet's recovery up to there, and no more, in its S.

Flows are run from the lowest up, each from where the last one ended: a jet that starts at once rolls up into
rings that no coarse lattice stands. What settles is the pressure, long before the last eddy of a slow corner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.blood import MMHG, Blood
from carna.flow.lattice.domain import Domain, Opening, domain
from carna.flow.lattice.shape import Shape
from carna.flow.lattice.simulate import Flow, Held, Lattice, scale, simulate
from carna.flow.lesion import Loss
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]

LEAD: Final = 1.5  # radii of straight vessel before the profile: a little more than the opening's thick cells
REST: Final = 1.6  # and behind it
SPEED: Final = 0.2  # on the lattice, of twice the mean throat speed; the jet itself has about 0.16
CELL_REYNOLDS: Final = 58.0
BATCH: Final = 400  # steps between two looks at the pressure
LOOKS: Final = 6  # of which the mean is taken
ALIKE: Final = 0.008  # their range, of their mean
RAMP: Final = 5  # looks over which one flow becomes the next: at once, the blood's inertia would ring


@final
@dataclass(frozen=True, slots=True, eq=False)
class Vessel:
    """A vessel along z with round sections, symmetric to the plane y = 0.

    Attributes
    ----------
    z_mm : (n,) float
        Growing.
    radius_mm : (n,) float
    shift_mm : (n,) float
        Of the lumen's centre along x from the vessel's course: eccentricity.
    course_mm : (n,) float
        Of the vessel itself along x; sections are at right angles to it.
    """

    z_mm: Floats
    radius_mm: Floats
    shift_mm: Floats
    course_mm: Floats

    @property
    def along_mm(self) -> Floats:
        """Way along the course, (n,)."""
        steps = np.hypot(np.diff(self.z_mm), np.diff(self.course_mm))
        return np.concatenate(([0.0], np.cumsum(steps)))

    @property
    def ends_mm(self) -> tuple[float, float]:
        """Where the straight vessel before and behind begins and ends, z."""
        return (
            float(self.z_mm[0] - LEAD * self.radius_mm[0]),
            float(self.z_mm[-1] + REST * self.radius_mm[-1]),
        )

    def section(self, z_mm: Floats) -> tuple[Floats, Floats, Floats]:
        """Return radius, place of the centre along x and cosine of the course's slope at z."""
        slope = np.gradient(self.course_mm, self.z_mm)
        centre = np.interp(z_mm, self.z_mm, self.shift_mm + self.course_mm)
        cosine = 1 / np.hypot(1, np.interp(z_mm, self.z_mm, slope))
        return np.interp(z_mm, self.z_mm, self.radius_mm), centre, cosine

    def dx_mm(self, cells: tuple[float, float], flow_ml_s: float, blood: Blood) -> float:
        """Return the distance of nodes: so many per head and per throat radius, few enough for the jet."""
        throat = float(self.radius_mm.min())
        nu = blood.viscosity_mPas / blood.density_kg_m3 * 1e-3
        jet = CELL_REYNOLDS * nu / (2 * _mean(flow_ml_s, throat)) * 1e3
        return float(min(self.radius_mm[0] / cells[0], throat / cells[1], jet))

    def lumen(self, dx_mm: float) -> Domain:
        """Return half of it on a lattice."""

        def distance(at: Floats) -> Floats:
            radius, centre, cosine = self.section(at[:, 2])
            return np.asarray(np.hypot((at[:, 0] - centre) * cosine, at[:, 1]) - radius)

        first, last = self.ends_mm
        at = (self.shift_mm + self.course_mm)[[0, -1]]
        ends = (
            Opening((float(at[0]), 0, first), (0, 0, -1), float(self.radius_mm[0])),
            Opening((float(at[1]), 0, last), (0, 0, 1), float(self.radius_mm[-1])),
        )
        centre, margin = self.shift_mm + self.course_mm, self.radius_mm.max() + 2 * dx_mm
        return domain(
            Shape(distance),
            dx_mm,
            (centre.min() - margin, 0, first - 2 * dx_mm),
            (centre.max() + margin, margin, last + 2 * dx_mm),
            ends,
            mirror=(False, True, False),
        )

    def guess(self, lumen: Domain, flow_ml_s: float, blood: Blood) -> tuple[Floats, Floats]:
        """Return a parabola everywhere, and friction with Bernoulli's pressure, a fifth of it recovered."""
        at = lumen.points_mm
        radius, centre, cosine = self.section(at[:, 2])
        r = np.hypot((at[:, 0] - centre) * cosine, at[:, 1]) / radius
        speed = 2 * _mean(flow_ml_s, radius) * cosine * np.maximum(1 - r**2, 0)
        z = np.linspace(*self.ends_mm, 800)
        radius, _, _ = self.section(z)
        head = 0.5 * blood.density_kg_m3 * np.asarray(_mean(flow_ml_s, radius)) ** 2
        top = int(np.argmax(head))
        p = np.concatenate((-head[:top], -head[top] + 0.2 * (head[top] - head[top:])))
        friction = 8 * blood.viscosity_mPas * _mean(flow_ml_s, radius) / radius**2
        p -= np.cumsum(friction) * (z[1] - z[0])
        return np.stack([0 * speed, 0 * speed, speed], 1), np.interp(at[:, 2], z, (p - p[-1]) / MMHG)


def _mean(flow_ml_s: float, radius_mm: Floats | float) -> Floats:
    """Return the mean speed, m/s."""
    return np.asarray(flow_ml_s * 1e-6 / (np.pi * (np.asarray(radius_mm) * 1e-3) ** 2))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Drops:
    """What the lattice measured.

    Attributes
    ----------
    flow_ml_s, drop_mmHg : (k,) float
        Of static pressure, between the ends of the profile.
    unsettled : (k,) float
        Range of the last six looks, 400 steps apart, of the drop.
    nodes, steps : int
    dx_mm : float
    """

    flow_ml_s: Floats
    drop_mmHg: Floats
    unsettled: Floats
    nodes: int
    steps: int
    dx_mm: float

    def law(self) -> Loss:
        """Return R q + S q^2 through the drops, least squares of relative errors."""
        q = self.flow_ml_s
        # Relative: a small flow must not be drowned by a large one.
        basis = np.stack([q, q**2], axis=1) / self.drop_mmHg[:, None]
        linear, quadratic = np.linalg.lstsq(basis, np.ones(len(q)), rcond=None)[0]
        return Loss(float(linear), float(quadratic))


def measure(
    vessel: Vessel,
    flows_ml_s: tuple[float, ...],
    blood: Blood | None = None,
    *,
    cells: tuple[float, float] = (8.0, 4.5),
    finer: float = 1.0,
    most: int = 5200,
    progress: Progress = SILENT,
) -> Drops:
    """Run a vessel at some flows and return what it loses at each.

    Parameters
    ----------
    vessel : Vessel
    flows_ml_s : tuple of float
        Two or more, > 0, growing.
    blood : Blood, optional
    cells : two float
        Fewest nodes per radius, of the head and of the throat; a fast jet has more.
    finer : float
        Divides the distance of the nodes once more: for a look at the error of the grid.
    most : int
        Steps for one flow, at the most.
    progress : Progress
    """
    flows = np.asarray(flows_ml_s, float)
    if len(flows) < 2 or (flows <= 0).any() or (np.diff(flows) <= 0).any() or min(cells) < 4 or finer < 1:
        raise InputError(
            f"flows {flows_ml_s} at {cells} cells", needed="two growing positive flows, 4 cells per radius"
        )
    blood = blood or Blood()
    dx = vessel.dx_mm(cells, float(flows[-1]), blood) / finer
    lumen = vessel.lumen(dx)
    z = lumen.points_mm[:, 2]
    near, far = np.abs(z - vessel.z_mm[0]) < dx, np.abs(z - vessel.z_mm[-1]) < dx
    top = 2 * float(_mean(float(flows[-1]), float(vessel.radius_mm.min())))
    step = scale(dx, blood, top, lattice_speed=SPEED).dt_s
    behind = (vessel.z_mm[-1] - vessel.z_mm[np.argmin(vessel.radius_mm)]) / dx
    run: Lattice | None = None
    drops, off, steps = np.empty(len(flows)), np.empty(len(flows)), 0
    for n, flow in enumerate(flows):
        seen: list[float] = []
        before = flows[n - 1] if n else flow
        while len(seen) * BATCH < most:
            now = before + (flow - before) * min(1.0, (len(seen) + 1) / RAMP)
            run = simulate(
                lumen,
                blood,
                {0: Flow(now / 2), 1: Held(0.0)},
                top_m_s=top,
                end_s=0.999 * BATCH * step,
                settle=0,
                lattice_speed=SPEED,
                start=run,
                guess=vessel.guess(lumen, now, blood) if run is None else None,
            )
            seen.append(float(run.pressure_mmHg[near].mean() - run.pressure_mmHg[far].mean()))
            progress((n + len(seen) * BATCH / most) / len(flows), f"{flow:.3g} mL/s: {seen[-1]:.3g} mmHg")
            last = np.array(seen[-LOOKS:])
            arrived = len(seen) * BATCH * SPEED * flow / flows[-1] > behind
            if arrived and len(seen) >= LOOKS + RAMP and np.ptp(last) < ALIKE * last.mean():
                break
        drops[n], off[n] = last.mean(), np.ptp(last) / last.mean()
        steps += len(seen) * BATCH
    return Drops(flows, drops, off, len(lumen), steps, dx)


def fit(
    along_mm: npt.ArrayLike,
    radius_mm: npt.ArrayLike,
    flows_ml_s: tuple[float, ...],
    blood: Blood | None = None,
    *,
    shift_mm: npt.ArrayLike | None = None,
    cells: tuple[float, float] = (8.0, 4.5),
    progress: Progress = SILENT,
) -> Loss:
    """Return the law of a straight narrowing, for `carna.flow.lesion.put`.

    Parameters
    ----------
    along_mm, radius_mm : (n,) float
        Profile; the loss is that between its ends: let it go on for 10 mm beyond the lesion.
    flows_ml_s : tuple of float
        Two or more, growing.
    blood : Blood, optional
    shift_mm : (n,) float, optional
        Of the lumen's centre, for an eccentric one.
    cells : two float
        Fewest nodes per radius of the head and of the throat.
    progress : Progress
    """
    z, r = np.asarray(along_mm, float), np.asarray(radius_mm, float)
    shift = np.zeros_like(z) if shift_mm is None else np.asarray(shift_mm, float)
    if z.ndim != 1 or not z.shape == r.shape == shift.shape or (np.diff(z) <= 0).any() or (r <= 0).any():
        raise InputError(
            f"a profile of {z.shape} places, {r.shape} radii and {shift.shape} shifts",
            needed="growing places, radii above 0",
        )
    vessel = Vessel(z, r, shift, np.zeros_like(z))
    return measure(vessel, flows_ml_s, blood, cells=cells, progress=progress).law()
