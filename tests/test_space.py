"""Space against closed forms: DICOM's own plane equation, a sphere's area and volume, rigid motions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carna.errors import FrameError, InputError
from carna.space import Grid, Mesh, Surface, VesselTree, flip_ras, rotation, stack

OBLIQUE = (0.79, 0.0, 0.6131, 0.38, 0.79, -0.4896)


def oblique(position=(-10.0, 5.0, 100.0), size=(20, 30)):
    row = np.array(OBLIQUE[:3]) / np.linalg.norm(OBLIQUE[:3])
    column = np.array(OBLIQUE[3:]) - np.array(OBLIQUE[3:]) @ row * row
    column /= np.linalg.norm(column)
    return Grid.from_dicom(
        size=size,
        position=position,
        orientation=[*row, *column],
        spacing_mm=(1.5, 1.2),
        thickness_mm=6.0,
        frame="f",
    )


def test_the_plane_equation_of_dicom():
    """PS3.3 C.7.6.2.1.1: P = S + X * column spacing * i + Y * row spacing * j."""
    grid = oblique()
    x, y = np.array(grid.orientation).reshape(2, 3)
    expected = np.array([-10.0, 5.0, 100.0]) + x * 1.2 * 7 + y * 1.5 * 4
    assert np.allclose(grid.to_world((0, 4, 7)), expected)
    assert np.allclose(grid.normal, np.cross(x, y))
    assert np.allclose(grid.spacing_mm, (6.0, 1.5, 1.2))


@given(st.lists(st.floats(-50, 50), min_size=3, max_size=3))
def test_index_and_world_are_inverse(index):
    grid = oblique()
    assert np.allclose(grid.to_index(grid.to_world(index)), index, atol=1e-9)


def test_crop_keeps_voxels_where_they_are():
    grid = Grid((5, 20, 30), np.diag([8.0, 1.5, 1.2, 1.0]))
    part = grid.crop((1, 4, 6), (4, 10, 20))
    assert part.shape == (3, 6, 14)
    assert np.allclose(part.to_world((1, 2, 3)), grid.to_world((2, 6, 9)))


def test_a_stack_of_planes_is_one_grid_only_when_equidistant():
    normal = oblique().normal
    planes = [oblique(np.array([0, 0, 0]) + normal * d) for d in (0, 17.7, 35.4, 53.1)]
    grid = stack(tuple(planes))
    assert grid is not None
    assert grid.spacing_mm[0] == pytest.approx(17.7)
    assert all(grid.plane(k).origin == pytest.approx(planes[k].origin) for k in range(4))
    assert stack((planes[0], planes[1], planes[3])) is None
    with pytest.raises(FrameError):
        stack((planes[0], Grid(planes[1].shape, planes[1].affine, "another")))


def test_moving_a_grid_moves_its_voxels():
    motion = rotation((1, 2, 3), 40.0, about=(5, 5, 5))
    grid = oblique()
    moved = np.append(grid.to_world((0, 3, 4)), 1) @ motion.T
    assert np.allclose(grid.moved(motion).to_world((0, 3, 4)), moved[:3])
    assert np.allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3))
    assert np.allclose(rotation((0, 0, 1), 90.0)[:3, :3] @ (1, 0, 0), (0, 1, 0))


def test_ras_is_flipped_twice_to_itself():
    affine = oblique().affine
    assert np.allclose(flip_ras(flip_ras(affine)), affine)
    assert np.allclose(flip_ras([[1.0, 2.0, 3.0]]), [[-1.0, -2.0, 3.0]])


def sphere(radius=10.0, steps=60):
    """A triangulated sphere: latitudes and longitudes."""
    theta, phi = np.meshgrid(
        np.linspace(0, np.pi, steps), np.linspace(0, 2 * np.pi, 2 * steps, endpoint=False), indexing="ij"
    )
    points = radius * np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1)
    n = 2 * steps
    triangles = []
    for i in range(steps - 1):
        for j in range(n):
            a, b, c, d = i * n + j, i * n + (j + 1) % n, (i + 1) * n + j, (i + 1) * n + (j + 1) % n
            triangles += [(a, c, b), (b, c, d)]
    return Surface(points.reshape(-1, 3), np.array(triangles))


def test_a_sphere_has_its_area_and_volume():
    ball = sphere()
    assert ball.area_mm2 == pytest.approx(4 * np.pi * 100, rel=2e-3)
    assert ball.volume_ml == pytest.approx(4 / 3 * np.pi, rel=3e-3)
    assert ball.moved(rotation((1, 0, 2), 50)).volume_ml == pytest.approx(ball.volume_ml)


def test_what_is_no_geometry_is_refused():
    with pytest.raises(InputError, match="three independent axes"):
        Grid((1, 2, 2), np.zeros((4, 4)))
    with pytest.raises(InputError, match="indices from 0 to 2"):
        Surface(np.zeros((3, 3)), np.array([[0, 1, 3]]))
    with pytest.raises(InputError, match="finite"):
        Surface(np.full((3, 3), np.nan), np.array([[0, 1, 2]]))
    with pytest.raises(InputError, match="tetrahedra"):
        Mesh(np.zeros((5, 3)), np.array([[0, 1, 2, 3, 4]]))
    with pytest.raises(InputError, match="negative"):
        VesselTree(np.zeros((2, 3)), np.array([[0, 1]]), np.array([1.0, -1.0]))


def test_geometry_can_not_be_written_to():
    grid = oblique()
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 5
