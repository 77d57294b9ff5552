"""What the station decides, runs and sends: once, whatever happens, and nothing where it may not."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace

import pytest
from pydicom import dcmread, dcmwrite

from carna.doors.dicom.write import write_study
from carna.node.catalogue.schema import DELIVERY, RUN
from carna.node.config import Config, Place, Rule
from carna.node.deliver import send, to_send
from carna.node.rules import decide, permitted
from carna.node.station import Station
from carna.node.work import Work, explained
from carna.phantom import virtual_case, virtual_study

ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"


@pytest.fixture(scope="module")
def ecg(tmp_path_factory):
    """The bytes of a virtual ECG as DICOM."""
    study, _ = virtual_study()
    files = [p.read_bytes() for p in write_study(study, tmp_path_factory.mktemp("ecg"))]
    return next(f for f in files if dcmread(io.BytesIO(f), specific_tags=["SOPClassUID"]).SOPClassUID == ECG)


def renamed(data, **changed):
    ds = dcmread(io.BytesIO(data))
    for keyword, value in changed.items():
        setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    out = io.BytesIO()
    dcmwrite(out, ds)
    return out.getvalue()


# ---- rules ---------------------------------------------------------------------------------------


def test_the_first_rule_that_holds_decides_and_says_why(tmp_path):
    rules = (
        Rule("CT", {"Modality": "CT"}, send=()),
        Rule("heart MR", {"Modality": "MR", "StudyDescription": "*heart*"}, run=("heart_locate",)),
        Rule("rest", run=("ecg_reading",)),
    )
    config = Config(tmp_path, rules=rules)
    told = {"Modality": ("MR", "SR"), "StudyDescription": "MRI Heart with contrast"}
    decision = decide(config, told)
    assert decision.rule == "heart MR"
    assert decision.run == ("heart_locate",)
    assert decision.why[0] == "not rule 'CT': Modality is MR, SR, not CT"
    assert decide(config, told | {"StudyDescription": "knee"}).rule == "rest"
    none = decide(replace(config, rules=rules[:1]), told)
    assert (none.rule, none.run) == ("", ())
    assert none.why[-1] == "no rule holds: the study is kept, nothing runs"


def test_what_is_not_ready_is_left_out_with_its_reason(tmp_path):
    case = virtual_case()
    decision = decide(Config(tmp_path, rules=(Rule("all", leave=("cine_pattern",)),)), {}, case)
    assert {"ecg_reading", "ventricular_segmentation", "ventricular_function"} <= set(decision.run)
    assert "cine_pattern" not in decision.run
    assert "not cine_pattern: the rule leaves it out" in decision.why
    assert any(w.startswith("not drug_safety: ") for w in decision.why)


def test_the_order_says_what_is_urgent_and_no_model(tmp_path):
    config = Config(tmp_path, rules=(Rule("all", priority="urgent"),))
    assert decide(config, {}).priority == "urgent"
    assert decide(config, {"Priority": "stat"}).priority == "stat"
    assert decide(config, {"Priority": "nonsense"}).priority == "routine"


def test_research_results_go_only_where_the_site_opened_the_door():
    assert "research = true" in permitted(Place("pacs", peer="PACS"), validated=False)
    assert permitted(Place("pacs", peer="PACS", research=True), validated=False) == ""
    assert permitted(Place("pacs", peer="PACS"), validated=True) == ""


def test_a_place_gets_its_formats_and_a_closed_one_nothing(tmp_path):
    (tmp_path / "P").mkdir()
    for name in ("ecg_reading.pdf", "report.html", "items.csv"):
        (tmp_path / "P" / name).write_bytes(b"x")
    result = {
        "files": ["P/ecg_reading.pdf", "P/report.html", "P/items.csv"],
        "findings": [{"application": "ecg_reading", "validated": False}],
    }
    rows = to_send(Place("share", folder="x", formats=("html", "csv"), research=True), tmp_path, result)
    assert [(r["file"], r["state"]) for r in rows] == [
        ("P/items.csv", "waiting"),
        ("P/report.html", "waiting"),
    ]
    closed = to_send(Place("share", folder="x", formats=("html",)), tmp_path, result)
    assert [r["state"] for r in closed] == ["refused"]


def test_a_pacs_that_is_away_is_waited_for(tmp_path, ecg):
    from carna.node.config import Peer

    (tmp_path / "a.sr.dcm").write_bytes(ecg)
    config = Config(
        tmp_path,
        peers={"P": Peer("P", "127.0.0.1", 1)},
        places={"pacs": Place("pacs", peer="P", research=True)},
    )
    outcome = send(config, "pacs", tmp_path, [{"file": "a.sr.dcm"}])
    assert outcome["a.sr.dcm"][0] == "waiting"
    assert outcome["a.sr.dcm"][1]


# ---- work ----------------------------------------------------------------------------------------


@pytest.fixture
def working(tmp_path, ecg):
    """A station with one ECG study, its work begun, and where results go."""
    (tmp_path / "station.toml").write_text(
        f"""
        [station]
        quiet_s = 0.3
        reserve_mb = 1
        [places.share]
        folder = {json.dumps(str(tmp_path / "share"))}
        formats = ["json", "sr"]
        research = true
        [[rules]]
        name = "ECG"
        run = ["ecg_reading"]
        send = ["share"]
        """,
        encoding="utf-8",
    )
    station = Station(tmp_path)
    taken = station.take_file(ecg, "test", "")
    work = Work(station)
    work.start()
    yield station, work, taken.study
    work.stop()
    station.close()


def ended(station, count=1, patience_s=120.0):
    """Return the runs when so many are over."""
    until = time.time() + patience_s
    while time.time() < until:
        with station.reading() as connection:
            rows = connection.execute(RUN.select().order_by(RUN.c.id)).all()
        if len([r for r in rows if r.state in ("completed", "failed", "cancelled")]) >= count:
            return rows
        time.sleep(0.1)
    raise AssertionError(f"after {patience_s} s: {rows}")


@pytest.mark.slow
def test_a_study_that_is_whole_is_run_and_sent_once_and_a_late_instance_makes_another_run(working, ecg):
    station, work, study = working
    (run,) = ended(station)
    assert (run.state, run.why) == ("completed", "")
    with station.reading() as connection:
        sent = connection.execute(DELIVERY.select()).all()
    assert {s.state for s in sent} == {"sent"}
    assert {s.file.split("/")[-1] for s in sent} == {"findings.json", "ecg_reading.ecg.sr.dcm"}
    for one in sent:
        assert (station.home / "share" / run.uid / one.file).read_bytes()
    # The same order again is the same run; nothing is sent twice.
    again = work.order(study, {"run": ("ecg_reading",), "send": ("share",)})
    assert again == run.uid
    time.sleep(0.5)
    assert len(ended(station)) == 1
    # A late instance makes another version of the study.
    late = renamed(ecg, SOPInstanceUID="1.2.3.4.5", InstanceNumber=99)
    assert station.take_file(late, "test", "").grown
    first, second = ended(station, 2)
    assert first.version != second.version
    assert "rule 'ECG'" in explained(station, study).why[0]
    assert station.audit.broken() is None


@pytest.mark.slow
def test_a_run_that_eats_its_memory_is_tried_and_set_aside(working):
    station, work, study = working
    ended(station)
    work.station.config = replace(station.config, minutes=0.0002)
    work.order(study, {"run": ("ecg_reading",), "send": (), "settings": {}})
    _, poisoned = ended(station, 2)
    assert poisoned.state == "failed"
    assert poisoned.why.startswith("set aside after 3 tries: took longer than")


@pytest.mark.slow
def test_a_cancelled_run_ends(working):
    station, work, study = working
    ended(station)
    uid = work.order(study, {"run": ("ecg_reading",), "send": (), "settings": {"ecg_reading": {}}})
    work.cancel(uid)
    _, cancelled = ended(station, 2)
    assert cancelled.state == "cancelled"
    time.sleep(1.0)
    assert station.run(uid)["state"] == "cancelled"
