"""Reports of commitments that we asked for: they come in at the listener, and others wait for them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True)
class Report:
    """What a peer has committed itself to keep, and what not (with its reason), by SOP instance UID."""

    held: frozenset[str]
    failed: Mapping[str, int]


@final
class Reports:
    """Where reports of commitments that we asked for are waited for, by transaction UID."""

    def __init__(self) -> None:
        self._come: dict[str, Report | None] = {}
        self._changed = threading.Condition()

    def expect(self, transaction: str) -> None:
        """Say that a report will come; one that nobody expects is refused."""
        with self._changed:
            self._come[transaction] = None

    def take(self, transaction: str, report: Report) -> bool:
        """Take a report; False where nobody expects it."""
        with self._changed:
            if transaction not in self._come:
                return False
            self._come[transaction] = report
            self._changed.notify_all()
            return True

    def wait(self, transaction: str, seconds: float) -> Report | None:
        """Return the report, or None where it has not come in ``seconds``."""
        with self._changed:
            self._changed.wait_for(lambda: self._come.get(transaction) is not None, seconds)
            return self._come.get(transaction)

    def forget(self, transaction: str) -> None:
        """Expect it no more."""
        with self._changed:
            self._come.pop(transaction, None)
