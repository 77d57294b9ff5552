"""The isthmus on a finer grid: a channel conducts, one that the member closes does not."""

from __future__ import annotations

import numpy as np
import pytest

from carna.ep.reentry import Circuit, Protocol
from carna.errors import InputError
from carna.heart.anatomy import Anatomy
from carna.heart.ensemble import Member, Screening, screened
from carna.heart.isthmus import passage
from carna.heart.recovery import recovery
from carna.heart.scar import Infarct
from carna.heart.ventricles import Ventricles, ventricles

MIDDLE = Member()
SCAR = Infarct(segment=7, around_mm=75.0, along_mm=40.0, rim_mm=0.0, channel_mm=7.5)


@pytest.fixture(scope="module")
def heart() -> Ventricles:
    return ventricles(Anatomy(rv_wall_mm=5.0), spacing_mm=2.5, infarcts=(SCAR,))


@pytest.fixture(scope="module")
def circuit(heart: Ventricles) -> Circuit:
    protocol = Protocol(longest_ms=440.0, shortest_ms=240.0, step_ms=20.0, extras=1)
    tables = recovery("healthy"), recovery("subacute")
    tried = screened(Screening(heart, *tables, protocol, ("1 basal anterior",)), MIDDLE)
    found = [one.circuit for one in tried if one.circuit is not None]
    assert found
    return found[0]


@pytest.mark.slow
def test_the_channel_conducts_by_action_potentials_too(heart: Ventricles, circuit: Circuit) -> None:
    found = passage(heart, MIDDLE, circuit, "subacute", 0.5)
    assert found.conducts and found.nodes > 5000
    # As long as a front of the member's own velocities would take through grey zone, within a factor of two.
    assert 0.4 * circuit.cycle_ms * 0.2 < found.crossing_ms < circuit.cycle_ms


@pytest.mark.slow
def test_a_channel_that_scar_has_closed_leads_nowhere(heart: Ventricles, circuit: Circuit) -> None:
    closed = Member(border_mm=4.5)
    found = passage(heart, closed, circuit, "subacute", 0.5)
    assert found.conducts is None and "no muscle leads" in found.why


@pytest.mark.slow
def test_a_spacing_outside_its_range_is_refused(heart: Ventricles, circuit: Circuit) -> None:
    with pytest.raises(InputError, match="spacing_mm"):
        passage(heart, MIDDLE, circuit, "subacute", 2.0)


@pytest.mark.slow
def test_the_circuit_lies_in_the_channel(heart: Ventricles, circuit: Circuit) -> None:
    place = heart.axes.to_heart(heart.grid.to_world(circuit.isthmus.mean(axis=0)))
    assert abs(place[2] - 0.57 * heart.axes.to_heart(heart.points_lps)[:, 2].max()) < 15.0
    assert abs(np.degrees(np.arctan2(place[1], place[0])) + 90.0) < 15.0
