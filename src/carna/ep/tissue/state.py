"""The state of a run, and its checkpoint on disk.

A restart from a checkpoint gives, bit by bit, what the run would have given without the interruption. What
was being run is kept as a hash: a checkpoint of another tissue, stimulus, step or precision is refused.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carna.errors import InputError

if TYPE_CHECKING:
    from carna.ep.tissue.grid import Tissue
    from carna.ep.tissue.stimulus import Stimulus

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Everything that a tissue is at one moment: give it to ``simulate(start=...)`` to go on from there.

    Attributes
    ----------
    step : int
        Steps done since time 0.
    time_ms : float
    v : (blocks, 512) float, mV
    s : tuple of (blocks, slots, 512) float
        What the cells of each model hold besides V.
    level, age : (blocks,) int
        Class of each block and steps since it last reacted (see `reaction`).
    mark : (blocks, 512) float
        V when the blocks were last classed.
    """

    step: int
    time_ms: float
    v: Floats
    s: tuple[Floats, ...]
    level: NDArray[np.int8]
    age: NDArray[np.int32]
    mark: Floats


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Write the state to ``path`` every so often; a run that finds the file there goes on from it."""

    path: Path
    every_ms: float = 100.0


def fingerprint(tissue: Tissue, stimuli: tuple[Stimulus, ...], settings: tuple[object, ...]) -> str:
    """Return a hash of what is being run; cells count by their region numbers and names."""
    found = hashlib.sha256(repr(settings).encode())
    arrays: list[Any] = [tissue.mask, tissue.spacing_mm, tissue.diffusion_mm2_per_ms, tissue.fibres]
    arrays += [tissue.normals, tissue.region, tissue.coupling]
    arrays += [part for name, value in sorted(tissue.varied.items()) for part in (np.array(name), value)]
    for s in stimuli:
        arrays += [s.where, s.times_ms, s.duration_ms, s.strength_A_per_F]
    for value in arrays:
        if value is not None:
            found.update(np.ascontiguousarray(value))  # type: ignore[arg-type]
        found.update(b"|")
    names = [(n, getattr(m, "name", type(m).__name__)) for n, m in sorted(tissue.models.items())]
    found.update(repr((names, tissue.walls)).encode())
    return found.hexdigest()


def save(path: Path, what: str, state: State, sinks: list[dict[str, NDArray[Any]]]) -> None:
    """Write a checkpoint; the old one stays until the new one is whole."""
    arrays: dict[str, NDArray[Any]] = {
        "what": np.array(what),
        "step": np.array(state.step),
        "time_ms": np.array(state.time_ms),
        "v": state.v,
        "level": state.level,
        "age": state.age,
        "mark": state.mark,
    }
    arrays |= {f"s{n}": s for n, s in enumerate(state.s)}
    arrays |= {f"sink{n}.{name}": a for n, kept in enumerate(sinks) for name, a in kept.items()}
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    os.replace(part, path)


def load(path: Path, what: str) -> tuple[State, list[dict[str, NDArray[Any]]]]:
    """Read a checkpoint of the same run."""
    with np.load(path, allow_pickle=False) as file:
        held = {name: file[name] for name in file.files}
    if str(held["what"]) != what:
        raise InputError(
            f"{path.name} is the checkpoint of another run",
            needed="the same tissue, stimuli, recorders and steps",
            fix="give another path, or delete it",
        )
    parts: list[NDArray[Any]] = []
    while f"s{len(parts)}" in held:
        parts.append(held[f"s{len(parts)}"])
    sinks: list[dict[str, NDArray[Any]]] = []
    for name, array in held.items():
        if name.startswith("sink"):
            number, key = name[4:].split(".", 1)
            while len(sinks) <= int(number):
                sinks.append({})
            sinks[int(number)][key] = array
    state = State(
        int(held["step"]),
        float(held["time_ms"]),
        held["v"],
        tuple(parts),
        held["level"],
        held["age"],
        held["mark"],
    )
    return state, sinks
