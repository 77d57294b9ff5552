"""Where to pace, where sinus rhythm arrives first, and where the electrodes of an ECG lie.

**Pacing**: nineteen biventricular sites, the inner centre of each of the 17 segments, the right apex and the
right outflow, as in programmed stimulation of virtual hearts (Deng 2016, Europace 18, supplement 4, iv60).

**Early sites** of sinus rhythm, after the isolated human hearts of Durrer 1970
(doi:10.1161/01.CIR.41.6.899): three areas of the left endocardium start together at 0 to 5 ms: high on the
anterior wall beside the septum, the centre of the left side of the septum, and the inferior wall beside the
septum a third of the way from apex to base. The right endocardium starts near the foot of the anterior
papillary muscle, 5 to 10 ms later (7.5 here). Durrer gives places in words; their angles and heights here
are our reading of them.

**Electrodes** lie on a plausible chest, an elliptic cylinder of 344 by 236 mm around the default place of
the heart, at the landmarks of Kligfield 2007 (doi:10.1161/CIRCULATIONAHA.106.180200): V1 and V2 beside the
sternum in the fourth intercostal space, V4 in the fifth on the line through the middle of the clavicle, V3
between V2 and V4, V5 and V6 on the anterior and the middle axillary line at the level of V4. The
millimetres are our assumption (no one's torso): amplitudes and axis of a pseudo-ECG depend on them. Limb
electrodes lie at the shoulders and the left hip, as far as the field of the heart is concerned the same as
at the wrists and the ankle.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.heart.segments import NAMES, cavity_end, insertions, middle_of_septum, place_of
from carna.heart.ventricles import Ventricles

__all__ = ["ELECTRODES_LPS", "Site", "early_sites", "pacing_sites"]

INNER = 0.34  # part of the wall, from the endocardium, in which an inner site is looked for


@dataclass(frozen=True, slots=True)
class Site:
    """A voxel of muscle with a name.

    Attributes
    ----------
    name : str
    index : (k, r, c)
        On the heart's grid.
    lps_mm : 3 floats
        Its centre.
    at_ms : float
        When it is excited, in a rhythm; 0 otherwise.
    """

    name: str
    index: tuple[int, int, int]
    lps_mm: tuple[float, float, float]
    at_ms: float = 0.0


def pacing_sites(heart: Ventricles) -> tuple[Site, ...]:
    """Return the nineteen sites: segments 1 to 17 in their order, right apex, right outflow; all inner.

    Raises
    ------
    InputError
        The heart lacks a segment or the right ventricle.
    """
    angle, height = heart.at.rotational, heart.at.apicobasal
    middle, end = _reference(heart)
    sites = []
    for number, name in enumerate(NAMES, 1):
        inside = heart.segment == number
        if number == 17:  # the inner surface of the apex is the floor of the cavity
            sites.append(_nearest(heart, inside, 0.0, end, f"17 {name}"))
            continue
        sites.append(_nearest(heart, inside, *place_of(number, middle, end), f"{number} {name}"))
    right = heart.at.right & (heart.at.transmural < 0.6)
    if not right.any():
        raise InputError("no right ventricle", needed="a right wall beside the left one")
    low = float(np.quantile(height[right], 0.001))
    floor = right & (height < low + 0.03)
    sites.append(_nearest(heart, floor, float(np.median(angle[floor])), low + 0.015, "right apex"))
    top = max(1.0, float(height[right].max()) - 0.1)
    crown = right & (height > min(top, float(np.quantile(height[right], 0.98))) - 0.02)
    front = float(np.quantile(angle[crown], 0.5))
    sites.append(_nearest(heart, crown, front, float(np.median(height[crown])), "right outflow"))
    return tuple(sites)


def early_sites(heart: Ventricles) -> tuple[Site, ...]:
    """Return the four inner sites where sinus rhythm arrives first, with their times [ms]."""
    middle, _ = _reference(heart)
    anterior, inferior = insertions(heart.labels, heart.at)
    left, right = ~heart.at.right, heart.at.right
    beside = np.radians(12.0)
    return (
        _nearest(heart, left, anterior - beside, 0.85, "left anterior, beside the septum"),
        _nearest(heart, left, middle, 0.55, "left side of the septum"),
        _nearest(heart, left, inferior + beside, 1.0 / 3.0, "left inferior, beside the septum"),
        _nearest(heart, right, middle - beside, 0.45, "right, foot of the anterior papillary muscle", 7.5),
    )


def _reference(heart: Ventricles) -> tuple[float, float]:
    """Middle angle between the insertions and the height of the left cavity's end."""
    middle = middle_of_septum(heart.labels, heart.at)
    return middle, cavity_end(heart.labels, heart.grid, heart.axes, heart.at)


def _nearest(
    heart: Ventricles,
    among: npt.NDArray[np.bool_],
    angle: float,
    height: float,
    name: str,
    at_ms: float = 0.0,
) -> Site:
    """Return the inner voxel among some that lies nearest to an angle and a height."""
    at = heart.at
    chosen = np.flatnonzero(among & (at.transmural <= INNER))
    if not len(chosen):
        chosen = np.flatnonzero(among)  # a wall of one voxel has no inner third
    if not len(chosen):
        raise InputError(f"no muscle at '{name}'", needed="a whole pair of ventricles")
    index = np.stack(np.unravel_index(at.where[chosen], heart.grid.shape), axis=1)
    place = heart.axes.to_heart(heart.grid.to_world(index))
    radius = np.hypot(place[:, 0], place[:, 1])
    turned = np.mod(at.rotational[chosen] - angle + np.pi, 2 * np.pi) - np.pi
    span = float(place[0, 2] / (1.0 - at.apicobasal[chosen[0]]))
    # The depth in the wall counts too: of two voxels in one place the inner one is taken.
    wall = at.transmural[chosen] * at.thickness_mm[chosen]
    away = (radius * turned) ** 2 + (span * (at.apicobasal[chosen] - height)) ** 2 + wall**2
    best = index[int(np.argmin(away))]
    lps = heart.grid.to_world(best)
    k, r, c = (int(i) for i in best)
    return Site(name, (k, r, c), (float(lps[0]), float(lps[1]), float(lps[2])), at_ms)


def _on_chest(x: float, z: float) -> tuple[float, float, float]:
    """Return the point of the chest's front at ``x`` to the left and ``z`` up, LPS mm."""
    return x, 4.0 - 118.0 * float(np.sqrt(1.0 - (x / 172.0) ** 2)), z


ELECTRODES_LPS: MappingProxyType[str, tuple[float, float, float]] = MappingProxyType(
    {
        "RA": (-150.0, 4.0, 170.0),
        "LA": (150.0, 4.0, 170.0),
        "LL": (100.0, 4.0, -330.0),
        "RL": (-100.0, 4.0, -330.0),
        "V1": _on_chest(-20.0, -5.0),
        "V2": _on_chest(22.0, -5.0),
        "V3": _on_chest(54.0, -17.0),
        "V4": _on_chest(85.0, -29.0),
        "V5": _on_chest(125.0, -29.0),
        "V6": _on_chest(171.9, -29.0),
    }
)
