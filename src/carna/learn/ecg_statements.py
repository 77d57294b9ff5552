"""Criteria against the statements of cardiologists in the headers of LUDB and the CinC 2021 sample; exchanged
leads.

A label and a criterion seldom mean the same: "left ventricular hypertrophy" was concluded by a person who saw
more than one voltage, so a single index is expected to find a part of it; the Se of a criterion here is not
that of its source. Nothing was tuned to these labels. What cannot be judged counts as missed in the Se; Sp is
that of the records that could be judged, ``answered`` their share. Fewer than ten positives: counts only
(``hits``, ``false_positives``), unvalidated.

LUDB's files give every lead a gain of its own, which makes each span one unit; the stored integers are
microvolts (with them the limb leads obey Einthoven to 0.7 %, without them not at all). `millivolts` puts that
right.

Exchanged leads are simulated in these real recordings (`carna.ecg.integrity.exchanged`): truth P.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carna.doors import read
from carna.ecg.criteria import CRITERIA, Tracing, judge
from carna.ecg.criteria.reading import read_tracing
from carna.ecg.criteria.scored import FEWEST, Score
from carna.ecg.integrity import CHEST, EXCHANGES, FLAT, exchanged, lead_integrity
from carna.findings import Statement
from carna.intervals import wilson
from carna.learn.evaluate import Row
from carna.progress import SILENT, Progress
from carna.study import Ecg, Record

SETS = {"LUDB": "ludb/data", "CinC2021": "cinc2021-sample/cinc2021"}
STATED = "as the record's header states: "
_LVH = tuple(c.name for c in CRITERIA if c.name.startswith("left ventricular hypertrophy"))
_RVH = tuple(c.name for c in CRITERIA if c.name.startswith("right ventricular hypertrophy"))
_LAE = tuple(c.name for c in CRITERIA if c.name.startswith("left atrial abnormality"))
_PVC, _PAC = ("ventricular ectopic beats",), ("supraventricular ectopic beats",)
# How a label begins (small letters) or the code it is: the criteria which could have given it.
LABELS: Mapping[str, tuple[str, ...]] = {
    "rhythm: sinus rhythm": ("sinus rhythm",),
    "rhythm: sinus bradycardia": ("sinus bradycardia", "sinus bradycardia (< 50/min)"),
    "rhythm: sinus tachycardia": ("sinus tachycardia",),
    "rhythm: sinus arrhythmia": ("sinus arrhythmia",),
    "rhythm: atrial fibrillation": ("atrial fibrillation",),
    "i degree av block": ("first-degree AV block", "first-degree AV block (Minnesota 6-3)"),
    "complete left bundle branch block": ("left bundle branch block", "left bundle branch block (Strauss)"),
    "incomplete left bundle branch block": ("incomplete left bundle branch block",),
    "complete right bundle branch block": ("right bundle branch block",),
    "incomplete right bundle branch block": ("incomplete right bundle branch block",),
    "left anterior hemiblock": ("left anterior fascicular block",),
    "non-specific intravintricular conduction delay": ("nonspecific intraventricular conduction delay",),
    "left ventricular hypertrophy": (*_LVH, "any left ventricular hypertrophy index"),
    "right ventricular hypertrophy": _RVH,
    "left atrial hypertrophy": _LAE,
    "left atrial overload": _LAE,
    "right atrial overload": ("right atrial abnormality",),
    "electric axis of the heart: left axis deviation": ("left axis deviation",),
    "electric axis of the heart: right axis deviation": ("right axis deviation",),
    "ventricular extrasystole": _PVC,
    "atrial extrasystole": _PAC,
    "stemi": ("ST elevation",),
    "scar formation": ("Q waves of prior infarction", "Q wave, Minnesota 1-1"),
    "early repolarization syndrome": ("early repolarisation",),
    "unipolar ventricular pacing": ("paced rhythm",),
    "bipolar ventricular pacing": ("paced rhythm",),
    "pacemaker presence": ("paced rhythm",),
    "snomed ct 426783006": ("sinus rhythm",),
    "snomed ct 426177001": ("sinus bradycardia", "sinus bradycardia (< 50/min)"),
    "snomed ct 427084000": ("sinus tachycardia",),
    "snomed ct 427393009": ("sinus arrhythmia",),
    "snomed ct 164889003": ("atrial fibrillation",),
    "snomed ct 270492004": ("first-degree AV block", "first-degree AV block (Minnesota 6-3)"),
    "snomed ct 164909002": ("left bundle branch block", "left bundle branch block (Strauss)"),
    "snomed ct 733534002": ("left bundle branch block", "left bundle branch block (Strauss)"),
    "snomed ct 59118001": ("right bundle branch block",),
    "snomed ct 713427006": ("right bundle branch block",),
    "snomed ct 713426002": ("incomplete right bundle branch block",),
    "snomed ct 445118002": ("left anterior fascicular block",),
    "snomed ct 698252002": ("nonspecific intraventricular conduction delay",),
    "snomed ct 164873001": (*_LVH, "any left ventricular hypertrophy index"),
    "snomed ct 89792004": _RVH,
    "snomed ct 67741000119109": _LAE,
    "snomed ct 39732003": ("left axis deviation",),
    "snomed ct 47665007": ("right axis deviation",),
    "snomed ct 427172004": _PVC,
    "snomed ct 17338001": _PVC,
    "snomed ct 284470004": _PAC,
    "snomed ct 63593006": _PAC,
    "snomed ct 59931005": ("T inversion",),
    "snomed ct 111975006": ("QTc prolonged", "QTc prolonged (480 ms)"),
    "snomed ct 428417006": ("early repolarisation",),
}


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A recording, what its header says, and what was read from it.

    Attributes
    ----------
    person : str
    labels : frozenset of str
        As stated, in small letters.
    tracing : Tracing or None
        None when no beats were found.
    """

    person: str
    labels: frozenset[str]
    tracing: Tracing | None

    @property
    def expected(self) -> frozenset[str]:
        """Names of the criteria that the labels stand for."""
        return frozenset(
            name
            for label in self.labels
            for start, names in LABELS.items()
            if label.startswith(start)
            for name in names
        )


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return Se and Sp of every criterion that has labels, and of every exchange of leads."""
    rows: list[Row] = []
    everyone: list[Labelled] = []
    there = {name: data / folder for name, folder in SETS.items() if (data / folder).exists()}
    for k, (name, folder) in enumerate(there.items()):
        records = list(labelled(folder))
        rows += _statements(name, records)
        everyone += records
        progress((k + 1) / (len(there) + 1), name)
    if everyone:
        rows += _exchanges([r.tracing for r in everyone if r.tracing is not None])
    progress(1.0, "exchanged leads")
    return tuple(rows)


def labelled(folder: Path) -> Iterator[Labelled]:
    """Read every recording of a folder with the statements of its header."""
    for case in read(folder).cases:
        parts = [part for study in case.studies for part in study.parts]
        ecg = next((p for p in parts if isinstance(p, Ecg)), None)
        if ecg is None:
            continue
        record = next((p for p in parts if isinstance(p, Record)), None)
        said = [i for f in case.findings for i in f.items if isinstance(i, Statement)]
        labels = frozenset(
            s.rule.removeprefix(STATED).strip(" .").lower() for s in said if s.rule.startswith(STATED)
        )
        sex = case.patient.sex
        tracing = read_tracing(
            millivolts(ecg, folder / f"{case.patient.id}.hea"),
            ecg.rate_hz,
            ecg.leads,
            age_a=record.age_a if record is not None else None,
            sex="female" if sex == "female" else "male" if sex == "male" else None,
        )
        yield Labelled(case.patient.id, labels, tracing)


def millivolts(ecg: Ecg, header: Path) -> NDArray[np.float64]:
    """Return (leads, samples), with gains taken out that make every lead span exactly one unit."""
    values = np.asarray(ecg.values.array, np.float64)
    if not np.allclose(np.nanmax(values, 1) - np.nanmin(values, 1), 1.0, atol=0.005):
        return values
    lines = header.read_text().splitlines()[1 : 1 + len(values)]
    gain = np.array([float(line.split()[2].split("(")[0].split("/")[0]) for line in lines])
    return np.asarray(values * gain[:, None] / 1000)


def scores(data: Path) -> dict[str, Score]:
    """Return the counts of `carna.ecg.criteria.scored`: of every criterion, over the sets that label it."""
    total: dict[str, NDArray[np.int64]] = {}
    for folder in SETS.values():
        records = list(labelled(data / folder)) if (data / folder).exists() else []
        verdicts = [_verdicts(r) for r in records]
        for criterion in CRITERIA:
            name = criterion.name
            expected = np.array([name in r.expected for r in records], bool)
            answer = np.array([v.get(name, "not assessable") for v in verdicts], str)
            if expected.any():
                met, told = answer == "met", answer != "not assessable"
                counts = (expected, expected & met, ~expected & told, ~expected & met)
                total[name] = total.get(name, np.zeros(4, np.int64)) + [c.sum() for c in counts]
    return {c.name: Score(*map(int, total[c.name])) for c in CRITERIA if c.name in total}


def _verdicts(record: Labelled) -> dict[str, str]:
    return {} if record.tracing is None else {v.name: v.verdict for v in judge(record.tracing)}


def _statements(set_: str, records: Sequence[Labelled]) -> Iterator[Row]:
    verdicts = [_verdicts(r) for r in records]
    for given in verdicts:
        lvh = [given.get(name) for name in _LVH]
        given["any left ventricular hypertrophy index"] = (
            "met" if "met" in lvh else "not met" if "not met" in lvh else "not assessable"
        )
    for name in dict.fromkeys(name for names in LABELS.values() for name in names):
        expected = np.array([name in r.expected for r in records])
        answer = np.array([given.get(name, "not assessable") for given in verdicts])
        told = answer != "not assessable"
        positives, hits = int(expected.sum()), int((expected & (answer == "met")).sum())
        negatives, kept = int((~expected & told).sum()), int((~expected & (answer == "not met")).sum())
        n, share = len(records), float(told.mean())
        if positives == 0:
            continue
        task = f"statement: {name}"
        if positives < FEWEST:
            for metric, value, total in (
                ("hits", hits, positives),
                ("false_positives", negatives - kept, negatives),
            ):
                yield Row(
                    set_, "H", "development", task, metric, float(value), None, total, n, "{records}",
                    positives=positives, answered=share,
                )  # fmt: skip
            continue
        for metric, count, total in (("sensitivity", hits, positives), ("specificity", kept, negatives)):
            yield Row(
                set_, "H", "development", task, metric, count / max(total, 1), wilson(count, total), total, n,
                positives=positives, answered=share,
            )  # fmt: skip


def _exchanges(tracings: Sequence[Tracing]) -> Iterator[Row]:
    """Se of every simulated exchange, Sp of the recordings as they are."""
    set_ = "LUDB, CinC2021"
    whole = [t for t in tracings if {"I", "II", "III", *CHEST} <= set(t.leads)]
    kinds = [*EXCHANGES, *FLAT.values(), *("/".join(p) for p in itertools.combinations(CHEST, 2))]
    n = len(whole)
    for what in ("limb", "chest"):
        given = [getattr(t.integrity, what) for t in whole]
        kept = sum(g != "met" for g in given)
        share = sum(g != "not assessable" for g in given) / max(n, 1)
        yield Row(
            set_, "P", "development", f"{what} leads as recorded", "specificity", kept / max(n, 1),
            wilson(kept, n), n, n, answered=share,
        )  # fmt: skip
    for kind in kinds:
        seen = [_suspected(t, kind) for t in whole]
        share = sum(s[0] != "not assessable" for s in seen) / max(n, 1)
        task = f"exchanged {kind}"
        for metric, hits in (
            ("sensitivity", sum(s[0] == "met" for s in seen)),
            ("named", sum(s[1] for s in seen)),
        ):
            yield Row(
                set_, "P", "development", task, metric, hits / max(n, 1), wilson(hits, n), n, n,
                positives=n, answered=share,
            )  # fmt: skip


def _suspected(t: Tracing, kind: str) -> tuple[str, bool]:
    """Whether an exchange is suspected, and named rightly."""
    assert t.median is not None and t.fiducials is not None
    median = replace(t.median, mV=exchanged(t.median.mV, t.leads, kind))
    told = lead_integrity(median, t.fiducials, t.leads, paced=t.paced)
    found = told.chest if kind.startswith("V") else told.limb
    return found, any(s.kind == kind for s in told.suspicions)
