"""Every installed application keeps the contract, and the suite notices one that does not."""

from dataclasses import replace
from typing import Annotated

import numpy as np
import pytest

from carna import codes
from carna.app import Job, Need, Setting, application, applications
from carna.check import check
from carna.findings import Measurement, Region, Segment, Statement, Unknown
from carna.phantom import virtual_scar
from carna.study import Cine, Ecg

FOUR = (codes.HEART_RATE,)


# The ECG reading is the dearest of them; the others keep the suite itself honest in every `make check`.
DEAR = {
    "aneurysm_flow",
    "coronary_ffr",
    "drug_safety",
    "echo_function",
    "ecg_reading",
    "ep_twin",
    "heart_chambers",
    "long_axis_segmentation",
    "myocardial_strain",
    "renal_ffr",
    "ventricular_segmentation",
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in DEAR else ()) for n in sorted(applications())]
)
def test_every_application_keeps_the_contract(name):
    report = check(applications()[name])
    assert report.ok, str(report)


def rate(value=60.0):
    return (
        Measurement(id="r", code=codes.HEART_RATE, value=value, unit="/min", uncertainty=Unknown("a test")),
    )


@application(version="1", gives=FOUR)
def unseeded(ecg: Annotated[Ecg, Need("an ECG")], *, job: Job):
    """Roll a die without the seed."""
    job.progress(1.0, "")
    return rate(float(np.random.default_rng().integers(1 << 60)))


@application(version="1", gives=FOUR)
def deaf(ecg: Annotated[Ecg, Need("an ECG")], *, job: Job):
    """Never look for a cancel."""
    return rate()


@application(version="1", gives=FOUR)
def backwards(ecg: Annotated[Ecg, Need("an ECG")], *, job: Job):
    """Report progress backwards."""
    job.progress(0.9, "")
    job.progress(0.1, "")
    return rate()


@application(version="1", gives=FOUR)
def scribbler(ecg: Annotated[Ecg, Need("an ECG")], *, job: Job):
    """Write where it may not."""
    job.progress(1.0, "")
    with open("stray.txt", "w") as file:
        file.write("here")
    return rate()


@application(version="1", gives=FOUR)
def reassuring(ecg: Annotated[Ecg, Need("an ECG")], *, job: Job):
    """Reassure."""
    job.progress(1.0, "")
    return (Statement(id="r", code=codes.HEART_RATE, verdict="met", rule="everything is safe"),)


@application(version="1", gives=FOUR)
def fragile(
    ecg: Annotated[Ecg, Need("an ECG")],
    *,
    gain: Annotated[float, Setting("1", 0.0, 1.0, "a gain")] = 0.5,
    job: Job,
):
    """Break at the end of a setting's range."""
    job.progress(1.0, "")
    return rate(60.0 / gain if gain else float("nan"))


@application(version="1", gives=(codes.HEART,))
def fixed_in_space(cine: Annotated[Cine, Need("a cine", view="SAX")], *, job: Job):
    """Put its region where the first patient lay."""
    job.progress(1.0, "")
    from carna.space import Grid

    plane = Grid((1, 4, 4), np.eye(4), cine.planes[0].frame)
    return (
        Region(
            id="h",
            code=codes.HEART,
            labels=np.ones((1, 4, 4)),
            planes=(plane,),
            segments=(Segment(1, codes.HEART),),
        ),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("app", "promise"),
    [
        (unseeded, "the same seed"),
        (deaf, "a cancelled run"),
        (deaf, "progress grows"),
        (backwards, "progress grows"),
        (scribbler, "nothing is written"),
        (reassuring, "no wording"),
        (fragile, "settings hold"),
        (fixed_in_space, "turning the patient"),
    ],
)
def test_a_broken_promise_is_noticed(app, promise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    broken = [o.promise for o in check(app).outcomes if not o.kept]
    assert any(promise in b for b in broken), broken


@application(version="1", gives=(codes.HEART,))
def beside(
    labels: Annotated[Region, Need("ventricles", finding=codes.VENTRICLES)],
    *,
    turned: Annotated[bool, Setting(doc="whether what it says lies where the labels lie")] = True,
    effort: Annotated[int, Setting("1", 1, 1000, "how long it thinks")] = 900,
    job: Job,
):
    """Say again where the labels lie."""
    job.progress(1.0, "")
    EFFORTS.append(effort)
    from carna.space import Grid

    planes = tuple(p if turned else Grid(p.shape, np.eye(4), p.frame) for p in labels.planes)
    return (replace(labels, id="h", code=codes.HEART, planes=planes, of=()),)


EFFORTS: list[int] = []


@pytest.mark.slow
def test_what_was_said_before_turns_with_the_patient():
    promise, case = "turning the patient turns the findings", virtual_scar()
    for turned, kept in ((True, True), (False, False)):
        report = check(replace(beside, quick={"turned": turned}), case)
        assert {o.promise: o.kept for o in report.outcomes}[promise] is kept


@pytest.mark.slow
def test_the_suite_runs_what_is_dear_at_its_quick_value_only():
    EFFORTS.clear()
    check(replace(beside, quick={"effort": 7}), virtual_scar())
    assert set(EFFORTS) == {7}
