"""How fast a station takes files in, beside Orthanc (as packaged and tuned), dcmtk's storescp and pynetdicom.

500 CT slices of 512 x 512 are sent by dcmtk's ``storescu`` with TCP_NODELAY, the same to each receiver, over
loopback; STOW-RS one instance a request and fifty. What each promises when it acknowledges differs and is
said in ``quality``: ours is on the disk (fsync) and in the catalogue. The bound beside it is one write with
fsync of the same bytes to the same disk, one at a time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from carna.bench import Row
from carna.bench.node_faults import free_ports

SLICES: Final = 500
PIXELS: Final = 512
_STORESCU: Final = "/usr/bin/storescu"
_SYSTEM: Final = "/usr/bin:/usr/sbin:/bin"


def measure() -> tuple[Row, ...]:
    """Return the rows; a peer that is not installed leaves its row out."""
    with tempfile.TemporaryDirectory(prefix="carna-node-") as folder:
        root = Path(folder)
        files = _slices(root / "ct", SLICES)
        bound = _fsyncs(root, files[:100])
        rows = []
        for name, begin, promise in _receivers(root):
            with begin() as (title, port, _):
                rows.append((name, SLICES / _send(title, port, root / "ct"), promise))
        with _ours(root / "four") as (title, port, _):
            four = _in_four(title, port, root, files)
        with _ours(root / "web") as (_, _, web):
            single, fifty = (_stow(f"http://127.0.0.1:{web}/dicomweb/studies", files, n) for n in (1, 50))
            seen = _seen(web)
            memory = seen["memory"]
        ours = rows[0][1]
        size = f"{SLICES} CT slices of {PIXELS} x {PIXELS}"
        return (
            Row(f"C-STORE, {size}", "write + fsync, one at a time", ours, bound, "files/s", rows[0][2]),
            *(Row("C-STORE, one association", n, ours, rate, "files/s", p) for n, rate, p in rows[1:]),
            Row("C-STORE, four associations", "one association", four, ours, "files/s", rows[0][2]),
            Row("STOW-RS, one a request", "", single, None, "files/s", rows[0][2]),
            Row("STOW-RS, fifty a request", "", fifty, None, "files/s", rows[0][2]),
            Row("study seen by QIDO", "", seen["qido"], None, "s after the last byte"),
            Row("metadata of 500 instances, second time", "", seen["metadata"], None, "s"),
            Row("memory of the server after it", "", memory, None, "MiB"),
        )  # fmt: skip


def _slices(folder: Path, count: int) -> list[Path]:
    """Write one CT series: noise on a disc, as large as real ones."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    folder.mkdir()
    random = np.random.default_rng(0)
    files = []
    for n in range(count):
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"2.25.4711.1.{n + 1}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.StudyID = "2.25.4711", "2.25.4711.1", "1"
        ds.PatientID, ds.PatientName, ds.PatientSex, ds.PatientBirthDate = "B1", "Bench^Node", "O", "19700101"
        ds.Modality, ds.StudyDate, ds.StudyTime, ds.AccessionNumber = "CT", "20260101", "120000", "1"
        ds.InstanceNumber, ds.SeriesNumber, ds.ReferringPhysicianName = n + 1, 1, ""
        ds.Rows = ds.Columns = PIXELS
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.PixelData = random.integers(0, 4096, (PIXELS, PIXELS), np.uint16).tobytes()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"{n:04}.dcm"
        ds.save_as(path, enforce_file_format=True)
        files.append(path)
    return files


def _fsyncs(root: Path, files: list[Path]) -> float:
    """Return how many of these files a second the disk takes with fsync, one at a time."""
    data = [p.read_bytes() for p in files]
    begun = time.perf_counter()
    for n, body in enumerate(data):
        with (root / f"fsync-{n}").open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
    rate = len(data) / (time.perf_counter() - begun)
    for n in range(len(data)):
        (root / f"fsync-{n}").unlink()
    return rate


Receiver = tuple[str, int, int]  # AE title, DICOM port, web port


def _receivers(root: Path) -> Iterator[tuple[str, Callable[[], Any], str]]:
    yield "", lambda: _ours(root / "one"), "fsync and catalogue before the answer"
    if Path("/usr/bin/storescp").exists():
        yield (
            "dcmtk storescp, TCP_NODELAY",
            lambda: _storescp(root / "dcmtk"),
            "a file, no fsync, no catalogue",
        )
    yield "pynetdicom storescp", lambda: _pynetdicom(root / "pynet"), "a file, no fsync, no catalogue"
    if shutil.which("Orthanc", path=_SYSTEM):
        yield (
            "Orthanc as packaged",
            lambda: _orthanc(root / "o1", False),
            "its catalogue; sync per its default",
        )
        yield (
            "Orthanc, TCP_NODELAY",
            lambda: _orthanc(root / "o2", True),
            "its catalogue; sync per its default",
        )


@contextmanager
def _ours(home: Path) -> Iterator[Receiver]:
    home.mkdir()
    dicom, web = free_ports(2)
    (home / "station.toml").write_text(
        f"[station]\ndicom_port = {dicom}\nweb_port = {web}\nquiet_s = 3600.0\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "carna.node.commands", "serve", str(home)]
    with _running(command, {}, lambda: _get(f"http://127.0.0.1:{web}/health")):
        yield "CARNA", dicom, web


@contextmanager
def _storescp(folder: Path) -> Iterator[Receiver]:
    folder.mkdir()
    (port,) = free_ports(1)
    command = ["/usr/bin/storescp", "-od", str(folder), "-aet", "PEER", str(port)]
    with _running(command, {"TCP_NODELAY": "1"}, lambda: _echo("PEER", port)):
        yield "PEER", port, 0


@contextmanager
def _pynetdicom(folder: Path) -> Iterator[Receiver]:
    folder.mkdir()
    (port,) = free_ports(1)
    command = [
        sys.executable,
        "-m",
        "pynetdicom",
        "storescp",
        str(port),
        "-od",
        str(folder),
        "-aet",
        "PEER",
        "-q",
    ]
    with _running(command, {}, lambda: _echo("PEER", port)):
        yield "PEER", port, 0


@contextmanager
def _orthanc(folder: Path, tuned: bool) -> Iterator[Receiver]:
    folder.mkdir()
    dicom, web = free_ports(2)
    said = {
        "Name": "PEER", "DicomAet": "PEER", "DicomPort": dicom, "HttpPort": web,
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder), "AuthenticationEnabled": False, "DicomCheckCalledAet": False,
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(said), encoding="utf-8")
    orthanc = shutil.which("Orthanc", path=_SYSTEM)
    assert orthanc is not None
    more = {"TCP_NODELAY": "1"} if tuned else {}
    with _running(
        [orthanc, str(folder / "orthanc.json")], more, lambda: _get(f"http://127.0.0.1:{web}/system")
    ):
        yield "PEER", dicom, web


@contextmanager
def _running(command: list[str], more: dict[str, str], answers: Callable[[], object]) -> Iterator[None]:
    process = subprocess.Popen(
        command, env={**os.environ, **more}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.time() + 60
        while True:
            try:
                answers()
                break
            except (OSError, subprocess.SubprocessError):
                if time.time() > until:
                    raise
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _echo(title: str, port: int) -> None:
    subprocess.run(
        ["/usr/bin/echoscu", "-aec", title, "127.0.0.1", str(port)],
        check=True,
        capture_output=True,
        timeout=10,
    )


def _send(title: str, port: int, folder: Path) -> float:
    """Return the seconds that storescu takes."""
    begun = time.perf_counter()
    subprocess.run(
        [_STORESCU, "-aec", title, "+sd", "127.0.0.1", str(port), str(folder)],
        check=True, capture_output=True, env={**os.environ, "TCP_NODELAY": "1"},
    )  # fmt: skip
    return time.perf_counter() - begun


def _in_four(title: str, port: int, root: Path, files: list[Path]) -> float:
    quarters = []
    for n in range(4):
        folder = root / f"quarter-{n}"
        folder.mkdir()
        for path in files[n::4]:
            (folder / path.name).symlink_to(path)
        quarters.append(folder)
    begun = time.perf_counter()
    senders = [
        subprocess.Popen(
            [_STORESCU, "-aec", title, "+sd", "127.0.0.1", str(port), str(folder)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "TCP_NODELAY": "1"},
        )
        for folder in quarters
    ]  # fmt: skip
    for sender in senders:
        sender.wait()
    return len(files) / (time.perf_counter() - begun)


def _stow(url: str, files: list[Path], batch: int) -> float:
    """Return files a second by STOW-RS over one connection; instances are renamed so that each is new."""
    import httpx2

    data = [p.read_bytes().replace(b"2.25.4711", b"2.25.47%02d" % (12 + batch % 80)) for p in files]
    with httpx2.Client(timeout=60.0) as client:
        begun = time.perf_counter()
        for n in range(0, len(data), batch):
            parts = [
                b"--cut\r\nContent-Type: application/dicom\r\n\r\n" + d + b"\r\n" for d in data[n : n + batch]
            ]
            kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=cut'}
            answer = client.post(url, content=b"".join(parts) + b"--cut--\r\n", headers=kind)
            answer.raise_for_status()
        return len(data) / (time.perf_counter() - begun)


def _seen(web: int) -> dict[str, float]:
    begun = time.perf_counter()
    study = _get(f"http://127.0.0.1:{web}/dicomweb/studies")[0]["0020000D"]["Value"][0]
    qido = time.perf_counter() - begun
    url = f"http://127.0.0.1:{web}/dicomweb/studies/{study}/metadata"
    _get(url)
    begun = time.perf_counter()
    _get(url)
    metadata = time.perf_counter() - begun
    with urllib.request.urlopen(f"http://127.0.0.1:{web}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    memory = 0.0
    with suppress(StopIteration):
        line = next(x for x in text.splitlines() if x.startswith("process_resident_memory_bytes "))
        memory = float(line.split()[1]) / 2**20
    return {"qido": qido, "metadata": metadata, "memory": memory}


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)
