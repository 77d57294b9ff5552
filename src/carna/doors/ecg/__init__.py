"""The ECG door: files of carts, Holters, trials and research, as parts and prior findings.

=====================  =========================================  ========================
format                 recognised by                              reader
=====================  =========================================  ========================
WFDB                   ``.hea`` and what lies beside it           `carna.doors.ecg.wfdb`
HL7 aECG               ``AnnotatedECG`` of ``urn:hl7-org:v3``     `carna.doors.ecg.aecg`
Philips Sierra XML     ``restingecgdata``                         `carna.doors.ecg.philips`
GE MUSE XML            ``RestingECG``                             `carna.doors.ecg.muse`
SCP-ECG                ``SCPECG`` in section 0                    `carna.doors.ecg.scp`
EDF, EDF+, BDF         version field and header length            `carna.doors.ecg.edf`
MFER                   ``MFR`` preamble, ``.mwf``                 `carna.doors.ecg.mfer`
CSV                    a stated rate, or lead names               `carna.doors.ecg.table`
MATLAB, NumPy          a sidecar, or an ECG variable              `carna.doors.ecg.mat`
=====================  =========================================  ========================
"""

from __future__ import annotations

import binascii
import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from carna.case import Problem
from carna.doors.arrive import Arrival, Delivery, Door
from carna.doors.ecg.doubts import doubtful
from carna.doors.ecg.mat import mentions_rate
from carna.doors.ecg.matlab import first_names
from carna.doors.ecg.recording import Recording, arrivals
from carna.doors.ecg.table import is_ecg_table
from carna.doors.ecg.wfdb_annotations import is_annotation
from carna.doors.ecg.wfdb_header import is_record_line
from carna.doors.files import Blob
from carna.errors import CarnaError
from carna.progress import Progress

__all__ = ["DOOR"]

_TABLES = (".csv", ".tsv", ".txt")
_ARRAYS = (".mat", ".npy", ".npz")
# What may share a record's name without belonging to it.
_STRANGERS = frozenset(
    (
        *(".hea", ".csv", ".tsv", ".txt", ".json", ".md", ".xml", ".html", ".pdf", ".log", ".py", ".m"),
        *(".dcm", ".png", ".jpg", ".jpeg", ".tif", ".nii", ".vtk", ".stl", ".mha"),
        *(".edf", ".bdf", ".scp", ".npz", ".npy", ".h5", ".hdf5"),
        *(".zip", ".gz", ".xlsx", ".doc", ".docx", ".xws"),
    )
)
# Lists of records and annotators that come with WFDB sets; they say nothing the folder does not.
_LISTS = ("RECORDS", "ANNOTATORS")
# As many samples as a WFDB record of 2 MB holds: ten minutes of a Holter, any resting recording.
_LOOKED_AT = 1 << 20
_FIX = "export the recording again from the cart, the recorder or the viewer"
_DAMAGE = (
    ValueError,
    KeyError,
    IndexError,
    OverflowError,
    EOFError,
    OSError,
    struct.error,
    binascii.Error,
    zlib.error,
    MemoryError,
    RecursionError,
)


def _kind(blob: Blob) -> str:
    """Return the format of a file by its name, its head and its neighbours, "" if it is none of ours."""
    head = blob.head
    if blob.suffix == ".hea":
        return "WFDB" if is_record_line(head) else ""
    if head[16:22] == b"SCPECG" or (blob.suffix == ".scp" and len(head) > 32):
        return "SCP-ECG"
    if head[:8] in (b"0       ", b"\xffBIOSEMI") and head[184:192].strip().isdigit():
        return "EDF"
    if head[:5] == b"\x40\x20MFR" or blob.suffix in (".mwf", ".mfer"):
        return "MFER"
    if _record_of(blob) is not None:
        return "WFDB file"
    return _markup_kind(head) or _array_kind(blob) or ("WFDB file" if blob.file in _LISTS else "")


def _markup_kind(head: bytes) -> str:
    plain = head.replace(b"\0", b"").lstrip(b"\xff\xfe\xef\xbb\xbf \t\r\n")
    if plain[:1] != b"<":
        return ""
    if b"AnnotatedECG" in plain and b"urn:hl7-org:v3" in plain:
        return "aECG"
    if b"<restingecgdata" in plain:
        return "Philips"
    return "MUSE" if b"<RestingECG" in plain else ""


def _array_kind(blob: Blob) -> str:
    beside = blob.neighbours.get(f"{blob.stem}.json")
    sidecar = blob.suffix in (*_TABLES, *_ARRAYS) and beside is not None and mentions_rate(beside.head)
    if blob.suffix in _TABLES and (sidecar or is_ecg_table(blob.head)):
        return "CSV"
    if blob.suffix in _ARRAYS and (sidecar or {"feats", "ecg", "ECG", "val"} & set(first_names(blob.head))):
        return "array"
    if blob.suffix == ".json" and mentions_rate(blob.head):
        return "sidecar" if any(blob.stem + end in blob.neighbours for end in (*_TABLES, *_ARRAYS)) else ""
    return ""


def _record_of(blob: Blob) -> Blob | None:
    """Return the header of the record that a file belongs to."""
    header = blob.neighbours.get(f"{blob.stem}.hea")
    if header is not None and blob.suffix and blob.suffix not in _STRANGERS:
        return header if is_record_line(header.head) else None
    if blob.suffix in (".dat", ".mat", ".xyz"):
        named = blob.file.encode()
        for name, other in blob.neighbours.items():
            if name.endswith(".hea") and any(x.startswith(named + b" ") for x in other.head.splitlines()):
                return other
    return None


def _claims(blob: Blob) -> bool:
    return _kind(blob) != ""


# --- reading ----------------------------------------------------------------------------------------------


def _readers() -> Mapping[str, Callable[[Blob], Recording]]:
    from carna.doors.ecg.aecg import read_aecg
    from carna.doors.ecg.edf import read_edf
    from carna.doors.ecg.mat import read_arrays
    from carna.doors.ecg.mfer import read_mfer
    from carna.doors.ecg.muse import read_muse
    from carna.doors.ecg.philips import read_philips
    from carna.doors.ecg.scp import read_scp
    from carna.doors.ecg.table import read_table
    from carna.doors.ecg.wfdb import read_wfdb

    return MappingProxyType(
        {
            "WFDB": lambda blob: read_wfdb(blob, _annotations(blob)),
            "aECG": read_aecg,
            "Philips": read_philips,
            "MUSE": read_muse,
            "SCP-ECG": read_scp,
            "EDF": read_edf,
            "MFER": read_mfer,
            "CSV": read_table,
            "array": read_arrays,
        }
    )


def _annotations(header: Blob) -> list[Blob]:
    """Return the annotation files of a record, by name."""
    found = []
    stem = header.stem
    for name, blob in header.neighbours.items():
        if name.startswith(f"{stem}.") and blob.stem == stem and blob.suffix not in _STRANGERS:
            signals = blob.suffix in (".dat", ".mat", ".xyz")
            if not signals and is_annotation(blob.head, blob.size):
                found.append(blob)
    return sorted(found, key=lambda b: b.file)


def _small(recording: Recording) -> bool:
    """Whether samples that are not read yet are few enough to be looked at."""
    return sum(math.prod(wave.values.shape) for wave in recording.waves) <= _LOOKED_AT


def _read(blobs: Sequence[Blob], progress: Progress) -> Delivery:
    """Read every recording once, however many of its files were named."""
    from carna.doors.ecg.wfdb import segments_of

    todo: dict[tuple[str, str], tuple[str, Blob]] = {}
    for blob in blobs:
        kind = _kind(blob)
        header = _record_of(blob) if kind == "WFDB file" else None
        if header is not None:
            kind, blob = "WFDB", header  # noqa: PLW2901
        if kind and kind not in ("sidecar", "WFDB file"):
            todo.setdefault((kind, blob.name), (kind, blob))
    inner = {
        blob.name[: -len(blob.file)] + name
        for kind, blob in todo.values()
        if kind == "WFDB"
        for name in segments_of(blob)
    }
    todo = {key: value for key, value in todo.items() if key[1] not in inner}
    readers = _readers()
    pieces: list[Arrival] = []
    problems: list[Problem] = []
    for kind, blob in progress.over(todo.values(), len(todo), "electrocardiograms"):
        try:
            recording = readers[kind](blob)
            pieces += [replace(piece, file=blob.name) for piece in arrivals(recording)]
            # A record of several segments says itself where its gaps are.
            cheap = kind != "WFDB" or (_small(recording) and not segments_of(blob))
            problems += doubtful(recording, blob.name, cheap=cheap)
        except CarnaError as error:
            problems.append(Problem(blob.name, error.found, error.needed, error.fix or _FIX))
        except _DAMAGE as error:
            found = f"a damaged {kind} file: {type(error).__name__}: {error}"
            problems.append(Problem(blob.name, found[:300], "a whole file", "send it again"))
    return Delivery(tuple(pieces), tuple(problems))


DOOR = Door("ecg", _claims, _read)
