"""The kept tables of recovery are what the engine measures."""

from __future__ import annotations

import numpy as np
import pytest

from carna.heart.recovery import TISSUES, Tissue, measured, recovery


@pytest.mark.parametrize("tissue", TISSUES)
def test_a_kept_table_recovers_longer_and_conducts_faster_after_more_rest(tissue: Tissue) -> None:
    table = recovery(tissue)
    assert len(table.rest_ms) > 10 and table.rest_ms[0] == 0.0
    assert 200.0 < table.apd_ms[0] < table.apd_ms[-1] < 450.0
    assert (np.diff(table.speed) > -0.01).all() and table.speed[-1] == 1.0


def test_subacute_border_zone_recovers_later_than_healthy_muscle() -> None:
    assert recovery("subacute").apd_ms.max() > recovery("healthy").apd_ms.max() + 20.0


@pytest.mark.slow
@pytest.mark.parametrize("tissue", TISSUES)
def test_the_engine_measures_the_kept_table_again(tissue: Tissue) -> None:
    kept, now = recovery(tissue), measured(tissue)
    rest = np.linspace(0.0, 240.0, 25)
    for column, within in (("apd_ms", 3.0), ("speed", 0.02)):
        a, b = (np.interp(rest, t.rest_ms, getattr(t, column)) for t in (kept, now))
        assert np.abs(a - b).max() < within
