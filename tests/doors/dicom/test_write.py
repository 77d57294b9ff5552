"""Studies written as DICOM: read back by our own door, by pydicom, and judged by dciodvfy."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from carna.doors import dicom
from carna.doors.arrive import Delivery
from carna.doors.dicom.write import datasets, ecg_dataset, encode, write_study
from carna.doors.files import walk
from carna.errors import InputError
from carna.progress import SILENT
from carna.space import Grid, rotation
from carna.study import Cine, Ecg, Image, Lazy, Origin, Part, Patient, Picture, Planes, Record, Study

RNG = np.random.default_rng(7)
TWELVE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def study(*parts: Part, synthetic: bool = True) -> Study:
    who = Patient("P1", name="Somebody^Else", birth_date="1960-02-03", sex="female", synthetic=synthetic)
    return Study("1.2.9", who, time="2025-01-02T03:04:05", description="a study", parts=parts)


def upright(k: float, r: float, c: float) -> np.ndarray:
    """Axial axes: slices along z, rows along y, columns along x, as far as DICOM's normal points."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = k, r, c, 1.0
    return affine


def oblique(k: int = 3, rows: int = 12, columns: int = 10) -> Grid:
    affine = rotation((1, 2, 3), 40) @ upright(8.0, 1.5, 1.25)
    affine[:3, 3] = (-20.5, 30.25, 7.125)
    return Grid((k, rows, columns), affine, "1.2.77")


def cine(t: int = 5) -> Cine:
    grid = oblique()
    planes = tuple(grid.plane(k) for k in range(3))
    values = RNG.integers(0, 900, (t, 3, 12, 10)).astype(np.uint16)
    times = np.arange(t)[:, None] * np.array([160.5, 150.25, 170.0])
    return Cine(
        Origin("1.2.3.4", "MR", "cine SAX", 7, facts={"EchoTime": 1.5}),
        planes,
        Lazy.of(values),
        times,
        np.array([800.0, 750.0, 850.0]),
    )


def ecg(uid: str, rate: float, samples: int, leads: tuple[str, ...], **more: Any) -> Ecg:
    values = RNG.normal(0, 0.5, (len(leads), samples)).astype(np.float32)
    values[0, 3:9] = np.nan
    values[-1] = np.nan
    return Ecg(Origin(uid, "ECG", "a label"), Lazy.of(values), leads, rate, **more)


def reread(written: Study, tmp_path: Path) -> Delivery:
    write_study(written, tmp_path)
    blobs, problems = walk([tmp_path])
    assert not problems
    return dicom.read(blobs, SILENT)


def test_a_cine_comes_back_with_its_planes_times_and_pixels(tmp_path: Path) -> None:
    given = cine()
    got = reread(study(given), tmp_path)
    assert not got.problems
    (part,) = [a.part for a in got.arrivals]
    assert isinstance(part, Cine)
    assert part.origin.uid == "1.2.3.4"
    assert (part.origin.number, part.origin.label) == (7, "cine SAX")
    order = [next(k for k, p in enumerate(part.planes) if p.same(q)) for q in given.planes]
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_array_equal(part.values.array[:, order], given.values.array)
    np.testing.assert_allclose(part.times_ms[:, order], given.times_ms)
    np.testing.assert_allclose(part.rr_ms[order], given.rr_ms)
    for plane, one in zip(given.planes, [part.planes[k] for k in order], strict=True):
        np.testing.assert_allclose(plane.affine, one.affine, atol=1e-6)


def test_pydicom_reads_the_geometry_that_was_written(tmp_path: Path) -> None:
    given = cine()
    paths = write_study(study(given), tmp_path)
    assert len(paths) == 15
    assert len({p.parent for p in paths}) == 1
    ds = pydicom.dcmread(paths[7])  # plane 1, phase 2
    plane = given.planes[1]
    assert ds.SOPClassUID.name == "MR Image Storage"
    np.testing.assert_allclose(ds.ImagePositionPatient, plane.origin, atol=1e-9)
    np.testing.assert_allclose(ds.ImageOrientationPatient, plane.orientation, atol=1e-12)
    assert (float(ds.PixelSpacing[0]), float(ds.PixelSpacing[1])) == pytest.approx((1.5, 1.25))
    assert float(ds.SliceThickness) == pytest.approx(8.0)
    # A pixel in the patient by the formula of PS3.3 C.7.6.2.1.1, against our grid.
    row, column = np.array(ds.ImageOrientationPatient[:3]), np.array(ds.ImageOrientationPatient[3:])
    point = np.array(ds.ImagePositionPatient) + row * 1.25 * 4 + column * 1.5 * 9
    np.testing.assert_allclose(point, plane.to_world((0, 9, 4)), atol=1e-9)
    assert (float(ds.TriggerTime), int(ds.NominalInterval), int(ds.HeartRate)) == (300.5, 750, 80)
    assert ds.FrameOfReferenceUID == "1.2.77"
    assert float(ds.EchoTime) == 1.5
    np.testing.assert_array_equal(ds.pixel_array, given.values.array[2, 1])


def test_a_virtual_patient_can_not_be_taken_for_a_real_one(tmp_path: Path) -> None:
    for part in (cine(), ecg("e", 500, 600, TWELVE)):
        for ds in datasets(part, study(part)):
            assert str(ds.PatientName) == "CARNA^PHANTOM"
            assert ds.QualityControlSubject == "YES"
            assert "SYNTHETIC" in ds.PatientComments
    got = reread(study(cine()), tmp_path)
    assert all(a.patient.synthetic for a in got.arrivals)
    (real,) = datasets(ecg("e", 500, 600, TWELVE), study(synthetic=False))
    assert "QualityControlSubject" not in real
    assert str(real.PatientName) == "Somebody^Else"


def test_the_same_study_is_the_same_bytes() -> None:
    given = cine()
    once, again = ([encode(d) for d in datasets(given, study(given))] for _ in range(2))
    assert once == again
    assert len({pydicom.dcmread(io.BytesIO(b)).SOPInstanceUID for b in once}) == 15


@pytest.mark.parametrize(("low", "high"), [(-1024, 3000), (-3000.5, 3000.25), (0.0, 1e-3)])
def test_a_ct_image_keeps_its_values(low: float, high: float, tmp_path: Path) -> None:
    values = RNG.uniform(low, high, (3, 8, 8))
    values = np.round(values) if isinstance(low, int) else values
    grid = Grid((3, 8, 8), upright(2.5, 0.5, 0.5), "1.2.8")
    got = reread(study(Image(Origin("1.2.6", "CT"), grid, Lazy.of(values), "[hnsf'U]")), tmp_path)
    (part,) = [a.part for a in got.arrivals]
    assert isinstance(part, Image)
    assert part.unit == "[hnsf'U]"
    assert part.grid.same(grid)
    step = 0.0 if isinstance(low, int) else (high - low) / 65535
    assert np.abs(part.values.array - values).max() <= 0.51 * step + 1e-4 * abs(high) * (step > 0)


def test_planes_of_different_directions(tmp_path: Path) -> None:
    values = RNG.integers(0, 9, (2, 12, 10)).astype(np.uint16)
    first, second = oblique(1), Grid((1, 12, 10), upright(6.0, 1.5, 1.25), "1.2.77")
    given = Planes(Origin("1.2.6", "MR"), (first, second), Lazy.of(values))
    got = reread(study(given), tmp_path)
    (part,) = [a.part for a in got.arrivals]
    assert isinstance(part, Planes)
    for plane, values in zip(given.planes, given.values.array, strict=True):
        k = next(k for k, p in enumerate(part.planes) if p.same(plane))
        np.testing.assert_array_equal(part.values.array[k], values)


@pytest.mark.parametrize(
    ("rate", "samples", "leads", "name"),
    [
        (500, 5000, TWELVE, "12-lead ECG Waveform Storage"),
        (1000, 16384, TWELVE, "12-lead ECG Waveform Storage"),
        (1000, 16385, TWELVE, "General ECG Waveform Storage"),
        (500, 5000, (*TWELVE, "V7", "V8"), "General ECG Waveform Storage"),
        (128, 9000, ("MLII", "V5"), "Ambulatory ECG Waveform Storage"),
    ],
)
def test_an_electrocardiogram_comes_back_within_half_a_step(
    rate: float, samples: int, leads: tuple[str, ...], name: str, tmp_path: Path
) -> None:
    given = ecg("1.2.31", rate, samples, leads, lsb_mV=(0.00488, *(0.0025,) * (len(leads) - 1)))
    assert ecg_dataset(given, study()).SOPClassUID.name == name
    got = reread(study(given), tmp_path)
    assert not [p for p in got.problems if not p.found.startswith("samples not recorded")]
    (part,) = [a.part for a in got.arrivals]
    assert isinstance(part, Ecg)
    assert (part.leads, part.rate_hz, part.kind) == (leads, rate, "rhythm")
    assert part.origin.uid == "1.2.31"
    np.testing.assert_allclose(part.lsb_mV, given.lsb_mV)
    was, now = given.values.array, part.values.array
    np.testing.assert_array_equal(np.isnan(was), np.isnan(now))
    half = np.array(given.lsb_mV)[:, None] / 2
    assert (np.abs(np.nan_to_num(was - now)) <= half * 1.001).all()


def test_values_that_are_whole_steps_come_back_exactly(tmp_path: Path) -> None:
    steps = RNG.integers(-2000, 2000, (2, 700))
    values = (steps * 0.00125).astype(np.float32)
    given = Ecg(Origin("1.2.31", "ECG"), Lazy.of(values), ("I", "II"), 500.0, "median", (0.00125, 0.00125))
    (part,) = [a.part for a in reread(study(given), tmp_path).arrivals]
    assert isinstance(part, Ecg)
    assert part.kind == "median"
    np.testing.assert_array_equal(part.values.array, values)


def test_a_lead_beyond_sixteen_bits_gets_a_wider_step(tmp_path: Path) -> None:
    values = np.linspace(-300, 300, 700, dtype=np.float32)[None]
    given = Ecg(Origin("1.2.31", "ECG"), Lazy.of(values), ("I",), 500.0)
    (part,) = [a.part for a in reread(study(given), tmp_path).arrivals]
    assert isinstance(part, Ecg)
    assert part.lsb_mV[0] == pytest.approx(300 / 32767, rel=1e-6)
    assert np.abs(part.values.array - values).max() <= part.lsb_mV[0] * 0.501


def test_what_dicom_does_not_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    picture = Picture(Origin("1", "US"), Lazy.of(np.zeros((1, 4, 4), np.uint8)))
    with pytest.raises(InputError, match="Picture"):
        write_study(study(cine(), picture), tmp_path)
    with pytest.raises(InputError, match="2000 Hz"):
        write_study(study(cine(), ecg("e", 2000, 100, ("I",))), tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="2000 Hz"):
        ecg_dataset(ecg("e", 2000, 100, ("I",)), study())
    with pytest.raises(InputError, match="without a time"):
        ecg_dataset(ecg("e", 500, 100, ("I",)), replace(study(), time=""))


def test_a_record_gives_age_height_and_weight() -> None:
    record = Record(Origin("r", ""), age_a=64.7, height_cm=171.5, weight_kg=80.25)
    (ds,) = datasets(given := ecg("e", 500, 300, ("I",)), study(given, record))
    assert (ds.PatientAge, float(ds.PatientSize), float(ds.PatientWeight)) == ("064Y", 1.715, 80.25)


@pytest.mark.peer
@pytest.mark.parametrize("synthetic", [True, False])
def test_dciodvfy_finds_no_error(synthetic: bool, peer: Callable[[str], str], tmp_path: Path) -> None:
    grid = Grid((2, 8, 8), upright(2.5, 0.5, 0.5))
    image = Image(Origin("ct", "CT"), grid, Lazy.of(RNG.normal(0, 300, (2, 8, 8))), "[hnsf'U]")
    written = study(
        cine(2),
        image,
        ecg("12", 500, 5000, TWELVE),
        ecg("g", 500, 17000, TWELVE),
        ecg("a", 128, 900, ("MLII", "V5")),
        ecg("m", 1000, 800, TWELVE, kind="median"),
        synthetic=synthetic,
    )
    for path in write_study(written, tmp_path):
        run = subprocess.run([peer("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]
        assert not errors, (path, errors)
        subprocess.run([peer("dcmftest"), str(path)], check=True, capture_output=True)


@pytest.mark.data
def test_the_real_recording_survives_writing(data: Callable[[str], Path], tmp_path: Path) -> None:
    blobs, _ = walk([Path(data("ecg-vendor-files")) / "dicom"])
    first = dicom.read(blobs, SILENT)
    given = [a.part for a in first.arrivals if isinstance(a.part, Ecg)]
    who = first.arrivals[0]
    again = reread(Study(who.study, who.patient, who.time, parts=tuple(given)), tmp_path)
    back = [a.part for a in again.arrivals if isinstance(a.part, Ecg)]
    for was, now in zip(given, back, strict=True):
        np.testing.assert_array_equal(was.values.array, now.values.array)
        assert (was.leads, was.kind, was.lsb_mV, was.origin.uid) == (
            now.leads,
            now.kind,
            now.lsb_mV,
            now.origin.uid,
        )
