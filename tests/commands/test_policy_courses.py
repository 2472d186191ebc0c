"""No sequence of events leaves an order without its end, gives it two, or tells the operator what is not so.

The same walk as in `test_policy_properties`; there each published order is judged, here the course of all.
"""

from itertools import zip_longest
from uuid import UUID

from hypothesis import settings

from agent.audio.tones import Tone
from agent.commands.decision import Decision, Verdict
from agent.commands.effects import (
    Announce,
    AnswerSettled,
    Armed,
    Claim,
    Decided,
    DeliverySettled,
    Effect,
    Enable,
    Publish,
)
from agent.commands.events import Answer, Answered, Event, Fate, Heard, Tick
from agent.grammar.schema import CANCEL, CONFIRM
from tests.commands.station import all_of
from tests.commands.test_policy_properties import AnyStation

LONGEST_S = 70.0
"""After so long without a word nothing is open any more: no time to live, window or wait is longer."""
ANSWERS = {
    Answer.ACCEPTED: Tone.ACCEPTED,
    Answer.REFUSED: Tone.REFUSED,
    Answer.DONE: Tone.DONE,
    Answer.NO_ANSWER: Tone.FAILED,
}


class AnyCourse(AnyStation):
    def __init__(self) -> None:
        super().__init__()
        self.stage: dict[UUID, str] = {}
        """Of each order: claimed, asked, sent; ended."""
        self.settled: dict[UUID, Fate] = {}
        self.answers: dict[UUID, list[Answer]] = {}
        self.enabled: frozenset[str] = frozenset()
        self.armed_until_s: float | None = None

    def tell(self, event_: Event, after_s: float = 0.0) -> list[Effect]:
        effects = super().tell(event_, after_s)
        for effect, following in zip_longest(effects, effects[1:]):
            self._follow(effect, following)
        asked = [order for order, stage in self.stage.items() if stage == "asked"]
        assert len(asked) <= 1
        assert ({CONFIRM, CANCEL} & self.enabled == {CONFIRM, CANCEL}) == bool(asked)
        assert self.armed_until_s is None or self.armed_until_s > self.station.now_s
        if isinstance(event_, Heard):
            spoken = [decision for decision in map(_decision, effects) if decision]
            claimed = all_of(Claim, effects)
            assert any(decision.heard is event_.hypothesis for decision in spoken) or claimed
        for done in (effect for effect in all_of(Announce, effects) if effect.tone is Tone.DONE):
            assert isinstance(event_, Answered), done
            assert event_.answer is Answer.DONE
        return effects

    def _follow(self, effect: Effect, following: Effect | None) -> None:
        match effect:
            case Claim(order):
                assert order.id not in self.stage
                self.stage[order.id] = "claimed"
            case Publish(order):
                assert self.stage[order.id] in ("claimed", "asked")
                self.stage[order.id] = "sending"
            case Decided(decision):
                self._decide(decision)
            case DeliverySettled(order, fate):
                assert self.stage[order.id] == "sent"
                assert order.id not in self.settled, "settled twice"
                self.settled[order.id] = fate
                if fate is not Fate.ACKNOWLEDGED:
                    assert isinstance(following, Announce)
                    assert following.tone is Tone.FAILED
            case AnswerSettled(order, answer):
                assert self.settled[order.id] in (Fate.ACKNOWLEDGED, Fate.UNCONFIRMED)
                assert isinstance(following, Announce)
                assert following.tone is ANSWERS[answer]
                answers = self.answers.setdefault(order.id, [])
                assert answers[-1:] != [answer], "told twice"
                assert not {Answer.DONE, Answer.REFUSED} & set(answers), "told after the last word"
                answers.append(answer)
            case Enable(commands):
                self.enabled = commands
            case Armed(until_s):
                self.armed_until_s = until_s

    def _decide(self, decision: Decision) -> None:
        order = decision.order
        if order is None:
            assert decision.verdict in (Verdict.REJECT, Verdict.WAKE)
            return
        before = self.stage.get(order.id)
        if decision.verdict is Verdict.CONFIRM:
            assert before == "claimed"
            self.stage[order.id] = "asked"
        elif decision.verdict is Verdict.ACCEPT:
            assert before == "sending"
            self.stage[order.id] = "sent"
        else:
            assert before in (None, "claimed", "asked"), "refused what was sent or ended"
            self.stage[order.id] = "ended"

    def teardown(self) -> None:
        for _ in range(round(LONGEST_S)):
            self.tell(Tick(), 1.0)
        assert set(self.stage.values()) <= {"ended", "sent"}
        sent = {order for order, stage in self.stage.items() if stage == "sent"}
        assert sent == set(self.settled)
        acknowledged = {order for order, fate in self.settled.items() if fate is Fate.ACKNOWLEDGED}
        assert acknowledged <= set(self.answers), "the machine's silence is told, too"
        assert self.armed_until_s is None


def _decision(effect: Effect) -> Decision | None:
    return effect.decision if isinstance(effect, Decided) else None


AnyCourse.TestCase.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
TestAnyCourse = AnyCourse.TestCase
