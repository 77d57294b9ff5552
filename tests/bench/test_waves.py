"""The delineators' bench: what is read of each, and what is said where nothing can be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from carna.bench import waves
from carna.learn.ecg_waves import Marked
from carna.phantom.ecg import electrocardiogram


def test_no_rows_without_ludb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CARNA_DATA", str(tmp_path))
    assert list(waves.rows()) == []


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(waves._PEERS))
def test_each_peer_finds_the_waves_of_a_virtual_patient(name: str) -> None:
    """A peer read in the wrong unit, at the wrong rate or with its classes mixed up would find none."""
    needs, make = waves._PEERS[name]
    for package in needs:
        pytest.importorskip(package)
    truth = electrocardiogram(60.0, seconds=10.0, noise_mv=0.01, seed=1)
    lead = truth.mv[1:2].astype(np.float32)
    found = make()(Marked("virtual", lead, truth.hz, {}, np.zeros((1, 2))))
    for wave, true in (("p", truth.p_s), ("qrs", truth.qrs_s), ("t", truth.t_s)):
        middle = np.nanmean(found[wave][0], axis=1)
        inner = true[2:-2].mean(1)
        near = np.abs(middle[:, None] - inner).min(0) < 0.06
        assert near.mean() > 0.7, (name, wave)
