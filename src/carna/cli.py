"""The command line: read, show, demo, apps, evaluate, bench, doctor.

Exit codes
----------
0   done; problems of single files are listed, they are no failure
1   an application or a renderer failed (a bug): its name is printed, the rest is written
2   the command is wrong: an unknown name, a setting out of range, an OUT that can't be written
3   nothing could be read, or no path is there
130 interrupted; what was written before is whole
"""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from carna import __version__
from carna.codes import LEADS
from carna.errors import CarnaError
from carna.node import commands
from carna.progress import SILENT, Progress

app = typer.Typer(
    name="carna",
    help="Hospital files in, findings with their evidence out. Research use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
INTERRUPTED = 130  # what typer exits with on Ctrl-C
_OUT = Console(highlight=False)
_ERR = Console(stderr=True, highlight=False)
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON for a program instead of text for a person.")
]


@app.command()
def read(
    paths: Annotated[
        list[Path], typer.Argument(help="Files, folders or archives, in any mixture of formats.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("out"),
    only: Annotated[
        list[str] | None, typer.Option(help="Run this application only; may be repeated.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="APP.setting=value, or APP.slot=UID of a part or of findings."),
    ] = None,
    format_: Annotated[
        list[str] | None, typer.Option("--format", help="Write this format only; may be repeated.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = min(4, os.cpu_count() or 1),
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    open_: Annotated[bool, typer.Option("--open", help="Open the first report in a browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read files, run every application that is ready, write findings, SR, SEG, FHIR and a page."""
    from carna.doors import read as read_files

    order = _order(only, set_, format_, seed)
    with _progress("reading", quiet=as_json) as progress:
        # Results of an earlier run are no input, wherever OUT lies.
        reading = read_files(paths, leave_out=out, progress=progress)
    failed = _make(reading, out, order, workers, as_json=as_json, open_=open_)
    raise typer.Exit(_exit_code(reading, failed))


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the virtual patient and the results.")
    ] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Which virtual patient.")] = 0,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open the report in a browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send one virtual patient the whole way: DICOM files, findings, SR, SEG, FHIR and a page."""
    from carna.doors import read as read_files
    from carna.doors.dicom.write import write_study
    from carna.phantom import virtual_study

    begun = time.perf_counter()
    with _progress("a virtual patient", quiet=as_json) as progress:
        study, truth = virtual_study(seed, progress=progress)
        # Each virtual patient has a folder of its own: an earlier one is not read along with it.
        folder = out / "patient" / study.patient.id
        files = write_study(study, folder)
    if not as_json:
        _OUT.print(f"[bold]1 receive[/]     {len(files)} DICOM files of {study.patient.name} in {folder}")
    with _progress("reading", quiet=as_json) as progress:
        reading = read_files(folder, progress=progress)
    if not as_json:
        parts = sum(len(s.parts) for c in reading.cases for s in c.studies)
        _OUT.print(f"[bold]2 understand[/]  {parts} parts, {len(reading.problems)} problems")
        _OUT.print("[bold]3 run[/]         every application that is ready")
    failed = _make(reading, out / "results", _order(None, None, None, 0), 1, as_json=as_json, open_=open_)
    if not as_json:
        beside = ", ".join(f"{k} {v}" for k, v in truth.items())
        _OUT.print(f"\n[bold]the truth beside it[/]  {beside}", soft_wrap=True)
        _OUT.print(f"[dim]{time.perf_counter() - begun:.1f} s[/]")
    raise typer.Exit(_exit_code(reading, failed))


@app.command()
def apps(as_json: AsJson = False) -> None:
    """List the installed applications: what each needs, what can be set, what it gives."""
    from carna.app import applications

    if as_json:
        _print_json([_card(a) for a in applications().values()])
        return
    for a in applications().values():
        _OUT.print(
            f"[bold]{a.name}[/] {a.version}  {a.title}"
            + ("  [red]high stakes[/]" if a.stakes == "high" else "")
        )
        for slot in a.slots:
            optional = " (optional)" if slot.optional else ""
            _OUT.print(f"  needs {slot.name}: {slot.need.doc}{optional}", markup=False)
        for knob in a.knobs.values():
            _OUT.print(
                f"  set   {knob.name} = {knob.default}: {knob.setting.doc}; {knob.wanted}", markup=False
            )
        _OUT.print(f"  gives {', '.join(c.meaning for c in a.gives)}", markup=False)


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="A findings.json, or the folder it lies in.")],
    as_json: AsJson = False,
) -> None:
    """Print the findings of one run as a table."""
    from rich.table import Table

    from carna.findings import load
    from carna.render.table import rows

    found = load(path)
    if as_json:
        _print_json({"uid": found.uid, "application": found.manifest.application, "items": rows(found)})
        return
    table = Table(
        title=f"{found.manifest.application} {found.manifest.version} · {found.status}",
        title_justify="left",
        caption=found.uid,
        caption_justify="left",
    )
    for column in ("id", "finding", "value", "uncertainty"):
        table.add_column(column, overflow="fold")
    for row in rows(found):
        table.add_row(str(row["id"]), str(row["meaning"]), str(row["said"]), str(row.get("uncertainty", "")))
    _OUT.print(table)


@app.command()
def check(
    name: Annotated[str | None, typer.Argument(help="One application; all if left out.")] = None,
) -> None:
    """Run the contract suite over the installed applications."""
    from carna.app import applications
    from carna.check import check as check_one

    known = applications()
    if name is not None and name not in known:
        raise _usage(f"no application {name!r}; needed: {', '.join(known)}")
    reports = [check_one(a) for n, a in known.items() if name in (None, n)]
    for report in reports:
        _OUT.print(str(report), markup=False)
    raise typer.Exit(0 if all(r.ok for r in reports) else 1)


@app.command()
def evaluate(
    suite: Annotated[str, typer.Argument(help="The suite, for instance ecg-beats.")],
    data: Annotated[Path | None, typer.Option(help="Folder of the sets; CARNA_DATA by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score an application against labelled patients."""
    from carna.learn.evaluate import evaluate as evaluate_suite

    folder = data or Path(os.environ.get("CARNA_DATA", "../shared/data"))
    begun = time.perf_counter()
    with _progress(suite, quiet=as_json) as progress:
        rows = evaluate_suite(suite, folder, progress)
    _suite(suite, [asdict(r) for r in rows], time.perf_counter() - begun, as_json=as_json)


@app.command()
def bench(
    suite: Annotated[str, typer.Argument(help="The suite, for instance doors.")],
    as_json: AsJson = False,
) -> None:
    """Measure speed beside a peer in the same run."""
    from carna.bench import measure

    begun = time.perf_counter()
    rows = [{**asdict(r), "ratio": r.ratio} for r in measure(suite)]
    _suite(suite, rows, time.perf_counter() - begun, as_json=as_json)


@app.command()
def train(
    what: Annotated[str, typer.Argument(help="What to teach: cmr (short axis), or another kind of lesson.")],
    folder: Annotated[Path, typer.Argument(help="Where lessons and weights are kept; a run goes on there.")],
    steps: Annotated[int, typer.Option(help="Steps of training.")] = 18_000,
    lessons: Annotated[int, typer.Option(help="Virtual pictures to draw.")] = 12_000,
    rate: Annotated[float, typer.Option(help="Largest learning rate.")] = 2e-3,
    labels: Annotated[
        Path | None, typer.Option(help="Your own outlined patients (HDF5, image and label), to tune with.")
    ] = None,
    begin_with: Annotated[Path | None, typer.Option(help="Weights to begin with.")] = None,
) -> None:
    """Teach a network from virtual patients, resumable, and write it as ONNX with its card."""
    from carna.learn.cmr_patients import acdc
    from carna.learn.cmr_train import LESSONS, Recipe, draw_lessons, export, slices_of
    from carna.learn.cmr_train import train as teach

    kind = "short axis" if what == "cmr" else what.replace("-", " ")
    if kind not in LESSONS:
        known = ", ".join(["cmr", *(k.replace(" ", "-") for k in LESSONS)])
        raise _usage(f"nothing called {what!r} can be taught: {known}")
    if labels is not None and kind != "short axis":
        raise _usage("labels tune the short axis alone: leave --labels, or teach cmr")
    recipe = Recipe(of=kind, lessons=lessons, steps=steps, rate=rate)
    own = None if labels is None else slices_of(list(acdc(labels)), recipe.pixels)
    with _progress("lessons", quiet=False) as progress:
        draw_lessons(recipe, folder, progress)
    with _progress("training", quiet=False) as progress:
        weights = teach(recipe, folder, progress, own=own, begin_with=begin_with)
    said = "virtual hearts alone" if labels is None else f"virtual hearts and the patients of {labels.name}"
    export(recipe, weights, folder / "network.onnx", {"taught_with": said})
    _OUT.print(f"wrote {folder / 'network.onnx'} and its card")


@app.command()
def doctor() -> None:
    """Say what is installed, which decoders work, and what is missing."""
    from importlib.metadata import PackageNotFoundError, version

    from carna.app import applications
    from carna.doors.arrive import doors

    _OUT.print(f"carna {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for package in (
        "numpy",
        "scipy",
        "pydicom",
        "highdicom",
        "pylibjpeg",
        "pyjpegls",
        "python-gdcm",
        "nibabel",
        "h5py",
        "edfio",
        "fhir.resources",
    ):
        try:
            _OUT.print(f"  {package} {version(package)}")
        except PackageNotFoundError:
            _OUT.print(f"  [red]{package} is missing[/]: pip install {package}")
    _OUT.print(f"  doors: {', '.join(d.name for d in doors())}")
    _OUT.print(f"  applications: {', '.join(applications())}")


commands.add_to(app)


def main() -> None:
    """Run the command line; an error of ours is one sentence, not a traceback."""
    # One thread a worker: two linear-algebra threads on two busy cores wait for each other. Numpy reads this
    # when it loads, which nothing has caused yet.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    for stream in (sys.stdout, sys.stderr):
        # A file's name may hold what no encoding has; it is said as \udcff, never a failure.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except CarnaError as error:
        _ERR.print(f"carna: {error}", markup=False)
        sys.exit(2)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _ERR.print("carna: interrupted; what was written before is whole")
        raise


def _order(only: list[str] | None, set_: list[str] | None, formats: list[str] | None, seed: int) -> Any:
    """Return the order that the options give, checked before any work."""
    from carna.app import applications
    from carna.node.folder import Order

    settings: dict[str, dict[str, object]] = {}
    choose: dict[str, dict[str, str]] = {}
    for text in set_ or []:
        target, equals, value = text.partition("=")
        name, dot, key = target.partition(".")
        if not (equals and dot):
            raise _usage(f"--set {text}; needed: APP.setting=value")
        known = applications().get(name)
        slots = {s.name for s in known.slots} if known else set()
        if key in slots:
            choose.setdefault(name, {})[key] = value
        else:
            settings.setdefault(name, {})[key] = value
    order = Order(tuple(only or ()), settings, choose, tuple(formats or ()), seed)
    order.check()
    return order


def _make(reading: Any, out: Path, order: Any, workers: int, *, as_json: bool, open_: bool) -> bool:
    """Make every study, print what was made; return whether something failed."""
    from carna.node.folder import make_all

    made = []
    with _progress("running", quiet=as_json) as progress:
        for one in make_all(reading.cases, out, order, workers=workers, progress=progress):
            made.append(one)
            if not as_json:
                _tell(one)
    problems = sorted([*reading.problems, *(p for m in made for p in m.problems)])
    if as_json:
        studies = [{k: v for k, v in asdict(m).items() if k not in ("problems", "failed")} for m in made]
        _print_json({"version": __version__, "studies": studies, "problems": [asdict(p) for p in problems]})
    else:
        for problem in problems:
            _OUT.print(f"problem  {problem}", markup=False, style="yellow")
        pages = [f for m in made for f in m.files if f.endswith("report.html")]
        _OUT.print(f"\n{len(made)} studies, {len(problems)} problems")
        for page in pages[:1]:
            _OUT.print(f"report: {page}", soft_wrap=True)
        if open_ and pages:
            typer.launch(Path(pages[0]).resolve().as_uri())
    return any(m.failed for m in made)


def _tell(made: Any) -> None:
    """Print one study for a person."""
    _OUT.print(f"\n[bold]{made.patient or 'no id'}[/]  study {made.uid}  ({', '.join(made.kind)})")
    for found in made.findings:
        _OUT.print(f"  [bold]{found['application']}[/] {found['version']}")
        lines: dict[str, list[str]] = {}
        verdicts = Counter(row["verdict"] for row in found["items"] if row["kind"] == "Statement")
        for row in found["items"]:
            # A person at a terminal wants what was found; leads and rules stand in the report.
            if row["kind"] in ("Measurement", "Absent") and row["site"] not in LEADS:
                lines.setdefault(row["meaning"], []).append(row["said"])
            elif row["kind"] == "Statement" and row["verdict"] == "met" and row["site"] not in LEADS:
                lines.setdefault(row["meaning"], []).append(row["verdict_said"])
        for meaning, said_of in lines.items():
            _OUT.print(f"    {meaning}: {', '.join(dict.fromkeys(said_of))}", markup=False, soft_wrap=True)
        if verdicts:
            told = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.most_common())
            _OUT.print(f"    [dim]criteria: {told}[/]")
    for name, why in made.not_run.items():
        _OUT.print(f"  [dim]{name} not run: {why}[/]")


def _exit_code(reading: Any, failed: bool) -> int:
    if failed:
        return 1
    return 0 if any(c.studies or c.findings for c in reading.cases) else 3


def _card(a: Any) -> Mapping[str, Any]:
    """Return the declaration of an application as JSON: its schema, its form, its card."""
    return {
        "name": a.name,
        "version": a.version,
        "title": a.title,
        "doc": a.doc,
        "stakes": a.stakes,
        "validated": a.validated,
        "needs": [
            {
                "name": s.name,
                "classes": [c.__name__ for c in s.classes],
                "optional": s.optional,
                "many": s.many,
            }
            | {k: str(v) for k, v in asdict(s.need).items() if v}
            for s in a.slots
        ],
        "settings": [
            {
                "name": k.name,
                "type": k.kind.__name__,
                "default": k.default,
                "choices": list(k.choices),
                **asdict(k.setting),
            }
            for k in a.knobs.values()
        ],
        "gives": [
            {"code": c.value, "scheme": c.scheme, "meaning": c.meaning, "unit": c.unit} for c in a.gives
        ],
        "cites": list(a.cites),
    }


def _suite(name: str, rows: list[dict[str, Any]], seconds: float, *, as_json: bool) -> None:
    """Print the rows of a suite in their envelope, or as a table."""
    report = {
        "suite": name,
        "version": __version__,
        "commit": _commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "seconds": round(seconds, 2),
        "rows": rows,
    }
    if as_json:
        _print_json(report)
        return
    from rich.table import Table

    # What is the same in every row is said once, above the table.
    same = {k: v for k, v in rows[0].items() if len(rows) > 1 and all(r[k] == v for r in rows)}
    said = ", ".join(f"{k} {_short(v)}" for k, v in same.items() if v not in (None, ""))
    _OUT.print(f"[bold]{name}[/]  {report['machine']}  {report['seconds']} s\n[dim]{said}[/]")
    columns = [k for k in rows[0] if k not in same]
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*(_short(row[c]) for c in columns))
    _OUT.print(table)


def _short(value: Any) -> str:
    """Return a value of a row for a table: four digits, intervals as low-high, nothing for nothing."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple):
        return " to ".join(_short(v) for v in value)
    return "" if value is None else str(value)


def _commit() -> str:
    """Return the commit of the checkout this runs from, "" for an installed wheel."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return ""
    done = subprocess.run(
        ["git", "-C", str(here), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


@contextmanager
def _progress(what: str, *, quiet: bool) -> Iterator[Progress]:
    """Yield a progress that draws a bar on the error stream, or nothing when it is no terminal."""
    if quiet or not _ERR.is_terminal:
        yield SILENT
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=_ERR, transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield Progress(lambda done, now: bar.update(task, completed=done, description=now or what))


def _print_json(value: Any) -> None:
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=plain, default=str) + "\n")


def _usage(text: str) -> CarnaError:
    return CarnaError(text)


if __name__ == "__main__":
    main()
