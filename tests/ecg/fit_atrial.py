"""Learn the scores of rhythm: ``python tests/ecg/fit_atrial.py DATA`` rewrites the three weight files.

``carna/ecg/kind_weights.py`` (ventricular beats: MIT-BIH, QTDB), ``atrial_weights.py`` (fibrillating
windows: MIT-BIH, QTDB, CinC2017) and ``strip_weights.py`` (one-lead strips: CinC2017). SVDB and CPSC2021
are never learned from. The models and what counts how much: `carna.learn.ecg_rhythm_fit`. Out-of-fold
figures: ``carna evaluate ecg-rhythm``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import carna.ecg
from carna.ecg.atrial import WINDOW_NAMES
from carna.ecg.kinds import CROSSED
from carna.ecg.logistic import Logistic
from carna.ecg.strips import NAMES
from carna.learn.ecg_rhythm_fit import FITTED, fit_fibrillation, fit_strips, fit_ventricular, material

HEAD = '''"""{title}

Learned from
    {sources}
Never learned from
    CPSC2021, SVDB, and whatever is not named above.
Recipe, scores
    ``tests/ecg/fit_atrial.py``; ``docs/ecg-rhythm.md``.
Not for
    {limits}
"""

from __future__ import annotations

import numpy as np

from carna.ecg.logistic import Logistic

'''


def written(name: str, model: Logistic, rows: tuple[str, ...]) -> str:
    """The model as Python source, one commented row a column of its input."""
    lines = [
        "(" + ", ".join(f"{v:.4g}" for v in w) + f"),  # {row}"
        for row, w in zip(rows, model.weight, strict=True)
    ]
    bias = ", ".join(f"{v:.4g}" for v in model.bias)
    return f"{name} = Logistic(\nnp.array((\n" + "\n".join(lines) + f"\n)),\nnp.array(({bias})),\n)\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    found = material(parser.parse_args().data)
    folder = Path(carna.ecg.__file__).parent
    taught = [d for d in found.recordings if d.source.set in FITTED]
    ventricular = fit_ventricular(taught)
    long = (
        "MIT-BIH Arrhythmia Database (doi:10.13026/C2F305), 6 persons, and QT Database"
        "\n    (doi:10.13026/C24K53), 13 persons: subsets, ODC-By 1.0"
    )
    strips = (
        "PhysioNet/CinC Challenge 2017 (doi:10.22489/CinC.2017.065-469), 201 one-lead strips,\n    ODC-By 1.0"
    )
    for file, title, sources, limits, name, model, rows in (
        (
            "kind_weights.py",
            "What speaks for a ventricular beat: the score of `kinds`, normal and ventricular, and its card.",
            long,
            "Paced rhythms; persons most of whose beats are ventricular; children.",
            "VENTRICULAR_SCORE",
            ventricular,
            CROSSED,
        ),
        (
            "atrial_weights.py",
            "What speaks for fibrillation in 30 beats: the score of `atrial`, no and yes, and its card.",
            f"{long};\n    {strips}",
            "Paced rhythms, children, recordings without 16 trusted beats in a row.",
            "FIBRILLATION_SCORE",
            fit_fibrillation(taught, found, ventricular),
            WINDOW_NAMES,
        ),
        (
            "strip_weights.py",
            "Sinus rhythm, fibrillation, other, noise: the score of `strips`, and its card.",
            strips,
            "Strips below 8.5 s, children; any other lead than the hand-held one it was learned from.",
            "STRIP_SCORE",
            fit_strips(found.strips, found.labels),
            NAMES,
        ),
    ):
        head = HEAD.format(title=title, sources=sources, limits=limits)
        (folder / file).write_text(head + written(name, model, rows))


if __name__ == "__main__":
    main()
