"""WFDB records: what the header says, what the files hold, and every real record against wfdb."""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import scipy.io

from carna.case import Problem
from carna.doors.arrive import Arrival, Delivery
from carna.doors.ecg.wfdb import write_wfdb
from carna.findings import Statement
from carna.study import Ecg, Record

Files = Mapping[str, bytes]
Only = Callable[[Files], Ecg]


# wfdb calls pandas in a way that pandas will drop.
PANDAS = pytest.mark.filterwarnings("ignore:The inplace keyword")


def _dat(*columns: list[int]) -> bytes:
    return np.array(columns, "<i2").T.tobytes()


def test_gain_baseline_unit_and_the_missing_code(only: Only) -> None:
    header = (
        b"a 2 250 3 10:20:30 05/06/2007\na.dat 16 200(10)/mV 16 0 0 0 0 II\na.dat 16 2/uV 16 0 0 0 0 V1\n"
    )
    ecg = only({"a.hea": header, "a.dat": _dat([10, 210, -32768], [2000, 0, -2000])})
    np.testing.assert_array_equal(ecg.values.array, np.array([[0, 1, np.nan], [1, 0, -1]], np.float32))
    assert ecg.leads == ("II", "V1")
    assert ecg.lsb_mV == (0.005, 0.0005)
    assert ecg.origin.time == "2007-06-05T10:20:30"
    assert (ecg.rate_hz, ecg.origin.format) == (250.0, "WFDB")


def test_skew_and_several_samples_a_frame(deliver: Callable[[Files], Delivery]) -> None:
    header = (
        b"a 3 100 3\na.dat 16:1 1 16 0 0 0 0 I\na.dat 16x2 1 16 0 0 0 0 V1\na.dat 16 1/mmHg 16 0 0 0 0 ABP\n"
    )
    frames = np.array([[1, 10, 11, 90], [2, 12, 13, 91], [3, 14, 15, 92], [4, 16, 17, 93]], "<i2")
    delivery = deliver({"a.hea": header, "a.dat": frames.tobytes()})
    slow, fast = (a.part for a in delivery.arrivals if isinstance(a.part, Ecg))
    assert slow.values.array.tolist() == [[2.0, 3.0, 4.0]]
    assert fast.values.array.tolist() == [[10.0, 11.0, 12.0, 13.0, 14.0, 15.0]]
    assert (slow.rate_hz, fast.rate_hz) == (100.0, 200.0)
    assert any("ABP [mmHg]" in note for note in slow.origin.notes)


def test_format_8_sums_differences_from_the_initial_value(only: Only) -> None:
    ecg = only(
        {"a.hea": b"a 1 100 3\na.dat 8 1 8 0 100 0 0 I\n", "a.dat": np.array([0, 5, -7], np.int8).tobytes()}
    )
    assert ecg.values.array.tolist() == [[100.0, 105.0, 98.0]]


def test_byte_offset_and_one_file_a_signal(only: Only) -> None:
    header = b"a 2 100 2\na.d1 16+4 1 16 0 0 0 0 I\nb.dat 61 1 16 0 0 0 0 II\n"
    ecg = only({"a.hea": header, "a.d1": b"xxxx" + _dat([1, 2]), "b.dat": b"\x00\x03\x00\x04"})
    assert ecg.values.array.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_a_matlab_5_file_as_signal_file(only: Only) -> None:
    content = io.BytesIO()
    scipy.io.savemat(content, {"val": np.array([[1, 2, 3], [4, 5, 6]], np.int16)}, do_compression=True)
    header = b"a 2 100 3\na.mat 16+24 2/mV 16 0 0 0 0 I\na.mat 16+24 1/mV 16 0 0 0 0 II\n"
    ecg = only({"a.hea": header, "a.mat": content.getvalue()})
    assert ecg.values.array.tolist() == [[0.5, 1.0, 1.5], [4.0, 5.0, 6.0]]


def test_a_signal_file_that_ends_early_is_read_as_far_as_it_goes(only: Only) -> None:
    ecg = only({"a.hea": b"a 1 100 5\na.dat 16 1 16 0 0 0 0 I\n", "a.dat": _dat([1, 2, 3])})
    np.testing.assert_array_equal(ecg.values.array, [[1, 2, 3, np.nan, np.nan]])
    assert any("ends 0.020 s early" in note for note in ecg.origin.notes)


def test_a_wrong_check_sum_and_an_absent_calibration_are_noted(only: Only) -> None:
    ecg = only({"a.hea": b"a 1 100 2\na.dat 16 0 16 0 0 77 0 I\n", "a.dat": _dat([200, 400])})
    assert ecg.values.array.tolist() == [[1.0, 2.0]]
    assert [n for n in ecg.origin.notes if "check sum" in n] and [
        n for n in ecg.origin.notes if "200 steps" in n
    ]


def test_segments_fixed_and_with_a_gap(only: Only) -> None:
    files = {
        "m.hea": b"m/3 2 100 6\ns1 2\n~ 2\ns2 2\n",
        "s1.hea": b"s1 2 100 2\ns1.dat 16 1 16 0 0 0 0 I\ns1.dat 16 1 16 0 0 0 0 II\n",
        "s2.hea": b"s2 2 100 2\ns2.dat 16 2 16 0 0 0 0 I\ns2.dat 16 2 16 0 0 0 0 II\n",
        "s1.dat": _dat([1, 2], [3, 4]),
        "s2.dat": _dat([10, 12], [14, 16]),
    }
    ecg = only(files)
    np.testing.assert_array_equal(
        ecg.values.array, [[1, 2, np.nan, np.nan, 5, 6], [3, 4, np.nan, np.nan, 7, 8]]
    )


def test_segments_in_the_variable_layout_are_matched_by_name(only: Only) -> None:
    files = {
        "m.hea": b"m/3 2 100 4\nlay 0\ns1 2\ns2 2\n",
        "lay.hea": b"lay 2 100 0\n~ 0 1 16 0 0 0 0 I\n~ 0 1 16 0 0 0 0 II\n",
        "s1.hea": b"s1 1 100 2\ns1.dat 16 1 16 0 0 0 0 II\n",
        "s2.hea": b"s2 2 100 2\ns2.dat 16 1 16 0 0 0 0 II\ns2.dat 16 1 16 0 0 0 0 I\n",
        "s1.dat": _dat([1, 2]),
        "s2.dat": _dat([3, 4], [5, 6]),
    }
    ecg = only(files)
    np.testing.assert_array_equal(ecg.values.array, [[np.nan, np.nan, 5, 6], [1, 2, 3, 4]])


@pytest.mark.parametrize(
    ("comments", "age", "sex"),
    [
        ("# 69 M 1085 1629 x1", 69.0, "male"),
        ("# -1 M 742 654 x1", None, "male"),
        ("#Age: 61  Sex: M", 61.0, "male"),
        ("#<age>: 51\n#<sex>: F", 51.0, "female"),
        ("# Age: 74\n# Sex: Female", 74.0, "female"),
        ("# Age: NaN\n# Sex: Unknown", None, None),
    ],
)
def test_age_and_sex_in_the_words_of_several_sets(
    pieces: Callable[[Files], tuple[Arrival, ...]], comments: str, age: float | None, sex: str | None
) -> None:
    header = b"a 1 100 2\na.dat 16 1 16 0 0 0 0 I\n" + comments.encode() + b"\n"
    arrivals = pieces({"a.hea": header, "a.dat": _dat([1, 2])})
    records = [a.part for a in arrivals if isinstance(a.part, Record)]
    assert [(r.age_a, r.sex) for r in records] == ([(age, sex)] if age or sex else [])


def test_diagnoses_become_statements(pieces: Callable[[Files], tuple[Arrival, ...]]) -> None:
    header = (
        b"a 1 100 2\na.dat 16 1 16 0 0 0 0 I\n# Dx: 164889003,999999\n"
        b"#<diagnoses>:\n#Rhythm: Sinus bradycardia.\n#Probable something. \n"
    )
    arrivals = pieces({"a.hea": header, "a.dat": _dat([1, 2])})
    (findings,) = (a.findings for a in arrivals if a.findings)
    items = [item for item in findings.items if isinstance(item, Statement)]
    assert [i.code.meaning for i in items] == [
        "Atrial Fibrillation",
        "SNOMED CT 999999",
        "Sinus Bradycardia",
        "Electrocardiogram finding",
    ]
    assert all(i.verdict == "met" and i.rule.startswith("as the record's header states") for i in items)
    ecg = next(a.part for a in arrivals if isinstance(a.part, Ecg))
    assert {a.study for a in arrivals} == {findings.study}
    assert items[0].evidence[0].part == ecg.origin.uid


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"a 1 -5 2\na.dat 16 1 16 0 0 0 0 I\n", "-5"),
        (b"a 2 100 2\na.dat 16 1 16 0 0 0 0 I\n", "1 lines"),
        (b"a 1 100 2\nb.dat 16 1 16 0 0 0 0 I\n", "b.dat"),
        (b"a 1 100 2\na.dat 516 1 16 0 0 0 0 I\n", "516"),
        (b"a 1 100 2\na.dat 16 1/mmHg 16 0 0 0 0 ABP\n", "no electrocardiogram"),
        (b"a 1 100 99999999999\na.dat 16 1 16 0 0 0 0 I\n", "promises"),
        (b"a 1 100 2\na.dat 16 x/mV 16 0 0 0 0 I\n", "gain"),
        (b"a 1 100 2\na.dat 16 1 16 0 zero 0 0 I\n", "whole numbers"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    refusal: Callable[[Files], Problem], header: bytes, words: str
) -> None:
    problem = refusal({"a.hea": header, "a.dat": _dat([1, 2])})
    assert words in str(problem) and problem.needed


def test_record_names_of_two_sets_are_not_one_patient(
    pieces: Callable[[Files], tuple[Arrival, ...]],
) -> None:
    (arrival,) = pieces({"100.hea": b"100 1 100 2\n100.dat 16 1 16 0 0 0 0 I\n", "100.dat": _dat([1, 2])})
    assert (arrival.patient.id, arrival.patient.issuer) == ("100", "set")


@pytest.mark.parametrize("fmt", [16, 212])
def test_written_and_read_back(only: Only, twelve: Ecg, fmt: int) -> None:
    back = only(write_wfdb(twelve, "rec", fmt=fmt, comments=("Age: 50",), time="2020-01-02T03:04:05"))
    np.testing.assert_allclose(back.values.array, twelve.values.array, atol=1e-6)
    assert (back.leads, back.rate_hz, back.origin.time) == (twelve.leads, 500.0, "2020-01-02T03:04:05")
    assert not back.origin.notes


def test_the_same_bytes_are_the_same_study_and_others_are_not(only: Only, twelve: Ecg) -> None:
    files = write_wfdb(twelve, "rec")
    again = only(files)
    assert only(files).origin.uid == again.origin.uid
    changed = {**files, "rec.dat": files["rec.dat"][:-1] + b"\x07"}
    assert only(changed).origin.uid != again.origin.uid


# --- against wfdb -----------------------------------------------------------------------------------------


@PANDAS
@pytest.mark.peer
@pytest.mark.parametrize("fmt", [16, 212])
def test_wfdb_reads_what_was_written(
    library: Callable[[str], ModuleType], twelve: Ecg, tmp_path: Path, fmt: int
) -> None:
    wfdb = library("wfdb")
    values = twelve.values.array.copy()
    values[3, 100:120] = np.nan
    holed = Ecg(twelve.origin, type(twelve.values).of(values), twelve.leads, 500.0, lsb_mV=twelve.lsb_mV)
    for name, content in write_wfdb(holed, "rec", fmt=fmt, time="2020-01-02T03:04:05").items():
        (tmp_path / name).write_bytes(content)
    record = wfdb.rdrecord(str(tmp_path / "rec"))
    np.testing.assert_allclose(record.p_signal.T, values, atol=1e-6)
    assert tuple(record.sig_name) == twelve.leads
    assert record.base_date == datetime.date(2020, 1, 2)
    told = wfdb.rdrecord(str(tmp_path / "rec"), physical=False)
    assert [c % 65536 for c in told.checksum] == [c % 65536 for c in told.calc_checksum()]


def _compare(wfdb: ModuleType, ecg: Ecg, stem: Path) -> None:
    if "-" in stem.with_suffix(".hea").read_text().splitlines()[0]:
        # The challenge of 2017 wrote date before time, which wfdb refuses; its samples are plain µV.
        theirs = scipy.io.loadmat(stem.with_suffix(".mat"))["val"] / 1000
        np.testing.assert_allclose(ecg.values.array, theirs, rtol=2e-6)
        return
    record = wfdb.rdrecord(str(stem))
    np.testing.assert_allclose(ecg.values.array, record.p_signal.T.astype(np.float32), rtol=2e-6, atol=1e-6)
    assert ecg.rate_hz == record.fs


_SETS = {
    "ludb": 121,
    "mitbih-9": 6,
    "qtdb-subset": 15,
    "cinc2017-300": 201,
    "cinc2021-sample": 44,
    "svdb-800": 1,
}


@PANDAS
@pytest.mark.peer
@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(_SETS))
def test_every_record_equals_wfdb(
    name: str,
    data: Callable[[str], Path],
    library: Callable[[str], ModuleType],
    deliver_path: Callable[[Path], Delivery],
) -> None:
    """All records of a set, every sample; the numbers are of the files that are here."""
    wfdb = library("wfdb")
    folder = data(name)
    found = deliver_path(folder)
    ecgs = {a.part.origin.label: a.part for a in found.arrivals if isinstance(a.part, Ecg)}
    assert len(ecgs) == _SETS[name]
    stems = {path.stem: path.with_suffix("") for path in folder.rglob("*.hea")}
    for label, ecg in ecgs.items():
        _compare(wfdb, ecg, stems[label])
        ecg.values.release()


@PANDAS
@pytest.mark.peer
@pytest.mark.data
@pytest.mark.parametrize("name", ["ludb/data/1", "mitbih-9/100", "qtdb-subset/sel30", "qtdb-subset/sel14046"])
def test_some_records_equal_wfdb(
    name: str,
    data: Callable[[str], Path],
    library: Callable[[str], ModuleType],
    deliver_path: Callable[[Path], Delivery],
) -> None:
    stem = data(name.split("/", 1)[0]).parent / name
    (ecg,) = (a.part for a in deliver_path(stem.with_suffix(".hea")).arrivals if isinstance(a.part, Ecg))
    _compare(library("wfdb"), ecg, stem)
