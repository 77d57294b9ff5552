"""Virtual patients: a heart that beats, its pictures, its electrocardiogram, and the exact truth."""

from carna.phantom.ecg import Electrocardiogram, electrocardiogram
from carna.phantom.heart import Heart
from carna.phantom.patient import Series, Truth, VirtualCase, VirtualPatient, draw, make
from carna.phantom.study import (
    study_of,
    truth_of,
    virtual_case,
    virtual_holter,
    virtual_record,
    virtual_study,
)

# One for each kind of examination: the contract suite takes the first that an application can run on.
VIRTUAL_CASES = (virtual_record, virtual_case, virtual_holter)

__all__ = [
    "VIRTUAL_CASES",
    "Electrocardiogram",
    "Heart",
    "Series",
    "Truth",
    "VirtualCase",
    "VirtualPatient",
    "draw",
    "electrocardiogram",
    "make",
    "study_of",
    "truth_of",
    "virtual_case",
    "virtual_holter",
    "virtual_record",
    "virtual_study",
]
