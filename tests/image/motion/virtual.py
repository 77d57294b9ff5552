"""Virtual hearts in a few slices, and the true motion of what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from carna.image.motion import Motion, track
from carna.phantom import Heart, mr
from carna.phantom.in_plane import in_plane
from carna.phantom.patient import short_axis
from carna.phantom.wall import Region

PIXEL_MM, FRAMES = 1.4, 20
SPACING = (10.0, PIXEL_MM, PIXEL_MM)

HEARTS = {
    "usual": Heart(),
    "dilated": Heart(edv_ml=260.0, ef=0.25, rv_edv_ml=230.0, wall_mm=7.5, elongation=0.9),
    "hypertrophic": Heart(edv_ml=110.0, ef=0.70, rv_edv_ml=130.0, wall_mm=13.0, septal_mm=4.0),
    "infarct": Heart(
        edv_ml=190.0, ef=0.38, rv_edv_ml=180.0, regions=(Region(-60.0, 0.5, 45.0, 0.3, 0.0, 0.3),)
    ),
    "right ventricle": Heart(edv_ml=110.0, ef=0.58, rv_edv_ml=260.0, oval=0.12),
    "late": Heart(edv_ml=170.0, ef=0.40, rv_edv_ml=170.0, delay=0.1),
}


@dataclass(frozen=True)
class Seen:
    """Pictures and labels of three slices of a heart, what was followed, and where it should be."""

    cine: npt.NDArray[np.uint16]
    labels: npt.NDArray[np.uint8]
    motion: Motion
    truth: npt.NDArray[np.floating]


@cache
def seen(name: str) -> Seen:
    person = HEARTS[name]
    whole = short_axis(person, 20, 112, PIXEL_MM)
    affine = whole.affine.copy()
    affine[:3, 3] += 3 * affine[:3, 0]
    plane = mr.Plane("SAX", affine, (3, 112, 112), 8.0)
    cine, drawn = mr.picture(person, plane, np.arange(FRAMES) / FRAMES, noise=0.04, seed=1)
    labels = np.where(drawn == 4, 3, np.where(drawn > 3, 0, drawn)).astype(np.uint8)
    motion = track(cine, labels, SPACING)
    truth = [in_plane(person, plane, k, motion.points_mm[0, k], np.arange(FRAMES) / FRAMES) for k in range(3)]
    return Seen(cine, labels, motion, np.stack(truth, axis=1))
