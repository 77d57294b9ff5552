"""What LesionNet reads, how it answers, and what it refuses."""

import numpy as np
import pytest

from carna.errors import InputError
from carna.flow.blood import MMHG, Blood
from carna.flow.lattice.lesion import Vessel
from carna.flow.lesion import profile
from carna.flow.lesion_net import (
    FEATURES,
    LesionNet,
    card,
    features,
    lesion_net,
    reversible_mmHg,
    stretch,
)
from carna.flow.network import network
from carna.space import VesselTree

BLOOD = Blood()


def narrowed(radius=1.5, depth=0.5, length=10.0, behind=None, aside=0.0, bend=0.0, size=1.0):
    """Return half a cosine's narrowing with a radius of vessel before it and 10 mm behind."""
    z = np.linspace(0, radius + length + 10, 400)
    t = np.clip((z - radius) / length, 0, 1)
    healthy = radius + ((behind or radius) - radius) * t
    lumen = healthy * (1 - depth * np.sin(np.pi * t) ** 2)
    course = bend * np.clip(z / z[-1], 0, 1)
    return Vessel(size * z, size * lumen, size * aside * (healthy - lumen), size * course)


def value(name, vessel, flow=1.5):
    return features(vessel, flow, BLOOD)[FEATURES.index(name)]


def test_features_have_no_units():
    """Twice as large at twice the flow is the same Reynolds number, so the same flow but for its scale."""
    one = features(narrowed(aside=0.5, bend=2.0), 1.5, BLOOD)
    assert features(narrowed(aside=0.5, bend=2.0, size=2.0), 3.0, BLOOD) == pytest.approx(one, rel=1e-9)
    thicker = Blood(1060.0, 6.0)
    assert features(narrowed(aside=0.5, bend=2.0), 2.25, thicker) == pytest.approx(one, rel=1e-9)


def test_features_by_hand():
    vessel = narrowed(depth=0.4, aside=0.6)
    speed = 1.5e-6 / (np.pi * 0.9e-3**2)
    assert np.exp(value("log of the throat's Reynolds number", vessel)) == pytest.approx(
        1060 * speed * 1.8e-3 / 4e-3, rel=1e-3
    )
    assert np.exp(value("log of the throat's radius over the healthy one", vessel)) == pytest.approx(
        0.6, rel=1e-3
    )
    # Beside the line between the places that have a quarter of the narrowing, and of its shift.
    assert value("eccentricity", vessel) == pytest.approx(0.75 * 0.6, abs=0.01)
    # sin^2 goes from a quarter of its height to three quarters over a sixth of pi.
    assert value("steepness before the throat", vessel) == pytest.approx(0.5 * 0.6 / (10 / 6), rel=0.05)
    assert value("steepness behind the throat", vessel) == pytest.approx(0.5 * 0.6 / (10 / 6), rel=0.05)
    assert value("bend", vessel) == pytest.approx(0, abs=1e-9)


def test_the_side_of_the_lumen_counts_in_a_bend_only_as_inner_or_outer():
    left, right = narrowed(aside=0.5, bend=2), narrowed(aside=-0.5, bend=-2)
    assert features(left, 1.5, BLOOD) == pytest.approx(features(right, 1.5, BLOOD))
    name = "eccentricity to the outer side of the bend"
    assert value(name, left) == pytest.approx(-value(name, narrowed(aside=-0.5, bend=2)), rel=0.2)


def test_a_narrower_vessel_behind_holds_kinetic_energy():
    found = reversible_mmHg(narrowed(radius=1.5, behind=1.2), 1.5, BLOOD)
    before, behind = (1.5e-6 / (np.pi * r**2) for r in (1.5e-3, 1.2e-3))
    assert found == pytest.approx(2 * 0.5 * 1060 * (behind**2 - before**2) / MMHG)
    assert reversible_mmHg(narrowed(), 1.5, BLOOD) == 0


def net(x, y, noise=0.02):
    ends = np.full(x.shape[1], np.inf)
    return LesionNet(x, y, np.array([0.3, 0.1, 0.2, noise]), np.array(2.0), -ends, ends)


def test_the_process_is_the_conditional_of_a_joint_gaussian():
    random = np.random.default_rng(3)
    x, y, to = random.normal(size=(30, 11)), random.normal(0, 0.1, 30), random.normal(size=(5, 11))
    found = net(x, y)
    every = (np.concatenate([x, to]) - x.mean(0)) / x.std(0)
    joint = np.empty((35, 35))
    for i, a in enumerate(every):
        for j, b in enumerate(every):
            near = np.exp(-0.5 * sum((a[k] - b[k]) ** 2 / 2.0**2 for k in range(11)))
            joint[i, j] = 0.09 + 0.01 * sum(a * b) + 0.04 * near + 0.0004 * (i == j)
    known = np.linalg.inv(joint[:30, :30])
    mean, sd = found.predict(to)
    assert mean == pytest.approx(joint[30:, :30] @ known @ y)
    spread = joint[30:, 30:] - joint[30:, :30] @ known @ joint[:30, 30:]
    assert sd == pytest.approx(np.sqrt(np.diag(spread)))


def test_the_law_has_the_predicted_loss_at_the_flow_and_no_negative_part():
    for depth in (0.4, 0.6):
        for flow in (0.8, 1.3):
            vessel = narrowed(depth=depth)
            found = lesion_net()(vessel, flow)
            usual = profile(vessel.along_mm, vessel.radius_mm).drop_mmHg(flow)
            assert found.law.drop_mmHg(flow) == pytest.approx(found.ratio * usual)
            assert min(found.law.linear, found.law.quadratic) >= 0
            assert 0.005 < found.sd < 0.3


def test_what_was_not_taught_is_refused():
    ask = lesion_net()
    with pytest.raises(InputError, match=r"Reynolds.*lessons of LesionNet"):
        ask(narrowed(), 12.0)
    with pytest.raises(InputError, match="throat's radius over the healthy"):
        ask(narrowed(depth=0.85), 0.3)
    with pytest.raises(InputError, match="a narrowing of 0 %"):
        ask(narrowed(depth=0.0), 1.0)
    with pytest.raises(InputError, match="a positive flow"):
        ask(narrowed(), 0.0)
    with pytest.raises(InputError, match="room behind"):
        vessel = narrowed()
        cut = vessel.z_mm < 11.5
        ask(
            Vessel(*(v[cut] for v in (vessel.z_mm, vessel.radius_mm, vessel.shift_mm, vessel.course_mm))), 1.5
        )


def test_a_stretch_of_a_tree_is_its_lumen():
    s = np.linspace(0, 30, 61)
    # In a slanted plane, so that no axis is favoured.
    points = np.stack([s, 0.3 * s, 2 * np.sin(s / 12)], 1)
    radius = 1.5 - 0.6 * np.exp(-(((s - 15) / 3) ** 2))
    vessels = network(VesselTree(points, np.stack([np.arange(60), np.arange(1, 61)], 1), radius))
    found = stretch(vessels, 10, 50)
    length = np.linalg.norm(np.diff(points[10:51], axis=0), axis=1).sum()
    assert found.along_mm[-1] == pytest.approx(length, rel=2e-3)
    assert found.radius_mm == pytest.approx(radius[10:51])
    with pytest.raises(InputError, match="two points of one segment"):
        stretch(vessels, 50, 10)


def test_the_card_says_what_it_must():
    assert card()["reads"] == list(FEATURES)
    assert "patients" in card()["never_taught_with"]
    assert "branches" in card()["never_taught_with"]
