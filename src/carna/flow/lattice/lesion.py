"""What one narrowed vessel costs, measured by the lattice: R q + S q|q| for the steady solver.

The vessel may be eccentric and bent as long as a plane of symmetry is left; half of it is run. A parabola
enters, the pressure of the wire is read where the profile begins and where it ends, so that a profile that
goes on for 10 mm beyond the lesion has the jet's recovery up to there, and no more, in its S.

A run begins with parabolas everywhere and ends when the mean of the last looks at the drop is that of those
before: what has to rest is the pressure, long before the last eddy of a slow corner. A jet that never rests
is averaged.
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
SPEED: Final = 0.1  # on the lattice, of the mean throat speed; the jet has up to twice as much
CELL_REYNOLDS: Final = 61.0  # of the mean throat speed
HEAD: Final = 6.0  # fewest cells per healthy radius
BATCH: Final = 300  # steps between two looks at the pressure
LOOKS: Final = 6  # of which a mean is taken
ALIKE: Final = 0.003  # change from one such mean to the next, of the drop
CALM: Final = 0.015  # their range
MOST: Final = 42  # looks


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

    def dx_mm(self, cells: float, flow_ml_s: float, blood: Blood) -> float:
        """Return the distance of nodes: so many per throat radius, few enough for the jet."""
        throat = float(self.radius_mm.min())
        nu = blood.viscosity_mPas / blood.density_kg_m3 * 1e-3
        jet = CELL_REYNOLDS * nu / _mean(flow_ml_s, throat) * 1e3
        return float(min(self.radius_mm[0] / HEAD, throat / cells, jet))

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
        Range of the looks of which the drop is the mean, 300 steps apart, of that mean.
    steps, nodes : (k,) int
    dx_mm : (k,) float
    """

    flow_ml_s: Floats
    drop_mmHg: Floats
    unsettled: Floats
    steps: npt.NDArray[np.int64]
    nodes: npt.NDArray[np.int64]
    dx_mm: Floats

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
    cells: float = 4.5,
    progress: Progress = SILENT,
) -> Drops:
    """Run a vessel at some flows and return what it loses at each.

    Parameters
    ----------
    vessel : Vessel
    flows_ml_s : tuple of float
        One or more, > 0, growing.
    blood : Blood, optional
    cells : float, 4 or more
        Fewest nodes per throat radius; a fast jet has more.
    progress : Progress
    """
    flows = np.asarray(flows_ml_s, float)
    if not len(flows) or (flows <= 0).any() or (np.diff(flows) <= 0).any() or cells < 4:
        raise InputError(
            f"flows {flows_ml_s} at {cells} cells", needed="growing positive flows, 4 cells per radius"
        )
    blood = blood or Blood()
    drops, off, dx = np.empty((3, len(flows)))
    steps, nodes = np.empty((2, len(flows)), np.int64)
    for n, flow in enumerate(flows.tolist()):
        dx[n] = vessel.dx_mm(cells, flow, blood)
        lumen = vessel.lumen(float(dx[n]))
        nodes[n] = len(lumen)
        part = progress.part(n / len(flows), (n + 1) / len(flows))
        drops[n], off[n], steps[n] = _settle(vessel, lumen, flow, blood, part)
    return Drops(flows, drops, off, steps, nodes, dx)


def _settle(
    vessel: Vessel, lumen: Domain, flow_ml_s: float, blood: Blood, progress: Progress
) -> tuple[float, float, int]:
    """Return the drop once two means of looks are alike, the range of the last ones, and the steps."""
    z, dx = lumen.points_mm[:, 2], lumen.dx_mm
    near, far = np.abs(z - vessel.z_mm[0]) < dx, np.abs(z - vessel.z_mm[-1]) < dx
    top = float(_mean(flow_ml_s, float(vessel.radius_mm.min())))
    step = scale(dx, blood, top, lattice_speed=SPEED).dt_s
    run: Lattice | None = None
    seen: list[float] = []
    while len(seen) < MOST:
        run = simulate(
            lumen,
            blood,
            {0: Flow(flow_ml_s / 2), 1: Held(0.0)},
            top_m_s=top,
            end_s=0.999 * BATCH * step,
            settle=0,
            lattice_speed=SPEED,
            start=run,
            guess=vessel.guess(lumen, flow_ml_s, blood) if run is None else None,
        )
        seen.append(float(run.pressure_mmHg[near].mean() - run.pressure_mmHg[far].mean()))
        progress(len(seen) / MOST, f"{flow_ml_s:.3g} mL/s: {seen[-1]:.4g} mmHg")
        last, former = np.array(seen[-LOOKS:]), np.array(seen[-2 * LOOKS : -LOOKS])
        calm = np.ptp(last) < CALM * last.mean()
        if len(seen) >= 2 * LOOKS and calm and abs(last.mean() - former.mean()) < ALIKE * last.mean():
            break
    else:
        # It never rests: the mean of the second half, when the start has been forgotten.
        last = np.array(seen[MOST // 2 :])
    return float(last.mean()), float(np.ptp(last) / last.mean()), len(seen) * BATCH


def fit(
    along_mm: npt.ArrayLike,
    radius_mm: npt.ArrayLike,
    flows_ml_s: tuple[float, ...],
    blood: Blood | None = None,
    *,
    shift_mm: npt.ArrayLike | None = None,
    cells: float = 4.5,
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
    cells : float
        Fewest nodes per throat radius.
    progress : Progress
    """
    z, r = np.asarray(along_mm, float), np.asarray(radius_mm, float)
    shift = np.zeros_like(z) if shift_mm is None else np.asarray(shift_mm, float)
    if z.ndim != 1 or not z.shape == r.shape == shift.shape or (np.diff(z) <= 0).any() or (r <= 0).any():
        raise InputError(
            f"a profile of {z.shape} places, {r.shape} radii and {shift.shape} shifts",
            needed="growing places, radii above 0",
        )
    if len(flows_ml_s) < 2:
        raise InputError(f"flows {flows_ml_s}", needed="two growing positive flows, for two coefficients")
    vessel = Vessel(z, r, shift, np.zeros_like(z))
    return measure(vessel, flows_ml_s, blood, cells=cells, progress=progress).law()
