"""Signals: several leads sampled together, with a rate, a unit and a beginning.

A value that was not recorded is NaN: a lead that a cart printed for 2.5 of 10 seconds has
numbers there and NaN elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

__all__ = ["Signal", "runs"]


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """Leads x samples.

    Parameters
    ----------
    values : (leads, samples) float32
        In ``unit``; NaN where nothing was recorded.
    leads : tuple of str
        One name a row, each once.
    rate_hz : float
        Samples per second, > 0.
    unit : str
        UCUM.
    """

    values: npt.NDArray[np.float32]
    leads: tuple[str, ...]
    rate_hz: float
    unit: str = "mV"

    def __post_init__(self) -> None:
        values = np.asarray(self.values, np.float32)
        if values.ndim != 2 or len(values) != len(self.leads):
            raise InputError(
                f"{len(self.leads)} lead names for values of shape {values.shape}", needed="one row a lead"
            )
        if not self.rate_hz > 0:
            raise InputError(f"a sampling rate of {self.rate_hz} Hz", needed="a rate above 0")
        if len(set(self.leads)) != len(self.leads):
            raise InputError(f"a lead is named twice in {', '.join(self.leads)}", needed="each lead once")
        values = values.view()
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    @property
    def seconds(self) -> float:
        """Length, s."""
        return float(self.values.shape[1] / self.rate_hz)

    def lead(self, name: str) -> npt.NDArray[np.float32]:
        """Return one lead, ``(samples,)``."""
        if name not in self.leads:
            raise InputError(f"no lead {name!r} among {', '.join(self.leads)}")
        return np.asarray(self.values[self.leads.index(name)])

    def pick(self, names: tuple[str, ...]) -> Signal:
        """Return the named leads, in that order."""
        return Signal(np.stack([self.lead(n) for n in names]), names, self.rate_hz, self.unit)


def runs(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the half-open runs ``(n, 2)`` in which a 1-D mask is true.

    >>> runs(np.array([False, True, True, False, True])).tolist()
    [[1, 3], [4, 5]]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return np.asarray(edges.reshape(-1, 2))
