"""Where the sector is on a screen with writing, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from carna.errors import InputError
from carna.image.echo import find_sector
from carna.phantom.echo import screen, virtual_pair


@pytest.fixture(scope="module")
def shown() -> np.ndarray:
    _, clips = virtual_pair()
    return screen(clips["4CH"])


def test_the_sector_is_found_and_the_writing_is_not(shown: np.ndarray) -> None:
    sector = find_sector(shown)
    assert abs(sector.top - 24) <= 3 and abs(sector.bottom - 216) <= 2
    assert sector.middle == pytest.approx(161.5, abs=3.0)
    assert not sector.mask[:, :60].any() and not sector.mask[:, 270:].any() and not sector.mask[222:].any()
    assert not sector.mask[:20].any()
    _, clips = virtual_pair()
    tissue = np.zeros(sector.mask.shape, bool)
    tissue[24:216, 66:258] = (clips["4CH"].pictures > 0).any(axis=0)
    assert (tissue & ~sector.mask).sum() < 0.03 * tissue.sum()


def test_colour_and_grey_give_one_sector(shown: np.ndarray) -> None:
    grey = np.where(np.ptp(shown, axis=-1) > 40, 0, shown[..., 0])
    a, b = find_sector(shown), find_sector(grey)
    assert (a.mask ^ b.mask).mean() < 0.01


def test_a_square_comes_back_to_its_place(shown: np.ndarray) -> None:
    sector = find_sector(shown)
    squares = sector.squares(128)
    assert squares.shape == (len(shown), 128, 128)
    back = sector.placed(squares[3][None])[0]
    inside = sector.mask.copy()
    inside[:, :90] = inside[:, 230:] = False
    assert np.corrcoef(back[inside], sector.grey[3][inside])[0, 1] > 0.9


def test_oblong_pixels_give_the_same_square(shown: np.ndarray) -> None:
    grey = np.repeat(shown, 2, axis=2)
    plain, wide = find_sector(shown), find_sector(grey, aspect=2.0)
    a, b = plain.squares(64)[0], wide.squares(64)[0]
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.97


def test_what_is_no_clip_is_refused(shown: np.ndarray) -> None:
    for frames, words in (
        (shown[:4], "8 frames"),
        (np.repeat(shown[:1], 10, axis=0), "nothing moves"),
        (np.zeros((10, 64, 64), np.uint8), "nothing moves"),
    ):
        with pytest.raises(InputError, match=words):
            find_sector(frames)
    moving = np.zeros((10, 200, 200), np.uint8)
    for t in range(10):
        moving[t, 90:100, 90 + t : 100 + t] = 200
    with pytest.raises(InputError, match=r"sector|nothing moves"):
        find_sector(moving)


def test_colour_doppler_is_refused(shown: np.ndarray) -> None:
    painted = shown.copy()
    for t in range(len(painted)):
        painted[t, 100:150, 140:190] = (200, 30 + t, 20)
    with pytest.raises(InputError, match="Doppler"):
        find_sector(painted)


def test_the_real_screen(data: Callable[[str], Path]) -> None:
    from pydicom import dcmread

    frames = dcmread(data("echo-cine-sample") / "examples_ybr_color.dcm").pixel_array
    sector = find_sector(frames)
    # Read from the picture by eye: probe at row 21, lowest tissue at row 201, between the columns 85 and 250.
    assert abs(sector.top - 21) <= 4 and abs(sector.bottom - 202) <= 3
    assert sector.middle == pytest.approx(170.0, abs=5.0)
    columns = np.flatnonzero(sector.mask.any(axis=0))
    assert columns[0] > 60 and columns[-1] < 275
