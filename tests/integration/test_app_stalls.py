"""The agent's thread stands still for a while: what came meanwhile is taken for what it was."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.app import App
from agent.audio.playback import Playback
from agent.commands.audit import AuditLog
from agent.commands.events import Button
from agent.commands.verify import tail
from agent.settings import Commands
from tests.commands.station import utterance
from tests.integration.booth import Booth, require_bundle, station_settings
from tests.integration.brokers import PATIENCE_S, Mosquitto, eventually, mosquitto, needs_mosquitto

require_bundle()
__all__ = ["mosquitto"]
pytestmark = needs_mosquitto

STALL_S = 3.0
"""Longer than a command lives."""


@contextmanager
def stalled(
    folder: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, careful: Commands
) -> Iterator[App]:
    """An agent whose disk takes its time with the first decision, from then on."""
    write, stalls = AuditLog.append, threading.Event()

    def slowly(log: AuditLog, *entry: object) -> None:
        write(log, *entry)  # type: ignore[arg-type]
        monkeypatch.setattr(AuditLog, "append", write)
        stalls.set()
        time.sleep(STALL_S)

    app = App(
        station_settings(broker.port, folder, commands=careful), Playback(Booth().blocks(), real_time=True)
    )
    running = threading.Thread(target=app.run, daemon=True)
    running.start()
    try:
        assert eventually(lambda: app._hands.connection == 1)
        monkeypatch.setattr(AuditLog, "append", slowly)
        app._inbox.put(utterance("conveyor_stop", time.monotonic() - 0.1, conveyor=2))
        assert stalls.wait(PATIENCE_S)
        yield app
    finally:
        app.stop()
        running.join(PATIENCE_S)


def test_a_delivery_that_was_told_during_a_stall_is_no_silence(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator must not hear that the command failed."""
    log = tmp_path / "state/audit"

    def fates() -> list[object]:
        return [entry.fields["fate"] for entry in tail(log, 5) if entry.fields["kind"] == "delivery"]

    with stalled(tmp_path, mosquitto, monkeypatch, Commands(inhibit_required=False)):
        assert eventually(lambda: fates() == ["acknowledged"]), fates()


def test_a_button_that_is_pressed_during_a_stall_arms_what_is_said_then(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator gives the next command while the disk takes its time with the one before it."""
    careful = Commands(inhibit_required=False, arming="push_to_talk")
    with stalled(tmp_path, mosquitto, monkeypatch, careful) as app:
        app._inbox.put(Button(pressed=True))
        app._inbox.put(utterance("conveyor_stop", time.monotonic() + 1.8, conveyor=2))
        assert eventually(lambda: app._vitals.accepts + sum(app._vitals.rejects.values()) == 2)
        assert app._vitals.rejects == {"unarmed": 1}
