"""Short-axis pictures for learning: exact labels, and an appearance that no scanner need ever have had.

One heart of `people`, one phase, one slightly tilted slice anywhere from above the valves to below the apex.
The labels are exact; what the picture looks like is drawn anew each time, wider than scanners differ, so that
a network cannot learn a scanner (domain randomisation: Billot 2023, doi:10.1016/j.media.2023.102789): the
brightness of every tissue, the chest around the heart, blood that swirls, trabeculae, coil shading, blur,
ghosts, noise, a smooth deformation of everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.phantom import body
from carna.phantom.heart import ES_PHASE, Heart
from carna.phantom.labels import (
    ATRIAL_WALL,
    ATRIUM,
    BACKGROUND,
    EPICARDIAL_FAT,
    LV,
    LV_CAVITY,
    MYOCARDIUM,
    PAPILLARY,
    RV,
    RV_WALL,
    VESSEL,
)

Array = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]

_MARGIN = 16  # pixels drawn beyond the picture, for what is deformed into it
_BLOOD = (RV, LV, ATRIUM, VESSEL, body.GREAT_VESSEL, body.LUNG_VESSEL)


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """One picture and its labels.

    Parameters
    ----------
    picture : (n, n) float32
        0 to 1: the first and the 99th percentile.
    labels : (n, n) uint8
        0 outside, 1 right ventricle, 2 left ventricular muscle, 3 left ventricle with papillary muscles.
    """

    picture: npt.NDArray[np.float32]
    labels: Labels


def lesson(person: Heart, random: np.random.Generator, pixels: int = 128) -> Lesson:
    """Draw one picture of a heart.

    Parameters
    ----------
    person : Heart
    random : numpy.random.Generator
    pixels : int
        Rows and columns, 64 to 256.
    """
    phase = float(random.choice([0.0, ES_PHASE, random.uniform(0.0, 1.0)], p=[0.25, 0.45, 0.3]))
    points, thick = _slice(person, random, pixels + 2 * _MARGIN)
    normal = thick * np.cross(points[1, 0] - points[0, 0], points[0, 1] - points[0, 0])
    normal /= np.linalg.norm(points[1, 0] - points[0, 0]) * np.linalg.norm(points[0, 1] - points[0, 0])
    table = _brightness(random)
    clutter = _clutter(random, points.shape[:2]) if random.random() < 0.4 else None
    drawn = np.zeros(points.shape[:2], np.float32)
    middle = np.zeros(points.shape[:2], np.uint8)
    for offset in (-1 / 3, 0.0, 1 / 3):
        layer = points + offset * normal
        labels = person.label_at(layer, phase)
        tissue = np.where(labels == BACKGROUND, body.body_at(layer), labels)
        bright = table[tissue]
        if clutter is not None:
            bright = np.where(labels == BACKGROUND, clutter, bright)
        drawn += bright / 3
        middle = labels if offset == 0.0 else middle
    drawn = _inside(drawn, middle, table, random)
    target = np.where(np.isin(middle, LV_CAVITY), LV, np.where(middle <= LV, middle, 0)).astype(np.uint8)
    picture, target = _deformed(drawn, target, random, pixels)
    return Lesson(_scanned(picture, random), target)


def _slice(person: Heart, random: np.random.Generator, pixels: int) -> tuple[Array, float]:
    """LPS points (n, n, 3) of one slice, and its thickness [mm]."""
    septum, across, axis = person.axes_lps
    tilt = random.normal(0.0, np.deg2rad(5.0), 2)
    normal = axis + tilt[0] * septum + tilt[1] * across
    normal /= np.linalg.norm(normal)
    turn = random.normal(0.0, np.deg2rad(35.0))
    column = np.array([1.0, 0.0, 1.35]) - (np.array([1.0, 0.0, 1.35]) @ normal) * normal
    column /= np.linalg.norm(column)
    row = np.cross(column, normal)
    column, row = np.cos(turn) * column + np.sin(turn) * row, -np.sin(turn) * column + np.cos(turn) * row
    mm = float(random.uniform(1.0, 2.0))
    depth = float(random.uniform(-22.0, person.span_mm + 10.0))
    shift = random.normal(0.0, 7.0, 2)
    # Pictures are cut around the left ventricle, which lies left of their middle as often as right of it.
    centre = np.asarray(person.base_lps) + depth * axis + shift[0] * column + shift[1] * row
    steps = (np.arange(pixels) - (pixels - 1) / 2.0) * mm
    return centre + steps[:, None, None] * row + steps[None, :, None] * column, float(
        random.uniform(5.0, 10.0)
    )


def _brightness(random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Brightness by label (256,), blood near 1: balanced steady-state free precession, with wide margins."""
    table = random.uniform(0.05, 1.0, 256).astype(np.float32)
    blood = random.uniform(0.8, 1.1)
    table[list(_BLOOD)] = blood * random.uniform(0.75, 1.25, len(_BLOOD))
    table[LV] = blood * random.uniform(0.9, 1.1)
    muscle = random.uniform(0.12, 0.62) * blood
    table[[MYOCARDIUM, PAPILLARY]] = muscle
    table[[RV_WALL, ATRIAL_WALL]] = muscle * random.uniform(0.8, 1.25, 2)
    table[EPICARDIAL_FAT] = random.uniform(0.3, 1.4) * blood
    table[body.LUNG] = random.uniform(0.0, 0.22)
    table[body.AIR] = random.uniform(0.0, 0.05)
    table[body.FAT] = random.uniform(0.3, 1.5)
    return table


def _clutter(random: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """A chest that no one has: blobs of a few brightnesses."""
    kinds = int(random.integers(3, 9))
    bright = np.concatenate([random.uniform(0.0, 0.25, 2), random.uniform(0.05, 1.3, kinds)])
    fields = np.stack([_smooth(random, shape, float(random.uniform(4.0, 16.0))) for _ in bright])
    return np.asarray(bright[np.argmax(fields, axis=0)], np.float32)


def _inside(
    drawn: npt.NDArray[np.float32],
    labels: Labels,
    table: npt.NDArray[np.float32],
    random: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Blood that swirls, muscle with a texture, trabeculae along the walls."""
    shape = drawn.shape
    blood = np.isin(labels, (LV, RV, ATRIUM, VESSEL))
    swirl = 1.0 - random.uniform(0.0, 0.5) * np.maximum(_smooth(random, shape, 5.0), 0.0) / 2.0
    drawn = np.where(blood, drawn * swirl, drawn).astype(np.float32)
    reach, size = random.uniform(0.5, 3.5, 2), float(random.uniform(1.0, 2.0))
    grain = _smooth(random, shape, size)
    for cavity, depth in ((LV, reach[0]), (RV, reach[1])):
        inside = labels == cavity
        if inside.any() and random.random() < 0.7:
            from scipy.ndimage import distance_transform_edt

            away = distance_transform_edt(inside)
            dark = inside & (away < 2.0 * depth) & (grain > 0.6 + 0.5 * away / depth)
            drawn = np.where(dark, 0.5 * drawn + 0.5 * table[MYOCARDIUM], drawn).astype(np.float32)
    drawn = _bands(drawn, labels == RV, table[MYOCARDIUM], random)
    drawn = _compacted(drawn, np.isin(labels, LV_CAVITY), table[MYOCARDIUM], random)
    texture = 1.0 + random.uniform(0.0, 0.12) * _smooth(random, shape, float(random.uniform(0.8, 3.0)))
    return np.asarray(drawn * texture, np.float32)


def _bands(
    drawn: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_], muscle: float, random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Cross the right ventricle with muscle: coarse trabeculae and the moderator band."""
    if random.random() < 0.4:
        return drawn
    coarse = _smooth(random, drawn.shape, float(random.uniform(1.5, 3.5)))
    share = random.uniform(0.0, 1.0) * np.clip(4.0 * (coarse - random.uniform(0.5, 1.6)), 0.0, 1.0)
    return np.where(inside, (1.0 - share) * drawn + share * muscle, drawn).astype(np.float32)


def _compacted(
    drawn: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_], muscle: float, random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Fill part of the left cavity with trabeculae and papillary muscles pressed together, as systole does.

    A reader draws the cavity around them, so the blood that is seen is less than the label says.
    """
    # Drawn too often it teaches that the inner muscle is cavity: on real hearts ejection fractions fell.
    if not inside.any() or random.random() < 0.8:
        return drawn
    from scipy.ndimage import distance_transform_edt

    away = distance_transform_edt(inside)
    uneven = np.clip(1.0 + 0.6 * _smooth(random, drawn.shape, float(random.uniform(3.0, 7.0))), 0.0, 2.0)
    reach = random.uniform(0.0, 0.55) * away.max() * uneven
    share = random.uniform(0.5, 1.0) * np.clip(reach - away + 0.5, 0.0, 1.0)
    return np.where(inside, (1.0 - share) * drawn + share * muscle, drawn).astype(np.float32)


def _deformed(
    drawn: npt.NDArray[np.float32], labels: Labels, random: np.random.Generator, pixels: int
) -> tuple[npt.NDArray[np.float32], Labels]:
    """Deform picture and labels together, smoothly, and cut the margin off."""
    from scipy.ndimage import map_coordinates

    shape = drawn.shape
    stretch = np.eye(2) + random.normal(0.0, 0.07, (2, 2))
    middle = (np.array(shape) - 1.0)[:, None, None] / 2.0
    index = np.indices(shape, float) - middle
    at = np.einsum("ij,jrc->irc", stretch, index) + middle
    bend = float(random.uniform(0.0, 3.0))
    at += bend * np.stack([_smooth(random, shape, float(random.uniform(9.0, 22.0))) for _ in range(2)])
    cut = (slice(None), slice(_MARGIN, _MARGIN + pixels), slice(_MARGIN, _MARGIN + pixels))
    picture = map_coordinates(drawn, at[cut], order=1, mode="nearest")
    return picture, map_coordinates(labels, at[cut], order=0, mode="nearest")


def _scanned(picture: npt.NDArray[np.float32], random: np.random.Generator) -> npt.NDArray[np.float32]:
    """What a scanner makes of it: shading, blur, a ghost, noise, a window."""
    from scipy.ndimage import gaussian_filter

    shape = picture.shape
    shade = np.exp(random.uniform(0.0, 0.5) * _smooth(random, shape, float(random.uniform(25.0, 60.0))))
    picture = gaussian_filter(picture * shade, random.uniform(0.3, 1.1, 2))
    if random.random() < 0.3:
        ghost = np.roll(picture, int(random.integers(8, shape[0] // 2)), axis=int(random.integers(2)))
        picture = picture + random.uniform(0.0, 0.12) * ghost
    sd = 0.005 + 0.075 * random.uniform() ** 2
    real = picture + sd * random.standard_normal(shape)
    seen = np.hypot(real, sd * random.standard_normal(shape)) ** random.uniform(0.7, 1.4)
    low, high = np.percentile(seen, (1.0, 99.0))
    return np.asarray(np.clip((seen - low) / max(high - low, 1e-6), 0.0, 1.0), np.float32)


def _smooth(random: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Array:
    """A random field of standard deviation 1 that is smooth over ``sigma`` pixels."""
    from scipy.ndimage import gaussian_filter, zoom

    if sigma > 6.0:  # drawn coarsely, then enlarged
        small = tuple(int(np.ceil(n * 3.0 / sigma)) + 1 for n in shape)
        field = gaussian_filter(random.standard_normal(small), 3.0, mode="wrap")
        field = zoom(field, [n / m for n, m in zip(shape, small, strict=True)], order=1)
    else:
        field = gaussian_filter(random.standard_normal(shape), sigma, mode="wrap")
    return np.asarray(field / max(float(field.std()), 1e-9))
