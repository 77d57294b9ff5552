"""The listener before an in-memory station: our own caller, and callers that do not keep to the standard."""

from __future__ import annotations

import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from carna.node.dimse import ask, pdu, send
from carna.node.dimse import command as dimse
from carna.node.dimse.exchange import Assembler, Memory
from carna.node.dimse.keeper import Incoming, Refused
from carna.node.dimse.listen import Limits, Listener
from carna.node.dimse.negotiate import service_of
from carna.node.dimse.pdu import Associate, Malformed, Proposed

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def slice_of(
    folder: Path, number: int, *, sop_class: str = CT, study: str = "1.2.3", series: str = "1"
) -> Path:
    """Write a small Part-10 file."""
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.SOPClassUID, one.SOPInstanceUID = sop_class, f"{study}.{series}.{number}"
    one.StudyInstanceUID, one.SeriesInstanceUID = study, f"{study}.{series}"
    one.PatientID, one.PatientName, one.Modality = "P1", "Wáng^Fāng", "CT"
    one.SpecificCharacterSet = "ISO_IR 192"
    one.Rows = one.Columns = 8
    one.BitsAllocated = one.BitsStored = 16
    one.HighBit, one.PixelRepresentation, one.SamplesPerPixel = 15, 0, 1
    one.PhotometricInterpretation = "MONOCHROME2"
    one.PixelData = np.arange(64, dtype="<u2").tobytes()
    path = folder / f"{study}.{series}.{number}.dcm"
    one.save_as(path, enforce_file_format=True)
    return path


def data_set(path: Path) -> bytes:
    """Return what follows the file meta information."""
    raw = path.read_bytes()
    return raw[144 + struct.unpack_from("<I", raw, 140)[0] :]


def node(listener: Listener, calling: str = "SENDER", **more: float) -> send.Node:
    return send.Node("127.0.0.1", listener.port, "CARNA", calling, **more)  # type: ignore[arg-type]


def raw_caller(listener: Listener, *, associate: bool = True, calling: str = "RAW") -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", listener.port), 5)
    if associate:
        contexts = (Proposed(1, "1.2.840.10008.1.1", (EXPLICIT,)), Proposed(3, CT, (EXPLICIT,)))
        sock.sendall(pdu.associate(Associate("CARNA", calling, contexts)))
        assert sock.recv(1) == bytes((pdu.ASSOCIATE_AC,))
        rest = sock.recv(4096)
        assert len(rest) == struct.unpack(">I", rest[1:5])[0] + 5
    return sock


def rest_of(sock: socket.socket) -> bytes:
    """Return all that comes until the listener closes."""
    with sock:
        out = b""
        while piece := sock.recv(4096):
            out += piece
        return out


# ---- storage -----------------------------------------------------------------------------------------


def test_what_is_sent_is_kept_byte_for_byte(keeper, listens, tmp_path) -> None:
    paths = [slice_of(tmp_path, n) for n in range(5)]
    outcomes = list(send.store(node(listens()), paths))
    assert [one.status for one in outcomes] == [0] * 5
    assert [one.data for one in keeper.came] == [data_set(path) for path in paths]
    first = keeper.came[0]
    assert (first.sop_class, first.sop_instance, first.transfer_syntax) == (CT, "1.2.3.1.0", EXPLICIT)
    assert (first.calling, first.called, first.address) == ("SENDER", "CARNA", "127.0.0.1")


def test_any_storage_class_is_taken_and_no_other(listens) -> None:
    for kept in (CT, "1.2.840.10008.5.1.4.1.1.9.1.1", "1.2.840.10008.5.1.4.1.1.77.1.6", "1.3.12.2.1107.5.9.1",
                 "1.2.840.10008.5.1.4.1.1.999.7", "1.2.840.10008.5.1.4.38.1"):  # fmt: skip
        assert service_of(kept) == "store"
    for other in ("1.2.840.10008.5.1.4.31", "1.2.840.10008.3.1.2.3.3", "1.2.840.10008.1.20.2", EXPLICIT,
                  "1.2.840.10008.3.1.1.1", "1.2.840.10008.1.3.10", "1.2..3", "x", "1", "01.2"):  # fmt: skip
        assert service_of(other) is None


@pytest.mark.parametrize(
    ("raised", "status"),
    [(Refused(0xA700, "the disk is full"), 0xA700), (OSError(28, "no space"), 0xA700)],
)
def test_what_is_not_kept_is_not_acknowledged(keeper, listens, tmp_path, raised, status) -> None:
    keeper.raises = raised
    (outcome,) = send.store(node(listens()), [slice_of(tmp_path, 1)])
    assert outcome.status == status and not outcome.kept and outcome.why


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_the_station_ends_the_association_and_nothing_else(keeper, listens, tmp_path) -> None:
    listener = listens()
    keeper.raises = RuntimeError("a bug")
    (outcome,) = send.store(node(listener), [slice_of(tmp_path, 1)])
    assert not outcome.kept and "abort" in outcome.why
    keeper.raises = None
    (outcome,) = send.store(node(listener), [slice_of(tmp_path, 1)])
    assert outcome.kept


def test_too_large_an_object_is_dropped_and_refused_and_the_next_one_kept(keeper, listens, tmp_path) -> None:
    small, big = slice_of(tmp_path, 1), slice_of(tmp_path, 2)
    big.write_bytes(
        big.read_bytes() + b"\xfc\xff\xfc\xffOB\0\0" + struct.pack("<I", 300_000) + bytes(300_000)
    )
    listener = listens(limits=Limits(max_object=200_000, max_pdu=16384))
    outcomes = list(send.store(node(listener), [big, small]))
    assert [one.status for one in outcomes] == [0xA700, 0]
    assert [one.data for one in keeper.came] == [data_set(small)]
    assert listener._memory.used == 0


def test_the_memory_of_all_is_bounded_but_one_may_pass_and_the_others_wait() -> None:
    memory = Memory(10, wait_s=0.05)
    assert memory.take("a", 8) and memory.take("b", 8)  # b goes beyond
    assert not memory.take("a", 8) and not memory.take("c", 8)
    assert memory.take("b", 100)
    memory.give("b", 108)
    assert memory.take("c", 2)
    memory.give("a", 8)
    memory.give("c", 2)
    assert memory.used == 0
    memory = Memory(10, wait_s=10)
    assert memory.take("a", 20)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(memory.take, who, 10) for who in "bc"]
        time.sleep(0.05)
        assert not any(one.done() for one in waiting)
        memory.give("a", 20)
        assert [one.result(5) for one in waiting] == [True, True]  # one within, one beyond
        last = pool.submit(memory.take, "d", 1)
        memory.end()
        assert last.result(5) is False


def test_two_large_objects_at_a_time_both_come_in(keeper, listens, tmp_path) -> None:
    """Neither fits beside the other: one waits, nothing is refused, and nothing waits forever."""
    listener = listens(limits=Limits(memory=8 << 20, max_pdu=1 << 16))
    path = slice_of(tmp_path, 1)
    tail = b"\xfc\xff\xfc\xffOB\0\0" + struct.pack("<I", 9 << 20) + bytes(9 << 20)
    path.write_bytes(path.read_bytes() + tail)
    with ThreadPoolExecutor(3) as pool:
        sent = list(pool.map(lambda n: list(send.store(node(listener), [path] * 2)), range(3)))
    assert all(one.kept for outcomes in sent for one in outcomes)
    assert {one.data for one in keeper.came} == {data_set(path)} and len(keeper.came) == 6
    assert listener._memory.used == 0


def test_a_file_cut_while_it_is_sent_is_a_failure(listens, tmp_path) -> None:
    path = slice_of(tmp_path, 1)
    stored = send.described(path)
    path.write_bytes(path.read_bytes()[:140])
    (outcome,) = send.store(node(listens()), [stored])
    assert not outcome.kept


# ---- who may ---------------------------------------------------------------------------------------


def test_a_stranger_is_rejected_with_the_reason(keeper, listens) -> None:
    keeper.refused.add(("STRANGER", "*"))
    listener = listens()
    sock = raw_caller(listener, associate=False)
    sock.sendall(pdu.associate(Associate("CARNA", "STRANGER", (Proposed(1, CT, (EXPLICIT,)),))))
    assert rest_of(sock) == pdu.reject(1, 1, 3)
    with pytest.raises(send.NodeError, match="does not know the calling"):
        send.echo(node(listener, "STRANGER"))
    with pytest.raises(send.NodeError, match="rejects"):
        send.echo(send.Node("127.0.0.1", listener.port, "OTHER"))


def test_a_service_that_is_not_allowed_gets_no_context(keeper, listens, tmp_path) -> None:
    keeper.refused |= {("SENDER", s) for s in ("store", "find", "get", "move", "commit")}
    to = node(listens())
    assert send.echo(to) < 5
    (outcome,) = send.store(to, [slice_of(tmp_path, 1)])
    assert "accepts nothing" in outcome.why
    with pytest.raises(send.NodeError):
        send.commit(to, [("1.2", "1.3")])
    with pytest.raises(send.NodeError):
        list(ask.find(to, ask.question(level="STUDY")))
    with pytest.raises(send.NodeError):
        ask.move(to, ask.question(level="STUDY"), "X")
    assert not keeper.came and not keeper.asked


def test_a_right_that_is_lost_during_the_association_is_lost(keeper, listens, tmp_path) -> None:
    outcomes = send.store(node(listens()), [slice_of(tmp_path, 1), slice_of(tmp_path, 2)])
    assert next(outcomes).kept
    keeper.refused.add(("SENDER", "store"))
    assert next(outcomes).status == dimse.NOT_AUTHORISED
    outcomes.close()
    assert len(keeper.came) == 1


def test_one_association_too_many_is_told_to_come_again(listens) -> None:
    listener = listens(limits=Limits(associations=2))
    held = [raw_caller(listener), raw_caller(listener)]
    third = raw_caller(listener, associate=False)
    third.sendall(pdu.associate(Associate("CARNA", "RAW", (Proposed(1, CT, (EXPLICIT,)),))))
    assert rest_of(third) == pdu.reject(2, 3, 2)
    for sock in held:
        sock.close()
    until = time.monotonic() + 5
    while listener.open and time.monotonic() < until:
        time.sleep(0.02)
    assert send.echo(node(listener)) < 5


# ---- those who do not keep to the standard -----------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", pdu.abort(pdu.UNRECOGNISED_PDU)),
        (b"\x01\0\xff\xff\xff\xff", pdu.abort(pdu.INVALID_PARAMETER)),
        (b"\x01\0\0\0\0\x04abcd", pdu.abort(pdu.INVALID_PARAMETER)),
        (b"\x04\0\0\0\0\x06\0\0\0\2\1\3", pdu.abort(pdu.UNEXPECTED_PDU)),
        (pdu.RELEASE_REQUEST, pdu.abort(pdu.UNEXPECTED_PDU)),
    ],
)
def test_what_is_no_request_is_aborted(listens, said: bytes, answer: bytes) -> None:
    sock = raw_caller(listens(), associate=False)
    sock.sendall(said)
    assert rest_of(sock) == answer


ECHO = dimse.write({dimse.FIELD: dimse.C_ECHO, dimse.MESSAGE: 1, dimse.AFFECTED_CLASS: "1.2.840.10008.1.1"})


ANSWER = dimse.write({dimse.FIELD: dimse.C_ECHO | dimse.REPLY, dimse.REPLIED_TO: 1})


def _fragment(context: int, control: int, data: bytes) -> bytes:
    return pdu.fragment_header(context, control, len(data)) + data


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (_fragment(5, 3, ECHO), pdu.abort(pdu.INVALID_PARAMETER)),  # not accepted
        (_fragment(1, 2, b"data"), pdu.abort(pdu.INVALID_PARAMETER)),  # no command before it
        (_fragment(1, 3, ECHO[:-1]), pdu.abort(pdu.INVALID_PARAMETER)),
        (_fragment(1, 1, ECHO[:8]) + _fragment(3, 3, ECHO[8:]), pdu.abort(pdu.INVALID_PARAMETER)),
        (b"\4\0\0\x20\0\0", pdu.abort(pdu.INVALID_PARAMETER)),  # 2 MiB
        (b"\4\0\0\0\0\0", pdu.abort(pdu.INVALID_PARAMETER)),
        (_fragment(1, 1, bytes(70_000)), pdu.abort(pdu.INVALID_PARAMETER)),  # a command without end
        (b"\1\0\0\0\0\4abcd", pdu.abort(pdu.UNEXPECTED_PDU)),
        (b"\x09\0\0\0\0\4abcd", pdu.abort(pdu.UNRECOGNISED_PDU)),
        (b"\5\0\0\0\0\5abcde", pdu.abort(pdu.INVALID_PARAMETER)),
        (_fragment(1, 3, ANSWER), pdu.abort(pdu.UNEXPECTED_PDU)),
    ],
)
def test_what_is_malformed_inside_is_aborted(listens, said: bytes, answer: bytes) -> None:
    sock = raw_caller(listens())
    sock.sendall(said)
    assert rest_of(sock) == answer


@pytest.mark.parametrize(
    ("context", "values", "status"),
    [
        (1, {dimse.FIELD: 0x0777}, dimse.UNKNOWN_OPERATION),
        (1, {dimse.FIELD: dimse.C_STORE, dimse.AFFECTED_CLASS: CT}, dimse.NO_SUCH_CLASS),
        (3, {dimse.FIELD: dimse.C_FIND, dimse.AFFECTED_CLASS: CT}, dimse.NO_SUCH_CLASS),
        (3, {dimse.FIELD: dimse.C_STORE, dimse.AFFECTED_CLASS: CT}, dimse.NOT_UNDERSTOOD),  # no data set
        (1, {dimse.FIELD: dimse.C_ECHO, dimse.AFFECTED_CLASS: ""}, dimse.SUCCESS),
    ],
)
def test_what_is_well_formed_but_wrong_is_answered(listens, context, values, status) -> None:
    with raw_caller(listens()) as sock:
        sock.sendall(_fragment(context, 3, dimse.write({**values, dimse.MESSAGE: 9})))
        raw = sock.recv(4096)
        ((_, _, said),) = pdu.fragments(memoryview(raw)[6:])
        answer = dimse.read(bytes(said))
        assert (answer.status, answer.message, answer.field) == (status, 9, values[dimse.FIELD] | 0x8000)


def test_an_instance_of_another_class_than_its_context_is_refused(keeper, listens) -> None:
    values = {dimse.FIELD: dimse.C_STORE, dimse.MESSAGE: 1, dimse.AFFECTED_INSTANCE: "1.2.3",
              dimse.AFFECTED_CLASS: "1.2.840.10008.5.1.4.1.1.4"}  # fmt: skip
    with raw_caller(listens()) as sock:
        sock.sendall(_fragment(3, 3, dimse.write(values, with_data=True)) + _fragment(3, 2, b"xx"))
        ((_, _, said),) = pdu.fragments(memoryview(sock.recv(4096))[6:])
        assert dimse.read(bytes(said)).status == dimse.DOES_NOT_MATCH
    assert not keeper.came


@pytest.mark.parametrize("instance", ["", "../../etc/passwd", "1.2.", "1..2", "1." * 33 + "1", "1.2\\3"])
def test_an_instance_without_a_proper_uid_is_refused(keeper, listens, instance: str) -> None:
    values = {dimse.FIELD: dimse.C_STORE, dimse.MESSAGE: 1, dimse.AFFECTED_CLASS: CT,
              dimse.AFFECTED_INSTANCE: instance}  # fmt: skip
    with raw_caller(listens()) as sock:
        sock.sendall(_fragment(3, 3, dimse.write(values, with_data=True)) + _fragment(3, 2, b"xx"))
        ((_, _, said),) = pdu.fragments(memoryview(sock.recv(4096))[6:])
        assert dimse.read(bytes(said)).status == dimse.NO_SUCH_INSTANCE
    assert not keeper.came


def test_a_silent_caller_and_a_slow_one_are_let_go(listens) -> None:
    listener = listens(limits=Limits(request_s=0.3, idle_s=0.5))
    began = time.monotonic()
    assert rest_of(raw_caller(listener, associate=False)) == b""
    assert rest_of(raw_caller(listener)) == pdu.abort()
    slow = raw_caller(listener)
    with slow, pytest.raises(OSError):
        slow.sendall(b"\4\0\0\0\3\xe8")  # a thousand bytes, one at a time, each within the patience
        for _ in range(40):
            slow.sendall(b"\0")
            time.sleep(0.1)
    assert time.monotonic() - began < 5


def test_the_end_does_not_wait_for_callers(keeper) -> None:
    listener = Listener(keeper, port=0)
    with listener:
        callers = [raw_caller(listener), raw_caller(listener, associate=False)]
        began = time.monotonic()
    assert time.monotonic() - began < 2
    assert rest_of(callers[0]) == pdu.abort()
    with suppress(ConnectionResetError):  # where it was not accepted yet
        assert rest_of(callers[1]) == b""
    assert listener.open == 0


def test_what_is_being_kept_at_the_end_is_acknowledged(keeper, tmp_path) -> None:
    begun, go_on = threading.Event(), threading.Event()
    paths = [slice_of(tmp_path, n) for n in range(2)]

    def keep(one: Incoming) -> None:
        begun.set()
        go_on.wait(5)
        keeper.came.append(one)

    keeper.keep = keep
    with Listener(keeper, port=0) as listener, ThreadPoolExecutor(1) as pool:
        sent = pool.submit(lambda: list(send.store(node(listener), paths)))
        assert begun.wait(5)
        threading.Timer(0.3, go_on.set).start()
        listener.stop()
        assert [one.kept for one in sent.result()] == [True, False]
    assert len(keeper.came) == 1


def test_a_caller_that_waits_and_then_is_slow_has_its_patience_twice(listens) -> None:
    listener = listens(limits=Limits(idle_s=1.0))
    with raw_caller(listener) as sock:
        said = _fragment(1, 3, ECHO)
        time.sleep(0.7)
        sock.sendall(said[:20])
        time.sleep(0.7)
        sock.sendall(said[20:])
        assert sock.recv(4096)[0] == pdu.P_DATA


def test_a_message_in_ten_thousand_fragments_costs_no_more_than_its_bytes() -> None:
    command = dimse.write({dimse.FIELD: dimse.C_STORE, dimse.MESSAGE: 1}, with_data=True)
    assembler = Assembler({1}, 1 << 20, Memory(1 << 20))
    assert assembler.feed(1, 3, memoryview(command)) is None
    for n in range(10_000):
        assert assembler.feed(1, 0, memoryview(bytes((n % 256,)))) is None
    done = assembler.feed(1, 2, memoryview(b""))
    assert done is not None and done.data == bytes(n % 256 for n in range(10_000))
    with pytest.raises(Malformed, match="without a command"):
        assembler.feed(1, 0, memoryview(b"more"))


# ---- query and retrieve, with our own caller ---------------------------------------------------------


@pytest.fixture
def archive(keeper, tmp_path):
    for study in ("1.2.3", "1.2.4"):
        for number in range(3):
            keeper.add(slice_of(tmp_path, number, study=study))
    return keeper


def test_a_question_is_answered_at_its_level(archive, listens) -> None:
    to = node(listens())
    asked = ask.question(level="STUDY", StudyInstanceUID="1.2.3", PatientName="")
    found = list(ask.find(to, asked))
    assert [str(one.PatientName) for one in found] == ["Wáng^Fāng"] * 3
    assert found[0].QueryRetrieveLevel == "STUDY" and found[0].RetrieveAETitle == "CARNA"
    root = "1.2.840.10008.5.1.4.1.2.1"
    assert len(list(ask.find(to, ask.question(level="PATIENT", PatientID="P1"), root=root))) == 6
    assert archive.asked == ["STUDY", "PATIENT"]


@pytest.mark.parametrize(
    ("level", "keys"),
    [
        ("PATIENT", {}),  # not in the study root
        ("NONSENSE", {}),
        ("", {}),
        ("SERIES", {"SeriesInstanceUID": ""}),
        ("IMAGE", {"StudyInstanceUID": "1.2.3"}),
        ("IMAGE", {"StudyInstanceUID": "1.2.3\\1.2.4", "SeriesInstanceUID": "1.2.3.1"}),
    ],
)
def test_a_question_that_breaks_the_hierarchy_is_refused(archive, listens, level, keys) -> None:
    with pytest.raises(send.NodeError, match="a900"):
        list(ask.find(node(listens()), ask.question(level=level, **keys)))
    assert not archive.asked


def test_a_question_is_cancelled_by_not_listening(archive, listens) -> None:
    archive.heads *= 500
    found = ask.find(node(listens()), ask.question(level="STUDY", StudyInstanceUID=""))
    next(found)
    found.close()  # C-CANCEL, and its answer


def test_objects_are_fetched_over_the_same_association(archive, listens) -> None:
    came: list[Incoming] = []
    got = ask.get(node(listens()), ask.question(level="STUDY", StudyInstanceUID="1.2.3"), came.append)
    assert (got.status, got.completed, got.failed) == (0, 3, 0)
    assert [one.data for one in came] == [data_set(s.path) for s in archive.files[:3]]
    assert came[0].calling == "CARNA"


def test_what_is_not_kept_of_what_was_fetched_is_counted(archive, listens) -> None:
    def keep(one: Incoming) -> None:
        if one.sop_instance.endswith(".1"):
            raise Refused(0xA700, "full")

    got = ask.get(node(listens()), ask.question(level="STUDY", StudyInstanceUID="1.2.3"), keep)
    assert (got.status, got.completed, got.failed) == (dimse.SOME_FAILED, 2, 1)
    assert got.refused == ("1.2.3.1.1",)


def test_objects_are_moved_to_a_known_node_and_to_no_other(archive, listens) -> None:
    from .conftest import Memory as Keeper

    other = Keeper()
    destination = listens(other)
    archive.peers["CARNA"] = ("127.0.0.1", destination.port)
    to = node(listens())
    asked = ask.question(level="STUDY", StudyInstanceUID="1.2.4")
    moved = ask.move(to, asked, "CARNA")
    assert (moved.status, moved.completed, moved.failed) == (0, 3, 0)
    assert sorted(one.sop_instance for one in other.came) == ["1.2.4.1.0", "1.2.4.1.1", "1.2.4.1.2"]
    with pytest.raises(send.NodeError, match="a801"):
        ask.move(to, asked, "ELSEWHERE")
    with pytest.raises(send.NodeError, match="a900"):
        ask.move(to, ask.question(level="STUDY", StudyInstanceUID=""), "CARNA")
    destination.stop()
    moved = ask.move(to, asked, "CARNA")
    assert (moved.status, moved.completed, moved.failed) == (dimse.CANNOT_SEND, 0, 3)
    assert len(moved.refused) == 3


# ---- commitment --------------------------------------------------------------------------------------


def test_a_commitment_names_what_is_here_and_intact(keeper, listens, tmp_path) -> None:
    to = node(listens())
    list(send.store(to, [slice_of(tmp_path, 1), slice_of(tmp_path, 2)]))
    keeper.lost.add("1.2.3.1.2")
    pairs = [(CT, "1.2.3.1.1"), (CT, "1.2.3.1.2"), (CT, "1.2.3.1.3")]
    report = send.commit(to, pairs, wait_s=5)
    assert report is not None
    assert report.held == {"1.2.3.1.1"} and set(report.failed) == {"1.2.3.1.2", "1.2.3.1.3"}
    # One UID asked for under two classes is affirmed for neither.
    report = send.commit(to, [*pairs[:1], (UID("1.2.9"), "1.2.3.1.1")], wait_s=5)
    assert report is not None and not report.held


def test_a_commitment_is_reported_to_where_the_caller_listens(keeper, listens, tmp_path) -> None:
    from carna.node.dimse.reports import Reports

    reports = Reports()
    home = listens(reports=reports)  # it is CARNA and calls as CARNA
    keeper.peers["CARNA"] = ("127.0.0.1", home.port)
    to = send.Node("127.0.0.1", listens().port, "CARNA", "CARNA")
    list(send.store(to, [slice_of(tmp_path, 1)]))
    report = send.commit(to, [(CT, "1.2.3.1.1")], reports=reports, wait_s=5)
    assert report is not None and report.held == {"1.2.3.1.1"} and not report.failed


def test_no_report_is_no_commitment(keeper, listens) -> None:
    keeper.peers["SENDER"] = ("127.0.0.1", 1)  # nobody listens there
    assert send.commit(node(listens()), [(CT, "1.2.3")], wait_s=0.5) is None


def test_no_answer_waits_for_an_acknowledgement(listens) -> None:
    listener = listens()
    with raw_caller(listener):
        (wire,) = listener._wires
        assert wire._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_is_said_last_is_not_overtaken_by_a_reset(listens) -> None:
    sock = raw_caller(listens())
    sock.sendall(b"\x09\0\0\0\0\4abcd" + bytes(16 << 20))  # unread, it would reset the connection
    assert rest_of(sock) == pdu.abort(pdu.UNRECOGNISED_PDU)


def test_a_report_counts_only_for_what_was_asked(keeper, listens) -> None:
    from carna.node.dimse.reports import Report, Reports

    reports = Reports()
    keeper.peers["SENDER"] = ("127.0.0.1", 1)  # its own report goes nowhere

    def say_too_much() -> None:
        while not reports._come:
            time.sleep(0.01)
        for transaction in list(reports._come):
            reports.take(transaction, Report(frozenset({"1.2.3", "1.2.4"}), {"1.2.5": 0x0110}))

    saying = threading.Thread(target=say_too_much)
    saying.start()
    report = send.commit(node(listens()), [(CT, "1.2.3")], reports=reports, wait_s=5)
    saying.join()
    assert report == Report(frozenset({"1.2.3"}), {})
