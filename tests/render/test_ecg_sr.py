"""DICOM ECG reports: the template's rows by hand, everything back through our door, and dcmtk's judgement."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from pydicom.dataset import Dataset
from tests.render.readings import OBJECT, SERIES, resting

from carna import codes
from carna.doors.dicom import results, scan
from carna.doors.files import Blob
from carna.errors import RenderError
from carna.findings import Absent, Findings, Measurement, Review, Statement
from carna.render.ecg_sr import to_ecg_sr, wanted
from carna.render.fhir import to_fhir
from carna.units import convert


def written(out: Dataset) -> bytes:
    buffer = io.BytesIO()
    out.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def back(out: Dataset) -> Findings:
    data = written(out)
    headers, problems = scan.headers([Blob("a.dcm", len(data), partial(bytes, data), data[:4096])])
    got = results.read(headers)
    assert not problems
    assert not got.problems
    (found,) = [a.findings for a in got.arrivals if a.findings is not None]
    return found


def below(item: Dataset, name: str) -> list[Dataset]:
    return [
        child
        for child in item.get("ContentSequence", ())
        if "ConceptNameCodeSequence" in child and child.ConceptNameCodeSequence[0].CodeValue == name
    ]


def everything(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from everything(child)


@pytest.fixture(scope="module")
def report() -> Dataset:
    case, findings = resting()
    return to_ecg_sr(findings, case)


def test_everything_it_carries_comes_back() -> None:
    case, findings = resting()
    found = back(to_ecg_sr(findings, case))
    said = [i for i in findings.items if isinstance(i, Measurement | Statement | Absent)]
    assert {i.id for i in found.items} == {i.id for i in said}
    for item in said:
        got = found[item.id]
        assert (type(got), got.code, got.site) == (type(item), item.code, item.site), item.id
        if isinstance(item, Measurement) and isinstance(got, Measurement):
            assert got.value == item.value
            assert convert(1.0, got.unit, item.unit) == 1.0
            assert got.method == item.method
            assert got.uncertainty == item.uncertainty
        elif isinstance(item, Statement) and isinstance(got, Statement):
            assert (got.verdict, got.rule) == (item.verdict, item.rule)
            assert (got.probability, got.calibration) == (item.probability, item.calibration)
        elif isinstance(item, Absent) and isinstance(got, Absent):
            assert (got.reason, got.why) == (item.reason, item.why)
        if item.evidence:
            (seen,) = got.evidence
            assert (seen.part, seen.start_s, seen.stop_s) == (SERIES, 0.0, 10.0)
            if item.site in codes.LEADS.values():
                assert seen.leads == item.evidence[0].leads
    assert found.synthetic
    assert found.status == "preliminary"
    assert found.manifest.cites == findings.manifest.cites


def test_the_five_rows_are_there_and_absent_ones_are_empty(report: Dataset) -> None:
    (quantitative,) = below(report, "122144")
    (whole,) = below(quantitative, "122158")
    numbers = [c for c in whole.ContentSequence if c.ValueType == "NUM"]
    first = [n.ConceptNameCodeSequence[0].CodeValue for n in numbers[:5]]
    assert first == ["2:16016", "2:16160", "2:15872", "2:16156", "2:16168"]
    rate, _, pr = numbers[:3]
    assert rate.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "{H.B.}/min"
    assert len(pr.MeasuredValueSequence) == 0
    assert pr.NumericValueQualifierCodeSequence[0].CodeValue == "114011"
    assert whole.ContentTemplateSequence[0].TemplateIdentifier == "3713"


def test_a_row_nobody_spoke_of_is_empty_and_says_so() -> None:
    case, findings = resting()
    alone = replace(findings, items=tuple(i for i in findings.items if i.id in ("qrs", "rate")))
    found = back(to_ecg_sr(alone, case))
    assert {i.code for i in found.items if isinstance(i, Absent)} == {
        codes.QT_INTERVAL,
        codes.PR_INTERVAL,
        codes.RR_INTERVAL,
    }
    assert all(i.reason == codes.NOT_ATTEMPTED for i in found.items if isinstance(i, Absent))


def test_only_a_finding_whose_criteria_were_met_is_named_as_one(report: Dataset) -> None:
    (qualitative,) = below(report, "122145")
    named = [c.ConceptCodeSequence[0].CodeValue for c in below(qualitative, "271921002")]
    assert named == [codes.ATRIAL_FIBRILLATION.value]
    (lbbb,) = below(qualitative, codes.LBBB.value)
    assert lbbb.ConceptCodeSequence[0].CodeValue == "CRITERIA-NOTMET"


def test_each_lead_has_its_container_and_its_shared_method_once(report: Dataset) -> None:
    (quantitative,) = below(report, "122144")
    leads = below(quantitative, "122159")
    assert len(leads) == 12
    (named,) = below(leads[1], "122148")
    assert named.ConceptCodeSequence[0].CodeValue == codes.LEADS["II"].value
    (method,) = below(leads[1], "370129005")
    assert (method.RelationshipType, method.ConceptCodeSequence[0].CodeValue) == (
        "HAS OBS CONTEXT",
        "373099004",
    )
    (number,) = below(leads[1], codes.R_AMPLITUDE_LEAD.value)
    assert not below(number, "370129005")


def test_the_waveform_is_referred_to_and_the_formula_named(report: Dataset) -> None:
    (recorded,) = below(report, "55111-9")
    (when,) = below(recorded, "122146")
    assert when.DateTime == "20240301093000"
    (wave,) = below(recorded, "121112")
    assert wave.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == OBJECT
    formulas = [c for c in everything(report) if c.get("ValueType") == "CODE" and c in below_all(report)]
    assert [f.ConceptCodeSequence[0].CodeValue for f in formulas] == [codes.HODGES.value]


def below_all(report: Dataset) -> list[Dataset]:
    return [c for item in everything(report) for c in below(item, codes.ALGORITHM_NAME.value)]


def test_the_summary_says_no_number_that_is_not_among_the_findings(report: Dataset) -> None:
    import re

    _, findings = resting()
    (summary,) = below(report, "55112-7")
    (paragraph,) = below(summary, "55112-7")
    said = re.findall(r"\d+(?:\.\d+)?", paragraph.TextValue)
    values = [i.value for i in findings.items if isinstance(i, Measurement)]
    assert said
    assert all(any(abs(float(n) - v) <= 0.51 for v in values) for n in said)
    assert "Criteria met: Atrial Fibrillation." in paragraph.TextValue
    assert "Left bundle" not in paragraph.TextValue


def test_rhythm_alone_is_no_resting_electrocardiogram() -> None:
    case, findings = resting()
    rhythm = replace(findings, items=tuple(i for i in findings.items if i.id in ("rate", "rr")))
    assert wanted(findings)
    assert not wanted(rhythm)
    with pytest.raises(RenderError):
        to_ecg_sr(rhythm, case)


def test_a_signed_report_is_verified_by_name() -> None:
    case, findings = resting()
    signed = replace(findings, synthetic=False).corrected(
        (), Review("Dr^Who", "2024-03-02T08:00:00", {"qrs": "accepted"}), final=True
    )
    found = back(to_ecg_sr(signed, case))
    assert found.status == "final"
    assert found.review is not None
    assert found.review.author == "Dr^Who"


@pytest.mark.peer
@pytest.mark.parametrize("program", ["dsrdump", "dcmftest", "dciodvfy"])
def test_peers_accept_it(report: Dataset, program: str, peer: Callable[[str], str], tmp_path: Path) -> None:
    path = tmp_path / "ecg.dcm"
    path.write_bytes(written(report))
    done = subprocess.run([peer(program), str(path)], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if program != "dciodvfy":
        assert done.returncode == 0, said
    assert not [line for line in said.splitlines() if line.startswith(("E:", "Error", "F:"))], said


@pytest.mark.parametrize("version", ["R5", "R4B"])
def test_fhir_has_the_global_measurements_in_mdc_and_loinc(version: Literal["R5", "R4B"]) -> None:
    """A record looks for LOINC, a cart for MDC; an absent PR is a reason, not a number."""
    case, findings = resting()
    entries = [e["resource"] for e in to_fhir(findings, case, version)["entry"]]
    by_code: dict[str, dict[str, Any]] = {}
    for resource in entries:
        if resource["resourceType"] == "Observation":
            for coding in resource["code"]["coding"]:
                by_code.setdefault(f"{coding['system']} {coding['code']}", resource)
    loinc, mdc = "http://loinc.org", "urn:iso:std:iso:11073:10101"
    for code, value in (("8633-0", 98.25), ("8634-8", 388.0), ("8632-2", -12.0), ("8636-3", 409.0)):
        assert by_code[f"{loinc} {code}"]["valueQuantity"]["value"] == value
    assert by_code[f"{mdc} {(2 << 16) + 16156}"]["valueQuantity"]["code"] == "ms"
    assert "valueQuantity" not in by_code[f"{loinc} 8625-6"]
    assert "dataAbsentReason" in by_code[f"{loinc} 8625-6"]
