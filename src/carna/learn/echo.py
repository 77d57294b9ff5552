"""Apical echo against virtual hearts that were never lessons; the one real clip shows only that it runs.

Fresh hearts with fixed seeds are seen by fresh scanners, as lessons are drawn (the range of appearances is
the same, so this says nothing of patients). Truth is exact: the labels of every frame, the phase of every
frame, the ventricle's ejection fraction and volumes. A clip that is refused counts as unanswered and is no
part of the errors of numbers; the Dice, the mean over the frames of a clip, is of all clips.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from carna.errors import InputError
from carna.image.echo import CAVITY, NETWORK, Beat, Reading, biplane_volumes, ejection_fraction, read
from carna.image.network import Network
from carna.intervals import wilson
from carna.learn.agreement import dice, measures
from carna.learn.evaluate import Row, by_patient
from carna.phantom.apical import EchoCine, View, apical, cine, draw_look
from carna.phantom.chambers import WholeHeart, draw_whole
from carna.phantom.heart import ES_PHASE
from carna.progress import SILENT, Progress

PATIENTS = 24
FRAMES, BEATS, RR_MS = 36, 1.3, 900.0
_SET = "virtual apical clips"
_REAL = "echo-cine-sample"


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One virtual patient read in both views.

    Parameters
    ----------
    person : WholeHeart
    clips : mapping of view to (EchoCine, Reading)
    """

    person: WholeHeart
    clips: dict[View, tuple[EchoCine, Reading]]


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows of virtual patients, and that the real clip runs where ``data`` has it."""
    network = Network(NETWORK)
    seen = []
    for n in range(PATIENTS):
        seen.append(patient(n, network))
        progress((n + 1) / (PATIENTS + 1), "virtual patients")
    return (*_virtual(seen), *_real(data, network))


def patient(seed: int, network: Network) -> Seen:
    """Draw one virtual patient in two apical views, begun at any phase, and read both clips."""
    random = np.random.default_rng([4242, seed])
    person = draw_whole(random)
    clips: dict[View, tuple[EchoCine, Reading]] = {}
    views: tuple[View, ...] = ("4CH", "2CH")
    for view in views:
        fan = apical(person, view, random)
        look = draw_look(fan, random, seed)
        begin = float(random.uniform(0.0, 1.0))
        made = cine(person, fan, look, frames=FRAMES, beats=BEATS, begin=begin, rr_ms=RR_MS, seed=seed)
        clips[view] = (
            made,
            read(made.pictures, network=network, times_ms=made.times_ms, spacing=(made.mm, made.mm)),
        )
    return Seen(person, clips)


def frame_errors(made: EchoCine, found: Sequence[Beat]) -> tuple[list[float], list[float]]:
    """Return how many frames each end-diastole and each end-systole is off, 0 within half a frame.

    End-diastole is any whole phase, end-systole `ES_PHASE` after it; the ventricle is almost still at both.
    """
    step = float(np.diff(made.phases).mean())
    off: tuple[list[float], list[float]] = ([], [])
    for beat in found:
        for errors, frame, at in ((off[0], beat.ed, 0.0), (off[1], beat.es, ES_PHASE)):
            away = abs((made.phases[frame] - at + 0.5) % 1.0 - 0.5)
            errors.append(float(np.round(away / step)))
    return off


def _answered(one: Reading) -> bool:
    return bool(one.beats) and not one.quality.why_not


def _virtual(seen: Sequence[Seen]) -> Iterator[Row]:
    views: tuple[View, ...] = ("4CH", "2CH")
    for view in views:
        clips = [(s.person, *s.clips[view]) for s in seen]
        told = [c for c in clips if _answered(c[2])]
        yield from _of_view(view, clips, told)
    both = [s for s in seen if all(_answered(r) for _, r in s.clips.values())]
    if both:
        volumes = [biplane_volumes(s.clips["4CH"][1], s.clips["2CH"][1]) for s in both]
        share = len(both) / len(seen)
        yield from _ef("biplane", [1.0 - es / ed for ed, es in volumes], [s.person for s in both], share)
        truth = [s.person.heart.edv_ml for s in both]
        yield from _rows("EDV", "biplane", [ed / 1e3 for ed, _ in volumes], truth, "mL", share)


def _of_view(
    view: str,
    clips: Sequence[tuple[WholeHeart, EchoCine, Reading]],
    told: Sequence[tuple[WholeHeart, EchoCine, Reading]],
) -> Iterator[Row]:
    share = len(told) / len(clips)
    for name, label in (("LV", CAVITY), ("LV muscle", 2), ("LA", 3)):
        scores = [
            [
                dice(a == label, b == label)
                for a, b in zip(reading.labels, made.labels, strict=True)
                if (b == label).any()
            ]
            for _, made, reading in clips
        ]
        scores = [s for s in scores if s]
        mean = float(np.mean([np.mean(s) for s in scores]))
        ci = by_patient([[float(np.mean(s))] for s in scores])
        yield Row(
            _SET, "P", "test", f"echo {name} outline", "dice", mean, ci, sum(map(len, scores)), len(scores),
            group=view,
        )  # fmt: skip
    found = [ejection_fraction(reading.volumes, reading.beats) for _, _, reading in told]
    yield from _ef(view, found, [person for person, _, _ in told], share)
    full = [float(np.mean([r.volumes[b.ed] for b in r.beats])) / 1e3 for _, _, r in told]
    yield from _rows("EDV", view, full, [person.heart.edv_ml for person, _, _ in told], "mL", share)
    off = [frame_errors(made, reading.beats) for _, made, reading in told]
    for name, k in (("ED", 0), ("ES", 1)):
        errors = [o[k] for o in off]
        flat = [e for one in errors for e in one]
        mean = float(np.mean(flat))
        yield Row(
            _SET, "P", "test", f"echo {name} frame", "mae", mean, by_patient(errors), len(flat), len(errors),
            unit="frame", group=view, answered=share,
        )  # fmt: skip
        near = sum(all(e <= 1 for e in one) for one in errors)
        n = len(errors)
        yield Row(
            _SET, "P", "test", f"echo {name} frame", "within_1", near / n, wilson(near, n), n, n,
            group=view, answered=share,
        )  # fmt: skip


def _ef(group: str, found: Sequence[float], people: Sequence[WholeHeart], share: float) -> Iterator[Row]:
    truth = [100.0 * p.heart.ef for p in people]
    yield from _rows("LVEF", group, [100.0 * f for f in found], truth, "%", share)


def _rows(
    task: str, group: str, found: Sequence[float], truth: Sequence[float], unit: str, share: float
) -> Iterator[Row]:
    for metric, value, ci in measures(found, truth):
        yield Row(
            _SET, "P", "test", f"echo {task}", metric, value, ci, len(found), len(found),
            unit="1" if metric == "icc" else unit, group=group, answered=share,
        )  # fmt: skip


def _real(data: Path, network: Network) -> Iterator[Row]:
    """Say that the real clip was read, and nothing of how well: it has no truth."""
    from carna.doors import read as arrive
    from carna.study import Picture

    folder = data / _REAL
    if not folder.exists():
        return
    for case in arrive(folder).cases:
        for part in (p for study in case.studies for p in study.parts):
            if not isinstance(part, Picture) or part.times_ms is None:
                continue
            try:
                seen = read(part.values.array, network=network, times_ms=part.times_ms)
            except InputError:
                yield Row(_REAL, "O", "development", "echo runs", "beats", 0.0, None, 1, 1, answered=0.0)
                continue
            yield Row(
                _REAL, "O", "development", "echo runs", "beats", float(len(seen.beats)), None, 1, 1,
                answered=float(_answered(seen)),
            )  # fmt: skip
