"""Echo as an application: virtual truth, the scale of pixels, what is refused, the real clip that runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from carna import codes
from carna.app import run
from carna.apps.echo_function import echo_function
from carna.case import Case
from carna.doors import read
from carna.findings import Absent, Curve, Findings, Interval, Item, Measurement, Region, Statement
from carna.phantom.echo import echo_case, virtual_echo, virtual_pair
from carna.study import Lazy, Picture


@pytest.fixture(scope="module")
def found() -> Findings:
    return _run(virtual_echo())


def _run(case: Case, **settings: object) -> Findings:
    return run(echo_function, case, case.studies[0].uid, settings=settings)


def _with(case: Case, **changed: object) -> Case:
    """Return the case with its first clip alone, changed."""
    (study,) = case.studies
    return replace(case, studies=(replace(study, parts=(replace(study.parts[0], **changed),)),))  # type: ignore[arg-type]


def _met(item: Item) -> bool:
    assert isinstance(item, Statement)
    return item.verdict == "met"


def test_the_ejection_fraction_lies_in_its_interval(found: Findings) -> None:
    person, _ = virtual_pair()
    for id, truth in (
        ("lv.ef", 100.0 * person.heart.ef),
        ("lv.edv", person.heart.edv_ml),
        ("lv.esv", person.heart.edv_ml * (1.0 - person.heart.ef)),
    ):
        item = found[id]
        assert isinstance(item, Measurement) and isinstance(item.uncertainty, Interval)
        assert item.method == codes.DISCS_BIPLANE
        assert item.uncertainty.low <= truth <= item.uncertainty.high


def test_every_rendering_is_told_that_it_is_unproven(found: Findings) -> None:
    assert not found.validated and not echo_function.validated
    assert not _met(found["echo.proven"])
    assert "unvalidated" in found["echo.proven"].rule  # type: ignore[union-attr]


def test_outlines_curve_and_frames_agree(found: Findings) -> None:
    _, clips = virtual_pair()
    for n, (view, made) in enumerate(clips.items(), start=1):
        region, curve = found[f"clip{n}.outlines"], found[f"clip{n}.area"]
        assert isinstance(region, Region) and isinstance(curve, Curve)
        assert _met(found[f"clip{n}.measurable"]) and view in found[f"clip{n}.measurable"].rule  # type: ignore[union-attr]
        cavity = [s.label for s in region.segments if s.code == codes.LV_CAVITY]
        area = np.isin(region.labels, cavity).sum((1, 2, 3)) * made.mm**2 / 100.0
        assert np.allclose(area, curve.y, rtol=1e-3) and curve.y_unit == "cm2"
        ed, es = found[f"clip{n}.ed"], found[f"clip{n}.es"]
        assert isinstance(ed, Measurement) and isinstance(es, Measurement)
        assert curve.y[int(ed.value) - 1] > 1.1 * curve.y[int(es.value) - 1]
        truth = made.labels[:, ::1, ::1] == 1
        shown = np.isin(region.labels[:, 0, 24:216, 66:258], cavity)
        overlap = 2.0 * (truth & shown).sum() / (truth.sum() + shown.sum())
        assert overlap > 0.85


def test_without_a_scale_there_is_a_ratio_and_no_volume(found: Findings) -> None:
    person, clips = virtual_pair()
    bare = _run(echo_case(person, clips, 0, scaled=False))
    ef = bare["lv.ef"]
    assert isinstance(ef, Measurement) and ef.method == codes.DISCS_SINGLE
    assert isinstance(bare["lv.edv"], Absent) and "calibration" in bare["lv.edv"].why
    curve = bare["clip1.area"]
    assert isinstance(curve, Curve) and curve.y_unit == "1" and curve.y.max() == pytest.approx(1.0)
    given = _run(echo_case(person, clips, 0, scaled=False), pixel_mm=clips["4CH"].mm)
    assert isinstance(given["lv.edv"], Measurement)


def test_a_picture_made_smaller_after_its_calibration_has_no_volume() -> None:
    case = virtual_echo()
    part = case.studies[0].parts[0]
    assert isinstance(part, Picture)
    facts = {"UltrasoundRegions": ((84, 31, 595, 414, 1, 1),)}
    shrunk = _run(_with(case, origin=replace(part.origin, facts=facts)))
    assert isinstance(shrunk["lv.edv"], Absent) and "smaller after its calibration" in shrunk["lv.edv"].why
    assert isinstance(shrunk["lv.ef"], Measurement)


def test_bad_clips_are_refused_with_a_reason() -> None:
    case = virtual_echo()
    part = case.studies[0].parts[0]
    assert isinstance(part, Picture)
    still = np.repeat(part.values.array[:1], 12, axis=0)
    noise = np.random.default_rng(0).integers(0, 255, (12, 120, 120), dtype=np.uint8)
    for frames, words in ((still, "nothing moves"), (noise, "")):
        times = np.arange(12) * 33.0
        said = _run(_with(case, values=Lazy.of(frames), times_ms=times))
        assert isinstance(said["lv.ef"], Absent) and not _met(said["clip1.measurable"])
        assert words in said["clip1.measurable"].rule  # type: ignore[union-attr]


def test_the_real_clip_runs_and_gives_no_volume(data: Callable[[str], Path]) -> None:
    """One clip without truth: that it runs is all that is tested, and that its wrong scale is seen."""
    (case,) = read(data("echo-cine-sample")).cases
    found = _run(case)
    assert not _met(found["echo.proven"])
    for id in ("lv.edv", "lv.esv"):
        item = found[id]
        assert isinstance(item, Absent)
    region = found["clip1.outlines"]
    assert isinstance(region, Region) and region.labels.shape == (30, 1, 240, 320)
    # Nothing is outlined in the writing around the sector.
    assert not region.labels[..., :60].any() and not region.labels[..., 275:].any()
