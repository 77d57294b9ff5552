"""Fit what predicts the error of outlines: on virtual patients, with and without faults put in.

``python -m carna.learn.cmr_trust gather FILE COUNT [SEED]`` draws virtual patients in the physics' own
pictures (`carna.phantom.mr`, which taught the network nothing), puts faults into each, and appends a JSON
line for each stack; it goes on where it stopped. ``python -m carna.learn.cmr_trust fit FILE`` writes
``models/cmr_trust.json``.
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
from carna.image.ventricles.trust import FEATURES, features
from carna.learn.agreement import dice
from carna.phantom.faults import FAULTS
from carna.phantom.heart import ES_PHASE
from carna.phantom.labels import as_outlined
from carna.phantom.mr import picture
from carna.phantom.patient import short_axis
from carna.phantom.people import draw_heart

Floats = npt.NDArray[np.float64]

LABELS = (RV, MYOCARDIUM, LV)
RIDGE = 1.0
EACH = 3  # stacks of each patient: as it is, and with two faults


def stacks(number: int, seed: int) -> list[tuple[str, npt.NDArray[np.float32], npt.NDArray[np.uint8]]]:
    """Return a virtual patient's stacks: fault, frames (2, k, r, c), labels; the first without a fault."""
    random = np.random.default_rng([seed, number])
    person = draw_heart(random)
    pixel = float(random.uniform(1.1, 1.8))
    count = int(np.ceil((person.length_mm + float(random.uniform(-5.0, 15.0))) / 10.0))
    plane = short_axis(person, count, round(230.0 / pixel), pixel)
    noise = float(random.uniform(0.01, 0.08))
    cine, labels = picture(
        person, plane, np.array([0.0, ES_PHASE]), noise=noise, seed=int(random.integers(1 << 30))
    )
    truth = as_outlined(labels)
    frames = cine.astype(np.float32)
    out = [("", frames, truth)]
    for name in random.choice(list(FAULTS), EACH - 1, replace=False):
        strength = float(random.uniform(0.15, 1.0))
        out.append((str(name), FAULTS[name](frames, strength, random), truth))
    return out


def row(
    fault: str, frames: npt.NDArray[np.float32], truth: npt.NDArray[np.uint8], network: Network
) -> dict[str, Any]:
    """Return the features of a stack, its true Dice by label and frame, and the errors of its volumes."""
    try:
        seen = segment(frames, spacing_mm=None, network=network)
        found = volumes(seen.labels, None)
    except InputError as error:
        return {"fault": fault, "refused": str(error)}
    each = [features(frames, seen, network, f)[0] for f in (0, 1)]
    real = volumes(truth, None)
    return {
        "fault": fault,
        "features": {str(c): [e[c].round(5).tolist() for e in each] for c in LABELS},
        "dice": {str(c): [dice(seen.labels[f] == c, truth[f] == c) for f in (0, 1)] for c in LABELS},
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
    network = Network(NETWORK)
    for number in range(done, count):
        rows = [row(*one, network) for one in stacks(number, seed)]
        with shard.open("a") as file:
            file.writelines(json.dumps(r) + "\n" for r in rows)


def fit(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the model: standardised linear logits of Dice by label, and the error lines."""
    answered = [r for r in rows if "refused" not in r]
    table = {c: np.array([f for r in answered for f in r["features"][str(c)]]) for c in LABELS}
    truth = {c: np.array([d for r in answered for d in r["dice"][str(c)]]) for c in LABELS}
    mean, scale = table[LV].mean(0), table[LV].std(0) + 1e-6
    model: dict[str, Any] = {"features": list(FEATURES), "mean": mean.tolist(), "scale": scale.tolist()}
    worst = np.zeros(len(answered))
    for c in LABELS:
        x = np.column_stack([np.ones(len(table[c])), (table[c] - mean) / scale])
        y = np.log(np.clip(truth[c], 0.02, 0.98) / (1 - np.clip(truth[c], 0.02, 0.98)))
        penalty = RIDGE * np.eye(x.shape[1])
        penalty[0, 0] = 0.0
        weights = np.linalg.solve(x.T @ x + penalty, x.T @ y)
        model[f"weights_{c}"] = weights.tolist()
        if c == LV:
            worst = (1 / (1 + np.exp(-(x @ weights)))).reshape(-1, 2).min(1)
        if c == RV:
            worst_right = (1 / (1 + np.exp(-(x @ weights)))).reshape(-1, 2).min(1)
    errors = {
        "volume": _line(worst, np.array([max(map(abs, r["volume"])) for r in answered])),
        "lvef": _line(worst, np.array([abs(r["lvef"]) for r in answered])),
        "rvef": _line(worst_right, np.array([abs(r["rvef"] or 0.0) for r in answered])),
    }
    return {"model": model, "errors": errors}


def _line(predicted: Floats, error: Floats) -> list[float]:
    """Return a and b of sd = a + b (1 - dice): least absolute errors in five bins, times 1.253."""
    order = np.argsort(predicted)
    bins = np.array_split(order, 6)
    x = np.array([1 - predicted[b].mean() for b in bins])
    # Of a normal error the mean absolute value is 0.798 standard deviations; single failures must not rule.
    y = np.array([1.253 * np.minimum(error[b], np.percentile(error[b], 95)).mean() for b in bins])
    slope, start = np.polyfit(x, y, 1)
    return [float(max(start, 0.5 * y.min())), float(max(slope, 0.0))]


def main(arguments: list[str]) -> None:
    """Run a command of the module's first page."""
    shard = Path(arguments[1])
    if arguments[0] == "gather":
        gather(shard, int(arguments[2]), int(arguments[3]) if len(arguments) > 3 else 11)
        return
    rows = [json.loads(line) for line in shard.read_text().splitlines()]
    body = fit(rows) | {"stacks": len(rows), "patients": len(rows) // EACH}
    target = Path(__file__).resolve().parents[1] / "models" / "cmr_trust.json"
    target.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
