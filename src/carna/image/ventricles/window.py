"""The square of the picture that holds the heart, at the scale the network learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Window"]


@dataclass(frozen=True, slots=True)
class Window:
    """A square cut out of pictures.

    Parameters
    ----------
    row, column : float
        Its centre, in pixels of the picture.
    step : float
        Pixels of the picture for each pixel of the window.
    side : int
        Pixels of the window.
    """

    row: float
    column: float
    step: float
    side: int

    def cut(self, pictures: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the windows (n, side, side) of pictures (n, r, c); beyond their rim the rim goes on."""
        import cv2

        smooth = 0.5 * np.sqrt(max(self.step**2 - 1.0, 0.0))  # what a coarser pixel would average
        out = np.empty((len(pictures), self.side, self.side), np.float32)
        for n, picture in enumerate(pictures):
            source = cv2.GaussianBlur(picture, (0, 0), smooth) if smooth > 0.3 else picture
            out[n] = cv2.warpAffine(
                source,
                self._to_picture,
                (self.side, self.side),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
        return out

    def put(self, shares: npt.NDArray[np.float32], shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Return the class of the greatest share (n, r, c) at the pixels of pictures of a shape.

        Parameters
        ----------
        shares : (n, classes, side, side) float32
            Class 0 is what lies outside the window too.
        shape : (r, c)
        """
        import cv2

        out = np.zeros((len(shares), *shape), np.uint8)
        half = self.step * self.side / 2.0
        r0, c0 = (max(int(np.floor(at - half)), 0) for at in (self.row, self.column))
        r1, c1 = (
            min(int(np.ceil(at + half)) + 1, n) for at, n in zip((self.row, self.column), shape, strict=True)
        )
        if r1 <= r0 or c1 <= c0:
            return out
        matrix = self._to_picture.copy()
        matrix[:, 2] -= (c0, r0)
        for n, share in enumerate(shares):
            best = np.zeros((r1 - r0, c1 - c0), np.float32)
            found = np.zeros(best.shape, np.uint8)
            for label in range(len(share)):
                here = cv2.warpAffine(
                    np.ascontiguousarray(share[label]),
                    matrix,
                    (c1 - c0, r1 - r0),
                    flags=cv2.INTER_LINEAR,
                    borderMode=cv2.BORDER_CONSTANT,
                    borderValue=float(label == 0),
                )
                found[here > best] = label
                best = np.maximum(best, here)
            out[n, r0:r1, c0:c1] = found
        return out

    @property
    def _to_picture(self) -> npt.NDArray[np.float64]:
        """Affine (2, 3) from window (x, y) to picture (x, y)."""
        half = (self.side - 1) / 2.0
        return np.array(
            [
                [self.step, 0.0, self.column - self.step * half],
                [0.0, self.step, self.row - self.step * half],
            ]
        )
