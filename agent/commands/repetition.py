"""One sentence acts once; and a burst of sentences is noise, not an operator."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from agent.commands.decision import Objection, Reason
from agent.commands.order import Order
from agent.grammar.schema import Command, Scalar
from agent.recognition.hypothesis import Hypothesis


@dataclass(slots=True)
class _Accepted:
    order_id: UUID
    slots: Mapping[str, Scalar] | None
    """None: nobody knows whether it was done."""
    at_s: float


class Repetition:
    """What was heard and accepted lately."""

    def __init__(self, burst_commands: int, burst_window_s: float) -> None:
        self._burst_commands = burst_commands
        self._burst_window_s = burst_window_s
        self._heard_s: deque[float] = deque(maxlen=burst_commands + 1)
        self._accepted: dict[str, _Accepted] = {}
        self._used_until_s = float("-inf")

    def hear(self, now_s: float) -> None:
        """Count a command that was heard, whatever becomes of it: noise that goes on stays a burst."""
        self._heard_s.append(now_s)

    def use(self, heard: Hypothesis) -> None:
        """Mark the sound of an utterance as used: it gives no second order."""
        self._used_until_s = max(self._used_until_s, heard.end_s)

    def accept(self, order: Order, now_s: float) -> None:
        """The order was accepted: the refractory time of its command begins."""
        self._accepted[order.command] = _Accepted(order.id, order.slots, now_s)

    def fail(self, order: Order) -> None:
        """The machine did not do it: whoever says it again does not say it twice."""
        if self._last(order):
            del self._accepted[order.command]

    def doubt(self, order: Order) -> None:
        """Whether the machine did it is not known: saying it again is no mere repetition."""
        if accepted := self._last(order):
            accepted.slots = None

    def overlaps(self, heard: Hypothesis) -> bool:
        """Tell whether the sound of `heard` was used before."""
        return heard.start_s < self._used_until_s

    def objection(self, order: Order, command: Command, now_s: float) -> Objection | None:
        """Tell whether there was too much of this lately."""
        last = self._accepted.get(command.name)
        if last and now_s - last.at_s < command.refractory_s:
            return Objection(Reason.REPEATED if order.slots == last.slots else Reason.TOO_SOON)
        recent = sum(now_s - heard_s < self._burst_window_s for heard_s in self._heard_s)
        return Objection(Reason.BURST) if recent > self._burst_commands else None

    def _last(self, order: Order) -> _Accepted | None:
        accepted = self._accepted.get(order.command)
        return accepted if accepted and accepted.order_id == order.id else None
