"""The door as a whole: every real record is read, fast; damage of any kind is a problem in words."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from carna.doors.arrive import Delivery, assemble
from carna.doors.ecg import DOOR
from carna.doors.ecg.aecg import write_aecg
from carna.doors.ecg.edf import write_edf
from carna.doors.ecg.muse import write_muse
from carna.doors.ecg.scp import write_scp
from carna.doors.ecg.table import write_csv
from carna.doors.ecg.wfdb import write_wfdb
from carna.doors.files import HEAD, Blob, walk
from carna.findings import from_json, to_json
from carna.progress import SILENT
from carna.study import Ecg, Lazy

Files = Mapping[str, bytes]

_COUNTS = {
    "ludb": 121,
    "mitbih-9": 6,
    "qtdb-subset": 15,
    "cinc2017-300": 201,
    "cinc2021-sample/cinc2021": 32,
    "cinc2021-sample/cpsc2021": 12,
    "svdb-800": 1,
    "ecg-vendor-files": 5,
    "ecg-images/PTB_XL_data": 1,
}


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(_COUNTS))
def test_every_record_is_read(
    name: str, data: Callable[[str], Path], deliver_path: Callable[[Path], Delivery]
) -> None:
    delivery = deliver_path(data(name))
    rhythms = [a.part for a in delivery.arrivals if isinstance(a.part, Ecg) and a.part.kind == "rhythm"]
    assert delivery.problems == () and len(rhythms) == _COUNTS[name]
    assert len({e.origin.uid for e in rhythms}) == len(rhythms)
    cases, conflicts = assemble(delivery.arrivals)
    assert not conflicts
    assert {f.study for c in cases for f in c.findings} <= {s.uid for c in cases for s in c.studies}
    first = rhythms[0]
    assert first.values.array.dtype == np.float32 and not first.values.array.flags.writeable


@pytest.mark.data
@pytest.mark.parametrize("name", ["ludb/data/1.hea", "qtdb-subset/sel100.hea", "ecg-vendor-files/hl7aecg"])
def test_prior_findings_survive_as_json(
    name: str, data: Callable[[str], Path], deliver_path: Callable[[Path], Delivery]
) -> None:
    path = data(name.split("/", 1)[0]).parent / name
    found = [a.findings for a in deliver_path(path).arrivals if a.findings]
    assert found
    for findings in found:
        text, arrays = to_json(findings)
        assert from_json(text, arrays.__getitem__).uid == findings.uid


@pytest.mark.data
def test_ludb_in_five_seconds(data: Callable[[str], Path], deliver_path: Callable[[Path], Delivery]) -> None:
    """121 records of 12 leads with 12 annotation files each."""
    start = time.perf_counter()
    delivery = deliver_path(data("ludb"))
    for arrival in delivery.arrivals:
        if isinstance(arrival.part, Ecg):
            assert arrival.part.values.array.shape == (12, 5000)
            arrival.part.values.release()
    assert time.perf_counter() - start < 5.0


@pytest.mark.data
def test_naming_any_file_of_a_record_reads_the_record_once(data: Callable[[str], Path]) -> None:
    folder = data("ludb") / "data"
    for names in (["1.hea"], ["1.dat"], ["1.v6"], ["1.hea", "1.dat", "1.i"]):
        found, _ = walk([folder / name for name in names])
        delivery = DOOR.read([b for b in found if DOOR.claims(b)], SILENT)
        assert sum(isinstance(a.part, Ecg) for a in delivery.arrivals) == 1
        assert sum(a.findings is not None for a in delivery.arrivals) == 2


@pytest.mark.data
def test_files_of_other_doors_are_not_claimed(data: Callable[[str], Path]) -> None:
    for name in ("dicom-zoo", "vessel-geometries", "fhir-synthea", "echo-cine-sample", "monoalg-networks"):
        found, _ = walk([data(name)])
        assert found and not [b.name for b in found if DOOR.claims(b)]


def _samples(twelve: Ecg) -> dict[str, dict[str, bytes]]:
    short = Ecg(
        twelve.origin, Lazy.of(twelve.values.array[:, :300]), twelve.leads, 500.0, lsb_mV=twelve.lsb_mV
    )
    content = io.BytesIO()
    scipy.io.savemat(content, {"fs": 500, "ecg": short.values.array[0]}, do_compression=True)
    beats = b"\x0a\x04\x0a\x14\x0a\x9c\x0a\xa0\x00\x00"
    return {
        "wfdb16": {**write_wfdb(short, "a", comments=("Age: 5", "Dx: 1,2")), "a.atr": beats},
        "wfdb212": {**write_wfdb(short, "a", fmt=212), "a.v1": beats},
        "aecg": {"a.xml": write_aecg(short, time="2020-01-01T00:00:00")},
        "edf": {"a.edf": write_edf(short)},
        "scp": {"a.scp": write_scp(short)},
        "scp plain": {"a.scp": write_scp(short, huffman=False)},
        "muse": {"a.xml": write_muse(short)},
        "csv": {"a.csv": write_csv(short)},
        "mat": {"a.mat": content.getvalue(), "a.json": b'{"rate_hz": 500, "unit": "mV"}'},
    }


def _mutated(files: Files, rng: np.random.Generator) -> dict[str, bytes]:
    """Return the files with one of them damaged: bytes changed, cut, doubled, taken out or put in."""
    name = sorted(files)[rng.integers(len(files))]
    data = bytearray(files[name])
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(max(len(data), 1)))
        # Headers hold the numbers that can do harm, so half of the damage falls there.
        at = at % 400 if rng.random() < 0.5 else at
        match int(rng.integers(6)):
            case 0 | 1:
                data[at : at + 1] = bytes([rng.integers(256)])
            case 2:
                del data[at:]
            case 3:
                del data[at : at + int(rng.integers(1, 40))]
            case 4:
                data[at:at] = bytes(rng.integers(0, 256, 8, np.uint8))
            case _:
                data[at : at + 1] = rng.choice([b"9", b"-", b"0", b"99999", b"\xff\xff\xff\xff", b"<", b"e9"])
    return {**files, name: bytes(data)}


def _survives(files: Files) -> None:
    around: dict[str, Blob] = {}
    for name, data in files.items():
        around[name] = Blob(f"set/{name}", len(data), lambda data=data: data, data[:HEAD], None, around)  # type: ignore[misc]
    start = time.perf_counter()
    delivery = DOOR.read([b for b in around.values() if DOOR.claims(b)], SILENT)
    for arrival in delivery.arrivals:
        if isinstance(arrival.part, Ecg):
            assert arrival.part.values.array.nbytes < 1 << 28
    for problem in delivery.problems:
        assert problem.found and problem.needed and len(problem.found) <= 400
    assert time.perf_counter() - start < 5.0


@pytest.mark.parametrize(
    "rounds", [pytest.param(200, id="200"), pytest.param(2000, id="2000", marks=pytest.mark.slow)]
)
def test_damage_is_a_problem_in_words(twelve: Ecg, rounds: int) -> None:
    samples = list(_samples(twelve).values())
    rng = np.random.default_rng(rounds)
    for n in range(rounds):
        _survives(_mutated(samples[n % len(samples)], rng))


@pytest.mark.data
@pytest.mark.parametrize(
    "rounds", [pytest.param(40, id="40"), pytest.param(400, id="400", marks=pytest.mark.slow)]
)
def test_damage_of_real_files(data: Callable[[str], Path], rounds: int) -> None:
    folder = data("ecg-vendor-files")
    real = [{p.name: p.read_bytes()} for p in folder.rglob("*") if p.suffix.lower() == ".xml"]
    one = data("ludb") / "data"
    real.append({p.name: p.read_bytes() for p in one.iterdir() if p.stem == "1"})
    rng = np.random.default_rng(rounds)
    for n in range(rounds):
        _survives(_mutated(real[n % len(real)], rng))


def test_billion_laughs_and_external_entities_are_refused(deliver: Callable[[Files], Delivery]) -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]>'
    outside = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
    for doctype in (bomb, outside):
        for body in (
            b"<RestingECG>&b;</RestingECG>",
            b'<AnnotatedECG xmlns="urn:hl7-org:v3">&b;</AnnotatedECG>',
        ):
            (problem,) = deliver({"a.xml": doctype + body}).problems
            assert "document type" in problem.found
    deep = b"<RestingECG>" + b"<a>" * 100_000
    assert "nested" in deliver({"a.xml": deep}).problems[0].found
