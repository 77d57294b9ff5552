"""Short-axis slices for learning, and how a reader outlines them: by what is seen, and by rule.

Most slices show what their labels say. Three kinds don't, and readers outline those by habit:

- *At the base* the valve plane is tilted against the slice. Where enough of the muscular ring is left, a
  reader closes the cavity's line across the gap; where less is, nothing is outlined.
- *Squeezed*: a strong ventricle has closed; a disc of muscle is left, with little blood or none.
- *Rimmed*: trabeculae make the rim of the cavity grey; the line runs outside of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.phantom.appearance import Picture, smooth
from carna.phantom.heart import ES_PHASE, Heart
from carna.phantom.labels import LV, LV_CAVITY, MYOCARDIUM, RV, Labels, as_outlined
from carna.phantom.people import draw_heart

__all__ = ["Scene", "any_slice", "at_the_base", "rimmed", "squeezed"]

Array = npt.NDArray[np.floating]

_OVER_MM = 35.0  # depth over which the tilt of the valve plane fades


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A slice to be drawn.

    Parameters
    ----------
    points : (n, n, 3)
        LPS points of the pixel centres, mm.
    thick_mm : float
    label_at : callable
        The heart's labels at points.
    outlined : callable
        ``(drawn, labels of the middle, muscle's brightness)`` to what is seen and what a reader draws of it.
    """

    points: Array
    thick_mm: float
    label_at: Callable[[Array], Labels]
    outlined: Callable[[Picture, Labels, float], tuple[Picture, Labels]]


def any_slice(random: np.random.Generator, pixels: int) -> Scene:
    """Draw a slice anywhere from above the valves to below the apex, outlined as it is."""
    person = draw_heart(random)
    phase = float(random.choice([0.0, ES_PHASE, random.uniform(0.0, 1.0)], p=[0.25, 0.45, 0.3]))
    points, thick = _plane(person, random, pixels, random.uniform(-22.0, person.span_mm + 10.0))
    return Scene(points, thick, lambda layer: person.label_at(layer, phase), _as_seen)


def at_the_base(random: np.random.Generator, pixels: int) -> Scene:
    """Draw a slice through a tilted valve plane: half rings, closed where enough of them is left."""
    person = draw_heart(random)
    phase = float(random.choice([0.0, ES_PHASE, random.uniform()], p=[0.3, 0.5, 0.2]))
    valve = person.span_mm * (1.0 - float(person.along(phase)))
    points, thick = _plane(person, random, pixels, valve + random.uniform(-9.0, 15.0))
    steep, toward = random.uniform(5.0, 24.0), np.deg2rad(random.normal(0.0, 60.0))
    lift, least = random.uniform(-0.3, 0.6), random.uniform(0.2, 0.5)
    wide = person.radius_mm + person.wall_mm
    axes, base = person.axes_lps, np.asarray(person.base_lps)

    def label_at(layer: Array) -> Labels:
        x, y, z = np.moveaxis((layer - base) @ axes.T, -1, 0)
        side = np.clip((x * np.cos(toward) + y * np.sin(toward)) / wide, -1.2, 1.2)
        fade = np.clip(1.0 - (z - valve) / _OVER_MM, 0.0, 1.0)
        return person.label_at(layer - (steep * (side + lift) * fade)[..., None] * axes[2], phase)

    # The ventricle as if it went on to the slice: what a reader has in mind.
    above = np.maximum(valve + 2.0 - (points - base) @ axes[2], 0.0)
    whole = person.label_at(points + above[..., None] * axes[2], phase)

    def outlined(drawn: Picture, seen: Labels, _muscle: float) -> tuple[Picture, Labels]:
        target = np.where(seen == RV, RV, 0).astype(np.uint8)
        ring = whole == MYOCARDIUM
        left = ring & (seen == MYOCARDIUM)
        if left.sum() > least * ring.sum():
            target[left] = MYOCARDIUM
            target[np.isin(whole, LV_CAVITY)] = LV
        return drawn, target

    return Scene(points, thick, label_at, outlined)


def squeezed(random: np.random.Generator, pixels: int) -> Scene:
    """Draw a ventricle that has closed at end-systole: muscle, and in its middle little blood or none."""
    person = draw_heart(random, random.choice(["hypertrophic", "hypertrophic", "normal"]))
    phase = float(ES_PHASE + random.normal(0.0, 0.04))
    points, thick = _plane(person, random, pixels, random.uniform(0.3, 1.02) * person.span_mm)
    closed, blood = random.uniform(0.35, 1.15), random.choice([0.0, 1.0, random.uniform(0.2, 1.0)])
    uneven = 1.0 + 0.25 * smooth(random, points.shape[:2], 4.0)

    def label_at(layer: Array) -> Labels:
        labels = person.label_at(layer, phase)
        cavity, away = _cavity(labels)
        labels[cavity] = LV
        labels[cavity & (away * uneven <= closed * away.max())] = MYOCARDIUM
        return labels

    def outlined(drawn: Picture, seen: Labels, muscle: float) -> tuple[Picture, Labels]:
        core = seen == LV
        share = blood if core.sum() < 250 else max(blood, 0.6)
        return _dimmed(drawn, core, share, muscle), as_outlined(seen)

    return Scene(points, thick, label_at, outlined)


def rimmed(random: np.random.Generator, pixels: int) -> Scene:
    """Draw a cavity whose rim is grey with trabeculae, mostly at end-diastole."""
    person = draw_heart(random)
    phase = float(random.choice([0.0, random.uniform()], p=[0.75, 0.25]))
    points, thick = _plane(person, random, pixels, random.uniform(0.02, 0.95) * person.span_mm)
    reach, full = random.uniform(0.0, 2.2), random.uniform(0.5, 1.0)
    rough = smooth(random, points.shape[:2], float(random.uniform(2.0, 5.0)))
    uneven = np.clip(1.0 + 0.7 * rough, 0.0, 2.5)

    def outlined(drawn: Picture, seen: Labels, muscle: float) -> tuple[Picture, Labels]:
        cavity, away = _cavity(seen)
        share = full * np.clip(reach * uneven - away + 1.0, 0.0, 1.0)
        return _dimmed(drawn, cavity, 1.0 - share, muscle), as_outlined(seen)

    return Scene(points, thick, lambda layer: person.label_at(layer, phase), outlined)


def _as_seen(drawn: Picture, seen: Labels, _muscle: float) -> tuple[Picture, Labels]:
    return drawn, as_outlined(seen)


def _cavity(labels: Labels) -> tuple[npt.NDArray[np.bool_], Array]:
    """Return the left cavity of one layer, and the distance of its pixels from its rim."""
    from scipy.ndimage import distance_transform_edt

    cavity = np.isin(labels, LV_CAVITY)
    return cavity, np.asarray(distance_transform_edt(cavity)) if cavity.any() else np.zeros(labels.shape)


def _dimmed(drawn: Picture, where: npt.NDArray[np.bool_], share: Array | float, muscle: float) -> Picture:
    """Leave a share of the brightness where blood and muscle are seen through each other."""
    return np.where(where, share * drawn + (1.0 - share) * muscle, drawn).astype(np.float32)


def _plane(person: Heart, random: np.random.Generator, pixels: int, depth_mm: float) -> tuple[Array, float]:
    """LPS points (n, n, 3) of one slightly tilted slice at a depth below the valves, its thickness [mm]."""
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
    shift = random.normal(0.0, 7.0, 2)
    # Pictures are cut around the left ventricle, which lies left of their middle as often as right of it.
    centre = np.asarray(person.base_lps) + depth_mm * axis + shift[0] * column + shift[1] * row
    steps = (np.arange(pixels) - (pixels - 1) / 2.0) * mm
    points = centre + steps[:, None, None] * row + steps[None, :, None] * column
    return points, float(random.uniform(5.0, 10.0))
