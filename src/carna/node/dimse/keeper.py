"""What the DICOM network needs of the station that stands behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, final

from pydicom.dataset import Dataset

Service = Literal["echo", "store", "find", "get", "move", "commit"]
SERVICES: tuple[Service, ...] = ("echo", "store", "find", "get", "move", "commit")


@final
@dataclass(frozen=True, slots=True)
class Incoming:
    """One instance as it came over the wire.

    Parameters
    ----------
    sop_class, sop_instance, transfer_syntax : str
        UIDs.
    data : bytes
        The data set, encoded in ``transfer_syntax``, without preamble and file meta information.
    calling, called, address : str
        AE title of the sender, the AE title it called, and the address it came from.
    """

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    data: bytes
    calling: str
    called: str
    address: str


@final
@dataclass(frozen=True, slots=True)
class Stored:
    """An instance that can be sent: its UIDs and its Part-10 file."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    path: Path


@final
class Refused(Exception):
    """An instance, or a question, is not taken.

    Parameters
    ----------
    status : int
        DICOM status that the peer is told: 0xA700 out of resources, 0xC000 cannot understand.
    why : str
        Its error comment; 64 characters reach the peer.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(status, why)
        self.status = status
        self.why = why


class Keeper(Protocol):
    """The station, as the network sees it. Its methods are called from many threads at once."""

    def allows(self, calling: str, called: str, address: str, service: str) -> bool:
        """Whether a caller may use one of `SERVICES`; asked at the association and for every message."""
        ...

    def keep(self, one: Incoming) -> None:
        """Keep an instance; return only when it is durable and catalogued.

        Raises
        ------
        Refused
            The sender is told the status.
        """
        ...

    def find(self, level: str, identifier: Dataset) -> Iterator[Dataset]:
        """Yield what matches at PATIENT, STUDY, SERIES or IMAGE; each answer holds the keys asked for."""
        ...

    def retrieve(self, identifier: Dataset) -> Sequence[Stored]:
        """Return the instances of an identifier of unique keys."""
        ...

    def holds(self, pairs: Sequence[tuple[str, str]]) -> frozenset[str]:
        """Return the instances of (SOP class, SOP instance) that are here and intact on the disk now."""
        ...

    def peer(self, title: str) -> tuple[str, int] | None:
        """Return host and port where an AE title listens, or None for a stranger."""
        ...
