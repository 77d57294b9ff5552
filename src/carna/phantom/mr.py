"""Magnetic resonance pictures of the phantom: balanced steady-state signal, coils, noise.

The signal of a balanced gradient-echo sequence in the steady state, on resonance ::

    M = rho sin(a) (1 - E1) / (1 - (E1 - E2) cos(a) - E1 E2) exp(-TE / T2),   E = exp(-TR / T)

(Scheffler and Lehnhardt 2003, doi:10.1007/s00330-003-1957-x), with relaxation times near those of 1.5 T.
Assumed: no off-resonance bands, no flow voids; in-flow only as a brighter blood. The noise of a magnitude
picture is Rician (Gudbjartsson and Patz 1995, doi:10.1002/mrm.1910340618).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.phantom import body
from carna.phantom.heart import Heart
from carna.phantom.labels import (
    ATRIAL_WALL,
    ATRIUM,
    BACKGROUND,
    EPICARDIAL_FAT,
    LV,
    MYOCARDIUM,
    PAPILLARY,
    RV,
    RV_WALL,
    VESSEL,
)

Array = npt.NDArray[np.floating]

TR_MS, TE_MS, FLIP_DEG = 3.0, 1.5, 50.0

# Tissue: relative proton density, T1 ms, T2 ms.
_TISSUES = {
    RV: (1.00, 1500.0, 240.0),
    MYOCARDIUM: (0.80, 1000.0, 48.0),
    LV: (1.00, 1500.0, 240.0),
    PAPILLARY: (0.80, 1000.0, 52.0),
    RV_WALL: (0.80, 1000.0, 52.0),
    ATRIUM: (0.98, 1500.0, 230.0),
    ATRIAL_WALL: (0.75, 1000.0, 55.0),
    VESSEL: (1.00, 1500.0, 240.0),
    EPICARDIAL_FAT: (0.75, 300.0, 80.0),
    body.AIR: (0.0, 1000.0, 50.0),
    body.FAT: (0.80, 280.0, 80.0),
    body.MUSCLE: (0.75, 950.0, 35.0),
    body.BONE: (0.55, 500.0, 40.0),
    body.LUNG: (0.10, 1100.0, 40.0),
    body.LIVER: (0.85, 600.0, 46.0),
    body.STOMACH: (0.80, 900.0, 60.0),
    body.SPLEEN: (0.90, 1050.0, 75.0),
    body.GREAT_VESSEL: (1.00, 1500.0, 230.0),
    body.CORD: (0.95, 2500.0, 400.0),
    body.SOFT: (0.60, 700.0, 50.0),
    body.LUNG_VESSEL: (0.85, 1500.0, 200.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """A stack of equal slices. ``affine`` (4, 4) maps index (k, r, c) to LPS mm; ``shape`` is (k, r, c)."""

    name: str
    affine: npt.NDArray[np.float64]
    shape: tuple[int, int, int]
    thickness_mm: float

    def points(self, offset_mm: float = 0.0) -> Array:
        """LPS points (k, r, c, 3) of the pixel centres, moved along the slice normal by ``offset_mm``."""
        index = np.moveaxis(np.indices(self.shape, dtype=np.float64), 0, -1)
        normal = np.cross(self.affine[:3, 1], self.affine[:3, 2])
        moved = self.affine[:3, 3] + offset_mm * normal / np.linalg.norm(normal)
        return np.asarray(index @ self.affine[:3, :3].T + moved)


def bssfp(density: float, t1_ms: float, t2_ms: float) -> float:
    """Balanced steady-state signal of one tissue, for the sequence of this module; 0 to about 0.5."""
    e1, e2 = np.exp(-TR_MS / t1_ms), np.exp(-TR_MS / t2_ms)
    a = np.deg2rad(FLIP_DEG)
    steady = np.sin(a) * (1.0 - e1) / (1.0 - (e1 - e2) * np.cos(a) - e1 * e2)
    return float(density * steady * np.exp(-TE_MS / t2_ms))


def signals() -> Array:
    """Signal by label (256,), blood of the left ventricle = 1; 0 where a label is not used."""
    table = np.zeros(256, dtype=np.float32)
    for label, tissue in _TISSUES.items():
        table[label] = bssfp(*tissue)
    relative: Array = table / table[LV]
    return relative


def picture(
    person: Heart, plane: Plane, phases: Array, *, noise: float, seed: int
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """Draw a cine of one plane.

    Parameters
    ----------
    person : Heart
        Whose heart.
    plane : Plane
        Where.
    phases : (t,)
        Fractions of the beat.
    noise : float
        Standard deviation of the noise in each channel, as a fraction of the blood signal, 0 to 0.2.
    seed : int
        Of texture and noise.

    Returns
    -------
    cine : (t, k, r, c) uint16
        Magnitude; blood is near 600.
    labels : (t, k, r, c) uint8
        The heart's labels at the slice centres (0 outside the heart).
    """
    from scipy.ndimage import gaussian_filter

    if not 0.0 <= noise <= 0.2:
        raise InputError(f"noise = {noise}", needed="0 to 0.2 of the blood signal", fix="lower noise")
    random = np.random.default_rng(seed)
    table, texture = signals(), _waves(random, 24, shortest_mm=7.0)
    points = plane.points()
    near = _near_heart(person, points)
    offsets = np.array([-1.0, 0.0, 1.0]) * plane.thickness_mm / 3.0
    still = np.stack([table[body.body_at(plane.points(o))] for o in offsets]).mean(axis=0)
    layers = [plane.points(o)[near] for o in offsets]
    behind = [table[body.body_at(layer)] for layer in layers]
    sites = [person.place(layer) for layer in layers]
    shade = (_coils(points) * (1.0 + 0.06 * _field(points, texture))).astype(np.float32)
    flow = _field(layers[1], _waves(random, 8, shortest_mm=12.0)).astype(np.float32)
    cine = np.zeros((len(phases), *plane.shape), dtype=np.uint16)
    labels = np.zeros(cine.shape, dtype=np.uint8)
    for t, phase in enumerate(phases):
        found = [person.label(site, float(phase)) for site in sites]
        labels[t][near] = found[1]
        layers_now = [np.where(f == BACKGROUND, b, table[f]) for f, b in zip(found, behind, strict=True)]
        drawn = np.stack(layers_now).mean(axis=0)
        # Blood swirls: a pattern that changes through the beat, only where the signal is high.
        drawn *= 1.0 + 0.06 * np.sin(2.0 * np.pi * phase + 4.0 * flow) * (drawn > 0.7)
        frame = still.copy()
        frame[near] = drawn
        frame = gaussian_filter(frame * shade, (0.0, 0.6, 0.6))
        real = frame + noise * random.standard_normal(frame.shape, dtype=np.float32)
        imaginary = noise * random.standard_normal(frame.shape, dtype=np.float32)
        cine[t] = np.rint(600.0 * np.hypot(real, imaginary)).astype(np.uint16)
    return cine, labels


def _near_heart(person: Heart, points: Array) -> npt.NDArray[np.bool_]:
    """Where the heart can be at any phase; only there labels change."""
    sites = person.place(points)
    reach = person.radius_mm + person.wall_mm + person.crescent_mm(0.0) + 20.0
    near: npt.NDArray[np.bool_] = (
        (sites.radius < reach) & (sites.z > -90.0) & (sites.z < person.span_mm + 15.0)
    )
    return near


def _coils(points: Array) -> Array:
    """Sensitivity of an anterior and a posterior surface coil, about 1 at the heart."""
    front = np.exp((-points[..., 1] - 40.0) / 170.0)
    back = np.exp((points[..., 1] - 95.0) / 110.0)
    side = np.exp(-(((points[..., 0] - 25.0) / 190.0) ** 2))
    coils: Array = (0.25 + 0.75 * front + 0.5 * back) * side
    return coils


def _waves(random: np.random.Generator, count: int, shortest_mm: float) -> Array:
    """Random plane waves (count, 4): wave vector [rad/mm] and phase; one texture for all planes."""
    direction = random.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    length = shortest_mm * np.exp(random.uniform(0.0, 1.5, count))
    return np.column_stack([direction * (2.0 * np.pi / length)[:, None], random.uniform(0, 2 * np.pi, count)])


def _field(points: Array, waves: Array) -> Array:
    """Sum of plane waves at points (..., 3), standard deviation near 1."""
    flat = points.reshape(-1, 3).astype(np.float32)
    total = np.zeros(len(flat), dtype=np.float32)
    for kx, ky, kz, start in waves.astype(np.float32):
        total += np.cos(flat @ np.array([kx, ky, kz]) + start)
    return (total * np.float32(np.sqrt(2.0 / len(waves)))).reshape(points.shape[:-1])
