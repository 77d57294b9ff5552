"""Circuits against closed forms: steady answers by Ohm's law, periodic ones by complex impedance."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from carna.flow.zerod import Settings, State, read, simulate
from carna.flow.zerod import vessels as tube
from carna.flow.zerod.circuit import Block, Circuit
from carna.flow.zerod.drive import Series, activation
from carna.flow.zerod.heart import chamber_linear, chamber_sphere, valve_piecewise, valve_tanh

Floats = np.ndarray


def always(value: float) -> Series:
    return Series(np.zeros(1), np.array([value]))


def sampled(wave, period: float = 1.0, count: int = 2001) -> Series:  # type: ignore[no-untyped-def]
    t = np.linspace(0, period, count)
    return Series(t, wave(t))


def chain(*blocks: Block, period: float = 1.0) -> Circuit:
    names = [b.name for b in blocks]
    return Circuit(blocks, tuple(pairwise(names)), period)


def last(circuit: Circuit, **changes: float) -> dict[str, float]:
    found = simulate(circuit, Settings(**{"cycles": 2, "points": 5, "tolerance": 1e-10, **changes}))  # type: ignore[arg-type]
    return dict(zip(found.names, found.y[-1].tolist(), strict=True))


# --- steady


@pytest.mark.parametrize(
    ("end", "outlet"),
    [
        (tube.resistance("out", always(100), always(100)), 600.0),
        (tube.rcr("out", 1000, 1e-4, 1000), 10_000.0),
        (tube.pressure("out", always(1000), inlet=False), 1000.0),
        (
            tube.coronary(
                "out",
                Ra=100,
                Ram=100,
                Rv=100,
                Ca=1e-4,
                Cim=1e-4,
                Pv=0,
                Pim=Series(np.arange(2.0), np.full(2, 1e3)),
            ),
            1500.0,
        ),
    ],
    ids=["resistance", "windkessel", "pressure", "coronary"],
)
@pytest.mark.parametrize("values", [{}, {"C": 1e-4}, {"L": 1.0}, {"C": 1e-4, "L": 1.0}], ids=str)
@pytest.mark.parametrize("make", [tube.vessel, tube.vessel_crl])
def test_steady_flow_is_ohms_law(end: Block, outlet: float, values: dict[str, float], make) -> None:  # type: ignore[no-untyped-def]
    found = last(chain(tube.flow("in", always(5), inlet=True), make("v", 100, **values), end), cycles=30)
    assert found["pressure:v:out"] == pytest.approx(outlet, rel=1e-9)
    assert found["pressure:in:v"] == pytest.approx(outlet + 500, rel=1e-9)
    assert found["flow:v:out"] == pytest.approx(5, rel=1e-9)


@pytest.mark.parametrize("make", [tube.vessel, tube.vessel_crl])
def test_a_stenosis_loses_with_the_square_of_flow(make) -> None:  # type: ignore[no-untyped-def]
    ends = tube.flow("in", always(5), inlet=True), tube.resistance("out", always(100), always(100))
    assert last(chain(ends[0], make("v", 100, S=100), ends[1]))["pressure:in:v"] == pytest.approx(3600)
    back = chain(tube.flow("in", always(-5), inlet=True), make("v", 100, S=100), ends[1])
    assert last(back)["pressure:in:v"] == pytest.approx(-400 - 3000)


def fork(middle: Block, branch_r: float) -> Circuit:
    blocks = (
        tube.flow("in", always(5), inlet=True),
        tube.vessel("a", 300),
        middle,
        tube.vessel("b", branch_r),
        tube.vessel("c", branch_r + (100 if middle.kind == "NORMAL_JUNCTION" else 0)),
        tube.resistance("out b", always(100), always(50)),
        tube.resistance("out c", always(1000), always(200)),
    )
    pairs = [("in", "a"), ("a", "j"), ("j", "b"), ("j", "c"), ("b", "out b"), ("c", "out c")]
    return Circuit(blocks, tuple(pairs), 1.0)


@pytest.mark.parametrize(
    ("middle", "branch_r"),
    [
        (tube.junction("j"), 400.0),
        (tube.vessel_junction("j", [100, 200], [0, 0], [0, 0]), 300.0),
        (tube.vessel_junction("j", [100, 200], [0.3, 0.1], [0, 0]), 300.0),
        (tube.resistive_junction("j", 1, [0, 100, 200]), 300.0),
    ],
    ids=["normal", "vessel", "vessel with inertia", "resistive"],
)
def test_a_fork_shares_as_its_resistances_do(middle: Block, branch_r: float) -> None:
    found = last(fork(middle, branch_r), cycles=20)
    assert found["flow:b:out b"] == pytest.approx(3.825, rel=1e-9)
    assert found["flow:c:out c"] == pytest.approx(1.175, rel=1e-9)
    assert found["pressure:in:a"] == pytest.approx(3462.5, rel=1e-9)


def test_a_resistive_junction_may_have_two_inlets() -> None:
    blocks = (
        tube.flow("one", always(5), inlet=True),
        tube.flow("two", always(10), inlet=True),
        tube.resistive_junction("j", 2, [100, 200, 300]),
        tube.resistance("out", always(100), always(100)),
    )
    found = last(Circuit(blocks, (("one", "j"), ("two", "j"), ("j", "out")), 1.0))
    assert found["pressure_c:j"] == pytest.approx(1600 + 15 * 300)
    assert found["pressure:one:j"] == pytest.approx(6100 + 500)
    assert found["pressure:two:j"] == pytest.approx(6100 + 2000)


def test_two_inlets_run_together() -> None:
    document = {
        "boundary_conditions": [
            {"bc_name": "IN0", "bc_type": "FLOW", "bc_values": {"Q": [5.0, 5.0], "t": [0.0, 1.0]}},
            {"bc_name": "IN1", "bc_type": "FLOW", "bc_values": {"Q": [10.0, 10.0], "t": [0.0, 1.0]}},
            {"bc_name": "OUT", "bc_type": "RESISTANCE", "bc_values": {"Pd": 100.0, "R": 100.0}},
        ],
        "junctions": [
            {
                "inlet_vessels": [0, 1],
                "junction_name": "J0",
                "junction_type": "NORMAL_JUNCTION",
                "outlet_vessels": [2],
            }
        ],
        "simulation_parameters": {"number_of_cardiac_cycles": 2, "number_of_time_pts_per_cardiac_cycle": 5},
        "vessels": [
            {
                "boundary_conditions": ends,
                "vessel_id": n,
                "vessel_name": f"v{n}",
                "zero_d_element_type": "BloodVessel",
                "zero_d_element_values": {"R_poiseuille": 100.0 * (n + 1)},
            }
            for n, ends in enumerate(({"inlet": "IN0"}, {"inlet": "IN1"}, {"outlet": "OUT"}))
        ],
    }
    table = read(document).table(read(document).run())
    rows = dict(zip(table["name"], table["pressure_in"], strict=True))
    assert rows == pytest.approx({"v0": 6600.0, "v1": 8100.0, "v2": 6100.0})


# --- periodic


def test_a_windkessel_has_its_impedance() -> None:
    """Z = Rp + Rd / (1 + i w Rd C) behind R + i w L with C between, by hand in complex numbers."""
    w, q1 = 2 * np.pi, 2.5
    r, c, inertia, rp, cd, rd = 100.0, 2e-4, 8.0, 300.0, 3e-4, 1000.0
    q = sampled(lambda t: 3 + q1 * np.sin(w * t), count=401)
    circuit = chain(
        tube.flow("in", q, inlet=True), tube.vessel("v", r, c, inertia), tube.rcr("out", rp, cd, rd, 20.0)
    )
    found = simulate(circuit, Settings(cycles=20, points=401))
    beyond = rp + rd / (1 + 1j * w * rd * cd) + 1j * w * inertia
    z = r + beyond / (1 + 1j * w * c * beyond)
    expected = 3 * (r + rp + rd) + 20 + q1 * np.imag(z * np.exp(1j * w * found.time))
    assert found["pressure:in:v"] == pytest.approx(expected, rel=2e-4)
    assert found.change < 1e-9


def test_a_flow_that_only_swings_settles_too() -> None:
    """Its mean is 0 but for rounding, which changes by all of itself each cycle."""
    q = sampled(lambda t: np.sin(2 * np.pi * t), count=401)
    circuit = chain(
        tube.flow("in", q, inlet=True), tube.vessel("v", 10.0), tube.rcr("out", 1.0, 0.1, 2.0, 90.0)
    )
    found = simulate(circuit, Settings(cycles=2, points=401, until=1e-6, most_cycles=30))
    assert found.change <= 1e-6


def test_the_scheme_is_of_second_order() -> None:
    """p' = -p / tau from a charged capacitor: error falls fourfold with half the step, for every rho."""
    for rho in (0.0, 0.5, 1.0):
        errors = []
        for points in (41, 81):
            circuit = chain(
                tube.flow("in", always(0), inlet=True), tube.rcr("out", 0.0, 0.25, 1.0), period=1.0
            )
            start = State(np.array([0.0, 1.0, 1.0]), np.array([0.0, -4.0, -4.0]))
            found = simulate(circuit, Settings(points=points, rho=rho, steady_start=False), start)
            errors.append(abs(found["pressure_c:out"][-1] - np.exp(-4)))
        assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)


def test_a_capacitor_at_the_inlet() -> None:
    """C = R = 1: p_out = sin(t) / 2 - cos 2t, q_in = cos 2t + cos(t) / 2."""
    period = 2 * np.pi
    circuit = chain(
        tube.pressure("in", sampled(lambda t: 0.5 * np.sin(t), period), inlet=True),
        tube.vessel_crl("v", 1.0, 1.0),
        tube.flow("out", sampled(lambda t: np.cos(2 * t), period), inlet=False),
        period=period,
    )
    found = simulate(circuit, Settings(cycles=4, points=1001))
    t = found.time
    assert found["pressure:v:out"] == pytest.approx(0.5 * np.sin(t) - np.cos(2 * t), abs=1e-4)
    assert found["flow:in:v"] == pytest.approx(np.cos(2 * t) + 0.5 * np.cos(t), abs=1e-4)


def test_a_pulsating_stenosis() -> None:
    """S = C = 1, sine inflow, constant pressure: p_in = |sin t| sin t + 0.1, q_out = sin t."""
    period = 2 * np.pi
    circuit = chain(
        tube.flow("in", sampled(np.sin, period), inlet=True),
        tube.vessel("v", 0.0, 1.0, S=1.0),
        tube.pressure("out", always(0.1), inlet=False),
        period=period,
    )
    found = simulate(circuit, Settings(cycles=10, points=501))
    s = np.sin(found.time)
    off = np.abs(found["pressure:in:v"] - np.abs(s) * s - 0.1)
    # |q| has a corner where flow turns, and no resistance damps what the step makes of it there.
    assert np.median(off) < 2e-4
    assert np.percentile(off, 95) < 2e-3
    assert np.percentile(np.abs(found["flow:v:out"] - s), 95) < 5e-3


@pytest.mark.parametrize("changing", [False, True])
def test_a_coronary_bed_is_a_network_of_its_parts(changing: bool) -> None:
    """Against the same bed integrated as two capacitors by scipy; the muscle squeezes from outside."""
    from scipy.integrate import solve_ivp

    ra, ram0, rv, ca, cim, pv = 32.0, 52.0, 16.0, 2e-3, 1.6e-2, 5.0
    ram = tube.responsive(1.0, 30.0, 80.0, 0.3, 0.4) if changing else ram0
    squeeze = sampled(lambda t: 60 * np.maximum(0, np.sin(2 * np.pi * t)) ** 2, count=501)
    inflow = sampled(lambda t: 1 + 0.4 * np.sin(2 * np.pi * t), count=501)
    bed = tube.coronary("out", Ra=ra, Ram=ram, Rv=rv, Ca=ca, Cim=cim, Pv=pv, Pim=squeeze)
    circuit = chain(tube.flow("in", inflow, inlet=True), tube.vessel("v", 1.0), bed)
    found = simulate(circuit, Settings(cycles=12, points=501))
    dp = np.gradient(squeeze.value, squeeze.time_s)

    def rate(t: float, y: Floats) -> list[float]:
        p_a, p_m = y
        now = np.array([t])
        r = float(ram(now)[0]) if callable(ram) else ram
        q_am = (p_a - p_m) / r
        through = float(inflow.at(now)[0]) - q_am
        return [through / ca, (q_am - (p_m - pv) / rv) / cim + float(np.interp(t % 1, squeeze.time_s, dp))]

    exact = solve_ivp(
        rate, (0, 12), [pv + 68, pv + 16], "LSODA", np.linspace(11, 12, 501), rtol=1e-8, atol=1e-8
    )
    p = exact.y[0] + ra * inflow.at(exact.t)
    assert found["pressure:v:out"] == pytest.approx(p, rel=4e-3)


def test_pivots_are_chosen_anew_where_they_vanish(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resistance that the first factorisation divides by falls to nothing and comes back."""
    import scipy.sparse.linalg

    chosen, splu = [], scipy.sparse.linalg.splu
    monkeypatch.setattr(scipy.sparse.linalg, "splu", lambda a: chosen.append(a) or splu(a))
    falls = Series(np.array([0.0, 0.25, 0.75, 1.0]), np.array([1e8, 0.0, 0.0, 1e8]))
    circuit = chain(tube.flow("in", always(5), inlet=True), tube.resistance("out", falls, always(3)))
    found = simulate(circuit, Settings(cycles=2, points=101, tolerance=1e-5, steady_start=False))
    assert found["pressure:in:out"][40:60] == pytest.approx(3, rel=1e-6)
    assert found["flow:in:out"] == pytest.approx(5)
    assert 2 <= len(chosen) <= 8


# --- chambers and valves


def test_a_valve_lets_nothing_back() -> None:
    # One that is open or closed closes at the end of a step.
    for valve, leak in (
        (valve_piecewise("valve", 1e7, 1.0), 0.02),
        (valve_tanh("valve", 1e7, 1.0, 50.0), 0.005),
    ):
        circuit = chain(
            tube.pressure("in", sampled(lambda t: 10 * np.sin(2 * np.pi * t), count=201), inlet=True),
            valve,
            tube.vessel("v", 1.0, 0.1),
            tube.resistance("out", always(10), always(0)),
        )
        found = simulate(circuit, Settings(cycles=5, points=401))
        q = found["flow:in:valve"]
        assert q.max() > 0.3
        assert q.min() > -leak


def test_a_chamber_keeps_its_blood() -> None:
    """What flows in less what flows out is what the volume gains, and p = E (V - V0)."""
    beat = activation("half_cosine", 1.0, {"t_active": 0.1, "t_twitch": 0.4})
    circuit = chain(
        tube.pressure("in", always(8), inlet=True),
        valve_piecewise("mitral", 1e4, 0.01),
        chamber_linear("lv", beat, Emax=2.0, Epass=0.08, Vrest=10.0),
        valve_piecewise("aortic", 1e4, 0.01),
        tube.rcr("out", 0.05, 1.0, 1.0),
    )
    found = simulate(circuit, Settings(cycles=12, points=1001))
    v = found["Vc:lv"]
    assert found["pressure:mitral:lv"] == pytest.approx((0.08 + 2 * beat(found.time)) * (v - 10), rel=1e-3)
    net = found["flow:mitral:lv"] - found["flow:lv:aortic"]
    assert np.trapezoid(net, found.time) == pytest.approx(0, abs=0.05)
    assert v.max() - v.min() > 30
    assert v[-1] == pytest.approx(v[0], abs=1e-3)


def test_a_sphere_at_rest_holds_its_pressure() -> None:
    """Without activation r settles where the wall's stress carries the pressure: S d0 = p R."""
    sphere = chamber_sphere(
        "s", 1.0, rho=1e3, thick0=0.01, radius0=0.05, W1=1e4, W2=40.0, eta=10.0, sigma_max=0.0,
        alpha_max=30.0, alpha_min=-30.0, tsys=0.17, tdias=0.484, steepness=0.005,
    )  # fmt: skip
    circuit = chain(
        tube.pressure("in", always(2000), inlet=True),
        tube.vessel("v", 1e6),
        sphere,
        tube.vessel("w", 1e12),
        tube.pressure("out", always(2000), inlet=False),
    )
    found = simulate(circuit, Settings(cycles=20, points=201, steady_start=False))
    r, stress = 0.05 + found["radius:s"][-1], found["stress:s"][-1]
    stretch = (r / 0.05) ** 2
    assert stress == pytest.approx(4 * (1 - stretch**-3) * (1e4 + 40 * stretch), rel=1e-6)
    assert stress * 0.01 == pytest.approx(found["pressure:v:s"][-1] * r, rel=1e-5)
    # Volume is counted from the unloaded sphere.
    assert found["volume:s"][-1] == pytest.approx(4 / 3 * np.pi * (r**3 - 0.05**3), rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("half_cosine", {"t_active": 0.2, "t_twitch": 0.3}),
        ("wrapping_cosine", {"Tsa": 0.4, "tpwave": 8.9}),
        ("fourier", {}),
        ("two_hill", {"t_shift": 0.2, "tau_1": 0.18, "tau_2": 0.31, "m1": 1.32, "m2": 27.4}),
        (
            "piecewise_cosine",
            {"contract_start": 0.2, "relax_start": 0.35, "contract_duration": 0.15, "relax_duration": 0.3},
        ),
    ],
)
def test_muscle_goes_from_0_to_1_once_a_cycle(kind: str, values: dict[str, float]) -> None:
    t = np.linspace(0, 0.8, 4001)
    shape = activation(kind, 0.8, values)
    second = shape(t + 0.8)
    assert second.min() == pytest.approx(0, abs=1e-3)
    assert second.max() == pytest.approx(1, abs=1e-3)
    assert np.abs(np.diff(second)).max() < 0.02
    assert shape(t + 1.6) == pytest.approx(second, abs=1e-9)
