"""Which applications run on a study, and where their results go: decided by the station's rules, explained.

The first rule whose every condition holds decides. What it names runs if it is ready; what is not ready, and
why not, is part of the answer, so that ``carna rules`` on a study says what would happen before it does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from carna.app import applications, ready
from carna.case import Case
from carna.node.config import Config, Place, Rule

PRIORITIES: Final = ("stat", "urgent", "routine")


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a study.

    Parameters
    ----------
    rule : str
        Name of the rule that decided; "" if none did.
    run : tuple of str
        Applications, ready or waiting for what another of them finds.
    send : tuple of str
        Places.
    why : tuple of str
        A sentence for every rule that was looked at, and every application that does not run.
    priority : str
        ``stat``, ``urgent`` or ``routine``: from the order, or from the rule; never from a model.
    """

    rule: str
    run: tuple[str, ...]
    send: tuple[str, ...]
    why: tuple[str, ...]
    priority: str


def decide(config: Config, told: Mapping[str, Any], case: Case | None = None) -> Decision:
    """Decide on a study.

    Parameters
    ----------
    config : Config
    told : mapping
        Attributes of the study by keyword: those of its row in the catalogue, ``Modality`` of all its series,
        ``Source`` it came from (``dicom:AE@address``), ``Priority`` of its order.
    case : Case, optional
        The study as it was read; without it nobody knows what is ready, and everything named runs.
    """
    why: list[str] = []
    for rule in config.rules:
        missed = _missed(rule, told)
        if missed:
            why.append(f"not rule {rule.name!r}: {missed}")
            continue
        why.append(f"rule {rule.name!r}: {_met(rule)}")
        run = _run(rule, case, why)
        priority = str(told.get("Priority") or rule.priority)
        return Decision(
            rule.name, run, rule.send, tuple(why), priority if priority in PRIORITIES else "routine"
        )
    why.append("no rule holds: the study is kept, nothing runs")
    return Decision("", (), (), tuple(why), "routine")


def permitted(place: Place, *, validated: bool) -> str:
    """Return why a place may not take a result, "" if it may."""
    if not validated and not place.research:
        return (
            f"place {place.name} takes no research results; write research = true there to open it for them"
        )
    return ""


def _missed(rule: Rule, told: Mapping[str, Any]) -> str:
    """Return the first condition that does not hold, "" if all do."""
    for keyword, pattern in rule.when.items():
        values = _values(told.get(keyword, ""))
        if not any(_like(str(pattern), value) for value in values):
            return f"{keyword} is {', '.join(values) or 'not told'}, not {pattern}"
    return ""


def _met(rule: Rule) -> str:
    return ", ".join(f"{k} is {v}" for k, v in rule.when.items()) or "it holds for every study"


def _run(rule: Rule, case: Case | None, why: list[str]) -> tuple[str, ...]:
    known = applications()
    named = tuple(known) if "*" in rule.run else rule.run
    run = []
    for name in named:
        if name in rule.leave:
            why.append(f"not {name}: the rule leaves it out")
            continue
        reason = "" if case is None else ready(known[name], case, case.studies[0].uid)
        # What needs another's findings becomes ready when that one has run.
        if reason and "*" in rule.run and not _waits(reason):
            why.append(f"not {name}: {reason}")
            continue
        why.append(f"would run {name}" + (f" once it can: {reason}" if reason else ""))
        run.append(name)
    return tuple(run)


def _waits(reason: str) -> bool:
    return "finding" in reason or "findings" in reason


def _values(value: Any) -> list[str]:
    if isinstance(value, str):
        return [v for v in value.split("\\") if v]
    return [str(v) for v in value] if isinstance(value, (list, tuple, set, frozenset)) else [str(value)]


def _like(pattern: str, value: str) -> bool:
    parts = {"*": ".*", "?": "."}
    wild = "".join(parts.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(wild, value, re.IGNORECASE | re.DOTALL) is not None
