"""Study: a sheet with graded ischaemia, where an early beat or fast pacing leads to re-entry and break-up.

    python examples/ep_sheet/run.py --small          one coupling on a small sheet, seconds
    python examples/ep_sheet/run.py                  all of it, some minutes of one core
    python examples/ep_sheet/run.py --shard 0/2      every second case; run 1/2 elsewhere, then once without

Cases that are finished are kept in ``--work`` and not run again. The table goes to ``results.csv`` beside
this file. In a model; nothing here advises on a patient.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import sheet

HERE = Path(__file__).parent
COUPLINGS = (280, 290, 300, 310, 320, 330, 340, 350)
BURSTS = (280, 300, 320)
MINUTES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 7.5, 8.0, 8.5, 9.0, 10.0)
COLUMNS = ("shape", "protocol", "coupling_ms", "captured", "returns", "lasted_ms", "reentry", "most_tips")
COLUMNS += ("most_waves", "cpu_s")


def cases(small: bool) -> list[tuple[str, int, float]]:
    """Return shape, number of extra beats and coupling of every case."""
    if small:
        return [("bands", 1, 310.0)]
    singles = [(shape, 1, float(c)) for shape in sheet.SHAPES for c in COUPLINGS]
    return singles + [(shape, n, float(c)) for shape in sheet.SHAPES for n in (3, 6) for c in BURSTS]


def write_cables() -> None:
    """Write what plane waves do at each minute of ischaemia."""
    found = sheet.cables([sheet.NONE], MINUTES, 2.0)[0]
    with (HERE / "cables.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("minute", "cv_m_per_s", "apd90_ms", "erp_ms"))
        for minute, (velocity, apd, period) in zip(MINUTES, found, strict=True):
            conducts = np.isfinite([velocity, apd, period]).all()
            known = (round(velocity, 3), round(apd), round(period)) if conducts else ("", "", "")
            writer.writerow((minute, *known))


def main() -> None:
    """Run the cases that are missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--shard", default="0/1")
    parser.add_argument("--work", type=Path, default=Path("ep_sheet_work"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    size = 40.0 if args.small else 72.0
    part, parts = map(int, args.shard.split("/"))
    trains: dict[str, tuple[object, sheet.Train]] = {}
    todo = cases(args.small)
    for shape, beats, coupling in todo[part::parts]:
        file = args.work / f"{shape}-{size:.0f}mm-{beats}x{coupling:.0f}.npz"
        if file.exists():
            continue
        if shape not in trains:
            tissue = sheet.build(shape, size_mm=size)
            trains[shape] = (tissue, sheet.train(tissue, shape))
            paced = trains[shape][1]
            np.savez(args.work / f"{shape}-{size:.0f}mm.npz", s1=paced.activation_ms, apd=paced.apd_ms)
        tissue, paced = trains[shape]
        found = sheet.extra(tissue, shape, paced, coupling, beats)
        row = {
            "shape": shape,
            "protocol": "S2" if beats == 1 else f"burst of {beats}",
            "coupling_ms": coupling,
            "captured": found.captured,
            "returns": found.returns,
            "lasted_ms": round(found.lasted_ms),
            "reentry": found.lasted_ms >= sheet.REENTRY_MS,
            "most_tips": int(found.tips.max()),
            "most_waves": int(found.waves.max()),
            "cpu_s": round(found.cpu_s, 1),
        }
        arrays = {"frames": found.frames, "tips": found.tips, "waves": found.waves, "s2": found.activation_ms}
        part_file = file.with_suffix(".part")
        with part_file.open("wb") as out:
            np.savez_compressed(out, row=json.dumps(row), **arrays)
        part_file.rename(file)
        sys.stdout.write(", ".join(f"{k} {v}" for k, v in row.items()) + "\n")
        sys.stdout.flush()
    if not args.small:
        write_cables()
    names = [args.work / f"{s}-{size:.0f}mm-{b}x{c:.0f}.npz" for s, b, c in todo]
    if all(n.exists() for n in names) and not args.small:
        rows = [json.loads(str(np.load(n)["row"])) for n in names]
        with (HERE / "results.csv").open("w", newline="") as out:
            writer = csv.DictWriter(out, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
