"""Volume files that are no DICOM: NIfTI, MetaImage, NRRD, HDF5, NumPy arrays, and pictures.

A volume with a place becomes an `Image` (or a `Cine`, where its fourth axis is time); without
one it becomes a `Picture` whose frames are its slices. Labels, told by their type and their
name, are no part: they become prior findings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from carna import codes
from carna.case import Problem
from carna.codes import Concept
from carna.doors.arrive import Arrival, Delivery, Door
from carna.doors.files import Blob, derived_uid
from carna.doors.volume import arrays, hdf5, meta, nifti, nrrd, pictures, sidecar
from carna.doors.volume.found import Volume
from carna.errors import InputError
from carna.findings import Evidence, Findings, Input, Manifest, Region, Segment
from carna.progress import Progress
from carna.study import Cine, Image, Origin, Part, Patient, Picture

__all__ = ["DOOR"]

_MAX_LABEL = 255
_HEADERS = (".mhd", ".mha", ".nhdr", ".nrrd")
_VOLUMES = (".npy", ".npz", ".h5", ".hdf5", ".nii", ".mha", ".mhd", ".nrrd", ".nhdr", ".png", ".jpg", ".jpeg")


def _kind(blob: Blob) -> str:
    if nifti.is_nifti(blob):
        return "NIfTI"
    if meta.is_meta(blob):
        return "MetaImage"
    if nrrd.is_nrrd(blob):
        return "NRRD"
    if hdf5.is_hdf5(blob):
        return "HDF5"
    if arrays.is_array(blob):
        return "NumPy"
    if pictures.is_picture(blob):
        return "PNG" if blob.head[:1] == b"\x89" else "JPEG"
    return "beside" if _belongs(blob) else ""


def _belongs(blob: Blob) -> bool:
    """Whether the file is read together with another: values of a header, or a sidecar."""
    near = blob.neighbours
    if blob.suffix == ".json":
        return any(blob.stem + end in near for end in _VOLUMES)
    if blob.suffix == ".img":
        header = near.get(f"{blob.stem}.hdr")
        return header is not None and nifti.is_nifti(header)
    if blob.suffix in (".raw", ".zraw", ".gz", ".bz2", ".txt", ".bin", ".img"):
        named = blob.file.encode()
        headers = (b for b in list(near.values()) if b.suffix in _HEADERS)
        return any(named in b.head and (meta.is_meta(b) or nrrd.is_nrrd(b)) for b in headers)
    return False


def _volumes(blob: Blob, kind: str, side: sidecar.Sidecar) -> list[Volume]:
    match kind:
        case "NIfTI":
            return nifti.read(blob)
        case "MetaImage":
            return meta.read(blob)
        case "NRRD":
            return nrrd.read(blob)
        case "HDF5":
            return hdf5.read(blob, side)
        case "NumPy":
            return arrays.read(blob, side)
        case _:
            return pictures.read(blob)


def _part(volume: Volume, origin: Origin, unit: str) -> Part:
    if volume.grid is None:
        return Picture(origin, volume.values, unit)
    if volume.times_ms is None:
        return Image(origin, volume.grid, volume.values, unit)
    planes = tuple(volume.grid.plane(k) for k in range(volume.grid.shape[0]))
    times = np.repeat(volume.times_ms[:, None], len(planes), axis=1)
    cycle = len(volume.times_ms) * float(volume.times_ms[1] - volume.times_ms[0])
    return Cine(origin, planes, volume.values, times, np.full(len(planes), cycle), unit)


def _meaning(label: int, words: str, file: str) -> Concept:
    if words in codes.ALL:
        return codes.by_name(words)
    return Concept(f"label-{label}", "99CARNA", (words or f"label {label} of {file}")[:64])


def _region(volume: Volume, blob: Blob, meanings: dict[int, str], image: str) -> Region:
    """Return the labels as a region.

    Raises
    ------
    InputError
        If a label is below 0 or above 255, or the labels have no place.
    """
    values = volume.values.array
    low, high = int(values.min()), int(values.max())
    if volume.grid is None or not 0 <= low <= high <= _MAX_LABEL:
        raise InputError(f"labels from {low} to {high}", needed=f"labels from 0 to {_MAX_LABEL} with a place")
    segments = tuple(
        Segment(int(n), _meaning(int(n), meanings.get(int(n), ""), blob.file)) for n in np.unique(values) if n
    )
    return Region(
        id="labels" + (f".{_word(volume.name)}" if volume.name else ""),
        code=codes.REGION_OF_INTEREST,
        evidence=(Evidence(image),) if image else (),
        labels=values.astype(np.uint8),
        planes=tuple(volume.grid.plane(k) for k in range(volume.grid.shape[0])),
        segments=segments,
        times_ms=volume.times_ms,
        frames=() if volume.times_ms is None else tuple(range(len(volume.times_ms))),
    )


def _word(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name.lower())


def _arrivals(blob: Blob, kind: str) -> list[Arrival]:
    side = sidecar.read(blob)
    found = _volumes(blob, kind, side)
    content = blob.uid()
    patient, study = Patient(side.patient), side.study or content
    labels = [v for v in found if v.is_labels]
    images = [v for v in found if not v.is_labels]
    unplaced = [v for v in labels if v.grid is None]
    out: list[Arrival] = []
    uid_of_image = ""
    for volume in images:
        facts: dict[str, Any] = dict(volume.facts)
        notes = [*side.notes, *volume.notes]
        if volume.times_ms is not None:
            notes.append("the frames are taken to fill one RR interval")
        for other in unplaced:
            facts[other.name] = other.values
            notes.append(f"{other.name}: labels without a place, kept in the facts and not as findings")
        origin = Origin(
            uid=derived_uid(content, volume.name),
            modality=side.modality or str(facts.get("Modality", "")).removeprefix("MET_MOD_") or "OT",
            label=blob.file + (f" {volume.name}" if volume.name else ""),
            format=kind,
            notes=tuple(notes),
            facts=facts,
        )
        uid_of_image = uid_of_image or origin.uid
        out.append(
            Arrival(
                patient,
                study,
                _part(volume, origin, side.unit or volume.unit),
                description=blob.file,
                file=blob.name,
            )
        )
    if unplaced and not images:
        raise InputError("labels without a place", needed=f'"spacing_mm" or "affine" in {blob.stem}.json')
    placed = [v for v in labels if v.grid is not None]
    if placed:
        meanings = {**side.labels}
        items = tuple(_region(v, blob, meanings, uid_of_image) for v in placed)
        manifest = Manifest(blob.file, "", inputs=(Input(blob.file, content),))
        findings = Findings(study, patient.id, items, manifest)
        out.append(Arrival(patient, study, findings=findings, description=blob.file, file=blob.name))
    return out


_FIX = "correct the header, or write the volume again as MHA, NRRD or NIfTI, with ITK for instance"


def _read(blobs: Sequence[Blob], progress: Progress) -> Delivery:
    arrivals: list[Arrival] = []
    problems: list[Problem] = []
    for blob in progress.over(blobs, len(blobs), "volumes"):
        kind = _kind(blob)
        if kind == "beside":
            continue
        try:
            arrivals += _arrivals(blob, kind)
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


def _claims(blob: Blob) -> bool:
    return bool(_kind(blob))


DOOR = Door("volume", _claims, _read)
