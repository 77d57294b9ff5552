"""The shipped models and the importers against the files, and the clamp against Myokit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from carna.ep.cell import load
from carna.ep.cell.clamp import clamp
from carna.ep.cell.imported import read_cellml, read_mmt
from carna.ep.cell.model import CellModel
from carna.ep.cell.ode_file import read_ode
from carna.errors import InputError

Find = Callable[[str], Path]
TT2006 = {"Rbar": "jrel_R", "fCass": "ical_fCaSS"}
ORD = {
    **{
        n: f"calcium_{m}"
        for n, m in (("Cai", "Ca_i"), ("CaSS", "Ca_ss"), ("CaNSR", "Ca_nsr"), ("CaJSR", "Ca_jsr"))
    },
    "Nai": "sodium_Na_i",
    "Nass": "sodium_Na_ss",
    "Ki": "potassium_K_i",
    "Kss": "potassium_K_ss",
    "Cli": "chloride_Cl_i",
    "Clss": "chloride_Cl_ss",
    "mL": "inal_m",
    "hL": "inal_h",
    "hLp": "inal_hp",
    "m": "ina_m",
    "h": "ina_h",
    "hp": "ina_hp",
    "iF": "ito_if",
    "iS": "ito_is",
    "iFp": "ito_ifp",
    "iSp": "ito_isp",
    "xrf": "ikr_xf",
    "xrs": "ikr_xs",
    "xs1": "iks_x1",
    "xs2": "iks_x2",
    "xk1": "ik1_x",
    "CaMKt": "camk_CaMK_trapped",
}
CRN = {"vr": "cajsr_v", "m": "ina_m", "h": "ina_h", "u": "cajsr_u", "w": "cajsr_w"}
CASES = [
    *[
        ("tt2006", v, "tentusscher-2006", "cell_type", i, TT2006)
        for i, v in enumerate(("endo", "epi", "mid"))
    ],
    ("courtemanche1998", "", "courtemanche-1998", "", 0, CRN),
    *[("ohara2011", v, "ohara-2011", "cell_mode", i, ORD) for i, v in enumerate(("endo", "epi", "mid"))],
    *[
        ("ohara_cipa", v, "ohara-cipa-v1-2017", "cell_mode", i, ORD)
        for i, v in enumerate(("endo", "epi", "mid"))
    ],
    *[("torord", v, "tomek-2020", "cell_mode", i, ORD) for i, v in enumerate(("endo", "epi", "mid"))],
]


def partner(name: str, words: dict[str, str], have: tuple[str, ...]) -> str:
    """The name a state has in the file: given, or the only one that ends like ours."""
    if name in words and words[name] in have:
        return words[name]
    found = [h for h in have if h == name or h.endswith("_" + name)]
    assert len(found) == 1, (name, found)
    return found[0]


def random_states(model: CellModel, n: int) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(0)
    states = np.abs(model.initial[:, None]) * np.exp(rng.normal(0, 0.3, (len(model.states), n)))
    for i, state in enumerate(model.states):
        if state.unit == "1":
            states[i] = rng.uniform(1e-6, 1, n)
    states[model.state_names.index("V")] = rng.uniform(-100, 60, n)
    return states


def assert_same(found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> None:
    assert np.max(np.abs(found - wanted) / (np.abs(wanted) + 1e-9)) < 1e-10


@pytest.mark.data
@pytest.mark.parametrize(("name", "variant", "file", "switch", "number", "words"), CASES)
def test_right_hand_sides_agree_with_the_file(
    data: Find, name: str, variant: str, file: str, switch: str, number: int, words: dict[str, str]
) -> None:
    """1,000 random states, every cell type; with a drug bound where the model knows one."""
    ours = load(name, variant)
    theirs = read_mmt(data("cell-models") / "myokit-models" / "c" / f"{file}.mmt")
    if switch:
        theirs = theirs.with_(**{switch: number})
    if name == "ohara_cipa":
        drug = {
            "D": 10.0,
            "Kmax": 1e8,
            "Ku": 1.79e-5,
            "halfmax": 5.483e8,
            "n": 0.9,
            "Vhalf": -1.1,
            "Kt": 3.5e-5,
        }
        ours = ours.with_(**drug)
        theirs = theirs.with_(**{f"ikr_{k}": v for k, v in drug.items()})
    states = random_states(ours, 1000)
    order = [ours.state_names.index(_own(h, ours, words)) for h in theirs.state_names]
    found = ours.rhs(states, stimulus=20.0)[order]
    assert_same(found, theirs.rhs(states[order], stimulus=20.0))


def _own(theirs: str, ours: CellModel, words: dict[str, str]) -> str:
    back = {v: k for k, v in words.items() if k in ours.state_names}
    if theirs == "membrane_V":
        return "V"
    return back.get(theirs) or next(n for n in ours.state_names if n == theirs or theirs.endswith("_" + n))


@pytest.mark.data
@pytest.mark.peer
@pytest.mark.parametrize("file", ["tentusscher-2006.mmt", "nygren-1998.mmt", "courtemanche-1998.mmt"])
def test_the_importer_computes_what_myokit_computes(
    data: Find, library: Callable[[str], ModuleType], file: str
) -> None:
    """Independent of our evaluation: Myokit's own; Nygren's file is in seconds."""
    path = data("cell-models") / "myokit-models" / "c" / file
    theirs = library("myokit").load_model(path)
    per_ms = 1000.0 if file.startswith("nygren") else 1.0
    ours = read_mmt(path)
    rng = np.random.default_rng(2)
    for _ in range(3):
        state = ours.initial * np.exp(rng.normal(0, 0.02, len(ours.states)))
        assert_same(
            ours.rhs(state) * per_ms, np.array(theirs.evaluate_derivatives(state, ignore_errors=True))
        )


@pytest.mark.data
def test_two_formats_of_one_model_agree(data: Find) -> None:
    """ToR-ORd: our text of the .mmt form against the authors' CellML, all but the pump the .mmt corrects."""
    cellml = read_cellml(
        data("cell-models") / "gotranx/tests/cellml_files/ToRORd_dynCl_mid.cellml", strict=False
    )
    ours = load("torord", "mid")
    assert len(cellml.states) == len(ours.states) == 45
    special = {"V": "V", "Jrelnp": "ryr_Jrel_np", "Jrelp": "ryr_Jrel_p", "I": "IKr_I"}
    order = [
        cellml.state_names.index(
            special.get(n) or next(x for x in cellml.state_names if x.lower().endswith("_" + n.lower()))
        )
        for n in ours.state_names
    ]
    states = random_states(ours, 1000)
    theirs = np.empty_like(states)
    theirs[order] = states
    left, right = ours.rhs(states), cellml.rhs(theirs)[order]
    kept = [i for i, n in enumerate(ours.state_names) if n not in ("V", "Nai", "Ki")]  # not the pump's
    assert_same(left[kept], right[kept])


ODE_TT2006 = "fenicsx-beat/odes/tentusscher_panfilov_2006/tentusscher_panfilov_2006_epi_cell.ode"
ODE_TORORD = "fenicsx-beat/odes/torord/ToRORd_dynCl_endo.ode"
ODE_WORDS = {
    "R_prime": "Rbar", "Ca_i": "Cai", "Ca_SR": "CaSR", "Ca_ss": "CaSS", "Na_i": "Nai", "K_i": "Ki",
    "I_": "I", "O_": "O", "ff_": "ff", "Jrel_np": "Jrelnp", "Jrel_p": "Jrelp",
}  # fmt: skip


def ours_of(theirs: str, ours: CellModel) -> str:
    """The name a state of an .ode file has in our text."""
    name = ODE_WORDS.get(theirs, theirs)
    return next(n for n in ours.state_names if n == name or n.lower() == name.lower())


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "variant", "file"), [("tt2006", "epi", ODE_TT2006), ("torord", "endo", ODE_TORORD)]
)
def test_ode_files_agree_with_our_text(data: Find, name: str, variant: str, file: str) -> None:
    """1,000 random states, with the stimulus on: it carries potassium in both."""
    ours, theirs = load(name, variant), read_ode(data("cell-models") / file)
    assert len(ours.states) == len(theirs.states)
    order = [ours.state_names.index(ours_of(n, ours)) for n in theirs.state_names]
    states = random_states(ours, 1000)
    assert_same(theirs.rhs(states[order], stimulus=20.0), ours.rhs(states, stimulus=20.0)[order])


@pytest.mark.data
def test_ode_and_mmt_of_one_model_agree(data: Find) -> None:
    """Two files of ten Tusscher 2006 by different hands, no text of ours between them."""
    ode = read_ode(data("cell-models") / ODE_TT2006)
    mmt = read_mmt(data("cell-models") / "myokit-models" / "c" / "tentusscher-2006.mmt")
    mmt = mmt.with_(cell_type=1)
    through = load("tt2006", "epi")
    order = [
        ode.state_names.index(
            next(n for n in ode.state_names if ours_of(n, through) == _own(h, through, TT2006))
        )
        for h in mmt.state_names
    ]
    states = random_states(ode, 1000)
    assert_same(ode.rhs(states, stimulus=20.0)[order], mmt.rhs(states[order], stimulus=20.0))


@pytest.mark.data
def test_ode_and_cellml_of_one_model_agree(data: Find) -> None:
    """ToR-ORd mid; all but what the sodium pump enters, which the later file corrects."""
    cellml = read_cellml(
        data("cell-models") / "gotranx/tests/cellml_files/ToRORd_dynCl_mid.cellml", strict=False
    )
    ode = read_ode(data("cell-models") / ODE_TORORD).with_(celltype=2)
    order = [
        next(i for i, n in enumerate(cellml.state_names) if n == h or n.endswith("_" + h.removesuffix("_")))
        for h in ode.state_names
    ]
    assert sorted(order) == list(range(45))
    states = random_states(ode, 1000)
    theirs = np.empty_like(states)
    theirs[order] = states
    kept = [i for i, n in enumerate(ode.state_names) if n not in ("V", "nai", "ki")]
    assert_same(ode.rhs(states)[kept], cellml.rhs(theirs)[order][kept])


def test_an_ode_file_that_cannot_be_read_says_where(tmp_path: Path) -> None:
    file = tmp_path / "cell.ode"
    given = 'states("M", v=ScalarParam(-80, unit="mV"))\nparameters(tau=2*5)\n'
    good = given + "Istim = Conditional(Ge(t, 1), 3, 0)\n"
    file.write_text(good + "dv_dt = -(v + 80)/tau - 2*Istim\n")
    model = read_ode(file)
    assert model.rhs([-70.0], stimulus=4.0) == pytest.approx([-1 + 4])
    for text, said in (
        (good, "dv_dt = "),
        (good + "dv_dt = sinc(v)\n", r"line 4: 'sinc\(v\)'"),
        (good + "dv_dt = v\nimport os\n", "line 5: 'import os'"),
        (good + "dv_dt = v\ndv_dt = 2*v\n", "line 5"),
        ("states(x=1)\ndx_dt = x\n", "membrane potential"),
        ("dv_dt = = 3", "no .ode model"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=said):
            read_ode(file)


@pytest.mark.data
def test_units_decide(data: Find, tmp_path: Path) -> None:
    text = (data("cell-models") / "myokit-models" / "c" / "beeler-1977.mmt").read_text()
    file = tmp_path / "wrong.mmt"
    file.write_text(
        text.replace("time = 0 [ms]", "time = 0 [mV]").replace(
            "in [ms]\n    bind time", "in [mV]\n    bind time"
        )
    )
    with pytest.raises(InputError, match="converts to ms"):
        read_mmt(file)
    file.write_text("no model")
    with pytest.raises(InputError, match=r"\[\[model\]\]"):
        read_mmt(file)


@pytest.mark.data
@pytest.mark.peer
@pytest.mark.slow
def test_clamped_currents_agree_with_myokit(data: Find, library: Callable[[str], ModuleType]) -> None:
    myokit = library("myokit")
    for current, theirs in (("INa", "ina.INa"), ("IKr", "ikr.IKr"), ("IKs", "iks.IKs")):
        times = np.arange(0, 20.0, 0.5)
        for step in (-30.0, 20.0):
            model = myokit.load_model(data("cell-models") / "myokit-models" / "c" / "tentusscher-2006.mmt")
            held = clamp(load("tt2006"), current, -100, [-100], [0.0])
            assert held.current.shape == (1, 1)
            states = {"Vm": 0.0}
            for s in list(model.states()):
                if s.qname().split(".")[0] in ("membrane", "calcium", "sodium", "potassium"):
                    s.set_rhs(0)
            model.get("membrane.V").set_initial_value(-100)
            simulation = myokit.Simulation(model)
            simulation.set_tolerance(1e-10, 1e-10)
            simulation.pre(60_000)
            start = dict(zip([s.qname() for s in model.states()], simulation.state(), strict=True)) | states
            simulation.set_state([step if k == "membrane.V" else v for k, v in start.items() if k != "Vm"])
            log = simulation.run(20.0, log=[theirs], log_interval=0.5)
            wanted = np.array(log[theirs])[: len(times)]
            found = clamp(load("tt2006"), current, -100, [step], times).current[0]
            assert np.max(np.abs(found - wanted)) < 1e-5 * np.max(np.abs(wanted))
