"""PDUs and command sets, against bytes of the standard's tables and against pynetdicom."""

from __future__ import annotations

import struct

import pytest

from carna.node.dimse import command as dimse
from carna.node.dimse import pdu
from carna.node.dimse.pdu import Answered, Associate, Malformed, Proposed, Role

REQUEST = Associate(
    called="CARNA",
    calling="MODALITY",
    contexts=(
        Proposed(1, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",)),
        Proposed(3, "1.2.840.10008.5.1.4.1.1.2", ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90")),
    ),
    roles=(Role("1.2.840.10008.5.1.4.1.1.2", False, True),),
    max_pdu=16384,
)
ACCEPTANCE = Associate(
    called="CARNA",
    calling="MODALITY",
    contexts=(Answered(1, 0, "1.2.840.10008.1.2"), Answered(3, 3, "1.2.840.10008.1.2.1")),
    max_pdu=1 << 20,
)


def test_a_request_is_read_as_it_was_written() -> None:
    raw = pdu.associate(REQUEST)
    assert raw[0] == pdu.ASSOCIATE_RQ
    assert struct.unpack(">I", raw[2:6])[0] == len(raw) - 6
    assert pdu.read_associate(pdu.ASSOCIATE_RQ, memoryview(raw)[6:]) == REQUEST


def test_an_acceptance_is_read_as_it_was_written_but_for_what_is_not_significant() -> None:
    read = pdu.read_associate(pdu.ASSOCIATE_AC, memoryview(pdu.associate(ACCEPTANCE))[6:])
    assert read.contexts == (Answered(1, 0, "1.2.840.10008.1.2"), Answered(3, 3, ""))
    assert read.max_pdu == 1 << 20


@pytest.mark.peer
def test_pynetdicom_reads_the_same(library) -> None:
    theirs = library("pynetdicom.pdu")
    request = theirs.A_ASSOCIATE_RQ()
    request.decode(pdu.associate(REQUEST))
    assert request.called_ae_title == "CARNA" and request.calling_ae_title == "MODALITY"
    assert [c.context_id for c in request.presentation_context] == [1, 3]
    assert [str(s) for s in request.presentation_context[1].transfer_syntax] == list(
        REQUEST.contexts[1].syntaxes  # type: ignore[union-attr]
    )
    (role,) = request.user_information.role_selection.values()
    assert (role.scu_role, role.scp_role) == (False, True)
    assert request.user_information.maximum_length == 16384
    assert pdu.read_associate(1, memoryview(request.encode())[6:]).contexts == REQUEST.contexts
    acceptance = theirs.A_ASSOCIATE_AC()
    acceptance.decode(pdu.associate(ACCEPTANCE))
    assert [c.result for c in acceptance.presentation_context] == [0, 3]


@pytest.mark.peer
def test_pynetdicom_reads_the_same_command(library) -> None:
    dsutils = library("pynetdicom.dsutils")
    from io import BytesIO

    values = {
        dimse.FIELD: dimse.C_STORE,
        dimse.MESSAGE: 7,
        dimse.PRIORITY: 2,
        dimse.AFFECTED_CLASS: "1.2.840.10008.5.1.4.1.1.2",
        dimse.AFFECTED_INSTANCE: "1.2.3",
        dimse.ORIGINATOR: "PACS",
    }
    raw = dimse.write(values, with_data=True)
    theirs = dsutils.decode(BytesIO(raw), True, True)
    assert theirs.CommandGroupLength == len(raw) - 12
    assert (theirs.CommandField, theirs.MessageID, theirs.Priority) == (1, 7, 2)
    assert theirs.AffectedSOPClassUID == values[dimse.AFFECTED_CLASS]
    assert theirs.AffectedSOPInstanceUID == "1.2.3" and theirs.MoveOriginatorApplicationEntityTitle == "PACS"
    ours = dimse.read(dsutils.encode(theirs, True, True))
    assert ours == dimse.read(raw)
    assert (ours.field, ours.message, ours.with_data) == (dimse.C_STORE, 7, True)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "element 0100"),
        (b"\0\0\0\1\2\0\0", "cut off"),
        (struct.pack("<HHIH", 8, 0x16, 2, 1), "0008"),
        (struct.pack("<HHIH", 0, 0x100, 4, 1), "4 bytes"),
        (struct.pack("<HHII", 0, 0x100, 4, 1), "2 are needed"),
        (struct.pack("<HHIH", 0, 0x100, 2, 1) * 2, "0100"),
        (struct.pack("<HHIH", 0, 0x100, 2, 0x30), "element 0800"),
        (struct.pack("<HHI", 0, 0x2, 0xFFFFFFFF), "4294967295"),
    ],
)
def test_a_command_set_that_does_not_fit_is_malformed(raw: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        dimse.read(raw)


def _changed(at: int, value: bytes) -> memoryview:
    raw = bytearray(pdu.associate(REQUEST)[6:])
    raw[at : at + len(value)] = value
    return memoryview(raw)


def test_lengths_are_not_believed() -> None:
    whole = pdu.associate(REQUEST)[6:]
    with pytest.raises(Malformed, match="at least 68"):
        pdu.read_associate(1, memoryview(whole)[:67])
    with pytest.raises(Malformed, match="an item of"):
        pdu.read_associate(1, memoryview(whole)[:-1])
    context = whole.index(b"\x20\0", pdu.FIXED)
    with pytest.raises(Malformed, match="must be odd"):
        pdu.read_associate(1, _changed(context + 4, b"\2"))
    with pytest.raises(Malformed, match="two presentation contexts"):
        pdu.read_associate(1, _changed(whole.index(b"\x20\0", context + 9) + 4, b"\1"))
    with pytest.raises(Malformed, match="0 presentation contexts"):
        pdu.read_associate(2, memoryview(whole))


def test_fragments_fill_their_pdu_exactly() -> None:
    body = memoryview(b"".join(pdu.message(5, pdu.COMMAND, b"abcdef", 0)))[6:]
    ((context, control, piece),) = pdu.fragments(body)
    assert (context, control, bytes(piece)) == (5, pdu.COMMAND | pdu.LAST, b"abcdef")
    for wrong in (
        b"",
        b"\0\0\0\2\1",
        b"\0\0\0\1\1\3",
        b"\0\0\0\1\1\0\0\0\2\1\3",
        b"\0\0\0\5\1\3ab",
        b"\0\0\0\2\1\3x",
    ):
        with pytest.raises(Malformed):
            list(pdu.fragments(memoryview(wrong)))


@pytest.mark.parametrize("max_pdu", [0, 1, 6, 7, 100, 4096, 1 << 20, 0xFFFFFFFF])
@pytest.mark.parametrize("size", [0, 1, 94, 95, 1000])
def test_a_message_is_cut_into_what_the_peer_takes(max_pdu: int, size: int) -> None:
    data = bytes(i % 251 for i in range(size))
    pieces = list(pdu.message(1, 0, data, max_pdu))
    assert all(len(p) - 6 <= max(max_pdu, 7) for p in pieces) or max_pdu == 0
    read = [next(pdu.fragments(memoryview(p)[6:])) for p in pieces]
    assert b"".join(bytes(piece) for _, _, piece in read) == data
    assert [control for _, control, _ in read] == [0] * (len(read) - 1) + [pdu.LAST]


def test_rejections_and_aborts_are_those_of_the_tables() -> None:
    assert pdu.reject(1, 1, 3) == b"\3\0\0\0\0\4\0\1\1\3"
    assert pdu.abort() == b"\7\0\0\0\0\4\0\0\0\0"
    assert pdu.abort(2) == b"\7\0\0\0\0\4\0\0\2\2"
