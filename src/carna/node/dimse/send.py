"""The station as a caller: is a node there, send it instances, have it commit itself to them.

>>> node = Node("127.0.0.1", 11112, "PACS", calling="CARNA")
>>> [one.status for one in store(node, [])]
[]
"""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from carna.errors import CarnaError
from carna.node.dimse import command as dimse
from carna.node.dimse.call import call
from carna.node.dimse.commit import reported, request
from carna.node.dimse.exchange import Association
from carna.node.dimse.give import Outcome, described, give_all
from carna.node.dimse.keeper import Refused, Stored
from carna.node.dimse.negotiate import COMMITMENT, EXPLICIT, IMPLICIT, VERIFICATION
from carna.node.dimse.pdu import Malformed, Proposed, Role
from carna.node.dimse.reports import Report, Reports
from carna.node.dimse.wire import Lost

_STEP_S = 0.25  # between looks at the two places where a report may come in


@final
class NodeError(CarnaError):
    """Another node can't be reached, rejects us or breaks off."""


@final
@dataclass(frozen=True, slots=True)
class Node:
    """Another DICOM node.

    Parameters
    ----------
    host : str
    port : int
    title : str
        Its AE title.
    calling : str
        Ours, as it knows us.
    tls : ssl.SSLContext, optional
    patience_s : float
        For the connection and for each answer.
    """

    host: str
    port: int
    title: str
    calling: str = "CARNA"
    tls: ssl.SSLContext | None = None
    patience_s: float = 30.0

    def opened(self, contexts: Sequence[Proposed], roles: Sequence[Role] = ()) -> Association:
        """Return an open association; raises `Lost` or `Malformed`."""
        at = (self.host, self.port)
        return call(at, self.title, self.calling, contexts, roles, tls=self.tls, patience_s=self.patience_s)


def echo(node: Node) -> float:
    """Ask whether a node is there (C-ECHO); return the seconds of the answer, connection apart.

    Raises
    ------
    NodeError
    """
    try:
        association = node.opened((Proposed(1, VERIFICATION, (EXPLICIT, IMPLICIT)),))
        try:
            number = association.number()
            values: dict[int, int | str] = {
                dimse.FIELD: dimse.C_ECHO,
                dimse.MESSAGE: number,
                dimse.AFFECTED_CLASS: VERIFICATION,
            }
            began = time.perf_counter()
            association.send(1, values)
            status = association.reply(number).command.status
            took_s = time.perf_counter() - began
        finally:
            association.release()
    except (Lost, Malformed) as error:
        raise NodeError(str(error), needed="a DICOM node that answers", fix=_fix(node)) from error
    if status != dimse.SUCCESS:
        raise NodeError(f"{node.title} answers {status:04x}", needed="0000", fix=_fix(node))
    return took_s


def store(node: Node, files: Sequence[Path | Stored]) -> Iterator[Outcome]:
    """Send Part-10 files (C-STORE); yield what became of each, in their order.

    A file goes in its own transfer syntax where the node takes it, else uncompressed. It is no error that a
    node refuses an instance or can't be reached: the outcome says so.

    Raises
    ------
    InputError
        A path is no Part-10 file; before anything is sent.
    """
    whole = [one if isinstance(one, Stored) else described(one) for one in files]
    return give_all(whole, node.opened)


def commit(
    node: Node, pairs: Sequence[tuple[str, str]], *, reports: Reports | None = None, wait_s: float = 60.0
) -> Report | None:
    """Ask a node to commit itself to keep instances, and wait for its report.

    Parameters
    ----------
    node : Node
    pairs : sequence of (SOP class UID, SOP instance UID)
    reports : Reports, optional
        The listener's, where a node reports that calls back.
    wait_s : float
        The report comes on this association or to the listener within this time.

    Returns
    -------
    Report or None
        ``held`` names only what was asked for; None where no report came: nothing is known then.

    Raises
    ------
    NodeError
        No association, or the node does not commit itself.
    """
    here = reports if reports is not None else Reports()
    transaction = f"2.25.{uuid.uuid4().int}"
    here.expect(transaction)
    try:
        association = node.opened((Proposed(1, COMMITMENT, (EXPLICIT, IMPLICIT)),))
        try:
            request(association, transaction, pairs)
            report = _report(association, transaction, here, time.monotonic() + wait_s)
        finally:
            association.release()
    except (Lost, Malformed) as error:
        raise NodeError(str(error), needed="a node that commits itself", fix=_fix(node)) from error
    except Refused as error:
        raise NodeError(f"{node.title} answers {error.status:04x}: {error.why}", fix=_fix(node)) from error
    finally:
        here.forget(transaction)
    if report is None:
        return None
    wanted = {uid for _, uid in pairs}
    return Report(report.held & wanted, {k: v for k, v in report.failed.items() if k in wanted})


def _report(association: Association, transaction: str, reports: Reports, until: float) -> Report | None:
    """Wait for a report at both places; an association that the node ends is no place any more."""
    here = True
    while time.monotonic() < until:
        if here and association.coming(_STEP_S):
            try:
                message = association.receive()
            except Lost:
                message = None
            if message is None:
                here = False
            elif message.command.field == dimse.N_EVENT_REPORT:
                reported(association, message, association.contexts[message.context], reports)
        found = reports.wait(transaction, 0.0 if here else min(_STEP_S, until - time.monotonic()))
        if found is not None:
            return found
    return None


def _fix(node: Node) -> str:
    return (
        f"check host and port {node.host}:{node.port}, and that {node.title} knows {node.calling} "
        "and where it comes from"
    )
