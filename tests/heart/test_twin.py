"""The chain from ventricles with scar to screening, at 2.5 mm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from carna.ep.eikonal import arrival_times
from carna.ep.reentry import Protocol, Restitution, screen
from carna.errors import InputError
from carna.heart.anatomy import Anatomy
from carna.heart.scar import GREY, HEALTHY, SCAR, Infarct
from carna.heart.twin import Velocity, lesion, moved, site_voxels, substrate
from carna.heart.ventricles import Ventricles, ventricles

VELOCITY = Velocity(grey=0.4)
TABLES = (Restitution.constant(250.0), Restitution.constant(300.0))


@pytest.fixture(scope="module")
def heart() -> Ventricles:
    scar = Infarct(segment=8, around_mm=45.0, along_mm=40.0, rim_mm=5.0, channel_mm=8.0)
    return ventricles(Anatomy(rv_wall_mm=5.0), spacing_mm=2.5, infarcts=(scar,))


def test_scar_does_not_conduct_and_grey_zone_delays(heart: Ventricles) -> None:
    site = site_voxels(heart)["11 mid inferolateral"]
    slow, even = (arrival_times(substrate(heart, Velocity(grey=g), *TABLES).tissue, site) for g in (0.4, 1.0))
    region = heart.spread(heart.region)
    assert np.isinf(slow[region == SCAR]).all()
    grey = (region == GREY) & np.isfinite(slow)
    assert np.median(slow[grey] - even[grey]) > 3.0


def test_every_site_conducts_even_where_the_scar_is(heart: Ventricles) -> None:
    sites = site_voxels(heart)
    assert len(sites) == 19
    assert all(heart.spread(heart.region)[tuple(v[0])] != SCAR for v in sites.values())


def test_no_site_lies_on_an_island_within_scar(heart: Ventricles) -> None:
    """The muscle next to a site is cut off from the rest by a shell of scar: the site moves outside."""
    at = site_voxels(heart)["11 mid inferolateral"][0]
    away = np.linalg.norm((np.argwhere(heart.mask) - at) * 2.5, axis=1)
    walled = replace(
        heart, region=np.where((away > 4.0) & (away < 12.0), SCAR, heart.region).astype(np.uint8)
    )
    assert np.linalg.norm((site_voxels(walled)["11 mid inferolateral"][0] - at) * 2.5) >= 12.0


def test_even_muscle_sustains_nothing() -> None:
    whole = ventricles(Anatomy(rv_wall_mm=5.0), spacing_mm=2.5)
    made = substrate(whole, VELOCITY, TABLES[0], TABLES[0])
    site = site_voxels(whole)
    protocol = Protocol(s1_beats=1, longest_ms=300.0, shortest_ms=260.0, step_ms=20.0, extras=1)
    tried = screen(made, {"right apex": site["right apex"]}, protocol)
    assert tried and all(not one.sustained for one in tried)


def test_a_lesion_is_what_lies_within_its_radius(heart: Ventricles) -> None:
    index = np.argwhere(heart.mask)
    target = index[1000:1001]
    burnt = lesion(heart, target, 6.0)
    away = np.linalg.norm((index - target) * 2.5, axis=1)
    np.testing.assert_array_equal(burnt, away <= 6.0)
    cut = replace(heart, region=np.where(burnt, SCAR, heart.region).astype(np.uint8))
    assert not substrate(cut, VELOCITY, *TABLES).tissue.mask[tuple(index[burnt].T)].any()


def test_borders_move_outwards_and_inwards(heart: Ventricles) -> None:
    np.testing.assert_array_equal(moved(heart, 0.0), heart.region)
    sizes = [np.bincount(moved(heart, by), minlength=3) for by in (-3.0, 0.0, 3.0)]
    assert sizes[0][SCAR] < sizes[1][SCAR] < sizes[2][SCAR]
    assert sizes[0][HEALTHY] > sizes[1][HEALTHY] > sizes[2][HEALTHY]
    # By the distance asked for: nothing further out than 3 mm and half a voxel becomes scar.
    index = np.argwhere(heart.mask) * 2.5
    old, new = index[heart.region == SCAR], index[(moved(heart, 3.0) == SCAR) & (heart.region != SCAR)]
    nearest = np.array([np.linalg.norm(old - one, axis=1).min() for one in new])
    assert nearest.max() <= 3.0 + 1.25


def test_a_scar_that_grows_closes_its_channel() -> None:
    infarct = Infarct(segment=7, around_mm=60.0, along_mm=50.0, rim_mm=0.0, channel_mm=8.0)
    open_ = ventricles(Anatomy(rv_wall_mm=5.0), spacing_mm=2.5, infarcts=(infarct,))
    core = moved(open_, 5.0)
    assert ((open_.region == GREY) & (core == SCAR)).sum() > 0.9 * (open_.region == GREY).sum()


def test_refusals(heart: Ventricles) -> None:
    with pytest.raises(InputError, match="grey"):
        Velocity(grey=0.0)
    with pytest.raises(InputError, match="a target"):
        lesion(heart, np.zeros((0, 3), int), 5.0)
    with pytest.raises(InputError, match="-5 to 5"):
        moved(heart, 9.0)
    with pytest.raises(InputError, match="muscle that conducts"):
        site_voxels(replace(heart, region=np.full_like(heart.region, SCAR)))
