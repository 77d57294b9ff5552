"""FHIR: what is known to be harmless stays, everything else goes."""

from __future__ import annotations

import json

import pytest

from carna.doors.deidentify import Profile, deidentify, named
from carna.doors.deidentify.fhir import deidentify_fhir

BUNDLE = {
    "resourceType": "Bundle",
    "type": "collection",
    "entry": [
        {
            "fullUrl": "urn:uuid:2cd30bd6-3a87-4191-af90-6daa70f58f55",
            "resource": {
                "resourceType": "Patient",
                "id": "2cd30bd6-3a87-4191-af90-6daa70f58f55",
                "text": {"status": "generated", "div": "<div>Q001 Zhang San</div>"},
                "extension": [{"url": "http://hl7.org/fhir/x", "valueString": "Q002"}],
                "identifier": [
                    {"system": "http://ssn", "value": "Q003-11010519491231002X"},
                    {
                        "type": {"coding": [{"code": "MR", "system": "http://hl7.org/fhir/v2/0203"}]},
                        "value": "MR0012345",
                    },
                ],
                "name": [{"family": "Zhang", "given": ["San"], "text": "张三"}],
                "telecom": [{"system": "phone", "value": "Q004"}],
                "address": [{"line": ["Q005"], "city": "Q006", "postalCode": "Q007"}],
                "birthDate": "1949-12-31",
                "_birthDate": {"extension": [{"valueDateTime": "1949-12-31T01:02:03Z"}]},
                "gender": "male",
                "contact": [{"name": {"text": "Q008"}}],
                "photo": [{"data": "Q009"}],
            },
        },
        {
            "resource": {
                "resourceType": "Observation",
                "id": "Q010",
                "status": "final",
                "category": [{"coding": [{"system": "http://terminology.hl7.org/x", "code": "vital-signs"}]}],
                "code": {
                    "coding": [
                        {"system": "http://loinc.org", "code": "8867-4", "display": "Heart rate"},
                        {"system": "http://hospital.example", "code": "Q011", "display": "Q012"},
                    ],
                    "text": "Heart rate",
                },
                "subject": {"reference": "Patient/2cd30bd6-3a87-4191-af90-6daa70f58f55", "display": "Q013"},
                "effectiveDateTime": "2024-02-29T00:30:15.250+08:00",
                "effectivePeriod": {"start": "2024-02-29", "end": "2024-03-01"},
                "performer": [{"reference": "https://h.example/fhir/Practitioner/Q014", "display": "Q015"}],
                "valueQuantity": {
                    "value": 61,
                    "unit": "/min",
                    "system": "http://unitsofmeasure.org",
                    "code": "/min",
                },
                "note": [{"text": "Q016 heart rate normal"}],
                "comment": "call 13812345678",
            },
        },
    ],
}


@pytest.mark.parametrize("profile", [Profile(), named("research")])
def test_no_token_is_left(project, profile):
    text = json.dumps(deidentify_fhir(BUNDLE, profile, project), ensure_ascii=False)
    tokens = [f"Q{n:03d}" for n in range(1, 17)]
    for word in [
        *tokens,
        "Zhang",
        "张三",
        "0012345",
        "1101",
        "1949",
        "1381",
        "2cd30bd6",
        "h.example",
        "hospital",
    ]:
        assert word not in text, word
        assert word in json.dumps(BUNDLE, ensure_ascii=False)


def test_what_was_measured_stays(project):
    out = deidentify_fhir(BUNDLE, named("research"), project)
    seen = out["entry"][1]["resource"]
    assert seen["valueQuantity"] == BUNDLE["entry"][1]["resource"]["valueQuantity"]
    assert seen["code"] == {
        "coding": [{"system": "http://loinc.org", "code": "8867-4", "display": "Heart rate"}],
        "text": "Heart rate",
    }
    assert seen["note"] == [{"text": "heart rate normal"}]
    assert out["entry"][0]["resource"]["gender"] == "male"
    assert "gender" not in deidentify_fhir(BUNDLE, Profile(), project)["entry"][0]["resource"]


def test_references_lead_to_the_patient_of_the_images(ct, project):
    out = deidentify_fhir(BUNDLE, Profile(), project)
    patient, seen = (entry["resource"] for entry in out["entry"])
    assert patient["id"] == seen["subject"]["reference"].removeprefix("Patient/")
    image = deidentify(ct(), Profile(), project)
    assert patient["identifier"][0]["value"] == patient["id"] == image.PatientID


def test_dates_move_as_those_of_the_images_do(ct, project):
    profile = Profile(retain_modified_dates=True)
    seen = deidentify_fhir(BUNDLE, profile, project)["entry"][1]["resource"]
    image = deidentify(ct(), profile, project)  # of the same moment
    digits = seen["effectiveDateTime"].replace("-", "").replace(":", "").replace("T", "").replace("Z", "")
    assert digits.rstrip("0") == (image.StudyDate + image.StudyTime).rstrip("0")
    kept = deidentify_fhir(BUNDLE, Profile(retain_full_dates=True), project)["entry"][1]["resource"]
    assert kept["effectivePeriod"] == {"start": "2024-02-29", "end": "2024-03-01"}
    assert "effectivePeriod" not in deidentify_fhir(BUNDLE, Profile(), project)["entry"][1]["resource"]


@pytest.mark.parametrize("profile", [Profile(), Profile(clean_descriptors=True)])
def test_a_second_time_changes_nothing(project, profile):
    once = deidentify_fhir(BUNDLE, profile, project)
    assert deidentify_fhir(once, profile, project) == once


@pytest.mark.data
@pytest.mark.parametrize("preset", ["basic", "research"])
def test_real_bundles_say_nothing_of_their_people(data, project, preset):
    for path in sorted(data("fhir-synthea").rglob("*.json")):
        before = json.loads(path.read_text())
        after = deidentify_fhir(before, named(preset), project)
        text = json.dumps(after)
        for entry in before.get("entry", []):
            one = entry["resource"]
            if one["resourceType"] in ("Patient", "Practitioner", "Organization"):
                for leaf in _leaves(
                    {k: one[k] for k in ("name", "identifier", "address", "telecom", "id") if k in one}
                ):
                    assert len(leaf) < 4 or leaf not in text, (path.name, leaf)
        kinds = [e["resource"]["resourceType"] for e in before.get("entry", [])]
        assert [e["resource"]["resourceType"] for e in after.get("entry", [])] == kinds


def _leaves(value):
    """Yield the words of identifiers, names and addresses, without those of the format."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key not in ("system", "use", "type", "url", "code", "display", "country"):
                yield from _leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    elif isinstance(value, str):
        yield value


@pytest.mark.data
def test_real_bundles_stay_valid(data, project):
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    path = next((data("fhir-synthea") / "r4").glob("Johnnie*.json"))
    bad = []
    for entry in deidentify_fhir(json.loads(path.read_text()), Profile(), project)["entry"]:
        kind = entry["resource"]["resourceType"]
        try:
            get_fhir_model_class(kind).model_validate(entry["resource"])
        except ValidationError as error:
            bad.append((kind, str(error)[:200]))
    assert bad == []
