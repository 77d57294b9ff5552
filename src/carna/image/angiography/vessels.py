"""Which pixels of an angiogram are vessels: line filters at three widths, and rules for what hangs together.

1. Dark corners that touch the edge are the collimator; they are filled from their surroundings and left out.
2. The logarithm of the picture is filtered by second derivatives of elongated Gaussians at twelve directions
   and three widths (after Frangi et al. 1998, doi:10.1007/BFb0056195, with the directions of a matched
   filter, Chaudhuri et al. 1989, doi:10.1109/42.34715). What answers across as much as along is no line.
3. The answer is divided by the local contrast, so that a faint branch on an even ground counts.
4. Hysteresis by rank: the strongest hundredth of the picture are seeds, the strongest 8 % may join them; what
   spans less than a quarter of the picture is dropped.

The numbers were chosen on virtual angiograms, with an eye on real ones. Known failures: thin branches are
cut, catheters and the diaphragm's edge are taken for vessels, and walls are rough: `find_contour` finds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SIZE: Final = 320  # px; larger pictures are filtered at a fraction of their size
WIDTHS: Final = (1.9, 2.7, 4.0)  # px, SD across
SHARES: Final = (0.5, 1.0, 1.0)
LONGER: Final = 2.5  # SD along, of that across
DIRECTIONS: Final = 12
ACROSS: Final = 0.5  # share of the answer across that is taken off
SEEDS: Final = 0.01  # share of the picture
JOIN: Final = 0.08
SPAN: Final = 0.25  # of the picture's longer side
FAINTEST: Final = 0.5  # a seed answers with this much, in local contrasts
BLOCKED: Final = 0.45  # of the median grey value
MARGIN_PX: Final = 5


@final
@dataclass(frozen=True, slots=True, eq=False)
class Vessels:
    """What looks like vessels.

    Attributes
    ----------
    mask : (rows, columns) bool
    strength : (rows, columns) float
        Answer of the filters in local contrasts; above 0.5 it is a line that an eye sees.
    blocked : (rows, columns) bool
        Behind the collimator, with a margin.
    """

    mask: Bools
    strength: Floats
    blocked: Bools


def find_vessels(frame: npt.NDArray[Any]) -> Vessels:
    """Return the vessels of one frame.

    Parameters
    ----------
    frame : (rows, columns)
        Vessels dark; 64 to 2048 pixels a side. A vessel's radius is expected between 0.3 and 3 % of the
        longer side, which is what a coronary artery has in a field of 10 to 20 cm.

    Returns
    -------
    Vessels
        With an empty mask where nothing spans a quarter of the picture.

    Raises
    ------
    InputError
        If the frame is no picture, is even, or has values that are not finite.
    """
    picture = checked(frame)
    shape = picture.shape
    small = _smaller(picture)
    blocked = _collimator(small)
    strength = _strength(small, blocked)
    mask = _hysteresis(strength, blocked)
    if small.shape == shape:
        return Vessels(mask, strength, blocked)
    wide = _larger(strength, shape)
    again = _larger(mask.astype(float), shape) > 0.5
    return Vessels(again, wide, _larger(blocked.astype(float), shape) > 0.5)


def checked(frame: npt.NDArray[Any]) -> Floats:
    """Return a frame as floats, or say what is wrong with it."""
    picture = np.asarray(frame, float)
    if picture.ndim != 2 or min(picture.shape) < 64 or max(picture.shape) > 2048:
        raise InputError(f"a frame of shape {picture.shape}", needed="rows and columns, 64 to 2048 each")
    if not np.isfinite(picture).all():
        raise InputError("a frame with values that are not finite", needed="grey values")
    if np.ptp(picture) < 1e-9:
        raise InputError("a frame of one grey value", needed="a picture")
    return picture


def _smaller(picture: Floats) -> Floats:
    from scipy.ndimage import gaussian_filter, zoom

    factor = SIZE / max(picture.shape)
    if factor >= 1:
        return picture
    return np.asarray(
        zoom(gaussian_filter(picture, 0.4 / factor), factor, order=1, grid_mode=True, mode="nearest")
    )


def _larger(small: Floats, shape: tuple[int, ...]) -> Floats:
    from scipy.ndimage import zoom

    factors = tuple(n / m for n, m in zip(shape, small.shape, strict=True))
    return np.asarray(zoom(small, factors, order=1, grid_mode=True, mode="nearest"))


def _collimator(picture: Floats) -> Bools:
    from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter, label

    even = gaussian_filter(picture - min(picture.min(), 0.0), 1.0)
    # Vessels that leave the picture are dark as well, but thinner than what is left after this.
    dark = np.pad(even < BLOCKED * np.median(even), MARGIN_PX + 1, mode="edge")
    dark = binary_erosion(dark, iterations=4, border_value=1)
    parts, count = label(dark)
    if not count:
        return np.zeros(picture.shape, bool)
    rim = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    touching = np.isin(parts, np.unique(rim[rim > 0]))
    grown = binary_dilation(touching, iterations=4 + MARGIN_PX)
    return np.asarray(grown[MARGIN_PX + 1 : -MARGIN_PX - 1, MARGIN_PX + 1 : -MARGIN_PX - 1])


def _strength(picture: Floats, blocked: Bools) -> Floats:
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    if blocked.all():
        raise InputError("a frame that is dark all over", needed="a picture of which a part is lit")
    if blocked.any():
        nearest = distance_transform_edt(blocked, return_distances=False, return_indices=True)
        picture = picture[tuple(nearest)]
    low = picture.min()
    depth = np.log(picture - low + 0.1 * (np.percentile(picture, 99) - low) + 1e-9)
    coarse = depth - gaussian_filter(depth, 15)
    noise = 1.48 * float(np.median(np.abs(coarse - np.median(coarse))))
    contrast = np.sqrt(gaussian_filter(coarse**2, 30)) + 0.3 * noise + 1e-9
    total = np.zeros_like(depth)
    for share, answers in zip(SHARES, _lines(depth), strict=True):
        best = answers.argmax(axis=0)
        along = np.take_along_axis(answers, best[None], 0)[0]
        across = np.take_along_axis(answers, ((best + DIRECTIONS // 2) % DIRECTIONS)[None], 0)[0]
        total += share * (along - ACROSS * np.abs(across))
    return np.asarray(np.where(blocked, -9.0, total / contrast))


def _lines(depth: Floats) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the answers of one width after the other, (directions, rows, columns); dark lines positive."""
    from scipy import fft

    pad = 28
    wide = np.pad(depth, pad, mode="reflect").astype(np.float32)
    shape = [fft.next_fast_len(n, real=True) for n in wide.shape]
    spectrum = fft.rfft2(wide, shape)
    down = 2 * np.pi * fft.fftfreq(shape[0])[:, None]
    along = 2 * np.pi * fft.rfftfreq(shape[1])[None]
    inner = tuple(slice(pad, pad + n) for n in depth.shape)
    for width in WIDTHS:
        answers = np.empty((DIRECTIONS, *depth.shape), np.float32)
        for n in range(DIRECTIONS):
            turn = np.pi * n / DIRECTIONS
            normal = down * np.cos(turn) - along * np.sin(turn)
            tangent = down * np.sin(turn) + along * np.cos(turn)
            # Minus the second derivative of a Gaussian, in the frequency domain; dark lines are its valleys.
            kernel = (width * normal) ** 2 * np.exp(-0.5 * width**2 * (normal**2 + (LONGER * tangent) ** 2))
            answers[n] = -fft.irfft2(spectrum * kernel.astype(np.float32), shape)[inner]
        yield answers


def _hysteresis(strength: Floats, blocked: Bools) -> Bools:
    from scipy.ndimage import find_objects, label

    lit = strength[~blocked]
    weak = strength > max(float(np.quantile(lit, 1 - JOIN)), 0.0)
    seed = strength > max(float(np.quantile(lit, 1 - SEEDS)), FAINTEST)
    parts, count = label(weak, np.ones((3, 3)))
    keep = np.zeros(count + 1, bool)
    keep[np.unique(parts[seed])] = True
    for n, box in enumerate(find_objects(parts), start=1):
        size = np.hypot(*(side.stop - side.start for side in box))
        keep[n] &= bool(size >= SPAN * max(strength.shape))
    keep[0] = False
    return np.asarray(keep[parts])
