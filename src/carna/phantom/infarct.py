"""A virtual patient with an old infarct: a contrast image of both ventricles, and its labels as findings.

The heart is `carna.heart.ventricles`, the infarct an ellipse of scar in the middle of the anterior wall with
a rim of grey zone and, unless left out, one channel of grey zone through it. The labels are exact, so that
where the channel runs is known to the voxel. The picture is scenery: blood, muscle, grey zone and scar at the
brightness that late enhancement gives them, and noise.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.case import Case
from carna.findings import Evidence, Findings, Manifest, Region, Segment
from carna.findings.model import NAMESPACE
from carna.heart.anatomy import LV_CAVITY, LV_WALL, RV_CAVITY, RV_WALL, SEPTUM, Anatomy
from carna.heart.scar import GREY, SCAR, Infarct
from carna.heart.ventricles import ventricles
from carna.phantom.study import NAME, TIME
from carna.space import Floats, Grid
from carna.study import Image, Lazy, Origin, Patient, Study

__all__ = ["LABELS", "VirtualInfarct", "scarred", "virtual_infarct", "virtual_scar"]

SPACING_MM = 2.5
# A right wall of two voxels at 2.5 mm.
SHAPE = Anatomy(rv_wall_mm=5.0)
INFARCT = Infarct(segment=7, around_mm=75.0, along_mm=40.0, rim_mm=0.0, channel_mm=7.5, channel_deg=0.0)
LABELS = (
    Segment(1, codes.LV_MYOCARDIUM),
    Segment(2, codes.RV_MYOCARDIUM),
    Segment(3, codes.LV_CAVITY),
    Segment(4, codes.RV_CAVITY),
    Segment(5, codes.GREY_ZONE),
    Segment(6, codes.SCAR),
)
_BRIGHT = np.array([60.0, 90.0, 90.0, 480.0, 480.0, 380.0, 620.0])  # by label; 0 is what lies around
_NOISE = 25.0


@dataclass(frozen=True, slots=True, eq=False)
class VirtualInfarct:
    """Labels with their truth.

    Attributes
    ----------
    grid : Grid
    labels : (k, r, c) uint8
        As in `LABELS`.
    channel_lps_mm : (3,) float
        Middle of the channel through the scar; without a channel that of the scar.
    """

    grid: Grid
    labels: npt.NDArray[np.uint8]
    channel_lps_mm: Floats


def virtual_infarct(
    *, channel_mm: float = INFARCT.channel_mm, rim_mm: float = INFARCT.rim_mm, spacing_mm: float = SPACING_MM
) -> VirtualInfarct:
    """Return a virtual heart with an anterior infarct, labelled exactly.

    Parameters
    ----------
    channel_mm : float
        Width of the channel through the scar, 0 (none) to 20 mm.
    rim_mm : float
        Width of the grey zone around it, 0 to 15 mm.
    spacing_mm : float
        Of the labels, 0.5 to 3 mm.

    Raises
    ------
    InputError
        A value outside its range.
    """
    infarct = Infarct(
        INFARCT.segment, INFARCT.around_mm, INFARCT.along_mm, INFARCT.transmural, rim_mm, channel_mm
    )
    heart = ventricles(SHAPE, spacing_mm=spacing_mm, infarcts=(infarct,))
    of_wall = {LV_WALL: 1, SEPTUM: 1, RV_WALL: 2, LV_CAVITY: 3, RV_CAVITY: 4}
    labels = np.zeros(heart.grid.shape, np.uint8)
    for ours, label in of_wall.items():
        labels[heart.labels == ours] = label
    region = heart.spread(heart.region)
    labels[region == GREY], labels[region == SCAR] = 5, 6
    solid = ventricles(
        SHAPE, grid=heart.grid, infarcts=(Infarct(INFARCT.segment, INFARCT.around_mm, INFARCT.along_mm),)
    )
    core = solid.spread(solid.region) == SCAR
    middle = np.argwhere(core & (region == GREY)) if channel_mm else np.argwhere(core)
    return VirtualInfarct(heart.grid, labels, heart.grid.to_world(middle.mean(axis=0)))


def scarred(made: VirtualInfarct) -> Case:
    """Return labels as a patient: a contrast image of them, and the labels as findings that arrived."""
    who = Patient("PHANTOM-SCAR", "CARNA", NAME, "1948-06-15", "male", synthetic=True)
    origin = Origin(
        _uid("scar"), "MR", "late enhancement, 3D", 1, TIME, "Carna phantom", "phantom",
        notes=("virtual patient",),
    )  # fmt: skip
    grid = Grid(made.grid.shape, made.grid.affine, _uid("frame"))
    noise = np.random.default_rng(5).normal(0.0, _NOISE, made.labels.shape)
    picture = np.clip(_BRIGHT[made.labels] + noise, 0, None).astype(np.uint16)
    study = Study(
        _uid("scar study"), who, TIME, "Virtual scar", "V000005",
        (Image(origin, grid, Lazy.of(picture)),),
    )  # fmt: skip
    region = Region(
        id="ventricles",
        code=codes.VENTRICLES,
        site=codes.VENTRICLES,
        labels=made.labels,
        planes=tuple(grid.plane(k) for k in range(grid.shape[0])),
        segments=tuple(s for s in LABELS if (made.labels == s.label).any()),
        evidence=(Evidence(origin.uid, planes=tuple(range(grid.shape[0]))),),
    )
    said = Findings(
        study=study.uid,
        patient=who.id,
        items=(region,),
        manifest=Manifest("phantom", "1.0"),
        synthetic=True,
    )
    return Case(who, (study,), (said,))


@cache
def virtual_scar() -> Case:
    """Return the virtual patient with an old infarct that the contract suite and the docs use."""
    return scarred(virtual_infarct())


def _uid(name: str) -> str:
    return f"2.25.{uuid.uuid5(NAMESPACE, f'phantom/infarct/{name}').int}"
