"""Small DICOM objects made on the spot."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage

from carna.doors.arrive import Delivery
from carna.doors.dicom import DOOR
from carna.doors.files import Blob, walk
from carna.progress import SILENT

ROOT = "1.2.826.0.1.3680043.10.1"


def image(number: int = 1, *, series: int = 1, size: tuple[int, int] = (6, 8), **changes: Any) -> Dataset:
    """Return an MR slice; its pixels are its number times 100 and a ramp. None deletes an element."""
    ds = Dataset()
    ds.SOPClassUID = MRImageStorage
    ds.SOPInstanceUID = f"{ROOT}.3.{series}.{number}"
    ds.StudyInstanceUID = f"{ROOT}.1"
    ds.SeriesInstanceUID = f"{ROOT}.2.{series}"
    ds.FrameOfReferenceUID = f"{ROOT}.4"
    ds.Modality, ds.Manufacturer = "MR", "Carna"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    ds.StudyDate, ds.StudyTime = "20250514", "101502"
    ds.PatientName, ds.PatientID, ds.PatientSex = "Doe^Jane", "P1", "F"
    ds.PatientBirthDate = "19600229"
    ds.SeriesNumber, ds.InstanceNumber = series, number
    ds.ImagePositionPatient = [-10.0, -20.0, 5.0 * number]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [1.5, 1.25]
    ds.SliceThickness = 5.0
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = size
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    values = np.arange(size[0] * size[1], dtype="<u2").reshape(size) + 100 * number
    ds.PixelData = values.tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in changes.items():
        if value is None:
            delattr(ds, keyword)
        elif keyword == "pixels":
            ds.PixelData = value.tobytes()
        else:
            setattr(ds, keyword, value)
    return ds


def packed(ds: Dataset, *, meta: bool = True) -> bytes:
    """Return the file's bytes; without ``meta``, neither preamble nor group 0002."""
    syntax = ds.file_meta.TransferSyntaxUID
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", MRImageStorage)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2")
    out = io.BytesIO()
    if meta:
        pydicom.dcmwrite(out, ds, enforce_file_format=True)
        return out.getvalue()
    bare = Dataset(ds)
    bare.file_meta = FileMetaDataset()
    pydicom.dcmwrite(
        out,
        bare,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax.is_little_endian,
        enforce_file_format=False,
    )
    return out.getvalue()


def blob(data: bytes, name: str = "made.dcm") -> Blob:
    """Return bytes as a blob, as a member of an archive would be."""
    return Blob(name, len(data), lambda: data, data[:4096])


def deliver(*objects: Dataset | bytes) -> Delivery:
    """Return what the door makes of the objects."""
    files = [o if isinstance(o, bytes) else packed(o) for o in objects]
    return DOOR.read([blob(data, f"{n:03}.dcm") for n, data in enumerate(files)], SILENT)


def on_disk(paths: Sequence[Path]) -> Delivery:
    """Return what the door makes of the DICOM files under the paths."""
    blobs, _ = walk(list(paths))
    return DOOR.read([b for b in blobs if DOOR.claims(b)], SILENT)


@pytest.fixture(scope="session")
def make() -> Callable[..., Dataset]:
    return image


@pytest.fixture(scope="session")
def pack() -> Callable[..., bytes]:
    return packed


@pytest.fixture(scope="session")
def as_blob() -> Callable[..., Blob]:
    return blob


@pytest.fixture(scope="session")
def door() -> Callable[..., Delivery]:
    return deliver


@pytest.fixture(scope="session")
def door_at() -> Callable[[Sequence[Path]], Delivery]:
    return on_disk
