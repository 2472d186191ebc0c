"""A repository behind the broker, for plants where nothing else can be reached: MQTT 5 request and response.

A connection of its own, so that a download never stands before a command. Both sides are here.
"""

import contextlib
import os
import queue
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import structlog
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import ValidationError
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError

from agent.messaging.channel import PIECE_BYTES
from agent.messaging.contract import PIECE_REQUEST_TOPIC, PIECE_TOPIC, PieceRequest
from agent.messaging.tls import tls_context
from agent.messaging.tolerant import TolerantClient
from agent.settings import Mqtt
from agent.updates.transports.folder import open_within
from agent.updates.transports.transport import FOLDERS, NOT_FOUND, Timeouts, Transport

_EXPIRY_S = 60
_PACKET_BYTES = PIECE_BYTES + 8192
"""Larger packets are not taken: the broker keeps them to itself."""
MAX_WAITING = 64
"""Pieces: whoever sends more than was asked for sends in vain, and whoever asks without reading, too."""

log = structlog.get_logger()


class Broker(Transport):
    """Reads a repository that `serve` offers.

    Args:
        settings: the broker.
        base: the station's topic.
        timeouts: how slow the other side may be.
    """

    def __init__(self, settings: Mqtt, base: str, timeouts: Timeouts | None = None) -> None:
        super().__init__(timeouts or Timeouts())
        self._settings, self._topic = settings, f"{base}/{PIECE_TOPIC}"
        # The agent and a command that somebody types may ask at the same time.
        self._client_id = f"{base.replace('/', ':')}:updates:{os.urandom(4).hex()}"
        self._pieces: queue.Queue[tuple[bytes, str, bytes]] = queue.Queue(MAX_WAITING)
        self._client: paho.Client | None = None
        self._ready = threading.Event()

    def close(self) -> None:
        """Disconnect."""
        if self._client:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def read(self, path: str, offset: int = 0) -> Iterator[bytes]:
        """Yield a file's bytes from `offset` on. See `Transport.read`."""
        client = self._connected()
        while True:
            piece = self._ask(client, PieceRequest(path=path, offset=offset, length=PIECE_BYTES))
            if piece:
                yield piece
            if len(piece) < PIECE_BYTES:
                return
            offset += len(piece)

    def _connected(self) -> paho.Client:
        if self._client is None:
            self._client = client = connect(self._settings, self._client_id, self._topic)
            client.on_disconnect = lambda *_: self._ready.clear()
            client.on_subscribe = lambda *_: self._ready.set()
            client.on_message = self._receive
            client.loop_start()
        if not self._ready.wait(self.timeouts.silence_s):
            raise DownloadError(f"no connection to the broker {self._settings.host} for updates")
        return self._client

    def _receive(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        properties = message.properties
        status = dict(getattr(properties, "UserProperty", [])).get("status", "")
        piece = (getattr(properties, "CorrelationData", b""), status, bytes(message.payload))
        with contextlib.suppress(queue.Full):
            self._pieces.put_nowait(piece)

    def _ask(self, client: paho.Client, request: PieceRequest) -> bytes:
        token = os.urandom(8)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ResponseTopic, properties.CorrelationData = self._topic, token
        properties.MessageExpiryInterval = _EXPIRY_S
        client.publish(PIECE_REQUEST_TOPIC, request.model_dump_json(), qos=1, properties=properties)
        deadline_s = time.monotonic() + self.timeouts.silence_s
        while (remaining_s := deadline_s - time.monotonic()) > 0:
            try:
                correlation, status, piece = self._pieces.get(timeout=remaining_s)
            except queue.Empty:
                break
            if correlation != token:
                continue  # the late answer to a question that was given up
            if len(piece) > request.length:
                raise DownloadError(f"{request.path}: {len(piece)} bytes, asked for {request.length}")
            if status != "200":
                raise DownloadHTTPError(f"{request.path}: the server answers {status[:20]}", _code(status))
            return piece
        raise SlowRetrievalError(
            f"{request.path}: no answer; does `voxline update serve` run, and may this station"
            f" write {PIECE_REQUEST_TOPIC} and read {self._topic}?"
        )


class Server:
    """Offers a repository at the broker until it is closed.

    Args:
        settings: the broker.
        folder: public part of a repository.
    """

    def __init__(self, settings: Mqtt, folder: Path) -> None:
        self._folder = folder
        self.ready = threading.Event()
        """Set once requests are heard."""
        self._client = connect(settings, "voxline-update-server", PIECE_REQUEST_TOPIC)
        self._client.on_subscribe = lambda *_: self.ready.set()
        self._client.on_message = self._answer
        self._client.loop_start()

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _answer(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        topic = getattr(message.properties, "ResponseTopic", "")
        if not topic.endswith(f"/{PIECE_TOPIC}") or set(topic) & set("+#"):
            # Nobody makes this server speak elsewhere, or stumble over what cannot be a topic.
            log.warning("update_request_refused", response_topic=topic[:200])
            return
        status, piece = self._read(bytes(message.payload))
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.CorrelationData = getattr(message.properties, "CorrelationData", b"")
        properties.UserProperty = ("status", str(status))
        properties.MessageExpiryInterval = _EXPIRY_S
        self._client.publish(topic, piece, qos=1, properties=properties)

    def _read(self, raw: bytes) -> tuple[int, bytes]:
        try:
            request = PieceRequest.model_validate_json(raw)
            if not request.path.startswith(FOLDERS):
                return NOT_FOUND, b""
            with open_within(self._folder, request.path).open("rb") as file:
                file.seek(request.offset)
                return 200, file.read(request.length)
        except ValidationError:
            return 400, b""
        except (OSError, OverflowError):
            return NOT_FOUND, b""


def connect(settings: Mqtt, client_id: str, topic: str) -> paho.Client:
    """Connect and subscribe in the background, and again after each loss, once the loop is started."""

    def subscribe(_client: Any, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        if code.is_failure:
            log.error("update_broker_refuses", host=settings.host, reason=str(code))
        else:
            client.subscribe(topic, qos=1)

    limits = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    limits.MaximumPacketSize = _PACKET_BYTES
    client = TolerantClient(settings, client_id)
    if settings.tls:
        client.tls_set_context(tls_context(settings.tls))
    client.on_connect = subscribe
    client.reconnect_delay_set(1, 30)
    client.max_queued_messages_set(MAX_WAITING)
    client.connect_async(settings.host, settings.port, settings.keepalive_s, properties=limits)
    return client


def _code(status: str) -> int:
    return int(status) if re.fullmatch("[1-5][0-9]{2}", status) else 500
