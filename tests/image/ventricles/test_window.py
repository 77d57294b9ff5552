"""The window: what is cut out goes back to where it came from."""

import numpy as np
import pytest

from carna.image.ventricles.window import Window


@pytest.mark.parametrize("step", [0.8, 1.0, 1.4, 2.0])
def test_labels_come_back_to_their_pixels(step):
    rows, columns = np.indices((200, 220))
    disc = np.hypot(rows - 90.3, columns - 120.8) < 25
    window = Window(95.0, 118.0, step, 128)
    cut = window.cut(disc[None].astype(np.float32))
    shares = np.stack([1 - cut, cut], 1)
    back = window.put(shares, disc.shape)[0]
    assert 2 * (back & disc).sum() / (back.sum() + disc.sum()) > 0.985
    middle = np.argwhere(back).mean(0)
    assert np.allclose(middle, np.argwhere(disc).mean(0), atol=0.15)


def test_a_window_beyond_the_picture_shows_its_rim_and_puts_nothing_there():
    picture = np.linspace(0, 1, 50, dtype=np.float32)[:, None] * np.ones((1, 60), np.float32)
    window = Window(5.0, 5.0, 1.0, 64)
    cut = window.cut(picture[None])[0]
    assert cut.shape == (64, 64)
    assert np.isfinite(cut).all()
    assert cut[0, 0] == pytest.approx(picture[0, 0])
    share = np.ones((1, 2, 64, 64), np.float32) * np.array([0.2, 0.8], np.float32)[:, None, None]
    put = window.put(share, (50, 60))[0]
    assert put[0, 0] == 1 and put[40:].max() == 0


def test_a_window_wholly_outside_puts_nothing():
    window = Window(500.0, 500.0, 1.0, 64)
    assert window.put(np.ones((1, 2, 64, 64), np.float32), (50, 60)).max() == 0
