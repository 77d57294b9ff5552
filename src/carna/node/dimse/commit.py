"""Storage commitment: what may be deleted elsewhere because it is safe here (DICOM PS3.4 annex J).

As its provider, the station answers a request at once and reports when it has looked: at the disk, not at the
catalogue (`Keeper.holds`). The report goes to where the caller is known to listen; who is a stranger there
hears it on the association of the request. As its user, the station waits for a report wherever it comes in.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Final

from pydicom.dataset import Dataset

from carna.node.dimse import command as dimse
from carna.node.dimse.desk import Desk
from carna.node.dimse.exchange import Association, Context, Message
from carna.node.dimse.identifier import decoded, encoded
from carna.node.dimse.keeper import Keeper, Refused
from carna.node.dimse.negotiate import COMMITMENT, COMMITMENT_INSTANCE, EXPLICIT, IMPLICIT
from carna.node.dimse.pdu import Malformed, Proposed, Role
from carna.node.dimse.reports import Report, Reports
from carna.node.dimse.wire import Lost

REQUEST, ALL_HELD, SOME_NOT = 1, 1, 2  # action type; event types
NOT_HELD: Final = 0x0112  # failure reason: no such object instance
_WAITS_S: Final = (0.0, 5.0, 30.0)  # before each attempt to report
_CONTEXTS: Final = (Proposed(1, COMMITMENT, (EXPLICIT, IMPLICIT)),)
_LOG = logging.getLogger(__name__)


# ---- as provider -----------------------------------------------------------------------------------


def asked(association: Association, message: Message, context: Context, desk: Desk) -> None:
    """Answer a request and report on it.

    Raises
    ------
    Refused
        No such action, no transaction, no references, or too many reports that wait.
    """
    command = message.command
    if command.numbers.get(dimse.ACTION_TYPE) != REQUEST:
        raise Refused(0x0123, "no such action")
    if command.texts.get(dimse.REQUESTED_INSTANCE) != COMMITMENT_INSTANCE:
        raise Refused(dimse.NO_SUCH_INSTANCE, "not the instance of storage commitment")
    dataset = decoded(message.data, context.syntax)
    transaction, pairs = (
        str(dataset.get("TransactionUID", "") or ""),
        _pairs(dataset, "ReferencedSOPSequence"),
    )
    if not transaction or not pairs:
        raise Refused(0x0115, "a transaction UID and referenced instances are needed")
    answer: dict[int, int | str] = {
        dimse.FIELD: dimse.N_ACTION | dimse.REPLY,
        dimse.REPLIED_TO: command.message,
        dimse.STATUS: dimse.SUCCESS,
        dimse.AFFECTED_CLASS: COMMITMENT,
        dimse.AFFECTED_INSTANCE: COMMITMENT_INSTANCE,
        dimse.ACTION_TYPE: REQUEST,
    }
    at = desk.keeper.peer(association.calling)
    if at is None:
        association.send(context.id, answer)
        _report(association, context, transaction, pairs, desk.keeper)
        return
    caller, here = association.calling, association.called
    answered = threading.Event()

    def call_back() -> None:
        answered.wait()
        for wait_s in _WAITS_S:
            if desk.stopping.wait(wait_s):
                break
            try:
                back = desk.opened(at, caller, here, _CONTEXTS, (Role(COMMITMENT, False, True),))
            except (Lost, Malformed) as error:
                _LOG.warning("%s could not be told of commitment %s: %s", caller, transaction, str(error))
                continue
            try:
                _report(back, _only(back), transaction, pairs, desk.keeper)
                return
            except (Lost, Malformed) as error:
                _LOG.warning("%s did not hear of commitment %s: %s", caller, transaction, str(error))
            finally:
                back.release()

    if not desk.later(call_back):
        raise Refused(0x0213, "too many reports wait to be sent")
    try:
        association.send(context.id, answer)
    finally:
        answered.set()


def _report(
    association: Association,
    context: Context,
    transaction: str,
    pairs: Sequence[tuple[str, str]],
    keeper: Keeper,
) -> None:
    """Look what is held now and say it."""
    # The keeper answers by UID: one that is asked for under two classes can't be affirmed for both.
    classes: dict[str, str] = {}
    doubtful = {uid for sop_class, uid in pairs if classes.setdefault(uid, sop_class) != sop_class}
    held = keeper.holds(pairs) - doubtful
    said = Dataset()
    said.TransactionUID = transaction
    said.ReferencedSOPSequence = [_reference(*pair) for pair in pairs if pair[1] in held]
    missing = [_reference(*pair) for pair in pairs if pair[1] not in held]
    for reference in missing:
        reference.FailureReason = NOT_HELD
    if missing:
        said.FailedSOPSequence = missing
    if not said.ReferencedSOPSequence:
        del said.ReferencedSOPSequence
    number = association.number()
    values: dict[int, int | str] = {
        dimse.FIELD: dimse.N_EVENT_REPORT,
        dimse.MESSAGE: number,
        dimse.AFFECTED_CLASS: COMMITMENT,
        dimse.AFFECTED_INSTANCE: COMMITMENT_INSTANCE,
        dimse.EVENT_TYPE: SOME_NOT if missing else ALL_HELD,
    }
    association.send(context.id, values, encoded(said, context.syntax))
    answer = association.reply(number).command
    if answer.status != dimse.SUCCESS:
        _LOG.warning("commitment %s: the report was answered %04x", transaction, answer.status)


# ---- as user ---------------------------------------------------------------------------------------


def request(association: Association, transaction: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Ask the peer of an open association to commit itself.

    Raises
    ------
    Refused
        It does not, with the peer's status.
    Malformed, Lost
    """
    dataset = Dataset()
    dataset.TransactionUID = transaction
    dataset.ReferencedSOPSequence = [_reference(*pair) for pair in pairs]
    context = _only(association)
    number = association.number()
    values: dict[int, int | str] = {
        dimse.FIELD: dimse.N_ACTION,
        dimse.MESSAGE: number,
        dimse.REQUESTED_CLASS: COMMITMENT,
        dimse.REQUESTED_INSTANCE: COMMITMENT_INSTANCE,
        dimse.ACTION_TYPE: REQUEST,
    }
    association.send(context.id, values, encoded(dataset, context.syntax))
    answer = association.reply(number).command
    if answer.status != dimse.SUCCESS:
        raise Refused(answer.status, answer.texts.get(dimse.COMMENT, "") or "the peer does not commit itself")


def reported(association: Association, message: Message, context: Context, reports: Reports) -> None:
    """Take a report that came in, on whichever association.

    Raises
    ------
    Refused
        Of another class, or expected by nobody.
    """
    dataset = decoded(message.data, context.syntax)
    failed = {
        str(item.get("ReferencedSOPInstanceUID", "")): int(item.get("FailureReason", NOT_HELD) or NOT_HELD)
        for item in dataset.get("FailedSOPSequence", None) or ()
    }
    held = frozenset(uid for _, uid in _pairs(dataset, "ReferencedSOPSequence")) - failed.keys()
    if not reports.take(str(dataset.get("TransactionUID", "")), Report(held, failed)):
        raise Refused(0x0115, "nobody waits for this transaction")
    command = message.command
    values: dict[int, int | str] = {
        dimse.FIELD: dimse.N_EVENT_REPORT | dimse.REPLY,
        dimse.REPLIED_TO: command.message,
        dimse.STATUS: dimse.SUCCESS,
        dimse.AFFECTED_CLASS: COMMITMENT,
        dimse.AFFECTED_INSTANCE: COMMITMENT_INSTANCE,
        dimse.EVENT_TYPE: command.numbers.get(dimse.EVENT_TYPE, ALL_HELD),
    }
    association.send(context.id, values)


def _only(association: Association) -> Context:
    """Return the one context that was proposed."""
    for context in association.contexts.values():
        return context
    raise Lost("the peer takes no storage commitment")


def _reference(sop_class: str, sop_instance: str) -> Dataset:
    one = Dataset()
    one.ReferencedSOPClassUID = sop_class
    one.ReferencedSOPInstanceUID = sop_instance
    return one


def _pairs(dataset: Dataset, keyword: str) -> list[tuple[str, str]]:
    return [
        (str(item.get("ReferencedSOPClassUID", "")), str(item.get("ReferencedSOPInstanceUID", "")))
        for item in dataset.get(keyword, None) or ()
    ]
