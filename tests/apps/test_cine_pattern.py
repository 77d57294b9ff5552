"""Patterns as an application: each met where the heart is so, and not assessable where it can't be said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from carna.app import run
from carna.apps.cine_pattern import cine_pattern
from carna.case import Case
from carna.findings import Absent, Findings, Measurement, Region, Statement
from carna.phantom.outlined import virtual_ventricles
from carna.study import Record

PATTERNS = ("dilated", "hypertrophic", "infarct", "right", "none")


def answer(case: Case, **settings: object) -> Findings:
    return run(cine_pattern, case, case.studies[0].uid, settings=settings)


def verdicts(found: Findings) -> dict[str, str]:
    out = {}
    for name in PATTERNS:
        item = found[f"pattern.{name}"]
        assert isinstance(item, Statement), item
        out[name] = item.verdict
    return out


def with_items(change) -> Case:
    case = virtual_ventricles()
    said = case.findings[0]
    items = tuple(change(item) for item in said.items)
    said = Findings(said.study, said.patient, items, said.manifest, synthetic=True)
    return Case(case.patient, case.studies, (said,))


def with_labels(change) -> Case:
    return with_items(
        lambda item: replace(item, labels=change(item.labels.copy())) if isinstance(item, Region) else item
    )


def test_a_healthy_virtual_heart_meets_none_of_the_four():
    found = answer(virtual_ventricles())
    assert verdicts(found) == dict.fromkeys(PATTERNS[:4], "not met") | {"none": "met"}
    none = found["pattern.none"]
    assert none.of == tuple(f"pattern.{name}" for name in PATTERNS[:4])
    ratio = found["pattern.seen.ratio"]
    assert isinstance(ratio, Measurement)
    assert ratio.value == pytest.approx(1.1, abs=0.03)  # as the patient was made
    thickest = found["pattern.seen.thickest"]
    assert isinstance(thickest, Measurement)
    assert thickest.value == pytest.approx(9.3, abs=0.8)
    dilated = found["pattern.dilated"]
    assert "mL/m2" in dilated.rule and "101" in dilated.rule  # by body surface, a woman's limit


def test_size_and_sex_unknown_leave_a_volume_to_be_judged_as_it_is():
    case = virtual_ventricles()
    study = case.studies[0]
    study = replace(study, parts=tuple(p for p in study.parts if not isinstance(p, Record)))
    found = answer(replace(case, studies=(study,)))
    rule = found["pattern.dilated"].rule
    assert "mL/m2" not in rule and "LV EDV [mL]" in rule and "175" in rule


def test_a_wall_that_meets_the_setting_is_thick():
    assert verdicts(answer(virtual_ventricles(), thick=12.0))["hypertrophic"] == "not met"

    def thicker(labels):
        from scipy.ndimage import binary_dilation

        for plane in labels.reshape(-1, *labels.shape[2:]):
            heart = plane >= 2
            plane[binary_dilation(heart, iterations=5) & ~heart] = 2  # 5 pixels of 1.4 mm
        return labels

    found = answer(with_labels(thicker))
    assert verdicts(found)["hypertrophic"] == "met"
    assert verdicts(found)["none"] == "not met"
    assert "thickest wall [mm] 1" in found["pattern.hypertrophic"].rule
    assert found["pattern.hypertrophic"].of == ("pattern.seen.thickest",)


def test_outlines_that_are_not_trusted_are_not_judged():
    case = with_items(lambda item: replace(item, value=0.4) if item.id == "ventricles.dice.lv" else item)
    found = answer(case)
    assert set(verdicts(found).values()) == {"not assessable"}
    assert "predicted Dice of the left cavity 0.40" in found["pattern.none"].rule


def test_no_right_ventricle_leaves_the_right_pattern_open():
    def left_only(labels):
        labels[labels == 1] = 0
        return labels

    found = answer(with_labels(left_only))
    said = verdicts(found)
    assert said["right"] == "not assessable" and said["none"] == "not assessable"
    assert said["dilated"] == "not met" and said["hypertrophic"] == "not met"
    assert isinstance(found["pattern.seen.ratio"], Absent)
    still = found["pattern.seen.stillest"]
    assert isinstance(still, Measurement) and still.site is None  # no segment without a septum


def test_a_stack_that_cuts_the_ventricle_has_no_volumes_but_walls():
    def cut(labels):
        keep = slice(2, 5)
        out = np.zeros_like(labels)
        out[:, keep] = labels[:, keep]
        return out

    case = with_labels(cut)

    def short(item):
        if not isinstance(item, Region):
            return item
        return replace(item, labels=item.labels[:, 2:5], planes=item.planes[2:5])

    said = case.findings[0]
    said = Findings(
        said.study, said.patient, tuple(short(i) for i in said.items), said.manifest, synthetic=True
    )
    found = answer(Case(case.patient, case.studies, (said,)))
    assert verdicts(found)["right"] == "not assessable"
    assert verdicts(found)["hypertrophic"] == "not met"


def test_nothing_to_measure_is_absent_with_its_reason():
    def no_muscle(labels):
        labels[labels == 2] = 0
        return labels

    found = answer(with_labels(no_muscle))
    assert all(isinstance(item, Absent) for item in found.items)
    assert "no slice with a closed ring of muscle" in found["pattern.dilated"].why


def test_a_heart_that_does_not_beat_has_no_still_part():
    def frozen(labels):
        labels[:] = labels[:1]
        return labels

    found = answer(with_labels(frozen))
    assert isinstance(found["pattern.seen.stillest"], Absent)
    assert verdicts(found)["infarct"] == "not assessable"
