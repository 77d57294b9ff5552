"""What a voxel of the virtual heart can be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint8]

# 1 to 3 follow the usual order of labelled short-axis sets.
BACKGROUND, RV, MYOCARDIUM, LV = 0, 1, 2, 3
PAPILLARY, RV_WALL, ATRIUM, ATRIAL_WALL, VESSEL, EPICARDIAL_FAT = 4, 5, 6, 7, 8, 9
# Of a whole heart (`carna.phantom.chambers`), where the atria and great vessels are told apart.
LEFT_ATRIUM, RIGHT_ATRIUM, AORTA, PULMONARY_ARTERY, PULMONARY_VEIN, VENA_CAVA = 10, 11, 12, 13, 14, 15
LV_CAVITY = (LV, PAPILLARY)


def as_outlined(labels: Labels) -> Labels:
    """Return labels as a reader outlines them: `RV`, `MYOCARDIUM`, `LV` with papillaries; 0 the rest."""
    outlined = np.where(labels == PAPILLARY, LV, np.where(labels <= LV, labels, BACKGROUND))
    return outlined.astype(np.uint8)
