"""Philips Sierra XML: every sample against the sierraecg library, Einthoven, and what the cart said."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from carna import codes
from carna.case import Problem
from carna.doors.arrive import Arrival, Delivery
from carna.doors.ecg.leads import STANDARD
from carna.findings import Measurement, Statement
from carna.study import Ecg

Files = Mapping[str, bytes]
_FOLDER = "philips_sierra/examples"


def _xml(signal: str, wave: str, body: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-16"?><restingecgdata xmlns="http://www3.medical.philips.com">'
        f"<dataacquisition><signalcharacteristics>{signal}</signalcharacteristics></dataacquisition>"
        f"<waveforms><parsedwaveforms {wave}>{body}</parsedwaveforms></waveforms></restingecgdata>"
    ).encode()


_SIGNAL = "<samplingrate>500</samplingrate><resolution>5</resolution>"


def test_plain_samples_under_a_wrong_declaration(deliver: Callable[[Files], Delivery]) -> None:
    body = base64.b64encode(np.array([[1, 2, 3], [4, 5, -6]], "<i2").tobytes()).decode()
    data = _xml(_SIGNAL, 'dataencoding="Base64" leadlabels="I V1" numberofleads="2"', body)
    (arrival,) = deliver({"a.xml": data}).arrivals
    assert isinstance(arrival.part, Ecg)
    np.testing.assert_allclose(arrival.part.values.array, np.array([[5, 10, 15], [20, 25, -30]]) / 1000)
    assert arrival.part.leads == ("I", "V1")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_xml(_SIGNAL, 'leadlabels="I"', ""), "no waveform"),
        (_xml(_SIGNAL, 'leadlabels="I"', "!!!"), "Base64"),
        (_xml("", 'leadlabels="I"', "AAAA"), "sampling rate"),
        (_xml(_SIGNAL, "", "AAAA"), "without names"),
        (_xml(_SIGNAL, 'leadlabels="I" compression="ZIP"', "AAAA"), "packed as ZIP"),
        (_xml(_SIGNAL, 'leadlabels="I" compression="XLI"', "//////////////8="), "ends before"),
        (b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><restingecgdata/>', "document type"),
        (b"<restingecgdata><a>", "damaged XML"),
    ],
)
def test_what_is_refused(refusal: Callable[[Files], Problem], data: bytes, words: str) -> None:
    assert words in str(refusal({"a.xml": data}))


def _ecgs(delivery: Delivery) -> list[Ecg]:
    return [a.part for a in delivery.arrivals if isinstance(a.part, Ecg)]


@pytest.mark.peer
@pytest.mark.data
def test_every_sample_equals_sierraecg(
    data: Callable[[str], Path],
    library: Callable[[str], ModuleType],
    deliver_path: Callable[[Path], Delivery],
) -> None:
    sierraecg = library("sierraecg")
    files = [p for p in (data("ecg-vendor-files") / _FOLDER / "xml").rglob("*") if p.suffix.lower() == ".xml"]
    assert len(files) == 3
    for path in files:
        theirs = sierraecg.read_file(str(path))
        rhythm = next(e for e in _ecgs(deliver_path(path)) if e.kind == "rhythm")
        steps = np.stack([lead.samples for lead in theirs.leads]).astype(np.float64)
        resolution = theirs.leads[0].resolution if hasattr(theirs.leads[0], "resolution") else 5.0
        count = rhythm.values.shape[1]
        np.testing.assert_allclose(rhythm.values.array, steps[:, :count] * 0.005, atol=1e-6)
        assert resolution == 5.0
        assert rhythm.leads == tuple(lead.label for lead in theirs.leads) == STANDARD
        assert rhythm.rate_hz == theirs.leads[0].sampling_freq == 500.0


@pytest.mark.data
@pytest.mark.parametrize(("version", "steps"), [("1_03", 2.0), ("1_04", 1.5), ("1_04_01", 0.5)])
def test_limb_leads_obey_einthoven_to_the_device_s_rounding(
    data: Callable[[str], Path], deliver_path: Callable[[Path], Delivery], version: str, steps: float
) -> None:
    """The four derived leads were stored as residuals; any fault in undoing them grows at once."""
    (ecg,) = (
        e
        for e in _ecgs(deliver_path(data("ecg-vendor-files") / _FOLDER / "xml" / version))
        if e.kind == "rhythm"
    )
    one, two, three, right, left, foot = np.asarray(ecg.values.array[:6], np.float64) / 0.005
    residuals = (
        three - two + one,
        right + (one + two) / 2,
        left - (one - three) / 2,
        foot - (two + three) / 2,
    )
    assert np.abs(np.stack(residuals)).max() <= steps + 1e-3
    # A pulse of 1 mV in every lead, derived ones too, would break all four.
    assert ecg.origin.notes == (f"the calibration pulse in the last {11 - ecg.seconds:.2f} s was left out",)


@pytest.mark.data
def test_a_file_within_an_archive_is_read(
    data: Callable[[str], Path], deliver_path: Callable[[Path], Delivery]
) -> None:
    (ecg,) = _ecgs(deliver_path(data("ecg-vendor-files") / _FOLDER / "XliDecompressor"))
    assert (ecg.leads, ecg.rate_hz, ecg.origin.label) == (STANDARD, 500.0, "129ECORG.XML")


@pytest.mark.data
def test_what_the_cart_said(data: Callable[[str], Path], deliver_path: Callable[[Path], Delivery]) -> None:
    folder = data("ecg-vendor-files") / _FOLDER / "xml"
    arrivals: tuple[Arrival, ...] = deliver_path(folder / "1_04_01").arrivals
    (findings,) = (a.findings for a in arrivals if a.findings)
    numbers = {i.code: (i.value, i.unit) for i in findings.items if isinstance(i, Measurement)}
    assert numbers[codes.HEART_RATE] == (64, "/min") and numbers[codes.QTC_FRIDERICIA] == (408, "ms")
    assert numbers[codes.QRS_AXIS] == (22, "deg") and numbers[codes.PR_INTERVAL] == (164, "ms")
    words = [i.rule for i in findings.items if isinstance(i, Statement)]
    assert words[1] == "as the cart states: Sinus rhythm (normal P axis, V-rate 50-99)"
    median = next(a.part for a in arrivals if isinstance(a.part, Ecg) and a.part.kind == "median")
    assert (median.rate_hz, median.values.shape, median.lsb_mV[0]) == (1000.0, (12, 1200), 0.001)
    assert arrivals[0].time == "2020-05-18T15:48:11" and arrivals[0].patient.birth_date == "1951-01-01"
    old = deliver_path(folder / "1_03").arrivals
    (said,) = (a.findings for a in old if a.findings)
    assert old[0].patient.id == "1112010721168bdc" and old[0].patient.sex == "male"
    assert any("Nonspecific intraventricular" in i.rule for i in said.items if isinstance(i, Statement))
