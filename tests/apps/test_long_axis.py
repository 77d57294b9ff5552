"""Long axes in applications: outlines of three planes, the left atrium's volume, longitudinal strain."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from carna import codes
from carna.app import run
from carna.apps.long_axis_segmentation import SEGMENTS, long_axis_segmentation
from carna.apps.myocardial_strain import myocardial_strain
from carna.apps.ventricular_function import ventricular_function
from carna.case import Case
from carna.findings import Absent, Curve, Evidence, Field, Findings, Interval, Measurement, Region, Statement
from carna.image.long_axis import biplane, measure
from carna.phantom import virtual_case, virtual_ventricles
from carna.phantom.chambers import WholeHeart
from carna.phantom.long_axis import TURNS_DEG, as_chambers, contour_mm, plane_points
from carna.phantom.patient import VirtualPatient
from carna.space import Grid

PHASES = np.arange(12) / 12
PIXELS, MM = 120, 1.6
VIEWS = {"4CH": codes.CHAMBERS_4CH, "2CH": codes.CHAMBERS_2CH, "3CH": codes.CHAMBERS_3CH}


@cache
def person():
    return WholeHeart(VirtualPatient().heart)


@cache
def outlined(view):
    points = plane_points(person(), TURNS_DEG[view], PIXELS, MM, shift_mm=(15.0, 8.0))
    labels = np.stack([as_chambers(person().label_at(points, phase)) for phase in PHASES])[:, None]
    row, column = points[1, 0] - points[0, 0], points[0, 1] - points[0, 0]
    affine = np.eye(4)
    affine[:3, 0] = 6.0 * np.cross(row, column) / MM**2
    affine[:3, 1], affine[:3, 2], affine[:3, 3] = row, column, points[0, 0]
    return Region(
        id=f"longaxis.{view.lower()}",
        code=VIEWS[view],
        site=codes.HEART,
        labels=labels,
        planes=(Grid((1, PIXELS, PIXELS), affine, "2.25.1"),),
        segments=SEGMENTS,
        times_ms=900.0 * PHASES,
        frames=tuple(range(len(PHASES))),
        evidence=(Evidence("2.25.2", planes=(0,)),),
    )


def with_planes(*views, change=lambda labels: labels):
    """Return the outlined patient with outlined long axes."""
    case = virtual_ventricles()
    said = case.findings[0]
    planes = tuple(replace(outlined(v), labels=change(outlined(v).labels.copy())) for v in views)
    found = Findings(said.study, said.patient, (*said.items, *planes), said.manifest, synthetic=True)
    return Case(case.patient, case.studies, (found,))


def answer(app, case):
    return {item.id: item for item in run(app, case, case.studies[0].uid).items}


def test_the_left_atrium_has_the_volume_of_its_two_planes():
    items = answer(ventricular_function, with_planes("4CH", "2CH"))
    four, two = (measure(outlined(v).labels[:, 0], (MM, MM)) for v in ("4CH", "2CH"))
    volume = biplane(four, two, (PHASES, PHASES)).atrium_ml
    assert items["la.max"].value == pytest.approx(volume.max())
    assert items["la.min"].value == pytest.approx(volume.min())
    held = items["la.max"].uncertainty
    assert isinstance(held, Interval) and held.low < volume.max() < held.high
    assert items["la.max.index"].value == pytest.approx(volume.max() / np.sqrt(165.0 * 68.0 / 3600.0))
    curve = items["la.curve"]
    assert isinstance(curve, Curve)
    # Largest at the ventricle's end-systole, which is at 0.35 of this beat.
    assert curve.x[curve.y.argmax()] == pytest.approx(0.35, abs=0.1)


@pytest.mark.parametrize(
    ("views", "why"),
    [((), "4 and 2-chamber"), (("4CH",), "of a 2-chamber"), (("2CH", "3CH"), "of a 4-chamber")],
)
def test_one_plane_holds_no_volume(views, why):
    items = answer(ventricular_function, with_planes(*views))
    assert isinstance(items["la.max"], Absent) and why in items["la.max"].why
    assert "la.max.index" not in items
    assert isinstance(items["lv.edv"], Measurement)


def test_outlines_without_atrium_hold_no_volume():
    items = answer(ventricular_function, with_planes("4CH", "2CH", change=lambda x: np.where(x == 4, 0, x)))
    assert isinstance(items["la.max"], Absent) and "no left atrium" in items["la.max"].why


def test_longitudinal_strain_is_that_of_the_virtual_muscle():
    items = answer(myocardial_strain, with_planes("4CH", "2CH", "3CH"))
    lines = [contour_mm(person(), TURNS_DEG[v], PHASES) for v in VIEWS]
    true = 100.0 * np.mean([line / line[0] - 1 for line in lines], axis=0)
    assert items["strain.ll"].value == pytest.approx(true.min(), abs=1.5)
    assert isinstance(items["strain.ll.curve"], Curve)
    assert items["strain.ll.curve"].y[0] == 0.0
    thickness = items["thickness"]
    assert isinstance(thickness, Field)
    heart = person().heart
    assert thickness.values[16] == pytest.approx(heart.span_mm - heart.length_mm, abs=2.5)


def test_without_long_axes_segment_17_and_longitudinal_strain_are_absent():
    items = answer(myocardial_strain, virtual_ventricles())
    assert isinstance(items["strain.ll"], Absent) and "long-axis" in items["strain.ll"].why
    assert np.isnan(items["thickness"].values[16])


def test_a_long_axis_without_ventricle_says_which():
    items = answer(myocardial_strain, with_planes("4CH", change=lambda x: 0 * x))
    assert isinstance(items["strain.ll"], Absent)
    assert items["strain.ll"].why.startswith("longaxis.4ch")


@pytest.fixture(scope="module")
def seen():
    return answer(long_axis_segmentation, virtual_case())


def test_all_three_planes_of_a_study_are_outlined(seen):
    for name in ("4ch", "2ch", "3ch"):
        region = seen[f"longaxis.{name}"]
        assert isinstance(region, Region)
        for segment in SEGMENTS[1:4]:  # left muscle, left ventricle, left atrium: in every plane and frame
            assert (region.labels == segment.label).any((1, 2, 3)).all()
        assert isinstance(seen[f"longaxis.{name}.trusted"], Statement)


def test_a_study_without_the_other_planes_says_so():
    case = virtual_case()
    study = case.studies[0]
    parts = tuple(p for p in study.parts if "2CH" not in p.origin.label and "3CH" not in p.origin.label)
    items = answer(long_axis_segmentation, Case(case.patient, (replace(study, parts=parts),)))
    assert isinstance(items["longaxis.2ch"], Absent) and "2-chamber" in items["longaxis.2ch"].why
    assert isinstance(items["longaxis.4ch"], Region)
