"""The whole door: what goes where, copies, indexes, patients, and what is named but not read."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom.dataset import Dataset

import carna.doors
from carna.doors.arrive import assemble
from carna.doors.dicom import DOOR
from carna.doors.files import walk
from carna.errors import Cancelled
from carna.progress import SILENT, Progress
from carna.study import Image, Slide


def test_the_door_is_light():
    code = "import sys, carna.doors.dicom as d; print('pydicom' in sys.modules, d.DOOR.name)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "dicom"]


def test_an_arrival_says_whose_it_is(make, door):
    (arrival,) = door(make(StudyDescription="Heart", AccessionNumber="A7", IssuerOfPatientID="H")).arrivals
    who = arrival.patient
    assert (who.id, who.issuer, who.name, who.birth_date, who.sex) == (
        "P1",
        "H",
        "Doe^Jane",
        "1960-02-29",
        "female",
    )
    assert not who.synthetic
    assert (arrival.study, arrival.time) == (make().StudyInstanceUID, "2025-05-14T10:15:02")
    assert (arrival.description, arrival.accession) == ("Heart", "A7")
    origin = arrival.part.origin
    assert (origin.modality, origin.number, origin.format, origin.device) == ("MR", 1, "DICOM", "Carna")
    assert origin.facts["ImageType"] == ("ORIGINAL", "PRIMARY", "M")
    assert origin.facts["SliceThickness"] == 5.0


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientName": "CARNA^PHANTOM"},
        {"QualityControlSubject": "YES"},
        {"PatientComments": "a SYNTHETIC heart"},
    ],
)
def test_a_virtual_patient_is_known_as_one(make, door, changes):
    assert door(make(**changes)).arrivals[0].patient.synthetic


@pytest.mark.parametrize(("charset", "name"), [("ISO_IR 192", b"M\xfcller"), ("ISO_IR 999", b"Muller")])
def test_a_wrong_character_set_is_noted_and_never_fatal(make, pack, door, charset, name):
    ds = make(PatientName="Muller", SpecificCharacterSet="ISO_IR 192")
    data = pack(ds).replace(b"Muller", name).replace(b"ISO_IR 192", charset.encode())
    (arrival,) = door(data).arrivals
    assert arrival.patient.name.endswith("ller")
    assert any("encod" in note.lower() for note in arrival.part.origin.notes)


def test_reading_can_be_cancelled(make, pack, as_blob):
    progress = Progress(cancelled=lambda: True)
    with pytest.raises(Cancelled):
        DOOR.read([as_blob(pack(make()))], progress)


def test_identical_copies_are_left_out_with_a_note(make, pack, door):
    one, two = make(1), make(2)
    again = make(2)
    again.file_meta.SourceApplicationEntityTitle = "OTHER"
    delivery = door(one, two, pack(two), again)
    assert delivery.problems == ()
    (part,) = [a.part for a in delivery.arrivals]
    assert part.values.shape[0] == 2
    assert any("2 identical copies" in note for note in part.origin.notes)


def test_one_uid_on_two_contents_is_a_problem(make, door):
    delivery = door(make(1), make(1, PatientComments="other"))
    assert len(delivery.arrivals) == 1
    assert "another object with the UID of 000.dcm" in delivery.problems[0].found


def test_two_patients_are_two_cases(make, door):
    other = {"PatientID": "P2", "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4"}
    made = door(*(make(n) for n in (1, 2)), *(make(n, series=2, **other) for n in (1, 2, 3)))
    cases, problems = assemble(made.arrivals)
    assert not problems
    parts = [part for c in cases for s in c.studies for part in s.parts]
    assert [c.patient.id for c in cases] == ["P1", "P2"]
    assert [part.values.shape[0] for part in parts if isinstance(part, Image)] == [2, 3]


def test_one_study_of_two_patients_is_kept_apart_and_told(make, door):
    cases, problems = assemble(door(make(1), make(2, series=2, PatientID="P2")).arrivals)
    assert len(cases) == 2 and len(problems) == 1


def test_missing_uids_are_made_up_noted_and_filled_in(make, door):
    stripped = [make(n) for n in (1, 2, 3)]
    for ds in stripped:
        del ds.SeriesInstanceUID, ds.StudyInstanceUID
    (arrival,) = door(*stripped).arrivals
    assert arrival.part.values.shape[0] == 3
    assert "no Series Instance UID" in arrival.part.origin.notes
    header = arrival.part.origin.sources[0].read()
    assert (header.StudyInstanceUID, header.SeriesInstanceUID) == (arrival.study, arrival.part.origin.uid)


@pytest.mark.parametrize(
    ("uid", "what"),
    [
        ("1.2.840.10008.5.1.4.1.1.11.1", "a presentation state"),
        ("1.2.840.10008.5.1.4.1.1.88.59", "a key object selection"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "an encapsulated PDF"),
        ("1.2.840.10008.5.1.4.1.1.66", "raw data"),
        ("1.2.840.10008.5.1.4.1.1.66.1", "a spatial registration"),
        ("1.2.840.10008.5.1.4.1.1.481.3", "a radiotherapy object"),
        ("1.2.840.10008.5.1.4.1.1.481.2", "a radiotherapy object"),
        ("1.3.12.2.1107.5.9.1", "an object of a private class"),
    ],
)
def test_what_is_not_read_is_named_for_what_it_is(make, door, uid, what):
    delivery = door(make(SOPClassUID=uid))
    assert not delivery.arrivals
    assert delivery.problems[0].found.startswith(what)


def test_a_slide_is_recognised_but_not_decoded(make, door):
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing = [0.0005, 0.0005]
    shared.PixelMeasuresSequence = [measures]
    ds = make(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.6",
        Modality="SM",
        TotalPixelMatrixRows=5000,
        TotalPixelMatrixColumns=7000,
        SharedFunctionalGroupsSequence=[shared],
    )
    (arrival,) = door(ds).arrivals
    assert isinstance(arrival.part, Slide)
    assert (arrival.part.size, arrival.part.spacing_mm) == ((5000, 7000), (0.0005, 0.0005))


def test_a_source_is_good_enough_to_write_a_segmentation(make, door):
    import highdicom as hd
    from highdicom.sr.coding import CodedConcept

    def demographics(ds):
        ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName, ds.PositionReferenceIndicator = (
            "1",
            "",
            "",
            "",
        )
        return ds

    (arrival,) = door(*(demographics(make(n)) for n in (1, 2, 3))).arrivals
    sources = [s.read() for s in arrival.part.origin.sources]
    heart = CodedConcept("80891009", "SCT", "Heart")
    segment = hd.seg.SegmentDescription(1, "heart", heart, heart, hd.seg.SegmentAlgorithmTypeValues.MANUAL)
    made = hd.seg.Segmentation(
        sources,
        np.ones((3, 6, 8), bool),
        hd.seg.SegmentationTypeValues.BINARY,
        [segment],
        "1.2.3.4",
        1,
        "1.2.3.5",
        1,
        "Carna",
        "test",
        "1",
        "0",
    )
    assert made.NumberOfFrames == 3


# Indexes ---------------------------------------------------------------------------------------


@pytest.fixture
def disc(tmp_path):
    """A folder with a DICOMDIR of pydicom's own."""
    folder = tmp_path / "disc"
    shutil.copytree(Path(pydicom.data.get_testdata_file("DICOMDIR")).parent, folder)
    for extra in folder.glob("DICOMDIR-*"):
        extra.unlink()
    shutil.rmtree(folder / "TINY_ALPHA")  # another index, of objects without pixels
    return folder


def test_a_dicomdir_is_only_an_index(disc):
    blobs, _ = walk([disc])
    everything = DOOR.read([b for b in blobs if DOOR.claims(b)], SILENT)
    without = DOOR.read([b for b in blobs if DOOR.claims(b) and b.file != "DICOMDIR"], SILENT)
    uids = [{a.part.origin.uid for a in d.arrivals if a.part} for d in (everything, without)]
    assert uids[0] == uids[1]
    # The disc holds a few slices of a whole CT, and says so.
    assert everything.problems == without.problems
    assert {p.needed for p in everything.problems} == {"equal distances"}
    alone = DOOR.read([b for b in blobs if b.file == "DICOMDIR"], SILENT)
    assert len(alone.arrivals) == len(everything.arrivals) > 5


def test_a_file_that_the_index_names_but_is_not_there_is_a_problem(disc):
    gone = next(p for p in sorted(disc.rglob("*")) if p.is_file() and p.name[0].isdigit())
    gone.unlink()
    blobs, _ = walk([disc])
    delivery = DOOR.read([b for b in blobs if DOOR.claims(b)], SILENT)
    (problem,) = (p for p in delivery.problems if p.needed != "equal distances")
    assert problem.file.endswith(gone.name) and "not there" in problem.found


# Everything real -------------------------------------------------------------------------------


@pytest.mark.data
def test_every_file_of_pydicom_and_of_the_zoo_is_read_or_named(data, door_at):
    folders = [Path(pydicom.data.get_testdata_file("CT_small.dcm")).parent, data("dicom-zoo")]
    blobs, _ = walk(folders)
    claimed = [b for b in blobs if DOOR.claims(b)]
    assert len(claimed) > 200
    read = named = 0
    for blob in claimed:
        delivery = DOOR.read([blob], SILENT)
        assert delivery.arrivals or delivery.problems or "DICOMDIR" in blob.name, blob.name
        read += bool(delivery.arrivals)
        named += bool(delivery.problems)
        assert all(p.file and p.found for p in delivery.problems)
    assert read > 130


def test_read_takes_a_folder(tmp_path, make, pack):
    for n in (1, 2):
        (tmp_path / f"{n}").write_bytes(pack(make(n)))
    (tmp_path / "note.txt").write_text("hello")
    reading = carna.doors.read(tmp_path)
    (case,) = reading.cases
    assert isinstance(case.studies[0].parts[0], Image)
    assert len(reading.problems) == 1
