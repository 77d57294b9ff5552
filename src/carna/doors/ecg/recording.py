"""What one ECG file says, and how it becomes parts and prior findings of one study.

Every reader of this door returns a `Recording`; nothing in it has a UID yet except the study,
whose UID is a name-based one of the file's content, so that the same file read twice, or under
another name, is the same study.
"""

from __future__ import annotations

import hashlib
import math
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.codes import Concept
from carna.doors.arrive import Arrival
from carna.doors.ecg.leads import distinct
from carna.doors.ecg.phrases import concept_of
from carna.errors import InputError
from carna.findings import Evidence, Findings, Item, Manifest, Measurement, Statement, Unknown
from carna.study import Ecg, Entry, Lazy, Origin, Patient, Record, Source

__all__ = [
    "Prior",
    "Recording",
    "Wave",
    "arrivals",
    "measured",
    "part_uid",
    "quantised",
    "scaled",
    "stated",
    "study_uid",
]

Sex = Literal["female", "male", "other"]

_NAMESPACE = uuid.UUID("3f0f9a52-6d0b-5c55-8f3c-43524e415743")
_SEX: Mapping[str, Sex] = {
    "m": "male", "male": "male", "1": "male", "f": "female", "female": "female", "w": "female",
    "2": "female", "un": "other", "other": "other", "9": "other",
}  # fmt: skip
# More than a fortnight of three leads at 250 Hz; what claims more is damaged.
MAX_VALUES = 1 << 30
_MAX_MV = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Wave:
    """Leads that share a rate and a beginning.

    Parameters
    ----------
    name : str
        Unique in the recording: ``rhythm``, ``median`` ...
    values : (leads, samples) float32 mV
        NaN where nothing was recorded.
    leads : tuple of str
        As the sender writes them.
    rate_hz : float
    lsb_mV : tuple of float
    median : bool
        A cart's averaged beat.
    notes : tuple of str
    facts : mapping
        Filter settings and the like, by the format's own names.
    rails_mV : tuple of (low, high)
        The least and greatest the recorder can say of each lead, mV; empty where that is not known.
    """

    name: str
    values: Lazy
    leads: tuple[str, ...]
    rate_hz: float
    lsb_mV: tuple[float, ...] = ()
    median: bool = False
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    rails_mV: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """Items that arrived with the file, and who said them."""

    sender: str
    items: tuple[Item, ...]
    version: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One examination as one file, or one group of files, states it.

    Parameters
    ----------
    study : str
        UID, from `study_uid`.
    format : str
        WFDB, aECG, SCP-ECG ...
    label : str
        File or record name.
    waves : tuple of Wave
    patient : Patient
    time : str
        ISO 8601 local time, "" if unknown.
    age_a, height_cm, weight_kg : float or None
    entries : tuple of Entry
        What else the file says of the patient.
    priors : tuple of Prior
    notes : tuple of str
        What holds for every wave.
    doubts : tuple of (found, needed, fix)
        What the sender should know.
    """

    study: str
    format: str
    label: str
    waves: tuple[Wave, ...]
    patient: Patient
    time: str = ""
    device: str = ""
    description: str = ""
    accession: str = ""
    age_a: float | None = None
    height_cm: float | None = None
    weight_kg: float | None = None
    entries: tuple[Entry, ...] = ()
    priors: tuple[Prior, ...] = ()
    notes: tuple[str, ...] = ()
    doubts: tuple[tuple[str, str, str], ...] = ()


def study_uid(*contents: bytes) -> str:
    """Return a UID of bytes: the same bytes always have the same one."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return f"2.25.{uuid.uuid5(_NAMESPACE, digest.hexdigest()).int}"


def part_uid(study: str, name: str) -> str:
    """Return the UID of a wave or of the record within a study."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, f'{study}/{name}').int}"


def sex_of(text: str | None) -> Sex | None:
    """Return the sex a sender's word stands for, None if it is not known."""
    return _SEX.get((text or "").strip().lower())


def number(text: str | None) -> float | None:
    """Return a finite number from a sender's text, None if there is none."""
    try:
        value = float((text or "").strip())
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def iso_time(date: str, time: str = "") -> str:
    """Return ISO 8601 from a date of eight digits or Y-M-D and a time, "" where they are none.

    >>> iso_time("20021122", "091000.5"), iso_time("2011-12-01", "07:27:34"), iso_time("XX-XX-XXXX")
    ('2002-11-22T09:10:00', '2011-12-01T07:27:34', '')
    """
    day = re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)", date.strip())
    if day is None or not (1 <= int(day[2]) <= 12 and 1 <= int(day[3]) <= 31):
        return ""
    clock = re.match(r"(\d{1,2}):?(\d\d)(?::?(\d\d))?", time.strip())
    if clock is None or int(clock[1]) > 23 or int(clock[2]) > 59:
        return "-".join(day.groups())
    return f"{'-'.join(day.groups())}T{int(clock[1]):02d}:{clock[2]}:{clock[3] or '00'}"


def check_wave(leads: int, samples: int, rate_hz: float) -> None:
    """Refuse what no recording can be.

    Raises
    ------
    InputError
        No lead, no sample, a rate that is not above 0, or more values than any recording has.
    """
    if leads < 1 or samples < 1:
        raise InputError(
            f"{leads} leads of {samples} samples",
            needed="at least one of each",
            fix="export the recording again",
        )
    if not (math.isfinite(rate_hz) and 0 < rate_hz <= 1e6):
        raise InputError(
            f"a sampling rate of {rate_hz} Hz", needed="a rate above 0", fix="correct the header"
        )
    if leads * samples > MAX_VALUES:
        raise InputError(
            f"{leads} leads of {samples} samples",
            needed=f"at most {MAX_VALUES} values",
            fix="correct the number of samples in the header, or split the recording",
        )


def scaled(
    samples: npt.NDArray[Any], step_mV: npt.ArrayLike, zero_mV: float = 0.0, offset: float = 0.0
) -> npt.NDArray[np.float32]:
    """Return ``(samples - offset) * step_mV + zero_mV`` as float32; what is not finite is NaN.

    Raises
    ------
    InputError
        If the scale makes kilovolts of the samples: it is damaged.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        values = (np.asarray(samples, np.float64) - offset) * np.asarray(step_mV, np.float64) + zero_mV
        values[~np.isfinite(values)] = np.nan
        peak = float(np.max(np.abs(values), initial=0.0, where=~np.isnan(values)))
    if peak > _MAX_MV:
        raise InputError(
            f"samples of {peak:.3g} mV", needed="a scale in mV, uV or V", fix="correct the scale"
        )
    return values.astype(np.float32)


def arrivals(recording: Recording) -> tuple[Arrival, ...]:
    """Return the parts and the prior findings of a recording, all in one study."""
    parts: list[Ecg | Record] = []
    for order, wave in enumerate(recording.waves, 1):
        leads = distinct(wave.leads)
        notes = recording.notes + wave.notes + _name_notes(wave.leads, leads)
        origin = _origin(recording, wave.name, "ECG", order)
        origin = replace(origin, notes=notes, facts=dict(wave.facts))
        kind: Literal["median", "rhythm"] = "median" if wave.median else "rhythm"
        parts.append(Ecg(origin, wave.values, leads, wave.rate_hz, kind, wave.lsb_mV))
    known = (recording.age_a, recording.patient.sex, recording.height_cm, recording.weight_kg)
    if any(value is not None for value in known) or recording.entries:
        parts.append(_record(recording))
    pieces: list[tuple[Ecg | Record | None, Findings | None]] = [(part, None) for part in parts]
    for prior in recording.priors:
        if prior.items:
            manifest = Manifest(application=prior.sender, version=prior.version)
            pieces.append((None, Findings(recording.study, recording.patient.id, prior.items, manifest)))
    return tuple(
        Arrival(
            recording.patient, recording.study, part, findings,
            recording.time, recording.description, recording.accession,
        )
        for part, findings in pieces
    )  # fmt: skip


def _origin(recording: Recording, name: str, modality: str, order: int | None = None) -> Origin:
    uid = part_uid(recording.study, name)
    return Origin(
        uid,
        modality,
        recording.label,
        order,
        recording.time,
        recording.device,
        recording.format,
        (Source(uid),),
    )


def _record(recording: Recording) -> Record:
    origin = replace(_origin(recording, "record", "OT"), notes=recording.notes)
    return Record(
        origin,
        recording.age_a,
        recording.patient.sex,
        recording.height_cm,
        recording.weight_kg,
        recording.entries,
    )


def _name_notes(sent: Sequence[str], leads: Sequence[str]) -> tuple[str, ...]:
    twice = [
        lead for name, lead in zip(sent, leads, strict=True) if re.search(r" \d+$", lead) and lead != name
    ]
    return (f"a lead name comes more than once, numbered here: {', '.join(twice)}",) if twice else ()


def measured(id: str, code: Concept, value: float | None, unit: str, part: str) -> Iterable[Measurement]:
    """Yield a number the sender printed, nothing if there is none.

    No sender of these formats states an uncertainty.
    """
    if value is not None and math.isfinite(value):
        why = Unknown("the sender states none")
        yield Measurement(
            id=id, code=code, value=value, unit=unit, uncertainty=why, evidence=(Evidence(part),)
        )


def stated(texts: Iterable[str], part: str, source: str, stem: str = "statement") -> tuple[Statement, ...]:
    """Return the sender's sentences as statements; a sentence that is exactly a known term has its code."""
    lines = [line for line in (" ".join(text.split()) for text in texts) if line]
    return tuple(
        Statement(
            id=f"{stem}.{n}",
            code=concept_of(line) or codes.ECG_FINDING,
            verdict="met",
            rule=f"as {source} states: {line}",
            evidence=(Evidence(part),),
        )
        for n, line in enumerate(lines, 1)
    )


def quantised(
    ecg: Ecg, *, bits: int = 16, missing: bool = False
) -> tuple[npt.NDArray[np.int64], list[float]]:
    """Return a lead's samples as whole steps, and the step of each lead in mV.

    The recording's own step is kept where it is known; otherwise 1 µV, or coarser where the
    amplitude needs it. The lowest code stands for a sample that was not recorded.

    Parameters
    ----------
    bits : int
        Size of a stored sample.
    missing : bool
        Whether the format can say that a sample was not recorded.

    Raises
    ------
    InputError
        If samples are missing and the format has no word for it.
    """
    values = np.asarray(ecg.values.array, np.float64)
    gone = ~np.isfinite(values)
    if gone.any() and not missing:
        raise InputError(
            f"{int(gone.sum())} samples that were not recorded",
            needed="a number for each: this format has no code for a missing sample",
            fix="write WFDB or CSV",
        )
    top = (1 << (bits - 1)) - 1
    steps: list[float] = []
    for row, own in zip(values, ecg.lsb_mV or (0.0,) * len(ecg.leads), strict=True):
        peak = float(np.nanmax(np.abs(row), initial=0.0, where=np.isfinite(row)))
        steps.append(own if own > 0 and peak / own < top else max(0.001, peak / (top - 1)))
    whole = np.rint(np.where(gone, 0.0, values) / np.array(steps)[:, None]).astype(np.int64)
    whole[gone] = -top - 1
    return whole, steps
