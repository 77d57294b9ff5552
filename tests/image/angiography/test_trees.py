"""Trees from one view and two, and their refusals: on projections of a curve whose truth is a formula."""

from dataclasses import replace

import numpy as np
import pytest

from carna.errors import InputError
from carna.image.angiography import Drawn, View, planar_tree, trace, tree_from_views

VIEW = View(-30, 20, 1100, 750, 0.3, (512, 512))
OTHER = replace(VIEW, primary_deg=40, secondary_deg=-10)
S = np.linspace(0, 1, 120)
MAIN = np.stack([40 * S - 20, 18 * np.sin(3 * S), 40 - 80 * S], axis=1)
SIDE = MAIN[40] + np.linspace(0, 1, 60)[1:, None] * np.array([-25.0, 12.0, -25.0])


def drawn(view, shift=(0.0, 0.0), noise=0.0):
    """Return the curve as a perfect hand would draw it."""
    points = np.concatenate([MAIN, SIDE])
    parent = np.concatenate([np.arange(-1, 119), [40], np.arange(120, 178)])
    pixels = view.project(points) + shift
    pixels = pixels + np.random.default_rng(0).normal(0, noise, pixels.shape)
    radius = 1.5 * view.sid_mm / view.depth_mm(points) / view.pitch_mm
    return Drawn(pixels, radius, parent, (119, 178))


def test_two_perfect_drawings_give_the_curve_back():
    built = tree_from_views(drawn(VIEW), VIEW, drawn(OTHER), OTHER)
    off = np.linalg.norm(built.tree.points - np.concatenate([MAIN, SIDE]), axis=1)
    assert off.mean() < 0.15 and off.max() < 1.0
    np.testing.assert_allclose(built.tree.radius_mm, 1.5, atol=0.01)
    assert not built.planar and built.off_px < 0.5 and not built.notes


def test_a_moved_table_is_found_out_across_the_epipolar_lines():
    built = tree_from_views(drawn(VIEW), VIEW, drawn(OTHER, shift=(9.0, 0.0)), OTHER)
    assert built.shift_px[0] == pytest.approx(-9, abs=2)
    assert "moved" in built.notes[0]
    off = np.linalg.norm(built.tree.points - np.concatenate([MAIN, SIDE]), axis=1)
    assert off.mean() < 1.0


def test_an_unsteady_hand_costs_less_than_its_noise():
    built = tree_from_views(drawn(VIEW, noise=1.0), VIEW, drawn(OTHER, noise=1.0), OTHER)
    assert np.linalg.norm(built.tree.points - np.concatenate([MAIN, SIDE]), axis=1).mean() < 0.5


def test_one_view_is_flat_short_and_says_so():
    flat = planar_tree(drawn(VIEW), VIEW)
    assert flat.planar and flat.off_px is None and "flat" in flat.notes[0]
    depth = (flat.tree.points - VIEW.isocentre) @ VIEW.axes[2]
    np.testing.assert_allclose(depth, 0, atol=1e-9)
    whole = tree_from_views(drawn(VIEW), VIEW, drawn(OTHER), OTHER)
    assert flat.tree.length_mm < whole.tree.length_mm
    np.testing.assert_allclose(VIEW.project(flat.tree.points), drawn(VIEW).pixels, atol=1e-9)


def test_views_too_close_ends_that_differ_and_strangers_are_refused():
    close = replace(VIEW, primary_deg=-10)
    with pytest.raises(InputError, match="degrees apart"):
        tree_from_views(drawn(VIEW), VIEW, drawn(close), close)
    opposite = replace(VIEW, primary_deg=150, secondary_deg=-20)
    with pytest.raises(InputError, match="degrees apart"):
        tree_from_views(drawn(VIEW), VIEW, drawn(opposite), opposite)
    fewer = drawn(OTHER)
    with pytest.raises(InputError, match="2 ends in one view and 1"):
        tree_from_views(drawn(VIEW), VIEW, Drawn(fewer.pixels, fewer.radius_px, fewer.parent, (119,)), OTHER)
    swapped = Drawn(fewer.pixels, fewer.radius_px, fewer.parent, (178, 119))
    with pytest.raises(InputError, match="epipolar"):
        tree_from_views(drawn(VIEW), VIEW, swapped, OTHER)


def test_a_drawn_fork_is_traced_between_its_marks():
    rows, columns = np.mgrid[:256, :256]
    picture = np.full((256, 256), 180.0)
    for (r0, c0), (r1, c1) in (((30, 128), (230, 128)), ((110, 128), (200, 210))):
        way = np.array([r1 - r0, c1 - c0], float)
        share = np.clip(((rows - r0) * way[0] + (columns - c0) * way[1]) / (way @ way), 0, 1)
        off = np.hypot(rows - r0 - share * way[0], columns - c0 - share * way[1])
        picture -= 10 * np.sqrt(np.maximum(25 - off**2, 0)) * (picture > 170)
    found = trace(picture, (34, 127), [(226, 129), (196, 206)])
    assert found.parent[0] == -1 and (found.parent[1:] < np.arange(1, len(found.parent))).all()
    main, side = (found.pixels[found.path(n)] for n in range(2))
    assert np.abs(main[5:-5, 1] - 128).max() < 1.5
    np.testing.assert_allclose(main[[0, -1]], [[34, 128], [226, 128]], atol=3)
    np.testing.assert_allclose(side[-1], [196, 206], atol=4)
    assert np.median(found.radius_px) == pytest.approx(5, abs=0.6)


@pytest.mark.parametrize(
    ("ends", "words"), [([], "0 ends"), ([(400.0, 5.0)], "outside"), ([(12.0, 12.0)], "pixels apart")]
)
def test_marks_that_make_no_tree_are_refused(ends, words):
    picture = np.random.default_rng(0).normal(100, 5, (128, 128))
    with pytest.raises(InputError, match=words):
        trace(picture, (10.0, 10.0), ends)
