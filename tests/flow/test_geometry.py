"""Centrelines as programs write them, label volumes and surfaces: against trees that are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

import carna
from carna.errors import InputError
from carna.flow import Network, network
from carna.flow.geometry import (
    around,
    bifurcations,
    clean,
    distance,
    find_lesions,
    named,
    prepare,
    radius_field,
    reference_radius,
    resample,
    smooth_radius,
    tree_from_labels,
    tree_from_surface,
    without,
)
from carna.flow.geometry.surface import fill
from carna.space import Grid, Surface, VesselTree


def lines(*parts: tuple[np.ndarray, np.ndarray | float]) -> VesselTree:
    """Polylines that share no point, as files with one line per outlet have them."""
    points, edges, radius = [], [], []
    for place, wide in parts:
        first = sum(map(len, points))
        points.append(place)
        radius.append(np.broadcast_to(wide, len(place)))
        edges.append(np.stack([np.arange(len(place) - 1), np.arange(1, len(place))], 1) + first)
    return VesselTree(np.concatenate(points), np.concatenate(edges), np.concatenate(radius))


def straight(a: tuple[float, ...], b: tuple[float, ...], count: int = 41) -> np.ndarray:
    return np.linspace(a, b, count)


TRUNK = straight((0, 0, 0), (20, 0, 0))
UP, DOWN = straight((20, 0, 0), (40, 15, 0)), straight((20, 0, 0), (40, -15, 0))


def test_one_line_per_outlet_becomes_a_fork() -> None:
    # The second line's trunk is a little beside the first's, and its points fall elsewhere.
    beside = straight((0, 0.1, 0), (20, 0.1, 0), 33)
    cleaned = clean(lines((np.vstack([TRUNK, UP[1:]]), 1.5), (np.vstack([beside, DOWN[1:]]), 1.5)))
    vessels = network(cleaned.tree, inlet=int(np.argmin(cleaned.tree.points[:, 0])))
    assert len(vessels) == 3
    assert cleaned.tree.length_mm == pytest.approx(70, rel=0.03)
    assert "drawn several times" in " ".join(cleaned.notes)


def test_gaps_are_closed_and_far_pieces_are_not() -> None:
    # The second branch comes within the first one's lumen: it joins there.
    near = clean(lines((TRUNK, 1.5), (UP + np.array([1.0, 0, 0]), 1.2), (DOWN + np.array([1.0, 0, 0]), 1.2)))
    assert len(network(near.tree, inlet=0)) == 3
    assert "1 gaps" in " ".join(near.notes)
    with pytest.raises(InputError, match="2 pieces"):
        prepare(lines((TRUNK, 1.5), (UP + np.array([9.0, 0, 0]), 1.2)))


def test_single_missing_radii_are_filled_and_long_gaps_refused() -> None:
    wide = np.linspace(2, 1, 41)
    holed = wide.copy()
    holed[20] = 0
    cleaned = clean(lines((TRUNK, holed)))
    assert cleaned.tree.radius_mm == pytest.approx(wide)
    holed[10:25] = 0
    with pytest.raises(InputError, match="15 of 41 radii"):
        prepare(lines((TRUNK, holed)))


def test_stubs_and_points_that_coincide_go() -> None:
    stub = straight((10, 0, 0), (10, 0.9, 0), 4)
    doubled = np.repeat(TRUNK, 2, axis=0)
    cleaned = clean(lines((doubled, 1.5), (stub, 1.0)))
    assert len(network(cleaned.tree)) == 1
    assert len(cleaned.tree.points) == 41


def test_resampling_keeps_length_radius_and_forks() -> None:
    tree = clean(lines((TRUNK, np.linspace(2, 1.5, 41)), (UP, 1.2), (DOWN, 1.0))).tree
    even = resample(tree, 0.2)
    assert even.length_mm == pytest.approx(tree.length_mm, rel=1e-6)
    assert len(network(even, inlet=0)) == 3
    steps = np.linalg.norm(np.diff(even.points[even.edges], axis=1), axis=2)
    assert steps == pytest.approx(0.2, rel=0.03)
    change = np.abs(smooth_radius(even, 1.0).radius_mm - even.radius_mm)
    assert np.percentile(change, 95) < 0.03  # all but the steps at the fork


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        (lines((straight((0, 0, 0), (40, 0, 0)), 1.0), (straight((20, 0, 0), (20, 30, 0)), 2.5)), "inverted"),
        (
            # There and back with 0.5 mm between the centre lines.
            lines(
                (
                    np.vstack(
                        [
                            straight((0, 0, 0), (40, 0, 0)),
                            straight((41, 0, 6), (41, 0.5, 6), 3),
                            straight((40, 0.5, 0), (10, 0.5, 0)),
                        ]
                    ),
                    1.2,
                )
            ),
            "touches itself",
        ),
    ],
)
def test_what_no_vessel_does_is_refused(tree: VesselTree, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        prepare(tree, inlet=0)


def test_radii_under_a_name_that_says_nothing() -> None:
    one = np.linspace(1, 2, 10)
    assert radius_field({"scalars": one, "normal": np.zeros((10, 3))}, 10) is one
    assert radius_field({"a": one, "b": one + 1}, 10) is None
    assert radius_field({"GroupIds": np.ones(10)}, 10) is None


# Lesions.


def vessel(depths: dict[float, float], length: float = 80, width: float = 3.0) -> Network:
    x = np.linspace(0, length, 401)
    r = 1.8 * np.exp(-0.004 * x)
    for middle, depth in depths.items():
        r = r * (1 - depth * np.exp(-(((x - middle) / width) ** 2)))
    return network(lines((np.stack([x, 0 * x, 0 * x], 1), r)), inlet=0)


@pytest.mark.parametrize("depth", [0.35, 0.5, 0.7, 0.85])
def test_a_lesion_is_measured(depth: float) -> None:
    (found,) = find_lesions(vessel({30: depth}))
    assert found.throat_mm == pytest.approx(30, abs=0.3)
    assert found.diameter_stenosis == pytest.approx(depth, abs=0.02)
    assert found.area_stenosis == pytest.approx(1 - (1 - depth) ** 2, abs=0.03)
    # Where a Gaussian of this depth crosses 10 %.
    assert found.length_mm == pytest.approx(2 * 3 * np.sqrt(np.log(depth / 0.1)), abs=1.2)


def test_tandem_long_and_no_lesions() -> None:
    assert len(find_lesions(vessel({25: 0.5, 50: 0.6}))) == 2
    (long,) = find_lesions(vessel({40: 0.5}, width=14))
    assert long.diameter_stenosis == pytest.approx(0.5, abs=0.06)
    assert find_lesions(vessel({40: 0.2})) == ()


def test_the_reference_survives_noise_and_ectasia() -> None:
    rng = np.random.default_rng(1)
    clear = vessel({30: 0.6})
    healthy = reference_radius(clear)
    rough = clear.with_radius(clear.radius_mm * np.exp(rng.normal(0, 0.06, 401)))
    assert np.abs(reference_radius(rough) / healthy - 1).max() < 0.05
    x = clear.from_inlet_mm
    wide = clear.with_radius(clear.radius_mm * (1 + 0.8 * np.exp(-(((x - 60) / 4) ** 2))))
    assert np.abs(reference_radius(wide) / healthy - 1).max() < 0.05


def test_without_a_lesion_the_radius_is_the_reference() -> None:
    ill = vessel({30: 0.6})
    healthy = reference_radius(ill)
    mended = without(ill, find_lesions(ill), healthy)
    assert not find_lesions(mended)
    assert (mended.radius_mm >= ill.radius_mm).all()


def test_medina_and_names() -> None:
    def narrowed(place: np.ndarray, at: float, wide: float) -> np.ndarray:
        along = np.linalg.norm(place - place[0], axis=1)
        return wide * (1 - 0.65 * np.exp(-(((along - at) / 2.0) ** 2)))

    # Anterior is -y: DOWN runs forward.
    tree = clean(
        lines((TRUNK, narrowed(TRUNK, 17.5, 2.0)), (DOWN, narrowed(DOWN, 2.5, 1.7)), (UP, np.full(41, 1.3)))
    ).tree
    vessels = network(tree, inlet=0)
    (fork,) = bifurcations(vessels)
    assert fork.medina == "1,1,0"
    names = named(vessels, side="left").names
    assert names[0] == "5 LM"
    assert {n[:2] for n in names[1:]} == {"6 ", "11"}
    assert named(vessels, side=None).names[0].startswith("vessel 1")
    turned = network(VesselTree(tree.points[:, [0, 2, 1]], tree.edges, tree.radius_mm), inlet=0)
    assert named(turned, side="left").names[0].startswith("vessel")  # nothing runs forward


# Labels and surfaces.


def tube(radius: float | Callable[[np.ndarray], np.ndarray], length: float = 40) -> VesselTree:
    s = np.linspace(0, length, 201)
    place = np.stack([s, 6 * np.sin(s / 12), 4 * np.cos(s / 9)], 1)
    return lines((place, radius(s) if callable(radius) else radius))


def errors(found: VesselTree, truth: VesselTree, spare: float) -> tuple[np.ndarray, np.ndarray]:
    off, at = cKDTree(truth.points).query(found.points)
    x = found.points[:, 0]
    inner = (x > truth.points[:, 0].min() + spare) & (x < truth.points[:, 0].max() - spare)
    assert found.radius_mm is not None
    assert truth.radius_mm is not None
    return (found.radius_mm - truth.radius_mm[at])[inner], off[inner]


@pytest.mark.parametrize(("radius", "spacing"), [(1.5, 0.3), (1.5, 0.5), (1.5, 0.75), (3.0, 0.5)])
def test_radii_of_a_tube_are_found_within_a_fraction_of_a_voxel(radius: float, spacing: float) -> None:
    truth = tube(radius)
    grid = around(truth, spacing)
    off, beside = errors(tree_from_labels(distance(truth, grid) < 0, grid).tree, truth, 3 * radius)
    assert abs(off.mean()) < 0.03 * spacing
    assert np.abs(off).max() < 0.2 * spacing
    assert np.median(beside) < 0.3 * spacing


def test_a_narrowing_is_found_in_labels() -> None:
    truth = tube(lambda s: 1.6 * (1 - 0.5 * np.exp(-(((s - 20) / 2.5) ** 2))))
    grid = around(truth, 0.3)
    vessels, _ = prepare(tree_from_labels(distance(truth, grid) < 0, grid).tree)
    (found,) = find_lesions(vessels)
    assert found.diameter_stenosis == pytest.approx(0.5, abs=0.06)


def test_anisotropic_turned_voxels_are_millimetres() -> None:
    truth = tube(2.0)
    base = around(truth, 0.4)
    affine = base.affine.copy()
    affine[:3, 0] *= 1.5  # slices 0.6 mm apart
    grid = Grid((base.shape[0] * 2 // 3 + 1, *base.shape[1:]), affine)
    off, _ = errors(tree_from_labels(distance(truth, grid) < 0, grid).tree, truth, 6)
    assert abs(off.mean()) < 0.06
    flip = np.array([[0, 0, 1.0, 5], [0, -1, 0, 3], [1, 0, 0, -7], [0, 0, 0, 1]])
    moved = tree_from_labels(distance(truth, grid) < 0, grid.moved(flip)).tree
    back = tree_from_labels(distance(truth, grid) < 0, grid).tree.moved(flip)
    assert moved.points == pytest.approx(back.points, abs=0.05)


def test_a_tree_in_labels_has_its_branches_and_no_spurs() -> None:
    truth = clean(lines((TRUNK, 2.0), (UP, 1.5), (DOWN, 1.3))).tree
    grid = around(truth, 0.4)
    found = tree_from_labels(distance(truth, grid) < 0, grid)
    vessels = network(found.tree)
    assert len(vessels) == 3
    assert found.tree.length_mm == pytest.approx(truth.length_mm, abs=8)  # ends are round caps
    wide = sorted(float(np.median(vessels.radius_mm[at])) for at in vessels.segments)
    assert wide == pytest.approx([1.3, 1.5, 2.0], abs=0.08)


def test_a_ring_and_a_second_vessel_are_said() -> None:
    turn = np.linspace(0, 2 * np.pi, 80)
    ring = np.stack([8 * np.cos(turn), 8 * np.sin(turn), 0 * turn], 1)
    apart = straight((-20, -15, 6), (20, -15, 6))
    loop = lines((ring, 1.2), (straight((8, 0, 0), (25, 0, 0)), 1.5), (apart, 1))
    grid = around(loop, 0.4)
    notes = " ".join(tree_from_labels(distance(loop, grid) < 0, grid).notes)
    assert "1 tunnels" in notes
    assert "1 separate regions" in notes


def test_an_end_cut_at_a_slant_is_said() -> None:
    truth = lines((straight((0.13, 0.07, 0.2), (40, 0.5, 0.4)), 2.0))
    grid = around(truth, 0.4)
    place = grid.to_world(np.argwhere(np.ones(grid.shape, bool))).reshape(*grid.shape, 3)
    inside = (distance(truth, grid) < 0) & (place[..., 0] > 2) & (place[..., 0] + place[..., 2] < 34)
    (note,) = (n for n in tree_from_labels(inside, grid).notes if "degrees" in n)
    assert 35 < float(note.split(" degrees")[0].split()[-1]) < 55


def test_a_surface_is_filled_and_traced() -> None:
    turn, x = np.meshgrid(np.linspace(0, 2 * np.pi, 48, endpoint=False), np.linspace(0, 30, 61))
    points = np.stack([x, 2 * np.cos(turn), 2 * np.sin(turn)], -1).reshape(-1, 3)
    n = np.arange(61 * 48).reshape(61, 48)
    a, b, c, d = n[:-1], np.roll(n, -1, 1)[:-1], n[1:], np.roll(n, -1, 1)[1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    open_tube = Surface(points, faces)
    inside, grid = fill(open_tube, 0.3)
    assert inside.sum() * grid.voxel_ml == pytest.approx(np.pi * 4 * 30 / 1000, rel=0.02)
    tree = tree_from_surface(open_tube).tree
    assert tree.length_mm == pytest.approx(30, abs=0.8)
    assert tree.radius_mm == pytest.approx(2.0, abs=0.06)


# Real files.


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "segments"),
    [
        ("coronary-centrelines-bluefern/227A_Centreline.vtk", 7),
        ("coronary-centrelines-bluefern/test/SyntheticBifurcation_1.vtk", 3),
        ("coronary-centrelines-bluefern/test/SyntheticBifurcation_3.vtk", 3),
        ("vmtk-aorta/aorta-centerline.vtp", 3),
        ("vmtk-aorta/aorta-centerline-branches.vtp", 3),
    ],
)
def test_real_centrelines_become_networks(data: Callable[[str], Path], file: str, segments: int) -> None:
    part = carna.read(data("vessel-geometries") / file).cases[0].studies[0].parts[0]
    tree = part.shape
    radius = tree.radius_mm
    if radius is None:
        radius = radius_field(dict(part.fields), len(tree.points))
    vessels, _ = prepare(tree, radius_mm=radius)
    assert len(vessels) == segments


@pytest.mark.data
def test_the_aorta_agrees_with_vmtk(data: Callable[[str], Path]) -> None:
    folder = data("vessel-geometries") / "vmtk-aorta"
    theirs = carna.read(folder / "aorta-centerline.vtp").cases[0].studies[0].parts[0].shape
    surface = carna.read(folder / "aorta-surface.vtp").cases[0].studies[0].parts[0].shape
    ours = prepare(tree_from_surface(surface).tree)[0]
    off, at = cKDTree(ours.points).query(theirs.points)
    ratio = ours.radius_mm[at] / theirs.radius_mm
    assert len(ours) == 3
    assert np.median(off) < 0.5
    # Equal area against inscribed sphere: a little wider, never much narrower.
    assert 1.0 < np.median(ratio) < 1.1
    assert np.percentile(ratio, 5) > 0.97
