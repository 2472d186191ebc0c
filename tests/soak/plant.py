"""A plant for the soak: says that commands are free and the axis is homed, and answers its commands."""

import json
import random
import threading
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import ValidationError

from agent.messaging.contract import Command, Inhibit, MachineState, Response
from agent.messaging.namespace import Namespace
from agent.messaging.payload import Payload
from tests.integration.brokers import Scada, eventually

SAY_EVERY_S = 1.0
_SILENT, _REFUSES = 0.05, 0.10
"""Shares of commands that it does not answer, or refuses."""


class Plant(Scada):
    """A consumer that is there for the whole soak, and comes back by itself when its broker does."""

    def __init__(self, port: int, namespace: Namespace, seed: int) -> None:
        super().__init__(port, f"{namespace.base}/#", qos=1)
        self.locked_out = False
        self._namespace = namespace
        self._draw = random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plant", daemon=True)

    def start(self) -> None:
        """Begin to speak."""
        self._thread.start()

    def stop(self) -> None:
        """Say no more."""
        self._stopping.set()
        self._thread.join(5)

    def is_back(self) -> bool:
        """Whether it has subscribed again since `expect_return`."""
        return self._subscribed.is_set()

    def expect_return(self) -> None:
        """Its broker is about to be killed."""
        self._subscribed.clear()

    def lock_out(self, active: bool) -> bool:
        """Lock the station out, or free it; true once the broker has been told."""
        self.locked_out = active
        info = self._client.publish(*self._inhibit())
        return eventually(info.is_published, 2.0)

    def _run(self) -> None:
        while not self._stopping.wait(SAY_EVERY_S):
            if self._client.is_connected():
                self._client.publish(*self._inhibit())
                homed = MachineState(time=datetime.now(UTC), value=True)
                self._client.publish(*self._message(homed, "axis/homed", retain=True))

    def _inhibit(self) -> tuple[str, str, int, bool]:
        who, why = ("maintenance", "soak") if self.locked_out else ("shift lead", "")
        report = Inhibit(time=datetime.now(UTC), active=self.locked_out, who=who, why=why)
        return self._message(report, retain=True)

    def _message(self, payload: Payload, name: str = "", *, retain: bool) -> tuple[str, str, int, bool]:
        return self._namespace.topic(type(payload), name), payload.model_dump_json(), 1, retain

    def _on_message(self, client: Any, data: Any, message: paho.MQTTMessage) -> None:
        super()._on_message(client, data, message)
        if "/command/" not in message.topic or message.retain or (draw := self._draw.random()) < _SILENT:
            return
        try:
            command = Command.model_validate_json(message.payload)
        except ValidationError:
            return  # mangled on the wire, by us
        outcomes = ["refused"] if draw < _SILENT + _REFUSES else ["accepted", "done"]
        for outcome in outcomes:
            answer = {
                "time": datetime.now(UTC).isoformat(),
                "command_id": str(command.id),
                "outcome": outcome,
            }
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.CorrelationData = getattr(message.properties, "CorrelationData", b"")
            client.publish(self._namespace.topic(Response), json.dumps(answer), 1, properties=properties)
