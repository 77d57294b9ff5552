"""DICOM SR: every number, unit, absence and source comes back, by highdicom, by hand and by dcmtk."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from carna import codes
from carna.case import Case
from carna.errors import RenderError
from carna.findings import (
    Absent,
    Curve,
    Events,
    Evidence,
    Field,
    Findings,
    Input,
    Interval,
    Item,
    Manifest,
    Measurement,
    Region,
    Review,
    Samples,
    Sd,
    Segment,
    Shape,
    Statement,
    Unknown,
)
from carna.render.carries import left_out
from carna.render.sr import CARRIES, to_sr
from carna.render.sr_parts import FEW
from carna.space import Grid, Surface
from carna.study import Cine, Ecg, Lazy, Origin, Patient, Source, Study

STUDY, CINE, ECG = (f"1.2.826.0.1.3680043.8.498.{n}" for n in (1, 2, 6))
MR_CLASS, ECG_CLASS = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.9.1.1"
PHASES, SLICES = 20, 6


def header() -> Dataset:
    out = Dataset()
    out.PatientName, out.PatientID, out.PatientBirthDate, out.PatientSex = "王^小明", "P7", "19600102", "M"
    out.StudyInstanceUID, out.StudyDate, out.StudyTime = STUDY, "20240305", "101112"
    out.AccessionNumber, out.StudyID, out.ReferringPhysicianName = "A1", "S1", "Referrer^R"
    return out


@pytest.fixture
def case() -> Case:
    planes = tuple(
        Grid.from_dicom(
            size=(8, 8), position=(0, 0, 9.0 * k), orientation=(1, 0, 0, 0, 1, 0), spacing_mm=(1, 1)
        )
        for k in range(SLICES)
    )
    images = tuple(Source(f"{CINE}.{n + 1}", MR_CLASS, CINE, read=header) for n in range(PHASES * SLICES))
    cine = Cine(
        Origin(CINE, "MR", sources=images),
        planes,
        Lazy.of(np.zeros((PHASES, SLICES, 8, 8), np.int16)),
        np.tile(np.arange(PHASES)[:, None] * 40.0, (1, SLICES)),
        np.full(SLICES, 800.0),
    )
    wave = Source(f"{ECG}.1", ECG_CLASS, ECG, read=header)
    ecg = Ecg(
        Origin(ECG, "ECG", sources=(wave,)), Lazy.of(np.zeros((2, 500), np.float32)), ("II", "MLII"), 500
    )
    patient = Patient("P7", name="王^小明", birth_date="1960-01-02", sex="male")
    return Case(patient, (Study(STUDY, patient, "2024-03-05T10:11:12", parts=(cine, ecg)),))


NUMBERS: tuple[Measurement, ...] = (
    Measurement(
        id="lv.edv", code=codes.LV_EDV, site=codes.LEFT_VENTRICLE, value=143.21987654321987, unit="mL",
        uncertainty=Interval(131.5, 155.25, 0.9), of=("lv.labels",),
        evidence=(Evidence(CINE, frames=(0, 9), planes=(1, 2)),),
    ),
    Measurement(
        id="lv.ef", code=codes.LVEF_MR, value=61.25, unit="%", uncertainty=Sd(2.5), of=("lv.edv", "lv.esv"),
    ),
    Measurement(
        id="lv.mass", code=codes.LV_MASS_INDEX, value=-1.0 / 3.0, unit="g/m2", evidence=(Evidence(CINE),),
        uncertainty=Unknown("no reader study yet"),
    ),
    Measurement(
        id="flow.resistance", code=codes.VASCULAR_RESISTANCE, value=1.234567890123e-7, unit="mm[Hg].min/L",
        uncertainty=Samples((1e-7, 1.2e-7, 1.5e-7)), method=codes.MEAN,
    ),
    Measurement(
        id="flow.ffr", code=codes.FFR_COMPUTED, value=0.78, unit="1", uncertainty=Interval(0.71, 0.84),
    ),
)  # fmt: skip
REST: tuple[Item, ...] = (
    Measurement(
        id="ecg.rate", code=codes.HEART_RATE, value=71.5, unit="/min", uncertainty=Sd(0.5),
        evidence=(Evidence(ECG, leads=("II", "MLII"), start_s=0.25, stop_s=1.0),),
    ),
    Statement(
        id="ecg.af", code=codes.ATRIAL_FIBRILLATION, verdict="not met", rule="RR irregular, no P waves",
        probability=0.07, calibration="Platt, 2024", evidence=(Evidence(ECG),), of=("ecg.rate",),
    ),
    Absent(
        id="lv.esv", code=codes.LV_ESV, why="End systole was not covered.", reason=codes.MEASUREMENT_FAILURE
    ),
    Absent(id="ecg.rhythm", code=codes.RHYTHM, why="The recording is too short."),
)  # fmt: skip
UNCARRIED: tuple[Item, ...] = (
    Region(
        id="lv.labels", code=codes.VENTRICLES, labels=np.ones((1, 2, 2), np.uint8),
        planes=(Grid((1, 2, 2), np.eye(4)),), segments=(Segment(1, codes.LV_CAVITY),),
    ),
    Shape(id="lv.surface", code=codes.LEFT_VENTRICLE, shape=Surface(np.eye(3), np.array([[0, 1, 2]]))),
    Field(id="lv.strain", code=codes.CIRCUMFERENTIAL_STRAIN, values=np.zeros(17), unit="%", on="AHA17"),
    Curve(id="lv.curve", code=codes.VOLUME, x=np.zeros(2), y=np.ones(2), x_unit="s", y_unit="mL"),
    Events(
        id="ecg.beats", code=codes.BEAT_COUNT, onset_s=np.array([0.1]), types=(codes.PVC,),
        type_index=np.array([0]),
    ),
)  # fmt: skip
MANIFEST = Manifest(
    "heart_volumes",
    "1.2",
    settings={"papillary": True, "threshold": 0.5},
    inputs=(Input("cine", CINE),),
    models={"net": "ab" * 32},
    cites=("doi:10.1016/j.jcmg.2019.09.009",),
    started="2024-03-06T08:09:10+00:00",
)


@pytest.fixture
def findings() -> Findings:
    return Findings(STUDY, "P7", (*NUMBERS, *REST, *UNCARRIED), MANIFEST)


def written(out: Dataset) -> bytes:
    buffer = io.BytesIO()
    out.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def items(parent: Dataset, value_type: str = "", name: str = "") -> list[Dataset]:
    """Items straight below another, of a value type and a concept name."""
    return [
        item
        for item in parent.get("ContentSequence", ())
        if value_type in ("", item.ValueType)
        and ("ConceptNameCodeSequence" in item or not name)
        and name in ("", str(item.ConceptNameCodeSequence[0].CodeValue) if name else "")
    ]


def groups(report: Dataset) -> dict[str, Dataset]:
    """Measurement groups by tracking identifier."""
    (measurements,) = items(report, "CONTAINER", "126010")
    return {items(group, "TEXT", "112039")[0].TextValue: group for group in items(measurements)}


def everything(item: Dataset) -> Iterator[Dataset]:
    for child in items(item):
        yield child
        yield from everything(child)


@pytest.fixture
def report(findings: Findings, case: Case) -> Dataset:
    return pydicom.dcmread(io.BytesIO(written(to_sr(findings, case))))


def test_highdicom_reads_equal_values(findings: Findings, case: Case) -> None:
    """What highdicom 0.28 can read: neither empty numbers nor waveforms, which the next tests do by hand."""
    import highdicom

    out = to_sr(replace(findings, items=(*NUMBERS, *UNCARRIED)), case)
    read = highdicom.sr.srread(io.BytesIO(written(out)))
    found = read.content.get_image_measurement_groups()
    assert [group.tracking_identifier for group in found] == [item.id for item in NUMBERS]
    for group, item in zip(found, NUMBERS, strict=True):
        assert group.tracking_uid == findings.derived_uid(item.id)
        (measured,) = group.get_measurements()
        assert measured.value == item.value
        assert (measured.unit.value, measured.unit.scheme_designator) == (item.unit, "UCUM")
        assert (measured.name.value, measured.name.scheme_designator) == (item.code.value, item.code.scheme)
        assert [s.value.value for s in group.finding_sites] == ([item.site.value] if item.site else [])
        assert (measured.method.value if measured.method else None) == (item.method and item.method.value)
    assert {uid for _, _, uid, _ in read.get_evidence()} == {
        s.uid for s in case.studies[0].parts[0].origin.sources
    }


def test_numbers_fit_sixteen_characters_and_keep_the_double(report: Dataset) -> None:
    for item in NUMBERS:
        (number,) = items(groups(report)[item.id], "NUM")
        measured = number.MeasuredValueSequence[0]
        assert measured.FloatingPointValue == item.value
        assert float(measured.NumericValue) == pytest.approx(item.value, rel=1e-8)


def test_uncertainty_is_a_property_of_the_number(report: Dataset) -> None:
    def spread(id: str) -> dict[str, float]:
        (number,) = items(groups(report)[id], "NUM")
        return {
            str(p.ConceptNameCodeSequence[0].CodeValue): p.MeasuredValueSequence[0].FloatingPointValue
            for p in items(number, "NUM")
        }

    below, above, about = "371885007", "371886008", "371884006"
    assert spread("lv.ef") == {about: 2.5}
    assert spread("lv.edv") == {
        below: pytest.approx(143.21987654321987 - 131.5),
        above: pytest.approx(155.25 - 143.21987654321987),
    }
    assert spread("lv.mass") == {}
    assert spread("flow.resistance")[above] == pytest.approx(1.485e-7 - 1.234567890123e-7)
    texts = [i.TextValue for i in everything(groups(report)["lv.mass"]) if i.ValueType == "TEXT"]
    assert "Uncertainty not stated: no reader study yet" in texts
    texts = [i.TextValue for i in everything(groups(report)["lv.edv"]) if i.ValueType == "TEXT"]
    assert "Uncertainty: 90 % interval, 131.5 to 155.25" in texts


def test_an_absent_number_is_empty_with_its_reason(report: Dataset) -> None:
    (number,) = items(groups(report)["lv.esv"], "NUM")
    assert number.ConceptNameCodeSequence[0].CodeValue == codes.LV_ESV.value
    assert len(number.MeasuredValueSequence) == 0
    assert number.NumericValueQualifierCodeSequence[0].CodeValue == codes.MEASUREMENT_FAILURE.value
    assert items(number, "TEXT")[0].TextValue == "End systole was not covered."
    assert not items(groups(report)["ecg.rhythm"], "NUM")
    (answer,) = items(groups(report)["ecg.rhythm"], "CODE", codes.RHYTHM.value)
    assert answer.ConceptCodeSequence[0].CodeValue == codes.NOT_ATTEMPTED.value


def test_a_statement_says_verdict_rule_and_calibrated_probability(report: Dataset) -> None:
    group = groups(report)["ecg.af"]
    (answer,) = items(group, "CODE", codes.ATRIAL_FIBRILLATION.value)
    assert answer.ConceptCodeSequence[0].CodeMeaning == "Criteria not met"
    assert items(answer, "TEXT")[0].TextValue == "RR irregular, no P waves"
    (probability,) = items(answer, "NUM")
    assert probability.MeasuredValueSequence[0].FloatingPointValue == 0.07
    assert items(probability, "TEXT")[0].TextValue == "Calibration: Platt, 2024"
    # Read as a finding, a criterion that was not met would become a disease.
    assert not items(group, "CODE", codes.FINDING.value)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    (("met", "CRITERIA-MET"), ("not met", "CRITERIA-NOTMET"), ("not assessable", "NOT-ASSESSABLE")),
)
def test_each_verdict_has_its_code(
    findings: Findings, case: Case, verdict: Literal["met", "not met", "not assessable"], expected: str
) -> None:
    item = Statement(id="ecg.vt", code=codes.VT, verdict=verdict, rule="a rule")
    (answer,) = items(groups(to_sr(replace(findings, items=(item,)), case))["ecg.vt"], "CODE", codes.VT.value)
    said = answer.ConceptCodeSequence[0]
    assert (said.CodeValue, said.CodingSchemeDesignator) == (expected, "99CARNA")


def test_images_of_the_evidence_and_no_others(report: Dataset, case: Case) -> None:
    images = items(groups(report)["lv.edv"], "IMAGE")
    expected = [f"{CINE}.{t * SLICES + k + 1}" for t in (0, 9) for k in (1, 2)]
    assert [i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in images] == expected
    whole = groups(report)["lv.mass"]
    assert PHASES * SLICES > FEW
    assert not items(whole, "IMAGE")
    assert items(whole, "UIDREF", "112002")[0].UID == CINE
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    listed = {s.SeriesInstanceUID: len(s.ReferencedSOPSequence) for s in study.ReferencedSeriesSequence}
    assert listed == {CINE: PHASES * SLICES, ECG: 1}


def test_only_what_is_referred_to_is_listed(findings: Findings, case: Case) -> None:
    out = to_sr(replace(findings, items=NUMBERS[:2]), case)
    (study,) = out.CurrentRequestedProcedureEvidenceSequence
    assert [len(s.ReferencedSOPSequence) for s in study.ReferencedSeriesSequence] == [4]


def test_a_stretch_of_the_electrocardiogram(report: Dataset) -> None:
    group = groups(report)["ecg.rate"]
    (stretch,) = items(group, "TCOORD")
    assert stretch.TemporalRangeType == "SEGMENT"
    assert [float(s) for s in stretch.ReferencedTimeOffsets] == [0.25, 1.0]
    (wave,) = items(stretch, "WAVEFORM")
    assert wave.RelationshipType == "SELECTED FROM"
    assert wave.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == f"{ECG}.1"
    assert items(group, "CODE", "122148")[0].ConceptCodeSequence[0].CodeValue == codes.lead("II").value
    assert items(group, "TEXT", "122148")[0].TextValue == "MLII"


def test_who_how_and_for_what(report: Dataset) -> None:
    group = groups(report)["lv.edv"]
    assert items(group, "TEXT", "111001")[0].TextValue == "heart_volumes"
    assert items(group, "TEXT", "111003")[0].TextValue == "1.2"
    parameters = [i.TextValue for i in items(group, "TEXT", "111002")]
    assert parameters == ["papillary = True", "threshold = 0.5", f"model net sha256 {'ab' * 32}"]
    assert report.VerificationFlag == "UNVERIFIED"
    assert report.PreliminaryFlag == "PRELIMINARY"
    assert (report.ContentDate, report.ContentTime) == (
        "20240305",
        "101112",
    )  # of the study: two runs that say the same are one content
    assert str(report.PatientName) == "王^小明"
    assert report.SeriesDescription.startswith("RESEARCH USE")
    assert "Method: doi:10.1016/j.jcmg.2019.09.009" in [i.TextValue for i in items(report, "TEXT")]


@pytest.mark.parametrize("validated", (True, False))
@pytest.mark.parametrize("synthetic", (True, False))
def test_marks(findings: Findings, case: Case, validated: bool, synthetic: bool) -> None:
    out = to_sr(replace(findings, validated=validated, synthetic=synthetic), case)
    marks = {i.ConceptCodeSequence[0].CodeValue for i in items(out, "CODE", "113011")}
    assert (codes.FOR_RESEARCH.value in marks) is not validated
    assert (codes.SYNTHETIC.value in marks) is synthetic
    assert codes.PRELIMINARY_REPORT.value in marks


def test_final_names_the_person(findings: Findings, case: Case) -> None:
    review = Review("Curie^Marie", "2024-03-07T11:12:13", {"lv.edv": "accepted"})
    out = to_sr(findings.corrected((), review, final=True), case)
    assert (out.PreliminaryFlag, out.VerificationFlag) == ("FINAL", "VERIFIED")
    assert out.VerifyingObserverSequence[0].VerifyingObserverName == "Curie^Marie"
    assert "Curie^Marie" in [i.PersonName for i in items(out, "PNAME")]
    assert out.ContentDate == "20240307"


def test_what_is_left_out_is_named(findings: Findings) -> None:
    assert left_out(findings, CARRIES) == (
        "lv.labels (Region)",
        "lv.surface (Shape)",
        "lv.strain (Field)",
        "lv.curve (Curve)",
        "ecg.beats (Events)",
    )


def test_same_findings_same_bytes(findings: Findings, case: Case) -> None:
    assert written(to_sr(findings, case)) == written(to_sr(findings, case))
    other = replace(findings, items=findings.items[1:])
    assert to_sr(findings, case).SOPInstanceUID != to_sr(other, case).SOPInstanceUID


def test_nothing_to_say_is_refused(findings: Findings, case: Case) -> None:
    with pytest.raises(RenderError, match="no number"):
        to_sr(replace(findings, items=UNCARRIED), case)


def test_another_study_is_refused(findings: Findings, case: Case) -> None:
    with pytest.raises(RenderError, match=r"no study 1\.2\.99"):
        to_sr(replace(findings, study="1.2.99"), case)


def test_without_dicom_sources_nothing_is_referred_to(findings: Findings, case: Case) -> None:
    study = case.studies[0]
    bare = tuple(replace(p, origin=replace(p.origin, sources=(Source("2.25.1"),))) for p in study.parts)
    out = to_sr(findings, replace(case, studies=(replace(study, parts=bare),)))
    assert "CurrentRequestedProcedureEvidenceSequence" not in out
    assert not [i for i in everything(out) if i.ValueType in ("IMAGE", "WAVEFORM", "COMPOSITE")]
    assert (str(out.PatientName), out.StudyDate) == ("王^小明", "20240305")


def test_an_identity_that_was_taken_away_stays_away(findings: Findings, case: Case) -> None:
    """A case under a pseudonym, whose sources still lead to headers with the name."""
    hidden = Patient("PSEUDO-1")
    study = replace(case.studies[0], patient=hidden)
    data = written(to_sr(replace(findings, patient=hidden.id), Case(hidden, (study,))))
    assert b"PSEUDO-1" in data
    for secret in ("王", "P7", "19600102", "Referrer"):
        assert secret.encode() not in data


@pytest.mark.peer
def test_peers_accept(findings: Findings, case: Case, peer: Callable[[str], str], tmp_path: Path) -> None:
    path = tmp_path / "sr.dcm"
    path.write_bytes(written(to_sr(findings, case)))

    def said(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)

    assert said(peer("dcmftest")).stdout.startswith("yes")
    dump = said(peer("dsrdump"), "+Pl")
    assert dump.returncode == 0
    assert "E:" not in dump.stderr
    assert '"Left Ventricular ES Volume")=empty (114006,DCM,"Measurement failure")' in dump.stdout
    assert '"61.25" (%,UCUM,"%")' in dump.stdout
    check = said(peer("dciodvfy"), "-new").stderr
    assert "Comprehensive3DSR" in check
    assert "Error" not in check
