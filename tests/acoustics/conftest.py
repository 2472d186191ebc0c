from pathlib import Path

import pytest

from agent.acoustics.bundle import Bundle
from tests.acoustics.small import write_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Not to be changed: `damaged` is for that."""
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A bundle's folder to be damaged."""
    return write_bundle(tmp_path / "bundle").folder
