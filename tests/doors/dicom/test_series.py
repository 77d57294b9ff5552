"""Frames become parts by geometry and time: on made series with known answers, and on real exams."""

import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from carna.space import rotation
from carna.study import Cine, Image, Picture, Planes, fingerprint

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


def parts(delivery):
    assert delivery.problems == ()
    return [a.part for a in delivery.arrivals]


def doubted(delivery, *words):
    """Return the parts of a delivery that has one problem, with these words in what was found."""
    (problem,) = delivery.problems
    assert problem.file.endswith(".dcm") and problem.needed and problem.fix
    assert all(w in problem.found for w in words), problem.found
    return [a.part for a in delivery.arrivals]


def told(part, words):
    return any(words in note for note in part.origin.notes)


# Volumes ---------------------------------------------------------------------------------------


def oblique(ds, turn):
    axes = np.array(ds.ImageOrientationPatient, float).reshape(2, 3) @ turn[:3, :3].T
    ds.ImageOrientationPatient = [f"{x:.10f}" for x in axes.ravel()]
    ds.ImagePositionPatient = [f"{x:.8f}" for x in turn[:3, :3] @ np.array(ds.ImagePositionPatient, float)]
    return ds


def test_a_shuffled_oblique_series_is_one_volume_where_its_headers_say(make, door):
    turn = rotation((1, 2, 3), 40)
    slices = [oblique(make(n), turn) for n in (4, 1, 5, 3, 2)]
    (part,) = parts(door(*slices))
    assert isinstance(part, Image)
    assert part.values.shape == (5, 6, 8)
    assert part.grid.spacing_mm == pytest.approx((5.0, 1.5, 1.25))
    assert part.origin.uid == slices[0].SeriesInstanceUID
    by_uid = {ds.SOPInstanceUID: ds for ds in slices}
    for k, source in enumerate(part.origin.sources):
        ds = by_uid[source.uid]
        # PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1, for row 4 and column 7
        along_row, along_column = np.array(ds.ImageOrientationPatient, float).reshape(2, 3)
        expected = np.array(ds.ImagePositionPatient, float) + along_row * 1.25 * 7 + along_column * 1.5 * 4
        np.testing.assert_allclose(part.grid.to_world((k, 4, 7)), expected, atol=1e-6)
        assert part.values.array[k, 0, 0] == 100 * ds.InstanceNumber
        assert source.read is not None and source.read().PatientName == "Doe^Jane"


@pytest.mark.data
def test_a_real_ct_equals_pydicom_slice_by_slice(data, door_at):
    folder = data("totalseg-ct-mr") / "example_ct_dicom"
    (part,) = parts(door_at([folder]))
    assert isinstance(part, Image) and part.unit == "[hnsf'U]" and part.values.shape == (20, 512, 512)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = map(pydicom.dcmread, folder.iterdir())
        theirs = {ds.file_meta.MediaStorageSOPInstanceUID: ds for ds in files}
        for k, source in enumerate(part.origin.sources):
            ds = theirs[source.uid]
            expected = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
            np.testing.assert_array_equal(part.values.array[k], expected)
            np.testing.assert_allclose(
                part.grid.to_world((k, 0, 0)), np.array(ds.ImagePositionPatient, float), atol=0.05
            )


def test_a_gap_gives_planes_and_says_where(make, door):
    (part,) = doubted(door(*(make(n) for n in (1, 2, 3, 5, 6))), "5.0 to 10.0 mm apart")
    assert isinstance(part, Planes)
    assert told(part, "1 planes seem to be missing (1 after plane 3)")
    np.testing.assert_allclose([p.origin[2] for p in part.planes], [5, 10, 15, 25, 30])


def test_uneven_spacing_gives_planes(make, door):
    slices = [make(n) for n in range(1, 5)]
    slices[2].ImagePositionPatient = [-10, -20, 16.0]
    (part,) = parts(door(*slices))
    assert isinstance(part, Planes) and told(part, "4.00 to 6.00 mm apart")


def test_a_stack_of_two_pixel_sizes_keeps_each_and_is_a_problem(make, door):
    slices = [make(n) for n in range(1, 5)]
    slices[2].PixelSpacing = [3.0, 2.5]
    (part,) = doubted(door(*slices), "1.5 x 1.25 mm and 3 x 2.5 mm")
    assert [p.spacing_mm[1] for p in part.planes] == [1.5, 1.5, 3.0, 1.5]


def test_gaps_between_thin_slices_and_a_wrong_header_are_noted(make, door):
    (part,) = parts(door(*(make(n, SliceThickness=3.0, SpacingBetweenSlices=3.0) for n in (1, 2, 3))))
    assert isinstance(part, Image)
    assert any("5.0 mm apart and 3 mm thick: 2.0 mm unseen" in n for n in fingerprint(part).notes)
    assert told(part, "the header says 3 mm between slices, the positions 5.00 mm")


def test_a_tilted_gantry_is_a_sheared_grid_and_noted(make, door):
    slices = [make(n, ImagePositionPatient=[-10.0, -20.0 + 0.8 * n, 5.0 * n]) for n in (1, 2, 3)]
    (part,) = parts(door(*slices))
    assert isinstance(part, Image) and told(part, "degrees of tilt")
    np.testing.assert_allclose(part.grid.to_world((2, 0, 0)), slices[2].ImagePositionPatient)


def test_three_orientations_are_planes(make, door):
    turned = [
        oblique(make(n), rotation(axis, 90)) for n, axis in ((1, (0, 0, 1)), (2, (1, 0, 0)), (3, (0, 1, 0)))
    ]
    (part,) = parts(door(*turned))
    assert isinstance(part, Planes) and len(part.planes) == 3
    assert told(part, "3 orientations")


def test_slices_of_two_sizes_and_two_echoes_are_kept_apart(make, door):
    echoes = [
        make(10 * e + n, EchoTime=1.5 * e, ImagePositionPatient=[0, 0, 5 * n]) for e in (1, 2) for n in (1, 2)
    ]
    small = make(99, size=(4, 4), EchoTime=1.5)
    found = parts(door(*echoes, small))
    assert sorted(p.values.shape for p in found) == [(1, 4, 4), (2, 6, 8), (2, 6, 8)]
    assert len({p.origin.uid for p in found}) == 3
    assert all(told(p, "one of 3 kinds") for p in found)


def test_echo_times_that_drift_are_one_echo(make, door):
    (part,) = parts(door(*(make(n, EchoTime=1.5 + 0.01 * n) for n in range(1, 5))))
    assert isinstance(part, Image)


def test_an_extra_frame_at_one_place_is_kept_apart(make, door):
    extra = make(9, ImagePositionPatient=[-10, -20, 10])
    found = doubted(door(*(make(n) for n in (1, 2, 3)), extra), "1 frames at places")
    assert {type(p) for p in found} == {Image, Planes}
    image, left = sorted(found, key=lambda p: isinstance(p, Planes))
    assert image.values.shape[0] == 3 and told(image, "1 more frames")
    assert left.values.array[0, 0, 0] == 900


@pytest.mark.parametrize(
    "changes",
    [{"ImagePositionPatient": None}, {"PixelSpacing": None}, {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}],
)
def test_lost_geometry_gives_one_picture_and_says_what_is_missing(make, door, changes):
    (part,) = doubted(door(*(make(n, **changes) for n in (3, 1, 2))), "is not known")
    assert isinstance(part, Picture) and part.values.shape == (3, 6, 8)
    assert told(part, "the place in the patient is not known")
    assert [v[0, 0] for v in part.values.array] == [100, 200, 300]


def test_two_frames_of_reference_are_no_volume(make, door):
    (part,) = parts(door(make(1), make(2, FrameOfReferenceUID="1.2.3.4.5")))
    assert isinstance(part, Planes)


# Cines -----------------------------------------------------------------------------------------


def beating(make, *, planes=3, phases=5, series=1, start=0, **changes):
    """A cine in which the trigger time is 40 ms a phase and 7 ms more for each plane."""
    made = []
    for k in range(planes):
        for t in range(phases):
            number = start + k * phases + t + 1
            times = {"TriggerTime": 40.0 * t + 7 * k, "NominalInterval": 800 + 10 * k}
            place = {"ImagePositionPatient": [-10, -20, 8.0 * (k + start)]}
            made.append(make(number, series=series, **({**times, **place} | changes)))
    return made


def test_a_cine_is_sorted_by_time_and_place(make, door):
    frames = beating(make)
    (part,) = parts(door(*frames[::-1]))
    assert isinstance(part, Cine) and part.values.shape == (5, 3, 6, 8)
    np.testing.assert_allclose(part.times_ms, 40.0 * np.arange(5)[:, None] + 7 * np.arange(3))
    np.testing.assert_allclose(part.rr_ms, [800, 810, 820])
    np.testing.assert_allclose(part.phase[2], [80 / 800, 87 / 810, 94 / 820])
    numbers = part.values.array[:, :, 0, 0] // 100
    np.testing.assert_array_equal(numbers, 1 + np.arange(5)[:, None] + 5 * np.arange(3))
    assert part.grid is not None and part.grid.spacing_mm[0] == pytest.approx(8)


def test_rr_falls_back_to_the_heart_rate_then_to_the_last_trigger(make, door):
    by_rate = [replace_in(ds, HeartRate=75) for ds in beating(make, planes=1)]
    (part,) = parts(door(*by_rate))
    assert part.rr_ms == pytest.approx([800])
    inferred = [replace_in(ds) for ds in beating(make, planes=1)]
    (part,) = parts(door(*inferred))
    assert part.rr_ms == pytest.approx([200]) and told(part, "RR interval inferred")
    wrong = beating(make, planes=1, NominalInterval=100)
    (part,) = parts(door(*wrong))
    assert part.rr_ms == pytest.approx([200]) and told(part, "100 ms in the header is not used")
    short = beating(make, planes=1, phases=8, NominalInterval=250)
    (part,) = parts(door(*short))
    assert part.rr_ms == pytest.approx([320]) and told(part, "beyond the RR interval of 250 ms")


def replace_in(ds, **changes):
    del ds.NominalInterval
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def test_a_plane_that_misses_a_phase_is_kept_apart(make, door):
    found = parts(door(*beating(make)[:-1]))
    assert [p.values.shape for p in found] == [(5, 2, 6, 8), (4, 1, 6, 8)]
    assert told(found[0], "2 of 3 places") and told(found[1], "1 of 3 places")
    assert len({p.origin.uid for p in found}) == 2
    both = parts(door(*beating(make, planes=2)[:-1]))
    assert [p.values.shape for p in both] == [(5, 1, 6, 8), (4, 1, 6, 8)]


def test_temporal_positions_without_times_are_spread_and_noted(make, door):
    frames = beating(make, planes=1, TriggerTime=0)
    for t, ds in enumerate(frames):
        ds.TemporalPositionIdentifier = t + 1
    (part,) = parts(door(*frames))
    assert isinstance(part, Cine)
    np.testing.assert_allclose(part.phase[:, 0], np.arange(5) / 5)
    assert told(part, "spread evenly by temporal positions")


def test_a_series_over_many_beats_is_planes_with_times(make, door):
    frames = beating(make, planes=2, TriggerTime=20)
    for n, ds in enumerate(frames):
        ds.AcquisitionTime = f"1015{2 * (n % 5):02d}.5"
    (part,) = parts(door(*frames))
    assert isinstance(part, Planes) and told(part, "not one heartbeat")
    assert part.times_ms is not None
    np.testing.assert_allclose(part.times_ms, [0, 2000, 4000, 6000, 8000] * 2)


def test_inversion_times_are_no_cine(make, door):
    frames = beating(make, planes=1)
    for n, ds in enumerate(frames):
        ds.InversionTime = 100 + 80 * n
    (part,) = parts(door(*frames))
    assert isinstance(part, Planes) and told(part, "several inversion times")
    assert part.origin.facts["InversionTime"] == (100, 180, 260, 340, 420)


def test_frames_that_nothing_tells_apart_are_planes(make, door):
    frames = beating(make, planes=1)
    for ds in frames:
        del ds.TriggerTime, ds.NominalInterval
    (part,) = parts(door(*frames))
    assert isinstance(part, Planes) and told(part, "no time tells apart")


def test_single_planes_of_different_series_become_one_stack(make, door):
    frames = [
        ds
        for k in (2, 0, 1)
        for ds in beating(
            make, planes=1, series=10 + k, start=k, NominalInterval=800 + k, SeriesDescription=f"SA {k}"
        )
    ]
    (part,) = parts(door(*frames))
    assert isinstance(part, Cine) and part.values.shape == (5, 3, 6, 8)
    np.testing.assert_allclose(part.rr_ms, [800, 801, 802])
    assert told(part, "3 parallel planes of series 10, 11, 12")
    assert (part.origin.number, part.origin.label) == (10, "SA 0 | SA 1 | SA 2")
    assert part.origin.uid not in {ds.SeriesInstanceUID for ds in frames}
    assert {s.series for s in part.origin.sources} == {ds.SeriesInstanceUID for ds in frames}


@pytest.mark.parametrize(
    "changes",
    [
        {"size": (8, 6)},
        {"ScanningSequence": "SE"},
        {"ImageOrientationPatient": [0.99, 0.1410674, 0, -0.1410674, 0.99, 0]},
        {"FrameOfReferenceUID": "1.2.3.4"},
        {"PixelSpacing": [1.0, 1.0]},
        {"StudyInstanceUID": "1.2.3.4"},
    ],
)
def test_what_differs_is_not_stacked(make, door, changes):
    frames = beating(make, planes=1, series=10) + beating(make, planes=1, series=11, start=1, **changes)
    assert len(parts(door(*frames))) == 2


def test_a_repeated_plane_stays_apart_and_the_newest_is_in_the_stack(make, door):
    frames = [
        ds
        for k in (0, 1)
        for ds in beating(make, planes=1, series=10 + k, start=k, AcquisitionDateTime="20250514101010")
    ]
    again = beating(make, planes=1, series=15, AcquisitionDateTime="20250514111010", NominalInterval=900)
    found = parts(door(*frames, *again))
    stack = next(p for p in found if p.values.shape[1] == 2)
    old = next(p for p in found if p.values.shape[1] == 1)
    assert 900 in stack.rr_ms
    assert old.origin.number == 10 and told(old, "the same plane again as series 15")


def test_radial_planes_of_one_series_are_a_cine_each(make, door):
    frames = []
    for n, angle in enumerate((0, 60, 120)):
        frames += [oblique(ds, rotation((1, 0, 0), angle)) for ds in beating(make, planes=1, start=10 * n)]
    found = parts(door(*frames))
    assert [type(p) for p in found] == [Cine] * 3
    assert len({p.origin.uid for p in found}) == 3


@pytest.mark.data
def test_the_real_exam_sorts_itself_without_labels(data, door_at, tmp_path):
    with zipfile.ZipFile(data("bivme-cine-dicom") / "dicoms_patient1.zip") as archive:
        for n, name in enumerate(sorted(archive.namelist(), key=lambda s: s[::-1])):
            if not name.endswith("/"):
                (tmp_path / f"{n:04}").write_bytes(archive.read(name))
    found = parts(door_at([tmp_path]))
    assert [type(p) for p in found] == [Cine] * 6
    stack = next(p for p in found if p.values.shape[1] == 6)
    assert stack.values.shape == (25, 6, 208, 256)
    assert stack.grid is not None and stack.grid.spacing_mm == pytest.approx(
        (17.7, 1.40625, 1.40625), abs=0.01
    )
    assert sorted(stack.rr_ms) == [776, 814, 829, 831, 860, 863]
    assert any("17.7 mm apart and 6 mm thick: 11.7 mm unseen" in n for n in fingerprint(stack).notes)
    assert (np.diff(stack.times_ms, axis=0) > 0).all() and (stack.phase < 1).all()
    singles = [p for p in found if p is not stack]
    assert [p.values.shape[:2] for p in singles] == [(25, 1)] * 5
    # The two planes called 4CH, and the two called 2CH, are not the same plane.
    for label, apart in (("4CH", 58), ("2CH", 14)):
        one, two = (p.planes[0].normal for p in singles if label in p.origin.label)
        assert np.degrees(np.arccos(abs(one @ two))) == pytest.approx(apart, abs=1)
    assert all(len(p.origin.sources) == 25 * p.values.shape[1] for p in found)


# Enhanced --------------------------------------------------------------------------------------


def group(**sequences):
    ds = Dataset()
    for name, values in sequences.items():
        item = Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        setattr(ds, name, [item])
    return ds


def enhanced(make, planes=2, phases=3):
    """An enhanced MR cine whose frames are stored phase by phase and whose slope differs by frame."""
    count = planes * phases
    values = np.arange(count, dtype="<u2")[:, None, None] * 10 + np.zeros((1, 6, 8), "<u2")
    ds = make(
        SOPClassUID=ENHANCED_MR,
        pixels=values,
        NumberOfFrames=count,
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        PixelSpacing=None,
        SliceThickness=None,
    )
    ds.SharedFunctionalGroupsSequence = [
        group(
            PixelMeasuresSequence={"PixelSpacing": [1.5, 1.25], "SliceThickness": 4},
            PlaneOrientationSequence={"ImageOrientationPatient": [0, 1, 0, 0, 0, 1]},
            MREchoSequence={"EffectiveEchoTime": 1.23},
        )
    ]
    ds.PerFrameFunctionalGroupsSequence = [
        group(
            PlanePositionSequence={"ImagePositionPatient": [6.0 * k, 1, 2]},
            CardiacSynchronizationSequence={
                "NominalCardiacTriggerDelayTime": 50.0 * t,
                "RRIntervalTimeNominal": 900.0,
            },
            FrameContentSequence={"TemporalPositionIndex": t + 1},
            PixelValueTransformationSequence={
                "RescaleSlope": k + 1,
                "RescaleIntercept": 0,
                "RescaleType": "US",
            },
        )
        for t in range(phases)
        for k in range(planes)
    ]
    return ds


def test_an_enhanced_cine_reads_its_functional_groups(make, door):
    (part,) = parts(door(enhanced(make)))
    assert isinstance(part, Cine) and part.values.shape == (3, 2, 6, 8)
    np.testing.assert_array_equal(part.values.array[:, :, 0, 0], [[0, 20], [20, 60], [40, 100]])
    np.testing.assert_allclose(part.times_ms[:, 0], [0, 50, 100])
    np.testing.assert_allclose(part.rr_ms, 900)
    assert part.planes[1].origin == pytest.approx((6, 1, 2))
    assert part.planes[0].normal == pytest.approx((1, 0, 0))
    assert part.origin.facts["EchoTime"] == 1.23
    (source,) = part.origin.sources
    assert source.frames == (1, 2, 3, 4, 5, 6)


def test_an_enhanced_volume_in_sequences_of_undefined_length(make, door):
    ds = enhanced(make, planes=4, phases=1)
    ds["PerFrameFunctionalGroupsSequence"].is_undefined_length = True
    for item in ds.PerFrameFunctionalGroupsSequence:
        item.is_undefined_length_sequence_item = True
    (part,) = parts(door(ds))
    assert isinstance(part, Image) and part.grid.spacing_mm == pytest.approx((6, 1.5, 1.25))


def test_frames_without_their_groups_are_a_problem(make, door):
    ds = enhanced(make)
    ds.PerFrameFunctionalGroupsSequence = ds.PerFrameFunctionalGroupsSequence[:-1]
    (problem,) = door(ds).problems
    assert "6 frames with 5 functional groups" in problem.found


# Pictures --------------------------------------------------------------------------------------

US = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.3.1",
    "Modality": "US",
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
    "ImagePositionPatient": None,
    "ImageOrientationPatient": None,
    "PixelSpacing": None,
}


def loop(make, frames=4, **changes):
    values = np.arange(frames * 48, dtype=np.uint8).reshape(frames, 6, 8)
    return make(pixels=values, **(US | {"NumberOfFrames": frames} | changes))


@pytest.mark.parametrize(
    ("changes", "times", "note"),
    [
        ({"FrameTime": 33.3}, [0, 33.3, 66.6, 99.9], ""),
        ({"FrameTimeVector": [0, 30, 40, 30]}, [0, 30, 70, 100], ""),
        ({"CineRate": 25}, [0, 40, 80, 120], "Cine Rate"),
        ({}, None, "no frame times"),
    ],
)
def test_the_times_of_a_loop(make, door, changes, times, note):
    (part,) = parts(door(loop(make, **changes)))
    assert isinstance(part, Picture) and part.values.shape == (4, 6, 8)
    if times is None or part.times_ms is None:
        assert part.times_ms is times
    else:
        np.testing.assert_allclose(part.times_ms, times)
    assert not note or told(part, note)


def region(delta, **changes):
    ds = Dataset()
    ds.RegionSpatialFormat, ds.RegionDataType = 1, 1
    ds.RegionLocationMinX0, ds.RegionLocationMinY0, ds.RegionLocationMaxX1, ds.RegionLocationMaxY1 = (
        0,
        0,
        7,
        5,
    )
    ds.PhysicalUnitsXDirection = ds.PhysicalUnitsYDirection = 3
    ds.PhysicalDeltaX, ds.PhysicalDeltaY = delta, 2 * delta
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def test_an_echo_is_calibrated_by_its_region(make, door):
    doppler = region(0.001, RegionSpatialFormat=3, PhysicalUnitsYDirection=7)
    (part,) = parts(door(loop(make, SequenceOfUltrasoundRegions=[region(0.05), doppler])))
    assert part.spacing_mm == pytest.approx((1.0, 0.5))
    assert part.origin.facts["UltrasoundRegions"][0] == (0, 0, 7, 5, 1, 1)
    (part,) = parts(door(loop(make, SequenceOfUltrasoundRegions=[region(0.05), region(0.02)])))
    assert part.spacing_mm is None and told(part, "different scale")


def test_detector_spacing_is_noted(make, door):
    xa = {"Modality": "XA", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.12.1", "ImagerPixelSpacing": [0.3, 0.3]}
    (part,) = parts(door(loop(make, **xa)))
    assert part.spacing_mm == (0.3, 0.3) and told(part, "detector")
    (part,) = parts(door(loop(make, EstimatedRadiographicMagnificationFactor=1.5, **xa)))
    assert part.spacing_mm == pytest.approx((0.2, 0.2))


def test_loops_of_one_series_are_a_picture_each(make, door):
    second = loop(make, SOPInstanceUID="1.2.3.4.5")
    found = parts(door(loop(make), second))
    assert [p.values.shape[0] for p in found] == [4, 4]
    assert len({p.origin.uid for p in found}) == 2


@pytest.mark.data
def test_a_real_echo(data, door_at):
    (part,) = parts(door_at([data("echo-cine-sample") / "examples_ybr_color.dcm"]))
    assert isinstance(part, Picture) and part.values.array.shape == (30, 240, 320, 3)
    assert part.times_ms is not None
    np.testing.assert_allclose(np.diff(part.times_ms), 33.3, atol=0.1)
    assert part.spacing_mm == pytest.approx((0.51, 0.51), abs=0.01)


def test_parts_can_be_changed_without_their_pixels(make, door):
    (part,) = parts(door(make()))
    assert replace(part, unit="ms").values is part.values
    with pytest.raises(ValueError, match="read-only"):
        part.values.array[0] = 1
