import time

import numpy as np
import pytest

from carna.errors import InputError
from carna.heart.anatomy import BACKGROUND, LV_WALL, OPENING, SEPTUM, Anatomy
from carna.heart.complete import completed
from carna.heart.scar import SCAR
from carna.heart.ventricles import ENDO, EPI, ventricles, ventricles_of


def test_values_go_to_their_voxels(heart):
    assert np.count_nonzero(heart.mask) == len(heart.at.where)
    assert heart.fibres.shape == (*heart.grid.shape, 3)
    assert (heart.fibres[heart.mask] == heart.fibre).all() and not heart.fibres[~heart.mask].any()
    assert heart.tissue_ml == pytest.approx(Anatomy().tissue_ml, rel=0.01)
    assert heart.grid.to_index(heart.points_lps[5]) == pytest.approx(
        np.unravel_index(heart.at.where[5], heart.grid.shape)
    )
    with pytest.raises(InputError, match="one for each"):
        heart.spread(np.zeros(3))


def test_cell_types_are_thirds_of_the_wall(heart):
    kind = heart.cell_type
    share = np.bincount(kind[~heart.at.right]) / np.count_nonzero(~heart.at.right)
    assert len(share) == 3 and share == pytest.approx(1 / 3, abs=0.08)
    assert share[ENDO] < share[EPI]  # the outer third of a bent wall is larger
    assert heart.at.transmural[kind == ENDO].max() <= 1 / 3


def test_a_heart_cut_by_its_grid_is_refused():
    grid = Anatomy().grid(1.5)
    with pytest.raises(InputError, match="whole heart"):
        ventricles(grid=grid.crop((0, 0, 0), (40, *grid.shape[1:])))
    with pytest.raises(InputError, match="spacing"):
        ventricles(spacing_mm=9.0)


def test_labels_of_a_segmentation_are_completed(heart):
    bare = np.where(heart.labels == OPENING, BACKGROUND, heart.labels)
    bare = np.where(bare == SEPTUM, LV_WALL, bare).astype(np.uint8)
    full = completed(bare, heart.grid, heart.axes)
    a, b = full == SEPTUM, heart.labels == SEPTUM
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.95
    again = ventricles_of(full, heart.grid, heart.axes)
    below = heart.at.apicobasal <= 1  # the outflow's end is no base plane: it is taken for an outside
    assert np.percentile(np.abs(again.at.transmural - heart.at.transmural)[below], 99.9) < 0.02
    assert (again.segment == heart.segment).mean() > 0.99
    assert (completed(full, heart.grid, heart.axes) == full).all()


def test_scar_of_an_image_is_kept(heart):
    seen = np.zeros(heart.grid.shape, np.uint8)
    seen[heart.mask & (np.indices(heart.grid.shape)[0] == 50)] = SCAR
    marked = ventricles_of(heart.labels, heart.grid, heart.axes, region=seen)
    assert (marked.spread(marked.region) == seen).all()


@pytest.mark.slow
def test_the_whole_heart_at_working_resolution_takes_seconds():
    ventricles(spacing_mm=2.0)  # compiles
    began = time.process_time()
    heart = ventricles(spacing_mm=0.4)
    assert time.process_time() - began < 60  # measured: 8
    assert len(heart.at.where) > 2_600_000
    truth = Anatomy().tissue_ml
    assert heart.tissue_ml == pytest.approx(truth, rel=0.002)
    assert np.isfinite(heart.fibre).all() and np.isfinite(heart.at.thickness_mm).all()
