"""Virtual late enhancement volumes of the left atrium: exact labels, appearances no scanner need have had.

The anatomy is that of `WholeHeart`, in the middle of a filling ventricle as such pictures are gated, with
what lies around a left atrium in a chest: the spine, the gullet and the descending aorta behind it, lungs
beside it, liver and stomach below. Readers of such pictures outline the blood pool of the atrium with its
appendage and the first centimetre or so of its veins; so does the label.

After the contrast agent all blood is about equally bright, the atrial wall dark, like blood, or brighter,
in patches; what tells chambers apart is a wall as thin as a voxel, and their place. Brightness is drawn per
tissue and anew for every picture (domain randomisation: Billot 2023, doi:10.1016/j.media.2023.102789), as
are pose, a smooth deformation, slab profile, coil shading, blur, noise, and how closely the picture is cut.

Axes of every array: k from the feet to the head, r from front to back, c from right to left.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from carna.case import Case
from carna.findings.model import NAMESPACE
from carna.phantom.chambers import WholeHeart, draw_whole
from carna.phantom.labels import (
    AORTA,
    ATRIAL_WALL,
    BACKGROUND,
    EPICARDIAL_FAT,
    LEFT_ATRIUM,
    LV,
    MYOCARDIUM,
    PAPILLARY,
    PULMONARY_ARTERY,
    PULMONARY_VEIN,
    RIGHT_ATRIUM,
    RV,
    RV_WALL,
    VENA_CAVA,
)
from carna.phantom.study import NAME, TIME
from carna.space import Grid
from carna.study import Image, Lazy, Origin, Patient, Study

__all__ = [
    "SHAPE",
    "STEP_MM",
    "Anatomy",
    "VolumeLesson",
    "anatomy_of",
    "clutter",
    "lesson",
    "pictured",
    "virtual_atrium",
]

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

SHAPE = (48, 40, 48)  # voxels of a lesson
STEP_MM = 2.5  # and their size

_GRID_MM = 2.0
_INSET_MM = 1.0  # readers draw along the inside of the wall's blur
_GRID = (74, 68, 78)
# Labels of what is around, after those of the heart (0 to 15).
_LUNG, _LUNG_VESSEL, _SOFT, _BONE, _DISC, _RIM, _GULLET, _AIR, _LIVER, _STOMACH, _MUSCLE = range(20, 31)
_LEFT_WALL, _VESSEL_WALL = 31, 32
_BLOOD = (RV, LV, LEFT_ATRIUM, RIGHT_ATRIUM, AORTA, PULMONARY_ARTERY, PULMONARY_VEIN, VENA_CAVA, _LUNG_VESSEL)
_NEIGHBOURS = (RV, RIGHT_ATRIUM, AORTA, PULMONARY_ARTERY, VENA_CAVA)


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """What is where around one left atrium.

    Parameters
    ----------
    tissue : (k, r, c) uint8
        On a grid of 2 mm about the middle of the atrium.
    depth_mm : (k, r, c) float32
        How deep inside the atrium's blood; negative outside.
    """

    tissue: Labels
    depth_mm: Floats

    @property
    def atrium(self) -> Flags:
        """What a reader outlines (k, r, c): blood, but for its blurred edge."""
        return np.asarray(self.depth_mm > _INSET_MM)


@dataclass(frozen=True, slots=True, eq=False)
class VolumeLesson:
    """One volume and its labels.

    Parameters
    ----------
    picture : (k, r, c) float32
        0 to 1: the first and the 99th percentile of what was pictured; 0 where it was cut off.
    labels : (k, r, c) uint8
        1 the left atrium, 0 all else.
    """

    picture: Floats
    labels: Labels


def anatomy_of(person: WholeHeart, random: np.random.Generator) -> Anatomy:
    """Lay out one person's left atrium with all that lies around it.

    Parameters
    ----------
    person : WholeHeart
    random : numpy.random.Generator
        Of the phase, and of the chest around the heart.
    """
    person = replace(person, rise=float(random.uniform(0.0, 1.0)))
    phase = float(random.uniform(0.35, 1.0))
    about = np.asarray(person.heart.base_lps) + np.array([-10.0, 30.0, 15.0])
    coarse = _points(about, (30, 26, 30), 5.0)
    found = coarse[person.label_at(coarse, phase) == LEFT_ATRIUM]
    points = _points(found.mean(0), _GRID, _GRID_MM)
    labels = person.label_at(points, phase)
    atrium = labels == LEFT_ATRIUM
    reach = float(random.uniform(3.0, 12.0))
    atrium |= (labels == PULMONARY_VEIN) & (_away(atrium) < reach)
    labels[(labels == AORTA) & (points[..., 1] > found[:, 1].mean() + 5.0)] = BACKGROUND
    labels = _crowded(labels, atrium, random)
    tissue = _surrounded(labels, atrium, points, random)
    depth = _depth(_whole(atrium))
    # Walls of two to three millimetres; what is outlined is blood alone.
    tissue[(depth > 0.0) & (depth < random.uniform(0.0, _INSET_MM))] = _LEFT_WALL
    return Anatomy(tissue, depth)


def lesson(
    anatomy: Anatomy,
    random: np.random.Generator,
    shape: tuple[int, int, int] = SHAPE,
    spacing_mm: tuple[float, float, float] = (STEP_MM, STEP_MM, STEP_MM),
) -> VolumeLesson:
    """Picture an anatomy once: deformed, shifted and turned, with an appearance of its own.

    Parameters
    ----------
    anatomy : Anatomy
    random : numpy.random.Generator
    shape : (k, r, c)
    spacing_mm : (k, r, c)
    """
    from scipy.ndimage import gaussian_filter, map_coordinates

    bright = _brightness(random)[anatomy.tissue]
    bright = _painted(bright, anatomy.tissue, random)
    bright = gaussian_filter(bright, random.uniform(0.2, 0.9, 3))
    at = _places(random, shape, spacing_mm)
    picture = map_coordinates(bright, at, order=1, mode="nearest")
    depth = map_coordinates(anatomy.depth_mm, at, order=1, mode="nearest")
    return _taken(picture.astype(np.float32), depth > _INSET_MM, random, spacing_mm)


def clutter(random: np.random.Generator, shape: tuple[int, int, int] = SHAPE) -> VolumeLesson:
    """Picture no heart at all: blobs of a few brightnesses, or boxes and eggs; nothing is labelled.

    Without such lessons a network takes any bright body in the middle for an atrium.
    """
    places = np.indices(shape).astype(np.float32)
    if random.random() < 0.5:
        kinds = int(random.integers(2, 8))
        fields = [_smooth(random, shape, float(random.uniform(3.0, 12.0))) for _ in range(kinds)]
        bright = random.uniform(0.0, 1.2, kinds)[np.argmax(fields, axis=0)]
    else:
        bright = np.full(shape, random.uniform(0.0, 0.6))
        for _ in range(int(random.integers(1, 12))):
            radii = random.uniform(3.0, 18.0, 3)
            middle = np.array(shape) * random.uniform(0.1, 0.9, 3)
            away = np.abs(places - middle[:, None, None, None]) / radii[:, None, None, None]
            inside = away.max(0) < 1.0 if random.random() < 0.3 else (away**2).sum(0) < 1.0
            bright = np.where(inside, random.uniform(0.0, 1.3), bright)
    picture = np.asarray(bright, np.float32)
    return _taken(picture, np.zeros(shape, np.bool_), random, (STEP_MM, STEP_MM, STEP_MM))


def _taken(
    picture: Floats, atrium: Flags, random: np.random.Generator, spacing_mm: tuple[float, float, float]
) -> VolumeLesson:
    """Return what a scanner makes of a picture, cut and scaled."""
    inside = _cut(random, atrium.shape)
    picture = _scanned(picture, random, spacing_mm)
    low, high = np.percentile(picture[inside], (1.0, 99.0))
    picture = np.clip((picture - low) / max(float(high - low), 1e-6), 0.0, 1.0)
    return VolumeLesson(np.where(inside, picture, 0.0).astype(np.float32), (atrium & inside).astype(np.uint8))


def pictured(
    made: VolumeLesson, spacing_mm: tuple[float, float, float], name: str = "PHANTOM-ATRIUM"
) -> Case:
    """Return a volume as a patient: slices from feet to head, rows from front to back."""
    who = Patient(name, "CARNA", NAME, "1948-06-15", "female", synthetic=True)
    k, r, c = spacing_mm
    affine = np.array(
        [[0.0, 0.0, c, -60.0], [0.0, r, 0.0, -30.0], [k, 0.0, 0.0, -40.0], [0.0, 0.0, 0.0, 1.0]]
    )
    grid = Grid(made.picture.shape, affine, _uid(f"{name} frame"))
    origin = Origin(
        _uid(name), "MR", "LGE left atrium", 1, TIME, "Carna phantom", "phantom",
        notes=("virtual patient",), facts={"SliceThickness": k},
    )  # fmt: skip
    image = Image(origin, grid, Lazy.of(np.rint(1000.0 * made.picture).astype(np.float32)))
    return Case(who, (Study(_uid(f"{name} study"), who, TIME, "Virtual atrium", "V000016", (image,)),))


@cache
def virtual_atrium() -> tuple[Case, VolumeLesson]:
    """Return the virtual patient that the contract suite and the docs use, and the truth."""
    random = np.random.default_rng(16)
    made = lesson(anatomy_of(draw_whole(random, "normal"), random), random, (44, 88, 96), (2.5, 1.25, 1.25))
    return pictured(made, (2.5, 1.25, 1.25)), made


def _uid(name: str) -> str:
    return f"2.25.{uuid.uuid5(NAMESPACE, f'phantom/atrium/{name}').int}"


def _points(centre: npt.NDArray[np.floating], shape: tuple[int, ...], step_mm: float) -> Floats:
    """LPS points (k, r, c, 3) of a grid about a centre."""
    k, r, c = ((np.arange(n) - (n - 1) / 2.0) * step_mm for n in shape)
    z, y, x = np.meshgrid(k, r, c, indexing="ij")
    return np.asarray(np.stack([x, y, z], axis=-1) + centre, np.float32)


def _away(flags: Flags) -> Floats:
    """Distance [mm] to flagged voxels of the grid."""
    from scipy.ndimage import distance_transform_edt

    return np.asarray(_GRID_MM * distance_transform_edt(~flags), np.float32)


def _depth(flags: Flags) -> Floats:
    """Signed distance [mm] to the border between flagged voxels and the others, positive inside."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    inside, outside = distance_transform_edt(flags), distance_transform_edt(~flags)
    depth = _GRID_MM * np.where(flags, inside - 0.5, 0.5 - outside)
    return np.asarray(gaussian_filter(depth, 0.7), np.float32)


def _whole(atrium: Flags) -> Flags:
    """The largest body, without holes."""
    from scipy.ndimage import binary_fill_holes, label

    names, count = label(atrium)
    if count > 1:
        atrium = names == 1 + int(np.argmax(np.bincount(names.ravel())[1:]))
    return np.asarray(binary_fill_holes(atrium), np.bool_)


def _crowded(labels: Labels, atrium: Flags, random: np.random.Generator) -> Labels:
    """Let chambers and vessels grow into the gaps between them and the atrium: in a chest they touch."""
    from scipy.ndimage import distance_transform_edt

    near = np.isin(labels, _NEIGHBOURS)
    away, nearest = distance_transform_edt(~near, return_indices=True)
    grown = labels[tuple(nearest)]
    reach = np.clip(random.uniform(0.0, 12.0) * (0.6 + 0.6 * _smooth(random, labels.shape, 8.0)), 0.0, 14.0)
    free = np.isin(labels, (BACKGROUND, ATRIAL_WALL, EPICARDIAL_FAT))
    apart = float(random.uniform(1.9, 4.1))
    taken = free & (_GRID_MM * away < reach) & (_away(atrium | (labels == PULMONARY_VEIN)) > apart)
    # Between two that grew towards each other a wall stays, at times.
    out = np.where(taken, grown, labels)
    if random.random() < 0.7:
        edge = np.zeros(out.shape, np.bool_)
        for axis in range(3):
            step = np.diff(out.astype(np.int16), axis=axis) != 0
            pad = [(0, 0)] * 3
            pad[axis] = (0, 1)
            edge |= np.pad(step, pad)
        out = np.where(edge & taken, ATRIAL_WALL, out)
    return out.astype(np.uint8)


def _surrounded(labels: Labels, atrium: Flags, points: Floats, random: np.random.Generator) -> Labels:
    """Fill what the heart leaves empty: lungs, fat, spine, gullet, descending aorta, liver, stomach."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    middle = points[atrium].mean(0)
    band = atrium & (np.abs(x - middle[0]) < 18.0) & (np.abs(z - middle[2]) < 20.0)
    back = float(np.percentile(y[band if band.any() else atrium], 98.0))
    heart = ~np.isin(labels, (BACKGROUND, EPICARDIAL_FAT))
    away = _away(heart)
    tissue = np.where(heart, labels, _LUNG).astype(np.uint8)
    empty = ~heart
    dots = _smooth(random, labels.shape, float(random.uniform(1.0, 2.2))) > random.uniform(1.6, 2.6)
    tissue[empty & dots & (away > 4.0)] = _LUNG_VESSEL
    tissue[empty & (away < random.uniform(2.0, 9.0))] = EPICARDIAL_FAT
    sideways = np.abs(x - middle[0] + 6.0 + 4.0 * _smooth(random, labels.shape, 12.0))
    tissue[empty & (sideways < random.uniform(16.0, 34.0))] = EPICARDIAL_FAT
    tissue[empty & (y < y.min() + random.uniform(0.0, 25.0))] = _MUSCLE
    _below(tissue, empty, points - middle, random)
    _behind(tissue, empty, points - np.array([middle[0], back, middle[2]], np.float32), random)
    tissue[atrium] = LEFT_ATRIUM
    wall = (tissue == ATRIAL_WALL) & (_away(atrium) < 3.0)
    tissue[wall] = _LEFT_WALL
    return tissue


def _below(tissue: Labels, empty: Flags, at: Floats, random: np.random.Generator) -> None:
    """Paint liver and stomach under a diaphragm, in place; ``at`` is from the middle of the atrium."""
    x, y, z = at[..., 0], at[..., 1], at[..., 2]
    floor = -random.uniform(38.0, 75.0) + random.uniform(8.0, 30.0) * np.exp(
        -(((x + 45.0) / 50.0) ** 2) - ((y + 10.0) / 50.0) ** 2
    )
    under = empty & (z < floor)
    tissue[under] = _LIVER
    tissue[under & (x > random.uniform(5.0, 40.0))] = _STOMACH


def _behind(tissue: Labels, empty: Flags, at: Floats, random: np.random.Generator) -> None:
    """Paint spine, gullet and descending aorta, in place; ``at`` is from the back wall's middle."""
    lean = random.normal(0.0, 0.08, (3, 2))
    x, y, z = at[..., 0], at[..., 1], at[..., 2]
    wide, deep = float(random.uniform(14.0, 22.0)), float(random.uniform(12.0, 19.0))
    sx = random.normal(-7.0, 7.0) + lean[0, 0] * z
    sy = random.uniform(3.0, 16.0) + deep + lean[0, 1] * z + random.normal(0.0, 0.0025) * z**2
    tissue[empty & (y > sy)] = _MUSCLE
    form = np.sqrt(((x - sx) / wide) ** 2 + ((y - sy) / deep) ** 2)
    tissue[empty & (form < 1.0 + random.uniform(1.0, 3.5) / deep)] = _RIM
    tissue[empty & (form < 1.0)] = _BONE
    tall = float(random.uniform(20.0, 30.0))
    disc = np.mod(z + random.uniform(0.0, tall), tall) < random.uniform(3.0, 7.0)
    tissue[empty & (form < 1.0) & disc] = _DISC
    radius = float(random.uniform(8.0, 16.0))
    ax = sx + 0.75 * wide + random.uniform(0.3, 1.0) * radius + lean[1, 0] * z
    ay = radius + random.uniform(1.0, 12.0) + lean[1, 1] * z
    off = np.hypot(x - ax, y - ay)
    tissue[empty & (off < radius + random.uniform(1.5, 3.0))] = _VESSEL_WALL
    tissue[empty & (off < radius)] = AORTA
    size = random.uniform(4.0, 9.0, 2)
    gx = random.uniform(-12.0, 16.0) + lean[2, 0] * z
    gy = size[1] + random.uniform(1.0, 3.0) + lean[2, 1] * z
    form = np.sqrt(((x - gx) / size[0]) ** 2 + ((y - gy) / size[1]) ** 2)
    tissue[empty & (form < 1.0) & (off > radius)] = _GULLET
    tissue[empty & (form < random.uniform(0.2, 0.5)) & (off > radius)] = _AIR


def _brightness(random: np.random.Generator) -> Floats:
    """Brightness by tissue (64,), blood near 1: late enhancement, with wide margins."""
    between = random.uniform
    table = between(0.05, 1.2, 64).astype(np.float32)
    table[list(_BLOOD)] = between(1.0 - 0.15, 1.0 + 0.15, len(_BLOOD)) if random.random() < 0.4 else 1.0
    table[_LUNG_VESSEL] = between(0.3, 1.2)
    table[[MYOCARDIUM, PAPILLARY]] = muscle = between(0.1, 1.0)
    table[RV_WALL] = muscle * between(0.7, 1.5)
    table[ATRIAL_WALL] = between(0.3, 1.4)
    table[_LEFT_WALL] = between(0.3, 1.6)
    table[_VESSEL_WALL] = between(0.4, 1.8)
    table[EPICARDIAL_FAT] = between(0.05, 0.7)
    table[_LUNG] = between(0.0, 0.3)
    table[_AIR] = between(0.0, 0.2)
    table[_BONE] = between(0.05, 0.7)
    table[_RIM] = between(0.3, 1.5)
    table[_GULLET] = between(0.3, 1.6)
    table[_LIVER] = between(0.3, 1.6)
    return table


def _painted(bright: Floats, tissue: Labels, random: np.random.Generator) -> Floats:
    """Patches of scar in the atrial wall, blood that is mixed unevenly, texture everywhere."""
    shape = bright.shape
    patch = _smooth(random, shape, float(random.uniform(3.0, 8.0))) - random.uniform(-1.0, 1.5)
    patch = np.clip(patch, 0.0, 1.0)
    walls = np.isin(tissue, (_LEFT_WALL, _VESSEL_WALL, ATRIAL_WALL))
    bright = np.where(walls, bright + random.uniform(0.0, 1.0) * patch, bright)
    swirl = 1.0 + random.uniform(0.0, 0.12) * _smooth(random, shape, float(random.uniform(3.0, 10.0)))
    rough = 1.0 + random.uniform(0.0, 0.35) * _smooth(random, shape, float(random.uniform(1.0, 3.0)))
    blood = np.isin(tissue, _BLOOD)
    return np.asarray(bright * np.where(blood, swirl, np.maximum(rough, 0.1)), np.float32)


def _places(
    random: np.random.Generator, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> npt.NDArray[np.floating]:
    """Indices (3, k, r, c) into the anatomy's grid: turned, stretched, bent, shifted."""
    half = (np.array(shape) - 1.0) / 2.0
    at = (np.indices(shape) - half[:, None, None, None]) * np.array(spacing_mm)[:, None, None, None]
    a, b, c = random.normal(0.0, np.deg2rad(9.0), 3)
    turn = np.array([[1.0, -a, b], [a, 1.0, -c], [-b, c, 1.0]])
    # A little flatter from front to back than drawn: enlarged atria are.
    scale = np.exp(random.normal((0.0, 0.08, -0.03), (0.12, 0.12, 0.10)))
    stretch = np.diag(scale) @ (np.eye(3) + random.normal(0.0, 0.06, (3, 3)))
    at = np.einsum("ij,jkrc->ikrc", turn @ stretch, at)
    bend = float(random.uniform(0.0, 4.0))
    at = at + bend * np.stack([_smooth(random, shape, float(random.uniform(7.0, 14.0))) for _ in range(3)])
    shift = np.clip(random.normal(0.0, (8.0, 7.0, 8.0)), -20.0, 20.0)
    middle = (np.array(_GRID) - 1.0) / 2.0
    return np.asarray((at + shift[:, None, None, None]) / _GRID_MM + middle[:, None, None, None], np.float32)


def _cut(random: np.random.Generator, shape: tuple[int, ...]) -> Flags:
    """What was pictured: half of the volumes are cut closer than the lesson is wide."""
    inside = np.ones(shape, np.bool_)
    if random.random() < 0.5:
        return inside
    for axis, n in enumerate(shape):
        low, high = random.integers(0, n // 6 + 1, 2)
        keep = (np.arange(n) >= low) & (np.arange(n) < n - high)
        inside &= keep.reshape([-1 if a == axis else 1 for a in range(3)])
    return inside


def _scanned(picture: Floats, random: np.random.Generator, spacing_mm: tuple[float, float, float]) -> Floats:
    """What a scanner makes of it: slab profile, shading, a navigator's streak, ghost, noise, a window."""
    from scipy.ndimage import gaussian_filter

    shape = picture.shape
    k = np.linspace(-1.0, 1.0, shape[0])[:, None, None]
    slab = 1.0 / (1.0 + np.exp((np.abs(k + random.normal(0.0, 0.1)) - random.uniform(0.75, 1.3)) / 0.08))
    shade = np.exp(random.uniform(0.0, 0.35) * _smooth(random, shape, float(random.uniform(12.0, 25.0))))
    picture = picture * shade * np.maximum(slab, random.uniform(0.1, 0.5))
    if random.random() < 0.15:
        streak = _smooth(random, shape, 8.0) > random.uniform(1.6, 2.4)
        picture = picture + random.uniform(0.2, 1.2) * gaussian_filter(streak.astype(np.float32), 2.0)
    if random.random() < 0.3:
        by, axis = int(random.integers(5, 18)), 1 + int(random.integers(2))
        picture = picture + random.uniform(0.0, 0.15) * np.roll(picture, by, axis=axis)
    sd = 0.01 + 0.15 * random.uniform() ** 1.5
    grain = [max(float(random.uniform(0.2, 1.0) * STEP_MM / mm * 0.6), 0.0) for mm in spacing_mm]
    real, other = (
        sd * _unit(gaussian_filter(random.standard_normal(shape, np.float32), grain)) for _ in range(2)
    )
    return np.asarray(np.hypot(picture + real, other) ** random.uniform(0.7, 1.4), np.float32)


def _smooth(random: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Floats:
    """A random field of standard deviation 1 that is smooth over ``sigma`` voxels."""
    from scipy.ndimage import gaussian_filter, zoom

    if sigma <= 2.0:
        return _unit(gaussian_filter(random.standard_normal(shape, np.float32), sigma))
    small = tuple(int(np.ceil(n * 1.5 / sigma)) + 2 for n in shape)
    field = gaussian_filter(random.standard_normal(small, np.float32), 1.5, mode="wrap")
    return _unit(zoom(field, [n / m for n, m in zip(shape, small, strict=True)], order=1))


def _unit(field: Floats) -> Floats:
    return np.asarray(field / max(float(field.std()), 1e-9), np.float32)
