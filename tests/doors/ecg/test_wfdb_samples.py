"""Storage formats against a scalar reading of their description, one sample at a time."""

from __future__ import annotations

import numpy as np
import pytest

from carna.doors.ecg.wfdb_samples import BITS, available, decode, encode, missing_code
from carna.errors import InputError


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def _slow(data: bytes, fmt: int) -> list[int]:
    out: list[int] = []
    if fmt == 212:
        for at in range(0, len(data) - 1, 3):
            out.append(_signed(data[at] | (data[at + 1] & 15) << 8, 12))
            if at + 2 < len(data):
                out.append(_signed(data[at + 2] | (data[at + 1] >> 4) << 8, 12))
    elif fmt == 311:
        for at in range(0, len(data), 4):
            word = int.from_bytes(data[at : at + 4], "little")
            out += [_signed(word >> shift & 1023, 10) for shift in (0, 10, 20)]
    elif fmt == 310:
        for at in range(0, len(data), 4):
            low, high = (int.from_bytes(data[at + k : at + k + 2], "little") for k in (0, 2))
            out += [_signed(low >> 1 & 1023, 10), _signed(high >> 1 & 1023, 10)]
            out.append(_signed(low >> 11 | high >> 11 << 5, 10))
    else:
        size = BITS[fmt] // 8
        for at in range(0, len(data), size):
            whole = int.from_bytes(data[at : at + size], "big" if fmt == 61 else "little")
            out.append(whole - (1 << (8 * size - 1)) if fmt in (80, 160) else _signed(whole, 8 * size))
    return out


@pytest.mark.parametrize("fmt", sorted(BITS))
def test_each_format_against_the_slow_reading(fmt: int) -> None:
    data = np.random.default_rng(fmt).integers(0, 256, 1200, np.uint8).tobytes()
    assert decode(data, fmt).tolist() == _slow(data, fmt)


@pytest.mark.parametrize("fmt", sorted(BITS))
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7])
def test_a_file_cut_anywhere_gives_its_whole_samples(fmt: int, size: int) -> None:
    assert len(decode(b"\x11" * size, fmt)) == available(size, fmt)


@pytest.mark.parametrize("fmt", [16, 212])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_encode_is_the_inverse(fmt: int, count: int) -> None:
    top = 1 << (BITS[fmt] - 1)
    samples = np.random.default_rng(count).integers(-top, top, count)
    assert decode(encode(samples, fmt), fmt)[:count].tolist() == samples.tolist()


def test_the_lowest_code_is_the_missing_one() -> None:
    assert decode(b"\x00\x80", 16)[0] == missing_code(16)
    assert decode(b"\x00\x08\x00", 212)[0] == missing_code(212)
    assert decode(b"\x00", 80)[0] == missing_code(80)
    assert missing_code(8) is None


def test_unknown_formats_and_overflow_are_refused() -> None:
    with pytest.raises(InputError, match="516"):
        decode(b"", 516)
    with pytest.raises(InputError, match="12 bit"):
        encode(np.array([2048]), 212)
    with pytest.raises(InputError, match="310"):
        encode(np.array([1]), 310)
