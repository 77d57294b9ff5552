"""What a solver found: pressures along the vessels, flows through them, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, slots=True, eq=False)
class FlowResult:
    """Mean pressures and flows of a network.

    A solve that does not converge raises `carna.errors.SolverError`: there is no result without an end.

    Attributes
    ----------
    pressure_mmHg : (n,) float
        At each point of the network.
    flow_ml_s : (s,) float
        Through each segment, positive away from the inlet.
    solver : str
        The rung of the ladder: ``steady``, ``zerod``, ``oned``, ``lattice``.
    iterations : int
    residual : float
        Largest relative change of a flow in the last iteration.
    notes : tuple of str
        What was assumed, left out or near its limit.
    """

    pressure_mmHg: Floats
    flow_ml_s: Floats
    solver: str
    iterations: int = 0
    residual: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def ratio(self) -> Floats:
        """Pressure of each point over that of the inlet: computed FFR where the state is hyperaemia."""
        return np.asarray(self.pressure_mmHg / self.pressure_mmHg[0])
