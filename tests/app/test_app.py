"""The application contract: declaration, filling of needs, running, order."""

from typing import Annotated, Literal

import numpy as np
import pytest

from carna import codes
from carna.app import Job, Need, Setting, application, fill, in_order, ready, run
from carna.case import Case
from carna.errors import Cancelled, ContractError, InputError, NeedError, SettingError
from carna.findings import Absent, Findings, Manifest, Measurement, Review, Sd, Unknown
from carna.progress import Progress
from carna.study import Ecg, Lazy, Origin, Patient, Study

WHO = Patient("P1")


def ecg(uid="e1", seconds=10.0, time=""):
    values = np.ones((2, int(seconds * 100)), np.float32)
    return Ecg(Origin(uid, "ECG", "resting", time=time), Lazy.of(values), ("I", "II"), 100.0)


def case(*parts, findings=()):
    return Case(WHO, (Study("s", WHO, parts=parts),), tuple(findings))


@application(version="1.0", gives=(codes.HEART_RATE, codes.RR_INTERVAL))
def rate(
    strip: Annotated[Ecg, Need("a rhythm strip", min_seconds=5, leads=("II",))],
    *,
    gain: Annotated[float, Setting("1", 0.5, 2.0, "a factor")] = 1.0,
    mode: Annotated[Literal["mean", "median"], Setting(doc="how")] = "mean",
    strict: Annotated[bool, Setting(doc="refuse")] = False,
    job: Job,
):
    """Give the rate of a strip."""
    job.progress(0.5, "half")
    if strict:
        raise InputError("the strip is noisy")
    value = float(strip.values.array.mean()) * 60 * gain
    return (
        Measurement(id="rate", code=codes.HEART_RATE, value=value, unit="/min", uncertainty=Sd(1.0)),
        Absent(id="rr", code=codes.RR_INTERVAL, why="one beat only"),
    )


@application(version="1.0", gives=(codes.HEART,))
def needs_rate(said: Annotated[Measurement, Need("the heart rate", finding=codes.HEART_RATE)]):
    """Need the rate of another application."""
    return (Measurement(id="x", code=codes.HEART, value=said.value, unit="1", uncertainty=Unknown("copied")),)


def test_the_signature_is_the_declaration():
    assert rate.title == "Give the rate of a strip"
    assert [s.name for s in rate.slots] == ["strip"]
    assert rate.knobs["mode"].choices == ("mean", "median")
    assert rate.knobs["gain"].wanted == "a number from 0.5 to 2"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"gain": 3}, "gain = 3"),
        ({"gain": "x"}, "'x'"),
        ({"mode": "max"}, "max"),
        ({"no": 1}, "no setting"),
        ({"gain": True}, "True"),
        ({"gain": float("nan")}, "nan"),
        ({"strict": "perhaps"}, "perhaps"),
    ],
)
def test_settings_are_refused_in_words_from_the_table(given, found):
    with pytest.raises(SettingError, match=found) as error:
        rate.settings(given)
    assert error.value.needed


def test_settings_come_from_the_command_line_as_text():
    assert rate.settings({"gain": "1.5", "strict": "yes"}) == {"gain": 1.5, "mode": "mean", "strict": True}


def test_a_run_leaves_findings_and_a_manifest():
    found = run(rate, case(ecg()), "s", settings={"gain": 2.0})
    assert found["rate"].value == 120.0
    assert found.manifest.settings["gain"] == 2.0
    assert [i.uid for i in found.manifest.inputs] == ["e1"]
    assert len(found.manifest.inputs[0].sha256) == 64
    assert not found.validated


def test_unmet_needs_and_bad_data_are_absent_with_the_reason():
    for parts, settings, why in (
        ((ecg(seconds=2),), {}, "shorter than 5 s"),
        ((), {}, "no Ecg"),
        ((ecg(),), {"strict": True}, "noisy"),
    ):
        found = run(rate, case(*parts), "s", settings=settings)
        assert {i.code for i in found.items} == {codes.HEART_RATE, codes.RR_INTERVAL}
        assert all(isinstance(i, Absent) and why in i.why for i in found.items)
    assert "shorter than 5 s" in ready(rate, case(ecg(seconds=2)), "s")


def test_two_that_fit_are_refused_and_a_person_may_choose():
    both = case(ecg("e1"), ecg("e2"))
    with pytest.raises(NeedError, match="2 parts fit"):
        fill(rate, both, "s")
    assert fill(rate, both, "s", {"strip": "e2"}).uids["strip"] == ("e2",)


def test_who_gives_comes_before_who_needs():
    assert [a.name for a in in_order((needs_rate, rate))] == ["rate", "needs_rate"]


def test_applications_in_a_circle_are_refused():
    @application(version="1", gives=(codes.HEART_RATE,))
    def back(said: Annotated[Measurement, Need("the heart", finding=codes.HEART)]):
        """Close the circle."""
        return ()

    with pytest.raises(ContractError, match="needs_rate"):
        in_order((needs_rate, back))


def said(value, *, rank="run"):
    item = Measurement(id="rate", code=codes.HEART_RATE, value=value, unit="/min", uncertainty=Sd(1.0))
    if rank == "run":
        return Findings("s", "P1", (item,), Manifest("a", "1", started="2026-01-01T08:00:00"))
    first = Findings("s", "P1", (item,), Manifest(rank, "1"))
    if rank == "prior":
        return first
    review = Review("Dr. B", "2026-01-01", {})
    if rank == "correction":
        return first.corrected((item,), review)
    return Findings("s", "P1", (item,), Manifest(rank, "1"), status="final", review=review)


def test_a_correction_goes_before_a_signed_prior_before_our_newest_run():
    everything = [
        said(1.0),
        said(2.0, rank="correction"),
        said(3.0, rank="signed"),
        said(4.0),
        said(5.0, rank="prior"),
    ]
    for keep, value in (((0, 1, 2, 3, 4), 2.0), ((0, 2, 3, 4), 3.0), ((0, 3, 4), 4.0), ((4,), 5.0)):
        filled = fill(needs_rate, case(findings=[everything[n] for n in keep]), "s")
        assert filled.arguments["said"].value == value


def test_two_of_equal_rank_are_refused():
    with pytest.raises(NeedError, match="equal rank"):
        fill(needs_rate, case(findings=[said(1.0, rank="signed"), said(2.0, rank="signed 2")]), "s")


def test_two_unsigned_priors_are_not_told_apart_by_their_order():
    with pytest.raises(NeedError, match="equal rank"):
        fill(needs_rate, case(findings=[said(1.0, rank="prior"), said(2.0, rank="prior")]), "s")


def test_a_person_may_choose_between_findings():
    both = [said(1.0, rank="signed"), said(2.0, rank="signed 2")]
    with pytest.raises(NeedError, match="said=UID") as error:
        fill(needs_rate, case(findings=both), "s")
    for one, value in zip(both, (1.0, 2.0), strict=True):
        assert one.uid in str(error.value)
        filled = fill(needs_rate, case(findings=both), "s", {"said": one.uid})
        assert filled.arguments["said"].value == value and filled.uids["said"] == (one.uid,)
    with pytest.raises(NeedError, match=r"in findings 1\.2"):
        fill(needs_rate, case(findings=both), "s", {"said": "1.2"})


def test_what_a_person_rejected_fills_nothing():
    ours = said(1.0)
    reviewed = ours.corrected((), Review("Dr. B", "2026-01-01", {"rate": "rejected"}))
    with pytest.raises(NeedError, match="no finding"):
        fill(needs_rate, case(findings=[ours, reviewed]), "s")
    again = reviewed.corrected((ours["rate"],), Review("Dr. C", "2026-01-02", {"rate": "supplemented"}))
    filled = fill(needs_rate, case(findings=[ours, reviewed, again]), "s")
    assert filled.uids["said"] == (again.uid,)


def test_a_broken_contract_fails_the_run():
    @application(version="1", gives=(codes.HEART_RATE,))
    def silent(strip: Annotated[Ecg, Need("a strip")]):
        """Say nothing."""
        return ()

    @application(version="1", gives=(codes.HEART_RATE,), stakes="high")
    def sure(strip: Annotated[Ecg, Need("a strip")]):
        """Give a number without its interval."""
        return (
            Measurement(id="r", code=codes.HEART_RATE, value=1.0, unit="/min", uncertainty=Unknown("no")),
        )

    with pytest.raises(ContractError, match="says nothing"):
        run(silent, case(ecg()), "s")
    with pytest.raises(ContractError, match="no interval"):
        run(sure, case(ecg()), "s")


def test_an_incomplete_declaration_is_refused():
    with pytest.raises(ContractError, match="no Need"):

        @application(version="1", gives=(codes.HEART,))
        def bare(x: Ecg):
            """Need it bare."""

    with pytest.raises(ContractError, match="default"):

        @application(version="1", gives=(codes.HEART,))
        def beyond(*, x: Annotated[float, Setting("1", 0, 1, "x")] = 2.0):
            """Have a default out of range."""


def test_a_cancelled_run_stops():
    with pytest.raises(Cancelled):
        run(rate, case(ecg()), "s", job=Job(progress=Progress(cancelled=lambda: True)))


def test_virtual_patients_mark_their_findings():
    who = Patient("V", synthetic=True)
    found = run(rate, Case(who, (Study("s", who, parts=(ecg(),)),)), "s")
    assert found.synthetic
