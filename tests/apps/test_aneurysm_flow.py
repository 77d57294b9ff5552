"""The sac of an aneurysm as an application."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from carna.app import applications, run
from carna.case import Case
from carna.findings import Absent, Field, Measurement
from carna.phantom import virtual_aneurysm
from carna.space import Surface

APP = applications()["aneurysm_flow"]


def read(case, **settings):
    return run(APP, case, case.studies[0].uid, settings=settings)


def test_the_sac_is_measured_and_marked():
    found = read(virtual_aneurysm())
    assert found["sac.volume"].value == pytest.approx(0.064, rel=0.06)
    mark = found["vessel.sac"]
    assert isinstance(mark, Field)
    points = found["vessel"].shape.points
    # The ball lies at x = 3 on an artery along z.
    assert mark.values[points[:, 0] > 3.0].mean() > 0.99
    assert mark.values[np.abs(points[:, 2]) > 4.0].max() == 0.0
    for id in ("sac.speed", "sac.inflow", "sac.turnover"):
        assert isinstance(found[id], Absent)
    for item in found.items:
        if isinstance(item, Measurement):
            assert item.uncertainty.low <= item.value <= item.uncertainty.high


def test_outside_the_list_nothing_is_measured():
    found = read(virtual_aneurysm(), history="a thrombosed sac")
    assert not [i for i in found.items if isinstance(i, Measurement | Field)]


@pytest.mark.parametrize("scale", [0.1, 0.001])
def test_another_unit_is_refused(scale):
    case = virtual_aneurysm()
    (study,) = case.studies
    shape = study.parts[0].shape
    small = replace(study.parts[0], shape=Surface(shape.points * scale, shape.triangles))
    found = read(Case(case.patient, (replace(study, parts=(small, *study.parts[1:])),)))
    assert all(isinstance(i, Absent) for i in found.items)
    assert "millimetres" in found.items[0].why


@pytest.mark.data
def test_the_real_file_becomes_a_page(data):
    from time import process_time

    from carna.doors import read as read_files
    from carna.render.page import to_html

    begun = process_time()
    (case,) = read_files([data("vessel-geometries") / "vmtk4aneurysms/aneurysm_vascular_model.stl"]).cases
    found = read(case)
    assert "data:image/png" in to_html(found, case)
    assert process_time() - begun < 10
    # A ball of 2.5 mm radius on a fork.
    assert found["sac.volume"].value == pytest.approx(4 / 3 * np.pi * 2.5**3 / 1e3, rel=0.15)
