"""From a short-axis cine to the outlines of both ventricles at every phase.

1. *Where*: the heart moves (`carna.image.locate`). A square of 180 mm around it is cut from every picture,
at the
   scale the network learned.
2. *What*: a small two-dimensional U-Net gives each pixel its share of belief in right ventricle, left muscle,
   left cavity and the rest. It was taught with virtual hearts alone.
3. *One heart*: what the network says of one picture at a time is made one beating body
(`carna.image.ventricles.body`).

Where quality is low the picture is also read turned and mirrored (eight ways) and the beliefs averaged.

Known failures: slices at the valves, where the plane cuts ventricle and atrium; hearts of few millimetres
at the apex; long-axis pictures; black blood; pixels of more than 3 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.locate import HeartRegion, locate_heart
from carna.image.network import Network, turned
from carna.image.ventricles.body import one_body
from carna.image.ventricles.window import Window
from carna.progress import SILENT, Progress

__all__ = ["LV", "MYOCARDIUM", "NETWORK", "RV", "Ventricles", "segment"]

Labels = npt.NDArray[np.uint8]

RV, MYOCARDIUM, LV = 1, 2, 3
NETWORK = "cmr_short_axis"
ASSUMED_MM = 1.4  # where the pixel's size isn't known
_PIXEL_MM = 1.4  # of the window
_FAR = 24.0  # pixels: the heart's middle is no further from the left ventricle's


@dataclass(frozen=True, slots=True, eq=False)
class Ventricles:
    """Both ventricles at every phase.

    Parameters
    ----------
    labels : (t, k, r, c) uint8
        0 outside, `RV` cavity, `MYOCARDIUM` of the left ventricle, `LV` cavity with its papillary muscles.
    certainty : (t, k) float32
        Mean share of belief of the labels given, over heart and its rim; 0 to 1, NaN where no heart is seen.
    changed : (t, k) float32
        Share of the heart's pixels that making it one body changed, 0 to 1.
    window : Window
        The square that was read.
    region : HeartRegion
        Where motion says the heart is.
    """

    labels: Labels
    certainty: npt.NDArray[np.float32]
    changed: npt.NDArray[np.float32]
    window: Window
    region: HeartRegion


def segment(
    frames: npt.NDArray[np.floating | np.integer],
    *,
    spacing_mm: tuple[float, float, float] | None,
    times_ms: npt.NDArray[np.floating] | None = None,
    network: Network | None = None,
    eightfold: bool = False,
    progress: Progress = SILENT,
) -> Ventricles:
    """Outline both ventricles in every picture of a short-axis cine.

    Parameters
    ----------
    frames : (t, k, r, c) real
        Magnitude images with bright blood; t >= 2. Two frames are end-diastole and end-systole in any order,
        more are one beat.
    spacing_mm : (k, r, c) or None
        Distance of slice centres, rows and columns, mm; None if not known: 1.4 mm pixels are assumed, to find
        the heart only.
    times_ms : (t,), optional
        Time of each frame.
    network : Network, optional
        The package's own unless given.
    eightfold : bool
        Read each picture in its eight turned and mirrored forms: eight times the cost.
    progress : Progress

    Raises
    ------
    InputError
        No beating heart is found; shapes or pixels as for `carna.image.locate_heart`.
    """
    network = network or Network(NETWORK)
    known = spacing_mm or (10.0, ASSUMED_MM, ASSUMED_MM)
    stack = np.asarray(frames, np.float32)
    region = locate_heart(stack, spacing_mm=known, times_ms=times_ms, progress=progress.part(0.0, 0.2))
    if region.centre is None:
        raise InputError(
            f"no beating heart is found: {region.reason}", needed="a short-axis cine with bright blood"
        )
    window = Window(region.centre[1], region.centre[2], _PIXEL_MM / known[1], network.side)
    window = _recentred(stack, window, network, region)
    shares = _read(stack, window, network, eightfold, progress.part(0.2, 0.9))
    labels, certainty, changed = one_body(shares)
    full = np.stack([window.put(_agreed(s, n), stack.shape[2:]) for s, n in zip(shares, labels, strict=True)])
    progress(1.0, "ventricles")
    return Ventricles(full, certainty, changed, window, region)


def _recentred(
    stack: npt.NDArray[np.float32], window: Window, network: Network, region: HeartRegion
) -> Window:
    """Return the window moved to the middle of what a first look at the fullest frame finds."""
    first = region.ed if region.ed is not None else 0
    found = network.shares(window.cut(stack[first])).argmax(1) > 0
    if found.sum() < 100:
        return window
    half = (window.side - 1) / 2.0
    _, rows, columns = np.nonzero(found)
    away = np.clip([rows.mean() - half, columns.mean() - half], -_FAR, _FAR) * window.step
    return Window(window.row + float(away[0]), window.column + float(away[1]), window.step, window.side)


def _read(
    stack: npt.NDArray[np.float32],
    window: Window,
    network: Network,
    eightfold: bool,
    progress: Progress,
) -> npt.NDArray[np.float32]:
    """Return the shares (t, k, classes, side, side) of every picture."""
    shares = []
    for n, frame in enumerate(stack):
        cut = window.cut(frame)
        if not eightfold:
            shares.append(network.shares(cut))
        else:
            shares.append(_eightfold(cut, network))
        progress((n + 1) / len(stack), "outlines")
    return np.stack(shares)


def _eightfold(cut: npt.NDArray[np.float32], network: Network) -> npt.NDArray[np.float32]:
    """Return the mean of the shares of eight turned and mirrored forms, each turned back."""
    total = np.zeros((len(cut), 4, *cut.shape[1:]), np.float32)
    for mirrored in (False, True):
        for turns in range(4):
            total += turned(network, cut, turns, mirrored)
    return np.asarray(total / 8.0, np.float32)


def _agreed(shares: npt.NDArray[np.float32], labels: Labels) -> npt.NDArray[np.float32]:
    """Return shares that say what the labels say; where they did so already their smooth borders stay."""
    agreed = np.ascontiguousarray(shares)
    changed = agreed.argmax(1) != labels
    if changed.any():
        agreed = agreed.copy()
        slices, rows, columns = np.nonzero(changed)
        agreed[slices, :, rows, columns] = 0.0
        agreed[slices, labels[changed], rows, columns] = 1.0
    return agreed
