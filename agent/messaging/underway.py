"""What is under way to the broker, and what becomes of it."""

from concurrent.futures import Future
from dataclasses import dataclass
from uuid import UUID

from agent.commands.events import Delivered, Fate
from agent.messaging.namespace import Message


@dataclass(frozen=True, slots=True)
class Sending:
    """A command on its way."""

    order_id: UUID
    message: Message
    deadline_s: float
    delivered: "Future[Delivered]"

    def settle(self, fate: Fate, reason: str = "") -> None:
        """Tell what became of it."""
        self.delivered.set_result(Delivered(self.order_id, fate, reason))


@dataclass(frozen=True, slots=True)
class Underway:
    """A message that left and is not acknowledged."""

    topic: str
    sent_s: float
    deadline_s: float
    sending: Sending | None = None
    kept: int | None = None
    """Its id in the outbox."""
