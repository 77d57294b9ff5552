"""Speed, measured beside a peer in the same run: one suite a file, one row a case.

A row is ``{case, peer_name, ours, peer, ratio, unit, quality}``; ``ratio`` is ours over the
peer's, in CPU time unless the unit says otherwise. Peers are imported inside functions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from carna.errors import InputError

# Suite name to the module that measures it: `measure() -> tuple[Row, ...]`.
SUITES: Mapping[str, str] = {
    "doors": "carna.bench.doors",
    "beats": "carna.bench.beats",
    "cmr": "carna.bench.cmr",
    "ecg": "carna.bench.ecg",
    "ep": "carna.bench.ep",
    "flow": "carna.bench.flow",
    "node": "carna.bench.node",
    "node-faults": "carna.bench.node_faults",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One case measured.

    Parameters
    ----------
    ours, peer : float or None
        In ``unit``; ``peer`` is None where no peer does this.
    quality : str
        What each of the two got right, so that speed is never read alone.
    """

    case: str
    peer_name: str
    ours: float
    peer: float | None
    unit: str
    quality: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's."""
        return None if not self.peer else round(self.ours / self.peer, 4)


def measure(suite: str) -> tuple[Row, ...]:
    """Return the rows of a suite."""
    if suite not in SUITES:
        raise InputError(f"no suite {suite!r}", needed=", ".join(SUITES))
    rows: tuple[Row, ...] = import_module(SUITES[suite]).measure()
    return rows


def cpu_seconds(work: Callable[[], object], *, repeat: int = 3) -> float:
    """Return the least CPU time of several runs, s, after one that warms up."""
    work()
    return min(_once(work) for _ in range(repeat))


def _once(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun
