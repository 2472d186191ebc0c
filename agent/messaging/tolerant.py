"""A paho client that outlives a message or an answer which it cannot read."""

from collections.abc import Callable

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from agent.settings import Mqtt

_REFUSALS = {PacketTypes.PUBACK: 0x80, PacketTypes.PUBREC: 0x80, PacketTypes.PUBCOMP: 0x92}
"""Of each answer to a publication: a refusal that says no more, for one whose reason has no name."""


class TolerantClient(paho.Client):
    """An MQTT 5 client that logs in as the settings want it, and passes over what is malformed.

    MQTT asks to disconnect at those, and paho does. But brokers pass on what paho takes for malformed
    (mosquitto 2.0.11: a payload format other than 0 or 1), and a message that is retained comes again at each
    connection: one would take every station that hears its topic off the broker for good. Its length stands
    before it, so that what follows can be read.

    As bad is an answer to what the station said before and says again at each connection, with a reason that
    MQTT does not know there (mosquitto 2.0.11: `Packet too large`): here it is a refusal like others.

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

    def _packet_handle(self) -> MQTTErrorCode:
        # As below: the test of a refused message would notice.
        kind, packet = self._in_packet["command"] >> 4, self._in_packet["packet"]
        if kind in _REFUSALS and len(packet) > 2 and not _is_known(kind, packet[2]):
            packet[2] = _REFUSALS[kind] if packet[2] & 0x80 else 0
        return super()._packet_handle()

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


def _is_known(kind: int, reason: int) -> bool:
    try:
        ReasonCode(kind, identifier=reason)
    except (KeyError, ValueError):
        return False
    return True
