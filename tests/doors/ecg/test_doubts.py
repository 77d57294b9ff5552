"""What a sender should know of a recording that can be read: named once, and never without cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from carna.doors.arrive import Delivery
from carna.doors.ecg.doubts import clipped, gaps
from carna.doors.ecg.edf import write_edf
from carna.doors.ecg.table import write_csv
from carna.doors.ecg.wfdb import write_wfdb
from carna.study import Ecg, Lazy

Files = Mapping[str, bytes]
Deliver = Callable[[Files], Delivery]


def _wave(n: int = 2000) -> np.ndarray:
    wave: np.ndarray = np.rint(1000 * np.sin(np.arange(n) / 40)).astype("<i2")
    return wave


def _wfdb(*columns: np.ndarray, bits: int = 12, unit: str = "mV", names: str = "I V1") -> dict[str, bytes]:
    lines = [f"a {len(columns)} 500 {len(columns[0])}"]
    lines += [f"a.dat 16 1000/{unit} {bits} 0 0 0 0 {name}" for name in names.split()[: len(columns)]]
    return {"a.hea": ("\n".join(lines) + "\n").encode(), "a.dat": np.stack(columns, 1).tobytes()}


def test_gaps_are_those_between_samples_or_whole_leads() -> None:
    assert gaps(np.array([1, 1, 0, 0, 1], bool)) == 0
    assert gaps(np.array([1, 0, 1, 1, 0, 1, 0, 1], bool)) == 3
    assert gaps(np.ones(7, bool)) == 7
    assert clipped(np.array([1, 1, 1, 0, 1, 1, 1, 1, 1], bool)) == 5


def test_an_intact_recording_raises_no_doubt(deliver: Deliver) -> None:
    assert deliver(_wfdb(_wave(), _wave())).problems == ()


def test_lost_samples_are_a_problem_once_a_record(deliver: Deliver) -> None:
    one, two = _wave(), _wave()
    one[10:30] = two[500] = -32768
    two[:100] = -32768  # recorded later, not lost
    (problem,) = deliver(_wfdb(one, two)).problems
    assert problem.file.endswith("a.hea")
    assert problem.found == "samples not recorded: I 20, V1 1" and problem.needed and problem.fix


def test_clipping_is_four_samples_at_the_rail(deliver: Deliver) -> None:
    one, two = _wave(), _wave()
    one[100:103] = 2047
    assert deliver(_wfdb(one, two)).problems == ()
    one[200:204] = 2047
    two[300:310] = -2048
    (problem,) = deliver(_wfdb(one, two)).problems
    assert problem.found == "samples clipped: I 4, V1 10" and "gain" in problem.fix
    # What lies beyond the stated range shows that the header has it wrong.
    one[0] = 3000
    assert deliver(_wfdb(one, _wave())).problems == ()
    assert deliver(_wfdb(one, two, bits=16)).problems == ()


def test_a_lead_named_twice_and_one_without_voltage_are_problems(deliver: Deliver) -> None:
    (problem,) = deliver(_wfdb(_wave(), _wave(), names="II ii")).problems
    assert problem.found == "a lead name comes more than once: II" and "II 2" in problem.fix
    files = _wfdb(_wave(), _wave())
    files["a.hea"] = files["a.hea"].replace(b"1000/mV 12 0 0 0 0 V1", b"1000/foo 12 0 0 0 0 V1")
    (problem,) = deliver(files).problems
    assert problem.found == "leads left out: V1 in 'foo'" and problem.needed == "mV, uV or V"


def test_long_records_are_not_decoded_only_to_look(deliver: Deliver) -> None:
    long = np.tile(_wave(), 300)
    long[100:200] = 2047
    assert deliver(_wfdb(long, long)).problems == ()


def test_other_formats_are_looked_at_too(deliver: Deliver, twelve: Ecg) -> None:
    values = twelve.values.array.copy()
    assert deliver({"a.csv": write_csv(twelve)}).problems == ()
    assert deliver({"a.edf": write_edf(twelve)}).problems == ()
    values[1, 5:9] = np.nan
    (problem,) = deliver({"a.csv": write_csv(replace(twelve, values=Lazy.of(values)))}).problems
    assert problem.found == f"samples not recorded: {twelve.leads[1]} 4"
    data = bytearray(write_edf(twelve))
    header = int(data[184:192])
    data[header : header + 10] = np.full(5, 32767, "<i2").tobytes()
    (problem,) = deliver({"a.edf": bytes(data)}).problems
    assert problem.found == "samples clipped: ECG I 5"


@pytest.mark.parametrize("rate", ["inf", "-500", "0", "nan"])
def test_an_impossible_rate_is_named(deliver: Deliver, twelve: Ecg, rate: str) -> None:
    files = write_wfdb(twelve, "a")
    first, _, rest = files["a.hea"].partition(b"\n")
    words = first.split()
    words[2] = rate.encode()
    (problem,) = deliver({**files, "a.hea": b" ".join(words) + b"\n" + rest}).problems
    assert problem.found == f"a sampling rate of {rate} Hz" and problem.fix


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("I,II,V1\n1,2,3\n1,2,3\n", "the sampling rate and the unit stated nowhere"),
        ("I,II\n1,2\n1,2\n", "the sampling rate and the unit stated nowhere"),
        ("ecg\n1\n2\n", "the sampling rate and the unit stated nowhere"),
        ("II [mV],V1 [mV]\n1,2\n1,2\n", "the sampling rate stated nowhere"),
        (
            "Time [s],II [mV]\n0,1\n0.002,1\n0.001,2\n0.006,1\n",
            "a time column that does not go forward: 0.001 s in row 3 after 0.002 s",
        ),
        (
            "Time [s],II [mV],V1 [mV]\n0.3,1,1\n0.2,1,1\n0.1,2,1\n",
            "a time column that does not go forward: 0.2 s in row 2 after 0.3 s",
        ),
    ],
)
def test_a_table_without_a_clock_says_exactly_that(deliver: Deliver, table: str, found: str) -> None:
    (problem,) = deliver({"a.csv": table.encode()}).problems
    assert problem.found == found and problem.fix


@pytest.mark.data
@pytest.mark.parametrize("name", ["ludb", "cinc2021-sample", "mitbih-9", "ecg-vendor-files"])
def test_no_false_alarm_on_real_records(
    data: Callable[[str], Path], deliver_path: Callable[[Path], Delivery], name: str
) -> None:
    delivery = deliver_path(data(name))
    assert sum(isinstance(a.part, Ecg) for a in delivery.arrivals) >= 6
    words = ("samples ", "a lead name", "leads left out")
    assert not [p for p in delivery.problems if p.found.startswith(words)]
