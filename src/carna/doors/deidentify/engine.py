"""One DICOM object without the person: DICOM PS3.15 Annex E, Basic Profile and options."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any, Final

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import dcmread, read_dataset
from pydicom.filewriter import dcmwrite, write_dataset, write_file_meta_info
from pydicom.tag import BaseTag
from pydicom.uid import UID, ImplicitVRLittleEndian

from carna import __version__
from carna.doors.deidentify.content import refers_by_position
from carna.doors.deidentify.elements import cleaned, encodings_of, like
from carna.doors.deidentify.pixels import clean_pixels, clear_unused_bits, may_show_text
from carna.doors.deidentify.profile import METHODS, Profile
from carna.doors.deidentify.project import Project
from carna.doors.deidentify.run import Run, begin
from carna.doors.dicom.header import named_uid
from carna.errors import InputError

_UNDEFINED: Final = 0xFFFFFFFF
_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_ID, _NAME = BaseTag(0x00100020), BaseTag(0x00100010)


def deidentify(dataset: Dataset, profile: Profile, project: Project) -> Dataset:
    """Return a DICOM object without the person; the one given is not changed.

    Every attribute at every depth is treated as the profile's column of the standard's table says, and what
    the table does not know as `elements.otherwise` says. Patient's Name and Patient ID become one pseudonym;
    UIDs, pseudonym and date shift follow from the project's secret, so they agree between files, and an
    object that comes a second time comes out the same.

    Parameters
    ----------
    dataset : Dataset
        A composite object (image, waveform, report ...), read from a file or made in memory.
    profile : Profile
    project : Project

    Returns
    -------
    Dataset
        With file meta of its own, in the transfer syntax it came in; Explicit VR Little Endian where
        pixels were cleaned or none was told.

    Raises
    ------
    InputError
        If it is no composite object, or its pixels may show a name and are neither cleaned nor trusted,
        or they can't be cleaned.
    """
    return with_run(dataset, profile, project)[0]


def with_run(dataset: Dataset, profile: Profile, project: Project) -> tuple[Dataset, Run]:
    """Return the object without the person, and the run that knows who it was."""
    _check(dataset, profile)
    encodings = encodings_of(dataset)
    by_position = profile.clean_structured_content and refers_by_position(dataset, encodings)
    run = begin(dataset, profile, project, by_position=by_position)
    elements = cleaned(dataset, run, encodings)
    out = like(dataset, elements)
    out.update(_marks(profile, *_encoding(dataset)))
    _name(out, run)
    out.file_meta = _meta(dataset, out)
    out.preamble = bytes(128)
    if _overlays_in_pixels(dataset):
        clear_unused_bits(out)
    if profile.clean_pixel_data:
        clean_pixels(out)
    return out, run


def read(data: bytes) -> Dataset:
    """Return the object of a DICOM file's bytes."""
    return dcmread(io.BytesIO(data))


def encode(dataset: Dataset) -> bytes:
    """Return the bytes of a DICOM file (PS3.10) of an object with file meta."""
    syntax = dataset.file_meta.TransferSyntaxUID
    buffer = DicomBytesIO()
    whole = "MediaStorageSOPInstanceUID" in dataset.file_meta
    if not whole or syntax.is_private or syntax.is_deflated:
        dcmwrite(buffer, dataset, enforce_file_format=True)
        return bytes(buffer.getvalue())
    # What dcmwrite does, without its deep copy of the file meta.
    buffer.write((getattr(dataset, "preamble", None) or bytes(128)) + b"DICM")
    write_file_meta_info(buffer, dataset.file_meta)
    buffer.is_implicit_VR, buffer.is_little_endian = syntax.is_implicit_VR, syntax.is_little_endian
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())


def _check(ds: Dataset, profile: Profile) -> None:
    # Looked at first: an element that was asked for has forgotten how long it should have been.
    last = ds.get_item(next(reversed(ds.keys()))) if ds else None
    if isinstance(last, RawDataElement) and len(last.value or b"") < last.length != _UNDEFINED:
        raise InputError("an object that was cut off", needed="all of it", fix="send it again")
    if str(ds.get("SOPClassUID", "")) in ("", _DIRECTORY) or not ds.get("SOPInstanceUID"):
        raise InputError(
            "a data set that is no composite object (a DICOMDIR?)",
            needed="SOP Class UID and SOP Instance UID",
            fix="leave it out; a directory is made anew from the new files",
        )
    why = "" if profile.trust_pixels or profile.clean_pixel_data else may_show_text(ds)
    if why:
        raise InputError(
            f"a picture that may show a name: {why}",
            needed="the option clean-pixel-data, or a person's word that it shows none",
            fix="--option clean-pixel-data, or --option trust-pixels after looking at it",
        )


def _name(out: Dataset, run: Run) -> None:
    """Make sure that the object says whose it is, by the pseudonym, where it said nothing before."""
    for tag, vr in ((_ID, "LO"), (_NAME, "PN")):
        element = out.get_item(tag) if tag in out else None
        if element is None or not element.value or element.VR == "SQ":
            out[tag] = DataElement(tag, vr, run.patient)


def _encoding(ds: Dataset) -> tuple[bool, bool]:
    implicit, little = ds.original_encoding
    return (False, True) if implicit is None or little is None else (bool(implicit), bool(little))


@lru_cache(maxsize=128)
def _marks(profile: Profile, implicit: bool, little: bool) -> dict[BaseTag, Any]:
    """Return what the standard wants said of an object from which the person was removed."""
    ds = Dataset()
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = [f"Carna {__version__}", "DICOM PS3.15 Annex E, table of 2024"]
    methods = []
    for name in ("basic", *profile.options):
        item = Dataset()
        item.CodeValue, item.CodeMeaning = METHODS[name]
        item.CodingSchemeDesignator = "DCM"
        methods.append(item)
    ds.DeidentificationMethodCodeSequence = methods
    dates = "UNMODIFIED" if profile.retain_full_dates else "REMOVED"
    ds.LongitudinalTemporalInformationModified = "MODIFIED" if profile.retain_modified_dates else dates
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, little
    write_dataset(buffer, ds)
    # Read back, they are bytes: no object can change another's marks, and they are written as they are.
    buffer.seek(0)
    back = read_dataset(buffer, implicit, little)
    return {tag: back.get_item(tag) for tag in back.keys()}  # noqa: SIM118


def _meta(before: Dataset, after: Dataset) -> FileMetaDataset:
    """Return file meta in which nothing of the old one is left but the transfer syntax."""
    meta = FileMetaDataset()
    old = getattr(before, "file_meta", None)
    syntax = old.get("TransferSyntaxUID") if old is not None else None
    if syntax is None:
        syntax = ImplicitVRLittleEndian if before.original_encoding[0] else UID("1.2.840.10008.1.2.1")
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = after.SOPClassUID
    meta.MediaStorageSOPInstanceUID = after.SOPInstanceUID
    meta.ImplementationClassUID = UID(named_uid("implementation"))
    meta.ImplementationVersionName = "CARNA"
    return meta


def _overlays_in_pixels(ds: Dataset) -> bool:
    """Whether an overlay lies in the unused bits of the pixels, as was allowed until 2004."""
    return any(
        (group << 16 | 0x0102) in ds and (group << 16 | 0x3000) not in ds
        for group in range(0x6000, 0x6020, 2)
    )
