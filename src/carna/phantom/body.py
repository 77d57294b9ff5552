"""The chest around the heart: scenery, still, in LPS millimetres.

Ellipses and domes, in the order in which they cover each other. Nothing here carries truth; it is there so
that a method which works on the phantom has had fat, lungs, liver and vessels to be wrong about.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]

# Labels continue those of the heart (0 to 9).
AIR, FAT, MUSCLE, BONE, LUNG, LIVER, STOMACH, SPLEEN, GREAT_VESSEL, CORD, SOFT, LUNG_VESSEL = range(20, 32)


def body_at(points_lps: Array) -> Labels:
    """Return the tissue at points (..., 3) of LPS space [mm], heart excluded; `AIR` ... `LUNG_VESSEL`."""
    x, y, z = (np.asarray(points_lps[..., i], dtype=np.float32) for i in range(3))
    tissue = np.full(x.shape, AIR, dtype=np.uint8)
    tissue[_ellipse(x, y, 0.0, 4.0, 172.0, 118.0)] = FAT
    tissue[_ellipse(x, y, 0.0, 5.0, 156.0, 103.0 + 3.0 * np.cos(x / 25.0))] = MUSCLE
    wall = _ellipse(x, y, 0.0, 2.0, 148.0, 95.0)
    chest = _ellipse(x, y, 0.0, 0.0, 139.0, 84.0)
    # Ribs slope downward to the front, about 24 mm apart.
    ribs = np.sin((z - 0.35 * y + 0.1 * np.abs(x)) * (2.0 * np.pi / 24.0)) > 0.35
    tissue[wall & ~chest & ribs] = BONE
    tissue[chest] = LUNG
    vessels = (
        np.sin(x / 5.1 + 2.0 * np.sin(z / 9.3))
        * np.sin(y / 4.7 + 1.7 * np.sin(x / 8.9))
        * np.sin(z / 5.3 + 1.3 * np.sin(y / 7.7))
    )
    tissue[chest & (vessels > 0.86)] = LUNG_VESSEL
    tissue[chest & _ellipse(x, y, -4.0, 22.0, 34.0, 62.0)] = SOFT
    tissue[chest & _ellipse(x, y, -2.0, -68.0, 26.0, 14.0)] = FAT
    _abdomen(tissue, chest, x, y, z)
    tissue[_ellipse(x, y, 0.0, 78.0, 21.0, 16.0) & (np.mod(z, 30.0) > 5.0)] = BONE
    tissue[_ellipse(x, y, 0.0, 101.0, 12.0, 10.0)] = BONE
    tissue[_ellipse(x, y, 0.0, 97.0, 7.0, 6.0)] = CORD
    tissue[_ellipse(x, y, 24.0, 52.0, 11.5, 11.5)] = GREAT_VESSEL
    tissue[_ellipse(x, y, -30.0, 18.0, 12.0, 9.0) & (z < 0.0)] = GREAT_VESSEL
    return tissue


def _abdomen(tissue: Labels, chest: npt.NDArray[np.bool_], x: Array, y: Array, z: Array) -> None:
    """Paint what lies below the diaphragm: a high right dome, a lower left one."""
    right = np.exp(-(((x + 62.0) / 72.0) ** 2) - (y / 80.0) ** 2)
    left = np.exp(-(((x - 80.0) / 55.0) ** 2) - ((y - 30.0) / 60.0) ** 2)
    dome = -68.0 + 48.0 * right + 34.0 * left
    below = chest & (z < dome)
    tissue[below] = FAT
    tissue[below & (z < dome - 3.0) & (x < 42.0)] = LIVER
    stomach = ((x - 74.0) / 42.0) ** 2 + ((y + 8.0) / 40.0) ** 2 + ((z + 78.0) / 30.0) ** 2
    tissue[below & (stomach < 1.0)] = STOMACH
    spleen = ((x - 102.0) / 26.0) ** 2 + ((y - 48.0) / 34.0) ** 2 + ((z + 66.0) / 34.0) ** 2
    tissue[below & (spleen < 1.0)] = SPLEEN
    duct = np.sin(x / 6.3) * np.sin(y / 5.9 + z / 11.0) * np.sin(z / 6.7)
    tissue[(tissue == LIVER) & (duct > 0.83)] = GREAT_VESSEL


def _ellipse(
    x: Array, y: Array, x0: float, y0: float, half_x: float, half_y: float | Array
) -> npt.NDArray[np.bool_]:
    inside: npt.NDArray[np.bool_] = ((x - x0) / half_x) ** 2 + ((y - y0) / half_y) ** 2 < 1.0
    return inside
