"""Study: four stages of ischaemia in one cell: its action potential, its restitution, what moves them.

    python examples/ep_ischaemia/run.py --small      action potentials only, seconds
    python examples/ep_ischaemia/run.py              with sensitivity, some minutes of one core

Finished stages are kept in ``--work`` and not run again. Tables go to ``action_potentials.csv`` and
``sensitivity.csv`` beside this file. In a model; nothing here advises on a patient.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np

from carna.ep import conditions, sensitivity
from carna.ep.cell import CellModel, load
from carna.ep.cell.pace import pace
from carna.ep.change import Change

HERE = Path(__file__).parent
CYCLE_MS, BEATS = 1000.0, 50
STAGES = (
    Change("control"),
    *(conditions.ischaemia_1a(m) for m in (2.5, 5.0, 7.5, 10.0, 12.5, 15.0)),
    conditions.ischaemia_1b(),
    conditions.border_zone_subacute(),
    conditions.border_zone_chronic(),
    Change("[K]o 9 mM alone", values={"K_o": 9.0}),
    Change("ATP 4.6 mM alone", values={"ATP_i": 4.6}),
)
WEIGHED = ("control", "ischaemia 1A, minute 7.5", "ischaemia 1B, about 45 minutes")
WEIGHED += ("infarct border zone, subacute", "infarct border zone, chronic")
PARAMETERS = ("g_Na", "g_CaL", "g_to", "g_Kr", "g_Ks", "g_K1", "g_KATP", "g_NaK", "g_NaCa", "K_o")
# Within 15 % every cell of every stage fires at both cycle lengths, which shares of variance need.
SPREAD = 0.15
PROTOCOL = sensitivity.Protocol(CYCLE_MS, 10, 0.05)


def action_potential(stage: Change, model: CellModel) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Return a stage's row of the table, and its trace and restitution."""
    ill = stage.on(model)
    paced = pace(ill, CYCLE_MS, BEATS)
    coupling = np.concatenate([np.arange(80.0, 480, 4), np.arange(480.0, 900, 20)])
    early = pace(ill, np.stack([coupling, np.full_like(coupling, 2 * CYCLE_MS)]), 2, start=paced.cells)
    rest, apd = early.diastolic_ms[1], early.apd90_ms[1]
    # A response that does not reach 0 mV is graded by the stimulus, not an action potential.
    good = np.isfinite(apd) & (rest > 0) & (early.peak_mv[1] > 0)
    rest, apd = rest[good], apd[good]
    # Lines over 30 ms of diastolic interval: between neighbours the onset of firing would decide.
    near = [(rest >= d) & (rest <= d + 30) for d in rest]
    slope = [np.polyfit(rest[k], apd[k], 1)[0] for k in near if k.sum() >= 4]
    potassium = ill["Ko"].value
    row = {
        "stage": stage.name,
        "K_o_mM": potassium,
        "ATP_i_mM": ill["ATPi"].value,
        "E_K_mV": round(26.712 * float(np.log(potassium / paced.cells["Ki"][0])), 2),
        "rest_mV": round(float(paced.rest_mv[-1, 0]), 1),
        "peak_mV": round(float(paced.peak_mv[-1, 0]), 1),
        "upstroke_V_per_s": round(float(paced.rise_v_per_s[-1, 0])),
        "apd30_ms": round(float(paced.apd30_ms[-1, 0]), 1),
        "apd50_ms": round(float(paced.apd50_ms[-1, 0]), 1),
        "apd90_ms": round(float(paced.apd90_ms[-1, 0]), 1),
        "restitution_slope_max": round(float(max(slope)), 2) if slope else None,
        "shortest_S2_ms": float(coupling[good].min()),
    }
    return row, {"t": paced.trace_ms, "v": paced.trace_mv[:, 0], "rest": rest, "apd": apd}


def weights(stage: Change, model: CellModel) -> list[dict[str, object]]:
    """Return local slopes, rank correlations and shares of variance, one row per parameter and output."""
    ill = stage.on(model)
    one = sensitivity.local(ill, PARAMETERS, protocol=PROTOCOL)
    ranked = sensitivity.ranked(ill, PARAMETERS, spread=SPREAD, cells=1024, protocol=PROTOCOL)
    first, total = sensitivity.sobol(ill, PARAMETERS, spread=SPREAD, base=128, protocol=PROTOCOL)
    names = {"local": one, "prcc": ranked, "sobol_first": first, "sobol_total": total}
    return [
        {"stage": stage.name, "parameter": p, "output": o}
        | {k: round(e.of(p, o), 3) for k, e in names.items()}
        | {"prcc_low": round(float(ranked.low[n, m]), 3), "prcc_high": round(float(ranked.high[n, m]), 3)}
        for n, p in enumerate(PARAMETERS)
        for m, o in enumerate(ranked.outputs)
    ]


def write(path: Path, rows: list[dict[str, object]]) -> None:
    """Write rows as CSV."""
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Run the stages that are missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--work", type=Path, default=Path("ep_ischaemia_work"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    model = load("tt2006_ischaemic", "epi")
    rows, traces = [], {}
    for n, stage in enumerate(STAGES[:3] if args.small else STAGES):
        row, trace = action_potential(stage, model)
        rows.append(row)
        traces |= {f"{n}.{k}": v for k, v in trace.items()}
        sys.stdout.write(", ".join(f"{k} {v}" for k, v in row.items()) + "\n")
    if args.small:
        return
    write(HERE / "action_potentials.csv", rows)
    np.savez(args.work / "traces.npz", **traces)
    found = []
    for stage in STAGES:
        if stage.name not in WEIGHED:
            continue
        file = args.work / f"{stage.name}.json"
        if not file.exists():
            file.write_text(json.dumps(weights(stage, model)))
            sys.stdout.write(f"{stage.name}: sensitivity done\n")
            sys.stdout.flush()
        found += json.loads(file.read_text())
    write(HERE / "sensitivity.csv", found)


if __name__ == "__main__":
    main()
