"""The chain from labels to a beating heart, on virtual hearts whose surfaces are exact."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from carna.doors.geometry import write_stl, write_vtu
from carna.errors import Cancelled, InputError
from carna.heart import anatomy
from carna.heart.beating import beating_heart, ventricles_at
from carna.learn.shape_atlas import stack_of
from carna.phantom.heart import ES_PHASE, Heart
from carna.phantom.people import draw_heart
from carna.progress import Progress
from carna.shape.template import LV_ENDO, LV_EPI, RV, normals
from carna.space import rotation

PHASES = np.array([0.0, 0.1, 0.17, 0.24, ES_PHASE, 0.45, 0.6, 0.8])
HEART = Heart(septal_mm=1.5, oval=0.05)


@cache
def thin():
    """A stack of thin slices: the base is seen, so volumes must agree."""
    return stack_of(HEART, (0.0, ES_PHASE), np.random.default_rng(1), step_mm=2.5)


@cache
def usual():
    return stack_of(HEART, PHASES, np.random.default_rng(2), shift_sd_mm=3.0)


@cache
def beating():
    return beating_heart(usual()[0], usual()[1])


def volumes(found):
    lv, rv = found.shape.volume_ml(LV_ENDO), found.shape.volume_ml(RV)
    return lv, rv, found.shape.volume_ml(LV_EPI) - lv


def test_thin_slices_give_the_volumes_of_the_labels_and_of_the_heart():
    labels, planes, _ = thin()
    lv, rv, wall = volumes(beating_heart(labels, planes))
    counted = np.array([[(p == n).sum() for p in labels] for n in (3, 1, 2)]) * 2.5 * 1.5**2 / 1e3
    np.testing.assert_allclose(lv, counted[0], rtol=0.01)
    np.testing.assert_allclose(rv, counted[1], rtol=0.02)
    np.testing.assert_allclose(lv, HEART.lv_ml(np.array([0.0, ES_PHASE])), rtol=0.015)
    np.testing.assert_allclose(wall, HEART.mass_g / 1.05, rtol=0.03)


def test_usual_slices_give_the_volumes_of_the_heart():
    lv, rv, wall = volumes(beating())
    np.testing.assert_allclose(lv, HEART.lv_ml(PHASES), rtol=0.06)
    np.testing.assert_allclose(rv, HEART.rv_ml(PHASES), rtol=0.07)
    np.testing.assert_allclose(wall, HEART.mass_g / 1.05, rtol=0.06)
    assert not beating().doubted.any()


def test_slice_shifts_are_found_but_for_a_line():
    labels, _, shift = usual()
    held = (labels[0] == 3).any((1, 2))
    frame = beating().shape.frame
    given = (shift @ HEART.axes_lps[:2]) @ frame.matrix[:2].T
    place = np.flatnonzero(held).astype(float)

    def bent(values):
        return values - np.stack([np.polyval(np.polyfit(place, v, 1), place) for v in values.T], 1)

    left = bent(beating().shape.shift_mm[held]) - bent(given[held])
    assert np.sqrt((bent(given[held]) ** 2).mean()) > 1.5
    assert np.sqrt((left**2).mean()) < 0.6


def test_a_hole_in_the_labels_is_repaired():
    labels, planes, _ = stack_of(HEART, PHASES[[0, 4]], np.random.default_rng(2))
    whole = beating_heart(labels, planes)
    broken = labels.copy()
    middle = int(np.median(np.flatnonzero((labels[0] == 3).any((1, 2)))))
    r, c = np.indices(labels.shape[2:])
    at = np.argwhere(labels[0, middle] == 3).mean(0)
    gone = np.abs(np.angle(np.exp(1j * (np.arctan2(r - at[0], c - at[1]) - 0.4)))) < np.deg2rad(40)
    for t in range(2):
        for k in (middle, middle + 1):
            broken[t, k][gone & (broken[t, k] >= 2)] = 0
    repaired, followed = (beating_heart(broken, planes, repair=flag) for flag in (True, False))

    def away(found):
        """Mean distance of the outer surfaces along the normals: what slides along leaves it the same."""
        here, there = (f.shape.frame.to_lps(f.shape.points[0, LV_EPI.rings]) for f in (found, whole))
        out = normals(whole.shape.points[0], LV_EPI)[:-2] @ whole.shape.frame.matrix
        return np.abs(np.einsum("vi,vi->v", here - there, out)).mean()

    assert repaired.doubted.any() and not followed.doubted.any()
    assert away(repaired) < 0.6 * away(followed)
    truth = HEART.lv_ml(0.0)
    assert abs(volumes(repaired)[0][0] - truth) < 0.7 * abs(volumes(followed)[0][0] - truth)


def test_a_turned_patient_has_a_turned_heart():
    labels, planes, _ = usual()
    motion = rotation((0.3, -0.5, 0.8), 23.0, about=(10.0, -20.0, 5.0))
    there = beating_heart(labels, tuple(p.moved(motion) for p in planes)).shape
    here = beating().shape
    for part in (LV_ENDO, RV):
        np.testing.assert_allclose(
            here.surface(part, 3).moved(motion).points, there.surface(part, 3).points, atol=1e-6
        )


def test_thickness_is_that_of_the_wall():
    thin_wall = beating().shape.thickness_mm()
    assert thin_wall.shape == (len(PHASES), LV_ENDO.stop)
    ring = thin_wall[:, LV_ENDO.rings].reshape(len(PHASES), -1, LV_ENDO.around)[:, 4:7].mean((1, 2))
    depth, theta = np.array([15.0, 25.0, 35.0])[:, None], np.linspace(-np.pi, np.pi, 40)[None]
    truth = (HEART.epicardium_mm(depth, theta) - HEART.endocardium_mm(depth, theta)).mean()
    assert ring[0] == pytest.approx(truth, abs=0.8)
    assert ring[4] > 1.3 * ring[0]  # it thickens


def test_the_walls_never_turn_inside_out():
    for t in range(len(PHASES)):
        mesh = beating().shape.wall(t)
        a, b, c, d = (mesh.points[mesh.cells[:, n]] for n in range(4))
        assert np.einsum("vi,vi->v", np.cross(b - a, c - a), d - a).min() > 0.0


def test_the_electrical_models_get_ventricles():
    ready = ventricles_at(beating().shape, 0, spacing_mm=1.5)
    counted = np.bincount(ready.labels.ravel(), minlength=7) * ready.grid.voxel_ml
    lv, rv, wall = (float(v[0]) for v in volumes(beating()))
    assert counted[anatomy.LV_CAVITY] == pytest.approx(lv, rel=0.03)
    assert counted[anatomy.RV_CAVITY] == pytest.approx(rv, rel=0.05)
    assert counted[anatomy.LV_WALL] + counted[anatomy.SEPTUM] == pytest.approx(wall, rel=0.04)
    assert counted[anatomy.RV_WALL] > 15.0 and counted[anatomy.OPENING] > 0.0
    assert set(np.unique(ready.segment)) == set(range(18))
    np.testing.assert_allclose(np.linalg.norm(ready.fibre, axis=1), 1.0, atol=1e-3)


def _poor(fault):
    labels, planes, _ = usual()
    labels = labels.copy()
    held = np.flatnonzero((labels[0] == 3).any((1, 2)))
    if fault == "few slices":
        keep = held[:3]
    elif fault == "wide gap":
        keep = held[[0, 1, 4, 5, 6, 7]]
    elif fault == "no apex":
        keep = np.arange(held[0], held[3] + 1)
    else:
        keep = np.arange(labels.shape[1])
    labels, planes = labels[:, keep], tuple(planes[k] for k in keep)
    if fault == "cropped":
        labels = labels[:, :, :, int(np.argwhere(labels == 3)[:, 3].mean()) :]
        planes = tuple(
            p.crop((0, 0, p.shape[2] - labels.shape[3]), (1, p.shape[1], p.shape[2])) for p in planes
        )
    elif fault == "no right":
        labels[labels == 1] = 0
    elif fault == "empty":
        labels[:] = 0
    return labels, planes


@pytest.mark.parametrize("fault", ["few slices", "wide gap", "no apex", "cropped", "no right", "empty"])
def test_poor_labels_are_refused(fault):
    with pytest.raises(InputError):
        beating_heart(*_poor(fault))


def test_one_phase_and_a_missing_slice_are_enough():
    labels, planes, _ = usual()
    held = np.flatnonzero((labels[0] == 3).any((1, 2)))
    keep = [k for k in range(labels.shape[1]) if k != held[3]]
    found = beating_heart(labels[:1, keep], tuple(planes[k] for k in keep))
    assert volumes(found)[0][0] == pytest.approx(float(HEART.lv_ml(0.0)), rel=0.1)


def test_it_can_be_cancelled():
    with pytest.raises(Cancelled):
        beating_heart(*usual()[:2], progress=Progress(cancelled=lambda: True))


@pytest.mark.peer
def test_another_program_reads_the_files(tmp_path):
    meshio = pytest.importorskip("meshio")
    shape = beating().shape
    for name, raw in (
        ("wall.vtu", write_vtu(shape.wall(4))),
        ("lv.stl", write_stl(shape.surface(LV_ENDO, 4))),
    ):
        (tmp_path / name).write_bytes(raw)
    cells = meshio.read(tmp_path / "wall.vtu")
    a, b, c, d = (cells.points[cells.cells_dict["tetra"][:, n]] for n in range(4))
    total = np.einsum("vi,vi->", np.cross(b - a, c - a), d - a) / 6000.0
    assert total == pytest.approx(volumes(beating())[2][4], rel=1e-6)
    surface = meshio.read(tmp_path / "lv.stl")
    a, b, c = (surface.points[surface.cells_dict["triangle"][:, n]].astype(float) for n in range(3))
    assert np.einsum("vi,vi->", a, np.cross(b, c)) / 6000.0 == pytest.approx(
        volumes(beating())[0][4], rel=1e-4
    )


@pytest.mark.slow
def test_virtual_patients_of_every_pattern():
    random = np.random.default_rng(77)
    for pattern in ("normal", "dilated", "hypertrophic", "infarcted", "abnormal right"):
        heart = draw_heart(random, pattern)
        labels, planes, _ = stack_of(heart, PHASES, random, shift_sd_mm=2.0)
        lv, rv, _ = volumes(beating_heart(labels, planes))
        np.testing.assert_allclose(lv[[0, 4]], heart.lv_ml(PHASES[[0, 4]]), rtol=0.1)
        np.testing.assert_allclose(rv[[0, 4]], heart.rv_ml(PHASES[[0, 4]]), rtol=0.1)
