"""Late enhancement of a virtual heart with an infarct: the picture, and how much scar is in every voxel.

The infarct is `carna.heart.scar.Infarct`, laid into the wall of `carna.phantom.heart.Heart` at end-diastole
and carried along to the phase of the picture. Its core is an ellipse on the wall, from the endocardium
to a share of the wall; its grey zone the same ellipse and depth wider by the rim; microvascular obstruction
the inner part of the core, which stays dark because no contrast agent reaches it.

Ten minutes after the contrast agent, an inversion recovery gradient echo (Simonetti 2001,
doi:10.1148/radiology.218.1.r01ja50215) shows ::

    M = rho (1 - 2 exp(-TI / T1) + exp(-TR / T1))

with ``TI`` such that healthy muscle is near nought. A
magnitude picture folds the sign away and its noise is Rician; a phase-sensitive one keeps it. Grey zone is a
mixture of scar and muscle within the voxel. Every voxel is the mean of 36 points, so that partial volume is
there, and known. Not drawn: breathing, gating blur, fat water shift, slow changes of T1 between slices.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.case import Case
from carna.errors import InputError
from carna.findings import Evidence, Findings, Manifest, Region, Segment
from carna.findings.model import NAMESPACE
from carna.heart.scar import Infarct
from carna.heart.segments import place_of
from carna.phantom import body
from carna.phantom.heart import MUSCLE_G_PER_ML, Heart
from carna.phantom.labels import (
    ATRIAL_WALL,
    BACKGROUND,
    EPICARDIAL_FAT,
    LV,
    MYOCARDIUM,
    PAPILLARY,
    RV,
    RV_WALL,
)
from carna.phantom.mr import Plane
from carna.phantom.people import draw_heart
from carna.phantom.study import NAME, TIME
from carna.phantom.tags import levels
from carna.phantom.wall import Region as Patch
from carna.space import Grid
from carna.study import Image, Lazy, Origin, Patient, Study

Array = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]

TR_MS = 1600.0  # two beats from inversion to inversion
_MUSCLE_T1 = 450.0
_SCAR, _OBSTRUCTED = (0.85, 270.0), (0.80, 550.0)  # relative density, T1 [ms] after contrast
_HEALTHY = (0.80, _MUSCLE_T1)
_BLOOD, _FAT = (1.0, 320.0), (0.75, 250.0)
_TISSUES = {
    MYOCARDIUM: _HEALTHY, PAPILLARY: _HEALTHY, RV_WALL: _HEALTHY, ATRIAL_WALL: _HEALTHY, EPICARDIAL_FAT: _FAT,
    body.AIR: (0.0, 1000.0), body.LUNG: (0.1, 500.0), body.FAT: _FAT, body.MUSCLE: (0.75, 500.0),
    body.BONE: (0.5, 350.0), body.LIVER: (0.8, 330.0), body.SOFT: (0.6, 450.0), body.CORD: (0.9, 900.0),
    body.STOMACH: (0.8, 500.0), body.SPLEEN: (0.9, 350.0),
}  # fmt: skip
# Labels of the truth, and what each is: the six that `ep_twin` takes.
LABELS = (
    Segment(1, codes.LV_MYOCARDIUM),
    Segment(2, codes.RV_MYOCARDIUM),
    Segment(3, codes.LV_CAVITY),
    Segment(4, codes.RV_CAVITY),
    Segment(5, codes.GREY_ZONE),
    Segment(6, codes.SCAR),
)


@dataclass(frozen=True, slots=True)
class Enhancement:
    """How the picture is made.

    Parameters
    ----------
    snr : float
        Signal of scar over the noise of one channel, 3 to 1000.
    phase_sensitive : bool
        Signed picture; else magnitude.
    nulled : float
        Inversion time over the one that nulls healthy muscle, 0.8 to 1.25.
    grey_scar : float
        Share of scar within the grey zone, 0.1 to 0.9.
    obstructed : float
        Share of the core's area, from its middle, that has microvascular obstruction, 0 to 0.6.
    phase : float
        Fraction of the beat at which the picture is taken; 0.75 is diastasis.

    Raises
    ------
    InputError
        A value outside its range.
    """

    snr: float = 20.0
    phase_sensitive: bool = False
    nulled: float = 1.0
    grey_scar: float = 0.4
    obstructed: float = 0.0
    phase: float = 0.75

    def __post_init__(self) -> None:
        """Refuse values outside the ranges."""
        for name, low, high in (
            ("snr", 3.0, 1000.0),
            ("nulled", 0.8, 1.25),
            ("grey_scar", 0.1, 0.9),
            ("obstructed", 0.0, 0.6),
            ("phase", 0.0, 1.0),
        ):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} = {getattr(self, name)}", needed=f"{low:g} to {high:g}")


@dataclass(frozen=True, slots=True, eq=False)
class Late:
    """A late enhancement stack with its truth; arrays are (k, r, c).

    Attributes
    ----------
    picture : float32
        Scar is near 400; signed where phase-sensitive.
    labels : uint8
        `LABELS`: what most of the voxel is, 0 around the heart.
    wall : bool
        Voxels most of which are left ventricular muscle, scar included.
    core, grey : float32
        Share of the voxel that is scar core (with obstruction), grey zone, 0 to 1.
    obstructed : float32
        Share that is microvascular obstruction; part of ``core``.
    wall_g, core_g, grey_g : float
        Mass in the stack: of the left wall with all scar, of core and of grey zone.
    affine : (4, 4) float64
        Index (k, r, c) to LPS mm.
    spacing_mm : (3,) float
    """

    picture: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]
    wall: Flags
    core: npt.NDArray[np.float32]
    grey: npt.NDArray[np.float32]
    obstructed: npt.NDArray[np.float32]
    wall_g: float
    core_g: float
    grey_g: float
    affine: npt.NDArray[np.float64]
    spacing_mm: tuple[float, float, float]


def whole_stack(person: Heart, *, pixel_mm: float, thickness_mm: float, across_mm: float = 130.0) -> Plane:
    """Return short-axis slices without gaps from above the valve plane to beyond the apex."""
    reach = person.span_mm + 1.5 * thickness_mm
    return levels(
        person,
        first_mm=-0.5 * thickness_mm,
        step_mm=thickness_mm,
        slices=int(np.ceil(reach / thickness_mm)),
        pixels=round(across_mm / pixel_mm),
        pixel_mm=pixel_mm,
        thickness_mm=thickness_mm,
    )


def late(person: Heart, infarcts: tuple[Infarct, ...], plane: Plane, how: Enhancement, *, seed: int) -> Late:
    """Draw a late enhancement stack.

    Parameters
    ----------
    person : Heart
    infarcts : tuple of Infarct
        May be empty: a heart without scar.
    plane : Plane
        Short-axis slices; masses are right for slices without gaps (`whole_stack`).
    how : Enhancement
    seed : int
        Of the noise.
    """
    signal = np.zeros(plane.shape)
    shares = np.zeros((10, *plane.shape), np.float32)  # of the labels below, by number
    core, grey, dark = (np.zeros(plane.shape, np.float32) for _ in range(3))
    for k in range(plane.shape[0]):
        points = _samples(plane, k)
        labels = person.label(person.place(points), how.phase)
        tissue = np.where(labels == BACKGROUND, body.body_at(points), labels)
        muscle = labels == MYOCARDIUM
        scar = np.zeros((3, *labels.shape), bool)
        local = (points[muscle] - np.asarray(person.base_lps)) @ person.axes_lps.T
        scar[:, muscle] = _scar(person, person.rest(local, how.phase), infarcts, how.obstructed)
        signal[k] = _signal(tissue, scar, how).mean(axis=0)
        core[k], grey[k], dark[k] = scar.mean(axis=1)
        for label in (RV, MYOCARDIUM, LV, PAPILLARY, RV_WALL):
            shares[label, k] = (labels == label).mean(axis=0)
    voxel_ml = abs(float(np.linalg.det(plane.affine[:3, :3]))) / 1e3
    grams = MUSCLE_G_PER_ML * voxel_ml
    steps = tuple(float(np.linalg.norm(plane.affine[:3, n])) for n in range(3))
    return Late(
        _noisy(signal, how, seed),
        _labels(shares, core, grey),
        shares[MYOCARDIUM] > 0.5,
        core, grey, dark,
        float(shares[MYOCARDIUM].sum()) * grams, float(core.sum()) * grams, float(grey.sum()) * grams,
        plane.affine, (steps[0], steps[1], steps[2]),
    )  # fmt: skip


def _samples(plane: Plane, k: int) -> Array:
    """Points (36, r, c, 3) of one slice: three by three in four layers of each voxel."""
    one = Plane(plane.name, plane.affine.copy(), (1, *plane.shape[1:]), plane.thickness_mm)
    one.affine[:3, 3] += k * plane.affine[:3, 0]
    thirds, quarters = (-1 / 3, 0.0, 1 / 3), (-3 / 8, -1 / 8, 1 / 8, 3 / 8)
    return np.concatenate(
        [
            one.points(layer * plane.thickness_mm) + r * plane.affine[:3, 1] + c * plane.affine[:3, 2]
            for layer in quarters
            for r in thirds
            for c in thirds
        ]
    )


def _scar(person: Heart, was_mm: Array, infarcts: tuple[Infarct, ...], obstructed: float) -> Flags:
    """Whether material points (n, 3) are core, grey zone, obstructed: (3, n)."""
    x, y, depth = was_mm.T
    theta, radius = np.arctan2(y, x), np.hypot(x, y)
    inner, outer = person.endocardium_mm(depth, theta), person.epicardium_mm(depth, theta)
    thick = np.maximum(outer - inner, 0.1)
    into = (radius - inner) / thick
    out = np.zeros((3, len(x)), bool)
    for one in infarcts:
        angle, height = place_of(one.segment, 0.0, 1.0 - person.length_mm / person.span_mm)
        around = radius * (np.mod(theta - angle + np.pi, 2.0 * np.pi) - np.pi)
        along = depth - (1.0 - height) * person.span_mm

        def within(
            wider_mm: float, around: Array = around, along: Array = along, one: Infarct = one
        ) -> Array:
            flat: Array = (2.0 * around / (one.around_mm + 2.0 * wider_mm)) ** 2
            return flat + (2.0 * along / (one.along_mm + 2.0 * wider_mm)) ** 2

        core = (within(0.0) < 1.0) & (into <= one.transmural)
        grey = (within(one.rim_mm) < 1.0) & (into <= one.transmural + one.rim_mm / thick)
        tilt = np.radians(one.channel_deg)
        channel = np.abs(around * np.cos(tilt) - along * np.sin(tilt)) < one.channel_mm / 2.0
        out[0] |= core & ~channel
        out[1] |= grey
        deep = (into > 0.15 * one.transmural) & (into < 0.75 * one.transmural)
        out[2] |= core & ~channel & deep & (within(0.0) < obstructed)
    out[1] &= ~out[0]
    return out


def _signal(tissue: npt.NDArray[np.uint8], scar: Flags, how: Enhancement) -> Array:
    """Noiseless signed signal at points, scar = 1."""
    time = how.nulled * _MUSCLE_T1 * np.log(2.0 / (1.0 + np.exp(-TR_MS / _MUSCLE_T1)))

    def recovered(density: float, t1: float) -> float:
        return float(density * (1.0 - 2.0 * np.exp(-time / t1) + np.exp(-TR_MS / t1)))

    full = recovered(*_SCAR)
    table = np.full(256, recovered(*_BLOOD) / full)
    for label, of in _TISSUES.items():
        table[label] = recovered(*of) / full
    signal = table[tissue]
    core, grey, dark = scar
    signal[core] = 1.0
    signal[grey] = how.grey_scar + (1.0 - how.grey_scar) * table[MYOCARDIUM]
    signal[dark] = recovered(*_OBSTRUCTED) / full
    return np.asarray(signal)


def _noisy(signal: Array, how: Enhancement, seed: int) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(seed)
    real = signal + random.standard_normal(signal.shape) / how.snr
    if how.phase_sensitive:
        return (400.0 * real).astype(np.float32)
    return (400.0 * np.hypot(real, random.standard_normal(signal.shape) / how.snr)).astype(np.float32)


def _labels(shares: Array, core: Array, grey: Array) -> npt.NDArray[np.uint8]:
    """What most of each voxel is, in the numbers of `LABELS`."""
    wall = shares[MYOCARDIUM]
    healthy = wall - core - grey
    kinds = np.stack(
        [
            1.0 - shares.sum(axis=0),
            wall,
            shares[RV_WALL],
            shares[LV] + shares[PAPILLARY],
            shares[RV],
        ]
    )
    labels: npt.NDArray[np.uint8] = kinds.argmax(axis=0).astype(np.uint8)
    # Within the wall the three kinds of muscle vote among themselves.
    which = np.stack([healthy, grey, core]).argmax(axis=0)
    mine = labels == 1
    labels[mine] = np.array([1, 5, 6], np.uint8)[which[mine]]
    return labels


def draw_infarct(random: np.random.Generator) -> tuple[Heart, tuple[Infarct, ...]]:
    """Draw a heart with one infarct, thin and still where the scar is; lessons, not a population."""
    segment = int(random.integers(1, 17))
    angle, height = place_of(segment, 0.0, 0.08)
    around, along = float(random.uniform(30.0, 90.0)), float(random.uniform(25.0, 65.0))
    transmural = float(random.uniform(0.35, 1.0))
    infarct = Infarct(segment, around, along, transmural, float(random.uniform(1.0, 4.0)))
    healthy = draw_heart(random, "normal")
    half = float(np.clip(np.rad2deg(0.5 * around / (healthy.radius_mm + 5.0)), 10.0, 170.0))
    reach = float(np.clip(0.5 * along / healthy.span_mm, 0.05, 1.0))
    patch = Patch(
        float(np.rad2deg(angle)), 1.0 - height, half, reach,
        motion=float(1.0 - transmural), thinning=float(random.uniform(0.0, 0.35) * transmural),
    )  # fmt: skip
    person = Heart(
        edv_ml=healthy.edv_ml * float(random.uniform(1.0, 1.4)), ef=float(random.uniform(0.3, 0.5)),
        rv_edv_ml=healthy.rv_edv_ml * 1.2, wall_mm=healthy.wall_mm, torsion_deg=healthy.torsion_deg,
        elongation=healthy.elongation, oval=healthy.oval, regions=(patch,), rv_wall_mm=healthy.rv_wall_mm,
        axis_lps=healthy.axis_lps,
    )  # fmt: skip
    return person, (infarct,)


def enhanced(made: Late) -> Case:
    """Return a stack as a patient: the picture, and the ventricles' walls and cavities without any scar."""
    who = Patient("PHANTOM-LATE", "CARNA", NAME, "1948-06-15", "male", synthetic=True)
    k, r, c = made.labels.shape
    grid = Grid((k, r, c), made.affine, _uid("frame"))
    facts = {"SliceThickness": made.spacing_mm[0]}
    origin = Origin(
        _uid("late"), "MR", "LGE short axis", 1, TIME, "Carna phantom", "phantom",
        notes=("virtual patient",), facts=facts,
    )  # fmt: skip
    study = Study(
        _uid("late study"), who, TIME, "Virtual late enhancement", "V000006",
        (Image(origin, grid, Lazy.of(made.picture)),),
    )  # fmt: skip
    plain = np.where(made.labels >= 5, 1, made.labels).astype(np.uint8)
    region = Region(
        id="ventricles",
        code=codes.VENTRICLES,
        site=codes.VENTRICLES,
        labels=plain,
        planes=tuple(grid.plane(n) for n in range(k)),
        segments=LABELS[:4],
        evidence=(Evidence(origin.uid, planes=tuple(range(k))),),
    )
    said = Findings(
        study=study.uid, patient=who.id, items=(region,), manifest=Manifest("phantom", "1.0"), synthetic=True
    )
    return Case(who, (study,), (said,))


@cache
def virtual_late() -> Case:
    """Return the virtual patient with late enhancement that the contract suite and the docs use."""
    person = Heart(edv_ml=170.0, ef=0.42, rv_edv_ml=170.0, regions=(Patch(-90.0, 0.5, 45.0, 0.25, 0.1, 0.2),))
    infarct = Infarct(segment=7, around_mm=50.0, along_mm=40.0, transmural=0.75, rim_mm=3.0)
    plane = whole_stack(person, pixel_mm=1.6, thickness_mm=8.0)
    return enhanced(late(person, (infarct,), plane, Enhancement(), seed=6))


def _uid(name: str) -> str:
    return f"2.25.{uuid.uuid5(NAMESPACE, f'phantom/late/{name}').int}"
