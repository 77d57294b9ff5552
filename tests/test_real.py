"""Real patients the whole way: hospital files in, and what other people's programs read of ours out."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from carna.findings import Region, load

pytestmark = [pytest.mark.data, pytest.mark.slow]
CARNA = Path(sys.executable).parent / "carna"


@pytest.fixture(scope="module")
def cine(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("cine")
    done = subprocess.run(
        [CARNA, "read", data("bivme-cine-dicom"), "-o", out, "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


def file(said, end):
    return Path(next(f for s in said["studies"] for f in s["files"] if f.endswith(end)))


def test_the_exam_is_understood_from_its_geometry(cine):
    """Six short-axis planes in six series are one stack; a 4CH label on a 3-chamber plane is reported."""
    (study,) = cine["studies"]
    assert [(p["view"], p["phases"], p["slices"]) for p in study["parts"]] == [
        ("SAX", 25, 6), ("4CH", 25, 1), ("3CH", 25, 1), ("2CH", 25, 1), ("RV2CH", 25, 1), ("RVOT", 25, 1),
    ]  # fmt: skip
    sax = study["parts"][0]
    assert sax["spacing_mm"][0] == pytest.approx(17.7, abs=0.01) and sax["thickness_mm"] == 6
    assert any("11.7 mm unseen" in n for n in sax["notes"])
    assert study["parts"][2]["notes"] == ["labelled 4CH, lies like 3CH"]
    assert study["parts"][4]["notes"] == ["labelled 2CH, lies like RV2CH"]
    assert {Path(p["file"]).name for p in cine["problems"]} <= {"LICENSE", "PROVENANCE.md", "SHA256SUMS"}


@pytest.mark.peer
def test_dcmtk_reads_the_numbers_of_our_report(cine, peer):
    found = load(file(cine, "heart_locate/findings.json"))
    dump = subprocess.run(
        [peer("dsrdump"), file(cine, "heart_locate.sr.dcm")], check=True, capture_output=True, text=True
    ).stdout
    for id, meaning in (
        ("heart.ed", "End diastole"),
        ("heart.es", "End Systole"),
        ("heart.es.time", "Time from R wave"),
    ):
        (printed,) = re.findall(rf'"{meaning}[^"]*"\)="([\d.]+)"', dump)
        assert float(printed) == pytest.approx(found[id].value, rel=1e-6)
    for end in ("sr.dcm", "seg.dcm"):
        assert subprocess.run([peer("dcmftest"), file(cine, end)], check=False).returncode == 0
        errors = subprocess.run(
            [peer("dciodvfy"), file(cine, end)], check=False, capture_output=True, text=True
        ).stderr
        assert not [line for line in errors.splitlines() if line.startswith("Error")], errors


@pytest.mark.peer
def test_highdicom_sees_our_region_where_it_lies(cine, library):
    hd = library("highdicom")
    region = load(file(cine, "heart_locate/findings.json"))["heart"]
    assert isinstance(region, Region)
    ours = np.concatenate(
        [p.to_world(np.argwhere(m[None])) for p, m in zip(region.planes, region.labels, strict=True)]
    )
    raw = file(cine, "seg.dcm").read_bytes()
    hd.seg.Segmentation.from_dataset(pydicom.dcmread(io.BytesIO(raw)))
    seg = pydicom.dcmread(io.BytesIO(raw))
    theirs = []
    shared = seg.SharedFunctionalGroupsSequence[0]
    for groups, pixels in zip(
        seg.PerFrameFunctionalGroupsSequence, np.atleast_3d(seg.pixel_array), strict=True
    ):
        position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        turn = (shared.get("PlaneOrientationSequence") or groups.PlaneOrientationSequence)[0]
        row, column = np.array(turn.ImageOrientationPatient, float).reshape(2, 3)
        between = (shared.get("PixelMeasuresSequence") or groups.PixelMeasuresSequence)[0].PixelSpacing
        r, c = np.nonzero(pixels)
        theirs.append(
            position + np.outer(c, row * float(between[1])) + np.outer(r, column * float(between[0]))
        )
    found = np.concatenate(theirs)
    assert len(found) == len(ours) > 1000
    assert np.allclose(found.mean(axis=0), ours.mean(axis=0), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "records"), [("ecg-vendor-files", 6), ("cinc2021-sample/cinc2021", 32), ("mitbih-9", 6)]
)
def test_every_record_is_read_and_answered(data, tmp_path, name, records):
    first, *rest = name.split("/")
    folder = data(first).joinpath(*rest)
    command = [CARNA, "read", folder, "-o", tmp_path, "--json", "--format", "csv"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    said = json.loads(done.stdout)
    ecgs = [s for s in said["studies"] if "ecg" in s["kind"]]
    assert len(ecgs) == records
    for study in ecgs:
        items = {
            i["id"]: i for f in study["findings"] if f["application"] == "ecg_reading" for i in f["items"]
        }
        assert "rate" in items or study["not_run"], study["uid"]
    assert all("LICENSE" in p["file"] or p["found"] == "not a format Carna knows" for p in said["problems"])


def test_the_zoo_is_read_and_the_rest_is_named(data):
    import carna

    reading = carna.read(data("dicom-zoo"))
    named = " ".join(p.found for p in reading.problems)
    assert sum("12 bits: no installed decoder" in p.found for p in reading.problems) == 2
    assert "pathology slide" in named
    assert sum(len(s.parts) for c in reading.cases for s in c.studies) >= 24
