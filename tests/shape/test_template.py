"""The topology of the template on surfaces whose volumes are known."""

import numpy as np
import pytest

from carna.learn.shape_atlas import vertices_of
from carna.phantom.heart import ES_PHASE, Heart
from carna.shape.template import LV_ENDO, LV_EPI, PARTS, RV, VERTICES, normals, wall
from carna.space import Mesh, Surface

HEART = Heart(septal_mm=2.0, oval=0.1)


@pytest.mark.parametrize("part", PARTS, ids=lambda p: p.name)
def test_every_surface_is_closed_and_oriented(part):
    edges = np.concatenate([part.triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    # Each edge is passed once in each direction: closed, manifold, and outside is on one side throughout.
    ways = {tuple(e) for e in edges.tolist()}
    assert len(ways) == len(edges)
    assert all((b, a) in ways for a, b in ways)
    vertices = part.stop - part.start
    assert set(part.triangles.ravel().tolist()) == set(range(vertices))
    assert vertices - len(edges) // 2 + len(part.triangles) == 2  # Euler: a sphere


@pytest.mark.parametrize("phase", [0.0, 0.2, ES_PHASE])
def test_volumes_are_those_of_the_virtual_heart(phase):
    points = vertices_of(HEART, phase)
    assert points.shape == (VERTICES, 3)
    wall_ml = HEART.mass_g / 1.05
    for part, truth, less in (
        (LV_ENDO, HEART.lv_ml(phase), 0.008),
        (LV_EPI, HEART.lv_ml(phase) + wall_ml, 0.008),
        (RV, HEART.rv_ml(phase), 0.045),
    ):
        # Chords cut a little off round surfaces.
        volume = Surface(points[part.vertices], part.triangles).volume_ml
        assert (1.0 - less) * truth < volume < truth


def test_the_wall_fills_what_is_between_its_surfaces():
    points = vertices_of(HEART, 0.2)
    inner, outer, cells, share = wall()
    mesh = Mesh(points[inner] * (1 - share)[:, None] + points[outer] * share[:, None], cells)
    a, b, c, d = (mesh.points[mesh.cells[:, n]] for n in range(4))
    each = np.einsum("vi,vi->v", np.cross(b - a, c - a), d - a) / 6000.0
    assert each.min() > 0.0
    between = (
        Surface(points[LV_EPI.vertices], LV_EPI.triangles).volume_ml
        - Surface(points[LV_ENDO.vertices], LV_ENDO.triangles).volume_ml
    )
    assert each.sum() == pytest.approx(between, rel=1e-9)
    faces = np.sort(np.concatenate([np.delete(cells, n, 1) for n in range(4)]), 1)
    _, shared = np.unique(faces, axis=0, return_counts=True)
    assert shared.max() == 2  # no face belongs to three cells


def test_normals_point_outward():
    points = vertices_of(HEART, 0.0)
    for part in (LV_ENDO, LV_EPI):
        out = normals(points, part)[:-2]
        away = points[part.rings][:, :2]
        assert (np.einsum("vi,vi->v", out[:, :2], away) > 0).all()
        np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1.0)
