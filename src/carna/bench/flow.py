"""The flow engine's rungs, each beside its peer: CPU time on one thread, compiled beforehand.

svZeroDSolver is a program that reads and writes files; its times were measured once, on a machine of the same
kind, and stand here with the word stored. Memory's share for the lattice is measured in the same run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from carna.bench import Row, cpu_seconds
from carna.flow.blood import Blood
from carna.flow.boundary import Boundary, Outlet, Wave, coronary
from carna.flow.network import Network
from carna.flow.steady import MOST_STEPS, TOLERANCE, losses, outlets, steady

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SEGMENTS: Final = 199
TREES: Final = 13_000
STEADY_PEER_MS: Final = 13.8
BEATS_PEER_MS: Final = 148.0
STORED: Final = "svZeroDSolver (stored)"


def measure() -> tuple[Row, ...]:
    """Return the rows; the memory measurement takes 2 GiB."""
    return (*_steady(), *_samples(), *_beats(), *_adan(), *_lattice())


def binary(segments: int, points: int, *, narrowed: Sequence[int] = (1, 4, 9), seed: int = 0) -> Network:
    """Return a coronary tree that forks in two, radii by r^2.55, some segments narrowed by half."""
    random = np.random.default_rng(seed)
    places: list[Floats] = [np.zeros((1, 3))]
    radius: list[Floats] = [np.array([3.0])]
    rows: list[Ints] = []
    parent = np.array([-1, *((n - 1) // 2 for n in range(1, segments))])
    ends, thick, ways = list[int](), list[float](), list[Floats]()
    count = 1
    for n, up in enumerate(parent):
        share = 1.0 if up < 0 else float(random.uniform(0.3, 0.7))
        if up >= 0 and n % 2 == 0:  # the second daughter takes what the first left
            share = 1 - (thick[n - 1] / thick[up]) ** 2.55
        wide = 3.0 if up < 0 else thick[up] * share ** (1 / 2.55)
        way = np.array([1.0, 0.0, 0.0]) if up < 0 else ways[up] + random.normal(0, 0.6, 3)
        way /= np.linalg.norm(way)
        first = 0 if up < 0 else ends[up]
        origin = np.concatenate(places)[first] if up >= 0 else np.zeros(3)
        part = np.arange(1, points) / (points - 1)
        places.append(origin + part[:, None] * way * float(random.uniform(8, 20)))
        lost = 0.5 * np.sin(np.pi * part) ** 2 if n in narrowed else 0.0 * part
        radius.append(wide * (1 - lost))
        rows.append(np.concatenate([[first], np.arange(count, count + points - 1)]))
        count += points - 1
        ends.append(count - 1)
        thick.append(wide)
        ways.append(way)
    names = tuple(f"segment {n}" for n in range(segments))
    return Network(np.concatenate(places), np.concatenate(radius), tuple(rows), parent, names)


def _per(work: Callable[[], object], times: int) -> float:
    """Return the least CPU time of one of many repetitions, s."""

    def many() -> None:
        for _ in range(times):
            work()

    return cpu_seconds(many, repeat=5) / times


def _steady() -> tuple[Row, ...]:
    from carna.flow.steady_kernel import solve, solve_all

    vessels = binary(SEGMENTS, 11)
    boundary = coronary(vessels, mass_g=120.0)
    lost = losses(vessels, Blood())
    tails = np.array([at[-1] for at in vessels.segments])
    friction, jet = lost.friction[tails], lost.jet[tails]
    ends, veins = outlets(vessels, boundary)
    pressure = float(boundary.pressure_mmHg or 0.0)
    flow, at = np.zeros(SEGMENTS), np.empty(SEGMENTS)

    def one() -> tuple[int, float]:
        flow[:] = 0.0
        found: tuple[int, float] = solve(
            vessels.parent, friction, jet, ends, veins, pressure, 0.0, flow, at, TOLERANCE, MOST_STEPS
        )
        return found

    steps, change = one()
    micro = _per(one, 2000) * 1e6
    low = float((at / pressure).min())
    said = f"{steps} Newton steps to {change:.0e}, lowest ratio {low:.2f}; peer agrees to 2e-10 (stored)"
    whole = _per(lambda: steady(vessels, boundary), 50) * 1e6
    random = np.random.default_rng(1)
    factor = np.exp(random.normal(0, 0.1, (TREES, SEGMENTS)))
    many = [np.ravel(row * factor) for row in (friction, jet, ends)]
    start = np.arange(TREES + 1) * SEGMENTS
    parent, venous = np.tile(vessels.parent, TREES), np.tile(veins, TREES)
    inlet = np.full(TREES, pressure)
    flows, pressures = np.zeros(TREES * SEGMENTS), np.empty(TREES * SEGMENTS)

    def forest() -> Floats:
        flows[:] = 0.0
        found: Floats = solve_all(
            start, parent, *many, venous, inlet, flows, pressures, TOLERANCE, MOST_STEPS
        )
        return found

    worst = float(forest().max())
    return (
        Row(f"steady solve, {SEGMENTS} segments", STORED, micro, STEADY_PEER_MS * 1e3, "us", said),
        Row("the same from a network, losses included", STORED, whole, STEADY_PEER_MS * 1e3, "us", said),
        Row(
            f"{TREES:,} trees of {SEGMENTS} segments",
            f"{STORED}, times {TREES:,}",
            cpu_seconds(forest),
            STEADY_PEER_MS * 1e-3 * TREES,
            "s",
            f"all to {worst:.0e} (limit 0.3 s)",
        ),
    )


def _samples() -> tuple[Row, ...]:
    from carna.flow.uncertain import uncertain

    vessels = binary(25, 20)
    boundary = coronary(vessels, mass_g=120.0)
    found = uncertain(vessels, boundary)
    lowest = int(np.argmin(found.median))
    said = f"lowest median {found.median[lowest]:.2f} ({found.low[lowest]:.2f}-{found.high[lowest]:.2f})"
    spent = cpu_seconds(lambda: uncertain(vessels, boundary), repeat=5) * 1e3
    case = f"1000 samples, 25 segments, {len(vessels.points)} points"
    return (Row(case, "none", spent, None, "ms", f"{said} (limit 60 ms)"),)


def _beats() -> tuple[Row, ...]:
    from carna.flow.zerod import Wall, pulsatile

    time_s = np.linspace(0, 0.8, 101)
    hump = np.where(time_s < 0.28, np.sin(np.pi * time_s / 0.28), 0.0)
    hump -= np.trapezoid(hump, time_s) / 0.8
    muscle = Wave(time_s, np.where(time_s < 0.28, 110 * np.sin(np.pi * time_s / 0.28), 0.0))
    rows = []
    for case, narrowed in (("healthy", ()), ("3 narrowings", (1, 4, 9)), ("20 narrowings", range(1, 60, 3))):
        vessels = binary(SEGMENTS, 11, narrowed=narrowed)
        rest = coronary(vessels, mass_g=120.0)
        ends = {
            n: Outlet(o.resistance, o.venous_mmHg, 0.32, 0.3 / o.resistance, muscle)
            for n, o in rest.outlets.items()
        }
        mean = float(rest.pressure_mmHg or 0.0)
        boundary = Boundary(mean, MappingProxyType(ends), wave=Wave(time_s, mean + 40 * hump))
        found = pulsatile(vessels, boundary, wall=Wall(), cycles=3)
        low = float(found.mean.ratio.min())
        spent = cpu_seconds(lambda v=vessels, b=boundary: pulsatile(v, b, wall=Wall(), cycles=3), repeat=5)  # type: ignore[misc]
        said = f"squeezed coronary beds, 100 steps a cycle, lowest mean ratio {low:.2f} (limit 50 ms)"
        rows.append(
            Row(
                f"3 beats of {SEGMENTS} segments in 0-D, {case}",
                STORED,
                spent * 1e3,
                BEATS_PEER_MS,
                "ms",
                said,
            )
        )
    return tuple(rows)


def _adan() -> tuple[Row, ...]:
    root = Path(os.environ.get("CARNA_DATA", "../shared/data")) / "openbf-benchmarks"
    if not root.exists():
        return ()
    from carna.flow.oned import benchmarks

    score = benchmarks.compare(
        root / "models/boileau2015/adan56/adan56.yaml", root / "test/ref_adan56.jls", cell_mm=2.0
    )
    said = f"{score.cells} cells, {score.steps} steps, RMS {score.rms:.2%} of the reference (limit 0.3 s)"
    return (Row("a beat of ADAN56 at 2 mm in 1-D", "none", score.cpu_s, None, "s", said),)


def _lattice() -> tuple[Row, ...]:
    from carna.flow.lattice.speed import speed

    begun = time.process_time()
    cases = speed()
    spent = time.process_time() - begun
    return tuple(
        Row(
            f"lattice, {s.case}, {s.nodes:,} nodes, single precision",
            "memory's bound, same run",
            s.mlups,
            s.bound_mlups,
            "10*6.{updates}/s",
            f"{s.bytes_per_update:.0f} bytes an update, {s.stream_GB_s:.1f} GB/s ({spent:.0f} CPU-s for all)",
        )
        for s in cases
    )
