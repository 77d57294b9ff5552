"""The reader of left atria: volumes in any order of axes, at any place, and pictures it must not read."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from carna.errors import InputError
from carna.image.atrium import Reader, left_atrium, upright
from carna.learn.agreement import dice
from carna.phantom.atrium_lge import virtual_atrium

MM = (2.5, 1.25, 1.25)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def test_any_order_of_axes_becomes_the_body_s() -> None:
    """A volume that holds its own LPS coordinates, stored in all 48 ways."""
    z, y, x = np.meshgrid(np.arange(4.0), np.arange(5.0), np.arange(6.0), indexing="ij")
    body = np.stack([x, y, z], axis=-1)
    columns = np.array([(0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)]).T
    for order in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            flipped = body[tuple(slice(None, None, s) for s in signs)]
            stored = flipped.transpose((*order, 3))
            directions = (columns * np.array(signs))[:, list(order)]
            turn = upright(directions)
            back = np.stack([turn.view(stored[..., n]) for n in range(3)], axis=-1)
            assert np.array_equal(back, body) and turn.tilt_deg == 0.0


def test_a_tilt_is_told() -> None:
    a = np.deg2rad(20.0)
    tilted = np.array([(0, 0, 1.0), (0, 1, 0), (1, 0, 0)]).T @ np.array(
        [(np.cos(a), -np.sin(a), 0), (np.sin(a), np.cos(a), 0), (0, 0, 1.0)]
    )
    assert upright(tilted).tilt_deg == pytest.approx(20.0)


def test_a_virtual_atrium_is_outlined(reader: Reader) -> None:
    _, made = virtual_atrium()
    seen = left_atrium(made.picture, MM, reader=reader)
    truth = made.labels > 0
    assert dice(seen.labels > 0, truth) > 0.8
    assert seen.ml == pytest.approx((seen.labels > 0).sum() * np.prod(MM) / 1e3)
    assert seen.range_ml[0] <= seen.ml * 1.02 and seen.range_ml[1] >= seen.ml * 0.98
    assert seen.agreement > 0.8 and 0.8 < seen.certainty <= 1.0 and seen.cut < 0.05


def test_brightness_and_place_do_not_matter(reader: Reader) -> None:
    """Ten times as bright, and set into a field of view twice as wide, off its middle."""
    _, made = virtual_atrium()
    here = left_atrium(made.picture, MM, reader=reader).labels
    bright = left_atrium(made.picture * 10.0 + 3.0, MM, reader=reader).labels
    assert dice(here > 0, bright > 0) > 0.99
    wide = np.pad(made.picture, ((0, 0), (20, 80), (90, 10)))
    there = left_atrium(wide, MM, reader=reader).labels
    assert dice(here > 0, there[:, 20:-80, 90:-10] > 0) > 0.85


def test_a_coarser_picture_gives_the_same_volume(reader: Reader) -> None:
    _, made = virtual_atrium()
    fine = left_atrium(made.picture, MM, reader=reader)
    coarse = left_atrium(made.picture[:, ::2, ::2], (2.5, 2.5, 2.5), reader=reader)
    assert coarse.ml == pytest.approx(fine.ml, rel=0.1)


@pytest.mark.parametrize(
    ("volume", "spacing"),
    [
        (np.zeros((40, 60, 60)), MM),
        (np.ones((10, 60, 60)), MM),
        (np.full((40, 60, 60), np.nan), MM),
        (np.ones((60, 60)), MM),
        (np.random.default_rng(0).random((40, 60, 60)), (9.0, 1.0, 1.0)),
    ],
)
def test_what_is_no_volume_is_refused(volume: np.ndarray, spacing: tuple[float, float, float]) -> None:
    with pytest.raises(InputError):
        left_atrium(volume, spacing)
