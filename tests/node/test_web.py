"""The station on the web: DICOMweb as PS3.18 says, its own interface, and a door that keeps people out."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from fastapi.testclient import TestClient
from pydicom import dcmread

from carna.doors.dicom.write import write_study
from carna.node.accounts import ROLES, Accounts
from carna.node.config import Config, Peer, Place, Rule
from carna.node.station import Station
from carna.node.web.app import web
from carna.phantom import virtual_case

MULTI = 'multipart/related; type="application/dicom"; boundary=cut'


def related(files, boundary="cut"):
    """Return a STOW body."""
    parts = b"".join(
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + f + b"\r\n" for f in files
    )
    return parts + f"--{boundary}--\r\n".encode()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return [p.read_bytes() for p in write_study(virtual_case().studies[0], folder)][:30]


@pytest.fixture(scope="module")
def heads(files):
    return [dcmread(io.BytesIO(f), stop_before_pixels=True) for f in files]


@pytest.fixture(scope="module")
def station(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    config = Config(
        home, reserve_mb=1, peers={"PACS": Peer("PACS", "127.0.0.1", 4242)},
        places={"pacs": Place("pacs", peer="PACS")}, rules=(Rule("MR", {"Modality": "MR"}), Rule("rest")),
    )  # fmt: skip
    one = Station(home, config)
    yield one
    one.close()


@pytest.fixture(scope="module")
def client(station, files):
    with TestClient(web(station)) as client:
        answer = client.post("/dicomweb/studies", content=related(files), headers={"Content-Type": MULTI})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["00081199"]["Value"]) == len(files)
        yield client


def test_stow_again_is_no_second_one(client, files, station):
    answer = client.post("/dicomweb/studies", content=related(files[:2]), headers={"Content-Type": MULTI})
    assert answer.status_code == 200
    (study,) = client.get("/dicomweb/studies").json()
    assert study["00201208"]["Value"] == [len(files)]


def test_stow_says_what_it_refuses(client, files, heads):
    body = related([files[0], b"no dicom at all"])
    answer = client.post("/dicomweb/studies", content=body, headers={"Content-Type": MULTI})
    assert answer.status_code == 202
    assert len(answer.json()["00081198"]["Value"]) == 1
    other = client.post(
        "/dicomweb/studies/1.2.3", content=related(files[:1]), headers={"Content-Type": MULTI}
    )
    assert other.status_code == 409
    assert other.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0xA900]
    assert client.post("/dicomweb/studies", content=b"x").status_code == 415


def test_qido_finds_at_every_level(client, heads):
    uid = str(heads[0].StudyInstanceUID)
    series = client.get(f"/dicomweb/studies/{uid}/series").json()
    assert {s["0020000E"]["Value"][0] for s in series} == {str(h.SeriesInstanceUID) for h in heads}
    every = client.get("/dicomweb/instances", params={"StudyInstanceUID": uid}).json()
    assert {i["00080018"]["Value"][0] for i in every} == {str(h.SOPInstanceUID) for h in heads}
    tag = client.get("/dicomweb/studies", params={"0020000D": uid}).json()
    assert len(tag) == 1
    assert client.get("/dicomweb/studies", params={"PatientID": "nobody"}).json() == []
    assert len(client.get("/dicomweb/instances", params={"limit": 3, "offset": 1}).json()) == 3
    unknown = client.get("/dicomweb/studies", params={"nonsense": "1"})
    assert "299" in unknown.headers["Warning"]
    assert client.get("/dicomweb/studies", params={"limit": "many"}).status_code == 400


def test_wado_gives_back_the_bytes_that_came(client, files, heads):
    uid = str(heads[0].StudyInstanceUID)
    answer = client.get(f"/dicomweb/studies/{uid}")
    mark = re.search(r"boundary=(\w+)", answer.headers["content-type"])[1].encode()
    parts = [p.partition(b"\r\n\r\n")[2][:-2] for p in answer.content.split(b"--" + mark)[1:-1]]
    assert sorted(parts) == sorted(files)
    one = f"/dicomweb/studies/{uid}/series/{heads[3].SeriesInstanceUID}/instances/{heads[3].SOPInstanceUID}"
    assert client.get(one, headers={"Accept": "application/dicom"}).content == files[3]
    assert client.get(f"/dicomweb/studies/{uid}/series/1.2.3").status_code == 404


def test_metadata_is_the_header_and_its_bulk_data_can_be_fetched(client, files, heads):
    uid = str(heads[0].StudyInstanceUID)
    said = client.get(f"/dicomweb/studies/{uid}/metadata").json()
    assert len(said) == len(files)
    by_uid = {s["00080018"]["Value"][0]: s for s in said}
    for data, head in zip(files, heads, strict=True):
        told = by_uid[str(head.SOPInstanceUID)]
        assert told["0020000E"]["Value"] == [str(head.SeriesInstanceUID)]
        address = told.get("7FE00010", {}).get("BulkDataURI")
        if address:
            assert address.startswith("http://testserver/dicomweb/studies/")
            assert client.get(address).content == dcmread(io.BytesIO(data)).PixelData


def test_frames_and_pictures(client, files, heads):
    n = next(i for i, h in enumerate(heads) if "Rows" in h)
    head, whole = heads[n], dcmread(io.BytesIO(files[n]))
    one = f"/dicomweb/studies/{head.StudyInstanceUID}/series/{head.SeriesInstanceUID}"
    one += f"/instances/{head.SOPInstanceUID}"
    frame = client.get(f"{one}/frames/1")
    size = head.Rows * head.Columns * head.BitsAllocated // 8
    assert whole.PixelData[:size] in frame.content
    assert client.get(f"{one}/frames/999").status_code == 404
    assert client.get(f"{one}/frames/x").status_code == 400
    picture = client.get(f"{one}/rendered", headers={"Accept": "image/png"})
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(picture.content)))
    assert pixels.shape == (head.Rows, head.Columns)
    assert pixels.std() > 5


def test_the_interface_tells_of_a_study_and_what_the_rules_would_do(client, heads):
    uid = str(heads[0].StudyInstanceUID)
    listed = client.get("/api/studies").json()
    assert listed["total"] == 1
    assert listed["studies"][0]["StudyInstanceUID"] == uid
    one = client.get(f"/api/studies/{uid}")
    assert one.json()["series"]
    again = client.get(f"/api/studies/{uid}", headers={"If-None-Match": one.headers["ETag"]})
    assert again.status_code == 304
    why = client.get(f"/api/studies/{uid}/explain").json()
    assert why["rule"] in ("MR", "rest")
    assert any(w.startswith(("would run", "not ")) for w in why["why"])
    assert client.get("/api/studies/1.2.3").status_code == 404
    assert client.get("/api/studies/1.2.3/explain").status_code == 404


def test_a_run_needs_a_worker_and_names_that_exist(client, heads):
    uid = str(heads[0].StudyInstanceUID)
    path = f"/api/studies/{uid}/runs"
    assert client.post(path, json={"run": ["magic"]}).status_code == 422
    assert client.post(path, json={"run": ["ecg_reading"], "send": ["moon"]}).status_code == 422
    assert client.post(path, json={"run": []}).status_code == 422
    assert client.post(path, json={"run": ["ecg_reading"]}).status_code == 503
    assert client.post("/api/studies/1.2.3/runs", json={"run": ["ecg_reading"]}).status_code == 404


def test_health_and_metrics(client, files):
    assert client.get("/health").json()["status"] == "well"
    text = client.get("/metrics").text
    assert f"carna_instances {len(files)}" in text


def test_no_path_leads_out_of_a_run(client, station):
    secret = station.home / "secret.txt"
    secret.write_text("secret")
    for path in ("../secret.txt", "..%2Fsecret.txt", "/../../secret.txt", "%2e%2e/%2e%2e/secret.txt"):
        answer = client.get(f"/api/runs/x/files/{path}")
        assert answer.status_code == 404
        assert "secret" not in answer.text


# ---- the door ------------------------------------------------------------------------------------

NEEDS = {
    ("GET", "/dicomweb/studies"): "see",
    ("GET", "/dicomweb/studies/1.2/metadata"): "see",
    ("GET", "/dicomweb/studies/1.2/series/1/instances/1/frames/1"): "see",
    ("POST", "/dicomweb/studies"): "operate",
    ("POST", "/dicomweb/studies/1.2"): "operate",
    ("GET", "/api/studies"): "see",
    ("GET", "/api/studies/1.2"): "see",
    ("GET", "/api/studies/1.2/explain"): "see",
    ("GET", "/api/studies/1.2/applications"): "see",
    ("GET", "/api/studies/1.2/findings"): "see",
    ("POST", "/api/studies/1.2/runs"): "operate",
    ("GET", "/api/runs"): "see",
    ("GET", "/api/runs/1"): "see",
    ("DELETE", "/api/runs/1"): "operate",
    ("GET", "/api/runs/1/files/x"): "see",
    ("GET", "/api/apps"): "see",
    ("GET", "/api/rules"): "see",
    ("GET", "/api/asides"): "operate",
    ("POST", "/api/asides/1"): "operate",
    ("GET", "/api/audit"): "govern",
    ("GET", "/api/me"): "see",
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    home = tmp_path_factory.mktemp("guarded")
    station = Station(home, Config(home, reserve_mb=1))
    accounts = Accounts(station.engine)
    tokens = {}
    for role in ROLES:
        accounts.add(role, "a long password", role)
        tokens[role] = accounts.token(role, "test")
    with TestClient(web(station)) as client:
        yield client, tokens, station, accounts
    station.close()


def test_every_route_is_in_the_table(guarded):
    client = guarded[0]
    known = {(m, re.sub(r"\{[^}]*\}", "X", p)) for (m, p) in _routes(client.app)}
    spoken = {(m, p) for m, p in known if p not in ("/health", "/metrics")}
    assert all(p.startswith(("/api/", "/dicomweb/")) for _, p in spoken)
    for method, path in sorted(spoken):
        if path == "/api/events":  # streams without end to whoever may see
            continue
        answer = client.request(method, path)
        assert answer.status_code == 401, f"{method} {path} let a stranger in"


def _routes(app):
    spec = app.openapi()["paths"]
    return {(method.upper(), path) for path, body in spec.items() for method in body}


@pytest.mark.parametrize("role", list(ROLES))
def test_each_role_may_do_what_is_its_own_and_nothing_else(guarded, role):
    client, tokens, _, _ = guarded
    for (method, path), right in NEEDS.items():
        answer = client.request(method, path, headers={"Authorization": f"Bearer {tokens[role]}"})
        if right in ROLES[role]:
            assert answer.status_code not in (401, 403), f"{role} {method} {path}"
        else:
            assert answer.status_code == 403, f"{role} {method} {path}"


def test_a_refusal_is_in_the_trail(guarded):
    client, tokens, station, _ = guarded
    client.get("/api/audit", headers={"Authorization": f"Bearer {tokens['viewer']}"})
    assert any(line["who"] == "viewer" and line["did"] == "refused" for line in station.audit.lines())


def test_wrong_passwords_are_refused_and_then_wait(guarded):
    client = guarded[0]
    assert client.get("/api/me", auth=("reader", "a long password")).json() == {
        "name": "reader",
        "role": "reader",
    }
    answers = [client.get("/api/me", auth=("reader", f"wrong {n}")).status_code for n in range(12)]
    assert answers[:9] == [401] * 9
    assert answers[-1] == 429


def test_a_token_can_be_narrower_than_its_account(guarded):
    client, _, _, accounts = guarded
    text = accounts.token("admin", "page", scope="viewer")
    client.app.state.guard._failed.clear()
    assert client.get("/api/audit", headers={"Authorization": f"Bearer {text}"}).status_code == 403
    old = accounts.token("admin", "old", days=-1)
    assert client.get("/api/me", headers={"Authorization": f"Bearer {old}"}).status_code == 401


def test_no_password_and_no_token_lies_in_the_database(guarded):
    _, tokens, station, _ = guarded
    data = b"".join(p.read_bytes() for p in station.home.glob("catalogue.db*"))
    assert b"a long password" not in data
    assert all(t.encode() not in data for t in tokens.values())
