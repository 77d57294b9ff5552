"""Figures against the geometry of ECG paper, of the planes, and of the pixels they were given."""

from __future__ import annotations

import io

import numpy as np
import pytest

from carna import codes
from carna.findings import Events, Evidence, Findings, Manifest
from carna.render import paper, tiles
from carna.render.figures import drawings, figures, footer
from carna.render.say import numbers, ranges
from carna.render.words import words
from carna.space import Grid
from carna.study import Ecg, Lazy, Origin


def ecg(values: np.ndarray, leads: tuple[str, ...], hz: float = 500.0) -> Ecg:
    return Ecg(Origin("1.1", "ECG"), Lazy.of(values.astype(np.float32)), leads, hz)


def test_one_millivolt_is_ten_millimetres_and_one_second_twenty_five(small_case):
    sheet = paper.lay(small_case.studies[0].parts[0])
    rhythm = [t for t in sheet.traces if t.rhythm]
    assert [t.lead for t in rhythm] == ["II"] and len(sheet.traces) == 13
    peaks = rhythm[0].x_mm[np.flatnonzero(rhythm[0].y_mm < np.min(rhythm[0].y_mm) + 0.01)]
    assert np.diff(peaks) == pytest.approx(0.8 * 25.0)
    assert rhythm[0].base_mm - np.min(rhythm[0].y_mm) == pytest.approx(0.95 * 10, abs=1e-4)
    assert rhythm[0].width_mm == pytest.approx(250.0)


def test_the_columns_follow_each_other_in_time(small_case):
    sheet = paper.lay(small_case.studies[0].parts[0])
    starts = {t.lead: t.start_s for t in sheet.traces if not t.rhythm}
    assert {starts[n] for n in ("I", "II", "III")} == {0.0}
    assert (starts["aVR"], starts["V1"], starts["V4"]) == (2.5, 5.0, 7.5)


def test_what_was_not_recorded_is_a_gap_never_zero(small_case):
    sheet = paper.lay(small_case.studies[0].parts[0])
    v6 = next(t for t in sheet.traces if t.lead == "V6")
    assert np.isnan(v6.y_mm).all()
    svg = paper.to_svg(sheet, (), title="t", footer="f", id="x")
    assert "nan" not in svg.lower()


def test_a_spike_of_one_sample_survives_thinning():
    values = np.zeros((1, 40000))
    values[0, 12345] = 2.0
    sheet = paper.lay(ecg(values, ("I",), 4000.0))
    assert sheet.traces[0].base_mm - np.min(sheet.traces[0].y_mm) == pytest.approx(20.0)
    assert sheet.traces[0].x_mm.size < 40000 / 4


def test_a_long_single_lead_runs_in_strips_of_ten_seconds():
    sheet = paper.lay(ecg(np.zeros((1, 500 * 95)), ("I",)))
    assert [t.start_s for t in sheet.traces] == [0, 10, 20, 30, 40, 50]
    assert (sheet.shown_s, sheet.seconds) == (60.0, 95.0)


def test_leads_that_do_not_fit_are_counted():
    sheet = paper.lay(ecg(np.zeros((64, 5000)), tuple(f"L{n}" for n in range(64))))
    assert (sheet.shown_leads, sheet.leads) == (12, 64)
    assert footer(sheet, words("en")).startswith("12 of 64 leads")


def test_a_constant_offset_does_not_move_the_trace():
    wave = np.sin(np.arange(5000) / 40)[None]
    first, second = (paper.lay(ecg(wave + offset, ("I",))).traces[0] for offset in (0.0, 150.0))
    assert np.abs(first.y_mm - second.y_mm).max() < 1e-2


def test_only_beats_are_marked_and_only_those_of_the_part():
    both = Events(
        id="e",
        code=codes.RHYTHM,
        onset_s=np.array([1.0, 1.2]),
        offset_s=np.array([1.1, 1.4]),
        types=(codes.QRS_COMPLEX, codes.T_WAVE),
        type_index=np.array([0, 1]),
        evidence=(Evidence("1.1"),),
    )
    ((code, times),) = paper.beats_of([both], "1.1")
    assert code == codes.QRS_COMPLEX and times.tolist() == [1.05]
    assert paper.beats_of([both], "another") == ()


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        ((1, 0, 0, 0, 1, 0), ("R", "L", "A", "P")),
        ((0, 1, 0, 0, 0, -1), ("A", "P", "H", "F")),
        ((1, 0, 0, 0, 0, -1), ("R", "L", "H", "F")),
        ((0.8, 0.6, 0, 0, 0, -1), ("RA", "LP", "H", "F")),
    ],
)
def test_letters_name_the_patients_directions(orientation, expected):
    plane = Grid.from_dicom(
        size=(8, 8), position=(0, 0, 0), orientation=orientation, spacing_mm=(1, 1), thickness_mm=1, frame=""
    )
    assert tiles.letters(plane) == expected


def test_the_moments_are_those_found(small):
    cine = small.case.studies[0].parts[1]
    assert tiles.moments(cine, (small.heart,)) == ((codes.END_DIASTOLE, 0), (codes.END_SYSTOLE, 3))
    assert tiles.moments(cine, ()) == ((None, 0),)


def test_an_outline_lies_on_the_bright_disc_and_only_at_its_frame(small):
    cine = small.case.studies[0].parts[1]
    regions = tiles.regions_on((small.heart,), cine.origin.uid)
    at_ed = tiles.tile(cine, regions, 2, 0)
    ((mask, _),) = at_ed.outlines
    assert np.array_equal(mask, at_ed.pixels > 0.5)
    assert tiles.tile(cine, regions, 2, 1).outlines == ()
    rows, columns = tiles.cut(cine, regions)
    assert (rows.stop - rows.start) * 1.5 == pytest.approx(64 * 1.5)  # LEAST_MM is larger than the picture
    assert columns.stop <= 64


def test_every_figure_is_a_png_and_the_same_twice(small):
    drawn = figures((small.rhythm, small.heart), small.case)
    assert set(drawn) == {
        "ecg.1",
        "short-axis.1",
        "long-axis",
        "tachogram.ecg_rhythm.ecg.beats",
        "curve.heart_locate.motion",
    }
    assert all(data.startswith(b"\x89PNG") for data in drawn.values())
    assert drawn == figures((small.rhythm, small.heart), small.case)


def test_the_outline_is_drawn_in_colour(small):
    from matplotlib.image import imread

    name = "short-axis.1"
    with_outline = imread(io.BytesIO(figures(small.heart, small.case)[name]))
    without = imread(io.BytesIO(figures(small.rhythm, small.case)[name]))

    def yellow(image: np.ndarray) -> int:
        return int(((image[..., 0] > 0.8) & (image[..., 1] > 0.6) & (image[..., 2] < 0.5)).sum())

    assert yellow(with_outline) > 500 and yellow(without) == 0


def test_chinese_figures_are_drawn_without_missing_characters(small):
    assert figures(small.heart, small.case, "zh").keys() == figures(small.heart, small.case).keys()


def test_the_tachogram_holds_the_intervals(small):
    draw = dict(drawings(small.rhythm, small.case))["tachogram.ecg_rhythm.ecg.beats"]
    x, y = draw().axes[0].lines[0].get_data()
    assert y == pytest.approx(np.full(11, 800.0)) and x[0] == pytest.approx(1.2)


def test_findings_of_another_study_are_refused(small):
    from carna.errors import InputError

    other = Findings("9.9", "P-1", (), Manifest("a", "1"))
    with pytest.raises(InputError, match=r"9\.9"):
        figures(other, small.case)


@pytest.mark.parametrize(
    ("values", "about", "expected"),
    [
        ((75.0,), 0.725, ("75.0",)),
        ((710.4,), 19.0, ("710",)),
        ((833.333,), 0.0, ("833",)),
        ((0.01234,), 0.0, ("0.0123",)),
        ((14.0,), 0.0, ("14",)),
        ((-3.25, 12.5), 0.4, ("−3.2", "12.5")),
        ((0.0,), 0.0, ("0",)),
    ],
)
def test_numbers_show_what_their_spread_allows(values, about, expected):
    assert numbers(values, about) == expected


def test_people_count_from_one():
    assert ranges((0, 1, 2, 7)) == "1-3, 8" and ranges(()) == ""


def test_a_plane_without_outlines_is_cut_to_where_the_heart_was_found(small):
    """The disc of 12 pixels at row 30, column 34, seen on a plane of twice the size 60 mm below."""
    from dataclasses import replace

    cine = small.case.studies[0].parts[2]
    wide = Grid.from_dicom(
        size=(256, 256),
        position=(-40 - 90 * 1.5, -40 - 60 * 1.5, -60),
        orientation=(1, 0, 0, 0, 1, 0),
        spacing_mm=(1.5, 1.5),
        thickness_mm=8,
        frame=small.heart["heart"].planes[0].frame,
    )
    far = replace(cine, planes=(wide,), values=Lazy.of(np.zeros((6, 1, 256, 256), np.uint16)))
    rows, columns = tiles.cut(far, (small.heart["heart"],))
    assert (rows.start + rows.stop) / 2 == pytest.approx(30 + 60, abs=1)
    assert (columns.start + columns.stop) / 2 == pytest.approx(34 + 90, abs=1)
    assert (rows.stop - rows.start) * 1.5 == pytest.approx(tiles.LEAST_MM, abs=1.5)
