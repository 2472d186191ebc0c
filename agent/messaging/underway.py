"""What is under way to the broker, and what becomes of it."""

from concurrent.futures import Future
from dataclasses import dataclass

from agent.commands.events import Fate
from agent.messaging.namespace import Message


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command."""

    fate: Fate
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """A command on its way."""

    message: Message
    deadline_s: float
    outcome: "Future[Outcome]"


@dataclass(frozen=True, slots=True)
class Underway:
    """A message that left and is not acknowledged."""

    sent_s: float
    deadline_s: float
    order: Order | None = None
    kept: int | None = None
    """Its id in the outbox."""
