"""Findings as CSV (RFC 4180): one row an item, and a file of its own for each curve and each set of events.

A text that a spreadsheet would take for a formula is written with an apostrophe before it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, assert_never

import numpy as np

from carna import codes
from carna.case import Case
from carna.findings import (
    Absent,
    Curve,
    Events,
    Evidence,
    Field,
    Findings,
    Interval,
    Item,
    Measurement,
    Region,
    Samples,
    Sd,
    Shape,
    Statement,
    Unknown,
)
from carna.render.say import both, kind, uncertainty, value
from carna.render.words import Language, Words, words

__all__ = ["CARRIES", "COLUMNS", "rows", "to_csv", "to_csv_files"]

# A region is its volumes, a field its range, a shape its name: their arrays are in findings.json.
CARRIES: frozenset[type] = frozenset({Measurement, Curve, Events, Statement, Absent})

COLUMNS = (
    *("patient", "study", "application", "version", "status", "research_use", "synthetic"),
    *("id", "kind", "scheme", "code", "meaning", "site"),
    *("value", "unit", "sd", "low", "high", "level", "verdict", "why", "evidence", "derived_from"),
)


def to_csv(findings: Findings | tuple[Findings, ...], case: Case) -> str:
    """Return one row an item with the columns `COLUMNS`; an empty cell is not known or does not apply.

    A region has one row a segment and moment with its volume in mL (``id`` is then followed by the
    segment's label and the frame, from 0: ``heart#1@3``). Evidence is written as
    ``part;leads=I II;0-10s;frames=0 3;planes=2``, counted from 0 as in findings.json.
    """
    rows = [row for one in both(findings) for item in one.items for row in _rows(item, one, case)]
    return _written(COLUMNS, rows)


def to_csv_files(findings: Findings | tuple[Findings, ...], case: Case) -> dict[str, str]:
    """Return ``items.csv`` and, by name, a file for each curve, set of events and field."""
    files = {"items.csv": to_csv(findings, case)}
    for one in both(findings):
        for item in one.items:
            name = f"{one.manifest.application}.{item.id}.csv"
            match item:
                case Curve():
                    columns = (f"x [{item.x_unit}]", f"y [{item.y_unit}]")
                    files[name] = _written(columns, zip(item.x.tolist(), item.y.tolist(), strict=True))
                case Events():
                    files[name] = _events(item)
                case Field():
                    files[name] = _field(item)
                case Measurement() | Region() | Shape() | Statement() | Absent():
                    continue
                case _:
                    assert_never(item)
    return files


def rows(findings: Findings, language: Language = "en") -> list[dict[str, Any]]:
    """Return each item as a person reads it and a program needs it; the arrays stay in findings.json."""
    in_words = words(language)
    found: list[dict[str, Any]] = []
    for item in findings.items:
        row: dict[str, Any] = {
            "id": item.id,
            "kind": type(item).__name__,
            "code": item.code.value,
            "scheme": item.code.scheme,
            "meaning": in_words.meaning(item.code),
            "site": _site(item, in_words),
        }
        match item:
            case Measurement():
                said = f"{value(item)} {in_words.unit(item.unit)}".strip()
                doubt = uncertainty(item.uncertainty, in_words)
                row |= {"said": said, "uncertainty": doubt, "value": item.value, "unit": item.unit}
                row |= _uncertainty(item)
            case Statement():
                short = in_words.text(item.verdict)
                row |= {"said": f"{short}: {item.rule}", "verdict_said": short, "verdict": item.verdict}
            case Absent():
                row |= {
                    "said": f"{in_words.text('absent')}: {item.why}",
                    "why": item.why,
                    "reason": item.reason.meaning,
                }
            case Events():
                row |= {"said": f"{len(item.onset_s)} events"}
            case Curve():
                row |= {"said": f"{len(item.x)} points"}
            case Region():
                known = {s.code.meaning: item.volume_ml(s.label) for s in item.segments}
                sizes = {k: np.atleast_1d(v) for k, v in known.items() if v is not None}
                gaps = in_words.text("planes_with_gaps").format(n=len(item.planes))
                row |= {"said": ", ".join(f"{k} {v.max():.0f} mL" for k, v in sizes.items()) or gaps}
                row |= {
                    "frames": list(item.frames),
                    "volume_ml": {k: v.round(3).tolist() for k, v in sizes.items()},
                }
            case Shape():
                row |= {"said": f"{len(item.shape.points)} points"}
            case Field():
                row |= {"said": f"{item.values.shape[-1]} values on {item.on}"}
            case _:
                assert_never(item)
        found.append(row)
    return found


def _site(item: Item, in_words: Words) -> str:
    """Return the site in words; a lead by its name."""
    if item.site is None:
        return ""
    return next(
        (name for name, lead in codes.LEADS.items() if lead == item.site), in_words.meaning(item.site)
    )


def _events(item: Events) -> str:
    types = [item.types[n] for n in item.type_index]
    stops = ["" for _ in types] if item.offset_s is None else item.offset_s.tolist()
    leads = ["" for _ in types] if item.lead_index is None else [item.leads[n] for n in item.lead_index]
    rows = zip(
        item.onset_s.tolist(),
        stops,
        (t.scheme for t in types),
        (t.value for t in types),
        (t.meaning for t in types),
        leads,
        strict=True,
    )
    return _written(("onset [s]", "offset [s]", "scheme", "code", "meaning", "lead"), rows)


def _field(item: Field) -> str:
    values = np.atleast_2d(item.values)
    times = [""] if item.times_ms is None or item.values.ndim == 1 else item.times_ms.tolist()
    rows = (
        (time, n, v) for time, line in zip(times, values, strict=True) for n, v in enumerate(line.tolist())
    )
    return _written(("time [ms]", f"point of {item.on}", f"value [{item.unit}]"), rows)


def _rows(item: Item, one: Findings, case: Case) -> list[dict[str, Any]]:
    manifest = one.manifest
    row: dict[str, Any] = {
        "patient": one.patient or case.patient.id,
        "study": one.study,
        "application": manifest.application,
        "version": manifest.version,
        "status": one.status,
        "research_use": "no" if one.validated else "yes",
        "synthetic": "yes" if one.synthetic else "no",
        "id": item.id,
        "kind": kind(item),
        "scheme": item.code.scheme,
        "code": item.code.value,
        "meaning": item.code.meaning,
        "site": str(item.site) if item.site else "",
        "evidence": " | ".join(_evidence(e) for e in item.evidence),
        "derived_from": " ".join(item.of),
    }
    match item:
        case Measurement():
            return [{**row, "value": item.value, "unit": item.unit, **_uncertainty(item)}]
        case Region():
            return _region(item, row)
        case Shape():
            return [{**row, "value": len(item.shape.points), "unit": "{points}"}]
        case Field():
            known = item.values[np.isfinite(item.values)]  # a segment that was not measured has no value
            span = {"low": float(known.min()), "high": float(known.max())} if len(known) else {}
            return [{**row, "unit": item.unit, **span}]
        case Curve():
            return [{**row, "value": len(item.x), "unit": "{points}"}]
        case Events():
            return [{**row, "value": len(item.onset_s), "unit": "{events}"}]
        case Statement():
            calibrated = "" if item.probability is None else f"; calibrated by {item.calibration}"
            share = "" if item.probability is None else item.probability
            return [{**row, "verdict": item.verdict, "value": share, "why": item.rule + calibrated}]
        case Absent():
            return [{**row, "why": f"{item.reason.meaning}: {item.why}"}]
        case _:
            assert_never(item)


def _region(item: Region, row: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for segment in item.segments:
        known = item.volume_ml(segment.label)
        # Without a volume the row still says that the region is there.
        for t, volume in enumerate([""] if known is None else np.atleast_1d(known).tolist()):
            moment = f"@{item.frames[t]}" if t < len(item.frames) else ""
            code = {
                "scheme": segment.code.scheme,
                "code": segment.code.value,
                "meaning": segment.code.meaning,
            }
            id = f"{item.id}#{segment.label}{moment}"
            rows.append({**row, **code, "id": id, "value": volume, "unit": "mL" if volume != "" else ""})
    return rows


def _uncertainty(item: Measurement) -> dict[str, Any]:
    match item.uncertainty:
        case Sd(sd=sd):
            return {"sd": sd}
        case Interval(low=low, high=high, level=level):
            return {"low": low, "high": high, "level": level}
        case Samples(values=values):
            low, high = np.percentile(values, (2.5, 97.5)).tolist()
            return {"sd": float(np.std(values)), "low": low, "high": high, "level": 0.95}
        case Unknown(why=why):
            return {"why": why}
        case _:
            assert_never(item.uncertainty)


def _evidence(where: Evidence) -> str:
    timed = where.start_s is not None and where.stop_s is not None
    pieces = (
        where.part,
        "leads=" + " ".join(where.leads) if where.leads else "",
        f"{where.start_s:g}-{where.stop_s:g}s" if timed else "",
        "frames=" + " ".join(map(str, where.frames)) if where.frames else "",
        "planes=" + " ".join(map(str, where.planes)) if where.planes else "",
    )
    return ";".join(p for p in pieces if p)


def _written(columns: Sequence[str], rows: Iterable[dict[str, Any] | Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        cells = [row.get(c, "") for c in columns] if isinstance(row, dict) else row
        writer.writerow([_safe(cell) for cell in cells])
    return text.getvalue()


def _safe(cell: Any) -> Any:
    """Return a text that no spreadsheet takes for a formula; numbers stay as they are."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
