"""Calibration on waves made from known numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from carna.errors import InputError
from carna.flow.zerod import calibrate

TRUE = {"R_poiseuille": 120.0, "C": 3e-4, "L": 6.0, "stenosis_coefficient": 15.0}


def observed(guess: dict[str, float] | None = None, noise: float = 0.0, **settings: object) -> dict[str, Any]:
    """One vessel under q_in = 3 + sin, p_in = 1000 + 200 cos: the rest by its equations, exactly."""
    w, t = 2 * np.pi, np.linspace(0, 1, 100)
    r, c, inertia, s = TRUE.values()
    q, dq, ddq = 3 + np.sin(w * t), w * np.cos(w * t), -(w**2) * np.sin(w * t)
    p, dp, ddp = 1000 + 200 * np.cos(2 * w * t), -400 * w * np.sin(2 * w * t), -800 * w**2 * np.cos(2 * w * t)
    out = q - c * dp + c * (r + 2 * s * q) * dq
    dout = dq - c * ddp + c * (r + 2 * s * q) * ddq + 2 * c * s * dq**2
    p_out = p - (r + s * q) * q - inertia * dout
    p_out = p_out + noise * np.random.default_rng(0).normal(size=100)
    zeros = [0.0] * 100
    return {
        "boundary_conditions": [
            {"bc_name": "in", "bc_type": "FLOW", "bc_values": {"Q": 3.0}},
            {"bc_name": "out", "bc_type": "RESISTANCE", "bc_values": {"R": 100.0, "Pd": 0.0}},
        ],
        "vessels": [
            {
                "vessel_id": 0,
                "vessel_name": "v",
                "boundary_conditions": {"inlet": "in", "outlet": "out"},
                "zero_d_element_type": "BloodVessel",
                "zero_d_element_values": guess or dict.fromkeys(TRUE, 0.0),
            }
        ],
        "y": {
            "flow:in:v": q.tolist(),
            "pressure:in:v": p.tolist(),
            "flow:v:out": out.tolist(),
            "pressure:v:out": p_out.tolist(),
        },
        "dy": {
            "flow:in:v": dq.tolist(),
            "pressure:in:v": dp.tolist(),
            "flow:v:out": dout.tolist(),
            "pressure:v:out": zeros,
        },
        "calibration_parameters": {"tolerance_gradient": 1e-5, "tolerance_increment": 1e-9, **settings},
    }


def numbers(found: dict[str, Any]) -> dict[str, float]:
    return dict(found["vessels"][0]["zero_d_element_values"])


def test_numbers_come_back() -> None:
    found = calibrate(observed())
    assert found.converged
    assert numbers(found.document) == pytest.approx(TRUE, rel=1e-6)
    assert found.residual < 1e-6
    assert "y" not in found.document


def test_noise_moves_them_a_little() -> None:
    found = calibrate(observed(noise=2.0))
    assert numbers(found.document)["R_poiseuille"] == pytest.approx(TRUE["R_poiseuille"], rel=0.05)
    assert found.residual == pytest.approx(2.0 / np.sqrt(2), rel=0.2)


def test_what_is_held_is_held() -> None:
    guess = {**TRUE, "stenosis_coefficient": 5.0}
    kept = numbers(calibrate(observed(guess, calibrate_stenosis_coefficient=False)).document)
    assert kept["stenosis_coefficient"] == 5.0
    assert kept["R_poiseuille"] > TRUE["R_poiseuille"] + 20
    assert numbers(calibrate(observed(set_capacitance_to_zero=True)).document)["C"] == 0.0


def test_too_few_steps_are_no_fit() -> None:
    assert not calibrate(observed(maximum_iterations=2)).converged


def test_missing_observations_are_named() -> None:
    document = observed()
    del document["y"]["pressure:v:out"]
    with pytest.raises(InputError, match="no y of pressure:v:out"):
        calibrate(document)
    document = observed()
    document["y"]["pressure:v:out"] = [1.0]
    with pytest.raises(InputError, match="different lengths"):
        calibrate(document)
