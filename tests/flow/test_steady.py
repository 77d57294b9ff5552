"""The steady solver against closed forms, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from carna.errors import InputError
from carna.flow import Blood, Boundary, Network, Outlet, coronary, network
from carna.flow.steady import losses, steady
from carna.space import VesselTree

MMHG = 133.322387415


def line(radius: np.ndarray | float, length_mm: float = 100.0) -> Network:
    count = 201 if np.isscalar(radius) else len(np.asarray(radius))
    x = np.linspace(0, length_mm, count)
    points = np.stack([x, 0 * x, 0 * x], 1)
    edges = np.stack([np.arange(count - 1), np.arange(1, count)], 1)
    return network(VesselTree(points, edges, np.broadcast_to(radius, count)))


def poiseuille(length_mm: float, radius_mm: float, viscosity: float = 4.0) -> float:
    """mmHg s/mL."""
    return 8 * viscosity * 1e-3 * length_mm * 1e-3 / (np.pi * (radius_mm * 1e-3) ** 4) / MMHG * 1e-6


def test_a_straight_tube_is_poiseuilles() -> None:
    found = steady(line(1.5), Boundary(100.0, {0: Outlet(30.0, 5.0)}))
    resistance = poiseuille(100, 1.5)
    assert found.flow_ml_s[0] == pytest.approx(95 / (30 + resistance), rel=1e-12)
    assert found.pressure_mmHg[100] == pytest.approx(100 - found.flow_ml_s[0] * resistance / 2, rel=1e-12)


def test_a_cone_is_its_integral() -> None:
    radius = np.linspace(2.0, 1.0, 5)  # few points: the element is exact, not the sampling
    exact = 8 * 4e-3 / np.pi * (1 / 0.001**3 - 1 / 0.002**3) / (3 * 0.001 / 0.1) / MMHG * 1e-6
    assert losses(line(radius), Blood()).friction[-1] == pytest.approx(exact, rel=1e-12)
    assert losses(line(radius), Blood()).jet[-1] == 0.0


@pytest.mark.parametrize("narrowing", [0.3, 0.5, 0.7])
def test_a_stenosis_is_young_and_tsais(narrowing: float) -> None:
    x = np.linspace(0, 100, 801)
    radius = 1.5 * (1 - narrowing * np.exp(-(((x - 50) / 5) ** 2)))
    reference, throat = np.pi * 1.5**2, np.pi * radius.min() ** 2
    expected = 1.52 * 1060 / 2 * (1 / throat - 1 / reference) ** 2 / MMHG
    assert losses(line(radius), Blood()).jet[-1] == pytest.approx(expected, rel=1e-6)


def test_a_ragged_lumen_is_no_chain_of_stenoses() -> None:
    ragged = 1.5 * (1 + np.random.default_rng(0).uniform(-0.02, 0.02, 201))
    one_30_percent = 1.5 * (1 - 0.3 * np.exp(-(((np.linspace(0, 100, 201) - 50) / 5) ** 2)))
    assert losses(line(ragged), Blood()).jet[-1] < 0.1 * losses(line(one_30_percent), Blood()).jet[-1]


def fork(children: tuple[float, float] = (1.2, 0.9)) -> VesselTree:
    stem = [(float(x), 0.0, 0.0) for x in range(21)]
    points, edges, radius = list(stem), [(n, n + 1) for n in range(20)], [2.0] * 21
    for sign, r in zip((1, -1), children, strict=True):
        before = 20
        for step in range(1, 31):
            points.append((20 + 0.8 * step, sign * 0.6 * step, 0.0))
            radius.append(r)
            edges.append((before, len(points) - 1))
            before = len(points) - 1
    return VesselTree(np.array(points), np.array(edges), np.array(radius))


def test_a_fork_shares_flow_as_resistances_do() -> None:
    vessels = network(fork())
    outlets = {1: Outlet(40.0, 0.0), 2: Outlet(90.0, 0.0)}
    found = steady(vessels, Boundary(90.0, outlets))
    r = losses(vessels, Blood()).friction[[at[-1] for at in vessels.segments]]
    a, b = r[1] + 40, r[2] + 90
    total = 90 / (r[0] + a * b / (a + b))
    assert found.flow_ml_s == pytest.approx([total, total * b / (a + b), total * a / (a + b)], rel=1e-10)
    assert found.flow_ml_s[0] == pytest.approx(found.flow_ml_s[1:].sum(), rel=1e-12)


def test_pressure_and_flow_at_the_inlet_are_one_problem() -> None:
    x = np.linspace(0, 100, 801)
    vessels = line(1.5 * (1 - 0.6 * np.exp(-(((x - 50) / 5) ** 2))))
    by_pressure = steady(vessels, Boundary(100.0, {0: Outlet(20.0)}))
    by_flow = steady(vessels, Boundary(None, {0: Outlet(20.0)}, flow_ml_s=float(by_pressure.flow_ml_s[0])))
    assert by_flow.pressure_mmHg == pytest.approx(by_pressure.pressure_mmHg, rel=1e-9)


def test_more_resistance_in_the_muscle_raises_the_ratio() -> None:
    x = np.linspace(0, 60, 401)
    vessels = line(1.5 * (1 - 0.7 * np.exp(-(((x - 30) / 4) ** 2))))
    ratios = [
        steady(vessels, coronary(vessels, mass_g=60.0, hyperaemia=h)).ratio[-1]
        for h in (0.21, 0.24, 0.28, 1.0)
    ]
    assert ratios == sorted(ratios)
    assert ratios[-1] - ratios[0] > 0.1


def test_healthy_flow_is_mass_times_perfusion() -> None:
    vessels = line(2.5, 30.0)
    rest = steady(vessels, coronary(vessels, mass_g=120.0, state="rest"))
    assert rest.flow_ml_s[0] == pytest.approx(2.0, rel=0.01)  # 120 g x 1 mL/min/g


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda t: VesselTree(t.points / 1000, t.edges, t.radius_mm / 1000), "metres"),
        (lambda t: VesselTree(t.points / 10, t.edges, t.radius_mm / 10), "centimetres"),
        (lambda t: VesselTree(t.points / 1000, t.edges, t.radius_mm), "different units"),
        (lambda t: VesselTree(t.points, t.edges[1:], t.radius_mm), "2 pieces"),
        (lambda t: VesselTree(t.points, np.vstack([t.edges, [[50, 80]]]), t.radius_mm), "1 loops"),
        (
            lambda t: VesselTree(t.points, t.edges, np.where(np.arange(81) == 30, 0, t.radius_mm)),
            "1 of 81 radii",
        ),
        (lambda t: VesselTree(t.points, t.edges, None), "without radii"),
    ],
)
def test_what_is_no_tree_in_millimetres_is_refused(spoil, sentence: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=sentence):
        network(spoil(fork()))


def test_impossible_ends_are_refused() -> None:
    with pytest.raises(InputError, match="20 to 250 mmHg"):
        Boundary(13332.0, {0: Outlet(10.0)})
    with pytest.raises(InputError, match="no outlet condition"):
        steady(network(fork()), Boundary(90.0, {1: Outlet(40.0)}))


def test_the_order_of_points_does_not_matter() -> None:
    tree = fork()
    shuffle = np.random.default_rng(2).permutation(len(tree.points))
    back = np.argsort(shuffle)
    mixed = VesselTree(tree.points[shuffle], back[tree.edges[::-1, ::-1]], tree.radius_mm[shuffle])
    a, b = (steady(v, coronary(v, mass_g=100.0)) for v in (network(tree), network(mixed)))
    assert b.pressure_mmHg[back] == pytest.approx(a.pressure_mmHg, rel=1e-12)
