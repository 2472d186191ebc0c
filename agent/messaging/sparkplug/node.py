"""What a Sparkplug host is told of a station, and when: births, data, deaths, each numbered. Pure."""

from datetime import datetime

from agent.messaging.channel import MAX_INBOUND_BYTES, Keep
from agent.messaging.facts import FACTS, facts, is_news
from agent.messaging.namespace import Message, Namespace
from agent.messaging.payload import Payload
from agent.messaging.sparkplug.wire import Metric, asks_for, encode

REBIRTH = "Node Control/Rebirth"
_NUMBERS = 256
"""Of births and of payloads; then from 0 on again."""


class Node:
    """An edge node without devices: its group is the station's cell, with colons for slashes.

    Args:
        namespace: the station's place in the plant.
        now: since when nothing is known of it.
    """

    def __init__(self, namespace: Namespace, now: datetime) -> None:
        self._group, self._name = namespace.cell.replace("/", ":"), namespace.station
        self._metrics = {name: Metric(name, kind, None, now) for name, kind in FACTS.items()}
        self._changed: set[str] = set()
        self._births = -1
        self._seq = 0
        self._death: Message | None = None

    @property
    def commands(self) -> str:
        """The topic on which hosts ask for something."""
        return self._topic("NCMD")

    def take(self, payload: Payload) -> bool:
        """Remember the facts of what the station publishes; true if one is new."""
        for name, fact in facts(payload).items():
            if is_news(name, fact, self._metrics[name].value):
                self._metrics[name] = Metric(name, FACTS[name], fact, payload.time)
                self._changed.add(name)
        return bool(self._changed)

    def connect(self, now: datetime) -> Message:
        """Return the death certificate of the next connection: its last will, and its goodbye."""
        self._births = (self._births + 1) % _NUMBERS
        raw = encode([self._birth_number(now)], now, None)
        return self._message("NDEATH", raw, qos=1)  # payloads-ndeath-will-message-qos

    def birth(self, now: datetime) -> Message:
        """Return the birth certificate: all that there is, and what is known of it now."""
        self._seq = 0
        self._changed.clear()
        rebirth = Metric(REBIRTH, bool, value=False, time=now)
        metrics = [self._birth_number(now), rebirth, *self._metrics.values()]
        return self._message("NBIRTH", encode(metrics, now, self._seq))

    def data(self, now: datetime) -> Message | None:
        """Return what is new since the last birth certificate or data; None: nothing is."""
        if not self._changed:
            return None
        self._seq = (self._seq + 1) % _NUMBERS
        metrics = [metric for name, metric in self._metrics.items() if name in self._changed]
        self._changed.clear()
        return self._message("NDATA", encode(metrics, now, self._seq))

    def wants_birth(self, topic: str, raw: bytes) -> bool:
        """Tell whether a message asks for the birth certificate once more; one that is too long does not."""
        return topic == self.commands and len(raw) <= MAX_INBOUND_BYTES and asks_for(raw, REBIRTH)

    def _birth_number(self, now: datetime) -> Metric:
        return Metric("bdSeq", int, self._births, now)

    def _topic(self, kind: str) -> str:
        return f"spBv1.0/{self._group}/{kind}/{self._name}"

    def _message(self, kind: str, raw: bytes, qos: int = 0) -> Message:
        return Message(
            topic=self._topic(kind),
            payload=raw,
            qos=qos,
            retain=False,
            keep=Keep.NEVER,
            expiry_s=None,
            user_properties=(),
            content_type=None,
        )
