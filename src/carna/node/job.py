"""One run in a process of its own: ``python -m carna.node.job HOME RUN``. A bug or a hunger kills it alone.

It reads the study's files from the store, runs what the run's order says and writes ``HOME/results/RUN``. On
its standard output it says, line by line in JSON, how far it is and at the end what was made.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from carna.case import Case
from carna.errors import CarnaError, InputError
from carna.node.folder import Order, make
from carna.node.station import Station
from carna.progress import Progress


def main(home: Path, uid: str) -> int:
    """Make one run; return 0 when it is done, 1 when it failed."""
    station = Station(home)
    memory = station.config.memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    os.nice(5)  # the doors come first
    try:
        said = _make(station, uid)
    except CarnaError as error:
        said = {"failed": str(error)}
    finally:
        station.close()
    _say(said)
    return 1 if said.get("failed") else 0


@contextmanager
def study_of(station: Station, uid: str) -> Iterator[Case]:
    """Give the case of one study as the store holds it; its pixels can be read within the ``with``.

    Raises
    ------
    InputError
        Nothing of it can be read.
    """
    from carna.doors import read

    with tempfile.TemporaryDirectory(prefix="carna-") as folder:
        for path, name in station.named_files(uid):
            # The doors tell formats by names too: files come back under those they were sent with.
            (Path(folder) / name).symlink_to(path.resolve())
        reading = read(Path(folder))
        for case in reading.cases:
            if any(study.uid == uid for study in case.studies):
                yield case.only(uid)
                return
    why = "; ".join(f"{p.file}: {p.found}" for p in reading.problems[:3])
    raise InputError(f"study {uid} can't be read: {why or 'nothing in it'}", needed="readable files")


def _make(station: Station, uid: str) -> dict[str, Any]:
    row = station.run(uid)
    order = json.loads(row["order"])
    formats = {f for name in order["send"] for f in station.config.places[name].formats} | {"json", "html"}
    asked = Order(
        tuple(order["run"]), order.get("settings", {}), order.get("choose", {}), tuple(sorted(formats))
    )
    progress = Progress(lambda done, what: _say({"done": round(done, 4), "what": what}))
    with study_of(station, row["study_uid"]) as case:
        made = make(case, row["study_uid"], station.results / uid, asked, progress)
    return {
        "files": [str(Path(f).relative_to(station.results / uid)) for f in made.files],
        "findings": [dict(f) for f in made.findings],
        "not_run": dict(made.not_run),
        "problems": [f"{p.file}: {p.found}" for p in made.problems],
        "failed": "; ".join(p.found for p in made.problems) if made.failed else "",
    }


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what, default=str) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(_name, "1")
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
