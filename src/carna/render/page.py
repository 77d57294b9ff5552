"""One study as one HTML file: it needs nothing beside it and asks no network for anything.

`to_html` gathers what is shown; the template ``page.html.j2`` lays it out and escapes every word
that came from outside. Scripts run only if their hash is the one in the page's own policy.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, assert_never, final

import numpy as np

from carna import codes
from carna.case import Case, Problem
from carna.codes.ecg_statements import LOOK_NOW, SECOND_OPINION
from carna.errors import RenderError
from carna.findings import (
    Absent,
    Curve,
    Events,
    Evidence,
    Field,
    Findings,
    Item,
    Measurement,
    Region,
    Shape,
    Statement,
)
from carna.render import lay, pictures, say
from carna.render.carries import left_out
from carna.render.comparison import Comparison, belongs, comparison
from carna.render.ecg_items import drawn_together
from carna.render.lead_table import LeadTable, in_table, lead_table
from carna.render.vessel_items import VesselTable, in_vessels, vessel_table
from carna.render.words import Language, Words, words
from carna.study import Cine, Part, Record, Study, fingerprint

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

__all__ = ["CARRIES", "to_html"]

# Regions, curves, events and fields are seen as pictures, volumes, counts and ranges: not whole.
CARRIES: frozenset[type] = frozenset({Measurement, Statement, Absent})

# Of more conclusions than these only what was met is open; the others are a click away.
MOST_STATEMENTS = 12
SHOWN = ("urgent", "met", "doubt", "opinion")
ORDER = ("urgent", "met", "not met", "not assessable", "doubt", "opinion")
NO_FIGURES: Mapping[str, bytes] = MappingProxyType({})


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: texts ready to be shown, and the letters of its evidence."""

    id: str
    name: str
    value: str
    unit: str = ""
    detail: str = ""
    site: str = ""
    seen: tuple[int, ...] = ()
    of: str = ""
    cells: tuple[tuple[str, str], ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Card:
    """What one run said: its tables, its figures, its method and its record."""

    anchor: str
    title: str
    findings: Findings
    uid: str
    status: str
    rows: tuple[Row, ...]
    statements: tuple[tuple[Row, str], ...]
    folded: tuple[tuple[str, tuple[tuple[Row, str], ...]], ...]
    compared: Comparison | None
    leads: LeadTable | None
    vessels: VesselTable | None
    absent: tuple[tuple[tuple[Row, ...], str], ...]
    seen: tuple[tuple[str, str], ...]
    plates: tuple[Markup, ...]
    plots: tuple[Markup, ...]
    cites: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]
    plain: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class _Desk:
    """What is needed while a page is put together; figures are shown once, where first spoken of."""

    study: Study
    words: Words
    figures: dict[str, Markup]
    seen: list[str] = field(default_factory=list)

    def number(self, where: Iterable[Evidence]) -> tuple[int, ...]:
        """Return the numbers, from 0, of evidence lines in the list of the present card."""
        lines = [say.evidence(e, self.study, self.words) for e in where]
        self.seen.extend(line for line in dict.fromkeys(lines) if line not in self.seen)
        return tuple(dict.fromkeys(self.seen.index(line) for line in lines))

    def take(self, names: Iterable[str]) -> tuple[Markup, ...]:
        """Return the figures of these names that were not shown yet."""
        return tuple(self.figures.pop(name) for name in dict.fromkeys(names) if name in self.figures)


def to_html(
    findings: Findings | tuple[Findings, ...],
    case: Case,
    language: Language = "en",
    *,
    figures: Mapping[str, bytes] = NO_FIGURES,
    problems: tuple[Problem, ...] = (),
) -> str:
    """Return the page of one study.

    Parameters
    ----------
    findings : Findings or tuple of Findings
        All of one study; none shows the study alone, which must then be the only one of the case.
    case : Case
    language : "en" or "zh"
    figures : mapping
        PNG by name as `carna.render.figures.figures` gives them, so that they are drawn once; a
        figure that is missing is drawn here.
    problems : tuple of Problem
        What could not be read.

    Raises
    ------
    RenderError
        If the findings are of several studies.
    """
    said = say.both(findings)
    uids = {one.study for one in said} or {s.uid for s in case.studies}
    if len(uids) != 1:
        raise RenderError(f"a page of {len(uids)} studies", needed="one", fix="write a page for each study")
    study = say.study_of(said[0], case) if said else case.studies[0]
    desk = _Desk(study, words(language), pictures.plates(said, case, study, words(language), figures))
    cards = tuple(_card(n, one, desk) for n, one in enumerate(said))
    script = (files("carna.render") / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        t=desk.words.text,
        letter=_letter,
        language={"en": "en", "zh": "zh-Hans"}[language],
        style=(files("carna.render") / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=digest,
        study=study,
        patient=case.patient,
        header=_header(case, study, desk.words),
        banners=_banners(said, case, desk.words),
        parts=[_part(n, part, study, desk.words) for n, part in enumerate(study.parts)],
        cards=cards,
        left=tuple(desk.figures.values()),
        cine=pictures.cine(said, study),
        problems=problems,
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("carna.render", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


def _header(case: Case, study: Study, in_words: Words) -> tuple[tuple[str, str], ...]:
    """Return (name, value) pairs of who was examined and when, only those that are known."""
    patient, text = case.patient, in_words.text
    years = say.age(case, study)
    record = next((p for p in study.parts if isinstance(p, Record)), None)
    institution = next((v for p in study.parts if (v := p.origin.facts.get("InstitutionName"))), "")
    sex = patient.sex or (record.sex if record else None)
    pairs = (
        ("patient_id", patient.id),
        ("birth_date", patient.birth_date),
        ("age", text("years").format(years=years) if years is not None else ""),
        ("sex", text(sex) if sex else ""),
        ("height", f"{record.height_cm:g} cm" if record and record.height_cm else ""),
        ("weight", f"{record.weight_kg:g} kg" if record and record.weight_kg else ""),
        ("study_date", study.time.replace("T", " ")[:16]),
        ("accession", study.accession),
        ("institution", str(institution)),
    )
    return tuple((text(key), value) for key, value in pairs if value)


def _banners(said: tuple[Findings, ...], case: Case, in_words: Words) -> tuple[tuple[str, str], ...]:
    """Return (kind, sentence) of what must be known before a number is read."""
    reviewed = [one for one in said if one.status == "preliminary"]
    shown = (
        ("synthetic", case.patient.synthetic or any(one.synthetic for one in said)),
        ("research_use", not said or any(not one.validated for one in said)),
        ("preliminary", bool(reviewed)),
        ("high_stakes", any(one.high_stakes for one in said)),
    )
    return tuple((key, in_words.text(key)) for key, on in shown if on)


def _part(n: int, part: Part, study: Study, in_words: Words) -> dict[str, Any]:
    """Return what is shown of one part in the overview."""
    print_, text = fingerprint(part, study), in_words.text
    facts = [
        text("phases").format(n=print_.phases) if print_.phases > 1 else "",
        text("slices").format(n=print_.slices) if print_.slices > 1 else "",
        text("coverage").format(mm=print_.coverage_mm) if print_.slices > 1 else "",
        text("spacing").format(row=print_.spacing_mm[1], column=print_.spacing_mm[2])
        if len(print_.spacing_mm) == 3
        else "",
        text("leads").format(n=len(print_.leads)) if len(print_.leads) > 1 else "",
        text("seconds").format(s=print_.seconds) if print_.seconds else "",
        text("rate").format(hz=print_.rate_hz) if print_.rate_hz else "",
        print_.technique,
        *(_known(part, in_words) if isinstance(part, Record) else ()),
    ]
    return {
        "anchor": f"part-{n + 1}",
        "name": say.part_name(part, study, in_words),
        "modality": print_.modality,
        "number": part.origin.number,
        "label": part.origin.label,
        "device": part.origin.device,
        "uid": part.origin.uid,
        "facts": [f for f in facts if f],
        "notes": print_.notes,
        "picture": pictures.thumbnail(part),
    }


def _known(record: Record, in_words: Words) -> tuple[str, ...]:
    text = in_words.text
    return (
        text("years").format(years=record.age_a) if record.age_a is not None else "",
        text(record.sex) if record.sex else "",
        f"{record.height_cm:g} cm" if record.height_cm else "",
        f"{record.weight_kg:g} kg" if record.weight_kg else "",
        text("entries").format(n=len(record.entries)) if record.entries else "",
    )


def _card(n: int, one: Findings, desk: _Desk) -> Card:
    desk.seen.clear()
    rows: list[Row] = []
    statements: list[tuple[Row, str]] = []
    absent: list[Row] = []
    compared = comparison(one, desk.study, desk.words)
    grouped = _grouped(one.items)
    for item in one.items:
        if drawn_together(item) or (compared is not None and belongs(item)) or in_table(item):
            continue
        if in_vessels(item):
            continue
        group = grouped.get((type(item), item.code))
        if group is not None and isinstance(item, Measurement | Statement):
            if item is group[0]:
                rows.append(_group(group, desk))
            continue
        row = _row(item, one, desk)
        match item:
            case Measurement() | Region() | Shape() | Field() | Curve() | Events():
                rows.append(row)
            case Statement():
                statements.append(_judged(item, row, desk.words))
            case Absent():
                absent.append(row)
            case _:
                assert_never(item)
    names = [e.part for item in one.items for e in item.evidence]
    if any(isinstance(desk.study.part(uid), Cine) for uid in names):
        names += [p.origin.uid for p in desk.study.parts if isinstance(p, Cine)]
    few = len(statements) <= MOST_STATEMENTS
    app = one.manifest.application
    names += [f"vessels.{app}", f"sac.{app}", f"twin.{app}", f"bullseye.{app}"]
    own = [f"{kind}.{app}" for kind in ("median", "holter", "pullback")]
    own += [f"{k}.{app}.{item.id}" for item in one.items for k in ("curve", "tachogram")]
    numbered = (f"strips.{app}.", f"disclosure.{app}.")
    own += [name for name in desk.figures if name.startswith(numbered)]
    return Card(
        anchor=f"findings-{n + 1}",
        title=_title(one, desk.words),
        findings=one,
        uid=one.uid,
        status=_status(one, desk.words),
        rows=tuple(rows),
        statements=_first(s for s in statements if few or s[1] in SHOWN),
        folded=() if few else _folded(statements, desk.words),
        compared=compared,
        leads=lead_table(one),
        vessels=vessel_table(one, desk.words),
        absent=_by_reason(absent),
        seen=tuple((_letter(k), line) for k, line in enumerate(desk.seen)),
        plates=desk.take(names),
        plots=desk.take(own),
        left_out=left_out(one, CARRIES),
        plain=lay.sentences(one, desk.words),
        cites=tuple((cite, _link(cite)) for cite in one.manifest.cites),
    )


def _judged(item: Statement, row: Row, in_words: Words) -> tuple[Row, str]:
    """Return a conclusion with how it is shown: as its verdict, or as urgent, or as what two methods say."""
    if item.code == LOOK_NOW:
        return replace(row, value=in_words.text("look_now")), "urgent"
    if item.code == SECOND_OPINION or item.id.startswith("second_opinion."):
        if item.verdict == "not assessable" and item.code == SECOND_OPINION:
            return row, item.verdict
        said = "alike" if item.verdict == "met" else "apart"
        return replace(row, value=in_words.text(said)), "opinion" if item.code == SECOND_OPINION else "doubt"
    return row, item.verdict


def _first(statements: Iterable[tuple[Row, str]]) -> tuple[tuple[Row, str], ...]:
    """Return conclusions in the order they are read: urgent ones first, what methods disagree on last."""
    return tuple(sorted(statements, key=lambda s: ORDER.index(s[1])))


def _folded(
    statements: list[tuple[Row, str]], in_words: Words
) -> tuple[tuple[str, tuple[tuple[Row, str], ...]], ...]:
    """Return what was not met, and apart from it what could not be judged, each under its heading."""
    kinds = (("not met", "criteria_not_met"), ("not assessable", "criteria_open"))
    found = ((key, tuple(s for s in statements if s[1] == verdict)) for verdict, key in kinds)
    return tuple((in_words.text(key).format(n=len(said)), said) for key, said in found if said)


def _by_reason(absent: Iterable[Row]) -> tuple[tuple[tuple[Row, ...], str], ...]:
    """Return what is absent for one reason together, with the reason."""
    found: dict[str, list[Row]] = {}
    for row in absent:
        found.setdefault(row.detail, []).append(row)
    return tuple((tuple(rows), why) for why, rows in found.items())


def _title(one: Findings, in_words: Words) -> str:
    key = f"app_{one.manifest.application}"
    return in_words.text(key) if key in in_words.texts else one.manifest.application


def _status(one: Findings, in_words: Words) -> str:
    if one.review is None:
        return in_words.text("preliminary")
    key = "final" if one.status == "final" else "reviewed"
    return in_words.text(key).format(author=one.review.author, time=one.review.time)


def _letter(k: int) -> str:
    return chr(ord("a") + k) if k < 26 else str(k + 1)


def _link(cite: str) -> str:
    """Return where a source is found, "" if it names no address."""
    if cite.startswith("doi:"):
        return f"https://doi.org/{cite[4:]}"
    return cite if cite.startswith(("https://", "http://")) else ""


Sited = Measurement | Statement


def _grouped(items: Iterable[Item]) -> dict[tuple[type, codes.Concept], list[Sited]]:
    """Return what was said of one code at three or more sites: a line, not a table of its own."""
    found: dict[tuple[type, codes.Concept], list[Sited]] = {}
    for item in items:
        if isinstance(item, Measurement | Statement) and item.site is not None:
            found.setdefault((type(item), item.code), []).append(item)
    return {key: group for key, group in found.items() if len(group) > 2}


def _group(group: list[Sited], desk: _Desk) -> Row:
    in_words = desk.words
    short = {code: name for name, code in codes.LEADS.items()}
    sites = [short.get(m.site) or in_words.meaning(m.site) for m in group if m.site]
    measured = [m for m in group if isinstance(m, Measurement)]
    if measured:
        about = max(say.spread(m.uncertainty) for m in measured)
        values = say.numbers((m.value for m in measured), about)
        details = [say.uncertainty(m.uncertainty, in_words) for m in measured]
    else:
        judged = [m for m in group if isinstance(m, Statement)]
        values = tuple(in_words.text(f"short {m.verdict}") for m in judged)
        details = [m.rule for m in judged]
    by_detail: dict[str, list[str]] = {}
    for site, detail in zip(sites, details, strict=True):
        by_detail.setdefault(detail, []).append(site)
    several = len(by_detail) > 1
    lines = [f"{', '.join(names)}: {detail}" if several else detail for detail, names in by_detail.items()]
    first = group[0]
    return Row(
        id=first.id,
        name=in_words.meaning(first.code),
        value="",
        unit=in_words.unit(measured[0].unit) if measured else "",
        detail="\n".join(lines),
        seen=desk.number(_merged(group)),
        cells=tuple(zip(sites, values, strict=True)),
    )


def _merged(group: Iterable[Sited]) -> list[Evidence]:
    """Return the evidence of several items, the leads of one place and time put together."""
    leads: dict[Evidence, tuple[str, ...]] = {}
    for where in (e for m in group for e in m.evidence):
        place = replace(where, leads=())
        leads[place] = tuple(dict.fromkeys((*leads.get(place, ()), *where.leads)))
    return [replace(place, leads=names) for place, names in leads.items()]


def _row(item: Item, one: Findings, desk: _Desk) -> Row:
    """Return an item as a line."""
    in_words, text = desk.words, desk.words.text
    value, unit, detail = "", "", ""
    match item:
        case Measurement():
            value = say.value(item)
            unit, detail = in_words.unit(item.unit), say.uncertainty(item.uncertainty, in_words)
            if item.code in (codes.END_DIASTOLE, codes.END_SYSTOLE) and item.unit == "1":
                value, unit = text("frame").format(n=value), ""
        case Region():
            value, detail = _volumes(item, in_words), text("counted")
        case Shape():
            value = text("points").format(n=len(item.shape.points))
        case Field():
            # A segment that was not measured has no value.
            known = item.values[np.isfinite(item.values)]
            low, high = say.numbers((np.min(known), np.max(known))) if len(known) else ("", "")
            value = text("field_range").format(low=low, high=high, unit=in_words.unit(item.unit), on=item.on)
        case Curve():
            low, high = say.numbers((np.min(item.y), np.max(item.y))) if len(item.y) else ("", "")
            value = text("curve_range").format(
                n=len(item.y), low=low, high=high, unit=in_words.unit(item.y_unit)
            )
        case Events():
            counts = np.bincount(item.type_index, minlength=len(item.types))
            named = list(zip(item.types, counts.tolist(), strict=True))
            told = [(c, n) for c, n in named if n] or named
            value = "; ".join(f"{in_words.meaning(c)}: {n}" if c != item.code else f"{n}" for c, n in told)
            detail = text("a_count")
        case Statement():
            value, detail = text(item.verdict), item.rule
            if item.probability is not None:
                unit = text("probability").format(p=item.probability, record=item.calibration)
        case Absent():
            value, detail = text("absent"), item.why
        case _:
            assert_never(item)
    # Nearly everything rests on the beats, which need not be said each time.
    of = [in_words.meaning(o.code) for id in item.of if id != "beats" and (o := one.get(id)) is not None]
    return Row(
        id=item.id,
        name=say.name(item, in_words),
        value=value.rstrip(),
        unit=unit,
        detail=detail,
        site=in_words.meaning(item.site) if item.site and item.site != item.code else "",
        seen=desk.number(item.evidence),
        of=text("derived_from").format(ids=", ".join(dict.fromkeys(of))) if of else "",
    )


def _volumes(region: Region, in_words: Words) -> str:
    """Return the volume of each segment, at each moment where they are few; none where gaps lie between.

    Of a single plane it is the area: a volume of a slice's thickness measures nothing.
    """
    single = len(region.planes) == 1
    scale, unit = (10.0 / region.planes[0].spacing_mm[0], "cm²") if single else (1.0, "mL")
    lines = []
    for segment in region.segments:
        known = region.volume_ml(segment.label)
        if known is None:
            return in_words.text("planes_with_gaps").format(n=len(region.planes))
        volumes = scale * np.atleast_1d(known)
        shown = say.numbers(volumes)
        if region.labels.ndim == 4 and len(shown) <= 3 and region.frames:
            frames = (in_words.text("frame").format(n=f + 1) for f in region.frames)
            line = ", ".join(f"{v} {unit} ({f})" for v, f in zip(shown, frames, strict=True))
        elif len(shown) == 1:
            line = f"{shown[0]} {unit}"
        else:
            low, high = say.numbers((volumes.min(), volumes.max()))
            line = f"{low}–{high} {unit}"
        named = segment.code != region.code or len(region.segments) > 1
        lines.append(f"{in_words.meaning(segment.code)}: {line}" if named else line)
    return "; ".join(lines)
