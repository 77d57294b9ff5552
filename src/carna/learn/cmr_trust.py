"""Fit what predicts the error of outlines: on virtual patients of many looks, with and without faults.

``python -m carna.learn.cmr_trust FILE [PATIENTS [SEED]]`` draws virtual patients in the physics' own pictures
(`carna.phantom.mr`, which taught the networks nothing), gives each three looks (`carna.phantom.looks`), puts
faults into half of them, appends a JSON line for each stack to the file (it goes on where it stopped), and
writes ``models/cmr_trust.json``. Run it, with a new file, whenever one of the two networks changed: nine
minutes of a free core.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.network import Network
from carna.image.ventricles import LV, MYOCARDIUM, NETWORK, RV, segment, volumes
from carna.image.ventricles.direct import DIRECT
from carna.image.ventricles.trust import FEATURES, POOR, read
from carna.learn.agreement import dice
from carna.phantom.faults import FAULTS
from carna.phantom.heart import ES_PHASE
from carna.phantom.labels import as_outlined
from carna.phantom.looks import in_disguise
from carna.phantom.mr import picture
from carna.phantom.patient import short_axis
from carna.phantom.people import draw_heart

Floats = npt.NDArray[np.float64]

LABELS = (RV, MYOCARDIUM, LV)
RIDGE = 3.0
EACH = 3  # stacks of each patient: a look, a look with a fault in half of them, a look with a fault
PATIENTS = 160
_PLAIN = 0.15  # share of the stacks that keep the phantom's own look
_LOWEST, _HIGHEST = 0.2, 0.985  # Dice beyond which more or less is all one
_FAIR = 0.7  # predicted Dice from which errors of volumes follow a line


def stacks(number: int, seed: int) -> list[tuple[str, npt.NDArray[np.float32], npt.NDArray[np.uint8]]]:
    """Return a virtual patient's stacks: fault ("" for none), frames (2, k, r, c), labels."""
    random = np.random.default_rng([seed, number])
    person = draw_heart(random)
    pixel = float(random.uniform(1.0, 2.1))
    count = int(np.ceil((person.length_mm + float(random.uniform(-5.0, 15.0))) / 10.0))
    plane = short_axis(person, count, round(230.0 / pixel), pixel)
    noise = float(random.uniform(0.01, 0.08))
    cine, labels = picture(
        person, plane, np.array([0.0, ES_PHASE]), noise=noise, seed=int(random.integers(1 << 30))
    )
    out = []
    for n in range(EACH):
        frames, drawn = cine.astype(np.float32), labels
        if random.random() > _PLAIN:
            frames, drawn = in_disguise(frames, drawn, float(random.uniform(0.1, 1.2)), random)
        name = ""
        if n == EACH - 1 or (n == 1 and random.random() < 0.5):
            name = str(random.choice(list(FAULTS)))
            frames = FAULTS[name](frames, float(random.uniform(0.15, 1.0)), random)
        out.append((name, frames, as_outlined(drawn)))
    return out


def row(
    fault: str,
    frames: npt.NDArray[np.float32],
    truth: npt.NDArray[np.uint8],
    network: Network,
    second: Network,
) -> dict[str, Any]:
    """Return the features of a stack, its true Dice by label and frame, and its volumes three ways."""
    try:
        seen = segment(frames, spacing_mm=None, network=network)
        found = volumes(seen.labels, None)
    except InputError as error:
        return {"fault": fault, "refused": str(error)}
    each = [read(frames, seen, network, second, f) for f in (0, 1)]
    real = volumes(truth, None)
    return {
        "fault": fault,
        "features": {str(c): [e.features[c].round(5).tolist() for e in each] for c in LABELS},
        "dice": {str(c): [dice(seen.labels[f] == c, truth[f] == c) for f in (0, 1)] for c in LABELS},
        "cavity": {
            "true": real.lv_ml[[0, 1]].tolist(),
            "outlined": found.lv_ml[[0, 1]].tolist(),
            "direct": [float(e.direct.sum()) for e in each],
        },
        "volume": [
            float(np.log(max(a, 1.0) / max(b, 1.0)))
            for a, b in zip(found.lv_ml[[0, 1]], real.lv_ml[[0, 1]], strict=True)
        ],
        "lvef": 100 * (found.lvef - real.lvef),
        "rvef": 100 * (found.rvef - real.rvef) if np.isfinite(found.rvef) else None,
    }


def gather(shard: Path, count: int, seed: int) -> None:
    """Append the rows of the patients that the shard lacks."""
    done = len(shard.read_text().splitlines()) // EACH if shard.exists() else 0
    network, second = Network(NETWORK), Network(DIRECT)
    for number in range(done, count):
        rows = [row(*one, network, second) for one in stacks(number, seed)]
        with shard.open("a") as file:
            file.writelines(json.dumps(r) + "\n" for r in rows)


def fit(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the model: standardised linear logits of Dice by label, how well they flag, error lines."""
    answered = [r for r in rows if "refused" not in r]
    model: dict[str, Any] = {"features": list(FEATURES)}
    worst: dict[int, Floats] = {}
    flag: dict[str, float] = {}
    for c in LABELS:
        table = np.array([f for r in answered for f in r["features"][str(c)]])
        truth = np.array([d for r in answered for d in r["dice"][str(c)]])
        mean, scale, weights = line(table, truth)
        model |= {f"mean_{c}": mean.tolist(), f"scale_{c}": scale.tolist(), f"weights_{c}": weights.tolist()}
        worst[c] = say(table, mean, scale, weights).reshape(-1, 2).min(1)
        if c == LV:
            said = _crossed(table, truth)
            flag = {
                "sensitivity": float((said < POOR)[truth < POOR].mean()),
                "false alarm": float((said < POOR)[truth >= POOR].mean()),
                "r": float(np.corrcoef(said, truth)[0, 1]),
                "volumes": len(truth),
                "poor": int((truth < POOR).sum()),
            }
    errors = {
        "volume": _line(worst[LV], np.array([max(map(abs, r["volume"])) for r in answered])),
        "lvef": _line(worst[LV], np.array([abs(r["lvef"]) for r in answered])),
        "rvef": _line(worst[RV], np.array([abs(r["rvef"] or 0.0) for r in answered])),
    }
    return {
        "model": model,
        "virtual patients left out": flag,
        "errors": errors,
        "direct share": share_of(answered),
    }


def line(table: Floats, truth: Floats) -> tuple[Floats, Floats, Floats]:
    """Return mean and scale of the features (n, f), and weights (1 + f,) of the logit of Dice (n,)."""
    mean, scale = table.mean(0), table.std(0) + 1e-6
    x = np.column_stack([np.ones(len(table)), np.clip((table - mean) / scale, -3.0, 3.0)])
    y = np.clip(truth, _LOWEST, _HIGHEST)
    penalty = RIDGE * np.eye(x.shape[1])
    penalty[0, 0] = 0.0
    return mean, scale, np.linalg.solve(x.T @ x + penalty, x.T @ np.log(y / (1 - y)))


def say(table: Floats, mean: Floats, scale: Floats, weights: Floats) -> Floats:
    """Return the Dice (n,) that a line predicts from features (n, f)."""
    x = np.clip((table - mean) / scale, -3.0, 3.0)
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(weights[0] + x @ weights[1:], -20, 20))))


def _crossed(table: Floats, truth: Floats, folds: int = 10) -> Floats:
    """Return what lines fitted without a tenth of the patients predict of that tenth."""
    group = np.arange(len(table)) * folds // len(table)
    out = np.empty(len(table))
    for n in range(folds):
        out[group == n] = say(table[group == n], *line(table[group != n], truth[group != n]))
    return out


def share_of(rows: list[dict[str, Any]]) -> float:
    """Return the share of the estimate without outlines in the mean of both that errs least in LVEF."""
    pairs = [r["cavity"] for r in rows if min(r["dice"][str(LV)]) >= POOR and r["fault"] == ""]
    ef = {
        w: np.array([1 - p[w][1] / max(p[w][0], 1.0) for p in pairs]) for w in ("true", "outlined", "direct")
    }
    shares = np.arange(0.0, 1.01, 0.05)
    error = [np.abs((1 - s) * ef["outlined"] + s * ef["direct"] - ef["true"]).mean() for s in shares]
    return round(float(shares[int(np.argmin(error))]), 2)


def _line(predicted: Floats, error: Floats) -> list[float]:
    """Return a and b of sd = a + b (1 - dice): in each of six bins 1.96 sd hold 95 of 100 errors.

    Only of what is predicted to be fair: what is flagged may err by anything.
    """
    fair = np.flatnonzero(predicted >= _FAIR)
    bins = np.array_split(fair[np.argsort(predicted[fair])], 6)
    x = np.array([1 - predicted[b].mean() for b in bins])
    y = np.array([np.percentile(error[b], 95) / 1.96 for b in bins])
    slope, start = np.polyfit(x, y, 1)
    return [float(max(start, 0.5 * y.min())), float(max(slope, 0.0))]


def refit(shard: Path, patients: int = PATIENTS, seed: int = 11) -> Path:
    """Gather what a shard lacks, fit, and write the card that ships; return its path.

    Begin with an empty shard whenever one of the two networks changed.
    """
    gather(shard, patients, seed)
    rows = [json.loads(text) for text in shard.read_text().splitlines()]
    target = Path(__file__).resolve().parents[1] / "models" / "cmr_trust.json"
    body = fit(rows) | {"stacks": len(rows), "patients": len(rows) // EACH}
    target.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    return target


if __name__ == "__main__":
    refit(Path(sys.argv[1]), *(int(number) for number in sys.argv[2:]))
