"""The tissue of a re-entry screening: conduction, regions and how each recovers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from carna.ep.eikonal import Medium, medium
from carna.errors import InputError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LONGEST_REST_MS = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Restitution:
    """How one region recovers: tables over the diastolic interval, linear between, constant outside.

    Parameters
    ----------
    rest_ms : (n,) float
        Diastolic interval, from recovery to the next excitation; increasing, from 0.
    apd_ms : (n,) float
        Time from excitation to recovery (refractory time) after that rest; above 0.
    speed : (n,) float
        Conduction velocity as a fraction of the tissue's own, in (0, 1].

    Notes
    -----
    Measure both on a cable of the cell model (S1-S2, or one table per region and drug): no memory beyond
    one beat is carried, so that alternans appears only where the slope of ``apd_ms`` exceeds 1.
    """

    rest_ms: Floats
    apd_ms: Floats
    speed: Floats

    def __post_init__(self) -> None:
        rest, apd, speed = (np.asarray(v, float) for v in (self.rest_ms, self.apd_ms, self.speed))
        if rest.ndim != 1 or not rest.size or not rest.shape == apd.shape == speed.shape:
            raise InputError(
                f"tables of shapes {rest.shape}, {apd.shape}, {speed.shape}", needed="three of one length"
            )
        if (np.diff(rest) <= 0).any() or rest[0] < 0:
            raise InputError(f"rest_ms {rest}", needed="increasing diastolic intervals, ms, from 0")
        if not (apd > 0).all() or not ((speed > 0) & (speed <= 1)).all():
            raise InputError(
                f"apd_ms from {apd.min():.4g}, speed {speed.min():.3g} to {speed.max():.3g}",
                needed="apd_ms above 0, speed as a fraction above 0 and at most 1",
            )

    @classmethod
    def constant(cls, apd_ms: float) -> Restitution:
        """Return a region that always recovers after ``apd_ms`` and always conducts alike."""
        return cls(np.zeros(1), np.array([apd_ms]), np.ones(1))

    def tables(self) -> tuple[Floats, Floats]:
        """Return APD and speed at 0, 1, 2 ... 2000 ms of rest."""
        at = np.arange(LONGEST_REST_MS + 1.0)
        return np.interp(at, self.rest_ms, self.apd_ms), np.interp(at, self.rest_ms, self.speed)


@dataclass(frozen=True, slots=True, eq=False)
class Substrate:
    """Tissue with its regions; scar is outside the mask.

    Parameters
    ----------
    tissue : carna.ep.eikonal.Medium
        Mask, spacing and conduction velocities (slow ones in the grey zone).
    region : (k, r, c) int
        Number of each voxel's table, e.g. 0 healthy, 1 grey zone.
    tables : tuple of Restitution
    linger_ms : float
        How long a front waits at tissue about to recover.
    """

    tissue: Medium
    region: Ints
    tables: tuple[Restitution, ...]
    linger_ms: float = 5.0

    def __post_init__(self) -> None:
        if self.region.shape != self.tissue.mask.shape:
            raise InputError(f"regions {self.region.shape}", needed=f"shape {self.tissue.mask.shape}")
        inside = self.region[self.tissue.mask]
        if inside.min() < 0 or inside.max() >= len(self.tables):
            raise InputError(
                f"regions {inside.min()} to {inside.max()} and {len(self.tables)} tables",
                needed="one table a region",
            )
        if self.tissue.extra:
            raise InputError("tissue joined with a network", needed="tissue alone for a screening")

    def without(
        self,
        ablated: Bools,
        velocity: npt.ArrayLike,
        fibres: Floats | None = None,
        sheet_normals: Floats | None = None,
    ) -> Substrate:
        """Return the substrate with voxels taken out (a virtual ablation); the rest as in `medium`."""
        mask = self.tissue.mask & ~ablated
        return replace(self, tissue=medium(mask, self.tissue.spacing_mm, velocity, fibres, sheet_normals))
