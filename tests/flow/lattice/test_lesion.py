"""A narrowing measured by the lattice."""

import numpy as np
import pytest

from carna.errors import InputError
from carna.flow.lattice.lesion import Vessel, fit, measure
from carna.flow.lesion import profile


@pytest.mark.slow
def test_a_straight_vessel_loses_what_poiseuille_says():
    z, r = np.linspace(0, 6, 61), np.full(61, 1.5)
    found = measure(Vessel(z, r, 0 * z, 0 * z), (1.0, 2.0))
    exact = [profile(z, r).drop_mmHg(q) for q in (1.0, 2.0)]
    assert found.drop_mmHg == pytest.approx(exact, rel=0.04)


def test_one_flow_and_ragged_profiles_are_refused():
    z, r = np.linspace(0, 6, 61), np.full(61, 1.5)
    with pytest.raises(InputError, match="growing positive flows"):
        fit(z, r, (1.0,))
    with pytest.raises(InputError, match="radii above 0"):
        fit(z, r[:-1], (1.0, 2.0))
