"""Make the heart atlas of virtual hearts, and only of these.

::

    from carna.learn.shape_atlas import make

    make(Path("src/carna/models"))

Every virtual heart is sampled at the template's vertices by its closed forms, at end-diastole and at
end-systole: no labels, no pixels. Virtual hearts of other seeds are then labelled on a usual stack of slices,
fitted, and their distances kept: by these a patient's distance is judged.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from carna.phantom.heart import ES_PHASE, Heart, contraction
from carna.phantom.labels import as_outlined
from carna.phantom.people import draw_heart
from carna.shape.atlas import FORMAT, MOMENTS, Atlas, Moment
from carna.shape.contours import EDGE
from carna.shape.surface import fit
from carna.shape.template import ARC, LEVELS, LV_ENDO, LV_EPI, RV, VERTICES, angles
from carna.space import Grid

Floats = npt.NDArray[np.float64]

HEARTS, SEED, FITTED, FITTED_SEED, RANK, KEPT = 600, 61, 100, 62, 24, 300
PHASE: Final[dict[Moment, float]] = {"ED": 0.0, "ES": ES_PHASE}


def vertices_of(heart: Heart, phase: float) -> Floats:
    """Return the template's vertices on a virtual heart.

    Parameters
    ----------
    heart : Heart
    phase : float
        Fraction of the beat.

    Returns
    -------
    (n, 3) float
        mm, in the heart's axes, z from the base plane of that phase.
    """
    along, out = float(heart.along(phase)), np.zeros((VERTICES, 3))

    def put(part: slice, radius: Floats, angle: Floats, depth: Floats) -> None:
        z = np.broadcast_to(along * depth, radius.shape)
        out[part] = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], -1).reshape(-1, 3)

    for part, end in ((LV_ENDO, heart.length_mm), (LV_EPI, heart.span_mm)):
        depth = LEVELS[:, None] * end
        radius = (_inner if part is LV_ENDO else _outer)(heart, depth, angles()[None, :], phase)
        put(part.rings, radius, angles()[None, :], depth)
        out[part.stop - 1] = (0.0, 0.0, along * end)
    reach = heart.rv_reach * heart.span_mm
    depth, half = LEVELS[:, None] * reach, np.deg2rad(heart.rv_half_angle_deg)
    most = heart.crescent_mm(phase) * np.sqrt(1.0 - LEVELS[:, None] ** 2)
    # Its edges are where labels show them: all but a little of each section's area lies between.
    fine = half * np.linspace(-1.0, 1.0, 201)[None, :]
    near, far = (_outer(heart, depth, fine, phase) + n * most * heart.crescent(fine) for n in (0, 1))
    area = np.cumsum(far**2 - near**2, axis=1)
    edges = [np.interp((EDGE, 1.0 - EDGE), a / a[-1], fine[0]) for a in area]
    spread = np.linspace(0.0, 1.0, ARC + 2)
    angle = np.array([low + (high - low) * spread for low, high in edges])
    inner = _outer(heart, depth, angle, phase)
    thick = most * heart.crescent(angle)
    inner[:, [0, -1]] += 0.5 * thick[:, [0, -1]]
    thick[:, [0, -1]] = 0.0
    # Along the outer side, edges included, then back along the inner side between them.
    ring = np.concatenate([inner + thick, inner[:, -2:0:-1]], axis=1)
    put(RV.rings, ring, np.concatenate([angle, angle[:, -2:0:-1]], axis=1), depth)
    return out


def _inner(heart: Heart, depth: Floats, angle: Floats, phase: float) -> Floats:
    """Endocardial radius at angles of space; the wall there came from other angles."""
    came = angle - _twist(heart, depth, phase)
    return np.asarray(heart.across(came, depth, phase) * heart.endocardium_mm(depth, came))


def _outer(heart: Heart, depth: Floats, angle: Floats, phase: float) -> Floats:
    came = angle - _twist(heart, depth, phase)
    wall = heart.epicardium_mm(depth, came) ** 2 - heart.endocardium_mm(depth, came) ** 2
    return np.asarray(np.sqrt(wall / heart.along(phase) + _inner(heart, depth, angle, phase) ** 2))


def _twist(heart: Heart, depth: Floats, phase: float) -> Floats:
    turn = np.deg2rad(heart.torsion_deg) * contraction(phase, heart.atrial_share)
    return np.asarray(turn * (heart.span_mm - depth) / heart.span_mm)


def stack_of(
    heart: Heart,
    phases: npt.ArrayLike,
    random: np.random.Generator,
    *,
    step_mm: float = 10.0,
    pixel_mm: float = 1.5,
    shift_sd_mm: float = 0.0,
) -> tuple[npt.NDArray[np.uint8], tuple[Grid, ...], Floats]:
    """Return exact labels of a virtual heart on a short-axis stack that begins above its base at random.

    Parameters
    ----------
    heart : Heart
    phases : (t,) float
    random : numpy.random.Generator
    step_mm, pixel_mm : float
        Between slices and within them.
    shift_sd_mm : float
        Of each slice's shift in its plane along either axis; at most 8 mm are drawn.

    Returns
    -------
    labels : (t, k, r, c) uint8
        1 right cavity, 2 wall, 3 left cavity with papillary muscles.
    planes : tuple of Grid
    shift_mm : (k, 2) float
        Of each slice along the heart's x and y axes.
    """
    x, y, axis = heart.axes_lps
    slices = int(np.ceil((heart.span_mm + step_mm) / step_mm)) + 1
    first, turn = -step_mm * random.uniform(0.2, 1.2), random.uniform(0.0, 2.0 * np.pi)
    row = np.cos(turn) * x + np.sin(turn) * y
    size = int(210.0 / pixel_mm)
    shift = np.clip(random.normal(0.0, 1.0, (slices, 2)) * shift_sd_mm, -8.0, 8.0)
    given = np.atleast_1d(np.asarray(phases, float))
    labels, planes = np.zeros((len(given), slices, size, size), np.uint8), []
    index = np.moveaxis(np.indices((1, size, size)), 0, -1)[0]
    for k in range(slices):
        affine = np.eye(4)
        affine[:3, :3] = np.stack(
            [axis * min(step_mm, 8.0), row * pixel_mm, np.cross(row, axis) * pixel_mm], 1
        )
        middle = np.asarray(heart.base_lps) + (first + k * step_mm) * axis + 18.0 * x
        affine[:3, 3] = middle - 0.5 * (size - 1) * (affine[:3, 1] + affine[:3, 2])
        planes.append(Grid((1, size, size), affine))
        sites = heart.place(planes[k].to_world(index) - shift[k] @ heart.axes_lps[:2])
        for t, phase in enumerate(given):
            labels[t, k] = as_outlined(heart.label(sites, float(phase)))
    return labels, tuple(planes), shift


def atlas(hearts: int = HEARTS, *, rank: int = RANK, seed: int = SEED) -> Atlas:
    """Return the atlas of as many virtual hearts."""
    random = np.random.default_rng(seed)
    drawn = [draw_heart(random) for _ in range(hearts)]
    return Atlas.of({m: np.stack([vertices_of(h, PHASE[m]) for h in drawn]) for m in MOMENTS}, rank=rank)


def fitted_distances(made: Atlas, hearts: int = FITTED, *, seed: int = FITTED_SEED) -> dict[Moment, Floats]:
    """Return the distances, sorted, of other virtual hearts that were labelled on slices and fitted."""
    random = np.random.default_rng(seed)
    phases = np.array([0.0, 0.1, 0.17, 0.24, ES_PHASE, 0.45, 0.6, 0.8])
    found: dict[Moment, list[float]] = {m: [] for m in MOMENTS}
    for _ in range(hearts):
        labels, planes, _ = stack_of(draw_heart(random), phases, random, shift_sd_mm=2.0)
        shapes = fit(labels, planes, made).aligned()
        for m in MOMENTS:
            found[m].append(made.distance(shapes[int(np.argmin(np.abs(phases - PHASE[m])))], m))
    return {m: np.sort(found[m]) for m in MOMENTS}


def make(folder: Path) -> None:
    """Make the atlas and write it to a folder."""
    made = atlas()
    save(folder, replace(made, fitted=fitted_distances(made)))


def save(folder: Path, made: Atlas, *, kept: int = KEPT) -> None:
    """Write ``heart_atlas.npz`` and its card, ``heart_atlas.json``.

    Parameters
    ----------
    folder : Path
    made : Atlas
    kept : int
        Training hearts whose coefficients are kept.
    """
    arrays: dict[str, npt.NDArray[Any]] = {
        "format": np.array(FORMAT),
        "mean": made.mean.astype(np.float32),
        "modes": made.modes.astype(np.float16),
    }
    for m in MOMENTS:
        arrays[f"coefficients_{m}"] = made.coefficients[m][:, :kept].astype(np.float16)
        arrays[f"fitted_{m}"] = np.sort(made.fitted[m]).astype(np.float32)
    np.savez_compressed(folder / "heart_atlas.npz", allow_pickle=False, **arrays)
    recipe = Path(__file__).read_bytes()
    card = {
        "format": FORMAT,
        "what": "mean and modes of left endocardium, left epicardium and right endocardium at ED and ES",
        "vertices": VERTICES,
        "modes": made.modes.shape[1],
        "made_of": f"{HEARTS} virtual hearts, seed {SEED}, at end-diastole and end-systole, no pixels",
        "kept": f"coefficients of {kept} of them",
        "fitted": f"{len(made.fitted['ED'])} other virtual hearts, seed {FITTED_SEED}, 10 mm slices",
        "never_made_of": "patients",
        "unusual_means": "among virtual hearts, whose shares of disease are lessons and not a population",
        "recipe": "carna.learn.shape_atlas",
        "recipe_sha256": hashlib.sha256(recipe).hexdigest(),
        "licence": "Apache-2.0",
    }
    (folder / "heart_atlas.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
