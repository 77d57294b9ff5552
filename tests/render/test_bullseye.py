"""The bull's-eye: where each segment lies, what is printed in it, what has no value."""

from __future__ import annotations

import numpy as np
import pytest

from carna import codes
from carna.findings import Curve, Field, Findings, Item, Manifest
from carna.render.bullseye_figures import _places, _scheme, draw_bullseyes, has_bullseyes
from carna.render.figures import to_png
from carna.render.words import Language, words

STRAIN = np.array(
    [-18.4, -17, -16, -19.2, -21, -20, -18, -17.5, -16, -2.1, -9, -20, -15, -14, -13, -16, np.nan]
)


def field(values: np.ndarray, id: str = "strain.cc.segments", times: np.ndarray | None = None) -> Field:
    return Field(
        id=id, code=codes.CIRCUMFERENTIAL_STRAIN, values=values, unit="%", on="AHA17", times_ms=times
    )


def said(*items: Item) -> Findings:
    return Findings("1.2", "p", items, Manifest("myocardial_strain", "1.0"))


def texts(figure) -> list[str]:
    return [t.get_text() for t in figure.axes[0].texts]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_segment_has_its_number_and_its_value(language: Language) -> None:
    figure = draw_bullseyes(said(field(STRAIN)), words(language))
    printed = texts(figure)
    assert {str(n) for n in range(1, 18)} <= set(printed)
    assert "-18" in printed and "-2.1" in printed and "nan" not in printed
    assert len(to_png(figure)) > 10_000


def test_what_was_not_measured_is_hatched() -> None:
    patches = draw_bullseyes(said(field(STRAIN)), words("en")).axes[0].patches
    assert [bool(p.get_hatch()) for p in patches] == [False] * 16 + [True]


def test_segments_lie_where_the_heart_association_puts_them() -> None:
    middle = {n + 1: (first + last) / 2 % 360 for n, (_, _, first, last) in enumerate(_places()[:16])}
    # Anterior above, septum left, inferior below, lateral right; base outside.
    assert middle[1] == 90 and middle[4] == 270 and middle[13] == 90 and middle[14] == 180 and middle[16] == 0
    assert 90 < middle[2] < 180 < middle[3] < 270 < middle[5] < 360 and 0 < middle[6] < 90
    assert _places()[0][0] > _places()[6][0] > _places()[12][0] > _places()[16][0] == 0


def test_more_work_is_darker_whatever_its_sign() -> None:
    for values in (-np.linspace(2, 25, 17), np.linspace(2, 60, 17)):
        scheme = _scheme(values)
        lightness = [float(np.dot(scheme.to_rgba(v)[:3], (0.3, 0.59, 0.11))) for v in values]
        assert (np.diff(lightness) < 0).all()


def test_a_course_or_nothing_is_no_bullseye() -> None:
    times = np.arange(3.0)
    assert not has_bullseyes(said(field(np.zeros((3, 17)), times=times)))
    curve = Curve(id="c", code=codes.RADIAL_STRAIN, x=times, y=times, x_unit="ms", y_unit="%")
    assert not has_bullseyes(said(curve)) and has_bullseyes(said(field(np.full(17, np.nan))))
    to_png(draw_bullseyes(said(field(np.full(17, np.nan))), words("en")))
