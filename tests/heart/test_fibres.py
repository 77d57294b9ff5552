import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from carna.errors import InputError
from carna.heart.anatomy import SEPTUM, Anatomy
from carna.heart.fibres import BAYER, DOSTE, Angles, fibres
from carna.heart.ventricles import ventricles, ventricles_of
from carna.space import Grid, rotation


def between_deg(a, b):
    """Angle between lines, 0 to 90 degrees."""
    return np.degrees(np.arccos(np.clip(np.abs((a * b).sum(-1)), 0, 1)))


def wall_frame(heart, one):
    """Around, up and out at every voxel of the left wall, from the ellipsoids' formulas; heart axes."""
    x, y, z = heart.axes.to_heart(heart.points_lps).T
    r, e = np.hypot(x, y), heart.at.transmural[:, None]

    def normal(radius, end):
        n = np.stack([r / radius**2, (z - one.equator_mm) / (end - one.equator_mm) ** 2], axis=1)
        return n / np.linalg.norm(n, axis=1)[:, None]

    n = (1 - e) * normal(one.radius_mm, one.length_mm)
    n = n + e * normal(one.radius_mm + one.lv_wall_mm, one.span_mm)
    n /= np.linalg.norm(n, axis=1)[:, None]
    out = np.stack([n[:, 0] * x / r, n[:, 0] * y / r, n[:, 1]], axis=1)
    up = np.array([0, 0, -1.0]) + out[:, 2:] * out
    up /= np.linalg.norm(up, axis=1)[:, None]
    return np.cross(up, out), up, out, z


def in_heart(heart, vectors):
    """Vectors of grid axes in the heart's axes."""
    return vectors @ heart.grid.axes.T @ heart.axes.matrix.T


def test_helix_angles_of_an_ellipsoid(heart):
    one = Anatomy()
    around, up, _, z = wall_frame(heart, one)
    f = in_heart(heart, heart.fibre)
    sign = np.where((f * around).sum(1) < 0, -1, 1)
    helix = np.degrees(np.arctan2(sign * (f * up).sum(1), sign * (f * around).sum(1)))
    rule = 60 - 120 * heart.at.transmural
    seam = np.abs(np.abs(heart.at.rotational) - np.radians(one.insertion_deg)) < np.radians(15)
    body = ~heart.at.right & ~seam & (z < 0.9 * one.length_mm)
    error = (helix - rule + 90)[body] % 180 - 90
    assert np.percentile(np.abs(error), 95) < 5
    for shallow in np.arange(0, 1, 0.1):  # the profile across the wall, tenth by tenth
        layer = (heart.at.transmural[body] >= shallow) & (heart.at.transmural[body] < shallow + 0.1)
        assert abs(np.median(error[layer])) < 2
        assert np.abs(error[layer]).mean() < 5


def test_unit_length_and_right_angles(heart):
    for v in (heart.fibre, heart.sheet):
        assert np.abs((v.astype(float) ** 2).sum(1) - 1).max() < 1e-5
    assert np.abs((heart.fibre * heart.sheet).sum(1)).max() < 1e-5


def test_inner_fibres_are_right_handed_helices(heart):
    """Walking along a subendocardial fibre turns right-handed about the axis to the apex as it advances."""
    place = heart.axes.to_heart(heart.points_lps)
    f = in_heart(heart, heart.fibre)
    turn = np.cross([0, 0, 1.0], place)  # right-handed about z
    handed = (f * turn).sum(1) * f[:, 2]
    free = ~heart.at.right & (np.abs(heart.at.rotational) > np.radians(90)) & (place[:, 2] < 70)
    assert (handed[free & (heart.at.transmural < 0.3)] > 0).mean() > 0.99
    assert (handed[free & (heart.at.transmural > 0.7)] < 0).mean() > 0.99


def test_a_mirrored_grid_does_not_mirror_the_heart(heart):
    affine = heart.grid.affine.copy()
    affine[:3, 3] = heart.grid.to_world((0, 0, heart.grid.shape[2] - 1))
    affine[:3, 2] *= -1
    flipped = ventricles_of(heart.labels[:, :, ::-1].copy(), Grid(heart.grid.shape, affine), heart.axes)
    a, b = heart.fibres @ heart.grid.axes.T, flipped.fibres[:, :, ::-1] @ flipped.grid.axes.T
    assert np.percentile(between_deg(a[heart.mask], b[heart.mask]), 99.9) < 1


def test_an_oblique_grid_gives_the_same_fibres():
    one = Anatomy()
    plain = ventricles(one, spacing_mm=1.0)
    shape = (190, 190, 190)
    affine = plain.grid.moved(rotation((1, -2, 0.5), 27)).affine.copy()
    affine[:3, 3] = plain.grid.centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    oblique = ventricles(one, grid=Grid(shape, affine))
    # Fibres have no sign: their tensors are interpolated, where all eight neighbours are muscle.
    tensor = plain.fibres[..., :, None] * plain.fibres[..., None, :]
    index = plain.grid.to_index(oblique.points_lps).T
    inside = map_coordinates(plain.mask.astype(float), index, order=1) > 0.999
    mean = np.empty((int(inside.sum()), 3, 3))
    for i, j in np.ndindex(3, 3):
        mean[:, i, j] = map_coordinates(tensor[..., i, j], index[:, inside], order=1)
    main = np.linalg.eigh(mean)[1][:, :, 2]
    off = between_deg(oblique.fibre[inside] @ oblique.grid.axes.T, main @ plain.grid.axes.T)
    assert inside.mean() > 0.5 and np.median(off) < 2 and np.percentile(off, 95) < 6


def jumps_deg(heart, chosen):
    """Angles between the fibres of neighbouring voxels that are both chosen."""
    field, keep = heart.fibres, heart.spread(chosen)
    for a in range(3):
        one = np.moveaxis(field, a, 0), np.moveaxis(keep, a, 0)
        both = one[1][1:] & one[1][:-1]
        yield between_deg(one[0][1:], one[0][:-1])[both]


def test_no_jumps_across_the_septum_or_at_the_seam():
    heart = ventricles(spacing_mm=0.6)
    septum = heart.labels.ravel()[heart.at.where] == SEPTUM
    inside = septum & (np.abs(heart.at.rotational) < np.radians(40)) & (heart.at.apicobasal > 0.35)
    inside &= heart.at.apicobasal < 0.9  # above, the outflow stands on it
    per_voxel = 120 / Anatomy().lv_wall_mm * 0.6
    assert max(j.max() for j in jumps_deg(heart, inside)) < 1.6 * per_voxel
    near = np.abs(np.abs(heart.at.rotational) - np.radians(66)) < np.radians(20)
    near &= (heart.at.apicobasal > 0.25) & (heart.at.apicobasal < 0.95)
    assert max(np.percentile(j, 99) for j in jumps_deg(heart, near)) < 45


def test_other_angles(heart):
    for angles in (BAYER, DOSTE):
        fibre, _ = fibres(heart.at, heart.grid, heart.axes, angles)
        around, up, _, z = wall_frame(heart, Anatomy())
        f = in_heart(heart, fibre)
        free = ~heart.at.right & (np.abs(heart.at.rotational) > np.radians(90)) & (z < 60)
        for layer, angle in ((0.05, angles.lv_endo), (0.95, angles.lv_epi)):
            here = free & (np.abs(heart.at.transmural - layer) < 0.05)
            steep = np.degrees(np.arctan(((f * up).sum(1) / (f * around).sum(1))[here]))
            expected = angles.lv_endo + (angles.lv_epi - angles.lv_endo) * layer
            assert np.median(steep) == pytest.approx(expected, abs=3), angle


def test_sheets_without_an_angle_lie_across_the_wall(heart):
    flat = Angles(lv_sheet_endo=0, lv_sheet_epi=0, rv_sheet_endo=0, rv_sheet_epi=0)
    _, sheet = fibres(heart.at, heart.grid, heart.axes, flat)
    _, _, out, z = wall_frame(heart, Anatomy())
    free = ~heart.at.right & (np.abs(heart.at.rotational) > np.radians(90)) & (z < 80)
    assert np.percentile(between_deg(in_heart(heart, sheet)[free], out[free]), 95) < 8


def test_angles_out_of_range_are_refused():
    with pytest.raises(InputError, match="lv_endo"):
        Angles(lv_endo=120)
