import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.health.watchdog import Watchdog


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "3000000")
        yield sock


def heard(systemd: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(systemd.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_life_of_a_service(systemd: socket.socket) -> None:
    watchdog = Watchdog()
    watchdog.ready()
    watchdog.status("listening\nsecond line")
    watchdog.stopping()
    assert heard(systemd) == ["READY=1", "STATUS=listening", "STOPPING=1"]


def test_pings_come_from_progress_at_most_three_per_limit(systemd: socket.socket) -> None:
    watchdog = Watchdog()
    for tick in range(300):  # 3 s in turns of 10 ms
        watchdog.progress(100 + tick / 100)
    assert heard(systemd) == ["WATCHDOG=1"] * 3
    # A recognizer that hangs makes no progress, so nothing is sent whatever time passes.
    assert heard(systemd) == []
    watchdog.progress(200)
    assert heard(systemd) == ["WATCHDOG=1"]


def test_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0voxline-test")
        monkeypatch.setenv("NOTIFY_SOCKET", "@voxline-test")
        Watchdog().ready()
        assert sock.recv(100) == b"READY=1"


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    watchdog = Watchdog()
    watchdog.ready()
    watchdog.progress(1.0)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    Watchdog().ready()
