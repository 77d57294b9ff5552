"""Laws of one lesion, and a measured law put into a tree."""

import numpy as np
import pytest

from carna.errors import InputError
from carna.flow.blood import MMHG, Blood
from carna.flow.boundary import Boundary, Outlet
from carna.flow.lesion import Loss, profile, put, young_tsai
from carna.flow.network import network
from carna.flow.steady import losses, steady
from carna.space import VesselTree

BLOOD = Blood()


def fork():
    """Return a Y of three straight vessels, 40 mm each, and the point numbers of its stem."""
    stem = np.stack([np.arange(41.0), 0 * np.arange(41.0), 0 * np.arange(41.0)], 1)
    arms = [np.stack([40 + np.arange(1, 41.0), s * np.arange(1, 41.0), np.zeros(40)], 1) for s in (1, -1)]
    edges = [(n, n + 1) for n in range(40)]
    for arm in (41, 81):
        edges += [(40, arm), *((arm + n, arm + n + 1) for n in range(39))]
    radius = np.full(121, 1.5)
    radius[41:] = 1.2
    radius[15:26] = 0.9
    return network(VesselTree(np.concatenate([stem, *arms]), np.array(edges), radius), inlet=0)


def test_profile_of_a_straight_vessel_is_poiseuille():
    law = profile([0, 30], [1.5, 1.5], BLOOD)
    assert law.linear == pytest.approx(8 * 4e-3 * 0.03 / (np.pi * 1.5e-3**4) * 1e-6 / MMHG)
    assert law.quadratic == 0


def test_young_tsai_jet_is_that_of_a_profile():
    sharp = profile([0, 10, 10.001, 20, 20.001, 40], [1.5, 1.5, 0.75, 0.75, 1.5, 1.5], BLOOD)
    assert young_tsai(1.5, 0.75, 10.0, BLOOD).quadratic == pytest.approx(sharp.quadratic)


def test_a_law_put_into_a_tree_is_what_it_loses():
    vessels = fork()
    boundary = Boundary(pressure_mmHg=93.0, outlets={int(n): Outlet(40.0) for n in vessels.outlets})
    lost = losses(vessels, BLOOD)
    same = put(
        lost, vessels, 10, 35, Loss(lost.friction[35] - lost.friction[10], lost.jet[35] - lost.jet[10])
    )
    assert same.friction == pytest.approx(lost.friction)
    assert same.jet == pytest.approx(lost.jet)
    law = Loss(3.0, 2.0)
    found = steady(vessels, boundary, BLOOD, lost=put(lost, vessels, 10, 35, law))
    q = found.flow_ml_s[0]
    assert found.pressure_mmHg[10] - found.pressure_mmHg[35] == pytest.approx(law.drop_mmHg(q))
    without = steady(vessels, boundary, BLOOD)
    assert (np.diff(found.pressure_mmHg[:41]) <= 1e-12).all()
    # Beyond it the vessels lose what they lost before, at their new flow.
    arm = losses(vessels, BLOOD).friction[80] * found.flow_ml_s[1]
    assert found.pressure_mmHg[40] - found.pressure_mmHg[80] == pytest.approx(arm)
    assert found.flow_ml_s[0] < without.flow_ml_s[0]


def test_a_law_across_a_branch_is_refused():
    vessels = fork()
    with pytest.raises(InputError, match="one segment"):
        put(losses(vessels, BLOOD), vessels, 10, 60, Loss(1.0, 1.0))
    with pytest.raises(InputError, match="upstream"):
        put(losses(vessels, BLOOD), vessels, 35, 10, Loss(1.0, 1.0))
