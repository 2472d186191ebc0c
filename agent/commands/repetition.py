"""One sentence acts once; and a burst of sentences is noise, not an operator."""

from collections import deque

from agent.commands.decision import Objection, Reason
from agent.grammar.schema import Command
from agent.recognition.hypothesis import Hypothesis


class Repetition:
    """What was heard and accepted lately."""

    def __init__(self, burst_commands: int, burst_window_s: float) -> None:
        self._burst_commands = burst_commands
        self._burst_window_s = burst_window_s
        self._heard_s: deque[float] = deque(maxlen=burst_commands + 1)
        self._accepted_s: dict[str, float] = {}
        self._used_until_s = float("-inf")

    def hear(self, now_s: float) -> None:
        """Count a command that was heard, whatever becomes of it: noise that goes on stays a burst."""
        self._heard_s.append(now_s)

    def use(self, heard: Hypothesis) -> None:
        """Mark the sound of an utterance as used: it gives no second order."""
        self._used_until_s = max(self._used_until_s, heard.end_s)

    def accept(self, command: Command, now_s: float) -> None:
        """The command was accepted: its refractory time begins."""
        self._accepted_s[command.name] = now_s

    def overlaps(self, heard: Hypothesis) -> bool:
        """Tell whether the sound of `heard` was used before."""
        return heard.start_s < self._used_until_s

    def objection(self, command: Command, now_s: float) -> Objection | None:
        """Tell whether there was too much of this lately."""
        last_s = self._accepted_s.get(command.name)
        if last_s is not None and now_s - last_s < command.refractory_s:
            return Objection(Reason.REPEATED)
        recent = sum(now_s - heard_s < self._burst_window_s for heard_s in self._heard_s)
        return Objection(Reason.BURST) if recent > self._burst_commands else None
