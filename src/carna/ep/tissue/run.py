"""Run tissue: the monodomain equation in time.

In each step every cell reacts for ``dt_ms`` with its neighbours held still, V diffuses for ``dt_ms`` from
where it stood before that, and both changes are added (forward Euler between the two; the cells' own step is
better). Diffusion that saw what the reaction had just done, as in Godunov's splitting, would run ahead of the
cells: with gates that are stepped before V, conduction at 0.05 ms would come out 6 % too fast instead of
within 2 %. Both are explicit: the largest stable step of diffusion follows from the assembled operator
(`operator`), a fifth of it is kept for the cells' own conductance, and a larger step is refused before
anything is computed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from carna.ep.tissue import record as rec
from carna.ep.tissue.grid import Kernel, Tissue
from carna.ep.tissue.layout import LANES, Ints, Layout, lay_out
from carna.ep.tissue.operator import Operator, fourth_order, second_order
from carna.ep.tissue.reaction import FRONT, Multirate, Pacing, Reaction, Spread
from carna.ep.tissue.state import Checkpoint, State, fingerprint, load, save
from carna.ep.tissue.stimulus import Stimulus
from carna.errors import InputError
from carna.progress import SILENT, Progress
from carna.signal import Signal

Floats = NDArray[np.floating]
Precision = Literal["float32", "float64"]
# Share of diffusion's own limit: 1 - dt (lambda + g) must stay above -1 for a membrane's g of some 10 / ms.
RESERVE = 0.8
GUARD_MV = 300.0  # no membrane has ever been there: beyond it a run has blown up


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a simulation recorded.

    Attributes
    ----------
    activation_ms : (k, r, c) float64 or None
        First activation, NaN where none.
    activations : (time ms (n,) float64, voxel (n,) int64) or None
        All of them in the order of time steps, as flat indices of the grid.
    upstroke_mV_per_ms, apd_ms : (k, r, c) float or None
        Steepest rise; duration of the last action potential. NaN outside the tissue.
    probes, leads : Signal or None
        In mV; sample n is taken at ``(n + 1) / rate``.
    frames : (n, k, r, c) float16 or None
        V, NaN outside the tissue.
    state : State
        The end, from which ``simulate(start=run.state)`` goes on.
    dt_ms, limit_ms : float
        The time step, and the largest stable one.
    nodes, steps : int
    reacted : float
        Share of node-steps in which cells reacted; 1 without multirate.
    cpu_seconds : float
        Of the time steps, without set-up and compilation.
    """

    activation_ms: NDArray[np.float64] | None
    activations: tuple[NDArray[np.float64], NDArray[np.int64]] | None
    upstroke_mV_per_ms: Floats | None
    apd_ms: Floats | None
    probes: Signal | None
    leads: Signal | None
    frames: NDArray[np.float16] | None
    state: State
    dt_ms: float
    limit_ms: float
    nodes: int
    steps: int
    reacted: float
    cpu_seconds: float


def simulate(
    tissue: Tissue,
    stimuli: Stimulus | Sequence[Stimulus],
    end_ms: float,
    *,
    dt_ms: float = 0.02,
    record: Sequence[rec.Recorder] = (rec.Activation(),),
    order: Literal[2, 4] = 2,
    multirate: Multirate | None = None,
    precision: Precision = "float32",
    start: State | None = None,
    checkpoint: Checkpoint | None = None,
    threads: int = 1,
    progress: Progress = SILENT,
) -> Run:
    """Stimulate tissue and follow it until ``end_ms``.

    Parameters
    ----------
    tissue : Tissue
    stimuli : Stimulus or sequence of Stimulus
        Times count from 0, also after ``start``.
    end_ms : float
    dt_ms : float
        Time step; refused above the stability limit, whose value is then given.
    record : sequence of recorders
        What to write down; at most one of a kind.
    order : 2 or 4
        Of diffusion in space; 4 for full boxes with fibres on an axis.
    multirate : Multirate, optional
        Let quiet blocks react less often.
    precision : {"float32", "float64"}
    start : State, optional
        Go on from the end of another run of the same tissue.
    checkpoint : Checkpoint, optional
        Save the state now and then, and resume from it if it is there.
    threads : int
        Share each step between this many threads (1 or 2 is sensible: the state is memory bound beyond).
    progress : Progress

    Returns
    -------
    Run

    Raises
    ------
    InputError
        The step is too large, a recorder is given twice, V left what a membrane can do.
    """
    stimuli = (stimuli,) if isinstance(stimuli, Stimulus) else tuple(stimuli)
    if not dt_ms > 0:
        raise InputError(f"a time step of {dt_ms:g} ms", needed="more than 0")
    layout = lay_out(tissue)
    dtype = np.float32 if precision == "float32" else np.float64
    longest_ms = max(dt_ms, multirate.rest_ms) if multirate else dt_ms
    v, kernels = _cells(tissue, layout, precision, longest_ms)
    steps = round(end_ms / dt_ms)
    first = 0
    if start is not None:
        _resume(start, v, kernels, dt_ms)
        first = start.step
    if first >= steps:
        raise InputError(f"an end at {end_ms} ms", needed=f"a moment after {first * dt_ms:g} ms")
    what = ""
    if checkpoint is not None:
        settings = (first, steps, dt_ms, order, multirate, precision, tuple(repr(r) for r in record))
        what = fingerprint(tissue, stimuli, settings)
    pacing = Pacing(layout, stimuli, v)
    nodes = tissue.nodes
    del stimuli  # maps on a whole heart's grid: freed where nobody else holds them
    sinks = _sinks(record, tissue, layout, v, dt_ms, steps - first)
    reaction = Reaction(kernels, dt_ms, multirate, v)
    if start is not None and multirate is not None and len(start.mark):
        _reclass(reaction, start)
    begin = first
    if checkpoint is not None and checkpoint.path.exists():
        saved, kept = load(checkpoint.path, what)
        _resume(saved, v, kernels, dt_ms)
        if multirate is not None:
            _reclass(reaction, saved)
        for sink, arrays in zip(sinks, kept, strict=True):
            sink.kept = arrays
        begin = saved.step
        del saved, kept
    operator = (second_order if order == 2 else fourth_order)(tissue, layout, dtype)
    del tissue
    limit_ms = RESERVE * operator.limit_ms
    if dt_ms > limit_ms:
        raise InputError(
            f"a time step of {dt_ms:g} ms",
            needed=f"at most {limit_ms:.4g} ms, where explicit diffusion stays stable",
            fix=f"use {_round_down(limit_ms)} ms or a coarser grid",
        )
    loop = _Loop(operator, reaction, pacing, sinks, dt_ms, limit_ms, threads)
    cpu = time.process_time()
    every = round(checkpoint.every_ms / dt_ms) if checkpoint else 0
    v = loop.run(v, begin, first, steps, progress, (checkpoint, what, every))
    cpu = time.process_time() - cpu
    state = _state(steps, dt_ms, v, reaction)
    del loop, operator  # whose table is the largest thing here, before maps are made
    blocks = (steps - begin) * len(v)
    account = (nodes, steps - begin, reaction.done / max(blocks, 1), cpu)
    return _collect(record, sinks, layout, state, dt_ms, limit_ms, account)


class _Loop:
    """The time steps."""

    def __init__(
        self,
        operator: Operator,
        reaction: Reaction,
        pacing: Pacing,
        sinks: list[rec.Sink],
        dt_ms: float,
        limit_ms: float,
        threads: int,
    ) -> None:
        self.operator, self.reaction, self.pacing = operator, reaction, pacing
        self.sinks, self.dt_ms, self.threads = sinks, dt_ms, threads
        # Quiet bricks diffuse once a span, or as seldom within it as diffusion bears.
        parts = [n for n in range(1, reaction.span + 1) if reaction.span % n == 0 and n * dt_ms <= limit_ms]
        self.stride = max(parts)
        self.pairs = operator.seen() if self.stride > 1 else None
        self._choose()

    def _choose(self) -> None:
        """Part the bricks: those that touch a front diffuse in every step, the others once a stride."""
        self.near: tuple[Ints, ...] | None = None
        self.far: tuple[Ints, ...] = ()
        if self.pairs is None:
            return
        brick, block = self.pairs
        near = np.zeros(int(brick.max()) + 1, np.bool_)
        near[brick[self.reaction.level[block] == FRONT]] = True
        self.near, self.far = self.operator.chosen(near), self.operator.chosen(~near)

    def _lively(self) -> bool:
        """Whether any cell reacts or any brick diffuses in a step that ends no stride."""
        return any(map(len, self.near or ())) or any(map(len, self.reaction.front))

    def _diffuse(
        self, old: Floats, after: Floats, new: Floats, dt_ms: float, lists: tuple[Ints, ...] | None
    ) -> Callable[[int], None]:
        return lambda i: self.operator.step(old, new, dt_ms, after, (i, self.threads), lists)

    def run(
        self,
        v: Floats,
        begin: int,
        first: int,
        steps: int,
        progress: Progress,
        saving: tuple[Checkpoint | None, str, int],
    ) -> Floats:
        """Step from ``begin`` to ``steps`` and return V."""
        dt, n = self.dt_ms, self.threads
        mid, new = v.copy(), v.copy()
        guard = max(1, round(1 / dt))
        each = [s for s in self.sinks if not s.every]
        some = [s for s in self.sinks if s.every]
        checkpoint, what, every = saving
        told = time.monotonic()
        with _workers(n) as spread:
            for step in range(begin, steps):
                done = step + 1
                end = done % self.stride == 0
                if self.near is None or end or self._lively():
                    self.pacing.set(step * dt, dt)
                    np.copyto(mid, v)
                    self.reaction.step(mid, self.pacing.current, n, spread)
                    if self.near is not None:
                        np.copyto(new, mid)  # what does not diffuse now
                    spread(self._diffuse(v.reshape(-1), mid.reshape(-1), new.reshape(-1), dt, self.near))
                    if self.near is not None and end:
                        long_ms = dt * self.stride
                        spread(
                            self._diffuse(v.reshape(-1), mid.reshape(-1), new.reshape(-1), long_ms, self.far)
                        )
                    self.reaction.settle(done, new, self.pacing, n, spread)
                    if self.near is not None and done % self.reaction.span == 0:
                        self._choose()
                    for sink in each:
                        sink.take(v.reshape(-1), new.reshape(-1), done * dt, dt)
                    v, new = new, v
                for sink in some:
                    if (done - first) % sink.every == 0:
                        sink.take(v.reshape(-1), v.reshape(-1), done * dt, dt)
                if done % guard == 0 or done == steps:
                    _look(v, done * dt)
                if checkpoint is not None and done % every == 0 and done < steps:
                    kept = [s.kept for s in self.sinks]
                    save(checkpoint.path, what, _state(done, dt, v, self.reaction), kept)
                if time.monotonic() - told > 0.5:
                    told = time.monotonic()
                    progress((done - first) / (steps - first), f"{done * dt:.0f} ms")
        return v


@contextmanager
def _workers(n: int) -> Iterator[Spread]:
    """Give a function that calls ``work(i)`` for i < n, in threads where n > 1, and waits for all."""
    if n == 1:
        yield lambda work: work(0)
        return
    with ThreadPoolExecutor(n - 1) as pool:

        def spread(work: Callable[[int], None]) -> None:
            rest = [pool.submit(work, i) for i in range(1, n)]
            work(0)
            for future in rest:
                future.result()

        yield spread


def _look(v: Floats, now_ms: float) -> None:
    """Refuse a V that no membrane has; a comparison with NaN is false as well."""
    far = float(np.abs(v).max())
    if not far < GUARD_MV:
        raise InputError(
            f"V reached {far:g} mV at {now_ms:g} ms",
            needed=f"a V within {GUARD_MV:g} mV",
            fix="use a smaller time step, or a weaker stimulus",
        )


def _round_down(limit_ms: float) -> str:
    """Return the largest step with two digits that is not above the limit."""
    if not np.isfinite(limit_ms):
        return "any"
    digits = int(1 - np.floor(np.log10(limit_ms)))
    return f"{np.floor(limit_ms * 10**digits) / 10**digits:.{max(digits, 0)}f}"


def compiled(model: object, varied: tuple[str, ...], precision: Precision, longest_ms: float) -> Kernel:
    """Return a model's kernel for steps up to ``longest_ms``; one that is given compiled is used as it is."""
    if isinstance(model, Kernel):
        return model
    from carna.ep.cell import CellModel
    from carna.ep.cell.kernel import compile_kernel

    if not isinstance(model, CellModel):
        raise InputError(f"cells of type {type(model).__name__}", needed="a CellModel or a compiled kernel")

    kernel: Kernel = compile_kernel(model, varied=varied, precision=precision, dt_max_ms=max(0.2, longest_ms))
    return kernel


def _cells(
    tissue: Tissue, layout: Layout, precision: Precision, longest_ms: float
) -> tuple[Floats, list[tuple[Kernel, int, int, Floats]]]:
    """Return V and each model's kernel, blocks and state at rest, with the varied parameters written in."""
    v = np.zeros((layout.lanes // LANES, LANES), precision)
    kernels = []
    names = tuple(sorted(tissue.varied))
    for region, a, b in layout.blocks:
        kernel = compiled(tissue.models[region], names, precision, longest_ms)
        v[a:b], s = kernel.start(b - a)
        if s.dtype != v.dtype:
            raise InputError(
                f"a kernel of {s.dtype} in a run of {precision}", fix="compile it in that precision"
            )
        for name in names:
            if name not in kernel.slots:
                raise InputError(f"{name} does not vary in the model of region {region}")
            slot = kernel.slots.index(name)
            values = np.asarray(layout.collect(np.asarray(tissue.varied[name], s.dtype)), s.dtype)
            mine = layout.used.reshape(-1, LANES)[a:b]
            s[:, slot, :][mine] = values.reshape(-1, LANES)[a:b][mine]
        kernels.append((kernel, a, b, s))
    return v, kernels


def _resume(state: State, v: Floats, kernels: list[tuple[Kernel, int, int, Floats]], dt_ms: float) -> None:
    same = state.v.shape == v.shape and len(state.s) == len(kernels) and state.v.dtype == v.dtype
    if not same or any(a.shape != k[3].shape for a, k in zip(state.s, kernels, strict=True)):
        raise InputError("a state of another tissue, other cells or another precision", fix="start from rest")
    if abs(state.step * dt_ms - state.time_ms) > 1e-6 * max(dt_ms, state.time_ms):
        raise InputError(
            f"a state at {state.time_ms:g} ms and steps of {dt_ms:g} ms", needed="the step it was made with"
        )
    v[:] = state.v
    for saved, (_, _, _, s) in zip(state.s, kernels, strict=True):
        s[:] = saved


def _reclass(reaction: Reaction, state: State) -> None:
    reaction.level, reaction.age = state.level.copy(), state.age.copy()
    reaction.mark[:] = state.mark
    reaction.front = reaction._lists(np.flatnonzero(reaction.level == 0))


def _state(step: int, dt_ms: float, v: Floats, reaction: Reaction) -> State:
    """Return the state as it is held, uncopied: it is written at once, or the run is over."""
    s = tuple(k[3] for k in reaction.kernels)
    return State(step, step * dt_ms, v, s, reaction.level, reaction.age, reaction.mark)


def _sinks(
    record: Sequence[rec.Recorder],
    tissue: Tissue,
    layout: Layout,
    v: Floats,
    dt_ms: float,
    steps: int,
) -> list[rec.Sink]:
    kinds = [type(r) for r in record]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise InputError(f"{kind.__name__} is recorded twice", needed="one recorder of a kind")
    return [rec.open_sink(r, tissue, layout, v, dt_ms, steps) for r in record]


def _collect(
    record: Sequence[rec.Recorder],
    sinks: list[rec.Sink],
    layout: Layout,
    state: State,
    dt_ms: float,
    limit_ms: float,
    account: tuple[int, int, float, float],
) -> Run:
    found: dict[str, Any] = dict.fromkeys(
        (
            "activation_ms",
            "activations",
            "upstroke_mV_per_ms",
            "apd_ms",
            "probes",
            "leads",
            "frames",
        )
    )
    for recorder, sink in zip(record, sinks, strict=True):
        kept = sink.kept
        match recorder:
            case rec.Activation():
                count = int(kept["count"][0])
                lanes = kept["lane"][:count].astype(np.int64)
                real = layout.voxel[lanes] >= 0
                times, voxels = kept["time"][:count][real], layout.voxel[lanes[real]]
                first = np.full(int(np.prod(layout.shape)), np.nan)
                first[voxels[::-1]] = times[::-1]
                found["activations"] = (times, voxels)
                found["activation_ms"] = first.reshape(layout.shape)
            case rec.Upstroke():
                found["upstroke_mV_per_ms"] = layout.spread(kept["peak"])
            case rec.Durations():
                found["apd_ms"] = layout.spread(kept["apd"])
            case rec.Probes():
                names = tuple(recorder.points_mm)
                found["probes"] = Signal(
                    np.asarray(kept["rows"].T, np.float32), names, 1000 / recorder.every_ms
                )
            case rec.Leads():
                names = tuple(recorder.electrodes_mm)
                found["leads"] = Signal(
                    np.asarray(kept["rows"].T, np.float32), names, 1000 / recorder.every_ms
                )
            case rec.Frames():
                rows = kept["rows"]
                found["frames"] = np.stack([layout.spread(row) for row in rows]) if len(rows) else None
    nodes, steps, reacted, cpu = account
    return Run(
        **found,
        state=state,
        dt_ms=dt_ms,
        limit_ms=limit_ms,
        nodes=nodes,
        steps=steps,
        reacted=reacted,
        cpu_seconds=cpu,
    )
