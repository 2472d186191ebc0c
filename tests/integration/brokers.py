"""Real brokers for tests, and a SCADA system that listens to them."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

HOST = "127.0.0.1"
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PATIENCE_S = 60.0
"""Tests wait so long for what has to happen: machines that run them are busy."""
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def eventually(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> bool:
    """Wait until `condition` holds."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.01)
    return True


class Mosquitto:
    """A Debian mosquitto 2.0 that can be frozen, killed and restarted."""

    def __init__(self, folder: Path, config: str = "allow_anonymous true", listener: str = "") -> None:
        self.port = free_port()
        self._config = folder / f"mosquitto-{self.port}.conf"
        # As root mosquitto would become another user, who cannot read the test's certificates.
        user = "user root\n" if os.geteuid() == 0 else ""
        self._config.write_text(f"{user}listener {self.port} {HOST}\n{listener}\n{config}\n")
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Run it; returns when it accepts connections."""
        assert MOSQUITTO
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert eventually(self._answers), "mosquitto does not start"

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1):
            return True
        return False

    def freeze(self) -> None:
        """Stop it without closing anything: connections stay open, nothing answers."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass(frozen=True)
class Received:
    """A message as a SCADA system sees it."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: dict[str, Any]
    arrived_s: float
    """Monotonic."""


class Scada:
    """A plain MQTT 5 client of the plant: hears everything below a topic and can talk."""

    def __init__(self, port: int, topic: str = "#", qos: int = 2, **connect: str) -> None:
        self.received: list[Received] = []
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        if connect:
            self._client.username_pw_set(connect["username"], connect["password"])
        # It hears retained messages as such, also those that come after its subscription.
        options = SubscribeOptions(qos=qos, retainAsPublished=True)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, options=options)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect_async(HOST, port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self.received.append(
            Received(
                message.topic,
                bytes(message.payload),
                message.qos,
                message.retain,
                dict(message.properties.__dict__) if message.properties else {},
                time.monotonic(),
            )
        )

    def publish(
        self,
        topic: str,
        payload: bytes | str,
        retain: bool = False,
        expiry_s: int | None = None,
        user: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Talk; returns when the broker has it."""
        assert eventually(self._client.is_connected)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        if user:
            properties.UserProperty = list(user)
        self._client.publish(topic, payload, 1, retain, properties).wait_for_publish(PATIENCE_S)

    def on(self, topic_end: str) -> list[Received]:
        """What came on topics that end so."""
        return [message for message in self.received if message.topic.endswith(topic_end)]

    def wait_for(self, topic_end: str, count: int = 1, timeout_s: float = PATIENCE_S) -> list[Received]:
        """Wait for messages on topics that end so."""
        assert eventually(lambda: len(self.on(topic_end)) >= count, timeout_s), (
            f"{topic_end}: {len(self.on(topic_end))} of {count}; received {[m.topic for m in self.received]}"
        )
        return self.on(topic_end)


def publish_malformed(port: int, topic: str, times: int = 1) -> None:
    """Publish messages of a payload format that MQTT has not, which mosquitto keeps and passes on."""

    def text(value: str) -> bytes:
        return len(value).to_bytes(2, "big") + value.encode()

    connect = text("MQTT") + b"\5\2\0\x3c" + b"\0" + text("evil")
    publish = text(topic) + b"\0\1" + b"\2\1\2" + b"{}"
    with socket.create_connection((HOST, port), timeout=5) as sock:
        sock.sendall(b"\x10" + bytes([len(connect)]) + connect)
        assert sock.recv(256)[0] == 0x20
        for _ in range(times):
            sock.sendall(b"\x33" + bytes([len(publish)]) + publish)
            assert sock.recv(256)[0] == 0x40


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running broker, open to everybody."""
    with Mosquitto(tmp_path) as broker:
        yield broker
