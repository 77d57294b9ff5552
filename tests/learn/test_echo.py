"""The suite "echo": how frames are counted, and one virtual patient through it."""

from __future__ import annotations

import numpy as np
import pytest

from carna.image.echo import NETWORK, Beat
from carna.image.network import Network
from carna.learn.echo import frame_errors, patient
from carna.phantom.apical import EchoCine


def _made(begin: float, frames: int = 40, beats: float = 1.6) -> EchoCine:
    phases = begin + beats * np.arange(frames) / frames
    empty = np.zeros((frames, 4, 4), np.uint8)
    return EchoCine(empty, empty, 1.0, phases, phases * 900.0)


def test_frames_off_are_counted_on_the_circle() -> None:
    made = _made(0.6)  # end-diastole is frame 10, end-systole frame 18.75, and 25 frames are a beat
    assert frame_errors(made, [Beat(10, 19)]) == ([0.0], [0.0])
    assert frame_errors(made, [Beat(12, 16), Beat(35, 19)]) == ([2.0, 0.0], [3.0, 0.0])
    assert frame_errors(made, []) == ([], [])


@pytest.mark.slow
def test_a_virtual_patient_is_read_in_both_views() -> None:
    seen = patient(3, Network(NETWORK))
    for made, reading in seen.clips.values():
        assert reading.labels.shape == made.labels.shape
        assert 0.0 <= reading.quality.belief <= 1.0
