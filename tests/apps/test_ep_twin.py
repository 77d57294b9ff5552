"""The twin's answers on hearts whose truth is known: through a channel, without one, turned, in processes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from carna import codes
from carna.app import Job, run
from carna.apps.ep_twin import ep_twin
from carna.case import Case
from carna.check import _moved
from carna.findings import (
    Absent,
    Field,
    Findings,
    Interval,
    Measurement,
    Region,
    Samples,
    Shape,
    Statement,
)
from carna.phantom import scarred, virtual_infarct, virtual_scar
from carna.progress import Progress
from carna.space import rotation

SETTINGS = {**ep_twin.quick, "members": 3, "sites": 3}


def answer(case: Case, **settings: object) -> Findings:
    return run(ep_twin, case, case.studies[0].uid, settings={**SETTINGS, **settings})


@pytest.fixture(scope="module")
def found() -> Findings:
    return answer(virtual_scar())


def number(found: Findings, id: str) -> Measurement:
    item = found[id]
    assert isinstance(item, Measurement)
    return item


def test_the_circuit_runs_through_the_channel(found: Findings) -> None:
    share = number(found, "circuit1.share")
    assert isinstance(share.uncertainty, Interval)
    assert 0.3 < share.value <= 1.0 and share.uncertainty.low > 0.05
    assert share.site == codes.AHA17[6]
    isthmus = found["circuit1.isthmus"]
    assert isinstance(isthmus, Region)
    points = [isthmus.planes[k].to_world((0, r, c)) for k, r, c in np.argwhere(isthmus.labels)]
    truth = virtual_infarct().channel_lps_mm
    assert np.linalg.norm(np.mean(points, axis=0) - truth) < 10.0
    cycle = number(found, "circuit1.cycle")
    assert isinstance(cycle.uncertainty, Samples) and 350.0 < cycle.value < 1100.0


def test_a_scar_without_channel_has_a_share_of_nought_and_its_interval() -> None:
    case = scarred(virtual_infarct(channel_mm=0.0))
    found = answer(case)
    share = number(found, "reentry")
    assert isinstance(share.uncertainty, Interval)
    assert share.value == share.uncertainty.low == 0.0
    assert share.uncertainty.high == pytest.approx(0.5615, abs=1e-4)  # Wilson, 0 of 3
    assert not found.coded(codes.MODEL_CIRCUIT)
    ensemble = found["ensemble"]
    assert isinstance(ensemble, Statement) and "0 of 3 members, no circuits found" in ensemble.rule


@pytest.mark.slow
def test_a_patient_who_lies_otherwise_gets_the_same_answers(found: Findings) -> None:
    motion = rotation((0.7, 0.1, -0.4), 71.0, about=(3.0, 5.0, 90.0))
    case = virtual_scar()
    turned = answer(_moved(case, motion))
    assert [i.id for i in turned.items] == [i.id for i in found.items]
    for here, there in zip(found.items, turned.items, strict=True):
        if isinstance(here, Measurement) and isinstance(there, Measurement):
            assert here.value == there.value and here.uncertainty == there.uncertainty
        if isinstance(here, Shape) and isinstance(there, Shape):
            assert np.allclose(here.shape.moved(motion).points, there.shape.points, atol=1e-6)
        if isinstance(here, Region) and isinstance(there, Region):
            assert np.array_equal(here.labels, there.labels)
            assert all(p.moved(motion).same(q) for p, q in zip(here.planes, there.planes, strict=True))


@pytest.mark.slow
def test_processes_find_what_one_process_finds(found: Findings) -> None:
    spread = answer(virtual_scar(), executor="processes", workers=2)
    for here, there in zip(found.items, spread.items, strict=True):
        assert here.id == there.id
        if isinstance(here, Measurement) and isinstance(there, Measurement):
            assert here.value == there.value and here.uncertainty == there.uncertainty
        if isinstance(here, Statement) and isinstance(there, Statement):
            assert here.rule == there.rule
        if isinstance(here, Field) and isinstance(there, Field):
            assert np.array_equal(here.values, there.values)


def test_every_sentence_says_that_it_speaks_of_a_model(found: Findings) -> None:
    rules = [item.rule for item in found.items if isinstance(item, Statement)]
    assert rules and all(rule.startswith("in this model: ") for rule in rules)
    assert found.high_stakes and not found.validated and found.status == "preliminary"


def _relabelled(old: int, new: int) -> Case:
    made = virtual_infarct()
    return scarred(replace(made, labels=np.where(made.labels == old, new, made.labels).astype(np.uint8)))


def test_no_scar_is_absent_with_its_reason() -> None:
    found = answer(_relabelled(6, 1))
    assert {i.code for i in found.items} == {codes.MODEL_REENTRY, codes.MODEL_ENSEMBLE}
    for item in found.items:
        assert isinstance(item, Absent) and "no scar is labelled" in item.why
        assert item.reason == codes.VALUE_UNKNOWN


def test_labels_that_are_no_heart_are_absent_with_the_sentence() -> None:
    found = answer(_relabelled(2, 0))
    assert all(isinstance(i, Absent) and "wall of the right ventricle" in i.why for i in found.items)


def test_an_address_without_scheduler_is_absent_with_the_fix() -> None:
    found = answer(virtual_scar(), executor="tcp://127.0.0.1:1")
    assert all(isinstance(i, Absent) and ("dask" in i.why or "scheduler" in i.why) for i in found.items)


def test_the_work_ahead_is_estimated_before_it_begins() -> None:
    said: list[str] = []
    case = scarred(virtual_infarct(channel_mm=0.0))
    job = Job(progress=Progress(lambda done, what: said.append(what)))
    run(ep_twin, case, case.studies[0].uid, settings={**SETTINGS, "sites": 1}, job=job)
    estimate = next(what for what in said if "of one core" in what)
    assert "3 members from 1 sites" in estimate
