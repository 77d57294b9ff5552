"""The audit trail: who did what to what, each line chained to the one before by its hash.

A line that is changed, removed or slipped in breaks the chain from there on; `Audit.broken` says where. The
end of the chain can be cut off unnoticed unless its last hash is kept elsewhere: `Audit.end` is for that.
No value of a patient but identifiers of studies is written.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any, Final, final

from sqlalchemy import Engine, insert, select

from carna.node.catalogue.schema import AUDIT

_FIELDS: Final = ("at", "who", "did", "to", "outcome", "detail")


@final
class Audit:
    """The trail in a catalogue's database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()

    def write(self, who: str, did: str, to: str = "", outcome: str = "success", detail: str = "") -> None:
        """Add a line."""
        line = {"at": round(time.time(), 3), "who": who, "did": did, "to": to, "outcome": outcome}
        line["detail"] = detail
        with self._lock, self._engine.begin() as connection:
            # The writer's lock is held from BEGIN on (SQLite); PostgreSQL is told to lock the table.
            if self._engine.dialect.name == "postgresql":
                connection.exec_driver_sql("LOCK TABLE audit IN EXCLUSIVE MODE")
            newest = select(AUDIT.c.chain).order_by(AUDIT.c.id.desc()).limit(1)
            before = connection.execute(newest).scalar() or ""
            connection.execute(insert(AUDIT).values(**line, chain=_chained(before, line)))

    def lines(self, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        """Return lines in order, from the one after a number on."""
        asked = select(AUDIT).where(AUDIT.c.id > after).order_by(AUDIT.c.id).limit(limit)
        with self._engine.connect().execution_options(reading=True) as connection:
            return [dict(row._mapping) for row in connection.execute(asked)]

    def end(self) -> str:
        """Return the hash of the last line, "" of an empty trail."""
        newest = select(AUDIT.c.chain).order_by(AUDIT.c.id.desc()).limit(1)
        with self._engine.connect().execution_options(reading=True) as connection:
            return connection.execute(newest).scalar() or ""

    def broken(self) -> int | None:
        """Return the number of the first line that does not follow from the one before, None if all do."""
        before, expected = "", 1
        for line in self._all():
            if line["chain"] != _chained(before, line) or line["id"] != expected:
                return int(line["id"])
            before, expected = line["chain"], expected + 1
        return None

    def _all(self) -> Iterator[dict[str, Any]]:
        last = 0
        while page := self.lines(last):
            yield from page
            last = page[-1]["id"]


def _chained(before: str, line: dict[str, Any]) -> str:
    body = json.dumps([line[name] for name in _FIELDS], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(f"{before}\n{body}".encode()).hexdigest()
