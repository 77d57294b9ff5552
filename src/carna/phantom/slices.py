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

from carna.phantom.appearance import (
    MARGIN,
    brightness,
    clutter,
    deformed,
    scanned,
    through,
    with_flow_and_texture,
)
from carna.phantom.heart import ES_PHASE, Heart
from carna.phantom.labels import as_outlined
from carna.phantom.people import draw_heart

Array = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]


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


def lesson(random: np.random.Generator, pixels: int = 128) -> Lesson:
    """Draw a heart (`draw_heart`) and one picture of it.

    Parameters
    ----------
    random : numpy.random.Generator
    pixels : int
        Rows and columns, 64 to 256.
    """
    person = draw_heart(random)
    phase = float(random.choice([0.0, ES_PHASE, random.uniform(0.0, 1.0)], p=[0.25, 0.45, 0.3]))
    points, thick = _slice(person, random, pixels + 2 * MARGIN)
    table = brightness(random)
    chest = clutter(random, points.shape[:2]) if random.random() < 0.4 else None
    drawn, middle = through(points, thick, lambda layer: person.label_at(layer, phase), table, chest)
    drawn = with_flow_and_texture(drawn, middle, table, random)
    picture, target = deformed(drawn, as_outlined(middle), random, pixels)
    return Lesson(scanned(picture, random), target)


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
