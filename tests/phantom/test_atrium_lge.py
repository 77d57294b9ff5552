"""Virtual late enhancement volumes of the atrium: what is labelled, where it lies, what it looks like."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from carna.phantom import atrium_lge
from carna.phantom.atrium_lge import SHAPE, Anatomy, anatomy_of, clutter, lesson, virtual_atrium
from carna.phantom.chambers import draw_whole
from carna.phantom.labels import LEFT_ATRIUM, MYOCARDIUM, RIGHT_ATRIUM
from carna.study import Image, fingerprint


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    random = np.random.default_rng(4)
    return anatomy_of(draw_whole(random, "normal"), random)


def test_the_atrium_is_one_body_of_a_plausible_size(anatomy: Anatomy) -> None:
    assert label(anatomy.atrium)[1] == 1
    assert 20.0 < anatomy.atrium.sum() * 8.0 / 1e3 < 230.0
    assert (anatomy.tissue[anatomy.depth_mm > 2.5] == LEFT_ATRIUM).all()


def test_neighbours_lie_where_they_do_in_a_chest(anatomy: Anatomy) -> None:
    """Axes: feet to head, front to back, right to left."""

    def middle(flags: np.ndarray) -> np.ndarray:
        return np.argwhere(flags).mean(0)

    atrium = middle(anatomy.atrium)
    assert middle(anatomy.tissue == RIGHT_ATRIUM)[2] < atrium[2] - 8
    assert middle(anatomy.tissue == MYOCARDIUM)[1] < atrium[1] - 5
    bone = middle(anatomy.tissue == atrium_lge._BONE)
    assert bone[1] > atrium[1] + 8 and abs(bone[2] - atrium[2]) < 15


def test_a_lesson_is_a_picture_of_the_anatomy(anatomy: Anatomy) -> None:
    for seed in range(4):
        made = lesson(anatomy, np.random.default_rng(seed))
        assert made.picture.shape == made.labels.shape == SHAPE and made.picture.dtype == np.float32
        assert made.picture.min() >= 0.0 and made.picture.max() <= 1.0
        assert set(np.unique(made.labels)) == {0, 1}
        ratio = made.labels.sum() * 2.5**3 / (anatomy.atrium.sum() * 8.0)
        assert 0.3 < ratio < 2.5
        assert (made.picture[made.labels == 1] > 0.0).mean() > 0.9


def test_one_seed_gives_one_picture_and_another_another(anatomy: Anatomy) -> None:
    a, b, c = (lesson(anatomy, np.random.default_rng(seed)).picture for seed in (7, 7, 8))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_clutter_is_a_picture_without_an_atrium() -> None:
    for seed in range(6):
        made = clutter(np.random.default_rng(seed))
        assert made.picture.shape == SHAPE and not made.labels.any()
        assert 0.0 <= made.picture.min() < made.picture.max() <= 1.0


def test_the_virtual_patient_is_recognised_as_late_enhancement() -> None:
    case, made = virtual_atrium()
    (image,) = case.studies[0].parts
    assert isinstance(image, Image) and image.grid.shape == made.labels.shape
    print_ = fingerprint(image)
    assert (print_.technique, print_.view, print_.modality) == ("LGE", "axial", "MR")
