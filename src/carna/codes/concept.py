"""Concept: one code of one scheme, and the short ways in which the tables write one down."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import final


@final
@dataclass(frozen=True, slots=True)
class Concept:
    """One coded concept; two are equal when scheme and value are.

    Parameters
    ----------
    value : str
        The code, at most 16 characters (DICOM's Code Value).
    scheme : str
        DICOM coding scheme designator, such as ``SCT``.
    meaning : str
        The words a person reads, at most 64 characters.
    unit : str
        UCUM unit that a measurement of this concept carries by default; empty where it has none.
    source : str
        Where the code was read.
    also : tuple of (scheme, value)
        Codes elsewhere for the same thing, understood when read and never written in place of this one.
    """

    value: str
    scheme: str
    meaning: str = field(compare=False)
    unit: str = field(default="", compare=False)
    source: str = field(default="", compare=False)
    also: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"{self.meaning} ({self.value}, {self.scheme})"


# A row names the context group it was read in, 0 where it stands in none; `also` is written "SCHEME:VALUE".


def row(scheme: str, value: str, meaning: str, cid: int, unit: str = "", *also: str) -> Concept:
    """Return a concept of pydicom's dictionary."""
    source = f"DICOM PS3.16 CID {cid}, pydicom 3.0.2" if cid else "DICOM PS3.16, pydicom 3.0.2"
    return elsewhere(scheme, value, meaning, unit, source, *also)


def elsewhere(scheme: str, value: str, meaning: str, unit: str, source: str, *also: str) -> Concept:
    """Return a concept that was read outside the dictionary of pydicom, with its source in words."""
    equal = []
    for code in also:
        other, _, other_value = code.partition(":")
        equal.append((other, other_value))
    if scheme == "MDC":
        # DICOM writes partition:code; FHIR and HL7 write one number, partition * 65536 + code.
        partition, _, code = value.partition(":")
        equal.append(("MDC", str((int(partition) << 16) + int(code))))
    return Concept(value, scheme, meaning, unit, source, tuple(equal))


sct, ln, dcm, mdc = (partial(row, scheme) for scheme in ("SCT", "LN", "DCM", "MDC"))


def own(value: str, meaning: str, unit: str = "") -> Concept:
    """Return a concept of our own, for what no standard known here can say."""
    return Concept(value, "99CARNA", meaning, unit, "Carna")
