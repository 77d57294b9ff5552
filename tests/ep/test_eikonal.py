"""Arrival times against closed forms: points, planes, rotating fibres, obstacles, surfaces, networks."""

import time

import numpy as np
import pytest

from carna.ep.eikonal import (
    Network,
    arrival_times,
    arrival_with_network,
    attach,
    medium,
    network_times,
    surface_times,
)
from carna.errors import InputError
from carna.space import Surface

V = (0.6, 0.2)


def offsets(n, spacing, centre):
    axes = [np.arange(n) - c for c in centre]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) * spacing


def ellipsoid_ms(away, fibre, velocity=V):
    """The exact time in a constant medium: an ellipsoidal front."""
    along = away @ fibre
    across = np.maximum((away**2).sum(-1) - along**2, 0)
    return np.sqrt(along**2 / velocity[0] ** 2 + across / velocity[1] ** 2)


@pytest.mark.parametrize("fibre", [(1, 0, 0), (1, 2, 3), (0, 1, 0.3), (-1, 1, 0.2)])
@pytest.mark.parametrize("spacing", [(0.4, 0.4, 0.4), (0.8, 0.4, 0.4)])
def test_a_point_in_a_constant_medium_makes_an_ellipsoid(fibre, spacing):
    n, spacing = 49, np.array(spacing)
    fibre = np.array(fibre) / np.linalg.norm(fibre)
    tissue = medium(np.ones((n,) * 3, bool), spacing, V, np.broadcast_to(fibre, (n, n, n, 3)))
    away = offsets(n, spacing, (24, 24, 24))
    exact = ellipsoid_ms(away, fibre)
    found = arrival_times(tissue, [(24, 24, 24)])
    far = np.linalg.norm(away, axis=-1) >= 10 * spacing.min()
    error = np.abs(found - exact)[far] / exact[far]
    assert error.mean() < 0.005
    assert error.max() < 0.04


def test_an_isotropic_point_is_a_sphere_within_a_percent():
    n = 49
    tissue = medium(np.ones((n,) * 3, bool), (0.4,) * 3, 0.6)
    away = np.linalg.norm(offsets(n, 0.4, (24, 24, 24)), axis=-1)
    found = arrival_times(tissue, [(24, 24, 24)])
    assert np.abs(found / np.maximum(away / 0.6, 1e-9) - 1)[away > 0].max() < 0.01


@pytest.mark.parametrize("order", [1, 2])
def test_the_error_falls_with_the_spacing(order):
    """First order at least, with the exact ball of one size in millimetres."""
    errors = []
    for n in (17, 33, 65):
        spacing = 16 / (n - 1)
        fibre = np.array([1, 2, 3]) / np.sqrt(14)
        tissue = medium(np.ones((n,) * 3, bool), (spacing,) * 3, V, np.broadcast_to(fibre, (n, n, n, 3)))
        c = n // 2
        found = arrival_times(tissue, [(c, c, c)], exact_mm=4.0, order=order)
        errors.append(np.abs(found - ellipsoid_ms(offsets(n, spacing, (c, c, c)), fibre)).mean())
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (rates > (0.75 if order == 1 else 1.2)).all(), (errors, rates)


def test_a_planar_front_through_a_slab_of_rotating_fibres():
    """Fibres turn in the plane of the front: it stays plane and crosses at the transverse velocity."""
    n = 41
    turn = np.radians(np.linspace(-60, 60, n))
    fibres = np.zeros((n, 12, 12, 3))
    fibres[..., 1], fibres[..., 2] = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
    tissue = medium(np.ones((n, 12, 12), bool), (0.3, 0.4, 0.4), V, fibres)
    floor = np.argwhere(np.ones((12, 12), bool))
    found = arrival_times(tissue, np.insert(floor, 0, 0, axis=1), exact_mm=0.0)
    exact = np.broadcast_to((np.arange(n) * 0.3 / 0.2)[:, None, None], found.shape)
    np.testing.assert_allclose(found, exact, rtol=2e-3, atol=1e-4)


def test_a_planar_front_oblique_to_the_fibres():
    """From a whole face, the front travels with sqrt(n . D n), whatever the tilt of the fibres."""
    n, angle = 61, np.radians(30)
    fibre = np.array([np.cos(angle), np.sin(angle), 0])
    shape = (n, n, 5)
    tissue = medium(np.ones(shape, bool), (0.5,) * 3, V, np.broadcast_to(fibre, (*shape, 3)))
    face = np.argwhere(np.ones((1, n, 5), bool))
    found = arrival_times(tissue, face, exact_mm=0.0)
    speed = np.sqrt(V[0] ** 2 * np.cos(angle) ** 2 + V[1] ** 2 * np.sin(angle) ** 2)
    # In the middle, out of reach of the side walls. The stencils of the first layers reach out of the
    # tissue: they are late by a part of a voxel, once.
    late = found[:20, 30, 2] - np.arange(20) * 0.5 / speed
    assert (np.abs(late) < 0.3 * 0.5 / speed).all()
    np.testing.assert_allclose(np.diff(late[4:]), 0, atol=0.015 * 0.5 / speed)


def test_three_velocities_need_sheets():
    shape = (31, 31, 31)
    fibres, normals = np.zeros((*shape, 3)), np.zeros((*shape, 3))
    fibres[..., 0], normals[..., 2] = 1, 1
    tissue = medium(np.ones(shape, bool), (1, 1, 1), (0.6, 0.4, 0.2), fibres, normals)
    found = arrival_times(tissue, [(15, 15, 15)])
    assert found[30, 15, 15] == pytest.approx(15 / 0.6, rel=1e-3)
    assert found[15, 30, 15] == pytest.approx(15 / 0.4, rel=1e-3)
    assert found[15, 15, 30] == pytest.approx(15 / 0.2, rel=1e-3)
    with pytest.raises(InputError, match="no sheets"):
        medium(np.ones(shape, bool), (1, 1, 1), (0.6, 0.4, 0.2), fibres)


def test_scar_is_walked_around():
    """Two straight legs to the first free voxel beside a wall; and a closed wall lets nothing through."""
    mask = np.ones((3, 81, 81), bool)
    mask[:, 40, :61] = False
    tissue = medium(mask, (1, 0.5, 0.5), 0.5)
    found = arrival_times(tissue, [(1, 20, 20)])
    legs = 2 * np.hypot(20, 41) * 0.5
    assert found[1, 60, 20] == pytest.approx(legs / 0.5, rel=0.02)
    assert not np.isfinite(found[1, 40, 5])
    mask[:, 40] = False
    assert not np.isfinite(arrival_times(medium(mask, (1, 0.5, 0.5), 0.5), [(1, 20, 20)])[:, 41:]).any()


@pytest.mark.parametrize("fibre", [(0, 1, 1), (0, 1, 2), (0, 2, -1)])
def test_no_stencil_jumps_over_a_thin_diagonal_wall(fibre):
    n = 30
    wall = np.eye(n, dtype=bool) | np.eye(n, k=1, dtype=bool)
    mask = np.broadcast_to(~wall, (2, n, n))
    fibre = np.array(fibre) / np.linalg.norm(fibre)
    tissue = medium(mask, (1, 1, 1), (0.6, 0.15), np.broadcast_to(fibre, (2, n, n, 3)))
    found = arrival_times(tissue, [(0, n - 1, 0)])
    above = np.triu(np.ones((n, n), bool), 2)
    assert np.isfinite(found[:, ~wall & ~above]).all()
    assert not np.isfinite(found[:, above]).any()


def test_a_channel_one_voxel_wide_conducts_at_its_own_pace():
    """Along a channel across tilted fibres a path of cost sqrt(e . M e) per millimetre is all there is."""
    mask = np.zeros((1, 3, 60), bool)
    mask[0, 1] = True
    fibre = np.array([0, 1, 1]) / np.sqrt(2)
    tissue = medium(mask, (1, 1, 1), V, np.broadcast_to(fibre, (*mask.shape, 3)))
    found = arrival_times(tissue, [(0, 1, 0)], exact_mm=0.0)
    assert found[0, 1, -1] == pytest.approx(59 * np.sqrt(0.5 / V[0] ** 2 + 0.5 / V[1] ** 2), rel=1e-5)


def test_there_and_back_take_the_same_time():
    rng = np.random.default_rng(4)
    shape = (20, 24, 28)
    turn = np.radians(np.linspace(-60, 60, 20))
    fibres = np.zeros((*shape, 3))
    fibres[..., 1], fibres[..., 2] = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
    mask = np.ones(shape, bool)
    mask[4:14, 8:16, 10:18] = False
    tissue = medium(mask, (0.5,) * 3, V, fibres)
    ends = rng.permutation(np.argwhere(mask))[:12]
    for a, b in zip(ends[::2], ends[1::2], strict=True):
        there, back = arrival_times(tissue, [a])[tuple(b)], arrival_times(tissue, [b])[tuple(a)]
        assert there == pytest.approx(back, rel=0.02, abs=0.5)


def test_swapped_axes_give_swapped_times():
    shape = (15, 17, 19)
    at = offsets(19, 1.0, (0, 0, 0))[:15, :17]
    turn = 0.1 * at[..., 0] + 0.15 * at[..., 1] - 0.1 * at[..., 2]
    fibres = np.stack(
        [np.sin(turn), np.cos(turn) * np.cos(turn / 2), np.cos(turn) * np.sin(turn / 2)], axis=-1
    )
    found = arrival_times(medium(np.ones(shape, bool), (1, 1, 1), V, fibres), [(7, 8, 9)])
    swapped = arrival_times(
        medium(np.ones(shape[::-1], bool), (1, 1, 1), V, fibres.transpose(2, 1, 0, 3)[..., ::-1]), [(9, 8, 7)]
    )
    # Only the order among equal times differs.
    np.testing.assert_allclose(swapped, found.T, rtol=0.03, atol=0.5)


def test_two_sources_meet_in_the_middle_and_later_ones_lose():
    tissue = medium(np.ones((5, 5, 61), bool), (1, 1, 1), 0.5)
    found = arrival_times(tissue, [(2, 2, 0), (2, 2, 60)])
    assert found.max(axis=(0, 1)).argmax() == 30
    np.testing.assert_allclose(found, found[:, :, ::-1], atol=1e-6)
    late = arrival_times(tissue, [(2, 2, 0), (2, 2, 60)], [0, 1000])
    np.testing.assert_allclose(late[2, 2], np.arange(61) / 0.5, rtol=1e-3)


def test_wrong_arguments_are_refused_in_a_sentence():
    mask = np.ones((4, 4, 4), bool)
    with pytest.raises(InputError, match="divide cm/s by 100"):
        medium(mask, (1, 1, 1), 60)
    with pytest.raises(InputError, match="no fibres"):
        medium(mask, (1, 1, 1), V)
    with pytest.raises(InputError, match="unit vectors"):
        medium(mask, (1, 1, 1), V, np.ones((4, 4, 4, 3)))
    mask[0] = False
    with pytest.raises(InputError, match="not tissue"):
        arrival_times(medium(mask, (1, 1, 1), 0.5), [(0, 1, 1)])
    with pytest.raises(InputError, match="not tissue"):
        arrival_times(medium(mask, (1, 1, 1), 0.5), [(1, 1, -1)])


def icosphere(times):
    """A sphere of radius 1 from an icosahedron whose triangles are cut in four."""
    g = (1 + 5**0.5) / 2
    points = np.array(
        [[-1, g, 0], [1, g, 0], [-1, -g, 0], [1, -g, 0], [0, -1, g], [0, 1, g], [0, -1, -g], [0, 1, -g],
         [g, 0, -1], [g, 0, 1], [-g, 0, -1], [-g, 0, 1]]
    )  # fmt: skip
    points /= np.linalg.norm(points[0])
    faces = np.array(
        [[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4], [11, 10, 2],
         [10, 7, 6], [7, 1, 8], [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9], [4, 9, 5],
         [2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1]]
    )  # fmt: skip
    for _ in range(times):
        sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
        unique, back = np.unique(sides, axis=0, return_inverse=True)
        ab, bc, ca = back.reshape(3, -1) + len(points)
        middle = points[unique].mean(axis=1)
        points = np.vstack([points, middle / np.linalg.norm(middle, axis=1, keepdims=True)])
        a, b, c = faces.T
        faces = np.concatenate([np.c_[a, ab, ca], np.c_[b, bc, ab], np.c_[c, ca, bc], np.c_[ab, bc, ca]])
    return points, faces


def test_on_a_sphere_times_are_great_circles_and_converge():
    errors = []
    for times in (3, 4, 5):
        points, faces = icosphere(times)
        found = surface_times(Surface(points * 30, faces), [0], 0.5, exact_mm=8.0)
        exact = 60 * np.arccos(np.clip(points @ points[0], -1, 1))
        far = exact > 20
        errors.append((np.abs(found - exact)[far] / exact[far]).mean())
    assert errors[2] < 0.008
    assert errors[2] < 0.7 * errors[1] < 0.6 * errors[0]


def test_on_a_flat_sheet_fibres_make_an_ellipse():
    n = 61
    at = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), axis=-1).reshape(-1, 2)
    number = np.arange(n * n).reshape(n, n)
    a, b, c, d = (
        part.ravel() for part in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:])
    )
    faces = np.concatenate([np.c_[a, b, c], np.c_[a, c, d]])
    surface = Surface(np.insert(at * 0.5, 2, 0, axis=1), faces)
    fibre = np.array([np.cos(0.5), np.sin(0.5), 0])
    fibres = np.broadcast_to(fibre, (len(faces), 3))
    source = number[30, 30]
    found = surface_times(surface, [source], V, fibres=fibres, exact_mm=2.0)
    exact = ellipsoid_ms(surface.points - surface.points[source], fibre)
    far = exact > 10
    assert (np.abs(found - exact)[far] / exact[far]).mean() < 0.02
    assert (np.abs(found - exact)[far] / exact[far]).max() < 0.08


@pytest.mark.data
def test_a_closed_atrium_is_excited_from_its_veins(data):
    """Every point is reached, never earlier than the straight line allows; there and back agree."""
    folder = data("atria-mesh-opencarp") / "meshes"
    points = np.loadtxt(folder / "atria.pts", skiprows=1)
    faces = np.loadtxt(folder / "atria.elem", skiprows=1, usecols=(1, 2, 3)).astype(int)
    surface = Surface(points, faces)
    veins = [np.loadtxt(folder / f"pv_{n}.vtx", skiprows=2).astype(int) for n in range(1, 5)]
    assert len(points) == 1724
    for vein in veins:
        assert np.isfinite(surface_times(surface, vein, 0.7)).all()
        found = surface_times(surface, vein[:1], 0.7)
        straight = np.linalg.norm(points - points[vein[0]], axis=1) / 0.7
        assert (found >= straight - 1e-6).all()
        assert 90 < found.max() < 250
    one, other = veins[0][0], veins[2][0]
    there, back = surface_times(surface, [one], 0.7)[other], surface_times(surface, [other], 0.7)[one]
    assert there == pytest.approx(back, rel=0.03)


def test_a_network_conducts_along_its_edges_and_through_its_junctions_both_ways():
    net = Network(
        np.array([[0, 0, 0], [0, 0, 10.0], [0, 0, 30.0]]), np.array([[0, 1], [1, 2]]), 2.0,
        junctions=np.array([[2, 20, 20, 20]]), delay_ms=5, delay_back_ms=3,
    )  # fmt: skip
    np.testing.assert_allclose(network_times(net, [0]), [0, 5, 15])
    tissue = medium(np.ones((41, 41, 41), bool), (0.5,) * 3, 0.6)
    times, nodes = arrival_with_network(tissue, net, nodes=[0])
    np.testing.assert_allclose(nodes, [0, 5, 15], rtol=1e-6)
    assert times[20, 20, 20] == pytest.approx(20)
    assert times[20, 20, 40] == pytest.approx(20 + 10 / 0.6, rel=0.01)
    times, nodes = arrival_with_network(tissue, net, voxels=[(20, 20, 0)])
    np.testing.assert_allclose(nodes, 10 / 0.6 + 3 + np.array([15, 10, 0]), rtol=0.01)


def test_a_network_overtakes_the_tissue():
    tissue = medium(np.ones((5, 5, 101), bool), (1, 1, 1), 0.5)
    path = np.array([[2, 2, 0], [2, 2, 100.0]])
    net = attach(Network(path, np.array([[0, 1]]), 3.0, delay_ms=4, delay_back_ms=2), path, tissue)
    assert net.junctions.tolist() == [[0, 2, 2, 0], [1, 2, 2, 100]]
    times, _ = arrival_with_network(tissue, net, voxels=[(2, 2, 0)])
    assert times[2, 2, 100] == pytest.approx(2 + 100 / 3 + 4, rel=1e-3)
    # Tissue excitation at 0.5 m/s meets the one from the far junction where both take the same time.
    meet = (2 + 100 / 3 + 4 + 100 / 0.5) / 2
    assert times[2, 2].max() == pytest.approx(meet, rel=0.01)


@pytest.mark.data
def test_a_real_purkinje_network_is_a_tree_of_shortest_paths(data):
    """Our own walk along the tree is the independent answer; lengths in micrometres."""
    text = (data("monoalg-networks") / "networks" / "simple_purkinje_network.vtk").read_text().split("\n")
    points = np.array([line.split() for line in text[5:13]], float) / 1000
    edges = np.array([line.split()[1:] for line in text[14:21]], int)
    found = network_times(Network(points, edges, 2.5), [0])
    walked = {0: 0.0}
    for a, b in edges:
        walked[b] = walked[a] + np.linalg.norm(points[a] - points[b]) / 2.5
    np.testing.assert_allclose(found, [walked[n] for n in range(8)])


@pytest.mark.slow
def test_three_million_voxels_take_less_than_five_seconds():
    n = 145
    fibres = np.broadcast_to(np.array([1, 2, 3]) / np.sqrt(14), (n, n, n, 3))
    tissue = medium(np.ones((n,) * 3, bool), (0.4,) * 3, V, fibres)
    arrival_times(tissue, [(0, 0, 0)])
    begin = time.process_time()
    found = arrival_times(tissue, [(72, 72, 72)])
    assert time.process_time() - begin < 5
    assert np.isfinite(found).all()
