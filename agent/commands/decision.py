"""What was decided about an utterance, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from agent.commands.order import Order, Origin
from agent.recognition.hypothesis import Hypothesis, Reject


class Verdict(StrEnum):
    """What happens with an utterance."""

    ACCEPT = "accept"
    CONFIRM = "confirm"
    """Understood, and asked back; another decision about the same order follows."""
    REJECT = "reject"
    WAKE = "wake"
    """No command, but the phrase that arms the station."""


class Reason(StrEnum):
    """Why the policy refuses what the recognizer understood. Recognition has reasons of its own: `Reject`."""

    UNSURE = "unsure"
    """Its probability is too low to act on."""
    UNARMED = "unarmed"
    """Nobody had turned to the station when the utterance began."""
    EXPIRED = "expired"
    """Its time to live ended before it could be published."""
    INHIBITED = "inhibited"
    """Locked out, or nobody knows whether it is."""
    REQUIREMENT = "requirement"
    """A machine state that the command requires does not hold or is not known."""
    REPEATED = "repeated"
    """The same order was accepted a moment ago, or the same sound was used already."""
    TOO_SOON = "too_soon"
    """The same command was accepted a moment ago, with other values, or nobody knows whether it was done."""
    BURST = "burst"
    """More commands than an operator speaks: noise."""
    OTHER_STATION = "other_station"
    """Another station heard the same sentence first and acts."""
    UNSETTLED = "unsettled"
    """Which station acts could not be agreed: claims may have been missed."""
    CANCELLED = "cancelled"
    """The operator said so."""
    NOT_CONFIRMED = "not_confirmed"
    """The question was answered by silence."""
    INTERRUPTED = "interrupted"
    """While the question stood, something else was said here or at another station."""
    CHANGED = "changed"
    """While the question stood, a machine state, the grammar or the model changed."""
    NOTHING_ASKED = "nothing_asked"
    """"Confirm" or "cancel" without a question."""
    UNKNOWN = "unknown"
    """Not a command of the grammar in use: it was just replaced."""


class Detail(StrEnum):
    """What the station itself says of a lockout; operators read it in their language."""

    UNKNOWN = "lockout state unknown"
    OUTDATED = "lockout state out of date"
    UNREADABLE = "a message that cannot be read"
    """Why it is locked out."""
    UNHEEDED = "a release from before it does not count"
    """Why it stands for whoever thinks to have ended it: their clock is behind, or the message old."""


@dataclass(frozen=True, slots=True)
class Objection:
    """What speaks against acting."""

    reason: Reason | Reject
    detail: str = ""
    """Who, why, which value: shown to the operator."""
    aside: Detail | None = None
    """What the station adds to it."""

    @property
    def text(self) -> str:
        """The detail with all that is added, for the plant and the audit log."""
        return with_aside(self.detail, self.aside)


def with_aside(text: str, aside: Detail | None) -> str:
    """Add in brackets what the station has to say of a lockout."""
    return f"{text} ({aside})" if aside else text


MOST_NAMED = 50
"""Hindered commands that a report names: it is sent every few seconds."""


@dataclass(frozen=True, slots=True)
class Hindrances:
    """What keeps commands from the machine now, however well they are heard."""

    inhibited: bool
    """Commands of normal and high risk are refused; in a lockout, all."""
    reason: str
    """Why: who locked out and why, or what is not known; empty where they are free."""
    unavailable_count: int
    """How many commands cannot be said."""
    unavailable: Mapping[str, str]
    """The first `MOST_NAMED`, by name: the machine state that is unknown, `saw/guard_closed?`, or does not
    fit, `saw/guard_closed = false`."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict on one utterance."""

    verdict: Verdict
    heard: Hypothesis
    """The utterance that led to it; for a question answered by silence, the one that led to the question."""
    origin: Origin
    """What it was understood with."""
    order: Order | None = None
    """Always there for accept and confirm; for reject where an order had been made."""
    objection: Objection | None = None
    """Always there for reject; for confirm where doubt, not risk, is why it is asked."""
