"""Every limit of the patterns from both sides, and what is unknown on neither."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest

from carna.codes.cine_patterns import FEATURES, PATTERNS, judge

UNKNOWN = math.nan


@dataclass(frozen=True)
class Heart:
    """A heart far from every limit."""

    lvef: float = 0.60
    rvef: float = 0.55
    ratio: float = 1.1
    lv_edv_ml: float = 130.0
    rv_edv_ml: float = 143.0
    relative_wall: float = 0.36
    thickest_mm: float = 9.0
    stillest: float = 0.9
    stillest_thickening: float = 0.5


WEAK = Heart(lvef=0.30, rvef=0.50, lv_edv_ml=250.0, rv_edv_ml=180.0, ratio=0.72)


def verdicts(heart, **known):
    return {name: one.verdict for name, one in judge(heart, **known).items()}


def test_far_from_every_limit_none_is_met():
    said = verdicts(Heart())
    assert [name for name, verdict in said.items() if verdict == "met"] == ["none"]


@pytest.mark.parametrize(
    ("pattern", "heart", "met"),
    [
        ("dilated", WEAK, True),
        ("dilated", replace(WEAK, lvef=0.499), True),
        ("dilated", replace(WEAK, lvef=0.50), False),
        ("dilated", replace(WEAK, lv_edv_ml=175.0), False),  # not even a woman's is wide
        ("dilated", replace(WEAK, stillest=0.2, stillest_thickening=0.05), False),  # regional
        ("infarct", replace(WEAK, stillest=0.2, stillest_thickening=0.05), True),
        ("infarct", replace(WEAK, stillest=0.2, stillest_thickening=0.30), False),
        ("infarct", replace(WEAK, stillest=0.56, stillest_thickening=0.05), False),
        ("infarct", replace(Heart(), stillest=0.2, stillest_thickening=0.05), False),  # LVEF 60 %
        ("hypertrophic", replace(Heart(), thickest_mm=15.0), True),
        ("hypertrophic", replace(Heart(), thickest_mm=14.9), False),
        ("hypertrophic", replace(Heart(), thickest_mm=UNKNOWN, relative_wall=0.43), True),
        ("hypertrophic", replace(Heart(), thickest_mm=UNKNOWN, relative_wall=0.42), False),
        ("right", replace(Heart(), ratio=1.27), True),
        ("right", replace(Heart(), ratio=1.26), False),
        ("right", replace(Heart(), rv_edv_ml=261.0), True),
        ("right", replace(Heart(), rvef=0.39), True),
        ("right", replace(Heart(), rvef=0.40), False),
        ("right", replace(Heart(), rvef=0.30, lvef=0.45), False),  # it falls with the left one's
    ],
)
def test_each_limit_from_both_sides(pattern, heart, met):
    said = verdicts(heart)
    assert said[pattern] == ("met" if met else "not met")
    if met:
        assert said["none"] == "not met"


@pytest.mark.parametrize(
    ("known", "edv_ml", "met"),
    [
        ({"sex": "female"}, 176.0, True),
        ({"sex": "male"}, 176.0, False),
        ({"sex": "male"}, 233.0, True),
        ({"sex": "male", "surface_m2": 2.0}, 233.0, False),
        ({"sex": "male", "surface_m2": 2.0}, 235.0, True),
        ({"sex": "female", "surface_m2": 1.7}, 172.0, True),
        ({"surface_m2": 1.7}, 171.0, False),  # no sex: below a woman's limit
        ({}, 233.0, True),  # no sex: above a man's
    ],
)
def test_a_volume_has_the_limit_of_its_sex_and_surface(known, edv_ml, met):
    said = verdicts(replace(WEAK, lv_edv_ml=edv_ml, relative_wall=UNKNOWN), **known)
    assert said["dilated"] == ("met" if met else "not met")


def test_between_the_limits_of_men_and_women_the_shape_of_the_wall_decides():
    between = replace(WEAK, lv_edv_ml=200.0)
    assert verdicts(replace(between, relative_wall=0.31))["dilated"] == "met"
    assert verdicts(replace(between, relative_wall=0.33))["dilated"] == "not met"
    assert verdicts(replace(between, relative_wall=UNKNOWN))["dilated"] == "not assessable"


def test_unknown_is_neither_met_nor_not_met():
    blind = Heart(*[UNKNOWN] * 9)
    assert set(verdicts(blind).values()) == {"not assessable"}
    # One criterion that fails is enough to say no, one that holds is not enough to say yes.
    assert verdicts(replace(blind, lvef=0.6))["dilated"] == "not met"
    assert verdicts(replace(blind, lvef=0.3))["dilated"] == "not assessable"
    assert verdicts(replace(blind, ratio=1.5))["right"] == "met"
    assert verdicts(replace(blind, ratio=1.1))["right"] == "not assessable"


def test_thickness_has_the_limit_it_is_given():
    heart = replace(Heart(), thickest_mm=13.5)
    assert verdicts(heart)["hypertrophic"] == "not met"
    assert verdicts(heart, thick_mm=13.0)["hypertrophic"] == "met"


def test_what_decided_is_named_with_its_number_and_its_limit():
    dilated = judge(replace(WEAK, lvef=0.31), sex="male")["dilated"]
    assert [c.words for c in dilated.deciding][:2] == [
        "LV EDV [mL] 250, above 232 needed",
        "LVEF 31 %, below 50 % needed",
    ]
    no = judge(replace(WEAK, lvef=0.61), sex="male")["dilated"]
    assert [c.feature for c in no.deciding] == ["lvef"]


def test_codes_are_our_own_and_of_one_name_each():
    rows = (*PATTERNS.values(), *FEATURES.values())
    assert len({c.value for c in rows}) == len(rows)
    assert all(c.scheme == "99CARNA" and len(c.value) <= 16 for c in rows)
    assert all(len(c.meaning) <= 64 for c in rows)
