"""The score of the atrium's reader: its rows, and the figures that are stated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from carna.image.atrium import LeftAtrium
from carna.learn.cmr_atrium import AtriumScore, patients, rows_of, score, virtual

Data = Callable[[str], Path]


def _seen(ml: float) -> LeftAtrium:
    return LeftAtrium(np.zeros((2, 2, 2), np.uint8), ml, (ml, ml), 0.9, 0.9, 0.0)


def test_a_refusal_is_a_miss_and_gives_no_volume() -> None:
    scores = [AtriumScore("a", 0.9, 50.0, _seen(52.0)), AtriumScore("b", 0.8, 60.0, _seen(59.0)),
              AtriumScore("c", 0.0, 70.0, None)]  # fmt: skip
    rows = {r.metric: r for r in rows_of("virtual", scores)}
    assert rows["dice"].value == pytest.approx((0.9 + 0.8) / 3)
    assert rows["dice"].answered == pytest.approx(2 / 3)
    assert rows["dice_worst_decile"].value == 0.0
    assert rows["bias"].value == pytest.approx(0.5) and rows["bias"].unit == "mL"


def test_real_patients_give_ratios_alone() -> None:
    rows = rows_of("LA-LGE 2018", [AtriumScore("a", 0.9, 50.0, _seen(52.0))])
    assert {r.metric for r in rows} == {"dice", "dice_worst_decile"}
    assert all(r.split == "development" and r.truth == "H" for r in rows)


@pytest.mark.slow
def test_fresh_virtual_hearts_are_outlined() -> None:
    scores = [score(one) for one in virtual(6)]
    assert np.mean([s.dice for s in scores]) > 0.8


@pytest.mark.data
@pytest.mark.slow
def test_outlined_patients_reach_the_stated_figure(data: Data) -> None:
    scores = [score(one) for one in patients(data("la-lge-mri-2018"))]
    assert len(scores) == 5
    assert np.mean([s.dice for s in scores]) > 0.80
    assert min(s.dice for s in scores) > 0.70
