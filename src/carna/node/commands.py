"""The station's commands: serve, worker, account, explain, take, verify. Heavy things load as they run."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

_OUT = Console(highlight=False)
Home = Annotated[Path, typer.Argument(help="The station's folder: station.toml, store, catalogue.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    """Add the station's commands to a command line."""
    for command in (serve, worker, account, explain, take, verify):
        app.command()(command)


def serve(
    home: Home = Path("station"),
    run: Annotated[bool, typer.Option(help="Run applications in this process too.")] = True,
) -> None:
    """Serve a station: receive, keep, run by its rules, send back; until Ctrl-C."""
    from carna.node.serve import serve as begin

    begin(home, run=run, say=_OUT.print)


def worker(home: Home = Path("station")) -> None:
    """Run applications for a station that another process serves (with PostgreSQL: of another machine)."""
    from carna.node.serve import work

    work(home, _OUT.print)


def account(
    home: Home,
    name: Annotated[str, typer.Argument(help="Of the account.")],
    role: Annotated[str, typer.Option(help="viewer, researcher, reader, operator or admin.")] = "viewer",
    token: Annotated[bool, typer.Option(help="Make a token of an account that is there.")] = False,
    days: Annotated[float, typer.Option(help="How long the token is good for.")] = 90.0,
) -> None:
    """Add an account (the password is asked for, or read from standard input), or make a token of one."""
    from carna.node.accounts import Accounts
    from carna.node.catalogue.database import opened
    from carna.node.config import load

    home.mkdir(parents=True, exist_ok=True)
    accounts = Accounts(opened(load(home).url))
    if token:
        _OUT.print(accounts.token(name, "command line", days), soft_wrap=True)
        return
    asked = getpass.getpass("password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    accounts.add(name, asked, role)
    _OUT.print(f"{name} may enter as {role}")


def explain(home: Home, study: Annotated[str, typer.Argument(help="Study Instance UID.")]) -> None:
    """Say what the rules would do with a study, and why; nothing is done."""
    from carna.node.station import Station
    from carna.node.work import explained

    station = Station(home)
    try:
        for sentence in explained(station, study).why:
            _OUT.print(sentence, markup=False)
    finally:
        station.close()


def take(
    home: Home,
    paths: Annotated[list[Path], typer.Argument(help="Files, folders or archives of DICOM files.")],
    as_json: AsJson = False,
) -> None:
    """Take files into a station without the network; what is there already is not taken twice."""
    from collections import Counter

    from rich.progress import Progress as Bar

    from carna.doors.files import walk
    from carna.errors import InputError
    from carna.node.station import Station

    station = Station(home)
    outcomes: Counter[str] = Counter()
    problems: list[str] = []
    try:
        blobs, unread = walk(paths)
        problems += [f"{p.file}: {p.found}" for p in unread]
        with Bar(console=Console(stderr=True), disable=as_json) as bar:
            for blob in bar.track(blobs, description="taking in"):
                try:
                    outcomes[station.take_file(blob.load(), "taken", blob.file).outcome] += 1
                except InputError as error:
                    problems.append(f"{blob.name}: {error}")
    finally:
        station.close()
    if as_json:
        _OUT.print_json(json.dumps({"outcomes": outcomes, "problems": problems}))
        return
    for problem in problems:
        _OUT.print(problem, markup=False)
    _OUT.print(", ".join(f"{n} {what}" for what, n in sorted(outcomes.items())) or "nothing", markup=False)


def verify(home: Home, as_json: AsJson = False) -> None:
    """Read every file of the store again, and the audit trail: what is damaged, missing or unknown."""
    from sqlalchemy import select

    from carna.node.catalogue.schema import INSTANCE
    from carna.node.station import Station

    station = Station(home)
    try:
        with station.reading() as connection:
            rows = connection.execute(select(INSTANCE.c.uid, INSTANCE.c.digest)).all()
        damaged = [row.uid for row in rows if not station.store.intact(row.digest)]
        unknown = len(set(station.store.digests()) - {row.digest for row in rows})
        broken = station.audit.broken()
    finally:
        station.close()
    if as_json:
        said = {"instances": len(rows), "damaged": damaged, "unknown": unknown, "audit_broken_at": broken}
        _OUT.print_json(json.dumps(said))
    else:
        _OUT.print(
            f"{len(rows)} instances, {len(damaged)} damaged or missing, {unknown} files of no instance"
        )
        for uid in damaged:
            _OUT.print(f"  damaged: {uid}", markup=False)
        _OUT.print(
            "the audit trail is whole" if broken is None else f"the audit trail breaks at line {broken}"
        )
    if damaged or broken is not None:
        raise typer.Exit(1)


if __name__ == "__main__":
    _app = typer.Typer()
    add_to(_app)
    _app()
