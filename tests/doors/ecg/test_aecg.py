"""HL7 aECG: the real file against a separate reading of its XML, and made-up files for the clock."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from carna import codes
from carna.case import Problem
from carna.doors.arrive import Delivery
from carna.doors.ecg.aecg import write_aecg
from carna.findings import Events, Measurement
from carna.study import Ecg, Record

Files = Mapping[str, bytes]
_NS = {"h": "urn:hl7-org:v3"}


def _sequence_set(head: str, leads: Mapping[str, str], scale: str = '<scale value="2" unit="uV"/>') -> str:
    clock = (
        '<component><sequence><code code="TIME_ABSOLUTE"/><value xsi:type="GLIST_TS">'
        f'<head value="{head}"/><increment value="2" unit="ms"/></value></sequence></component>'
    )
    rows = "".join(
        f'<component><sequence><code code="MDC_ECG_LEAD_{lead}"/><value xsi:type="SLIST_PQ">'
        f'<origin value="100" unit="uV"/>{scale}<digits>{digits}</digits></value></sequence></component>'
        for lead, digits in leads.items()
    )
    return f"<component><sequenceSet>{clock}{rows}</sequenceSet></component>"


def _file(*sets: str) -> bytes:
    return (
        '<AnnotatedECG xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f'<component><series><code code="RHYTHM"/>{"".join(sets)}</series></component></AnnotatedECG>'
    ).encode()


def test_sets_that_follow_each_other_are_laid_along_the_clock(only: Callable[[Files], Ecg]) -> None:
    first = _sequence_set("20200101000000.000", {"I": "0 50", "II": "50 0"})
    later = _sequence_set("20200101000000.006", {"V1": "-50 0"})
    ecg = only({"a.xml": _file(first, later)})
    gap = np.nan
    expected = [[0.1, 0.2, gap, gap, gap], [0.2, 0.1, gap, gap, gap], [gap, gap, gap, 0.0, 0.1]]
    np.testing.assert_allclose(ecg.values.array, expected, atol=1e-7)
    assert (ecg.leads, ecg.rate_hz, ecg.origin.time) == (("I", "II", "V1"), 500.0, "2020-01-01T00:00:00")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_file(), "no series"),
        (_file(_sequence_set("20200101", {"I": "1 2"}, '<scale value="2" unit="mm"/>')), "no series"),
        (_file(_sequence_set("20200101", {"I": "1 x"})), "damaged"),
        (
            _file(_sequence_set("20200101", {"I": "1 2"}), _sequence_set("20250101", {"I": "1 2"})),
            "apart",
        ),
    ],
)
def test_what_is_refused(refusal: Callable[[Files], Problem], data: bytes, words: str) -> None:
    assert words in str(refusal({"a.xml": data}))


@pytest.mark.parametrize("time", ["", "2020-01-02T03:04:05"])
def test_written_and_read_back(only: Callable[[Files], Ecg], twelve: Ecg, time: str) -> None:
    back = only({"a.xml": write_aecg(twelve, patient="A<b>&1", time=time)})
    np.testing.assert_allclose(back.values.array, twelve.values.array, atol=1e-6)
    assert (back.leads, back.rate_hz, back.origin.time) == (twelve.leads, 500.0, time)


@pytest.mark.data
def test_the_real_file_against_a_plain_reading(
    data: Callable[[str], Path], deliver_path: Callable[[Path], Delivery]
) -> None:
    path = data("ecg-vendor-files") / "hl7aecg" / "ecg_hl7.xml"
    delivery = deliver_path(path)
    rhythm, median = (a.part for a in delivery.arrivals if isinstance(a.part, Ecg))
    root = ElementTree.parse(path).getroot()
    for ecg, tag in ((rhythm, "series"), (median, "derivedSeries")):
        series = next(root.iter(f"{{urn:hl7-org:v3}}{tag}"))
        for sequence in series.findall("h:component/h:sequenceSet/h:component/h:sequence", _NS):
            digits = sequence.find("h:value/h:digits", _NS)
            code = sequence.find("h:code", _NS)
            if digits is None or code is None or digits.text is None:
                continue
            lead = code.attrib["code"].removeprefix("MDC_ECG_LEAD_").replace("AV", "aV")
            mV = [int(word) * 2.5 / 1000 for word in digits.text.split()]
            np.testing.assert_allclose(ecg.values.array[ecg.leads.index(lead)], mV, atol=1e-6)
    assert (rhythm.values.shape, rhythm.rate_hz, len(median.leads)) == ((12, 5000), 500.0, 12)
    patient = delivery.arrivals[0].patient
    assert (patient.id, patient.sex, patient.birth_date) == ("SBJ-123", "male", "1953-05-08")
    assert [a.part.age_a for a in delivery.arrivals if isinstance(a.part, Record)] == [46.0]


@pytest.mark.data
def test_the_annotations_of_the_real_file(
    data: Callable[[str], Path], deliver_path: Callable[[Path], Delivery]
) -> None:
    path = data("ecg-vendor-files") / "hl7aecg" / "ecg_hl7.xml"
    found = [a.findings for a in deliver_path(path).arrivals if a.findings]
    cart = next(
        f for f in found if f.manifest.application.endswith("ELI250") and "rhythm" in {i.id for i in f.items}
    )
    text = path.read_text()
    cart_text = text[: text.index("Doctor John Brown")]
    waves = Counter(re.findall(r'code="MDC_ECG_WAVC_(PWAVE|QRSWAVE|TWAVE)"', cart_text))
    events = {i.id: i for i in cart.items if isinstance(i, Events)}
    assert len(events["waves.p"].onset_s) == waves["PWAVE"]
    assert len(events["waves.qrs"].onset_s) == waves["QRSWAVE"]
    assert len(events["ends.t"].onset_s) == waves["TWAVE"]
    assert events["waves.p"].onset_s[0] == pytest.approx(0.122)
    assert events["rhythm"].types == (codes.SINUS_RHYTHM,)
    qt = [i for i in cart.items if isinstance(i, Measurement) and i.code == codes.QT_INTERVAL]
    assert len(qt) == len(re.findall(r'code="MDC_ECG_TIME_PD_QT"', cart_text))
    assert qt[0].value == 420 and qt[0].unit == "ms"
    doctor = [i for f in found for i in f.items if i.id == "peaks.r" and isinstance(i, Events)]
    assert doctor and doctor[0].onset_s[0] == pytest.approx(0.332) and doctor[0].leads[0] == "I"
