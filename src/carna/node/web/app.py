"""The web application of a station: DICOMweb, the interface, health, metrics, and the headers that guard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from carna import __version__
from carna.errors import CarnaError
from carna.node.accounts import Accounts
from carna.node.station import Station
from carna.node.web import api, dicomweb
from carna.node.web.guard import Guard, Here
from carna.node.web.metrics import exposition
from carna.node.work import Work

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def web(station: Station, work: Work | None = None) -> FastAPI:
    """Return the web application of a station.

    Parameters
    ----------
    station : Station
    work : Work, optional
        What runs applications; without it the page shows and takes in, and a worker elsewhere runs.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield

    app = FastAPI(
        title="Carna", version=__version__, lifespan=life, openapi_url="/api/openapi.json", docs_url=None,
        redoc_url=None, description="A station in a hospital: receive, keep, run, send back. Research use.",
    )  # fmt: skip
    app.state.station = station
    app.state.work = work
    app.state.guard = Guard(station, Accounts(station.engine))
    app.include_router(dicomweb.router)
    app.include_router(dicomweb.storing)
    app.include_router(api.router)

    @app.middleware("http")
    async def guarded(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        answer = await call(request)
        for name, value in _HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

    @app.exception_handler(CarnaError)
    async def said(request: Request, error: CarnaError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 400)

    @app.get("/health", tags=["operation"])
    def health(station: Here) -> JSONResponse:
        """Say whether the station can do its work."""
        return api.healthy(station)

    @app.get("/metrics", tags=["operation"])
    def metrics(station: Here) -> Response:
        """Tell numbers for Prometheus: no patient's, so no login."""
        return Response(exposition(station), media_type="text/plain; version=0.0.4")

    return app
