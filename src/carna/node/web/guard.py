"""Who is at the web's door: token, password or session; what is not allowed is refused and written down."""

from __future__ import annotations

import base64
import binascii
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import Depends, HTTPException, Request

from carna.node.accounts import CORRECT, GOVERN, LOCAL, OPERATE, SEE, Accounts, Who
from carna.node.config import LOOPBACK
from carna.node.station import Station

_FAILURES: Final = 10  # wrong passwords of an address within the time below; then it must wait
_FORGET_S: Final = 300.0
_REMEMBERED: Final = 60.0  # a password that was right is not hashed again for so long
SESSION: Final = "carna_session"


class Guard:
    """Knows who a request comes from."""

    def __init__(self, station: Station, accounts: Accounts) -> None:
        self.station = station
        self.accounts = accounts
        self._failed: OrderedDict[str, list[float]] = OrderedDict()
        self._known: OrderedDict[str, tuple[float, Who]] = OrderedDict()

    def who(self, request: Request) -> Who:
        """Return who a request comes from.

        Raises
        ------
        HTTPException
            401 where a login is needed or wrong, 429 after too many wrong ones.
        """
        address = request.client.host if request.client else ""
        given = request.headers.get("authorization", "")
        if not given and (session := request.cookies.get(SESSION)):
            given = f"Bearer {session}"
        if not given:
            local = address in LOOPBACK or address == "testclient"
            if self.station.config.local and local and not self.accounts.any():
                return LOCAL
            raise HTTPException(401, "a login is needed", {"WWW-Authenticate": 'Basic realm="Carna"'})
        kept = self._known.get(given)
        if kept is not None and kept[0] > time.time():
            return kept[1]
        if self._waits(address):
            raise HTTPException(
                429, "too many wrong logins; try again in five minutes", {"Retry-After": "300"}
            )
        who = self._told(given)
        if who is None:
            self._failed.setdefault(address, []).append(time.time())
            self.station.audit.write(f"web@{address}", "login", "", "refused")
            raise HTTPException(
                401, "name, password or token are wrong", {"WWW-Authenticate": 'Basic realm="Carna"'}
            )
        self._known[given] = (time.time() + _REMEMBERED, who)
        while len(self._known) > 1000:
            self._known.popitem(last=False)
        return who

    def _told(self, given: str) -> Who | None:
        scheme, _, rest = given.partition(" ")
        if scheme.lower() == "bearer":
            return self.accounts.by_token(rest.strip())
        if scheme.lower() == "basic":
            try:
                name, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return None
            return self.accounts.by_password(name, password)
        return None

    def _waits(self, address: str) -> bool:
        recent = [t for t in self._failed.get(address, []) if t > time.time() - _FORGET_S]
        self._failed[address] = recent
        while len(self._failed) > 10_000:
            self._failed.popitem(last=False)
        return len(recent) >= _FAILURES


def station_of(request: Request) -> Station:
    """Return the station that a request is served by."""
    station: Station = request.app.state.station
    return station


def may(right: str) -> Callable[[Request], Who]:
    """Return a dependency that lets pass who holds a right."""

    def pass_if(request: Request) -> Who:
        guard: Guard = request.app.state.guard
        who = guard.who(request)
        if not who.may(right):
            guard.station.audit.write(who.name, "refused", f"{request.method} {request.url.path}", "refused")
            raise HTTPException(403, f"role {who.role} may not do this: {right} is needed")
        return who

    return pass_if


Here = Annotated[Station, Depends(station_of)]
Seer = Annotated[Who, Depends(may(SEE))]
Corrector = Annotated[Who, Depends(may(CORRECT))]
Operator = Annotated[Who, Depends(may(OPERATE))]
Governor = Annotated[Who, Depends(may(GOVERN))]
