"""A paho client that outlives a message which it cannot read."""

from collections.abc import Callable

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MalformedPacket

from agent.settings import Mqtt


class TolerantClient(paho.Client):
    """An MQTT 5 client that logs in as the settings want it, and passes over messages that are malformed.

    MQTT asks to disconnect at those, and paho does. But brokers pass on what paho takes for malformed
    (mosquitto 2.0.11: a payload format other than 0 or 1), and a message that is retained comes again at each
    connection: one would take every station that hears its topic off the broker for good. Its length stands
    before it, so that what follows can be read.

    Args:
        settings: the broker.
        client_id: unique at the broker: a second client with the same one pushes the first out.
        on_malformed: called with the topic of each message that is passed over.
    """

    def __init__(
        self, settings: Mqtt, client_id: str, on_malformed: Callable[[str], None] = lambda _: None
    ) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        self._on_malformed = on_malformed
        if settings.username is not None:
            password = settings.password.get_secret_value() if settings.password else None
            self.username_pw_set(settings.username, password)

    def _handle_publish(self) -> MQTTErrorCode:
        # No callback sees such a message, so this reaches into paho 2; its test would notice.
        try:
            return super()._handle_publish()
        except (MalformedPacket, UnicodeDecodeError):
            packet, qos = bytes(self._in_packet["packet"]), self._in_packet["command"] >> 1 & 3
            end = 2 + int.from_bytes(packet[:2], "big")
            self._on_malformed(packet[2:end].decode(errors="replace"))
            if qos == 0:
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            if qos == 1:  # without an answer it counts among those that the broker has under way
                return self._send_puback(int.from_bytes(packet[end : end + 2], "big"))
            raise
