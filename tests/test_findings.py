"""Findings: what each kind refuses, the exact round trip, the UID, the correction."""

import dataclasses
import json

import numpy as np
import pytest

from carna import codes
from carna.errors import ContractError, InputError
from carna.findings import (
    Absent,
    Curve,
    Events,
    Evidence,
    Field,
    Findings,
    Interval,
    Manifest,
    Measurement,
    Region,
    Review,
    Samples,
    Sd,
    Segment,
    Shape,
    Statement,
    Unknown,
    from_json,
    load,
    save,
    to_json,
)
from carna.space import Grid, VesselTree


def measured(id="lv.edv", value=140.0):
    return Measurement(
        id=id, code=codes.LV_EDV, site=codes.LEFT_VENTRICLE, value=value, unit="mL", uncertainty=Sd(4.0)
    )


def every_kind():
    plane = Grid((1, 12, 13), np.diag([8.0, 1.4, 1.4, 1.0]), "frame")
    labels = np.zeros((2, 1, 12, 13), np.uint8)
    labels[:, :, 3:6, 4:9] = 1
    return (
        measured(),
        Measurement(
            id="rate",
            code=codes.HEART_RATE,
            value=61.5,
            unit="/min",
            uncertainty=Interval(59, 64),
            of=("beats",),
            evidence=(Evidence("1.2.3", leads=("II",), start_s=0.0, stop_s=9.5),),
            method=codes.MEAN,
        ),
        Measurement(id="lv.ef", code=codes.LVEF_MR, value=58.0, unit="%", uncertainty=Samples((57.0, 58.5))),
        Region(
            id="heart",
            code=codes.HEART,
            labels=labels,
            planes=(plane,),
            segments=(Segment(1, codes.HEART),),
            times_ms=np.array([0.0, 320.0]),
            frames=(0, 9),
        ),
        Shape(
            id="tree",
            code=codes.CORONARY_ARTERY,
            shape=VesselTree(np.eye(3), np.array([[0, 1], [1, 2]]), np.ones(3)),
        ),
        Field(id="tree.ffr", code=codes.FFR_COMPUTED, values=np.array([1.0, 0.9, 0.8]), unit="1", on="tree"),
        Curve(
            id="curve",
            code=codes.MOTION_ENERGY,
            x=np.arange(100.0),
            y=np.arange(100.0) ** 2,
            x_unit="ms",
            y_unit="1",
        ),
        Events(
            id="beats",
            code=codes.QRS_COMPLEX,
            onset_s=np.array([0.5, 1.3, 2.1]),
            types=(codes.NORMAL_BEAT,),
            type_index=np.zeros(3, int),
            leads=("II",),
            lead_index=np.zeros(3, int),
        ),
        Statement(
            id="rhythm",
            code=codes.RHYTHM_REGULARITY,
            verdict="met",
            rule="RR spread below 10 %",
            of=("beats",),
        ),
        Absent(id="qt", code=codes.QT_INTERVAL, why="the T wave is lost in noise"),
    )


def findings(**changes):
    manifest = Manifest("test", "1.0", settings={"low": 60.0})
    return Findings("1.2.3", "P1", every_kind(), manifest, **changes)


def test_the_round_trip_is_exact(tmp_path):
    first = findings()
    again = load(save(first, tmp_path))
    assert to_json(again) == to_json(first)
    assert again.uid == first.uid
    region = again["heart"]
    assert isinstance(region, Region)
    assert np.array_equal(region.labels, first["heart"].labels)
    assert region.planes[0].same(first["heart"].planes[0])
    assert not list(tmp_path.rglob("*.part"))


def test_the_uid_is_of_the_content_and_not_of_the_clock():
    first = findings()
    later = dataclasses.replace(
        first, manifest=dataclasses.replace(first.manifest, seconds=9.0, started="2030-01-01")
    )
    other = dataclasses.replace(first, items=(measured(value=141.0), *first.items[1:]))
    assert later.uid == first.uid
    assert other.uid != first.uid
    assert first.uid.startswith("2.25.") and len(first.uid) <= 64


def test_what_is_no_number_is_refused():
    for value in (float("nan"), float("inf")):
        with pytest.raises(ContractError, match="Absent"):
            measured(value=value)
    with pytest.raises(ContractError, match="without a reason"):
        Absent(id="x", code=codes.QT_INTERVAL, why=" ")
    with pytest.raises(ContractError, match="calibration"):
        Statement(id="x", code=codes.ATRIAL_FIBRILLATION, verdict="met", rule="r", probability=0.9)
    with pytest.raises(ContractError, match="not in order"):
        Events(
            id="e",
            code=codes.QRS_COMPLEX,
            onset_s=np.array([2.0, 1.0]),
            types=(codes.NORMAL_BEAT,),
            type_index=np.zeros(2, int),
        )
    with pytest.raises(ContractError, match="no segment"):
        Region(
            id="r",
            code=codes.HEART,
            labels=np.full((1, 2, 2), 7),
            planes=(Grid((1, 2, 2), np.eye(4)),),
            segments=(),
        )
    with pytest.raises(ContractError, match="lower-case"):
        measured(id="LV EDV")
    with pytest.raises(ContractError, match="low <= high"):
        Interval(2.0, 1.0)


def test_an_id_is_used_once():
    with pytest.raises(ContractError, match="two items"):
        Findings("1", "p", (measured(), measured()), Manifest("a", "1"))


def test_final_needs_a_person():
    with pytest.raises(InputError, match="nobody reviewed"):
        Findings("1", "p", (measured(),), Manifest("a", "1"), status="final")
    with pytest.raises(InputError, match="nobody"):
        Review(" ", "2026-01-01", {})


def test_findings_of_a_virtual_patient_are_never_final():
    made_up = Findings("1", "p", (measured(),), Manifest("a", "1"), synthetic=True)
    review = Review("Dr. A", "2026-01-01", {"lv.edv": "accepted"})
    assert made_up.corrected((), review).status == "preliminary"
    with pytest.raises(InputError, match="virtual patient"):
        made_up.corrected((), review, final=True)


def test_high_stakes_are_final_only_where_a_person_said_so():
    other = measured(id="other")
    risky = Findings(
        "1",
        "p",
        (measured(), other, Absent(id="gone", code=codes.HEART_RATE, why="not seen")),
        Manifest("a", "1"),
        high_stakes=True,
    )
    nobody = risky.corrected((), Review("Dr. A", "2026-01-01", {}), final=True)
    assert [i.id for i in nobody.items] == ["gone"]
    one = risky.corrected((), Review("Dr. A", "2026-01-01", {"lv.edv": "accepted"}), final=True)
    assert [i.id for i in one.items] == ["lv.edv", "gone"] and one.status == "final"
    draft = risky.corrected((), Review("Dr. A", "2026-01-01", {"lv.edv": "accepted"}))
    assert [i.id for i in draft.items] == ["lv.edv", "other", "gone"]
    own = measured(id="own")
    assert (
        own in risky.corrected((own,), Review("A", "2026-01-01", {"own": "supplemented"}), final=True).items
    )
    with pytest.raises(InputError, match="nobody accepted own"):
        risky.corrected((own,), Review("Dr. A", "2026-01-01", {}), final=True)
    with pytest.raises(InputError, match=r"nobody accepted lv\.edv, other"):
        dataclasses.replace(risky, status="final", review=Review("Dr. A", "2026-01-01", {}))
    with pytest.raises(InputError, match="nobody accepted other"):
        verdicts = {"lv.edv": "accepted", "other": "rejected"}
        dataclasses.replace(risky, status="final", review=Review("Dr. A", "2026-01-01", verdicts))


def test_a_correction_keeps_the_rest_and_names_its_parent():
    first = findings()
    review = Review(
        "Dr. A", "2026-01-01T10:00:00", {"lv.edv": "rejected", "rhythm": "rejected", "qt": "supplemented"}
    )
    qt = Measurement(id="qt", code=codes.QT_INTERVAL, value=400.0, unit="ms", uncertainty=Unknown("by hand"))
    new = first.corrected((measured(value=150.0), qt), review, final=True)
    assert new.parent == first.uid and new.status == "final" and new.uid != first.uid
    assert new["lv.edv"].value == 150.0 and first["lv.edv"].value == 140.0
    assert isinstance(new["qt"], Measurement)
    assert new.get("rhythm") is None
    assert new["heart"] is first["heart"]


def test_damaged_files_are_refused_in_a_sentence(tmp_path):
    text, blobs = to_json(findings())
    digest = next(iter(blobs))
    with pytest.raises(InputError, match="was changed"):
        from_json(text, lambda d: blobs[d] + b"x")
    with pytest.raises(InputError, match="schema"):
        from_json(json.dumps({"schema": "carna.findings/9"}), blobs.__getitem__)
    with pytest.raises(InputError, match="unknown type"):
        from_json(text.replace('"@type":"Absent"', '"@type":"os.system"'), blobs.__getitem__)
    with pytest.raises(InputError, match="damaged"):
        from_json(text.replace('"why"', '"why_not"'), blobs.__getitem__)
    with pytest.raises(InputError, match="no JSON"):
        from_json("{", blobs.__getitem__)
    (tmp_path / "findings.json").write_text(text)
    with pytest.raises(InputError, match="missing beside"):
        load(tmp_path)
    assert len(digest) == 64


@pytest.mark.parametrize(("step", "volume"), [(8.0, 0.064), (8.5, 0.064), (17.7, None)])
def test_a_region_with_gaps_has_no_volume(step, volume):
    """Two voxels of 2 x 2 x 8 mm; what lies between planes that do not touch was not seen."""
    planes = []
    for k in range(2):
        affine = np.diag([8.0, 2.0, 2.0, 1.0])
        affine[0, 3] = k * step
        planes.append(Grid((1, 1, 1), affine))
    region = Region(
        id="r",
        code=codes.HEART,
        labels=np.ones((2, 1, 1)),
        planes=tuple(planes),
        segments=(Segment(1, codes.HEART),),
    )
    found = region.volume_ml(1)
    assert found is None if volume is None else float(found) == pytest.approx(volume)
