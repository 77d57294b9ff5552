"""What the tests of de-identification share: a project, and an object that can be planted with anything."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from carna.doors.deidentify import Project

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def project():
    return Project("a study", bytes(range(32)))


@pytest.fixture
def ct():
    """Return a function that makes a small CT object of a Chinese patient."""

    def make(**more):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.SourceApplicationEntityTitle = "WARD7"
        ds.file_meta.ImplementationVersionName = "OLDSENDER"
        ds.preamble = b"NAME IN PREAMBLE".ljust(128, b"\0")
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.SOPClassUID, ds.SOPInstanceUID = CT, "1.2.3.4.5.1"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = (
            "1.2.3.4.1",
            "1.2.3.4.2",
            "1.2.3.4.3",
        )
        ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Zhang^San=张^三", "MR0012345", "19490312"
        ds.PatientSex, ds.PatientAge = "F", "095Y"
        ds.StudyDate, ds.StudyTime = "20240229", "003015.250000"
        ds.AcquisitionDate, ds.AcquisitionTime = "20240229", "004500"
        ds.Rows = ds.Columns = 4
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.PixelData = bytes(range(32))
        for keyword, value in more.items():
            setattr(ds, keyword, value)
        return ds

    return make
