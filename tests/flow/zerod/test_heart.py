"""The closed-loop heart: what goes round comes round."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from carna.errors import InputError
from carna.flow.zerod import Case, Simulation, read
from carna.flow.zerod.heart import ADULT, HeartNumbers


def adult(numbers: HeartNumbers = ADULT, aorta: float = 80.0, **settings: object) -> Case:
    return read(
        {
            "simulation_parameters": {
                "number_of_cardiac_cycles": 15,
                "number_of_time_pts_per_cardiac_cycle": 400,
                "steady_initial": False,
                **settings,
            },
            "boundary_conditions": [
                {
                    "bc_name": "body",
                    "bc_type": "ClosedLoopRCR",
                    "bc_values": {"Rp": 0.134, "Rd": 1.356, "C": 0.238, "closed_loop_outlet": True},
                },
                {
                    "bc_name": "lca",
                    "bc_type": "ClosedLoopCoronaryLeft",
                    "bc_values": {"Ra": 9.31, "Ram": 15.12, "Rv": 33.27, "Cim": 3.74e-3, "Ca": 5.5e-4},
                },
            ],
            "vessels": [
                {
                    "vessel_name": name,
                    "vessel_id": n,
                    "boundary_conditions": {"outlet": end},
                    "zero_d_element_type": "BloodVessel",
                    "zero_d_element_values": {"R_poiseuille": r, "L": inertia},
                }
                for n, (name, end, r, inertia) in enumerate(
                    (("aorta", "body", 0.00335, 0.004), ("left main", "lca", 4.39, 0.0075))
                )
            ],
            "closed_loop_blocks": [
                {
                    "outlet_blocks": ["aorta", "left main"],
                    "closed_loop_type": "ClosedLoopHeartAndPulmonary",
                    "cardiac_cycle_period": 1.0169,
                    "parameters": asdict(numbers),
                }
            ],
            "initial_condition": {
                "V_RA:CLH": 38.43, "V_RV:CLH": 96.07, "V_LA:CLH": 38.43, "V_LV:CLH": 96.07, "P_pul:CLH": 8.0,
                "pressure:CLH:J_heart_outlet": aorta, "P_c:body": aorta,
            },
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def beating() -> Simulation:
    return adult().run()


def test_both_ventricles_put_out_the_same(beating: Simulation) -> None:
    output = [
        np.trapezoid(np.maximum(beating[f"Q_{v}:CLH"], 0), beating.time) for v in ("RV", "LV", "RA", "LA")
    ]
    assert output == pytest.approx([output[0]] * 4, rel=0.01)
    assert 40 < output[0] < 110


def test_volume_is_what_flow_leaves(beating: Simulation) -> None:
    gained = np.trapezoid(beating["Q_LA:CLH"] - beating["Q_LV:CLH"], beating.time)
    volume = beating["V_LV:CLH"]
    assert volume[-1] - volume[0] == pytest.approx(gained, abs=0.3)
    rate = np.gradient(volume, beating.time)[2:-2]
    assert rate == pytest.approx((beating["Q_LA:CLH"] - beating["Q_LV:CLH"])[2:-2], abs=40)


def test_valves_are_one_way(beating: Simulation) -> None:
    for side in ("RA", "RV", "LA", "LV"):
        q = beating[f"Q_{side}:CLH"]
        # A valve closes at the end of the step in which flow turns.
        assert q.min() > -0.12 * q.max()


def test_pressures_are_those_of_a_heart(beating: Simulation) -> None:
    lv, rv = beating["P_LV:CLH"], beating["P_RV:CLH"]
    aorta = beating["pressure:CLH:J_heart_outlet"]
    assert 90 < lv.max() < 160
    assert 15 < rv.max() < 45
    assert 55 < aorta.min() < aorta.max() < lv.max() + 1


def test_the_muscle_squeezes_its_coronaries(beating: Simulation) -> None:
    """Inflow is least while pressure in the ventricle rises, and greatest as it lets go."""
    q, peak = beating["flow:left main:lca"], beating.time[beating["P_LV:CLH"].argmax()]
    assert beating.time[q.argmin()] < peak < beating.time[q.argmax()] < peak + 0.2
    assert 1.0 < q.mean() < 2.0  # mL/s


def test_more_blood_fills_more_and_puts_out_more(beating: Simulation) -> None:
    full = adult(aorta=120.0).run()
    assert full["V_LV:CLH"].max() > beating["V_LV:CLH"].max() + 3
    assert np.ptp(full["V_LV:CLH"]) > np.ptp(beating["V_LV:CLH"]) + 2
    assert full["P_LV:CLH"].max() > beating["P_LV:CLH"].max() + 3


def test_the_cycle_repeats(beating: Simulation) -> None:
    assert beating.change < 1e-6
    assert adult(number_of_cardiac_cycles=2).run().change > 1e-3


def test_a_heart_has_27_numbers_and_no_steady_start() -> None:
    with pytest.raises(InputError, match="without Elv_s"):
        HeartNumbers.of({k: v for k, v in asdict(ADULT).items() if k != "Elv_s"})
    with pytest.raises(InputError, match="steady start of a beating heart"):
        adult(steady_initial=True).run()
