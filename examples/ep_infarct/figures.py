"""Draw what ``study.py`` kept: docs/ep-infarct.png and docs/ep-infarct.gif."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import infarct
import matplotlib as mpl
import numpy as np
from view import View, outside

import study
from carna.ep.reentry import excitations
from carna.heart.scar import SCAR
from carna.heart.twin import site_voxels
from carna.heart.ventricles import Ventricles

mpl.use("Agg")
from matplotlib import pyplot as plt
from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"
SCAR_COLOUR = (0.93, 0.93, 0.90)
PICTURE_MS = 12.0
HEARTS = {
    "infarct": "infarct,\nchannel",
    "ablated": "channel\nburnt",
    "closed": "no\nchannel",
    "whole": "no\ninfarct",
}


def anatomy(heart: Ventricles) -> np.ndarray:
    """Return a colour for every voxel by what it is."""
    colours = np.array([(0.86, 0.47, 0.44), (1.0, 0.80, 0.22), SCAR_COLOUR])
    return colours[heart.spread(heart.region).ravel()]


def one_lap(times: np.ndarray, voxels: np.ndarray, size: int, start_ms: float, cycle_ms: float) -> np.ndarray:
    """Return when each voxel was first excited within a cycle from a moment, NaN if it was not."""
    lap = (times >= start_ms) & (times < start_ms + cycle_ms)
    out = np.full(size, np.nan)
    out[voxels[lap][::-1]] = times[lap][::-1] - start_ms
    return out


def by_time(heart: Ventricles, lap_ms: np.ndarray, cycle_ms: float) -> np.ndarray:
    """Return a colour for every voxel by its time in the cycle, in steps of 20 ms."""
    step = np.floor(np.nan_to_num(lap_ms, nan=0) / 20) * 20
    colours = mpl.colormaps["turbo"](step / cycle_ms)[:, :3]
    colours[np.isnan(lap_ms)] = 0.35
    colours[heart.spread(heart.region).ravel() == SCAR] = SCAR_COLOUR
    return colours


def glow(heart: Ventricles, since_ms: np.ndarray) -> np.ndarray:
    """Return a colour for every voxel by the time since it was excited: bright front, dark rest."""
    colours = mpl.colormaps["inferno"](np.clip(0.98 - since_ms / 330, 0.12, 1))[:, :3]
    colours[heart.spread(heart.region).ravel() == SCAR] = SCAR_COLOUR
    return colours


def movie(
    view: View, heart: Ventricles, times: np.ndarray, voxels: np.ndarray, end_ms: float
) -> list[Image.Image]:
    """Return pictures every 12 ms from 0 to an end."""
    last = np.full(heart.labels.size, -np.inf)
    pictures, done = [], 0
    for now in np.arange(0, end_ms, PICTURE_MS):
        until = int(np.searchsorted(times, now, "right"))
        last[voxels[done:until]] = times[done:until]
        done = until
        pictures.append(Image.fromarray(view.paint(glow(heart, now - last))))
    return pictures


def screened_events(work: Path, heart: Ventricles) -> tuple[np.ndarray, np.ndarray, float]:
    """Return times and voxels of the re-entry that the screening found at the full run's site, its cycle."""
    tried = study.read(work, "infarct", heart.spacing_mm[0])[study.FULL_SITE]
    found = next(one for one in tried if one.sustained)
    times, at = excitations(
        infarct.made(heart, work),
        site_voxels(heart)[study.FULL_SITE],
        found.couplings_ms,
        2000.0,
        infarct.PROTOCOL,
    )
    return times, np.ravel_multi_index(tuple(at.T), heart.grid.shape), float(found.cycle_ms or 0)


def run_events(work: Path, spacing_mm: float, coupling_ms: float) -> tuple[np.ndarray, np.ndarray]:
    """Return times after S2 and voxels of the full run."""
    held = np.load(work / f"full-{spacing_mm:g}mm-{coupling_ms:.0f}.npz")
    order = np.argsort(held["t"], kind="stable")
    return held["t"][order] - coupling_ms, held["v"][order]


def still(work: Path) -> None:
    """Draw the heart, a lap of the circuit in both models, and what was induced from where."""
    table = json.loads((study.HERE / "results.json").read_text())
    heart = infarct.heart(study.SPACING_MM)
    view = outside(heart, infarct.INFARCT.segment)
    figure, axes = plt.subplots(
        1, 4, figsize=(15, 4.6), width_ratios=(1, 1.12, 1.12, 1.5), layout="constrained"
    )
    top = study.together(work, "infarct", heart)[0]
    colours = anatomy(heart)
    colours[np.ravel_multi_index(tuple(top.isthmus.T), heart.grid.shape)] = (0.85, 0.10, 0.10)
    axes[0].imshow(view.paint(colours))
    axes[0].set_title("infarct (white), channel of grey zone (yellow),\nisthmus (red)", fontsize=9)
    times, voxels, cycle = screened_events(work, heart)
    lap = by_time(heart, one_lap(times, voxels, heart.labels.size, 2000 - 1.2 * cycle, cycle), cycle)
    axes[1].imshow(view.paint(lap))
    axes[1].set_title(
        f"screening: a lap of {cycle:.0f} ms,\nshortly before 2 s after the last stimulus", fontsize=9
    )
    _full_lap(axes[2], work, table)
    for ax in axes[:3]:
        ax.axis("off")
    bar = figure.colorbar(
        plt.cm.ScalarMappable(plt.Normalize(0, cycle), "turbo"), ax=axes[1:3], shrink=0.5, location="bottom"
    )
    bar.set_label("ms within the cycle, steps of 20 ms", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    _table(axes[3], table)
    figure.savefig(DOCS / "ep-infarct.png", dpi=95)
    image = Image.open(DOCS / "ep-infarct.png").convert("RGB").quantize(256)
    image.save(DOCS / "ep-infarct.png", optimize=True)


def _full_lap(ax: plt.Axes, work: Path, table: dict[str, object]) -> None:
    """Draw the excitation of the full run after S2, its last lap if it goes round."""
    best = max(table["full"]["runs"], key=lambda one: one["lasted_ms"])
    heart = infarct.heart(table["full"]["spacing_mm"])
    times, voxels = run_events(work, heart.spacing_mm[0], best["coupling_ms"])
    cycle = best["cycle_ms"] or 400.0
    start = best["lasted_ms"] - 1.1 * cycle if best["cycle_ms"] else 0.0
    lap = one_lap(times, voxels, heart.labels.size, max(start, 0.0), cycle)
    ax.imshow(outside(heart, infarct.INFARCT.segment).paint(by_time(heart, lap, cycle)))
    ax.set_title(
        f"cells: S2 at {best['coupling_ms']:.0f} ms,\nfrom {max(start, 0):.0f} ms after it on",
        fontsize=9,
    )


def _table(ax: plt.Axes, table: dict[str, object]) -> None:
    """Draw a cell for every site and heart: red with the cycle where re-entry was sustained."""
    screened = table["screening"]
    sites = list(screened["infarct"])
    hearts = [name for name in HEARTS if screened.get(name)]
    for column, name in enumerate(hearts):
        for row, site in enumerate(sites):
            one = screened[name].get(site)
            colour = "white" if one is None else "#d9534f" if one["sustained"] else "#cfe3d2"
            ax.add_patch(plt.Rectangle((column, row), 0.94, 0.9, color=colour))
            if one is not None and one["sustained"]:
                said = f"{one['cycle_ms']:.0f} ms, S{1 + len(one['couplings_ms'])}"
                ax.text(
                    column + 0.47, row + 0.47, said, ha="center", va="center", fontsize=6.5, color="white"
                )
    ax.set_xlim(0, len(hearts)), ax.set_ylim(len(sites), 0)
    ax.set_xticks([c + 0.47 for c in range(len(hearts))], [HEARTS[name] for name in hearts], fontsize=8)
    ax.set_yticks([r + 0.45 for r in range(len(sites))], sites, fontsize=7)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)


def animation(work: Path) -> None:
    """Draw 1.2 s from the last stimulus on: the screening at the left, the full run at the right."""
    heart = infarct.heart(study.SPACING_MM)
    times, voxels, _ = screened_events(work, heart)
    films = [movie(outside(heart, infarct.INFARCT.segment), heart, times, voxels, 1250.0)]
    runs = json.loads((study.HERE / "results.json").read_text())["full"]["runs"]
    if runs:
        best = max(runs, key=lambda one: one["lasted_ms"])
        fine = infarct.heart(study.FULL_MM)
        times, voxels = run_events(work, study.FULL_MM, best["coupling_ms"])
        films.append(movie(outside(fine, infarct.INFARCT.segment), fine, times, voxels, 1250.0))
    width, height = np.max([film[0].size for film in films], axis=0)
    pictures = []
    for parts in zip(*films, strict=True):
        both = Image.new("RGB", (int(width + 10) * len(films), int(height)), "white")
        for n, part in enumerate(parts):
            both.paste(part, (n * int(width + 10), 0))
        both = both.resize((round(both.width * 1.6), round(both.height * 1.6)), Image.Resampling.BICUBIC)
        pictures.append(both.quantize(40, dither=Image.Dither.NONE))
    pictures[0].save(
        DOCS / "ep-infarct.gif", save_all=True, append_images=pictures[1:], duration=70, loop=0, optimize=True
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("ep_infarct_work"))
    folder = parser.parse_args().work
    still(folder)
    animation(folder)
