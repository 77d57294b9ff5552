"""Every element of a data set, at every depth: the action its tag asks for, and what the action does.

Elements that stay are passed on as the bytes they came in; nothing is decoded that need not be. Attributes
that the table does not know are treated by what they are: a person's name is emptied, a date follows the
dates, prose is cleaned or emptied, an unknown UID is replaced, an unknown tag is removed.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any, Final

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import STANDARD_VR

from carna.doors.deidentify.clock import time_of
from carna.doors.deidentify.content import Fate, code_fate, content_fate, note_fate, nothing_said
from carna.doors.deidentify.dummies import REMOVED, dummy
from carna.doors.deidentify.profile import Action, Profile, basic, safe_private, single_attributes
from carna.doors.deidentify.run import Run, text_at, text_of
from carna.doors.deidentify.words import safe

Elements = dict[BaseTag, Any]
_CONTENT, _ANNOTATIONS = 0x0040A730, 0x0040B020
# Sequences whose items say something by value type, concept name and value.
_CONTENT_ITEMS: Final = frozenset((_CONTENT, 0x00400555, 0x00400610, 0x00400612))
_PATIENT_NAME, _PATIENT_ID, _ISSUER, _SUBJECT_ID, _AGE = (
    0x00100010,
    0x00100020,
    0x00100021,
    0x00120040,
    0x00101010,
)
_MIME, _DOCUMENT = 0x00420012, 0x00420011
_NOTE, _PIXELS = 0x00700006, 0x7FE00010
# UIDs that say what a thing is, not which one: classes, syntaxes, coding schemes (never replaced).
_KINDS: Final = frozenset((
    0x00080016, 0x0008001A, 0x0008001B, 0x00080062, 0x0008010C, 0x00080117, 0x00080118, 0x0008040E,
    0x00081150, 0x0008115A, 0x00083002, 0x00340003, 0x04000010, 0x04000510, 0x30100052, 0x30100053,
))  # fmt: skip
# Not in the table, and yet about a person, a place or a device: our own rule for them.
_BEYOND: Final = {
    0x00100033: Action.REMOVE,  # birth and death date in another calendar
    0x00100034: Action.REMOVE,
    0x00181803: Action.REMOVE,  # address of a time server
    0x00401006: Action.EMPTY,  # numbers of orders
    0x00401007: Action.EMPTY,
    0x00402006: Action.EMPTY,
    0x00402007: Action.EMPTY,
    0x0040A074: Action.REMOVE,  # identifiers hidden in bytes, signatures, encrypted copies
    0x0040A089: Action.REMOVE,
    0x04000120: Action.REMOVE,
    0x04000500: Action.REMOVE,
    0x0008041B: Action.REMOVE,
    0x0008041C: Action.REMOVE,
    0x00686300: Action.REMOVE,
    0x00720008: Action.EMPTY,  # names that no PN holds
    0x00720010: Action.EMPTY,
    0x0074100C: Action.EMPTY,
    0x21000160: Action.EMPTY,
    0x003A0020: Action.CLEAN,  # labels typed at a cart
    0x003A0203: Action.CLEAN,
    0x00700006: Action.DUMMY,
    0x0040A160: Action.DUMMY,
}
_OF_DEVICES: Final = frozenset((0x00181003, 0x00181010, 0x00181011, 0x30020020))
_PROSE: Final = frozenset(("ST", "LT", "UT"))
_SCRUBBED: Final = frozenset(("LO", "SH", "ST", "LT", "UT", "UC"))
_TEXT: Final = _SCRUBBED | {"CS"}
_LENGTHS: Final = {"LO": 64, "SH": 16, "CS": 16, "ST": 1024}
_CODE_VALUES: Final = frozenset((0x00080100, 0x00080119))
_SCHEME_URLS: Final = frozenset((0x0008010E, 0x00080120))
_REPRESENTATIONS: Final = frozenset(str(vr) for vr in STANDARD_VR) - {"UN"}
_BLOBS: Final = frozenset(("OB", "UN"))
_BLOB_LOOKED_AT: Final = 1 << 20
_TEMPORAL: Final = frozenset(("DA", "TM", "DT"))


def cleaned(ds: Dataset, run: Run, encodings: list[str]) -> Elements:
    """Return the elements that stay of a data set or an item; it is not changed itself."""
    out: Elements = {}
    private: Elements = {}
    for tag in ds.keys():  # noqa: SIM118 - a data set iterates over decoded elements
        element = ds.get_item(tag)
        number, group = int(tag), tag >> 16
        if group & 1:
            private[tag] = element
            continue
        # Commands, file meta and media directories are not of this object; group lengths are written anew.
        if group < 8 or not number & 0xFFFF:
            continue
        kind = group >> 8
        if kind in (0x50, 0x60):
            kept = _graphic(ds, element, number, run, encodings)
        else:
            kept = _one(ds, element, number, run, encodings)
        if kept is not None:
            # What is no tuple could be changed in one object and change in the other.
            out[tag] = copy.copy(kept) if kept is element and isinstance(kept, DataElement) else kept
    if private and run.profile.retain_safe_private:
        out.update(_listed(ds, private, run, encodings))
    return out


def encodings_of(ds: Dataset, parent: list[str] | None = None) -> list[str]:
    """Return the Python codecs of a data set's text; an item without its own takes its parent's."""
    told = ds.get("SpecificCharacterSet")
    if told is None and parent is not None:
        return parent
    return list(convert_encodings(told or None))


@lru_cache(maxsize=4096)
def otherwise(number: int, vr: str, profile: Profile) -> Action:
    """Return the action for an attribute that the table does not know, by what it is."""
    if number == _NOTE and (profile.clean_descriptors or profile.clean_graphics):
        return Action.CLEAN
    if number in _BEYOND:
        return _BEYOND[number]
    if number in _OF_DEVICES:
        return Action.KEEP if profile.retain_device_identity else Action.EMPTY
    if _dictionary(number) is None:
        return Action.REMOVE
    if vr in _TEMPORAL:
        kept = Action.KEEP if profile.retain_full_dates else Action.EMPTY
        return Action.CLEAN if profile.retain_modified_dates else kept
    if vr == "UI":
        return Action.KEEP if number in _KINDS or profile.retain_uids else Action.UID
    if vr in _PROSE:
        # A dummy is valid where an attribute has to have a value, and where it has not.
        return Action.CLEAN if profile.clean_descriptors else Action.DUMMY
    if vr in ("PN", "AE") or (vr == "UR" and number not in _SCHEME_URLS):
        return Action.EMPTY
    return Action.KEEP


@lru_cache(maxsize=8192)
def _dictionary(number: int) -> str | None:
    try:
        return str(dictionary_VR(number))
    except KeyError:
        return None


def vr_of(element: Any, number: int) -> str:
    """Return the value representation: the file's, or the dictionary's where the file says none."""
    vr = element.VR
    return str(vr) if vr in _REPRESENTATIONS else _dictionary(number) or "UN"


def _one(ds: Dataset, element: Any, number: int, run: Run, encodings: list[str]) -> Any:
    vr = vr_of(element, number)
    action = run.plan.get(number) or otherwise(number, vr, run.profile)
    if number == _ANNOTATIONS:
        return _items(element, run, encodings, note_fate)
    match action:
        case Action.REMOVE:
            return None
        case Action.KEEP:
            return _kept(element, number, vr, run, encodings)
        case Action.CLEAN:
            return _clean(ds, element, number, vr, run, encodings)
        case _ if vr == "UI" and action is not Action.EMPTY:
            return _new_uids(element, vr, run, encodings)
        case Action.UID:
            # A sequence is to have the UIDs within it replaced; a UID that is written as anything else, goes.
            return _items(element, run, encodings) if vr == "SQ" else None
        case _:
            return _hollow(ds, element, number, vr, action, run, encodings)


def _kept(element: Any, number: int, vr: str, run: Run, encodings: list[str]) -> Any:
    if vr == "SQ":
        return _items(element, run, encodings)
    if (vr in _SCRUBBED or _dictionary(number) in _SCRUBBED) and number not in _CODE_VALUES:
        return _scrubbed(element, vr, run, encodings)
    if number in _CODE_VALUES:
        # A SNOMED code may look like an identity number; a patient's own number it is not.
        held = isinstance(element.value, bytes) and run.known.is_in(element.value)
        return made(element, vr, b"REMOVED") if held else element
    if number == _AGE and run.profile.cap_age_a is not None:
        age, most = text_of(element, encodings), run.profile.cap_age_a
        too_old = age[:-1].isdecimal() and age.endswith("Y") and int(age[:-1]) > most
        return made(element, vr, f"{most:03d}Y".encode()) if too_old else element
    if vr in _BLOBS and number != _PIXELS and isinstance(element.value, bytes):
        # A block of bytes may hide a letter; where what is known of the patient is found in it, it goes.
        small = len(element.value) <= _BLOB_LOOKED_AT
        return None if small and run.known.is_in(element.value) else element
    return element


def _scrubbed(element: Any, vr: str, run: Run, encodings: list[str]) -> Any:
    """Return text that stays without the identities in it: the same element where there are none."""
    data = element.value
    if isinstance(element, RawDataElement):
        data = data or b""
        if data.isascii() and b"\x1b" not in data and not run.known.may_be_in(data):
            return element
    text = text_of(element, encodings)
    said = "\\".join(run.known.scrub(t) for t in text.split("\\"))
    return element if said == text else worded(element, vr, said if said.strip("\\") else REMOVED)


def _hollow(
    ds: Dataset, element: Any, number: int, vr: str, action: Action, run: Run, encodings: list[str]
) -> Any:
    """Return the element emptied, or with a dummy; the patient's name and id become the pseudonym."""
    if number in (_PATIENT_ID, _PATIENT_NAME, _SUBJECT_ID) and vr != "SQ":
        return made(element, vr, _pseudonym(ds, run, encodings).encode())
    if vr == "SQ" and action is Action.EMPTY:
        return DataElement(element.tag, "SQ", [])
    if vr == "SQ" and number == _CONTENT:
        return DataElement(element.tag, "SQ", [nothing_said()])
    if vr == "SQ":
        items = _items(element, run, encodings).value[:1]
        return DataElement(element.tag, "SQ", [hollow(item, run) for item in items])
    if action is Action.EMPTY or (number not in run.plan and not element.value):
        return made(element, vr, b"")
    mime = text_at(ds, _MIME, encodings) if number == _DOCUMENT else ""
    return made(element, vr, dummy(number, vr, _length(element), mime))


def _length(element: Any) -> int:
    return len(element.value or b"") if isinstance(element, RawDataElement) else 0


def hollow(item: Dataset, run: Run) -> Dataset:
    """Return an item, cleaned already, in which nothing is said any more but its kind."""
    out = like(item, {})
    for tag in item.keys():  # noqa: SIM118 - a data set iterates over decoded elements
        element = item.get_item(tag)
        number = int(tag)
        vr = vr_of(element, number)
        if vr == "SQ":
            out[tag] = DataElement(tag, "SQ", [hollow(one, run) for one in item[tag].value or []])
        elif number in run.plan or vr in ("UI", "CS"):
            out[tag] = element
        else:
            out[tag] = made(element, vr, dummy(number, vr, _length(element)))
    return out


def _pseudonym(ds: Dataset, run: Run, encodings: list[str]) -> str:
    """Return the pseudonym for this place: an item may speak of another patient than the object does."""
    id, issuer = text_at(ds, _PATIENT_ID, encodings), text_at(ds, _ISSUER, encodings)
    if not id or id == run.person.split("\0")[0]:
        return run.patient
    return run.project.pseudonym(f"{id}\0{issuer}" if issuer else id)


def _clean(ds: Dataset, element: Any, number: int, vr: str, run: Run, encodings: list[str]) -> Any:
    """Return the element with values that identify no one, or what the Basic Profile leaves of it."""
    if vr == "SQ":
        return _items(element, run, encodings, content_fate if number in _CONTENT_ITEMS else code_fate)
    if vr in _TEMPORAL:
        moved = _moved(ds, element, number, vr, run, encodings)
        if moved is not None:
            return moved
    elif vr == "AE":
        text = text_of(element, encodings)
        return made(element, vr, run.project.label("AE", text, 16).encode() if text else b"")
    elif vr in _TEXT:
        said = [safe(run.known.scrub(t))[: _LENGTHS.get(vr)] for t in text_of(element, encodings).split("\\")]
        if any(said):
            joined = "\\".join(said)
            return worded(element, vr, joined.upper() if vr == "CS" else joined)
    fallback = _basic().get(number) or _BEYOND.get(number, Action.DUMMY)
    if fallback is Action.REMOVE:
        return None
    fallback = Action.EMPTY if fallback is Action.CLEAN else fallback
    return _hollow(ds, element, number, vr, fallback, run, encodings)


@lru_cache(maxsize=1)
def _basic() -> dict[int, Action]:
    return {int(row["tag"], 16): basic(row) for row in single_attributes()}


def _moved(ds: Dataset, element: Any, number: int, vr: str, run: Run, encodings: list[str]) -> Any:
    """Return a DA, TM or DT moved by the patient's offset; None if a value can't be read."""
    values = text_of(element, encodings).split("\\")
    if not any(values):
        return made(element, vr, b"")
    if vr == "TM":
        moved = [run.shift.time(v) for v in values]
    elif vr == "DT":
        moved = [run.shift.moment(v) for v in values]
    else:
        partner = time_of(number)
        times = text_at(ds, partner, encodings).split("\\") if partner else []
        times += [""] * (len(values) - len(times))
        moved = [run.shift.date(v, t) for v, t in zip(values, times, strict=False)]
    readable = [m for m in moved if m is not None]
    return made(element, vr, "\\".join(readable).encode()) if len(readable) == len(moved) else None


def _new_uids(element: Any, vr: str, run: Run, encodings: list[str]) -> Any:
    old = [uid.strip("\0 ") for uid in text_of(element, encodings).split("\\")]
    return made(element, vr, "\\".join(run.uid(uid) if uid else "" for uid in old).encode())


def _items(element: Any, run: Run, encodings: list[str], fate: Fate | None = None) -> Any:
    """Return a sequence with each item cleaned; ``fate`` says of an item how much of it stays."""
    if isinstance(element, RawDataElement):
        element = convert_raw_data_element(element, encoding=encodings)
    left: list[Dataset] = []
    for item in element.value or []:
        own = encodings_of(item, encodings)
        told = fate(item, run, own) if fate is not None else None
        if told is not None and told.action is Action.REMOVE:
            continue
        stays = like(item, cleaned(item, run, own))
        if told is not None and told.action is Action.DUMMY:
            stays = hollow(stays, run)
        if told is not None and told.text:
            tag = BaseTag(told.tag)
            stays[tag] = DataElement(tag, _dictionary(told.tag) or "UT", told.text)
        left.append(stays)
    return DataElement(element.tag, "SQ", left, is_undefined_length=element.is_undefined_length)


def like(ds: Dataset, elements: Elements) -> Dataset:
    """Return a data set of other elements that is written the way the first one was."""
    character_set = ds.original_character_set or "iso8859"
    out = Dataset(elements, parent_encoding=character_set)
    implicit, little = ds.original_encoding
    if implicit is not None:
        out.set_original_encoding(implicit, little, character_set)
    out.is_undefined_length_sequence_item = ds.is_undefined_length_sequence_item
    return out


def _graphic(ds: Dataset, element: Any, number: int, run: Run, encodings: list[str]) -> Any:
    """Return what stays of overlays (60xx) and curves (50xx).

    Without Clean Graphics nothing does: rows and columns of an overlay without its data break the object.
    With it, an overlay stays that says it is a region of interest; one of graphics may be writing.
    """
    if not run.profile.clean_graphics:
        return None
    group, offset = number & 0xFFFF0000, number & 0xFFFF
    if group >> 24 == 0x60 and text_at(ds, group | 0x0040, encodings) != "R":
        return None
    if offset in (0x0022, 0x1500, 0x2500, 0x4000):
        said = safe(run.known.scrub(text_of(element, encodings)))
        return worded(element, vr_of(element, number), said) if said else None
    audio = group >> 24 == 0x50 and 0x2000 <= offset <= 0x200E
    return None if audio else element


def _listed(ds: Dataset, private: Elements, run: Run, encodings: list[str]) -> Elements:
    """Return the private elements of the standard's list, with their creators."""
    out: Elements = {}
    for tag, element in private.items():
        offset = tag & 0xFFFF
        creator = BaseTag((tag & 0xFFFF0000) | offset >> 8)
        if offset < 0x1000 or creator not in private:
            continue
        owner = text_of(private[creator], encodings)
        vr = safe_private().get((tag >> 16, offset & 0xFF, owner))
        if vr is None:
            continue
        kept = _private(element, vr, run, encodings)
        if kept is not None:
            out[tag], out[creator] = kept, private[creator]
    return out


def _private(element: Any, listed: str, run: Run, encodings: list[str]) -> Any:
    written = None if element.VR in (None, "UN") else str(element.VR)
    vr = written or listed
    if vr == "SQ" and isinstance(element, RawDataElement):
        # Bytes without a representation may be anything: they are not opened on the list's word.
        return _items(element, run, encodings) if written == "SQ" else None
    if vr == "SQ":
        return _items(element, run, encodings)
    if vr == "UI":
        return element if run.profile.retain_uids else _new_uids(element, vr, run, encodings)
    if vr in _TEMPORAL or vr == "PN":
        return element if run.profile.retain_full_dates and vr != "PN" else None
    if vr in _SCRUBBED:
        return _scrubbed(element, vr, run, encodings)
    hides = (
        isinstance(element.value, bytes)
        and (written is None or vr in _BLOBS)
        and run.known.is_in(element.value)
    )
    return None if hides or vr == "" else element


def made(element: Any, vr: str, data: bytes) -> RawDataElement:
    """Return an element with other bytes, padded to an even length."""
    if len(data) % 2:
        data += b"\0" if vr == "UI" else b" "
    if isinstance(element, RawDataElement):
        written = element.VR
        implicit, little = element.is_implicit_VR, element.is_little_endian
        if written == "UN":
            written = vr
        return RawDataElement(element.tag, written, len(data), data, 0, implicit, little)
    return RawDataElement(element.tag, vr, len(data), data, 0, False, True)


def worded(element: Any, vr: str, text: str) -> Any:
    """Return an element with other text, which the writer encodes in the object's character set."""
    if text.isascii():
        return made(element, vr, text.encode())
    several = vr in ("LO", "SH", "CS", "UC")
    return DataElement(element.tag, vr, text.split("\\") if several and "\\" in text else text)
