"""The suite's own measures, and its numbers: on a few virtual patients, and on the real set."""

import numpy as np
import pytest

from carna.learn.angiography import REAL, dice, frangi, lesion_rows, otsu, real
from carna.learn.evaluate import SUITES


def test_the_suite_is_registered():
    assert SUITES["angiography"] == "carna.learn.angiography"


def test_dice_of_the_same_of_strangers_and_of_halves():
    a = np.zeros((4, 4), bool)
    a[:2] = True
    assert dice(a, a) == 1 and dice(a, ~a) == 0
    half = a.copy()
    half[1] = False
    assert dice(half, a) == pytest.approx(2 * 4 / 12)


def test_otsu_parts_two_heaps():
    draws = np.random.default_rng(0)
    both = np.concatenate([draws.normal(0, 1, 5000), draws.normal(10, 1, 2000)])
    assert 3 < otsu(both) < 7


def test_frangi_answers_to_dark_lines_only():
    picture = np.full((64, 64), 100.0)
    picture[:, 30:35] = 50
    picture[10:15] += 50
    answer = frangi(picture, (2, 3))
    assert answer[40, 32] > 0.5 > answer[12, 50]


@pytest.mark.slow
def test_percent_stenosis_on_a_few_virtual_lesions():
    rows = {(row.task, row.metric): row.value for row in lesion_rows(range(3000, 3012))}
    assert abs(rows["diameter stenosis", "bias"]) < 0.04
    assert rows["minimal lumen diameter", "mae"] < 0.25


@pytest.mark.data
def test_vessels_on_real_angiograms_beat_frangi_at_its_best(data):
    from carna.image.angiography import find_vessels

    pictures = list(real(data(REAL)))
    assert len(pictures) == 53
    some = pictures[::5]
    ours = np.mean([dice(find_vessels(frame).mask, mask) for frame, mask in some])
    best = np.mean(
        [dice((v := frangi(frame)) > np.quantile(v, 1 - mask.mean()), mask) for frame, mask in some]
    )
    assert ours > 0.68 and ours > best + 0.05
