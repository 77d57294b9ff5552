"""The station itself: what comes in is kept, catalogued, found and given out. Every door leads here.

An instance is acknowledged when its bytes are on the disk and its row is committed; after a crash what is on
the disk and not in the catalogue is taken in again (`Station.mend`). Nothing is decoded on the way.
"""

from __future__ import annotations

import hashlib
import struct
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, final

from pydicom.dataset import Dataset
from sqlalchemy import Connection, Engine, select

from carna.doors.dicom.header import UNREADABLE
from carna.doors.dicom.scan import header
from carna.doors.files import HEAD, Blob
from carna.errors import InputError
from carna.findings.wire import write_whole
from carna.node.audit import Audit
from carna.node.catalogue import query
from carna.node.catalogue.database import opened
from carna.node.catalogue.intake import Kept, Taken, put_aside, said, take
from carna.node.catalogue.schema import ASIDE, INSTANCE, RUN
from carna.node.config import Config, load
from carna.node.dimse.keeper import Incoming, Refused, Stored
from carna.node.dimse.pdu import IMPLEMENTATION
from carna.node.store import Bytes, Full, Store

NO_ROOM, NOT_UNDERSTOOD, BUSY = 0xA700, 0xC000, 0xA702


@final
class Station:
    """One hospital's station in one folder.

    Parameters
    ----------
    home : Path
        Holds ``station.toml``, ``store/``, ``results/`` and, unless a URL is given there, ``catalogue.db``.
    config : Config, optional
        Instead of the file's.
    """

    def __init__(self, home: Path, config: Config | None = None) -> None:
        self.home = home
        self.config = config or load(home)
        self.store = Store(home / "store", self.config.reserve_mb << 20)
        self.engine: Engine = opened(self.config.url)
        self.audit = Audit(self.engine)
        # One writer at a time is what SQLite can do; waiting here is fairer than waiting in the database.
        self._writing = threading.Lock()

    @cached_property
    def uid(self) -> str:
        """A name of this station that no other has, wherever its folder is moved."""
        path = self.home / "station.id"
        if not path.exists():
            write_whole(path, uuid.uuid4().hex.encode())
        return path.read_text(encoding="ascii")

    def close(self) -> None:
        """Give back what is open."""
        self.engine.dispose()

    # ---- in --------------------------------------------------------------------------------------

    def keep(self, one: Incoming) -> None:
        """Keep what came by DICOM; returns when it is safe.

        Raises
        ------
        Refused
            With the status the sender is told.
        """
        meta = file_meta(one.sop_class, one.sop_instance, one.transfer_syntax)
        source = f"dicom:{one.calling}@{one.address}"
        try:
            taken = self.take_in((meta, one.data), one.transfer_syntax, source)
        except Full as error:
            raise Refused(NO_ROOM, str(error)) from error
        except InputError as error:
            raise Refused(NOT_UNDERSTOOD, str(error)) from error
        if taken.outcome == "aside":
            self.audit.write(source, "put aside", taken.study, "warning", taken.why)

    def take_in(self, pieces: Sequence[Bytes], transfer_syntax: str, source: str, name: str = "") -> Taken:
        """Keep a Part-10 file given in pieces and give it its place.

        Raises
        ------
        Full
            No room: nothing was kept.
        InputError
            It can't be read as DICOM, or has no UIDs: it is kept aside all the same.
        """
        digest = self.store.keep(pieces)
        size = sum(len(piece) for piece in pieces)
        kept = Kept(digest, size, transfer_syntax, source, name)
        try:
            head = header_of(pieces, size)
        except InputError as error:
            with self._writing, self.engine.begin() as connection:
                put_aside(connection, kept, "unreadable", str(error), now=time.time())
            raise
        with self._writing, self.engine.begin() as connection:
            return take(connection, head, kept)

    def take_file(self, data: bytes, source: str, name: str = "") -> Taken:
        """Keep one DICOM file with whatever preamble it has; errors as `take_in`."""
        blob = Blob(name or "a file", len(data), lambda: data, data[:HEAD])
        try:
            head = header(blob)
        except UNREADABLE as error:
            raise InputError(f"{name or 'a file'}: {error}", needed="a DICOM file") from error
        syntax = str(head.ds.file_meta.get("TransferSyntaxUID", head.syntax))
        return self.take_in((data,), syntax, source, name)

    def mend(self) -> int:
        """Take in every file that the catalogue does not know, what a crash left; return how many."""
        self.store.settle()
        with self.reading() as connection:
            known = set(connection.execute(select(INSTANCE.c.digest)).scalars())
            known |= set(connection.execute(select(ASIDE.c.digest)).scalars())
        mended = 0
        for digest in self.store.digests():
            if digest in known:
                continue
            if not self.store.intact(digest):
                self.store.forget(digest)  # it was being written: nobody was told that it is here
                continue
            data = self.store.path(digest).read_bytes()
            try:
                self.take_file(data, "mended")
            except InputError as error:
                kept = Kept(digest, len(data), "", "mended")
                with self._writing, self.engine.begin() as connection:
                    put_aside(connection, kept, "unreadable", str(error), now=time.time())
            mended += 1
        return mended

    def writing(self) -> _Locked:
        """Return a transaction that writes, for ``with``; one at a time."""
        return _Locked(self._writing, self.engine)

    def reading(self) -> Any:
        """Return a connection that only reads, for ``with``."""
        return self.engine.connect().execution_options(reading=True)

    def tell(self, kind: str, of: str, words: str = "") -> None:
        """Say to those who watch that something changed."""
        with self.writing() as connection:
            said(connection, kind, of, words)

    # ---- out -------------------------------------------------------------------------------------

    def allows(self, calling: str, called: str, address: str, service: str) -> bool:
        """Whether a node may ask for a service: by its AE title, and its address where that is known."""
        peer = self.config.peers.get(calling)
        if peer is not None and not self.config.local and peer.host != address and _numeric(peer.host):
            return False
        return called in (self.config.title, "ANY-SCP", "") and service in self.config.may(calling)

    def find(self, level: str, identifier: Dataset) -> Iterator[Dataset]:
        """Yield the answers to a C-FIND: the keys that were asked for, and the level's own."""
        wanted = [e.keyword for e in identifier if e.keyword and e.keyword not in _NO_KEYS]
        matching = {k: _text(identifier, k) for k in wanted}
        question = query.Question(_level(level), matching)
        with self.reading() as connection:
            found = query.find(connection, question)
        for row in found:
            answer = Dataset()
            answer.SpecificCharacterSet = "ISO_IR 192"
            answer.QueryRetrieveLevel = level
            answer.RetrieveAETitle = self.config.title
            for keyword in wanted:
                value = row.get(keyword, "")
                if value == 0 and keyword in ("Rows", "Columns", "NumberOfFrames"):
                    value = ""
                if identifier[keyword].VR == "SQ":
                    continue
                setattr(answer, keyword, _multiple(keyword, value))
            yield answer

    def retrieve(self, identifier: Dataset) -> Sequence[Stored]:
        """Return the files a C-GET or C-MOVE asks for."""
        uids = {
            k: list(_text(identifier, k).split("\\"))
            for k in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
            if _text(identifier, k)
        }
        if not uids:
            return ()
        with self.reading() as connection:
            rows = query.instances(connection, uids)
        return [Stored(r.sop_class, r.uid, r.transfer_syntax, self.store.path(r.digest)) for r in rows]

    def holds(self, pairs: Sequence[tuple[str, str]]) -> frozenset[str]:
        """Return which instances are here and whole, read again from the disk: a commitment never lies."""
        wanted = {uid: sop_class for sop_class, uid in pairs}
        with self.reading() as connection:
            rows = query.instances(connection, {"SOPInstanceUID": list(wanted)})
        right = [r for r in rows if wanted[r.uid] in ("", r.sop_class)]
        return frozenset(r.uid for r in right if self.store.intact(r.digest))

    def peer(self, title: str) -> tuple[str, int] | None:
        """Return where a node listens."""
        found = self.config.peers.get(title)
        return None if found is None else (found.host, found.port)

    def named_files(self, study: str) -> list[tuple[Path, str]]:
        """Return the files of a study in the store, and the names they are read under: all different."""
        with self.reading() as connection:
            rows = query.instances(connection, {"StudyInstanceUID": [study]})
        return [(self.store.path(r.digest), Path(r.name).name or f"{n:06}.dcm") for n, r in enumerate(rows)]

    def version(self, study: str) -> str:
        """Return the hash of what a study holds now: another one after every late instance."""
        with self.reading() as connection:
            rows = query.instances(connection, {"StudyInstanceUID": [study]})
        return hashlib.sha256("\n".join(sorted(r.digest for r in rows)).encode()).hexdigest()

    def run(self, uid: str) -> dict[str, Any]:
        """Return the row of a run.

        Raises
        ------
        InputError
            There is none.
        """
        with self.reading() as connection:
            row = connection.execute(select(RUN).where(RUN.c.uid == uid)).first()
        if row is None:
            raise InputError(f"no run {uid}", needed="one of the station's")
        return dict(row._mapping)

    @property
    def results(self) -> Path:
        """Where each run writes into a folder of its own."""
        return self.home / "results"


@final
class _Locked:
    """A writing transaction under the station's lock."""

    def __init__(self, lock: threading.Lock, engine: Engine) -> None:
        self._lock, self._engine = lock, engine

    def __enter__(self) -> Connection:
        self._lock.acquire()
        try:
            self._begun = self._engine.begin()
            return self._begun.__enter__()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *error: Any) -> None:
        try:
            self._begun.__exit__(*error)
        finally:
            self._lock.release()


def file_meta(sop_class: str, sop_instance: str, transfer_syntax: str) -> bytes:
    """Return preamble and file meta information of a Part-10 file (PS3.10 7.1).

    It says nothing of who sent it: equal instances make equal files.
    """

    def element(number: int, vr: bytes, value: bytes) -> bytes:
        pad = b"\0" if vr in (b"UI", b"OB") else b" "
        value += pad * (len(value) % 2)
        if vr == b"OB":
            return struct.pack("<HH2sHI", 2, number, vr, 0, len(value)) + value
        return struct.pack("<HH2sH", 2, number, vr, len(value)) + value

    body = b"".join(
        (
            element(0x01, b"OB", b"\0\1"),
            element(0x02, b"UI", sop_class.encode("ascii", "replace")),
            element(0x03, b"UI", sop_instance.encode("ascii", "replace")),
            element(0x10, b"UI", transfer_syntax.encode("ascii", "replace")),
            element(0x12, b"UI", IMPLEMENTATION.encode()),
            element(0x13, b"SH", b"CARNA"),
        )
    )
    return bytes(128) + b"DICM" + element(0, b"UL", struct.pack("<I", len(body))) + body


def header_of(pieces: Sequence[Bytes], size: int) -> Dataset:
    """Return the header of a Part-10 file given in pieces.

    Raises
    ------
    InputError
        It is no DICOM, or lacks the UIDs that give an instance its place.
    """
    first = bytes(memoryview(pieces[0])[:HEAD])
    for piece in pieces[1:]:
        if len(first) >= HEAD:
            break
        first += bytes(memoryview(piece)[: HEAD - len(first)])
    blob = Blob("an instance", size, lambda: b"".join(pieces), first)
    try:
        found = header(blob).ds
    except UNREADABLE as error:
        raise InputError(
            f"a damaged instance: {error}", needed="a DICOM data set", fix="send it again"
        ) from error
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if not str(found.get(keyword, "") or "").strip("\0 "):
            raise InputError(
                f"an instance without {keyword}", needed="its place in a study", fix="send it whole"
            )
    return found


_NO_KEYS: Final = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet", "RetrieveAETitle"})
_KEYS: Final[Mapping[str, query.Level]] = {
    "PATIENT": "PATIENT",
    "STUDY": "STUDY",
    "SERIES": "SERIES",
    "IMAGE": "IMAGE",
}


def _level(said_level: str) -> query.Level:
    if said_level not in _KEYS:
        raise InputError(f"level {said_level!r}", needed=", ".join(_KEYS))
    return _KEYS[said_level]


def _text(identifier: Dataset, keyword: str) -> str:
    value = identifier.get(keyword)
    if value is None or value == "":
        return ""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return "\\".join(str(v) for v in value)
    return str(value).strip("\0 ")


def _multiple(keyword: str, value: Any) -> Any:
    if keyword == "ModalitiesInStudy":
        return str(value).split("\\") if value else ""
    return value


def _numeric(host: str) -> bool:
    return host.replace(".", "").isdigit() or ":" in host
