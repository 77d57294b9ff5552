"""A statement for every criterion, and what a person should see first."""

from __future__ import annotations

from collections.abc import Iterator

from carna.apps.ecg_reading.names import CODE, NO_BEATS, slug
from carna.codes import ecg_statements
from carna.ecg.criteria import CRITERIA, Verdict, look_now
from carna.ecg.criteria.reading import Reading
from carna.ecg.criteria.scored import said
from carna.findings import Evidence, Item, Statement


def criteria(verdicts: tuple[Verdict, ...], seen: Evidence) -> Iterator[Item]:
    """Yield a statement for each criterion."""
    if not verdicts:
        for criterion in CRITERIA:
            yield Statement(
                id=f"criteria.{slug(criterion.name)}",
                code=CODE[criterion.name],
                verdict="not assessable",
                rule=f"{criterion.text}. {NO_BEATS}. {criterion.source} {said(criterion.name)}",
                evidence=(seen,),
            )
        return
    for verdict in verdicts:
        leads = tuple(lead for lead in verdict.leads if lead in seen.leads) or seen.leads
        yield Statement(
            id=f"criteria.{slug(verdict.name)}",
            code=CODE[verdict.name],
            verdict=verdict.verdict,
            rule=f"{verdict.name}: {verdict.why}. {verdict.source} {said(verdict.name)}",
            of=("beats",),
            evidence=(Evidence(seen.part, leads, seen.start_s, seen.stop_s),),
        )


def urgent(verdicts: tuple[Verdict, ...], got: Reading, seen: Evidence) -> Iterator[Item]:
    """Yield what a person should see first: urgent criteria that are met, stretches without beats."""
    for one in look_now(verdicts, got.beats.arrests):
        name = one.verdict.name
        judged = any(v.name == name for v in verdicts)
        yield Statement(
            id=f"look_now.{slug(name)}",
            code=ecg_statements.LOOK_NOW,
            verdict="met",
            rule=one.sentence if judged else f"{one.sentence} {one.verdict.why}. {one.verdict.source}",
            of=(f"criteria.{slug(name)}",) if judged else (),
            evidence=(seen,),
        )


def unread(got: Reading, seen: Evidence) -> Iterator[Item]:
    """Yield a call to look where no beat was found: asystole and ventricular fibrillation have none."""
    if got.tracing is not None:
        return
    moving = sum(kind not in ("flat", "no signal") for kind in got.quality.kind)
    what = (
        f"{moving} of {len(seen.leads)} leads move: noise, or a rhythm without distinct beats such as "
        "ventricular fibrillation or flutter"
        if moving
        else "All leads are flat or empty: electrodes off, or asystole"
    )
    yield Statement(
        id="look_now.unread",
        code=ecg_statements.LOOK_NOW,
        verdict="met",
        rule=f"Nothing was read: {NO_BEATS}. {what}. Look at the trace; Carna is no alarm.",
        evidence=(seen,),
    )
