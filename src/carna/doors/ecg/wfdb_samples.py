"""Samples of WFDB signal files: the storage formats, as whole numbers.

Each format packs samples of fixed width in a fixed order; one code of each, the lowest, stands
for a sample that was not recorded. Formats are described in the WFDB Applications Guide,
signal(5) (https://physionet.org/physiotools/wag/signal-5.htm).

=======  ==========================================================  =======
format   storage                                                     missing
=======  ==========================================================  =======
8        first differences, 8 bit                                    none
16, 61   two's complement, 16 bit, little and big endian             -32768
24, 32   two's complement, 24 and 32 bit, little endian              lowest
80, 160  offset binary, 8 and 16 bit                                 lowest
212      two of 12 bit in 3 bytes                                    -2048
310      three of 10 bit in 4 bytes, the third one split             -512
311      three of 10 bit in 4 bytes, one after the other             -512
=======  ==========================================================  =======
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

__all__ = ["BITS", "available", "decode", "encode", "missing_code"]

Ints = npt.NDArray[np.int32]

BITS = {8: 8, 16: 16, 24: 24, 32: 32, 61: 16, 80: 8, 160: 16, 212: 12, 310: 10, 311: 10}
"""Storage format -> bits of a sample."""


def missing_code(fmt: int) -> int | None:
    """Return the code of a sample that was not recorded, None where the format has none."""
    return None if fmt == 8 else -(1 << (BITS[fmt] - 1))


def available(size: int, fmt: int) -> int:
    """Return how many whole samples ``size`` bytes hold."""
    match fmt:
        case 212:
            return size // 3 * 2 + (size % 3 == 2)
        case 310 | 311:
            return size // 4 * 3 + (size % 4 >= 2)
        case 24:
            return size // 3
        case _:
            return size * 8 // BITS[fmt]


def decode(data: bytes, fmt: int) -> Ints:
    """Return all whole samples of some bytes; format 8 as the differences it stores.

    Raises
    ------
    InputError
        If the format is none of `BITS` (508, 516 and 524 are FLAC streams).
    """
    if fmt not in BITS:
        raise InputError(
            f"WFDB storage format {fmt}",
            needed=f"one of {', '.join(str(f) for f in BITS)}",
            fix="convert it with xform or wfdb2mat",
        )
    count = available(len(data), fmt)
    match fmt:
        case 8:
            return np.frombuffer(data, np.int8).astype(np.int32)
        case 16 | 61:
            return np.frombuffer(data, "<i2" if fmt == 16 else ">i2", count).astype(np.int32)
        case 32:
            return np.frombuffer(data, "<i4", count).astype(np.int32)
        case 80:
            return np.frombuffer(data, np.uint8).astype(np.int32) - 128
        case 160:
            return np.frombuffer(data, "<u2", count).astype(np.int32) - 32768
        case 24:
            low, mid, high = np.frombuffer(data, np.uint8, count * 3).reshape(-1, 3).astype(np.int32).T
            return np.asarray((high << 24 | mid << 16 | low << 8) >> 8)
        case 212:
            return _unpack_212(data, count)
        case _:
            return _unpack_10_bit(data, fmt, count)


def _unpack_212(data: bytes, count: int) -> Ints:
    padded = np.frombuffer(data + b"\0" * (-len(data) % 3), np.uint8).reshape(-1, 3).astype(np.int32)
    first = padded[:, 0] | (padded[:, 1] & 0x0F) << 8
    second = padded[:, 2] | (padded[:, 1] & 0xF0) << 4
    samples = np.stack([first, second], axis=1).ravel()[:count]
    return np.asarray((samples << 20) >> 20)


def _unpack_10_bit(data: bytes, fmt: int, count: int) -> Ints:
    words = np.frombuffer(data + b"\0" * (-len(data) % 4), "<u4").astype(np.int64)
    if fmt == 311:
        triple = [words & 0x3FF, words >> 10 & 0x3FF, words >> 20 & 0x3FF]
    else:
        low, high = words & 0xFFFF, words >> 16
        # The lowest bit of each half is unused; the third sample fills the upper five of both.
        triple = [low >> 1 & 0x3FF, high >> 1 & 0x3FF, (low >> 11 & 0x1F) | (high >> 11 & 0x1F) << 5]
    samples = np.stack(triple, axis=1).ravel()[:count].astype(np.int32)
    return np.asarray((samples << 22) >> 22)


def encode(samples: npt.NDArray[np.int64], fmt: int) -> bytes:
    """Return samples ``(n,)`` in storage format 16 or 212.

    Raises
    ------
    InputError
        For another format, or samples that do not fit it.
    """
    if fmt not in (16, 212):
        raise InputError(f"WFDB storage format {fmt}", needed="16 or 212 for writing")
    top = 1 << (BITS[fmt] - 1)
    if len(samples) and not -top <= samples.min() <= samples.max() < top:
        raise InputError(f"samples beyond {BITS[fmt]} bit", needed=f"-{top} to {top - 1}")
    if fmt == 16:
        return samples.astype("<i2").tobytes()
    even = np.append(samples, 0) if len(samples) % 2 else samples
    first, second = (even.reshape(-1, 2) & 0xFFF).T
    packed = np.stack([first & 0xFF, first >> 8 | second >> 8 << 4, second & 0xFF], axis=1)
    return packed.astype(np.uint8).tobytes()
