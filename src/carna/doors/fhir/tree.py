"""JSON that may be anything: look without ever falling over a wrong type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from carna.errors import InputError

Node = Mapping[str, Any]
_MAX_DEPTH = 4  # bundles in bundles, contained resources


def parse(data: bytes) -> Any:
    """Return the JSON of a file; NaN and Infinity are no JSON.

    Raises
    ------
    InputError
        If it's broken or nested without end.
    """
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"broken JSON: {error}", needed="a whole FHIR file", fix="send it again") from error


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def node(given: Node, key: str) -> Node:
    """Return the object under a key, or the first of a list of them; empty if there is none."""
    found = nodes(given, key)
    return found[0] if found else {}


def nodes(given: Node, key: str) -> list[Node]:
    """Return the objects under a key, be it one or a list; what isn't an object is left out."""
    value = given.get(key)
    many = value if isinstance(value, list) else [value]
    return [one for one in many if isinstance(one, dict)]


def text(given: Node, *keys: str) -> str:
    """Return the first text under one of the keys, "" if there is none."""
    for key in keys:
        value = given.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""


def resources(given: Any, depth: int = 0) -> list[tuple[str, Node]]:
    """Return every resource with the URL it goes by: of a bundle, of bundles in it, contained ones."""
    if not isinstance(given, dict) or depth > _MAX_DEPTH:
        return []
    if given.get("resourceType") != "Bundle":
        return [("", given), *_contained(given, depth)]
    found: list[tuple[str, Node]] = []
    for entry in nodes(given, "entry"):
        inside = resources(entry.get("resource"), depth + 1)
        found += [(text(entry, "fullUrl"), one[1]) if not n else one for n, one in enumerate(inside)]
    return found


def _contained(given: Node, depth: int) -> list[tuple[str, Node]]:
    """Return contained resources; one that names no subject speaks of its container's."""
    subject = {key: given[key] for key in ("subject", "patient") if key in given}
    return [one for inner in nodes(given, "contained") for one in resources({**subject, **inner}, depth + 1)]
