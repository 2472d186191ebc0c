"""One MQTT 5 connection, from CONNECT to its end, driven by one thread; never used again afterwards.

Why not paho's own loop and reconnection: an exception in its thread kills it unseen, and what it has not
sent it sends again after the outage, with its time to live as new. A connection that is thrown away whole
has nothing to send again.
"""

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import LogLevel, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.messaging.inbound import Arrival
from agent.messaging.namespace import Message
from agent.messaging.tls import tls_context
from agent.messaging.tolerant import TolerantClient
from agent.settings import Mqtt

CONNECT_TIMEOUT_S = 5.0
_KEEP_ALIVE_TIMEOUT = 0x8D
_TAKEN_OVER = 0x8E
_PACKET_BYTES = 2**20
"""What is longer the broker keeps back without a word, so this is far beyond what any lockout takes."""
_FRAME_BYTES = 9
"""Of a publication: type, its own length at its longest, the topic's length, id."""

log = structlog.get_logger()


class LinkDownError(Exception):
    """The connection is over, or never came to be."""

    def __init__(self, reason: str, *, by_broker: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.by_broker = by_broker
        """The broker ended a standing connection: then all its stations lost theirs at the same moment."""


class NotTakenError(ValueError):
    """The broker has said that it takes no such message: sent all the same, it would end the connection."""


class Session:
    """A connection to the broker.

    Args:
        settings: the broker.
        client_id: unique at the broker: a second client with the same one pushes the first out.
        will: what the broker publishes if the connection breaks.
        subscriptions: topic filters to listen on.
        deliver: called with each message that arrives.
        release: asked with the id of a QoS 2 message that the broker holds, whether it may pass it on.
        acknowledge: called with the id and the broker's reason code of each message that it took or refused.
        vital: subscriptions without which there is no connection: where the broker refuses one, it ends.

    Raises:
        LinkDownError: from every method, once the connection is gone.

    """

    def __init__(
        self,
        settings: Mqtt,
        client_id: str,
        will: Message,
        subscriptions: Sequence[str],
        deliver: Callable[[Arrival], None],
        release: Callable[[int], bool],
        acknowledge: Callable[[int, ReasonCode], None],
        vital: Collection[str] = (),
    ) -> None:
        self.receive_maximum = 65535
        """How many unacknowledged messages the broker allows."""
        self._maximum_qos = 2
        self._maximum_packet_bytes: int | None = None
        self._connected = False
        self._end: LinkDownError | None = None
        self._complaint = ""
        self._deliver = deliver
        self._acknowledge = acknowledge
        self._vital = vital
        self._asked: dict[int, Sequence[str]] = {}
        self._client = client = _Client(settings, client_id, self._on_malformed, release)
        client.on_log = self._on_log
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(0)  # we keep to the broker's own limit
        will_properties = _properties(will, PacketTypes.WILLMESSAGE)
        client.will_set(will.topic, will.payload, will.qos, will.retain, will_properties)
        try:
            self._open(settings, subscriptions)
        except LinkDownError:
            self.abort()
            raise

    def publish(self, message: Message) -> int:
        """Send a message and give its id.

        Raises:
            NotTakenError: it was not sent, and the connection stands.
        """
        properties = _properties(message, PacketTypes.PUBLISH)
        if message.expiry_s is not None:
            properties.MessageExpiryInterval = message.expiry_s
        self._require_taken(message, properties)
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        self._check(info.rc)
        return info.mid

    def subscribe(self, filters: Sequence[str]) -> None:
        """Listen on more topics."""
        code, request = self._client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in filters])
        self._check(code)
        if request is not None:
            self._asked[request] = filters

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Listen on these no more."""
        code, _ = self._client.unsubscribe(list(filters))
        self._check(code)

    def step(self, wake: socket.socket, timeout_s: float) -> None:
        """Wait for the network or `wake`, at most `timeout_s`, and do what there is to do."""
        sock = self._client.socket()
        if sock is None:
            raise self._end or LinkDownError("connection closed", by_broker=True)
        buffered = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        poll.register(wake, select.POLLIN)
        events = dict(poll.poll(0 if buffered else max(0.0, timeout_s) * 1000))
        happened = events.get(sock.fileno(), 0)
        if buffered or happened & ~select.POLLOUT:
            self._check(self._client.loop_read())
        if happened & select.POLLOUT:
            self._check(self._client.loop_write())
        self._check(self._client.loop_misc())

    def close(self, *, with_will: bool = False) -> None:
        """Say goodbye: the broker then keeps the will to itself, or publishes it all the same."""
        reason = "Disconnect with will message" if with_will else "Normal disconnection"
        self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, reason))

    def abort(self) -> None:
        """Drop the connection, if it still stands, with everything in it that has not left this machine."""
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

    def _open(self, settings: Mqtt, subscriptions: Sequence[str]) -> None:
        wanted = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        wanted.MaximumPacketSize = _PACKET_BYTES
        try:
            if settings.tls:
                # Built anew each time: a certificate that was renewed on disk is taken without a restart.
                self._client.tls_set_context(tls_context(settings.tls))
            # paho notices a dead broker after twice its keepalive; we promise once.
            self._client.connect(settings.host, settings.port, settings.keepalive_s // 2, properties=wanted)
            if isinstance(sock := self._client.socket(), socket.socket):
                # Without it a command waits 40 ms for the broker's delayed answer to what went before it.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise LinkDownError(f"cannot connect: {error}", by_broker=False) from error
        never, silent = socket.socketpair()
        with never, silent:
            deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
            while not self._connected:
                if time.monotonic() > deadline_s:
                    raise LinkDownError("the broker does not answer", by_broker=False)
                self.step(silent, 0.1)
        if subscriptions:
            self.subscribe(subscriptions)

    def _require_taken(self, message: Message, properties: Properties) -> None:
        if message.qos > self._maximum_qos:  # never with less: then it would come late, or twice
            raise NotTakenError(f"the broker takes no QoS {message.qos}")
        if self._maximum_packet_bytes is None:
            return
        properties_bytes = len(properties.pack())  # type: ignore[no-untyped-call]
        size = _FRAME_BYTES + len(message.topic.encode()) + properties_bytes + len(message.payload)
        if size > self._maximum_packet_bytes:
            raise NotTakenError(f"the broker takes at most {self._maximum_packet_bytes} bytes, not {size}")

    def _check(self, code: MQTTErrorCode) -> None:
        if self._end:
            raise self._end
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkDownError(paho.error_string(code), by_broker=code == MQTTErrorCode.MQTT_ERR_CONN_LOST)

    def _on_connect(
        self, _client: Any, _data: Any, _flags: Any, code: ReasonCode, extra: Properties | None
    ) -> None:
        if code.is_failure:
            self._end = LinkDownError(f"the broker refuses this station: {code}", by_broker=False)
        self._connected = not code.is_failure
        self.receive_maximum = getattr(extra, "ReceiveMaximum", self.receive_maximum)
        self._maximum_qos = getattr(extra, "MaximumQoS", self._maximum_qos)
        self._maximum_packet_bytes = getattr(extra, "MaximumPacketSize", None)

    def _on_disconnect(
        self, _client: Any, _data: Any, flags: paho.DisconnectFlags, code: ReasonCode, _extra: Any
    ) -> None:
        if self._end:
            return
        if flags.is_disconnect_packet_from_server:
            reason = f"the broker closed the connection: {code}"
            if code.value == _TAKEN_OVER:
                reason += "; another station has the same names in [station]: give each its own"
            self._end = LinkDownError(reason, by_broker=True)
        elif code.value == _KEEP_ALIVE_TIMEOUT:
            self._end = LinkDownError("no sign of life from the broker", by_broker=False)
        else:
            # Before it stood, its loss is nothing that other stations share.
            reason = f"connection lost: {self._complaint}" if self._complaint else "connection lost"
            self._end = LinkDownError(reason, by_broker=self._connected)

    def _on_log(self, _client: Any, _data: Any, level: int, text: str) -> None:
        if level == LogLevel.MQTT_LOG_ERR:  # the only place where paho tells of a TLS alert
            self._complaint = text

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self._deliver(
            Arrival(
                topic=message.topic,
                payload=bytes(message.payload),
                retain=message.retain,
                expiry_s=getattr(message.properties, "MessageExpiryInterval", None),
            )
        )

    def _on_malformed(self, topic: str) -> None:
        self._deliver(Arrival(topic, payload=b"", retain=False, malformed=True))

    def _on_subscribe(
        self, _client: Any, _data: Any, request: int, codes: Sequence[ReasonCode], _extra: Any
    ) -> None:
        for topic, code in zip(self._asked.pop(request, ()), codes, strict=False):
            if not code.is_failure:
                continue
            log.warning("not_heard", topic=topic, reason=str(code))
            if topic in self._vital:  # as for all stations of the broker, so that they do not throng
                reason = f"the broker does not let this station hear {topic}: {code}"
                self._end = LinkDownError(reason, by_broker=True)

    def _on_publish(self, _client: Any, _data: Any, message_id: int, code: ReasonCode, _extra: Any) -> None:
        self._acknowledge(message_id, code)


class _Client(TolerantClient):
    """A client that decides about the second half of a QoS 2 publication, and when a link is dead.

    paho passes over what the broker answers to the first half, even a refusal, and releases at once. `PUBREC`
    has no callback, so this reaches into paho 2; the tests of refused and of late commands would notice.
    """

    def __init__(
        self,
        settings: Mqtt,
        client_id: str,
        on_malformed: Callable[[str], None],
        release: Callable[[int], bool],
    ) -> None:
        super().__init__(settings, client_id, on_malformed)
        self._release = release

    def _handle_connack(self) -> MQTTErrorCode:
        wanted_s = self._keepalive
        code = super()._handle_connack()
        # A broker may want to hear less often, or nothing: a dead link is noticed all the same.
        self._keepalive = min(wanted_s, self._keepalive or wanted_s)
        return code

    def _handle_pubrec(self) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        message_id = int.from_bytes(packet[:2], "big")
        if len(packet) > 2 and (code := ReasonCode(PacketTypes.PUBREC, identifier=packet[2])).is_failure:
            with self._out_message_mutex:
                if message_id in self._out_messages:
                    refusal = Properties(PacketTypes.PUBREC)  # type: ignore[no-untyped-call]
                    return self._do_on_publish(message_id, code, refusal)
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        return super()._handle_pubrec() if self._release(message_id) else MQTTErrorCode.MQTT_ERR_SUCCESS


def _properties(message: Message, packet: int) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call]
    if message.content_type is not None:
        properties.ContentType = message.content_type
        properties.PayloadFormatIndicator = 1
    properties.UserProperty = list(message.user_properties)
    if message.response_topic is not None:
        properties.ResponseTopic = message.response_topic
    if message.correlation_data is not None:
        properties.CorrelationData = message.correlation_data
    return properties
