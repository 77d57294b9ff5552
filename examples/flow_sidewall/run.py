"""A sidewall aneurysm with and without a flow diverter: table, picture and animation of docs/flow-lattice.md.

``python examples/flow_sidewall/run.py OUT`` takes about two CPU-minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from carna.flow.device import Coil, Diverter, Effect, Sidewall, effect, sidewall
from carna.flow.lattice.transport import age, wash

FLOW_ML_S = 2.0
NAMES = {"none": None, "flow diverter": Diverter(), "coil, 25 %": Coil()}
FRAMES, EVERY_S = 40, 0.25


def plane(model: Sidewall, values: np.ndarray) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Return values (n,) as a picture of the plane of symmetry (rows y, columns z), and its extent in mm."""
    points, dx = model.lumen.points_mm, model.lumen.dx_mm
    near = points[:, 0] < points[:, 0].min() + 0.5 * dx
    low = points[near].min(0)
    index = np.rint((points[near] - low) / dx).astype(int)
    picture = np.full((index[:, 1].max() + 1, index[:, 2].max() + 1), np.nan)
    picture[index[:, 1], index[:, 2]] = values[near]
    high = points[near].max(0)
    return picture, (low[2], high[2], low[1], high[1])


def main(out: Path) -> None:
    """Run the three, print the table, draw the picture and the animation."""
    model = sidewall()
    found = {name: effect(model, device, flow_ml_s=FLOW_ML_S) for name, device in NAMES.items()}
    ages = {name: age(one.run) for name, one in found.items()}
    dome = model.sac & ~model.sheet
    print("| | " + " | ".join(NAMES) + " |\n|---|---|---|---|")
    rows = {
        "mean speed in the sac, mm/s": [1e3 * one.mean_m_s for one in found.values()],
        "flow into the sac, mL/s": [one.inflow_ml_s for one in found.values()],
        "volume over inflow, s": [one.turnover_s for one in found.values()],
        "mean age in the sac, s": [float(a[dome].mean()) for a in ages.values()],
    }
    for name, values in rows.items():
        print(f"| {name} | " + " | ".join(f"{v:.2g}" for v in values) + " |")
    _picture(model, ages, out / "flow-lattice.png")
    _animation(model, found, out / "flow-lattice.gif")


def _picture(model: Sidewall, ages: dict[str, np.ndarray], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), sharey=True, constrained_layout=True)
    for axis, name in zip(axes, ("none", "flow diverter"), strict=True):
        picture, extent = plane(model, ages[name])
        drawn = axis.imshow(
            np.log10(np.maximum(picture, 0.01)), origin="lower", extent=extent, vmin=-2, vmax=1.5
        )
        axis.set(title=name, xlabel="along the artery [mm]")
    axes[0].set_ylabel("[mm]")
    bar = figure.colorbar(drawn, ax=axes, label="age of the blood [s]", ticks=[-2, -1, 0, 1])
    bar.ax.set_yticklabels(["0.01", "0.1", "1", "10"])
    figure.savefig(path, dpi=100)


def _animation(model: Sidewall, found: dict[str, Effect], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.animation import FuncAnimation, PillowWriter

    start = model.sac.astype(float)
    runs = {
        name: [start, *wash(found[name].run, start, EVERY_S, FRAMES)] for name in ("none", "flow diverter")
    }
    figure, axes = pyplot.subplots(1, 2, figsize=(7, 2.9), sharey=True, constrained_layout=True)
    drawn = []
    for axis, (name, frames) in zip(axes, runs.items(), strict=True):
        picture, extent = plane(model, frames[0])
        drawn.append(axis.imshow(picture, origin="lower", extent=extent, vmin=0, vmax=1, cmap="inferno"))
        axis.set(title=name, xlabel="along the artery [mm]")
    head = figure.suptitle("")

    def show(n: int) -> None:
        head.set_text(f"blood of the sac after {n * EVERY_S:.2f} s")
        for image, frames in zip(drawn, runs.values(), strict=True):
            image.set_data(plane(model, frames[n])[0])

    FuncAnimation(figure, show, frames=FRAMES + 1).save(path, PillowWriter(fps=8), dpi=65)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
