"""Protocol data units of the DICOM upper layer: bytes <-> what they say (DICOM PS3.8, 9.3).

Six bytes (type, reserved, length big endian) and a body. Lengths are taken at their word nowhere: each must
fit exactly into what holds it, or the PDU is `Malformed` and the association ends with an A-ABORT.
What the standard says is "not tested" (reserved bytes, unknown items) is not tested.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, final

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
HEADER: Final = 6
FIXED: Final = 68  # of an A-ASSOCIATE body, before its items
MAX_CONTEXTS: Final = 128
MAX_UID: Final = 64
_LARGEST: Final = 1 << 20  # P-DATA-TF that we send
APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
IMPLEMENTATION: Final = "2.25.262083478221480265049893410275219870573"
IMPLEMENTATION_VERSION: Final = "CARNA"

# Reasons of an A-ABORT by the service provider (PS3.8 table 9-26).
UNRECOGNISED_PDU, UNEXPECTED_PDU, INVALID_PARAMETER = 1, 2, 6
# Results of one presentation context (table 9-18).
ACCEPTED, USER_REJECTED, NO_REASON, NO_ABSTRACT, NO_SYNTAX = range(5)

RELEASE_REQUEST: Final = bytes((RELEASE_RQ, 0, 0, 0, 0, 4, 0, 0, 0, 0))
RELEASE_REPLY: Final = bytes((RELEASE_RP, 0, 0, 0, 0, 4, 0, 0, 0, 0))

COMMAND, LAST = 1, 2  # bits of a fragment's control header

_U16, _U32 = struct.Struct(">H"), struct.Struct(">I")


@final
class Malformed(Exception):
    """A PDU or a command set that is not what the standard says; ``reason`` is that of the A-ABORT."""

    def __init__(self, why: str, reason: int = INVALID_PARAMETER) -> None:
        super().__init__(why)
        self.reason = reason


@final
@dataclass(frozen=True, slots=True)
class Proposed:
    """A presentation context as it is proposed: an odd number, an abstract syntax, transfer syntaxes."""

    id: int
    abstract: str
    syntaxes: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to one context: 0 is accepted, with the transfer syntax; others are refusals."""

    id: int
    result: int
    syntax: str


@final
@dataclass(frozen=True, slots=True)
class Role:
    """What the requestor of an association may be for a SOP class; by default only its user."""

    abstract: str
    user: bool
    provider: bool


@final
@dataclass(frozen=True, slots=True)
class Associate:
    """An A-ASSOCIATE-RQ (``contexts`` are `Proposed`) or A-ASSOCIATE-AC (`Answered`).

    ``max_pdu`` is the largest P-DATA body that its sender wants to receive, bytes; 0 for any.
    """

    called: str
    calling: str
    contexts: tuple[Proposed, ...] | tuple[Answered, ...]
    roles: tuple[Role, ...] = ()
    max_pdu: int = 0
    application: str = APPLICATION_CONTEXT
    version: int = 1


def reject(result: int, source: int, reason: int) -> bytes:
    """Return an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""
    return bytes((ASSOCIATE_RJ, 0, 0, 0, 0, 4, 0, result, source, reason))


def abort(reason: int | None = None) -> bytes:
    """Return an A-ABORT: by the provider with a reason, or by the user without one."""
    source, told = (0, 0) if reason is None else (2, reason)
    return bytes((ABORT, 0, 0, 0, 0, 4, 0, 0, source, told))


# ---- association: to bytes -------------------------------------------------------------------------


def associate(what: Associate) -> bytes:
    """Return the PDU of an association request or of its acceptance."""
    kind = ASSOCIATE_RQ
    items = [_item(0x10, what.application.encode("ascii"))]
    for one in what.contexts:
        if isinstance(one, Proposed):
            inside = [_item(0x30, one.abstract.encode("ascii"))]
            inside += [_item(0x40, syntax.encode("ascii")) for syntax in one.syntaxes]
            items.append(_item(0x20, bytes((one.id, 0, 0, 0)) + b"".join(inside)))
        else:
            kind = ASSOCIATE_AC
            syntax = _item(0x40, one.syntax.encode("ascii"))
            items.append(_item(0x21, bytes((one.id, 0, one.result, 0)) + syntax))
    user = [_item(0x51, _U32.pack(what.max_pdu)), _item(0x52, IMPLEMENTATION.encode("ascii"))]
    for role in what.roles:
        uid = role.abstract.encode("ascii")
        user.append(_item(0x54, _U16.pack(len(uid)) + uid + bytes((role.user, role.provider))))
    user.append(_item(0x55, IMPLEMENTATION_VERSION.encode("ascii")))
    items.append(_item(0x50, b"".join(user)))
    called, calling = (title.encode("ascii").ljust(16)[:16] for title in (what.called, what.calling))
    body = struct.pack(">HH", what.version, 0) + called + calling + bytes(32) + b"".join(items)
    return struct.pack(">BBI", kind, 0, len(body)) + body


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(value)) + value


# ---- association: from bytes -----------------------------------------------------------------------


def read_associate(kind: int, body: memoryview) -> Associate:
    """Return what an A-ASSOCIATE-RQ or -AC says.

    Parameters
    ----------
    kind : int
        `ASSOCIATE_RQ` or `ASSOCIATE_AC`.
    body : memoryview
        Without the six bytes before it.

    Raises
    ------
    Malformed
    """
    if len(body) < FIXED:
        raise Malformed(f"an association PDU of {len(body)} bytes; at least {FIXED} are needed")
    application = ""
    proposed: list[Proposed] = []
    answered: list[Answered] = []
    roles: list[Role] = []
    max_pdu = 0
    for item, value in _items(body[FIXED:]):
        if item == 0x10:
            application = _uid(value)
        elif item == 0x20 and kind == ASSOCIATE_RQ:
            proposed.append(_proposed(value))
        elif item == 0x21 and kind == ASSOCIATE_AC:
            answered.append(_answered(value))
        elif item == 0x50:
            max_pdu, roles = _user_information(value)
    contexts = proposed or answered
    if not contexts or len(contexts) > MAX_CONTEXTS:
        raise Malformed(f"{len(contexts)} presentation contexts; 1 to {MAX_CONTEXTS} are needed")
    if len({one.id for one in contexts}) != len(contexts):
        raise Malformed("two presentation contexts of one number")
    return Associate(
        called=_title(body[4:20]),
        calling=_title(body[20:36]),
        contexts=tuple(proposed) or tuple(answered),
        roles=tuple(roles),
        max_pdu=max_pdu,
        application=application,
        version=_U16.unpack_from(body)[0],
    )


def _items(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    at, end = 0, len(body)
    while at < end:
        if end - at < 4:
            raise Malformed("an item that is cut off")
        size = _U16.unpack_from(body, at + 2)[0]
        if at + 4 + size > end:
            raise Malformed(f"an item of {size} bytes where {end - at - 4} are left")
        yield body[at], body[at + 4 : at + 4 + size]
        at += 4 + size


def _context_id(value: memoryview) -> int:
    if len(value) < 4:
        raise Malformed("a presentation context that is cut off")
    if value[0] % 2 == 0:
        raise Malformed(f"presentation context {value[0]}: the number must be odd")
    return value[0]


def _proposed(value: memoryview) -> Proposed:
    number = _context_id(value)
    abstract, syntaxes = [], []
    for item, inside in _items(value[4:]):
        if item == 0x30:
            abstract.append(_uid(inside))
        elif item == 0x40:
            syntaxes.append(_uid(inside))
    if len(abstract) != 1 or not syntaxes:
        raise Malformed(f"context {number}: {len(abstract)} abstract, {len(syntaxes)} transfer syntaxes")
    return Proposed(number, abstract[0], tuple(syntaxes))


def _answered(value: memoryview) -> Answered:
    number, result = _context_id(value), value[2]
    # The syntax of a refused context is not significant, and often empty or not there.
    syntaxes = [_uid(inside) for item, inside in _items(value[4:]) if item == 0x40] if result == 0 else []
    if result == 0 and len(syntaxes) != 1:
        raise Malformed(f"context {number} accepted with {len(syntaxes)} transfer syntaxes")
    return Answered(number, result, syntaxes[0] if syntaxes else "")


def _user_information(value: memoryview) -> tuple[int, list[Role]]:
    max_pdu, roles = 0, []
    for item, inside in _items(value):
        if item == 0x51:
            if len(inside) != 4:
                raise Malformed(f"a maximum length of {len(inside)} bytes; 4 are needed")
            max_pdu = _U32.unpack(inside)[0]
        elif item == 0x54:
            size = _U16.unpack_from(inside)[0] if len(inside) >= 4 else -1
            if size != len(inside) - 4:
                raise Malformed("a role selection whose length does not fit")
            roles.append(Role(_uid(inside[2:-2]), inside[-2] == 1, inside[-1] == 1))
    return max_pdu, roles


def _uid(value: memoryview) -> str:
    # Some pad with a NUL or a space, which the standard does not want here.
    text = bytes(value).rstrip(b"\0 ")
    if not text or len(text) > MAX_UID or not text.isascii():
        raise Malformed(f"a UID of {len(text)} bytes: {text[:MAX_UID]!r}")
    return text.decode("ascii")


def _title(value: memoryview) -> str:
    # A title that is no text can't be known to anybody: it is kept readable and refused by its name.
    return bytes(value).decode("ascii", "backslashreplace").strip(" \0")


# ---- data ------------------------------------------------------------------------------------------


def fragments(body: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield (context, control bits, bytes) of every fragment of a P-DATA-TF body; nothing is copied.

    Raises
    ------
    Malformed
    """
    at, end = 0, len(body)
    if not end:
        raise Malformed("a P-DATA-TF without a fragment")
    while at < end:
        if end - at < 6:
            raise Malformed("a fragment that is cut off")
        size = _U32.unpack_from(body, at)[0]
        if size < 2 or at + 4 + size > end:
            raise Malformed(f"a fragment of {size} bytes where {end - at - 4} are left")
        yield body[at + 4], body[at + 5], body[at + 6 : at + 4 + size]
        at += 4 + size


def fragment_header(context: int, control: int, size: int) -> bytes:
    """Return the twelve bytes before one fragment of ``size`` bytes that makes a P-DATA-TF of its own."""
    return struct.pack(">BBIIBB", P_DATA, 0, size + 6, size + 2, context, control)


def message(context: int, control: int, data: bytes, max_pdu: int) -> Iterable[bytes]:
    """Return the PDUs that carry a whole command set (``control`` = `COMMAND`) or data set (0).

    Parameters
    ----------
    max_pdu : int
        What the peer takes, bytes; 0 for any.
    """
    room = room_for(max_pdu)
    if len(data) <= room:
        return (fragment_header(context, control | LAST, len(data)) + data,)
    view = memoryview(data)
    pieces = range(0, len(data), room)
    return (
        fragment_header(context, control | (LAST if at == pieces[-1] else 0), len(view[at : at + room]))
        + view[at : at + room]
        for at in pieces
    )


def room_for(max_pdu: int) -> int:
    """Return how many bytes of a message go into one P-DATA-TF: what the peer takes, at most a MiB."""
    return max(1, min(max_pdu or _LARGEST, _LARGEST) - 6)
