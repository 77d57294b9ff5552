"""The waveform of an electrocardiogram object (PS3.3 C.10.9, limits of the objects: A.34)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import DSfloat

from carna import codes
from carna.codes import Concept
from carna.errors import InputError
from carna.study import Ecg

TWELVE_LEAD = "1.2.840.10008.5.1.4.1.1.9.1.1"
GENERAL = "1.2.840.10008.5.1.4.1.1.9.1.2"
AMBULATORY = "1.2.840.10008.5.1.4.1.1.9.1.3"
# The lowest number of 16 bits says "not recorded"; the recording uses the others.
PADDING = -32768
DEFAULT_STEP_UV = 1.0


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


def fill_ecg(ds: Dataset, ecg: Ecg) -> None:
    """Add class, acquisition context and waveform of an electrocardiogram to its object."""
    values = ecg.values.array
    ds.SOPClassUID = ecg_class(len(ecg.leads), values.shape[1], ecg.rate_hz)
    ds.AcquisitionContextSequence = Sequence()
    known = ecg.lsb_mV if len(ecg.lsb_mV) == len(ecg.leads) else (0.0,) * len(ecg.leads)
    stored = np.empty(values.shape, np.int16)
    entries: list[Dataset] = []
    for n, name in enumerate(ecg.leads):
        step = _step_uv(values[n], known[n] * 1000.0)
        stored[n] = _quantised(values[n], step)
        entries.append(_channel(name, step, ecg))
    group = Dataset()
    group.WaveformOriginality = "DERIVED" if ecg.kind == "median" else "ORIGINAL"
    group.NumberOfWaveformChannels = len(ecg.leads)
    group.NumberOfWaveformSamples = values.shape[1]
    group.SamplingFrequency = DSfloat(ecg.rate_hz, auto_format=True)
    group.MultiplexGroupLabel = "MEDIAN BEAT" if ecg.kind == "median" else "RHYTHM"
    group.ChannelDefinitionSequence = Sequence(entries)
    group.WaveformBitsAllocated = 16
    group.WaveformSampleInterpretation = "SS"
    group.add_new(0x5400100A, "OW", PADDING.to_bytes(2, "little", signed=True))
    group.add_new(0x54001010, "OW", np.ascontiguousarray(stored.T).astype("<i2").tobytes())
    ds.WaveformSequence = Sequence([group])


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
