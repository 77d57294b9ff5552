"""From what a study holds of the vessels, labels, centre lines or a surface, to a network to be judged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, final

from carna.errors import InputError
from carna.findings import Evidence, Region, Shape
from carna.flow import Network
from carna.flow.geometry import (
    Traced,
    fits,
    poor,
    prepare,
    radius_field,
    tree_from_labels,
    tree_from_surface,
)
from carna.space import Mesh, Surface, VesselTree, stack
from carna.study import Geometry

THIN: Final = 0.5  # of a tree from labels may be thinner than 1.5 voxels in radius


@final
@dataclass(frozen=True, slots=True)
class Sizes:
    """How large arteries of a kind are: diameter at the inlet and largest extent, mm."""

    what: str
    inlet_mm: tuple[float, float]
    extent_mm: tuple[float, float]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Lumen:
    """The vessels as a network, what was mended or noted, and where they were seen.

    ``poor`` says why lesions can't be told in them, ``placed`` whether their frame is the patient's, ``side``
    which side their label names.
    """

    vessels: Network
    notes: tuple[str, ...]
    poor: str
    placed: bool
    side: Literal["left", "right"] | None
    seen: tuple[Evidence, ...]
    time: str


def trace(source: Region | Shape | Geometry, sizes: Sizes) -> Lumen:
    """Return the vessels of a region, a shape or a geometry.

    Raises
    ------
    InputError
        If they can't be vessels of these sizes; the sentence names the evidence.
    """
    traced = _traced(source)
    tree = traced.tree
    radius = None
    if tree.radius_mm is None and isinstance(source, Geometry):
        # Some programs write radii under a name that says nothing.
        radius = radius_field(dict(source.fields), len(tree.points))
    vessels, mended = prepare(tree, radius_mm=radius)
    fits(vessels, sizes.what, inlet_mm=sizes.inlet_mm, extent_mm=sizes.extent_mm)
    bad = poor(vessels)
    if traced.thin > THIN:
        bad = f"{traced.thin:.0%} of the tree is thinner than 1.5 voxels in radius: its radii are guessed"
    notes = (*traced.notes, *mended)
    if not isinstance(source, Geometry):
        return Lumen(vessels, notes, bad, True, None, source.evidence, "")
    origin = source.origin
    placed = not any("frame is not stated" in note for note in origin.notes)
    seen = (Evidence(origin.uid),)
    return Lumen(vessels, notes, bad, placed, _side(origin.label.lower()), seen, origin.time)


def _traced(source: Region | Shape | Geometry) -> Traced:
    if isinstance(source, Region):
        grid = stack(source.planes)
        if source.labels.ndim == 4 or grid is None:
            raise InputError(
                f"labels on {len(source.planes)} planes that are no volume",
                needed="one volume of equidistant planes at one time",
            )
        return tree_from_labels(source.labels, grid)
    match source.shape:
        case VesselTree():
            return Traced(source.shape, ())
        case Surface():
            return tree_from_surface(source.shape)
        case Mesh():
            raise InputError("a volume mesh", needed="centre lines with radii, a surface, or labels")


def _side(label: str) -> Literal["left", "right"] | None:
    left = re.search(r"(?<![a-z])(left|lca|lad|lcx)(?![a-z])", label)
    right = re.search(r"(?<![a-z])(right|rca)(?![a-z])", label)
    if bool(left) == bool(right):
        return None
    return "left" if left else "right"
