"""Beats, rate and regularity of an electrocardiogram, and how well each lead was recorded."""

from __future__ import annotations

import re
from typing import Annotated

import numpy as np

from carna import codes
from carna.app import Job, Need, Setting, application
from carna.ecg import LeadQuality, Rhythm, between_gaps, find_beats, lead_quality, rhythm
from carna.errors import InputError
from carna.findings import Absent, Events, Evidence, Item, Measurement, Sd, Statement, Unknown
from carna.study import Ecg

# Noise alone gives beats of less trust than this: docs/ecg-beats.md.
TRUST = 0.7
_REGULARITY = (
    "irregular: the median change between successive RR intervals exceeds 8 % of the median interval; "
    "needs six intervals; says nothing of the rhythm's origin"
)
_USABLE = (
    "usable: recorded for at least half of the time, not flat, at most 1 % clipped, "
    "QRS band at least 10 dB above its floor"
)


@application(
    version="1.0",
    gives=(
        codes.QRS_COMPLEX,
        codes.BEAT_COUNT,
        codes.VENTRICULAR_RATE,
        codes.RR_INTERVAL,
        codes.IRREGULAR_RHYTHM,
        codes.SIGNAL_QUALITY,
        codes.SIGNAL_TO_NOISE,
    ),
    cites=("doi:10.13026/eegm-h675", "doi:10.13026/C2F305", "doi:10.13026/C24K53", "doi:10.13026/C2HS3T"),
)
def ecg_rhythm(
    ecg: Annotated[Ecg, Need("a rhythm strip of at least 5 s", min_seconds=5)],
    *,
    sure: Annotated[float, Setting("1", 0.05, 0.95, "a beat less certain than this is left out")] = 0.5,
    job: Job,
) -> tuple[Item, ...]:
    """Find the beats of an electrocardiogram; give rate, regularity and the quality of each lead."""
    if ecg.rate_hz < 50:
        raise InputError(
            f"{ecg.rate_hz:g} samples a second", needed="at least 50 Hz", fix="use the original recording"
        )
    mv = ecg.values.array
    job.progress(0.02, "quality")
    quality = lead_quality(mv, ecg.rate_hz)
    found = find_beats(mv, ecg.rate_hz, progress=job.progress.part(0.2, 0.95))
    kept = (found.confidence >= sure) & (found.trust >= TRUST)
    sample = found.sample[kept]
    seconds = sample / ecg.rate_hz
    gaps = between_gaps(sample, np.isfinite(mv))
    told = rhythm(seconds, None, gaps)
    used = tuple(lead for lead, share in zip(ecg.leads, found.share, strict=True) if share > 0.02)
    seen = Evidence(ecg.origin.uid, used, 0.0, ecg.seconds)
    job.progress(1.0, "rhythm")
    return (*_beats(seconds, seen), *_rate(told, seen), _regularity(told, seen), *_leads(ecg, quality))


def _beats(seconds: np.ndarray, seen: Evidence) -> tuple[Item, ...]:
    if not len(seconds):
        why = "no beats that can be told from noise"
        return (
            Absent(
                id="beats",
                code=codes.QRS_COMPLEX,
                why=why,
                reason=codes.VALUE_INDETERMINATE,
                evidence=(seen,),
            ),
            Absent(
                id="beats.count",
                code=codes.BEAT_COUNT,
                why=why,
                reason=codes.VALUE_INDETERMINATE,
                evidence=(seen,),
            ),
        )
    return (
        Events(
            id="beats",
            code=codes.QRS_COMPLEX,
            onset_s=seconds,
            types=(codes.QRS_COMPLEX,),
            type_index=np.zeros(len(seconds), np.int64),
            evidence=(seen,),
        ),
        Measurement(
            id="beats.count",
            code=codes.BEAT_COUNT,
            value=float(len(seconds)),
            unit="{beats}",
            uncertainty=Unknown("a count; the detector's error rates are in its documentation"),
            of=("beats",),
            evidence=(seen,),
        ),
    )


def _rate(told: Rhythm, seen: Evidence) -> tuple[Item, ...]:
    if told.mean_rate_bpm is None or told.rr_ms is None or told.rr_sd_ms is None:
        why = f"{told.intervals} usable intervals between beats, fewer than 2"
        return tuple(
            Absent(id=id, code=code, why=why, reason=codes.VALUE_INDETERMINATE, evidence=(seen,))
            for id, code in (("rate", codes.VENTRICULAR_RATE), ("rr", codes.RR_INTERVAL))
        )
    # How far the mean of so few intervals may lie from the mean of many.
    relative = told.rr_sd_ms / told.rr_ms / float(np.sqrt(told.intervals))
    return (
        Measurement(
            id="rate",
            code=codes.VENTRICULAR_RATE,
            value=told.mean_rate_bpm,
            unit="/min",
            uncertainty=Sd(told.mean_rate_bpm * relative),
            method=codes.MEAN,
            of=("beats",),
            evidence=(seen,),
        ),
        Measurement(
            id="rr",
            code=codes.RR_INTERVAL,
            value=told.rr_ms,
            unit="ms",
            uncertainty=Sd(told.rr_ms * relative),
            method=codes.MEAN,
            of=("beats",),
            evidence=(seen,),
        ),
    )


def _regularity(told: Rhythm, seen: Evidence) -> Item:
    verdicts = {"irregular": "met", "regular": "not met"}
    return Statement(
        id="rhythm.irregular",
        code=codes.IRREGULAR_RHYTHM,
        verdict=verdicts.get(told.regularity, "not assessable"),  # type: ignore[arg-type]
        rule=_REGULARITY,
        of=("beats",),
        evidence=(seen,),
    )


def _leads(ecg: Ecg, quality: LeadQuality) -> tuple[Item, ...]:
    """Return for every lead whether it is usable, and its signal-to-noise ratio."""
    items: list[Item] = []
    words = [re.sub(r"[^a-z0-9]+", "_", lead.lower()).strip("_") or "x" for lead in ecg.leads]
    for n, lead in enumerate(ecg.leads):
        site = codes.LEADS.get(lead)
        seen = Evidence(ecg.origin.uid, (lead,), 0.0, ecg.seconds)
        id = f"lead.{words[n]}" if words.count(words[n]) == 1 else f"lead.{words[n]}_{n + 1}"
        kind, snr = quality.kind[n], float(quality.snr_db[n])
        items.append(
            Statement(
                id=id,
                code=codes.SIGNAL_QUALITY,
                site=site,
                verdict="met" if kind == "good" else "not met",
                rule=_USABLE if kind == "good" else f"{_USABLE}; this lead: {kind}",
                evidence=(seen,),
            )
        )
        if kind in ("flat", "no signal") or not np.isfinite(snr):
            items.append(
                Absent(
                    id=f"{id}.snr",
                    code=codes.SIGNAL_TO_NOISE,
                    site=site,
                    why=f"lead {lead}: {kind}",
                    reason=codes.NOT_ATTEMPTED,
                    evidence=(seen,),
                )
            )
            continue
        items.append(
            Measurement(
                id=f"{id}.snr",
                code=codes.SIGNAL_TO_NOISE,
                site=site,
                value=snr,
                unit="dB",
                uncertainty=Unknown("a ratio within one recording"),
                evidence=(seen,),
            )
        )
    return tuple(items)
