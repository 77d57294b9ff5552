"""The station's own interface, ``/api``: what is here, what was found, what runs, what was put aside."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, Field
from sqlalchemy import func, select, update

from carna.app import applications, ready
from carna.errors import CarnaError, InputError
from carna.node.catalogue import query
from carna.node.catalogue.schema import ASIDE, DELIVERY, EVENT, RUN, STUDY
from carna.node.job import study_of
from carna.node.web.guard import Governor, Here, Operator, Seer
from carna.node.work import Work, explained

router = APIRouter(prefix="/api", tags=["station"])
_PAGE = 100


class Order(BaseModel):
    """What is to be run on a study."""

    run: list[str] = Field(min_length=1, description="names of applications")
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict, description="by application")
    send: list[str] = Field(default_factory=list, description="names of places")
    priority: str = Field(default="routine", pattern="^(stat|urgent|routine)$")


class Verdict(BaseModel):
    """What becomes of something that was put aside."""

    do: str = Field(pattern="^(keep|discard)$")
    why: str = Field(min_length=3, max_length=500)


def _work(request: Request) -> Work:
    work: Work | None = request.app.state.work
    if work is None:
        raise HTTPException(503, "this process serves and does not run; start one with `carna worker`")
    return work


def _plain(row: Any, *leave_out: str) -> dict[str, Any]:
    return {k: v for k, v in row._mapping.items() if k not in ("id", *leave_out)}


@router.get("/studies")
def studies(
    request: Request, station: Here, who: Seer,
    limit: Annotated[int, Query(ge=1, le=1000)] = _PAGE, offset: Annotated[int, Query(ge=0)] = 0,
    patient: str = "", modality: str = "", date: str = "", accession: str = "",
) -> dict[str, Any]:  # fmt: skip
    """List studies, newest first; ``patient`` searches names and numbers."""
    matching = {"ModalitiesInStudy": modality, "StudyDate": date, "AccessionNumber": accession}
    by_number = any(c.isdigit() for c in patient)
    matching["PatientID" if by_number else "PatientName"] = f"*{patient}*" if patient else ""
    try:
        with station.reading() as connection:
            rows = query.find(connection, query.Question("STUDY", matching, limit, offset, True))
            total = connection.execute(select(func.count()).select_from(STUDY)).scalar()
            uids = [r["StudyInstanceUID"] for r in rows]
            asked = select(STUDY.c.uid, STUDY.c.state).where(STUDY.c.uid.in_(uids))
            states = {uid: state for uid, state in connection.execute(asked)}
            runs = connection.execute(
                select(RUN.c.study_uid, RUN.c.uid, RUN.c.state, RUN.c.progress, RUN.c.why)
                .where(RUN.c.study_uid.in_(uids)).order_by(RUN.c.id)
            ).all()  # fmt: skip
    except InputError as error:
        raise HTTPException(400, str(error)) from error
    newest = {
        r.study_uid: {"uid": r.uid, "state": r.state, "progress": r.progress, "why": r.why} for r in runs
    }
    for row in rows:
        row["state"] = states[row["StudyInstanceUID"]]
        row["run"] = newest.get(row["StudyInstanceUID"])
    return {"total": total, "offset": offset, "studies": rows}


@router.get("/studies/{study}")
def one_study(study: str, station: Here, who: Seer, if_none_match: Annotated[str, Header()] = "") -> Response:
    """Tell everything of one study: its series, what was decided and why, its runs."""
    with station.reading() as connection:
        rows = query.find(connection, query.Question("STUDY", {"StudyInstanceUID": study}))
        if not rows:
            raise HTTPException(404, "no such study is here")
        series = query.find(connection, query.Question("SERIES", {"StudyInstanceUID": study}))
        row = connection.execute(select(STUDY.c.state, STUDY.c.decided).where(STUDY.c.uid == study)).one()
        runs = connection.execute(select(RUN).where(RUN.c.study_uid == study).order_by(RUN.c.id)).all()
    kept = (
        "SeriesInstanceUID",
        "Modality",
        "SeriesNumber",
        "SeriesDescription",
        "NumberOfSeriesRelatedInstances",
    )
    body = rows[0] | {
        "state": row.state,
        "decided": row.decided.splitlines(),
        "series": [{k: s[k] for k in kept} for s in series],
        "runs": [_plain(r, "result", "order") for r in runs],
    }
    return tagged(body, if_none_match)


def tagged(body: Any, if_none_match: str) -> Response:
    """Return a body with the tag of its content; nothing but the tag where the asker has it."""
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, default=str).encode()
    tag = f'"{hashlib.sha256(text).hexdigest()[:20]}"'
    if if_none_match == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(text, media_type="application/json", headers={"ETag": tag})


@router.get("/studies/{study}/explain")
def explain(study: str, station: Here, who: Seer) -> dict[str, Any]:
    """Say what the rules would do with a study, and why, without doing it."""
    try:
        decision = explained(station, study)
    except CarnaError as error:
        raise HTTPException(404, str(error)) from error
    return {"rule": decision.rule, "run": decision.run, "send": decision.send,
            "priority": decision.priority, "why": decision.why}  # fmt: skip


@router.get("/studies/{study}/applications")
def applicable(study: str, station: Here, who: Seer) -> list[dict[str, Any]]:
    """List every application, whether it can run on a study, or why not."""
    try:
        with study_of(station, study) as case:
            return [{"name": n, "ready": not (why := ready(a, case, study)), "why": why}
                    for n, a in applications().items()]  # fmt: skip
    except CarnaError as error:
        raise HTTPException(404, str(error)) from error


@router.get("/studies/{study}/findings")
def findings(study: str, station: Here, who: Seer) -> list[dict[str, Any]]:
    """Tell what the newest completed run found."""
    with station.reading() as connection:
        done = (RUN.c.study_uid == study) & RUN.c.state.in_(("made", "completed"))
        row = connection.execute(select(RUN.c.result).where(done).order_by(RUN.c.id.desc()).limit(1)).scalar()
    found: list[dict[str, Any]] = json.loads(row)["findings"] if row else []
    return found


@router.post("/studies/{study}/runs", status_code=201)
def begin(
    study: str, order: Order, request: Request, station: Here, who: Operator,
    idempotency_key: Annotated[str, Header()] = "",
) -> dict[str, str]:  # fmt: skip
    """Order a run. The same order on the same version of a study is the same run."""
    known = applications()
    if wrong := [n for n in order.run if n not in known]:
        raise HTTPException(422, f"no application {wrong[0]!r}; there are {', '.join(known)}")
    if wrong := [n for n in order.send if n not in station.config.places]:
        raise HTTPException(
            422, f"no place {wrong[0]!r}; there are {', '.join(station.config.places) or 'none'}"
        )
    try:
        for name, given in order.settings.items():
            if name not in known:
                raise HTTPException(422, f"settings of {name!r}, which is no application")
            known[name].settings(given)
    except CarnaError as error:
        raise HTTPException(422, str(error)) from error
    with station.reading() as connection:
        if connection.execute(select(STUDY.c.id).where(STUDY.c.uid == study)).first() is None:
            raise HTTPException(404, "no such study is here")
    body = {"run": order.run, "send": order.send, "settings": order.settings}
    if idempotency_key:
        body["key"] = idempotency_key
    uid = _work(request).order(study, body, order.priority)
    station.audit.write(who.name, "order", study, "success", ", ".join(order.run))
    return {"uid": uid}


@router.get("/runs")
def runs(
    station: Here, who: Seer, state: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = _PAGE,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> list[dict[str, Any]]:  # fmt: skip
    """List runs, newest first."""
    asked = select(RUN).order_by(RUN.c.id.desc()).limit(limit).offset(offset)
    asked = asked.where(RUN.c.state == state) if state else asked
    with station.reading() as connection:
        return [_plain(r, "result") for r in connection.execute(asked)]


@router.get("/runs/{uid}")
def one_run(uid: str, station: Here, who: Seer, if_none_match: Annotated[str, Header()] = "") -> Response:
    """Tell of one run: its state, what it made, where that went."""
    with station.reading() as connection:
        row = connection.execute(select(RUN).where(RUN.c.uid == uid)).first()
        if row is None:
            raise HTTPException(404, "no such run")
        sent = connection.execute(select(DELIVERY).where(DELIVERY.c.run_uid == uid)).all()
    body = _plain(row) | {"deliveries": [_plain(d) for d in sent]}
    body["result"] = json.loads(row.result) if row.result else None
    body["order"] = json.loads(row.order)
    return tagged(body, if_none_match)


@router.delete("/runs/{uid}", status_code=202)
def stop(uid: str, request: Request, station: Here, who: Operator) -> dict[str, str]:
    """Cancel a run; what it has sent stays sent."""
    try:
        if station.run(uid)["state"] in ("completed", "failed", "cancelled"):
            raise HTTPException(409, "that run is over")
    except InputError as error:
        raise HTTPException(404, str(error)) from error
    _work(request).cancel(uid)
    station.audit.write(who.name, "cancel", uid)
    return {"state": "cancelled"}


@router.get("/runs/{uid}/files/{file:path}")
def result_file(uid: str, file: str, station: Here, who: Seer) -> Response:
    """Give out one file of a run's results."""
    folder = (station.results / Path(uid).name).resolve()
    path = (folder / file).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise HTTPException(404, "no such file")
    # A report is our own page; no script of elsewhere may run in it.
    return FileResponse(path, headers={"X-Content-Type-Options": "nosniff"})


@router.get("/apps")
def apps(who: Seer) -> list[dict[str, Any]]:
    """List the applications: what each needs, its settings, what it gives, what is at stake."""
    return [
        {
            "name": a.name, "version": a.version, "title": a.title, "stakes": a.stakes,
            "gives": [c.meaning for c in a.gives],
        }
        for a in applications().values()
    ]  # fmt: skip


@router.get("/rules")
def rules(station: Here, who: Seer) -> list[dict[str, Any]]:
    """List the rules in the order in which they are asked."""
    return [
        {
            "name": r.name,
            "when": dict(r.when),
            "run": r.run,
            "leave": r.leave,
            "send": r.send,
            "priority": r.priority,
        }
        for r in station.config.rules
    ]


@router.get("/asides")
def asides(
    station: Here, who: Operator, limit: Annotated[int, Query(ge=1, le=1000)] = _PAGE
) -> list[dict[str, Any]]:
    """List what was put aside and waits for somebody's decision."""
    asked = select(ASIDE).where(ASIDE.c.state == "waiting").order_by(ASIDE.c.id.desc()).limit(limit)
    with station.reading() as connection:
        return [dict(r._mapping) for r in connection.execute(asked)]


@router.post("/asides/{number}")
def judge(number: int, verdict: Annotated[Verdict, Body()], station: Here, who: Operator) -> dict[str, str]:
    """Decide on what was put aside: keep it there with a word, or discard it. Its bytes stay in the store."""
    with station.writing() as connection:
        found = connection.execute(select(ASIDE).where(ASIDE.c.id == number)).first()
        if found is None or found.state != "waiting":
            raise HTTPException(404, "nothing of that number waits")
        state = "kept" if verdict.do == "keep" else "discarded"
        connection.execute(update(ASIDE).where(ASIDE.c.id == number).values(state=state))
    station.audit.write(who.name, f"aside {state}", found.study_uid or found.digest, "success", verdict.why)
    return {"state": state}


@router.get("/audit")
def audit(
    station: Here, who: Governor, after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> dict[str, Any]:  # fmt: skip
    """Give out the audit trail, and the first line that breaks the chain, if one does."""
    return {"broken": station.audit.broken(), "lines": station.audit.lines(after, limit)}


@router.get("/events")
async def events(
    request: Request, station: Here, who: Seer, last_event_id: Annotated[int, Header()] = -1
) -> Response:
    """Stream what changes, as server-sent events; ``Last-Event-ID`` goes on where a page stopped."""

    async def stream() -> AsyncIterator[str]:
        last = last_event_id if last_event_id >= 0 else await asyncio.to_thread(_newest, station)
        while not await request.is_disconnected():
            for row in await asyncio.to_thread(_after, station, last):
                last = row["id"]
                said = json.dumps({"of": row["of"], "said": row["said"], "at": row["at"]})
                yield f"id: {last}\nevent: {row['kind']}\ndata: {said}\n\n"
            yield ": here\n\n"
            await asyncio.sleep(0.5)

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _newest(station: Here) -> int:
    with station.reading() as connection:
        return int(connection.execute(select(func.max(EVENT.c.id))).scalar() or 0)


def _after(station: Here, last: int) -> list[dict[str, Any]]:
    with station.reading() as connection:
        asked = select(EVENT).where(EVENT.c.id > last).order_by(EVENT.c.id).limit(200)
        return [dict(r._mapping) for r in connection.execute(asked)]


@router.get("/me")
def me(who: Seer) -> dict[str, Any]:
    """Say who is asking."""
    return {"name": who.name, "role": who.role}


def healthy(station: Here) -> JSONResponse:
    """Say whether the station can do its work: its database answers, its disk has room."""
    begun = time.perf_counter()
    try:
        with station.reading() as connection:
            connection.execute(select(1))
        station.store.room()
    except Exception as error:  # noqa: BLE001 - whatever is wrong is the answer
        return JSONResponse({"status": "ill", "why": str(error)}, 503)
    return JSONResponse({"status": "well", "database_ms": round(1e3 * (time.perf_counter() - begun), 2)})
