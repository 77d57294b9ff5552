"""Files: walk folders, look into archives, and hand out blobs that open when asked.

A `Blob` is a file or a member of an archive; the doors never know which. Folders are walked
once each, whatever their links say; an archive is opened two levels deep and never unpacked
to disk.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import stat
import struct
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from carna.case import Problem
from carna.findings.model import NAMESPACE

HEAD = 4096
# More than any single cardiac object we know of; a member that claims more is a bomb or a mistake.
MAX_MEMBER_BYTES = 4 << 30
MAX_DEPTH = 2
# What an archive unpacks to is kept up to here; the rest is unpacked again when asked for.
KEPT_BYTES = 256 << 20
_SYSTEM_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", ".gitkeep"})


@dataclass(frozen=True, slots=True, eq=False)
class Blob:
    """Named bytes that are read when asked for.

    Parameters
    ----------
    name : str
        Path as the person would write it; members of an archive follow ``archive.zip/``.
    size : int
        Bytes.
    load : callable() -> bytes
        All of them.
    head : bytes
        The first 4096.
    path : Path or None
        Where it lies as a plain file; None inside an archive.
    neighbours : mapping
        The blobs of the same folder by file name; formats of several files find each other here.
    """

    name: str
    size: int
    load: Callable[[], bytes] = field(repr=False)
    head: bytes = field(repr=False)
    path: Path | None = None
    neighbours: dict[str, Blob] = field(default_factory=dict, repr=False)

    @property
    def file(self) -> str:
        """The last part of the name."""
        return PurePosixPath(self.name).name

    @property
    def suffix(self) -> str:
        """The extension in lower case, with its dot; "" if there is none."""
        return PurePosixPath(self.name).suffix.lower()

    @property
    def stem(self) -> str:
        """The file name without its extension."""
        return PurePosixPath(self.name).stem

    def open(self) -> BinaryIO:
        """Open the bytes for reading; a plain file is not read into memory."""
        return self.path.open("rb") if self.path is not None else io.BytesIO(self.load())

    def uid(self) -> str:
        """Return a DICOM UID of the content, the same wherever the file lies."""
        digest = hashlib.sha256()
        with self.open() as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
        return derived_uid(digest.hexdigest())


def derived_uid(*names: str) -> str:
    """Return the DICOM UID of a thing that its names tell, such as its file's UID and its own name."""
    return f"2.25.{uuid.uuid5(NAMESPACE, '/'.join(names)).int}"


def walk(paths: Iterable[Path], leave_out: Path | None = None) -> tuple[list[Blob], list[Problem]]:
    """Return every file under the paths, and a problem for each one that can't be opened.

    ``leave_out`` is a folder that is not entered from above, such as the one of the results; a
    path that names it or something in it is walked all the same.
    """
    blobs: list[Blob] = []
    problems: list[Problem] = []
    seen: set[tuple[int, int]] = set()
    paths = list(paths)
    # `os.path` says False where `Path` would raise: a name too long, a folder shut to us.
    if leave_out is not None and os.path.isdir(leave_out):
        named = any(os.path.isdir(p) and p.samefile(leave_out) for p in paths)
        seen |= set() if named else {_inode(leave_out.stat())}
    for path in paths:
        if os.path.isdir(path):
            for entries in _folders(path, seen, problems):
                _gather(entries, blobs, problems)
        elif os.path.exists(path):
            near: list[Blob] = []
            _gather([path], near, problems)
            if len(near) == 1 and near[0].path is not None:
                _meet(near[0])
            blobs += near
        else:
            problems.append(
                Problem(
                    str(path), "no such file or folder", "an existing path", "check the path and its spelling"
                )
            )
    return blobs, problems


def _meet(blob: Blob) -> None:
    """Let a file that was named alone know its neighbours: a .hea needs its .dat."""
    assert blob.path is not None
    try:
        others = [p for p in sorted(blob.path.parent.iterdir()) if p != blob.path and os.path.isfile(p)]
    except OSError:  # a folder may let a file be read and not be listed
        return
    _gather(others, [], [], blob.neighbours)


def _inode(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


def _folders(root: Path, seen: set[tuple[int, int]], problems: list[Problem]) -> Iterator[list[Path]]:
    """Yield what each folder holds, once: a link back to a folder above ends there."""
    try:
        inode = _inode(root.stat())
        entries = sorted(root.iterdir())
    except OSError as error:
        problems.append(
            Problem(
                str(root),
                f"the folder can't be opened: {error.strerror}",
                "a readable folder",
                "give yourself the right to read it",
            )
        )
        return
    if inode in seen:
        return
    seen.add(inode)
    yield entries
    for entry in entries:
        if os.path.isdir(entry):
            yield from _folders(entry, seen, problems)


def _gather(
    paths: Iterable[Path],
    blobs: list[Blob],
    problems: list[Problem],
    neighbours: dict[str, Blob] | None = None,
) -> None:
    """Append the blobs of one folder's files."""
    around: dict[str, Blob] = {} if neighbours is None else neighbours
    for path in paths:
        name = _sayable(path.as_posix())
        try:
            info = path.stat()
            if stat.S_ISDIR(info.st_mode) or path.name in _SYSTEM_FILES:
                continue
            if not stat.S_ISREG(info.st_mode):
                problems.append(
                    Problem(
                        name,
                        "neither a file nor a folder",
                        "a plain file",
                        "leave it out, or copy what it points to",
                    )
                )
                continue
            if info.st_size == 0:
                problems.append(Problem(name, "the file is empty", "bytes", "send it again"))
                continue
            with path.open("rb") as file:
                head = file.read(HEAD)
        except OSError as error:
            problems.append(
                Problem(
                    name,
                    f"it can't be opened: {error.strerror}",
                    "a readable file",
                    "give yourself the right to read it",
                )
            )
            continue
        blob = Blob(name, info.st_size, path.read_bytes, head, path, around)
        around[blob.file] = blob
        if neighbours is not None and _opener(blob) in (_zip, _tar):
            continue  # a neighbour that holds many files is nobody's second half
        blobs += _unpacked(blob, problems, 0)


def _sayable(name: str) -> str:
    """Return a file's name as text that every writer can encode: a byte that is no UTF-8 is ``\\udcff``."""
    return name.encode(errors="backslashreplace").decode()


def _unpacked(blob: Blob, problems: list[Problem], depth: int) -> list[Blob]:
    """Return the members of an archive, or the blob itself."""
    opener = _opener(blob)
    if opener is None:
        return [blob]
    if depth == MAX_DEPTH:
        problems.append(
            Problem(
                blob.name,
                "an archive inside an archive inside an archive",
                "at most two levels",
                "unpack the outer one first",
            )
        )
        return []
    found: list[Blob] = []
    # A packed single file stands beside its neighbours as if it weren't packed.
    around: dict[str, dict[str, Blob]] = {".": blob.neighbours} if opener in (_gzip, _xz) else {}
    try:
        for name, size, load, head in opener(blob):
            full = f"{blob.name}/{_sayable(name)}"
            if not 0 < size <= MAX_MEMBER_BYTES:
                problems.append(
                    Problem(
                        full,
                        f"a member of {size} bytes",
                        f"1 to {MAX_MEMBER_BYTES}",
                        "unpack it and name the file itself",
                    )
                )
                continue
            folder = around.setdefault(str(PurePosixPath(name).parent), {})
            member = Blob(full, size, load, head, None, folder)
            member.neighbours[member.file] = member
            found += _unpacked(member, problems, depth + 1)
    except _DAMAGED as error:
        problems.append(Problem(blob.name, f"a damaged archive: {error}", "an intact one", "send it again"))
    return found


_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
    ValueError,  # zipfile: a directory that points before the file
    struct.error,
)
_Members = Iterator[tuple[str, int, Callable[[], bytes], bytes]]


def _opener(blob: Blob) -> Callable[[Blob], _Members] | None:
    if blob.head[:4] == b"PK\x03\x04" and blob.suffix not in (".npz",):
        return _zip
    packed_tar = blob.head[:2] == b"\x1f\x8b" or blob.head[:6] == b"\xfd7zXZ\x00" or blob.head[:3] == b"BZh"
    is_tar_name = blob.suffix in (".tgz", ".txz") or ".tar" in blob.file.lower()
    if blob.head[257:262] == b"ustar" or (packed_tar and is_tar_name):
        return _tar
    if blob.head[:2] == b"\x1f\x8b":
        return _gzip
    return _xz if blob.head[:6] == b"\xfd7zXZ\x00" else None


def _zip(blob: Blob) -> _Members:
    archive = _archive(blob)
    for info in archive.infolist():
        if not info.is_dir() and info.file_size:
            with archive.open(info) as member:
                head = member.read(HEAD)
            yield info.filename, info.file_size, lambda info=info: _archive(blob).read(info), head  # type: ignore[misc]


def _archive(blob: Blob) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(blob.load())) if blob.path is None else _opened(blob.path, os.getpid())


@lru_cache(maxsize=8)
def _opened(path: Path, process: int) -> zipfile.ZipFile:
    """Return an open archive; each process has its own, since forked ones would share the file's position."""
    return zipfile.ZipFile(path)


def _tar(blob: Blob) -> _Members:
    kept = 0
    with blob.open() as file, tarfile.open(fileobj=file) as archive:
        for info in archive:
            member = archive.extractfile(info) if info.isfile() and info.size else None
            if member is None:
                continue
            head = member.read(HEAD)
            if kept + info.size > KEPT_BYTES:
                yield info.name, info.size, partial(_from_tar, blob, info), head
                continue
            # A packed tar is slow to read out of order, so its members are kept as they pass.
            kept += info.size
            data = head + member.read()
            yield info.name, info.size, lambda data=data: data, head  # type: ignore[misc]


def _from_tar(blob: Blob, info: tarfile.TarInfo) -> bytes:
    with blob.open() as file, tarfile.open(fileobj=file) as archive:
        member = archive.extractfile(info)
        return b"" if member is None else member.read()


def _gzip(blob: Blob) -> _Members:
    yield from _stream(blob, lambda packed: gzip.GzipFile(fileobj=packed), ".gz")


def _xz(blob: Blob) -> _Members:
    yield from _stream(blob, lzma.LZMAFile, ".xz")


def _stream(blob: Blob, opened: Callable[[BinaryIO], gzip.GzipFile | lzma.LZMAFile], suffix: str) -> _Members:
    """Yield the one file of a packed stream; its size is counted without keeping what is large."""

    def load() -> bytes:
        with blob.open() as packed, opened(packed) as file:
            return file.read(MAX_MEMBER_BYTES)

    with blob.open() as packed, opened(packed) as file:
        data = file.read(KEPT_BYTES)
        size, head = len(data), data[:HEAD]
        small = size < KEPT_BYTES
        while not small and size <= MAX_MEMBER_BYTES and (piece := file.read(1 << 20)):
            data, size = b"", size + len(piece)
    name = blob.stem if blob.suffix == suffix else blob.file
    yield name, size, (lambda: data) if small else load, head
