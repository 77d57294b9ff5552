"""PDF: what is in the file is what the findings say, in both languages, in a plain and a DICOM wrapping."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pydicom
import pytest

from carna import codes
from carna.case import Case
from carna.errors import RenderError
from carna.findings import Findings, Measurement, Review, Unknown
from carna.render import say
from carna.render.pdf import to_encapsulated_pdf, to_pdf
from carna.render.words import words

Library = Callable[[str], ModuleType]


def pages(data: bytes, library: Library) -> list[str]:
    """The text of each page, with every run of white space as one blank."""
    reader: Any = library("pypdf").PdfReader(io.BytesIO(data))
    return [" ".join(page.extract_text().split()) for page in reader.pages]


def picture() -> bytes:
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    figure = Figure(figsize=(4, 1))
    figure.savefig(buffer, dpi=50)
    return buffer.getvalue()


@pytest.mark.peer
def test_everything_it_carries_is_there(every: Findings, small_case: Case, library: Library) -> None:
    (text,) = pages(to_pdf(every, small_case), library)
    for said in (
        "Research use only. Not for diagnosis or treatment.",
        "Synthetic data: a virtual patient, no person.",
        "Preliminary: not yet reviewed by a person.",
        "The result could influence treatment",
        "Doe <script>alert(1)</script>",
        "P-1 (Elsewhere)",
        "Heart & <i>rhythm</i>",
        "Left Ventricular ED Volume",
        "120.0 mL",
        "(95 % of 3 samples)",
        "Method: Mean",
        "criteria not met",
        "probability 0.20 (calibration: record 1)",
        "not assessable",
        "no systole was seen",
        "doi:10.1000/182",
        "low_rate = 60.0",
        f"Findings UID {every.uid}",
        "Page 1 of 1",
        # Not carried, and said so.
        "r (Region), s (Shape), f (Field), g (Field), c (Curve), e (Events)",
    ):
        assert said in text, said


@pytest.mark.peer
def test_evidence_is_beside_the_number(rhythm: Findings, small_case: Case, library: Library) -> None:
    text = " ".join(pages(to_pdf(rhythm, small_case), library))
    rate = rhythm["ecg.rate"]
    assert isinstance(rate, Measurement)
    value = say.numbers((rate.value,), say.spread(rate.uncertainty))[0]
    where = say.evidence(rate.evidence[0], small_case.studies[0], words("en"))
    assert f"{value} /min {say.uncertainty(rate.uncertainty, words('en'))} {where} derived from" in text
    assert "fewer than <20> normal beats & one pause" in text
    assert "ecg.rmssd" not in text


@pytest.mark.peer
def test_chinese(rhythm: Findings, small_case: Case, library: Library) -> None:
    text = " ".join(pages(to_pdf(rhythm, small_case, "zh"), library))
    for said in ("分析报告", "仅供研究使用，不得用于诊断或治疗。", "心室率", "患者编号"):
        assert said in text
    assert "Findings report" not in text


@pytest.mark.peer
def test_validated_real_and_reviewed(every: Findings, small_case: Case, library: Library) -> None:
    review = Review("Curie^Marie", "2024-03-07T11:12:13", {})
    made = replace(every, validated=True, synthetic=False, high_stakes=False).corrected(
        (), review, final=True
    )
    (text,) = pages(to_pdf(made, small_case), library)
    assert "Final: reviewed by Curie Marie, 2024-03-07T11:12:13." in text
    for absent in ("Research use", "Synthetic", "Preliminary", "could influence"):
        assert absent not in text


@pytest.mark.peer
def test_many_items_fill_numbered_pages(every: Findings, small_case: Case, library: Library) -> None:
    items = tuple(
        Measurement(id=f"n_{n}", code=codes.LENGTH, value=float(n), unit="mm", uncertainty=Unknown("长" * 90))
        for n in range(90)
    )
    made = replace(every, items=items)
    found = pages(to_pdf(made, small_case, pictures={"A picture": picture()}), library)
    assert len(found) > 3
    for n, text in enumerate(found, 1):
        assert f"Page {n} of {len(found)}" in text
        assert made.uid in text
    assert "A picture" in found[-1] or "A picture" in found[-2]


def test_a_picture_is_drawn(every: Findings, small_case: Case) -> None:
    assert b"/Subtype /Image" in to_pdf(every, small_case, pictures={"One": picture()})
    assert b"/Subtype /Image" not in to_pdf(every, small_case)


def test_a_name_in_chinese_in_an_english_report(every: Findings, small_case: Case) -> None:
    patient = replace(small_case.patient, name="王^小明")
    assert b"STSong-Light" in to_pdf(every, replace(small_case, patient=patient))


@pytest.mark.parametrize("language", ("en", "zh"))
def test_same_findings_same_bytes(every: Findings, small_case: Case, language: Any) -> None:
    first = to_pdf(every, small_case, language, {"One": picture()})
    assert first == to_pdf(every, small_case, language, {"One": picture()})
    assert b"(D:20000101000000" in first  # a fixed date: no clock


def test_another_patient_is_refused(every: Findings, small_case: Case) -> None:
    with pytest.raises(RenderError, match="P-2"):
        to_pdf(replace(every, patient="P-2"), small_case)


def test_encapsulated(rhythm: Findings, small_case: Case) -> None:
    buffer = io.BytesIO()
    to_encapsulated_pdf(rhythm, small_case).save_as(buffer, enforce_file_format=True)
    read = pydicom.dcmread(io.BytesIO(buffer.getvalue()))
    data = read.EncapsulatedDocument[: read.EncapsulatedDocumentLength]
    assert data == to_pdf(rhythm, small_case)
    assert read.DocumentTitle.startswith("SYNTHETIC RESEARCH USE")
    assert read.PatientID == "P-1"
    assert [s.ReferencedSOPInstanceUID for s in read.SourceInstanceSequence] == ["1.2.3.1.1", "1.2.3.1.2"]
    chinese = to_encapsulated_pdf(rhythm, small_case, "zh")
    assert chinese.SOPInstanceUID != read.SOPInstanceUID
    assert chinese.SeriesInstanceUID == read.SeriesInstanceUID


@pytest.mark.peer
def test_peers_accept(every: Findings, small_case: Case, peer: Callable[[str], str], tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    to_encapsulated_pdf(every, small_case, "zh").save_as(path, enforce_file_format=True)

    def said(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert said(peer("dcmftest"), str(path)).stdout.startswith("yes")
    check = said(peer("dciodvfy"), "-new", str(path)).stderr
    assert "EncapsulatedPDF" in check
    assert "Error" not in check
    plain = tmp_path / "report.pdf"
    plain.write_bytes(to_pdf(every, small_case, "zh"))
    drawn = said(peer("pdftoppm"), "-r", "30", "-png", str(plain), str(tmp_path / "page"))
    assert (drawn.returncode, drawn.stderr) == (0, "")
    assert list(tmp_path.glob("page*.png"))
