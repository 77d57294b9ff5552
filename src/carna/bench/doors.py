"""How fast files come in: header scan, pixels and ECG files, beside the libraries most people use."""

from __future__ import annotations

import tempfile
from pathlib import Path

from carna.bench import Row, cpu_seconds


def measure() -> tuple[Row, ...]:
    """Return the rows: header scan beside pydicom, a whole cine study, a WFDB record beside wfdb."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "dicom"
        files = _files(root)
        return (*_headers(root, files), _study(root, files), *_wfdb(Path(folder) / "ecg"))


def _files(folder: Path) -> list[Path]:
    """Write a virtual patient as DICOM."""
    from carna.doors.dicom.write import write_study
    from carna.phantom import virtual_study

    study, _ = virtual_study()
    return list(write_study(study, folder))


def _headers(root: Path, files: list[Path]) -> tuple[Row, ...]:
    import pydicom

    from carna.doors.dicom import scan
    from carna.doors.files import walk
    from carna.progress import SILENT

    blobs, _ = walk([root])

    def ours() -> int:
        headers, _ = scan.headers(blobs, SILENT)
        return len(headers)

    def peer() -> int:
        return len([pydicom.dcmread(f, stop_before_pixels=True) for f in files])

    mine, theirs = cpu_seconds(ours), cpu_seconds(peer)
    quality = f"{ours()} and {peer()} of {len(files)} headers"
    return (
        Row(
            "header scan",
            "pydicom.dcmread",
            len(files) / mine,
            len(files) / theirs,
            "files/s per core",
            quality,
        ),
    )


def _study(root: Path, files: list[Path]) -> Row:
    import carna

    seconds = cpu_seconds(lambda: carna.read(root), repeat=2)
    parts = sum(len(s.parts) for c in carna.read(root).cases for s in c.studies)
    return Row(
        "carna.read, cine study",
        "none",
        len(files) / seconds,
        None,
        "files/s per core",
        f"{parts} parts of {len(files)} files",
    )


def _wfdb(folder: Path) -> tuple[Row, ...]:
    """Time one 12-lead record of format 16 beside wfdb, where it is installed."""
    import numpy as np

    import carna
    from carna.doors.ecg.wfdb import write_wfdb
    from carna.phantom import virtual_study
    from carna.study import Ecg

    study, _ = virtual_study()
    ecg = next(p for p in study.parts if isinstance(p, Ecg))
    folder.mkdir()
    for name, data in write_wfdb(ecg, "record").items():
        (folder / name).write_bytes(data)

    def ours() -> object:
        case = carna.read(folder).cases[0]
        return next(p for p in case.studies[0].parts if isinstance(p, Ecg)).values.array

    mine = cpu_seconds(ours)
    try:
        import wfdb
    except ImportError:
        return (Row("WFDB record", "none", 1e3 * mine, None, "ms", "12 leads x 10 s"),)
    theirs = cpu_seconds(lambda: wfdb.rdrecord(str(folder / "record")).p_signal)
    same = np.abs(np.asarray(ours()) - wfdb.rdrecord(str(folder / "record")).p_signal.T).max()
    return (
        Row(
            "WFDB record",
            "wfdb.rdrecord",
            1e3 * mine,
            1e3 * theirs,
            "ms",
            f"largest difference {same:.1e} mV",
        ),
    )
