"""The net charge of a beat against an independent integration, and the rule that makes classes."""

from __future__ import annotations

import numpy as np
import pytest

from carna.ep.drugs import Drug, cipa
from carna.ep.safety import MEASURED, THRESHOLDS, counting_cell, responses, risk, thresholds_of
from carna.errors import InputError


@pytest.mark.slow
def test_net_charge_is_that_of_a_stiff_solver() -> None:
    """One beat of the undrugged cell: scipy's LSODA on the reference right-hand side."""
    from scipy.integrate import solve_ivp

    from carna.ep.cell.pace import pace

    cell = counting_cell()
    strength, duration = cell.pulse
    start = cell.initial
    for span, current in (((0.0, duration), strength), ((duration, 2000.0), 0.0)):
        found = solve_ivp(
            lambda t, y, i=current: cell.rhs(y, stimulus=i), span, start, method="LSODA", rtol=1e-7, atol=1e-9
        )
        start = found.y[:, -1]
    exact = start[cell.state_names.index("net_charge")]
    mine = pace(cell, 2000.0, 1, dt_ms=0.02, precision="float64").cells["net_charge"][0]
    assert mine == pytest.approx(exact, rel=0.005)


@pytest.mark.slow
def test_a_blocker_of_hERG_takes_charge_away_and_verapamil_does_not() -> None:
    """Ten beats: dofetilide has hardly bound; quinidine, ten times faster, has."""
    none = Drug("nothing", {}, 1.0, "low", binding=cipa()["dofetilide"].binding)
    found = {
        r.drug: r
        for r in responses([cipa()["quinidine"], cipa()["verapamil"], none], multiples=(0.0, 1.0), beats=10)
    }
    for response in found.values():
        assert response.net_charge[0] == pytest.approx(found["nothing"].net_charge[0], rel=1e-9)
    assert found["quinidine"].net_charge[1] < found["quinidine"].net_charge[0] - 0.02
    assert found["quinidine"].apd90_ms[1] > found["quinidine"].apd90_ms[0] + 100
    assert abs(found["verapamil"].net_charge[1] / found["verapamil"].net_charge[0] - 1) < 0.15


def test_thresholds_lie_halfway_between_neighbouring_classes() -> None:
    assert thresholds_of([1.0, 2.0, 4.0, 7.0], ["high", "high", "intermediate", "low"]) == (3.0, 5.5)
    with pytest.raises(InputError, match="overlap"):
        thresholds_of([1.0, 5.0, 4.0, 7.0], ["high", "high", "intermediate", "low"])


def test_a_beat_that_does_not_end_is_of_high_risk() -> None:
    assert risk(np.nan, (1.0, 2.0)) == "high"
    assert [risk(x, (1.0, 2.0)) for x in (0.5, 1.5, 2.0)] == ["high", "intermediate", "low"]


def test_the_stored_measures_are_those_of_the_published_classes() -> None:
    drugs = cipa()
    assert set(MEASURED) == set(drugs)
    assert 0 < THRESHOLDS[0] < THRESHOLDS[1]
    assert all(risk(MEASURED[d.name]) == d.risk for d in drugs.values() if d.group == "train")


def test_a_drug_without_a_concentration_is_refused() -> None:
    with pytest.raises(InputError, match="no free peak concentration of unheard"):
        responses([Drug("unheard", {})])
