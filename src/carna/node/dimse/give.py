"""One instance goes out over an open association (C-STORE as its user; DICOM PS3.4 annex B).

A file goes as it lies on the disk, in blocks from the disk to the socket, where the peer takes its transfer
syntax. Where it does not, and takes an uncompressed one, the file is decoded and goes as that.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final, final

from carna.doors.dicom.header import BROKEN
from carna.errors import InputError
from carna.node.dimse import command as dimse
from carna.node.dimse.exchange import Association, Context
from carna.node.dimse.identifier import encoded
from carna.node.dimse.keeper import Stored
from carna.node.dimse.negotiate import EXPLICIT, IMPLICIT
from carna.node.dimse.pdu import (
    COMMAND,
    LAST,
    MAX_CONTEXTS,
    Malformed,
    Proposed,
    abort,
    fragment_header,
    message,
    room_for,
)
from carna.node.dimse.wire import Lost

MEDIUM: Final = 0  # priority
_BLOCK: Final = 1 << 18
_ATTEMPTS: Final = 2  # in a row, before a peer is given up
_LONG: Final = frozenset((b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UR", b"UT", b"UN"))


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """What the peer said of one instance, and the transfer syntax in which it went.

    ``status`` is DICOM's: 0 is success, 0xBxxx a warning (it was kept), anything else a failure.
    """

    stored: Stored
    status: int
    why: str = ""
    syntax: str = ""

    @property
    def kept(self) -> bool:
        """Whether the peer took it."""
        return self.status == dimse.SUCCESS or self.status >> 12 == dimse.SOME_FAILED >> 12


def described(path: Path) -> Stored:
    """Return the UIDs of a Part-10 file, of its file meta information alone.

    Raises
    ------
    InputError
        No such file, or no DICOM Part-10 file.
    """
    try:
        with path.open("rb") as file:
            meta = _meta(file)
        sop_class, sop_instance, syntax = (
            meta.get(element, b"").decode("ascii").strip("\0 ") for element in (0x02, 0x03, 0x10)
        )
    except (OSError, EOFError, struct.error, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: {error}", needed="a DICOM Part-10 file", fix="read it with `carna read` first"
        ) from error
    if not (sop_class and sop_instance and syntax):
        raise InputError(f"{path}: file meta information without its UIDs", needed="a whole Part-10 file")
    return Stored(sop_class, sop_instance, syntax, path)


def _meta(file: BinaryIO) -> dict[int, bytes]:
    """Return the elements of group 2; the file is left at the first byte of the data set."""
    if file.read(132)[128:] != b"DICM":
        raise EOFError("no DICM at byte 128")
    found: dict[int, bytes] = {}
    while True:
        start = file.tell()
        head = file.read(8)
        if len(head) < 8 or head[:2] != b"\2\0":
            file.seek(start)
            return found
        size = int.from_bytes(head[6:8], "little")
        if head[4:6] in _LONG:
            size = struct.unpack("<I", file.read(4))[0]
        value = file.read(size)
        if len(value) < size:
            raise EOFError("file meta information that is cut off")
        found[int.from_bytes(head[2:4], "little")] = value


def give(association: Association, stored: Stored, *, originator: str = "", original: int = 0) -> Outcome:
    """Send one instance and wait for what the peer says.

    Parameters
    ----------
    association : Association
        Open; one of its contexts should fit.
    stored : Stored
    originator : str
        AE title of the one whose C-MOVE this serves, if it does, and ``original`` the number of that message.

    Raises
    ------
    Malformed, Lost
        The association can't be used any more.
    """
    fitting = [c for c in association.contexts.values() if c.asking and c.abstract == stored.sop_class]
    values: dict[int, int | str] = {
        dimse.FIELD: dimse.C_STORE,
        dimse.MESSAGE: association.number(),
        dimse.PRIORITY: MEDIUM,
        dimse.AFFECTED_CLASS: stored.sop_class,
        dimse.AFFECTED_INSTANCE: stored.sop_instance,
    }
    if originator:
        values |= {dimse.ORIGINATOR: originator, dimse.ORIGINAL: original}
    same = next((c for c in fitting if c.syntax == stored.transfer_syntax), None)
    plain = next((c for c in fitting if c.syntax in (EXPLICIT, IMPLICIT)), None)
    if same is not None:
        try:
            with stored.path.open("rb") as file:
                _meta(file)
                _stream(association, same, values, file)
        except (OSError, EOFError, struct.error) as error:
            return Outcome(stored, dimse.PROCESSING_FAILURE, f"the file can't be read: {error}")
    elif plain is not None:
        try:
            data = _uncompressed(stored.path, plain.syntax)
        except BROKEN as error:
            return Outcome(stored, dimse.NOT_UNDERSTOOD, f"not decoded for {plain.syntax}: {error}")
        association.send(plain.id, values, data)
    else:
        why = f"the peer takes no {stored.sop_class} in {stored.transfer_syntax} or uncompressed"
        return Outcome(stored, dimse.NO_SUCH_CLASS, why)
    answer = association.reply(int(values[dimse.MESSAGE])).command
    used = same or plain
    return Outcome(
        stored, answer.status, answer.texts.get(dimse.COMMENT, ""), used.syntax if used is not None else ""
    )


def give_all(
    files: Sequence[Stored],
    opened: Callable[[Sequence[Proposed]], Association],
    *,
    originator: str = "",
    original: int = 0,
) -> Iterator[Outcome]:
    """Send instances, over as few associations as their contexts fit into; yield what became of each.

    An association that breaks is opened again for what is left; where that is in vain, the rest has failed.

    Parameters
    ----------
    files : sequence of Stored
    opened : callable
        Opens an association that proposes the given contexts.
    originator, original
        As of `give`.
    """
    why = ""
    for batch, contexts in batches(files):
        association: Association | None = None
        broken = 0
        try:
            for stored in batch:
                if broken < _ATTEMPTS:
                    try:
                        association = association or opened(contexts)
                        outcome = give(association, stored, originator=originator, original=original)
                        broken = 0
                    except (Lost, Malformed) as error:
                        broken, why = broken + 1, str(error)
                        outcome = Outcome(stored, dimse.CANNOT_SEND, why)
                        if association is not None:
                            association.close(abort())
                            association = None
                else:
                    outcome = Outcome(stored, dimse.CANNOT_SEND, why)
                yield outcome
        finally:
            if association is not None:
                association.release()


def batches(files: Sequence[Stored]) -> Iterator[tuple[list[Stored], list[Proposed]]]:
    """Yield runs of instances with the presentation contexts that they need, at most 128.

    Each SOP class is proposed in every transfer syntax that its files have, one context each, so that each
    file can go as it is, and once more in what is uncompressed, for a peer that takes no other.
    """
    batch: list[Stored] = []
    wanted: dict[str, list[str]] = {}
    for stored in files:
        if stored.transfer_syntax not in wanted.get(stored.sop_class, ()):
            if sum(len(syntaxes) + 1 for syntaxes in wanted.values()) + 2 > MAX_CONTEXTS:
                yield batch, _proposed(wanted)
                batch, wanted = [], {}
            wanted.setdefault(stored.sop_class, []).append(stored.transfer_syntax)
        batch.append(stored)
    if batch:
        yield batch, _proposed(wanted)


def _proposed(wanted: Mapping[str, Sequence[str]]) -> list[Proposed]:
    pairs: list[tuple[str, tuple[str, ...]]] = []
    for sop_class, syntaxes in wanted.items():
        pairs += [(sop_class, (syntax,)) for syntax in syntaxes]
        plain = tuple(syntax for syntax in (EXPLICIT, IMPLICIT) if syntax not in syntaxes)
        if plain:
            pairs.append((sop_class, plain))
    return [Proposed(2 * at + 1, *pair) for at, pair in enumerate(pairs)]


def _stream(
    association: Association, context: Context, values: Mapping[int, int | str], file: BufferedReader
) -> None:
    """Send command and data set, the latter from where the file stands.

    A file that can't be read to its end is an `EOFError` as long as nothing has gone out, and then `Lost`:
    only the end of the association says that nothing more comes.
    """
    left = os.fstat(file.fileno()).st_size - file.tell()
    if left <= 0:
        raise EOFError("no data set")
    room = room_for(association.peer_max_pdu)
    command = dimse.write(values, with_data=True)
    start = b"".join(message(context.id, COMMAND, command, association.peer_max_pdu))
    buffer = memoryview(bytearray(max(_BLOCK, len(start)) + min(room, left) + 12))
    buffer[: len(start)] = start
    at, gone = len(start), False
    while left:
        size = min(room, left)
        left -= size
        buffer[at : at + 12] = fragment_header(context.id, 0 if left else LAST, size)
        at += 12
        try:
            got = file.readinto(buffer[at : at + size])
        except OSError as error:
            raise (Lost if gone else EOFError)(f"the file can't be read: {error}") from error
        if got != size:
            raise (Lost if gone else EOFError)("the file was cut while it was sent")
        at += size
        if at > _BLOCK or not left:
            association.wire.send(buffer[:at])
            at, gone = 0, True


def _uncompressed(path: Path, syntax: str) -> bytes:
    from pydicom import dcmread

    dataset = dcmread(path)
    at_first = dataset.file_meta.TransferSyntaxUID
    if not at_first.is_little_endian:
        raise NotImplementedError("big endian pixels are not turned round")
    if at_first.is_compressed and not at_first.is_deflated:
        dataset.decompress(generate_instance_uid=False)
    return encoded(dataset, syntax)
