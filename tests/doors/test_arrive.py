"""Arrival: who belongs together, and what is kept apart."""

import numpy as np

import carna
from carna.doors.arrive import Arrival, assemble
from carna.study import Ecg, Lazy, Origin, Patient


def piece(patient, study, uid, number=None):
    part = Ecg(Origin(uid, "ECG", number=number), Lazy.of(np.zeros((1, 10), np.float32)), ("I",), 100.0)
    return Arrival(patient, study, part, time="2026-01-01T00:00:00")


def test_one_patient_is_one_case_with_his_studies_in_time():
    who = Patient("7", "HOSPITAL")
    cases, problems = assemble(
        [
            piece(who, "s1", "b", 2),
            piece(who, "s1", "a", 1),
            piece(Patient("7", "HOSPITAL", "A^B"), "s2", "c"),
        ]
    )
    assert len(cases) == 1 and not problems
    assert cases[0].patient.name == "A^B"
    assert [s.uid for s in cases[0].studies] == ["s1", "s2"]
    assert [p.origin.uid for p in cases[0].studies[0].parts] == ["a", "b"]


def test_the_same_number_of_two_issuers_is_two_people():
    cases, _ = assemble([piece(Patient("7", "A"), "s1", "a"), piece(Patient("7", "B"), "s2", "b")])
    assert len(cases) == 2


def test_without_an_id_nobody_is_merged():
    cases, _ = assemble([piece(Patient(""), "s1", "a"), piece(Patient(""), "s2", "b")])
    assert len(cases) == 2


def test_a_study_of_two_patients_is_kept_apart_and_named():
    cases, problems = assemble([piece(Patient("1"), "s", "a"), piece(Patient("2"), "s", "b")])
    assert len(cases) == 2
    assert "one study of 2 patients: 1, 2" in problems[0].found


def test_what_no_door_knows_is_a_problem(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    reading = carna.read(tmp_path)
    assert not reading.cases
    assert "not a format Carna knows" in reading.problems[0].found
