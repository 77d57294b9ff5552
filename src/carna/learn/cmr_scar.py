"""Tags and late enhancement against virtual hearts: every truth here is a closed form, and no patient.

Hearts are drawn by `carna.phantom.people` with fixed seeds. The methods were written while other seeds were
looked at, but with the same phantom: the figures are development figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from carna.image.scar import BLOODY, CORE, NONE, Deviations, HalfMaximum, Rule, Scar, segment_scar
from carna.image.tags import TagMotion, torsion, track
from carna.intervals import wilson
from carna.learn.agreement import dice
from carna.learn.evaluate import Row, by_patient
from carna.phantom.heart import ES_PHASE
from carna.phantom.lge import Enhancement, Late, draw_infarct, late, whole_stack
from carna.phantom.people import draw_heart
from carna.phantom.tags import Tagged, Tagging, levels, tagged
from carna.progress import SILENT, Progress

Flags = npt.NDArray[np.bool_]

HEARTS = 12
TAGS_MM, PIXELS_MM = (5.0, 6.0, 7.0, 8.0, 9.0), (1.2, 1.4, 1.6, 1.8)
PHASES = 0.02 + 0.025 * np.arange(18)  # to a little after end-systole
SNR = 10.0
SILENT_MM = 1.0


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows; no data are needed. About three minutes of one core."""
    return (*tags(progress.part(0.0, 0.4)), *scars(progress.part(0.4, 1.0)))


# ---- tags --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TagErrors:
    """What was missed in one heart: two slices, all frames."""

    moved_mm: float  # mean length of the difference over wall, slices and frames followed
    torsion_deg: float | None  # at end-systole, absolute; None where it was not followed
    ecc: tuple[float, ...]  # at end-systole, wall mean, signed, one a slice
    local_ecc: tuple[float, ...]  # the same, mean of the absolute differences over pixels
    frames: int
    followed: int
    silent: int  # frames followed, and more than a millimetre off


def tags(progress: Progress = SILENT) -> Iterator[Row]:
    """Yield the rows of the tags."""
    groups = (
        ("SPAMM", Given()),
        ("CSPAMM", Given(complementary=True)),
        ("SPAMM, wall a pixel too wide", Given(grown=1)),
        ("CSPAMM, every 90 ms only", Given(complementary=True, every=4)),
    )
    for n, (group, given) in enumerate(groups):
        errors = []
        for seed in range(HEARTS):
            errors.append(tag_errors(seed, given))
            progress((n + (seed + 1) / HEARTS) / len(groups), f"tags, {group}")
        yield from _tag_rows(group, errors)


@dataclass(frozen=True, slots=True)
class Given:
    """What the tracker is given: which tags, by how many pixels the wall is too wide, which frames."""

    complementary: bool = False
    grown: int = 0
    every: int = 1


def tag_errors(seed: int, given: Given) -> TagErrors:
    """Return what the tracker misses in one virtual heart; spacing of tags and pixels go round with it."""
    random = np.random.default_rng(1000 + seed)
    person = draw_heart(random)
    tagging = Tagging(
        TAGS_MM[seed % len(TAGS_MM)], turn_deg=15.0 * (seed % 4), complementary=given.complementary, snr=SNR
    )
    pixel = PIXELS_MM[seed % len(PIXELS_MM)]
    distance = 0.4 * person.span_mm
    plane = levels(
        person, first_mm=0.25 * person.span_mm, step_mm=distance, slices=2,
        pixels=round(130.0 / pixel), pixel_mm=pixel, thickness_mm=8.0,
    )  # fmt: skip
    phases = PHASES[:: given.every]
    truth = tagged(person, plane, phases, tagging, seed=seed)
    found = [
        track(truth.frames[:, :, k], _grown(truth.wall[:, k], given.grown), spacing_mm=truth.spacing_mm[1:])
        for k in range(2)
    ]
    return _tag_errors(truth, found, phases, distance)


def _grown(wall: Flags, pixels: int) -> Flags:
    from scipy.ndimage import binary_dilation

    return binary_dilation(wall, np.ones((1, 3, 3)), iterations=pixels) if pixels else wall


def _tag_errors(
    truth: Tagged, found: Sequence[TagMotion], phases: npt.NDArray[np.floating], distance_mm: float
) -> TagErrors:
    es = int(np.abs(phases - ES_PHASE).argmin())
    missed, ecc, local = [], [], []
    for k, motion in enumerate(found):
        for t in np.flatnonzero(motion.followed):
            wall = truth.wall[t, k]
            away = motion.moved_mm[t][wall] - truth.moved_mm[t, k][wall]
            missed.append(float(np.linalg.norm(away, axis=1).mean()))
        if motion.followed[es]:
            wall = truth.wall[es, k]
            strain = motion.ecc[es][wall] - truth.ecc[es, k][wall]
            ecc.append(float(strain.mean()))
            local.append(float(np.abs(strain).mean()))
    turned = torsion(found[0], found[1], distance_mm)
    exact = truth.turned_deg[es, 0] - truth.turned_deg[es, 1]
    off = abs(float(turned.deg[es] - exact)) if turned.followed[es] else None
    return TagErrors(
        float(np.mean(missed)), off, tuple(ecc), tuple(local), 2 * len(phases),
        int(sum(m.followed.sum() for m in found)), sum(m > SILENT_MM for m in missed),
    )  # fmt: skip


def _tag_rows(group: str, errors: Sequence[TagErrors]) -> Iterator[Row]:
    n = len(errors)
    frames, followed = sum(e.frames for e in errors), sum(e.followed for e in errors)

    def row(task: str, metric: str, values: Sequence[Sequence[float]], unit: str) -> Row:
        flat = np.concatenate([np.asarray(v, float) for v in values])
        answered = sum(bool(len(v)) for v in values) / n
        return Row(
            "virtual tags", "P", "development", task, metric, float(flat.mean()), by_patient(values),
            len(flat), n, unit, group, answered=answered,
        )  # fmt: skip

    at_es = "at end-systole"
    twists = [[] if e.torsion_deg is None else [e.torsion_deg] for e in errors]
    yield row("displacement in the wall, SNR 10", "mean_distance", [[e.moved_mm] for e in errors], "mm")
    worst = max(e.moved_mm for e in errors)
    yield Row(
        "virtual tags", "P", "development", "displacement in the wall, SNR 10, worst heart", "mean_distance",
        worst, None, n, n, "mm", group,
    )  # fmt: skip
    yield row(f"torsion {at_es}", "mae", twists, "deg")
    yield row(f"Ecc of a slice {at_es}", "bias", [e.ecc for e in errors], "1")
    yield row(f"Ecc of a slice {at_es}", "mae", [[abs(x) for x in e.ecc] for e in errors], "1")
    yield row(f"Ecc of a pixel {at_es}", "mae", [e.local_ecc for e in errors], "1")
    yield Row(
        "virtual tags", "P", "development", "frames followed", "rate", followed / frames,
        wilson(followed, frames), frames, n, "1", group,
    )  # fmt: skip
    silent = sum(e.silent for e in errors)
    yield Row(
        "virtual tags", "P", "development", f"frames followed that are {SILENT_MM:g} mm off or more", "rate",
        silent / followed, wilson(silent, followed), followed, n, "1", group,
    )  # fmt: skip


# ---- scar --------------------------------------------------------------------------------------------------

INFARCTS = 20
RULES: tuple[tuple[str, Rule], ...] = (
    ("half maximum", HalfMaximum()),
    ("6 and 3 deviations", Deviations()),
    ("5 and 2 deviations", Deviations(5.0, 2.0)),
)
OBSTRUCTED, DARK = 0.35, 20  # share of the core's area in every second infarct; voxels that must be there


@dataclass(frozen=True, slots=True)
class Stack:
    """How a virtual infarct is pictured; ``grown`` as in `Given`."""

    name: str
    snr: float
    pixel_mm: float = 1.6
    thickness_mm: float = 8.0
    phase_sensitive: bool = False
    grown: int = 0


STACKS = (
    Stack("SNR 10", 10.0),
    Stack("SNR 20", 20.0),
    Stack("SNR 40", 40.0),
    Stack("SNR 20, phase-sensitive", 20.0, phase_sensitive=True),
    Stack("SNR 20, 2.2 x 2.2 x 10 mm", 20.0, 2.2, 10.0),
    Stack("SNR 20, wall a pixel too wide", 20.0, grown=1),
)


def scars(progress: Progress = SILENT) -> Iterator[Row]:
    """Yield the rows of the scar."""
    for n, stack in enumerate(STACKS):
        found = []
        for seed in range(INFARCTS):
            found.append(scar_found(seed, stack))
            progress((n + (seed + 1) / INFARCTS) / (len(STACKS) + 1), f"scar, {stack.name}")
        for r, (rule, _) in enumerate(RULES):
            yield from _scar_rows(f"{rule}, {stack.name}", [(truth, scars[r]) for truth, scars in found])
    yield from _unscarred()
    progress(1.0, "scar")


def scar_found(seed: int, stack: Stack) -> tuple[Late, tuple[Scar, ...]]:
    """Return one virtual infarct and what each of `RULES` makes of it; every second is obstructed."""
    random = np.random.default_rng(2000 + seed)
    person, infarcts = draw_infarct(random)
    how = Enhancement(
        snr=stack.snr, phase_sensitive=stack.phase_sensitive, obstructed=OBSTRUCTED * (seed % 2),
        nulled=float(random.uniform(0.95, 1.05)), grey_scar=float(random.uniform(0.3, 0.5)),
    )  # fmt: skip
    plane = whole_stack(person, pixel_mm=stack.pixel_mm, thickness_mm=stack.thickness_mm)
    truth = late(person, infarcts, plane, how, seed=seed)
    wall = _grown(truth.wall, stack.grown)
    return truth, tuple(segment_scar(truth.picture, wall, truth.spacing_mm, rule=rule) for _, rule in RULES)


def _scar_rows(group: str, pairs: Sequence[tuple[Late, Scar]]) -> Iterator[Row]:
    n = len(pairs)

    def row(task: str, metric: str, values: Sequence[float], unit: str = "1") -> Row:
        spread = by_patient([[v] for v in values])
        return Row(
            "virtual infarcts", "P", "development", task, metric, float(np.mean(values)), spread,
            len(values), len(values), unit, group,
        )  # fmt: skip

    yield row("scar core", "dice", [dice(s.labels == CORE, t.labels == 6) for t, s in pairs])
    yield row("scar core and grey zone", "dice", [dice(s.labels != NONE, t.labels >= 5) for t, s in pairs])
    for task, errors in (
        ("mass of scar core", [s.core_g - t.core_g for t, s in pairs]),
        ("mass of core and grey zone", [s.core_g + s.grey_g - t.core_g - t.grey_g for t, s in pairs]),
    ):
        yield row(task, "bias", errors, "g")
        limits = (
            float(np.mean(errors) - 1.96 * np.std(errors)),
            float(np.mean(errors) + 1.96 * np.std(errors)),
        )
        for name, value in zip(("limit_low", "limit_high"), limits, strict=True):
            yield Row("virtual infarcts", "P", "development", task, name, value, None, n, n, "g", group)
    held = sum(s.edge_blood > BLOODY for _, s in pairs)
    yield Row(
        "virtual infarcts", "P", "development", "blood seen in the wall given", "rate", held / n,
        wilson(held, n), n, n, "1", group,
    )  # fmt: skip
    blocked = [(t, s) for t, s in pairs if (t.obstructed > 0.5).sum() >= DARK]
    if blocked:
        yield row(
            "obstruction within the core found",
            "recall",
            [float((s.labels[t.obstructed > 0.5] == CORE).mean()) for t, s in blocked],
        )


def _unscarred() -> Iterator[Row]:
    """Hearts without scar: in how many is one found?"""
    for snr in (10.0, 20.0, 40.0):
        wrong = 0
        for seed in range(INFARCTS):
            random = np.random.default_rng(3000 + seed)
            person = draw_heart(random)
            how = Enhancement(
                snr=snr, phase_sensitive=bool(seed % 2), nulled=float(random.uniform(0.95, 1.05))
            )
            truth = late(person, (), whole_stack(person, pixel_mm=1.6, thickness_mm=8.0), how, seed=seed)
            wrong += segment_scar(truth.picture, truth.wall, truth.spacing_mm).peak is not None
        yield Row(
            "virtual hearts without scar", "P", "development", "scar found", "rate", wrong / INFARCTS,
            wilson(wrong, INFARCTS), INFARCTS, INFARCTS, "1", f"SNR {snr:g}",
        )  # fmt: skip
