"""Mutated bytes: nothing crashes, nothing leaks, memory stays where it was."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from carna.node.dimse import ask, pdu, send
from carna.node.dimse import command as dimse
from carna.node.dimse.exchange import Assembler, Memory
from carna.node.dimse.identifier import decoded, encoded, level_of
from carna.node.dimse.keeper import Refused
from carna.node.dimse.listen import Limits
from carna.node.dimse.negotiate import COMMITMENT, COMMITMENT_INSTANCE, PATIENT_ROOT, STUDY_ROOT, negotiate
from carna.node.dimse.pdu import Associate, Malformed, Proposed, Role
from carna.node.dimse.wire import Lost, Wire

from .test_listen import CT, EXPLICIT, node, slice_of

ABSTRACT = ("1.2.840.10008.1.1", CT, STUDY_ROOT + ".1", STUDY_ROOT + ".2", STUDY_ROOT + ".3", COMMITMENT)
REQUEST = pdu.associate(
    Associate(
        "CARNA",
        "FUZZ",
        tuple(Proposed(2 * n + 1, uid, (EXPLICIT, "1.2.840.10008.1.2")) for n, uid in enumerate(ABSTRACT)),
        (Role(CT, True, True),),
        16384,
    )
)


def _message(context: int, field: int, data: bytes | None = None, **more: int | str) -> bytes:
    values: dict[int, int | str] = {
        dimse.FIELD: field,
        dimse.MESSAGE: 1,
        dimse.AFFECTED_CLASS: ABSTRACT[context // 2],
        **{getattr(dimse, name): value for name, value in more.items()},
    }
    if field == dimse.C_CANCEL:
        values = {dimse.FIELD: field, dimse.REPLIED_TO: 1}
    raw = b"".join(pdu.message(context, pdu.COMMAND, dimse.write(values, with_data=data is not None), 16384))
    return raw if data is None else raw + b"".join(pdu.message(context, 0, data, 64))


IDENTIFIER = encoded(
    ask.question(level="STUDY", StudyInstanceUID="1.2.3", PatientID="P1", PatientName=""), EXPLICIT
)
_ASKED = ask.question(level="STUDY")
del _ASKED.QueryRetrieveLevel
_ASKED.TransactionUID = "1.9.1"
_ASKED.ReferencedSOPSequence = [
    ask.question(level="IMAGE", ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID="1.2.3")
]
MESSAGES = (
    _message(1, dimse.C_ECHO),
    _message(3, dimse.C_STORE, bytes(range(256)) * 2, AFFECTED_INSTANCE="1.2.3"),
    _message(5, dimse.C_FIND, IDENTIFIER),
    _message(5, dimse.C_CANCEL),
    _message(7, dimse.C_MOVE, IDENTIFIER, DESTINATION="FUZZ"),
    _message(9, dimse.C_GET, IDENTIFIER),
    _message(11, dimse.N_ACTION, encoded(_ASKED, EXPLICIT), REQUESTED_CLASS=COMMITMENT,
             REQUESTED_INSTANCE=COMMITMENT_INSTANCE, ACTION_TYPE=1),
    pdu.RELEASE_REQUEST,
    pdu.abort(),
)  # fmt: skip


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """Change bytes, lengths, order, presence."""
    out = bytearray(raw)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(out) or 1)
        match chance.randrange(7):
            case 0 if out:
                out[at] = chance.randrange(256)
            case 1 if out:
                out[at] ^= 1 << chance.randrange(8)
            case 2:
                out[at : at + 4] = chance.choice(
                    (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\xff\xff", b"\x7f\xff\xff\xff")
                )
            case 3:
                del out[at : at + chance.randrange(1, 12)]
            case 4:
                out[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 12)))
            case 5:
                other = chance.choice(MESSAGES)
                out[at:at] = other[: chance.randrange(len(other))]
            case _:
                out += out[at : at + 64]
    return bytes(out)


class Bytes:
    """A socket out of which bytes come in pieces of any size."""

    def __init__(self, raw: bytes, chance: random.Random) -> None:
        self._raw, self._at, self._chance = raw, 0, chance

    def settimeout(self, seconds: float) -> None:
        pass

    def recv_into(self, buffer: memoryview) -> int:
        size = min(len(self._raw) - self._at, len(buffer), self._chance.choice((1, 7, 6, 64, 4096, 65536)))
        buffer[:size] = self._raw[self._at : self._at + size]
        self._at += size
        return size


def resident() -> int:
    """Return the resident memory of this process, MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20


def test_a_hundred_thousand_mutated_messages_are_read_or_malformed(keeper) -> None:
    chance = random.Random(7)
    memory = Memory(1 << 20)
    outcomes = {"read": 0, "malformed": 0, "lost": 0}
    before = resident()
    for n in range(100_000):
        raw = mutated(REQUEST if n % 4 == 0 else b"".join(chance.choices(MESSAGES, k=2)), chance)
        wire = Wire(Bytes(raw, chance), max_pdu=1 << 16, patience_s=60)  # type: ignore[arg-type]
        assembler = Assembler({2 * n + 1 for n in range(6)}, 1 << 16, memory)
        try:
            while True:
                kind, body = wire.receive()
                if kind in (pdu.ASSOCIATE_RQ, pdu.ASSOCIATE_AC):
                    read = pdu.read_associate(kind, body)
                    if kind == pdu.ASSOCIATE_RQ:
                        negotiate(read, keeper, "127.0.0.1", reports=True, max_pdu=1 << 16)
                elif kind == pdu.P_DATA:
                    for piece in pdu.fragments(body):
                        assembler.feed(*piece)
                outcomes["read"] += 1
        except Malformed:
            outcomes["malformed"] += 1
        except Lost:
            outcomes["lost"] += 1
        finally:
            assembler.forget()
    assert memory.used == 0
    assert resident() - before < 64
    assert min(outcomes.values()) > 10_000, outcomes  # the mutations reach behind the first check


@pytest.mark.filterwarnings("ignore")
def test_mutated_identifiers_are_read_or_refused() -> None:
    chance = random.Random(8)
    counted = [0, 0]
    for n in range(4000):
        raw, syntax = (
            (IDENTIFIER, EXPLICIT) if n % 2 else (encoded(_ASKED, "1.2.840.10008.1.2"), "1.2.840.10008.1.2")
        )
        try:
            level_of(decoded(mutated(raw, chance), syntax), PATIENT_ROOT, whole=True)
            counted[0] += 1
        except Refused as refused:
            assert refused.status in (0xA900, 0xC000)
            counted[1] += 1
    assert min(counted) > 100, counted


def test_sequences_without_end_are_refused() -> None:
    nested = b"\x08\0\x99\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 5000
    with pytest.raises(Refused):
        decoded(nested, EXPLICIT)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Invalid value|Value:UserWarning")
def test_three_thousand_mutated_conversations(keeper, listens, tmp_path) -> None:
    for number in range(2):
        keeper.add(slice_of(tmp_path, number))
    listener = listens(limits=Limits(associations=8, max_pdu=1 << 16, request_s=2.0, idle_s=2.0))
    chance = random.Random(9)
    files, before, threads = len(os.listdir("/proc/self/fd")), resident(), threading.active_count()
    for n in range(3000):
        said = b"".join(chance.choices(MESSAGES, k=2))
        said = mutated(REQUEST, chance) + said if n % 3 == 0 else REQUEST + mutated(said, chance)
        with socket.create_connection(("127.0.0.1", listener.port), 10) as sock, suppress(ConnectionError):
            sock.sendall(said)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
    until = time.monotonic() + 10
    while listener.open and time.monotonic() < until:
        time.sleep(0.05)
    assert listener.open == 0
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == files
    assert resident() - before < 64
    assert listener._memory.used == 0
    assert send.echo(node(listener)) < 5
