"""Drugs: the Hill block in closed form, the published table against its own points."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from carna.ep.change import Change
from carna.ep.drugs import Block, cipa, fit_hill, named
from carna.errors import InputError


@pytest.mark.parametrize("ratio", [0.01, 0.3, 1.0, 4.0, 100.0])
@pytest.mark.parametrize("hill", [0.5, 1.0, 2.0])
def test_the_block_is_hills(ratio: float, hill: float) -> None:
    assert Block(50.0, hill).at(50.0 * ratio) == pytest.approx(ratio**hill / (1 + ratio**hill), rel=1e-12)


def test_no_drug_blocks_nothing() -> None:
    assert all(b.at(0.0) == 0.0 for d in cipa().values() for b in d.blocks.values())


def test_what_is_left_multiplies_the_conductance() -> None:
    verapamil = cipa()["verapamil"]
    change = verapamil.at(81.0)
    assert change.factors["g_CaL"] == pytest.approx(1 - 1 / (1 + (201.78 / 81) ** 1.0968), rel=1e-4)
    assert change.optional >= {"g_Kr", "g_CaL"}


def test_28_drugs_in_three_classes() -> None:
    drugs = cipa()
    assert len(drugs) == 28
    train = [d for d in drugs.values() if d.group == "train"]
    assert sorted(d.risk or "" for d in train) == ["high"] * 4 + ["intermediate"] * 4 + ["low"] * 4


def test_the_bound_channel_replaces_the_hill_block() -> None:
    change = cipa()["dofetilide"].at(2.0, dynamic_hERG=True)
    assert "g_Kr" not in change.factors
    assert change.values["Ku"] == 1.79e-5
    with pytest.raises(InputError, match="no binding rates"):
        named()["amiodarone"].at(1.0, dynamic_hERG=True)


def test_a_negative_concentration_is_refused() -> None:
    with pytest.raises(InputError, match="at least 0"):
        cipa()["dofetilide"].at(-1.0)


def test_hill_fit_finds_what_made_the_points() -> None:
    rng = np.random.default_rng(1)
    dose = np.repeat([3.0, 10.0, 30.0, 100.0, 300.0], 4)
    truth = Block(40.0, 1.3)
    block = np.array([truth.at(c) for c in dose]) + rng.normal(0, 0.03, len(dose))
    found = fit_hill(dose, block)
    assert found.ic50_nM == pytest.approx(40.0, rel=0.12)
    assert found.hill == pytest.approx(1.3, abs=0.2)
    assert found.sd_log10 is not None and 0.005 < found.sd_log10 < 0.1


def test_what_the_points_do_not_fix_is_not_drawn() -> None:
    drug = cipa()["dofetilide"]
    drawn = drug.drawn(np.random.default_rng(3))
    assert not drug.blocks["CaL"].known and drawn.blocks["CaL"] == drug.blocks["CaL"]
    assert drawn.blocks["Kr"].ic50_nM != drug.blocks["Kr"].ic50_nM
    many = [drug.drawn(np.random.default_rng(n)).blocks["Kr"].ic50_nM for n in range(400)]
    assert np.std(np.log10(many)) == pytest.approx(np.hypot(0.18, 0.025), rel=0.12)


@pytest.mark.data
def test_our_fit_of_the_patch_clamp_points_is_the_published_table(data) -> None:  # type: ignore[no-untyped-def]
    """Where the points fix an IC50, fitting them again gives the table that ships (hERG: within 26 %)."""
    folder = data("drug-ic50") / "fda-cipa" / "Hill_fitting" / "data"
    points: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in csv.DictReader((folder / "drug_block.csv").read_text().splitlines()):
        if row["block"] not in ("NA", "") and row["units"] == "nM":
            key = row["drug"], row["channel"].removeprefix("I").replace("hERG", "Kr")
            points.setdefault(key, []).append((float(row["conc"]), float(row["block"]) / 100))
    compared = 0
    for drug in cipa().values():
        for channel, block in drug.blocks.items():
            if drug.group != "train" or not block.known or (drug.name, channel) not in points:
                continue
            dose, share = np.array(points[drug.name, channel]).T
            mine = fit_hill(dose, share, draws=0)
            # The published hERG numbers are from another fit of the same points (dofetilide 4.87, 6.13).
            limit = 0.26 if channel == "Kr" else 0.02
            if drug.name == "bepridil" and channel == "to":
                continue  # 6 % block at most: one point decides
            assert mine.ic50_nM == pytest.approx(block.ic50_nM, rel=limit), (drug.name, channel)
            compared += 1
    assert compared >= 35


def test_a_share_lies_between_health_and_all_of_it() -> None:
    ill = Change("ill", {"g_Na": 0.5}, {"K_o": 9.0}, conduction=0.4)
    half = ill.part(0.5, {"K_o": 5.4})
    assert (half.factors["g_Na"], half.values["K_o"], half.conduction) == pytest.approx((0.75, 7.2, 0.7))
    assert ill.part(0.0, {"K_o": 5.4}).factors["g_Na"] == 1.0
    with pytest.raises(InputError, match="no healthy value of K_o"):
        ill.part(0.5)
