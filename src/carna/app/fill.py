"""Which part or finding fills a need, and why another does not.

Findings: a human correction before a signed prior before our newest run before an unsigned
prior; what a person corrected or rejected fills nothing any more. Parts: the one that
fits; of a plane that was repeated, the newest; of what was recorded earlier, the newest. Two that
fit equally well are refused with the question that would decide: nothing is chosen because it
came first. A part whose header has no time carries that of its study.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final, get_args

from carna.app.declare import Application, Slot
from carna.case import Case
from carna.errors import NeedError
from carna.findings import Findings, Item
from carna.study import Cine, Fingerprint, Image, Origin, Part, Planes, Record, Study, fingerprint

NO_CHOICE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """What an application is called with: arguments, the UIDs each came from, the repeats left out."""

    arguments: Mapping[str, Any]
    uids: Mapping[str, tuple[str, ...]]
    repeated: Mapping[str, tuple[str, ...]]


def ready(app: Application, case: Case, study: str) -> str:
    """Return why an application can't run on a study unasked, "" if it can."""
    try:
        fill(app, case, study, asked=False)
    except NeedError as error:
        return str(error)
    return ""


def fill(
    app: Application, case: Case, study: str, choose: Mapping[str, str] = NO_CHOICE, *, asked: bool = True
) -> Filled:
    """Return the arguments for an application from a case.

    Parameters
    ----------
    choose : mapping
        Slot name to part UID, or to the UID of findings, where a person has decided.
    asked : bool
        Whether a person named this application: then a part that does not say what it is of is taken.

    Raises
    ------
    NeedError
        If a need is not met, or is met twice equally well.
    """
    examined = case.study(study)
    prints = {p.origin.uid: fingerprint(p, examined) for p in examined.parts}
    arguments: dict[str, Any] = {}
    uids: dict[str, tuple[str, ...]] = {}
    repeated: dict[str, tuple[str, ...]] = {}
    for slot in app.slots:
        said = _said(slot, case, study, choose.get(slot.name), frozenset(prints))
        if said is not None:
            arguments[slot.name] = _one_or_many(slot, [item for _, item in said])
            uids[slot.name] = tuple(f.uid for f, _ in said)
        elif slot.need.earlier:
            before = _earlier(slot, case, examined, frozenset(uid for used in uids.values() for uid in used))
            arguments[slot.name] = _one_or_many(slot, before)
            uids[slot.name] = tuple(p.origin.uid for p in before)
        else:
            parts, left_out = _parts(slot, examined, prints, choose.get(slot.name), asked)
            repeated[slot.name] = tuple(p.origin.uid for p in left_out)
            arguments[slot.name] = _one_or_many(slot, [_dated(p, examined) for p in parts])
            uids[slot.name] = tuple(p.origin.uid for p in parts)
    return Filled(arguments, uids, repeated)


def _one_or_many(slot: Slot, found: list[Any]) -> Any:
    if slot.many:
        return tuple(found)
    return found[0] if found else None


def _parts(
    slot: Slot, study: Study, prints: Mapping[str, Fingerprint], chosen: str | None, asked: bool
) -> tuple[list[Part], list[Part]]:
    of_kind = [p for p in study.parts if isinstance(p, slot.classes)]
    if Record in slot.classes and not of_kind and not slot.need.arrived:
        # What the images' headers say of the person stands in for a record.
        known = _of_patient(study)
        if known is None and not slot.optional:
            raise _missing(slot, [], {})
        return ([known] if known is not None else []), []
    if chosen is not None:
        of_kind = [p for p in of_kind if p.origin.uid == chosen]
    reasons = {p.origin.uid: slot.need.refuses(prints[p.origin.uid], asked=asked) for p in of_kind}
    fitting = [p for p in of_kind if not reasons[p.origin.uid]]
    if slot.many:
        if not fitting and not slot.optional:
            raise _missing(slot, of_kind, reasons)
        return fitting, []
    every, fitting = fitting, _newest_of_repeats(fitting)
    if len(fitting) > 1:
        names = "; ".join(f"{_name(p)} = {p.origin.uid}" for p in fitting)
        raise NeedError(
            f"{len(fitting)} parts fit {slot.name} ({slot.need.doc}): {names}",
            needed="one",
            fix=f"choose one: {slot.name}=UID",
        )
    if not fitting and not slot.optional:
        raise _missing(slot, of_kind, reasons)
    return fitting, [p for p in every if p not in fitting]


def _earlier(slot: Slot, case: Case, examined: Study, used: frozenset[str]) -> list[Part]:
    """Return what fits and was recorded before the parts used, newest first, only the newest unless many."""
    every = [
        (_dated(p, study), study)
        for study in case.studies
        for p in study.parts
        if isinstance(p, slot.classes)
    ]
    now = max((p.origin.time for p, _ in every if p.origin.uid in used), default=examined.time)
    fitting = [
        part
        for part, study in every
        if part.origin.uid not in used
        and "" < part.origin.time < now
        and not now.startswith(part.origin.time)  # a day without an hour, on the same day
        and not slot.need.refuses(fingerprint(part, study))
    ]
    fitting.sort(key=lambda p: (p.origin.time, p.origin.uid), reverse=True)
    if not fitting and not slot.optional:
        raise NeedError("nothing earlier of this patient", needed=f"{slot.need.doc} ({slot.name})")
    return fitting if slot.many else fitting[:1]


def _dated(part: Part, study: Study) -> Part:
    return replace(part, origin=replace(part.origin, time=part.origin.time or study.time))


def _of_patient(study: Study) -> Record | None:
    """Return age at the study and sex as a record, None if neither is known."""
    who = study.patient
    age = None
    if len(who.birth_date) >= 10 and len(study.time) >= 10:
        days = (date.fromisoformat(study.time[:10]) - date.fromisoformat(who.birth_date[:10])).days
        age = round(days / 365.25, 2) if days >= 0 else None
    if age is None and who.sex is None:
        return None
    return Record(Origin(f"{study.uid}/patient", "", "patient", format="header"), age, who.sex)


def _missing(slot: Slot, of_kind: list[Part], reasons: Mapping[str, str]) -> NeedError:
    kinds = " or ".join(c.__name__ for c in slot.classes)
    near = "; ".join(f"{_name(p)}: {reasons[p.origin.uid]}" for p in of_kind[:4])
    return NeedError(near or f"no {kinds} in this study", needed=f"{slot.need.doc} ({slot.name})")


def _name(part: Part) -> str:
    number = "" if part.origin.number is None else f"series {part.origin.number} "
    return f"{number}{part.origin.label or type(part).__name__}".strip()


def _newest_of_repeats(parts: list[Part]) -> list[Part]:
    """Drop each part that a later one of the same planes repeats."""
    kept: list[Part] = []
    for part in sorted(parts, key=lambda p: (p.origin.time, p.origin.number or 0)):
        kept = [k for k in kept if not _repeats(part, k)] + [part]
    return kept


def _repeats(a: Part, b: Part) -> bool:
    """Whether two parts are the same planes recorded twice."""
    match a, b:
        case (Cine() | Planes(), Cine() | Planes()) if type(a) is type(b):
            return len(a.planes) == len(b.planes) and all(
                x.same(y) for x, y in zip(a.planes, b.planes, strict=True)
            )
        case Image(), Image():
            return a.grid.same(b.grid) and a.unit == b.unit
    return False


def _said(
    slot: Slot, case: Case, study: str, chosen: str | None, parts: frozenset[str]
) -> list[tuple[Findings, Item]] | None:
    """Return the findings that fill a need; None where it asks for a part, or takes one for want of any."""
    if slot.need.finding is None or chosen in parts:
        return None
    if not any(issubclass(c, get_args(Part)) for c in slot.classes):
        return _findings(slot, case, study, chosen)
    return _findings(replace(slot, optional=True), case, study, chosen) or None


def _findings(slot: Slot, case: Case, study: str, chosen: str | None) -> list[tuple[Findings, Item]]:
    # A correction stands for the whole of its parent: an item it left out was rejected.
    corrected = {found.parent for found in case.said_of(study) if found.review is not None}
    said = [
        (found, item)
        for found in case.said_of(study)
        if found.uid not in corrected
        for item in found.items
        if item.code == slot.need.finding and isinstance(item, slot.classes)
    ]
    if chosen is not None:
        said = [(found, item) for found, item in said if found.uid == chosen]
        if not said:
            raise NeedError(
                f"no finding of {slot.need.finding} in findings {chosen}",
                needed=f"{slot.need.doc} ({slot.name})",
                fix="`carna show` prints the UID of findings",
            )
    if not said and slot.optional:
        return []
    if not said:
        raise NeedError(f"no finding of {slot.need.finding}", needed=f"{slot.need.doc} ({slot.name})")
    if slot.many:
        return said
    best = max(_rank(f) for f, _ in said)
    first = [(f, item) for f, item in said if _rank(f) == best]
    if best == _OUR_RUN:
        first = [x for x in first if x[0] is first[-1][0]]  # the newest
    if len(first) > 1:
        raise NeedError(
            f"{len(first)} findings of {slot.need.finding} are of equal rank: "
            + "; ".join(f"{item.id} of {f.manifest.application} = {f.uid}" for f, item in first),
            needed="one",
            fix=f"choose one: {slot.name}=UID; or accept one of them and reject the others",
        )
    return first


_OUR_RUN: Final = 1


def _rank(found: Findings) -> int:
    """Return 3 for a human correction, 2 for a signed prior, 1 for our run, 0 for an unsigned prior."""
    if found.review is not None and found.parent:
        return 3
    if found.status == "final":
        return 2
    # Only a run of ours knows when it began.
    return _OUR_RUN if found.manifest.started else 0
