"""Strain as an application: on a virtual patient whose motion is known, and on cases it must refuse."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from carna import codes
from carna.app import run
from carna.apps.myocardial_strain import myocardial_strain
from carna.case import Case
from carna.findings import (
    Absent,
    Curve,
    Evidence,
    Field,
    Findings,
    Interval,
    Manifest,
    Measurement,
    Region,
    Segment,
    Unknown,
)
from carna.heart.short_axis import short_axis
from carna.image.motion import MID, Strain, strain, track
from carna.phantom import VirtualPatient, make, study_of
from carna.phantom.in_plane import in_plane
from carna.study import Cine

SEGMENTS = (Segment(1, codes.RV_CAVITY), Segment(2, codes.LV_MYOCARDIUM), Segment(3, codes.LV_CAVITY))


@cache
def outlined() -> Case:
    """A healthy virtual patient and the exact labels of the short-axis cine as earlier findings."""
    made = make(VirtualPatient(), frames=16, pixels=112, long_axes=False)
    study = study_of(made)
    cine = next(p for p in study.parts if isinstance(p, Cine))
    labels = np.where(made.sax.labels == 4, 3, np.where(made.sax.labels > 3, 0, made.sax.labels))
    return Case(study.patient, (study,), (said(cine, study.uid, study.patient.id, labels),))


@cache
def true_strain() -> Strain:
    """The strain of the same points if they moved as the phantom does, in the plane of the slices."""
    made = make(VirtualPatient(), frames=16, pixels=112, long_axes=False)
    region = outlined().findings[0].items[0]
    assert isinstance(region, Region)
    spacing = (10.0, 1.4, 1.4)
    motion = track(made.sax.cine, region.labels, spacing)
    points = np.full_like(motion.points_mm, np.nan)
    for k in np.flatnonzero(motion.followed):
        points[:, k] = in_plane(
            made.patient.heart, made.sax.plane, int(k), motion.points_mm[0, k], np.arange(16) / 16
        )
    segments = short_axis(region.labels[0], spacing).segments(motion.angles)
    return strain(replace(motion, points_mm=points), segments, made.sax.trigger_ms)


def said(cine: Cine, study: str, patient: str, labels: np.ndarray) -> Findings:
    region = Region(
        id="ventricles",
        code=codes.BEATING_VENTRICLES,
        site=codes.HEART,
        labels=labels.astype(np.uint8),
        planes=cine.planes,
        segments=SEGMENTS,
        times_ms=np.median(cine.times_ms, axis=1),
        frames=tuple(range(len(labels))),
        evidence=(Evidence(cine.origin.uid),),
    )
    return Findings(study, patient, (region,), Manifest("phantom", "1.0"), synthetic=True)


def with_labels(change) -> Case:
    case = outlined()
    study = case.studies[0]
    cine = next(p for p in study.parts if isinstance(p, Cine))
    before = case.findings[0].items[0]
    assert isinstance(before, Region)
    return replace(case, findings=(said(cine, study.uid, study.patient.id, change(before.labels.copy())),))


def answer(case: Case, **settings: object) -> Findings:
    return run(myocardial_strain, case, case.studies[0].uid, settings=settings)


@pytest.fixture(scope="module")
def found() -> Findings:
    return answer(outlined())


def number(found: Findings, id: str) -> Measurement:
    item = found[id]
    assert isinstance(item, Measurement), item
    return item


def test_peaks_are_those_of_the_true_motion_in_the_plane(found):
    truth = true_strain()
    cc, rr = number(found, "strain.cc"), number(found, "strain.rr")
    assert cc.value == pytest.approx(100 * truth.peak_cc[MID], abs=0.5)
    assert rr.value == pytest.approx(100 * truth.peak_rr[MID], abs=2.0)
    for item in (cc, rr):
        assert isinstance(item.uncertainty, Interval)
        assert item.uncertainty.low < item.value < item.uncertainty.high
    assert abs(cc.evidence[0].frames[0] - 0.35 * 16) < 1.5
    segments = found["strain.cc.segments"].values[:16] - 100 * truth.peaks_cc[MID][:16]
    assert np.abs(segments).mean() < 1.0


def test_segments_agree_and_the_apex_is_not_told(found):
    for id, unit in (("strain.cc.segments", "%"), ("strain.rr.segments", "%"), ("thickness", "mm"),
                     ("thickening", "%")):  # fmt: skip
        item = found[id]
        assert isinstance(item, Field) and item.on == "AHA17" and item.unit == unit
        assert np.isnan(item.values[16]) and np.isfinite(item.values[:16]).all()
    # A healthy virtual heart moves alike around the wall.
    assert np.ptp(found["strain.cc.segments"].values[6:12]) < 4
    assert np.allclose(found["thickness"].values[:12], 9.0, atol=1.5)
    told = {
        i.site for i in found.items if isinstance(i, Measurement) and i.id.startswith("strain.cc.segment")
    }
    assert told == set(codes.AHA17[:16])


def test_curves_begin_and_end_at_zero_and_their_rate_changes_sign(found):
    curve, rate = found["strain.cc.curve"], found["strain.cc.rate"]
    assert isinstance(curve, Curve) and isinstance(rate, Curve)
    assert abs(curve.y[0]) < 1e-6 and curve.y.min() == pytest.approx(
        number(found, "strain.cc").value, abs=0.01
    )
    assert rate.y_unit == "/s" and rate.y[:5].min() < -0.5 and rate.y[6:].max() > 0.5


def test_torsion_is_an_estimate_and_longitudinal_strain_absent(found):
    assert isinstance(number(found, "torsion").uncertainty, Unknown)
    assert isinstance(found["strain.ll"], Absent)


def test_the_inner_surface_shortens_more(found):
    inner = number(answer(outlined(), layer="inner surface"), "strain.cc").value
    outer = number(answer(outlined(), layer="outer surface"), "strain.cc").value
    assert inner < number(found, "strain.cc").value < outer


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda labels: np.where(labels == 2, 0, labels), "closed ring"),
        (lambda labels: np.where(labels == 1, 0, labels), "no right ventricle"),
        (lambda labels: labels * 0, "closed ring"),
    ],
    ids=["no muscle", "no right ventricle", "nothing"],
)
def test_what_cannot_be_measured_is_absent_with_its_reason(change, why):
    found = answer(with_labels(change))
    # Longitudinal strain is of the long axes: these have none.
    assert all(isinstance(i, Absent) for i in found.items)
    assert all(why in i.why for i in found.items if not i.id.startswith("strain.ll"))


def test_outlines_of_two_frames_are_too_few():
    case = outlined()
    study = case.studies[0]
    cine = next(p for p in study.parts if isinstance(p, Cine))
    region = case.findings[0].items[0]
    assert isinstance(region, Region) and region.times_ms is not None
    few = replace(region, labels=region.labels[:2], times_ms=region.times_ms[:2], frames=(0, 1))
    one = Findings(study.uid, study.patient.id, (few,), Manifest("phantom", "1.0"), synthetic=True)
    found = answer(replace(case, findings=(one,)))
    assert cine.values.shape[0] == 16
    assert all(isinstance(i, Absent) for i in found.items)
    assert all("outlines of shape" in i.why for i in found.items if not i.id.startswith("strain.ll"))
