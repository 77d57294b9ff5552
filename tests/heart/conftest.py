import pytest

from carna.heart.ventricles import ventricles


@pytest.fixture(scope="session")
def heart():
    """The default heart at 1 mm: 170,000 voxels of muscle."""
    return ventricles(spacing_mm=1.0)
