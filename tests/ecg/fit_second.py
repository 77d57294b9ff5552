"""Teach the second opinion: ``python tests/ecg/fit_second.py DATA`` writes ``models/ecg_second.json``."""

from __future__ import annotations

import sys
from pathlib import Path

from carna.ecg import second
from carna.learn.ecg_second import fit, written

if __name__ == "__main__":
    body = fit(Path(sys.argv[1]))
    place = Path(second.__file__).resolve().parents[1] / "models" / "ecg_second.json"
    place.write_text(written(body), encoding="utf-8")
    for model in body["models"]:
        print(model["name"], model["score"])
