"""A SCADA system in miniature: subscribes to everything, answers commands, keeps what it received."""

import json
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.demo.broker import HOST
from agent.messaging.contract import Command, Inhibit, MachineState, Response
from agent.messaging.namespace import Namespace


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it came from the broker."""

    topic: str
    """Below the station's topic."""
    payload: dict[str, Any]
    at_s: float
    """Monotonic."""
    qos: int
    expiry_s: int | None


class Scada:
    """Runs its own connection and thread; use as a context manager."""

    def __init__(self, port: int, namespace: Namespace) -> None:
        self._namespace = namespace
        self._lock = threading.Lock()
        self._received: list[Received] = []
        self._subscribed = threading.Event()
        self._leaving = threading.Event()
        self._reporter = threading.Thread(target=self._report, name="plant", daemon=True)
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "scada", protocol=paho.MQTTv5)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect(HOST, port)

    def __enter__(self) -> "Scada":
        self._client.loop_start()
        self._subscribed.wait(5)
        self._reporter.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._reporter.join()
        self._client.disconnect()
        self._client.loop_stop()

    def last(self, topic: str) -> Received | None:
        """Return the newest message of a topic."""
        with self._lock:
            return next((message for message in reversed(self._received) if message.topic == topic), None)

    def _report(self) -> None:
        """Say twice a second what stations ask of a plant: nothing is locked out, and the axis is homed."""
        while not self._leaving.wait(0.5):
            now = datetime.now(UTC)
            free = Inhibit(time=now, active=False, who="shift lead", why="normal operation")
            homed = MachineState(time=now, value=True)
            for payload, name in ((free, ""), (homed, "axis/homed")):
                topic = self._namespace.topic(type(payload), name)
                self._client.publish(topic, payload.model_dump_json(), qos=1, retain=True)

    def since(self, moment_s: float) -> list[Received]:
        """Return what came after a monotonic moment."""
        with self._lock:
            return [message for message in self._received if message.at_s >= moment_s]

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe(f"{self._namespace.base}/#", qos=1)

    def _on_message(self, client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        properties = message.properties
        topic = message.topic.removeprefix(self._namespace.base + "/")
        received = Received(
            topic=topic,
            payload=json.loads(message.payload),
            at_s=time.monotonic(),
            qos=message.qos,
            expiry_s=getattr(properties, "MessageExpiryInterval", None),
        )
        with self._lock:
            self._received.append(received)
        if topic.startswith(Command.channel.name + "/"):
            self._answer(client, received, properties)

    def _answer(self, client: paho.Client, command: Received, properties: Properties | None) -> None:
        """Do as every machine should: say on the response topic that the command was accepted."""
        topic = getattr(properties, "ResponseTopic", None)
        if topic is None:
            return
        answer = Response(time=datetime.now(UTC), command_id=command.payload["id"], outcome="accepted")
        reply = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        reply.CorrelationData = getattr(properties, "CorrelationData", b"")
        client.publish(topic, answer.model_dump_json(), qos=1, properties=reply)
