"""What a picture for learning looks like: drawn anew each time, wider than scanners differ.

The brightness of every tissue, a chest that no one has, blood that swirls, trabeculae, coil shading, blur,
ghosts, noise, a smooth deformation of everything: domain randomisation (Billot 2023,
doi:10.1016/j.media.2023.102789), so that a network cannot learn a scanner.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from carna.phantom import body
from carna.phantom.labels import (
    AORTA,
    ATRIAL_WALL,
    ATRIUM,
    BACKGROUND,
    EPICARDIAL_FAT,
    LEFT_ATRIUM,
    LV,
    LV_CAVITY,
    MYOCARDIUM,
    PAPILLARY,
    PULMONARY_ARTERY,
    PULMONARY_VEIN,
    RIGHT_ATRIUM,
    RV,
    RV_WALL,
    VENA_CAVA,
    VESSEL,
    Labels,
)

__all__ = [
    "MARGIN",
    "bands",
    "brightness",
    "clutter",
    "deformed",
    "scanned",
    "smooth",
    "through",
    "with_flow_and_texture",
]

Array = npt.NDArray[np.floating]
Picture = npt.NDArray[np.float32]

MARGIN = 16  # pixels drawn beyond the picture, for what is deformed into it
_BLOOD = (RV, LV, ATRIUM, VESSEL, body.GREAT_VESSEL, body.LUNG_VESSEL)
_ABOVE = (LEFT_ATRIUM, RIGHT_ATRIUM, AORTA, PULMONARY_ARTERY, PULMONARY_VEIN, VENA_CAVA)
_SWIRLING = (LV, RV, ATRIUM, VESSEL, *_ABOVE)


def brightness(random: np.random.Generator) -> Picture:
    """Brightness by label (256,), blood near 1: balanced steady-state free precession, with wide margins."""
    table = random.uniform(0.05, 1.0, 256).astype(np.float32)
    blood = random.uniform(0.8, 1.1)
    table[list(_BLOOD)] = blood * random.uniform(0.75, 1.25, len(_BLOOD))
    above = (table[list(_ABOVE)] - 0.05) / 0.95  # already drawn, 0 to 1
    table[list(_ABOVE)] = blood * (0.75 + 0.5 * above)
    table[LV] = blood * random.uniform(0.9, 1.1)
    muscle = random.uniform(0.12, 0.62) * blood
    table[[MYOCARDIUM, PAPILLARY]] = muscle
    table[[RV_WALL, ATRIAL_WALL]] = muscle * random.uniform(0.8, 1.25, 2)
    table[EPICARDIAL_FAT] = random.uniform(0.3, 1.4) * blood
    table[body.LUNG] = random.uniform(0.0, 0.22)
    table[body.AIR] = random.uniform(0.0, 0.05)
    table[body.FAT] = random.uniform(0.3, 1.5)
    return table


def clutter(random: np.random.Generator, shape: tuple[int, ...]) -> Picture:
    """A chest that no one has: blobs of a few brightnesses."""
    kinds = int(random.integers(3, 9))
    bright = np.concatenate([random.uniform(0.0, 0.25, 2), random.uniform(0.05, 1.3, kinds)])
    fields = np.stack([smooth(random, shape, float(random.uniform(4.0, 16.0))) for _ in bright])
    return np.asarray(bright[np.argmax(fields, axis=0)], np.float32)


def through(
    points: Array,
    thick_mm: float,
    label_at: Callable[[Array], Labels],
    table: Picture,
    chest: Picture | None = None,
) -> tuple[Picture, Labels]:
    """Draw a slice as the mean of three layers.

    Parameters
    ----------
    points : (r, c, 3)
        LPS points of the pixel centres, mm.
    thick_mm : float
    label_at : callable
        Labels of the heart at points; `BACKGROUND` elsewhere.
    table : (256,) float32
        Brightness by label.
    chest : (r, c) float32, optional
        What lies around the heart, in place of `carna.phantom.body`.

    Returns
    -------
    drawn : (r, c) float32
    labels : (r, c) uint8
        Of the middle layer.
    """
    normal = thick_mm * np.cross(points[1, 0] - points[0, 0], points[0, 1] - points[0, 0])
    normal /= np.linalg.norm(points[1, 0] - points[0, 0]) * np.linalg.norm(points[0, 1] - points[0, 0])
    drawn = np.zeros(points.shape[:2], np.float32)
    middle = np.zeros(points.shape[:2], np.uint8)
    for offset in (-1 / 3, 0.0, 1 / 3):
        layer = points + offset * normal
        labels = label_at(layer)
        bright = table[np.where(labels == BACKGROUND, body.body_at(layer), labels)]
        if chest is not None:
            bright = np.where(labels == BACKGROUND, chest, bright)
        drawn += bright / 3
        middle = labels if offset == 0.0 else middle
    return drawn, middle


def with_flow_and_texture(
    drawn: Picture,
    labels: Labels,
    table: Picture,
    random: np.random.Generator,
) -> Picture:
    """Blood that swirls, muscle with a texture, trabeculae along the walls."""
    shape = drawn.shape
    blood = np.isin(labels, _SWIRLING)
    swirl = 1.0 - random.uniform(0.0, 0.5) * np.maximum(smooth(random, shape, 5.0), 0.0) / 2.0
    drawn = np.where(blood, drawn * swirl, drawn).astype(np.float32)
    reach, size = random.uniform(0.5, 3.5, 2), float(random.uniform(1.0, 2.0))
    grain = smooth(random, shape, size)
    for cavity, depth in ((LV, reach[0]), (RV, reach[1])):
        inside = labels == cavity
        if inside.any() and random.random() < 0.7:
            from scipy.ndimage import distance_transform_edt

            away = distance_transform_edt(inside)
            dark = inside & (away < 2.0 * depth) & (grain > 0.6 + 0.5 * away / depth)
            drawn = np.where(dark, 0.5 * drawn + 0.5 * table[MYOCARDIUM], drawn).astype(np.float32)
    drawn = bands(drawn, labels == RV, table[MYOCARDIUM], random)
    drawn = _compacted(drawn, np.isin(labels, LV_CAVITY), table[MYOCARDIUM], random)
    texture = 1.0 + random.uniform(0.0, 0.12) * smooth(random, shape, float(random.uniform(0.8, 3.0)))
    return np.asarray(drawn * texture, np.float32)


def bands(
    drawn: Picture, inside: npt.NDArray[np.bool_], muscle: float, random: np.random.Generator
) -> Picture:
    """Cross the right ventricle with muscle: coarse trabeculae and the moderator band."""
    if random.random() < 0.4:
        return drawn
    coarse = smooth(random, drawn.shape, float(random.uniform(1.5, 3.5)))
    share = random.uniform(0.0, 1.0) * np.clip(4.0 * (coarse - random.uniform(0.5, 1.6)), 0.0, 1.0)
    return np.where(inside, (1.0 - share) * drawn + share * muscle, drawn).astype(np.float32)


def _compacted(
    drawn: Picture, inside: npt.NDArray[np.bool_], muscle: float, random: np.random.Generator
) -> Picture:
    """Fill part of the left cavity with trabeculae and papillary muscles pressed together, as systole does.

    A reader draws the cavity around them, so the blood that is seen is less than the label says.
    """
    # Drawn too often it teaches that the inner muscle is cavity: on real hearts ejection fractions fell.
    if not inside.any() or random.random() < 0.8:
        return drawn
    from scipy.ndimage import distance_transform_edt

    away = distance_transform_edt(inside)
    uneven = np.clip(1.0 + 0.6 * smooth(random, drawn.shape, float(random.uniform(3.0, 7.0))), 0.0, 2.0)
    reach = random.uniform(0.0, 0.55) * away.max() * uneven
    share = random.uniform(0.5, 1.0) * np.clip(reach - away + 0.5, 0.0, 1.0)
    return np.where(inside, (1.0 - share) * drawn + share * muscle, drawn).astype(np.float32)


def deformed(
    drawn: Picture, labels: Labels, random: np.random.Generator, pixels: int
) -> tuple[Picture, Labels]:
    """Deform picture and labels together, smoothly, and cut the margin off."""
    from scipy.ndimage import map_coordinates

    shape = drawn.shape
    stretch = np.eye(2) + random.normal(0.0, 0.07, (2, 2))
    middle = (np.array(shape) - 1.0)[:, None, None] / 2.0
    index = np.indices(shape, float) - middle
    at = np.einsum("ij,jrc->irc", stretch, index) + middle
    bend = float(random.uniform(0.0, 3.0))
    at += bend * np.stack([smooth(random, shape, float(random.uniform(9.0, 22.0))) for _ in range(2)])
    cut = (slice(None), slice(MARGIN, MARGIN + pixels), slice(MARGIN, MARGIN + pixels))
    picture = map_coordinates(drawn, at[cut], order=1, mode="nearest")
    return picture, map_coordinates(labels, at[cut], order=0, mode="nearest")


def scanned(picture: Picture, random: np.random.Generator) -> Picture:
    """What a scanner makes of it: shading, blur, a ghost, noise, a window."""
    from scipy.ndimage import gaussian_filter

    shape = picture.shape
    shade = np.exp(random.uniform(0.0, 0.5) * smooth(random, shape, float(random.uniform(25.0, 60.0))))
    picture = gaussian_filter(picture * shade, random.uniform(0.3, 1.1, 2))
    if random.random() < 0.3:
        ghost = np.roll(picture, int(random.integers(8, shape[0] // 2)), axis=int(random.integers(2)))
        picture = picture + random.uniform(0.0, 0.12) * ghost
    sd = 0.005 + 0.075 * random.uniform() ** 2
    real = picture + sd * random.standard_normal(shape)
    seen = np.hypot(real, sd * random.standard_normal(shape)) ** random.uniform(0.7, 1.4)
    low, high = np.percentile(seen, (1.0, 99.0))
    return np.asarray(np.clip((seen - low) / max(high - low, 1e-6), 0.0, 1.0), np.float32)


def smooth(random: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Array:
    """A random field of standard deviation 1 that is smooth over ``sigma`` pixels."""
    from scipy.ndimage import gaussian_filter, zoom

    if sigma > 6.0:  # drawn coarsely, then enlarged
        small = tuple(int(np.ceil(n * 3.0 / sigma)) + 1 for n in shape)
        field = gaussian_filter(random.standard_normal(small), 3.0, mode="wrap")
        field = zoom(field, [n / m for n, m in zip(shape, small, strict=True)], order=1)
    else:
        field = gaussian_filter(random.standard_normal(shape), sigma, mode="wrap")
    return np.asarray(field / max(float(field.std()), 1e-9))
