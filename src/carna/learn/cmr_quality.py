"""Does the predicted quality of outlines know their true one? Real patients, untouched and with faults put
in.

The prediction was fitted on virtual patients alone (`carna.learn.cmr_trust`). A volume is one phase of one
stack; a stack that is refused counts as flagged, and as a Dice of 0. Intervals of the shares are Wilson's,
of the correlation by bootstrap over patients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.network import Network
from carna.image.ventricles import LV, NETWORK, POOR, segment
from carna.image.ventricles.direct import DIRECT
from carna.image.ventricles.trust import predicted, read
from carna.intervals import wilson
from carna.learn.agreement import dice
from carna.learn.cmr_patients import Labelled, acdc, sunnybrook
from carna.learn.evaluate import Row
from carna.phantom.faults import FAULTS
from carna.progress import SILENT, Progress

FAULTS_EACH = 4
STRENGTH = (0.2, 1.0)


@dataclass(frozen=True, slots=True)
class Volume:
    """One phase of one stack: whose, with which fault, predicted and true Dice of the left cavity."""

    patient: str
    fault: str
    predicted: float
    true: float

    @property
    def flagged(self) -> bool:
        """Whether the outlines would be shown as not to be trusted."""
        return self.predicted < POOR


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows; every patient as it is and with `FAULTS_EACH` faults."""
    patients = [
        one
        for folder, read in (("acdc-cine-mri", acdc), ("sunnybrook-cine-mri", sunnybrook))
        if (data / folder).exists()
        for one in read(data / folder)
    ]
    network, second = Network(NETWORK), Network(DIRECT)
    found: list[Volume] = []
    for n, one in enumerate(patients):
        found += volumes_of(one, network, second, np.random.default_rng([17, n]))
        progress((n + 1) / len(patients), one.name)
    return tuple(rows_of(found)) if found else ()


def volumes_of(
    patient: Labelled, network: Network, second: Network, random: np.random.Generator
) -> Iterator[Volume]:
    """Yield the volumes of a patient, untouched and with faults drawn at random."""
    frames = np.asarray(patient.frames, np.float32)
    stacks = [("", frames)]
    for name in random.choice(list(FAULTS), FAULTS_EACH, replace=False):
        strength = float(random.uniform(*STRENGTH))
        stacks.append((str(name), FAULTS[str(name)](frames, strength, random)))
    for fault, stack in stacks:
        try:
            seen = segment(stack, spacing_mm=None, network=network)
        except InputError:
            yield from (Volume(patient.name, fault, 0.0, 0.0) for _ in range(2))
            continue
        for f in range(2):
            say = predicted(LV, read(stack, seen, network, second, f).features[LV])
            yield Volume(patient.name, fault, say, dice(seen.labels[f] == LV, patient.labels[f] == LV))


def rows_of(found: Sequence[Volume]) -> Iterator[Row]:
    """Yield the rows of all volumes, of the untouched alone, and of each fault."""
    for group in ("all", "untouched", *sorted({v.fault for v in found} - {""})):
        some = [v for v in found if group == "all" or v.fault == (group if group != "untouched" else "")]
        people = len({v.patient for v in some})
        said, true = (np.array([getattr(v, what) for v in some]) for what in ("predicted", "true"))
        bad = true < POOR
        flagged = np.array([v.flagged for v in some])

        def row(
            metric: str,
            value: float,
            ci95: tuple[float, float] | None,
            n: int,
            *,
            group: str = group,
            people: int = people,
            positives: int | None = None,
        ) -> Row:
            return Row(
                "ACDC and Sunnybrook", "H", "development", "predicted Dice of the left cavity", metric,
                value, ci95, n, people, "1", group, positives,
            )  # fmt: skip

        if group in ("all", "untouched"):
            yield row("correlation", _r(said, true), _by_patient(some), len(some))
        yield row("mae", float(np.abs(said - true).mean()), None, len(some))
        if bad.any():
            hits = int((flagged & bad).sum())
            share = hits / int(bad.sum())
            yield row("sensitivity", share, wilson(hits, int(bad.sum())), len(some), positives=int(bad.sum()))
        if not bad.all():
            false = int((flagged & ~bad).sum())
            good = int((~bad).sum())
            yield row("false_alarm", false / good, wilson(false, good), len(some), positives=int(bad.sum()))


def _r(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _by_patient(found: Sequence[Volume], draws: int = 1000) -> tuple[float, float]:
    names = sorted({v.patient for v in found})
    of = {n: [(v.predicted, v.true) for v in found if v.patient == n] for n in names}
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(draws):
        pairs = np.array([p for n in random.choice(names, len(names)) for p in of[str(n)]])
        drawn.append(_r(pairs[:, 0], pairs[:, 1]))
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return float(low), float(high)
