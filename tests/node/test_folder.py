"""The folder station: a whole result or none, names no system refuses, no failure stops the rest."""

import errno
import json
import os
import select
import subprocess
import sys
from dataclasses import replace
from types import MappingProxyType

import pytest

from carna import render
from carna.errors import Cancelled, InputError, SettingError
from carna.node import folder
from carna.node.folder import Order, make, make_all, slug
from carna.phantom import virtual_case
from carna.progress import Progress


@pytest.fixture(scope="module")
def case():
    return virtual_case()


def test_a_study_becomes_a_folder(case, tmp_path):
    made = make(case, case.studies[0].uid, tmp_path, Order(formats=("json", "csv")))
    assert made.kind == ("cine", "ecg")
    assert {f["application"] for f in made.findings} == {
        "cine_pattern",
        "ecg_reading",
        "heart_locate",
        "heart_mesh",
        "long_axis_segmentation",
        "myocardial_strain",
        "ventricular_function",
        "ventricular_segmentation",
    }
    files = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert {"findings.json", "items.csv"} <= files
    assert not list(tmp_path.rglob("*.part*"))
    json.dumps(made.findings)  # it is what `--json` prints


def test_a_second_run_replaces_the_first_whole(case, tmp_path):
    uid = case.studies[0].uid
    first = make(case, uid, tmp_path, Order(formats=("csv",), only=("ecg_reading",)))
    second = make(case, uid, tmp_path, Order(formats=("json",), only=("ecg_reading",)))
    left = {str(p) for p in tmp_path.rglob("*") if p.is_file()}
    assert left == set(second.files)
    assert not left & set(first.files)


def test_a_killed_run_leaves_the_earlier_result(case, tmp_path, monkeypatch):
    uid = case.studies[0].uid
    first = make(case, uid, tmp_path, Order(formats=("csv",), only=("ecg_reading",)))

    def killed(part, place):
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "_swap", killed)
    with pytest.raises(KeyboardInterrupt):
        make(case, uid, tmp_path, Order(formats=("json",), only=("ecg_reading",)))
    assert {str(p) for p in tmp_path.rglob("*") if p.is_file()} == set(first.files)


def test_a_broken_renderer_stops_nothing_else(case, tmp_path, monkeypatch):
    def broken(said, case):
        raise ZeroDivisionError("a bug")

    bad = render.Format("sr", frozenset(), broken)
    monkeypatch.setattr(render, "FORMATS", MappingProxyType({**render.FORMATS, "sr": bad}))
    made = make(case, case.studies[0].uid, tmp_path, Order(formats=("sr", "csv"), only=("ecg_reading",)))
    assert made.failed
    assert "format sr failed: ZeroDivisionError: a bug" in made.problems[0].found
    assert [f for f in made.files if f.endswith("items.csv")]


def test_a_folder_that_cannot_be_written_is_a_sentence_and_leaves_the_earlier_result(
    case, tmp_path, monkeypatch
):
    uid = case.studies[0].uid
    first = make(case, uid, tmp_path, Order(formats=("csv",), only=("ecg_reading",)))

    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folder, "write_whole", full)
    with pytest.raises(InputError, match="No space left"):
        make(case, uid, tmp_path, Order(formats=("json",), only=("ecg_reading",)))
    assert {str(p) for p in tmp_path.rglob("*") if p.is_file()} == set(first.files)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="can't be written"):
        make(case, uid, tmp_path / "file", Order(formats=("csv",), only=("ecg_reading",)))


def test_workers_end_with_their_parent():
    """A killed run leaves no process behind that waits for ever."""
    code = """
import multiprocessing, sys, time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from carna.node.folder import Order, _inherit
context = multiprocessing.get_context("fork")
pool = ProcessPoolExecutor(2, context, _inherit, ((), Path("x"), Order()))
list(pool.map(time.sleep, [0.2] * 2))
print("working", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"working\n"
        parent.kill()
        # The workers hold the other end of the pipe: it ends when the last of them does.
        ended, _, _ = select.select([parent.stdout], [], [], 20)
        assert ended, "a worker outlived its parent"


def test_orders_are_checked_before_any_work():
    with pytest.raises(InputError, match="no application 'x'"):
        Order(only=("x",)).check()
    with pytest.raises(InputError, match="no format"):
        Order(formats=("docx",)).check()
    with pytest.raises(SettingError, match="margin"):
        Order(settings={"heart_locate": {"margin": "1000"}}).check()


def test_workers_make_what_one_process_makes(case, tmp_path):
    cases = (case, case)
    order = Order(formats=("csv",), only=("ecg_reading",))
    made = list(make_all(cases, tmp_path / "two", order, workers=2))
    alone = list(make_all((case,), tmp_path / "one", order))
    assert {m.uid for m in made} == {m.uid for m in alone}
    assert {f["uid"] for m in made for f in m.findings} == {f["uid"] for m in alone for f in m.findings}


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", ".hidden", "CON|?*", "名字", "x" * 300, "a b"])
def test_slugs_stay_inside_and_apart(name, tmp_path):
    plain = slug(name)
    assert plain and "/" not in plain and not plain.startswith(".") and len(plain) < 100
    assert (tmp_path / plain).resolve().parent == tmp_path.resolve()
    assert slug(name + "!") != plain


@pytest.mark.parametrize("where", ["fingerprint", "_summary", "slug"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_bug_met_in_one_study_costs_no_other(case, tmp_path, monkeypatch, where, workers):
    other = replace(
        case,
        patient=replace(case.patient, id="OTHER"),
        studies=tuple(replace(s, uid="1.2.3") for s in case.studies),
    )
    before = getattr(folder, where)

    def broken(thing, *more):
        said = getattr(thing, "study", "") or (more[0].uid if more else thing)
        if said == "1.2.3":
            raise ZeroDivisionError("a bug")
        return before(thing, *more)

    monkeypatch.setattr(folder, where, broken)
    order = Order(formats=("csv",), only=("heart_locate",))
    made = {m.uid: m for m in make_all((other, case), tmp_path, order, workers=workers)}
    assert made["1.2.3"].failed and made["1.2.3"].patient == "OTHER"
    (problem,) = made["1.2.3"].problems
    assert problem.found == "the study failed: ZeroDivisionError: a bug" and problem.fix
    whole = made[case.studies[0].uid]
    assert not whole.failed and [f for f in whole.files if f.endswith("items.csv")]


def test_cancelling_is_not_taken_for_a_bug(case, tmp_path):
    with pytest.raises(Cancelled):
        make(case, case.studies[0].uid, tmp_path, Order(), Progress(cancelled=lambda: True))


def test_what_a_killed_run_left_hidden_is_cleared_away(case, tmp_path):
    """A process is killed while it writes: its folder goes, those of living processes stay."""
    uid = case.studies[0].uid
    place = tmp_path / slug(case.patient.id) / slug(uid)
    code = f"""
import os, signal
from pathlib import Path
from carna.node.folder import _hidden
place = Path({str(place)!r})
place.parent.mkdir(parents=True)
(_hidden(place, ".old") / "old").mkdir()
(_hidden(place, ".part") / "half").touch()
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    left = [p.name for p in place.parent.iterdir()]
    assert len(left) == 2
    living = folder._hidden(place, ".part")
    foreign = place.parent / f".{place.name}x.part"
    foreign.mkdir()
    make(case, uid, tmp_path, Order(formats=("csv",), only=("heart_locate",)))
    assert {p.name for p in place.parent.iterdir()} == {place.name, living.name, foreign.name}


def test_a_result_stuck_between_two_steps_of_a_killed_run_goes_back(tmp_path):
    place = tmp_path / "study"
    stuck = folder._hidden(place, ".old")
    (stuck / "old").mkdir()
    (stuck / "old" / "items.csv").write_text("earlier")
    owner, _, pid = stuck.name.split(".")[2].partition("-")
    dead = stuck.with_name(stuck.name.replace(f"{owner}-{pid}", f"{owner}-{2**30}"))
    stuck.rename(dead)
    folder._clear(place)
    assert (place / "items.csv").read_text() == "earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["study"]


def test_hidden_folders_of_another_machine_wait_a_day(tmp_path):
    place = tmp_path / "study"
    theirs = [tmp_path / f".study.{'0' * 8}-1.{name}.part" for name in ("old", "new")]
    for one in theirs:
        one.mkdir()
    os.utime(theirs[0], (0, 0))
    folder._clear(place)
    assert [p.name for p in tmp_path.iterdir()] == [theirs[1].name]
