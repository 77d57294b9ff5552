"""Delivery: results go to the places of the rule, again and again until each has them; nothing goes twice.

An object's UID follows from its content, so that a place which is sent one again keeps one. What a place may
not have is said in its row, not sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from carna.findings.wire import write_whole
from carna.node.config import Config, Place
from carna.node.folder import slug
from carna.node.rules import permitted

# By what the files of a format are known.
_ENDINGS: Mapping[str, tuple[str, ...]] = {
    "sr": (".sr.dcm",),
    "seg": (".seg.dcm",),
    "pdf": (".pdf.dcm",),
    "fhir": ("fhir-r5.json",),
    "html": (".html",),
    "json": ("findings.json",),
    "csv": (".csv",),
    "png": (".png",),
}
WAITING, SENT, REFUSED = "waiting", "sent", "refused"
Outcome = tuple[str, str]


def to_send(place: Place, folder: Path, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the deliveries of one result to one place, as rows."""
    from pydicom import dcmread

    validated = {slug(str(one["application"])): bool(one["validated"]) for one in result["findings"]}
    rows: list[dict[str, Any]] = []
    for file in sorted(result["files"]):
        wanted = any(file.endswith(e) for name in place.formats for e in _ENDINGS.get(name, ()))
        dicom = file.endswith(".dcm")
        if not wanted or (dicom and not (place.peer or place.stow or place.folder)):
            continue
        if (place.peer or place.stow) and not dicom:
            continue
        uid = str(dcmread(folder / file, stop_before_pixels=True).SOPInstanceUID) if dicom else ""
        maker = Path(file).name.split(".")[0]
        why = permitted(place, validated=validated.get(maker, all(validated.values())))
        state = REFUSED if why else WAITING
        rows.append({"place": place.name, "file": file, "uid": uid, "state": state, "why": why})
    return rows


def send(config: Config, name: str, folder: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, Outcome]:
    """Send files to a place; return for each whether it is there, must wait or is refused, and why."""
    place = config.places[name]
    files = [str(row["file"]) for row in rows]
    if place.peer:
        return _by_dicom(config, place, folder, files)
    if place.folder:
        return _into_folder(Path(place.folder), folder, files)
    return _by_web(place, folder, files)


def _by_dicom(config: Config, place: Place, folder: Path, files: Sequence[str]) -> dict[str, Outcome]:
    from carna.node.dimse.send import Node, store

    peer = config.peers[place.peer]
    node = Node(peer.host, peer.port, peer.title, config.title)
    outcomes = store(node, [folder / f for f in files])
    found: dict[str, Outcome] = {}
    for file, one in zip(files, outcomes, strict=True):
        # A refusal may pass (want of room), and so may a node that is away.
        found[file] = (SENT if one.kept else WAITING, one.why)
    return found


def _into_folder(target: Path, folder: Path, files: Sequence[str]) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    for file in files:
        try:
            write_whole(target / folder.name / file, (folder / file).read_bytes())
        except OSError as error:
            found[file] = (WAITING, f"{target}: {error.strerror or error}")
        else:
            found[file] = (SENT, "")
    return found


def _by_web(place: Place, folder: Path, files: Sequence[str]) -> dict[str, Outcome]:
    import httpx2 as httpx

    found: dict[str, Outcome] = {}
    with httpx.Client(timeout=60.0) as client:
        for file in files:
            try:
                if place.stow:
                    answer = client.post(
                        f"{place.stow.rstrip('/')}/studies", **_related((folder / file).read_bytes())
                    )
                else:
                    body = json.loads((folder / file).read_text(encoding="utf-8"))
                    kind = {"Content-Type": "application/fhir+json"}
                    answer = client.post(place.fhir, json=body, headers=kind)
            except httpx.HTTPError as error:
                found[file] = (WAITING, f"{place.name}: {error}")
                continue
            # 409 of STOW: the place has it already or will never take it; either way again is no use.
            done = answer.status_code < 300
            never = answer.status_code in (400, 401, 403, 409, 415, 422)
            state = SENT if done else REFUSED if never else WAITING
            found[file] = (state, "" if done else f"{place.name} answered {answer.status_code}")
    return found


def _related(data: bytes) -> dict[str, Any]:
    """Return the body and header of a STOW request with one instance (PS3.18 10.5)."""
    mark = "carna-part"
    kind = f'multipart/related; type="application/dicom"; boundary={mark}'
    head = f"--{mark}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return {"content": head + data + f"\r\n--{mark}--\r\n".encode(), "headers": {"Content-Type": kind}}
