"""The store: files named by what is in them, written once, never changed.

::

    ROOT/ab/abcdef...         the bytes whose SHA-256 is abcdef...
    ROOT/arriving/abcdef.N    the same, written a moment ago and not yet moved there

A file is kept when its bytes and its name are on the disk (fsync), not before. It is written into one folder,
which costs the disk least, and moved to its place without waiting: after a crash it is in either. A crash
while it is written leaves a file whose bytes are not its name; it is told by its digest and written again.
Equal bytes are kept once, whoever sends them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import final

from carna.errors import InputError

Bytes = bytes | bytearray | memoryview
# Here the fsync of a new file commits its name in the same transaction of the journal.
_NAMES_WITH_FILES = frozenset({"ext4", "xfs", "btrfs"})
_ARRIVING = "arriving"


@final
class Store:
    """A folder of content-addressed files.

    Parameters
    ----------
    root : Path
        Made if it is not there.
    reserve_bytes : int
        Room that must stay free on the disk: below it nothing more is taken in.
    """

    def __init__(self, root: Path, reserve_bytes: int = 256 << 20) -> None:
        self.root = root
        self.reserve_bytes = reserve_bytes
        for name in (_ARRIVING, *(f"{n:02x}" for n in range(256))):
            (root / name).mkdir(parents=True, exist_ok=True)
        self._names_apart = _file_system(root) not in _NAMES_WITH_FILES
        self._count = count()

    def path(self, digest: str) -> Path:
        """Return where the bytes of a digest lie, or would lie."""
        return self.root / digest[:2] / digest

    def keep(self, pieces: Sequence[Bytes]) -> str:
        """Keep bytes given in pieces; return their SHA-256 once they are on the disk.

        Raises
        ------
        Full
            The disk has no room beyond the reserve.
        """
        sha = hashlib.sha256()
        for piece in pieces:
            sha.update(piece)
        digest = sha.hexdigest()
        path = self.path(digest)
        # A name of its own: two that bring the same bytes at once must not write into one file.
        first = self.root / _ARRIVING / f"{digest}.{os.getpid()}-{next(self._count)}"
        try:
            self.room()
            if path.exists() and self.intact(digest):
                return digest
            file = os.open(first, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
            try:
                _write(file, pieces)
                os.fsync(file)
            finally:
                os.close(file)
            if self._names_apart:
                _sync(first.parent)
            first.replace(path)
        except OSError as error:
            raise Full(f"{path} can't be written: {error.strerror or error}") from error
        return digest

    def intact(self, digest: str) -> bool:
        """Whether the bytes of a digest are here and are those."""
        try:
            with self.path(digest).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == digest
        except OSError:
            return False

    def digests(self) -> Iterator[str]:
        """Yield the name of every file."""
        for n in range(256):
            yield from sorted(os.listdir(self.root / f"{n:02x}"))

    def forget(self, digest: str) -> None:
        """Remove the bytes of a digest, if they are here."""
        self.path(digest).unlink(missing_ok=True)

    def room(self) -> None:
        """Refuse where the disk is too full to take anything in."""
        free = os.statvfs(self.root)
        if free.f_bavail * free.f_frsize < self.reserve_bytes:
            raise Full(
                f"{free.f_bavail * free.f_frsize >> 20} MiB are free under {self.root}",
                needed=f"{self.reserve_bytes >> 20} MiB",
                fix="make room, or move the station's folder to a larger disk",
            )

    def settle(self) -> None:
        """Move what a crash left on its way to its place; what was cut off is dropped, nobody was told of it.

        For the one process that begins to take in, before it does.
        """
        for first in (self.root / _ARRIVING).iterdir():
            digest = first.name.partition(".")[0]
            with first.open("rb") as file:
                whole = hashlib.file_digest(file, "sha256").hexdigest() == digest
            if whole:
                first.replace(self.path(digest))
            else:
                first.unlink()


@final
class Full(InputError):
    """Nothing more can be kept: no room, or a disk that refuses."""


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _write(file: int, pieces: Sequence[Bytes]) -> None:
    left = [memoryview(piece).cast("B") for piece in pieces]
    while left:
        written = os.writev(file, left)
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]


def _file_system(path: Path) -> str:
    """Return the kind of file system that holds a path, as Linux names it; "" where it does not say."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = [line.split()[1:3] for line in mounts.splitlines() if len(line.split()) > 2]
    holding = [(len(at), kind) for at, kind in found if path.resolve().is_relative_to(at)]
    return max(holding)[1] if holding else ""
