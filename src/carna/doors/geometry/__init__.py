"""Geometry files: surfaces, meshes and vessel trees, with the values on them.

Read: VTK legacy and XML (VTP, VTU), STL, PLY, centreline tables (CSV) and openCARP meshes.
These formats state neither a unit nor a patient frame. Coordinates are taken as LPS
millimetres, the extent is noted, and an extent that no organ has is pointed out; nothing is
scaled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from carna.case import Problem
from carna.doors.arrive import Arrival, Delivery, Door
from carna.doors.files import Blob, derived_uid
from carna.doors.geometry import centreline, ply, stl, vtk_legacy, vtk_xml
from carna.doors.geometry.cells import Cells, Made, shapes
from carna.doors.geometry.gltf import write_glb as write_glb
from carna.doors.geometry.write import write_ply as write_ply
from carna.doors.geometry.write import write_stl as write_stl
from carna.doors.geometry.write import write_vtp as write_vtp
from carna.doors.geometry.write import write_vtu as write_vtu
from carna.errors import InputError
from carna.progress import Progress
from carna.space import Floats
from carna.study import Geometry, Origin, Patient

__all__ = ["DOOR", "write_glb", "write_ply", "write_stl", "write_vtp", "write_vtu"]

# No organ is smaller, no patient larger.
_SMALLEST_MM, _LARGEST_MM = 2.0, 2000.0
_STATED = re.compile(r"SPACE=(LPS|RAS)", re.IGNORECASE)


def _kind(blob: Blob) -> str:
    """Return the format by the first bytes and the neighbours, "" if it's none of this door's."""
    head, near = blob.head, blob.neighbours
    if head[:2] == b"# " and head[:80].lower().startswith(b"# vtk datafile"):
        return "VTK"
    if b"<VTKFile" in head:
        return "VTK XML"
    if head[:4] in (b"ply\n", b"ply\r"):
        return "PLY"
    if blob.suffix == ".stl" or (head.lstrip()[:6] == b"solid " and b"facet" in head):
        return "STL"
    if blob.suffix == ".csv" and centreline.columns(head.split(b"\n", 1)[0]):
        return "centreline"
    if blob.suffix == ".elem" or (blob.suffix in (".pts", ".lon") and f"{blob.stem}.elem" in near):
        return "openCARP"
    return ""


def _cells(blob: Blob, kind: str) -> Cells:
    match kind:
        case "VTK":
            return vtk_legacy.read(blob.load())
        case "VTK XML":
            return vtk_xml.read(blob.load())
        case "PLY":
            return ply.read(blob.load())
        case "STL":
            return stl.read(blob.load())
        case "centreline":
            return centreline.read_table(blob.load())
        case _:
            points, fibres = (blob.neighbours.get(blob.stem + end) for end in (".pts", ".lon"))
            if points is None:
                raise InputError(f"{blob.file} without its points", needed=f"{blob.stem}.pts beside it")
            return centreline.read_opencarp(points.load(), blob.load(), fibres.load() if fibres else None)


def _place_notes(points: Floats, kind: str, header: str) -> tuple[str, ...]:
    """Say what is known of unit and frame: the extent, and whether a heart could have it."""
    size = np.ptp(points, axis=0)
    extent = " × ".join(f"{length:.4g}" for length in size)
    known = kind == "centreline" or "UNIT=MM" in header.upper()
    unit = "the file states its unit" if known else "no unit in the file, read as mm"
    notes = [f"extent {extent} mm ({unit})"]
    largest = float(size.max())
    if len(points) > 1 and not _SMALLEST_MM <= largest <= _LARGEST_MM:
        guess = "m" if largest < _SMALLEST_MM else "µm"
        notes.append(
            f"an extent of {largest:.4g} mm is none of an organ: the unit may be {guess}; not scaled"
        )
    if kind == "openCARP":
        notes.append("openCARP itself computes in µm")
    stated = _STATED.search(header)
    notes.append(
        f"the header states {stated[1].upper()}"
        if stated
        else "the frame is not stated: coordinates taken as LPS"
    )
    return tuple(notes)


def _arrival(blob: Blob, study: str, kind: str, cells: Cells, made: Made) -> Arrival:
    origin = Origin(
        uid=derived_uid(study, made.kind),
        modality="M3D",
        label=blob.file,
        format=kind,
        notes=(*cells.notes, *made.notes, *_place_notes(made.shape.points, kind, cells.header)),
        facts=dict(cells.facts) | ({"Title": cells.header} if cells.header else {}),
    )
    part = Geometry(origin, made.shape, made.fields, made.cell_fields)
    return Arrival(Patient(""), study, part, description=blob.file, file=blob.name)


_FIX = "write the geometry again with the program it came from, as VTK, VTP, PLY or STL"


def _claims(blob: Blob) -> bool:
    return bool(_kind(blob))


def _read(blobs: Sequence[Blob], progress: Progress) -> Delivery:
    arrivals: list[Arrival] = []
    problems: list[Problem] = []
    for blob in progress.over(blobs, len(blobs), "geometry"):
        kind = _kind(blob)
        if kind == "openCARP" and blob.suffix != ".elem":
            continue  # read together with its .elem
        try:
            cells = _cells(blob, kind)
            study = blob.uid()
            arrivals += [_arrival(blob, study, kind, cells, made) for made in shapes(cells)]
        except InputError as error:
            problems.append(Problem(blob.name, error.found, error.needed, error.fix or _FIX))
        except OSError as error:
            problems.append(
                Problem(
                    blob.name,
                    f"it can't be read: {error}",
                    "a readable file",
                    "give yourself the right to read it",
                )
            )
    return Delivery(tuple(arrivals), tuple(problems))


DOOR = Door("geometry", _claims, _read)
