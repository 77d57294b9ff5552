"""Arrival: every door's pieces put together as cases. Nothing readable is lost on the way.

A door claims files by their first bytes and turns them into arrivals; a file that no door
claims is a named problem. Pieces with one patient id and issuer make one case; pieces
without an id are never merged by guess.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from os import PathLike
from pathlib import Path

from carna.case import Case, Problem, Reading
from carna.doors.files import Blob, walk
from carna.errors import Cancelled
from carna.findings import Findings
from carna.progress import SILENT, Progress
from carna.study import Part, Patient, Study

__all__ = ["Arrival", "Delivery", "Door", "doors", "read"]

_LOG = logging.getLogger(__name__)
# What can be done about a file of which its reader says only what is wrong.
_FIX = "export it again from the program it came from; if other programs read it as it is, report it"


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """One piece: whose it is, of which study, and the part or the findings it brings.

    ``study`` is the Study Instance UID, or a name-based UID of the content; ``file`` is one the piece
    came from.
    """

    patient: Patient
    study: str
    part: Part | None = None
    findings: Findings | None = None
    time: str = ""
    description: str = ""
    accession: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """What a door made of its files."""

    arrivals: tuple[Arrival, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Door:
    """A family of formats.

    Parameters
    ----------
    name : str
    claims : callable(blob) -> bool
        Looks at the name, the head and the neighbours only; must be quick and never raise.
    read : callable(blobs, progress) -> Delivery
        Gets all the files it claimed; a bad one becomes a problem, never an exception.
    """

    name: str
    claims: Callable[[Blob], bool]
    read: Callable[[Sequence[Blob], Progress], Delivery]


@cache
def doors() -> tuple[Door, ...]:
    """Return every installed door by name; a broken plug-in is left out with a warning."""
    found: list[Door] = []
    for entry in sorted(entry_points(group="carna.doors"), key=lambda e: e.name):
        try:
            loaded = entry.load()
        except (ImportError, AttributeError) as error:
            _LOG.warning("door %s (%s) can't be loaded: %s", entry.name, entry.value, error)
            continue
        if isinstance(loaded, Door):
            found.append(loaded)
    return tuple(found)


def read(
    path: str | PathLike[str] | Iterable[str | PathLike[str]],
    *,
    leave_out: Path | None = None,
    progress: Progress = SILENT,
) -> Reading:
    """Read everything readable under one path or several; name the rest as problems.

    Parameters
    ----------
    path : path or paths
        Files, folders or archives, in any mixture of formats.
    leave_out : Path or None
        A folder that is not entered from above: where results go is no input, unless it is named.

    Returns
    -------
    Reading
        One case a patient, sorted by patient id; problems sorted by file.
    """
    paths = [Path(path)] if isinstance(path, str | PathLike) else [Path(p) for p in path]
    blobs, problems = walk(paths, leave_out)
    claimed: dict[str, list[Blob]] = {}
    for blob in blobs:
        door = next((d for d in doors() if _claims(d, blob, problems)), None)
        if door is None:
            problems.append(
                Problem(
                    blob.name,
                    "not a format Carna knows",
                    "DICOM, ECG, geometry, volume or FHIR",
                    "leave it out, or export it in one of these",
                )
            )
        else:
            claimed.setdefault(door.name, []).append(blob)
    arrivals: list[Arrival] = []
    done, total = 0, max(len(blobs), 1)
    for door in doors():
        mine = claimed.get(door.name, [])
        if not mine:
            continue
        try:
            delivery = door.read(mine, progress.part(done / total, (done + len(mine)) / total))
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - a bug of one door must not lose the others' files
            delivery = Delivery((), (_bug(door, mine, error),))
        arrivals += delivery.arrivals
        problems += delivery.problems
        done += len(mine)
        progress(done / total, f"read {door.name}")
    cases, conflicts = assemble(arrivals)
    said = (p if p.fix else replace(p, fix=_FIX) for p in (*problems, *conflicts))
    return Reading(cases, tuple(sorted(said)))


def _claims(door: Door, blob: Blob, problems: list[Problem]) -> bool:
    """Whether a door claims a file; one that fails on it does not."""
    try:
        return door.claims(blob)
    except Exception as error:  # noqa: BLE001 - a bug of one door must not lose the others' files
        problems.append(_bug(door, [blob], error))
        return False


def _bug(door: Door, blobs: Sequence[Blob], error: Exception) -> Problem:
    several = f" on {len(blobs)} files, of which this is the first" if len(blobs) > 1 else ""
    return Problem(
        blobs[0].name,
        f"the {door.name} door failed{several}: {type(error).__name__}: {error}",
        "no failure",
        "report it with this sentence; the other doors' files were read",
    )


def assemble(arrivals: Iterable[Arrival]) -> tuple[tuple[Case, ...], list[Problem]]:
    """Return cases from arrivals, and a problem for each study that claims two patients."""
    problems: list[Problem] = []
    by_case: dict[tuple[str, ...], dict[str, list[Arrival]]] = {}
    owner: dict[str, dict[tuple[str, str], str]] = {}
    for arrival in arrivals:
        who = arrival.patient
        # A patient without an id is known only by the study; two of them are not one person.
        key = (who.id, who.issuer) if who.id else ("", "", arrival.study)
        by_case.setdefault(key, {}).setdefault(arrival.study, []).append(arrival)
        owner.setdefault(arrival.study, {}).setdefault((who.id, who.issuer), arrival.file)
    for study, owners in owner.items():
        if len(owners) > 1:
            ids = ", ".join(sorted(id or "no id" for id, _ in owners))
            files = [file for file in owners.values() if file] or [f"study {study}"]
            problems.append(
                Problem(
                    ", ".join(files),
                    f"one study of {len(owners)} patients: {ids}",
                    "one patient",
                    "kept apart; ask the sender",
                )
            )
    cases = [_case(studies) for _, studies in sorted(by_case.items())]
    return tuple(cases), problems


def _case(studies: dict[str, list[Arrival]]) -> Case:
    pieces = [a for arrivals in studies.values() for a in arrivals]
    patient = max((a.patient for a in pieces), key=_known)
    made = [_study(uid, patient, arrivals) for uid, arrivals in studies.items()]
    made.sort(key=lambda s: (s.time, s.uid))
    return Case(patient, tuple(made), tuple(a.findings for a in pieces if a.findings is not None))


def _known(patient: Patient) -> tuple[bool, int]:
    """Order patients by how much is known of them; one synthetic piece makes all synthetic."""
    return patient.synthetic, sum(bool(x) for x in (patient.name, patient.birth_date, patient.sex))


def _study(uid: str, patient: Patient, arrivals: list[Arrival]) -> Study:
    parts: dict[str, Part] = {}
    for arrival in arrivals:
        if arrival.part is not None:
            parts.setdefault(arrival.part.origin.uid, arrival.part)
    ordered = sorted(
        parts.values(), key=lambda p: (p.origin.number is None, p.origin.number or 0, p.origin.uid)
    )

    def first(field: str) -> str:
        return next((v for v in (str(getattr(a, field)) for a in arrivals) if v), "")

    return Study(uid, patient, first("time"), first("description"), first("accession"), tuple(ordered))
