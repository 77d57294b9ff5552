"""Apical echo views of a whole virtual heart: four- and two-chamber, with leaflets, as lessons and as cines.

The probe stands near the apex, a little off it and a little tilted, as hands do; the plane is turned about
the long axis to the view. What the picture shows is `carna.phantom.ultrasound`; the labels are exact:
0 anything else, 1 left ventricular cavity (papillary muscles and leaflets belong to it), 2 left ventricular
muscle, 3 left atrium.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from carna.phantom.appearance import smooth
from carna.phantom.chambers import WholeHeart, draw_whole
from carna.phantom.heart import ES_PHASE, contraction
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
from carna.phantom.slices import Lesson
from carna.phantom.ultrasound import Fan, Sound, insonified, lattice, scatterers

Array = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]
View = Literal["4CH", "2CH"]

# Turn of the plane about the long axis from the middle of the septum; the picture's right is opposite, so
# that the left ventricle lies right of the right one, and the anterior wall right of the inferior one.
_TURNS_DEG = {"4CH": 0.0, "2CH": 62.0}
_TAUGHT = np.zeros(256, np.uint8)
_TAUGHT[[LV, PAPILLARY]], _TAUGHT[MYOCARDIUM], _TAUGHT[LEFT_ATRIUM] = 1, 2, 3
_BLOOD = (LV, RV, LEFT_ATRIUM, RIGHT_ATRIUM, AORTA, PULMONARY_ARTERY, PULMONARY_VEIN, VENA_CAVA)
_LEAFLET = 40


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """How one patient looks to one scanner: what stays the same over a cine.

    Parameters
    ----------
    sound : Sound
    backscatter_db, impedance : (256,) float
        By label; muscle is 0 dB and 1.
    around_db : (samples, beams) float
        Backscatter of what lies around the heart.
    patchy_db : (samples, beams) float
        What the direction of its fibres adds to the backscatter of muscle.
    gain_db : (samples, beams) float
        Shadows and uneven contact.
    grain : complex lattice
        `carna.phantom.ultrasound.lattice`.
    leaflet_mm : float
        Thickness of a leaflet; 0: none is seen.
    gamma : float
        Of the grey map.
    """

    sound: Sound
    backscatter_db: Array
    impedance: Array
    around_db: Array
    patchy_db: Array
    gain_db: Array
    grain: npt.NDArray[np.complex64]
    leaflet_mm: float
    gamma: float


@dataclass(frozen=True, slots=True, eq=False)
class EchoCine:
    """A virtual clip.

    Parameters
    ----------
    pictures, labels : (t, n, n) uint8
        The sector, 0 to 255, and the truth (see the module).
    mm : float
        Size of a pixel.
    phases : (t,) float
        Fraction of the beat of each frame, growing past 1 with the beats.
    times_ms : (t,) float
    """

    pictures: npt.NDArray[np.uint8]
    labels: Labels
    mm: float
    phases: Array
    times_ms: Array


def apical(person: WholeHeart, view: View, random: np.random.Generator, *, care: float = 1.0) -> Fan:
    """Put the probe near the apex.

    Parameters
    ----------
    person : WholeHeart
    view : str
    random : numpy.random.Generator
    care : float
        Size of what hands do wrong: 0 stands on the apex and turns exactly, 1 is usual.
    """
    heart = person.heart
    septum, across, axis = heart.axes_lps
    turn = np.deg2rad(_TURNS_DEG[view] + care * random.normal(0.0, 9.0))
    right = -(np.cos(turn) * septum + np.sin(turn) * across)
    aside = np.cross(right, axis)
    stand_off = random.uniform(6.0, 28.0)
    foot = np.asarray(heart.base_lps) + (heart.span_mm + stand_off) * axis
    foot = foot + care * (random.normal(0.0, 9.0) * right + random.normal(0.0, 4.0) * aside)
    # Aim between the middle of the cavity and the valve; the septum is often what stands upright.
    size = (heart.edv_ml / 140.0) ** (1.0 / 3.0)
    aim = np.asarray(heart.base_lps) + 0.2 * heart.span_mm * axis - 9.0 * size * (view == "4CH") * right
    aim = aim + care * (random.normal(0.0, 13.0) * right + random.normal(0.0, 4.0) * aside)
    forward = (aim - foot) / np.linalg.norm(aim - foot)
    right = right - (right @ forward) * forward
    atrium = 2.0 * (person.left_ml * 1e3 * 3.0 / (4.0 * np.pi)) ** (1.0 / 3.0)
    depth = stand_off + heart.span_mm + atrium * random.uniform(0.75, 1.5) + random.uniform(0.0, 45.0)
    half = random.uniform(33.0, 46.0)
    return Fan(foot, forward, right / np.linalg.norm(right), half, float(np.clip(depth, 110.0, 240.0)))


def draw_look(fan: Fan, random: np.random.Generator, seed: int) -> Look:
    """Draw scanner, tissue and chest, wider than they differ."""
    between = random.uniform
    blood = between(-52.0, -22.0)
    table = between(-14.0, 6.0, 256)
    table[list(_BLOOD)] = blood
    table[MYOCARDIUM] = 0.0
    table[[PAPILLARY, RV_WALL]] = between(-3.0, 5.0, 2)
    if random.random() < 0.55:  # most papillary muscles lie beside the plane
        table[PAPILLARY] = blood
    table[EPICARDIAL_FAT] = between(-8.0, 14.0)
    table[ATRIAL_WALL] = between(-10.0, 13.0)
    table[_LEAFLET] = between(-2.0, 14.0)
    impedance = np.ones(256)
    impedance[list(_BLOOD)] = 0.0
    impedance[EPICARDIAL_FAT] = between(0.6, 2.6)
    impedance[ATRIAL_WALL] = between(0.4, 2.0)
    impedance[_LEAFLET] = between(1.0, 2.5)
    sound = Sound(
        pulse_mm=between(0.35, 1.0),
        beam_deg=between(0.55, 1.35),
        focus_mm=between(50.0, 120.0),
        spread=between(0.2, 1.5),
        lobes_db=between(-42.0, -22.0),
        lobes_deg=between(4.0, 12.0),
        mirror=between(0.5, 7.0),
        mirror_power=between(1.0, 4.0),
        loss_db_cm=between(-0.5, 0.8),
        haze_db=between(-18.0, 4.0),
        haze_mm=between(6.0, 30.0),
        noise_db=between(-50.0, -20.0),
        gain_db_cm=between(0.0, 1.6),
        range_db=between(36.0, 72.0),
        white_db=between(8.0, 24.0),
    )
    return Look(
        sound,
        table,
        impedance,
        _around(fan, random),
        random.uniform(0.0, 7.0) * smooth(random, (fan.samples, fan.beams), float(random.uniform(7.0, 22.0))),
        _shadows(fan, random),
        lattice(seed),
        float(between(0.8, 2.4)) if random.random() < 0.9 else 0.0,
        float(between(0.7, 1.6)),
    )


def _around(fan: Fan, random: np.random.Generator) -> Array:
    """Backscatter of what is not heart: patches, from lung that is black to fat that is white."""
    shape = (fan.samples, fan.beams)
    mean = random.uniform(-26.0, 8.0)
    patches = mean + random.uniform(3.0, 9.0) * smooth(random, shape, float(random.uniform(10.0, 40.0)))
    # The chest wall: layers that lie square to the beams.
    depth = fan.ranges_mm[:, None]
    layers = 6.0 * np.sin(depth / random.uniform(1.5, 4.0) + 0.6 * smooth(random, shape, 25.0))
    wall = random.uniform(8.0, 26.0)
    near = 1.0 / (1.0 + np.exp((depth - wall) / 2.0))
    around: Array = (1.0 - near) * patches + near * (random.uniform(-10.0, 4.0) + layers)
    return around


def _shadows(fan: Fan, random: np.random.Generator) -> Array:
    """Loss by beam: bad contact at the rims, ribs, lung that slides in, uneven gain."""
    beams, depth = np.linspace(-1.0, 1.0, fan.beams)[None], fan.ranges_mm[:, None]
    gain = random.uniform(0.0, 4.0) * smooth(random, (1, fan.beams), random.uniform(5.0, 15.0))
    gain = gain + random.uniform(0.0, 3.0) * smooth(random, (fan.samples, fan.beams), 25.0)
    for side in (-1.0, 1.0):
        if random.random() < 0.65:
            edge = random.uniform(0.35, 1.05)
            soft = random.uniform(0.03, 0.2)
            begin = random.uniform(5.0, 60.0) if random.random() < 0.5 else 0.0
            lost = random.uniform(8.0, 45.0) / (1.0 + np.exp(-(side * beams - edge) / soft))
            gain = gain - lost / (1.0 + np.exp(-(depth - begin) / 4.0))
    if random.random() < 0.2:
        at, width = random.uniform(-0.9, 0.9), random.uniform(0.03, 0.12)
        lost = random.uniform(5.0, 25.0) * np.exp(-(((beams - at) / width) ** 2))
        gain = gain - lost / (1.0 + np.exp(-(depth - random.uniform(0.0, 50.0)) / 4.0))
    return np.asarray(gain + np.zeros((fan.samples, fan.beams)))


def seen(
    person: WholeHeart,
    fan: Fan,
    look: Look,
    phase: float,
    random: np.random.Generator,
    bend: tuple[Array, Array] | None = None,
) -> tuple[npt.NDArray[np.float32], Labels]:
    """Return one polar picture 0 to 1 and the labels that are taught, (samples, beams) each.

    ``bend`` moves every sample by (rightward, forward) mm before the heart is asked what is there: another
    anatomy, the same physics.
    """
    right, forward = fan.in_plane_mm
    if bend is not None:
        right, forward = right + bend[0], forward + bend[1]
    points = fan.points(right, forward)
    labels = person.label_at(points, phase)
    local = (points - np.asarray(person.heart.base_lps, np.float32)) @ person.heart.axes_lps.T.astype(
        np.float32
    )
    tissue = labels.copy()
    if look.leaflet_mm > 0.0:
        tissue[_leaflets(person, fan, local, phase, look.leaflet_mm)] = _LEAFLET
    level = np.where(tissue == BACKGROUND, look.around_db, look.backscatter_db[tissue])
    level = level + np.where(np.isin(tissue, (MYOCARDIUM, PAPILLARY, RV_WALL)), look.patchy_db, 0.0)
    # Muscle, valves and atria carry their scatterers; the chest around them rests; blood has none of its own.
    material = np.where((labels == BACKGROUND)[..., None], points, person.heart.rest(local, phase))
    grain = scatterers(look.grain, material)
    picture = insonified(level, look.impedance[tissue], grain, look.gain_db, fan, look.sound, random)
    return np.asarray(picture**look.gamma, np.float32), _TAUGHT[labels]


def opening(phase: float, atrial_share: float) -> float:
    """How far the mitral valve is open, 0 to 1: as blood flows in."""
    step = 0.01
    inflow = float(contraction(phase - step, atrial_share) - contraction(phase + step, atrial_share))
    middle = ES_PHASE + 0.03 < np.mod(phase, 1.0) < 0.99  # half open between the two waves
    return float(np.clip(9.0 * inflow, 0.35 if middle else 0.0, 1.0))


def _leaflets(
    person: WholeHeart, fan: Fan, local: Array, phase: float, thick_mm: float
) -> npt.NDArray[np.bool_]:
    """Where the leaflets of both valves cross the plane: straight flaps on hinges."""
    heart = person.heart
    size = (heart.edv_ml / 140.0) ** (1.0 / 3.0)
    valve = heart.span_mm * (1.0 - float(heart.along(phase)))
    open_ = opening(phase, heart.atrial_share)
    right = heart.axes_lps @ fan.right_lps
    right = right[:2] / np.linalg.norm(right[:2])
    near = np.zeros(local.shape[:-1], bool)
    valves = (((-4.0, 4.0), 15.5, (1.35, 0.85)), ((42.0, 4.0), 16.0, (1.0, 1.0)))
    for centre, radius, lengths in valves:
        offset = local[..., :2] - np.asarray(centre, np.float32) * size
        u, v = offset @ right.astype(np.float32), local[..., 2] - valve
        if np.abs(offset @ np.array([-right[1], right[0]], np.float32)).min() > radius * size:
            continue
        for side, length in zip((-1.0, 1.0), lengths, strict=True):
            # Closed they meet a little below the valve plane, open they hang towards the apex.
            angle = np.deg2rad(12.0 + 68.0 * open_)
            reach = radius * size * length * (1.0 if open_ > 0.2 else 1.02 / np.cos(angle) / max(length, 1.0))
            du, dv = u - side * radius * size, v + 1.0
            way = np.array([-side * np.cos(angle), np.sin(angle)])
            run = np.clip(du * way[0] + dv * way[1], 0.0, reach)
            near |= np.hypot(du - run * way[0], dv - run * way[1]) < thick_mm / 2.0 + 0.3
    return near


def lesson(random: np.random.Generator, pixels: int = 128) -> Lesson:
    """Draw one apical picture of a new heart with its labels.

    Parameters
    ----------
    random : numpy.random.Generator
    pixels : int
        Rows and columns, 64 to 256; the picture is as deep as the sector.

    Returns
    -------
    Lesson
        Labels as in the module.
    """
    person = draw_whole(random)
    view: View = "4CH" if random.random() < 0.6 else "2CH"
    fan = apical(person, view, random)
    look = draw_look(fan, random, int(random.integers(2**31)))
    phase = float(random.choice([0.0, ES_PHASE, random.uniform(0.0, 1.0)], p=[0.25, 0.3, 0.45]))
    polar, labels = seen(person, fan, look, phase, random, _bend(fan, random))
    shift = float(random.normal(0.0, 0.05)) * fan.depth_mm
    picture = fan.scanned(polar, pixels, shift_mm=shift)
    target = fan.scanned(labels, pixels, order=0, shift_mm=shift)
    return Lesson(_shown(picture, random), np.asarray(target, np.uint8))


def _bend(fan: Fan, random: np.random.Generator) -> tuple[Array, Array]:
    shape = (fan.samples, fan.beams)
    size, reach = random.uniform(0.0, 4.0), float(random.uniform(18.0, 45.0))
    right, forward = (size * smooth(random, shape, reach) for _ in range(2))
    return np.asarray(right), np.asarray(forward)


def _shown(picture: Array, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """What storing does: a little blur, a level, blocks of a coarse compression."""
    from scipy.ndimage import gaussian_filter

    soft = gaussian_filter(picture, random.uniform(0.0, 0.9))
    if random.random() < 0.5:
        soft = soft * random.uniform(0.3, 1.0)
    if random.random() < 0.4:
        steps = random.uniform(12.0, 60.0)
        soft = np.rint(soft * steps) / steps
    return np.asarray(np.clip(soft, 0.0, 1.0), np.float32)


def cine(
    person: WholeHeart,
    fan: Fan,
    look: Look,
    *,
    frames: int = 30,
    beats: float = 1.2,
    begin: float = 0.0,
    rr_ms: float = 900.0,
    pixels: int = 192,
    seed: int = 0,
) -> EchoCine:
    """Draw a clip whose speckle moves with the tissue.

    Parameters
    ----------
    person, fan, look
        Who is seen, from where, and how.
    frames : int
    beats : float
        How many heart beats the clip lasts.
    begin : float
        Phase of the first frame: clips without an electrocardiogram begin anywhere.
    rr_ms : float
    pixels : int
    seed : int
        Of noise and reverberation.
    """
    phases = begin + beats * np.arange(frames) / frames
    pictures = np.zeros((frames, pixels, pixels), np.uint8)
    labels = np.zeros(pictures.shape, np.uint8)
    for t, phase in enumerate(phases):
        random = np.random.default_rng([seed, t])
        polar, truth = seen(person, fan, look, float(phase), random)
        pictures[t] = np.rint(255.0 * np.clip(fan.scanned(polar, pixels), 0.0, 1.0)).astype(np.uint8)
        labels[t] = fan.scanned(truth, pixels, order=0)
    return EchoCine(pictures, labels, fan.depth_mm / pixels, phases, phases * rr_ms - begin * rr_ms)
