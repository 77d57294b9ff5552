import numpy as np
import pytest

from carna.ep import sensitivity
from carna.ep.cell import load
from carna.errors import InputError

NAMES = ("a", "b", "c")


@pytest.fixture
def known(monkeypatch):
    """Cells that answer with functions whose effects are known in closed form."""

    def outputs(model, names, factors, protocol=None):
        a, b, c = np.asarray(factors).T
        columns = {
            "apd90": 3 * a - b + 4,
            "apd50": (a - 1) * (b - 1),
            "triangulation": np.exp(5 * c),
            "upstroke": a**2,
        }
        return np.stack([columns.get(name, a) for name in sensitivity.OUTPUTS], axis=1)

    monkeypatch.setattr(sensitivity, "outputs", outputs)


def test_local_is_percent_per_percent(known):
    found = sensitivity.local(None, NAMES)
    assert found.of("a", "apd90") == pytest.approx(0.5)  # 3 of 6
    assert found.of("b", "apd90") == pytest.approx(-1 / 6)
    assert found.of("c", "apd90") == pytest.approx(0)
    assert found.of("a", "upstroke") == pytest.approx(2)


def test_rank_correlation_sees_monotone_effects_with_the_others_held(known):
    found = sensitivity.ranked(None, NAMES, cells=400, seed=3)
    assert found.of("c", "triangulation") == pytest.approx(1, abs=1e-6)
    assert found.of("b", "apd90") < -0.9
    inside = (found.low < 0.0) & (found.high > 0.0)
    assert inside[NAMES.index("c"), found.outputs.index("apd90")]
    assert np.all(found.low <= found.value + 1e-9)
    assert np.all(found.high >= found.value - 1e-9)


def test_shares_of_variance_are_those_of_the_formula(known):
    first, total = sensitivity.sobol(None, NAMES, base=1024, seed=1)
    assert [first.of(n, "apd90") for n in NAMES] == pytest.approx([0.9, 0.1, 0.0], abs=0.03)
    assert [total.of(n, "apd90") for n in NAMES] == pytest.approx([0.9, 0.1, 0.0], abs=0.03)
    assert [first.of(n, "apd50") for n in NAMES] == pytest.approx([0, 0, 0], abs=0.06)  # interaction alone
    assert [total.of(n, "apd50") for n in NAMES] == pytest.approx([1, 1, 0], abs=0.06)


def test_channels_move_the_action_potential_the_way_they_must():
    model = load("tt2006_ischaemic", "epi").with_(ATPi=5.0)
    protocol = sensitivity.Protocol(700.0, 3, 0.05)
    names = ("g_Kr", "g_CaL", "g_Na", "g_KATP", "K_o")
    for found in (
        sensitivity.local(model, names, protocol=protocol),
        sensitivity.ranked(model, names, spread=0.2, cells=128, protocol=protocol),
    ):
        assert found.answered == 1
        assert found.of("g_Kr", "apd90") < 0 < found.of("g_CaL", "apd90")
        assert found.of("g_KATP", "apd90") < 0
        assert found.of("g_Na", "upstroke") > 0
        assert abs(found.of("K_o", "rest")) > 5 * abs(found.of("g_Kr", "rest"))


def test_what_makes_no_sense_is_refused():
    model = load("tt2006")
    with pytest.raises(InputError, match="each once"):
        sensitivity.local(model, ("g_Kr", "g_Kr"))
    with pytest.raises(InputError, match="over 1000 cells"):
        sensitivity.ranked(model, ("g_Kr",), spread=1.2)
    with pytest.raises(InputError, match="on 100 samples"):
        sensitivity.sobol(model, ("g_Kr",), base=100)
    with pytest.raises(InputError, match="2 of 2 cells have no action potential"):
        # almost without sodium and calcium current, cells do not fire
        sensitivity.sobol(
            model.with_(GNa=0.1, PCaL=0.001),
            ("g_Kr",),
            base=2,
            protocol=sensitivity.Protocol(400.0, 1, 0.05),
        )
