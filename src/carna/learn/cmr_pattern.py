"""The patterns of `carna.codes.cine_patterns` on virtual hearts and on ACDC.

Virtual hearts are drawn with one of five patterns and labelled exactly on a short-axis stack (8 mm slices
every 10 mm, 1.4 mm pixels) at end-diastole and end-systole. Two truths are scored. *By its form*: the heart's
own closed-form volumes, wall and ejection fraction meet the limits; what is tested is the measuring. *As
drawn*: the name under which it was drawn; ranges of the draws overlap on purpose, and a heart drawn thick may
well have no wall of 15 mm. A pattern that is not assessable counts as not met, and lowers `answered`.

ACDC states no pixel size, so only ratios are judged there. Its groups were made by doctors with more than
these pictures: nothing is fitted on it and nothing but counts is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from carna.codes.cine_patterns import PATTERNS, Judgement, Pattern, judge
from carna.errors import InputError
from carna.heart.short_axis import short_axis
from carna.image.pattern import ANGLES, Features, features
from carna.image.ventricles import LV, segment
from carna.intervals import wilson
from carna.learn.cmr_patients import ASSUMED_MM, Labelled, acdc
from carna.learn.evaluate import Row
from carna.phantom import people
from carna.phantom.heart import ES_PHASE, Heart
from carna.phantom.labels import as_outlined
from carna.phantom.patient import short_axis as stack_of
from carna.progress import SILENT, Progress

Labels = npt.NDArray[np.uint8]

SEED = 7_000_000  # of the test hearts
DRAWS = 100  # of each pattern
PIXELS, PIXEL_MM, STEP_MM = 160, 1.4, 10.0
_CALLED: Mapping[people.Pattern, Pattern] = {
    "normal": "none",
    "dilated": "dilated",
    "hypertrophic": "hypertrophic",
    "infarcted": "infarct",
    "abnormal right": "right",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """One heart: how it was drawn or grouped, what is true of it by its form, and what the rules say."""

    group: str
    true: frozenset[Pattern]
    said: Mapping[Pattern, Judgement] | None

    def verdict(self, pattern: Pattern) -> Literal["met", "not met", "not assessable"]:
        """Return what the rules say; "not assessable" where nothing could be measured."""
        return self.said[pattern].verdict if self.said else "not assessable"


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows of the virtual hearts, and of ACDC where it is there."""
    hearts = []
    kinds = tuple(people.SHARES)
    for n, kind in enumerate(kinds):
        hearts += [judged(kind, SEED + i) for i in range(DRAWS)]
        progress(0.4 * (n + 1) / len(kinds), "virtual hearts")
    rows = [*scores(hearts), *counts("virtual hearts", "P", "test", hearts)]
    folder = data / "acdc-cine-mri"
    if folder.exists():
        experts, read = [], []
        for n, patient in enumerate(acdc(folder)):
            experts.append(Judged(patient.group, frozenset(), rules(patient.labels, None)))
            read.append(Judged(patient.group, frozenset(), _by_network(patient)))
            progress(0.4 + 0.6 * min((n + 1) / 100, 1.0), patient.name)
        rows += counts("ACDC, outlines of experts", "H", "development", experts)
        rows += counts("ACDC, outlines of the network", "H", "development", read)
    return tuple(rows)


def rules(
    labels: Labels, spacing_mm: tuple[float, float, float] | None, handedness: int = 1
) -> Mapping[Pattern, Judgement] | None:
    """Judge labels (t, k, r, c); None where nothing can be measured."""
    try:
        return judge(measured(labels, spacing_mm, handedness))
    except InputError:
        return None


def measured(labels: Labels, spacing_mm: tuple[float, float, float] | None, handedness: int = 1) -> Features:
    """Return the features of labels, by segments where the right ventricle tells them."""
    full = labels[int((labels == LV).sum((1, 2, 3)).argmax())]
    try:
        stack = short_axis(full, spacing_mm or ASSUMED_MM, handedness=handedness)
    except InputError:
        return features(labels, spacing_mm)
    return features(labels, spacing_mm, stack.segments(ANGLES))


def judged(kind: people.Pattern, seed: int) -> Judged:
    """Draw a virtual heart, label it and judge it."""
    heart = people.draw_heart(np.random.default_rng([seed, *map(ord, kind)]), kind)
    labels, handedness = labelled(heart)
    said = rules(labels, (STEP_MM, PIXEL_MM, PIXEL_MM), handedness)
    return Judged(kind, by_form(heart, kind), said)


def labelled(heart: Heart) -> tuple[Labels, int]:
    """Return labels (2, k, r, c) at end-diastole and end-systole, and the handedness of the stack."""
    slices = int(np.ceil((heart.length_mm + 5.0) / STEP_MM))
    plane = stack_of(heart, slices, PIXELS, PIXEL_MM)
    at = np.moveaxis(np.indices((slices, PIXELS, PIXELS)), 0, -1)
    sites = heart.place(at @ plane.affine[:3, :3].T + plane.affine[:3, 3])
    labels = as_outlined(np.stack([heart.label(sites, phase) for phase in (0.0, ES_PHASE)]))
    return labels, 1 if np.linalg.det(plane.affine[:3, :3]) > 0 else -1


@dataclass(frozen=True, slots=True)
class _Form:
    """The features of `carna.codes.cine_patterns.Seen`, in closed form."""

    lvef: float
    rvef: float
    ratio: float
    lv_edv_ml: float
    rv_edv_ml: float
    relative_wall: float
    thickest_mm: float
    stillest: float
    stillest_thickening: float


def by_form(heart: Heart, kind: people.Pattern) -> frozenset[Pattern]:
    """Return the patterns that the heart's own form and volumes meet.

    Whether a part of the wall stands still is known from the draw: no limit is needed.
    """
    depth = (np.arange(90) + 0.5)[:, None] / 90 * heart.span_mm
    theta = np.arange(72) * 2 * np.pi / 72
    inner = heart.endocardium_mm(depth, theta)
    wall = heart.epicardium_mm(depth, theta) - inner
    wide = inner.mean(axis=1)
    used = wide >= 0.5 * wide.max()
    widest = used & (wide >= np.quantile(wide[used], 2 / 3))
    arcs = np.mean([np.roll(wall, n, axis=1) for n in range(6)], axis=0)
    still = kind == "infarcted"
    found = judge(
        _Form(
            lvef=heart.ef,
            rvef=heart.edv_ml * heart.ef / heart.rv_edv_ml,
            ratio=heart.rv_edv_ml / heart.edv_ml,
            lv_edv_ml=heart.edv_ml,
            rv_edv_ml=heart.rv_edv_ml,
            relative_wall=float(wall[widest].mean() / inner[widest].mean()),
            thickest_mm=float(arcs[used].max()),
            stillest=0.0 if still else 1.0,
            stillest_thickening=0.0 if still else 1.0,
        )
    )
    return frozenset(pattern for pattern, one in found.items() if one.verdict == "met")


def scores(hearts: Sequence[Judged]) -> Iterator[Row]:
    """Yield sensitivity and specificity of each pattern, by form and as drawn."""
    for pattern in PATTERNS:
        truths = {
            "": [pattern in h.true for h in hearts],
            ", as drawn": [_CALLED[h.group] == pattern for h in hearts],  # type: ignore[index]
        }
        met = np.array([h.verdict(pattern) == "met" for h in hearts])
        answered = float(np.mean([h.verdict(pattern) != "not assessable" for h in hearts]))
        for by, truth in truths.items():
            there = np.array(truth)
            right = {"sensitivity": met[there], "specificity": ~met[~there]}
            for metric, hits in right.items():
                if not len(hits):
                    continue
                yield Row(
                    "virtual hearts",
                    "P",
                    "test",
                    f"{pattern} pattern{by}",
                    metric,
                    float(hits.mean()),
                    wilson(int(hits.sum()), len(hits)),
                    len(hits),
                    len(hits),
                    positives=int(there.sum()),
                    answered=answered,
                )


def counts(
    name: str, truth: Literal["H", "P"], split: Literal["development", "test"], hearts: Sequence[Judged]
) -> Iterator[Row]:
    """Yield how many of each group meet each pattern, and of how many it can't be said."""
    for group in dict.fromkeys(h.group for h in hearts):
        some = [h for h in hearts if h.group == group]
        for pattern in PATTERNS:
            said = [h.verdict(pattern) for h in some]
            for verdict in ("met", "not assessable"):
                yield Row(
                    name,
                    truth,
                    split,
                    f"{pattern} pattern",
                    verdict.replace(" ", "_"),
                    float(said.count(verdict)),
                    None,
                    len(some),
                    len(some),
                    group=group,
                    answered=1.0 - said.count("not assessable") / len(some),
                )


def _by_network(patient: Labelled) -> Mapping[Pattern, Judgement] | None:
    try:
        return rules(segment(patient.frames, spacing_mm=None).labels, None)
    except InputError:
        return None
