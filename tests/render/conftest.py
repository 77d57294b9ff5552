"""A small case with exact truth: a 12-lead ECG of narrow triangles and a cine of a beating disc."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from carna import codes
from carna.case import Case
from carna.findings import (
    Absent,
    Curve,
    Events,
    Evidence,
    Field,
    Findings,
    Input,
    Interval,
    Item,
    Manifest,
    Measurement,
    Region,
    Samples,
    Sd,
    Segment,
    Shape,
    Statement,
    Unknown,
)
from carna.space import Grid, Surface
from carna.study import Cine, Ecg, Lazy, Origin, Patient, Record, Source, Study

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
STUDY, ECG, CINE, LONG = "1.2.3", "1.2.3.1", "1.2.3.2", "1.2.3.3"
HZ, RR_S, BEATS = 500.0, 0.8, 12
RADII = (12.0, 10.0, 7.0, 6.0, 8.0, 11.0)
FRAME_OF_REFERENCE = "1.2.3.9"
MR_CINE, ECG_12 = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.9.1.1"


@dataclass(frozen=True)
class Small:
    """The case, what two applications said of it, and items of every kind."""

    case: Case
    rhythm: Findings
    heart: Findings
    every: Findings


def onsets() -> np.ndarray:
    return 0.4 + RR_S * np.arange(BEATS)


def ecg_values() -> np.ndarray:
    """Triangles 1 mV high and 80 ms wide at each onset; V6 was recorded for 5 s only."""
    t = np.arange(int(10 * HZ)) / HZ
    one = np.clip(1 - np.abs(t[:, None] - onsets()) / 0.04, 0, None).sum(1)
    values = np.stack([one * (1 - 0.05 * n) for n in range(12)]).astype(np.float32)
    values[-1, 2500:] = np.nan
    return values


def plane(k: int) -> Grid:
    """A short-axis plane: columns to the left, rows to the back, 10 mm thick and apart, towards the feet."""
    return Grid.from_dicom(
        size=(64, 64),
        position=(-40, -40, -10.0 * k),
        orientation=(1, 0, 0, 0, 1, 0),
        spacing_mm=(1.5, 1.5),
        thickness_mm=10.0,
        frame=FRAME_OF_REFERENCE,
    )


def discs() -> np.ndarray:
    r, c = np.mgrid[:64, :64]
    one = np.stack([(r - 30) ** 2 + (c - 34) ** 2 < radius**2 for radius in RADII])
    return np.repeat(one[:, None], 4, axis=1)


def origin(uid: str, modality: str, label: str, number: int, sop_class: str) -> Origin:
    sources = tuple(Source(f"{uid}.{n}", sop_class, uid) for n in range(1, 3))
    return Origin(
        uid,
        modality,
        label,
        number,
        format="DICOM",
        sources=sources,
        notes=("one note",),
        facts={"InstitutionName": "St. Elsewhere"},
    )


def manifest(name: str, **more: object) -> Manifest:
    base = Manifest(
        name,
        "1.0",
        {"low_rate": 60.0},
        (Input("ecg", ECG, "ab" * 32),),
        cites=("doi:10.1000/182",),
        seconds=0.2,
        started="2024-03-01T10:00:00+00:00",
        packages={"carna": "0.1.0"},
    )
    return replace(base, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def small_case() -> Case:
    times = np.linspace(0, 700, 6)
    ecg = Ecg(origin(ECG, "ECG", "resting", 1, ECG_12), Lazy.of(ecg_values()), LEADS, HZ)
    disc = discs()
    cine = Cine(
        origin(CINE, "MR", "cine_sax <b>&", 2, MR_CINE),
        tuple(plane(k) for k in range(4)),
        Lazy.of((100 + 800 * disc).astype(np.uint16)),
        np.repeat(times[:, None], 4, 1),
        np.full(4, 800.0),
    )
    single = Cine(
        origin(LONG, "MR", "cine_4ch", 3, MR_CINE),
        (plane(9),),
        Lazy.of((100 + 800 * disc[:, :1]).astype(np.uint16)),
        times[:, None],
        np.full(1, 800.0),
    )
    record = Record(Origin("1.2.3.4", "", "record"), age_a=54.0, sex="female", height_cm=165.0)
    patient = Patient(
        "P-1", "Elsewhere", "Doe^<script>alert(1)</script>", "1970-02-03", "female", synthetic=True
    )
    study = Study(
        STUDY, patient, "2024-03-01T09:30:00", "Heart & <i>rhythm</i>", "A-7", (ecg, cine, single, record)
    )
    return Case(patient, (study,))


@pytest.fixture(scope="session")
def rhythm() -> Findings:
    seen = (Evidence(ECG, LEADS, 0.0, 10.0),)
    items: list[Item] = [
        Measurement(
            id="ecg.rate",
            code=codes.VENTRICULAR_RATE,
            value=75.0,
            unit="/min",
            evidence=seen,
            of=("ecg.beats",),
            uncertainty=Interval(73.5, 76.4),
        ),
        Measurement(
            id="ecg.rr", code=codes.RR_INTERVAL, value=800.0, unit="ms", evidence=seen, uncertainty=Sd(4.2)
        ),
        Measurement(
            id="ecg.sdnn",
            code=codes.SDNN,
            value=4.25,
            unit="ms",
            evidence=seen,
            uncertainty=Unknown("ten seconds are too few for an interval"),
        ),
        Absent(
            id="ecg.rmssd",
            code=codes.RMSSD,
            why="fewer than <20> normal beats & one pause",
            evidence=seen,
            reason=codes.CALCULATION_FAILURE,
        ),
        Statement(
            id="ecg.regular",
            code=codes.RHYTHM_REGULARITY,
            verdict="met",
            of=("ecg.rr",),
            evidence=seen,
            rule="coefficient of variation of RR below 0.05",
        ),
        Measurement(
            id="ecg.count",
            code=codes.BEAT_COUNT,
            value=float(BEATS),
            unit="{beats}",
            evidence=seen,
            uncertainty=Unknown("a count"),
        ),
        Events(
            id="ecg.beats",
            code=codes.QRS_COMPLEX,
            onset_s=onsets(),
            types=(codes.QRS_COMPLEX,),
            type_index=np.zeros(BEATS, int),
            evidence=seen,
        ),
    ]
    items += [
        Measurement(
            id=f"quality.{name.lower()}",
            code=codes.SIGNAL_QUALITY,
            site=codes.lead(name),
            unit="1",
            value=0.9 - 0.01 * n,
            uncertainty=Unknown("an ordering"),
            evidence=(Evidence(ECG, (name,)),),
        )
        for n, name in enumerate(LEADS)
    ]
    return Findings(STUDY, "P-1", tuple(items), manifest("ecg_rhythm"), synthetic=True)


@pytest.fixture(scope="session")
def heart() -> Findings:
    at = {0: codes.END_DIASTOLE, 3: codes.END_SYSTOLE}
    x = np.linspace(0, 700, 6)
    items: list[Item] = [
        Region(
            id="heart",
            code=codes.HEART,
            labels=discs()[[0, 3]].astype(np.uint8),
            planes=tuple(plane(k) for k in range(4)),
            segments=(Segment(1, codes.HEART),),
            times_ms=x[[0, 3]],
            frames=(0, 3),
            evidence=(Evidence(CINE, frames=(0, 3)),),
        ),
        Curve(
            id="motion",
            code=codes.MOTION_ENERGY,
            x=x,
            y=np.array(RADII) ** 2 * np.pi,
            x_unit="ms",
            y_unit="mm2",
            evidence=(Evidence(CINE),),
        ),
        *(
            Measurement(
                id=f"frame_{n}",
                code=codes.FRAME_NUMBER,
                site=phase,
                value=n + 1.0,
                unit="1",
                uncertainty=Sd(0.5),
                evidence=(Evidence(CINE, frames=(n,)),),
            )
            for n, phase in at.items()
        ),
    ]
    return Findings(
        STUDY, "P-1", tuple(items), manifest("heart_locate", inputs=(Input("cine", CINE),)), synthetic=True
    )


@pytest.fixture(scope="session")
def every() -> Findings:
    """Each kind, and each kind of uncertainty, once."""
    tetra = Surface(
        np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]]), np.array([[0, 2, 1], [0, 1, 3]])
    )
    items: tuple[Item, ...] = (
        Measurement(
            id="m.samples",
            code=codes.LV_EDV,
            value=120.0,
            unit="mL",
            uncertainty=Samples((118.0, 120.0, 122.0)),
            method=codes.MEAN,
        ),
        Region(
            id="r",
            code=codes.HEART,
            labels=discs()[0].astype(np.uint8),
            planes=tuple(plane(k) for k in range(4)),
            segments=(Segment(1, codes.HEART),),
            evidence=(Evidence(CINE, planes=(0, 1)),),
        ),
        Shape(id="s", code=codes.LEFT_VENTRICLE, shape=tetra),
        Field(id="f", code=codes.WALL_THICKNESS, values=np.arange(17) + 5.0, unit="mm", on="AHA17"),
        Field(id="g", code=codes.ACTIVATION_TIME, values=np.arange(4.0), unit="ms", on="s"),
        Curve(
            id="c",
            code=codes.MOTION_ENERGY,
            x=np.array([0.0, 10.0, 25.0]),
            y=np.array([1.0, 0.1, 2.5]),
            x_unit="ms",
            y_unit="1",
        ),
        Events(
            id="e",
            code=codes.RHYTHM,
            onset_s=np.array([0.1, 0.9]),
            offset_s=np.array([0.2, 1.0]),
            leads=("I", "II"),
            types=(codes.NORMAL_BEAT, codes.VENTRICULAR_PREMATURE_BEAT),
            type_index=np.array([0, 1]),
            lead_index=np.array([0, 1]),
        ),
        Statement(
            id="t",
            code=codes.ATRIAL_FIBRILLATION,
            verdict="not met",
            rule="a rule",
            probability=0.2,
            calibration="record 1",
        ),
        Statement(id="u", code=codes.BRADYCARDIA, verdict="not assessable", rule="another rule"),
        Absent(id="a", code=codes.LVEF_MR, why="no systole was seen"),
    )
    return Findings(STUDY, "P-1", items, manifest("every"), synthetic=True, high_stakes=True)


@pytest.fixture(scope="session")
def small(small_case: Case, rhythm: Findings, heart: Findings, every: Findings) -> Small:
    return Small(small_case, rhythm, heart, every)


@pytest.fixture(scope="session")
def beat_onsets() -> Callable[[], np.ndarray]:
    return onsets
