"""Coded entries of DICOM objects as concepts and units, and item ids made from them.

A code that Carna knows, in its own scheme or an older one, becomes that concept; any other is
kept as the sender wrote it. Retired SNOMED designators (SRT, SNM3, 99SDM) are read as SCT.
"""

from __future__ import annotations

import re
from typing import Final, final

from pydicom.dataset import Dataset

from carna import codes
from carna.codes import Concept
from carna.doors.dicom.header import item, text
from carna.errors import UnitError
from carna.units import dimension

_RETIRED_SNOMED: Final = frozenset({"SRT", "SNM3", "99SDM"})
# What senders write where a UCUM code should stand.
_UNIT_SPELLINGS: Final = {
    "bpm": "{H.B.}/min", "beats/min": "{H.B.}/min", "mmHg": "mm[Hg]", "msec": "ms", "sec": "s",
    "degrees": "deg", "degree": "deg", "°": "deg", "µV": "uV", "μV": "uV", "percent": "%", "cc": "mL",
    "ml": "mL", "no units": "1", "degC": "Cel", "years": "a", "Y": "a", "HU": "[hnsf'U]",
}  # fmt: skip
_NAMES: Final = {row: name.lower() for name, row in reversed(tuple(codes.ALL.items()))}


def concept(entry: Dataset | None) -> Concept | None:
    """Return the concept of an item of a code sequence, None if it says nothing."""
    if entry is None:
        return None
    value = text(entry, "CodeValue") or text(entry, "LongCodeValue") or text(entry, "URNCodeValue")
    scheme, meaning = text(entry, "CodingSchemeDesignator"), text(entry, "CodeMeaning")
    if scheme in _RETIRED_SNOMED:
        from pydicom.sr.coding import snomed_mapping

        if value in snomed_mapping["SRT"]:
            scheme, value = "SCT", snomed_mapping["SRT"][value]
    if not (value or meaning):
        return None
    return codes.find(scheme, value) or Concept(
        value or meaning[:16], scheme or "99UNKNOWN", meaning or value
    )


def coded(ds: Dataset | None, *keywords: str) -> Concept | None:
    """Return the concept of the first item down a path of sequences, None if there is none."""
    return concept(item(ds, *keywords))


def unit(entry: Dataset | None) -> str:
    """Return the UCUM unit of a measurement units item, "" if it is none that Carna knows."""
    if entry is None:
        return ""
    for spelling in (text(entry, "CodeValue"), text(entry, "CodeMeaning")):
        ucum = _UNIT_SPELLINGS.get(spelling, spelling)
        if ucum and known_unit(ucum):
            return ucum
    return ""


def known_unit(ucum: str) -> bool:
    """Whether a unit is one that can be calculated with."""
    try:
        dimension(ucum)
    except UnitError:
        return False
    return True


def word(name: str) -> str:
    """Return a text as one word of an item id, "" if it has no letter or digit.

    >>> word("QRS Duration (ms)")
    'qrs_duration_ms'
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:48].strip("_")


def name_of(what: Concept) -> str:
    """Return the word for a concept: its name in `carna.codes`, else its meaning, else its value."""
    return _NAMES.get(what) or word(what.meaning) or word(what.value) or "item"


@final
class Ids:
    """Hands out item ids, each once: the second ``cart.qt`` is ``cart.qt_2``."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}

    def new(self, wish: str) -> str:
        """Return the id wished for, or one with a number if it is taken."""
        given = wish
        while given in self._count:
            self._count[wish] += 1
            given = f"{wish}_{self._count[wish]}"
        self._count[given] = 1
        return given
