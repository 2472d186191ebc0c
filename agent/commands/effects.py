"""What the policy wants done. Whoever calls `Policy.step` does it, in order."""

from dataclasses import dataclass

from agent.audio.tones import Tone
from agent.commands.decision import Decision, Detail, with_aside
from agent.commands.events import Answer, Fate
from agent.commands.order import Order


@dataclass(frozen=True, slots=True)
class Publish:
    """Send the order now, or not at all; tell its fate with `Delivered`."""

    order: Order


@dataclass(frozen=True, slots=True)
class Claim:
    """Tell all stations that may hear the same voices; this one, too, gets it back as `Claimed`."""

    order: Order


@dataclass(frozen=True, slots=True)
class Ask:
    """A question stands: read `text` back. `until_s` (monotonic) is when silence cancels."""

    order: Order
    text: str
    until_s: float


@dataclass(frozen=True, slots=True)
class Decided:
    """For the event topics and the audit log."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class DeliverySettled:
    """For the event topics and the audit log: how far an order came; once per order."""

    order: Order
    fate: Fate
    reason: str
    latency_s: float
    """From the end of speech."""


@dataclass(frozen=True, slots=True)
class AnswerSettled:
    """For the event topics and the audit log: what the consumer said, or that it said nothing."""

    order: Order
    answer: Answer
    reason: str
    latency_s: float


@dataclass(frozen=True, slots=True)
class InhibitChanged:
    """For the event topics and the audit log: commands were locked out, or freed."""

    active: bool
    who: str
    why: str
    aside: Detail | None = None
    """What the station adds to it."""

    @property
    def detail(self) -> str:
        """Who and why, as far as they told."""
        return ": ".join(filter(None, (self.who, self.why)))

    @property
    def text(self) -> str:
        """Why, with all that is added, for the plant and the audit log."""
        return with_aside(self.why, self.aside)


@dataclass(frozen=True, slots=True)
class Armed:
    """Somebody may speak until `until_s` (monotonic); None: nobody turned to the station any more."""

    until_s: float | None


@dataclass(frozen=True, slots=True)
class Announce:
    """Let the operator know."""

    text: str
    """One line for a panel or a voice."""
    tone: Tone | None = None
    """None: shown, not sounded."""


@dataclass(frozen=True, slots=True)
class Enable:
    """Only these commands may be recognized, in force between utterances."""

    commands: frozenset[str]


Effect = (
    Publish
    | Claim
    | Ask
    | Decided
    | DeliverySettled
    | AnswerSettled
    | InhibitChanged
    | Armed
    | Announce
    | Enable
)
