"""GE MUSE XML: made-up files only, which the recordings say themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from carna import codes
from carna.case import Problem
from carna.doors.arrive import Arrival
from carna.doors.ecg.muse import write_muse
from carna.errors import InputError
from carna.findings import Measurement, Statement
from carna.study import Ecg, Lazy, Record

Files = Mapping[str, bytes]

_REST = b"""<PatientDemographics><PatientID>7</PatientID><PatientAge>18</PatientAge>
<AgeUnits>MONTHS</AgeUnits>
<DateofBirth>XX-XX-XXXX</DateofBirth><Gender>FEMALE</Gender><PatientLastName>XXXX</PatientLastName>
</PatientDemographics><TestDemographics><AcquisitionDate>03-02-2020</AcquisitionDate>
<AcquisitionTime>10:11:12</AcquisitionTime></TestDemographics><RestingECGMeasurements>
<VentricularRate>61</VentricularRate><QTInterval>402</QTInterval><POnset>184</POnset></RestingECGMeasurements>
<Diagnosis><DiagnosisStatement><StmtText>Sinus</StmtText></DiagnosisStatement><DiagnosisStatement>
<StmtFlag>ENDSLINE</StmtFlag><StmtText>rhythm</StmtText></DiagnosisStatement><DiagnosisStatement>
<StmtFlag>ENDSLINE</StmtFlag><StmtText>Poor data quality</StmtText></DiagnosisStatement></Diagnosis>"""


def test_written_and_read_back_with_the_derived_leads(only: Callable[[Files], Ecg], twelve: Ecg) -> None:
    back = only({"a.xml": write_muse(twelve)})
    np.testing.assert_allclose(back.values.array, twelve.values.array, atol=1e-5)
    assert (back.leads, back.rate_hz) == (twelve.leads, 500.0)
    assert any("no file of a real device" in note for note in back.origin.notes)


def test_person_numbers_and_sentences(pieces: Callable[[Files], tuple[Arrival, ...]], twelve: Ecg) -> None:
    data = write_muse(twelve)
    start, stop = data.index(b"<PatientDemographics>"), data.index(b"<Waveform>")
    arrivals = pieces({"a.xml": data[:start] + _REST + data[stop:]})
    (findings,) = (a.findings for a in arrivals if a.findings)
    numbers = {i.code: i.value for i in findings.items if isinstance(i, Measurement)}
    assert numbers == {codes.VENTRICULAR_RATE: 61, codes.QT_INTERVAL: 402}
    statements = [i for i in findings.items if isinstance(i, Statement)]
    assert [s.code for s in statements] == [codes.SINUS_RHYTHM, codes.ECG_FINDING]
    (record,) = (a.part for a in arrivals if isinstance(a.part, Record))
    assert (record.age_a, record.sex, arrivals[0].time) == (1.5, "female", "2020-03-02T10:11:12")
    assert (arrivals[0].patient.name, arrivals[0].patient.birth_date) == ("", "")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"MICROVOLTS", b"MMHG", "usable scale"),
        (b"<SampleBase>500</SampleBase>", b"", "sampling rate"),
        (b"<WaveFormData>", b"<WaveFormData>%%", "Base64"),
        (b"Waveform>", b"Other>", "no Waveform"),
    ],
)
def test_what_is_refused(
    refusal: Callable[[Files], Problem], twelve: Ecg, old: bytes, new: bytes, words: str
) -> None:
    assert words in str(refusal({"a.xml": write_muse(twelve).replace(old, new)}))


def test_a_lead_it_cannot_do_without(twelve: Ecg) -> None:
    with pytest.raises(InputError, match="no lead II"):
        write_muse(Ecg(twelve.origin, Lazy.of(twelve.values.array[:1]), ("I",), 500.0))
