import os
import sys
from collections.abc import Iterator

import pytest
import structlog

from agent.logs import configure_logging


@pytest.fixture
def logging_configured() -> Iterator[None]:
    before = structlog.get_config()
    configure_logging("info", "json")
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("logging_configured")
def test_what_a_full_disk_does_not_take_is_lost_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The link's thread tells of every outage: an error there would keep it off the broker for good."""
    with open("/dev/full", "w", buffering=1) as full:  # noqa: PTH123 - line by line, as standard error is
        monkeypatch.setattr(sys, "stderr", full)
        structlog.get_logger().warning("link_down")
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # or closing it fails


@pytest.mark.usefixtures("logging_configured")
def test_a_reader_that_is_gone_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", buffering=1) as broken:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stderr", broken)
        structlog.get_logger().warning("link_down")
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)


@pytest.mark.usefixtures("logging_configured")
def test_events_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger().info("link_up", port=1883)
    captured = capsys.readouterr()
    assert '"event": "link_up"' in captured.err
    assert captured.out == ""
