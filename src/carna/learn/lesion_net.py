"""Lesions for LesionNet: narrowings drawn at random and what the lattice says they cost.

``python -m carna.learn.lesion_net FOLDER WORKER OF [CELLS]`` runs every `OF`-th lesion from number `WORKER`
on, so many cells to a throat's radius, one JSON line each, and goes on where it was stopped.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import SolverError
from carna.flow.blood import Blood
from carna.flow.lattice.lesion import Vessel, measure
from carna.flow.lesion import Loss, profile

Floats = npt.NDArray[np.float64]

BLOOD: Final = Blood()
BEYOND_MM: Final = 10.0  # after the lesion's tail the pressure is read
CELLS: Final = 4.5  # per throat radius, at the least: the coarse lattice
DEAREST: Final = 7e4  # nodes
COUNT: Final = 260
FINER: Final = (1.0, 1.2, 1.5)


@final
@dataclass(frozen=True, slots=True)
class Narrowing:
    """One lesion in a straight or gently bent vessel, symmetric to a plane.

    Attributes
    ----------
    radius_mm : float
        Healthy, at the head.
    depth : float
        Share of the diameter lost at the throat.
    length_mm : float
    head, flat : float
        Shares of the length before the throat and within it; the rest lies behind. Flanks are half cosines.
    eccentric : float, -1 to 1
        0 concentric, 1 along one wall (the sign is the side, which counts in a bend).
    taper : float
        Share of the healthy radius lost along the lesion.
    bend_mm : float
        Sideways shift of the vessel, by half a cosine, over the lesion and a radius at either side.
    reynolds : float
        Of the healthy vessel.
    """

    radius_mm: float
    depth: float
    length_mm: float
    head: float
    flat: float
    eccentric: float
    taper: float
    bend_mm: float
    reynolds: float

    @property
    def flow_ml_s(self) -> float:
        """Flow of this Reynolds number."""
        nu = BLOOD.viscosity_mPas / BLOOD.density_kg_m3 * 1e-3
        return float(self.reynolds * nu * np.pi * self.radius_mm * 1e-3 / 2 * 1e6)

    def vessel(self) -> Vessel:
        """Return it from a radius before to 10 mm beyond the lesion."""
        before = self.radius_mm
        z = np.linspace(0, before + self.length_mm + BEYOND_MM, 600)
        t = np.clip((z - before) / self.length_mm, 0, 1)
        up = np.clip(t / self.head, 0, 1)
        down = np.clip((1 - t) / (1 - self.head - self.flat), 0, 1)
        narrow = 0.5 - 0.5 * np.cos(np.pi * np.minimum(up, down))
        healthy = self.radius_mm * (1 - self.taper * t)
        radius = healthy * (1 - self.depth * narrow)
        s = np.clip(z / (self.length_mm + 2 * before), 0, 1)
        return Vessel(
            z,
            radius,
            self.eccentric * (healthy - radius),
            self.bend_mm * (1 - np.cos(np.pi * s)) / 2,
        )

    def law(self) -> Loss:
        """Return what the steady solver would say."""
        vessel = self.vessel()
        return profile(vessel.along_mm, vessel.radius_mm, BLOOD)

    @property
    def nodes(self) -> float:
        """About how many nodes half of it has."""
        vessel = self.vessel()
        dx = vessel.dx_mm(CELLS, self.flow_ml_s, BLOOD)
        first, last = vessel.ends_mm
        mean = np.interp(np.linspace(first, last, 400), vessel.z_mm, vessel.radius_mm**2).mean()
        return float(0.5 * np.pi * mean / dx**2 * (last - first) / dx)


def draw(number: int, seed: int = 6) -> Narrowing:
    """Return lesion `number` of the family: those that one core can run in a quarter of a minute."""
    draws = np.random.default_rng([seed, number])
    while True:
        head = draws.uniform(0.2, 0.6)
        found = Narrowing(
            radius_mm=float(draws.uniform(1.0, 2.25)),
            depth=float(draws.uniform(0.3, 0.75)),
            length_mm=float(draws.uniform(4, 20)),
            head=float(head),
            flat=float(draws.uniform(0, 0.8 - head)),
            eccentric=float(draws.choice([0, 1, 1, -1]) * draws.uniform(0, 1)),
            taper=float(max(0.0, draws.uniform(-0.15, 0.15))),
            bend_mm=float(max(0.0, draws.uniform(-4, 3))),
            reynolds=float(np.exp(draws.uniform(np.log(50), np.log(400)))),
        )
        drop = found.law().drop_mmHg(found.flow_ml_s)
        # Small drops teach and test nothing.
        if max(1.0, 20 * draws.random()) <= drop <= 40.0 and found.nodes <= DEAREST:
            return found


def run(number: int, *, cells: float = CELLS) -> dict[str, Any]:
    """Return one lesion with its drop; where it diverges, on a finer grid."""
    lesion = draw(number)
    began = time.process_time()
    row: dict[str, Any] = {"number": number, "cells": cells, "lesion": asdict(lesion)}
    for more in FINER:
        try:
            found = measure(lesion.vessel(), (lesion.flow_ml_s,), BLOOD, cells=cells * more)
        except SolverError as bad:
            row.setdefault("diverged", []).append(str(bad))
            continue
        row |= {
            "flow_ml_s": round(lesion.flow_ml_s, 6),
            "drop_mmHg": round(float(found.drop_mmHg[0]), 5),
            "unsettled": round(float(found.unsettled[0]), 5),
            "steps": int(found.steps[0]),
            "nodes": int(found.nodes[0]),
            "dx_mm": round(float(found.dx_mm[0]), 5),
        }
        break
    return row | {"cpu_s": round(time.process_time() - began, 1)}


def gather(shard: Path, numbers: range, cells: float = CELLS) -> None:
    """Run the lesions of a range that the shard (JSON lines) lacks, appending each as it ends."""
    done = {json.loads(row)["number"] for row in shard.read_text().splitlines()} if shard.exists() else set()
    for number in numbers:
        if number not in done:
            row = json.dumps(run(number, cells=cells))
            with shard.open("a") as file:
                file.write(row + "\n")


if __name__ == "__main__":
    folder, worker, of, *more = sys.argv[1:]
    size = float(more[0]) if more else CELLS
    gather(Path(folder) / f"{worker}-of-{of}-{size:g}.jsonl", range(int(worker), COUNT, int(of)), size)
