"""Pacing: thousands of cells at once, and what an electrophysiologist measures on each beat.

Every cell has its own parameters and its own cycle lengths; cells are independent, 512 to a block, and a
block runs from first to last beat in the processor's cache. Ten thousand ten Tusscher cells take ten beats
in some twenty seconds of one core.

=========  ===============================================================================
``rest``   V just before the stimulus, mV
``peak``   largest V of the beat, mV
``rise``   largest dV/dt of the beat, V/s; the stimulus is part of V, as in a recording
``apd``    from the largest dV/dt to the last time V falls through 30, 50, 90 % of the way from peak to rest
=========  ===============================================================================

A beat whose peak stays below -20 mV is no action potential, and one that does not come down before the next
stimulus has no duration: both are NaN. Time steps are fixed; 0.02 ms is within 1 % of the converged APD90
for all shipped models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from carna.ep.cell.emit import LANES
from carna.ep.cell.kernel import Precision, compile_kernel
from carna.ep.cell.model import CellModel
from carna.errors import InputError

__all__ = ["Cells", "Paced", "alternans", "dynamic_restitution", "pace", "s1s2"]

Floats = npt.NDArray[np.float64]
_FIRED_MV = -20.0


@final
@dataclass(frozen=True)
class Cells:
    """The state of many cells, to go on from: ``v`` (n_cells,) mV, ``s`` (n_slots, n_cells)."""

    slots: tuple[str, ...]
    v: npt.NDArray[Any]
    s: npt.NDArray[Any]

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return one state of every cell, such as ``cells["Nai"]``."""
        return self.v if name == "V" else self.s[self.slots.index(name)]


@final
@dataclass(frozen=True)
class Paced:
    """The beats of many cells; arrays are (beats, cells).

    Parameters
    ----------
    cycle_ms
        Time to the next stimulus.
    rest_mv, peak_mv, rise_v_per_s, apd30_ms, apd50_ms, apd90_ms
        See the module's first lines.
    trace_ms, trace_mv
        (samples,) time since the last stimulus, and V (samples, cells) over the last beat.
    cells
        The state at the end.
    """

    cycle_ms: Floats
    rest_mv: Floats
    peak_mv: Floats
    rise_v_per_s: Floats
    apd30_ms: Floats
    apd50_ms: Floats
    apd90_ms: Floats
    trace_ms: Floats
    trace_mv: Floats
    cells: Cells

    @property
    def diastolic_ms(self) -> Floats:
        """Diastolic interval before each beat, (beats, cells); NaN before the first."""
        before = self.cycle_ms[:-1] - self.apd90_ms[:-1]
        return np.concatenate([np.full((1, before.shape[1]), np.nan), before])


def pace(
    model: CellModel,
    cycle_ms: npt.ArrayLike,
    beats: int,
    *,
    parameters: Mapping[str, npt.ArrayLike] | None = None,
    pulse: tuple[float, float] | None = None,
    dt_ms: float = 0.02,
    precision: Precision = "float32",
    trace_every_ms: float = 1.0,
    start: Cells | None = None,
) -> Paced:
    """Pace cells and measure every beat.

    Parameters
    ----------
    cycle_ms
        One cycle length, one per cell (n_cells,), or one per beat and cell (beats, n_cells); 20 ms and more.
    beats
        Number of stimuli.
    parameters
        Parameters that differ from cell to cell: arrays (n_cells,) in the parameter's unit.
    pulse
        Stimulus in A/F and ms; the model's own by default.
    dt_ms
        Time step; all times are rounded to it.
    trace_every_ms
        Sampling of the trace of the last beat (of the cell whose last beat begins last).
    start
        Where to go on from: ``Paced.cells`` of a run with the same varied parameters, of one cell or of all.

    Raises
    ------
    InputError
        If shapes do not fit, a cycle is shorter than 20 ms, or a cell's V is no number any more.

    Examples
    --------
    >>> from carna.ep.cell import load
    >>> paced = pace(load("tt2006"), 1000, 3, parameters={"GKr": [0.153, 0.0765]})
    >>> bool(paced.apd90_ms[-1, 1] > paced.apd90_ms[-1, 0])  # half of IKr blocked
    True
    """
    given = {model[k].name: np.asarray(v, float).ravel() for k, v in (parameters or {}).items()}
    cycle = np.asarray(cycle_ms, float)
    cells = max(
        [cycle.shape[-1] if cycle.ndim else 1, len(start.v) if start else 1, *map(len, given.values())]
    )
    try:
        cycle = np.broadcast_to(cycle, (beats, cells))
        given = {k: np.broadcast_to(v, (cells,)) for k, v in given.items()}
    except ValueError as error:
        raise InputError(
            f"cycle lengths {cycle.shape} and parameters {[v.shape for v in given.values()]}",
            needed=f"shapes that fit {beats} beats of {cells} cells",
        ) from error
    if beats < 1 or cycle.min() < 20:
        raise InputError(
            f"{beats} beats at {cycle.min():g} ms", needed="at least one beat, cycles of 20 ms and more"
        )
    kernel = compile_kernel(model, tuple(given), precision, dt_max_ms=max(0.2, dt_ms))
    if not 0 < dt_ms <= 1:
        raise InputError(f"a step of {dt_ms:g} ms", needed="more than 0 and at most 1 ms")
    v, s = kernel.start(-(-cells // LANES))
    _fill(v, s, kernel.slots, given, start)
    strength, duration = pulse or model.pulse
    steps = np.ones((beats, v.size), np.int64) * round(float(cycle.max()) / dt_ms)
    steps[:, :cells] = np.rint(cycle / dt_ms)
    every = max(1, round(trace_every_ms / dt_ms))
    trace_from = int(steps[:-1, :cells].sum(axis=0).max()) if beats > 1 else 0
    trace = np.full((len(v), -(-int(steps[-1, :cells].max()) // every), LANES), np.nan, v.dtype)
    out = np.full((len(v), beats, 7, LANES), np.nan, v.dtype)
    for b in range(len(v)):
        here = min(cells - b * LANES, LANES)
        kernel.code.pace(
            v[b], s[b].reshape(-1), -(-here // 16) * 16, v.dtype.type(dt_ms),
            np.ascontiguousarray(steps[:, b * LANES : (b + 1) * LANES]),
            v.dtype.type(round(duration / dt_ms)),
            np.full(LANES, strength, v.dtype), out[b], every, trace_from, trace[b],
        )  # fmt: skip
    if not np.all(np.isfinite(v.ravel()[:cells])):
        raise InputError(
            f"{model.name}: V is no number any more after pacing at dt {dt_ms:g} ms",
            needed="a time step at which the model is stable",
            fix=f"halve dt_ms to {dt_ms / 2:g}",
        )
    return _measured(out, trace, cycle, cells, dt_ms, every, Cells(kernel.slots, *_cells_of(v, s, cells)))


def _fill(
    v: npt.NDArray[Any],
    s: npt.NDArray[Any],
    slots: tuple[str, ...],
    given: Mapping[str, Floats],
    start: Cells | None,
) -> None:
    """Write the start and the varied parameters into the blocks."""

    def put(block_row: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
        padded = np.full(v.size, values[-1])
        padded[: len(values)] = values
        block_row[...] = padded.reshape(v.shape)

    cells = max([len(x) for x in given.values()] + [len(start.v) if start else 1])
    if start is not None:
        put(v, np.broadcast_to(start.v, (max(cells, len(start.v)),)))
        for row, name in enumerate(slots):
            if name in start.slots:
                put(s[:, row], start[name])
    for name, values in given.items():
        put(s[:, slots.index(name)], values)


def _cells_of(
    v: npt.NDArray[Any], s: npt.NDArray[Any], cells: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    return v.ravel()[:cells].copy(), s.transpose(1, 0, 2).reshape(s.shape[1], -1)[:, :cells].copy()


def _measured(
    out: npt.NDArray[Any],
    trace: npt.NDArray[Any],
    cycle: Floats,
    cells: int,
    dt_ms: float,
    every: int,
    end: Cells,
) -> Paced:
    flat = out.transpose(1, 2, 0, 3).reshape(out.shape[1], 7, -1)[:, :, :cells].astype(float)
    rest, peak, rise, begin = (flat[:, k] for k in range(4))
    ends = flat[:, 4:]
    apd = np.where((peak > _FIRED_MV)[:, None], ends - begin[:, None], np.nan)
    traced = trace.transpose(1, 0, 2).reshape(trace.shape[1], -1)[:, :cells].astype(float)
    time: Floats = np.arange(len(traced), dtype=float) * (every * dt_ms)
    return Paced(cycle, rest, peak, rise, apd[:, 0], apd[:, 1], apd[:, 2], time, traced, end)


def s1s2(
    model: CellModel,
    s1_ms: float,
    s2_ms: npt.ArrayLike,
    *,
    beats: int = 20,
    pulse: tuple[float, float] | None = None,
    dt_ms: float = 0.02,
    precision: Precision = "float32",
) -> tuple[Floats, Floats]:
    """Return the S1-S2 restitution: diastolic interval before, and APD90 of, one early beat.

    Parameters
    ----------
    s1_ms
        Cycle length of the train.
    s2_ms
        Coupling intervals, (n,); each is a branch from the same train.
    beats
        Beats of the train.

    Returns
    -------
    diastolic_ms, apd90_ms
        (n,) each; NaN where S2 met refractory tissue.
    """
    coupling = np.asarray(s2_ms, float).ravel()
    more = {"pulse": pulse, "dt_ms": dt_ms, "precision": precision}
    train = pace(model, s1_ms, beats - 1, **more) if beats > 1 else None  # type: ignore[arg-type]
    cycles = np.stack([coupling, np.full_like(coupling, max(1000.0, 2 * s1_ms))])
    last = pace(model, cycles, 2, start=train.cells if train else None, **more)  # type: ignore[arg-type]
    before = last.diastolic_ms[1]
    return before, np.where(np.isnan(before), np.nan, last.apd90_ms[1])


def dynamic_restitution(
    model: CellModel,
    cycle_ms: npt.ArrayLike,
    *,
    beats: int = 50,
    pulse: tuple[float, float] | None = None,
    dt_ms: float = 0.02,
    precision: Precision = "float32",
) -> Paced:
    """Pace one cell per cycle length, all in one call; the last beats give the dynamic restitution.

    ``paced.apd90_ms[-2:]`` are the two branches where the duration alternates.
    """
    return pace(model, cycle_ms, beats, pulse=pulse, dt_ms=dt_ms, precision=precision)


def alternans(apd_ms: npt.NDArray[Any]) -> Floats:
    """Return the size of alternans: mean |APD(n+1) - APD(n)| over the last six beats, (cells,) in ms.

    NaN where a beat is missing (block 2:1 is no alternans of duration).
    """
    found: Floats = np.abs(np.diff(np.asarray(apd_ms, float)[-6:], axis=0)).mean(axis=0)
    return found
