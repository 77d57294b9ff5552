"""Records from FHIR of every version: the same people, the same record; absence is never a value."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carna import codes
from carna.doors.arrive import Arrival, Delivery
from carna.doors.fhir import DOOR
from carna.doors.files import HEAD, Blob, walk
from carna.progress import SILENT
from carna.study import Entry, Record

PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [
        {"system": "urn:other", "value": "x"},
        {"type": {"coding": [{"code": "MR"}]}, "system": "urn:ward", "value": "77"},
    ],
    "name": [
        {"use": "nickname", "text": "Bo"},
        {"use": "official", "family": "Lind", "given": ["Bo", "Åke"]},
    ],
    "gender": "male",
    "birthDate": "1960-03-01",
}


def concept(code: str, text: str = "", system: str = "http://loinc.org") -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": text}]}


def observation(
    code: str | dict[str, Any], time: str = "2020-03-01T08:00:00Z", **more: Any
) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": concept(code, f"name of {code}") if isinstance(code, str) else code,
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": time,
        **more,
    }


def quantity(value: float, unit: str, **more: Any) -> dict[str, Any]:
    return {"valueQuantity": {"value": value, "unit": unit, **more}}


def bundle(*resources: Any) -> bytes:
    return json.dumps(
        {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}
    ).encode()


def deliver(files: dict[str, bytes]) -> Delivery:
    given = [Blob(name, len(data), partial(bytes, data), data[:HEAD]) for name, data in files.items()]
    return DOOR.read([b for b in given if DOOR.claims(b)], SILENT)


def arrivals(data: bytes, name: str = "a/b.json") -> Sequence[Arrival]:
    delivery = deliver({name: data})
    assert not delivery.problems, delivery.problems
    return delivery.arrivals


def record(*resources: Any) -> Record:
    (arrival,) = arrivals(bundle(PATIENT, *resources))
    assert isinstance(arrival.part, Record)
    return arrival.part


def test_the_patient() -> None:
    (arrival,) = arrivals(bundle(PATIENT))
    who = arrival.patient
    assert (who.id, who.issuer, who.name) == ("77", "urn:ward", "Lind^Bo Åke")
    assert (who.birth_date, who.sex, who.synthetic) == ("1960-03-01", "male", False)
    (old,) = arrivals(bundle({**PATIENT, "name": [{"family": ["Lind"], "given": ["Bo", "Åke"]}]}))
    assert old.patient.name == who.name
    test = {"meta": {"security": [{"code": "HTEST"}]}}
    assert arrivals(bundle({**PATIENT, **test}))[0].patient.synthetic
    assert arrivals(bundle({**PATIENT, "gender": "unknown"}))[0].patient.sex is None


def test_age_height_and_weight_are_the_latest() -> None:
    found = record(
        observation("8302-2", "2020-03-01", **quantity(70, "in", code="[in_i]")),
        observation("8302-2", "2010-03-01", **quantity(1.70, "m")),
        observation("29463-7", "2019-01-01T00:00:00+01:00", **quantity(180, "lbs")),
        {
            "resourceType": "Encounter",
            "period": {"start": "2021-03-01T10:00:00+02:00"},
            "subject": {"reference": "Patient/p1"},
        },
    )
    assert found.age_a == pytest.approx(61.0, abs=0.01)
    assert found.height_cm == pytest.approx(177.8)
    assert found.weight_kg == pytest.approx(81.6466, abs=1e-4)
    assert any("age at 2021-03-01" in n for n in found.origin.notes)
    assert found.origin.time == "2021-03-01T10:00:00+02:00"
    # Without anything dated there is no day to count the age to.
    assert record().age_a is None


def test_blood_pressure_is_its_components() -> None:
    found = record(
        observation(
            "85354-9",
            component=[
                {"code": concept("8480-6", "Systolic"), **quantity(120, "mmHg")},
                {"code": concept("8462-4", "Diastolic"), **quantity(80, "mm[Hg]", code="mm[Hg]")},
            ],
        )
    )
    assert {(e.name, e.value, e.unit) for e in found.entries} == {
        ("Systolic", 120.0, "mm[Hg]"),
        ("Diastolic", 80.0, "mm[Hg]"),
    }
    assert not found.origin.notes[:-1]


def test_absence_is_never_a_value() -> None:
    found = record(
        observation("2339-0", dataAbsentReason=concept("unknown", "Unknown", ""), **quantity(5, "mmol/L")),
        observation("2947-0"),
        observation(
            "85354-9",
            component=[{"code": concept("8480-6"), "dataAbsentReason": concept("masked", "Masked")}],
        ),
        observation("6298-4", valueQuantity={"unit": "mmol/L"}),
        observation("6298-4", status="entered-in-error", **quantity(5, "mmol/L")),
        observation("6298-4", valueQuantity={"value": "5", "unit": "mmol/L"}),
        observation("6298-4", valueQuantity={"value": True, "unit": "mmol/L"}),
    )
    assert found.entries == ()
    notes = " | ".join(found.origin.notes)
    assert "no value (Unknown)" in notes and "no value (Masked)" in notes and "entered-in-error" in notes
    assert "name of 6298-4: no value (no value given) (3 times)" in notes


def test_values_of_every_kind() -> None:
    found = record(
        observation("a", **quantity(5, "mg/L", comparator="<")),
        observation("b", **quantity(5, "furlongs")),
        observation("c", **quantity(5, "furlongs", code="mg/dL")),
        observation("d", valueString="calm"),
        observation("e", valueBoolean=False),
        observation("f", valueInteger=3),
        observation("g", valueRange={"low": {"value": 1, "unit": "mg"}, "high": {"value": 2, "unit": "mg"}}),
        observation("h", valueCodeableConcept={"text": "never smoked"}),
        observation("i", valueSampledData={"origin": {"value": 0}}),
        observation("j", **quantity(7, "")),
        observation("k", valueRatio={"numerator": {"value": 1}, "denominator": {"value": 8}}),
    )
    assert {e.name[-1]: (e.value, e.unit) for e in found.entries} == {
        "a": ("< 5 mg/L", ""),
        "b": ("5 furlongs", ""),
        "c": (5.0, "mg/dL"),
        "d": ("calm", ""),
        "e": ("no", ""),
        "f": (3.0, "1"),
        "g": ("1 mg to 2 mg", ""),
        "h": ("never smoked", ""),
        "j": (7.0, "1"),
        "k": ("1 per 8", ""),
    }
    notes = " | ".join(found.origin.notes)
    assert "'furlongs' is unknown" in notes and "valueSampledData was not read" in notes


def test_codes_are_mapped_to_schemes_and_to_their_equals() -> None:
    two = {
        "coding": [
            {"system": "http://snomed.info/sct", "code": "271649006"},
            {"system": "urn:mine", "code": "z"},
        ],
        "text": "SBP",
    }
    found = record(observation(two, **quantity(120, "mmHg")))
    assert found.entries[0].codes == (("SCT", "271649006"), ("LN", "8480-6"), ("urn:mine", "z"))
    mdc = {"coding": [{"system": "urn:iso:std:iso:11073:10101", "code": "147842"}]}
    given = record(observation(mdc, **quantity(60, "/min"))).entries[0]
    assert ("MDC", "147842") in given.codes


def test_conditions_procedures_and_medications_in_every_version() -> None:
    who: dict[str, Any] = {"subject": {"reference": "Patient/p1"}}
    old: dict[str, Any] = {"patient": {"reference": "Patient/p1"}}
    af = concept("49436004", "Atrial fibrillation", "http://snomed.info/sct")
    warfarin = concept("855332", "Warfarin", "http://www.nlm.nih.gov/research/umls/rxnorm")
    found = record(
        {
            "resourceType": "Condition",
            "code": af,
            "clinicalStatus": "active",
            "dateRecorded": "2001-01-01",
            **old,
        },
        {
            "resourceType": "Condition",
            "code": af,
            "clinicalStatus": concept("resolved"),
            "verificationStatus": concept("provisional"),
            "onsetDateTime": "2002",
            **who,
        },
        {"resourceType": "Condition", "code": af, "verificationStatus": concept("refuted"), **who},
        {
            "resourceType": "Procedure",
            "code": af,
            "status": "completed",
            "performedPeriod": {"start": "2003-01-01"},
            **who,
        },
        {
            "resourceType": "Procedure",
            "code": af,
            "status": "aborted",
            "notPerformed": True,
            "performedDateTime": "2004-01-01",
            **who,
        },
        {
            "resourceType": "Procedure",
            "code": af,
            "status": "not-done",
            "occurrenceDateTime": "2005-01-01",
            **who,
        },
        {
            "resourceType": "MedicationOrder",
            "medicationCodeableConcept": warfarin,
            "status": "active",
            "dateWritten": "2006-01-01",
            **old,
        },
        {
            "resourceType": "MedicationRequest",
            "medicationReference": {"reference": "Medication/m1"},
            "status": "stopped",
            "authoredOn": "2007-01-01",
            **who,
        },
        {"resourceType": "Medication", "id": "m1", "code": warfarin},
        {
            "resourceType": "MedicationRequest",
            "medication": {"concept": warfarin},
            "status": "active",
            "authoredOn": "2008-01-01",
            **who,
        },
        {
            "resourceType": "MedicationStatement",
            "medicationCodeableConcept": warfarin,
            "taken": "n",
            "effectivePeriod": {"start": "2009-01-01"},
            **who,
        },
        {
            "resourceType": "MedicationStatement",
            "medication": {"reference": {"reference": "Medication/m1"}},
            "status": "recorded",
            "dateAsserted": "2010-01-01",
            **who,
        },
        {"resourceType": "Claim", **old},
        {"resourceType": "Wombat", **who},
    )
    assert [(e.time[:4], e.value) for e in found.entries] == [
        ("2001", "active"),
        ("2002", "resolved, provisional"),
        ("2003", "completed"),
        ("2004", "not done"),
        ("2005", "not done"),
        ("2006", "active"),
        ("2007", "stopped"),
        ("2008", "active"),
        ("2009", "not taken"),
        ("2010", "recorded"),
    ]
    assert found.entries[0].codes[0] == (codes.ATRIAL_FIBRILLATION.scheme, codes.ATRIAL_FIBRILLATION.value)
    assert all(e.codes == (("RXNORM", "855332"),) for e in found.entries[5:])
    notes = " | ".join(found.origin.notes)
    assert "refuted" in notes and "1 Claim not read" in notes and "1 Wombat not read" in notes


def test_several_patients_make_several_records() -> None:
    other = {**PATIENT, "id": "p2", "identifier": [{"value": "88"}]}
    theirs = {
        **observation("8302-2", **quantity(150, "cm")),
        "subject": {"reference": "https://x.org/fhir/Patient/p2/_history/3"},
    }
    stray = {**observation("8302-2", **quantity(1, "cm"))}
    del stray["subject"]
    group = {**observation("8302-2", **quantity(2, "cm")), "subject": {"reference": "Group/g"}}
    made = arrivals(
        bundle(PATIENT, other, observation("8302-2", **quantity(180, "cm")), theirs, stray, group)
    )
    heights = {a.patient.id: a.part.height_cm for a in made if isinstance(a.part, Record)}
    assert heights == {"77": 180.0, "88": 150.0}
    assert len({a.study for a in made}) == 2
    assert all(any("2 resources name no patient" in n for n in a.part.origin.notes) for a in made if a.part)


def test_bulk_files_of_one_folder_belong_together() -> None:
    lines = [observation("8302-2", **quantity(180, "cm")), observation("29463-7", **quantity(80, "kg"))]
    files = {
        "bulk/Patient.ndjson": json.dumps(PATIENT).encode() + b"\n",
        "bulk/Observation.ndjson": b"\n".join(json.dumps(x).encode() for x in lines),
        "other/Observation.json": json.dumps(observation("8302-2", **quantity(90, "cm"))).encode(),
    }
    one, two = deliver(files).arrivals
    assert isinstance(one.part, Record) and (one.part.height_cm, one.part.weight_kg) == (180.0, 80.0)
    # The same reference in another folder is another server's patient: never merged by guess.
    assert isinstance(two.part, Record) and two.part.height_cm == 90.0 and two.patient.id == "p1"
    assert two.patient.issuer == "" and one.patient.id == "77"


def test_a_report_with_contained_observations() -> None:
    inner = {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": concept("8811-2", "LVEF"),
        **quantity(55, "%"),
    }
    report = {
        "resourceType": "DiagnosticReport",
        "status": "preliminary",
        "code": concept("59776-5"),
        "conclusion": "x",
        "subject": {"reference": "Patient/p1"},
        "contained": [inner],
        "result": [{"reference": "#o1"}],
    }
    assert record(report).entries == (Entry("LVEF", (("LN", "8811-2"),), 55.0, "%", ""),)


def test_what_carna_writes_is_read_back() -> None:
    from carna.case import Case
    from carna.findings import Absent, Findings, Manifest, Measurement, Sd
    from carna.render.fhir import to_fhir
    from carna.study import Patient, Study

    who = Patient("p7", "urn:x", "Lind^Bo", "1970-01-01", "female")
    rate = Measurement(id="hr", code=codes.HEART_RATE, value=61.0, unit="/min", uncertainty=Sd(1.0))
    absent = Absent(id="qt", code=codes.QT_INTERVAL, why="no T wave")
    for synthetic in (False, True):
        findings = Findings("1.2.3", "p7", (rate, absent), Manifest("ecg", "1"), synthetic=synthetic)
        case = Case(who, (Study("1.2.3", who, time="2024-02-03T10:00:00"),), (findings,))
        (arrival,) = arrivals(json.dumps(to_fhir(findings, case)).encode())
        assert arrival.patient == replace(who, synthetic=synthetic)
        assert isinstance(arrival.part, Record)
        (entry,) = arrival.part.entries
        assert (entry.codes[0], entry.value, entry.unit) == (("LN", "8867-4"), 61.0, "/min")
        notes = " | ".join(arrival.part.origin.notes)
        assert "no value (no T wave)" in notes and "research" in notes and "preliminary" in notes


def test_contained_things_belong_to_their_container() -> None:
    def order(name: str, year: str) -> dict[str, Any]:
        return {
            "resourceType": "MedicationRequest",
            "contained": [{"resourceType": "Medication", "id": "m", "code": {"text": name}}],
            "medicationReference": {"reference": "#m"},
            "authoredOn": year,
            "subject": {"reference": "Patient/p1"},
        }

    found = record(order("Bisoprolol", "2001"), order("Apixaban", "2002"))
    assert [e.name for e in found.entries] == ["Bisoprolol", "Apixaban"]
    other = {**PATIENT, "id": "p", "identifier": [{"value": "9"}]}
    theirs = {
        **observation("8302-2", valueQuantity={"value": 150, "unit": "cm"}),
        "subject": {"reference": "#p"},
        "contained": [other],
    }
    made = {a.patient.id: a.part for a in arrivals(bundle(PATIENT, theirs))}
    assert {id: part.height_cm for id, part in made.items() if isinstance(part, Record)} == {
        "77": None,
        "9": 150,
    }


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"resourceType": "Bundle", "entry": [', "broken JSON"),
        (b'{"resourceType": "Observation", "valueQuantity": {"value": NaN}}', "NaN"),
        (b'{"resourceType": "Bundle"' + b', "a": [' * 100_000, "broken JSON"),
        (b'{"resourceType": "Bundle", "entry": []}', "without a FHIR resource"),
        (b'{"resourceType": 5, "a": 1}', "without a FHIR resource"),
        (b'{"resourceType": "OperationOutcome"}', "of no patient"),
    ],
)
def test_what_is_no_record(data: bytes, says: str) -> None:
    delivery = deliver({"a.json": data})
    assert not delivery.arrivals and says in str(delivery.problems[0])


def test_other_json_is_not_claimed() -> None:
    for data in (b'{"spacing_mm": [1, 1, 1]}', b"[1, 2]", b"\x00\x01"):
        assert not DOOR.claims(Blob("a.json", len(data), lambda: b"", data))


@pytest.mark.data
def test_dstu2_and_stu3_of_the_same_people_are_the_same_record(data: Callable[[str], Path]) -> None:
    made = {}
    for version in ("dstu2", "stu3", "r4"):
        found = [b for b in walk([data("fhir-synthea") / version])[0] if DOOR.claims(b)]
        delivery = DOOR.read(found, SILENT)
        assert not delivery.problems
        made[version] = {a.patient.id: a for a in delivery.arrivals}
    assert set(made["dstu2"]) == set(made["stu3"]) and len(made["dstu2"]) == 3 and len(made["r4"]) == 2
    differences = 0
    # HL7's own example of a fever is active in one version and resolved in the next: another record.
    people = {id: old for id, old in made["dstu2"].items() if old.patient.synthetic}
    assert len(people) == 2
    for id, old in people.items():
        new = made["stu3"][id]
        assert old.patient == new.patient
        one, two = old.part, new.part
        assert isinstance(one, Record) and isinstance(two, Record)
        assert (one.age_a, one.sex, one.height_cm, one.weight_kg) == (
            two.age_a,
            two.sex,
            two.height_cm,
            two.weight_kg,
        )
        assert len(one.entries) == len(two.entries)
        for a, b in zip(one.entries, two.entries, strict=True):
            assert (a.name, a.value, a.unit, a.time) == (b.name, b.value, b.unit, b.time)
            if a.codes != b.codes:  # the sources themselves code prediabetes differently
                assert {a.codes, b.codes} == {(("SCT", "714628002"),), (("SCT", "15777000"),)}
                differences += 1
    assert differences == 1
    by_size = sorted(len(a.part.entries) for a in made["stu3"].values() if isinstance(a.part, Record))
    assert by_size == [
        1,
        104,
        116,
    ]  # 81 + 20 observations, 9 pressures of two parts, conditions, orders, procedures
    (r4,) = [a for a in made["r4"].values() if a.patient.synthetic]
    assert isinstance(r4.part, Record) and r4.part.age_a == pytest.approx(9.62, abs=0.01)
    assert not any("unknown" in n for n in r4.part.origin.notes)


def fuzz(n: int) -> None:
    """Change, drop or retype any node of a valid bundle: never an exception."""
    rng = np.random.default_rng(n)
    seed = json.loads(
        bundle(
            PATIENT,
            observation("8302-2", **quantity(180, "cm")),
            observation("85354-9", component=[{"code": concept("8480-6"), **quantity(120, "mmHg")}]),
            {
                "resourceType": "Condition",
                "code": concept("1"),
                "clinicalStatus": concept("active"),
                "subject": {"reference": "Patient/p1"},
            },
            {
                "resourceType": "MedicationRequest",
                "medicationReference": {"reference": "#m"},
                "contained": [{"resourceType": "Medication", "id": "m"}],
            },
        )
    )
    junk: list[Any] = [
        None,
        True,
        7,
        -1e308,
        "x",
        "",
        [],
        {},
        [[]],
        [None],
        {"a": 1},
        "9999-99-99",
        "2020-13",
        10**400,
    ]

    def mutated(value: Any) -> Any:
        if rng.random() < 0.03:
            return junk[rng.integers(len(junk))]
        if isinstance(value, dict):
            return {k: mutated(v) for k, v in value.items() if rng.random() > 0.01}
        return [mutated(v) for v in value] if isinstance(value, list) else value

    kept = 0
    for _ in range(n):
        text = json.dumps(mutated(seed)).encode()
        if rng.random() < 0.3:
            at = int(rng.integers(len(text)))
            text = text[:at] + bytes([int(rng.integers(256))]) + text[at + int(rng.integers(3)) :]
        for arrival in deliver({"a.json": text}).arrivals:
            assert isinstance(arrival.part, Record)
            kept += len(arrival.part.entries)
    assert kept


def test_mutated_bundles_never_raise() -> None:
    fuzz(200)


@pytest.mark.slow
def test_many_mutated_bundles_never_raise() -> None:
    fuzz(2000)
