"""Structured reports as findings: a tolerant walk through any content tree (PS3.3 C.17.3).

No template is demanded. Numbers become measurements, numbers without a value absences with their
reason (CID 42), coded answers and texts statements; the modifiers of a container hold for all
below it. What Carna wrote (TID 1500, one item a group) comes back with its ids, intervals and
verdicts. Drawn outlines are counted, not carried.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, final

from pydicom.dataset import Dataset

from carna import codes
from carna.codes import Concept
from carna.doors.dicom.coded import Ids, coded, name_of, unit, word
from carna.doors.dicom.header import (
    Header,
    iso_time,
    item,
    items,
    number,
    numbers,
    patient_of,
    study_uid,
    text,
    texts,
    value,
)
from carna.errors import InputError
from carna.findings import (
    Absent,
    Evidence,
    Findings,
    Input,
    Interval,
    Item,
    Manifest,
    Measurement,
    Review,
    Sd,
    Statement,
    Uncertainty,
    Unknown,
)

MAX_DEPTH = 64
_AS_WRITTEN: Final = "as the sender wrote it: "
_BELOW = Concept("371885007", "SCT", "-, range of lower measurement uncertainty")
_ABOVE = Concept("371886008", "SCT", "+, range of upper measurement uncertainty")
_VERDICTS: Final[dict[str, Literal["met", "not met", "not assessable"]]] = {
    codes.CRITERIA_MET.value: "met",
    codes.CRITERIA_NOT_MET.value: "not met",
    codes.CRITERIA_NOT_ASSESSABLE.value: "not assessable",
}
_REASONS: Final = frozenset(codes.CID42.values())
_COMMENT = Concept("121106", "DCM", "Comment")
_SERIES = Concept("112002", "DCM", "Series Instance UID")
_IMAGE_LIBRARY = Concept("111028", "DCM", "Image Library")
_FINDING_CATEGORY = Concept("276214006", "SCT", "Finding category")
_TITLE_MODIFIER = Concept("113011", "DCM", "Document Title Modifier")
# Concept modifiers that are not part of what was measured.
_ABOUT: Final = frozenset(
    {
        codes.FINDING_SITE,
        codes.LEAD_ID,
        codes.MEASUREMENT_METHOD,
        codes.ALGORITHM_NAME,
        codes.ALGORITHM_VERSION,
    }
    | {Concept("111002", "DCM", ""), Concept("121049", "DCM", ""), codes.TRACKING_ID, codes.TRACKING_UID}
    | {_COMMENT, _TITLE_MODIFIER, Concept("121058", "DCM", "Procedure reported")}
)
# Names under which a coded value is the finding itself.
_FINDING_NAMES: Final = frozenset(
    {codes.FINDING, codes.ECG_FINDING, codes.ECG_OVERALL, codes.CONCLUSION, codes.RHYTHM}
    | {Concept("121073", "DCM", "Impression"), Concept("121075", "DCM", "Recommendation")}
)
# Headings that say nothing of what is below them.
_PLAIN_HEADINGS: Final = frozenset(
    {codes.MEASUREMENT_GROUP, Concept("126010", "DCM", "Imaging Measurements"), codes.FINDING}
)
_ID: Final = re.compile(r"[a-z0-9][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)*")
_CONTEXT: Final = ("HAS CONCEPT MOD", "HAS OBS CONTEXT", "HAS ACQ CONTEXT")


@dataclass(frozen=True, slots=True)
class _Around:
    """What the containers above an item say of it."""

    path: tuple[str, ...] = ()
    site: Concept | None = None
    leads: tuple[str, ...] = ()
    method: Concept | None = None
    modifiers: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    tracking: str = ""
    lone: bool = False
    of: tuple[str, ...] = ()
    under: str = ""


def findings(header: Header) -> tuple[Findings, tuple[str, ...]]:
    """Return what a structured report says, and notes on what could not be carried.

    Raises
    ------
    InputError
        If it has no content tree.
    """
    ds = header.full()
    if not items(ds, "ContentSequence"):
        raise InputError("a structured report without content", needed="a Content Sequence")
    walk = _Walk(ds)
    walk.container(ds, _Around(), 0)
    who = patient_of(ds)
    maker = "/".join(filter(None, (text(ds, "Manufacturer"), walk.algorithm(ds))))
    review, verified = _review(ds, walk.made)
    notes = [f"{count} {what} are not carried" for what, count in walk.lost.items()]
    if text(ds, "VerificationFlag") == "VERIFIED" and review is None:
        notes.append("verified by nobody named: read as preliminary")
    marks = {
        coded(c, "ConceptCodeSequence") for c in items(ds, "ContentSequence") if _name(c) == _TITLE_MODIFIER
    }
    synthetic = who.synthetic or codes.SYNTHETIC in marks
    if verified and synthetic:
        notes.append("a verified report of a virtual patient: read as preliminary")
    settings: dict[str, Any] = {
        "object": header.uid,
        "title": str(coded(ds, "ConceptNameCodeSequence") or ""),
    }
    if walk.context:
        settings["context"] = dict(walk.context)
    return (
        Findings(
            study=study_uid(ds),
            patient=who.id,
            items=tuple(walk.made),
            manifest=Manifest(
                application=f"prior: {maker or 'maker not named'}",
                version=text(ds, "SoftwareVersions"),
                settings=settings,
                inputs=tuple(Input("evidence", uid) for uid in dict.fromkeys(walk.series.values())),
                cites=tuple(walk.cites),
            ),
            validated=walk.ours and codes.FOR_RESEARCH not in marks,
            synthetic=synthetic,
            status="final" if verified and not synthetic else "preliminary",
            review=review,
        ),
        tuple(notes),
    )


def _review(ds: Dataset, made: list[Item]) -> tuple[Review | None, bool]:
    """Return who verified a document; without a name nobody did."""
    seen = item(ds, "VerifyingObserverSequence")
    author = str(value(seen, "VerifyingObserverName") or "") if seen is not None else ""
    if text(ds, "VerificationFlag") != "VERIFIED" or seen is None or not author.strip():
        return None, False
    stamp = text(seen, "VerificationDateTime")
    time = iso_time(stamp[:8], re.split(r"[+-]", stamp[8:])[0])
    return Review(author, time, {i.id: "accepted" for i in made}), True


def _name(entry: Dataset) -> Concept | None:
    return coded(entry, "ConceptNameCodeSequence")


def _relation(entry: Dataset) -> str:
    return text(entry, "RelationshipType")


def _words(entry: Dataset) -> str:
    """Return the value of an item that is no number and no reference, as text."""
    answer = coded(entry, "ConceptCodeSequence")
    if answer is not None:
        return answer.meaning
    for keyword in ("PersonName", "DateTime", "Date", "Time", "UID"):
        got = value(entry, keyword)
        if got is not None:
            return str(got)
    return str(value(entry, "TextValue") or "").strip()


@final
class _Walk:
    """The state of one walk: what was made so far, and what was left lying."""

    def __init__(self, ds: Dataset) -> None:
        self.made: list[Item] = []
        self.lost: Counter[str] = Counter()
        self.context: dict[str, str] = {}
        self.cites: list[str] = []
        self.ids = Ids()
        self.ours = text(ds, "Manufacturer") == "Carna"
        self.algorithms: dict[str, None] = {}
        self.series = {
            text(stored, "ReferencedSOPInstanceUID"): text(series, "SeriesInstanceUID")
            for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
            for study in items(ds, keyword)
            for series in items(study, "ReferencedSeriesSequence")
            for stored in items(series, "ReferencedSOPSequence")
        }

    def algorithm(self, ds: Dataset) -> str:
        return ", ".join(self.algorithms) or text(ds, "ManufacturerModelName")

    def container(self, ds: Dataset, around: _Around, depth: int) -> None:
        """Read everything below a heading."""
        if depth > MAX_DEPTH:
            raise InputError(f"content nested more than {MAX_DEPTH} deep", needed="a real report")
        children = items(ds, "ContentSequence")
        inside = self._around(ds, children, around, depth)
        for child in children:
            if _relation(child) in _CONTEXT:
                if depth == 0:
                    self._remember(child)
                continue
            self._child(child, inside, depth)

    def _child(self, child: Dataset, inside: _Around, depth: int) -> None:
        kind, name = text(child, "ValueType"), _name(child)
        match kind:
            case "CONTAINER":
                if name != _IMAGE_LIBRARY:
                    self.container(child, inside, depth + 1)
            case "NUM":
                self._number(child, name, inside, depth)
            case "CODE":
                self._answer(child, name, inside, depth)
            case "TEXT":
                self._text(child, name, inside, depth)
            case "IMAGE" | "COMPOSITE" | "WAVEFORM" | "TCOORD":
                pass  # evidence of the container, gathered with its context
            case "SCOORD" | "SCOORD3D":
                self.lost["drawn outlines (SCOORD)"] += 1
            case "PNAME" | "DATE" | "TIME" | "DATETIME" | "UIDREF":
                if name != _SERIES:
                    self._remember(child)
            case _:
                what = (
                    "items by reference"
                    if "ReferencedContentItemIdentifier" in child
                    else f"items of type {kind!r}"
                )
                self.lost[what] += 1

    # What holds for all below --------------------------------------------------------------

    def _around(self, ds: Dataset, children: tuple[Dataset, ...], outer: _Around, depth: int) -> _Around:
        inside = replace(outer, tracking="", lone=False, of=())
        heading = _name(ds)
        if depth and heading is not None and heading not in _PLAIN_HEADINGS:
            inside = replace(inside, path=(*inside.path, name_of(heading)))
        finding = category = None
        for child in children:
            name, relation = _name(child), _relation(child)
            if relation in _CONTEXT:
                inside = self._modified(inside, child, name, depth)
            elif name == codes.FINDING and text(child, "ValueType") == "CODE":
                finding = finding or coded(child, "ConceptCodeSequence")
            elif name == _FINDING_CATEGORY:
                category = coded(child, "ConceptCodeSequence")
            elif name == _COMMENT and self.ours and _words(child).startswith("Derived from: "):
                inside = replace(inside, of=tuple(_words(child).removeprefix("Derived from: ").split(", ")))
        # An anatomical finding tells where the group measured; an abnormality is said of a place.
        whereabouts = inside.site is outer.site and category != codes.MORPHOLOGICALLY_ABNORMAL
        if finding is not None and whereabouts and heading == codes.MEASUREMENT_GROUP:
            inside = replace(inside, site=finding)
        if (
            heading == codes.ECG_LEAD_MEASUREMENTS
            and len(inside.leads) == 1
            and inside.leads[0] in codes.LEADS
        ):
            lead = inside.leads[0]
            inside = replace(inside, site=codes.LEADS[lead], path=(*inside.path, word(lead)))
        said = [c for c in children if text(c, "ValueType") in ("NUM", "CODE") and _relation(c) == "CONTAINS"]
        said = [c for c in said if _name(c) not in (codes.FINDING, _FINDING_CATEGORY)] or said
        return replace(
            inside, evidence=self._evidence(children, inside) or outer.evidence, lone=len(said) == 1
        )

    def _modified(self, inside: _Around, child: Dataset, name: Concept | None, depth: int) -> _Around:
        answer, words = coded(child, "ConceptCodeSequence"), _words(child)
        if name == codes.FINDING_SITE:
            return replace(inside, site=answer)
        if name == codes.MEASUREMENT_METHOD:
            return replace(inside, method=answer)
        if name == codes.LEAD_ID:
            lead = next((n for n, row in codes.LEADS.items() if row == answer), words)
            return replace(inside, leads=(*inside.leads, lead))
        if name == codes.TRACKING_ID:
            return replace(inside, tracking=words)
        if name == codes.ALGORITHM_NAME and words:
            self.algorithms[words] = None
        if (
            depth
            and name is not None
            and name not in _ABOUT
            and _relation(child) == "HAS CONCEPT MOD"
            and words
        ):
            return replace(inside, modifiers=(*inside.modifiers, words))
        return inside

    def _evidence(self, children: tuple[Dataset, ...], inside: _Around) -> tuple[Evidence, ...]:
        """Return what the items directly below point at, by series; seconds where they are said."""
        found: dict[Evidence, None] = {}
        frames, planes = self._indices(children)
        for child in children:
            if _relation(child) in _CONTEXT:
                continue
            kind = text(child, "ValueType")
            start = stop = None
            if kind == "UIDREF" and _name(child) == _SERIES and text(child, "UID"):
                found[Evidence(text(child, "UID"), inside.leads, frames=frames, planes=planes)] = None
            if kind == "TCOORD":
                offsets = numbers(child, "ReferencedTimeOffsets")
                start = offsets[0] if offsets else None
                stop = offsets[-1] if len(offsets) > 1 else None
            for uid in _references(child, kind):
                found[Evidence(self.series.get(uid, uid), inside.leads, start, stop)] = None
        return tuple(found)

    def _indices(self, children: tuple[Dataset, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the frames and slices that a comment of Carna names beside a whole series."""
        said = " ".join(_words(c) for c in children if self.ours and _name(c) == _COMMENT)
        lists = [re.search(rf"Seen in .*?{what} ([\d, ]+)", said) for what in ("frames", "slices")]
        frames, planes = (tuple(int(n) - 1 for n in re.findall(r"\d+", f[1])) if f else () for f in lists)
        return frames, planes

    def _remember(self, child: Dataset) -> None:
        name, words = _name(child), _words(child)
        if name is not None and words and name != _TITLE_MODIFIER:
            self.context.setdefault(name.meaning, words)

    # Items ---------------------------------------------------------------------------------

    def _id(self, what: Concept, inside: _Around, own: str = "") -> str:
        if inside.under:
            return self.ids.new(f"{inside.under}.{name_of(what)}")
        tracking = own or inside.tracking
        if tracking and _ID.fullmatch(tracking) and (own or inside.lone):
            return self.ids.new(tracking)
        track = (word(tracking),) if tracking and word(tracking) else ()
        words = (*inside.path, *track, name_of(what), *(word(m) for m in inside.modifiers))
        return self.ids.new(".".join(("sr", *filter(None, words))))

    def _below(self, ds: Dataset, inside: _Around) -> tuple[_Around, str, str]:
        """Return the surroundings of an item with its own modifiers, its own tracking id, its comment."""
        own = ""
        comments: list[str] = []
        children = items(ds, "ContentSequence")
        for child in children:
            name = _name(child)
            if name == codes.TRACKING_ID:
                own = _words(child)
            elif name == _COMMENT:
                comments.append(_words(child))
            elif _relation(child) in _CONTEXT:
                inside = self._modified(inside, child, name, 1)
        seen = self._evidence(children, inside)
        return replace(inside, evidence=seen or inside.evidence), own, "; ".join(comments)

    def _number(self, ds: Dataset, name: Concept | None, outer: _Around, depth: int) -> None:
        if name is None:
            self.lost["numbers without a name"] += 1
            return
        inside, own, comment = self._below(ds, outer)
        measured = item(ds, "MeasuredValueSequence")
        figure = None
        if measured is not None:
            exact, decimal = number(measured, "FloatingPointValue"), number(measured, "NumericValue")
            figure = decimal if exact is None else exact
        ucum = unit(item(measured, "MeasurementUnitsCodeSequence"))
        id, code = self._id(name, inside, own), _qualified(name, inside)
        if figure is None:
            reason = coded(ds, "NumericValueQualifierCodeSequence") or codes.VALUE_UNKNOWN
            why = comment or f"the sender states no value: {reason.meaning}"
            self.made.append(
                Absent(
                    id=id,
                    code=code,
                    site=inside.site,
                    of=inside.of,
                    evidence=inside.evidence,
                    why=why,
                    reason=reason,
                )
            )
        elif not ucum:
            said = coded(measured, "MeasurementUnitsCodeSequence")
            rule = f"{_AS_WRITTEN}{name.meaning} {figure:g} {said.meaning if said else 'without a unit'}"
            self.made.append(
                Statement(
                    id=id,
                    code=code,
                    site=inside.site,
                    of=inside.of,
                    evidence=inside.evidence,
                    verdict="met",
                    rule=rule,
                )
            )
        else:
            self.made.append(
                Measurement(
                    id=id,
                    code=code,
                    site=inside.site,
                    of=inside.of,
                    evidence=inside.evidence,
                    value=figure,
                    unit=ucum,
                    uncertainty=_uncertainty(ds, figure, comment),
                    method=inside.method,
                )
            )
        self._properties(ds, id, inside, depth)

    def _properties(self, ds: Dataset, id: str, inside: _Around, depth: int) -> None:
        """Read what hangs below a number or an answer and is an item itself."""
        if depth > MAX_DEPTH:
            raise InputError(f"content nested more than {MAX_DEPTH} deep", needed="a real report")
        below = replace(inside, tracking="", lone=False, of=(id,), modifiers=(), under=id)
        for child in items(ds, "ContentSequence"):
            name = _name(child)
            spread = (
                codes.UNCERTAINTY_RANGE,
                _BELOW,
                _ABOVE,
                _COMMENT,
                codes.TRACKING_ID,
                codes.TRACKING_UID,
            )
            told = self.ours and name in (codes.PROBABILITY, codes.ALGORITHM_NAME)
            if _relation(child) in _CONTEXT or name in spread or told:
                continue
            if text(child, "ValueType") in ("NUM", "CODE", "TEXT", "CONTAINER"):
                self._child(child, below, depth + 1)

    def _answer(self, ds: Dataset, name: Concept | None, outer: _Around, depth: int) -> None:
        answer = coded(ds, "ConceptCodeSequence")
        if name is None or answer is None:
            self.lost["answers without a code"] += 1
            return
        if name == _FINDING_CATEGORY or (name == codes.FINDING and answer == outer.site):
            return
        inside, own, comment = self._below(ds, outer)
        verdict = _VERDICTS.get(answer.value) if answer.scheme == "99CARNA" else None
        if self.ours and name == codes.ECG_FINDING:
            # The ECG report (TID 3717) names what criteria were met for, and only that.
            name, verdict = answer, "met"
        where: dict[str, Any] = {"site": inside.site, "of": inside.of, "evidence": inside.evidence}
        if self.ours and answer in _REASONS:
            why = comment or answer.meaning
            self.made.append(
                Absent(id=self._id(name, inside, own), code=name, why=why, reason=answer, **where)
            )
            return
        if verdict is not None:
            probability, calibration = _probability(ds)
            self.made.append(
                Statement(
                    id=self._id(name, inside, own),
                    code=name,
                    verdict=verdict,
                    rule=comment,
                    probability=probability,
                    calibration=calibration,
                    **where,
                )
            )
            return
        what = answer if name in _FINDING_NAMES else name
        rule = f"{_AS_WRITTEN}{'; '.join(filter(None, (f'{name.meaning} = {answer.meaning}', comment)))}"
        id = self._id(what, inside, own)
        self.made.append(Statement(id=id, code=_qualified(what, inside), verdict="met", rule=rule, **where))
        self._properties(ds, id, inside, depth)

    def _text(self, ds: Dataset, name: Concept | None, outer: _Around, depth: int) -> None:
        words = _words(ds)
        if not words:
            return
        if self.ours and name == _COMMENT:
            if depth == 0 and words.startswith("Method: "):
                self.cites.append(words.removeprefix("Method: "))
            return
        if name == codes.ALGORITHM_NAME or name in _ABOUT or (self.ours and name == codes.SUMMARY):
            return
        inside, own, _ = self._below(ds, outer)
        what = name or codes.CONCLUSION
        self.made.append(
            Statement(
                id=self._id(what, inside, own),
                code=what,
                site=inside.site,
                of=inside.of,
                evidence=inside.evidence,
                verdict="met",
                rule=_AS_WRITTEN + words,
            )
        )


def _references(entry: Dataset, kind: str) -> tuple[str, ...]:
    """Return the objects that an item points at, or that a place in them is selected from."""
    if kind in ("IMAGE", "COMPOSITE", "WAVEFORM"):
        return texts(item(entry, "ReferencedSOPSequence") or Dataset(), "ReferencedSOPInstanceUID")
    if kind not in ("SCOORD", "TCOORD"):
        return ()
    return tuple(
        uid
        for child in items(entry, "ContentSequence")[:64]
        for uid in _references(child, text(child, "ValueType"))
    )


def _qualified(what: Concept, inside: _Around) -> Concept:
    """Return the concept with its modifiers in the words: they are part of what was measured."""
    if not inside.modifiers:
        return what
    return replace(what, meaning=f"{what.meaning} ({', '.join(inside.modifiers)})")


def _uncertainty(ds: Dataset, figure: float, comment: str) -> Uncertainty:
    """Return the uncertainty below a number (CID 225); the standard has no place for its level."""
    found: dict[Concept, float] = {}
    for child in items(ds, "ContentSequence"):
        name, measured = _name(child), item(child, "MeasuredValueSequence")
        if name in (codes.UNCERTAINTY_RANGE, _BELOW, _ABOVE) and name is not None and measured is not None:
            exact, decimal = number(measured, "FloatingPointValue"), number(measured, "NumericValue")
            width = decimal if exact is None else exact
            if width is not None:
                found[name] = width
    level = re.search(r"Uncertainty: ([\d.]+) % interval", comment)
    if codes.UNCERTAINTY_RANGE in found and "one standard deviation" in comment:
        return Sd(abs(found[codes.UNCERTAINTY_RANGE]))
    if _BELOW in found and _ABOVE in found and level and 0 < float(level[1]) < 100:
        low, high = figure - found[_BELOW], figure + found[_ABOVE]
        return Interval(min(low, high), max(low, high), float(level[1]) / 100)
    if found:
        widths = ", ".join(f"{name.meaning} {width:g}" for name, width in found.items())
        return Unknown(f"stated without its level: {widths}")
    told = re.match(r"Uncertainty not stated: (.+)", comment, re.DOTALL)
    return Unknown(told[1] if told else "not stated by the sender")


def _probability(ds: Dataset) -> tuple[float | None, str]:
    """Return a probability with the record that calibrates it; without one it is not carried."""
    for child in items(ds, "ContentSequence"):
        measured = item(child, "MeasuredValueSequence")
        if _name(child) == codes.PROBABILITY and measured is not None:
            figure = number(measured, "FloatingPointValue")
            figure = number(measured, "NumericValue") if figure is None else figure
            words = (_words(c) for c in items(child, "ContentSequence"))
            record = next(
                (w.removeprefix("Calibration: ") for w in words if w.startswith("Calibration: ")), ""
            )
            if figure is not None and record and 0 <= figure <= 1:
                return figure, record
    return None, ""
