"""pynetdicom as the caller, with every service, over TLS, and as the server that our callers meet."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from carna.node.dimse import ask, send
from carna.node.dimse.reports import Reports

from .test_listen import CT, EXPLICIT, data_set, node, slice_of

pytestmark = pytest.mark.peer

COMMITMENT, COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
STUDY = "1.2.840.10008.5.1.4.1.2.2"


@pytest.fixture
def caller(library):
    """An application entity whose contexts the test adds; `associate` of it makes the association."""
    net = library("pynetdicom")
    entity = net.AE("PYNET")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
    return entity


def opened(caller: Any, port: int, **more: Any) -> Any:
    association = caller.associate("127.0.0.1", port, ae_title="CARNA", **more)
    assert association.is_established
    return association


def question(level: str, **keys: str) -> Dataset:
    return ask.question(level=level, **keys)


def test_echo_and_store(caller, listens, keeper, tmp_path) -> None:
    path = slice_of(tmp_path, 1)
    caller.add_requested_context("1.2.840.10008.1.1")
    caller.add_requested_context(CT)
    association = opened(caller, listens().port)
    assert association.send_c_echo().Status == 0
    assert association.send_c_store(dcmread(path)).Status == 0
    assert association.send_c_store(path).Status == 0  # in pieces, as it lies on the disk
    association.release()
    assert association.is_released
    assert [one.data for one in keeper.came] == [data_set(path)] * 2


def test_contexts_that_are_not_offered_are_refused(caller, listens) -> None:
    caller.add_requested_context("1.2.840.10008.1.1")
    caller.add_requested_context("1.2.840.10008.5.1.4.31")  # worklist
    caller.add_requested_context(STUDY + ".1", "1.2.840.10008.1.2.4.90")
    association = opened(caller, listens().port)
    assert sorted(c.result for c in association.rejected_contexts) == [3, 4]
    association.release()


def test_find_and_cancel(caller, listens, keeper, tmp_path) -> None:
    keeper.add(slice_of(tmp_path, 1))
    keeper.heads *= 50
    caller.add_requested_context(STUDY + ".1")
    association = opened(caller, listens().port)
    answers = list(association.send_c_find(question("STUDY", StudyInstanceUID="1.2.3"), STUDY + ".1"))
    assert [status.Status for status, _ in answers] == [0xFF00] * 50 + [0]
    keeper.slow = threading.Event()  # each answer waits
    threading.Timer(0.5, keeper.slow.set).start()
    seen = []
    for status, _ in association.send_c_find(
        question("STUDY", StudyInstanceUID="1.2.3"), STUDY + ".1", msg_id=7
    ):
        if not seen:
            association.send_c_cancel(7, query_model=STUDY + ".1")
            keeper.slow.set()
        seen.append(status.Status)
    assert seen[-1] in (0xFE00, 0x0000)  # it may have been over before
    association.release()


def test_get_with_role_selection(caller, listens, keeper, library, tmp_path) -> None:
    for number in range(3):
        keeper.add(slice_of(tmp_path, number))
    net = library("pynetdicom")
    came: list[bytes] = []

    def take(event: Any) -> int:
        came.append(event.request.DataSet.getvalue())
        return 0x0000

    caller.add_requested_context(STUDY + ".3")
    caller.add_requested_context(CT, EXPLICIT)
    association = opened(
        caller,
        listens().port,
        ext_neg=[net.build_role(CT, scp_role=True)],
        evt_handlers=[(net.evt.EVT_C_STORE, take)],
    )
    answers = list(association.send_c_get(question("STUDY", StudyInstanceUID="1.2.3"), STUDY + ".3"))
    assert answers[-1][0].Status == 0 and answers[-1][0].NumberOfCompletedSuboperations == 3
    assert [status.NumberOfRemainingSuboperations for status, _ in answers[:-1]] == [2, 1]
    assert came == [data_set(stored.path) for stored in keeper.files]
    association.release()


def test_get_is_cancelled_between_two_objects(caller, listens, keeper, library, tmp_path) -> None:
    for number in range(5):
        keeper.add(slice_of(tmp_path, number))
    net = library("pynetdicom")
    came: list[str] = []

    def take(event: Any) -> int:
        came.append(event.request.AffectedSOPInstanceUID)
        if len(came) == 2:
            event.assoc.send_c_cancel(7, query_model=STUDY + ".3")
        return 0x0000

    caller.add_requested_context(STUDY + ".3")
    caller.add_requested_context(CT, EXPLICIT)
    association = opened(
        caller,
        listens().port,
        ext_neg=[net.build_role(CT, scp_role=True)],
        evt_handlers=[(net.evt.EVT_C_STORE, take)],
    )
    asked = question("STUDY", StudyInstanceUID="1.2.3")
    answers = [status for status, _ in association.send_c_get(asked, STUDY + ".3", msg_id=7)]
    assert answers[-1].Status == 0xFE00
    assert (answers[-1].NumberOfRemainingSuboperations, answers[-1].NumberOfCompletedSuboperations) == (3, 2)
    assert came == ["1.2.3.1.0", "1.2.3.1.1"]
    association.release()


def test_get_without_the_role_sends_nothing(caller, listens, keeper, tmp_path) -> None:
    keeper.add(slice_of(tmp_path, 1))
    caller.add_requested_context(STUDY + ".3")
    caller.add_requested_context(CT, EXPLICIT)
    association = opened(caller, listens().port)
    answers = list(association.send_c_get(question("STUDY", StudyInstanceUID="1.2.3"), STUDY + ".3"))
    assert answers[-1][0].Status == 0xA702
    assert answers[-1][1].FailedSOPInstanceUIDList == "1.2.3.1.1"
    association.release()


def test_move(caller, listens, keeper, library, tmp_path) -> None:
    net = library("pynetdicom")
    paths = [slice_of(tmp_path, n) for n in range(2)]
    for path in paths:
        keeper.add(path)
    came: list[tuple[str, int]] = []

    def take(event: Any) -> int:
        came.append(
            (event.request.MoveOriginatorApplicationEntityTitle, event.request.MoveOriginatorMessageID)
        )
        return 0x0000 if len(came) == 1 else 0xA700

    server = net.AE("DEST")
    server.add_supported_context(CT)
    serving = server.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(net.evt.EVT_C_STORE, take)])
    try:
        keeper.peers["DEST"] = ("127.0.0.1", serving.server_address[1])
        caller.add_requested_context(STUDY + ".2")
        association = opened(caller, listens().port)
        answers = list(
            association.send_c_move(
                question("STUDY", StudyInstanceUID="1.2.3"), "DEST", STUDY + ".2", msg_id=5
            )
        )
        association.release()
    finally:
        serving.shutdown()
    assert came == [("PYNET", 5)] * 2
    assert answers[-1][0].Status == 0xB000
    assert answers[-1][0].NumberOfFailedSuboperations == 1
    assert answers[-1][1].FailedSOPInstanceUIDList == "1.2.3.1.1"


def commitment_request(transaction: str, *uids: str) -> Dataset:
    request = Dataset()
    request.TransactionUID = transaction
    request.ReferencedSOPSequence = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, uid
        request.ReferencedSOPSequence.append(item)
    return request


@pytest.mark.parametrize("known", [False, True], ids=["same association", "called back"])
def test_commitment(caller, listens, keeper, library, tmp_path, known: bool) -> None:
    net = library("pynetdicom")
    reports: list[tuple[int, Dataset]] = []
    come = threading.Event()

    def report(event: Any) -> tuple[int, None]:
        reports.append((event.request.EventTypeID, event.event_information))
        come.set()
        return 0x0000, None

    handlers = [(net.evt.EVT_N_EVENT_REPORT, report)]
    listener = listens()
    list(send.store(node(listener), [slice_of(tmp_path, 1)]))
    server = net.AE("PYNET")
    server.add_supported_context(COMMITMENT, scu_role=False, scp_role=True)
    serving = server.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        if known:
            keeper.peers["PYNET"] = ("127.0.0.1", serving.server_address[1])
        caller.add_requested_context(COMMITMENT)
        association = opened(caller, listener.port, evt_handlers=[] if known else handlers)
        status, _ = association.send_n_action(
            commitment_request("1.9.1", "1.2.3.1.1", "1.2.3.1.2"), 1, COMMITMENT, COMMITMENT_INSTANCE
        )
        assert status.Status == 0
        assert come.wait(10)
        association.release()
    finally:
        serving.shutdown()
    ((event, said),) = reports
    assert (event, said.TransactionUID) == (2, "1.9.1")
    assert [item.ReferencedSOPInstanceUID for item in said.ReferencedSOPSequence] == ["1.2.3.1.1"]
    assert [item.ReferencedSOPInstanceUID for item in said.FailedSOPSequence] == ["1.2.3.1.2"]
    assert said.FailedSOPSequence[0].FailureReason == 0x0112


def test_a_report_of_theirs_is_taken_only_if_it_is_expected(caller, listens, library) -> None:
    net = library("pynetdicom")
    reports = Reports()
    listener = listens(reports=reports)
    reports.expect("1.9.2")
    caller.add_requested_context(COMMITMENT)
    association = opened(
        caller, listener.port, ext_neg=[net.build_role(COMMITMENT, scu_role=False, scp_role=True)]
    )
    for transaction, expected in (("1.9.9", 0x0115), ("1.9.2", 0)):
        said = commitment_request(transaction, "1.2.3")
        status, _ = association.send_n_event_report(said, 1, COMMITMENT, COMMITMENT_INSTANCE)
        assert status.Status == expected
    association.release()
    report = reports.wait("1.9.2", 5)
    assert report is not None and report.held == {"1.2.3"}


# ---- TLS ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    for name in ("server", "client"):
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
    return folder


def context(folder: Path, mine: str, theirs: str, *, server: bool) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(folder / f"{theirs}.pem")
    made.verify_mode = ssl.CERT_REQUIRED
    if mine:
        made.load_cert_chain(folder / f"{mine}.pem", folder / f"{mine}.key")
    return made


def test_tls_with_certificates_on_both_sides(caller, listens, keeper, certificates, tmp_path) -> None:
    listener = listens(tls=context(certificates, "server", "client", server=True))
    client = context(certificates, "client", "server", server=False)
    path = slice_of(tmp_path, 1)
    caller.add_requested_context(CT)
    association = opened(caller, listener.port, tls_args=(client, "127.0.0.1"))
    assert association.send_c_store(dcmread(path)).Status == 0
    association.release()
    to = send.Node("127.0.0.1", listener.port, "CARNA", tls=client)
    assert send.echo(to) < 5
    assert all(one.kept for one in send.store(to, [path]))
    assert [one.data for one in keeper.came] == [data_set(path)] * 2


def test_without_a_certificate_or_without_tls_nobody_comes_in(listens, keeper, certificates) -> None:
    listener = listens(tls=context(certificates, "server", "client", server=True))
    for tls in (None, context(certificates, "", "server", server=False)):
        with pytest.raises(send.NodeError):
            send.echo(send.Node("127.0.0.1", listener.port, "CARNA", tls=tls, patience_s=5))
    assert not keeper.came
