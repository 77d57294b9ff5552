"""Which leads are usable, and whether cables or electrodes seem exchanged."""

from __future__ import annotations

from collections.abc import Iterator

from carna import codes
from carna.apps.ecg_reading.names import CONTRADICT, NO_BEATS, lead_ids
from carna.codes import ecg_statements
from carna.ecg.criteria import Tracing
from carna.ecg.criteria.reading import Reading
from carna.findings import Evidence, Item, Statement
from carna.study import Ecg

_USABLE = (
    "usable: recorded for at least half of the time, not flat, at most 1 % clipped, swings below 20 mV, "
    "QRS band at least 10 dB above its floor, hum below 0.3 mV"
)
_EXCHANGED = "limb cables or chest electrodes lie as their leads are named; blind to some exchanges"
_LIMB = {"I", "II", "III", "aVR", "aVL", "aVF"}


def electrodes(tracing: Tracing | None, seen: Evidence) -> Iterator[Item]:
    """Yield whether cables or electrodes seem exchanged, and whether channels contradict each other."""
    told = tracing.integrity if tracing is not None else None
    for id, code, verdict, chest in (
        ("electrodes.limb", ecg_statements.LEADS_REVERSED, told.limb if told else "not assessable", False),
        ("electrodes.chest", ecg_statements.CHEST_LEADS_EXCHANGED, told.chest if told else "not assessable",
         True),
    ):  # fmt: skip
        whys = (
            [s.why for s in told.suspicions if chest == all(n.startswith("V") for n in s.leads)]
            if told
            else [NO_BEATS]
        )
        rule = "; ".join((f"exchanged: {_EXCHANGED}", *whys))
        yield Statement(id=id, code=code, verdict=verdict, rule=rule, evidence=(seen,))
    # Clipping or noise breaks the sums too, and is said of each lead.
    if told is not None and told.channels == "met" and not _LIMB & told.unusable.keys():
        yield Statement(
            id="look_now.channels",
            code=ecg_statements.LOOK_NOW,
            verdict="met",
            rule=f"{CONTRADICT[0].upper()}{CONTRADICT[1:]}: no axis, no criterion on amplitudes.",
            evidence=(seen,),
        )


def usable(got: Reading, ecg: Ecg) -> Iterator[Item]:
    """Yield for every lead whether it is usable."""
    for id, lead, kind in zip(lead_ids(ecg.leads), ecg.leads, got.quality.kind, strict=True):
        yield Statement(
            id=f"lead.{id}",
            code=codes.SIGNAL_QUALITY,
            site=codes.LEADS.get(lead),
            verdict="met" if kind == "good" else "not met",
            rule=_USABLE if kind == "good" else f"{_USABLE}; this lead: {kind}",
            evidence=(Evidence(ecg.origin.uid, (lead,), 0.0, round(ecg.seconds, 3)),),
        )
