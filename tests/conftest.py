"""Fixtures that every test may use: the real data, and peers that must be there in CI."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
IN_CI = os.environ.get("CI") == "true"


def _absent(reason: str) -> None:
    """Skip on a developer's machine, fail in CI: there, everything must be present."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def _reference_networks() -> Iterator[None]:
    """Compute networks in float32 by ONNX Runtime, the reference, where OpenVINO is installed too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("carna.image.network.find_spec", lambda name: None)
        yield


@pytest.fixture(scope="session")
def data() -> Callable[[str], Path]:
    """Return the folder of a real data set: ``data("ludb")``."""
    root = Path(os.environ.get("CARNA_DATA", ROOT.parent / "shared" / "data"))

    def find(name: str) -> Path:
        if not (root / name).exists():
            _absent(f"CARNA_DATA={root} has no {name}: skipped")
        return root / name

    return find


@pytest.fixture(scope="session")
def peer() -> Callable[[str], str]:
    """Return the full path of a peer program: ``peer("dcmftest")``.

    Only system folders are searched: pynetdicom's scripts shadow dcmtk's in an environment.
    """

    def find(name: str) -> str:
        path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
        if path is None:
            _absent(f"the peer program {name} is not installed: skipped")
            return ""
        return path

    return find


@pytest.fixture(scope="session")
def library() -> Callable[[str], ModuleType]:
    """Return a peer library: ``library("wfdb")``."""

    def find(name: str) -> ModuleType:
        try:
            return importlib.import_module(name)
        except ImportError:
            _absent(f"the peer library {name} is not installed: skipped")
            raise

    return find
