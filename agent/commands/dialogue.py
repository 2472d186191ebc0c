"""The one question that may stand: did I understand you right?"""

from dataclasses import dataclass
from enum import Enum, auto

from agent.commands.order import Order
from agent.grammar.schema import CANCEL, CONFIRM, Risk
from agent.recognition.hypothesis import Hypothesis


class Reply(Enum):
    """What an utterance says to a question."""

    YES = auto()
    NO = auto()
    UNCLEAR = auto()
    """Perhaps a confirmation, but not surely: the question still stands."""
    OTHER = auto()
    """Something else, by the same speaker or another: the question is void."""


@dataclass(frozen=True, slots=True)
class Question:
    """A read-back that waits for an answer."""

    order: Order
    asked_s: float
    until_s: float
    picture: tuple[object, ...]
    """Machine states it was asked upon, see `Machine.picture`."""

    def reply(self, heard: Hypothesis, *, sure: float, plausible: float, alone: bool) -> Reply:
        """Judge an utterance.

        Args:
            heard: the utterance.
            sure: probability that a confirmation needs.
            plausible: probability that the same sentence needs when it is said again. Hearing it twice
                settles a doubt; a high risk is settled by "confirm" alone.
            alone: no other station may hear it: one would take the sentence, said again, for a new one.
        """
        if heard.command == CANCEL:
            return Reply.NO
        certain = heard.reject is None and heard.start_s >= self.asked_s
        if heard.command == CONFIRM:
            return Reply.YES if certain and heard.probability >= sure else Reply.UNCLEAR
        same = (heard.command, heard.slots) == (self.order.command, self.order.slots)
        if same and alone and certain and self.order.risk is not Risk.HIGH and heard.probability >= plausible:
            return Reply.YES
        return Reply.OTHER
