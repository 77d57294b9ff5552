"""Lose nothing, shown in small: the suite `node-faults` kills two hundred times, here it is three."""

import pytest


@pytest.mark.slow
@pytest.mark.peer
# pynetdicom leaves its socket open where nobody listens: as it is while the station is dead.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nothing_acknowledged_is_lost_and_nothing_is_reported_twice(library):
    library("pynetdicom")
    from carna.bench.node_faults import shaken

    rows = shaken(3, seed=2)
    assert {row.case: row.ours for row in rows} == {
        "acknowledged and lost or damaged": 0,
        "acknowledged and not reported": 0,
        "reported twice": 0,
        "audit trail broken": 0,
        "damaged files": 0,
    }
