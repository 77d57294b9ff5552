"""A socket that reads whole PDUs: no more bytes than allowed, no longer than allowed.

One buffer, filled by as few calls as the kernel allows; a PDU is handed out as a view into it. A P-DATA-TF is
larger than a TCP segment and smaller than the buffer, so a CT slice costs some ten calls.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import time
from typing import Final, final

from carna.node.dimse.pdu import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    ASSOCIATE_RQ,
    HEADER,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    UNRECOGNISED_PDU,
    Malformed,
)

MAX_ASSOCIATE: Final = 1 << 19  # 128 contexts of 60 transfer syntaxes each are half of it
_FIRST_BUFFER: Final = 1 << 16
_LINGER_S: Final = 1.0


@final
class Lost(Exception):
    """The connection is gone: closed, reset, aborted by the peer or silent for too long."""


@final
class Wire:
    """Whole PDUs over a connected socket.

    Parameters
    ----------
    sock : socket.socket
        Plain or TLS; the wire owns it.
    max_pdu : int
        Largest P-DATA-TF body that is taken, bytes.
    patience_s : float
        How long a peer may be silent, and how long one PDU may take.
    """

    def __init__(self, sock: socket.socket, *, max_pdu: int, patience_s: float) -> None:
        self._sock = sock
        self._limits = {ASSOCIATE_RQ: MAX_ASSOCIATE, ASSOCIATE_AC: MAX_ASSOCIATE, P_DATA: max_pdu}
        self._bytes = bytearray(_FIRST_BUFFER)
        self._buffer = memoryview(self._bytes)
        self._start = self._end = 0
        self.wait_for(patience_s)

    def wait_for(self, seconds: float) -> None:
        """Set the patience."""
        self._patience_s = seconds
        self._sock.settimeout(seconds)

    def widen(self, size: int) -> None:
        """Take a buffer of ``size`` bytes: fewer calls for large objects."""
        if size > len(self._buffer):
            self._move(bytearray(size))

    def receive(self) -> tuple[int, memoryview]:
        """Return type and body of the next PDU; the body is good until the next call.

        Raises
        ------
        Malformed
            Of no known type, or of a length its type can't have.
        Lost
        """
        self._fill(1, math.inf)  # a peer may be silent for its whole patience, and then be slow for another
        deadline = time.monotonic() + self._patience_s
        self._fill(HEADER, deadline)
        at = self._start
        kind = self._buffer[at]
        size = int.from_bytes(self._buffer[at + 2 : at + HEADER], "big")
        self._check(kind, size)
        self._fill(HEADER + size, deadline)
        at = self._start + HEADER
        self._start = at + size
        return kind, self._buffer[at : at + size]

    def _check(self, kind: int, size: int) -> None:
        if kind in self._limits:
            if size > self._limits[kind]:
                raise Malformed(f"a PDU of {size} bytes; at most {self._limits[kind]} are taken")
        elif kind not in (ASSOCIATE_RJ, RELEASE_RQ, RELEASE_RP, ABORT):
            raise Malformed(f"a PDU of type {kind}", UNRECOGNISED_PDU)
        elif size != 4:
            raise Malformed(f"a PDU of type {kind} and {size} bytes; 4 are needed")

    def _fill(self, need: int, deadline: float) -> None:
        """Read until ``need`` bytes are in the buffer."""
        if self._start == self._end:
            self._start = self._end = 0
        if need > len(self._buffer):
            self._move(bytearray(need))
        elif self._start + need > len(self._buffer):
            self._move(self._bytes)
        while self._end - self._start < need:
            try:
                got = self._sock.recv_into(self._buffer[self._end :])
            except OSError as error:
                raise Lost(f"nothing came: {error}") from error
            if not got:
                raise Lost("the peer closed the connection")
            self._end += got
            if self._end - self._start < need and time.monotonic() > deadline:
                raise Lost(f"one PDU took longer than {self._patience_s:g} s")

    def _move(self, into: bytearray) -> None:
        """Bring what is left to the front of ``into``, which may be the buffer itself."""
        left = bytes(self._buffer[self._start : self._end])
        self._bytes, self._buffer = into, memoryview(into)
        self._buffer[: len(left)] = left
        self._start, self._end = 0, len(left)

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of ``data``.

        Raises
        ------
        Lost
        """
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise Lost(f"nothing could be sent: {error}") from error

    def waiting(self, seconds: float = 0.0) -> bool:
        """Whether something has come, at the latest after ``seconds``."""
        pending = getattr(self._sock, "pending", None)  # what TLS has read and not yet given
        if self._end > self._start or (pending is not None and pending()):
            return True
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def close(self, last: bytes = b"") -> None:
        """Close; say ``last`` before, and give the peer a second to read it.

        A socket closed over unread bytes is reset, and a reset overtakes what was said.
        """
        try:
            if last:
                self._sock.settimeout(_LINGER_S)
                self._sock.sendall(last)
                self._sock.shutdown(socket.SHUT_WR)
                until = time.monotonic() + _LINGER_S
                while time.monotonic() < until and self._sock.recv(1 << 16):
                    pass
        except OSError:
            pass  # it is gone already
        finally:
            self._sock.close()

    def break_off(self, *, reading: bool = False) -> None:
        """End it, or only its ``reading``, from another thread: who does that meets `Lost`."""
        with contextlib.suppress(OSError):
            # Of the socket below TLS: TLS's own shutdown is not made for two threads.
            socket.socket.shutdown(self._sock, socket.SHUT_RD if reading else socket.SHUT_RDWR)
