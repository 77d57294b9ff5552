"""What is asked and what is said: verification, storage, query (DICOM PS3.4 annexes A, B, C).

Each message is looked at alone: who asks may have lost the right since the association began.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from carna.errors import CarnaError
from carna.node.dimse import command as dimse
from carna.node.dimse.commit import asked, reported
from carna.node.dimse.desk import Desk
from carna.node.dimse.exchange import Association, Context, Message
from carna.node.dimse.identifier import decoded, encoded, level_of
from carna.node.dimse.keeper import Incoming, Keeper, Refused, Service
from carna.node.dimse.pdu import UNEXPECTED_PDU, Malformed
from carna.node.dimse.retrieve import get, move

_UID: Final = re.compile(r"[0-9]{1,64}|[0-9]+(\.[0-9]+)+", re.ASCII)
_SERVICES: Final[dict[int, Service]] = {
    dimse.C_ECHO: "echo",
    dimse.C_STORE: "store",
    dimse.C_FIND: "find",
    dimse.C_GET: "get",
    dimse.C_MOVE: "move",
    dimse.N_ACTION: "commit",
    dimse.N_EVENT_REPORT: "commit",
}


def answer(association: Association, message: Message, desk: Desk) -> None:
    """Answer one message.

    Raises
    ------
    Malformed, Lost
        The association ends.
    """
    command = message.command
    context = association.contexts[message.context]
    if command.field == dimse.C_CANCEL:
        return  # of something that was answered before it came
    if command.field & dimse.REPLY:
        raise Malformed("an answer to nothing", UNEXPECTED_PDU)
    service = _SERVICES.get(command.field)
    try:
        if service is None:
            raise Refused(dimse.UNKNOWN_OPERATION, f"operation {command.field:04x} is not offered")
        _check(association, message, context, service, desk)
        match command.field:
            case dimse.C_ECHO:
                respond(association, message, dimse.SUCCESS)
            case dimse.C_STORE:
                take(association, message, context, desk.keeper.keep)
            case dimse.C_FIND:
                _find(association, message, context, desk.keeper)
            case dimse.C_GET:
                get(association, message, context, desk.keeper)
            case dimse.C_MOVE:
                move(association, message, context, desk.keeper, desk.opened)
            case dimse.N_ACTION:
                asked(association, message, context, desk)
            case _:
                assert desk.reports is not None  # else its context was not accepted
                reported(association, message, context, desk.reports)
    except Refused as refused:
        respond(association, message, refused.status, refused.why)


def _check(
    association: Association, message: Message, context: Context, service: Service, desk: Desk
) -> None:
    """Refuse what does not belong on its context, what is not whole, and who may not ask."""
    ours = context.asking if message.command.field == dimse.N_EVENT_REPORT else context.asked
    if service != context.service or not ours:
        raise Refused(dimse.NO_SUCH_CLASS, f"{service} on a context of {context.service}")
    a = association
    if not desk.keeper.allows(a.calling, a.called, a.address, service):
        raise Refused(dimse.NOT_AUTHORISED, f"{a.calling} may not {service}")
    if message.lost:
        raise Refused(dimse.OUT_OF_RESOURCES, message.lost)
    if message.command.with_data == (service == "echo"):
        raise Refused(dimse.NOT_UNDERSTOOD, "a data set is missing, or one too many")


def respond(association: Association, message: Message, status: int, why: str = "") -> None:
    """Send the last answer to a message."""
    command = message.command
    values: dict[int, int | str] = {
        dimse.FIELD: command.field | dimse.REPLY,
        dimse.REPLIED_TO: command.message,
        dimse.STATUS: status,
        dimse.COMMENT: why,
        dimse.AFFECTED_CLASS: command.texts.get(
            dimse.AFFECTED_CLASS, command.texts.get(dimse.REQUESTED_CLASS, "")
        ),
        dimse.AFFECTED_INSTANCE: command.texts.get(
            dimse.AFFECTED_INSTANCE, command.texts.get(dimse.REQUESTED_INSTANCE, "")
        ),
    }
    association.send(message.context, values)


def take(
    association: Association, message: Message, context: Context, keep: Callable[[Incoming], None]
) -> None:
    """Have the instance of a C-STORE kept, and say so.

    Raises
    ------
    Refused
        It does not fit its context, or is not kept.
    """
    texts = message.command.texts
    sop_class, sop_instance = texts.get(dimse.AFFECTED_CLASS, ""), texts.get(dimse.AFFECTED_INSTANCE, "")
    if sop_class != context.abstract:
        raise Refused(dimse.DOES_NOT_MATCH, f"{sop_class or 'no class'} on a context of {context.abstract}")
    if len(sop_instance) > 64 or not _UID.fullmatch(sop_instance):
        raise Refused(dimse.NO_SUCH_INSTANCE, f"{sop_instance!r} is no UID")
    one = Incoming(
        sop_class,
        sop_instance,
        context.syntax,
        message.data,
        association.calling,
        association.called,
        association.address,
    )
    try:
        keep(one)
    except OSError as error:
        raise Refused(dimse.OUT_OF_RESOURCES, f"it could not be written: {error}") from error
    except CarnaError as error:
        raise Refused(dimse.NOT_UNDERSTOOD, error.found) from error
    respond(association, message, dimse.SUCCESS)


def _find(association: Association, message: Message, context: Context, keeper: Keeper) -> None:
    identifier = decoded(message.data, context.syntax)
    level = level_of(identifier, context.abstract, whole=False)
    number = message.command.message
    pending: dict[int, int | str] = {
        dimse.FIELD: dimse.C_FIND | dimse.REPLY,
        dimse.REPLIED_TO: number,
        dimse.STATUS: dimse.PENDING,
        dimse.AFFECTED_CLASS: context.abstract,
    }
    for found in keeper.find(level, identifier):
        if association.cancelled(number):
            raise Refused(dimse.CANCELLED, "")
        found.QueryRetrieveLevel = level
        found.RetrieveAETitle = association.called
        association.send(context.id, pending, encoded(found, context.syntax))
    respond(association, message, dimse.SUCCESS)
