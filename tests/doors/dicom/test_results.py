"""Segmentations and reports read as prior findings: other makers' files, our own, and damaged ones."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from carna import codes
from carna.case import Case
from carna.codes import Concept
from carna.doors.arrive import Delivery
from carna.doors.dicom import results, scan
from carna.doors.files import Blob
from carna.findings import (
    Absent,
    Evidence,
    Findings,
    Interval,
    Item,
    Manifest,
    Measurement,
    Region,
    Review,
    Sd,
    Segment,
    Statement,
    Unknown,
)
from carna.space import Grid, rotation
from carna.study import Cine, Ecg, Lazy, Origin, Patient, Source, Study

STUDY, CINE, ECG = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2", "1.2.826.0.1.3680043.8.498.6"
MR_CLASS, ECG_CLASS = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.9.1.1"
SEG_CLASS, SR_CLASS = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.33"


def deliver(*files: bytes) -> Delivery:
    blobs = [Blob(f"{n}.dcm", len(f), partial(bytes, f), f[:4096]) for n, f in enumerate(files)]
    headers, problems = scan.headers(blobs)
    got = results.read(headers)
    return Delivery(got.arrivals, (*problems, *got.problems))


def said(*files: bytes) -> Findings:
    (found,) = [a.findings for a in deliver(*files).arrivals if a.findings is not None]
    return found


def regions(found: Findings) -> list[Region]:
    return [i for i in found.items if isinstance(i, Region)]


def stored(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture
def zoo(data: Callable[[str], Path]) -> Callable[[str], bytes]:
    return lambda name: (Path(data("dicom-zoo")) / "highdicom" / name).read_bytes()


# Segmentations of other makers -----------------------------------------------------------------


@pytest.mark.data
def test_a_binary_segmentation_lies_where_its_frames_say(zoo: Callable[[str], bytes]) -> None:
    file = zoo("seg_image_ct_binary.dcm")
    found = said(file)
    (region,) = regions(found)
    ds = pydicom.dcmread(io.BytesIO(file))
    assert found.manifest.application == "prior: Manufacturer/test"
    assert [s.code for s in region.segments] == [Concept("272673000", "SCT", "Bone")]
    assert region.evidence[0].part == ds.ReferencedSeriesSequence[0].SeriesInstanceUID
    # Each frame's voxels against its own position, without our planes' order.
    frames = {
        float(f.PlanePositionSequence[0].ImagePositionPatient[2]): pixels
        for f, pixels in zip(ds.PerFrameFunctionalGroupsSequence, ds.pixel_array, strict=True)
    }
    assert len(region.planes) == len(frames)
    for plane, labels in zip(region.planes, region.labels, strict=True):
        np.testing.assert_array_equal(labels, frames[float(plane.origin[2])])


@pytest.mark.data
def test_the_order_of_frames_does_not_matter(zoo: Callable[[str], bytes]) -> None:
    ds = pydicom.dcmread(io.BytesIO(zoo("seg_image_ct_binary.dcm")))
    (one,) = regions(said(stored(ds)))
    turned = np.packbits(ds.pixel_array[[2, 0, 1]].ravel(), bitorder="little")
    ds.PixelData = turned.tobytes()
    ds.PerFrameFunctionalGroupsSequence = [ds.PerFrameFunctionalGroupsSequence[n] for n in (2, 0, 1)]
    (two,) = regions(said(stored(ds)))
    np.testing.assert_array_equal(one.labels, two.labels)
    assert all(a.same(b) for a, b in zip(one.planes, two.planes, strict=True))
    assert (np.diff([p.origin @ one.planes[0].normal for p in one.planes]) > 0).all()


@pytest.mark.data
def test_segments_that_overlap_become_regions(zoo: Callable[[str], bytes]) -> None:
    file = zoo("seg_image_ct_binary_overlap.dcm")
    one, two = regions(said(file))
    ds = pydicom.dcmread(io.BytesIO(file))
    assert (one.id, two.id) == ("prior.bone", "prior.spine")
    assert ((one.labels > 0) & (two.labels > 0)).any()
    for number, region in ((1, one), (2, two)):
        mine = [
            n
            for n, f in enumerate(ds.PerFrameFunctionalGroupsSequence)
            if f.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number
        ]
        assert (region.labels > 0).sum() == ds.pixel_array[mine].sum() > 0


@pytest.mark.data
def test_a_fractional_segmentation_is_cut_at_half_and_says_so(zoo: Callable[[str], bytes]) -> None:
    file = zoo("seg_image_ct_true_fractional.dcm")
    delivery = deliver(file)
    assert "at least half" in delivery.problems[0].found
    (region,) = regions(said(file))
    assert (region.labels > 0).sum() == (pydicom.dcmread(io.BytesIO(file)).pixel_array >= 127.5).sum()
    ramp = pydicom.dcmread(io.BytesIO(file))
    steps = (np.arange(ramp.pixel_array.size) % 256).astype(np.uint8)
    ramp.PixelData = steps.tobytes()
    (region,) = regions(said(stored(ramp)))
    assert (region.labels > 0).sum() == (steps >= 128).sum()
    # One that holds only 0 and 1 loses nothing.
    assert not deliver(zoo("seg_image_ct_binary_fractional.dcm")).problems


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("seg_image_sm_control.dcm", "pathology slide"),
        ("seg_image_sm_control_labelmap.dcm", "pathology slide"),
        ("seg_image_sm_dots_tiled_full.dcm", "pathology slide"),
        ("seg_image_cr_binary.dcm", "no place in the patient"),
        ("sm_image.dcm", "Whole Slide"),
    ],
)
def test_what_lies_in_no_patient_is_a_problem(zoo: Callable[[str], bytes], name: str, found: str) -> None:
    delivery = deliver(zoo(name))
    assert not delivery.arrivals
    assert found in delivery.problems[0].found


def test_a_third_makers_segmentation() -> None:
    (region,) = regions(said(Path(str(get_testdata_file("liver.dcm"))).read_bytes()))
    assert region.code.meaning == "Liver"
    assert region.labels.shape == (3, 512, 512)


# Our own, and what the case needs for them -----------------------------------------------------


def oblique(k: int = 4) -> Grid:
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = 8.0, 1.5, 1.25, 1.0
    return Grid((k, 10, 9), rotation((1, 2, 3), 40) @ affine, "1.2.77")


@pytest.fixture
def case() -> Case:
    planes = tuple(oblique().plane(k) for k in range(4))
    images = tuple(Source(f"{CINE}.{n + 1}", MR_CLASS, CINE) for n in range(3 * 4))
    cine = Cine(
        Origin(CINE, "MR", sources=images),
        planes,
        Lazy.of(np.zeros((3, 4, 10, 9), np.int16)),
        np.tile(np.arange(3)[:, None] * 40.0, (1, 4)),
        np.full(4, 800.0),
    )
    wave = Source(f"{ECG}.1", ECG_CLASS, ECG)
    ecg = Ecg(Origin(ECG, "ECG", sources=(wave,)), Lazy.of(np.zeros((2, 500), np.float32)), ("II", "V1"), 500)
    patient = Patient("P7", name="A^B", birth_date="1960-01-02", sex="male", synthetic=True)
    return Case(patient, (Study(STUDY, patient, "2024-03-05T10:11:12", parts=(cine, ecg)),))


def labels() -> np.ndarray:
    out = np.zeros((4, 10, 9), np.uint8)
    out[:, 2:8, 2:8] = 2
    out[:, 4:6, 4:6] = 1
    out[2, 0, 0] = 5
    return out


SEGMENTS = (Segment(1, codes.LV_CAVITY), Segment(2, codes.LV_MYOCARDIUM), Segment(5, codes.RV_CAVITY))


def made(*items: Item, **more: Any) -> Findings:
    manifest = Manifest("ventricles", "1.2", started="2024-03-05T11:00:00", cites=("doi:10.1/x",))
    return Findings(STUDY, "P7", items, manifest, synthetic=True, **more)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_our_own_segmentation_comes_back_equal(case: Case, kind: Literal["BINARY", "LABELMAP"]) -> None:
    from carna.render.seg import to_seg

    planes = tuple(oblique().plane(k) for k in range(4))
    region = Region(
        id="heart.ventricles",
        code=codes.VENTRICLES,
        evidence=(Evidence(CINE),),
        labels=labels(),
        planes=planes,
        segments=SEGMENTS,
        frames=(2,),
    )
    files = [stored(ds) for ds in to_seg(made(region), case, kind=kind)]
    found = said(*files)
    (back,) = regions(found)
    assert (back.id, back.code, back.segments, back.frames) == (region.id, region.code, SEGMENTS, (2,))
    assert back.evidence[0].part == CINE
    np.testing.assert_array_equal(back.labels, region.labels)
    for one, two in zip(back.planes, planes, strict=True):
        assert one.same(two)
        np.testing.assert_allclose(one.voxel_ml, two.voxel_ml)
    assert found.synthetic
    assert found.manifest.application == "prior: Carna/ventricles"


def test_the_moments_of_our_own_region_come_back_as_one(case: Case) -> None:
    from carna.render.seg import to_seg

    planes = tuple(oblique().plane(k) for k in range(4))
    moving = np.stack([labels(), np.roll(labels(), 1, axis=1), np.zeros_like(labels())])
    moving[1, 3] = 0  # this plane is empty at this moment, and not stored
    region = Region(
        id="heart.ventricles",
        code=codes.VENTRICLES,
        evidence=(Evidence(CINE),),
        labels=moving,
        planes=planes,
        segments=SEGMENTS,
        times_ms=np.array([0.0, 40.0, 80.0]),
        frames=(0, 1, 2),
    )
    (back,) = regions(said(*(stored(ds) for ds in to_seg(made(region), case))))
    assert back.times_ms is not None
    assert back.times_ms.tolist() == [0.0, 40.0, 80.0]
    np.testing.assert_array_equal(back.labels, moving)


def test_our_own_report_comes_back_equal(case: Case) -> None:
    from carna.render.sr import to_sr

    beat = (Evidence(ECG, ("V1",), 0.25, 0.75),)
    given = made(
        Measurement(
            id="lv.edv",
            code=codes.LV_EDV,
            site=codes.LEFT_VENTRICLE,
            evidence=(Evidence(CINE),),
            value=123.45678901234567,
            unit="mL",
            uncertainty=Interval(110.0, 140.5, 0.9),
        ),
        Measurement(
            id="lv.ef",
            code=codes.LVEF_MR,
            of=("lv.edv", "lv.esv"),
            value=1 / 3,
            unit="%",
            uncertainty=Sd(0.25),
        ),
        Measurement(
            id="ecg.qt",
            code=codes.QT_INTERVAL,
            evidence=beat,
            value=400.0,
            unit="ms",
            uncertainty=Unknown("one reader"),
            method=codes.BAZETT,
        ),
        Statement(
            id="ecg.af",
            code=codes.ATRIAL_FIBRILLATION,
            of=("ecg.qt",),
            evidence=beat,
            verdict="not met",
            rule="no P waves (ESC 2024)",
        ),
        Statement(
            id="ecg.vt",
            code=codes.VT,
            verdict="met",
            rule="three beats",
            probability=0.25,
            calibration="set A",
        ),
        Absent(
            id="lv.esv",
            code=codes.LV_ESV,
            site=codes.LEFT_VENTRICLE,
            why="no end systole",
            reason=codes.OUT_OF_RANGE,
        ),
        Absent(id="ecg.rhythm", code=codes.RHYTHM, why="too short", reason=codes.NOT_ATTEMPTED),
    )
    delivery = deliver(stored(to_sr(given, case)))
    assert not delivery.problems
    found = said(stored(to_sr(given, case)))
    assert [type(i) for i in found.items] == [type(i) for i in given.items]
    for was, now in zip(given.items, found.items, strict=True):
        assert (was.id, was.code, was.site, was.of) == (now.id, now.code, now.site, now.of)
        assert was.evidence == now.evidence
        match was, now:
            case Measurement(), Measurement():
                assert (was.value, was.unit, was.method) == (now.value, now.unit, now.method)
                if isinstance(was.uncertainty, Interval) and isinstance(now.uncertainty, Interval):
                    assert now.uncertainty.level == was.uncertainty.level
                    ends = (now.uncertainty.low, now.uncertainty.high)
                    assert ends == pytest.approx((was.uncertainty.low, was.uncertainty.high), abs=1e-9)
                else:
                    assert was.uncertainty == now.uncertainty
            case Statement(), Statement():
                assert (was.verdict, was.rule) == (now.verdict, now.rule)
                assert (was.probability, was.calibration) == (now.probability, now.calibration)
            case Absent(), Absent():
                assert (was.why, was.reason) == (now.why, now.reason)
    assert found.manifest.application == "prior: Carna/ventricles"
    assert found.manifest.cites == ("doi:10.1/x",)
    assert (found.status, found.validated, found.synthetic) == ("preliminary", False, True)


def test_a_report_is_final_only_when_a_named_person_verified_it(case: Case) -> None:
    from carna.render.sr import to_sr

    one = Measurement(id="lv.edv", code=codes.LV_EDV, value=1.0, unit="mL", uncertainty=Unknown("x"))
    review = Review("Reader^A", "2024-03-06T09:00:00", {"lv.edv": "accepted"})
    person = replace(case.patient, synthetic=False)
    real = Case(person, (replace(case.studies[0], patient=person),))
    report = to_sr(replace(made(one), synthetic=False, status="final", review=review), real)
    found = said(stored(report))
    assert found.status == "final"
    assert found.review is not None
    assert (found.review.author, found.review.time) == (review.author, review.time)
    assert found.review.verdicts == {"lv.edv": "accepted"}
    report.QualityControlSubject = "YES"
    assert said(stored(report)).status == "preliminary", "nothing of a virtual patient is final"
    report.QualityControlSubject = "NO"
    report.VerificationFlag = "UNVERIFIED"
    assert said(stored(report)).status == "preliminary"
    report.VerificationFlag = "VERIFIED"
    del report.VerifyingObserverSequence
    delivery = deliver(stored(report))
    assert said(stored(report)).status == "preliminary"
    assert "nobody named" in delivery.problems[0].found


# Reports of other makers -----------------------------------------------------------------------


@pytest.mark.data
def test_groups_of_a_foreign_report_keep_site_unit_and_source(zoo: Callable[[str], bytes]) -> None:
    found = said(zoo("sr_document_with_multiple_groups.dcm"))
    numbers = {i.id: i for i in found.items if isinstance(i, Measurement)}
    nodule, aorta = numbers["sr.lungnodule0001.diameter"], numbers["sr.aorta0001.diameter"]
    assert (nodule.value, nodule.unit, nodule.site) == (10.0, "mm", Concept("39607008", "SCT", ""))
    assert (aorta.value, aorta.site) == (20.0, codes.AORTA)
    assert numbers["sr.image0001.intensity_histogram_mean"].unit == "[hnsf'U]"
    assert [i.code.meaning for i in found.items if isinstance(i, Statement)] == [
        "Anatomical position (finding)",
        "Nodule",
        "Level of Significance",
    ]
    assert "3 drawn outlines" in deliver(zoo("sr_document_with_multiple_groups.dcm")).problems[0].found


@pytest.mark.data
def test_old_snomed_codes_are_understood(zoo: Callable[[str], bytes]) -> None:
    found = said(zoo("sr_document.dcm"))
    (area,) = [i for i in found.items if isinstance(i, Measurement)]
    assert (area.value, area.unit, area.code.scheme, area.code.value) == (1.7, "cm2", "SCT", "131184002")
    assert area.site == Concept("297171002", "SCT", "")
    normality = found["sr.planar_roi_measurements.area_of_defined_region.normality"]
    assert normality.of == (area.id,)


def test_a_verified_report_of_a_toolkit() -> None:
    found = said(Path(str(get_testdata_file("test-SR.dcm"))).read_bytes())
    assert found.status == "final"
    assert found.review is not None
    assert found.review.author == "Riesmeier^Jörg"
    assert [i.value for i in found.items if isinstance(i, Measurement)] == [3.0, 3.0]


def node(kind: str, name: Concept, relation: str = "CONTAINS", *children: Dataset, **more: Any) -> Dataset:
    ds = Dataset()
    ds.RelationshipType, ds.ValueType = relation, kind
    ds.ConceptNameCodeSequence = code(name)
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    if children:
        ds.ContentSequence = Sequence(children)
    return ds


def code(what: Concept) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = what.value, what.scheme, what.meaning
    return Sequence([item])


def num(name: Concept, value: str, unit: str, *children: Dataset) -> Dataset:
    measured = Dataset()
    measured.NumericValue = value
    measured.MeasurementUnitsCodeSequence = code(Concept(unit, "UCUM", unit))
    return node("NUM", name, "CONTAINS", *children, MeasuredValueSequence=Sequence([measured]))


def report(*children: Dataset) -> bytes:
    ds = node("CONTAINER", codes.ECG_REPORT, "", *children)
    del ds.RelationshipType
    ds.SOPClassUID, ds.SOPInstanceUID = SR_CLASS, "1.2.3"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.PatientID = STUDY, "1.2.4", "P7"
    ds.Modality, ds.Manufacturer = "SR", "Maker"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return stored(ds)


def test_an_ecg_report_of_template_3700() -> None:
    no_value = node(
        "NUM",
        codes.PR_INTERVAL,
        MeasuredValueSequence=Sequence(),
        NumericValueQualifierCodeSequence=code(codes.MEASUREMENT_FAILURE),
    )
    formula = node("CODE", codes.ALGORITHM_NAME, "HAS PROPERTIES", ConceptCodeSequence=code(codes.FRIDERICIA))
    lead = node("CODE", codes.LEAD_ID, "HAS CONCEPT MOD", ConceptCodeSequence=code(codes.lead("V2")))
    found = said(
        report(
            node(
                "CONTAINER",
                Concept("122144", "DCM", "Quantitative Analysis"),
                "CONTAINS",
                node(
                    "CONTAINER",
                    codes.ECG_GLOBAL_MEASUREMENTS,
                    "CONTAINS",
                    num(codes.VENTRICULAR_RATE, "71", "{H.B.}/min"),
                    no_value,
                    num(codes.QTC_INTERVAL, "410", "ms", formula),
                    num(codes.QRS_AXIS, "30", "furlong"),
                ),
                node(
                    "CONTAINER",
                    codes.ECG_LEAD_MEASUREMENTS,
                    "CONTAINS",
                    lead,
                    num(codes.ST_AMPLITUDE_LEAD, ".1", "mV"),
                ),
            ),
            node(
                "CONTAINER",
                Concept("122145", "DCM", "Qualitative Analysis"),
                "CONTAINS",
                node("CODE", codes.ECG_FINDING, ConceptCodeSequence=code(codes.ATRIAL_FIBRILLATION)),
            ),
            node("TEXT", codes.SUMMARY, TextValue="irregular"),
        )
    )
    (rate,), (pr,), (qtc,) = (
        found.coded(c) for c in (codes.VENTRICULAR_RATE, codes.PR_INTERVAL, codes.QTC_INTERVAL)
    )
    assert isinstance(rate, Measurement)
    assert (rate.value, rate.unit) == (71.0, "{H.B.}/min")
    assert isinstance(pr, Absent)
    assert pr.reason == codes.MEASUREMENT_FAILURE
    assert isinstance(qtc, Measurement)
    (st,) = found.coded(codes.ST_AMPLITUDE_LEAD)
    assert (st.site, st.id) == (
        codes.lead("V2"),
        "sr.quantitative_analysis.ecg_lead_measurements.v2.st_amplitude_lead",
    )
    (axis,) = found.coded(codes.QRS_AXIS)
    assert isinstance(axis, Statement)
    assert axis.rule.endswith("30 furlong")
    (rhythm,) = found.coded(codes.ATRIAL_FIBRILLATION)
    assert isinstance(rhythm, Statement)
    (summary,) = found.coded(codes.SUMMARY)
    assert isinstance(summary, Statement)
    assert summary.rule == "as the sender wrote it: irregular"
    assert any(isinstance(i, Statement) and "Fridericia" in i.rule and i.of == (qtc.id,) for i in found.items)


def test_modifiers_stay_with_what_was_measured() -> None:
    qualifier = node(
        "CODE",
        Concept("121401", "DCM", "Derivation"),
        "HAS CONCEPT MOD",
        ConceptCodeSequence=code(codes.MINIMUM),
    )
    found = said(report(num(codes.DIAMETER, "3", "mm", qualifier), num(codes.DIAMETER, "5", "mm")))
    assert [(i.id, i.code.meaning) for i in found.items] == [
        ("sr.diameter.minimum", "Diameter (Minimum)"),
        ("sr.diameter", "Diameter"),
    ]


def test_content_without_end_is_refused() -> None:
    inner = num(codes.DIAMETER, "3", "mm")
    for _ in range(80):
        inner = node("CONTAINER", codes.FINDING, "CONTAINS", inner)
    delivery = deliver(report(inner))
    assert not delivery.arrivals
    assert "nested" in delivery.problems[0].found


# Damage ----------------------------------------------------------------------------------------


def mutated(file: bytes, seed: int) -> bytes:
    rng = random.Random(seed)
    data = bytearray(file)
    for _ in range(rng.choice((1, 3, 20))):
        at = rng.randrange(132, len(data))
        match rng.randrange(4):
            case 0 | 1:
                data[at] = rng.randrange(256)
            case 2:
                data = data[: max(at, 300)]
            case _:
                data[at : at + rng.randrange(1, 9)] = b"\xff" * rng.randrange(0, 9)
    return bytes(data)


def survive(zoo: Callable[[str], bytes], seeds: range) -> None:
    names = (
        "seg_image_ct_binary_overlap.dcm",
        "seg_image_ct_true_fractional.dcm",
        "sr_document_with_multiple_groups.dcm",
    )
    files = [zoo(name) for name in names] + [Path(str(get_testdata_file("test-SR.dcm"))).read_bytes()]
    for seed in seeds:
        delivery = deliver(mutated(files[seed % len(files)], seed))
        assert delivery.arrivals or delivery.problems


@pytest.mark.data
def test_no_damage_raises(zoo: Callable[[str], bytes]) -> None:
    survive(zoo, range(200))


@pytest.mark.data
@pytest.mark.slow
def test_no_damage_raises_at_length(zoo: Callable[[str], bytes]) -> None:
    survive(zoo, range(200, 2200))
