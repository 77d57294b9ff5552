"""Blood as the solvers see it: a density and a viscosity, constant or falling with shear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from carna.errors import InputError

MMHG = 133.322387415  # Pa


@final
@dataclass(frozen=True, slots=True)
class Carreau:
    """Shear thinning: mu = low + (high - low) (1 + (time * rate)^2)^((n - 1) / 2).

    Attributes
    ----------
    high_mPas, low_mPas : float
        Viscosity at rest and at high shear, mPa s.
    time_s : float
    n : float
        Below 1 thins.
    """

    high_mPas: float = 56.0
    low_mPas: float = 3.45
    time_s: float = 3.313
    n: float = 0.3568


@final
@dataclass(frozen=True, slots=True)
class Blood:
    """Blood.

    Parameters
    ----------
    density_kg_m3 : float
        900 to 1200.
    viscosity_mPas : float
        At high shear, mPa s, 1 to 10; 3.5 to 4 is usual for whole blood at 37 degrees.
    thinning : Carreau, optional
        Only the three-dimensional solver reads it.
    """

    density_kg_m3: float = 1060.0
    viscosity_mPas: float = 4.0
    thinning: Carreau | None = None

    def __post_init__(self) -> None:
        if not 900 <= self.density_kg_m3 <= 1200:
            raise InputError(f"blood of {self.density_kg_m3:g} kg/m3", needed="900 to 1200 kg/m3")
        if not 1 <= self.viscosity_mPas <= 10:
            raise InputError(
                f"blood of {self.viscosity_mPas:g} mPa s",
                needed="1 to 10 mPa s",
                fix="give the viscosity in mPa s (equal to cP), about 4",
            )
