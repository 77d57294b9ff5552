"""The sheet of the studies: graded ischaemia, and one protocol of programmed stimulation.

Severity is a minute of ischaemia 1A at each node, and stands for a gradient in space at one moment. A healthy
sheet of this size cannot hold re-entry: a wave is longer than it. Coupling is that of a slow sheet (0.53 m/s
along the fibres, 0.30 across), calibrated for the grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from carna import ep
from carna.ep import conditions
from carna.ep.change import Change

DT_MS = 0.05
SPACING_MM = 0.4
DIFFUSION = (0.07, 0.022)  # mm2/ms along and across the fibres, which run along the columns' axis
S1_MS, S1_BEATS = 400.0, 4
FOLLOW_MS = 1000.0  # after the last stimulus
REENTRY_MS = 600.0  # a beat that only passes over the sheet has left it by then
SHAPES = ("healthy", "bands", "fan")
NONE = Change("control")
DRUGGED = ("g_Na", "g_CaL", "g_Kr", "g_Ks", "g_K1", "g_to", "g_KATP")


def severity(shape: str, size_mm: float) -> np.ndarray:
    """Return minutes of ischaemia, (rows, columns): none, ``bands`` of rising severity, or a ``fan``."""
    n = round(size_mm / SPACING_MM) + 1
    if shape == "healthy":
        return np.zeros((n, n))
    y, x = np.mgrid[0:n, 0:n] * SPACING_MM
    if shape == "bands":  # five bands along the fibres, 0 to 8.5 minutes, 1 mm soft steps between
        edges = np.array([0.2, 0.4, 0.6, 0.8]) * size_mm
        return 8.5 * sum(1 / (1 + np.exp(-(y - e) / 1.0)) for e in edges) / 4
    half = np.radians(35)  # a wedge from its tip at the left; 9 minutes from 10 mm inside its edge on
    beside = (x - 0.15 * size_mm) * np.sin(half) - np.abs(y - size_mm / 2) * np.cos(half)
    return 9.0 * np.clip(np.minimum(beside, 0.9 * size_mm - x) / 10, 0, 1)


def electrode_mm(shape: str, size_mm: float) -> tuple[float, float]:
    """Return where the sheet is paced, (row, column) mm: at its left edge, off the fan's axis."""
    return (0.42 * size_mm, 4.0) if shape == "fan" else (size_mm / 2, 4.0)


def cells(minute: np.ndarray, drug: Change = NONE, potassium: float = 1.0) -> dict[str, np.ndarray]:
    """Return the parameters of every node by name, in the shape of ``minute``.

    Parameters
    ----------
    minute : array
        Of ischaemia 1A.
    drug : Change
        Factors, on top of what ischaemia does.
    potassium : float
        What a drug leaves of the rise of [K]o, 0 to 1.
    """
    model = ep.load("tt2006_ischaemic", "epi")
    healthy = conditions.HEALTHY["K_o"]

    def stage(m: float) -> Change:
        ill = conditions.ischaemia_1a(m)
        return replace(ill, values={**ill.values, "K_o": healthy + potassium * (ill.values["K_o"] - healthy)})

    varied, _ = conditions.graded(model, stage, minute)
    changed = drug.parameters(model)
    for label in DRUGGED:  # the same list for every drug, so that all share one compiled model
        name = model[label].name
        factor = changed.get(name, model[name].value) / model[name].value
        varied[name] = np.float32(factor) * varied.get(name, np.full_like(varied["Ko"], model[name].value))
    return varied


def build(shape: str, drug: Change = NONE, *, potassium: float = 1.0, size_mm: float = 72.0) -> ep.Tissue:
    """Return the sheet, calibrated for its grid."""
    tissue = ep.sheet((size_mm, size_mm), SPACING_MM, ep.load("tt2006_ischaemic", "epi"), DIFFUSION)
    minute = severity(shape, size_mm)[None]
    return ep.calibrated(replace(tissue, varied=cells(minute, drug, potassium)), DT_MS)


@dataclass(frozen=True)
class Train:
    """The state after S1 and the maps of its last beat."""

    state: ep.State
    last_ms: float
    activation_ms: np.ndarray  # after the last S1
    apd_ms: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """What followed the extra stimuli.

    Attributes
    ----------
    captured : bool
        The last of them spread over 5 % of the sheet.
    returns : int
        How often at least 1 % of the sheet was excited again after the last extra beat had passed.
    lasted_ms : float
        From the last extra stimulus to the last activation; at most FOLLOW_MS.
    tips, waves : (frames,) int
        Phase singularities and separate waves, every 10 ms from 20 ms after the last S1.
    cpu_s : float
    frames : (frames, rows, columns) float16
        V, mV.
    activation_ms : (rows, columns) float
        First activation after the last extra stimulus, NaN where none.
    """

    captured: bool
    returns: int
    lasted_ms: float
    tips: np.ndarray
    waves: np.ndarray
    cpu_s: float
    frames: np.ndarray
    activation_ms: np.ndarray


def _pulses(tissue: ep.Tissue, shape: str, times_ms: tuple[float, ...]) -> ep.Stimulus:
    size = (tissue.mask.shape[1] - 1) * SPACING_MM
    row, column = electrode_mm(shape, size)
    box = tissue.box((0, row - 1.6, column - 1.6), (9, row + 1.6, column + 1.6))
    return ep.Stimulus(box, times_ms)


def train(tissue: ep.Tissue, shape: str) -> Train:
    """Pace S1; go on without S2 for the maps of the last beat."""
    times = tuple(S1_MS * n for n in range(S1_BEATS))
    stimulus = _pulses(tissue, shape, times)
    run = ep.simulate(
        tissue, stimulus, times[-1] + 20, dt_ms=DT_MS, multirate=ep.Multirate(), record=[ep.Durations()]
    )
    after = ep.simulate(
        tissue,
        stimulus,
        times[-1] + 650,
        dt_ms=DT_MS,
        multirate=ep.Multirate(),
        record=[ep.Activation(), ep.Durations()],
        start=run.state,
    )
    return Train(run.state, times[-1], after.activation_ms[0] - times[-1], after.apd_ms[0])


def extra(tissue: ep.Tissue, shape: str, paced: Train, coupling_ms: float, beats: int = 1) -> Outcome:
    """Give ``beats`` extra stimuli at one coupling after S1, and follow what happens."""
    extra_ms = tuple(paced.last_ms + coupling_ms * (n + 1) for n in range(beats))
    stimulus = _pulses(tissue, shape, (paced.last_ms, *extra_ms))
    state, end = paced.state, paced.last_ms + 20
    pictures, times, nodes, cpu = [], [], [], 0.0
    while end < extra_ms[-1] + FOLLOW_MS:
        end = min(end + 200, extra_ms[-1] + FOLLOW_MS)
        run = ep.simulate(
            tissue,
            stimulus,
            end,
            dt_ms=DT_MS,
            multirate=ep.Multirate(),
            record=[ep.Frames(10), ep.Activation(-40)],
            start=state,
        )
        state, cpu = run.state, cpu + run.cpu_seconds
        if run.frames is not None:
            pictures.append(run.frames[:, 0])
        times.append(run.activations[0])
        nodes.append(run.activations[1])
        if end > extra_ms[-1] + 50 and float(np.max(pictures[-1][-1])) < -45:
            break
    t, n = np.concatenate(times), np.concatenate(nodes)
    begin, last = ((paced.last_ms, *extra_ms)[-2], extra_ms[-1])
    total = tissue.mask.size
    after = np.bincount(n[t > last], minlength=total)
    # A node that the beat before has not reached yet is about to be excited by that beat: not a return.
    reached = np.bincount(n[(t > begin) & (t <= last)], minlength=total) > 0
    if beats == 1:
        reached |= (paced.activation_ms <= coupling_ms).reshape(-1)
    returns = int(np.percentile(after - ~reached, 99)) - 1
    first = np.full(total, np.nan)
    late = (t > last) & reached[n]
    first[n[late][::-1]] = t[late][::-1] - last
    frames = np.concatenate(pictures)
    tips = ep.follow(frames.astype(np.float32), shortest=3)
    alive = [sum(tip.frame[0] <= k <= tip.frame[-1] for tip in tips) for k in range(len(frames))]
    waves = [ep.wave_count(f) for f in frames.astype(np.float32)]
    return Outcome(
        captured=bool((after > 0).mean() > 0.05),
        returns=max(returns, 0),
        lasted_ms=float(t.max() - last) if (t > last).any() else 0.0,
        tips=np.asarray(alive),
        waves=np.asarray(waves),
        cpu_s=cpu,
        frames=frames,
        activation_ms=first.reshape(tissue.mask.shape)[0],
    )


def cables(
    changes: list[Change], minutes: tuple[float, ...], step_ms: float, *, potassium: float = 1.0
) -> np.ndarray:
    """Return velocity (m/s), APD90 and ERP (ms) of each change at each severity, (changes, minutes, 3); NaN
    where a cable does not conduct.

    Every change, severity and coupling has a cable of 20 mm of its own; all are rows of one tissue. Three
    beats at 400 ms, then one at each coupling; refractory is what does not reach 16 mm.
    """
    coupling = np.arange(240.0, 440.0, step_ms)
    count, nodes = len(changes) * len(minutes) * len(coupling), 51
    shape = (1, 2 * count - 1, nodes)
    varied: dict[str, np.ndarray] = {}
    for n, drug in enumerate(changes):
        part = cells(np.asarray(minutes), drug, potassium)
        for name, values in part.items():
            field = varied.setdefault(name, np.zeros(shape, np.float32))
            rows = np.repeat(values, len(coupling))
            first = 2 * n * len(rows)
            field[0, first : first + 2 * len(rows) : 2] = rows[:, None]
    diffusion = np.zeros((*shape, 3), np.float32)
    diffusion[0, ::2, :, 0] = DIFFUSION[0]
    tissue = ep.Tissue(
        np.broadcast_to((np.arange(shape[1]) % 2 == 0)[None, :, None], shape).copy(),
        (SPACING_MM,) * 3,
        {0: ep.load("tt2006_ischaemic", "epi")},
        diffusion,
        np.array([0.0, 0.0, 1.0]),
        varied=varied,
    )
    tissue = ep.calibrated(tissue, DT_MS)
    which = np.arange(count) % len(coupling)

    def ends(rows: np.ndarray) -> np.ndarray:
        where = np.zeros(shape, bool)
        where[0, 2 * np.flatnonzero(rows), :5] = True
        return where

    first = ep.Stimulus(ends(which >= 0), (0.0, 400.0, 800.0))
    dt, quick = DT_MS, ep.Multirate()
    before = ep.simulate(tissue, first, 700, dt_ms=dt, multirate=quick).state
    run = ep.simulate(tissue, first, 1030, dt_ms=dt, multirate=quick, start=before)
    times, voxels = run.activations
    last = np.full(shape, np.nan)
    last.flat[voxels[times > 795]] = times[times > 795]
    early = [ep.Stimulus(ends(which == k), (800.0 + c,)) for k, c in enumerate(coupling)]
    latest = 800.0 + coupling[-1]
    durations = ep.simulate(
        tissue, first, 1180, dt_ms=dt, multirate=quick, record=[ep.Durations()], start=before
    )
    after = ep.simulate(tissue, early, latest + 150, dt_ms=dt, multirate=quick, start=run.state)
    size = (len(changes), len(minutes), len(coupling), nodes)
    last, reached = last[0, ::2].reshape(size), np.isfinite(after.activation_ms[0, ::2]).reshape(size)
    velocity = 10 / (last[:, :, 0, 40] - last[:, :, 0, 15])
    apd = durations.apd_ms[0, ::2].reshape(size)[:, :, -1, 25]
    far = reached[..., 40]
    period = np.where(far.any(-1), coupling[far.argmax(-1)], np.nan)
    return np.stack([velocity, apd, period], -1)
