"""What becomes of published orders: the broker's word, then the consumer's, or their silence."""

from dataclasses import dataclass
from uuid import UUID

from agent.audio.tones import Tone
from agent.commands.effects import Announce, AnswerSettled, DeliverySettled, Effect
from agent.commands.events import Answer, Answered, Delivered, Fate
from agent.commands.order import Order
from agent.commands.wording import Wording

FATE_GRACE_S = 0.5
"""The link knows the fate when the time to live ends; its word may take this long to arrive."""
FORGET_S = 3600.0
"""`done` may come this long after the order."""

_TONES = {
    Answer.ACCEPTED: Tone.ACCEPTED,
    Answer.REFUSED: Tone.REFUSED,
    Answer.DONE: Tone.DONE,
    Answer.NO_ANSWER: Tone.FAILED,
}


@dataclass(slots=True)
class _Course:
    order: Order
    settled_s: float | None = None
    """When its fate was told."""
    answer: Answer | None = None


class Followup:
    """The orders under way.

    Args:
        answer_within_s: after the broker took an order its consumer must answer; 0: nobody is expected to.

    """

    def __init__(self, answer_within_s: float) -> None:
        self._answer_within_s = answer_within_s
        self._courses: dict[UUID, _Course] = {}

    def begin(self, order: Order) -> None:
        """The order is being published."""
        self._courses[order.id] = _Course(order)

    def delivered(self, event: Delivered, now_s: float, words: Wording) -> list[Effect]:
        """The link tells how far an order came; only its first word counts."""
        course = self._courses.get(event.order_id)
        if course is None or course.settled_s is not None:
            return []
        return self._settle(course, event, now_s, words)

    def answered(self, event: Answered, now_s: float, words: Wording) -> list[Effect]:
        """The consumer answers. It may be faster than the broker's acknowledgement, which it implies."""
        course = self._courses.get(event.order_id)
        if course is None or not _follows(course.answer, event.answer):
            return []
        effects: list[Effect] = []
        if course.settled_s is None:
            effects += self._settle(course, Delivered(event.order_id, Fate.ACKNOWLEDGED), now_s, words)
        return effects + self._conclude(course, event.answer, event.reason, now_s, words)

    def tick(self, now_s: float, words: Wording) -> list[Effect]:
        """Conclude what silence means."""
        effects: list[Effect] = []
        for course in list(self._courses.values()):
            order = course.order
            if course.settled_s is None:
                if order.remaining_s(now_s) <= -FATE_GRACE_S:
                    effects += self._settle(course, Delivered(order.id, Fate.UNCONFIRMED), now_s, words)
            elif course.answer is None and now_s - course.settled_s >= self._answer_within_s:
                effects += self._conclude(course, Answer.NO_ANSWER, "", now_s, words)
            elif now_s - order.spoken_s > FORGET_S:
                del self._courses[order.id]
        return effects

    def _settle(self, course: _Course, event: Delivered, now_s: float, words: Wording) -> list[Effect]:
        order = course.order
        course.settled_s = now_s
        arrived = event.fate is Fate.ACKNOWLEDGED
        if event.fate is Fate.UNCONFIRMED:
            course.answer = Answer.NO_ANSWER  # it may have arrived: an answer is told, its lack is not
        if event.fate in (Fate.NOT_SENT, Fate.REFUSED) or not self._answer_within_s:
            del self._courses[order.id]
        effects: list[Effect] = [DeliverySettled(order, event.fate, event.reason, now_s - order.spoken_s)]
        if not arrived:
            effects.append(Announce(words.fate(event.fate, order.text), Tone.FAILED))
        elif not self._answer_within_s:
            effects.append(Announce(words.fate(event.fate, order.text), Tone.ACCEPTED))
        return effects

    def _conclude(
        self, course: _Course, answer: Answer, reason: str, now_s: float, words: Wording
    ) -> list[Effect]:
        order = course.order
        course.answer = answer
        if answer in (Answer.REFUSED, Answer.DONE):
            self._courses.pop(order.id, None)  # gone already where no answer was expected
        return [
            AnswerSettled(order, answer, reason, now_s - order.spoken_s),
            Announce(words.answer(answer, order.text, reason), _TONES[answer]),
        ]


def _follows(before: Answer | None, after: Answer) -> bool:
    """Tell whether an answer says more than the one before; a late one ends `no answer`."""
    return after is not Answer.NO_ANSWER and after != before
