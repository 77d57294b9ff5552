"""Quantitative coronary angiography: diameters along a vessel, and what a narrowing leaves of them.

The reference is interpolated: the logarithm of the diameter is a straight line along the segment, fitted to
what isn't narrowed by weighted least squares that let go of what lies far below, or above. A percentage needs
no scale; millimetres need one, and are None with the reason where nobody gives it.

Known failures: a segment narrowed from end to end is its own reference; a lesion that isn't round looks
different from another side; a vessel that crosses is taken for a wall unless the course ends before it; steep
and short lesions are rounded off, by about 1 % of the diameter on average.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from carna.image.angiography.contour import ALONG, Contour, find_contour
from carna.image.angiography.view import Scale, scale

Floats = npt.NDArray[np.float64]

SCATTER: Final = 0.06  # of log diameter about its healthy course
LETS_GO: Final = (2.5, 5.0)  # scatters below and above at which a point counts nothing
TAPER: Final = (-0.10, 0.15)  # change of log diameter along a segment: mean and SD
SMOOTH: Final = 1.0  # px along the vessel, SD
EDGE: Final = 0.10  # a lesion ends where less than this is lost
WIDE: Final = 1.8  # radii above this many blurs are read from their walls alone


@final
@dataclass(frozen=True, slots=True, eq=False)
class Qca:
    """Diameters along one vessel segment.

    Attributes
    ----------
    contour : Contour
    diameter_px, reference_px : (n,) float
        At the contour's points.
    throat : int
        Point where most is lost.
    start, end : int
        First and last point of the lesion: 10 % lost.
    densitometric_area_stenosis : float or None
        From how much contrast a section holds, whatever its shape; None where walls are too weak.
    scale : Scale
    """

    contour: Contour
    diameter_px: Floats
    reference_px: Floats
    throat: int
    start: int
    end: int
    densitometric_area_stenosis: float | None
    scale: Scale

    @property
    def diameter_stenosis(self) -> float:
        """Share of the diameter that is lost at the throat, 0 to 1."""
        return 1 - self.minimal_px / self.reference_at_throat_px

    @property
    def area_stenosis(self) -> float:
        """Share of the area that is lost if the lumen is round, 0 to 1."""
        return 1 - (1 - self.diameter_stenosis) ** 2

    @property
    def minimal_px(self) -> float:
        """Diameter at the throat."""
        return float(self.diameter_px[self.throat])

    @property
    def reference_at_throat_px(self) -> float:
        """Diameter that the throat would have."""
        return float(self.reference_px[self.throat])

    @property
    def length_px(self) -> float:
        """Of the lesion, as it is projected."""
        along = self.contour.along_px
        return float(along[self.end] - along[self.start])

    @property
    def minimal_mm(self) -> float | None:
        """Minimal lumen diameter; None without a scale (`scale.how` says why)."""
        return None if self.scale.mm_per_px is None else self.minimal_px * self.scale.mm_per_px

    @property
    def reference_mm(self) -> float | None:
        """Reference diameter at the throat; None without a scale."""
        return None if self.scale.mm_per_px is None else self.reference_at_throat_px * self.scale.mm_per_px

    @property
    def length_mm(self) -> float | None:
        """Projected length of the lesion, a lower bound; None without a scale."""
        return None if self.scale.mm_per_px is None else self.length_px * self.scale.mm_per_px


def qca(
    frame: npt.NDArray[Any],
    course: npt.ArrayLike,
    *,
    radius_px: float = 6.0,
    blur_px: float = 1.0,
    mm: Scale | None = None,
) -> Qca:
    """Measure one vessel segment.

    Parameters
    ----------
    frame : (rows, columns)
        Vessels dark.
    course : (n, 2) float
        Row and column from healthy to healthy vessel, within about a radius of the middle.
    radius_px, blur_px : float
        As in `find_contour`.
    mm : Scale, optional
        From `carna.image.angiography.scale`; without it there are no millimetres.

    Raises
    ------
    InputError
        If the course is shorter than 6 pixels or leaves the picture.
    """
    from scipy.ndimage import gaussian_filter1d

    found = find_contour(frame, course, radius_px=radius_px, blur_px=blur_px)
    held = _contrast(frame, found)
    radius = gaussian_filter1d(_together(found, held, blur_px), SMOOTH / ALONG, mode="nearest")
    diameter = 2 * radius
    reference = _reference(found.along_px, diameter)
    lost = 1 - diameter / reference
    # The ends have walls on one side only.
    inner = slice(2, len(lost) - 2)
    throat = int(np.argmax(lost[inner])) + 2
    narrow = lost > EDGE
    start = end = throat
    while start > 0 and narrow[start - 1]:
        start -= 1
    while end < len(lost) - 1 and narrow[end + 1]:
        end += 1
    return Qca(
        found,
        diameter,
        reference,
        throat,
        start,
        end,
        _densitometric(found, held, reference, throat, (start, end)),
        mm if mm is not None else scale(),
    )


def _contrast(frame: npt.NDArray[Any], found: Contour) -> Floats:
    """Return the attenuation summed across each section above its surroundings: (n,), of any unit."""
    from scipy.ndimage import gaussian_filter1d, map_coordinates

    across = found.right - found.left
    width = np.linalg.norm(across, axis=1)
    normal = across / np.maximum(width, 1e-6)[:, None]
    half = width / 2 + 2.5
    share = np.linspace(-1, 1, 41)
    middle = (found.left + found.right) / 2
    at = middle[:, None] + share[:, None] * half[:, None, None] * normal[:, None]
    value = map_coordinates(-np.asarray(frame, float), np.moveaxis(at, -1, 0), order=1, mode="nearest")
    value = gaussian_filter1d(value, 2.0, axis=0, mode="nearest")
    rim = (value[:, :3].mean(1) + value[:, -3:].mean(1)) / 2
    return np.asarray((value - rim[:, None]).mean(1) * 2 * half)


def _together(found: Contour, held: Floats, blur_px: float) -> Floats:
    """Return the radius: from the walls where it is wide, from the contrast a section holds where it is thin.

    What a section holds grows with the square of the radius, and blur only spreads it; its constant comes
    from the wide sections nearby.
    """
    from scipy.ndimage import gaussian_filter1d

    walls = found.radius_px
    wide = (walls > WIDE * blur_px) & (held > 0)
    if wide.sum() < 0.2 * len(walls):
        return walls
    density = held / walls**2
    near = 40.0
    weight = gaussian_filter1d(wide.astype(float), near, mode="nearest")
    constant = gaussian_filter1d(np.where(wide, density, 0.0), near, mode="nearest") / np.maximum(
        weight, 1e-9
    )
    constant = np.where(weight > 1e-6, constant, np.median(density[wide]))
    thin = np.sqrt(np.maximum(held, 0) / np.maximum(constant, 1e-9))
    share = np.clip((2.5 * blur_px - np.minimum(walls, thin)) / (1.5 * blur_px), 0, 1)
    return np.asarray((1 - share) * walls + share * thin)


def _reference(along: Floats, diameter: Floats) -> Floats:
    y = np.log(np.maximum(diameter, 1e-3))
    s = along / along[-1] - 0.5
    design = np.stack([np.ones_like(s), s], axis=1)
    hold = np.array([0.0, 1 / TAPER[1]])
    prior = np.array([0.0, TAPER[0]])
    # Neighbours aren't independent: one measurement for each reference diameter of length.
    share = max(along[-1] / max(float(np.median(diameter)), 1.0), 3.0) / len(s)
    fit = np.array([np.percentile(y - TAPER[0] * s, 70), TAPER[0]])
    for _ in range(50):
        off = (y - design @ fit) / SCATTER
        reach = np.where(off < 0, *LETS_GO)
        weight = share / SCATTER**2 * np.clip(1 - (off / reach) ** 2, 0, None) ** 2
        normal = (design.T * weight) @ design + np.diag(hold**2) + 1e-9 * np.eye(2)
        new = np.linalg.solve(normal, design.T @ (weight * y) + hold**2 * prior)
        settled = bool(np.abs(new - fit).max() < 1e-7)
        fit = new
        if settled:
            break
    return np.asarray(np.exp(design @ fit))


def _densitometric(
    found: Contour, held: Floats, reference: Floats, throat: int, lesion: tuple[int, int]
) -> float | None:
    outside = np.ones(len(held), bool)
    outside[lesion[0] : lesion[1] + 1] = False
    good = outside & (held > 0)
    if good.sum() < 8:
        return None
    # What a healthy section would hold, for its diameter.
    constant = float(np.median(held[good] / reference[good] ** 2))
    low = held[max(throat - 2, 0) : throat + 3].mean()
    return float(np.clip(1 - low / (constant * reference[throat] ** 2), 0, 1))
