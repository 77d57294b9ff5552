"""What an ejection fraction rests on: how much each slice, and each sixth of it, ejects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.ventricles.segment import LV, RV

__all__ = ["Drivers", "drivers"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Drivers:
    """What drives the left ejection fraction.

    Parameters
    ----------
    ef : float
        Share ejected by all slices, -inf to 1.
    shares : (k, 6) float64
        Of the stroke volume, by slice and sixth of a turn (`carna.image.ventricles.indices.WALLS`); they sum
        to 1, and are negative where the cavity widens. A slice's share is in all sixths alike where no right
        cavity tells which is which.
    without : (k,) float64
        The ejection fraction had the slice not been counted; NaN where it is the only one.
    """

    ef: float
    shares: Floats
    without: Floats

    @property
    def slices(self) -> Floats:
        """Share of the stroke volume by slice, ``(k,)``."""
        return np.asarray(self.shares.sum(1), np.float64)

    def main(self, share: float = 0.5) -> npt.NDArray[np.int64]:
        """Return the fewest slices that together eject a share of the stroke volume, in the stack's order."""
        order = np.argsort(-self.slices)
        enough = int(np.searchsorted(np.cumsum(self.slices[order]), share)) + 1
        return np.sort(order[:enough])


def drivers(labels: npt.NDArray[np.uint8], ed: int, es: int, heights_mm: npt.ArrayLike = 1.0) -> Drivers:
    """Return what drives the left ejection fraction.

    Parameters
    ----------
    labels : (t, k, r, c) uint8
        As of `carna.image.ventricles.Ventricles`.
    ed, es : int
        Frames of end-diastole and end-systole.
    heights_mm : (k,) or float
        What each slice stands for along the axis.

    Raises
    ------
    InputError
        No left cavity at end-diastole, or nothing ejected.
    """
    heights = np.broadcast_to(np.asarray(heights_mm, float), labels.shape[1])
    full, left = labels[ed] == LV, labels[es] == LV
    volume = np.array([m.sum((1, 2)) * heights for m in (full, left)])
    stroke = float(volume[0].sum() - volume[1].sum())
    if not full.any() or stroke <= 0:
        raise InputError("no left ventricle that empties", needed="labels of end-diastole and end-systole")
    ejected = np.array([np.bincount(s[m], minlength=6) for s, m in _both(labels[ed], full, left)], float)
    shares = (ejected[0::2] - ejected[1::2]) * heights[:, None] / stroke
    rest = volume.sum(1)[:, None] - volume
    with np.errstate(invalid="ignore", divide="ignore"):
        without = np.where(rest[0] > 0, 1.0 - rest[1] / rest[0], np.nan)
    if not (labels[ed] == RV).any():
        shares = np.repeat(shares.sum(1, keepdims=True) / 6.0, 6, axis=1)
    return Drivers(stroke / float(volume[0].sum()), shares, without)


def _both(
    diastole: npt.NDArray[np.uint8], full: npt.NDArray[np.bool_], left: npt.NDArray[np.bool_]
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]]:
    """Return for each slice, ED then ES, the sixth of each pixel and the cavity."""
    rows, columns = np.indices(diastole.shape[1:])
    middle = [x.mean() for x in np.nonzero(full)[1:]]
    right = [x.mean() for x in np.nonzero(diastole == RV)[1:]] if (diastole == RV).any() else middle
    start = np.arctan2(right[0] - middle[0], right[1] - middle[1])
    out = []
    for k in range(len(full)):
        here = [x.mean() for x in np.nonzero(full[k])] if full[k].any() else middle
        turn = np.mod(np.arctan2(rows - here[0], columns - here[1]) - start, 2 * np.pi)
        sixth = np.minimum((turn / (np.pi / 3)).astype(np.int64), 5)
        out += [(sixth, full[k]), (sixth, left[k])]
    return out
