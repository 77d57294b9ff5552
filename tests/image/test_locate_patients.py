"""The locator on real patients. Floors, not accuracy: these sets were looked at while it was written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from carna.learn.evaluate import evaluate

pytestmark = pytest.mark.data


@pytest.mark.parametrize(
    ("name", "folder", "patients", "mean", "p95", "largest"),
    [
        ("ACDC", "acdc-cine-mri", 20, 2.0, 4.0, 10.0),
        ("Sunnybrook", "sunnybrook-cine-mri", 30, 5.0, 8.0, 12.0),
    ],
)
def test_patients(data: Callable[[str], Path], name, folder, patients, mean, p95, largest):
    rows = {(r.task, r.metric): r for r in evaluate("heart-locate", data(folder).parent) if r.set == name}
    centre = "centre of the left ventricle"
    assert rows[centre, "mean_distance"].value < mean
    assert rows[centre, "p95_distance"].value < p95
    assert rows[centre, "max_distance"].value < largest
    assert rows["order of ED and ES", "rate"].value == 1.0
    assert rows["centre within a crop of 128 pixels", "rate"].value == 1.0
    assert all(r.patients == patients and r.answered == 1.0 for r in rows.values())
