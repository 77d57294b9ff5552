"""SCP-ECG: the coding against its definition, round trips, check sums, and the reduced forms."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from carna import codes
from carna.case import Problem
from carna.doors.arrive import Arrival
from carna.doors.ecg.scp import _assembled, _written_tags, write_scp
from carna.doors.ecg.scp_huffman import (
    DEFAULT,
    differences,
    huffman_decode,
    huffman_encode,
    integrate,
    tables_of,
)
from carna.findings import Measurement, Statement
from carna.study import Ecg, Lazy, Record

Files = Mapping[str, bytes]


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (0, "0"), (1, "100"), (-1, "101"), (2, "1100"), (-2, "1101"), (3, "11100"), (-3, "11101"),
        (8, "1111111100"), (-8, "1111111101"),
        (9, "1111111110" + "00001001"), (-9, "1111111110" + "11110111"),
        (1000, "1111111111" + f"{1000:016b}"), (-1000, "1111111111" + f"{65536 - 1000:016b}"),
    ],
)  # fmt: skip
def test_the_default_table_bit_by_bit(value: int, bits: str) -> None:
    encoded = huffman_encode(np.array([value]))
    assert "".join(f"{byte:08b}" for byte in encoded) == bits.ljust(-(-len(bits) // 8) * 8, "0")
    assert huffman_decode(encoded, [DEFAULT], 1).tolist() == [value]


def test_a_table_in_the_file_is_read_like_the_default() -> None:
    rows = []
    for (length, prefix), code in DEFAULT.items():
        stored = int(f"{prefix:0{length}b}"[::-1], 2)
        rows.append(struct.pack("<BBBhI", length, length + code.extra, 1, code.value, stored))
    body = struct.pack("<HH", 1, len(rows)) + b"".join(rows)
    assert tables_of(body) == [DEFAULT] == tables_of(struct.pack("<H", 19999))


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("count", [1, 2, 3, 500])
def test_differences_and_back(order: int, count: int) -> None:
    samples = np.random.default_rng(count).integers(-9000, 9000, count)
    diffs = differences(samples, order)
    if order == 2 and count > 2:
        assert diffs[2] == samples[2] - 2 * samples[1] + samples[0]
    assert integrate(diffs, order).tolist() == samples.tolist()


@pytest.mark.parametrize("huffman", [False, True])
def test_written_and_read_back(
    only: Callable[[Files], Ecg], pieces: Callable[[Files], tuple[Arrival, ...]], twelve: Ecg, huffman: bool
) -> None:
    files = {"a.scp": write_scp(twelve, huffman=huffman, patient="P-7", time="2020-01-02T03:04:05")}
    back = only(files)
    np.testing.assert_allclose(back.values.array, twelve.values.array, atol=1e-6)
    assert (back.leads, back.rate_hz) == (twelve.leads, 500.0)
    assert back.lsb_mV[0] == pytest.approx(0.005)
    assert back.origin.time == "2020-01-02T03:04:05" and back.origin.notes == ()
    assert pieces(files)[0].patient.id == "P-7"


def test_huffman_makes_a_calm_ecg_smaller(twelve: Ecg) -> None:
    calm = Ecg(
        twelve.origin,
        Lazy.of(np.sin(np.linspace(0, 30, 24000)).reshape(12, 2000).astype(np.float32)),
        twelve.leads,
        500.0,
        lsb_mV=twelve.lsb_mV,
    )
    assert len(write_scp(calm)) < 0.4 * len(write_scp(calm, huffman=False))


def test_a_wrong_check_sum_is_noted_and_the_ecg_read(only: Callable[[Files], Ecg], twelve: Ecg) -> None:
    data = bytearray(write_scp(twelve, huffman=False))
    data[-2] ^= 1
    notes = only({"a.scp": bytes(data)}).origin.notes
    assert "the check sum of the file is wrong" in notes and "the check sum of section 6 is wrong" in notes


def _sections(twelve: Ecg) -> dict[int, bytes]:
    one = np.asarray(np.rint(twelve.values.array[:1, :400] / 0.005), "<i2")
    return {
        1: _written_tags("P", "2020-01-02T03:04:05")[:-3]
        + struct.pack("<BHHB", 4, 3, 61, 1)
        + struct.pack("<BHB", 8, 1, 2)
        + b"\xff\0\0",
        3: struct.pack("<BBIIB", 1, 0, 1, 400, 2),
        6: struct.pack("<HHBBH", 5000, 2000, 0, 0, 800) + one.tobytes(),
    }


def test_person_measurements_and_statements(
    pieces: Callable[[Files], tuple[Arrival, ...]], twelve: Ecg
) -> None:
    text = b"Sinus rhythm\0"
    sections = _sections(twelve) | {
        7: struct.pack("<BBHH5H3h", 1, 0, 800, 29999, 100, 200, 260, 350, 640, 45, -30, 999),
        8: bytes(8) + b"\x01" + struct.pack("<BH", 1, len(text)) + text,
        10: struct.pack("<HHHH16h", 1, 0, 3, 32, 90, 160, 88, *[29999] * 6, -50, 700, -900, 0, 0, 20, 0),
    }
    arrivals = pieces({"a.scp": _assembled(sections)})
    (findings,) = (a.findings for a in arrivals if a.findings)
    numbers = {i.id: i.value for i in findings.items if isinstance(i, Measurement)}
    assert numbers == {
        "rr_interval": 800, "p_duration": 100, "pr_interval": 160, "qrs_duration": 90, "qt_interval": 380,
        "p_axis": 45, "qrs_axis": -30, "lead.v1.p_duration": 90, "lead.v1.qrs_duration": 88,
        "lead.v1.q_amplitude": -50, "lead.v1.r_amplitude": 700, "lead.v1.s_amplitude": -900,
        "lead.v1.j_amplitude": 20,
    }  # fmt: skip
    (statement,) = (i for i in findings.items if isinstance(i, Statement))
    assert statement.code == codes.SINUS_RHYTHM
    (record,) = (a.part for a in arrivals if isinstance(a.part, Record))
    assert (record.age_a, record.sex) == (61.0, "female")


def test_a_subtracted_reference_beat_is_added_back(
    only_median: Callable[[Files], list[Ecg]], twelve: Ecg
) -> None:
    rhythm = np.asarray(np.rint(twelve.values.array[0, :400] / 0.005), np.int64)
    beat = np.arange(-20, 20)
    residual = rhythm.copy()
    residual[99:139] -= beat  # beat begins at sample 100; its fiducial, the 11th of it, at 110
    sections = _sections(twelve) | {
        3: struct.pack("<BBIIB", 1, 1, 1, 400, 2),
        4: struct.pack("<HHH", 80, 11, 1)
        + struct.pack("<HIII", 0, 100, 110, 139)
        + struct.pack("<II", 100, 139),
        5: struct.pack("<HHBBH", 5000, 2000, 0, 0, 80) + beat.astype("<i2").tobytes(),
        6: struct.pack("<HHBBH", 5000, 2000, 0, 0, 800) + residual.astype("<i2").tobytes(),
    }
    ecg, median = only_median({"a.scp": _assembled(sections)})
    np.testing.assert_allclose(ecg.values.array[0] / 0.005, rhythm, atol=1e-3)
    np.testing.assert_allclose(median.values.array[0] / 0.005, beat, atol=1e-3)
    assert any("unverified" in note for note in ecg.origin.notes) and median.kind == "median"


@pytest.fixture
def only_median(pieces: Callable[[Files], tuple[Arrival, ...]]) -> Callable[[Files], list[Ecg]]:
    return lambda files: [a.part for a in pieces(files) if isinstance(a.part, Ecg)]


def test_thinned_samples_are_interpolated(only: Callable[[Files], Ecg], twelve: Ecg) -> None:
    ramp = np.arange(400) * 4
    thin = [ramp[at : at + 4].mean() for at in range(0, 100, 4)]
    thin += [*ramp[100:140], *(ramp[at : at + 4].mean() for at in range(140, 400, 4))]
    stored = np.rint(thin).astype("<i2")
    sections = _sections(twelve) | {
        4: struct.pack("<HHH", 80, 11, 1) + struct.pack("<HIII", 0, 0, 0, 0) + struct.pack("<II", 101, 140),
        6: struct.pack("<HHBBH", 5000, 2000, 0, 1, 2 * len(stored)) + stored.tobytes(),
    }
    ecg = only({"a.scp": _assembled(sections)})
    np.testing.assert_allclose(ecg.values.array[0, 100:140] / 0.005, ramp[100:140], atol=1e-3)
    np.testing.assert_allclose(ecg.values.array[0, 2:398] / 0.005, ramp[2:398], atol=1.01)


@pytest.mark.parametrize(
    ("drop", "words"), [(3, "sections"), (6, "sections")],
)  # fmt: skip
def test_a_file_without_leads_or_samples_is_refused(
    refusal: Callable[[Files], Problem], twelve: Ecg, drop: int, words: str
) -> None:
    sections = {id: body for id, body in _sections(twelve).items() if id != drop}
    assert words in str(refusal({"a.scp": _assembled(sections)}))
