"""FHIR R5 and R4B: valid by an independent model, and what is carried comes back exactly."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from carna import codes
from carna.case import Case
from carna.findings import Absent, Findings, Interval, Measurement, Review, Sd, Statement, Unknown
from carna.render.fhir import CARRIES, LEVEL, NO_UNCERTAINTY, UNCERTAINTY, to_fhir
from carna.study import Ecg, Origin, Study

VERSIONS = ("R5", "R4B")
VERDICTS = {"CRITERIA-MET": "met", "CRITERIA-NOTMET": "not met", "NOT-ASSESSABLE": "not assessable"}
URIS = {codes.system_uri(s): s for s in ("SCT", "LN", "DCM", "MDC", "99CARNA")}


def validated(bundle: dict[str, Any], version: str) -> dict[str, list[dict[str, Any]]]:
    """Return the resources by type as the independent model gives them back."""
    if version == "R5":
        from fhir.resources.bundle import Bundle
    else:
        from fhir.resources.R4B.bundle import Bundle
    back = json.loads(Bundle.model_validate_json(json.dumps(bundle)).model_dump_json())
    resources: dict[str, list[dict[str, Any]]] = {}
    for entry in back["entry"]:
        resources.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return resources


def observations(resources) -> dict[str, dict[str, Any]]:
    return {o["identifier"][0]["value"]: o for o in resources["Observation"]}


def concept(coding: dict[str, str]) -> codes.Concept | None:
    return codes.find(URIS[coding["system"]], coding["code"])


def uncertainty(observation: dict[str, Any]) -> Sd | Interval | Unknown | None:
    for extension in observation["valueQuantity"].get("extension", ()):
        if extension["url"] == UNCERTAINTY:
            return Sd(extension["valueDecimal"])
        if extension["url"] == NO_UNCERTAINTY:
            return Unknown(extension["valueString"])
    for component in observation.get("component", ()):
        if concept(component["code"]["coding"][0]) == codes.UNCERTAINTY_RANGE:
            span = component["valueRange"]
            (level,) = (e["valueDecimal"] for e in span["extension"] if e["url"] == LEVEL)
            return Interval(span["low"]["value"], span["high"]["value"], level)
    return None


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_carried_comes_back(small, version):
    bundle = to_fhir((small.rhythm, small.heart, small.every), small.case, version)
    found = observations(validated(bundle, version))
    checked = 0
    for item in (*small.rhythm.items, *small.heart.items, *small.every.items):
        if type(item) not in CARRIES or item.id not in found:
            continue
        back = found[item.id]
        assert concept(back["code"]["coding"][0]) == item.code
        assert (concept(back["bodySite"]["coding"][0]) if "bodySite" in back else None) == item.site
        assert back["status"] == "preliminary" and back["effectiveDateTime"] == "2024-03-01"
        match item:
            case Measurement():
                quantity = back["valueQuantity"]
                assert (quantity["value"], quantity["code"]) == (item.value, item.unit)
                assert quantity["system"] == "http://unitsofmeasure.org"
                if item.id != "m.samples":
                    assert uncertainty(back) == item.uncertainty
            case Absent():
                assert not any(key.startswith("value") for key in back)
                reason = back["dataAbsentReason"]
                assert reason["text"] == item.why and concept(reason["coding"][1]) == item.reason
            case Statement():
                coding = back["valueCodeableConcept"]["coding"][0]
                assert VERDICTS[coding["code"]] == item.verdict and back["method"]["text"] == item.rule
        checked += 1
    assert checked == (26 if version == "R5" else 25)


def test_a_curve_comes_back_as_samples(small):
    found = observations(validated(to_fhir((small.heart, small.every), small.case, "R5"), "R5"))
    even, uneven = found["motion"]["valueSampledData"], found["c"]["valueSampledData"]
    curve = small.heart["motion"]
    assert [float(v) for v in even["data"].split()] == curve.y.tolist()
    assert np.arange(6) * even["interval"] == pytest.approx(curve.x) and even["intervalUnit"] == "ms"
    assert [float(v) for v in uneven["offsets"].split()] == [0.0, 10.0, 25.0]
    r4 = observations(validated(to_fhir((small.heart, small.every), small.case, "R4B"), "R4B"))
    assert r4["motion"]["valueSampledData"]["period"] == pytest.approx(140.0) and "c" not in r4


@pytest.mark.parametrize("version", VERSIONS)
def test_counts_volumes_and_segments_are_components(small, version):
    found = observations(
        validated(to_fhir((small.rhythm, small.heart, small.every), small.case, version), version)
    )
    assert [c["valueQuantity"]["value"] for c in found["e"]["component"]] == [1.0, 1.0]
    volumes = [c["valueQuantity"]["value"] for c in found["heart"]["component"]]
    assert volumes == pytest.approx(small.heart["heart"].volume_ml(1))
    assert len(found["f"]["component"]) == 17
    assert "s" not in found and "g" not in found


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_left_out_is_named(small, version):
    (report,) = validated(to_fhir(small.every, small.case, version), version)["DiagnosticReport"]
    for name in ("r (Region)", "s (Shape)", "g (Field)", "e (Events)"):
        assert name in report["text"]["div"]


def test_codes_are_written_as_fhir_has_them(small):
    resources = validated(to_fhir(small.rhythm, small.case), "R5")
    (report,) = resources["DiagnosticReport"]
    assert report["code"]["coding"][0]["code"] == "11524-6"
    assert report["category"][0]["coding"][0]["code"] == "EC"
    rate = observations(resources)["ecg.rate"]["code"]["coding"][0]
    assert rate["system"] == "urn:iso:std:iso:11073:10101" and rate["code"] == str((2 << 16) + 16016)


def test_every_reference_inside_leads_to_a_resource(small):
    for version in VERSIONS:
        bundle = to_fhir((small.rhythm, small.heart, small.every), small.case, version)
        urls = [entry["fullUrl"] for entry in bundle["entry"]]
        assert len(urls) == len(set(urls))
        text = json.dumps(bundle)
        used = {piece.split('"')[0] for piece in text.split('"reference": "')[1:]}
        assert used <= set(urls)
        for entry in bundle["entry"]:
            resource = entry["resource"]
            assert entry["request"]["url"] == f"{resource['resourceType']}/{resource['id']}"
            assert entry["fullUrl"] == f"urn:uuid:{resource['id']}"


def test_ids_follow_the_content(small, rhythm):
    first, again = to_fhir(rhythm, small.case), to_fhir(rhythm, small.case)
    assert first == again
    items = (replace(rhythm.items[0], value=76.0), *rhythm.items[1:])
    other = to_fhir(replace(rhythm, items=items), small.case)

    def ids(bundle):
        return {e["fullUrl"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Observation"}

    assert not ids(first) & ids(other)


def test_evidence_in_images_is_a_selection_of_their_frames(small):
    resources = validated(to_fhir(small.heart, small.case), "R5")
    assert len(resources["ImagingStudy"]) == 1 and len(resources["ImagingStudy"][0]["series"]) == 2
    assert all(
        s["studyUid"] == "1.2.3" and s["seriesUid"] == "1.2.3.2" for s in resources["ImagingSelection"]
    )
    frame = observations(resources)["frame_0"]
    assert (
        frame["derivedFrom"][0]["type"] == "ImagingSelection"
        and "frame 1" in frame["derivedFrom"][0]["display"]
    )


def test_research_and_test_data_are_labelled(small, rhythm):
    for resource in validated(to_fhir(rhythm, small.case), "R5")["Observation"]:
        assert {s["code"] for s in resource["meta"]["security"]} == {"HRESCH", "HTEST"}
    clean = replace(rhythm, validated=True, synthetic=False)
    assert all("meta" not in r for r in validated(to_fhir(clean, small.case), "R5")["Observation"])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_review_is_in_the_provenance(small, rhythm, version):
    review = Review("Dr. <Z>", "2024-03-02T08:00:00+00:00", {"ecg.rate": "accepted"})
    final = replace(rhythm, synthetic=False).corrected((), review, final=True)
    resources = validated(to_fhir(final, small.case, version), version)
    (provenance,) = resources["Provenance"]
    assert provenance["agent"][1]["who"]["display"] == "Dr. <Z>"
    assert provenance["recorded"].startswith("2024-03-02T08:00:00")
    assert resources["DiagnosticReport"][0]["status"] == "final"


@pytest.mark.parametrize("version", VERSIONS)
def test_little_is_known_and_still_valid(version):
    from carna.findings import Manifest
    from carna.study import Lazy, Patient

    part = Ecg(Origin("abc", "ECG", format="WFDB"), Lazy.of(np.zeros((1, 100), np.float32)), ("I",), 100.0)
    patient = Patient("")
    case = Case(patient, (Study("2.25.5", patient, parts=(part,)),))
    item = Absent(id="a", code=codes.VENTRICULAR_RATE, why="too short")
    resources = validated(
        to_fhir(Findings("2.25.5", "", (item,), Manifest("x", "1")), case, version), version
    )
    assert "recorded" not in resources["Provenance"][0] and "ImagingStudy" not in resources
    assert resources["Patient"][0]["gender"] == "unknown"


def test_markup_in_words_stays_text(small):
    (report,) = validated(to_fhir(small.rhythm, small.case), "R5")["DiagnosticReport"]
    assert "fewer than &lt;20&gt; normal beats &amp; one pause" in report["text"]["div"]
