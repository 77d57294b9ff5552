"""The station's commands, from serve to deidentify. What they need loads when they run."""

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
    for command in (serve, worker, account, explain, take, verify, deidentify):
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


def deidentify(
    paths: Annotated[list[Path], typer.Argument(help="Files, folders or archives: DICOM, ECG, FHIR.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for what may leave the hospital.")],
    project: Annotated[str, typer.Option(help="Name of the project; each has pseudonyms of its own.")],
    profile: Annotated[str, typer.Option(help="basic, or research.")] = "basic",
    option: Annotated[
        list[str] | None,
        typer.Option(help="An option of DICOM PS3.15, such as retain-uids; may be repeated."),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="Folder of the project's secret and vault; never inside OUT.")
    ] = None,
    vault: Annotated[bool, typer.Option(help="Keep who the pseudonyms are, encrypted.")] = True,
    as_json: AsJson = False,
) -> None:
    """Write files without the persons in them; name those that can't be."""
    from dataclasses import asdict

    from carna.doors.deidentify.folder import deidentify_folder
    from carna.doors.deidentify.profile import named
    from carna.doors.deidentify.project import project_at
    from carna.doors.deidentify.vault import Vault
    from carna.errors import InputError

    chosen = named(profile, option or ())
    place = keys or Path(typer.get_app_dir("carna")) / "projects" / _plain(project)
    if place.resolve().is_relative_to(out.resolve()):
        raise InputError(
            f"the project's keys in {place}", needed="a folder outside of what is handed on", fix="--keys"
        )
    kept = Vault.open(place / "vault.sqlite", place / "vault.key") if vault else None
    done = deidentify_folder(paths, out, chosen, project_at(project, place), vault=kept)
    if as_json:
        problems = [asdict(p) for p in done.problems]
        typer.echo(json.dumps({"written": [str(p) for p in done.written], "problems": problems}))
    else:
        for problem in done.problems:
            typer.echo(f"problem  {problem}")
        typer.echo(f"{len(done.written)} written to {out}, {len(done.problems)} not; keys in {place}")
    raise typer.Exit(0 if done.written else 3)


def _plain(name: str) -> str:
    from carna.errors import InputError

    if not name.replace("-", "").replace("_", "").isalnum():
        raise InputError(
            f"a project called {name!r}", needed="letters, digits, - and _", fix="--project heart-2026"
        )
    return name


if __name__ == "__main__":
    _app = typer.Typer()
    add_to(_app)
    _app()
