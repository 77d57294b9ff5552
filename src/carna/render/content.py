"""Content items of a structured report (PS3.3 C.17.3): one function for each value type.

Each returns a data set with its value, its concept name and its relation to the item it is put
in; `with_children` puts items below it. highdicom 0.28 can neither write nor read a number that is
absent, and can't read a waveform reference; a heart needs both, so the tree is built here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from carna.codes import Concept
from carna.render.dicom_common import Reference, coded, unit

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["absent", "code", "composite", "container", "moment", "number", "person", "text", "times", "uid"]

Relation = Literal[
    "CONTAINS",
    "HAS CONCEPT MOD",
    "HAS OBS CONTEXT",
    "HAS PROPERTIES",
    "HAS ACQ CONTEXT",
    "INFERRED FROM",
    "SELECTED FROM",
]


def container(
    name: Concept, children: Iterable[Dataset], *, template: str = "", relation: Relation | Literal[""] = ""
) -> Dataset:
    """Return a heading with items below it; the root has no relation."""
    from pydicom.dataset import Dataset

    item = _item("CONTAINER", name, relation)
    item.ContinuityOfContent = "SEPARATE"
    if template:
        identified = Dataset()
        identified.MappingResource = "DCMR"
        identified.TemplateIdentifier = template
        item.ContentTemplateSequence = [identified]
    item.ContentSequence = list(children)
    return item


def code(name: Concept, value: Concept, relation: Relation, children: Sequence[Dataset] = ()) -> Dataset:
    """Return a coded answer to a coded question."""
    item = _item("CODE", name, relation)
    item.ConceptCodeSequence = [coded(value)]
    return with_children(item, children)


def text(name: Concept, value: str, relation: Relation) -> Dataset:
    """Return a text."""
    item = _item("TEXT", name, relation)
    item.TextValue = value
    return item


def person(name: Concept, value: str, relation: Relation) -> Dataset:
    """Return the name of a person."""
    item = _item("PNAME", name, relation)
    item.PersonName = value
    return item


def uid(name: Concept, value: str, relation: Relation) -> Dataset:
    """Return a unique identifier."""
    item = _item("UIDREF", name, relation)
    item.UID = value
    return item


def moment(name: Concept, stamp: str, relation: Relation) -> Dataset:
    """Return a date and time, given as digits from the year on."""
    item = _item("DATETIME", name, relation)
    item.DateTime = stamp
    return item


def number(
    name: Concept, value: float, ucum: str, relation: Relation, children: Sequence[Dataset] = ()
) -> Dataset:
    """Return a number with its unit: 16 characters for every reader, and beside them the exact double."""
    from pydicom.dataset import Dataset
    from pydicom.valuerep import format_number_as_ds

    item = _item("NUM", name, relation)
    measured = Dataset()
    measured.FloatingPointValue = float(value)
    measured.NumericValue = format_number_as_ds(float(value))
    measured.MeasurementUnitsCodeSequence = [unit(ucum)]
    item.MeasuredValueSequence = [measured]
    return with_children(item, children)


def absent(name: Concept, reason: Concept, relation: Relation, children: Sequence[Dataset] = ()) -> Dataset:
    """Return a number that is not there, and the coded reason (CID 42): no value, never 0."""
    item = _item("NUM", name, relation)
    item.MeasuredValueSequence = []
    item.NumericValueQualifierCodeSequence = [coded(reason)]
    return with_children(item, children)


def composite(
    kind: Literal["IMAGE", "WAVEFORM", "COMPOSITE"],
    name: Concept | None,
    reference: Reference,
    frames: Sequence[int],
    relation: Relation,
) -> Dataset:
    """Return a reference to a stored object, and to frames of it from 1; no frames means all."""
    from pydicom.dataset import Dataset

    item = _item(kind, name, relation)
    stored = Dataset()
    stored.ReferencedSOPClassUID = reference.sop_class
    stored.ReferencedSOPInstanceUID = reference.uid
    if frames:
        stored.ReferencedFrameNumber = list(frames)
    item.ReferencedSOPSequence = [stored]
    return item


def times(name: Concept, start_s: float, stop_s: float, waveform: Dataset, relation: Relation) -> Dataset:
    """Return a stretch of a waveform, s from its start."""
    from pydicom.valuerep import format_number_as_ds

    item = _item("TCOORD", name, relation)
    item.TemporalRangeType = "SEGMENT"
    item.ReferencedTimeOffsets = [format_number_as_ds(float(s)) for s in (start_s, stop_s)]
    return with_children(item, [waveform])


def with_children(item: Dataset, children: Sequence[Dataset]) -> Dataset:
    """Put items below an item, if there are any, and return it."""
    if children:
        item.ContentSequence = list(children)
    return item


def _item(value_type: str, name: Concept | None, relation: str) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    if relation:
        item.RelationshipType = relation
    item.ValueType = value_type
    if name is not None:
        item.ConceptNameCodeSequence = [coded(name)]
    return item
