"""Draw activation and twelve leads of three beats: docs/heart-beats.png.

python examples/heart/figures.py                 from arrival times at 0.5 mm
python examples/heart/figures.py --beat DIR      the sinus-like beat as `run.py beat` left it in DIR
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from run import cells

from carna.heart.activation import arrival, muscle, sinus_entries
from carna.heart.leads import LEADS, ecg_of_arrival, fields, templates
from carna.heart.sites import Site, pacing_sites
from carna.heart.ventricles import Ventricles, ventricles
from carna.signal import Signal

HERE = Path(__file__).parent
SHOWN = ("sinus-like", "right apex", "11 mid inferolateral")
PIXEL_MM = 0.4
LIMB = 4.0  # limb electrodes are far away: drawn larger


def front(figure: Figure, axes: Axes, heart: Ventricles, times: npt.NDArray[np.floating], title: str) -> None:
    """Draw the heart from the front, coloured by activation, with isochrones."""
    from scipy.ndimage import median_filter

    place = heart.points_lps
    turned = heart.at.outwards @ heart.grid.axes.T
    x0, z0 = place[:, 0].min() - 3, place[:, 2].max() + 3
    column = ((place[:, 0] - x0) / PIXEL_MM).astype(int)
    row = ((z0 - place[:, 2]) / PIXEL_MM).astype(int)
    wide, high = column.max() + 8, row.max() + 8
    # A voxel covers every pixel its cube may; those in front are drawn last.
    size = int(np.ceil(1.3 * max(heart.spacing_mm) / PIXEL_MM))
    order = np.argsort(-place[:, 1])
    seen = np.full((high, wide), np.nan)
    light = np.ones((high, wide))
    shade = 0.55 + 0.45 * np.clip(np.abs(turned @ np.array([-0.35, -0.8, 0.5])), 0, 1)
    for down in range(size):
        for right in range(size):
            at = (row[order] + down, column[order] + right)
            seen[at] = times[order]
            light[at] = shade[order]
    inside = np.isfinite(seen)
    smooth = np.where(inside, median_filter(np.where(inside, seen, 0), 7), np.nan)
    last = float(np.nanmax(times))
    picture = mpl.colormaps["turbo_r"](smooth / last)[..., :3] * light[..., None]
    picture[~inside] = 1
    axes.imshow(picture)
    step = 10 if last < 150 else 20
    axes.contour(smooth, levels=np.arange(step, last, step), colors="black", linewidths=0.5)
    axes.set_title(f"{title}; a line every {step} ms", fontsize=9)
    axes.axis("off")
    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, last), "turbo_r")
    figure.colorbar(scale, ax=axes, shrink=0.6)


def trace(axes: Axes, beat: Signal, overlay: Signal | None) -> None:
    """Draw twelve leads in three rows of four, 450 ms each."""
    columns = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
    for signal, style in ((overlay, {"color": "tab:red", "lw": 0.8}), (beat, {"color": "black", "lw": 0.9})):
        if signal is None:
            continue
        t = np.arange(signal.values.shape[1]) / signal.rate_hz * 1e3
        short = t < 450
        for c, names in enumerate(columns):
            for r, name in enumerate(names):
                size = LIMB if c < 2 else 1.0
                axes.plot(t[short] + 500 * c, size * signal.lead(name)[short] - 2.4 * r, **style)
                axes.text(500 * c, -2.4 * r + 0.8, name, fontsize=7)
    axes.plot([1900, 1900], [-6.0, -5.0], color="black", lw=1.5)
    axes.plot([1800, 1900], [-6.0, -6.0], color="black", lw=1.5)
    axes.text(1890, -6.6, f"100 ms; 1 mV, limb leads {1 / LIMB:g} mV", fontsize=7, ha="right")
    axes.set_ylim(-7.0, 1.7)
    axes.axis("off")


def stored() -> Signal:
    """Return the leads of the whole simulation, ``beat.csv``."""
    with (HERE / "beat.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    values = np.array(rows, float)
    # Its first sample is that of 1 ms; at 0 all is at rest.
    return Signal(np.c_[np.zeros(12), values[:, 1:].T].astype(np.float32), LEADS, 1000.0)


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--beat", type=Path)
    parser.add_argument("--spacing", type=float, default=0.5)
    parser.add_argument("--out", type=Path, default=HERE.parents[1] / "docs" / "heart-beats.png")
    given = parser.parse_args()
    heart = ventricles(spacing_mm=given.spacing)
    seen, shape, tissue = fields(heart), templates(cells()), muscle(heart)
    figure, axes = plt.subplots(2, 3, figsize=(13, 8), height_ratios=(1, 1.1), layout="constrained")
    by_name: dict[str, Site] = {s.name: s for s in pacing_sites(heart)}
    for n, name in enumerate(SHOWN):
        source = by_name.get(name) or sinus_entries(heart)
        times = arrival(tissue, source).ravel()[heart.at.where]
        beat, overlay = ecg_of_arrival(seen, times, shape, heart.cell_type), None
        title = f"{name}: {times.max():.0f} ms"
        if n == 0 and given.beat:
            overlay = beat
            beat = stored()
            whole = ventricles(spacing_mm=0.4)
            times = np.load(given.beat / "activation.npy")
            title = f"{name}: {np.nanmax(times):.0f} ms, monodomain"
            front(figure, axes[0, n], whole, times, title)
            del whole
        else:
            front(figure, axes[0, n], heart, times, title)
        trace(axes[1, n], beat, overlay)
    figure.savefig(given.out, dpi=85)
    Image.open(given.out).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
        given.out, optimize=True
    )


if __name__ == "__main__":
    main()
