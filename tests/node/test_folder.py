"""The folder station: a whole result or none, names no system refuses, no failure stops the rest."""

import errno
import json
import select
import subprocess
import sys
from types import MappingProxyType

import pytest

from carna import render
from carna.errors import InputError, SettingError
from carna.node import folder
from carna.node.folder import Order, make, make_all, slug
from carna.phantom import virtual_case


@pytest.fixture(scope="module")
def case():
    return virtual_case()


def test_a_study_becomes_a_folder(case, tmp_path):
    made = make(case, case.studies[0].uid, tmp_path, Order(formats=("json", "csv")))
    assert made.kind == ("cine", "ecg")
    assert {f["application"] for f in made.findings} == {"ecg_reading", "heart_locate"}
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
