"""Ids, codes and reasons that several pages of this application share."""

from __future__ import annotations

import re

from carna import codes
from carna.codes import Concept, ecg_statements
from carna.findings import Evidence, Measurement, Sd, Unknown

CODE = ecg_statements.by_criterion()
NO_BEATS = "no beats that can be told from noise"
CONTRADICT = "limb channels contradict each other: order, sign or gain is not as stated"
_ONE = re.compile(r"(?!channel_\d+$).")  # a name that can be an id


def slug(name: str) -> str:
    """Return a name as a piece of an id."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def lead_ids(leads: tuple[str, ...]) -> list[str]:
    """Return a piece of an id for each lead: its name, or its number where names are alike or not words."""
    slugs = [slug(lead) for lead in leads]
    return [
        s if lead in codes.LEADS or (_ONE.match(s) and slugs.count(s) == 1) else f"channel_{k + 1}"
        for k, (lead, s) in enumerate(zip(leads, slugs, strict=True))
    ]


def number(
    id: str,
    code: Concept,
    value: float,
    unit: str,
    uncertainty: Sd | Unknown,
    evidence: tuple[Evidence, ...],
    *,
    of: tuple[str, ...],
    site: Concept | None = None,
    method: Concept | None = None,
) -> Measurement:
    """Return a measurement; ``of`` names the items it was made from."""
    return Measurement(
        id=id, code=code, value=float(value), unit=unit, uncertainty=uncertainty, evidence=evidence, of=of,
        site=site, method=method,
    )  # fmt: skip
