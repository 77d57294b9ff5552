"""Features of trust against networks whose answers are known."""

import numpy as np
import pytest

from carna.image.ventricles import LV, MYOCARDIUM, POOR, RV, Ventricles, trust
from carna.image.ventricles.trust import FEATURES, Trust, read
from carna.image.ventricles.window import Window

SIDE = 64


class Outliner:
    """Knows each class by its brightness; ``blind`` to the cavity in the upright form alone."""

    side = SIDE

    def __init__(self, blind=False):
        self.blind = blind

    def shares(self, pictures):
        said = np.rint(pictures).astype(int)
        if self.blind and pictures[0, 0, 0] == 0.4:  # the marked corner is where it is upright
            said = np.where(said == 3, 2, said)
        return np.moveaxis(np.eye(4, dtype=np.float32)[said], -1, 1)


class Measurer:
    """Says the area of each class, times a factor."""

    side = SIDE

    def __init__(self, factor=1.0):
        self.factor = factor

    def numbers(self, pictures):
        said = np.rint(pictures).astype(int)
        out = np.ones((len(pictures), 13))
        for n, label in enumerate((3, 2, 1)):
            out[:, n] = self.factor * (said == label).sum((1, 2))
        out[:, 12] = np.where((said == 3).any((1, 2)), 9.0, -9.0)
        return out


def heart(radii=(12.0, 12.0, 12.0, 12.0)):
    rows, columns = np.indices((SIDE, SIDE)) - 31.5
    labels = np.zeros((2, len(radii), SIDE, SIDE), np.uint8)
    for k, radius in enumerate(radii):
        labels[:, k][:, np.hypot(rows, columns + 24) < 6] = RV
        labels[:, k][:, np.hypot(rows, columns) < radius + 5] = MYOCARDIUM
        labels[:, k][:, np.hypot(rows, columns) < radius] = LV
    frames = labels.astype(np.float32)
    frames[..., 0, 0] = 0.4
    window = Window(31.5, 31.5, 1.0, SIDE)
    level = np.full(labels.shape[:2], 0.95, np.float32)
    return frames, Ventricles(labels, level, np.zeros_like(level), window, None)


def found(frames, seen, network, second):
    return dict(zip(FEATURES, read(frames, seen, network, second, 0).features[LV], strict=True))


def test_where_all_agree_nothing_is_in_doubt():
    frames, seen = heart()
    one = found(frames, seen, Outliner(), Measurer())
    assert one["agreement"] == one["expected"] == pytest.approx(np.log(199))
    assert one["spread"] == pytest.approx(np.log(0.01))
    assert one["uneven"] == pytest.approx(np.log(0.02))
    assert one["bright wall"] == pytest.approx(np.log(0.02))
    assert one["second opinion"] == pytest.approx(np.log(0.01))
    assert one["size"] == pytest.approx(np.log(np.pi * 144 + 10), abs=0.02)


def test_a_turned_reading_that_differs_is_noticed():
    frames, seen = heart()
    one = found(frames, seen, Outliner(blind=True), Measurer())
    assert one["agreement"] < -3
    assert one["spread"] > 0
    assert one["expected"] == pytest.approx(np.log(6), abs=0.05)  # three of four: 2 * 3/4 / (1 + 3/4)


def test_the_second_opinion_counts_how_far_it_is():
    frames, seen = heart()
    one = found(frames, seen, Outliner(), Measurer(3.0))
    area = (seen.labels[0] == LV).sum()
    assert one["second opinion"] == pytest.approx(np.log(2 * area / (4 * area + 50) + 0.01), abs=1e-6)


def test_a_crooked_run_and_a_bright_wall_are_noticed():
    even, uneven = (heart(r) for r in ((12.0, 11.0, 10.0, 9.0), (12.0, 5.0, 12.0, 5.0)))
    first, second = (found(*h, Outliner(), Measurer())["uneven"] for h in (even, uneven))
    assert second > first + 1
    frames, seen = heart()
    frames[:, :, 31:33, 44:48] = 3.0  # blood within what is called wall
    assert found(frames, seen, Outliner(), Measurer())["bright wall"] > np.log(0.03)


def test_trust_says_where_the_two_part():
    frames, seen = heart((12.0, 12.0, 6.0))
    one = trust(frames, seen, Outliner(), Measurer(1.5))
    np.testing.assert_allclose(one.apart, [0.5, 0.5, 0.125], atol=0.02)
    assert one.lvef == pytest.approx(0.0)
    assert one.dice[LV] > POOR
    assert not one.poor


def test_no_ventricle_no_trust():
    frames, seen = heart()
    seen.labels[:] = 0
    one = trust(frames, seen, Outliner(), Measurer())
    assert isinstance(one, Trust)
    assert one.poor
    assert np.isnan(one.lvef)
