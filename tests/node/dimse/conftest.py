"""A station in memory, and a listener before it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from carna.node.dimse.keeper import Incoming, Refused, Stored
from carna.node.dimse.listen import Limits, Listener

KEYS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")


@dataclass
class Memory:
    """Keeps instances in a list; every answer it gives can be set by a test."""

    came: list[Incoming] = field(default_factory=list)
    files: list[Stored] = field(default_factory=list)
    heads: list[Dataset] = field(default_factory=list)
    peers: dict[str, tuple[str, int]] = field(default_factory=dict)
    refused: set[tuple[str, str]] = field(default_factory=set)  # (calling, service)
    lost: set[str] = field(default_factory=set)  # instances that are damaged on the disk
    raises: Exception | None = None
    slow: threading.Event | None = None
    asked: list[str] = field(default_factory=list)

    def allows(self, calling: str, called: str, address: str, service: str) -> bool:
        assert address == "127.0.0.1"
        return called == "CARNA" and not {(calling, service), (calling, "*")} & self.refused

    def keep(self, one: Incoming) -> None:
        if self.raises is not None:
            raise self.raises
        self.came.append(one)

    def find(self, level: str, identifier: Dataset) -> Iterator[Dataset]:
        self.asked.append(level)
        if self.raises is not None:
            raise self.raises
        for head in self.heads:
            if all(head.get(k) == identifier.get(k) for k in KEYS if identifier.get(k)):
                if self.slow is not None:
                    self.slow.wait(5)
                answer = Dataset()
                answer.SpecificCharacterSet = "ISO_IR 192"
                for element in identifier:
                    if element.keyword and element.keyword != "QueryRetrieveLevel":
                        setattr(answer, element.keyword, head.get(element.keyword, ""))
                yield answer

    def retrieve(self, identifier: Dataset) -> Sequence[Stored]:
        wanted = {k: identifier.get(k) for k in KEYS if identifier.get(k)}
        chosen = [
            file
            for file, head in zip(self.files, self.heads, strict=True)
            if all(head.get(k) in (v if not isinstance(v, str) else (v,)) for k, v in wanted.items())
        ]
        if not chosen:
            raise Refused(0xC001, "nothing")
        return chosen

    def holds(self, pairs: Sequence[tuple[str, str]]) -> frozenset[str]:
        here = {(one.sop_class, one.sop_instance) for one in self.came}
        return frozenset(uid for sop_class, uid in pairs if (sop_class, uid) in here) - self.lost

    def peer(self, title: str) -> tuple[str, int] | None:
        return self.peers.get(title)

    def add(self, path: Path) -> Stored:
        """Let a Part-10 file be found and retrieved."""
        from pydicom import dcmread

        from carna.node.dimse.give import described

        stored = described(path)
        self.files.append(stored)
        self.heads.append(dcmread(path, stop_before_pixels=True))
        return stored


@pytest.fixture
def keeper() -> Memory:
    return Memory()


Listens = Callable[..., Listener]


@pytest.fixture
def listens(keeper: Memory) -> Iterator[Listens]:
    """Start a listener at a free port of loopback; when the test ends no thread of it may be left."""
    before = set(threading.enumerate())
    with ExitStack() as stack:

        def start(of: Memory | None = None, **more: object) -> Listener:
            more.setdefault("limits", Limits(request_s=3.0, idle_s=10.0))
            return stack.enter_context(Listener(of or keeper, port=0, **more))  # type: ignore[arg-type]

        yield start
    left = [t for t in set(threading.enumerate()) - before if t.name.startswith("dimse")]
    assert not left
