"""What is no circuit, and what cannot be solved, is a sentence and never a number."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from carna.errors import Cancelled, CarnaError, InputError, SolverError
from carna.flow.zerod import Settings, read, simulate
from carna.flow.zerod import vessels as tube
from carna.flow.zerod.circuit import Circuit
from carna.flow.zerod.drive import Series
from carna.progress import Progress


def document() -> dict[str, Any]:
    """A pressure, a valve, a chamber, a valve, a vessel and a fork with a windkessel and a coronary bed."""
    vessel = {"zero_d_element_type": "BloodVessel", "zero_d_element_values": {"R_poiseuille": 0.1, "C": 0.01}}
    valve = {"type": "PiecewiseValve"}
    return {
        "simulation_parameters": {"number_of_cardiac_cycles": 2, "number_of_time_pts_per_cardiac_cycle": 50},
        "boundary_conditions": [
            {
                "bc_name": "in",
                "bc_type": "PRESSURE",
                "bc_values": {"P": [8.0, 9.0, 8.0], "t": [0.0, 0.5, 1.0]},
            },
            {"bc_name": "rcr", "bc_type": "RCR", "bc_values": {"Rp": 0.1, "C": 1.0, "Rd": 1.0, "Pd": 3.0}},
            {
                "bc_name": "bed",
                "bc_type": "CORONARY",
                "bc_values": {
                    "Ra1": 30.0,
                    "Ra2": 50.0,
                    "Rv1": 20.0,
                    "Ca": 1e-3,
                    "Cc": 1e-2,
                    "P_v": 5.0,
                    "Pim": [0.0, 90.0, 0.0],
                    "t": [0.0, 0.3, 1.0],
                },
            },
        ],
        "vessels": [
            {"vessel_id": 0, "vessel_name": "a", **vessel},
            {"vessel_id": 1, "vessel_name": "b", "boundary_conditions": {"outlet": "rcr"}, **vessel},
            {"vessel_id": 2, "vessel_name": "c", "boundary_conditions": {"outlet": "bed"}, **vessel},
        ],
        "junctions": [
            {
                "junction_name": "J",
                "junction_type": "BloodVesselJunction",
                "inlet_vessels": [0],
                "outlet_vessels": [1, 2],
                "junction_values": {
                    "R_poiseuille": [0.1, 0.1],
                    "L": [0.0, 0.0],
                    "stenosis_coefficient": [0.0, 0.0],
                },
            }
        ],
        "valves": [
            {
                **valve,
                "name": f"valve {up}",
                "params": {"Rmax": 100.0, "Rmin": 0.01, "upstream_block": up, "downstream_block": down},
            }
            for up, down in (("in", "lv"), ("lv", "a"))
        ],
        "chambers": [
            {
                "type": "LinearElastanceChamber",
                "name": "lv",
                "values": {"Emax": 2.0, "Epass": 0.1, "Vrest": 10.0},
                "activation_function": {"type": "half_cosine", "t_active": 0.1, "t_twitch": 0.4},
            }
        ],
        "initial_condition": {"Vc:lv": 100.0, "pressure_all": 10.0},
    }


def test_it_runs_as_it_is() -> None:
    found = read(document()).run()
    assert np.ptp(found["Vc:lv"]) > 20


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield (*path, key)
        yield from places(one, (*path, key))


@pytest.mark.parametrize("bad", ["delete", "x", None, -1, [], {"zz": 1}, float("nan")], ids=str)
def test_anything_may_be_wrong_at_any_place(bad: Any) -> None:
    """Each key and entry in turn is deleted or replaced: an answer or a sentence, nothing else."""
    refused = 0
    for path in places(document()):
        spoilt = document()
        inside = spoilt
        for key in path[:-1]:
            inside = inside[key]
        if bad == "delete":
            del inside[path[-1]]
        else:
            inside[path[-1]] = copy.deepcopy(bad)
        try:
            found = read(spoilt).run()
        except CarnaError as error:
            refused += 1
            assert error.needed
        else:
            assert np.isfinite(found.y).all()
    assert refused > (10 if bad == -1 else 60)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d["vessels"][0].update(zero_d_element_type="Pipe"), "vessel 'a' of type 'Pipe'"),
        (lambda d: d["boundary_conditions"][1].update(bc_type="RCRC"), "of type 'RCRC'"),
        (lambda d: d["junctions"][0].update(junction_type="T"), "junction 'J' of type 'T'"),
        (lambda d: d["chambers"][0].update(type="Ball"), "chamber 'lv' of type 'Ball'"),
        (lambda d: d["chambers"][0]["activation_function"].update(type="sine"), "activation function 'sine'"),
        (lambda d: d["valves"][0].update(type="Flap"), "of type 'Flap'"),
        (lambda d: d.update(colour="red"), "unknown colour"),
        (lambda d: d["boundary_conditions"].pop(2), "a boundary condition of that name"),
        (lambda d: d["vessels"][1].pop("boundary_conditions"), "'b' with 0 of 1 outlets joined"),
        (lambda d: d["vessels"][0].update(vessel_name="b"), "two blocks named 'b'"),
        (lambda d: d["simulation_parameters"].update(cardiac_period=0.8), "inconsistent cardiac periods: 1"),
        (lambda d: d["junctions"][0].update(inlet_vessels=[7]), "inlet vessel 7"),
        (lambda d: d["valves"][0]["params"].update(downstream_block="rv"), "a block named 'rv'"),
        (lambda d: d["boundary_conditions"][1]["bc_values"].pop("Rd"), "RCR 'rcr' without Rd"),
        (lambda d: d["boundary_conditions"][0]["bc_values"].update(t=[0, 2, 1]), "times do not grow"),
        (lambda d: d["simulation_parameters"].update(number_of_cardiac_cycles=0), "0 cycles"),
    ],
)
def test_a_sentence_names_the_fault(change, sentence: str) -> None:  # type: ignore[no-untyped-def]
    spoilt = document()
    change(spoilt)
    with pytest.raises(InputError, match=sentence):
        read(spoilt)


def always(value: float) -> Series:
    return Series(np.zeros(1), np.array([value]))


def test_a_flow_fixed_at_both_ends_of_a_rigid_vessel_is_singular() -> None:
    blocks = (
        tube.flow("in", always(5), inlet=True),
        tube.vessel("v", 1.0),
        tube.flow("out", always(5), inlet=False),
    )
    with pytest.raises(InputError, match=r"leave .*pressure.* undetermined"):
        simulate(Circuit(blocks, (("in", "v"), ("v", "out")), 1.0), Settings())


def test_a_diverging_march_stops() -> None:
    """A negative compliance grows without bound; a tolerance out of reach is said to be."""
    blocks = (
        tube.pressure("in", Series(np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0, 0.0])), inlet=True),
        tube.vessel("v", 1.0, S=1e6),
        tube.rcr("out", 1.0, -1e-3, 1.0),
    )
    circuit = Circuit(blocks, (("in", "v"), ("v", "out")), 1.0)
    with pytest.raises(SolverError, match="Newton steps"):
        simulate(circuit, Settings(cycles=200, points=1001, steady_start=False))


def test_cycles_that_never_settle_are_given_up() -> None:
    """A capacitor that only fills."""
    blocks = (
        tube.flow("in", always(5), inlet=True),
        tube.vessel("v", 1.0, 1.0),
        tube.flow("out", always(4), inlet=False),
    )
    circuit = Circuit(blocks, (("in", "v"), ("v", "out")), 1.0)
    with pytest.raises(SolverError, match="cycle means still change"):
        simulate(circuit, Settings(cycles=2, points=11, until=1e-3, most_cycles=20, steady_start=False))


def test_a_long_march_can_be_stopped() -> None:
    seen: list[float] = []
    case = read(document())
    case.run(Progress(lambda done, what: seen.append(done)))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    with pytest.raises(Cancelled):
        case.run(Progress(cancelled=lambda: True))


def test_an_unknown_has_to_be_there() -> None:
    with pytest.raises(InputError, match="an unknown 'Vc:rv'"):
        _ = read(document()).run()["Vc:rv"]


def test_a_start_that_names_nothing_is_noted() -> None:
    given = document()
    given["initial_condition"]["Vc:rv"] = 3.0
    assert "Vc:rv" in read(given).notes[0]
