"""One virtual patient: the same heart beats in the pictures and in the electrocardiogram.

::

    patient = VirtualPatient(seed=3, ef=0.35)
    case = make(patient)
    case.sax.cine          (25, 10, 160, 160) uint16
    case.ecg.mv            (12, 5000) mV
    case.truth.lvef        0.35

Arrays and truth only; what turns them into files lives with the doors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.phantom import mr
from carna.phantom.ecg import Electrocardiogram, electrocardiogram
from carna.phantom.heart import Heart
from carna.phantom.labels import LV_CAVITY
from carna.phantom.mr import Plane
from carna.progress import SILENT, Progress

Array = npt.NDArray[np.floating]

# Angles of the long-axis planes about the long axis, from the middle of the septum [deg].
LONG_AXES = {"4CH": 0.0, "2CH": 62.0, "3CH": -52.0}


@dataclass(frozen=True, slots=True)
class VirtualPatient:
    """What is chosen about a patient; everything else follows.

    Parameters
    ----------
    seed : int
        Of texture, noise and rhythm.
    heart_rate_bpm : float
        40 to 150.
    ef : float
        Left ventricular ejection fraction, 0.10 to 0.78.
    edv_ml : float
        Left ventricular end-diastolic volume, 60 to 350 mL.
    rv_edv_ml : float or None
        The same of the right ventricle; ``None``: 1.1 times the left one, at least the stroke volume + 40.
    wall_mm : float
        End-diastolic wall thickness, 5 to 20 mm.
    torsion_deg : float
        0 to 25.
    rhythm : str
        ``"sinus"`` or ``"af"``.
    pvc_share : float
        Share of ventricular premature beats, 0 to 0.5.
    noise : float
        Noise of the pictures as a fraction of the blood signal, 0 to 0.2.
    noise_mv : float
        Noise of the electrocardiogram, mV, 0 to 0.5.

    Raises
    ------
    InputError
        A value outside its range.
    """

    seed: int = 0
    heart_rate_bpm: float = 68.0
    ef: float = 0.60
    edv_ml: float = 140.0
    rv_edv_ml: float | None = None
    wall_mm: float = 9.0
    torsion_deg: float = 12.0
    rhythm: str = "sinus"
    pvc_share: float = 0.0
    noise: float = 0.03
    noise_mv: float = 0.02

    def __post_init__(self) -> None:
        """Refuse what no patient is like; the heart and the electrocardiogram check the rest."""
        if not 40.0 <= self.heart_rate_bpm <= 150.0:
            raise InputError(
                f"heart_rate_bpm = {self.heart_rate_bpm}", needed="40 to 150", fix="change heart_rate_bpm"
            )
        if self.rhythm not in ("sinus", "af"):
            raise InputError(f"rhythm {self.rhythm!r}", needed="'sinus' or 'af'", fix="choose one of the two")
        _ = self.heart

    @property
    def heart(self) -> Heart:
        """The beating heart of this patient."""
        right = self.rv_edv_ml
        if right is None:
            right = max(1.1 * self.edv_ml, self.edv_ml * self.ef + 40.0)
        usual = Heart(
            edv_ml=self.edv_ml,
            ef=self.ef,
            rv_edv_ml=right,
            wall_mm=self.wall_mm,
            torsion_deg=self.torsion_deg,
            atrial_share=0.25 if self.rhythm == "sinus" else 0.0,
        )
        # A long heart grows backward: its apex stays behind the chest wall.
        base = np.asarray(usual.base_lps) - (usual.length_mm - 90.0) * usual.axes_lps[2]
        return replace(usual, base_lps=(float(base[0]), float(base[1]), float(base[2])))

    @property
    def rr_ms(self) -> float:
        """Mean interval between beats [ms]."""
        return 60_000.0 / self.heart_rate_bpm


def draw(seed: int) -> VirtualPatient:
    """Draw a patient at random: three in four healthy, the others dilated, thick-walled or fibrillating."""
    random = np.random.default_rng(seed)
    kind = random.choice(["healthy", "dilated", "thick", "af"], p=[0.4, 0.25, 0.2, 0.15])
    rate, wall = float(random.uniform(52.0, 88.0)), float(random.uniform(7.5, 10.0))
    edv, ef = float(random.uniform(105.0, 185.0)), float(random.uniform(0.54, 0.70))
    if kind == "dilated":
        edv, ef = float(random.uniform(190.0, 320.0)), float(random.uniform(0.20, 0.42))
    if kind == "thick":
        edv, ef, wall = float(random.uniform(90.0, 140.0)), float(random.uniform(0.60, 0.74)), 14.0
    return VirtualPatient(
        seed=seed,
        heart_rate_bpm=rate,
        ef=ef,
        edv_ml=edv,
        wall_mm=wall,
        torsion_deg=float(random.uniform(6.0, 16.0)),
        rhythm="af" if kind == "af" else "sinus",
        pvc_share=float(random.choice([0.0, 0.08], p=[0.8, 0.2])),
        noise=float(random.uniform(0.02, 0.05)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One cine series.

    Parameters
    ----------
    plane : Plane
        Name (``"SAX"``, ``"4CH"``, ...), affine (k, r, c) -> LPS mm, shape, slice thickness.
    cine : (t, k, r, c) uint16
        Magnitude pictures.
    labels : (t, k, r, c) uint8
        Labels of `carna.phantom.labels`, exact at the pixel centres.
    trigger_ms : (t,) float64
        Time of each frame after the R wave.
    """

    plane: Plane
    cine: npt.NDArray[np.uint16]
    labels: npt.NDArray[np.uint8]
    trigger_ms: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is exactly so.

    Parameters
    ----------
    phases : (t,)
        Fractions of the beat at which the frames lie.
    lv_ml, rv_ml : (t,)
        Cavity volumes at those phases, closed form, papillary muscles included in the left one.
    lvef, rvef : float
        Ejection fractions, 0 to 1, at the true end-systole between frames.
    mass_g : float
        Left ventricular mass.
    ed, es : int
        Fullest and emptiest frame.
    """

    phases: Array
    lv_ml: Array
    rv_ml: Array
    lvef: float
    rvef: float
    mass_g: float
    ed: int
    es: int


@dataclass(frozen=True, slots=True, eq=False)
class VirtualCase:
    """Everything that was made of one patient: short axis, long axes, electrocardiogram and truth."""

    patient: VirtualPatient
    sax: Series
    long_axes: tuple[Series, ...]
    ecg: Electrocardiogram
    truth: Truth


def make(
    patient: VirtualPatient,
    *,
    frames: int = 25,
    slices: int | None = None,
    pixels: int = 160,
    pixel_mm: float = 1.4,
    long_axes: bool = True,
    progress: Progress = SILENT,
) -> VirtualCase:
    """Make the pictures, the electrocardiogram and the truth of a patient.

    Parameters
    ----------
    patient : VirtualPatient
    frames, pixels : int
        Phases of the cine, 2 to 60; rows and columns, 64 to 512.
    slices : int or None
        Short-axis slices, 1 to 20; ``None``: as many as reach from base to apex (10 in a usual heart).
    pixel_mm : float
        Pixel size, 0.5 to 4 mm. Slices are 8 mm thick with 2 mm gaps.
    long_axes : bool
        Also draw the planes of `LONG_AXES`, one slice each.
    progress : Progress

    Returns
    -------
    VirtualCase
        The same for the same arguments, bit for bit.
    """
    person = patient.heart
    if slices is None:
        slices = int(np.ceil((person.length_mm + 5.0) / 10.0))
    for name, value, low, high in (
        ("frames", frames, 2, 60),
        ("slices", slices, 1, 20),
        ("pixels", pixels, 64, 512),
        ("pixel_mm", pixel_mm, 0.5, 4.0),
    ):
        if not low <= value <= high:
            raise InputError(f"{name} = {value}", needed=f"{low} to {high}", fix=f"change {name}")
    phases = np.arange(frames) / frames
    planes = [short_axis(person, slices, pixels, pixel_mm)]
    if long_axes:
        planes += [long_axis(person, name, pixels, pixel_mm) for name in LONG_AXES]
    series = []
    for n, plane in enumerate(planes):
        cine, labels = mr.picture(person, plane, phases, noise=patient.noise, seed=patient.seed * 16 + n)
        series.append(Series(plane, cine, labels, phases * patient.rr_ms))
        progress((n + 1) / (len(planes) + 1), plane.name)
    ecg = electrocardiogram(
        patient.heart_rate_bpm,
        rhythm=patient.rhythm,
        variability=0.03 if patient.rhythm == "sinus" else 0.2,
        pvc_share=patient.pvc_share,
        noise_mv=patient.noise_mv,
        seed=patient.seed,
    )
    lv, rv = person.lv_ml(phases), person.rv_ml(phases)
    truth = Truth(
        phases=phases,
        lv_ml=lv,
        rv_ml=rv,
        lvef=person.ef,
        rvef=person.edv_ml * person.ef / person.rv_edv_ml,
        mass_g=person.mass_g,
        ed=int(lv.argmax()),
        es=int(lv.argmin()),
    )
    progress(1.0, "patient")
    return VirtualCase(patient, series[0], tuple(series[1:]), ecg, truth)


def short_axis(person: Heart, slices: int, pixels: int, pixel_mm: float) -> Plane:
    """Short-axis stack, base (k = 0) to apex; columns run to the patient's left, rows backward and down."""
    axis = person.axes_lps[2]
    column = _towards(np.array([1.0, 0.0, 1.35]), axis)
    row = np.cross(column, axis)
    # The stack begins one slice above the valve plane, as a careful technician would begin it.
    first = np.asarray(person.base_lps) - 5.0 * axis
    centre = first - 10.0 * column - 4.0 * row
    return _plane("SAX", centre, 10.0 * axis, row, column, (slices, pixels, pixels), pixel_mm, 8.0)


def long_axis(person: Heart, name: str, pixels: int, pixel_mm: float) -> Plane:
    """One long-axis plane of `LONG_AXES` through the axis of the left ventricle."""
    septum, across, axis = person.axes_lps
    angle = np.deg2rad(LONG_AXES[name])
    in_plane = np.cos(angle) * septum + np.sin(angle) * across
    normal = np.cross(axis, in_plane)
    wish = np.array([1.0, 0.0, 0.0]) if name == "4CH" else np.array([0.0, 1.0, 0.0])
    column = _towards(wish, normal)
    row = np.cross(normal, column)
    down = np.array([0.0, 1.0, 0.0]) if name == "4CH" else np.array([0.0, 0.0, -1.0])
    row = row if row @ down > 0.0 else -row
    centre = np.asarray(person.base_lps) + 30.0 * axis
    if name == "4CH":  # the right heart is wider than the left
        centre = centre + 14.0 * septum
    step = np.cross(column, row) * 8.0
    return _plane(name, centre, step, row, column, (1, pixels, pixels), pixel_mm, 8.0)


def _towards(wish: Array, normal: Array) -> Array:
    """Unit vector in the plane of ``normal`` that points most towards ``wish``."""
    flat = wish - (wish @ normal) * normal
    unit: Array = flat / np.linalg.norm(flat)
    return unit


def _plane(
    name: str,
    centre: Array,
    step: Array,
    row: Array,
    column: Array,
    shape: tuple[int, int, int],
    pixel_mm: float,
    thickness_mm: float,
) -> Plane:
    """Return the plane whose first slice has its middle at ``centre``."""
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = step, row * pixel_mm, column * pixel_mm
    affine[:3, 3] = centre - ((shape[1] - 1) * affine[:3, 1] + (shape[2] - 1) * affine[:3, 2]) / 2.0
    return Plane(name, affine, shape, thickness_mm)


def volume_ml(series: Series, label: tuple[int, ...] = LV_CAVITY) -> Array:
    """Volume (t,) [mL] of labels by summation of discs: what a reader of this series could measure."""
    voxel = abs(float(np.linalg.det(series.plane.affine[:3, :3])))
    volume: Array = np.isin(series.labels, label).sum(axis=(1, 2, 3)) * voxel / 1e3
    return volume
