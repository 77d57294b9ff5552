"""The published networks: against stored references, and by their mass balance where there are none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from carna.errors import InputError
from carna.flow.oned import benchmarks, solve

CASES = {
    "cca": "models/boileau2015/cca/cca.yaml",
    "ibif": "models/boileau2015/ibif/ibif.yaml",
    "adan56": "models/boileau2015/adan56/adan56.yaml",
    "circle_of_willis": "models/alastruey2007/circle_of_willis.yaml",
    "uta": "models/boileau2015/uta/uta.yaml",
    "invitro_model": "models/matthys2007/invitro_model.yaml",
    "network": "test/network/network.yaml",
}


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "cell_mm", "rms", "systolic"),
    [
        ("cca", 1.0, 0.003, 0.004),
        ("ibif", 1.0, 0.003, 0.004),
        ("adan56", 2.0, 0.004, 0.006),
        ("circle_of_willis", 2.0, 0.03, 0.08),
    ],
)
def test_waves_are_those_of_the_reference(
    data: Callable[[str], Path], name: str, cell_mm: float, rms: float, systolic: float
) -> None:
    root = data("openbf-benchmarks")
    score = benchmarks.compare(root / CASES[name], root / f"test/ref_{name}.jls", cell_mm=cell_mm)
    assert score.rms < rms
    assert score.systolic < systolic


@pytest.mark.data
def test_the_true_taper_differs_from_the_reference_as_is_known(data: Callable[[str], Path]) -> None:
    root = data("openbf-benchmarks")
    score = benchmarks.compare(
        root / CASES["adan56"], root / "test/ref_adan56.jls", cell_mm=5.0, as_stored=False
    )
    assert 0.015 < score.rms < 0.03


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(CASES))
def test_every_network_runs_as_it_was_meant_and_keeps_its_mass(
    data: Callable[[str], Path], name: str
) -> None:
    case = benchmarks.read(data("openbf-benchmarks") / CASES[name])
    pulse = solve(case.arteries, case.blood, cell_mm=4.0, beats=60)
    assert pulse.status == "periodic"
    at_nodes, through = benchmarks.balance(case, pulse)
    assert at_nodes < 1e-9
    assert abs(through) < 0.01
    assert np.isfinite(pulse.pressure_mmHg).all()


@pytest.mark.data
def test_every_reference_is_read(data: Callable[[str], Path]) -> None:
    root = data("openbf-benchmarks") / "test"
    count = {"cca": (1, 4), "ibif": (3, 4), "adan56": (77, 3), "circle_of_willis": (33, 3)}
    for name, (vessels, quantities) in count.items():
        found = benchmarks.stored(root / f"ref_{name}.jls")
        assert len(found) == vessels
        assert all(len(q) == quantities for q in found.values())
    middle = benchmarks.stored(root / "ref_cca.jls")["common_carotid_artery"]["P"][:, 3]
    assert (middle.min(), middle.max()) == pytest.approx((10908, 16549), abs=1)


def test_a_file_is_read_in_both_spellings_and_refused_without_its_parts(tmp_path: Path) -> None:
    text = (
        "project_name: small\nblood:\n  rho: 1060.0\n  mu: 4.0e-3\nnetwork:\n"
        '  - label: a\n    sn: 1\n    tn: 2\n    L: "0.1"\n    E: 400000.0\n    R0: 3e-3\n'
        "    {}: 9\n    R1: 1e8\n    R2: 1e9\n    Cc: 1e-10\n"
    )
    np.savetxt(tmp_path / "small_inlet.dat", [[0, 1e-6], [0.5, 5e-6], [0.5, 6e-6], [1, 1e-6]])
    for key in ("gamma_profile", "gamma profile"):
        path = tmp_path / "small.yaml"
        path.write_text(text.format(key))
        case = benchmarks.read(path)
        assert case.arteries.vessels[0].profile == 9
        assert any(key in n for n in case.notes)
        assert any("no inlet file" in n for n in case.notes)
    path.write_text(text.format("gamma_profile").replace("    E: 400000.0\n", ""))
    with pytest.raises(InputError, match="a without E"):
        benchmarks.read(path)
    (tmp_path / "small_inlet.dat").unlink()
    with pytest.raises(InputError, match=r"no small_inlet\.dat"):
        benchmarks.read(path)
