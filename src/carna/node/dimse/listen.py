"""The listener: one thread that accepts, one for each association, and an orderly end of them all.

A thread blocks in the kernel while bytes come and while the keeper waits for the disk, so associations go on
beside each other although Python computes in one of them at a time. What a stranger can make the listener
hold is bounded by `Limits`; what he sends that is not DICOM is answered by an A-ABORT.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, final

from carna.node.dimse.answer import answer
from carna.node.dimse.call import call
from carna.node.dimse.desk import Desk
from carna.node.dimse.exchange import Association, Context, Memory
from carna.node.dimse.keeper import Keeper
from carna.node.dimse.negotiate import BUSY, negotiate
from carna.node.dimse.pdu import (
    ASSOCIATE_RQ,
    UNEXPECTED_PDU,
    Associate,
    Malformed,
    Proposed,
    Role,
    abort,
    associate,
    read_associate,
    reject,
)
from carna.node.dimse.reports import Reports
from carna.node.dimse.wire import Lost, Wire

_LOG = logging.getLogger(__name__)
_BACKLOG: Final = 64
_GRACE_S: Final = 1.0
_SPARE: Final = 8  # connections beyond the limit that are told that it is reached
_LATER: Final = 16
_BUFFER: Final = 1 << 20


@final
@dataclass(frozen=True, slots=True)
class Limits:
    """What callers may make a listener hold.

    Parameters
    ----------
    associations : int
        At a time; one more is rejected as transient, so that it comes again.
    max_pdu : int
        Bytes of a P-DATA-TF.
    max_object : int
        Bytes of a data set; a larger one is read, dropped and refused as out of resources (0xA700).
    memory : int
        Bytes of all data sets at a time, beside one that may go beyond it, up to ``max_object``; the others
        wait for it, and are refused as out of resources where it takes longer than ``idle_s``.
    request_s : float
        For the TLS handshake and for the association request, each (the standard's ARTIM).
    idle_s : float
        For a message to come, and for one PDU to be whole.
    """

    associations: int = 32
    max_pdu: int = 1 << 20
    max_object: int = 2 << 30
    memory: int = 256 << 20
    request_s: float = 10.0
    idle_s: float = 60.0


@final
class Listener:
    """The station's DICOM port; a context manager that listens from ``__enter__`` to ``__exit__``.

    Parameters
    ----------
    keeper : Keeper
    host : str
        Address to listen at; loopback if it is not said otherwise.
    port : int
        0 for any that is free: see `port`.
    limits : Limits
    tls : ssl.SSLContext, optional
        Of a server; with ``verify_mode = ssl.CERT_REQUIRED`` callers must show a certificate.
    peer_tls : ssl.SSLContext, optional
        Of a client, for the associations that the listener opens itself (C-MOVE, commitment).
    reports : Reports, optional
        Where reports of commitments that were asked for elsewhere are waited for.

    Raises
    ------
    OSError
        By ``__enter__``: the port is not free.
    """

    def __init__(
        self,
        keeper: Keeper,
        host: str = "127.0.0.1",
        port: int = 11112,
        *,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        peer_tls: ssl.SSLContext | None = None,
        reports: Reports | None = None,
    ) -> None:
        self._at = (host, port)
        self._limits = limits or Limits()
        self._tls, self._peer_tls = tls, peer_tls
        self._memory = Memory(self._limits.memory, self._limits.idle_s)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._later: set[threading.Thread] = set()
        self._wires: weakref.WeakSet[Wire] = weakref.WeakSet()  # of both directions
        self._open = 0  # associations, and connections that want to become one
        self._desk = Desk(keeper, self._call, reports, self._do_later, self._stopping)
        self._socket: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    # ---- beginning and end -----------------------------------------------------------------------

    def __enter__(self) -> Listener:
        family = socket.AF_INET6 if ":" in self._at[0] else socket.AF_INET
        self._socket = socket.create_server(self._at, family=family, backlog=_BACKLOG)
        self._at = (self._at[0], int(self._socket.getsockname()[1]))
        self._acceptor = threading.Thread(target=self._accept, args=(self._socket,), name="dimse")
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Return the port that is listened at."""
        return self._at[1]

    @property
    def open(self) -> int:
        """Return how many connections are open."""
        return self._open

    def stop(self) -> None:
        """End: no new caller, every association aborted, every thread waited for.

        What the keeper is keeping at that moment is kept and acknowledged, if it takes no longer than a
        second; else its sender does not know, and sends it again.
        """
        self._stopping.set()
        self._memory.end()
        if self._acceptor is None or self._socket is None:
            return
        self._acceptor.join()
        self._socket.close()
        self._acceptor = None
        with self._lock:
            threads = [*self._threads, *self._later]
            wires = list(self._wires)
        for wire in wires:
            wire.break_off(reading=True)
        until = time.monotonic() + _GRACE_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        for wire in wires:
            wire.break_off()
        for thread in threads:
            thread.join()

    # ---- callers ---------------------------------------------------------------------------------

    def _accept(self, listening: socket.socket) -> None:
        listening.settimeout(0.2)  # so that the end is seen
        while not self._stopping.is_set():
            try:
                sock, address = listening.accept()
            except TimeoutError:
                continue
            except OSError as error:  # out of file descriptors: some will be free again
                _LOG.error("no connection can be accepted: %s", str(error))
                time.sleep(0.2)
                continue
            if self._open >= self._limits.associations + _SPARE:
                sock.close()
                continue
            thread = threading.Thread(
                target=self._connected, args=(sock, str(address[0])), name=f"dimse {address[0]}"
            )
            with self._lock:
                self._open += 1
                self._threads.add(thread)
            try:
                thread.start()
            except RuntimeError as error:  # no more threads: some will end again
                _LOG.error("no connection can be served: %s", str(error))
                sock.close()
                with self._lock:
                    self._open -= 1
                    self._threads.discard(thread)

    def _connected(self, sock: socket.socket, address: str) -> None:
        """Live through one connection."""
        wire: Wire | None = None
        try:
            wire = self._wire(sock)
            self._serve(wire, address)
        except Lost as error:
            # Its words, not itself: a log that keeps records would keep the buffers of this thread with it.
            _LOG.info("%s: %s", address, str(error))
        finally:
            if wire is not None:
                wire.close()
            sock.close()
            with self._lock:
                self._open -= 1
                self._threads.discard(threading.current_thread())

    def _wire(self, sock: socket.socket) -> Wire:
        try:
            # Without it every second small answer waits 40 ms. The receive window is left to the kernel: one
            # that is set does not grow with the way of the peer.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(self._limits.request_s)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
        except OSError as error:
            sock.close()
            raise Lost(f"no TLS: {error}") from error
        wire = Wire(sock, max_pdu=self._limits.max_pdu, patience_s=self._limits.request_s)
        self._watch(wire)
        return wire

    def _watch(self, wire: Wire) -> None:
        """Have a wire broken off when the listener ends, which may be now."""
        with self._lock:
            self._wires.add(wire)
            if self._stopping.is_set():
                wire.break_off()

    def _serve(self, wire: Wire, address: str) -> None:
        association: Association | None = None
        last = abort()  # what is said if a fault of our own ends it
        try:
            association = self._negotiated(wire, address)
            if association is None:
                last = b""
                return
            while self._one(association):
                if self._stopping.is_set():
                    raise Lost("the listener ends")
            last = b""
        except Malformed as error:
            _LOG.warning("%s: aborted: %s", address, str(error))
            last = abort(error.reason)
        except Lost:
            # Who is only silent, in an association, is told that it has ended.
            last = abort() if association is not None else b""
            raise
        finally:
            if association is not None:
                association.close(last)
            else:
                wire.close(last)

    def _negotiated(self, wire: Wire, address: str) -> Association | None:
        """Return the association, or None where it was rejected."""
        kind, body = wire.receive()
        if kind != ASSOCIATE_RQ:
            raise Malformed(f"a PDU of type {kind} before any association", UNEXPECTED_PDU)
        request = read_associate(kind, body)
        limits = self._limits
        if self._open > limits.associations:
            found: tuple[Associate, dict[int, Context]] | bytes = reject(*BUSY)
        else:
            found = negotiate(
                request,
                self._desk.keeper,
                address,
                reports=self._desk.reports is not None,
                max_pdu=limits.max_pdu,
            )
        if not isinstance(found, tuple):
            _LOG.warning("%s: %r calling %r is rejected", address, request.calling, request.called)
            wire.close(found)
            return None
        accepted, contexts = found
        wire.wait_for(limits.idle_s)
        wire.widen(_BUFFER)
        wire.send(associate(accepted))
        _LOG.info("%s: %r calls %r", address, request.calling, request.called)
        return Association(
            wire,
            contexts,
            request.max_pdu,
            calling=request.calling,
            called=request.called,
            address=address,
            max_object=limits.max_object,
            memory=self._memory,
        )

    def _one(self, association: Association) -> bool:
        """Answer one message; its data set is let go of before the next comes."""
        message = association.receive()
        if message is None:
            return False
        answer(association, message, self._desk)
        association.forget()
        return True

    # ---- for the services ------------------------------------------------------------------------

    def _call(
        self,
        at: tuple[str, int],
        called: str,
        calling: str,
        contexts: Sequence[Proposed],
        roles: Sequence[Role] = (),
    ) -> Association:
        made = call(at, called, calling, contexts, roles, tls=self._peer_tls, patience_s=self._limits.idle_s)
        self._watch(made.wire)
        return made

    def _do_later(self, task: Callable[[], None]) -> bool:
        def run() -> None:
            try:
                task()
            finally:
                with self._lock:
                    self._later.discard(threading.current_thread())

        thread = threading.Thread(target=run, name="dimse later")
        with self._lock:
            if len(self._later) >= _LATER:
                return False
            self._later.add(thread)
        thread.start()
        return True
