"""Tagged short-axis cine of the virtual heart, with the exact displacement of every pixel of the wall.

Tagging modulates the magnetisation at end-diastole by a cosine of the place, and the muscle carries the
pattern along (SPAMM; reviewed by Ibrahim 2011, doi:10.1186/1532-429X-13-36). Two pulses of flip angle ``b``
leave ``cos^2 b - sin^2 b cos(w X)`` of the magnetisation at the material position ``X``, ``w`` the wave
vector of the tags. Read out at the flip angle ``a`` every ``TR``, it goes to its steady state ``S``::

    M(t) = S + (M(0) - S) exp(-t / T),   1 / T = 1 / T1 - ln(cos a) / TR
    S = (1 - E) / (1 - E cos a),         E = exp(-TR / T1)

so tags fade in some hundred milliseconds. CSPAMM is half the difference of two pictures with opposite tags,
``cos(w X) exp(-t / T)``: the fading stays, the steady state goes, and the noise is less by the root of two.
Blood loses its tags by mixing.

``X`` is `carna.phantom.heart.Heart.rest`, a closed form: what a pixel shows has come from there, through the
plane too. Not drawn: breathing between the two directions, off-resonance, flow voids, and the read-out's own
resolution (a pixel is the mean over its box).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.phantom import body
from carna.phantom.heart import Heart
from carna.phantom.labels import BACKGROUND, EPICARDIAL_FAT, MYOCARDIUM, PAPILLARY, RV_WALL
from carna.phantom.mr import Plane
from carna.phantom.patient import short_axis

Array = npt.NDArray[np.floating]

TR_MS = 5.0  # between two read-out pulses
_MIXING_MS = 40.0  # in which blood loses its tags
_MUSCLE = (1.0, 1000.0)  # signal of full magnetisation, muscle = 1; T1 ms at 1.5 T
_BLOOD = (1.1, 1500.0)
_FAT = (1.0, 280.0)
_STILL = {
    body.AIR: (0.0, 1000.0), body.FAT: _FAT, body.LUNG: (0.12, 1100.0), body.LIVER: (1.0, 600.0),
    body.GREAT_VESSEL: _BLOOD, body.BONE: (0.6, 500.0), body.CORD: (1.1, 2500.0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tagging:
    """How the tags are made.

    Parameters
    ----------
    spacing_mm : float
        Distance of two tag lines, 4 to 12 mm.
    turn_deg : float
        Angle of the first wave vector from the columns' direction towards the rows'; the second is
        perpendicular to it. -180 to 180.
    complementary : bool
        CSPAMM: signed pictures. Else SPAMM with ``b`` = 45 degrees, magnitude pictures.
    flip_deg : float
        Read-out flip angle, 0 to 20 degrees: the larger, the faster tags fade.
    snr : float
        Signal of fully magnetised, untagged muscle over the noise of one channel, 2 to 1000.

    Raises
    ------
    InputError
        A value outside its range.
    """

    spacing_mm: float = 7.0
    turn_deg: float = 45.0
    complementary: bool = False
    flip_deg: float = 7.0
    snr: float = 10.0

    def __post_init__(self) -> None:
        """Refuse values outside the ranges."""
        for name, low, high in (
            ("spacing_mm", 4.0, 12.0),
            ("turn_deg", -180.0, 180.0),
            ("flip_deg", 0.0, 20.0),
            ("snr", 2.0, 1000.0),
        ):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} = {getattr(self, name)}", needed=f"{low:g} to {high:g}")

    @property
    def waves(self) -> Array:
        """Wave vectors (2, 2) [rad/mm] along (rows, columns)."""
        turn = np.deg2rad(self.turn_deg)
        first = np.array([np.sin(turn), np.cos(turn)])
        return 2.0 * np.pi / self.spacing_mm * np.stack([first, [first[1], -first[0]]])


@dataclass(frozen=True, slots=True, eq=False)
class Tagged:
    """A tagged cine with its truth.

    Attributes
    ----------
    frames : (2, t, k, r, c) float32
        One cine for each direction; fully magnetised muscle is 1.
    wall : (t, k, r, c) bool
        Left ventricular muscle at the slice's middle.
    moved_mm : (t, k, r, c, 2) float64
        How far the muscle now at a pixel has come since end-diastole, in the plane, along (rows, columns);
        0 outside the wall.
    ecc : (t, k, r, c) float64
        Its circumferential strain (Lagrangian, engineering, about the heart's long axis); 0 outside.
    turned_deg : (t, k) float64
        How far the muscle of a slice's level has turned about the long axis, positive from the columns'
        direction to the rows'.
    times_ms : (t,) float64
        After the tags were laid down, at end-diastole.
    spacing_mm : (3,) float
        (k, r, c).
    """

    frames: npt.NDArray[np.float32]
    wall: npt.NDArray[np.bool_]
    moved_mm: Array
    ecc: Array
    turned_deg: Array
    times_ms: Array
    spacing_mm: tuple[float, float, float]


def levels(
    person: Heart,
    *,
    first_mm: float,
    step_mm: float,
    slices: int,
    pixels: int,
    pixel_mm: float,
    thickness_mm: float,
) -> Plane:
    """Return short-axis slices, base first, from ``first_mm`` below the end-diastolic valve plane."""
    plane = short_axis(person, slices, pixels, pixel_mm)
    affine, axis = plane.affine.copy(), person.axes_lps[2]
    affine[:3, 3] += (first_mm + 5.0) * axis  # that stack begins 5 mm above the valve plane
    affine[:3, 0] = step_mm * axis
    return Plane(plane.name, affine, plane.shape, thickness_mm)


def tagged(
    person: Heart, plane: Plane, phases: Array, tagging: Tagging, *, rr_ms: float = 900.0, seed: int
) -> Tagged:
    """Draw a tagged cine.

    Parameters
    ----------
    person : Heart
    plane : Plane
        Short-axis slices (`levels`).
    phases : (t,)
        Fractions of the beat, 0 up to 1; tags are laid down at 0.
    tagging : Tagging
    rr_ms : float
        Length of the beat, 400 to 1500 ms.
    seed : int
        Of the noise.
    """
    if not 400.0 <= rr_ms <= 1500.0:
        raise InputError(f"rr_ms = {rr_ms}", needed="400 to 1500 ms")
    random = np.random.default_rng(seed)
    rows, columns = (plane.affine[:3, n] / np.linalg.norm(plane.affine[:3, n]) for n in (1, 2))
    across = np.stack([rows, columns])
    boxes = _boxes(plane)  # (s, k, r, c, 3): the middle first
    sites = person.place(boxes)
    still = body.body_at(boxes)
    shape = (len(phases), *plane.shape)
    frames = np.zeros((2, *shape), np.float32)
    wall, moved, ecc = np.zeros(shape, bool), np.zeros((*shape, 2)), np.zeros(shape)
    local = (boxes - np.asarray(person.base_lps)) @ person.axes_lps.T
    for t, phase in enumerate(np.asarray(phases, float)):
        labels = person.label(sites, float(phase))
        muscle = np.isin(labels, (MYOCARDIUM, PAPILLARY, RV_WALL, EPICARDIAL_FAT))
        was = local.copy()
        was[muscle] = person.rest(local[muscle], float(phase))
        in_plane = was @ (person.axes_lps @ across.T)
        drawn = _magnetised(labels, still, in_plane, phase * rr_ms, tagging)
        frames[:, t] = _noisy(drawn, tagging, random)
        wall[t] = labels[0] == MYOCARDIUM
        here = local[0][wall[t]]
        moved[t][wall[t]] = (here - was[0][wall[t]]) @ (person.axes_lps @ across.T)
        ecc[t][wall[t]] = _hoop(person, was[0][wall[t]], float(phase))
    turned = _turned(person, plane, np.asarray(phases, float), across)
    steps = tuple(float(np.linalg.norm(plane.affine[:3, n])) for n in range(3))
    return Tagged(
        frames, wall, moved, ecc, turned, np.asarray(phases, float) * rr_ms, (steps[0], steps[1], steps[2])
    )


def _boxes(plane: Plane) -> Array:
    """Points that stand for each voxel: its middle, then two by two in three layers."""
    layers = (plane.points(share * plane.thickness_mm) for share in (-1 / 3, 0.0, 1 / 3))
    aside = [
        plane.affine[:3, 1] * down / 4.0 + plane.affine[:3, 2] * along / 4.0
        for down in (-1, 1)
        for along in (-1, 1)
    ]
    return np.stack([plane.points(), *(layer + step for layer in layers for step in aside)])


def _magnetised(
    labels: npt.NDArray[np.uint8],
    still: npt.NDArray[np.uint8],
    was_mm: Array,
    time_ms: float,
    tagging: Tagging,
) -> Array:
    """Noiseless signal (2, k, r, c): steady state and tags, each its share."""
    full, t1 = np.full(256, _BLOOD[0]), np.full(256, _BLOOD[1])
    for label in (MYOCARDIUM, PAPILLARY, RV_WALL, body.MUSCLE, body.SOFT, body.SPLEEN, body.STOMACH):
        full[label], t1[label] = _MUSCLE
    for label, (signal, relaxes) in {**_STILL, EPICARDIAL_FAT: _FAT}.items():
        full[label], t1[label] = signal, relaxes
    tissue = np.where(labels == BACKGROUND, still, labels)
    blood = (labels != BACKGROUND) & ~np.isin(labels, (MYOCARDIUM, PAPILLARY, RV_WALL, EPICARDIAL_FAT))
    cos_a = np.cos(np.deg2rad(tagging.flip_deg))
    steady = (1.0 - np.exp(-TR_MS / t1)) / (1.0 - np.exp(-TR_MS / t1) * cos_a)
    fading = np.exp(-time_ms * (1.0 / t1 - np.log(cos_a) / TR_MS))[tissue]
    tags = np.where(blood, np.exp(-time_ms / _MIXING_MS), 1.0) * np.cos(
        np.einsum("...i,di->d...", was_mm, tagging.waves)
    )
    if tagging.complementary:
        signal = tags * fading
    else:
        rest = steady[tissue]
        signal = rest + (0.5 - 0.5 * tags - rest) * fading
    drawn: Array = (full[tissue] * signal)[:, 1:].mean(axis=1)
    return drawn


def _noisy(drawn: Array, tagging: Tagging, random: np.random.Generator) -> Array:
    sd = 1.0 / tagging.snr
    if tagging.complementary:
        return np.asarray(drawn + sd / np.sqrt(2.0) * random.standard_normal(drawn.shape))
    real = drawn + sd * random.standard_normal(drawn.shape)
    return np.hypot(real, sd * random.standard_normal(drawn.shape))


def _hoop(person: Heart, was_mm: Array, phase: float) -> Array:
    """Circumferential strain at material points (n, 3) by central differences of `Heart.move`; 1e-6 exact."""
    tangent = np.stack([-was_mm[:, 1], was_mm[:, 0], 0.0 * was_mm[:, 0]], axis=-1)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    h = 1e-3
    step = person.move(was_mm + h * tangent, phase) - person.move(was_mm - h * tangent, phase)
    strain: Array = np.linalg.norm(step, axis=1) / (2.0 * h) - 1.0
    return strain


def _turned(person: Heart, plane: Plane, phases: Array, across: Array) -> Array:
    """Rotation (t, k) [deg] of the muscle at each level, from columns to rows."""
    middle = plane.affine[:3, 3] + plane.affine[:3, :1].T * np.arange(plane.shape[0])[:, None]
    z = (middle - np.asarray(person.base_lps)) @ person.axes_lps[2]
    # The heart turns from x to y; in the picture that is from columns to rows, or against it.
    x, y = person.axes_lps[0] @ across.T, person.axes_lps[1] @ across.T
    sense = np.sign(x[1] * y[0] - x[0] * y[1])
    out = np.zeros((len(phases), len(z)))
    for t, phase in enumerate(phases):
        below = np.stack([0.0 * z + 20.0, 0.0 * z, z], axis=-1)
        was = person.rest(below, float(phase))
        out[t] = -np.rad2deg(np.arctan2(was[:, 1], was[:, 0])) * sense
    return out
