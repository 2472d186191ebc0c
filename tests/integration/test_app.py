"""The whole agent on a real broker: sound in, commands out, and what a plant sees when things go wrong."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.app import App
from agent.audio.playback import Playback
from agent.audio.source import FRAME_SAMPLES
from agent.errors import AudioError
from agent.messaging import client
from agent.messaging.contract import Inhibit, MachineState, Response, SelfTest, Talk
from agent.messaging.namespace import Namespace
from agent.messaging.session import LinkDownError
from tests.integration.booth import GRAMMAR, STATION, Booth, require_bundle, station_settings
from tests.integration.brokers import PATIENCE_S, Mosquitto, Received, Scada, eventually, needs_mosquitto
from tests.integration.engines import Dead, Spoiled, Stale
from tests.messaging.examples import mqtt
from tests.messaging.sparkplug.test_node import rebirth, values

require_bundle()
pytestmark = needs_mosquitto

NAMESPACE = Namespace.of(STATION)
START_3 = "00-start-conveyor-three.opus"
STOP_2 = "04-stop-conveyor-two.opus"
SPEED_65 = "13-set-the-speed-of-conveyor-two-to-sixty-five-percent.opus"
TALK = "49-i-think-peter-moved-the-pallets-after-lunch.opus"
SELF_TEST_PATIENCE_S = 90.0
"""One waits for pauses and for a machine that keeps up."""


class Stage:
    """A broker, a plant, and the agent that listens in a booth."""

    def __init__(self, folder: Path) -> None:
        self.grammar = folder / "grammar.yaml"
        self.grammar.write_bytes(GRAMMAR.read_bytes())
        self.broker = Mosquitto(folder)
        self.booth = Booth()
        settings = station_settings(self.broker.port, folder, self.grammar)
        settings = settings.model_copy(update={"mqtt": mqtt(self.broker.port, sparkplug=True)})
        self.app = App(settings, Playback(self.booth.blocks(), real_time=True))
        self.running = threading.Thread(target=self.app.run, daemon=True)

    def end(self) -> None:
        self.app.stop()
        self.running.join(PATIENCE_S)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("stage"))
    with stage.broker:
        with Scada(stage.broker.port) as plant:
            allow(plant)
        stage.running.start()
        yield stage
        stage.end()


@pytest.fixture
def plant(stage: Stage) -> Iterator[Scada]:
    """Hears the station from now on; commands are free, the axis is homed."""
    with Scada(stage.broker.port, f"{NAMESPACE.base}/#") as plant:
        plant.wait_for("/health")
        allow(plant)
        yield plant


def allow(plant: Scada) -> None:
    now = datetime.now(UTC)
    free = Inhibit(time=now, active=False, who="shift lead", why="normal operation")
    plant.publish(NAMESPACE.topic(Inhibit), free.model_dump_json(), retain=True)
    homed = MachineState(time=now, value=True)
    plant.publish(NAMESPACE.topic(MachineState, "axis/homed"), homed.model_dump_json(), retain=True)


def body(message: Received) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(message.payload)
    return content


def events(plant: Scada, kind: str, count: int = 1) -> list[dict[str, Any]]:
    return [body(message) for message in plant.wait_for(f"/event/{kind}", count)]


def commands(plant: Scada) -> list[Received]:
    return [message for message in plant.received if "/command/" in message.topic]


def lockouts(plant: Scada) -> list[tuple[bool, str]]:
    events = [body(message) for message in plant.on("/event/inhibition")]
    return [(event["active"], event["why"]) for event in events]


def fates(plant: Scada) -> list[str]:
    return [body(message)["fate"] for message in plant.on("/event/delivery")]


def last_state(plant: Scada) -> tuple[str, str]:
    state = body(plant.on("/state")[-1])
    return state["status"], state["reason"]


def wait_for_fault(plant: Scada, fault: str, *, gone: bool = False) -> None:
    """Wait until the state topic names a fault, or no longer does; a busy machine may have others."""

    def named() -> bool:
        state = body(plant.on("/state")[-1])
        return state["status"] == "degraded" and fault in state["reason"].split(", ")

    assert eventually(lambda: named() is not gone), body(plant.on("/state")[-1])


def test_a_spoken_command_is_published_accepted_and_delivered(stage: Stage, plant: Scada) -> None:
    stage.booth.say(START_3)
    (command,) = plant.wait_for("/command/conveyor/start")
    (accept,) = events(plant, "accept")
    (delivery,) = events(plant, "delivery")
    said = body(command)
    assert said["meaning"] == {"command": "conveyor_start", "slots": {"conveyor": 3}}
    assert said["value"] == {"conveyor": 3}
    assert said["heard"]["text"] == "start conveyor three"
    assert not command.retain
    assert command.properties["MessageExpiryInterval"] <= 2
    assert command.properties["ResponseTopic"] == f"{NAMESPACE.base}/response"
    assert accept["command_id"] == delivery["command_id"] == said["id"]
    assert delivery["fate"] == "acknowledged"
    lives_s = datetime.fromisoformat(said["expires"]) - datetime.fromisoformat(said["time"])
    assert 0 < lives_s.total_seconds() <= 10


def test_speech_that_is_no_command_is_rejected_with_its_reason(stage: Stage, plant: Scada) -> None:
    stage.booth.say(TALK)
    (reject, *_) = events(plant, "reject")
    assert reject["reason"] in {"background", "weak_word", "incomplete", "too_short"}
    assert not commands(plant)


def test_a_flood_does_not_wash_a_lockout_away(stage: Stage, plant: Scada) -> None:
    """Answers, buttons and lockouts come faster than the station can write them down; the last word holds."""
    topics = [f"{NAMESPACE.base}/response", f"{NAMESPACE.base}/talk"]
    with Scada(stage.broker.port, "nothing") as flood:
        for number in range(600):
            now = datetime.now(UTC)
            answer = Response(time=now, command_id=UUID(int=number), outcome="done")
            for topic, payload in zip(topics, (answer, Talk(time=now, pressed=False)), strict=True):
                flood._client.publish(topic, payload.model_dump_json(), 0)
            locked = Inhibit(time=now, active=number % 2 == 1, who="maintenance", why=f"no. {number}")
            flood._client.publish(NAMESPACE.topic(Inhibit), locked.model_dump_json(), 1, retain=True)
        assert eventually(lambda: lockouts(plant)[-1:] == [(True, "no. 599")])
    stage.booth.say(START_3)
    events(plant, "reject")
    assert not commands(plant)
    allow(plant)
    assert eventually(lambda: lockouts(plant)[-1] == (False, "normal operation"))


def test_state_and_health_are_retained(stage: Stage, plant: Scada) -> None:
    stage.booth.say(START_3)
    events(plant, "delivery")
    reports = len(plant.on("/health"))
    plant.wait_for("/health", reports + 1)
    with Scada(stage.broker.port, f"{NAMESPACE.base}/#") as late:
        (state, *_) = late.wait_for("/state")
        (health, *_) = late.wait_for("/health")
        assert eventually(lambda: last_state(late)[0] == body(late.on("/health")[-1])["status"])
    assert state.retain
    assert health.retain
    report = body(health)
    assert set(report["faults"]) <= {"too_slow"}, "only what a busy machine may have"
    assert report["status"] == ("degraded" if report["faults"] else "online")
    assert report["engine"]["name"] == "onnx"
    assert report["engine"]["inferences_total"] > 0
    assert report["audio"]["frames_total"] > 0
    assert report["recognizer"]["accepts_total"] >= 1
    assert report["recognizer"]["beam_nats"] > 0
    assert report["commands"] == {
        "inhibited": False,
        "reason": "",
        "unavailable_count": 0,
        "unavailable": {},
    }
    assert report["versions"]["grammar"].startswith("demo@")


def test_sparkplug_hosts_see_it_too(stage: Stage, plant: Scada) -> None:
    with Scada(stage.broker.port, "spBv1.0/#") as host:
        host.publish("spBv1.0/acme:lyon:assembly:l3:c7/NCMD/press-2", rebirth())
        (birth, *_) = host.wait_for("NBIRTH/press-2")
        assert values(birth.payload)["engine"] == "onnx"
        assert values(birth.payload)["inhibited"] is False
        stage.booth.say(STOP_2)
        events(plant, "delivery")
        assert eventually(
            lambda: any("last_command" in values(data.payload) for data in host.on("NDATA/press-2"))
        )


def self_test_reason(plant: Scada, outcome: str) -> str:
    """Ask for a self-test and wait for this outcome; one that was under way may end otherwise first."""
    seen = len(plant.on("/event/selftest"))
    plant.publish(NAMESPACE.topic(SelfTest), SelfTest(time=datetime.now(UTC)).model_dump_json())

    def reasons() -> list[str]:
        results = map(body, plant.on("/event/selftest")[seen:])
        return [result["reason"] for result in results if result["outcome"] == outcome]

    assert eventually(lambda: bool(reasons()), SELF_TEST_PATIENCE_S), plant.on("/event/selftest")
    return reasons()[0]


@contextmanager
def spoiled(stage: Stage, fault: type[Spoiled]) -> Iterator[None]:
    """Give the running agent an engine with a fault."""
    engine = stage.app._ears.engine
    good = engine._engine
    engine._engine = fault(good)
    try:
        yield
    finally:
        engine._engine = good


@pytest.mark.usefixtures("stage")
def test_it_says_on_demand_that_it_hears_and_commands_nothing(plant: Scada) -> None:
    assert self_test_reason(plant, "passed") == ""
    assert not commands(plant)
    assert not plant.on("/event/accept")
    assert not plant.on("/event/reject")
    reports = len(plant.on("/health"))
    health = body(plant.wait_for("/health", reports + 1)[-1])
    assert health["self_test"]["outcome"] == "passed"
    assert health["self_test"]["age_seconds"] < PATIENCE_S


def test_an_engine_that_repeats_itself_is_found_by_sound(stage: Stage, plant: Scada) -> None:
    """Deaf, with frames, inferences and levels that look as ever."""
    with spoiled(stage, Stale):
        assert "heard as" in self_test_reason(plant, "failed")
        wait_for_fault(plant, "self_test_failed")
    self_test_reason(plant, "passed")
    wait_for_fault(plant, "self_test_failed", gone=True)


def test_an_engine_that_fails_is_a_fault_until_it_answers_again(stage: Stage, plant: Scada) -> None:
    failures = stage.app._vitals.engine_failures
    with spoiled(stage, Dead):
        assert "no answer" in self_test_reason(plant, "failed")
        wait_for_fault(plant, "engine_failing")
    self_test_reason(plant, "passed")
    wait_for_fault(plant, "engine_failing", gone=True)
    assert stage.app._vitals.engine_failures > failures
    stage.booth.say(STOP_2)
    plant.wait_for("/command/conveyor/stop")


def test_a_faulty_grammar_is_refused_and_the_old_one_stays(stage: Stage, plant: Scada) -> None:
    stage.grammar.write_text(GRAMMAR.read_text().replace("{conveyor}", "{konveyor}"))
    (refused,) = events(plant, "grammar")
    assert (refused["event"], refused["grammar"]) == ("refused", str(stage.grammar))
    assert "konveyor" in refused["reason"]
    stage.booth.say(STOP_2)
    plant.wait_for("/command/conveyor/stop")


def test_a_new_grammar_takes_over_without_losing_sound(stage: Stage, plant: Scada) -> None:
    """It is read while somebody speaks: that sentence is heard by the old one, the next by the new one."""
    stage.booth.say(SPEED_65)
    assert eventually(lambda: SPEED_65 in dict(stage.booth.spoken))
    time.sleep(1.5)  # half of it
    text = GRAMMAR.read_text()
    stage.grammar.write_text(text.replace("topic: conveyor/speed", "topic: conveyor/pace"))
    plant.wait_for("/command/conveyor/speed")
    (loaded,) = events(plant, "grammar")
    assert loaded["event"] == "loaded"
    stage.booth.say(SPEED_65)
    (command,) = plant.wait_for("/command/conveyor/pace")
    assert body(command)["value"]["speed"] == 65
    stage.app.reload()
    assert events(plant, "grammar", 2)[1]["grammar"] == loaded["grammar"]


def test_without_a_broker_it_hears_on_and_says_what_was_not_sent(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody_listens_yet(*_: object, **__: object) -> None:
        raise LinkDownError("it would tell before the plant is there", by_broker=False)

    stage.broker.kill()
    monkeypatch.setattr(client, "Session", nobody_listens_yet)
    accepts = stage.app._vitals.accepts
    stage.booth.say(START_3)
    assert eventually(lambda: stage.app._vitals.accepts > accepts)
    time.sleep(0.5)
    stage.broker.start()
    with Scada(stage.broker.port, f"{NAMESPACE.base}/#") as plant:
        monkeypatch.undo()
        assert eventually(lambda: "not_sent" in fates(plant)), fates(plant)
        plant.wait_for("/health")
        assert not commands(plant), "an old command came late"
        allow(plant)
        stage.booth.say(STOP_2)
        plant.wait_for("/command/conveyor/stop")


def test_the_end_of_sound_ends_the_agent(stage: Stage, plant: Scada) -> None:
    stage.booth.say(STOP_2)
    stage.booth.end()
    plant.wait_for("/command/conveyor/stop")
    stage.running.join(PATIENCE_S)
    assert not stage.running.is_alive()
    assert eventually(lambda: last_state(plant) == ("offline", "shutdown"))
    frames_played = stage.booth.samples_total // FRAME_SAMPLES
    assert stage.app._hearing.frames_total == frames_played, "sound was lost on the way through this module"


def test_sound_that_breaks_off_is_an_error_and_no_silent_end(tmp_path: Path) -> None:
    """A station that is deaf for good must not look like one that was told to stop: it is restarted."""

    def broken() -> Iterator[NDArray[np.int16]]:
        yield np.zeros(1600, np.int16)
        raise AudioError("the recording is damaged")

    with Mosquitto(tmp_path) as broker, Scada(broker.port, f"{NAMESPACE.base}/#") as plant:
        app = App(station_settings(broker.port, tmp_path), Playback(broken()))
        with pytest.raises(AudioError, match="damaged"):
            app.run()
        plant.wait_for("/state", 2)
        assert eventually(lambda: last_state(plant) == ("offline", "shutdown"))
