"""Velocities, isochrones and zones against waves whose answer is known, and on a real map."""

import numpy as np
import pytest

from carna.ep.mapping import (
    conduction_velocity,
    early_meets_late,
    interpolate,
    isochrones,
    voltage_zones,
    zone_areas_mm2,
)
from carna.errors import InputError
from carna.space import Surface


def sheet(n=41, step=1.0, jitter=0.2, seed=0):
    """A square of triangles, its inner points moved a little, in the plane z = 0."""
    at = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), axis=-1).reshape(-1, 2) * step
    inner = ((at > 0) & (at < (n - 1) * step)).all(axis=1)
    at[inner] += np.random.default_rng(seed).uniform(-jitter, jitter, (inner.sum(), 2)) * step
    number = np.arange(n * n).reshape(n, n)
    a, b, c, d = (p.ravel() for p in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]))
    return Surface(np.insert(at, 2, 0, axis=1), np.concatenate([np.c_[a, b, c], np.c_[a, c, d]]))


def middle(surface, edge=8.0):
    at = surface.points[:, :2]
    return ((at > edge) & (at < at.max() - edge)).all(axis=1)


@pytest.mark.parametrize("method", ["polynomial", "triangle", "rbf"])
def test_a_planar_wave_has_one_velocity(method):
    surface = sheet()
    direction = np.array([0.8, 0.6, 0])
    found = conduction_velocity(surface, surface.points @ direction / 0.7, method=method)
    np.testing.assert_allclose(found.speed_m_s, 0.7, rtol=0.01)
    np.testing.assert_allclose(found.vector_m_s, np.broadcast_to(0.7 * direction, (1681, 3)), atol=0.01)
    assert np.abs(found.divergence[middle(surface)]).max() < 0.01


@pytest.mark.parametrize("method", ["polynomial", "rbf"])
def test_noise_of_a_millisecond_moves_the_median_by_less_than_five_percent(method):
    surface = sheet()
    lat = surface.points[:, 0] / 0.7 + np.random.default_rng(1).normal(size=1681)
    found = conduction_velocity(surface, lat, method=method, radius_mm=8)
    assert np.nanmedian(found.speed_m_s[middle(surface)]) == pytest.approx(0.7, rel=0.05)
    assert np.nanmean(found.vector_m_s[middle(surface), 0] > 0) > 0.99
    if method == "polynomial":
        assert np.nanmedian(found.residual_ms) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("method", ["polynomial", "triangle", "rbf"])
def test_a_circular_wave_has_one_speed_and_parts(method):
    surface = sheet()
    centre = np.array([20.0, 20.0, 0])
    away = np.linalg.norm(surface.points - centre, axis=1)
    found = conduction_velocity(surface, away / 0.5, method=method, radius_mm=4)
    ring = (away > 6) & (away < 18)
    assert np.nanmedian(found.speed_m_s[ring]) == pytest.approx(0.5, rel=0.02)
    assert np.nanpercentile(np.abs(found.speed_m_s[ring] / 0.5 - 1), 95) < 0.05
    # The divergence of a radial unit field is 1 / r, its curl 0.
    assert np.nanmedian(found.divergence[ring] * away[ring]) == pytest.approx(1, rel=0.1)
    assert abs(np.nanmedian(found.curl[ring])) < 0.01


def test_fronts_that_collide_have_negative_divergence():
    surface = sheet()
    x = surface.points[:, 0]
    found = conduction_velocity(surface, np.minimum(x, 40 - x) / 0.5, method="triangle")
    line = (np.abs(x - 20) < 1.5) & middle(surface)
    assert np.nanmean(found.divergence[line]) < -0.1


def test_on_a_sphere_the_velocity_is_tangent_and_right():
    rng = np.random.default_rng(3)
    points = rng.normal(size=(3000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    from scipy.spatial import ConvexHull

    hull = ConvexHull(points)
    triangles = hull.simplices.copy()
    a, b, c = (points[triangles[:, n]] for n in range(3))
    inward = np.einsum("ni,ni->n", np.cross(b - a, c - a), a) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    surface = Surface(points * 30, triangles)
    angle = np.arccos(np.clip(points[:, 2], -1, 1))
    found = conduction_velocity(surface, 30 * angle / 0.6)
    ring = (angle > 0.6) & (angle < 2.5)
    assert np.nanmedian(found.speed_m_s[ring]) == pytest.approx(0.6, rel=0.02)
    assert np.nanpercentile(np.abs(found.speed_m_s[ring] / 0.6 - 1), 95) < 0.05
    radial = np.einsum("ni,ni->n", found.vector_m_s, points)
    assert np.nanpercentile(np.abs(radial[ring]), 99) < 0.05


def test_holes_stay_holes():
    surface = sheet(jitter=0)
    measured = surface.points[::7] + np.array([0, 0, 0.5])
    values = measured[:, 0].copy()
    hole = np.linalg.norm(measured[:, :2] - 20, axis=1) < 12
    values[hole] = np.nan
    found = interpolate(surface, measured, values, hole_mm=5)
    away = np.linalg.norm(surface.points[:, :2] - 20, axis=1)
    assert np.isnan(found[away < 6]).all()
    assert np.isfinite(found[away > 13]).all()
    far = away > 15
    assert np.abs(found - surface.points[:, 0])[far].mean() < 0.5
    at = interpolate(surface, surface.points, surface.points[:, 0], hole_mm=5)
    np.testing.assert_allclose(at, surface.points[:, 0], atol=0.01)


def test_isochrones_lie_where_the_time_is():
    surface = sheet()
    centre = np.array([20.0, 20.0, 0])
    lat = np.linalg.norm(surface.points - centre, axis=1) / 0.5
    lat[surface.points[:, 0] < 5] = np.nan
    lines, times = isochrones(surface, lat, [10, 20, 30])
    away = np.linalg.norm(lines.points - centre, axis=1)
    np.testing.assert_allclose(away / 0.5, times, atol=0.6)
    assert (lines.points[:, 0] >= 5).all()
    ten = lines.points[lines.edges[times[lines.edges[:, 0]] == 10]]
    length = np.linalg.norm(ten[:, 1] - ten[:, 0], axis=1).sum()
    assert length == pytest.approx(2 * np.pi * 5, rel=0.02)


def test_early_meets_late_on_a_lap_and_nowhere_in_a_focal_beat():
    surface = sheet()
    x, y = (surface.points[:, :2] - 20.05).T
    lap = (np.arctan2(y, x) / (2 * np.pi) + 0.5) * 300
    ring = np.hypot(x, y) > 5
    lines, share = early_meets_late(surface, np.where(ring, lap, np.nan), 310)
    assert share > 0.9
    touched = lines.points[lines.edges].mean(axis=1) - [20.05, 20.05, 0]
    assert len(touched) > 10
    assert (touched[:, 0] < 0).all()
    assert np.abs(touched[:, 1]).max() < 1.5
    focal, share = early_meets_late(surface, np.hypot(x, y) / 0.5, 310)
    assert len(focal.edges) == 0
    assert share < 0.4


def test_voltage_zones_and_their_areas():
    zones = voltage_zones(np.array([0.1, 0.5, 1.49, 1.5, np.nan]))
    assert zones.tolist() == [0, 1, 1, 2, -1]
    surface = sheet(jitter=0)
    areas = zone_areas_mm2(surface, voltage_zones(np.where(surface.points[:, 0] < 10, 0.2, 3.0)))
    assert sum(areas.values()) == pytest.approx(1600)
    assert areas[0] == pytest.approx(9.5 * 40, rel=0.01)
    with pytest.raises(InputError, match="scar_mv < healthy_mv"):
        voltage_zones(np.zeros(3), scar_mv=2)


@pytest.mark.data
def test_a_real_map_has_plausible_velocities_where_it_was_measured(data):
    """8,848 points with 62 missing times; ours is compared with a plain plane fit per point."""
    from carna.doors.geometry import vtk_legacy
    from carna.doors.geometry.cells import shapes

    cells = vtk_legacy.read((data("openep-meshes") / "openep_mesh_2_dense.vtk").read_bytes())
    made = shapes(cells)[0]
    surface, lat = made.shape, np.asarray(made.fields["LAT"], float).ravel()
    assert (len(surface.points), int(np.isnan(lat).sum())) == (8848, 62)
    found = conduction_velocity(surface, lat, method="polynomial", radius_mm=8)
    has = np.isfinite(found.speed_m_s)
    assert not has[np.isnan(lat)].any()
    assert has[np.isfinite(lat)].mean() > 0.9
    assert 0.2 < np.nanmedian(found.speed_m_s) < 1.5
    other = conduction_velocity(surface, lat, method="triangle")
    assert np.nanmedian(other.speed_m_s) == pytest.approx(np.nanmedian(found.speed_m_s), rel=0.3)
    both = has & np.isfinite(other.speed_m_s)
    cosine = np.einsum("ni,ni->n", found.vector_m_s, other.vector_m_s)[both]
    cosine /= found.speed_m_s[both] * other.speed_m_s[both]
    assert np.median(cosine) > 0.9


def test_wrong_arguments_are_refused_in_a_sentence():
    with pytest.raises(InputError, match="polynomial, triangle"):
        conduction_velocity(sheet(), np.zeros(1681), method="plane")
    with pytest.raises(InputError, match="1681"):
        conduction_velocity(sheet(), np.zeros(5))
