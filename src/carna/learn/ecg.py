"""Everything measured of the electrocardiogram reader: beats, waves, rhythm, statements, second opinion."""

from __future__ import annotations

from pathlib import Path

from carna.learn import ecg_beats, ecg_rhythm, ecg_second, ecg_statements, ecg_waves
from carna.learn.evaluate import Row
from carna.progress import SILENT, Progress

_SUITES = (ecg_beats, ecg_waves, ecg_rhythm, ecg_statements, ecg_second)


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows of every ECG suite on whatever of its sets is there."""
    rows: list[Row] = []
    for n, suite in enumerate(_SUITES):
        rows += suite.evaluate(data, progress.part(n / len(_SUITES), (n + 1) / len(_SUITES)))
    return tuple(rows)
