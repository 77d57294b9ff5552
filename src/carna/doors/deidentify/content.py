"""Content items: what a report, an acquisition context or a waveform's annotation may still say.

The table of the standard speaks of concepts by code, scheme and value type. An item whose concept it does
not know stays if its value is a number, a code or coordinates; free text is cleaned or goes, a person
becomes a dummy, a moment follows the profile's dates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, final

from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset

from carna.doors.deidentify.profile import Action, content_actions
from carna.doors.deidentify.run import Run, text_at
from carna.doors.deidentify.words import safe

_VALUE_TYPE, _CONCEPT, _TEXT_VALUE, _NOTE = 0x0040A040, 0x0040A043, 0x0040A160, 0x00700006
_CODES: Final = (0x00080100, 0x00080119, 0x00080120)
_SCHEME, _BY_REFERENCE, _CHILDREN = 0x00080102, 0x0040DB73, 0x0040A730
_OLD_SNOMED: Final = frozenset(("SRT", "SNM3", "99SDM"))
# Schemes of codes that are the same everywhere; a local one may hold anything.
_SCHEMES: Final = frozenset((
    "SCT", "SRT", "SNM3", "DCM", "LN", "RADLEX", "I10", "I10P", "I9C", "I9", "ICD10", "ICD11", "UCUM", "FMA",
    "NCIt", "UMLS", "C4", "MDC", "ACR", "BI", "CDT", "HPC", "ATC", "RXNORM",
))  # fmt: skip


@final
@dataclass(frozen=True, slots=True)
class Told:
    """What becomes of one item: the action, and the text that is put back into it at ``tag``."""

    action: Action
    text: str = ""
    tag: int = _TEXT_VALUE


Fate = Callable[[Dataset, Run, list[str]], Told]


def content_fate(item: Dataset, run: Run, encodings: list[str]) -> Told:
    """Return what becomes of a content item (PS3.15 table E.3.4-1)."""
    kind = text_at(item, _VALUE_TYPE, encodings) or ("TEXT" if _TEXT_VALUE in item else "CONTAINER")
    code, scheme = concept(item, encodings)
    action = content_actions(run.profile).get((code, scheme, kind)) or _unlisted(kind, run)
    if action is Action.REMOVE and run.by_position:
        # Items are referred to by where they stand; one that went would move the others.
        action = Action.DUMMY
    if kind != "TEXT":
        # A reference with new UIDs and a person without a name are dummies already.
        hollow = action is Action.DUMMY and kind in ("NUM", "CODE", "CONTAINER")
        return Told(Action.REMOVE if action is Action.REMOVE else Action.DUMMY if hollow else Action.KEEP)
    text = run.known.scrub(text_at(item, _TEXT_VALUE, encodings))
    if action is Action.CLEAN:
        said = safe(text)
        return Told(Action.KEEP, said)
    # The text itself is a dummy by now, wherever it is not put back.
    return Told(action if action is Action.REMOVE else Action.KEEP, text if action is Action.KEEP else "")


def note_fate(item: Dataset, run: Run, encodings: list[str]) -> Told:
    """Return what becomes of a waveform's annotation: free text is cleaned or goes, the rest stays."""
    text = text_at(item, _NOTE, encodings)
    said = safe(run.known.scrub(text)) if run.profile.clean_descriptors else ""
    return Told(Action.KEEP if said or not text else Action.REMOVE, said, _NOTE)


def code_fate(item: Dataset, run: Run, encodings: list[str]) -> Told:
    """Return what becomes of a code among descriptors: one of a hospital's own scheme goes."""
    local = text_at(item, _SCHEME, encodings) not in _SCHEMES
    return Told(Action.REMOVE if local and any(tag in item for tag in _CODES) else Action.KEEP)


def concept(item: Dataset, encodings: list[str]) -> tuple[str, str]:
    """Return code and scheme of an item's concept name; old SNOMED codes as those of today."""
    names = item[_CONCEPT].value if _CONCEPT in item else None
    if not names:
        return "", ""
    code, scheme = text_at(names[0], _CODES[0], encodings), text_at(names[0], _SCHEME, encodings)
    if scheme in _OLD_SNOMED:
        return _today().get(code, code), "SCT"
    return code, scheme


@lru_cache(maxsize=1)
def _today() -> dict[str, str]:
    from pydicom.sr._snomed_dict import mapping

    return dict(mapping["SRT"])


def refers_by_position(ds: Dataset, encodings: list[str]) -> bool:
    """Whether items of a report refer to each other by where they stand in the tree."""
    if _BY_REFERENCE in ds:
        return True
    children = ds.get_item(_CHILDREN) if _CHILDREN in ds else None
    if isinstance(children, RawDataElement):
        children = convert_raw_data_element(children, encoding=encodings)
    items = children.value if children is not None else None
    return any(refers_by_position(item, encodings) for item in items or [])


def _unlisted(kind: str, run: Run) -> Action:
    profile = run.profile
    match kind:
        case "TEXT":
            return Action.CLEAN if profile.clean_descriptors else Action.REMOVE
        case "PNAME":
            return Action.DUMMY
        case "DATE" | "TIME" | "DATETIME":
            dates = profile.retain_full_dates or profile.retain_modified_dates
            return Action.KEEP if dates else Action.REMOVE
        case _:
            return Action.KEEP


def nothing_said() -> Dataset:
    """Return the content item that stands where content may not be missing and may not be told."""
    name = Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "121106", "DCM", "Comment"
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "TEXT"
    item.ConceptNameCodeSequence = [name]
    item.TextValue = "REMOVED"
    return item
