"""Draw what ``run.py`` kept: docs/ep-sheet.png and docs/ep-sheet.gif."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
import sheet

mpl.use("Agg")
from matplotlib import pyplot as plt
from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"
SHOWN = {"bands": "bands-72mm-1x290", "fan": "fan-72mm-1x310"}
EXTENT = (0, 72, 0, 72)


def still(work: Path) -> None:
    """Draw maps of the last S1, of S2, three moments, and tips and waves over time."""
    figure, axes = plt.subplots(
        2, 7, figsize=(15, 4.3), width_ratios=(1.15,) * 4 + (1, 1, 1.2), layout="constrained"
    )
    for row, (shape, name) in zip(axes, SHOWN.items(), strict=True):
        paced, found = np.load(work / f"{shape}-72mm.npz"), np.load(work / f"{name}.npz")
        coupling = int(name.rsplit("x", 1)[1])
        maps = (
            ("severity, min", sheet.severity(shape, 72.0), "magma_r", (0, 10)),
            ("S1: APD90, ms", paced["apd"], "viridis", (120, 270)),
            ("S1: activation, ms", paced["s1"], "turbo", (0, 350)),
            (f"S2 at {coupling} ms: activation, ms", found["s2"], "turbo", (0, 350)),
        )
        for ax, (title, values, colours, limits) in zip(row, maps, strict=False):
            ax.set_facecolor("lightgrey")
            drawn = ax.imshow(
                values, cmap=colours, vmin=limits[0], vmax=limits[1], origin="lower", extent=EXTENT
            )
            if "activation" in title:
                ax.contour(np.nan_to_num(values, nan=999), np.arange(0, 351, 25), colors="k", linewidths=0.4,
                           extent=EXTENT)  # fmt: skip
            ax.set_title(title, fontsize=8)
            figure.colorbar(drawn, ax=ax, shrink=0.7).ax.tick_params(labelsize=6)
        for ax, after in zip(row[4:6], (350, 650), strict=True):
            n = round((coupling - 20 + after) / 10)
            ax.imshow(
                found["frames"][n].astype(float),
                vmin=-90,
                vmax=30,
                cmap="inferno",
                origin="lower",
                extent=EXTENT,
            )
            ax.set_title(f"V, {after} ms after S2", fontsize=8)
        for ax in row[:6]:
            ax.set_xticks(()), ax.set_yticks(())
        time = 20 + 10 * np.arange(len(found["tips"])) - coupling
        row[6].step(time, found["tips"], label="phase singularities")
        row[6].step(time, found["waves"] - 0.06, label="waves")
        row[6].set_xlabel("ms after S2", fontsize=7)
        row[6].tick_params(labelsize=7)
        row[6].legend(fontsize=6)
        row[0].set_ylabel(shape)
    figure.savefig(DOCS / "ep-sheet.png", dpi=100)
    image = Image.open(DOCS / "ep-sheet.png").convert("RGB").quantize(192)
    image.save(DOCS / "ep-sheet.png", optimize=True)


def animation(work: Path) -> None:
    """Draw both sheets side by side, 20 ms a picture."""
    both = [np.load(work / f"{name}.npz")["frames"] for name in SHOWN.values()]
    length = max(map(len, both))
    rest = [np.concatenate([b, np.full((length - len(b), *b.shape[1:]), b[-1].min())]) for b in both]
    gap = np.full((201, 12), 30.0)
    colours = mpl.colormaps["inferno"]
    palette = (colours(np.linspace(0, 1, 32))[:, :3] * 255).astype(np.uint8)
    pictures = []
    for a, b in zip(*(r[26::2] for r in rest), strict=True):
        v = np.concatenate([a[:181, :181], gap[:181], b[:181, :181]], 1).astype(float)[::-1]
        picture = Image.fromarray(np.clip((v + 90) / 120 * 31, 0, 31).astype(np.uint8), mode="P")
        picture.putpalette(palette.tobytes())
        pictures.append(picture)
    pictures[0].save(DOCS / "ep-sheet.gif", save_all=True, append_images=pictures[1:], duration=70, loop=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("ep_sheet_work"))
    folder = parser.parse_args().work
    still(folder)
    animation(folder)
