"""How fast instances are received, beside pynetdicom and dcmtk, by the same sender in the same run.

Receiving alone: no server writes anything, each runs in a process of its own, and the sender is dcmtk's
``storescu`` over loopback with ``TCP_NODELAY=1``: its delayed small writes would make all servers alike.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from carna.bench import Row
from carna.errors import InputError
from carna.node.dimse.keeper import Incoming, Stored
from carna.node.dimse.listen import Listener

_TITLE: Final = "CARNA"
_SYSTEM: Final = "/usr/local/bin:/usr/bin:/bin"  # pynetdicom's scripts shadow dcmtk's in an environment
_PATIENCE_S: Final = 60.0


def measure(slices: int = 200) -> tuple[Row, ...]:
    """Return rows of files per second and of the server's CPU time per file, ours beside each peer's.

    Parameters
    ----------
    slices : int
        CT slices of 512 x 512 x 16 bit that go over one association, 525 KB each.

    Raises
    ------
    InputError
        dcmtk's ``storescu`` is not installed.
    """
    sender = shutil.which("storescu", path=_SYSTEM)
    if sender is None:
        raise InputError("no storescu", needed="dcmtk, which sends in this measurement", fix="install dcmtk")
    peers: dict[str, Callable[[], Any]] = {}
    if find_spec("pynetdicom") is not None:
        peers["pynetdicom"] = lambda: _python_server(_serve_pynetdicom)
    if shutil.which("storescp", path=_SYSTEM) is not None:
        peers["dcmtk storescp"] = _storescp
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = _make(folder, slices)
        said = f"{slices} slices of {size >> 10} KiB, one association, nothing written"
        ours = _measured(lambda: _python_server(_serve_ours), sender, folder, slices)
        for peer, server in peers.items():
            theirs = _measured(server, sender, folder, slices)
            rows.append(Row("C-STORE received", peer, ours.per_s, theirs.per_s, "files/s", said))
            rows.append(Row("C-STORE received, CPU", peer, ours.cpu_ms, theirs.cpu_ms, "ms/file", said))
    return tuple(rows)


@final
@dataclass(frozen=True, slots=True)
class _Speed:
    per_s: float
    cpu_ms: float


def _measured(server: Callable[[], Any], sender: str, folder: Path, slices: int) -> _Speed:
    """Return the best of three runs, and the CPU time of all three, after one that warms up."""
    took_s = []
    with server() as (pid, port):
        words = [sender, "-aec", _TITLE, "+sd", "127.0.0.1", str(port), str(folder)]
        for run in range(4):
            if run == 1:
                cpu_s = _cpu_s(pid)
            began = time.perf_counter()
            subprocess.run(words, check=True, env={**os.environ, "TCP_NODELAY": "1"}, capture_output=True)
            took_s.append(time.perf_counter() - began)
        return _Speed(slices / min(took_s[1:]), (_cpu_s(pid) - cpu_s) / (3 * slices) * 1e3)


def _cpu_s(pid: int) -> float:
    """Return the CPU time a process has used, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _make(folder: Path, slices: int) -> int:
    """Write the slices; return the bytes of one."""
    noise = np.random.default_rng(0).normal(1000.0, 20.0, (512, 512)).astype("<i2").tobytes()
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.SOPClassUID, one.Modality = CTImageStorage, "CT"
    one.PatientID = one.PatientName = "BENCH"
    one.StudyInstanceUID, one.SeriesInstanceUID = "2.25.1", "2.25.1.1"
    one.Rows = one.Columns = 512
    one.BitsAllocated = one.BitsStored = 16
    one.HighBit, one.PixelRepresentation, one.SamplesPerPixel = 15, 1, 1
    one.PhotometricInterpretation = "MONOCHROME2"
    one.PixelData = noise
    for number in range(slices):
        one.SOPInstanceUID = f"2.25.1.1.{number + 1}"
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        one.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)
    return (folder / "00000.dcm").stat().st_size


# ---- the servers -------------------------------------------------------------------------------------


@contextmanager
def _python_server(serve: Callable[[Connection], None]) -> Iterator[tuple[int, int]]:
    """Run a server of this language in a process of its own; give its number and its port."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=serve, args=(there,))
    process.start()
    try:
        if not here.poll(_PATIENCE_S):
            raise InputError("a server did not start", needed=f"its port within {_PATIENCE_S:g} s")
        yield process.pid or 0, here.recv()
    finally:
        here.send(None)
        process.join()


def _serve_ours(pipe: Connection) -> None:
    with Listener(_Nowhere(), port=0) as listener:
        pipe.send(listener.port)
        pipe.recv()


def _serve_pynetdicom(pipe: Connection) -> None:
    from pynetdicom import AE, evt

    def take(event: Any) -> int:
        event.encoded_dataset()
        return 0x0000

    entity = AE(_TITLE)
    entity.maximum_pdu_size = 0  # its fastest
    entity.add_supported_context(CTImageStorage, ExplicitVRLittleEndian)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, take)])
    pipe.send(server.server_address[1])
    pipe.recv()
    server.shutdown()


@contextmanager
def _storescp() -> Iterator[tuple[int, int]]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = int(sock.getsockname()[1])
    words = [shutil.which("storescp", path=_SYSTEM) or "", "--ignore", "-pdu", "131072", str(port)]
    quick = {**os.environ, "TCP_NODELAY": "1"}
    with subprocess.Popen(words, env=quick, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + _PATIENCE_S
            while not _answers(port):
                if time.monotonic() > until:
                    raise InputError("storescp did not start", needed="dcmtk's server")
                time.sleep(0.05)
            yield process.pid, port
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@final
class _Nowhere:
    """A keeper that forgets."""

    def allows(self, calling: str, called: str, address: str, service: str) -> bool:
        """Allow everything."""
        return True

    def keep(self, one: Incoming) -> None:
        """Let go of it."""

    def find(self, level: str, identifier: Dataset) -> Iterator[Dataset]:
        """Find nothing."""
        return iter(())

    def retrieve(self, identifier: Dataset) -> Sequence[Stored]:
        """Find nothing."""
        return ()

    def holds(self, pairs: Sequence[tuple[str, str]]) -> frozenset[str]:
        """Hold nothing."""
        return frozenset()

    def peer(self, title: str) -> tuple[str, int] | None:
        """Know nobody."""
        return None
