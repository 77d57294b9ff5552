"""A need for what was recorded earlier: the newest of the patient, never a guess about dates."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pytest

from carna import codes
from carna.app import Need, application, fill, run
from carna.case import Case
from carna.errors import NeedError
from carna.findings import Absent
from carna.study import Ecg, Lazy, Origin, Patient, Study

WHO = Patient("P1")
NOW = "2024-03-01T09:30:00"


def ecg(uid: str, time: str = "", seconds: float = 10.0) -> Ecg:
    values = np.full((1, int(seconds * 100)), float(len(uid)), np.float32)
    return Ecg(Origin(uid, "ECG", "resting", time=time), Lazy.of(values), ("II",), 100.0)


def case(*studies: tuple[str, str, tuple[Ecg, ...]]) -> Case:
    return Case(WHO, tuple(Study(uid, WHO, time, parts=parts) for uid, time, parts in studies))


@application(version="1.0", gives=(codes.HEART_RATE,))
def compare(
    now: Annotated[Ecg, Need("today's", min_seconds=5)],
    before: Annotated[Ecg | None, Need("an earlier one", min_seconds=5, earlier=True)],
):
    """Compare."""
    return (Absent(id="rate", code=codes.HEART_RATE, why=before.origin.time if before else "none"),)


@application(version="1.0", gives=(codes.HEART_RATE,))
def compare_all(
    now: Annotated[Ecg, Need("today's")],
    before: Annotated[tuple[Ecg, ...], Need("all earlier ones", earlier=True)],
):
    """Compare with all."""
    return (Absent(id="rate", code=codes.HEART_RATE, why="x"),)


TODAY = ("s", NOW, (ecg("now"),))


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ((), None),
        ((("a", "2020-01-01", (ecg("a1"),)), ("b", "2023-01-05T08:00:00", (ecg("b1"),))), "b1"),
        ((("c", "2025-01-01", (ecg("c1"),)),), None),  # later
        ((("d", "", (ecg("d1"),)),), None),  # without a date
        ((("e", "2024-03-01", (ecg("e1"),)),), None),  # the same day, hour unknown
        ((("f", NOW, (ecg("f1"),)),), None),  # the same moment
        ((("g", "2023-01-01", (ecg("g1", seconds=2.0),)),), None),  # too short
        ((("h", "2025-01-01", (ecg("h1", "2024-03-01T07:00:00"),)),), "h1"),  # its own header decides
    ],
)
def test_the_newest_earlier_one_is_taken(
    others: tuple[tuple[str, str, tuple[Ecg, ...]], ...], found: str | None
) -> None:
    filled = fill(compare, case(*others, TODAY), "s")
    before = filled.arguments["before"]
    assert (before.origin.uid if before is not None else None) == found
    assert filled.uids["before"] == (() if found is None else (found,))


def test_of_two_in_one_study_the_earlier_is_compared_with_the_one_chosen() -> None:
    both = ecg("first", "2024-03-01T09:00:00"), ecg("second", NOW)
    filled = fill(compare, case(("s", NOW, both)), "s", {"now": "second"})
    assert filled.arguments["before"].origin.uid == "first"
    assert fill(compare, case(("s", NOW, both)), "s", {"now": "first"}).arguments["before"] is None


def test_a_part_without_a_time_carries_that_of_its_study() -> None:
    filled = fill(compare, case(("a", "2023-01-05T08:00:00", (ecg("a1"),)), TODAY), "s")
    assert filled.arguments["before"].origin.time == "2023-01-05T08:00:00"
    assert filled.arguments["now"].origin.time == NOW


def test_all_earlier_ones_newest_first_and_none_is_refused_where_they_are_needed() -> None:
    others = (("a", "2020-01-01", (ecg("a1"),)), ("b", "2023-01-05T08:00:00", (ecg("b1"),)))
    filled = fill(compare_all, case(*others, TODAY), "s")
    assert [e.origin.uid for e in filled.arguments["before"]] == ["b1", "a1"]
    with pytest.raises(NeedError, match="nothing earlier"):
        fill(compare_all, case(TODAY), "s")


def test_the_manifest_names_and_hashes_the_earlier_one() -> None:
    found = run(compare, case(("a", "2023-01-05T08:00:00", (ecg("a1"),)), TODAY), "s")
    inputs = {i.name: i for i in found.manifest.inputs}
    assert inputs["before"].uid == "a1" and len(inputs["before"].sha256) == 64
    assert inputs["before"].sha256 != inputs["now"].sha256
