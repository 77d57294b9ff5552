"""Rendering: findings and their case in, something seen or sent out. Pure: no file, clock or network.

==============  ============================================  =======================================
format          writes                                        carries whole
==============  ============================================  =======================================
``json``        findings.json and its blobs                   everything: the only full round trip
``html``        report.html, report.zh.html                   numbers, conclusions, absences
``png``         ECG paper, montages, curves, tachograms       nothing: pictures of it
``csv``         items.csv, a file a curve, events, field      numbers, curves, events, conclusions
``fhir``        fhir-r5.json, fhir-r4b.json                   numbers, curves, conclusions, absences
``sr``          a DICOM structured report a run: TID 1500,    numbers, conclusions, absences
                or TID 3700 of a resting ECG
``seg``         DICOM segmentations                           regions
``pdf``         a PDF a run and language, and it as DICOM     numbers, conclusions, absences
==============  ============================================  =======================================
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, final

from carna.case import Case
from carna.findings import Absent, Curve, Events, Field, Findings, Measurement, Region, Shape, Statement
from carna.findings.wire import to_json
from carna.render import ecg_sr, fhir, figures, page, pdf, seg, sr, table
from carna.render.words import LANGUAGES, Language

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["DEFAULT", "FORMATS", "Format"]

# What is written unless a person asks for something else: whatever is quick and is sent or read.
DEFAULT = ("json", "html", "csv", "fhir", "sr", "seg")

Files = dict[str, bytes]
Several = tuple[Findings, ...]


@final
@dataclass(frozen=True, slots=True)
class Format:
    """One way to write findings.

    Parameters
    ----------
    name : str
    carries : frozenset of type
        The kinds of item it holds whole; `carna.render.carries.left_out` names the others.
    write : callable(findings, case) -> dict
        Takes the findings on one study; returns the bytes of each file by its name, "/" between folders.
        Findings it can say nothing of give no file.
    priors : bool
        Whether it also takes findings that arrived from elsewhere; what is sent back does not echo them.
    """

    name: str
    carries: frozenset[type]
    write: Callable[[Several, Case], Files]
    priors: bool = False


def _json(said: Several, case: Case) -> Files:
    files: Files = {}
    for one, name in zip(said, _names(said), strict=True):
        text, blobs = to_json(one)
        files[f"{name}/findings.json"] = text.encode()
        files |= {f"{name}/blobs/{digest}.npy": data for digest, data in blobs.items()}
    return files


def _html(said: Several, case: Case) -> Files:
    return {f"report{_suffix(la)}.html": page.to_html(said, case, la).encode() for la in LANGUAGES}


def _png(said: Several, case: Case) -> Files:
    return {f"{name}.png": data for name, data in figures.figures(said, case).items()}


def _csv(said: Several, case: Case) -> Files:
    return {name: text.encode() for name, text in table.to_csv_files(said, case).items()}


def _fhir(said: Several, case: Case) -> Files:
    versions: tuple[fhir.Version, ...] = ("R5", "R4B")
    bundles = {f"fhir-{v.lower()}.json": fhir.to_fhir(said, case, v) for v in versions}
    return {name: json.dumps(b, ensure_ascii=False, indent=1).encode() for name, b in bundles.items()}


def _sr(said: Several, case: Case) -> Files:
    files: Files = {}
    for one, name in _sayable(said, sr.CARRIES):
        # Both hold the same kinds of item: one of them, or each item would come back twice.
        if ecg_sr.wanted(one):
            files[f"{name}.ecg.sr.dcm"] = _bytes(ecg_sr.to_ecg_sr(one, case))
        else:
            files[f"{name}.sr.dcm"] = _bytes(sr.to_sr(one, case))
    return files


def _seg(said: Several, case: Case) -> Files:
    files: Files = {}
    for one, name in _sayable(said, seg.CARRIES):
        made = enumerate(seg.to_seg(one, case), 1)
        files |= {f"{name}.{n}.seg.dcm": _bytes(dataset) for n, dataset in made}
    return files


def _pdf(said: Several, case: Case) -> Files:
    files: Files = {}
    for one, name in zip(said, _names(said), strict=True):
        for la in LANGUAGES:
            # Drawn once: the DICOM object holds the very bytes of the file beside it.
            data = pdf.to_pdf(one, case, la, figures.figures(one, case, la))
            files[f"{name}{_suffix(la)}.pdf"] = data
            files[f"{name}{_suffix(la)}.pdf.dcm"] = _bytes(pdf.encapsulated(data, one, case, la))
    return files


def _suffix(language: Language) -> str:
    return "" if language == "en" else f".{language}"


def _names(said: Several) -> list[str]:
    """Return a file name for each run: its application, numbered from the second of the same on."""
    names: list[str] = []
    for one in said:
        app = one.manifest.application
        again = sum(n == app or n.startswith(f"{app}.") for n in names)
        names.append(f"{app}.{again + 1}" if again else app)
    return names


def _sayable(said: Several, carries: frozenset[type]) -> list[tuple[Findings, str]]:
    named = zip(said, _names(said), strict=True)
    return [(one, name) for one, name in named if any(type(item) in carries for item in one.items)]


def _bytes(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


_EVERYTHING = frozenset({Measurement, Region, Shape, Field, Curve, Events, Statement, Absent})

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        format.name: format
        for format in (
            Format("json", _EVERYTHING, _json, priors=True),
            Format("html", page.CARRIES, _html, priors=True),
            Format("png", figures.CARRIES, _png, priors=True),
            Format("csv", table.CARRIES, _csv, priors=True),
            Format("fhir", fhir.CARRIES, _fhir),
            Format("sr", sr.CARRIES, _sr),
            Format("seg", seg.CARRIES, _seg),
            Format("pdf", pdf.CARRIES, _pdf),
        )
    }
)
