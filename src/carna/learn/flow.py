"""The flow engine, rung by rung: closed forms, stored results of other solvers, and each rung by the next.

Truth is ``P`` (a closed form, or a higher rung of the same ladder) or ``O`` (svZeroDSolver, openBF). No
patient is involved. Sets that are not under the data folder are left out; closed forms need none. The learned
surrogates have a suite of their own, ``flow-surrogate``.
"""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from carna.flow.blood import MMHG, Blood
from carna.flow.boundary import Outlet, Wave
from carna.flow.network import Network, network
from carna.learn.evaluate import Row
from carna.learn.flow_ladder import MIDDLE, bands, climb
from carna.progress import SILENT, Progress
from carna.space import VesselTree

Floats = npt.NDArray[np.float64]

# Upstream's own tolerance of this case; of all others it is 1e-7.
LOOSE: Final = {"coupledBlock_closedLoopHeart_withCoronaries": 0.2}
NETWORKS: Final = {
    "cca": ("models/boileau2015/cca/cca.yaml", 1.0),
    "ibif": ("models/boileau2015/ibif/ibif.yaml", 1.0),
    "adan56": ("models/boileau2015/adan56/adan56.yaml", 2.0),
    "circle_of_willis": ("models/alastruey2007/circle_of_willis.yaml", 2.0),
}


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows; pulse waves of some hundred trees take minutes."""
    rows: list[Row] = []
    rows += [*_steady(), *_waves()]
    progress(0.05, "closed forms")
    rows += _lattice()
    progress(0.15, "lattice")
    rows += _stored_circuits(data)
    progress(0.25, "stored circuits")
    rows += [*_stored_networks(data), *_nozzle(data)]
    progress(0.35, "stored networks")
    rows += ladder(500, progress.part(0.35, 0.7))
    rows += coverage(400, progress.part(0.7, 1.0))
    return tuple(rows)


def _row(
    set_: str,
    truth: Literal["P", "O"],
    task: str,
    metric: str,
    value: float,
    n: int,
    unit: str = "1",
    group: str = "all",
    ci95: tuple[float, float] | None = None,
    trees: int = 0,
) -> Row:
    return Row(set_, truth, "development", task, metric, float(value), ci95, n, trees, unit, group)


def _tube(radius_mm: Floats, length_mm: float) -> Network:
    x = np.linspace(0, length_mm, len(radius_mm))
    at = np.arange(len(x) - 1)
    return network(VesselTree(np.stack([x, 0 * x, 0 * x], 1), np.stack([at, at + 1], 1), radius_mm))


def _steady() -> Iterator[Row]:
    from carna.flow.steady import losses

    per = 8 * 4e-3 / np.pi / MMHG * 1e-6  # mmHg s/mL from s / r^4 in 1 / m3
    straight, cone = np.full(201, 1.5), np.linspace(2.0, 1.0, 201)
    closed = {
        "Poiseuille, straight": (straight, 0.1 / 0.0015**4),
        "Poiseuille, cone": (cone, 0.1 / (3 * 0.001) * (1 / 0.001**3 - 1 / 0.002**3)),
    }
    for name, (radius, integral) in closed.items():
        found = losses(_tube(radius, 100.0), Blood()).friction[-1]
        yield _row(
            "steady", "P", f"{name}: friction over the closed form", "bias", found / (per * integral) - 1, 1
        )


def _waves() -> Iterator[Row]:
    from carna.flow.oned import Arteries, Inlet, Reflection, Vessel, Wall, solve

    thin, wall = Blood(1060.0, 1.0), Wall(400, 0.1)
    speed = float(np.sqrt(2 / 3 * 400e3 * 0.1 / 1060))
    t = np.linspace(0, 1, 2001)
    bump = Inlet(Wave(t, 0.2 * np.exp(-(((t - 0.1) / 0.03) ** 2))))

    def tube(name: str, head: int, tail: int, radius: float, length: float = 800.0) -> Vessel:
        return Vessel(name, head, tail, np.array([0, length]), np.full(2, radius), wall)

    for daughters in ((3.0, 3.0), (4.5, 4.0), (2.0, 2.5)):
        parent = tube("parent", 0, 1, 5.0)
        legs = [tube(f"leg {n}", 1, n + 2, r) for n, r in enumerate(daughters)]
        arteries = Arteries((parent, *legs), {0: bump}, {2: Reflection(), 3: Reflection()})
        pulse = solve(arteries, thin, beats=1, samples=1000)
        p = pulse.at("parent", 500, "pressure_mmHg")
        first = pulse.time_s < 0.1 + 0.8 / speed
        later = p[~first & (pulse.time_s < 0.1 + 1.4 / speed)]
        back = later[np.argmax(np.abs(later))] / p[first].max()
        admittance = np.array([25.0, *(r**2 for r in daughters)])
        exact = (admittance[0] - admittance[1:].sum()) / admittance.sum()
        group = f"5 mm into {daughters[0]:g} and {daughters[1]:g} mm"
        yield _row(
            "pulse waves", "P", "reflection coefficient of a fork", "bias", back - exact, 1, "1", group
        )
    long = Arteries((tube("tube", 0, 1, 5.0, 1000.0),), {0: bump}, {1: Reflection()})
    pulse = solve(long, thin, beats=1, samples=2000)
    when = [_peak(pulse.time_s, pulse.at("tube", x, "pressure_mmHg")) for x in (200.0, 800.0)]
    off = 0.6 / (when[1] - when[0]) / speed - 1
    yield _row("pulse waves", "P", "wave speed over Moens and Korteweg's", "bias", off, 1)
    still = Wave(np.array([0.0, 0.5, 1.0]), np.full(3, 3.0))
    pipe = Vessel("pipe", 0, 1, np.array([0, 300.0]), np.full(2, 1.5), Wall(rigid=True), 90.0)
    pulse = solve(Arteries((pipe,), {0: Inlet(still)}, {1: Outlet(30.0)}), Blood())
    p, x = pulse.pressure_mmHg[-1], pulse.along_mm
    slope = (p[0] - p[-1]) / (x[-1] - x[0]) * 1e3 * MMHG
    exact = 8 * 4e-3 * 3e-6 / (np.pi * 0.0015**4)
    yield _row("pulse waves", "P", "Poiseuille: loss over the closed form", "bias", slope / exact - 1, 1)


def _peak(time_s: Floats, value: Floats) -> float:
    """Return when a wave is highest, by a parabola through 21 samples."""
    top = slice(int(value.argmax()) - 10, int(value.argmax()) + 11)
    a, b, _ = np.polyfit(time_s[top] - time_s[top.start], value[top], 2)
    return float(time_s[top.start] - b / (2 * a))


def _lattice() -> Iterator[Row]:
    from scipy.special import jv

    from carna.flow.lattice.domain import Opening, domain
    from carna.flow.lattice.shape import pipe
    from carna.flow.lattice.simulate import Held, simulate

    blood, r = Blood(1060.0, 4.0), 0.4
    for cells in (8, 16):
        dx = r / cells
        lumen = domain(pipe(r), dx, (-0.5, -0.5, 0), (0.5, 0.5, 3 * dx), periodic=(False, False, True))
        push = 8 * 4e-3 * 0.1 / (r * 1e-3) ** 2
        run = simulate(lumen, blood, {}, top_m_s=0.2, end_s=0.2, settle=1e-6, push_Pa_m=(0, 0, push))
        flow = run.velocity_m_s[:, 2].sum() * dx**2 / 3
        task = "Poiseuille: flow rate over the closed form"
        yield _row(
            "lattice", "P", task, "bias", flow / (0.1 * np.pi * r**2) - 1, 1, "1", f"{cells} cells a radius"
        )
    period, amplitude, metres = 0.2, 8000.0, 0.4e-3
    ends = (Opening((0, 0, 0), (0, 0, -1), r), Opening((0, 0, 1), (0, 0, 1), r))
    lumen = domain(pipe(r), 0.05, (-0.45, -0.45, 0), (0.45, 0.45, 1.0), ends)
    t = np.linspace(0, period, 201)
    wave = Wave(t, amplitude * 1e-3 * np.cos(2 * np.pi * t / period) / MMHG)
    run = simulate(
        lumen,
        blood,
        {0: Held(wave), 1: Held(0.0)},
        top_m_s=0.06,
        end_s=0.6,
        period_s=period,
        lattice_speed=0.05,
    )
    omega = 2 * np.pi / period
    alpha = 1j**1.5 * metres * np.sqrt(omega * 1060 / 4e-3)
    middle = np.abs(lumen.points_mm[:, 2] - 0.5) < 0.1
    at = np.hypot(*lumen.points_mm[middle, :2].T) / r
    turn = np.exp(1j * omega * run.steps * run.scale.dt_s)
    exact = (amplitude / (1j * omega * 1060) * (1 - jv(0, alpha * at) / jv(0, alpha)) * turn).real
    size = abs(amplitude / (1j * omega * 1060) * (1 - 1 / jv(0, alpha)))
    worst = np.abs(run.velocity_m_s[middle, 2] - exact).max() / size
    task = "Womersley: worst velocity error over the axis's amplitude"
    yield _row("lattice", "P", task, "max_distance", worst, int(middle.sum()), "1", "8 cells a radius")


def _stored_circuits(data: Path) -> Iterator[Row]:
    """Every stored result of svZeroDSolver, by its own rule."""
    from carna.flow.zerod import read

    path = data / "svzerod-cases" / "svzerod-tests.tar.xz"
    if not path.exists():
        return
    documents: dict[str, Any] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            parts = Path(member.name).parts
            text = archive.extractfile(member) if "cases" in parts and member.name.endswith(".json") else None
            if text is not None:
                documents["/".join(parts[parts.index("cases") + 1 :])[:-5]] = json.load(text)
    names = sorted(n.removeprefix("results/result_") for n in documents if n.startswith("results/"))
    met = 0
    for name in names:
        case = read(documents[name])
        table = case.table(case.run())
        worst, count = 0.0, 0
        for column, entries in documents[f"results/result_{name}"].items():
            theirs = list(entries.values())
            if column == "name" or theirs[0] is None:
                continue
            ours, wanted = np.array(table[column]), np.array(theirs)
            worst, count = max(worst, float((np.abs(ours - wanted) / (1 + np.abs(wanted))).max())), len(ours)
        met += worst <= 1e-7
        yield _row(
            "svZeroDSolver", "O", "|a - b| / (1 + |b|), worst", "max_distance", worst, count, "1", name
        )
    yield _row("svZeroDSolver", "O", "stored results met to 1e-7", "hits", met, len(names))


def _stored_networks(data: Path) -> Iterator[Row]:
    from carna.flow.oned import benchmarks

    root = data / "openbf-benchmarks"
    if not root.exists():
        return
    for name, (path, cell_mm) in NETWORKS.items():
        score = benchmarks.compare(root / path, root / f"test/ref_{name}.jls", cell_mm=cell_mm)
        group = f"{name}, {cell_mm:g} mm"
        task = "pressure at the middle of each vessel, relative RMS"
        yield _row("openBF", "O", task, "mean", score.rms, score.cells, "1", group)
        yield _row("openBF", "O", task, "max_distance", score.rms_worst, score.cells, "1", group)


# The lattice's answer at throat Reynolds 500, 8 cells a throat radius, as tests/flow/lattice/fda_nozzle.py
# stores it (a minute): loss between -63 and 32 mm, Pa; speed on the axis, m/s, at places in m.
NOZZLE_DROP_PA: Final = 315.4
NOZZLE_AXIS: Final = {
    -0.064: 0.09115,
    -0.048: 0.1932,
    -0.02: 0.6845,
    -0.008: 0.73398,
    0.0: 0.75628,
    0.008: 0.74088,
    0.032: 0.66695,
}


def _nozzle(data: Path) -> Iterator[Row]:
    path = data / "fda-nozzle" / "centreline_and_wall.csv"
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if (r["geometry"], r["reynolds_throat"]) == ("SE", "500")]
    walls: dict[str, dict[float, float]] = {}
    speeds: dict[float, list[float]] = {}
    for row in rows:
        place, value = float(row["abscissa_m"]), float(row["value"])
        if row["quantity"] == "wall_pressure" and row["dataset"] != "999":  # the outlier that its page names
            walls.setdefault(row["dataset"], {})[place] = value
        elif row["quantity"] == "axis_axial_velocity":
            speeds.setdefault(round(place, 4), []).append(value)
    drops = [p[-0.06299] - p[0.032] for p in walls.values()]
    task = "loss over the mean of the laboratories (stored run)"
    yield _row(
        "FDA nozzle, Re 500", "O", task, "bias", NOZZLE_DROP_PA / float(np.mean(drops)) - 1, len(drops)
    )
    inside = [min(speeds[z]) <= u <= max(speeds[z]) for z, u in NOZZLE_AXIS.items()]
    task = "places of the axis where speed is within the laboratories' (stored run)"
    yield _row("FDA nozzle, Re 500", "O", task, "hits", sum(inside), len(inside))


def ladder(trees: int, progress: Progress = SILENT) -> Iterator[Row]:
    """Yield the steady solver against the pulse waves, over lesions that these put at 0.60 to 0.90."""
    for n, style in enumerate(("itu2016", "stable")):
        found = climb(trees, style=style, progress=progress.part(n / 2, n / 2 + 0.5))
        task = "trees that the waves could not solve"
        yield _row(f"virtual trees, {style}", "P", task, "n", len(found.unsolved), trees)
        middle = (found.waves >= MIDDLE[0]) & (found.waves <= MIDDLE[1])
        owners = found.tree[middle]
        for task, off in (
            ("FFR, steady less waves", (found.steady - found.waves)[middle]),
            ("the same without kinetic energy", (found.steady - found.kinetic - found.waves)[middle]),
        ):
            apart = [np.abs(off[owners == t]) for t in np.unique(owners)]
            for metric, value, ci95 in (
                ("bias", float(off.mean()), None),
                ("mae", float(np.abs(off).mean()), _by_tree(apart, lambda x: float(x.mean()))),
                (
                    "p95",
                    np.percentile(np.abs(off), 95),
                    _by_tree(apart, lambda x: float(np.percentile(x, 95))),
                ),
            ):
                set_ = f"virtual trees, {style}"
                yield _row(set_, "P", task, metric, value, len(off), "1", "0.60-0.90", ci95, len(apart))


def coverage(trees: int, progress: Progress = SILENT) -> Iterator[Row]:
    """Yield how often 90 % bands hold the truth of the pulse waves, and what they cost in width."""
    found = bands(trees, progress=progress)
    groups = {
        "all": np.ones(len(found.truth), bool),
        "true FFR 0.70-0.90": (found.truth >= 0.7) & (found.truth <= 0.9),
        "median 0.70-0.90": (found.median >= 0.7) & (found.median <= 0.9),
    }
    for group, chosen in groups.items():
        owners = found.tree[chosen]
        held = (found.truth >= found.low) & (found.truth <= found.high)
        ci95 = _by_tree([held[chosen][owners == t] for t in np.unique(owners)], lambda x: float(x.mean()))
        for name, value in found.score(chosen).items():
            yield _row(
                "virtual scans, stable", "P", "90 % band, truth by pulse waves", name, value,
                int(chosen.sum()), "1", group, ci95 if name == "coverage" else None, len(np.unique(owners)),
            )  # fmt: skip


def _by_tree(values: list[Floats], what: Any, draws: int = 1000) -> tuple[float, float]:
    """Return the 95 % interval of anything by bootstrap over trees."""
    random = np.random.default_rng(0)
    found = [
        what(np.concatenate([values[n] for n in random.integers(0, len(values), len(values))]))
        for _ in range(draws)
    ]
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)
