"""Study: an infarcted ventricle, from programmed stimulation to a virtual ablation.

    python examples/ep_infarct/study.py --quick            three sites on a coarse grid, a minute
    python examples/ep_infarct/study.py                    screening before and after the ablation
    python examples/ep_infarct/study.py --shard 0/2        every second site; 1/2 elsewhere, then once without
    python examples/ep_infarct/study.py --part full        the circuit again with cells, 0.8 mm
    python examples/ep_infarct/study.py --part isthmus     its isthmus at 0.2 mm
    python examples/ep_infarct/study.py --part table       results.json beside this file

Each site and each stretch of 100 ms that is finished is kept in ``--work`` and not run again; parts of one
heart may run on different machines that share that folder. What is found is so in this model.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import full
import infarct
import numpy as np

from carna.ep.reentry import Circuit, Outcome, Protocol
from carna.heart.ensemble import TwinCircuit, circuits
from carna.heart.scar import SCAR
from carna.heart.twin import lesion, site_voxels
from carna.heart.ventricles import Ventricles

HERE = Path(__file__).parent
SPACING_MM = 1.5
QUICK_MM = 2.5
QUICK_SITES = ("1 basal anterior", "12 mid anterolateral", "13 apical anterior")
QUICK = Protocol(s1_beats=3, longest_ms=360.0, shortest_ms=320.0, step_ms=20.0, extras=2, sustained_ms=1500.0)
CHECKS_MM = (1.0, 2.0)  # three sites again on other grids
# The site whose re-entry needs a single extrastimulus, and couplings about the one that the screening found.
FULL_SITE, FULL_MM, FULL_S2_MS = "12 mid anterolateral", 0.8, (370.0, 380.0, 390.0)
ISTHMUS_MM = (0.5, 0.4, 0.3, 0.2)


def kept(outcome: Outcome) -> dict[str, object]:
    """Return an outcome as JSON."""
    row: dict[str, object] = {
        "couplings_ms": outcome.couplings_ms,
        "captured": outcome.captured,
        "sustained": outcome.sustained,
        "lasted_ms": round(outcome.lasted_ms),
        "cycle_ms": None if outcome.cycle_ms is None else round(outcome.cycle_ms, 1),
    }
    if outcome.circuit is not None:
        c = outcome.circuit
        row["circuit"] = {
            "path": c.path.tolist(), "times_ms": np.round(c.times_ms, 2).tolist(), "cycle_ms": c.cycle_ms,
            "laps": c.laps, "swept_mm3_per_ms": np.round(c.swept_mm3_per_ms, 2).tolist(),
            "isthmus": c.isthmus.tolist(), "exit_site": c.exit_site.tolist(),
        }  # fmt: skip
    return row


def read(work: Path, heart: str, spacing_mm: float) -> dict[str, tuple[Outcome, ...]]:
    """Return what was kept of a heart, by site."""
    found = {}
    for file in sorted(work.glob(f"{heart}-{spacing_mm:g}mm-*.json"), key=_place):
        held = json.loads(file.read_text())
        outcomes = []
        for row in held["tried"]:
            c = row.pop("circuit", None)
            circuit = c and Circuit(**{k: np.array(v) if isinstance(v, list) else v for k, v in c.items()})
            row["couplings_ms"] = tuple(row["couplings_ms"])
            outcomes.append(Outcome(site=held["site"], circuit=circuit, **row))
        found[held["site"]] = tuple(outcomes)
    return found


def _place(file: Path) -> tuple[int, str]:
    """Sort sites by their number."""
    word = file.stem.split("-")[2].split("_")[0]
    return (int(word) if word.isdigit() else 99), file.stem


def write(file: Path, value: object) -> None:
    """Write JSON in one go: an interrupted run leaves no half file."""
    part = file.with_suffix(".part")
    part.write_text(json.dumps(value))
    part.rename(file)


def screened(
    work: Path, name: str, of: Ventricles, sites: tuple[str, ...], shard: tuple[int, int], protocol: Protocol
) -> bool:
    """Screen the sites that are missing; tell whether all are there."""
    spacing = of.spacing_mm[0]
    names = sites or tuple(site_voxels(of))
    files = [work / f"{name}-{spacing:g}mm-{site.replace(' ', '_')}.json" for site in names]
    todo = [(s, f) for s, f in list(zip(names, files, strict=True))[shard[0] :: shard[1]] if not f.exists()]
    for site, file in todo:
        began = time.process_time()
        tried = infarct.tried(of, work, site, protocol)
        cpu_s = time.process_time() - began
        write(file, {"site": site, "cpu_s": round(cpu_s, 2), "tried": [kept(one) for one in tried]})
        last = [one for one in tried if one.sustained]
        said = f"{last[0].couplings_ms} cycle {last[0].cycle_ms:.0f} ms" if last else "nothing sustained"
        sys.stdout.write(f"{name} {spacing:g} mm, {site}: {len(tried)} tried, {said}, {cpu_s:.1f} s\n")
        sys.stdout.flush()
    return all(file.exists() for file in files)


def together(work: Path, name: str, of: Ventricles) -> tuple[TwinCircuit, ...]:
    """Return the circuits of a heart: here the sites are what the members of an ensemble are elsewhere."""
    return circuits(tuple(read(work, name, of.spacing_mm[0]).values()), of.grid)


def ablated(work: Path, of: Ventricles) -> Ventricles:
    """Return the heart with the isthmus of its most frequent circuit burnt."""
    top = together(work, "infarct", of)[0]
    return infarct.burnt(of, lesion(of, top.isthmus, infarct.LESION_MM))


def screening(work: Path, shard: tuple[int, int], *, quick: bool) -> None:
    """Screen the infarcted heart, the same after an ablation, and hearts that must not re-enter."""
    spacing, protocol = (QUICK_MM, QUICK) if quick else (SPACING_MM, infarct.PROTOCOL)
    sites = QUICK_SITES if quick else ()
    of = infarct.heart(spacing)
    if not screened(work, "infarct", of, sites, shard, protocol):
        return
    for one in together(work, "infarct", of):
        sys.stdout.write(f"circuit from {one.share.hits} of {one.share.of} sites, cycles {one.cycles_ms}\n")
    if together(work, "infarct", of):
        screened(work, "ablated", ablated(work, of), sites, shard, protocol)
    for name, scar in (("whole", None), ("closed", infarct.CLOSED)):
        screened(work, name, infarct.heart(spacing, scar), sites, shard, protocol)
    if not quick:
        for other in CHECKS_MM:
            screened(work, "infarct", infarct.heart(other), QUICK_SITES, shard, protocol)


def isthmus(work: Path) -> None:
    """Send beats through the cut-out isthmus of the most frequent circuit on two grids."""
    of = infarct.heart(SPACING_MM)
    example = together(work, "infarct", of)[0].example
    circuit = next(one.circuit for one in read(work, "infarct", SPACING_MM)[example.site] if one.circuit)
    for spacing in ISTHMUS_MM:
        file = work / f"isthmus-{spacing:g}mm.json"
        if not file.exists():
            write(file, full.isthmus_run(of, circuit, spacing))
        sys.stdout.write(file.read_text() + "\n")


def best(tried: tuple[Outcome, ...]) -> dict[str, object]:
    """Return the sustained re-entry of a site, or its longest."""
    one = max(tried, key=lambda o: (o.sustained, o.lasted_ms))
    return {**{k: v for k, v in kept(one).items() if k != "circuit"}, "tried": len(tried)}


def write_table(work: Path) -> None:
    """Write results.json from what was kept."""
    of = infarct.heart(SPACING_MM)
    screened_at = {
        name: {site: best(tried) for site, tried in read(work, name, SPACING_MM).items()}
        for name in ("infarct", "ablated", "closed", "whole")
    }
    checks = {
        f"{h:g} mm": {site: best(tried) for site, tried in read(work, "infarct", h).items()}
        for h in CHECKS_MM
    }
    found = [
        {
            "sites": one.share.hits, "of": one.share.of, "cycles_ms": [round(c, 1) for c in one.cycles_ms],
            "isthmus_lps_mm": [round(x, 1) for x in one.place_lps_mm], "isthmus_voxels": len(one.isthmus),
        }
        for one in together(work, "infarct", of)
    ]  # fmt: skip
    burnt = ablated(work, of).region == SCAR
    whole = infarct.heart(FULL_MM)
    runs = []
    for file in sorted(work.glob(f"full-{FULL_MM:g}mm-[0-9]*.npz")):
        if file.stem.count("-") == 2:
            held = np.load(file)
            runs.append(full.laps(whole, held["t"], held["v"], float(file.stem.split("-")[2])))
    table = {
        "spacing_mm": SPACING_MM, "screening": screened_at, "circuits": found,
        "emergent": [{"sites": one.share.hits, "of": one.share.of} for one in together(work, "ablated", of)],
        "ablated_ml": round(float((burnt & (of.region != SCAR)).sum() * of.grid.voxel_ml), 2),
        "checks": checks,
        "full": {"site": FULL_SITE, "spacing_mm": FULL_MM, "runs": runs},
        "isthmus": [json.loads((work / f"isthmus-{h:g}mm.json").read_text()) for h in ISTHMUS_MM
                    if (work / f"isthmus-{h:g}mm.json").exists()],
    }  # fmt: skip
    (HERE / "results.json").write_text(json.dumps(table, indent=1) + "\n")


def main() -> None:
    """Run the part asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--part", choices=("screening", "full", "isthmus", "table"), default="screening")
    parser.add_argument("--shard", default="0/1")
    parser.add_argument("--work", type=Path, default=Path("ep_infarct_work"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    part, parts = map(int, args.shard.split("/"))
    if args.part == "screening":
        screening(args.work, (part, parts), quick=args.quick)
    elif args.part == "full":
        of = infarct.heart(FULL_MM)
        for coupling in FULL_S2_MS[part::parts]:
            full.heart_run(of, args.work, FULL_SITE, coupling)
    elif args.part == "isthmus":
        isthmus(args.work)
    else:
        write_table(args.work)


if __name__ == "__main__":
    main()
