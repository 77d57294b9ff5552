"""Study: the whole heart, from pacing sites and in sinus-like rhythm: activation and twelve leads.

    python examples/heart/run.py sites            20 beats from arrival times at 0.5 mm, a minute
    python examples/heart/run.py sites --small    the same at 1.5 mm, seconds
    python examples/heart/run.py eikonal          monodomain beside eikonal, 0.5 mm, some minutes a site
    python examples/heart/run.py beat --out DIR   one whole beat at 0.4 mm, 600 ms; goes on where it stopped

``sites.csv``, ``eikonal.csv`` and ``beat.csv`` (leads) are written here; the beat's activation and what it
cost go to DIR. ``figures.py`` draws them. An idealised heart on an assumed chest: nothing here is a patient.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import time
from pathlib import Path

import numpy as np

from carna import ep
from carna.heart.activation import Entries, arrival, muscle, sinus_entries, stimuli
from carna.heart.leads import (
    LEADS,
    axis_deg,
    ecg_of_arrival,
    electrodes,
    fields,
    qrs,
    templates,
    twelve,
)
from carna.heart.sites import Site, pacing_sites
from carna.heart.ventricles import Ventricles, ventricles

HERE = Path(__file__).parent
BULK = ep.diffusion((0.17, 0.019, 0.019), (0.62, 0.24, 0.24))
DT_MS = 0.05
COMPARED = ("12 mid anterolateral", "3 basal inferoseptal", "right apex")


def cells() -> list[ep.CellModel]:
    """Return the three cell types in the order of `Ventricles.cell_type`."""
    return [ep.load("tt2006", variant) for variant in ("endo", "mid", "epi")]


def write(name: str, rows: list[dict[str, object]]) -> None:
    """Write a table beside this script."""
    with (HERE / name).open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def sites(spacing_mm: float) -> list[dict[str, object]]:
    """Return QRS of a sinus-like beat and of every pacing site, from arrival times."""
    heart = ventricles(spacing_mm=spacing_mm)
    seen, shape, tissue = fields(heart), templates(cells()), muscle(heart)
    rows: list[dict[str, object]] = []
    sources: tuple[Site | Entries, ...] = (sinus_entries(heart), *pacing_sites(heart))
    for source in sources:
        begun = time.process_time()
        reached = arrival(tissue, source).ravel()[heart.at.where]
        beat = ecg_of_arrival(seen, reached, shape, heart.cell_type)
        spent = time.process_time() - begun
        last = float(reached.max())
        begin, end = qrs(beat, last)
        within = slice(round(begin * beat.rate_hz / 1e3), round(end * beat.rate_hz / 1e3))
        row: dict[str, object] = {
            "source": getattr(source, "name", "sinus-like"),
            "last_ms": round(last, 1),
            "qrs_ms": round(end - begin, 1),
            "axis_deg": round(axis_deg(beat, last)),
        }
        for name in LEADS:  # net area over total area: +1 all upright, -1 all inverted
            v = beat.lead(name)[within]
            row[name] = round(float(v.sum() / np.abs(v).sum()), 2)
        rows.append(row | {"cpu_s": round(spent, 2)})
    return rows


def eikonal(spacing_mm: float) -> list[dict[str, object]]:
    """Return how far eikonal arrival is from activation in a monodomain run, for some pacing sites."""
    heart = ventricles(spacing_mm=spacing_mm)
    tissue = ep.organ(heart.mask, heart.spacing_mm, ep.load("tt2006", "epi"), BULK, heart.fibres)
    tissue = ep.calibrated(tissue, dt_ms=DT_MS)
    medium = muscle(heart)
    rows: list[dict[str, object]] = []
    for site in pacing_sites(heart):
        if site.name not in COMPARED:
            continue
        pulse = stimuli(heart, site)
        found = arrival(medium, site)
        end_ms = 1.05 * float(found[np.isfinite(found)].max()) + 5.0
        run = ep.simulate(tissue, pulse, DT_MS * round(end_ms / DT_MS), dt_ms=DT_MS, multirate=ep.Multirate())
        assert run.activation_ms is not None
        rows.append({"site": site.name} | compare(heart, medium, pulse[0], run))
        write("eikonal.csv", rows)  # what is done is kept
    return rows


def compare(heart: Ventricles, medium: object, pulse: ep.Stimulus, run: ep.Run) -> dict[str, object]:
    """Return the difference of both maps, eikonal less monodomain, over the voxels that both reach."""
    from carna.ep.eikonal import arrival_times

    assert run.activation_ms is not None
    begin = np.argwhere(pulse.where)
    first = run.activation_ms[tuple(begin.T)]  # the pulse takes its time, the same for both
    found = arrival_times(medium, begin, first)  # type: ignore[arg-type]
    both = np.isfinite(run.activation_ms) & np.isfinite(found)
    a, b = run.activation_ms[both], found[both]
    off = b - a
    return {
        "voxels": heart.mask.sum(),
        "reached": int(both.sum()),
        "last_monodomain_ms": round(float(a.max()), 1),
        "last_eikonal_ms": round(float(b.max()), 1),
        "bias_ms": round(float(off.mean()), 2),
        "rmse_ms": round(float(np.sqrt((off**2).mean())), 2),
        "p95_ms": round(float(np.percentile(np.abs(off), 95)), 2),
        "correlation": round(float(np.corrcoef(a, b)[0, 1]), 5),
        "slope": round(float((a * b).sum() / (a * a).sum()), 4),
        "cpu_s": round(run.cpu_seconds, 1),
    }


def beat(out: Path, spacing_mm: float, end_ms: float, threads: int) -> None:
    """Simulate one sinus-like beat and keep activation, leads and what it cost."""
    out.mkdir(parents=True, exist_ok=True)
    heart = ventricles(spacing_mm=spacing_mm)
    mask, points = heart.mask, electrodes(heart)
    region = heart.spread(heart.cell_type)
    models = dict(enumerate(cells()))
    bare = ep.organ(mask, heart.spacing_mm, models, BULK, heart.fibres, region=region)
    leads = ep.Leads(points, every_ms=1.0, source=bare)
    # Maps of the grid are handed over, so that the run can free what only it needs.
    given: list[object] = [ep.calibrated(bare, dt_ms=DT_MS), stimuli(heart, sinus_entries(heart))]
    del heart, bare, region
    begun = time.monotonic()
    run = ep.simulate(
        given.pop(0),  # type: ignore[arg-type]
        given.pop(0),  # type: ignore[arg-type]
        end_ms,
        dt_ms=DT_MS,
        multirate=ep.Multirate(),
        record=[ep.Activation(), leads],
        checkpoint=ep.Checkpoint(out / "state.npz", every_ms=50.0),
        threads=threads,
    )
    assert run.activation_ms is not None and run.leads is not None
    np.save(out / "activation.npy", run.activation_ms[mask].astype(np.float32))
    seen = twelve(run.leads)
    with (HERE / "beat.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("ms", *LEADS))
        table.writerows((n + 1, *(f"{v:.4f}" for v in column)) for n, column in enumerate(seen.values.T))
    report = {
        "nodes": run.nodes,
        "steps": run.steps,
        "reacted": run.reacted,
        "cpu_s_of_steps": run.cpu_seconds,
        "cpu_s_of_all": time.process_time(),
        "wall_s": time.monotonic() - begun,
        "peak_GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "last_ms": float(np.nanmax(run.activation_ms)),
        "never": int(np.isnan(run.activation_ms[mask]).sum()),
    }
    (out / "report.json").write_text(json.dumps(report, indent=1))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("sites", "eikonal", "beat"))
    parser.add_argument("--small", action="store_true", help="1.5 mm, for a look")
    parser.add_argument("--out", type=Path, default=Path("heart-beat"))
    parser.add_argument("--spacing", type=float, default=None)
    parser.add_argument("--end", type=float, default=None)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    if given.what == "sites":
        write("sites.csv", sites(given.spacing or (1.5 if given.small else 0.5)))
    elif given.what == "eikonal":
        eikonal(given.spacing or 0.5)
    else:
        beat(given.out, given.spacing or 0.4, given.end or 600.0, given.threads)


if __name__ == "__main__":
    main()
