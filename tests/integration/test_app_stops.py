"""The agent is told to stop in the middle of a command: what became of it is told all the same."""

import json
import threading
import time
from pathlib import Path

from agent.app import App
from agent.audio.playback import Playback
from agent.commands.verify import tail
from agent.messaging.outbox import Outbox
from agent.settings import Commands
from tests.commands.station import utterance
from tests.integration.booth import Booth, require_bundle, station_settings
from tests.integration.brokers import PATIENCE_S, Mosquitto, eventually, mosquitto, needs_mosquitto
from tests.messaging.examples import mqtt

require_bundle()
__all__ = ["mosquitto"]
pytestmark = needs_mosquitto


def test_the_fate_of_a_command_under_way_is_told_when_the_agent_stops(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    settings = station_settings(mosquitto.port, tmp_path, commands=Commands(inhibit_required=False))
    patient = settings.model_copy(update={"mqtt": mqtt(mosquitto.port, keepalive_s=60)})
    app = App(patient, Playback(Booth().blocks(), real_time=True))
    running = threading.Thread(target=app.run, daemon=True)
    running.start()
    assert eventually(lambda: app._hands.connection == 1)
    mosquitto.freeze()
    try:
        app._inbox.put(utterance("conveyor_stop", time.monotonic() - 0.1, conveyor=2))
        assert eventually(lambda: app._vitals.accepts == 1)
        app.stop()
        running.join(PATIENCE_S)
        assert not running.is_alive()
    finally:
        mosquitto.thaw()
    kept = [entry.message for entry in Outbox(tmp_path / "state/outbox.sqlite").waiting(0, 100)]
    told = [json.loads(message.payload)["fate"] for message in kept if message.topic.endswith("/delivery")]
    assert told == ["unconfirmed"]
    assert tail(tmp_path / "state/audit", 1)[0].fields["fate"] == "unconfirmed"
