"""Regions as DICOM segmentations: one object for each region and each moment.

Every plane keeps its own position, so stacks that are oblique, gapped or turned against each other come
back where they were. Each frame refers to the source image of that plane at that moment; where the
labels lie on planes of their own, they refer to the series. The moments of a region are objects of
one series; each says in words and in numbers when it is. There are two ways of storing (PS3.3 C.8.20):

BINARY    one bit a voxel and a frame for each segment; every PACS reads it
LABELMAP  one byte a voxel, all segments in a frame, JPEG-LS; small and fast, newer systems only

Frames without any voxel are left out. highdicom reads these objects in the tests, but does not write
them: it stamps them with the clock and with UIDs of chance, wants the header of every source image, and
cannot refer to one phase of a multi-frame cine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, assert_never

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.codes import Concept
from carna.errors import RenderError
from carna.findings import (
    Absent,
    Curve,
    Events,
    Field,
    Findings,
    Item,
    Measurement,
    Region,
    Shape,
    Statement,
)
from carna.render.dicom_common import Reference, begin, coded, examined, frame_references, series_items
from carna.space import Grid
from carna.study import Cine, Ecg, Geometry, Image, Part, Picture, Planes, Record, Slide, Study

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from carna.case import Case

__all__ = ["CARRIES", "Kind", "to_seg"]

CARRIES: frozenset[type] = frozenset({Region})
Kind = Literal["BINARY", "LABELMAP"]
SOP_CLASS = {"BINARY": "1.2.840.10008.5.1.4.1.1.66.4", "LABELMAP": "1.2.840.10008.5.1.4.1.1.66.7"}
_CATEGORY = {
    codes.BLOOD: codes.BODY_SUBSTANCE,
    codes.LV_MYOCARDIUM: codes.TISSUE,
    codes.SCAR: codes.MORPHOLOGICALLY_ABNORMAL,
    codes.GREY_ZONE: codes.MORPHOLOGICALLY_ABNORMAL,
}
_BACKGROUND = Concept("125040", "DCM", "Background")
_NETWORK = Concept("123110", "DCM", "Artificial Intelligence")
_DERIVATION = Concept("113076", "DCM", "Segmentation")
_PURPOSE = Concept("121322", "DCM", "Source Image for Image Processing Operation")

Labels = npt.NDArray[np.uint8]


def to_seg(findings: Findings, case: Case, *, kind: Kind = "BINARY") -> list[Dataset]:
    """Return each region of some findings as DICOM segmentations, one for each moment it has.

    Parameters
    ----------
    findings : Findings
    case : Case
        Holds the study the findings are on, with the images the labels were drawn on.
    kind : "BINARY" or "LABELMAP"
        What the destination reads.

    Returns
    -------
    list of Dataset
        With file meta information, ready for ``save_as``; empty without regions. ``left_out(findings,
        CARRIES)`` names the items they do not hold.

    Raises
    ------
    RenderError
        If the images a region lies on did not come as DICOM, so that nothing can be referred to.
    """
    study = examined(findings, case)
    objects: list[Dataset] = []
    for item in findings.items:
        region = _region(item)
        if region is None:
            continue
        part = _part(region, findings, study)
        moments = region.labels if region.labels.ndim == 4 else region.labels[None]
        template = begin(
            findings, case, sop_class=SOP_CLASS[kind], modality="SEG", what=f"seg-{kind}", number=9002
        )
        objects += [
            _segmentation(template, findings, region, part, labels, moment, kind, len(objects) + moment + 1)
            for moment, labels in enumerate(moments)
        ]
    return objects


def _region(item: Item) -> Region | None:
    match item:
        case Region():
            return item
        case Measurement() | Shape() | Field() | Curve() | Events() | Statement() | Absent():
            return None
        case _:
            assert_never(item)


def _part(region: Region, findings: Findings, study: Study) -> Part:
    """Return the part a region was drawn on: its evidence says so, else the run's inputs."""
    named = [e.part for e in region.evidence] + [i.uid for i in findings.manifest.inputs]
    for uid in named:
        part = study.part(uid)
        if part is not None and any(s.sop_class for s in part.origin.sources):
            return part
    raise RenderError(
        f"the region {region.id} lies on no DICOM images",
        needed="images that came as DICOM, which a segmentation refers to",
        fix="keep these labels as findings.json, or read the study from DICOM",
    )


def _segmentation(
    template: Dataset,
    findings: Findings,
    region: Region,
    part: Part,
    labels: Labels,
    moment: int,
    kind: Kind,
    number: int,
) -> Dataset:
    """Return the segmentation of one moment: labels (k, r, c)."""
    from copy import deepcopy

    out = deepcopy(template)
    out.SOPInstanceUID = findings.derived_uid(str(template.SOPInstanceUID), region.id, str(moment))
    out.file_meta.MediaStorageSOPInstanceUID = out.SOPInstanceUID
    out.InstanceNumber = number
    frame = region.frames[moment] if region.frames else None
    sources = _sources(region.planes, part, frame)
    # Segments are numbered from 1 without gaps, whatever the labels were.
    numbers = np.zeros(256, np.uint8)
    for n, segment in enumerate(region.segments, 1):
        numbers[segment.label] = n
    numbered = numbers[labels]
    shown = _frames(numbered, len(region.segments), kind)
    _describe(out, findings, region, moment, kind)
    _place(out, findings, region, shown, sources, kind)
    _when(out, frame, _time_ms(region, moment))
    used = [s for of_plane in sources for s in of_plane] or [
        Reference(s.sop_class, s.uid, s.series or part.origin.uid) for s in part.origin.sources if s.sop_class
    ]
    out.ReferencedSeriesSequence = series_items(used)
    for series in out.ReferencedSeriesSequence:
        series.ReferencedInstanceSequence = series.ReferencedSOPSequence
        del series.ReferencedSOPSequence
    _pixels(out, numbered, shown, kind)
    return out


def _frames(numbered: Labels, segments: int, kind: Kind) -> list[tuple[int, int]]:
    """Return (segment, plane) of each frame that holds a voxel; segment 0 for a label map.

    A moment without any voxel keeps its empty frames: a segmentation has at least one.
    """
    rows = numbered.reshape(len(numbered), -1)
    if kind == "LABELMAP":
        return [(0, int(k)) for k in np.flatnonzero(rows.any(axis=1))] or [(0, k) for k in range(len(rows))]
    present = np.array([np.bincount(row, minlength=segments + 1) > 0 for row in rows])
    every = [(n, k) for n in range(1, segments + 1) for k in range(len(rows))]
    return [(n, k) for n, k in every if present[k, n]] or every


def _time_ms(region: Region, moment: int) -> float | None:
    """Return when a moment is, ms after the R wave, where that is known."""
    times = np.atleast_1d(region.times_ms) if region.times_ms is not None else np.empty(0)
    return float(times[moment]) if moment < len(times) else None


def _describe(out: Dataset, findings: Findings, region: Region, moment: int, kind: Kind) -> None:
    """Fill in the Segmentation Image module: what the segments are and who drew them."""
    from pydicom.dataset import Dataset

    what = region.code.meaning
    time_ms = _time_ms(region, moment)
    if time_ms is not None:
        what += f" at {time_ms:.0f} ms"
    elif region.frames:
        what += f" in frame {region.frames[moment] + 1}"
    out.ImageType = ["DERIVED", "PRIMARY"]
    out.ContentLabel = "SEGMENTATION"
    out.ContentDescription = what[:64]
    out.ContentCreatorName = findings.review.author if findings.review else ""
    out.SegmentationType = kind
    out.SegmentsOverlap = "NO"
    out.LossyImageCompression = "00"
    who = Dataset()
    who.AlgorithmFamilyCodeSequence = [coded(_NETWORK)]
    who.AlgorithmName = findings.manifest.application
    who.AlgorithmVersion = findings.manifest.version
    segments = []
    for n, segment in enumerate(region.segments, 1):
        item = Dataset()
        item.SegmentNumber = n
        item.SegmentLabel = segment.code.meaning[:64]
        category = _CATEGORY.get(segment.code, codes.ANATOMICAL_STRUCTURE)
        item.SegmentedPropertyCategoryCodeSequence = [coded(category)]
        item.SegmentedPropertyTypeCodeSequence = [coded(segment.code)]
        item.SegmentAlgorithmType = "SEMIAUTOMATIC" if findings.review else "AUTOMATIC"
        item.SegmentAlgorithmName = findings.manifest.application[:64]
        if findings.manifest.models:
            item.SegmentationAlgorithmIdentificationSequence = [who]
        item.TrackingID = f"{region.id}.{segment.label}"
        item.TrackingUID = findings.derived_uid(region.id, str(segment.label))
        segments.append(item)
    if kind == "LABELMAP":
        out.PixelPaddingValue = 0
        ground = Dataset()
        ground.SegmentNumber = 0
        ground.SegmentLabel = "Background"
        ground.SegmentedPropertyCategoryCodeSequence = [coded(_BACKGROUND)]
        ground.SegmentedPropertyTypeCodeSequence = [coded(_BACKGROUND)]
        ground.SegmentAlgorithmType = segments[0].SegmentAlgorithmType
        ground.SegmentAlgorithmName = segments[0].SegmentAlgorithmName
        segments.insert(0, ground)
    out.SegmentSequence = segments


def _sources(planes: tuple[Grid, ...], part: Part, frame: int | None) -> list[tuple[Reference, ...]]:
    """Return the source images of each plane: of one moment, or of all where a region has none."""
    match part:
        case Image():
            own = tuple(part.grid.plane(k) for k in range(part.grid.shape[0]))
        case Planes() | Cine():
            own = part.planes
        case Picture() | Ecg() | Geometry() | Slide() | Record():
            own = ()
        case _:
            assert_never(part)
    every = frame_references(part)
    if not own or not every:
        return [()] * len(planes)
    moments = range(len(every) // len(own)) if isinstance(part, Cine) and frame is None else (frame or 0,)
    origins = np.array([plane.origin for plane in own])
    found: list[tuple[Reference, ...]] = []
    for plane in planes:
        distance = np.square(origins - plane.origin).sum(axis=1)
        # Planes of one place, as in a list of single frames, are told apart by their moment.
        near = np.flatnonzero(distance < distance.min() + 1e-6)
        k = int(near[frame if isinstance(part, Planes) and frame is not None and frame < len(near) else 0])
        at = [len(own) * t + k for t in moments] if isinstance(part, Cine) else [k]
        found.append(tuple(every[n] for n in at) if own[k].same(plane) else ())
    return found


def _place(
    out: Dataset,
    findings: Findings,
    region: Region,
    shown: list[tuple[int, int]],
    sources: list[tuple[Reference, ...]],
    kind: Kind,
) -> None:
    """Fill in frame of reference, dimensions and functional groups."""
    from pydicom.dataset import Dataset

    planes = region.planes
    out.FrameOfReferenceUID = planes[0].frame or findings.derived_uid("frame of reference")
    out.PositionReferenceIndicator = ""
    _dimensions(out, findings.derived_uid(str(out.SOPInstanceUID), "dimensions"), kind)
    measures = [_measures(plane) for plane in planes]
    turned = [_of(ImageOrientationPatient=_ds(plane.orientation)) for plane in planes]
    positions = [_of(ImagePositionPatient=_ds(plane.origin)) for plane in planes]
    derivations = [_derivation(of_plane) if of_plane else None for of_plane in sources]
    shared = Dataset()
    same_measures, same_turn = all(m == measures[0] for m in measures), all(t == turned[0] for t in turned)
    if same_measures:
        shared.PixelMeasuresSequence = [measures[0]]
    if same_turn:
        shared.PlaneOrientationSequence = [turned[0]]
    out.SharedFunctionalGroupsSequence = [shared]
    rank = {k: n for n, k in enumerate(sorted({k for _, k in shown}), 1)}
    frames = []
    for segment, k in shown:
        item = Dataset()
        place = [rank[k]] if kind == "LABELMAP" else [segment, rank[k]]
        derivation = derivations[k]
        if derivation is not None:
            item.DerivationImageSequence = [derivation]
        item.FrameContentSequence = [_of(DimensionIndexValues=place)]
        item.PlanePositionSequence = [positions[k]]
        if not same_turn:
            item.PlaneOrientationSequence = [turned[k]]
        if not same_measures:
            item.PixelMeasuresSequence = [measures[k]]
        if kind == "BINARY":
            item.SegmentIdentificationSequence = [_of(ReferencedSegmentNumber=segment)]
        frames.append(item)
    out.PerFrameFunctionalGroupsSequence = frames


def _dimensions(out: Dataset, uid: str, kind: Kind) -> None:
    """Say by what the frames are indexed: segment and position, each counted from 1 in this object."""
    from pydicom.dataset import Dataset

    organization = Dataset()
    organization.DimensionOrganizationUID = uid
    out.DimensionOrganizationSequence = [organization]
    indices = [(0x0020_0032, 0x0020_9113, "Image Position (Patient)")]
    if kind == "BINARY":
        indices.insert(0, (0x0062_000B, 0x0062_000A, "Referenced Segment Number"))
    out.DimensionIndexSequence = [
        _of(
            DimensionOrganizationUID=uid,
            DimensionIndexPointer=pointer,
            FunctionalGroupPointer=group,
            DimensionDescriptionLabel=label,
        )
        for pointer, group, label in indices
    ]


def _when(out: Dataset, frame: int | None, time_ms: float | None) -> None:
    """Say in every frame which moment of the beat it is: the frame of the source and its trigger delay."""
    for group in out.PerFrameFunctionalGroupsSequence:
        if frame is not None:
            group.FrameContentSequence[0].TemporalPositionIndex = frame + 1
        if time_ms is not None:
            group.CardiacSynchronizationSequence = [_of(NominalCardiacTriggerDelayTime=time_ms)]


def _measures(plane: Grid) -> Dataset:
    thickness, rows, columns = plane.spacing_mm
    return _of(SliceThickness=_ds((thickness,))[0], PixelSpacing=_ds((rows, columns)))


def _derivation(sources: tuple[Reference, ...]) -> Dataset:
    stored = []
    for source in sources:
        one = _of(ReferencedSOPClassUID=source.sop_class, ReferencedSOPInstanceUID=source.uid)
        if source.frame:
            one.ReferencedFrameNumber = source.frame
        one.PurposeOfReferenceCodeSequence = [coded(_PURPOSE)]
        one.SpatialLocationsPreserved = "YES"
        stored.append(one)
    return _of(SourceImageSequence=stored, DerivationCodeSequence=[coded(_DERIVATION)])


def _of(**attributes: Any) -> Dataset:
    """Return a data set of some attributes, by keyword."""
    from pydicom.dataset import Dataset

    out = Dataset()
    for keyword, value in attributes.items():
        setattr(out, keyword, value)
    return out


def _ds(values: npt.ArrayLike) -> list[str]:
    """Return numbers as decimal strings of at most 16 characters."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(float(v)) for v in np.atleast_1d(np.asarray(values, float))]


def _pixels(out: Dataset, numbered: Labels, shown: list[tuple[int, int]], kind: Kind) -> None:
    """Fill in the Image Pixel module: bits packed from the least significant one, or JPEG-LS bytes."""
    bits = 1 if kind == "BINARY" else 8
    out.SamplesPerPixel = 1
    out.PhotometricInterpretation = "MONOCHROME2"
    out.Rows, out.Columns = numbered.shape[1:]
    out.NumberOfFrames = len(shown)
    out.BitsAllocated = out.BitsStored = bits
    out.HighBit = bits - 1
    out.PixelRepresentation = 0
    if kind == "LABELMAP":
        from pydicom.encaps import encapsulate
        from pydicom.pixels import get_encoder
        from pydicom.uid import JPEGLSLossless

        raw = np.ascontiguousarray(numbered[[k for _, k in shown]])
        encoder = get_encoder(JPEGLSLossless)
        out.file_meta.TransferSyntaxUID = JPEGLSLossless
        how = {
            "rows": out.Rows,
            "columns": out.Columns,
            "samples_per_pixel": 1,
            "bits_allocated": 8,
            "bits_stored": 8,
            "pixel_representation": 0,
            "photometric_interpretation": "MONOCHROME2",
            "number_of_frames": 1,
        }
        out.PixelData = encapsulate([encoder.encode(frame, **how) for frame in raw])
        out["PixelData"].VR = "OB"
        out["PixelData"].is_undefined_length = True
        return
    # Frames follow each other bit by bit; eight of them always end on a byte.
    packed = bytearray()
    for start in range(0, len(shown), 8):
        block = np.stack([numbered[k] == n for n, k in shown[start : start + 8]])
        packed += np.packbits(block.ravel(), bitorder="little").tobytes()
    out.PixelData = bytes(packed + b"\0" * (len(packed) % 2))
    out["PixelData"].VR = "OB"
