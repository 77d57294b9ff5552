"""Who may do what: accounts with a role, passwords hashed by argon2, tokens kept as their hash alone.

::

    viewer      see studies, results, pictures
    researcher  see what was de-identified for the projects of the account, nothing else
    reader      a viewer who accepts, rejects and corrects findings
    operator    a reader who runs applications, sends, decides on what was put aside
    admin       everything, accounts and the audit trail too

A station that only its own machine can reach, and that has no account, needs no login.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import Engine, func, insert, select, update

from carna.errors import InputError
from carna.node.catalogue.schema import ACCOUNT, TOKEN

SEE, RESEARCH, CORRECT, OPERATE, GOVERN = "see", "research", "correct", "operate", "govern"
ROLES: Final[Mapping[str, frozenset[str]]] = {
    "viewer": frozenset({SEE}),
    "researcher": frozenset({RESEARCH}),
    "reader": frozenset({SEE, CORRECT}),
    "operator": frozenset({SEE, CORRECT, OPERATE}),
    "admin": frozenset({SEE, RESEARCH, CORRECT, OPERATE, GOVERN}),
}
_SHORTEST: Final = 10


@dataclass(frozen=True, slots=True)
class Who:
    """A person or program at the door."""

    name: str
    role: str
    projects: tuple[str, ...] = ()

    def may(self, what: str) -> bool:
        """Whether its role holds a right."""
        return what in ROLES[self.role]


LOCAL: Final = Who("local", "admin")


@final
class Accounts:
    """The accounts in a catalogue's database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._hasher = PasswordHasher()
        # A wrong name must cost as much time as a wrong password.
        self._nobody = self._hasher.hash(secrets.token_hex())

    def any(self) -> bool:
        """Whether there is an account."""
        with self._engine.connect().execution_options(reading=True) as connection:
            return bool(connection.execute(select(func.count()).select_from(ACCOUNT)).scalar())

    def add(self, name: str, password: str, role: str, projects: tuple[str, ...] = ()) -> None:
        """Add an account.

        Raises
        ------
        InputError
            A role that is none, a password under 10 characters, a name that is taken or empty.
        """
        if role not in ROLES:
            raise InputError(f"role {role!r}", needed=", ".join(ROLES))
        if len(password) < _SHORTEST:
            raise InputError("a short password", needed=f"{_SHORTEST} characters or more")
        if not name.strip() or ":" in name:
            raise InputError(f"account name {name!r}", needed="a name without a colon")
        row = {"name": name, "hash": self._hasher.hash(password), "role": role, "state": "open"}
        with self._engine.begin() as connection:
            if connection.execute(select(ACCOUNT.c.id).where(ACCOUNT.c.name == name)).first():
                raise InputError(f"an account {name!r} is there already", needed="another name")
            connection.execute(insert(ACCOUNT).values(**row, projects=",".join(projects), at=time.time()))

    def close(self, name: str) -> None:
        """Close an account: it stays in the trail, nobody enters with it."""
        with self._engine.begin() as connection:
            connection.execute(update(ACCOUNT).where(ACCOUNT.c.name == name).values(state="closed"))

    def by_password(self, name: str, password: str) -> Who | None:
        """Return who this is, None if name or password are wrong."""
        with self._engine.connect().execution_options(reading=True) as connection:
            row = connection.execute(select(ACCOUNT).where(ACCOUNT.c.name == name)).first()
        try:
            self._hasher.verify(self._nobody if row is None else row.hash, password)
        except VerificationError:
            return None
        return None if row is None or row.state != "open" else _who(row)

    def token(self, name: str, label: str, days: float = 90.0, scope: str = "") -> str:
        """Make a token of an account, shown this once; ``scope`` may narrow its role."""
        if scope and scope not in ROLES:
            raise InputError(f"scope {scope!r}", needed=", ".join(ROLES))
        text = f"carna_{secrets.token_urlsafe(32)}"
        with self._engine.begin() as connection:
            found = connection.execute(select(ACCOUNT.c.id).where(ACCOUNT.c.name == name)).scalar()
            if found is None:
                raise InputError(f"no account {name!r}", needed="one that is there")
            row = {"account_id": found, "name": label, "digest": _digest(text), "scope": scope}
            connection.execute(insert(TOKEN).values(**row, until=time.time() + 86400 * days, at=time.time()))
        return text

    def by_token(self, text: str) -> Who | None:
        """Return whose token this is, None if it is none or too old."""
        asked = (
            select(ACCOUNT, TOKEN.c.scope, TOKEN.c.until)
            .join(TOKEN, TOKEN.c.account_id == ACCOUNT.c.id)
            .where(TOKEN.c.digest == _digest(text))
        )
        with self._engine.connect().execution_options(reading=True) as connection:
            row = connection.execute(asked).first()
        if row is None or row.state != "open" or row.until < time.time():
            return None
        who = _who(row)
        narrow = row.scope and ROLES[row.scope] <= ROLES[who.role]
        return Who(who.name, row.scope, who.projects) if narrow else who


def _who(row: object) -> Who:
    name, role, projects = (str(getattr(row, key)) for key in ("name", "role", "projects"))
    return Who(name, role, tuple(p for p in projects.split(",") if p))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
