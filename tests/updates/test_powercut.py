"""A few power cuts; `python -m tests.soak.updates power --cuts 1000` makes many."""

from pathlib import Path

import pytest

from tests.updates.house import make_repository
from tests.updates.powercut import cut_often, possible, publish_releases


@pytest.mark.skipif(not possible(), reason="needs root, loop devices and mkfs.ext4")
def test_power_cuts_at_random_points(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    publish_releases(repository)
    counts = cut_often(tmp_path, repository, cuts=12, seed=1)
    assert sum(counts.values()) == 12
