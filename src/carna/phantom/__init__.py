"""Virtual patients: a heart that beats, its pictures, its electrocardiogram, and the exact truth."""

from carna.phantom.ecg import Electrocardiogram, electrocardiogram
from carna.phantom.heart import Heart
from carna.phantom.patient import Series, Truth, VirtualCase, VirtualPatient, draw, make
from carna.phantom.study import study_of, truth_of, virtual_case, virtual_holter, virtual_study

__all__ = [
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
    "virtual_study",
]
