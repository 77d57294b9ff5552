"""``carna serve``: the DICOM port, the web and the work of one station, from start to a clean end."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from carna.errors import InputError
from carna.node.accounts import Accounts
from carna.node.config import Config, load
from carna.node.dimse.listen import Listener
from carna.node.station import Station
from carna.node.web.app import web
from carna.node.work import Work

_LOG = logging.getLogger(__name__)


def serve(home: Path, *, run: bool = True, say: Callable[[str], None] = _LOG.info) -> None:
    """Serve until the process is told to end (SIGINT, SIGTERM).

    Parameters
    ----------
    home : Path
        The station's folder; made if it is not there.
    run : bool
        Whether this process also runs applications; if not, `work` elsewhere does.
    say : callable(str)
        Told what a person at the terminal wants to know.

    Raises
    ------
    InputError
        A wrong configuration, a port that is taken, no account where others could enter.
    """
    import uvicorn

    home.mkdir(parents=True, exist_ok=True)
    config = load(home)
    station = Station(home, config)
    try:
        if not config.local and not Accounts(station.engine).any():
            raise InputError(
                f"the station listens on {config.host} and has no account",
                needed="an administrator",
                fix=f"carna account {home} NAME --role admin",
            )
        free(config)
        mended = station.mend()
        if mended:
            say(f"{mended} files that a crash had left were taken in")
        job = Work(station) if run else None
        listener = Listener(station, config.host, config.dicom_port)
        server = uvicorn.Server(
            uvicorn.Config(
                web(station, job), config.host, config.web_port, log_level="warning", access_log=False,
                server_header=False,
            )
        )  # fmt: skip
        with listener:
            if job is not None:
                job.start()
            say(
                f"DICOM {config.title} at {config.host}:{config.dicom_port}, web http://{config.host}:{config.web_port}"
            )
            try:
                server.run()
            finally:
                if job is not None:
                    job.stop()
    finally:
        station.close()


def work(home: Path, say: Callable[[str], None] = _LOG.info) -> None:
    """Run applications for a station that another process serves, until told to end."""
    station = Station(home)
    job = Work(station)
    ended = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    job.start()
    say(f"working for the station in {home}")
    ended.wait()
    job.stop()
    station.close()


def free(config: Config) -> None:
    """Refuse a port that somebody else has."""
    for name, port in (("dicom_port", config.dicom_port), ("web_port", config.web_port)):
        with socket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET) as test:
            test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                test.bind((config.host, port))
            except OSError as error:
                raise InputError(
                    f"{name} {port} of {config.host} can't be had: {error.strerror}",
                    needed="a free port",
                    fix=f"end what uses it, or write another {name} into station.toml",
                ) from error
