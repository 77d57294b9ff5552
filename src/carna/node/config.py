"""How a station is set up: one readable file, ``station.toml`` in its folder; every line has a default.

::

    [station]
    title = "CARNA"            # its own AE title
    host = "127.0.0.1"         # who may reach it: this machine alone, until another address is written here
    dicom_port = 11112
    web_port = 8042
    quiet_s = 10.0             # a study is whole when nothing came for so long
    workers = 1                # studies worked on at once
    memory_mb = 4096           # of one run
    minutes = 30               # of one run

    [peers.PACS]               # another node; its name is its AE title
    host = "10.0.0.5"
    port = 104
    may = ["echo", "store", "find", "get", "move", "commit"]

    [places.pacs]              # where results go
    peer = "PACS"              # by DICOM; or folder = "...", stow = "https://...", fhir = "https://..."
    formats = ["sr", "seg"]
    research = false           # whether results not validated on patients may go there

    [[rules]]
    name = "cine MRI"
    when = { Modality = "MR", StudyDescription = "*heart*" }
    run = ["*"]                # every application that is ready
    send = ["pacs"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeVar

from carna.errors import InputError
from carna.node.dimse.keeper import SERVICES

_T = TypeVar("_T")
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "tuple": (tuple,),
}
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Peer:
    """Another DICOM node, by its AE title."""

    title: str
    host: str
    port: int
    may: tuple[str, ...] = SERVICES


@dataclass(frozen=True, slots=True)
class Place:
    """Where results go: exactly one of ``peer``, ``folder``, ``stow``, ``fhir`` is given.

    Parameters
    ----------
    name : str
    peer : str
        AE title of a peer that takes C-STORE.
    folder : str
        A folder that takes files.
    stow, fhir : str
        Base URL of a DICOMweb or FHIR server.
    formats : tuple of str
        Of `carna.render.FORMATS`.
    research : bool
        Whether it takes results that are not validated on patients: all of today's are such.
    """

    name: str
    peer: str = ""
    folder: str = ""
    stow: str = ""
    fhir: str = ""
    formats: tuple[str, ...] = ("sr", "seg")
    research: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done with a study: ``when`` maps attribute keywords to patterns with ``*`` and ``?``."""

    name: str
    when: Mapping[str, str] = field(default_factory=dict)
    run: tuple[str, ...] = ("*",)
    leave: tuple[str, ...] = ()
    send: tuple[str, ...] = ()
    priority: str = "routine"


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file; see the module."""

    home: Path
    title: str = "CARNA"
    host: str = "127.0.0.1"
    dicom_port: int = 11112
    web_port: int = 8042
    database: str = ""
    quiet_s: float = 10.0
    workers: int = 1
    memory_mb: int = 4096
    minutes: float = 30.0
    reserve_mb: int = 256
    quota_mb: int = 0
    strangers: tuple[str, ...] | None = None
    peers: Mapping[str, Peer] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    rules: tuple[Rule, ...] = (Rule("everything that is ready"),)

    @property
    def url(self) -> str:
        """Of the catalogue's database."""
        return self.database or f"sqlite:///{self.home / 'catalogue.db'}"

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK

    def may(self, title: str) -> tuple[str, ...]:
        """Return the services an AE title may ask for; strangers none, but from this machine alone all."""
        if title in self.peers:
            return self.peers[title].may
        if self.strangers is not None:
            return self.strangers
        return SERVICES if self.local else ()


def load(home: Path) -> Config:
    """Read ``home/station.toml``; without one everything is as the defaults say.

    Raises
    ------
    InputError
        An unknown name, a value of the wrong kind, a rule that sends to no place.
    """
    path = home / "station.toml"
    if not path.exists():
        return Config(home)
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}", needed="TOML", fix="mend that line") from error
    return parsed(body, home, str(path))


def parsed(body: Mapping[str, Any], home: Path, where: str = "station.toml") -> Config:
    """Return the configuration a parsed file says; errors as `load`."""
    for name in body:
        if name not in ("station", "peers", "places", "rules"):
            raise InputError(f"{where}: [{name}]", needed="[station], [peers.X], [places.X] or [[rules]]")
    given = dict(body.get("station", {}))
    if "strangers" in given:
        given["strangers"] = tuple(given["strangers"])
    peers = {
        t: _made(Peer, {"title": t} | one, f"{where}: [peers.{t}]")
        for t, one in body.get("peers", {}).items()
    }
    places = {
        n: _made(Place, {"name": n} | one, f"{where}: [places.{n}]")
        for n, one in body.get("places", {}).items()
    }
    rules = tuple(_made(Rule, one, f"{where}: rule {n}") for n, one in enumerate(body.get("rules", []), 1))
    given |= {"peers": peers, "places": places}
    if rules:
        given["rules"] = rules
    config = _made(Config, {"home": home} | given, f"{where}: [station]")
    _check(config, where)
    return config


def _check(config: Config, where: str) -> None:
    from carna.app import applications
    from carna.render import FORMATS

    for place in config.places.values():
        if sum(map(bool, (place.peer, place.folder, place.stow, place.fhir))) != 1:
            raise InputError(f"{where}: [places.{place.name}]", needed="one of peer, folder, stow, fhir")
        if place.peer and place.peer not in config.peers:
            raise InputError(
                f"{where}: place {place.name} names peer {place.peer!r}", needed=f"[peers.{place.peer}]"
            )
        for name in place.formats:
            if name not in FORMATS:
                raise InputError(f"{where}: format {name!r}", needed=", ".join(FORMATS))
    for peer in config.peers.values():
        for service in peer.may:
            if service not in SERVICES:
                raise InputError(f"{where}: {peer.title} may {service!r}", needed=", ".join(SERVICES))
    for rule in config.rules:
        for name in rule.send:
            if name not in config.places:
                raise InputError(f"{where}: rule {rule.name!r} sends to {name!r}", needed=f"[places.{name}]")
        for name in (*rule.run, *rule.leave):
            if name != "*" and name not in applications():
                raise InputError(
                    f"{where}: rule {rule.name!r} runs {name!r}", needed=", ".join(applications())
                )
        if rule.priority not in ("stat", "urgent", "routine"):
            raise InputError(f"{where}: priority {rule.priority!r}", needed="stat, urgent or routine")


def _made(kind: type[_T], given: Mapping[str, Any], where: str) -> _T:
    """Return a dataclass of a table of the file; lists become tuples, kinds are checked."""
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise InputError(f"{where}: {name}", needed=", ".join(known), fix="mend or remove that line")
        values[name] = tuple(value) if isinstance(value, list) else value
        wanted = str(known[name].type).split("[")[0]
        kinds = _KINDS.get(wanted, ())
        if kinds and (not isinstance(values[name], kinds) or (bool not in kinds and isinstance(value, bool))):
            raise InputError(f"{where}: {name} = {value!r}", needed=f"a {wanted}")
    try:
        return kind(**values)
    except TypeError as error:
        raise InputError(f"{where}: {error}", needed="every name that has no default") from error
