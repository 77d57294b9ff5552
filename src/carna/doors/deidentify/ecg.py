"""Electrocardiograms without the person: read, and written anew as DICOM with nothing but what was measured.

A cart's file (aECG, Philips, SCP, MUSE, MFER, WFDB, EDF, a table) has room for names in a hundred places,
and each program uses others. So none is edited: the leads, the samples and the time go into a DICOM waveform
object, which is de-identified as any other. What the cart concluded in words stays behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pydicom.dataset import Dataset

from carna.codes import LEADS
from carna.doors.arrive import Arrival
from carna.doors.deidentify.profile import Profile
from carna.doors.deidentify.words import safe
from carna.doors.dicom.write import ecg_dataset
from carna.study import Ecg, Origin, Record, Study

# DICOM demands a time of an electrocardiogram; a recording without one gets the time of a dummy.
_NO_TIME = "1900-01-01T00:00:00"


def plain_ecg(arrival: Arrival, others: Iterable[Arrival], profile: Profile) -> Dataset | None:
    """Return an electrocardiogram that arrived as a DICOM object, which still has its patient.

    Parameters
    ----------
    others : iterable of Arrival
        What came with it: a record of the same study tells age, height and weight.

    Returns
    -------
    Dataset or None
        None if it is no electrocardiogram.

    Raises
    ------
    InputError
        If the recording has no place in a DICOM object.
    """
    if not isinstance(arrival.part, Ecg):
        return None
    records = tuple(a.part for a in others if a.study == arrival.study and isinstance(a.part, Record))
    bare = _bare(arrival.part, arrival, profile)
    study = Study(
        uid=arrival.study,
        patient=arrival.patient,
        time=arrival.time or bare.origin.time,
        parts=(bare, *records),
    )
    return ecg_dataset(bare, study)


def _bare(ecg: Ecg, arrival: Arrival, profile: Profile) -> Ecg:
    """Return a recording of which only time, device and known lead names are told besides its samples."""
    origin = ecg.origin
    device = safe(origin.device) if not profile.retain_device_identity else origin.device
    facts = {
        key: value
        for key, value in origin.facts.items()
        if key in ("FilterLowFrequency", "FilterHighFrequency", "NotchFilterFrequency")
        and isinstance(value, int | float)
    }
    time = origin.time or arrival.time or _NO_TIME
    bare = Origin(uid=origin.uid, modality="ECG", time=time, device=device, format=origin.format, facts=facts)
    names = tuple(name if name in LEADS else f"lead {n}" for n, name in enumerate(ecg.leads, 1))
    return replace(ecg, origin=bare, leads=names)
