"""The virtual infarct: labels, their truth, and the case made of them."""

from __future__ import annotations

import numpy as np
import pytest

from carna import codes
from carna.errors import InputError
from carna.findings import Region
from carna.heart.segments import place_of
from carna.phantom import VIRTUAL_CASES, virtual_infarct, virtual_scar
from carna.phantom.infarct import INFARCT, SHAPE


def test_the_channel_runs_through_the_middle_of_the_segment() -> None:
    made = virtual_infarct()
    x, y, z = SHAPE.axes.to_heart(made.channel_lps_mm)
    angle, _ = place_of(INFARCT.segment, 0.0, 0.0)
    assert abs(np.degrees(np.arctan2(y, x) - angle)) < 8.0
    assert 0.35 * SHAPE.span_mm < z < 0.7 * SHAPE.span_mm


def test_without_channel_and_rim_there_is_no_grey_zone() -> None:
    bare = virtual_infarct(channel_mm=0.0)
    assert 5 not in bare.labels and 6 in bare.labels
    rimmed = virtual_infarct(channel_mm=0.0, rim_mm=4.0)
    assert (rimmed.labels == 5).sum() > 200
    assert (rimmed.labels == 6).sum() == (bare.labels == 6).sum()


def test_the_case_is_a_synthetic_patient_whose_labels_lie_on_its_picture() -> None:
    case = virtual_scar()
    assert case.patient.synthetic and virtual_scar in VIRTUAL_CASES
    (region,) = case.findings[0].items
    (image,) = case.studies[0].parts
    assert isinstance(region, Region) and region.code == codes.VENTRICLES
    assert region.evidence[0].part == image.origin.uid
    assert all(region.planes[k].same(image.grid.plane(k)) for k in (0, 20))
    values = image.values.array
    scar = next(s.label for s in region.segments if s.code == codes.SCAR)
    assert values[region.labels == scar].mean() > 1.2 * values[region.labels == 3].mean()


def test_a_channel_wider_than_its_range_is_refused() -> None:
    with pytest.raises(InputError, match="channel_mm"):
        virtual_infarct(channel_mm=50.0)
