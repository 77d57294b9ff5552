"""The cells' share of a step: which blocks react now, and for how long.

**Multirate.** A block of 512 cells that rests or sits on its plateau need not react in every step: its ionic
current hardly changes, while diffusion keeps it in touch with its neighbours: in every step near a front, and
elsewhere every ``plateau_ms``, or as seldom within it as explicit diffusion bears (`run`). Three classes,
decided anew every ``plateau_ms`` from the steepest change of V in the block:

    front     reacts every step
    plateau   reacts every ``plateau_ms``, for the time since it last did
    rest      likewise, every ``rest_ms``

A block is put to the front as soon as a foot of more than ``front_mV_per_ms`` rises in it, which ahead of a
wave happens some 0.1 mV above rest, and while it is stimulated. Classes depend on V alone: a run repeats bit
by bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from carna.ep.tissue.layout import LANES, Layout
from carna.errors import InputError

if TYPE_CHECKING:
    from carna.ep.tissue.grid import Kernel
    from carna.ep.tissue.stimulus import Stimulus

Floats = NDArray[np.floating]
Ints = NDArray[np.int32]
Spread = Callable[[Callable[[int], None]], None]
FRONT, PLATEAU, REST = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Multirate:
    """When a block may react less often.

    Parameters
    ----------
    plateau_ms, rest_ms : float
        Reaction steps of quiet blocks; ``rest_ms`` a multiple of ``plateau_ms``.
    front_mV_per_ms : float
        A rise above this, or a fall 10 times as steep, makes a block react in every step.
    rest_mV_per_ms : float
        Below this in both directions a block is at rest.
    """

    plateau_ms: float = 0.2
    rest_ms: float = 0.8
    front_mV_per_ms: float = 0.25
    rest_mV_per_ms: float = 0.02

    def __post_init__(self) -> None:
        ratio = self.rest_ms / self.plateau_ms
        if self.plateau_ms <= 0 or ratio < 1 or abs(ratio - round(ratio)) > 1e-9:
            raise InputError(
                f"reaction steps of {self.plateau_ms} and {self.rest_ms} ms",
                needed="the second a whole multiple of the first",
            )


class Pacing:
    """The stimulus current of every lane, rewritten only when a pulse begins or ends."""

    def __init__(self, layout: Layout, stimuli: tuple[Stimulus, ...], like: Floats) -> None:
        self.current = np.zeros_like(like)
        self.pulses = sorted((t, t + s.duration_ms, n) for n, s in enumerate(stimuli) for t in s.times_ms)
        self.lanes, self.levels = [], []
        for n, s in enumerate(stimuli):
            share = np.asarray(layout.collect(np.asarray(s.where)), np.float32)
            lanes = np.flatnonzero((share > 0) & layout.used)
            if not len(lanes):
                raise InputError(
                    f"stimulus {n + 1} of {len(stimuli)} touches no tissue", needed="tissue under it"
                )
            self.lanes.append(lanes)
            level = share[lanes] * s.strength_A_per_F
            self.levels.append(np.asarray(level, like.dtype))
        self.blocks = [np.unique(lanes // LANES) for lanes in self.lanes]
        self.now: tuple[tuple[int, float], ...] = ()

    def set(self, start_ms: float, dt_ms: float) -> None:
        """Make ``current`` the mean over this step, so that no charge is lost to rounding of times."""
        now = tuple(
            (n, round(part, 9))
            for a, b, n in self.pulses
            if (part := (min(b, start_ms + dt_ms) - max(a, start_ms)) / dt_ms) > 1e-6
        )
        if now == self.now:
            return
        flat = self.current.reshape(-1)
        for n, _ in self.now:
            flat[self.lanes[n]] = 0
        for n, part in now:
            flat[self.lanes[n]] += self.levels[n] * flat.dtype.type(part)
        self.now = now

    def touched(self, start_ms: float, end_ms: float) -> NDArray[np.int64]:
        """Return the blocks that are stimulated between two moments."""
        hit = [self.blocks[n] for a, b, n in self.pulses if a < end_ms and b > start_ms]
        return np.unique(np.concatenate(hit)) if hit else np.zeros(0, np.int64)


class Reaction:
    """Lets the blocks of several models react, each at its own rate.

    Parameters
    ----------
    kernels : list of (Kernel, first block, end block, s)
        The models and what their cells hold besides V.
    dt_ms : float
    rates : Multirate or None
        None reacts in every step everywhere.
    v : (blocks, 512) float
        V at the beginning.
    """

    def __init__(
        self, kernels: list[tuple[Kernel, int, int, Floats]], dt_ms: float, rates: Multirate | None, v: Floats
    ) -> None:
        self.kernels = kernels
        self.dt_ms = dt_ms
        self.rates = rates
        n = len(v)
        self.level = np.zeros(n, np.int8)
        self.age = np.zeros(n, np.int32)  # steps since a block last reacted
        self.mark = v.copy() if rates else v[:0].copy()
        self.done = 0  # node blocks reacted, for the account
        self.span = max(1, round(rates.plateau_ms / dt_ms)) if rates else 1
        self.rest = self.span * round(rates.rest_ms / rates.plateau_ms) if rates else 1
        if rates and abs(self.span * dt_ms - rates.plateau_ms) > 1e-9:
            raise InputError(
                f"reaction steps of {rates.plateau_ms} ms over time steps of {dt_ms} ms",
                needed="a whole multiple",
                fix=f"use {self.span * dt_ms:g} ms",
            )
        self.front = self._lists(np.arange(n))

    def _lists(self, blocks: NDArray[np.integer]) -> list[Ints]:
        """Return, for each model, which of these blocks are its own, counted from its first."""
        return [np.asarray(blocks[(blocks >= a) & (blocks < b)] - a, np.int32) for _, a, b, _ in self.kernels]

    def _react(
        self, v: Floats, current: Floats, lists: list[Ints], dt_ms: float, workers: int, spread: Spread
    ) -> None:
        def some(i: int) -> None:
            for (kernel, a, b, s), blocks in zip(self.kernels, lists, strict=True):
                mine = blocks[len(blocks) * i // workers : len(blocks) * (i + 1) // workers]
                if len(mine):
                    kernel.advance(v[a:b], s, current[a:b], dt_ms, mine)

        spread(some)
        self.done += sum(map(len, lists))

    def step(self, v: Floats, current: Floats, workers: int, spread: Spread) -> None:
        """React for one time step where that is due in every step."""
        self._react(v, current, self.front, self.dt_ms, workers, spread)

    def settle(self, step: int, v: Floats, pacing: Pacing, workers: int, spread: Spread) -> None:
        """After step number ``step`` (from 1): let quiet blocks catch up, and class all blocks anew."""
        if self.rates is None or step % self.span:
            return
        from carna.ep.tissue.watch import slopes

        now_ms, span_ms = step * self.dt_ms, self.span * self.dt_ms
        up = np.empty(len(v))
        down = np.empty(len(v))
        slopes(self.mark.reshape(-1), v.reshape(-1), span_ms, up, down)
        limit, calm = self.rates.front_mV_per_ms, self.rates.rest_mV_per_ms
        fresh = np.full(len(v), PLATEAU, np.int8)
        fresh[(up < calm) & (down > -calm)] = REST
        fresh[(up > limit) | (down < -10 * limit)] = FRONT
        fresh[pacing.touched(now_ms, now_ms + span_ms)] = FRONT
        self.age[self.level > FRONT] += self.span
        due = (self.age > 0) & ((fresh < REST) | (self.age >= self.rest))
        for age in np.unique(self.age[due]).tolist():
            late = np.flatnonzero(due & (self.age == age))
            self._react(
                v, np.zeros_like(pacing.current), self._lists(late), age * self.dt_ms, workers, spread
            )
        self.age[due] = 0
        self.level = fresh
        self.front = self._lists(np.flatnonzero(fresh == FRONT))
        np.copyto(self.mark, v)
