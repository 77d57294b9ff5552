"""Restitution tables against single cells, against CVODES, and against a cable that the automaton repeats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from carna import ep
from carna.ep.cell.pace import s1s2
from carna.ep.conditions import border_zone_subacute
from carna.ep.eikonal import medium
from carna.ep.reentry import Protocol, Restitution, Substrate, pace
from carna.ep.restitution import restitution
from carna.errors import InputError

S1_MS = 600.0
CELL = ep.load("tt2006", "epi")


@pytest.fixture(scope="module")
def healthy() -> Restitution:
    return restitution(CELL, s1_ms=S1_MS)


def apd90_ms(table: Restitution, coupling_ms: np.ndarray, s1_apd_ms: float) -> np.ndarray:
    """Read APD90 off a table: its refractory time less the excess of S1, whose interval ends the table."""
    refractory_ms = S1_MS - table.rest_ms[-1]
    excess = refractory_ms - s1_apd_ms
    return np.asarray(np.interp(coupling_ms - refractory_ms, table.rest_ms, table.apd_ms) - excess)


def test_apd_is_that_of_single_cells(healthy: Restitution) -> None:
    """Where a cell alone and a front meet the same interval; early a stimulus lifts a lone cell longer."""
    coupling = np.array([400.0, 440, 500, 550, 600])
    _, single = s1s2(CELL, S1_MS, coupling, beats=51, dt_ms=0.05)
    assert apd90_ms(healthy, coupling, single[-1]) == pytest.approx(single, abs=3)


def test_early_fronts_are_slow_and_never_slower_later(healthy: Restitution) -> None:
    assert healthy.rest_ms[0] == 0
    assert (np.diff(healthy.speed) > -0.002).all()
    assert healthy.speed[-1] == pytest.approx(1, abs=1e-3)
    # From the published conduction restitution of this model: about two thirds at the earliest interval.
    assert 0.55 < healthy.speed[0] < 0.75
    assert (np.diff(healthy.apd_ms)[np.diff(healthy.rest_ms) > 1] > 0).all()


def cable_s2(s2_ms: float, places: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the passages of the last S1 and S2 (NaN if none) at two nodes of a cable, beat 5."""
    cable = ep.cable(36.0, 0.2, CELL, 0.1)
    where = cable.box((0, 0, 0), (9, 9, 1.6))
    stimulus = ep.programmed(where, S1_MS, 4, (s2_ms,))
    run = ep.simulate(cable, stimulus, 1800 + s2_ms + 200, dt_ms=0.05, record=[ep.Activation(-40.0)])
    assert run.activations is not None
    times, voxels = run.activations
    found = np.full((2, 2), np.nan)
    for i, place in enumerate(places):
        here = times[(voxels == place) & (times > 1800)]
        found[: len(here), i] = here[:2]
    return found[0], found[1]


@pytest.mark.slow
@pytest.mark.parametrize("s2_ms", [325.0, 360.0, 420.0])
def test_the_automaton_repeats_a_cable(s2_ms: float) -> None:
    """S2 from 14 mm to 34 mm: a table and a velocity against the monodomain equation."""
    s1, s2 = cable_s2(s2_ms, (70, 170))
    velocity = 20 / (s1[1] - s1[0])
    table = restitution(CELL, s1_ms=S1_MS, beats=2)
    tissue = medium(np.ones((1, 1, 101), bool), (0.2, 0.2, 0.2), velocity)
    substrate = Substrate(tissue, np.zeros((1, 1, 101), int), (table,))
    # A front at the shortest interval arrives within rounding of the end of the refractory time.
    coupling = max(s2[0] - s1[0], S1_MS - table.rest_ms[-1] + 0.1)
    outcome = pace(substrate, [(0, 0, 0)], (coupling,), Protocol(s1_ms=S1_MS, s1_beats=2))
    assert outcome.captured
    assert outcome.lasted_ms == pytest.approx(s2[1] - s2[0], rel=0.04)
    assert s2[1] - s2[0] > 1.05 * (s1[1] - s1[0])  # so that a table of ones would fail


@pytest.mark.slow
def test_a_front_blocks_below_the_refractory_time(healthy: Restitution) -> None:
    """A cable of its own: what the table calls refractory lets nothing pass, 40 ms later all passes."""
    refractory_ms = S1_MS - healthy.rest_ms[-1]
    _, blocked = cable_s2(refractory_ms - 45, (70, 170))
    _, passed = cable_s2(refractory_ms + 5, (70, 170))
    assert np.isnan(blocked).all()
    assert np.isfinite(passed).all()


@pytest.mark.slow
def test_the_border_zone_recovers_later_than_its_action_potential_ends(healthy: Restitution) -> None:
    grey = restitution(border_zone_subacute().on(CELL), s1_ms=S1_MS)
    assert grey.apd_ms[-1] > healthy.apd_ms[-1] + 20
    assert (np.diff(grey.speed) > -0.002).all()


@pytest.mark.slow
def test_step_and_spacing_decide_nothing(healthy: Restitution) -> None:
    fine = restitution(CELL, s1_ms=S1_MS, spacing_mm=0.14, dt_ms=0.025)
    at = np.arange(0.0, 250, 10)
    gaps = [
        np.interp(at, healthy.rest_ms, getattr(healthy, k)) - np.interp(at, fine.rest_ms, getattr(fine, k))
        for k in ("apd_ms", "speed")
    ]
    assert np.abs(gaps[0]).max() < 2
    assert np.abs(gaps[1]).max() < 0.02


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InputError, match="longer s1_ms"):
        restitution(CELL, s1_ms=250, beats=1)
    with pytest.raises(InputError, match="100 to 2000"):
        restitution(CELL, s1_ms=20)


@pytest.mark.peer
@pytest.mark.data
@pytest.mark.slow
def test_apd_of_one_point_agrees_with_cvodes(
    healthy: Restitution, data: Callable[[str], Path], library: Callable[[str], ModuleType]
) -> None:
    myokit = library("myokit")
    theirs = myokit.load_model(data("cell-models") / "myokit-models" / "c" / "tentusscher-2006.mmt")
    theirs.get("cell.type").set_rhs(1)
    v = theirs.label("membrane_potential").qname()
    coupling = 450.0
    simulation = myokit.Simulation(theirs, myokit.pacing.blocktrain(S1_MS, CELL.pulse[1], offset=0))
    simulation.set_tolerance(1e-8, 1e-8)
    simulation.pre(51 * S1_MS)
    both = myokit.Protocol()
    both.schedule(1, 0, CELL.pulse[1])
    both.schedule(1, coupling, CELL.pulse[1])
    simulation.set_protocol(both)
    found = []
    for span in (coupling, 600):
        trace = np.array(simulation.run(span, log=[v], log_interval=0.05)[v])
        level = trace.max() - 0.9 * (trace.max() - trace[0])
        end = np.nonzero((trace[:-1] > level) & (trace[1:] <= level))[0][-1]
        found.append((end - np.argmax(np.diff(trace))) * 0.05)
    assert apd90_ms(healthy, np.array([coupling]), found[0])[0] == pytest.approx(found[1], abs=3)
