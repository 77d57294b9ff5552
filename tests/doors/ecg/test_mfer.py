"""MFER: made-up files by the description."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from carna.case import Problem
from carna.study import Ecg

Files = Mapping[str, bytes]


def _tag(tag: int, value: bytes) -> bytes:
    size = bytes([len(value)]) if len(value) < 128 else bytes([0x82]) + len(value).to_bytes(2, "big")
    return bytes([tag]) + size + value


def _file(wave: bytes, *more: bytes, kind: int = 0) -> bytes:
    return b"".join(
        (
            _tag(0x40, b"MFR Standard 12 leads ECG" + b" " * 7),
            _tag(0x01, b"\x01"),
            _tag(0x82, b"P-9\0"),
            _tag(0x85, (2020).to_bytes(2, "little") + bytes([1, 2, 3, 4, 5]) + bytes(4)),
            _tag(0x0B, b"\x00\x00\xf4\x01"),  # 500 x 10^0 Hz
            _tag(0x0C, b"\x00\xfa\x05\x00"),  # 5 x 10^-6 V
            _tag(0x0A, bytes([kind])),
            _tag(0x12, b"\x00\x80"),
            _tag(0x04, b"\x02\0\0\0"),
            _tag(0x05, b"\x02"),
            _tag(0x06, b"\x02\0"),
            b"\x3f\x00" + bytes([4]) + _tag(0x09, b"\x01\x00"),
            b"\x3f\x01" + bytes([4]) + _tag(0x09, b"\x3d\x00"),
            *more,
            _tag(0x1E, wave),
            b"\x80\x00",
        )
    )


def test_blocks_channels_and_the_null_value(only: Callable[[Files], Ecg]) -> None:
    wave = np.array([[[1, 2], [10, 20]], [[3, 4], [-32768, 40]]], "<i2").tobytes()
    ecg = only({"a.mwf": _file(wave)})
    expected = np.array([[1, 2, 3, 4], [10, 20, np.nan, 40]]) * 0.005
    np.testing.assert_allclose(ecg.values.array, expected, rtol=1e-6)
    assert (ecg.leads, ecg.rate_hz, ecg.origin.time) == (("I", "III"), 500.0, "2020-01-02T03:04:05")
    assert any("no file of a real device" in n for n in ecg.origin.notes)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_file(b"\0" * 4), "samples for blocks"),
        (_file(b"\0" * 8, _tag(0x0C, b"\x01\x00\x05\x00")), "scale in V"),
        (_file(b"\0" * 8, _tag(0x0E, b"\x01\x00")), "packed"),
        (_file(b"\0" * 8, kind=9), "data type 9"),
        (_file(b"\0" * 8)[:-6], "a whole file"),
    ],
)
def test_what_is_refused(refusal: Callable[[Files], Problem], data: bytes, words: str) -> None:
    assert words in str(refusal({"a.mwf": data}))
