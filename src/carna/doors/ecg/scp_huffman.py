"""The entropy coding of SCP-ECG: Huffman tables, differences, and their inverses.

Values are differences of the samples, coded with short prefixes for small ones; two prefixes say
that 8 or 16 plain bits follow. EN 1064:2005, section 2 and annex C.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

__all__ = [
    "DEFAULT",
    "Code",
    "Table",
    "differences",
    "huffman_decode",
    "huffman_encode",
    "integrate",
    "tables_of",
]

Ints = npt.NDArray[np.int64]
DEFAULT_TABLES = 19999


@dataclass(frozen=True, slots=True)
class Code:
    """What a prefix stands for: ``value``, or ``extra`` plain bits, or a change to table ``switch``."""

    value: int
    extra: int = 0
    switch: int | None = None


Table = Mapping[tuple[int, int], Code]


def _default() -> Table:
    """Return the standard's own table: 0, then 1...10s for each size, sign last."""
    table = {(1, 0): Code(0)}
    for size in range(1, 9):
        ones = (1 << (size + 1)) - 2  # 10, 110, ... before the sign bit
        length = size + 2
        prefix = ones << 1
        table[length, prefix] = Code(size)
        table[length, prefix | 1] = Code(-size)
    table[10, 0b1111111110] = Code(0, 8)
    table[10, 0b1111111111] = Code(0, 16)
    return table


DEFAULT = _default()
"""(prefix length, prefix) -> code."""


def tables_of(body: bytes) -> list[Table]:
    """Return the tables of a section 2; the standard's own if it names that one.

    Raises
    ------
    InputError
        If the section ends within a table.
    """
    count = int.from_bytes(body[:2], "little")
    if count == DEFAULT_TABLES:
        return [DEFAULT]
    tables: list[Table] = []
    at = 2
    for _ in range(count):
        codes: dict[tuple[int, int], Code] = {}
        rows = int.from_bytes(body[at : at + 2], "little")
        at += 2
        for _ in range(rows):
            row = body[at : at + 9]
            if len(row) < 9:
                raise InputError(
                    "a Huffman table that ends early", needed="a whole section 2", fix="send it again"
                )
            prefix, total, mode = row[0], row[1], row[2]
            value = int.from_bytes(row[3:5], "little", signed=True)
            stored = int.from_bytes(row[5:9], "little")
            if not 1 <= prefix <= 32 or not prefix <= total <= prefix + 32:
                raise InputError(f"a Huffman prefix of {prefix} of {total} bits", needed="1 to 32")
            # The first bit of the prefix is stored lowest.
            code = int(f"{stored:032b}"[::-1][:prefix], 2)
            codes[prefix, code] = Code(value, total - prefix, None if mode else value)
            at += 9
        tables.append(codes)
    if not tables:
        raise InputError(
            "section 2 without a Huffman table", needed="at least one, or the default's mark 19999"
        )
    return tables


def huffman_decode(data: bytes, tables: Sequence[Table], count: int) -> Ints:
    """Return ``count`` values, or as many as the bytes hold."""
    out: list[int] = []
    bits = np.unpackbits(np.frombuffer(data, np.uint8)).tolist()
    table, longest = tables[0], max(length for length, _ in tables[0])
    at, total = 0, len(bits)
    length = prefix = 0
    while len(out) < count and at < total:
        prefix = prefix << 1 | bits[at]
        at += 1
        length += 1
        code = table.get((length, prefix))
        if code is None:
            if length > longest:
                break  # no code at all: what follows is damage
            continue
        length = prefix = 0
        if code.switch is not None:
            if not 1 <= code.switch <= len(tables):
                break
            table = tables[code.switch - 1]
            longest = max(n for n, _ in table)
        elif code.extra:
            if at + code.extra > total:
                break
            value = 0
            for bit in bits[at : at + code.extra]:
                value = value << 1 | bit
            at += code.extra
            out.append(value - (1 << code.extra) if value >> (code.extra - 1) else value)
        else:
            out.append(code.value)
    return np.array(out, np.int64)


def huffman_encode(values: Ints) -> bytes:
    """Return values of at most 16 bits in the standard's own table, padded to whole bytes."""
    short = {
        code.value: f"{prefix:0{length}b}" for (length, prefix), code in DEFAULT.items() if not code.extra
    }
    words = []
    for value in values.tolist():
        word = short.get(value)
        if word is None:
            small = -128 <= value < 128
            word = ("1111111110" if small else "1111111111") + (
                f"{value & 0xFF:08b}" if small else f"{value & 0xFFFF:016b}"
            )
        words.append(word)
    text = "".join(words)
    text += "0" * (-len(text) % 8)
    return int(text or "0", 2).to_bytes(len(text) // 8, "big")


def differences(samples: Ints, order: int) -> Ints:
    """Return first or second differences; as many first values as the order stay absolute."""
    if order == 0:
        return samples
    out = samples.copy()
    out[order:] = np.diff(samples, order)
    return out


def integrate(values: Ints, order: int) -> Ints:
    """Return samples from their differences: the inverse of `differences`."""
    if order == 0 or len(values) <= order:
        return values
    if order == 1:
        return np.cumsum(values)
    # The first two are absolute, so the slope between them starts the sum of second differences.
    slope = np.cumsum(np.concatenate([[values[1] - values[0]], values[2:]]))
    return np.concatenate([[values[0]], values[0] + np.cumsum(slope)])
