"""CSV, MATLAB and NumPy: read where rate and unit are stated, refused with the words to state them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from carna.case import Problem
from carna.doors.arrive import Delivery
from carna.doors.ecg import DOOR
from carna.doors.ecg.leads import STANDARD
from carna.doors.ecg.table import write_csv
from carna.doors.files import Blob, walk
from carna.progress import SILENT
from carna.study import Ecg, Lazy

Files = Mapping[str, bytes]


@pytest.mark.parametrize(
    "text",
    [
        "# rate_hz=500, unit=mV\nI,V1\n1,2\n3,\n",
        "Time [s],I [mV],V1 [uV]\n0,1,2000\n0.002,3,\n",
        "time [ms];I [V];V1 [mV]\n0;0.001;2\n2;0.003;\n",
        "# rate_hz: 500\nI (mV),V1 (mV), RESP\n1,2,7\n3,x,8\n",
    ],
)
def test_a_table_that_states_its_rate_and_unit(only: Callable[[Files], Ecg], text: str) -> None:
    ecg = only({"a.csv": text.encode()})
    np.testing.assert_allclose(ecg.values.array, np.array([[1, 3], [2, np.nan]]), rtol=1e-6)
    assert (ecg.leads, ecg.rate_hz) == (("I", "V1"), 500.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I,II,III\n1,2,3\n", "the sampling rate and the unit"),
        ("Time [s],I,II\n0,1,2\n0.002,2,3\n", "the unit stated nowhere"),
        ("# rate_hz=500\nI\n1\n", "the unit"),
        ("# rate_hz=500, unit=mmHg\nI\n1\n", "mmHg"),
        ("# rate_hz=-5, unit=mV\nI\n1\n2\n", "rate of -5"),
        ("# rate_hz=500, unit=mV\nI\n", "without numbers"),
        ("# rate_hz=500, unit=V\nI\n1e9\n", "1e+12 mV"),
        ("Time [s],I [mV]\n0,1\n0.002,2\n0.5,2\n", "uneven"),
        ("# rate_hz=500, unit=mV\nRESP,PLETH\n1,2\n", "at least one ECG lead"),
    ],
)
def test_a_table_that_does_not_is_told_how(
    refusal: Callable[[Files], Problem], text: str, words: str
) -> None:
    problem = refusal({"a.csv": text.encode()})
    assert words in str(problem)
    if "unit" in words and "mmHg" not in words:
        assert "rate_hz=500, unit=mV" in problem.fix


@pytest.mark.parametrize(
    "text",
    [
        "530\n518\n",
        "timer,hr\n0,515\n8,514\n",
        "x,y,z\n1,2,3\n",
        "time [s],x,y,z\n0,1,2,3\n",
        "time [ms],I [pA]\n0,1\n",
        "age,sex\n1,M\n",
    ],
)
def test_other_tables_are_left_to_other_doors(blobs: Callable[[Files], dict[str, Blob]], text: str) -> None:
    assert not DOOR.claims(blobs({"a.csv": text.encode()})["a.csv"])


def test_csv_written_and_read_back_is_exactly_equal(only: Callable[[Files], Ecg], twelve: Ecg) -> None:
    values = twelve.values.array.copy()
    values[2, 5:50] = np.nan
    holed = Ecg(twelve.origin, Lazy.of(values), twelve.leads, 257.3)
    back = only({"a.csv": write_csv(holed)})
    np.testing.assert_array_equal(back.values.array, values)
    assert (back.leads, back.rate_hz) == (twelve.leads, 257.3)


def _mat(**arrays: object) -> bytes:
    content = io.BytesIO()
    scipy.io.savemat(content, arrays, do_compression=True)
    return content.getvalue()


def _npy(array: object) -> bytes:
    content = io.BytesIO()
    np.save(content, np.asarray(array))
    return content.getvalue()


def _npz(**arrays: object) -> bytes:
    content = io.BytesIO()
    np.savez(content, **{k: np.asarray(v) for k, v in arrays.items()})  # type: ignore[arg-type]
    return content.getvalue()


_SIDE = json.dumps({"rate_hz": 400, "unit": "uV", "leads": ["I", "V1"], "array": ""}).encode()
_ROWS = [[1000.0, 2000.0, 3000.0], [4.0, 5.0, 6.0]]


@pytest.mark.parametrize(
    "files",
    [
        {"a.mat": _mat(feats=_ROWS)},
        {"a.mat": _mat(val=np.array(_ROWS, np.int16).T)},
        {"a.npy": _npy(_ROWS)},
        {"a.npz": _npz(anything=_ROWS)},
        {"a.csv": b"1000,4\n2000,5\n3000,6\n"},
    ],
)
def test_a_sidecar_makes_an_array_an_ecg(only: Callable[[Files], Ecg], files: Files) -> None:
    ecg = only({**files, "a.json": _SIDE})
    np.testing.assert_allclose(ecg.values.array, np.array(_ROWS) / 1000)
    assert (ecg.leads, ecg.rate_hz) == (("I", "V1"), 400.0)


def test_without_one_the_file_is_told_how(refusal: Callable[[Files], Problem]) -> None:
    problem = refusal({"a.mat": _mat(feats=_ROWS)})
    assert "the sampling rate and the unit" in problem.found and '"rate_hz": 400' in problem.fix


@pytest.mark.parametrize(
    ("side", "words"),
    [
        ({"rate_hz": -1, "unit": "mV"}, "usable rate"),
        ({"rate_hz": 400}, "the unit"),
        ({"rate_hz": 400, "unit": "parsec"}, "parsec"),
        ({"rate_hz": 400, "unit": "mV"}, "leads without names"),
        ({"rate_hz": 400, "unit": "mV", "leads": ["I"]}, "1 lead names"),
        ({"rate_hz": 400, "unit": "mV", "leads": ["I", "V1"], "array": "x"}, "arrays feats"),
    ],
)
def test_a_sidecar_that_does_not_fit(
    refusal: Callable[[Files], Problem], side: dict[str, object], words: str
) -> None:
    assert words in str(refusal({"a.mat": _mat(feats=_ROWS), "a.json": json.dumps(side).encode()}))


def test_arrays_without_a_sidecar_are_left_to_other_doors(blobs: Callable[[Files], dict[str, Blob]]) -> None:
    made = blobs({"a.npy": _npy(_ROWS), "a.npz": _npz(x=_ROWS), "a.mat": _mat(mask=_ROWS), "b.json": _SIDE})
    assert not any(DOOR.claims(blob) for blob in made.values())


@pytest.mark.data
def test_code15_with_a_sidecar(data: Callable[[str], Path]) -> None:
    """Ten tracings; their rate is in the file, their unit is nowhere."""
    found, _ = walk([data("code15-10") / "org"])
    assert len(found) == 10
    delivery: Delivery = DOOR.read([b for b in found if DOOR.claims(b)], SILENT)
    assert len(delivery.problems) == 10 and all("the unit" in p.found for p in delivery.problems)
    side = json.dumps({"rate_hz": 400, "unit": "mV", "leads": STANDARD}).encode()
    for blob in found:
        blob.neighbours[f"{blob.stem}.json"] = Blob("side.json", len(side), lambda: side, side)
    read = DOOR.read(found, SILENT)
    assert read.problems == () and len(read.arrivals) == 10
    shapes = [a.part.values.array.shape for a in read.arrivals if isinstance(a.part, Ecg)]
    assert sorted(set(shapes)) == [(12, 2934), (12, 4096)]


@pytest.mark.data
def test_bidmc_is_told_to_state_its_unit(data: Callable[[str], Path]) -> None:
    found, _ = walk([data("bidmc01")])
    delivery = DOOR.read([b for b in found if DOOR.claims(b)], SILENT)
    (problem,) = delivery.problems
    assert problem.found == "the unit stated nowhere" and "unit=mV" in problem.fix
