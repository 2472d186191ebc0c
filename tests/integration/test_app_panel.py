"""A station with a pedal and a lamp: nothing is obeyed before the press; the lamp tells what came of it."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.app import App
from agent.audio.playback import Playback
from agent.messaging.namespace import Namespace
from agent.panel import panel as panel_module
from agent.panel.keys import KeyContact
from agent.panel.lamp import SysLed
from agent.settings import Commands, Key, Led, Panel
from tests.integration.booth import STATION, Booth, require_bundle, station_settings
from tests.integration.brokers import PATIENCE_S, Mosquitto, Scada, eventually, needs_mosquitto
from tests.panel.test_keys import A, Device

require_bundle()
pytestmark = needs_mosquitto

BASE = Namespace.of(STATION).base
START_3 = "00-start-conveyor-three.opus"


class Light(SysLed):
    """Notes what the file in place of the kernel's was told."""

    seen = ""

    def switch(self, *, on: bool) -> None:
        super().switch(on=on)
        Light.seen += "#" if on else "."


@pytest.fixture(autouse=True)
def leds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "leds" / "status"
    folder.mkdir(parents=True)
    (folder / "max_brightness").write_text("1")
    monkeypatch.setattr(Light, "seen", "")
    monkeypatch.setattr(panel_module, "SysLed", lambda led: Light(led, folder.parent))


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    device = Device(tmp_path)
    monkeypatch.setattr(panel_module, "KeyContact", lambda key: KeyContact(key, device.names, device.devices))
    yield device
    os.close(device.writer)


@contextmanager
def station(folder: Path, commands: Commands, panel: Panel) -> Iterator[tuple[Booth, Scada]]:
    """Run a station until the room is closed; gives the room, and who listens to the station's topics."""
    booth = Booth()
    with Mosquitto(folder) as broker, Scada(broker.port, f"{BASE}/#") as plant:
        settings = station_settings(broker.port, folder, commands=commands, panel=panel)
        app = App(settings, Playback(booth.blocks(), real_time=True))
        running = threading.Thread(target=app.run, daemon=True)
        running.start()
        try:
            plant.wait_for("/health")
            yield booth, plant
            booth.end()
            running.join(PATIENCE_S)
        finally:
            app.stop()
            running.join(PATIENCE_S)


def test_push_to_talk_by_a_pedal_and_a_lamp_that_answers(tmp_path: Path, device: Device) -> None:
    panel = Panel(button=Key(type="key", device="*footswitch*"), lamp=Led(type="led", name="status"))
    commands = Commands(arming="push_to_talk", inhibit_required=False, answer_within_s=0)
    with station(tmp_path, commands, panel) as (booth, plant):
        booth.say(START_3)
        (reject,) = plant.wait_for("/event/reject")
        assert json.loads(reject.payload)["reason"] == "unarmed"
        assert Light.seen.strip(".") == ""
        device.send((1, A, 1))
        assert eventually(lambda: json.loads(plant.on("/state")[-1].payload)["armed"])
        booth.say(START_3)
        plant.wait_for("/command/conveyor/start")
        device.send((1, A, 0))
        assert eventually(lambda: not json.loads(plant.on("/state")[-1].payload)["armed"])
        assert eventually(lambda: Light.seen.endswith("#."))
        device.unplug()
        assert eventually(lambda: "no_button" in json.loads(plant.on("/state")[-1].payload)["reason"])


def test_the_lamp_blinks_as_long_as_a_question_stands(tmp_path: Path) -> None:
    commands = Commands(inhibit_required=False, confirm_below=0.9999, confirm_window_s=60, answer_within_s=0)
    with station(tmp_path, commands, Panel(lamp=Led(type="led", name="status"))) as (booth, plant):
        booth.say(START_3)
        plant.wait_for("/event/question")
        assert eventually(lambda: Light.seen.count("#.") > 10), Light.seen
        booth.say(START_3)  # once more is as good as "confirm"
        plant.wait_for("/command/conveyor/start")
