"""The agent's thread stands still for a while: what came meanwhile is taken for what it was."""

import threading
import time
from pathlib import Path

import pytest

from agent.app import App
from agent.audio.playback import Playback
from agent.commands.audit import AuditLog
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


def test_a_delivery_that_was_told_during_a_stall_is_no_silence(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes its time with the decision. The operator must not hear that the command failed."""
    write = AuditLog.append

    def slowly(log: AuditLog, *entry: object) -> None:
        write(log, *entry)  # type: ignore[arg-type]
        monkeypatch.setattr(AuditLog, "append", write)
        time.sleep(STALL_S)

    settings = station_settings(mosquitto.port, tmp_path, commands=Commands(inhibit_required=False))
    app = App(settings, Playback(Booth().blocks(), real_time=True))
    running = threading.Thread(target=app.run, daemon=True)
    running.start()
    try:
        assert eventually(lambda: app._hands.connection == 1)
        monkeypatch.setattr(AuditLog, "append", slowly)
        app._inbox.put(utterance("conveyor_stop", time.monotonic() - 0.1, conveyor=2))
        log = tmp_path / "state/audit"
        assert eventually(lambda: any(entry.fields["kind"] == "delivery" for entry in tail(log, 5)))
        (fate,) = [entry.fields["fate"] for entry in tail(log, 5) if entry.fields["kind"] == "delivery"]
        assert fate == "acknowledged"
    finally:
        app.stop()
        running.join(PATIENCE_S)
