"""EDF: written and read back, by edfio too; annotations, gaps, other channels, BDF."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import ModuleType

import numpy as np
import pytest

from carna.case import Problem
from carna.doors.arrive import Arrival
from carna.doors.ecg.edf import write_edf
from carna.errors import InputError
from carna.findings import Events
from carna.study import Ecg, Lazy

Files = Mapping[str, bytes]


def _edf(
    signals: list[tuple[str, str, list[int]]],
    *,
    records: int = 1,
    reserved: str = "",
    size: int = 2,
    duration: str = "1",
) -> bytes:
    """Return a file of whole-number signals from -1000 to 1000 µV on the same digital limits."""
    n = len(signals)
    lead = b"\xffBIOSEMI" if size == 3 else b"0       "
    top = [("X X X X", 80), ("Startdate 02-JAN-2020 X X Cart_1", 80), ("02.01.20", 8), ("03.04.05", 8)]
    top += [(str(256 * (n + 1)), 8), (reserved, 44), (str(records), 8), (duration, 8), (str(n), 4)]
    columns: list[tuple[list[str], int]] = [
        ([s[0] for s in signals], 16), ([""] * n, 80), ([s[1] for s in signals], 8), (["-1000"] * n, 8),
        (["1000"] * n, 8), (["-1000"] * n, 8), (["1000"] * n, 8), ([""] * n, 80),
        ([str(len(s[2]) // records) for s in signals], 8), ([""] * n, 32),
    ]  # fmt: skip
    text = "".join(v.ljust(w) for v, w in top) + "".join(v.ljust(w) for vs, w in columns for v in vs)
    body = b"".join(
        value.to_bytes(size, "little", signed=True)
        for r in range(records)
        for _, _, values in signals
        for value in values[r * len(values) // records : (r + 1) * len(values) // records]
    )
    return lead + text.encode() + body


def _tal(text: bytes, size: int) -> list[int]:
    padded = text + b"\0" * (2 * size - len(text))
    return [int(v) for v in np.frombuffer(padded, "<i2")]


def test_ecg_channels_are_read_and_others_named(only: Callable[[Files], Ecg]) -> None:
    data = _edf([("ECG II", "uV", [1, -2, 3, 4]), ("EEG Fpz-Cz", "uV", [5, 6]), ("EKG", "mV", [7, 8, 9, 10])])
    ecg = only({"a.edf": data})
    expected = np.array([[0.001, -0.002, 0.003, 0.004], [7, 8, 9, 10]])
    np.testing.assert_allclose(ecg.values.array, expected, rtol=1e-6)
    assert (ecg.leads, ecg.rate_hz, ecg.origin.time) == (("II", "EKG"), 4.0, "2020-01-02T03:04:05")
    assert any("EEG Fpz-Cz" in note for note in ecg.origin.notes)
    assert ecg.origin.device == "Cart 1"


def test_bdf_has_24_bits(only: Callable[[Files], Ecg]) -> None:
    ecg = only({"a.bdf": _edf([("ECG", "uV", [1, -2])], size=3)})
    np.testing.assert_allclose(ecg.values.array, [[0.001, -0.002]], rtol=1e-6)


def test_annotations_and_a_gap(pieces: Callable[[Files], tuple[Arrival, ...]]) -> None:
    marks = [_tal(b"+0\x14\x14\0+0.5\x14Chest pain\x14\0", 20), _tal(b"+3\x14\x14\0", 20)]
    data = _edf(
        [("ECG", "uV", [1, 2, 3, 4]), ("EDF Annotations", "", marks[0] + marks[1])],
        records=2,
        reserved="EDF+D",
    )
    arrivals = pieces({"a.edf": data})
    ecg = next(a.part for a in arrivals if isinstance(a.part, Ecg))
    np.testing.assert_allclose(
        ecg.values.array * 1000, [[1, 2, np.nan, np.nan, np.nan, np.nan, 3, 4]], rtol=1e-5
    )
    (findings,) = (a.findings for a in arrivals if a.findings)
    (events,) = findings.items
    assert isinstance(events, Events)
    assert (events.onset_s.tolist(), events.types[0].meaning) == ([0.5], "Chest pain")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_edf([("EEG", "uV", [1, 2])]), "no ECG among EEG"),
        (_edf([("ECG", "mmHg", [1, 2])]), "no ECG"),
        (_edf([("ECG", "uV", [1, 2])])[:500], "EDF header of 500"),
        (_edf([("ECG", "uV", [1, 2])])[:-2], "no whole data record"),
        (_edf([("ECG", "uV", [1, 2])], duration="0"), "no duration"),
    ],
)
def test_what_is_refused(refusal: Callable[[Files], Problem], data: bytes, words: str) -> None:
    assert words in str(refusal({"a.edf": data}))


def test_a_file_that_ends_early_says_so(only: Callable[[Files], Ecg]) -> None:
    data = _edf([("ECG", "uV", [1, 2, 3, 4])], records=2)
    assert any("1 records early" in n for n in only({"a.edf": data[:-4]}).origin.notes)


def test_written_and_read_back(only: Callable[[Files], Ecg], twelve: Ecg) -> None:
    back = only({"a.edf": write_edf(twelve, time="2020-01-02T03:04:05")})
    np.testing.assert_allclose(back.values.array, twelve.values.array, atol=0.0026)
    np.testing.assert_allclose(back.values.array, twelve.values.array, atol=1e-5)
    assert (back.leads, back.rate_hz, back.origin.time) == (twelve.leads, 500.0, "2020-01-02T03:04:05")


@pytest.mark.parametrize("rate", [360.0, 257.0, 128.0, 1000.0])
def test_no_sample_is_lost_at_any_rate(only: Callable[[Files], Ecg], twelve: Ecg, rate: float) -> None:
    odd = Ecg(twelve.origin, Lazy.of(twelve.values.array[:, :1285]), twelve.leads, rate, lsb_mV=twelve.lsb_mV)
    try:
        data = write_edf(odd)
    except InputError as error:
        assert "record duration" in str(error)
        return
    back = only({"a.edf": data})
    assert back.values.shape == (12, 1285) and back.rate_hz == pytest.approx(rate)


def test_missing_samples_have_no_code_in_edf(twelve: Ecg) -> None:
    values = twelve.values.array.copy()
    values[0, 3] = np.nan
    with pytest.raises(InputError, match="not recorded"):
        write_edf(Ecg(twelve.origin, Lazy.of(values), twelve.leads, 500.0))


@pytest.mark.peer
def test_edfio_reads_what_was_written(library: Callable[[str], ModuleType], twelve: Ecg) -> None:
    edfio = library("edfio")
    read = edfio.read_edf(io.BytesIO(write_edf(twelve, patient="X", time="2020-01-02T03:04:05")))
    theirs = np.stack([signal.data for signal in read.signals])
    np.testing.assert_allclose(theirs / 1000, twelve.values.array, atol=1e-5)
    assert [s.label for s in read.signals] == [f"ECG {lead}" for lead in twelve.leads]
    assert all(s.sampling_frequency == 500.0 for s in read.signals)


@pytest.mark.peer
def test_what_edfio_wrote_is_read(
    library: Callable[[str], ModuleType], only: Callable[[Files], Ecg], twelve: Ecg
) -> None:
    edfio = library("edfio")
    values = np.asarray(twelve.values.array, np.float64)
    signals = [
        edfio.EdfSignal(row * 1000, 500.0, label=lead, physical_dimension="uV")
        for row, lead in zip(values, twelve.leads, strict=True)
    ]
    notes = (edfio.EdfAnnotation(1.25, None, "Sinus pause"),)
    content = io.BytesIO()
    edfio.Edf(signals, annotations=notes).write(content)
    back = only({"a.edf": content.getvalue()})
    step = np.abs(values).max() * 2 / 65535
    np.testing.assert_allclose(back.values.array, values, atol=step)
    assert (back.leads, back.rate_hz) == (twelve.leads, 500.0)
