"""Command sets of DIMSE: implicit little endian, group 0000 (DICOM PS3.7, 6.3.1 and E.1).

A command set is some ten elements, so its codec is fifty lines: what is known is read and checked, what is
unknown is passed over, and a set whose lengths do not fit is `Malformed`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from carna.node.dimse.pdu import Malformed

C_STORE, C_GET, C_FIND, C_MOVE, C_ECHO = 0x0001, 0x0010, 0x0020, 0x0021, 0x0030
N_EVENT_REPORT, N_ACTION, C_CANCEL = 0x0100, 0x0130, 0x0FFF
REPLY: Final = 0x8000  # a command field with this bit answers the one without

AFFECTED_CLASS, REQUESTED_CLASS, FIELD, MESSAGE, REPLIED_TO = 0x0002, 0x0003, 0x0100, 0x0110, 0x0120
DESTINATION, PRIORITY, DATA_SET, STATUS, COMMENT = 0x0600, 0x0700, 0x0800, 0x0900, 0x0902
AFFECTED_INSTANCE, REQUESTED_INSTANCE, EVENT_TYPE, ACTION_TYPE = 0x1000, 0x1001, 0x1002, 0x1008
REMAINING, COMPLETED, FAILED, WARNED, ORIGINATOR, ORIGINAL = 0x1020, 0x1021, 0x1022, 0x1023, 0x1030, 0x1031

_NUMBERS: Final = frozenset(
    (FIELD, MESSAGE, REPLIED_TO, PRIORITY, DATA_SET, STATUS, EVENT_TYPE, ACTION_TYPE)
) | {REMAINING, COMPLETED, FAILED, WARNED, ORIGINAL}
_UIDS: Final = frozenset((AFFECTED_CLASS, REQUESTED_CLASS, AFFECTED_INSTANCE, REQUESTED_INSTANCE))
_TEXTS: Final = _UIDS | {DESTINATION, COMMENT, ORIGINATOR}
_COMMENT_LENGTH: Final = 64

NO_DATA: Final = 0x0101
MAX_BYTES: Final = 1 << 16  # of a command set; a real one has some 200

PENDING: Final = 0xFF00
SUCCESS: Final = 0x0000
CANCELLED: Final = 0xFE00
PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_INSTANCE: Final = 0x0117
NO_SUCH_CLASS: Final = 0x0122
NOT_AUTHORISED: Final = 0x0124
UNKNOWN_OPERATION: Final = 0x0211
OUT_OF_RESOURCES: Final = 0xA700
CANNOT_SEND: Final = 0xA702
UNKNOWN_DESTINATION: Final = 0xA801
DOES_NOT_MATCH: Final = 0xA900
SOME_FAILED: Final = 0xB000
NOT_UNDERSTOOD: Final = 0xC000

_HEAD = struct.Struct("<HHI")
_NUMBER = struct.Struct("<HHIH")


@final
@dataclass(frozen=True, slots=True)
class Command:
    """What a command set says: its numbers and its texts by element number."""

    numbers: Mapping[int, int]
    texts: Mapping[int, str]

    @property
    def field(self) -> int:
        """Return what is asked for, such as `C_STORE`, or answered (with `REPLY`)."""
        return self.numbers[FIELD]

    @property
    def message(self) -> int:
        """Return the number of the message; of an answer or a cancel, of the one it belongs to."""
        return self.numbers.get(REPLIED_TO if self._answers else MESSAGE, 0)

    @property
    def with_data(self) -> bool:
        """Whether a data set follows."""
        return self.numbers[DATA_SET] != NO_DATA

    @property
    def status(self) -> int:
        """Return the status of an answer; one that has none has failed."""
        return self.numbers.get(STATUS, PROCESSING_FAILURE)

    @property
    def _answers(self) -> bool:
        return bool(self.field & REPLY) or self.field == C_CANCEL


def read(data: bytes) -> Command:
    """Return what a command set says.

    Raises
    ------
    Malformed
        Lengths do not fit, elements are not in order, or one that every command has is missing.
    """
    numbers: dict[int, int] = {}
    texts: dict[int, str] = {}
    at, end, before = 0, len(data), -1
    while at < end:
        if end - at < 8:
            raise Malformed("a command set that is cut off")
        group, element, size = _HEAD.unpack_from(data, at)
        at += 8
        if group or element <= before or at + size > end:
            raise Malformed(f"a command set with ({group:04x},{element:04x}) of {size} bytes")
        before = element
        if element in _NUMBERS:
            if size != 2:
                raise Malformed(f"command element {element:04x} of {size} bytes; 2 are needed")
            numbers[element] = data[at] | data[at + 1] << 8
        elif element in _TEXTS:
            texts[element] = data[at : at + size].decode("latin-1").strip("\0 ")
        at += size
    answers = numbers.get(FIELD, 0) & REPLY or numbers.get(FIELD) == C_CANCEL
    for needed in (FIELD, DATA_SET, REPLIED_TO if answers else MESSAGE):
        if needed not in numbers:
            raise Malformed(f"a command set without element {needed:04x}")
    return Command(numbers, texts)


def write(values: Mapping[int, int | str], *, with_data: bool = False) -> bytes:
    """Return a command set, its group length and its data set type put in.

    Parameters
    ----------
    values : mapping
        Element number to number or text; an empty text is left out.
    with_data : bool
        Whether a data set follows.
    """
    pieces = []
    for element, value in sorted({**values, DATA_SET: 0x0001 if with_data else NO_DATA}.items()):
        if isinstance(value, int):
            pieces.append(_NUMBER.pack(0, element, 2, value))
        elif value:
            text = value.encode("latin-1", "replace")
            text = text[:_COMMENT_LENGTH] if element == COMMENT else text
            text += (b"\0" if element in _UIDS else b" ") * (len(text) % 2)
            pieces.append(_HEAD.pack(0, element, len(text)) + text)
    body = b"".join(pieces)
    return _HEAD.pack(0, 0, 4) + struct.pack("<I", len(body)) + body
