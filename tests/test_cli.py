"""The command line as a person and a program use it: words, JSON, exit codes, speed of starting."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CARNA = Path(sys.executable).parent / "carna"


def carna(*arguments, cwd=None):
    return subprocess.run(
        [CARNA, *map(str, arguments)], check=False, capture_output=True, text=True, cwd=cwd, timeout=240
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    done = carna("demo", "-o", folder / "demo", "--json")
    assert done.returncode == 0, done.stderr
    return folder / "demo", json.loads(done.stdout)


def test_the_demo_goes_the_whole_way(demo):
    _, said = demo
    (study,) = said["studies"]
    assert not said["problems"]
    assert study["patient"] == "PHANTOM-000000" and study["kind"] == ["cine", "ecg"]
    assert [p["view"] for p in study["parts"] if p["kind"] == "cine"] == ["SAX", "4CH", "2CH", "3CH"]
    names = {Path(f).name for f in study["files"]}
    assert {"report.html", "report.zh.html", "fhir-r5.json", "fhir-r4b.json", "items.csv"} <= names
    assert any(n.endswith(".sr.dcm") for n in names) and any(n.endswith(".seg.dcm") for n in names)
    assert all(Path(f).is_file() for f in study["files"])


def test_the_demo_finds_what_is_true(demo):
    items = {i["id"]: i for f in demo[1]["studies"][0]["findings"] for i in f["items"]}
    assert items["beats.count"]["value"] == 11
    assert items["rate"]["value"] == pytest.approx(67.8, abs=0.5)
    assert items["heart.ed"]["value"] in (1, 25)
    assert items["heart.es"]["value"] == pytest.approx(10, abs=1)


def test_results_read_back_as_prior_findings(demo):
    import carna as library

    folder, _ = demo
    reading = library.read([folder / "patient", folder / "results"])
    case = next(c for c in reading.cases if c.patient.id == "PHANTOM-000000")
    rates = [i.value for f in case.findings for i in f.items if i.id == "rate"]
    assert rates and rates[0] == pytest.approx(67.8, abs=0.5)
    assert any(i.id == "heart" for f in case.findings for i in f.items)
    assert case.patient.synthetic


def test_results_come_back_with_each_id_once(demo):
    import carna as library

    reading = library.read(demo[0] / "results")
    ids = [i.id for c in reading.cases for f in c.findings for i in f.items]
    assert "qt" in ids and "heart" in ids
    reports = [
        i.id
        for c in reading.cases
        for f in c.findings
        if "ecg_reading" in f.manifest.application
        for i in f.items
    ]
    assert len(reports) == len(set(reports)) > 100


def test_doctor_lists_what_carna_stands_on():
    said = carna("doctor").stdout
    assert "edfio " in said and "fhir.resources " in said and "missing" not in said


def test_show_prints_the_findings(demo):
    found = next(f for f in demo[1]["studies"][0]["files"] if f.endswith("ecg_reading/findings.json"))
    done = carna("show", found)
    assert done.returncode == 0 and "beats.count" in done.stdout


def test_apps_as_json_is_the_declaration():
    cards = {a["name"]: a for a in json.loads(carna("apps", "--json").stdout)}
    assert cards["heart_locate"]["needs"][0]["view"] == "SAX"
    assert cards["heart_locate"]["settings"][0]["unit"] == "mm"
    assert cards["ecg_reading"]["stakes"] == "low"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("read", "nowhere"), 3, "no such file"),
        (("read", ".", "--only", "nothing"), 2, "no application 'nothing'"),
        (("read", ".", "--set", "heart_locate.margin=900"), 2, "0 to 40 [mm]"),
        (("read", ".", "--format", "docx"), 2, "no format"),
        (("evaluate", "nothing"), 2, "no suite"),
        (("show", "nowhere.json"), 2, "nowhere.json"),
    ],
)
def test_mistakes_are_sentences_with_exit_codes(arguments, code, words, tmp_path):
    done = carna(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_written_outside_out(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "junk.dcm").write_bytes(b"\0" * 200)
    carna("read", "in", "-o", "results", cwd=tmp_path)
    assert {p.name for p in tmp_path.iterdir()} <= {"in", "results"}
    assert {p.name for p in (tmp_path / "in").iterdir()} == {"junk.dcm"}


def test_results_inside_the_input_are_not_read_again(tmp_path):
    (tmp_path / "ecg.csv").write_text("# rate_hz=500, unit=mV\nII\n" + "0.1\n-0.1\n" * 1500)
    first, second = (carna("read", ".", "--json", cwd=tmp_path) for _ in range(2))
    assert json.loads(first.stdout)["studies"][0]["kind"] == ["ecg"]
    assert json.loads(first.stdout) == json.loads(second.stdout)


def test_an_out_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "ecg.csv").write_text("# rate_hz=500, unit=mV\nII\n" + "0.1\n-0.1\n" * 1500)
    (tmp_path / "taken").touch()
    done = carna("read", "ecg.csv", "-o", "taken", cwd=tmp_path)
    assert done.returncode == 2 and "can't be written" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("code", "limit_s"), [("import carna", 0.1), ("import carna.cli", 0.6)])
def test_starting_is_quick(code, limit_s):
    """CPU time of the import alone, best of five: wall time belongs to whoever shares the machine."""
    text = f"import time; b = time.process_time(); {code}; print(time.process_time() - b)"
    runs = [
        float(subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True).stdout)
        for _ in range(5)
    ]
    assert min(runs) < limit_s


@pytest.mark.slow
def test_apps_start_within_their_time():
    used = []
    for _ in range(5):
        before = os.times()
        assert carna("apps").returncode == 0
        after = os.times()
        used.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    assert min(used) < 0.6, used
