"""An order: a command of the grammar as an operator gave it, ready to be published."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from pydantic import JsonValue

from agent.grammar.payload import render
from agent.grammar.schema import Command, Risk, Scalar
from agent.recognition.hypothesis import Hypothesis


@dataclass(frozen=True, slots=True)
class Origin:
    """Where orders come from and what they were understood with."""

    station: str
    grammar: str
    """name@content hash"""
    bundle: str
    """name@version"""


@dataclass(frozen=True, slots=True)
class Order:
    """Something a machine shall do, until `expires_s` and never later."""

    id: UUID
    """UUIDv7; a consumer that sees it twice acts once."""
    command: str
    slots: Mapping[str, Scalar]
    value: JsonValue
    """The grammar's payload template, filled."""
    topic: str
    """Suffix of the command's topic."""
    risk: Risk
    heard: Hypothesis
    spoken_s: float
    """End of the speech that gave it: of the sentence, or of its confirmation; monotonic like `expires_s`."""
    time_to_live_s: float
    origin: Origin
    confirmed_by: Hypothesis | None = None

    @classmethod
    def make(cls, order_id: UUID, command: Command, heard: Hypothesis, origin: Origin) -> "Order":
        """Turn what was heard into an order. `heard` must name `command`."""
        return cls(
            id=order_id,
            command=command.name,
            slots=heard.slots,
            value=render(command.payload, heard.slots),
            topic=command.topic,
            risk=command.risk,
            heard=heard,
            spoken_s=heard.end_s,
            time_to_live_s=command.time_to_live_s,
            origin=origin,
        )

    def confirmed(self, answer: Hypothesis) -> "Order":
        """Return the same order, as confirmed by `answer`: its time to live begins with the end of that."""
        return replace(self, spoken_s=answer.end_s, confirmed_by=answer)

    @property
    def expires_s(self) -> float:
        """Monotonic time from which on it must not be published."""
        return self.spoken_s + self.time_to_live_s

    def remaining_s(self, now_s: float) -> float:
        """Tell how long it may still be published; 0 or less: never again."""
        return self.expires_s - now_s

    @property
    def text(self) -> str:
        """What was understood, for people: the words, then the slots with their values."""
        slots = ", ".join(f"{name} {value}" for name, value in self.slots.items())
        return f"{self.heard.text} ({slots})" if slots else self.heard.text
