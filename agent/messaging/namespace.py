"""Put payloads on the topics of one station."""

from dataclasses import dataclass

from agent.messaging.channel import CONTENT_TYPE, Keep, Place, Senders
from agent.messaging.contract import Command, Response
from agent.messaging.payload import Payload
from agent.settings import Station


@dataclass(frozen=True, slots=True)
class Message:
    """A payload ready for the wire."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    keep: Keep
    expiry_s: int | None
    user_properties: tuple[tuple[str, str], ...]
    response_topic: str | None = None
    correlation_data: bytes | None = None
    content_type: str | None = CONTENT_TYPE
    """None: binary, and known by its topic."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """The topics of one station."""

    cell: str
    station: str

    @classmethod
    def of(cls, station: Station) -> "Namespace":
        """Take a station's place in the plant."""
        place = (station.enterprise, station.site, station.area, station.line, station.cell)
        return cls("/".join(place), station.id)

    @property
    def base(self) -> str:
        """The topic below which the station speaks."""
        return Place.STATION.format(cell=self.cell, station=self.station)

    def topic(self, kind: type[Payload], suffix: str = "") -> str:
        """Name the topic of a kind of payload; `suffix` is the grammar's topic or the state's name."""
        return kind.channel.address.format(cell=self.cell, station=self.station, topic=suffix)

    def filter(self, kind: type[Payload], suffix: str = "") -> str:
        """Name what to subscribe to in order to hear a kind of payload."""
        station = "+" if kind.channel.heard is Senders.ALL else self.station
        return kind.channel.address.format(cell=self.cell, station=station, topic=suffix)

    def message(self, payload: Payload, suffix: str = "") -> Message:
        """Put a payload on the wire format."""
        answered = isinstance(payload, Command)
        return Message(
            topic=self.topic(type(payload), suffix),
            payload=payload.model_dump_json().encode(),
            qos=payload.channel.qos,
            retain=payload.channel.retain,
            keep=payload.channel.keep,
            expiry_s=payload.channel.expiry_s,
            user_properties=(
                ("specversion", "1.0"),
                ("id", str(payload.id)),
                ("source", f"/{self.base}"),
                ("type", f"voxline.{payload.channel.name.replace('/', '.')}.v1"),
                ("time", payload.time.isoformat().replace("+00:00", "Z")),
            ),
            response_topic=self.topic(Response) if answered else None,
            correlation_data=payload.id.bytes if answered else None,
        )
