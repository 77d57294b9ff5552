"""End-diastole and end-systole as frames of a beat, which is a circle."""

from __future__ import annotations

from dataclasses import replace

import pytest

from carna.app import applications, run
from carna.apps import heart_locate
from carna.findings import Interval, Unknown
from carna.phantom import virtual_case


@pytest.mark.parametrize(
    ("at", "spread", "said"),
    [
        (10, 1.0, Interval(10.0, 12.0)),
        (24, 0.0, Interval(25.0, 25.0)),
        (24, 1.0, "frames 24, 25, 1 look alike within the stated spread"),
        (0, 2.0, "frames 24, 25, 1, 2, 3 look alike within the stated spread"),
    ],
)
def test_an_interval_does_not_end_where_the_beat_goes_round(monkeypatch, at, spread, said):
    locate = heart_locate.locate_heart

    def elsewhere(*given, **named):
        return replace(locate(*given, **named), ed=at, ed_spread=spread)

    monkeypatch.setattr(heart_locate, "locate_heart", elsewhere)
    case = virtual_case()
    found = run(applications()["heart_locate"], case, case.studies[0].uid)["heart.ed"]
    assert found.value == at + 1
    if isinstance(said, str):
        assert isinstance(found.uncertainty, Unknown) and found.uncertainty.why.startswith(said)
    else:
        assert found.uncertainty == said
