"""Draw what ``run.py`` kept: docs/ep-ischaemia.png."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
OUTPUTS = ("apd90", "upstroke", "rest", "restitution")


def table(name: str) -> list[dict[str, str]]:
    """Return a table's rows."""
    with (HERE / name).open() as text:
        return list(csv.DictReader(text))


def draw(work: Path) -> None:
    """Draw action potentials, restitution, and shares of variance by stage."""
    stages = [r["stage"] for r in table("action_potentials.csv")][:10]
    traces = np.load(work / "traces.npz")
    figure = plt.figure(figsize=(12, 6.4), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    left, right = top.subplots(1, 2)
    colours = ["k", *mpl.colormaps["autumn_r"](np.linspace(0.15, 1, 6)), "tab:purple", "tab:blue", "tab:cyan"]
    for n, (stage, colour) in enumerate(zip(stages, colours, strict=True)):
        left.plot(traces[f"{n}.t"], traces[f"{n}.v"], color=colour, lw=1.3, label=stage)
        right.plot(traces[f"{n}.rest"], traces[f"{n}.apd"], color=colour, lw=1.3)
    left.set(xlim=(-5, 450), xlabel="ms", ylabel="V, mV")
    left.legend(fontsize=6.5)
    right.set(xlim=(0, 300), ylim=(0, 360), xlabel="diastolic interval, ms", ylabel="APD90 of S2, ms")
    rows = table("sensitivity.csv")
    weighed = list(dict.fromkeys(r["stage"] for r in rows))
    names = list(dict.fromkeys(r["parameter"] for r in rows))
    for ax, output in zip(bottom.subplots(1, 4, sharey=True), OUTPUTS, strict=True):
        found = {(r["stage"], r["parameter"]): float(r["prcc"]) for r in rows if r["output"] == output}
        grid = np.array([[found[s, p] for p in names] for s in weighed])
        image = ax.imshow(grid, vmin=-1, vmax=1, cmap="RdBu_r", aspect="auto")
        ax.set_title(f"{output}: rank correlation", fontsize=9)
        ax.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        ax.set_yticks(range(len(weighed)), weighed, fontsize=7)
    bottom.colorbar(image, ax=bottom.axes)
    figure.savefig(HERE.parents[1] / "docs" / "ep-ischaemia.png", dpi=95)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("ep_ischaemia_work"))
    draw(parser.parse_args().work)
