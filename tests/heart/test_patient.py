"""A patient's ventricles from labels: against the anatomy they were drawn from, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from carna.errors import InputError
from carna.heart.anatomy import (
    BACKGROUND,
    LV_CAVITY,
    LV_WALL,
    OPENING,
    RV_CAVITY,
    RV_WALL,
    SEPTUM,
    Anatomy,
)
from carna.heart.patient import ventricles_in
from carna.heart.scar import GREY, SCAR, Infarct
from carna.heart.ventricles import Ventricles, ventricles
from carna.space import Grid, rotation

Bytes = npt.NDArray[np.uint8]
SHAPE = Anatomy(rv_wall_mm=5.0)
INFARCT = Infarct(segment=7, around_mm=45.0, along_mm=40.0, rim_mm=5.0, channel_mm=8.0)


def drawn(heart: Ventricles) -> tuple[Bytes, Bytes, Grid]:
    """What a segmentation would know of a heart."""
    labels = heart.labels.copy()
    labels[labels == SEPTUM] = LV_WALL
    labels[labels == OPENING] = BACKGROUND
    return labels, heart.spread(heart.region), heart.grid


@pytest.fixture(scope="module")
def heart() -> Ventricles:
    return ventricles(SHAPE, spacing_mm=2.0, infarcts=(INFARCT,))


def angle_deg(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


def agreement(found: Ventricles, truth: Ventricles, what: str) -> float:
    """Share of common voxels that have the same segment or region."""
    _, i, j = np.intersect1d(found.at.where, truth.at.where, return_indices=True)
    assert len(i) > 0.97 * len(truth.at.where)
    return float((getattr(found, what)[i] == getattr(truth, what)[j]).mean())


def test_labels_alone_give_back_the_heart_they_were_drawn_from(heart: Ventricles) -> None:
    found = ventricles_in(*drawn(heart), spacing_mm=2.0)
    truth = ventricles(SHAPE, grid=found.grid, infarcts=(INFARCT,))
    assert found.tissue_ml == pytest.approx(truth.tissue_ml, rel=0.005)
    assert np.linalg.norm(SHAPE.axes.to_heart(found.axes.base_lps)) < 0.5
    assert angle_deg(found.axes.matrix[2], SHAPE.axes.matrix[2]) < 0.5
    assert agreement(found, truth, "segment") > 0.99
    assert agreement(found, truth, "region") > 0.98


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_heart_drawn_on_an_oblique_grid_lies_where_it_lies(mirrored: bool) -> None:
    turn = rotation((0.2, 0.9, -0.4), 37.0, about=SHAPE.axes.base_lps)
    grid = SHAPE.grid(2.0).moved(turn)
    grid = Grid((90, 90, 90), grid.affine, "")
    affine = grid.affine.copy()
    middle = SHAPE.axes.to_lps((10.0, 0.0, 35.0))
    affine[:3, 3] += middle - grid.centre
    if mirrored:
        affine[:3, 3] += affine[:3, 0] * 89
        affine[:3, 0] *= -1
    grid = Grid(grid.shape, affine)
    truth = ventricles(SHAPE, grid=grid, infarcts=(INFARCT,))
    found = ventricles_in(*drawn(truth), spacing_mm=2.0)
    assert np.linalg.norm(SHAPE.axes.to_heart(found.axes.base_lps)) < 2.0
    assert angle_deg(found.axes.matrix[2], SHAPE.axes.matrix[2]) < 2.0
    again = ventricles(SHAPE, grid=found.grid, infarcts=(INFARCT,))
    assert agreement(found, again, "segment") > 0.96


def test_a_coarser_model_keeps_muscle_and_scar(heart: Ventricles) -> None:
    found = ventricles_in(*drawn(heart), spacing_mm=2.6)
    assert found.spacing_mm == pytest.approx((2.6,) * 3)
    assert found.tissue_ml == pytest.approx(heart.tissue_ml, rel=0.03)
    for part in (GREY, SCAR):
        volumes = [(h.region == part).sum() * h.grid.voxel_ml for h in (found, heart)]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.2)


def _without(label: int) -> Callable[[Bytes, Bytes], None]:
    def edit(labels: Bytes, region: Bytes) -> None:
        labels[labels == label] = BACKGROUND

    return edit


def _no_scar(labels: Bytes, region: Bytes) -> None:
    region[region == SCAR] = GREY


def _apex_open(labels: Bytes, region: Bytes) -> None:
    left = np.argwhere(labels == LV_CAVITY)
    tip = left[np.argmax(left[:, 0])]  # the grid's first axis is the long one
    k, r, c = tip
    labels[k - 4 :, r - 4 : r + 5, c - 4 : c + 5][
        labels[k - 4 :, r - 4 : r + 5, c - 4 : c + 5] == LV_WALL
    ] = 0


def _two_hearts(labels: Bytes, region: Bytes) -> None:
    middle = labels.shape[0] // 2
    labels[middle - 1 : middle + 1] = BACKGROUND


def _closed(labels: Bytes, region: Bytes) -> None:
    from scipy.ndimage import binary_dilation

    lid = binary_dilation(labels == LV_CAVITY, iterations=2) & (labels == BACKGROUND)
    labels[lid] = LV_WALL


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_no_scar, "without scar"),
        (_without(RV_WALL), "wall of the right ventricle"),
        (_without(RV_CAVITY), "cavity of the right ventricle"),
        (_without(LV_CAVITY), "cavity of the left ventricle"),
        (_two_hearts, "2 separate hearts"),
        (_apex_open, "apex"),
        (_closed, "closed on all sides"),
    ],
)
def test_what_is_no_heart_is_refused_in_a_sentence(
    heart: Ventricles, edit: Callable[[Bytes, Bytes], None], said: str
) -> None:
    labels, region, grid = drawn(heart)
    edit(labels, region)
    with pytest.raises(InputError, match=said):
        ventricles_in(labels, region, grid, spacing_mm=2.0)


def test_slices_far_apart_and_wrong_shapes_are_refused(heart: Ventricles) -> None:
    labels, region, grid = drawn(heart)
    affine = grid.affine.copy()
    affine[:3, 0] *= 4.0
    with pytest.raises(InputError, match="labels every 8 mm"):
        ventricles_in(labels, region, Grid(grid.shape, affine), spacing_mm=2.0)
    with pytest.raises(InputError, match="shape"):
        ventricles_in(labels[1:], region, grid, spacing_mm=2.0)
    with pytest.raises(InputError, match="spacing_mm"):
        ventricles_in(labels, region, grid, spacing_mm=5.0)


def test_specks_of_noise_are_taken_out(heart: Ventricles) -> None:
    labels, region, grid = drawn(heart)
    labels[1, 1, 1] = LV_WALL
    found = ventricles_in(labels, region, grid, spacing_mm=2.0)
    assert found.tissue_ml == pytest.approx(heart.tissue_ml, rel=0.005)
