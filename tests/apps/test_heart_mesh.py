"""The beating mesh as an application: its contract, its numbers, and what it says of poor stacks."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from carna import codes
from carna.app import run
from carna.apps.heart_mesh import heart_mesh
from carna.case import Case
from carna.check import check
from carna.findings import Absent, Evidence, Field, Findings, Interval, Manifest, Region, Segment, Shape
from carna.learn.shape_atlas import stack_of
from carna.phantom.heart import Heart
from carna.space import Grid
from carna.study import Cine, Lazy, Origin, Patient, Study

HEART = Heart(edv_ml=150.0, ef=0.55, septal_mm=1.0)
TIMES = np.arange(10) * 90.0


@cache
def case(**change):
    """A virtual patient with a cine and with exact outlines that arrived as a finding."""
    labels, planes, _ = stack_of(HEART, TIMES / 900.0, np.random.default_rng(4), pixel_mm=2.0)
    planes = tuple(Grid(p.shape, p.affine, "1.2.3.9") for p in planes)
    if change.get("slices"):
        labels, planes = labels[:, : change["slices"]], planes[: change["slices"]]
    if change.get("still"):
        labels = labels[0]
    who = Patient("PHANTOM-MESH", "CARNA", "CARNA^PHANTOM", "1950-01-01", "male", synthetic=True)
    origin = Origin("1.2.3.1", "MR", "cine SAX", 1, "2000-01-01T12:00:00", "Carna phantom", "phantom")
    cine = Cine(
        origin,
        planes,
        Lazy.of(np.zeros((len(TIMES), len(planes), *planes[0].shape[1:]), np.uint16)),
        np.repeat(TIMES[:, None], len(planes), 1),
        np.full(len(planes), 900.0),
    )
    region = Region(
        id="ventricles",
        code=codes.BEATING_VENTRICLES,
        site=codes.HEART,
        labels=labels,
        planes=planes,
        segments=(
            Segment(1, codes.RV_CAVITY),
            Segment(2, codes.LV_MYOCARDIUM),
            Segment(3, codes.LV_CAVITY),
        ),
        times_ms=None if change.get("still") else TIMES,
        frames=() if change.get("still") else tuple(range(len(TIMES))),
        evidence=(Evidence(origin.uid, planes=tuple(range(len(planes)))),),
    )
    study = Study("1.2.3", who, "2000-01-01T12:00:00", "Virtual heart", "V1", (cine,))
    said = Findings(
        study=study.uid,
        patient=who.id,
        items=(region,),
        manifest=Manifest("phantom", "1.0"),
        synthetic=True,
    )
    return Case(who, (study,), (said,))


@cache
def found():
    return run(heart_mesh, case(), "1.2.3")


@pytest.mark.slow
def test_the_contract_is_kept():
    report = check(heart_mesh, case())
    assert report.ok, str(report)


def test_volumes_hold_the_truth_in_their_intervals():
    truth = {"lv.mesh.edv": HEART.lv_ml(0.0), "rv.mesh.edv": HEART.rv_ml(0.0)}
    late = TIMES / 900.0
    truth |= {"lv.mesh.esv": HEART.lv_ml(late).min(), "rv.mesh.esv": HEART.rv_ml(late).min()}
    truth["lv.mesh.wall"] = HEART.mass_g / 1.05
    for id, ml in truth.items():
        item = found()[id]
        assert isinstance(item.uncertainty, Interval)
        assert item.uncertainty.low < float(ml) < item.uncertainty.high
        assert item.uncertainty.high - item.uncertainty.low < 0.5 * item.value
    np.testing.assert_allclose(found()["lv.mesh.curve"].y, HEART.lv_ml(late), rtol=0.08)


def test_the_surface_beats_as_its_fields_say():
    surface, back = found()["lv.endo"], found()["lv.endo.back"]
    assert isinstance(surface, Shape) and isinstance(back, Field)
    moves = np.stack([found()[f"lv.endo.{way}"].values for way in ("left", "back", "head")], -1)
    volumes = [replace(surface.shape, points=surface.shape.points + m).volume_ml for m in moves]
    np.testing.assert_allclose(volumes, found()["lv.mesh.curve"].y, rtol=1e-6)
    assert np.abs(moves[int(np.argmax(volumes))]).max() == 0.0


def test_it_says_how_unusual_a_heart_is():
    assert 0.0 < found()["shape.ed"].value < 10.0
    assert 0.0 <= found()["shape.ed.beyond"].value <= 1.0
    assert found()["shape.repaired"].verdict == "not met"
    off = run(heart_mesh, case(), "1.2.3", settings={"repair": False})
    assert off["shape.repaired"].verdict == "not assessable"


def test_a_poor_stack_is_absent_with_its_reason():
    poor = run(heart_mesh, case(slices=4), "1.2.3")
    assert all(isinstance(i, Absent) for i in poor.items)
    assert "slices" in poor["lv.endo"].why
    assert {i.code for i in poor.items} == set(heart_mesh.gives)


def test_one_phase_has_no_beat():
    still = run(heart_mesh, case(still=True), "1.2.3")
    assert isinstance(still["lv.endo"], Shape)
    assert isinstance(still["lv.mesh.esv"], Absent) and isinstance(still["lv.mesh.curve"], Absent)
    assert still["lv.thickness"].values.ndim == 1


@pytest.mark.slow
def test_a_whole_cine_takes_two_seconds_at_most():
    import time

    from carna.heart.beating import beating_heart

    labels, planes, _ = stack_of(HEART, np.arange(25) / 25, np.random.default_rng(6), pixel_mm=1.0)
    beating_heart(labels[:2], planes)
    begun = time.process_time()
    beating_heart(labels, planes).shape.thickness_mm()
    assert time.process_time() - begun < 2.0
