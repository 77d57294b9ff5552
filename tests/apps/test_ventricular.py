"""Segmentation and function as applications: exact outlines give exact volumes; bad input a sentence."""

from dataclasses import replace

import numpy as np
import pytest

from carna.app import applications, ready, run
from carna.case import Case
from carna.findings import Absent, Curve, Findings, Interval, Measurement, Region, Statement
from carna.phantom import VirtualPatient, make, virtual_case, virtual_ventricles
from carna.study import Cine, Lazy


def function(case):
    found = run(applications()["ventricular_function"], case, case.studies[0].uid)
    return {item.id: item for item in found.items}


def changed(case, labels=None, planes=None):
    """Return the outlined patient with other labels or planes."""
    said = case.findings[0]
    region = next(i for i in said.items if isinstance(i, Region))
    rest = tuple(i for i in said.items if i is not region)
    new = replace(
        region,
        labels=region.labels if labels is None else labels(region.labels.copy()),
        planes=region.planes if planes is None else planes(region.planes),
    )
    found = Findings(said.study, said.patient, (new, *rest), said.manifest, synthetic=True)
    return Case(case.patient, case.studies, (found,))


def test_exact_outlines_give_the_volumes_of_the_virtual_heart():
    items = function(virtual_ventricles())
    truth = make(VirtualPatient(), frames=12, long_axes=False).truth
    assert items["lv.edv"].value == pytest.approx(truth.lv_ml.max(), rel=0.01)
    assert items["lv.mass"].value == pytest.approx(truth.mass_g, rel=0.03)
    # At end-systole the base lies within a slice: discs of 10 mm know its place to half of that.
    assert items["lv.ef"].value == pytest.approx(100 * truth.lvef, abs=4)
    assert items["rv.edv"].value == pytest.approx(truth.rv_ml.max(), rel=0.02)
    assert items["ed"].value == truth.ed + 1
    assert abs(items["es"].value - truth.es - 1) <= 1


def test_indices_output_and_curves_follow_from_them():
    items = function(virtual_ventricles())
    surface = np.sqrt(165.0 * 68.0 / 3600.0)
    assert items["lv.edv.index"].value == pytest.approx(items["lv.edv"].value / surface)
    assert items["lv.sv"].value == pytest.approx(items["lv.edv"].value - items["lv.esv"].value)
    rr = float(next(p for p in virtual_ventricles().studies[0].parts if isinstance(p, Cine)).rr_ms[0])
    assert items["lv.co"].value == pytest.approx(items["lv.sv"].value * 60 / rr)
    assert isinstance(items["lv.curve"], Curve)
    assert items["lv.curve"].y.max() == pytest.approx(items["lv.edv"].value)
    held = items["lv.edv"].uncertainty
    assert isinstance(held, Interval) and held.low < items["lv.edv"].value < held.high
    assert isinstance(items["lv.ef.reference"], Statement)
    assert "Petersen 2017" in items["lv.ef.reference"].rule


def test_without_size_nothing_is_indexed():
    case = virtual_ventricles()
    study = replace(case.studies[0], parts=tuple(p for p in case.studies[0].parts if isinstance(p, Cine)))
    items = function(Case(case.patient, (study,), case.findings))
    assert not [i for i in items if i.endswith(".index")]
    assert isinstance(items["lv.edv"], Measurement)


def apex_gone(labels):
    area = (labels == 3).sum((0, 2, 3))
    wide = np.flatnonzero(area > 0.75 * area.max())
    out = np.zeros_like(labels)
    n = labels.shape[1]
    chosen = wide[np.linspace(0, len(wide) - 1, n).round().astype(int)]
    out[:] = labels[:, chosen]
    return out


def one_slice(labels):
    labels[:, 1:] = 0
    return labels


@pytest.mark.parametrize(
    ("labels", "why"),
    [(apex_gone, "apex is missing"), (one_slice, "outlined in"), (lambda x: x * 0, "0 slices")],
)
def test_outlines_that_hold_no_volume_give_none(labels, why):
    items = function(changed(virtual_ventricles(), labels))
    assert isinstance(items["lv.ef"], Absent)
    assert why in items["lv.ef"].why
    assert not [i for i in items.values() if isinstance(i, Measurement)]


def test_no_right_ventricle_is_absent_not_zero():
    items = function(changed(virtual_ventricles(), lambda x: np.where(x == 1, 0, x)))
    assert isinstance(items["rv.edv"], Absent)
    assert isinstance(items["lv.edv"], Measurement)


def test_a_stack_that_ends_within_the_ventricle_is_said_to():
    whole = function(virtual_ventricles())
    assert whole["covered"].verdict == "met"
    shifted = function(
        changed(virtual_ventricles(), lambda x: np.concatenate([x[:, 2:], 0 * x[:, :2]], axis=1))
    )
    assert shifted["covered"].verdict == "not met"
    assert "first slice" in shifted["covered"].rule


def test_a_cine_in_which_nothing_beats_is_absent_with_the_reason():
    case = virtual_case()
    cine = next(p for p in case.studies[0].parts if isinstance(p, Cine) and len(p.planes) > 3)
    still = replace(cine, values=Lazy.of(np.repeat(cine.values.array[:1], len(cine.values.array), 0)))
    study = replace(case.studies[0], parts=(still,))
    found = run(applications()["ventricular_segmentation"], Case(case.patient, (study,)), study.uid)
    assert all(isinstance(i, Absent) for i in found.items)
    assert "nothing moves" in found.items[0].why


def test_a_ct_or_a_long_axis_is_not_read():
    case = virtual_case()
    app = applications()["ventricular_segmentation"]
    cine = next(p for p in case.studies[0].parts if isinstance(p, Cine) and len(p.planes) > 3)
    ct = replace(cine, origin=replace(cine.origin, modality="CT"))
    long_axes = tuple(p for p in case.studies[0].parts if isinstance(p, Cine) and len(p.planes) == 1)
    for parts, said in (((ct,), "modality CT"), (long_axes, "view")):
        study = replace(case.studies[0], parts=parts)
        assert said in ready(app, Case(case.patient, (study,)), study.uid)
