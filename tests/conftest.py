"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real clips and reference files that TA3N_SHARED names."""
    folder = os.environ.get("TA3N_SHARED")
    if not folder:
        pytest.skip("TA3N_SHARED is not set: no folder of real clips and reference files")
    return Path(folder)
