"""Pulse waves against closed forms: rest, speed, reflection, attenuation, friction, and the steady solver."""

import numpy as np
import pytest

from carna.errors import Cancelled, InputError, SolverError
from carna.flow.blood import MMHG, Blood
from carna.flow.boundary import Boundary, Outlet, Wave
from carna.flow.network import network
from carna.flow.oned import Arteries, Inlet, Reflection, Vessel, Wall, from_network, solve
from carna.flow.oned.pulse import Pulse
from carna.flow.oned.trees import mean_result
from carna.flow.steady import steady
from carna.progress import Progress
from carna.space import VesselTree

THIN = Blood(1060.0, 1.0)
QUIET = Wave(np.array([0.0, 0.5, 1.0]), np.zeros(3))


def tube(
    name: str = "tube",
    head: int = 0,
    tail: int = 1,
    length: float = 400.0,
    radius: float = 5.0,
    wall: Wall | None = None,
    **more: float,
) -> Vessel:
    return Vessel(name, head, tail, np.array([0, length]), np.full(2, radius), wall or Wall(400, 0.1), **more)


def bump(size: float, width: float = 0.03, period: float = 1.0) -> Wave:
    t = np.linspace(0, period, 2001)
    return Wave(t, size * np.exp(-(((t - 0.1) / width) ** 2)))


def speed_of(v: Vessel, blood: Blood) -> float:
    """Moens-Korteweg: c^2 = (4/3) E h / (2 rho r), m/s."""
    return float(np.sqrt(2 / 3 * v.wall.young_kPa * 1e3 * (v.wall.thickness or 0) / blood.density_kg_m3))


def returned(pulse: Pulse, name: str, v: Vessel) -> float:
    """Peak of the wave that comes back over that of the first, 500 mm into a vessel of 800 mm."""
    p = pulse.at(name, 500, "pressure_mmHg")
    # The returning wave has gone 0.6 m more; their middle parts them.
    first = pulse.time_s < 0.1 + 0.8 / speed_of(v, THIN)
    later = p[~first & (pulse.time_s < 0.1 + 1.4 / speed_of(v, THIN))]
    return float(later[np.argmax(np.abs(later))] / p[first].max())


def test_a_tapering_vessel_at_rest_stays_at_rest_under_any_pressure() -> None:
    along = np.linspace(0, 300, 31)
    radius = 6 - 0.01 * along - 1.5 * np.exp(-(((along - 150) / 15) ** 2))
    vessel = Vessel("taper", 0, 1, along, radius, Wall(300), 60.0)
    side = Vessel("side", 1, 2, np.array([0, 90.0]), np.array([3.0, 2.0]), Wall(700), 80.0)
    arteries = Arteries((vessel, side), {0: Inlet(QUIET)}, {2: Reflection(0.3, 110.0)})
    pulse = solve(arteries, start_mmHg=110.0, beats=2)
    assert np.abs(pulse.flow_ml_s).max() < 1e-8
    assert np.abs(pulse.pressure_mmHg - 110).max() < 1e-8


def test_a_small_wave_runs_at_the_speed_of_moens_and_korteweg() -> None:
    vessel = tube(length=1000)
    arteries = Arteries((vessel,), {0: Inlet(bump(0.5))}, {1: Reflection(0.0)})
    pulse = solve(arteries, THIN, beats=1, samples=2000)
    when = []
    for x in (200.0, 800.0):
        p = pulse.at("tube", x, "pressure_mmHg")
        top = slice(int(p.argmax()) - 10, int(p.argmax()) + 11)
        a, b, _ = np.polyfit(pulse.time_s[top] - pulse.time_s[top.start], p[top], 2)
        when.append(pulse.time_s[top.start] - b / (2 * a))
    assert 0.6 / (when[1] - when[0]) == pytest.approx(speed_of(vessel, THIN), rel=0.005)
    # Nothing comes back from an outlet that lets waves out.
    late = pulse.time_s > 0.1 + 1.5 / speed_of(vessel, THIN)
    assert np.abs(pulse.pressure_mmHg[late]).max() < 0.01 * pulse.pressure_mmHg.max()


@pytest.mark.parametrize("daughters", [(3.0, 3.0), (4.5, 4.0), (2.0, 2.5)])
def test_a_bifurcation_reflects_what_the_admittances_say(daughters: tuple[float, float]) -> None:
    parent = tube("parent", 0, 1, 800)
    legs = tuple(tube(f"leg {n}", 1, n + 2, 800, r) for n, r in enumerate(daughters))
    arteries = Arteries((parent, *legs), {0: Inlet(bump(0.2))}, {2: Reflection(), 3: Reflection()})
    pulse = solve(arteries, THIN, beats=1, samples=1000)
    admittance = [v.radius_mm[0] ** 2 / speed_of(v, THIN) for v in (parent, *legs)]
    expected = (admittance[0] - sum(admittance[1:])) / sum(admittance)
    assert returned(pulse, "parent", parent) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("share", "sign"), [(0.5, 0.5), (-0.5, -0.5)])
def test_a_reflecting_outlet_sends_back_its_share(share: float, sign: float) -> None:
    arteries = Arteries((tube(length=800),), {0: Inlet(bump(0.2))}, {1: Reflection(share)})
    pulse = solve(arteries, THIN, beats=1, samples=1000)
    assert returned(pulse, "tube", tube()) == pytest.approx(sign, abs=0.02)


def test_halving_the_cells_quarters_the_error() -> None:
    arteries = Arteries((tube(length=800),), {0: Inlet(bump(5.0, 0.02))}, {1: Reflection()})
    found = [
        solve(arteries, THIN, beats=1, samples=400, cell_mm=mm).at("tube", 500, "pressure_mmHg")
        for mm in (20.0, 10.0, 1.25)
    ]
    coarse, fine = (float(np.sqrt(np.mean((f - found[-1]) ** 2))) for f in found[:2])
    assert coarse / fine > 2.8  # 4 but for the limiter at the peak


@pytest.mark.parametrize("viscous", [0.0, 0.3, 1.0])
def test_waves_fade_by_friction_and_by_the_walls_viscosity(viscous: float) -> None:
    """A line with losses in series (friction) and shunt (the wall), ended by its lossless impedance."""
    w = 2 * np.pi * 4
    t = np.linspace(0, 1, 1001)
    vessel = tube(length=600, radius=4.0, wall=Wall(400, 0.1, viscous))
    arteries = Arteries((vessel,), {0: Inlet(Wave(t, 0.05 * np.sin(w * t)))}, {1: Reflection()})
    pulse = solve(arteries, Blood(), beats=6, samples=200, tolerance=1e-4)
    c, area = speed_of(vessel, Blood()), np.pi * 0.004**2
    series = 1060 / area * (1j * w + 8 * np.pi * 4e-3 / 1060 / area)
    # A Kelvin-Voigt wall: its time constant is viscosity over modulus.
    shunt = 1j * w / (1060 * c**2 / area * (1 + 1j * w * viscous / 400))
    gamma, impedance = np.sqrt(series * shunt), np.sqrt(series / shunt)
    # Nodes feel the wall's elastic pressure only.
    load = 1060 * c / area * (1 + 1j * w * viscous / 400)
    back = (load - impedance) / (load + impedance)
    for mm in (100.0, 250.0, 400.0, 550.0):
        x = mm * 1e-3
        there = np.exp(-gamma * x) - back * np.exp(-gamma * (1.2 - x))
        expected = abs(there / (1 - back * np.exp(-gamma * 1.2)))
        amplitude = np.ptp(pulse.at("tube", mm, "flow_ml_s")) / 2 / 0.05
        assert amplitude == pytest.approx(expected, abs=0.004)


def test_friction_is_that_of_poiseuille() -> None:
    steady_wave = Wave(np.array([0.0, 0.5, 1.0]), np.full(3, 3.0))
    vessel = tube(length=300, radius=1.5, wall=Wall(rigid=True), reference_mmHg=90.0)
    arteries = Arteries((vessel,), {0: Inlet(steady_wave)}, {1: Outlet(30.0)})
    pulse = solve(arteries, Blood())
    p = pulse.pressure_mmHg[-1]
    lost = 8 * 4e-3 * 0.3 * 3e-6 / (np.pi * 0.0015**4) / MMHG
    measured = (p[0] - p[-1]) * 300 / (pulse.along_mm[-1] - pulse.along_mm[0])
    assert measured == pytest.approx(lost, rel=0.01)
    assert p[-1] == pytest.approx(3 * 30 + 5, rel=0.01)


def test_a_loop_and_two_inlets_balance() -> None:
    wave = Wave(np.linspace(0, 1, 101), 5 + 4 * np.sin(2 * np.pi * np.linspace(0, 1, 101)))
    twice = Wave(wave.time_s, 2 * wave.value)
    vessels = (
        tube("in", 0, 1, 80),
        tube("other", 9, 1, 80),
        tube("left", 1, 2, 100, 3),
        tube("right", 1, 2, 100, 3),
        tube("out", 2, 3, 80),
    )
    outlet = Outlet(6.0, 0.0, 0.1, 0.3)
    pulse = solve(Arteries(vessels, {0: Inlet(wave), 9: Inlet(twice)}, {3: outlet}), beats=40)
    mean = pulse.mean(pulse.node_flow_ml_s)
    assert pulse.status == "periodic"
    assert mean[2, 0] == pytest.approx(mean[3, 0], rel=1e-9)
    assert mean[4, 1] == pytest.approx(15, rel=2e-3)
    assert pulse.mean(pulse.pressure_mmHg)[-1] == pytest.approx(15 * 6, rel=0.01)


def _tree(throat: float) -> VesselTree:
    x = np.arange(0.0, 60.5, 0.5)
    main = np.c_[x, 0 * x, 0 * x]
    r = 1.8 - throat * np.exp(-(((x - 30) / 4) ** 2))
    d = np.arange(0.5, 40.5, 0.5)
    left, right = np.c_[60 + 0.8 * d, 0.6 * d, 0 * d], np.c_[60 + 0.8 * d, -0.6 * d, 0 * d]
    n, m = len(x), len(d)
    chain = [(k, k + 1) for k in range(n - 1)]
    chain += [(n - 1, n), *((k, k + 1) for k in range(n, n + m - 1))]
    chain += [(n - 1, n + m), *((k, k + 1) for k in range(n + m, n + 2 * m - 1))]
    radius = np.concatenate([r, np.full(m, 1.4), np.full(m, 1.2)])
    return VesselTree(np.vstack([main, left, right]), np.array(chain), radius)


@pytest.mark.parametrize("throat", [0.0, 1.0])
def test_the_mean_is_that_of_the_steady_solver(throat: float) -> None:
    vessels = network(_tree(throat))
    boundary = Boundary(93.0, {int(n): Outlet(70.0, 5.0, 0.32) for n in vessels.outlets})
    even = Boundary(93.0, boundary.outlets, wave=Wave(np.array([0, 0.4, 0.8]), np.full(3, 93.0)))
    expected = steady(vessels, boundary)
    blood = Blood()
    pulse = solve(from_network(vessels, even, blood, Wall(rigid=True)), blood, cell_mm=1.0, tolerance=1e-4)
    found = mean_result(vessels, pulse)
    assert found.flow_ml_s == pytest.approx(expected.flow_ml_s, rel=0.01)
    # The steady solver leaves out the reversible Bernoulli part: at the outlets add it.
    for n in vessels.outlets:
        end = vessels.segments[n][-1]
        speed = found.flow_ml_s[n] / (np.pi * vessels.radius_mm[end] ** 2)
        first = found.flow_ml_s[0] / (np.pi * vessels.radius_mm[0] ** 2)
        kinetic = 0.5 * 1060 * (speed**2 - first**2) / MMHG
        assert found.pressure_mmHg[end] + kinetic == pytest.approx(expected.pressure_mmHg[end], abs=0.6)
    if throat:
        assert expected.ratio[vessels.segments[1][-1]] < 0.93


def test_a_pulse_in_soft_walls_keeps_the_steady_mean_and_says_what_it_assumed() -> None:
    vessels = network(_tree(0.0))
    boundary = Boundary(93.0, {int(n): Outlet(70.0, 5.0, 0.32, 0.01) for n in vessels.outlets})
    pulse = solve(from_network(vessels, boundary))
    found, expected = mean_result(vessels, pulse), steady(vessels, boundary)
    assert pulse.status == "periodic"
    assert found.flow_ml_s == pytest.approx(expected.flow_ml_s, rel=0.04)
    assert any("assumed" in n for n in found.notes)
    assert np.ptp(pulse.pressure_mmHg, axis=0).max() > 30


def test_a_squeezed_coronary_outlet_flows_in_diastole() -> None:
    t = np.linspace(0, 0.8, 81)
    push = Wave(t, np.where(t < 0.3, 100 * np.sin(np.pi * t / 0.3), 0.0))
    pressure = Wave(t, 93 + 20 * np.sin(np.pi * t / 0.3) * (t < 0.3))
    vessel = tube(length=50, radius=1.5, reference_mmHg=93.0)
    free, squeezed = (
        solve(
            Arteries((vessel,), {0: Inlet(pressure, "pressure")}, {1: Outlet(60.0, 5.0, 0.32, 0.01, muscle)}),
            beats=40,
        )
        for muscle in (None, push)
    )

    def diastolic(pulse: Pulse) -> float:
        q = pulse.at("tube", 25, "flow_ml_s")
        return float(q[pulse.time_s > 0.3].mean() / q[pulse.time_s < 0.3].mean())

    assert diastolic(squeezed) > 1.2 * diastolic(free)


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(InputError, match="radius of 0 mm"):
        tube(radius=0.0)
    with pytest.raises(InputError, match="millimetres"):
        tube(length=0.4, radius=0.005)
    with pytest.raises(InputError, match="without an inlet or an outlet"):
        Arteries((tube(),), {0: Inlet(QUIET)}, {})
    with pytest.raises(InputError, match="can't leave"):
        Arteries((tube(), tube("back", 1, 0)), {0: Inlet(QUIET)}, {})
    with pytest.raises(InputError, match="apart from the others"):
        Arteries(
            (tube(), tube("island", 5, 6)),
            {0: Inlet(QUIET), 5: Inlet(QUIET)},
            {1: Reflection(), 6: Reflection()},
        )
    with pytest.raises(InputError, match="one heart rate"):
        Arteries(
            (tube(),), {0: Inlet(QUIET), 1: Inlet(Wave(np.array([0, 1, 2.0]), np.zeros(3)), "pressure")}, {}
        )
    with pytest.raises(InputError, match="several vessels named"):
        Arteries((tube(), tube()), {0: Inlet(QUIET)}, {1: Reflection()})
    with pytest.raises(InputError, match="kPa"):
        Wall(400_000.0)
    arteries = Arteries((tube(),), {0: Inlet(QUIET)}, {1: Reflection()})
    with pytest.raises(InputError, match="cells of"):
        solve(arteries, cell_mm=0.0)
    with pytest.raises(InputError, match="collapse"):
        solve(arteries, start_mmHg=-5000.0)


def test_a_flow_that_outruns_its_wave_is_refused() -> None:
    flood = bump(400.0)
    arteries = Arteries((tube(radius=1.0),), {0: Inlet(flood)}, {1: Outlet(1.0, 0.0)})
    with pytest.raises(SolverError, match="reaches the wave speed"):
        solve(arteries)


def test_beats_that_do_not_settle_are_called_so_and_a_halt_halts() -> None:
    slow = Outlet(2.0, 0.0, 0.1, 20.0)
    arteries = Arteries((tube(),), {0: Inlet(bump(200.0, 0.05))}, {1: slow})
    pulse = solve(arteries, beats=2, start_mmHg=0.0)
    assert pulse.status == "unsettled"
    assert "give more beats" in pulse.notes[-1]
    with pytest.raises(Cancelled):
        solve(arteries, progress=Progress(cancelled=lambda: True))
