"""What all services of a listener share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, final

from carna.node.dimse.exchange import Association
from carna.node.dimse.keeper import Keeper
from carna.node.dimse.pdu import Proposed, Role
from carna.node.dimse.reports import Reports


class Opened(Protocol):
    """Opens an association to another node."""

    def __call__(
        self,
        at: tuple[str, int],
        called: str,
        calling: str,
        contexts: Sequence[Proposed],
        roles: Sequence[Role] = (),
    ) -> Association:
        """Return the association.

        Raises
        ------
        Malformed, Lost
            There is none.
        """
        ...


@final
@dataclass(frozen=True, slots=True)
class Desk:
    """What all services of a listener share.

    Parameters
    ----------
    keeper : Keeper
    opened : Opened
        For C-MOVE and for reports of commitments.
    reports : Reports or None
        Where reports of commitments that we asked for arrive.
    later : callable
        Does something in a thread of the listener; False where too much waits there already.
    stopping : threading.Event
        Set when the listener ends.
    """

    keeper: Keeper
    opened: Opened
    reports: Reports | None
    later: Callable[[Callable[[], None]], bool]
    stopping: threading.Event
