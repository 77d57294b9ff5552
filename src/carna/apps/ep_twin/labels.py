"""From the labels of a region to the ventricles of the model, and back to where they lie in the patient.

The model is made on the region's own grid as if it lay upright at the origin. It knows nothing of the
patient's position, so a patient who lies otherwise gets the same numbers, to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.codes import Concept
from carna.errors import InputError
from carna.findings import Region
from carna.heart.anatomy import BACKGROUND, LV_CAVITY, LV_WALL, RV_CAVITY, RV_WALL
from carna.heart.patient import ventricles_in
from carna.heart.scar import GREY, HEALTHY, SCAR
from carna.heart.ventricles import Ventricles
from carna.space import Floats, Grid, stack

__all__ = ["Model", "model_of"]

# Code of a segment: what it is in the anatomy, and what of scar.
MEANINGS = {
    codes.LV_MYOCARDIUM: (LV_WALL, HEALTHY),
    codes.INTERVENTRICULAR_SEPTUM: (LV_WALL, HEALTHY),
    codes.RV_MYOCARDIUM: (RV_WALL, HEALTHY),
    codes.LV_CAVITY: (LV_CAVITY, HEALTHY),
    codes.LEFT_VENTRICLE: (LV_CAVITY, HEALTHY),
    codes.RV_CAVITY: (RV_CAVITY, HEALTHY),
    codes.RIGHT_VENTRICLE: (RV_CAVITY, HEALTHY),
    codes.GREY_ZONE: (LV_WALL, GREY),
    codes.SCAR: (LV_WALL, SCAR),
}


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Ventricles on an upright grid, and the motion (4, 4) from there to the patient, LPS mm."""

    heart: Ventricles
    motion: Floats
    frame: str

    @property
    def grid(self) -> Grid:
        """The model's grid where it lies in the patient."""
        upright = self.heart.grid
        return Grid(upright.shape, self.motion @ upright.affine, self.frame)

    def nearest_sites(self, many: int) -> tuple[str, ...]:
        """Return the names of so many pacing sites, nearest to the scar first; of all in their order."""
        from carna.heart.sites import pacing_sites

        sites = pacing_sites(self.heart)
        if many >= len(sites):
            return tuple(site.name for site in sites)
        scar = self.heart.points_lps[self.heart.region == SCAR].mean(axis=0)
        away = [round(float(np.linalg.norm(np.asarray(s.lps_mm) - scar)), 6) for s in sites]
        return tuple(sites[i].name for i in np.argsort(away, kind="stable")[:many])

    def segment_of(self, voxels: npt.NDArray[np.int64]) -> Concept:
        """Return the segment that most of some voxels (n, 3) lie in."""
        flat = np.ravel_multi_index(tuple(np.asarray(voxels).T), self.heart.grid.shape)
        place = np.clip(np.searchsorted(self.heart.at.where, flat), 0, len(self.heart.at.where) - 1)
        most = int(np.argmax(np.bincount(self.heart.segment[place], minlength=18)))
        return codes.AHA17[most - 1] if most else codes.RIGHT_VENTRICLE


def model_of(labels: Region, spacing_mm: float) -> Model:
    """Return the ventricles of a region as a model.

    Raises
    ------
    InputError
        Planes that fill no volume, labels over time, or what `carna.heart.patient.ventricles_in` refuses.
    """
    grid = stack(labels.planes)
    if grid is None or labels.labels.ndim != 3:
        raise InputError(
            "labels on planes that fill no volume" if grid is None else "labels at several times",
            needed="one volume of equidistant slices at one time",
        )
    upright: Floats = np.diag(np.array([*grid.spacing_mm, 1.0], float))
    if np.linalg.det(grid.axes) < 0:
        upright[0, 0] *= -1.0  # a mirrored index stays mirrored: left and right must not change places
    what = np.full(256, BACKGROUND, np.uint8)
    scar = np.full(256, HEALTHY, np.uint8)
    for segment in labels.segments:
        if segment.code in MEANINGS:
            what[segment.label], scar[segment.label] = MEANINGS[segment.code]
    # Rounded, so that a turned patient's spacing is the same number.
    upright = np.round(upright, 6)
    heart = ventricles_in(
        what[labels.labels], scar[labels.labels], Grid(grid.shape, upright), spacing_mm=spacing_mm
    )
    return Model(heart, grid.affine @ np.linalg.inv(upright), grid.frame)
