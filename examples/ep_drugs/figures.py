"""Draw ``window.csv`` and ``cables.csv``: docs/ep-drugs.png."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
MEASURES = (("cv_m_per_s", "velocity, m/s"), ("apd90_ms", "APD90, ms"), ("erp_ms", "refractory period, ms"))


def table(name: str) -> list[dict[str, str]]:
    """Return a table's rows."""
    with (HERE / name).open() as text:
        return list(csv.DictReader(text))


def draw() -> None:
    """Draw the vulnerable window of every arm, and what its cables do."""
    window, cables = table("window.csv"), table("cables.csv")
    arms = list(dict.fromkeys(r["arm"] for r in cables))
    coupling = sorted({float(r["coupling_ms"]) for r in window})
    figure, axes = plt.subplots(
        1, 4, figsize=(13, 4), sharey=True, width_ratios=(2, 1, 1, 1), layout="constrained"
    )
    found = {
        (r["arm"], float(r["coupling_ms"])): float(r["lasted_ms"]) for r in window if r["captured"] == "True"
    }
    lasted = np.array([[found.get((a, c), np.nan) for c in coupling] for a in arms])
    axes[0].set_facecolor("lightgrey")
    image = axes[0].imshow(lasted, vmin=0, vmax=1000, cmap="viridis", aspect="auto")
    for y, x in np.argwhere(lasted >= 600):
        axes[0].text(x, y, "R", ha="center", va="center", fontsize=7)
    axes[0].set_xticks(range(len(coupling)), [f"{c:.0f}" for c in coupling], rotation=90, fontsize=7)
    axes[0].set_yticks(range(len(arms)), arms, fontsize=7.5)
    axes[0].set_xlabel("S2 coupling, ms (grey: no capture or not run; R: re-entry)", fontsize=8)
    figure.colorbar(image, ax=axes[0], label="activity after S2, ms")
    minutes = list(dict.fromkeys(r["minute"] for r in cables))
    for ax, (name, words) in zip(axes[1:], MEASURES, strict=True):
        for k, minute in enumerate(minutes):
            rows = [r for r in cables if r["minute"] == minute]
            y = np.arange(len(rows)) + 0.2 * (k - 1)
            ax.plot(
                [float(r[name]) for r in rows], y, "o", ms=3, color=f"C{k}", label=f"min {float(minute):.1f}"
            )
            for at, r in zip(y, rows, strict=True):
                if r[f"{name}_p5"]:
                    ax.plot([float(r[f"{name}_p5"]), float(r[f"{name}_p95"])], [at, at], color=f"C{k}", lw=1)
        ax.set_xlabel(words, fontsize=8)
    axes[1].legend(fontsize=6, loc="upper center", bbox_to_anchor=(0.5, 1.13), ncols=3)
    figure.savefig(HERE.parents[1] / "docs" / "ep-drugs.png", dpi=95)


if __name__ == "__main__":
    draw()
