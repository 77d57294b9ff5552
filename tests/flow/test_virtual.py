"""Virtual vessels: repeatable, within their ranges, with the same truth by tree and by forest."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from carna.errors import InputError
from carna.flow.geometry import find_lesions
from carna.flow.steady import steady
from carna.flow.virtual import STYLES, Aneurysm, aneurysms, grow, noisy


@pytest.mark.parametrize("style", sorted(STYLES))
def test_the_forest_and_its_trees_have_one_truth(style: str) -> None:
    forest = grow(20, style=style, seed=4)
    ratio = forest.ratio()
    each = forest.truth(steady)
    assert np.concatenate(each) == pytest.approx(ratio, abs=1e-9)
    assert ((ratio > 0) & (ratio < 1)).all()


def test_a_seed_repeats_and_a_style_must_be_known() -> None:
    assert np.array_equal(grow(5, seed=1).radius_mm, grow(5, seed=1).radius_mm)
    assert not np.array_equal(grow(5, seed=1).pressure_mmHg, grow(5, seed=2).pressure_mmHg)
    with pytest.raises(InputError, match="stable"):
        grow(5, style="sick")


def test_daughters_conserve_the_power_and_the_ranges_hold() -> None:
    style = replace(STYLES["healthy"], power=(2.4, 2.4))
    forest = grow(50, style=style, seed=3)
    assert not len(forest.lesions.segment)
    head = forest.reference_mm[forest.points[:-1]]
    tail = forest.reference_mm[forest.points[1:] - 1]
    up = forest.parent + np.repeat(forest.start[:-1], np.diff(forest.start))
    inner = np.unique(up[forest.parent >= 0])
    for n in inner:
        daughters = head[(up == n) & (forest.parent >= 0)]
        assert len(daughters) == 2
        assert (daughters**2.4).sum() == pytest.approx(tail[n] ** 2.4)
        assert 0.34 < (daughters.min() / daughters.max()) ** 2 < 0.81
    roots = head[forest.parent < 0]
    assert (roots >= 1.5).all()
    assert (roots <= 3.5).all()


def test_prevalence_follows_the_number_of_lesions() -> None:
    found = []
    for most in (0, 1, 3):
        forest = grow(400, style=replace(STYLES["stable"], lesions_main=(0, most)), seed=5)
        found.append(forest.prevalence(forest.ratio()))
    assert found == sorted(found)
    assert found[-1] > found[0] + 0.05


def test_lesions_are_where_they_are_said_to_be() -> None:
    forest = grow(30, style=replace(STYLES["healthy"], lesions_main=(1, 1), depth=(0.6, 0.01)), seed=6)
    hits = 0
    for tree in range(30):
        vessels = forest.network(tree)
        (mine,) = np.flatnonzero(
            (forest.lesions.segment >= forest.start[tree]) & (forest.lesions.segment < forest.start[tree + 1])
        )
        segment = int(forest.lesions.segment[mine] - forest.start[tree])
        place = vessels.from_inlet_mm[vessels.segments[segment][0]] + forest.lesions.middle_mm[mine]
        found = find_lesions(vessels)
        hits += any(x.segment == segment and abs(x.throat_mm - place) < 2.5 for x in found)
    assert hits >= 28


def test_noise_has_its_size() -> None:
    forest = grow(50, seed=1)
    off = np.log(noisy(forest, cv=0.05).radius_mm / forest.radius_mm)
    assert off.std() == pytest.approx(0.05, rel=0.03)


@pytest.mark.slow
def test_thirteen_thousand_trees_take_seconds() -> None:
    grow(2).ratio()
    began = time.process_time()
    forest = grow(13_000)
    grown = time.process_time()
    forest.ratio()
    assert grown - began < 5
    assert time.process_time() - grown < 0.5


def test_an_aneurysm_is_a_tube_with_a_sac() -> None:
    sac = Aneurysm(2.0, 4.0, 6.0, 7.0)
    assert sac.aspect == 1.5
    top = sac.signed_mm([[0, 0, 7.9], [0, 0, 8.1], [0, 0, 5.0], [0, 1.9, 0], [0, 2.1, 0], [0, 0, -2.2]])
    assert (np.sign(top) == [-1, 1, -1, -1, 1, 1]).all()
    # At the parent's wall the sac is as wide as its neck.
    assert sac.signed_mm([[0, 1.95, 2.02]])[0] < 0.1
    for one in aneurysms(40, seed=2):
        assert 0.79 <= one.aspect <= 2.21
        grid = np.stack(np.meshgrid(*[np.linspace(-12, 12, 33)] * 3, indexing="ij"), -1)
        inside = one.signed_mm(grid) < 0
        assert inside.any()
        assert one.signed_mm([[0.0, 0.0, one.radius_mm + one.height_mm + 0.05]])[0] > 0
