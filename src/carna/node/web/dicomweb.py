"""DICOMweb (PS3.18): STOW-RS in, QIDO-RS and WADO-RS out, under ``/dicomweb``."""

from __future__ import annotations

import gzip
import io
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.parser import BytesHeaderParser
from typing import Any, Final

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydicom import dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.encaps import generate_frames
from sqlalchemy import update

from carna.errors import InputError
from carna.node.accounts import SEE, Who
from carna.node.catalogue import query
from carna.node.catalogue.schema import INSTANCE
from carna.node.station import Station
from carna.node.store import Full
from carna.node.web import dicomjson
from carna.node.web.guard import Here, Operator, may

JSON: Final = "application/dicom+json"
DICOM: Final = "application/dicom"
_MOST: Final = 1000  # answers, unless a limit is asked for
_LARGEST: Final = 4 << 30  # bytes of one STOW request
_AT_ONCE: Final = 8
_OF_ANOTHER_STUDY, _NO_ROOM, _NOT_UNDERSTOOD = 0xA900, 0xA700, 0xC000
_SETTINGS: Final = frozenset({"limit", "offset", "fuzzymatching", "includefield", "accept"})
router = APIRouter(prefix="/dicomweb", tags=["DICOMweb"], dependencies=[Depends(may(SEE))])
storing = APIRouter(prefix="/dicomweb", tags=["DICOMweb"])


class DicomJson(JSONResponse):
    """A body of DICOM JSON."""

    media_type = JSON


# ---- QIDO ----------------------------------------------------------------------------------------


@router.get("/studies")
def studies(request: Request, station: Here) -> Response:
    """Search for studies."""
    return _search(request, station, "STUDY", {})


@router.get("/series")
def every_series(request: Request, station: Here) -> Response:
    """Search for series of any study."""
    return _search(request, station, "SERIES", {})


@router.get("/instances")
def every_instance(request: Request, station: Here) -> Response:
    """Search for instances of any study."""
    return _search(request, station, "IMAGE", {})


@router.get("/studies/{study}/series")
def series(study: str, request: Request, station: Here) -> Response:
    """Search for series of a study."""
    return _search(request, station, "SERIES", {"StudyInstanceUID": study})


@router.get("/studies/{study}/instances")
def instances(study: str, request: Request, station: Here) -> Response:
    """Search for instances of a study."""
    return _search(request, station, "IMAGE", {"StudyInstanceUID": study})


@router.get("/studies/{study}/series/{series}/instances")
def series_instances(study: str, series: str, request: Request, station: Here) -> Response:
    """Search for instances of a series."""
    return _search(request, station, "IMAGE", {"StudyInstanceUID": study, "SeriesInstanceUID": series})


def _search(request: Request, station: Station, level: query.Level, fixed: Mapping[str, str]) -> Response:
    asked = request.query_params
    matching, unknown = dict(fixed), []
    for key, value in asked.multi_items():
        if key.lower() in _SETTINGS:
            continue
        keyword = _keyword(key)
        if not keyword:
            unknown.append(key)
        else:
            matching[keyword] = (
                f"{matching[keyword]},{value}" if keyword in matching and keyword.endswith("UID") else value
            )
    try:
        limit, offset = int(asked.get("limit", _MOST)), int(asked.get("offset", 0))
        loosely = asked.get("fuzzymatching", "") == "true"
        question = query.Question(level, matching, limit, offset, loosely)
        with station.reading() as connection:
            rows = query.find(connection, question)
    except (ValueError, InputError) as error:
        raise HTTPException(400, str(error)) from error
    base = str(request.base_url).rstrip("/") + "/dicomweb"
    body = [dicomjson.of_row(row, _url(base, row)) for row in rows]
    headers = {}
    if unknown:
        headers["Warning"] = f'299 carna "not searched by: {", ".join(unknown)}"'
    return DicomJson(body, headers=headers)


def _keyword(key: str) -> str:
    """Return the keyword of a query parameter: a keyword, or a tag of eight digits."""
    if re.fullmatch(r"[0-9A-Fa-f]{8}", key):
        return str(keyword_for_tag(int(key, 16)))
    return key if re.fullmatch(r"[A-Z][A-Za-z0-9]+", key) else ""


def _url(base: str, row: Mapping[str, Any]) -> str:
    parts = (
        ("studies", "StudyInstanceUID"),
        ("series", "SeriesInstanceUID"),
        ("instances", "SOPInstanceUID"),
    )
    return base + "".join(f"/{name}/{row[key]}" for name, key in parts if key in row)


# ---- WADO ----------------------------------------------------------------------------------------


def _rows(station: Station, study: str, series: str = "", instance: str = "") -> Sequence[Any]:
    uids = {"StudyInstanceUID": [study], "SeriesInstanceUID": [series], "SOPInstanceUID": [instance]}
    with station.reading() as connection:
        rows = query.instances(connection, {k: v for k, v in uids.items() if v[0]})
    if not rows:
        raise HTTPException(404, "nothing of that UID is here")
    return [row for row in rows if row.sop_class] or rows


def _whole(station: Station, rows: Sequence[Any]) -> Response:
    mark = uuid.uuid4().hex

    def parts() -> Iterator[bytes]:
        for row in rows:
            yield f"--{mark}\r\nContent-Type: {DICOM}; transfer-syntax={row.transfer_syntax}\r\n\r\n".encode()
            yield station.store.path(row.digest).read_bytes()
            yield b"\r\n"
        yield f"--{mark}--\r\n".encode()

    return StreamingResponse(parts(), media_type=f'multipart/related; type="{DICOM}"; boundary={mark}')


@router.get("/studies/{study}")
def get_study(study: str, station: Here) -> Response:
    """Retrieve every instance of a study."""
    return _whole(station, _rows(station, study))


@router.get("/studies/{study}/series/{series}")
def get_series(study: str, series: str, station: Here) -> Response:
    """Retrieve every instance of a series."""
    return _whole(station, _rows(station, study, series))


@router.get("/studies/{study}/series/{series}/instances/{instance}")
def get_instance(
    study: str, series: str, instance: str, request: Request,
    station: Here
) -> Response:  # fmt: skip
    """Retrieve one instance: in a multipart body, or bare where ``Accept: application/dicom`` is asked."""
    rows = _rows(station, study, series, instance)
    if (
        request.headers.get("accept", "").strip().startswith(DICOM)
        and "json" not in request.headers["accept"]
    ):
        return Response(station.store.path(rows[0].digest).read_bytes(), media_type=DICOM)
    return _whole(station, rows)


@router.get("/studies/{study}/metadata")
def study_metadata(study: str, request: Request, station: Here) -> Response:
    """Retrieve the metadata of a study."""
    return _metadata(request, station, _rows(station, study))


@router.get("/studies/{study}/series/{series}/metadata")
def series_metadata(study: str, series: str, request: Request, station: Here) -> Response:
    """Retrieve the metadata of a series."""
    return _metadata(request, station, _rows(station, study, series))


@router.get("/studies/{study}/series/{series}/instances/{instance}/metadata")
def instance_metadata(
    study: str, series: str, instance: str, request: Request,
    station: Here
) -> Response:  # fmt: skip
    """Retrieve the metadata of an instance."""
    return _metadata(request, station, _rows(station, study, series, instance))


BASE_MARK: Final = (
    "carna-base:"  # stands for the station's address in metadata that was made before it was asked
)


def describe(station: Station, rows: Sequence[Any]) -> list[bytes]:
    """Return the gzipped metadata of instances, made and kept where they were not yet."""
    found, made = [], []
    for row in rows:
        said = row.described
        if said is None:
            place = f"{BASE_MARK}/studies/{row.study_uid}/series/{row.series_uid}/instances/{row.uid}"
            said = dicomjson.of_file(station.store.path(row.digest), place)
            made.append((row.id, said))
        found.append(said)
    if made:
        with station.writing() as connection:
            for key, said in made:
                connection.execute(update(INSTANCE).where(INSTANCE.c.id == key).values(described=said))
    return found


def _metadata(request: Request, station: Station, rows: Sequence[Any]) -> Response:
    base = str(request.base_url).rstrip("/") + "/dicomweb"
    body = b"[" + b",".join(gzip.decompress(said) for said in describe(station, rows)) + b"]"
    return Response(body.replace(BASE_MARK.encode(), base.encode()), media_type=JSON)


@router.get("/studies/{study}/series/{series}/instances/{instance}/frames/{frames}")
def get_frames(
    study: str, series: str, instance: str, frames: str,
    station: Here
) -> Response:  # fmt: skip
    """Retrieve frames as they are stored, numbered from 1."""
    row = _rows(station, study, series, instance)[0]
    try:
        wanted = [int(n) for n in frames.split(",")]
    except ValueError as error:
        raise HTTPException(400, f"frames {frames!r}: numbers with commas are needed") from error
    pieces, kind = _frames(station, row, wanted)
    mark = uuid.uuid4().hex
    body = b"".join(
        f"--{mark}\r\nContent-Type: {kind}; transfer-syntax={row.transfer_syntax}\r\n\r\n".encode()
        + piece
        + b"\r\n"
        for piece in pieces
    )
    body += f"--{mark}--\r\n".encode()
    return Response(body, media_type=f'multipart/related; type="{kind}"; boundary={mark}')


def _frames(station: Station, row: Any, wanted: Sequence[int]) -> tuple[list[bytes], str]:
    ds = dcmread(station.store.path(row.digest))
    if "PixelData" not in ds:
        raise HTTPException(404, "that instance has no pixels")
    count = int(ds.get("NumberOfFrames") or 1)
    if not wanted or min(wanted) < 1 or max(wanted) > count:
        raise HTTPException(404, f"frames {wanted} of an instance of {count}")
    if ds.file_meta.TransferSyntaxUID.is_encapsulated:
        every = list(generate_frames(ds.PixelData, number_of_frames=count))
        return [
            every[n - 1] for n in wanted
        ], "image/jpeg" if "1.2.840.10008.1.2.4" in row.transfer_syntax else "application/octet-stream"
    size = int(ds.Rows) * int(ds.Columns) * int(ds.get("SamplesPerPixel", 1)) * int(ds.BitsAllocated) // 8
    return [ds.PixelData[(n - 1) * size : n * size] for n in wanted], "application/octet-stream"


@router.get("/studies/{study}/series/{series}/instances/{instance}/rendered")
def get_rendered(
    study: str, series: str, instance: str, request: Request,
    station: Here
) -> Response:  # fmt: skip
    """Retrieve the middle frame as a picture, in the window stated or one of its own."""
    return _rendered(station, _rows(station, study, series, instance)[0], None, request)


@router.get("/studies/{study}/series/{series}/instances/{instance}/frames/{frame}/rendered")
def get_rendered_frame(
    study: str, series: str, instance: str, frame: int, request: Request,
    station: Here
) -> Response:  # fmt: skip
    """Retrieve one frame as a picture."""
    return _rendered(station, _rows(station, study, series, instance)[0], frame, request)


def _rendered(station: Station, row: Any, frame: int | None, request: Request) -> Response:
    import numpy as np
    from PIL import Image
    from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array

    path = station.store.path(row.digest)
    ds = dcmread(path, stop_before_pixels=True)
    count = int(ds.get("NumberOfFrames") or 1)
    n = count // 2 if frame is None else frame - 1
    if not 0 <= n < count or not ds.get("Rows"):
        raise HTTPException(
            404, f"frame {n + 1} of an instance of {count if ds.get('Rows') else 'no pixels'}"
        )
    try:
        pixels = np.asarray(pixel_array(path, index=n))
    except (ValueError, RuntimeError, NotImplementedError, AttributeError) as error:
        raise HTTPException(406, f"its pixels can't be decoded: {error}") from error
    if pixels.ndim == 2:
        grey = np.asarray(apply_voi_lut(apply_modality_lut(pixels, ds), ds), np.float64)
        low, high = np.percentile(grey, (0.5, 99.5)) if "WindowWidth" not in ds else (grey.min(), grey.max())
        pixels = np.clip(255.0 * (grey - low) / max(high - low, 1e-9), 0.0, 255.0).astype(np.uint8)
        if ds.get("PhotometricInterpretation") == "MONOCHROME1":
            pixels = 255 - pixels
    kind = "png" if "image/png" in request.headers.get("accept", "") else "jpeg"
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, kind, quality=90)
    return Response(out.getvalue(), media_type=f"image/{kind}")


@router.get("/studies/{study}/series/{series}/instances/{instance}/bulkdata/{tag}")
def get_bulk(
    study: str, series: str, instance: str, tag: str,
    station: Here
) -> Response:  # fmt: skip
    """Retrieve one long value."""
    row = _rows(station, study, series, instance)[0]
    ds = dcmread(station.store.path(row.digest))
    try:
        value = ds[int(tag, 16)].value
    except (KeyError, ValueError) as error:
        raise HTTPException(404, f"no element {tag} there") from error
    return Response(
        value if isinstance(value, bytes) else str(value).encode(), media_type="application/octet-stream"
    )


# ---- STOW ----------------------------------------------------------------------------------------


@storing.post("/studies")
async def stow(request: Request, who: Operator, station: Here) -> Response:
    """Store instances."""
    return await _stow(request, station, who, "")


@storing.post("/studies/{study}")
async def stow_into(study: str, request: Request, who: Operator, station: Here) -> Response:
    """Store instances of one study; those of another are refused."""
    return await _stow(request, station, who, study)


async def _stow(request: Request, station: Station, who: Who, study: str) -> Response:
    from fastapi.concurrency import run_in_threadpool

    if int(request.headers.get("content-length") or 0) > _LARGEST:
        raise HTTPException(413, f"more than {_LARGEST >> 30} GiB in one request")
    boundary = re.search(r'boundary="?([^";]+)"?', request.headers.get("content-type", ""))
    if "multipart/related" not in request.headers.get("content-type", "") or boundary is None:
        raise HTTPException(415, "a body of multipart/related with application/dicom parts is needed")
    body = await request.body()
    source = f"stow:{who.name}@{request.client.host if request.client else ''}"
    base = str(request.base_url).rstrip("/") + "/dicomweb"
    return await run_in_threadpool(
        _stored, station, parts_of(body, boundary[1].encode()), source, study, base
    )


def _stored(station: Station, parts: Sequence[bytes], source: str, study: str, base: str) -> Response:
    # The disk makes several files safe in the time of one, if they come together.
    with ThreadPoolExecutor(min(_AT_ONCE, max(len(parts), 1))) as pool:
        outcomes = list(pool.map(lambda part: _one_stored(station, part, source, study, base), parts))
    kept = [one for good, one in outcomes if good]
    failed = [one for good, one in outcomes if not good]
    answer: dict[str, Any] = {}
    if kept:
        answer["00081199"] = {"vr": "SQ", "Value": kept}
    if failed:
        answer["00081198"] = {"vr": "SQ", "Value": failed}
    return DicomJson(answer, status_code=200 if not failed else 202 if kept else 409)


def _one_stored(
    station: Station, part: bytes, source: str, study: str, base: str
) -> tuple[bool, dict[str, Any]]:
    """Keep one instance; return whether it is kept, and its item of the answer."""
    uids = ("", "", "", "")
    try:
        uids = _uids(part)
        if study and uids[2] != study:
            return False, _failure(uids, _OF_ANOTHER_STUDY)
        station.take_file(part, source, "")
    except Full:
        return False, _failure(uids, _NO_ROOM)
    except InputError:
        return False, _failure(uids, _NOT_UNDERSTOOD)
    place = f"{base}/studies/{uids[2]}/series/{uids[3]}/instances/{uids[1]}"
    return True, {
        "00081150": {"vr": "UI", "Value": [uids[0]]},
        "00081155": {"vr": "UI", "Value": [uids[1]]},
        "00081190": {"vr": "UR", "Value": [place]},
    }


def _uids(part: bytes) -> tuple[str, str, str, str]:
    from carna.node.station import header_of

    head = header_of((part,), len(part))
    names = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    a, b, c, d = (str(head.get(name, "")) for name in names)
    return a, b, c, d


def _failure(uids: Sequence[str], reason: int) -> dict[str, Any]:
    return {
        "00081150": {"vr": "UI", "Value": [uids[0]]} if uids[0] else {"vr": "UI"},
        "00081155": {"vr": "UI", "Value": [uids[1]]} if uids[1] else {"vr": "UI"},
        "00081197": {"vr": "US", "Value": [reason]},
    }


def parts_of(body: bytes, boundary: bytes) -> list[bytes]:
    """Return the bodies of a multipart message (RFC 2046 5.1); what is cut off is no part."""
    mark = b"--" + boundary
    found = []
    begin = body.find(mark)
    while begin >= 0:
        begin += len(mark)
        if body[begin : begin + 2] == b"--":
            break
        end = body.find(b"\r\n" + mark, begin)
        if end < 0:
            break
        head, _, content = body[begin:end].partition(b"\r\n\r\n")
        kind = BytesHeaderParser().parsebytes(head.lstrip(b"\r\n"))["content-type"] or DICOM
        if kind.split(";")[0].strip().lower() == DICOM:
            found.append(content)
        begin = end + 2
    return found
