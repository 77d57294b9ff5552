"""Four chambers as an application: its contract, its truth, and what it says of volumes that mislead."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from carna import codes
from carna.app import run
from carna.apps.heart_chambers import heart_chambers
from carna.case import Case
from carna.findings import Absent, Findings, Interval, Measurement, Region, Statement
from carna.phantom.chambers import WholeHeart
from carna.phantom.ct import virtual_ct
from carna.phantom.heart import Heart
from carna.phantom.labels import LEFT_ATRIUM, LV, MYOCARDIUM, RIGHT_ATRIUM, RV
from carna.space import Grid
from carna.study import Image, Lazy

PHASE = 0.75


def _run(case: Case) -> Findings:
    return run(heart_chambers, case, case.studies[0].uid)


@cache
def said() -> Findings:
    return _run(virtual_ct())


def _with(case: Case, values=None, grid=None, **origin) -> Case:
    """Return the case with its picture changed."""
    (study,) = case.studies
    (image,) = study.parts
    assert isinstance(image, Image)
    other = replace(
        image,
        origin=replace(image.origin, **origin),
        values=image.values if values is None else Lazy.of(values),
        grid=grid or image.grid,
    )
    return replace(case, studies=(replace(study, parts=(other,)),))


def test_volumes_lie_within_their_intervals() -> None:
    person = WholeHeart(Heart())
    for id, label in (
        ("lv", LV), ("rv", RV), ("la", LEFT_ATRIUM), ("ra", RIGHT_ATRIUM), ("wall", MYOCARDIUM),
    ):  # fmt: skip
        item = said()[f"chambers.{id}"]
        assert isinstance(item, Measurement) and isinstance(item.uncertainty, Interval)
        truth = person.ml(label, PHASE)
        if label == LV:
            truth = float(person.heart.lv_ml(PHASE))  # its papillary muscles count as cavity
        assert item.uncertainty.low <= truth <= item.uncertainty.high, id


def test_labels_name_chambers_and_vessels() -> None:
    region = said()["chambers"]
    assert isinstance(region, Region) and region.code == codes.FOUR_CHAMBERS
    assert {s.code for s in region.segments} >= {codes.LV_CAVITY, codes.LEFT_ATRIUM, codes.AORTA}
    for id in ("chambers.whole", "chambers.trusted", "chambers.modality"):
        item = said()[id]
        assert isinstance(item, Statement) and item.verdict == "met", item.rule


def test_the_moment_of_the_beat_is_told_only_where_the_header_tells_it() -> None:
    phase = said()["chambers.phase"]
    assert isinstance(phase, Statement) and phase.verdict == "met" and "75 %" in phase.rule
    free = _run(_with(virtual_ct(), label="CT thorax"))["chambers.phase"]
    assert isinstance(free, Statement) and free.verdict == "not assessable"


def test_a_ct_given_as_mr_is_flagged() -> None:
    found = _run(_with(virtual_ct(), modality="MR"))
    agrees = found["chambers.modality"]
    assert isinstance(agrees, Statement) and agrees.verdict == "not met"
    assert "says MR" in agrees.rule and "look like CT" in agrees.rule


def test_another_modality_gets_nothing() -> None:
    found = _run(_with(virtual_ct(), modality="PT"))
    assert all(isinstance(i, Absent) and "PT" in i.why for i in found.items)
    assert {i.code for i in found.items} == set(heart_chambers.gives)


def test_a_cropped_heart_keeps_its_volumes_to_itself() -> None:
    (image,) = virtual_ct().studies[0].parts
    assert isinstance(image, Image)
    values, grid = image.values.array, image.grid
    affine = np.array(grid.affine)
    affine[:3, 3] += affine[:3, 0] * 18
    cropped = Grid((values.shape[0] - 18, *values.shape[1:]), affine, grid.frame)
    found = _run(_with(virtual_ct(), values[18:], cropped))
    whole = found["chambers.whole"]
    assert isinstance(whole, Statement) and whole.verdict == "not met" and "cut" in whole.rule
    gone = [i for i in found.items if isinstance(i, Absent)]
    assert gone and all("cut by the edge" in i.why for i in gone)


def test_a_volume_without_a_heart_gets_nothing() -> None:
    (image,) = virtual_ct().studies[0].parts
    assert isinstance(image, Image)
    values = np.random.default_rng(0).normal(40.0, 20.0, image.values.shape).astype(np.float32)
    found = _run(_with(virtual_ct(), values))
    assert isinstance(found["chambers"], Absent) and "heart" in found["chambers"].why
