"""C-GET and C-MOVE: what was asked for goes out, one C-STORE after the other (DICOM PS3.4 C.4.2, C.4.3).

C-GET sends over the association of the question, on the contexts for which the peer took the provider's
role; C-MOVE opens one to a third node, which must be known by its title.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import final

from pydicom.dataset import Dataset

from carna.node.dimse import command as dimse
from carna.node.dimse.desk import Opened
from carna.node.dimse.exchange import Association, Context, Message
from carna.node.dimse.give import Outcome, give, give_all
from carna.node.dimse.identifier import decoded, encoded, level_of
from carna.node.dimse.keeper import Keeper, Refused, Stored


@final
@dataclass(slots=True)
class Tally:
    """How far a retrieval is."""

    remaining: int
    completed: int = 0
    warned: int = 0
    failed: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.remaining -= 1
        if outcome.status == dimse.SUCCESS:
            self.completed += 1
        elif outcome.kept:
            self.warned += 1
        else:
            self.failed.append(outcome.stored.sop_instance)

    @property
    def status(self) -> int:
        """Return the status of the end."""
        if not self.failed and not self.warned:
            return dimse.SUCCESS
        return dimse.SOME_FAILED if self.completed or self.warned else dimse.CANNOT_SEND


def get(association: Association, message: Message, context: Context, keeper: Keeper) -> None:
    """Serve a C-GET."""
    files = _files(message, context, keeper)
    _serve(association, message, context, len(files), (give(association, stored) for stored in files))


def move(
    association: Association, message: Message, context: Context, keeper: Keeper, opened: Opened
) -> None:
    """Serve a C-MOVE."""
    title = message.command.texts.get(dimse.DESTINATION, "")
    at = keeper.peer(title)
    if at is None:
        raise Refused(dimse.UNKNOWN_DESTINATION, f"no node {title!r} is known here")
    files = _files(message, context, keeper)
    outcomes = give_all(
        files,
        lambda contexts: opened(at, title, association.called, contexts),
        originator=association.calling,
        original=message.command.message,
    )
    _serve(association, message, context, len(files), outcomes)


def _files(message: Message, context: Context, keeper: Keeper) -> Sequence[Stored]:
    identifier = decoded(message.data, context.syntax)
    level_of(identifier, context.abstract, whole=True)
    return keeper.retrieve(identifier)


def _serve(
    association: Association, message: Message, context: Context, count: int, outcomes: Iterator[Outcome]
) -> None:
    """Let the files go; say how far it is after each; stop where it is cancelled."""
    tally = Tally(count)
    for outcome in outcomes:
        tally.add(outcome)
        if association.cancelled(message.command.message):
            _say(association, message, context, tally, dimse.CANCELLED)
            return
        if tally.remaining:
            _say(association, message, context, tally, dimse.PENDING)
    _say(association, message, context, tally, tally.status)


def _say(association: Association, message: Message, context: Context, tally: Tally, status: int) -> None:
    values: dict[int, int | str] = {
        dimse.FIELD: message.command.field | dimse.REPLY,
        dimse.REPLIED_TO: message.command.message,
        dimse.AFFECTED_CLASS: context.abstract,
        dimse.STATUS: status,
        dimse.COMPLETED: min(tally.completed, 0xFFFF),
        dimse.FAILED: min(len(tally.failed), 0xFFFF),
        dimse.WARNED: min(tally.warned, 0xFFFF),
    }
    if status in (dimse.PENDING, dimse.CANCELLED):
        values[dimse.REMAINING] = min(tally.remaining, 0xFFFF)
    listed = None
    if tally.failed and status != dimse.PENDING:
        failed = Dataset()
        failed.FailedSOPInstanceUIDList = tally.failed
        listed = encoded(failed, context.syntax)
    association.send(context.id, values, listed)
