"""The left atrium as an application: its contract, its truth, what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from carna import codes
from carna.app import run
from carna.apps.atrial_segmentation import atrial_segmentation
from carna.case import Case
from carna.findings import Absent, Findings, Interval, Measurement, Region, Statement
from carna.learn.agreement import dice
from carna.phantom.atrium_lge import virtual_atrium
from carna.space import Grid, rotation
from carna.study import Image, Lazy


def _run(case: Case) -> Findings:
    return run(atrial_segmentation, case, case.studies[0].uid)


def _changed(case: Case, values: np.ndarray, affine: np.ndarray) -> Case:
    (study,) = case.studies
    (image,) = study.parts
    assert isinstance(image, Image)
    new = replace(image, grid=Grid(values.shape, affine, image.grid.frame), values=Lazy.of(values))  # type: ignore[arg-type]
    return replace(case, studies=(replace(study, parts=(new,)),))


def _image(case: Case) -> Image:
    (image,) = case.studies[0].parts
    assert isinstance(image, Image)
    return image


@pytest.fixture(scope="module")
def found() -> Findings:
    return _run(virtual_atrium()[0])


def test_the_virtual_atrium_is_outlined_and_measured(found: Findings) -> None:
    _, made = virtual_atrium()
    region, trusted, volume = (found[id] for id in ("atrium", "atrium.trusted", "atrium.volume"))
    assert isinstance(region, Region) and region.code == codes.LEFT_ATRIUM
    assert dice(region.labels > 0, made.labels > 0) > 0.8
    assert isinstance(trusted, Statement) and trusted.verdict == "met"
    assert isinstance(volume, Measurement) and isinstance(volume.uncertainty, Interval)
    assert volume.uncertainty.low <= made.labels.sum() * 2.5 * 1.25**2 / 1e3 <= volume.uncertainty.high


def test_a_picture_stored_the_other_way_round_is_read_alike(found: Findings) -> None:
    """Slices from head to foot, columns from left to right, rows and columns exchanged."""
    case = virtual_atrium()[0]
    image = _image(case)
    affine = image.grid.affine.copy()
    values = image.values.array[::-1, :, ::-1].transpose(0, 2, 1)
    k, _, c = image.grid.shape
    affine[:3, 3] = image.grid.to_world((k - 1, 0, c - 1))
    affine[:3, :3] = np.stack([-affine[:3, 0], -affine[:3, 2], affine[:3, 1]], axis=1)
    there = _run(_changed(case, values, affine))["atrium"]
    here = found["atrium"]
    assert isinstance(there, Region) and isinstance(here, Region)
    assert np.array_equal(there.labels.transpose(0, 2, 1)[::-1, :, ::-1], here.labels)


def test_noise_a_gradient_and_an_oblique_picture_get_nothing() -> None:
    case = virtual_atrium()[0]
    image = _image(case)
    shape, affine = image.grid.shape, image.grid.affine
    random = np.random.default_rng(0)
    for values in (
        random.random(shape).astype(np.float32),
        np.broadcast_to(np.linspace(0.0, 1.0, shape[2], dtype=np.float32), shape).copy(),
    ):
        said = _run(_changed(case, values, affine))
        assert all(isinstance(item, Absent) for item in said.items)
    turned = rotation((1.0, 0.0, 0.0), 40.0) @ affine
    said = _run(_changed(case, image.values.array, turned))
    absent = said["atrium"]
    assert isinstance(absent, Absent) and "tilted" in absent.why


def test_an_atrium_that_is_cut_off_has_no_volume() -> None:
    case, made = virtual_atrium()
    image = _image(case)
    middle = int(np.argwhere(made.labels).mean(0)[0])
    said = _run(_changed(case, image.values.array[: middle + 3], image.grid.affine))
    volume = said["atrium.volume"]
    assert isinstance(volume, Absent)
