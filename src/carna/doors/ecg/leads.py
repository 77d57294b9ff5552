"""Lead names: what a sender writes, and what Carna calls it.

Only names that mean one lead and no other are translated. A monitoring lead such as MLII or
CM5 is no standard lead however near it lies, so it keeps the sender's own name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["STANDARD", "canonical", "distinct", "from_scp", "is_other_signal", "millivolts", "scp_number"]

STANDARD: tuple[str, ...] = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The twelve leads in the order a report prints them."""

_CANONICAL = {
    **{name.lower(): name for name in STANDARD},
    **{f"v{n}": f"V{n}" for n in range(7, 10)},
    **{f"v{n}r": f"V{n}R" for n in range(2, 10)},
    **{letter: letter.upper() for letter in "xyz"},
    **{f"v{letter}": letter.upper() for letter in "xyz"},
    # Latin languages write D for derivation.
    "di": "I",
    "dii": "II",
    "diii": "III",
}
_PREFIX = re.compile(r"^(?:mdc_?ecg_?lead|ecg|ekg|lead)[\s_:.\-]*", re.IGNORECASE)

# ISO/IEEE 11073-10101 lead numbers, which SCP-ECG (up to 64) and MFER share with DICOM CID 3001.
_BY_NUMBER = {
    1: "I", 2: "II", 3: "V1", 4: "V2", 5: "V3", 6: "V4", 7: "V5", 8: "V6", 9: "V7",
    10: "V2R", 11: "V3R", 12: "V4R", 13: "V5R", 14: "V6R", 15: "V7R", 16: "X", 17: "Y", 18: "Z",
    19: "CC5", 20: "CM5", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF", 65: "-aVR",
    66: "V8", 67: "V9", 68: "V8R", 69: "V9R",
}  # fmt: skip
_NUMBER = {name: number for number, name in _BY_NUMBER.items()}

_OTHER = re.compile(
    r"(?<![a-z])(?:eeg|eog|emg|resp|respiration|pleth|ppg|spo2|sao2|abp|art|bp|cvp|pap|nbp|icp|flow|thorax|"
    r"abdo(?:men|minal)?|airflow|temp|temperature|pulse|hr|snore|position|event|annotations|status|trigger|"
    r"co2|etco2|accel\w*|acc|sound|pcg|scg|eda|gsr|marker|light|nasal|chest(?! lead)|effort|time|"
    r"sampling freq)(?![a-z])",
    re.IGNORECASE,
)


def canonical(name: str) -> str | None:
    """Return the lead a sender's name stands for, None if it is no standard lead.

    >>> canonical("MDC_ECG_LEAD_AVR"), canonical("Lead ii"), canonical("vx"), canonical("MLII")
    ('aVR', 'II', 'X', None)
    """
    bare = name.strip().strip("\x00").rstrip(".")
    return _CANONICAL.get(bare.lower()) or _CANONICAL.get(_PREFIX.sub("", bare).strip().lower())


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Return canonical names where they are known, the sender's own elsewhere, each once.

    A name that comes again is numbered: two channels called ECG are ``ECG`` and ``ECG 2``.
    """
    given: list[str] = []
    for name in names:
        lead = canonical(name) or name.strip() or "lead"
        unique, n = lead, 1
        while unique in given:
            n += 1
            unique = f"{lead} {n}"
        given.append(unique)
    return tuple(given)


def is_other_signal(name: str) -> bool:
    """Return True if a channel's name says that it is no electrocardiogram (breath, pressure, brain ...)."""
    return canonical(name) is None and _OTHER.search(name) is not None


def from_scp(number: int) -> str:
    """Return the lead of an SCP-ECG or MFER lead number; an unlisted one is named by its number."""
    return _BY_NUMBER.get(number, f"lead {number}")


def scp_number(lead: str) -> int:
    """Return the SCP-ECG number of a lead, 0 (unspecified) if it has none."""
    return _NUMBER.get(lead, 0)


_VOLT = {
    "mv": "mV", "millivolt": "mV", "millivolts": "mV", "uv": "uV", "µv": "uV", "μv": "uV",
    "microvolt": "uV", "microvolts": "uV", "nv": "nV", "nanovolt": "nV", "nanovolts": "nV", "v": "V",
    "volt": "V", "volts": "V",
}  # fmt: skip


def millivolts(unit: str) -> float | None:
    """Return how many mV one of the sender's unit is, None if it is no voltage.

    >>> millivolts("MICROVOLTS"), millivolts("µV"), millivolts("mmHg")
    (0.001, 0.001, None)
    """
    from carna.units import convert

    ucum = _VOLT.get(unit.strip().lower())
    return None if ucum is None else convert(1.0, ucum, "mV")
