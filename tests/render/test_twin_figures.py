"""The picture of an ensemble: drawn with and without circuits, the view from the side of the scar."""

from __future__ import annotations

import numpy as np
import pytest

from carna import codes
from carna.findings import Field, Findings, Interval, Item, Manifest, Measurement, Shape
from carna.heart.skin import skin
from carna.render.figures import to_png
from carna.render.twin_figures import _View, draw_twin, has_twin
from carna.render.words import Language, words
from carna.space import Grid, Surface

GRID = Grid((24, 24, 24), np.diag([1.0, 1.0, 1.0, 1.0]))


@pytest.fixture(scope="module")
def ball() -> Surface:
    return skin(((np.indices(GRID.shape) - 11.5) ** 2).sum(axis=0) < 81.0, GRID)


def share(id: str, code: codes.Concept, value: float) -> Measurement:
    return Measurement(id=id, code=code, value=value, unit="1", uncertainty=Interval(0.0, 1.0))


def said(*items: Item) -> Findings:
    return Findings("1.2", "p", items, Manifest("ep_twin", "1.0"))


def test_the_view_is_from_the_side_of_the_scar(ball: Surface) -> None:
    side = np.array([0.0, -1.0, 0.0])  # anterior
    scar = ((ball.points - ball.points.mean(axis=0)) @ side > 6.0).astype(float)
    view = _View(ball, scar)
    assert view.towards @ side > 0.99
    assert view.letters() == ("R", "L", "H", "F")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_is_drawn_with_and_without_circuits(ball: Surface, language: Language) -> None:
    shape = Shape(id="heart", code=codes.VENTRICLES, shape=ball)
    scar = Field(id="heart.scar", code=codes.SCAR, values=np.zeros(len(ball.points)), unit="1", on="heart")
    none = said(share("reentry", codes.MODEL_REENTRY, 0.0), shape, scar)
    lap = Field(
        id="circuit1.activation",
        code=codes.ACTIVATION_TIME,
        values=ball.points[:, 2] * 20.0,
        unit="ms",
        on="heart",
    )
    one = said(share("reentry", codes.MODEL_REENTRY, 0.5), share("circuit1.share", codes.MODEL_CIRCUIT, 0.5),
               shape, scar, lap)  # fmt: skip
    sizes = [len(to_png(draw_twin(found, words(language)))) for found in (none, one)]
    assert has_twin(none) and 5_000 < sizes[0] < sizes[1]


def test_without_a_share_there_is_no_picture() -> None:
    assert not has_twin(said())
