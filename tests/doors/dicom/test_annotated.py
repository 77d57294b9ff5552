"""Annotated waveforms: beats, waves, numbers and findings come back through our readers; dciodvfy agrees."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.render.readings import SERIES, case_of, findings_of, resting

import carna
from carna import codes
from carna.case import Case
from carna.codes import Concept
from carna.doors.dicom import scan, waveform
from carna.doors.dicom.write import ecg_dataset, encode
from carna.doors.ecg.aecg import write_aecg
from carna.doors.files import Blob
from carna.findings import Curve, Events, Evidence, Findings, Measurement, Statement
from carna.phantom.ecg import LEADS, electrocardiogram
from carna.study import Ecg, Lazy


def recording(case: Case) -> Ecg:
    (ecg,) = case.studies[0].parts
    assert isinstance(ecg, Ecg)
    return ecg


def back(data: bytes) -> tuple[list[Ecg], Findings]:
    headers, problems = scan.headers([Blob("a.dcm", len(data), partial(bytes, data), data[:4096])])
    got = waveform.read(headers)
    assert not problems
    assert not got.problems
    parts = [a.part for a in got.arrivals if isinstance(a.part, Ecg)]
    (found,) = [a.findings for a in got.arrivals if a.findings is not None]
    return parts, found


def marks(found: Findings, part: str) -> dict[Concept, np.ndarray]:
    """Return onsets, or onset and offset pairs, by what they mark, of one part."""
    out: dict[Concept, np.ndarray] = {}
    for item in found.items:
        if isinstance(item, Events) and item.evidence[0].part == part:
            for n, what in enumerate(item.types):
                columns = [c for c in (item.onset_s, item.offset_s) if c is not None]
                out[what] = np.stack(columns, 1)[item.type_index == n]
    return out


def test_beats_waves_numbers_and_findings_come_back() -> None:
    case, findings = resting()
    ecg = recording(case)
    (rhythm, median), found = back(encode(ecg_dataset(ecg, case.studies[0], findings=(findings,))))
    np.testing.assert_allclose(rhythm.values.array, ecg.values.array, atol=0.00051)
    assert median.kind == "median"
    curves = [i for i in findings.items if isinstance(i, Curve)]
    np.testing.assert_allclose(median.values.array, np.stack([c.y for c in curves]), atol=0.00026)

    half = 0.5 / ecg.rate_hz + 1e-9
    given = marks(findings, SERIES)
    beats = marks(found, rhythm.origin.uid)
    for kind in (codes.NORMAL_BEAT, codes.VENTRICULAR_PREMATURE_BEAT):
        np.testing.assert_allclose(beats[kind], given[kind], atol=half)
    waves = marks(found, median.origin.uid)
    for wave in (codes.P_WAVE, codes.QRS_COMPLEX, codes.T_WAVE):
        np.testing.assert_allclose(waves[wave], given[wave] - curves[0].x[0] / 1000.0, atol=half)

    read = {(i.code, i.site): i for i in found.items if isinstance(i, Measurement)}
    for item in findings.items:
        if isinstance(item, Measurement) and item.evidence:
            got = read[item.code, item.site]
            assert got.value == pytest.approx(item.value, rel=1e-12)
            assert (got.unit, got.method) == (item.unit, item.method)
    of_the_beat = read[codes.QRS_DURATION, None].evidence[0].part
    of_the_rhythm = read[codes.VENTRICULAR_RATE, None].evidence[0].part
    assert (of_the_beat, of_the_rhythm) == (median.origin.uid, rhythm.origin.uid)
    assert [i.code for i in found.items if isinstance(i, Statement)] == [codes.ATRIAL_FIBRILLATION]


def test_an_annotated_object_is_another_one() -> None:
    case, findings = resting()
    plain = ecg_dataset(recording(case), case.studies[0])
    annotated = ecg_dataset(recording(case), case.studies[0], findings=(findings,))
    assert "WaveformAnnotationSequence" not in plain
    assert plain.SOPInstanceUID != annotated.SOPInstanceUID
    assert encode(annotated) == encode(ecg_dataset(recording(case), case.studies[0], findings=(findings,)))


def test_findings_on_another_part_are_left_out() -> None:
    case, findings = resting()
    elsewhere = tuple(replace(i, evidence=(Evidence("1.2.3"),)) for i in findings.items)
    ds = ecg_dataset(recording(case), case.studies[0], findings=(replace(findings, items=elsewhere),))
    assert "WaveformAnnotationSequence" not in ds
    assert len(ds.WaveformSequence) == 1


def test_a_day_of_beats_fits_though_one_attribute_cannot_hold_it() -> None:
    made = electrocardiogram(60, seconds=60, hz=200)
    case = case_of(made, ("V1", "V5"))
    long = replace(recording(case), values=Lazy.of(np.zeros((2, 200 * 40_000), np.float32)))
    times = np.arange(1, 40_000, dtype=float) + 0.5
    item = Events(
        id="beats",
        code=codes.QRS_COMPLEX,
        onset_s=times,
        types=(codes.NORMAL_BEAT,),
        type_index=np.zeros(len(times), int),
        evidence=(Evidence(SERIES),),
    )
    data = encode(ecg_dataset(long, case.studies[0], findings=(findings_of((item,), "holter_reading"),)))
    (part,), found = back(data)
    np.testing.assert_allclose(marks(found, part.origin.uid)[codes.NORMAL_BEAT][:, 0], times, atol=1e-9)


def test_waves_of_one_lead_stay_with_it_and_what_is_outside_is_left_out() -> None:
    case, findings = resting()
    item = Events(
        id="waves.t",
        code=codes.T_WAVE,
        onset_s=np.array([0.5, 1.5, 9.9]),
        offset_s=np.array([0.7, 1.7, 10.4]),
        types=(codes.T_WAVE,),
        type_index=np.zeros(3, int),
        leads=("II", "V5"),
        lead_index=np.array([1, 0, 0]),
        evidence=(Evidence(SERIES),),
    )
    said = replace(findings, items=(item,))
    _, found = back(encode(ecg_dataset(recording(case), case.studies[0], findings=(said,))))
    (got,) = found.items
    assert isinstance(got, Events)
    assert got.lead_index is not None
    assert [got.leads[n] for n in got.lead_index] == ["V5", "II"]
    np.testing.assert_allclose(got.onset_s, [0.5, 1.5])


@pytest.mark.parametrize("time", ["2024-03-01T09:30:00", ""])
def test_the_same_in_an_aecg_file(time: str, tmp_path: Path) -> None:
    case, findings = resting()
    ecg = recording(case)
    path = tmp_path / "a.xml"
    path.write_bytes(write_aecg(ecg, time=time, findings=(findings,)))
    read = carna.read(path)
    assert not read.problems
    (got,) = read.cases
    rhythm, median = (p for p in got.studies[0].parts if isinstance(p, Ecg))
    np.testing.assert_allclose(rhythm.values.array, ecg.values.array, atol=1e-6)
    assert (median.kind, median.leads, median.rate_hz) == ("median", LEADS, 500.0)
    beats: dict[Concept, np.ndarray] = {}
    waves: dict[Concept, np.ndarray] = {}
    for found in got.findings:
        beats |= marks(found, rhythm.origin.uid)
        waves |= marks(found, median.origin.uid)
    given = marks(findings, SERIES)
    for kind in (codes.NORMAL_BEAT, codes.VENTRICULAR_PREMATURE_BEAT):
        np.testing.assert_allclose(beats[kind][:, 0], given[kind][:, 0], atol=1e-6)
    for wave in (codes.P_WAVE, codes.QRS_COMPLEX, codes.T_WAVE):
        np.testing.assert_allclose(waves[wave], given[wave] + 0.45, atol=1e-6)
    numbers = {i.code: i for f in got.findings for i in f.items if isinstance(i, Measurement)}
    assert numbers[codes.QRS_DURATION].value == 98.25
    assert codes.PR_INTERVAL not in numbers


@pytest.mark.peer
def test_dciodvfy_finds_no_error(peer: Callable[[str], str], tmp_path: Path) -> None:
    case, findings = resting()
    path = tmp_path / "a.dcm"
    path.write_bytes(encode(ecg_dataset(recording(case), case.studies[0], findings=(findings,))))
    done = subprocess.run([peer("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert not [line for line in said if line.startswith("Error")], said
    assert "GeneralECG" in said
