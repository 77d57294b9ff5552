"""Decoding and real units: against references, round trips and closed forms."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from carna.doors.dicom import pixels
from carna.doors.dicom.pixels import Scale
from carna.errors import InputError

CT = "1.2.840.10008.5.1.4.1.1.2"


def only(delivery):
    assert delivery.problems == ()
    (arrival,) = delivery.arrivals
    return arrival.part


@pytest.mark.data
@pytest.mark.parametrize("kind", ["J2KR", "JLSL", "JPLL", "RLE"])
def test_lossless_syntaxes_equal_the_reference(data, library, door, door_at, kind):
    zstandard = library("zstandard")
    folder = data("dicom-zoo") / "nema-wg04"
    files = sorted((folder / kind).iterdir())
    assert files
    for path in files:
        packed = (folder / "REF" / f"{path.name[:3]}_UNC.zst").read_bytes()
        reference = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)).read()
        theirs, ours = only(door(reference)), only(door_at([path]))
        assert ours.unit == theirs.unit
        if theirs.values.array.shape[-1] == 3:
            stored = pydicom.dcmread(io.BytesIO(reference))
            if stored.PhotometricInterpretation != "RGB":
                continue  # a colour transform is lossy by rounding
        np.testing.assert_array_equal(ours.values.array, theirs.values.array, err_msg=path.name)


@pytest.mark.data
def test_every_readable_file_of_the_zoo_is_read_and_the_rest_says_why(data, door_at):
    folder = data("dicom-zoo") / "nema-wg04"
    refused: dict[str, str] = {}
    read = 0
    for path in sorted(
        p for kind in folder.iterdir() if kind.is_dir() and kind.name != "REF" for p in kind.iterdir()
    ):
        delivery = door_at([path])
        for arrival in delivery.arrivals:
            assert np.ptp(arrival.part.values.array) > 0
            read += 1
        for problem in delivery.problems:
            refused[path.name] = problem.found
    assert read == 27
    assert set(refused) == {"MR1_JPLY", "XA1_JPLY"}
    assert all("12 bits" in why for why in refused.values())


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
@pytest.mark.parametrize("signed", [0, 1])
def test_uncompressed_syntaxes_give_the_same_values(make, door, syntax, signed):
    values = np.arange(48, dtype="<i2").reshape(6, 8) - 20 * signed
    ds = make(pixels=values, PixelRepresentation=signed, BitsStored=16, HighBit=15)
    ds.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = values.astype(">i2").tobytes()
    np.testing.assert_array_equal(only(door(ds)).values.array[0], values)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("signed", [0, 1])
def test_lossless_compression_round_trips(make, door, syntax, signed):
    values = (np.arange(64 * 64).reshape(64, 64) % 3000 - 1000 * signed).astype("<i2")
    ds = make(size=(64, 64), pixels=values, PixelRepresentation=signed)
    ds.compress(syntax, generate_instance_uid=False)
    np.testing.assert_array_equal(only(door(ds)).values.array[0], values)


def test_unused_high_bits_are_cut_off(make, door):
    values = np.arange(48, dtype="<u2").reshape(6, 8)
    np.testing.assert_array_equal(only(door(make(pixels=values | 0xA000))).values.array[0], values)
    signed = np.full((6, 8), 0x0FFF, "<u2")
    part = only(door(make(pixels=signed, PixelRepresentation=1)))
    assert (part.values.array == -1).all()


def test_ct_is_in_hounsfield_units_and_small(make, door):
    part = only(door(make(SOPClassUID=CT, Modality="CT", RescaleSlope="1", RescaleIntercept="-1024")))
    assert part.unit == "[hnsf'U]"
    assert part.values.array.dtype == np.int16
    assert part.values.array[0, 0, 0] == 100 - 1024


def test_a_fractional_slope_gives_float(make, door):
    part = only(door(make(RescaleSlope="0.5", RescaleIntercept="0.25")))
    assert part.unit == "1"
    assert part.values.array.dtype == np.float32
    assert part.values.array[0, 0, 1] == 101 * 0.5 + 0.25


def test_ct_without_rescale_is_not_called_hounsfield(make, door):
    part = only(door(make(SOPClassUID=CT, Modality="CT")))
    assert part.unit == "1"
    assert any("Hounsfield" in note for note in part.origin.notes)


def test_real_world_values_come_with_their_unit(make, door):
    mapping, unit = Dataset(), Dataset()
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "ms", "UCUM", "milliseconds"
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 0.5, 10.0
    mapping.MeasurementUnitsCodeSequence = [unit]
    part = only(door(make(RealWorldValueMappingSequence=[mapping], RescaleSlope="3", RescaleIntercept="0")))
    assert part.unit == "ms"
    assert part.values.array[0, 0, 0] == 60.0


def test_a_modality_table_takes_the_place_of_the_slope(make, door):
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [4096, 0, 16], "US"
    table.add_new("LUTData", "US", [7 * n % 4096 for n in range(4096)])
    part = only(door(make(ModalityLUTSequence=[table])))
    assert part.values.array[0, 0, 1] == 7 * 101


def test_float_pixels(make, door):
    ds = make(pixels=np.zeros(1))
    del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    values = np.linspace(-1, 1, 48, dtype="<f4").reshape(6, 8)
    ds.BitsAllocated, ds.FloatPixelData = 32, values.tobytes()
    np.testing.assert_array_equal(only(door(ds)).values.array[0], values)


def test_padding_is_told_not_changed(make, door):
    ct = {"SOPClassUID": CT, "Modality": "CT", "RescaleSlope": "1", "RescaleIntercept": "-1024"}
    part = only(door(make(PixelRepresentation=1, BitsStored=16, HighBit=15, PixelPaddingValue=-2000, **ct)))
    assert part.origin.facts["Padding"] == -3024
    assert any("padding" in note for note in part.origin.notes)


COLOUR = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
    "Modality": "OT",
    "SamplesPerPixel": 3,
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
    "PhotometricInterpretation": "RGB",
    "PlanarConfiguration": 0,
    "ImagePositionPatient": None,
}


def test_colour_by_pixel_and_by_plane(make, door):
    values = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    by_pixel = only(door(make(pixels=values, **COLOUR)))
    planes = np.ascontiguousarray(values.transpose(2, 0, 1))
    by_plane = only(door(make(pixels=planes, **(COLOUR | {"PlanarConfiguration": 1}))))
    np.testing.assert_array_equal(by_pixel.values.array[0], values)
    np.testing.assert_array_equal(by_plane.values.array[0], values)


def test_ybr_becomes_rgb(make, door):
    values = np.empty((6, 8, 3), np.uint8)
    values[...] = (76, 85, 255)  # PS3.3 C.7.6.3.1.2: pure red
    part = only(door(make(pixels=values, **(COLOUR | {"PhotometricInterpretation": "YBR_FULL"}))))
    assert np.abs(part.values.array[0, 0, 0].astype(int) - (255, 0, 0)).max() <= 2


def test_gdcm_is_asked_only_where_nobody_else_can():
    """It ends the process on some damaged JPEG streams."""
    assert pixels._plugins(("gdcm", "pylibjpeg", "pillow")) == ["pylibjpeg", "pillow"]
    assert pixels._plugins(("gdcm",)) == ("gdcm",)


def test_half_the_chroma(make, door):
    pairs = np.tile(np.array([76, 76, 85, 255], np.uint8), 24)  # Y1 Y2 Cb Cr
    part = only(door(make(pixels=pairs, **(COLOUR | {"PhotometricInterpretation": "YBR_FULL_422"}))))
    assert part.values.shape == (1, 6, 8, 3)
    assert np.abs(part.values.array.astype(int) - (255, 0, 0)).max() <= 2


def test_a_palette_is_looked_up(make, door):
    index = (np.arange(48) % 4).astype(np.uint8).reshape(6, 8)
    colours = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (9, 8, 7)], np.uint8)
    palette = COLOUR | {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "PALETTE COLOR",
        "PlanarConfiguration": None,
    }
    palette = {k: v for k, v in palette.items() if k != "PlanarConfiguration"} | {"PixelRepresentation": 0}
    ds = make(pixels=index, **palette)
    for n, name in enumerate(("Red", "Green", "Blue")):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [4, 0, 8])
        setattr(ds, f"{name}PaletteColorLookupTableData", colours[:, n].tobytes())
    np.testing.assert_array_equal(only(door(ds)).values.array[0], colours[index])


def test_monochrome1_keeps_its_values_and_is_noted(make, door):
    part = only(door(make(PhotometricInterpretation="MONOCHROME1")))
    assert part.values.array[0, 0, 0] == 100
    assert any("MONOCHROME1" in note for note in part.origin.notes)


def test_one_bit_frames(make, door):
    bits = (np.arange(64) % 3 == 0).reshape(8, 8)
    ds = make(size=(8, 8), BitsAllocated=1, BitsStored=1, HighBit=0)
    ds.PixelData = np.packbits(bits.ravel(), bitorder="little").tobytes()
    np.testing.assert_array_equal(only(door(ds)).values.array[0], bits)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"Rows": 7}, "pixels end"),
        ({"Rows": 0}, "0 x 8"),
        ({"SamplesPerPixel": 4}, "4 samples"),
        ({"BitsStored": 17}, "17 in 16 bits"),
        ({"PixelData": None}, "without pixel data"),
        ({"Rows": 60000, "Columns": 60000}, "frames of"),
    ],
)
def test_pixels_that_cannot_be_read_are_problems_at_once(make, door, changes, why):
    delivery = door(make(**changes))
    assert not delivery.arrivals
    assert why in delivery.problems[0].found


def compressed(make, **changes):
    ds = make(size=(64, 64), pixels=np.arange(4096, dtype="<u2") % 3000)
    ds.compress(JPEGLSLossless, generate_instance_uid=False)
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def test_damaged_compression_is_found_without_decoding(make, pack, door):
    whole = pack(compressed(make))
    assert door(whole).arrivals
    for data, why in [
        (whole[:-20], "break off"),
        (whole.replace(b"\xff\xd8\xff", b"\x00\x01\x02"), "do not start"),
        (pack(compressed(make, Rows=32)), "codestream of 64 x 64"),
        (pack(compressed(make, NumberOfFrames=9)), "1 fragments for 9 frames"),
    ]:
        delivery = door(data)
        assert not delivery.arrivals, why
        assert why in delivery.problems[0].found


def test_video_is_named_for_what_it_is(make, door):
    ds = compressed(make)
    ds.file_meta.TransferSyntaxUID = MPEG4HP41
    assert "MPEG-4" in door(ds).problems[0].found


def test_damage_inside_a_codestream_is_an_input_error_when_used(make, pack, door):
    data = pack(compressed(make))
    start = data.index(b"\xff\xda")
    part = only(door(data[: start + 12] + bytes(len(data) - start - 20) + data[-8:]))
    try:
        array = part.values.array
    except InputError as error:
        assert "decoded" in str(error)
    else:
        assert array.shape == part.values.shape  # some decoders fill up what is missing


def test_baseline_jpeg_of_eight_bits_is_read(make, door):
    from PIL import Image as Pillow

    values = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    out = io.BytesIO()
    Pillow.fromarray(values).save(out, "JPEG", quality=95)
    ds = make(size=(64, 64), BitsAllocated=8, BitsStored=8, HighBit=7)
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.PixelData = pydicom.encaps.encapsulate([out.getvalue()])
    ds["PixelData"].is_undefined_length = True
    ds["PixelData"].VR = "OB"
    assert np.abs(only(door(ds)).values.array[0].astype(int) - values).max() <= 4


@pytest.mark.parametrize(
    ("scale", "dtype"),
    [
        (Scale(1, 0), np.uint16),
        (Scale(1, -1024), np.int16),
        (Scale(20, -1024), np.int32),
        (Scale(0.1, 0), np.float32),
    ],
)
def test_integers_stay_as_small_as_they_can(make, as_blob, pack, scale, dtype):
    from carna.doors.dicom import scan

    made = pixels.store(scan.header(as_blob(pack(make()))))
    stored = np.array([[0, 4095]], np.uint16)
    got = pixels.real(stored, scale, made)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, stored * np.float64(scale.slope) + scale.intercept, rtol=1e-6)
