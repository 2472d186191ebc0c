"""A station among Sparkplug hosts: a real broker, and Eclipse Tahu's own library to read and to ask."""

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from agent.messaging.contract import State, Status
from agent.messaging.facts import FACTS
from agent.messaging.sparkplug.link import SparkplugLink
from agent.messaging.sparkplug.node import REBIRTH
from agent.messaging.sparkplug.wire import Metric, encode
from tests.integration.brokers import Mosquitto, Received, Scada, eventually, mosquitto, needs_mosquitto
from tests.integration.npm import installed
from tests.integration.test_mqtt_access import PASSWORD, guarded
from tests.messaging.examples import NAMESPACE, mqtt

__all__ = ["guarded", "mosquitto"]
pytestmark = needs_mosquitto
NODE = "spBv1.0/acme:lyon:assembly:l3:c7/{}/press-2"
ASK = {"timestamp": 1, "metrics": [{"name": "Node Control/Rebirth", "type": "Boolean", "value": True}]}
TYPES = {str: "String", bool: "Boolean", int: "Int64", float: "Double"}
CODEC = """
const codec = require("sparkplug-payload").get("spBv1.0");
const {read, write} = JSON.parse(require("fs").readFileSync(0));
const plain = (_, value) => value && value.low !== undefined ? value.toNumber() : value;
console.log(JSON.stringify({
    read: read.map(raw => codec.decodePayload(Buffer.from(raw, "base64"))),
    write: write.map(payload => Buffer.from(codec.encodePayload(payload)).toString("base64")),
}, plain));
"""


class Tahu:
    """The reference library for payloads, which runs in Node.js."""

    def __init__(self, modules: Path) -> None:
        self._modules = modules

    def read(self, received: Received) -> Any:
        return self._ask(read=[base64.b64encode(received.payload).decode()], write=[])["read"][0]

    def write(self, payload: object) -> bytes:
        return base64.b64decode(self._ask(read=[], write=[payload])["write"][0])

    def _ask(self, **work: object) -> Any:
        result = subprocess.run(
            ["node", "-e", CODEC],
            cwd=self._modules,
            input=json.dumps(work),
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(result.stdout)


@pytest.fixture(scope="module")
def tahu() -> Tahu:
    return Tahu(installed("sparkplug-payload@1.0.3"))


def state(text: str) -> State:
    return State(time=datetime.now(UTC), status=Status.ONLINE, text=text)


@contextmanager
def running(port: int, **settings: Any) -> Iterator[SparkplugLink]:
    link = SparkplugLink(mqtt(port, **settings), NAMESPACE)
    link.publish(state("listening"))
    link.start()
    try:
        yield link
    finally:
        link.stop()


def values(payload: Any) -> dict[str, Any]:
    return {metric["name"]: metric["value"] for metric in payload["metrics"]}


def ask_for_birth(host: Scada, tahu: Tahu) -> Received:
    """Ask, as a host does that knows nothing of a station, until it answers: it may not be there yet."""
    ask, known = tahu.write(ASK), len(host.on("NBIRTH/press-2"))

    def answered() -> bool:
        host.publish(NODE.format("NCMD"), ask)
        time.sleep(0.2)
        return len(host.on("NBIRTH/press-2")) > known

    assert eventually(answered)
    return host.on("NBIRTH/press-2")[-1]


def test_birth_data_rebirth_and_death(mosquitto: Mosquitto, tahu: Tahu) -> None:
    with Scada(mosquitto.port) as host:
        with running(mosquitto.port) as link:
            (born, *_) = host.wait_for("NBIRTH/press-2")
            link.publish(state("Understood"))
            (told, *_) = host.wait_for("NDATA/press-2")
            host.publish(NODE.format("NCMD"), tahu.write(ASK))
            reborn = host.wait_for("NBIRTH/press-2", 2)[1]
        (dead, *_) = host.wait_for("NDEATH/press-2", 2)
    assert (born.topic, born.qos, born.retain) == (NODE.format("NBIRTH"), 0, False)
    birth, data, again, death = map(tahu.read, (born, told, reborn, dead))
    assert set(values(birth)) == {"bdSeq", "Node Control/Rebirth", *FACTS}
    assert values(birth)["text"] == "listening"
    assert {metric["name"]: metric["type"] for metric in birth["metrics"]} == {
        "bdSeq": "Int64",
        "Node Control/Rebirth": "Boolean",
        **{name: TYPES[kind] for name, kind in FACTS.items()},
    }
    assert values(data) == {"text": "Understood"}
    assert [payload.get("seq") for payload in (birth, data, again)] == [0, 1, 0]
    assert values(again)["text"] == "Understood"
    assert values(again)["bdSeq"] == values(birth)["bdSeq"] == 0
    assert values(death) == {"bdSeq": 0}


def test_a_lost_connection_is_a_death_and_the_next_a_birth_of_its_own(
    mosquitto: Mosquitto, tahu: Tahu
) -> None:
    with running(mosquitto.port) as link, Scada(mosquitto.port) as host:
        ask_for_birth(host, tahu)  # it may have been born before the host came
        mosquitto.kill()
        link.publish(state("while nobody listens"))
        mosquitto.start()
        last = values(tahu.read(ask_for_birth(host, tahu)))
        assert (last["bdSeq"], last["text"]) == (1, "while nobody listens")


def test_no_data_comes_between_a_hosts_wish_and_the_birth(mosquitto: Mosquitto) -> None:
    """The third birth has to wait; values that come meanwhile are in it."""
    now = datetime.now(UTC)
    ask = encode([Metric(REBIRTH, bool, value=True, time=now)], now, None)
    with Scada(mosquitto.port) as host, running(mosquitto.port) as link:
        host.publish(NODE.format("NCMD"), ask)  # it may have been born before the host came
        host.wait_for("NBIRTH/press-2")
        before = len(host.on("NBIRTH/press-2"))
        host.publish(NODE.format("NCMD"), ask)
        host.wait_for("NBIRTH/press-2", before + 1)
        host.publish(NODE.format("NCMD"), ask)
        time.sleep(0.2)
        link.publish(state("Understood"))
        assert b"Understood" in host.wait_for("NBIRTH/press-2", before + 2)[-1].payload
        assert not host.on("NDATA/press-2")


def test_a_birth_that_is_too_long_for_the_broker_is_not_tried_at_once_again(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, "allow_anonymous true\nmax_packet_size 400") as broker, capture_logs() as logs:
        link = SparkplugLink(mqtt(broker.port, reconnect_spread_s=3600.0), NAMESPACE)
        link.start()
        assert eventually(lambda: any(log["event"] == "sparkplug_down" for log in logs))
        link.stop()
    (down,) = (log for log in logs if log["event"] == "sparkplug_down")
    assert "at most 400 bytes" in down["reason"]
    assert not down["exc_info"]
    assert down["retry_in_s"] > 1.0


def test_a_second_connection_of_the_same_station_ends_the_first(mosquitto: Mosquitto, tahu: Tahu) -> None:
    with Scada(mosquitto.port) as host, running(mosquitto.port, reconnect_spread_s=60):
        host.wait_for("NBIRTH/press-2")
        with running(mosquitto.port, reconnect_spread_s=60):
            (death, *_) = host.wait_for("NDEATH/press-2")
            assert values(tahu.read(death)) == {"bdSeq": 0}


def test_the_access_list_lets_a_station_be_born_as_itself_alone(guarded: Mosquitto) -> None:
    own = {"username": "press-2", "password": SecretStr(PASSWORD)}
    foreign = {"username": "press-3", "password": SecretStr(PASSWORD)}
    with Scada(guarded.port, "spBv1.0/#", username="scada", password=PASSWORD) as host:
        with capture_logs() as logs, running(guarded.port, **foreign):
            assert eventually(lambda: any(log["event"] == "sparkplug_up" for log in logs))
        with running(guarded.port, **own):
            host.wait_for("NBIRTH/press-2")
        host.wait_for("NDEATH/press-2", 2)
    assert [received.topic.split("/")[2] for received in host.received] == ["NBIRTH", "NDEATH", "NDEATH"]
