"""An association is opened: connect, propose, read what was accepted (DICOM PS3.8 7.1, as requestor)."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Sequence
from typing import Final

from carna.node.dimse.exchange import Association, Context, Memory
from carna.node.dimse.pdu import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    Answered,
    Associate,
    Malformed,
    Proposed,
    Role,
    abort,
    associate,
    read_associate,
)
from carna.node.dimse.wire import Lost, Wire

MAX_PDU: Final = 1 << 20
_REASONS: Final = {
    (1, 1): "it gives no reason",
    (1, 2): "it does not support DICOM's application context",
    (1, 3): "it does not know the calling AE title",
    (1, 7): "it does not know the called AE title",
    (2, 1): "it gives no reason",
    (2, 2): "it does not support this version of the protocol",
    (3, 1): "it is congested for the moment",
    (3, 2): "it has too many associations for the moment",
}


def call(
    at: tuple[str, int],
    called: str,
    calling: str,
    contexts: Sequence[Proposed],
    roles: Sequence[Role] = (),
    *,
    tls: ssl.SSLContext | None = None,
    patience_s: float = 30.0,
    max_object: int = 1 << 31,
) -> Association:
    """Open an association.

    Parameters
    ----------
    at : tuple of str and int
        Host and port.
    called, calling : str
        AE titles, the peer's and ours.
    contexts, roles : sequence
        What is proposed; by default the peer is asked and does not ask.
    tls : ssl.SSLContext, optional
    patience_s : float
        For the connection, for each PDU and for each answer.
    max_object : int
        Largest data set that is taken from the peer, bytes.

    Raises
    ------
    Lost
        Nobody listens there, the peer rejects the association, or accepts none of the contexts.
    Malformed
    """
    try:
        sock = socket.create_connection(at, patience_s)
    except OSError as error:
        raise Lost(f"{called} at {at[0]}:{at[1]} does not answer: {error}") from error
    try:
        # Without this, every answer waits 40 ms for an acknowledgement of the segment before it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            sock = tls.wrap_socket(sock, server_hostname=at[0])
    except OSError as error:
        sock.close()
        raise Lost(f"{called} at {at[0]}:{at[1]}: no TLS: {error}") from error
    wire = Wire(sock, max_pdu=MAX_PDU, patience_s=patience_s)
    try:
        accepted, peer_max_pdu = _negotiated(wire, called, calling, contexts, roles)
    except Malformed as error:
        wire.close(abort(error.reason))
        raise
    except Lost:
        wire.close()
        raise
    if not accepted:
        with contextlib.suppress(Lost):
            wire.send(abort())
        wire.close()
        raise Lost(f"{called} accepts nothing of what was proposed")
    return Association(
        wire,
        accepted,
        peer_max_pdu,
        calling=calling,
        called=called,
        address=at[0],
        max_object=max_object,
        memory=Memory(max_object),
    )


def _negotiated(
    wire: Wire, called: str, calling: str, contexts: Sequence[Proposed], roles: Sequence[Role]
) -> tuple[dict[int, Context], int]:
    """Return the accepted contexts and what the peer takes in one PDU, bytes."""
    wire.send(associate(Associate(called, calling, tuple(contexts), tuple(roles), MAX_PDU)))
    kind, body = wire.receive()
    if kind == ASSOCIATE_RJ:
        why = _REASONS.get((body[2], body[3]), f"reason {body[3]} of source {body[2]}")
        raise Lost(f"{called} rejects the association: {why}")
    if kind == ABORT:
        raise Lost(f"{called} aborts the association")
    if kind != ASSOCIATE_AC:
        raise Malformed(f"a PDU of type {kind} instead of an answer to the association")
    answer = read_associate(kind, body)
    proposed = {one.id: one for one in contexts}
    wanted = {role.abstract: role for role in roles}
    granted = {role.abstract: role for role in answer.roles}
    accepted = {}
    for one in answer.contexts:
        if not isinstance(one, Answered) or one.result or one.id not in proposed:
            continue
        abstract = proposed[one.id].abstract
        if one.syntax not in proposed[one.id].syntaxes:
            raise Malformed(f"context {one.id} accepted in {one.syntax}, which was not proposed")
        ours = wanted.get(abstract, Role(abstract, True, False))
        theirs = granted.get(abstract, Role(abstract, True, False))
        # As provider of the class we are asked, as its user we ask; a commitment is reported by its provider.
        asking, asked = ours.user and theirs.user, ours.provider and theirs.provider
        if asking or asked:
            accepted[one.id] = Context(one.id, abstract, one.syntax, None, asked, asking)
    return accepted, answer.max_pdu
