"""Folders of anything: each file is written without the person, or named as a problem and not written."""

from __future__ import annotations

import json
import struct
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import dcmread

from carna.case import Problem
from carna.doors.arrive import doors
from carna.doors.deidentify.ecg import plain_ecg
from carna.doors.deidentify.engine import encode, with_run
from carna.doors.deidentify.fhir import deidentify_fhir, people_of
from carna.doors.deidentify.profile import Profile
from carna.doors.deidentify.project import Project
from carna.doors.deidentify.vault import Vault, entries_of
from carna.doors.fhir.tree import Node, parse
from carna.doors.files import Blob, walk
from carna.errors import CarnaError, InputError
from carna.findings.wire import write_whole
from carna.progress import SILENT, Progress

# What a broken object may do to its reader. A file on which this happens is a problem, and is not written.
_BROKEN = (
    InvalidDicomError, BytesLengthException, ValueError, TypeError, KeyError, IndexError, AttributeError,
    NotImplementedError, EOFError, OverflowError, RecursionError, struct.error, UnicodeError, AssertionError,
)  # fmt: skip
_BATCH = 64


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """What was written, and what was not and why."""

    written: tuple[Path, ...]
    problems: tuple[Problem, ...]


def deidentify_folder(
    paths: Iterable[Path],
    out: Path,
    profile: Profile,
    project: Project,
    *,
    vault: Vault | None = None,
    progress: Progress = SILENT,
) -> Outcome:
    """Write everything under some paths without the persons in it.

    DICOM objects become ``OUT/<pseudonym>/<study>/<series>/<object>.dcm``, electrocardiograms of any format
    the same, FHIR files ``OUT/fhir/<n>.json``. No name of a file or a folder that came is used.

    Parameters
    ----------
    paths : iterable of Path
        Files, folders, archives.
    out : Path
        Not entered, if it lies in one of them.
    vault : Vault or None
        Keeps who they were.

    Returns
    -------
    Outcome
        A file of a format that can't be de-identified here is a problem, and so is one that is broken, one
        whose pixels may show a name, and a second object of the same UID.
    """
    blobs, problems = walk(paths, leave_out=out)
    claimed: dict[str, list[Blob]] = {}
    for blob in blobs:
        door = next((d.name for d in doors() if d.claims(blob)), "")
        claimed.setdefault(door, []).append(blob)
    made = _Made(out, {}, {}, vault)
    done, total = 0, max(len(blobs), 1)
    ours = {"dicom": _dicom, "ecg": _ecg, "fhir": _fhir}
    with warnings.catch_warnings():
        # What a header does wrong is not told to the one who only wants the name out of it.
        warnings.simplefilter("ignore")
        for name, mine in claimed.items():
            if name not in ours:
                problems += [_refused(blob, name) for blob in mine]
                continue
            for problem in ours[name](mine, made, profile, project):
                if isinstance(problem, Problem):
                    problems.append(problem)
                done += problem is None
                progress(done / total, "de-identifying")
    made.flush()
    progress(1.0, "de-identified")
    return Outcome(tuple(made.written), tuple(sorted(problems)))


@final
@dataclass(frozen=True, slots=True)
class _Made:
    """What has been written so far, and what the vault has still to be told."""

    out: Path
    written: dict[Path, None]
    entries: dict[str, bytes]
    vault: Vault | None

    def write(self, path: Path, data: bytes) -> bool:
        """Write a file of this run once; False if another one has taken its place."""
        whole = self.out / path
        if whole in self.written:
            return whole.read_bytes() == data
        write_whole(whole, data)
        self.written[whole] = None
        return True

    def tell(self, entries: dict[str, bytes]) -> None:
        """Keep entries for the vault, a batch at a time."""
        self.entries.update(entries)
        if len(self.entries) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Give the vault what is waiting."""
        if self.vault is not None and self.entries:
            self.vault.keep(self.entries)
        self.entries.clear()


_Steps = Iterator[Problem | None]


def _dicom(blobs: Sequence[Blob], made: _Made, profile: Profile, project: Project) -> _Steps:
    for blob in blobs:
        try:
            with blob.open() as file:
                ds = dcmread(file, force=True)
            yield _object(ds, blob.name, made, profile, project)
        except CarnaError as error:
            yield Problem(blob.name, error.found, error.needed, error.fix)
        except _BROKEN as error:
            yield _broken(blob.name, error)
        yield None


def _object(ds: Dataset, name: str, made: _Made, profile: Profile, project: Project) -> Problem | None:
    """Write one object and tell the vault; return a problem if its place is taken."""
    clean, run = with_run(ds, profile, project)
    place = [str(clean.get(key) or "none") for key in ("StudyInstanceUID", "SeriesInstanceUID")]
    path = Path(run.patient, *place, f"{clean.SOPInstanceUID}.dcm")
    if not _plain(path):
        return Problem(name, "UIDs that are none", "digits and dots", "repair the object")
    if made.vault is not None:
        # All follows from the secret: a run that was killed is run again, and the vault has the same.
        made.tell(entries_of(ds, run))
    if made.write(path, encode(clean)):
        return None
    return Problem(
        name,
        "a second object of the same UID with other content",
        "one object a UID",
        "ask the sender which is right",
    )


def _plain(path: Path) -> bool:
    return all(
        part.replace(".", "").isalnum() and part.isascii() and not part.startswith(".") for part in path.parts
    )


def _ecg(blobs: Sequence[Blob], made: _Made, profile: Profile, project: Project) -> _Steps:
    door = next(d for d in doors() if d.name == "ecg")
    delivery = door.read(blobs, SILENT)
    yield from delivery.problems
    for arrival in delivery.arrivals:
        try:
            ds = plain_ecg(arrival, delivery.arrivals, profile)
            if ds is not None:
                yield _object(ds, arrival.file, made, profile, project)
        except CarnaError as error:
            yield Problem(arrival.file, error.found, error.needed, error.fix)
        yield None


def _fhir(blobs: Sequence[Blob], made: _Made, profile: Profile, project: Project) -> _Steps:
    # A patient and what is told of them may lie in two files.
    people = people_of(one for blob in blobs for one in _documents(blob, quiet=True))
    for number, blob in enumerate(blobs, 1):
        try:
            documents = [deidentify_fhir(one, profile, project, people) for one in _documents(blob)]
            text = "\n".join(json.dumps(d, ensure_ascii=False, sort_keys=True) for d in documents)
            suffix = ".ndjson" if blob.suffix == ".ndjson" else ".json"
            made.write(Path("fhir", f"{number:05d}{suffix}"), text.encode())
        except CarnaError as error:
            yield Problem(blob.name, error.found, error.needed, error.fix)
        except _BROKEN as error:
            yield _broken(blob.name, error)
        yield None


def _documents(blob: Blob, *, quiet: bool = False) -> list[Node]:
    """Return the documents of a file, one a line in NDJSON; none of a broken one, if that is said later."""
    data = blob.load()
    lines = [line for line in data.splitlines() if line.strip()] if blob.suffix == ".ndjson" else [data]
    try:
        return [parse(line) for line in lines]
    except InputError:
        if quiet:
            return []
        raise


def _refused(blob: Blob, door: str) -> Problem:
    what = f"a file of the {door} door" if door else "a format Carna does not know"
    return Problem(
        blob.name,
        f"{what}, which may hold a name anywhere",
        "DICOM, an electrocardiogram or FHIR",
        "convert it to one of these; it was not written",
    )


def _broken(name: str, error: Exception) -> Problem:
    return Problem(
        name,
        f"an object that can't be read to its end: {type(error).__name__}",
        "a whole object",
        "send it again; it was not written",
    )
