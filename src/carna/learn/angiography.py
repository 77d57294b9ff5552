"""Angiography against expert masks of real angiograms, and against exact truth on virtual ones.

The real set names no patients: each picture counts as one. Filters were chosen while half of it was looked
at, so that its figures are development figures. The virtual ones are of patients that no number was chosen
on, but of the same generator: their pictures are easier than a hospital's.

On virtual pictures an operator is played: marks are off by a pixel; lesions are measured in vessels of 1.5 mm
and more, in a view where no other vessel lies beside them and segment and lesion show 0.6 of their length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.virtual import STYLES
from carna.image.angiography import (
    Drawn,
    View,
    find_vessels,
    key_frame,
    planar_tree,
    qca,
    trace,
    transit,
    tree_from_views,
)
from carna.intervals import wilson
from carna.learn.agreement import dice
from carna.learn.evaluate import Row, by_patient
from carna.phantom.angiogram import Coronary, angiogram, coronary, imaging
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SEED: Final = 60_000  # of virtual patients that nothing was chosen on
COUNTS: Final = {"vessels": 20, "lesions": 90, "trees": 30, "runs": 30}
REAL: Final = "xca-coronary-angiograms"
VIRTUAL: Final = "virtual angiograms"
# One lesion or two on the main vessel; few branches, as a chosen view shows them.
LESIONS: Final = replace(
    STYLES["stable"],
    sides=(2, 3),
    twigs=(0, 0),
    lesions_main=(1, 2),
    lesions_side=(0, 0),
    depth=(0.5, 0.15),
    length_mm=(25.0, 45.0),
    lesion_mm=(10.0, 4.0),
)
BRANCHES: Final = replace(STYLES["stable"], sides=(2, 3), twigs=(0, 0))
GAP_PX: Final = 2.0
HEALTHY_MM: Final = 4.0
LEAST_SEEN: Final = 0.6  # of the length


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows of the real set, if it is there, and of virtual patients."""
    rows: list[Row] = []
    if (data / REAL).exists():
        rows += _masks(REAL, "H", "development", list(real(data / REAL)))
    progress(0.2, REAL)
    drawn = (_picture(SEED + n, None, 300) for n in range(COUNTS["vessels"]))
    rows += _masks(VIRTUAL, "P", "test", [(frame, mask) for frame, mask in drawn])
    progress(0.3, "vessels")
    rows += lesion_rows(range(SEED, SEED + COUNTS["lesions"]))
    progress(0.5, "lesions")
    rows += tree_rows(range(SEED, SEED + COUNTS["trees"]))
    progress(0.8, "trees")
    rows += run_rows(range(SEED, SEED + COUNTS["runs"]))
    progress(1.0, "runs")
    return tuple(rows)


def real(folder: Path) -> Iterator[tuple[npt.NDArray[Any], Bools]]:
    """Yield each picture and its mask; files without a partner are left out."""
    from matplotlib.image import imread

    for path in sorted(folder.glob("*/*_gt.png")):
        picture = path.with_name(path.name.replace("_gt", ""))
        if picture.exists():
            yield imread(picture) * 255, imread(path) > 0.5


def frangi(frame: npt.NDArray[Any], widths: Sequence[float] = (2, 3, 4, 5, 6)) -> Floats:
    """Return the vesselness of Frangi et al. 1998 (doi:10.1007/BFb0056195), beta 0.5, c half the most.

    The baseline: no collimator, no rules.
    """
    from scipy.ndimage import gaussian_filter

    picture = np.asarray(frame, float)
    best = np.zeros_like(picture)
    for width in widths:
        rr, cc, rc = (
            width**2 * gaussian_filter(picture, width, order=order) for order in ((2, 0), (0, 2), (1, 1))
        )
        half, root = (rr + cc) / 2, np.sqrt(((rr - cc) / 2) ** 2 + rc**2)
        low, high = half - root, half + root
        swap = np.abs(low) > np.abs(high)
        small, large = np.where(swap, high, low), np.where(swap, low, high)
        norm = small**2 + large**2
        answer = np.exp(-((small / np.where(large == 0, 1e-9, large)) ** 2) / 0.5)
        answer *= 1 - np.exp(-norm / (2 * (norm.max() / 4 + 1e-12)))
        best = np.maximum(best, np.where(large > 0, answer, 0))
    return best


def otsu(values: Floats) -> float:
    """Return the threshold that parts 256 bins best (Otsu 1979, doi:10.1109/TSMC.1979.4310076)."""
    counts, edges = np.histogram(values, 256)
    middle = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middle)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(middle[np.nanargmax(between)])


def _masks(name: str, truth: Any, split: Any, pictures: list[tuple[npt.NDArray[Any], Bools]]) -> list[Row]:
    scores: dict[str, list[float]] = {"": [], " (Frangi, Otsu)": [], " (Frangi at the true area)": []}
    scores[" (Otsu on grey values)"] = []
    answered = 0
    for frame, mask in pictures:
        found = find_vessels(frame).mask
        answered += bool(found.any())
        scores[""].append(dice(found, mask))
        plain = frangi(frame)
        scores[" (Frangi, Otsu)"].append(dice(plain > otsu(plain), mask))
        area = float(np.quantile(plain, 1 - mask.mean()))
        scores[" (Frangi at the true area)"].append(dice(plain > area, mask))
        scores[" (Otsu on grey values)"].append(
            dice(np.asarray(frame) < otsu(np.asarray(frame, float)), mask)
        )
    n = len(pictures)
    return [
        Row(
            name, truth, split, f"vessel pixels{how}", "dice", float(np.mean(values)),
            by_patient([[v] for v in values]), n, n, answered=answered / n if not how else 1.0,
        )
        for how, values in scores.items()
    ]  # fmt: skip


def _view(vessels: Coronary, draws: np.random.Generator, size: int = 512) -> View:
    points = vessels.vessels.points
    x, y, z = map(float, (points.max(axis=0) + points.min(axis=0)) / 2)
    primary, secondary = float(draws.uniform(-60, 70)), float(draws.uniform(-40, 40))
    return View(primary, secondary, 1100, 750, 153.6 / size, (size, size), (x, y, z))


def _picture(seed: int, vessels: Coronary | None, size: int) -> tuple[npt.NDArray[Any], Bools]:
    tree = vessels or coronary(seed)
    run = angiogram(tree, _view(tree, np.random.default_rng(seed), size), imaging(seed), seconds=0, seed=seed)
    return run.frames[0], run.vessels


def lesion_rows(seeds: range) -> list[Row]:
    """Return the errors of QCA on virtual lesions, in points of percent, mm and pixels."""
    errors: dict[str, list[float]] = {}
    seen = 0
    for seed in seeds:
        found = _lesion(seed)
        if found is None:
            continue
        seen += 1
        for name, value in found.items():
            errors.setdefault(name, []).append(value)
    rows = []
    for name, values in errors.items():
        unit = {"diameter stenosis": "1", "area stenosis by density": "1"}.get(name, "mm")
        rows += _bias(name, values, unit, seen)
    return rows


def _bias(name: str, values: list[float], unit: str, patients: int) -> list[Row]:
    v = np.array(values)
    each = [[x] for x in values]
    n = len(values)

    def row(metric: str, value: float, ci95: tuple[float, float] | None = None) -> Row:
        return Row(
            VIRTUAL, "P", "test", name, metric, value, ci95, n, patients, unit, answered=n / max(patients, 1)
        )

    return [
        row("bias", float(v.mean()), by_patient(each)),
        row("sd", float(v.std(ddof=1))),
        row("mae", float(np.abs(v).mean()), by_patient([[abs(x)] for x in values])),
    ]


def _lesion(seed: int) -> dict[str, float] | None:
    """Measure one lesion of one patient in the first of twelve views that shows it freely."""
    draws = np.random.default_rng(seed)
    vessels = coronary(seed, style=LESIONS)
    net = vessels.vessels
    for _ in range(12):
        view = _view(vessels, draws)
        pixels = view.project(net.points)
        size = view.sid_mm / view.depth_mm(net.points) / view.pitch_mm
        for number in range(len(net)):
            at = _free(vessels, number, view, pixels, net.radius_mm * size)
            if at is None:
                continue
            run = angiogram(vessels, view, imaging(seed), seconds=0, seed=seed)
            course = pixels[at] + draws.normal(0, 1, (len(at), 2))  # an unsteady hand
            found = qca(run.frames[0], course, radius_px=1.2 * float((net.radius_mm * size)[at].max()))
            share = net.radius_mm[at] / vessels.reference_mm[at]
            throat = at[np.argmin(share)]
            mm = 1 / size[throat]
            error = {
                "diameter stenosis": found.diameter_stenosis - float(1 - share.min()),
                "minimal lumen diameter": float(found.minimal_px * mm - 2 * net.radius_mm[throat]),
                "reference diameter": float(
                    found.reference_at_throat_px * mm - 2 * vessels.reference_mm[throat]
                ),
            }
            if found.densitometric_area_stenosis is not None:
                error["area stenosis by density"] = found.densitometric_area_stenosis - float(
                    1 - share.min() ** 2
                )
            return error
    return None


def _free(
    vessels: Coronary, number: int, view: View, pixels: Floats, radius_px: Floats
) -> npt.NDArray[np.int64] | None:
    """Return the points of a segment that an operator would measure along, or None."""
    net = vessels.vessels
    line = net.segments[number]
    lost = 1 - net.radius_mm[line] / vessels.reference_mm[line]
    along = net.along_mm(number)
    head = 2 * net.radius_mm[line[0]] if net.parent[number] >= 0 else 1.0
    kept = np.flatnonzero((along > head) & (along < along[-1] - 2 * net.radius_mm[line[-1]]))
    narrow = np.flatnonzero(lost > 0.1)
    if lost.max() < 0.2 or len(kept) < 5 or 2 * vessels.reference_mm[line][np.argmax(lost)] < 1.5:
        return None
    room = along[narrow[0]] - along[kept[0]], along[kept[-1]] - along[narrow[-1]]
    at = line[kept]
    inside = (pixels[at] > 15).all() and (pixels[at] < np.array(view.shape) - 16).all()
    if min(room) < HEALTHY_MM or not inside:
        return None
    others = np.setdiff1d(np.arange(len(pixels)), line)
    apart = np.linalg.norm(pixels[at][:, None] - pixels[others], axis=2)
    covered = (apart - radius_px[others] - radius_px[at][:, None] < GAP_PX)[4:-4].any()
    # What runs along the beam hides its own narrowing.
    lesion = line[narrow[0] : narrow[-1] + 1]
    slanted = any(
        np.linalg.norm(np.diff(pixels[part], axis=0), axis=1).sum() * view.mm_per_px
        < LEAST_SEEN * np.linalg.norm(np.diff(net.points[part], axis=0), axis=1).sum()
        for part in (at, lesion)
    )
    return None if covered or slanted else at


def tree_rows(seeds: range) -> list[Row]:
    """Return the errors of trees from two views, and of the length of one view's, on virtual patients."""
    from scipy.spatial import cKDTree

    middle: list[float] = []
    radius: list[Floats] = []
    flat: list[float] = []
    asked = 0
    for seed in seeds:
        case = _two_views(seed)
        if case is None:
            continue
        asked += 1
        vessels, views, drawn = case
        if drawn is None:
            continue
        points, wide = _dense(vessels)
        try:
            built = tree_from_views(drawn[0], views[0], drawn[1], views[1])
        except InputError:
            continue
        off, near = cKDTree(points).query(built.tree.points)
        middle.append(float(off.mean()))
        radius.append(built.tree.radius_mm - wide[near])
        flat.append(planar_tree(drawn[0], views[0]).tree.length_mm / built.tree.length_mm)
    n = len(middle)

    def row(task: str, metric: str, value: float, ci95: tuple[float, float] | None, unit: str) -> Row:
        return Row(VIRTUAL, "P", "test", task, metric, value, ci95, n, asked, unit, answered=n / asked)

    each = [float(r.mean()) for r in radius]
    within = sum(m < 0.7 for m in middle)
    task = "centreline from two views"
    return [
        row(task, "mean_distance", float(np.mean(middle)), by_patient([[m] for m in middle]), "mm"),
        row(task, "median_distance", float(np.median(middle)), None, "mm"),
        row("centreline from two views within 0.7 mm", "rate", within / asked, wilson(within, asked), "1"),
        row("radius from two views", "bias", float(np.mean(each)), by_patient([[e] for e in each]), "mm"),
        row("radius from two views", "sd", float(np.mean([r.std() for r in radius])), None, "mm"),
        row(
            "length in one view, of that in two",
            "mean",
            float(np.mean(flat)),
            by_patient([[f] for f in flat]),
            "1",
        ),
    ]


def _dense(vessels: Coronary) -> tuple[Floats, Floats]:
    """Return places and radii every tenth of a millimetre or so."""
    net = vessels.vessels
    rows = []
    for line in net.segments:
        share = np.linspace(0, 1, 400)
        columns = (*net.points[line].T, net.radius_mm[line])
        rows.append(np.stack([np.interp(share, np.linspace(0, 1, len(line)), c) for c in columns], axis=1))
    both = np.concatenate(rows)
    return both[:, :3], both[:, 3]


def _two_views(seed: int) -> tuple[Coronary, tuple[View, View], tuple[Drawn, Drawn] | None] | None:
    """Draw one patient's tree in two views 35 to 90 degrees apart.

    None if the views drawn by lot are closer; without drawings where marks can't be told apart.
    """
    draws = np.random.default_rng(seed)
    vessels = coronary(seed, style=BRANCHES)
    net = vessels.vessels
    first = _view(vessels, draws)
    turned = first.primary_deg + float(draws.uniform(45, 80)) * (-1 if first.primary_deg > 0 else 1)
    second = replace(first, primary_deg=turned, secondary_deg=float(draws.uniform(-30, 30)))
    if first.degrees_to(second) < 35:
        return None
    tips = [int(net.segments[k][-3]) for k in net.outlets]
    tips = sorted((t for t in tips if net.radius_mm[t] > 0.45), key=lambda t: -net.from_inlet_mm[t])
    inside = [np.abs(view.project(net.points) - 255.5).max(axis=1) < 250 for view in (first, second)]
    shown = [t for t in tips if inside[0][t] and inside[1][t]]
    drawn = []
    for n, view in enumerate((first, second)):
        run = angiogram(vessels, view, imaging(seed), seconds=0, seed=seed + 10**6 * n)
        marks = view.project(net.points[[int(net.segments[0][1]), *shown]])
        marks = np.clip(marks + draws.normal(0, 1, marks.shape), 0, 511)
        try:
            places = [(float(r), float(c)) for r, c in marks]
            drawn.append(trace(run.frames[0], places[0], places[1:]))
        except InputError:
            return vessels, (first, second), None
    return vessels, (first, second), (drawn[0], drawn[1])


def run_rows(seeds: range) -> list[Row]:
    """Return the errors of key frames and of velocity by frame count on virtual runs."""
    full, late, ratio = 0, 0, list[float]()
    for seed in seeds:
        draws = np.random.default_rng(seed)
        vessels = coronary(seed)
        net = vessels.vessels
        how = imaging(seed)
        run = angiogram(vessels, _view(vessels, draws, 300), how, seconds=2.2, seed=seed)
        far = net.from_inlet_mm
        tip = max(net.lines, key=lambda line: float(far[net.segments[line[-1]][-1]]))
        at = net.line_points(tip)
        at = at[2 : int(0.75 * len(at))]
        try:
            best = key_frame(run.frames).index
        except InputError:
            continue
        full += 1
        # By then contrast has passed half the main vessel.
        late += bool(best / how.fps >= how.start_s + far[at[len(at) // 2]] / how.velocity_mm_s)
        course = run.pixels(best)[at]
        outside = (course < 3).any(axis=1) | (course > 296).any(axis=1)
        if outside.any():
            # The landmark is where the vessel leaves the picture.
            at, course = at[: int(np.argmax(outside))], course[: int(np.argmax(outside))]
        try:
            found = transit(run.frames, course, fps=how.fps, length_mm=float(far[at[-1]] - far[at[0]]))
        except InputError:
            continue
        ratio.append(float(found.velocity_mm_s or 0.0) / how.velocity_mm_s - 1)
    n = len(seeds)
    task = "key frame with half the main vessel full"
    key = Row(VIRTUAL, "P", "test", task, "rate", late / n, wilson(int(late), n), n, n, answered=full / n)
    return [key, *_bias("velocity by frame count, of the truth", ratio, "1", n)]
