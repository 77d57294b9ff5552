"""The waveform of an electrocardiogram object (PS3.3 C.10.9, limits of the objects: A.34)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import DSfloat

from carna import codes
from carna.codes import Concept
from carna.doors.dicom.write_annotations import annotate, median_in
from carna.errors import InputError
from carna.findings import Findings
from carna.study import Ecg

TWELVE_LEAD = "1.2.840.10008.5.1.4.1.1.9.1.1"
GENERAL = "1.2.840.10008.5.1.4.1.1.9.1.2"
AMBULATORY = "1.2.840.10008.5.1.4.1.1.9.1.3"
# The lowest number of 16 bits says "not recorded"; the recording uses the others.
PADDING = -32768
DEFAULT_STEP_UV = 1.0
# A median lies between the steps of its recording.
MEDIAN_STEP_MV = 0.0005


def ecg_class(leads: int, samples: int, rate_hz: float) -> str:
    """Return the SOP Class of the ECG object that a recording of one group fits into.

    Raises
    ------
    InputError
        If none allows it.
    """
    if 200 <= rate_hz <= 1000 and leads <= 13 and samples <= 16384:
        return TWELVE_LEAD
    if 200 <= rate_hz <= 1000 and leads <= 24:
        return GENERAL
    if 50 <= rate_hz <= 1000 and leads <= 12:
        return AMBULATORY
    raise InputError(
        f"{leads} leads at {rate_hz:g} Hz",
        needed="at most 24 leads at 200 to 1000 Hz, or at most 12 at 50 to 1000 Hz",
        fix="resample it, or write fewer leads",
    )


def fill_ecg(ds: Dataset, ecg: Ecg, findings: Iterable[Findings] = ()) -> None:
    """Add class, acquisition context, waveform and annotations of an electrocardiogram to its object.

    Parameters
    ----------
    findings : iterable of Findings
        What is said of this recording becomes its annotations; a median beat among it is stored as a
        second group where an ECG object has room for both.
    """
    said = tuple(findings)
    values = ecg.values.array
    ds.SOPClassUID = ecg_class(len(ecg.leads), values.shape[1], ecg.rate_hz)
    known = ecg.lsb_mV if len(ecg.lsb_mV) == len(ecg.leads) else (0.0,) * len(ecg.leads)
    groups = [_group(values, ecg.leads, ecg.rate_hz, known, ecg)]
    median = median_in(said, ecg.origin.uid) if ecg.kind == "rhythm" else None
    if median is not None:
        room = len(ecg.leads) + len(median.leads) <= 24
        if room and all(200 <= hz <= 1000 for hz in (ecg.rate_hz, median.rate_hz)):
            ds.SOPClassUID = _together(ds.SOPClassUID, len(ecg.leads) + len(median.leads))
            fine = (MEDIAN_STEP_MV,) * len(median.leads)
            beat = _group(median.mv, median.leads, median.rate_hz, fine, ecg)
            beat.WaveformOriginality, beat.MultiplexGroupLabel = "DERIVED", "MEDIAN BEAT"
            beat.TriggerSamplePosition = median.trigger + 1
            groups.append(beat)
        else:
            median = None
    ds.AcquisitionContextSequence = Sequence()
    ds.WaveformSequence = Sequence(groups)
    annotate(ds, ecg, said, median)


def _together(sop_class: str, channels: int) -> str:
    """Return the class for both groups: a 12-Lead ECG holds 13 channels in all."""
    return sop_class if sop_class == TWELVE_LEAD and channels <= 13 else GENERAL


def _group(
    values: npt.NDArray[np.float32],
    leads: tuple[str, ...],
    rate_hz: float,
    known_mv: tuple[float, ...],
    ecg: Ecg,
) -> Dataset:
    """Return one multiplex group: ``values (leads, samples)`` mV in steps of each lead's own."""
    stored = np.empty(values.shape, np.int16)
    entries: list[Dataset] = []
    for n, name in enumerate(leads):
        step = _step_uv(values[n], known_mv[n] * 1000.0)
        stored[n] = _quantised(values[n], step)
        entries.append(_channel(name, step, ecg))
    group = Dataset()
    group.WaveformOriginality = "DERIVED" if ecg.kind == "median" else "ORIGINAL"
    group.NumberOfWaveformChannels = len(leads)
    group.NumberOfWaveformSamples = values.shape[1]
    group.SamplingFrequency = DSfloat(rate_hz, auto_format=True)
    group.MultiplexGroupLabel = "MEDIAN BEAT" if ecg.kind == "median" else "RHYTHM"
    group.ChannelDefinitionSequence = Sequence(entries)
    group.WaveformBitsAllocated = 16
    group.WaveformSampleInterpretation = "SS"
    group.add_new(0x5400100A, "OW", PADDING.to_bytes(2, "little", signed=True))
    group.add_new(0x54001010, "OW", np.ascontiguousarray(stored.T).astype("<i2").tobytes())
    return group


def _step_uv(values: npt.NDArray[np.float32], known_uv: float) -> DSfloat:
    """Return the step of a lead, rounded as the file will hold it, so that reading gives the same."""
    recorded = values[np.isfinite(values)]
    largest = float(np.abs(recorded).max()) * 1000.0 if recorded.size else 0.0
    step = known_uv if known_uv > 0 else DEFAULT_STEP_UV
    return DSfloat(float(f"{max(step, largest / 32767.0):.9g}"), auto_format=True)


def _quantised(values: npt.NDArray[np.float32], step_uv: DSfloat) -> npt.NDArray[np.int16]:
    steps = np.round(values.astype(np.float64) * 1000.0 / float(step_uv))
    recorded = np.isfinite(steps)
    whole = np.clip(np.where(recorded, steps, 0.0), -32767, 32767)
    return np.asarray(np.where(recorded, whole, PADDING), np.int16)


def _channel(name: str, step_uv: DSfloat, ecg: Ecg) -> Dataset:
    source = codes.LEADS.get(name) or Concept(name[:16], "99CARNA", name[:64])
    ds = Dataset()
    ds.ChannelLabel = name[:16]
    ds.ChannelSourceSequence = Sequence([_code(source)])
    ds.ChannelSensitivity = step_uv
    ds.ChannelSensitivityUnitsSequence = Sequence([_code(Concept("uV", "UCUM", "microvolt"))])
    ds.ChannelSensitivityCorrectionFactor = DSfloat(1)
    ds.ChannelBaseline = DSfloat(0)
    ds.ChannelSampleSkew = DSfloat(0)
    ds.WaveformBitsStored = 16
    for keyword in ("FilterLowFrequency", "FilterHighFrequency", "NotchFilterFrequency"):
        told = ecg.origin.facts.get(keyword)
        if isinstance(told, int | float):
            setattr(ds, keyword, DSfloat(told, auto_format=True))
    return ds


def _code(what: Concept) -> Dataset:
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = what.value, what.scheme, what.meaning[:64]
    return ds
