"""A whole cine MRI, 10 slices by 25 phases by 256 x 256 pixels, from pixels to volumes; CPU time on one
thread.

Beside the network stands what its multiplications would cost as large matrix products in numpy,
in the same run. No peer with weights for this task comes as a package; the stored peer is what a
hospital's reader needs, 13 minutes (Davies 2022, doi:10.1186/s12968-022-00846-4).
"""

from __future__ import annotations

import resource
from itertools import pairwise
from typing import Final

import numpy as np

from carna.bench import Row, cpu_seconds
from carna.image import locate_heart
from carna.image.network import Network
from carna.image.ventricles import NETWORK, segment, trust, volumes
from carna.phantom import VirtualPatient, make

SLICES: Final = 10
FRAMES: Final = 25
PIXELS: Final = 256
READER_S: Final = 13 * 60.0
SPACING_MM: Final = (10.0, 1.4, 1.4)


def measure() -> tuple[Row, ...]:
    """Return the rows."""
    case = make(VirtualPatient(), frames=FRAMES, slices=SLICES, pixels=PIXELS, long_axes=False)
    cine, network = case.sax.cine, Network(NETWORK)
    seen = segment(cine, spacing_mm=SPACING_MM, network=network)
    beat = volumes(seen.labels, SPACING_MM)
    off = 100 * (beat.lvef - case.truth.lvef)
    pictures = np.random.default_rng(0).random((SLICES * FRAMES, network.side, network.side), np.float32)
    alone = cpu_seconds(lambda: network.shares(pictures), repeat=2)
    bound = SLICES * FRAMES * multiplications(network) / _products_a_second()
    whole = cpu_seconds(
        lambda: volumes(segment(cine, spacing_mm=SPACING_MM, network=network).labels, SPACING_MM), repeat=2
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    size = f"{SLICES} slices x {FRAMES} phases x {PIXELS} x {PIXELS}"
    return (
        Row(
            f"place of the heart, {size}",
            "",
            cpu_seconds(lambda: locate_heart(cine, spacing_mm=SPACING_MM), repeat=2),
            None,
            "s",
        ),
        Row(
            f"network alone, {len(pictures)} pictures",
            "as many products, numpy",
            alone,
            bound,
            "s",
            f"{multiplications(network) / 1e9:.2f} G multiplications a picture; {network.engine}",
        ),
        Row(
            f"outlines and volumes, {size}",
            "a reader (stored)",
            whole,
            READER_S,
            "s",
            f"LVEF {off:+.1f} points off the virtual truth",
        ),
        Row(
            "trust of one cine",
            "",
            cpu_seconds(lambda: trust(cine, seen, network), repeat=2),
            None,
            "s",
        ),
        Row("memory of this process", "", memory, None, "GiB"),
    )


def multiplications(network: Network) -> float:
    """Return the multiplications one picture costs in a U-Net of the card's channels."""
    side = network.side
    channels = [1, *network.card["recipe"]["channels"]]
    total = 0.0
    for level, (inputs, outputs) in enumerate(pairwise(channels)):
        pixels = (side / 2**level) ** 2
        total += 9 * pixels * (inputs * outputs + outputs * outputs)
        if level:  # the way up: an enlargement by 2 x 2, then two convolutions of both halves
            above = 4 * pixels
            total += 4 * pixels * outputs * inputs + 9 * above * (2 * inputs * inputs + inputs * inputs)
    return float(total + side**2 * channels[1] * 4)


def _products_a_second() -> float:
    """Return the multiplications a second of a float32 matrix product on one thread."""
    n = 768
    a = np.random.default_rng(0).random((n, n), np.float32)
    return float(n**3 / cpu_seconds(lambda: a @ a, repeat=5))
