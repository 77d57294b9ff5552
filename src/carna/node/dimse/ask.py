"""The station as a caller: what does a node have, and have it sent (C-FIND, C-MOVE, C-GET).

>>> question(level="STUDY", PatientID="4711", StudyInstanceUID="", StudyDate="20260101-").PatientID
'4711'
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from pydicom.dataset import Dataset

from carna.node.dimse import command as dimse
from carna.node.dimse.answer import respond, take
from carna.node.dimse.exchange import Association, Message
from carna.node.dimse.identifier import decoded, encoded
from carna.node.dimse.keeper import Incoming, Refused
from carna.node.dimse.negotiate import EXPLICIT, FIND, GET, IMPLICIT, MOVE, STUDY_ROOT
from carna.node.dimse.pdu import Malformed, Proposed, Role
from carna.node.dimse.send import Node, NodeError
from carna.node.dimse.wire import Lost

_BASE: Final = "1.2.840.10008.5.1.4.1.1."
_COMPRESSED: Final = tuple(
    f"1.2.840.10008.1.2.{tail}"
    for tail in ("4.80", "4.90", "4.70", "4.57", "5", "4.91", "4.81", "4.50", "4.51", "4.201", "4.202")
)
_PLAIN: Final = (EXPLICIT, IMPLICIT)
_WITH_PIXELS: Final = (
    *("1", "1.1", "2", "2.1", "3.1", "4", "4.1", "4.3", "6.1", "6.2", "7", "7.1", "7.2", "7.3", "7.4"),
    *(
        "12.1",
        "12.1.1",
        "12.2",
        "12.2.1",
        "13.1.1",
        "14.1",
        "20",
        "30",
        "66.4",
        "66.7",
        "77.1.6",
        "128",
        "130",
    ),
)
_WITHOUT: Final = (
    *("4.2", "9.1.1", "9.1.2", "9.1.3", "9.2.1", "9.3.1", "9.4.1", "9.5.1", "11.1", "66", "66.1", "66.5"),
    *("67", "88.11", "88.22", "88.33", "88.34", "88.59", "104.1", "104.3"),
)
HEART: Final[Mapping[str, Sequence[Sequence[str]]]] = {
    **{_BASE + tail: (_PLAIN, _COMPRESSED) for tail in _WITH_PIXELS},
    **{_BASE + tail: (_PLAIN,) for tail in _WITHOUT},
}
"""Storage classes of a heart's examinations, with the groups of transfer syntaxes that are asked for."""


@final
@dataclass(frozen=True, slots=True)
class Retrieved:
    """What a node says of a C-MOVE or C-GET: status, and how many instances went which way.

    ``refused`` names those that did not, where the node says so.
    """

    status: int
    completed: int
    failed: int
    warned: int
    refused: tuple[str, ...] = ()
    why: str = ""


def question(*, level: str, **keys: str) -> Dataset:
    """Return an identifier: keywords with the value to match, empty where it is only asked for."""
    identifier = Dataset()
    identifier.SpecificCharacterSet = "ISO_IR 192"
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def find(node: Node, identifier: Dataset, *, root: str = STUDY_ROOT) -> Iterator[Dataset]:
    """Ask what a node has; yield the answers as they come. Who stops listening cancels the question.

    Raises
    ------
    NodeError
    """
    with _Asked(node, root + FIND, dimse.C_FIND, identifier) as asked:
        while (answer := asked.reply()).command.status & 0xFFFE == dimse.PENDING:
            try:
                yield decoded(answer.data, asked.syntax)
            except Refused as error:
                raise NodeError(f"an answer of {node.title}: {error.why}", needed="a data set") from error
        asked.check(answer)


def move(node: Node, identifier: Dataset, destination: str, *, root: str = STUDY_ROOT) -> Retrieved:
    """Have a node send to a third, or to us, by AE title.

    Raises
    ------
    NodeError
        The node refuses, or breaks off. Instances that it could not send are no error: see `Retrieved`.
    """
    with _Asked(node, root + MOVE, dimse.C_MOVE, identifier, {dimse.DESTINATION: destination}) as asked:
        while (answer := asked.reply()).command.status == dimse.PENDING:
            pass
        return asked.retrieved(answer)


def get(
    node: Node,
    identifier: Dataset,
    keep: Callable[[Incoming], None],
    *,
    classes: Mapping[str, Sequence[Sequence[str]]] = HEART,
    root: str = STUDY_ROOT,
) -> Retrieved:
    """Have a node send to us over the association of the question.

    Parameters
    ----------
    node : Node
    identifier : Dataset
    keep : callable
        Called for every instance; raises `Refused` for one that is not kept.
    classes : mapping
        SOP class to groups of transfer syntaxes, one presentation context for each; 127 at most.
    root : str

    Raises
    ------
    NodeError
    """
    offers = [(sop_class, tuple(group)) for sop_class, groups in classes.items() for group in groups]
    contexts = [Proposed(2 * at + 3, *offer) for at, offer in enumerate(offers)]
    roles = [Role(sop_class, False, True) for sop_class in classes]
    with _Asked(node, root + GET, dimse.C_GET, identifier, {}, contexts, roles) as asked:
        association = asked.association
        while True:
            message = association.receive()
            if message is None:
                raise Lost(f"{node.title} released the association before its answer")
            if message.command.field == dimse.C_STORE:
                context = association.contexts[message.context]
                try:
                    take(association, message, context, lambda one: keep(_turned(one)))
                except Refused as refused:
                    respond(association, message, refused.status, refused.why)
                association.forget()
            elif message.command.field == dimse.C_GET | dimse.REPLY:
                if message.command.status != dimse.PENDING:
                    return asked.retrieved(message)
            else:
                raise Malformed(f"{message.command.field:04x} inside a C-GET")


def _turned(one: Incoming) -> Incoming:
    """Name the sender as the caller, although we called him."""
    return replace(one, calling=one.called, called=one.calling)


@final
class _Asked:
    """A question on its way: opened, asked, answered to the end or cancelled, released."""

    def __init__(
        self,
        node: Node,
        abstract: str,
        field: int,
        identifier: Dataset,
        more: Mapping[int, int | str] | None = None,
        contexts: Sequence[Proposed] = (),
        roles: Sequence[Role] = (),
    ) -> None:
        self._node, self._identifier, self._roles = node, identifier, roles
        self._contexts = (Proposed(1, abstract, _PLAIN), *contexts)
        self._values = {dimse.FIELD: field, dimse.PRIORITY: 0, dimse.AFFECTED_CLASS: abstract, **(more or {})}
        self._done = False

    def __enter__(self) -> _Asked:
        try:
            self.association: Association = self._node.opened(self._contexts, self._roles)
        except (Lost, Malformed) as error:
            raise NodeError(str(error), needed="a node that answers questions") from error
        if 1 not in self.association.contexts:
            self.association.release()
            raise NodeError(f"{self._node.title} does not take {self._contexts[0].abstract}")
        self._number = self.association.number()
        self.syntax = self.association.contexts[1].syntax
        try:
            self.association.send(
                1, {**self._values, dimse.MESSAGE: self._number}, encoded(self._identifier, self.syntax)
            )
        except Lost as error:
            self.association.close()
            raise NodeError(str(error), needed="a node that answers questions") from error
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        broken = isinstance(error, Lost | Malformed)
        if not broken and not self._done:
            self._cancel()
        self.association.release()
        if broken:
            raise NodeError(str(error), needed=f"an answer of {self._node.title}") from error

    def reply(self) -> Message:
        """Return the next answer."""
        answer = self.association.reply(self._number)
        self._done = answer.command.status & 0xFFFE != dimse.PENDING
        return answer

    def _cancel(self) -> None:
        """Take the question back and hear it out."""
        try:
            self.association.send(1, {dimse.FIELD: dimse.C_CANCEL, dimse.REPLIED_TO: self._number})
            while not self._done:
                self.reply()
        except (Lost, Malformed):
            pass  # it was to end anyway

    def check(self, answer: Message) -> None:
        """Raise `NodeError` unless the last answer says success."""
        command = answer.command
        if command.status != dimse.SUCCESS:
            why = command.texts.get(dimse.COMMENT, "")
            raise NodeError(f"{self._node.title} answers {command.status:04x} {why}".rstrip(), needed="0000")

    def retrieved(self, answer: Message) -> Retrieved:
        """Return what the last answer says of the instances."""
        self._done = True
        numbers = answer.command.numbers
        if dimse.COMPLETED not in numbers and answer.command.status != dimse.SUCCESS:
            self.check(answer)
        refused: tuple[str, ...] = ()
        if answer.data:
            listed = decoded(answer.data, self.syntax).get("FailedSOPInstanceUIDList", None) or ()
            refused = (listed,) if isinstance(listed, str) else tuple(str(uid) for uid in listed)
        return Retrieved(
            answer.command.status,
            numbers.get(dimse.COMPLETED, 0),
            numbers.get(dimse.FAILED, 0),
            numbers.get(dimse.WARNED, 0),
            refused,
            answer.command.texts.get(dimse.COMMENT, ""),
        )
