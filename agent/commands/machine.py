"""What machines report about themselves, and what may be said because of it."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from agent.commands.decision import Objection, Reason
from agent.commands.events import StateReported
from agent.grammar.schema import Command, Condition

LONGEST_SHOWN = 100
"""Letters of a value that are shown: whole, it could make the state too long for others to hear."""


@dataclass(frozen=True, slots=True)
class _Reading:
    value: object
    taken_s: float
    said_s: float


class Machine:
    """The latest machine states, by name."""

    def __init__(self) -> None:
        self._readings: dict[str, _Reading] = {}

    def report(self, report: StateReported, now_s: float) -> None:
        """Take a value; it was true `age_s` ago.

        One that was taken before the one known is not believed. If they differ neither is, until a later one
        comes: it is late, or the clock that it was taken by was set back and it is the true one.
        """
        known = self._readings.get(report.state)
        if known is None or report.said_s >= known.said_s:
            taken_s = now_s - max(0.0, report.age_s)
            self._readings[report.state] = _Reading(report.value, taken_s, report.said_s)
        elif report.value != known.value:
            self._readings[report.state] = replace(known, value=None)

    def watch(self, states: Collection[str]) -> None:
        """Forget all states but these: what nobody listens to may change unheard."""
        self._readings = {name: reading for name, reading in self._readings.items() if name in states}

    def reconnect(self) -> None:
        """Doubt all values: they may have changed while the link was down."""
        self._readings.clear()

    def objection(self, command: Command, now_s: float) -> Objection | None:
        """Tell the first condition of `command` that does not hold."""
        for condition in command.requires:
            reading = self._fresh(condition, now_s)
            if reading is None:
                return Objection(Reason.REQUIREMENT, f"{condition.state}?")
            if not condition.holds(reading.value):
                value = reading.value
                shown = (value if isinstance(value, str) else json.dumps(value))[:LONGEST_SHOWN]
                return Objection(Reason.REQUIREMENT, f"{condition.state} = {shown}")
        return None

    def picture(self, command: Command) -> tuple[object, ...]:
        """Return what a question about `command` is asked upon: if it differs later, the machine changed.

        A value that is only held against limits may move within them.
        """
        exact = (c.state for c in command.requires if c.minimum is None and c.maximum is None)
        return tuple(reading and reading.value for reading in map(self._readings.get, exact))

    def impossible(self, commands: Iterable[Command], now_s: float) -> dict[str, str]:
        """Name the commands that have a condition which does not hold, with the first such."""
        objections = {command.name: self.objection(command, now_s) for command in commands}
        return {name: objection.detail for name, objection in objections.items() if objection}

    def _fresh(self, condition: Condition, now_s: float) -> _Reading | None:
        reading = self._readings.get(condition.state)
        return reading if reading and now_s - reading.taken_s <= condition.max_age_s else None
