"""Key frame and frame count on virtual runs, and on runs that show nothing."""

import numpy as np
import pytest

from carna.errors import InputError
from carna.image.angiography import View, key_frame, transit
from carna.phantom.angiogram import Imaging, angiogram, coronary

VIEW = View(-20, 20, 1100, 750, 0.7, (256, 256))


@pytest.fixture(scope="module")
def run():
    how = Imaging(velocity_mm_s=150, fps=30, iodine_per_mm=0.14)
    return angiogram(coronary(2), VIEW, how, seconds=2.0, seed=2)


def main(run, frame):
    net = run.coronary.vessels
    far = net.from_inlet_mm
    tip = max(net.lines, key=lambda line: far[net.segments[line[-1]][-1]])
    at = net.line_points(tip)
    at = at[2 : int(0.75 * len(at))]
    return run.pixels(frame)[at], float(far[at[-1]] - far[at[0]]), net.radius_mm[at]


def test_the_key_frame_is_one_in_which_the_tree_is_full(run):
    found = key_frame(run.frames)
    far = run.coronary.vessels.from_inlet_mm.max()
    assert found.index / 30 > run.imaging.start_s + 0.5 * far / 150
    assert found.filled[: int(0.3 * 30)].max() < 0.2 * found.filled.max()


def test_frame_count_velocity_and_flow(run):
    course, length, radius = main(run, key_frame(run.frames).index)
    found = transit(run.frames, course, fps=30, length_mm=length, radius_mm=radius)
    assert found.velocity_mm_s == pytest.approx(150, rel=0.15)
    assert found.seconds == pytest.approx(length / 150, rel=0.15)
    assert found.frames == found.count_30 == pytest.approx(30 * found.seconds)
    assert found.flow_ml_s == pytest.approx(found.velocity_mm_s * np.pi * np.mean(radius**2) / 1000)
    assert not found.why
    half = transit(run.frames[::2], course, fps=15, length_mm=length)
    assert half.count_30 == pytest.approx(found.count_30, rel=0.2)


def test_no_length_no_velocity_no_radius_no_flow(run):
    course, length, _ = main(run, 40)
    bare = transit(run.frames, course, fps=30)
    assert bare.velocity_mm_s is bare.flow_ml_s is None and "length" in bare.why
    some = transit(run.frames, course, fps=30, length_mm=length)
    assert some.velocity_mm_s and some.flow_ml_s is None and "radius" in some.why


def test_a_run_without_contrast_or_with_the_catheter_alone_is_refused(run):
    still = angiogram(coronary(2), VIEW, Imaging(iodine_per_mm=0.14, start_s=30), seconds=1.0, seed=2)
    with pytest.raises(InputError, match="fills"):
        key_frame(still.frames)
    with pytest.raises(InputError, match="front"):
        transit(still.frames, main(run, 0)[0], fps=15)


def test_one_frame_is_no_run(run):
    with pytest.raises(InputError, match="1 frames"):
        key_frame(run.frames[:1])
    with pytest.raises(InputError, match="shape"):
        key_frame(run.frames[0])
    with pytest.raises(InputError, match="frames a second"):
        transit(run.frames, main(run, 0)[0], fps=0)


def test_a_course_from_the_wrong_end_is_refused(run):
    course, _, _ = main(run, 40)
    with pytest.raises(InputError):
        transit(run.frames, course[::-1], fps=30)
