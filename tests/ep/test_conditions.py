import numpy as np
import pytest

from carna.ep import conditions
from carna.ep.cell import load
from carna.ep.cell.pace import pace
from carna.ep.change import Change, together
from carna.errors import InputError

MODEL = load("tt2006_ischaemic", "epi")
RTF = 8.314 * 310 / 96.485


def at(model, v_mV=-20.0):
    """The slopes of V and [K]i at a chosen V, all else as it starts."""
    names = [s.name for s in model.states]
    state = np.array([s.initial for s in model.states])
    state[names.index("V")] = v_mV
    slopes = model.rhs(state)
    return slopes[names.index("V")], slopes[names.index("Ki")], state[names.index("Ki")]


@pytest.mark.parametrize(("atp", "ko"), [(6.8, 5.4), (4.6, 9.0), (4.0, 12.5)])
def test_katp_current_is_ferreros(atp, ko):
    ill = MODEL.with_(ATPi=atp, Ko=ko)
    with_v, with_k, ki = at(ill)
    without_v, without_k, _ = at(ill.with_(GKATP=0.0))
    half = -0.0942857 * atp + 0.683143
    current = 3.9 / (1 + (atp / half) ** 2) * (ko / 5.4) ** 0.24 * (-20 - RTF * np.log(ko / ki))
    assert without_v - with_v == pytest.approx(current, rel=1e-9)
    assert without_k - with_k == pytest.approx(current * 185 / (96.485 * 16404), rel=1e-9)


def test_without_katp_it_is_ten_tusschers_cell():
    plain, same = load("tt2006", "endo"), load("tt2006_ischaemic", "endo").with_(GKATP=0.0)
    assert at(plain)[0] == at(same)[0]
    assert [s.name for s in plain.states] == [s.name for s in same.states]


def test_ischaemia_depolarises_by_potassium_and_shortens_by_katp():
    """[K]o 5.4 to 9 mM moves E_K by 13.6 mV, and rest follows; ATP alone shortens and leaves rest alone."""
    paced = pace(MODEL, 1000, 5, parameters={"Ko": [5.4, 9.0, 5.4], "ATPi": [6.8, 6.8, 4.6]}, dt_ms=0.05)
    rest, apd = paced.rest_mv[-1], paced.apd90_ms[-1]
    moved = np.log(9.0 / paced.cells["Ki"][1]) - np.log(5.4 / paced.cells["Ki"][0])
    assert RTF * moved == pytest.approx(13.6, abs=0.1)
    assert rest[1] - rest[0] == pytest.approx(13.0, abs=1.5)
    assert apd[2] < 0.75 * apd[0]
    assert rest[2] == pytest.approx(rest[0], abs=0.5)
    assert paced.rise_v_per_s[-1, 1] < 0.5 * paced.rise_v_per_s[-1, 0]


def test_minutes_of_ischaemia_run_from_health_to_depression():
    start, end = conditions.ischaemia_1a(0), conditions.ischaemia_1a(15)
    assert dict(start.values) == dict(conditions.HEALTHY)
    assert set(start.factors.values()) == {1.0}
    minutes = [conditions.ischaemia_1a(m) for m in np.linspace(0, 15, 31)]
    assert np.all(np.diff([c.values["K_o"] for c in minutes]) > 0)
    assert np.all(np.diff([c.values["ATP_i"] for c in minutes]) < 0)
    assert end.factors["g_Na"] == 0.5
    for outside in (-0.1, 15.1, float("nan")):
        with pytest.raises(InputError, match="phase 1A"):
            conditions.ischaemia_1a(outside)


def test_changes_name_what_a_model_lacks():
    assert conditions.ischaemia_1b().on(MODEL)["PNaK"].value == pytest.approx(0.7 * 2.724)
    assert conditions.border_zone_chronic().left_out(MODEL) == ("g_NaL",)
    with pytest.raises(InputError, match="no ATP_i"):
        conditions.ischaemia_1a(5).on(load("tt2006"))


@pytest.mark.parametrize("model", ["tt2006", "ohara2011", "torord", "courtemanche1998"])
def test_failure_finds_pump_exchanger_and_store_in_every_full_model(model):
    assert set(conditions.heart_failure().left_out(load(model))) <= {"g_NaL"}


def test_half_of_a_border_zone_lies_half_way():
    whole = conditions.border_zone_subacute()
    half = whole.part(0.5)
    assert half.factors["g_Na"] == pytest.approx(0.69)
    assert half.conduction == pytest.approx(0.75)
    assert together("twice", [whole, whole]).factors["g_CaL"] == pytest.approx(0.31**2)
    with pytest.raises(InputError, match="sets K_o"):
        together("both", [conditions.ischaemia_1a(5), conditions.ischaemia_1b()])


def test_graded_is_the_condition_at_every_place():
    minute = np.array([[0.0, 3.3], [7.7, 15.0]])
    varied, conduction = conditions.graded(MODEL, conditions.ischaemia_1a, minute, levels=301)
    assert set(varied) == {"GNa", "PCaL", "Ko", "ATPi"}
    for place in np.ndindex(2, 2):
        wanted = conditions.ischaemia_1a(minute[place]).parameters(MODEL)
        assert {k: float(v[place]) for k, v in varied.items()} == pytest.approx(wanted, rel=1e-4)
    assert np.all(conduction == 1)
    _, less = conditions.graded(MODEL, lambda s: Change("", conduction=1 - s / 2), [0.0, 0.5, 1.0])
    assert less.tolist() == [1.0, 0.75, 0.5]
    same, _ = conditions.graded(MODEL, conditions.ischaemia_1a, np.full(3, 5.0))
    assert same["Ko"].tolist() == [7.0, 7.0, 7.0]
