"""Shapes with a known truth: smooth random fields on a sphere, in four clusters, and gross errors on them."""

import numpy as np

VERTICES, SHAPES, MODES = 2000, 200, 25


def sphere(n=VERTICES):
    """Points (n, 3) spread evenly on a sphere of 40 mm."""
    k = np.arange(n) + 0.5
    z, turn = 1 - 2 * k / n, np.pi * (1 + 5**0.5) * k
    flat = np.sqrt(1 - z**2)
    return 40.0 * np.stack([flat * np.cos(turn), flat * np.sin(turn), z], 1)


def family(seed, count, *, noise=0.5, latent=0):
    """Return noisy shapes (count, n, 3), the same without noise; ``latent`` chooses the family."""
    fixed, random = np.random.default_rng(1000 + latent), np.random.default_rng(seed)
    points = sphere()
    seeds = points[fixed.integers(0, VERTICES, 60)]
    bumps = np.exp(-0.5 * ((points[:, None] - seeds[None]) ** 2).sum(2) / 22.0**2)
    modes = np.einsum("vs,msd->mvd", bumps, fixed.standard_normal((MODES, 60, 3)))
    modes /= np.sqrt((modes**2).sum(2).mean(1))[:, None, None]
    size = 5.0 * 0.93 ** np.arange(MODES)
    centres = fixed.standard_normal((4, MODES)) * size
    score = centres[random.integers(0, 4, count)] + 0.7 * random.standard_normal((count, MODES)) * size
    clean = points + np.einsum("sm,mvd->svd", score, modes)
    return clean + noise * random.standard_normal(clean.shape), clean


def damaged(random, shape, *, share=0.1, scattered=False):
    """Return a shape with gross errors of 10 to 20 mm, and where they are (n,)."""
    n = len(shape)
    count = int(share * n)
    where = np.zeros(n, bool)
    points = sphere(n)
    if scattered:
        where[random.choice(n, count, replace=False)] = True
        way = random.standard_normal((count, 3))
    else:
        centre = points[random.integers(n)]
        where[np.argsort(((points - centre) ** 2).sum(1))[:count]] = True
        way = np.repeat(random.standard_normal((1, 3)), count, 0)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    out = shape.copy()
    out[where] += way * random.uniform(10, 20, (count, 1))
    return out, where


def plain_l1(dictionary, shape, *, gross=4.0, rounds=150):
    """The baseline: one l1 norm over coordinates, no groups, no reweighting."""
    modes = dictionary.modes.astype(float)
    flat = (shape - dictionary.mean).ravel()
    z = modes.T @ flat
    for _ in range(rounds):
        left = flat - modes @ z
        limit = gross * np.median(np.abs(left)) / 0.6745
        z = modes.T @ (flat - np.sign(left) * np.maximum(np.abs(left) - limit, 0.0))
    return dictionary.mean + (modes @ z).reshape(-1, 3)


def mean_error(a, b):
    return float(np.linalg.norm(a - b, axis=1).mean())
