"""What a station keeps: everything once, nothing replaced, nothing mixed up; found again as DICOM asks."""

from __future__ import annotations

import os

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from carna.errors import InputError
from carna.node.catalogue import query
from carna.node.catalogue.intake import folded
from carna.node.config import Config, parsed
from carna.node.dimse.keeper import Incoming, Refused
from carna.node.station import Station, file_meta
from carna.node.store import Full, Store


def made(study="1.2.3", number=1, **other):
    """Return a small CT instance."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, other.pop("uid", f"{study}.1.{number}")
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, f"{study}.1"
    ds.PatientID, ds.PatientName, ds.PatientSex, ds.PatientBirthDate = "P1", "Müller^Jörg", "M", "19500101"
    ds.Modality, ds.StudyDate, ds.StudyTime, ds.AccessionNumber = "CT", "20260102", "101500", "A77"
    ds.InstanceNumber, ds.Rows, ds.Columns = number, 4, 4
    ds.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in other.items():
        setattr(ds, keyword, value)
    return ds


def sent(ds, calling="MODALITY"):
    """Return an instance as it comes by DICOM."""
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    write_dataset(out, ds, "utf-8")
    data = out.getvalue()
    return Incoming(
        ds.SOPClassUID, ds.SOPInstanceUID, ExplicitVRLittleEndian, data, calling, "CARNA", "127.0.0.1"
    )


@pytest.fixture
def station(tmp_path):
    one = Station(tmp_path, Config(tmp_path, reserve_mb=1))
    yield one
    one.close()


def studies(station, **matching):
    with station.reading() as connection:
        return query.find(connection, query.Question("STUDY", matching))


def asides(station):
    with station.reading() as connection:
        return connection.exec_driver_sql("select why, detail from aside where state = 'waiting'").all()


def test_what_was_kept_is_found_and_given_out_as_it_came(station):
    for n in range(1, 4):
        station.keep(sent(made(number=n)))
    (study,) = studies(station)
    assert study["NumberOfStudyRelatedInstances"] == 3
    assert study["ModalitiesInStudy"] == "CT"
    question = Dataset()
    question.StudyInstanceUID = "1.2.3"
    stored = station.retrieve(question)
    assert [s.sop_instance for s in stored] == ["1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.3"]
    meta = file_meta(CTImageStorage, "1.2.3.1.2", ExplicitVRLittleEndian)
    assert stored[1].path.read_bytes() == meta + sent(made(number=2)).data


@pytest.mark.parametrize(
    ("matching", "hits"),
    [
        ({"PatientName": "MULLER^JORG"}, 1),
        ({"PatientName": "mül*"}, 1),
        ({"PatientName": "Schmidt*"}, 0),
        ({"PatientID": "P?"}, 1),
        ({"PatientID": "P_"}, 0),
        ({"StudyDate": "20260101-20260131"}, 1),
        ({"StudyDate": "-20260101"}, 0),
        ({"StudyTime": "1000-"}, 1),
        ({"ModalitiesInStudy": "CT"}, 1),
        ({"ModalitiesInStudy": "C"}, 0),
        ({"StudyInstanceUID": "9.9\\1.2.3"}, 1),
        ({"AccessionNumber": "A7*"}, 1),
        ({"AccessionNumber": "A%"}, 0),
        ({"StudyDescription": ""}, 1),
    ],
)
def test_questions_match_as_dicom_says(station, matching, hits):
    station.keep(sent(made()))
    assert len(studies(station, **matching)) == hits


def test_the_same_again_is_no_news(station):
    for _ in range(3):
        station.keep(sent(made()))
    assert studies(station)[0]["NumberOfStudyRelatedInstances"] == 1
    assert not asides(station)


def test_another_content_under_a_known_uid_is_put_aside_and_replaces_nothing(station):
    station.keep(sent(made()))
    station.keep(sent(made(SeriesDescription="changed")))
    station.keep(sent(made(SeriesDescription="changed")))
    ((why, _),) = asides(station)
    assert why == "another content under a known UID"
    question = Dataset()
    question.SOPInstanceUID = "1.2.3.1.1"
    (stored,) = station.retrieve(question)
    assert b"changed" not in stored.path.read_bytes()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"PatientName": "Schmidt^Anna"}, "Schmidt"),
        ({"PatientSex": "F"}, "is M, this says F"),
        ({"PatientBirthDate": "19510101"}, "born 19500101"),
        ({"PatientID": "P2", "PatientName": "Other"}, "belongs to patient P1"),
        ({"PatientID": ""}, "no patient ID"),
    ],
)
def test_another_patient_is_put_aside(station, changed, said):
    station.keep(sent(made()))
    station.keep(sent(made(number=2, **changed)))
    ((why, detail),) = asides(station)
    assert why == "another patient"
    assert said in detail
    assert studies(station)[0]["NumberOfStudyRelatedInstances"] == 1


def test_one_number_of_two_issuers_is_two_people(station):
    station.keep(sent(made(IssuerOfPatientID="North")))
    station.keep(sent(made("1.2.4", IssuerOfPatientID="South", PatientName="Schmidt^Anna")))
    assert not asides(station)
    with station.reading() as connection:
        assert len(query.find(connection, query.Question("PATIENT", {}))) == 2


def test_people_without_a_number_are_not_one(station):
    for study in ("1.2.3", "1.2.4"):
        station.keep(sent(made(study, PatientID="")))
    with station.reading() as connection:
        people = query.find(connection, query.Question("PATIENT", {}))
    assert len(people) == 2
    assert {p["IssuerOfPatientID"] for p in people} == {""}


def test_what_is_no_dicom_is_refused_but_not_lost(station):
    broken = Incoming(
        CTImageStorage, "1.2", ExplicitVRLittleEndian, b"\x08\x00 not dicom", "M", "CARNA", "127.0.0.1"
    )
    with pytest.raises(Refused) as refused:
        station.keep(broken)
    assert refused.value.status == 0xC000
    ((why, _),) = asides(station)
    assert why == "unreadable"


def test_a_full_disk_is_said_before_anything_is_acknowledged(tmp_path):
    with Station_(tmp_path, reserve_mb=1 << 40) as station:
        with pytest.raises(Refused, match="free") as refused:
            station.keep(sent(made()))
        assert refused.value.status == 0xA700
        assert not studies(station)


class Station_:
    """A station for the length of a ``with``."""

    def __init__(self, home, **config):
        self.station = Station(home, Config(home, **config))

    def __enter__(self):
        return self.station

    def __exit__(self, *_):
        self.station.close()


def test_a_crash_between_disk_and_catalogue_is_mended(station):
    one = sent(made())
    station.store.keep((file_meta(one.sop_class, one.sop_instance, one.transfer_syntax), one.data))
    assert not studies(station)
    assert station.mend() == 1
    assert studies(station)[0]["NumberOfStudyRelatedInstances"] == 1
    assert station.mend() == 0


def test_a_file_cut_off_by_a_crash_is_forgotten_and_can_be_sent_again(station):
    one = sent(made())
    digest = station.store.keep((file_meta(one.sop_class, one.sop_instance, one.transfer_syntax), one.data))
    os.truncate(station.store.path(digest), 40)
    assert station.mend() == 0
    station.keep(one)
    assert station.store.intact(digest)
    assert station.holds([(CTImageStorage, "1.2.3.1.1")]) == {"1.2.3.1.1"}


def test_a_commitment_reads_the_disk(station):
    station.keep(sent(made()))
    (stored,) = station.retrieve(_asked(SOPInstanceUID="1.2.3.1.1"))
    pair = (CTImageStorage, "1.2.3.1.1")
    assert station.holds([pair, (CTImageStorage, generate_uid())]) == {"1.2.3.1.1"}
    assert station.holds([("1.2.840.10008.5.1.4.1.1.4", "1.2.3.1.1")]) == frozenset()
    data = bytearray(stored.path.read_bytes())
    data[-1] ^= 1
    stored.path.chmod(0o640)
    stored.path.write_bytes(bytes(data))
    assert station.holds([pair]) == frozenset()


def _asked(**keys):
    ds = Dataset()
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    return ds


def test_a_late_instance_opens_its_study_again(station):
    station.keep(sent(made()))
    first = station.version("1.2.3")
    with station.writing() as connection:
        connection.exec_driver_sql("update study set state = 'decided'")
    station.keep(sent(made(number=2)))
    assert station.version("1.2.3") != first
    with station.reading() as connection:
        assert connection.exec_driver_sql("select state from study").scalar() == "receiving"


def test_equal_bytes_are_kept_once_and_survive_a_cut_file(tmp_path):
    store = Store(tmp_path, 0)
    digest = store.keep((b"one", b"two"))
    assert store.keep((b"onetwo",)) == digest
    assert list(store.digests()) == [digest]
    store.path(digest).write_bytes(b"one")
    assert not store.intact(digest)
    assert store.keep((b"onetwo",)) == digest
    assert store.intact(digest)


def test_a_store_without_room_refuses(tmp_path):
    with pytest.raises(Full, match="MiB are free"):
        Store(tmp_path, 1 << 60).keep((b"x",))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Müller^Jörg", "MULLER^JORG ", True),
        ("Wang^XiaoDong=王^小东", "Wang^Xiaodong", True),
        ("O'Neil^Ann", "O NEIL^ANN", True),
        ("Smith^A", "Smith^B", False),
    ],
)
def test_names_agree_without_case_marks_and_signs(one, other, same):
    assert (folded(one) == folded(other)) is same


def test_strangers_may_do_nothing_once_the_station_is_reachable(tmp_path):
    body = {
        "station": {"host": "0.0.0.0"},
        "peers": {"PACS": {"host": "10.0.0.5", "port": 104, "may": ["echo"]}},
    }
    station = Station(tmp_path, parsed(body, tmp_path))
    assert not station.allows("STRANGER", "CARNA", "10.0.0.9", "store")
    assert station.allows("PACS", "CARNA", "10.0.0.5", "echo")
    assert not station.allows("PACS", "CARNA", "10.0.0.5", "store")
    assert not station.allows("PACS", "CARNA", "10.0.0.6", "echo"), "another address under a known title"
    assert not station.allows("PACS", "OTHER", "10.0.0.5", "echo")
    station.close()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"stations": {}}, "stations"),
        ({"station": {"titel": "X"}}, "titel"),
        ({"station": {"quiet_s": "soon"}}, "quiet_s"),
        ({"station": {"workers": True}}, "workers"),
        ({"places": {"a": {}}}, "one of peer, folder, stow, fhir"),
        ({"places": {"a": {"peer": "PACS"}}}, "names peer"),
        ({"places": {"a": {"folder": "x", "formats": ["doc"]}}}, "format 'doc'"),
        ({"rules": [{"name": "r", "send": ["moon"]}]}, "sends to 'moon'"),
        ({"rules": [{"name": "r", "run": ["magic"]}]}, "runs 'magic'"),
        ({"rules": [{"name": "r", "priority": "now"}]}, "priority"),
        ({"peers": {"A": {"host": "h", "port": 1, "may": ["dance"]}}}, "dance"),
        ({"rules": [{}]}, "name"),
    ],
)
def test_a_wrong_line_of_the_configuration_is_said(tmp_path, body, said):
    with pytest.raises(InputError, match=said):
        parsed(body, tmp_path)


def test_the_trail_shows_what_was_changed(station):
    for n in range(5):
        station.audit.write("anna", "looked", f"study {n}")
    assert station.audit.broken() is None
    with station.writing() as connection:
        connection.exec_driver_sql("update audit set who = 'nobody' where id = 3")
    assert station.audit.broken() == 3


def test_the_trail_shows_what_was_taken_out(station):
    for n in range(5):
        station.audit.write("anna", "looked", f"study {n}")
    with station.writing() as connection:
        connection.exec_driver_sql("delete from audit where id = 2")
    assert station.audit.broken() == 3


def test_the_migrations_make_the_tables_of_the_schema(tmp_path):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from carna.node.catalogue.database import opened
    from carna.node.catalogue.schema import METADATA

    engine = opened(f"sqlite:///{tmp_path / 'catalogue.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()
