"""Pictures of docs/echo.md: a virtual patient in two views, and the one real clip.

    python examples/echo_apical/figures.py docs [FOLDER OF THE REAL CLIP]

Of the real clip only the sector is drawn: what is written around it stays out of the picture.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from carna.image.echo import ATRIUM, CAVITY, MUSCLE, NETWORK, Reading, ejection_fraction, read
from carna.image.network import Network
from carna.phantom.echo import virtual_pair

COLOURS = {MUSCLE: "#6fcf97", ATRIUM: "#56a3ff", CAVITY: "#ff5c5c"}


def contours(axis: Any, labels: np.ndarray, style: str = "-") -> None:
    """Draw the outline of each structure."""
    for label, colour in COLOURS.items():
        mask = (labels == label).astype(float)
        if mask.any():
            axis.contour(mask, [0.5], colors=[colour], linewidths=1.1, linestyles=style)


def framed(axis: Any, picture: np.ndarray, labels: np.ndarray, name: str, crop: tuple[slice, slice]) -> None:
    """Draw one frame with outlines."""
    axis.imshow(picture[crop], cmap="gray", vmin=0, vmax=max(float(np.percentile(picture, 99.5)), 1.0))
    contours(axis, labels[crop])
    axis.set_title(name, fontsize=9)
    axis.set_axis_off()


def curve(axis: Any, seen: Reading, times_ms: np.ndarray, truth: np.ndarray | None, name: str) -> None:
    """Draw the area over time with the frames told."""
    axis.plot(times_ms, 100 * seen.area / seen.area.max(), color="#ff5c5c", label="read")
    if truth is not None:
        axis.plot(times_ms, 100 * truth / truth.max(), "k:", label="true")
    for beat in seen.beats:
        for frame, mark in ((beat.ed, "ED"), (beat.es, "ES")):
            axis.axvline(times_ms[frame], color="0.6", lw=0.8)
            axis.annotate(mark, (times_ms[frame], 0.02), (2, 0), ("data", "axes fraction"), "offset points")
    axis.set(xlabel="ms", ylabel="area, % of largest", title=name)
    axis.title.set_fontsize(9)
    axis.legend(frameon=False, fontsize=8)


def virtual(out: Path, network: Network) -> None:
    """Draw the virtual patient of the docs."""
    import matplotlib.pyplot as plt

    person, clips = virtual_pair()
    figure, axes = plt.subplots(2, 4, figsize=(12, 6.2), layout="constrained")
    whole = (slice(None), slice(None))
    for row, (view, made) in zip(axes, clips.items(), strict=True):
        seen = read(made.pictures, network=network, times_ms=made.times_ms, spacing=(made.mm, made.mm))
        beat = seen.beats[0]
        row[0].imshow(made.pictures[beat.ed], cmap="gray")
        row[0].set_title(f"{view}, simulated", fontsize=9)
        row[0].set_axis_off()
        for axis, frame, name in ((row[1], beat.ed, "end-diastole"), (row[2], beat.es, "end-systole")):
            framed(axis, made.pictures[frame], seen.labels[frame], f"{name} as told", whole)
            contours(axis, made.labels[frame], ":")
        truth = (made.labels == CAVITY).sum((1, 2)).astype(float)
        ef = 100 * ejection_fraction(seen.volumes, seen.beats)
        curve(row[3], seen, made.times_ms, truth, f"EF {ef:.0f} %, true {100 * person.heart.ef:.0f} %")
    figure.savefig(out / "echo.png", dpi=80)
    plt.close(figure)


def real(out: Path, folder: Path, network: Network) -> None:
    """Draw the real clip."""
    import matplotlib.pyplot as plt

    from carna.doors import read as arrive

    (case,) = arrive(folder).cases
    part = case.studies[0].parts[0]
    times = np.asarray(part.times_ms)  # type: ignore[union-attr]
    seen = read(part.values.array, network=network, times_ms=times)  # type: ignore[union-attr]
    beat = seen.beats[0]
    sector = seen.sector
    columns = np.flatnonzero(sector.mask.any(axis=0))
    crop = (slice(sector.top, sector.bottom), slice(columns[0], columns[-1] + 1))
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.6), layout="constrained")
    framed(axes[0], sector.grey[beat.ed], np.zeros(sector.mask.shape), "real clip, sector only", crop)
    for axis, frame, name in ((axes[1], beat.ed, "end-diastole"), (axes[2], beat.es, "end-systole")):
        framed(axis, sector.grey[frame], seen.labels[frame], f"{name} as told, frame {frame + 1}", crop)
    curve(axes[3], seen, times, None, "no truth is known: unvalidated")
    figure.savefig(out / "echo-real.png", dpi=80)
    plt.close(figure)


if __name__ == "__main__":
    import matplotlib as mpl

    mpl.use("Agg")
    net = Network(NETWORK)
    virtual(Path(sys.argv[1]), net)
    if len(sys.argv) > 2:
        real(Path(sys.argv[1]), Path(sys.argv[2]), net)
