"""The surrogates: against the loss law, a recursion written plainly, and the solver they imitate."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from carna.errors import InputError
from carna.flow.boundary import Boundary, Outlet
from carna.flow.steady import steady
from carna.flow.surrogate import Segments, card, surrogate
from carna.flow.surrogate.boosted import Boosted
from carna.flow.surrogate.features import LOCAL, PATH
from carna.flow.surrogate.models import NAMES
from carna.flow.surrogate.networks import GraphNet, TreeLstm
from carna.flow.virtual import grow

FOREST = grow(12, style="stable", seed=4)
TREES = Segments.of_forest(FOREST)


def weights(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}


def lstm(h: int = 5) -> TreeLstm:
    k = len(LOCAL)
    return TreeLstm(
        weights(
            {
                "up_x": (k, 4 * h), "up_h": (h, 3 * h), "up_f": (h, h), "up_b": (4 * h,),
                "down_x": (k + h, 4 * h), "down_h": (h, 4 * h), "down_b": (4 * h,),
                "out_w": (2 * h,), "out_b": (1,),
            }
        )
    )  # fmt: skip


def graph(h: int = 5, rounds: int = 3) -> GraphNet:
    k = len(LOCAL)
    shapes = {
        "in_w": (k, h), "in_b": (h,), "gate_w": (k + 3 * h, 2 * h), "gate_b": (2 * h,),
        "new_w": (k + 3 * h, h), "new_b": (h,), "out_w": (h,), "out_b": (1,),
    }  # fmt: skip
    return GraphNet(weights(shapes, 1) | {"rounds": np.array([rounds], np.float32)})


def test_the_loss_law_on_the_solvers_flows_is_the_solver() -> None:
    """Without units nothing is lost: the solver's flows give its pressures back."""
    truth = FOREST.ratio()
    flows = []
    for n in range(len(FOREST)):
        found = steady(FOREST.network(n), FOREST.boundary(n))
        a, b = FOREST.start[n], FOREST.start[n + 1]
        conduct = sum(1 / r for r in FOREST.outlet[a:b] if r > 0)
        flows.append(found.flow_ml_s / (FOREST.pressure_mmHg[n] - FOREST.venous_mmHg) / conduct)
    assert TREES.ratio(np.concatenate(flows)) == pytest.approx(truth, abs=1e-9)
    assert (np.concatenate(flows) <= TREES.share * (1 + 1e-12)).all()


def test_shares_add_up_and_the_tree_is_kept() -> None:
    roots = TREES.start[:-1]
    assert TREES.share[roots] == pytest.approx(1.0)
    assert sum(map(len, TREES.levels)) == len(TREES)
    for n in np.flatnonzero(~TREES.leaf):
        assert TREES.share[TREES.parent == n].sum() == pytest.approx(TREES.share[n])
    assert TREES.local().shape == (len(TREES), len(LOCAL))
    assert TREES.path().shape == (len(TREES), len(PATH))


def test_a_network_is_described_as_the_forest_it_came_from() -> None:
    one = Segments.of_network(FOREST.network(3), FOREST.boundary(3))
    here = slice(FOREST.start[3], FOREST.start[4])
    for name in ("friction", "jet", "share", "leaf", "drive"):
        assert getattr(one, name) == pytest.approx(getattr(TREES, name)[here], rel=1e-6, abs=1e-9), name


def test_the_formula_is_right_where_little_is_lost() -> None:
    weak = replace(TREES, friction=TREES.friction * 1e-4, jet=TREES.jet * 1e-4)
    law = weak.ratio(weak.share)
    assert weak.one_pass() == pytest.approx(law, abs=1e-5)
    assert not np.allclose(TREES.one_pass(), TREES.ratio(TREES.share), atol=1e-3)


def test_features_of_a_path_are_sums_and_flow_weighted_means() -> None:
    own = TREES.friction * TREES.share + TREES.jet * TREES.share**2
    table = dict(zip(PATH, TREES.path().T, strict=True))

    def below(n: int) -> float:
        children = np.flatnonzero(TREES.parent == n)
        return sum(TREES.share[c] * (own[c] + below(c)) for c in children) / TREES.share[n]

    for n in range(TREES.start[2]):
        line = [n]
        while TREES.parent[line[-1]] >= 0:
            line.append(int(TREES.parent[line[-1]]))
        assert table["friction above"][n] + table["jet above"][n] == pytest.approx(own[line].sum())
        assert table["largest loss above"][n] == pytest.approx(own[line].max())
        assert table["segments above"][n] == len(line) - 1
        assert table["loss below, weighted by flow"][n] == pytest.approx(below(n), abs=1e-12)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_the_tree_lstm_is_the_recursion_of_its_paper() -> None:
    net, h = lstm(), 5
    w = {k: v.astype(float) for k, v in net.weights.items()}
    x = TREES.local()
    up: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def climb(n: int) -> tuple[np.ndarray, np.ndarray]:
        children = [climb(c) for c in np.flatnonzero(TREES.parent == n)]
        heard = sum((hidden for hidden, _ in children), np.zeros(h))
        given = x[n] @ w["up_x"] + w["up_b"]
        i, o, u = np.split(given[: 3 * h] + heard @ w["up_h"], 3)
        cell = sigmoid(i) * np.tanh(u)
        for hidden, inner in children:
            cell = cell + sigmoid(given[3 * h :] + hidden @ w["up_f"]) * inner
        up[n] = sigmoid(o) * np.tanh(cell), cell
        return up[n]

    kept = np.empty(len(TREES))

    def descend(n: int, hidden: np.ndarray, cell: np.ndarray) -> None:
        gates = np.concatenate([x[n], up[n][0]]) @ w["down_x"] + hidden @ w["down_h"] + w["down_b"]
        i, o, u, f = np.split(gates, 4)
        cell = sigmoid(i) * np.tanh(u) + sigmoid(f) * cell
        hidden = sigmoid(o) * np.tanh(cell)
        kept[n] = np.concatenate([up[n][0], hidden]) @ w["out_w"] + w["out_b"][0]
        for c in np.flatnonzero(TREES.parent == n):
            descend(int(c), hidden, cell)

    for root in TREES.start[:-1]:
        climb(int(root))
        descend(int(root), np.zeros(h), np.zeros(h))
    assert net(TREES) == pytest.approx(TREES.ratio(TREES.share * sigmoid(kept)), abs=1e-4)


def test_a_graph_network_hears_no_farther_than_its_rounds() -> None:
    """Another outlet two edges away changes an answer in two rounds, not in one."""
    leaf = int(np.flatnonzero(TREES.leaf[: TREES.start[1]])[-1])
    near = int(TREES.parent[leaf])
    far = int(TREES.parent[near])
    changed = replace(TREES, jet=TREES.jet + 3.0 * (np.arange(len(TREES)) == leaf))
    for rounds, heard in ((1, False), (2, True)):
        one, other = graph(rounds=rounds)(TREES), graph(rounds=rounds)(changed)
        assert (one[far] != other[far]) == heard
        assert one[near] != other[near]


@pytest.mark.parametrize("net", [lstm(), graph()], ids=["tree", "graph"])
def test_trees_do_not_hear_each_other(net: TreeLstm | GraphNet) -> None:
    one = Segments.of_network(FOREST.network(5), FOREST.boundary(5))
    assert net(one) == pytest.approx(net(TREES)[FOREST.start[5] : FOREST.start[6]], abs=1e-5)


def test_symmetric_trees_ask_level_by_level() -> None:
    trees = Boosted(
        np.array([[0, 1], [1, 0]]),
        np.array([[0.5, 2.0], [1.0, 0.0]], np.float32),
        np.array([[1, 2, 3, 4], [10, 20, 30, 40]], np.float32),
    )
    x = np.array([[0.0, 0.0], [1.0, 3.0], [0.4, 1.5]], np.float32)
    assert trees.correction(x).tolist() == [1 + 10, 4 + 40, 1 + 40]


@pytest.mark.parametrize("name", NAMES)
def test_what_ships_imitates_the_solver_on_new_trees(name: str) -> None:
    """Twice the error on the held-out table, on trees of another seed."""
    forest = grow(400, style="stable", seed=31)
    off = np.abs(surrogate(name)(Segments.of_forest(forest)) - forest.ratio())
    wide = 2 * forest.reference_mm[forest.points[1:] - 1] >= 1.5
    assert off[wide].mean() < 0.006
    formula = np.abs(Segments.of_forest(forest).one_pass() - forest.ratio())
    assert off[wide].mean() < 0.4 * formula[wide].mean()
    body = card(name)
    assert body["taught_with"]
    assert "patients" in body["never_taught_with"]


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(InputError, match="surrogate named"):
        surrogate("oracle")
    with pytest.raises(InputError, match="surrogate named"):
        card("oracle")
    vessels, boundary = FOREST.network(0), FOREST.boundary(0)
    with pytest.raises(InputError, match="pressure at the inlet"):
        Segments.of_network(vessels, Boundary(None, boundary.outlets, flow_ml_s=2.0))
    first = min(boundary.outlets)
    mixed = {**boundary.outlets, first: Outlet(30.0, 12.0)}
    with pytest.raises(InputError, match="one venous pressure"):
        Segments.of_network(vessels, Boundary(90.0, MappingProxyType(mixed)))
