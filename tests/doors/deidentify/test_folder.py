"""Folders of real files and of broken ones, and the command."""

from __future__ import annotations

import json
import re
import struct
import zipfile

import numpy as np
import pytest
from pydicom.filereader import dcmread
from typer import Typer
from typer.testing import CliRunner

from carna.doors import read
from carna.doors.deidentify import Profile, named
from carna.doors.deidentify.engine import encode
from carna.doors.deidentify.folder import deidentify_folder
from carna.doors.deidentify.vault import Vault
from carna.node.commands import deidentify as command
from carna.study import Ecg


def test_nothing_of_a_files_name_is_used(ct, project, tmp_path):
    source = tmp_path / "Zhang San 19490312"
    source.mkdir()
    (source / "MR0012345.dcm").write_bytes(encode(ct()))
    out = tmp_path / "out"
    done = deidentify_folder([source], out, Profile(), project)
    (path,) = done.written
    assert done.problems == ()
    assert re.fullmatch(r"[A-Z2-7]{20}/2\.25\.\d+/2\.25\.\d+/2\.25\.\d+\.dcm", str(path.relative_to(out)))
    assert [p for p in out.rglob("*") if p.is_file()] == [path]


def test_what_cannot_be_done_is_said_and_not_written(ct, project, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    whole = encode(ct())
    (source / "a.dcm").write_bytes(whole)
    (source / "cut.dcm").write_bytes(whole[:400])
    (source / "echo.dcm").write_bytes(encode(ct(Modality="US", SOPInstanceUID="1.2.3.4.6")))
    (source / "twin.dcm").write_bytes(encode(ct(Rows=2)))
    (source / "letter.txt").write_text("Zhang San")
    (source / "heart.stl").write_bytes(b"solid Zhang".ljust(84, b" ") + struct.pack("<I", 0))
    (source / "broken.json").write_text('{"resourceType": "Patient", ')
    done = deidentify_folder([source], tmp_path / "out", Profile(), project)
    said = {p.file.rpartition("/")[2]: p.found for p in done.problems}
    assert set(said) == {"cut.dcm", "echo.dcm", "twin.dcm", "letter.txt", "heart.stl", "broken.json"}
    assert "may show a name" in said["echo.dcm"]
    assert "second object" in said["twin.dcm"]
    assert len(done.written) == len([p for p in (tmp_path / "out").rglob("*") if p.is_file()]) == 1


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_object_is_a_problem_or_clean(ct, project, tmp_path, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(encode(ct()))
    for at in rng.integers(132, len(data), 6):
        data[at] = rng.integers(0, 256)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(bytes(data))
    done = deidentify_folder([tmp_path / "in"], tmp_path / "out", Profile(), project)
    assert len(done.written) + len(done.problems) >= 1
    for path in done.written:
        assert b"0012345" not in path.read_bytes()
        assert "张".encode() not in path.read_bytes()


def test_an_electrocardiogram_with_names_everywhere(project, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    rng = np.random.default_rng(0)
    samples = np.cumsum(rng.integers(-9, 10, (5000, 3)), axis=0).clip(-2000, 2000).astype("<i2")
    (source / "Q01.dat").write_bytes(samples.tobytes())
    signals = [
        f"Q01.dat 16 1000/mV 16 0 {samples[0, n]} 0 0 {lead}" for n, lead in enumerate(("I", "Q02", "V1"))
    ]
    head = [
        "Q01 3 500 5000 10:11:12 29/02/2024",
        *signals,
        "# Q03 <age>: 81 <sex>: F <diagnoses> Q04",
        "# Q05",
    ]
    (source / "Q01.hea").write_text("\n".join(head) + "\n")
    done = deidentify_folder([source], tmp_path / "out", named("research"), project)
    (path,) = done.written
    assert b"Q0" not in path.read_bytes()
    ds = dcmread(path)
    assert ds.StudyDate != "20240229"
    assert project.knows(ds.PatientID)
    (case,) = read(tmp_path / "out").cases
    (ecg,) = [p for s in case.studies for p in s.parts if isinstance(p, Ecg)]
    assert ecg.rate_hz == 500
    np.testing.assert_allclose(ecg.values.array, samples.T / 1000.0, atol=0.0006)


def test_fhir_in_lines_and_in_several_files_stays_together(project, tmp_path):
    patient = {
        "resourceType": "Patient",
        "id": "p1",
        "identifier": [{"value": "MR0012345"}],
        "name": [{"family": "Zhang", "given": ["San"]}],
    }
    code = {"coding": [{"system": "http://loinc.org", "code": "8867-4", "display": "rate of Zhang San"}]}
    seen = {"resourceType": "Observation", "id": "o1", "subject": {"reference": "Patient/p1"}, "code": code}
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.ndjson").write_text(json.dumps(patient) + "\n" + json.dumps(seen) + "\n")
    (source / "b.json").write_text(json.dumps({**seen, "id": "o2"}))
    done = deidentify_folder([source], tmp_path / "out", Profile(), project)
    assert done.problems == ()
    documents = [json.loads(line) for path in done.written for line in path.read_text().splitlines()]
    who = project.pseudonym("MR0012345")
    assert [d.get("subject", {}).get("reference", d["id"]) for d in documents] == [
        who,
        *[f"Patient/{who}"] * 2,
    ]
    assert all("Zhang" not in json.dumps(d) for d in documents)


def test_the_command(ct, tmp_path):
    app = Typer()
    app.command()(command)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(encode(ct()))
    where = [str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--keys", str(tmp_path / "keys")]
    options = ["--project", "heart", "--profile", "research", "--option", "retain-device-identity"]
    done = CliRunner().invoke(app, [*where, *options, "--json"])
    assert done.exit_code == 0, done.output
    (path,) = json.loads(done.stdout)["written"]
    ds = dcmread(path)
    codes = [i.CodeValue for i in ds.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113103", "113104", "113105", "113107", "113108", "113109"]
    vault = Vault.open(tmp_path / "keys" / "vault.sqlite", tmp_path / "keys" / "vault.key")
    assert vault.restore(ds).PatientID == "MR0012345"
    assert (tmp_path / "keys" / "secret").stat().st_mode & 0o077 == 0
    again = CliRunner().invoke(app, [*where, *options, "--json"])
    assert json.loads(again.stdout) == json.loads(done.stdout)
    inside = [*where[:3], "--keys", str(tmp_path / "out" / "keys"), *options]
    assert "outside" in str(CliRunner().invoke(app, inside).exception)


@pytest.mark.data
def test_the_zoo_keeps_its_pixels(data, project, tmp_path):
    source = data("dicom-zoo")
    done = deidentify_folder([source], tmp_path, named("research", ["trust-pixels"]), project)
    assert len(done.written) >= 53
    pixels = {}
    for path in source.rglob("*"):
        if path.is_file() and path.read_bytes()[128:132] == b"DICM":
            ds = dcmread(path)
            pixels.setdefault(project.uid(ds.SOPInstanceUID), []).append(ds.get("PixelData"))
    for path in done.written:
        ds = dcmread(path)
        # One has an odd number of bytes, which may not be written.
        now = ds.get("PixelData")
        assert any(
            now == was or (was and len(was) % 2 and now == was + b"\0") for was in pixels[ds.SOPInstanceUID]
        )
        assert ds.PatientIdentityRemoved == "YES"
        assert project.knows(ds.PatientID)


@pytest.mark.data
def test_a_real_cine_study_reads_the_same(data, project, tmp_path):
    source = data("bivme-cine-dicom")
    done = deidentify_folder([source], tmp_path, named("research"), project)
    assert len(done.written) == 275
    (archive,) = source.rglob("*.zip")
    with zipfile.ZipFile(archive) as files:
        name = next(n for n in files.namelist() if n.endswith(".dcm"))
        before = dcmread(files.open(name))
    words = {before.StudyInstanceUID, before.StudyDate, str(before.PatientName), before.PatientID}
    for path in done.written:
        content = path.read_bytes()
        for word in words:
            assert len(word) < 4 or word.encode() not in content
    (case,) = read(tmp_path).cases
    (study,) = case.studies
    (original,) = read(source).cases
    assert len(study.parts) == len(original.studies[0].parts) > 0
    for now, was in zip(study.parts, original.studies[0].parts, strict=True):
        assert type(now) is type(was)
        assert now.values.shape == was.values.shape


@pytest.mark.data
def test_electrocardiograms_of_every_cart_keep_their_samples(data, project, tmp_path):
    source = data("ecg-vendor-files")
    done = deidentify_folder([source], tmp_path, Profile(), project)
    assert len(done.written) >= 6
    before = [p for c in read(source).cases for s in c.studies for p in s.parts if isinstance(p, Ecg)]
    after = [p for c in read(tmp_path).cases for s in c.studies for p in s.parts if isinstance(p, Ecg)]
    rhythms = [e for e in after if e.kind == "rhythm"]
    assert len(rhythms) >= len({e.origin.uid for e in before if e.kind == "rhythm"}) - 1
    for ecg in rhythms:
        same = [
            o
            for o in before
            if o.values.shape == ecg.values.shape
            and o.rate_hz == ecg.rate_hz
            and np.nanmax(np.abs(o.values.array - ecg.values.array)) < 0.003
        ]
        assert same
    names = {c.patient.name for c in read(source).cases} | {c.patient.id for c in read(source).cases}
    for path in done.written:
        for name in names:
            for part in re.split(r"[\^ ,]", name):
                assert len(part) < 4 or part.encode() not in path.read_bytes()
