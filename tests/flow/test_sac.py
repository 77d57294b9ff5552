"""The sac of an aneurysm on its artery: against what was put there, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from carna.errors import InputError
from carna.flow.sac import find_sac
from carna.phantom import aneurysm_surface
from carna.space import Surface, rotation


def ball_outside(radius: float, sac: float, off: float) -> float:
    """Volume of a ball outside a cylinder along z, mm3, by counting."""
    x = np.random.default_rng(0).uniform(-sac, sac, (400_000, 3))
    inside = (x**2).sum(1) < sac**2
    out = inside & (np.hypot(x[:, 0] + off, x[:, 1]) > radius)
    return float(out.mean()) * (2 * sac) ** 3


def test_a_ball_on_an_artery():
    found = find_sac(aneurysm_surface())
    # The artery ends where its wall was, or a little farther out.
    least, most = ball_outside(1.75 * 1.25, 2.6, 3.0), ball_outside(1.75 * 0.95, 2.6, 3.0)
    assert least < found.size.volume_mm3 < most * 1.03
    assert found.least.volume_mm3 < found.size.volume_mm3 < found.most.volume_mm3
    assert [r.radius_mm for r in found.rims] == pytest.approx([1.75, 1.75], abs=0.05)
    assert 3.3 < found.size.height_mm < 4.6


def test_turning_it_changes_nothing():
    here = aneurysm_surface()
    there = here.moved(rotation((0.3, -0.5, 0.8), 41.0, about=(3.0, -2.0, 5.0)))
    a, b = find_sac(here), find_sac(there)
    assert a.size.volume_mm3 == pytest.approx(b.size.volume_mm3, rel=1e-6)
    assert a.size.neck_mm2 == pytest.approx(b.size.neck_mm2, rel=1e-6)


def test_a_larger_sac_is_larger():
    small, large = (find_sac(aneurysm_surface(sac_mm=s, off_mm=s + 0.6)) for s in (2.0, 2.8))
    assert large.size.volume_mm3 > 1.8 * small.size.volume_mm3
    assert large.size.height_mm > small.size.height_mm


def test_what_has_no_sac_is_refused():
    with pytest.raises(InputError, match=r"no sac|bulge"):
        find_sac(aneurysm_surface(sac_mm=1.0, off_mm=0.0))
    ball = Surface(np.eye(4)[:, :3] * 10, np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]]))
    with pytest.raises(InputError, match="0 openings"):
        find_sac(ball)
    with pytest.raises(InputError, match="5 to 16"):
        find_sac(aneurysm_surface(), cells=2)
