"""What must be settled before any library is loaded, and who runs beside whom."""

import os

import pytest

# PyTorch's threads wait for each other by spinning: ten times as long where the machine has other work, too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Part the tests into two lanes: those of the recipe compute, most others wait for real time."""
    for item in items:
        lane = "computes" if item.nodeid.startswith("tests/models/") else "waits"
        item.add_marker(pytest.mark.xdist_group(lane))
