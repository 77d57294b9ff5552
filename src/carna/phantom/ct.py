"""Computed tomography of the phantom: attenuation, iodine, the scanner's blur and its noise.

A voxel's value is the mean attenuation of what it holds, in Hounsfield units, and noise ::

    HU = native(tissue) + g(kVp) c(compartment) + noise

``g`` is what one milligram of iodine a millilitre adds (about 26 HU at 120 kVp, more at lower voltage, where
more photons meet the k-edge) and ``c`` the concentration in a compartment, which the moment of the
injection decides (`CONTRAST`): the superior vena cava first, then right heart, lung, left heart, aorta; a
tissue takes up in proportion to its blood. In the right atrium, dense blood from above meets clear blood
from below and swirls.

The mean is taken over the slice (`Scan.thickness_mm`), over the in-plane blur of the reconstruction kernel,
and over the part of the beat in which the half-turn of the tube falls; without gating every slab of the
table's travel meets another phase. Noise has the spectrum of filtered back-projection: a ramp times the
squared response of the kernel (Riederer, Pelc and Chesler 1978, doi:10.1088/0031-9155/23/3/008), and its
standard deviation falls with the square root of the slice thickness. Not drawn: beam hardening, scatter,
metal, the helix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from carna.case import Case
from carna.errors import InputError
from carna.phantom import body
from carna.phantom.appearance import smooth
from carna.phantom.chambers import WholeHeart
from carna.phantom.heart import Heart
from carna.phantom.labels import (
    AORTA,
    ATRIAL_WALL,
    ATRIUM,
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
    VESSEL,
    Labels,
)
from carna.space import Grid
from carna.study import Image, Lazy, Origin, Patient, Study

Array = npt.NDArray[np.floating]
Moment = Literal["native", "pulmonary", "arterial", "triple", "venous"]
Kernel = Literal["soft", "medium", "sharp"]

# Of the chest, beside `carna.phantom.body`.
TRACHEA, OESOPHAGUS, LOWER_CAVA = 40, 41, 42

_BLOOD = 42.0  # HU, at a haematocrit of 0.43
_NATIVE: Mapping[int, float] = MappingProxyType(
    {
        **dict.fromkeys(
            (RV, LV, ATRIUM, VESSEL, LEFT_ATRIUM, RIGHT_ATRIUM, AORTA, PULMONARY_ARTERY, PULMONARY_VEIN,
             VENA_CAVA, LOWER_CAVA, body.GREAT_VESSEL, body.LUNG_VESSEL), _BLOOD,
        ),
        **dict.fromkeys((MYOCARDIUM, PAPILLARY, RV_WALL), 50.0),
        ATRIAL_WALL: 40.0, EPICARDIAL_FAT: -95.0,
        body.AIR: -1000.0, body.FAT: -105.0, body.MUSCLE: 52.0, body.BONE: 320.0, body.LUNG: -850.0,
        body.LIVER: 57.0, body.STOMACH: 15.0, body.SPLEEN: 47.0, body.CORD: 32.0, body.SOFT: -85.0,
        TRACHEA: -980.0, OESOPHAGUS: 32.0,
    }
)  # fmt: skip

# Iodine, mg/mL, in: vena cava, right heart, pulmonary artery, left heart with its veins, aorta, muscle of the
# heart, liver and spleen. Typical of the moments of an injection; lessons draw them anew and wider.
CONTRAST: Mapping[Moment, tuple[float, ...]] = MappingProxyType(
    {
        "native": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        "pulmonary": (32.0, 18.0, 16.0, 9.0, 6.0, 0.8, 0.3),
        "arterial": (12.0, 6.0, 8.0, 14.0, 13.5, 2.4, 0.8),
        "triple": (20.0, 13.0, 13.0, 13.0, 12.5, 2.2, 0.8),
        "venous": (5.0, 5.0, 5.0, 5.0, 5.0, 2.6, 2.2),
    }
)
# HU a mg/mL adds.
IODINE: Mapping[int, float] = MappingProxyType({80: 41.0, 100: 32.0, 120: 26.0, 140: 22.0})
_BLUR_MM: Mapping[Kernel, float] = MappingProxyType({"soft": 0.55, "medium": 0.4, "sharp": 0.25})


@dataclass(frozen=True, slots=True)
class Scan:
    """How the scanner is set.

    Parameters
    ----------
    moment : str
        Of the injection: one of `CONTRAST`.
    kvp : int
        Tube voltage, one of `IODINE`.
    noise_hu : float
        Standard deviation of the noise at 1 mm slices, 0 to 80 HU.
    kernel : str
        Sharper kernels blur less and grain finer.
    thickness_mm : float
        Of a slice, 0.4 to 10.
    phase : float or None
        Fraction of the beat at which a gated scan is read; None is a scan without gating.
    rotation_s, heart_rate_bpm : float
        Of the tube (0.2 to 1.0; a picture takes half of it) and of the heart (35 to 160).
    travel_mm_s : float
        Of the table, where nothing is gated, 5 to 700.
    mixing : float
        How uneven iodine is in the right atrium, 0 to 1.
    """

    moment: Moment = "arterial"
    kvp: int = 120
    noise_hu: float = 22.0
    kernel: Kernel = "medium"
    thickness_mm: float = 1.5
    phase: float | None = 0.75
    rotation_s: float = 0.28
    heart_rate_bpm: float = 65.0
    travel_mm_s: float = 60.0
    mixing: float = 0.4

    def __post_init__(self) -> None:
        """Refuse what no scanner does."""
        if self.moment not in CONTRAST or self.kvp not in IODINE or self.kernel not in _BLUR_MM:
            raise InputError(
                f"{self.moment!r}, {self.kvp} kVp, kernel {self.kernel!r}",
                needed=f"{', '.join(CONTRAST)}; {', '.join(map(str, IODINE))} kVp; {', '.join(_BLUR_MM)}",
            )
        for name, low, high in (
            ("noise_hu", 0.0, 80.0), ("thickness_mm", 0.4, 10.0), ("rotation_s", 0.2, 1.0),
            ("heart_rate_bpm", 35.0, 160.0), ("travel_mm_s", 5.0, 700.0), ("mixing", 0.0, 1.0),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} = {value}", needed=f"{low:g} to {high:g}", fix=f"change {name}")


@dataclass(frozen=True, slots=True, eq=False)
class Scanned:
    """A virtual CT with its truth.

    Parameters
    ----------
    hu : (k, r, c) int16
        Hounsfield units, -1024 to 3071.
    labels : (k, r, c) uint8
        Of the heart, at the voxels' centres in the middle of the picture's time; 0 outside.
    grid : Grid
    scan : Scan
    """

    hu: npt.NDArray[np.int16]
    labels: Labels
    grid: Grid
    scan: Scan


def attenuation(
    moment: Moment, kvp: int = 120, *, iodine: tuple[float, ...] | None = None
) -> npt.NDArray[np.float32]:
    """Return the attenuation by label (256,), HU; ``iodine`` (7,) mg/mL in place of that of the moment."""
    table = np.full(256, -1000.0, np.float32)
    for label, native in _NATIVE.items():
        table[label] = native
    cava, right, trunk, left, aorta, muscle, organs = iodine or CONTRAST[moment]
    taken = {
        VENA_CAVA: cava, RIGHT_ATRIUM: right, RV: right, PULMONARY_ARTERY: trunk, PULMONARY_VEIN: left,
        LEFT_ATRIUM: left, LV: left, AORTA: aorta, ATRIUM: left, VESSEL: aorta,
        MYOCARDIUM: muscle, PAPILLARY: muscle, RV_WALL: muscle, ATRIAL_WALL: 0.7 * muscle,
        LOWER_CAVA: 0.5 * organs, body.LIVER: organs, body.SPLEEN: 1.6 * organs,
        body.GREAT_VESSEL: 1.8 * organs, body.LUNG_VESSEL: (trunk + left) / 2.0, body.MUSCLE: 0.3 * organs,
    }  # fmt: skip
    for label, mg_ml in taken.items():
        table[label] += IODINE[kvp] * mg_ml
    # A lung vessel fills its voxel in part.
    table[body.LUNG_VESSEL] = -350.0 + 0.5 * (table[body.LUNG_VESSEL] + 350.0)
    return table


def chest_at(points_lps: Array) -> Labels:
    """Return the tissue around the heart at points (..., 3) of LPS space [mm], as CT tells it apart.

    `carna.phantom.body` with its mediastinum as fat in which trachea and oesophagus run, and without its own
    great vessels, which `WholeHeart` has.
    """
    x, y, z = (np.asarray(points_lps[..., i], dtype=np.float32) for i in range(3))
    tissue = body.body_at(points_lps)
    tissue[(tissue == body.GREAT_VESSEL) & (z > -60.0)] = body.SOFT
    tissue[((x - 10.0) / 9.0) ** 2 + ((y - 56.0) / 6.0) ** 2 < 1.0] = OESOPHAGUS
    # The windpipe divides above the left atrium.
    fork = np.clip((70.0 - z) * 0.7, 0.0, 40.0)
    pipe = ((np.abs(x - 4.0) - fork) / 8.0) ** 2 + ((y - 42.0) / 8.0) ** 2 < 1.0
    tissue[pipe & (z > 42.0)] = TRACHEA
    return tissue


def axial(
    person: WholeHeart, *, pixel_mm: float = 1.5, spacing_mm: float = 2.0, field_mm: float = 250.0,
    length_mm: float = 170.0,
) -> Grid:  # fmt: skip
    """Return axial slices, feet first, that hold a heart: ``field_mm`` wide, ``length_mm`` high."""
    n, slices = round(field_mm / pixel_mm), round(length_mm / spacing_mm)
    heart = person.heart
    centre = np.asarray(heart.base_lps) + 0.15 * heart.span_mm * heart.axes_lps[2] + np.array([0.0, 5.0, 5.0])
    affine = np.eye(4)
    affine[:3, :3] = [[0.0, 0.0, pixel_mm], [0.0, pixel_mm, 0.0], [spacing_mm, 0.0, 0.0]]
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array([slices, n, n]) - 1.0) / 2.0)
    return Grid((slices, n, n), affine)


def volume(person: WholeHeart, scan: Scan, grid: Grid, *, seed: int = 0) -> Scanned:
    """Scan a person.

    Parameters
    ----------
    person : WholeHeart
    scan : Scan
    grid : Grid
        Of the pictures, such as `axial` gives.
    seed : int
        Of the noise and of what swirls.
    """
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng([seed, 41])
    table = attenuation(scan.moment, scan.kvp)
    k, r, c = grid.shape
    _, down_mm, across_mm = grid.spacing_mm
    spread = _BLUR_MM[scan.kernel] / np.array([down_mm, across_mm])
    offsets = (
        scan.thickness_mm * np.array([-1.0, 0.0, 1.0]) / 3.0 if scan.thickness_mm >= 1.0 else np.zeros(1)
    )
    beat_s = 60.0 / scan.heart_rate_bpm
    hu, labels = np.empty((k, r, c), np.int16), np.empty((k, r, c), np.uint8)
    sd = scan.noise_hu / np.sqrt(scan.thickness_mm)
    for n in range(k):
        points = plane_points(grid, n)
        middle = scan.phase if scan.phase is not None else (
            n * grid.spacing_mm[0] / scan.travel_mm_s / beat_s + 0.3
        )  # fmt: skip
        mean = np.zeros((r, c), np.float32)
        for offset, share in zip(offsets, np.linspace(-0.5, 0.5, len(offsets)), strict=True):
            # Layers through the slice and moments through the half-turn are taken together.
            now = middle + share * 0.5 * scan.rotation_s / beat_s if len(offsets) > 1 else middle
            at = points + offset * grid.normal
            found = person.label_at(at, now)
            mean += _layer(person, at, found, table, scan.mixing, down_mm) / len(offsets)
            labels[n] = found if offset == 0.0 else labels[n]
        grain = noise(random, (r, c), (down_mm, across_mm), scan.kernel)
        hu[n] = np.clip(np.rint(gaussian_filter(mean, spread) + sd * grain), -1024, 3071)
    return Scanned(hu, labels, grid, scan)


def plane_points(grid: Grid, k: int) -> Array:
    """Return the LPS points (r, c, 3) of one slice of a grid, mm."""
    index = np.moveaxis(np.indices(grid.shape[1:], dtype=np.float64), 0, -1)
    start = grid.affine[:3, :3] @ (k, 0, 0) + grid.affine[:3, 3]
    return np.asarray(index @ grid.affine[:3, 1:3].T + start)


def tissue_of(labels: Labels, points_lps: Array, person: WholeHeart) -> Labels:
    """Return labels with the inferior vena cava told from the superior one: no injection fills it first."""
    lower = (labels == VENA_CAVA) & (points_lps[..., 2] < person.heart.base_lps[2])
    return np.where(lower, np.uint8(LOWER_CAVA), labels)


def in_its_sac(tissue: Labels, heart: npt.NDArray[np.bool_], pixel_mm: float, reach_mm: float) -> Labels:
    """Return tissue (r, c) with fat where lung fills a gap of the heart: less than twice ``reach_mm`` wide.

    Also a rim of a fifth of that around the heart is fat.
    """
    import cv2

    if not heart.any():
        return tissue
    away = cv2.distanceTransform((~heart).astype(np.uint8), cv2.DIST_L2, 3) * pixel_mm
    near = away <= reach_mm
    inside = cv2.distanceTransform(near.astype(np.uint8), cv2.DIST_L2, 3) * pixel_mm
    sac = (near & (inside > 0.999 * reach_mm)) | (away < 0.2 * reach_mm)
    lung = (tissue == body.LUNG) | (tissue == body.LUNG_VESSEL)
    return np.where(sac & ~heart & lung, np.uint8(EPICARDIAL_FAT), tissue)


def _layer(
    person: WholeHeart,
    points: Array,
    labels: Labels,
    table: npt.NDArray[np.float32],
    mixing: float,
    mm: float,
) -> npt.NDArray[np.float32]:
    """Return the attenuation at points (r, c, 3) with their labels, without blur and noise."""
    found = tissue_of(labels, points, person)
    tissue = np.where(found == BACKGROUND, chest_at(points), found)
    value = table[in_its_sac(tissue, found != BACKGROUND, mm, 10.0)]
    if mixing > 0.0:
        x, y, z = np.moveaxis(points, -1, 0)
        swirl = np.sin(z / 7.0 + 2.0 * np.sin(x / 9.0 + y / 13.0)) * np.cos(y / 8.0 + np.sin(z / 11.0))
        share = np.where(found == RIGHT_ATRIUM, mixing * (swirl - 0.3), 0.0)
        value = value + share * (value - _BLOOD)
    return np.asarray(value, np.float32)


def noise(
    random: np.random.Generator, shape: tuple[int, int], pixel_mm: tuple[float, float], kernel: Kernel
) -> npt.NDArray[np.float32]:
    """Return the grain of filtered back-projection, standard deviation 1, (r, c) float32."""
    down, across = (np.fft.fftfreq(n, mm) for n, mm in zip(shape, pixel_mm, strict=True))
    frequency = np.hypot(down[:, None], across[None, :])  # cycles a millimetre
    edge = 0.16 / _BLUR_MM[kernel]
    power = frequency * np.exp(-((frequency / edge) ** 2))
    grain = np.fft.ifft2(np.fft.fft2(random.standard_normal(shape)) * np.sqrt(power)).real
    return np.asarray(grain / max(float(grain.std()), 1e-9), np.float32)


def swirling(random: np.random.Generator, shape: tuple[int, int], pixel_mm: float) -> npt.NDArray[np.float32]:
    """Return how uneven blood is where a jet mixes, mean 0, standard deviation 1, (r, c) float32."""
    coarse = smooth(random, shape, float(random.uniform(3.0, 9.0)) / pixel_mm)
    fine = smooth(random, shape, float(random.uniform(1.5, 3.0)) / pixel_mm)
    return np.asarray(0.8 * coarse + 0.6 * fine, np.float32)


def study(made: Scanned, *, seed: int = 0) -> Study:
    """Return a virtual CT as a study, which `carna.doors.dicom.write.write_study` writes as DICOM files."""
    from carna.phantom.study import BORN, NAME, TIME

    scan = made.scan
    who = Patient(
        f"PHANTOM-CT-{seed:06}", "CARNA", NAME, BORN, "female" if seed % 2 else "male", synthetic=True
    )
    gated = "" if scan.phase is None else f", {100 * scan.phase:.0f} % of the beat"
    facts: dict[str, object] = {
        "SliceThickness": scan.thickness_mm, "KVP": float(scan.kvp), "ConvolutionKernel": scan.kernel.upper(),
        "ImageType": "DERIVED", "BodyPartExamined": "CHEST",
    }  # fmt: skip
    if scan.moment != "native":
        facts["ContrastBolusAgent"] = "VIRTUAL IODINE"
    origin = Origin(
        _uid(seed, "ct"), "CT", f"CT {scan.moment}{gated}", 1, TIME, "Carna phantom", "phantom",
        notes=("virtual patient",), facts=facts,
    )  # fmt: skip
    grid = Grid(made.grid.shape, made.grid.affine, _uid(seed, "ct frame"))
    image = Image(origin, grid, Lazy.of(made.hu.astype(np.float32)), "[hnsf'U]")
    return Study(_uid(seed, "ct study"), who, TIME, "Virtual heart on CT", f"V{seed:06}", (image,))


@cache
def virtual_ct() -> Case:
    """Return the virtual patient with a coronary CT angiogram that the contract suite and the docs use."""
    person = WholeHeart(Heart())
    grid = axial(person, pixel_mm=2.5, spacing_mm=3.0, field_mm=230.0, length_mm=186.0)
    made = study(volume(person, Scan(thickness_mm=3.0, noise_hu=30.0), grid))
    return Case(made.patient, (made,))


def _uid(seed: int, name: str) -> str:
    import uuid

    from carna.findings.model import NAMESPACE

    return f"2.25.{uuid.uuid5(NAMESPACE, f'phantom/{seed}/{name}').int}"
