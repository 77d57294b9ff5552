"""Geometry of vessels: from files, label volumes and surfaces to a network, and what narrows it.

::

    centrelines   clean, resample and smooth lines as programs write them
    checks        prepare: clean + root + refuse what can't be vessels
    labels        a tree from a labelled volume, by rays at sub-voxel precision
    surface       a tree from a surface, open or closed
    stenosis      reference radius, lesions, the tree without them
    names         vessel names, coronary segments, Medina classes
    render        a tree as labels or as a distance field
"""

from carna.flow.geometry.centrelines import Cleaned, clean, resample, smooth_radius
from carna.flow.geometry.checks import check, fits, poor, prepare, radius_field
from carna.flow.geometry.labels import Traced, tree_from_labels
from carna.flow.geometry.names import Bifurcation, bifurcations, named
from carna.flow.geometry.render import around, distance
from carna.flow.geometry.stenosis import Lesion, find_lesions, reference_radius, without
from carna.flow.geometry.surface import openings, tree_from_surface

__all__ = [
    "Bifurcation",
    "Cleaned",
    "Lesion",
    "Traced",
    "around",
    "bifurcations",
    "check",
    "clean",
    "distance",
    "find_lesions",
    "fits",
    "named",
    "openings",
    "poor",
    "prepare",
    "radius_field",
    "reference_radius",
    "resample",
    "smooth_radius",
    "tree_from_labels",
    "tree_from_surface",
    "without",
]
