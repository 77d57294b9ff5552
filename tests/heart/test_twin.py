"""The chain from ventricles with scar to screening, at 2.5 mm."""

from __future__ import annotations

import numpy as np
import pytest

from carna.ep.eikonal import arrival_times
from carna.ep.reentry import Protocol, Restitution, screen
from carna.errors import InputError
from carna.heart.anatomy import Anatomy
from carna.heart.scar import GREY, SCAR, Infarct
from carna.heart.twin import Conduction, ablated, site_voxels, substrate
from carna.heart.ventricles import Ventricles, ventricles

CONDUCTION = Conduction(grey=0.4)
TABLES = (Restitution.constant(250.0), Restitution.constant(300.0))


@pytest.fixture(scope="module")
def heart() -> Ventricles:
    scar = Infarct(segment=8, around_mm=45.0, along_mm=40.0, rim_mm=5.0, channel_mm=8.0)
    return ventricles(Anatomy(rv_wall_mm=5.0), spacing_mm=2.5, infarcts=(scar,))


def test_scar_does_not_conduct_and_grey_zone_delays(heart: Ventricles) -> None:
    site = site_voxels(heart)["11 mid inferolateral"]
    slow, even = (
        arrival_times(substrate(heart, Conduction(grey=g), *TABLES).tissue, site) for g in (0.4, 1.0)
    )
    region = heart.spread(heart.region)
    assert np.isinf(slow[region == SCAR]).all()
    grey = (region == GREY) & np.isfinite(slow)
    assert np.median(slow[grey] - even[grey]) > 3.0


def test_every_site_conducts_even_where_the_scar_is(heart: Ventricles) -> None:
    sites = site_voxels(heart)
    assert len(sites) == 19
    assert all(heart.spread(heart.region)[tuple(v[0])] != SCAR for v in sites.values())


def test_even_muscle_sustains_nothing() -> None:
    whole = ventricles(Anatomy(rv_wall_mm=5.0), spacing_mm=2.5)
    made = substrate(whole, CONDUCTION, TABLES[0], TABLES[0])
    site = site_voxels(whole)
    protocol = Protocol(s1_beats=1, longest_ms=300.0, shortest_ms=260.0, step_ms=20.0, extras=1)
    tried = screen(made, {"right apex": site["right apex"]}, protocol)
    assert tried and all(not one.sustained for one in tried)


def test_an_ablation_takes_out_what_is_within_its_radius(heart: Ventricles) -> None:
    made = substrate(heart, CONDUCTION, *TABLES)
    target = made.tissue.place[:1].astype(np.int64)
    after = ablated(made, heart, CONDUCTION, target, 6.0)
    gone = np.argwhere(made.tissue.mask & ~after.tissue.mask)
    kept = np.argwhere(after.tissue.mask)
    assert np.linalg.norm((gone - target) * 2.5, axis=1).max() <= 6.0
    assert np.linalg.norm((kept - target) * 2.5, axis=1).min() > 6.0


def test_refusals(heart: Ventricles) -> None:
    with pytest.raises(InputError):
        Conduction(grey=0.0)
    with pytest.raises(InputError):
        ablated(substrate(heart, CONDUCTION, *TABLES), heart, CONDUCTION, np.zeros((0, 3), int), 5.0)
