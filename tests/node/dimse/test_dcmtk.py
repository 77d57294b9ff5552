"""dcmtk's programs against the listener, and our callers against dcmtk's servers."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread

from carna.node.dimse import ask, send
from carna.node.dimse.bench import measure
from carna.node.dimse.give import described

from .test_listen import data_set, node, slice_of

pytestmark = pytest.mark.peer

Peer = Callable[[str], str]
QUICK = {**os.environ, "TCP_NODELAY": "1"}


def run(*words: object, expect: int = 0) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=60, env=QUICK, check=False
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def serving(*words: object, port: int) -> Iterator[None]:
    """Run a dcmtk server until the block ends."""
    with subprocess.Popen([str(word) for word in words], env=QUICK, stdout=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < until and process.poll() is None
                    time.sleep(0.05)
            yield
        finally:
            process.terminate()


@contextmanager
def storescp(peer: Peer, folder: Path, *more: object) -> Iterator[send.Node]:
    port = free_port()
    with serving(peer("storescp"), *more, "-od", folder, "+uf", port, port=port):
        yield send.Node("127.0.0.1", port, "STORESCP", "CARNA", patience_s=20)


def test_echoscu(peer: Peer, listens, keeper) -> None:
    port = listens().port
    run(peer("echoscu"), "-aec", "CARNA", "127.0.0.1", port)
    keeper.refused.add(("ECHOSCU", "*"))
    said = run(peer("echoscu"), "-aec", "CARNA", "127.0.0.1", port, expect=1)
    assert "Calling AE Title Not Recognized" in said


@pytest.mark.data
def test_storescu_leaves_here_the_bytes_it_leaves_at_storescp(
    peer: Peer, listens, keeper, data, tmp_path
) -> None:
    """Slides, segmentations, reports, a CT, a DX and an ECG; compressed ones in their own syntax."""
    nema, theirs = data("dicom-zoo") / "nema-wg04", tmp_path / "theirs"
    plain, jpeg_ls = tmp_path / "plain", tmp_path / "jpeg_ls"
    for folder in (theirs, plain, jpeg_ls):
        folder.mkdir()
    for path in (data("dicom-zoo") / "highdicom").glob("*.dcm"):
        if "labelmap" not in path.name:  # newer than this storescu
            ((jpeg_ls if "jpegls" in path.name else plain) / path.name).symlink_to(path.resolve())
    folders = [("-xe", plain), ("-xe", data("ecg-vendor-files") / "dicom"), ("-xt", jpeg_ls)]
    folders += [("-xw", nema / "J2KI"), ("-xv", nema / "J2KR"), ("-xt", nema / "JLSL"), ("-xr", nema / "RLE")]
    port = listens().port
    with storescp(peer, theirs, "+B", "+xa") as other:  # bit preserving, all syntaxes
        for title, at in (("CARNA", port), ("STORESCP", other.port)):
            for switch, folder in folders:
                run(peer("storescu"), "-R", switch, "+sd", "-aec", title, "127.0.0.1", at, folder)
    ours = sorted((one.sop_instance, one.transfer_syntax, one.data) for one in keeper.came)
    kept = [(described(path), path) for path in theirs.iterdir()]
    assert len(kept) > 20  # some of one UID
    assert ours == sorted((one.sop_instance, one.transfer_syntax, data_set(path)) for one, path in kept)
    assert len({syntax for _, syntax, _ in ours}) >= 5


def test_storescu_in_implicit_alone(peer: Peer, listens, keeper, tmp_path) -> None:
    path = slice_of(tmp_path, 1)
    run(peer("storescu"), "-xi", "-pdu", 4096, "-aec", "CARNA", "127.0.0.1", listens().port, path)
    (one,) = keeper.came
    assert one.transfer_syntax == "1.2.840.10008.1.2"


def test_findscu_at_both_roots(peer: Peer, listens, keeper, tmp_path) -> None:
    keeper.add(slice_of(tmp_path, 1))
    port = listens().port
    for root, level in (("-S", "STUDY"), ("-P", "PATIENT"), ("-S", "IMAGE")):
        out = tmp_path / f"{root}{level}"
        out.mkdir()
        keys = ["-k", f"QueryRetrieveLevel={level}", "-k", "PatientName"]
        for keyword, value in (
            ("PatientID", "P1"),
            ("StudyInstanceUID", "1.2.3"),
            ("SeriesInstanceUID", "1.2.3.1"),
        ):
            keys += ["-k", f"{keyword}={value}"] if level == "IMAGE" or keyword == "PatientID" else []
        run(peer("findscu"), root, "-X", "-od", out, "-aec", "CARNA", *keys, "127.0.0.1", port)
        (answer,) = out.iterdir()
        found = dcmread(answer, force=True)
        assert (found.PatientID, found.PatientName, found.QueryRetrieveLevel) == ("P1", "Wáng^Fāng", level)


def test_findscu_cancels(peer: Peer, listens, keeper, tmp_path) -> None:
    keeper.add(slice_of(tmp_path, 1))
    keeper.heads *= 2000
    said = run(
        *(peer("findscu"), "-v", "-S", "--cancel", 3, "-aec", "CARNA", "-k", "QueryRetrieveLevel=STUDY"),
        *("-k", "StudyInstanceUID", "127.0.0.1", listens().port),
    )
    assert "Cancel" in said
    assert said.count("Find Response:") < 2000


def test_movescu_to_itself(peer: Peer, listens, keeper, tmp_path) -> None:
    for number in range(3):
        keeper.add(slice_of(tmp_path, number))
    came, port = tmp_path / "came", free_port()
    came.mkdir()
    keeper.peers["MOVESCU"] = ("127.0.0.1", port)
    run(
        *(peer("movescu"), "-S", "+P", port, "-od", came, "-aec", "CARNA", "-aem", "MOVESCU"),
        *("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3", "127.0.0.1", listens().port),
    )
    assert sorted(described(path).sop_instance for path in came.iterdir()) == [
        "1.2.3.1.0",
        "1.2.3.1.1",
        "1.2.3.1.2",
    ]


def test_getscu(peer: Peer, listens, keeper, tmp_path) -> None:
    for number in range(3):
        keeper.add(slice_of(tmp_path, number))
    keeper.add(slice_of(tmp_path, 9, series="2"))
    came = tmp_path / "came"
    came.mkdir()
    run(
        *(peer("getscu"), "-S", "+B", "-od", came, "-aec", "CARNA", "-k", "QueryRetrieveLevel=SERIES"),
        *("-k", "StudyInstanceUID=1.2.3", "-k", "SeriesInstanceUID=1.2.3.1", "127.0.0.1", listens().port),
    )
    got = {described(path).sop_instance: path for path in came.iterdir()}
    assert len(got) == 3
    for stored in keeper.files[:3]:
        assert data_set(got[stored.sop_instance]) == data_set(stored.path)


def test_we_send_to_storescp(peer: Peer, tmp_path) -> None:
    came = tmp_path / "came"
    came.mkdir()
    paths = [slice_of(tmp_path, n) for n in range(3)]
    with storescp(peer, came, "+B", "-pdu", 4096) as other:
        assert send.echo(other) < 5
        outcomes = list(send.store(other, paths))
    assert all(one.kept for one in outcomes)
    assert sorted(map(data_set, came.iterdir())) == sorted(map(data_set, paths))


@pytest.mark.data
def test_a_peer_that_takes_no_compression_gets_the_pixels(peer: Peer, data, tmp_path) -> None:
    came = tmp_path / "came"
    came.mkdir()
    paths = sorted((data("dicom-zoo") / "nema-wg04" / "JLSL").iterdir())
    with storescp(peer, came, "+B", "+xi") as other:  # implicit little endian only
        outcomes = list(send.store(other, paths))
    assert [one.status for one in outcomes] == [0] * len(paths)
    assert {one.syntax for one in outcomes} == {"1.2.840.10008.1.2"}
    for path in came.iterdir():
        got = dcmread(path)
        (sent,) = (dcmread(p) for p in paths if described(p).sop_instance == got.SOPInstanceUID)
        assert (got.pixel_array == sent.pixel_array).all()


def test_we_ask_dcmqrscp(peer: Peer, listens, keeper, tmp_path) -> None:
    folder = tmp_path / "db"
    folder.mkdir()
    port, home = free_port(), listens()
    config = tmp_path / "dcmqrscp.cfg"
    config.write_text(
        f"""NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 8
HostTable BEGIN
home = (CARNA, 127.0.0.1, {home.port})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
QRSCP {folder} RW (100, 1024mb) ANY
AETable END
"""
    )
    paths = [slice_of(tmp_path, n) for n in range(3)]
    with serving(peer("dcmqrscp"), "-c", config, port=port):
        other = send.Node("127.0.0.1", port, "QRSCP", "CARNA", patience_s=20)
        assert all(one.kept for one in send.store(other, paths))
        asked = ask.question(level="STUDY", StudyInstanceUID="1.2.3", PatientID="")
        assert [one.PatientID for one in ask.find(other, asked)] == ["P1"]
        moved = ask.move(other, asked, "CARNA")
        assert (moved.status, moved.completed) == (0, 3)
        assert len(keeper.came) == 3
        got = ask.get(other, asked, keeper.keep)
        assert (got.status, got.completed) == (0, 3)
    uids = sorted(one.sop_instance for one in keeper.came)
    assert uids == sorted(2 * [described(path).sop_instance for path in paths])


def test_the_measurement_measures(peer: Peer) -> None:
    peer("storescu")
    rows = measure(slices=3)
    assert {row.unit for row in rows} == {"files/s", "ms/file"}
    assert all(row.ours > 0 for row in rows if row.unit == "files/s")


def test_both_ends_together(peer: Peer, listens, tmp_path) -> None:
    """Our caller names what a listener of ours and dcmtk's both make of the same rejection."""
    with pytest.raises(send.NodeError, match="does not know"):
        send.echo(send.Node("127.0.0.1", listens().port, "WRONG"))
    assert send.echo(node(listens())) < 5
