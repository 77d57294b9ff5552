"""Every stored result of svZeroDSolver, one by one, by its own rule: |a - b| <= tolerance (1 + |b|)."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carna.errors import InputError
from carna.flow.zerod import calibrate, read

pytestmark = pytest.mark.data

# Valves that open and close in one step, 1000 points, 100 cycles: rounding decides an instant. Upstream's own
# tolerance there is 0.2.
LOOSE = {"coupledBlock_closedLoopHeart_withCoronaries": 0.2}
MODELS = ("0080_0001", "0104_0001", "0140_2001")
REFUSED = ("closedLoopHeart_singleVessel_mistmatchPeriod", "pulsatileFlow_R_RCR_mismatchPeriod")
CASES = [
    "chamber_elastance_inductor",
    "chamber_sphere",
    "closedLoopHeart_singleVessel",
    "closedLoopHeart_singleVessel_decomposed",
    "closedLoopHeart_withCoronaries",
    "closed_loop_two_hill",
    "coupledBlock_closedLoopHeart_singleVessel",
    "coupledBlock_closedLoopHeart_withCoronaries",
    "piecewise_Chamber_and_Valve",
    "pulsatileFlow_CRL",
    "pulsatileFlow_CStenosis_steadyPressure",
    "pulsatileFlow_CStenosis_steadyPressure_definedPeriod",
    "pulsatileFlow_R_RCR",
    "pulsatileFlow_R_RCR_derivative",
    "pulsatileFlow_R_RCR_derivative_variable",
    "pulsatileFlow_R_RCR_mean",
    "pulsatileFlow_R_RCR_mean_derivative",
    "pulsatileFlow_R_RCR_mean_derivative_variable",
    "pulsatileFlow_R_RCR_mean_variable",
    "pulsatileFlow_R_RCR_variable",
    "pulsatileFlow_R_coronary",
    "pulsatileFlow_R_coronary_cycle_error",
    "pulsatileFlow_R_coronary_varres",
    "pulsatileFlow_bifurcationR_RCR_cycle_error",
    "steadyFlow_RC_R",
    "steadyFlow_RLC_R",
    "steadyFlow_RL_R",
    "steadyFlow_R_R",
    "steadyFlow_R_RCR",
    "steadyFlow_R_coronary",
    "steadyFlow_R_steadyPressure",
    "steadyFlow_bifurcationR_R1",
    "steadyFlow_bifurcationR_R1_blockNames",
    "steadyFlow_bifurcationR_R2",
    "steadyFlow_blood_vessel_junction",
    "steadyFlow_confluenceR_R",
    "steadyFlow_stenosis_R",
    "valve_tanh",
]

Documents = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def stored(data: Callable[[str], Path]) -> Documents:
    """All documents of the archive by their path under ``cases``, without the ending."""
    found: Documents = {}
    with tarfile.open(data("svzerod-cases") / "svzerod-tests.tar.xz") as archive:
        for member in archive:
            parts = Path(member.name).parts
            if "cases" in parts and member.name.endswith(".json"):
                text = archive.extractfile(member)
                assert text is not None
                found["/".join(parts[parts.index("cases") + 1 :])[:-5]] = json.load(text)
    return found


def test_none_is_left_out(stored: Documents) -> None:
    top = {name for name in stored if "/" not in name}
    assert len(top) == 41
    assert top == {*CASES, *REFUSED, "steadyFlow_calibration"}
    assert {f"results/result_{c}" for c in CASES} == {n for n in stored if n.startswith("results/")}
    assert len(CASES) == 38


@pytest.mark.parametrize("name", CASES)
def test_a_stored_result_is_met(stored: Documents, name: str) -> None:
    case = read(stored[name])
    table = case.table(case.run())
    wanted = {column: list(rows.values()) for column, rows in stored[f"results/result_{name}"].items()}
    assert set(table) == set(wanted)
    assert table["name"] == wanted["name"]
    tolerance = LOOSE.get(name, 1e-7)
    for column in set(wanted) - {"name"}:
        if wanted[column][0] is None:
            assert table[column] == wanted[column]
            continue
        ours, theirs = np.array(table[column]), np.array(wanted[column])
        assert np.max(np.abs(ours - theirs) / (1 + np.abs(theirs))) <= tolerance, column


@pytest.mark.parametrize("name", REFUSED)
def test_two_periods_are_refused(stored: Documents, name: str) -> None:
    with pytest.raises(InputError, match="inconsistent cardiac periods"):
        read(stored[name])


def test_a_calibration_keeps_what_steady_flow_cannot_tell(stored: Documents) -> None:
    found = calibrate(stored["steadyFlow_calibration"])
    values = found.document["vessels"][0]["zero_d_element_values"]
    assert found.converged
    assert values["R_poiseuille"] == pytest.approx(100, rel=1e-7)
    assert (values["C"], values["L"]) == (1e-4, 1.0)
    assert values["stenosis_coefficient"] == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("model", MODELS)
def test_calibrated_models_are_the_stored_optima(stored: Documents, model: str) -> None:
    """Numbers against the stored optimum, and the residual, which is what the optimum is about."""
    given, wanted = (
        stored[f"vmr/input/{model}_calibrate_from_0d"],
        stored[f"vmr/reference/{model}_optimal_from_0d"],
    )
    found = calibrate(given)
    assert found.converged
    again = calibrate({**wanted, **{k: given[k] for k in ("y", "dy", "calibration_parameters")}})
    assert found.residual == pytest.approx(again.residual, rel=1e-9)
    for ours, theirs in zip(found.document["vessels"], wanted["vessels"], strict=True):
        for key, value in theirs["zero_d_element_values"].items():
            assert ours["zero_d_element_values"][key] == pytest.approx(value, rel=1e-6, abs=1e-12), key
    for ours, theirs in zip(found.document["junctions"], wanted["junctions"], strict=True):
        assert ours["junction_type"] == theirs["junction_type"]
        for key, values in theirs.get("junction_values", {}).items():
            assert ours["junction_values"][key] == pytest.approx(values, rel=1e-6, abs=1e-12)
