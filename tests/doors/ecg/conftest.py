"""A made-up ECG with steps that every format can hold, and files as blobs without a disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from carna.case import Problem
from carna.doors.arrive import Arrival, Delivery
from carna.doors.ecg import DOOR
from carna.doors.ecg.leads import STANDARD
from carna.doors.files import HEAD, Blob, walk
from carna.progress import SILENT
from carna.study import Ecg, Lazy, Origin

Files = Mapping[str, bytes]


@pytest.fixture
def blobs() -> Callable[[Files], dict[str, Blob]]:
    """Return files of one folder as blobs, by name."""

    def make(files: Files) -> dict[str, Blob]:
        around: dict[str, Blob] = {}
        for name, data in files.items():
            around[name] = Blob(f"set/{name}", len(data), lambda data=data: data, data[:HEAD], None, around)  # type: ignore[misc]
        return around

    return make


@pytest.fixture
def deliver(blobs: Callable[[Files], dict[str, Blob]]) -> Callable[[Files], Delivery]:
    """Return what the door makes of some files; only what it claims is handed to it."""

    def read(files: Files) -> Delivery:
        mine = [blob for blob in blobs(files).values() if DOOR.claims(blob)]
        return DOOR.read(mine, SILENT)

    return read


@pytest.fixture
def deliver_path() -> Callable[[Path], Delivery]:
    """Return what the door makes of a folder or a file."""

    def read(path: Path) -> Delivery:
        found, _ = walk([path])
        return DOOR.read([blob for blob in found if DOOR.claims(blob)], SILENT)

    return read


def ecgs_of(delivery: Delivery) -> list[Ecg]:
    return [a.part for a in delivery.arrivals if isinstance(a.part, Ecg)]


@pytest.fixture
def ecgs() -> Callable[[Delivery], list[Ecg]]:
    """Return the ECG parts of a delivery."""
    return ecgs_of


@pytest.fixture
def only(deliver: Callable[[Files], Delivery]) -> Callable[[Files], Ecg]:
    """Return the one ECG of some files; samples that were not recorded are the only problem allowed."""

    def read(files: Files) -> Ecg:
        delivery = deliver(files)
        assert not [p for p in delivery.problems if not p.found.startswith("samples not recorded")]
        (ecg,) = ecgs_of(delivery)
        return ecg

    return read


@pytest.fixture
def refusal(deliver: Callable[[Files], Delivery]) -> Callable[[Files], Problem]:
    """Return the one problem of some files, which must bring nothing else."""

    def read(files: Files) -> Problem:
        delivery = deliver(files)
        assert delivery.arrivals == ()
        (problem,) = delivery.problems
        return problem

    return read


@pytest.fixture
def pieces(deliver: Callable[[Files], Delivery]) -> Callable[[Files], tuple[Arrival, ...]]:
    """Return everything that arrived of some files."""
    return lambda files: deliver(files).arrivals


@pytest.fixture
def twelve() -> Ecg:
    """Return 12 leads, 4 s at 500 Hz, in steps of 5 µV, limb leads exact by Einthoven's law."""
    rng = np.random.default_rng(7)
    walk_ = np.cumsum(rng.integers(-9, 10, (8, 2000)), axis=1) + rng.integers(-300, 300, (8, 1))
    one, two = walk_[0] * 2, walk_[1] * 2  # even, so that the halves are whole steps
    limb = [one, two, two - one, -(one + two) // 2, one - two // 2, two - one // 2]
    steps = np.stack([*limb, *walk_[2:]])
    values = (steps * 0.005).astype(np.float32)
    origin = Origin("2.25.1", "ECG")
    return Ecg(origin, Lazy.of(values), STANDARD, 500.0, lsb_mV=(0.005,) * 12)
