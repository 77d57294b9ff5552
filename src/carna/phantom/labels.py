"""What a voxel of the virtual heart can be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint8]

# 1 to 3 follow the usual order of labelled short-axis sets.
BACKGROUND, RV, MYOCARDIUM, LV = 0, 1, 2, 3
PAPILLARY, RV_WALL, ATRIUM, ATRIAL_WALL, VESSEL, EPICARDIAL_FAT = 4, 5, 6, 7, 8, 9
LV_CAVITY = (LV, PAPILLARY)
