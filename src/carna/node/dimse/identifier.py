"""Identifiers: the data sets of questions, read and written (DICOM PS3.4 C.2 to C.4)."""

from __future__ import annotations

from io import BytesIO
from typing import Final

from pydicom.dataset import Dataset

from carna.doors.dicom.header import BROKEN
from carna.node.dimse.command import DOES_NOT_MATCH, NOT_UNDERSTOOD
from carna.node.dimse.keeper import Refused
from carna.node.dimse.negotiate import IMPLICIT, PATIENT_ROOT

_LEVELS: Final = ("PATIENT", "STUDY", "SERIES", "IMAGE")
_KEYS: Final = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def decoded(data: bytes, syntax: str) -> Dataset:
    """Return a data set of implicit or explicit little endian.

    Raises
    ------
    Refused
        It can't be read; 0xC000.
    """
    from pydicom.filereader import read_dataset

    try:
        read = read_dataset(BytesIO(data), syntax == IMPLICIT, True)
        for _ in read.iterall():  # elements are converted as they are looked at: here, and not in the keeper
            pass
    except (*BROKEN, Warning) as error:
        raise Refused(NOT_UNDERSTOOD, f"the data set can't be read: {error}") from error
    return read


def encoded(dataset: Dataset, syntax: str) -> bytes:
    """Return the bytes of a data set in implicit or explicit little endian."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    out = DicomBytesIO()
    out.is_little_endian = True
    out.is_implicit_VR = syntax == IMPLICIT
    write_dataset(out, dataset, dataset.get("SpecificCharacterSet", "ISO_IR 6"))
    return bytes(out.getvalue())


def level_of(identifier: Dataset, abstract: str, *, whole: bool) -> str:
    """Return the level of a question, after a look at its unique keys.

    Above its level, a question names one patient, study and series (the hierarchical model).

    Parameters
    ----------
    identifier : Dataset
    abstract : str
        SOP class: its root says which levels there are.
    whole : bool
        Whether objects are asked for: then the key of the level itself must be named too, because an empty
        one would be the whole archive.

    Raises
    ------
    Refused
        0xA900: no such level, or a key is missing.
    """
    level = str(identifier.get("QueryRetrieveLevel", "") or "").strip()
    first = 0 if abstract.startswith(PATIENT_ROOT) else 1
    if level not in _LEVELS[first:]:
        raise Refused(DOES_NOT_MATCH, f"level {level!r}; {', '.join(_LEVELS[first:])} are known")
    at = _LEVELS.index(level)
    for keyword in _KEYS[first:at]:
        value = str(identifier.get(keyword, "") or "").strip()
        if not value or "*" in value or "?" in value or "\\" in value or identifier[keyword].VM > 1:
            raise Refused(DOES_NOT_MATCH, f"level {level} needs one {keyword}")
    if whole and not str(identifier.get(_KEYS[at], "") or "").strip("\\*? "):
        raise Refused(DOES_NOT_MATCH, f"level {level} needs {_KEYS[at]}")
    return level
