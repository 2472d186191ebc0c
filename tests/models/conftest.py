"""Tests of the recipe compute for minutes."""

import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def _give_way() -> None:
    """Beside the other lane, which lives in real time, take what it leaves, and one core at most."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"  # of processes that are started
        os.nice(19)
        torch = pytest.importorskip("torch")
        torch.set_num_threads(1)
