"""From a loudspeaker to a SCADA system: PulseAudio, ALSA, PortAudio, PyAudio, the agent, MQTT."""

import json
import threading
from pathlib import Path

from agent.app import App
from agent.audio.file import read_audio
from agent.messaging.namespace import Namespace
from agent.settings import Commands, Microphone
from tests.integration.booth import GOLDEN, STATION, require_bundle, station_settings
from tests.integration.brokers import PATIENCE_S, Mosquitto, Scada, eventually, needs_mosquitto
from tests.integration.pulse import MICROPHONE, require_pulseaudio, running_pulse

require_pulseaudio()
require_bundle()
pytestmark = needs_mosquitto


def test_what_is_played_into_the_room_arrives_as_a_command(tmp_path: Path) -> None:
    base = Namespace.of(STATION).base
    pulse_home = tmp_path / "pulse"
    pulse_home.mkdir()
    with (
        running_pulse(pulse_home) as pulse,
        Mosquitto(tmp_path) as broker,
        Scada(broker.port, f"{base}/#") as plant,
    ):
        app = App(
            station_settings(
                broker.port,
                tmp_path,
                audio=Microphone(device=f"*{MICROPHONE}*"),
                commands=Commands(inhibit_required=False),
            )
        )
        running = threading.Thread(target=app.run, daemon=True)
        running.start()
        try:
            plant.wait_for("/event/audio")
            assert MICROPHONE in json.loads(plant.on("/event/audio")[0].payload)["source"]
            assert eventually(lambda: app._hearing.frames_total > 50)
            pulse.play(read_audio(GOLDEN / "07-halt-belt-three.opus"))
            (command,) = plant.wait_for("/command/conveyor/stop")
            assert json.loads(command.payload)["value"] == {"conveyor": 3}
        finally:
            app.stop()
            running.join(PATIENCE_S)
        assert not running.is_alive()
        assert eventually(lambda: json.loads(plant.on("/state")[-1].payload)["status"] == "offline")
