"""Which findings make up judged vessels: a tree with a ratio, pull-backs, lesions with their numbers.

Ids say what belongs together: ``tree``, ``tree.narrow``, ``ratio``, ``ratio.low``, ``ratio.high``,
``pullback.v1`` with ``.low`` and ``.high``, ``ppg.v1``, ``lesion1`` and ``lesion1.stenosis`` and so on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, final

from carna import codes
from carna.codes import Concept
from carna.findings import Curve, Field, Findings, Interval, Item, Measurement, Shape, Statement
from carna.render.words import Words
from carna.space import VesselTree

__all__ = [
    "Lesion",
    "Line",
    "Pull",
    "VesselTable",
    "in_vessels",
    "lesions",
    "name_of",
    "pulls",
    "tree",
    "vessel_table",
]

RATIOS: Final = (codes.FFR_COMPUTED, codes.PD_PA_COMPUTED)
_LESION = re.compile(r"lesion(\d+)(?:\.(\w+))?")
_DECIMALS: Final = {"place": 0, "stenosis": 0, "throat": 1, "length": 0, "gradient": 0}
_TABLED = ("place", "stenosis", "throat", "length", "ratio", "drop", "gradient", "if_open")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Pull:
    """One vessel's pull-back: the median and its band, and the pull-back's index where it has one."""

    number: int
    median: Curve
    low: Curve
    high: Curve
    index: Measurement | None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """One narrowing: what was measured of it by the last word of its id, its shape and its verdict."""

    number: int
    numbers: dict[str, Measurement]
    shape: VesselTree | None
    verdict: Statement | None
    along: int | None


@final
@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table: its name, where it is, and for each column a value and its band."""

    name: str
    site: str
    cells: tuple[tuple[str, str], ...]


@final
@dataclass(frozen=True, slots=True)
class VesselTable:
    """Lesions and vessels, each with the names of their columns."""

    columns: tuple[str, ...]
    lesions: tuple[Line, ...]
    vessel_columns: tuple[str, ...]
    vessels: tuple[Line, ...]


def tree(one: Findings) -> tuple[VesselTree, Field, VesselTree | None] | None:
    """Return the vessels, the ratio on them and the vessels too narrow to have one; None if there is none."""
    whole, ratio, narrow = one.get("tree"), one.get("ratio"), one.get("tree.narrow")
    if not (isinstance(whole, Shape) and isinstance(ratio, Field) and ratio.code in RATIOS):
        return None
    if not isinstance(whole.shape, VesselTree):
        return None
    rest = narrow.shape if isinstance(narrow, Shape) and isinstance(narrow.shape, VesselTree) else None
    return whole.shape, ratio, rest


def in_vessels(item: Item) -> bool:
    """Whether an item is drawn in the figures of the vessels, or stands in their table."""
    match item:
        case Curve() | Field():
            told = item.code in RATIOS and item.id.startswith(("pullback.", "ratio"))
            return told or item.code == codes.ANEURYSM_SAC
        case Shape():
            return item.code in (codes.ARTERY_LUMEN, codes.STENOTIC_SEGMENT)
        case Measurement():
            found = _LESION.fullmatch(item.id)
            return item.code == codes.PULL_BACK_INDEX or (found is not None and found[2] in _TABLED)
        case _:
            return False


def pulls(one: Findings) -> tuple[Pull, ...]:
    """Return the pull-backs in order."""
    found = []
    for n in range(1, len(one.items) + 1):
        median, low, high = (one.get(f"pullback.v{n}{end}") for end in ("", ".low", ".high"))
        if not (isinstance(median, Curve) and isinstance(low, Curve) and isinstance(high, Curve)):
            break
        index = one.get(f"ppg.v{n}")
        found.append(Pull(n, median, low, high, index if isinstance(index, Measurement) else None))
    return tuple(found)


def lesions(one: Findings) -> tuple[Lesion, ...]:
    """Return the lesions in order, each with the number of the pull-back it lies on."""
    numbers: dict[int, dict[str, Measurement]] = {}
    for item in one.items:
        found = _LESION.fullmatch(item.id)
        if found and found[2] in _TABLED and isinstance(item, Measurement):
            numbers.setdefault(int(found[1]), {})[found[2]] = item
    made = []
    for n, mine in sorted(numbers.items()):
        shape, verdict = one.get(f"lesion{n}"), one.get(f"lesion{n}.low")
        on = next((m.of for m in mine.values()), ())
        along = next((int(o.removeprefix("pullback.v")) for o in on if o.startswith("pullback.v")), None)
        line = shape.shape if isinstance(shape, Shape) and isinstance(shape.shape, VesselTree) else None
        made.append(Lesion(n, mine, line, verdict if isinstance(verdict, Statement) else None, along))
    return tuple(made)


def vessel_table(one: Findings, in_words: Words) -> VesselTable | None:
    """Return the lesions and the vessels as tables, None where there is no tree."""
    if tree(one) is None:
        return None
    text = in_words.text
    found, lines = lesions(one), pulls(one)
    keys = [k for k in _TABLED if any(k in x.numbers for x in found)]
    share = any(x.verdict is not None and x.verdict.probability is not None for x in found)
    columns = tuple(text(f"lesion_{k}") for k in keys) + ((text("lesion_below"),) if share else ())
    rows = []
    for x in found:
        sites = [m.site for m in x.numbers.values() if m.site is not None]
        cells = tuple(_cell(k, x.numbers.get(k), in_words) for k in keys)
        if share:
            p = x.verdict.probability if x.verdict is not None else None
            cells += (("\N{EN DASH}" if p is None else f"{p:.2f}", ""),)
        rows.append(Line(str(x.number), in_words.meaning(sites[0]) if sites else "", cells))
    vessels = tuple(
        Line(
            str(p.number),
            in_words.meaning(p.median.site) if p.median.site is not None else "",
            (
                (f"{p.median.x[-1]:.0f} mm", ""),
                (f"{p.median.y[-1]:.2f}", f"{p.low.y[-1]:.2f}\N{EN DASH}{p.high.y[-1]:.2f}"),
                *((_cell("index", p.index, in_words),) if any(q.index for q in lines) else ()),
            ),
        )
        for p in lines
    )
    heads = ("vessel_reach", "vessel_end", *(("vessel_ppg",) if any(q.index for q in lines) else ()))
    return VesselTable(columns, tuple(rows), tuple(text(h) for h in heads), vessels)


def name_of(concept: Concept | None, number: int, in_words: Words) -> str:
    """Return a vessel's number and, where it has one, its name."""
    return f"{number}" if concept is None else f"{number} · {in_words.meaning(concept)}"


def _cell(suffix: str, item: Measurement | None, in_words: Words) -> tuple[str, str]:
    """Return a value with its unit, and its band."""
    if item is None:
        return "\N{EN DASH}", ""
    decimals = _DECIMALS.get(suffix, 2)
    if suffix == "gradient" and abs(item.value) < 9.5:
        decimals = 1
    unit = in_words.unit(item.unit)
    value = f"{item.value:.{decimals}f}{f' {unit}' if unit else ''}"
    if not isinstance(item.uncertainty, Interval) or suffix == "place":
        return value, ""
    low, high = (f"{x:.{decimals}f}" for x in (item.uncertainty.low, item.uncertainty.high))
    return value, f"{low}\N{EN DASH}{high}"
