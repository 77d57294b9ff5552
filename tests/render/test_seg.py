"""DICOM SEG: the same voxels at the same place, by two readers, on oblique gapped planes that beat."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.dataset import Dataset

from carna import codes
from carna.case import Case
from carna.errors import RenderError
from carna.findings import Evidence, Findings, Manifest, Measurement, Region, Segment, Unknown
from carna.render.carries import left_out
from carna.render.seg import CARRIES, Kind, to_seg
from carna.space import Grid, rotation
from carna.study import Cine, Image, Lazy, Origin, Patient, Source, Study

Array = npt.NDArray[Any]
CT, MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
STUDY, SERIES, FRAME = (f"1.2.826.0.1.3680043.8.498.{n}" for n in (1, 2, 77))
KINDS: tuple[Kind, ...] = ("BINARY", "LABELMAP")
MOMENTS = ((0, 0), (1, 2))  # moment of the region, phase of the cine
# Six oblique planes with a gap between the third and the fourth, and a size that fills no whole bytes.
OFFSETS_MM = np.array([0.0, 8.0, 16.0, 34.0, 42.0, 50.5])
SIZE, SPACING_MM, START_MM = (30, 37), (1.4, 1.1), np.array([-31.7, 44.2, 918.6])
TURN = (rotation((1.0, 2.0, 0.5), 37.0) @ rotation((0.0, 1.0, 0.0), -21.0))[:3, :3]


@dataclass(frozen=True)
class Made:
    case: Case
    findings: Findings
    cine: Cine


def header() -> Dataset:
    out = Dataset()
    out.PatientName, out.PatientID, out.PatientBirthDate, out.PatientSex = "王^小明", "P7", "19600102", "M"
    out.StudyInstanceUID, out.StudyDate, out.StudyTime = STUDY, "20240305", "101112"
    out.AccessionNumber, out.StudyID, out.ReferringPhysicianName = "A1", "S1", "Referrer^R"
    return out


def labels() -> Array:
    """Three labels at two moments (2, 6, 30, 37), smaller in systole; the last plane is empty."""
    r, c = np.mgrid[: SIZE[0], : SIZE[1]]
    out = np.zeros((2, len(OFFSETS_MM), *SIZE), np.uint8)
    for t, radius in enumerate((9.0, 6.0)):
        for k in range(len(OFFSETS_MM) - 1):
            distance = np.hypot(r - 14 - k, c - 17 + 2 * k)
            out[t, k][distance < radius + 3] = 2
            out[t, k][distance < radius - k / 2] = 1
            out[t, k][(c > 31) & (r > 20) & (distance > radius + 3)] = 5
    return out


def true_place(mask: Array) -> tuple[int, Array]:
    """Voxel count and centre of mass, LPS mm, of a mask (k, r, c), by the numbers above alone."""
    k, r, c = np.nonzero(mask)
    where = np.stack([c * SPACING_MM[1], r * SPACING_MM[0], OFFSETS_MM[k]], axis=-1)
    return len(k), START_MM + (where @ TURN.T).mean(axis=0)


def made(sources: tuple[Source, ...]) -> Made:
    """A cine of three phases from these stored objects, and labels on the first and last phase."""
    planes = tuple(
        Grid.from_dicom(
            size=SIZE,
            position=START_MM + TURN[:, 2] * offset,
            orientation=(*TURN[:, 0], *TURN[:, 1]),
            spacing_mm=SPACING_MM,
            thickness_mm=6.0,
            frame=FRAME,
        )
        for offset in OFFSETS_MM
    )
    cine = Cine(
        Origin(SERIES, "MR", "SAX cine", 5, sources=sources),
        planes,
        Lazy.of(np.zeros((3, 6, *SIZE), np.int16)),
        times_ms=np.tile([[0.0], [200.0], [350.0]], (1, 6)),
        rr_ms=np.full(6, 900.0),
    )
    item = Region(
        id="lv.labels",
        code=codes.VENTRICLES,
        labels=labels(),
        planes=planes,
        segments=(
            Segment(1, codes.LV_CAVITY),
            Segment(2, codes.LV_MYOCARDIUM),
            Segment(5, codes.RIGHT_VENTRICLE),
        ),
        times_ms=np.array([0.0, 350.0]),
        frames=(0, 2),
        evidence=(Evidence(SERIES, frames=(0, 2)),),
    )
    number = Measurement(id="lv.edv", code=codes.LV_EDV, value=1.0, unit="mL", uncertainty=Unknown("a test"))
    patient = Patient("P7", name="王^小明")
    study = Study(STUDY, patient, "2024-03-05T10:11:12", parts=(cine,))
    manifest = Manifest("heart_volumes", "1.2", started="2024-03-06T08:09:10+00:00", models={"net": "ab"})
    return Made(Case(patient, (study,)), Findings(STUDY, "P7", (item, number), manifest), cine)


@pytest.fixture
def dicom_made() -> Made:
    return made(tuple(Source(f"{SERIES}.{n + 1}", MR, SERIES, read=header) for n in range(18)))


@pytest.fixture
def dicom_multiframe() -> Made:
    return made((Source(f"{SERIES}.1", ENHANCED_MR, SERIES, read=header),))


@pytest.fixture
def dicom_foreign() -> Made:
    return made((Source("2.25.1"),))


def written(out: Dataset) -> bytes:
    buffer = io.BytesIO()
    out.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def reread(out: Dataset) -> Dataset:
    return pydicom.dcmread(io.BytesIO(written(out)))


def bits(out: Dataset) -> Array:
    """Frames (n, r, c) of a segmentation: one bit a voxel by hand, bytes through the decoder."""
    shape = (int(out.NumberOfFrames), out.Rows, out.Columns)
    if out.SegmentationType == "LABELMAP":
        return np.asarray(out.pixel_array).reshape(shape)
    flat = np.unpackbits(np.frombuffer(out.PixelData, np.uint8), bitorder="little")
    return flat[: np.prod(shape)].reshape(shape)


def segment_place(out: Dataset, number: int) -> tuple[int, Array]:
    """Count and centre of mass of a segment, LPS mm, from the attributes alone (PS3.3 C.7.6.2.1.1)."""
    shared = out.SharedFunctionalGroupsSequence[0]
    total, count = np.zeros(3), 0
    for frame, group in zip(bits(out), out.PerFrameFunctionalGroupsSequence, strict=True):
        if out.SegmentationType == "BINARY":
            here = frame * (group.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number)
        else:
            here = frame == number
        r, c = np.nonzero(here)
        measures = (group if "PixelMeasuresSequence" in group else shared).PixelMeasuresSequence[0]
        turned = (group if "PlaneOrientationSequence" in group else shared).PlaneOrientationSequence[0]
        row, column = np.array(turned.ImageOrientationPatient, float).reshape(2, 3)
        between_rows, between_columns = map(float, measures.PixelSpacing)
        at = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        total += len(r) * at + row * between_columns * c.sum() + column * between_rows * r.sum()
        count += len(r)
    return count, total / max(count, 1)


def region(made: Made) -> Region:
    item = made.findings["lv.labels"]
    assert isinstance(item, Region)
    return item


@pytest.mark.parametrize("kind", KINDS)
def test_count_and_centre_of_mass(dicom_made: Made, kind: Kind) -> None:
    objects = to_seg(dicom_made.findings, dicom_made.case, kind=kind)
    assert len(objects) == 2
    for moment, out in enumerate(map(reread, objects)):
        assert out.SegmentationType == kind
        for number, label in enumerate((1, 2, 5), 1):
            count, centre = true_place(region(dicom_made).labels[moment] == label)
            found, where = segment_place(out, number)
            assert found == count > 20
            np.testing.assert_allclose(where, centre, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_highdicom_finds_the_labels_of_each_phase_on_its_own_images(dicom_made: Made, kind: Kind) -> None:
    import highdicom

    labels = region(dicom_made).labels
    for (moment, phase), out in zip(
        MOMENTS, to_seg(dicom_made.findings, dicom_made.case, kind=kind), strict=True
    ):
        seg = highdicom.seg.segread(io.BytesIO(written(out)))
        first = 6 * phase
        images = [source.uid for source in dicom_made.cine.origin.sources[first : first + 6]]
        found = seg.get_pixels_by_source_instance(
            images, segment_numbers=[1, 2, 3], assert_missing_frames_are_empty=True
        )
        expected = np.stack([labels[moment] == label for label in (1, 2, 5)], axis=-1)
        np.testing.assert_array_equal(found, expected)
        names = [
            segment.segmented_property_type.value for segment in map(seg.get_segment_description, (1, 2, 3))
        ]
        assert names == [codes.LV_CAVITY.value, codes.LV_MYOCARDIUM.value, codes.RIGHT_VENTRICLE.value]


@pytest.mark.parametrize("kind", KINDS)
def test_one_multiframe_source(dicom_multiframe: Made, kind: Kind) -> None:
    import highdicom

    labels = region(dicom_multiframe).labels
    for (moment, phase), out in zip(
        MOMENTS, to_seg(dicom_multiframe.findings, dicom_multiframe.case, kind=kind), strict=True
    ):
        seg = highdicom.seg.segread(io.BytesIO(written(out)))
        found = seg.get_pixels_by_source_frame(
            dicom_multiframe.cine.origin.sources[0].uid,
            [6 * phase + k + 1 for k in range(6)],
            segment_numbers=[1, 2, 3],
            assert_missing_frames_are_empty=True,
        )
        expected = np.stack([labels[moment] == label for label in (1, 2, 5)], axis=-1)
        np.testing.assert_array_equal(found, expected)


def test_a_turned_plane_stays_turned(dicom_made: Made) -> None:
    """A plane turned against the others keeps its orientation, and its labels their place."""
    old = region(dicom_made)
    turned = old.planes[1].moved(rotation((0, 0, 1), 10.0))
    planes = (old.planes[0], turned, *old.planes[2:])
    made = replace(dicom_made.findings, items=(replace(old, planes=planes),))
    out = reread(to_seg(made, dicom_made.case)[0])
    assert "PlaneOrientationSequence" not in out.SharedFunctionalGroupsSequence[0]
    count, centre = 0, np.zeros(3)
    for k, plane in enumerate(planes):
        r, c = np.nonzero(old.labels[0, k] == 2)
        count += len(r)
        centre += plane.to_world(np.stack([np.zeros(len(r)), r, c], axis=-1)).sum(axis=0)
    found, where = segment_place(out, 2)
    assert found == count
    np.testing.assert_allclose(where, centre / count, atol=1e-6)
    # The turned plane is no image of the source: nothing claims that it was drawn on one.
    claims = ["DerivationImageSequence" in group for group in out.PerFrameFunctionalGroupsSequence]
    assert claims.count(False) == 3


def test_a_crop_of_a_regular_volume(dicom_made: Made) -> None:
    """A crop of a CT keeps the place of every voxel; it lies on no source image as a whole."""
    import highdicom

    affine = np.array([[0.1, 0.02, 0.8, -50], [0.0, 0.8, -0.02, 30], [2.5, -0.01, -0.03, 12], [0, 0, 0, 1.0]])
    grid = Grid((7, 20, 24), affine, "1.2.826.0.1.3680043.8.498.78")
    crop = grid.crop((2, 3, 4), (6, 18, 20))
    sources = tuple(Source(f"1.2.826.0.1.3680043.8.498.9.{k + 1}", CT, "1.2.3", read=None) for k in range(7))
    image = Image(Origin("1.2.3", "CT", sources=sources), grid, Lazy.of(np.zeros((7, 20, 24), np.int16)))
    study = replace(dicom_made.case.studies[0], parts=(image,))
    case = replace(dicom_made.case, studies=(study,))
    for where, referred in ((grid, True), (crop, False)):
        labels = np.zeros(where.shape, np.uint8)
        labels[1:3, 4:9, 6:11] = 1
        item = Region(
            id="aorta",
            code=codes.AORTA,
            labels=labels,
            planes=tuple(where.plane(k) for k in range(where.shape[0])),
            segments=(Segment(1, codes.AORTA),),
            evidence=(Evidence("1.2.3"),),
        )
        out = to_seg(replace(dicom_made.findings, items=(item,)), case)[0]
        index = np.argwhere(labels)
        found, centre = segment_place(reread(out), 1)
        assert found == len(index)
        np.testing.assert_allclose(centre, (where.affine @ [*index.mean(axis=0), 1])[:3], atol=1e-6)
        assert ("DerivationImageSequence" in out.PerFrameFunctionalGroupsSequence[0]) is referred
        if referred:
            seg = highdicom.seg.segread(io.BytesIO(written(out)))
            images = [source.uid for source in sources]
            mask = seg.get_pixels_by_source_instance(images, assert_missing_frames_are_empty=True)
            np.testing.assert_array_equal(mask[..., 0], labels)


def test_one_object_for_each_plane(dicom_made: Made) -> None:
    """Each slice stored as one object of three frames: a phase refers to that frame of every object."""
    sources = tuple(Source(f"1.2.4.{k + 1}", ENHANCED_MR, SERIES, (1, 2, 3), header) for k in range(6))
    origin = replace(dicom_made.cine.origin, sources=sources)
    study = replace(dicom_made.case.studies[0], parts=(replace(dicom_made.cine, origin=origin),))
    out = to_seg(dicom_made.findings, replace(dicom_made.case, studies=(study,)), kind="LABELMAP")[1]
    images = [
        group.DerivationImageSequence[0].SourceImageSequence[0]
        for group in out.PerFrameFunctionalGroupsSequence
    ]
    assert [image.ReferencedSOPInstanceUID for image in images] == [f"1.2.4.{k + 1}" for k in range(5)]
    assert {int(image.ReferencedFrameNumber) for image in images} == {3}


@pytest.mark.parametrize("kind", KINDS)
def test_same_findings_same_bytes(dicom_made: Made, kind: Kind) -> None:
    first = [written(out) for out in to_seg(dicom_made.findings, dicom_made.case, kind=kind)]
    again = [written(out) for out in to_seg(dicom_made.findings, dicom_made.case, kind=kind)]
    assert first == again
    assert first[0] != first[1]


def test_uids_differ(dicom_made: Made) -> None:
    every = [out for kind in KINDS for out in to_seg(dicom_made.findings, dicom_made.case, kind=kind)]
    assert len({out.SOPInstanceUID for out in every}) == 4
    assert len({out.SeriesInstanceUID for out in every}) == 2
    assert {out.StudyInstanceUID for out in every} == {dicom_made.findings.study}


def test_each_moment_says_when_it_is(dicom_made: Made) -> None:
    objects = to_seg(dicom_made.findings, dicom_made.case)
    assert [out.ContentDescription for out in objects] == ["Ventricle at 0 ms", "Ventricle at 350 ms"]
    assert [out.InstanceNumber for out in objects] == [1, 2]
    # A series has one description.
    assert {out.SeriesDescription for out in objects} == {"RESEARCH USE heart_volumes"}
    for out, phase, delay in zip(objects, (0, 2), (0.0, 350.0), strict=True):
        for group in out.PerFrameFunctionalGroupsSequence:
            assert group.FrameContentSequence[0].TemporalPositionIndex == phase + 1
            assert group.CardiacSynchronizationSequence[0].NominalCardiacTriggerDelayTime == delay


def test_a_moment_without_labels_is_written_empty(dicom_made: Made) -> None:
    old = region(dicom_made)
    labels = old.labels.copy()
    labels[1] = 0
    made = replace(dicom_made.findings, items=(replace(old, labels=labels),))
    out = reread(to_seg(made, dicom_made.case)[1])
    assert not bits(out).any()
    assert out.NumberOfFrames == 18


def test_images_that_are_no_dicom_are_refused(dicom_foreign: Made) -> None:
    with pytest.raises(RenderError, match="no DICOM images"):
        to_seg(dicom_foreign.findings, dicom_foreign.case)


def test_another_patient_is_refused(dicom_made: Made) -> None:
    other = replace(dicom_made.case, patient=replace(dicom_made.case.patient, id="P8"))
    with pytest.raises(RenderError, match="P7"):
        to_seg(dicom_made.findings, other)


def test_what_is_left_out_is_named(dicom_made: Made) -> None:
    assert "lv.edv (Measurement)" in left_out(dicom_made.findings, CARRIES)
    assert not any(name.startswith("lv.labels") for name in left_out(dicom_made.findings, CARRIES))


def test_research_use_is_on_the_series(dicom_made: Made) -> None:
    made = replace(dicom_made.findings, synthetic=True)
    out = to_seg(made, dicom_made.case)[0]
    assert out.SeriesDescription.startswith("SYNTHETIC RESEARCH USE")
    assert out.QualityControlSubject == "YES"


@pytest.mark.peer
@pytest.mark.parametrize("kind", KINDS)
def test_peers_accept(dicom_made: Made, peer: Callable[[str], str], tmp_path: Path, kind: Kind) -> None:
    for n, out in enumerate(to_seg(dicom_made.findings, dicom_made.case, kind=kind)):
        path = tmp_path / f"{n}.dcm"
        path.write_bytes(written(out))
        said = subprocess.run([peer("dcmftest"), str(path)], capture_output=True, text=True, check=False)
        assert said.stdout.startswith("yes")
        if kind == "BINARY":  # dciodvfy of 2022 knows no label maps
            said = subprocess.run(
                [peer("dciodvfy"), "-new", str(path)], capture_output=True, text=True, check=False
            )
            assert "Segmentation" in said.stderr
            assert "Error" not in said.stderr


@pytest.mark.data
def test_a_real_cine_keeps_every_voxel_on_its_own_image(data: Callable[[str], Path]) -> None:
    """Six oblique planes of 25 phases: labels of two phases, found again by trigger time and position."""
    import carna

    case = carna.read(data("bivme-cine-dicom")).cases[0]
    study = case.studies[0]
    cine = next(p for p in study.parts if isinstance(p, Cine) and len(p.planes) == 6)
    phases = (0, 10)
    values = cine.values.array[list(phases)]
    bright = (values > np.quantile(values, 0.8)).astype(np.uint8)
    item = Region(
        id="bright",
        code=codes.HEART,
        labels=bright,
        planes=cine.planes,
        segments=(Segment(1, codes.HEART),),
        times_ms=cine.times_ms[list(phases), 0],
        frames=phases,
        evidence=(Evidence(cine.origin.uid, frames=phases),),
    )
    manifest = Manifest("a", "1", started="2024-03-06T08:09:10+00:00")
    found = Findings(study.uid, case.patient.id, (item,), manifest)
    headers = [source.read() for source in cine.origin.sources if source.read]
    for moment, (phase, out) in enumerate(zip(phases, to_seg(found, case), strict=True)):
        index = np.argwhere(bright[moment])
        expected = [cine.planes[k].to_world((0, r, c)) for k, r, c in index]
        frames, groups = bits(out), out.PerFrameFunctionalGroupsSequence
        assert int(frames.sum()) == len(index)
        for frame, group in zip(frames, groups, strict=True):
            image = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
            header = next(h for h in headers if h.SOPInstanceUID == image)
            at = np.array(header.ImagePositionPatient, float)
            np.testing.assert_allclose(
                at, np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
            )
            k = next(k for k, plane in enumerate(cine.planes) if np.allclose(plane.origin, at))
            assert float(header.TriggerTime) == cine.times_ms[phase, k]
            np.testing.assert_array_equal(frame, bright[moment, k])
        assert segment_place(out, 1)[1] == pytest.approx(np.mean(expected, axis=0), abs=1e-6)
