"""Channels of a multiplex group: which lead each is, and what its numbers mean in millivolts.

A lead is told by the code of its source (MDC 2:n, or the older SCPECG 5.6.3-9-n with the same
n), else by the sender's words. A lead that nobody can tell keeps its sender's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from pydicom.dataset import Dataset

from carna import codes
from carna.codes import Concept
from carna.doors.dicom.coded import coded, concept, unit
from carna.doors.dicom.header import item, items, number, text, whole
from carna.errors import InputError, UnitError
from carna.units import convert


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel: its index in the group, its lead, and value_mV = stored * step + baseline.

    ``skew`` is how many samples later than the group it begins, ``bits_stored`` 0 if not said.
    """

    index: int
    lead: str
    step_mv: float
    baseline_mv: float
    skew: int
    bits_stored: int


# Numbers of ISO/IEEE 11073-10101 leads (partition 2) that have a short name and no concept of ours.
_MORE_LEADS: Final = {
    10: "V2R", 13: "V5R", 14: "V6R", 15: "V7R", 19: "CC5", 20: "CM5", 21: "LA", 22: "RA", 23: "LL",
    65: "-aVR", 68: "V8R", 69: "V9R",
}  # fmt: skip
_LEAD_BY_NUMBER: Final = {
    int(row.value.partition(":")[2]): name for name, row in codes.LEADS.items()
} | _MORE_LEADS
_BY_LOWER: Final = {name.lower(): name for name in _LEAD_BY_NUMBER.values()}


def channels(group: Dataset, width: int, samples: int) -> tuple[list[Channel], list[str]]:
    """Return the channels of a multiplex group that are voltages, and notes on the others.

    Parameters
    ----------
    group : Dataset
        Item of the Waveform Sequence.
    width, samples : int
        Channels in its data, samples in each.

    Raises
    ------
    InputError
        If there is no channel in volts.
    """
    found: list[Channel] = []
    notes: list[str] = []
    refused: list[str] = []
    entries = items(group, "ChannelDefinitionSequence")
    if len(entries) != width:
        notes.append(f"{len(entries)} channel definitions for {width} channels")
    for index, entry in enumerate(entries[:width]):
        lead, note = _lead(entry, index)
        if any(c.lead == lead for c in found):
            note = f"lead {lead} is stored twice; the second is called {lead}#{index + 1}"
            lead = f"{lead}#{index + 1}"
        if note:
            notes.append(note)
        try:
            channel, note = _scaled(
                Channel(index, lead, 0.0, 0.0, 0, whole(entry, "WaveformBitsStored")), entry
            )
        except InputError as error:
            refused.append(f"{lead}: {error.found}")
            continue
        channel, later = _skewed(channel, entry, group, samples)
        found.append(channel)
        notes += [n for n in (note, later) if n]
    if not found:
        raise InputError(
            "; ".join(refused) or "no channel definition", needed="channels with a sensitivity in volts"
        )
    return found, notes + [f"channel left out: {text}" for text in refused]


def _scaled(channel: Channel, entry: Dataset) -> tuple[Channel, str]:
    sensitivity = number(entry, "ChannelSensitivity")
    source = item(entry, "ChannelSensitivityUnitsSequence")
    name = coded(entry, "ChannelSensitivityUnitsSequence")
    if sensitivity is None or name is None:
        raise InputError("no sensitivity with its unit", needed="Channel Sensitivity in V, mV, uV or nV")
    try:
        factor = convert(1.0, unit(source) or name.value, "mV")
    except UnitError:
        raise InputError(f"samples in {name.value!r}", needed="V, mV, uV or nV") from None
    correction = number(entry, "ChannelSensitivityCorrectionFactor")
    step = sensitivity * (1.0 if correction is None else correction) * factor
    if step == 0.0:
        raise InputError("a sensitivity of 0", needed="a step other than 0")
    baseline = (number(entry, "ChannelBaseline") or 0.0) * factor
    note = f"{channel.lead}: the baseline is {baseline:g} mV" if baseline else ""
    return replace(channel, step_mv=step, baseline_mv=baseline), note


def _skewed(channel: Channel, entry: Dataset, group: Dataset, samples: int) -> tuple[Channel, str]:
    """Shift a channel by whole samples; less than half a sample is left, and said from a tenth on."""
    skew = number(entry, "ChannelSampleSkew")
    if skew is None:
        skew = (number(entry, "ChannelTimeSkew") or 0.0) * (number(group, "SamplingFrequency") or 0.0)
    if abs(skew) >= samples:
        return channel, f"{channel.lead}: a skew of {skew:g} samples is longer than the recording; ignored"
    shift = round(skew)
    rest = abs(skew - shift)
    note = f"{channel.lead}: sampled {rest:.2g} samples off the common clock" if rest >= 0.1 else ""
    if shift:
        note = f"{channel.lead}: shifted by {shift} samples (skew)"
    return replace(channel, skew=shift), note


def _lead(entry: Dataset, index: int) -> tuple[str, str]:
    """Return the name of a channel's lead, and a note if only the sender's words tell it."""
    source = concept(item(entry, "ChannelSourceSequence"))
    label = text(entry, "ChannelLabel")
    told = source and _by_code(source)
    if told:
        return told, ""
    for words in (source.meaning if source else "", label, source.value if source else ""):
        found = _by_words(words)
        if found:
            return found, f"lead {found} is told by the words {words!r} only"
    if source is not None and source.scheme == "99CARNA":
        return source.value, ""
    name = label or (source.meaning if source else "") or f"channel {index + 1}"
    return name, f"lead {name!r} is none that Carna knows"


def _by_code(source: Concept) -> str:
    partition, _, tail = source.value.rpartition(":")
    if source.scheme in ("MDC", "11073"):
        digits = tail if partition in ("2", "") else ""
        figure = int(digits) if digits.isascii() and digits.isdigit() else 0
        # FHIR and HL7 write partition * 65536 + code.
        figure = figure - (2 << 16) if partition == "" and figure > 2 << 16 else figure
        return _LEAD_BY_NUMBER.get(figure, "")
    if source.scheme == "SCPECG" and source.value.startswith("5.6.3-9-"):
        digits = source.value.removeprefix("5.6.3-9-")
        return _LEAD_BY_NUMBER.get(int(digits), "") if digits.isascii() and digits.isdigit() else ""
    return ""


def _by_words(words: str) -> str:
    """Return the lead that words such as ``Lead I (Einthoven)`` or ``MDC_ECG_LEAD_AVF`` name."""
    plain = re.sub(r"[(,].*", "", words).strip().lower()
    plain = re.sub(r"^(mdc_ecg_)?(lead|ableitung|dérivation|derivazione|derivación)?[\s_:]*", "", plain)
    return _BY_LOWER.get(plain, "")
