"""The last beat of a pulse-wave solve, at every cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Pulse:
    """Pressure, flow and lumen over the last beat.

    Attributes
    ----------
    time_s : (t,) float
        From 0 to the period, both included.
    vessel : (c,) int
        Vessel of each cell; cells stand in order from head to tail.
    along_mm : (c,) float
        Distance of its middle from the vessel's head.
    pressure_mmHg, flow_ml_s, area_mm2 : (t, c) float
    node_flow_ml_s : (t, v, 2) float
        Through each vessel's head and tail, positive from head to tail.
    names : tuple of str
        Of the vessels.
    status : {"periodic", "unsettled"}
        Unsettled where the beats still differed by more than the tolerance when the last one allowed ended.
    beats : int
    change : float
        Largest difference of a pressure to the beat before, over the largest pulse pressure.
    steps : int
        In the last beat.
    cpu_s : float
        For the last beat.
    notes : tuple of str
    """

    time_s: Floats
    vessel: Ints
    along_mm: Floats
    pressure_mmHg: Floats
    flow_ml_s: Floats
    area_mm2: Floats
    node_flow_ml_s: Floats
    names: tuple[str, ...]
    status: Literal["periodic", "unsettled"]
    beats: int
    change: float
    steps: int
    cpu_s: float
    notes: tuple[str, ...] = ()

    def cells(self, name: str) -> Ints:
        """Return the cells of a vessel, from head to tail."""
        if name not in self.names:
            raise InputError(f"no vessel {name}", needed=f"one of {', '.join(self.names[:8])} ...")
        return np.flatnonzero(self.vessel == self.names.index(name))

    def at(
        self, name: str, along_mm: float, what: Literal["pressure_mmHg", "flow_ml_s", "area_mm2"]
    ) -> Floats:
        """Return a quantity over the beat at a place in a vessel, (t,): linear between middles of cells."""
        mine = self.cells(name)
        table: Floats = {
            "pressure_mmHg": self.pressure_mmHg,
            "flow_ml_s": self.flow_ml_s,
            "area_mm2": self.area_mm2,
        }[what][:, mine]
        if len(mine) == 1:
            return table[:, 0]
        place = np.interp(along_mm, self.along_mm[mine], np.arange(len(mine)))
        low = min(int(place), len(mine) - 2)
        return np.asarray(table[:, low] * (low + 1 - place) + table[:, low + 1] * (place - low))

    def mean(self, table: Floats) -> Floats:
        """Return the mean over the beat of a table whose first axis is time."""
        return np.asarray(np.trapezoid(table, self.time_s, axis=0) / self.time_s[-1])
