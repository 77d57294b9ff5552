"""Running: the job an application gets, the manifest it leaves, the order among several."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, assert_never

import numpy as np

from carna.app.declare import Application
from carna.app.fill import NO_CHOICE, fill
from carna.case import Case
from carna.errors import ContractError, InputError, NeedError
from carna.findings import Absent, Findings, Input, Item, Manifest, Measurement, Unknown
from carna.findings.model import sha256
from carna.progress import SILENT, Progress
from carna.study import Cine, Ecg, Geometry, Image, Part, Picture, Planes, Record, Slide

_LOG = logging.getLogger(__name__)
NO_SETTINGS: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Job:
    """What a run gets besides its inputs.

    Parameters
    ----------
    seed : int
        The only source of chance: ``job.rng()`` is the same for the same seed.
    threads : int
        How many threads an engine may use.
    progress : Progress
        Report the fraction done and look for a cancel at least once a second.
    scratch : Path or None
        The one folder that may be written to.
    """

    seed: int = 0
    threads: int = 1
    progress: Progress = SILENT
    scratch: Path | None = None

    def rng(self) -> np.random.Generator:
        """Return a fresh generator of the job's seed."""
        return np.random.default_rng(self.seed)


@cache
def applications() -> Mapping[str, Application]:
    """Return every installed application by name; ours and others' come through the same entry points.

    One that fails to load is left out with a warning that names it: a broken plug-in does not
    stop the others.
    """
    found: dict[str, Application] = {}
    for entry in sorted(entry_points(group="carna.applications"), key=lambda e: e.name):
        try:
            loaded = entry.load()
        except (ImportError, AttributeError, ContractError) as error:
            _LOG.warning("application %s (%s) can't be loaded: %s", entry.name, entry.value, error)
            continue
        if isinstance(loaded, Application) and loaded.name == entry.name:
            found[entry.name] = loaded
        else:
            _LOG.warning("entry point %s (%s) is no application of that name", entry.name, entry.value)
    return MappingProxyType(found)


def in_order(apps: Iterable[Application]) -> tuple[Application, ...]:
    """Return the applications so that whoever gives a finding comes before whoever needs it.

    Raises
    ------
    ContractError
        If they need each other in a circle.
    """
    waiting, ordered = list(apps), []
    while waiting:
        due = {code for app in waiting for code in app.gives}
        free = [a for a in waiting if not any(s.need.finding in due - set(a.gives) for s in a.slots)]
        if not free:
            raise ContractError(
                "applications need each other: " + ", ".join(a.name for a in waiting), needed="no circle"
            )
        ordered += free
        waiting = [a for a in waiting if a not in free]
    return tuple(ordered)


def run(
    app: Application,
    case: Case,
    study: str,
    *,
    settings: Mapping[str, object] = NO_SETTINGS,
    choose: Mapping[str, str] = NO_CHOICE,
    job: Job | None = None,
) -> Findings:
    """Run an application on a study and return its findings.

    A need that is not met, or bad data the application refuses (`InputError`), makes every
    code it gives `Absent` with the reason. Any other exception is a bug and is not caught.

    Parameters
    ----------
    settings : mapping
        Name to value, or to the text of a command line.
    choose : mapping
        Slot name to part UID, where more than one part fits.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.
    ContractError
        If the application speaks of a code it did not declare, or keeps silent about one it did.
    Cancelled
    """
    job = job or Job()
    values = app.settings(settings)
    begun, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    parts = {p.origin.uid: p for s in case.studies for p in s.parts}
    inputs: tuple[Input, ...] = ()
    try:
        filled = fill(app, case, study, choose)
        inputs = (
            *(Input(n, uid, _digest(parts.get(uid))) for n, uids in filled.uids.items() for uid in uids),
            *(Input(f"{n}, repeated, not used", u) for n, uids in filled.repeated.items() for u in uids),
        )
        extras = {"job": job} if app.takes_job else {}
        items = tuple(app.function(**filled.arguments, **values, **extras))
    except (NeedError, InputError) as error:
        items = tuple(_absent(app, n, str(error)) for n in range(len(app.gives)))
    _keep_contract(app, items)
    return Findings(
        study=study,
        patient=case.patient.id,
        items=items,
        manifest=Manifest(
            application=app.name,
            version=app.version,
            settings=values,
            inputs=inputs,
            models={name: _model(name) for name in app.models},
            seed=job.seed,
            cites=app.cites,
            seconds=round(time.perf_counter() - begun, 3),
            started=started,
            hardware=f"{platform.machine()} {platform.system()}",
            packages=_packages(),
        ),
        high_stakes=app.stakes == "high",
        validated=app.validated,
        synthetic=case.patient.synthetic,
    )


def _absent(app: Application, n: int, why: str) -> Item:
    return Absent(id=f"{app.name}.absent_{n}", code=app.gives[n], why=why)


def _keep_contract(app: Application, items: tuple[Any, ...]) -> None:
    said = {item.code for item in items}
    for code in app.gives:
        if code not in said:
            raise ContractError(f"{app.name} says nothing of {code}", needed="a value or Absent(code, why)")
    for item in items:
        if item.code not in app.gives and item.code not in app.may_give:
            raise ContractError(f"{app.name} speaks of {item.code}", needed="only codes it gives")
        if app.stakes == "high" and isinstance(item, Measurement) and isinstance(item.uncertainty, Unknown):
            raise ContractError(
                f"{app.name}: {item.id} has no interval", needed="one, where the stakes are high"
            )


def _digest(part: Part | None) -> str:
    """Return the sha256 of what a part holds, "" for findings and parts without values."""
    match part:
        case Image() | Planes() | Cine() | Picture() | Ecg():
            return sha256(np.ascontiguousarray(part.values.array).data)
        case Geometry():
            return sha256(part.shape.points.tobytes())
        case Slide() | Record() | None:
            return ""
        case _:
            assert_never(part)


@cache
def _model(name: str) -> str:
    """Return the sha256 of a file of ``carna/models``."""
    return sha256((files("carna") / "models" / name).read_bytes())


@cache
def _packages() -> Mapping[str, str]:
    found = {}
    for name in ("carna", "numpy", "scipy", "pydicom"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return MappingProxyType(found)
