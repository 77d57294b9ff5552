"""Pulse waves by finite volumes of second order.

A_t + (A u)_x = 0 and u_t + (u^2 / 2 + p / rho)_x = -2 (zeta + 2) pi nu u / A - jets, with
p = p0 + beta (sqrt(A) - sqrt(A0)): flow in elastic tubes of one space dimension (Sherwin et al. 2003,
doi:10.1023/B:ENGI.0000007979.32871.e2).

Slopes are taken of pressure and velocity, not of area, so that a tapering vessel at rest under any constant
pressure stays at rest exactly; at a face the two sides meet as a linear Riemann problem; two stages of Heun's
method step in time. Poor for: flow near the wave speed, collapse, jets of a tight narrowing beyond their mean
loss, secondary flow in bends.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError, SolverError
from carna.flow.blood import MMHG, Blood
from carna.flow.oned.arteries import Arteries
from carna.flow.oned.mesh import Mesh, mesh
from carna.flow.oned.pulse import Pulse
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]

CFL: Final = 0.85  # at the begin of a sample; the wave speed grows within it
STABLE: Final = 1.0


@final
@dataclass(slots=True, eq=False)
class _State:
    state: Floats
    spare: Floats
    star: Floats
    driven: Floats
    store: Floats
    flux: Floats


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Beat:
    pressure: Floats
    flow: Floats
    area: Floats
    ends: Floats
    steps: int
    cpu_s: float


def solve(
    arteries: Arteries,
    blood: Blood | None = None,
    *,
    cell_mm: float = 2.0,
    beats: int = 20,
    tolerance: float = 2e-3,
    junction: Literal["total", "static"] = "total",
    samples: int = 100,
    start_mmHg: float | None = None,
    progress: Progress = SILENT,
) -> Pulse:
    """Return the last beat, once beats repeat.

    Parameters
    ----------
    arteries : Arteries
    blood : Blood, optional
    cell_mm : float
        0.05 to 50; 2 resolves a heart beat's waves, a narrowing wants a quarter of its length.
    beats : int
        At most so many, 1 to 1000.
    tolerance : float
        Largest change of a pressure from beat to beat, over the largest pulse pressure.
    junction : {"total", "static"}
        What vessels share where three or more meet: total pressure (no energy lost) or static pressure (the
        usual choice of published networks). Where two meet it is total pressure.
    samples : int
        Of a beat, 20 to 10,000.
    start_mmHg : float, optional
        Pressure everywhere at first; by default the mean that inflow and resistances would hold, from which
        beats settle soonest.
    progress : Progress

    Raises
    ------
    InputError
        If a number is out of range.
    SolverError
        If the solve diverges or the flow reaches the wave speed: no number is returned then.
    """
    blood = blood or Blood()
    if not 1 <= beats <= 1000 or not 20 <= samples <= 10_000:
        raise InputError(
            f"{beats} beats of {samples} samples", needed="1 to 1000 beats, 20 to 10,000 samples"
        )
    if junction not in ("total", "static"):
        raise InputError(f"junctions that share {junction!r} pressure", needed="'total' or 'static'")
    grid = mesh(arteries, blood, cell_mm, junction)
    now = _begin(grid, start_mmHg)
    last: _Beat | None = None
    change, done = np.inf, 0
    while done < beats and change > tolerance:
        beat = _beat(arteries, grid, blood, now, samples, progress.part(done / beats, (done + 1) / beats))
        done += 1
        if last is not None:
            pulse = max(float(np.ptp(beat.pressure, axis=0).max()), 1e-6)
            change = float(np.abs(beat.pressure - last.pressure).max()) / pulse
        last = beat
    assert last is not None  # beats is at least 1
    settled = change <= tolerance
    notes = arteries.notes
    if not settled:
        notes = (*notes, f"beats still differed after {done}, by {change:.2%} of the pulse: give more beats")
    return Pulse(
        np.linspace(0, arteries.period_s, samples + 1),
        grid.vessel,
        grid.along_mm,
        last.pressure,
        last.flow,
        last.area,
        last.ends,
        tuple(v.name for v in arteries.vessels),
        "periodic" if settled else "unsettled",
        done,
        change,
        last.steps,
        last.cpu_s,
        notes,
    )


def _begin(grid: Mesh, start_mmHg: float | None) -> _State:
    """Everything at rest under one pressure."""
    rest = grid.rest if start_mmHg is None else start_mmHg * MMHG
    root = (rest - grid.cell[1]) / grid.cell[0]
    if (root[grid.at] <= 0).any():
        raise InputError(
            f"vessels that collapse at the resting pressure of {rest / MMHG:.3g} mmHg",
            needed="a reference pressure near the blood pressure, or a stiffer wall",
        )
    state = np.zeros((2, grid.cell.shape[1]))
    state[0] = np.where(root > 0, root, 1.0) ** 2
    star = np.zeros((3, len(grid.ends)))
    nodes = len(grid.node)
    driven = np.zeros((nodes, 3))
    driven[:, 1] = np.nan
    store = np.zeros((nodes, 2))
    store[:] = np.where((grid.node[:, 2] > 1) | (start_mmHg is not None), grid.veins, rest)[:, None]
    return _State(state, state.copy(), star, driven, store, np.zeros_like(state))


def _beat(
    arteries: Arteries, grid: Mesh, blood: Blood, now: _State, samples: int, progress: Progress
) -> _Beat:
    from carna.flow.oned.kernel import advance, fastest

    count = len(grid.at)
    pressure, flow, area = (np.empty((samples + 1, count)) for _ in range(3))
    ends = np.zeros((samples + 1, len(arteries.vessels), 2))
    between = arteries.period_s / samples
    cpu, told, steps = 0.0, time.monotonic(), 0
    rho = blood.density_kg_m3
    for n in range(samples + 1):
        area[n] = now.state[0, grid.at]
        flow[n] = area[n] * now.state[1, grid.at]
        pressure[n] = grid.cell[0, grid.at] * np.sqrt(area[n]) + grid.cell[1, grid.at]
        ends[n, :, 0], ends[n, :, 1] = now.flux[0, grid.bounds[:, 0] - 1], now.flux[0, grid.bounds[:, 1] - 1]
        if n == samples:
            break
        began = time.process_time()
        need = fastest(now.state, grid.cell, rho, grid.bounds) * between / CFL
        if not np.isfinite(need) or need > 2_000_000:
            raise _diverged(arteries, grid, now, n * between, rho)
        few = max(1, int(np.ceil(need)))
        advance(
            n * between,
            arteries.period_s,
            between / few,
            few,
            now.state,
            now.spare,
            grid.cell,
            grid.face,
            grid.damping,
            grid.bounds,
            rho,
            grid.ends,
            grid.end_face,
            now.star,
            grid.first,
            grid.node,
            now.driven,
            now.store,
            grid.waves,
            grid.which,
            now.flux,
        )
        steps += few
        cpu += time.process_time() - began
        if time.monotonic() - told > 0.5:
            told = time.monotonic()
            progress((n + 1) / samples, "pulse waves")
    progress(1.0, "pulse waves")
    ends[0] = ends[0] if ends[0].any() else ends[1]
    return _Beat(pressure / MMHG, flow * 1e6, area * 1e6, ends * 1e6, steps, cpu)


def _diverged(arteries: Arteries, grid: Mesh, now: _State, time_s: float, rho: float) -> SolverError:
    area, speed = now.state[:, grid.at]
    with np.errstate(all="ignore"):
        wave = np.sqrt(grid.cell[0, grid.at] * np.sqrt(area) / (2 * rho))
        bad = ~(np.abs(speed) < wave)
    worst = arteries.vessels[int(grid.vessel[int(np.argmax(bad))])].name
    return SolverError(
        f"at {time_s:.3f} s the flow in {worst} reaches the wave speed or is not a number",
        needed="a flow slower than the pressure wave, as in arteries",
        fix=f"look at the radius, the stiffness and the flow of {worst}, and at the units of the inlet",
    )
