"""The fit of trust: lines, limits and shares against made-up truth; the card that ships."""

import json
from importlib.resources import files

import numpy as np
import pytest

from carna.image.ventricles import LV, MYOCARDIUM, POOR, RV
from carna.image.ventricles.trust import FEATURES, predicted
from carna.learn.cmr_trust import EACH, fit, line, say, share_of, stacks


def test_a_line_is_found_again():
    random = np.random.default_rng(0)
    table = random.normal(0, 1, (2000, 3))
    truth = 1 / (1 + np.exp(-(1.0 + 0.8 * table[:, 0] - 0.5 * table[:, 1])))
    found = say(table, *line(table, truth))
    assert np.abs(found - truth).mean() < 0.01


def rows(count, bias):
    random = np.random.default_rng(1)
    out = []
    for _ in range(count):
        x = random.normal(0, 1, (2, len(FEATURES)))
        dice = 1 / (1 + np.exp(-(2.5 + x[:, 0])))
        out.append(
            {
                "fault": "",
                "features": {str(c): x.tolist() for c in (RV, MYOCARDIUM, LV)},
                "dice": {str(c): dice.tolist() for c in (RV, MYOCARDIUM, LV)},
                "cavity": {"true": [100, 50], "outlined": [100, 50 + bias], "direct": [100, 50 - 3 * bias]},
                "volume": [1 - dice[0], 1 - dice[1]],
                "lvef": 60 * (1 - dice.min()),
                "rvef": None,
            }
        )
    return out


def test_a_fit_predicts_and_expects_more_error_of_worse_outlines():
    body = fit([*rows(400, 0.0), {"fault": "noise", "refused": "no heart"}])
    assert len(body["model"][f"weights_{LV}"]) == len(FEATURES) + 1
    assert body["model"][f"weights_{LV}"][1] > 0.5
    assert body["errors"]["lvef"][1] > 20
    assert body["virtual patients left out"]["r"] > 0.9


def test_the_share_of_two_estimates_is_where_their_errors_cancel():
    # One errs by b, the other by -3 b: a quarter of the second is right.
    found = [r for r in rows(50, 4.0) if min(r["dice"][str(LV)]) >= POOR]
    assert share_of(found) == pytest.approx(0.25)


def test_the_card_fits_the_features():
    card = json.loads((files("carna") / "models" / "cmr_trust.json").read_text(encoding="utf-8"))
    assert tuple(card["model"]["features"]) == FEATURES
    for label in (RV, MYOCARDIUM, LV):
        assert len(card["model"][f"weights_{label}"]) == len(FEATURES) + 1
        mean = np.array(card["model"][f"mean_{label}"])
        assert 0.7 < predicted(label, mean) < 1.0
        better = mean + np.eye(len(FEATURES))[1] * card["model"][f"scale_{label}"][1]
        assert predicted(label, better) > predicted(label, mean)
    assert card["virtual patients left out"]["sensitivity"] >= 0.7
    assert card["virtual patients left out"]["false alarm"] <= 0.15
    assert 0.0 <= card["direct share"] <= 0.6
    assert card["patients"] >= 70


def test_a_virtual_patient_comes_in_three_stacks():
    drawn, again = stacks(0, 5), stacks(0, 5)
    assert len(drawn) == EACH
    assert drawn[0][0] == ""
    assert drawn[-1][0]
    for (_, frames, labels), (_, same, _) in zip(drawn, again, strict=True):
        assert frames.shape == labels.shape
        assert set(np.unique(labels).tolist()) <= {0, RV, MYOCARDIUM, LV}
        np.testing.assert_array_equal(frames, same)
