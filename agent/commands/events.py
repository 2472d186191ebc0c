"""What the policy is told. All of it arrives through `Policy.step`, with the time at which it arrived."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from agent.grammar.schema import Grammar
from agent.recognition.hypothesis import Hypothesis


class Fate(StrEnum):
    """How far a published order came."""

    ACKNOWLEDGED = "acknowledged"
    """The broker has it."""
    NOT_SENT = "not_sent"
    """No link, or its time to live was over before it left: it was dropped and will not come."""
    UNCONFIRMED = "unconfirmed"
    """It left and the broker did not acknowledge it in time: a consumer that heeds `expires` will not act."""
    REFUSED = "refused"
    """The broker does not let this station publish it."""


class Answer(StrEnum):
    """What the consumer of an order says about it."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DONE = "done"
    NO_ANSWER = "no_answer"
    """It said nothing in time. Never received: the policy concludes it."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed, and what came before was taken. Wanted ten times a second: windows end by it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An utterance ended."""

    hypothesis: Hypothesis


@dataclass(frozen=True, slots=True)
class Button:
    """Push-to-talk, however it came."""

    pressed: bool
    age_s: float = 0.0
    """How long ago."""


@dataclass(frozen=True, slots=True)
class InhibitReported:
    """The lockout topic spoke."""

    active: bool
    who: str = ""
    why: str = ""
    age_s: float = 0.0
    """How old the statement was when it arrived: a kept one may be."""
    said_s: float = 0.0
    """When it was said, seconds since 1970 by the speaker's clock; only compared with each other."""


@dataclass(frozen=True, slots=True)
class StateReported:
    """A machine-state topic spoke."""

    state: str
    """The name that a command's `requires` uses."""
    value: object
    age_s: float = 0.0
    said_s: float = 0.0
    """As that of a lockout."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The link tells the fate of an order."""

    order_id: UUID
    fate: Fate
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """The consumer of an order answered."""

    order_id: UUID
    answer: Answer
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PeersChanged:
    """Which other stations, online now, may hear the same voices."""

    stations: frozenset[str]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A station heard a command. All stations, its own too, get all claims in the broker's one order."""

    station: str
    order_id: UUID
    command: str
    age_s: float = 0.0
    """How long the sentence had ended when it was claimed, by that station's clock."""


@dataclass(frozen=True, slots=True)
class ClaimsLost:
    """Claims came faster than they could be taken: nobody knows any more who was first."""


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The link is back. What is kept on topics comes anew; what was said on others meanwhile was missed."""

    connection: int
    """Counts the station's connections, from 1 on."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Another grammar or model hears from now on."""

    grammar: Grammar
    grammar_version: str
    """name@content hash"""
    bundle_version: str
    """name@version"""


Event = (
    Tick
    | Heard
    | Button
    | InhibitReported
    | StateReported
    | Delivered
    | Answered
    | PeersChanged
    | Claimed
    | ClaimsLost
    | Reconnected
    | Loaded
)
