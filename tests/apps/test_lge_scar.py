"""Scar by late enhancement as an application: its contract, its truth, and what it does not answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from carna import codes
from carna.app import run
from carna.apps.ep_twin.labels import model_of
from carna.apps.lge_scar import lge_scar
from carna.case import Case
from carna.check import check
from carna.findings import Absent, Curve, Findings, Interval, Measurement, Region, Statement
from carna.heart.scar import GREY, SCAR, Infarct
from carna.phantom import virtual_scar
from carna.phantom.heart import Heart
from carna.phantom.lge import Enhancement, Late, enhanced, late, virtual_late, whole_stack

PERSON = Heart(edv_ml=170.0, ef=0.42, rv_edv_ml=170.0)
INFARCT = Infarct(segment=7, around_mm=50.0, along_mm=40.0, transmural=0.75, rim_mm=3.0)


def _late(infarcts: tuple[Infarct, ...] = (INFARCT,)) -> Late:
    return late(PERSON, infarcts, whole_stack(PERSON, pixel_mm=1.8, thickness_mm=8.0), Enhancement(), seed=6)


@pytest.fixture(scope="module")
def made() -> Late:
    return _late()


@pytest.fixture(scope="module")
def found(made: Late) -> Findings:
    return _run(enhanced(made))


def _run(case: Case, **settings: object) -> Findings:
    return run(lge_scar, case, case.studies[0].uid, settings=settings)


def _changed(case: Case, **region: object) -> Case:
    """Return the case with its outlines changed."""
    (said,) = case.findings
    return replace(case, findings=(replace(said, items=(replace(said.items[0], **region),)),))  # type: ignore[arg-type]


@pytest.mark.slow
def test_every_promise_of_the_contract_is_kept() -> None:
    report = check(lge_scar, virtual_late())
    assert report.ok, str(report)


def test_masses_lie_within_their_intervals(made: Late, found: Findings) -> None:
    for id, truth in (
        ("scar.mass", made.core_g),
        ("scar.grey.mass", made.grey_g),
        ("scar.share", 100.0 * made.core_g / made.wall_g),
    ):
        item = found[id]
        assert isinstance(item, Measurement) and isinstance(item.uncertainty, Interval)
        assert item.uncertainty.low <= truth <= item.uncertainty.high
    share, curve = found["scar.share"], found["scar.curve"]
    assert isinstance(share, Measurement) and isinstance(curve, Curve)
    assert curve.y[np.abs(curve.x - 50.0).argmin()] == pytest.approx(share.value, abs=0.01)
    deepest = max((i for i in found.coded(codes.SCAR_DEPTH)), key=lambda i: i.value)  # type: ignore[union-attr]
    assert deepest.site == codes.AHA17[6]


def test_the_labels_keep_what_was_given_and_gain_the_scar(made: Late, found: Findings) -> None:
    region = found["scar.ventricles"]
    assert isinstance(region, Region) and region.code == codes.VENTRICLES
    given = enhanced(made).findings[0].items[0]
    assert isinstance(given, Region)
    for code in (codes.RV_CAVITY, codes.LV_CAVITY, codes.RV_MYOCARDIUM):
        (a,), (b,) = ([s.label for s in r.segments if s.code == code] for r in (region, given))
        assert np.array_equal(region.labels == a, given.labels == b)
    scar = [s.label for s in region.segments if s.code in (codes.SCAR, codes.GREY_ZONE)]
    overlap = np.isin(region.labels, scar) & (made.labels >= 5)
    assert 2.0 * overlap.sum() / (np.isin(region.labels, scar).sum() + (made.labels >= 5).sum()) > 0.8


def test_what_comes_out_is_what_the_twin_takes() -> None:
    """The fine virtual scar: labels are thrown away, found again by brightness, and made a model."""
    case = virtual_scar()
    region = _run(case, core_share=75.0)["scar.ventricles"]
    truth = case.findings[0].items[0]
    assert isinstance(region, Region) and isinstance(truth, Region)
    for code in (codes.SCAR, codes.GREY_ZONE):
        a, b = (np.isin(r.labels, [s.label for s in r.segments if s.code == code]) for r in (region, truth))
        assert 2.0 * (a & b).sum() / (a.sum() + b.sum()) > 0.95
    model = model_of(region, 2.5)
    assert (model.heart.region == SCAR).sum() > 500 and (model.heart.region == GREY).any()


def test_a_heart_without_scar_is_said_to_have_none_and_given_no_number() -> None:
    found = _run(enhanced(_late(())))
    scar = found["scar"]
    assert isinstance(scar, Statement) and scar.verdict == "not met"
    assert isinstance(found["scar.mass"], Absent) and "nothing to measure" in found["scar.mass"].why
    assert not found.coded(codes.VENTRICLES)


def test_a_wall_that_holds_blood_gets_no_number(made: Late) -> None:
    from scipy.ndimage import binary_dilation

    case = enhanced(made)
    given = case.findings[0].items[0]
    assert isinstance(given, Region)
    labels = given.labels.copy()
    labels[binary_dilation(labels == 1, np.ones((1, 3, 3)))] = 1
    found = _run(_changed(case, labels=labels))
    applies = found["applies.scar"]
    assert isinstance(applies, Statement) and applies.verdict == "not met"
    assert isinstance(found["scar.mass"], Absent) and "holds blood" in found["scar.mass"].why


def test_gaps_between_slices_leave_shares_and_no_masses(made: Late) -> None:
    case = enhanced(made)
    study = case.studies[0]
    image = study.parts[0]
    from carna.study import Planes

    planes = []
    for k in range(image.grid.shape[0]):  # type: ignore[union-attr]
        plane = image.grid.plane(k)  # type: ignore[union-attr]
        affine = plane.affine.copy()
        affine[:3, 0] *= 0.75
        planes.append(replace(plane, affine=affine))
    gapped = Planes(image.origin, tuple(planes), image.values)  # type: ignore[union-attr]
    case = replace(case, studies=(replace(study, parts=(gapped,)),))
    found = _run(_changed(case, planes=tuple(planes)))
    assert isinstance(found["scar.share"], Measurement)
    assert isinstance(found["scar.mass"], Absent) and "2.0 mm between" in found["scar.mass"].why
    assert found["applies.scar"].verdict == "not met"  # type: ignore[union-attr]


def test_outlines_that_do_not_belong_to_the_picture_are_refused(made: Late) -> None:
    case = enhanced(made)
    given = case.findings[0].items[0]
    assert isinstance(given, Region)
    beating = _changed(case, labels=given.labels[None], times_ms=np.zeros(1), frames=(0,))
    moved = []
    for plane in given.planes:
        affine = plane.affine.copy()
        affine[:3, 3] += 4.0
        moved.append(replace(plane, affine=affine))
    for wrong, words in (
        (beating, "outlines that beat"),
        (_changed(case, planes=tuple(moved)), "other planes"),
    ):
        found = _run(wrong)
        assert all(isinstance(i, Absent) for i in found.items)
        assert words in found.items[0].why  # type: ignore[union-attr]


def test_the_other_rule_is_another_number(made: Late, found: Findings) -> None:
    other = _run(enhanced(made), rule="deviations")
    assert other["scar.share"].value > found["scar.share"].value  # type: ignore[union-attr]
    curve = other["scar.curve"]
    assert isinstance(curve, Curve) and curve.x[0] == 2.0 and curve.x[-1] == 6.0
    assert (np.diff(curve.y) <= 1e-9).all()
