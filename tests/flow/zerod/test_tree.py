"""Networks as circuits: means against the steady solver, beats against closed forms."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from tests.flow.zerod.trees import beat, ends, squeeze, tree

from carna.errors import InputError
from carna.flow import Blood, Boundary, Network, Outlet, Wave, network
from carna.flow.steady import steady
from carna.flow.zerod import Wall, from_network, pulsatile
from carna.space import VesselTree

MMHG = 133.322387415


def line(radius: float = 1.5, length_mm: float = 100.0) -> Network:
    x = np.linspace(0, length_mm, 21)
    points = np.stack([x, 0 * x, 0 * x], 1)
    edges = np.stack([np.arange(20), np.arange(1, 21)], 1)
    return network(VesselTree(points, edges, np.full(21, radius)))


@pytest.mark.parametrize("muscle", [False, True], ids=["windkessel", "coronary"])
@pytest.mark.parametrize("seed", range(8))
def test_means_of_a_healthy_tree_are_the_steady_answer(seed: int, muscle: bool) -> None:
    """Linear laws: the mean of the beat is the answer for the mean, whatever the pulse stores meanwhile."""
    rng = np.random.default_rng(seed)
    vessels = tree(rng, int(rng.integers(5, 40)))
    boundary = ends(vessels, muscle=muscle)
    found = pulsatile(vessels, boundary, wall=Wall(), settle=1e-10)
    expected = steady(vessels, boundary)
    assert found.mean.pressure_mmHg == pytest.approx(expected.pressure_mmHg, rel=1e-8)
    assert found.mean.flow_ml_s == pytest.approx(expected.flow_ml_s, rel=1e-8)
    assert found.mean.solver == "zerod"
    assert not found.mean.notes


@pytest.mark.parametrize("seed", range(8))
def test_constant_inflow_is_the_steady_answer_with_stenoses_too(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    vessels = tree(rng, 21, narrowed=0.3)
    boundary = replace(ends(vessels, muscle=False), wave=None)
    found, expected = pulsatile(vessels, boundary, wall=Wall()), steady(vessels, boundary)
    assert expected.ratio.min() < 0.97
    assert found.mean.pressure_mmHg == pytest.approx(expected.pressure_mmHg, rel=1e-8)
    assert found.mean.flow_ml_s == pytest.approx(expected.flow_ml_s, rel=1e-8)


def test_a_pulse_loses_more_in_a_stenosis_than_its_mean() -> None:
    """The mean of q|q| is more than the square of the mean: bounded, and growing with the pulse."""
    vessels = tree(np.random.default_rng(4), 15, narrowed=0.4)
    expected = steady(vessels, ends(vessels, muscle=False))
    worst = []
    for pulse in (10.0, 40.0, 80.0):
        found = pulsatile(vessels, ends(vessels, muscle=False, pulse=pulse), settle=1e-8)
        worst.append(float((expected.ratio - found.mean.ratio).max()))
    assert 0 < worst[0] < worst[1] < worst[2] < 0.03


@pytest.mark.parametrize("wall", [None, Wall()], ids=["rigid", "soft"])
def test_one_tube_and_a_windkessel_have_their_impedance(wall: Wall | None) -> None:
    period, q1 = 0.8, 1.0
    t = np.linspace(0, period, 801)
    w = 2 * np.pi / period
    wave = Wave(t, 2 + q1 * np.sin(w * t))
    boundary = Boundary(None, {0: Outlet(40.0, 5.0, 0.1, 0.02)}, flow_ml_s=2.0, wave=wave)
    vessels = line()
    found = pulsatile(vessels, boundary, wall=wall, points=801, settle=1e-9)
    area = np.pi * 1.5**2 * 1e-6
    r = 8 * 4e-3 * 0.1 / (np.pi * 1.5e-3**4) / MMHG * 1e-6
    inertia = 1060 * 0.1 / area / MMHG * 1e-6
    c = 0.0 if wall is None else 1.5 * area * 0.1 / (float(wall.stiffness_mmHg(np.array(1.5)))) * 1e6
    beyond = 4 + 36 / (1 + 1j * w * 36 * 0.02) + 1j * w * inertia
    z = r + beyond / (1 + 1j * w * c * beyond)
    expected = 5 + 2 * (r + 40) + q1 * np.imag(z * np.exp(1j * w * t))
    assert found.pressure_mmHg[:, 0] == pytest.approx(expected, rel=2e-4)
    through = q1 / (1 + 1j * w * c * beyond)
    outflow = 2 + np.imag(through * np.exp(1j * w * t))
    assert found.outflow_ml_s[:, 0] == pytest.approx(outflow, rel=2e-4)


def test_pressure_along_a_segment_ends_where_the_next_begins() -> None:
    vessels = tree(np.random.default_rng(1), 9, narrowed=0.5)
    found = pulsatile(vessels, ends(vessels, muscle=True), wall=Wall())
    for n, above in enumerate(vessels.parent):
        if above >= 0:
            siblings = np.flatnonzero(vessels.parent == above)
            joined = found.flow_ml_s[:, siblings].sum(1)
            assert joined == pytest.approx(found.outflow_ml_s[:, above], abs=1e-7)
            assert vessels.segments[n][0] == vessels.segments[above][-1]
    assert found.pressure_mmHg[:, 0] == pytest.approx(beat().at(found.time_s), abs=1e-6)


def test_the_muscle_moves_flow_into_diastole() -> None:
    vessels = line(1.5, 40.0)
    squeezed, free = (pulsatile(vessels, ends(vessels, muscle=m), settle=1e-6) for m in (True, False))
    systole = squeezed.time_s < 0.35 * 0.8
    share = [float(p.flow_ml_s[~systole].mean() / p.flow_ml_s[systole].mean()) for p in (squeezed, free)]
    assert share[0] > 1.25 * share[1]
    assert squeezed.mean.flow_ml_s == pytest.approx(free.mean.flow_ml_s, rel=1e-6)


def test_what_does_not_repeat_yet_says_so() -> None:
    vessels = line()
    slow = Boundary(93.0, {0: Outlet(40.0, 5.0, 0.1, 2.0)}, wave=beat())
    found = pulsatile(vessels, slow, cycles=2)
    assert found.cycles == 2
    assert found.change > 1e-4
    assert "not periodic yet" in found.mean.notes[0]
    assert pulsatile(vessels, slow).change <= 1e-4


def test_impossible_boundaries_are_refused() -> None:
    vessels = line()
    bed = Outlet(40.0, 5.0, 0.32, 0.02, squeeze(period_s=1.0))
    with pytest.raises(InputError, match=r"waves of 0.8 and 1 s"):
        from_network(vessels, Boundary(93.0, {0: bed}, wave=beat()))
    with pytest.raises(InputError, match="squeezed but has no compliance"):
        from_network(vessels, Boundary(93.0, {0: replace(bed, compliance=None)}))
    with pytest.raises(InputError, match="no outlet condition"):
        from_network(vessels, Boundary(93.0, MappingProxyType({})))


def test_a_thicker_blood_has_a_higher_gradient() -> None:
    vessels = tree(np.random.default_rng(2), 11)
    boundary = ends(vessels, muscle=False)
    thin, thick = (pulsatile(vessels, boundary, Blood(viscosity_mPas=v)) for v in (3.0, 5.0))
    assert thick.mean.ratio.min() < thin.mean.ratio.min()
