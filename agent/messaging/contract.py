"""The MQTT contract: every topic and every payload, and nothing else. `docs/asyncapi.yaml` is made from it.

A station speaks below `{enterprise}/{site}/{area}/{line}/{cell}/voice/{station}` (ISA-95, Unified Namespace).
Payloads are JSON with a UTC `time`, a `quality` and a `schema_version`; the same facts travel as CloudEvents
attributes in the user properties. Each payload class says on which channel it travels.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, Self
from uuid import UUID

from pydantic import Field, JsonValue, model_validator

from agent.commands.decision import Hindrances
from agent.commands.events import Answer, Fate
from agent.grammar.schema import Risk, Scalar
from agent.health import snapshot
from agent.messaging.channel import PIECE_BYTES, Channel, Keep, Place, Senders
from agent.messaging.payload import Hour, Line, Part, Payload, Utc
from agent.names import NAME, ReleaseName, Version


class Status(StrEnum):
    """Whether one can speak to the station."""

    ONLINE = "online"
    DEGRADED = "degraded"
    """It works with less than it should have; the faults say what is missing."""
    OFFLINE = "offline"


UpdatePhase = Literal[
    "idle", "checking", "downloading", "verifying", "staged", "activating",
    "probation", "committed", "rolling_back", "rolled_back", "refused",
]  # fmt: skip


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

    QoS 2, so that the station releases it a second time, in time, before the broker passes it on: a broker
    that stood still does not deliver what it finds when it wakes. Not every broker waits for that: a consumer
    compares `expires` with its own clock. It answers on the response topic with the correlation data.
    """

    channel = Channel("command", qos=2, suffixed=True)

    expires: Utc
    meaning: Meaning
    value: JsonValue
    """What the grammar's template made of the slots: all that a simple consumer needs."""
    risk: Risk
    heard: Heard


class Response(Payload):
    """The consumer's answer to a command, sent to its response topic."""

    channel = Channel("response", spoken=False, heard=Senders.OWN, max_age_s=30.0)

    command_id: UUID
    """Also the correlation data of the command."""
    outcome: Literal["accepted", "refused", "done"]
    reason: Line = ""
    """Shown to the operator; cut where it is longer."""


class Talk(Payload):
    """Push-to-talk: somebody pressed or released the button of the station."""

    channel = Channel("talk", spoken=False, heard=Senders.OWN, max_age_s=5.0)

    pressed: bool


class SelfTest(Payload):
    """Asks the station to hear a known utterance soon; `event/selftest` answers."""

    channel = Channel("selftest", spoken=False, heard=Senders.OWN, max_age_s=5.0)


class Inhibit(Payload):
    """Lockout, maintenance: no command of the cell's stations may pass. Say it again before it is stale.

    A "free" whose quality is not good counts as a lockout.
    """

    channel = Channel("inhibit", retain=True, place=Place.VOICE, spoken=False, heard=Senders.OWN, vital=True)

    active: bool
    who: str = Field(max_length=100)
    """Shown to the operator, as is `why`."""
    why: str = Field(max_length=200)


class MachineState(Payload, extra="ignore", allow_inf_nan=False):
    """A value that a grammar's `requires` asks for. Anything but good quality counts as unknown."""

    channel = Channel("state", retain=True, place=Place.CELL, suffixed=True, spoken=False, heard=Senders.OWN)

    value: Scalar


MAX_CLAIM_AGE_S = 60.0
"""The longest time to live of a command."""


class Claim(Payload, extra="ignore"):
    """A station says that it heard a command, so that of two that heard the same only the first acts."""

    # However far its clock is off: to be passed over would be worse than to come late.
    channel = Channel("claim", heard=Senders.ALL, vital=True, expiry_s=2)

    command_id: UUID
    command: str
    age_seconds: float = Field(default=0.0, ge=0, le=MAX_CLAIM_AGE_S)
    """How long ago the sentence had ended: clocks of stations may differ, this does not."""


class Accept(Payload):
    """An utterance was understood and a command made of it."""

    channel = Channel("event/accept", keep=Keep.DURABLE)

    command_id: UUID
    meaning: Meaning
    heard: Heard


class Reject(Payload):
    """An utterance was heard and no command made of it."""

    channel = Channel("event/reject", keep=Keep.RING)

    reason: str
    """Stable code: background, weak_word, ambiguous, too_short, too_quiet, clipped, in_talk, ..."""
    detail: str = ""
    """Who, why, which value: for people."""
    meaning: Meaning | None = None
    """The nearest command, where one took part."""
    heard: Heard


class Question(Payload):
    """An utterance was understood, and the operator is asked to confirm it; silence cancels."""

    channel = Channel("event/question", keep=Keep.RING)

    command_id: UUID
    meaning: Meaning
    heard: Heard
    text: str
    """What is read back to the operator."""
    until: Utc


class Delivery(Payload):
    """What became of a command."""

    channel = Channel("event/delivery", keep=Keep.DURABLE)

    command_id: UUID
    fate: Fate
    reason: str = ""
    latency_seconds: float
    """From the end of speech."""


class Settled(Payload):
    """What the consumer of a command said, or that it said nothing in time."""

    channel = Channel("event/settled", keep=Keep.DURABLE)

    command_id: UUID
    answer: Answer
    reason: str = ""
    latency_seconds: float
    """From the end of speech."""


class Inhibition(Payload):
    """The station learned that commands are locked out, or free again."""

    channel = Channel("event/inhibition", keep=Keep.DURABLE)

    active: bool
    who: str
    why: str


class SelfTested(Payload):
    """A known utterance was put in behind the microphone, regularly or on demand; no command comes of it."""

    channel = Channel("event/selftest", keep=Keep.RING)

    outcome: snapshot.Outcome
    utterance: str
    """File of the bundle's golden set."""
    reason: str = ""
    """Why it did not pass: what it was heard as."""


class Engine(Payload):
    """An inference engine was taken into use."""

    channel = Channel("event/engine", keep=Keep.RING)

    engine: str
    reason: str
    fallback: bool
    """The NPU should be at work and is not."""


class Audio(Payload):
    """The microphone came, went, got stuck or recovered."""

    channel = Channel("event/audio", keep=Keep.RING)

    event: Literal["opened", "lost", "stuck", "recovered"]
    source: str
    reason: str = ""


class Grammar(Payload):
    """A grammar was taken into use, or refused while the old one stays."""

    channel = Channel("event/grammar", keep=Keep.RING)

    event: Literal["loaded", "refused"]
    grammar: str
    """name@content hash; of one that is refused, which may have no name, the file."""
    reason: str = ""


class State(Payload, extra="ignore"):
    """Whether one can speak to the station. Its last will says `offline`, with the time of the connection."""

    channel = Channel("state", retain=True, heard=Senders.ALL, vital=True)

    status: Status
    reason: str = ""
    armed: bool = False
    """A window is open, by the wake phrase or the button; false where none is needed (`arming = "open"`)."""
    text: str = ""
    """One line for an operator panel: what was last understood, asked or refused."""


class Health(Payload):
    """The station's report on itself, every 10 s and when a fault comes or goes."""

    channel = Channel("health", retain=True)

    status: Status
    faults: tuple[str, ...]
    """Stable codes, worst first: see docs/troubleshooting.md."""
    uptime_seconds: float
    versions: snapshot.Versions
    engine: snapshot.EngineHealth
    audio: snapshot.AudioHealth
    recognizer: snapshot.RecognizerHealth
    commands: Hindrances
    self_test: snapshot.SelfTestHealth
    panel: snapshot.PanelHealth
    updates: snapshot.UpdatesHealth
    link: snapshot.LinkHealth
    system: snapshot.SystemHealth


class Value(Payload):
    """One value on a topic of its own, for SCADA drivers that read no documents; see `[mqtt] flat_values`."""

    channel = Channel("value", retain=True, suffixed=True)

    value: Scalar | None


class Release(Part):
    """A released model bundle or grammar."""

    name: ReleaseName
    version: Version


class Hours(Part):
    """A part of the day by the station's local clock; may span midnight."""

    start: Hour
    end: Hour


class Desired(Payload):
    """What the station should run; without `model`, `grammar` and `follow` nothing is to change any more.

    It is not signed and need not be: it can only choose among releases that are, and none that is older than
    what has proven itself here.
    """

    channel = Channel("update/desired", retain=True, spoken=False, heard=Senders.OWN)

    model: Release | None = None
    grammar: Release | None = None
    follow: str = Field(default="", pattern=f"^({NAME})?$")
    """A channel of the repository, such as `stable`, instead of `model` and `grammar`."""
    percent: float = Field(default=100.0, ge=0, le=100)
    """Of the stations that read this; a larger share holds every station of a smaller one."""
    not_before: Utc | None = None
    window: Hours | None = None
    """When bundles may be swapped; they are fetched and tried at once."""
    retry: bool = False
    """Also what failed here before; once for each `id`, or `time` where there is no `id`."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.follow and (self.model or self.grammar):
            raise ValueError("`follow` stands instead of `model` and `grammar`: name releases or a channel")
        return self


class Update(Payload):
    """How an update stands."""

    channel = Channel("update", retain=True)

    phase: UpdatePhase
    reason: str = ""
    releases: tuple[str, ...] = ()
    """What is being installed: `model/press/1.2.0`."""
    bytes_done: int = 0
    bytes_total: int = 0
    """Of files that were not on the station yet."""
    active: str | None
    """Digest of the slot in use; None: what the settings name."""
    running: tuple[str, ...] = ()
    """What is in it."""
    pinned: bool = False


class Updated(Payload):
    """An update has ended, for good or bad. `committed` is said only after probation."""

    channel = Channel("event/update", keep=Keep.DURABLE)

    number: int
    """Counts the station's updates; one that comes twice is the same."""
    outcome: Literal["committed", "rolled_back", "refused"]
    reason: str
    """The evidence."""
    releases: tuple[str, ...]
    """What was installed, or was not."""
    active: str | None
    """As in `Update`."""


PIECE_REQUEST_TOPIC = "voxline/update/request"
"""Where stations without another way ask `voxline update serve` for pieces of a repository's files."""
PIECE_TOPIC = "update/piece"
"""Below a station's topic: pieces, raw, with the request's correlation data and `status` 200, 404 or 400."""


class PieceRequest(Part):
    """Asks for a piece of a file; a piece that is shorter than asked for is the last one."""

    path: str = Field(max_length=500)
    """`metadata/...`, `targets/...` or `objects/...`."""
    offset: int = Field(ge=0)
    length: int = Field(ge=1, le=PIECE_BYTES)


KINDS = tuple(Payload.__subclasses__())
