"""The engine: dates, UIDs, private elements, overlays, reports, annotations, and doing it twice."""

from __future__ import annotations

import io
from datetime import datetime, timedelta

import numpy as np
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.tag import BaseTag

from carna.doors.deidentify import Profile, Project, deidentify, named
from carna.doors.deidentify.clock import Shift
from carna.doors.deidentify.engine import encode
from carna.doors.deidentify.profile import actions
from carna.errors import InputError

MODIFIED = Profile(retain_modified_dates=True)


def again(ds):
    """Return an object as it comes back from a file."""
    return dcmread(io.BytesIO(encode(ds)))


def moment(ds, name):
    """Return date and time of a pair as one moment."""
    return datetime.strptime(ds[f"{name}Date"].value + ds[f"{name}Time"].value[:6], "%Y%m%d%H%M%S")


# Dates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("patient", [f"P{n}" for n in range(40)])
def test_intervals_stay_exact_across_midnight(ct, project, patient):
    ds = ct(PatientID=patient, ContentDate="20240228", ContentTime="235959", SeriesDate="20240229")
    ds.AcquisitionDateTime = "20240229004500.25+0800"
    out = again(deidentify(ds, MODIFIED, project))
    by = project.shift(patient)
    assert timedelta(days=365) <= by < timedelta(days=3653)
    for name in ("Study", "Acquisition", "Content"):
        assert moment(ds, name) - moment(out, name) == by
    assert out.AcquisitionDateTime == out.AcquisitionDate + out.AcquisitionTime + ".25"
    assert out.SeriesDate == out.StudyDate  # no time of its own: it moves as the study does
    assert out.StudyTime.endswith(".250000")


def test_birth_date_is_never_moved_but_gone(ct, project):
    assert deidentify(ct(), MODIFIED, project).PatientBirthDate == ""


@pytest.mark.parametrize(
    "date, time, moved",
    [
        ("20240301", "000000", "20240228"),
        ("1997.04.24", "10:11:12", "19970423"),
        ("2024", "", None),
        ("20241399", "", None),
        ("00010101", "", None),
    ],
)
def test_dates_of_all_ages(date, time, moved):
    assert Shift(timedelta(days=1, seconds=3600)).date(date, time) == moved


def test_times_keep_their_precision():
    shift = Shift(timedelta(days=3, hours=1, minutes=2, seconds=3))
    assert shift.time("010203.999") == "000000.999"
    assert shift.time("0100") == "2357"
    assert shift.time("25") is None
    assert shift.moment("202403010102") == "202402262359"
    assert shift.moment("2024") == "2023"


def test_a_date_that_cannot_be_read_goes(ct, project):
    ds = ct()
    ds[0x00080022] = RawDataElement(BaseTag(0x00080022), "DA", 4, b"1949", 0, False, True)
    assert "1949" not in str(deidentify(ds, MODIFIED, project).get("AcquisitionDate", ""))


# Identity --------------------------------------------------------------------------------------


def test_pseudonyms_agree_between_files_and_differ_between_projects(ct, project):
    one, two = (
        deidentify(ct(), Profile(), project),
        deidentify(ct(SOPInstanceUID="1.2.9"), Profile(), project),
    )
    assert one.PatientID == two.PatientID == str(one.PatientName)
    assert one.StudyInstanceUID == two.StudyInstanceUID
    assert one.SOPInstanceUID != two.SOPInstanceUID
    other = deidentify(ct(), Profile(), Project("another", b"another secret of 32 bytes......"))
    assert other.PatientID != one.PatientID
    issued = deidentify(ct(IssuerOfPatientID="HOSPITAL B"), Profile(), project)
    assert issued.PatientID != one.PatientID


def test_references_lead_to_the_new_uids(ct, project):
    ds = ct()
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5.2"
    ds.ReferencedImageSequence = [item]
    out = again(deidentify(ds, Profile(), project))
    target = deidentify(ct(SOPInstanceUID="1.2.3.4.5.2"), Profile(), project)
    assert out.ReferencedImageSequence[0].ReferencedSOPInstanceUID == target.SOPInstanceUID
    assert out.ReferencedImageSequence[0].ReferencedSOPClassUID == item.ReferencedSOPClassUID
    assert out.file_meta.MediaStorageSOPInstanceUID == out.SOPInstanceUID


def test_uids_are_of_the_right_form(project):
    uids = [project.uid(f"1.2.{n}") for n in range(2000)]
    assert len(set(uids)) == 2000
    for uid in uids:
        number = int(uid.removeprefix("2.25."))
        assert len(uid) <= 64
        assert (number >> 76 & 15, number >> 62 & 3) == (8, 2)  # version and variant of the UUID


@pytest.mark.parametrize("profile", [Profile(), named("research"), Profile(retain_uids=True)])
def test_a_second_time_changes_nothing(ct, project, profile):
    once = encode(deidentify(ct(StudyDescription="heart of Zhang"), profile, project))
    assert encode(deidentify(dcmread(io.BytesIO(once)), profile, project)) == once


def test_a_foreign_pseudonym_is_not_believed(ct, project):
    foreign = Project("another", b"another secret of 32 bytes......").pseudonym("x")
    assert deidentify(ct(PatientID=foreign), Profile(), project).PatientID != foreign


def test_names_hidden_in_text_that_the_table_keeps(ct, project):
    ds = ct(Manufacturer="Siemens for Zhang San", ManufacturerModelName="身份证11010519491231002X")
    ds.add_new(0x00081090, "LO", "张三 11010519491231002X MR0012345 Vida")
    out = again(deidentify(ds, Profile(), project))
    assert (out.Manufacturer, out.ManufacturerModelName) == ("Siemens for", "Vida")


@pytest.mark.parametrize(
    "charset, name", [("GB18030", "王^小明"), ("ISO 2022 IR 87", "山田^太郎"), ("ISO_IR 100", "Müller^J")]
)
def test_names_in_other_character_sets(ct, project, charset, name):
    ds = ct()
    ds.SpecificCharacterSet = charset if charset != "ISO 2022 IR 87" else ["", charset]
    ds.PatientName = name if charset == "ISO_IR 100" else f"X^Y={name}"
    ds.ManufacturerModelName = f"Model {name.replace('^', '')} 7"
    data = encode(deidentify(again(ds), named("research"), project))
    out = dcmread(io.BytesIO(data))
    assert name[:2] not in out.ManufacturerModelName
    assert out.ManufacturerModelName.startswith("Model") == (charset != "")


def test_a_name_in_a_character_set_that_the_header_does_not_name(ct, project):
    ds = ct(PatientName="X")
    del ds.SpecificCharacterSet
    ds = again(ds)
    name, model = "张^三丰".encode("gbk"), "心脏张三丰机".encode("gbk")
    for tag, vr, data in ((0x00100010, "PN", name), (0x00081090, "LO", model)):
        ds[tag] = RawDataElement(BaseTag(tag), vr, len(data), data, 0, False, True)
    out = encode(deidentify(ds, Profile(), project))
    assert "张三丰".encode("gbk") in encode(ds)
    assert "三丰".encode("gbk") not in out
    assert "心脏".encode("gbk") in out


def test_a_name_in_a_block_of_bytes(ct, project):
    ds = ct()
    ds.add_new(0x00282000, "OB", b"profile of Zhang San!")
    assert "ICCProfile" not in deidentify(ds, Profile(), project)
    ds.add_new(0x00282000, "OB", b"profile of some colour")
    assert "ICCProfile" in deidentify(ds, Profile(), project)


def test_unknown_attributes_by_what_they_are(ct, project):
    ds = ct()
    ds.add_new(0x00142006, "PN", "Evaluator^Name")
    ds.add_new(0x00100033, "LO", "民国三十八年")
    ds.add_new(0x00280303, "CS", "REMOVED")
    ds.add_new(0x00181801, "SH", "GPS")
    ds.add_new(0x00080416, "DT", "20240101")
    ds.add_new(0x0018990F, "UT", "prose")
    ds.add_new(0x00087777, "LO", "no such tag")
    ds.add_new(0x00281199, "UI", "1.2.3.4.99")
    out = deidentify(ds, Profile(), project)
    assert [out[tag].value for tag in (0x00142006, 0x00080416)] == ["", ""]
    assert out[0x0018990F].value == "REMOVED"
    assert 0x00100033 not in out
    assert 0x00087777 not in out
    assert out[0x00181801].value == "GPS"


def test_attributes_of_a_wrong_representation(ct, project):
    inner = Dataset()
    inner.Manufacturer = "Q of Zhang San"
    ds = ct()
    del ds.PatientName, ds.StudyDate
    ds.add_new(0x00100010, "SQ", [inner])
    ds.add_new(0x00080020, "LO", "born 19490312")
    ds.add_new(0x00081080, "UN", b"Zhang")
    ds.add_new(0x00081090, "CS", "OF ZHANG SAN")
    ds.OtherPatientNames = "Zhang^San"
    out = encode(deidentify(again(ds), Profile(retain_modified_dates=True), project))
    for word in (b"Zhang", b"ZHANG", b"1949"):
        assert word not in out


def test_full_and_modified_dates_are_not_both_possible():
    with pytest.raises(InputError, match="both"):
        Profile(retain_full_dates=True, retain_modified_dates=True)
    with pytest.raises(InputError, match="faces"):
        named("basic", ["clean-recognizable-visual-features"])
    with pytest.raises(InputError, match="no option"):
        named("basic", ["retain-everything"])


def test_what_is_no_object_is_refused(project):
    with pytest.raises(InputError, match="no composite object"):
        deidentify(Dataset(), Profile(), project)


def test_age_and_characteristics(ct, project):
    kept = deidentify(ct(), Profile(retain_patient_characteristics=True), project)
    assert (kept.PatientSex, kept.PatientAge) == ("F", "090Y")
    assert deidentify(ct(), Profile(), project).get("PatientAge", "") == ""


def test_encapsulated_document_becomes_an_empty_page(ct, project):
    ds = ct(
        MIMETypeOfEncapsulatedDocument="application/pdf",
        EncapsulatedDocument=b"%PDF name",
        DocumentTitle="Zhang",
    )
    out = deidentify(ds, Profile(), project)
    assert out.EncapsulatedDocument.startswith(b"%PDF-1.4")
    assert b"name" not in out.EncapsulatedDocument
    assert out.DocumentTitle == "REMOVED"


def test_the_plan_covers_the_whole_table():
    assert len(actions(Profile())) == 619  # 623 rows, four of which speak of groups


# Private elements and overlays -----------------------------------------------------------------


def private(ct):
    """Return an object with private elements, two of the list and others."""
    ds = ct()
    ds.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
    ds.add_new(0x0019100C, "IS", "400")
    ds.add_new(0x00191008, "CS", "IMAGE NUM 4")
    ds.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
    ds.add_new(0x00291010, "OB", b"Zhang")
    ds.add_new(0x00990010, "LO", "NQHeader")
    ds.add_new(0x00991001, "UI", "1.2.3.4.77")
    ds.add_new(0x00991005, "LT", "of Zhang San")
    return ds


def test_private_elements_of_the_list_stay_with_their_creator(ct, project):
    assert not any(tag.is_private for tag in deidentify(private(ct), Profile(), project).keys())  # noqa: SIM118
    out = again(deidentify(again(private(ct)), Profile(retain_safe_private=True), project))
    kept = {int(e.tag): e.value for e in out if e.tag.is_private}
    assert kept.pop(0x00991001) == project.uid("1.2.3.4.77")
    assert kept == {
        0x00190010: "SIEMENS MR HEADER",
        0x0019100C: 400,
        0x00990010: "NQHeader",
        0x00991005: "of",
    }


def test_overlays(ct, project):
    ds = ct()
    for group, kind in ((0x6000, "G"), (0x6002, "R")):
        ds.add_new(group << 16 | 0x0010, "US", 4)
        ds.add_new(group << 16 | 0x0040, "CS", kind)
        ds.add_new(group << 16 | 0x1500, "LO", "heart of Zhang")
        ds.add_new(group << 16 | 0x3000, "OW", b"\1\2")
    ds.add_new(0x50003000, "OW", b"\1\2")
    basic = deidentify(ds, Profile(), project)
    assert not any(tag >> 24 in (0x50, 0x60) for tag in basic.keys())  # noqa: SIM118
    cleaned = deidentify(ds, Profile(clean_graphics=True), project)
    left = sorted(int(t) for t in cleaned.keys() if t >> 24 in (0x50, 0x60))  # noqa: SIM118
    assert left == [0x50003000, 0x60020010, 0x60020040, 0x60021500, 0x60023000]
    assert cleaned[0x60021500].value == "heart of"


def test_overlays_in_the_bits_of_pixels(ct, project):
    ds = ct()
    values = np.arange(16, dtype="<u2") | 0xF000
    ds.PixelData = values.tobytes()
    ds.add_new(0x60000100, "US", 16)
    ds.add_new(0x60000102, "US", 12)
    out = deidentify(ds, Profile(), project)
    np.testing.assert_array_equal(np.frombuffer(out.PixelData, "<u2"), np.arange(16))
    assert np.frombuffer(ds.PixelData, "<u2")[0] == 0xF000


# Reports and annotations -----------------------------------------------------------------------


def coded(value, scheme, meaning):
    """Return a code."""
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, scheme, meaning
    return ds


def item(kind, concept, **values):
    """Return a content item."""
    ds = Dataset()
    ds.RelationshipType, ds.ValueType = "CONTAINS", kind
    ds.ConceptNameCodeSequence = [coded(*concept)]
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def report(ct):
    """Return a report with a word of everything."""
    number = Dataset()
    number.NumericValue = "55"
    inner = item("CONTAINER", ("121070", "DCM", "Findings"))
    inner.ContentSequence = [
        item("NUM", ("10230-1", "LN", "LVEF"), MeasuredValueSequence=[number]),
        item("TEXT", ("121071", "DCM", "Finding"), TextValue="left ventricle of Zhang enlarged"),
        item("TEXT", ("99", "99LOCAL", "Anything"), TextValue="call 13812345678 normal"),
        item("CODE", ("121071", "DCM", "Finding"), ConceptCodeSequence=[coded("I10", "I10", "Hypertension")]),
    ]
    ds = ct()
    ds.ContentSequence = [
        item("PNAME", ("121008", "DCM", "Person Observer Name"), PersonName="Reader^Rita"),
        item("TEXT", ("121022", "DCM", "Accession Number"), TextValue="A77"),
        item("UIDREF", ("112040", "DCM", "Tracking Unique Identifier"), UID="1.2.3.4.8"),
        item("DATE", ("111060", "DCM", "Study Date"), Date="20240229"),
        item("TEXT", ("G-D406", "SRT", "Complication of Procedure"), TextValue="bled"),
        item("CODE", ("121032", "DCM", "Subject Sex"), ConceptCodeSequence=[coded("F", "DCM", "Female")]),
        inner,
    ]
    return ds


def names(items):
    """Return the concept names of some items."""
    return [one.ConceptNameCodeSequence[0].CodeMeaning for one in items]


def test_a_report_without_the_option_says_nothing(ct, project):
    out = again(deidentify(again(report(ct)), Profile(), project))
    assert [one.TextValue for one in out.ContentSequence] == ["REMOVED"]


def test_a_report_with_clean_content(ct, project):
    out = again(deidentify(again(report(ct)), Profile(clean_structured_content=True), project))
    assert names(out.ContentSequence)[:2] == ["Person Observer Name", "Tracking Unique Identifier"]
    assert out.ContentSequence[0].PersonName == "REMOVED"
    assert project.uid("1.2.3.4.8") == out.ContentSequence[1].UID
    assert "Accession Number" not in names(out.ContentSequence)
    assert "Subject Sex" not in names(out.ContentSequence)
    inner = out.ContentSequence[-1].ContentSequence
    assert names(inner) == ["LVEF", "Finding", "Finding"]
    assert inner[0].MeasuredValueSequence[0].NumericValue == 55
    assert inner[1].TextValue == "REMOVED"
    assert inner[2].ConceptCodeSequence[0].CodeValue == "I10"


def test_a_report_with_clean_descriptors_too(ct, project):
    profile = Profile(clean_structured_content=True, clean_descriptors=True, retain_modified_dates=True)
    out = again(deidentify(again(report(ct)), profile, project))
    inner = out.ContentSequence[-1].ContentSequence
    assert [one.get("TextValue") for one in inner] == [None, "left ventricle of", "normal", None]
    dates = [one.Date for one in out.ContentSequence if "Date" in one]
    assert dates == [out.StudyDate]


def test_items_that_others_point_to_stay_in_their_places(ct, project):
    ds = report(ct)
    pointer = Dataset()
    pointer.RelationshipType, pointer.ReferencedContentItemIdentifier = "INFERRED FROM", [1, 3]
    ds.ContentSequence[-1].ContentSequence.append(pointer)
    out = deidentify(again(ds), Profile(clean_structured_content=True), project)
    assert len(out.ContentSequence) == len(ds.ContentSequence)
    assert [one.get("TextValue") for one in out.ContentSequence].count("REMOVED") == 2
    sex = out.ContentSequence[5].ConceptCodeSequence[0]
    assert sex.CodeValue == "REMOVED"


def test_annotations_of_a_waveform(ct, project):
    number, code, text = Dataset(), Dataset(), Dataset()
    number.ConceptNameCodeSequence, number.NumericValue = [coded("2:15872", "MDC", "PR Interval")], "160"
    code.ConceptCodeSequence = [coded("2:15872", "MDC", "P wave")]
    text.UnformattedTextValue = "Sinus rhythm, confirmed by Dr. Reader"
    ds = ct(WaveformAnnotationSequence=[number, code, text])
    out = again(deidentify(again(ds), Profile(), project))
    assert [one.get("NumericValue") for one in out.WaveformAnnotationSequence] == [160, None]
    out = again(deidentify(again(ds), Profile(clean_descriptors=True), project))
    assert [one.get("UnformattedTextValue") for one in out.WaveformAnnotationSequence] == [
        None,
        None,
        "Sinus rhythm",
    ]
