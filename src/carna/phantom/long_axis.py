"""Long-axis pictures for learning: four chambers through the long axis of the left ventricle.

One whole heart (`carna.phantom.chambers`), one phase, one plane through its long axis or a little beside it,
turned about the axis as 2-, 3- and 4-chamber planes are, or anywhere between. The labels are exact; the
appearance is drawn anew each time (`carna.phantom.appearance`), with what only long axes show: leaflets of
the two inflow valves, closed and tented or open, and papillary muscles cut lengthwise.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from carna.phantom.appearance import (
    MARGIN,
    bands,
    brightness,
    clutter,
    deformed,
    scanned,
    smooth,
    through,
    with_flow_and_texture,
)
from carna.phantom.chambers import WholeHeart, draw_whole
from carna.phantom.heart import ES_PHASE
from carna.phantom.labels import (
    AORTA,
    ATRIAL_WALL,
    ATRIUM,
    EPICARDIAL_FAT,
    LEFT_ATRIUM,
    LV_CAVITY,
    MYOCARDIUM,
    PULMONARY_ARTERY,
    PULMONARY_VEIN,
    RIGHT_ATRIUM,
    RV,
    RV_WALL,
    VENA_CAVA,
    VESSEL,
    Labels,
)
from carna.phantom.mr import signals
from carna.phantom.slices import Lesson

__all__ = ["CLASSES", "TURNS_DEG", "as_chambers", "cine", "contour_mm", "lesson", "plane_points"]

Array = npt.NDArray[np.floating]
Picture = npt.NDArray[np.float32]

# Of the labels of a lesson, and of the network that learns from them.
CLASSES: Final = (
    "background",
    "right ventricle",
    "left muscle",
    "left ventricle",
    "left atrium",
    "right atrium",
)
# Turn of each view about the long axis, from the middle of the septum.
TURNS_DEG: Final = {"4CH": 0.0, "2CH": 62.0, "3CH": -52.0}

_CLASS_OF: Final = {RV: 1, MYOCARDIUM: 2, **dict.fromkeys(LV_CAVITY, 3), LEFT_ATRIUM: 4, RIGHT_ATRIUM: 5}


def as_chambers(labels: Labels) -> Labels:
    """Return labels of a whole heart as a reader outlines a long axis: the numbers of `CLASSES`."""
    table = np.zeros(256, np.uint8)
    table[list(_CLASS_OF)] = list(_CLASS_OF.values())
    outlined: Labels = table[labels]
    return outlined


def lesson(random: np.random.Generator, pixels: int = 128) -> Lesson:
    """Draw one picture of a whole heart.

    Parameters
    ----------
    random : numpy.random.Generator
    pixels : int
        Rows and columns, 64 to 256.
    """
    person = draw_whole(random)
    phase = float(random.choice([0.0, ES_PHASE, random.uniform(0.0, 1.0)], p=[0.25, 0.35, 0.4]))
    points, thick = _slice(person, random, pixels + 2 * MARGIN)
    table = brightness(random)
    chest = clutter(random, points.shape[:2]) if random.random() < 0.4 else None
    points = _tilted(points, person, phase, random)
    drawn, labels = through(points, thick, partial(person.label_at, phase=phase), table, chest)
    if random.random() < 0.7:
        drawn, labels = _broader(drawn, labels, table, random)
    drawn = _inflow(drawn, labels, random)
    drawn = with_flow_and_texture(drawn, labels, table, random)
    drawn = bands(drawn, np.isin(labels, LV_CAVITY), table[MYOCARDIUM], random)
    for ventricle, atrium in ((LV_CAVITY, LEFT_ATRIUM), ((RV,), RIGHT_ATRIUM)):
        closed = phase < ES_PHASE + 0.05
        ring = _ring(np.isin(labels, ventricle), labels == atrium)
        if ring is not None:
            drawn = _groove(drawn, labels, ring, table, random)
            drawn = _leaflets(drawn, ring, closed, table, random)
    picture, target = deformed(drawn, as_chambers(labels), random, pixels)
    return Lesson(scanned(picture, random), target)


def cine(
    person: WholeHeart,
    points: Array,
    phases: Array,
    *,
    thick_mm: float = 6.0,
    noise: float = 0.03,
    seed: int = 0,
) -> tuple[npt.NDArray[np.uint16], Labels]:
    """Draw a cine of one plane by the physics of `carna.phantom.mr`, with its exact labels.

    Parameters
    ----------
    person : WholeHeart
    points : (r, c, 3)
        LPS points of the pixels (`plane_points`), mm.
    phases : (t,)
        Fractions of the beat.
    thick_mm : float
        Of the slice.
    noise : float
        Standard deviation in each channel, as a fraction of the blood signal.
    seed : int
        Of the noise.

    Returns
    -------
    cine : (t, r, c) uint16
        Magnitude; blood is near 600.
    labels : (t, r, c) uint8
        Numbers of `CLASSES`, of the middle of the slice.
    """
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(seed)
    table = signals().astype(np.float32)
    table[[LEFT_ATRIUM, RIGHT_ATRIUM, AORTA, PULMONARY_ARTERY, PULMONARY_VEIN, VENA_CAVA]] = table[ATRIUM]
    frames, labels = [], []
    for phase in phases:
        drawn, found = through(points, thick_mm, partial(person.label_at, phase=float(phase)), table)
        real = gaussian_filter(drawn, 0.6) + noise * random.standard_normal(drawn.shape)
        seen = np.hypot(real, noise * random.standard_normal(drawn.shape))
        frames.append(np.rint(600.0 * seen).astype(np.uint16))
        labels.append(as_chambers(found))
    return np.stack(frames), np.stack(labels)


def plane_points(
    person: WholeHeart,
    turn_deg: float,
    pixels: int,
    mm: float,
    *,
    tilt_deg: tuple[float, float] = (0.0, 0.0),
    beside_mm: float = 0.0,
    spin_deg: float = 0.0,
    shift_mm: tuple[float, float] = (0.0, 0.0),
) -> Array:
    """Return LPS points (pixels, pixels, 3) of a plane along the long axis.

    Parameters
    ----------
    person : WholeHeart
    turn_deg : float
        About the axis, from the middle of the septum (`TURNS_DEG`).
    pixels : int
    mm : float
        Size of a pixel.
    tilt_deg : (float, float)
        How far the axis leaves the plane, and how far it is turned in it.
    beside_mm : float
        How far the plane lies beside the axis.
    spin_deg : float
        Turn of the picture in its plane; 0: rows run from base to apex.
    shift_mm : (float, float)
        Of the middle of the picture, along the axis and across. Unshifted it lies in the valve plane.
    """
    septum, across, axis = person.heart.axes_lps
    turn, out, within = np.deg2rad([turn_deg, *tilt_deg])
    side = np.cos(turn) * septum + np.sin(turn) * across
    normal = np.cross(axis, side)
    row = np.cos(out) * axis + np.sin(out) * normal
    normal = np.cross(row, side)
    column = side
    centre = np.asarray(person.heart.base_lps) + beside_mm * normal + shift_mm[0] * axis + shift_mm[1] * side
    spin = within + np.deg2rad(spin_deg)
    row, column = np.cos(spin) * row + np.sin(spin) * column, -np.sin(spin) * row + np.cos(spin) * column
    steps = (np.arange(pixels) - (pixels - 1) / 2.0) * mm
    return np.asarray(centre + steps[:, None, None] * row + steps[None, :, None] * column)


def contour_mm(person: WholeHeart, turn_deg: float, phases: Array) -> Array:
    """Return the exact length (t,) of the muscle's inner line that a plane through the axis cuts [mm].

    The line is of muscle: the points that lie in the plane at end-diastole, from the valve plane around the
    apex, followed as they move. Torsion takes them out of the plane a little.
    """
    heart = person.heart
    depth = np.linspace(0.0, heart.length_mm, 400)
    length = np.zeros(len(phases))
    for turn in np.deg2rad([turn_deg, turn_deg + 180.0]):
        theta = np.arctan2(np.sin(turn), np.cos(turn)) + 0.0 * depth
        radius = np.maximum(heart.endocardium_mm(depth, theta), 1e-6)
        line = np.stack([radius * np.cos(theta), radius * np.sin(theta), depth], axis=-1)
        for n, phase in enumerate(phases):
            moved = heart.move(line, float(phase))
            length[n] += float(np.linalg.norm(np.diff(moved, axis=0), axis=1).sum())
    return length


def _slice(person: WholeHeart, random: np.random.Generator, pixels: int) -> tuple[Array, float]:
    """Return LPS points of one slice of a lesson, and its thickness [mm]."""
    views = {
        "4CH": (random.normal(0.0, 10.0), 0.0),
        "2CH": (random.uniform(50.0, 110.0), 0.0),
        # The aorta rises in a plane of its own: the slice leaves the axis to hold some of both.
        "3CH": (random.normal(-62.0, 12.0), random.uniform(0.0, 8.0)),
        "any": (random.uniform(-90.0, 90.0), 0.0),
    }
    turn, aside = views[str(random.choice(list(views), p=[0.36, 0.32, 0.24, 0.08]))]
    # A large heart fills the picture as a small one does: its technician widens the field of view too.
    scale = float(np.cbrt(person.heart.edv_ml / 140.0)) ** 0.5
    points = plane_points(
        person,
        float(turn),
        pixels,
        float(random.uniform(1.2, 1.9)) * scale,
        tilt_deg=(float(random.normal(0.0, 5.0)), 0.0),
        beside_mm=float(aside + random.normal(0.0, 4.0)),
        spin_deg=float(random.uniform(-180.0, 180.0)),
        shift_mm=(float(random.normal(10.0, 14.0)), float(random.normal(8.0, 14.0))),
    )
    return points, float(random.uniform(5.0, 9.0))


def _inflow(drawn: Picture, labels: Labels, random: np.random.Generator) -> Picture:
    """Let fresh blood be brighter and fast blood darker: a chamber need not be of one brightness."""
    drawn = drawn.copy()
    for chamber in ((LEFT_ATRIUM,), (RIGHT_ATRIUM,), (AORTA,), (RV,), LV_CAVITY):
        if random.random() < 0.4:
            continue
        field = smooth(random, labels.shape, float(random.uniform(8.0, 20.0)))
        edge = float(random.uniform(1.0, 6.0))
        share = 1.0 / (1.0 + np.exp(-np.clip(edge * (field - random.normal(0.0, 0.7)), -20.0, 20.0)))
        held = np.isin(labels, chamber)
        drawn[held] *= (1.0 + random.uniform(-0.35, 0.5) * share)[held].astype(np.float32)
    return drawn


def _tilted(points: Array, person: WholeHeart, phase: float, random: np.random.Generator) -> Array:
    """Bend the plane of the valves, which is flat in the drawing: points move along the axis near it."""
    side, axis = points[0, 1] - points[0, 0], person.heart.axes_lps[2]
    side = side - (side @ axis) * axis
    side /= max(float(np.linalg.norm(side)), 1e-9)
    valve = person.heart.span_mm * (1.0 - float(person.heart.along(phase)))
    local = points - np.asarray(person.heart.base_lps)
    depth, across = local @ axis - valve, local @ side
    bend = float(random.normal(0.0, 0.15)) * across
    for _ in range(2):
        wave = random.uniform(25.0, 60.0)
        bend = bend + random.normal(0.0, 3.0) * np.sin(across * 2.0 * np.pi / wave + random.uniform(0.0, 6.3))
    near = np.exp(-((depth / random.uniform(25.0, 50.0)) ** 2))
    return np.asarray(points + (np.clip(bend, -14.0, 14.0) * near)[..., None] * axis)


def _broader(
    drawn: Picture, labels: Labels, table: Picture, random: np.random.Generator
) -> tuple[Picture, Labels]:
    """Let the atria grow into what no chamber holds, until thin walls are left between them."""
    from scipy.ndimage import distance_transform_edt

    empty = ~np.isin(labels, (RV, MYOCARDIUM, *LV_CAVITY, LEFT_ATRIUM, RIGHT_ATRIUM, AORTA))
    far = np.full((2, *labels.shape), np.inf)
    for n, atrium in enumerate((LEFT_ATRIUM, RIGHT_ATRIUM)):
        if (labels == atrium).any():
            far[n] = distance_transform_edt(labels != atrium)
    vessel = (
        distance_transform_edt(labels != AORTA) if (labels == AORTA).any() else np.full(labels.shape, 99.0)
    )
    muscle = np.isin(labels, (MYOCARDIUM, RV_WALL))
    away = distance_transform_edt(~muscle) if muscle.any() else np.full(labels.shape, 99.0)
    wall = float(random.uniform(1.0, 3.5))
    drawn, labels = drawn.copy(), labels.copy()
    for n, atrium in enumerate((LEFT_ATRIUM, RIGHT_ATRIUM)):
        reach = random.uniform(0.0, 10.0) * (1.0 + 0.5 * smooth(random, labels.shape, 10.0))
        grown = empty & (far[n] < reach) & (far[n] + wall < far[1 - n]) & (far[n] + wall < vessel)
        grown &= away > wall * random.uniform(0.3, 1.0)
        drawn[grown] = table[atrium]
        labels[grown] = atrium
        rim = empty & ~grown & (far[n] < reach + wall)
        drawn[rim & (far[n] > 0) & (away > 0)] = table[ATRIAL_WALL]
    return drawn, labels


def _groove(
    drawn: Picture,
    labels: Labels,
    ring: tuple[Array, Array, Array],
    table: Picture,
    random: np.random.Generator,
) -> Picture:
    """Lay fat, and the vessels in it, into the groove outside both ends of a valve."""
    first, last, _ = ring
    wide = max(float(np.linalg.norm(last - first)), 1.0)
    rows, columns = np.indices(labels.shape)
    free = ~np.isin(labels, (RV, MYOCARDIUM, *LV_CAVITY, LEFT_ATRIUM, RIGHT_ATRIUM, AORTA))
    drawn = drawn.copy()
    for end, other in ((first, last), (last, first)):
        for label in (EPICARDIAL_FAT, VESSEL):
            if random.random() < 0.5:
                continue
            at = end + random.uniform(3.0, 11.0) * (end - other) / wide + random.normal(0.0, 3.0, 2)
            far = np.hypot(rows - at[0], columns - at[1]) / random.uniform(2.0, 7.0)
            here = free & (far + 0.25 * smooth(random, labels.shape, 3.0) < 1.0)
            drawn[here] = table[label]
    return drawn


def _leaflets(
    drawn: Picture,
    ring: tuple[Array, Array, Array],
    closed: bool,
    table: Picture,
    random: np.random.Generator,
) -> Picture:
    """Draw the two leaflets of a valve as dark lines between the ends of its ring."""
    import cv2

    if random.random() < 0.15:
        return drawn
    first, last, into = ring
    wide = float(np.linalg.norm(last - first))
    line = np.zeros(drawn.shape, np.uint8)
    if closed:
        tent = float(random.normal(0.12, 0.12)) * wide
        meet = first + float(random.uniform(0.3, 0.7)) * (last - first) + tent * into
        ways = [np.stack([first, meet]), np.stack([last, meet])]
    else:
        ways = []
        for end, other in ((first, last), (last, first)):
            open_rad = random.uniform(0.2, 1.4)
            way = np.cos(open_rad) * (other - end) / wide + np.sin(open_rad) * into
            ways.append(np.stack([end, end + random.uniform(0.3, 0.6) * wide * way]))
    for way in ways:
        at = np.rint(8.0 * way[:, ::-1]).astype(np.int32)
        cv2.polylines(
            line, [at.reshape(-1, 1, 2)], False, 255, 1 + int(random.random() < 0.3), cv2.LINE_AA, 3
        )
    share = float(random.uniform(0.2, 1.0)) * line.astype(np.float32) / 255.0
    return np.asarray((1.0 - share) * drawn + share * table[MYOCARDIUM], np.float32)


def _ring(
    ventricle: npt.NDArray[np.bool_], atrium: npt.NDArray[np.bool_]
) -> tuple[Array, Array, Array] | None:
    """Return the two ends (row, column) of where ventricle and atrium touch, and the way in."""
    from scipy.ndimage import binary_dilation

    touch = binary_dilation(ventricle, iterations=2) & binary_dilation(atrium, iterations=2)
    if touch.sum() < 12:
        return None
    at = np.argwhere(touch).astype(float)
    middle = at.mean(0)
    _, _, ways = np.linalg.svd(at - middle, full_matrices=False)
    along = (at - middle) @ ways[0]
    into = ways[1] if ways[1] @ (np.argwhere(ventricle).mean(0) - middle) > 0 else -ways[1]
    return middle + along.min() * ways[0], middle + along.max() * ways[0], into
