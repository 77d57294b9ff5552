"""From a long-axis cine to the outlines of the chambers in it, at every phase.

1. *Where*: the heart moves. A square of 192 mm is cut from every picture: where, around the middle of the
   motion, the network sees most of a left heart.
2. *What*: a small two-dimensional U-Net gives each pixel its share of belief in right ventricle, left muscle,
   left ventricle, left and right atrium and the rest. It was taught with virtual hearts alone, in planes at
   every angle about the long axis.
3. *One heart*: belief is smoothed over the closed beat; the left heart is one body, its muscle lies on its
   cavity, the left atrium touches it; a hole in a chamber belongs to it.

Known failures: planes beside the left ventricle, pictures in which something else moves more than the heart,
veins as wide as the atrium they enter, black blood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.network import Network, turned
from carna.image.ventricles.window import Window
from carna.progress import SILENT, Progress

__all__ = ["LA", "LV", "MYOCARDIUM", "NETWORK", "RA", "RV", "LongAxis", "agreement", "one_heart", "segment"]

Labels = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

RV, MYOCARDIUM, LV, LA, RA = 1, 2, 3, 4, 5
NETWORK = "cmr_long_axis"
_PIXEL_MM = 1.5  # of the window
_FEW_FRAMES = 8
_SMALL = 30  # pixels of the window below which a body is a speck
_LOOKS = 3
_AROUND_MM, _MORE = 50.0, 1.5  # places around, and how much more heart must be seen there
# Quarter turns, and whether mirrored: the first is the picture itself.
_FORMS = ((0, False), (1, False), (2, True), (3, True), (0, True), (1, True), (2, False), (3, False))
_DENT, _NECK = 4, 4  # pixels of the window
_MOVING = 98.0  # percentile of motion that counts as heart


@dataclass(frozen=True, slots=True, eq=False)
class LongAxis:
    """The chambers of a long-axis cine.

    Parameters
    ----------
    labels : (t, r, c) uint8
        0 outside, `RV`, `MYOCARDIUM` of the left ventricle, `LV` with its papillary muscles, `LA`, `RA`.
    certainty : (t,) float32
        Mean share of belief of the labels given, over heart and rim; 0 to 1, NaN where no heart is seen.
    window : Window
        The square that was read.
    """

    labels: Labels
    certainty: Floats
    window: Window


def segment(
    frames: npt.NDArray[np.floating | np.integer],
    *,
    spacing_mm: tuple[float, float],
    network: Network | None = None,
    forms: int = 4,
    progress: Progress = SILENT,
) -> LongAxis:
    """Outline the chambers in every picture of a long-axis cine.

    Parameters
    ----------
    frames : (t, r, c) real
        Magnitude images with bright blood; t >= 2: one beat, or two phases.
    spacing_mm : (r, c)
        Distance of rows and of columns, mm.
    network : Network, optional
        The package's own unless given.
    forms : int
        In how many turned and mirrored forms each picture is read, 1 to 8; the beliefs are averaged.
    progress : Progress

    Raises
    ------
    InputError
        Fewer than two frames, nothing moves, or no left ventricle is found.
    """
    network = network or Network(NETWORK)
    stack = np.asarray(frames, np.float32)
    if stack.ndim != 3 or len(stack) < 2:
        raise InputError(f"frames of shape {stack.shape}", needed="(t, r, c) with two frames at least")
    window = _window(stack, spacing_mm[0], network)
    shares = []
    for n, picture in enumerate(stack):
        cut = window.cut(picture[None])
        shares.append(_read(cut, network, forms)[0])
        progress((n + 1) / len(stack), "outlines")
    belief = np.stack(shares)
    if len(belief) >= _FEW_FRAMES:
        belief = 0.25 * np.roll(belief, 1, 0) + 0.5 * belief + 0.25 * np.roll(belief, -1, 0)
    labels = np.stack([one_heart(b.argmax(0).astype(np.uint8)) for b in belief])
    if not (labels == LV).any((1, 2)).all():
        raise InputError("no left ventricle is seen in every frame", needed="a plane through its long axis")
    full = window.put(_agreed(belief, labels), stack.shape[1:])
    return LongAxis(full, _certainty(belief, labels), window)


def one_heart(raw: Labels) -> Labels:
    """Return the labels of one picture (r, c) as one heart: no specks, no holes, what belongs together."""
    from scipy.ndimage import binary_dilation, binary_fill_holes

    out = np.zeros_like(raw)
    left = _largest((raw == LV) | (raw == MYOCARDIUM))
    cavity = _largest(left & (raw == LV))
    if not cavity.any():
        return out
    # What the network took for muscle between papillary muscles and trabeculae lies in a dent of the cavity.
    dents = np.asarray(_closed(cavity)) & (raw == MYOCARDIUM)
    cavity = np.asarray(binary_fill_holes(cavity | dents))
    muscle = left & ~cavity
    near = np.asarray(binary_dilation(cavity, iterations=2))
    for label in (RV, RA):
        out[np.asarray(binary_fill_holes(_largest((raw == label) & ~left)))] = label
    atrium = _largest(_touching(_without_necks((raw == LA) & ~left), near))
    out[np.asarray(binary_fill_holes(atrium))] = LA
    out[muscle] = MYOCARDIUM
    out[cavity] = LV
    return out


def _closed(flags: Flags) -> Flags:
    """Return a body with dents narrower than twice `_DENT` filled."""
    import cv2

    size = 2 * _DENT + 1
    padded = np.pad(flags, size).astype(np.uint8)
    closed: Flags = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _disc(_DENT))[size:-size, size:-size] > 0
    return closed


def _without_necks(flags: Flags) -> Flags:
    """Return a body without what hangs on it by less than twice `_NECK`: veins, and vessels beside it."""
    import cv2

    opened = cv2.morphologyEx(flags.astype(np.uint8), cv2.MORPH_OPEN, _disc(_NECK))
    if not opened.any():
        return flags
    # Each part grows back to its corners, but not into the neck that joined it.
    kept: Flags = flags & (cv2.dilate(opened, _disc(2)) > 0)
    return kept


def _disc(radius: int) -> npt.NDArray[np.uint8]:
    import cv2

    disc: npt.NDArray[np.uint8] = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    return disc


def _largest(flags: Flags) -> Flags:
    from scipy.ndimage import label

    names, count = label(flags)
    if count == 0:
        return flags
    sizes = np.bincount(names.ravel())[1:]
    kept: Flags = (names == 1 + int(sizes.argmax())) & bool(sizes.max() >= _SMALL)
    return kept


def _touching(flags: Flags, near: Flags) -> Flags:
    """Return the bodies that touch; all of them where none does."""
    from scipy.ndimage import label

    names, count = label(flags)
    touch = np.bincount(names[near & flags], minlength=count + 1)[1:] > 0
    kept: Flags = np.concatenate([[False], touch])[names]
    return kept if touch.any() else flags


def _middle_of_motion(stack: Floats, pixel_mm: float) -> tuple[float, float]:
    """Return the (row, column) around which pictures change most."""
    from scipy.ndimage import gaussian_filter

    smooth = 2.5 / pixel_mm
    moving = np.std([gaussian_filter(picture, smooth) for picture in stack], axis=0)
    if not moving.max() > 1e-6 * max(float(np.abs(stack).max()), 1e-30):
        raise InputError("nothing moves between the frames", needed="a cine of a beating heart")
    # Where motion is dense, not where one bright vessel pulses.
    dense = gaussian_filter(np.where(moving > np.percentile(moving, 90.0), moving, 0.0), 12.0 / pixel_mm)
    rows, columns = np.nonzero(dense >= np.percentile(dense, _MOVING))
    weights = dense[rows, columns]
    return float(np.average(rows, weights=weights)), float(np.average(columns, weights=weights))


def _window(stack: Floats, pixel_mm: float, network: Network) -> Window:
    """Return the square that holds the heart: of the middle of the motion and eight places around it, the one
    in which most of a left heart is seen, moved to its middle.
    """
    row, column = _middle_of_motion(stack, pixel_mm)
    looks = stack[[0, len(stack) // 3]]
    found = []
    for down in (0.0, -_AROUND_MM, _AROUND_MM):
        for right in (0.0, -_AROUND_MM, _AROUND_MM):
            at = Window(row + down / pixel_mm, column + right / pixel_mm, _PIXEL_MM / pixel_mm, network.side)
            seen = network.shares(at.cut(looks)).argmax(1)
            hearts = [_largest(one > 0) & ((one == LV) | (one == LA)) for one in seen]
            found.append((min(int(heart.sum()) for heart in hearts), at, seen))
    best = max(found, key=lambda one: one[0])
    _, window, seen = best if best[0] > _MORE * found[0][0] else found[0]
    for _ in range(_LOOKS):
        window = _recentred(window, seen)
        seen = network.shares(window.cut(looks)).argmax(1)
    return window


def _recentred(window: Window, found: npt.NDArray[np.int64]) -> Window:
    """Return the window moved to the middle of the heart found in it."""
    bodies = np.stack([_largest(one > 0) for one in found])
    _, rows, columns = np.nonzero(bodies)
    if len(rows) < _SMALL:
        return window
    middle = [
        float(np.mean(np.percentile(at, (2.0, 98.0)))) - (window.side - 1) / 2.0 for at in (rows, columns)
    ]
    return Window(
        window.row + middle[0] * window.step,
        window.column + middle[1] * window.step,
        window.step,
        window.side,
    )


def _read(cut: Floats, network: Network, forms: int) -> Floats:
    """Return the mean of the shares of the first forms, each turned back."""
    return np.asarray(np.mean([turned(network, cut, *form) for form in _FORMS[:forms]], axis=0), np.float32)


def _agreed(belief: Floats, labels: Labels) -> Floats:
    """Return shares that say what the labels say; where they did so already their smooth borders stay."""
    agreed = np.ascontiguousarray(belief).copy()
    frames, rows, columns = np.nonzero(agreed.argmax(1) != labels)
    agreed[frames, :, rows, columns] = 0.0
    agreed[frames, labels[frames, rows, columns], rows, columns] = 1.0
    return agreed


def _certainty(belief: Floats, labels: Labels) -> Floats:
    from scipy.ndimage import binary_dilation

    out = np.full(len(labels), np.nan, np.float32)
    for t, frame in enumerate(labels):
        near = binary_dilation(frame > 0, iterations=2)
        if near.any():
            out[t] = np.take_along_axis(belief[t], frame[None].astype(np.int64), 0)[0][near].mean()
    return out


def agreement(
    frames: npt.NDArray[np.floating | np.integer], seen: LongAxis, network: Network
) -> dict[int, float]:
    """Return how well readings of turned and mirrored pictures agree with the plain one.

    A network that sees a heart sees the same heart in a turned picture.

    Parameters
    ----------
    frames : (t, r, c) real
    seen : LongAxis
        As `segment` found them in the frames.
    network : Network

    Returns
    -------
    dict
        Label to the mean Dice of three other forms, over the fullest and the emptiest frame; 0 to 1, 0 where
        the plain reading has none.
    """
    area = (seen.labels == LV).sum((1, 2))
    cut = seen.window.cut(np.asarray(frames, np.float32)[[int(area.argmax()), int(area.argmin())]])
    plain, *others = (turned(network, cut, *form).argmax(1) for form in _FORMS[:4])

    def dice(label: int, other: npt.NDArray[np.int64]) -> float:
        one, two = plain == label, other == label
        return float(2 * (one & two).sum() / max(int(one.sum() + two.sum()), 1))

    return {
        label: float(np.mean([dice(label, other) for other in others]))
        for label in (RV, MYOCARDIUM, LV, LA, RA)
    }
