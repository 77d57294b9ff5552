"""Lose nothing: a station under load, its processes killed at random moments, and what is left of it counted.

A sender stores small ECG studies by DICOM without pause, a rule runs `ecg_reading` on each, results go to a
PACS. Again and again the serving process, or a run's own, is killed (SIGKILL) at a random moment; sometimes
the PACS is away for a while. The station is started again each time. At the end, when all is quiet::

    lost         instances that were acknowledged and are not there, or not whole
    unreported   acknowledged studies whose report the PACS does not hold
    double       studies for which the PACS holds more than one report

Sender and PACS are pynetdicom: nothing of the station's own network judges it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from carna.bench import Row
from carna.errors import SolverError

KILLS: Final = 200
_ECG: Final = "1.2.840.10008.5.1.4.1.1.9.1.1"
_PLAIN: Final = "1.2.840.10008.1.2.1"
_CONFIG: Final = """
[station]
dicom_port = {dicom}
web_port = {web}
quiet_s = 0.5
workers = 2
[peers.PACS]
host = "127.0.0.1"
port = {pacs}
[places.pacs]
peer = "PACS"
formats = ["sr"]
research = true
[[rules]]
name = "ECG"
when = {{ Modality = "ECG" }}
run = ["ecg_reading"]
send = ["pacs"]
"""


def measure() -> tuple[Row, ...]:
    """Return the rows of `KILLS` kills."""
    return shaken(KILLS, seed=1)


def shaken(kills: int, seed: int) -> tuple[Row, ...]:
    """Return the rows: what was acknowledged, and what of it is lost, not reported or reported twice.

    Parameters
    ----------
    kills : int
        How often a process is killed.
    seed : int
        Of the moments.
    """
    with tempfile.TemporaryDirectory(prefix="carna-faults-") as folder:
        home = Path(folder) / "station"
        home.mkdir()
        ports = dict(zip(("dicom", "web", "pacs"), free_ports(3), strict=True))
        (home / "station.toml").write_text(_CONFIG.format(**ports), encoding="utf-8")
        with _Pacs(ports["pacs"]) as pacs:
            return _shaken(home, ports, pacs, kills, random.Random(seed))


def _shaken(
    home: Path, ports: dict[str, int], pacs: _Pacs, kills: int, moments: random.Random
) -> tuple[Row, ...]:
    sender = _Sender(ports["dicom"])
    sender.start()
    jobs = 0
    for n in range(kills):
        served = _serve(home, ports["web"])
        if n % 20 == 10:
            pacs.away_for(3.0)
        time.sleep(moments.uniform(0.05, 2.5))
        child = _job(served.pid)
        if child and n % 4 == 3:
            os.kill(child, signal.SIGKILL)
            jobs += 1
            time.sleep(0.2)
        os.kill(served.pid, signal.SIGKILL)
        served.wait()
    sender.stop()
    if not sender.acknowledged:
        raise SolverError("the station acknowledged nothing", needed="instances to lose")
    served = _serve(home, ports["web"])
    quiet = _until_quiet(ports["web"], len(sender.acknowledged))
    served.send_signal(signal.SIGTERM)
    served.wait(timeout=60)
    verified = subprocess.run(
        [sys.executable, "-m", "carna.node.commands", "verify", str(home), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = json.loads(verified.stdout)
    lost = len(sender.acknowledged - _held(home)) + len(said["damaged"])
    unreported = [s for s in sender.studies if not pacs.reports[s]]
    double = [s for s, uids in pacs.reports.items() if len(uids) > 1]
    note = f"{kills} kills ({jobs} of runs), {len(sender.acknowledged)} acknowledged, {quiet:.0f} s to quiet"
    return tuple(
        Row(name, "", float(value), None, unit, note)
        for name, value, unit in (
            ("acknowledged and lost or damaged", lost, "instances"),
            ("acknowledged and not reported", len(unreported), "studies"),
            ("reported twice", len(double), "studies"),
            ("audit trail broken", said["audit_broken_at"] is not None, "times"),
            ("damaged files", len(said["damaged"]), "files"),
        )
    )


class _Sender(threading.Thread):
    """Stores one small ECG study after another; knows which were acknowledged."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.acknowledged: set[str] = set()
        self.studies: set[str] = set()
        self._ended = threading.Event()

    def stop(self) -> None:
        """End after the present study."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Send until told to end; what is refused or cut off is sent again."""
        from pynetdicom import AE

        ae = AE("SENDER")
        ae.add_requested_context(_ECG, _PLAIN)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = 5
        number = 0
        while not self._ended.is_set():
            association = ae.associate("127.0.0.1", self.port, ae_title="CARNA")
            if not association.is_established:
                time.sleep(0.1)
                continue
            while association.is_established and not self._ended.is_set():
                ds = _ecg(number)
                try:
                    status = association.send_c_store(ds)
                except RuntimeError:  # the station was killed between the question and the sending
                    break
                if not (status and status.Status == 0):
                    break
                self.acknowledged.add(str(ds.SOPInstanceUID))
                self.studies.add(str(ds.StudyInstanceUID))
                number += 1
                time.sleep(1.5)  # a run takes a second: a heap of them would only wait
            association.abort()


class _Pacs:
    """A PACS that keeps reports by UID, and may be away."""

    def __init__(self, port: int) -> None:
        from pynetdicom import AE, AllStoragePresentationContexts

        self.port = port
        self.reports: dict[str, set[str]] = defaultdict(set)
        self._away = 0.0
        self._ae = AE("PACS")
        self._ae.supported_contexts = AllStoragePresentationContexts[:128]
        self._ae.add_supported_context("1.2.840.10008.5.1.4.1.1.88.34")
        self._ae.add_supported_context("1.2.840.10008.5.1.4.1.1.88.33")
        self._ae.add_supported_context("1.2.840.10008.5.1.4.1.1.88.22")

    def __enter__(self) -> _Pacs:
        from pynetdicom import evt

        self._server = self._ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._keep)]
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()

    def away_for(self, seconds: float) -> None:
        """Refuse everything for a while."""
        self._away = time.time() + seconds

    def _keep(self, event: Any) -> int:
        if time.time() < self._away:
            return 0xA700
        ds = event.dataset
        self.reports[str(ds.StudyInstanceUID)].add(str(ds.SOPInstanceUID))
        return 0


def _ecg(number: int) -> Any:
    """Return one study of the virtual patient's ECG, another person's each time."""
    from pydicom.dataset import FileMetaDataset

    ds = _template().copy()
    root = f"2.25.{770_000_000_000 + number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = root, f"{root}.1", f"{root}.1.1"
    ds.PatientID, ds.PatientName = f"F{number:06}", f"Fault^{number}"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = _PLAIN
    return ds


_TEMPLATE: list[Any] = []


def _template() -> Any:
    if not _TEMPLATE:
        from pydicom import dcmread

        from carna.doors.dicom.write import write_study
        from carna.phantom import virtual_study

        study, _ = virtual_study()
        with tempfile.TemporaryDirectory() as folder:
            read = [dcmread(p) for p in write_study(study, folder)]
        _TEMPLATE.append(next(ds for ds in read if ds.SOPClassUID == _ECG))
    return _TEMPLATE[0]


def _serve(home: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a station and return when it answers."""
    command = [sys.executable, "-m", "carna.node.commands", "serve", str(home)]
    served = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.time() + 60
    while time.time() < until:
        if served.poll() is not None:  # the port of the one that was killed is not free yet
            time.sleep(0.3)
            served = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _get(port, "/health")
        except OSError:
            time.sleep(0.05)
            continue
        return served
    raise TimeoutError("the station does not start")


def _job(parent: int) -> int:
    """Return a process that a station began, 0 if there is none."""
    # Each thread lists the processes that it began itself.
    for told in Path(f"/proc/{parent}/task").glob("*/children"):
        try:
            children = told.read_text(encoding="ascii").split()
        except OSError:
            continue
        if children:
            return int(children[0])
    return 0


def _until_quiet(port: int, expected: int, patience_s: float = 600.0) -> float:
    """Wait until every study is decided on and every run is over; return how long it took."""
    begun = time.time()
    while time.time() - begun < patience_s:
        studies = _all_studies(port)
        over = [s for s in studies if s["run"] and s["run"]["state"] in ("completed", "failed")]
        if len(over) >= expected:
            break
        time.sleep(1.0)
    return time.time() - begun


def _all_studies(port: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while page := _get(port, f"/api/studies?limit=1000&offset={len(found)}")["studies"]:
        found += page
    return found


def _held(home: Path) -> set[str]:
    import sqlite3

    with sqlite3.connect(home / "catalogue.db") as connection:
        return {row[0] for row in connection.execute("select uid from instance")}


def _get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return json.load(answer)


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody has."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for one in sockets:
        one.close()
    return ports
