"""Findings: a flat tuple of items, what they were made of, and who reviewed them."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from carna.codes import Concept
from carna.errors import ContractError, InputError
from carna.findings.items import Absent, Item

Status = Literal["preliminary", "final"]
Verdict = Literal["accepted", "rejected", "supplemented"]
# The name space of every UID Carna makes: uuid5 of this and the content.
NAMESPACE = uuid.UUID("6f0ac2c6-4d19-5b0e-9a5e-4c41524e4131")


@dataclass(frozen=True, slots=True)
class Input:
    """One thing a run read: a part by its UID, or earlier findings; ``sha256`` of its values."""

    name: str
    uid: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """How the findings were made.

    Parameters
    ----------
    application, version : str
        ``prior`` findings that arrived from elsewhere name their sender.
    settings : mapping
    inputs : tuple of Input
    seed : int
    models : mapping
        Network name to sha256.
    cites : tuple of str
        Sources of the methods, as ``doi:...`` or a URL.
    seconds, started, hardware, packages
        The run itself; left out of every UID.
    """

    application: str
    version: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    seed: int = 0
    models: Mapping[str, str] = field(default_factory=dict)
    cites: tuple[str, ...] = ()
    seconds: float = 0.0
    started: str = ""
    hardware: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Review:
    """What a person said of earlier findings (IHE AIRAI: accepted, rejected, supplemented).

    Parameters
    ----------
    author, time : str
        A name; ISO 8601.
    verdicts : mapping
        Item id to verdict; an id that is missing was left untouched, which is not truth.
    machine_first : bool or None
        Whether the reader had seen the machine's result before; None if not known.
    """

    author: str
    time: str
    verdicts: Mapping[str, Verdict]
    machine_first: bool | None = None

    def __post_init__(self) -> None:
        if not self.author.strip():
            raise InputError("a review by nobody", needed="the name of the reader")

    def takes(self, id: str) -> bool:
        """Whether the reader stands for this item: accepted it, or supplemented it."""
        return self.verdicts.get(id) in ("accepted", "supplemented")


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """Everything one run, one reader or one sender said about one study.

    Parameters
    ----------
    study, patient : str
        Study Instance UID and patient id.
    items : tuple of Item
        Ids are unique.
    manifest : Manifest
    high_stakes : bool
        The result can lead to treatment: stays preliminary until a named person accepts it.
    validated : bool
        Proven on real patients; if not, every rendering says "research use".
    synthetic : bool
        Of a virtual patient; refused as a clinical result.
    status : "preliminary" or "final"
        Final only with a review, and never of a virtual patient; where the stakes are high, only with
        an accepted or supplemented verdict on every item that is not absent.
    parent : str
        UID of the findings this corrects, "" for none.
    """

    study: str
    patient: str
    items: tuple[Item, ...]
    manifest: Manifest
    high_stakes: bool = False
    validated: bool = False
    synthetic: bool = False
    status: Status = "preliminary"
    parent: str = ""
    review: Review | None = None

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for item in self.items:
            if item.id in seen:
                raise ContractError(f"two items are called {item.id!r}", needed="each id once")
            seen.add(item.id)
        if self.status == "final" and self.review is None:
            raise InputError("final findings that nobody reviewed", needed="a review by a named person")
        if self.status == "final" and self.synthetic:
            raise InputError("final findings of a virtual patient", needed="preliminary: no clinical result")
        if self.status == "final" and self.high_stakes and self.review is not None:
            open_ = [i.id for i in self.items if not (isinstance(i, Absent) or self.review.takes(i.id))]
            if open_:
                raise InputError(
                    f"final findings of high stakes in which nobody accepted {', '.join(open_[:5])}",
                    needed="an accepted or supplemented verdict on each",
                    fix="give the verdict, or leave the item out",
                )

    @property
    def uid(self) -> str:
        """A DICOM UID of the content: study, application, settings, items; no clock time in it."""
        from carna.findings.wire import content_digest

        return self.derived_uid(content_digest(self))

    def derived_uid(self, *names: str) -> str:
        """Return the UID of something made from these findings, always the same for the same names."""
        text = "/".join((self.study, self.manifest.application, *names))
        return f"2.25.{uuid.uuid5(NAMESPACE, text).int}"

    def __getitem__(self, id: str) -> Item:
        """Return the item with this id."""
        for item in self.items:
            if item.id == id:
                return item
        raise KeyError(id)

    def get(self, id: str) -> Item | None:
        """Return the item with this id, or None."""
        return next((item for item in self.items if item.id == id), None)

    def coded(self, code: Concept) -> tuple[Item, ...]:
        """Return the items that speak of a concept."""
        return tuple(item for item in self.items if item.code == code)

    def corrected(self, items: Iterable[Item], review: Review, *, final: bool = False) -> Findings:
        """Return new findings in which ``items`` replace those of the same id, with this as parent.

        Items with a new id are added; a rejected item without replacement is left out. Nothing
        of the parent is edited. Made final where the stakes are high, what nobody accepted is left
        out too.

        Raises
        ------
        InputError
            If it can't be final: a virtual patient, or an item of the reader's own without a verdict.
        """
        new = {item.id: item for item in items}
        rejected = {id for id, verdict in review.verdicts.items() if verdict == "rejected"}
        # A reader's own item stays without a verdict too: that it lacks one is said, not swallowed.
        given = set(new)
        kept = [new.pop(i.id, i) for i in self.items if i.id in new or i.id not in rejected]
        if final and self.high_stakes:
            kept = [i for i in kept if i.id in given or isinstance(i, Absent) or review.takes(i.id)]
        status: Status = "final" if final else "preliminary"
        return replace(self, items=(*kept, *new.values()), parent=self.uid, review=review, status=status)


def sha256(data: bytes | memoryview) -> str:
    """Return the hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()
