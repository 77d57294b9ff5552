"""Arrival: who belongs together, and what is kept apart."""

from dataclasses import replace

import numpy as np
import pytest

import carna
from carna.case import Problem
from carna.doors import arrive
from carna.doors.arrive import Arrival, Delivery, Door, assemble
from carna.doors.ecg.table import write_csv
from carna.errors import Cancelled
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


def test_a_study_of_two_patients_names_a_file_of_each():
    one, two = piece(Patient("1"), "s", "a"), piece(Patient("2"), "s", "b")
    _, problems = assemble([replace(one, file="one.dcm"), replace(two, file="two.dcm")])
    assert problems[0].file == "one.dcm, two.dcm" and problems[0].fix


def _strip(folder):
    strip = Ecg(Origin("e", "ECG"), Lazy.of(np.ones((1, 9), np.float32)), ("II",), 100.0)
    (folder / "strip.csv").write_bytes(write_csv(strip))


def test_a_bug_in_one_door_loses_no_other_doors_files(tmp_path, monkeypatch):
    _strip(tmp_path)
    (tmp_path / "a.bug").write_text("x")
    (tmp_path / "b.bug").write_text("x")

    def broken(blobs, progress):
        raise ZeroDivisionError("a bug")

    bad = Door("bugs", lambda blob: blob.suffix == ".bug", broken)
    known = arrive.doors()
    monkeypatch.setattr(arrive, "doors", lambda: (bad, *known))
    reading = carna.read(tmp_path)
    assert [len(c.studies) for c in reading.cases] == [1]
    (problem,) = reading.problems
    assert problem.file.endswith("a.bug") and "report it" in problem.fix
    assert problem.found.startswith("the bugs door failed on 2 files")
    bad = Door("bugs", broken, broken)
    reading = carna.read(tmp_path)
    assert [len(c.studies) for c in reading.cases] == [1]


def test_cancelling_passes_through_a_door(tmp_path, monkeypatch):
    _strip(tmp_path)

    for error in (Cancelled, KeyboardInterrupt):

        def stopped(blobs, progress, error=error):
            raise error

        only = (Door("slow", lambda blob: True, stopped),)
        monkeypatch.setattr(arrive, "doors", lambda only=only: only)
        with pytest.raises(error):
            carna.read(tmp_path)


def test_every_problem_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "a.x").write_text("x")
    mute = Door("mute", lambda blob: True, lambda blobs, progress: Delivery((), (Problem("a.x", "bad"),)))
    monkeypatch.setattr(arrive, "doors", lambda: (mute,))
    assert carna.read(tmp_path).problems[0].fix


@pytest.mark.parametrize(
    ("name", "content", "fix"),
    [
        ("a.edf", b"0       ".ljust(184) + b"256     ".ljust(60) + b"-1      ", "EDF again"),
        (
            "a.mha",
            b"ObjectType = Image\nNDims = 3\nDimSize = 0 0 0\nElementDataFile = LOCAL\n",
            "MHA, NRRD or NIfTI",
        ),
        ("a.ply", b"ply\nformat ascii 1.0\nwhat is this\nend_header\n", "VTK, VTP, PLY or STL"),
        ("a.vtk", b"# vtk DataFile Version 3.0\nx\nASCII\nDATASET NOTHING\n", "VTK, VTP, PLY or STL"),
        ("a.xyz", b"what", "export it in one of these"),
    ],
)
def test_a_damaged_header_says_how_to_mend_it(tmp_path, name, content, fix):
    (tmp_path / name).write_bytes(content)
    (problem,) = carna.read(tmp_path).problems
    assert fix in problem.fix, problem
