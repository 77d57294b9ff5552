"""Devices slow a sac; their laws are the published ones."""

import numpy as np
import pytest

from carna.errors import InputError
from carna.flow.blood import Blood
from carna.flow.device import Coil, Diverter, effect, resist, sidewall


def test_coil_permeability_is_kozeny():
    assert Coil(0.20).permeability_m2 == pytest.approx(2.6e-8, rel=0.02)
    assert Coil(0.32).permeability_m2 == pytest.approx(6.2e-9, rel=0.04)
    with pytest.raises(InputError, match="fraction"):
        _ = Coil(25.0).permeability_m2


def test_a_sheet_keeps_its_drop_on_any_grid():
    device, blood = Diverter(), Blood()
    model = sidewall(dx_mm=0.5)
    drag = resist(model.lumen, device, model.sheet, blood, across_mm=model.across_mm)
    v = 0.05
    drop = (drag.linear.max() * v + drag.quadratic.max() * v**2) * model.across_mm * 1e-3
    mu, k = blood.viscosity_mPas * 1e-3, device.permeability_m2
    exact = (mu / k * v + 0.5 * blood.density_kg_m3 * device.inertia_1_m * v**2) * device.thickness_mm * 1e-3
    assert drop == pytest.approx(exact, rel=1e-9)


@pytest.mark.slow
def test_devices_slow_the_sac():
    model = sidewall(dx_mm=0.4)
    none, diverter, coil = (effect(model, d, flow_ml_s=0.8) for d in (None, Diverter(), Coil()))
    assert diverter.mean_m_s < 0.65 * none.mean_m_s
    assert coil.mean_m_s < 0.65 * none.mean_m_s
    assert diverter.inflow_ml_s < none.inflow_ml_s
    assert np.isfinite(none.turnover_s)
