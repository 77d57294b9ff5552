"""The lattice against closed forms, in double precision where the order counts."""

import json
from pathlib import Path

import numpy as np
import pytest

from carna.errors import Cancelled, InputError, SolverError
from carna.flow.blood import MMHG, Blood
from carna.flow.boundary import Wave
from carna.flow.lattice.domain import Opening, domain
from carna.flow.lattice.shape import Shape, pipe, revolved, voxels
from carna.flow.lattice.simulate import Drag, Flow, Held, scale, simulate
from carna.flow.lattice.stencil import MOVES, WEIGHTS
from carna.flow.lattice.transport import age, fluxes
from carna.flow.lattice.wall import Shear
from carna.progress import Progress

BLOOD = Blood(1060.0, 4.0)
NU = 4e-3 / 1060
FULL = Shape(lambda at: np.full(len(at), -1.0))


def vortices(n):
    """Return the relative error of decaying Taylor-Green vortices on n x n cells of a 2 mm box."""
    from dataclasses import replace

    dx = 2.0 / n
    box = domain(FULL, dx, (0, 0, 0), (2, 2, 2 * dx), periodic=(True, True, True))
    top, wave = 0.04, 2 * np.pi / 2e-3
    # Diffusive scaling: the lattice speed falls with dx, so that space alone decides the error.
    run = simulate(box, BLOOD, {}, top_m_s=top, end_s=1e-9, lattice_speed=0.1 * 16 / n, precise=True)
    x, y, _ = (box.points_mm * 1e-3).T
    u0 = top * np.stack([np.sin(wave * x) * np.cos(wave * y), -np.cos(wave * x) * np.sin(wave * y), 0 * x], 1)
    p0 = 1060 * top**2 / 4 * (np.cos(2 * wave * x) + np.cos(2 * wave * y)) / MMHG
    v = u0 / run.scale.speed_m_s
    cu, uu = v @ MOVES.T, (v**2).sum(1)[:, None]
    rest = WEIGHTS * ((p0 / run.scale.pressure_mmHg)[:, None] + 3 * cu + 4.5 * cu**2 - 1.5 * uu)
    strain = wave * top * np.cos(wave * x) * np.cos(wave * y) * run.scale.dt_s
    rest -= 3 * run.scale.tau * WEIGHTS * ((MOVES[:, 0] ** 2 - MOVES[:, 1] ** 2) * strain[:, None])
    whole = np.zeros_like(run.populations)
    whole[:, : len(box)] = rest.T
    started = replace(run, populations=whole)
    end = 0.25 / (2 * NU * wave**2)
    done = simulate(
        box,
        BLOOD,
        {},
        top_m_s=top,
        end_s=end,
        settle=0,
        lattice_speed=0.1 * 16 / n,
        precise=True,
        start=started,
    )
    exact = u0 * np.exp(-2 * NU * wave**2 * done.steps * done.scale.dt_s)
    return np.linalg.norm(done.velocity_m_s - exact) / np.linalg.norm(exact)


@pytest.mark.slow
def test_vortices_decay_to_second_order():
    coarse, fine = vortices(16), vortices(32)
    assert fine < 0.01
    # Second order but for a constant 0.04 %, whose cause is not found: 1.69 from 16 to 32 cells.
    assert np.log2(coarse / fine) >= 1.65
    assert fine < 0.002


@pytest.mark.parametrize(("cells", "within"), [(8, 0.01), (16, 0.005)])
def test_pipe_flow_rate(cells, within):
    r = 0.4
    dx = r / cells
    lumen = domain(pipe(r), dx, (-0.5, -0.5, 0), (0.5, 0.5, 3 * dx), periodic=(False, False, True))
    push = 8 * 4e-3 * 0.1 / (r * 1e-3) ** 2
    run = simulate(lumen, BLOOD, {}, top_m_s=0.2, end_s=0.2, settle=1e-6, push_Pa_m=(0, 0, push))
    flow = run.velocity_m_s[:, 2].sum() * dx**3 / (3 * dx)
    assert flow == pytest.approx(0.1 * np.pi * r**2, rel=within)
    shear = Shear(lumen)
    stress = np.linalg.norm(shear.stress(run.velocity_m_s, run.strain_s, run.viscosity_mPas), axis=1)
    assert stress.mean() == pytest.approx(4 * 4e-3 * 0.1 / (r * 1e-3), rel=0.05)


def test_a_coarse_fast_pipe_has_no_vortices_across_it():
    r, top = 0.4, 4.0  # a Reynolds number of 53 in a cell
    dx = r / 8
    lumen = domain(pipe(r), dx, (-0.5, -0.5, 0), (0.5, 0.5, 3 * dx), periodic=(False, False, True))
    away = np.hypot(*lumen.points_mm[:, :2].T) / r
    start = np.zeros((len(lumen), 3))
    start[:, 2] = top * (1 - away**2)
    push = 4 * 4e-3 * top / (r * 1e-3) ** 2
    run = simulate(
        lumen, BLOOD, {}, top_m_s=top, end_s=0.01, push_Pa_m=(0, 0, push), lattice_speed=0.15,
        guess=(start, np.zeros(len(lumen))),
    )  # fmt: skip
    assert np.hypot(*run.velocity_m_s[:, :2].T).max() < 1e-4 * top
    flow = run.velocity_m_s[:, 2].sum() * dx**3 / (3 * dx)
    assert flow == pytest.approx(0.5 * top * np.pi * r**2, rel=0.01)


def test_square_duct():
    n = 16
    lumen = domain(
        voxels(np.ones((n, n, 3), bool), 0.1), 0.1, (0, 0, 0), (1.6, 1.6, 0.3), periodic=(False, False, True)
    )
    a, push = 0.8e-3, 600.0
    run = simulate(lumen, BLOOD, {}, top_m_s=0.1, end_s=1.0, settle=1e-6, push_Pa_m=(0, 0, push))
    odd = np.arange(1, 200, 2)
    mean = push * a**2 / (3 * 4e-3) * (1 - 192 / np.pi**5 * (np.tanh(odd * np.pi / 2) / odd**5).sum())
    assert run.velocity_m_s[:, 2].mean() == pytest.approx(mean, rel=0.008)


def test_flow_is_kept_between_openings_and_the_scalar_with_it():
    ends = (Opening((0, 0, 0), (0, 0, -1), 0.8), Opening((0, 0, 4), (0, 0, 1), 0.8))
    lumen = domain(pipe(0.8), 0.1, (-1, -1, -0.2), (1, 1, 4.2), ends)
    run = simulate(lumen, BLOOD, {0: Flow(0.2), 1: Held(10.0)}, top_m_s=0.25, end_s=0.6, settle=1e-4)
    assert run.status == "steady"
    assert run.flow_ml_s == pytest.approx([0.2, -0.2], rel=0.005)
    assert run.opening_mmHg[0] > run.opening_mmHg[1] == pytest.approx(10, abs=0.1)
    came, rate = fluxes(run)
    outside = (came == lumen.table.shape[1]) & (lumen.points_mm[:, 2] < 1)
    cell = 0.1**3 * 1e-3
    assert (rate * outside).sum() * cell == pytest.approx(0.2, rel=0.01)
    old = age(run)
    last = lumen.points_mm[:, 2] > 3.8
    weight = run.velocity_m_s[last, 2]
    # The flow-weighted age at the outlet is volume over flow, whatever the profile.
    assert np.average(old[last], weights=weight) == pytest.approx(np.pi * 0.64 * 3.95e-3 / 0.2, rel=0.05)


def test_porous_sheet_is_darcy_and_forchheimer():
    lumen = domain(FULL, 0.1, (0, 0, 0), (0.4, 0.4, 4), periodic=(True, True, True))
    sheet = np.abs(lumen.points_mm[:, 2] - 2) < 0.2
    drag = Drag(np.where(sheet, 4e-3 / 1e-9, 0), np.where(sheet, 0.5 * 1060 * 2e4, 0))
    thick, push = 0.4e-3, 1500.0
    run = simulate(lumen, BLOOD, {}, top_m_s=0.05, end_s=1.0, settle=0, push_Pa_m=(0, 0, push), drag=drag)
    v = run.velocity_m_s[:, 2].mean()
    assert (4e6 * v + 0.5 * 1060 * 2e4 * v**2) * thick == pytest.approx(push * 4e-3, rel=0.01)


def test_womersley():
    from scipy.special import jv

    r, period, amplitude = 0.4e-3, 0.2, 8000.0
    lumen = domain(
        pipe(0.4), 0.05, (-0.45, -0.45, 0), (0.45, 0.45, 1.0),
        (Opening((0, 0, 0), (0, 0, -1), 0.4), Opening((0, 0, 1), (0, 0, 1), 0.4)),
    )  # fmt: skip
    t = np.linspace(0, period, 201)
    wave = Wave(t, amplitude * 1e-3 * np.cos(2 * np.pi * t / period) / MMHG)
    run = simulate(
        lumen,
        BLOOD,
        {0: Held(wave), 1: Held(0.0)},
        top_m_s=0.06,
        end_s=0.6,
        period_s=period,
        lattice_speed=0.05,
    )
    omega, now = 2 * np.pi / period, run.steps * run.scale.dt_s
    i32 = 1j**1.5 * r * np.sqrt(omega / NU)
    mid = np.abs(lumen.points_mm[:, 2] - 0.5) < 0.1
    at = np.hypot(*lumen.points_mm[mid, :2].T) * 1e-3
    exact = (
        amplitude / (1j * omega * 1060) * (1 - jv(0, i32 * at / r) / jv(0, i32)) * np.exp(1j * omega * now)
    ).real
    size = np.abs(amplitude / (1j * omega * 1060) * (1 - 1 / jv(0, i32)))
    assert np.abs(run.velocity_m_s[mid, 2] - exact).max() < 0.07 * size
    assert run.oscillation is not None
    assert np.median(run.oscillation) > 0.4


def test_refusals_say_what_would_work():
    with pytest.raises(SolverError, match=r"dx_mm = 0\.12"):
        scale(0.2, BLOOD, 2.0)
    ends = (Opening((0, 0, 0), (0, 0, 1), 0.8), Opening((0, 0, 4), (0, 0, 1), 0.8))
    with pytest.raises(InputError, match="outward"):
        domain(revolved([0, 4], [0.8, 0.8]), 0.1, (-1, -1, -0.2), (1, 1, 4.2), ends)
    box = domain(FULL, 0.1, (0, 0, 0), (0.4, 0.4, 0.4), periodic=(True, True, True))
    with pytest.raises(SolverError, match="top_m_s"):
        simulate(box, BLOOD, {}, top_m_s=0.01, end_s=1.0, push_Pa_m=(0, 0, 1e4))
    with pytest.raises(Cancelled):
        simulate(box, BLOOD, {}, top_m_s=0.1, end_s=1.0, progress=Progress(cancelled=lambda: True))


def nozzle(data):
    import csv

    ours = json.loads((Path(__file__).parent / "fda_nozzle.json").read_text())
    with (data("fda-nozzle") / "centreline_and_wall.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if (r["geometry"], r["reynolds_throat"]) == ("SE", "500")]
    return ours, rows


def stations(rows):
    """Return the lowest and highest centreline speed of the five sets where all have one."""
    speeds: dict[float, list[float]] = {}
    for row in rows:
        if row["quantity"] == "axis_axial_velocity":
            speeds.setdefault(round(float(row["abscissa_m"]), 4), []).append(float(row["value"]))
    return {z: (min(v), max(v)) for z, v in speeds.items() if len(v) == 5}


@pytest.mark.data
@pytest.mark.xfail(strict=True, reason="315 Pa, below the three sets' 353 to 413")
def test_fda_nozzle_pressure_drop_inside_the_spread(data):
    ours, rows = nozzle(data)
    measured: dict[str, dict[float, float]] = {}
    for row in rows:
        if row["quantity"] == "wall_pressure" and row["dataset"] != "999":  # the outlier of PROVENANCE
            measured.setdefault(row["dataset"], {})[float(row["abscissa_m"])] = float(row["value"])
    drops = [p[-0.06299] - p[0.032] for p in measured.values()]
    here, there = np.interp([-0.06299, 0.032], ours["z_m"], ours["wall_Pa"])
    assert len(drops) == 3
    assert min(drops) <= here - there <= max(drops)


@pytest.mark.data
def test_fda_nozzle_centreline_near_the_spread(data):
    ours, rows = nozzle(data)
    for z, (low, high) in stations(rows).items():
        here = np.interp(z, ours["z_m"], ours["axis_m_s"])
        assert 0.975 * low <= here <= 1.025 * high
        # In the throat, from 20 to 8 mm before the expansion, inside.
        if -0.03 < z < -0.005:
            assert low <= here <= high


@pytest.mark.data
@pytest.mark.xfail(strict=True, reason="up to 2.1 % above the highest set at four of nine stations")
def test_fda_nozzle_centreline_inside_the_spread(data):
    ours, rows = nozzle(data)
    inside = [
        low <= np.interp(z, ours["z_m"], ours["axis_m_s"]) <= high
        for z, (low, high) in stations(rows).items()
    ]
    assert all(inside)
