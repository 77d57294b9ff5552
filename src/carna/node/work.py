"""Durable work: a study that is whole is decided on, run and sent, whatever crashes in between (DBOS).

A run is named by what it is made of: the study's version, the applications, their settings. Asking twice runs
once; a late instance makes another version and so another run. Each step may happen twice after a crash and
then does the same again: results are written as whole folders under the run's name, objects carry UIDs that
follow from their content, and a delivery that was acknowledged is not sent again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, Final, final

from dbos import DBOS, DBOSConfiguredInstance, Queue, SetEnqueueOptions, SetWorkflowID
from sqlalchemy import insert, select, update

from carna.errors import CarnaError, InputError
from carna.node.catalogue import query
from carna.node.catalogue.intake import said
from carna.node.catalogue.schema import DELIVERY, RUN, SERIES, STUDY
from carna.node.deliver import send, to_send
from carna.node.job import study_of
from carna.node.rules import Decision, decide
from carna.node.station import Station

_LOG = logging.getLogger(__name__)
LINE: Final = "carna-studies"
_TRIES: Final = 3  # of a run whose process died: then it is set aside as poison
_LOOK_S: Final = 0.25
_PRIORITY: Final = {"stat": 1, "urgent": 2, "routine": 3}
_WAITS_S: Final = (2.0, 5.0, 15.0, 60.0, 300.0)  # between two tries of a delivery; the last again and again
_GIVE_UP_S: Final = 7 * 86400.0


@DBOS.dbos_class()
@final
class Work(DBOSConfiguredInstance):
    """The work of one station: one at a time in a process.

    Parameters
    ----------
    station : Station
    """

    def __init__(self, station: Station) -> None:
        self.station = station
        self._stop = threading.Event()
        self._running: dict[str, subprocess.Popen[str]] = {}
        url = station.config.url if station.config.database else f"sqlite:///{station.home / 'work.db'}"
        DBOS(
            config={
                "name": "carna-station",
                "system_database_url": url,
                "log_level": "WARNING",
                "application_version": "1",
            }
        )
        # The same at the next start, so that what was begun finds its station again.
        super().__init__(config_name=station.uid)
        self._watcher = threading.Thread(target=self._watch, name="carna-watch", daemon=True)

    def start(self) -> None:
        """Go on with what was begun, and watch for studies that are whole."""
        DBOS.launch()
        workers = self.station.config.workers
        self._queue: Queue = DBOS.register_queue(LINE, worker_concurrency=workers, polling_interval_sec=0.1)
        self._watcher.start()

    def stop(self) -> None:
        """Stop; what is running goes on at the next start."""
        self._stop.set()
        self._watcher.join(timeout=10)
        for process in list(self._running.values()):
            process.kill()
        DBOS.destroy(workflow_completion_timeout_sec=0)

    # ---- deciding --------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_S):
            quiet = time.time() - self.station.config.quiet_s
            ready = select(STUDY.c.uid).where((STUDY.c.state == "receiving") & (STUDY.c.last_at < quiet))
            with self.station.reading() as connection:
                uids = connection.execute(ready.order_by(STUDY.c.last_at).limit(100)).scalars().all()
            for uid in uids:
                try:
                    self.decide(uid)
                except CarnaError as error:
                    self._decided(uid, "unreadable", (str(error),))
                except Exception as error:  # noqa: BLE001 - a bug of one study must not end the watch
                    _LOG.exception("deciding on study %s", uid)
                    self._decided(uid, "unreadable", (f"{type(error).__name__}: {error}",))

    def decide(self, study: str) -> Decision:
        """Decide what becomes of a study, write it down and begin it."""
        decision = explained(self.station, study)
        self._decided(study, "decided", decision.why)
        if decision.run:
            self.order(study, {"run": decision.run, "send": decision.send}, decision.priority)
        return decision

    def _decided(self, study: str, state: str, why: tuple[str, ...]) -> None:
        with self.station.writing() as connection:
            connection.execute(
                update(STUDY).where(STUDY.c.uid == study).values(state=state, decided="\n".join(why))
            )
            said(connection, "study", study, state)

    # ---- running ---------------------------------------------------------------------------------

    def order(self, study: str, order: Mapping[str, Any], priority: str = "routine") -> str:
        """Order a run of a study's present version; return its UID. The same order twice is one run."""
        version = self.station.version(study)
        body = json.dumps(dict(order), sort_keys=True, default=list)
        uid = hashlib.sha256(f"{study}\n{version}\n{body}".encode()).hexdigest()[:32]
        with self.station.writing() as connection:
            if connection.execute(select(RUN.c.id).where(RUN.c.uid == uid)).first() is None:
                row = {
                    "uid": uid,
                    "study_uid": study,
                    "version": version,
                    "order": body,
                    "state": "scheduled",
                }
                connection.execute(insert(RUN).values(**row, asked_at=time.time()))
                said(connection, "run", uid, "scheduled")
        with SetWorkflowID(uid), SetEnqueueOptions(priority=_PRIORITY[priority]):
            self._queue.enqueue(self.whole, uid)
        return uid

    def cancel(self, uid: str) -> None:
        """Cancel a run that is not done; what it has sent stays sent."""
        self._state(uid, "cancelled", ended_at=time.time())
        process = self._running.get(uid)
        if process is not None:
            process.kill()

    # However often the station is killed: after 100 times DBOS would let a run lie for ever.
    @DBOS.workflow(max_recovery_attempts=None)
    def whole(self, uid: str) -> str:
        """Make the results of a run, then send each where it goes, however long a place is away."""
        state = str(self.made(uid))
        if state != "made":
            return state
        begun = time.time()
        for n in range(10_000):
            waiting = int(self.sent(uid))
            if not waiting:
                break
            if time.time() - begun > _GIVE_UP_S:
                break
            DBOS.sleep(_WAITS_S[min(n, len(_WAITS_S) - 1)])
        return str(self.ended(uid))

    @DBOS.step()
    def made(self, uid: str) -> str:
        """Make the results, in a process of its own with its limits; return the state."""
        row = self.station.run(uid)
        if row["state"] in ("cancelled", "completed", "failed"):
            return str(row["state"])
        why = ""
        for tries in range(int(row["tries"]), _TRIES):
            # Counted when the run's own process dies: that the station was killed is not the study's fault.
            self._state(uid, "running", tries=tries, begun_at=time.time(), progress=0.0)
            result, why = self._process(uid)
            if self.station.run(uid)["state"] == "cancelled":
                return "cancelled"
            if result is not None:
                failed = str(result.pop("failed", ""))
                # A bug of one application is no reason to keep back what the others found.
                if not result.get("findings") and failed:
                    self._state(uid, "failed", why=failed, result=json.dumps(result), ended_at=time.time())
                    return "failed"
                self._state(uid, "made", why=failed, result=json.dumps(result), progress=1.0)
                self._deliveries(uid, result)
                return "made"
            self._state(uid, "running", tries=tries + 1, why=why)
        self._state(uid, "failed", why=f"set aside after {_TRIES} tries: {why}", ended_at=time.time())
        return "failed"

    @DBOS.step()
    def sent(self, uid: str) -> int:
        """Try every delivery of a run that is still to be made; return how many remain."""
        with self.station.reading() as connection:
            where = (DELIVERY.c.run_uid == uid) & (DELIVERY.c.state == "waiting")
            rows = [dict(r._mapping) for r in connection.execute(select(DELIVERY).where(where))]
        folder = self.station.results / uid
        for place in sorted({r["place"] for r in rows}):
            mine = [r for r in rows if r["place"] == place]
            outcome = send(self.station.config, place, folder, mine)
            with self.station.writing() as connection:
                for row in mine:
                    state, why = outcome[row["file"]]
                    values = {"state": state, "why": why, "tries": row["tries"] + 1, "at": time.time()}
                    connection.execute(update(DELIVERY).where(DELIVERY.c.id == row["id"]).values(**values))
                said(connection, "delivery", uid, place)
            for row in mine:
                state, why = outcome[row["file"]]
                if state != "waiting":
                    self.station.audit.write("station", "send", f"{place}: {row['uid']}", state, why)
            rows = [r for r in rows if r["place"] != place or outcome[r["file"]][0] == "waiting"]
        return len(rows)

    @DBOS.step()
    def ended(self, uid: str) -> str:
        """Close a run."""
        self._state(uid, "completed", ended_at=time.time())
        return "completed"

    def _process(self, uid: str) -> tuple[dict[str, Any] | None, str]:
        config = self.station.config
        command = [sys.executable, "-m", "carna.node.job", str(self.station.home), uid]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._running[uid] = process
        watch = threading.Timer(config.minutes * 60.0, process.kill)
        watch.start()
        last: dict[str, Any] = {}
        with process:
            assert process.stdout is not None and process.stderr is not None
            for line in process.stdout:
                try:
                    last = json.loads(line)
                except ValueError:
                    continue
                if "done" in last:
                    self._progress(uid, float(last["done"]))
            error = process.stderr.read()
        code = process.returncode
        late = not watch.is_alive()
        watch.cancel()
        self._running.pop(uid, None)
        if code in (0, 1) and ("files" in last or "failed" in last):
            return last, ""
        if late:
            return None, f"took longer than {config.minutes:g} minutes"
        tail = (error.strip().splitlines() or [""])[-1][:300]
        return None, f"its process ended with {code}: {tail or 'no word'}; {config.memory_mb} MB were allowed"

    def _progress(self, uid: str, done: float) -> None:
        with self.station.writing() as connection:
            connection.execute(update(RUN).where(RUN.c.uid == uid).values(progress=done))
            said(connection, "progress", uid, f"{done:.3f}")

    def _state(self, uid: str, state: str, **values: Any) -> None:
        with self.station.writing() as connection:
            connection.execute(update(RUN).where(RUN.c.uid == uid).values(state=state, **values))
            said(connection, "run", uid, state)

    def _deliveries(self, uid: str, result: Mapping[str, Any]) -> None:
        order = json.loads(self.station.run(uid)["order"])
        with self.station.writing() as connection:
            sent = select(DELIVERY.c.place, DELIVERY.c.file).where(DELIVERY.c.run_uid == uid)
            have = {(place, file) for place, file in connection.execute(sent)}
            for name in order["send"]:
                place = self.station.config.places[name]
                for row in to_send(place, self.station.results / uid, result):
                    if (name, row["file"]) not in have:
                        connection.execute(insert(DELIVERY).values(run_uid=uid, at=time.time(), **row))


def explained(station: Station, study: str) -> Decision:
    """Return what would become of a study, and why, without doing it."""
    with study_of(station, study) as case:
        return decide(station.config, told(station, study), case)


def told(station: Station, study: str) -> dict[str, Any]:
    """Return what the rules may ask about a study."""
    with station.reading() as connection:
        rows = query.find(connection, query.Question("STUDY", {"StudyInstanceUID": study}))
        more = connection.execute(
            select(STUDY.c.priority, SERIES.c.modality, SERIES.c.description, SERIES.c.body_part)
            .join(SERIES, SERIES.c.study_id == STUDY.c.id)
            .where(STUDY.c.uid == study)
        ).all()
        files = query.instances(connection, {"StudyInstanceUID": [study]})
    if not rows:
        raise InputError(f"no study {study}", needed="one that was received")
    return rows[0] | {
        "Modality": tuple(sorted({r.modality for r in more})),
        "SeriesDescription": tuple(sorted({r.description for r in more})),
        "BodyPartExamined": tuple(sorted({r.body_part for r in more})),
        "Priority": more[0].priority if more else "",
        "Source": tuple(sorted({r.source for r in files})),
    }
