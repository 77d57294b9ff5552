"""The atlas that comes with the package, and its distances."""

import json
from functools import cache
from importlib.resources import files

import numpy as np
import pytest

from carna.errors import InputError
from carna.learn.shape_atlas import PHASE, atlas, vertices_of
from carna.phantom.heart import Heart
from carna.phantom.people import draw_heart
from carna.shape.atlas import FORMAT, MOMENTS, Atlas, load
from carna.shape.template import VERTICES


@cache
def strangers():
    random = np.random.default_rng(900)
    return tuple(draw_heart(random) for _ in range(15))


def test_unseen_virtual_hearts_are_in_its_modes():
    kept = load()
    for moment in MOMENTS:
        off = []
        for heart in strangers():
            truth = vertices_of(heart, PHASE[moment])
            off.append(np.linalg.norm(kept.shape(kept.coefficients_of(truth)) - truth, axis=1).mean())
        assert np.mean(off) < 0.2 and max(off) < 0.8


def test_its_modes_are_orthonormal_and_its_card_is_of_it():
    kept = load()
    np.testing.assert_allclose(kept.modes.T @ kept.modes, np.eye(kept.modes.shape[1]), atol=1e-5)
    card = json.loads((files("carna") / "models" / "heart_atlas.json").read_text())
    assert card["format"] == FORMAT and card["vertices"] == VERTICES
    assert card["modes"] == kept.modes.shape[1]
    assert card["never_made_of"] == "patients"
    assert (files("carna") / "models" / "heart_atlas.npz").stat().st_size < 400_000  # type: ignore[attr-defined]


def test_distance_is_that_of_a_gaussian():
    """Of shapes drawn from the very distribution, the squared distance has the mean of the modes' number."""
    random = np.random.default_rng(1)
    fixed = random.standard_normal((3 * 50, 4))
    shapes = (random.standard_normal((400, 4)) * (30.0, 20.0, 12.0, 8.0)) @ fixed.T
    made = Atlas.of({m: shapes.reshape(-1, 50, 3) for m in MOMENTS}, rank=4)
    new = ((random.standard_normal((500, 4)) * (30.0, 20.0, 12.0, 8.0)) @ fixed.T).reshape(-1, 50, 3)
    squares = [made.distance(s, "ED") ** 2 for s in new]
    assert np.mean(squares) == pytest.approx(4.0, rel=0.1)


def test_a_heart_no_one_has_is_far_away():
    kept = load()
    usual = [kept.distance(vertices_of(h, 0.0), "ED") for h in strangers()]
    odd = vertices_of(Heart(edv_ml=340.0, elongation=1.3, wall_mm=19.0, ef=0.3, rv_edv_ml=480.0), 0.0)
    assert kept.distance(odd, "ED") > 1.5 * max(usual)
    assert kept.share_beyond(kept.distance(odd, "ED"), "ED") == 0.0
    assert 0.5 < kept.share_beyond(float(np.median(usual)) * 0.8, "ED") <= 1.0
    # A heart that is full is none at end-systole.
    full = [vertices_of(heart, 0.0) for heart in strangers()]
    assert np.mean([kept.distance(s, "ES") > kept.distance(s, "ED") for s in full]) > 0.7


def test_it_is_made_again_from_its_recipe():
    small = atlas(40, rank=24)
    kept = load()
    # The widest modes of few hearts and of many are the same directions.
    overlap = np.linalg.svd(small.modes[:, :3].T @ kept.modes[:, :6], compute_uv=False)
    assert overlap.min() > 0.9


def test_faults_are_named():
    kept = load()
    with pytest.raises(InputError):
        kept.distance(np.zeros((3, 3)), "ED")
    bare = Atlas(kept.mean, kept.modes, kept.coefficients, dict.fromkeys(MOMENTS, np.empty(0)))
    with pytest.raises(InputError):
        bare.share_beyond(1.0, "ED")
