"""What goes wrong in a cine: named faults, put into any stack of frames.

Each takes frames (t, k, r, c) of any brightness and a strength (0 none, 1 as bad as is ever sent to be
read), and returns frames of the same shape. The outlines stay where they were: a fault spoils the picture,
not the heart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.float32]
Fault = Callable[[Frames, float, np.random.Generator], Frames]


def noise(frames: Frames, strength: float, random: np.random.Generator) -> Frames:
    """Rician noise up to 0.3 of the bright end."""
    sd = 0.3 * strength * float(np.percentile(frames, 99.0))
    real = frames + sd * random.standard_normal(frames.shape)
    return np.hypot(real, sd * random.standard_normal(frames.shape)).astype(np.float32)


def blur(frames: Frames, strength: float, random: np.random.Generator) -> Frames:
    """Breathing during the shot: blur of up to 4 pixels along a line."""
    from scipy.ndimage import gaussian_filter1d

    axis = 2 + int(random.integers(2))
    return np.asarray(gaussian_filter1d(frames, 4.0 * strength + 1e-3, axis=axis), np.float32)


def ghost(frames: Frames, strength: float, random: np.random.Generator) -> Frames:
    """A shifted copy along the phase-encoding axis, up to 0.6 as bright."""
    shift = int(random.integers(15, frames.shape[2] // 2))
    return (frames + 0.6 * strength * np.roll(frames, shift, axis=2)).astype(np.float32)


def shading(frames: Frames, strength: float, random: np.random.Generator) -> Frames:
    """A coil at one side: brightness falls up to a hundredfold across the picture."""
    turn = random.uniform(0, 2 * np.pi)
    rows, columns = (np.linspace(-1, 1, n) for n in frames.shape[2:])
    along = np.sin(turn) * rows[:, None] + np.cos(turn) * columns[None]
    return np.asarray(frames * np.exp(2.3 * strength * along), np.float32)


def gating(frames: Frames, strength: float, random: np.random.Generator) -> Frames:
    """An irregular rhythm: rows of the picture come from other moments of the beat."""
    out = frames.copy()
    swapped = random.random(frames.shape[2]) < 0.5 * strength
    out[:, :, swapped] = frames[::-1][:, :, swapped]
    return out


def shifted(frames: Frames, strength: float, random: np.random.Generator) -> Frames:
    """Breath-holds of different depth: each slice lies up to 15 pixels elsewhere."""
    out = np.empty_like(frames)
    for k in range(frames.shape[1]):
        by = tuple(round(15 * strength * float(x)) for x in random.uniform(-1, 1, 2))
        out[:, k] = np.roll(frames[:, k], by, axis=(1, 2))
    return out


def metal(frames: Frames, strength: float, random: np.random.Generator) -> Frames:
    """An implant: a signal void with a bright rim over part of the heart."""
    rows, columns = np.indices(frames.shape[2:])
    middle = [n / 2 + random.uniform(-0.2, 0.2) * n for n in frames.shape[2:]]
    away = np.hypot(rows - middle[0], columns - middle[1]) / (0.25 * strength * min(frames.shape[2:]) + 1e-6)
    gain = np.where(away < 1.0, 0.0, 1.0 + 1.5 * np.exp(-(((away - 1.0) / 0.2) ** 2)))
    return np.asarray(frames * gain, np.float32)


def flat(frames: Frames, strength: float, random: np.random.Generator) -> Frames:
    """Little contrast between blood and muscle, as after contrast medium or with a poor sequence."""
    del random
    level = np.percentile(frames, 90.0)
    lifted = frames + strength * 0.9 * np.maximum(level - frames, 0.0) * (frames > 0.15 * level)
    return np.asarray(lifted, np.float32)


FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "noise": noise,
        "blur": blur,
        "ghost": ghost,
        "shading": shading,
        "gating": gating,
        "shifted slices": shifted,
        "metal": metal,
        "little contrast": flat,
    }
)
