"""What must be settled before any library is loaded, and who runs beside whom."""

import os

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# PyTorch's threads wait for each other by spinning: ten times as long where the machine has other work, too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


class Lanes(LoadScopeScheduling):  # type: ignore[misc] # it has no types
    """Two lanes: the tests of the recipe compute, most others wait for real time."""

    def _split_scope(self, nodeid: str) -> str:
        return "computes" if nodeid.startswith("tests/models/") else "waits"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    """Part the tests where `./dev test` runs all of them."""
    return Lanes(config, log)
