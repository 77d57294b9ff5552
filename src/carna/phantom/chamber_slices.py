"""Slices of whole hearts for learning: axial, coronal and sagittal, as CT and as MR, with exact labels.

One `WholeHeart`, one phase, one plane of the three that a volume is read in, a few degrees off. The heart is
turned, stretched and bent as a whole before it is cut, so that no valve plane is flat and no two chests lie
alike; every second picture is a CT (`carna.phantom.ct`: any moment of the injection, and iodine that no
injection gives), the others are magnetic resonance as `carna.phantom.appearance` draws it anew each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from carna.phantom import body, ct
from carna.phantom.appearance import brightness, clutter, scanned, smooth, with_flow_and_texture
from carna.phantom.chambers import WholeHeart, draw_whole
from carna.phantom.heart import ES_PHASE
from carna.phantom.labels import (
    AORTA,
    BACKGROUND,
    LEFT_ATRIUM,
    LV,
    MYOCARDIUM,
    PAPILLARY,
    PULMONARY_ARTERY,
    RIGHT_ATRIUM,
    RV,
    Labels,
)
from carna.phantom.slices import Lesson

__all__ = ["CLASSES", "as_chambers", "lesson"]

Array = npt.NDArray[np.floating]
Picture = npt.NDArray[np.float32]

# What a lesson's labels mean, in order: 0 is outside.
CLASSES: Final = (RV, MYOCARDIUM, LV, LEFT_ATRIUM, RIGHT_ATRIUM, AORTA, PULMONARY_ARTERY)
# Rows and columns of the three planes, LPS: feet down, the patient's left at the right, front up or left.
PLANES: Final = (((0, 1, 0), (1, 0, 0)), ((0, 0, -1), (1, 0, 0)), ((0, 0, -1), (0, 1, 0)))
_SHARES: Final = (0.44, 0.28, 0.28)
_MIDDLE: Final = np.array([8.0, -10.0, 10.0])  # LPS mm, about which hearts are turned and cut


def as_chambers(labels: Labels) -> Labels:
    """Return `carna.phantom.labels` as 1 to 7 in the order of `CLASSES`, papillary muscles in the cavity."""
    table = np.zeros(256, np.uint8)
    for n, label in enumerate(CLASSES, start=1):
        table[label] = n
    table[PAPILLARY] = 1 + CLASSES.index(LV)
    return np.asarray(table[labels])


@dataclass(frozen=True, slots=True, eq=False)
class _Bend:
    """A turn, a stretch and a smooth bend of space about a place, points to where they came from."""

    centre: Array
    matrix: Array
    waves: Array

    @classmethod
    def draw(cls, random: np.random.Generator, turn_deg: float, stretch: float, bend_mm: float) -> _Bend:
        a = random.normal(0.0, np.deg2rad(turn_deg), 3)
        turn = np.eye(3) + np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])
        turn = np.linalg.qr(turn)[0]
        turn *= np.sign(np.diag(turn))  # columns as near to the axes as they were
        matrix = turn @ np.diag(np.exp(random.normal(0.0, stretch, 3)))
        direction = random.normal(0.0, 1.0, (5, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        k = direction * 2.0 * np.pi / random.uniform(45.0, 130.0, (5, 1))
        amplitude = bend_mm * random.normal(0.0, 1.0, (5, 3)) / np.sqrt(2.5)
        waves = np.hstack([k, amplitude, random.uniform(0.0, 2.0 * np.pi, (5, 1))])
        return cls(_MIDDLE + random.normal(0.0, 8.0, 3), matrix.astype(np.float32), waves.astype(np.float32))

    def back(self, points: Array) -> Array:
        centre = self.centre.astype(np.float32)
        away = points.astype(np.float32) - centre
        at = away @ self.matrix.T + centre
        for wave in self.waves:
            at += np.sin(away @ wave[:3] + wave[6])[..., None] * wave[3:6]
        return np.asarray(at)


def lesson(random: np.random.Generator, pixels: int = 128) -> Lesson:
    """Draw one picture of a whole heart with its labels.

    Parameters
    ----------
    random : numpy.random.Generator
    pixels : int
        Rows and columns, of 1.7 to 2.4 mm.

    Returns
    -------
    Lesson
        Labels 0 outside, 1 right ventricle, 2 left ventricular muscle, 3 left ventricle, 4 left atrium,
        5 right atrium, 6 aorta, 7 pulmonary artery.
    """
    person = draw_whole(random)
    phase = float(random.choice([0.75, ES_PHASE, random.uniform(0.0, 1.0)], p=[0.45, 0.15, 0.4]))
    mm = float(random.uniform(1.7, 2.4))
    points = _plane(random, pixels, mm)
    bend = _Bend.draw(random, 9.0, 0.10, float(random.uniform(0.0, 4.0)))
    chest = _Bend.draw(random, 4.0, 0.08, float(random.uniform(0.0, 4.0)))
    thick = float(random.choice([1.0, random.uniform(2.0, 9.0)], p=[0.65, 0.35]))
    layers = _layers(points, thick, person, bend, chest, phase)
    sac_mm = float(random.uniform(0.0, 14.0))
    layers = [(heart, ct.in_its_sac(t, heart != BACKGROUND, mm, sac_mm)) for heart, t in layers]
    draw = _as_ct if random.random() < 0.5 else _as_mr
    picture = draw(layers, random, mm)
    return Lesson(_cropped(picture, random), as_chambers(layers[0][0]))


def _plane(random: np.random.Generator, pixels: int, mm: float) -> Array:
    """LPS points (n, n, 3) of one slice."""
    rows, columns = np.array(PLANES[int(random.choice(3, p=_SHARES))], float)
    tilt = random.normal(0.0, np.deg2rad(5.0), (2, 3))
    rows, columns = rows + tilt[0], columns + tilt[1]
    rows /= np.linalg.norm(rows)
    columns -= (columns @ rows) * rows
    columns /= np.linalg.norm(columns)
    normal = np.cross(rows, columns)
    depth = random.uniform(-80.0, 80.0) if random.random() < 0.9 else random.uniform(-170.0, 170.0)
    shift = random.normal(0.0, 18.0, 2)
    centre = _MIDDLE + depth * normal + shift[0] * rows + shift[1] * columns
    steps = (np.arange(pixels) - (pixels - 1) / 2.0) * mm
    return np.asarray(centre + steps[:, None, None] * rows + steps[None, :, None] * columns)


def _layers(
    points: Array, thick: float, person: WholeHeart, bend: _Bend, chest: _Bend, phase: float
) -> list[tuple[Labels, Labels]]:
    """Return (heart's labels, tissue) of a slice's middle, and of two layers beside it if it is thick."""
    normal = np.cross(points[1, 0] - points[0, 0], points[0, 1] - points[0, 0])
    normal *= thick / 3.0 / np.linalg.norm(normal)
    around = chest_tissue(points, chest)
    out = []
    for offset in (0.0, -1.0, 1.0) if thick > 1.0 else (0.0,):
        at = bend.back(points + offset * normal)
        labels = person.label_at(at, phase)
        tissue = ct.tissue_of(labels, at, person)
        out.append((labels, np.where(labels == BACKGROUND, around, tissue)))
    return out


def chest_tissue(points: Array, chest: _Bend) -> Labels:
    """Return the bent chest around the heart."""
    return ct.chest_at(chest.back(points))


def _as_ct(layers: list[tuple[Labels, Labels]], random: np.random.Generator, mm: float) -> Picture:
    from scipy.ndimage import gaussian_filter

    table = _attenuation(random)
    drawn = np.mean([table[tissue] for _, tissue in layers], axis=0).astype(np.float32)
    labels = layers[0][0]
    if random.random() < 0.15:
        drawn = np.where(labels == BACKGROUND, 1400.0 * clutter(random, drawn.shape) - 900.0, drawn)
    # Mixing is worst where the jets meet, in the right atrium; every pool has some.
    for label, most in ((RIGHT_ATRIUM, 0.8), (RV, 0.35), (LV, 0.1), (LEFT_ATRIUM, 0.1), (AORTA, 0.1)):
        share = random.uniform(0.0, most) * ct.swirling(random, drawn.shape, mm)
        drawn = np.where(labels == label, drawn + share * np.maximum(drawn - 40.0, 0.0), drawn)
    shifted = with_flow_and_texture((drawn + 1000.0) / 1000.0, labels, (table + 1000.0) / 1000.0, random)
    drawn = 1000.0 * np.asarray(shifted) - 1000.0 if random.random() < 0.7 else drawn
    if random.random() < 0.25:  # streaks beside dense iodine
        angle, width = random.uniform(0.0, np.pi), random.uniform(3.0, 9.0)
        r, c = np.indices(drawn.shape, dtype=np.float32)
        wave = np.sin(
            (np.cos(angle) * r + np.sin(angle) * c) / width + 3.0 * smooth(random, drawn.shape, 20.0)
        )
        drawn = drawn + random.uniform(0.0, 45.0) * wave
    kernel: ct.Kernel = ("soft", "medium", "sharp")[int(random.integers(3))]
    drawn = gaussian_filter(drawn, random.uniform(0.3, 0.75))
    drawn = drawn + random.uniform(2.0, 45.0) * ct.noise(random, drawn.shape, (mm, mm), kernel)
    low, high = random.uniform(-350.0, -80.0), random.uniform(350.0, 900.0)
    if table[LV] < 90.0 and random.random() < 0.8:
        high = random.uniform(130.0, 400.0)
    return np.asarray(np.clip((drawn - low) / (high - low), 0.0, 1.0), np.float32)


def _attenuation(random: np.random.Generator) -> Picture:
    """Return the attenuation of one injection that a hospital gives, or of one that nobody does."""
    moments: tuple[ct.Moment, ...] = tuple(ct.CONTRAST)
    moment = moments[int(random.choice(len(moments), p=[0.12, 0.2, 0.38, 0.12, 0.18]))]
    iodine = np.array(ct.CONTRAST[moment])
    dose = np.exp(random.normal(0.0, 0.2))
    iodine = dose * iodine * np.exp(random.normal(0.0, [0.5, 0.45, 0.3, 0.15, 0.1, 0.3, 0.4]))
    if random.random() < 0.2:
        iodine[:5] = random.uniform(2.0, 24.0, 5)
    kvp = int(random.choice(list(ct.IODINE), p=[0.15, 0.35, 0.45, 0.05]))
    table = ct.attenuation(moment, kvp, iodine=tuple(float(x) for x in iodine))
    table[[RIGHT_ATRIUM, RV]] += random.normal(0.0, 0.15, 2) * (table[RV] - 42.0)
    table[[LEFT_ATRIUM, LV]] += random.normal(0.0, 0.05, 2) * (table[LV] - 42.0)
    table += np.where((table > -300.0) & (table < 100.0), random.normal(0.0, 8.0, 256), 0.0).astype(
        np.float32
    )
    table[body.SOFT] = random.choice([-90.0, random.uniform(-100.0, 45.0)])
    table[body.STOMACH] = random.choice([-700.0, 10.0, 150.0])
    table[body.BONE] = random.uniform(180.0, 700.0)
    table[body.LUNG] = random.uniform(-920.0, -700.0)
    return table


def _as_mr(layers: list[tuple[Labels, Labels]], random: np.random.Generator, mm: float) -> Picture:
    table = brightness(random)
    table[[ct.TRACHEA, body.LUNG]] = random.uniform(0.0, 0.2)
    table[ct.LOWER_CAVA] = table[LV] * random.uniform(0.7, 1.2)
    drawn = np.mean([table[tissue] for _, tissue in layers], axis=0).astype(np.float32)
    labels = layers[0][0]
    if random.random() < 0.3:
        drawn = np.where(labels == BACKGROUND, clutter(random, drawn.shape), drawn)
    if random.random() < 0.3:  # blood that runs in is brighter or darker than blood that stays
        for label in (RIGHT_ATRIUM, RV, LEFT_ATRIUM, AORTA, PULMONARY_ARTERY):
            share = random.uniform(0.0, 0.4) * ct.swirling(random, drawn.shape, mm)
            drawn = np.where(labels == label, drawn * np.maximum(1.0 + share, 0.2), drawn)
    return scanned(with_flow_and_texture(drawn.astype(np.float32), labels, table, random), random)


def _cropped(picture: Picture, random: np.random.Generator) -> Picture:
    """Return the picture, in some lessons with nothing outside a smaller field of view."""
    if random.random() > 0.3:
        return picture
    n = len(picture)
    half = random.uniform(0.28, 0.55, 2) * n
    middle = (n - 1) / 2.0 + random.normal(0.0, 6.0, 2)
    r, c = (np.abs(np.arange(n) - at) for at in middle)
    if random.random() < 0.4:
        inside = (r[:, None] / half[0]) ** 2 + (c[None, :] / half[1]) ** 2 < 1.5
    else:
        inside = (r[:, None] < half[0]) & (c[None, :] < half[1])
    return np.where(inside, picture, 0.0).astype(np.float32)
