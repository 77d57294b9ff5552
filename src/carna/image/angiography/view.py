"""Where an angiogram was taken from, and how many millimetres a pixel is.

A C-arm is a pinhole: the source sends rays through the patient onto a flat detector. Its angles are DICOM's
(PS3.3 C.8.7.5): the primary angle grows as the detector turns to the patient's left (LAO positive, RAO
negative), the secondary one as it turns to the head (cranial positive, caudal negative). At 0 / 0 the
detector lies in front of the patient; its columns grow to the patient's left, its rows to the feet.

A pixel has no size of its own in a projection: what lies nearer to the source is drawn larger. Millimetres
hold in one plane, that of the isocentre, or where two views say how deep a point lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

Floats = npt.NDArray[np.float64]

# What a C-arm in a catheter laboratory can be set to, mm, and detector pixels, mm.
SID_MM: Final = (700.0, 1500.0)
SOD_MM: Final = (400.0, 1100.0)
PITCH_MM: Final = (0.05, 1.0)


@final
@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A cone-beam projection.

    Parameters
    ----------
    primary_deg, secondary_deg : float
        LAO positive, -180 to 180; cranial positive, -90 to 90.
    sid_mm, sod_mm : float
        From the source to the detector and to the isocentre, 700 to 1500 and 400 to 1100 mm.
    pitch_mm : float
        Distance between pixels on the detector (Imager Pixel Spacing), 0.05 to 1 mm.
    shape : (rows, columns)
    isocentre : (3,) float
        LPS mm; drawn in the middle of the picture.
    """

    primary_deg: float
    secondary_deg: float
    sid_mm: float
    sod_mm: float
    pitch_mm: float
    shape: tuple[int, int]
    isocentre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        for name, value, (low, high), fix in (
            ("primary angle", self.primary_deg, (-180, 180), "degrees, LAO positive"),
            ("secondary angle", self.secondary_deg, (-90, 90), "degrees, cranial positive"),
            ("distance from source to detector", self.sid_mm, SID_MM, "millimetres"),
            ("distance from source to isocentre", self.sod_mm, SOD_MM, "millimetres"),
            ("pixel of the detector", self.pitch_mm, PITCH_MM, "Imager Pixel Spacing, millimetres"),
        ):
            if not low <= value <= high:
                raise InputError(f"a {name} of {value:g}", needed=f"{low:g} to {high:g}", fix=f"give {fix}")
        if self.sid_mm <= self.sod_mm:
            raise InputError(
                f"a detector at {self.sid_mm:g} mm and a patient at {self.sod_mm:g} mm from the source",
                needed="the detector behind the patient",
            )
        if min(self.shape) < 16:
            raise InputError(f"a picture of {self.shape} pixels", needed="16 x 16 at least")

    @property
    def axes(self) -> Floats:
        """Unit vectors down a column, along a row, and from source to detector, as rows: (3, 3), LPS."""
        a, b = np.radians((self.primary_deg, self.secondary_deg))
        down = (np.sin(a) * np.sin(b), -np.cos(a) * np.sin(b), -np.cos(b))
        along = (np.cos(a), np.sin(a), 0.0)
        beam = (np.sin(a) * np.cos(b), -np.cos(a) * np.cos(b), np.sin(b))
        return np.array((down, along, beam))

    @property
    def source(self) -> Floats:
        """Focal spot, LPS mm: (3,)."""
        return np.asarray(np.array(self.isocentre) - self.sod_mm * self.axes[2])

    @property
    def mm_per_px(self) -> float:
        """Size of a pixel in the plane of the isocentre."""
        return self.pitch_mm * self.sod_mm / self.sid_mm

    def depth_mm(self, points: npt.ArrayLike) -> Floats:
        """Return the distance of LPS points (..., 3) from the source along the beam's axis, mm: (...,)."""
        return np.asarray((np.asarray(points, float) - self.source) @ self.axes[2])

    def project(self, points: npt.ArrayLike) -> Floats:
        """Return where LPS points (..., 3) fall: row and column, (..., 2), pixels, fractions kept."""
        moved = (np.asarray(points, float) - self.source) @ self.axes.T
        if (moved[..., 2] < 1.0).any():
            raise InputError("points behind the X-ray source", fix="check units and the isocentre")
        on_detector = moved[..., :2] * (self.sid_mm / moved[..., 2:]) / self.pitch_mm
        return np.asarray(on_detector + (np.array(self.shape) - 1) / 2)

    def rays(self, pixels: npt.ArrayLike) -> Floats:
        """Return unit vectors from the source through pixels (..., 2): (..., 3), LPS."""
        offset = (np.asarray(pixels, float) - (np.array(self.shape) - 1) / 2) * self.pitch_mm
        way = np.concatenate([offset, np.full((*offset.shape[:-1], 1), self.sid_mm)], axis=-1) @ self.axes
        return np.asarray(way / np.linalg.norm(way, axis=-1, keepdims=True))

    def on_plane(self, pixels: npt.ArrayLike, depth_mm: float | None = None) -> Floats:
        """Return the LPS points (..., 3) that pixels show if they lie at one depth (the isocentre's)."""
        rays = self.rays(pixels)
        far = (self.sod_mm if depth_mm is None else depth_mm) / (rays @ self.axes[2])
        return np.asarray(self.source + far[..., None] * rays)

    def degrees_to(self, other: View) -> float:
        """Angle between the beams of two views, 0 to 90 (opposite views see the same)."""
        return float(np.degrees(np.arccos(min(1.0, abs(float(self.axes[2] @ other.axes[2]))))))


@final
@dataclass(frozen=True, slots=True)
class Scale:
    """Millimetres per pixel, or why there are none.

    Attributes
    ----------
    mm_per_px : float or None
        In the plane of the vessel.
    cv : float
        Its standard deviation, of itself.
    how : str
        Where it comes from, or why it is missing.
    """

    mm_per_px: float | None
    cv: float
    how: str


def scale(
    *,
    pitch_mm: float | None = None,
    magnification: float | None = None,
    sid_mm: float | None = None,
    sod_mm: float | None = None,
    catheter: tuple[float, float] | None = None,
) -> Scale:
    """Return the scale from what is known; a measured catheter goes before geometry.

    Parameters
    ----------
    pitch_mm : float, optional
        Imager Pixel Spacing, mm on the detector. Alone it isn't a scale: the vessel is magnified.
    magnification : float, optional
        Estimated Radiographic Magnification Factor, 1 to 2.5.
    sid_mm, sod_mm : float, optional
        From the source to the detector and to the patient.
    catheter : (french, pixels), optional
        Size of the catheter, 3 French to a millimetre, and its measured width.

    Notes
    -----
    The heart lies within about 30 mm of the isocentre, 4 % of the usual 750 mm: that is the `cv` of a scale
    by geometry. A catheter of 6 French is 2 mm or some 8 pixels wide; half a pixel on it is 6 %.
    """
    if catheter is not None:
        french, pixels = catheter
        if not (3 <= french <= 12 and pixels > 1):
            raise InputError(
                f"a catheter of {french:g} French and {pixels:g} pixels", needed="3 to 12, more than 1"
            )
        return Scale(french / 3 / pixels, 0.5 / pixels, f"catheter of {french:g} French")
    if pitch_mm is None:
        return Scale(None, 0.0, "neither the detector's pixel spacing nor a catheter's width is known")
    if not PITCH_MM[0] <= pitch_mm <= PITCH_MM[1]:
        raise InputError(f"a detector's pixel of {pitch_mm:g} mm", needed="0.05 to 1 mm")
    if magnification is None and sid_mm and sod_mm:
        magnification = sid_mm / sod_mm
    if magnification is None:
        return Scale(
            None, 0.0, "pixel spacing is that of the detector, and nobody says how much it is magnified"
        )
    if not 1 < magnification <= 2.5:
        raise InputError(f"a magnification of {magnification:g}", needed="above 1, at most 2.5")
    return Scale(pitch_mm / magnification, 0.04, f"geometry, magnification {magnification:.2f}")
