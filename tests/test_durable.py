"""Files are replaced whole or not at all."""

from pathlib import Path

import pytest

from agent.durable import replacing, write_file


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_file(path, b"before")
    with replacing(path) as file:
        file.write(b"af")
        assert path.read_bytes() == b"before"
        file.write(b"ter")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("state", b"after")]


def test_what_fails_half_way_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_file(path, b"before")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"af")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert path.read_bytes() == b"before"
    write_file(path, b"after")
    assert path.read_bytes() == b"after"
