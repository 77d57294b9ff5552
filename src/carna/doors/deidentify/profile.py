"""What may stay: the Basic Application Confidentiality Profile and its options (DICOM PS3.15 Annex E).

The tables of the standard are read from data files; nothing of them is written into the code. An option
overrides the profile. Where two options speak of one attribute, the one that cleans wins over the one
that keeps: dates that are shifted are shifted on a detector's calibration too.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, final

from carna.errors import InputError


class Action(StrEnum):
    """What is done with one attribute, in the letters of the standard."""

    DUMMY = "D"
    EMPTY = "Z"
    REMOVE = "X"
    KEEP = "K"
    CLEAN = "C"
    UID = "U"


# The lightest action depends on the attribute's type in the object at hand. These are valid for every type:
# an empty or a dummy value where a missing one would do breaks no object.
_COMPOUND: Final = {
    "X/Z": Action.EMPTY,
    "X/D": Action.DUMMY,
    "Z/D": Action.DUMMY,
    "X/Z/D": Action.DUMMY,
    "X/Z/U*": Action.UID,
}
# CID 7050 De-identification Method.
METHODS: Final = MappingProxyType(
    {
        "basic": ("113100", "Basic Application Confidentiality Profile"),
        "clean_pixel_data": ("113101", "Clean Pixel Data Option"),
        "clean_graphics": ("113103", "Clean Graphics Option"),
        "clean_structured_content": ("113104", "Clean Structured Content Option"),
        "clean_descriptors": ("113105", "Clean Descriptors Option"),
        "retain_full_dates": ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
        "retain_modified_dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
        "retain_patient_characteristics": ("113108", "Retain Patient Characteristics Option"),
        "retain_device_identity": ("113109", "Retain Device Identity Option"),
        "retain_uids": ("113110", "Retain UIDs Option"),
        "retain_safe_private": ("113111", "Retain Safe Private Option"),
        "retain_institution_identity": ("113112", "Retain Institution Identity Option"),
    }
)


@final
@dataclass(frozen=True, slots=True)
class Profile:
    """The Basic Profile, and the options that are taken with it.

    Parameters
    ----------
    retain_safe_private : bool
        Keep the private elements of the standard's list with their creators.
    retain_uids, retain_device_identity, retain_institution_identity, retain_patient_characteristics : bool
    retain_full_dates, retain_modified_dates : bool
        Keep dates as they are, or shifted by one secret offset a patient; never both.
    clean_descriptors, clean_structured_content, clean_graphics : bool
        Keep the known-safe words of descriptions; the content of reports; overlays that are regions.
    clean_pixel_data : bool
        Black out ultrasound outside its regions, and text where a text detector is installed.
    trust_pixels : bool
        Accept pictures that may show a name (ultrasound, captures) without cleaning them: a person has
        looked at them. No option of the standard.
    cap_age_a : int or None
        Ages kept above this are said as this, years. Stricter than the standard; None keeps them.

    Raises
    ------
    InputError
        If dates are both kept and shifted.
    """

    retain_safe_private: bool = False
    retain_uids: bool = False
    retain_device_identity: bool = False
    retain_institution_identity: bool = False
    retain_patient_characteristics: bool = False
    retain_full_dates: bool = False
    retain_modified_dates: bool = False
    clean_descriptors: bool = False
    clean_structured_content: bool = False
    clean_graphics: bool = False
    clean_pixel_data: bool = False
    trust_pixels: bool = False
    cap_age_a: int | None = 90

    def __post_init__(self) -> None:
        if self.retain_full_dates and self.retain_modified_dates:
            raise InputError(
                "dates both kept and shifted",
                needed="retain_full_dates or retain_modified_dates",
                fix="leave one out",
            )

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the standard that are taken, in the order of `METHODS`."""
        return tuple(name for name in METHODS if name != "basic" and getattr(self, name))


# What is asked for together: a study of images over time, by people who need no names.
PRESETS: Final = MappingProxyType(
    {
        "basic": Profile(),
        "research": Profile(
            retain_modified_dates=True,
            retain_patient_characteristics=True,
            clean_descriptors=True,
            clean_structured_content=True,
            clean_graphics=True,
        ),
    }
)


def named(preset: str, options: Iterable[str] = ()) -> Profile:
    """Return a preset with further options, by their names with hyphens or underscores.

    Raises
    ------
    InputError
        If a name is unknown, or the option is one that can't be done here.
    """
    if preset not in PRESETS:
        raise InputError(f"no profile {preset!r}", needed=", ".join(PRESETS))
    taken = {f.name: getattr(PRESETS[preset], f.name) for f in fields(Profile)}
    known = [name for name, value in taken.items() if isinstance(value, bool)]
    for option in (o.replace("-", "_") for o in options):
        if option == "clean_recognizable_visual_features":
            raise InputError(
                "the option to clean recognizable faces",
                needed="a program that removes faces from head scans",
                fix="deface heads first; a heart's field of view shows none",
            )
        if option not in known:
            raise InputError(f"no option {option!r}", needed=", ".join(k.replace("_", "-") for k in known))
        if option == "retain_full_dates":
            taken["retain_modified_dates"] = False
        taken[option] = True
    return Profile(**taken)


@lru_cache(maxsize=64)
def actions(profile: Profile) -> Mapping[int, Action]:
    """Return the action for every single attribute of the table by its tag; groups are not in it."""
    return MappingProxyType({int(row["tag"], 16): decided(row, profile) for row in single_attributes()})


@lru_cache(maxsize=64)
def content_actions(profile: Profile) -> Mapping[tuple[str, str, str], Action]:
    """Return the action for every content item of the table by (code, scheme, value type)."""
    return MappingProxyType(
        {
            (row["code"], row["scheme"], row["value_type"]): decided(row, profile)
            for row in table("content_items.csv")
        }
    )


@lru_cache(maxsize=1)
def safe_private() -> Mapping[tuple[int, int, str], str]:
    """Return the value representations of safe private elements by (group, element, creator)."""
    return MappingProxyType(
        {
            (int(row["group"], 16), int(row["element"], 16), row["creator"]): row["vr"]
            for row in table("safe_private.csv")
        }
    )


def decided(row: Mapping[str, str], profile: Profile) -> Action:
    """Return the action for a row of a table: an option's before the profile's, C before K."""
    told = {row[name] for name in profile.options if row.get(name)}
    for action in (Action.CLEAN, Action.KEEP):
        if action in told:
            return action
    return basic(row)


def basic(row: Mapping[str, str]) -> Action:
    """Return the Basic Profile's action for a row, compound ones resolved for every type."""
    return _COMPOUND.get(row["basic"]) or Action(row["basic"])


def single_attributes() -> tuple[Mapping[str, str], ...]:
    """Return the rows that speak of one tag each; those of groups (curves, overlays, private) do not."""
    return tuple(row for row in table("attributes.csv") if row["vr"])


@lru_cache(maxsize=8)
def table(name: str) -> tuple[Mapping[str, str], ...]:
    """Return the rows of a table that comes with the package."""
    text = (files("carna.doors.deidentify") / "tables" / name).read_text("utf-8")
    return tuple(csv.DictReader(text.splitlines()))
