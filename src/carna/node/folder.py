"""The smallest station: files in, applications run, results written into a folder.

::

    OUT/<patient>/<study>/
        report.html  report.zh.html  fhir-r5.json  fhir-r4b.json  items.csv
        <application>.sr.dcm  <application>.1.seg.dcm  <application>.<curve>.csv
        <application>/findings.json  blobs/

A study is made in a hidden folder beside its place and moved there when it is whole: a killed
run leaves the earlier result or none, never half of one; what it left hidden is cleared away
when the study is made again.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, final

from carna.app import Application, Job, applications, in_order, ready, run
from carna.case import Case, Problem
from carna.errors import Cancelled, InputError, RenderError
from carna.findings import Findings
from carna.findings.model import sha256
from carna.findings.wire import write_whole
from carna.progress import SILENT, Progress
from carna.study import fingerprint


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made of every study.

    Parameters
    ----------
    only : tuple of str
        Application names; empty for every one that is ready.
    settings : mapping
        Application name to its settings.
    choose : mapping
        Application name to slot name to part UID.
    formats : tuple of str
        Names of `carna.render.FORMATS`; empty for `carna.render.DEFAULT`.
    seed : int
    """

    only: tuple[str, ...] = ()
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    choose: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    formats: tuple[str, ...] = ()
    seed: int = 0

    def check(self) -> None:
        """Refuse names that do not exist and settings out of range, before any work is done."""
        from carna.render import FORMATS

        known = applications()
        for name in (*self.only, *self.settings, *self.choose):
            if name not in known:
                raise InputError(f"no application {name!r}", needed=", ".join(known), fix="see `carna apps`")
        for name in self.formats:
            if name not in FORMATS:
                raise InputError(f"no format {name!r}", needed=", ".join(FORMATS))
        for name, given in self.settings.items():
            known[name].settings(given)

    def applications(self) -> tuple[Application, ...]:
        """Return the applications asked for, in the order in which they can run."""
        return in_order(a for n, a in applications().items() if not self.only or n in self.only)


@dataclass(frozen=True, slots=True)
class Made:
    """What was made of one study: a row of ``carna read --json``."""

    uid: str
    patient: str
    kind: tuple[str, ...]
    parts: tuple[Mapping[str, Any], ...]
    findings: tuple[Mapping[str, Any], ...]
    not_run: Mapping[str, str]
    files: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    failed: bool = False


@final
class _Unwritable(InputError):
    """Results can't be written: no other study's could be either."""


def make(case: Case, study: str, out: Path, order: Order, progress: Progress = SILENT) -> Made:
    """Run the applications on one study and write everything under ``out``.

    A bug in one application or renderer is a problem of that one; the others still run, and
    nothing of the failed one is written. A bug anywhere else fails this study and no other.

    Raises
    ------
    InputError
        If ``out`` can't be written.
    Cancelled
    """
    try:
        return _make(case, study, out, order, progress)
    except (Cancelled, _Unwritable):
        raise
    except Exception as error:  # noqa: BLE001 - a bug met in one study must not stop the others
        lost = (_bug("the study", study, error),)
        return Made(study, case.patient.id, (), (), (), {}, (), problems=lost, failed=True)


def _make(case: Case, study: str, out: Path, order: Order, progress: Progress) -> Made:
    place = out / slug(case.patient.id or "no-id") / slug(study)
    _clear(place)
    examined = case.study(study)
    apps = order.applications()
    problems: list[Problem] = []
    not_run: dict[str, str] = {}
    failed = False
    priors, found = case.said_of(study), []
    for n, app in enumerate(apps):
        step = progress.part(0.8 * n / len(apps), 0.8 * (n + 1) / len(apps))
        try:
            why = "" if app.name in order.choose else ready(app, case, study)
            if why and app.name not in order.only:
                not_run[app.name] = why
                continue
            result = run(
                app,
                case,
                study,
                settings=order.settings.get(app.name, {}),
                choose=order.choose.get(app.name, {}),
                job=Job(seed=order.seed, progress=step),
            )
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - a bug of one application must not stop the others
            problems.append(_bug(f"application {app.name}", study, error))
            failed = True
            continue
        case = case.plus(result)
        found.append(result)
    prints = [fingerprint(p, examined) for p in examined.parts]
    summaries = tuple(_summary(f) for f in (*found, *priors))
    files, broken = _write(case.only(study), priors, tuple(found), place, order.formats)
    problems += broken
    progress(1.0, "written")
    return Made(
        uid=study,
        patient=case.patient.id,
        kind=tuple(sorted({p.kind for p in prints})),
        parts=tuple(_plain(p) for p in prints),
        findings=summaries,
        not_run=not_run,
        files=tuple(str(f) for f in files),
        problems=tuple(problems),
        failed=failed or bool(broken),
    )


def make_all(
    cases: Sequence[Case], out: Path, order: Order, *, workers: int = 1, progress: Progress = SILENT
) -> Iterator[Made]:
    """Yield what was made of each study, in the order they finish; studies are spread over worker processes.

    The workers are forked, so that lazy pixels need not travel; where the system has no fork,
    one process does all.
    """
    todo = [(n, s.uid) for n, case in enumerate(cases) for s in case.studies]
    if workers <= 1 or len(todo) <= 1 or "fork" not in multiprocessing.get_all_start_methods():
        for done, (n, uid) in enumerate(todo):
            part = progress.part(done / len(todo), (done + 1) / len(todo))
            yield make(cases[n], uid, out, order, part)
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(min(workers, len(todo)), context, _inherit, (tuple(cases), out, order)) as pool:
        futures: list[Future[Made]] = [pool.submit(_make_inherited, n, uid) for n, uid in todo]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                progress(done / len(todo), f"{done} of {len(todo)} studies")
                yield future.result()
        except BrokenExecutor as error:
            raise InputError(
                "a worker process was ended from outside, perhaps for want of memory",
                needed="its result",
                fix="run it again with --workers 1; the studies printed before are whole",
            ) from error
        finally:
            for future in futures:
                future.cancel()


_INHERITED: list[tuple[tuple[Case, ...], Path, Order]] = []


def _inherit(cases: tuple[Case, ...], out: Path, order: Order) -> None:
    """Keep what a forked worker was born with; filled in workers only."""
    _INHERITED.append((cases, out, order))
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    """End this worker when its parent was killed; it would wait for work for ever."""
    parent.join()
    os._exit(1)


def _make_inherited(n: int, uid: str) -> Made:
    cases, out, order = _INHERITED[-1]
    return make(cases[n], uid, out, order)


def _write(
    case: Case,
    priors: tuple[Findings, ...],
    found: tuple[Findings, ...],
    place: Path,
    formats: tuple[str, ...],
) -> tuple[list[Path], list[Problem]]:
    """Write a study's results as one whole folder; return its files and what a renderer could not do."""
    from carna.render import DEFAULT, FORMATS

    study = case.studies[0].uid
    problems: list[Problem] = []
    part = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part = _hidden(place, ".part")
        for name in formats or DEFAULT:
            form = FORMATS[name]
            try:
                rendered = form.write((*found, *priors) if form.priors else found, case)
            except RenderError as error:
                problems.append(Problem(study, f"{name}: {error.found}", error.needed, error.fix))
            except Exception as error:  # noqa: BLE001 - a bug of one renderer must not stop the others
                problems.append(_bug(f"format {name}", study, error))
            else:
                for file, data in rendered.items():
                    write_whole(part.joinpath(*map(slug, file.split("/"))), data)
        files = sorted(p.relative_to(part) for p in part.rglob("*") if p.is_file())
        _swap(part, place)
    except OSError as error:
        raise _Unwritable(
            f"{place} can't be written: {error.strerror or error}",
            needed="a folder with room that may be written to",
            fix="choose another with -o",
        ) from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
    return [place / f for f in files], problems


def _swap(part: Path, place: Path) -> None:
    """Put a whole folder in its place; an earlier one there gives way in one step."""
    part.chmod(0o755)
    if place.exists():
        old = _hidden(place, ".old")
        os.replace(place, old / "old")
        os.replace(part, place)
        shutil.rmtree(old)
    else:
        os.replace(part, place)


def _hidden(place: Path, suffix: str) -> Path:
    """Return a new hidden folder beside a place, named after the machine and the process it belongs to."""
    owner = f"{sha256(platform.node().encode())[:8]}-{os.getpid()}"
    return Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}.{owner}.", suffix=suffix))


# A process of another machine can't be asked whether it lives; no study takes it a day.
_STALE_S = 86400.0


def _clear(place: Path) -> None:
    """Remove the hidden folders that killed runs left beside a place; a result stuck in one goes back."""
    ours = re.compile(rf"\.{re.escape(place.name)}\.([0-9a-f]{{8}})-(\d+)\.\w+\.(?:part|old)")
    here = sha256(platform.node().encode())[:8]
    try:
        found = [(p, match) for p in place.parent.iterdir() if (match := ours.fullmatch(p.name))]
        for folder, match in found:
            if match[1] == here and os.name == "posix":
                stale = not _alive(int(match[2]))
            else:
                stale = time.time() - folder.stat().st_mtime > _STALE_S
            if not stale:
                continue
            if (folder / "old").is_dir() and folder.suffix == ".old" and not place.exists():
                os.replace(folder / "old", place)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return  # nothing there yet, or another run was quicker; writing says what is wrong


def _alive(pid: int) -> bool:
    """Whether a process of this machine exists."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def slug(text: str) -> str:
    """Return a folder name that no system refuses and no other text shares.

    >>> slug("1.2.840.1")
    '1.2.840.1'
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._")[:80]
    return plain if plain == text and plain else f"{plain or 'x'}-{sha256(text.encode())[:8]}"


def _bug(where: str, study: str, error: Exception) -> Problem:
    what = f"{where} failed: {type(error).__name__}: {error}"
    return Problem(study, what, "no failure", "report it with the command and this sentence")


def _plain(fingerprint_: Any) -> Mapping[str, Any]:
    from dataclasses import asdict

    return {k: v for k, v in asdict(fingerprint_).items() if v not in (None, "", 0, 0.0, ())}


def _summary(findings: Findings) -> Mapping[str, Any]:
    """Return the line of ``--json`` for one run: every item's id, kind and value."""
    from carna.render.table import rows

    return {
        "application": findings.manifest.application,
        "version": findings.manifest.version,
        "uid": findings.uid,
        "status": findings.status,
        "validated": findings.validated,
        "items": rows(findings),
    }
