"""Virtual patients: a heart that beats, its pictures, its electrocardiogram, and the exact truth."""

from carna.case import Case
from carna.phantom.atrium_lge import virtual_atrium
from carna.phantom.ct import virtual_ct
from carna.phantom.ecg import Electrocardiogram, electrocardiogram
from carna.phantom.echo import virtual_echo
from carna.phantom.heart import Heart
from carna.phantom.infarct import scarred, virtual_infarct, virtual_scar
from carna.phantom.outlined import virtual_ventricles
from carna.phantom.patient import Series, Truth, VirtualCase, VirtualPatient, draw, make
from carna.phantom.study import (
    study_of,
    truth_of,
    virtual_case,
    virtual_holter,
    virtual_record,
    virtual_study,
)
from carna.phantom.vessels import (
    aneurysm_surface,
    coronary_tree,
    renal_tree,
    virtual_aneurysm,
    virtual_coronary,
    virtual_renal,
)


def virtual_left_atrium() -> Case:
    """Return a volume of late enhancement around a virtual left atrium."""
    return virtual_atrium()[0]


# One for each kind of examination: the contract suite takes the first that an application can run on.
VIRTUAL_CASES = (
    virtual_record,
    virtual_ventricles,
    virtual_case,
    virtual_holter,
    virtual_coronary,
    virtual_renal,
    virtual_ct,
    virtual_left_atrium,
    virtual_scar,
    virtual_aneurysm,
    virtual_echo,
)

__all__ = [
    "VIRTUAL_CASES",
    "Electrocardiogram",
    "Heart",
    "Series",
    "Truth",
    "VirtualCase",
    "VirtualPatient",
    "aneurysm_surface",
    "coronary_tree",
    "draw",
    "electrocardiogram",
    "make",
    "renal_tree",
    "scarred",
    "study_of",
    "truth_of",
    "virtual_aneurysm",
    "virtual_case",
    "virtual_coronary",
    "virtual_holter",
    "virtual_infarct",
    "virtual_record",
    "virtual_renal",
    "virtual_scar",
    "virtual_study",
    "virtual_ventricles",
]
