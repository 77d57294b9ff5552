"""A heart with scar as an ensemble of models: in which share of them can which circuit re-enter?

::

    __init__   the declaration, and the order of the work
    labels     from a region's labels to the ventricles of the model
    said       from circuits to findings
    drawn      the surface of the heart with its scar, and activation round each circuit

A research hypothesis in a model, and no more: neither what happens in a person, nor what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Annotated, Literal

from carna import codes
from carna.app import Job, Need, Setting, application
from carna.apps.ep_twin.drawn import pictures
from carna.apps.ep_twin.labels import model_of
from carna.apps.ep_twin.said import Sweep, absent, findings
from carna.findings import Item, Region

# One excitation tried, in a voxel: measured on one core of a server.
US_PER_VOXEL = 5.0


@application(
    version="1.0",
    gives=(codes.MODEL_REENTRY, codes.MODEL_ENSEMBLE),
    may_give=(
        codes.MODEL_CIRCUIT,
        codes.MODEL_UNPLACED,
        codes.MODEL_CYCLE,
        codes.MODEL_ISTHMUS,
        codes.MODEL_ISTHMUS_OPEN,
        codes.MODEL_SITES,
        codes.VENTRICLES,
        codes.SCAR,
        codes.ACTIVATION_TIME,
    ),
    cites=(
        "doi:10.1038/ncomms11437",
        "doi:10.1152/ajpheart.00109.2006",
        "doi:10.1098/rsta.2011.0139",
        "doi:10.3389/fphys.2018.00356",
        "doi:10.1080/01621459.1927.10502953",
        "doi:10.1080/00401706.1979.10489755",
    ),
    stakes="high",
    quick={
        "members": 3, "sites": 3, "spacing": 2.5, "extras": 1, "step": 20.0, "fine_members": 0, "fine": 0.5,
        "workers": 1, "executor": "serial",
    },
)  # fmt: skip
def ep_twin(
    labels: Annotated[
        Region,
        Need(
            "both ventricles with scar core and grey zone labelled, 3 mm or finer", finding=codes.VENTRICLES
        ),
    ],
    *,
    members: Annotated[int, Setting("1", 3, 1000, "hearts in the ensemble")] = 20,
    sites: Annotated[int, Setting("1", 1, 19, "pacing sites, those nearest to the scar first")] = 19,
    spacing: Annotated[float, Setting("mm", 0.5, 3.0, "edge of the model's voxels")] = 2.0,
    extras: Annotated[int, Setting("1", 1, 3, "extrastimuli at most: 3 is up to S4")] = 2,
    step: Annotated[float, Setting("ms", 5, 40, "between two couplings tried")] = 10.0,
    border: Annotated[
        Literal["subacute", "chronic"], Setting(doc="which published remodelling the grey zone has")
    ] = "subacute",
    same: Annotated[
        float, Setting("mm", 5, 30, "circuits are one if each isthmus lies this near the other's path")
    ] = 10.0,
    fine_members: Annotated[
        int, Setting("1", 0, 50, "members in which each isthmus is repeated on a fine grid")
    ] = 3,
    fine: Annotated[float, Setting("mm", 0.2, 0.5, "spacing of that grid")] = 0.2,
    executor: Annotated[
        str, Setting(doc="who does the work: processes, serial, or the address of a dask scheduler")
    ] = "processes",
    workers: Annotated[int, Setting("1", 1, 256, "how many processes")] = 2,
    job: Job,
) -> tuple[Item, ...]:
    """Screen an ensemble of models of a scarred heart for re-entrant circuits.

    Every member has its own border of scar, conduction velocities and recovery times, drawn evenly from
    stated ranges, and gets programmed stimulation on eikonal tissue that recovers. Answers are shares of
    the members with 95 % intervals. There is no conduction system, no torso and no motion in the model.
    """
    from carna.ep.reentry import Protocol
    from carna.heart.ensemble import Screening, circuits, screen_all
    from carna.heart.ensemble import members as draw
    from carna.heart.recovery import recovery

    job.progress(0.0, "labels")
    if codes.SCAR not in {s.code for s in labels.segments if (labels.labels == s.label).any()}:
        return absent("no scar is labelled in the ventricles: there is nothing known to go round", labels)
    model = model_of(labels, spacing)
    names = model.nearest_sites(sites)
    protocol = Protocol(longest_ms=440.0, shortest_ms=240.0, step_ms=step, extras=extras)
    screening = Screening(model.heart, recovery("healthy"), recovery(border), protocol, names)
    drawn = draw(members, job.seed)
    tries = members * len(names) * extras * (440.0 - 300.0) / step
    seconds = tries * len(model.heart.at.where) * US_PER_VOXEL * 1e-6
    job.progress(
        0.02,
        f"{members} members from {len(names)} sites, {len(model.heart.at.where):,} voxels: "
        f"about {_words(seconds)} of one core",
    )
    with _executor(executor, workers) as on:
        outcomes = screen_all(screening, drawn, on, job.progress.part(0.03, 0.85))
        found = circuits(outcomes, model.heart.grid, same)
        sweep = Sweep(labels, model, screening, drawn, outcomes, found, border)
        fine_ones = sweep.repeated(fine, fine_members, on, job.progress.part(0.85, 0.97))
    items = (*findings(sweep, fine, fine_ones), *pictures(sweep))
    job.progress(1.0, "findings")
    return items


@contextmanager
def _executor(where: str, workers: int) -> Iterator[Executor | None]:
    from carna.heart.executor import executor

    if where == "serial":
        yield None
        return
    with executor(workers if where == "processes" else where) as on:
        yield on


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
