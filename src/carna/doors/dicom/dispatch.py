"""Dispatch: every object to whoever reads its kind; what nobody reads is named for what it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from pydicom.uid import UID

from carna.case import Problem
from carna.doors.arrive import Arrival, Delivery
from carna.doors.dicom import scan
from carna.doors.dicom.doubts import doubtful
from carna.doors.dicom.header import BROKEN, Header, arrival, items, quiet, study_uid, text, texts
from carna.doors.dicom.pictures import slide
from carna.doors.dicom.series import parts_of
from carna.doors.files import Blob, walk
from carna.errors import InputError
from carna.progress import Progress
from carna.study import Part

_ROOT: Final = "1.2.840.10008."
_STORED: Final = "1.2.840.10008.5.1.4.1.1."
_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_SLIDE: Final = _STORED + "77.1.6"
_WAVEFORMS: Final = _STORED + "9."
_SEGMENTATIONS: Final = (_STORED + "66.4", _STORED + "66.7")
_REPORTS: Final = _STORED + "88."
# What is recognised but not read, by the start of its SOP Class UID; the longest start wins.
_NOT_READ: Final = {
    _STORED + "88.59": "a key object selection",
    _STORED + "11.": "a presentation state",
    _STORED + "104.1": "an encapsulated PDF",
    _STORED + "104.2": "an encapsulated CDA document",
    _STORED + "104.": "an encapsulated model",
    _STORED + "66": "raw data",
    _STORED + "66.1": "a spatial registration",
    _STORED + "66.2": "spatial fiducials",
    _STORED + "66.3": "a deformable registration",
    _STORED + "66.5": "a surface segmentation",
    _STORED + "66.6": "tractography results",
    _STORED + "67": "a real world value mapping",
    _STORED + "68": "a surface scan",
    _STORED + "77.1.5.3": "stereometric relations",
    _STORED + "78": "an ophthalmic measurement",
    _STORED + "79": "an ophthalmic report",
    _STORED + "80": "an ophthalmic map",
    _STORED + "90.": "an inventory or assessment",
    _STORED + "91.": "microscopy annotations",
    _STORED + "131": "basic structured display",
    _STORED + "4.2": "MR spectroscopy",
    _STORED + "200.": "a scan protocol",
    _STORED + "481.": "a radiotherapy object",
    "1.2.840.10008.5.1.4.38.": "a hanging protocol",
    "1.2.840.10008.5.1.4.39.": "a colour palette",
    "1.2.840.10008.5.1.4.43.": "an implant template",
    "1.2.840.10008.5.1.4.34.": "a worklist item",
}


def deliver(blobs: Sequence[Blob], progress: Progress) -> Delivery:
    """Return what a set of DICOM files holds.

    Parameters
    ----------
    blobs : sequence of Blob
    progress : Progress
        The headers are four fifths of the work; pixels are read when somebody asks.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        headers, problems = scan.headers(blobs, progress.part(0.0, 0.8))
        headers, more = _indexed(headers, blobs)
        problems += more
        headers, more = unique(headers)
        problems += more
        arrivals: list[Arrival] = []
        kinds: dict[str, list[Header]] = {}
        for header in headers:
            kinds.setdefault(_kind(header), []).append(header)
        for n, (kind, group) in enumerate(kinds.items()):
            progress(0.8 + 0.2 * n / len(kinds), kind)
            delivery = _read_kind(kind, group)
            arrivals += delivery.arrivals
            problems += delivery.problems
        first: dict[tuple[str, str], str] = {}
        for header in headers:
            first.setdefault((study_uid(header.ds), text(header.ds, "PatientID")), header.name)
    named = (replace(a, file=first.get((a.study, a.patient.id), "")) for a in arrivals)
    return Delivery(tuple(named), tuple(problems))


def _kind(header: Header) -> str:
    """Return image, slide, waveform or result; "" for what is not read."""
    uid = header.sop_class
    if uid == _SLIDE:
        return "slide"
    if uid.startswith(_WAVEFORMS):
        return "waveform"
    if uid in _SEGMENTATIONS or (uid.startswith(_REPORTS) and uid != _REPORTS + "59"):
        return "result"
    refused = _refusal(uid) or (not uid and header.pixels is None)
    return "" if refused else "image"


def _refusal(uid: str) -> str:
    """Return what an object is that is not read, "" if it may be an image."""
    if uid and not uid.startswith(_ROOT):
        return f"an object of a private class ({uid})"
    start = max((k for k in _NOT_READ if uid.startswith(k)), key=len, default="")
    # "66" is raw data itself, not everything that starts with these digits.
    exact = start and (start.endswith(".") or uid == start or uid[len(start)] == ".")
    return _NOT_READ[start] if exact else ""


def _read_kind(kind: str, headers: list[Header]) -> Delivery:
    match kind:
        case "image":
            return _images(headers)
        case "slide":
            return _slides(headers)
        case "waveform":
            from carna.doors.dicom import waveform

            return _carefully(waveform.read, headers)
        case "result":
            from carna.doors.dicom import results

            return _carefully(results.read, headers)
        case _:
            return Delivery((), tuple(_not_read(h) for h in headers))


def _not_read(header: Header) -> Problem:
    what = _refusal(header.sop_class)
    if what:
        name = UID(header.sop_class).name
        detail = f" ({name})" if name != header.sop_class else ""
        return Problem(
            header.name,
            f"{what}{detail}; not read yet",
            "an image, waveform, segmentation or report",
            "leave it out; nothing else depends on it",
        )
    return Problem(header.name, "a DICOM object without class or pixels", "a SOP Class UID", "send it again")


def _carefully(read: Callable[[Sequence[Header]], Delivery], headers: list[Header]) -> Delivery:
    """Return what ``read`` makes of the headers; one that breaks it costs only itself."""
    try:
        return read(headers)
    except BROKEN as error:
        if len(headers) == 1:
            found, needed, fix = f"a damaged object: {error}", "an intact one", "send it again"
            if isinstance(error, InputError):
                found, needed, fix = error.found, error.needed, error.fix
            return Delivery((), (Problem(headers[0].name, found, needed, fix),))
    one_by_one = [_carefully(read, [header]) for header in headers]
    return Delivery(
        tuple(a for d in one_by_one for a in d.arrivals), tuple(p for d in one_by_one for p in d.problems)
    )


def _images(headers: list[Header]) -> Delivery:
    """Return the image parts, study by study and patient by patient."""
    studies: dict[tuple[str, ...], list[Header]] = {}
    for header in headers:
        who = text(header.ds, "PatientID"), text(header.ds, "IssuerOfPatientID")
        studies.setdefault((study_uid(header.ds), *who), []).append(header)
    arrivals: list[Arrival] = []
    problems: list[Problem] = []
    for group in studies.values():
        parts, trouble = parts_of(group)
        problems += trouble
        problems += doubtful(parts, {header.uid: header.name for header in group})
        with quiet() as warned:
            template = arrival(group[0].ds)
            doubts = tuple(w for w in warned() if "encod" in w.lower() or "character set" in w.lower())
        arrivals += [replace(template, part=_with_notes(part, doubts)) for part in parts]
    return Delivery(tuple(arrivals), tuple(problems))


def _with_notes(part: Part, notes: tuple[str, ...]) -> Part:
    if not notes:
        return part
    return replace(part, origin=replace(part.origin, notes=(*part.origin.notes, *notes)))


def _slides(headers: list[Header]) -> Delivery:
    arrivals: list[Arrival] = []
    problems: list[Problem] = []
    counts = [h.series for h in headers]
    for header in headers:
        try:
            # The levels of a pyramid are one series: each is a slide of its own size.
            uid = header.uid if counts.count(header.series) > 1 else header.series
            arrivals.append(arrival(header.ds, slide(header, uid)))
        except InputError as error:
            problems.append(Problem(header.name, error.found, error.needed, error.fix))
    return Delivery(tuple(arrivals), tuple(problems))


# Copies and indexes ----------------------------------------------------------------------------


def unique(headers: Sequence[Header]) -> tuple[list[Header], list[Problem]]:
    """Return headers without copies; the same UID on different content is a problem."""
    kept: dict[str, Header] = {}
    copies: dict[str, int] = {}
    problems: list[Problem] = []
    for header in headers:
        first = kept.setdefault(header.uid, header)
        if first is header:
            continue
        if _same_dataset(first.blob, header.blob):
            copies[header.uid] = copies.get(header.uid, 0) + 1
            continue
        other = f" in {UID(header.syntax).name}" if header.syntax != first.syntax else ""
        problems.append(
            Problem(
                header.name,
                f"another object with the UID of {first.name}{other}",
                "one object for each SOP Instance UID",
                "the first one is used; ask the sender which is right",
            )
        )
    for uid, count in copies.items():
        note = f"{count} identical {'copy' if count == 1 else 'copies'} of an object left out"
        kept[uid] = replace(kept[uid], notes=(*kept[uid].notes, note))
    return list(kept.values()), problems


def _same_dataset(one: Blob, two: Blob) -> bool:
    """Whether two files hold the same dataset; their file meta information may differ."""
    first, start = scan.dataset_bytes(one)
    second, other = scan.dataset_bytes(two)
    return first[start:] == second[other:]


def _indexed(headers: Sequence[Header], blobs: Sequence[Blob]) -> tuple[list[Header], list[Problem]]:
    """Return the headers without directories, plus those of files that only a directory names.

    A DICOMDIR is an index, never truth: files are read whether it names them or not, and a
    file it names that is not there is a problem.
    """
    directories = [h for h in headers if _is_directory(h)]
    others = [h for h in headers if not _is_directory(h)]
    if not directories:
        return others, []
    here = {blob.name.lower() for blob in blobs}
    problems: list[Problem] = []
    for directory in directories:
        folder = PurePosixPath(directory.name).parent
        for record in items(directory.ds, "DirectoryRecordSequence"):
            named = texts(record, "ReferencedFileID")
            if not named or any(p in ("..", "") or "/" in p for p in named):
                continue
            name = str(folder.joinpath(*named))
            if name.lower() in here:
                continue
            found, _ = walk([Path(name)]) if directory.blob.path is not None else ([], [])
            if not found:
                problems.append(
                    Problem(
                        name, f"named in {directory.name} but not there", "the file", "copy the whole disc"
                    )
                )
                continue
            more, trouble = scan.headers(found)
            others += more
            problems += trouble
    return others, problems


def _is_directory(header: Header) -> bool:
    stored = str(header.ds.file_meta.get("MediaStorageSOPClassUID", ""))
    return _DIRECTORY in (header.sop_class, stored)
