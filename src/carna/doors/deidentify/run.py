"""What holds for all of one object while it is de-identified: profile, project, patient, what to look for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from carna.doors.deidentify.clock import Shift, seconds_of
from carna.doors.deidentify.profile import Action, Profile, actions
from carna.doors.deidentify.project import Project
from carna.doors.deidentify.words import Known, known

# Names and numbers at the top of an object that identify wherever they are repeated in it.
_NAMES: Final = (
    0x00100010, 0x00101001, 0x00101005, 0x00101060, 0x00080090, 0x00081048, 0x00081050, 0x00081060,
    0x00081070, 0x00102297, 0x00321032, 0x00400006,
)  # fmt: skip
_NUMBERS: Final = (
    0x00100020, 0x00101000, 0x00080050, 0x00102154, 0x00101090, 0x00380010, 0x00402016, 0x00402017,
)  # fmt: skip
_PLACES: Final = (0x00080080, 0x00080081)


@final
@dataclass(frozen=True, slots=True)
class Run:
    """One object on its way.

    Parameters
    ----------
    patient : str
        Pseudonym.
    shift : Shift
        How dates move, if the profile moves them.
    known : Known
        What to look for in text that stays.
    by_position : bool
        Whether items of this report refer to each other by where they stand.
    uids : dict
        New UID to old; filled on the way, for the vault.
    """

    profile: Profile
    project: Project
    plan: Mapping[int, Action]
    person: str
    patient: str
    shift: Shift
    known: Known
    by_position: bool = False
    uids: dict[str, str] = field(default_factory=dict)

    def uid(self, old: str) -> str:
        """Return the UID in place of another, and remember the pair."""
        new = self.project.uid(old)
        self.uids[new] = old
        return new


def begin(ds: Dataset, profile: Profile, project: Project, *, by_position: bool = False) -> Run:
    """Return the run for an object: who the patient is, what is known of them."""
    encodings = convert_encodings(ds.get("SpecificCharacterSet") or None)
    person = person_of(ds, encodings)
    names = tuple(t for tag in _NAMES for t in text_at(ds, tag, encodings).split("\\") if t)
    # A place that may be named is not looked for.
    tags = _NUMBERS if profile.retain_institution_identity else _NUMBERS + _PLACES
    numbers = tuple(t for tag in tags for t in text_at(ds, tag, encodings).split("\\") if t)
    study_s = seconds_of(text_at(ds, 0x00080030, encodings)) or 0
    shift = Shift(project.shift(person), study_s)
    pseudonym = project.pseudonym(person)
    # What is the project's own names no one, and stays where it is when an object comes again.
    strangers = tuple(t for t in names + numbers if not project.knows(t))
    return Run(
        profile,
        project,
        actions(profile),
        person,
        pseudonym,
        shift,
        known(tuple(t for t in names if t in strangers), tuple(t for t in numbers if t in strangers)),
        by_position,
    )


def person_of(ds: Dataset, encodings: list[str]) -> str:
    """Return the text that a patient's pseudonym follows from: the id and who gave it.

    Without an id it is the name and the birth date, without these the study.
    """
    id, issuer, name, birth, study = (
        text_at(ds, tag, encodings) for tag in (0x00100020, 0x00100021, 0x00100010, 0x00100030, 0x0020000D)
    )
    if id:
        return f"{id}\0{issuer}" if issuer else id
    return f"\0{name}\0{birth}" if name else f"\0\0{study}"


def text_at(ds: Dataset, tag: int, encodings: list[str]) -> str:
    """Return the text of an element, "" where there is none, without changing the data set."""
    return text_of(ds.get_item(tag), encodings) if tag in ds else ""


def text_of(element: Any, encodings: list[str]) -> str:
    """Return the text of an element, values apart by backslashes, without the padding."""
    value = element.value
    if element.VR == "SQ":
        return ""
    if isinstance(element, RawDataElement):
        data = value or b""
        if data.isascii() and b"\x1b" not in data:
            return str(data.decode("ascii").strip("\0 "))
        return str(decode_bytes(data, encodings, {"\r", "\n", "\t", "\f", "\\", "^", "="}).strip("\0 "))
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("latin-1").strip("\0 ")
    if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue":
        return "\\".join(str(v) for v in value).strip("\0 ")
    return str(value).strip("\0 ")
