"""One association after its negotiation: messages in, messages out (DICOM PS3.7 and PS3.8 annex E).

A message is a command set and perhaps a data set, each cut into fragments. The `Assembler` puts them together
and holds three limits: of a command set, of a data set, and of all data sets held at a time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Container, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Final, final

from carna.node.dimse import command as dimse
from carna.node.dimse.command import Command
from carna.node.dimse.keeper import Service
from carna.node.dimse.pdu import (
    ABORT,
    COMMAND,
    LAST,
    P_DATA,
    RELEASE_REPLY,
    RELEASE_REQUEST,
    RELEASE_RP,
    RELEASE_RQ,
    UNEXPECTED_PDU,
    Malformed,
    fragments,
    message,
)
from carna.node.dimse.wire import Lost, Wire

MAX_QUESTION: Final = 16 << 20  # data set of anything but C-STORE: a commitment of 100,000 instances
_STEP: Final = 4 << 20


@final
@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context.

    Parameters
    ----------
    id : int
    abstract, syntax : str
        UIDs of the SOP class and of the transfer syntax.
    service : str or None
        What the abstract syntax belongs to; None where we are the requestor.
    asked, asking : bool
        Whether the peer may ask on it, and whether we may.
    """

    id: int
    abstract: str
    syntax: str
    service: Service | None
    asked: bool
    asking: bool


@final
@dataclass(frozen=True, slots=True)
class Message:
    """A whole message; ``lost`` says why its data set was not kept, where it was too large."""

    context: int
    command: Command
    data: bytes
    lost: str = ""


@final
class Memory:
    """What all associations together may hold of data sets.

    Who finds no room waits, and TCP lets his peer wait with him. One at a time may go beyond the limit, so
    that an object larger than it comes in, and so that two who wait for each other do not wait forever.

    Parameters
    ----------
    limit : int
        Bytes.
    wait_s : float
        How long one waits for room before the object is refused.
    """

    def __init__(self, limit: int, wait_s: float = 30.0) -> None:
        self.limit, self.wait_s = limit, wait_s
        self._used = 0
        self._beyond: object = None
        self._ended = False
        self._changed = threading.Condition()

    def take(self, who: object, more: int) -> bool:
        """Take ``more`` bytes; False where there was no room in time."""
        with self._changed:
            room = self._changed.wait_for(lambda: self._ended or self._room(who, more), self.wait_s)
            if not room or self._ended:
                return False
            if self._used + more > self.limit:
                self._beyond = who
            self._used += more
            return True

    def _room(self, who: object, more: int) -> bool:
        return self._used + more <= self.limit or self._beyond in (None, who)

    def give(self, who: object, size: int) -> None:
        """Give all that was taken back."""
        with self._changed:
            self._used -= size
            if self._beyond is who:
                self._beyond = None
            self._changed.notify_all()

    def end(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def used(self) -> int:
        """Return what is taken now, bytes."""
        return self._used


@final
class Assembler:
    """Fragments to messages, without a socket.

    Parameters
    ----------
    contexts : container of int
        Numbers of the accepted presentation contexts.
    max_object : int
        Largest data set of a C-STORE, bytes.
    memory : Memory
    """

    def __init__(self, contexts: Container[int], max_object: int, memory: Memory) -> None:
        self._contexts = contexts
        self._max_object = max_object
        self._memory = memory
        self._held = 0
        self._context = 0
        self._head = bytearray()
        self._command: Command | None = None
        self._data = BytesIO()
        self._size = 0
        self._lost = ""

    def feed(self, context: int, control: int, piece: memoryview) -> Message | None:
        """Take one fragment; return the message that it completes.

        Raises
        ------
        Malformed
            Out of place, or part of a command set that can't be read.
        """
        if context not in self._contexts:
            raise Malformed(f"a fragment of context {context}, which was not accepted")
        if self._begun and context != self._context:
            raise Malformed(f"a fragment of context {context} inside a message of {self._context}")
        self._context = context
        if control & COMMAND:
            return self._feed_command(control, piece)
        command = self._command
        if command is None:
            raise Malformed("a data set without a command")
        self._keep(piece, command)
        if not control & LAST:
            return None
        done = Message(context, command, b"" if self._lost else self._data.getvalue(), self._lost)
        self._begin(None)
        return done

    def _feed_command(self, control: int, piece: memoryview) -> Message | None:
        if self._command is not None:
            raise Malformed("a command in the middle of a data set")
        self._head += piece
        if len(self._head) > dimse.MAX_BYTES:
            raise Malformed(f"a command set of more than {dimse.MAX_BYTES} bytes")
        if not control & LAST:
            return None
        command = dimse.read(bytes(self._head))
        self._head.clear()
        if command.with_data:
            self.forget()
            self._begin(command)
            return None
        return Message(self._context, command, b"")

    @property
    def _begun(self) -> bool:
        return self._command is not None or bool(self._head)

    def _begin(self, command: Command | None) -> None:
        self._command, self._data, self._size, self._lost = command, BytesIO(), 0, ""

    def _keep(self, piece: memoryview, command: Command) -> None:
        """Add to the data set, or drop all of it where it grows too large."""
        self._size += len(piece)
        if self._lost:
            return
        most = self._max_object if command.field == dimse.C_STORE else MAX_QUESTION
        if self._size > most:
            self._drop(f"a data set of more than {most} bytes")
        elif self._size > self._held:
            more = max(_STEP, self._size - self._held)
            if self._memory.take(self, more):
                self._held += more
            else:
                self._drop("too much is coming in at a time")
        if not self._lost:
            self._data.write(piece)

    def _drop(self, why: str) -> None:
        self._lost = why
        self._data = BytesIO()
        self.forget()

    def forget(self) -> None:
        """Give back the memory of the message that was answered."""
        if self._held:
            self._memory.give(self, self._held)
            self._held = 0


@final
class Association:
    """An open association, of either side.

    Parameters
    ----------
    wire : Wire
    contexts : mapping
        The accepted ones by number.
    peer_max_pdu : int
        What the peer takes, bytes; 0 for any.
    calling, called, address : str
        AE titles of the requestor and of the acceptor; the peer's address.
    max_object : int
    memory : Memory
    """

    def __init__(
        self,
        wire: Wire,
        contexts: Mapping[int, Context],
        peer_max_pdu: int,
        *,
        calling: str,
        called: str,
        address: str,
        max_object: int,
        memory: Memory,
    ) -> None:
        self.wire = wire
        self.contexts = contexts
        self.peer_max_pdu = peer_max_pdu
        self.calling, self.called, self.address = calling, called, address
        self._assembler = Assembler(contexts, max_object, memory)
        self._queue: deque[Message] = deque()
        self._cancelled: set[int] = set()
        self._number = 0

    def receive(self) -> Message | None:
        """Return the next message, or None once the peer has released the association.

        Raises
        ------
        Malformed, Lost
        """
        while not self._queue:
            kind, body = self.wire.receive()
            if kind == P_DATA:
                for context, control, piece in fragments(body):
                    whole = self._assembler.feed(context, control, piece)
                    if whole is not None:
                        self._queue.append(whole)
            elif kind == RELEASE_RQ:
                self.wire.send(RELEASE_REPLY)
                return None
            elif kind == ABORT:
                raise Lost("the peer aborted the association")
            else:
                raise Malformed(f"a PDU of type {kind} inside an association", UNEXPECTED_PDU)
        return self._queue.popleft()

    def coming(self, seconds: float = 0.0) -> bool:
        """Whether a message, or a part of one, has come, at the latest after ``seconds``."""
        return bool(self._queue) or self.wire.waiting(seconds)

    def forget(self) -> None:
        """Give back the memory of what was received."""
        self._assembler.forget()

    def send(self, context: int, values: Mapping[int, int | str], data: bytes | None = None) -> None:
        """Send a command and perhaps a small data set, all in one call.

        Raises
        ------
        Lost
        """
        head = dimse.write(values, with_data=data is not None)
        pieces = list(message(context, COMMAND, head, self.peer_max_pdu))
        if data is not None:
            pieces += message(context, 0, data, self.peer_max_pdu)
        self.wire.send(b"".join(pieces))

    def number(self) -> int:
        """Return a number for a message of ours."""
        self._number = self._number % 0xFFFF + 1
        return self._number

    def reply(self, number: int) -> Message:
        """Wait for the answer to message ``number``; a cancel that comes first is kept for `cancelled`.

        Raises
        ------
        Malformed, Lost
        """
        while True:
            got = self.receive()
            if got is None:
                raise Lost("the peer released the association instead of answering")
            if got.command.field == dimse.C_CANCEL:
                self._cancelled.add(got.command.message)
            elif not got.command.field & dimse.REPLY or got.command.message != number:
                raise Malformed(f"{got.command.field:04x} instead of the answer to {number}", UNEXPECTED_PDU)
            else:
                return got

    def cancelled(self, number: int) -> bool:
        """Whether the peer has taken back its message ``number``; called between two answers to it.

        Raises
        ------
        Malformed, Lost
        """
        while number not in self._cancelled and self.coming():
            got = self.receive()
            if got is None:
                raise Lost("the peer released the association before its answer")
            if got.command.field != dimse.C_CANCEL:
                raise Malformed("a second request before the first was answered", UNEXPECTED_PDU)
            self._cancelled = {got.command.message}
        return number in self._cancelled

    def release(self) -> None:
        """Release and close; what the peer still says is not listened to."""
        try:
            self.wire.send(RELEASE_REQUEST)
            while True:
                kind, _ = self.wire.receive()
                if kind in (RELEASE_RP, ABORT):
                    break
                if kind == RELEASE_RQ:  # both at a time: each answers
                    self.wire.send(RELEASE_REPLY)
        except (Lost, Malformed):
            pass  # the end it was meant to have
        finally:
            self.close()

    def close(self, last: bytes = b"") -> None:
        """Close without a release; ``last`` is an A-ABORT where there was a fault."""
        self.forget()
        self.wire.close(last)
