"""The MQTT contract: every topic and every payload, and nothing else. `docs/asyncapi.yaml` is made from it.

A station publishes below `{enterprise}/{site}/{area}/{line}/{cell}/voice/{station}` (ISA-95, Unified
Namespace). Payloads are JSON with a UTC `time`, a `quality` and a `schema_version`; the same facts travel as
CloudEvents attributes in the user properties. Each payload class says on which channel it travels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue
from uuid_utils.compat import uuid7

from agent.grammar.schema import Risk, Scalar
from agent.health.snapshot import (
    AudioHealth,
    EngineHealth,
    LinkHealth,
    RecognizerHealth,
    SystemHealth,
    Versions,
)
from agent.settings import Station

CONTENT_TYPE = "application/json"
MAX_INBOUND_BYTES = 16_384
"""Larger messages are refused; the broker is told not to send them."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One kind of message: where it travels and how."""

    name: str
    """Below the station's topic, and the middle of the CloudEvents type: `event/accept`."""
    qos: Literal[0, 1]
    retain: bool = False
    """Outbound: the broker keeps the latest. Inbound: a kept one is obeyed."""
    inbound: bool = False
    suffixed: bool = False
    """More levels follow: the grammar's topic of a command."""
    max_age_s: float | None = None
    """Inbound: refused when its `time` is further than this from ours."""


class Quality(StrEnum):
    """How far a SCADA system may trust a payload, after OPC."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    """The station's clock is not synchronized: `time` may be off."""
    BAD = "bad"


class Status(StrEnum):
    """Whether one can speak to the station."""

    ONLINE = "online"
    DEGRADED = "degraded"
    """It works with less than it should have; the faults say what is missing."""
    OFFLINE = "offline"


class Fate(StrEnum):
    """What became of a command that was to be sent."""

    ACKNOWLEDGED = "acknowledged"
    """The broker has it, and somebody listens."""
    NOBODY_LISTENS = "nobody_listens"
    """The broker has it, but no subscriber."""
    NOT_SENT = "not_sent"
    """No link, or its time to live was over before it left: it was dropped and will not come."""
    UNCONFIRMED = "unconfirmed"
    """It left and the broker did not acknowledge it in time: a consumer that heeds `expires` will not act."""
    REFUSED = "refused"
    """The broker does not let this station publish it."""


Utc = Annotated[AwareDatetime, AfterValidator(lambda time: time.astimezone(UTC))]


class Part(BaseModel):
    """A piece of a payload."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Payload(Part):
    """What every payload holds."""

    channel: ClassVar[Channel]

    schema_version: Literal["1.0"] = "1.0"
    id: UUID = Field(default_factory=uuid7)
    """Unique; a message that comes twice has it twice."""
    time: Utc
    """When it happened, UTC."""
    quality: Quality = Quality.GOOD


class Word(Part):
    """One word and how well it fits the sound."""

    text: str
    score: float
    """Mean log-likelihood ratio per sound, nats; 0 is perfect, lower is worse."""


class Meaning(Part):
    """A command with its slots."""

    command: str
    slots: Mapping[str, Scalar] = Field(default_factory=dict)


class Heard(Part):
    """What the recognizer understood, and how sure it is."""

    text: str
    probability: float = Field(ge=0, le=1)
    """Calibrated probability that command and all slots are what was said."""
    worst_word: Word | None = None
    margin: float | None = None
    """Nats by which it beats `runner_up`."""
    runner_up: Meaning | None = None
    """The best sentence that means something else."""
    snr_db: float | None = None


class Command(Payload):
    """Act on this, unless `expires` has passed. `time` is the end of speech.

    The message expires at the broker, too, but one that stood still counts from when it woke: a consumer
    must compare `expires` with its own clock. It answers on the response topic with the correlation data.
    """

    channel = Channel("command", qos=1, suffixed=True)

    expires: Utc
    meaning: Meaning
    value: JsonValue
    """What the grammar's template made of the slots: all that a simple consumer needs."""
    risk: Risk
    heard: Heard


class Response(Payload):
    """The consumer's answer to a command, sent to its response topic."""

    channel = Channel("response", qos=1, inbound=True, max_age_s=30.0)

    command_id: UUID
    """Also the correlation data of the command."""
    outcome: Literal["accepted", "refused", "done"]
    reason: str = Field(default="", max_length=200)
    """Shown to the operator."""


class Accept(Payload):
    """An utterance was understood and a command made of it."""

    channel = Channel("event/accept", qos=1)

    command_id: UUID
    meaning: Meaning
    heard: Heard


class Reject(Payload):
    """An utterance was heard and no command made of it."""

    channel = Channel("event/reject", qos=1)

    reason: str
    """Stable code: background, weak_word, ambiguous, too_short, too_quiet, clipped, incomplete, ..."""
    meaning: Meaning | None = None
    """The nearest command, where one took part."""
    heard: Heard


class Delivery(Payload):
    """What became of a command."""

    channel = Channel("event/delivery", qos=1)

    command_id: UUID
    fate: Fate
    reason: str = ""
    latency_seconds: float
    """From the end of speech."""


class Engine(Payload):
    """An inference engine was taken into use."""

    channel = Channel("event/engine", qos=1)

    engine: str
    reason: str
    fallback: bool
    """The NPU should be at work and is not."""


class Audio(Payload):
    """The microphone came, went, got stuck or recovered."""

    channel = Channel("event/audio", qos=1)

    event: Literal["opened", "lost", "stuck", "recovered"]
    source: str
    reason: str = ""


class Grammar(Payload):
    """A grammar was taken into use, or refused while the old one stays."""

    channel = Channel("event/grammar", qos=1)

    event: Literal["loaded", "refused"]
    grammar: str
    """name@content hash"""
    reason: str = ""


class State(Payload):
    """Whether one can speak to the station. Its last will says `offline`, with the time of the connection."""

    channel = Channel("state", qos=1, retain=True)

    status: Status
    reason: str = ""
    text: str = ""
    """One line for an operator panel: what was last understood, asked or refused."""


class Health(Payload):
    """The station's report on itself, every 10 s and when a fault comes or goes."""

    channel = Channel("health", qos=1, retain=True)

    status: Status
    faults: tuple[str, ...]
    """Stable codes, worst first: see the health part of the manual."""
    uptime_seconds: float
    versions: Versions
    engine: EngineHealth
    audio: AudioHealth
    recognizer: RecognizerHealth
    link: LinkHealth
    system: SystemHealth


OUTBOUND: tuple[type[Payload], ...] = (
    Command,
    Accept,
    Reject,
    Delivery,
    Engine,
    Audio,
    Grammar,
    State,
    Health,
)
INBOUND: tuple[type[Payload], ...] = (Response,)


@dataclass(frozen=True, slots=True)
class Message:
    """A payload ready for the wire."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    user_properties: tuple[tuple[str, str], ...]
    response_topic: str | None = None
    correlation_data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Namespace:
    """The topics of one station."""

    base: str

    @classmethod
    def of(cls, station: Station) -> "Namespace":
        """Build the station's topic from its place in the plant."""
        place = (station.enterprise, station.site, station.area, station.line, station.cell)
        return cls("/".join((*place, "voice", station.id)))

    def topic(self, payload: type[Payload], suffix: str = "") -> str:
        """Name the topic of a kind of payload; `suffix` is the grammar's topic of a command."""
        return "/".join(filter(None, (self.base, payload.channel.name, suffix)))

    def message(self, payload: Payload, suffix: str = "") -> Message:
        """Put a payload on the wire format."""
        answered = isinstance(payload, Command)
        return Message(
            topic=self.topic(type(payload), suffix),
            payload=payload.model_dump_json().encode(),
            qos=payload.channel.qos,
            retain=payload.channel.retain,
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

    def last_will(self, now: datetime) -> Message:
        """Say what the broker tells the plant if the station vanishes."""
        return self.message(State(time=now, status=Status.OFFLINE, reason="link_lost"))
