"""Electrocardiograms in DICOM: samples, clocks and leads, and what carts said, against plain pydicom."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from carna import codes
from carna.doors.arrive import Delivery
from carna.doors.dicom import scan, waveform
from carna.doors.files import Blob
from carna.findings import Absent, Events, Findings, Measurement, Statement
from carna.study import Ecg

TWELVE = "1.2.840.10008.5.1.4.1.1.9.1.1"


def deliver(*files: bytes) -> Delivery:
    blobs = [Blob(f"{n}.dcm", len(f), partial(bytes, f), f[:4096]) for n, f in enumerate(files)]
    headers, problems = scan.headers(blobs)
    got = waveform.read(headers)
    return Delivery(got.arrivals, (*problems, *got.problems))


def parts(delivery: Delivery) -> list[Ecg]:
    return [a.part for a in delivery.arrivals if isinstance(a.part, Ecg)]


def said(delivery: Delivery) -> Findings:
    (found,) = [a.findings for a in delivery.arrivals if a.findings is not None]
    return found


def code(value: str, scheme: str, meaning: str = "") -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning or value
    return Sequence([item])


def channel(source: Sequence, step: str = "5", unit: str = "uV", **more: Any) -> Dataset:
    ds = Dataset()
    ds.ChannelSourceSequence = source
    ds.ChannelSensitivity = step
    ds.ChannelSensitivityUnitsSequence = code(unit, "UCUM")
    ds.ChannelSensitivityCorrectionFactor = "1"
    ds.ChannelBaseline = "0"
    ds.ChannelSampleSkew = "0"
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


def group(stored: np.ndarray, channels: list[Dataset], law: str = "SS", **more: Any) -> Dataset:
    ds = Dataset()
    ds.WaveformOriginality = "ORIGINAL"
    ds.NumberOfWaveformChannels, ds.NumberOfWaveformSamples = len(channels), len(stored)
    ds.SamplingFrequency = "500"
    ds.ChannelDefinitionSequence = Sequence(channels)
    ds.WaveformBitsAllocated = 8 * stored.dtype.itemsize
    ds.WaveformSampleInterpretation = law
    ds.add_new(0x54001010, "OW", stored.tobytes())
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


def ecg(
    *groups: Dataset, syntax: str = ExplicitVRLittleEndian, sop: str = TWELVE, n: int = 1, **more: Any
) -> bytes:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop, f"1.2.3.{n}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.4", "1.2.5"
    ds.PatientID, ds.PatientName, ds.Modality = "P", "A^B", "ECG"
    ds.Manufacturer = "Maker"
    ds.WaveformSequence = Sequence(groups)
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def lead(name: str) -> Sequence:
    return code(codes.lead(name).value, "MDC")


@pytest.fixture(scope="module")
def real(data: Callable[[str], Path]) -> bytes:
    return (Path(data("ecg-vendor-files")) / "dicom" / "waveform_ecg.dcm").read_bytes()


@pytest.mark.data
def test_a_real_recording_has_the_samples_pydicom_reads(real: bytes) -> None:
    got = parts(deliver(real))
    ds = pydicom.dcmread(io.BytesIO(real))
    assert [(e.kind, e.rate_hz, e.values.shape) for e in got] == [
        ("rhythm", 1000.0, (12, 10000)),
        ("median", 1000.0, (12, 1200)),
    ]
    for n, part in enumerate(got):
        assert part.leads == ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
        peer = ds.waveform_array(n).T / 1000.0
        np.testing.assert_allclose(part.values.array, peer, atol=1e-6)
    one = got[0].signal
    # Einthoven: the cart stores all three, so they agree within a step.
    assert np.nanmax(np.abs(one.lead("I") + one.lead("III") - one.lead("II"))) <= 0.00125 * 1.01
    assert got[0].origin.uid == ds.SeriesInstanceUID
    assert got[1].origin.uid != ds.SeriesInstanceUID
    assert got[0].origin.facts["FilterHighFrequency"] == 300.0


@pytest.mark.data
def test_everything_a_real_cart_said_is_there(real: bytes) -> None:
    found = said(deliver(real))
    ds = pydicom.dcmread(io.BytesIO(real))
    assert found.manifest.application == "cart: Mortara Instrument, Inc. el250"
    assert found.status == "preliminary"
    numbers = {i.code: (i.value, i.unit) for i in found.items if isinstance(i, Measurement)}
    assert numbers == {
        codes.RR_INTERVAL: (982, "ms"),
        codes.PR_INTERVAL: (161, "ms"),
        codes.QRS_DURATION: (75, "ms"),
        codes.QT_INTERVAL: (368, "ms"),
        codes.QTC_INTERVAL: (370, "ms"),
        codes.P_AXIS: (74, "deg"),
        codes.QRS_AXIS: (52, "deg"),
        codes.T_AXIS: (57, "deg"),
    }
    (missing,) = [i for i in found.items if isinstance(i, Absent)]
    assert missing.code == codes.PP_INTERVAL
    words = [i.rule for i in found.items if isinstance(i, Statement)]
    assert words == ["as the sender wrote it: RITMO SINUSALE", "as the sender wrote it: ECG NORMALE"]
    # Every sample position of the file is the begin or the end of an event, one each.
    marks = [
        a.ReferencedSamplePositions for a in ds.WaveformAnnotationSequence if "ReferencedSamplePositions" in a
    ]
    times = [
        t
        for e in found.items
        if isinstance(e, Events)
        for row in (e.onset_s, e.offset_s)
        if row is not None
        for t in row
    ]
    assert sorted(round(t * 1000) + 1 for t in times) == sorted(marks)
    assert len(times) == 66


@pytest.mark.data
def test_the_marks_of_the_averaged_beat_are_placed_in_it(real: bytes) -> None:
    delivery = deliver(real)
    found, (rhythm, median) = said(delivery), parts(delivery)
    qrs = found["cart.median.qrs_complex"]
    assert isinstance(qrs, Events)
    assert qrs.evidence[0].part == median.origin.uid
    beats = found["cart.qrs_complex"]
    assert isinstance(beats, Events)
    assert beats.evidence[0].part == rhythm.origin.uid
    assert len(beats.onset_s) == 10
    # The fiducial is the energy of the QRS: the steepest sample of the beat lies inside its marks.
    slope = np.abs(np.diff(median.values.array, axis=1)).sum(axis=0)
    assert qrs.offset_s is not None
    assert qrs.onset_s[0] <= slope.argmax() / 1000 <= qrs.offset_s[0]


def test_value_is_stored_times_sensitivity_times_correction_plus_baseline() -> None:
    stored = np.array([[100, 1], [-32768, 2], [32767, 3]], "<i2")
    one = channel(lead("I"), "2.5", "uV", ChannelSensitivityCorrectionFactor="0.5", ChannelBaseline="40")
    two = channel(lead("V1"), "1", "mV")
    (part,) = parts(deliver(ecg(group(stored, [one, two], WaveformPaddingValue=b"\x00\x80"))))
    np.testing.assert_allclose(part.values.array[0], [0.165, np.nan, 32767 * 0.00125 + 0.04], rtol=1e-6)
    np.testing.assert_allclose(part.values.array[1], [1, 2, 3])
    np.testing.assert_allclose(part.lsb_mV, (0.00125, 1.0))
    notes = " ".join(part.origin.notes)
    assert "I: 1 of 3 samples not recorded" in notes
    assert "I: 1 of 3 samples clipped" in notes
    assert "V1" not in notes


@pytest.mark.parametrize(
    ("law", "dtype", "values"),
    [
        ("SB", "i1", [-128, 5, 127]),
        ("UB", "u1", [0, 5, 255]),
        ("SS", "<i2", [-300, 5, 300]),
        ("US", "<u2", [0, 5, 65535]),
        ("SL", "<i4", [-(2**31), 5, 2**31 - 1]),
        ("UL", "<u4", [0, 5, 2**32 - 1]),
    ],
)
def test_every_integer_interpretation(law: str, dtype: str, values: list[int]) -> None:
    stored = np.array([[v, 0] for v in values], dtype)
    (part,) = parts(
        deliver(
            ecg(group(stored, [channel(lead("I"), "1000"), channel(lead("II"))], law), sop=TWELVE[:-1] + "4")
        )
    )
    np.testing.assert_allclose(part.values.array[0], np.array(values, np.float32))


def test_mu_law_and_a_law_against_the_tables_of_g711() -> None:
    # Decision values at the ends of each segment, ITU-T G.711 tables 2a and 1a.
    mu = {0xFF: 0, 0x80: 8031, 0x00: -8031, 0xEF: 33, 0xFE: 2}
    assert waveform.expand(np.array(list(mu), np.uint8), "MB").tolist() == list(mu.values())
    a = {0xD5: 1, 0x55: -1, 0xAA: 4032, 0x2A: -4032, 0xC5: 33}
    assert waveform.expand(np.array(list(a), np.uint8), "AB").tolist() == list(a.values())


def test_big_endian_samples() -> None:
    stored = np.array([[1], [-2], [300]], ">i2")
    (part,) = parts(deliver(ecg(group(stored, [channel(lead("I"), "1000")]), syntax=ExplicitVRBigEndian)))
    assert part.values.array[0].tolist() == [1.0, -2.0, 300.0]


@pytest.mark.parametrize(
    ("source", "label", "name", "note"),
    [
        (code("2:62", "MDC"), "", "aVR", ""),
        (code("131134", "MDC"), "", "aVR", ""),
        (code("5.6.3-9-64", "SCPECG"), "", "aVF", ""),
        (code("2:10", "MDC"), "", "V2R", ""),
        (code("X-1", "99MAKER", "Lead II (Einthoven)"), "", "II", "by the words"),
        (code("X-2", "99MAKER", "?"), "aVL", "aVL", "by the words"),
        (code("X-3", "99MAKER", "Oesophageal"), "", "Oesophageal", "none that Carna knows"),
    ],
)
def test_leads_are_told_by_code_then_by_words(source: Sequence, label: str, name: str, note: str) -> None:
    entry = channel(source)
    if label:
        entry.ChannelLabel = label
    (part,) = parts(deliver(ecg(group(np.zeros((4, 1), "<i2"), [entry]))))
    assert part.leads == (name,)
    assert note in " ".join(part.origin.notes)


def test_four_columns_and_a_rhythm_strip_are_one_recording() -> None:
    columns = [("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6")]
    rng = np.random.default_rng(1)
    truth = rng.integers(-500, 500, (12, 2000)).astype("<i2")
    leads = [name for column in columns for name in column]
    groups = [
        group(
            truth[3 * n : 3 * n + 3, 500 * n : 500 * n + 500].T.copy(),
            [channel(lead(name)) for name in column],
            MultiplexGroupTimeOffset=str(1000 * n),
        )
        for n, column in enumerate(columns)
    ]
    strip = group(truth[1:2].T.copy(), [channel(lead("II"))])
    (part,) = parts(deliver(ecg(*groups, strip)))
    assert part.values.shape == (12, 2000)
    assert part.leads == tuple(leads)
    for n, name in enumerate(leads):
        expected = np.full(2000, np.nan)
        start = 500 * (n // 3)
        expected[start : start + 500] = truth[n, start : start + 500] * 0.005
        if name == "II":
            expected = truth[1] * 0.005
        np.testing.assert_allclose(part.signal.lead(name), expected, atol=1e-6)


def test_groups_that_contradict_each_other_stay_apart() -> None:
    a, b = np.full((100, 1), 7, "<i2"), np.full((100, 1), 90, "<i2")
    got = parts(deliver(ecg(group(a, [channel(lead("I"))]), group(b, [channel(lead("I"))]))))
    assert [e.values.array[0, 0] for e in got] == pytest.approx([0.035, 0.45])
    assert len({e.origin.uid for e in got}) == 2


def test_skew_moves_a_channel_by_whole_samples() -> None:
    stored = np.arange(12, dtype="<i2").reshape(6, 2)
    late = channel(lead("II"), "1000", ChannelSampleSkew="2")
    (part,) = parts(deliver(ecg(group(stored, [channel(lead("I"), "1000"), late]))))
    np.testing.assert_array_equal(part.values.array[1], [np.nan, np.nan, 1, 3, 5, 7])


def test_what_is_no_voltage_or_no_electrocardiogram_is_a_problem() -> None:
    zero = np.zeros((4, 1), "<i2")
    delivery = deliver(ecg(group(zero, [channel(lead("I"), unit="mm[Hg]")])))
    assert not delivery.arrivals
    assert "mm[Hg]" in delivery.problems[0].found
    other = deliver(ecg(group(zero, [channel(lead("I"))]), sop="1.2.840.10008.5.1.4.1.1.9.2.1"))
    assert not other.arrivals
    assert "Hemodynamic" in other.problems[0].found
    strange = deliver(ecg(group(zero, [channel(lead("I"))], law="XX")))
    assert "XX" in strange.problems[0].found


def test_two_recordings_of_one_series_are_two_parts() -> None:
    zero = np.zeros((4, 1), "<i2")
    got = parts(deliver(*(ecg(group(zero, [channel(lead("I"))]), n=n) for n in (1, 2))))
    assert {e.origin.uid for e in got} == {"1.2.3.1", "1.2.3.2"}


def annotation(**more: Any) -> Dataset:
    ds = Dataset()
    ds.ReferencedWaveformChannels = [1, 0]
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


def test_annotations_with_numbers_codes_places_and_units_nobody_knows() -> None:
    stored = np.zeros((1000, 2), "<i2")
    notes = [
        annotation(
            ConceptNameCodeSequence=code("2:2048", "MDC", "R amplitude"),
            NumericValue="1.25",
            MeasurementUnitsCodeSequence=code("mV", "UCUM"),
            ReferencedWaveformChannels=[1, 2],
        ),
        annotation(
            ConceptNameCodeSequence=code("2:15872", "MDC", "PR"),
            NumericValue="160",
            MeasurementUnitsCodeSequence=code("ms", "UCUM"),
            TemporalRangeType="SEGMENT",
            ReferencedSamplePositions=[101, 181],
        ),
        annotation(
            ConceptNameCodeSequence=code("Q", "99M", "Quirk"),
            NumericValue="3",
            MeasurementUnitsCodeSequence=code("blobs", "99M", "blobs"),
        ),
        annotation(
            ConceptNameCodeSequence=code("271921002", "SCT", "ECG finding"),
            ConceptCodeSequence=code("164889003", "SCT", "AF"),
        ),
        annotation(
            ConceptNameCodeSequence=code("10:8208", "MDC", "Normal beat"),
            TemporalRangeType="MULTIPOINT",
            ReferencedSamplePositions=[1, 501],
        ),
        annotation(
            ConceptNameCodeSequence=code("10:256", "MDC", "P wave"),
            TemporalRangeType="SEGMENT",
            ReferencedTimeOffsets=["100", "180"],
        ),
        annotation(ConceptNameCodeSequence=code("10:8336", "MDC", "PVC"), ReferencedSamplePositions=[5000]),
    ]
    delivery = deliver(
        ecg(
            group(stored, [channel(lead("I")), channel(lead("V2"))]),
            WaveformAnnotationSequence=Sequence(notes),
        )
    )
    found = said(delivery)
    amplitude = found["cart.v2.r_amplitude_lead"]
    assert isinstance(amplitude, Measurement)
    assert (amplitude.value, amplitude.unit, amplitude.site) == (1.25, "mV", codes.lead("V2"))
    pr = found["cart.pr_interval"].evidence[0]
    assert (pr.start_s, pr.stop_s) == (0.2, 0.36)
    quirk = found["cart.quirk"]
    assert isinstance(quirk, Statement)
    assert quirk.rule == "as the sender wrote it: Quirk 3 blobs"
    (rhythm,) = found.coded(codes.ATRIAL_FIBRILLATION)
    assert isinstance(rhythm, Statement)
    beats, wave = found["cart.normal_beat"], found["cart.p_wave"]
    assert isinstance(beats, Events)
    assert isinstance(wave, Events)
    assert beats.onset_s.tolist() == [0.0, 1.0]
    assert (wave.onset_s.tolist(), wave.offset_s.tolist()) == ([0.1], [0.18])  # type: ignore[union-attr]
    # The mark outside the signal is said, and is a problem.
    assert found.coded(codes.VENTRICULAR_PREMATURE_BEAT)
    assert "outside their signal" in delivery.problems[0].found


def mutated(file: bytes, seed: int) -> bytes:
    rng = random.Random(seed)
    data = bytearray(file)
    for _ in range(rng.choice((1, 3, 20))):
        match rng.randrange(4):
            case 0:
                data[rng.randrange(132, len(data))] = rng.randrange(256)
            case 1:
                # Headers lie before the samples and after them.
                data[rng.randrange(132, min(6000, len(data)))] = rng.randrange(256)
            case 2:
                data = data[: rng.randrange(200, len(data) + 1)]
            case _:
                at = rng.randrange(132, len(data))
                data[at : at + rng.randrange(1, 9)] = b"\xff" * rng.randrange(0, 9)
        if len(data) < 300:
            break
    return bytes(data)


def survives(file: bytes) -> None:
    delivery = deliver(file)
    assert delivery.arrivals or delivery.problems
    for part in parts(delivery):
        assert part.values.array.shape == part.values.shape


@pytest.mark.data
def test_no_damage_raises(real: bytes) -> None:
    for seed in range(200):
        survives(mutated(real, seed))


@pytest.mark.data
@pytest.mark.slow
def test_no_damage_raises_at_length(real: bytes) -> None:
    for seed in range(200, 2200):
        survives(mutated(real, seed))


def test_lost_and_clipped_samples_are_a_problem_once_an_object() -> None:
    stored = np.stack([np.arange(100), np.arange(100)], 1).astype("<i2")
    two = [channel(code("2:1", "MDC")), channel(code("2:2", "MDC"))]
    assert deliver(ecg(group(stored, two))).problems == ()
    stored[10:13, 0] = 32767  # a peak
    stored[20:25, 1] = 32767
    stored[40:43, 0] = -32768
    padded = group(stored, two, WaveformPaddingValue=np.int16(-32768).tobytes())
    problems = deliver(ecg(padded)).problems
    assert [p.found for p in problems] == ["samples not recorded: I 3", "samples clipped: II 5"]
    assert all(p.needed and p.fix for p in problems)


def test_a_lead_stored_twice_or_in_no_voltage_is_a_problem() -> None:
    stored = np.stack([np.arange(100)] * 3, 1).astype("<i2")
    three = [channel(code("2:1", "MDC")), channel(code("2:1", "MDC")), channel(code("2:2", "MDC"), unit="m")]
    found = [p.found for p in deliver(ecg(group(stored, three))).problems]
    assert any("lead I is stored twice" in f for f in found)
    assert any("II: samples in 'm'" in f for f in found)
