"""Pacing: measures against a plain NumPy simulation and against CVODES, restitution, many cells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from carna.ep.cell import load
from carna.ep.cell.pace import alternans, dynamic_restitution, pace, s1s2
from carna.errors import InputError

FILES = {  # our model: its file, the variable that sets the cell type, and epi/endo's number there
    "tt2006": ("tentusscher-2006.mmt", "cell.type", 1, "epi"),
    "courtemanche1998": ("courtemanche-1998.mmt", "", 0, ""),
    "ohara2011": ("ohara-2011.mmt", "cell.mode", 0, "endo"),
    "ohara_cipa": ("ohara-cipa-v1-2017.mmt", "cell.mode", 0, "endo"),
    "torord": ("tomek-2020.mmt", "cell.mode", 0, "endo"),
}


def test_measures_are_those_of_a_plain_simulation() -> None:
    """Mitchell-Schaeffer by explicit Euler in NumPy, measured from the stored trace."""
    model = load("mitchell_schaeffer")
    dt, n = 0.005, 100_000
    x = model.initial.copy()
    trace = np.empty(n + 1)
    trace[0] = x[0]
    value = {p.name: p.value for p in model.parameters}
    strength, duration = model.pulse
    for k in range(n):
        u = (x[0] + 80) / 100
        shut = (1 - x[1]) / value["tau_open"] if u < value["u_gate"] else -x[1] / value["tau_close"]
        inward = x[1] * u * u * (1 - u) / value["tau_in"] - u / value["tau_out"]
        x = x + dt * np.array([100 * inward + strength * (k * dt < duration - 1e-9), shut])
        trace[k + 1] = x[0]
    paced = pace(model, n * dt, 1, dt_ms=dt, precision="float64")
    assert paced.peak_mv[0, 0] == pytest.approx(trace.max(), abs=0.02)
    assert paced.rise_v_per_s[0, 0] == pytest.approx(np.diff(trace).max() / dt, rel=0.01)
    begin = (np.argmax(np.diff(trace)) + 0.5) * dt
    for found, share in ((paced.apd30_ms, 0.3), (paced.apd50_ms, 0.5), (paced.apd90_ms, 0.9)):
        level = trace.max() - share * (trace.max() - trace[0])
        k = np.nonzero((trace[:-1] > level) & (trace[1:] <= level))[0][-1]
        end = (k + (trace[k] - level) / (trace[k] - trace[k + 1])) * dt
        assert found[0, 0] == pytest.approx(end - begin, abs=0.1)
    assert paced.trace_mv[::50, 0] == pytest.approx(trace[:-1][:: 50 * 200], abs=0.3)


def test_production_step_is_within_one_percent_of_converged() -> None:
    fine = pace(load("tt2006"), 1000, 2, dt_ms=0.005, precision="float64").apd90_ms
    coarse = pace(load("tt2006"), 1000, 2, dt_ms=0.05).apd90_ms
    assert np.max(np.abs(coarse / fine - 1)) < 0.002


def test_every_cell_has_its_own_parameters_cycle_and_block() -> None:
    gkr = np.linspace(0.1, 0.2, 515)
    many = pace(
        load("tt2006"), np.where(np.arange(515) % 2, 600, 800), 2, parameters={"GKr": gkr}, dt_ms=0.05
    )
    assert many.apd90_ms.shape == (2, 515)
    for cell in (0, 511, 514):
        cycle = 600 if cell % 2 else 800
        alone = pace(load("tt2006"), cycle, 2, parameters={"GKr": gkr[[cell]]}, dt_ms=0.05)
        assert many.apd90_ms[:, cell] == pytest.approx(alone.apd90_ms[:, 0], abs=1e-3)
    assert np.all(np.diff(many.apd90_ms[0, ::2]) < 0)  # more IKr, shorter


def test_a_run_goes_on_where_another_ended() -> None:
    model = load("tt2006")
    whole = pace(model, 500, 3, dt_ms=0.05, precision="float64")
    half = pace(model, 500, 2, dt_ms=0.05, precision="float64")
    rest = pace(model, 500, 1, dt_ms=0.05, precision="float64", start=half.cells)
    assert rest.apd90_ms[0] == pytest.approx(whole.apd90_ms[2], abs=1e-9)


def test_restitution_rises_and_early_stimuli_meet_refractory_tissue() -> None:
    before, apd = s1s2(load("tt2006"), 800, [250, 330, 400, 600, 1000], beats=3, dt_ms=0.05)
    assert np.isnan(apd[0])
    assert np.all(np.diff(apd[1:]) > 0)
    assert np.all(np.diff(before[1:]) > 0)
    assert 10 < before[1] < 60
    fast = dynamic_restitution(load("tt2006"), [400, 700, 1000], beats=5, dt_ms=0.05)
    assert np.all(np.diff(fast.apd90_ms[-1]) > 0)
    assert alternans(np.array([[200.0], [240.0]] * 4))[0] == 40.0


def test_what_cannot_be_paced_is_refused() -> None:
    with pytest.raises(InputError, match="20 ms"):
        pace(load("tt2006"), 5, 1)
    with pytest.raises(InputError, match="shapes that fit"):
        pace(load("tt2006"), [400, 500], 1, parameters={"GKr": [0.1, 0.2, 0.3]})
    with pytest.raises(InputError, match="halve dt_ms"):
        pace(load("tt2006"), 400, 1, pulse=(1e6, 1.0), dt_ms=1.0)


@pytest.mark.peer
@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_apd_agrees_with_cvodes(
    name: str, data: Callable[[str], Path], library: Callable[[str], ModuleType]
) -> None:
    myokit = library("myokit")
    file, switch, number, variant = FILES[name]
    theirs = myokit.load_model(data("cell-models") / "myokit-models" / "c" / file)
    if switch:
        theirs.get(switch).set_rhs(number)
    if name == "torord":
        theirs.get("inal.m").set_initial_value(1.351203e-4)  # the file has 1.351203-4: minus four
    ours = load(name, variant)
    simulation = myokit.Simulation(theirs, myokit.pacing.blocktrain(1000, ours.pulse[1], offset=0))
    simulation.set_tolerance(1e-8, 1e-8)
    v = theirs.label("membrane_potential").qname()
    wanted = []
    for _ in range(2):
        trace = np.array(simulation.run(1000, log=[v], log_interval=0.02)[v])
        level = trace.max() - 0.9 * (trace.max() - trace[0])
        end = np.nonzero((trace[:-1] > level) & (trace[1:] <= level))[0][-1]
        wanted.append((end - np.argmax(np.diff(trace))) * 0.02)
    found = pace(ours, 1000, 2, dt_ms=0.0025, precision="float64").apd90_ms[:, 0]
    assert found == pytest.approx(wanted, abs=0.5)
    production = pace(ours, 1000, 2).apd90_ms[:, 0]
    assert production == pytest.approx(found, rel=0.01)
