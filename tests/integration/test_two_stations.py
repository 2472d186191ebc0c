"""Two whole agents in one room, at one broker: both hear a sentence, one acts."""

import queue
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.app import App
from agent.audio.playback import Playback
from agent.audio.source import Frame
from agent.messaging.contract import Inhibit
from agent.messaging.namespace import Namespace
from tests.integration.booth import GRAMMAR, STATION, Booth, require_bundle, station_settings
from tests.integration.brokers import PATIENCE_S, Mosquitto, Scada, eventually, mosquitto, needs_mosquitto

require_bundle()
__all__ = ["mosquitto"]
pytestmark = needs_mosquitto
START_3 = "00-start-conveyor-three.opus"
STOP_2 = "04-stop-conveyor-two.opus"
LIGHTS = "08-turn-on-the-hall-lights.opus"
CELL = Namespace.of(STATION).cell


class Ear:
    """Hears what is said in the room, with the time at which it was said."""

    def __init__(self) -> None:
        self.heard: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()

    def frames(self) -> Iterator[Frame]:
        while frame := self.heard.get():
            yield frame

    def close(self) -> None:
        self.heard.put(None)


class Room:
    """One sound for all."""

    def __init__(self) -> None:
        self.booth = Booth()
        self.ears: list[Ear] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for frame in Playback(self.booth.blocks(), real_time=True).frames():
            for ear in list(self.ears):
                ear.heard.put(frame)


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.booth.end()


@contextmanager
def listening(name: str, room: Room, port: int, folder: Path) -> Iterator[None]:
    """A station of the cell, in the room."""
    (folder / name).mkdir()
    grammar = folder / name / "patient.yaml"  # two agents at once are slow on a small machine
    grammar.write_text(re.sub(r"( +)topic: .*", r"\g<0>\n\1time_to_live_s: 20", GRAMMAR.read_text()))
    settings = station_settings(port, folder / name, grammar)
    settings = settings.model_copy(update={"station": STATION.model_copy(update={"id": name})})
    ear = Ear()
    app = App(settings, ear)
    running = threading.Thread(target=app.run, daemon=True)
    running.start()
    room.ears.append(ear)
    try:
        yield
    finally:
        app.stop()
        running.join(PATIENCE_S)


@pytest.fixture
def plant(mosquitto: Mosquitto) -> Iterator[Scada]:
    with Scada(mosquitto.port, f"{CELL}/voice/#") as plant:
        free = Inhibit(time=datetime.now(UTC), active=False, who="shift lead", why="")
        plant.publish(f"{CELL}/voice/inhibit", free.model_dump_json(), retain=True)
        yield plant


def test_of_two_that_hear_a_sentence_one_acts(
    tmp_path: Path, room: Room, mosquitto: Mosquitto, plant: Scada
) -> None:
    with (
        listening("press-2", room, mosquitto.port, tmp_path),
        listening("press-3", room, mosquitto.port, tmp_path),
    ):
        plant.wait_for("press-2/health")
        plant.wait_for("press-3/health")
        for count, file in enumerate((START_3, LIGHTS, STOP_2), 1):
            room.booth.say(file)

            def decided(count: int = count) -> bool:
                losers = [m for m in plant.on("/event/reject") if b'"other_station"' in m.payload]
                return len(plant.on("/event/accept")) + len(losers) == 2 * count

            assert eventually(decided), [(m.topic, m.payload) for m in plant.received]
            assert len(plant.on("/event/accept")) == count
        assert eventually(lambda: len(plant.on("/event/delivery")) == 3)
        assert sum("/command/" in message.topic for message in plant.received) == 3


def test_the_one_that_is_left_acts_alone(
    tmp_path: Path, room: Room, mosquitto: Mosquitto, plant: Scada
) -> None:
    with listening("press-2", room, mosquitto.port, tmp_path):
        with listening("press-3", room, mosquitto.port, tmp_path):
            plant.wait_for("press-3/health")
            plant.wait_for("press-2/health")
        room.booth.say(START_3)
        plant.wait_for("press-2/command/conveyor/start")
