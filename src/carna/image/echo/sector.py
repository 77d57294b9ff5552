"""Where the sector of an echo clip is, and the square of it that a network reads.

A stored clip is a screen: around the sector stand text, depth ticks, a grey bar, an electrocardiogram, and
none of it is tissue. What tells the sector from the rest is that it moves everywhere, in one piece, without
colour: letters rest, and what moves beside it (a trace, a clock) is another, smaller piece.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

Array = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]

_COLOURED = 40.0  # difference of two channels, of 255, beyond the tint of a grey map
_DOPPLER = 0.04  # share of the sector that is coloured
_LEAST = 0.04  # share of the picture that a sector fills at least


@dataclass(frozen=True, slots=True, eq=False)
class Sector:
    """The sector of a clip.

    Parameters
    ----------
    grey : (t, r, c) float32
        Brightness 0 to 255, 0 outside the sector and where the screen is coloured.
    mask : (r, c) bool
        The sector: the convex hull of the lit piece that moves.
    top, bottom : int
        First row of the sector, and the row after its last.
    middle : float
        Column from which the beams leave.
    aspect : float
        Height of a pixel over its width.
    """

    grey: npt.NDArray[np.float32]
    mask: Flags
    top: int
    bottom: int
    middle: float
    aspect: float = 1.0

    @property
    def depth(self) -> int:
        """Rows from top to bottom."""
        return self.bottom - self.top

    def squares(self, side: int) -> npt.NDArray[np.float32]:
        """Return the square below the probe, as deep as the sector, as (t, side, side)."""
        import cv2

        matrix, shrinks = self._matrix(side), self.depth > side
        out = np.zeros((len(self.grey), side, side), np.float32)
        for t, frame in enumerate(self.grey):
            # Averaging first: a smaller picture shall not pick single speckles.
            soft = cv2.GaussianBlur(frame, (0, 0), 0.4 * self.depth / side) if shrinks else frame
            out[t] = cv2.warpAffine(soft, matrix, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        return out

    def placed(self, shares: Array) -> npt.NDArray[np.float32]:
        """Return shares (classes, side, side) of a square in the picture's own pixels, (classes, r, c)."""
        import cv2

        rows, columns = self.mask.shape
        matrix = self._matrix(shares.shape[-1])
        layers = [
            cv2.warpAffine(np.asarray(layer, np.float32), matrix, (columns, rows), flags=cv2.INTER_LINEAR)
            for layer in shares
        ]
        return np.stack(layers)

    def _matrix(self, side: int) -> Array:
        """From (column, row) of the square to those of the picture."""
        step = self.depth / side
        across = step * self.aspect
        return np.array(
            [
                [across, 0.0, self.middle - across * (side - 1) / 2.0],
                [0.0, step, self.top + step / 2.0 - 0.5],
            ]
        )


def find_sector(frames: npt.NDArray[np.generic], *, aspect: float = 1.0) -> Sector:
    """Find the sector of a clip.

    Parameters
    ----------
    frames : (t, r, c) or (t, r, c, 3)
        Grey or colour, 0 to 255, at least 8 frames.
    aspect : float
        Height of a pixel over its width, 1 where that is not known.

    Raises
    ------
    InputError
        Too few frames, nothing that moves like a sector, or a sector in colour (Doppler).
    """
    if frames.ndim not in (3, 4) or len(frames) < 8:
        raise InputError(f"frames of shape {frames.shape}", needed="a clip of 8 frames at least")
    grey, coloured = _grey(frames)
    moving = grey.std(axis=0)
    lively = float(np.percentile(moving, 98.0))
    if lively < 1.0:
        raise InputError("a clip in which nothing moves", needed="an apical echo clip")
    moves = moving > max(0.08 * lively, 0.6)
    # Still tissue belongs to it too, where it is lit and hangs together with what moves.
    lit = np.median(grey, axis=0) > 0.06 * float(np.percentile(grey, 99.5))
    piece = _piece(lit | moves, moves, max(2, round(0.012 * min(moving.shape))))
    mask = _hull(piece)
    if mask.mean() < _LEAST:
        raise InputError(
            f"what moves fills {100 * mask.mean():.0f} % of the picture", needed="an echo sector"
        )
    red = float((coloured[:, mask].mean(axis=0) > 0.1).mean())
    if red > _DOPPLER:
        raise InputError(
            f"{100 * red:.0f} % of the sector is in colour", needed="a clip without colour Doppler"
        )
    rows = np.flatnonzero(mask.any(axis=1))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    return Sector(np.where(mask, grey, 0.0).astype(np.float32), mask, top, bottom, _middle(mask), aspect)


def _grey(frames: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.float32], Flags]:
    values = np.asarray(frames, np.float32)
    if values.ndim == 3:
        return values, np.zeros(values.shape, bool)
    coloured = values.max(axis=-1) - values.min(axis=-1) > _COLOURED
    # Luminance of ITU-R BT.601; what is coloured is writing.
    grey = values @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.where(coloured, 0.0, grey).astype(np.float32), coloured


def _piece(candidate: Flags, moves: Flags, gap: int) -> Flags:
    """Return the connected piece that moves most, its holes of dark blood closed over ``gap`` pixels."""
    import cv2

    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * gap + 1, 2 * gap + 1))
    # Opened first, so that thin writing does not grow into the sector.
    thin = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    opened = cv2.morphologyEx(candidate.astype(np.uint8), cv2.MORPH_OPEN, thin)
    closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, disc)
    pieces = cv2.connectedComponents(closed)[1]
    counts = np.bincount(pieces[moves], minlength=2)
    counts[0] = 0
    return np.asarray(pieces == int(counts.argmax())) & bool(counts.any())


def _hull(piece: Flags) -> Flags:
    import cv2

    mask = np.zeros(piece.shape, np.uint8)
    if piece.any():
        at = np.argwhere(piece)[:, ::-1].astype(np.int32)
        cv2.fillConvexPoly(mask, cv2.convexHull(at), 1)
    return np.asarray(mask, bool)


def _middle(mask: Flags) -> float:
    """Return the column of the probe: the middle of the sector's narrow top."""
    rows = np.flatnonzero(mask.any(axis=1))
    top = rows[: max(2, round(0.06 * len(rows)))]
    return float(np.mean([np.flatnonzero(mask[r]).mean() for r in top]))
