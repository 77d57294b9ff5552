"""The store: files named by what is in them, written once, never changed.

::

    ROOT/ab/abcdef...   the bytes whose SHA-256 is abcdef...

A file is kept when its bytes and its name are on the disk (fsync of both), not before. A crash while it is
written leaves a file whose bytes are not its name; it is told by its digest and written again. Equal bytes
are kept once, whoever sends them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

from carna.errors import InputError

Bytes = bytes | bytearray | memoryview
# Here the fsync of a new file commits its name in the same transaction of the journal.
_NAMES_WITH_FILES = frozenset({"ext4", "xfs", "btrfs"})


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
        root.mkdir(parents=True, exist_ok=True)
        self._folders: dict[str, int] = {}
        self._names_apart = _file_system(root) not in _NAMES_WITH_FILES

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
        try:
            self.room()
            folder = self._folder(digest[:2])
            try:
                file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
            except FileExistsError:
                if self.intact(digest):
                    return digest
                file = os.open(path, os.O_WRONLY | os.O_TRUNC)
            try:
                _write(file, pieces)
                os.fsync(file)
            finally:
                os.close(file)
            if self._names_apart:
                os.fsync(folder)
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
        for folder in sorted(self.root.iterdir()):
            if len(folder.name) == 2 and folder.is_dir():
                yield from sorted(os.listdir(folder))

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

    def _folder(self, name: str) -> int:
        """Return an open descriptor of a folder, made and made durable where it was not there."""
        if name not in self._folders:
            (self.root / name).mkdir(exist_ok=True)
            root = os.open(self.root, os.O_RDONLY)
            os.fsync(root)
            os.close(root)
            self._folders[name] = os.open(self.root / name, os.O_RDONLY)
        return self._folders[name]

    def close(self) -> None:
        """Give back what is open."""
        for folder in self._folders.values():
            os.close(folder)
        self._folders.clear()


@final
class Full(InputError):
    """Nothing more can be kept: no room, or a disk that refuses."""


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
