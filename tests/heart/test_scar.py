import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, label

from carna.errors import InputError
from carna.heart.anatomy import Anatomy
from carna.heart.scar import GREY, HEALTHY, SCAR, Infarct
from carna.heart.ventricles import ventricles


def test_a_core_has_the_volume_of_its_ellipse():
    one = Anatomy()
    heart = ventricles(one, spacing_mm=0.8, infarcts=(Infarct(11, 30, 24, rim_mm=0),))
    # An ellipse at each depth: its area times the wall's thickness (the body's middle is nearly a cylinder).
    expected = np.pi / 4 * 30 * 24 * one.lv_wall_mm / 1e3
    found = np.count_nonzero(heart.region == SCAR) * heart.grid.voxel_ml
    assert found == pytest.approx(expected, rel=0.06)
    assert not (heart.region == GREY).any()
    assert (heart.segment[heart.region == SCAR] == 11).mean() > 0.85


def test_rim_depth_and_neighbours():
    heart = ventricles(spacing_mm=1.0, infarcts=(Infarct(8, transmural=0.6, rim_mm=4),))
    assert heart.at.transmural[heart.region == SCAR].max() <= 0.6
    assert not heart.at.right[heart.region == SCAR].any()
    away = distance_transform_edt(heart.spread(heart.region) != SCAR, sampling=heart.spacing_mm)
    away = away.ravel()[heart.at.where]
    assert away[heart.region == GREY].max() <= 4 < away[heart.region == HEALTHY].min() + 1e-6


@pytest.mark.parametrize("tilt", [0.0, 90.0, 30.0])
def test_a_channel_cuts_the_core_in_two_and_leads_through(tilt):
    scar = Infarct(11, 44, 40, rim_mm=3, channel_mm=5, channel_deg=tilt)
    heart = ventricles(spacing_mm=1.0, infarcts=(scar,))
    region = heart.spread(heart.region)
    pieces, count = label(region == SCAR)
    sizes = np.bincount(pieces.ravel())[1:]
    assert count == 2 and sizes.min() > 0.6 * sizes.max()
    solid = ventricles(spacing_mm=1.0, infarcts=(Infarct(11, 44, 40, rim_mm=3),))
    assert label(solid.spread(solid.region) == SCAR)[1] == 1
    inside = (heart.region == GREY) & (solid.region == SCAR)
    width_ml = np.count_nonzero(inside) * heart.grid.voxel_ml
    expected = 5 * 40 / max(abs(np.cos(np.radians(tilt))), 0.9) * 8 / 1e3
    assert width_ml == pytest.approx(expected, rel=0.2)
    assert (np.flatnonzero(heart.region) == np.flatnonzero(solid.region)).all()


def test_every_segment_can_be_infarcted():
    heart = ventricles(spacing_mm=1.5, infarcts=tuple(Infarct(n, 12, 12, rim_mm=0) for n in range(1, 18)))
    for n in range(1, 18):
        assert (heart.region[heart.segment == n] == SCAR).any(), n


@pytest.mark.parametrize("wrong", [{"segment": 0}, {"transmural": 1.5}, {"rim_mm": -1}, {"around_mm": 1}])
def test_impossible_infarcts_are_refused(wrong):
    with pytest.raises(InputError):
        Infarct(**wrong)
