"""Regions of the left ventricular wall that are thinner, or move less or more, than the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

Array = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Region:
    """A patch of the wall, full in its middle, with an edge that falls off smoothly.

    Parameters
    ----------
    theta_deg : float
        Angle of its centre about the long axis, from the middle of the septum.
    depth : float
        Depth of its centre, 0 (base) to 1 (apex).
    half_width_deg, half_length : float
        Angle, 5 to 180 degrees, and depth, 0.02 to 1, from the centre to where half of it is left.
    motion : float
        Share of its contraction that it keeps: 1 as the rest, 0 akinetic, down to -0.3 dyskinetic, up to 1.5
        hyperkinetic.
    thinning : float
        Share of its thickness that is lost, -1 (twice as thick) to 0.7.

    Raises
    ------
    InputError
        A value outside its range.
    """

    theta_deg: float
    depth: float
    half_width_deg: float = 40.0
    half_length: float = 0.25
    motion: float = 0.0
    thinning: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values outside the ranges."""
        for name, low, high in (
            ("depth", 0.0, 1.0), ("half_width_deg", 5.0, 180.0), ("half_length", 0.02, 1.0),
            ("motion", -0.3, 1.5), ("thinning", -1.0, 0.7),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} = {getattr(self, name)}", needed=f"{low:g} to {high:g}")

    def share(self, theta: Array, depth: Array) -> Array:
        """How much of the patch is at an angle (rad) and a depth (0 to 1): 1 in its middle, 0 far away."""
        turn = (theta - np.deg2rad(self.theta_deg) + np.pi) % (2 * np.pi) - np.pi
        away = (turn / np.deg2rad(self.half_width_deg)) ** 2 + ((depth - self.depth) / self.half_length) ** 2
        share: Array = 1.0 / (1.0 + away * away)
        return share


def motion(regions: tuple[Region, ...], theta: Array, depth: Array) -> Array:
    """Share of the contraction that the wall keeps at angles (rad) and depths (0 to 1)."""
    kept = np.ones(np.broadcast_shapes(np.shape(theta), np.shape(depth)), np.result_type(theta, depth))
    for region in regions:
        if region.motion != 1.0:
            kept *= 1.0 - (1.0 - region.motion) * region.share(theta, depth)
    return kept


def thickness(regions: tuple[Region, ...], theta: Array, depth: Array) -> Array:
    """Factor on the thickness of the wall at angles (rad) and depths (0 to 1)."""
    left = np.ones(np.broadcast_shapes(np.shape(theta), np.shape(depth)), np.result_type(theta, depth))
    for region in regions:
        if region.thinning:
            left *= 1.0 - region.thinning * region.share(theta, depth)
    return left
