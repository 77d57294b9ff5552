"""Walls, QCA and vessels on pictures whose truth is a formula."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from carna.errors import InputError
from carna.image.angiography import find_contour, find_vessels, qca, scale
from carna.image.angiography.contour import unblurred

FINE = 5


def tube(radius, *, size=128, blur=1.0, noise=0.0, turn=0.4, depth=0.02):
    """Return a picture of a straight vessel through the middle, its radius given by place along it."""
    at = (np.arange(size * FINE) + 0.5) / FINE - 0.5 - (size - 1) / 2
    rows, columns = np.meshgrid(at, at, indexing="ij")
    off = rows * np.cos(turn) - columns * np.sin(turn)
    along = rows * np.sin(turn) + columns * np.cos(turn)
    chord = 2 * np.sqrt(np.maximum(radius(along) ** 2 - off**2, 0))
    light = np.exp(-depth * chord).reshape(size, FINE, size, FINE).mean(axis=(1, 3))
    picture = 200 * gaussian_filter(light, blur)
    return picture + np.random.default_rng(0).normal(0, noise, picture.shape)


def course(half=40.0, *, size=128, turn=0.4, off=0.0):
    s = np.linspace(-half, half, 81)
    middle = (size - 1) / 2
    return np.stack(
        [middle + s * np.sin(turn) + off * np.cos(turn), middle + s * np.cos(turn) - off * np.sin(turn)],
        axis=1,
    )


@pytest.mark.parametrize("radius", [2.0, 3.0, 5.0, 8.0])
@pytest.mark.parametrize("off", [0.0, 1.0])
def test_radius_of_a_tube_within_a_fifth_of_a_pixel(radius, off):
    picture = tube(lambda s: np.full_like(s, radius), noise=1.0)
    found = find_contour(picture, course(off=off), radius_px=1.3 * radius)
    inner = slice(20, -20)
    assert abs(found.radius_px[inner].mean() - radius) < 0.2
    distance = (found.middle[inner] - 63.5) @ [np.cos(0.4), -np.sin(0.4)]
    assert np.abs(distance).max() < 0.5
    # Seen walls of a wide vessel lie inside the true ones: that is what the correction is for.
    if radius >= 5:
        seen = np.linalg.norm(found.left - found.right, axis=1)[inner].mean() / 2
        assert seen < radius - 0.4


def test_the_blur_correction_inverts_the_blurred_profile():
    x = np.arange(-40, 40, 0.01)
    for radius, blur in ((1.5, 1.0), (4.0, 1.3), (10.0, 0.8)):
        profile = gaussian_filter(2 * np.sqrt(np.maximum(radius**2 - x**2, 0)), blur / 0.01)
        steepest = abs(x[np.argmin(np.gradient(profile))])
        assert unblurred([steepest], blur)[0] == pytest.approx(radius, abs=0.03)


@pytest.mark.parametrize("lost", [0.3, 0.5, 0.7])
def test_percent_stenosis_and_reference_of_a_cosine(lost):
    def radius(s):
        near = np.abs(s) < 12
        return 7.0 * (1 - 0.001 * s) * np.where(near, 1 - lost / 2 * (1 + np.cos(np.pi * s / 12)), 1.0)

    found = qca(
        tube(radius, noise=1.0), course(half=50), radius_px=8.0, mm=scale(pitch_mm=0.3, magnification=1.5)
    )
    # A cosine of 24 pixels that loses 70 % is as steep as it gets: it is rounded off.
    assert found.diameter_stenosis == pytest.approx(lost, abs=0.04 if lost < 0.7 else 0.06)
    assert found.reference_at_throat_px == pytest.approx(14.0, abs=0.4)
    assert found.reference_mm == pytest.approx(2.8, abs=0.1)
    assert found.minimal_mm == pytest.approx(2.8 * (1 - lost), abs=0.18)
    assert found.area_stenosis == pytest.approx(1 - (1 - found.diameter_stenosis) ** 2)
    assert found.densitometric_area_stenosis == pytest.approx(1 - (1 - lost) ** 2, abs=0.12)
    # 10 % is lost within this much of the cosine.
    length = 24 * np.arccos(2 * 0.1 / lost - 1) / np.pi
    assert found.length_px == pytest.approx(length, abs=4)
    assert abs(found.contour.along_px[found.throat] - 50) < 3


def test_without_a_scale_there_are_no_millimetres_but_a_percentage():
    found = qca(tube(lambda s: 6 - 3 * np.exp(-((s / 6) ** 2))), course(half=50))
    assert found.minimal_mm is found.reference_mm is found.length_mm is None
    assert "neither" in found.scale.how
    assert 0.4 < found.diameter_stenosis < 0.6


def test_a_healthy_vessel_has_little_to_lose():
    found = qca(tube(lambda s: np.full_like(s, 6.0), noise=2.0), course(half=50))
    assert found.diameter_stenosis < 0.08


def test_courses_that_cant_be_measured_are_refused():
    picture = tube(lambda s: np.full_like(s, 5.0))
    with pytest.raises(InputError, match="leaves"):
        find_contour(picture, course() + 100)
    with pytest.raises(InputError, match="pixels"):
        find_contour(picture, [[50, 50], [50, 53]])
    with pytest.raises(InputError, match="shape"):
        find_contour(picture, [50, 50])


def test_vessels_are_found_and_the_collimator_is_not_one():
    picture = tube(lambda s: np.full_like(s, 4.0), size=256, noise=2.0)
    truth = tube(lambda s: np.full_like(s, 4.0), size=256, blur=0.01) < 199
    rows, columns = np.mgrid[:256, :256]
    dark = np.hypot(rows - 127.5, columns - 127.5) > 140
    found = find_vessels(np.where(dark, 10.0, picture))
    lit = truth & ~found.blocked
    assert (found.mask & lit).sum() / lit.sum() > 0.9
    assert not (found.mask & dark).any()
    assert (found.mask & ~truth).sum() < 0.7 * lit.sum()
    assert found.blocked[0, 0] and not found.blocked[128, 128]


def test_larger_pictures_give_the_same_vessels():
    picture = tube(lambda s: np.full_like(s, 4.0), size=320, noise=2.0)
    small = find_vessels(picture).mask
    again = find_vessels(np.kron(picture, np.ones((2, 2)))).mask[::2, ::2]
    assert 2 * (small & again).sum() / (small.sum() + again.sum()) > 0.85


def test_noise_alone_is_no_vessel():
    noise = np.random.default_rng(1).normal(100, 5, (256, 256))
    assert not find_vessels(noise).mask.any()


@pytest.mark.parametrize(
    "frame", [np.zeros((300, 300)), np.ones((8, 8)), np.full((100, 100), np.nan), np.zeros((3, 100, 100))]
)
def test_what_is_no_picture_is_refused(frame):
    with pytest.raises(InputError):
        find_vessels(frame)
