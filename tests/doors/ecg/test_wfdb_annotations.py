"""MIT annotation files: every annotation of the real files against wfdb, and the counts of LUDB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from carna import codes
from carna.doors.arrive import Delivery
from carna.doors.ecg.wfdb_annotations import Mark, annotator_findings, parse_annotations
from carna.doors.files import Blob
from carna.errors import InputError
from carna.findings import Events

# wfdb calls pandas in a way that pandas will drop.
PANDAS = pytest.mark.filterwarnings("ignore:The inplace keyword")


def _word(code: int, low: int) -> bytes:
    return (code << 10 | low & 0x3FF).to_bytes(2, "little")


def _skip(ticks: int) -> bytes:
    raw = ticks & 0xFFFFFFFF
    return _word(59, 0) + (raw >> 16).to_bytes(2, "little") + (raw & 0xFFFF).to_bytes(2, "little")


_END = b"\0\0"


def _aux(text: str) -> bytes:
    return _word(63, len(text)) + text.encode() + b"\0" * (len(text) % 2)


def _found(data: bytes, leads: tuple[str, ...] = ("I", "V1"), file: str = "a.atr") -> dict[str, Events]:
    blob = Blob(file, len(data), lambda: data, data)
    (prior,), notes = annotator_findings([blob], 100.0, 1000, leads, "2.25.1")
    assert notes == ()
    return {item.id: item for item in prior.items if isinstance(item, Events)}


def test_every_field_of_an_annotation() -> None:
    data = (
        _word(1, 5)
        + _word(61, -2)
        + _word(60, 3)
        + _word(62, 1)
        + _skip(100_000)
        + _word(5, 7)
        + _aux("x")
        + _END
    )
    assert parse_annotations(data) == [
        Mark(5, 1, -2, 1, 3, ""),
        Mark(100_012, 5, 0, 1, 3, "x"),
    ]
    assert parse_annotations(_word(1, 50) + _skip(-20) + _word(1, 0) + _END)[1].tick == 30


def test_a_file_without_its_end_is_refused_and_noted() -> None:
    with pytest.raises(InputError, match="end mark"):
        parse_annotations(_word(1, 5))
    with pytest.raises(InputError, match="modifier"):
        parse_annotations(_word(61, 1) + _END)
    data = _word(1, 5)
    priors, notes = annotator_findings([Blob("a.atr", 2, lambda: data, data)], 100.0, 10, ("I",), "2.25.1")
    assert not any(p.items for p in priors) and "a.atr was not read" in notes[0]


def test_beats_and_rhythm() -> None:
    data = (
        _word(28, 0)
        + _aux("(N")
        + _word(1, 10)
        + _word(5, 90)
        + _word(28, 100)
        + _aux("(AFIB")
        + _word(12, 5)
        + _word(14, 5)
        + _END
    )
    items = _found(data)
    beats, rhythm = items["beats"], items["rhythm"]
    assert [beats.types[i] for i in beats.type_index] == [
        codes.NORMAL_BEAT,
        codes.VENTRICULAR_PREMATURE_BEAT,
        beats.types[2],
    ]
    assert beats.types[2].scheme == "99CARNA" and beats.types[2].value == "WFDB-PACE"
    np.testing.assert_allclose(beats.onset_s, [0.1, 1.0, 2.05])
    assert rhythm.offset_s is not None
    np.testing.assert_allclose(rhythm.offset_s, [2.0, 10.0])
    assert [rhythm.types[i] for i in rhythm.type_index] == [codes.SINUS_RHYTHM, codes.ATRIAL_FIBRILLATION]
    assert items["marks"].types[0].value == "WFDB-NOISE"


def test_waves_with_both_ends_with_one_and_with_none() -> None:
    onset, offset, qrs, p, t = 39, 40, 1, 24, 27
    marks = [
        (onset, 10),
        (p, 5),
        (offset, 5),
        (onset, 10),
        (qrs, 4),
        (offset, 4),
        (t, 20),
        (offset, 10),
        (p, 50),
    ]
    marks += [(onset, 10), (qrs, 3), (onset, 20), (t, 5), (t, 5), (offset, 5)]
    items = _found(b"".join(_word(code, gap) for code, gap in marks) + _END)
    spans = {
        name: list(zip(i.onset_s.round(2), i.offset_s.round(2), strict=True))
        for name, i in items.items()
        if name.startswith("waves") and i.offset_s is not None
    }
    assert spans == {
        "waves.p": [(0.1, 0.2)],
        "waves.qrs": [(0.3, 0.38)],
        "waves.t": [(1.51, 1.66)],
    }
    np.testing.assert_allclose(items["ends.t"].onset_s, [0.68])
    np.testing.assert_allclose(items["starts.qrs"].onset_s, [1.28])
    np.testing.assert_allclose(items["peaks.t"].onset_s, [0.58, 1.56, 1.61])
    # N between boundaries says that there is a QRS complex, not that it is normal.
    assert items["beats"].types == (codes.QRS_COMPLEX,)


def test_boundaries_with_numbers_say_their_wave_themselves() -> None:
    def bound(code: int, gap: int, num: int) -> bytes:
        return _word(code, gap) + _word(60, num)

    data = bound(39, 10, 1) + _word(1, 4) + bound(40, 4, 1) + bound(39, 20, 2) + bound(40, 10, 2)
    items = _found(data + bound(40, 10, 3) + _END)
    assert items["waves.qrs"].onset_s.tolist() == [0.1]
    assert items["waves.t"].onset_s.tolist() == [0.38]
    np.testing.assert_allclose(items["ends.u"].onset_s, [0.58])


def test_a_peak_just_before_its_onset_belongs_to_it() -> None:
    near = _found(_word(1, 10) + _word(39, 1) + _word(40, 8) + _END)
    assert near["waves.qrs"].onset_s.tolist() == [0.11]
    far = _found(_word(1, 10) + _word(39, 9) + _word(40, 8) + _END)
    assert "waves.qrs" not in far


def test_files_named_after_leads_are_one_annotator() -> None:
    data = _word(1, 10) + _END
    blobs = [Blob(f"a.{ext}", len(data), lambda: data, data) for ext in ("v1", "i")]
    (prior,), _ = annotator_findings(blobs, 100.0, 100, ("i", "v1"), "2.25.1")
    (beats,) = prior.items
    assert isinstance(beats, Events)
    assert beats.leads == ("I", "V1") and beats.lead_index is not None and beats.lead_index.tolist() == [0, 1]


def test_a_resolution_and_codes_of_the_file_s_own() -> None:
    preamble = [
        "## time resolution: 1000",
        "## annotation type definitions",
        "42 zz My own mark",
        "## end of definitions",
    ]
    data = b"".join(_word(22, 0) + _aux(line) for line in preamble) + _word(42, 500) + _END
    (marks,) = _found(data).values()
    assert marks.onset_s.tolist() == [0.5]
    assert (marks.types[0].value, marks.types[0].meaning) == ("WFDB-zz", "My own mark")


def test_comments_keep_their_words() -> None:
    items = _found(_word(22, 5) + _aux("TS") + _word(22, 5) + _aux("PSE") + _END)
    assert [items["marks"].types[i].meaning for i in items["marks"].type_index] == [
        "Comment: TS",
        "Comment: PSE",
    ]


@PANDAS
@pytest.mark.peer
@pytest.mark.data
@pytest.mark.parametrize("name", ["mitbih-9", "qtdb-subset", "svdb-800", "cinc2021-sample"])
def test_every_annotation_equals_wfdb(
    name: str, data: Callable[[str], Path], library: Callable[[str], ModuleType]
) -> None:
    wfdb = library("wfdb")
    wanted = (".atr", ".q1c", ".q2c", ".pu0", ".qt1", ".man")
    files = [p for p in data(name).rglob("*") if p.suffix in wanted]
    assert files
    for file in files:
        theirs = wfdb.rdann(str(file.with_suffix("")), file.suffix[1:], return_label_elements=["label_store"])
        mine = parse_annotations(file.read_bytes())
        assert [m.tick for m in mine] == theirs.sample.tolist()
        assert [m.code for m in mine] == theirs.label_store.tolist()
        assert [m.sub for m in mine] == theirs.subtype.tolist()
        assert [m.chan for m in mine] == theirs.chan.tolist()
        assert [m.num for m in mine] == theirs.num.tolist()
        assert [m.aux for m in mine] == [text.rstrip("\0") for text in theirs.aux_note]


@pytest.mark.data
def test_ludb_has_the_waves_that_were_counted_in_it(
    data: Callable[[str], Path], deliver_path: Callable[[Path], Delivery]
) -> None:
    """13,398 QRS, 10,179 P and 12,001 T marks in the 121 records; almost every one has both ends."""
    count: Counter[str] = Counter()
    for arrival in deliver_path(data("ludb")).arrivals:
        for item in arrival.findings.items if arrival.findings else ():
            if isinstance(item, Events):
                count[item.id] += len(item.onset_s)
                assert item.leads
                if item.offset_s is not None:
                    assert (item.offset_s > item.onset_s).all()
                    assert np.quantile(item.offset_s - item.onset_s, 0.99) < 0.6
    assert (count["beats"], count["peaks.p"], count["peaks.t"]) == (13_398, 10_179, 12_001)
    assert count["waves.p"] == count["peaks.p"]
    assert count["waves.t"] == count["peaks.t"]
    # 32 QRS complexes have an end and no onset, one has neither.
    assert (count["waves.qrs"], count["ends.qrs"]) == (13_365, 32)


@pytest.mark.data
def test_the_tables_beside_mit_bih_tell_the_same_beats(data: Callable[[str], Path]) -> None:
    symbols = dict(zip((1, 2, 3, 5, 6, 8, 12, 14, 28, 38), "NLRVFA/~+f", strict=True))
    for record in ("100", "208"):
        folder = data("mitbih-9")
        rows = (folder / "annotations_txt" / f"{record}annotations.txt").read_text().splitlines()[1:]
        told = [(int(row.split()[1]), row.split()[2]) for row in rows]
        mine = parse_annotations((folder / f"{record}.atr").read_bytes())
        assert [(m.tick, symbols.get(m.code, told[n][1])) for n, m in enumerate(mine)] == told
