"""Units against their definitions: UCUM 2.1, and the SI values of mmHg, degrees and months."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carna.errors import UnitError
from carna.units import convert, dimension, display

KNOWN = [
    (1.0, "L/min", "mL/s", 1000 / 60),
    (1.0, "mm[Hg]", "Pa", 133.322387415),
    (1.0, "cm[H2O]", "Pa", 98.0665),
    (80.0, "{beats}/min", "Hz", 80 / 60),
    (1.0, "dyn.s/cm5", "Pa.s/m3", 1e5),
    (1.0, "10*3/uL", "10*9/L", 1.0),
    (37.0, "Cel", "[degF]", 98.6),
    (0.0, "K", "Cel", -273.15),
    (5.0, "%", "1", 0.05),
    (180.0, "deg", "rad", math.pi),
    (1.0, "uV", "mV", 1e-3),
    (70.0, "kg", "[lb_av]", 154.323583529),
    (1.0, "mmol/L", "mol/m3", 1.0),
    (1.0, "a", "d", 365.25),
    (1.0, "/min", "Hz", 1 / 60),
    (1.0, "mm[Hg].min/L", "Pa.s/m3", 133.322387415 * 60 * 1000),
]


@pytest.mark.parametrize(("value", "unit", "to", "expected"), KNOWN)
def test_known_conversions(value, unit, to, expected):
    assert convert(value, unit, to) == pytest.approx(expected, rel=1e-11)


@given(st.floats(1e-6, 1e6), st.sampled_from([(u, t) for _, u, t, _ in KNOWN if u not in ("Cel", "K")]))
def test_there_and_back(value, pair):
    unit, to = pair
    assert convert(convert(value, unit, to), to, unit) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("unit", ["", "furlong", "mmHg", "m//s", "kmin", "mm[Hg", "m s"])
def test_unknown_units_are_refused(unit):
    with pytest.raises(UnitError):
        dimension(unit)


@pytest.mark.parametrize(("unit", "to"), [("mm", "ms"), ("mg/dL", "mmol/L"), ("mV", "mA"), ("deg", "Cel")])
def test_dimensions_do_not_mix(unit, to):
    with pytest.raises(UnitError, match="does not convert"):
        convert(1.0, unit, to)


def test_display_is_what_a_doctor_writes():
    assert [display(u) for u in ("mm[Hg]", "{beats}/min", "1", "mL")] == ["mmHg", "bpm", "", "mL"]
