"""What waves look like: the two learned networks of `delineate`, and their card.

Each is a convolutional network that halves its time axis a few times, comes back up, and looks at what it
saw on the way down (a one-dimensional U-Net; Ronneberger, Fischer and Brox 2015,
doi:10.1007/978-3-319-24574-4_28). It is evaluated here in plain numpy, as matrix products. The wide one
(38,000 weights) places the onset, peak and offset of P and T and says whether they are there; the narrow
one (20,000) those of the QRS complex.

Learned from
    LUDB 1.0.1 (doi:10.13026/eegm-h675, ODC-By 1.0), 121 recordings of 121 people, every lead annotated by
    itself by cardiologists; with changes of rate, gain and polarity, fewer leads, and noise of the first half
    of the MIT-BIH Noise Stress Test Database (doi:10.13026/C2HS3T) added.
Never learned from
    QTDB, MIT-BIH, CinC2021, CPSC: what is reported on them is another hospital's material.
Recipe, scores
    ``tests/ecg/fit_delineation.py``; ``docs/ecg-delineation.md``.
Not for
    Paced beats (two people), ventricular fibrillation, fetal, animal and intracardiac recordings; children
    were not among the recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from carna.ecg.traces import Float


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A one-dimensional U-Net.

    Attributes
    ----------
    down, up : tuple of ((taps * in, out), (out,)) float32
        Convolutions on the way down (each but the first after a mean over two samples) and up (each after a
        doubling and the joining of what was seen at that scale).
    places : ((taps * in, heads), (heads,)) float32
        The last convolution: a logit for every place of every boundary.
    waves : tuple of ((in, out), (out,)) float32
        Two dense layers on the mean and maximum at the bottom: a logit for every wave's presence.
    """

    down: tuple[tuple[Float, Float], ...]
    up: tuple[tuple[Float, Float], ...]
    places: tuple[Float, Float]
    waves: tuple[tuple[Float, Float], ...]

    def __call__(self, x: Float) -> tuple[Float, Float]:
        """Return the logits of the places (n, samples, heads) and of the waves (n, waves).

        Parameters
        ----------
        x : (n, samples, channels) float32
        """
        seen = []
        widest = max(len(bias) for _, bias in (*self.down, *self.up))
        room = np.empty(4 * len(x) * x.shape[1] * widest, np.float32)
        for k, layer in enumerate(self.down):
            if k:
                x = (x[:, ::2] + x[:, 1::2]) * np.float32(0.5)
            x = _rectified(_convolved(x, layer, room))
            seen.append(x)
        bottom = np.concatenate([x.mean(1), x.max(1)], axis=1)
        for weight, bias in self.waves[:-1]:
            bottom = _rectified(bottom @ weight + bias)
        for layer, beside in zip(self.up, seen[-2::-1], strict=True):
            x = _rectified(_convolved(np.concatenate([np.repeat(x, 2, axis=1), beside], axis=2), layer, room))
        return _convolved(x, self.places, room), bottom @ self.waves[-1][0] + self.waves[-1][1]


def _rectified(x: Float) -> Float:
    return np.maximum(x, 0, out=x)


def _convolved(x: Float, layer: tuple[Float, Float], room: Float | None = None) -> Float:
    """Convolve (n, samples, in) with zeros beyond the ends.

    Rows that do not overlap need no copy to be a matrix: every ``taps``-th place is one product, and what
    straddles two windows is thrown away. ``room`` is memory to work in: handing out fresh memory takes the
    system as long as the products.
    """
    weight, bias = layer
    n, samples, channels = x.shape
    taps, out = len(weight) // channels, weight.shape[1]
    rows = samples + taps - 1
    count = -(-n * rows // taps)
    before, after = (n * rows + 2 * taps) * channels, count * taps * out
    if room is None or len(room) < before + after:
        room = np.empty(before + after, np.float32)
    flat = room[:before]
    flat[:] = 0
    flat[: n * rows * channels].reshape(n, rows, channels)[:, taps // 2 : taps // 2 + samples] = x
    every = room[before : before + after].reshape(count, taps, out)
    for k in range(taps):
        start = k * channels
        every[:, k] = flat[start : start + count * taps * channels].reshape(count, -1) @ weight
    return every.reshape(-1, out)[: n * rows].reshape(n, rows, out)[:, :samples] + bias


@cache
def networks() -> tuple[Network, Network]:
    """Return the wide (P and T) and the narrow (QRS) network as shipped."""
    with np.load(str(files("carna.ecg") / "delineate.npz")) as table:
        return from_arrays(dict(table))


def from_arrays(table: Mapping[str, NDArray[np.floating]]) -> tuple[Network, Network]:
    """Put both networks together from arrays named ``wide.down.0.weight``, ``wide.down.0.bias`` and so on."""

    def layers(part: str) -> tuple[tuple[Float, Float], ...]:
        count = sum(key.startswith(f"{part}.") for key in table) // 2
        return tuple(
            (table[f"{part}.{k}.weight"].astype(np.float32), table[f"{part}.{k}.bias"].astype(np.float32))
            for k in range(count)
        )

    wide, narrow = (
        Network(layers(f"{n}.down"), layers(f"{n}.up"), layers(f"{n}.places")[0], layers(f"{n}.waves"))
        for n in ("wide", "narrow")
    )
    return wide, narrow
