"""Writing in pictures: which may carry it, and how it is blacked out."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from carna.doors.deidentify import Profile, deidentify, named
from carna.doors.deidentify.engine import encode
from carna.doors.deidentify.pixels import clean_pixels, may_show_text
from carna.errors import InputError

CLEAN = Profile(clean_pixel_data=True)


def ultrasound(ct, *, colour=False):
    """Return two frames of ultrasound, all bright, with one region."""
    ds = ct(Modality="US", NumberOfFrames=2)
    ds.Rows, ds.Columns = 8, 10
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    if colour:
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "YBR_FULL", 0
    ds.PixelData = b"\xc8" * (2 * 80 * (3 if colour else 1))
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 2, 3
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 6, 6
    ds.SequenceOfUltrasoundRegions = [region]
    return ds


@pytest.mark.parametrize(
    "more, word",
    [
        ({"BurnedInAnnotation": "YES"}, "YES"),
        ({"Modality": "US"}, "US"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.4"}, "capture"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "SCREEN"),
    ],
)
def test_pictures_that_may_show_a_name_are_refused(ct, project, more, word):
    with pytest.raises(InputError, match=word):
        deidentify(ct(**more), Profile(), project)
    assert deidentify(ct(**more), Profile(trust_pixels=True), project).Rows == 4


def test_a_plain_slice_is_not_refused(ct):
    assert may_show_text(ct()) == ""
    assert may_show_text(ct(Modality="US", BurnedInAnnotation="NO")) == ""


@pytest.mark.parametrize("colour", [False, True])
def test_outside_of_the_regions_is_black(ct, project, colour):
    ds = ultrasound(ct, colour=colour)
    out = dcmread(io.BytesIO(encode(deidentify(ds, CLEAN, project))))
    frames = np.frombuffer(out.PixelData, np.uint8).reshape(2, 8, 10, -1)
    inside = np.zeros((8, 10), bool)
    inside[3:7, 2:7] = True
    # What was YBR is written as it is seen: 200, 200, 200 is a bright violet.
    assert (frames[:, inside] == ([255, 124, 255] if colour else [200])).all()
    assert (frames[:, ~inside] == 0).all()
    assert out.PhotometricInterpretation == ("RGB" if colour else "MONOCHROME2")
    assert out.BurnedInAnnotation == "NO"
    assert "113101" in [i.CodeValue for i in out.DeidentificationMethodCodeSequence]
    assert ds.PixelData.count(b"\xc8") == len(ds.PixelData)  # the original is as it was


def test_without_regions_a_detector_is_needed(ct, project):
    ds = ultrasound(ct)
    del ds.SequenceOfUltrasoundRegions
    with pytest.raises(InputError, match="text detector"):
        deidentify(ds, CLEAN, project)
    clean_pixels(ds, lambda frame: [(1, 1, 3, 2)])
    frames = np.frombuffer(ds.PixelData, np.uint8).reshape(2, 8, 10)
    assert (frames[:, 1:3, 1:4] == 0).all()
    assert frames.sum() == 200 * (160 - 12)


def test_pixels_that_cannot_be_decoded_are_a_problem(ct, project):
    ds = ultrasound(ct)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
    with warnings.catch_warnings(), pytest.raises(InputError, match="decoded"):
        warnings.simplefilter("ignore")
        deidentify(ds, CLEAN, project)


def test_a_region_whose_end_is_counted_from_one(ct, project):
    ds = ultrasound(ct)
    ds.SequenceOfUltrasoundRegions[0].RegionLocationMaxY1 = 8
    frames = np.frombuffer(deidentify(ds, CLEAN, project).PixelData, np.uint8).reshape(2, 8, 10)
    assert (frames[:, 3:, 2:7] == 200).all()
    assert frames.sum() == 200 * 2 * 25


def test_regions_of_a_larger_picture_are_not_believed(ct, project):
    ds = ultrasound(ct)
    ds.SequenceOfUltrasoundRegions[0].RegionLocationMaxX1 = 40
    with pytest.raises(InputError, match="text detector"):
        deidentify(ds, CLEAN, project)


@pytest.mark.data
def test_the_real_echo(data, project):
    """It was made smaller after it was taken: its regions would leave writing in it, as a look shows."""
    path = next(p for p in data("echo-cine-sample").rglob("*.dcm"))
    ds = dcmread(path)
    with pytest.raises(InputError, match="modality is US"):
        deidentify(ds, Profile(), project)
    with pytest.raises(InputError, match="fit the picture"):
        deidentify(ds, CLEAN, project)
    # With regions as they would be in this picture, everything else is black in all frames.
    region = ds.SequenceOfUltrasoundRegions[0]
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 42, 20
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 282, 220
    out = dcmread(io.BytesIO(encode(deidentify(ds, named("research", ["clean-pixel-data"]), project))))
    was, now = ds.pixel_array, out.pixel_array
    inside = np.zeros(was.shape[1:3], bool)
    inside[20:221, 42:283] = True
    assert now.shape == was.shape == (30, 240, 320, 3)
    assert (now[:, ~inside] == 0).all()
    assert was[:, ~inside].max() > 150
    assert np.abs(now[:, inside].astype(int) - was[:, inside]).max() == 0
    assert out.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
