"""Expressions, notation and models: what is written is what is computed."""

from __future__ import annotations

import numpy as np
import pytest

from carna.ep.cell import load, shipped
from carna.ep.cell.dimensions import check_units
from carna.ep.cell.expression import Apply, Name, Number, evaluate, linear, names, substitute
from carna.ep.cell.notation import parse, parse_formula
from carna.errors import InputError

DECAY = """
model decay
variants fast slow
given k = 2 [1/ms] 0..10   # how fast
slow: given k = 0.5 [1/ms]
given target = 1 [mV]
state V = 3 [mV]
V' = stimulus - gap * k
    + 0 * stimulus
gap = V - target [mV]
label rate k
"""


def test_formulas_follow_the_usual_precedence() -> None:
    values = {"a": 2.0, "b": 3.0}
    for text, wanted in (
        ("-a^2", -4.0),
        ("2^-1 * b", 1.5),
        ("a - b - 1", -2.0),
        ("a / b / 2", 1 / 3),
        ("a if a < b and not b < a else 0", 2.0),
        ("max(a, b) + floor(2.7)", 5.0),
    ):
        assert float(evaluate(parse_formula(text), values)) == pytest.approx(wanted)


def test_bernoulli_has_no_hole_at_zero() -> None:
    u = np.array([-1e-2, -1e-9, 0.0, 1e-4, 2e-3, 5.0])
    found = evaluate(Apply("bernoulli", (Name("u"),)), {"u": u})
    wanted = [1.00500833, 1.0, 1.0, 0.99995, 0.99900033, 5 / np.expm1(5)]
    assert found == pytest.approx(wanted, rel=1e-8)


def test_linear_finds_slope_and_rest_or_says_no() -> None:
    split = linear(parse_formula("(k - x) / t + 2 * x"), "x")
    assert split is not None
    at = {"k": 3.0, "t": 4.0}
    assert float(evaluate(split[0], at)) == 0.75
    assert float(evaluate(split[1], at)) == 1.75
    assert linear(parse_formula("x * (1 - x)"), "x") is None
    assert linear(parse_formula("exp(x)"), "x") is None
    assert names(substitute(parse_formula("x + y"), {"x": Number(1.0)})) == {"y"}


def test_notation_variants_continuation_and_labels() -> None:
    fast, slow = parse(DECAY), parse(DECAY, "slow")
    assert (fast["k"].value, slow["k"].value, slow["k"].doc, slow["k"].high) == (2.0, 0.5, "how fast", 10.0)
    assert fast["rate"].name == "k"
    assert float(fast.rhs(np.array([3.0]), stimulus=1.0)[0]) == -3.0
    assert fast.key != slow.key
    check_units(fast)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("gap = V - target", "gap = V - * target"), "line 10"),
        (("variants fast slow", "variants fast"), "a variant named before"),
        (("gap * k", "gap * kk"), "'kk'"),
        (("[1/ms] 0..10", "[mS/ms] 0..10"), "V'"),
        (("- target [mV]", "- target [V]"), "gap"),
        (("state V = 3 [mV]", "state W = 3 [mV]"), "'V'"),
        (("gap = V", "gap = gap + V"), "circle"),
    ],
)
def test_a_wrong_line_is_refused_by_name(change: tuple[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_units(parse(DECAY.replace(*change)))


def test_changes_refuse_wrong_names_and_ranges() -> None:
    model = load("tt2006")
    assert model.scaled(g_Kr=0.5)["GKr"].value == pytest.approx(0.0765)
    assert model["GKr"].value == 0.153
    with pytest.raises(InputError, match="GKr"):
        model.with_(GKR=0.1)
    with pytest.raises(InputError, match="1 to 30"):
        model.with_(Ko=0.1)
    with pytest.raises(InputError, match="epi, mid, endo"):
        load("tt2006", "septal")
    with pytest.raises(InputError, match="torord"):
        load("grandi")


@pytest.mark.parametrize("name", shipped())
def test_shipped_models_have_right_units_papers_and_words(name: str) -> None:
    model = load(name)
    check_units(model)
    assert model.name == name
    assert model.title
    assert model.doi
    assert dict(model.labels)["membrane_potential"] == "V"
    assert np.all(np.isfinite(model.rhs(model.initial)))


def test_variants_differ_where_the_papers_say() -> None:
    epi, mid, endo = (load("tt2006", v) for v in ("epi", "mid", "endo"))
    assert (epi["GKs"].value, mid["GKs"].value, endo["Gto"].value) == (0.392, 0.098, 0.073)
    assert load("torord").state_names[:2] == ("V", "CaMKt")
    assert len(load("ohara_cipa").states) == 48
