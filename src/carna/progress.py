"""Progress and cancellation: what an engine takes, what ``Job`` wraps.

An engine takes ``progress: Progress = SILENT`` and calls ``progress(done)`` with the
fraction done (0 to 1) at least once a second; the call raises ``Cancelled`` when the
person at the other end has had enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from carna.errors import Cancelled

T = TypeVar("T")


def _ignore(done: float, what: str) -> None:
    """Report to nobody."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Progress:
    """A fraction between 0 and 1 told to whoever listens, who may call a halt.

    Parameters
    ----------
    report : callable(done, what)
        Called with the fraction done (0 to 1) and a few words.
    cancelled : callable() -> bool
        Asked at every step; ``True`` ends the work with `Cancelled`.
    """

    report: Callable[[float, str], None] = _ignore
    cancelled: Callable[[], bool] = _never

    def __call__(self, done: float, what: str = "") -> None:
        """Say how much is done (0 to 1), and stop here if asked to."""
        if self.cancelled():
            raise Cancelled
        self.report(done, what)

    def part(self, start: float, stop: float) -> Progress:
        """Return a progress whose 0 to 1 is this one's ``start`` to ``stop``."""
        return Progress(lambda done, what: self(start + (stop - start) * done, what), self.cancelled)

    def over(self, things: Iterable[T], total: int, what: str = "") -> Iterator[T]:
        """Yield ``things`` and report after each one of ``total``."""
        for n, thing in enumerate(things, 1):
            yield thing
            self(n / max(total, 1), what)


SILENT = Progress()
