"""Values, codes, units and times of FHIR, in every version from DSTU2 to R5."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

from carna import codes
from carna.doors.fhir.tree import Node, node, nodes, text
from carna.errors import UnitError
from carna.units import dimension

_SYSTEMS = {
    codes.system_uri(name): name for name in ("SCT", "LN", "DCM", "MDC", "RADLEX", "NCIt", "UCUM", "99CARNA")
}
# Other spellings of the same systems, and systems whose designators are DICOM's (PS3.16, 8).
_SYSTEMS |= {
    "SNOMED-CT": "SCT",
    "urn:oid:2.16.840.1.113883.6.96": "SCT",
    "urn:oid:2.16.840.1.113883.6.1": "LN",
    "urn:oid:1.2.840.10008.2.16.4": "DCM",
    "http://hl7.org/fhir/sid/icd-10": "I10",
    "http://hl7.org/fhir/sid/icd-10-cm": "I10C",
    "http://hl7.org/fhir/sid/icd-9-cm": "I9C",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "RXNORM",
    "http://www.whocc.no/atc": "ATC",
}
# What people write where UCUM is meant.
_UNITS = {
    "mmHg": "mm[Hg]", "mm Hg": "mm[Hg]", "bpm": "/min", "beats/min": "/min", "beats/minute": "/min",
    "{beats}/min": "/min", "breaths/min": "/min", "breaths/minute": "/min", "°C": "Cel", "degC": "Cel",
    "C": "Cel", "°F": "[degF]", "degF": "[degF]", "lb": "[lb_av]", "lbs": "[lb_av]", "in": "[in_i]",
    "inches": "[in_i]",
    "years": "a", "yr": "a", "y": "a", "sec": "s", "msec": "ms", "mcg": "ug", "µg": "ug", "µmol/L": "umol/L",
    "IU/L": "[iU]/L", "U/l": "U/L", "kg/m²": "kg/m2", "m²": "m2", "percent": "%", "": "1",
}  # fmt: skip


def codings(concept: Node) -> tuple[tuple[str, str], ...]:
    """Return the (scheme, value) pairs of a CodeableConcept, and those known here to be equal."""
    found: list[tuple[str, str]] = []
    for coding in nodes(concept, "coding"):
        system, value = text(coding, "system"), text(coding, "code")
        if not value:
            continue
        pair = (_SYSTEMS.get(system, system), value)
        known = codes.find(*pair)
        found += [pair] if known is None else [pair, (known.scheme, known.value)]
    return tuple(dict.fromkeys(found))


def words(concept: Node) -> str:
    """Return what a person reads of a CodeableConcept."""
    shown = [text(coding, "display", "code") for coding in nodes(concept, "coding")]
    return text(concept, "text") or next((w for w in shown if w), "")


def ucum(quantity: Node) -> str | None:
    """Return the unit of a quantity in UCUM, None if it can't be told."""
    for given in (text(quantity, "code"), text(quantity, "unit", "units")):
        for unit in (_UNITS.get(given, given),) if given else ():
            try:
                dimension(unit)
            except UnitError:
                continue
            return unit
    return None if text(quantity, "code", "unit", "units") else "1"


def number(value: Any) -> float | None:
    """Return a finite number, None for anything else; true is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def value_of(given: Node, notes: list[str]) -> tuple[float | str, str] | None:
    """Return value and unit of an observation or a component, None if it has none.

    A quantity whose unit is unknown, or that only bounds the value (``<``), is kept as text.
    """
    if nodes(given, "dataAbsentReason"):
        return None
    if "valueQuantity" in given:
        return _quantity(node(given, "valueQuantity"), notes)
    if "valueCodeableConcept" in given:
        found = words(node(given, "valueCodeableConcept"))
        return (found, "") if found else None
    whole = number(given.get("valueInteger", given.get("valueDecimal")))
    if whole is not None:
        return whole, "1"
    if isinstance(given.get("valueBoolean"), bool):
        return ("yes" if given["valueBoolean"] else "no"), ""
    for key in ("valueString", "valueDateTime", "valueTime", "valueInstant", "valueCode"):
        if text(given, key):
            return text(given, key), ""
    for key, ends in (("valueRange", ("low", "high")), ("valueRatio", ("numerator", "denominator"))):
        if nodes(given, key):
            one, two = (_shown(node(node(given, key), end)) for end in ends)
            return f"{one} {'to' if key == 'valueRange' else 'per'} {two}".strip(), ""
    if nodes(given, "valuePeriod"):
        return f"{text(node(given, 'valuePeriod'), 'start')} to {text(node(given, 'valuePeriod'), 'end')}", ""
    other = sorted(key for key in given if key.startswith("value"))
    if other:
        notes.append(f"{words(node(given, 'code')) or 'an observation'}: {other[0]} was not read")
    return None


def _quantity(quantity: Node, notes: list[str]) -> tuple[float | str, str] | None:
    value = number(quantity.get("value"))
    if value is None:
        return None
    unit = ucum(quantity)
    if text(quantity, "comparator"):
        return _shown(quantity), ""
    if unit is None:
        notes.append(f"the unit {text(quantity, 'unit', 'code')!r} is unknown: the value is kept as text")
        return _shown(quantity), ""
    return value, unit


def _shown(quantity: Node) -> str:
    value = number(quantity.get("value"))
    shown = "" if value is None else f"{value:g}"
    parts = (text(quantity, "comparator"), shown, text(quantity, "unit", "code"))
    return " ".join(part for part in parts if part)


def moment(time: str) -> datetime | None:
    """Return a FHIR date or dateTime as UTC; a missing month or day is the first, None if it's no date."""
    padded = time + "-01-01"[len(time) - 4 :] if len(time) in (4, 7) else time
    try:
        found = datetime.fromisoformat(padded)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def age_a(birth: str, reference: str) -> float | None:
    """Return the age in years of 365.25 days at a reference time, None if a date is missing."""
    born, then = moment(birth), moment(reference)
    if born is None or then is None or then < born:
        return None
    # Calendar days of the reference's own zone, as a person counts them.
    day = date.fromisoformat(reference[:10]) if len(reference) >= 10 else then.date()
    return round((day - born.date()).days / 365.25, 3)
