"""Where a second method says otherwise: P waves against the call of fibrillation, trees against the rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from carna import codes
from carna.apps.ecg_reading.names import CODE, slug
from carna.codes import ecg_statements
from carna.ecg.criteria import Verdict
from carna.ecg.criteria.reading import Reading
from carna.ecg.second import Opinion, opinions
from carna.findings import Evidence, Item, Statement

_TREES = "trees on the raw shape of the median beat and on its intervals"
_UNASKED = (
    "The trees were not asked: they need eight leads (I, II, V1 to V6) that can be read and believed, four "
    "intervals, and no pacing"
)


def doubted(got: Reading, verdicts: tuple[Verdict, ...], seen: Evidence) -> Iterator[Item]:
    """Yield a doubt wherever two methods contradict each other, and on what the second one was asked."""
    doubt = got.fibrillation_in_doubt()
    if doubt is not None:
        yield Statement(
            id="second_opinion.fibrillation",
            code=codes.ATRIAL_FIBRILLATION,
            verdict="not assessable",
            rule=f"Two methods disagree on atrial fibrillation: {doubt}. Look at the trace.",
            of=("beats", "criteria.atrial_fibrillation"),
            evidence=(seen,),
        )
    given = opinions(got.tracing) if got.tracing is not None else ()
    by_name = {v.name: v for v in verdicts}
    apart, alike, silent = [], [], []
    for one in given:
        rules = [by_name[name] for name in one.model.rules]
        said = _together(rules)
        if one.answer == "no opinion" or said == "not assessable":
            silent.append(one.model.name)
        elif (one.answer == "yes") == (said == "met"):
            alike.append(one.model.name)
        else:
            apart.append(one.model.name)
            yield _doubt(one, rules, said, seen)
    told = (("apart on", apart), ("alike on", alike), ("one of both without an answer on", silent))
    words = "; ".join(f"{what} {', '.join(names)}" for what, names in told if names)
    verdict: Literal["met", "not met", "not assessable"] = (
        "not met" if apart else "met" if alike else "not assessable"
    )
    yield Statement(
        id="second_opinion",
        code=ecg_statements.SECOND_OPINION,
        verdict=verdict,
        rule=f"Rules, and {_TREES}: {words}. doi:10.1214/aos/1013203451" if given else f"{_UNASKED}.",
        of=("beats",),
        evidence=(seen,),
    )


def _together(rules: list[Verdict]) -> Literal["met", "not met", "not assessable"]:
    """Return what several rules of one thing say: met if one is, not met if one is and none met."""
    answers = {v.verdict for v in rules}
    return "met" if "met" in answers else "not met" if "not met" in answers else "not assessable"


def _doubt(one: Opinion, rules: list[Verdict], said: str, seen: Evidence) -> Statement:
    name = one.model.name
    which = [v for v in rules if v.verdict == said]
    rule = f"rule {which[0].name}" if len(rules) == 1 else f"rules {', '.join(v.name for v in which)}"
    return Statement(
        id=f"second_opinion.{slug(name)}",
        code=CODE[one.model.rules[0]],
        verdict="not assessable",
        rule=(
            f"Two methods disagree on {name}: {rule} {said}; {_TREES} say {one.answer} "
            f"(out of fold in {one.model.persons} persons: {one.model.record}). Look at the trace."
        ),
        of=("beats", *(f"criteria.{slug(v.name)}" for v in which)),
        evidence=(seen,),
    )
