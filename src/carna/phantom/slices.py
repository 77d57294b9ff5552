"""Short-axis pictures for learning: exact labels, and an appearance that no scanner need ever have had.

One heart of `people`, one phase, one slightly tilted slice anywhere from above the valves to below the apex;
half of them such as readers outline by rule (`carna.phantom.short_axis`). The labels are known; what the
picture looks like is drawn anew each time, wider than scanners differ, so that a network cannot learn a
scanner (domain randomisation: Billot 2023, doi:10.1016/j.media.2023.102789): the brightness of every
tissue, the chest around the heart, blood that swirls, trabeculae, coil shading, blur, ghosts, noise, a
smooth deformation of everything.
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
from carna.phantom.labels import MYOCARDIUM, Labels
from carna.phantom.short_axis import any_slice, at_the_base, rimmed, squeezed

_KINDS = (any_slice, at_the_base, squeezed, rimmed)
_SHARES = (0.46, 0.22, 0.16, 0.16)


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
    """Draw a heart (`carna.phantom.people.draw_heart`) and one picture of it.

    Parameters
    ----------
    random : numpy.random.Generator
    pixels : int
        Rows and columns, 64 to 256.
    """
    kind = _KINDS[int(random.choice(len(_KINDS), p=_SHARES))]
    scene = kind(random, pixels + 2 * MARGIN)
    table = brightness(random)
    chest = clutter(random, scene.points.shape[:2]) if random.random() < 0.4 else None
    drawn, middle = through(scene.points, scene.thick_mm, scene.label_at, table, chest)
    drawn = with_flow_and_texture(drawn, middle, table, random)
    drawn, outlined = scene.outlined(drawn, middle, float(table[MYOCARDIUM]))
    picture, target = deformed(drawn, outlined, random, pixels)
    return Lesson(scanned(picture, random), target)
