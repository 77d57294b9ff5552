"""What rhythm is judged by: recordings with classes of beats and rhythms, and labelled strips.

Persons are the unit: QTDB's selNNN is MIT-BIH's NNN, CPSC2021's data_P_k is person P, every CinC2017 strip
is taken for a person of its own (the set does not say).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carna.doors import read
from carna.findings import Events
from carna.study import Ecg

Ints = NDArray[np.int64]

# Mnemonics of beats to the classes of ANSI/AAMI EC57.
CLASS_OF = (
    dict.fromkeys("NLRBejn", "N") | dict.fromkeys("AaJS", "S") | dict.fromkeys("VEr", "V")
    | {"F": "F"} | dict.fromkeys("/fQ?", "Q")
)  # fmt: skip
_CLASS_OF_MEANING = {
    "supraventricular premature": "S", "supraventricular escape": "N", "ventricular premature": "V",
    "ventricular escape": "V", "r-on-t": "V", "pacemaker": "Q", "paced": "Q", "unclassif": "Q", "learning":
    "Q", "fusion": "F", "atrial premature": "S", "aberrated atrial": "S", "junctional premature": "S",
    "nodal premature": "S",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A recording with annotated beats and, where there are any, annotated rhythms.

    Attributes
    ----------
    beats : (n,) int64
        Samples.
    classes : (n,) str
        N, S, V, F or Q.
    rhythms : tuple of (start_s, stop_s, word)
        ``AFIB``, ``AFL``, ``N`` ...; empty when rhythm was not annotated.
    """

    set: str
    name: str
    person: str
    ecg: NDArray[np.float32]
    rate_hz: float
    beats: Ints
    classes: NDArray[np.str_]
    rhythms: tuple[tuple[float, float, str], ...]

    def fibrillates(self, at_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which times lie in annotated atrial fibrillation."""
        inside = np.zeros(len(at_s), bool)
        for start, stop, word in self.rhythms:
            if word == "AFIB":
                inside |= (at_s >= start) & (at_s < stop)
        return inside


def recordings(data: Path) -> Iterator[Labelled]:
    """Yield MIT-BIH, QTDB, CPSC2021 and SVDB, as far as they are there."""
    if (data / "mitbih-9").exists():
        yield from _mitbih(data / "mitbih-9")
    for set_, folder in (
        ("QTDB", "qtdb-subset"),
        ("CPSC2021", "cinc2021-sample/cpsc2021"),
        ("SVDB", "svdb-800"),
    ):
        if (data / folder).exists():
            yield from _annotated(set_, data / folder)


def strips(data: Path) -> Iterator[tuple[str, str, NDArray[np.float32], float]]:
    """Yield name, label (N, A, O or ~), lead (mV) and rate of every strip of CinC2017."""
    folder = data / "cinc2017-300" / "validation"
    if not folder.exists():
        return
    with (folder / "REFERENCE.csv").open(newline="") as file:
        labels = dict(csv.reader(file))
    for case in read(folder).cases:
        ecg = next(p for p in case.studies[0].parts if isinstance(p, Ecg))
        yield case.patient.id, labels[case.patient.id], ecg.values.array[0], ecg.rate_hz


def ludb_strips(data: Path) -> Iterator[tuple[str, str, NDArray[np.float32], float]]:
    """Yield name, rhythm (as its header words it), lead I (mV) and rate of every recording of LUDB."""
    folder = data / "ludb" / "data"
    if not folder.exists():
        return
    for case in read(folder).cases:
        ecg = next((p for p in case.studies[0].parts if isinstance(p, Ecg)), None)
        header = folder / f"{case.patient.id}.hea"
        if ecg is None or not header.exists():
            continue
        said = [line for line in header.read_text().splitlines() if line.startswith("#Rhythm:")]
        if said and "I" in ecg.leads:
            words = said[0].removeprefix("#Rhythm:").strip(" .")
            yield case.patient.id, words, ecg.values.array[ecg.leads.index("I")], ecg.rate_hz


def _mitbih(folder: Path) -> Iterator[Labelled]:
    for case in read(folder).cases:
        ecg = next((p for p in case.studies[0].parts if isinstance(p, Ecg)), None)
        table = folder / "annotations_txt" / f"{case.patient.id}annotations.txt"
        if ecg is None or not table.exists():
            continue
        rows = [row.split() for row in table.read_text().splitlines()[1:]]
        marks = [(int(row[1]), CLASS_OF[row[2]]) for row in rows if row[2] in CLASS_OF]
        changes = [
            (int(row[1]) / ecg.rate_hz, row[-1].strip("(\x00"))
            for row in rows
            if row[2] == "+" and len(row) > 6
        ]
        ends = [*[start for start, _ in changes[1:]], ecg.seconds]
        yield Labelled(
            "MIT-BIH",
            case.patient.id,
            case.patient.id,
            ecg.values.array,
            ecg.rate_hz,
            np.array([m[0] for m in marks], np.int64),
            np.array([m[1] for m in marks]),
            _without_overlays([(start, end, word) for (start, word), end in zip(changes, ends, strict=True)]),
        )


def _annotated(set_: str, folder: Path) -> Iterator[Labelled]:
    for case in read(folder).cases:
        ecg = next((p for p in case.studies[0].parts if isinstance(p, Ecg)), None)
        found = [f for f in case.findings if f.manifest.application == "WFDB annotator atr"]
        if ecg is None or not found:
            continue
        items = {i.id: i for i in found[0].items if isinstance(i, Events)}
        beats, name = items["beats"], case.patient.id
        classes = np.array([_class(t.meaning) for t in beats.types])[beats.type_index]
        person = name.rsplit("_", 1)[0] if name.startswith("data_") else name.removeprefix("sel")
        yield Labelled(
            set_,
            name,
            person,
            ecg.values.array,
            ecg.rate_hz,
            np.round(beats.onset_s * ecg.rate_hz).astype(np.int64),
            classes,
            _rhythms(items.get("rhythm"), ecg.seconds),
        )


def _class(meaning: str) -> str:
    return next((c for words, c in _CLASS_OF_MEANING.items() if words in meaning.lower()), "N")


def _rhythms(events: Events | None, seconds: float) -> tuple[tuple[float, float, str], ...]:
    if events is None or events.offset_s is None:
        return ()
    out: list[tuple[float, float, str]] = []
    for start, stop, kind in zip(events.onset_s, events.offset_s, events.type_index, strict=True):
        meaning = events.types[kind].meaning
        word = "AFIB" if "ibrillation" in meaning and "trial" in meaning else meaning
        # persistent fibrillation is marked once and followed by marks that state no rhythm
        stated = "None" not in meaning and "not stated" not in meaning
        out.append((float(start), float(stop), word if stated or not out else out[-1][2]))
    return _without_overlays(out)


def _without_overlays(spans: list[tuple[float, float, str]]) -> tuple[tuple[float, float, str], ...]:
    """Give spans of ventricular ectopy the rhythm before them: the atria go on as they did."""
    out: list[tuple[float, float, str]] = []
    for start, stop, word in spans:
        ectopy = word in ("B", "T", "VT", "IVR") or word.startswith(("Ventricular b", "Ventricular t"))
        out.append((start, stop, out[-1][2] if ectopy and out else word))
    return tuple(out)
