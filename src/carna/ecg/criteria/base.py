"""What every criterion reads, and the only three answers it gives: met, not met, not assessable.

A rule is a plain function of a `Look` at a `Tracing`; it returns whether the criterion is met. Whatever it
looks at is noted, and becomes the evidence of the verdict. Asking for something that is not there (a lead
that was not recorded, is noisy, or may sit under another name; a wave that was not found; an age) ends the
rule: **not assessable**, with the reason. So a poor trace never yields "not met", and no rule has to think of
it.

Rules over several leads use `Look.some`, `Look.every`, `Look.any_of`, `Look.all_of`, which know that one lead
in which it is met settles "some" while a lead that cannot be read leaves it open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, TypeVar

from carna.ecg.arrhythmia import Conduction, Event
from carna.ecg.integrity import Integrity
from carna.ecg.measure import LeadMeasures, Matrix
from carna.ecg.median import Fiducials, MedianBeat
from carna.ecg.rhythm import Rhythm
from carna.ecg.traces import Floats

T = TypeVar("T")
Answer = Literal["met", "not met", "not assessable"]
Sex = Literal["female", "male"]
Value = tuple[str, float, str, str]

ADULT_A = 18.0
AT_END_MS = 8.0  # a wave that peaks this close to the end of QRS is the ST level
SAID = 16  # numbers spelled out in the reason; all of them are in the values
PART_II = "doi:10.1161/CIRCULATIONAHA.106.180201"  # AHA/ACC/HRS 2007, statement list
PART_III = "doi:10.1161/CIRCULATIONAHA.108.191095"  # AHA/ACCF/HRS 2009, intraventricular conduction
PART_IV = "doi:10.1161/CIRCULATIONAHA.108.191096"  # ST, T, U, QT
PART_V = "doi:10.1161/CIRCULATIONAHA.108.191097"  # chamber hypertrophy
UDMI = "doi:10.1161/CIR.0000000000000617"  # fourth universal definition of myocardial infarction, 2018
MINNESOTA = "doi:10.1007/978-1-84882-778-3"  # Minnesota code manual, 2nd edition
BRADYCARDIA = "doi:10.1161/CIR.0000000000000628"  # ACC/AHA/HRS 2018
SVT = "doi:10.1161/CIR.0000000000000311"  # ACC/AHA/HRS 2015
ESC_VA = "doi:10.1093/eurheartj/ehac262"  # ESC 2022, ventricular arrhythmias
ESC_AF = "doi:10.1093/eurheartj/ehaa612"  # ESC 2020, atrial fibrillation
TEXTBOOK = "textbook consensus; not re-read"


@dataclass(frozen=True, slots=True, eq=False)
class Tracing:
    """Everything known of one electrocardiogram; None where it is not known.

    Attributes
    ----------
    matrix : Matrix
        Measured on the median beat; its leads by the names "I", "aVR", "V1", "V4R", "V7".
    median, fiducials : optional
        Rules on shape (notches, slopes, P terminal force) need them; rows as in ``leads``.
    leads : tuple of str
        Names of the rows of ``median``.
    rhythm : Rhythm, optional
    p_present : bool, optional
        A P wave goes before every (nearly every) QRS.
    fibrillation, flutter, paced : bool, optional
        What the rhythm engines say of the atria; whether pacing spikes were found.
    kinds : mapping of str to int, optional
        Beats of each of `carna.ecg.kinds.KINDS`.
    conduction : Conduction, optional
        P waves paired with beats.
    events : tuple of Event, optional
        Pauses, runs, ...
    integrity : Integrity, optional
    age_a : float, optional
        Years.
    sex : "female", "male" or None
    """

    matrix: Matrix
    median: MedianBeat | None = None
    fiducials: Fiducials | None = None
    leads: tuple[str, ...] = ()
    rhythm: Rhythm | None = None
    p_present: bool | None = None
    fibrillation: bool | None = None
    flutter: bool | None = None
    paced: bool | None = None
    kinds: Mapping[str, int] | None = None
    conduction: Conduction | None = None
    events: tuple[Event, ...] | None = None
    integrity: Integrity | None = None
    age_a: float | None = None
    sex: Sex | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of one criterion, and what it rests on.

    Attributes
    ----------
    name, source : str
        Of the criterion.
    verdict : "met", "not met" or "not assessable"
    why : str
        What was compared, or what was missing.
    values : tuple of (name, value, unit, lead)
        Every number looked at, in order; ``lead`` is "" for global ones.
    leads : tuple of str
        Leads looked at.
    beats : int
        Beats in the median.
    """

    name: str
    source: str
    verdict: Answer
    why: str
    values: tuple[Value, ...]
    leads: tuple[str, ...]
    beats: int


class NotAssessable(Exception):
    """Something a rule asked for is not there."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One named rule.

    Attributes
    ----------
    name : str
    source : str
        DOI, or the honest `TEXTBOOK`.
    text : str
        The rule in words, with its limits.
    needs : tuple of str
        What it looks at, for people.
    rule : callable
        Whether it is met, of a `Look`.
    """

    name: str
    source: str
    text: str
    needs: tuple[str, ...]
    rule: Callable[[Look], bool]

    def judge(self, tracing: Tracing) -> Verdict:
        """Return the verdict on a tracing."""
        look = Look(tracing)
        try:
            answer: Answer = "met" if self.rule(look) else "not met"
            why = f"{self.text}; found: {look.said() or 'nothing of it'}"
        except NotAssessable as reason:
            answer, why = "not assessable", str(reason)
        leads = tuple(dict.fromkeys(lead for *_, lead in look.values if lead))
        return Verdict(self.name, self.source, answer, why, tuple(look.values), leads, tracing.matrix.beats)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A rule's view of a tracing: gives what is there, notes it, and ends the rule where something is not."""

    tracing: Tracing
    values: list[Value] = field(default_factory=list)

    def note(self, name: str, value: float, unit: str, lead: str = "") -> float:
        """Add a number to the evidence and return it."""
        if (name, value, unit, lead) not in self.values:
            self.values.append((name, value, unit, lead))
        return value

    def said(self) -> str:
        """Say the evidence in words."""
        told = [
            f"{name}{' ' + lead if lead else ''} {value:.3g}{' ' + unit if unit != '1' else ''}"
            for name, value, unit, lead in self.values
        ]
        return ", ".join(told[:SAID]) + (f" and {len(told) - SAID} more" if len(told) > SAID else "")

    # --- the person -----------------------------------------------------------------------------------

    def adult(self) -> float:
        """Age in years, of a person of 18 and more."""
        age = self.tracing.age_a
        if age is None:
            raise NotAssessable("the age is not known; these limits hold for adults")
        if age < ADULT_A:
            raise NotAssessable(f"age {age:g} years; these limits hold from {ADULT_A:g} years")
        return age

    def female(self) -> bool:
        """Whether the limits for women apply."""
        if self.tracing.sex is None:
            raise NotAssessable("the sex is not known; the limits differ")
        return self.tracing.sex == "female"

    # --- the whole recording --------------------------------------------------------------------------

    def ms(self, name: Literal["p", "pr", "qrs", "qt", "jt"]) -> float:
        """A global interval, ms."""
        self.readable()
        interval = getattr(self.tracing.matrix, name)
        words = {"p": "P duration", "pr": "PR", "qrs": "QRS", "qt": "QT", "jt": "JT"}[name]
        if interval is None:
            raise NotAssessable(f"{words} could not be measured")
        return self.note(words, float(interval.ms), "ms")

    def qtc(self, formula: str = "Fridericia") -> float:
        """Corrected QT, ms."""
        self.readable()
        found = self.tracing.matrix.qtc_ms.get(formula)
        if found is None:
            raise NotAssessable("QT or the rate could not be measured")
        return self.note(f"QTc {formula}", found.ms, "ms")

    def axis(self, wave: Literal["p", "qrs", "t"] = "qrs") -> float:
        """Frontal axis, degrees, -180 to 180."""
        suspect = self._suspect()
        if self.tracing.integrity is not None and self.tracing.integrity.channels == "met":
            raise NotAssessable("limb channels contradict each other: order, sign or gain is not as stated")
        if suspect & {"I", "II", "III", "aVF"}:
            raise NotAssessable("limb cables may be exchanged")
        value = getattr(self.tracing.matrix, f"{wave}_axis")
        if value is None:
            raise NotAssessable(f"{wave.upper()} axis is indeterminate")
        return self.note(f"{wave.upper()} axis", value, "deg")

    def rate(self) -> float:
        """Ventricular rate, per minute."""
        told = self.tracing.rhythm
        if told is None or told.rate_bpm is None:
            raise NotAssessable("the rate could not be measured")
        return self.note("rate", told.rate_bpm, "/min")

    def fact(self, name: Literal["p_present", "fibrillation", "flutter", "paced"]) -> bool:
        """One of the yes-or-no facts about the rhythm."""
        value = getattr(self.tracing, name)
        if value is None:
            words = {"p_present": "P waves", "paced": "pacing"}.get(name, f"atrial {name}")
            raise NotAssessable(f"{words}: nothing was concluded from this trace")
        self.note(name.replace("_", " "), float(value), "1")
        return bool(value)

    def conduction(self) -> Conduction:
        """P waves paired with beats."""
        if self.tracing.conduction is None:
            raise NotAssessable("P waves were not followed one by one")
        return self.tracing.conduction

    def events(self, *kinds: str) -> tuple[Event, ...]:
        """Events of these kinds."""
        if self.tracing.events is None:
            raise NotAssessable("the rhythm was not searched for events")
        return tuple(e for e in self.tracing.events if e.kind in kinds)

    def kind(self, name: str) -> int:
        """How many beats are of this kind."""
        if self.tracing.kinds is None:
            raise NotAssessable("beats were not told apart")
        count = self.tracing.kinds.get(name, 0)
        self.note(f"{name} beats", count, "1")
        if count == 0 and self.tracing.kinds.get("unknown", 0):
            raise NotAssessable(f"{self.tracing.kinds['unknown']} beats of unknown kind")
        return count

    def readable(self) -> None:
        """End the rule when more than half of the leads cannot be read."""
        told = self.tracing.integrity
        leads = self.tracing.matrix.leads
        if told is not None and 2 * len(told.unusable) > len(leads):
            raise NotAssessable(f"{len(told.unusable)} of {len(leads)} leads cannot be read")

    # --- one lead -------------------------------------------------------------------------------------

    def _suspect(self) -> frozenset[str]:
        return self.tracing.integrity.suspect if self.tracing.integrity is not None else frozenset()

    def lead(self, name: str) -> LeadMeasures:
        """Measures of a lead that can be read under its name."""
        told = self.tracing.integrity
        if name not in self.tracing.matrix.leads:
            raise NotAssessable(f"lead {name} was not recorded")
        if told is not None and name in told.unusable:
            raise NotAssessable(f"lead {name}: {told.unusable[name]}")
        if told is not None and told.channels == "met":
            raise NotAssessable("limb channels contradict each other: order, sign or gain is not as stated")
        if name in self._suspect():
            raise NotAssessable(f"lead {name} may be recorded under another name (electrodes exchanged)")
        measured = self.tracing.matrix.leads[name]
        if measured.j_mV is None:
            raise NotAssessable(f"lead {name}: no QRS was measured")
        qrs = self.tracing.matrix.qrs
        return measured if qrs is None else _without_st(measured, qrs.ms)

    def r(self, lead: str) -> float:
        """Height of the largest upward wave, mV, 0 when there is none."""
        m = self.lead(lead)
        return self.note("R", max((w.mV for w in (m.r, m.r2) if w is not None), default=0.0), "mV", lead)

    def s(self, lead: str) -> float:
        """Depth of S, S' or a QS complex, mV, as a positive number."""
        m = self.lead(lead)
        waves = (m.s, m.s2, m.q if m.qs else None)
        return self.note("S", max((-w.mV for w in waves if w is not None), default=0.0), "mV", lead)

    def q(self, lead: str) -> tuple[float, float]:
        """Depth (mV, positive) and duration (ms) of Q or QS; zeros without one."""
        wave = self.lead(lead).q
        depth, long = (-wave.mV, wave.ms) if wave is not None else (0.0, 0.0)
        return self.note("Q", depth, "mV", lead), self.note("Q duration", long, "ms", lead)

    def swing(self, lead: str) -> float:
        """QRS from its lowest to its highest point, mV."""
        m = self.lead(lead)
        waves = [w.mV for w in (m.q, m.r, m.s, m.r2, m.s2) if w is not None]
        return self.note("QRS peak to peak", max([0.0, *waves]) - min([0.0, *waves]), "mV", lead)

    def r_peak(self, lead: str) -> float:
        """From QRS onset to the peak of the last R wave, ms."""
        found = self.lead(lead).r_peak_ms
        if found is None:
            raise NotAssessable(f"lead {lead} has no R wave")
        return self.note("R peak time", found, "ms", lead)

    def at(
        self,
        lead: str,
        name: Literal[
            "j_mV", "st40_mV", "st60_mV", "st80_mV", "t_mV", "t_negative_mV", "p_mV", "p_negative_mV"
        ],
    ) -> float:
        """A level of a lead, mV."""
        found = getattr(self.lead(lead), name)
        wave, _, negative = name.removesuffix("_mV").partition("_")
        words = f"negative {wave.upper()}" if negative else wave.upper()
        if found is None:
            raise NotAssessable(f"lead {lead}: {words} could not be measured")
        return self.note(words, float(found), "mV", lead)

    def wave(self, lead: str, start_ms: float, stop_ms: float) -> tuple[Floats, float]:
        """A piece of the median beat above the QRS-onset level, mV, and its sampling rate.

        Times are ms after the global QRS onset.
        """
        t = self.tracing
        self.lead(lead)
        if t.median is None or t.fiducials is None or t.fiducials.qrs_on is None or lead not in t.leads:
            raise NotAssessable("the median beat was not given")
        x = t.median.mV[t.leads.index(lead)]
        onset = t.median.r + t.fiducials.qrs_on[0] * t.median.rate_hz / 1000
        a, b = (round(onset + ms * t.median.rate_hz / 1000) for ms in (start_ms, stop_ms))
        if a < 0 or b >= len(x):
            raise NotAssessable("the wave lies outside the median beat")
        level = x[max(0, round(onset) - 8) : round(onset) + 1].mean()
        return x[a : b + 1] - level, t.median.rate_hz

    # --- several leads --------------------------------------------------------------------------------

    def any_of(self, *rules: Callable[[], bool]) -> bool:
        """Whether one of the rules is met; unknown ones leave it open when they could matter."""
        return self._count(rules, 1)

    def all_of(self, *rules: Callable[[], bool]) -> bool:
        """Whether all rules are met; one that is not settles it, whatever the unknown ones are."""
        return not self._count([partial(_not, rule) for rule in rules], 1)

    def some(self, rule: Callable[[T], bool], over: Iterable[T], least: int = 1) -> bool:
        """Whether the rule is met for at least ``least`` of the leads (or pairs, or groups)."""
        return self._count([partial(rule, item) for item in over], least)

    def every(self, rule: Callable[[T], bool], over: Iterable[T]) -> bool:
        """Whether the rule is met for all of the leads."""
        return self.all_of(*(partial(rule, item) for item in over))

    def points(self, limit: int, name: str, *parts: tuple[int, Callable[[], bool]]) -> bool:
        """Whether the points of the parts that are met reach a limit; open parts matter when they could."""
        total, open_ = 0, 0
        why: list[str] = []
        for worth, rule in parts:
            try:
                total += worth if rule() else 0
            except NotAssessable as reason:
                open_ += worth
                why.append(str(reason))
        if total < limit <= total + open_:
            raise NotAssessable("; ".join(dict.fromkeys(why)))
        return self.note(name, total, "1") >= limit

    def _count(self, rules: Iterable[Callable[[], bool]], least: int) -> bool:
        met = 0
        open_: list[str] = []
        aside: list[Value] = []
        for rule in rules:
            before = len(self.values)
            try:
                answer = rule()
            except NotAssessable as reason:
                open_.append(str(reason))
                continue
            met += answer
            if not answer:  # evidence against: told only when it decides
                aside += self.values[before:]
                del self.values[before:]
        if met < least <= met + len(open_):
            raise NotAssessable("; ".join(dict.fromkeys(open_)))
        if met < least:
            self.values.extend(v for v in aside if v not in self.values)
        return met >= least


def _without_st(m: LeadMeasures, qrs_ms: float) -> LeadMeasures:
    """Leave out a last wave that only climbs into a raised or lowered ST: it has no way back."""
    waves = {name: wave for name in ("q", "r", "s", "r2", "s2") if (wave := getattr(m, name)) is not None}
    if len(waves) < 2:
        return m
    last = max(waves, key=lambda name: waves[name].peak_ms)
    if waves[last].peak_ms < qrs_ms - AT_END_MS:
        return m
    if last == "r":
        return replace(m, r=None, qs=True, r_peak_ms=None)
    if last == "r2":
        return replace(m, r2=None, r_peak_ms=waves["r"].peak_ms)
    return replace(m, s=None) if last == "s" else replace(m, s2=None)


def _not(rule: Callable[[], bool]) -> bool:
    return not rule()
